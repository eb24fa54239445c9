"""What both backends agree on: how calls end, and which messages go through in one call. A test compares this with C."""

from __future__ import annotations

from typing import Final

from ringbuffer.memory.layout import FRAME as FRAME

WAIT: Final = 0
"""The block is busy: look again later."""
FOUND: Final = 1
"""The block is the caller's now. Of a message: it is sent."""
ENDED: Final = 2
"""The actor is done with its block, or has given it up, and stands at the first row."""
BUSY: Final = 4
"""No message goes through: the runner is in use, or holds a block, or has let go of the memory. (3 is a step in C.)"""
TOO_LARGE: Final = 5
"""The message does not fit a block."""

PICKLE: Final = 1
"""The kind of a message that is a pickle."""
BYTES: Final = 2
"""The kind of a message that is bytes."""
TENSOR: Final = 4
"""The kind of a message that is a tensor of torch, and nothing else."""
WHOLE: Final = 3
"""The part of a message that has only one: the first and the last."""
KIND_BITS: Final = 8
"""So many bits has a kind where it stands beside a length."""
COPY_MAX_BYTES: Final = 16 << 10
"""A longer pickle is not copied: whoever receives it decodes it in its block."""
