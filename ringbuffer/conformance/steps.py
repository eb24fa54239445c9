"""Step by step: the ends of a ring in one process, and a scheduler that switches between them inside of their calls.

The scheduler (``ringbuffer.interleaving``) runs the ring's own code as it is, and decides before each of its lines, or opcodes,
who goes on. Small rings and few messages come first, so that what is found is short. Rules: the verdict is that of the call
level, each message once, in order, whole, and that nobody waits for ever. Limits: those of the scheduler: Python only, a
sequentially consistent memory, bounds that are said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.conformance import messages
from ringbuffer.conformance.adapter import BLOCK_BYTES, Factory, close_all
from ringbuffer.conformance.story import Violation, geometry
from ringbuffer.conformance.tracing import predicate_of
from ringbuffer.interleaving import Exhaustive, Pct, Random, Scenario, StepLimit, replay, search

if TYPE_CHECKING:
    from ringbuffer.conformance.clauses import Context

PREEMPTIONS: Final = 2
DEPTH: Final = 3
NAP_SECONDS: Final = 0.000_01
"""Between two tries. The scheduler sees it, and takes it for waiting."""
SIZES: Final = (12, 4, 8)
"""Of the messages, in turn: a short one behind a long one, so that what is left of that would be seen."""
SHAPE_SECONDS_MIN: Final = 0.5
"""What each shape of ring gets at the least, whatever those before it have taken."""
DRAWN_SECONDS_MIN: Final = 10.0
"""The same where schedules are drawn, whose number is bounded."""
STEPS_MAX: Final = 20_000
"""Who is not at the end by then never will be."""
UNFAIR: Final = 4
"""Schedules that may starve somebody are given up so much earlier."""
OPCODES_PER_LINE: Final = 5
TRIES, WAITS = "try", "wait"


@dataclass(frozen=True)
class Shape:
    """What is run: ``messages`` through a ring, by calls that try or that wait."""

    readers: int
    blocks: int
    messages: int
    mode: str

    def __str__(self) -> str:
        return f"{self.readers},{self.blocks},{self.messages},{self.mode}"


SHAPES: Final = ((1, 1, 2), (1, 1, 3), (2, 1, 2), (1, 2, 4), (2, 2, 4))
"""Readers, blocks, messages: the smallest first."""


class WrongDelivery(Exception):
    """What a reader got is not what it was due: in one sentence."""


class Stage:
    """One run's ring, its ends, and what they do."""

    def __init__(self, factory: Factory, shape: Shape) -> None:
        self.shape = shape
        self.ring: Any = factory(shape.readers, shape.blocks, BLOCK_BYTES)
        if hasattr(self.ring, "sleep_in_python"):
            self.ring.sleep_in_python()
        self.log: list[tuple[str, str, str]] = []
        """Who has begun a message, or is done with it, in the order in which that was: who, how it began, how it ended."""
        self.writer: Any = self.ring.writer()
        self.readers: list[Any] = [self.ring.reader(rank) for rank in range(shape.readers)]
        self.sent = [
            (number, messages.body_of(number, SIZES[(number - 1) % len(SIZES)])) for number in range(1, shape.messages + 1)
        ]

    def scenario(self) -> Scenario:
        """The scenario of this run."""
        actors: dict[str, Callable[[], object]] = {"writer": self.write}
        for rank in range(self.shape.readers):
            actors[f"reader {rank}"] = lambda rank=rank: self.read(rank)  # type: ignore[misc]
        return Scenario(actors, self.check, close=self.close, is_code=predicate_of(self.ring))

    def write(self) -> None:
        """The writer's part."""
        for number, body in self.sent:
            name = messages.name(number)
            self.log.append(("writer", f"begins to write {name}", ""))
            if self.shape.mode == WAITS:
                if not self.writer.write(body, None):
                    raise WrongDelivery("write(data, None), which waits for ever, returned False")
            else:
                while not self.writer.try_write(body):
                    time.sleep(NAP_SECONDS)
            self.log.append(("writer", f"writes {name} ({messages.size(len(body))})", f"has written {name}"))

    def read(self, rank: int) -> None:
        """A reader's part."""
        reader = self.readers[rank]
        for number, body in self.sent:
            self.log.append((f"reader {rank}", "begins to read", ""))
            if self.shape.mode == WAITS:
                data = reader.read(None)
            else:
                while (data := reader.try_read()) is None:
                    time.sleep(NAP_SECONDS)
            got = "nothing, waiting for ever" if data is None else messages.describe(bytes(data), self.sent)
            self.log.append((f"reader {rank}", f"reads {got}", f"has read {got}"))
            if data is None or bytes(data) != body:
                raise WrongDelivery(
                    f"reader {rank} reads {got}, though {messages.name(number)} ({messages.size(len(body))}) is due"
                )

    def in_short(self) -> list[str]:
        """The run, message by message: what begins and ends without another in between is one line."""
        lines: list[str] = []
        open_: dict[str, int] = {}
        for at, (who, what, done) in enumerate(self.log):
            if not done:
                open_[who] = at
                lines.append(f"{who} {what}")
            elif open_.get(who) == at - 1:
                lines[-1] = f"{who} {what}"
            else:
                lines.append(f"{who} {done}")
        return [f"{number:3}. {line}" for number, line in enumerate(lines, 1)]

    def check(self) -> None:
        """At the end nothing is left."""
        for rank, reader in enumerate(self.readers):
            data = reader.try_read()
            if data is not None:
                what = messages.describe(bytes(data), self.sent)
                raise WrongDelivery(f"reader {rank} reads {what}, though it has read all that was written")

    def close(self) -> None:
        """Let go of the ring."""
        ring, self.ring = self.ring, None
        if ring is not None:
            close_all(ring, [self.writer, *self.readers])
            self.writer, self.readers = None, []


class _Made:
    """Makes the scenarios of a search. ``last``: the stage of the last run, which is the one that is told."""

    def __init__(self, factory: Factory, shape: Shape) -> None:
        self.factory, self.shape = factory, shape
        self.last: Stage | None = None

    def __call__(self) -> Scenario:
        self.last = Stage(self.factory, self.shape)
        return self.last.scenario()

    def violation(self, run: Any) -> Violation:
        """The error for a run that failed."""
        assert self.last is not None, "it was run"
        error = run.error
        what = str(error) if isinstance(error, WrongDelivery) else f"{type(error).__name__}: {error}"
        story = [*self.last.in_short(), "step by step:", run.story]
        ring = geometry(self.shape.readers, self.shape.blocks, BLOCK_BYTES)
        return Violation(what, ring, story, f"{self.shape}:{run.token}", is_told=True)


def _again(context: Context) -> bool:
    """Replay, if that is asked. Whether it was."""
    if context.replayed is None:
        return False
    shape_text, _, token = context.replayed.partition(":")
    parts = shape_text.split(",")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts[:3]) or parts[3] not in (TRIES, WAITS):
        raise ValueError(f"{context.replayed!r} is no token of a step-level run")
    shape = Shape(int(parts[0]), int(parts[1]), int(parts[2]), parts[3])
    make = _Made(context.subject.factory, shape)
    run = replay(make, token)
    if run.error is not None:
        raise make.violation(run)
    return True


class _Search:
    """One search of all shapes. ``cut``: how many schedules were given up without a verdict."""

    def __init__(self, context: Context, mode: str, seconds: float) -> None:
        self.context, self.mode = context, mode
        self.until = time.monotonic() + seconds
        self.runs = self.cut = 0
        self.complete: list[str] = []

    def run(self, strategies: Callable[[int], Any]) -> None:
        """Search with what ``strategies`` gives for a seed. Raises :class:`Violation`."""
        for left, size in zip(range(len(SHAPES), 0, -1), SHAPES, strict=True):
            until = time.monotonic() + max(SHAPE_SECONDS_MIN, (self.until - time.monotonic()) / left)
            seed = self.context.seed
            while time.monotonic() < until and self._was_cut(Shape(*size, self.mode), strategies(seed), until):
                seed += 1
        done = f", all of them for {', '.join(self.complete)} (readers × blocks × messages)" if self.complete else ""
        cut = f", {self.cut} of them given up" if self.cut else ""
        self.context.tried.append(f"{self.runs} schedules, {strategies(self.context.seed)}{done}{cut}")

    def _was_cut(self, shape: Shape, strategy: Any, until: float) -> bool:
        """Search one shape. Whether it ended because a schedule starved somebody. Raises :class:`Violation`."""
        make = _Made(self.context.subject.factory, shape)
        report = search(
            make,
            strategy,
            granularity=self.context.granularity,
            max_steps=STEPS_MAX
            * (OPCODES_PER_LINE if self.context.granularity == "opcode" else 1)
            // (UNFAIR if isinstance(strategy, Pct) else 1),
            seconds=max(SHAPE_SECONDS_MIN if isinstance(strategy, Exhaustive) else DRAWN_SECONDS_MIN, until - time.monotonic()),
        )
        self.runs += report.runs
        if report.complete and isinstance(strategy, Exhaustive):
            self.complete.append(f"{shape.readers}×{shape.blocks}×{shape.messages}")
        if report.failure is None:
            return False
        # Priorities are unfair: who tries again and again, and changes something each time, may keep all others from going on.
        if isinstance(report.failure.error, StepLimit) and isinstance(strategy, Pct):
            self.cut += 1
            return True
        self.context.tried.append(f"{self.runs} schedules, the last of which fails")
        raise make.violation(report.failure)


def _exhaustively(_: int) -> Exhaustive:
    return Exhaustive(preemptions=PREEMPTIONS)


def exhaustive(context: Context) -> None:
    """S1."""
    if not _again(context):
        _Search(context, TRIES, context.effort.search_seconds).run(_exhaustively)


def pct(context: Context) -> None:
    """S2."""
    if not _again(context):
        _Search(context, TRIES, context.effort.search_seconds).run(partial(Pct, DEPTH, context.effort.search_runs))


def random(context: Context) -> None:
    """S3."""
    if not _again(context):
        _Search(context, TRIES, context.effort.search_seconds).run(partial(Random, context.effort.search_runs))


def waiting(context: Context) -> None:
    """S4."""
    if _again(context):
        return
    runs = context.effort.search_runs
    for strategies in (_exhaustively, partial(Pct, DEPTH, runs), partial(Random, runs)):
        _Search(context, WAITS, context.effort.search_seconds / 3).run(strategies)


def lockstep(context: Context) -> None:
    """S5."""
    examples = context.effort.lockstep
    ring: Any = context.subject.factory(1, 1, BLOCK_BYTES)
    try:
        ring.lockstep(examples)
    except AssertionError as error:
        what, *story = str(error).splitlines()
        raise Violation(what, "a ring of its own choice", ["\n".join(story)], is_told=True) from None
    finally:
        close_all(ring, [])
    context.tried.append(f"{examples} runs beside its model")
