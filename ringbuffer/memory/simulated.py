"""Simulated memories: values that the simulator and the explorer step through.

Rules: states are immutable and hashable; a memory object itself holds no state. Limits: sequential consistency only; it
ignores the orderings of rows, so nothing that holds on it is evidence about weakly ordered processors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ringbuffer.errors import VariantError
from ringbuffer.memory.base import Memory, Shape
from ringbuffer.protocol import Ordering
from ringbuffer.protocol.oracle import NO_MESSAGE

Cells: TypeAlias = tuple[int, ...]


class SequentiallyConsistent:
    """One value per location; every access acts at once, in one order that all actors see (Lamport 1979)."""

    name = "sc"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def initial(self, read_flag: int) -> Cells:
        entry = (0,) + (read_flag,) * self.shape.readers
        return entry * self.shape.blocks + (NO_MESSAGE,) * (self.shape.blocks * self.shape.words)

    def load(self, state: Cells, actor: int, location: int, ordering: Ordering) -> tuple[tuple[int, Cells]]:
        return ((state[location], state),)

    def store(self, state: Cells, actor: int, location: int, value: int, ordering: Ordering) -> tuple[Cells]:
        return ((*state[:location], value, *state[location + 1 :]),)

    def entry(self, state: Cells, block: int) -> Cells:
        start = self.shape.flag(block, 0)
        return state[start : start + self.shape.entry_size]

    def payload(self, state: Cells, block: int) -> Cells:
        start = self.shape.word(block, 0)
        return state[start : start + self.shape.words]

    def messages(self, state: Cells) -> Cells:
        return state[self.shape.flag_count :]

    def renamed(self, state: Cells, names: dict[int, int]) -> Cells:
        first_word = self.shape.flag_count
        return state[:first_word] + tuple(names[value] for value in state[first_word:])


MEMORIES: Final[dict[str, Callable[[Shape], Memory[Cells]]]] = {"sc": SequentiallyConsistent}
"""The simulated memories by name."""


def make_memory(name: str, shape: Shape) -> Memory[Cells]:
    """Make the simulated memory of that name. Raises :class:`VariantError` for an unknown one."""
    if name not in MEMORIES:
        raise VariantError(f"unknown memory {name!r}; the simulated memories are {', '.join(MEMORIES)}")
    return MEMORIES[name](shape)
