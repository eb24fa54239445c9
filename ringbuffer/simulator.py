"""The rows, run on a simulated memory: any interleaving, one access at a time.

:class:`Model` is the protocol as a transition system: an initial state, the steps that are possible in a state, and for each
the state after it. :class:`Simulation` walks along one run, records it, and names it by a token that replays it.

Rules: a state is an immutable value; the steps of a state come in a fixed order, so that a run is a function of the model
and of a list of choices; the model interprets the tables and holds no protocol of its own; delivery is judged by the oracle.
Limits: a payload is a few words, written and read in ascending order; a caller that raises does so after a word.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from ringbuffer.errors import GeometryError, TokenError, VariantError
from ringbuffer.memory.base import Memory, Shape
from ringbuffer.memory.simulated import make_memory
from ringbuffer.protocol import PROTOCOL, Edge, Flag, Kind, Outcome, Program, Variant
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.properties import SAFETY
from ringbuffer.trace.record import Step
from ringbuffer.trace.text import message_name
from ringbuffer.trace.token import Token

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


class Simulation:
    """One run: it starts at the initial state and goes on by choices; it records what it did.

    ``steps`` are the records so far; :meth:`token` names the run, and :meth:`replay` runs it again.
    """

    def __init__(self, setup: Setup, *, memory: Memory[Any] | None = None) -> None:
        self.setup = setup
        self.model = Model(setup, lasting=True, memory=memory)
        self.state = self.model.initial()
        self.steps: list[Step] = []
        self._digits: list[tuple[int, int]] = []
        self._possible: list[Transition] | None = None

    def possible(self) -> list[Transition]:
        """The steps that are possible now, in the order by which :meth:`step` numbers them."""
        if self._possible is None:
            self._possible = self.model.transitions(self.state)
        return self._possible

    def step(self, number: int) -> Step:
        """Take the possible step of that number. Raises ``IndexError`` when there is none."""
        if number < 0:
            raise IndexError(f"step {number}: the possible steps are numbered from 0")
        transition = self.possible()[number]
        step = self._record(transition, number)
        self._digits.append((number, len(self.possible())))
        self.steps.append(step)
        self.state = transition.state
        self._possible = None
        return step

    def take(self, choice: Choice) -> Step:
        """Take the possible step with that choice. Raises ``ValueError`` when it is not possible now."""
        return self.step([transition.choice for transition in self.possible()].index(choice))

    def run(self, seed: int, steps: int) -> list[Step]:
        """Take ``steps`` steps (fewer where no step is possible), drawn at random from ``seed``."""
        draw = random.Random(seed)
        done = []
        for _ in range(steps):
            if not self.possible():
                break
            done.append(self.step(draw.randrange(len(self.possible()))))
        return done

    def token(self) -> str:
        """A short text that names this run: the setup and the choices. Shells and URLs pass it unchanged."""
        return str(Token.of_run(self.setup.variant, _setup_fields(self.setup), self._digits))

    @classmethod
    def replay(cls, token: str) -> Simulation:
        """Run again what ``token`` names. Raises :class:`TokenError` for a token that is damaged or not for these tables."""
        parsed = Token.parse(token)
        simulation = cls(setup_of(parsed))
        schedule = parsed.schedule()
        for _ in range(parsed.step_count):
            base = len(simulation.possible())
            if base == 0:
                raise TokenError("the token goes on where no step is possible")
            simulation.step(schedule.next(base))
        schedule.finish()
        return simulation

    def _record(self, transition: Transition, number: int) -> Step:
        """Describe a step before it is taken."""
        actor, detail, _ = transition.choice
        model, before, after = self.model, self.state, transition.state
        me, moved = before.actors[actor], after.actors[actor]
        row = model.programs[actor][me.pc].row
        block, access = me.block, row.access
        payload = model.memory.payload(after.memory, block)
        flags = model.memory.entry(after.memory, block)
        if row.is_payload:
            location = f"word {me.word}"
            value = payload[me.word]
            arrow = "←" if access.kind is Kind.FILL else "→"
            text = f"{location} {arrow} {message_name(value)}"
        else:
            flag = self._flag_index(actor, detail, access.flag)
            location = "written" if flag == 0 else f"read[{flag - 1}]"
            value = flags[flag]
            text = f"{location} ← {value}" if access.kind is Kind.STORE else f"{location} → {value}"
        return Step(
            number=len(self.steps) + 1,
            actor=model.actor_name(actor),
            row=row.id,
            access=text,
            location=location,
            value=value,
            block=block,
            flags=flags,
            payload=payload,
            goes_to=model.programs[actor][moved.pc].row.id,
            note=self._note(transition, row.is_payload),
            broken=transition.broken,
            choice=number,
        )

    def _flag_index(self, actor: int, detail: int, flag: Flag | None) -> int:
        if flag is Flag.EACH:
            return 1 + detail
        return 1 + actor - self.setup.writers if flag is Flag.OWN else 0

    def _note(self, transition: Transition, payload: bool) -> str:
        """What the step means, in a few words."""
        actor, detail, _ = transition.choice
        before, after = self.state.actors[actor], transition.state.actors[actor]
        if payload and detail == ABORT:
            return "the caller raises: " + ("nothing is published" if actor < self.setup.writers else "it stays unread")
        if payload and before.word + 1 == self.setup.words and actor >= self.setup.writers:
            got = self.model.memory.payload(transition.state.memory, before.block)[before.word]
            rank = actor - self.setup.writers
            if before.message == TORN:
                return f"reader {rank} got a mix of messages"
            if before.word and got != before.message:
                return f"reader {rank} got a mix of {message_name(before.message)} and {message_name(got)}"
            expected = self.state.owed[rank][:1]
            wanted = f", and was owed {message_name(expected[0])}" if expected and expected[0] != got else ""
            return f"reader {rank} receives {message_name(got)}{wanted}"
        if "writer-waits" in transition.seen or "reader-waits" in transition.seen:
            return "waits" if before.block == after.block else f"busy: goes on to block {after.block}"
        return ""


def _setup_fields(setup: Setup) -> dict[str, int | str]:
    return {
        "r": setup.readers,
        "b": setup.blocks,
        "p": setup.words,
        "w": setup.writers,
        "m": setup.messages or 0,
        "a": int(setup.aborts),
        "on": setup.memory,
    }


def setup_of(token: Token) -> Setup:
    """The setup that a token names. Raises :class:`TokenError` when there can be no such setup."""
    number = token.number
    try:
        return Setup(
            variant=token.variant,
            readers=number("r"),
            blocks=number("b"),
            words=number("p"),
            writers=number("w"),
            messages=number("m") or None,
            aborts=bool(number("a")),
            memory=token.field("on"),
        )
    except (GeometryError, VariantError) as error:
        raise TokenError(f"the token names a run that cannot be: {error}") from error


def follow(setup: Setup, choices: Sequence[Choice]) -> Simulation:
    """The run that takes these choices, with lasting message numbers: how a counterexample is shown."""
    simulation = Simulation(setup)
    for choice in choices:
        simulation.take(choice)
    return simulation
