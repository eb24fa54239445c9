"""A process that is to be killed: a real endpoint, run row by row, that kills itself before a given step.

It tells its parent every step beforehand, and where it would sleep it waits for its parent's word, so that the step of a given
number is the same in every run. Rules: what it runs is what an endpoint runs, notes, sleeping and waking included; it is
started as a program of its own that imports no more than that. Limits: ``checker/kills.py`` is its one parent, and says what
comes of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from ringbuffer.compiled import BUSY, FOUND, WAIT, Runner, bind
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Program, Role
from ringbuffer.waiting import WaitOptions

WAIT_SECONDS: Final = 20.0
"""How long anything may take before the run is given up."""
BODY_BYTES: Final = 48
PAUSES: Final = {Role.WRITER: ("S4", "S2"), Role.READER: ("S2", "S4")}
"""Where a victim waits for its parent's word, in turn: before it sleeps (S4), and before it looks again (S2)."""


def message_of(number: int) -> bytes:
    """Message ``number``: its number, over and over."""
    return number.to_bytes(4, "little") * (BODY_BYTES // 4)


class _Doomed:
    """A runner in stepping form that kills its process before a step."""

    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self._runner: Any = bind(program, segment, rank, stepping=True)
        self._program, self._segment = program, segment
        self._payload = next(one.row for one in program.instructions if one.row.is_payload)
        self.is_in_use, self.pending, self.pending_kind, self.result, self.can_rest = False, None, 0, BUSY, True
        self.spin_count, self.yield_seconds, self.began, self.has_sought, self.is_cancelled = 0, 0.0, 0.0, False, False
        self.where, self.done, self.resume = self._runner.where, self._runner.done, self._runner.resume

    def release(self) -> None:
        for view in self._runner.views:
            view.release()

    def rouse(self) -> None:
        """Nobody else is in this process."""

    @property
    def in_use(self) -> bool:
        """Whether the endpoint says so."""
        return self.is_in_use

    def begin(self) -> int:
        result = self._run(self._runner.begin())
        return self._hand_over() if result == FOUND else result

    def _hand_over(self) -> int:
        """The block is the caller's: killed now, a writer has written half of something."""
        _fate.step(self._payload.id, self._scribble)
        return FOUND

    def _scribble(self) -> None:
        if self._program.role is Role.WRITER:
            with self._segment.frame(self.where()) as frame:
                half = len(frame) // 2
                frame[:half] = b"\xa5" * half

    def finish(self) -> int:
        return self._run(self._runner.finish())

    def abort(self) -> int:
        return self._run(self._runner.abort())

    def rest(self, _: float) -> int:
        result = self._run(self._runner.rest())
        return self._hand_over() if result == FOUND else result

    def seek(self, *_: Any) -> int:
        """A victim lies down at once."""
        return WAIT

    def send(self, *_: Any) -> int:
        return BUSY

    def receive(self, *_: Any) -> Any:
        raise StopIteration

    def whole(self, *_: Any) -> int:
        return -1

    def _run(self, stepping: Any) -> int:
        try:
            stop = next(stepping)
            while True:
                pc, _, ranks = stop
                _fate.step(self._program[pc].row.id)
                stop = stepping.send(ranks[0] if ranks else 0)
        except StopIteration as ended:
            return int(ended.value)


class _Fate:
    """When this process is killed. ``line``: to its parent."""

    def __init__(self, step: int, pauses: tuple[str, str], line: Connection | None) -> None:
        self._left, self._pauses, self._line = step, pauses, line
        self._sleeps = 0

    def step(self, row: str, last_act: Callable[[], None] = lambda: None) -> None:
        """A step of that row is about to be made. ``last_act``: what is done of it before the death."""
        assert self._line is not None, "in a victim"
        if self._left == 0:
            last_act()
            self._line.send(("killed", row))
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        if row == self._pauses[self._sleeps % 2]:
            self._sleeps += 1
            self._line.send(("sleeps", row))
            self._line.recv()


_fate = _Fate(-1, ("", ""), None)


class _VictimIO(ShmRingBufferIO):
    """An endpoint that runs row by row."""

    _bind: Callable[[Program, Segment, int], Runner] = staticmethod(_Doomed)  # type: ignore[assignment]


def live(descriptor: int) -> None:
    """The victim's process. ``descriptor``: of its line to its parent."""
    global _fate
    line = Connection(descriptor)
    ring, rank, messages, step = line.recv()
    _fate = _Fate(step, PAUSES[Role.WRITER if rank == -1 else Role.READER], line)
    end = _VictimIO(ring, rank, waiting=WaitOptions(spin_count=0, yield_seconds=0.0))
    for number in range(messages):
        if rank == -1:
            end.send_bytes(message_of(number), WAIT_SECONDS)
            line.send(("sent", number))
        else:
            line.send(("got", end.recv_bytes(WAIT_SECONDS)))
    line.send(("ended", ""))
    line.recv()
