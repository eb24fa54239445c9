"""The same transition system where actors that wait lie down: the kernel's part of it, and what "nobody is coming" means.

The kernel keeps a queue for each word on which somebody sleeps, with a lock of its own; both are one location here, an exchange
of which is the kernel's way in and out. *Sleep* is one step: exchange, compare the word, lie down if it is 0, go on otherwise.
*Wake* is one step for each word: exchange, and whoever lies there gets up. So two who meet there are ordered by that lock
(acquire and release), and by nothing else: being woken tells an actor nothing, which is less than kernels promise.

Rules: an actor that waits always lies down. One that looks again first, or yields, is one that was slow: looks that find
nothing change nothing but what it has seen, and to have seen more leaves an actor fewer outcomes, not others. There is no
time-out: one would end every sleep, and hide what this is to find. Limits: nobody wakes without cause, unless the setup says so
(``spurious``), which is what a time-out and a signal look like too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from ringbuffer.model import Model
from ringbuffer.places import Place, places_of, table_end
from ringbuffer.protocol import Edge, Flag, Kind, Ordering, Outcome, Program
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.program import FIRST_PC
from ringbuffer.protocol.properties import WAKEUPS
from ringbuffer.protocol.waking import ONE_READER, SPURIOUS, UNCOMPARED, WAKES_ONE
from ringbuffer.state import ASLEEP, DEAD, NOTHING, PROCEED, Actor, Choice, Setup, State, Transition

_IN_AND_OUT: Final = Ordering.ACQ_REL
"""How the kernel's lock orders those who meet there."""


class WakingModel(Model):
    """The transition system of a :class:`Setup` whose actors sleep."""

    def __init__(self, setup: Setup, **options: Any) -> None:
        super().__init__(setup, **options)
        assert setup.waking is not None, "a model without waking is a Model"
        self._is_about_one = setup.waking.sleepers == ONE_READER
        self._kernel = frozenset(setup.waking.kernel)
        self._committed = tuple(map(self._straight_on_from, range(len(self.programs))))
        self._found = cache(self._looks_find)

    def _sides(self) -> tuple[Program, Program]:
        return self.setup.programs

    def _program_of(self, rank: int, writer: Program, reader: Program) -> Program:
        assert self.setup.waking is not None, "as in __init__"
        if rank > 0 and self.setup.waking.sleepers == ONE_READER:
            return self.setup.variant.programs[1]
        return super()._program_of(rank, writer, reader)

    def _places_of(self, actor: int) -> tuple[Place, ...]:
        assert self.setup.waking is not None, "as in __init__"
        return places_of(self.shape, actor, self.programs[actor], one_word=self.setup.waking.has_one_word)

    def row_steps(self, state: State, actor: int) -> Iterator[Transition]:
        """The steps of the row where an actor stands; none for one that sleeps."""
        me = state.actors[actor]
        place = self._places[actor][me.pc]
        steps = super().row_steps(state, actor)
        if place.kind is Kind.SLEEP:
            steps = self._sleep(state, actor, me, place)
        elif place.kind is Kind.WAKE:
            steps = self._wake(state, actor, me, place)
        elif place.access.flag is Flag.OTHERS_AWAKE and place.kind is Kind.LOAD and self._is_about_one:
            steps = self._or_another(steps, state, actor, me)
        return map(self._judged, steps)

    def flush_steps(self, state: State, actor: int) -> Iterator[Transition]:
        """The step by which a buffered store reaches memory: that can be what makes a block ready."""
        return map(self._judged, super().flush_steps(state, actor))

    def _kill(self, state: State, actor: int) -> Transition:
        return self._judged(super()._kill(state, actor))

    def _or_another(self, steps: Iterator[Transition], state: State, actor: int, me: Actor) -> Iterator[Transition]:
        """Where one of several sleepers is followed: whatever its word says, another's may say that it sleeps."""
        found = list(steps)
        yield from found
        for number, step in enumerate(found, start=len(found)):
            if step.value & 1:
                choice = (actor, step.choice[1], number)
                yield self._go_on(step.state.memory, state, actor, me, Outcome.ZERO, choice, step.value)

    def is_asleep(self, state: State, actor: int) -> bool:
        """Whether an actor sleeps in the kernel."""
        me = state.actors[actor]
        return me.word == ASLEEP and me.pc != DEAD and self._places[actor][me.pc].kind is Kind.SLEEP

    def sleepers_on(self, state: State, queue: int) -> list[int]:
        """Who sleeps in that queue."""
        everybody = range(len(self.programs))
        return [one for one in everybody if self.is_asleep(state, one) and self._bed(state, one).locations[0][1] == queue]

    def in_words(self, state: State, step: Transition) -> str:
        """What the kernel does in a step, and who is forgotten behind it; empty for a step without either."""
        actor, everybody = step.choice[0], range(len(self.programs))
        up = [one for one in everybody if self.is_asleep(state, one) and not self.is_asleep(step.state, one)]
        said = []
        me = state.actors[actor]
        kind = None if me.pc == DEAD or step.choice[1] < 0 else self._places[actor][me.pc].kind
        if kind is Kind.WAKE:
            said.append(f"the kernel wakes {' and '.join(map(self.actor_name, up))}" if up else "nobody sleeps there")
        elif kind is Kind.SLEEP and up:
            said.append("the kernel wakes it without cause")
        elif kind is Kind.SLEEP:
            said.append("the kernel lays it down" if self.is_asleep(step.state, actor) else "the kernel lets it go on")
        if "lost-wakeup" in step.broken:
            lying = [one for one in everybody if self.is_asleep(step.state, one)]
            forgotten = [self.actor_name(one) for one in lying if self._is_forgotten(step.state, one)]
            said.append(f"{' and '.join(forgotten)}: asleep, the block is ready, and nobody is coming")
        return "; ".join(said)

    def _bed(self, state: State, actor: int) -> Place:
        return self._places[actor][state.actors[actor].pc]

    def _sleep(self, state: State, actor: int, me: Actor, place: Place) -> Iterator[Transition]:
        """Lie down if the word is 0. Who lies down already has no step, unless the kernel wakes without cause."""
        word, queue = place.locations[me.block]
        memory, choice = self.memory, (actor, PROCEED, 0)
        entered = memory.exchange(state.memory, actor, queue, self._marked(state, 0), _IN_AND_OUT)
        if me.word == ASLEEP:
            if SPURIOUS in self._kernel:
                for number, (_, after) in enumerate(entered):
                    yield self._go_on(after, state, actor, me, Outcome.DONE, (actor, PROCEED, number), 0)
            return
        loaded = [found for _, after in entered for found in memory.load(after, actor, word, place.access.ordering)]
        for number, (value, after) in enumerate(loaded):
            choice = (actor, PROCEED, number)
            if value & 1 and UNCOMPARED not in self._kernel:
                yield self._go_on(after, state, actor, me, Outcome.DONE, choice, value)
                continue
            now = self._on(_put(state, actor, me._replace(word=ASLEEP), after))
            together = sum(self.is_asleep(now, one) for one in range(len(now.actors))) > 1
            yield Transition(choice, now, (), ("slept", "sleep-together") if together else ("slept",), NOTHING, value)

    def _wake(self, state: State, actor: int, me: Actor, place: Place) -> Iterator[Transition]:
        """Wake whoever sleeps on a word: any of those words that were not visited is next."""
        for number, queue in enumerate(place.locations[me.block]):
            if not me.todo >> number & 1:
                continue
            lying = self.sleepers_on(state, queue)
            groups = [[one] for one in lying] if WAKES_ONE in self._kernel and lying else [lying]
            ways = self.memory.exchange(state.memory, actor, queue, self._marked(state, 0), _IN_AND_OUT)
            options = [(after, woken) for _, after in ways for woken in groups]
            for alternative, (after, woken) in enumerate(options):
                now = state._replace(memory=after)
                for one in woken:
                    now = self._up(now, one)
                todo = me.todo & ~(1 << number)
                if woken and WAKES_ONE in self._kernel:
                    todo = 0
                yield self._woke(now, actor, me, todo, (actor, number, alternative), len(woken))

    def _woke(self, now: State, actor: int, me: Actor, todo: int, choice: Choice, count: int) -> Transition:
        seen = ("woken",) if count else ()
        if todo:
            moved = Actor(me.pc, me.block, todo, 0, 0, judge.NO_MESSAGE)
            return Transition(choice, self._on(_put(now, actor, moved, now.memory)), (), seen, NOTHING, count)
        return self._go_on(now.memory, now, actor, me, Outcome.DONE, choice, count, (), seen)

    def _up(self, state: State, actor: int) -> State:
        """A sleeper stands behind the row by which it slept."""
        me = state.actors[actor]
        branch = self._bed(state, actor).branches[Outcome.DONE]
        return _put(state, actor, self._places[actor][branch.pc].starts[me.block], state.memory)

    def _judged(self, step: Transition) -> Transition:
        """The step, with what the state behind it breaks."""
        lying = [one for one in range(len(self.programs)) if self.is_asleep(step.state, one)]
        if not lying:
            return step
        lost = any(self._is_forgotten(step.state, one) for one in lying)
        found = {"lost-wakeup": lost, "all-asleep": len(lying) == len(self.programs)}
        broken = tuple(name for name in WAKEUPS if found[name])
        return step._replace(broken=(*step.broken, *broken)) if broken else step

    def _is_forgotten(self, state: State, actor: int) -> bool:
        """Whether a sleeper would find its block, and nobody is on the way to wake it."""
        me = state.actors[actor]
        entry = tuple([value & 1 for value in self.memory.entry(state.memory, me.block)])
        if not self._found(actor, me.block, entry):
            return False
        queue = self._bed(state, actor).locations[me.block][1]
        return not any(self._is_coming(state, other, queue) for other in range(len(self.programs)))

    def _is_coming(self, state: State, actor: int, queue: int) -> bool:
        """Whether an actor stands between what it has done to its block and the end of its waking, and will visit that queue:
        it is before the rows about the word, or has not passed it over as awake."""
        me = state.actors[actor]
        if me.pc == DEAD or me.pc < self._committed[actor]:
            return False
        places = self._places[actor]
        ahead = [place for place in places[me.pc :] if place.kind is Kind.WAKE and queue in place.locations[me.block]]
        if not ahead:
            return False
        here = places[me.pc]
        if here.access.flag is not Flag.OTHERS_AWAKE or here.kind is Kind.STORE:
            return True
        return bool(me.todo >> ahead[0].locations[me.block].index(queue) & 1)

    def _straight_on_from(self, actor: int) -> int:
        """The row from which an actor runs straight to the end of its waking: behind its looks and its caller's part."""
        places = self._places[actor][: table_end(self.programs[actor])]
        return 1 + max((at for at, place in enumerate(places) if place.is_payload or place.kind is Kind.LOAD), default=-1)

    def _looks_find(self, actor: int, block: int, entry: tuple[int, ...]) -> bool:
        """Whether an actor that sees these flags of its block finds it."""
        places, pc = self._places[actor], FIRST_PC
        first = self.shape.flag(block, 0)
        table = places[: table_end(self.programs[actor])]
        found_at = 1 + max((at for at, place in enumerate(table) if place.kind is Kind.LOAD), default=FIRST_PC - 1)
        while pc < found_at:
            outcome = Outcome.DONE
            if places[pc].kind is Kind.LOAD:
                values = [entry[location - first] for location in places[pc].locations[block]]
                outcome = Outcome.ONE if values.count(0) <= places[pc].access.missing_allowed else Outcome.ZERO
            branch = places[pc].branches[outcome]
            if branch.edge is not Edge.FORWARD:
                return False
            pc = branch.pc
        return True


def _put(state: State, actor: int, me: Actor, memory: Any) -> State:
    actors = (*state.actors[:actor], me, *state.actors[actor + 1 :])
    return state._replace(memory=memory, actors=actors)
