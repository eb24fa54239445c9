"""A ring with the scanning policy of the first broadcast rings, written in the ordinary style: classes, context managers, naps.

A side that finds its block busy does not wait for it, but goes on to the next; after using a block it stays there. So a reader
that has passed a block comes back to it late, and receives out of order: the kit is to find that without knowing of it.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

_LENGTH = struct.Struct("<I")
_NAP_SECONDS = 1e-7


class NoBlock(TimeoutError):
    """No block was to be had in time."""


class ScanningBuffer:
    """The shared memory: all blocks, and behind them an entry of flags for each."""

    def __init__(self, readers: int, blocks: int, block_bytes: int, memory: SharedMemory | None = None) -> None:
        self.readers, self.blocks, self.block_bytes = readers, blocks, _LENGTH.size + block_bytes
        self.entry_bytes = 1 + readers
        self.is_creator = memory is None
        self.memory = memory or SharedMemory(create=True, size=blocks * (self.block_bytes + self.entry_bytes))
        self.buf: Any = self.memory.buf

    def __reduce__(self) -> tuple[object, ...]:
        return ScanningBuffer, (self.readers, self.blocks, self.block_bytes - _LENGTH.size, self.memory)

    @contextmanager
    def data(self, index: int) -> Iterator[memoryview]:
        """A block."""
        start = index * self.block_bytes
        with self.buf[start : start + self.block_bytes] as view:
            yield view

    @contextmanager
    def flags(self, index: int) -> Iterator[memoryview]:
        """The written flag of a block, and its read flags."""
        start = self.blocks * self.block_bytes + index * self.entry_bytes
        with self.buf[start : start + self.entry_bytes] as view:
            yield view

    def close(self) -> None:
        """Let go of the memory; the creator removes it."""
        self.memory.close()
        if self.is_creator:
            self.memory.unlink()


class ScanningEnd:
    """One end; ``rank`` -1 writes."""

    def __init__(self, buffer: ScanningBuffer, rank: int) -> None:
        self.buffer, self.rank, self.index = buffer, rank, 0

    @contextmanager
    def acquire_write(self, timeout: float | None = None) -> Iterator[memoryview]:
        """A block to fill; it is published when the body ends."""
        began, first = time.monotonic(), self.index
        while True:
            with self.buffer.flags(self.index) as flags:
                read_count = sum(flags[1:])
                if flags[0] and read_count != self.buffer.readers:
                    self._go_on(began, first, timeout)
                    continue
                flags[0] = 0
                with self.buffer.data(self.index) as block:
                    yield block
                for rank in range(self.buffer.readers):
                    flags[1 + rank] = 0
                flags[0] = 1
                return

    @contextmanager
    def acquire_read(self, timeout: float | None = None) -> Iterator[memoryview]:
        """A block to read; it is marked as read when the body ends."""
        began, first = time.monotonic(), self.index
        while True:
            with self.buffer.flags(self.index) as flags:
                is_mine = not flags[1 + self.rank]
                if not is_mine or not flags[0]:
                    self._go_on(began, first, timeout)
                    continue
                with self.buffer.data(self.index) as block:
                    yield block
                flags[1 + self.rank] = 1
                return

    def _go_on(self, began: float, first: int, timeout: float | None) -> None:
        """On to the next block; after a round without one, a nap."""
        self.index = (self.index + 1) % self.buffer.blocks
        if self.index == first:
            if timeout is not None and time.monotonic() - began >= timeout:
                raise NoBlock
            time.sleep(_NAP_SECONDS)

    def put(self, data: bytes, timeout: float | None = None) -> None:
        """Write a message."""
        with self.acquire_write(timeout) as block:
            _LENGTH.pack_into(block, 0, len(data))
            block[_LENGTH.size : _LENGTH.size + len(data)] = data

    def get(self, timeout: float | None = None) -> bytes:
        """Read a message."""
        with self.acquire_read(timeout) as block:
            (length,) = _LENGTH.unpack_from(block)
            return bytes(block[_LENGTH.size : _LENGTH.size + length])


class _GivenUp(Exception):
    """What a body raises that gives its block up."""


class Adapter:
    """The scanning ring, as the kit calls it; its ends are their own adapters."""

    def __init__(self, readers: int, blocks: int, block_bytes: int) -> None:
        self.buffer = ScanningBuffer(readers, blocks, block_bytes)

    def writer(self) -> AdapterEnd:
        """The writer's end."""
        return AdapterEnd(self.buffer, -1)

    def reader(self, rank: int) -> AdapterEnd:
        """A reader's end."""
        return AdapterEnd(self.buffer, rank)

    def close(self) -> None:
        """Let go of the ring."""
        self.buffer.close()


class AdapterEnd(ScanningEnd):
    """Both ends, with the methods that the kit calls."""

    def write(self, data: bytes, timeout: float | None) -> bool:
        """Waiting."""
        try:
            self.put(data, timeout)
        except NoBlock:
            return False
        return True

    def read(self, timeout: float | None) -> bytes | None:
        """Waiting."""
        try:
            return self.get(timeout)
        except NoBlock:
            return None

    def try_write(self, data: bytes) -> bool:
        """Without waiting."""
        return self.write(data, 0)

    def try_read(self) -> bytes | None:
        """Without waiting."""
        return self.read(0)

    def abort_write(self, data: bytes) -> bool:
        """A body that raises."""
        try:
            with self.acquire_write(0) as block:
                block[_LENGTH.size : _LENGTH.size + len(data)] = data
                raise _GivenUp
        except NoBlock:
            return False
        except _GivenUp:
            return True

    def abort_read(self) -> bytes | None:
        """A body that raises."""
        seen: bytes | None = None
        try:
            with self.acquire_read(0) as block:
                (length,) = _LENGTH.unpack_from(block)
                seen = bytes(block[_LENGTH.size : _LENGTH.size + length])
                raise _GivenUp
        except (NoBlock, _GivenUp):
            return seen
