"""A small ring without a fault, in the ordinary style; ``planted.py`` makes faulty ones of it.

Adapter and ring in one: its ends have the methods that the kit calls. Limits: for total store order (x86-64) only, as any ring
in pure Python.
"""

from __future__ import annotations

import struct
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

LENGTH = struct.Struct("<I")
NAP_SECONDS = 0.000_01


class Ring:
    """The shared memory, and where things are in it: for each block a written flag, the read flags, the length, the body."""

    def __init__(self, readers: int, blocks: int, block_bytes: int, memory: SharedMemory | None = None) -> None:
        self.readers, self.blocks, self.block_bytes = readers, blocks, block_bytes
        self.stride = 1 + readers + LENGTH.size + block_bytes
        self.is_creator = memory is None
        self.memory = memory or SharedMemory(create=True, size=blocks * self.stride)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.readers, self.blocks, self.block_bytes, self.memory)

    def writer(self) -> Writer:
        """The writer's end."""
        return Writer(self)

    def reader(self, rank: int) -> Reader:
        """A reader's end."""
        return Reader(self, rank)

    def close(self) -> None:
        """Let go of the memory; its creator removes it."""
        self.memory.close()
        if self.is_creator:
            self.memory.unlink()


class End:
    """What both ends have in common: a block at which they stand."""

    def __init__(self, ring: Ring) -> None:
        self.ring, self.index = ring, 0
        self.buf: Any = ring.memory.buf

    def close(self) -> None:
        """Let go of the memory."""
        self.buf = None

    @property
    def written(self) -> int:
        """Where the block's written flag is."""
        return self.index * self.ring.stride

    @property
    def body(self) -> int:
        """Where its length is, behind which the message is."""
        return self.written + 1 + self.ring.readers

    def advance(self) -> None:
        """On to the next block."""
        self.index = (self.index + 1) % self.ring.blocks


class Writer(End):
    """The writer."""

    def try_write(self, data: bytes) -> bool:
        """Write, if the block is free."""
        if not self.is_free():
            return False
        self.buf[self.written] = 0
        self.fill(data)
        self.publish()
        self.advance()
        return True

    def write(self, data: bytes, timeout: float | None) -> bool:
        """Write, waiting for the block."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.try_write(data):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(NAP_SECONDS)
        return True

    def is_free(self) -> bool:
        """Whether the block was never written, or all have read it."""
        return self.buf[self.written] == 0 or all(self.buf[self.written + 1 : self.body])

    def fill(self, data: bytes) -> None:
        """Put the message there."""
        LENGTH.pack_into(self.buf, self.body, len(data))
        start = self.body + LENGTH.size
        self.buf[start : start + len(data)] = data

    def publish(self) -> None:
        """Let the readers see it."""
        self.buf[self.written + 1 : self.body] = bytes(self.ring.readers)
        self.buf[self.written] = 1


class Reader(End):
    """A reader."""

    def __init__(self, ring: Ring, rank: int) -> None:
        super().__init__(ring)
        self.rank = rank

    def try_read(self) -> bytes | None:
        """Read, if the block holds something new."""
        if not self.is_new():
            return None
        data = self.take()
        self.mark()
        self.advance()
        return data

    def read(self, timeout: float | None) -> bytes | None:
        """Read, waiting for the block."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (data := self.try_read()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(NAP_SECONDS)
        return data

    def is_new(self) -> bool:
        """Whether the block is written, and this reader has not read it."""
        return bool(not self.buf[self.written + 1 + self.rank] and self.buf[self.written] == 1)

    def take(self) -> bytes:
        """A copy of the message."""
        return self.copy(self.length())

    def length(self) -> int:
        """How long the message is."""
        length: int = LENGTH.unpack_from(self.buf, self.body)[0]
        return length

    def copy(self, length: int) -> bytes:
        """So much of the block."""
        start = self.body + LENGTH.size
        return bytes(self.buf[start : start + length])

    def mark(self) -> None:
        """Give the block back."""
        self.buf[self.written + 1 + self.rank] = 1
