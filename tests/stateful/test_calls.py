"""Call by call: a real ring against a list and cursors, with everything that may go wrong in a call.

One endpoint per rank, all in this process; a call that would wait is made with ``timeout=0``, so that no rule can block.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import (
    BlockEscapedError,
    DecodeError,
    EncodeError,
    EndpointBusyError,
    FrameError,
    MessageTooLargeError,
    WaitTimeoutError,
)
from ringbuffer.protocol import Case

CHUNK_BYTES = 64
READERS = st.integers(0, 2)


class Poison:
    """It can be pickled, and unpickling it raises."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("not a number",)


class CallMachine(RuleBasedStateMachine):
    @initialize(readers=st.integers(1, 3), blocks=st.integers(1, 3))
    def make_ring(self, readers: int, blocks: int) -> None:
        self.ring = ShmRingBuffer(readers, CHUNK_BYTES, blocks)
        self.writer = ShmRingBufferIO(self.ring, -1)
        self.readers = [ShmRingBufferIO(self.ring, rank) for rank in range(readers)]
        self.sent: list[object] = []
        self.cursors = [0] * readers

    def full(self) -> bool:
        return len(self.sent) - min(self.cursors) == self.ring.max_chunks

    def owed(self, rank: int) -> list[object]:
        return self.sent[self.cursors[rank] :]

    @contextmanager
    def room_needed(self) -> Iterator[bool]:
        """Yield whether there is room; without room the body must time out, and name the readers that lag."""
        if not self.full():
            yield True
            return
        lagging = tuple(rank for rank, cursor in enumerate(self.cursors) if cursor == len(self.sent) - self.ring.max_chunks)
        with pytest.raises(WaitTimeoutError) as caught:
            yield False
        assert caught.value.missing_ranks == lagging
        assert caught.value.block_index == len(self.sent) % self.ring.max_chunks

    @rule(obj=st.one_of(st.integers(), st.binary(max_size=20), st.lists(st.booleans(), max_size=5), st.none()))
    def enqueue(self, obj: object) -> None:
        with self.room_needed() as room:
            self.writer.enqueue(obj, timeout=0)
        if room:
            self.sent.append(obj)

    @rule()
    def enqueue_poison(self) -> None:
        with self.room_needed() as room:
            self.writer.enqueue(Poison(), timeout=0)
        if room:
            self.sent.append(Poison)

    @rule(content=st.binary(min_size=1, max_size=CHUNK_BYTES))
    def fill_in_place(self, content: bytes) -> None:
        with self.room_needed() as room, self.writer.acquire_write(timeout=0) as block:
            block[: len(content)] = content
        if room:
            self.sent.append(memoryview(content))

    @rule(content=st.binary(min_size=1, max_size=CHUNK_BYTES))
    def fill_and_raise(self, content: bytes) -> None:
        with self.room_needed() as room:
            if room:
                with pytest.raises(KeyError), self.writer.acquire_write(timeout=0) as block:
                    block[: len(content)] = content
                    raise KeyError
            else:
                self.writer.acquire_write(timeout=0).__enter__()

    @rule()
    def enqueue_what_cannot_be_sent(self) -> None:
        with pytest.raises(MessageTooLargeError):
            self.writer.enqueue(b"x" * CHUNK_BYTES, timeout=0)
        with pytest.raises(EncodeError):
            self.writer.enqueue(lambda: None, timeout=0)

    @rule(rank=READERS)
    def dequeue(self, rank: int) -> None:
        rank %= len(self.readers)
        if not self.owed(rank):
            with pytest.raises(WaitTimeoutError):
                self.readers[rank].dequeue(timeout=0)
            return
        expected = self.owed(rank)[0]
        if isinstance(expected, memoryview):
            with pytest.raises(FrameError):
                self.readers[rank].dequeue(timeout=0)
            return
        self.cursors[rank] += 1
        if expected is Poison:
            with pytest.raises(DecodeError) as caught:
                self.readers[rank].dequeue(timeout=0)
            assert caught.value.raw == pickle.dumps(Poison(), 5)
        else:
            assert self.readers[rank].dequeue(timeout=0) == expected

    @rule(rank=READERS, fails=st.booleans())
    def read_in_place(self, rank: int, fails: bool) -> None:
        rank %= len(self.readers)
        if not self.owed(rank):
            with pytest.raises(WaitTimeoutError):
                self.readers[rank].acquire_read(timeout=0).__enter__()
            return
        expected = self.owed(rank)[0]
        try:
            with self.readers[rank].acquire_read(timeout=0) as block:
                if isinstance(expected, memoryview):
                    assert block[: len(expected)] == expected
                if fails:
                    raise KeyError
        except KeyError:
            pass
        else:
            self.cursors[rank] += 1
        with pytest.raises(ValueError, match="released"):
            block[0]

    @rule(rank=READERS)
    def keep_the_block(self, rank: int) -> None:
        rank %= len(self.readers)
        if not self.owed(rank):
            return
        kept = None
        with pytest.raises(BlockEscapedError), self.readers[rank].acquire_read(timeout=0) as block:
            kept = pickle.PickleBuffer(block)
        assert kept is not None
        kept.release()

    @rule(rank=READERS)
    def use_an_end_twice(self, rank: int) -> None:
        reader = self.readers[rank % len(self.readers)]
        if not self.owed(rank % len(self.readers)):
            return
        with pytest.raises(KeyError), reader.acquire_read(timeout=0):
            with pytest.raises(EndpointBusyError):
                reader.dequeue(timeout=0)
            raise KeyError

    @invariant()
    def cases_are_what_the_oracle_says(self) -> None:
        if not hasattr(self, "ring"):
            return
        for age in range(min(len(self.sent), self.ring.max_chunks)):
            number = len(self.sent) - 1 - age
            read_by = sum(cursor > number for cursor in self.cursors)
            case = self.ring.case(number % self.ring.max_chunks)
            if case is Case.UNWRITTEN:
                assert read_by == len(self.readers), "only a block that all have read was claimed, and given up"
            elif read_by in (0, len(self.readers)):
                assert case is (Case.READ_BY_ALL if read_by else Case.WRITTEN)
            else:
                assert case is Case.PARTLY_READ

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            self.ring.unlink()
            self.ring.close()


TestCalls = CallMachine.TestCase
