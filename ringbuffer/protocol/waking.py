"""Sleeping and waking: the rows by which an actor that waits lies down, and by which the other side wakes it.

Each actor has a word in the segment, 1 while it is awake. Who finds its block busy (and is done with looking again and
yielding) stores 0 there, **looks again**, and sleeps while the word is 0; the kernel compares and lies down in one step
(futex). Who has done something that another may wait for looks at the others' words, and only if one is 0 stores 1 and makes
a system call. Both do a store and then a load of what the other stores: without a full fence between the two on *both* sides
each may miss the other's store, and then one sleeps although its block is free.

The rows are put behind and beside those of a table by :func:`with_waking`. Rules: pure; the ring's own rows stay as they are;
a writer wakes readers, a reader wakes the writer; nobody bumps a shared counter, every word has one sleeper. Limits:
only for tables in which a waiting actor stays at its block; a scanning one would have to sleep on all blocks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol.program import FIRST_PC, Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.recovery import with_notes
from ringbuffer.protocol.table import Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then
from ringbuffer.protocol.variant import Edit

_NEXT: Final = ((Outcome.DONE, Then.NEXT),)
_UP: Final = Access(Kind.STORE, Ordering.RELAXED, Flag.AWAKE, 1)

SLEEPING: Final = (
    Row(
        "S1",
        "say that one sleeps",
        Access(Kind.STORE, Ordering.RELAXED, Flag.AWAKE, 0),
        _NEXT,
        "The other side looks here before it spends a system call on waking.",
    ),
    Row(
        "S2",
        "fence",
        Access(Kind.FENCE, Ordering.SEQ_CST),
        _NEXT,
        "With K1: either the other side sees this word 0, or the looks behind see what the other side has stored.",
    ),
    Row(
        "S4",
        "sleep",
        Access(Kind.SLEEP, Ordering.RELAXED, Flag.AWAKE),
        _NEXT,
        "The kernel lies down only if the word is still 0, so that a wake between the looks and the sleep is not lost.",
    ),
    Row(
        "S5",
        "say that one is awake",
        _UP,
        _NEXT,
        "Otherwise the other side would make a system call for every message from here on.",
    ),
)
"""Lying down and getting up. Between S2 and S4 the table's own looks come once more (S3); if they find the block, S4 is left
out."""

WAKING: Final = (
    Row(
        "K1",
        "fence",
        Access(Kind.FENCE, Ordering.SEQ_CST),
        _NEXT,
        "With S2: a store (W6, R4) and then a load are not kept in order by anything weaker, not even on x86.",
    ),
    Row(
        "K2",
        "look who sleeps",
        Access(Kind.LOAD, Ordering.RELAXED, Flag.OTHERS_AWAKE),
        ((Outcome.ONE, Then.RESTART), (Outcome.ZERO, Then.NEXT)),
        "Nobody sleeps almost always, and then nothing more is to be done.",
    ),
    Row(
        "K3",
        "say that they are awake",
        Access(Kind.STORE, Ordering.RELAXED, Flag.OTHERS_AWAKE, 1),
        _NEXT,
        "Who is between its looks and its sleep is not in the kernel yet; it does not lie down when the word has changed.",
    ),
    Row("K4", "wake them", Access(Kind.WAKE, Ordering.RELAXED, Flag.OTHERS_AWAKE), _NEXT, "Who lies down already gets up."),
)
"""What follows a block: the last row (W6 and its note, R4) leads here instead of to the first row."""

LOOK_AGAIN: Final = "S3"
"""How the ids of the looks begin that stand between S2 and S4: ``S3.W1`` …"""
GETS_UP: Final = "S5"

UNCOMPARED, WAKES_ONE, SPURIOUS = "uncompared", "wakes-one", "spurious"
KERNELS: Final = (UNCOMPARED, WAKES_ONE, SPURIOUS)
"""What else a kernel may do: put to sleep whatever the word is; wake one sleeper at most; wake without any cause."""
SHARED: Final = "shared"
"""One word for all readers, instead of one for each."""
EVERYBODY, READERS, WRITERS, ONE_READER = "all", "readers", "writer", "one"
SLEEPERS: Final = (EVERYBODY, READERS, WRITERS, ONE_READER)
"""Who lies down: all, one side, or reader 0. The others look again and again instead, and who keeps no sleeper waiting wakes
nobody. Where ``one`` reader sleeps, a writer may also find that it has to wake *another*, and then it wakes this one, too."""

_ORDERINGS: Final = {
    Kind.LOAD: (Ordering.RELAXED, Ordering.ACQUIRE),
    Kind.STORE: (Ordering.RELAXED, Ordering.RELEASE),
    Kind.FENCE: (Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL, Ordering.SEQ_CST),
}


@dataclass(frozen=True, slots=True, repr=False)
class Waking:
    """The rows of sleeping and of waking; an edited copy is a question to the explorer.

    ``looks_before``: the row before which the table's looks come once more, or empty. ``kernel``: what of :data:`KERNELS`
    it does. ``shares_word``: whether all readers have one word. ``sleepers``: one of :data:`SLEEPERS`. ``edits``: what led here
    from the shipped rows; in text form (``without=K1``) they stand on command lines and in tokens, and :meth:`parse` reads
    them back.
    """

    sleeping: tuple[Row, ...] = SLEEPING
    waking: tuple[Row, ...] = WAKING
    looks_before: str = "S4"
    kernel: tuple[str, ...] = ()
    shares_word: bool = False
    sleepers: str = EVERYBODY
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.edits)) or "shipped"

    def __repr__(self) -> str:
        return f"<Waking {self}>"

    def without(self, row_id: str) -> Waking:
        """The same without a row; ``"S3"`` stands for looking again."""
        if row_id == LOOK_AGAIN:
            return replace(self, looks_before="", edits=self._with("without", row_id))
        self.row(row_id)
        return self._changed(lambda rows: tuple(row for row in rows if row.id != row_id), "without", row_id)

    def swapped(self, first_id: str, second_id: str) -> Waking:
        """The same with two rows exchanged. Raises :class:`VariantError` for one of sleeping and one of waking."""
        other = {first_id: self.row(second_id), second_id: self.row(first_id)}
        self._require_one_side(first_id, second_id)
        return self._changed(lambda rows: tuple(other.get(row.id, row) for row in rows), "swap", first_id, second_id)

    def moved(self, row_id: str, *, before: str) -> Waking:
        """The same with a row (``"S3"``: the looks) directly before another of the same side."""
        self._require_one_side(row_id, before)
        edits = self._with("move", row_id, before)
        target = self.row(before)
        if row_id == LOOK_AGAIN:
            return replace(self, looks_before=before, edits=edits)
        row = self.row(row_id)

        def change(rows: tuple[Row, ...]) -> tuple[Row, ...]:
            return tuple(one for old in rows if old is not row for one in ((row, old) if old is target else (old,)))

        return self._changed(change, "move", row_id, before)

    def ordered(self, row_id: str, ordering: str) -> Waking:
        """The same with another ordering of a load, a store or a fence."""
        row = self.row(row_id)
        known = {possible.value: possible for possible in _ORDERINGS.get(row.access.kind, ())}
        word = ordering.replace("-", "_")
        if word not in known:
            can = f"it can be {', '.join(name.replace('_', '-') for name in known)}" if known else "it has no ordering"
            raise VariantError(f"{row_id} ({row.access.kind.value}) cannot be {ordering!r}; {can}")
        other = replace(row, access=replace(row.access, ordering=known[word]))
        edit = ("order", row_id, word.replace("_", "-"))
        return self._changed(lambda rows: tuple(other if one is row else one for one in rows), *edit)

    def locked(self, *, before: str) -> Waking:
        """The same with a lock of the process's own taken and let go before a row: an exchange of a byte that no other
        actor touches, and a store. Their ids are the row's with ``L`` and ``U`` behind."""
        target = self.row(before)
        access = Access(Kind.EXCHANGE, Ordering.ACQUIRE, Flag.LOCK, 1), Access(Kind.STORE, Ordering.RELEASE, Flag.LOCK, 0)
        take, let_go = (
            Row(f"{before}{letter}", title, one, _NEXT, "A variant has it here.")
            for letter, title, one in zip("LU", ("take one's own lock", "let one's own lock go"), access, strict=True)
        )

        def change(rows: tuple[Row, ...]) -> tuple[Row, ...]:
            return tuple(one for old in rows for one in ((take, let_go, old) if old is target else (old,)))

        return self._changed(change, "lock-before", before)

    def on_kernel(self, kernel: str) -> Waking:
        """The same on a kernel that does what one of :data:`KERNELS` says."""
        if kernel not in KERNELS:
            raise VariantError(f"unknown kernel {kernel!r}; the kernels are {', '.join(KERNELS)}")
        return replace(self, kernel=(*self.kernel, kernel), edits=self._with("kernel", kernel))

    def with_word(self, word: str) -> Waking:
        """The same with one word for all readers (``"shared"``)."""
        if word != SHARED:
            raise VariantError(f"unknown word {word!r}; it can be {SHARED}")
        return replace(self, shares_word=True, edits=self._with("word", word))

    def for_sleepers(self, sleepers: str) -> Waking:
        """The same where only these sleep: ``"readers"``, ``"writer"``, or reader 0 (``"one"``)."""
        if sleepers not in SLEEPERS:
            raise VariantError(f"unknown sleepers {sleepers!r}; they can be {', '.join(SLEEPERS)}")
        return replace(self, sleepers=sleepers, edits=self._with("sleepers", sleepers))

    @property
    def has_one_word(self) -> bool:
        """Whether readers have one word in all: they share it, or only one of them sleeps."""
        return self.shares_word or self.sleepers == ONE_READER

    def of_role(self, role: Role) -> Waking:
        """What of these rows those of that side run who sleep or wake at all."""
        if self.sleepers == EVERYBODY:
            return self
        if (self.sleepers == WRITERS) == (role is Role.WRITER):
            return replace(self, waking=())
        return replace(self, sleeping=(), looks_before="")

    @classmethod
    def parse(cls, *edits: str) -> Waking:
        """What these edits, in text form and in this order, make of the shipped rows."""
        result = cls()
        for text in edits:
            operation, _, argument = text.partition("=")
            arguments = argument.split(",") if argument else []
            if operation not in _PARSERS:
                raise VariantError(
                    f"the rows of sleeping and waking cannot be edited by {text!r}: only by {', '.join(_PARSERS)}"
                )
            count, apply = _PARSERS[operation]
            if len(arguments) != count:
                raise VariantError(f"edit {text!r} takes {count} argument{'s' if count > 1 else ''}, separated by commas")
            result = apply(result, *arguments)
        return result

    def row(self, row_id: str) -> Row:
        """The row with that id. Raises :class:`VariantError` if there is none."""
        for row in (*self.sleeping, *self.waking):
            if row.id == row_id:
                return row
        known = ", ".join(row.id for row in (*self.sleeping, *self.waking))
        raise VariantError(
            f"no row {row_id!r} here; the rows of sleeping and waking are {known}, and {LOOK_AGAIN} (look again)"
        )

    def _require_one_side(self, first_id: str, second_id: str) -> None:
        if first_id == second_id or (first_id[0] == "S") != (second_id[0] == "S"):
            raise VariantError(f"{first_id} and {second_id} are not two rows of one side: of sleeping (S…), or of waking (K…)")

    def _changed(self, change: Callable[[tuple[Row, ...]], tuple[Row, ...]], operation: str, *arguments: str) -> Waking:
        edits = self._with(operation, *arguments)
        return replace(self, sleeping=change(self.sleeping), waking=change(self.waking), edits=edits)

    def _with(self, operation: str, *arguments: str) -> tuple[Edit, ...]:
        return (*self.edits, Edit(operation, arguments))


_PARSERS: Final[dict[str, tuple[int, Callable[..., Waking]]]] = {
    "without": (1, Waking.without),
    "swap": (2, Waking.swapped),
    "move": (2, lambda waking, row_id, before: waking.moved(row_id, before=before)),
    "order": (2, Waking.ordered),
    "lock-before": (1, lambda waking, row_id: waking.locked(before=row_id)),
    "kernel": (1, Waking.on_kernel),
    "word": (1, Waking.with_word),
    "sleepers": (1, Waking.for_sleepers),
}
_IDS: Final = (*(row.id for row in (*SLEEPING, *WAKING)), LOOK_AGAIN)


def concerns_waking(edit: str) -> bool:
    """Whether an edit in text form is one of these rows, and not of the two tables."""
    operation, _, argument = edit.partition("=")
    return operation in ("kernel", "word", "sleepers") or argument.partition(",")[0] in _IDS


def executed(table: Table, waking: Waking | None = None) -> Program:
    """What an endpoint runs: the table with its note, and with sleeping and waking where its actor stays at its block."""
    program = resolve(with_notes(table))
    return with_waking(program, waking or Waking()) if can_sleep(program) else program


def can_sleep(program: Program) -> bool:
    """Whether a waiting actor stays at its block, and can look at it again without doing anything to it."""
    goes_on = any(branch.edge is Edge.WAITED and branch.advance for one in program.instructions for _, branch in one.branches)
    between = program.instructions[: _behind_the_looks(program)]
    touches = any(not one.row.is_look and (one.row.is_payload or _is_of_block(one.row)) for one in between)
    return not goes_on and not touches


def _is_of_block(row: Row) -> bool:
    return row.access.flag is not None and row.access.flag is not Flag.LOCK


def _behind_the_looks(program: Program) -> int:
    return max((one.pc for one in program.instructions if one.row.is_look), default=FIRST_PC - 1) + 1


def with_waking(program: Program, waking: Waking | None = None) -> Program:
    """``program`` with the rows of ``waking``: finishing leads to waking, and waiting to lying down.

    Raises :class:`VariantError` for a table whose actor cannot sleep on its block.
    """
    if not can_sleep(program):
        raise VariantError(
            f"this {program.role.value} goes on to other blocks while it waits, or does something between its looks, and cannot"
            " sleep on one"
        )
    return Program(program.role, tuple(_Composer(program, (waking or Waking()).of_role(program.role)).instructions()))


class _Composer:
    """Puts together: the table, the waking rows, lying down, the looks again, the sleep, and getting up twice."""

    def __init__(self, program: Program, rows: Waking) -> None:
        self._program, self._rows = program, rows
        self._after_looks = _behind_the_looks(program)
        self._looks = program.instructions[: self._after_looks] if rows.looks_before else ()
        lying_down = [row for row in rows.sleeping if row.id != GETS_UP]
        place = next((at for at, row in enumerate(lying_down) if row.id == rows.looks_before), len(lying_down))
        self._down, self._sleep = lying_down[:place], lying_down[place:]
        self._up = [row for row in rows.sleeping if row.id == GETS_UP]
        self._wakes_at = len(program)
        self._lies_down_at = self._wakes_at + len(rows.waking)
        self._looks_at = self._lies_down_at + len(self._down)
        self._sleeps_at = self._looks_at + len(self._looks)
        self._is_up_at = self._sleeps_at + len(self._sleep)
        self._has_found_at = self._is_up_at + len(self._up)
        self._end = self._has_found_at + len(self._up)

    def instructions(self) -> Iterator[Instruction]:
        for one in self._program.instructions:
            branches = tuple((outcome, self._of_table(branch)) for outcome, branch in one.branches)
            yield replace(one, branches=branches)
        home = Branch(FIRST_PC, 0, Edge.RETURNED)
        yield from _chain(self._rows.waking, self._wakes_at, home)
        yield from _chain(self._down, self._lies_down_at, self._to(self._looks_at))
        yield from self._look_again()
        yield from _chain(self._sleep, self._sleeps_at, self._to(self._is_up_at))
        yield from _chain(self._up, self._is_up_at, home)
        yield from _chain(self._up, self._has_found_at, self._found())

    def _to(self, pc: int) -> Branch:
        """On to the rows that begin there, or home where none are left."""
        return Branch(pc, 0, Edge.FORWARD) if pc < self._end else Branch(FIRST_PC, 0, Edge.RETURNED)

    def _of_table(self, branch: Branch) -> Branch:
        if branch.edge is Edge.FINISHED and self._rows.waking:
            return replace(branch, pc=self._wakes_at)
        if branch.edge is Edge.WAITED and self._lies_down_at < self._end:
            return replace(branch, pc=self._lies_down_at)
        return branch

    def _found(self) -> Branch:
        """Where the looks lead that find the block."""
        return Branch(self._after_looks, 0, Edge.FORWARD)

    def _look_again(self) -> Iterator[Instruction]:
        """The looks once more, and what an edited table has between them: busy leads to the sleep, found to using the block."""
        places = {one.pc: self._looks_at + at for at, one in enumerate(self._looks)}
        for one in self._looks:
            row = replace(one.row, id=f"{LOOK_AGAIN}.{one.row.id}")
            branches = tuple((outcome, self._after_look(branch, places)) for outcome, branch in one.branches)
            yield Instruction(places[one.pc], row, branches)

    def _after_look(self, branch: Branch, places: dict[int, int]) -> Branch:
        if branch.edge is Edge.WAITED:
            return self._to(self._sleeps_at)
        if branch.pc in places:
            return replace(branch, pc=places[branch.pc])
        return Branch(self._has_found_at, 0, Edge.FORWARD) if self._up else self._found()


def _chain(rows: tuple[Row, ...] | list[Row], start: int, end: Branch) -> Iterator[Instruction]:
    """Rows one after the other: ``NEXT`` leads to the row behind, and from the last one, or by any other word, to ``end``."""
    for pc, row in enumerate(rows, start):
        behind = Branch(pc + 1, 0, Edge.FORWARD) if pc < start + len(rows) - 1 else end
        yield Instruction(pc, row, tuple((outcome, behind if then is Then.NEXT else end) for outcome, then in row.then))
