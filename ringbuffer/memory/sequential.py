"""Sequential consistency: one value per location; every access acts at once, in one order that all actors see (Lamport 1979).

Rules: a state is a tuple of values, location by location. Limits: it ignores the orderings of rows, so nothing that holds on
it is evidence about weakly ordered processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ringbuffer.memory.base import Arrangement, Footprint, Shape
from ringbuffer.protocol import Kind, Ordering
from ringbuffer.protocol.oracle import NO_MESSAGE

Cells: TypeAlias = tuple[int, ...]


class SequentiallyConsistent:
    """The memory that programmers think of."""

    name = "sc"
    local = frozenset((Kind.FENCE,))
    has_buffers = False
    judges_races = False
    capped = False

    def __init__(self, shape: Shape, footprints: Sequence[Footprint] = (), *, bounded: bool = True) -> None:
        self.shape = shape
        self._flag_end, self._entry_size = shape.flag_count, shape.entry_size

    def initial(self, read_flag: int) -> Cells:
        shape = self.shape
        words = range(shape.flag_count, shape.word_end)
        return tuple(NO_MESSAGE if at in words else shape.initial_value(at, read_flag) for at in range(shape.size))

    def load(self, state: Cells, actor: int, location: int, ordering: Ordering) -> tuple[tuple[int, Cells]]:
        return ((state[location], state),)

    def store(self, state: Cells, actor: int, location: int, value: int, ordering: Ordering) -> tuple[Cells]:
        return ((*state[:location], value, *state[location + 1 :]),)

    def exchange(self, state: Cells, actor: int, location: int, value: int, ordering: Ordering) -> tuple[tuple[int, Cells]]:
        return ((state[location], (*state[:location], value, *state[location + 1 :])),)

    def fence(self, state: Cells, actor: int, ordering: Ordering) -> tuple[Cells]:
        return (state,)

    def read(self, state: Cells, actor: int, location: int) -> tuple[tuple[int, Cells, bool]]:
        return ((state[location], state, False),)

    def fill(self, state: Cells, actor: int, location: int, value: int) -> tuple[tuple[Cells, bool]]:
        return (((*state[:location], value, *state[location + 1 :]), False),)

    def flush(self, state: Cells, actor: int) -> None:
        return None

    def learned(self, state: Cells, actor: int, other: int) -> Cells:
        return state

    def in_flight(self, state: Cells, actor: int, block: int) -> bool:
        return False

    def entry(self, state: Cells, block: int) -> Cells:
        start = self.shape.flag(block, 0)
        return state[start : start + self.shape.entry_size]

    def payload(self, state: Cells, block: int) -> Cells:
        start = self.shape.word(block, 0)
        return state[start : start + self.shape.words]

    def newest(self, state: Cells, location: int) -> int:
        return state[location]

    def messages(self, state: Cells) -> Cells:
        return state[self.shape.flag_count : self.shape.word_end]

    def renamed(self, state: Cells, names: dict[int, int]) -> Cells:
        first, end = self.shape.flag_count, self.shape.word_end
        return (*state[:first], *[names[value] for value in state[first:end]], *state[end:])

    def arranged(self, state: Cells, arrangement: Arrangement) -> Cells:
        return tuple([state[location] for location in arrangement.locations])

    def portrait(self, state: Cells, actor: int) -> Cells:
        return state[1 + self.shape.ranks[actor] : self._flag_end : self._entry_size]
