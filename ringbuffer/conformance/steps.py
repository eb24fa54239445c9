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
from ringbuffer.conformance.adapter import BLOCK_BYTES, Factory, let_go
from ringbuffer.conformance.story import Violation, geometry
from ringbuffer.conformance.tracing import predicate_of
from ringbuffer.interleaving import Exhaustive, Pct, Random, Scenario, StepLimit, check_token, replay, search

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
DRAWN_SECONDS_MIN: Final = 5.0
"""The same where schedules are drawn, whose number is bounded."""
STEPS_MAX: Final = 20_000
"""Who is not at the end by then never will be."""
UNFAIR: Final = 4
"""Schedules that may starve somebody are given up so much earlier."""
OPCODES_PER_LINE: Final = 5
LINE, OPCODE = "line", "opcode"
OPCODE_RUNS: Final = 4
"""How many schedules S2 and S3 draw by opcodes for each that they draw by lines: there are more places where it matters."""
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
                returned = reader.read(None)
            else:
                while (returned := reader.try_read()) is None:
                    time.sleep(NAP_SECONDS)
            data = messages.bytes_of(returned, "read" if self.shape.mode == WAITS else "try_read")
            got = "nothing, waiting for ever" if data is None else messages.describe(data, self.sent)
            self.log.append((f"reader {rank}", f"reads {got}", f"has read {got}"))
            if data is None or data != body:
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
            data = messages.bytes_of(reader.try_read(), "try_read")
            if data is not None:
                what = messages.describe(data, self.sent)
                raise WrongDelivery(f"reader {rank} reads {what}, though it has read all that was written")

    def close(self) -> None:
        """Let go of the ring."""
        ring, self.ring = self.ring, None
        if ring is not None:
            let_go(ring, [self.writer, *self.readers])
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
        what = str(error) if isinstance(error, WrongDelivery | messages.NotBytes) else f"{type(error).__name__}: {error}"
        story = [*self.last.in_short(), "step by step:", run.story]
        ring = geometry(self.shape.readers, self.shape.blocks, BLOCK_BYTES)
        return Violation(what, ring, story, f"{self.shape}:{run.token}", is_told=True)


def parse(text: str) -> tuple[Shape, str]:
    """The shape of the ring and the schedule of a token. Raises :class:`ValueError` for what no run of this kit has told."""
    shape_text, _, token = text.partition(":")
    shapes = (Shape(*size, mode) for size in SHAPES for mode in (TRIES, WAITS))
    shape = next((one for one in shapes if str(one) == shape_text), None)
    if shape is None:
        raise ValueError(f"{text!r:.80} is no token of a step-level run")
    check_token(token, actors=1 + shape.readers, max_steps=STEPS_MAX * OPCODES_PER_LINE)
    return shape, token


def _again(context: Context) -> bool:
    """Replay, if that is asked. Whether it was."""
    if context.replayed is None:
        return False
    shape, token = parse(context.replayed)
    make = _Made(context.subject.factory, shape)
    run = replay(make, token)
    if run.error is not None:
        raise make.violation(run)
    missed = f", of which {run.missed} turns could not be taken: it was told of other code" if run.missed else ""
    context.tried.append(f"the schedule of the token{missed}")
    return True


class _Search:
    """One search of all shapes. ``starved``: how many schedules were given up without a verdict."""

    def __init__(self, context: Context, mode: str, seconds: float, granularity: str) -> None:
        self.context, self.mode, self.seconds, self.granularity = context, mode, seconds, granularity
        self.until = time.monotonic() + seconds
        self.runs = self.starved = 0
        self.complete: list[str] = []
        """The shapes that were searched to the end: all schedules, or all that were to be drawn."""

    def run(self, strategies: Callable[[int], Any]) -> None:
        """Search with what ``strategies`` gives for a seed. Raises :class:`Violation`."""
        for left, size in zip(range(len(SHAPES), 0, -1), SHAPES, strict=True):
            until = time.monotonic() + max(SHAPE_SECONDS_MIN, (self.until - time.monotonic()) / left)
            seed = self.context.seed
            while time.monotonic() < until and self._was_starved(Shape(*size, self.mode), strategies(seed), until):
                seed += 1
        self._tell(strategies(self.context.seed))

    def _tell(self, strategy: Any) -> None:
        """Say what was tried, and what time was too short for."""
        sizes = f"{', '.join(self.complete) or 'none'} (readers × blocks × messages)"
        done = f", all of them for {sizes}" if self.complete and isinstance(strategy, Exhaustive) else ""
        starved = f", {self.starved} of them given up" if self.starved else ""
        self.context.tried.append(f"{self.runs} schedules by {self.granularity}s, {strategy}{done}{starved}")
        if len(self.complete) < len(SHAPES):
            what = f"{type(strategy).__name__} by {self.granularity}s"
            self.context.cut_off.append(f"{what}: cut off by time after {self.seconds:.0f} s; complete for: {sizes}")

    def _was_starved(self, shape: Shape, strategy: Any, until: float) -> bool:
        """Search one shape. Whether it ended because a schedule starved somebody. Raises :class:`Violation`."""
        make = _Made(self.context.subject.factory, shape)
        report = search(
            make,
            strategy,
            granularity=self.granularity,
            max_steps=STEPS_MAX
            * (OPCODES_PER_LINE if self.granularity == OPCODE else 1)
            // (UNFAIR if isinstance(strategy, Pct) else 1),
            seconds=max(SHAPE_SECONDS_MIN if isinstance(strategy, Exhaustive) else DRAWN_SECONDS_MIN, until - time.monotonic()),
        )
        self.runs += report.runs
        if report.failure is None:
            if report.complete if isinstance(strategy, Exhaustive) else report.runs == strategy.runs:
                self.complete.append(f"{shape.readers}×{shape.blocks}×{shape.messages}")
            return False
        # Priorities are unfair: who tries again and again, and changes something each time, may keep all others from going on.
        if isinstance(report.failure.error, StepLimit) and isinstance(strategy, Pct):
            self.starved += 1
            return True
        self.context.tried.append(f"{self.runs} schedules by {self.granularity}s, the last of which fails")
        raise make.violation(report.failure)


def _exhaustively(_: int) -> Exhaustive:
    return Exhaustive(preemptions=PREEMPTIONS)


def _drawn(context: Context, mode: str, strategies: Callable[..., Any], seconds: float) -> None:
    """Search by lines for one half of the time, and by opcodes for the other; or by opcodes only, where that is asked.

    Who is interrupted within a line, between reading a number and writing it back, is seen by the second half alone.
    """
    granularities = (LINE, OPCODE) if context.granularity == LINE else (OPCODE,)
    for granularity in granularities:
        runs = context.effort.search_runs * (OPCODE_RUNS if granularity == OPCODE and mode == TRIES else 1)
        _Search(context, mode, seconds / len(granularities), granularity).run(partial(strategies, runs))


def exhaustive(context: Context) -> None:
    """S1."""
    if not _again(context):
        _Search(context, TRIES, context.effort.search_seconds, context.granularity).run(_exhaustively)


def pct(context: Context) -> None:
    """S2."""
    if not _again(context):
        _drawn(context, TRIES, partial(Pct, DEPTH), context.effort.search_seconds)


def random(context: Context) -> None:
    """S3."""
    if not _again(context):
        _drawn(context, TRIES, Random, context.effort.search_seconds)


def waiting(context: Context) -> None:
    """S4."""
    if _again(context):
        return
    share = context.effort.search_seconds / 3
    _Search(context, WAITS, share, context.granularity).run(_exhaustively)
    for strategies in (partial(Pct, DEPTH), Random):
        _drawn(context, WAITS, strategies, share)


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
        let_go(ring, [])
    context.tried.append(f"{examples} runs beside its model")
