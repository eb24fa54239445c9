"""Actors: one thread each, of which only the one that holds the baton runs.

Rules: an actor begins when it gets the baton for the first time; what it returns or raises is kept. At the end of a run those
that have not ended get :class:`Stopped` raised into them, one after the other, so that their ``finally`` blocks run; that is
bounded.
Limits: a thread that blocks in C cannot be ended from outside; it is left behind, and said.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any

from ringbuffer.interleaving.scenario import Stopped
from ringbuffer.interleaving.waiting import Loop

END_SECONDS = 0.2
"""How long a stopped actor may take before the exception is raised into it once more."""
END_TRIES = 25
Place = tuple[int, int]
"""A code object, by identity, and where in it."""
_lock = threading.Lock
_Thread = threading.Thread


class Actor:
    """One actor of a run, and all that the scheduler keeps of it."""

    def __init__(self, name: str, index: int, body: Callable[[], object]) -> None:
        self.name = name
        self.index = index
        self.body = body
        self.steps = 0
        self.effects = 0
        self.is_waiting = False
        self.has_ended = False
        self.has_begun = False
        self.deadline_seconds = 0.0
        self.idle_places: set[Place] = set()
        """Where it has waited since it last changed something."""
        self.written = 0
        self.stores = 0
        self.depth = 0
        self.entries: dict[Place, Loop] = {}
        self.result: object = None
        self.error: BaseException | None = None
        self.stops = 0
        self.baton = _lock()
        self.baton.acquire()
        self.thread: threading.Thread | None = None

    def start(self, run: Callable[[Actor], None]) -> None:
        """Make the thread; it waits for the baton."""
        self.thread = _Thread(target=run, args=(self,), name=f"actor {self.name}", daemon=True)
        self.thread.start()

    def perform(self, trace: Any) -> None:
        """Run the body to its end, traced."""
        self.has_begun = True
        sys.settrace(trace)
        try:
            self.result = self.body()
        except Stopped:
            pass
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)

    def stop(self) -> bool:
        """Give the baton to a thread that is to end, and wait for that; whether it has ended."""
        if self.thread is None:
            return True
        if self.thread.is_alive():
            with contextlib.suppress(RuntimeError):  # where the search was interrupted, it may just be getting the baton
                self.baton.release()
            for _ in range(END_TRIES):
                self.thread.join(END_SECONDS)
                if not self.thread.is_alive():
                    break
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident or 0), ctypes.py_object(Stopped))
        return not self.thread.is_alive()
