"""How the claims about every number of readers and blocks are tried: by proof, and where a proof stays open, by exploration.

Rules: a claim holds when every obligation is discharged. An obligation that stays open refutes nothing, for the invariant may
be at fault; only a run does. So the explorer then looks for one in small rings, and a claim for which it finds none is
``unknown``, with the open obligations by name. Limits: those of the invariant, which was found for the shipped tables: an
edited protocol that is right may need another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from ringbuffer.checker.checks import ask, picture, sizes_text, what_broke
from ringbuffer.checker.claim import QUESTION_SIZES, Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN
from ringbuffer.proof import prove, refinement
from ringbuffer.proof.prove import DISCHARGED, Finding, Obligation, Semantics, Theory
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE
from ringbuffer.protocol.properties import LIVENESS, SAFETY

EVERY_SIZE: Final = "every number of readers, blocks and payload words, unbounded messages"
NAMED_MAX: Final = 8
"""How many open obligations a note names; the rest is counted. All of them are in the JSON."""


class Part(NamedTuple):
    """Obligations of one kind, under one memory."""

    memory: str
    semantics: Semantics
    which: Callable[[Theory], Iterable[Obligation]]


def _refining(theory: Theory) -> Iterator[Obligation]:
    """The mapping may lean on the invariant, so that is tried first."""
    yield from prove.inductive(theory)
    yield from refinement.obligations(theory)


SEQUENTIAL_SAFETY: Final = (Part("sc", prove.SEQUENTIAL, prove.obligations),)
WEAK_SAFETY: Final = (Part("ra", RELEASE_ACQUIRE, prove.obligations),)
REFINEMENT: Final = (Part("sc", prove.SEQUENTIAL, _refining), Part("ra", RELEASE_ACQUIRE, _refining))


def safety(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The invariant and what follows from it, under sequential consistency."""
    return _tried(claim, scope, on_advance, SEQUENTIAL_SAFETY)


def race_freedom(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The same under release/acquire, and that no payload access is a race."""
    return _tried(claim, scope, on_advance, WEAK_SAFETY)


def refines_queue(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The refinement mapping, under both memories."""
    return _tried(claim, scope, on_advance, REFINEMENT)


def _tried(claim: Claim, scope: Scope, on_advance: OnAdvance, parts: tuple[Part, ...]) -> Verdict:
    started = time.perf_counter()
    findings: list[Finding] = []

    def told(finding: Finding) -> None:
        findings.append(finding)
        on_advance(f"{len(findings)} obligations, the last {finding.name}")

    for part in parts:
        prove.prove(scope.variant, part.which, part.semantics, told, prefix=f"{part.memory}/" if len(parts) > 1 else "")
    still_open = [one for one in findings if one.status != DISCHARGED]
    conjuncts = " and ".join(str(len(part.semantics.invariant)) for part in parts)
    verdict = partial(
        claim.verdict,
        scope=scope,
        started=started,
        bound=f"{EVERY_SIZE}; {conjuncts} conjuncts, {len(findings)} obligations",
        obligations=tuple(findings),
    )
    if not still_open:
        slowest = max(findings, key=lambda one: one.seconds)
        return verdict(HOLDS, states=None, note=f"all discharged; the slowest, {slowest.name}, in {slowest.seconds:.2f} s")
    open_ends = _named(still_open, len(findings))
    states = 0
    for part in parts:
        for size in QUESTION_SIZES:
            judged = (*SAFETY, *LIVENESS[:1]) if part.memory == "sc" else SAFETY
            result = ask(scope, *size, part.memory, on_advance, properties=judged)
            states += result.states
            if result.status == REFUTED:
                note = f"{what_broke(result)}; {open_ends}"
                return verdict(REFUTED, states=states, counterexample=picture(result), token=result.token, note=note)
    note = f"{open_ends}; explored up to {sizes_text(scope, QUESTION_SIZES[-1:])}, and nothing breaks there"
    return verdict(UNKNOWN, states=states, note=note)


def _named(still_open: list[Finding], count: int) -> str:
    """The open obligations by name."""
    names = ", ".join(f"{one.name} ({one.status})" for one in still_open[:NAMED_MAX])
    more = f" and {len(still_open) - NAMED_MAX} more" if len(still_open) > NAMED_MAX else ""
    return f"{len(still_open)} of {count} obligations are not discharged: {names}{more}"
