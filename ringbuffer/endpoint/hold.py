"""Blocks that are lent out for the time of a ``with``: ``acquire_write``, ``acquire_read`` and ``read``.

Rules: a block belongs to the caller inside the ``with`` only. Where something still refers to it at the end (a slice of it or
an array on it, in a variable, say), it is neither published nor marked, and the error says so. To notice this, each block is
lent out by an object of its own, whose references are counted when the block comes back. Limits: CPython, as references are
counted; this is a part of the endpoint, whose private parts it uses.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from sys import getrefcount
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.codec.frames import WHOLE, mark_raw
from ringbuffer.codec.views import Views, decode_views
from ringbuffer.errors import BlockEscapedError, DecodeError, EndpointBusyError
from ringbuffer.protocol import Role

if TYPE_CHECKING:
    from ringbuffer.endpoint import ShmRingBufferIO

NO_BLOCK: Final = -1
READ: Final = "read"


class _Exit:
    """The attribute ``__exit__`` of a hold.

    A Python function can be interrupted at its entry, before its first line, and a ``with`` calls its exit only once. So what
    a ``with`` gets is a partial that nobody else refers to: when that is gone and the endpoint is still held, the ``with`` is
    over, and whoever uses the endpoint next takes the block back.
    """

    def __get__(self, hold: Hold | None, owner: type[Hold] | None = None) -> Callable[..., None]:
        if hold is None:
            return self  # contextlib.ExitStack looks it up so, and calls it with the hold
        leave = functools.partial(Hold.leave, hold)
        hold._exit = weakref.ref(leave)
        return leave

    def __call__(self, hold: Hold, *error: Any) -> None:
        hold.leave(*error)


class Hold:
    """The ``with`` of ``acquire_write`` and ``acquire_read``: it takes a block, and gives it back."""

    __slots__ = ("_block", "_end", "_exit", "_timeout", "_view")
    call = "with"

    def __init__(self, end: ShmRingBufferIO, timeout: float | None) -> None:
        self._end = end
        self._timeout = timeout
        self._block = NO_BLOCK
        self._exit: weakref.ref[Any] | None = None

    def __enter__(self) -> Any:
        end = self._end
        leave, self._exit = self._exit, None
        end._enter(self.call)
        try:
            lent = self._take(end, end._deadline(self._timeout))
            self._exit = leave
            end._holder = self
        except BaseException:
            end._leave()
            raise
        return lent

    __exit__ = _Exit()

    def _take(self, end: ShmRingBufferIO, deadline: float | None) -> Any:
        """Wait for the block, and lend it out."""
        self._check_all_delivered(end)
        end._waiter.find(deadline)
        self._block = end._runner.where()
        if end.role is Role.WRITER:
            mark_raw(end._frames[self._block], end._runner.done())
            self._view = self._lend(end)
        else:
            end._inbox.checked_frame()
            self._view = self._lend(end).toreadonly()
        return self._view

    @staticmethod
    def _check_all_delivered(end: ShmRingBufferIO) -> None:
        if end.role is Role.READER and not end._inbox.is_empty:
            raise EndpointBusyError(
                f"{end._name()} of ring {end.buffer.name} has a message that an interrupted call has marked as read and not"
                " returned: take it with dequeue, recv_bytes or read, and then go on"
            )

    def _lend(self, end: ShmRingBufferIO) -> memoryview:
        return memoryview(end._lenders[self._block]).cast("B")

    @property
    def is_over(self) -> bool:
        """Whether the ``with`` was left, but its exit was interrupted at its entry."""
        return self._exit is not None and self._exit() is None

    def let_go(self) -> None:
        """Stop lending the block out, as far as that is in our hands."""
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
            self._give_back(end, kind)
        finally:
            end._holder = self._exit = None
            end._leave()

    def _give_back(self, end: ShmRingBufferIO, kind: type[BaseException] | None) -> None:
        self.let_go()
        if end._forked:
            if kind is None:
                assert end._refuse is not None, "a forked endpoint refuses"
                raise end._refuse(end, "with")
        elif kind is not None:
            end._runner.abort()
        elif getrefcount(end._lenders[self._block]) != _REFERENCES_AT_HOME:
            end._runner.abort()
            raise BlockEscapedError(
                f"{end._name()} of ring {end.buffer.name}: something still refers to the block at the end of the with (a slice"
                " of it or an array on it, perhaps in a variable); copy what you keep, and del the rest before the with ends."
                f" {'Nothing was published' if end.role is Role.WRITER else 'The message stays unread'}"
            )
        else:
            end._runner.finish()


class MessageHold(Hold):
    """The ``with`` of ``read``: a message in its block, or one of more than a block, put together, with memory of its own."""

    __slots__ = ("_message", "_views")
    call = READ

    def _take(self, end: ShmRingBufferIO, deadline: float | None) -> Any:
        self._views: Views | None = None
        if end._inbox.is_empty:
            end._waiter.find(deadline)
            frame = end._inbox.checked_frame()
            if frame.part == WHOLE:
                end._inbox.check_kind(READ, frame.kind)
                return self._take_in_place(end, frame.kind, frame.length_bytes)
        self._message = end._inbox.next_message(READ, deadline)
        return self._message

    def _take_in_place(self, end: ShmRingBufferIO, kind: int, length_bytes: int) -> Any:
        self._block = end._runner.where()
        with self._lend(end) as whole:
            self._view = whole[:length_bytes]
        try:
            self._views = decode_views(kind, self._view)
        except DecodeError:
            end._runner.finish()
            raise
        finally:
            if self._views is None:
                self.let_go()
        return self._views.obj

    def let_go(self) -> None:
        """Stop lending the block out, as far as that is in our hands."""
        if self._views is not None:
            self._views.release()
            super().let_go()

    def _give_back(self, end: ShmRingBufferIO, kind: type[BaseException] | None) -> None:
        if self._views is None:
            message, self._message = self._message, None
            if kind is not None:
                end._inbox.keep(message)  # its blocks are free already, and it comes again all the same
            return
        try:
            if kind is None:
                self._views.check()
        except BaseException as error:
            super()._give_back(end, type(error))
            raise
        super()._give_back(end, kind)


def _references_at_home() -> int:
    """What ``getrefcount`` says, in the way in which a hold asks, of a lender that nobody else refers to."""
    lenders = [(ctypes.c_char * 1)()]
    return getrefcount(lenders[0])


_REFERENCES_AT_HOME: Final = _references_at_home()
