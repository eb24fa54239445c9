"""The slow way of receiving: whatever the runner's one call does not do.

It waits, puts together messages of several blocks, and says what is wrong with a message that cannot be delivered. Rules:
between the mark of a message and its return to the caller, the message is kept in one place or another, so that an interrupt
loses nothing; what is not in its place in the stream, or says of itself what cannot be, is never delivered and stays unread.
Limits: who takes over in the middle of a message of several blocks passes over its rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ringbuffer.codec.frames import (
    BYTES,
    FIRST,
    KIND_NAMES,
    RAW,
    WHOLE,
    Assembly,
    Frame,
    check_frame,
    payload,
)
from ringbuffer.codec.message import decode, decode_assembled, undecodable
from ringbuffer.compiled import Runner
from ringbuffer.errors import DecodeError, FrameError
from ringbuffer.memory.layout import FRAME_BYTES

RECEIVE: Final = "recv_bytes"
"""The call that takes nothing but what ``send_bytes`` has sent."""

Find = Callable[["float | None"], None]
"""Returns with the block found, or raises; takes a deadline."""


class Inbox:
    """What a reader has received and not given away.

    ``frames``: its blocks, read-only. ``find``: how it comes by the next. ``in_order``: whether the number of each block is
    held to its place in the stream; an experiment with edited tables shows what these do, not what the numbers prevent.
    """

    def __init__(self, runner: Runner, frames: list[memoryview], find: Find, *, in_order: bool) -> None:
        self._runner, self._frames, self._find, self._in_order = runner, frames, find, in_order
        self._limit_bytes = len(frames[0]) - FRAME_BYTES
        self._took_over = runner.done() > 0
        self._assembly = Assembly()
        self._kept: tuple[int, Any] | None = None
        """A message that may be marked as read, and was not given away: the number of its last block, and itself."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept here that an interrupt has kept from its caller."""
        return self._runner.pending is None and not self._is_kept() and not self._is_whole()

    def _is_kept(self) -> bool:
        return self._kept is not None and self._runner.done() > self._kept[0]

    def _is_whole(self) -> bool:
        return self._assembly.is_whole and self._runner.done() > self._assembly.sequence

    def keep(self, message: Any) -> None:
        """A message that was given away comes again: its blocks are free already."""
        self._kept = (-1, message)

    def next_message(self, call: str, deadline: float | None) -> Any:
        """The next message, for the call of that name."""
        runner = self._runner
        while True:
            if runner.pending is not None:
                return self._pending(call)
            if self._is_kept():
                assert self._kept is not None, "there is one"
                message = self._kept[1]
                self._kept = None
                return message
            if self._is_whole():
                return self._assembled()
            self._find(deadline)
            self._take_part(call)

    def _pending(self, call: str) -> Any:
        """The message that the runner has taken, and an interrupt has kept from its caller."""
        runner = self._runner
        self.check_kind(call, runner.pending_kind)
        raw = runner.pending
        assert raw is not None, "there is one"
        try:
            message = decode(runner.pending_kind, memoryview(raw))
        except DecodeError:
            runner.pending = None
            raise
        runner.pending = None
        return message

    def undecodable(self, error: Exception) -> Exception:
        """What is to be raised for an error of the runner's one call. A message that cannot be unpickled is consumed."""
        raw, self._runner.pending = self._runner.pending, None
        return error if raw is None else undecodable(memoryview(raw), error)

    def _take_part(self, call: str) -> None:
        """Take what the block holds, a message or a part of one, and mark the block as read."""
        runner = self._runner
        frame = self.checked_frame()
        self.check_kind(call, frame.kind)
        with payload(self._frames[runner.where()], frame) as part:
            if frame.part == WHOLE:
                self._assembly.withdraw()
                try:
                    self._kept = (frame.sequence, decode(frame.kind, part))
                except DecodeError:
                    runner.finish()
                    raise
            elif not self._is_of_predecessor(frame):
                self._assembly.add(frame, part)
        runner.finish()

    def _is_of_predecessor(self, frame: Frame) -> bool:
        """Whether it is the rest of a message whose beginning was taken by whoever had this role before."""
        return self._took_over and not frame.part & FIRST and not self._assembly.is_begun

    def _assembled(self) -> Any:
        """The message that was put together. It is kept until there is nothing left between it and its return."""
        fresh = Assembly()
        kind, body = self._assembly.whole()
        try:
            message = decode_assembled(kind, body)
        except DecodeError:
            self._assembly = fresh
            raise
        self._assembly = fresh
        return message

    def checked_frame(self) -> Frame:
        """The frame of the block that was found. Raises :class:`FrameError` for one that must not be delivered."""
        runner = self._runner
        block = runner.where()
        frame = Frame.read(self._frames[block])
        check_frame(frame, runner.done() if self._in_order else frame.sequence, self._limit_bytes, block)
        if not self._is_of_predecessor(frame):
            self._assembly.check(frame)
        return frame

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
