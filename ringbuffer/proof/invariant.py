"""The inductive invariant of the shipped protocol, conjunct by conjunct, for any number of readers and blocks.

Each conjunct has a name, a sentence, and a formula. Together they are inductive: they hold of the initial state, and every step
of every row leads from a state in which all of them hold to one in which each of them holds. Rules: a conjunct speaks of rows
by their clause ids, and of a row that a table does not have, nobody stands at it; what follows from other conjuncts is not said
twice. Limits: sequential consistency; found by people, so a changed protocol that is right may need another invariant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.relation import Relation
from ringbuffer.proof.vocabulary import WRITER, State, Who

READER, BLOCK, WORD, INDEX = Sort.READER, Sort.BLOCK, Sort.WORD, Sort.INDEX


class Facts:
    """A state with the words that the conjuncts and the statements are written in."""

    def __init__(self, relation: Relation, state: State) -> None:
        self.relation, self.state, self.logic = relation, state, relation.logic
        self.blocks, self.words = self.logic.blocks, self.logic.words
        self.here, self.base = state.of(WRITER, "block"), state.of(WRITER, "base")
        self.turn = state.position(WRITER)
        self.payload = state["payload"]
        self.log, self.accepted, self.cursor, self.begun = state["log"], state["accepted"](), state["cursor"], state["begun"]()

    def written(self, block: Term) -> Term:
        """The value of a written flag."""
        return self.state["written"](block)

    def read(self, block: Term, reader: Term) -> Term:
        """The value of a read flag."""
        return self.state["read"](block, reader)

    def at(self, who: Who, *rows: str) -> Term:
        """Whether an actor stands at one of these rows."""
        program = self.relation.program(who)
        pcs = [one.pc for one in program.instructions if one.row.id in rows]
        return self.logic.either(*[self.state.of(who, "pc") == pc for pc in pcs])

    def writer_at(self, *rows: str) -> Term:
        """Whether the writer stands at one of these rows."""
        return self.at(WRITER, *rows)

    def past_payload(self, who: Who) -> Term:
        """Whether an actor's caller is done with the block where the actor stands, and the rows are not."""
        program = self.relation.program(who)
        payload = [one.pc for one in program.instructions if one.row.is_payload]
        return self.state.of(who, "pc") > max(payload) if payload else self.logic.false

    def place(self, reader: Term) -> Term:
        """A reader's position in the endless sequence of turns."""
        return self.state.position(Who(reader))

    def block_of(self, reader: Term) -> Term:
        """The block where a reader stands."""
        return self.state.of(Who(reader), "block")

    def count(self, condition: Term) -> Term:
        """1 where the condition holds, else 0."""
        return self.logic.choose(condition, 1, 0)

    def past(self, reader: Term) -> Term:
        """Whether a reader is done with what the writer's block held before this turn."""
        return self.place(reader) > self.turn - self.blocks

    def visited(self, reader: Term) -> Term:
        """Whether the writer's loop has been at this reader's flag."""
        return self.logic.no(self.state.of(WRITER, "todo", reader))


@dataclass(frozen=True)
class Conjunct:
    """One part of the invariant."""

    name: str
    says: str
    formula: Callable[[Any, Logic], Term]


def _in_range(value: Term, end: Term, logic: Logic) -> Term:
    return logic.both(value >= 0, value < end)


def _at_rows(f: Facts, logic: Logic) -> Term:
    def inside(who: Who) -> Term:
        return _in_range(f.state.of(who, "pc"), len(f.relation.program(who)), logic)

    return logic.both(inside(WRITER), logic.for_all((READER,), lambda r: inside(Who(r))))


def _writer_in_ring(f: Facts, logic: Logic) -> Term:
    return logic.both(_in_range(f.here, f.blocks, logic), logic.either(f.base == 0, f.base >= f.blocks))


def _readers_behind(f: Facts, logic: Logic) -> Term:
    def behind(r: Term) -> Term:
        base = f.state.of(Who(r), "base")
        same_lap = logic.both(base == f.base, f.block_of(r) <= f.here)
        lap_before = logic.both(base + f.blocks == f.base, f.block_of(r) >= f.here)
        return logic.both(_in_range(f.block_of(r), f.blocks, logic), base >= 0, logic.either(same_lap, lap_before))

    return logic.for_all((READER,), behind)


def _flags(f: Facts, logic: Logic) -> Term:
    written = logic.for_all((BLOCK,), lambda b: logic.either(f.written(b) == 0, f.written(b) == 1))
    read = logic.for_all((BLOCK, READER), lambda b, r: logic.either(f.read(b, r) == 0, f.read(b, r) == 1))
    return logic.both(written, read)


def _accepted(f: Facts, logic: Logic) -> Term:
    return f.accepted == f.turn + f.count(f.writer_at("W5", "W6"))


def _cursors(f: Facts, logic: Logic) -> Term:
    return logic.for_all((READER,), lambda r: f.cursor(r) == f.place(r) + f.count(f.at(Who(r), "R4")))


def _numbers(f: Facts, logic: Logic) -> Term:
    def known(i: Term) -> Term:
        return logic.implies(_in_range(i, f.accepted, logic), logic.both(f.log(i) >= 1, f.log(i) <= f.begun))

    def ascend(i: Term, j: Term) -> Term:
        return logic.implies(logic.both(i >= 0, i < j, j < f.accepted), f.log(i) < f.log(j))

    return logic.both(f.begun >= 0, logic.for_all((INDEX,), known), logic.for_all((INDEX, INDEX), ascend))


def _laps(f: Facts, logic: Logic) -> Term:
    def lap(b: Term) -> Term:
        passed = logic.either(b < f.here, logic.both(b > f.here, f.base > 0))
        untouched = logic.both(b >= f.here, f.base == 0)
        return logic.both(logic.implies(passed, f.written(b) == 1), logic.implies(untouched, f.written(b) == 0))

    return logic.for_all((BLOCK,), lap)


def _contents(f: Facts, logic: Logic) -> Term:
    def content(b: Term, w: Term) -> Term:
        return logic.implies(f.written(b) == 1, f.payload(b, w) == f.log(f.state.stamp(b)))

    return logic.for_all((BLOCK, WORD), content)


def _never_written(f: Facts, logic: Logic) -> Term:
    def blank(b: Term, w: Term) -> Term:
        return logic.implies(logic.both(f.base == 0, b > f.here), f.payload(b, w) == 0)

    return logic.for_all((BLOCK, WORD), blank)


def _leftovers(f: Facts, logic: Logic) -> Term:
    def owed_to_nobody(w: Term, i: Term) -> Term:
        filling = logic.both(f.writer_at("W1", "W3", "W4"), f.written(f.here) == 0)
        recent = logic.both(i > f.turn - f.blocks, i >= 0, i < f.accepted)
        return logic.implies(logic.both(filling, recent), f.payload(f.here, w) != f.log(i))

    return logic.for_all((WORD, INDEX), owed_to_nobody)


def _marks(f: Facts, logic: Logic) -> Term:
    def marked(b: Term, r: Term) -> Term:
        return logic.implies(f.written(b) == 1, logic.same(f.read(b, r) == 1, f.place(r) > f.state.stamp(b)))

    return logic.for_all((BLOCK, READER), marked)


def _taken(f: Facts, logic: Logic) -> Term:
    """The block is free: the written flag is 0, or the looks have found it so."""
    free = logic.either(f.written(f.here) == 0, f.writer_at("W3", "W4", "W5", "W6"))
    return logic.for_all((READER,), lambda r: logic.implies(free, f.past(r)))


def _looking(f: Facts, logic: Logic) -> Term:
    looks = f.writer_at("W2")
    held = logic.implies(looks, logic.both(f.written(f.here) == 1, f.state.of(WRITER, "zeros") == 0))
    seen = logic.for_all((READER,), lambda r: logic.implies(logic.both(looks, f.visited(r)), f.read(f.here, r) == 1))
    return logic.both(held, seen)


def _claimed(f: Facts, logic: Logic) -> Term:
    return logic.implies(f.writer_at("W4", "W5", "W6"), f.written(f.here) == 0)


def _filling(f: Facts, logic: Logic) -> Term:
    word, message = f.state.of(WRITER, "word"), f.state.of(WRITER, "message")
    fills = f.writer_at("W4")
    fresh = logic.for_all(
        (INDEX,),
        lambda i: logic.implies(logic.both(fills, word > 0, _in_range(i, f.accepted, logic)), f.log(i) < message),
    )
    held = logic.for_all((WORD,), lambda w: logic.implies(logic.both(fills, w < word), f.payload(f.here, w) == message))
    inside = logic.implies(fills, _in_range(word, f.words, logic))
    known = logic.implies(logic.both(fills, word > 0), logic.both(message >= 1, message <= f.begun))
    return logic.both(inside, known, fresh, held)


def _filled(f: Facts, logic: Logic) -> Term:
    full = f.writer_at("W5", "W6")
    return logic.for_all((WORD,), lambda w: logic.implies(full, f.payload(f.here, w) == f.log(f.accepted - 1)))


def _clearing(f: Facts, logic: Logic) -> Term:
    def cleared(r: Term) -> Term:
        done = logic.either(f.writer_at("W6"), logic.both(f.writer_at("W5"), f.visited(r)))
        return logic.implies(done, f.read(f.here, r) == 0)

    return logic.for_all((READER,), cleared)


def _unmarked(f: Facts, logic: Logic) -> Term:
    return logic.for_all((READER,), lambda r: logic.implies(f.at(Who(r), "R2", "R3", "R4"), f.read(f.block_of(r), r) == 0))


def _published(f: Facts, logic: Logic) -> Term:
    return logic.for_all((READER,), lambda r: logic.implies(f.at(Who(r), "R3", "R4"), f.written(f.block_of(r)) == 1))


def _reading(f: Facts, logic: Logic) -> Term:
    def held(r: Term) -> Term:
        word, message = f.state.of(Who(r), "word"), f.state.of(Who(r), "message")
        whole = logic.implies(word > 0, message == f.log(f.place(r)))
        return logic.implies(f.at(Who(r), "R3"), logic.both(_in_range(word, f.words, logic), whole))

    return logic.for_all((READER,), held)


INVARIANT: Final = (
    Conjunct("at-rows", "everybody stands at a row of the table", _at_rows),
    Conjunct(
        "writer-in-ring",
        "the writer stands at one of the blocks, in its first lap or with whole ones behind it",
        _writer_in_ring,
    ),
    Conjunct("readers-behind", "every reader is behind the writer, or level with it, by at most one lap", _readers_behind),
    Conjunct("flags", "a flag is 0 or 1", _flags),
    Conjunct(
        "accepted",
        "as many messages are accepted as the writer has been through blocks, and one more once it has filled",
        _accepted,
    ),
    Conjunct(
        "cursors",
        "a reader has received as many messages as it has been through blocks, and one more once it has read",
        _cursors,
    ),
    Conjunct("numbers", "the numbers in the log ascend, and none is above the number of fills begun", _numbers),
    Conjunct("laps", "a block that the writer has left is written; one that it never left is not", _laps),
    Conjunct(
        "contents", "a written block holds, in every word, the message of the last turn at which it was published", _contents
    ),
    Conjunct("never-written", "the words of a block to which the writer never came are blank", _never_written),
    Conjunct("leftovers", "what a block holds that is claimed or was given up is owed to nobody", _leftovers),
    Conjunct("marks", "in a written block, a reader's flag is 1 exactly if the reader is past that turn", _marks),
    Conjunct("taken", "when the writer's block is free, every reader is past what it held", _taken),
    Conjunct(
        "looking", "while the writer looks at the flags the block is written, and the flags seen so far are still 1", _looking
    ),
    Conjunct("claimed", "from the claim to the publishing the written flag is 0", _claimed),
    Conjunct(
        "filling", "while the block is filled, the words so far are all of one message, newer than all in the log", _filling
    ),
    Conjunct("filled", "from the end of the fill to the publishing every word is of the newest message in the log", _filled),
    Conjunct("clearing", "the read flags that the writer has cleared stay 0 until it has published", _clearing),
    Conjunct("unmarked", "a reader that has found its flag 0 has it 0 until it marks", _unmarked),
    Conjunct("published", "the block that a reader reads or is about to mark is written", _published),
    Conjunct("reading", "the words that a reader has read so far are all of the message that it is owed", _reading),
)
"""The invariant of the shipped protocol."""
