"""The simulated memory and its locations, against a dictionary that is stored to and loaded from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.errors import GeometryError, RingBufferError, VariantError
from ringbuffer.memory.base import BLOCKS_MAX, NOBODY, READERS_MAX, WORDS_MAX, Footprint, Shape
from ringbuffer.memory.release_acquire import ReleaseAcquire
from ringbuffer.memory.sequential import SequentiallyConsistent
from ringbuffer.memory.simulated import MEMORIES, check_memory, make_memory
from ringbuffer.memory.tso import TotalStoreOrder
from ringbuffer.protocol import Ordering

SHAPES = st.builds(Shape, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@given(SHAPES)
def test_every_flag_every_word_and_every_lock_has_a_location_of_its_own(shape: Shape) -> None:
    flags = [shape.flag(block, flag) for block in range(shape.blocks) for flag in range(1 + shape.readers)]
    words = [shape.word(block, word) for block in range(shape.blocks) for word in range(shape.words)]
    locks = [shape.lock(actor) for actor in range(shape.actors)]
    assert flags == list(range(shape.flag_count))
    assert words == list(range(shape.flag_count, shape.word_end))
    assert locks == list(range(shape.word_end, shape.size))
    assert shape.entry_size == 1 + shape.readers
    assert [shape.block_of_word(word) for word in words] == [block for block in range(shape.blocks) for _ in range(shape.words)]


def test_there_is_one_writer_and_one_actor_for_each_reader_unless_told_otherwise() -> None:
    assert Shape(2, 1).ranks == (NOBODY, 0, 1)
    assert Shape(2, 1, ranks=(NOBODY, NOBODY, 0, 1, 0)).actors == 5


def test_a_payload_has_two_words_unless_told_otherwise() -> None:
    assert Shape(1, 1).words == 2


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((0, 1, 1), "readers is 0, and a simulated ring has 1 to 16"),
        ((READERS_MAX + 1, 1, 1), "readers is 17"),
        ((1, 0, 1), "blocks is 0"),
        ((1, BLOCKS_MAX + 1, 1), "blocks is 17"),
        ((1, 1, 0), "words is 0, and a simulated ring has 1 to 8"),
        ((1, 1, WORDS_MAX + 1), "words is 9"),
    ],
)
def test_a_shape_out_of_bounds_is_refused(shape: tuple[int, int, int], words: str) -> None:
    with pytest.raises(GeometryError, match=words) as caught:
        Shape(*shape)
    assert isinstance(caught.value, RingBufferError)


def test_a_shape_at_the_bounds_is_allowed() -> None:
    assert Shape(READERS_MAX, BLOCKS_MAX, WORDS_MAX).flag_count == BLOCKS_MAX * (1 + READERS_MAX)


def footprints(shape: Shape) -> tuple[Footprint, ...]:
    """Of actors that touch every flag, of whom the first fills and the others read."""
    flags = frozenset(range(shape.flag_count))
    return tuple(Footprint(flags, flags, reads=bool(actor), fills=not actor) for actor in range(shape.actors))


def test_memories_are_made_by_name_and_know_it() -> None:
    shape = Shape(2, 2)
    kinds = {"sc": SequentiallyConsistent, "tso": TotalStoreOrder, "ra": ReleaseAcquire, "ra-relaxed": ReleaseAcquire}
    assert list(MEMORIES) == list(kinds)
    for name, kind in kinds.items():
        check_memory(name)
        memory = make_memory(name, shape, footprints(shape))
        assert memory.name == name
        assert memory.shape == shape
        assert isinstance(memory, kind)
        assert not memory.capped
        assert memory.has_buffers == (name == "tso")
        assert memory.judges_races == (name == "ra")


@pytest.mark.parametrize("name", ["dram", "", "SC", "ra_relaxed"])
def test_an_unknown_memory_is_refused_and_the_known_ones_are_named(name: str) -> None:
    words = f"unknown memory {name!r}; the simulated memories are sc, tso, ra, ra-relaxed"
    with pytest.raises(VariantError, match=words):
        make_memory(name, Shape(1, 1), ())
    with pytest.raises(VariantError, match=words):
        check_memory(name)


@pytest.mark.parametrize("read_flag", [0, 1])
def test_at_first_only_the_read_flags_may_be_set(read_flag: int) -> None:
    memory = SequentiallyConsistent(Shape(2, 3, 2))
    state = memory.initial(read_flag)
    for block in range(3):
        assert memory.entry(state, block) == (0, read_flag, read_flag)
        assert memory.payload(state, block) == (0, 0)
    assert tuple(memory.messages(state)) == (0,) * 6


@settings(deadline=None)
@given(SHAPES, st.data())
def test_under_sequential_consistency_a_load_returns_the_last_store_of_anybody(shape: Shape, data: st.DataObject) -> None:
    memory = SequentiallyConsistent(shape)
    locations = shape.size
    state = memory.initial(0)
    stored = dict.fromkeys(range(locations), 0)
    for _ in range(data.draw(st.integers(0, 20))):
        actor, location, value = (
            data.draw(st.integers(0, 3)),
            data.draw(st.integers(0, locations - 1)),
            data.draw(st.integers(0, 9)),
        )
        before = state
        (state,) = memory.store(state, actor, location, value, data.draw(st.sampled_from(Ordering)))
        assert [memory.load(before, a, location, Ordering.RELAXED) for a in range(4)] == [((stored[location], before),)] * 4
        stored[location] = value
        for place, expected in stored.items():
            assert memory.load(state, 3 - actor, place, Ordering.ACQUIRE) == ((expected, state),)
    for block in range(shape.blocks):
        assert memory.entry(state, block) == tuple(stored[shape.flag(block, flag)] for flag in range(shape.entry_size))
        assert memory.payload(state, block) == tuple(stored[shape.word(block, word)] for word in range(shape.words))
    assert memory.messages(state) == tuple(stored[location] for location in range(shape.flag_count, shape.word_end))
    assert [memory.newest(state, location) for location in range(locations)] == list(stored.values())
    assert hash(state) == hash(tuple(stored.values()))


@settings(deadline=None)
@given(SHAPES, st.data())
def test_renaming_changes_the_messages_and_leaves_the_flags(shape: Shape, data: st.DataObject) -> None:
    memory = SequentiallyConsistent(shape)
    count = shape.blocks * shape.words
    words = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    names = dict(enumerate(data.draw(st.permutations(range(6)))))
    state = memory.initial(1)
    for place, word in enumerate(words):
        (state,) = memory.store(state, 0, shape.flag_count + place, word, Ordering.PLAIN)
    renamed = memory.renamed(state, names)
    assert memory.messages(renamed) == tuple(names[word] for word in words)
    assert [memory.entry(renamed, block) for block in range(shape.blocks)] == [(0, *(1,) * shape.readers)] * shape.blocks
