"""Who may use an endpoint: one at a time, none once it is closed, none in a fork of its process.

Rules:

* A call of the slow way begins with :meth:`Usage._enter`, which raises where it must not, and ends with assignments. So
  nothing can come in between the last test and the call, and nothing keeps the end of a call from taking place.
* A block whose ``with`` is over although its end was interrupted is taken back by whoever uses the endpoint next.

Limits: an ``ExitStack`` that was interrupted may still have the end of a ``with``, and can be closed again; where it has taken
it out and not called it, its error refers to it, and the block is taken back when that error is garbage, and collected. This
is a part of the endpoint, which makes the attributes that are declared here.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.compiled import Runner
from ringbuffer.endpoint.refusals import NOTHING, Refusal, closed_error, forked_error, shut
from ringbuffer.errors import EndpointBusyError
from ringbuffer.memory import participants
from ringbuffer.protocol import Role
from ringbuffer.ranks import name_of
from ringbuffer.ring import ShmRingBuffer

if TYPE_CHECKING:
    from ringbuffer.endpoint.hold import Hold
    from ringbuffer.endpoint.waiter import Waiter
    from ringbuffer.recording import Recorder

LEAVE_SECONDS: Final = 1.0
"""How long closing waits for another thread's call on the endpoint to notice and end."""

everywhere: weakref.WeakSet[Usage] = weakref.WeakSet()
"""The endpoints of this process. A fork of it refuses to use them."""


class Usage:
    """What of an endpoint says whether it can be used now, and what ends its use."""

    buffer: ShmRingBuffer
    reader_rank: int
    role: Role
    _pid: int
    _claim: participants.Role
    _runner: Runner
    _waiter: Waiter
    _holder: Hold | None
    """The ``with`` that holds a block."""
    _in_use: bool
    """Whether a call of the slow way is on, or a block is held."""
    _forked: bool
    _is_closed: bool = False
    """Whether closing it has come to its end: it remains in use."""
    _refuse: Refusal | None
    """Makes the errors of an endpoint that cannot be used any more."""
    _refuse_write: Refusal | None
    _refuse_read: Refusal | None
    """The same, and for an endpoint of the other side."""
    _recorder: Recorder | None = None
    """What writes down what the endpoint does, if it is recorded."""
    _send: Callable[..., int]
    _fast_send: Callable[..., int]
    """The fast way of sending, or :func:`~ringbuffer.endpoint.refusals.shut`; and what it is when it is open."""
    _objects: Iterator[Any]
    _messages: Iterator[Any]
    _fast_objects: Iterator[Any]
    _fast_messages: Iterator[Any]
    """That of receiving, for ``dequeue`` and for ``recv_bytes``."""

    def _enter(self, call: str, has_begun: bool = False) -> None:
        """Begin a call of the slow way: from here on the endpoint is in use, and the fast way shut.

        ``has_begun``: whether the runner has looked again for this call, and in vain.

        After the last test nothing can come in between, neither an interrupt nor another thread, up to the ``try`` behind the
        caller's call of this; whatever the ``finally`` of that has to do, are assignments, for the same reason.
        """
        runner = self._runner
        while self._refuse is not None or self._in_use or runner.in_use:
            self._raise_if_unusable(call)
        self._in_use = runner.is_in_use = True
        if not has_begun:  # else it may have been cancelled, too
            runner.has_sought = runner.is_cancelled = False
        self._send = shut
        self._objects = self._messages = NOTHING

    def _raise_if_unusable(self, call: str) -> None:
        """Raise :class:`EndpointBusyError` and the like, unless what keeps it in use is over: then take the block back."""
        if self._refuse is not None:
            raise self._refuse(self, call)
        if self._take_back():
            return
        where, stack = "in another call", ""
        if self._holder is not None:
            where = "inside a with that holds a block"
            stack = "; an ExitStack that an interrupt has ended is closed again, and its error forgotten (gc.collect())"
        raise EndpointBusyError(
            f"{call}: {self._name()} of ring {self.buffer.name} is in use already, {where}; finish that first (each thread"
            f" needs a rank of its own{stack})"
        )

    def _take_back(self) -> bool:
        """Take back a block whose ``with`` is over although its end did not run. Whether there was one."""
        holder = self._holder
        if holder is None or not holder.is_over:
            return False
        holder.leave(KeyboardInterrupt, None, None)
        return True

    def _check_no_block_held(self) -> None:
        if not self._take_back() and self._holder is not None and not self._forked:
            raise EndpointBusyError(
                f"{self._name()} holds a block of ring {self.buffer.name} inside a with: leave it, then close"
            )

    def _refuse_all(self, make: Refusal) -> None:
        """From here on every call raises. The fast way is shut, and no call that ends opens it again."""
        self._refuse = self._refuse_write = self._refuse_read = make
        self._send = self._fast_send = shut
        self._objects = self._messages = self._fast_objects = self._fast_messages = NOTHING

    def _name(self) -> str:
        return name_of(self.reader_rank)

    def _close_endpoint(self) -> None:
        if self._forked:
            return
        self._check_no_block_held()
        if self._refuse is None:
            self._refuse_all(closed_error)
        until = time.monotonic() + LEAVE_SECONDS
        while self._in_use or self._runner.in_use:
            if self._is_closed:
                return
            self._waiter.rouse()
            os.sched_yield()
            if time.monotonic() > until:
                raise EndpointBusyError(
                    f"{self._name()} of ring {self.buffer.name} is still inside a call: close it when that has ended"
                )
        # Nothing came in between. A call that has found the endpoint open, and did not get further, finds it in use.
        self._in_use = self._runner.is_in_use = True
        try:
            self._claim.leave()
            self._release_memory()
            self.buffer._forget(self.reader_rank, self)
        except BaseException:
            self._in_use = self._runner.is_in_use = False  # so that it can be closed again
            raise
        self._is_closed = True

    def _release_memory(self) -> None:
        """Let go of the memory, as far as there is any; again does nothing."""
        if self._recorder is not None:
            self._recorder.end()
        for part in ("_runner", "_waiter", "_claim"):
            if hasattr(self, part):
                getattr(self, part).release()
        for view in getattr(self, "_frames", ()):
            view.release()
        getattr(self, "_lenders", []).clear()


def _after_fork_in_child() -> None:
    for end in list(everywhere):
        if end._refuse is None:
            end._refuse_all(forked_error)
        end._forked = True
        if end._holder is not None:
            with contextlib.suppress(BufferError):
                end._holder.let_go()
        end._release_memory()


os.register_at_fork(after_in_child=_after_fork_in_child)
