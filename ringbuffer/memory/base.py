"""What a simulated memory is, for whoever runs rows on one.

Every access yields its possible outcomes, each a value and the memory after it: states are immutable and hashable, and a weak
memory has several outcomes for one load. Rules: the model touches memory through this interface only; locations are numbers,
which :class:`Shape` gives out; values are numbers, of which a memory asks nothing, so that callers may mark them. Limits: one
location holds one flag byte or one payload word; there is no mixed-size access. The real segment does not stand behind this
interface, because an access to it cannot be tried out and taken back; rows are compiled to direct accesses instead
(``compiled.py``), and held to the model by stepping both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Protocol

from ringbuffer.errors import GeometryError
from ringbuffer.protocol import Kind, Ordering

READERS_MAX, BLOCKS_MAX, WORDS_MAX = 16, 16, 8
"""Bounds of a simulated ring: beyond them nothing can be explored, and pictures of it cannot be read."""

NOBODY = -1
"""The reader's rank of an actor that is none."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The locations of a simulated ring: all flags, block by block; all payload words, block by block; a lock for each actor.
    Where actors sleep, further a word for each that says whether it is awake, and for each word the kernel's queue.

    ``words``: how many words a payload has. With one, nothing could be torn; two are enough to see it. ``ranks``: the reader's
    rank of each actor, :data:`NOBODY` for a writer; by default one writer and then the readers. ``sleeps``: whether actors do.
    """

    readers: int
    blocks: int
    words: int = 2
    ranks: tuple[int, ...] = ()
    sleeps: bool = False
    flag_count: int = field(init=False, repr=False, compare=False)
    """How many flags there are; locations below this are flags."""
    word_end: int = field(init=False, repr=False, compare=False)
    """Locations from ``flag_count`` and below this are payload words; those from here on are locks."""

    def __post_init__(self) -> None:
        for name, value, most in (
            ("readers", self.readers, READERS_MAX),
            ("blocks", self.blocks, BLOCKS_MAX),
            ("words", self.words, WORDS_MAX),
        ):
            if not 1 <= value <= most:
                raise GeometryError(f"{name} is {value}, and a simulated ring has 1 to {most}")
        if not self.ranks:
            object.__setattr__(self, "ranks", (NOBODY, *range(self.readers)))
        object.__setattr__(self, "flag_count", self.blocks * self.entry_size)
        object.__setattr__(self, "word_end", self.flag_count + self.blocks * self.words)

    @property
    def actors(self) -> int:
        """How many actors there are."""
        return len(self.ranks)

    @property
    def entry_size(self) -> int:
        """How many flags a block has."""
        return 1 + self.readers

    @property
    def size(self) -> int:
        """How many locations there are."""
        return self.word_end + self.actors * (3 if self.sleeps else 1)

    def flag(self, block: int, flag: int) -> int:
        """The location of flag number ``flag`` of ``block``: 0 is the written flag, ``1 + r`` reader ``r``'s."""
        return block * self.entry_size + flag

    def word(self, block: int, word: int) -> int:
        """The location of payload word number ``word`` of ``block``."""
        return self.flag_count + block * self.words + word

    def lock(self, actor: int) -> int:
        """The location of an actor's own lock."""
        return self.word_end + actor

    def awake(self, actor: int) -> int:
        """The location of the word that says whether an actor is awake."""
        return self.word_end + self.actors + actor

    def queue(self, actor: int) -> int:
        """The location that stands for the kernel's queue of those who sleep on an actor's word, and for its lock."""
        return self.word_end + 2 * self.actors + actor

    def initial_value(self, location: int, read_flag: int) -> int:
        """What an atomic location holds in the beginning: read flags what is asked, and everybody is awake."""
        if location < self.flag_count:
            return read_flag if location % self.entry_size else 0
        return int(self.sleeps and self.awake(0) <= location < self.queue(0))

    def block_of_word(self, location: int) -> int:
        """The block to which a payload word belongs."""
        return (location - self.flag_count) // self.words


class Footprint(NamedTuple):
    """What an actor's rows can do at all: the atomic locations that they load and that they store, and their fences.

    A memory may forget what no actor could find out any more, and this tells it what that is.
    """

    loads: frozenset[int]
    stores: frozenset[int]
    fences: frozenset[Ordering] = frozenset()
    reads: bool = False
    """Whether it reads payload."""
    fills: bool = False
    """Whether it writes payload."""
    exchanges: frozenset[int] = frozenset()
    """The locations that it touches by atomic exchanges and in no other way; they are among those that it loads and stores."""


class Arrangement(NamedTuple):
    """Other names for the same ring: the blocks counted from another one, the readers in another order.

    ``actors``: the old actor at each new actor's place. ``locations``: the old location at each new location's place, and
    ``places`` the other way round.
    """

    actors: tuple[int, ...]
    locations: tuple[int, ...]
    places: tuple[int, ...]


@cache
def arrangement(shape: Shape, actors: tuple[int, ...], shift: int) -> Arrangement:
    """The arrangement in which block ``shift`` is called 0, the block behind it 1 …, and actor ``i`` is the old ``actors[i]``.

    ``actors`` must map ranks to ranks one to one.
    """
    readers = {shape.ranks[new]: shape.ranks[old] for new, old in enumerate(actors) if shape.ranks[new] != NOBODY}
    assert sorted(readers) == sorted(readers.values()), "readers change places with readers"
    blocks = [(block + shift) % shape.blocks for block in range(shape.blocks)]
    flags = [0, *(1 + readers.get(rank, rank) for rank in range(shape.readers))]
    locations = (
        *(shape.flag(block, flag) for block in blocks for flag in flags),
        *(shape.word(block, word) for block in blocks for word in range(shape.words)),
        *(shape.lock(old) for old in actors),
        *(place(old) for place in ((shape.awake, shape.queue) if shape.sleeps else ()) for old in actors),
    )
    places = sorted(range(len(locations)), key=locations.__getitem__)
    return Arrangement(actors, locations, tuple(places))


class Memory(Protocol):
    """The interface. ``actor`` is a small number: weak memories keep something for each actor.

    An empty answer says that the actor has to wait for the memory (a full fence, for its store buffer to drain).
    """

    name: str
    shape: Shape
    local: frozenset[Kind]
    """Kinds of accesses to flags that no other actor can notice when they happen, whatever their ordering below ``seq_cst``."""
    has_buffers: bool
    """Whether :meth:`flush` ever has an answer."""
    capped: bool
    """Whether an actor ever had to wait for the memory because of a bound of this model of it."""
    judges_races: bool
    """Whether payload accesses are checked for races, so that nothing behind a race means anything."""

    def initial(self, read_flag: int) -> Any:
        """The state before anybody has run: written flags 0, read flags ``read_flag``, payload words 0, locks 0, and
        everybody awake."""

    def load(self, state: Any, actor: int, location: int, ordering: Ordering) -> Iterable[tuple[int, Any]]:
        """Every value that the load can return, oldest first, each with the state after it."""

    def store(self, state: Any, actor: int, location: int, value: int, ordering: Ordering) -> Iterable[Any]:
        """Every state that the store can lead to."""

    def exchange(self, state: Any, actor: int, location: int, value: int, ordering: Ordering) -> Iterable[tuple[int, Any]]:
        """Every value that an atomic exchange can return, each with the state after it."""

    def fence(self, state: Any, actor: int, ordering: Ordering) -> Iterable[Any]:
        """Every state that a fence can lead to."""

    def read(self, state: Any, actor: int, location: int) -> Iterable[tuple[int, Any, bool]]:
        """Read a payload word: every value, the state after it, and whether that is a race."""

    def fill(self, state: Any, actor: int, location: int, value: int) -> Iterable[tuple[Any, bool]]:
        """Write a payload word: every state that it leads to, and whether that is a race."""

    def flush(self, state: Any, actor: int) -> tuple[int, int, Any] | None:
        """Let the oldest store of an actor's buffer reach memory: its location, its value, and the state after it."""

    def learned(self, state: Any, actor: int, other: int) -> Any:
        """The state when ``actor`` has learned from the kernel that ``other`` is gone: what that one did happens before."""

    def in_flight(self, state: Any, actor: int, block: int) -> bool:
        """Whether a payload word that the actor wrote to that block has not reached memory."""

    def entry(self, state: Any, block: int) -> tuple[int, ...]:
        """The flags of a block as an onlooker would find them."""

    def payload(self, state: Any, block: int) -> tuple[int, ...]:
        """The payload words of a block as an onlooker would find them."""

    def newest(self, state: Any, location: int) -> int:
        """The value that was stored last, wherever it is by now."""

    def messages(self, state: Any) -> Iterable[int]:
        """Every payload value that the state holds, in a fixed order that begins with the blocks."""

    def renamed(self, state: Any, names: dict[int, int]) -> Any:
        """The same state with every payload value replaced by its name."""

    def arranged(self, state: Any, arrangement: Arrangement) -> Any:
        """The same state under other names."""

    def portrait(self, state: Any, actor: int) -> Any:
        """What of the state is about this reader alone, block by block; equal for readers that could change places.

        States whose readers' portraits differ may still be the same under other names; then they are explored twice.
        """
