"""The protocol as a transition system on a simulated memory: an initial state, and the steps that are possible in a state.

Rules: a state is an immutable value; the steps of a state come in a fixed order, so that a run is a function of the model
and of a list of choices; the model interprets the tables and holds no protocol of its own; delivery is judged by the oracle.
Limits: a payload is a few words, written and read in ascending order; a caller that raises does so after a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from ringbuffer.errors import GeometryError
from ringbuffer.memory.base import Memory, Shape
from ringbuffer.memory.simulated import make_memory
from ringbuffer.protocol import PROTOCOL, Edge, Flag, Kind, Outcome, Program, Variant
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.properties import SAFETY

WRITERS_MAX: Final = 4
MESSAGES_MAX: Final = 1000
TORN: Final = -1
"""What a reader holds that has read words of two messages."""
_FRESH: Final = 1 << 30
"""The name of a new message until the state is renamed."""

NOTHING, SOMETHING, THE_OLDEST = 0, 1, 2

PROCEED, ABORT = 0, 1
"""The two ways in which a payload step can go on: with the next word (or the end), or with a caller that raises."""


class Actor(NamedTuple):
    """Where one actor stands.

    ``todo``: for a row about ``read[*]``, the set of ranks still to be visited, as bits; ``zeros``: how many of the visited
    flags were 0. ``word``: for a payload row, how many words are done; ``message``: the one being filled or read.
    """

    pc: int
    block: int
    todo: int
    zeros: int
    word: int
    message: int


class State(NamedTuple):
    """Everything: the memory, the actors (writers first), what the oracle says is owed, and two counts.

    ``accepted``: messages accepted so far, kept only where the number of messages is bounded. ``begun``: fills begun so
    far, kept only where messages have lasting numbers.
    """

    memory: Any
    actors: tuple[Actor, ...]
    owed: judge.Owed
    accepted: int
    begun: int


Choice: TypeAlias = tuple[int, int, int]
"""Actor, detail (the rank visited by a ``read[*]`` row; :data:`PROCEED` or :data:`ABORT`), and the memory's alternative."""


class Transition(NamedTuple):
    """One possible step: the choice, the state after it, the properties it breaks, and the *sometimes* it shows."""

    choice: Choice
    state: State
    broken: tuple[str, ...]
    seen: tuple[str, ...]
    progress: int
    """What the actor got done: :data:`NOTHING`, :data:`SOMETHING` (a writer has filled a block, a reader has received a message
    that it was owed), or :data:`THE_OLDEST` (a reader has received the oldest that it was owed)."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The question that a model answers: which tables, which ring, how many messages, on which memory.

    ``messages``: how many each run writes in all, or ``None`` for no bound. ``aborts``: whether callers may raise.
    """

    variant: Variant = PROTOCOL
    readers: int = 2
    blocks: int = 2
    words: int = 2
    writers: int = 1
    messages: int | None = None
    aborts: bool = True
    memory: str = "sc"

    def __post_init__(self) -> None:
        if not 1 <= self.writers <= WRITERS_MAX:
            raise GeometryError(f"writers is {self.writers}, and a simulated ring has 1 to {WRITERS_MAX}")
        if self.messages is not None and not 1 <= self.messages <= MESSAGES_MAX:
            raise GeometryError(f"messages is {self.messages}, and it is None (unbounded) or 1 to {MESSAGES_MAX}")
        make_memory(self.memory, Shape(self.readers, self.blocks, self.words))
        assert self.variant.programs, "both tables have rows, or this has raised"


class Model:
    """The transition system of a :class:`Setup`.

    ``lasting``: number messages from 1 in the order in which their fills begin, as a person wants to see them. Without it,
    messages are named by where they are, so that states that differ in names only are one state and unbounded runs stay
    finite. That is sound by data independence (Wolper 1986): nothing here asks of two messages more than whether they are
    the same, and of a message more than its place in what is owed. Both kinds of model offer the same choices.
    """

    def __init__(self, setup: Setup, *, lasting: bool = False, memory: Memory[Any] | None = None) -> None:
        self.setup = setup
        self.lasting = lasting
        self.shape = Shape(setup.readers, setup.blocks, setup.words)
        self.memory: Memory[Any] = memory if memory is not None else make_memory(setup.memory, self.shape)
        writer, reader = setup.variant.programs
        self.programs: tuple[Program, ...] = (writer,) * setup.writers + (reader,) * setup.readers
        self._all_ranks = (1 << setup.readers) - 1

    def actor_name(self, actor: int) -> str:
        """``writer``, ``writer 1`` where there are several, ``reader 0`` …"""
        if actor >= self.setup.writers:
            return f"reader {actor - self.setup.writers}"
        return "writer" if self.setup.writers == 1 else f"writer {actor}"

    def initial(self) -> State:
        """The state before anybody has run."""
        actors = tuple(self._at(program, 0, 0) for program in self.programs)
        memory = self.memory.initial(self.setup.variant.initial_read_flag)
        return State(memory, actors, judge.nothing_owed(self.setup.readers), 0, 0)

    def transitions(self, state: State) -> list[Transition]:
        """Every possible step of ``state``, in a fixed order."""
        return [step for actor in range(len(self.programs)) for step in self.transitions_of(state, actor)]

    def transitions_of(self, state: State, actor: int) -> Iterator[Transition]:
        """Every possible step of one actor; none for a writer that has written all its messages."""
        me = state.actors[actor]
        access = self.programs[actor][me.pc].row.access
        most = self.setup.messages
        if actor < self.setup.writers and me.pc == 0 and most is not None and state.accepted >= most:
            return
        if access.kind in (Kind.FILL, Kind.READ):
            for detail in (PROCEED, ABORT) if self.setup.aborts else (PROCEED,):
                yield from self._payload(state, actor, me, access.kind, detail)
        elif access.flag is Flag.EACH:
            for rank in range(self.setup.readers):
                if me.todo >> rank & 1:
                    yield from self._flag_access(state, actor, me, 1 + rank, rank)
        else:
            rank = actor - self.setup.writers
            yield from self._flag_access(state, actor, me, 1 + rank if access.flag is Flag.OWN else 0, 0)

    def _at(self, program: Program, pc: int, block: int) -> Actor:
        each = program[pc].row.access.flag is Flag.EACH
        return Actor(pc, block, self._all_ranks if each else 0, 0, 0, judge.NO_MESSAGE)

    def _flag_access(self, state: State, actor: int, me: Actor, flag: int, detail: int) -> Iterator[Transition]:
        """A load or a store of one flag byte of the actor's block."""
        access = self.programs[actor][me.pc].row.access
        location = self.shape.flag(me.block, flag)
        if access.kind is Kind.STORE:
            assert access.value is not None, "a store has a value"
            after = self.memory.store(state.memory, actor, location, access.value, access.ordering)
            results = [(Outcome.DONE, memory) for memory in after]
        else:
            loads = self.memory.load(state.memory, actor, location, access.ordering)
            results = [(Outcome.ONE if value else Outcome.ZERO, memory) for value, memory in loads]
        for alternative, (outcome, memory) in enumerate(results):
            choice = (actor, detail, alternative)
            if access.flag is Flag.EACH:
                zeros = me.zeros + (outcome is Outcome.ZERO)
                todo = me.todo & ~(1 << detail)
                if zeros <= access.missing_allowed and todo:
                    moved = me._replace(todo=todo, zeros=zeros)
                    yield Transition(choice, self._with(state, actor, moved, memory=memory), (), (), NOTHING)
                    continue
                if access.kind is Kind.LOAD:
                    outcome = Outcome.ONE if zeros <= access.missing_allowed else Outcome.ZERO
            seen = ("recycled",) if access.flag is Flag.EACH and outcome is Outcome.ONE else ()
            yield self._go_on(state._replace(memory=memory), actor, me, outcome, choice, (), seen)

    def _payload(self, state: State, actor: int, me: Actor, kind: Kind, detail: int) -> Iterator[Transition]:
        """One word of the payload, written or read by the actor's caller, which may raise after it."""
        location = self.shape.word(me.block, me.word)
        ordering = self.programs[actor][me.pc].row.access.ordering
        whole = me.word + 1 == self.setup.words
        if kind is Kind.FILL:
            begun = state.begun + (me.word == 0 and self.lasting)
            message = me.message if me.word else (begun if self.lasting else _FRESH)
            over = self.memory.payload(state.memory, me.block)[me.word]
            owed, fault = judge.overwritten(state.owed, over) if over != message else (state.owed, None)
            broken: tuple[str, ...] = (fault,) if fault else ()
            after = self.memory.store(state.memory, actor, location, message, ordering)
            results = [(message, memory) for memory in after]
            state = state._replace(begun=begun, owed=owed)
        else:
            broken = ()
            loads = self.memory.load(state.memory, actor, location, ordering)
            results = [(value if me.word == 0 or value == me.message else TORN, memory) for value, memory in loads]
        for alternative, (message, memory) in enumerate(results):
            choice = (actor, detail, alternative)
            moved = me._replace(word=me.word + 1, message=message)
            now = self._with(state, actor, moved, memory=memory)
            if detail == ABORT:
                aborted = "fill-aborted" if kind is Kind.FILL else "read-aborted"
                step = self._go_on(now, actor, moved, Outcome.ABORTED, choice, broken, (aborted,))
            elif not whole:
                step = Transition(choice, now, broken, (), NOTHING)
            elif kind is Kind.FILL:
                owed = judge.accepted(state.owed, message)
                count = state.accepted + (self.setup.messages is not None)
                step = self._go_on(now._replace(owed=owed, accepted=count), actor, moved, Outcome.DONE, choice, broken)
                step = step._replace(progress=SOMETHING)
            else:
                step = self._deliver(now, actor, moved, choice)
            yield step._replace(state=self._renamed(step.state))

    def _deliver(self, state: State, actor: int, me: Actor, choice: Choice) -> Transition:
        """A reader's caller has read all words: the oracle judges them."""
        rank = actor - self.setup.writers
        words = (me.message, me.message) if me.message != TORN else (TORN, judge.NO_MESSAGE)
        backlog = len(state.owed[rank]) > 1
        owed, fault = judge.delivered(state.owed, rank, words)
        broken = (fault,) if fault else ()
        seen = ("received", "backlog") if backlog else ("received",)
        step = self._go_on(state._replace(owed=owed), actor, me, Outcome.DONE, choice, broken, () if fault else seen)
        return step._replace(progress=THE_OLDEST if fault is None else SOMETHING if fault == "reordered" else NOTHING)

    def _go_on(
        self,
        state: State,
        actor: int,
        me: Actor,
        outcome: Outcome,
        choice: Choice,
        broken: tuple[str, ...] = (),
        seen: tuple[str, ...] = (),
    ) -> Transition:
        """The actor's row is over: take the branch of its outcome, and look at what that shows."""
        program = self.programs[actor]
        branch = program[me.pc].branch(outcome)
        is_writer = actor < self.setup.writers
        block = (me.block + 1) % self.setup.blocks if branch.moves else me.block
        if branch.edge is Edge.WAITED:
            seen = (*seen, "writer-waits" if is_writer else "reader-waits")
        elif branch.edge is Edge.FINISHED:
            held = self.memory.payload(state.memory, me.block)
            if not is_writer:
                owed, fault = judge.passed_over(state.owed, actor - self.setup.writers, held)
                if fault:
                    broken, state = (*broken, fault), state._replace(owed=owed)
        moved = self._at(program, branch.pc, block)
        state = self._with(state, actor, moved)
        if program[branch.pc].row.is_payload:
            together, beside = self._company(state, actor, moved, is_writer)
            broken, seen = broken + together, seen + beside
        if len(broken) > 1:
            broken = tuple(name for name in SAFETY if name in broken)
        return Transition(choice, state, broken, seen, NOTHING)

    def _company(self, state: State, actor: int, me: Actor, is_writer: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who else is in a block when this actor enters one: what that breaks, and what it shows."""
        broken: tuple[str, ...] = ()
        seen: tuple[str, ...] = ()
        for other, them in enumerate(state.actors):
            if other == actor or not self.programs[other][them.pc].row.is_payload:
                continue
            other_writes = other < self.setup.writers
            if me.block != them.block:
                seen = (*seen, "side-by-side") if is_writer != other_writes else seen
            elif is_writer or other_writes:
                broken = ("exclusion",)
            else:
                seen = (*seen, "shared-block")
        return broken, seen

    def _with(self, state: State, actor: int, me: Actor, **changes: Any) -> State:
        actors = (*state.actors[:actor], me, *state.actors[actor + 1 :])
        return state._replace(actors=actors, **changes)

    def _renamed(self, state: State) -> State:
        """Name the messages by where they are first met, going through the state in a fixed order."""
        if self.lasting:
            return state
        names = {judge.NO_MESSAGE: judge.NO_MESSAGE, TORN: TORN}
        compact = True
        for source in (self.memory.messages(state.memory), [me.message for me in state.actors], *state.owed):
            for value in source:
                if value not in names:
                    names[value] = len(names) - 1
                    compact = compact and names[value] == value
        if compact:
            return state
        actors = tuple(me._replace(message=names[me.message]) for me in state.actors)
        owed = tuple(tuple(names[message] for message in queue) for queue in state.owed)
        return state._replace(memory=self.memory.renamed(state.memory, names), actors=actors, owed=owed)
