"""The model in which anyone may be killed, at any row, any number of times, and is followed: the claim ``crash-safe``.

To the steps of :class:`~ringbuffer.model.Model` come those about the dead: a successor takes a role over, a stand-in takes a
dead reader's role, a newcomer takes it from the stand-in, and a reader that waits finds out that the writer is dead. Actors
run their tables with the notes and the rows of taking over (:mod:`ringbuffer.protocol.succession`).

What is assumed, and why it may be:

* Stores outlive whoever made them. Under ``tso`` a dead actor's buffer still drains, and only then does another get its role:
  the kernel closes the dead one's files, and with them its locks, after its last store. Under ``ra`` a successor begins with
  the view of the one before, and a reader that finds the writer dead gets the writer's view: both have it from the kernel's
  lock.
* An actor's note is no location of the memory. Nobody but the holders of one role stores it or decides by it, one after the
  other, so it is always the newest that a holder finds.
* A stand-in is an actor of its own, that is, slower to see the writer's stores than it is in truth, being in the writer's
  process.
* Numbers are counted from the lap where the writer is. The rows only compare them, add to them, and take them modulo the number
  of blocks, all of which a shift by laps leaves as it is (and ``rotation``, which shifts blocks and numbers alike). The one
  exception is the reader's rule at position 0, where no message is before the first; counted on, the block there would have
  to hold the number -1, which no message has. So runs without end have finitely many states, as long as numbers in use stay
  near each other; where they do not, the exploration finds what is broken or meets its bound.

Rules: those of the model. What each reader is owed goes on through its deaths: a successor is owed what the dead one had not
marked, the message that it had in hand included; a newcomer is owed what the stand-in had not marked. Limits: one writer, no
twins; who is dead is known without fail; a message's number is read at once, with its first word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ringbuffer.memory.base import Arrangement
from ringbuffer.model import Model
from ringbuffer.notes import ASKED, CALM, HAS_WAITED, ITSELF, STAND_IN, Notes, noting, put_actor, shifted
from ringbuffer.places import Place, last_touch, places_of
from ringbuffer.protocol import Edge, Flag, Kind, Outcome, Program
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.succession import TAKING_OVER
from ringbuffer.state import (
    ANYONE,
    ASK,
    DEAD,
    EVICT,
    FRESH,
    KILL,
    NOTHING,
    PROCEED,
    REJOIN,
    TAKE,
    TORN,
    Actor,
    Choice,
    Setup,
    State,
    Transition,
    unmarked,
)
from ringbuffer.waking_model import WakingModel

KILLED_AT: Final = "killed at "
"""How a kill is called that was seen: this, and the row before which it came."""
_NO_NUMBER: Final = -1
"""What a rule is told of a block in which nobody has written a number: none that a message has."""
_FAR_ON: Final = 1 << 20
"""The lap from which on rules are asked: numbers that are counted from the writer's lap can be below 0."""


_TOLD: Final = {
    TAKE: "a new process has the role",
    EVICT: "a stand-in has the role",
    REJOIN: "the stand-in gives way to a new process",
    ASK: "the writer is dead",
}


def model_of(setup: Setup, **options: Any) -> Model:
    """The model that a setup asks for."""
    if setup.waking is not None:
        return WakingModel(setup, **options)
    return (Recovering if setup.killed == ANYONE else Model)(setup, **options)


class Recovering(Model):
    """The transition system in which the dead are followed."""

    def _sides(self) -> tuple[Program, Program]:
        variant, follows = self.setup.variant, self.setup.follows
        return follows.program(variant.writer), follows.program(variant.reader)

    def _places_of(self, actor: int) -> tuple[Place, ...]:
        table = self.setup.variant.writer if actor == 0 else self.setup.variant.reader
        own = self.setup.follows.without_taking_over(table)
        return places_of(self.shape, actor, self.programs[actor], last=last_touch(own))

    def _takes_over_at(self, actor: int) -> int:
        """The place of the first row of taking over, which stands behind the last row of the table and its note."""
        places = self._places[actor]
        return next(pc for pc, place in enumerate(places) if place.row.id.startswith(TAKING_OVER))

    def __init__(self, setup: Setup, **options: Any) -> None:
        super().__init__(setup, **options)
        self._taking = tuple(self._takes_over_at(actor) for actor in range(len(self.programs)))
        self._killed_at = tuple(tuple(("killed", f"{KILLED_AT}{place.row.id}") for place in places) for places in self._places)
        self._base = _FAR_ON * setup.blocks

    def initial(self) -> State:
        """The state before anybody has run: all are at number 0, and have noted so."""
        nothing = (0,) * len(self.programs)
        return super().initial()._replace(notes=Notes(nothing, nothing, nothing, nothing, ()))

    def transitions_of(self, state: State, actor: int) -> list[Transition]:
        """Every possible step of one actor, being killed and being followed included."""
        steps = list(self._steps_of(state, actor))
        if self.memory.has_buffers:
            steps += self.flush_steps(state, actor)
        if self.marking:
            return [step._replace(state=step.state._replace(taken=state.taken + 1)) for step in steps]
        return steps if self.lasting else [step._replace(state=self._levelled(step.state)) for step in steps]

    def _steps_of(self, state: State, actor: int) -> Iterator[Transition]:
        me, holder = state.actors[actor], state.notes.holders[actor]
        if me.pc == DEAD:
            yield from self._follow(state, actor)
            return
        yield from self.row_steps(state, actor)
        if holder != STAND_IN:
            yield self._kill(state, actor)
        elif me.pc == self._lands(state, actor, 0):
            yield self._take_over(state, actor, REJOIN, ITSELF)
        if self._may_ask(state, actor):
            yield self._ask(state, actor)

    def row_steps(self, state: State, actor: int) -> Iterator[Transition]:
        """The steps of the row where an actor stands."""
        me = state.actors[actor]
        if state.notes.holders[actor] == STAND_IN and not self.setup.follows.stand_in_runs:
            return iter(())
        place = self._places[actor][me.pc]
        if place.access.flag is Flag.POSITION:
            return self._note(state, actor, me)
        return self._look_back(state, actor, me, place) if me.pc >= self._taking[actor] else super().row_steps(state, actor)

    def waits_for_something(self, state: State, actor: int) -> bool:
        """A writer is promised nothing while a reader is dead and nobody has its role, and a stand-in never is."""
        if actor == 0:
            return all(them.pc != DEAD for them in state.actors)
        return state.notes.holders[actor] != STAND_IN and super().waits_for_something(state, actor)

    # Being killed, and being followed.

    def _kill(self, state: State, actor: int) -> Transition:
        """The actor is gone; with a writer go the stand-ins, which are in its process."""
        me, notes = state.actors[actor], state.notes
        owed = state.owed
        if actor == 0 and me.pc < self._taking[0] and self._has_filled(0, me):
            owed = super()._kill(state, actor).state.owed
        elif me.message and actor and not self._places[actor][me.pc].is_payload:
            owed = judge.given_back(owed, self.shape.ranks[actor], me.message)
        gone = [actor] if actor or STAND_IN not in notes.holders else [0, *self._stand_ins(notes)]
        actors, numbers, holders, knows = (list(values) for values in (state.actors, notes.numbers, notes.holders, notes.knows))
        for one in gone:
            numbers[one], holders[one], knows[one] = notes.noted[one], ITSELF, CALM
            actors[one] = Actor(DEAD, notes.noted[one] % self.setup.blocks, 0, 0, 0, judge.NO_MESSAGE)
        left = Notes(tuple(numbers), notes.noted, tuple(holders), tuple(knows), notes.named)
        after = State(state.memory, tuple(actors), owed, state.accepted, state.begun, state.taken, left)
        if owed is not state.owed or me.message:
            after = self.renamed(after)
        return Transition((actor, KILL, 0), after, (), self._killed_at[actor][me.pc], NOTHING, 0)

    def _stand_ins(self, notes: Notes) -> list[int]:
        return [actor for actor, holder in enumerate(notes.holders) if holder == STAND_IN]

    def _follow(self, state: State, actor: int) -> Iterator[Transition]:
        """Somebody takes a dead one's role, when all that it has stored has reached memory."""
        if self._drains(state, actor):
            return
        yield self._take_over(state, actor, TAKE, ITSELF)
        if actor == 0 or state.actors[0].pc == DEAD or not self.setup.follows.evicts:
            return
        if not self.setup.follows.evicts_by_marking:
            yield self._take_over(state, actor, EVICT, STAND_IN)
            return
        flag = self.shape.flag(state.actors[0].block, 1 + self.shape.ranks[actor])
        if not self.memory.newest(state.memory, flag) & 1:
            access = next(place.access for place in self._places[actor] if place.access.flag is Flag.OWN)
            value = self._marked(state, 1)
            for memory in self.memory.store(state.memory, 0, flag, value, access.ordering):
                yield Transition((actor, EVICT, 0), state._replace(memory=memory), (), (), NOTHING, value)

    def _drains(self, state: State, actor: int) -> bool:
        return self.memory.has_buffers and self.memory.flush(state.memory, actor) is not None

    def _take_over(self, state: State, actor: int, detail: int, holder: int) -> Transition:
        """A successor, a stand-in or a newcomer has the role, and comes to the rows of taking over."""
        number = state.notes.noted[actor]
        looked_at = number - (actor != 0)
        begins = self._places[actor][self._taking[actor]].starts[looked_at % self.setup.blocks]
        after = noting(put_actor(state, actor, begins), actor, numbers=number, holders=holder)
        if actor == 0:
            after = after._replace(notes=after.notes._replace(knows=(CALM,) * len(self.programs)))
        seen = "rejoined" if detail == REJOIN else "writer-followed" if actor == 0 else "reader-followed"
        return Transition((actor, detail, 0), after, (), (seen,) if detail != EVICT else (), NOTHING, 0)

    def _look_back(self, state: State, actor: int, me: Actor, place: Place) -> Iterator[Transition]:
        """A row of taking over that looks: at a flag, or at the number in the block."""
        if place.kind is Kind.LOAD:
            for alternative, (value, memory) in enumerate(self._results(state, actor, place, place.locations[me.block][0])):
                outcome = Outcome.ONE if value & 1 else Outcome.ZERO
                choice = (actor, PROCEED, alternative)
                yield self._has_looked(state._replace(memory=memory), actor, me, outcome, choice, value, None)
            return
        location = self.shape.word(me.block, 0)
        if actor == 0:  # nobody else writes there, and readers do not mind a look
            reads: Any = ((self.memory.newest(state.memory, location), state.memory, False),)
        else:
            reads = self.memory.read(state.memory, actor, location)
        for alternative, (value, memory, raced) in enumerate(reads):
            holds = self._number(state.notes, unmarked(value))
            now, choice = state._replace(memory=memory), (actor, PROCEED, alternative)
            step = self._has_looked(now, actor, me, Outcome.DONE, choice, value, holds)
            yield step._replace(broken=(*step.broken, "race")) if raced else step

    def _has_looked(
        self, state: State, actor: int, me: Actor, outcome: Outcome, choice: Choice, value: int, holds: int | None
    ) -> Transition:
        """The next look, or, behind the last one that is needed, where to go on."""
        places = self._places[actor]
        target = places[me.pc].branches[outcome].pc
        if target and places[target].access.flag is not Flag.POSITION:
            moved = places[target].starts[me.block]
            after = put_actor(state, actor, moved)
            broken = self._company(after, actor, moved, False)[0] if places[target].is_payload and actor else ()
            return Transition(choice, after, broken, (), NOTHING, value)
        noted, is_held = state.notes.noted[actor], places[me.pc].is_payload
        role = self.programs[actor].role
        found = _NO_NUMBER if holds is None else holds + self._base
        goes_on_at = self.setup.follows.resumes_at
        number = goes_on_at(role, noted + self._base, is_held=is_held, holds=found, blocks=self.setup.blocks) - self._base
        missed = ("note-missed" if actor == 0 else "mark-missed",) if number != noted else ()
        moved = places[target if target else self._lands(state, actor, 0)].starts[number % self.setup.blocks]
        after = noting(put_actor(state, actor, moved), actor, numbers=number)
        return Transition(choice, after, (), missed, NOTHING, value)

    def _note(self, state: State, actor: int, me: Actor) -> Iterator[Transition]:
        """A row that notes: the number behind the current one, and on taking over the current one."""
        choice, number = (actor, PROCEED, 0), state.notes.numbers[actor]
        if me.pc < self._taking[actor]:
            noted = noting(state, actor, noted=number + 1)
            yield self._go_on(state.memory, noted, actor, me, Outcome.DONE, choice, 0)
            return
        begins = self._places[actor][self._lands(state, actor, 0)].starts[me.block]
        yield Transition(choice, noting(put_actor(state, actor, begins), actor, noted=number), (), (), NOTHING, 0)

    # Being told that the writer is dead.

    def _may_ask(self, state: State, actor: int) -> bool:
        """Whether a reader that waits may look at the writer's lock now, and will find it let go."""
        if actor == 0 or state.actors[0].pc != DEAD or state.actors[actor].pc != 0 or self._drains(state, 0):
            return False
        needed = HAS_WAITED if self.setup.follows.told_at_once else CALM
        notes: Notes = state.notes
        return notes.holders[actor] != STAND_IN and notes.knows[actor] == needed

    def _ask(self, state: State, actor: int) -> Transition:
        """A reader finds the writer dead: it looks again, and if there is nothing then, it is told."""
        memory = self.memory.learned(state.memory, actor, 0)
        after = noting(state._replace(memory=memory), actor, knows=ASKED)
        step = Transition((actor, ASK, 0), after, (), (), NOTHING, 0)
        return self._told(step, actor) if self.setup.follows.told_at_once else step

    def _told(self, step: Transition, actor: int) -> Transition:
        """The reader is told."""
        early = ("undrained",) if step.state.owed[self.shape.ranks[actor]] else ()
        return step._replace(broken=(*step.broken, *early), seen=(*step.seen, "told"))

    # The rows of the table.

    def _lands(self, state: State, actor: int, pc: int) -> int:
        """A stand-in reads nothing."""
        if state.notes.holders[actor] == STAND_IN and pc < self._taking[actor]:
            places, blind = self._places[actor], not self.setup.follows.stand_in_looks
            while places[pc].is_payload or (blind and places[pc].kind is Kind.LOAD):
                pc += 1
        return pc

    def _payload(self, state: State, actor: int, me: Actor, kind: Kind, detail: int) -> Iterator[Transition]:
        if kind is Kind.FILL and me.word == 0 and self.lasting:
            notes = state.notes
            state = state._replace(notes=notes._replace(named=(*notes.named, notes.numbers[actor])))
        return super()._payload(state, actor, me, kind, detail)

    def _deliver(self, state: State, actor: int, me: Actor, choice: Choice, value: int, broken: tuple[str, ...]) -> Transition:
        step = super()._deliver(state, actor, me, choice, value, broken)
        notes = state.notes
        if me.message != TORN and self._number(notes, me.message) != notes.numbers[actor]:
            step = step._replace(broken=(*step.broken, "misnumbered"))
        if notes.noted[actor] > notes.numbers[actor]:
            step = step._replace(seen=(*step.seen, "came-again"))
        if step.progress == NOTHING or step.state.actors[actor].pc == 0:
            return step
        in_hand = step.state.actors[actor]._replace(message=me.message)
        return step._replace(state=put_actor(step.state, actor, in_hand))

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
        step = super()._go_on(memory, state, actor, me, outcome, choice, value, broken, seen)
        place, after = self._places[actor][me.pc], step.state
        branch, holder = place.branches[outcome], state.notes.holders[actor]
        if branch.advance:
            after = noting(after, actor, numbers=state.notes.numbers[actor] + branch.advance)
        if actor == 0:
            return step._replace(state=after)
        if holder == STAND_IN:
            marked = branch.edge is Edge.FINISHED
            allowed = tuple(name for name in step.broken if name != "lost")
            return step._replace(state=after, broken=allowed, seen=(*step.seen, "stood-in") if marked else ())
        if me.message and branch.edge is Edge.FORWARD and not place.is_payload and place.access.flag is not Flag.OWN:
            after = put_actor(after, actor, after.actors[actor]._replace(message=me.message))
        if branch.edge is Edge.WAITED:
            return self._has_waited(step._replace(state=after), actor)
        if state.notes.knows[actor] and self._places[actor][after.actors[actor].pc].kind is not Kind.LOAD:
            after = noting(after, actor, knows=CALM)
        return step._replace(state=after)

    def _has_waited(self, step: Transition, actor: int) -> Transition:
        """A reader's looks have found nothing: if it has asked before, it is told now."""
        if step.state.notes.knows[actor] == ASKED:
            return self._told(step, actor)
        if self.setup.follows.told_at_once:
            return step._replace(state=noting(step.state, actor, knows=HAS_WAITED))
        return step

    def _company(self, state: State, actor: int, me: Actor, is_writer: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """A writer's successor that looks at a number does not write."""
        if state.actors[0].pc >= self._taking[0]:
            state = put_actor(state, 0, state.actors[0]._replace(pc=DEAD))
        return super()._company(state, actor, me, is_writer)

    # Names and numbers.

    def _number(self, notes: Notes, message: int) -> int | None:
        """The number in a message; ``None`` where nobody has written one."""
        return notes.named[message - 1] if message != judge.NO_MESSAGE else None

    def renamed(self, state: State) -> State:
        """Name the messages by where they are first met; each keeps its number."""
        if self.lasting:
            return state
        names, named, notes = {judge.NO_MESSAGE: judge.NO_MESSAGE, TORN: TORN}, [], state.notes
        for source in (self.memory.messages(state.memory), [me.message for me in state.actors], *state.owed):
            for value in source:
                if value not in names:
                    named.append(notes.numbers[0] if value == FRESH else notes.named[value - 1])
                    names[value] = len(named)
        if len(named) == len(notes.named) and all(old == new for old, new in names.items()):
            return state
        actors = tuple([me._replace(message=names[me.message]) for me in state.actors])
        owed = tuple([tuple([names[message] for message in queue]) for queue in state.owed])
        memory = self.memory.renamed(state.memory, names)
        return state._replace(memory=memory, actors=actors, owed=owed, notes=notes._replace(named=tuple(named)))

    def _levelled(self, state: State) -> State:
        """The same with numbers counted from the writer's lap."""
        notes, blocks = state.notes, self.setup.blocks
        gone = notes.numbers[0] // blocks * blocks
        return state._replace(notes=shifted(notes, gone)) if gone else state

    def arranged_notes(self, state: State, other: Arrangement, shift: int) -> Notes:
        """The notes under other names, with numbers counted from block ``shift``."""
        notes, order = state.notes, other.actors
        numbers, noted, holders, knows = (tuple([values[old] for old in order]) for values in notes[:4])
        return shifted(Notes(numbers, noted, holders, knows, notes.named), shift)

    def look_of(self, state: State, actor: int) -> tuple[Any, ...]:
        """What of the notes is about this reader alone."""
        numbers, noted, holders, knows, _ = state.notes
        return numbers[actor], noted[actor], holders[actor], knows[actor]

    def told_of(self, step: Transition) -> str:
        """What a step by which the dead are followed means, in a few words."""
        actor, detail, _ = step.choice
        if detail < 0:
            marks = detail == EVICT and self.setup.follows.evicts_by_marking
            return "the flag in the block in hand is set" if marks else _TOLD[detail]
        noted, number = step.state.notes.noted[actor], step.state.notes.numbers[actor]
        if self.programs[actor][step.state.actors[actor].pc].row.id.startswith(TAKING_OVER):
            return "" if {"note-missed", "mark-missed"}.isdisjoint(step.seen) else f"{noted} was noted: goes on at {number}"
        return f"goes on at {number}"
