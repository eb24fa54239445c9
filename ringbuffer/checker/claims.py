"""The claims: every statement that the project makes about the protocol, with the check behind it.

A claim is a statement, a method, and a way to try it on any variant. Rules: nothing is asserted without its method; a claim
whose *sometimes* partners were not seen does not hold. Limits: those of each check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from ringbuffer.checker import all_sizes, checks, contracts, crashes, faults, necessity, recordings, wakeups
from ringbuffer.checker.claim import EXPLORED, MEASURED, PROVED, SAMPLED, Claim, Scope, Verdict
from ringbuffer.protocol.properties import LIVENESS, SAFETY

__all__ = ["CLAIMS", "Claim", "Scope", "Verdict", "check_claims", "claims_for"]

_GETS = "no reader gets a torn, stale, repeated, lost or reordered block; no unread block is overwritten"
_FAULTS: Final = ("writers", "twins", "killed")
_ASKED: Final = ("variant", "size", "messages", *_FAULTS, "rank", "max_states", "properties", "reductions")
_PROVED_FOR_ALL: Final = ("size", "messages", *_FAULTS, "rank", "properties")
_VALUES = tuple(name for name in SAFETY if name != "race")

CLAIMS: Final = (
    Claim("safety-sc", _GETS, EXPLORED, checks.safety, "sc", _VALUES),
    Claim("safety-tso", f"{_GETS}, with store buffers (x86-64)", EXPLORED, checks.safety, "tso", _VALUES),
    Claim(
        "safety-ra",
        f"{_GETS}, under release/acquire (C11), with payload words that may be seen late as well",
        EXPLORED,
        checks.safety,
        "ra-relaxed",
        _VALUES,
    ),
    Claim(
        "race-free-ra",
        "payload accesses are ordered by happens-before under release/acquire (C11), and what readers get is right",
        EXPLORED,
        checks.safety,
        "ra",
        SAFETY,
    ),
    Claim(
        "progress-sc",
        "nobody waits for ever while the others run, and every message arrives in the end",
        EXPLORED,
        checks.progress,
        "sc",
        LIVENESS,
    ),
    Claim("progress-tso", "the same with store buffers, which drain in the end", EXPLORED, checks.progress, "tso", LIVENESS),
    Claim(
        "scan-reorders",
        "the original scanning policy delivers out of order; it tears, loses and repeats nothing",
        EXPLORED,
        checks.scan_reorders,
        ignores=(*_FAULTS, "rank", "properties"),
    ),
    Claim(
        "crash-safe",
        "anyone killed at any row, again and again, and followed: what was published reaches every reader, or its successor, in"
        " order, whole, and once, but for a message in hand, not marked yet, which comes again; an evicted reader stops nobody",
        EXPLORED,
        crashes.crash_safe,
        ignores=(*_FAULTS, "rank", "properties"),
    ),
    Claim(
        "wakeups",
        "no wake-up is lost: nobody sleeps on while its block is ready, under sc, tso and release/acquire (C11), also with"
        " several sleepers",
        EXPLORED,
        wakeups.wakeups,
        ignores=(*_FAULTS, "rank", "properties"),
        sleeps=True,
    ),
    Claim(
        "faults-contained",
        "callers that raise, a second writer, a second process of one rank: what stays true, and what does not, is as listed",
        EXPLORED,
        faults.faults_contained,
        ignores=(*_FAULTS, "rank", "properties"),
    ),
    Claim(
        "orderings-minimal",
        "these orderings are needed under release/acquire, and no others",
        EXPLORED,
        necessity.orderings_minimal,
        ignores=_ASKED,
    ),
    Claim(
        "rows-necessary",
        "every edit of the rows, alone and in pairs, breaks what is recorded of it, or nothing, for a recorded reason",
        EXPLORED,
        necessity.rows_necessary,
        ignores=_ASKED,
    ),
    Claim(
        "safety-all-n-k",
        "the same safety for every number of readers and blocks; a blocked writer has a reader that can go on (with a block in"
        " hand, or one that it would find), and a blocked reader has received all that was published",
        PROVED,
        all_sizes.safety,
        "sc",
        ignores=_PROVED_FOR_ALL,
    ),
    Claim(
        "race-free-all-n-k",
        "the same safety, and no data race, for every number of readers and blocks under release/acquire (C11)",
        PROVED,
        all_sizes.race_freedom,
        "ra",
        ignores=_PROVED_FOR_ALL,
    ),
    Claim(
        "refines-queue",
        "the ring refines a broadcast queue (one sequence, a cursor for each reader), for every number of readers and blocks,"
        " under sequential consistency and under release/acquire",
        PROVED,
        all_sizes.refines_queue,
        ignores=_PROVED_FOR_ALL,
    ),
    Claim(
        "contracts",
        "the pure functions (cases, programs, oracle, layout, framing) keep their contracts, within the contracts' bounds",
        PROVED,
        contracts.contracts,
        ignores=_ASKED,
    ),
    Claim(
        "steps-agree",
        "the real endpoint and the simulator take the same steps",
        SAMPLED,
        checks.steps_agree,
        ignores=tuple(name for name in _ASKED if name not in ("variant", "writers")),
    ),
    Claim(
        "processes",
        "real processes get every message once, in order, whole",
        MEASURED,
        checks.processes,
        ignores=tuple(name for name in _ASKED if name != "variant"),
    ),
    Claim(
        "recordings",
        "every access that real processes have recorded is explained by one run of the shipped tables",
        MEASURED,
        recordings.recordings,
        ignores=tuple(name for name in _ASKED if name != "variant"),
    ),
    Claim(
        "killed-processes",
        "a real process killed with SIGKILL at any row: the others are told, nothing published is lost or torn, and a successor"
        " goes on just where it stopped",
        MEASURED,
        checks.killed_processes,
        ignores=_ASKED,
    ),
)


def check_claims(scope: Scope, ids: Iterable[str], on_advance: Callable[[str, str], None]) -> Iterator[Verdict]:
    """Try the claims of these ids, one after the other. ``on_advance`` gets the claim's id and how far it is."""
    wanted = tuple(ids)
    chosen = [claim for claim in CLAIMS if claim.id in wanted]
    for claim in chosen:
        claim.require_heeded(scope)
    for claim in chosen:
        yield claim.check(claim, scope, partial(on_advance, claim.id))


def claims_for(memories: Iterable[str], properties: Iterable[str]) -> tuple[str, ...]:
    """The ids of the claims that answer a question about these properties on these memories."""
    asked, places = set(properties), set(memories)
    return tuple(claim.id for claim in CLAIMS if claim.memory in places and asked & set(claim.answers))
