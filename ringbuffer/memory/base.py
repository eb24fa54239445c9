"""What a simulated memory is, for whoever runs rows on one.

Every access yields its possible outcomes, each a value and the memory after it: states are immutable and hashable, and a weak
memory has several outcomes for one load. Rules: the model touches memory through this interface only; locations are numbers,
which :class:`Shape` gives out. Limits: one location holds one flag byte or one payload word; there is no mixed-size access.
The real segment does not stand behind this interface, because an access to it cannot be tried out and taken back; rows are
compiled to direct accesses instead (``compiled.py``), and held to the model by stepping both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ringbuffer.errors import GeometryError
from ringbuffer.protocol import Ordering

State = TypeVar("State")

READERS_MAX, BLOCKS_MAX, WORDS_MAX = 16, 16, 8
"""Bounds of a simulated ring: beyond them nothing can be explored, and pictures of it cannot be read."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The locations of a simulated ring: first all flags, block by block, then all payload words, block by block.

    ``words``: how many words a payload has. With one, nothing could be torn; two are enough to see it.
    """

    readers: int
    blocks: int
    words: int = 2

    def __post_init__(self) -> None:
        for name, value, most in (
            ("readers", self.readers, READERS_MAX),
            ("blocks", self.blocks, BLOCKS_MAX),
            ("words", self.words, WORDS_MAX),
        ):
            if not 1 <= value <= most:
                raise GeometryError(f"{name} is {value}, and a simulated ring has 1 to {most}")

    @property
    def entry_size(self) -> int:
        """How many flags a block has."""
        return 1 + self.readers

    @property
    def flag_count(self) -> int:
        """How many flags there are; locations below this are flags, the others are payload words."""
        return self.blocks * self.entry_size

    def flag(self, block: int, flag: int) -> int:
        """The location of flag number ``flag`` of ``block``: 0 is the written flag, ``1 + r`` reader ``r``'s."""
        return block * self.entry_size + flag

    def word(self, block: int, word: int) -> int:
        """The location of payload word number ``word`` of ``block``."""
        return self.flag_count + block * self.words + word


class Memory(Protocol[State]):
    """The interface. ``actor`` is a small number: weak memories keep something for each actor."""

    name: str
    shape: Shape

    def initial(self, read_flag: int) -> State:
        """The state before anybody has run: written flags 0, read flags ``read_flag``, payload words 0."""

    def load(self, state: State, actor: int, location: int, ordering: Ordering) -> Iterable[tuple[int, State]]:
        """Every value that the load can return, each with the state after it."""

    def store(self, state: State, actor: int, location: int, value: int, ordering: Ordering) -> Iterable[State]:
        """Every state that the store can lead to."""

    def entry(self, state: State, block: int) -> tuple[int, ...]:
        """The flags of a block as an onlooker would find them, for pictures."""

    def payload(self, state: State, block: int) -> tuple[int, ...]:
        """The payload words of a block as an onlooker would find them."""

    def messages(self, state: State) -> Iterable[int]:
        """Every payload value that the state holds, in a fixed order."""

    def renamed(self, state: State, names: dict[int, int]) -> State:
        """The same state with every payload value replaced by its name."""
