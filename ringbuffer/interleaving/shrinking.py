"""A failing schedule made smaller: fewest preemptions, then fewest turns, then fewest steps.

Rules: first a few schedules with at most one preemption are tried. Then a candidate leaves out one or more turns; what it
really led to, when it failed in the same way (the same type of error), is the next schedule. Turns are given by their actor's
own steps, so that what is left out early moves the rest little.
Limits: greedy, and bounded by :data:`RUNS_MAX`: smallest where an exhaustive search found it, otherwise small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ringbuffer.interleaving.execution import Execution
from ringbuffer.interleaving.schedules import Exhaustive, Follow, Schedule

RUNS_MAX = 300
EVERY_WIDTH_MAX = 20
"""Of schedules with so many turns, pieces of every length are left out; of longer ones, only of halves, quarters, and so on."""
FEWER_STEPS_MAX = 100_000
"""For how many steps schedules with at most one preemption are tried, where a failure with more has been found."""
Segments = tuple[tuple[int, int], ...]


class Runs(Protocol):
    """What can run a schedule."""

    def run(self, schedule: Schedule, *, is_told: bool = False) -> tuple[Execution, str]: ...


def _kept(execution: Execution) -> Segments:
    kept = list(execution.segments[: execution.deviated])
    if kept:
        kept[-1] = (kept[-1][0], 0)
    return tuple(kept)


def _size(execution: Execution) -> tuple[int, int, int]:
    return execution.preemptions, len(_kept(execution)), execution.steps


def _candidates(segments: Segments) -> Iterator[Segments]:
    """Smaller schedules: turns left out, the largest pieces first; then turns that last until their actor waits."""
    count = len(segments)
    widths = range(count, 0, -1) if count <= EVERY_WIDTH_MAX else (count >> shift for shift in range(count.bit_length()))
    for width in widths:
        for start in range(count - width + 1):
            yield segments[:start] + segments[start + width :]
    for at, (actor, until) in enumerate(segments):
        if until:
            yield (*segments[:at], (actor, 0), *segments[at + 1 :])


def _fewer(runs: Runs, found: Execution, best: Execution) -> Execution:
    """A failure of the same kind among the schedules with at most one preemption, if the first of them hold one."""
    steps = 0
    for schedule in Exhaustive(preemptions=1).schedules(len(found.actors), found.steps):
        if steps > FEWER_STEPS_MAX:
            break
        execution, _ = runs.run(schedule)
        steps += execution.steps
        if type(execution.error) is type(found.error):
            return min(best, execution, key=_size)
    return best


def shrunk(runs: Runs, found: Execution) -> tuple[Segments, int]:
    """The smallest schedule found that fails as ``found`` does."""
    best = _fewer(runs, found, found) if found.preemptions > 1 else found
    left = RUNS_MAX
    is_smaller = True
    while is_smaller and left:
        is_smaller = False
        for candidate in _candidates(_kept(best)):
            if not left:
                break
            left -= 1
            execution, _ = runs.run(Follow(candidate))
            if type(execution.error) is type(found.error) and _size(execution) < _size(best):
                best, is_smaller = execution, True
                break
    segments = _kept(best)
    return segments, len(segments)
