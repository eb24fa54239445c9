"""All interleavings: visit every reachable state, breadth first, and keep the shortest way to each.

``explore`` answers one question: does this variant, on a ring of this size, keep these properties? Rules: one step per shared
access; the first violation found is at the smallest depth, so its trace is a shortest one; a verdict is ``holds`` only when
every reachable state was visited. Limits: it speaks of one number of readers and blocks at a time, and of the simulated
memory that it was given; a bound that stops it makes the verdict ``unknown``, never ``holds``.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from ringbuffer.checker.progress import Graph, find_lasso
from ringbuffer.errors import GeometryError
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.protocol.properties import ALL, LIVENESS, select, unseen_partners
from ringbuffer.simulator import Choice, Model, Setup, Simulation, State, Transition, follow
from ringbuffer.trace.record import Step
from ringbuffer.trace.text import render

HOLDS, REFUTED, UNKNOWN = "holds", "refuted", "unknown"

STATES_MAX: Final = 2_000_000
"""How many states are visited before the explorer gives up, unless the caller sets another bound (about 1.5 kB each)."""
REPORT_EVERY_STATES: Final = 4096
_NO_PARENT: Final = -1


@dataclass(frozen=True, slots=True)
class Advance:
    """How far an exploration is: states found, states whose steps were taken, depth, seconds."""

    found: int
    visited: int
    depth: int
    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The answer to one question.

    ``status``: ``holds``, ``refuted`` or ``unknown``. ``property``: the name of the property that broke, or ``None``.
    ``trace``: the shortest counterexample, empty unless refuted; ``cycle_start``: for a liveness property, the number of the
    step from which it repeats for ever, and ``starved`` names who gets nothing done in it. ``token`` replays the trace.
    ``complete``: whether every reachable state was visited.
    ``seen``: the *sometimes* that were observed; ``vacuous``: those that should have been and were not.
    """

    setup: Setup
    properties: tuple[str, ...]
    status: str
    property: str | None
    trace: tuple[Step, ...]
    cycle_start: int | None
    starved: str | None
    token: str | None
    states: int
    transitions: int
    depth: int
    complete: bool
    seen: frozenset[str]
    vacuous: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        bound = f"{self.setup.readers} readers × {self.setup.blocks} blocks"
        head = f"{self.setup.variant}: {bound}: {self.status}"
        if self.status != REFUTED:
            unseen = f"; never seen, so not tried: {', '.join(self.vacuous)}" if self.vacuous else ""
            return f"{head} ({self.states} states, {self.seconds:.2f} s){unseen}"
        whose = f" of {self.starved}" if self.starved else ""
        return f"{head}: {self.property}{whose}, {len(self.trace)} steps\n{render(self.trace, cycle_start=self.cycle_start)}"

    def __repr__(self) -> str:
        return f"<Result {str(self).splitlines()[0]}>"

    def as_json(self) -> dict[str, object]:
        """The answer as plain JSON values."""
        return {
            "variant": str(self.setup.variant),
            **{key: value for key, value in asdict(self.setup).items() if key != "variant"},
            "properties": list(self.properties),
            "status": self.status,
            "property": self.property,
            "trace": [step.as_json() for step in self.trace],
            "cycle_start": self.cycle_start,
            "starved": self.starved,
            "token": self.token,
            "states": self.states,
            "transitions": self.transitions,
            "depth": self.depth,
            "complete": self.complete,
            "seen": sorted(self.seen),
            "vacuous": list(self.vacuous),
            "seconds": round(self.seconds, 3),
        }


def explore(
    variant: Variant = PROTOCOL,
    readers: int = 2,
    blocks: int = 2,
    messages: int | None = None,
    memory: str = "sc",
    *,
    properties: tuple[str, ...] = ALL,
    writers: int = 1,
    words: int = 2,
    aborts: bool = True,
    max_states: int = STATES_MAX,
    on_advance: Callable[[Advance], None] | None = None,
) -> Result:
    """Visit every state that ``variant`` can reach on a ring of this size, and judge ``properties``.

    ``messages``: how many are written in all; ``None`` explores runs without end. ``memory``: the simulated memory.
    ``writers``: more than one is a fault that the protocol does not allow for. ``words``: of a payload. ``aborts``: whether
    callers may raise while they fill or read. ``max_states``: give up beyond it, with the status ``unknown``.
    ``on_advance`` is called now and then with how far it is. Raises :class:`GeometryError` and :class:`VariantError` for a
    question that makes no sense.
    """
    if max_states < 1:
        raise GeometryError(f"max_states is {max_states}, and at least the initial state is visited")
    setup = Setup(variant, readers, blocks, words, writers, messages, aborts, memory)
    return _Search(setup, select(properties), max_states, on_advance).run()


class _Search:
    """The state of one breadth-first search."""

    def __init__(
        self, setup: Setup, properties: tuple[str, ...], max_states: int, on_advance: Callable[[Advance], None] | None
    ) -> None:
        self.setup, self.properties = setup, properties
        self.max_states, self.on_advance = max_states, on_advance
        self.safety = frozenset(properties).difference(LIVENESS)
        self.model = Model(setup)
        self.started = time.perf_counter()
        initial = self.model.initial()
        self.states: list[State] = [initial]
        self.numbers: dict[State, int] = {initial: 0}
        self.parents = array("q", [_NO_PARENT])
        self.choices: list[Choice | None] = [None]
        self.depths = array("l", [0])
        self.seen: set[str] = set()
        self.transitions = 0
        self.liveness = tuple(name for name in properties if name in LIVENESS)
        self.graph = Graph(self.model) if self.liveness else None

    def run(self) -> Result:
        for number, state in enumerate(self.states):
            if self.on_advance is not None and number % REPORT_EVERY_STATES == 0:
                self.on_advance(Advance(len(self.states), number, self.depths[number], self._seconds()))
            for transition in self.model.transitions(state):
                self.transitions += 1
                broken = self.safety.intersection(transition.broken)
                if broken:
                    name = next(name for name in transition.broken if name in broken)
                    return self._refuted(name, follow(self.setup, [*self._path_to(number), transition.choice]), None)
                self.seen.update(transition.seen)
                self._meet(number, transition)
            if len(self.states) > self.max_states:
                return self._result(UNKNOWN, None, (), None, None, complete=False)
        if self.graph is not None:
            for name in self.liveness:
                lasso = find_lasso(self.graph, self.states, name)
                if lasso is not None:
                    stem = self._path_to(lasso.entry)
                    starved = self.model.actor_name(lasso.actor)
                    return self._refuted(name, follow(self.setup, [*stem, *lasso.choices]), len(stem) + 1, starved)
        return self._result(HOLDS, None, (), None, None, complete=True)

    def _meet(self, number: int, transition: Transition) -> None:
        target = self.numbers.setdefault(transition.state, len(self.states))
        if target == len(self.states):
            self.states.append(transition.state)
            self.parents.append(number)
            self.choices.append(transition.choice)
            self.depths.append(self.depths[number] + 1)
        if self.graph is not None:
            self.graph.add(number, target, transition)

    def _path_to(self, number: int) -> list[Choice]:
        path: list[Choice] = []
        while (choice := self.choices[number]) is not None:
            path.append(choice)
            number = self.parents[number]
        path.reverse()
        return path

    def _seconds(self) -> float:
        return time.perf_counter() - self.started

    def _refuted(self, name: str, run: Simulation, cycle_start: int | None, starved: str | None = None) -> Result:
        assert cycle_start is not None or name in run.steps[-1].broken, "the replayed trace breaks what the search found"
        return self._result(REFUTED, name, tuple(run.steps), cycle_start, run.token(), complete=False, starved=starved)

    def _result(
        self,
        status: str,
        name: str | None,
        trace: tuple[Step, ...],
        cycle_start: int | None,
        token: str | None,
        *,
        complete: bool,
        starved: str | None = None,
    ) -> Result:
        setup, seen = self.setup, frozenset(self.seen)
        unseen = unseen_partners(self.properties, seen, setup.readers, setup.blocks, setup.aborts)
        return Result(
            setup=setup,
            properties=self.properties,
            status=status,
            property=name,
            trace=trace,
            cycle_start=cycle_start,
            starved=starved,
            token=token,
            states=len(self.states),
            transitions=self.transitions,
            depth=self.depths[-1],
            complete=complete,
            seen=seen,
            vacuous=unseen if status == HOLDS else (),
            seconds=self._seconds(),
        )
