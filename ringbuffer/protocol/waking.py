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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol.program import FIRST_PC, Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.recovery import with_notes
from ringbuffer.protocol.table import Access, Flag, Kind, Ordering, Outcome, Row, Table, Then

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


@dataclass(frozen=True, slots=True)
class Waking:
    """The rows of sleeping and of waking; an edited copy is a question to the explorer."""

    sleeping: tuple[Row, ...] = SLEEPING
    waking: tuple[Row, ...] = WAKING
    looks_again: bool = True

    def without(self, row_id: str) -> Waking:
        """The same without a row; ``"S3"`` stands for looking again."""
        if row_id == LOOK_AGAIN:
            return replace(self, looks_again=False)
        self.row(row_id)
        sleeping, waking = (tuple(row for row in rows if row.id != row_id) for rows in (self.sleeping, self.waking))
        return replace(self, sleeping=sleeping, waking=waking)

    def swapped(self, first_id: str, second_id: str) -> Waking:
        """The same with two rows exchanged."""
        other = {first_id: self.row(second_id), second_id: self.row(first_id)}
        sleeping, waking = (tuple(other.get(row.id, row) for row in rows) for rows in (self.sleeping, self.waking))
        return replace(self, sleeping=sleeping, waking=waking)

    def with_access(self, row_id: str, access: Access) -> Waking:
        """The same with another access in a row."""
        changed = replace(self.row(row_id), access=access)
        sleeping, waking = (
            tuple(changed if row.id == row_id else row for row in rows) for rows in (self.sleeping, self.waking)
        )
        return replace(self, sleeping=sleeping, waking=waking)

    def row(self, row_id: str) -> Row:
        """The row with that id. Raises :class:`VariantError` if there is none."""
        for row in (*self.sleeping, *self.waking):
            if row.id == row_id:
                return row
        known = ", ".join(row.id for row in (*self.sleeping, *self.waking))
        raise VariantError(
            f"no row {row_id!r} here; the rows of sleeping and waking are {known}, and {LOOK_AGAIN} (look again)"
        )


def executed(table: Table, waking: Waking | None = None) -> Program:
    """What an endpoint runs: the table with its note, and with sleeping and waking where its actor stays at its block."""
    program = resolve(with_notes(table))
    return with_waking(program, waking or Waking()) if can_sleep(program) else program


def can_sleep(program: Program) -> bool:
    """Whether a waiting actor stays at its block."""
    return not any(branch.edge is Edge.WAITED and branch.advance for one in program.instructions for _, branch in one.branches)


def with_waking(program: Program, waking: Waking | None = None) -> Program:
    """``program`` with the rows of ``waking``: finishing leads to waking, and waiting to lying down.

    Raises :class:`VariantError` for a table whose actor goes on while it waits.
    """
    if not can_sleep(program):
        raise VariantError(f"this {program.role.value} goes on to other blocks while it waits, and cannot sleep on one")
    return Program(program.role, tuple(_Composer(program, waking or Waking()).instructions()))


class _Composer:
    """Puts together: the table, the waking rows, lying down, the looks again, the sleep, and getting up twice."""

    def __init__(self, program: Program, rows: Waking) -> None:
        self._program, self._rows = program, rows
        self._after_looks = max((one.pc for one in program.instructions if one.row.is_look), default=FIRST_PC - 1) + 1
        looks = program.instructions[: self._after_looks] if rows.looks_again else ()
        self._looks = looks
        lying_down = [row for row in rows.sleeping if row.id != GETS_UP]
        place = next((at for at, row in enumerate(lying_down) if row.access.kind is Kind.SLEEP), len(lying_down))
        self._down, self._sleep = lying_down[:place], lying_down[place:]
        self._up = [row for row in rows.sleeping if row.id == GETS_UP]
        self._wakes_at = len(program)
        self._lies_down_at = self._wakes_at + len(rows.waking)
        self._looks_at = self._lies_down_at + len(self._down)
        self._sleeps_at = self._looks_at + len(looks)
        self._is_up_at = self._sleeps_at + len(self._sleep)
        self._has_found_at = self._is_up_at + len(self._up)

    def instructions(self) -> Iterator[Instruction]:
        for one in self._program.instructions:
            branches = tuple((outcome, self._of_table(branch)) for outcome, branch in one.branches)
            yield replace(one, branches=branches)
        home = Branch(FIRST_PC, 0, Edge.RETURNED)
        yield from _chain(self._rows.waking, self._wakes_at, home)
        yield from _chain(self._down, self._lies_down_at, Branch(self._looks_at, 0, Edge.FORWARD))
        yield from self._look_again()
        yield from _chain(self._sleep, self._sleeps_at, self._get_up(self._is_up_at, home))
        yield from _chain(self._up, self._is_up_at, home)
        yield from _chain(self._up, self._has_found_at, self._found())

    def _get_up(self, pc: int, then: Branch) -> Branch:
        return Branch(pc, 0, Edge.FORWARD) if self._up else then

    def _of_table(self, branch: Branch) -> Branch:
        if branch.edge is Edge.FINISHED and self._rows.waking:
            return replace(branch, pc=self._wakes_at)
        return replace(branch, pc=self._lies_down_at) if branch.edge is Edge.WAITED else branch

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
            return Branch(self._sleeps_at, 0, Edge.FORWARD)
        if branch.pc in places:
            return replace(branch, pc=places[branch.pc])
        return self._get_up(self._has_found_at, self._found())


def _chain(rows: tuple[Row, ...] | list[Row], start: int, end: Branch) -> Iterator[Instruction]:
    """Rows one after the other: ``NEXT`` leads to the row behind, and from the last one, or by any other word, to ``end``."""
    for pc, row in enumerate(rows, start):
        behind = Branch(pc + 1, 0, Edge.FORWARD) if pc < start + len(rows) - 1 else end
        yield Instruction(pc, row, tuple((outcome, behind if then is Then.NEXT else end) for outcome, then in row.then))
