"""The state that proofs speak of: the ring's flags and payload, where everybody stands, and what the oracle knows.

The fields are those of the explorer's states, with three differences. Blocks are numbered 0 to K-1 in a ring of *any* K; so that
no modulo is needed, each actor has besides its ``block`` a ``base``, the number of blocks in the laps that it has behind it, and
``base + block`` is its position in the endless sequence of turns. What is owed is not a list for each reader but one ``log`` of
all accepted messages, with their count ``accepted`` and a ``cursor`` for each reader. Messages have lasting numbers, from 1 in
the order in which their fills begin. ``base``, ``log``, ``accepted``, ``cursor`` and ``begun`` are ghosts: no row looks at them.

Rules: a state is immutable; its fields are callables, so that they can be functions of any number of readers and blocks.
Limits: one writer, no twins, nobody is killed; a reader's cursor says what it is owed only up to the first fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ringbuffer.proof.logic import Concrete, Logic, Sort, Symbolic, Term

READER, BLOCK, WORD, INDEX = Sort.READER, Sort.BLOCK, Sort.WORD, Sort.INDEX

ACTOR_FIELDS: Final[Mapping[str, tuple[Sort, ...]]] = {
    "pc": (),
    "block": (),
    "base": (),
    "todo": (READER,),
    "zeros": (),
    "word": (),
    "message": (),
    "lock": (),
}
"""What every actor has. A reader's fields have the reader as their first argument."""
FIELDS: Final[Mapping[str, tuple[Sort, ...]]] = {
    "written": (BLOCK,),
    "read": (BLOCK, READER),
    "payload": (BLOCK, WORD),
    "begun": (),
    "accepted": (),
    "log": (INDEX,),
    "cursor": (READER,),
    **{f"writer.{name}": sorts for name, sorts in ACTOR_FIELDS.items()},
    **{f"reader.{name}": (READER, *sorts) for name, sorts in ACTOR_FIELDS.items()},
}
"""All fields, and what they are functions of."""
GHOSTS: Final = ("begun", "accepted", "log", "cursor", "writer.base", "reader.base")


def is_truth(field: str) -> bool:
    """Whether a field is true or false; the others are integers."""
    return field.endswith(".todo")


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

    def put_each(self, field: str, key: tuple[Term, ...], value: Callable[[Term], Term]) -> State:
        """The state in which that field has that value for every last argument, where the first ones are ``key``."""
        old, logic = self.functions[field], self.logic

        def new(*given: Term) -> Term:
            *first, last = given
            if not key:
                return value(last)
            here = logic.both(*[one == other for one, other in zip(first, key, strict=True)])
            return logic.choose(here, value(last), old(*given))

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


def unknown_state(logic: Symbolic) -> State:
    """A state of which nothing is known."""
    return State(logic, {field: logic.function(field, sorts, is_truth(field)) for field, sorts in FIELDS.items()})


def tabulated(state: State, logic: Concrete, known: Mapping[str, Callable[..., Term]]) -> State:
    """A state of plain values, computed once; fields that are those of ``known`` are kept as they are."""
    from itertools import product

    functions: dict[str, Callable[..., Term]] = {}
    for field, sorts in FIELDS.items():
        function = state[field]
        if known.get(field) is function:
            functions[field] = function
            continue
        table = {values: function(*values) for values in product(*[logic.ranges[sort] for sort in sorts])}
        functions[field] = Table(table)
    return State(logic, functions)


class Table:
    """A field of plain values: a callable with a key by which it can be compared."""

    def __init__(self, values: Mapping[tuple[int, ...], Term]) -> None:
        self.values = values
        self.key = tuple(values.values())

    def __call__(self, *arguments: Term) -> Term:
        return self.values.get(arguments, 0)
