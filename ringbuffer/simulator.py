"""One run of the protocol on a simulated memory: any interleaving, one access at a time, recorded, and named by a token.

Rules: a run is a function of its setup and its choices, and the same token gives the same run. Limits: those of the model
(``model.py``), whose names are at hand here as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ringbuffer.errors import GeometryError, TokenError, VariantError
from ringbuffer.memory.base import NOBODY, Memory
from ringbuffer.model import Model
from ringbuffer.protocol import Access, Flag, Kind
from ringbuffer.protocol.properties import ALL, SUCCESSIVE, WAKEUPS
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS, TAKING_OVER
from ringbuffer.recovering import model_of
from ringbuffer.state import (
    ABORT,
    ANYONE,
    ASK,
    ASLEEP,
    DEAD,
    EVICT,
    FLUSH,
    KILL,
    MESSAGES_MAX,
    NOTHING,
    PROCEED,
    REJOIN,
    SOMETHING,
    TAKE,
    THE_OLDEST,
    TORN,
    WRITERS_MAX,
    Actor,
    Choice,
    Setup,
    State,
    Transition,
    stored_at,
    unmarked,
)
from ringbuffer.trace.record import FLUSH as FLUSHED
from ringbuffer.trace.record import FOLLOW, Block, Run, Step
from ringbuffer.trace.record import KILL as KILLED
from ringbuffer.trace.text import message_name
from ringbuffer.trace.token import Token
from ringbuffer.waking_model import WakingModel

__all__ = [
    "ABORT",
    "DEAD",
    "FLUSH",
    "KILL",
    "MESSAGES_MAX",
    "NOTHING",
    "PROCEED",
    "SOMETHING",
    "THE_OLDEST",
    "TORN",
    "WRITERS_MAX",
    "Actor",
    "Choice",
    "Model",
    "Setup",
    "Simulation",
    "State",
    "Transition",
    "follow",
    "setup_of",
]

FOLLOWING = {TAKE: "takes over", EVICT: "is evicted", REJOIN: "takes over", ASK: "asks"}
"""What a step about the dead is called that is not a row's."""


class Simulation:
    """One run: it starts at the initial state and goes on by choices; it records what it did.

    ``steps`` are the records so far; :meth:`token` names the run, and :meth:`replay` runs it again.
    """

    def __init__(self, setup: Setup, *, memory: Memory | None = None) -> None:
        self.setup = setup
        self.model = model_of(setup, lasting=True, marking=True, memory=memory)
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
        return str(Token.of_run(self.setup.variant, _setup_fields(self.setup), self._digits, self.setup.waking))

    def run_record(self, *, broken: tuple[str, ...] = (), cycle_start: int | None = None, starved: str | None = None) -> Run:
        """The run so far, to be shown without the model. ``broken``: what it breaks besides what its steps do (liveness)."""
        model, setup = self.model, self.setup
        found = {name for step in self.steps for name in step.broken}.union(broken)
        return Run(
            variant=setup.edits,
            readers=setup.readers,
            blocks=setup.blocks,
            memory=setup.memory,
            actors=tuple(map(model.actor_name, range(len(model.programs)))),
            initial=self.ring(model.initial()),
            steps=tuple(self.steps),
            token=self.token(),
            broken=tuple(name for name in (*ALL, *SUCCESSIVE, *WAKEUPS) if name in found),
            cycle_start=cycle_start,
            starved=starved,
        )

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

    def ring(self, state: State) -> tuple[Block, ...]:
        """What an onlooker finds in every block."""
        memory = self.model.memory

        def found(values: Iterable[int]) -> tuple[int, ...]:
            return tuple(map(unmarked, values))

        return tuple(
            Block(found(memory.entry(state.memory, block)), found(memory.payload(state.memory, block)))
            for block in range(self.setup.blocks)
        )

    def _record(self, transition: Transition, number: int) -> Step:
        """Describe a step before it is taken."""
        actor, detail, _ = transition.choice
        model, me, moved = self.model, self.state.actors[actor], transition.state.actors[actor]
        step = Step(
            number=len(self.steps) + 1,
            actor=model.actor_name(actor),
            row="",
            kind=KILLED,
            ordering="",
            access="killed",
            location="",
            value=0,
            block=me.block,
            ring=self.ring(transition.state),
            goes_to="" if moved.pc == DEAD else model.programs[actor][moved.pc].row.id,
            note="",
            broken=transition.broken,
            choice=number,
        )
        if detail == KILL:
            return replace(step, row=model.programs[actor][me.pc].row.id, note="is killed before this access")
        if detail in FOLLOWING:
            return replace(step, kind=FOLLOW, access=FOLLOWING[detail], block=moved.block, note=model.told_of(transition))
        if detail == FLUSH:
            return self._record_flush(step, transition)
        return self._record_row(step, transition)

    def _record_flush(self, step: Step, transition: Transition) -> Step:
        """A buffered store reaches memory: of which row it was, the step that made it knows."""
        source = self.steps[stored_at(transition.value) - 1]
        return replace(
            step,
            row=source.row,
            kind=FLUSHED,
            access=source.access,
            location=source.location,
            value=unmarked(transition.value),
            block=source.block,
            note="reaches memory",
            reads_from=source.number,
        )

    def _record_row(self, step: Step, transition: Transition) -> Step:
        actor, detail, _ = transition.choice
        me = self.state.actors[actor]
        row = self.model.programs[actor][me.pc].row
        access, note = row.access, self._note(transition, row.is_payload)
        step = replace(step, row=row.id, kind=access.kind.value, ordering=access.ordering.value, note=note)
        if access.flag is Flag.POSITION:
            taking_over = row.id.startswith(TAKING_OVER)
            note = self.model.told_of(transition) if taking_over else ""
            return replace(step, access=f"position ← {transition.state.notes.noted[actor]}", note=note)
        value, location = unmarked(transition.value), self._location(me, actor, access, detail)
        if location is None:
            return replace(step, access=str(access) if access.kind is Kind.FENCE else "no flag to visit")
        place, index = location
        if access.kind in (Kind.SLEEP, Kind.WAKE):
            return self._record_kernel(replace(step, location=place, value=value), transition, index)
        shown = message_name(value) if row.is_payload else str(value)
        arrow = "→" if access.kind in (Kind.LOAD, Kind.READ) else "←"
        step = replace(step, location=place, value=value, access=f"{place} {arrow} {shown}")
        if access.kind in (Kind.STORE, Kind.FILL):
            return step
        if access.kind is Kind.EXCHANGE:
            step = replace(step, access=f"{place} {value} ⇄ {access.value}")
        newest = self.model.memory.newest(self.state.memory, index)
        return replace(step, reads_from=stored_at(transition.value), stale=newest != transition.value)

    def _record_kernel(self, step: Step, transition: Transition, index: int) -> Step:
        """A step of the kernel's: it compares a word, or looks who sleeps on it."""
        if step.kind == Kind.WAKE.value:
            return replace(step, access=f"wake {step.location}")
        if self.state.actors[transition.choice[0]].word == ASLEEP:
            return replace(step, access=f"up from {step.location}")
        newest = self.model.memory.newest(self.state.memory, index)
        source, stale = stored_at(transition.value), newest != transition.value
        return replace(step, access=f"{step.location} = {step.value}?", reads_from=source, stale=stale)

    def _location(self, me: Actor, actor: int, access: Access, detail: int) -> tuple[str, int] | None:
        """The name and the number of the location that a step touches; ``None`` if it touches none."""
        shape = self.model.shape
        if access.kind in (Kind.FILL, Kind.READ):
            return f"word {me.word}", shape.word(me.block, me.word)
        touched = self.model.locations_of(actor, me.pc, me.block)
        if not touched:
            return None
        location = touched[detail if access.is_several else 0]
        if access.flag is Flag.LOCK:
            return "lock", location
        if access.flag in (Flag.AWAKE, Flag.OTHERS_AWAKE):
            return self._word(location - shape.awake(0)), location
        flag = location % shape.entry_size
        return ("written" if flag == 0 else f"read[{flag - 1}]"), location

    def _word(self, number: int) -> str:
        """The name of the word, or of the queue, that is an actor's."""
        rank = self.model.rank_of(number % self.model.shape.actors)
        shared = self.setup.waking is not None and self.setup.waking.shares_word
        return "awake[w]" if rank == NOBODY else "awake[*]" if shared else f"awake[{rank}]"

    def _note(self, transition: Transition, payload: bool) -> str:
        """What the step means, in a few words."""
        actor, detail, _ = transition.choice
        before, after = self.state.actors[actor], transition.state.actors[actor]
        rank = self.model.rank_of(actor)
        race = "a race: nobody has ordered this with another's access to the block; " if "race" in transition.broken else ""
        if self.model.programs[actor][before.pc].row.id.startswith(TAKING_OVER):
            return race + self.model.told_of(transition)
        if payload and detail == ABORT:
            return race + "the caller raises: " + ("nothing is published" if rank == NOBODY else "it stays unread")
        if payload and before.word + 1 == self.setup.words and rank != NOBODY:
            return race + self._received(rank, before, unmarked(transition.value))
        if isinstance(self.model, WakingModel):
            kernel = self.model.in_words(self.state, transition)
            if kernel:
                return kernel
        if "writer-waits" in transition.seen or "reader-waits" in transition.seen:
            return "waits" if before.block == after.block else f"busy: goes on to block {after.block}"
        return race.removesuffix("; ")

    def _received(self, rank: int, before: Actor, got: int) -> str:
        """What a reader has received when its last word is read."""
        if before.message == TORN:
            return f"reader {rank} got a mix of messages"
        if before.word and got != before.message:
            return f"reader {rank} got a mix of {message_name(before.message)} and {message_name(got)}"
        expected = self.state.owed[rank][:1]
        wanted = f", and was owed {message_name(expected[0])}" if expected and expected[0] != got else ""
        return f"reader {rank} receives {message_name(got)}{wanted}"


def _setup_fields(setup: Setup) -> dict[str, int | str]:
    return {
        "r": setup.readers,
        "b": setup.blocks,
        "p": setup.words,
        "w": setup.writers,
        "m": setup.messages or 0,
        "a": int(setup.aborts),
        "t": setup.twins,
        "k": setup.follows.letter if setup.killed == ANYONE else setup.killed[:1] or "n",
        "on": setup.memory.replace("-", "_"),
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
            memory=token.field("on").replace("_", "-"),
            twins=number("t"),
            killed={"n": "", "r": "reader", "w": "writer"}.get(token.field("k"), ANYONE),
            succession=next((name for name, one in SUCCESSIONS.items() if one.letter == token.field("k")), SHIPPED),
            waking=token.waking,
        )
    except (GeometryError, VariantError) as error:
        raise TokenError(f"the token names a run that cannot be: {error}") from error


def follow(setup: Setup, choices: Sequence[Choice]) -> Simulation:
    """The run that takes these choices, with lasting message numbers: how a counterexample is shown."""
    simulation = Simulation(setup)
    for choice in choices:
        simulation.take(choice)
    return simulation
