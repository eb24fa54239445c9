"""Six faults, planted in the ordinary ring: each a few lines, each to be found below call level.

``--ring=ringbuffer.conformance.examples.planted:MarksEarly`` and the like.
"""

from __future__ import annotations

import time
from multiprocessing.shared_memory import SharedMemory

from ringbuffer.conformance.examples import ordinary
from ringbuffer.conformance.examples.ordinary import NAP_SECONDS, Reader, Ring, Writer


class _MarkingEarly(Reader):
    def try_read(self) -> bytes | None:
        if not self.is_new():
            return None
        self.mark()
        data = self.take()
        self.advance()
        return data


class _PublishingEarly(Writer):
    def try_write(self, data: bytes) -> bool:
        if not self.is_free():
            return False
        self.publish()
        self.fill(data)
        self.advance()
        return True


class _FreeingEarly(Writer):
    def is_free(self) -> bool:
        return self.buf[self.written] == 0 or any(self.buf[self.written + 1 : self.body])


class _LosingTheAdvance(Reader):
    def read(self, timeout: float | None) -> bytes | None:
        """Who had to wait stays at the block."""
        if (data := self.try_read()) is not None:
            return data
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_new():
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(NAP_SECONDS)
        data = self.take()
        self.mark()
        return data


class _ReadingPastTheLength(Reader):
    def try_read(self) -> bytes | None:
        """The length is from before the look at the flags."""
        length = self.length()
        if not self.is_new():
            return None
        data = self.copy(length)
        self.mark()
        self.advance()
        return data


class _CountedWriter(Writer):
    def is_free(self) -> bool:
        return bool(self.buf[self.written] == 0 or self.buf[self.written + self.ring.stride - 1] == self.ring.readers)

    def publish(self) -> None:
        self.buf[self.written + self.ring.stride - 1] = 0
        super().publish()


class _CountingReader(Reader):
    def mark(self) -> None:
        super().mark()
        self.buf[self.written + self.ring.stride - 1] += 1


class MarksEarly(Ring):
    """A reader gives its block back before it has copied the message."""

    def reader(self, rank: int) -> ordinary.Reader:
        """A reader's end."""
        return _MarkingEarly(self, rank)


class PublishesEarly(Ring):
    """The writer publishes a block before it fills it."""

    def writer(self) -> ordinary.Writer:
        """The writer's end."""
        return _PublishingEarly(self)


class FreesEarly(Ring):
    """The writer takes a block for free when one reader has read it."""

    def writer(self) -> ordinary.Writer:
        """The writer's end."""
        return _FreeingEarly(self)


class LosesAdvance(Ring):
    """A reader that had to wait does not go on to the next block."""

    def reader(self, rank: int) -> ordinary.Reader:
        """A reader's end."""
        return _LosingTheAdvance(self, rank)


class ReadsPastLength(Ring):
    """A reader looks at the length of a message before it knows that it is there."""

    def reader(self, rank: int) -> ordinary.Reader:
        """A reader's end."""
        return _ReadingPastTheLength(self, rank)


class SharedCount(Ring):
    """Readers count themselves in a byte that they share, each in one line, in which another's count can be lost."""

    def __init__(self, readers: int, blocks: int, block_bytes: int, memory: SharedMemory | None = None) -> None:
        super().__init__(readers, blocks, block_bytes + 1, memory)  # the count is the last byte of a block
        self.block_bytes = block_bytes

    def writer(self) -> ordinary.Writer:
        """The writer's end."""
        return _CountedWriter(self)

    def reader(self, rank: int) -> ordinary.Reader:
        """A reader's end."""
        return _CountingReader(self, rank)
