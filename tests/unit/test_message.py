"""Objects to bodies and back: what is copied and what is not, whose memory it is, and bodies that lie."""

from __future__ import annotations

import array
import contextlib
import copyreg
import ctypes
import gc
import mmap
import pickle
import struct
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuffer.codec import message
from ringbuffer.codec.frames import BYTES, GATHERED, PICKLE, RAW, Gathered
from ringbuffer.codec.message import ALIGNMENT_BYTES, Encoder, as_bytes_view, decode, decode_assembled, spans
from ringbuffer.codec.views import Views, decode_views
from ringbuffer.errors import DecodeError, EncodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
arrays = st.builds(
    lambda dtype, count, order: np.arange(count * 2).astype(dtype).reshape((count, 2), order=order),
    st.sampled_from(("u1", "<f4", ">i8", "c16", "?")),
    st.integers(0, 40),
    st.sampled_from(("C", "F")),
)


class Block:
    """A block on a cache line, lent out as a ring lends its blocks out: whoever refers to it, shows."""

    def __init__(self, obj: object) -> None:
        data = Encoder().encode(obj)
        self.kind, size = data.kind if isinstance(data, Gathered) else PICKLE, len_of(data)
        if data is obj:
            self.kind = BYTES
        self._memory = (ctypes.c_char * (FRAME_BYTES + size + 2 * ALIGNMENT_BYTES))()
        start = -ctypes.addressof(self._memory) % ALIGNMENT_BYTES + FRAME_BYTES
        self.lender = (ctypes.c_char * size).from_buffer(self._memory, start)
        with self.body() as body:
            if isinstance(data, Gathered):
                assert data.write(0, body) == size
            else:
                body[:] = data
        self._home = sys.getrefcount(self.lender)

    def body(self) -> memoryview:
        return memoryview(self.lender).cast("B")

    def views(self) -> Views:
        with self.body() as body:
            return decode_views(self.kind, body)

    @property
    def is_free(self) -> bool:
        return sys.getrefcount(self.lender) == self._home


def len_of(data: bytes | Gathered) -> int:
    return data.total_bytes if isinstance(data, Gathered) else len(data)


def roundtrips(obj: object) -> list[Any]:
    """What arrives, taken from one block and taken from parts."""
    block = Block(obj)
    found = [decode(block.kind, block.body()), decode_assembled(block.kind, bytearray(block.body()))]
    assert block.is_free
    return found


@given(st.lists(objects, min_size=1, max_size=3))
def test_object_comes_back_from_one_encoder_after_another_object(messages: list[object]) -> None:
    encoder = Encoder()
    for obj in messages:
        data = encoder.encode(obj)
        assert isinstance(data, bytes)
        assert decode(BYTES if data is obj else PICKLE, memoryview(data)) == obj
        assert type(obj) is bytes or data == pickle.dumps(obj, 5)


@given(st.lists(arrays, max_size=3), st.binary())
def test_arrays_come_back_with_memory_of_their_own(sent: list[Any], beside: bytes) -> None:
    for found, other in roundtrips((sent, beside)):
        assert other == beside
        for one, copy in zip(sent, found, strict=True):
            assert (copy.dtype, copy.shape) == (one.dtype, one.shape)
            assert copy.flags.f_contiguous == one.flags.f_contiguous
            assert np.array_equal(one, copy)
            assert copy.flags.writeable
            copy[...] = 0


@pytest.mark.parametrize("pickled", [1, 3, message.REUSE_BYTES_MAX, 1 << 17])
def test_buffers_begin_on_cache_lines_and_nothing_is_left_unwritten(pickled: int) -> None:
    sent = [b"p" * pickled, *(np.full(count, count, "u1") for count in (1, 63, 64, 65, 200))]
    block = Block(sent)
    again = Encoder().encode(sent)
    assert isinstance(again, Gathered)
    dirty = memoryview(bytearray(b"\xff" * again.total_bytes))
    for offset in range(0, again.total_bytes, 1 + again.total_bytes // 3):
        again.write(offset, dirty[offset : offset + 1 + again.total_bytes // 3])
    assert dirty == block.body()
    assert {begin % ALIGNMENT_BYTES for begin, _ in spans(block.body())[1]} == {ALIGNMENT_BYTES - FRAME_BYTES}
    views = block.views()
    assert {one.ctypes.data % ALIGNMENT_BYTES for one in views.obj[1:]} == {0}
    views.release()
    assert block.is_free


def test_large_bytes_and_buffers_are_held_and_not_copied() -> None:
    text, buffer, numbers = b"t" * (1 << 17), bytearray(1 << 17), np.zeros(1 << 17, "u1")
    data = Encoder().encode([text, buffer, numbers])
    assert isinstance(data, Gathered)
    numbers[:], buffer[:] = ord("n"), b"n" * (1 << 17)
    with pytest.raises(BufferError):
        buffer.append(0)
    assert any(piece is text for piece in data.pieces)
    body = bytearray(data.total_bytes)
    data.write(0, memoryview(body))
    found = decode(data.kind, memoryview(body))
    assert found[0] == text
    assert found[1] == b"n" * (1 << 17)
    assert found[2].tobytes() == b"n" * (1 << 17)


def test_encoder_keeps_nothing_and_goes_on_after_an_error() -> None:
    encoder = Encoder()
    for obj in (np.zeros(100), [np.zeros(100), bytes(1 << 17)], ["a" * 9000], {"small": object}):
        holder = [obj]
        before = sys.getrefcount(obj)
        data = encoder.encode(holder)
        with pytest.raises(EncodeError, match="object of type list") as caught:
            encoder.encode([obj, lambda: None])
        assert str(caught.value.__cause__) in str(caught.value)
        del caught, data
        gc.collect()
        assert sys.getrefcount(obj) == before
    assert encoder.encode(1) == pickle.dumps(1, 5)


class SendsSomething:
    """An object that uses the encoder while it is encoded."""

    encoder: Any = None

    def __reduce__(self) -> tuple[object, ...]:
        inner = type(self).encoder.encode([1, 2])
        return bytes, (inner,)


class Interrupting:
    def __reduce__(self) -> tuple[object, ...]:
        return _interrupt, ()


class InterruptingDump:
    def __reduce__(self) -> tuple[object, ...]:
        raise KeyboardInterrupt


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_encoder_in_use_is_not_disturbed() -> None:
    encoder = SendsSomething.encoder = Encoder()
    data = encoder.encode(["before", SendsSomething(), "after"])
    assert isinstance(data, bytes)
    assert pickle.loads(data) == ["before", pickle.dumps([1, 2], 5), "after"]


def test_interrupt_is_not_an_error_of_the_message() -> None:
    encoder = Encoder()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(["left behind", InterruptingDump()])
    assert encoder.encode(2) == pickle.dumps(2, 5)
    with pytest.raises(KeyboardInterrupt):
        decode(PICKLE, memoryview(pickle.dumps(Interrupting(), 5)))


class Registered:
    pass


def test_what_is_told_to_copyreg_later_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    encoder = Encoder()
    assert type(pickle.loads(encoder.encode(Registered()))) is Registered  # type: ignore[arg-type]
    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda _: (int, (42,)))
    assert pickle.loads(encoder.encode(Registered())) == 42  # type: ignore[arg-type]


def test_buffer_with_gaps_is_an_error_and_an_array_with_gaps_is_not() -> None:
    class Gappy:
        def __reduce__(self) -> tuple[object, ...]:
            return bytes, (pickle.PickleBuffer(memoryview(b"abcd")[::2]),)

    with pytest.raises(EncodeError, match="contiguous"):
        Encoder().encode(Gappy())
    for found in roundtrips(np.arange(20)[::3]):
        assert found.tolist() == list(range(0, 20, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"abcd",
        bytearray(b"abcd"),
        memoryview(b"abcd"),
        array.array("H", b"abcd"),
        np.frombuffer(b"abcd", ">u2").reshape(2, 1),
        np.frombuffer(b"abcd", [("x", "u1"), ("y", "<u2"), ("z", "u1")]),
        pickle.PickleBuffer(b"abcd"),
    ],
)
def test_anything_like_bytes_is_seen_as_bytes(data: Any) -> None:
    view = as_bytes_view(data)
    assert (view.format, view.ndim, bytes(view)) == ("B", 1, b"abcd")


def test_mapped_memory_and_nothing_are_seen_as_bytes() -> None:
    with mmap.mmap(-1, 4096) as mapped, as_bytes_view(mapped) as view:
        assert len(view) == 4096
    assert len(as_bytes_view(np.zeros((0, 3)))) == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("text", "str is not like bytes .*encode a text first"),
        (7, "int is not"),
        (memoryview(b"abcd")[::2], "do not lie one after the other"),
        (np.zeros((3, 3))[:, 1], "this ndarray do not"),
        (np.zeros((2, 3), order="F"), "send a copy"),
    ],
)
def test_what_is_not_like_bytes_is_told_so(data: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        as_bytes_view(data)


odd = st.sampled_from((0, 1, 2, 7, 8, 16, 40, 56, 1 << 20, 1 << 32, 1 << 63, (1 << 64) - 1))


@given(odd, odd, st.lists(odd, max_size=3), st.binary(max_size=90))
def test_body_that_lies_is_refused(count: int, pickle_bytes: int, lengths: list[int], rest: bytes) -> None:
    body = memoryview(bytearray(struct.pack(f"<{2 + len(lengths)}Q", count, pickle_bytes, *lengths) + rest))
    for read in (
        lambda: decode(GATHERED, body[:]),
        lambda: decode_views(GATHERED, body[:]),
        lambda: decode_assembled(GATHERED, bytearray(body)),
    ):
        with pytest.raises(DecodeError) as caught:
            read()
        assert caught.value.raw == body
    with contextlib.suppress(FrameError):
        (_, end), buffers = spans(body)
        assert all(begin <= end <= len(body) for begin, end in [(0, end), *buffers])


@given(st.data())
def test_damaged_table_never_makes_another_message(data: st.DataObject) -> None:
    """The numbers of the table must add up to the size; where they do so by way of the padding, the array does not fit."""
    sent = [np.arange(data.draw(st.integers(1, 100))) for _ in range(3)]
    block = Block(sent)
    index, number = data.draw(st.integers(0, 4)), data.draw(odd | st.integers(0, 900))
    with block.body() as body:
        is_same = struct.unpack_from("<Q", body, 8 * index) == (number,)
        struct.pack_into("<Q", body, 8 * index, number)
    try:
        found = decode(GATHERED, block.body())
    except DecodeError:
        assert not is_same
    else:
        assert is_same or index == 1  # zeros behind a pickle's end are no part of it
        assert all(map(np.array_equal, found, sent))
    assert block.is_free


@pytest.mark.parametrize("kind", [RAW, 5, (1 << 32) - 1])
def test_kind_that_is_no_object_is_refused(kind: int) -> None:
    for read in (decode, decode_views):
        with pytest.raises(FrameError, match="acquire_read" if kind == RAW else f"kind {kind}"):
            read(kind, memoryview(bytearray(64)))
    with pytest.raises(FrameError):
        decode_assembled(kind, bytearray(64))


@pytest.mark.parametrize("data", [b"", b"\x80\x05", pickle.dumps([1, 2, 3], 5)[:-1], b"rubbish", b"cno_such_module\nname\n."])
def test_bytes_that_are_no_pickle_are_handed_over(data: bytes) -> None:
    for read in (decode, decode_views, decode_assembled):
        with pytest.raises(DecodeError, match=f"{len(data)} bytes") as caught:
            read(PICKLE, memoryview(bytearray(data)) if read is not decode_assembled else bytearray(data))  # type: ignore
        assert caught.value.raw == data
        assert type(caught.value.raw) is bytes
        assert type(caught.value.__cause__).__name__ in str(caught.value)


def test_bytes_are_bytes_without_a_pickle() -> None:
    block = Block(b"sent")
    assert block.kind == BYTES
    assert [(type(one), one) for one in roundtrips(b"sent")] == [(bytes, b"sent"), (bytes, b"sent")]
    body = bytes(1000)
    assert decode_assembled(BYTES, body) is body
    views = block.views()
    assert isinstance(views.obj, memoryview)
    assert (views.obj.readonly, bytes(views.obj)) == (True, b"sent")


# Views


def test_arrays_lie_in_the_block_read_only_and_are_empty_after_it() -> None:
    block = Block({"one": np.arange(1000), "two": [np.ones(3)], "bytes": pickle.PickleBuffer(b"raw")})
    views = block.views()
    obj = views.obj
    assert not block.is_free
    with block.body() as body:
        assert np.shares_memory(obj["one"], np.frombuffer(body, "u1"))
    assert obj["one"].sum() == 999 * 500
    for one in (obj["one"], obj["two"][0]):
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 1
    del one
    assert bytes(obj["bytes"]) == b"raw"
    views.check()
    views.release()
    assert block.is_free
    assert (obj["one"].shape, obj["two"][0].shape) == ((0,), (0,))
    with pytest.raises(ValueError, match="released"):
        bytes(obj["bytes"])
    views.release()


def held_as_the_message(views: Views) -> object:
    return views.obj


def held_as_nothing(_: Views) -> object:
    return None


def held_in_part(views: Views) -> object:
    return views.obj[0] if isinstance(views.obj, list) else [views.obj]


def held_by_a_slice(views: Views) -> object:
    return (views.obj[0] if isinstance(views.obj, list) else views.obj)[1:]


def held_by_another_library(views: Views) -> object:
    return [held_as_the_message(views), memoryview(views.obj[0] if isinstance(views.obj, list) else views.obj)]


@pytest.mark.parametrize("sent", [np.arange(50), [np.arange(50)], b"x" * 400], ids=["array", "list", "bytes"])
@pytest.mark.parametrize(
    ("hold", "is_free"),
    [
        (held_as_nothing, True),
        (held_as_the_message, True),
        (held_in_part, False),
        (held_by_a_slice, False),
        (held_by_another_library, False),
    ],
)
def test_what_still_refers_to_the_block_is_found(sent: Any, hold: Any, is_free: bool) -> None:
    """The message itself may stay, in the variable of the ``with``; a part of it may not."""
    block = Block(sent)
    views = block.views()
    obj = views.obj  # the variable of the with
    kept = hold(views) if hold is not held_as_the_message else None
    if hold is held_in_part and type(obj) is not list:
        kept = [obj]
    views.release()
    assert block.is_free == is_free
    del kept, obj, views
    assert block.is_free


def fails_with_its_argument(view: object) -> None:
    memory = np.frombuffer(view, "u1")  # type: ignore[call-overload]
    raise RuntimeError(f"of {len(memory)} bytes")


class FailsToArrive:
    def __reduce__(self) -> tuple[object, ...]:
        return fails_with_its_argument, (pickle.PickleBuffer(b"abc"),)


def test_error_does_not_keep_the_block() -> None:
    block = Block([np.arange(10), FailsToArrive()])
    for read in (decode, decode_views):
        with pytest.raises(DecodeError, match="RuntimeError: of 3 bytes") as caught:
            read(block.kind, block.body())
        assert block.is_free
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("make", [lambda view: as_bytes_view(view), lambda view: Encoder().encode(pickle.PickleBuffer(view))])
@pytest.mark.parametrize(
    "view",
    [memoryview(b"abcdefgh"), memoryview(array.array("i", [1, 2])), memoryview(np.ones((2, 3), ">i8").data)],
    ids=["bytes", "array", "numpy"],
)
def test_no_view_refers_to_a_view(make: Any, view: memoryview) -> None:
    """As garbage in one cycle the two would make CPython 3.11 crash."""
    made = make(view)
    for piece in made.pieces if isinstance(made, Gathered) else [made]:
        assert not isinstance(piece, memoryview) or not isinstance(piece.obj, memoryview)
    if not isinstance(made, Gathered):
        assert made == view.tobytes()
