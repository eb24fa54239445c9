"""A small ring in the ordinary style, with one mistake: the worked example of chapter 20 of the specification.

``K`` blocks, each with a written flag, a read flag for every reader, the message's length, and room for the message. It works
whenever one call is made after the other. Limits: for total store order (x86-64) only, as any ring in pure Python.
"""

from __future__ import annotations

import struct
import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

LENGTH = struct.Struct("<I")


class ToyRing:
    """The memory, and where things are in it."""

    def __init__(self, readers: int, blocks: int, block_bytes: int, memory: SharedMemory | None = None) -> None:
        self.readers, self.blocks, self.block_bytes = readers, blocks, block_bytes
        self.stride = 1 + readers + LENGTH.size + block_bytes
        self.is_creator = memory is None
        self.memory = memory or SharedMemory(create=True, size=blocks * self.stride)
        self.buf: Any = self.memory.buf

    def __reduce__(self) -> tuple[object, ...]:
        return ToyRing, (self.readers, self.blocks, self.block_bytes, self.memory)

    def close(self) -> None:
        self.memory.close()
        if self.is_creator:
            self.memory.unlink()


class ToyWriter:
    """Puts messages into one block after the other."""

    def __init__(self, ring: ToyRing) -> None:
        self.ring, self.index = ring, 0

    def put(self, data: bytes, timeout: float | None = None) -> None:
        ring, at = self.ring, self.index * self.ring.stride
        flags, body = at + 1, at + 1 + ring.readers
        deadline = None if timeout is None else time.monotonic() + timeout
        while ring.buf[at] == 1 and sum(ring.buf[flags:body]) < ring.readers:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            time.sleep(0.000_01)
        ring.buf[at] = 0
        LENGTH.pack_into(ring.buf, body, len(data))
        ring.buf[body + LENGTH.size : body + LENGTH.size + len(data)] = data
        ring.buf[flags:body] = bytes(ring.readers)
        ring.buf[at] = 1
        self.index = (self.index + 1) % ring.blocks


class ToyReader:
    """Takes every message."""

    def __init__(self, ring: ToyRing, rank: int) -> None:
        self.ring, self.rank, self.index = ring, rank, 0

    def get(self, timeout: float | None = None) -> bytes:
        ring, at = self.ring, self.index * self.ring.stride
        mine, body = at + 1 + self.rank, at + 1 + ring.readers
        deadline = None if timeout is None else time.monotonic() + timeout
        while ring.buf[mine] == 1 or ring.buf[at] == 0:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            time.sleep(0.000_01)
        ring.buf[mine] = 1
        (length,) = LENGTH.unpack_from(ring.buf, body)
        data = bytes(ring.buf[body + LENGTH.size : body + LENGTH.size + length])
        self.index = (self.index + 1) % ring.blocks
        return data
