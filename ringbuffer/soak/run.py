"""A soak run: this process writes, replaces readers, and watches over all.

The writer pauses now and then, closes its end and attaches anew, too; what it writes next must begin just where its
predecessor stopped. It is told of killed readers while it waits for them, and only of these.

Rules: a run ends, however it ends, without leaving a process or a segment; a fault ends it soon; that nothing moves any more
is a fault, and all waits are told then. Limits: only readers are killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ringbuffer.checker.processes import RunFailed
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.endpoint.peers import resumes_at
from ringbuffer.errors import PeerDied, RingBufferError, WaitTimeoutError
from ringbuffer.memory.participants import Role
from ringbuffer.observe import observe
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.ranks import WRITER, name_of
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.soak.crew import Crew, Place
from ringbuffer.soak.reader import LOST, NEXT, REATTACHED, REORDERED, REPEATED, SLICE_SECONDS, TORN, Chances, Orders
from ringbuffer.soak.stream import Shape, Stream, send
from ringbuffer.verdict import verdict, wait_sentence

START_SECONDS: Final = 60.0
FAULTY_SECONDS: Final = 0.5
"""How long a run goes on after its first fault, so that it shows what comes of it."""
TEND_EVERY: Final = 64
TEND_SECONDS: Final = 0.005
CHANGES_MAX: Final = 2
"""While so many readers wait to be replaced, nothing is sent."""
NAP_SECONDS: Final = 0.002
PROGRESS_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. ``pause_every``, ``replace_every``: about so many messages lie between two such incidents (0: none)."""

    messages: int
    readers: int = 3
    blocks: int = 128
    chunk_bytes: int = 1024
    seed: int = 0
    pause_every: int = 2_000
    replace_every: int = 100_000
    kill: bool = True
    stall_seconds: float = 30.0
    protocol: Variant = PROTOCOL


@dataclass(frozen=True, slots=True)
class ReaderFindings:
    """What one rank's readers found. ``taken``: messages that were lost to killed readers, which had marked them as read."""

    rank: int
    received: int
    torn: int
    lost: int
    repeated: int
    reordered: int
    reattached: int
    replaced: int
    killed: int
    taken: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run showed. ``told``: how often the writer was told that a reader had been killed."""

    readers: tuple[ReaderFindings, ...]
    messages: int
    sent: int
    seconds: float
    writer_reattached: int
    told: int
    first_fault: str
    waits: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether every reader got every message once, in order, whole, but for those that the killed had taken."""
        return not self.first_fault and all(
            one.received + one.taken == self.messages and not (one.torn or one.lost or one.repeated or one.reordered)
            for one in self.readers
        )

    @property
    def rate(self) -> float:
        """Messages per second, each to all readers."""
        return self.sent / self.seconds


class _Over(Exception):
    """The run has a fault, and ends."""


Show = Callable[[int, float, Crew], None]
"""Called now and then with the number of messages sent, the seconds since the first, and the readers."""


def soak(plan: Plan, show: Show = lambda *_: None) -> Findings:
    """Carry the run out. Raises :class:`RunFailed` if it cannot begin."""
    shape = Shape(plan.seed, plan.chunk_bytes, plan.blocks)
    stream = Stream(shape)
    with ShmRingBuffer(plan.readers, plan.chunk_bytes, plan.blocks, protocol=plan.protocol) as ring:

        def orders(rank: int, generation: int) -> Orders:
            chance = f"{plan.seed} reader {rank} {generation}"
            return Orders(rank, ring, shape, plan.messages, plan.pause_every, chance)

        with Crew(ring, stream, orders, f"{plan.seed} crew") as crew:
            if not crew.start(START_SECONDS, with_spare=bool(plan.replace_every)):
                raise RunFailed("; ".join(crew.faults) or f"the readers were not there within {START_SECONDS:.0f} s")
            run = _Run(plan, stream, ring, crew, show)
            try:
                run.write_all()
            finally:
                crew.end()
                run.close()
            return run.findings()


@dataclass(slots=True)
class _Run:
    plan: Plan
    stream: Stream
    ring: ShmRingBuffer
    crew: Crew
    show: Show
    sent: int = 0
    writer_reattached: int = 0
    told: int = 0
    waits: tuple[str, ...] = ()
    seconds: float = 0.0
    _writer: ShmRingBufferIO = field(init=False)
    _other_ring: ShmRingBuffer | None = None
    _started: float = field(default_factory=time.perf_counter)
    _tended_at: float = 0.0
    _shown_at: float = 0.0
    _moved_at: float = 0.0
    _progress: int = -1
    _over_at: float = 0.0

    def __post_init__(self) -> None:
        self._writer = ShmRingBufferIO(self.ring, WRITER)
        self._shown_at = self._moved_at = time.monotonic()

    def close(self) -> None:
        """Close the writer's end, and the ring object that is not the run's own."""
        self._writer.close()
        if self._other_ring is not None:
            self._other_ring.close()

    def write_all(self) -> None:
        """Send all messages, and wait until all have read them, or for a fault."""
        self._started = time.perf_counter()
        try:
            self._send_all()
            while not self.crew.have_finished(self.plan.messages) or self.crew.changes:
                self._tend()
                time.sleep(NAP_SECONDS)
            self._tend()
        except _Over:
            pass
        except RingBufferError as error:
            self.crew.faults.append(f"the writer: {type(error).__name__}: {error}")
        self.seconds = time.perf_counter() - self._started

    def _send_all(self) -> None:
        plan, message, writer = self.plan, self.stream.message, self._writer
        incidents = Chances(f"{plan.seed} writer", plan.pause_every)
        changes = Chances(f"{plan.seed} changes", plan.replace_every)
        incident_at, change_at, look_at = incidents.next_after(0), changes.next_after(0), 0
        for number in range(plan.messages):
            if number >= look_at:
                if number >= change_at:
                    change_at = changes.next_after(number)
                    self._replace()
                if number >= incident_at:
                    incident_at = incidents.next_after(number)
                    self._have_incident(incidents)
                    writer = self._writer
                look_at = min(incident_at, change_at, number + TEND_EVERY)
                if time.monotonic() > self._tended_at + TEND_SECONDS:
                    self._tend()
            try:
                send(writer, message(number), SLICE_SECONDS)
            except (WaitTimeoutError, PeerDied) as error:
                self._send_on(number, error)
            self.sent = number + 1

    def _send_on(self, number: int, error: RingBufferError) -> None:
        """Send a message, or the rest of it, although a wait for its readers has ended in an error."""
        while True:
            self._hear(error)
            self._tend()
            try:
                if not (error.sent_bytes and self._writer.resume(SLICE_SECONDS)):
                    send(self._writer, self.stream.message(number), SLICE_SECONDS)
                return
            except (WaitTimeoutError, PeerDied) as again:
                error = again

    def _hear(self, error: RingBufferError) -> None:
        if not isinstance(error, PeerDied):
            return
        if error.left or not self.crew.may_be_dead(error.rank):
            self._fault(f"the writer was told of the death of a reader that lives: {error}")
        self.told += 1
        time.sleep(NAP_SECONDS)

    def _replace(self) -> None:
        """Let a reader be replaced; while too many are to be, nothing is sent."""
        self.crew.replace(is_kill=self.plan.kill and self.sent % 3 != 0)
        while self.crew.changes >= CHANGES_MAX:
            self._tend()
            time.sleep(NAP_SECONDS)

    def _have_incident(self, chances: Chances) -> None:
        what, seconds = chances.incident()
        if what == "pause":
            time.sleep(seconds)
            return
        self.close()
        ring = self.ring
        if what == "ring":
            ring = ShmRingBuffer(ring.n_reader, ring.max_chunk_bytes, ring.max_chunks, ring.name, protocol=ring.protocol)
            self._other_ring = ring
        time.sleep(seconds)
        self._check_place()
        self._writer = ShmRingBufferIO(ring, WRITER)
        self.writer_reattached += 1

    def _check_place(self) -> None:
        """A writer's successor goes on just behind the last message."""
        role = Role(self.ring.segment, WRITER)
        resumes, begins_at = resumes_at(self.ring, role), self.stream.begins_at(self.sent)
        role.release()
        if resumes != begins_at and not self.plan.protocol.edits:
            self._fault(
                f"the writer closed its end before message {self.sent}, which begins at block {begins_at} of the stream, and"
                f" its successor goes on at {resumes}"
            )

    def _fault(self, text: str) -> None:
        self.crew.faults.append(text)
        raise _Over

    def _tend(self) -> None:
        """Look after the readers, and whether anything moves. Raises :class:`_Over` some time after the first fault."""
        crew, now = self.crew, time.monotonic()
        crew.tend()
        self._tended_at = now
        if crew.faults:
            self._over_at = self._over_at or now + FAULTY_SECONDS
            if now >= self._over_at or crew.have_finished(self.plan.messages):
                raise _Over
        progress = crew.progress() + self.sent
        if progress != self._progress:
            self._progress, self._moved_at = progress, now
        elif now > self._moved_at + self.plan.stall_seconds and not self._over_at:
            self.waits = tuple(self._wait_sentences())
            self._fault(f"nothing has moved for {now - self._moved_at:.0f} s, with {self.sent} messages sent")
        if now > self._shown_at + PROGRESS_SECONDS:
            self._shown_at = now
            self.show(self.sent, time.perf_counter() - self._started, crew)

    def _wait_sentences(self) -> list[str]:
        """Who waits for whom, of all."""
        snapshot = observe(self.ring.name)
        said = [f"the ring: {verdict(snapshot)}"]
        for one in snapshot.participants:
            block = snapshot.block_of(one.rank).index
            if one.waiting_seconds is not None:
                said.append(wait_sentence(snapshot, one.rank, block, one.waiting_seconds))
            else:
                said.append(f"{name_of(one.rank)} (pid {one.pid}): {one.state}, at block {block}, does not wait")
        return said

    def findings(self) -> Findings:
        """What was found."""
        readers = tuple(_findings_of(rank, place) for rank, place in enumerate(self.crew.places))
        fault = self.crew.faults[0] if self.crew.faults else ""
        if not fault and any(one.received + one.taken != self.plan.messages for one in readers):
            fault = "the counts of the messages do not add up"
        return Findings(
            readers,
            self.plan.messages,
            self.sent,
            self.seconds,
            self.writer_reattached,
            self.told,
            fault,
            self.waits,
        )


def _findings_of(rank: int, place: Place) -> ReaderFindings:
    words = place.words
    lost, repeated = words[LOST], words[REPEATED]
    return ReaderFindings(
        rank,
        words[NEXT] - place.taken - lost + repeated,
        words[TORN],
        lost,
        repeated,
        words[REORDERED],
        words[REATTACHED],
        place.replaced,
        place.killed,
        place.taken,
    )
