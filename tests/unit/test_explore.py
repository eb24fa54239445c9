"""The explorer: pinned counts, a second explorer written by hand, brute force, known verdicts, and its bounds."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import pairwise
from typing import Any

import hand_written
import pytest
from edits import explore, whole_graph
from hand_written import CLAUSES, Rules, World
from roster import BENIGN, REFUTED, SIZES, SMALL_ENOUGH

from ringbuffer import checker
from ringbuffer.checker import HOLDS, UNKNOWN, Advance, Result
from ringbuffer.checker import REFUTED as IS_REFUTED
from ringbuffer.errors import GeometryError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant
from ringbuffer.protocol.properties import ALL, BY_NAME, LIVENESS, RACE, SAFETY, WITNESSES
from ringbuffer.simulator import Model, Setup, Simulation, State

JUDGED = tuple(name for name in ALL if name != RACE)
"""What a memory judges that does not look for races."""
KEPT_BY_SCANNING = tuple(name for name in JUDGED if name not in ("reordered", "starved"))


def variant_of(edits: str) -> Variant:
    return Variant.parse(*edits.split())


# How many states and steps there are.

COUNTS = [
    # policy, readers, blocks, aborts, states, transitions, depth
    ("ring", 1, 1, False, 28, 56, 16),
    ("ring", 1, 1, True, 53, 125, 17),
    ("ring", 1, 2, False, 153, 306, 39),
    ("ring", 1, 2, True, 303, 782, 40),
    ("ring", 2, 1, False, 124, 413, 25),
    ("ring", 2, 1, True, 169, 627, 25),
    ("ring", 2, 2, False, 1677, 5398, 61),
    ("ring", 2, 2, True, 2567, 10206, 61),
    ("ring", 3, 2, True, 27285, 152915, 83),
    ("scan", 1, 1, False, 30, 60, 16),
    ("scan", 1, 1, True, 61, 141, 17),
    ("scan", 1, 2, False, 332, 664, 36),
    ("scan", 1, 2, True, 609, 1489, 36),
    ("scan", 2, 1, False, 128, 429, 25),
    ("scan", 2, 1, True, 189, 705, 25),
    ("scan", 2, 2, False, 6904, 22973, 57),
    ("scan", 2, 2, True, 9645, 38113, 57),
]


@pytest.mark.parametrize(("policy", "readers", "blocks", "aborts", "states", "transitions", "depth"), COUNTS)
def test_right_protocols_hold_after_this_many_states(
    policy: str, readers: int, blocks: int, aborts: bool, states: int, transitions: int, depth: int
) -> None:
    """The ring keeps all properties, and scanning all but order, whatever the size: complete, and not vacuous."""
    kept = JUDGED if policy == "ring" else KEPT_BY_SCANNING
    result = explore(PROTOCOL.replace(policy=policy), readers, blocks, aborts=aborts, properties=kept)
    assert (result.status, result.complete, result.vacuous) == (HOLDS, True, ())
    assert (result.property, result.trace, result.token, result.cycle_start) == (None, (), None, None)
    assert (result.states, result.transitions, result.depth) == (states, transitions, depth)


@pytest.mark.parametrize("edits", ["weaken=W2", "weaken=W6", "weaken=R1 weaken=R2 weaken=R4 weaken=W5"])
def test_orderings_make_no_difference_under_sequential_consistency(edits: str) -> None:
    result = explore(variant_of(edits))
    assert (result.status, result.states, result.transitions) == (HOLDS, 2567, 10206)


# The same protocol, explored a second time by hand.


def abstraction(model: Model, state: State) -> tuple[object, ...]:
    """What both explorers mean by a state, but for messages: flags, and who stands where."""
    writer, *readers = state.actors
    blocks = range(model.setup.blocks)
    ranks = range(model.setup.readers)
    return (
        tuple(model.memory.entry(state.memory, block) for block in blocks),
        (model.programs[0][writer.pc].row.id, writer.block, tuple(r for r in ranks if writer.todo >> r & 1), writer.word),
        tuple((model.programs[1][reader.pc].row.id, reader.block, reader.word) for reader in readers),
        tuple(map(len, state.owed)),
    )


def hand_written_abstraction(world: World) -> tuple[object, ...]:
    writer = world.writer
    return (
        tuple((written, *marks) for written, marks in zip(world.written, world.marks, strict=True)),
        (CLAUSES[writer.at], writer.block, tuple(sorted(writer.left)), writer.done),
        tuple((CLAUSES[reader.at], reader.block, reader.done) for reader in world.readers),
        tuple(map(len, world.owed)),
    )


@pytest.mark.parametrize(
    ("policy", "readers", "blocks", "aborts"),
    [
        (policy, *size, aborts)
        for policy in ("ring", "scan")
        for size in SIZES
        for aborts in (False, True)
        if (policy, *size, aborts) != ("scan", 2, 2, False)
    ],
)
def test_an_explorer_written_by_hand_reaches_the_same_states(policy: str, readers: int, blocks: int, aborts: bool) -> None:
    worlds, count = hand_written.reach(Rules(readers, blocks, policy == "scan", aborts))
    model = Model(Setup(PROTOCOL.replace(policy=policy), readers, blocks, aborts=aborts))
    states, edges = whole_graph(model)
    assert {abstraction(model, state) for state in states} == {hand_written_abstraction(world) for world in worlds}
    (counted,) = (row[4:6] for row in COUNTS if row[:4] == (policy, readers, blocks, aborts))
    assert (len(worlds), count) == counted == (len(states), sum(map(len, edges))), "which the explorer counts, too"


# Brute force: states in which messages keep their numbers.


def without_names(model: Model, state: State) -> tuple[object, ...]:
    """A state with its messages numbered as they are met: in what is owed, then in hands, then in blocks."""
    names = {0: 0, -1: -1}

    def name(value: int) -> int:
        return names.setdefault(value, len(names))

    return (
        tuple(tuple(map(name, queue)) for queue in state.owed),
        tuple(actor._replace(message=name(actor.message)) for actor in state.actors),
        tuple(map(name, model.memory.messages(state.memory))),
        tuple(model.memory.entry(state.memory, block) for block in range(model.setup.blocks)),
        state.accepted,
    )


@pytest.mark.parametrize(("edits", "readers", "blocks"), SMALL_ENOUGH)
def test_brute_force_with_three_messages_finds_the_same_faults_at_the_same_depth(edits: str, readers: int, blocks: int) -> None:
    setup = Setup(variant_of(edits), readers, blocks, messages=3, aborts=False)
    model = Model(setup, lasting=True)
    states, edges = whole_graph(model)
    depths = [0] * len(states)
    shortest: dict[str, int] = {}
    for number, leaving in enumerate(edges):
        for step, target in leaving:
            depths[target] = depths[target] or (depths[number] + 1 if target else 0)
            for name in step.broken:
                shortest.setdefault(name, depths[number] + 1)

    def ask(*properties: str) -> Result:
        return explore(setup.variant, readers, blocks, 3, aborts=False, properties=properties)

    assert {name: len(ask(name).trace) for name in shortest} == shortest
    kept = [name for name in SAFETY if name not in shortest and name != RACE]
    if kept:
        result = ask(*kept)
        assert (result.status, result.complete) == (HOLDS, True)
        assert result.states == len({without_names(model, state) for state in states})


# Known verdicts.


@pytest.mark.parametrize("edits", REFUTED)
def test_a_broken_protocol_is_refuted_with_a_shortest_trace_that_replays(edits: str) -> None:
    result = explore(variant_of(edits))
    assert (result.status, result.complete, result.vacuous) == (IS_REFUTED, False, ())
    assert (result.property, len(result.trace)) == REFUTED[edits].first
    assert result.token is not None
    again = Simulation.replay(result.token)
    assert tuple(again.steps) == result.trace
    assert again.setup == result.setup == Setup(variant_of(edits))
    broken = [name for step in result.trace for name in step.broken]
    if result.property in LIVENESS:
        assert result.cycle_start is not None
        assert broken == []
    else:
        assert result.cycle_start is None
        assert result.property in result.trace[-1].broken
        assert broken == list(result.trace[-1].broken)


@pytest.mark.parametrize("edits", [edits for edits, known in REFUTED.items() if known.first[0] in SAFETY])
def test_no_shorter_trace_is_found_by_breadth_first_search_with_lasting_names(edits: str) -> None:
    model = Model(Setup(variant_of(edits), aborts=False), lasting=True)
    level, found, depth = {model.initial()}, set[State](), 0
    while level:
        depth += 1
        found |= level
        steps = [step for state in level for step in model.transitions(state)]
        if any(step.broken for step in steps):
            break
        level = {step.state for step in steps} - found
    assert REFUTED[edits].first[1] == len(explore(model.setup.variant, aborts=False).trace) == depth


@pytest.mark.parametrize("edits", REFUTED)
def test_each_property_that_a_protocol_breaks_is_found_when_it_alone_is_asked_for(edits: str) -> None:
    known = REFUTED[edits]
    results = {name: explore(variant_of(edits), properties=(name,)) for name in known.safety_steps}
    assert {name: len(result.trace) for name, result in results.items()} == known.safety_steps
    for name, result in results.items():
        assert (result.property, result.properties) == (name, (name,))
        assert [name in step.broken for step in result.trace] == [False] * (len(result.trace) - 1) + [True]


@pytest.mark.parametrize(("readers", "blocks"), SIZES)
@pytest.mark.parametrize("edits", BENIGN)
def test_a_benign_edit_is_not_called_wrong(edits: str, readers: int, blocks: int) -> None:
    result = explore(variant_of(edits), readers, blocks)
    assert (result.status, result.property, result.complete, result.vacuous) == (HOLDS, None, True, ())


@pytest.mark.parametrize(("readers", "blocks"), [size for size in SIZES if size != (2, 2)])
@pytest.mark.parametrize("edits", [edits for edits in REFUTED if edits != "policy=scan"])
def test_what_breaks_two_readers_and_two_blocks_breaks_every_smaller_ring(edits: str, readers: int, blocks: int) -> None:
    assert explore(variant_of(edits), readers, blocks).status == IS_REFUTED


def test_scanning_breaks_order_as_soon_as_there_are_two_blocks() -> None:
    refuted = {size: explore(ORIGINAL, *size, aborts=False).property for size in SIZES}
    assert refuted == {(1, 1): None, (1, 2): "reordered", (2, 1): None, (2, 2): "reordered"}


def test_the_scanning_protocol_delivers_the_second_message_first() -> None:
    """The fault that the design reports of real processes: reader 0 receives m2 before m1."""
    last = explore(ORIGINAL).trace[-1]
    assert (last.actor, last.row, last.broken, last.note) == (
        "reader 0",
        "R3",
        ("reordered",),
        "reader 0 receives m2, and was owed m1",
    )


def test_two_writers_meet_in_one_block() -> None:
    result = explore(writers=2)
    assert (result.status, result.property, len(result.trace)) == (IS_REFUTED, "exclusion", 4)
    assert {step.actor for step in result.trace} == {"writer 0", "writer 1"}


def test_two_writers_of_few_messages_reach_finitely_many_states() -> None:
    result = explore(readers=1, blocks=1, writers=2, messages=1, aborts=False, properties=("progress",), max_states=5000)
    assert result.status != UNKNOWN


# What a result says.


def test_all_partners_are_seen_on_two_readers_and_two_blocks() -> None:
    """But for a killed process, which none is unless that is asked for, and for those who follow it."""
    assert explore().seen == {name for name in WITNESSES if int(BY_NAME[name].id[1:]) < 10}
    assert explore(readers=1, killed="reader", properties=SAFETY[:1]).seen >= {"killed", "received"}


def test_the_explorer_asks_the_shipped_protocol_of_two_readers_and_two_blocks_unless_told_otherwise() -> None:
    """Its reductions are on: payloads are merged to one word, and readers keep their names, because progress is judged."""
    result = checker.explore()
    assert result.setup == Setup(PROTOCOL, 2, 2, 1, 1, None, True, "sc", 0, "")
    assert (result.status, result.properties, result.vacuous, result.capped) == (HOLDS, JUDGED, (), False)
    assert result.reductions == ("rotation", "payload", "settled")
    assert (result.states, result.transitions) == (717, 2628)


def test_without_reductions_the_explorer_asks_about_payloads_of_two_words() -> None:
    result = checker.explore(reductions=())
    assert result.setup == Setup(PROTOCOL, 2, 2, 2, 1, None, True, "sc", 0, "")
    assert (result.properties, result.reductions, result.states) == (JUDGED, (), 2567)


@pytest.mark.parametrize(
    ("memory", "asked", "judged"),
    [
        ("sc", None, JUDGED),
        ("tso", None, JUDGED),
        ("ra", None, SAFETY),
        ("ra-relaxed", None, tuple(name for name in SAFETY if name != RACE)),
        ("sc", ("starved", "torn", "race"), ("torn", "starved")),
        ("ra", ("torn", "progress"), ("torn", "race")),
        ("ra", ("race",), ("race",)),
    ],
)
def test_a_result_says_which_properties_its_memory_could_judge(
    memory: str, asked: tuple[str, ...] | None, judged: tuple[str, ...]
) -> None:
    assert explore(readers=1, blocks=1, memory=memory, properties=asked).properties == judged


@pytest.mark.parametrize(
    ("memory", "asked"),
    [("sc", ("race",)), ("tso", ("race",)), ("ra-relaxed", ("race",)), ("ra-relaxed", LIVENESS), ("ra", LIVENESS)],
)
def test_what_a_memory_cannot_judge_is_refused(memory: str, asked: tuple[str, ...]) -> None:
    words = re.escape(f"{', '.join(asked)} cannot be judged under the memory {memory!r}")
    with pytest.raises(VariantError, match=words):
        explore(memory=memory, properties=asked)


@pytest.mark.parametrize(
    ("messages", "vacuous"),
    [
        (1, ("recycled", "writer-waits", "backlog", "side-by-side")),
        (2, ("recycled", "writer-waits")),
        (3, ()),
        (4, ()),
    ],
)
def test_what_holds_only_because_nothing_happened_is_called_vacuous(messages: int, vacuous: tuple[str, ...]) -> None:
    """With as many messages as blocks, no block is written twice and the writer never waits."""
    result = explore(messages=messages)
    assert (result.status, result.complete, result.vacuous) == (HOLDS, True, vacuous)


def test_what_holds_only_because_nothing_happened_is_printed_as_such() -> None:
    result = explore(messages=1)
    assert result.vacuous
    assert all(name in str(result) for name in result.vacuous)


def test_an_exploration_is_a_function_of_its_inputs() -> None:
    for variant in (PROTOCOL, ORIGINAL, PROTOCOL.without("W2")):
        first, second = (dataclasses.replace(explore(variant), seconds=0.0) for _ in range(2))
        assert first == second


@pytest.mark.parametrize(("max_states", "status"), [(1, UNKNOWN), (100, UNKNOWN), (2566, UNKNOWN), (2567, HOLDS)])
def test_a_bound_that_stops_the_search_makes_the_verdict_unknown(max_states: int, status: str) -> None:
    result = explore(max_states=max_states)
    assert (result.status, result.complete) == (status, status == HOLDS)
    assert (result.property, result.trace, result.token, result.vacuous) == (None, (), None, ())
    assert result.states >= max_states


def test_a_fault_within_the_bound_is_still_found() -> None:
    whole = explore(PROTOCOL.without("R2"))
    assert explore(PROTOCOL.without("R2"), max_states=whole.states).status == IS_REFUTED
    assert explore(PROTOCOL.without("R2"), max_states=2).status == UNKNOWN


NO_READER = PROTOCOL.without("R1").without("R2").without("R3").without("R4")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_states": 0}, GeometryError, "max_states is 0, and at least the initial state is visited"),
        ({"readers": 0}, GeometryError, "readers is 0, and a simulated ring has 1 to 16"),
        ({"readers": 17}, GeometryError, "readers is 17"),
        ({"blocks": 0}, GeometryError, "blocks is 0"),
        ({"words": 0}, GeometryError, "words is 0"),
        ({"writers": 0}, GeometryError, "writers is 0"),
        ({"writers": 5}, GeometryError, "writers is 5"),
        ({"messages": 0}, GeometryError, "messages is 0"),
        ({"messages": 1001}, GeometryError, "messages is 1001"),
        ({"memory": "dram"}, VariantError, "unknown memory 'dram'"),
        ({"twins": 2}, GeometryError, "twins is 2, and rank 0 can have up to 1"),
        ({"twins": -1}, GeometryError, "twins is -1"),
        ({"killed": "nobody"}, VariantError, "killed is 'nobody', and it is one of '', 'reader', 'writer', 'anyone'"),
        ({"reductions": ("names",)}, VariantError, "unknown reduction 'names'; the reductions are rotation, symmetry,"),
        ({"properties": ("speed",)}, VariantError, "unknown property 'speed'"),
        ({"properties": ("received",)}, VariantError, "unknown property 'received'"),
        ({"variant": NO_READER}, VariantError, "the reader's table has no rows left"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_question_that_makes_no_sense_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        explore(**arguments)


def test_how_far_the_search_is_is_reported_now_and_then() -> None:
    heard: list[Advance] = []
    result = explore(ORIGINAL, properties=("torn",), on_advance=heard.append)
    assert [advance.visited for advance in heard] == [0, 4096, 8192]
    assert heard[0].found == 1
    assert heard[0].depth == 0
    for before, after in pairwise(heard):
        assert before.visited < before.found <= after.found <= result.states or before is heard[0]
        assert before.depth < after.depth <= result.depth
        assert before.seconds <= after.seconds <= result.seconds


def test_a_refutation_prints_its_trace_and_what_broke() -> None:
    lines = str(explore(PROTOCOL.without("R2"))).splitlines()
    assert lines[0] == "without=R2: 2 readers × 2 blocks: refuted: exclusion, 3 steps"
    assert [line.split()[:4] for line in lines[2:5]] == [
        ["1", "writer", "W1", "0"],
        ["2", "writer", "W3", "0"],
        ["3", "reader", "0", "R1"],
    ]
    assert lines[5] == "      ✗ P6 exclusion is broken: while a writer is in a block, nobody else is in that block"


def test_what_holds_prints_the_number_of_states() -> None:
    assert str(explore()).startswith("shipped: 2 readers × 2 blocks: holds (2567 states, ")
    assert str(explore(max_states=1)).startswith("shipped: 2 readers × 2 blocks: unknown (")


@pytest.mark.parametrize("edits", ["", "without=R2", "without=W2"])
def test_a_result_is_plain_json(edits: str) -> None:
    result = explore(variant_of(edits))
    found = json.loads(json.dumps(result.as_json()))
    assert found["variant"] == str(result.setup.variant)
    assert (found["readers"], found["blocks"], found["messages"], found["memory"]) == (2, 2, None, "sc")
    assert (found["status"], found["property"], found["states"]) == (result.status, result.property, result.states)
    assert (found["token"], found["complete"], found["seen"]) == (result.token, result.complete, sorted(result.seen))
    assert found["cycle_start"] == result.cycle_start
    assert len(found["trace"]) == len(result.trace)
    for step, record in zip(result.trace, found["trace"], strict=True):
        assert (record["actor"], record["row"], record["access"], record["value"]) == (
            step.actor,
            step.row,
            step.access,
            step.value,
        )
        assert record["case"] == int(step.case)
