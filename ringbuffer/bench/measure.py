"""The three measures, each of one peer, one payload and one number of readers.

Rules: a cell is opened, warmed up (in the first run with every byte checked), measured, and closed. Throughput is from the
writer's clock before its first message to the slowest reader's clock behind its last one (of a floor where nobody waits: the
longest time that one process took); the number of messages follows from those runs of the warm-up that check no more. One-way
latency is from the writer's clock directly before it sends to each reader's clock directly after it has received, where the
next message is sent only after all readers have had the last one and a pause, so that no queue is measured. Idle cost is the
processor time of the readers' processes while they wait for a message, over a window that begins 50 ms after the last one.
Limits: the clocks are one (``CLOCK_MONOTONIC``) and cost some tens of nanoseconds; processor time includes all threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.bench.crew import START_SECONDS, Crew
from ringbuffer.bench.payloads import Payload
from ringbuffer.bench.peer import IDLE, LATENCY, THROUGHPUT, Peer, Setup
from ringbuffer.bench.summary import quantile
from ringbuffer.bench.worker import WRITER_RANK, Run

ANSWER_SECONDS: Final = 30.0
WARM_SHARE: Final = 0.1
"""Of the seconds of a run: warm-up goes on with longer runs until one takes so long."""
WARM_GROWTH: Final = 8
WARM_LAPS: Final = 2
LEAST_LAPS: Final = 2
MESSAGES_MAX: Final = 2_000_000
PACED_SECONDS: Final = 0.001
"""Roughly what one paced message takes; from it follows how many are sent."""
PATIENCE: Final = 20
"""How many times as long as expected a run may take."""
SETTLED_SECONDS: Final = 0.05
"""How long a reader may wait before what it costs is counted."""
IDLE_SHARE: Final = 2.0
"""The window of the idle measure, as a share of the seconds of a run."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured: one peer with one payload and so many readers."""

    measure: str
    payload: Payload
    readers: int
    peer: type[Peer]


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, and with how many blocks. ``messages``: so many exactly, whatever time it takes.

    ``answer_seconds``: how long a process may take beyond what is expected before it counts as hanging.
    """

    seconds: float
    blocks: int
    messages: int | None = None
    answer_seconds: float = ANSWER_SECONDS


class Bench:
    """Measures cells with one crew after another; makes a new one when the last was ended."""

    def __init__(self, peers: Sequence[type[Peer]], payloads: Sequence[Payload], readers: int, settings: Settings, folder: str):
        self._peers, self._payloads, self._readers = tuple(peers), tuple(payloads), readers
        self._settings = settings
        self._folder = folder
        self._crew: Crew | None = None
        self._count = 0

    def measure(self, cell: Cell) -> dict[str, float]:
        """Figures by name. Raises :class:`FaultError` and :class:`CrewError`; the next measurement has a new crew then."""
        crew = self._crew = self._crew or Crew(
            self._peers, self._payloads, self._readers, self._settings.blocks, self._settings.answer_seconds
        )
        self._count += 1
        setup = Setup(f"c{self._count}", self._folder, cell.readers, self._settings.blocks, cell.payload)
        try:
            with _opened(crew, cell, setup):
                stretch = _Stretch(crew, cell)
                return {THROUGHPUT: _throughput, LATENCY: _latency, IDLE: _idle}[cell.measure](stretch, cell, self._settings)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the processes; ending again does nothing."""
        if self._crew is not None:
            self._crew.end()
            self._crew = None


@contextlib.contextmanager
def _opened(crew: Crew, cell: Cell, setup: Setup) -> Iterator[None]:
    ranks = list(range(cell.readers))
    with cell.peer.open(setup) as ticket:
        try:
            (ticket,) = crew.ask([WRITER_RANK], "open", cell.peer, setup, ticket, more_seconds=START_SECONDS)
            crew.ask(ranks, "open", cell.peer, setup, ticket, more_seconds=START_SECONDS)
            crew.ask([WRITER_RANK, *ranks], "settle")
            yield
            crew.ask([*ranks, WRITER_RANK], "close")
        except BaseException:
            crew.end()  # before what they use is removed
            raise


class _Stretch:
    """Runs of one open channel, one after another; it counts the messages."""

    def __init__(self, crew: Crew, cell: Cell) -> None:
        self.crew = crew
        self.ranks = list(range(cell.readers))
        self._is_coupled = cell.peer.is_checked
        self._sent = 0

    def run(self, count: int, *, about_seconds: float = 0.0, **ways: bool) -> tuple[float, list[float]]:
        """Send and receive; the seconds until the slowest reader had all, and all latencies in seconds."""
        return self.finish(self.begin(count, **ways), about_seconds)

    def begin(self, count: int, **ways: bool) -> Run:
        """Have the readers wait for so many messages."""
        run = Run(self._sent, count, **ways)
        self._sent += count
        self.crew.ask(self.ranks, "arm", run)
        self.crew.tell(self.ranks, "run", run)
        return run

    def finish(self, run: Run, about_seconds: float = 0.0) -> tuple[float, list[float]]:
        """Have the writer send them, and wait for all, many times as long as that is expected to take."""
        everybody = [WRITER_RANK, *self.ranks]
        self.crew.tell([WRITER_RANK], "run", run, len(self.ranks))
        writer, *readers = self.crew.answers(everybody, PATIENCE * about_seconds)
        took = max(one.ended for one in readers) - writer.began
        if not self._is_coupled:
            took = max(one.ended - one.began for one in (writer, *readers))
        return took / 1e9, [nanoseconds / 1e9 for one in readers for nanoseconds in one.latencies]


def _warm_up(stretch: _Stretch, settings: Settings) -> float:
    """Send until a run takes a while; the seconds that one message takes.

    The first run checks every byte, and says nothing of what a message takes: a check may cost many times as much.
    """
    count = WARM_LAPS * settings.blocks
    stretch.run(count, every_byte=True)
    while True:
        seconds, _ = stretch.run(count)
        if seconds >= WARM_SHARE * settings.seconds or count * WARM_GROWTH > MESSAGES_MAX:
            return seconds / count
        count *= WARM_GROWTH


def _throughput(stretch: _Stretch, cell: Cell, settings: Settings) -> dict[str, float]:
    each_seconds = _warm_up(stretch, settings)
    count = settings.messages or int(settings.seconds / each_seconds)
    if not settings.messages:
        count = min(MESSAGES_MAX, max(count, LEAST_LAPS * settings.blocks))
    seconds, _ = stretch.run(count, about_seconds=count * each_seconds)
    rate = count / seconds
    return {
        "messages": count,
        "seconds": seconds,
        "seconds_per_message": seconds / count,
        "messages_per_second": rate,
        "bytes_per_second": rate * cell.payload.size_bytes,
    }


def _latency(stretch: _Stretch, _: Cell, settings: Settings) -> dict[str, float]:
    stretch.run(WARM_LAPS * settings.blocks, every_byte=True, paced=True)
    count = settings.messages or max(WARM_LAPS * settings.blocks, int(settings.seconds / PACED_SECONDS))
    seconds, latencies = stretch.run(count, about_seconds=count * PACED_SECONDS, paced=True)
    found: dict[str, float] = {"messages": count, "seconds": seconds}
    return found | {f"p{percent}_seconds": quantile(latencies, percent / 100) for percent in (50, 90, 99)}


def _idle(stretch: _Stretch, _: Cell, settings: Settings) -> dict[str, float]:
    stretch.run(WARM_LAPS * settings.blocks, every_byte=True)
    run = stretch.begin(1)
    time.sleep(SETTLED_SECONDS)
    pids = stretch.crew.pids(stretch.ranks)
    began, before = time.monotonic(), [processor_seconds(pid) for pid in pids]
    time.sleep(IDLE_SHARE * settings.seconds)
    after, seconds = [processor_seconds(pid) for pid in pids], time.monotonic() - began
    stretch.finish(run)
    shares = [(later - earlier) / seconds for earlier, later in zip(before, after, strict=True)]
    return {"seconds": seconds, "core_share": sum(shares) / len(shares), "core_share_max": max(shares)}


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used, all threads together, to the nanosecond."""
    clock = ctypes.c_int()
    status: Any = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if status:
        raise OSError(status, f"the processor time of process {pid} cannot be read")
    return time.clock_gettime(clock.value)
