"""Faults from outside, as actions of the model: callers that raise, killed processes, a second writer or process of a rank.

For each fault the table below says what stays true and what does not, property by property; the checks explore both. Rules:
what stays is explored without bound on messages; what breaks is shown by a counterexample; a property that is in neither list
of a fault is not spoken of. Limits: one process is killed, at most; nobody takes over a killed one's role (``crashes.py`` has
that); two writers, no more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ringbuffer.checker.checks import ask, picture
from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Result
from ringbuffer.protocol import Variant
from ringbuffer.protocol.properties import SAFETY

_VALUES: Final = tuple(name for name in SAFETY if name != "race")
_GETS: Final = ("torn", "stale", "reordered", "lost")
_LIVE: Final = ("progress", "starved")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, what stays true under it, and what does not.

    ``edits``: of the tables; ``options``: of the exploration. ``stays``: judged together, on ``size`` (readers and blocks), of
    the reader ``rank`` only where there is one. ``breaks``: judged one by one, on ``breaks_size``; callers raise
    where that is the fault.
    """

    id: str
    title: str
    edits: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    stays: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    size: tuple[int, int] = (2, 2)
    breaks_size: tuple[int, int] = (2, 2)
    rank: int | None = None
    raising: bool = False
    """Whether callers have to raise for what breaks."""


def _but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in (*_VALUES, *_LIVE) if name not in names)


FAULTS: Final = (
    Fault("raise-retried", "a caller raises while it fills or reads, and tries again", stays=(*_VALUES, *_LIVE)),
    Fault(
        "read-consumed",
        "a reader's caller raises, and the message counts as read",
        "redirect=R3,aborted,next",
        stays=_but("lost"),
        breaks=("lost",),
        raising=True,
    ),
    Fault(
        "fill-published",
        "the writer's caller raises, and what it has written is published",
        "redirect=W4,aborted,next",
        stays=_but("torn", "stale"),
        breaks=("torn", "stale"),
        size=(2, 1),
        raising=True,
    ),
    Fault(
        "reader-killed",
        "a reader is killed: the writer waits for it, for ever",
        options={"killed": "reader"},
        stays=(*_VALUES, "starved"),
        breaks=("progress",),
    ),
    Fault("writer-killed", "the writer is killed", options={"killed": "writer"}, stays=(*_VALUES, *_LIVE)),
    Fault(
        "two-writers",
        "a second process writes: nothing stays true",
        options={"writers": 2},
        breaks=(*_VALUES, "progress"),
        breaks_size=(1, 2),
    ),
    Fault(
        "two-of-one-rank",
        "a second process reads with the same rank",
        options={"twins": 1},
        breaks=(*_GETS, "exclusion", "progress"),
        breaks_size=(1, 2),
    ),
    Fault(
        "two-of-another-rank",
        "what the other readers get when two processes read with one rank",
        options={"twins": 1},
        stays=(*_GETS, *_LIVE),
        size=(2, 1),
        rank=1,
    ),
)
"""The faults, and what becomes of the properties."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an exploration says of one fault: ``expected`` is the status that the table promises."""

    fault: Fault
    properties: tuple[str, ...]
    expected: str
    result: Result

    @property
    def agrees(self) -> bool:
        """Whether the result is what the table says."""
        return self.result.status == self.expected and not self.result.vacuous

    def __str__(self) -> str:
        what = self.result.property or ", ".join(self.properties)
        return f"{self.fault.id}: {what}: {self.result.status}, and the table says that it {_SAYS[self.expected]}"


_SAYS: Final = {HOLDS: "stays true", REFUTED: "breaks"}


def size_of(fault: Fault, scope: Scope) -> tuple[int, int]:
    """The ring on which is explored what stays true under a fault."""
    readers, blocks = scope.size or ((2, 2) if scope.full else fault.size)
    return max(readers, 1 + (fault.rank or 0)), blocks


def findings(fault: Fault, scope: Scope, on_advance: OnAdvance) -> list[Finding]:
    """Explore what a fault leaves true and what it breaks."""
    variant = Variant.parse(*map(str, scope.variant.edits), *fault.edits.split())
    scope = replace(scope, variant=variant)
    found = []
    if fault.stays:
        readers, blocks = size_of(fault, scope)
        options = {"rank": fault.rank, **fault.options}
        stays = ask(scope, readers, blocks, "sc", on_advance, properties=fault.stays, **options)
        found.append(Finding(fault, fault.stays, HOLDS, stays))
    for name in fault.breaks:
        options = {"properties": (name,), "aborts": fault.raising, **fault.options}
        found.append(Finding(fault, (name,), REFUTED, ask(scope, *fault.breaks_size, "sc", on_advance, **options)))
    return found


def faults_contained(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Every property that the table of faults speaks of, under every fault."""
    started = time.perf_counter()
    found: list[Finding] = []
    for fault in FAULTS:
        on_advance(fault.title)
        found += findings(fault, scope, on_advance)
    wrong = [one for one in found if not one.agrees]
    status = HOLDS if not wrong else UNKNOWN if all(one.result.status == UNKNOWN for one in wrong) else REFUTED
    broken = next((one.result for one in wrong if one.result.status == REFUTED), None)
    sizes = sorted({(one.result.setup.readers, one.result.setup.blocks) for one in found})
    shown = ", ".join(f"{readers}×{blocks}" for readers, blocks in sizes)
    return claim.verdict(
        status,
        scope,
        started,
        bound=f"sc; {len(FAULTS)} faults; readers×blocks {shown}; messages {scope.messages or 'unbounded'}",
        states=sum(one.result.states for one in found),
        counterexample=picture(broken) if broken else None,
        token=broken.token if broken else None,
        note="; ".join(map(str, wrong)) or _summary(found),
    )


def _summary(found: list[Finding]) -> str:
    """For each fault, what it breaks."""
    breaks: dict[str, list[str]] = {}
    for one in found:
        breaks.setdefault(one.fault.id, [])
        if one.expected == REFUTED:
            breaks[one.fault.id].append(f"{one.properties[0]} ({len(one.result.trace)} steps)")
    return "; ".join(f"{fault}: {', '.join(names) if names else 'nothing breaks'}" for fault, names in breaks.items())
