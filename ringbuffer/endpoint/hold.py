"""Blocks that are lent out for the time of a ``with``: ``acquire_write``, ``acquire_read`` and ``read``.

Rules: a block belongs to the caller inside the ``with`` only. Where something still refers to it at the end (a slice of it or
an array on it, in a variable, say), it is neither published nor marked, and the error says so. To notice this, each block is
lent out by an object of its own, whose references are counted when the block comes back (``escapes.py`` finds those of a
library that refers to the view and exports nothing). Limits: CPython, as references are counted; this is a part of the
endpoint, whose private parts it uses.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import traceback
import weakref
from collections.abc import Callable
from sys import getrefcount
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.codec.frames import BYTES, WHOLE, mark_raw
from ringbuffer.codec.views import Views, decode_views
from ringbuffer.compiled import KIND_BITS
from ringbuffer.endpoint.escapes import is_held_in_c
from ringbuffer.endpoint.inbox import KIND_MASK
from ringbuffer.errors import (
    BlockEscapedError,
    DecodeError,
    EndpointBusyError,
    FrameError,
    ReadOnlyError,
    RingBufferError,
)
from ringbuffer.protocol import Role

if TYPE_CHECKING:
    from ringbuffer.endpoint import ShmRingBufferIO

READ: Final = "read"


class _Exit:
    """The attribute ``__exit__`` of a hold.

    A Python function can be interrupted at its entry, before its first line, and a ``with`` calls its exit only once. So what
    a ``with`` gets is a partial that nobody else refers to: when that is gone and the endpoint is still held, the ``with`` is
    over, and whoever uses the endpoint next takes the block back.
    """

    def __get__(self, hold: Hold | None, owner: type[Hold] | None = None) -> Callable[..., None]:
        if hold is None:
            # contextlib.ExitStack looks it up so, enters the hold, and later calls this with it.
            of_a_stack = functools.partial(_leave)
            _looked_up.exit = weakref.ref(of_a_stack)
            return of_a_stack
        leave = functools.partial(Hold.leave, hold)
        hold._exit = weakref.ref(leave)
        return leave


class _LookedUp(threading.local):
    """The exit that this thread has looked up last without a hold, for the hold that it enters next."""

    exit: weakref.ref[Any] | None = None

    def take(self) -> weakref.ref[Any] | None:
        """That exit, if somebody still has it."""
        found, self.exit = self.exit, None
        return None if found is None or found() is None else found


_looked_up: Final = _LookedUp()


def _leave(hold: Hold, *error: Any) -> None:
    hold.leave(*error)


class Hold:
    """The ``with`` of ``acquire_write`` and ``acquire_read``: it takes a block, and gives it back."""

    __slots__ = ("_block", "_end", "_exit", "_is_interrupted", "_timeout", "_view")
    call = "with"

    def __init__(self, end: ShmRingBufferIO, timeout: float | None) -> None:
        self._end = end
        self._timeout = timeout
        self._is_interrupted = False
        self._exit: weakref.ref[Any] | None = None

    def __enter__(self) -> Any:
        end = self._end
        leave, self._exit = self._exit or _looked_up.take(), None
        end._enter(self.call)
        try:
            lent = self._take(end)
            self._exit = leave
            end._holder = self
        except BaseException:
            end._in_use = end._runner.is_in_use = end._runner.has_sought = False
            raise
        return lent

    __exit__ = _Exit()

    def _take(self, end: ShmRingBufferIO) -> Any:
        """Wait for the block, and lend it out."""
        deadline = end._deadline(self._timeout)
        if end.role is Role.WRITER:
            end._waiter.find(deadline)
            self._block = end._runner.where()
            mark_raw(end._frames[self._block], end._runner.done())
            self._view = self._lend(end)
        else:
            self._check_is_whole(end, deadline)
            self._block = end._runner.where()
            self._view = self._lend(end).toreadonly()
        return self._view

    @staticmethod
    def _check_is_whole(end: ShmRingBufferIO, deadline: float | None) -> None:
        """Wait for the block that comes next. Raises unless it can be read by itself."""
        who = f"{end._name()} of ring {end.buffer.name}"
        if not end._inbox.is_empty:
            raise EndpointBusyError(
                f"{who} has a message that an interrupted call has marked as read and not returned: take it with dequeue,"
                " recv_bytes or read, and then go on"
            )
        frame = end._inbox.next_frame(deadline)
        if frame.part != WHOLE:
            raise FrameError(
                f"the next block of {who} holds a part of a message of {frame.total_bytes} bytes, and acquire_read gives one"
                " block; the message is still there: take it with dequeue, recv_bytes or read"
            )
        end._inbox.withdraw()

    def _lend(self, end: ShmRingBufferIO) -> memoryview:
        return memoryview(end._lenders[self._block]).cast("B")

    @property
    def is_over(self) -> bool:
        """Whether the ``with`` was left, but its exit was interrupted, be it at its entry."""
        return self._is_interrupted or (self._exit is not None and self._exit() is None)

    def let_go(self) -> None:
        """Stop lending the block out, as far as that is in our hands."""
        if getrefcount(self._view) > _REFERENCES_OF_WITH and is_held_in_c(self._view, getrefcount(self._view) - 1):
            return  # as long as the view is not released, it is known that somebody has it, and the memory stays
        self._release()

    def _release(self) -> None:
        try:  # noqa: SIM105 (contextlib's suppress is Python code, and one more place for an interrupt)
            self._view.release()
        except BufferError:  # then it is lent out further, which is noticed by counting
            pass

    def leave(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """The end of the ``with``, or the taking back of a block whose ``with`` is over; the second of the two does nothing."""
        end = self._end
        if end._holder is not self and not end._forked:
            return
        try:
            problem = self._give_back(end, kind)
        except BaseException as error:
            self._is_interrupted = True
            traceback.clear_frames(error.__traceback__)  # what they refer to would have escaped as long as the error is kept
            raise
        end._holder = self._exit = None
        self._is_interrupted = end._in_use = end._runner.is_in_use = False
        if problem is not None:
            try:
                raise problem
            finally:
                problem = None  # its traceback refers to this function, which must not refer to it

    def _give_back(self, end: ShmRingBufferIO, kind: type[BaseException] | None) -> RingBufferError | None:
        """Give the block back, once more if an interrupt came in between; what there is to complain of, if anything."""
        self.let_go()
        if end._forked:
            assert end._refuse is not None, "a forked endpoint refuses"
            return end._refuse(end, "with") if kind is None else None
        if kind is not None:
            end._runner.abort()  # again, or after the block was given back, this does nothing
            return None
        return self._settle(end)

    def _settle(self, end: ShmRingBufferIO) -> RingBufferError | None:
        """Publish the block, or mark it as read, unless somebody still has it: then that is what there is to complain of."""
        if getrefcount(end._lenders[self._block]) != _REFERENCES_AT_HOME:
            end._runner.abort()
            return BlockEscapedError(
                f"{end._name()} of ring {end.buffer.name}: something still refers to the block at the end of the with (a slice"
                " of it or an array on it, perhaps in a variable); copy what you keep, and del the rest before the with ends."
                f" {'Nothing was published' if end.role is Role.WRITER else 'The message stays unread'}"
            )
        end._runner.finish()
        if end.role is Role.WRITER:
            end._outbox.withdraw()
            end._send = end._fast_send
        else:
            end._objects, end._messages = end._fast_objects, end._fast_messages
        return None


class MessageHold(Hold):
    """The ``with`` of ``read``: a message in its block, or one of more than a block, put together, with memory of its own."""

    __slots__ = ("_is_plain", "_views")
    call = READ

    def _take(self, end: ShmRingBufferIO) -> Any:
        self._views: Views | None = None
        self._is_plain = False
        """Whether the message is bytes in their block: then its one view is all that is lent out."""
        inbox = end._inbox
        found = inbox.find_whole(self._timeout)
        if found >= 0:
            return self._take_in_place(end, found & KIND_MASK, found >> KIND_BITS)
        deadline = end._deadline(self._timeout)
        if inbox.is_empty:
            frame = inbox.next_frame(deadline)
            if frame.part == WHOLE:
                inbox.check_kind(READ, frame.kind)
                inbox.withdraw()
                return self._take_in_place(end, frame.kind, frame.length_bytes)
        return inbox.lend(READ, deadline)

    def _take_in_place(self, end: ShmRingBufferIO, kind: int, length_bytes: int) -> Any:
        self._block = block = end._runner.where()
        if kind == BYTES:
            self._view = memoryview(end._lenders[block]).cast("B")[:length_bytes].toreadonly()
            self._is_plain = True
            return self._view
        self._view = memoryview(b"")
        try:
            with self._lend(end) as whole:
                self._view = whole[:length_bytes]
            self._views = decode_views(kind, self._view)
        except BaseException as error:
            # Whoever keeps the error keeps the variables of all functions in which it passed, and some are views of the block.
            traceback.clear_frames(error.__traceback__)
            self._release()
            if isinstance(error, DecodeError):
                end._inbox.keep_undecodable(kind, error.raw)
                end._runner.finish()
                end._inbox.forget()
            raise
        return self._views.obj

    def let_go(self) -> None:
        """Stop lending the block out, as far as that is in our hands."""
        if self._is_plain:
            super().let_go()
        elif self._views is not None:
            self._views.release()
            self._release()

    def _give_back(self, end: ShmRingBufferIO, kind: type[BaseException] | None) -> RingBufferError | None:
        if self._is_plain and kind is None and not end._forked and getrefcount(self._view) <= _REFERENCES_OF_WITH:
            self._release()
            return self._settle(end)
        if self._views is not None:
            problem = self._written_to(self._views) if kind is None and not end._forked else None
            return super()._give_back(end, kind if problem is None else type(problem)) or problem
        if self._is_plain or end._forked:
            return super()._give_back(end, kind)
        if kind is None:  # otherwise it comes again, although its blocks are free
            end._inbox.forget()
            end._objects, end._messages = end._fast_objects, end._fast_messages
        return None

    @staticmethod
    def _written_to(views: Views) -> RingBufferError | None:
        try:
            views.check()
        except ReadOnlyError as error:
            return error.with_traceback(None)
        return None


def _references_at_home() -> int:
    """What ``getrefcount`` says, in the way in which a hold asks, of a lender that nobody else refers to."""
    lenders = [(ctypes.c_char * 1)()]
    return getrefcount(lenders[0])


_REFERENCES_AT_HOME: Final = _references_at_home()
_REFERENCES_OF_WITH: Final = 3
"""What it says of a view that its hold, a variable and the question refer to."""
