"""What stands in for the locks of ``threading`` during a search: acquiring one that is taken is waiting, seen by the scheduler.

Rules: a lock that a module under test holds as a global belongs to its process, and each actor stands for a process: so each
actor has its own. A lock that is made during a run is one lock for all who have it.
Limits: locks of ``multiprocessing`` and of files are the real ones; an actor that blocks in one ends the search (``Blocked``).
"""

from __future__ import annotations

from collections.abc import Callable

from ringbuffer.interleaving.actors import Actor
from ringbuffer.interleaving.execution import Execution


class Lock:
    """A lock with the interface of ``threading.Lock`` and, where it is reentrant, of ``threading.RLock``."""

    def __init__(self, current: Callable[[], Execution | None], *, is_reentrant: bool, is_private: bool) -> None:
        self._current = current
        self._is_reentrant = is_reentrant
        self._is_private = is_private
        self._run: object = None
        self._owners: dict[int, int] = {}
        """By who owns it (only one, unless it is private), how often. Of one run: a new run begins with a free lock."""

    def _who(self) -> tuple[Execution | None, Actor | None]:
        execution = self._current()
        if self._is_private and self._run is not execution:
            self._run = execution
            self._owners.clear()
        return execution, None if execution is None else execution.current()

    def _is_free_for(self, me: int) -> bool:
        if self._is_private:
            return self._is_reentrant or not self._owners.get(me)
        return not self._owners or (self._is_reentrant and me in self._owners)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As ``threading.Lock.acquire``, in virtual time."""
        execution, actor = self._who()
        me = -1 if actor is None else actor.index
        deadline = None if execution is None or timeout < 0 else execution.clock_seconds + timeout
        while not self._is_free_for(me):
            if not blocking:
                return False
            if execution is None or actor is None:
                raise RuntimeError("a lock is taken by an actor, and the search itself cannot wait for it")
            if deadline is not None and execution.clock_seconds >= deadline:
                return False
            execution.pause(actor, (id(self), 0), deadline or 0.0)
        self._owners[me] = self._owners.get(me, 0) + 1
        return True

    def release(self) -> None:
        """As ``threading.Lock.release``."""
        execution, actor = self._who()
        me = -1 if actor is None else actor.index
        if me not in self._owners:
            if self._is_reentrant or not self._owners:
                raise RuntimeError("release unlocked lock")
            me = next(iter(self._owners))
        self._owners[me] -= 1
        if not self._owners[me]:
            del self._owners[me]
        if execution is not None and actor is not None and not self._is_private:
            execution.signal(actor)

    def locked(self) -> bool:
        """Whether anybody has it."""
        self._who()
        return bool(self._owners)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        _, actor = self._who()
        return (-1 if actor is None else actor.index) in self._owners
