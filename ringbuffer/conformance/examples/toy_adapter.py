"""The adapter of the toy ring: ``--ring=ringbuffer.conformance.examples.toy_adapter:Adapter``."""

from __future__ import annotations

from ringbuffer.conformance.examples.toy import ToyReader, ToyRing, ToyWriter


class Adapter:
    """A toy ring, as the kit calls it."""

    def __init__(self, readers: int, blocks: int, block_bytes: int) -> None:
        self.ring = ToyRing(readers, blocks, block_bytes)

    def writer(self) -> Writer:
        return Writer(ToyWriter(self.ring))

    def reader(self, rank: int) -> Reader:
        return Reader(ToyReader(self.ring, rank))

    def close(self) -> None:
        self.ring.close()


class Writer:
    """The writer's end."""

    def __init__(self, end: ToyWriter) -> None:
        self.end = end

    def write(self, data: bytes, timeout: float | None) -> bool:
        try:
            self.end.put(data, timeout)
        except TimeoutError:
            return False
        return True

    def try_write(self, data: bytes) -> bool:
        return self.write(data, 0)


class Reader:
    """A reader's end."""

    def __init__(self, end: ToyReader) -> None:
        self.end = end

    def read(self, timeout: float | None) -> bytes | None:
        try:
            return self.end.get(timeout)
        except TimeoutError:
            return None

    def try_read(self) -> bytes | None:
        return self.read(0)
