"""The writer's and the readers' ends of a ring: they run the compiled rows, and hand blocks to callers.

Rules:

* A wait that times out, a body that raises and an object that cannot be encoded change nothing: the next call goes on where
  this one stood.
* One use at a time: nested or concurrent use of an endpoint raises. Telling so costs one attribute: CPython switches threads
  only where it also raises ``KeyboardInterrupt``, and there is no such point between the test and the assignment.
* A block belongs to the caller inside the ``with`` only. Where something still refers to it at the end (a slice of it or an
  array on it, in a variable, say), it is neither published nor marked, and the error says so. To notice this, each block is
  lent out by an object of its own, whose references are counted when the block comes back.

Limits: a place in the ring lives in its endpoint, not in the segment. ``KeyboardInterrupt`` is never lost and never leaves a
block half done, but if it arrives after a message was marked as read and before ``dequeue`` returns, that message is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import weakref
from collections.abc import Callable
from sys import getrefcount
from types import TracebackType
from typing import Any, Final, TypeAlias

from ringbuffer import codec
from ringbuffer.compiled import FOUND, bind, role_of
from ringbuffer.errors import (
    BlockEscapedError,
    ClosedError,
    DecodeError,
    EndpointBusyError,
    ForkedError,
    MessageTooLargeError,
    RingBufferError,
    WaitTimeoutError,
    WrongSideError,
)
from ringbuffer.protocol import Case, Role, classify, missing_readers, reader_may_read
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.waiting import Backoff, check_timeout, warning_interval_seconds

LEAVE_SECONDS: Final = 1.0
"""How long closing waits for another thread's call on the endpoint to notice and end."""

_log = logging.getLogger("ringbuffer")
_encode, _write_message, _decode, _message_bytes = codec.encode, codec.write_message, codec.decode, codec.message_bytes

_Refusal: TypeAlias = Callable[["ShmRingBufferIO", str], RingBufferError]
"""Makes the error for a call on an endpoint that cannot be used so. A plain function: a method would make a cycle of it."""

_everywhere: weakref.WeakSet[ShmRingBufferIO] = weakref.WeakSet()


class ShmRingBufferIO:
    """One end of a ring. ``reader_rank``: -1 for the writer, ``0 .. n_reader - 1`` for a reader.

    Raises :class:`RankError` for any other rank, and :class:`RoleTaken` for one that has an endpoint on this ring object. An
    endpoint is for one process and one use at a time. As a context manager it closes itself.
    """

    def __init__(self, buffer: ShmRingBuffer, reader_rank: int) -> None:
        buffer._check_free(reader_rank)
        self.buffer = buffer
        self.reader_rank = reader_rank
        self.role = role_of(reader_rank)
        writer, reader = buffer.protocol.programs
        rows = bind(writer if self.role is Role.WRITER else reader, buffer.segment, reader_rank)
        self._begin, self._finish, self._abort, self._where = rows.begin, rows.finish, rows.abort, rows.where
        view = buffer.segment.frame if self.role is Role.WRITER else buffer.segment.readonly_frame
        self._frames = [view(block) for block in range(buffer.max_chunks)]
        self._views = [*rows.views, *self._frames]
        self._lenders = [buffer.segment.payload(block) for block in range(buffer.max_chunks)]
        self._limit_bytes = buffer.max_chunk_bytes
        self._in_use = False
        self._holder: _Hold | None = None
        self._forked = False
        self._pid = os.getpid()
        self._owns_ring = False
        self._refuse: _Refusal | None = None
        self._refuse_write: _Refusal | None = None if self.role is Role.WRITER else _wrong_side_error
        self._refuse_read: _Refusal | None = None if self.role is Role.READER else _wrong_side_error
        buffer._adopt(reader_rank, self)
        _everywhere.add(self)

    def __repr__(self) -> str:
        return f"<ShmRingBufferIO {self._name()} of ring {self.buffer.name}>"

    def __enter__(self) -> ShmRingBufferIO:
        if self._refuse is not None:
            raise self._refuse(self, "with")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an endpoint belongs to its process: pickle the ring, and make an endpoint of it on the other side")

    def enqueue(self, obj: object, timeout: float | None = None) -> None:
        """Send ``obj`` to every reader, waiting for a free block for up to ``timeout`` seconds (``None``: for ever).

        Raises :class:`EncodeError`, :class:`MessageTooLargeError` or :class:`WaitTimeoutError`; in each case nothing was sent.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "enqueue")
        if timeout is not None:
            check_timeout(timeout)
        data = _encode(obj)
        if len(data) > self._limit_bytes:
            raise MessageTooLargeError(len(data), self._limit_bytes)
        if self._refuse_write is not None:  # once more: while an object is encoded another thread may close()
            raise self._refuse_write(self, "enqueue")
        while self._in_use:
            self._raise_if_busy("enqueue")
        self._in_use = True
        try:
            if self._begin() != FOUND:
                self._wait(timeout)
            _write_message(self._frames[self._where()], data)
            self._finish()
        finally:
            self._in_use = False

    def dequeue(self, timeout: float | None = None) -> Any:
        """Return the next object, waiting for it for up to ``timeout`` seconds (``None``: for ever).

        Raises :class:`WaitTimeoutError`; :class:`DecodeError` for a message that cannot be unpickled, which is consumed, with
        its bytes in the error; :class:`FrameError` for one that was not written by ``enqueue``, which stays unread.
        """
        if timeout is not None:
            check_timeout(timeout)
        if self._refuse_read is not None:
            raise self._refuse_read(self, "dequeue")
        while self._in_use:
            self._raise_if_busy("dequeue")
        self._in_use = True
        try:
            if self._begin() != FOUND:
                self._wait(timeout)
            data = _message_bytes(self._frames[self._where()])
            try:
                obj = _decode(data)
            except DecodeError:
                self._finish()
                raise
            finally:
                data.release()
            self._finish()
            return obj
        finally:
            self._in_use = False

    def broadcast_object(self, obj: Any = None, timeout: float | None = None) -> Any:
        """The same call on all sides: the writer sends ``obj`` and gets it back, a reader gets what was sent."""
        if self.role is Role.WRITER:
            self.enqueue(obj, timeout)
            return obj
        return self.dequeue(timeout)

    def acquire_write(self, timeout: float | None = None) -> _Hold:
        """``with writer.acquire_write() as block:`` — fill a block in place; it is published when the body ends.

        ``block`` is a writable ``memoryview`` of ``max_chunk_bytes`` bytes, dead after the ``with``. If the body raises,
        nothing is published, and the same block is used next. Entering raises :class:`WaitTimeoutError`.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "acquire_write")
        if timeout is not None:
            check_timeout(timeout)
        return _Hold(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> _Hold:
        """``with reader.acquire_read() as block:`` — read the next message in place; it is consumed when the body ends.

        ``block`` is a read-only ``memoryview`` of ``max_chunk_bytes`` bytes, dead after the ``with``. If the body raises, the
        message stays unread and comes again. Entering raises :class:`WaitTimeoutError`.
        """
        if self._refuse_read is not None:
            raise self._refuse_read(self, "acquire_read")
        if timeout is not None:
            check_timeout(timeout)
        return _Hold(self, timeout)

    def close(self) -> None:
        """End this endpoint; closing again does nothing. What it has published or not read stays as it is.

        A call that waits in another thread ends with :class:`ClosedError`.

        An endpoint that :func:`create_from_process_group` has made closes its ring as well, and the writer's unlinks it.
        Raises :class:`EndpointBusyError` while a block is held inside a ``with``.
        """
        self._close_endpoint()
        if self._owns_ring:
            self.buffer.__exit__(None, None, None)

    def _close_endpoint(self) -> None:
        if self._forked:
            return
        self._check_no_block_held()
        if self._refuse is None:
            self._refuse_all(_closed_error)
        waited = Backoff()
        while self._in_use:
            if waited.pause(None) > LEAVE_SECONDS:
                raise EndpointBusyError(
                    f"{self._name()} of ring {self.buffer.name} is still inside a call: close it when that has ended"
                )
        self._release_memory()

    def _release_memory(self) -> None:
        for view in self._views:
            view.release()
        self._lenders.clear()

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

    def _refuse_all(self, make: _Refusal) -> None:
        self._refuse = self._refuse_write = self._refuse_read = make

    def _raise_if_busy(self, call: str) -> None:
        """Raise :class:`EndpointBusyError`, unless what keeps the endpoint in use is over: then take the block back."""
        if self._take_back():
            return
        where = "inside a with that holds a block" if self._holder is not None else "in another call"
        raise EndpointBusyError(
            f"{call}: {self._name()} of ring {self.buffer.name} is in use already, {where}; finish that first (each thread"
            " needs a rank of its own)"
        )

    def _name(self) -> str:
        return "the writer" if self.role is Role.WRITER else f"reader {self.reader_rank}"

    def _wait(self, timeout: float | None) -> None:
        """The block is busy: look again until it is ours. Warns as time goes by."""
        backoff = Backoff()
        interval = warning_interval_seconds()
        warn_at = interval
        waited = 0.0
        begin, pause = self._begin, backoff.pause
        while True:
            if timeout is not None and waited >= timeout:
                raise self._timed_out(waited)
            waited = pause(None if timeout is None else timeout - waited)
            if self._refuse is not None:
                raise self._refuse(self, "wait")
            if begin() == FOUND:
                return
            if waited >= warn_at:
                _log.warning("%s", self.describe_wait(waited))
                warn_at = waited + interval

    def _timed_out(self, waited_seconds: float) -> WaitTimeoutError:
        block = self._where()
        flags = self.buffer.flags(block)
        case, missing = _case_and_missing(flags)
        return WaitTimeoutError(
            f"timed out: {self.describe_wait(waited_seconds, flags)}. Nothing was changed; the next call goes on from here",
            side=self.role.value,
            rank=self.reader_rank,
            pid=os.getpid(),
            block_index=block,
            case=case,
            missing_ranks=missing,
            waited_seconds=waited_seconds,
        )

    def describe_wait(self, waited_seconds: float, flags: bytes | None = None) -> str:
        """One sentence: who waits (side, rank, pid), for which block, in which case, and for whom.

        ``flags``: those of the block, if they were read already; otherwise they are read now.
        """
        block = self._where()
        if flags is None:
            flags = self.buffer.flags(block)
        case, missing = _case_and_missing(flags)
        who = (
            f"{self._name()} (pid {os.getpid()}) of ring {self.buffer.name} has waited {waited_seconds:.3g} s for block {block}"
        )
        if case is None:
            return f"{who}, whose flags {flags.hex(' ')} are damaged: a flag is 0 or 1"
        if not missing if self.role is Role.WRITER else reader_may_read(flags, self.reader_rank):
            return f"{who} (case {case:d}), which has become free for it just now"
        ranks = ", ".join(map(str, missing))
        plural = "s" if len(missing) > 1 else ""
        if self.role is Role.WRITER:
            return f"{who} (case {case:d}): not yet read by reader rank{plural} {ranks}"
        if case is Case.UNWRITTEN:
            return f"{who} (case {case:d}): the writer has not published it"
        if missing:
            return f"{who} (case {case:d}), which it has read: the writer waits for reader rank{plural} {ranks}"
        return f"{who} (case {case:d}), which all have read: the writer has not written it again"


class _Exit:
    """The attribute ``__exit__`` of a hold.

    A Python function can be interrupted at its entry, before its first line, and a ``with`` calls its exit only once. So what
    a ``with`` gets is a partial that nobody else refers to: when that is gone and the endpoint is still held, the ``with`` is
    over, and whoever uses the endpoint next takes the block back.
    """

    def __get__(self, hold: _Hold | None, owner: type[_Hold] | None = None) -> Callable[..., None]:
        if hold is None:
            return self  # contextlib.ExitStack looks it up so, and calls it with the hold
        leave = functools.partial(_Hold.leave, hold)
        hold._exit = weakref.ref(leave)
        return leave

    def __call__(self, hold: _Hold, *error: Any) -> None:
        hold.leave(*error)


class _Hold:
    """The ``with`` of ``acquire_write`` and ``acquire_read``: it takes a block, and gives it back."""

    __slots__ = ("_block", "_end", "_exit", "_timeout", "_view")

    def __init__(self, end: ShmRingBufferIO, timeout: float | None) -> None:
        self._end = end
        self._timeout = timeout
        self._exit: weakref.ref[Any] | None = None

    def __enter__(self) -> memoryview:
        end = self._end
        leave, self._exit = self._exit, None
        if end._refuse is not None:
            raise end._refuse(end, "with")
        while end._in_use:
            end._raise_if_busy("with")
        end._in_use = True
        try:
            if end._begin() != FOUND:
                end._wait(self._timeout)
            self._block = end._where()
            if end.role is Role.WRITER:
                codec.mark_raw(end._frames[self._block])
                self._view = memoryview(end._lenders[self._block]).cast("B")
            else:
                self._view = memoryview(end._lenders[self._block]).cast("B").toreadonly()
            self._exit = leave
            end._holder = self
        except BaseException:
            end._in_use = False
            raise
        return self._view

    __exit__ = _Exit()

    @property
    def is_over(self) -> bool:
        """Whether the ``with`` was left, but its exit was interrupted at its entry."""
        return self._exit is not None and self._exit() is None

    def leave(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """The end of the ``with``, or the taking back of a block whose ``with`` is over; the second of the two does nothing."""
        end = self._end
        if end._holder is not self and not end._forked:
            return
        try:
            try:  # noqa: SIM105 (contextlib's suppress is Python code, and one more place for an interrupt)
                self._view.release()
            except BufferError:  # then it is lent out further, which is noticed below
                pass
            if end._forked:
                if kind is None:
                    raise _forked_error(end, "with")
            elif kind is not None:
                end._abort()
            elif getrefcount(end._lenders[self._block]) != _REFERENCES_AT_HOME:
                end._abort()
                raise BlockEscapedError(
                    f"{end._name()} of ring {end.buffer.name}: something still refers to the block at the end of the with (a"
                    " slice of it or an array on it, perhaps in a variable); copy what you keep, and del the rest before the"
                    " with ends. " + ("Nothing was published" if end.role is Role.WRITER else "The message stays unread")
                )
            else:
                end._finish()
        finally:
            end._holder = self._exit = None
            end._in_use = False


def _references_at_home() -> int:
    """What ``getrefcount`` says, in the way in which ``_Hold`` asks, of a lender that nobody else refers to."""
    lenders = [(ctypes.c_char * 1)()]
    return getrefcount(lenders[0])


_REFERENCES_AT_HOME: Final = _references_at_home()


def _case_and_missing(flags: bytes) -> tuple[Case | None, tuple[int, ...]]:
    try:
        return classify(flags), missing_readers(flags)
    except ValueError:
        return None, ()


def _wrong_side_error(end: ShmRingBufferIO, call: str) -> RingBufferError:
    other = "the writer (rank -1)" if end.role is Role.READER else "a reader (rank 0 or more)"
    return WrongSideError(f"{call} is for {other}, and this endpoint is {end._name()} of ring {end.buffer.name}")


def _closed_error(end: ShmRingBufferIO, call: str) -> RingBufferError:
    return ClosedError(f"{call}: {end._name()} of ring {end.buffer.name} is closed")


def _forked_error(end: ShmRingBufferIO, call: str) -> RingBufferError:
    return ForkedError(
        f"{call}: {end._name()} of ring {end.buffer.name} belongs to the process with pid {end._pid}, of which"
        " this one is a fork; make an endpoint of your own, with ShmRingBufferIO(ring, rank), in the child"
    )


def _after_fork_in_child() -> None:
    for end in list(_everywhere):
        if end._refuse is None:
            end._refuse_all(_forked_error)
        end._forked = True
        if end._holder is not None:
            with contextlib.suppress(BufferError):
                end._holder._view.release()
        end._release_memory()


os.register_at_fork(after_in_child=_after_fork_in_child)
