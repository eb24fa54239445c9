"""The third reading of formulas: mathematics on paper, printed from the same functions that z3 is asked about.

Terms are trees, written out with as few parentheses as TLA+ asks for: ∧ and ∨, ⇒ and ⇔ never share a level without them, and a
quantifier reaches as far to the right as it can. Where the encoder counts rows, the text names them. Rules: what is printed is
equivalent to what is proved; a variable's letter tells its sort, and its range goes without saying. Limits: no arithmetic is
done, and program counters are compared with numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, zip_longest
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.prove import Semantics
from ringbuffer.proof.vocabulary import State
from ringbuffer.protocol import Program

OPEN, ARROW, JUNCTION, NEGATION, COMPARISON, SUM, NAME = range(7)
"""How strongly a term holds together: a part that is weaker than its place asks for gets parentheses."""

LETTERS: Final[Mapping[Sort, str]] = {Sort.READER: "rqp", Sort.BLOCK: "bcd", Sort.WORD: "wv", Sort.INDEX: "ij", Sort.TIME: "tu"}
"""The variables of each sort, in the order in which they are taken."""
PRIME: Final = "′"
"""Marks what is said of the state after a step."""

_OPPOSITE: Final = {"=": "≠", "≠": "=", "<": "≥", "≥": "<", ">": "≤", "≤": ">", "∈": "∉", "∉": "∈"}
_ASCENDING: Final = {">": "<", "≥": "≤"}
_AMONG: Final = {"∈": "=", "∉": "≠"}
QUANTIFIERS: Final = ("∀", "∃")


@dataclass(frozen=True, eq=False)
class Expression:
    """A term on paper. ``sign``: its operator, or (of a :data:`NAME`) a text with ``{}`` in the place of each part.

    A comparison may have several signs, with a part between any two: a chain. A quantifier's first part is its body, the others
    are its variables; the first part of ``∈`` is an actor's row, the others are rows.
    """

    sign: str
    parts: tuple[Expression, ...] = ()
    strength: int = NAME

    def __add__(self, other: Term) -> Expression:
        return Expression("+", (self, lift(other)), SUM)

    def __sub__(self, other: Term) -> Expression:
        return Expression("−", (self, lift(other)), SUM)

    def __eq__(self, other: Term) -> Expression:  # type: ignore[override]
        return self.compared("=", other)

    def __ne__(self, other: Term) -> Expression:  # type: ignore[override]
        return self.compared("≠", other)

    def __lt__(self, other: Term) -> Expression:
        return self.compared("<", other)

    def __le__(self, other: Term) -> Expression:
        return self.compared("≤", other)

    def __gt__(self, other: Term) -> Expression:
        return self.compared(">", other)

    def __ge__(self, other: Term) -> Expression:
        return self.compared("≥", other)

    def __bool__(self) -> bool:
        raise TypeError(f"{self.text} is neither true nor false; formulas are joined with the methods of a Logic")

    def compared(self, sign: str, other: Term) -> Expression:
        """A comparison."""
        return Expression(sign, (self, lift(other)), COMPARISON)

    @cached_property
    def text(self) -> str:
        """The term written out. Two terms with one text mean the same."""
        return _written(_shown(self))

    @property
    def lines(self) -> tuple[str, ...]:
        """The term written out, with a line for each part of a conjunction, or of what holds for all."""
        shown = _shown(self)
        body = _shown(shown.parts[0]) if shown.sign == "∀" else shown
        if body.sign != "∧":
            return (shown.text,)
        return tuple(part.text if body is shown else replace(shown, parts=(part, *shown.parts[1:])).text for part in body.parts)

    def names(self) -> Iterator[Expression]:
        """All names in the term."""
        if self.strength == NAME:
            yield self
        for part in self.parts:
            yield from part.names()


TRUE, FALSE = Expression("true"), Expression("false")


@dataclass(frozen=True, eq=False)
class Row(Expression):
    """Where an actor stands. ``rows``: the rows of its table, by which its program counter is known on paper."""

    rows: tuple[str, ...] = ()

    def compared(self, sign: str, other: Term) -> Expression:
        """At which rows such a comparison of program counters holds."""
        holds = {"=": eq, "≠": ne, "<": lt, "≤": le, ">": gt, "≥": ge}[sign]
        return self.among([row for pc, row in enumerate(self.rows) if holds(pc, other)])

    def among(self, rows: Sequence[str]) -> Expression:
        """Whether it is one of these rows."""
        found = [Expression(row) for row in self.rows if row in rows]
        return Expression("∈", (self, *found), COMPARISON) if found else FALSE


def lift(term: Term) -> Expression:
    """A plain value as a term."""
    if isinstance(term, Expression):
        return term
    if isinstance(term, bool):
        return TRUE if term else FALSE
    return Expression(str(term).replace("-", "−"))


def _shown(one: Expression) -> Expression:
    """The term as it is written: negations drawn in, chains made, and nothing nested that need not be."""
    if one.sign == "¬":
        inner = _shown(one.parts[0])
        return replace(inner, sign=_OPPOSITE[inner.sign]) if inner.sign in _OPPOSITE else one
    if one.strength == JUNCTION:
        shown = [_shown(part) for part in one.parts]
        flat = [part for outer in shown for part in (outer.parts if outer.sign == one.sign else (outer,))]
        parts = tuple(_chained(flat)) if one.sign == "∧" else tuple(flat)
        return parts[0] if len(parts) == 1 else replace(one, parts=parts)
    if one.sign in QUANTIFIERS:
        body = _shown(one.parts[0])
        return replace(one, parts=(body.parts[0], *one.parts[1:], *body.parts[1:])) if body.sign == one.sign else one
    return one


def _chained(parts: Sequence[Expression]) -> list[Expression]:
    """Of neighbours like ``x ≥ 0`` and ``x < K`` one: ``0 ≤ x < K``."""
    found: list[Expression] = []
    for part in parts:
        before, after = (_ascending(found[-1]) if found else None), _ascending(part)
        if before is not None and after is not None and before.parts[-1].text == after.parts[0].text:
            found[-1] = Expression(f"{before.sign} {after.sign}", (*before.parts, *after.parts[1:]), COMPARISON)
        else:
            found.append(part)
    return found


def _ascending(one: Expression) -> Expression | None:
    """A comparison by size, the smaller side first; ``None`` for other terms."""
    if one.sign in _ASCENDING:
        return replace(one, sign=_ASCENDING[one.sign], parts=one.parts[::-1])
    return one if one.strength == COMPARISON and one.sign[0] in "<≤" else None


def _written(one: Expression) -> str:
    """A term as it is shown, as text."""
    first, rest = (one.parts[0] if one.parts else one), one.parts[1:]
    if one.sign in QUANTIFIERS:
        return f"{one.sign}{', '.join(part.text for part in rest)}: {first.text}"
    if one.sign == "if":
        condition, yes, no = (_in(part, JUNCTION) for part in one.parts)
        return f"if {condition} then {yes} else {no}"
    if one.strength == ARROW:
        open_end = _shown(rest[0]).sign in QUANTIFIERS
        return f"{_in(first, JUNCTION)} {one.sign} {_in(rest[0], OPEN if open_end else JUNCTION)}"
    if one.strength == JUNCTION:
        return f" {one.sign} ".join(_in(part, NEGATION) for part in one.parts)
    if one.strength == NEGATION:
        return f"¬{_in(first, NAME)}"
    if one.strength == COMPARISON:
        return _written_comparison(one)
    if one.strength == SUM:
        return f"{_in(first, SUM)} {one.sign} {_in(rest[0], SUM if one.sign == '+' else NAME)}"
    pieces = one.sign.split("{}")
    inside = [_in(part, NAME if piece.endswith("@") else OPEN) for piece, part in zip(pieces, one.parts, strict=False)]
    return "".join(chain.from_iterable(zip_longest(pieces, inside, fillvalue="")))


def _written_comparison(one: Expression) -> str:
    first, *rest = (_in(part, SUM) for part in one.parts)
    signs = one.sign.split()
    if one.sign in _AMONG and len(rest) > 1:
        return f"{first} {one.sign} {{{', '.join(rest)}}}"
    if one.sign in _AMONG:
        signs = [_AMONG[one.sign]]
    return " ".join([first, *[f"{sign} {part}" for sign, part in zip(signs, rest, strict=True)]])


def _in(part: Expression, least: int) -> str:
    """A part in a place that asks for at least that strength."""
    return part.text if _shown(part).strength >= least else f"({part.text})"


class Printed(Logic):
    """Text: variables are letters, and the numbers of blocks and words are K and W."""

    blocks, words = Expression("K"), Expression("W")
    true, false = TRUE, FALSE

    def __init__(self) -> None:
        self._in_use: list[str] = []

    def both(self, *terms: Term) -> Term:
        return self._joined("∧", terms, TRUE, FALSE)

    def either(self, *terms: Term) -> Term:
        return self._joined("∨", terms, FALSE, TRUE)

    def _joined(self, sign: str, terms: Sequence[Term], neutral: Expression, decisive: Expression) -> Expression:
        parts = tuple(_rows_together(sign, [part for part in map(lift, terms) if part is not neutral]))
        if any(part is decisive for part in parts):
            return decisive
        return Expression(sign, parts, JUNCTION) if len(parts) > 1 else parts[0] if parts else neutral

    def no(self, term: Term) -> Term:
        term = lift(term)
        if term is TRUE or term is FALSE:
            return FALSE if term is TRUE else TRUE
        return term.parts[0] if term.sign == "¬" else Expression("¬", (term,), NEGATION)

    def implies(self, condition: Term, consequence: Term) -> Term:
        condition, consequence = lift(condition), lift(consequence)
        if condition is TRUE or condition is FALSE or consequence is TRUE:
            return TRUE if condition is FALSE else consequence
        return Expression("⇒", (condition, consequence), ARROW)

    def same(self, one: Term, other: Term) -> Term:
        return Expression("⇔", (lift(one), lift(other)), ARROW)

    def choose(self, condition: Term, yes: Term, no: Term) -> Term:
        condition, yes, no = lift(condition), lift(yes), lift(no)
        if condition is TRUE or condition is FALSE:
            return yes if condition is TRUE else no
        if (yes.text, no.text) == ("1", "0"):
            return Expression("[{}]", (condition,))
        return Expression("if", (condition, yes, no), OPEN)

    def for_all(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        return self._quantified("∀", sorts, body)

    def some(self, sorts: Sequence[Sort], body: Callable[..., Term]) -> Term:
        return self._quantified("∃", sorts, body)

    def _quantified(self, sign: str, sorts: Sequence[Sort], body: Callable[..., Term]) -> Expression:
        letters: list[str] = []
        for sort in sorts:
            letters.append(next(one for one in LETTERS[sort] if one not in (*self._in_use, *letters)))
        with self.variables(*letters) as variables:
            of = lift(body(*variables))
        return of if of is TRUE or of is FALSE else Expression(sign, (of, *variables), OPEN)

    @contextmanager
    def variables(self, *letters: str) -> Iterator[tuple[Expression, ...]]:
        """Variables of these letters, which stand for nothing else meanwhile."""
        self._in_use += letters
        yield tuple(map(Expression, letters))
        del self._in_use[len(self._in_use) - len(letters) :]

    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        return (Expression(name),)


def _rows_together(sign: str, parts: Sequence[Expression]) -> Iterator[Expression]:
    """The parts of a conjunction or disjunction, of neighbours about one actor's row one."""
    before: Expression | None = None
    for part in parts:
        if before is not None and before.sign == part.sign == "∈" and before.parts[0].text == part.parts[0].text:
            one, other = ({row.text for row in each.parts[1:]} for each in (before, part))
            row = part.parts[0]
            assert isinstance(row, Row), "only rows are among rows"
            before = row.among(list(one & other if sign == "∧" else one | other))
            continue
        if before is not None:
            yield before
        before = part
    if before is not None:
        yield before


def denied(term: Expression) -> Expression:
    """The contrary of a term, with the negation as far inside as it goes; of a conjunction, the others imply that it fails
    last."""
    logic = Printed()
    if term.sign == "∨":
        return lift(logic.both(*map(denied, term.parts)))
    if term.sign == "∃":
        return Expression("∀", (denied(term.parts[0]), *term.parts[1:]), OPEN)
    if term.sign == "∧":
        return lift(logic.implies(logic.both(*term.parts[:-1]), denied(term.parts[-1])))
    return lift(logic.no(term))


# States on paper.

_ARRAYS: Final = {
    "written": "written[{}]",
    "read": "read[{}][{}]",
    "payload": "payload[{}][{}]",
    "log": "log[{}]",
    "fills": "fills[{}]",
    "reads": "reads[{}][{}]",
}
"""What is written with brackets. Under release/acquire the flags among them stand for the flag itself, not for a value."""
_NAMES: Final = {"pc": "row", "todo": "unvisited"}
_OF_WRITER: Final = {"block": "here", "base": "base"}


def form(field: str) -> str:
    """How a field is written: ``reader.sees.read`` as ``sees({}, read[{}][{}])``."""
    owner, _, name = field.partition(".")
    if owner == "writer" and name in _OF_WRITER:
        return _OF_WRITER[name]
    if owner in ("writer", "reader"):
        who, seen = "writer" if owner == "writer" else "{}", name.removeprefix("sees.")
        if seen != name:
            return f"sees({who}, {_ARRAYS[seen]})"
        return f"{_NAMES.get(name, name)}({who}{', {}' if name == 'todo' else ''})"
    if name:
        what, _, told = name.partition(".")
        return f"{what}({_ARRAYS[owner]}@{{}}{', ' + _ARRAYS[told] if told else ''})"
    return _ARRAYS.get(field, "cursor({})" if field == "cursor" else field)


def primed(plain: str) -> str:
    """A form of the state after a step: the sign behind its first word."""
    end = next((at for at, sign in enumerate(plain) if sign in "[("), len(plain))
    return f"{plain[:end]}{PRIME}{plain[end:]}"


def named(sign: str, rows: tuple[str, ...], *arguments: Term) -> Expression:
    """A name with arguments; with ``rows``, that of where an actor stands."""
    parts = tuple(map(lift, arguments))
    return Row(sign, parts, NAME, rows) if rows else Expression(sign, parts)


def printed_state(logic: Printed, memory: Semantics, programs: Sequence[Program], mark: Callable[[str], str] = str) -> State:
    """A state whose fields are names. ``mark``: what is done to each form, say :func:`primed`."""
    rows = {f"{program.role.value}.pc": tuple(one.row.id for one in program.instructions) for program in programs}
    return State(logic, {name: partial(named, mark(form(name)), rows.get(name, ())) for name in memory.fields})
