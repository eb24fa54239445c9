"""Counterexamples: the shortest runs that the explorer finds, as paths in a graph of states.

The explorer numbers messages and marks stores, the graph does not; a path is found again by what its steps do, as
``checker/realize.py`` finds runs again. Rules: a path that is returned has been run on the graph's own model. Limits: liveness
is judged under ``sc`` and ``tso``, and where that takes more than :data:`STATES_MAX` states it is left open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ringbuffer.checker.explore import HOLDS, REFUTED, Result, explore
from ringbuffer.checker.progress import LIVE_MEMORIES
from ringbuffer.checker.reduce import LOCAL, REDUCTIONS
from ringbuffer.explorer.graph import StateGraph
from ringbuffer.model import Model
from ringbuffer.protocol.properties import LIVENESS, SAFETY
from ringbuffer.state import FLUSH, Setup, State, Transition
from ringbuffer.trace.record import FLUSH as FLUSHED
from ringbuffer.trace.record import Step

STATES_MAX: Final = 12_000
"""How many states an exploration for a counterexample visits before it gives up."""
_REDUCTIONS: Final = tuple(name for name in REDUCTIONS if name != LOCAL)
"""Those that keep a counterexample the shortest."""


class Counterexample(NamedTuple):
    """The shortest run that breaks a property. ``cycle_start``: the step (from 1) from which it repeats for ever, or 0."""

    property: str
    steps: list[Transition]
    cycle_start: int
    starved: str


class Findings(NamedTuple):
    """What the explorer says of a combination: counterexamples, and whether it got to the end of every question."""

    counterexamples: tuple[Counterexample, ...]
    liveness: str


def findings(graph: StateGraph) -> Findings:
    """Ask about every property that a step of the graph breaks, and about those that only a whole graph can break.

    A graph without such steps is itself the complete exploration of all safety properties.
    """
    setup = graph.model.setup
    results = [_explored(setup, (name,)) for name in SAFETY if name in graph.broken]
    liveness = ""
    if setup.memory in LIVE_MEMORIES:
        found = [_explored(setup, (name,)) for name in LIVENESS]
        liveness = next((one.status for one in found if one.status != HOLDS), HOLDS)
        results += found
    refuted = {one.property: one for one in results if one.status == REFUTED}
    return Findings(tuple(_located(graph.model, result) for result in refuted.values()), liveness)


def _explored(setup: Setup, properties: tuple[str, ...]) -> Result:
    return explore(
        setup.variant,
        setup.readers,
        setup.blocks,
        memory=setup.memory,
        properties=properties,
        words=setup.words,
        aborts=setup.aborts,
        reductions=_REDUCTIONS,
        max_states=STATES_MAX,
    )


def _located(model: Model, result: Result) -> Counterexample:
    """The same run as a path in the graph's model."""
    assert result.property is not None, "it is refuted"
    path = located(model, result.trace, result.property, result.cycle_start)
    return Counterexample(result.property, path, result.cycle_start or 0, result.starved or "")


def located(model: Model, trace: Sequence[Step], name: str, cycle_start: int | None) -> list[Transition]:
    """The steps of ``model`` that do what is recorded. Their last one breaks ``name``, or they close the cycle."""
    path: list[Transition] = []
    states: list[State] = [model.initial()]
    ways = [_fitting(model, states[-1], trace[0])]
    while True:
        step = next(ways[-1], None)
        if step is None:
            ways.pop()
            assert path, "the graph's model can do what the explorer's does"
            path.pop()
            states.pop()
            continue
        if len(path) + 1 < len(trace):
            path.append(step)
            states.append(step.state)
            ways.append(_fitting(model, step.state, trace[len(path)]))
        elif name in step.broken or (cycle_start is not None and step.state == states[cycle_start - 1]):
            return [*path, step]


def _fitting(model: Model, state: State, wanted: Step) -> Iterator[Transition]:
    """The steps of a state that do what is recorded."""
    steps = model.transitions(state)
    if model.setup.memory == "sc":  # it has no bounds and one alternative for each choice: the choices have the same numbers
        yield steps[wanted.choice]
        return
    yield from (step for step in steps if _does(model, state, step, wanted))


def _does(model: Model, state: State, step: Transition, wanted: Step) -> bool:
    actor, detail, _ = step.choice
    me, after = state.actors[actor], step.state.actors[actor]
    program = model.programs[actor]
    if detail == FLUSH or wanted.kind == FLUSHED or model.actor_name(actor) != wanted.actor:
        return detail == FLUSH and wanted.kind == FLUSHED and model.actor_name(actor) == wanted.actor
    row = program[me.pc].row
    flag = row.is_payload or not wanted.location or _flag(model, actor, me.pc, me.block, detail) == wanted.location
    value = row.is_payload or step.value == wanted.value
    return row.id == wanted.row and program[after.pc].row.id == wanted.goes_to and flag and value


def _flag(model: Model, actor: int, pc: int, block: int, detail: int) -> str:
    several = model.programs[actor][pc].row.access.is_several
    flag = model.locations_of(actor, pc, block)[detail if several else 0] % model.shape.entry_size
    return f"read[{flag - 1}]" if flag else "written"
