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
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol.cases import FLAG_BYTES
from ringbuffer.protocol.program import Program, resolve
from ringbuffer.protocol.table import READER, WRITER, Flag, Kind, Ordering, Row, Table

RING = "ring"
"""Both sides take the blocks in ring order: wait on a block, use it, go on to the next."""
SCAN = "scan"
"""The original's policy: skip a busy block, stay on a block after use, look at the read flags before the written flag."""
POLICIES = (RING, SCAN)

MISSING_READERS_MAX = 64
"""The bound of ``missing_readers``."""


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
        table, index = self._find(row_id)
        row = table.rows[index]
        if row.access.ordering in (Ordering.PLAIN, Ordering.RELAXED):
            raise VariantError(f"{row_id} ({row.access}) is {row.access.ordering.value}: it has no ordering to lose")
        weak = replace(row, access=replace(row.access, ordering=Ordering.RELAXED), pairing="")
        return self._edited(table, (*table.rows[:index], weak, *table.rows[index + 1 :]), "weaken", row_id)

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
            replace(table, moves_after_use=not scans, moves_while_waiting=scans) for table in (writer, self.reader)
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
    return row.access.kind is Kind.LOAD and row.access.flag is Flag.EACH


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
