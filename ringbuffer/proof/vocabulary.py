"""The state that proofs speak of: the ring's flags and payload, where everybody stands, and what the oracle knows.

The fields are those of the explorer's states, with three differences. Blocks are numbered 0 to K-1 in a ring of *any* K; so
that no modulo is needed, each actor has besides its ``block`` a ``base``, the number of blocks in the laps that it has behind
it, and ``base + block`` is its position in the endless sequence of turns. What is owed is not a list for each reader but one
``log`` of all accepted messages, with their count ``accepted`` and a ``cursor`` for each reader. Messages have lasting numbers,
from 1 in the order in which their fills begin. ``base``, ``log``, ``accepted``, ``cursor`` and ``begun`` are ghosts: no row
looks at them.

Rules: a state is immutable; its fields are callables, so that they can be functions of any number of readers and blocks.
Limits: one writer, no twins, nobody is killed; a reader's cursor says what it is owed only up to the first fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Final, NamedTuple

from ringbuffer.proof.logic import Concrete, Logic, Sort, Symbolic, Term

READER, BLOCK, WORD, INDEX = Sort.READER, Sort.BLOCK, Sort.WORD, Sort.INDEX


class Field(NamedTuple):
    """A field: what it is a function of, and what its values are (``bool``, ``int``, or a sort)."""

    sorts: tuple[Sort, ...]
    value: type | Sort = int


ACTOR_FIELDS: Final[Mapping[str, Field]] = {
    "pc": Field(()),
    "block": Field(()),
    "base": Field(()),
    "todo": Field((READER,), bool),
    "zeros": Field(()),
    "word": Field(()),
    "message": Field(()),
    "lock": Field(()),
}
"""What every actor has. A reader's fields have the reader as their first argument."""


def of_everybody(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Fields of an actor as those of the writer and of every reader."""
    writer = {f"writer.{name}": field for name, field in fields.items()}
    reader = {f"reader.{name}": Field((READER, *field.sorts), field.value) for name, field in fields.items()}
    return {**writer, **reader}


COMMON: Final[Mapping[str, Field]] = {
    "payload": Field((BLOCK, WORD)),
    "begun": Field(()),
    "accepted": Field(()),
    "log": Field((INDEX,)),
    "cursor": Field((READER,)),
    **of_everybody(ACTOR_FIELDS),
}
"""The fields that do not depend on the memory."""
FIELDS: Final[Mapping[str, Field]] = {"written": Field((BLOCK,)), "read": Field((BLOCK, READER)), **COMMON}
"""All fields under sequential consistency."""
GHOSTS: Final = ("begun", "accepted", "log", "cursor", "writer.base", "reader.base")


class Who:
    """An actor: the writer, or a reader (a term)."""

    def __init__(self, rank: Term | None = None) -> None:
        self.is_writer = rank is None
        self._role = "writer" if self.is_writer else "reader"
        self._key: tuple[Term, ...] = () if self.is_writer else (rank,)

    @property
    def rank(self) -> Term:
        """The reader that it is."""
        assert not self.is_writer, "the writer has no rank"
        return self._key[0]

    def field(self, name: str) -> str:
        """The state's name for a field of this actor."""
        return f"{self._role}.{name}"

    def key(self, *arguments: Term) -> tuple[Term, ...]:
        """The arguments of such a field."""
        return (*self._key, *arguments)


WRITER: Final = Who()


class State:
    """A state, and how it is changed. ``functions``: each field as a callable."""

    def __init__(self, logic: Logic, functions: Mapping[str, Callable[..., Term]]) -> None:
        self.logic = logic
        self.functions = functions

    def __getitem__(self, field: str) -> Callable[..., Term]:
        return self.functions[field]

    def of(self, who: Who, name: str, *arguments: Term) -> Term:
        """A field of an actor."""
        return self.functions[who.field(name)](*who.key(*arguments))

    def put(self, field: str, arguments: tuple[Term, ...], value: Term) -> State:
        """The state in which that field has that value for these arguments."""
        old, logic = self.functions[field], self.logic

        def new(*given: Term) -> Term:
            if not arguments:
                return value
            here = logic.both(*[one == other for one, other in zip(given, arguments, strict=True)])
            return logic.choose(here, value, old(*given))

        return State(logic, {**self.functions, field: new})

    def put_all(self, field: str, key: tuple[Term, ...], value: Callable[..., Term]) -> State:
        """The state in which that field, where its first arguments are ``key``, is this function of the others."""
        old, logic = self.functions[field], self.logic

        def new(*given: Term) -> Term:
            if not key:
                return value(*given)
            first, rest = given[: len(key)], given[len(key) :]
            here = logic.both(*[one == other for one, other in zip(first, key, strict=True)])
            return logic.choose(here, value(*rest), old(*given))

        return State(logic, {**self.functions, field: new})

    def put_of(self, who: Who, **values: Term) -> State:
        """The state in which these fields of an actor have these values."""
        state = self
        for name, value in values.items():
            state = state.put(who.field(name), who.key(), value)
        return state

    # What the invariant and the statements speak of.

    def position(self, who: Who) -> Term:
        """How many blocks an actor has been through: its place in the endless sequence of turns."""
        return self.of(who, "base") + self.of(who, "block")

    def stamp(self, block: Term) -> Term:
        """The position of the turn that a block's content is from: the writer's lap before it, the last lap from it on."""
        base, here, logic = self.of(WRITER, "base"), self.of(WRITER, "block"), self.logic
        return logic.choose(block < here, base + block, base + block - logic.blocks)


def unknown_state(logic: Symbolic, fields: Mapping[str, Field] = FIELDS) -> State:
    """A state of which nothing is known."""
    return State(logic, {name: logic.function(name, *field) for name, field in fields.items()})


UNKNOWN: Final = -2
"""What a log of plain values says of a place where no message was accepted. No message has that number, so that what a formula
says of the log holds of accepted messages, or not by chance."""


class Table:
    """A field of plain values. ``key``: the values, in the order of the arguments, by which two tables can be compared.

    ``elsewhere``: the value for any other argument; without one, nobody may ask for it (``KeyError``).
    """

    def __init__(self, values: Mapping[tuple[int, ...], Term], elsewhere: Term | None = None) -> None:
        self.values, self.elsewhere = values, elsewhere
        self.key = tuple(values.values())

    def __call__(self, *arguments: Term) -> Term:
        """The value for these arguments."""
        return self.values[arguments] if self.elsewhere is None else self.values.get(arguments, self.elsewhere)


def table_of(logic: Concrete, name: str, value: Callable[..., Term], fields: Mapping[str, Field] = FIELDS) -> Table:
    """A field computed once, for all its arguments. A log says :data:`UNKNOWN` of places that are none."""
    ranges = [logic.ranges[sort] for sort in fields[name].sorts]
    return Table({key: value(*key) for key in product(*ranges)}, UNKNOWN if name == "log" else None)


def tabulated(state: State, logic: Concrete, known: State, fields: Mapping[str, Field] = FIELDS) -> State:
    """A state of plain values, computed once; the fields that are those of ``known`` are kept as they are."""
    functions = {
        name: function if known[name] is function else table_of(logic, name, function, fields)
        for name, function in state.functions.items()
    }
    return State(logic, functions)
