"""The model and its runs: a run is a function of its inputs, both ways of naming messages agree, and faults are seen."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import product
from typing import Any, TypeAlias

import pytest
from edits import variants
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.errors import GeometryError, VariantError
from ringbuffer.memory.base import Shape
from ringbuffer.memory.sequential import SequentiallyConsistent
from ringbuffer.memory.tso import Buffered
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Case, Variant, classify
from ringbuffer.simulator import MESSAGES_MAX, TORN, WRITERS_MAX, Model, Setup, Simulation, State, follow
from ringbuffer.state import stored_at, unmarked
from ringbuffer.trace.record import Step

SETUPS = st.builds(
    Setup,
    variants(edits_max=3),
    st.integers(1, 3),
    st.integers(1, 3),
    words=st.integers(1, 3),
    writers=st.integers(1, 2),
    messages=st.none() | st.integers(1, 5),
    aborts=st.booleans(),
    memory=st.sampled_from(["sc", "tso"]),
    twins=st.integers(0, 1),
    killed=st.sampled_from(["", "reader", "writer"]),
)


def drive(simulation: Simulation, script: str) -> list[Step]:
    """Take steps by name: ``w`` is the writer, a digit that reader; ``!`` behind it lets its caller raise.

    Where ``read[*]`` is visited the lowest rank is next.
    """
    done = []
    for word in script.split():
        actor = 0 if word[0] == "w" else simulation.setup.writers + int(word[0])
        mine = [number for number, step in enumerate(simulation.possible()) if step.choice[0] == actor]
        done.append(simulation.step(mine[-1 if word.endswith("!") else 0]))
    return done


def renamed_alike(model: Model, one: State, other: State) -> bool:
    """Whether the two states are the same but for the numbers of messages."""
    pairs: set[tuple[int, int]] = {(0, 0), (TORN, TORN)}
    for ours, theirs in zip(
        (*model.memory.messages(one.memory), *(a.message for a in one.actors), *sum(one.owed, ())),
        (*model.memory.messages(other.memory), *(a.message for a in other.actors), *sum(other.owed, ())),
        strict=True,
    ):
        pairs.add((ours, theirs))
    one_to_one = len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})
    nameless = [model.memory.renamed(s.memory, dict.fromkeys(model.memory.messages(s.memory), 0)) for s in (one, other)]
    places = [[actor._replace(message=0) for actor in s.actors] for s in (one, other)]
    shapes = [[len(queue) for queue in s.owed] for s in (one, other)]
    return one_to_one and nameless[0] == nameless[1] and places[0] == places[1] and shapes[0] == shapes[1]


@settings(deadline=None, max_examples=50)
@given(SETUPS, st.integers(0, 2**32))
def test_a_run_is_a_function_of_its_setup_and_its_seed(setup: Setup, seed: int) -> None:
    first, second = Simulation(setup), Simulation(setup)
    assert first.run(seed, 40) == second.run(seed, 40) == first.steps
    assert first.state == second.state


def test_another_seed_is_another_run() -> None:
    runs = []
    for seed in range(5):
        simulation = Simulation(Setup())
        runs.append(tuple(simulation.run(seed, 30)))
    assert len(set(runs)) == 5


@settings(deadline=None, max_examples=50)
@given(SETUPS, st.integers(0, 2**32))
def test_the_steps_of_a_state_come_in_a_fixed_order_actor_by_actor(setup: Setup, seed: int) -> None:
    simulation = Simulation(setup)
    simulation.run(seed, 30)
    choices = [step.choice for step in simulation.possible()]
    assert choices == [step.choice for step in Model(setup, lasting=True, marking=True).transitions(simulation.state)]
    assert len(set(choices)) == len(choices)
    assert [actor for actor, _, _ in choices] == sorted(actor for actor, _, _ in choices)
    rows = [choice for choice in choices if choice[1] >= 0]
    assert rows == sorted(rows)
    for actor in range(simulation.model.shape.actors):
        own = [detail for who, detail, _ in choices if who == actor]
        assert own == [*(detail for detail in own if detail >= 0), *sorted(d for d in own if d < 0)]


@settings(deadline=None, max_examples=60)
@given(SETUPS, st.integers(0, 2**32))
def test_both_ways_of_naming_messages_offer_the_same_choices_along_a_run(setup: Setup, seed: int) -> None:
    """And so does marking what is stored, which the simulation does; but it has no bound on store buffers."""
    simulation, model = Simulation(setup), Model(setup)
    lasting_model = Model(setup, lasting=True)
    state, lasting = model.initial(), lasting_model.initial()
    assert state == lasting == simulation.state
    for step in simulation.run(seed, 50):
        ours, theirs = model.transitions(state), lasting_model.transitions(lasting)
        assert model.memory.capped == lasting_model.memory.capped
        if model.memory.capped:
            return
        assert [(t.choice, t.broken, t.seen, t.progress) for t in ours] == [
            (t.choice, t.broken, t.seen, t.progress) for t in theirs
        ]
        state, lasting = ours[step.choice].state, theirs[step.choice].state
        assert renamed_alike(model, state, lasting)
        assert lasting.taken == 0
    assert lasting == without_marks(simulation)
    assert simulation.state.taken == len(simulation.steps)


def without_marks(simulation: Simulation) -> State:
    """Where a run has come to, as a model has it that marks nothing."""
    marked: Any = simulation.state.memory
    if simulation.setup.memory == "tso":
        buffers = tuple(tuple((location, unmarked(value)) for location, value in buffer) for buffer in marked.buffers)
        memory: object = Buffered(tuple(map(unmarked, marked.cells)), buffers)
    else:
        memory = tuple(map(unmarked, marked))
    return simulation.state._replace(memory=memory, taken=0)


@settings(deadline=None, max_examples=30)
@given(SETUPS, st.integers(0, 2**32))
def test_states_that_differ_in_names_only_are_one_state_without_lasting_names(setup: Setup, seed: int) -> None:
    """The names are small and met in order, so there are finitely many states, whatever was written before."""
    model = Model(setup)
    state, draw = model.initial(), random.Random(seed)
    for _ in range(50):
        possible = model.transitions(state)
        if not possible:
            break
        state = draw.choice(possible).state
        met = [value for value in model.memory.messages(state.memory) if value > 0]
        met += [actor.message for actor in state.actors if actor.message > 0]
        met += [message for queue in state.owed for message in queue]
        assert list(dict.fromkeys(met)) == list(range(1, 1 + len(set(met))))
        assert state.begun == 0
        assert setup.messages is not None or state.accepted == 0


@settings(deadline=None, max_examples=50)
@given(SETUPS, st.integers(0, 2**32))
def test_following_the_choices_of_a_run_is_that_run(setup: Setup, seed: int) -> None:
    simulation = Simulation(setup)
    choices = []
    for step in Simulation(setup).run(seed, 30):
        choices.append(simulation.possible()[step.choice].choice)
        simulation.step(step.choice)
    assert follow(setup, choices).steps == simulation.steps


def test_a_step_that_is_not_possible_is_refused_and_changes_nothing() -> None:
    simulation = Simulation(Setup())
    before = simulation.state
    with pytest.raises(IndexError):
        simulation.step(3)
    with pytest.raises(ValueError, match="not in list"):
        simulation.take((0, 1, 0))
    assert (simulation.state, simulation.steps) == (before, [])


def test_a_negative_number_is_no_step_either() -> None:
    simulation = Simulation(Setup())
    with pytest.raises(IndexError):
        simulation.step(-1)
    assert simulation.steps == []


def test_a_run_ends_where_no_step_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a memory that answers no load, everybody is stuck at the first row."""
    memory = SequentiallyConsistent(Shape(2, 2))
    monkeypatch.setattr(memory, "load", lambda *_: ())
    assert Simulation(Setup(), memory=memory).run(1, 10) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"writers": 0}, f"writers is 0, and a simulated ring has 1 to {WRITERS_MAX}"),
        ({"writers": WRITERS_MAX + 1}, "writers is 5"),
        ({"messages": 0}, f"messages is 0, and it is None .unbounded. or 1 to {MESSAGES_MAX}"),
        ({"messages": MESSAGES_MAX + 1}, "messages is 1001"),
        ({"readers": 0}, "readers is 0"),
        ({"blocks": 17}, "blocks is 17"),
        ({"words": 9}, "words is 9"),
    ],
)
def test_a_setup_out_of_bounds_is_refused(fields: dict[str, int], words: str) -> None:
    with pytest.raises(GeometryError, match=words):
        Simulation(Setup(**fields))  # type: ignore[arg-type]


def test_an_unknown_memory_is_refused() -> None:
    with pytest.raises(VariantError, match="unknown memory 'dram'"):
        Simulation(Setup(memory="dram"))


def test_actors_are_named_for_people() -> None:
    assert [Model(Setup()).actor_name(actor) for actor in range(3)] == ["writer", "reader 0", "reader 1"]
    assert [Model(Setup(writers=2)).actor_name(actor) for actor in range(4)] == ["writer 0", "writer 1", "reader 0", "reader 1"]


ONE_MESSAGE = "w w w w w w w 0 0 0 0 0 1 1 1 1 1"
"""One reader after the other gets the first message of a ring with two blocks."""


def test_one_message_through_the_ring_is_this_list_of_steps() -> None:
    simulation = Simulation(Setup())
    steps = drive(simulation, ONE_MESSAGE)
    assert [(s.actor, s.row, s.location, s.value, s.flags, s.payload, s.goes_to, s.note) for s in steps] == [
        ("writer", "W1", "written", 0, (0, 0, 0), (0, 0), "W3", ""),
        ("writer", "W3", "written", 0, (0, 0, 0), (0, 0), "W4", ""),
        ("writer", "W4", "word 0", 1, (0, 0, 0), (1, 0), "W4", ""),
        ("writer", "W4", "word 1", 1, (0, 0, 0), (1, 1), "W5", ""),
        ("writer", "W5", "read[0]", 0, (0, 0, 0), (1, 1), "W5", ""),
        ("writer", "W5", "read[1]", 0, (0, 0, 0), (1, 1), "W6", ""),
        ("writer", "W6", "written", 1, (1, 0, 0), (1, 1), "W1", ""),
        ("reader 0", "R1", "read[0]", 0, (1, 0, 0), (1, 1), "R2", ""),
        ("reader 0", "R2", "written", 1, (1, 0, 0), (1, 1), "R3", ""),
        ("reader 0", "R3", "word 0", 1, (1, 0, 0), (1, 1), "R3", ""),
        ("reader 0", "R3", "word 1", 1, (1, 0, 0), (1, 1), "R4", "reader 0 receives m1"),
        ("reader 0", "R4", "read[0]", 1, (1, 1, 0), (1, 1), "R1", ""),
        ("reader 1", "R1", "read[1]", 0, (1, 1, 0), (1, 1), "R2", ""),
        ("reader 1", "R2", "written", 1, (1, 1, 0), (1, 1), "R3", ""),
        ("reader 1", "R3", "word 0", 1, (1, 1, 0), (1, 1), "R3", ""),
        ("reader 1", "R3", "word 1", 1, (1, 1, 0), (1, 1), "R4", "reader 1 receives m1"),
        ("reader 1", "R4", "read[1]", 1, (1, 1, 1), (1, 1), "R1", ""),
    ]
    assert [s.access for s in steps[:4]] == ["written → 0", "written ← 0", "word 0 ← m1", "word 1 ← m1"]
    assert [s.number for s in steps] == list(range(1, 18))
    assert all(s.block == 0 and s.broken == () for s in steps)
    assert [s.case for s in steps][-6:] == [Case.PARTLY_READ] * 5 + [Case.READ_BY_ALL]
    assert [actor.block for actor in simulation.state.actors] == [1, 1, 1]
    assert steps[-1].as_json()["case"] == 4
    assert all(step.case is classify(step.flags) for step in steps)


def test_what_a_step_means_is_noted() -> None:
    simulation = Simulation(Setup(readers=1, blocks=1))
    notes = [step.note for step in drive(simulation, "w w w! w w w w w w w w 0 0 0! 0 0 0 0 0 0 w w w")]
    assert {note: notes.index(note) for note in notes if note} == {
        "the caller raises: nothing is published": 2,
        "waits": 10,
        "the caller raises: it stays unread": 13,
        "reader 0 receives m2": 17,
    }
    assert notes[19] == "waits"


def test_a_scanning_actor_is_noted_to_go_on() -> None:
    (step,) = drive(Simulation(Setup(ORIGINAL)), "0 0")[-1:]
    assert (step.row, step.note, step.goes_to) == ("R2", "busy: goes on to block 1", "R1")


def test_a_message_out_of_order_is_noted_with_the_one_that_was_owed() -> None:
    simulation = Simulation(Setup(ORIGINAL, readers=1, blocks=2))
    write, go_on = "w w w w w w w", "w w"
    steps = drive(simulation, f"0 0 {write} {go_on} {write} 0 0 0 0")
    assert steps[-1].broken == ("reordered",)
    assert steps[-1].note == "reader 0 receives m2, and was owed m1"


def test_a_torn_message_is_seen_and_noted() -> None:
    steps = drive(Simulation(Setup(PROTOCOL.without("R2"), readers=1, blocks=1)), "w w w 0 0 0")
    assert steps[-1].broken == ("torn",)
    assert steps[-1].note == "reader 0 got a mix of m1 and –"


def test_a_torn_message_of_three_words_is_noted_without_a_message_that_nobody_wrote() -> None:
    simulation = Simulation(Setup(PROTOCOL.without("R2"), readers=1, blocks=1, words=3))
    steps = drive(simulation, "w w w 0 0 0 0")
    assert steps[-1].broken == ("torn",)
    assert "m-1" not in steps[-1].note


@pytest.mark.parametrize("words", [1, 2, 3])
def test_a_payload_of_one_word_cannot_be_torn_and_a_longer_one_can(words: int) -> None:
    torn = set()
    for seed in range(40):
        simulation = Simulation(Setup(PROTOCOL.without("R2"), words=words))
        torn |= {name for step in simulation.run(seed, 80) for name in step.broken}
    assert ("torn" in torn) == (words > 1)
    assert "exclusion" in torn


@pytest.mark.parametrize("variant", [PROTOCOL, PROTOCOL.without("W3"), PROTOCOL.moved("W5", before="W4")], ids=str)
@pytest.mark.parametrize(("readers", "blocks"), [(1, 1), (3, 3)])
def test_long_random_runs_of_a_right_protocol_break_nothing(variant: Variant, readers: int, blocks: int) -> None:
    simulation = Simulation(Setup(variant, readers, blocks))
    steps = simulation.run(readers, 3000)
    assert len(steps) == 3000
    assert not any(step.broken for step in steps)
    assert sum("receives" in step.note for step in steps) >= 20


Place: TypeAlias = tuple[int | str, str]


def place_of(step: Step) -> Place:
    """Where a step's access goes: a flag or a word of its block, or its actor's lock."""
    return (step.actor if step.location == "lock" else step.block), step.location


@settings(deadline=None, max_examples=80)
@given(SETUPS, st.integers(0, 2**32))
def test_a_step_records_what_it_did_to_the_block(setup: Setup, seed: int) -> None:
    """Values, where they come from, and what the ring looks like: held against a dictionary and store buffers kept here."""
    simulation = Simulation(setup)
    flags = ["written", *(f"read[{rank}]" for rank in range(setup.readers))]
    words = [f"word {word}" for word in range(setup.words)]
    held: dict[Place, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for block, flag in product(range(setup.blocks), flags[1:]):
        held[block, flag] = (setup.variant.initial_read_flag, 0)
    buffers: dict[str, list[Step]] = defaultdict(list)
    for number, step in enumerate(simulation.run(seed, 60), 1):
        assert step.number == number
        place, buffer = place_of(step), buffers[step.actor]
        if step.kind == "flush":
            source = buffer.pop(0)
            assert (source.number, source.row, source.value, place_of(source)) == (step.reads_from, step.row, step.value, place)
            held[place] = (step.value, source.number)
        elif step.kind in ("store", "fill") and step.location:
            assert step.reads_from is None
            if setup.memory == "tso":
                buffer.append(step)
            else:
                held[place] = (step.value, number)
        elif step.location:
            under_way = [one for one in buffer if place_of(one) == place]
            assert (step.value, step.reads_from) == ((under_way[-1].value, under_way[-1].number) if under_way else held[place])
            assert not step.stale or any(place_of(one) == place for others in buffers.values() for one in others)
            if step.kind == "exchange":
                assert not buffer
                held[place] = (1, number)
        else:
            assert step.kind in ("kill", "fence") or step.access == "no flag to visit"
        for block, shown in enumerate(step.ring):
            assert shown.flags == tuple(held[block, flag][0] for flag in flags)
            assert shown.payload == tuple(held[block, word][0] for word in words)
        assert (step.flags, step.payload, step.case) == (*step.ring[step.block], step.ring[step.block].case)


def test_a_mark_says_which_step_has_stored_a_value() -> None:
    simulation = Simulation(Setup(readers=1, blocks=1))
    drive(simulation, WRITE_1)
    cells = simulation.state.memory
    assert [(unmarked(value), stored_at(value)) for value in cells[:4]] == [(1, 6), (0, 5), (1, 3), (1, 4)]


@settings(deadline=None, max_examples=50)
@given(SETUPS, st.integers(0, 2**32))
def test_messages_are_numbered_as_their_fills_begin(setup: Setup, seed: int) -> None:
    simulation = Simulation(setup)
    fills = [s.value for s in simulation.run(seed, 80) if s.kind == "fill" and s.location == "word 0"]
    assert fills == list(range(1, 1 + len(fills)))
    assert simulation.state.begun == len(fills)


WRITE_1, WRITE_2 = "w w w w w w", "w w w w w w w"
"""A whole write for one reader, and for two."""


@pytest.mark.parametrize(
    ("readers", "blocks", "script", "name"),
    [
        (1, 1, f"{WRITE_1} 0 0 0 0", "received"),
        (1, 1, f"{WRITE_1} 0 0 0 0 0 w w", "recycled"),
        (1, 1, f"{WRITE_1} w w", "writer-waits"),
        (1, 1, "0 0", "reader-waits"),
        (1, 1, f"{WRITE_1} 0 0 0 0 0 0", "reader-waits"),
        (1, 2, f"{WRITE_1} {WRITE_1} 0 0 0 0", "backlog"),
        (1, 2, f"{WRITE_1} 0 0 w w", "side-by-side"),
        (1, 2, f"{WRITE_1} w w 0 0", "side-by-side"),
        (2, 1, f"{WRITE_2} 0 0 1 1", "shared-block"),
        (1, 1, "w w w!", "fill-aborted"),
        (1, 1, "w w w w!", "fill-aborted"),
        (1, 1, f"{WRITE_1} 0 0 0!", "read-aborted"),
    ],
)
def test_a_sometimes_is_seen_where_it_happens_and_not_before(readers: int, blocks: int, script: str, name: str) -> None:
    simulation = Simulation(Setup(readers=readers, blocks=blocks))
    seen = []
    for word in script.split():
        before = simulation.possible()
        (step,) = drive(simulation, word)
        seen.append(name in before[step.choice].seen)
    assert seen == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize("writers", [1, 2])
def test_no_more_messages_are_begun_once_all_are_written(writers: int) -> None:
    """Writers that are in their fills already may end them; nobody begins another."""
    for seed in range(20):
        simulation = Simulation(Setup(readers=1, blocks=2, writers=writers, messages=2, aborts=False))
        simulation.run(seed, 400)
        assert 2 <= simulation.state.accepted <= 2 + writers - 1


def test_with_all_messages_written_and_read_only_readers_step_and_they_wait() -> None:
    simulation = Simulation(Setup(readers=2, blocks=2, messages=3))
    simulation.run(7, 2000)
    assert simulation.state.owed == ((), ())
    assert simulation.state.accepted == 3
    assert {step.choice[0] for step in simulation.possible()} == {1, 2}
