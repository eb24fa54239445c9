"""Segments that a test writes byte by byte, in a folder of its own, to be looked at; and the clock on which it does.

Rules: a role is held, as in a real ring, by a lock on a byte of the file, by a descriptor of its own.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from ringbuffer.memory import holding
from ringbuffer.memory.layout import AWAKE_BYTES, PARTICIPANT, Header, Layout
from ringbuffer.memory.shared import NAME_PREFIX

NOW_SECONDS: Final = 1_000.0
CREATOR_PID: Final = 40
FRAME: Final = struct.Struct("<QQIIQ")


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


class Clock:
    """In place of the module ``time``, where a look asks for it."""

    @staticmethod
    def monotonic_ns() -> int:
        return nanoseconds(NOW_SECONDS)


class Written:
    """A segment: nobody has come, nothing is published, its creator is gone. ``at``: in which folder.

    ``has_name``: a note of the test's, whether the file is to keep its name."""

    def __init__(self, at: Path, n_reader: int = 3, max_chunks: int = 3, *, name: str = "test") -> None:
        self.layout = Layout(n_reader, 64, max_chunks)
        self.name = NAME_PREFIX + name
        self.path = at / self.name
        self.has_name = True
        header = Header.of(self.layout, initial_read_flag=0, creator_pid=CREATOR_PID, identity=bytes(16))
        self.path.write_bytes(header.pack().ljust(self.layout.total_bytes, b"\0"))
        self._file = self._open()
        self._holders: dict[int, int] = {}
        for rank in range(-1, n_reader):
            self.awake(rank, 1)

    def close(self) -> None:
        for descriptor in (self._file, *self._holders.values()):
            os.close(descriptor)

    def put(self, offset: int, data: bytes) -> None:
        assert os.pwrite(self._file, data, offset) == len(data)

    def flags(self, block: int, *flags: int) -> None:
        self.put(self.layout.entry_offset(block), bytes(flags))

    def frame(
        self, block: int, sequence: int, length: int = 5, *, kind: int = 1, part: int = 3, total: int | None = None
    ) -> None:
        total = length if total is None else total
        self.put(self.layout.block_offset(block), FRAME.pack(sequence, length, kind, part, total))

    def publish(self, sequence: int, *read_flags: int) -> None:
        """The block of that number, published; and how far its readers are."""
        block = sequence % self.layout.max_chunks
        self.frame(block, sequence)
        self.flags(block, 1, *(read_flags or self.layout.n_reader * (0,)))

    def awake(self, rank: int, word: int) -> None:
        self.put(self.layout.awake_offset + (1 + rank) * AWAKE_BYTES, struct.pack("=I", word))

    def claimed(
        self,
        rank: int,
        *,
        position: int = 0,
        waiting: float | None = None,
        left: float | None = None,
        evicted_by: int = 0,
        lives: bool = True,
    ) -> None:
        """That role was claimed, by pid 41 + rank + 1; ``waiting``, ``left``: for, and before how many seconds."""
        since, left_at = (0 if ago is None else nanoseconds(NOW_SECONDS - ago) for ago in (waiting, left))
        fields = (position, since, nanoseconds(NOW_SECONDS - 100), left_at, 42 + rank, 1, evicted_by)
        self.put(self.layout.participant_offset(rank), PARTICIPANT.pack(*fields))
        if lives and left is None:
            self.hold(self.layout.participant_offset(rank))

    def hold(self, offset: int) -> None:
        self._holders[offset] = self._open()
        assert holding.hold(self._holders[offset], offset)

    def let_go(self, offset: int) -> None:
        os.close(self._holders.pop(offset))

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR)
