"""The readers' processes of a soak run, as their parent sees them: started, replaced, killed, accounted for, ended.

A process is started before it is needed, and waits for its turn, so that a reader can be replaced while the ring is at work.
Some successors come at once; others let the writer run into the gap that a killed reader has left.

A killed reader leaves a number behind, of the message that was due, and its position in the ring. From these follows what its
successor must get: if nothing of the message due was marked as read, that message; if some of it was, the next one, and the
message due is lost to the killed reader, which had marked it as read, and to nobody else. More than that must not be gone.

Rules: processes are ended by their own handles; every wait is bounded. Limits: a process is killed at a moment that is up to
the machine; row by row that is done elsewhere (``checker/kills.py``).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ringbuffer.endpoint.peers import resumes_at
from ringbuffer.memory.participants import Role
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.soak.reader import ATTACHED, FAULT, LEAVE, NEXT, READY, Orders, Words, words_bytes
from ringbuffer.soak.stream import Stream

END_SECONDS: Final = 10.0
"""How long a process that was killed may take to be gone."""
GAP_SECONDS: Final = 0.3
"""The longest time for which a rank has no reader, when its successor does not come at once."""
_CODE: Final = "from ringbuffer.soak.reader import LEAVE, NEXT, live; live({}, {}, {})"


class Worker:
    """One process, and the line to it."""

    def __init__(self, words_descriptor: int, readers: int) -> None:
        self.line, far_end = multiprocessing.Pipe()
        self.is_ready = self.is_attached = False
        code = _CODE.format(far_end.fileno(), words_descriptor, readers)
        descriptors = (far_end.fileno(), words_descriptor)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code], pass_fds=descriptors, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException:
            self.line.close()
            raise
        finally:
            far_end.close()

    def said(self) -> list[str]:
        """The faults that it has to tell."""
        faults = []
        try:
            while self.line.poll():
                event, text = self.line.recv()
                self.is_ready |= event == READY
                self.is_attached |= event == ATTACHED
                faults += [text] if event == FAULT else []
        except (EOFError, ConnectionResetError):
            pass
        return faults

    def end(self) -> None:
        """End it by force; again does nothing."""
        self.process.kill()
        self.process.wait(END_SECONDS)
        self.line.close()


@dataclass(slots=True)
class Place:
    """A rank: who has it, and what has become of those who had it."""

    worker: Worker
    words: memoryview
    was_killed: bool = False
    """Whether the last one was killed, and its successor has not attached yet."""
    killed: int = 0
    replaced: int = 0
    taken: int = 0
    """Messages that killed readers had taken: marked as read, and not told of yet."""


@dataclass(slots=True)
class _Change:
    """A reader that is being replaced."""

    rank: int
    is_kill: bool
    gap_seconds: float
    vacant_at: float | None = None
    """Since when nobody has the rank."""
    successor: Worker | None = field(default=None)


class Crew:
    """The readers of ``ring``. As a context manager it ends them. ``make_orders``: of a rank and a generation."""

    def __init__(self, ring: ShmRingBuffer, stream: Stream, make_orders: Callable[[int, int], Orders], seed: str) -> None:
        self._ring, self._stream, self._make_orders = ring, stream, make_orders
        self._draw = random.Random(seed)
        self.faults: list[str] = []
        self._changes: list[_Change] = []
        self._spare: Worker | None = None
        self._workers: list[Worker] = []
        self._descriptor = os.memfd_create("ringbuffer-soak")
        os.ftruncate(self._descriptor, words_bytes(ring.n_reader))
        self._words = Words(self._descriptor, ring.n_reader)
        self.places: list[Place] = []

    def start(self, seconds: float, *, with_spare: bool) -> bool:
        """Start the readers, and one that waits for its turn. Whether all were there within that time."""
        self.places = [Place(self._new_worker(), self._words.of(rank)) for rank in range(self._ring.n_reader)]
        self._spare = self._new_worker() if with_spare else None
        until = time.monotonic() + seconds
        told: set[int] = set()
        while time.monotonic() < until and not self.faults:
            self.tend()
            for rank, place in enumerate(self.places):
                if place.worker.is_ready and rank not in told:
                    told.add(rank)
                    self._tell(place.worker, rank, 0)
            if all(place.worker.is_attached for place in self.places) and (self._spare is None or self._spare.is_ready):
                return True
            time.sleep(0.002)
        return False

    def end(self) -> None:
        """End all processes; again does nothing."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _new_worker(self) -> Worker:
        worker = Worker(self._descriptor, self._ring.n_reader)
        self._workers.append(worker)
        return worker

    def _tell(self, worker: Worker, rank: int, generation: int) -> None:
        worker.line.send(self._make_orders(rank, generation))

    # ---- Replacing -----------------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """How many readers are being replaced, or wait for it."""
        return len(self._changes)

    def replace(self, *, is_kill: bool) -> None:
        """Let some reader be replaced: killed, or asked to leave."""
        gap = self._draw.choice((0.0, self._draw.uniform(0.0, GAP_SECONDS)))
        self._changes.append(_Change(self._draw.randrange(len(self.places)), is_kill, gap))

    def may_be_dead(self, rank: int) -> bool:
        """Whether a report that this reader died can be true."""
        return self.places[rank].was_killed

    def tend(self) -> None:
        """Listen to all, and do what is due."""
        for worker in self._workers:
            self.faults += worker.said()
        for rank, place in enumerate(self.places):
            place.was_killed &= not place.worker.is_attached
            self._look_after(rank, place)
        if self._changes and self._advance(self._changes[0]):
            self._changes.pop(0)

    def _look_after(self, rank: int, place: Place) -> None:
        """Say so, if a reader has ended that should not have."""
        code = place.worker.process.poll()
        is_expected = code == 0 or (self._changes and self._changes[0].rank == rank and self._changes[0].vacant_at is not None)
        if code is not None and not is_expected and not self.faults:
            self.faults.append(f"reader {rank} ended (exit status {code}) when message {place.words[NEXT]} was due")

    def _advance(self, change: _Change) -> bool:
        """Go on with a replacement as far as it goes now. Whether it is over."""
        place = self.places[change.rank]
        if change.successor is None:
            if self._spare is None:
                self._spare = self._new_worker()
            if not self._spare.is_ready or not place.worker.is_attached:
                return False
            change.successor, self._spare = self._spare, None
        if change.vacant_at is None:
            if not self._has_vacated(change, place):
                return False
            change.vacant_at = time.monotonic()
            self._account(change.rank, place)
        if time.monotonic() < change.vacant_at + change.gap_seconds:
            return False
        self._workers.remove(place.worker)
        place.worker.end()
        place.words[LEAVE] = 0
        place.worker = change.successor
        self._tell(place.worker, change.rank, place.killed + place.replaced)
        self._spare = self._new_worker() if len(self._changes) > 1 else None
        return True

    def _has_vacated(self, change: _Change, place: Place) -> bool:
        """Kill a reader, or ask it to leave. Whether it is gone."""
        process = place.worker.process
        if change.is_kill:
            process.kill()
            process.wait(END_SECONDS)
        else:
            place.words[LEAVE] = 1
        if process.poll() is None:
            return False
        self.faults += place.worker.said()
        if process.returncode == -signal.SIGKILL and change.is_kill:
            place.killed += 1
            place.was_killed, place.worker.is_attached = True, False
        else:  # it left, or had come to the end of the stream
            place.replaced += 1
        return True

    def _account(self, rank: int, place: Place) -> None:
        """Say which message the successor of a reader must get first."""
        role = Role(self._ring.segment, rank)
        resumes = resumes_at(self._ring, role)
        role.release()
        due, begins_at = place.words[NEXT], self._stream.begins_at
        if resumes <= begins_at(due):
            return
        if not place.was_killed or resumes > begins_at(due + 1):
            self.faults.append(
                f"reader {rank} {'was killed' if place.was_killed else 'left'} when message {due} was due, which begins at"
                f" block {begins_at(due)} of the stream, and its successor goes on at {resumes}"
            )
            return
        place.taken += 1
        place.words[NEXT] = due + 1

    # ---- What there is to say ------------------------------------------------------------------------------------------------

    def progress(self) -> int:
        """A number that grows as long as somebody reads."""
        return sum(place.words[NEXT] for place in self.places)

    def have_finished(self, messages: int) -> bool:
        """Whether every reader has come to the end of the stream, and has ended."""
        return all(place.words[NEXT] >= messages and place.worker.process.poll() == 0 for place in self.places)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()
