"""Who holds a role of a segment: locks on bytes of its file, which the kernel lets go when the holder is gone.

A role is held by a write lock on the first byte of its participant's entry, and the creator's duty to remove the segment by one
on byte 0. The locks are those of an open file description (``F_OFD_SETLK``): no other file that the process closes lets them
go (as it would the older kind), two ring objects of one process exclude each other, and a process that is killed in any
way loses them at once. Nobody ever waits for a lock, and nobody who sends or receives looks at one; only who has waited
for long asks whether the other side still holds its role.

Rules: a descriptor holds for one ring object, in one process: a forked child opens its own (:func:`reopened`). Limits: Linux;
who the holder is, the kernel does not say: that is in the participant's entry.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from typing import Final

from ringbuffer.errors import UnsupportedPlatformError

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

CREATOR_BYTE: Final = 0
_FLOCK: Final = struct.Struct("hhqqi0q")
"""The kernel's ``struct flock``: type, whence, start, length, pid."""


def is_supported() -> bool:
    """Whether this platform has locks of open file descriptions."""
    return sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")


def require_support() -> None:
    """Raise :class:`UnsupportedPlatformError` where roles cannot be held."""
    if not is_supported():  # pragma: no cover
        raise UnsupportedPlatformError(
            f"roles are held by locks of open file descriptions, and this platform ({sys.platform}) has none: the ring runs on"
            " Linux; the checker and the simulator run here"
        )


def hold(descriptor: int, offset: int) -> bool:
    """Lock one byte of the file; whether that succeeded. Again does nothing."""
    return _set(descriptor, offset, fcntl.F_WRLCK)


def let_go(descriptor: int, offset: int) -> None:
    """Unlock one byte; no error if it was not locked."""
    _set(descriptor, offset, fcntl.F_UNLCK)


def is_held(descriptor: int, offset: int) -> bool:
    """Whether anybody else holds that byte. Needs no right to write, and changes nothing."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    kind = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
    return bool(kind != fcntl.F_UNLCK)


def reopened(descriptor: int, flags: int = os.O_RDWR) -> int:
    """The same file, opened anew: what holds by ``descriptor`` does not hold by it. Works after the name is gone."""
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)


def _set(descriptor: int, offset: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True
