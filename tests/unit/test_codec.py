"""Objects to frames and back: the bytes of a frame, and that only a whole message of the right kind is ever decoded."""

from __future__ import annotations

import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuffer.codec import PICKLE, RAW, decode, encode, mark_raw, message_bytes, write_message
from ringbuffer.errors import DecodeError, EncodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(st.lists(objects, min_size=1, max_size=4), st.binary(max_size=64))
def test_object_comes_back_from_a_frame_used_before(messages: list[object], rubbish: bytes) -> None:
    """Whatever an earlier message has left in the block, and however much room there is behind the message."""
    size_bytes = max(len(encode(message)) for message in messages)
    frame = memoryview(bytearray(rubbish.ljust(FRAME_BYTES + size_bytes, b"\xff")[: FRAME_BYTES + size_bytes]))
    for message in messages:
        data = encode(message)
        write_message(frame, data)
        with message_bytes(frame) as found:
            assert bytes(found) == data
            assert decode(found) == message


def test_frame_is_kind_then_length_then_payload() -> None:
    frame = memoryview(bytearray(b"\xff" * 32))
    write_message(frame, b"pickle")
    assert bytes(frame) == struct.pack("<QQ", PICKLE, 6) + b"pickle" + 10 * b"\xff"
    mark_raw(frame)
    assert bytes(frame) == struct.pack("<QQ", RAW, 16) + b"pickle" + 10 * b"\xff"
    assert (RAW, PICKLE, FRAME_BYTES) == (0, 1, 16)


def test_pickle_protocol_is_five() -> None:
    assert encode("x") == pickle.dumps("x", 5)


@pytest.mark.parametrize("size_bytes", [0, 1, 16])
def test_length_up_to_the_block_is_taken(size_bytes: int) -> None:
    frame = memoryview(struct.pack("<QQ", PICKLE, size_bytes) + bytes(range(16)))
    assert bytes(message_bytes(frame)) == bytes(range(size_bytes))


@pytest.mark.parametrize(
    ("kind", "size_bytes", "says"),
    [
        (RAW, 16, "acquire_read"),
        (PICKLE, 17, "17 bytes in a block of 16"),
        (PICKLE, (1 << 64) - 1, "in a block of 16"),
        (2, 1, "kind 2"),
        ((1 << 64) - 1, 1, "kind 18446744073709551615"),
    ],
)
def test_header_that_cannot_be_is_refused(kind: int, size_bytes: int, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        message_bytes(memoryview(struct.pack("<QQ", kind, size_bytes) + bytes(16)))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_frame_error(data: bytes) -> None:
    frame = memoryview(data.ljust(FRAME_BYTES + 8, b"\0"))
    try:
        found = message_bytes(frame)
    except FrameError:
        return
    assert len(found) <= len(frame) - FRAME_BYTES


@pytest.mark.parametrize("data", [b"", b"\x80\x05", encode([1, 2, 3])[:-1], b"rubbish", b"cno_such_module\nname\n."])
def test_bytes_that_are_no_pickle_are_handed_over(data: bytes) -> None:
    with pytest.raises(DecodeError, match=f"{len(data)} bytes") as caught:
        decode(memoryview(data))
    assert caught.value.raw == data
    assert type(caught.value.raw) is bytes
    assert type(caught.value.__cause__).__name__ in str(caught.value)


class Interrupting:
    def __reduce__(self) -> tuple[object, ...]:
        return _interrupt, ()


class InterruptingDump:
    def __reduce__(self) -> tuple[object, ...]:
        raise KeyboardInterrupt


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_interrupt_is_not_an_error_of_the_message() -> None:
    with pytest.raises(KeyboardInterrupt):
        encode(InterruptingDump())
    with pytest.raises(KeyboardInterrupt):
        decode(memoryview(encode(Interrupting())))


def test_what_cannot_be_pickled_is_named_with_its_cause() -> None:
    with pytest.raises(EncodeError, match="object of type function") as caught:
        encode(lambda: None)
    assert str(caught.value.__cause__) in str(caught.value)
