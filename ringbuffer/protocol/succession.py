"""Taking over: the rows by which a successor finds out where it goes on, and everything else that a ring does about the dead.

Whoever gets the lock of a role whose holder is gone runs these rows once, before the first row of its table. It looks at the
one block that can tell whether the dead one's last note or mark was missed (``recovery.py``). A writer **notes where it goes on
before it does anything else**: else it could publish, be killed before its own note, and leave a note that is two off, which no
block tells. (A reader may, and need not: its note comes before its mark, so that it is never behind.) Each row is harmless when
it is run again, so a successor may be killed at any of them.

A reader's looks come in the order of R1 and R2, for the same reason: the writer may be at work on that block.

A reader that is dead can be *evicted*: a stand-in takes over its role and goes through its rows without reading. What it marks
is nobody's any more; what it has not marked is there for a newcomer, who may take the role from it between two blocks.

Rules: pure; a :class:`Succession` with another rule in it is a question to the explorer. Limits: when somebody counts as dead,
and that only one at a time holds a role, is the kernel's word (``memory/holding.py``) and is assumed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringbuffer.protocol.program import FIRST_PC, Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.recovery import READER_NOTE, WRITER_NOTE, reader_resumes_at, with_notes, writer_resumes_at
from ringbuffer.protocol.table import Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then

_DECIDES: Final = ((Outcome.ONE, Then.NEXT), (Outcome.ZERO, Then.OTHERWISE))
_DECIDES_UNREAD: Final = ((Outcome.ZERO, Then.NEXT), (Outcome.ONE, Then.OTHERWISE))
_NEXT: Final = ((Outcome.DONE, Then.NEXT),)
_FRAME: Final = Access(Kind.READ, Ordering.PLAIN)
_NOTE: Final = Access(Kind.STORE, Ordering.RELEASE, Flag.POSITION)

WRITER_TAKES_OVER: Final = (
    Row(
        "T1",
        "look at the written flag of the noted block",
        Access(Kind.LOAD, Ordering.RELAXED, Flag.WRITTEN),
        _DECIDES,
        "Only where it is published is there a number in it; only writers store here, so a writer finds the newest value.",
    ),
    Row("T2", "look at its number", _FRAME, _NEXT, "If it is the noted one, the message is out and its note was missed."),
    Row("T3", "note where to go on", _NOTE, _NEXT, "So that a note is never more than one behind what is published."),
)
READER_TAKES_OVER: Final = (
    Row(
        "T4",
        "look at one's own read flag, a block before the noted one",
        Access(Kind.LOAD, Ordering.ACQUIRE, Flag.OWN),
        _DECIDES_UNREAD,
        "If it is 1, the last read was marked.",
        "with W5, as R1 is: not the written flag of the lap before",
    ),
    Row(
        "T5",
        "look at its written flag",
        Access(Kind.LOAD, Ordering.ACQUIRE, Flag.WRITTEN),
        _DECIDES,
        "If it is 0, the writer fills the block, which only a marked one is.",
        "with W6, as R2 is: the number that the writer wrote happens before it is looked at",
    ),
    Row("T6", "look at its number", _FRAME, _NEXT, "If it is the noted one less one, the mark was missed."),
)
"""Each row leads to the next, and the last to the table's first. A look that decides that nothing was missed leads to the note,
or where there is none to the table's first."""
READER_NOTES: Final = Row("T7", "note where to go on", _NOTE, _NEXT, "Not needed, and harmless.")
"""What a reader's successor may do besides."""

TAKING_OVER: Final = "T"
"""How the ids of these rows begin."""

RULE, AS_NOTED, ONE_ON, ONE_BACK, FIRST_BLOCK = "rule", "as noted", "one on", "one back", "first block"
"""Where a successor goes on: by the rule of ``recovery.py``, or (in broken variants) elsewhere."""


@dataclass(frozen=True, slots=True)
class Succession:
    """How the dead are followed; every field but the defaults is a question to the explorer.

    ``letter`` names it in replay tokens. ``writer_notes_first`` and ``reader_notes_last``: the note on the other side of W6, of
    R4. ``writer_goes_on`` and ``reader_goes_on``: where. ``writer_notes`` and ``reader_notes``: whether a successor does, on
    taking over. ``looks_swapped``: T5 before T4. ``relaxed``: which of the two is. ``stand_in_looks``: whether a stand-in waits
    as a reader does; ``stand_in_runs``: whether it does anything. ``evicts``: whether anybody is evicted.
    ``evicts_by_marking``: evicting sets the reader's flag in the writer's block, and that is all. ``told_at_once``: a reader
    that waits is told of the writer's death without looking again.
    """

    letter: str = "A"
    writer_notes_first: bool = False
    reader_notes_last: bool = False
    writer_goes_on: str = RULE
    reader_goes_on: str = RULE
    writer_notes: bool = True
    reader_notes: bool = False
    looks_swapped: bool = False
    relaxed: str = ""
    stand_in_looks: bool = True
    stand_in_runs: bool = True
    evicts: bool = True
    evicts_by_marking: bool = False
    told_at_once: bool = False

    def program(self, table: Table) -> Program:
        """The table with its note, and behind it the rows of taking over."""
        program = self.without_taking_over(table)
        return Program(table.role, (*program.instructions, *_chain(self._rows(table.role), len(program))))

    def without_taking_over(self, table: Table) -> Program:
        """The table with its note: as long as the place at which the rows of taking over begin."""
        return resolve(self._noted(table))

    def resumes_at(self, role: Role, position: int, *, is_held: bool, holds: int, blocks: int) -> int:
        """The number at which a successor goes on. ``is_held``: whether its looks have found a number; ``holds``: which."""
        goes_on = self.writer_goes_on if role is Role.WRITER else self.reader_goes_on
        wrong = {AS_NOTED: 0, ONE_ON: 1, ONE_BACK: -1, FIRST_BLOCK: -(position % blocks)}
        if goes_on in wrong:
            return position + wrong[goes_on]
        if role is Role.WRITER:
            return writer_resumes_at(position, is_published=is_held, holds=holds)
        return reader_resumes_at(position, is_unread=is_held, holds=holds)

    def _noted(self, table: Table) -> Table:
        if table.role is Role.WRITER and self.writer_notes_first:
            return replace(table, rows=(*table.rows[:-1], WRITER_NOTE, table.rows[-1]))
        if table.role is Role.READER and self.reader_notes_last:
            return replace(table, rows=(*table.rows, READER_NOTE))
        return with_notes(table)

    def _rows(self, role: Role) -> Sequence[Row]:
        if role is Role.WRITER:
            return WRITER_TAKES_OVER if self.writer_notes else WRITER_TAKES_OVER[:-1]
        own, written, frame = map(self._ordered, READER_TAKES_OVER)
        looks = (written, own) if self.looks_swapped else (own, written)
        return (*looks, frame, READER_NOTES) if self.reader_notes else (*looks, frame)

    def _ordered(self, row: Row) -> Row:
        weakened = replace(row.access, ordering=Ordering.RELAXED)
        return replace(row, access=weakened) if row.id == self.relaxed else row


def _chain(rows: Sequence[Row], start: int) -> list[Instruction]:
    """The rows behind a program. The last leads to the program's first row, and so does a look that has no row to lead to."""
    home = Branch(FIRST_PC, 0, Edge.RETURNED)
    end = start + len(rows)
    note = end - 1 if rows[-1].access.flag is Flag.POSITION else end

    def branch(pc: int, then: Then) -> Branch:
        target = pc + 1 if then is Then.NEXT else note
        return Branch(target, 0, Edge.FORWARD) if target < end else home

    return [
        Instruction(pc, row, tuple((outcome, branch(pc, then)) for outcome, then in row.then))
        for pc, row in enumerate(rows, start)
    ]


SHIPPED: Final = "shipped"
SUCCESSIONS: Final[dict[str, Succession]] = {
    SHIPPED: Succession(),
    "writer-notes-before-publishing": Succession("B", writer_notes_first=True),
    "reader-notes-after-marking": Succession("C", reader_notes_last=True),
    "writer-goes-on-as-noted": Succession("D", writer_goes_on=AS_NOTED),
    "reader-goes-on-as-noted": Succession("E", reader_goes_on=AS_NOTED),
    "writer-goes-on-one-further": Succession("F", writer_goes_on=ONE_ON),
    "reader-goes-on-one-further": Succession("G", reader_goes_on=ONE_ON),
    "writer-goes-on-one-before": Succession("H", writer_goes_on=ONE_BACK),
    "reader-goes-on-one-before": Succession("I", reader_goes_on=ONE_BACK),
    "writer-begins-at-block-0": Succession("J", writer_goes_on=FIRST_BLOCK),
    "reader-begins-at-block-0": Succession("K", reader_goes_on=FIRST_BLOCK),
    "writer-does-not-note-on-taking-over": Succession("L", writer_notes=False),
    "reader-notes-on-taking-over": Succession("M", reader_notes=True),
    "reader-looks-at-the-written-flag-first": Succession("N", looks_swapped=True),
    "reader-looks-at-its-flag-relaxed": Succession("O", relaxed="T4"),
    "reader-looks-at-the-written-flag-relaxed": Succession("S", relaxed="T5"),
    "stand-in-does-not-look": Succession("P", stand_in_looks=False),
    "stand-in-does-nothing": Succession("U", stand_in_runs=False),
    "evicting-marks-the-block-in-hand": Succession("Q", evicts_by_marking=True),
    "told-without-looking-again": Succession("R", told_at_once=True),
    "nobody-is-evicted": Succession("T", evicts=False),
}
"""The shipped one, and what else somebody could have written."""
