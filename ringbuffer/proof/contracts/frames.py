"""Laws of frames and parts: what is put into blocks comes out of them, whole and once, and nothing else ever does.

Rules: how long a message is, how much room its blocks have, and what a header says are given one by one, so that the paths are
finitely many and all of them are tried. Limits: messages of up to five bytes in blocks of up to three; the content is one; the
numbers in a header are those from none to one too many.
"""

# crosshair: per_condition_timeout=60

from __future__ import annotations

from ringbuffer.codec.frames import (
    BYTES,
    RAW,
    TENSOR,
    WHOLE,
    Assembly,
    Frame,
    Outgoing,
    check_frame,
    fill_whole,
    mark_raw,
    payload,
)
from ringbuffer.errors import FrameError
from ringbuffer.memory.layout import FRAME_BYTES

LIMIT_BYTES = 2
"""The room in the block in which a header is tried."""


def one_of(number: int, most: int) -> int:
    """The same number, from 0 to ``most``, on a path of its own: what packs bytes can take no symbolic one."""
    for value in range(most + 1):
        if value == number:
            return value
    raise AssertionError(f"{number} lies between 0 and {most}")


def used(room_bytes: int) -> bytearray:
    """A block with so much room, that something has filled. By its size: CrossHair makes a symbolic one of given bytes."""
    block = bytearray(FRAME_BYTES + room_bytes)
    block[:] = b"\xff" * len(block)
    return block


def blocks_of(size: int, room_bytes: int) -> list[bytearray]:
    """The blocks through which a message of so many bytes flows, with sequences from 0."""
    outgoing, blocks = Outgoing(BYTES, b"abcde"[:size]), []
    while True:
        blocks.append(used(room_bytes))
        outgoing.fill(memoryview(blocks[-1]), len(blocks) - 1)
        if outgoing.sent():
            return blocks


def received(blocks: list[bytearray]) -> bytes | None:
    """What a reader gets from these blocks: a message, or none yet. Raises :class:`FrameError`."""
    assembly = Assembly()
    for sequence, block in enumerate(blocks):
        frame = Frame.read(memoryview(block))
        check_frame(frame, sequence, len(block) - FRAME_BYTES, 0)
        if assembly.add(frame, payload(memoryview(block), frame)):
            return bytes(assembly.take()[1])
    return None


def a_message_that_fits_fills_its_place_and_no_more(size: int, spare: int) -> bool:
    """The header says what there is, the message stands behind it, and the bytes behind the message stay as they were.

    pre: 0 <= size <= 5 and 0 <= spare <= 3
    post: _
    """
    data, behind = b"abcde"[: one_of(size, 5)], b"\xff" * one_of(spare, 3)
    block = used(len(data + behind))
    fill_whole(memoryview(block), 7, BYTES, data)
    frame = Frame.read(memoryview(block))
    found = bytes(payload(memoryview(block), frame))
    return (frame, found, bytes(block[FRAME_BYTES:])) == ((7, len(data), BYTES, WHOLE, len(data)), data, data + behind)


def a_block_that_its_caller_filled_says_so(room_bytes: int) -> bool:
    """A block marked as the caller's own says so, and keeps all of its payload.

    pre: 0 <= room_bytes <= 5
    post: _
    """
    room = one_of(room_bytes, 5)
    block = used(room)
    mark_raw(memoryview(block), 7)
    return Frame.read(memoryview(block)) == (7, room, RAW, WHOLE, room) and bytes(block[FRAME_BYTES:]) == b"\xff" * room


def a_message_in_parts_arrives_whole(size: int, room_bytes: int) -> bool:
    """Whatever its length and whatever the room in its blocks, a message arrives as it was, with its last block.

    pre: 0 <= size <= 5 and 1 <= room_bytes <= 3
    post: _
    """
    length, room = one_of(size, 5), one_of(room_bytes, 3)
    blocks = blocks_of(length, room)
    return received(blocks) == b"abcde"[:length] and received(blocks[:-1]) is None and len(blocks) == max(1, -(-length // room))


def a_block_that_is_missing_or_comes_twice_is_noticed(count: int, where: int, is_twice: bool) -> bool:
    """Where a block of the stream is passed over or comes again, the one after that is refused, though it is sound in itself.

    pre: 2 <= count <= 4 and 0 <= where < count - 1
    post: _
    """
    blocks, place = [], one_of(where, 2)
    for sequence in range(one_of(count, 4)):
        blocks.append(used(3))
        fill_whole(memoryview(blocks[-1]), sequence, BYTES, b"abc")
    blocks[place : place + 1] = blocks[place : place + 1] * (2 if is_twice else 0)
    try:
        for sequence, block in enumerate(blocks):
            check_frame(Frame.read(memoryview(block)), sequence, 3, 0)
    except FrameError:
        return sequence == (place + 1 if is_twice else place)
    return False


def a_message_given_up_is_never_delivered(size: int, room_bytes: int, sent: int) -> bool:
    """Of a message that its writer gives up in the middle, nothing is delivered, and the next one arrives as it was.

    pre: 2 <= size <= 4 and 1 <= room_bytes <= 2 and 0 <= sent <= (size - 1) // room_bytes
    post: _
    """
    begun = one_of(sent, 3)
    blocks = blocks_of(one_of(size, 4), one_of(room_bytes, 2))[:begun]
    blocks.append(used(3))
    fill_whole(memoryview(blocks[-1]), begun, BYTES, b"new")
    return received(blocks) == b"new"


def a_length_that_cannot_be_is_refused(length: int, part: int, total: int) -> bool:
    """A part is neither longer than its block nor than its message; a whole message is as long as it says, others are longer.

    pre: 0 <= length <= 3 and 0 <= part <= 4 and 0 <= total <= 3
    post: _
    """
    frame = Frame(7, one_of(length, 3), BYTES, one_of(part, 4), one_of(total, 3))
    can_be = length <= LIMIT_BYTES and (length == total if part == WHOLE else 0 < length < total and part < WHOLE)
    return passes(frame) == can_be


def a_kind_that_cannot_be_is_refused(kind: int, part: int, length: int) -> bool:
    """There are five kinds, and a block that its caller filled is no part of anything, and full.

    pre: 0 <= kind <= 5 and 0 <= part <= 3 and 1 <= length <= 2
    post: _
    """
    said, bits, size = one_of(kind, 5), one_of(part, 3), one_of(length, 2)
    frame = Frame(7, size, said, bits, size if bits == WHOLE else 3)
    return passes(frame) == (said <= TENSOR and (said != RAW or (bits == WHOLE and size == LIMIT_BYTES)))


def passes(frame: Frame) -> bool:
    """Whether a header passes where sequence 7 is due."""
    try:
        check_frame(frame, 7, LIMIT_BYTES, 0)
    except FrameError:
        return False
    return True
