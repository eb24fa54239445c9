"""The four cases of a block's metadata entry.

An entry is 1 + N flag bytes: the written flag, then one read flag per reader, each 0 or 1. The case says who may use the
block. Rules: pure, standard library only. Limits: a case describes one entry at one instant; a process that loads the flags
one by one may see a combination that was never there at once, which is why the protocol is a table and not this function.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

WRITTEN_FLAG_INDEX = 0
"""Where the written flag stands in an entry; reader ``r``'s flag follows at ``1 + r``."""

FLAG_BYTES = (0, 1)
"""The only values that a flag byte takes."""


class Case(enum.IntEnum):
    """Who may use a block, read off its flags. The numbers are those of the original text."""

    UNWRITTEN = 1
    """``0???…`` — the writer may write; nobody may read."""
    WRITTEN = 2
    """``1000…0`` — every reader may read; the writer waits."""
    PARTLY_READ = 3
    """``1???…?`` — a reader whose own flag is 0 may read; the writer waits."""
    READ_BY_ALL = 4
    """``1111…1`` — the writer may write; no reader may read."""

    @property
    def writer_may_write(self) -> bool:
        """Whether the writer may claim a block in this case."""
        return self in (Case.UNWRITTEN, Case.READ_BY_ALL)


def classify(flags: Sequence[int]) -> Case:
    """Return the case of one metadata entry.

    ``flags``: the entry's bytes (``bytes``, a ``memoryview``, or any sequence of ints), written flag first. An entry
    without readers is read by all as soon as it is written.
    Raises ``ValueError`` for an empty entry, or for a byte that is neither 0 nor 1.
    """
    if len(flags) == 0:
        raise ValueError("an entry has at least the written flag")
    for index, flag in enumerate(flags):
        if flag not in FLAG_BYTES:
            raise ValueError(f"flag byte {index} is {flag}, and a flag is 0 or 1")
    if flags[WRITTEN_FLAG_INDEX] == 0:
        return Case.UNWRITTEN
    read_count = sum(flags[WRITTEN_FLAG_INDEX + 1 :])
    if read_count == len(flags) - 1:
        return Case.READ_BY_ALL
    return Case.PARTLY_READ if read_count else Case.WRITTEN


def reader_may_read(flags: Sequence[int], rank: int) -> bool:
    """Whether reader ``rank`` may read a block with these flags: written, and not yet read by this reader."""
    return classify(flags) is not Case.UNWRITTEN and flags[WRITTEN_FLAG_INDEX + 1 + rank] == 0


def missing_readers(flags: Sequence[int]) -> tuple[int, ...]:
    """The ranks that have not read the block: those that a writer waits for. Empty if the block is not written."""
    if classify(flags) is Case.UNWRITTEN:
        return ()
    return tuple(rank for rank, flag in enumerate(flags[WRITTEN_FLAG_INDEX + 1 :]) if flag == 0)
