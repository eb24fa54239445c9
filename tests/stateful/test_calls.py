"""Call by call: a real ring against a list and cursors, with everything that may go wrong in a call.

One endpoint per rank, all in this process; a call that would wait is made with ``timeout=0``, so that no rule can block. The
oracle is the list of all published blocks, of each of which it says what part of what message it is, and for each reader how
many of them it has taken, and the message that it has taken and must get again.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import (
    BlockEscapedError,
    DecodeError,
    EncodeError,
    EndpointBusyError,
    FrameError,
    WaitTimeoutError,
)
from ringbuffer.protocol import Case

CHUNK_BYTES: Final = 64
READERS = st.integers(0, 2)
SIZES = st.one_of(
    st.integers(0, 20),
    st.sampled_from([CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 1]),
    st.integers(0, 6 * CHUNK_BYTES),
)


class Poison:
    """It can be pickled, and unpickling it raises. ``padding`` makes it as large as one likes."""

    def __init__(self, padding: bytes) -> None:
        self.padding = padding

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("not a number", len(self.padding), self.padding)


@dataclass(frozen=True)
class Message:
    """What was sent: ``kind`` is ``bytes``, ``object``, ``poison`` or ``raw``."""

    kind: str
    content: Any
    size_bytes: int
    blocks: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", max(1, -(-self.size_bytes // CHUNK_BYTES)))


@dataclass(frozen=True)
class Part:
    """One published block: which part of which message."""

    message: Message
    number: int

    @property
    def is_last(self) -> bool:
        return self.number == self.message.blocks - 1


@dataclass
class Reader:
    """What the oracle knows of a reader. ``begun``: the message of which it has taken some parts; ``kept``: one that it has
    taken, and that comes again."""

    end: ShmRingBufferIO
    cursor: int = 0
    begun: Message | None = None
    kept: Message | None = None


def message_of(kind: str, size: int, seed: int) -> Message:
    data = bytes((seed + 31 * at) % 256 for at in range(size))
    if kind == "bytes":
        return Message(kind, data, size)
    content = [seed, data] if kind == "object" else Poison(data)
    return Message(kind, content, len(pickle.dumps(content, 5)))


class CallMachine(RuleBasedStateMachine):
    @initialize(readers=st.integers(1, 3), blocks=st.integers(1, 4))
    def make_ring(self, readers: int, blocks: int) -> None:
        self.ring = ShmRingBuffer(readers, CHUNK_BYTES, blocks)
        self.writer = ShmRingBufferIO(self.ring, -1)
        self.readers = [Reader(ShmRingBufferIO(self.ring, rank)) for rank in range(readers)]
        self.published: list[Part] = []
        self.unfinished: tuple[Message, int] | None = None
        """A message that can be resumed, and how many of its blocks are published."""

    def room(self) -> int:
        """How many blocks the writer can publish now."""
        return self.ring.max_chunks - len(self.published) + min(reader.cursor for reader in self.readers)

    @contextmanager
    def publishing(self, message: Message, done: int = 0) -> Iterator[None]:
        """What the call inside publishes of a message of which so many blocks are published already."""
        blocks = min(self.room(), message.blocks - done)
        if blocks == message.blocks - done:
            yield
            self.unfinished = None
        else:
            with pytest.raises(WaitTimeoutError) as caught:
                yield
            first = len(self.published) + blocks - self.ring.max_chunks
            assert caught.value.missing_ranks == tuple(rank for rank, one in enumerate(self.readers) if one.cursor <= first)
            assert caught.value.block_index == (len(self.published) + blocks) % self.ring.max_chunks
            if message.kind != "raw":
                sent_bytes = (done + blocks) * CHUNK_BYTES
                assert (caught.value.sent_bytes, caught.value.total_bytes) == (sent_bytes, message.size_bytes)
            del caught  # the endpoints that its traceback refers to would live on
            if done + blocks:
                self.unfinished = message, done + blocks
        self.published += [Part(message, done + number) for number in range(blocks)]

    @rule(kind=st.sampled_from(["bytes", "object", "poison"]), size=SIZES, seed=st.integers(0, 255), by_send=st.booleans())
    def send(self, kind: str, size: int, seed: int, by_send: bool) -> None:
        message = message_of(kind, size, seed)
        with self.publishing(message):
            if kind == "bytes" and by_send:
                self.writer.send_bytes(memoryview(message.content), timeout=0)
            else:
                self.writer.enqueue(message.content, timeout=0)

    @rule()
    def resume(self) -> None:
        if self.unfinished is None:
            assert not self.writer.resume(timeout=0)
            return
        with self.publishing(*self.unfinished):
            assert self.writer.resume(timeout=0)

    @rule(content=st.binary(min_size=1, max_size=CHUNK_BYTES))
    def fill_in_place(self, content: bytes) -> None:
        with self.publishing(Message("raw", content, CHUNK_BYTES)), self.writer.acquire_write(timeout=0) as block:
            block[: len(content)] = content

    @rule(content=st.binary(min_size=1, max_size=CHUNK_BYTES))
    def fill_and_raise(self, content: bytes) -> None:
        with suppress(WaitTimeoutError), pytest.raises(KeyError), self.writer.acquire_write(timeout=0) as block:
            block[: len(content)] = content
            raise KeyError

    @rule()
    def enqueue_what_cannot_be_sent(self) -> None:
        with pytest.raises(EncodeError):
            self.writer.enqueue(lambda: None, timeout=0)
        with pytest.raises(TypeError):
            self.writer.send_bytes("no bytes", timeout=0)

    def next_of(self, reader: Reader, takes: tuple[str, ...]) -> Message | str:
        """What a call gets that takes messages of these kinds: one, or ``"nothing"``, or ``"refused"``; its parts are taken."""
        if reader.kept is not None:
            return reader.kept if reader.kept.kind in takes else "refused"
        while reader.cursor < len(self.published):
            part = self.published[reader.cursor]
            if part.message.kind not in takes:
                return "refused"
            if part.number == 0:
                reader.begun = part.message if not part.is_last else None
            reader.cursor += 1
            if part.is_last:
                reader.begun = None
                return part.message
        return "nothing"

    @rule(rank=READERS, call=st.sampled_from(["dequeue", "recv_bytes"]))
    def receive(self, rank: int, call: str) -> None:
        reader = self.readers[rank % len(self.readers)]
        expected = self.next_of(reader, ("bytes",) if call == "recv_bytes" else ("bytes", "object", "poison"))
        take = getattr(reader.end, call)
        if isinstance(expected, str):
            with pytest.raises(WaitTimeoutError if expected == "nothing" else FrameError):
                take(timeout=0)
            return
        reader.kept = None
        if expected.kind == "poison":
            with pytest.raises(DecodeError) as caught:
                take(timeout=0)
            assert caught.value.raw == pickle.dumps(expected.content, 5)
            del caught
        else:
            assert take(timeout=0) == expected.content

    @rule(rank=READERS, fails=st.booleans())
    def read(self, rank: int, fails: bool) -> None:
        reader = self.readers[rank % len(self.readers)]
        before = reader.cursor
        expected = self.next_of(reader, ("bytes", "object", "poison"))
        if isinstance(expected, str) or expected.kind == "poison":
            errors = {"nothing": WaitTimeoutError, "refused": FrameError}
            with pytest.raises(errors[expected] if isinstance(expected, str) else DecodeError):
                reader.end.read(timeout=0).__enter__()
            return
        with suppress(KeyError), reader.end.read(timeout=0) as message:
            assert message == expected.content
            if fails:
                raise KeyError
        reader.kept = None
        if fails and expected.blocks == 1 and reader.cursor == before + 1:
            reader.cursor = before  # it was read in its block, which stays unread
        elif fails:
            reader.kept = expected

    @rule(rank=READERS, end=st.sampled_from(["ends", "raises", "escapes"]))
    def read_in_place(self, rank: int, end: str) -> None:
        reader = self.readers[rank % len(self.readers)]
        hold = reader.end.acquire_read(timeout=0)
        if reader.kept is not None or reader.cursor == len(self.published):
            with pytest.raises(WaitTimeoutError if reader.kept is None else EndpointBusyError):
                hold.__enter__()
            return
        message = self.published[reader.cursor].message
        if message.blocks > 1:
            with pytest.raises(FrameError, match="a part of a message"):
                hold.__enter__()
            return
        kept = None
        try:
            with hold as block:
                with pytest.raises(EndpointBusyError):
                    reader.end.dequeue(timeout=0)
                if message.kind in ("raw", "bytes"):
                    assert block[: len(message.content)] == message.content
                if end == "raises":
                    raise KeyError
                kept = pickle.PickleBuffer(block) if end == "escapes" else None
        except (KeyError, BlockEscapedError):
            assert end != "ends"
        else:
            assert end == "ends"
            reader.cursor += 1
        reader.begun = None
        if kept is not None:
            kept.release()
            return
        with pytest.raises(ValueError, match="released"):
            block[0]

    @precondition(lambda self: hasattr(self, "ring"))
    @rule(rank=READERS, closed=st.booleans())
    def be_followed(self, rank: int, closed: bool) -> None:
        """A reader is followed by another. It is between two messages, or the rest of the one that it has begun is lost."""
        reader = self.readers[rank % len(self.readers)]
        if reader.begun is not None or reader.kept is not None:
            return
        if closed:
            reader.end.close()
        del reader.end
        reader.end = ShmRingBufferIO(self.ring, rank % len(self.readers))

    @rule(closed=st.booleans())
    def be_followed_as_writer(self, closed: bool) -> None:
        if closed:
            self.writer.close()
        del self.writer
        self.writer, self.unfinished = ShmRingBufferIO(self.ring, -1), None

    @invariant()
    def cases_are_what_the_oracle_says(self) -> None:
        if not hasattr(self, "ring"):
            return
        for number in range(len(self.published))[-self.ring.max_chunks :]:
            read_by = sum(reader.cursor > number for reader in self.readers)
            case = self.ring.case(number % self.ring.max_chunks)
            if case is Case.UNWRITTEN:
                assert read_by == len(self.readers), "only a block that all have read was claimed, and given up"
            elif read_by in (0, len(self.readers)):
                assert case is (Case.READ_BY_ALL if read_by else Case.WRITTEN)
            else:
                assert case is Case.PARTLY_READ

    @invariant()
    def memory_is_bounded_by_what_has_arrived(self) -> None:
        for reader in getattr(self, "readers", []):
            received = reader.end._inbox._assembly.received_bytes
            assert received <= CHUNK_BYTES * max(1, reader.cursor)
            if reader.begun is None and reader.kept is None:
                assert received == 0 or self.published[reader.cursor - 1].message.kind != "raw"

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            self.ring.unlink()
            self.ring.close()


TestCalls = CallMachine.TestCase
