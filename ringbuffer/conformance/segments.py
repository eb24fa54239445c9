"""Which named segments of shared memory there are, and which of them this process has mapped: for clause C10.

Rules: a segment counts as a ring's if it was not there before the ring was made, and is mapped here while the ring is open; so
those that other processes make meanwhile are not taken for it. Limits: Linux, and segments that are files of :data:`FOLDER`;
elsewhere nothing is seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = "/dev/shm"
_MAPS: Final = Path("/proc/self/maps")


def present() -> set[str]:
    """The names of all segments that there are."""
    try:
        return {file.name for file in Path(FOLDER).iterdir()}
    except OSError:
        return set()


def mapped() -> set[str]:
    """The names of those that are mapped by this process."""
    try:
        lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    prefix = FOLDER + "/"
    return {line.partition(prefix)[2] for line in lines if prefix in line}
