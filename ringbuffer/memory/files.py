"""Segments as files: how one is opened that somebody else has made.

Rules: what is opened is a plain file, and no link to one; an error says what is wrong with the name, or with what stands there.
Limits: Linux, where segments are files in one folder.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from ringbuffer.errors import SegmentAccessError, SegmentFormatError, SegmentMissingError

FOLDER: Final = Path("/dev/shm")
"""Where the segments of this machine (or of this container) are files."""
_NOT_FOLLOWED: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_plain(name: str, flags: int, folder: Path = FOLDER) -> int:
    """The descriptor of the segment's file, if it is a plain file; nothing else is even opened, as that alone can have effects.

    ``flags``: ``os.O_RDONLY`` or ``os.O_RDWR``. Raises :class:`SegmentMissingError`, :class:`SegmentAccessError`, and
    :class:`SegmentFormatError` for a name that cannot be one and for what is no plain file.
    """
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise SegmentFormatError(name, "name", "a name is a text without slashes and zero bytes, and not empty")
    try:
        path = os.fsencode(folder / name)
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise SegmentFormatError(name, "file", "this is no plain file; another program made it")
        return os.open(path, flags | _NOT_FOLLOWED)
    except FileNotFoundError:
        raise SegmentMissingError(name) from None
    except PermissionError:
        found = os.lstat(path)  # which fails as well, with an error of its own, in a folder that one may not search
        raise SegmentAccessError(name, found.st_uid, found.st_mode) from None
    except UnicodeEncodeError:
        raise SegmentFormatError(name, "name", "no file can have such a name") from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO):
            raise
        raise SegmentFormatError(name, "file", os.strerror(error.errno)) from None
