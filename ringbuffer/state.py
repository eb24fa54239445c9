"""What a model is asked, and the values that it answers with: setups, actors, states, choices, transitions.

Rules: all of them are immutable and hashable, and compare by value. Limits: they hold no behaviour; ``model.py`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from ringbuffer.errors import GeometryError, VariantError
from ringbuffer.memory.base import NOBODY, Shape
from ringbuffer.memory.simulated import check_memory
from ringbuffer.protocol import PROTOCOL, Program, Variant, Waking, with_waking
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS, Succession

WRITERS_MAX: Final = 4
TWINS_MAX: Final = 1
MESSAGES_MAX: Final = 1000
TORN: Final = -1
"""What a reader holds that has read words of two messages."""
MARK: Final = 1 << 24
"""In a marking model, values are stored with this times the number of the step that stores them."""
FRESH: Final = MARK - 1
"""The name of a new message until the state is renamed."""

NOTHING, SOMETHING, THE_OLDEST = 0, 1, 2

PROCEED, ABORT = 0, 1
"""The two ways in which a payload step can go on: with the next word (or the end), or with a caller that raises."""
FLUSH, KILL, TAKE, EVICT, REJOIN, ASK = -1, -2, -3, -4, -5, -6
"""Details of steps that are nobody's row: an actor's oldest buffered store reaches memory; an actor is killed; a successor
takes a dead one's role; a stand-in takes a dead reader's; a newcomer takes it from the stand-in; a reader finds the writer
dead."""
DEAD: Final = -1
"""The program counter of an actor that was killed."""
ASLEEP: Final = 1
"""The ``word`` of an actor that stands at the row by which it sleeps, and sleeps."""

ANYONE: Final = "anyone"
KILLED = ("", "reader", "writer", ANYONE)
"""Whom a run may kill, at any row: one reader, or one writer, once; or anyone, again and again, with successors."""


class Actor(NamedTuple):
    """Where one actor stands.

    ``todo``: for a row about several read flags, the set of ranks still to be visited, as bits; ``zeros``: how many of the
    visited flags were 0. ``word``: for a payload row, how many words are done (at the row of sleeping: :data:`ASLEEP`);
    ``message``: the one being filled or read.
    """

    pc: int
    block: int
    todo: int
    zeros: int
    word: int
    message: int


class State(NamedTuple):
    """Everything: the memory, the actors (writers first), what the oracle says is owed, and three counts.

    ``accepted``: messages accepted so far, kept only where the number of messages is bounded. ``begun``: fills begun so
    far, kept only where messages have lasting numbers. ``taken``: steps taken so far, kept only where values are marked.
    """

    memory: Any
    actors: tuple[Actor, ...]
    owed: judge.Owed
    accepted: int
    begun: int
    taken: int
    notes: Any = None
    """What a model with successors keeps besides (:mod:`ringbuffer.recovering`)."""


Choice: TypeAlias = tuple[int, int, int]
"""Actor, detail (the rank visited by a row about several flags; :data:`PROCEED` or :data:`ABORT`; :data:`FLUSH`,
:data:`KILL`, :data:`TAKE`, :data:`EVICT`, :data:`REJOIN` or
:data:`ASK`), and the memory's alternative."""


class Transition(NamedTuple):
    """One possible step: the choice, the state after it, the properties it breaks, and the *sometimes* it shows."""

    choice: Choice
    state: State
    broken: tuple[str, ...]
    seen: tuple[str, ...]
    progress: int
    """What the actor got done: :data:`NOTHING`, :data:`SOMETHING` (a writer has filled a block, a reader has received a message
    that it was owed), or :data:`THE_OLDEST` (a reader has received the oldest that it was owed)."""
    value: int
    """What was loaded, stored or read."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The question that a model answers: which tables, which ring, how many messages, on which memory, with which faults.

    ``messages``: how many each run writes in all, or ``None`` for no bound. ``aborts``: whether callers may raise.
    ``writers``: more than one is a fault. ``twins``: how many more processes have rank 0. ``killed``: whether one
    ``"reader"`` or one ``"writer"`` may be killed, before any of its steps, or ``"anyone"``, any number of times, and followed
    as ``succession`` (a name in :data:`~ringbuffer.protocol.succession.SUCCESSIONS`) says. ``waking``: by which rows actors
    that wait lie down and are woken; ``None`` where they look again and again.
    """

    variant: Variant = PROTOCOL
    readers: int = 2
    blocks: int = 2
    words: int = 2
    writers: int = 1
    messages: int | None = None
    aborts: bool = True
    memory: str = "sc"
    twins: int = 0
    killed: str = ""
    succession: str = SHIPPED
    waking: Waking | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.writers <= WRITERS_MAX:
            raise GeometryError(f"writers is {self.writers}, and a simulated ring has 1 to {WRITERS_MAX}")
        if not 0 <= self.twins <= TWINS_MAX:
            raise GeometryError(f"twins is {self.twins}, and rank 0 can have up to {TWINS_MAX}")
        if self.messages is not None and not 1 <= self.messages <= MESSAGES_MAX:
            raise GeometryError(f"messages is {self.messages}, and it is None (unbounded) or 1 to {MESSAGES_MAX}")
        if self.killed not in KILLED:
            raise VariantError(f"killed is {self.killed!r}, and it is one of {', '.join(map(repr, KILLED))}")
        if self.succession not in SUCCESSIONS:
            raise VariantError(f"unknown succession {self.succession!r}; there are {', '.join(SUCCESSIONS)}")
        if self.killed == ANYONE and (self.writers != 1 or self.twins):
            raise VariantError("where anyone may be killed and followed, each role has one holder: no more writers, no twins")
        if self.killed == ANYONE and self.waking is not None:
            raise VariantError("where anyone may be killed and followed, nobody sleeps: these two are explored by themselves")
        check_memory(self.memory)
        assert self.shape.actors, "the ring can be, or this has raised"
        assert self.programs, "both tables have rows, and can sleep if they are to, or this has raised"

    @property
    def programs(self) -> tuple[Program, Program]:
        """What the writer and a reader run. Raises :class:`VariantError` for a table without rows, or one that cannot sleep."""
        writer, reader = self.variant.programs
        if self.waking is None:
            return writer, reader
        return with_waking(writer, self.waking), with_waking(reader, self.waking)

    @property
    def edits(self) -> str:
        """The edits of the tables, and of the rows by which actors sleep; ``"shipped"`` if there are none."""
        found = (*self.variant.edits, *(self.waking.edits if self.waking is not None else ()))
        return " ".join(map(str, found)) or "shipped"

    @property
    def follows(self) -> Succession:
        """How the dead are followed, where anyone may be killed."""
        return SUCCESSIONS[self.succession]

    @property
    def shape(self) -> Shape:
        """The ring's locations. Raises :class:`GeometryError` for a ring that cannot be."""
        ranks = (NOBODY,) * self.writers + tuple(range(self.readers)) + (0,) * self.twins
        return Shape(self.readers, self.blocks, self.words, ranks, sleeps=self.waking is not None)


def unmarked(value: int) -> int:
    """A value without the number of the step that stored it."""
    return value % MARK


def stored_at(value: int) -> int:
    """The number of the step that stored a value of a marking model, 0 for the initial one."""
    return value // MARK
