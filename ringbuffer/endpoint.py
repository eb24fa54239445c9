"""The writer's and the readers' ends of a ring: they run the compiled rows, and hand blocks to callers.

Rules:

* A wait that times out, a body that raises and an object that cannot be encoded change nothing: the next call goes on where
  this one stood.
* One use at a time: nested or concurrent use of an endpoint raises. Telling so costs one attribute: CPython switches threads
  only where it also raises ``KeyboardInterrupt``, and there is no such point between the test and the assignment.
* A block belongs to the caller inside the ``with`` only. Where something still refers to it at the end (a slice of it or an
  array on it, in a variable, say), it is neither published nor marked, and the error says so. To notice this, each block is
  lent out by an object of its own, whose references are counted when the block comes back.

Limits: a place in the ring lives in its endpoint, not in the segment. ``KeyboardInterrupt`` never leaves a block half done or
an endpoint in use, but if it arrives after a message was marked as read and before ``dequeue`` returns, that message is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import traceback
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from ringbuffer import codec
from ringbuffer.compiled import FOUND, bind, require_total_store_order, role_of
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
from ringbuffer.protocol import Case, Role, classify, missing_readers
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.waiting import Backoff, check_timeout, warning_interval_seconds

LEAVE_SECONDS: Final = 1.0
"""How long closing waits for another thread's call on the endpoint to notice and end."""

_log = logging.getLogger("ringbuffer")
_encode, _write_message, _decode, _message_bytes = codec.encode, codec.write_message, codec.decode, codec.message_bytes

_everywhere: weakref.WeakSet[ShmRingBufferIO] = weakref.WeakSet()


class ShmRingBufferIO:
    """One end of a ring. ``reader_rank``: -1 for the writer, ``0 .. n_reader - 1`` for a reader.

    Raises :class:`RankError` for any other rank, and :class:`RoleTaken` for one that has an endpoint on this ring object. An
    endpoint is for one process and one use at a time. As a context manager it closes itself.
    """

    def __init__(self, buffer: ShmRingBuffer, reader_rank: int) -> None:
        require_total_store_order()
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
        self._hold: weakref.ref[_Hold] | None = None
        self._view = memoryview(b"")
        self._owns_ring = False
        self._released = False
        self._refuse: Callable[[str], RingBufferError] | None = None
        self._refuse_write = None if self.role is Role.WRITER else self._wrong_side
        self._refuse_read = None if self.role is Role.READER else self._wrong_side
        buffer._adopt(reader_rank, self)
        _everywhere.add(self)

    def __repr__(self) -> str:
        return f"<ShmRingBufferIO {self._name()} of ring {self.buffer.name}>"

    def __enter__(self) -> ShmRingBufferIO:
        if self._refuse is not None:
            raise self._refuse("with")
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
            raise self._refuse_write("enqueue")
        if timeout is not None:
            check_timeout(timeout)
        data = _encode(obj)
        if len(data) > self._limit_bytes:
            raise MessageTooLargeError(len(data), self._limit_bytes)
        if self._in_use and not self._take_back():
            raise self._busy("enqueue")
        self._in_use = True
        try:
            if self._refuse is not None:  # closed since the first look, by what pickled the object, say
                raise self._refuse("enqueue")
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
        if self._refuse_read is not None:
            raise self._refuse_read("dequeue")
        if timeout is not None:
            check_timeout(timeout)
        if self._in_use and not self._take_back():
            raise self._busy("dequeue")
        self._in_use = True
        try:
            if self._refuse is not None:
                raise self._refuse("dequeue")
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
            raise self._refuse_write("acquire_write")
        if timeout is not None:
            check_timeout(timeout)
        return _Hold(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> _Hold:
        """``with reader.acquire_read() as block:`` — read the next message in place; it is consumed when the body ends.

        ``block`` is a read-only ``memoryview`` of ``max_chunk_bytes`` bytes, dead after the ``with``. If the body raises, the
        message stays unread and comes again. Entering raises :class:`WaitTimeoutError`.
        """
        if self._refuse_read is not None:
            raise self._refuse_read("acquire_read")
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
        if self._released:
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
        self._release()

    def _release(self) -> None:
        """Let go of the segment's memory."""
        for view in self._views:
            view.release()
        self._lenders.clear()
        self._released = True

    def _check_no_block_held(self) -> None:
        if self._refuse is None and self._hold is not None and not self._take_back():
            raise EndpointBusyError(
                f"{self._name()} holds a block of ring {self.buffer.name} inside a with: leave it, then close"
            )

    def _refuse_all(self, make: Callable[[ShmRingBufferIO, str], RingBufferError]) -> None:
        def refuse(call: str) -> RingBufferError:
            return make(self, call)

        self._refuse = self._refuse_write = self._refuse_read = refuse

    def _wrong_side(self, call: str) -> RingBufferError:
        other = "the writer (rank -1)" if self.role is Role.READER else "a reader (rank 0 or more)"
        return WrongSideError(f"{call} is for {other}, and this endpoint is {self._name()} of ring {self.buffer.name}")

    def _take_back(self) -> bool:
        """Free the endpoint if the ``with`` that holds its block has ended before its end could run. Whether it was so.

        ``KeyboardInterrupt`` may be raised on the way into ``_Hold.__exit__``. Then the hold is forgotten as soon as nobody
        handles the exception any more; and who does handle it, handles one that came out of that very ``__exit__``.
        """
        if self._hold is None:
            return False
        hold = self._hold()
        if hold is not None and not _came_out_of_exit(hold):
            return False
        self._give_up()
        return True

    def _give_up(self) -> None:
        """End a ``with`` whose end did not run: nothing is published, and the message stays unread."""
        with contextlib.suppress(BufferError):
            self._view.release()
        self._hold = None
        self._abort()
        self._in_use = False

    def _busy(self, call: str) -> RingBufferError:
        where = "inside a with that holds a block" if self._hold is not None else "in another call"
        return EndpointBusyError(
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
                raise self._refuse("wait")
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
            f"timed out: {self.describe_wait(waited_seconds)}. Nothing was changed; the next call goes on from here",
            side=self.role.value,
            rank=self.reader_rank,
            pid=os.getpid(),
            block_index=block,
            case=case,
            missing_ranks=missing,
            waited_seconds=waited_seconds,
        )

    def describe_wait(self, waited_seconds: float) -> str:
        """One sentence: who waits (side, rank, pid), for which block, in which case, and for whom."""
        block = self._where()
        flags = self.buffer.flags(block)
        case, missing = _case_and_missing(flags)
        who = (
            f"{self._name()} (pid {os.getpid()}) of ring {self.buffer.name} has waited {waited_seconds:.3g} s for block {block}"
        )
        if case is None:
            return f"{who}, whose flags {flags.hex(' ')} are damaged: a flag is 0 or 1"
        who = f"{who} (case {case:d})"
        waits_for = f"reader rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
        if self.role is Role.WRITER:
            return f"{who}: not yet read by {waits_for}" if missing else f"{who}: it has just become free"
        if case is Case.UNWRITTEN:
            return f"{who}: the writer has not published it"
        if flags[1 + self.reader_rank] == 0:
            return f"{who}: it has just been published"
        if missing:
            return f"{who}, which it has read: the writer waits for {waits_for}"
        return f"{who}, which all have read: the writer has not written it again"


class _Hold:
    """The ``with`` of ``acquire_write`` and ``acquire_read``: it takes a block, and gives it back."""

    __slots__ = ("__weakref__", "_block", "_end", "_timeout")

    def __init__(self, end: ShmRingBufferIO, timeout: float | None) -> None:
        self._end = end
        self._timeout = timeout

    def __enter__(self) -> memoryview:
        end = self._end
        if end._refuse is not None:
            raise end._refuse("with")
        if end._in_use and not end._take_back():
            raise end._busy("with")
        end._in_use = True
        try:
            if end._begin() != FOUND:
                end._wait(self._timeout)
            self._block = end._where()
            # Not in a variable: the traceback of an interrupt would keep it, and with it the block.
            end._view = memoryview(end._lenders[self._block]).cast("B")
            if end.role is Role.WRITER:
                codec.mark_raw(end._frames[self._block])
            else:
                end._view = end._view.toreadonly()
            end._hold = weakref.ref(self)
        except BaseException:
            end._view.release()
            end._hold = None
            end._in_use = False
            raise
        return end._view

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        end = self._end
        try:
            with contextlib.suppress(BufferError):  # then it is lent out further, which is noticed below
                end._view.release()
            if end._refuse is not None:  # a forked child leaves the with of its parent: the block is not the child's
                if kind is None:
                    raise end._refuse("with")
            elif kind is not None:
                end._abort()
            elif sys.getrefcount(end._lenders[self._block]) != _REFERENCES_AT_HOME:
                end._abort()
                raise BlockEscapedError(
                    f"{end._name()} of ring {end.buffer.name}: something still refers to the block at the end of the with (a"
                    " slice of it or an array on it, perhaps in a variable); copy what you keep, and del the rest before the"
                    " with ends. " + ("Nothing was published" if end.role is Role.WRITER else "The message stays unread")
                )
            else:
                end._finish()
        finally:
            end._hold = None
            end._in_use = False


def _came_out_of_exit(hold: _Hold) -> bool:
    """Whether an exception that is being handled was raised in this hold's ``__exit__``."""
    error = sys.exception()
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code is _Hold.__exit__.__code__ and frame.f_locals.get("self") is hold:
                return True
        error = error.__context__
    return False


def _references_at_home() -> int:
    """What ``getrefcount`` says, in the way in which ``_Hold`` asks, of a lender that nobody else refers to."""
    lenders = [(ctypes.c_char * 1)()]
    return sys.getrefcount(lenders[0])


_REFERENCES_AT_HOME: Final = _references_at_home()


def _case_and_missing(flags: bytes) -> tuple[Case | None, tuple[int, ...]]:
    try:
        return classify(flags), missing_readers(flags)
    except ValueError:
        return None, ()


def _closed_error(end: ShmRingBufferIO, call: str) -> RingBufferError:
    return ClosedError(f"{call}: {end._name()} of ring {end.buffer.name} is closed")


def _forked_error(end: ShmRingBufferIO, call: str) -> RingBufferError:
    return ForkedError(
        f"{call}: {end._name()} of ring {end.buffer.name} belongs to the process that forked this one (pid {os.getppid()});"
        " make an endpoint of your own, with ShmRingBufferIO(ring, rank), in the child"
    )


def _after_fork_in_child() -> None:
    for end in list(_everywhere):
        if end._refuse is None:
            end._refuse_all(_forked_error)
            end._in_use, end._hold = False, None  # whoever used it did so in the parent
            with contextlib.suppress(BufferError):
                end._release()


os.register_at_fork(after_in_child=_after_fork_in_child)
