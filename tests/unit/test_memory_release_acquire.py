"""The release/acquire memory: what it forgets, its bound, what onlookers are shown. What it allows is for the litmus tests."""

from __future__ import annotations

from typing import Any

import pytest

from ringbuffer.memory.base import NOBODY, Footprint, Memory, Shape
from ringbuffer.memory.release_acquire import AHEAD_MAX
from ringbuffer.memory.simulated import make_memory
from ringbuffer.protocol import Ordering

RLX, ACQ, REL, SC = Ordering.RELAXED, Ordering.ACQUIRE, Ordering.RELEASE, Ordering.SEQ_CST
SHAPE = Shape(1, 3, 1, (NOBODY, 0))
X, Y, Z = (SHAPE.flag(block, 0) for block in range(3))
LEFT, RIGHT = 0, 1


def memory_of(*prints: Footprint, shape: Shape = SHAPE, bounded: bool = True) -> Memory:
    return make_memory("ra", shape, prints, bounded=bounded)


def prints(loads: set[int], stores: set[int], **more: Any) -> Footprint:
    return Footprint(frozenset(loads), frozenset(stores), **more)


def handing_over(bounded: bool = True) -> Memory:
    """One stores and fills, the other loads and reads."""
    return memory_of(prints(set(), {X, Y}, fills=True), prints({X, Y}, set(), reads=True), bounded=bounded)


def store(memory: Memory, state: Any, actor: int, place: int, value: int, ordering: Ordering = RLX) -> Any:
    """Store behind all that is there."""
    return list(memory.store(state, actor, place, value, ordering))[-1]


def load(memory: Memory, state: Any, actor: int, place: int, value: int, ordering: Ordering = RLX) -> Any:
    """Load the newest that has that value."""
    return [after for found, after in memory.load(state, actor, place, ordering) if found == value][-1]


def test_a_store_that_everybody_has_passed_is_forgotten() -> None:
    memory = handing_over()
    first = state = memory.initial(0)
    for value in (1, 0):
        state = store(memory, state, LEFT, X, value)
        assert state != first
        state = load(memory, state, RIGHT, X, value)
    assert state == first


def test_an_exchange_that_everybody_has_passed_is_as_good_as_a_store() -> None:
    memory = memory_of(prints({X}, {X}), prints({X}, set()))
    ((old, exchanged),) = memory.exchange(memory.initial(0), LEFT, X, 1, RLX)
    assert old == 0
    stored = store(memory, memory.initial(0), LEFT, X, 1)
    assert load(memory, exchanged, RIGHT, X, 1) == load(memory, stored, RIGHT, X, 1)


def test_a_store_that_somebody_may_still_load_is_kept() -> None:
    memory = handing_over()
    state = store(memory, memory.initial(0), LEFT, X, 1)
    assert [value for value, _ in memory.load(state, RIGHT, X, RLX)] == [0, 1]
    assert [value for value, _ in memory.load(store(memory, state, LEFT, X, 0), RIGHT, X, RLX)] == [0, 1, 0]


def test_equal_stores_side_by_side_are_as_one() -> None:
    memory = handing_over()
    once = store(memory, memory.initial(0), LEFT, X, 1)
    assert store(memory, once, LEFT, X, 1) == once
    assert store(memory, once, LEFT, X, 0) != once


def test_equal_stores_that_carry_different_things_are_two_until_that_is_no_news() -> None:
    memory = handing_over()
    ready = store(memory, memory.initial(0), LEFT, Y, 1)
    once = store(memory, ready, LEFT, X, 1, REL)
    twice = store(memory, once, LEFT, X, 1)
    assert twice != once
    assert load(memory, twice, RIGHT, Y, 1) == load(memory, once, RIGHT, Y, 1)


def test_equal_stores_between_which_another_could_come_are_two() -> None:
    memory = memory_of(prints({X}, {X}), prints({X}, {X}))
    once = store(memory, memory.initial(0), LEFT, X, 1)
    twice = store(memory, once, LEFT, X, 1)
    assert twice != once
    assert len(list(memory.store(twice, RIGHT, X, 0, RLX))) == 3


def test_what_a_store_carries_is_kept_only_as_long_as_it_is_news() -> None:
    memory = handing_over()
    told = load(memory, store(memory, memory.initial(0), LEFT, Y, 1), RIGHT, Y, 1)
    assert store(memory, told, LEFT, X, 1, REL) == store(memory, told, LEFT, X, 1)
    untold = store(memory, memory.initial(0), LEFT, Y, 1)
    assert store(memory, untold, LEFT, X, 1, REL) != store(memory, untold, LEFT, X, 1)


def test_fences_of_actors_who_have_nothing_to_tell_change_nothing() -> None:
    everything = frozenset((ACQ, REL, SC))
    memory = memory_of(prints(set(), {X}, fences=everything), prints({X}, set(), fences=everything))
    first = memory.initial(0)
    for ordering in (ACQ, REL, SC):
        assert list(memory.fence(first, LEFT, ordering)) == [first]
        assert list(memory.fence(first, RIGHT, ordering)) == [first]


def test_runs_without_end_come_back_to_where_they_were() -> None:
    """A handing over, again and again, with the payload and its races."""
    memory = memory_of(prints({Y}, {X}, fills=True), prints({X}, {Y}, reads=True))
    state, found = memory.initial(0), []
    for value in (1, 0) * 3:
        ((state, raced),) = memory.fill(state, LEFT, SHAPE.word(0, 0), 7)
        assert not raced
        state = store(memory, state, LEFT, X, value, REL)
        state = load(memory, state, RIGHT, X, value, ACQ)
        ((got, state, raced),) = memory.read(state, RIGHT, SHAPE.word(0, 0))
        assert (got, raced) == (7, False)
        state = store(memory, state, RIGHT, Y, value, REL)
        state = load(memory, state, LEFT, Y, value, ACQ)
        found.append(state)
    assert found[0] == found[2] == found[4]
    assert found[1] == found[3] == found[5]


def test_an_actor_that_is_too_far_ahead_waits_and_that_is_told() -> None:
    memory = handing_over()
    state = memory.initial(0)
    for count in range(AHEAD_MAX):
        state = store(memory, state, LEFT, X, 1 - count % 2)
    assert not memory.capped
    assert list(memory.store(state, LEFT, X, 0, RLX)) == []
    assert memory.capped
    caught_up = list(memory.load(state, RIGHT, X, RLX))[-1][1]
    assert len(list(memory.store(caught_up, LEFT, X, 0, RLX))) == 1


def test_without_bounds_nobody_waits() -> None:
    memory = handing_over(bounded=False)
    state = memory.initial(0)
    for count in range(4 * AHEAD_MAX):
        state = store(memory, state, LEFT, X, 1 - count % 2)
    assert not memory.capped
    assert len(list(memory.load(state, RIGHT, X, RLX))) == 4 * AHEAD_MAX + 1


def test_loads_come_oldest_first_and_an_onlooker_sees_the_newest() -> None:
    memory = handing_over()
    state = store(memory, store(memory, memory.initial(0), LEFT, X, 1), LEFT, X, 2)
    assert [value for value, _ in memory.load(state, RIGHT, X, RLX)] == [0, 1, 2]
    assert memory.newest(state, X) == 2
    assert memory.entry(state, 0) == (2, 0)
    assert memory.newest(state, SHAPE.flag(2, 1)) == 0, "nobody touches it"


@pytest.mark.parametrize("read_flag", [0, 1])
@pytest.mark.parametrize("name", ["ra", "ra-relaxed"])
def test_at_first_only_the_read_flags_may_be_set(name: str, read_flag: int) -> None:
    shape = Shape(2, 2, 2)
    flags = frozenset(range(shape.flag_count))
    memory = make_memory(name, shape, [Footprint(flags, flags, fills=True)] + [Footprint(flags, flags, reads=True)] * 2)
    state = memory.initial(read_flag)
    for block in range(2):
        assert memory.entry(state, block) == (0, read_flag, read_flag)
        assert memory.payload(state, block) == (0, 0)
    assert tuple(memory.messages(state)) == (0,) * 4
    assert memory.flush(state, 0) is None
    assert not memory.in_flight(state, 0, 0)


def test_accesses_that_differ_in_one_respect_are_worked_out_apart() -> None:
    """What one of them leads to is kept, and is not taken for what the other does."""
    memory = handing_over()
    state = store(memory, store(memory, memory.initial(0), LEFT, Y, 1), LEFT, X, 1, REL)
    assert load(memory, state, RIGHT, X, 1) != load(memory, state, RIGHT, X, 1, ACQ)
    filled, _ = next(iter(memory.fill(state, LEFT, SHAPE.word(0, 0), 7)))
    raced = [again for actor in (LEFT, RIGHT) for _, again in memory.fill(filled, actor, SHAPE.word(0, 0), 8)]
    assert raced == [False, True]


def test_equal_knowledge_is_one_object() -> None:
    memory = handing_over()
    first = memory.initial(0)
    assert memory.initial(0).known is first.known
    one, other = (store(memory, store(memory, first, LEFT, a, 1), LEFT, b, 1) for a, b in ((X, Y), (Y, X)))
    assert one.known is other.known
