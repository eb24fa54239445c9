"""What outlives an actor: its position, and where a successor goes on.

An actor's place in the ring is in its own process, and is gone with it. So each notes how many blocks it is done with in a
word of its own in the segment; nobody else writes there. An actor may be killed between its last store to the block and its
note, so that the note alone can be one off; the block itself says which it is.

* The writer notes **after** W6. If its block (the one that the noted number names) is published and holds just that number, the
  note was missed, and the successor goes on behind it.
* A reader notes **before** R4. If the block before the noted number is still unread by it and holds just that number less one,
  the mark was missed, and the successor reads that message again: it was never given back.

Rules: pure; notes are rows, and stand in the same order in the real endpoints, in the simulator and in the explorer.
Limits: the number that a block holds is in its frame, which the flags protect as they protect the payload: it is looked at only
where nobody can be writing it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ringbuffer.protocol.table import Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then

_NOTE: Final = Access(Kind.STORE, Ordering.RELEASE, Flag.POSITION)
_NEXT: Final = ((Outcome.DONE, Then.NEXT),)

WRITER_NOTE: Final = Row(
    "N1",
    "note the position",
    _NOTE,
    _NEXT,
    "A successor of a writer that was killed goes on behind what is published; noted before W6, a message could be left out.",
    "with nothing: it keeps the note behind W6, so that a note never speaks of what was not published",
)
READER_NOTE: Final = Row(
    "N2",
    "note the position",
    _NOTE,
    _NEXT,
    "A successor of a reader that was killed goes on at what it has not read; noted behind R4, the block could be another's by"
    " the time that anybody looks.",
)


def with_notes(table: Table) -> Table:
    """The table with its note: behind the writer's last row, before a reader's (that is no fence and no lock)."""
    if table.role is Role.WRITER:
        return replace(table, rows=(*table.rows, WRITER_NOTE))
    touching = [place for place, row in enumerate(table.rows) if row.access.flag is not Flag.LOCK and not _is_fence(row)]
    last = max(touching, default=0)
    return replace(table, rows=(*table.rows[:last], READER_NOTE, *table.rows[last:]))


def _is_fence(row: Row) -> bool:
    return row.access.kind is Kind.FENCE


def writer_resumes_at(position: int, *, is_published: bool, holds: int) -> int:
    """The number of the first message that a writer's successor writes.

    ``position``: what was noted. ``is_published``: whether the written flag of block ``position % K`` is 1; ``holds``: the
    number in that block's frame (of no account where it is not published).
    """
    return position + 1 if is_published and holds == position else position


def reader_resumes_at(position: int, *, is_unread: bool, holds: int) -> int:
    """The number of the first message that a reader's successor reads.

    ``position``: what was noted. ``is_unread``: whether block ``(position - 1) % K`` is published and not marked by that
    reader; ``holds``: the number in that block's frame (of no account where it is not unread).
    """
    return position - 1 if position and is_unread and holds == position - 1 else position
