"""The end of a clause that is interrupted from the keyboard: its ring is closed before pytest goes on to end.

Rules: the thread of the clause is asked to end, which closes the ring, its ends and its processes on the way; only where it
does not within :data:`END_SECONDS`, because a call of the ring does not come back, the ring that was made last is closed from
outside. Limits: what a call that hangs holds on to stays with it until the process ends.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import Any, Final

from ringbuffer.conformance.adapter import Factory, let_go

END_SECONDS: Final = 15.0
"""More than the processes of a clause take to end."""


class Interrupted(BaseException):
    """Raised in the thread of a clause that is to end. Not an ``Exception``: nobody is to take it for the ring's."""


class Remembering:
    """A factory that remembers the ring that it made last."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self.last: Any = None

    def __call__(self, readers: int, blocks: int, block_bytes: int) -> Any:
        """Make a ring."""
        self.last = self._factory(readers, blocks, block_bytes)
        return self.last


def end(thread: threading.Thread, rings: Remembering) -> None:
    """End the thread of a clause."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted))
    thread.join(END_SECONDS)
    if thread.is_alive():
        with suppress(BaseException):
            let_go(rings.last, [])
