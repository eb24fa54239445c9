"""The processes of a benchmark: one that writes, and as many readers as are needed, which do what the parent tells them.

The same processes measure all peers, so that none has a newer interpreter or a warmer allocator than another. Rules: a
process does nothing but answer its parent's orders, each with one reply; it ignores Ctrl-C, which is the parent's to handle;
when the parent is gone it ends. Limits: while an end waits for a message nothing ends that wait but the message; the parent
bounds it, and kills.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import parent_process
from typing import Any, Final

from ringbuffer.bench import payloads
from ringbuffer.bench.payloads import Payload
from ringbuffer.bench.peer import Peer, Reader, Setup, Writer

DONE: Final = "done"
FAULT: Final = "fault"
FAILED: Final = "failed"

WRITER_RANK: Final = -1
PAUSE_SECONDS: Final = 0.000_5
"""Between the moment when the last reader has a message, and the next message, where messages are paced."""
LOOK_SECONDS: Final = 0.000_05
SENT_PLACE: Final = 0
"""Where in the shared clock the writer notes when it sent; the readers' places follow."""


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch of messages: ``first`` is the number of the first one. ``every_byte``: check all of each message."""

    first: int
    count: int
    paced: bool = False
    every_byte: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """When a side began and ended a run, in nanoseconds, and for a reader of paced messages how long each was under way."""

    began: int
    ended: int
    latencies: tuple[int, ...] = ()


class Fault(Exception):
    """A reader got something that it should not have got."""


def serve(rank: int, orders: Connection, prepared: dict[str, Any], clock: Any) -> None:
    """Be the writer (rank -1) or a reader, until the parent says that it is over, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    side = _WriterSide(prepared, clock) if rank == WRITER_RANK else _ReaderSide(rank, prepared, clock)
    while True:
        try:
            order, *arguments = orders.recv()
        except EOFError:
            return
        try:
            reply = (DONE, getattr(side, order)(*arguments))
        except Fault as fault:
            reply = (FAULT, str(fault))
        except Exception as error:
            reply = (FAILED, f"{type(error).__name__}: {error}")
        orders.send(reply)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a worker is started by a parent"
    wait([parent.sentinel])
    os._exit(1)


class _Side:
    """What both sides have: the peer's end, and the payload that it carries."""

    def __init__(self, prepared: dict[str, Any], clock: Any) -> None:
        self._prepared = prepared
        self._clock = memoryview(clock).cast("B").cast("q")
        self._end: Any = None
        self._payload: Payload | None = None

    def settle(self) -> None:
        self._end.settle()

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.close()


class _WriterSide(_Side):
    _end: Writer
    _messages: list[Any]

    def open(self, peer: type[Peer], setup: Setup, ticket: Any) -> Any:
        if setup.payload != self._payload:
            self._payload = setup.payload
            payloads.compute_alone(setup.payload)
            self._messages = payloads.messages(setup.payload)
        self._end = peer.writer(setup, ticket, self._prepared.get(peer.name))
        return self._end.ticket

    def run(self, run: Run, readers: int) -> Times:
        """Send all messages."""
        assert self._payload is not None, "a run is of an opened channel"
        final = payloads.final_message(self._payload, run.first + run.count)
        start = run.first % self._payload.cycle
        order = islice(cycle(payloads.rotated(self._messages, start)), run.count - 1)
        if run.paced:
            return Times(self._pace([*order, final], readers), time.monotonic_ns())
        send = self._end.send
        began = time.monotonic_ns()
        for message in order:
            send(message)
        send(final)
        return Times(began, time.monotonic_ns())

    def _pace(self, order: list[Any], readers: int) -> int:
        clock, send = self._clock, self._end.send
        began = time.monotonic_ns()
        for number, message in enumerate(order, start=1):
            clock[SENT_PLACE] = time.monotonic_ns()
            send(message)
            while min(clock[1 : readers + 1]) < number:
                time.sleep(LOOK_SECONDS)
            time.sleep(PAUSE_SECONDS)
        return began


class _ReaderSide(_Side):
    _end: Reader

    def __init__(self, rank: int, prepared: dict[str, Any], clock: Any) -> None:
        super().__init__(prepared, clock)
        self._rank = rank
        self._checked = True
        self._expected: list[Any] = []
        self._kept_for: tuple[Payload, bool] | None = None
        self._order: list[tuple[list[Any], int]] = []

    def open(self, peer: type[Peer], setup: Setup, ticket: Any) -> None:
        payloads.compute_alone(setup.payload)
        self._end = peer.reader(setup, ticket, self._rank, self._prepared.get(peer.name))
        self._payload = setup.payload
        self._checked = peer.is_checked
        if self._kept_for != (setup.payload, self._end.lent):
            self._kept_for = (setup.payload, self._end.lent)
            self._expected = payloads.expected(setup.payload, every_byte=False, lent=self._end.lent)

    def arm(self, run: Run) -> None:
        """Prepare a run, so that nothing is left to be done but to receive."""
        assert self._payload is not None, "a run is of an opened channel"
        lent, total = self._end.lent, run.first + run.count
        wants = self._expected
        if run.every_byte:
            wants = payloads.expected(self._payload, every_byte=True, lent=lent)
        wants = payloads.rotated(wants, run.first % self._payload.cycle)
        final = payloads.expected_final(self._payload, total, every_byte=run.every_byte, lent=lent)
        self._order = [(wants, run.count - 1), ([final], 1)]
        self._clock[self._rank + 1] = 0

    def run(self, run: Run) -> Times:
        """Receive all messages, and check them."""
        began = time.monotonic_ns()
        latencies = self._pace(run) if run.paced else self._receive(run)
        ended = time.monotonic_ns()
        self._end.release()
        return Times(began, ended, tuple(latencies))

    def _receive(self, run: Run) -> list[int]:
        receive = self._end.receive
        if not self._checked:
            for _ in range(run.count):
                receive()
            return []
        for wants, count in self._order:
            for want in islice(cycle(wants), count):
                got = receive()
                if want != got:
                    raise self._fault(run, wants, want, got)
                del got  # where it is a view, it must be gone before the next is asked for
        return []

    def _pace(self, run: Run) -> list[int]:
        receive, clock, place = self._end.receive, self._clock, self._rank + 1
        now = time.monotonic_ns
        latencies: list[int] = []
        for wants, count in self._order:
            for want in islice(cycle(wants), count):
                got = receive()
                arrived = now()
                latencies.append(arrived - clock[SENT_PLACE])
                if want != got:
                    raise self._fault(run, wants, want, got)
                del got
                clock[place] = len(latencies)
        return latencies

    def _fault(self, run: Run, wants: list[Any], want: Any, got: Any) -> Fault:
        assert self._payload is not None, "a run is of an opened channel"
        if len(wants) == 1:
            due = f"the last of {run.first + run.count} messages"
            return Fault(f"reader {self._rank}: {payloads.describe(self._payload, None, got, due)}")
        number = (run.first + next(at for at, one in enumerate(wants) if one is want)) % self._payload.cycle
        return Fault(f"reader {self._rank}: {payloads.describe(self._payload, number, got, f'message {number} of the cycle')}")
