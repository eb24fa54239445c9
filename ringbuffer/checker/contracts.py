"""How the claim about the pure functions is tried: every law of :mod:`ringbuffer.proof.contracts`, by CrossHair.

Rules: the claim holds if every law is confirmed over all paths, but for those that are listed as open, and none is refuted.
It says how many are open, and which tests try these. The laws are tried in other processes: CrossHair patches the interpreter
that it runs in, and nothing of that is left where the claim is made. Limits: those of the laws; an open law was only searched.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN
from ringbuffer.checker.parallel import JOBS_MAX, answers
from ringbuffer.errors import MissingExtraError
from ringbuffer.proof.prove import DISCHARGED
from ringbuffer.proof.prove import Finding as Obligation

if TYPE_CHECKING:
    from ringbuffer.proof.contracts.run import Finding, Question

BOUNDS: Final = (
    "layout: every geometry; programs: every choice of the shipped rows; entries: ≤ 3 readers;"
    " oracle: 2 readers, ≤ 3 messages each; frames: ≤ 8 bytes in ≤ 12, contents of ≤ 3 bytes of 2 values;"
    " messages in parts: ≤ 5 bytes, ≤ 3 in a block"
)
"""How far the laws go, in short: their modules say it in full."""


def contracts(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Try every law about the shipped functions. Whatever else the scope asks, there is one answer."""
    from ringbuffer.proof.contracts.run import SHIPPED_QUESTIONS

    started = time.perf_counter()
    found = []
    for count, finding in enumerate(findings(SHIPPED_QUESTIONS), start=1):
        found.append(finding)
        on_advance(f"{count} of {len(SHIPPED_QUESTIONS)} contracts: {finding.law.module}.{finding.name}: {finding.verdict}")
    status, note, counterexample = judged(found)
    bound = f"{counts(found)}; {BOUNDS}"
    more = {"counterexample": counterexample, "obligations": tuple(map(_obligation, found))}
    return claim.verdict(status, scope, started, bound=bound, states=None, note=note, **more)


def _obligation(finding: Finding) -> Obligation:
    """A law as the claims about every size tell their obligations."""
    from ringbuffer.proof.contracts.run import CONFIRMED

    status = DISCHARGED if finding.verdict == CONFIRMED else finding.verdict
    return Obligation(f"{finding.law.module}.{finding.name}", status, finding.seconds)


def findings(questions: Sequence[Question]) -> Iterator[Finding]:
    """Try these laws, in their order, in two processes. Raises :class:`MissingExtraError` where CrossHair is not installed."""
    from ringbuffer.proof.contracts.run import examine

    if importlib.util.find_spec("crosshair") is None:
        raise MissingExtraError("the claim contracts", "check")
    assert len(questions) > 1, "a single question would be asked in this process, which is then no longer what it was"
    return answers(examine, questions, jobs=JOBS_MAX)


def counts(found: Sequence[Finding]) -> str:
    """How many laws there are, how many are confirmed, and how many of the others are tested otherwise."""
    from ringbuffer.proof.contracts.run import CONFIRMED

    left = [finding for finding in found if finding.verdict != CONFIRMED]
    tested = sum(finding.law.is_open for finding in left)
    told = f"{len(found)} contracts, {len(found) - len(left)} confirmed over all paths, {tested} tested otherwise"
    return told if tested == len(left) else f"{told}, {len(left) - tested} neither"


def judged(found: Sequence[Finding]) -> tuple[str, str, str | None]:
    """The status of the claim, a note that names what it hangs on, and the counterexample, if there is one."""
    from ringbuffer.proof.contracts import run

    broken = [finding for finding in found if finding.verdict == run.REFUTED]
    if broken:
        note = f"refuted: {_named(broken)}"
        return REFUTED, note, "\n".join(f"{finding.law.module}.{finding.name}: {finding.message}" for finding in broken)
    left = [finding for finding in found if finding.verdict != run.CONFIRMED]
    lost = [finding for finding in left if not finding.law.is_open]
    if lost:
        return UNKNOWN, f"no longer confirmed: {_named(lost)}", None
    tested = "; ".join(f"{finding.law.module}.{finding.name} (by {finding.law.tested_by})" for finding in left)
    return HOLDS, f"open, and tested otherwise: {tested}", None


def _named(found: Sequence[Finding]) -> str:
    return ", ".join(f"{finding.law.module}.{finding.name}" for finding in found)
