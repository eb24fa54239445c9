"""Who goes on: schedules, and the strategies that make them.

A :class:`Schedule` is asked at decision points. *Free* ones are where the actor that ran waits or has ended; at all others,
going on with the same actor is the default, and choosing another is a *preemption*. The default at a free one is the next in
order.

* :class:`Exhaustive`: all schedules with at most so many preemptions (context bounding, Musuvathi and Qadeer, PLDI 2007), in
  order of their number, so that the first failure has the fewest. Each schedule is run once: it is the set of decisions in
  which it differs from the default, and its children differ at one later place.
* :class:`Pct`: random priorities, and ``depth - 1`` random places where the running actor's falls below all others (Burckhardt
  et al., ASPLOS 2010). A fault that needs ``depth`` ordering constraints is found in each run with probability at least 1 /
  (actors * steps ** (depth - 1)).
* :class:`Random`: at random places to a random actor, how often drawn for each run anew.

Limits: free decisions are not bounded by ``preemptions``; with many actors that wait often, bound ``free`` as well.
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

NEVER = 1 << 62
WAITS_MAX = 16
"""After so many waits, a priority falls below all others: PCT as published knows no waiting, and would starve somebody."""


ACTORS_MAX = 1 << 10
Deviations = tuple[tuple[int, int], ...]
"""Decisions that are not the default: the step, and who goes on."""


class Schedule:
    """The default: nobody is preempted. ``ask_at``: the step from which on it wants to be asked, not only at free decisions."""

    ask_at: int = NEVER
    asks_on_waking: bool = False

    def choose(self, step: int, current: int | None, enabled: Sequence[int], default: int, ran: int) -> int:
        """Who goes on at ``step``; ``current`` is ``None`` at a free decision; ``ran``: the steps of who ran, in all."""
        del step, current, enabled, ran
        return default


class Follow(Schedule):
    """Goes along segments ``(actor, until)``: the actor runs until it has made so many steps in all (0: until it waits or
    ends).

    Leads through the very same run when that is where the segments are from. In a run that is different, a segment whose actor
    cannot go on is left out; after the last one, the default.
    """

    def __init__(self, segments: Sequence[tuple[int, int]]) -> None:
        self._segments = list(segments)
        self._at = -1
        self.missed = 0
        self.ask_at = 1 if segments else NEVER

    def choose(self, step: int, current: int | None, enabled: Sequence[int], default: int, ran: int) -> int:
        """As :class:`Schedule`."""
        if self._at >= len(self._segments):
            return default
        if current is not None and self._at >= 0:
            until = self._segments[self._at][1]
            if not until or ran < until:
                self.ask_at = step + (until - ran) if until else NEVER
                return current
        return self._next(step, enabled, default)

    def _next(self, step: int, enabled: Sequence[int], default: int) -> int:
        self._at += 1
        while self._at < len(self._segments):
            if self._segments[self._at][0] in enabled:
                self.ask_at = step + 1 if self._segments[self._at][1] else NEVER
                return self._segments[self._at][0]
            self.missed += 1
            self._at += 1
        self.ask_at = NEVER
        return default


class _Deviating(Schedule):
    """The default, but for some decisions; notes those that come after them."""

    def __init__(self, deviations: Deviations, *, may_preempt: bool) -> None:
        self._deviations = deviations
        self._at = 0
        self._may_preempt = may_preempt
        self.decisions: list[tuple[int, bool, int, tuple[int, ...]]] = []
        self.ask_at = deviations[0][0] if deviations else 0 if may_preempt else NEVER

    def choose(self, step: int, current: int | None, enabled: Sequence[int], default: int, ran: int) -> int:
        """As :class:`Schedule`."""
        if self._at < len(self._deviations):
            if step < self._deviations[self._at][0]:
                return default
            chosen = self._deviations[self._at][1]
            self._at += 1
            later = self._deviations[self._at :]
            self.ask_at = later[0][0] if later else step + 1 if self._may_preempt else NEVER
            return chosen
        if len(enabled) > 1 and (current is None or self._may_preempt):
            self.decisions.append((step, current is None, default, tuple(enabled)))
        return default

    def children(self, *, is_free: bool) -> Iterator[int]:
        """The decisions that differ from this run's, at free places or at the others: a step and an actor in one number."""
        for step, was_free, default, enabled in self.decisions:
            if was_free == is_free:
                yield from (step * ACTORS_MAX + other for other in enabled if other != default)


class _Drawing(Schedule):
    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._mean_steps = 2 ** draw.randint(0, 7)
        self.ask_at = self._gap(0)

    def _gap(self, step: int) -> int:
        return step + 1 + int(self._draw.expovariate(1 / self._mean_steps))

    def choose(self, step: int, current: int | None, enabled: Sequence[int], default: int, ran: int) -> int:
        """As :class:`Schedule`."""
        self.ask_at = self._gap(step)
        return self._draw.choice(enabled)


class _Priorities(Schedule):
    asks_on_waking = True

    def __init__(self, draw: random.Random, actor_count: int, step_count: int, depth: int) -> None:
        order = list(range(depth, depth + actor_count))
        draw.shuffle(order)
        self._priorities = order
        self._changes = sorted(draw.randint(1, max(step_count, 1)) for _ in range(depth - 1))
        self._fallen = depth
        self._waits = [0] * actor_count
        self._running: int | None = None
        self.ask_at = self._changes[0] if self._changes else NEVER

    def choose(self, step: int, current: int | None, enabled: Sequence[int], default: int, ran: int) -> int:
        """As :class:`Schedule`."""
        while self._changes and step >= self._changes[0]:
            self._changes.pop(0)
            self._fallen -= 1
            self._priorities[default if current is None else current] = self._fallen
        self.ask_at = self._changes[0] if self._changes else NEVER
        if current is None and self._running is not None:
            self._has_waited(self._running)
        self._running = max(enabled, key=self._priorities.__getitem__)
        return self._running

    def _has_waited(self, actor: int) -> None:
        """Two that wait, and change something in each look, would wake each other for ever, and starve who is below them."""
        self._waits[actor] += 1
        if self._waits[actor] % WAITS_MAX == 0:
            self._priorities[actor] = min(self._priorities) - 1


class Strategy(Protocol):
    """Makes schedules, one after the other; what the last one has noted is there when the next is asked for."""

    def schedules(self, actor_count: int, step_count: int) -> Iterator[Schedule]:
        """``step_count``: the steps of a run by default."""
        ...

    def bound(self) -> str:
        """In words, what was run when all schedules have been."""
        ...


@dataclass(frozen=True)
class Exhaustive:
    """Every schedule with at most ``preemptions`` preemptions, and at most ``free`` deviations at free ones (``None``: any)."""

    preemptions: int = 2
    free: int | None = None

    def __post_init__(self) -> None:
        if self.preemptions < 0 or (self.free is not None and self.free < 0):
            raise ValueError("preemptions and free are counts: 0 or more")

    def schedules(self, actor_count: int, step_count: int) -> Iterator[Schedule]:
        """As :class:`Strategy`. What waits to be run is kept by its number of preemptions, in a few bytes for each schedule."""
        del actor_count, step_count
        yield (first := _Deviating((), may_preempt=self.preemptions > 0))
        serial = 0
        waiting: list[tuple[int, int, int, int, Deviations, array[int]]] = []

        def keep(schedule: _Deviating, preemptions: int, free: int, deviations: Deviations) -> None:
            nonlocal serial
            for is_free, costs in ((True, (preemptions, free + 1)), (False, (preemptions + 1, free))):
                children = array("Q", schedule.children(is_free=is_free))
                if children and (self.free is None or costs[1] <= self.free):
                    serial += 1
                    heapq.heappush(waiting, (*costs, serial, 0, deviations, children))

        keep(first, 0, 0, ())
        while waiting:
            preemptions, free, number, at, parent, children = heapq.heappop(waiting)
            if at + 1 < len(children):
                heapq.heappush(waiting, (preemptions, free, number, at + 1, parent, children))
            deviations = (*parent, divmod(children[at], ACTORS_MAX))
            schedule = _Deviating(deviations, may_preempt=preemptions < self.preemptions)
            yield schedule
            keep(schedule, preemptions, free, deviations)

    def bound(self) -> str:
        """As :class:`Strategy`."""
        free = (
            "" if self.free is None else f", and at most {self.free} times another than the next in order when an actor waits"
        )
        return f"all schedules with at most {self.preemptions} preemptions{free}"


def _check_sampling(runs: int, depth: int = 1) -> None:
    if runs < 1 or depth < 1:
        raise ValueError("runs and depth are counts: 1 or more")


@dataclass(frozen=True)
class Pct:
    """``runs`` runs with random priorities and ``depth - 1`` changes of them."""

    depth: int = 3
    runs: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        _check_sampling(self.runs, self.depth)

    def schedules(self, actor_count: int, step_count: int) -> Iterator[Schedule]:
        """As :class:`Strategy`."""
        for run in range(self.runs):
            yield _Priorities(random.Random(f"{self.seed}/{run}"), actor_count, step_count, self.depth)

    def bound(self) -> str:
        """As :class:`Strategy`."""
        return f"a sample: {self.runs} runs with random priorities that change {self.depth - 1} times (PCT, seed {self.seed})"


@dataclass(frozen=True)
class Random:
    """``runs`` runs that switch at random places."""

    runs: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        _check_sampling(self.runs)

    def schedules(self, actor_count: int, step_count: int) -> Iterator[Schedule]:
        """As :class:`Strategy`."""
        del actor_count, step_count
        for run in range(self.runs):
            yield _Drawing(random.Random(f"{self.seed}/{run}"))

    def bound(self) -> str:
        """As :class:`Strategy`."""
        return f"a sample: {self.runs} runs that switch at random (seed {self.seed})"
