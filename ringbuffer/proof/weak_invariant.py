"""The inductive invariant under release/acquire, for any number of readers and blocks.

It is the invariant of sequential consistency, read anew, and a dozen conjuncts more. Read anew: where that speaks of a flag's
value, it now means the *newest* one, the last in modification order. The further conjuncts say why nobody is misled by an older
one: which stores an actor could still load, what these would tell it, and whose payload accesses it then knows. Rules and
limits as in :mod:`ringbuffer.proof.invariant`, with the memory of :mod:`ringbuffer.proof.views`.
"""

from __future__ import annotations

from typing import Final

from ringbuffer.proof.invariant import INVARIANT, Conjunct, Facts
from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.prove import Semantics
from ringbuffer.proof.relation import Relation
from ringbuffer.proof.statements import OF_STATES, OF_STEPS, OfSteps, judged
from ringbuffer.proof.views import FIELDS, FLAGS, Views
from ringbuffer.proof.vocabulary import WRITER, State, Who

READER, BLOCK, TIME = Sort.READER, Sort.BLOCK, Sort.TIME


class WeakFacts(Facts):
    """A state with the words of the conjuncts: a flag's value is its newest."""

    def __init__(self, relation: Relation, state: State) -> None:
        super().__init__(relation, state)
        self.fills, self.reads = state["fills"], state["reads"]

    def written(self, block: Term) -> Term:
        """The newest value of a written flag. Only the writer stores there, so it is what the writer sees."""
        return self.state["written.value"](block, self.claimed_at(block))

    def read(self, block: Term, reader: Term) -> Term:
        """The newest value of a read flag. Only the writer and that reader store there, so one of them sees it."""
        return self.state["read.value"](block, reader, self.newest(block, reader))

    def newest(self, block: Term, reader: Term) -> Term:
        """The time of the newest store to a read flag."""
        writers, own = self.cleared_at(block, reader), self.own(block, reader)
        return self.logic.choose(writers >= own, writers, own)

    def claimed_at(self, block: Term) -> Term:
        """Up to where the writer sees a written flag."""
        return self.state.of(WRITER, "sees.written", block)

    def cleared_at(self, block: Term, reader: Term) -> Term:
        """Up to where the writer sees a read flag."""
        return self.state.of(WRITER, "sees.read", block, reader)

    def own(self, block: Term, reader: Term) -> Term:
        """Up to where a reader sees its own flag."""
        return self.state.of(Who(reader), "sees.read", block, reader)

    def sees_written(self, reader: Term, block: Term) -> Term:
        """Up to where a reader sees a written flag."""
        return self.state.of(Who(reader), "sees.written", block)

    def wrote(self, block: Term, time: Term, value: int) -> Term:
        """Whether a written flag was given that value at that time."""
        stored = self.state["written.stored"](block, time)
        return self.logic.both(stored, self.state["written.value"](block, time) == value)

    def marked(self, block: Term, reader: Term, time: Term, value: int) -> Term:
        """Whether a read flag was given that value at that time."""
        stored = self.state["read.stored"](block, reader, time)
        return self.logic.both(stored, self.state["read.value"](block, reader, time) == value)

    def is_free(self, block: Term) -> Term:
        """Whether a block is the writer's: found free, or never come to."""
        here = self.logic.either(self.written(block) == 0, self.writer_at("W3", "W4", "W5", "W6"))
        return self.logic.either(self.logic.both(block == self.here, here), self.logic.both(self.base == 0, block > self.here))


def _histories_end(f: WeakFacts, logic: Logic) -> Term:
    def written(b: Term, t: Term) -> Term:
        return logic.implies(f.state["written.stored"](b, t), t <= f.claimed_at(b))

    def read(b: Term, r: Term, t: Term) -> Term:
        return logic.implies(f.state["read.stored"](b, r, t), logic.either(t <= f.cleared_at(b, r), t <= f.own(b, r)))

    last = logic.for_all((BLOCK,), lambda b: f.state["written.stored"](b, f.claimed_at(b)))
    return logic.both(last, logic.for_all((BLOCK, TIME), written), logic.for_all((BLOCK, READER, TIME), read))


def _values(f: WeakFacts, logic: Logic) -> Term:
    def of(name: str) -> Term:
        def is_flag(*at: Term) -> Term:
            value = f.state[f"{name}.value"](*at)
            return logic.implies(f.state[f"{name}.stored"](*at), logic.either(value == 0, value == 1))

        return logic.for_all((*FLAGS[name], TIME), is_flag)

    return logic.both(*map(of, FLAGS))


def _what_is_seen(f: WeakFacts, logic: Logic) -> Term:
    stored = f.state["read.stored"]
    writer = logic.for_all((BLOCK, READER), lambda b, r: stored(b, r, f.cleared_at(b, r)))
    reader = logic.for_all((READER, BLOCK, READER), lambda r, b, q: stored(b, q, f.state.of(Who(r), "sees.read", b, q)))
    behind = logic.for_all((READER, BLOCK), lambda r, b: f.sees_written(r, b) <= f.claimed_at(b))
    return logic.both(writer, reader, behind)


def _what_is_told(f: WeakFacts, logic: Logic) -> Term:
    def tells(name: str) -> Term:
        sorts = (*FLAGS[name], TIME)
        count = len(sorts)

        def of_reads(*key: Term) -> Term:
            at, (b, r) = key[:count], key[count:]
            told = f.state[f"{name}.tells.read"](*at, b, r)
            return logic.implies(real(at), f.state["read.stored"](b, r, told))

        def of_written(*key: Term) -> Term:
            at, b = key[:count], key[count]
            return logic.implies(real(at), f.state[f"{name}.tells.written"](*at, b) <= f.claimed_at(b))

        def real(at: tuple[Term, ...]) -> Term:
            return logic.both(f.state[f"{name}.stored"](*at), f.state[f"{name}.tells"](*at))

        return logic.both(logic.for_all((*sorts, BLOCK, READER), of_reads), logic.for_all((*sorts, BLOCK), of_written))

    return logic.both(*map(tells, FLAGS))


def _own_marks(f: WeakFacts, logic: Logic) -> Term:
    def behind(b: Term, r: Term, t: Term) -> Term:
        return logic.implies(logic.both(f.state["read.stored"](b, r, t), t > f.own(b, r)), f.state["read.value"](b, r, t) == 0)

    return logic.for_all((BLOCK, READER, TIME), behind)


def _marks_are_new(f: WeakFacts, logic: Logic) -> Term:
    def newest(b: Term, r: Term, t: Term) -> Term:
        visible = logic.both(f.marked(b, r, t, 1), t >= f.cleared_at(b, r))
        return logic.implies(logic.both(f.written(b) == 1, visible), t >= f.own(b, r))

    return logic.for_all((BLOCK, READER, TIME), newest)


def _readers_know(f: WeakFacts, logic: Logic) -> Term:
    def knows(r: Term) -> Term:
        b = f.block_of(r)
        clear = logic.implies(f.at(Who(r), "R3", "R4"), f.own(b, r) >= f.cleared_at(b, r))
        fill = logic.implies(f.at(Who(r), "R3"), f.state.of(Who(r), "sees.fills", b) >= f.fills(b))
        return logic.both(clear, fill)

    return logic.for_all((READER,), knows)


def _publishing_tells(f: WeakFacts, logic: Logic) -> Term:
    tells = f.state["written.tells"]

    def fill(b: Term) -> Term:
        at = (b, f.claimed_at(b))
        told = f.state["written.tells.fills"](*at, b) >= f.fills(b)
        return logic.implies(f.written(b) == 1, logic.both(tells(*at), told))

    def clear(b: Term, r: Term, t: Term) -> Term:
        told = f.state["written.tells.read"](b, f.claimed_at(b), b, r)
        return logic.implies(logic.both(f.written(b) == 1, f.marked(b, r, t, 0)), t <= told)

    return logic.both(logic.for_all((BLOCK,), fill), logic.for_all((BLOCK, READER, TIME), clear))


def _free_is_known(f: WeakFacts, logic: Logic) -> Term:
    def known(b: Term, r: Term) -> Term:
        return logic.implies(f.is_free(b), _writer_knows(f, b, r))

    return logic.for_all((BLOCK, READER), known)


def _writer_knows(f: WeakFacts, block: Term, reader: Term) -> Term:
    """Whether the writer sees the newest of a read flag, and knows all that this reader has read there."""
    reads = f.state.of(WRITER, "sees.reads", block, reader) >= f.reads(block, reader)
    return f.logic.both(f.cleared_at(block, reader) >= f.own(block, reader), reads)


def _visited_is_known(f: WeakFacts, logic: Logic) -> Term:
    def known(r: Term) -> Term:
        return logic.implies(logic.both(f.writer_at("W2"), f.visited(r)), _writer_knows(f, f.here, r))

    return logic.for_all((READER,), known)


def _never_published(f: WeakFacts, logic: Logic) -> Term:
    def never(b: Term, t: Term) -> Term:
        untouched = logic.both(f.base == 0, b >= f.here)
        return logic.implies(logic.both(untouched, f.state["written.stored"](b, t)), f.state["written.value"](b, t) == 0)

    return logic.for_all((BLOCK, TIME), never)


def _clearing_tells(f: WeakFacts, logic: Logic) -> Term:
    def only_the_newest(b: Term, r: Term, t: Term, u: Term) -> Term:
        cleared = logic.both(f.marked(b, r, t, 0), t >= f.own(b, r))
        told = logic.implies(f.state["read.tells"](b, r, t), u >= f.state["read.tells.written"](b, r, t, b))
        visible = logic.both(f.wrote(b, u, 1), u >= f.sees_written(r, b), told)
        return logic.implies(logic.both(cleared, visible), u == f.claimed_at(b))

    return logic.for_all((BLOCK, READER, TIME, TIME), only_the_newest)


def _not_misled(f: WeakFacts, logic: Logic) -> Term:
    def only_the_newest(r: Term, u: Term) -> Term:
        b = f.block_of(r)
        visible = logic.both(f.wrote(b, u, 1), u >= f.sees_written(r, b))
        return logic.implies(logic.both(f.at(Who(r), "R2"), visible), u == f.claimed_at(b))

    return logic.for_all((READER, TIME), only_the_newest)


def _marks_tell(f: WeakFacts, logic: Logic) -> Term:
    def told(b: Term, r: Term) -> Term:
        at = (b, r, f.newest(b, r))
        knows = logic.both(f.state["read.tells"](*at), f.state["read.tells.reads"](*at, b, r) >= f.reads(b, r))
        return logic.implies(logic.both(f.written(b) == 1, f.read(b, r) == 1), knows)

    return logic.for_all((BLOCK, READER), told)


def _own_accesses(f: WeakFacts, logic: Logic) -> Term:
    fills = logic.for_all((BLOCK,), lambda b: f.state.of(WRITER, "sees.fills", b) >= f.fills(b))
    reads = logic.for_all((BLOCK, READER), lambda b, r: f.state.of(Who(r), "sees.reads", b, r) >= f.reads(b, r))
    return logic.both(fills, reads)


FURTHER: Final = (
    Conjunct("values", "every store to a flag is of 0 or 1", _values),
    Conjunct("histories-end", "a flag's newest store is seen by the writer, or (a read flag's) by its reader", _histories_end),
    Conjunct(
        "what-is-seen",
        "what an actor sees of a read flag was stored; of a written flag nobody sees more than the writer",
        _what_is_seen,
    ),
    Conjunct("what-is-told", "the same of what a release store tells", _what_is_told),
    Conjunct("own-marks", "what a reader does not see yet of its own flag was cleared by the writer", _own_marks),
    Conjunct(
        "marks-are-new",
        "in a written block, a mark that the writer can still load is the newest store to its flag",
        _marks_are_new,
    ),
    Conjunct("readers-know", "a reader that has found its block sees its flag cleared, and knows the fill", _readers_know),
    Conjunct(
        "publishing-tells",
        "the store that published a block tells of its fill, and of the clearing of its flags",
        _publishing_tells,
    ),
    Conjunct(
        "free-is-known", "of a free block the writer sees every flag's newest value, and knows every read", _free_is_known
    ),
    Conjunct("visited-is-known", "the same of the readers whose flags the writer's look has visited", _visited_is_known),
    Conjunct("never-published", "a block to which the writer came never, or first now, was never published", _never_published),
    Conjunct(
        "clearing-tells", "a reader that loads its flag as 0 can then load no written flag of 1 but the newest", _clearing_tells
    ),
    Conjunct("not-misled", "a reader that has found its flag 0 can load no written flag of 1 but the newest", _not_misled),
    Conjunct("marks-tell", "the mark of a reader tells of all that this reader has read in the block", _marks_tell),
    Conjunct("own-accesses", "everybody knows its own payload accesses", _own_accesses),
)
"""What release/acquire needs besides."""

RACES: Final = OfSteps("race", "payload accesses of which one is a write are ordered by happens-before", judged("race"))

_LOOKING_NOW = ("blocked-writer", "blocked-reader", "no-deadlock")
"""Statements that ask what a look would say now: under release/acquire that is not one thing."""

RELEASE_ACQUIRE: Final = Semantics(
    FIELDS,
    Views,
    WeakFacts,
    (*INVARIANT, *FURTHER),
    (*OF_STEPS, RACES),
    tuple(one for one in OF_STATES if one.name not in _LOOKING_NOW),
)
"""Release/acquire."""
