"""The protocol as a transition system on a simulated memory: an initial state, and the steps that are possible in a state.

Rules: a state is an immutable value; the steps of a state come in a fixed order, so that a run is a function of the model
and of a list of choices; the model interprets the tables and holds no protocol of its own; delivery is judged by the oracle.
Limits: a payload is a few words, written and read in ascending order; a caller that raises does so after a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ringbuffer.memory.base import NOBODY, Arrangement, Memory
from ringbuffer.memory.simulated import RELAXED_PAYLOAD, make_memory
from ringbuffer.naming import live, named_anew
from ringbuffer.places import Place, footprint, places_of
from ringbuffer.protocol import Edge, Kind, Outcome, Program
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.properties import SAFETY
from ringbuffer.state import (
    ABORT,
    DEAD,
    FLUSH,
    FRESH,
    KILL,
    MARK,
    NOTHING,
    PROCEED,
    SOMETHING,
    THE_OLDEST,
    TORN,
    Actor,
    Choice,
    Setup,
    State,
    Transition,
    unmarked,
)


class Model:
    """The transition system of a :class:`Setup`.

    ``lasting``: number messages from 1 in the order in which their fills begin, as a person wants to see them. Without it,
    messages are named by where they are, so that states that differ in names only are one state and unbounded runs stay
    finite. That is sound by data independence (Wolper 1986): nothing here asks of two messages more than whether they are
    the same, and of a message more than its place in what is owed. Both kinds of model offer the same choices.
    ``marking``: mark each stored value with the step that stored it, and let the memory forget nothing on account of equal
    values or of its bounds. ``settling``: messages that nobody is owed and nobody is filling have no names
    at all (:mod:`ringbuffer.checker.reduce` says when that changes nothing).
    """

    def __init__(
        self,
        setup: Setup,
        *,
        lasting: bool = False,
        marking: bool = False,
        settling: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.setup = setup
        self.lasting, self.marking, self.settling = lasting, marking, settling
        self._weak_payload = setup.memory == RELAXED_PAYLOAD
        self.shape = setup.shape
        sides = self._sides()
        self.programs: tuple[Program, ...] = tuple(self._program_of(rank, *sides) for rank in self.shape.ranks)
        self._places = tuple(self._places_of(actor) for actor in range(len(self.programs)))
        self.memory: Memory = (
            memory
            if memory is not None
            else make_memory(setup.memory, self.shape, tuple(map(footprint, self._places)), bounded=not marking)
        )

    def _sides(self) -> tuple[Program, Program]:
        """What a writer and what a reader runs."""
        return self.setup.variant.programs

    def _program_of(self, rank: int, writer: Program, reader: Program) -> Program:
        """What an actor of that rank runs, of the programs of the two sides."""
        return writer if rank == NOBODY else reader

    def _places_of(self, actor: int) -> tuple[Place, ...]:
        return places_of(self.shape, actor, self.programs[actor])

    def actor_name(self, actor: int) -> str:
        """``writer``, ``writer 1`` where there are several, ``reader 0`` …, ``twin 0`` for a second process of rank 0."""
        rank = self.shape.ranks[actor]
        if rank == NOBODY:
            return "writer" if self.setup.writers == 1 else f"writer {actor}"
        return f"reader {rank}" if actor < self.setup.writers + self.setup.readers else f"twin {rank}"

    def rank_of(self, actor: int) -> int:
        """The rank of an actor, :data:`~ringbuffer.memory.base.NOBODY` for a writer."""
        return self.shape.ranks[actor]

    def locations_of(self, actor: int, pc: int, block: int) -> tuple[int, ...]:
        """The flags that an actor's row touches in a block, by detail: one, or one for each rank."""
        return self._places[actor][pc].locations[block]

    def is_last(self, actor: int, pc: int) -> bool:
        """Whether the actor is done with its block when it is done with that row."""
        return self._places[actor][pc].is_last

    def initial(self) -> State:
        """The state before anybody has run."""
        actors = tuple(places[0].starts[0] for places in self._places)
        memory = self.memory.initial(self.setup.variant.initial_read_flag)
        return State(memory, actors, judge.nothing_owed(self.setup.readers), 0, 0, 0)

    def transitions(self, state: State) -> list[Transition]:
        """Every possible step of ``state``, in a fixed order."""
        return [step for actor in range(len(self.programs)) for step in self.transitions_of(state, actor)]

    def transitions_of(self, state: State, actor: int) -> list[Transition]:
        """Every possible step of one actor; none for a writer that has written all its messages, and for one that waits for
        its own store buffer."""
        steps: list[Transition] = []
        if state.actors[actor].pc != DEAD:
            steps += self.row_steps(state, actor)
            if self.setup.killed and self._may_be_killed(state, actor):
                steps.append(self._kill(state, actor))
        if self.memory.has_buffers:
            steps += self.flush_steps(state, actor)
        if self.marking:
            steps = [step._replace(state=step.state._replace(taken=state.taken + 1)) for step in steps]
        return steps

    @property
    def processes(self) -> range:
        """Everything that takes steps by itself: the actors and, behind them, the store buffer of each."""
        return range(len(self.programs) * (2 if self.memory.has_buffers else 1))

    def can_step(self, state: State, process: int) -> bool:
        """Whether an actor (by its row, not by being killed) or a store buffer has a step to take."""
        count = len(self.programs)
        if process >= count:
            return self.memory.flush(state.memory, process - count) is not None
        return state.actors[process].pc != DEAD and any(True for _ in self.row_steps(state, process))

    def row_steps(self, state: State, actor: int) -> Iterator[Transition]:
        """The steps of the row where an actor stands."""
        me = state.actors[actor]
        place = self._places[actor][me.pc]
        most = self.setup.messages
        if actor < self.setup.writers and me.pc == 0 and most is not None and state.accepted >= most:
            return
        if place.is_payload:
            for detail in (PROCEED, ABORT) if self.setup.aborts else (PROCEED,):
                yield from self._payload(state, actor, me, place.kind, detail)
        elif place.kind is Kind.FENCE:
            for alternative, memory in enumerate(self.memory.fence(state.memory, actor, place.access.ordering)):
                choice = (actor, PROCEED, alternative)
                yield self._go_on(memory, state, actor, me, Outcome.DONE, choice, 0)
        elif place.several:
            yield from self._several(state, actor, me, place)
        else:
            yield from self._single(state, actor, me, place)

    def flush_steps(self, state: State, actor: int) -> Iterator[Transition]:
        """The step by which an actor's oldest buffered store reaches memory, if there is one."""
        flushed = self.memory.flush(state.memory, actor)
        if flushed is not None:
            _, value, memory = flushed
            after = self.renamed(state._replace(memory=memory))
            yield Transition((actor, FLUSH, 0), after, (), (), NOTHING, value)

    def _may_be_killed(self, state: State, actor: int) -> bool:
        role = "writer" if self.shape.ranks[actor] == NOBODY else "reader"
        return role == self.setup.killed and all(them.pc != DEAD for them in state.actors)

    def _kill(self, state: State, actor: int) -> Transition:
        """The actor is gone, wherever it stood. What it has stored stays stored; what it has filled, while the block's flags
        let no reader at it yet, goes with it."""
        me = state.actors[actor]
        start = self.shape.flag(me.block, 0)
        written, *read = [self.memory.newest(state.memory, start + flag) & 1 for flag in range(self.shape.entry_size)]
        if self._has_filled(actor, me) and not (written and 0 in read):
            held = unmarked(self.memory.newest(state.memory, self.shape.word(me.block, 0)))
            state = state._replace(owed=judge.withdrawn(state.owed, held))
        dead = Actor(DEAD, me.block, 0, 0, 0, judge.NO_MESSAGE)
        return Transition((actor, KILL, 0), self.renamed(_with(state, actor, dead, state.memory)), (), ("killed",), NOTHING, 0)

    def _has_filled(self, actor: int, me: Actor) -> bool:
        """Whether a writer's caller has filled the block at this turn."""
        return any(place.kind is Kind.FILL for place in self._places[actor][: me.pc])

    def _single(self, state: State, actor: int, me: Actor, place: Place) -> Iterator[Transition]:
        """A load, a store or an exchange of one flag byte of the actor's block."""
        results = self._results(state, actor, place, place.locations[me.block][0])
        for alternative, (value, memory) in enumerate(results):
            outcome = Outcome.DONE if place.kind is not Kind.LOAD else Outcome.ONE if value & 1 else Outcome.ZERO
            yield self._go_on(memory, state, actor, me, outcome, (actor, PROCEED, alternative), value)

    def _several(self, state: State, actor: int, me: Actor, place: Place) -> Iterator[Transition]:
        """A row about several read flags: any of those that it has not visited is next. A loop over none just ends."""
        locations = place.locations[me.block]
        if not locations:
            outcome = Outcome.ONE if place.kind is Kind.LOAD else Outcome.DONE
            yield self._go_on(state.memory, state, actor, me, outcome, (actor, PROCEED, 0), 0)
        for rank, location in enumerate(locations):
            if me.todo >> rank & 1:
                results = self._results(state, actor, place, location)
                for alternative, (value, memory) in enumerate(results):
                    yield self._visit(memory, state, actor, me, place, (actor, rank, alternative), value)

    def _visit(self, memory: Any, state: State, actor: int, me: Actor, place: Place, choice: Choice, value: int) -> Transition:
        """One of several flags was loaded or stored: the next one, or the end of the row."""
        is_load = place.kind is Kind.LOAD
        zeros = me.zeros + (is_load and not value & 1)
        todo = me.todo & ~(1 << choice[1])
        enough = zeros <= place.access.missing_allowed
        if enough and todo:
            moved = Actor(me.pc, me.block, todo, zeros, 0, judge.NO_MESSAGE)
            return Transition(choice, self._on(_with(state, actor, moved, memory)), (), (), NOTHING, value)
        if not is_load:
            return self._go_on(memory, state, actor, me, Outcome.DONE, choice, value)
        seen = ("recycled",) if enough and actor < self.setup.writers and place.is_of_block else ()
        return self._go_on(memory, state, actor, me, Outcome.ONE if enough else Outcome.ZERO, choice, value, (), seen)

    def _results(self, state: State, actor: int, place: Place, location: int) -> Iterable[tuple[int, Any]]:
        """The value and the memory after each way in which a flag access can come out."""
        memory, access = self.memory, place.access
        if place.kind is Kind.LOAD:
            return memory.load(state.memory, actor, location, access.ordering)
        assert access.value is not None, "a store has a value"
        value = self._marked(state, access.value)
        if place.kind is Kind.EXCHANGE:
            return memory.exchange(state.memory, actor, location, value, access.ordering)
        return [(value, after) for after in memory.store(state.memory, actor, location, value, access.ordering)]

    def _on(self, state: State) -> State:
        """After a step on a memory whose loads can make it forget payload words, the messages are named anew."""
        return self.renamed(state) if self._weak_payload else state

    def _marked(self, state: State, value: int) -> int:
        """A value as it is stored: in a marking model, with the number of the step."""
        return value + (state.taken + 1) * MARK if self.marking else value

    def _payload(self, state: State, actor: int, me: Actor, kind: Kind, detail: int) -> Iterator[Transition]:
        """One word of the payload, written or read by the actor's caller, which may raise after it."""
        location = self.shape.word(me.block, me.word)
        broken = () if me.word else self._company(state, actor, me, self.shape.ranks[actor] == NOBODY)[0]
        results: list[tuple[int, int, Any, bool]]
        if kind is Kind.FILL:
            begun = state.begun + (me.word == 0 and self.lasting)
            message = me.message if me.word else (begun if self.lasting else FRESH)
            over = unmarked(self.memory.newest(state.memory, location))
            owed, fault = judge.overwritten(state.owed, over) if over != message else (state.owed, None)
            broken = (*broken, fault) if fault else broken
            value = self._marked(state, message)
            fills = self.memory.fill(state.memory, actor, location, value)
            results = [(message, value, memory, raced) for memory, raced in fills]
            state = state._replace(begun=begun, owed=owed)
        else:
            reads = self.memory.read(state.memory, actor, location)
            results = [(_held(me, unmarked(value)), value, memory, raced) for value, memory, raced in reads]
        for alternative, (message, value, memory, raced) in enumerate(results):
            moved = Actor(me.pc, me.block, 0, 0, me.word + 1, message)
            now = _with(state, actor, moved, memory)
            faults = (*broken, "race") if raced else broken
            step = self._after_word(now, actor, moved, kind, (actor, detail, alternative), value, faults)
            yield step._replace(state=self.renamed(step.state))

    def _after_word(
        self, now: State, actor: int, moved: Actor, kind: Kind, choice: Choice, value: int, broken: tuple[str, ...]
    ) -> Transition:
        """What a payload word leads to: the next word, or the end of the row."""
        if choice[1] == ABORT:
            aborted = "fill-aborted" if kind is Kind.FILL else "read-aborted"
            return self._go_on(now.memory, now, actor, moved, Outcome.ABORTED, choice, value, broken, (aborted,))
        if moved.word < self.setup.words:
            return Transition(choice, now, broken, (), NOTHING, value)
        if kind is Kind.READ:
            return self._deliver(now, actor, moved, choice, value, broken)
        count = now.accepted + (self.setup.messages is not None)
        now = now._replace(owed=judge.accepted(now.owed, moved.message), accepted=count)
        return self._go_on(now.memory, now, actor, moved, Outcome.DONE, choice, value, broken)._replace(progress=SOMETHING)

    def _deliver(self, state: State, actor: int, me: Actor, choice: Choice, value: int, broken: tuple[str, ...]) -> Transition:
        """A reader's caller has read all words: the oracle judges them."""
        rank = self.shape.ranks[actor]
        words = (me.message, me.message) if me.message != TORN else (TORN, judge.NO_MESSAGE)
        backlog = len(state.owed[rank]) > 1
        owed, fault = judge.delivered(state.owed, rank, words)
        broken = (*broken, fault) if fault else broken
        seen = ("received", "backlog") if backlog else ("received",)
        state = state._replace(owed=owed)
        step = self._go_on(state.memory, state, actor, me, Outcome.DONE, choice, value, broken, () if fault else seen)
        return step._replace(progress=THE_OLDEST if fault is None else SOMETHING if fault == "reordered" else NOTHING)

    def _go_on(
        self,
        memory: Any,
        state: State,
        actor: int,
        me: Actor,
        outcome: Outcome,
        choice: Choice,
        value: int,
        broken: tuple[str, ...] = (),
        seen: tuple[str, ...] = (),
    ) -> Transition:
        """The actor's row is over: take the branch of its outcome, and look at what that shows."""
        places = self._places[actor]
        branch = places[me.pc].branches[outcome]
        is_writer = actor < self.setup.writers
        block = (me.block + branch.advance) % self.setup.blocks
        owed = state.owed
        if branch.edge is Edge.WAITED:
            seen = (*seen, "writer-waits" if is_writer else "reader-waits")
        elif not is_writer and places[me.pc].is_last and branch.edge in (Edge.FINISHED, Edge.FORWARD):
            held = [unmarked(word) for word in self.memory.payload(memory, me.block)]
            owed, fault = judge.passed_over(owed, self.shape.ranks[actor], held)
            broken = (*broken, fault) if fault else broken
        moved = places[self._lands(state, actor, branch.pc)].starts[block]
        actors = (*state.actors[:actor], moved, *state.actors[actor + 1 :])
        after = self._on(State(memory, actors, owed, state.accepted, state.begun, state.taken, state.notes))
        if places[moved.pc].is_payload:
            together, beside = self._company(after, actor, moved, is_writer)
            broken, seen = broken + together, seen + beside
        if len(broken) > 1:
            broken = tuple(name for name in SAFETY if name in broken)
        return Transition(choice, after, broken, seen, NOTHING, value)

    def _lands(self, state: State, actor: int, pc: int) -> int:
        """Where an actor goes on that is sent to that row."""
        return pc

    def _company(self, state: State, actor: int, me: Actor, is_writer: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who else is in a block when this actor enters one: what that breaks, and what it shows.

        A writer whose payload words are still under way to memory is in its block until they have arrived.
        """
        broken: tuple[str, ...] = ()
        seen: tuple[str, ...] = ()
        for other, them in enumerate(state.actors):
            if other == actor:
                continue
            other_writes = other < self.setup.writers
            if other_writes and self.memory.has_buffers and self.memory.in_flight(state.memory, other, me.block):
                broken = ("exclusion",)
            if them.pc == DEAD or not self._places[other][them.pc].is_payload:
                continue
            if me.block != them.block:
                seen = (*seen, "side-by-side") if is_writer != other_writes else seen
            elif is_writer or other_writes:
                broken = ("exclusion",)
            else:
                seen = (*seen, "shared-block")
        return broken, seen

    def waits_for_something(self, state: State, actor: int) -> bool:
        """Whether an actor is promised something now: a writer that it can write, a reader what was accepted."""
        rank = self.shape.ranks[actor]
        return rank == NOBODY or bool(state.owed[rank])

    def arranged_notes(self, state: State, other: Arrangement, shift: int) -> Any:
        """What the state holds besides, under other names (those of :meth:`Memory.arranged`)."""
        return state.notes

    def told_of(self, step: Transition) -> str:
        """What a step by which the dead are followed means, in a few words."""
        return ""

    def look_of(self, state: State, actor: int) -> tuple[Any, ...]:
        """What of :attr:`State.notes` is about this reader alone."""
        return ()

    def renamed(self, state: State) -> State:
        """Name the messages by where they are first met, going through the state in a fixed order."""
        return state if self.lasting else named_anew(state, self.memory, live(state, self.setup) if self.settling else None)


def _held(me: Actor, value: int) -> int:
    """What a reader holds after one more word."""
    return value if me.word == 0 or value == me.message else TORN


def _with(state: State, actor: int, me: Actor, memory: Any) -> State:
    actors = (*state.actors[:actor], me, *state.actors[actor + 1 :])
    return State(memory, actors, state.owed, state.accepted, state.begun, state.taken, state.notes)
