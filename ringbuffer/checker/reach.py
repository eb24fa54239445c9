"""What a claim's bound says before anything has run: the rings, the counts and the limits that a report of it must name.

A report of a long run is kept (``spec/assurance.json``) and printed; it must not outlive what it reports on. So each claim has
here the part of its bound that follows from the code alone, and a report whose bound says otherwise is out of date. Rules:
derived from the same constants as the checks; a claim without an entry is an error. Limits: it tells a bound that has changed,
not a check that has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ringbuffer.checker import all_sizes, checks, crashes, faults, minimal, mutate, recordings, wakeups
from ringbuffer.checker.claim import Scope
from ringbuffer.checker.claims import CLAIMS
from ringbuffer.errors import VariantError
from ringbuffer.proof.contracts.laws import LAWS


def reach_of(claim_id: str, scope: Scope) -> str:
    """A part that the bound of a verdict about the shipped tables has. Raises :class:`VariantError` for an unknown claim."""
    if claim_id not in _REACH:
        raise VariantError(f"the claim {claim_id} has no reach; those that have one are {', '.join(_REACH)}")
    return _REACH[claim_id](scope)


def _explored(claim_id: str, *, liveness: bool = False) -> Callable[[Scope], str]:
    memory = next(claim.memory for claim in CLAIMS if claim.id == claim_id)
    return lambda scope: checks.sizes_text(scope, scope.sizes(memory, liveness=liveness))


def _followed(scope: Scope) -> str:
    return crashes.bound_of(scope, tuple(crashes.questions(scope)))


def _contained(scope: Scope) -> str:
    sizes = {size for fault in faults.FAULTS if fault.stays for size in [faults.size_of(fault, scope)]}
    sizes |= {fault.breaks_size for fault in faults.FAULTS if fault.breaks}
    return f"sc; {len(faults.FAULTS)} faults; readers×blocks {_told(sorted(sizes))}; "


def _edited(scope: Scope) -> str:
    memories = mutate.MEMORIES if scope.full else ("sc",)
    return f"{', '.join(memories)}; readers×blocks {_told(mutate.SIZES)}; "


def _killed(scope: Scope) -> str:
    blocks, messages = checks.KILL_FULL_SIZE if scope.full else checks.KILL_SIZE
    return f"× {blocks} block{'s' if blocks > 1 else ''}, before every step of {messages} messages"


def _told(sizes: object) -> str:
    assert isinstance(sizes, (list, tuple)), "an ordered collection"
    return ", ".join(f"{readers}×{blocks}" for readers, blocks in sizes)


_REACH: Final[Mapping[str, Callable[[Scope], str]]] = {
    **{name: _explored(name) for name in ("safety-sc", "safety-tso", "safety-ra", "race-free-ra")},
    **{name: _explored(name, liveness=True) for name in ("progress-sc", "progress-tso")},
    "scan-reorders": lambda scope: checks.sizes_text(scope, (checks.SCAN_SIZE,)),
    "crash-safe": _followed,
    "wakeups": lambda scope: wakeups.bound_of(list(wakeups.parts_of(scope)), scope),
    "faults-contained": _contained,
    "orderings-minimal": lambda _: f"ra; readers×blocks {_told(minimal.SIZES)}; ",
    "rows-necessary": _edited,
    **{name: lambda _: all_sizes.EVERY_SIZE for name in ("safety-all-n-k", "race-free-all-n-k", "refines-queue")},
    "contracts": lambda _: f"{sum(1 for _ in LAWS)} contracts, ",
    "steps-agree": lambda _: f"{checks.LOCKSTEP_EXAMPLES} runs of up to {checks.LOCKSTEP_STEPS} rules, ",
    "processes": lambda _: f"{checks.PROCESS_READERS} readers, {checks.PROCESS_MESSAGES} messages through ",
    "recordings": lambda _: recordings.BOUND,
    "killed-processes": _killed,
}
