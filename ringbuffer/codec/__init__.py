"""Objects to frames and back. A frame is a header and the message's bytes; the header says what the bytes are, and how many.

Layout of a block: 8 bytes kind, 8 bytes length (both little-endian), then the payload. Rules: an object is encoded before a
block is asked for, so that what cannot be encoded disturbs nobody; only the bytes of the message are ever decoded, never
what an earlier, longer message left behind them. Limits: pickle protocol 5, in one piece; only unpickle what a process that
you trust has written.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, Final

from ringbuffer.errors import DecodeError, EncodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

RAW: Final = 0
"""The caller filled the block itself, with ``acquire_write``."""
PICKLE: Final = 1
"""A pickled object, from ``enqueue``."""
PICKLE_PROTOCOL: Final = 5

_HEADER: Final = struct.Struct("<QQ16x")
assert _HEADER.size == FRAME_BYTES

_dumps, _loads = pickle.dumps, pickle.loads
_pack, _unpack = _HEADER.pack_into, _HEADER.unpack_from


def encode(obj: object) -> bytes:
    """Pickle ``obj``. Raises :class:`EncodeError`, with the cause chained."""
    try:
        return _dumps(obj, PICKLE_PROTOCOL)
    except Exception as error:
        raise EncodeError(f"an object of type {type(obj).__name__} cannot be pickled ({error}); nothing was written") from error


def write_message(frame: memoryview, data: bytes) -> None:
    """Put a pickled object into a block that has room for it."""
    size = len(data)
    _pack(frame, 0, PICKLE, size)
    frame[FRAME_BYTES : FRAME_BYTES + size] = data


def mark_raw(frame: memoryview) -> None:
    """Say that the payload is the caller's own, all of it."""
    _pack(frame, 0, RAW, len(frame) - FRAME_BYTES)


def message_bytes(frame: memoryview) -> memoryview:
    """The bytes of the pickled object in a block.

    Raises :class:`FrameError` for a block that was filled with ``acquire_write``, and for a header that cannot be.
    """
    kind, size = _unpack(frame, 0)
    if kind != PICKLE:
        if kind == RAW:
            raise FrameError(
                "this message was written with acquire_write, and dequeue cannot tell what it is; it is still there: read it"
                " with acquire_read"
            )
        raise FrameError(f"the block's frame header is damaged: kind {kind}; the message stays unread")
    if size > len(frame) - FRAME_BYTES:
        raise FrameError(
            f"the block's frame header is damaged: {size} bytes in a block of {len(frame) - FRAME_BYTES}; the message"
            " stays unread"
        )
    return frame[FRAME_BYTES : FRAME_BYTES + size]


def decode(data: memoryview) -> Any:
    """Unpickle a message.

    Raises :class:`DecodeError` with a copy of the bytes, and the cause chained; ``data`` is released then.
    """
    try:
        return _loads(data)
    except Exception as error:
        raw = bytes(data)
        data.release()  # the traceback keeps this function's variables, and must not keep the block
        raise DecodeError(
            f"a message of {len(raw)} bytes cannot be unpickled ({type(error).__name__}: {error}); it is consumed, its"
            " bytes are in the error's attribute raw, and the next message comes next",
            raw,
        ) from error
