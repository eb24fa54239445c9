"""Generated parts of the specification about the proofs: notions, invariants, statements, mapping, and counts.

Each part is a function that returns Markdown. Rules: formulas are printed from the functions that are proved; obligations are
counted by making them, and none is put to z3. Where a cell has several lines of symbols, all of them hold. Limits: Markdown
tables only; the words around them are in the chapters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, NamedTuple

from ringbuffer.proof import prove, refinement
from ringbuffer.proof.invariant import INVARIANT, Conjunct
from ringbuffer.proof.notions import COMMON, HISTORIES, LOOKING, NEWEST, QUEUE, TURNS, VALUES, Fields, Notion, Paper, put
from ringbuffer.proof.printed import LETTERS, PRIME, Expression, denied, form, primed
from ringbuffer.proof.prove import SEQUENTIAL, START, Semantics, Theory
from ringbuffer.proof.relation import Step
from ringbuffer.proof.statements import OF_STATES, OfStates, OfSteps
from ringbuffer.proof.vocabulary import WRITER, Who
from ringbuffer.proof.weak_invariant import FURTHER, RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL

MEMORIES: Final = {"sc": SEQUENTIAL, "ra": RELEASE_ACQUIRE}
"""The memories that the proofs know."""
LINE_MAX: Final = 96
"""How long a line of symbols may be before it is broken at its arrow."""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _symbols(term: Expression) -> str:
    """A term in a cell of a table."""
    return "<br>".join(part for line in term.lines for part in _broken(line))


def _broken(line: str) -> tuple[str, ...]:
    """A line of symbols as code; two, if it is long and has an arrow that is not in parentheses."""
    depth = 0
    for place, sign in enumerate(line):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign in "⇒⇔" and depth == 0 and len(line) > LINE_MAX:
            return f"`{line[:place].rstrip()}`", f"&emsp;`{line[place:]}`"
    return (f"`{line}`",)


def _defined(paper: Paper, notions: Sequence[Notion]) -> list[tuple[str, ...]]:
    return [
        (f"`{one.name.text}`", one.notion.says, _symbols(one.meaning)) for one in paper.definitions if one.notion in notions
    ]


def _primitive(memory: Semantics, fields: Sequence[Fields]) -> list[tuple[str, ...]]:
    def name(field: str) -> str:
        letters: list[str] = []
        for sort in memory.fields[field].sorts:
            letters.append(next(one for one in LETTERS[sort] if one not in letters))
        return Expression(form(field), tuple(map(Expression, letters))).text

    return [(", ".join(f"`{name(field)}`" for field in one.names), one.says, "") for one in fields]


_VARIABLES: Final = (
    ("`r`, `q`", "any reader", ""),
    ("`b`, `c`", "any block, from 0 to `K` − 1, where `K` is how many the ring has", ""),
    ("`w`", "any word of a payload, from 0 to `W` − 1, where `W` is how many a payload has", ""),
    ("`i`, `j`", "any integer", ""),
    ("`[c]`", "1 where c holds, else 0", ""),
)
_STEPS: Final = (
    ("`m`", "the message that a step accepts, or delivers to `r`", ""),
    (f"`{PRIME}`", "marks what is said of the state after the step", ""),
)
_TIMES: Final = (("`t`, `u`", "any time: a flag's modification order is that of the times of its stores", ""),)


def notions() -> str:
    """What the symbols mean, under sequential consistency, and what is new or other under release/acquire."""
    head = ("symbol", "meaning", "definition")
    strong = [*_VARIABLES, *_primitive(SEQUENTIAL, (*VALUES, *COMMON)), *_defined(Paper(PROTOCOL, SEQUENTIAL, TURNS), TURNS)]
    weak = [*_TIMES, *_primitive(RELEASE_ACQUIRE, HISTORIES)]
    weak += _defined(Paper(PROTOCOL, RELEASE_ACQUIRE, (*TURNS, *NEWEST)), NEWEST)
    return f"{table(head, strong)}\n\nUnder release/acquire, further or instead:\n\n{table(head, weak)}"


def _rows(paper: Paper, them: Iterable[Conjunct | OfStates]) -> Iterable[tuple[str, ...]]:
    return ((f"`{one.name}`", one.says, _symbols(paper.formula(one.formula))) for one in them)


def invariant() -> str:
    """The conjuncts under sequential consistency."""
    return table(("conjunct", "in words", "in symbols"), _rows(Paper(PROTOCOL, SEQUENTIAL, TURNS), INVARIANT))


def weak_invariant() -> str:
    """The further conjuncts under release/acquire."""
    paper = Paper(PROTOCOL, RELEASE_ACQUIRE, (*TURNS, *NEWEST))
    return table(("conjunct", "in words", "in symbols"), _rows(paper, FURTHER))


def statements() -> str:
    """What follows from the invariant, with how many obligations it takes under each memory."""

    def counts(one: OfSteps | OfStates) -> tuple[str, ...]:
        return tuple(str(count) if (count := _count(memory).by_statement[one.name]) else "–" for memory in MEMORIES)

    obligations = tuple(f"obligations, `{memory}`" for memory in MEMORIES)
    of_steps = [(f"`{one.name}`", one.says, *counts(one)) for one in RELEASE_ACQUIRE.of_steps]
    paper = Paper(PROTOCOL, SEQUENTIAL, (*TURNS, *LOOKING))
    of_states = [(*cells, *counts(one)) for cells, one in zip(_rows(paper, OF_STATES), OF_STATES, strict=True)]
    return "\n\n".join(
        (
            table(("no step breaks", "in words", *obligations), of_steps),
            table(("in every state", "in words", "in symbols", *obligations), of_states),
            table(("symbol", "meaning", "definition"), _defined(paper, LOOKING)),
        )
    )


def mapping() -> str:
    """The refinement mapping, what it must agree with, and what each step must map to (′: in the state after the step)."""
    paper = Paper(PROTOCOL, SEQUENTIAL, (*TURNS, *QUEUE))
    after = Paper(PROTOCOL, SEQUENTIAL, (*TURNS, *QUEUE), primed)

    def right(one: OfSteps, step: Step) -> Expression:
        return denied(put(one.broken(paper.facts, step), (*paper.definitions, *after.definitions)))

    other = Step("", WRITER, 0, paper.logic.true, after.facts.state)
    message, send, receive, stutter = Expression("m"), *refinement.STEPS
    terms = {send: right(send, replace(other, accepts=message)), stutter: right(stutter, other)}
    with paper.logic.variables("r") as (reader,):
        terms[receive] = right(receive, replace(other, who=Who(reader), delivers=message))
    words = ("in words", "in symbols")
    steps = ((f"`{one.name}`", one.says, _symbols(terms[one])) for one in refinement.STEPS)
    return "\n\n".join(
        (
            table(("symbol", "meaning", "definition"), [*_defined(paper, QUEUE), *_STEPS]),
            table(("in every state", *words), _rows(paper, refinement.MAPPING)),
            table(("of every step", *words), steps),
        )
    )


class Counts(NamedTuple):
    """How many obligations there are, and how many of them are about each statement."""

    at_start: int
    by_row: int
    statements: int
    refinement: int
    by_statement: Counter[str]


@cache
def _count(memory: str) -> Counts:
    theory = Theory(PROTOCOL, MEMORIES[memory])
    at_start = Counter(one.row == START for one in prove.inductive(theory))
    derived = Counter(one.goal for one in prove.derived(theory))
    refining = len(list(refinement.obligations(theory)))
    return Counts(at_start[True], at_start[False], derived.total(), refining, derived)


def obligation_counts() -> str:
    """How many obligations there are under each memory, by kind."""

    def cells(memory: str) -> tuple[str, ...]:
        *counts, _ = _count(memory)
        return (f"`{memory}`", str(len(MEMORIES[memory].invariant)), *map(str, counts))

    head = ("memory", "conjuncts", "obligations at the start", "row by row", "about statements", "refinement")
    return table(head, map(cells, MEMORIES))
