"""Total store order: buffers and their bound, what onlookers are shown. The litmus tests test what it allows."""

from __future__ import annotations

from typing import Any

from ringbuffer.memory.base import Footprint, Memory, Shape
from ringbuffer.memory.simulated import make_memory
from ringbuffer.protocol import Ordering

SHAPE = Shape(1, 2, 2)
RLX, SC = Ordering.RELAXED, Ordering.SEQ_CST
CAPACITY = 2 * (2 + 1 + 2)
"""Two blocks, each with a claim and a publication, a read flag, and two words."""
WRITER, READER = 0, 1


def make(*, bounded: bool = True) -> Memory:
    return make_memory("tso", SHAPE, [Footprint(frozenset(), frozenset())] * 2, bounded=bounded)


def store(memory: Memory, state: Any, location: int, value: int) -> Any:
    (after,) = memory.store(state, WRITER, location, value, RLX)
    return after


def value_of(memory: Memory, state: Any, actor: int, location: int) -> int:
    ((value, after),) = memory.load(state, actor, location, RLX)
    assert after == state
    return value


def test_a_store_waits_in_the_buffer_of_its_own_actor() -> None:
    memory = make()
    state = store(memory, store(memory, memory.initial(0), 0, 1), 0, 2)
    assert (value_of(memory, state, WRITER, 0), value_of(memory, state, READER, 0)) == (2, 0)
    assert (memory.entry(state, 0), memory.newest(state, 0)) == ((0, 0), 2)
    assert memory.flush(state, READER) is None
    for seen in (1, 2):
        flushed = memory.flush(state, WRITER)
        assert flushed is not None
        location, value, state = flushed
        assert (location, value) == (0, seen)
        assert (value_of(memory, state, READER, 0), memory.entry(state, 0)) == (seen, (seen, 0))
        assert value_of(memory, state, WRITER, 0) == 2
    assert memory.flush(state, WRITER) is None


def test_full_fences_and_exchanges_wait_for_the_buffer_and_other_fences_do_not() -> None:
    memory = make()
    state = store(memory, memory.initial(0), 0, 1)
    for ordering in Ordering:
        assert tuple(memory.fence(state, READER, ordering)) == (state,)
        assert tuple(memory.fence(state, WRITER, ordering)) == (() if ordering is SC else (state,))
    assert list(memory.exchange(state, WRITER, 0, 5, RLX)) == []
    ((old, after),) = memory.exchange(state, READER, 0, 5, RLX)
    assert (old, value_of(memory, after, READER, 0), value_of(memory, after, WRITER, 0)) == (0, 5, 1)
    flushed = memory.flush(state, WRITER)
    assert flushed is not None
    ((old, after),) = memory.exchange(flushed[2], WRITER, 0, 5, RLX)
    assert (old, value_of(memory, after, READER, 0)) == (1, 5), "an exchange acts on memory"
    assert tuple(memory.fence(flushed[2], WRITER, SC)) == (flushed[2],)


def test_an_actor_whose_buffer_is_full_waits_and_that_is_told() -> None:
    memory = make()
    state = memory.initial(0)
    for _ in range(CAPACITY):
        state = store(memory, state, 0, 1)
    assert not memory.capped
    assert list(memory.store(state, WRITER, 0, 1, RLX)) == []
    assert memory.capped
    assert len(list(memory.store(state, READER, 0, 1, RLX))) == 1
    flushed = memory.flush(state, WRITER)
    assert flushed is not None
    assert len(list(memory.store(flushed[2], WRITER, 0, 1, RLX))) == 1


def test_without_bounds_no_buffer_is_full() -> None:
    memory = make(bounded=False)
    state = memory.initial(0)
    for _ in range(4 * CAPACITY):
        state = store(memory, state, 0, 1)
    assert not memory.capped


def test_payload_goes_through_the_buffer_too_and_is_in_flight_until_it_has_arrived() -> None:
    memory = make()
    word = SHAPE.word(1, 1)
    ((state, raced),) = memory.fill(memory.initial(0), WRITER, word, 7)
    assert not raced
    assert [(value, raced) for value, _, raced in memory.read(state, WRITER, word)] == [(7, False)]
    assert [(value, raced) for value, _, raced in memory.read(state, READER, word)] == [(0, False)]
    assert [memory.in_flight(state, actor, block) for actor in (0, 1) for block in (0, 1)] == [False, True, False, False]
    assert (memory.payload(state, 1), list(memory.messages(state))) == ((0, 0), [0, 0, 0, 0, 7])
    state = store(memory, state, SHAPE.flag(0, 0), 1)
    assert list(memory.messages(state)) == [0, 0, 0, 0, 7], "flags are no messages"
    flushed = memory.flush(state, WRITER)
    assert flushed is not None
    assert not memory.in_flight(flushed[2], WRITER, 1)
    assert memory.payload(flushed[2], 1) == (0, 7)
