"""A failing schedule made smaller: fewest preemptions, then fewest turns, then fewest steps.

Rules: a candidate leaves out one or more turns of the schedule; what it really led to, when it failed in the same way (the
same type of error), is the next schedule. Turns are given by their actor's own steps, so that what is left out early moves the
rest little.
Limits: greedy, and bounded by :data:`RUNS_MAX`: smallest where an exhaustive search found it, otherwise small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ringbuffer.interleaving.execution import Execution
from ringbuffer.interleaving.schedules import Follow, Schedule

RUNS_MAX = 300
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
    """Shorter schedules: the largest pieces are left out first."""
    width = len(segments)
    while width:
        for start in range(len(segments) - width + 1):
            yield segments[:start] + segments[start + width :]
        width //= 2


def shrunk(runs: Runs, found: Execution) -> tuple[Segments, int]:
    """The smallest schedule found that fails as ``found`` does."""
    best, left = found, RUNS_MAX
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
