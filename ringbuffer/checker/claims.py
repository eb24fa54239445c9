"""The claims: every statement that the project makes about the protocol, with the check behind it.

A claim is a statement, a method, and a way to try it on any variant. Rules: nothing is asserted without its method; a sample
is called a sample, and what was measured is called measured; a claim whose *sometimes* partners were not seen does not hold.
Limits: ``explored`` speaks of the sizes in ``bound`` only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from ringbuffer.checker.explore import HOLDS, REFUTED, STATES_MAX, UNKNOWN, Advance, Result, explore
from ringbuffer.errors import MissingExtraError, VariantError
from ringbuffer.protocol import PROTOCOL, SCAN, Variant
from ringbuffer.protocol.properties import ALL, LIVENESS, SAFETY
from ringbuffer.trace.text import render

EXPLORED, SAMPLED, MEASURED = "explored", "sampled", "measured"

SIZES: Final[tuple[tuple[int, int], ...]] = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (2, 3), (3, 1), (3, 2))
"""Readers and blocks of the rings that ``ringbuffer check`` explores by default."""
QUESTION_SIZES: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Those that it explores when it is asked about an edited protocol: a broken one reaches far more states."""
SCAN_SIZE: Final = (2, 2)
LOCKSTEP_EXAMPLES: Final = 120
LOCKSTEP_STEPS: Final = 60
PROCESS_READERS: Final = 3
PROCESS_BLOCKS: Final = (2, 16)
PROCESS_MESSAGES: Final = 20_000

OnAdvance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a user asked about: a variant, and the ring's size where it is not the default."""

    variant: Variant = PROTOCOL
    size: tuple[int, int] | None = None
    """Readers and blocks, where the user named a size."""
    messages: int | None = None
    writers: int = 1
    max_states: int = STATES_MAX
    memory: str = "sc"
    properties: tuple[str, ...] = ALL
    arguments: str = ""
    """The variant and size options as typed, for the command of each claim."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The rings to explore: the one that was named, or the default ones for this question."""
        if self.size is not None:
            return (self.size,)
        return QUESTION_SIZES if self.variant.edits or self.writers != 1 else SIZES


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table of claims."""

    id: str
    statement: str
    method: str
    status: str
    bound: str
    states: int | None
    seconds: float
    command: str
    counterexample: str | None = None
    token: str | None = None
    note: str = ""

    def as_json(self) -> dict[str, object]:
        """The row as plain JSON values; ``counterexample``, ``token`` and ``note`` only where there is one."""
        row: dict[str, object] = {
            "id": self.id,
            "statement": self.statement,
            "method": self.method,
            "status": self.status,
            "bound": self.bound,
            "states": self.states,
            "seconds": round(self.seconds, 3),
            "command": self.command,
        }
        optional = {"counterexample": self.counterexample, "token": self.token, "note": self.note or None}
        return row | {key: value for key, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: its id, its statement, its method, and how it is tried."""

    id: str
    statement: str
    method: str
    check: Callable[[Scope, OnAdvance], Verdict]

    def verdict(self, status: str, scope: Scope, started: float, **more: Any) -> Verdict:
        """A row of the table for this claim."""
        command = " ".join(filter(None, ("ringbuffer check --claim", self.id, scope.arguments)))
        seconds = time.perf_counter() - started
        return Verdict(self.id, self.statement, self.method, status, seconds=seconds, command=command, **more)


def check_claims(scope: Scope, ids: Iterable[str], on_advance: Callable[[str, str], None]) -> Iterable[Verdict]:
    """Try the claims of these ids, one after the other. ``on_advance`` gets the claim's id and how far it is."""
    for claim in CLAIMS:
        if claim.id in ids:
            yield claim.check(scope, partial(on_advance, claim.id))


def _sizes_text(scope: Scope, sizes: Iterable[tuple[int, int]]) -> str:
    shown = ", ".join(f"{readers}×{blocks}" for readers, blocks in sizes)
    return f"readers×blocks {shown}; messages {scope.messages or 'unbounded'}"


def _explore_sizes(claim_id: str, properties: tuple[str, ...], scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Explore the sizes of the scope, up to the first that is refuted. What one size leaves open, another may refute."""
    claim, started, states, left_open = claim_of(claim_id), time.perf_counter(), 0, ""
    judged = tuple(name for name in properties if name in scope.properties)
    if not judged:
        raise VariantError(f"the claim {claim_id} judges {', '.join(properties)}, and none of these was asked about")
    only = "" if judged == properties else f"; judged: {', '.join(judged)} only"
    for count, (readers, blocks) in enumerate(scope.sizes, start=1):
        result = _explore(scope, readers, blocks, judged, on_advance)
        states += result.states
        if result.status == REFUTED:
            note = f"{result.property} at {readers}×{blocks}"
            note += f": {result.starved} gets nothing done" if result.starved else ""
            bound = _sizes_text(scope, scope.sizes[:count]) + only
            picture, token = _picture(result), result.token
            return claim.verdict(
                REFUTED, scope, started, bound=bound, states=states, counterexample=picture, token=token, note=note
            )
        if result.status == UNKNOWN:
            left_open = left_open or f"{result.states} states at {readers}×{blocks}, and not done"
        elif result.vacuous:
            left_open = left_open or f"nothing was shown at {readers}×{blocks}: never seen: {', '.join(result.vacuous)}"
    status, bound = UNKNOWN if left_open else HOLDS, _sizes_text(scope, scope.sizes) + only
    return claim.verdict(status, scope, started, bound=bound, states=states, note=left_open)


def _explore(scope: Scope, readers: int, blocks: int, properties: tuple[str, ...], on_advance: OnAdvance) -> Result:
    def told(advance: Advance) -> None:
        rate = advance.visited / advance.seconds if advance.seconds else 0
        on_advance(
            f"{readers}×{blocks}: {advance.found} states, depth {advance.depth}, {rate:,.0f} states/s,"
            f" {advance.found - advance.visited} waiting"
        )

    return explore(
        scope.variant,
        readers,
        blocks,
        scope.messages,
        scope.memory,
        properties=properties,
        writers=scope.writers,
        max_states=scope.max_states,
        on_advance=told,
    )


def _picture(result: Result) -> str | None:
    return render(result.trace, cycle_start=result.cycle_start) if result.trace else None


def _safety(scope: Scope, on_advance: OnAdvance) -> Verdict:
    return _explore_sizes("safety-sc", SAFETY, scope, on_advance)


def _progress(scope: Scope, on_advance: OnAdvance) -> Verdict:
    return _explore_sizes("progress-sc", LIVENESS, scope, on_advance)


def _scan_reorders(scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The scanning policy must be refuted for order, and hold for all the rest of safety and for progress."""
    claim, started = claim_of("scan-reorders"), time.perf_counter()
    scanning = scope.variant if scope.variant.policy == SCAN else scope.variant.replace(policy=SCAN)
    scope = replace(scope, variant=scanning)
    readers, blocks = scope.size or SCAN_SIZE
    order = _explore(scope, readers, blocks, ("reordered",), on_advance)
    others = tuple(name for name in (*SAFETY, "progress") if name != "reordered")
    rest = _explore(scope, readers, blocks, others, on_advance)
    delayed = _explore(scope, readers, blocks, ("starved",), on_advance)
    right = order.status == REFUTED and rest.status == HOLDS and not rest.vacuous
    late = "; and a message can be put off for ever" if delayed.status == REFUTED else ""
    judged = f"{rest.property}: refuted" if rest.property else f"{', '.join(others)}: {rest.status}"
    note = f"reordered: {order.status}; {judged}{late}"
    status = HOLDS if right else UNKNOWN if UNKNOWN in (order.status, rest.status) else REFUTED
    return claim.verdict(
        status,
        scope,
        started,
        bound=f"readers×blocks {readers}×{blocks}; messages {scope.messages or 'unbounded'}",
        states=order.states + rest.states + delayed.states,
        counterexample=_picture(order) if rest.status == HOLDS else _picture(rest),
        token=order.token if rest.status == HOLDS else rest.token,
        note=note,
    )


def _steps_agree(scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Hypothesis steps the model and a real segment together."""
    try:
        from ringbuffer.checker import lockstep
    except ModuleNotFoundError as error:
        raise MissingExtraError("the claim steps-agree", "check") from error
    claim, started = claim_of("steps-agree"), time.perf_counter()
    size = f"≤ {lockstep.READERS_MAX} readers × {lockstep.BLOCKS_MAX} blocks"
    bound = f"{LOCKSTEP_EXAMPLES} runs of up to {LOCKSTEP_STEPS} rules, {size}"
    on_advance(bound)
    try:
        lockstep.sample(scope.variant, writers=scope.writers, examples=LOCKSTEP_EXAMPLES, steps=LOCKSTEP_STEPS)
    except lockstep.Mismatch as error:
        head, _, story = str(error).partition("\n")
        story = story.rpartition("\n")[0]  # the last line is how to replay it, which the verdict says itself
        if isinstance(error, lockstep.PropertyBroken):
            head = f"both sides took the same steps, and they break a property: {head}"
        return claim.verdict(
            REFUTED, scope, started, bound=bound, states=None, counterexample=story, token=error.token, note=head
        )
    return claim.verdict(HOLDS, scope, started, bound=bound, states=None)


def _processes(scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Real processes: every reader checks every message."""
    from ringbuffer.checker.processes import RunFailed, run_processes

    claim, started = claim_of("processes"), time.perf_counter()
    bound = f"1 writer, {PROCESS_READERS} readers, {PROCESS_MESSAGES} messages through " + " and ".join(
        f"{blocks} blocks" for blocks in PROCESS_BLOCKS
    )
    rates = []
    for blocks in PROCESS_BLOCKS:
        on_advance(f"{PROCESS_MESSAGES} messages through {blocks} blocks")
        try:
            report = run_processes(PROCESS_READERS, blocks, PROCESS_MESSAGES, protocol=scope.variant)
        except RunFailed as error:
            return claim.verdict(REFUTED, scope, started, bound=bound, states=None, note=str(error))
        for reader in report.readers:
            if not reader.clean:
                note = f"reader {reader.rank}, {blocks} blocks: {reader.first_fault}"
                return claim.verdict(REFUTED, scope, started, bound=bound, states=None, note=note)
        rates.append(f"{report.rate:,.0f}/s with {blocks}")
    return claim.verdict(HOLDS, scope, started, bound=bound, states=None, note=f"messages: {', '.join(rates)} blocks")


CLAIMS: Final = (
    Claim(
        "safety-sc",
        "no reader gets a torn, stale, repeated, lost or reordered block; no unread block is overwritten",
        EXPLORED,
        _safety,
    ),
    Claim(
        "progress-sc", "nobody waits for ever while the others run, and every message arrives in the end", EXPLORED, _progress
    ),
    Claim(
        "scan-reorders",
        "the original scanning policy delivers out of order; it tears, loses and repeats nothing",
        EXPLORED,
        _scan_reorders,
    ),
    Claim("steps-agree", "the real endpoint and the simulator take the same steps", SAMPLED, _steps_agree),
    Claim("processes", "real processes get every message once, in order, whole", MEASURED, _processes),
)


def claim_of(claim_id: str) -> Claim:
    """The claim of that id. Raises ``KeyError`` for an unknown one."""
    return {claim.id: claim for claim in CLAIMS}[claim_id]
