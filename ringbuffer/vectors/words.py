"""The words of who is awake, which alone are in the processor's order of bytes: in files they are as on a little-endian one.

Rules: turning twice is turning not at all, and on a little-endian processor nothing is turned. Limits: none of its own.
"""

from __future__ import annotations

import sys
from typing import Literal

from ringbuffer.memory.layout import AWAKE_BYTES, Layout
from ringbuffer.ranks import WRITER


def turned(data: bytes | bytearray, layout: Layout) -> bytes:
    """The bytes of a live segment as they stand in files, and the other way round."""
    if sys.byteorder == "little":
        return bytes(data)
    found = bytearray(data)
    for rank in range(WRITER, layout.n_reader):
        start = layout.word_offset(rank)
        found[start : start + AWAKE_BYTES] = found[start : start + AWAKE_BYTES][::-1]
    return bytes(found)


def order_of(size_bytes: int) -> Literal["little", "big"]:
    """The order of the bytes of a number in a live segment: only the words have that size."""
    return sys.byteorder if size_bytes == AWAKE_BYTES else "little"
