"""How the claims ``rows-necessary`` and ``orderings-minimal`` are tried: everything that can be left out of the tables is.

Both speak of the shipped tables. They are refuted by anything that comes out otherwise than it is recorded (what an edit
breaks, which edits are benign, which sets of orderings suffice), so that a change of the protocol or of the checker shows.
Rules: the quick form is what ``ringbuffer check`` tries, the full one is for ``--full``. Limits: the rings and the memories
that the verdict's bound names.
"""

from __future__ import annotations

import time

from ringbuffer.checker import minimal, mutate, orderings
from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED

SURPRISES_SHOWN = 3


def rows_necessary(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Every single edit, and every pair of those that alone are benign."""
    started = time.perf_counter()
    report = mutate.full(on_advance=on_advance) if scope.full else mutate.quick(on_advance)
    memories = mutate.MEMORIES if scope.full else ("sc",)
    sizes = ", ".join(f"{readers}×{blocks}" for readers, blocks in mutate.SIZES)
    counts = report.counts()
    told = [
        f"{memory}: {', '.join(f'{counts[memory, kind]} {kind}' for kind in mutate.KINDS if (memory, kind) in counts)}"
        for memory in memories
    ]
    return claim.verdict(
        REFUTED if report.surprises else HOLDS,
        scope,
        started,
        bound=f"{', '.join(memories)}; readers×blocks {sizes}; messages unbounded",
        states=sum(one.states for one in (*report.singles, *report.pairs)),
        note=_note(report.surprises, f"{'; '.join(told)}; and {len(report.pairs)} pairs of benign edits"),
    )


def orderings_minimal(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """The shipped orderings suffice, and none can go; with ``--full`` all combinations, fences, and published alternatives."""
    started = time.perf_counter()
    report = orderings.full(on_advance=on_advance) if scope.full else orderings.quick()
    findings = [report.shipped, *(one.with_races for one in report.weakenings)]
    sizes = ", ".join(f"{readers}×{blocks}" for readers, blocks in minimal.SIZES)
    lost = ", ".join(f"{one.row}: {one.with_races.property} ({one.with_races.steps} steps)" for one in report.weakenings)
    return claim.verdict(
        REFUTED if report.surprises else HOLDS,
        scope,
        started,
        bound=f"ra; readers×blocks {sizes}; messages unbounded",
        states=sum(one.states for one in findings),
        note=_note(report.surprises, f"without {lost}{_sets(report)}"),
    )


def _sets(report: orderings.Report) -> str:
    """The minimal sets, where they were looked for."""
    if not report.minimal:
        return ""
    told = [" or ".join("{" + ", ".join(rows) + "}" for rows in sets.minimal) for sets in report.minimal]
    return f"; minimal sets: {told[0]}; with read flags that start as 1: {told[1]}"


def _note(surprises: tuple[str, ...], usual: str) -> str:
    if not surprises:
        return usual
    more = f"; and {len(surprises) - SURPRISES_SHOWN} more" if len(surprises) > SURPRISES_SHOWN else ""
    return f"otherwise than recorded: {'; '.join(surprises[:SURPRISES_SHOWN])}{more}"
