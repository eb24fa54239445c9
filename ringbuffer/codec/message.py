"""Objects to bodies and back: what an object is in a ring, before it is cut into parts and after they were put together.

A body of kind ``BYTES`` is the bytes that were sent. One of kind ``PICKLE`` is a pickle. One of kind ``GATHERED`` is

::

    count         8 bytes   number of buffers
    pickle_bytes  8 bytes   length of the pickle
    lengths       8 bytes for each buffer
    pickle        that asks for the buffers, one after the other
    buffers       each begins where FRAME_BYTES + its offset is a multiple of 64

so that, in a block whose frame begins on a cache line, the elements of every array begin on one, too. One of kind ``TENSOR``
is a tensor of torch, and nothing else: see ``tensors.py``.

Rules: an object is encoded before a block is asked for, so that what cannot be encoded disturbs nobody. Each byte of a large
buffer, or of a large ``bytes`` inside an object, is copied once on its way into a block; each buffer once on its way out. What
a body says of itself is held to its size before anything is made of it. Limits: pickle protocol 5; only unpickle what a
process that you trust has written. What is sent is held by reference until it is written: who changes it meanwhile, from
another thread, changes the message, and who resizes a tensor there frees memory that is being read.
"""

from __future__ import annotations

import copyreg
import pickle
import struct
import sys
from collections.abc import Sized
from typing import Any, Final

from ringbuffer.codec.frames import BYTES, GATHERED, PICKLE, RAW, TENSOR, Gathered
from ringbuffer.codec.tensors import pieces_of, reducers, tensor_on, tensor_type
from ringbuffer.errors import DecodeError, EncodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

PICKLE_PROTOCOL: Final = 5
ALIGNMENT_BYTES: Final = 64
OUT_OF_BAND_BYTES_MIN: Final = 1
"""Buffers of fewer bytes stay in the pickle."""
REUSE_BYTES_MAX: Final = 4096
"""After a longer pickle the pickler is replaced: to clear its memory of objects would take as long every time as that once."""

_TABLE: Final = struct.Struct("<QQ")
_ZEROS: Final = bytes(ALIGNMENT_BYTES)
_loads = pickle.loads


class _Sink:
    """What the pickler takes for a file. A large ``bytes`` comes to ``write`` as it is, so that it is not copied."""

    __slots__ = ("write",)


class Encoder:
    """Makes bodies of objects. It keeps a pickler, which saves a third of the time of a small object.

    It may be used while it is in use, by another thread or by an object that sends something as it is pickled: it is slower
    then, and right.
    """

    __slots__ = ("_buffers", "_clear", "_dump", "_in_use", "_owners", "_pieces", "_tensor", "_watched", "_watched_count")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        pieces: list[bytes | bytearray] = []
        buffers: list[memoryview] = []
        owners: list[object] = []

        def take(buffer: pickle.PickleBuffer) -> bool:
            raw = _raw(buffer)
            if raw.nbytes < OUT_OF_BAND_BYTES_MIN:
                return True
            buffers.append(raw)
            return False

        sink = _Sink()
        sink.write = pieces.append  # type: ignore[attr-defined]
        pickler = pickle.Pickler(sink, PICKLE_PROTOCOL, buffer_callback=take)  # type: ignore[arg-type]
        self._tensor = tensor = tensor_type()
        # Until somebody imports torch there are no tensors; after that, what others tell copyreg is to be told here as well.
        self._watched: Sized = sys.modules if tensor is None else copyreg.dispatch_table
        self._watched_count = len(self._watched)
        if tensor is not None:
            pickler.dispatch_table = reducers(tensor, owners)
        self._dump, self._clear = pickler.dump, pickler.clear_memo
        self._pieces, self._buffers, self._owners = pieces, buffers, owners
        self._in_use = False

    def encode(self, obj: object) -> bytes | Gathered:
        """The body of ``obj``: ``obj`` itself, if it is ``bytes``; a pickle; or the pieces of one, and the buffers beside it.

        So the kind of the body is ``BYTES`` if ``obj`` comes back, that of a :class:`Gathered`, or else ``PICKLE``. Raises
        :class:`EncodeError`, with the cause chained.
        """
        if type(obj) is bytes:
            return obj
        if self._in_use:
            return Encoder().encode(obj)
        if len(self._watched) != self._watched_count:
            self._renew()
        self._in_use = True
        try:
            if type(obj) is self._tensor:
                whole = pieces_of(obj)
                if whole is not None:
                    self._in_use = False
                    parts, owner = whole
                    return Gathered(TENSOR, parts, (owner,))
            self._dump(obj)
            self._clear()
            pieces = self._pieces
            if len(pieces) == 1 and not self._buffers:
                if len(pieces[0]) > REUSE_BYTES_MAX:
                    self._renew()
                self._in_use = False
                return pieces.pop()  # type: ignore[return-value]
            return self._gathered()
        except BaseException as error:
            self._renew()
            if not isinstance(error, Exception):
                raise
            raise EncodeError(
                f"an object of type {type(obj).__name__} cannot be pickled ({error}); nothing was written"
            ) from error

    def _gathered(self) -> Gathered:
        pieces, buffers, owners = self._pieces, self._buffers, self._owners
        if not buffers:
            self._renew()
            return Gathered(PICKLE, _held(pieces))
        if len(pieces) == 1 and len(pieces[0]) <= REUSE_BYTES_MAX:
            found = Gathered(GATHERED, body_of_pieces(pieces, buffers), owners[:])
            for used in (pieces, buffers, owners):
                used.clear()
            self._in_use = False
            return found
        self._renew()
        return Gathered(GATHERED, body_of_pieces(pieces, buffers), owners)


def _held(pieces: list[bytes | bytearray]) -> list[bytes | memoryview]:
    """The same pieces, but that none can change its size."""
    return [piece if type(piece) is bytes else memoryview(piece) for piece in pieces]


def _padding_bytes(end: int) -> int:
    """How far it is from an offset in a body to the next one where a buffer may begin."""
    return -(FRAME_BYTES + end) % ALIGNMENT_BYTES


def body_of_pieces(pickled: list[bytes | bytearray], buffers: list[memoryview]) -> list[bytes | memoryview]:
    """The pieces of a gathered body."""
    count = len(buffers)
    lengths = [buffer.nbytes for buffer in buffers]
    size = sum(map(len, pickled))
    table = struct.pack(f"<{2 + count}Q", count, size, *lengths)
    end = len(table) + size
    padding = _ZEROS[: _padding_bytes(end)]
    pieces: list[bytes | memoryview] = [table, *_held(pickled), padding]
    if len(pickled) == 1:
        pieces = [b"".join((table, pickled[0], padding))]
    end += len(padding)
    for buffer, length in zip(buffers, lengths, strict=True):
        skip = _padding_bytes(end)
        if skip:
            pieces.append(_ZEROS[:skip])
        pieces.append(buffer)
        end += skip + length
    return pieces


def as_bytes_view(data: Any) -> memoryview:
    """The bytes of something like ``bytes``, without a copy. Raises ``TypeError`` for what has none, or has gaps in them."""
    if type(data) is bytes:
        return memoryview(data)
    try:
        with memoryview(data) as view:
            is_contiguous = view.c_contiguous
    except TypeError:
        raise TypeError(
            f"{type(data).__name__} is not like bytes (bytes, bytearray, memoryview, array, mmap, a NumPy array): encode a"
            " text first, and send other objects with enqueue"
        ) from None
    if not is_contiguous:
        raise TypeError(
            f"the bytes of this {type(data).__name__} do not lie one after the other: send a copy that is contiguous"
        )
    return _raw(pickle.PickleBuffer(data))


def _raw(buffer: pickle.PickleBuffer) -> memoryview:
    """The bytes of a buffer, one after the other.

    A view that refers to a view is never kept: where CPython (3.11) collects both as garbage, as part of an error's traceback,
    say, it crashes. Two views of the same memory do not refer to each other.
    """
    raw = buffer.raw()
    lender = raw.obj
    if type(lender) is not memoryview or not raw.nbytes:
        return raw if raw.nbytes else memoryview(b"")
    try:
        return lender.cast("B")
    except TypeError:  # of elements that a view can only show as they are
        return memoryview(raw.tobytes())
    finally:
        raw.release()


def spans(body: memoryview) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Where in a gathered body the pickle begins and ends, and each buffer. Raises :class:`FrameError` if it cannot be one."""
    size = len(body)
    if size < _TABLE.size:
        raise FrameError(f"a gathered message of {size} bytes has no table: it is damaged")
    count, pickle_bytes = _TABLE.unpack_from(body)
    if count > (size - _TABLE.size) // 8:
        raise FrameError(f"a gathered message of {size} bytes says that it has {count} buffers: it is damaged")
    begin = _TABLE.size + 8 * count
    end = begin + pickle_bytes
    pickled = (begin, end)
    buffers = []
    if end <= size:
        for length in struct.unpack_from(f"<{count}Q", body, _TABLE.size):
            begin = end + _padding_bytes(end)
            end = begin + length
            buffers.append((begin, end))
    if end != size:
        raise FrameError(f"a gathered message of {size} bytes says that its parts end at {end}: it is damaged")
    return pickled, buffers


def decode(kind: int, body: memoryview) -> Any:
    """The object that a body is, with memory of its own: each buffer is copied, and arrays and tensors can be written to.

    Raises :class:`FrameError` for a kind that is no object, and :class:`DecodeError`, with a copy of the body, for a body that
    contradicts itself or cannot be unpickled; ``body`` is released then, as the traceback would keep the block.
    """
    try:
        if kind == PICKLE:
            return _loads(body)
        if kind == BYTES:
            return bytes(body)
        if kind == TENSOR:
            return tensor_on(bytearray(body))
        if kind == GATHERED:
            return _gathered(body, own=False)
    except Exception as error:
        raise undecodable(body, error) from error
    body.release()
    raise no_object(kind)


def decode_assembled(kind: int, body: bytearray | bytes) -> Any:
    """The object that a body is which :class:`~ringbuffer.codec.frames.Assembly` put together: as :func:`decode`, without a
    copy."""
    if kind == BYTES:
        return bytes(body)  # which is the same object, if it is bytes
    with memoryview(body) as view:
        try:
            if kind == PICKLE:
                return _loads(view)
            if kind == TENSOR:
                assert isinstance(body, bytearray), "what is no bytes is put together so that it can be written to"
                return tensor_on(body)  # not on the view, which ends here
            if kind == GATHERED:
                return _gathered(view, own=True)
        except Exception as error:
            raise undecodable(view, error) from error
    raise no_object(kind)


def _gathered(body: memoryview, *, own: bool) -> Any:
    """The object that a gathered body is: on the body's own memory, or with a copy of each buffer."""
    (begin, end), buffers = spans(body)
    with body[begin:end] as pickled:
        if own:
            return _loads(pickled, buffers=[body[begin:end] for begin, end in buffers])
        return _loads(pickled, buffers=[bytearray(body[begin:end]) for begin, end in buffers])


def no_object(kind: int) -> FrameError:
    """The error for a body that is no object."""
    if kind == RAW:
        return FrameError(
            "this message was written with acquire_write, and dequeue cannot tell what it is; it is still there: read it"
            " with acquire_read"
        )
    return FrameError(f"the block's frame header is damaged: kind {kind}; the message stays unread")


def undecodable(body: memoryview, error: Exception) -> DecodeError:
    """The error for a body that no object can be made of; the body is released."""
    raw = bytes(body)
    body.release()
    return DecodeError(
        f"a message of {len(raw)} bytes cannot be decoded ({type(error).__name__}: {error}); it is consumed, its"
        " bytes are in the error's attribute raw, and the next message comes next",
        raw,
    )
