"""The clauses: what is tested, in four tiers, each with an id that stays.

Rules: a clause says in one sentence what must hold, names the features that it needs, and raises :class:`Violation` where it
does not hold; what it has tried it says in its context. The table in chapter 20 of the specification is printed from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ringbuffer.conformance import adapter, calls, crashes, processes, steps
from ringbuffer.conformance.adapter import CLOSE, EXCEPTIONS, PROCESSES, REPORTS, STEPS, TIMEOUTS, Feature, Subject
from ringbuffer.conformance.calls import DELIVERY, EMPTY, FULL, ROOM, Sampling, Search
from ringbuffer.conformance.effort import Effort
from ringbuffer.conformance.shorten import shortened
from ringbuffer.conformance.story import Violation

CALL, STEP, PROCESS, CRASH = "call", "step", "process", "crash"
TIERS: Final = {
    CALL: "call by call, in one process, against the oracle",
    STEP: "step by step, in one process, under a scheduler",
    PROCESS: "in real processes",
    CRASH: "in real processes, one of which is killed",
}


@dataclass
class Context:
    """What a clause is given. ``tried``: what it says that it has tried; ``cut_off``: what time was too short for;
    ``replayed``: a token to run again, and nothing else; ``story``: what goes on now, for one that hangs."""

    subject: Subject
    effort: Effort
    seed: int
    granularity: str = "line"
    replayed: str | None = None
    tried: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    story: Callable[[], list[str]] | None = None


@dataclass(frozen=True)
class Clause:
    """One thing that is tested. ``needs``: features without which it is skipped; ``replays``: whether its failures have
    tokens."""

    id: str
    tier: str
    slug: str
    statement: str
    run: Callable[[Context], None]
    needs: tuple[Feature, ...] = ()
    replays: bool = False

    def check_token(self, token: str) -> None:
        """Raises :class:`ValueError` for what is no replay token of this clause."""
        (calls if self.tier == CALL else steps).parse(token)


def _sampled(sampling: Sampling, context: Context) -> None:
    """A call-level clause."""
    if context.replayed is not None:
        calls.replay(context.subject.factory, context.replayed, sampling.judged)
        return
    search = Search(context.subject.factory, sampling)
    context.story = lambda: [] if search.last is None else list(search.last.story)
    try:
        search.run(context.effort.examples, context.effort.calls, context.seed)
    finally:
        context.tried.append(f"{search.runs} runs of up to {context.effort.calls} calls, drawn")


def _sizes(sampling: Sampling, context: Context) -> None:
    """Every size once, and then drawn ones."""
    if context.replayed is None:
        factory, ring = context.subject.factory, (1, 2, adapter.BLOCK_BYTES)
        operations = calls.every_size(adapter.BLOCK_BYTES)
        try:
            calls.play(factory, ring, operations, sampling.judged)
        except Violation as violation:
            raise shortened(factory, violation, ring, operations[: violation.calls], sampling) from None
        context.tried.append(f"each size from 0 to {adapter.BLOCK_BYTES} bytes")
    _sampled(sampling, context)


def _laps(context: Context) -> None:
    """Rings are run round and round."""
    factory, rounds = context.subject.factory, context.effort.laps
    if context.replayed is not None:
        calls.replay(factory, context.replayed, calls.ALL)
        return
    for readers, blocks in ((1, 1), (2, 2), (1, 3)):
        calls.play(factory, (readers, blocks, adapter.BLOCK_BYTES), calls.laps(readers, blocks, rounds))
    context.tried.append(f"{rounds} laps of 3 rings")


def _call(id: str, slug: str, statement: str, sampling: Sampling, *needs: Feature) -> Clause:
    return Clause(id, CALL, slug, statement, partial(_sampled, sampling), needs, replays=True)


CALL_CLAUSES: Final = (
    _call(
        "C1",
        "order",
        "each reader gets each message once, in the order in which they were written, whole",
        Sampling("wr", frozenset({DELIVERY})),
    ),
    _call("C2", "room", "a write finds room while no reader is K messages behind", Sampling("wr", frozenset({ROOM}))),
    _call("C3", "full", "a write finds no room while a reader is K messages behind", Sampling("wr", frozenset({FULL}))),
    _call("C4", "empty", "a reader that has read all finds nothing", Sampling("wr", frozenset({EMPTY}))),
    Clause(
        "C5",
        CALL,
        "sizes",
        "messages of every size, from no byte to a full block, arrive as they were sent",
        partial(_sizes, Sampling("wr", frozenset({DELIVERY}), size_min=0, size_max=adapter.BLOCK_BYTES)),
        replays=True,
    ),
    Clause("C6", CALL, "laps", "C1 to C4 hold lap after lap, beyond what a byte can count", _laps, replays=True),
    _call(
        "C7",
        "aborted-write",
        "a write whose body raises publishes nothing, and the next one goes on as if it had not been",
        Sampling("wra", needs="a"),
        EXCEPTIONS,
    ),
    _call(
        "C8",
        "aborted-read",
        "a message comes again to a reader whose body has raised",
        Sampling("wrb", needs="b"),
        EXCEPTIONS,
    ),
    _call(
        "C9",
        "time-outs",
        "a wait that ends by its time-out changes nothing, and one that need not wait does not fail",
        Sampling("wrWR", needs="WR"),
        TIMEOUTS,
    ),
    Clause(
        "C10",
        CALL,
        "close",
        "what was written before the writer's end was closed arrives; closing ends without an error",
        processes.closing,
        (CLOSE,),
    ),
)

STEP_CLAUSES: Final = (
    Clause(
        "S1",
        STEP,
        "exhaustive",
        "C1 holds in every schedule of a few messages with at most two preemptions",
        steps.exhaustive,
        replays=True,
    ),
    Clause("S2", STEP, "pct", "C1 holds in schedules with few ordering points, drawn (PCT)", steps.pct, replays=True),
    Clause("S3", STEP, "random", "C1 holds in schedules drawn step by step", steps.random, replays=True),
    Clause(
        "S4",
        STEP,
        "waiting",
        "S1 to S3 hold for the calls that wait, and nobody waits for ever",
        steps.waiting,
        (TIMEOUTS,),
        replays=True,
    ),
    Clause("S5", STEP, "lockstep", "the ring takes the steps of its own model", steps.lockstep, (STEPS,)),
)

PROCESS_CLAUSES: Final = (
    Clause(
        "P1",
        PROCESS,
        "stream",
        "C1 holds for readers in processes of their own, with messages of all sizes",
        processes.stream,
        (PROCESSES,),
    ),
    Clause(
        "P2",
        PROCESS,
        "lagging",
        "exactly K messages fit while a reader's process does not read, and all arrive",
        processes.lagging,
        (PROCESSES,),
    ),
    Clause("P3", PROCESS, "writer", "C1 holds for a writer in a process of its own", processes.writer, (PROCESSES,)),
)

CRASH_CLAUSES: Final = (
    Clause(
        "X1",
        CRASH,
        "reader-between",
        "when a reader is killed between two calls, the others get all messages that fit",
        crashes.reader_between,
        (PROCESSES,),
    ),
    Clause(
        "X2",
        CRASH,
        "writer-between",
        "when the writer is killed between two calls, each reader gets what was written, and no more",
        crashes.writer_between,
        (PROCESSES,),
    ),
    Clause(
        "X3",
        CRASH,
        "reader-inside",
        "when a reader is killed inside of a call, the others get all messages that fit",
        crashes.reader_inside,
        (PROCESSES,),
    ),
    Clause(
        "X4",
        CRASH,
        "writer-inside",
        "when the writer is killed inside of a call, that message arrives whole or not at all",
        crashes.writer_inside,
        (PROCESSES,),
    ),
    Clause(
        "X5",
        CRASH,
        "reported",
        "who waits for a process that was killed is told",
        crashes.reported,
        (PROCESSES, TIMEOUTS, REPORTS),
    ),
)

CLAUSES: Final = {clause.id: clause for clause in (*CALL_CLAUSES, *STEP_CLAUSES, *PROCESS_CLAUSES, *CRASH_CLAUSES)}


def table() -> str:
    """All clauses, as a table of CommonMark."""
    lines = ["| clause | tier | what must hold | needs |", "| --- | --- | --- | --- |"]
    for clause in CLAUSES.values():
        needs = ", ".join(feature.name for feature in clause.needs)
        lines.append(f"| `{clause.id}` {clause.slug} | {clause.tier} | {clause.statement} | {needs} |")
    return "\n".join(lines)


__all__ = ["CLAUSES", "TIERS", "Clause", "Context", "Violation", "table"]
