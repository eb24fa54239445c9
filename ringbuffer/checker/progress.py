"""Progress on a whole graph of states: fair runs in which somebody who could be served never is.

Every actor that waits goes on looking, so a run never stops; what can go wrong is a cycle. A cycle is *fair* when every actor
takes a step in it (or cannot: a writer that has written all). It starves an actor when that actor gets nothing done in it:
a writer fills no block, or a reader receives nothing (for ``starved``: not the oldest) although it is owed a message all along.
``find_lasso`` looks for a strongly connected part of the graph, without the steps by which the actor gets something done, that
is fair: such a part contains a fair cycle, and every fair cycle lies in one. A store buffer is a process of its own, which has
to run as well: what is stored reaches memory in the end. Rules: callers that raise for ever are not the protocol's fault, so
their steps are left out; nobody has to be killed; nor are the dead followed again and again: what is promised is promised once
that is over. Limits: fairness is weak (every process runs again and again); nothing is
said of how long it takes, nor of memories that may show an old value for ever (release/acquire without a word on when
stores become visible).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringbuffer.memory.base import NOBODY
from ringbuffer.model import Model
from ringbuffer.recovering import model_of
from ringbuffer.simulator import Simulation
from ringbuffer.state import ABORT, FLUSH, KILL, SOMETHING, THE_OLDEST, Choice, State, Transition

PROGRESS, STARVED = "progress", "starved"
LIVE_MEMORIES: Final = ("sc", "tso")
"""The memories under which liveness is judged."""
_ENOUGH: Final = {PROGRESS: SOMETHING, STARVED: THE_OLDEST}
"""For each liveness property, what an actor must get done again and again."""
_ABORTS = frozenset(("fill-aborted", "read-aborted"))


def concerned(model: Model, name: str, rank: int | None = None) -> list[int]:
    """The actors whom that property promises something: writers too, or readers only, or only those of one rank."""
    ranks = [(actor, model.rank_of(actor)) for actor in range(len(model.programs))]
    if rank is not None:
        return [actor for actor, own in ranks if own == rank]
    return [actor for actor, own in ranks if name == PROGRESS or own != NOBODY]


def _waits(model: Model, state: State, actor: int) -> bool:
    """Whether the actor is owed something now: a writer always wants to write, a reader wants what was accepted."""
    return model.waits_for_something(state, actor)


def _process(model: Model, transition: Transition) -> int:
    """Whose step it is: an actor's, or (numbered behind the actors) its store buffer's."""
    actor, detail, _ = transition.choice
    return actor + len(model.programs) if detail == FLUSH else actor


@dataclass(frozen=True, slots=True)
class Lasso:
    """A fair cycle that starves ``actor``: the number of a state on it, and the choices that lead once around."""

    actor: int
    entry: int
    choices: tuple[Choice, ...]


def _raises(transition: Transition) -> bool:
    """Whether the step is a caller's that raises, or one by which the dead are followed."""
    detail = transition.choice[1]
    return detail < KILL or (detail == ABORT and not _ABORTS.isdisjoint(transition.seen))


class Graph:
    """The steps between explored states, without those of callers that raise."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.starts = array("q")
        self.targets = array("q")
        self.actors = array("b")
        self.progress = array("b")
        self.choices: list[Choice] = []

    def add(self, source: int, target: int, transition: Transition) -> None:
        """Add a step. Sources come in ascending order, as breadth-first search visits them."""
        while len(self.starts) <= source:
            self.starts.append(len(self.targets))
        if _raises(transition):
            return
        self.targets.append(target)
        self.actors.append(_process(self.model, transition))
        self.progress.append(transition.progress)
        self.choices.append(transition.choice)

    def edges(self, source: int) -> range:
        """The numbers of the steps that leave ``source``."""
        if source >= len(self.starts):
            return range(0)
        end = self.starts[source + 1] if source + 1 < len(self.starts) else len(self.targets)
        return range(self.starts[source], end)


def find_lasso(graph: Graph, states: Sequence[State], name: str, rank: int | None = None) -> Lasso | None:
    """A fair cycle that breaks the property ``name``, or ``None``: writers are looked at first, then the readers in order."""
    model = graph.model
    for actor in concerned(model, name, rank):

        def waits(number: int, actor: int = actor) -> bool:
            return _waits(model, states[number], actor)

        def useless(edge: int, actor: int = actor) -> bool:
            return not (graph.actors[edge] == actor and graph.progress[edge] >= _ENOUGH[name])

        for component in _components(graph, len(states), waits, useless):
            members = set(component)
            inside = [
                edge for node in component for edge in graph.edges(node) if useless(edge) and graph.targets[edge] in members
            ]
            if inside and _fair(graph, states, component, inside, actor):
                return Lasso(actor, *_cycle(graph, min(component), members, useless))
    return None


@dataclass(frozen=True, slots=True)
class Cycle:
    """How a run ends: with the steps from number ``start`` on it comes back to where it was, but for the messages' names.

    ``broken``: the liveness properties that repeating these steps for ever would break. ``starved``: the name of the first
    actor that would get nothing done (for ``starved``: not what it should), if any.
    """

    start: int
    broken: tuple[str, ...]
    starved: str | None = None


def cycle_at_end(run: Simulation) -> Cycle | None:
    """Whether a run ends where it was before, and what repeating that would break. ``None`` if it ends anywhere else, and for
    a memory, or for actors that sleep, where liveness is not judged."""
    if run.setup.memory not in LIVE_MEMORIES or run.setup.waking is not None:
        return None
    model = model_of(run.setup, memory=run.model.memory)
    states = [model.initial()]
    taken: list[Transition] = []
    for step in run.steps:
        taken.append(model.transitions(states[-1])[step.choice])
        states.append(taken[-1].state)
    start = states.index(states[-1])
    cycle = taken[start:]
    if not cycle:
        return None
    stepping = {_process(model, transition) for transition in cycle}
    absent = set(model.processes) - stepping
    fair = not any(map(_raises, cycle)) and not any(model.can_step(states[-1], process) for process in absent)
    starving = {
        name: [
            actor
            for actor in concerned(model, name)
            if actor in stepping and fair and _gets_nothing(model, states[start:], cycle, actor, name)
        ]
        for name in _ENOUGH
    }
    broken = tuple(name for name, actors in starving.items() if actors)
    whose = starving[broken[0]][0] if broken else None
    return Cycle(start + 1, broken, None if whose is None else model.actor_name(whose))


def _gets_nothing(model: Model, states: Sequence[State], cycle: Sequence[Transition], actor: int, name: str) -> bool:
    """Whether going round this cycle starves that actor."""
    if not all(_waits(model, state, actor) for state in states):
        return False
    return not any(_process(model, step) == actor and step.progress >= _ENOUGH[name] for step in cycle)


def _fair(graph: Graph, states: Sequence[State], component: list[int], inside: list[int], starved: int) -> bool:
    """Whether every process takes a step inside, or has none to take somewhere inside. The starved one must have one."""
    stepping = {graph.actors[edge] for edge in inside}
    if starved not in stepping:
        return False
    absent = set(graph.model.processes) - stepping
    return all(any(not graph.model.can_step(states[node], process) for node in component) for process in absent)


def _components(graph: Graph, count: int, allowed: Callable[[int], bool], usable: Callable[[int], bool]) -> Iterator[list[int]]:
    """The strongly connected components among the allowed states, by the usable steps (Tarjan 1972, without recursion)."""
    index = array("q", [-1]) * count
    low = array("q", [0]) * count
    on_stack = bytearray(count)
    stack: list[int] = []
    counter = 0
    for root in range(count):
        if index[root] >= 0 or not allowed(root):
            continue
        work = [(root, iter(graph.edges(root)))]
        index[root] = low[root] = counter
        counter += 1
        stack.append(root)
        on_stack[root] = 1
        while work:
            node, edges = work[-1]
            for edge in edges:
                target = graph.targets[edge]
                if not usable(edge) or not allowed(target):
                    continue
                if index[target] < 0:
                    index[target] = low[target] = counter
                    counter += 1
                    stack.append(target)
                    on_stack[target] = 1
                    work.append((target, iter(graph.edges(target))))
                    break
                if on_stack[target]:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack[member] = 0
                        component.append(member)
                        if member == node:
                            break
                    yield component


def _cycle(graph: Graph, entry: int, members: set[int], usable: Callable[[int], bool]) -> tuple[int, tuple[Choice, ...]]:
    """A closed walk from ``entry`` inside ``members`` in which every actor that can steps at least once."""
    walk: list[Choice] = []
    at = entry
    todo = {
        graph.actors[edge] for node in members for edge in graph.edges(node) if usable(edge) and graph.targets[edge] in members
    }
    while todo:
        left = frozenset(todo)

        def steps_for(edge: int, left: frozenset[int] = left) -> bool:
            return graph.actors[edge] in left

        edge_path = _nearest(graph, at, members, usable, steps_for)
        walk += [graph.choices[edge] for edge in edge_path]
        todo -= {graph.actors[edge] for edge in edge_path}
        at = graph.targets[edge_path[-1]]
    if at != entry:
        walk += [graph.choices[edge] for edge in _nearest(graph, at, members, usable, lambda e: graph.targets[e] == entry)]
    return entry, tuple(walk)


def _nearest(
    graph: Graph, start: int, members: set[int], usable: Callable[[int], bool], wanted: Callable[[int], bool]
) -> list[int]:
    """The shortest list of steps from ``start``, inside ``members``, whose last one is wanted."""
    came: dict[int, tuple[int, int]] = {start: (-1, -1)}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for edge in graph.edges(node):
            target = graph.targets[edge]
            if not usable(edge) or target not in members:
                continue
            if wanted(edge):
                path = [edge]
                while came[node][0] >= 0:
                    node, edge = came[node]
                    path.append(edge)
                return path[::-1]
            if target not in came:
                came[target] = (node, edge)
                queue.append(target)
    raise AssertionError("a strongly connected component has a path between any two of its states")
