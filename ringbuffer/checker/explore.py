"""All interleavings: visit every reachable state, breadth first, and keep the shortest way to each.

``explore`` answers one question: does this variant, on a ring of this size, keep these properties? Rules: one step per shared
access; the first violation found is at the smallest depth, so its trace is a shortest one; a verdict is ``holds`` only when
every reachable state was visited. Limits: it speaks of one number of readers and blocks at a time, and of the simulated
memory that it was given; a bound that stops it makes the verdict ``unknown``, never ``holds``.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from ringbuffer.checker.progress import LIVE_MEMORIES, Graph, Lasso, cycle_at_end, find_lasso
from ringbuffer.checker.realize import Wanted, realize
from ringbuffer.checker.reduce import PAYLOAD, REDUCTIONS, SETTLED, WORDS, Reducer, applicable, select_reductions
from ringbuffer.errors import GeometryError, VariantError
from ringbuffer.protocol import PROTOCOL, Variant, Waking
from ringbuffer.protocol.properties import ALL, LIVENESS, RACE, SAFETY, SUCCESSIVE, WAKEUPS, select, unseen_partners
from ringbuffer.protocol.succession import SHIPPED
from ringbuffer.protocol.waking import ONE_READER, WRITERS
from ringbuffer.recovering import model_of
from ringbuffer.simulator import DEAD, Choice, Setup, Simulation, State, Transition, follow
from ringbuffer.state import ANYONE
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
    ``trace``: the shortest counterexample, empty unless refuted (``shortest`` is false where the reduction ``local`` was made
    use of, and a shorter one may exist); ``cycle_start``: for a liveness property, the number of the
    step from which it repeats for ever, and ``starved`` names who gets nothing done in it. ``token`` replays the trace.
    ``complete``: whether every reachable state was visited; ``capped``: whether somewhere the memory's own bound was met (an
    actor with a full store buffer waited, or one that was too far ahead of another), which the answer then speaks for.
    ``seen``: the *sometimes* that were observed; ``vacuous``: those that should have been and were not. ``reductions``: what
    was made use of (:mod:`ringbuffer.checker.reduce`); ``states`` and ``transitions`` are counted after them.
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
    shortest: bool
    complete: bool
    capped: bool
    seen: frozenset[str]
    vacuous: tuple[str, ...]
    reductions: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        bound = f"{self.setup.readers} readers × {self.setup.blocks} blocks"
        head = f"{self.setup.edits}: {bound}: {self.status}"
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
            **{key: value for key, value in asdict(self.setup).items() if key not in ("variant", "waking")},
            "waking": None if self.setup.waking is None else str(self.setup.waking),
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
            "shortest": self.shortest,
            "complete": self.complete,
            "capped": self.capped,
            "seen": sorted(self.seen),
            "vacuous": list(self.vacuous),
            "reductions": list(self.reductions),
            "seconds": round(self.seconds, 3),
        }


def explore(
    variant: Variant = PROTOCOL,
    readers: int = 2,
    blocks: int = 2,
    messages: int | None = None,
    memory: str = "sc",
    *,
    properties: tuple[str, ...] | None = None,
    writers: int = 1,
    twins: int = 0,
    killed: str = "",
    succession: str = SHIPPED,
    waking: Waking | None = None,
    rank: int | None = None,
    words: int | None = None,
    aborts: bool = True,
    reductions: tuple[str, ...] = REDUCTIONS,
    max_states: int = STATES_MAX,
    on_advance: Callable[[Advance], None] | None = None,
) -> Result:
    """Visit every state that ``variant`` can reach on a ring of this size, and judge ``properties``.

    ``messages``: how many are written in all; ``None`` explores runs without end. ``memory``: the simulated memory, ``"sc"``,
    ``"tso"``, ``"ra"`` or ``"ra-relaxed"``. ``properties``: by default all that this memory can judge (liveness under ``"sc"``
    and ``"tso"``, races under ``"ra"``, where they are always judged, because nothing behind a race means anything).
    ``writers``: more than one is a fault that the protocol does not allow for, and so are ``twins``, more processes of rank 0.
    ``killed``: ``"reader"`` or ``"writer"``, of which one may be killed at any row; or ``"anyone"``, again and again, with
    successors as ``succession`` names them (then the properties about these are judged as well). ``waking``: the rows by which
    actors that wait lie down and are woken, instead of looking again and again; then that nobody sleeps too long is judged as
    well, and no liveness. ``rank``: judge only what that reader gets and whether it gets on, not what others break. ``words``:
    of a payload; by default two, or one where merging them keeps the answer. ``aborts``: whether callers may raise while they
    fill or read. ``reductions``: which to make use of, where they keep the answer. ``max_states``: give up beyond it, with the
    status ``unknown``.
    ``on_advance`` is called now and then with how far it is. Raises :class:`GeometryError` and :class:`VariantError` for a
    question that makes no sense.
    """
    if max_states < 1:
        raise GeometryError(f"max_states is {max_states}, and at least the initial state is visited")
    count = WORDS if words is None else words
    setup = Setup(variant, readers, blocks, count, writers, messages, aborts, memory, twins, killed, succession, waking)
    judged = judged_properties(properties, memory, sleeping=waking is not None)
    judged = (*judged, *(SUCCESSIVE if killed == ANYONE else ()))
    if rank is not None and not 0 <= rank < readers:
        raise GeometryError(f"rank is {rank}, and with {readers} readers it lies between 0 and {readers - 1}")
    used = applicable(select_reductions(reductions), setup, judged, words, rank)
    if PAYLOAD in used:
        setup = replace(setup, words=1)
    return _Search(setup, judged, used, rank, max_states, on_advance).run()


def judged_properties(names: Sequence[str] | None, memory: str, *, sleeping: bool = False) -> tuple[str, ...]:
    """Of the properties that are asked about (``None``: of all), those that an exploration on that memory judges.

    Liveness is judged under ``sc`` and ``tso`` where nobody sleeps, races under ``ra`` (always). Raises :class:`VariantError`
    if none is left.
    """
    chosen = select((*ALL, *WAKEUPS) if names is None else tuple(names))
    possible = (*SAFETY, *WAKEUPS) if sleeping else ALL if memory in LIVE_MEMORIES else SAFETY
    judged = tuple(name for name in chosen if name in possible and (name != RACE or memory == "ra"))
    if not judged:
        raise VariantError(f"{', '.join(chosen)} cannot be judged under the memory {memory!r}")
    return select((*judged, RACE)) if memory == "ra" else judged


class _Search:
    """The state of one breadth-first search."""

    def __init__(
        self,
        setup: Setup,
        properties: tuple[str, ...],
        reductions: tuple[str, ...],
        rank: int | None,
        max_states: int,
        on_advance: Callable[[Advance], None] | None,
    ) -> None:
        self.setup, self.properties, self.rank = setup, properties, rank
        self.max_states, self.on_advance = max_states, on_advance
        self.safety = frozenset(properties).difference(LIVENESS)
        self.model = model_of(setup, settling=SETTLED in reductions)
        self.reducer = Reducer(self.model, reductions)
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
            for transition in self.reducer.steps(state):
                self.transitions += 1
                if transition.broken and self._concerns(transition):
                    broken = self.safety.intersection(transition.broken)
                    if broken:
                        name = next(name for name in transition.broken if name in broken)
                        run = self._run(self._path_to(number, transition.choice), name)
                        return self._refuted(next(one for one in run.steps[-1].broken if one in self.safety), run, None)
                if transition.seen:
                    self.seen.update(transition.seen)
                self._meet(number, transition)
            if len(self.states) > self.max_states:
                return self._result(UNKNOWN, None, (), None, None, complete=False)
        if self.graph is not None:
            for name in self.liveness:
                lasso = find_lasso(self.graph, self.states, name, self.rank)
                if lasso is not None:
                    run, cycle_start = self._once_around(lasso, name)
                    return self._refuted(name, run, cycle_start, self.model.actor_name(lasso.actor))
        return self._result(HOLDS, None, (), None, None, complete=True)

    def _concerns(self, transition: Transition) -> bool:
        """Whether a step that breaks something is judged: any race is, and else what the one reader does, if there is one."""
        return self.rank is None or RACE in transition.broken or self.model.rank_of(transition.choice[0]) == self.rank

    def _meet(self, number: int, transition: Transition) -> None:
        state, _ = self.reducer.canonical(transition.state)
        target = self.numbers.setdefault(state, len(self.states))
        if target == len(self.states):
            self.states.append(state)
            self.parents.append(number)
            self.choices.append(transition.choice)
            self.depths.append(self.depths[number] + 1)
        if self.graph is not None:
            self.graph.add(number, target, transition)

    def _path_to(self, number: int, *further: Choice) -> list[Choice]:
        """The choices that lead to that state, and further."""
        path: list[Choice] = []
        while (choice := self.choices[number]) is not None:
            path.append(choice)
            number = self.parents[number]
        return [*reversed(path), *further]

    def _run(self, path: list[Choice], name: str | None = None) -> Simulation:
        """The run of these choices on the tables as they are; its last step breaks ``name``.

        What is stale where settled messages have no names may be torn where they have: words of two such messages.
        """
        names = () if name is None else (name, "torn") if name == "stale" and "torn" in self.safety else (name,)
        return follow(self.setup, realize(self.setup, self._unreduced(path), names))

    def _unreduced(self, path: list[Choice]) -> list[Wanted]:
        """What happens in a run of these choices in which nobody has changed places."""
        state, actors = self.model.initial(), list(range(len(self.model.programs)))
        wanted: list[Wanted] = []
        for choice in path:
            real = self.reducer.concrete(choice, state, actors)
            taken = next(step for step in self.model.transitions_of(state, choice[0]) if step.choice == choice)
            me = taken.state.actors[choice[0]]
            before = state.actors[choice[0]].pc
            payload = before != DEAD and self.model.programs[choice[0]][before].row.is_payload
            wanted.append(Wanted(real, me.pc, me.word, None if payload or choice[1] < 0 else taken.value))
            state, order = self.reducer.canonical(taken.state)
            actors = [actors[old] for old in order] if order is not None else actors
        return wanted

    def _once_around(self, lasso: Lasso, name: str) -> tuple[Simulation, int]:
        """The run into a cycle and once around it; blocks that have changed names come back after a few rounds."""
        stem = self._path_to(lasso.entry)
        for rounds in range(1, self.setup.blocks + 1):
            run = self._run([*stem, *(lasso.choices * rounds)])
            cycle = cycle_at_end(run)
            if cycle is not None and name in cycle.broken:
                return run, cycle.start
        raise AssertionError("a cycle comes back to where it began")

    def _seconds(self) -> float:
        return time.perf_counter() - self.started

    def _refuted(self, name: str, run: Simulation, cycle_start: int | None, starved: str | None = None) -> Result:
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
        if setup.waking is not None and setup.waking.sleepers in (WRITERS, ONE_READER):
            unseen = tuple(name for name in unseen if name != "sleep-together")
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
            shortest=not self.reducer.local_steps_taken,
            complete=complete,
            capped=self.model.memory.capped,
            seen=seen,
            vacuous=unseen if status == HOLDS else (),
            reductions=self.reducer.names,
            seconds=self._seconds(),
        )
