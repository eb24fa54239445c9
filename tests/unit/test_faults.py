"""Faults of processes: two writers, two processes of one rank, a killed reader, a killed writer. What they break, and what not.

What is expected follows from what the protocol says of one writer and one process for each rank:

* Two writers claim the same block, so they break everything but, on a ring of one block, the order of messages.
* Two processes of one rank share a read flag: a message comes twice, and the writer takes a block back that one of the two is
  still reading; but what it takes back has been received by the rank. On one block they stay in step; on two they do not, and
  end up waiting for each other.
* A killed reader breaks nothing that is read, and stops the writer. The other readers still get what there is.
* A killed writer breaks nothing: what it has published is received, and what it has not is owed to nobody.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from edits import explore, whole_graph

from ringbuffer import checker
from ringbuffer.checker import HOLDS, Result
from ringbuffer.checker import REFUTED as IS_REFUTED
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.protocol.properties import ALL, LIVENESS, RACE, SAFETY
from ringbuffer.simulator import DEAD, FLUSH, KILL, Model, Setup, Simulation, State
from ringbuffer.trace.record import Step

WRITER_ROWS, READER_ROWS = ("W1", "W2", "W3", "W4", "W5", "W6"), ("R1", "R2", "R3", "R4")
FAULTS: dict[str, dict[str, Any]] = {
    "two-writers": {"writers": 2},
    "twins": {"twins": 1},
    "killed-reader": {"killed": "reader"},
    "killed-writer": {"killed": "writer"},
}
JUDGED = tuple(name for name in ALL if name != RACE)


def names(setup: Setup) -> list[str]:
    model = Model(setup)
    return [model.actor_name(actor) for actor in range(len(model.programs))]


def drive(simulation: Simulation, script: str) -> list[Step]:
    """Take steps by actor and kind: a number is an actor's first possible step, ``k`` behind it kills it, ``f`` flushes."""
    done = []
    for word in script.split():
        actor, detail = int(word[0]), {"k": KILL, "f": FLUSH}.get(word[1:])
        choices = [step.choice for step in simulation.possible()]
        mine = [choice for choice in choices if choice[0] == actor and (detail is None or choice[1] == detail)]
        done.append(simulation.take(mine[0]))
    return done


# Who there is.


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["writer", "reader 0", "reader 1"]),
        ({"writers": 2}, ["writer 0", "writer 1", "reader 0", "reader 1"]),
        ({"twins": 1}, ["writer", "reader 0", "reader 1", "twin 0"]),
        ({"readers": 1, "twins": 1}, ["writer", "reader 0", "twin 0"]),
        ({"writers": 2, "twins": 1}, ["writer 0", "writer 1", "reader 0", "reader 1", "twin 0"]),
        ({"killed": "reader"}, ["writer", "reader 0", "reader 1"]),
    ],
)
def test_actors_are_named_and_known_by_rank(fields: dict[str, Any], expected: list[str]) -> None:
    model = Model(Setup(**fields))
    assert names(model.setup) == expected
    for actor, name in enumerate(expected):
        kind, _, number = name.partition(" ")
        assert model.rank_of(actor) == (-1 if kind == "writer" else int(number))
        assert model.programs[actor] == PROTOCOL.programs[kind != "writer"]


def test_a_twin_looks_at_the_same_flags_as_reader_0_and_is_owed_the_same() -> None:
    simulation = Simulation(Setup(readers=2, blocks=1, twins=1))
    assert len(simulation.state.owed) == 2
    steps = drive(simulation, "0 0 0 0 0 0 0 3 3 3 3 3 1")
    assert [(step.actor, step.location, step.value) for step in steps[-2:]] == [
        ("twin 0", "read[0]", 1),
        ("reader 0", "read[0]", 1),
    ]
    assert simulation.state.owed == ((), (1,))


# Who may be killed, where, and what becomes of it.


@pytest.mark.parametrize(
    ("fields", "rows", "victims"),
    [
        ({"readers": 1, "blocks": 1, "killed": "reader"}, READER_ROWS, ("reader 0",)),
        ({"readers": 1, "blocks": 2, "killed": "reader"}, READER_ROWS, ("reader 0",)),
        ({"readers": 2, "blocks": 1, "killed": "reader"}, READER_ROWS, ("reader 0", "reader 1")),
        ({"readers": 1, "blocks": 1, "killed": "reader", "twins": 1}, READER_ROWS, ("reader 0", "twin 0")),
        ({"readers": 1, "blocks": 1, "killed": "writer"}, WRITER_ROWS, ("writer",)),
        ({"readers": 1, "blocks": 2, "killed": "writer"}, WRITER_ROWS, ("writer",)),
        ({"readers": 1, "blocks": 1, "killed": "writer", "writers": 2, "words": 1}, WRITER_ROWS, ("writer 0", "writer 1")),
        ({"readers": 1, "blocks": 1, "killed": "reader", "memory": "tso"}, READER_ROWS, ("reader 0",)),
        ({"readers": 1, "blocks": 1, "killed": "writer", "memory": "tso"}, WRITER_ROWS, ("writer",)),
        ({"readers": 1, "blocks": 1, "killed": "writer", "memory": "ra"}, WRITER_ROWS, ("writer",)),
    ],
    ids=str,
)
def test_one_process_is_killed_at_any_row_and_takes_no_further_step(
    fields: dict[str, Any], rows: tuple[str, ...], victims: tuple[str, ...]
) -> None:
    """At any word of a payload, too, and before any flag of several. Its store buffer still drains."""
    model = Model(Setup(**fields, aborts=False))
    states, edges = whole_graph(model)
    killed_at: set[tuple[str, str]] = set()
    places: set[tuple[int, ...]] = set()
    flushed = 0
    for state, leaving in zip(states, edges, strict=True):
        dead = [actor for actor, me in enumerate(state.actors) if me.pc == DEAD]
        kills = {step.choice[0] for step, _ in leaving if step.choice[1] == KILL}
        may_die = {actor for actor in range(len(state.actors)) if model.actor_name(actor) in victims}
        assert len(dead) <= 1
        assert kills == (set() if dead else may_die)
        for actor in dead:
            own = [step for step, _ in leaving if step.choice[0] == actor]
            assert [step.choice[1] for step in own] == ([FLUSH] if under_way(model, state, actor) else [])
            flushed += len(own)
        for step, _ in leaving:
            actor, detail, _ = step.choice
            if detail == KILL:
                me = state.actors[actor]
                killed_at.add((model.actor_name(actor), model.programs[actor][me.pc].row.id))
                places.add((me.pc, me.todo, me.word))
                assert (step.broken, step.seen) == ((), ("killed",))
                assert step.state.actors[actor].pc == DEAD
                assert flags_of(model, step.state) == flags_of(model, state)
    assert killed_at == {(name, row) for name in victims for row in rows}
    payload = rows.index("W4" if "W4" in rows else "R3")
    assert {word for pc, _, word in places if pc == payload} == set(range(model.setup.words))
    assert bool(flushed) == (model.setup.memory == "tso")


def under_way(model: Model, state: State, actor: int) -> bool:
    return model.setup.memory == "tso" and bool(state.memory.buffers[actor])


def flags_of(model: Model, state: State) -> list[object]:
    return [model.memory.entry(state.memory, block) for block in range(model.setup.blocks)]


@pytest.mark.parametrize("memory", ["sc", "tso", "ra"])
def test_nobody_is_killed_unless_that_is_asked_for(memory: str) -> None:
    _, edges = whole_graph(Model(Setup(readers=1, blocks=1, words=1, memory=memory)))
    assert not any(step.choice[1] == KILL for leaving in edges for step, _ in leaving)


def test_a_killing_is_recorded_with_the_row_before_which_it_happened() -> None:
    simulation = Simulation(Setup(readers=1, blocks=2, killed="reader"))
    step = drive(simulation, "1 1k")[-1]
    assert (step.actor, step.row, step.kind, step.access, step.note, step.goes_to, step.block) == (
        "reader 0",
        "R2",
        "kill",
        "killed",
        "is killed before this access",
        "",
        0,
    )
    assert (step.broken, step.reads_from, step.stale, step.location, step.ordering) == ((), None, False, "", "")


def test_the_stores_of_a_killed_writer_reach_memory_and_its_message_is_received() -> None:
    simulation = Simulation(Setup(readers=1, blocks=1, words=1, memory="tso", killed="writer"))
    drive(simulation, "0 0 0 0 0 0k")
    assert simulation.ring(simulation.state)[0] == ((0, 0), (0,))
    assert simulation.state.owed == ((1,),)
    steps = drive(simulation, "0f 0f 0f 0f 1 1 1")
    assert [(step.actor, step.row, step.kind) for step in steps[:4]] == [
        ("writer", row, "flush") for row in ("W3", "W4", "W5", "W6")
    ]
    assert simulation.ring(simulation.state)[0] == ((1, 0), (1,))
    assert steps[-1].note == "reader 0 receives m1"
    assert not any(simulation.state.owed)
    assert not any(step.choice[0] == 0 for step in simulation.possible())


@pytest.mark.parametrize("memory", ["sc", "tso", "ra"])
@pytest.mark.parametrize(
    ("steps", "owed"),
    [(2, ()), (3, ()), (4, ()), (5, ()), (6, ()), (7, (1,))],
    ids=["claimed", "half-filled", "filled", "half-cleared", "cleared", "published"],
)
def test_what_a_killed_writer_has_not_published_is_owed_to_nobody(memory: str, steps: int, owed: tuple[int, ...]) -> None:
    simulation = Simulation(Setup(readers=2, blocks=2, words=2, memory=memory, killed="writer"))
    drive(simulation, "0 " * steps + "0k")
    assert simulation.state.owed == (owed, owed)


def test_a_message_that_was_published_before_it_was_cleared_for_is_owed_even_when_the_writer_is_killed_between() -> None:
    simulation = Simulation(Setup(PROTOCOL.swapped("W5", "W6"), readers=1, blocks=1, killed="writer"))
    drive(simulation, "0 0 0 0 0 0k")
    assert simulation.steps[-1].row == "W5"
    assert simulation.state.owed == ((1,),)


def test_a_killed_reader_is_owed_what_it_was_owed() -> None:
    simulation = Simulation(Setup(readers=2, blocks=1, words=1, killed="reader"))
    drive(simulation, "0 0 0 0 0 0 1 1 1k 2 2 2")
    assert simulation.state.owed == ((1,), ())


# Tokens.


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"writers": 2}, "r2b2p2w2m0a1t0knsc"),
        ({"twins": 1}, "r2b2p2w1m0a1t1knsc"),
        ({"killed": "reader", "memory": "tso"}, "r2b2p2w1m0a1t0krtso"),
        ({"killed": "writer", "memory": "ra"}, "r2b2p2w1m0a1t0kwra"),
        ({"writers": 2, "twins": 1, "killed": "writer", "messages": 3}, "r2b2p2w2m3a1t1kwsc"),
        ({"twins": 1, "killed": "reader", "memory": "ra-relaxed"}, "r2b2p2w1m0a1t1krra_relaxed"),
    ],
)
def test_a_token_names_the_fault_and_brings_its_run_back(fields: dict[str, Any], text: str) -> None:
    setup = Setup(**fields)
    kinds: set[str] = set()
    for seed in range(5):
        first = Simulation(setup)
        first.run(seed, 40)
        token = first.token()
        assert token.split(".")[1] == text
        again = Simulation.replay(token)
        assert again.setup == setup
        assert again.steps == first.steps
        kinds |= {step.kind for step in first.steps}
    assert ("kill" in kinds) == bool(setup.killed)


# What each fault breaks.

STATES = [
    # fault, readers, blocks, aborts, states, transitions
    ("two-writers", 1, 1, False, 1377, 4131),
    ("twins", 1, 1, False, 240, 720),
    ("twins", 2, 1, False, 1202, 5250),
    ("killed-reader", 1, 1, False, 44, 100),
    ("killed-reader", 1, 1, True, 84, 218),
    ("killed-reader", 1, 2, False, 224, 530),
    ("killed-reader", 2, 1, False, 260, 975),
    ("killed-reader", 2, 2, False, 3223, 12182),
    ("killed-writer", 1, 1, False, 42, 98),
    ("killed-writer", 1, 2, False, 233, 539),
    ("killed-writer", 2, 1, False, 178, 645),
    ("killed-writer", 2, 2, False, 2439, 8599),
]


@pytest.mark.parametrize(("fault", "readers", "blocks", "aborts", "states", "transitions"), STATES)
def test_with_a_fault_there_are_this_many_states(
    fault: str, readers: int, blocks: int, aborts: bool, states: int, transitions: int
) -> None:
    """Those of the whole graph, which the explorer visits as well where the property holds."""
    reached, edges = whole_graph(Model(Setup(readers=readers, blocks=blocks, aborts=aborts, **FAULTS[fault])))
    assert (len(reached), sum(map(len, edges))) == (states, transitions)
    living = [number for number, state in enumerate(reached) if all(me.pc != DEAD for me in state.actors)]
    steps = sum(step.choice[1] != KILL for number in living for step, _ in edges[number])
    if fault.startswith("killed"):
        alive, without_kills = whole_graph(Model(Setup(readers=readers, blocks=blocks, aborts=aborts)))
        assert (len(living), steps) == (len(alive), sum(map(len, without_kills)))
    else:
        assert len(living) == len(reached)
    kept = "overwritten" if fault != "two-writers" else "reordered"
    result = explore(PROTOCOL, readers, blocks, aborts=aborts, properties=(kept,), **FAULTS[fault])
    assert (result.status, result.complete) == (HOLDS, True)
    assert (result.states, result.transitions) == (states, transitions)


Refuted = dict[str, int]
VERDICTS: dict[tuple[str, int, int], Refuted] = {
    ("two-writers", 1, 1): {"torn": 13, "stale": 13, "lost": 14, "overwritten": 7, "exclusion": 4, "progress": 19},
    ("two-writers", 1, 2): {"torn": 13, "stale": 13, "reordered": 18, "lost": 14, "overwritten": 7, "exclusion": 4},
    ("two-writers", 2, 2): {"torn": 14, "stale": 14, "reordered": 19, "lost": 15, "overwritten": 7, "exclusion": 4},
    ("twins", 1, 1): {"torn": 19, "stale": 14, "lost": 21, "exclusion": 16},
    ("twins", 1, 2): {
        "torn": 25, "stale": 14, "reordered": 26, "lost": 27, "exclusion": 22, "progress": 37, "starved": 37,
    },
    ("twins", 2, 1): {"torn": 26, "stale": 15, "lost": 28, "exclusion": 23},
    ("killed-reader", 1, 1): {"progress": 13},
    ("killed-reader", 1, 2): {"progress": 19},
    ("killed-reader", 2, 1): {"progress": 20},
    ("killed-reader", 2, 2): {"progress": 32},
    ("killed-writer", 1, 1): {},
    ("killed-writer", 1, 2): {},
    ("killed-writer", 2, 1): {},
    ("killed-writer", 2, 2): {},
}  # fmt: skip
"""For each fault and size, the properties that it breaks and the lengths of the shortest runs, callers never raising.

Two writers on two blocks have too many states for what holds, and for progress, to be asked here.
"""
ASKED = [
    (fault, readers, blocks, name)
    for (fault, readers, blocks), refuted in VERDICTS.items()
    for name in JUDGED
    if name in refuted or fault != "two-writers" or blocks == 1
]


@cache
def ask(fault: str, readers: int, blocks: int, name: str, variant: Variant = PROTOCOL, **options: Any) -> Result:
    return explore(variant, readers, blocks, aborts=False, properties=(name,), **{**FAULTS[fault], **options})


@pytest.mark.parametrize(("fault", "readers", "blocks", "name"), ASKED)
def test_a_fault_breaks_these_properties_and_no_others(fault: str, readers: int, blocks: int, name: str) -> None:
    steps = VERDICTS[fault, readers, blocks].get(name)
    result = ask(fault, readers, blocks, name)
    assert result.properties == (name,)
    if steps is None:
        assert (result.status, result.complete, result.property) == (HOLDS, True, None)
        return
    assert (result.status, result.property, len(result.trace)) == (IS_REFUTED, name, steps)
    assert result.token is not None
    assert tuple(Simulation.replay(result.token).steps) == result.trace
    assert (result.cycle_start is None) == (name in SAFETY)


@pytest.mark.parametrize(
    ("fault", "readers", "blocks", "name"), [question for question in ASKED if question[1:3] in ((1, 1), (2, 1))]
)
def test_reductions_do_not_change_these_verdicts(fault: str, readers: int, blocks: int, name: str) -> None:
    plain = ask(fault, readers, blocks, name)
    reduced = checker.explore(PROTOCOL, readers, blocks, aborts=False, properties=(name,), max_states=50_000, **FAULTS[fault])
    assert (reduced.status, reduced.property) == (plain.status, plain.property)
    assert reduced.states <= plain.states
    if reduced.token is not None:
        assert tuple(Simulation.replay(reduced.token).steps) == reduced.trace


@pytest.mark.parametrize("fault", ["killed-reader", "killed-writer"])
def test_under_total_store_order_a_killed_process_breaks_the_same(fault: str) -> None:
    broken = {name for name in JUDGED if ask(fault, 1, 1, name, memory="tso", words=1).status == IS_REFUTED}
    assert broken == set(VERDICTS[fault, 1, 1])


@pytest.mark.parametrize("fault", ["killed-reader", "killed-writer"])
def test_under_release_acquire_a_killed_process_breaks_nothing_that_can_be_judged_there(fault: str) -> None:
    result = explore(PROTOCOL, 1, 1, memory="ra", words=1, aborts=False, **FAULTS[fault])
    assert (result.status, result.properties, result.complete) == (HOLDS, SAFETY, True)
    assert "killed" in result.seen


def test_a_message_comes_twice_to_two_processes_of_one_rank() -> None:
    trace = ask("twins", 1, 1, "stale").trace
    assert [step.actor for step in trace].count("writer") == 6
    assert {step.actor for step in trace} == {"writer", "reader 0", "twin 0"}
    assert trace[-1].note.startswith("reader 0 receives m1")


def test_a_killed_reader_stops_the_writer_for_ever() -> None:
    """In the cycle the writer looks again and again at a flag that nobody will set any more."""
    result = ask("killed-reader", 2, 1, "progress")
    assert result.starved == "writer"
    assert result.cycle_start is not None
    assert [step.kind for step in result.trace].count("kill") == 1
    (victim,) = {step.actor for step in result.trace if step.kind == "kill"}
    cycle = result.trace[result.cycle_start - 1 :]
    assert {step.actor for step in cycle} == {"writer", "reader 0", "reader 1"} - {victim}
    assert {step.row for step in cycle if step.actor == "writer"} == {"W1", "W2"}


def test_a_writer_that_claims_nothing_is_found_out_when_it_is_killed() -> None:
    """Without W3 the old written flag stands over what is filled anew: known benign, but not when the writer is killed while it
    clears the read flags, for then one reader gets the message and another never does."""
    assert explore(PROTOCOL.without("W3"), 2, 1, aborts=False, properties=JUDGED).status == HOLDS
    assert ask("killed-writer", 2, 1, "progress", PROTOCOL.without("W3")).status == IS_REFUTED


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", LIVENESS)
def test_with_no_processes_at_fault_everything_holds(fault: str, name: str) -> None:
    """What is refuted above is refuted for the fault: the same question without it holds."""
    quiet = {"two-writers": {"writers": 1}, "twins": {"twins": 0}}.get(fault, {"killed": ""})
    assert ask(fault, 1, 2, name, **quiet).status == HOLDS
