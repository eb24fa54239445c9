"""Frames, and messages in parts: any cut of any message, given up anywhere, comes out whole or not at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringbuffer.codec.frames import (
    BYTES,
    FIRST,
    GATHERED,
    LAST,
    MIDDLE,
    PICKLE,
    RAW,
    TENSOR,
    TOTAL_BYTES_MAX,
    WHOLE,
    Assembly,
    Frame,
    Gathered,
    Outgoing,
    check_frame,
    fill_whole,
    mark_raw,
    payload,
)
from ringbuffer.errors import FrameError
from ringbuffer.memory.layout import FRAME_BYTES

LIMIT_BYTES = 16
numbers = st.sampled_from((0, 1, 2, 3, 15, 16, 17, (1 << 46) - 1, 1 << 46, (1 << 46) + 1, 1 << 63, (1 << 64) - 1))
small = st.sampled_from((0, 1, 2, 3, 4, 5, 1 << 31, (1 << 32) - 1))
bodies = st.lists(st.binary(max_size=9), min_size=1, max_size=5)


def block_of(room_bytes: int) -> memoryview:
    return memoryview(bytearray(b"\xff" * (FRAME_BYTES + room_bytes)))


def test_frame_is_its_fields_in_order_then_the_payload() -> None:
    block = block_of(8)
    fill_whole(block, 7, BYTES, b"bytes")
    assert bytes(block) == struct.pack("<QQIIQ", 7, 5, BYTES, FIRST | LAST, 5) + b"bytes\xff\xff\xff"
    mark_raw(block, 8)
    assert bytes(block) == struct.pack("<QQIIQ", 8, 8, RAW, FIRST | LAST, 8) + b"bytes\xff\xff\xff"
    assert Frame.read(block) == (8, 8, RAW, WHOLE, 8)
    Frame(1, 2, 3, MIDDLE, 4).write(block)
    assert Frame.read(block) == Frame(1, 2, 3, MIDDLE, 4)
    assert (RAW, PICKLE, BYTES, GATHERED, TENSOR, FIRST, LAST, FRAME_BYTES) == (0, 1, 2, 3, 4, 1, 2, 32)


def can_be(length: int, kind: int, part: int, total: int) -> bool:
    """What a frame may say, told in another way than where it is checked."""
    if kind > TENSOR or part > WHOLE or length > LIMIT_BYTES or total > TOTAL_BYTES_MAX:
        return False
    if kind == RAW:
        return part == WHOLE and length == total == LIMIT_BYTES
    return length == total if part == WHOLE else 0 < length < total


@given(numbers, small, small, numbers)
@example(15, RAW, WHOLE, 15)
@example(LIMIT_BYTES, RAW, WHOLE, LIMIT_BYTES)
def test_any_header_can_be_or_is_refused(length: int, kind: int, part: int, total: int) -> None:
    frame = Frame(5, length, kind, part, total)
    try:
        check_frame(frame, 5, LIMIT_BYTES, 2)
    except FrameError as error:
        assert str(error).startswith("block 2 (sequence 5) has a damaged frame header: ")  # noqa: PT017
        assert not can_be(length, kind, part, total)
    else:
        assert can_be(length, kind, part, total)


@pytest.mark.parametrize("found", [0, 4, 6, (1 << 64) - 1])
def test_another_sequence_is_refused_and_both_are_named(found: int) -> None:
    with pytest.raises(FrameError, match=rf"block 2 \(sequence 5\) holds sequence {found}: .*it is not delivered"):
        check_frame(Frame(found, 3, PICKLE, WHOLE, 3), 5, LIMIT_BYTES, 2)


@given(bodies, st.integers(0, 50), st.integers(0, 60))
def test_any_part_of_a_gathered_body_is_what_stands_there(pieces: list[bytes], offset: int, size: int) -> None:
    body = b"".join(pieces)
    offset = min(offset, len(body))
    mixed = [piece if index % 2 else memoryview(bytearray(piece)) for index, piece in enumerate(pieces)]
    gathered = Gathered(GATHERED, mixed)
    target = bytearray(b"\xff" * size)
    count = gathered.write(offset, memoryview(target))
    assert count == min(size, len(body) - offset)
    assert bytes(target) == body[offset : offset + size].ljust(size, b"\xff")
    assert gathered.total_bytes == len(body)


attempts = st.lists(
    st.tuples(
        st.sampled_from((PICKLE, BYTES, GATHERED, TENSOR)),
        bodies,
        st.none() | st.integers(1, 4),
        st.lists(st.integers(1, 12), min_size=1, max_size=4),
        st.sets(st.integers(0, 8)),
    ),
    max_size=4,
)


@given(attempts)
def test_messages_in_any_cut_given_up_anywhere_arrive_whole_or_not_at_all(
    messages: list[tuple[int, list[bytes], int | None, list[int], set[int]]],
) -> None:
    """Each message: kind, pieces, after how many parts it is given up, the rooms of its blocks, which parts come twice."""
    assembly, sequence, found, expected = Assembly(), 0, [], []
    for kind, pieces, parts_max, rooms, twice in messages:
        body = b"".join(pieces)
        outgoing = Outgoing(kind, Gathered(kind, [*pieces]) if len(pieces) > 1 else body)
        is_whole = False
        for index in range(len(body) + 1 if parts_max is None else parts_max):
            block = block_of(rooms[index % len(rooms)])
            outgoing.fill(block, 4711)  # a wait that ended in a time-out, and is taken up again
            outgoing.fill(block, sequence)
            frame = Frame.read(block)
            check_frame(frame, sequence, len(block) - FRAME_BYTES, 0)
            for _ in range(1 + (index in twice)):
                is_last = assembly.add(frame, payload(block, frame))
                assert assembly.received_bytes == outgoing.sent_bytes + frame.length_bytes
            sequence += 1
            is_whole = outgoing.sent()
            assert (is_last, outgoing.is_begun, assembly.is_begun) == (is_whole, bool(body), True)
            if is_whole:
                found.append(assembly.take())
                break
        if is_whole:
            expected.append((kind, body))
    assert [(kind, bytes(body)) for kind, body in found] == expected
    assert all(type(body) is (bytes if kind == BYTES else bytearray) for kind, body in found)


def begun(kind: int = PICKLE) -> Assembly:
    """An assembly with four bytes of ten."""
    assembly = Assembly()
    assert not assembly.add(Frame(3, 4, kind, FIRST, 10), memoryview(b"abcd"))
    return assembly


@pytest.mark.parametrize("kind", [PICKLE, BYTES])
@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (Frame(4, 6, GATHERED, LAST, 10), "kind gathered, and the parts before it are of one of 10 bytes, kind"),
        (Frame(4, 6, PICKLE, LAST, 11), "a last part of a message of 11 bytes, kind pickle, and the parts before it"),
        (Frame(4, 5, PICKLE, LAST, 10), "with its 5 there are 9"),
        (Frame(4, 7, PICKLE, LAST, 10), "with its 7 there are 11"),
        (Frame(4, 7, PICKLE, MIDDLE, 10), "a middle part of a message of 10 bytes, and with its 7 there are 11"),
        (Frame(4, 6, PICKLE, MIDDLE, 10), "with its 6 there are 10"),
    ],
)
def test_part_that_does_not_follow_is_refused_and_changes_nothing(kind: int, frame: Frame, says: str) -> None:
    assembly = begun(kind)
    bad = frame if frame.kind != PICKLE else frame._replace(kind=kind)
    with pytest.raises(FrameError, match=says.replace("kind pickle", "kind (pickle|bytes)")):
        assembly.add(bad, memoryview(bytes(frame.length_bytes)))
    assert assembly.received_bytes == 4
    assert assembly.add(Frame(4, 6, kind, LAST, 10), memoryview(b"efghij"))
    assert assembly.take() == (kind, b"abcdefghij")


@pytest.mark.parametrize("part", [MIDDLE, LAST])
def test_part_without_a_first_is_refused(part: int) -> None:
    assembly = Assembly()
    with pytest.raises(FrameError, match=f"sequence 4 is a {'last' if part else 'middle'} part .*its first part was not here"):
        assembly.add(Frame(4, 6, PICKLE, part, 10), memoryview(b"efghij"))
    assert (assembly.is_begun, assembly.withdraw()) == (False, False)


def test_unfinished_message_is_withdrawn_by_hand_or_by_the_next() -> None:
    assembly = begun()
    assert assembly.withdraw()
    with pytest.raises(FrameError, match="its first part was not here"):
        assembly.add(Frame(4, 6, PICKLE, LAST, 10), memoryview(b"efghij"))
    assembly = begun()
    assert assembly.add(Frame(4, 2, BYTES, WHOLE, 2), memoryview(b"xy"))
    assert assembly.take() == (BYTES, b"xy")


def test_promised_bytes_take_no_memory() -> None:
    assembly = Assembly()
    frame = Frame(0, 3, PICKLE, FIRST, TOTAL_BYTES_MAX)
    check_frame(frame, 0, LIMIT_BYTES, 0)
    assembly.add(frame, memoryview(b"abc"))
    assert assembly.received_bytes == 3


def test_message_larger_than_any_ring_is_not_begun() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return TOTAL_BYTES_MAX + 1

    with pytest.raises(ValueError, match=f"{TOTAL_BYTES_MAX + 1} bytes: the most is {TOTAL_BYTES_MAX}"):
        Outgoing(BYTES, Huge())
