"""How the claims about every number of readers and blocks are tried: by proof, and where a proof stays open, by exploration.

Rules: a claim holds when every obligation is discharged. An obligation that stays open refutes nothing, for the invariant may
be at fault; only a run does. So the explorer then looks for one in small rings, and a claim for which it finds none is
``unknown``, with the open obligations by name. Limits: those of the invariant, which was found for the shipped tables: an
edited protocol that is right may need another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from ringbuffer.checker.checks import ask, picture, what_broke
from ringbuffer.checker.claim import QUESTION_SIZES, Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Result
from ringbuffer.checker.mutants import single_edits, variant_of
from ringbuffer.proof import prove, refinement, validation, view_validation
from ringbuffer.proof.prove import DISCHARGED, Finding, Obligation, Semantics, Theory
from ringbuffer.proof.validation import OfStates
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE
from ringbuffer.protocol.properties import SAFETY

EVERY_SIZE: Final = "every number of readers, blocks and payload words, unbounded messages"
WALKED: Final = {"sc": ((1, 1, 3), (1, 2, 3), (2, 1, 2)), "ra": ((1, 1, 3), (1, 2, 2))}
"""The rings (readers, blocks, fills that may begin) in which a proof is checked against the explorer's states."""
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
    """Part by part: the obligations, and where some stay open, a search for a run that shows why."""
    theories = [Theory(scope.variant, part.semantics) for part in parts]  # all, so that what one refuses is refused at once
    attempt = _Attempt(claim, scope, on_advance)
    for part, theory in zip(parts, theories, strict=True):
        if attempt.leaves_open(part, theory, prefix=f"{part.memory}/" if len(parts) > 1 else ""):
            judged = (*SAFETY, "progress") if part.memory == "sc" else SAFETY
            run = _run_that_breaks(scope, part.memory, judged, on_advance)
            attempt.explored(part.memory, run)
            if run.result is not None:
                return attempt.refuted(run.result)
    return attempt.ended(parts)


class _Run(NamedTuple):
    """A search for a run that breaks the protocol: the result that has one, how many states were explored, and how far.

    ``unfinished``: the rings whose exploration met the bound on states, of which nothing is known.
    """

    result: Result | None
    states: int
    unfinished: tuple[tuple[int, int], ...]


def _run_that_breaks(scope: Scope, memory: str, judged: tuple[str, ...], on_advance: OnAdvance) -> _Run:
    states = 0
    unfinished: list[tuple[int, int]] = []
    for size in QUESTION_SIZES:
        result = ask(scope, *size, memory, on_advance, properties=judged)
        states += result.states
        if result.status == REFUTED:
            return _Run(result, states, tuple(unfinished))
        if result.status == UNKNOWN:
            unfinished.append(size)
    return _Run(None, states, tuple(unfinished))


class _Attempt:
    """A claim that is being tried: what was found so far, and the verdicts that can come of it."""

    def __init__(self, claim: Claim, scope: Scope, on_advance: OnAdvance) -> None:
        self.claim, self.scope, self.on_advance = claim, scope, on_advance
        self.started = time.perf_counter()
        self.findings: list[Finding] = []
        self.conjuncts: list[int] = []
        self.states = 0
        self.searches: list[str] = []

    def leaves_open(self, part: Part, theory: Theory, prefix: str) -> bool:
        """Put the obligations of one part to z3. Whether one of them is not discharged."""
        before = len(self.findings)
        self.conjuncts.append(len(part.semantics.invariant))
        prove.try_all(theory, part.which, self._told, prefix)
        return any(one.status != DISCHARGED for one in self.findings[before:])

    def _told(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.on_advance(f"{len(self.findings)} obligations, the last {finding.name}")

    def explored(self, memory: str, run: _Run) -> None:
        """Remember how far the search for a run has come."""
        self.states += run.states
        done = [size for size in QUESTION_SIZES if size not in run.unfinished]
        told = [f"{memory}: explored {_sizes(done)}, and nothing breaks there"] if done else []
        told += [f"{memory}: not done at {_sizes(run.unfinished)}, for want of --max-states"] if run.unfinished else []
        self.searches += told

    def refuted(self, result: Result) -> Verdict:
        """There is a run that breaks a property."""
        note = f"{what_broke(result)}; {self._open_ends()}"
        return self._verdict(REFUTED, note, counterexample=picture(result), token=result.token)

    def ended(self, parts: tuple[Part, ...]) -> Verdict:
        """There is none: the claim holds if nothing is open, and the encoder and the explorer agree."""
        if any(one.status != DISCHARGED for one in self.findings):
            return self._verdict(UNKNOWN, "; ".join((self._open_ends(), *self.searches)))
        slowest = max(self.findings, key=lambda one: one.seconds)
        faults, checked = _cross_checked(self.scope, parts, self.on_advance)
        note = f"all discharged; the slowest, {slowest.name}, in {slowest.seconds:.2f} s; {checked}"
        return self._verdict(UNKNOWN if faults else HOLDS, "; ".join((note, *faults)))

    def _verdict(self, status: str, note: str, **more: Any) -> Verdict:
        count = " and ".join(map(str, self.conjuncts))
        reach = EVERY_SIZE if status == HOLDS else "not proved for every size"
        bound = f"{reach}; {count} conjuncts, {len(self.findings)} obligations"
        found = {"bound": bound, "states": self.states or None, "note": note, "obligations": tuple(self.findings)}
        return self.claim.verdict(status, self.scope, self.started, **found, **more)

    def _open_ends(self) -> str:
        """The open obligations by name."""
        still_open = [one for one in self.findings if one.status != DISCHARGED]
        names = ", ".join(f"{one.name} ({one.status})" for one in still_open[:NAMED_MAX])
        more = f" and {len(still_open) - NAMED_MAX} more" if len(still_open) > NAMED_MAX else ""
        return f"{len(still_open)} of {len(self.findings)} obligations are not discharged: {names}{more}"


def _cross_checked(scope: Scope, parts: tuple[Part, ...], on_advance: OnAdvance) -> tuple[list[str], str]:
    """What speaks against the encoder or the statements, and what was done to find that."""
    if not scope.full:
        return _walked(scope, parts, on_advance)
    faults, edits, proved = [], single_edits(), 0
    for part in parts:
        for count, edit in enumerate(edits, start=1):
            on_advance(f"{part.memory}: {count} of {len(edits)} single edits, {proved} proved")
            if prove.is_proved(variant_of(edit), part.which, part.semantics):
                proved += 1
                faults += _safety_faults(replace(scope, variant=variant_of(edit)), part.memory, on_advance)
    count = len(edits) * len(parts)
    return faults, f"of {count} single edits {proved} are proved as well, and the explorer was asked about each of these"


def _safety_faults(scope: Scope, memory: str, on_advance: OnAdvance) -> list[str]:
    """Runs that break safety in a ring of an edited protocol that is proved: there must be none."""
    run = _run_that_breaks(scope, memory, SAFETY, on_advance)
    faults = [f"{scope.variant} is proved, and was not explored to the end at {_sizes(run.unfinished)}"]
    faults = faults if run.unfinished else []
    return faults if run.result is None else [*faults, f"{scope.variant} is proved, but {what_broke(run.result)}"]


def _sizes(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{readers}×{blocks}" for readers, blocks in sizes)


def _walked(scope: Scope, parts: tuple[Part, ...], on_advance: OnAdvance) -> tuple[list[str], str]:
    """The encoder next to the explorer, in small rings, with everything that is claimed of states and steps evaluated."""
    faults, told = [], []
    for part in parts:
        states: tuple[OfStates, ...] = (*part.semantics.invariant, *part.semantics.of_states, *refinement.MAPPING)
        steps = (*part.semantics.of_steps, *refinement.STEPS)
        compare = view_validation.compare if part.memory == "ra" else validation.compare
        count = 0
        for readers, blocks, fills in WALKED[part.memory]:
            on_advance(f"{part.memory}: the encoder next to the explorer, {readers}×{blocks}")
            walk = compare(scope.variant, readers, blocks, fills=fills, states=states, steps=steps)
            faults += [] if walk.fault is None else [walk.fault]
            count += walk.pairs
        sizes = _sizes((readers, blocks) for readers, blocks, _ in WALKED[part.memory])
        told.append(f"{count:,} states explored under {part.memory} ({sizes})")
    where = f"in {' and '.join(told)}, up to a bound on fills"
    agree = "the encoder agrees with the explorer, and all of it holds" if not faults else "they do not agree"
    return faults, f"{where}, {agree}"
