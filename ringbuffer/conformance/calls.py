"""Call by call: a ring against the oracle, all ends in one process and no call inside another.

A :class:`CallRun` makes calls on a ring and judges each by what it returns; what to call is drawn by Hypothesis, and what it
has found is made short (``shorten.py``). Rules: a run is a list of operations, and the same list makes the same run; the oracle
is the project's own (``protocol/oracle.py``), which knows nothing of flags. A run judges only what its clause is about, and
goes on behind what it is not. Limits: a sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ringbuffer.conformance import messages
from ringbuffer.conformance.adapter import BLOCK_BYTES, Factory, let_go
from ringbuffer.conformance.story import Found, Violation, geometry
from ringbuffer.protocol import oracle

READERS_MAX: Final = 3
BLOCKS_MAX: Final = 4
SIZE_MIN: Final = messages.TAG_BYTES
SIZE_MAX: Final = 3 * messages.TAG_BYTES
"""Of messages whose size does not matter."""
TIMEOUT_SECONDS: Final = 0.001
"""What a wait is given that cannot succeed. How long it takes is not judged."""

CALLS_MAX: Final = 100_000
"""A token with more is none of this kit's."""

DELIVERY, ROOM, FULL, EMPTY = "delivery", "room", "full", "empty"
"""What a run can judge: what readers get; that a write finds the room there is; no more; that nothing comes of nothing."""
ALL: Final = frozenset({DELIVERY, ROOM, FULL, EMPTY})


@dataclass(frozen=True)
class Operation:
    """One call. ``kind``: a letter of :data:`KINDS`; ``number``: the size of what is written, or the rank of who reads."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}{self.number}"


KINDS: Final = {
    "w": "write",
    "r": "read",
    "a": "write that is aborted",
    "b": "read that is aborted",
    "W": "write with a time-out",
    "R": "read with a time-out",
    "c": "close the writer's end",
}
WRITES: Final = frozenset("wWa")


class CallRun:
    """A ring, its ends, the oracle, and the story so far."""

    def __init__(self, factory: Factory, readers: int, blocks: int, block_bytes: int, judged: frozenset[str] = ALL) -> None:
        self.readers, self.blocks, self.block_bytes, self.judged = readers, blocks, block_bytes, judged
        self.operations: list[Operation] = []
        self.story: list[str] = []
        self.sent: dict[int, bytes] = {}
        self.owed = oracle.nothing_owed(readers)
        self.is_over = False
        self._next = 1
        self.ring: Any = factory(readers, blocks, block_bytes)
        self.writer: Any = self.ring.writer()
        self.ends: list[Any] = [self.ring.reader(rank) for rank in range(readers)]

    def close(self) -> None:
        """Let go of the ring."""
        let_go(self.ring, [self.writer, *self.ends])
        self.writer, self.ends = None, []

    @property
    def token(self) -> str:
        """What :func:`replay` makes this run of."""
        size = f"{self.readers},{self.blocks},{self.block_bytes}"
        return f"{size}:{''.join(map(str, self.operations))}"

    def do(self, operation: Operation) -> None:
        """Make one call, and judge it. Raises :class:`Violation`."""
        self.operations.append(operation)
        if operation.kind in WRITES:
            self._write(operation)
        elif operation.kind == "c":
            self.story.append("the writer closes its end")
            self._call("close", lambda: self.writer.close())
        else:
            self._read(operation)

    def _room(self) -> int:
        return self.blocks - max(len(queue) for queue in self.owed)

    def _write(self, operation: Operation) -> None:
        number, body = self._next, messages.body_of(self._next, operation.number)
        words = f"{messages.name(number)} ({messages.size(len(body))})"
        writer = self.writer
        if operation.kind == "a":
            self.story.append(f"writer begins to write {words}, and gives it up")
            done = self._call("abort_write", lambda: writer.abort_write(body))
        elif operation.kind == "W":
            self.story.append(f"writer writes {words}, waiting if it must")
            done = self._call("write", lambda: writer.write(body, TIMEOUT_SECONDS))
        else:
            self.story.append(f"writer writes {words}")
            done = self._call("try_write", lambda: writer.try_write(body))
        if done is not True and done is not False:
            self._broken(f"the writer's call returned {done!r}, which is neither True nor False")
        self._judge_room(done)
        if done and operation.kind != "a":
            self.sent[number] = body
            self.owed = oracle.accepted(self.owed, number)
        if done:
            self._next += 1

    def _judge_room(self, done: bool) -> None:
        room = self._room()
        if not done:
            self.story[-1] += ": there is no room"
        if done and room <= 0 and FULL in self.judged:
            rank = max(range(self.readers), key=lambda one: len(self.owed[one]))
            unread = ", ".join(map(messages.name, self.owed[rank]))
            self._broken(f"the writer found room, though reader {rank} has not read {unread}")
        if not done and room > 0 and ROOM in self.judged:
            self._broken(f"the writer found no room, though there is room for {room} more")

    def _read(self, operation: Operation) -> None:
        rank = operation.number
        reader = self.ends[rank]
        if operation.kind == "b":
            method, story = "abort_read", f"reader {rank} begins to read, and gives it up"
            returned = self._call(method, lambda: reader.abort_read(), story)
        elif operation.kind == "R":
            method, story = "read", f"reader {rank} reads, waiting if it must"
            returned = self._call(method, lambda: reader.read(TIMEOUT_SECONDS), story)
        else:
            method = "try_read"
            returned = self._call(method, lambda: reader.try_read(), f"reader {rank} reads")
        try:
            data = messages.bytes_of(returned, method)
        except messages.NotBytes as error:
            self._broken(f"reader {rank}: {error}")
        due = self.owed[rank][0] if self.owed[rank] else None
        verb = "reads" if operation.kind != "b" else "begins to read, and gives up,"
        if data is None:
            self.story[-1] = f"reader {rank} {verb} nothing"
            if due is not None:
                self._misdelivered(f"reader {rank} reads nothing, though {messages.name(due)} is due")
            return
        what = messages.describe(data, self.sent.items())
        self.story[-1] = f"reader {rank} {verb} {what}"
        self._judge(rank, data, due, what, keeps=operation.kind == "b")

    def _judge(self, rank: int, data: bytes, due: int | None, what: str, *, keeps: bool) -> None:
        """Ask the oracle what to think of ``data``. ``keeps``: the reader has given it up, and is owed it still."""
        got = f"reader {rank} reads {what}"
        if due is None:
            self._misdelivered(f"{got}, though it has read all that was written", also=EMPTY)
            return
        if data == self.sent[due]:
            words = [due]
        else:
            words = [number for number, body in self.sent.items() if body == data][-1:] or [*messages.words_of(data)[:1], -1]
        left, fault = oracle.delivered(self.owed, rank, words if len(words) == 1 else [words[0], -1])
        if not keeps:
            self.owed = left
        if fault is not None:
            said = "though it had that before, and" if fault == "stale" else "though"
            self._misdelivered(f"{got}, {said} {messages.name(due)} ({messages.size(len(self.sent[due]))}) is due")

    def _misdelivered(self, what: str, also: str = DELIVERY) -> None:
        """A delivery is wrong. Where that is not judged, the run is over: what would follow comes of it."""
        self.is_over = True
        if self.judged & {DELIVERY, also}:
            self._broken(what)

    def _call(self, method: str, call: Any, story: str | None = None) -> Any:
        if story is not None:
            self.story.append(story)
        try:
            return call()
        except Exception as error:
            lines = f"{type(error).__name__}: {error}".splitlines()
            self.story[-1] += f": {method} raises {lines[0]}"
            self._broken(f"{method} raises {lines[0]}")

    def _broken(self, what: str) -> NoReturn:
        self.is_over = True
        raise Violation(
            what, geometry(self.readers, self.blocks, self.block_bytes), self.story, self.token, len(self.operations)
        )


def parse(token: str) -> tuple[tuple[int, int, int], list[Operation]]:
    """The ring and the operations of a token. Raises ``ValueError``."""
    match = re.fullmatch(r"(\d{1,4}),(\d{1,4}),(\d{1,4}):((?:[a-zA-Z]\d{1,4})*)", token, re.ASCII)
    if match is None:
        raise ValueError(f"{token!r} is no token of a call-level run")
    operations = [Operation(kind, int(number)) for kind, number in re.findall(r"([a-zA-Z])(\d+)", match[4])]
    size = (int(match[1]), int(match[2]), int(match[3]))
    known = all(one.kind in KINDS and one.number < (size[2] + 1 if one.kind in WRITES else size[0]) for one in operations)
    fits = all(0 < one <= most for one, most in zip(size, (READERS_MAX, BLOCKS_MAX, BLOCK_BYTES), strict=True))
    if not known or not fits or len(operations) > CALLS_MAX:
        raise ValueError(f"{token!r} is no token of a call-level run")
    return size, operations


def replay(factory: Factory, token: str, judged: frozenset[str]) -> CallRun:
    """Run a token again. Raises :class:`Violation` as the run did, and ``ValueError`` for what is no token."""
    size, operations = parse(token)
    return play(factory, size, operations, judged)


def play(
    factory: Factory, size: tuple[int, int, int], operations: Iterable[Operation], judged: frozenset[str] = ALL
) -> CallRun:
    """Make those calls. Raises :class:`Violation`."""
    run = CallRun(factory, *size, judged)
    try:
        for operation in operations:
            if not run.is_over:
                run.do(operation)
    finally:
        run.close()
    return run


@dataclass(frozen=True)
class Sampling:
    """What to draw: ``kinds`` of operations; of which ``needs`` are those that the clause is about (empty: all).

    A violation that comes without those, too, is another clause's, and is not counted. ``judged``: what is judged; ``size_min``
    and ``size_max``: of messages.
    """

    kinds: str
    judged: frozenset[str] = ALL
    needs: str = ""
    size_min: int = SIZE_MIN
    size_max: int = SIZE_MAX


def matters(factory: Factory, size: tuple[int, int, int], operations: Sequence[Operation], sampling: Sampling) -> bool:
    """Whether a run that breaks breaks because of what the clause is about: without that, it does not."""
    if not sampling.needs:
        return True
    if not any(one.kind in sampling.needs for one in operations):
        return False
    for plain in ({"W": "w", "R": "r"}, {"W": "w", "R": "r", "b": "r"}):
        without = [
            Operation(plain.get(one.kind, one.kind), one.number)
            for one in operations
            if one.kind in plain or one.kind not in sampling.needs
        ]
        try:
            play(factory, size, without, sampling.judged)
        except Violation:
            return False
    return True


@dataclass
class Search:
    """One search by Hypothesis. ``last``: the run that goes on now; ``found``: the last run that broke the clause."""

    factory: Factory
    sampling: Sampling
    last: CallRun | None = None
    found: Violation | None = None
    runs: int = field(default=0)

    def run(self, examples: int, steps: int, seed: int) -> None:
        """Search. Raises :class:`Violation` with the shortest run that was found."""
        chosen = settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            phases=[Phase.generate],  # made short by shorten.py
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(with_seed(seed)(self._machine()), settings=chosen)
        except Found:
            assert self.found is not None, "it was found"
            raise self._shortest(self.found) from None
        except Flaky:
            assert self.found is not None, "it was found once"
            what = f"{self.found.what} (in one run of two: the same calls did not do the same again)"
            assert self.last is not None, "it ran"
            raise Violation(what, self.found.ring, self.last.story, self.found.token) from None

    def _shortest(self, found: Violation) -> Violation:
        from ringbuffer.conformance.shorten import shortened

        assert found.token is not None, "a run has one"
        return shortened(self.factory, found, *parse(found.token), self.sampling)

    def _machine(self) -> type[RuleBasedStateMachine]:
        return _machine_of(self)


def _machine_of(search: Search) -> type[RuleBasedStateMachine]:
    """The state machine whose rules are the calls."""
    sampling = search.sampling
    ends = sorted({sampling.size_min, sampling.size_min + 1, sampling.size_max - 1, sampling.size_max})
    sizes = st.one_of(st.sampled_from(ends), st.integers(sampling.size_min, sampling.size_max))
    ranks = st.integers(0, READERS_MAX - 1)

    class CallMachine(RuleBasedStateMachine):
        run: CallRun | None = None

        @initialize(readers=st.integers(1, READERS_MAX), blocks=st.integers(1, BLOCKS_MAX))
        def make_ring(self, readers: int, blocks: int) -> None:
            self.run = search.last = CallRun(search.factory, readers, blocks, BLOCK_BYTES, sampling.judged)
            search.runs += 1

        @rule(size=sizes)
        def write(self, size: int) -> None:
            self._do("w", size)

        @rule(rank=ranks)
        def read(self, rank: int) -> None:
            self._do("r", rank)

        @precondition(lambda _: bool(set(sampling.kinds) - set("wr")))
        @rule(kind=st.sampled_from(sampling.kinds), size=sizes, rank=ranks)
        def other(self, kind: str, size: int, rank: int) -> None:
            self._do(kind, size if kind in WRITES else rank)

        def _do(self, kind: str, number: int) -> None:
            run = self.run
            if run is None or run.is_over:
                return
            if kind not in WRITES:
                number %= run.readers
            try:
                run.do(Operation(kind, number))
            except Violation as violation:
                if not matters(search.factory, (run.readers, run.blocks, run.block_bytes), run.operations, sampling):
                    return
                search.found = violation
                raise Found from None

        def teardown(self) -> None:
            if self.run is not None:
                self.run.close()

    CallMachine.__name__ = CallMachine.__qualname__ = "CallMachine"
    return CallMachine


def laps(readers: int, blocks: int, rounds: int) -> Sequence[Operation]:
    """The calls of ``rounds`` laps: the ring is filled, with one write too many, and emptied, with one read too many."""
    operations: list[Operation] = []
    for lap in range(rounds):
        operations += [Operation("w", SIZE_MIN + (lap + block) % SIZE_MAX) for block in range(blocks + 1)]
        operations += [Operation("r", rank) for rank in range(readers) for _ in range(blocks + 1)]
    return operations


def every_size(block_bytes: int) -> list[Operation]:
    """One message of each size up to ``block_bytes``, the largest first, each read at once by the one reader."""
    return [one for size in range(block_bytes, -1, -1) for one in (Operation("w", size), Operation("r", 0))]
