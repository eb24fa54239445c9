"""The messages that are sent, and what is said of the bytes that arrive.

Message n is the number n as four bytes, again and again, cut to its size: so that each piece of it says where it comes from,
and a reader that gets pieces of two messages can be told which.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

_TAG = struct.Struct("<I")
TAG_BYTES: Final = _TAG.size
_MARK: Final = 0x6D00_0000
"""The high byte of each tag is the letter m, so that zeroes and chance are not taken for messages."""


def body_of(number: int, size_bytes: int) -> bytes:
    """The body of message ``number``."""
    tag = _TAG.pack(_MARK | number)
    return (tag * (size_bytes // TAG_BYTES + 1))[:size_bytes]


class NotBytes(TypeError):
    """What a reader returned is no message: in one sentence."""


def bytes_of(data: object, method: str) -> bytes | None:
    """What a reader's ``method`` returned. Raises :class:`NotBytes` for what is neither bytes nor ``None``."""
    if data is None or isinstance(data, bytes):
        return data
    raise NotBytes(f"{method} returned a {type(data).__name__}, which is neither bytes nor None")


def words_of(data: bytes) -> list[int]:
    """For each full tag in ``data``, the number of the message that it is of; 0 for what is of none."""
    tags = (_TAG.unpack_from(data, at)[0] for at in range(0, len(data) - TAG_BYTES + 1, TAG_BYTES))
    return [tag & 0xFF_FFFF if tag & 0xFF00_0000 == _MARK else 0 for tag in tags]


def name(number: int) -> str:
    """How a message is called in stories."""
    return f"m{number}"


def size(count: int) -> str:
    """A number of bytes, in words."""
    return f"{count} byte" if count == 1 else f"{count} bytes"


def describe(data: bytes, sent: Iterable[tuple[int, bytes]]) -> str:
    """What ``data`` is, in words, given the messages that were sent: one of them, a part of one, or a mixture."""
    known = dict(sent)
    for number in reversed(known):
        if known[number] == data:
            return name(number)
    words = words_of(data)
    pieces: list[tuple[int, int]] = []
    for word in words:
        if pieces and pieces[-1][0] == word:
            pieces[-1] = (word, pieces[-1][1] + TAG_BYTES)
        else:
            pieces.append((word, TAG_BYTES))
    if not pieces:
        return "an empty message, which was never sent" if not data else f"{size(len(data))} that were never sent"
    if len(pieces) == 1 and pieces[0][0] in known:
        number = pieces[0][0]
        of = known[number]
        return f"{size(len(data))} of {name(number)}, which has {len(of)}"
    told = [f"{size(count)} of {name(word) if word in known else 'no message'}" for word, count in pieces[:4]]
    more = ", …" if len(pieces) > 4 else ""
    return f"{size(len(data))}: {', then '.join(told)}{more}"
