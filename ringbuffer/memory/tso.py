"""Total store order: each actor's stores wait in a buffer of its own, first in, first out (x86-TSO: Sewell et al. 2010).

A load returns the newest store to that location in the actor's own buffer, else what is in memory. When the oldest store of a
buffer reaches memory is nobody's choice: that is a step of its own. A ``seq_cst`` fence and an exchange wait until the actor's
buffer is empty. Rules: a state is the cells of memory and one buffer per actor; orderings below ``seq_cst`` mean nothing here,
because the processor orders every load and every store at least so. Limits: compilers are not modelled, which may reorder
relaxed accesses on any processor (that is what release/acquire is for). A buffer holds as many stores as a writer makes on its
way once around the ring (and what it stores to sleep and to wake), which is more than a correct one ever has under way unless
its callers raise; an actor whose buffer is full waits, as on a processor, and ``capped`` tells that it did.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from ringbuffer.memory.base import Arrangement, Footprint, Shape
from ringbuffer.memory.sequential import Cells, SequentiallyConsistent
from ringbuffer.protocol import Kind, Ordering


class Buffered(NamedTuple):
    """A state: memory, and for each actor its stores that are under way (location, value), oldest first."""

    cells: Cells
    buffers: tuple[tuple[tuple[int, int], ...], ...]


class TotalStoreOrder:
    """The memory of x86-64 processors."""

    name = "tso"
    local = frozenset((Kind.FENCE, Kind.STORE))
    has_buffers = True
    judges_races = False

    def __init__(self, shape: Shape, footprints: Sequence[Footprint] = (), *, bounded: bool = True) -> None:
        self.shape = shape
        self._memory = SequentiallyConsistent(shape)
        a_lap = shape.blocks * (2 + shape.readers + shape.words) + (2 + shape.readers if shape.sleeps else 0)
        self.capacity = a_lap if bounded else sys.maxsize
        self.capped = False

    def initial(self, read_flag: int) -> Buffered:
        return Buffered(self._memory.initial(read_flag), ((),) * self.shape.actors)

    def load(self, state: Buffered, actor: int, location: int, ordering: Ordering) -> tuple[tuple[int, Buffered]]:
        for stored, value in reversed(state.buffers[actor]):
            if stored == location:
                return ((value, state),)
        return ((state.cells[location], state),)

    def store(self, state: Buffered, actor: int, location: int, value: int, ordering: Ordering) -> tuple[Buffered, ...]:
        buffer = state.buffers[actor]
        if len(buffer) == self.capacity:
            self.capped = True
            return ()
        return (self._with_buffer(state, actor, (*buffer, (location, value))),)

    def exchange(
        self, state: Buffered, actor: int, location: int, value: int, ordering: Ordering
    ) -> tuple[tuple[int, Buffered], ...]:
        if state.buffers[actor]:
            return ()
        ((old, cells),) = self._memory.exchange(state.cells, actor, location, value, ordering)
        return ((old, Buffered(cells, state.buffers)),)

    def fence(self, state: Buffered, actor: int, ordering: Ordering) -> tuple[Buffered, ...]:
        return () if ordering is Ordering.SEQ_CST and state.buffers[actor] else (state,)

    def read(self, state: Buffered, actor: int, location: int) -> tuple[tuple[int, Buffered, bool]]:
        ((value, after),) = self.load(state, actor, location, Ordering.PLAIN)
        return ((value, after, False),)

    def fill(self, state: Buffered, actor: int, location: int, value: int) -> tuple[tuple[Buffered, bool], ...]:
        return tuple((after, False) for after in self.store(state, actor, location, value, Ordering.PLAIN))

    def flush(self, state: Buffered, actor: int) -> tuple[int, int, Buffered] | None:
        buffer = state.buffers[actor]
        if not buffer:
            return None
        location, value = buffer[0]
        cells = (*state.cells[:location], value, *state.cells[location + 1 :])
        return location, value, self._with_buffer(Buffered(cells, state.buffers), actor, buffer[1:])

    def learned(self, state: Buffered, actor: int, other: int) -> Buffered:
        return state

    def in_flight(self, state: Buffered, actor: int, block: int) -> bool:
        words = range(self.shape.word(block, 0), self.shape.word(block, self.shape.words))
        return any(location in words for location, _ in state.buffers[actor])

    def entry(self, state: Buffered, block: int) -> Cells:
        return self._memory.entry(state.cells, block)

    def payload(self, state: Buffered, block: int) -> Cells:
        return self._memory.payload(state.cells, block)

    def newest(self, state: Buffered, location: int) -> int:
        waiting = [value for buffer in state.buffers for stored, value in buffer if stored == location]
        return waiting[-1] if waiting else state.cells[location]

    def messages(self, state: Buffered) -> list[int]:
        first, end = self.shape.flag_count, self.shape.word_end
        waiting = [value for buffer in state.buffers for location, value in buffer if first <= location < end]
        return [*self._memory.messages(state.cells), *waiting]

    def renamed(self, state: Buffered, names: dict[int, int]) -> Buffered:
        first, end = self.shape.flag_count, self.shape.word_end
        buffers = tuple(
            tuple((location, names[value] if first <= location < end else value) for location, value in buffer)
            for buffer in state.buffers
        )
        return Buffered(self._memory.renamed(state.cells, names), buffers)

    def arranged(self, state: Buffered, arrangement: Arrangement) -> Buffered:
        places = arrangement.places
        buffers = tuple(
            [tuple([(places[location], value) for location, value in state.buffers[actor]]) for actor in arrangement.actors]
        )
        return Buffered(self._memory.arranged(state.cells, arrangement), buffers)

    def portrait(self, state: Buffered, actor: int) -> tuple[object, ...]:
        size = self.shape.entry_size
        buffer = tuple([(location // size, value) for location, value in state.buffers[actor]])
        return (self._memory.portrait(state.cells, actor), buffer)

    def _with_buffer(self, state: Buffered, actor: int, buffer: tuple[tuple[int, int], ...]) -> Buffered:
        return Buffered(state.cells, (*state.buffers[:actor], buffer, *state.buffers[actor + 1 :]))
