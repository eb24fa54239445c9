"""Virtual time, and what replaces, in a search, the functions of ``time``, the locks of ``threading`` and the making of
``SharedMemory``.

Rules: only the actors, and the thread that runs the search, see virtual time; all other threads of the process go on as ever.
What a module under test has imported by name (``from time import sleep``) is replaced in it, too; all is put back at the end.
A lock that a module under test holds as a global is private to each process, so each actor gets its own; a lock that is made
during a run is shared by those who have it.
Limits: functions that were bound earlier (as default arguments, in objects) are not replaced.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Protocol

START_SECONDS = 1_000_000_000
"""What the clocks show at the beginning of a run."""
_NS = 1_000_000_000
_REAL_SLEEP = time.sleep
_LOCK_TYPES = (type(threading.Lock()), type(threading.RLock()))


class Controls(Protocol):
    """What the replaced functions ask of the search. ``is_mine``: whether the calling thread takes part in a run."""

    def is_mine(self) -> bool: ...
    def now_seconds(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def made(self, memory: SharedMemory) -> None: ...
    def lock(self, *, is_reentrant: bool, is_private: bool) -> object: ...


def _replacements(controls: Controls) -> dict[object, tuple[str, Callable[..., Any]]]:
    def clock(real: Callable[[], Any], shown: Callable[[float], Any]) -> Callable[[], Any]:
        return lambda: shown(START_SECONDS + controls.now_seconds()) if controls.is_mine() else real()

    def sleep(seconds: float) -> None:
        if controls.is_mine():
            controls.sleep(seconds)
        else:
            _REAL_SLEEP(seconds)

    def sched_yield() -> None:
        sleep(0)

    made: dict[object, tuple[str, Callable[..., Any]]] = {time.sleep: ("sleep", sleep)}
    for name in ("time", "monotonic", "perf_counter"):
        real, real_ns = getattr(time, name), getattr(time, name + "_ns")
        made[real] = (name, clock(real, float))
        made[real_ns] = (name + "_ns", clock(real_ns, lambda seconds: round(seconds * _NS)))
    made[os.sched_yield] = ("sched_yield", sched_yield)
    return made


class _Patches:
    """Attributes that have been set, and what they were."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, object]] = []

    def set(self, owner: Any, name: str, value: object) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        while self._undo:
            owner, name, value = self._undo.pop()
            setattr(owner, name, value)


def _watch_segments(patches: _Patches, controls: Controls) -> None:
    make = SharedMemory.__init__

    def made(self: SharedMemory, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        if controls.is_mine():
            controls.made(self)

    patches.set(SharedMemory, "__init__", made)


def _replace_locks(patches: _Patches, controls: Controls) -> None:
    def maker(real: Callable[[], Any], *, is_reentrant: bool) -> Callable[[], Any]:
        return lambda: controls.lock(is_reentrant=is_reentrant, is_private=False) if controls.is_mine() else real()

    patches.set(threading, "Lock", maker(threading.Lock, is_reentrant=False))
    patches.set(threading, "RLock", maker(threading.RLock, is_reentrant=True))
    patches.set(threading, "_allocate_lock", maker(threading._allocate_lock, is_reentrant=False))  # type: ignore[attr-defined]


def _in_modules(patches: _Patches, controls: Controls, is_code: Callable[[str], bool], made: dict[object, Any]) -> None:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not is_code(file):
            continue
        for name, value in list(vars(module).items()):
            if isinstance(value, _LOCK_TYPES):
                patches.set(module, name, controls.lock(is_reentrant=isinstance(value, _LOCK_TYPES[1]), is_private=True))
            elif type(value) is type(time.sleep) and value in made:
                patches.set(module, name, made[value][1])


@contextmanager
def replaced(controls: Controls, is_code: Callable[[str], bool]) -> Iterator[None]:
    """Time, sleeping, and the making of segments are the search's while the body runs."""
    patches = _Patches()
    made = _replacements(controls)
    try:
        _in_modules(patches, controls, is_code, made)
        for real, (name, replacement) in made.items():
            patches.set(os if real is os.sched_yield else time, name, replacement)
        _watch_segments(patches, controls)
        _replace_locks(patches, controls)
        yield
    finally:
        patches.undo()
