"""How the claims about safety, progress, the original's policy and the real ring are tried.

Rules: a claim about several sizes is refuted by the first that is refuted, and unknown if any is left open; a check that asks
a different question when it has to says so in its bound. Limits: each check's own docstring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Advance, Result, explore
from ringbuffer.errors import MissingExtraError, VariantError
from ringbuffer.protocol import SCAN, Role
from ringbuffer.protocol.properties import LIVENESS, RACE, SAFETY, select
from ringbuffer.trace.text import render

SCAN_SIZE: Final = (2, 2)
LOCKSTEP_EXAMPLES: Final = 120
LOCKSTEP_STEPS: Final = 60
PROCESS_READERS: Final = 3
PROCESS_BLOCKS: Final = (2, 16)
PROCESS_MESSAGES: Final = 20_000
KILL_SIZE: Final = (1, 2)
KILL_FULL_SIZE: Final = (2, 4)
"""Blocks, and messages that a victim handles if it is not killed."""

GUARDS: Final = ("overwritten", "exclusion")
"""The properties that have to hold for payload words to be merged where liveness is judged."""

_CAPPED: Final = {
    "tso": "; store buffers of up to one lap's stores",
    "ra": "; nobody more than 3 stores ahead on one flag",
    "ra-relaxed": "; nobody more than 3 stores ahead on one location",
}
"""What a bound of the memory means for the verdict, where it was met."""


def ask(scope: Scope, readers: int, blocks: int, memory: str, on_advance: OnAdvance, **options: Any) -> Result:
    """One exploration for the scope's question."""

    def told(advance: Advance) -> None:
        rate = advance.visited / advance.seconds if advance.seconds else 0
        on_advance(
            f"{readers}×{blocks}: {advance.found:,} states, depth {advance.depth}, {rate:,.0f} states/s,"
            f" {advance.found - advance.visited:,} left so far"
        )

    question: dict[str, Any] = {
        "writers": scope.writers,
        "twins": scope.twins,
        "killed": scope.killed,
        "rank": scope.rank,
        "reductions": scope.reductions,
        "max_states": scope.max_states,
        "on_advance": told,
    }
    return explore(scope.variant, readers, blocks, scope.messages, memory, **{**question, **options})


def picture(result: Result) -> str | None:
    """The counterexample as text, if there is one."""
    return render(result.trace, cycle_start=result.cycle_start) if result.trace else None


def sizes_text(scope: Scope, sizes: Iterable[tuple[int, int]]) -> str:
    """The bound of a claim about several sizes."""
    shown = ", ".join(f"{readers}×{blocks}" for readers, blocks in sizes)
    return f"readers×blocks {shown}; messages {scope.messages or 'unbounded'}{scope.faults}"


def safety(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Explore each size on the claim's memory, judging what the claim is about."""
    judged = _judged(claim, scope)
    return _each_size(claim, scope, judged, lambda size: ask(scope, *size, claim.memory, on_advance, properties=judged))


def progress(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Explore each size, judging liveness. Where the guards hold, payload words are merged: so these are judged along."""
    judged = _judged(claim, scope)

    def answer(size: tuple[int, int]) -> Result:
        result = ask(scope, *size, claim.memory, on_advance, properties=(*GUARDS, *judged))
        if result.property not in GUARDS:
            return result
        return ask(scope, *size, claim.memory, on_advance, properties=judged)

    return _each_size(claim, scope, judged, answer)


def _judged(claim: Claim, scope: Scope) -> tuple[str, ...]:
    judged = tuple(name for name in claim.answers if name in scope.properties)
    if not judged:
        raise VariantError(f"the claim {claim.id} judges {', '.join(claim.answers)}, and none of these was asked about")
    return judged


def _each_size(claim: Claim, scope: Scope, judged: tuple[str, ...], answer: Callable[[tuple[int, int]], Result]) -> Verdict:
    """Try the sizes of the scope, up to the first that is refuted. What one size leaves open, another may refute."""
    started, states, left_open, capped = time.perf_counter(), 0, "", False
    sizes = scope.sizes(claim.memory, liveness=judged[-1] in LIVENESS)
    told = select((*judged, RACE)) if claim.memory == "ra" else judged
    only = "" if judged == claim.answers else f"; judged: {', '.join(told)} only"
    for count, size in enumerate(sizes, start=1):
        result = answer(size)
        states += result.states
        capped = capped or result.capped
        if result.status == REFUTED:
            bound = sizes_text(scope, sizes[:count]) + only
            return claim.verdict(
                REFUTED,
                scope,
                started,
                bound=bound,
                states=states,
                counterexample=picture(result),
                token=result.token,
                note=what_broke(result),
            )
        left_open = left_open or _open_end(result)
    bound = sizes_text(scope, sizes) + (_CAPPED[claim.memory] if capped else "") + only
    return claim.verdict(UNKNOWN if left_open else HOLDS, scope, started, bound=bound, states=states, note=left_open)


def what_broke(result: Result) -> str:
    """The property that a refuted result broke, whose, after how many steps, and in which ring."""
    whose = f" of {result.starved}" if result.starved else ""
    shorter = "" if result.shortest else "; a shorter run may exist (--reductions without local finds it)"
    size = f"{result.setup.readers}×{result.setup.blocks}"
    return f"{result.property}{whose}: broken after {len(result.trace)} steps, readers×blocks {size}{shorter}"


def _open_end(result: Result) -> str:
    """Why a size gives no answer; empty if it does."""
    size = f"{result.setup.readers}×{result.setup.blocks}"
    if result.status == UNKNOWN:
        return f"{result.states} states at {size}, and not done"
    return f"nothing was shown at {size}: never seen: {', '.join(result.vacuous)}" if result.vacuous else ""


def scan_reorders(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The scanning policy must be refuted for order, and hold for all the rest of safety and for progress."""
    started = time.perf_counter()
    scanning = scope.variant if scope.variant.policy == SCAN else scope.variant.replace(policy=SCAN)
    scope = replace(scope, variant=scanning)
    size = scope.size or SCAN_SIZE
    order = ask(scope, *size, "sc", on_advance, properties=("reordered",))
    others = tuple(name for name in (*SAFETY, "progress") if name not in ("reordered", "race"))
    rest = ask(scope, *size, "sc", on_advance, properties=others)
    delayed = ask(scope, *size, "sc", on_advance, properties=("starved",))
    right = order.status == REFUTED and rest.status == HOLDS and not rest.vacuous
    late = "; and a message can be put off for ever" if delayed.status == REFUTED else ""
    judged = f"{rest.property}: refuted" if rest.property else f"{', '.join(others)}: {rest.status}"
    status = HOLDS if right else UNKNOWN if UNKNOWN in (order.status, rest.status) else REFUTED
    shown = order if rest.status == HOLDS else rest
    return claim.verdict(
        status,
        scope,
        started,
        bound=sizes_text(scope, (size,)),
        states=order.states + rest.states + delayed.states,
        counterexample=picture(shown),
        token=shown.token,
        note=f"reordered: {order.status}; {judged}{late}",
    )


def steps_agree(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Hypothesis steps the model and a real segment together. The ring's size is drawn, whatever the scope says."""
    try:
        from ringbuffer.checker import lockstep
    except ModuleNotFoundError as error:
        raise MissingExtraError("the claim steps-agree", "check") from error
    started = time.perf_counter()
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


def processes(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Real processes: every reader checks every message. The ring's size is fixed, whatever the scope says."""
    from ringbuffer.checker.processes import RunFailed, run_processes

    started = time.perf_counter()
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


def killed_processes(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Real processes, killed before every step in turn: the two sides at the same time."""
    from ringbuffer.checker.kills import READERS, Killing, kill_everywhere
    from ringbuffer.checker.processes import RunFailed

    started = time.perf_counter()
    blocks, messages = KILL_FULL_SIZE if scope.full else KILL_SIZE
    killings: list[Killing] = []

    def note(killing: Killing) -> None:
        killings.append(killing)
        on_advance(f"{len(killings)} killed, {killing.role.value} before {killing.row}")

    size = f"{READERS} readers × {blocks} block{'s' if blocks > 1 else ''}"
    bound = f"{size}, before every step of {messages} messages"
    try:
        with ThreadPoolExecutor(len(Role)) as pool:
            for _ in pool.map(lambda role: kill_everywhere(role, blocks, messages, note), Role):
                pass
    except RunFailed as error:
        return claim.verdict(REFUTED, scope, started, bound=bound, states=None, note=str(error))
    rows = {(killing.role, killing.row) for killing in killings}
    slowest = max(killing.report_seconds for killing in killings)
    note_ = f"{len(killings)} killed, at {len(rows)} rows; told after {1000 * slowest:.0f} ms at the most"
    return claim.verdict(HOLDS, scope, started, bound=bound, states=None, note=note_)
