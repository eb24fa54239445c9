"""What message is sent as which number: its kind, its size, its bytes, and where in the ring it begins.

Writer and readers make the same stream of the same seed, so a reader knows from the number alone what must come, and compares
all of it: each byte of a body, how long it is, and how it was sent. A body has its number in front and at its end, as far as
there is room, and between them a piece of a pool of random bytes, which differs from that of its neighbours and of the same
place in other laps of the list of plans.

Rules: pure, and fast: it is asked for every message on both sides. Limits: the sizes come again after ``PLANS`` messages, the
pieces after ``SHIFTS`` times as many; the numbers do not.
"""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias

from ringbuffer.codec.message import Encoder
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import FrameError

PLANS: Final = 4093
"""A prime, so that no number of blocks has a part in it."""
SHIFTS: Final = 61
_POOL_BYTES: Final = 1 << 18
_STAMP: Final = struct.Struct("<Q")
_stamp = _STAMP.pack

BYTES_RECEIVED, BYTES_DEQUEUED, BYTES_READ, OBJECT, OBJECT_READ, GATHERED, GATHERED_READ, RAW = range(8)
"""How a message is sent and received. ``RAW``: in place, with ``acquire_write`` and ``acquire_read``."""
_KINDS: Final = ("bytes", "bytes", "bytes", "object", "object", "object with a buffer", "object with a buffer", "block")
_OFTEN: Final = (600, 200, 30, 110, 10, 15, 10, 25)
"""Of a thousand messages about so many are of each kind: those most that take least time."""

_OBJECTS: Final = frozenset((OBJECT, OBJECT_READ, GATHERED, GATHERED_READ))

SMALL_BYTES_MAX: Final = 200
PARTS_MAX: Final = 4
"""Of the messages of several blocks, most have up to so many; some are larger than the whole ring."""
_SIZES_OFTEN: Final = (870, 110, 18, 2)
"""Of a thousand messages: small, about a block, several blocks, more than the ring."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All that makes a stream: the same shape, the same messages."""

    seed: int
    chunk_bytes: int
    blocks: int


Message: TypeAlias = tuple[int, bytes, bytes]
"""What one message is: how it is sent, its number in eight bytes, and its body."""


class OtherMessage(Exception):
    """A block that was written in place is not the one that was expected."""


class Stream:
    """The messages of that shape."""

    def __init__(self, shape: Shape) -> None:
        draw, chunk, ring = random.Random(shape.seed), shape.chunk_bytes, shape.chunk_bytes * shape.blocks
        ranges = (
            (0, min(SMALL_BYTES_MAX, chunk)),
            (chunk // 2, chunk),
            (chunk + 1, PARTS_MAX * chunk),
            (ring + 1, ring * 3 // 2),
        )
        sizes = [draw.randint(*some) for some in draw.choices(ranges, _SIZES_OFTEN, k=PLANS)]
        kinds = draw.choices(range(len(_OFTEN)), _OFTEN, k=PLANS)
        starts = [draw.randrange(_POOL_BYTES) for _ in range(PLANS)]
        kinds = [BYTES_RECEIVED if kind == RAW and size > chunk else kind for kind, size in zip(kinds, sizes, strict=True)]
        self._pool = draw.randbytes(_POOL_BYTES + max(sizes) + SHIFTS)
        self._plans = list(zip(kinds, sizes, starts, strict=True))
        encode = Encoder().encode
        self._parts = [max(1, -(-self._encoded_bytes(number, encode) // chunk)) for number in range(PLANS)]
        self._before = [0, *accumulate(self._parts)]

    def _encoded_bytes(self, number: int, encode: Callable[[object], Any]) -> int:
        how, size, _ = self._plans[number]
        if how not in _OBJECTS:
            return size
        _, stamp, body = self.message(number)
        encoded = encode(_object(how, stamp, body))
        return len(encoded) if isinstance(encoded, bytes) else encoded.total_bytes

    def message(self, number: int) -> Message:
        """What is sent as that number."""
        lap, place = divmod(number, PLANS)
        how, size, start = self._plans[place]
        stamp = _stamp(number)
        if size < 16:
            return how, stamp, (stamp + stamp)[:size]
        start += lap % SHIFTS
        return how, stamp, stamp + self._pool[start : start + size - 16] + stamp

    def begins_at(self, number: int) -> int:
        """How many blocks there are before message ``number``."""
        lap, place = divmod(number, PLANS)
        return lap * self._before[-1] + self._before[place]

    def describe(self, number: int) -> str:
        """A message, in words."""
        how, _, body = self.message(number)
        parts = self._parts[number % PLANS]
        return f"message {number} ({_KINDS[how]}, {len(body)} bytes{f' in {parts} blocks' if parts > 1 else ''})"


def _object(how: int, stamp: bytes, body: bytes) -> dict[str, Any]:
    return {"number": stamp, "body": pickle.PickleBuffer(body) if how in (GATHERED, GATHERED_READ) else body}


def send(writer: ShmRingBufferIO, message: Message, timeout: float) -> None:
    """Send a message as its kind says."""
    how, stamp, body = message
    if how <= BYTES_READ:
        writer.send_bytes(body, timeout)
    elif how != RAW:
        writer.enqueue(_object(how, stamp, body), timeout)
    else:
        with writer.acquire_write(timeout) as block:
            block[: len(body)] = body


def receive(reader: ShmRingBufferIO, expected: Message, timeout: float) -> Any:
    """Receive the next message as the kind of the expected one says: ``None`` if it is that one, or else what has come.

    Raises :class:`OtherMessage` or :class:`FrameError` for one that cannot be had so, which stays unread.
    """
    how, stamp, body = expected
    if how == BYTES_RECEIVED:
        found: Any = reader.recv_bytes(timeout)
        return None if found == body else found
    if how == BYTES_DEQUEUED:
        found = reader.dequeue(timeout)
        return None if found == body else found
    if how in (OBJECT, GATHERED):
        found = reader.dequeue(timeout)
        return None if _is_object(found, stamp, body) else found
    if how == BYTES_READ:
        with reader.read(timeout) as lent:
            return None if lent == body else _owned(lent)
    if how == RAW:
        with reader.acquire_read(timeout) as block:
            if block[: len(body)] != body:
                raise OtherMessage  # it stays unread: what it is, another call can tell better
        return None
    with reader.read(timeout) as lent:
        return None if _is_object(lent, stamp, body) else _owned(lent)


def receive_any(reader: ShmRingBufferIO, timeout: float) -> Any:
    """Receive a message of whatever kind."""
    try:
        return reader.dequeue(timeout)
    except FrameError:  # only that can give what was written in place; where that is not the reason, it raises as well
        with reader.acquire_read(timeout) as block:
            return bytes(block)


def _is_object(found: Any, stamp: bytes, body: bytes) -> bool:
    return isinstance(found, dict) and len(found) == 2 and found.get("number") == stamp and found.get("body") == body


def _owned(lent: Any) -> Any:
    """A copy of what is lent for a moment only."""
    if isinstance(lent, dict):
        return {key: _owned(value) for key, value in lent.items()}
    return bytes(lent) if isinstance(lent, memoryview) else lent


def is_message(found: Any, message: Message) -> bool:
    """Whether what has come, by whatever call, is that message."""
    how, stamp, body = message
    if how in _OBJECTS:
        return _is_object(found, stamp, body)
    if not isinstance(found, bytes):
        return False
    return found.startswith(body) if how == RAW else found == body
