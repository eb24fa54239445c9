"""Messages, sleeping and being roused: what both backends offer to an endpoint, and that they do the same.

Nothing here depends on how long something takes; every wait has an end at which the test fails.
"""

from __future__ import annotations

import array
import contextlib
import dis
import gc
import itertools
import linecache
import os
import pickle
import signal
import struct
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from interrupting import sweep
from support import LONG_SECONDS, Background, in_child, needs_extension, needs_little_endian

from ringbuffer.compiled import (
    BUSY,
    BYTES,
    COPY_MAX_BYTES,
    ENDED,
    FOUND,
    PICKLE,
    TOO_LARGE,
    WAIT,
    Runner,
    bind_native,
    bind_python,
)
from ringbuffer.memory.codes import FRAME, TENSOR, WHOLE
from ringbuffer.memory.futex import Words
from ringbuffer.memory.layout import FRAME_BYTES, PARTICIPANT, Layout
from ringbuffer.memory.python_runner import PythonRunner
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import PROTOCOL, Table, resolve
from ringbuffer.protocol.waking import executed

READERS, CHUNK, BLOCKS = 2, 64, 2
FAR_TOO_MANY: Final = 100
HUGE: Final = 1 << 70
Make = Callable[..., Any]


class Side:
    """The runners of one ring, on one backend."""

    def __init__(self, make: Make, layout: Layout, programs: Callable[[Table], Any] = executed) -> None:
        self.segment = Segment.create(layout)
        self.writer: Runner = make(programs(PROTOCOL.writer), self.segment, -1)
        self.readers: list[Runner] = [make(programs(PROTOCOL.reader), self.segment, rank) for rank in range(layout.n_reader)]

    def frame(self, number: int) -> memoryview:
        return self.segment.frame(number % self.segment.layout.max_chunks)

    def everything(self) -> bytes:
        """All that is shared, but for the header."""
        return bytes(self.segment.whole()[self.segment.layout.data_offset :])

    def word(self, rank: int) -> int:
        offset = self.segment.layout.awake_offset + 4 * (1 + rank)
        return int(struct.unpack_from("=I", self.segment.whole(), offset)[0])

    def position(self, rank: int) -> int:
        return int(PARTICIPANT.unpack_from(self.segment.whole(), self.segment.layout.participant_offset(rank))[0])

    def close(self) -> None:
        for runner in (self.writer, *self.readers):
            runner.release()
        self.segment.unlink()
        self.segment.close()


MakeSide = Callable[..., Side]


@pytest.fixture(
    params=[pytest.param(bind_native, marks=needs_extension), pytest.param(bind_python, marks=needs_little_endian)],
    ids=["native", "python"],
)
def make_side(request: pytest.FixtureRequest) -> Iterator[MakeSide]:
    made: list[Side] = []

    def make(
        readers: int = READERS, chunk: int = CHUNK, blocks: int = BLOCKS, *, programs: Callable[[Table], Any] = executed
    ) -> Side:
        made.append(Side(request.param, Layout(readers, chunk, blocks), programs))
        return made[-1]

    yield make
    for side in made:
        side.close()


def taken(reader: Runner, decode: Callable[[bytes], Any] | None = pickle.loads) -> Any:
    """What an endpoint does: the message is taken by a ``for``, and belongs to it."""
    for found in map(reader.receive, (decode,)):
        assert reader.pending is None, "it was given away"
        return found
    pytest.fail(f"nothing comes, as the result is {reader.result}")


def all_taken(reader: Runner, decode: Callable[[bytes], Any] | None = None) -> list[Any]:
    """All that there is; where it does not end, more than there can be."""
    return list(itertools.islice(map(reader.receive, itertools.repeat(decode)), FAR_TOO_MANY))


def nothing(reader: Runner, decode: Callable[[bytes], Any] | None = pickle.loads, *timeout: float) -> int:
    """Why nothing comes."""
    pending = reader.pending
    with pytest.raises(StopIteration) as caught:
        reader.receive(decode, *timeout)
    assert caught.value.args == ()
    assert reader.pending is pending, "nothing was taken"
    result: int = reader.result
    return result


# Messages, one after the other.

OPERATION = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([0, PICKLE, BYTES, 3, 2**32 - 1]), st.binary(max_size=CHUNK + 2)),
    st.tuples(st.just("receive"), st.integers(0, READERS - 1), st.sampled_from(["as text", "fails", "not at all"])),
    st.tuples(st.sampled_from(["take", "begin", "finish", "abort", "in use", "not in use"]), st.integers(-1, READERS - 1)),
    st.tuples(st.just("damage"), st.integers(0, BLOCKS - 1), st.integers(0, FRAME_BYTES - 1), st.integers(0, 255)),
)


FAILED: Final = "it cannot be decoded"
"""What comes of receiving a message for which ``decode`` raises."""


def as_text(data: bytes) -> str:
    return data.hex()


def failing(_: bytes) -> str:
    raise ArithmeticError


DECODES: Final[dict[str, Callable[[bytes], str] | None]] = {"as text": as_text, "fails": failing, "not at all": None}


class Model:
    """What should come of it, from lists and counts alone. ``frames``: what lies in front of the payloads, damage included."""

    def __init__(self) -> None:
        self.done = [0] * (1 + READERS)
        self.held = [False] * (1 + READERS)
        self.in_use = [False] * (1 + READERS)
        self.pending: list[tuple[int, bytes] | None] = [None] * (1 + READERS)
        self.frames = [bytearray(FRAME_BYTES) for _ in range(BLOCKS)]
        self.payloads = [bytearray(CHUNK) for _ in range(BLOCKS)]

    def is_free(self, who: int) -> bool:
        if who == 0:
            return self.done[0] - min(self.done[1:]) < BLOCKS
        return self.done[who] < self.done[0]

    def begin(self, who: int) -> int:
        self.held[who] = self.is_free(who)
        return FOUND if self.held[who] else WAIT

    def finish(self, who: int) -> int:
        self.held[who] = False
        self.done[who] += 1
        return ENDED

    def send(self, kind: int, data: bytes) -> int:
        if self.held[0] or self.in_use[0]:
            return BUSY
        if len(data) > CHUNK:
            return TOO_LARGE
        if self.begin(0) == WAIT:
            return WAIT
        block = self.done[0] % BLOCKS
        self.frames[block][:] = FRAME.pack(self.done[0], len(data), kind, WHOLE, len(data))
        self.payloads[block][: len(data)] = data
        self.finish(0)
        return FOUND

    def receive(self, who: int, decodes: str) -> object:
        """The message, or the number that says why there is none, or :data:`FAILED`: then, and only then, it is pending."""
        if self.held[who] or self.in_use[who]:
            return BUSY
        message = self.pending[who]
        if message is None:
            if self.begin(who) == WAIT:
                return WAIT
            block = self.done[who] % BLOCKS
            sequence, length, kind, part, total = FRAME.unpack(self.frames[block])
            good = (sequence, part, total) == (self.done[who], WHOLE, length) and length <= CHUNK
            if not good or kind not in (PICKLE, BYTES) or (kind == PICKLE and decodes == "not at all"):
                return FOUND
            message = kind, bytes(self.payloads[block][:length])
            self.finish(who)
        kind, data = message
        if kind == PICKLE and decodes == "not at all":
            return FOUND
        self.pending[who] = message if kind == PICKLE and decodes == "fails" else None
        if self.pending[who] is not None:
            return FAILED
        return as_text(data) if kind == PICKLE else data


def came(reader: Runner, decodes: str) -> object:
    """What the model says, of the runner."""
    try:
        return reader.receive(DECODES[decodes])
    except StopIteration:
        return reader.result
    except ArithmeticError:
        return FAILED


def apply(side: Side, model: Model, operation: tuple[Any, ...]) -> None:
    """One operation on both, with the same result."""
    ends: list[Any] = [side.writer, *side.readers]
    match operation:
        case "send", kind, data:
            assert side.writer.send(kind, data) == model.send(kind, data)
        case "receive", rank, decodes:
            assert came(side.readers[rank], decodes) == model.receive(1 + rank, decodes)
        case "take", rank:
            if rank >= 0:
                ends[1 + rank].pending = model.pending[1 + rank] = None
        case "begin", rank:
            if not model.held[1 + rank]:
                assert ends[1 + rank].begin() == model.begin(1 + rank)
        case ("finish" | "abort") as call, rank:
            if model.held[1 + rank]:
                assert getattr(ends[1 + rank], call)() == (model.finish(1 + rank) if call == "finish" else ENDED)
                model.held[1 + rank] = False
        case ("in use" | "not in use") as word, rank:
            ends[1 + rank].is_in_use = model.in_use[1 + rank] = word == "in use"
        case "damage", block, offset, value:
            side.segment.frame(block)[offset] = model.frames[block][offset] = value


PENDING: Final[list[tuple[Any, ...]]] = [
    *[("send", PICKLE, b"1"), ("send", PICKLE, b"2")],
    *[("receive", 0, decodes) for decodes in ("fails", "not at all", "fails")],
    *[("begin", 0), ("receive", 0, "as text"), ("abort", 0), ("in use", 0), ("receive", 0, "as text"), ("not in use", 0)],
    *[("receive", 0, decodes) for decodes in ("as text", "fails")],
    *[("take", 0), ("receive", 0, "as text"), ("receive", 1, "fails"), ("receive", 1, "fails"), ("receive", 1, "as text")],
    *[("send", BYTES, b"3"), ("receive", 0, "fails"), ("receive", 1, "fails"), ("receive", 1, "fails")],
    *[("begin", 1), ("take", 1), ("receive", 1, "as text"), ("finish", 1), ("receive", 1, "as text"), ("receive", 0, "fails")],
]
"""What can be done while a message is pending, and what comes of it."""


@needs_extension
@needs_little_endian
@settings(deadline=None)
@given(st.lists(OPERATION, max_size=25))
@example(PENDING)
def test_both_backends_do_what_lists_and_counts_say_and_leave_the_same_bytes(operations: list[tuple[Any, ...]]) -> None:
    sides = [Side(make, Layout(READERS, CHUNK, BLOCKS)) for make in (bind_native, bind_python)]
    models = [Model(), Model()]
    try:
        for operation in operations:
            for side, model in zip(sides, models, strict=True):
                apply(side, model, operation)
                assert [end.done() for end in (side.writer, *side.readers)] == model.done
                assert [side.position(rank) for rank in range(-1, READERS)] == model.done
                assert [
                    None if end.pending is None else (PICKLE, end.pending) for end in (side.writer, *side.readers)
                ] == model.pending
                assert [bytes(side.frame(block)) for block in range(BLOCKS)] == [
                    bytes(frame + payload) for frame, payload in zip(model.frames, model.payloads, strict=True)
                ]
            assert sides[0].everything() == sides[1].everything()
    finally:
        for side in sides:
            side.close()


def test_a_message_is_its_frame_and_its_bytes_and_nothing_behind_them(make_side: MakeSide) -> None:
    side = make_side(1)
    for number, data in enumerate((b"x" * CHUNK, b"", b"abc", bytes(range(CHUNK)))):
        before = bytes(side.frame(number))
        assert side.writer.send(BYTES, data) == FOUND
        frame = struct.pack("<QQIIQ", number, len(data), 2, 3, len(data))
        assert side.frame(number) == frame + data + before[len(frame) + len(data) :]
        assert taken(side.readers[0], None) == data
        assert (side.writer.done(), side.readers[0].done(), side.position(-1), side.position(0)) == (number + 1,) * 4


BUFFERS: Final[dict[str, Any]] = {
    "bytes": b"12345678",
    "bytearray": bytearray(b"12345678"),
    "array": array.array("I", [1, 2]),
    "matrix": memoryview(bytes(range(12))).cast("B", (3, 4)),
    "slice": memoryview(b"0123456789")[2:5],
    "nothing": b"",
    "empty view": memoryview(b""),
    "empty array": array.array("d"),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_any_contiguous_buffer_can_be_sent(name: str, make_side: MakeSide) -> None:
    side = make_side(1)
    assert side.writer.send(BYTES, BUFFERS[name]) == FOUND
    assert taken(side.readers[0]) == memoryview(BUFFERS[name]).tobytes()


def test_what_cannot_be_sent_changes_nothing_and_leaves_the_runner_free(make_side: MakeSide) -> None:
    side = make_side(1, blocks=1)
    before = side.everything()
    for data, error in ((memoryview(b"123456")[::2], BufferError), ("text", TypeError), (None, TypeError), (3, TypeError)):
        with pytest.raises(error):
            side.writer.send(BYTES, data)  # type: ignore[arg-type]
    assert side.writer.send(BYTES, bytes(CHUNK + 1)) == TOO_LARGE
    assert side.everything() == before
    assert not side.writer.in_use
    assert [side.writer.send(BYTES, b"1"), side.writer.send(BYTES, b"2")] == [FOUND, WAIT]
    assert taken(side.readers[0]) == b"1"
    with pytest.raises(ValueError, match="nothing to receive"):
        side.writer.receive(None)
    with pytest.raises(ValueError, match="nothing to send"):
        side.readers[0].send(BYTES, b"")


@needs_extension
def test_a_kind_of_more_than_32_bits_is_refused_in_c() -> None:
    side = Side(bind_native, Layout(1, CHUNK, 1))
    try:
        for kind in (-1, 2**32, HUGE):
            with pytest.raises(ValueError, match="a number of 32 bits"):
                side.writer.send(kind, b"")
        for arguments in ((), (2,), (2, b"", b""), ("2", b"")):
            with pytest.raises(TypeError):
                side.writer.send(*arguments)
        assert side.writer.done() == 0
    finally:
        side.close()


LONGEST: Final = COPY_MAX_BYTES + 1
OTHERS: Final = {
    "an earlier number": ({"sequence": 0}, b"", pickle.loads),
    "a later number": ({"sequence": 2}, b"", pickle.loads),
    "longer than the block": ({"length": LONGEST + 1, "total": LONGEST + 1}, b"", pickle.loads),
    "longer than memory": ({"length": 2**64 - 1, "total": 2**64 - 1}, b"", pickle.loads),
    "the first part of two": ({"part": 1, "total": 10}, b"", pickle.loads),
    "the last part of two": ({"part": 2, "total": 10}, b"", pickle.loads),
    "a part that is neither": ({"part": 0}, b"", pickle.loads),
    "another total": ({"total": 7}, b"", pickle.loads),
    "raw": ({"kind": 0}, b"", pickle.loads),
    "gathered": ({"kind": 3}, b"", pickle.loads),
    "a tensor that nothing is said of": ({"kind": TENSOR}, b"", pickle.loads),
    "an unknown kind": ({"kind": 2**32 - 1}, b"", pickle.loads),
    "a long pickle": ({"kind": PICKLE}, bytes(LONGEST), pickle.loads),
    "a pickle that is not to be decoded": ({"kind": PICKLE}, b"1234", None),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_messages_are_handed_over_in_their_block_and_nothing_is_done(name: str, make_side: MakeSide) -> None:
    fields, data, decode = OTHERS[name]
    side = make_side(1, LONGEST)
    reader = side.readers[0]
    side.writer.send(BYTES, b"first")
    assert taken(reader) == b"first"
    frame = {"sequence": 1, "length": len(data), "kind": BYTES, "part": WHOLE, "total": len(data)} | fields
    side.writer.send(BYTES, data)
    FRAME.pack_into(side.frame(1), 0, *frame.values())
    before = side.everything()
    assert [nothing(reader, decode), nothing(reader, decode)] == [FOUND, BUSY], "the block is held"
    assert (side.everything(), reader.done(), reader.where(), reader.pending) == (before, 1, 1, None)
    assert reader.abort() == ENDED
    assert nothing(reader, decode) == FOUND
    assert reader.finish() == ENDED
    assert (reader.done(), nothing(reader, decode)) == (2, WAIT)


def test_bytes_of_any_length_and_pickles_up_to_a_length_are_received_at_once(make_side: MakeSide) -> None:
    side = make_side(1, 4 * COPY_MAX_BYTES)
    for kind, length in ((BYTES, 4 * COPY_MAX_BYTES), (PICKLE, COPY_MAX_BYTES)):
        side.writer.send(kind, data := os.urandom(length))
        assert taken(side.readers[0], bytes) == data


@pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError, StopIteration])
def test_a_message_is_pending_while_it_cannot_be_decoded(error: type[BaseException], make_side: MakeSide) -> None:
    side = make_side(1)
    reader = side.readers[0]
    said: list[bytes] = []

    def failing(data: bytes) -> object:
        said.append(data)
        raise error("of the message")

    side.writer.send(PICKLE, pickle.dumps(["one"]))
    side.writer.send(BYTES, b"two")
    for number in range(2):
        with pytest.raises(error, match="of the message"):
            reader.receive(failing)
        assert not reader.in_use
        assert said == [pickle.dumps(["one"])] * (1 + number)
        assert (reader.pending, reader.pending_kind, reader.done()) == (said[0], PICKLE, 1)
    assert nothing(reader, None) == FOUND, "it is a pickle, and not to be decoded"
    assert [reader.begin(), reader.abort()] == [FOUND, ENDED], "and no block was held"
    before = side.everything()
    assert taken(reader) == ["one"]
    assert side.everything() == before, "it was marked as read before"
    assert taken(reader, None) == b"two"
    assert nothing(reader) == WAIT


def test_a_tensor_is_made_on_a_bytearray_of_its_own_of_any_length(make_side: MakeSide) -> None:
    side = make_side(1, 4 * COPY_MAX_BYTES, blocks=1)
    reader = side.readers[0]
    assert reader.decode_tensor is None
    given: list[bytearray] = []

    def keep(data: bytearray) -> int:
        given.append(data)
        return len(given)

    reader.decode_tensor = keep
    for number, length in enumerate((0, 100, 4 * COPY_MAX_BYTES), start=1):
        side.writer.send(TENSOR, sent := os.urandom(length))
        assert nothing(reader, None) == FOUND, "it is not bytes, and not to be decoded"
        assert reader.abort() == ENDED
        assert taken(reader) == number
        assert side.writer.begin() == FOUND, "its block is free"
        side.frame(0)[:] = bytes(len(side.frame(0)))
        assert side.writer.abort() == ENDED
        assert type(given[-1]) is bytearray
        assert given[-1] == sent
        given[-1].append(0)  # nobody else has it
    reader.decode_tensor = None
    side.writer.send(TENSOR, b"1")
    assert nothing(reader) == FOUND


@pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError, StopIteration])
def test_a_tensor_is_pending_while_it_cannot_be_made(error: type[BaseException], make_side: MakeSide) -> None:
    side = make_side(1)
    reader = side.readers[0]
    said: list[bytes] = []

    def failing(data: bytearray) -> object:
        said.append(bytes(data))
        raise error("of the message")

    reader.decode_tensor = failing
    side.writer.send(TENSOR, b"one")
    side.writer.send(TENSOR, b"two")
    for number in range(2):
        with pytest.raises(error, match="of the message"):
            reader.receive(pickle.loads)
        assert (said, reader.in_use) == ([b"one"] * (1 + number), False)
        assert (reader.pending, reader.pending_kind, reader.done()) == (b"one", TENSOR, 1)
    assert nothing(reader, None) == FOUND
    reader.decode_tensor = bytes
    assert [taken(reader), taken(reader)] == [b"one", b"two"]
    assert nothing(reader) == WAIT


def test_a_message_that_was_pending_is_passed_over_where_its_reader_says_so(make_side: MakeSide) -> None:
    side = make_side(1)
    reader = side.readers[0]
    for decodes in ("fails", "as text", "fails"):
        side.writer.send(PICKLE, b"not read")
        side.writer.send(PICKLE, b"read")
        assert [came(reader, "fails"), reader.pending] == [FAILED, b"not read"]
        reader.pending = None
        assert came(reader, decodes) == (FAILED if decodes == "fails" else as_text(b"read"))
        reader.pending = None
        assert nothing(reader) == WAIT


def test_while_a_message_is_decoded_nothing_else_goes_through(make_side: MakeSide) -> None:
    side = make_side(1)
    reader = side.readers[0]
    said: list[object] = []

    def decode(data: bytes) -> bytes:
        said.extend((reader.in_use, nothing(reader)))
        said.append(Background(partial(nothing, reader)).outcome())
        return data

    side.writer.send(PICKLE, b"1")
    assert taken(reader, decode) == b"1"
    assert said == [True, BUSY, BUSY]
    assert nothing(reader) == WAIT


@pytest.mark.parametrize("readers", [1, 3])
def test_no_message_goes_through_where_the_runner_is_used_otherwise(readers: int, make_side: MakeSide) -> None:
    side = make_side(readers)
    writer, reader = side.writer, side.readers[0]
    before = side.everything()
    writer.is_in_use = reader.is_in_use = True
    assert [writer.send(BYTES, b""), nothing(reader)] == [BUSY, BUSY]
    writer.is_in_use = reader.is_in_use = False
    assert side.everything() == before
    assert [writer.begin(), writer.send(BYTES, b""), writer.begin(), writer.send(BYTES, b"")] == [FOUND, BUSY, FOUND, BUSY]
    assert [writer.abort(), writer.send(BYTES, b"1")] == [ENDED, FOUND]
    assert [reader.begin(), nothing(reader), reader.finish(), nothing(reader)] == [FOUND, BUSY, ENDED, WAIT]
    for end in (writer, reader):
        end.release()
        end.release()
    assert [writer.send(BYTES, b""), nothing(reader)] == [BUSY, BUSY]
    before = side.everything()
    for end in (writer, reader):
        for call in (end.begin, end.finish, partial(end.rest, 0), partial(end.resume, 0)):
            with pytest.raises(ValueError, match="released"):
                call()
    assert side.everything() == before
    writer.rouse()


def test_a_runner_resumes_after_any_number_of_blocks_and_notes_it(make_side: MakeSide) -> None:
    side = make_side(1, blocks=3)
    for end, rank in ((side.writer, -1), (side.readers[0], 0)):
        for done in (7, 2**64 - 4, 5):
            end.resume(done)
            assert (end.done(), end.where(), side.position(rank)) == (done, done % 3, done)
        for bad, error in ((-1, ValueError), (2**64, ValueError), ("1", TypeError), (1.0, TypeError)):
            with pytest.raises(error):
                end.resume(bad)  # type: ignore[arg-type]
        assert (end.done(), end.where(), side.position(rank)) == (5, 2, 5)
    assert side.writer.send(BYTES, b"5") == FOUND
    assert FRAME.unpack_from(side.frame(5))[0] == 5
    assert taken(side.readers[0]) == b"5"


@needs_extension
@needs_little_endian
def test_ends_of_one_ring_may_use_different_backends_and_wake_each_other() -> None:
    layout = Layout(1, CHUNK, 1)
    for makers in itertools.permutations((bind_native, bind_python)):
        segment = Segment.create(layout)
        writer: Runner = makers[0](executed(PROTOCOL.writer), segment, -1)
        reader: Runner = makers[1](executed(PROTOCOL.reader), segment, 0)
        try:
            for number in range(20):
                asleep = Background(partial(received, reader))
                assert sent(writer, b"%d" % number)
                assert asleep.outcome() == b"%d" % number
        finally:
            writer.release()
            reader.release()
            segment.unlink()
            segment.close()


def sent(writer: Runner, data: bytes) -> bool:
    """As an endpoint that waits: rest, and send. Whether that succeeded before the test fails."""
    deadline = time.monotonic() + LONG_SECONDS
    while writer.send(BYTES, data) == WAIT and time.monotonic() < deadline:
        if writer.rest(LONG_SECONDS) == FOUND:
            writer.abort()
    return time.monotonic() < deadline


def received(reader: Runner) -> Any:
    """As an endpoint that waits: rest, and receive."""
    deadline = time.monotonic() + LONG_SECONDS
    while time.monotonic() < deadline:
        for found in map(reader.receive, (None,)):
            return found
        if reader.rest(LONG_SECONDS) == FOUND:
            reader.abort()
    pytest.fail("it does not come")


# Interrupts.


def test_interrupted_messages_are_sent_once(make_side: MakeSide) -> None:
    side = make_side(1, blocks=4)
    writer, reader = side.writer, side.readers[0]
    data = [b"0"]
    for outcome in sweep(lambda: writer.send(BYTES, data[0]), *(["send"] if isinstance(writer, PythonRunner) else [])):
        got = all_taken(reader)
        assert got == data if outcome.returned else got in ([], data)
        assert not writer.in_use
        data[0] = b"%d" % (int(data[0]) + 1)


def test_interrupted_messages_are_received_once_and_in_order(make_side: MakeSide) -> None:
    side = make_side(1, blocks=4)
    writer, reader = side.writer, side.readers[0]
    box: list[Any] = [None]
    count = itertools.count()
    upcoming, expected = next(count), 0

    def take() -> None:
        for box[0] in map(reader.receive, (pickle.loads,)):
            return

    for _ in sweep(take, "receive" if isinstance(reader, PythonRunner) else "take"):
        if box[0] is not None:
            assert (box, reader.pending) == ([expected], None)
            expected, box[0] = expected + 1, None
        while writer.send(PICKLE, pickle.dumps(upcoming)) == FOUND:
            upcoming = next(count)
        assert not reader.in_use
    assert expected > 0
    expected += box[0] is not None
    assert all_taken(reader, pickle.loads) == list(range(expected, upcoming))


def variables_of(function: Any) -> dict[str, Any]:
    """The variables that a printed function shares with the others: for each, the cell in which it lies."""
    return dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))


def line_of(code: CodeType, at: int) -> str:
    """The line of a printed function in which that instruction is."""
    number = [line for start, line in dis.findlinestarts(code) if start <= at][-1]
    return linecache.getline(code.co_filename, number or 0).strip()


def pass_a_fence(end: Runner) -> None:
    """As somebody who lies down, and gets up at once."""
    if end.rest(0) == FOUND:
        end.abort()


@needs_little_endian
@pytest.mark.parametrize("call", ["take_lock()", "give_lock()"])
@pytest.mark.parametrize("who", ["send", "receive", "rest"])
def test_a_fence_that_was_interrupted_does_not_hold_up_the_next(who: str, call: str) -> None:
    """In Python it is one call, by turns: behind it the lock is what is noted of it, and no message is lost or repeated."""
    side = Side(bind_python, Layout(1, CHUNK, 4))
    writer, reader = side.writer, side.readers[0]
    end = writer if who == "send" else reader
    cells = variables_of(getattr(end, who))
    lock, is_locked = cells["take_lock"].cell_contents.__self__, cells["is_locked"]
    box: list[Any] = [None]
    met = set()

    def make() -> None:
        if who == "send":
            writer.send(BYTES, b"%d" % number)
        elif who == "rest":
            reader.rest(0)
        else:
            for box[0] in map(reader.receive, (None,)):
                return

    def set_up() -> None:
        """The call's fence is the one that is asked for; what it receives, if that is what it does, is there."""
        box[0] = None
        while lock.locked() is (call == "take_lock()"):
            pass_a_fence(end)
        if who == "receive":
            writer.send(BYTES, b"%d" % number)

    try:
        number = 0
        set_up()
        for number, outcome in enumerate(sweep(make, who)):
            if outcome.at is not None:
                met.add(line_of(*outcome.at))
            assert is_locked.cell_contents is lock.locked()
            for _ in range(3):
                Background(partial(pass_a_fence, end)).outcome()
            if who == "rest" or (who == "send" and writer.done() == reader.done()):
                assert not outcome.returned or who == "rest"
                writer.send(BYTES, b"%d" % number)
            if reader.pending is not None:
                assert (reader.pending, reader.pending_kind, box) == (b"%d" % number, BYTES, [None])
            got = all_taken(reader)
            assert (got if box[0] is None else [box[0], *got]) == [b"%d" % number]
            assert (reader.pending, reader.done(), writer.done()) == (None, number + 1, number + 1)
            number += 1
            set_up()
    finally:
        side.close()
    assert call in met


# Sleeping.


def test_a_rest_looks_again_and_finds_a_block_without_sleeping(make_side: MakeSide) -> None:
    side = make_side(1, blocks=1)
    assert side.writer.rest(None) == FOUND
    assert side.writer.send(BYTES, b"") == BUSY
    assert (side.writer.finish(), side.word(-1)) == (ENDED, 1)
    assert (side.readers[0].rest(None), side.word(0)) == (FOUND, 1)


def test_a_rest_ends_after_its_time_and_says_that_one_is_awake(make_side: MakeSide) -> None:
    side = make_side(1, blocks=1)
    begun = time.monotonic()
    assert (side.readers[0].rest(0.01), side.word(0)) == (ENDED, 1)
    assert time.monotonic() - begun >= 0.01
    side.writer.send(BYTES, b"")
    assert (side.writer.rest(0.01), side.word(-1)) == (ENDED, 1)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"


@pytest.mark.parametrize("timeout_seconds", [None, LONG_SECONDS, 1e300, float("inf")], ids=str)
def test_what_a_sleeper_waits_for_wakes_it(timeout_seconds: float | None, make_side: MakeSide) -> None:
    side = make_side(READERS, blocks=1)
    sleepers = [Background(partial(reader.rest, timeout_seconds)) for reader in side.readers]
    until(lambda: side.word(0) == side.word(1) == 0)
    assert [runner.in_use for runner in (side.writer, *side.readers)] == [False, *[reader.in_use for reader in side.readers]]
    assert side.writer.send(BYTES, b"1") == FOUND
    for sleeper in sleepers:
        assert sleeper.outcome() in (ENDED, FOUND)
    assert [side.word(rank) for rank in range(-1, READERS)] == [1] * (1 + READERS)
    for reader in side.readers:
        reader.abort()
    writer = Background(partial(side.writer.rest, timeout_seconds))
    until(lambda: side.word(-1) == 0)
    assert taken(side.readers[0]) == b"1"
    until(lambda: side.word(-1) in (0, 1))
    assert taken(side.readers[1]) == b"1"
    for _ in range(2):  # the first reader wakes it for nothing
        if writer.outcome() == FOUND or side.writer.begin() == FOUND:
            break
    assert side.writer.abort() == ENDED
    assert side.writer.send(BYTES, b"2") == FOUND


def test_a_wake_reaches_other_processes(make_side: MakeSide) -> None:
    side = make_side(1)

    def send_when_it_sleeps() -> str:
        until(lambda: side.word(0) == 0)
        return str(side.writer.send(BYTES, b"1"))

    sleeper = Background(partial(side.readers[0].rest, None))
    assert in_child(send_when_it_sleeps) == str(FOUND)
    assert sleeper.outcome() in (ENDED, FOUND)


def test_nobody_is_waked_where_nobody_sleeps_and_whoever_has_a_damaged_word_is(make_side: MakeSide) -> None:
    """What is not 1 counts as asleep: the word is 1 afterwards."""
    side = make_side(READERS)
    for damage in (0, 2, 256, 2**31):
        struct.pack_into("=I", side.segment.whole(), side.segment.layout.awake_offset + 8, damage)
        assert side.writer.send(BYTES, b"") == FOUND
        assert [side.word(rank) for rank in range(-1, READERS)] == [1, 1, 1]
        for reader in side.readers:
            struct.pack_into("=I", side.segment.whole(), side.segment.layout.awake_offset, damage)
            assert (taken(reader), side.word(-1)) == (b"", 1)


def test_tables_without_the_rows_do_not_rest(make_side: MakeSide) -> None:
    side = make_side(1, programs=resolve)
    for end in (side.writer, side.readers[0]):
        assert not end.can_rest
        with pytest.raises(ValueError, match="no row lies down"):
            end.rest(0)
    assert make_side(1).writer.can_rest
    assert side.writer.send(BYTES, b"1") == FOUND
    assert taken(side.readers[0]) == b"1"


def test_what_is_no_time_is_refused(make_side: MakeSide) -> None:
    reader = make_side(1).readers[0]
    for bad in (-1, -0.5, float("nan"), -(10**400)):
        with pytest.raises(ValueError, match="None or a number of seconds"):
            reader.rest(bad)
    with pytest.raises((TypeError, ValueError)):
        reader.rest("soon")  # type: ignore[arg-type]


# Being roused.


def test_a_rest_that_is_roused_before_it_begins_ends_at_once_and_the_next_one_does_not(make_side: MakeSide) -> None:
    side = make_side(1)
    reader, before = side.readers[0], side.everything()
    for _ in range(2):
        reader.rouse()
        reader.rouse()
        assert reader.rest(None) == ENDED
        assert side.everything() == before
        assert reader.rest(0) == ENDED


def test_every_rest_that_is_roused_from_another_thread_ends(make_side: MakeSide) -> None:
    """Some are roused before they begin, some on the way to the kernel, some in it."""
    side = make_side(1)
    reader = side.readers[0]
    for number in range(60):
        resting = Background(partial(reader.rest, None))
        if number % 3 == 0:
            until(lambda: side.word(0) == 0)
        reader.rouse()
        assert resting.outcome() == ENDED
    assert side.word(0) == 1


def test_a_rouse_between_the_last_look_and_the_kernel_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python, where other threads can run there; in C they cannot."""
    sleep = Words.sleep

    def roused_just_before(words: Words, number: int, timeout: Any) -> bool:
        Background(side.readers[0].rouse).outcome()
        return sleep(words, number, timeout)

    monkeypatch.setattr(Words, "sleep", roused_just_before)
    side = Side(bind_python, Layout(1, CHUNK, 1))
    try:
        assert Background(partial(side.readers[0].rest, None)).outcome() == ENDED
        assert side.readers[0].rest(0) == ENDED
    finally:
        side.close()


@pytest.mark.parametrize("raises", [False, True], ids=["ends", "raises"])
def test_a_signal_ends_a_rest_after_its_handler_has_run(raises: bool, make_side: MakeSide) -> None:
    side = make_side(1)
    ran: list[int] = []

    def handler(*_: object) -> None:
        ran.append(1)
        if raises:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt) if raises else contextlib.nullcontext():
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # again and again: one just before the sleep does not end it
            assert side.readers[0].rest(LONG_SECONDS) == ENDED
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ran
    if not (raises and isinstance(side.readers[0], PythonRunner)):
        assert side.word(0) == 1, "it has got up"
    assert side.writer.send(BYTES, b"1") == FOUND
    assert side.word(0) == 1
    assert taken(side.readers[0]) == b"1"


# Other threads, other processes, and the end.


@needs_extension
def test_while_c_sleeps_or_copies_much_other_threads_run_and_are_refused() -> None:
    side = Side(bind_native, Layout(1, 16 << 20, 2))
    data = bytes(16 << 20)
    try:
        deadline, was_seen = time.monotonic() + LONG_SECONDS, False
        while not was_seen and time.monotonic() < deadline:
            sending = Background(partial(side.writer.send, BYTES, data))
            while sending.is_alive() and not was_seen:
                was_seen = side.writer.in_use and side.writer.send(BYTES, b"") == BUSY
            assert sending.outcome() == FOUND
            assert len(taken(side.readers[0])) == len(data)
        assert was_seen
        resting = Background(partial(side.readers[0].rest, None))
        until(lambda: side.readers[0].in_use)
        assert nothing(side.readers[0]) == BUSY
        for call in (side.readers[0].begin, side.readers[0].release, partial(side.readers[0].rest, 0)):
            with pytest.raises(RuntimeError, match="inside a call of another thread"):
                call()
        assert in_child(side.readers[0].release) == "None", "the fork has no thread that is inside"
        side.readers[0].rouse()
        assert resting.outcome() == ENDED
    finally:
        side.close()


def test_a_forgotten_runner_is_gone_at_once(make_side: MakeSide) -> None:
    side = make_side(1)
    make = type(side.writer)
    runner = (bind_python if make is PythonRunner else bind_native)(executed(PROTOCOL.reader), side.segment, 0)
    gone = weakref.ref(runner) if make is PythonRunner else None
    gc.disable()
    try:
        del runner
        assert gone is None or gone() is None
    finally:
        gc.enable()
    side.close()  # nothing refers to the segment


def test_a_message_that_is_taken_belongs_to_nobody_else(make_side: MakeSide) -> None:
    side = make_side(1)
    for kind in (BYTES, PICKLE):
        side.writer.send(kind, b"x" * 10)
        message = taken(side.readers[0], lambda data: data)
        assert sys.getrefcount(message) == 2
    side.writer.send(PICKLE, b"y" * 10)
    assert came(side.readers[0], "fails") == FAILED
    pending = side.readers[0].pending
    side.readers[0].pending = None
    assert sys.getrefcount(pending) == 2


@needs_extension
def test_what_the_attributes_in_c_refuse() -> None:
    side = Side(bind_native, Layout(1, CHUNK, 1))
    runner: Any = side.readers[0]
    try:
        for name in ("is_in_use", "pending"):
            with pytest.raises(AttributeError):
                delattr(runner, name)
        for value in (b"", 0, "x"):
            with pytest.raises(TypeError, match="set to None"):
                runner.pending = value
        for name in ("result", "pending_kind", "can_rest", "views"):
            with pytest.raises(AttributeError):
                setattr(runner, name, 1)
        assert runner.views == (runner,)
    finally:
        side.close()


# Looking again.


def test_seek_finds_and_does_not_hold(make_side: MakeSide) -> None:
    """What it finds, the next call finds again; a block that is held is nobody's to look for."""
    side = make_side(1, blocks=4)
    reader = side.readers[0]
    assert (side.writer.seek(3, 0.0), reader.seek(3, 0.0)) == (FOUND, WAIT)
    assert side.writer.send(BYTES, b"one") == FOUND
    assert reader.seek(0, 0.0) == FOUND
    assert taken(reader, None) == b"one"
    assert reader.seek(0, 1e-6) == WAIT
    assert side.writer.begin() == FOUND
    assert side.writer.seek(0, 0.0) == side.writer.seek(0, 0.0, True) == BUSY
    side.writer.abort()
    side.writer.is_in_use = True
    assert (side.writer.seek(0, 0.0), side.writer.seek(0, 0.0, True)) == (BUSY, FOUND)
    side.writer.is_in_use = False


def test_seek_ends_when_it_is_roused(make_side: MakeSide) -> None:
    """However long it would give the processor away."""
    side = make_side(1, blocks=4)
    reader = side.readers[0]
    reader.rouse()
    assert reader.seek(0, 3600.0) == WAIT


def test_messages_look_again_by_the_clock_and_say_so(make_side: MakeSide) -> None:
    """For as long as the runner is told to, or the call, whichever is less."""
    side = make_side(1, blocks=1)
    reader = side.readers[0]
    assert (reader.spin_count, reader.yield_seconds, reader.has_sought) == (0, 0.0, False)
    reader.is_cancelled = True
    assert (nothing(reader, None), reader.has_sought, reader.is_cancelled) == (WAIT, False, True)
    reader.spin_count, reader.yield_seconds = 3, 3600.0
    reader.rouse()
    before = time.monotonic()
    assert (nothing(reader, None), reader.has_sought, reader.is_cancelled) == (WAIT, True, False)
    assert before <= reader.began <= time.monotonic()
    assert (nothing(reader, None, 0), reader.has_sought) == (WAIT, False)
    assert side.writer.send(BYTES, b"one", 0.5) == FOUND
    side.writer.yield_seconds = 1e-6
    assert [side.writer.send(BYTES, b"two", timeout) for timeout in (None, 3600, 0)] == 3 * [WAIT]
    assert taken(reader, None) == b"one"
    assert not reader.has_sought


def test_message_that_comes_while_one_looks_again_is_taken(make_side: MakeSide) -> None:
    side = make_side(1, blocks=1)
    reader = side.readers[0]
    reader.yield_seconds = side.writer.yield_seconds = 3600.0
    receiving = Background(partial(taken, reader, None))
    until(lambda: reader.has_sought)
    assert reader.in_use
    assert side.writer.send(BYTES, b"one") == FOUND
    assert receiving.outcome() == b"one"
    assert (reader.has_sought, reader.in_use) == (False, False)
    assert side.writer.send(BYTES, b"two") == FOUND
    sending = Background(lambda: side.writer.send(BYTES, b"three"))
    until(lambda: side.writer.has_sought)
    assert taken(reader, None) == b"two"
    assert sending.outcome() == FOUND


@pytest.mark.parametrize("wrong", ["1", b"", [], object()])
def test_messages_refuse_what_is_no_time(wrong: Any, make_side: MakeSide) -> None:
    side = make_side(1, blocks=1)
    side.writer.yield_seconds = side.readers[0].yield_seconds = 1e-6
    assert side.writer.send(BYTES, b"one") == FOUND
    with pytest.raises(TypeError):
        side.writer.send(BYTES, b"two", wrong)
    assert taken(side.readers[0], None) == b"one"
    with pytest.raises(TypeError):
        side.readers[0].receive(None, wrong)


@pytest.mark.parametrize("call", ["send", "receive"])
def test_interrupted_look_is_over_and_cannot_be_cancelled(call: str) -> None:
    """Wherever the interrupt comes: what says that somebody looks by the clock, and may be cancelled, is not left behind."""
    side = Side(bind_python, Layout(1, CHUNK, 1))
    runner = side.writer if call == "send" else side.readers[0]
    for spin_count in (0, 2):
        runner.spin_count, runner.yield_seconds = spin_count, 1e-9
        if call == "send" and not spin_count:
            assert runner.send(BYTES, b"one") == FOUND
        wait = partial(runner.send, BYTES, b"two") if call == "send" else partial(all_taken, runner)
        for outcome in sweep(wait, call, "look_again"):
            assert outcome.place in ("", "all_taken") or not runner.has_sought, outcome
            assert runner.has_sought or not outcome.returned
            assert not runner.in_use
            runner.has_sought = False
    side.close()
