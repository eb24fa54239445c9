"""One run of the protocol on a simulated memory: any interleaving, one access at a time, recorded, and named by a token.

Rules: a run is a function of its setup and its choices, and the same token gives the same run. Limits: those of the model
(``model.py``), whose names are at hand here as well.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from ringbuffer.errors import GeometryError, TokenError, VariantError
from ringbuffer.memory.base import Memory
from ringbuffer.model import (
    ABORT,
    MESSAGES_MAX,
    NOTHING,
    PROCEED,
    SOMETHING,
    THE_OLDEST,
    TORN,
    WRITERS_MAX,
    Actor,
    Choice,
    Model,
    Setup,
    State,
    Transition,
)
from ringbuffer.protocol import Flag, Kind
from ringbuffer.trace.record import Step
from ringbuffer.trace.text import message_name
from ringbuffer.trace.token import Token

__all__ = [
    "ABORT",
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
