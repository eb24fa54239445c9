"""Whether a view that was lent out is still referred to by something that is not Python's, and goes on without it.

A library in C may lay an object on a view and keep a reference to the view, but no export: so does ``torch.frombuffer``. The
view can be released then, and the object still lies on its memory. All that shows is one reference too many: one that is in no
container that the garbage collector knows, and no variable of a function that runs.

Rules: a variable more, or a place in a list, is no escape, as the view is dead behind the ``with``. To look for all references
takes milliseconds, so it is done only where there are more than the variable of the ``with``. Limits: where that variable was
replaced by what lies on the view (``block = torch.frombuffer(block, …)``), there are no more, and this is not noticed.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

_SNAPSHOTS = sys.version_info < (3, 13)
"""Whether ``f_locals`` of a function is a copy that its frame keeps, and with it what the copy refers to."""


def is_held_in_c(view: Any, references: int) -> bool:
    """Whether one of the ``references`` to an object, which the caller has counted, is in no container and no variable.

    The caller has no variable of its own for it.
    """
    frames = [*_outwards(sys._getframe(1)), *_of_other_threads()]
    known = 0
    for container in gc.get_referrers(view):
        if not any(_frame_of(container) is frame for frame in frames):  # a generator that runs is told of by its frame
            known += sum(one is view for one in gc.get_referents(container))
    return references > known + sum(_count(frame, view) for frame in frames)


def _outwards(innermost: FrameType) -> Iterator[FrameType]:
    frame: FrameType | None = innermost
    while frame is not None:
        yield frame
        frame = frame.f_back


def _of_other_threads() -> Iterator[FrameType]:
    for thread, frame in sys._current_frames().items():
        if thread != threading.get_ident():
            yield from _outwards(frame)


def _frame_of(container: Any) -> Any:
    """The frame of a generator or a coroutine."""
    names = {GeneratorType: "gi_frame", CoroutineType: "cr_frame", AsyncGeneratorType: "ag_frame"}
    return getattr(container, names.get(type(container), ""), container)


def _count(frame: FrameType, view: Any) -> int:
    """How many of a function's own variables are that object; those of a module and those in cells are in containers."""
    code = frame.f_code
    if not code.co_flags & inspect.CO_OPTIMIZED:
        return 0
    found = frame.f_locals
    count = sum(found.get(name) is view for name in code.co_varnames if name not in code.co_cellvars)
    if _SNAPSHOTS:
        found.clear()
    return count
