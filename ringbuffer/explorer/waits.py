"""Who waits, and for what: found by letting an actor run alone in the model.

An actor waits when it stands at its looks, and, however often it looks, alone, it gets no further. What it waits for is the
value that it found where it was sent back; who can bring another one, the rows of the others tell. An actor also waits when
the memory lets it take no step. Rules: nothing here knows a row by its name, so edited tables are explained as well as the
shipped ones. Limits: it says what would let the actor get past that look, not that nothing else is in its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ringbuffer.memory.release_acquire import Views
from ringbuffer.memory.tso import Buffered
from ringbuffer.model import Model
from ringbuffer.protocol import Kind, Row
from ringbuffer.state import State, Transition
from ringbuffer.trace.words import the

_SENT_BACK = frozenset(("writer-waits", "reader-waits"))


class Obstacle(NamedTuple):
    """Where an actor was sent back: the row, the location that it looked at, and the value that it found there."""

    row: Row
    location: int
    value: int


class Watch:
    """Says of the states of one model who waits for what."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._alone: dict[Any, tuple[Obstacle, ...]] = {}
        self._texts: dict[Any, str] = {}

    def why(self, state: State, actor: int, steps: Sequence[Transition], place: Callable[[int], str]) -> str:
        """Why an actor waits in a state with those steps, in words; empty if it does not. ``place``: names a location."""
        me = state.actors[actor]
        if not self._looks(actor, me.pc):
            stands = any(step.choice[0] == actor and step.choice[1] >= 0 for step in steps)
            return "" if stands else self._held_up(actor)
        looked = (self._flags(state, actor), actor, me)
        if looked not in self._alone:
            self._alone[looked] = self._obstacles(state, actor)
        obstacles = self._alone[looked]
        if not obstacles:
            return ""
        key = (actor, obstacles, getattr(state.memory, "buffers", None))
        if key not in self._texts:
            explained = (self._explained(state, actor, one, place) for one in obstacles)
            self._texts[key] = f"{_capital(the(self.model.actor_name(actor)))} waits: {' '.join(explained)}"
        return self._texts[key]

    def _flags(self, state: State, actor: int) -> Any:
        """All of the memory that decides what an actor's looks find."""
        count = self.model.shape.flag_count
        if isinstance(state.memory, Views):
            return state.memory.known
        if isinstance(state.memory, Buffered):
            return state.memory.cells[:count], state.memory.buffers[actor]
        return state.memory[:count]

    def _looks(self, actor: int, pc: int) -> bool:
        return self.model.programs[actor][pc].row.access.kind is Kind.LOAD

    def _obstacles(self, state: State, actor: int) -> tuple[Obstacle, ...]:
        """Where an actor that runs alone is sent back; nothing if it can get past its looks."""
        model, found = self.model, dict[Obstacle, None]()
        states, seen = [state], {state}
        for current in states:
            for step in model.row_steps(current, actor):
                if not self._looks(actor, step.state.actors[actor].pc):
                    return ()
                if not _SENT_BACK.isdisjoint(step.seen):
                    found.setdefault(self._obstacle(current, step))
                if step.state not in seen:
                    seen.add(step.state)
                    states.append(step.state)
        return tuple(found)

    def _obstacle(self, state: State, step: Transition) -> Obstacle:
        actor, detail, _ = step.choice
        me = state.actors[actor]
        row = self.model.programs[actor][me.pc].row
        locations = self.model.locations_of(actor, me.pc, me.block)
        return Obstacle(row, locations[detail if row.access.is_several else 0], step.value)

    def _explained(self, state: State, actor: int, obstacle: Obstacle, place: Callable[[int], str]) -> str:
        row, location, value = obstacle
        found = f"{row.id} finds {place(location)} at {value}."
        on_its_way = self._on_its_way(state, actor, location, value)
        if on_its_way is not None:
            return f"{found} Another value is on its way, in the store buffer of {the(self.model.actor_name(on_its_way))}."
        changing = self._changing(actor, location, value)
        return f"{found} {changing}" if changing else f"{found} Nobody ever stores anything else there: it waits for ever."

    def _on_its_way(self, state: State, actor: int, location: int, value: int) -> int | None:
        """Who has a store of another value to that location in its buffer."""
        if not isinstance(state.memory, Buffered):
            return None
        buffers = enumerate(state.memory.buffers)
        waiting = (other for other, buffer in buffers if any(at == location and new != value for at, new in buffer))
        return next((other for other in waiting if other != actor), None)

    def _changing(self, actor: int, location: int, value: int) -> str:
        """Whose row stores another value to that location."""
        model, block = self.model, location // self.model.shape.entry_size
        for other in range(len(model.programs)):
            if other == actor:
                continue
            for one in model.programs[other].instructions:
                access = one.row.access
                stores = access.kind is Kind.STORE and access.value != value
                if stores and location in model.locations_of(other, one.pc, block):
                    return f"{_capital(the(model.actor_name(other)))} changes that with {one.row.id} ({one.row.title})."
        return ""

    def _held_up(self, actor: int) -> str:
        who = _capital(the(self.model.actor_name(actor)))
        if self.model.memory.has_buffers:
            return f"{who} waits for the memory: its store buffer is full until its oldest store reaches memory."
        return f"{who} waits for the memory: it is as far ahead of the others as this model of the memory allows."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
