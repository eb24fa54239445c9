"""Laws of framing: what is put into a block comes out of it, and nothing else ever does.

Rules: how much room a block has, how long a message is, which bytes it consists of and what the block held before are given
one by one, so that the paths are finitely many and all of them are tried. Limits: messages of up to eight bytes in rooms of up
to twelve; contents of up to three bytes, each one of two values; headers of a few odd numbers; that every object comes back
from its pickle is left open here, as CrossHair cannot look into the interpreter's own ``pickle``.
"""

# crosshair: per_condition_timeout=60

from __future__ import annotations

from ringbuffer.codec import PICKLE, RAW, decode, encode, mark_raw, message_bytes, write_message
from ringbuffer.errors import FrameError
from ringbuffer.memory.layout import FRAME_BYTES

ODD_SIZES = (0, 1, 2, 3, 4, 5, FRAME_BYTES + 3, (1 << 32) + 1, 1 << 63, (1 << 64) - 1)
"""Lengths to find in a header, around and far above the three bytes that there is room for."""
ODD_KINDS = (RAW, PICKLE, 2, (1 << 32) + 1, 1 << 63, (1 << 64) - 1)
"""Kinds to find in a header: the two that there are, and others."""


def one_of_few(number: int, most: int) -> int:
    """The same number, from 0 to ``most``, on a path of its own: what packs bytes can take no symbolic one."""
    for value in range(most + 1):
        if value == number:
            return value
    raise AssertionError(f"{number} lies between 0 and {most}")


def block_of(held: bytes) -> bytearray:
    """A block that holds these bytes. It is made by its size: CrossHair turns one that is made of bytes into a symbolic one."""
    block = bytearray(len(held))
    block[:] = held
    return block


def used_block(room: int, rubbish: bool) -> bytearray:
    """A block with so much room for payload, full of zeros or ones."""
    return block_of((b"\xff" if rubbish else b"\0") * (FRAME_BYTES + room))


def content(size: int, first: bool, second: bool, third: bool) -> bytes:
    """Up to three bytes, each one of two values."""
    return b"".join(b"\xaa" if one else b"\x55" for one in (first, second, third)[:size])


def field(block: bytearray, start: int) -> int:
    """One of the two little-endian numbers of a frame header."""
    return int.from_bytes(block[start : start + 8], "little")


def a_message_comes_back(size: int, spare: int, first: bool, second: bool, third: bool, rubbish: bool) -> bool:
    """The bytes of a message come back, these and no others, whatever the block held, and however much room is left.

    pre: 0 <= size <= 3 and 0 <= spare <= 2
    post: _
    """
    data = content(one_of_few(size, 3), first, second, third)
    block = used_block(len(data) + one_of_few(spare, 2), rubbish)
    write_message(memoryview(block), data)
    return bytes(message_bytes(memoryview(block))) == data


def a_message_of_any_length_fills_its_place_and_no_more(size: int, spare: int) -> bool:
    """The header says kind and length, the message stands behind it, and the bytes behind the message stay as they were.

    pre: 0 <= size <= 8 and 0 <= spare <= 4
    post: _
    """
    data, behind = b"a" * one_of_few(size, 8), b"\xff" * one_of_few(spare, 4)
    block = used_block(len(data + behind), True)
    write_message(memoryview(block), data)
    return (field(block, 0), field(block, 8), bytes(block[FRAME_BYTES:])) == (PICKLE, size, data + behind)


def a_shorter_message_leaves_nothing_of_the_last_one(longer: int, shorter: int) -> bool:
    """When a block is used again, none of an earlier, longer message is read.

    pre: 0 <= shorter <= longer <= 6
    post: _
    """
    old, new = b"a" * one_of_few(longer, 6), b"b" * one_of_few(shorter, 6)
    block = used_block(len(old), True)
    write_message(memoryview(block), old)
    write_message(memoryview(block), new)
    return bytes(message_bytes(memoryview(block))) == new


def a_block_that_the_caller_filled_is_not_taken_for_a_message(room: int, rubbish: bool) -> bool:
    """A block marked as the caller's own says so, keeps all of its payload, and is refused as a message.

    pre: 0 <= room <= 8
    post: _
    """
    block = used_block(one_of_few(room, 8), rubbish)
    payload = bytes(block[FRAME_BYTES:])
    mark_raw(memoryview(block))
    is_marked = (field(block, 0), field(block, 8), bytes(block[FRAME_BYTES:])) == (RAW, room, payload)
    try:
        message_bytes(memoryview(block))
    except FrameError:
        return is_marked
    return False


def a_header_that_cannot_be_is_refused(kind: int, size: int) -> bool:
    """Only a header of the right kind, with a length that there is room for, gives bytes, and as many as it says.

    pre: 0 <= kind < len(ODD_KINDS) and 0 <= size < len(ODD_SIZES)
    post: _
    """
    said, length = ODD_KINDS[one_of_few(kind, len(ODD_KINDS) - 1)], ODD_SIZES[one_of_few(size, len(ODD_SIZES) - 1)]
    block = block_of(said.to_bytes(8, "little") + length.to_bytes(8, "little") + b"abc")
    can_be = said == PICKLE and length <= 3
    try:
        found = message_bytes(memoryview(block))
    except FrameError:
        return not can_be
    return can_be and bytes(found) == b"abc"[:length]


def an_object_comes_back(number: int, is_nested: bool) -> bool:
    """An object is the same after it was pickled, framed, read and unpickled.

    post: _
    """
    # crosshair: max_iterations=20
    message = [number, (None, b"bytes")] if is_nested else number
    data = encode(message)
    block = used_block(len(data), True)
    write_message(memoryview(block), data)
    return bool(decode(message_bytes(memoryview(block))) == message)
