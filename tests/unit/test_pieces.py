"""What a runner does in one call for larger messages: it finds one that is read in its block, and gathers one in pieces."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import LONG_SECONDS, Background, needs_extension, needs_little_endian

from ringbuffer.compiled import BUSY, BYTES, FOUND, KIND_BITS, PICKLE, TOO_LARGE, WAIT, Runner, bind_native, bind_python
from ringbuffer.interpreted import RecordedRunner
from ringbuffer.memory.codes import FRAME, WHOLE
from ringbuffer.memory.layout import FRAME_BYTES, Layout
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.protocol.waking import executed

CHUNK, BLOCKS = 64, 2
PIECES_MAX = 16
GATHERED = 3
NONE = -1


class Pair:
    """A writer and a reader of one ring."""

    def __init__(self, make: Callable[..., Any], protocol: Variant = PROTOCOL) -> None:
        self.segment = Segment.create(Layout(1, CHUNK, BLOCKS), initial_read_flag=protocol.initial_read_flag)
        self.writer: Runner = make(executed(protocol.writer), self.segment, -1)
        self.reader: Runner = make(executed(protocol.reader), self.segment, 0)

    def payload(self, size: int) -> bytes:
        """What the reader's block holds."""
        return bytes(self.segment.frame(self.reader.where())[FRAME_BYTES : FRAME_BYTES + size])

    def everything(self) -> bytes:
        return bytes(self.segment.whole()[self.segment.layout.participants_offset :])

    def close(self) -> None:
        self.writer.release()
        self.reader.release()
        self.segment.unlink()
        self.segment.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"


@pytest.fixture(
    params=[pytest.param(bind_native, marks=needs_extension), pytest.param(bind_python, marks=needs_little_endian)],
    ids=["native", "python"],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(request.param)
    yield made
    made.close()


def test_the_next_message_is_found_in_its_block_which_is_held(pair: Pair) -> None:
    writer, reader = pair.writer, pair.reader
    for number, (kind, data) in enumerate([(BYTES, b"one"), (PICKLE, b""), (GATHERED, b"x" * CHUNK), (0, b"raw"), (255, b"?")]):
        assert reader.whole() == NONE, "there is none yet"
        assert writer.send(kind, data) == FOUND
        assert reader.whole() == len(data) << KIND_BITS | kind
        assert (reader.where(), reader.done(), pair.payload(len(data))) == (number % BLOCKS, number, data)
        assert reader.whole() == len(data) << KIND_BITS | kind, "the block that is held is the same"
        assert next(map(reader.receive, (None,)), None) is None
        assert reader.result == BUSY
        reader.abort()
        assert reader.whole() == len(data) << KIND_BITS | kind, "it was given up, and comes again"
        reader.finish()
        assert reader.done() == number + 1


OTHER_FRAMES = {
    "an earlier number": (0, 3, BYTES, WHOLE, 3),
    "a later number": (2, 3, BYTES, WHOLE, 3),
    "longer than the block": (1, CHUNK + 1, BYTES, WHOLE, CHUNK + 1),
    "longer than memory": (1, 2**64 - 1, BYTES, WHOLE, 2**64 - 1),
    "a first part": (1, 3, BYTES, 1, 9),
    "a last part": (1, 3, BYTES, 2, 3),
    "neither": (1, 3, BYTES, 0, 3),
    "no part": (1, 3, BYTES, 7, 3),
    "another total": (1, 3, BYTES, WHOLE, 4),
    "a kind that has no room": (1, 3, 1 << KIND_BITS, WHOLE, 3),
    "a kind of 32 bits": (1, 3, 2**32 - 1, WHOLE, 3),
}


@pytest.mark.parametrize("frame", OTHER_FRAMES.values(), ids=OTHER_FRAMES)
def test_of_other_messages_it_says_nothing_and_does_nothing(frame: tuple[int, ...], pair: Pair) -> None:
    for data in (b"zer", b"one"):
        pair.writer.send(BYTES, data)
    assert list(map(pair.reader.receive, (None,))) == [b"zer"]
    FRAME.pack_into(pair.segment.frame(1), 0, *frame)
    before = pair.everything()
    assert pair.reader.whole() == NONE
    assert (pair.everything(), pair.reader.done(), pair.reader.where()) == (before, 1, 1)
    assert pair.reader.begin() == FOUND, "it is the caller's to look at"
    pair.reader.abort()


@pytest.mark.parametrize(
    "make", [pytest.param(bind_native, marks=needs_extension), pytest.param(bind_python, marks=needs_little_endian)]
)
def test_a_block_that_an_edited_table_passes_over_is_nobodys(make: Callable[..., Any]) -> None:
    """A look can come to the end of a table without the caller: the frame of the block behind that says nothing yet."""
    pair = Pair(make, PROTOCOL.moved("R2", before="R4").redirected("R1", "1", "found").replace(initial_read_flag=1))
    FRAME.pack_into(pair.segment.frame(1), 0, 1, 3, BYTES, WHOLE, 3)
    assert (pair.reader.whole(), pair.reader.done(), pair.reader.where()) == (NONE, 1, 1)
    pair.close()


def test_it_looks_again_and_says_whether_that_was_in_vain(pair: Pair) -> None:
    reader = pair.reader
    reader.spin_count, reader.yield_seconds = 3, 0.0
    reader.is_in_use = reader.is_cancelled = True
    assert (reader.whole(), reader.has_sought) == (NONE, False)
    reader.yield_seconds = 1e-6
    assert (reader.whole(0), reader.has_sought) == (NONE, False)
    assert (reader.whole(), reader.has_sought) == (NONE, True)
    assert reader.began > 0
    assert reader.is_cancelled, "whoever has set is_in_use unsets this"
    reader.rouse()
    reader.yield_seconds = 0.1
    assert reader.whole(None) == NONE, "and does not look for so long when it was roused"
    pair.writer.send(BYTES, b"one")
    assert reader.whole() == 3 << KIND_BITS | BYTES
    reader.finish()
    reader.release()
    assert reader.whole() == NONE


@pytest.mark.parametrize("call", ["whole", "receive"])
def test_what_comes_while_one_looks_again_and_is_no_whole_message_is_no_end_of_the_wait(call: str, pair: Pair) -> None:
    """The time that the caller has was running meanwhile, and the call may have been cancelled."""
    reader, writer = pair.reader, pair.writer
    reader.yield_seconds = 3600.0
    for part, found in ((1, NONE), (WHOLE, 3 << KIND_BITS | BYTES)):
        number, began = reader.done(), reader.began
        looking = Background(reader.whole if call == "whole" else lambda: list(map(reader.receive, (None,))))
        until(lambda began=began: reader.began > began)  # type: ignore[misc]
        assert writer.begin() == FOUND
        FRAME.pack_into(pair.segment.frame(number), 0, number, 3, BYTES, part, 3)
        writer.finish()
        if call == "whole":
            assert looking.outcome() == found
        else:
            assert looking.outcome() == ([] if found == NONE else [bytes(3)])
        assert reader.has_sought == (found == NONE)
        if reader.done() == number:
            assert found == NONE or call == "whole"
            assert reader.begin() == FOUND
            reader.finish()
    list(map(reader.receive, (None,), (0,)))
    assert not reader.has_sought


def test_what_receive_leaves_to_its_caller_is_found_and_a_part_of_a_message_ends_no_wait(pair: Pair) -> None:
    reader, writer = pair.reader, pair.writer
    reader.yield_seconds = 3600.0
    for part, found in ((WHOLE, 3 << KIND_BITS | GATHERED), (1, NONE)):
        number, began = reader.done(), reader.began
        looking = Background(lambda: list(map(reader.receive, (None,))))
        until(lambda began=began: reader.began > began)  # type: ignore[misc]
        assert writer.begin() == FOUND
        FRAME.pack_into(pair.segment.frame(number), 0, number, 3, GATHERED, part, 3)
        writer.finish()
        assert looking.outcome() == []
        assert (reader.result, reader.has_sought) == (FOUND, True)
        began = reader.began
        assert reader.whole(0.0) == found
        assert (reader.has_sought, reader.began) == (found == NONE, began), "its caller may have to wait for more, from then on"
        reader.finish()


@pytest.mark.parametrize(
    "make",
    [pytest.param(bind_native, marks=needs_extension), pytest.param(bind_python, marks=needs_little_endian), RecordedRunner],
)
def test_a_block_that_is_held_and_not_found_again_is_held_no_more(make: Callable[..., Any]) -> None:
    """Only who damages flags can come between; then a reader waits as if it had not seen the block, and is not busy."""
    pair = Pair(make)
    assert pair.writer.begin() == FOUND
    pair.writer.finish()
    assert (pair.reader.begin(), pair.reader.seek(0, 0.0)) == (FOUND, BUSY)
    pair.segment.flags(0)[1] = 1
    assert (pair.reader.begin(), pair.reader.seek(0, 0.0)) == (WAIT, WAIT)
    pair.segment.flags(0)[1] = 0
    assert pair.reader.seek(0, 0.0) == FOUND
    pair.close()


def test_a_writer_finds_none(pair: Pair) -> None:
    before = pair.everything()
    with pytest.raises(ValueError, match="in this table the caller writes"):
        pair.writer.whole()
    assert pair.everything() == before


@needs_extension
def test_wrong_arguments_are_refused() -> None:
    pair = Pair(bind_native)
    call: Any = pair.reader.whole
    for arguments, says in (((None, 1), "whole takes 0 or 1 arguments, and not 2"), (("soon",), "must be real number")):
        with pytest.raises(TypeError, match=re.escape(says)):
            call(*arguments)
    pair.close()


# Pieces


@needs_extension
@given(
    pieces=st.lists(st.binary(max_size=CHUNK // 4).map(lambda data: memoryview(data) if len(data) % 2 else data), max_size=20)
)
def test_pieces_come_one_behind_the_other_or_not_at_all(pieces: list[bytes | memoryview]) -> None:
    pair = Pair(bind_native)
    try:
        whole, before = b"".join(pieces), pair.everything()
        if len(pieces) > PIECES_MAX or len(whole) > CHUNK:
            assert pair.writer.send(BYTES, pieces) == TOO_LARGE
            assert pair.everything() == before
        else:
            assert pair.writer.send(BYTES, pieces) == FOUND
            assert list(map(pair.reader.receive, (None,))) == [whole]
    finally:
        pair.close()


@needs_extension
@pytest.mark.parametrize("last", [1, "text", None, memoryview(b"abcd")[::2]], ids=["a number", "a text", "nothing", "gaps"])
def test_a_piece_without_bytes_is_refused_and_the_others_are_let_go(last: Any) -> None:
    pair = Pair(bind_native)
    first: Any = bytearray(b"one")
    before, pieces = pair.everything(), [first, last]
    with pytest.raises((TypeError, BufferError)):
        pair.writer.send(BYTES, pieces)
    first.append(0)  # which a buffer that is still out would not allow
    assert pair.everything() == before
    assert pair.writer.send(BYTES, [first]) == FOUND
    first.append(0)
    for _ in range(BLOCKS - 1):
        pair.writer.send(BYTES, b"")
    assert pair.writer.send(BYTES, [first]) == WAIT
    first.append(0)
    pair.close()


def test_in_python_pieces_go_another_way() -> None:
    pair = Pair(bind_python)
    before = pair.everything()
    assert pair.writer.send(BYTES, [b"one"]) == TOO_LARGE
    assert pair.everything() == before
    pair.close()
