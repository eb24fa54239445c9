"""One text, three readings: a formula is written once, and read by z3, by Python on plain values, or as mathematics.

The encoder of the rows, the invariant and the statements are functions of a :class:`Logic` and of a state whose fields are
callables. Under :class:`Symbolic` they give z3 terms about any number of readers, blocks and words; under :class:`Concrete`
the same functions compute with plain integers in a ring of a given size, which is how the encoder is held to the explorer;
under :class:`Printed` they give text. Rules: terms are combined with ``+ - == != < <= > >=`` and the methods below, never with
``and``, ``or``, ``not`` or ``if``. Limits: integers, truth values and readers; no multiplication, so that all arithmetic stays
linear.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import product
from types import ModuleType
from typing import Any, TypeAlias

from ringbuffer.errors import MissingExtraError

Term: TypeAlias = Any
"""A z3 term, a plain value or a text, as the reading has it."""


class Sort(enum.Enum):
    """What a variable ranges over, with the letter that stands for it on paper."""

    READER = "r"
    BLOCK = "b"
    WORD = "w"
    INDEX = "i"
    """A place in the list of accepted messages."""
    TIME = "t"
    """A place in the modification order of a flag: between any two there is another."""


class Logic(ABC):
    """A reading. ``blocks`` and ``words``: how many blocks the ring and how many words a payload has (terms)."""

    blocks: Term
    words: Term
    true: Term
    false: Term

    @abstractmethod
    def both(self, *terms: Term) -> Term:
        """All of them."""

    @abstractmethod
    def either(self, *terms: Term) -> Term:
        """At least one of them."""

    @abstractmethod
    def no(self, term: Term) -> Term:
        """Not this one."""

    @abstractmethod
    def implies(self, condition: Term, consequence: Term) -> Term:
        """The second where the first."""

    @abstractmethod
    def same(self, one: Term, other: Term) -> Term:
        """Both or neither."""

    @abstractmethod
    def choose(self, condition: Term, yes: Term, no: Term) -> Term:
        """The second where the first, else the third."""

    @abstractmethod
    def for_all(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        """The body for every choice of variables of these sorts."""

    @abstractmethod
    def some(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        """The body for at least one choice."""

    @abstractmethod
    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        """The values of a sort that a step may be about: each of them, or one that stands for any."""


def load_z3() -> ModuleType:
    """The module ``z3``. Raises :class:`MissingExtraError` where it is not installed."""
    try:
        import z3
    except ModuleNotFoundError as error:
        raise MissingExtraError("a proof", "check") from error
    return z3  # type: ignore[no-any-return]


class Symbolic(Logic):
    """Terms of z3: readers are an uninterpreted sort, and the numbers of blocks and words are unknowns of at least 1.

    Each has a z3 of its own (a context), so that what one proof has asked changes nothing for the next.
    """

    def __init__(self) -> None:
        self.z3 = load_z3()
        self.context = self.z3.Context()
        self.reader_sort = self.z3.DeclareSort("Reader", self.context)
        self.blocks, self.words = self.z3.Int("K", self.context), self.z3.Int("W", self.context)
        self.true, self.false = (self.z3.BoolVal(value, self.context) for value in (True, False))
        self._fresh = 0

    def both(self, *terms: Term) -> Term:
        return self.z3.And(*map(self._lift, terms)) if terms else self.true

    def either(self, *terms: Term) -> Term:
        return self.z3.Or(*map(self._lift, terms)) if terms else self.false

    def no(self, term: Term) -> Term:
        return self.z3.Not(self._lift(term))

    def implies(self, condition: Term, consequence: Term) -> Term:
        return self.z3.Implies(self._lift(condition), self._lift(consequence))

    def same(self, one: Term, other: Term) -> Term:
        return self._lift(one) == self._lift(other)

    def choose(self, condition: Term, yes: Term, no: Term) -> Term:
        return self.z3.If(self._lift(condition), self._lift(yes), self._lift(no))

    def _lift(self, term: Term) -> Term:
        """A term of this context, also for a plain value."""
        if isinstance(term, bool):
            return self.true if term else self.false
        return self.z3.IntVal(term, self.context) if isinstance(term, int) else term

    def for_all(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        variables = [self.variable(sort) for sort in sorts]
        return self.z3.ForAll(variables, self.implies(self._bounds(sorts, variables), body(*variables)))

    def some(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        variables = [self.variable(sort) for sort in sorts]
        return self.z3.Exists(variables, self.both(self._bounds(sorts, variables), body(*variables)))

    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        return (self.z3.Const(name, self._sort(sort)),)

    def variable(self, sort: Sort) -> Term:
        """A variable of that sort that occurs nowhere else."""
        self._fresh += 1
        return self.z3.Const(f"{sort.value}!{self._fresh}", self._sort(sort))

    def function(self, name: str, sorts: Sequence[Sort], value: type | Sort) -> Callable[..., Term]:
        """A function, or a constant, of which nothing is known. ``value``: ``bool``, ``int``, or a sort."""
        if not sorts:
            constant = self.z3.Const(name, self._sort(value))
            return lambda: constant
        declared: Callable[..., Term] = self.z3.Function(name, *map(self._sort, sorts), self._sort(value))
        return declared

    def solver(self, effort: int, *terms: Term) -> Any:
        """A solver that knows these terms, and stops at that effort (``rlimit``) for each question."""
        solver = self.z3.SimpleSolver(self.context)
        solver.set("rlimit", effort)
        solver.set("ctrl_c", False)  # an interrupt is Python's, and is seen when the question is answered
        solver.add(*terms)
        return solver

    def _sort(self, sort: type | Sort) -> Any:
        if sort is Sort.READER:
            return self.reader_sort
        make = {bool: self.z3.BoolSort, Sort.TIME: self.z3.RealSort}.get(sort, self.z3.IntSort)
        return make(self.context)

    def _bounds(self, sorts: Sequence[Sort], variables: Sequence[Term]) -> Term:
        ends = {Sort.BLOCK: self.blocks, Sort.WORD: self.words}
        bounded = [(one, ends[sort]) for sort, one in zip(sorts, variables, strict=True) if sort in ends]
        return self.both(*[self.both(one >= 0, one < end) for one, end in bounded])


class Concrete(Logic):
    """Plain values, in a ring of ``readers`` × ``blocks`` whose payloads have ``words`` words.

    ``indices``: how many accepted messages variables of sort :attr:`Sort.INDEX` range over.
    """

    true, false = True, False

    def __init__(self, readers: int, blocks: int, words: int, indices: int) -> None:
        self.blocks, self.words = blocks, words
        self.ranges = {
            Sort.READER: range(readers),
            Sort.BLOCK: range(blocks),
            Sort.WORD: range(words),
            Sort.INDEX: range(indices),
        }

    def both(self, *terms: Term) -> Term:
        return all(terms)

    def either(self, *terms: Term) -> Term:
        return any(terms)

    def no(self, term: Term) -> Term:
        return not term

    def implies(self, condition: Term, consequence: Term) -> Term:
        return not condition or consequence

    def same(self, one: Term, other: Term) -> Term:
        return bool(one) == bool(other)

    def choose(self, condition: Term, yes: Term, no: Term) -> Term:
        return yes if condition else no

    def for_all(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        return all(body(*values) for values in product(*[self.ranges[sort] for sort in sorts]))

    def some(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        return any(body(*values) for values in product(*[self.ranges[sort] for sort in sorts]))

    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        return self.ranges[sort]
