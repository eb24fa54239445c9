"""Which code is the ring's, and dying at a line of it.

Rules: the ring's code is what an adapter says (``is_code``), or else all files but Python's own, this kit's and a few large
libraries'. Limits: what is not Python has no lines; a process dies at the Python line before it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

_KIT: Final = Path(__file__).parent
_NOT_THE_RINGS: Final = (
    *{str(Path(sysconfig.get_path(name))) for name in ("stdlib", "platstdlib")},
    str(_KIT),
    str(_KIT.parent / "interleaving"),
)
_LIBRARIES: Final = ("hypothesis", "_pytest", "pytest", "pluggy", "numpy", "torch")
_EXAMPLES: Final = str(_KIT / "examples")


@functools.cache
def is_ring_code(file: str) -> bool:
    """Whether a source file is the ring's, or its adapter's."""
    if file.startswith(_EXAMPLES):
        return True
    if file.startswith("<"):
        return False
    for packages in ("/site-packages/", "/dist-packages/"):
        if packages in file:
            return file.partition(packages)[2].partition("/")[0] not in _LIBRARIES and not file.startswith(_NOT_THE_RINGS[-2:])
    return not any(file.startswith(folder + os.sep) for folder in _NOT_THE_RINGS)


def predicate_of(ring: Any) -> Callable[[str], bool]:
    """What says of a file whether it is ``ring``'s."""
    own: Callable[[str], bool] | None = getattr(ring, "is_code", None)
    return is_ring_code if own is None else own


class Lines:
    """Counts the lines that the calling thread runs of the ring's code; kills the process before line ``kill_at``."""

    def __init__(self, is_code: Callable[[str], bool], kill_at: int | None) -> None:
        self.count, self._is_code, self._kill_at = 0, is_code, kill_at

    def __enter__(self) -> Lines:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not self._is_code(frame.f_code.co_filename):
            return None
        if event == "line":
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
        return self._trace
