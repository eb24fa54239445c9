"""Other names for the same ring make no difference to a memory: rearranged states step to rearranged states."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.memory.base import NOBODY, Arrangement, Footprint, Memory, Shape, arrangement
from ringbuffer.memory.simulated import MEMORIES, make_memory
from ringbuffer.protocol import Ordering

READERS, BLOCKS, WORDS = 3, 2, 2
SHAPE = Shape(READERS, BLOCKS, WORDS)
LOADS = (Ordering.RELAXED, Ordering.ACQUIRE)
STORES = (Ordering.RELAXED, Ordering.RELEASE)
FENCES = (Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL, Ordering.SEQ_CST)
STATES_MAX = 12
"""Of the states that one step can lead to, so many are followed."""

Step = tuple[str, int, int, int, Ordering]
"""What is done, by which actor, at which location, with which value, in which ordering."""

Draw = Any


def footprints() -> list[Footprint]:
    """The writer stores all flags and fills; each reader loads the written flags, and loads and stores flags of its own."""
    flags = frozenset(range(SHAPE.flag_count))
    written = frozenset(SHAPE.flag(block, 0) for block in range(BLOCKS))
    prints = [Footprint(flags, flags | {SHAPE.lock(0)}, frozenset(FENCES), fills=True)]
    for rank in range(READERS):
        own = frozenset(SHAPE.flag(block, 1 + rank) for block in range(BLOCKS))
        lock = frozenset((SHAPE.lock(1 + rank),))
        prints.append(Footprint(written | own | lock, own | lock, frozenset(FENCES), reads=True))
    return prints


@st.composite
def steps(draw: Draw) -> Step:
    """A step that those footprints allow."""
    actor = draw(st.integers(0, READERS))
    mine = footprints()[actor]
    kind = draw(st.sampled_from(("load", "store", "store", "exchange", "fence", "payload", "payload", "flush")))
    word = SHAPE.word(draw(st.integers(0, BLOCKS - 1)), draw(st.integers(0, WORDS - 1)))
    match kind:
        case "load":
            return kind, actor, draw(st.sampled_from(sorted(mine.loads))), 0, draw(st.sampled_from(LOADS))
        case "store":
            return (
                kind,
                actor,
                draw(st.sampled_from(sorted(mine.stores))),
                draw(st.integers(0, 1)),
                draw(st.sampled_from(STORES)),
            )
        case "exchange":
            place = draw(st.sampled_from(sorted(mine.stores & mine.loads)))
            return kind, actor, place, draw(st.integers(0, 1)), draw(st.sampled_from((*LOADS, Ordering.RELEASE)))
        case "payload":
            return ("read" if actor else "fill"), actor, word, draw(st.integers(1, 3)), Ordering.PLAIN
        case "fence":
            return kind, actor, 0, 0, draw(st.sampled_from(FENCES))
    return kind, actor, 0, 0, Ordering.PLAIN


@st.composite
def arrangements(draw: Draw) -> Arrangement:
    """The blocks counted from any of them, the readers in any order."""
    order = draw(st.permutations(range(1, READERS + 1)))
    return arrangement(SHAPE, (0, *order), draw(st.integers(0, BLOCKS - 1)))


def taken(memory: Memory, state: Any, step: Step) -> list[tuple[Any, ...]]:
    """What a step yields: values, states, races."""
    kind, actor, location, value, ordering = step
    match kind:
        case "load":
            return list(memory.load(state, actor, location, ordering))
        case "store":
            return [(0, after) for after in memory.store(state, actor, location, value, ordering)]
        case "exchange":
            return list(memory.exchange(state, actor, location, value, ordering))
        case "fence":
            return [(0, after) for after in memory.fence(state, actor, ordering)]
        case "read":
            return list(memory.read(state, actor, location))
        case "fill":
            return [(0, *result) for result in memory.fill(state, actor, location, value)]
    flushed = memory.flush(state, actor)
    return [] if flushed is None else [(flushed[1], flushed[2])]


def moved(step: Step, other: Arrangement) -> Step:
    """The same step where everything has other names."""
    kind, actor, location, value, ordering = step
    actor = other.actors.index(actor)
    return kind, actor, other.places[location] if kind not in ("fence", "flush") else 0, value, ordering


def run(memory: Memory, path: list[Step], picks: list[int]) -> list[Any]:
    """The states of one run; a step that has to wait is left out."""
    states = [memory.initial(0)]
    for step, pick in zip(path, picks, strict=False):
        found = taken(memory, states[-1], step)
        if found:
            states.append(found[pick % len(found)][1])
    return states


PATHS = st.lists(steps(), min_size=1, max_size=12)
PICKS = st.lists(st.integers(0, 5), min_size=12, max_size=12)


@pytest.mark.parametrize("name", MEMORIES)
@settings(max_examples=60)
@given(path=PATHS, picks=PICKS, other=arrangements(), last=st.lists(steps(), min_size=4, max_size=4))
def test_rearranging_commutes_with_every_step(
    name: str, path: list[Step], picks: list[int], other: Arrangement, last: list[Step]
) -> None:
    memory = make_memory(name, SHAPE, footprints())
    state = run(memory, path, picks)[-1]
    elsewhere = memory.arranged(state, other)
    for step in last:
        here = {(value, memory.arranged(after, other), *raced) for value, after, *raced in taken(memory, state, step)}
        there = {(value, after, *raced) for value, after, *raced in taken(memory, elsewhere, moved(step, other))}
        assert here == there, step


@pytest.mark.parametrize("name", MEMORIES)
@settings(max_examples=40)
@given(path=PATHS, picks=PICKS, other=arrangements())
def test_an_onlooker_sees_the_same_under_other_names(name: str, path: list[Step], picks: list[int], other: Arrangement) -> None:
    memory = make_memory(name, SHAPE, footprints())
    state = run(memory, path, picks)[-1]
    elsewhere = memory.arranged(state, other)
    for location in range(SHAPE.size):
        if location < SHAPE.word_end or name in ("sc", "tso"):
            assert memory.newest(elsewhere, other.places[location]) == memory.newest(state, location)
    for block in range(BLOCKS):
        old = other.locations[SHAPE.flag(block, 0)] // SHAPE.entry_size
        flags = [0, *(1 + SHAPE.ranks[actor] for actor in other.actors[1:])]
        assert memory.entry(elsewhere, block) == tuple(memory.entry(state, old)[flag] for flag in flags)
        assert memory.payload(elsewhere, block) == memory.payload(state, old)
        in_flight = memory.in_flight(elsewhere, 0, block)
        assert in_flight == memory.in_flight(state, 0, old)
    for new, old in enumerate(other.actors):
        if SHAPE.ranks[old] != NOBODY and other.locations[0] == 0:
            assert memory.portrait(elsewhere, new) == memory.portrait(state, old)
    back = [0] * len(other.actors)
    for new, old in enumerate(other.actors):
        back[old] = new
    shift = other.locations[0] // SHAPE.entry_size
    assert memory.arranged(elsewhere, arrangement(SHAPE, tuple(back), (BLOCKS - shift) % BLOCKS)) == state


@pytest.mark.parametrize("name", MEMORIES)
@settings(max_examples=40)
@given(path=PATHS, picks=PICKS, shift=st.integers(1, 3), last=steps())
def test_renaming_messages_commutes_with_every_step(
    name: str, path: list[Step], picks: list[int], shift: int, last: Step
) -> None:
    memory = make_memory(name, SHAPE, footprints())
    state = run(memory, path, picks)[-1]
    names = {0: 0, **{value: 10 + (value + shift) % 4 for value in range(1, 4)}}
    elsewhere = memory.renamed(state, names)
    assert list(memory.messages(elsewhere)) == [names[value] for value in memory.messages(state)]
    kind, actor, location, value, ordering = last
    there = (kind, actor, location, names[value] if kind == "fill" else value, ordering)
    found, expected = taken(memory, elsewhere, there), taken(memory, state, last)
    assert [after for _, after, *_ in found] == [memory.renamed(after, names) for _, after, *_ in expected]
    assert [raced for _, _, *raced in found] == [raced for _, _, *raced in expected]
    if kind == "read":
        assert [got for got, *_ in found] == [names[got] for got, *_ in expected]
