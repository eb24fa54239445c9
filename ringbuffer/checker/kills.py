"""Real processes that are killed, at every row in turn: what comes of it for those that live on, and for a successor.

A victim (``victim.py``) runs a real endpoint on a real segment, but row by row, and kills itself with SIGKILL before a given
step. The parent, which this module is about, has the other ends: it must be told of the death, must get what was published,
whole, in order and once, and a successor must go on just where the victim stopped; for every second killed reader, the writer
evicts it instead.

Rules: a victim is a fresh interpreter; every wait is bounded; nothing is left behind. Limits: one scenario for each side; a
process can be killed inside of a row only where a row is several machine instructions, which are those of copying or of a
system call.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

from ringbuffer.checker.processes import RunFailed
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import PeerDied
from ringbuffer.protocol import Role, executed
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.victim import BODY_BYTES, WAIT_SECONDS, message_of

READERS: Final = 2
MARKS: Final = {Role.WRITER: "W6", Role.READER: "R4"}
"""The row with which a message is published, or given back: killed before it, it is not, and behind it, it is."""


@dataclass(frozen=True, slots=True)
class Killing:
    """One victim. ``row``: the clause id of the row before which it was killed; ``step``: the number of that step.

    ``messages``: how many it had sent or received by then; ``report_seconds``: how long after the death the others were told.
    ``was_evicted``: for a reader, whether the writer went on without it; otherwise a successor took its role.
    """

    role: Role
    step: int
    row: str
    messages: int
    report_seconds: float
    was_evicted: bool = False


def kill_everywhere(
    role: Role, blocks: int, messages: int, on_killed: Callable[[Killing], None] = lambda _: None
) -> list[Killing]:
    """Kill a victim before its first step, another one before its second, and so on until one comes to its end.

    A victim sends or receives so many ``messages`` through so many ``blocks`` if it is not killed. Raises :class:`RunFailed`,
    naming the row, where anything is lost, torn, repeated, out of order, or not reported.
    """
    killings: list[Killing] = []
    while True:
        killing = kill(role, blocks, messages, len(killings))
        if killing is None:
            return killings
        killings.append(killing)
        on_killed(killing)


# ---- The parent --------------------------------------------------------------------------------------------------------


def kill(role: Role, blocks: int, messages: int, step: int) -> Killing | None:
    """One victim, killed before that step, and what must come of it; ``None`` if it came to its end before."""
    rank = -1 if role is Role.WRITER else 0
    with ShmRingBuffer(READERS, BODY_BYTES, blocks) as ring:
        ends = {other: ShmRingBufferIO(ring, other) for other in range(-1, READERS) if other != rank}
        run = _Run(role, step, ring, ends)
        with _victim(ring, rank, messages, step) as line:
            row = run.watch(line)
        return None if row is None else run.judge(row)


@contextlib.contextmanager
def _victim(ring: ShmRingBuffer, rank: int, messages: int, step: int) -> Iterator[Connection]:
    """A victim's process, a fresh interpreter, and the line to it."""
    line, far_end = multiprocessing.Pipe()
    code = f"from ringbuffer.victim import live; live({far_end.fileno()})"
    command = [sys.executable, "-P", "-c", code]
    worker = subprocess.Popen(command, pass_fds=[far_end.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        far_end.close()
        line.send((ring, rank, messages, step))
        yield line
        worker.wait(WAIT_SECONDS)
    finally:
        worker.kill()
        worker.wait()
        line.close()


class _Run:
    """The life and the death of one victim, as its parent sees it."""

    def __init__(self, role: Role, step: int, ring: ShmRingBuffer, ends: dict[int, ShmRingBufferIO]) -> None:
        self.role, self.step, self.ring, self.ends = role, step, ring, ends
        self.done = 0
        self.received: dict[int, list[int]] = {rank: [] for rank in range(READERS)}
        self.sent = 0

    def watch(self, line: Connection) -> str | None:
        """Let the victim live; the row before which it was killed, or ``None`` if it came to its end."""
        self._pretend_to_lie_down()
        while True:
            if not line.poll(WAIT_SECONDS):
                raise self._failed("the victim said nothing")
            try:
                event, said = line.recv()
            except EOFError:
                raise self._failed("the victim ended by itself") from None
            match event:
                case "sleeps":
                    self._move()
                    self._pretend_to_lie_down()
                    line.send("go")
                case "sent":
                    self.done += 1
                case "got":
                    self._note(0, said)
                    self.done += 1
                case "ended":
                    line.send("end")
                    return None
                case "killed":
                    assert isinstance(said, str), "the row"
                    return said

    def _move(self) -> None:
        """Do what the victim waits for: read all there is, or write one message."""
        if self.role is Role.WRITER:
            for rank in range(READERS):
                while len(self.received[rank]) < self.done:
                    self._note(rank, self.ends[rank].recv_bytes(WAIT_SECONDS))
        else:
            self._write()
            self._note(1, self.ends[1].recv_bytes(WAIT_SECONDS))

    def _write(self) -> None:
        self.ends[-1].send_bytes(message_of(self.sent), WAIT_SECONDS)
        self.sent += 1

    def _pretend_to_lie_down(self) -> None:
        """Store what the others store who are about to sleep (S1), so that the victim has somebody to wake."""
        for rank in self.ends:
            self.ring.segment.say_awake(rank, awake=False)

    def _note(self, rank: int, body: bytes) -> None:
        number = len(self.received[rank])
        if body != message_of(number):
            raise self._failed(f"reader {rank} got {body[:8].hex(' ')} … when message {number} was due")
        self.received[rank].append(number)

    def _failed(self, what: str, row: str = "") -> RunFailed:
        return RunFailed(f"{self.role.value} killed before step {self.step}{f' ({row})' if row else ''}: {what}")

    def judge(self, row: str) -> Killing:
        """What must be true after the death."""
        given = self.done + self._is_behind(row)
        if self.role is Role.WRITER:
            seconds = self._judge_writer(row, given)
            return Killing(self.role, self.step, row, self.done, seconds)
        evicts = self.step % 2 == 1
        seconds = self._judge_reader(row, given, evicts)
        return Killing(self.role, self.step, row, self.done, seconds, evicts)

    def _is_behind(self, row: str) -> bool:
        """Whether the message that the victim was busy with was given away: the row stands behind the one that does it."""
        writer, reader = self.ring.protocol.writer, self.ring.protocol.reader
        program = executed(writer if self.role is Role.WRITER else reader)
        return program.pc_of(MARKS[self.role]) < program.pc_of(row) and row[0] in "NK"

    def _judge_writer(self, row: str, published: int) -> float:
        """The readers drain what was published and are told; the successor goes on behind it."""
        slowest = 0.0
        for rank in range(READERS):
            while len(self.received[rank]) < published:
                self._note(rank, self.ends[rank].recv_bytes(WAIT_SECONDS))
            receive = partial(self.ends[rank].recv_bytes, WAIT_SECONDS)
            slowest = max(slowest, self._told(receive, -1, row))
        with ShmRingBufferIO(self.ring, -1) as successor:
            for number in range(published, published + self.ring.max_chunks + 1):
                successor.send_bytes(message_of(number), WAIT_SECONDS)
                for rank in range(READERS):
                    self._note(rank, self.ends[rank].recv_bytes(WAIT_SECONDS))
        return slowest

    def _judge_reader(self, row: str, marked: int, evicts: bool) -> float:
        """The writer is told as soon as it waits; then it goes on without that reader, or a successor reads the rest."""

        def send_and_read() -> None:
            for _ in range(2 * self.ring.max_chunks):
                self._write()
                self._note(1, self.ends[1].recv_bytes(WAIT_SECONDS))

        seconds = self._told(send_and_read, 0, row)
        if evicts:
            self.ends[-1].evict(0)
            send_and_read()
            return seconds
        self.received[0] = [*range(marked)]
        with ShmRingBufferIO(self.ring, 0) as successor:
            while len(self.received[0]) < self.sent:
                self._note(0, successor.recv_bytes(WAIT_SECONDS))
            for _ in range(self.ring.max_chunks + 1):
                self._write()
                for rank, end in ((0, successor), (1, self.ends[1])):
                    self._note(rank, end.recv_bytes(WAIT_SECONDS))
        return seconds

    def _told(self, call: Callable[[], object], rank: int, row: str) -> float:
        """How long it took until a call that waits for the dead ended in the error that names it."""
        started = time.monotonic()
        try:
            call()
        except PeerDied as error:
            if error.rank != rank or error.left:
                raise self._failed(f"the report names somebody else: {error}", row) from error
            return time.monotonic() - started
        raise self._failed("nobody was told of the death", row)
