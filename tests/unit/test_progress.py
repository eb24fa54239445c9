"""Progress: every lasso is one, and the verdicts are those of another algorithm, on graphs of another model.

The other algorithm is that of Emerson and Lei (1986): the largest set of states from which, for every actor, a step of that
actor can be reached inside the set, again and again. The other model keeps the numbers of messages, and what an actor got
done is read off what is owed before and after its step, not off what the model says of it.
"""

from __future__ import annotations

import pytest
from edits import Edges, explore, whole_graph
from roster import REFUTED, SMALL_ENOUGH

from ringbuffer.checker import HOLDS, UNKNOWN, Result
from ringbuffer.checker import REFUTED as IS_REFUTED
from ringbuffer.checker.progress import Cycle, Graph, cycle_at_end
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Kind, Variant
from ringbuffer.protocol.properties import LIVENESS, SAFETY
from ringbuffer.simulator import Model, Setup, Simulation, State, Transition

LASSOS = [(edits, name, 1) for edits, known in REFUTED.items() for name in sorted(known.stuck)]
LASSOS += [
    ("without=W1", "progress", 2),
    ("without=W2", "progress", 2),
    ("without=R3", "starved", 2),
    ("policy=scan", "starved", 2),
]
"""Edits, the property that they break, and a number of readers (of two blocks) with which they do."""
ABORTED = frozenset({"fill-aborted", "read-aborted"})


def got_done(model: Model, before: State, step: Transition) -> str:
    """What a step got its actor, in words; of two models, only one that keeps the numbers of messages can be asked."""
    actor = step.choice[0]
    kind = model.programs[actor][before.actors[actor].pc].row.access.kind
    rank = actor - model.setup.writers
    if kind is Kind.FILL and any(len(new) > len(old) for old, new in zip(before.owed, step.state.owed, strict=True)):
        return "a message"
    if kind is Kind.READ and before.owed[rank] != step.state.owed[rank]:
        return "the oldest" if before.owed[rank][0] not in step.state.owed[rank] else "another"
    return ""


def starves(model: Model, states: list[State], edges: Edges, starved: int, enough: set[str]) -> bool:
    """Whether some fair run starves that actor, by the fixed point of Emerson and Lei."""
    rank = starved - model.setup.writers
    inside = {number for number, state in enumerate(states) if rank < 0 or state.owed[rank]}
    steps = {
        number: [
            (step.choice[0], target)
            for step, target in edges[number]
            if not ABORTED.intersection(step.seen)
            and not (step.choice[0] == starved and got_done(model, states[number], step) in enough)
        ]
        for number in inside
    }
    can_step = [{step.choice[0] for step, _ in leaving} for leaving in edges]
    while True:
        before = len(inside)
        for actor in range(len(model.programs)):
            goal = {
                number
                for number in inside
                if any(a == actor and target in inside for a, target in steps[number])
                or (actor != starved and actor not in can_step[number])
            }
            inside = _nodes_that_step_towards(goal, inside, steps)
        if len(inside) == before:
            return bool(inside)


def _nodes_that_step_towards(goal: set[int], inside: set[int], steps: dict[int, list[tuple[int, int]]]) -> set[int]:
    """Those of ``inside`` that have a step, inside, from which ``goal`` can be reached, inside."""
    came: dict[int, list[int]] = {number: [] for number in inside}
    for number in inside:
        for _, target in steps[number]:
            if target in inside:
                came[target].append(number)
    reaching, todo = set(goal), list(goal)
    while todo:
        for source in came[todo.pop()]:
            if source not in reaching:
                reaching.add(source)
                todo.append(source)
    return {source for number in reaching for source in came[number]}


@pytest.mark.parametrize(("edits", "readers", "blocks"), SMALL_ENOUGH)
def test_another_algorithm_on_another_model_finds_the_same_actors_stuck(edits: str, readers: int, blocks: int) -> None:
    """Three messages in all, so that the states with lasting numbers are finitely many."""
    setup = Setup(Variant.parse(*edits.split()), readers, blocks, messages=3, aborts=False)
    model = Model(setup, lasting=True)
    states, edges = whole_graph(model)
    ranks = range(1, 1 + readers)
    stuck = {
        "progress": starves(model, states, edges, 0, {"a message"})
        or any(starves(model, states, edges, actor, {"the oldest", "another"}) for actor in ranks),
        "starved": any(starves(model, states, edges, actor, {"the oldest"}) for actor in ranks),
    }
    verdicts = {name: explore(setup.variant, readers, blocks, 3, aborts=False, properties=(name,)).status for name in LIVENESS}
    assert verdicts == {name: IS_REFUTED if stuck[name] else HOLDS for name in LIVENESS}


@pytest.mark.parametrize("edits", REFUTED)
def test_the_known_properties_of_progress_are_refuted_and_no_others(edits: str) -> None:
    """Beyond the faults at single steps: the whole graph is built first, so this is on one reader and two blocks."""
    results = {name: explore(Variant.parse(*edits.split()), 1, 2, properties=(name,)) for name in LIVENESS}
    assert {name for name, result in results.items() if result.status == IS_REFUTED} == REFUTED[edits].stuck
    assert all(result.property == name for name, result in results.items() if result.status == IS_REFUTED)


@pytest.mark.parametrize("edits", ["without=W4", "swap=W2,W6"])
def test_a_writer_that_never_writes_anything_makes_no_progress(edits: str) -> None:
    """It goes from block to block without a message: everything else holds, because nothing happens."""
    result = explore(Variant.parse(edits), properties=("progress",))
    assert (result.status, result.property) == (IS_REFUTED, "progress")


def walk(result: Result) -> tuple[Model, list[State], list[Transition]]:
    """The states and steps of a trace in a model without lasting names, where going round means coming back."""
    model = Model(result.setup)
    states, steps = [model.initial()], []
    for step in result.trace:
        steps.append(model.transitions(states[-1])[step.choice])
        states.append(steps[-1].state)
    return model, states, steps


@pytest.mark.parametrize(("edits", "name", "readers"), LASSOS)
def test_a_lasso_comes_back_to_where_it_began_and_starves_somebody_fairly(edits: str, name: str, readers: int) -> None:
    result = explore(Variant.parse(*edits.split()), readers, 2, properties=(name,))
    assert (result.status, result.property) == (IS_REFUTED, name)
    assert result.cycle_start is not None
    first = result.cycle_start - 1
    model, states, steps = walk(result)
    cycle = steps[first:]
    assert cycle
    assert states[first] == states[-1]
    assert result.token is not None
    again = Simulation.replay(result.token)
    assert tuple(again.steps) == result.trace
    end = cycle_at_end(again)
    assert end is not None
    assert end.start == result.cycle_start
    assert name in end.broken
    assert {step.choice[0] for step in cycle} == set(range(len(model.programs)))
    assert not any(ABORTED.intersection(step.seen) for step in cycle)

    lasting = Model(result.setup, lasting=True)
    state, done = lasting.initial(), dict[int, set[str]]()
    waiting = set(range(len(model.programs)))
    for number, record in enumerate(result.trace):
        step = lasting.transitions(state)[record.choice]
        if number >= first:
            done.setdefault(step.choice[0], set()).add(got_done(lasting, state, step))
            waiting -= {actor for actor in waiting if actor and not step.state.owed[actor - 1]}
        state = step.state
    got_nothing = {
        "progress": {actor for actor in waiting if done[actor] == {""}},
        "starved": {actor for actor in waiting if actor and "the oldest" not in done[actor]},
    }
    assert got_nothing[name]


def test_a_lasso_is_printed_with_the_step_from_which_it_repeats() -> None:
    result = explore(ORIGINAL, 1, 2, properties=("starved",))
    lines = str(result).splitlines()
    assert lines[0] == f"policy=scan: 1 readers × 2 blocks: refuted: starved of reader 0, {len(result.trace)} steps"
    (where,) = [number for number, line in enumerate(lines) if "from here on, for ever" in line]
    assert lines[where + 1].split()[0] == str(result.cycle_start)


def test_the_smallest_lasso_is_this_one() -> None:
    """Nobody has written, so no reader has marked anything, so the writer waits for the readers, who wait for the writer."""
    result = explore(PROTOCOL.without("W1"), 1, 1)
    assert result.cycle_start == 1
    assert [(step.actor, step.row) for step in result.trace] == [("writer", "W2"), ("reader 0", "R1"), ("reader 0", "R2")]


def test_nobody_is_starved_by_callers_that_raise_for_ever() -> None:
    """With a caller that raises in every round nothing is ever published; that is not the protocol's fault."""
    _, edges = whole_graph(Model(Setup(readers=1, blocks=1)))
    raising = [number for number, leaving in enumerate(edges) if any("fill-aborted" in step.seen for step, _ in leaving)]
    assert raising
    assert any(target < number for number in raising for step, target in edges[number] if "fill-aborted" in step.seen)
    assert explore(readers=1, blocks=1, properties=LIVENESS).status == HOLDS


def test_a_writer_that_has_written_everything_is_not_starved() -> None:
    assert explore(messages=2, properties=LIVENESS).status == HOLDS


def test_who_waits_for_a_message_that_is_lost_is_refuted_even_when_the_writer_is_through() -> None:
    result = explore(PROTOCOL.without("W6"), 1, 1, messages=1, properties=("progress",), aborts=False)
    assert (result.status, result.property) == (IS_REFUTED, "progress")
    assert result.cycle_start is not None
    assert {step.actor for step in result.trace[result.cycle_start - 1 :]} == {"reader 0"}


def test_a_state_that_nobody_leaves_has_no_steps() -> None:
    graph = Graph(Model(Setup()))
    assert list(graph.edges(0)) == []


WRITE, READ = [0] * 6, [1] * 5
"""Whole rounds of the writer and of the only reader of a ring with one block, as actors."""


@pytest.mark.parametrize(
    ("actors", "aborts", "expected"),
    [
        ([], (), None),
        ([0], (), None),
        ([0] * 6 + [1], (), None),
        ([1, 1], (), Cycle(1, ())),
        ([0, 0, 0, 0, 1, 1], (), Cycle(5, ())),
        ([0] * 3 + [0] * 3 + [1, 1], (2, 5), Cycle(4, ())),
        (WRITE + READ + [0] + WRITE + READ + [0], (), Cycle(13, ())),
        ([*WRITE, 0, 0, 1, 1, 1], (10,), Cycle(7, ())),
    ],
    ids=["nothing", "one-step", "no-way-back", "nothing-owed", "writer-stopped", "fills-raise", "a-whole-lap", "reads-raise"],
)
def test_a_run_of_the_shipped_protocol_never_ends_in_a_cycle_that_starves(
    actors: list[int], aborts: tuple[int, ...], expected: Cycle | None
) -> None:
    """``aborts``: numbers of the steps in which the caller raises. Raising in every lap starves, but is no fault of ours."""
    simulation = Simulation(Setup(readers=1, blocks=1))
    for number, actor in enumerate(actors):
        mine = [place for place, step in enumerate(simulation.possible()) if step.choice[0] == actor]
        simulation.step(mine[-1 if number in aborts else 0])
    assert cycle_at_end(simulation) == expected


@pytest.mark.parametrize("name", LIVENESS)
def test_a_bound_leaves_progress_unknown(name: str) -> None:
    assert explore(PROTOCOL.without("W1"), properties=(name,), max_states=1).status == UNKNOWN


def test_what_breaks_at_a_step_is_reported_before_what_never_happens() -> None:
    result = explore(PROTOCOL.without("R4"))
    assert result.property in SAFETY
    assert explore(PROTOCOL.without("R4"), properties=LIVENESS).property == "progress"
