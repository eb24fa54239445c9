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
    """Terms of z3: readers are an uninterpreted sort, and the numbers of blocks and words are unknowns of at least 1."""

    def __init__(self) -> None:
        self.z3 = load_z3()
        self.reader_sort = self.z3.DeclareSort("Reader")
        self.blocks, self.words = self.z3.Int("K"), self.z3.Int("W")
        self.true, self.false = self.z3.BoolVal(True), self.z3.BoolVal(False)
        self._fresh = 0

    def both(self, *terms: Term) -> Term:
        return self.z3.And(*terms)

    def either(self, *terms: Term) -> Term:
        return self.z3.Or(*terms)

    def no(self, term: Term) -> Term:
        return self.z3.Not(term)

    def implies(self, condition: Term, consequence: Term) -> Term:
        return self.z3.Implies(condition, consequence)

    def same(self, one: Term, other: Term) -> Term:
        return one == other

    def choose(self, condition: Term, yes: Term, no: Term) -> Term:
        return self.z3.If(condition, yes, no)

    def for_all(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        variables = [self.variable(sort) for sort in sorts]
        return self.z3.ForAll(variables, self.z3.Implies(self._bounds(sorts, variables), body(*variables)))

    def some(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        variables = [self.variable(sort) for sort in sorts]
        return self.z3.Exists(variables, self.z3.And(self._bounds(sorts, variables), body(*variables)))

    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        return (self.z3.Const(name, self._sort(sort)),)

    def variable(self, sort: Sort) -> Term:
        """A variable of that sort that occurs nowhere else."""
        self._fresh += 1
        name = f"{sort.value}!{self._fresh}"
        return self.z3.Const(name, self._sort(sort))

    def _sort(self, sort: type | Sort) -> Any:
        if sort is Sort.READER:
            return self.reader_sort
        return self.z3.RealSort() if sort is Sort.TIME else self.z3.IntSort()

    def function(self, name: str, sorts: Sequence[Sort], value: type | Sort) -> Callable[..., Term]:
        """A function, or a constant, of which nothing is known. ``value``: ``bool``, ``int``, or a sort."""
        result = self.z3.BoolSort() if value is bool else self.z3.IntSort() if value is int else self._sort(value)
        if not sorts:
            constant = self.z3.Const(name, result)
            return lambda: constant
        declared: Callable[..., Term] = self.z3.Function(name, *map(self._sort, sorts), result)
        return declared

    def _bounds(self, sorts: Sequence[Sort], variables: Sequence[Term]) -> Term:
        ends = {Sort.BLOCK: self.blocks, Sort.WORD: self.words}
        bounded = [(one, ends[sort]) for sort, one in zip(sorts, variables, strict=True) if sort in ends]
        return self.z3.And(*[self.z3.And(one >= 0, one < end) for one, end in bounded])


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
