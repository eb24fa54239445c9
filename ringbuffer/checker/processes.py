"""Real processes on a real ring: one writes, the others read and check every message.

Each message carries its number, a random body and the body's checksum, so that a reader can tell a message that is torn,
lost, repeated or out of order from one that is right. Rules: processes are spawned; every wait is bounded, and a reader that
dies is named; a run that ends, however it ends, leaves no process and no segment; where the parent is killed, its readers
notice and end, and the resource tracker removes the segment. Limits: a run shows what happened on this machine, in
these interleavings; what it did not show, it does not exclude.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import PeerDied, RingBufferError, WaitTimeoutError
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.ring import ShmRingBuffer

BODY_BYTES_MAX: Final = 3000
CHUNK_BYTES: Final = 4096
"""Room for the largest body and what pickle adds to it."""
START_SECONDS: Final = 60.0
"""How long the processes may take to start and attach."""
STALL_SECONDS: Final = 20.0
"""How long nothing may move before the run is given up."""
SLICE_SECONDS: Final = 0.5
"""How long the writer waits before it looks whether its readers are alive."""
SHOW_TIMES: Final = 3


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """What one reader found: how many messages it got, and how many were wrong in which way."""

    rank: int
    received: int
    torn: int
    reordered: int
    repeated: int
    lost: int
    first_fault: str

    @property
    def clean(self) -> bool:
        """Whether it got every message once, in order, whole."""
        return not (self.torn or self.reordered or self.repeated or self.lost)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run showed. ``seconds`` is from the first message to the last reader's report."""

    readers: tuple[ReaderReport, ...]
    blocks: int
    messages: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether every reader got every message once, in order, whole."""
        return all(reader.clean for reader in self.readers)

    @property
    def rate(self) -> float:
        """Messages per second, each to all readers."""
        return self.messages / self.seconds


class RunFailed(RingBufferError, RuntimeError):
    """A run ended before its readers could report: one of them died, or nothing moved any more."""


def make_message(draw: random.Random, pool: bytes, number: int) -> dict[str, Any]:
    """Message ``number``: a real object with a body of random size, taken from ``pool`` at a random place."""
    size = draw.randrange(BODY_BYTES_MAX)
    start = draw.randrange(len(pool) - size)
    body = pool[start : start + size]
    return {"number": number, "sender": "writer", "checksum": zlib.crc32(body), "body": body}


class _Checker:
    """Judges the messages that one reader receives."""

    def __init__(self, rank: int, messages: int) -> None:
        self.rank, self.messages = rank, messages
        self.times_seen = bytearray(messages)
        self.torn = self.reordered = self.repeated = self.received = 0
        self.newest = -1
        self.first_fault = ""

    def take(self, message: Any) -> None:
        """Judge the next message."""
        self.received += 1
        whole = (
            isinstance(message, dict)
            and 0 <= message.get("number", -1) < self.messages
            and zlib.crc32(message["body"]) == message["checksum"]
        )
        if not whole:
            self.torn += 1
            self._fault(f"what came {self.received}th is torn")
            return
        number = message["number"]
        if self.times_seen[number]:
            self.repeated += 1
            self._fault(f"message {number} came again")
        elif number != self.newest + 1:
            self.reordered += number < self.newest  # a gap is no disorder yet: what is missing may be lost
            self._fault(f"message {number} came when message {self.newest + 1} was due")
        self.times_seen[number] = 1
        self.newest = max(self.newest, number)

    def _fault(self, text: str) -> None:
        self.first_fault = self.first_fault or text

    def report(self) -> ReaderReport:
        """What was found. Messages that never came are lost."""
        lost = self.times_seen.count(0)
        fault = self.first_fault or ("messages are missing" if lost else "")
        return ReaderReport(self.rank, self.received, self.torn, self.reordered, self.repeated, lost, fault)


def _read_all(ring: ShmRingBuffer, rank: int, messages: int, results: Connection) -> None:
    """A reader process: check every message, and report."""
    checker = _Checker(rank, messages)
    with ring, ShmRingBufferIO(ring, rank) as reader:
        results.send("ready")
        try:
            for _ in range(messages):
                checker.take(_receive(reader))
        except WaitTimeoutError as error:
            checker._fault(str(error))
        except _ParentGone:
            return
        results.send(checker.report())


class _ParentGone(Exception):
    """Whoever would read the report has ended."""


def _receive(reader: ShmRingBufferIO) -> Any:
    """The next message; while there is none, look whether the parent is alive, which writes them."""
    parent = multiprocessing.parent_process()
    waited = 0.0
    while True:
        try:
            return reader.dequeue(timeout=SLICE_SECONDS)
        except PeerDied as error:
            raise _ParentGone from error
        except WaitTimeoutError as error:
            waited += error.waited_seconds
            if parent is not None and not parent.is_alive():
                raise _ParentGone from error
            if waited > STALL_SECONDS:
                raise


def run_processes(
    readers: int = 3,
    blocks: int = 4,
    messages: int = 20_000,
    *,
    protocol: Variant = PROTOCOL,
    seed: int = 0,
    show: Callable[[ShmRingBuffer, int, float], None] | None = None,
) -> RunReport:
    """Broadcast ``messages`` real objects from this process to ``readers`` processes, each of which checks all of them.

    ``show`` is called now and then with the ring, the number of messages sent, and the seconds since the first.
    Raises :class:`RunFailed` when a reader dies or nothing moves; no process and no segment is left either way.
    """
    context = multiprocessing.get_context("spawn")
    workers: list[BaseProcess] = []
    pipes: list[Connection] = []
    with ShmRingBuffer(readers, CHUNK_BYTES, blocks, protocol=protocol) as ring:
        try:
            for rank in range(readers):
                receiving, sending = context.Pipe(duplex=False)
                pipes.append(receiving)
                worker = context.Process(target=_read_all, args=(ring, rank, messages, sending), daemon=True)
                _start_without_interrupts(worker)
                workers.append(worker)
                sending.close()
            for rank in range(readers):
                _result(rank, pipes, workers, START_SECONDS)
            started = time.perf_counter()
            with ShmRingBufferIO(ring, -1) as writer:
                _write_all(writer, messages, seed, workers, show)
                reports = tuple(_result(rank, pipes, workers, 2 * STALL_SECONDS) for rank in range(readers))
            return RunReport(reports, blocks, messages, time.perf_counter() - started)
        finally:
            _end(workers, pipes)


def _start_without_interrupts(worker: BaseProcess) -> None:
    """Start a process that takes no interrupt from the keyboard (it inherits the mask): its parent will end it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write_all(
    writer: ShmRingBufferIO,
    messages: int,
    seed: int,
    workers: list[BaseProcess],
    show: Callable[[ShmRingBuffer, int, float], None] | None,
) -> None:
    draw = random.Random(seed)
    pool = draw.randbytes(64 * BODY_BYTES_MAX)
    started = time.perf_counter()
    for number in range(messages):
        _send(writer, make_message(draw, pool, number), workers)
        if show is not None and (number + 1) % max(1, messages // SHOW_TIMES) == 0:
            show(writer.buffer, number + 1, time.perf_counter() - started)


def _send(writer: ShmRingBufferIO, message: dict[str, Any], workers: list[BaseProcess]) -> None:
    """Enqueue, and look after the readers while there is no room."""
    waited = 0.0
    while True:
        try:
            return writer.enqueue(message, timeout=SLICE_SECONDS)
        except PeerDied as error:
            workers[error.rank].join(SLICE_SECONDS)
            exit_code = workers[error.rank].exitcode
            raise RunFailed(f"reader {error.rank} died (exit code {exit_code}) before it had read all") from error
        except WaitTimeoutError as error:
            waited += error.waited_seconds
            for rank in error.missing_ranks:
                if not workers[rank].is_alive():
                    raise RunFailed(
                        f"reader {rank} died (exit code {workers[rank].exitcode}) before it had read all"
                    ) from error
            if waited > STALL_SECONDS:
                raise RunFailed(f"nothing moved for {waited:.0f} s: {error}") from error


def _result(rank: int, pipes: list[Connection], workers: list[BaseProcess], wait_seconds: float) -> Any:
    """The next thing that a reader has to say."""
    if not pipes[rank].poll(wait_seconds):
        raise RunFailed(f"reader {rank} said nothing for {wait_seconds:.0f} s")
    try:
        return pipes[rank].recv()
    except EOFError:
        workers[rank].join(SLICE_SECONDS)
        raise RunFailed(f"reader {rank} died (exit code {workers[rank].exitcode}) without a report") from None


def _end(workers: list[BaseProcess], pipes: list[Connection]) -> None:
    """Give the processes a short while together, end those that still run, and let go of all."""
    deadline = time.monotonic() + SLICE_SECONDS
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()
        worker.close()
    for pipe in pipes:
        pipe.close()
