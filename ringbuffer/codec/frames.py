"""What stands in front of each payload, and messages of any size in parts, one part in a block.

::

    offset 0    sequence      8 bytes   number of this block in the stream, from 0
           8    length_bytes  8 bytes   bytes of the message in this block
          16    kind          4 bytes   what the message's body is, see ``KIND_NAMES``
          20    part          4 bytes   bit 0: the first block of the message; bit 1: the last one
          24    total_bytes   8 bytes   bytes of the whole body
          32    payload                 ``length_bytes`` of them are the message's, the rest is what an earlier one left

All fields are little-endian. A message that fits a block is one part, first and last. A larger one flows through consecutive
blocks: :class:`Outgoing` says which bytes come next, :class:`Assembly` puts them together. A writer that gives up in the
middle begins its next message with a first part, and that withdraws the unfinished one on every reader.

Rules: an illegal event raises :class:`FrameError` and changes nothing. What a header says is believed only after it was held
to the block it stands in, to the sequence, and to the parts before it. Memory grows with the bytes that arrive, never with
what a header promises. Limits: neither side knows blocks, flags or pickles; a payload's bytes have no checksum of their own.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from ringbuffer.errors import FrameError
from ringbuffer.memory.codes import BYTES as BYTES
from ringbuffer.memory.codes import PICKLE as PICKLE
from ringbuffer.memory.codes import TENSOR as TENSOR
from ringbuffer.memory.codes import WHOLE as WHOLE
from ringbuffer.memory.layout import FRAME, FRAME_BYTES

TOTAL_BYTES_MAX: Final = 1 << 46
"""No message is larger than the largest ring."""

RAW: Final = 0
"""The caller filled the block itself, with ``acquire_write``."""
GATHERED: Final = 3
"""The body is a pickle and the buffers that belong to it, see ``message.py``."""
KIND_NAMES: Final = {RAW: "raw", PICKLE: "pickle", BYTES: "bytes", GATHERED: "gathered", TENSOR: "tensor"}

MIDDLE: Final = 0
FIRST: Final = 1
LAST: Final = 2
assert WHOLE == FIRST | LAST, "what goes through in one call has one part"
_PART_NAMES: Final = ("a middle part", "a first part", "a last part", "a whole message")


class Frame(NamedTuple):
    """A frame's header, in the order of its bytes."""

    sequence: int
    length_bytes: int
    kind: int
    part: int
    total_bytes: int

    @property
    def kind_name(self) -> str:
        """What the kind is called."""
        return KIND_NAMES.get(self.kind, f"kind {self.kind}")

    @classmethod
    def read(cls, block: memoryview) -> Frame:
        """What a block says of itself. Nothing is checked here."""
        return cls._make(FRAME.unpack_from(block))

    def write(self, block: memoryview) -> None:
        """Put the header in front of the block's payload."""
        FRAME.pack_into(block, 0, *self)


class Gathered:
    """A body in pieces, which are copied for the first time when the body is written into blocks.

    Attributes: ``kind``, ``pieces`` and ``total_bytes``. The pieces are held by reference: who changes them before the message
    is sent changes the message. ``owners`` are held as long: the memory of some pieces may be theirs.
    """

    __slots__ = ("_ends", "kind", "owners", "pieces", "total_bytes")

    def __init__(self, kind: int, pieces: list[bytes | memoryview], owners: Sequence[object] = ()) -> None:
        self.kind = kind
        self.pieces = pieces
        self.owners = owners
        self._ends: list[int] | None = None
        self.total_bytes = sum(map(len, pieces))

    def write(self, offset: int, target: memoryview) -> int:
        """Copy ``body[offset : offset + len(target)]`` to the front of ``target``; return how many bytes there were."""
        if offset or len(target) < self.total_bytes:
            return self._write_part(offset, target)
        at = 0
        for piece in self.pieces:
            end = at + len(piece)
            target[at:end] = piece
            at = end
        return at

    def _write_part(self, offset: int, target: memoryview) -> int:
        assert 0 <= offset <= self.total_bytes, "a part of the body"
        if self._ends is None:
            self._ends = list(accumulate(map(len, self.pieces)))
        at, room = 0, min(len(target), self.total_bytes - offset)
        index = bisect_right(self._ends, offset)
        while at < room:
            piece = self.pieces[index]
            skip = offset + at - (self._ends[index] - len(piece))
            size = min(len(piece) - skip, room - at)
            with memoryview(piece) as whole, whole[skip : skip + size] as some:
                target[at : at + size] = some
            at += size
            index += 1
        return at


class Outgoing:
    """A message that is being sent, and how much of it is.

    For each block: ``fill`` it, publish it, then say ``sent``. Between ``fill`` and ``sent`` nothing has changed: a wait that
    ends in a time-out is taken up again with the same part, in whatever block comes.
    """

    __slots__ = ("_body", "_part_bytes", "kind", "sent_bytes", "total_bytes")

    def __init__(self, kind: int, body: bytes | memoryview | Gathered) -> None:
        self._body = body if isinstance(body, Gathered) else Gathered(kind, [body])
        self.kind = self._body.kind
        self.total_bytes = self._body.total_bytes
        self.sent_bytes = 0
        self._part_bytes: int | None = None
        assert kind == self.kind, "the kind of the body"
        if self.total_bytes > TOTAL_BYTES_MAX:
            raise ValueError(f"a message of {self.total_bytes} bytes: the most is {TOTAL_BYTES_MAX}")

    @property
    def owners(self) -> Sequence[object]:
        """Whose memory some of its bytes lie in."""
        return self._body.owners

    @property
    def is_begun(self) -> bool:
        """Whether a part of it was sent: then giving it up costs the readers that part, and takes no more."""
        return self.sent_bytes > 0

    def next_part(self, limit_bytes: int) -> tuple[int, int]:
        """Which part comes next in a block with so much room: its part bits, and its length in bytes."""
        assert limit_bytes > 0, "a block has room for a byte"
        left = self.total_bytes - self.sent_bytes
        assert left or not self.is_begun, "there is a part left to send"
        return (0 if self.is_begun else FIRST) | (LAST if left <= limit_bytes else 0), min(left, limit_bytes)

    def fill(self, block: memoryview, sequence: int) -> None:
        """Put the next part into a block, header and all: as much as it has room for."""
        part, size = self.next_part(len(block) - FRAME_BYTES)
        with block[FRAME_BYTES : FRAME_BYTES + size] as target:
            copied = self._body.write(self.sent_bytes, target)
        assert copied == size, "the part that was announced"
        FRAME.pack_into(block, 0, sequence, size, self.kind, part, self.total_bytes)
        self._part_bytes = size

    def sent(self) -> bool:
        """The block that was filled last is published. Whether that was the last one."""
        assert self._part_bytes is not None, "a block was filled"
        self.sent_bytes += self._part_bytes
        self._part_bytes = None
        return self.sent_bytes == self.total_bytes


def fill_whole(block: memoryview, sequence: int, kind: int, body: bytes | memoryview) -> None:
    """Put a message that fits into a block."""
    size = len(body)
    FRAME.pack_into(block, 0, sequence, size, kind, WHOLE, size)
    block[FRAME_BYTES : FRAME_BYTES + size] = body


def mark_raw(block: memoryview, sequence: int) -> None:
    """Say that the payload is the caller's own, all of it."""
    size = len(block) - FRAME_BYTES
    FRAME.pack_into(block, 0, sequence, size, RAW, WHOLE, size)


def payload(block: memoryview, frame: Frame) -> memoryview:
    """The message's bytes in a block whose frame was checked."""
    return block[FRAME_BYTES : FRAME_BYTES + frame.length_bytes]


def check_frame(frame: Frame, sequence: int, limit_bytes: int, block_index: int) -> None:
    """Hold a header to the place in the stream where it must stand, and to the room in its block.

    ``sequence`` is the one that comes next. Raises :class:`FrameError`, which names what was found and what was expected.
    """
    where = f"block {block_index} (sequence {sequence})"
    if frame.sequence != sequence:
        raise FrameError(
            f"{where} holds sequence {frame.sequence}: it is not the block that comes next in the stream, so that something"
            " was lost, repeated or overwritten; it is not delivered"
        )
    damage = _damage(frame, limit_bytes)
    if damage:
        raise FrameError(f"{where} has a damaged frame header: {damage}; it is not delivered")


def _damage(frame: Frame, limit_bytes: int) -> str:
    """What a header says that cannot be, or nothing."""
    _, length, kind, part, total = frame
    if kind not in KIND_NAMES:
        return f"kind {kind}"
    if part > WHOLE:
        return f"part {part}"
    if length > limit_bytes:
        return f"{length} bytes in a block of {limit_bytes}"
    if total > TOTAL_BYTES_MAX:
        return f"a message of {total} bytes, and the most is {TOTAL_BYTES_MAX}"
    if part == WHOLE:
        if kind == RAW and length < limit_bytes:
            return f"{length} bytes in a block of {limit_bytes} that its caller filled, which is all of it"
        return "" if length == total else f"{length} bytes are a whole message of {total}"
    if kind == RAW:
        return f"{_PART_NAMES[part]} of a message that its caller filled, which is whole"
    if not length:
        return f"{_PART_NAMES[part]} without a byte"
    if length >= total:
        return f"{length} bytes in {_PART_NAMES[part]} of a message of {total}"
    return ""


class Assembly:
    """The reader's side of messages in parts: takes the parts in their order, and gives the body when it is whole.

    The body is put together once: what is given is the message's own memory. Holds at most the bytes that have arrived, and
    an eighth for growth. A part may be taken again, as long as no other was taken: where its reader was interrupted before it
    could mark the block as read, the same block comes again.
    """

    __slots__ = ("_before_bytes", "_body", "_kind", "_sequence", "_total_bytes")

    def __init__(self) -> None:
        self._body: bytearray | io.BytesIO | None = None
        self._sequence = -1
        self._kind = self._total_bytes = self._before_bytes = 0

    @property
    def is_begun(self) -> bool:
        """Whether parts were taken, and the message that they belong to was not."""
        return self._body is not None

    @property
    def received_bytes(self) -> int:
        """How much of the message is here."""
        if isinstance(self._body, io.BytesIO):
            return self._body.tell()
        return 0 if self._body is None else len(self._body)

    def check(self, frame: Frame) -> None:
        """Hold a frame that ``check_frame`` has let pass to the parts before it. Raises :class:`FrameError`."""
        if frame.part & FIRST:
            return
        name = (
            f"the block with sequence {frame.sequence} is {_PART_NAMES[frame.part]} of a message of {frame.total_bytes} bytes"
        )
        if self._body is None:
            raise FrameError(f"{name}, and its first part was not here; it is not delivered")
        if (frame.kind, frame.total_bytes) != (self._kind, self._total_bytes):
            raise FrameError(
                f"{name}, kind {KIND_NAMES[frame.kind]}, and the parts before it are of one of {self._total_bytes} bytes, kind"
                f" {KIND_NAMES[self._kind]}; it is not delivered"
            )
        end = self._bytes_before(frame) + frame.length_bytes
        if end > self._total_bytes or (end == self._total_bytes) != bool(frame.part & LAST):
            raise FrameError(f"{name}, and with its {frame.length_bytes} there are {end}; it is not delivered")

    def _bytes_before(self, frame: Frame) -> int:
        return self._before_bytes if frame.sequence == self._sequence else self.received_bytes

    def add(self, frame: Frame, part: memoryview) -> bool:
        """Take a part. Whether the message is whole. Raises :class:`FrameError`, and is as it was then.

        A first part withdraws a message that is unfinished.
        """
        assert len(part) == frame.length_bytes, "the part that the frame is in front of"
        self.check(frame)
        if frame.part & FIRST:
            # A bytes object that grows can be had from a BytesIO only, which gives it without a copy.
            self._body = io.BytesIO() if frame.kind == BYTES else bytearray()
            self._kind, self._total_bytes = frame.kind, frame.total_bytes
            before = 0
        else:
            before = self._bytes_before(frame)
        self._sequence, self._before_bytes = frame.sequence, before
        if isinstance(self._body, io.BytesIO):
            self._body.seek(before)
            self._body.truncate()
            self._body.write(part)
        else:
            assert self._body is not None, "the frame was checked"
            del self._body[before:]
            self._body += part
        return bool(frame.part & LAST)

    @property
    def is_whole(self) -> bool:
        """Whether all parts of a message were taken."""
        return self._body is not None and self.received_bytes == self._total_bytes

    @property
    def sequence(self) -> int:
        """The number of the block that was taken last."""
        return self._sequence

    def whole(self) -> tuple[int, bytearray | bytes]:
        """The kind and the body of the message that is whole. It stays here until it is withdrawn, or another begins."""
        body = self._body
        assert body is not None, "a message was put together"
        assert self.received_bytes == self._total_bytes, "all of it"
        return self._kind, body.getvalue() if isinstance(body, io.BytesIO) else body

    def take(self) -> tuple[int, bytearray | bytes]:
        """The kind and the body of the message that is whole. The next part is then a first one."""
        found = self.whole()
        self._body = None
        return found

    def withdraw(self) -> bool:
        """Forget an unfinished message. Whether there was one."""
        was_begun, self._body = self.is_begun, None
        return was_begun
