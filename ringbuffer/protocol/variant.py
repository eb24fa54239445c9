"""Edited tables: the same protocol with a row dropped, swapped, moved or weakened, or with another policy.

A :class:`Variant` is a pair of tables, the flags they start from, and the list of edits that led from the shipped tables to
it. Rules: an edit returns a new variant and changes nothing; edits compose in the order in which they are made; each has a
short text form (``without=W3``), which command lines, tokens and reports use, and :meth:`Variant.parse` reads back.
Limits: an edit that makes no sense (an unknown row, a swap across the two sides) raises :class:`VariantError`; whether the
edited protocol is *right* is for the checker to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol.cases import FLAG_BYTES
from ringbuffer.protocol.program import Program, resolve
from ringbuffer.protocol.table import READER, WRITER, Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then

RING = "ring"
"""Both sides take the blocks in ring order: wait on a block, use it, go on to the next."""
SCAN = "scan"
"""The original's policy: skip a busy block, stay on a block after use, look at the read flags before the written flag."""
POLICIES = (RING, SCAN)

MISSING_READERS_MAX = 64
"""The bound of ``missing_readers``."""
ADVANCE_MAX = 2
"""The bound of ``advance``."""

FLAGS: Final = {
    "written": Flag.WRITTEN,
    "own": Flag.OWN,
    "neighbour": Flag.NEIGHBOUR,
    "each": Flag.EACH,
    "but-last": Flag.BUT_LAST,
}
"""The flags by the names that :meth:`Variant.retargeted` takes."""

_NEXT = ((Outcome.DONE, Then.NEXT),)
_FENCE_ORDERINGS = (Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL, Ordering.SEQ_CST)
_ACCESS_ORDERINGS: Final = {
    Kind.LOAD: (Ordering.RELAXED, Ordering.ACQUIRE),
    Kind.STORE: (Ordering.RELAXED, Ordering.RELEASE),
    Kind.EXCHANGE: (Ordering.RELAXED, Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL),
    Kind.FENCE: _FENCE_ORDERINGS,
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit in text form: ``str()`` of it is ``operation=argument[,argument]``."""

    operation: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operation}={','.join(self.arguments)}"


@dataclass(frozen=True, slots=True, repr=False)
class Variant:
    """The two tables, the value that every read flag starts with, and the edits that made them."""

    writer: Table = WRITER
    reader: Table = READER
    initial_read_flag: int = 0
    policy: str = RING
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        return " ".join(str(edit) for edit in self.edits) or "shipped"

    def __repr__(self) -> str:
        return f"<Variant {self}>"

    @property
    def programs(self) -> tuple[Program, Program]:
        """The resolved tables, the writer's and a reader's. Raises :class:`VariantError` when one has no rows left."""
        return resolve(self.writer), resolve(self.reader)

    def row(self, row_id: str) -> Row:
        """The row with that clause id, as this variant has it. Raises :class:`VariantError` when there is none."""
        table, index = self._find(row_id)
        return table.rows[index]

    def without(self, row_id: str) -> Variant:
        """Drop a row: what led to it leads to the row behind it; a look that is gone decides nothing."""
        table, index = self._find(row_id)
        return self._edited(table, table.rows[:index] + table.rows[index + 1 :], "without", row_id)

    def swapped(self, first_id: str, second_id: str) -> Variant:
        """Exchange the places of two rows of one side."""
        table, first = self._find(first_id)
        second = self._find_in(table, second_id, "swapped with", first_id)
        rows = list(table.rows)
        rows[first], rows[second] = rows[second], rows[first]
        return self._edited(table, tuple(rows), "swap", first_id, second_id)

    def moved(self, row_id: str, *, before: str) -> Variant:
        """Take a row out and put it back directly before another row of the same side."""
        table, index = self._find(row_id)
        self._find_in(table, before, "moved before", row_id)
        rest = table.rows[:index] + table.rows[index + 1 :]
        place = [row.id for row in rest].index(before)
        return self._edited(table, (*rest[:place], table.rows[index], *rest[place:]), "move", row_id, before)

    def weakened(self, row_id: str) -> Variant:
        """Make an ordered access relaxed. Raises :class:`VariantError` for one that has no ordering to lose."""
        row = self.row(row_id)
        if row.access.kind is Kind.FENCE:
            raise VariantError(f"{row_id} is a fence: drop it, or order it otherwise")
        if row.access.ordering in (Ordering.PLAIN, Ordering.RELAXED):
            raise VariantError(f"{row_id} ({row.access}) is {row.access.ordering.value}: it has no ordering to lose")
        return self._with_access(row_id, "weaken", row_id, ordering=Ordering.RELAXED)

    def ordered(self, row_id: str, ordering: str) -> Variant:
        """Give an access that ordering: ``"relaxed"``, ``"acquire"`` (a load), ``"release"`` (a store); a fence also others."""
        kind = self.row(row_id).access.kind
        known = {possible.value: possible for possible in _ACCESS_ORDERINGS.get(kind, ())}
        word = ordering.replace("-", "_")
        if word not in known:
            can = f"it can be {', '.join(name.replace('_', '-') for name in known)}" if known else "it has no ordering"
            raise VariantError(f"{row_id} ({kind.value}) cannot be {ordering!r}; {can}")
        return self._with_access(row_id, "order", row_id, word.replace("_", "-"), ordering=known[word])

    def retargeted(self, row_id: str, flag: str) -> Variant:
        """Make a load or a store touch another flag, by one of the names in :data:`FLAGS`.

        ``"own"`` and ``"neighbour"`` need a rank, so they are for readers.
        """
        table, _ = self._find(row_id)
        row = self.row(row_id)
        if row.access.flag is None:
            raise VariantError(f"{row_id} ({row.access}) touches no flag")
        known = [name for name in FLAGS if table.role is Role.READER or name not in ("own", "neighbour")]
        if flag not in known:
            raise VariantError(f"unknown flag {flag!r}; a {table.role.value}'s row can touch {', '.join(known)}")
        return self._with_access(row_id, "retarget", row_id, flag, flag=FLAGS[flag])

    def redirected(self, row_id: str, outcome: str, then: str) -> Variant:
        """Let an outcome of a row (``"0"``, ``"1"``, ``"done"``, ``"aborted"``) lead elsewhere.

        ``then`` is ``"next"``, ``"found"``, ``"otherwise"``, ``"wait"`` or ``"restart"``, as in the tables.
        """
        row = self.row(row_id)
        outcomes = {own.value: own for own, _ in row.then}
        places = {place.value: place for place in Then}
        if outcome not in outcomes:
            raise VariantError(f"{row_id} has no outcome {outcome!r}; its outcomes are {', '.join(outcomes)}")
        if then not in places:
            raise VariantError(f"unknown place {then!r}; the places are {', '.join(places)}")
        branches = tuple((own, places[then] if own is outcomes[outcome] else old) for own, old in row.then)
        return self._with_row(row_id, replace(row, then=branches), "redirect", row_id, outcome, then)

    def flipped(self, row_id: str) -> Variant:
        """Turn a load's test round (0 leads where 1 led), or let a store store the other value."""
        row = self.row(row_id)
        if row.access.kind is Kind.STORE:
            assert row.access.value is not None, "a store has a value"
            return self._with_access(row_id, "flip", row_id, value=1 - row.access.value)
        if row.access.kind is not Kind.LOAD:
            raise VariantError(f"{row_id} ({row.access}) is neither a load nor a store: there is nothing to flip")
        places = [then for _, then in row.then]
        branches = tuple((outcome, then) for (outcome, _), then in zip(row.then, reversed(places), strict=True))
        return self._with_row(row_id, replace(row, then=branches), "flip", row_id)

    def advancing(self, side: str, blocks: int) -> Variant:
        """Let the ``"writer"`` or the ``"reader"`` go on by so many blocks after use (1 is right; 0 forgets to go on)."""
        table = {"writer": self.writer, "reader": self.reader}.get(side)
        if table is None:
            raise VariantError(f"unknown side {side!r}; the sides are writer, reader")
        if not 0 <= blocks <= ADVANCE_MAX:
            raise VariantError(f"advance is {blocks!r}, and it lies between 0 and {ADVANCE_MAX}")
        return self._with_table(table, replace(table, advance_after_use=blocks), Edit("advance", (side, str(blocks))))

    def fenced(self, ordering: str = "seq_cst", *, before: str | None = None, after: str | None = None) -> Variant:
        """Put a fence directly before or after a row; its clause id is ``F1``, ``F2`` …"""
        known = {possible.value: possible for possible in _FENCE_ORDERINGS}
        word = ordering.replace("-", "_")
        if word not in known:
            can = ", ".join(name.replace("_", "-") for name in known)
            raise VariantError(f"a fence cannot be {ordering!r}; it can be {can}")
        row = Row(self._new_id("F"), "fence", Access(Kind.FENCE, known[word]), _NEXT, "A variant has it here.")
        return self._inserted((row,), before, after, "fence", word.replace("_", "-"))

    def locked(self, *, before: str | None = None, after: str | None = None) -> Variant:
        """Take and let go a lock of the process's own, directly before or after a row: what some use in place of a fence.

        Its rows are ``L1`` (an acquire exchange) and ``U1`` (a release store) on a byte that no other actor touches.
        """
        take, let_go = self._new_id("L"), self._new_id("U")
        rows = (
            Row(
                take,
                "take one's own lock",
                Access(Kind.EXCHANGE, Ordering.ACQUIRE, Flag.LOCK, 1),
                _NEXT,
                "A variant has it here.",
            ),
            Row(
                let_go,
                "let one's own lock go",
                Access(Kind.STORE, Ordering.RELEASE, Flag.LOCK, 0),
                _NEXT,
                "It is taken before.",
            ),
        )
        return self._inserted(rows, before, after, "lock")

    def replace(
        self, *, policy: str | None = None, initial_read_flag: int | None = None, missing_readers: int | None = None
    ) -> Variant:
        """Change what is not a row.

        ``policy``: ``"ring"`` or ``"scan"`` (see :data:`SCAN`). ``initial_read_flag``: 0 or 1, the value of every read flag in
        a new segment. ``missing_readers``: how many read flags may still be 0 when W2 takes a block for free (0 is right).
        """
        result = self
        if policy is not None:
            result = result._with_policy(policy)
        if initial_read_flag is not None:
            result = result._with_initial_read_flag(initial_read_flag)
        if missing_readers is not None:
            result = result._with_missing_readers(missing_readers)
        return result

    @classmethod
    def parse(cls, *edits: str) -> Variant:
        """Make the variant that these edits, in text form and in this order, lead to from the shipped tables."""
        result = cls()
        for text in edits:
            operation, _, argument = text.partition("=")
            if operation not in _PARSERS:
                raise VariantError(f"unknown edit {text!r}; the edits are {', '.join(f'{name}=…' for name in _PARSERS)}")
            arguments = argument.split(",") if argument else []
            count, apply = _PARSERS[operation]
            if len(arguments) != count:
                raise VariantError(f"edit {text!r} takes {count} argument{'s' if count > 1 else ''}, separated by commas")
            result = apply(result, *arguments)
        return result

    def _find(self, row_id: str) -> tuple[Table, int]:
        for table in (self.writer, self.reader):
            for index, row in enumerate(table.rows):
                if row.id == row_id:
                    return table, index
        known = ", ".join(row.id for table in (self.writer, self.reader) for row in table.rows)
        raise VariantError(f"no row {row_id!r} here; the rows of this variant are {known}")

    def _find_in(self, table: Table, row_id: str, verb: str, other_id: str) -> int:
        found, index = self._find(row_id)
        if found is not table:
            raise VariantError(f"{other_id} cannot be {verb} {row_id}: they belong to different sides")
        if row_id == other_id:
            raise VariantError(f"{other_id} cannot be {verb} itself")
        return index

    def _with_row(self, row_id: str, row: Row, operation: str, *arguments: str) -> Variant:
        table, index = self._find(row_id)
        return self._edited(table, (*table.rows[:index], row, *table.rows[index + 1 :]), operation, *arguments)

    def _with_access(self, row_id: str, operation: str, *arguments: str, **changes: Any) -> Variant:
        """The access changed; what the row said of its pairing may be wrong now, and goes."""
        row = self.row(row_id)
        changed = replace(row, access=replace(row.access, **changes), pairing="")
        return self._with_row(row_id, changed, operation, *arguments)

    def _new_id(self, letter: str) -> str:
        taken = {row.id for table in (self.writer, self.reader) for row in table.rows}
        return next(name for count in range(1, len(taken) + 2) if (name := f"{letter}{count}") not in taken)

    def _inserted(self, rows: tuple[Row, ...], before: str | None, after: str | None, what: str, *arguments: str) -> Variant:
        if (before is None) == (after is None):
            raise VariantError(f"a {what} stands either before a row or after one")
        side, row_id = ("before", before) if before is not None else ("after", after)
        assert row_id is not None, "one of them is given"
        table, index = self._find(row_id)
        place = index + (side == "after")
        changed = (*table.rows[:place], *rows, *table.rows[place:])
        return self._edited(table, changed, f"{what}-{side}", row_id, *arguments)

    def _edited(self, table: Table, rows: tuple[Row, ...], operation: str, *arguments: str) -> Variant:
        return self._with_table(table, replace(table, rows=rows), Edit(operation, arguments))

    def _with_table(self, old: Table, new: Table, *edits: Edit) -> Variant:
        writer, reader = (new if table is old else table for table in (self.writer, self.reader))
        return replace(self, writer=writer, reader=reader, edits=self.edits + edits)

    def _with_policy(self, policy: str) -> Variant:
        if policy not in POLICIES:
            raise VariantError(f"unknown policy {policy!r}; the policies are {', '.join(POLICIES)}")
        edit = Edit("policy", (policy,))
        if policy == self.policy:
            return replace(self, edits=(*self.edits, edit))
        scans = policy == SCAN
        writer = replace(self.writer, rows=_looks_reversed(self.writer.rows))
        writer, reader = (
            replace(table, advance_after_use=int(not scans), advance_while_waiting=int(scans))
            for table in (writer, self.reader)
        )
        return replace(self, writer=writer, reader=reader, policy=policy, edits=(*self.edits, edit))

    def _with_initial_read_flag(self, value: int) -> Variant:
        if value not in FLAG_BYTES:
            raise VariantError(f"initial_read_flag is {value!r}, and a flag is 0 or 1")
        value = int(value)
        return replace(self, initial_read_flag=value, edits=(*self.edits, Edit("initial-read-flag", (str(value),))))

    def _with_missing_readers(self, count: int) -> Variant:
        if not 0 <= count <= MISSING_READERS_MAX:
            raise VariantError(f"missing_readers is {count!r}, and it lies between 0 and {MISSING_READERS_MAX}")
        count = int(count)
        rows = tuple(
            replace(row, access=replace(row.access, missing_allowed=count)) if _counts_readers(row) else row
            for row in self.writer.rows
        )
        if not any(_counts_readers(row) for row in rows):
            raise VariantError("missing_readers is about a row that loads read[*], and this variant has none left")
        return self._edited(self.writer, rows, "missing-readers", str(count))


def _counts_readers(row: Row) -> bool:
    return row.access.kind is Kind.LOAD and row.access.is_several


def _looks_reversed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    looks = [row for row in rows if row.is_look]
    return tuple(looks.pop() if row.is_look else row for row in rows)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise VariantError(f"{text!r} is not a whole number") from None


_PARSERS: Final[dict[str, tuple[int, Callable[..., Variant]]]] = {
    "without": (1, Variant.without),
    "swap": (2, Variant.swapped),
    "move": (2, lambda variant, row_id, before: variant.moved(row_id, before=before)),
    "weaken": (1, Variant.weakened),
    "order": (2, Variant.ordered),
    "redirect": (3, Variant.redirected),
    "flip": (1, Variant.flipped),
    "retarget": (2, Variant.retargeted),
    "advance": (2, lambda variant, side, blocks: variant.advancing(side, _integer(blocks))),
    "fence-before": (2, lambda variant, row_id, ordering: variant.fenced(ordering, before=row_id)),
    "fence-after": (2, lambda variant, row_id, ordering: variant.fenced(ordering, after=row_id)),
    "lock-before": (1, lambda variant, row_id: variant.locked(before=row_id)),
    "lock-after": (1, lambda variant, row_id: variant.locked(after=row_id)),
    "policy": (1, lambda variant, policy: variant.replace(policy=policy)),
    "initial-read-flag": (1, lambda variant, value: variant.replace(initial_read_flag=_integer(value))),
    "missing-readers": (1, lambda variant, value: variant.replace(missing_readers=_integer(value))),
}

PROTOCOL: Final = Variant()
"""The shipped tables."""

ORIGINAL: Final = PROTOCOL.replace(policy=SCAN)
"""The policy of the text from which this project starts (vLLM, June 2024), on the same rows.

That text loads the written flag even when the read flags alone have decided; a relaxed load whose value is not used changes
nothing in any memory model here, so the table leaves it out.
"""
