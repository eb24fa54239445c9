"""What follows from the invariant: the statements that a user of the ring cares for, each an obligation of its own.

Two kinds. A statement about *steps* says that no step breaks a property, as the oracle judges it; a statement about *states*
holds wherever the invariant does. An actor is *blocked* when its looks, made now and with nobody else moving, send it to wait;
it *can go on* when they find its block, or when it has found it already. Both are computed from the rows. Limits: that somebody
can go on does not say that everybody does; progress with fair turns is explored (``progress-sc``), not proved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ringbuffer.proof.invariant import Facts
from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.relation import Step
from ringbuffer.proof.vocabulary import WRITER, Who
from ringbuffer.protocol import Edge, Instruction, Kind, Outcome

READER, INDEX = Sort.READER, Sort.INDEX


@dataclass(frozen=True)
class OfSteps:
    """A statement about steps. ``broken``: when a step breaks it, or ``None`` where that step cannot."""

    name: str
    says: str
    broken: Callable[[Facts, Step], Term | None]


@dataclass(frozen=True)
class OfStates:
    """A statement about states."""

    name: str
    says: str
    formula: Callable[[Facts, Logic], Term]


def judged(name: str) -> Callable[[Facts, Step], Term | None]:
    """What the encoder says that a step breaks, by the property's name."""
    return lambda _, step: step.broken.get(name)


def _repeated(f: Facts, step: Step) -> Term | None:
    """A reader gets a message that it has had."""
    if step.delivers is None:
        return None
    reader = step.who.rank

    def had(i: Term) -> Term:
        return f.logic.both(i >= 0, i < f.cursor(reader), f.log(i) == step.delivers)

    return f.logic.some((INDEX,), had)


def _outcome(f: Facts, who: Who, instruction: Instruction, outcome: Outcome) -> Term:
    """Whether a look comes out so, in the memory as it is."""
    logic, access = f.logic, instruction.row.access
    if access.is_several:
        enough = _all_but(f, who, instruction, access.missing_allowed, ())
        return enough if outcome is Outcome.ONE else logic.no(enough)
    name, key = f.relation.location(f.state, who, access)
    return f.state[name](*key) == int(outcome is Outcome.ONE)


def _all_but(f: Facts, who: Who, instruction: Instruction, missing: int, spared: tuple[Term, ...]) -> Term:
    """Whether all the flags that a row visits are 1, but for ``missing`` and those of the readers that are ``spared``."""
    logic, block = f.logic, f.state.of(who, "block")
    if missing:
        return logic.some((READER,), lambda one: _all_but(f, who, instruction, missing - 1, (*spared, one)))
    visits = f.relation.visits(f.relation.program(who), instruction.pc)

    def is_marked(r: Term) -> Term:
        excused = [r == one for one in spared]
        return logic.either(logic.no(visits(r)), f.read(block, r) == 1, *excused)

    return logic.for_all((READER,), is_marked)


def looks(f: Facts, who: Who) -> tuple[Term, Term]:
    """What an actor's looks would say now: whether they send it to wait, and whether they find its block."""
    logic, program = f.logic, f.relation.program(who)
    waits, finds = [], []

    def follow(pc: int, condition: Term) -> None:
        instruction = program[pc]
        if instruction.row.access.kind is not Kind.LOAD:
            finds.append(condition)
            return
        for outcome, branch in instruction.branches:
            here = logic.both(condition, _outcome(f, who, instruction, outcome))
            if branch.edge is Edge.FORWARD:
                follow(branch.pc, here)
            elif branch.edge is Edge.WAITED:
                waits.append(here)

    follow(0, logic.true)
    return logic.either(*waits), logic.either(*finds)


def _is_looking(f: Facts, who: Who) -> Term:
    rows = f.relation.program(who).instructions
    last = max((one.pc for one in rows if one.row.is_look), default=-1)
    return f.state.of(who, "pc") <= last


def is_blocked(f: Facts, who: Who) -> Term:
    """Whether an actor waits, and would wait again if it looked now."""
    return f.logic.both(_is_looking(f, who), looks(f, who)[0])


def can_go_on(f: Facts, who: Who) -> Term:
    """Whether an actor has found its block, or would find it if it looked now."""
    return f.logic.either(f.logic.no(_is_looking(f, who)), looks(f, who)[1])


def _blocked_writer(f: Facts, logic: Logic) -> Term:
    someone = logic.some((READER,), lambda r: can_go_on(f, Who(r)))
    return logic.implies(is_blocked(f, WRITER), someone)


def _blocked_reader(f: Facts, logic: Logic) -> Term:
    """What the writer has filled and not published is accepted already, and not there yet."""
    unpublished = f.count(f.past_payload(WRITER))
    return logic.for_all((READER,), lambda r: logic.implies(is_blocked(f, Who(r)), f.cursor(r) + unpublished >= f.accepted))


def _no_deadlock(f: Facts, logic: Logic) -> Term:
    everybody = logic.both(is_blocked(f, WRITER), logic.for_all((READER,), lambda r: is_blocked(f, Who(r))))
    return logic.no(everybody)


def _exclusion(f: Facts, logic: Logic) -> Term:
    def together(r: Term) -> Term:
        return logic.both(f.writer_at("W4"), f.at(Who(r), "R3"), f.block_of(r) == f.here)

    return logic.for_all((READER,), lambda r: logic.no(together(r)))


def _bounded(f: Facts, logic: Logic) -> Term:
    def lag(r: Term) -> Term:
        return logic.both(f.cursor(r) <= f.accepted, f.accepted - f.cursor(r) <= f.blocks)

    return logic.for_all((READER,), lag)


OF_STEPS: Final = (
    OfSteps("torn", "what a reader reads from one block belongs to one message", judged("torn")),
    OfSteps("stale", "a reader receives only what it is owed: accepted, and not received before", judged("stale")),
    OfSteps("repeated", "a reader receives no message a second time", _repeated),
    OfSteps("reordered", "a reader receives the oldest message that it is owed", judged("reordered")),
    OfSteps("lost", "a reader gives no block back that holds a message which it is owed", judged("lost")),
    OfSteps("overwritten", "the writer writes over no message that a reader is owed", judged("overwritten")),
    OfSteps(
        "exclusion",
        "nobody enters a block in which the writer is, nor the writer one in which a reader is",
        judged("exclusion"),
    ),
)
OF_STATES: Final = (
    OfStates("alone", "while the writer fills a block, no reader reads in that block", _exclusion),
    OfStates(
        "blocked-writer",
        "a blocked writer has a reader that can go on: with a block in hand, or one that it would find",
        _blocked_writer,
    ),
    OfStates("blocked-reader", "when a reader is blocked, it has received everything that was published", _blocked_reader),
    OfStates("no-deadlock", "not everybody is blocked", _no_deadlock),
    OfStates("bounded", "no reader is owed more messages than there are blocks", _bounded),
)
