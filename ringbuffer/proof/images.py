"""A state of the encoder and the state of the explorer that it stands for: the one made of the other, and what to call a field.

Rules: the encoder's ghosts that the explorer does not have (``base``, the log before the cursors) are in no image, and begin as
those of a ring in which nothing has happened. Limits: sequential consistency; ``view_states.py`` is about the views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import cast

from ringbuffer import state as explorer
from ringbuffer.memory.base import Shape
from ringbuffer.model import Model
from ringbuffer.proof.logic import Concrete, Term
from ringbuffer.proof.vocabulary import FIELDS, GHOSTS, UNKNOWN, State, Table, table_of


def lifted(state: explorer.State, shape: Shape, logic: Concrete) -> State:
    """The encoder's state for an explorer's initial state: what that says, and ghosts that say that nothing has happened."""
    memory, (writer, *readers) = cast("tuple[int, ...]", state.memory), state.actors
    values: dict[str, Callable[..., Term]] = {
        **dict.fromkeys(GHOSTS, lambda *_: 0),
        "log": lambda _: UNKNOWN,
        "written": lambda b: memory[shape.flag(b, 0)],
        "read": lambda b, r: memory[shape.flag(b, 1 + r)],
        "payload": lambda b, w: memory[shape.word(b, w)],
        "writer.lock": lambda: memory[shape.lock(0)],
        "reader.lock": lambda r: memory[shape.lock(1 + r)],
        "writer.todo": lambda other: bool(writer.todo >> other & 1),
        "reader.todo": lambda r, other: bool(readers[r].todo >> other & 1),
    }
    for name in explorer.Actor._fields:
        values.setdefault(f"writer.{name}", lambda name=name: getattr(writer, name))
        values.setdefault(f"reader.{name}", lambda r, name=name: getattr(readers[r], name))
    return State(logic, {name: table_of(logic, name, values[name]) for name in FIELDS})


def image(state: State, shape: Shape) -> explorer.State:
    """The explorer's state that a state of the encoder, in tables, stands for."""
    written, read, payload, log, cursors = (key_of(state, name) for name in ("written", "read", "payload", "log", "cursor"))
    count, accepted = shape.readers, state["accepted"]()
    flags = [(flag, *read[count * b : count * (b + 1)]) for b, flag in enumerate(written)]
    locks = (*key_of(state, "writer.lock"), *key_of(state, "reader.lock"))
    actors = (*_actors(state, "writer", 1), *_actors(state, "reader", count))
    owed = tuple([log[cursor:accepted] for cursor in cursors])
    return explorer.State((*chain(*flags), *payload, *locks), actors, owed, 0, state["begun"](), 0)


def _actors(state: State, role: str, count: int) -> Iterator[explorer.Actor]:
    """The actors of one side, as the explorer has them."""
    pcs, blocks, todo, zeros, words, messages = (key_of(state, f"{role}.{name}") for name in explorer.Actor._fields)
    size = len(todo) // count
    bits = [sum(1 << at for at in range(size) if todo[size * one + at]) for one in range(count)]
    return map(explorer.Actor, pcs, blocks, bits, zeros, words, messages)


def key_of(state: State, name: str) -> tuple[Term, ...]:
    """The values of a field of the encoder's state, which is in tables, in a fixed order."""
    return cast("Table", state[name]).key


def fields_of(model: Model, state: explorer.State) -> Iterator[tuple[str, object]]:
    """Every field of an explorer's state, with a name that a person knows."""
    shape = model.shape
    for b in range(shape.blocks):
        yield f"written[{b}]", state.memory[shape.flag(b, 0)]
        for r in range(shape.readers):
            yield f"read[{b}][{r}]", state.memory[shape.flag(b, 1 + r)]
        yield f"payload[{b}]", model.memory.payload(state.memory, b)
    for actor, me in enumerate(state.actors):
        name = model.actor_name(actor)
        yield from ((f"{name}'s {one}", value) for one, value in me._asdict().items())
        yield f"{name}'s lock", state.memory[shape.lock(actor)]
    yield from ((f"owed to reader {r}", queue) for r, queue in enumerate(state.owed))
    yield "begun", state.begun
