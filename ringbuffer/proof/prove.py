"""Obligations: what has to be shown so that the invariant is one and the statements follow, and z3's answer to each.

For each conjunct, that it holds at the start; for each row and each conjunct, that no step of the row leads out of it; for each
statement about steps and each row that could break it, that no step does; for each statement about states, that the invariant
implies it. Rules: an obligation is *discharged* only by ``unsat``: no state of any ring contradicts it. One that z3 contradicts
is *open*, and says so; one that z3 leaves undecided within :data:`EFFORT_MAX` is *unknown*. Either may be a fault of the
invariant rather than of the protocol: an open obligation refutes nothing, a run does. Limits: those of the relation and the
invariant; z3 is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ringbuffer.proof.invariant import INVARIANT, Conjunct, Facts
from ringbuffer.proof.logic import Sort, Symbolic, Term
from ringbuffer.proof.relation import Neighbours, Relation, Step
from ringbuffer.proof.statements import OF_STATES, OF_STEPS, OfStates, OfSteps
from ringbuffer.proof.vocabulary import FIELDS, WRITER, Field, State, Who, unknown_state
from ringbuffer.protocol import Variant

EFFORT_FIRST: Final = 200_000
EFFORT_MAX: Final = 500_000
"""How much z3 may do for one question, in its own units (``rlimit``), so that an answer does not depend on the machine's speed:
at first, in a solver that keeps the invariant from question to question; and once more, if need be, in a fresh one."""

DISCHARGED, OPEN, UNDECIDED = "discharged", "open", "unknown"

START = "start"
"""What stands for a row in the name of an obligation about the initial state."""
ALWAYS = "always"
"""What stands for a row in the name of an obligation about every state in which the invariant holds."""


@dataclass(frozen=True)
class Question:
    """One question to z3: can these all be true at once, in a ring (``from_invariant``: in a state in which the invariant
    holds)?"""

    terms: tuple[Term, ...]
    from_invariant: bool


@dataclass(frozen=True)
class Obligation:
    """Something that has to be shown. ``row``: a clause id, :data:`START` or :data:`ALWAYS`. ``goal``: what is to hold."""

    row: str
    goal: str
    questions: tuple[Question, ...]

    @property
    def name(self) -> str:
        """``row/goal``."""
        return f"{self.row}/{self.goal}"


@dataclass(frozen=True)
class Finding:
    """What came of an obligation: :data:`DISCHARGED`, :data:`OPEN` or :data:`UNDECIDED`, and in which time."""

    name: str
    status: str
    seconds: float


class Semantics(NamedTuple):
    """A memory as the proofs know it: the state's fields, the relation on them, the words for a state, and the invariant."""

    fields: Mapping[str, Field]
    relation: type[Relation]
    facts: type[Facts]
    invariant: tuple[Conjunct, ...]
    of_steps: tuple[OfSteps, ...]
    of_states: tuple[OfStates, ...]


SEQUENTIAL: Final = Semantics(FIELDS, Relation, Facts, INVARIANT, OF_STEPS, OF_STATES)
"""Sequential consistency: a flag has one value."""


class Theory:
    """A variant of the protocol in z3's terms: its relation, a state of which nothing is known, and the invariant of it."""

    def __init__(self, variant: Variant, memory: Semantics = SEQUENTIAL) -> None:
        self.logic = Symbolic()
        next_reader = self.logic.function("next", (Sort.READER,), Sort.READER)
        neighbours = Neighbours(next_reader, self.logic.function("is_last", (Sort.READER,), bool))
        self.memory = memory
        self.relation = memory.relation(variant, self.logic, neighbours)
        self.state = unknown_state(self.logic, memory.fields)
        self.facts = self.describe(self.state)
        self.conjuncts = memory.invariant
        self.invariant = tuple(one.formula(self.facts, self.logic) for one in self.conjuncts)
        self._ring = (self.logic.blocks >= 1, self.logic.words >= 1)
        self._anywhere = self.logic.solver(EFFORT_FIRST, *self._ring)
        self._within = self.logic.solver(EFFORT_FIRST, *self._ring, *self.invariant)

    def describe(self, state: State) -> Facts:
        """A state with the words of the invariant."""
        return self.memory.facts(self.relation, state)

    def steps(self) -> Iterator[tuple[str, list[Step]]]:
        """The rows with their steps, the writer's and then those of any one reader."""
        (reader,) = self.logic.any(Sort.READER, "reader")
        for who in (WRITER, Who(reader)):
            for instruction in self.relation.program(who).instructions:
                yield instruction.row.id, list(self.relation.steps_of_row(self.state, who, instruction))

    def unless(self, step: Step, wrong: Term) -> Question:
        """Whether a step from a state of the invariant can come with something wrong."""
        return Question((step.guard, wrong), from_invariant=True)

    def unless_always(self, formula: Term) -> Question:
        """Whether a state of the invariant can be without this."""
        return Question((self.logic.no(formula),), from_invariant=True)

    def unless_at_start(self, formula: Term) -> Question:
        """Whether an initial state can be without this."""
        return Question((self.relation.initial(self.state), self.logic.no(formula)), from_invariant=False)

    def answer(self, question: Question) -> str:
        """What z3 says: :data:`DISCHARGED` if there is no such state, :data:`OPEN` if there is, or :data:`UNDECIDED`."""
        z3 = self.logic.z3
        known = self._within if question.from_invariant else self._anywhere
        known.push()
        known.add(*question.terms)
        said = known.check()
        known.pop()
        if said == z3.unknown:
            given = (*self._ring, *(self.invariant if question.from_invariant else ()), *question.terms)
            said = self.logic.solver(EFFORT_MAX, *given).check()
        return DISCHARGED if said == z3.unsat else OPEN if said == z3.sat else UNDECIDED


def obligations(theory: Theory) -> Iterator[Obligation]:
    """Everything that has to be shown about safety, in a fixed order."""
    yield from inductive(theory)
    yield from derived(theory)


def inductive(theory: Theory) -> Iterator[Obligation]:
    """That the invariant is one: conjunct by conjunct, at the start and row by row."""
    for conjunct, formula in zip(theory.conjuncts, theory.invariant, strict=True):
        yield Obligation(START, conjunct.name, (theory.unless_at_start(formula),))
    for row, steps in theory.steps():
        after = [(step, theory.describe(step.after)) for step in steps]
        for conjunct in theory.conjuncts:
            wrong = [(step, theory.logic.no(conjunct.formula(facts, theory.logic))) for step, facts in after]
            yield Obligation(row, conjunct.name, tuple(theory.unless(*one) for one in wrong))


def derived(theory: Theory) -> Iterator[Obligation]:
    """That the statements about safety follow from the invariant."""
    return following(theory, theory.memory.of_steps, theory.memory.of_states)


def following(theory: Theory, of_steps: Iterable[OfSteps], of_states: Iterable[OfStates]) -> Iterator[Obligation]:
    """That these statements follow from the invariant: row by row those about steps, then those about states."""
    for row, steps in theory.steps():
        for statement in of_steps:
            wrong = [(step, statement.broken(theory.facts, step)) for step in steps]
            questions = tuple(theory.unless(step, term) for step, term in wrong if term is not None)
            if questions:
                yield Obligation(row, statement.name, questions)
    for one in of_states:
        yield Obligation(ALWAYS, one.name, (theory.unless_always(one.formula(theory.facts, theory.logic)),))


def discharge(theory: Theory, obligation: Obligation) -> Finding:
    """Put the questions of an obligation to z3, until one is not answered as it should be."""
    started = time.perf_counter()
    answers = map(theory.answer, obligation.questions)
    status = next((answer for answer in answers if answer != DISCHARGED), DISCHARGED)
    return Finding(obligation.name, status, time.perf_counter() - started)


def prove(
    variant: Variant,
    which: Callable[[Theory], Iterable[Obligation]] = obligations,
    memory: Semantics = SEQUENTIAL,
    on_finding: Callable[[Finding], None] = lambda _: None,
) -> tuple[Finding, ...]:
    """Try every obligation of a variant, as :func:`try_all` does. Raises :class:`MissingExtraError` without z3."""
    return try_all(Theory(variant, memory), which, on_finding)


def try_all(
    theory: Theory,
    which: Callable[[Theory], Iterable[Obligation]],
    on_finding: Callable[[Finding], None],
    prefix: str = "",
) -> tuple[Finding, ...]:
    """Try every obligation of a theory. ``prefix``: of the findings' names."""
    findings = []
    for obligation in which(theory):
        finding = discharge(theory, obligation)
        finding = replace(finding, name=prefix + finding.name)
        on_finding(finding)
        findings.append(finding)
    return tuple(findings)


def is_proved(
    variant: Variant,
    which: Callable[[Theory], Iterable[Obligation]] = obligations,
    memory: Semantics = SEQUENTIAL,
) -> bool:
    """Whether every obligation of a variant is discharged; it gives up at the first that is not."""
    theory = Theory(variant, memory)
    return all(discharge(theory, obligation).status == DISCHARGED for obligation in which(theory))
