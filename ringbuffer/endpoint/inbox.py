"""The slow way of receiving: whatever the runner's one call does not do.

It waits, puts together messages of several blocks, and says what is wrong with a message that cannot be delivered. Rules:

* Between the mark of a message and its return to the caller, the message is kept in one of three places (the runner's
  ``pending``, here, or the assembly of its parts), so that an interrupt loses nothing. It is forgotten only where nothing comes
  between that and the return. Something else is taken from the ring only when all three are empty.
* What was kept while its block was not marked yet is not kept: the block comes again. How many blocks the reader is done with
  tells.
* What is not in its place in the stream, or says of itself what cannot be, is never delivered and stays unread.

Limits: who takes over in the middle of a message of several blocks passes over its rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ringbuffer.codec.frames import (
    BYTES,
    FIRST,
    GATHERED,
    KIND_NAMES,
    LAST,
    PICKLE,
    RAW,
    TENSOR,
    WHOLE,
    Assembly,
    Frame,
    check_frame,
    payload,
)
from ringbuffer.codec.message import decode, decode_assembled
from ringbuffer.compiled import KIND_BITS, Runner
from ringbuffer.errors import DecodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

RECEIVE: Final = "recv_bytes"
"""The call that takes nothing but what ``send_bytes`` has sent."""
_NOWHERE: Final = -1
KIND_MASK: Final = (1 << KIND_BITS) - 1
_READABLE: Final = (BYTES, GATHERED, PICKLE, TENSOR)
"""The kinds of messages that can be made objects where they lie."""

Find = Callable[["float | None"], None]
"""Returns with the block found, or raises; takes a deadline."""


class _Kept(NamedTuple):
    """A message that may be marked as read, and was not given away."""

    number: int
    """How many blocks the reader was done with before it took this one."""
    kind: int
    message: Any
    undecodable: bytes | None = None
    """Where it cannot be unpickled, its bytes."""


class Inbox:
    """What a reader has received and not given away.

    ``frames``: its blocks, read-only. ``find``: how it comes by the next. ``in_order``: whether the number of each block is
    held to its place in the stream; an experiment with edited tables shows what these do, not what the numbers prevent.
    """

    def __init__(self, runner: Runner, frames: list[memoryview], find: Find, *, in_order: bool) -> None:
        self._runner, self._frames, self._find, self._in_order = runner, frames, find, in_order
        self._limit_bytes = len(frames[0]) - FRAME_BYTES
        self._passes_at = runner.done() or _NOWHERE
        """Up to this block, what is not the first part of a message is the rest of one that a predecessor has begun."""
        self._assembly = Assembly()
        self._last_part = _NOWHERE
        """How many blocks this reader was done with before it took the last part of the assembly."""
        self._kept: _Kept | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept here, or in the runner, that must be given away before anything else."""
        return self._runner.pending is None and self._marked() is None and not self._is_whole()

    def find_whole(self, timeout: float | None) -> int:
        """Look for the next message: its length and kind, as the runner's ``whole`` says them, if that is all that there is to
        know of it. -1: :meth:`lend` knows the rest."""
        if self._kept is not None or self._runner.pending is not None or self._assembly.is_begun:
            return -1
        found = self._runner.whole(timeout)
        return found if found & KIND_MASK in _READABLE else -1

    def _marked(self) -> _Kept | None:
        """What is kept, if its block is marked."""
        kept = self._kept
        return None if kept is None or self._runner.done() <= kept.number else kept

    def _is_whole(self) -> bool:
        return self._assembly.is_whole and self._runner.done() > self._last_part

    def next_message(self, call: str, deadline: float | None) -> Any:
        """The next message, for the call of that name, which gives it away."""
        message = self.lend(call, deadline)
        self.forget()
        return message

    def found_message(self, call: str, found: int) -> Any:
        """The same, for one that :meth:`find_whole` has found."""
        kind, length_bytes = found & KIND_MASK, found >> KIND_BITS
        self.check_kind(call, kind)
        self._take_whole(kind, length_bytes)
        assert self._kept is not None, "it was taken"
        message = self._again(call, self._kept)
        self.forget()
        return message

    def forget(self) -> None:
        """What was lent is given away. No interrupt comes between that and the return from here."""
        self._assembly = Assembly()
        self._kept = self._runner.pending = None

    def lend(self, call: str, deadline: float | None) -> Any:
        """The next message, which is kept until :meth:`forget`. One that cannot be unpickled is given away by the error."""
        while True:
            if self._runner.pending is not None:
                return self._pending(call)
            kept = self._marked()
            if kept is not None:
                return self._again(call, kept)
            if self._is_whole():
                return self._assembled(call)
            self._take(call, self.next_frame(deadline))

    def _pending(self, call: str) -> Any:
        """The message that the runner has taken, and an interrupt has kept from its caller."""
        runner = self._runner
        self.check_kind(call, runner.pending_kind)
        raw = runner.pending
        assert raw is not None, "there is one"
        try:
            return decode(runner.pending_kind, memoryview(raw))
        except DecodeError:
            runner.pending = None
            raise

    def _again(self, call: str, kept: _Kept) -> Any:
        """The message that was taken here."""
        self.check_kind(call, kept.kind)
        if kept.undecodable is None:
            return kept.message
        try:
            return decode(kept.kind, memoryview(kept.undecodable))
        except DecodeError:
            self._kept = None
            raise

    def _assembled(self, call: str) -> Any:
        """The message that was put together."""
        kind, body = self._assembly.whole()
        self.check_kind(call, kind)
        try:
            return decode_assembled(kind, body)
        except DecodeError:
            self._assembly = Assembly()
            raise

    def next_frame(self, deadline: float | None) -> Frame:
        """Wait for the block that comes next; its frame, checked. Only when nothing is kept.

        What is left of a message that a predecessor has begun is passed over. Raises :class:`FrameError` for a block that must
        not be delivered.
        """
        self._kept = None
        while True:
            self._find(deadline)
            frame = self._checked()
            if frame.sequence > self._passes_at or frame.part & FIRST or self._assembly.is_begun:
                self._assembly.check(frame)
                return frame
            if not frame.part & LAST:
                self._passes_at = frame.sequence + 1
            self._runner.finish()

    def _checked(self) -> Frame:
        runner = self._runner
        block = runner.where()
        frame = Frame.read(self._frames[block])
        check_frame(frame, runner.done() if self._in_order else frame.sequence, self._limit_bytes, block)
        return frame

    def _take(self, call: str, frame: Frame) -> None:
        """Take what the block holds, a message or a part of one, and mark the block as read."""
        self.check_kind(call, frame.kind)
        if frame.part == WHOLE:
            self.withdraw()
            self._take_whole(frame.kind, frame.length_bytes)
            return
        runner = self._runner
        with payload(self._frames[runner.where()], frame) as part:
            self._last_part = runner.done()
            self._assembly.add(frame, part)
        runner.finish()

    def _take_whole(self, kind: int, length_bytes: int) -> None:
        runner = self._runner
        with self._frames[runner.where()][FRAME_BYTES : FRAME_BYTES + length_bytes] as body:
            try:
                self._kept = _Kept(runner.done(), kind, decode(kind, body))
            except DecodeError as error:
                self.keep_undecodable(kind, error.raw)
        runner.finish()

    def keep_undecodable(self, kind: int, raw: bytes) -> None:
        """The message of this block cannot be unpickled; it is kept until :meth:`forget`, if the block is marked."""
        self._kept = _Kept(self._runner.done(), kind, None, raw)

    def withdraw(self) -> None:
        """A whole message has come: one that is unfinished will not be finished."""
        self._assembly.withdraw()

    @staticmethod
    def check_kind(call: str, kind: int) -> None:
        """Raise :class:`FrameError` for a message that this call cannot give."""
        if kind == RAW:
            raise FrameError(
                f"this message was written with acquire_write, and {call} cannot tell what it is; it is still there: read it"
                " with acquire_read"
            )
        if call == RECEIVE and kind != BYTES:
            raise FrameError(
                f"this message is an object that enqueue has sent ({KIND_NAMES[kind]}), and recv_bytes takes what send_bytes"
                " has sent; it is still there: take it with dequeue or read"
            )
