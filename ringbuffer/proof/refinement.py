"""The ring refines a broadcast queue: one sequence of messages, and one cursor for each reader.

The queue knows two steps. ``Send(m)`` puts a message that was never sent at the end of the sequence, if no reader is then more
than K behind. ``Receive(r)`` gives reader r the message at its cursor, which there must be, and moves the cursor on by one.

The **mapping** reads the queue off a state of the ring, from the flags, the payload and where everybody stands: as many
messages were sent as the writer has been through blocks, and one more if it is past its fill; a reader has received as many as
it has been through blocks, and one more if it is past its read; and the message at a place of the sequence that is still owed
to somebody is the one that lies in the block of that turn. Rules: every step of every row must map to one step of the queue or
to none at all; what the mapping says must be what the oracle says, which has never looked at the flags. Limits: those of the
relation; fairness is in the TLA+ module.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ringbuffer.proof.invariant import Facts
from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.prove import START, Obligation, Theory, following
from ringbuffer.proof.relation import Step
from ringbuffer.proof.statements import OfStates, OfSteps
from ringbuffer.proof.vocabulary import WRITER, Who

READER, BLOCK, WORD, INDEX = Sort.READER, Sort.BLOCK, Sort.WORD, Sort.INDEX


def sent(f: Facts) -> Term:
    """How many messages were sent, by the mapping."""
    return f.turn + f.count(f.past_payload(WRITER))


def received(f: Facts, reader: Term) -> Term:
    """How many messages a reader has received, by the mapping."""
    return f.place(reader) + f.count(f.past_payload(Who(reader)))


def turn_of(f: Facts, block: Term) -> Term:
    """The place in the sequence of the message that a block holds, if it holds one."""
    is_new = f.logic.both(block == f.here, f.past_payload(WRITER))
    return f.logic.choose(is_new, f.turn, f.state.stamp(block))


def holds_for(f: Facts, block: Term, reader: Term) -> Term:
    """Whether a block holds a message that a reader is owed: by its flags, but for who is past the payload and not yet at the
    flags."""
    logic = f.logic
    is_new = logic.both(block == f.here, f.past_payload(WRITER))
    by_flags = logic.both(f.written(block) == 1, f.read(block, reader) == 0)
    is_had = logic.both(block == f.block_of(reader), f.past_payload(Who(reader)))
    return logic.both(logic.either(is_new, by_flags), logic.no(is_had))


def _counts_agree(f: Facts, logic: Logic) -> Term:
    cursors = logic.for_all((READER,), lambda r: f.cursor(r) == received(f, r))
    return logic.both(f.accepted == sent(f), cursors)


def _owed_is_held(f: Facts, logic: Logic) -> Term:
    def agree(b: Term, r: Term) -> Term:
        turn = turn_of(f, b)
        owed = logic.both(f.cursor(r) <= turn, turn < f.accepted)
        return logic.same(owed, holds_for(f, b, r))

    return logic.for_all((BLOCK, READER), agree)


def _held_is_sent(f: Facts, logic: Logic) -> Term:
    def agree(b: Term, r: Term, w: Term) -> Term:
        return logic.implies(holds_for(f, b, r), f.payload(b, w) == f.log(turn_of(f, b)))

    return logic.for_all((BLOCK, READER, WORD), agree)


def _send(f: Facts, step: Step) -> Term | None:
    """What is wrong with a step that sends: the message is not new, or a reader is too far behind."""
    if step.accepts is None:
        return None
    logic = f.logic
    after = type(f)(f.relation, step.after)

    def known(i: Term) -> Term:
        return logic.both(i >= 0, i < f.accepted, f.log(i) == step.accepts)

    too_far = logic.some((READER,), lambda r: sent(after) - received(after, r) > f.blocks)
    moved = logic.either(sent(after) != sent(f) + 1, _somebody_moved(f, after, None))
    return logic.either(logic.some((INDEX,), known), too_far, moved)


def _receive(f: Facts, step: Step) -> Term | None:
    """What is wrong with a step that receives: there is nothing to receive, it is another message, or the wrong cursor
    moves."""
    if step.delivers is None:
        return None
    logic, reader = f.logic, step.who.rank
    after, cursor = type(f)(f.relation, step.after), received(f, reader)
    wrong = logic.either(cursor >= sent(f), step.delivers != f.log(cursor))
    moved = logic.either(received(after, reader) != cursor + 1, sent(after) != sent(f), _somebody_moved(f, after, reader))
    return logic.either(wrong, moved)


def _stutter(f: Facts, step: Step) -> Term | None:
    """What is wrong with any other step: the queue that it maps to is another one."""
    if step.accepts is not None or step.delivers is not None:
        return None
    after = type(f)(f.relation, step.after)
    return f.logic.either(sent(after) != sent(f), _somebody_moved(f, after, None))


def _somebody_moved(f: Facts, after: Facts, but: Term | None) -> Term:
    """Whether the cursor of a reader (but that one) is another."""
    logic = f.logic

    def moved(r: Term) -> Term:
        is_other = logic.true if but is None else r != but
        return logic.both(is_other, received(after, r) != received(f, r))

    return logic.some((READER,), moved)


MAPPING: Final = (
    OfStates("counts", "the mapping's counts are the oracle's: messages sent, and received by each reader", _counts_agree),
    OfStates("owed-is-held", "a reader is owed a message exactly if the block of its turn holds one for it", _owed_is_held),
    OfStates(
        "held-is-sent", "every word of a block that holds a message for a reader is of that turn's message", _held_is_sent
    ),
)
"""What the mapping says of a state, and what it must agree with."""
STEPS: Final = (
    OfSteps("send", "a step that ends a fill maps to Send, of a new message, and nobody is more than K behind", _send),
    OfSteps("receive", "a step that ends a read maps to Receive, and delivers the message at the reader's cursor", _receive),
    OfSteps("stutter", "every other step maps to no step of the queue", _stutter),
)
"""What each step must map to."""


def obligations(theory: Theory) -> Iterator[Obligation]:
    """That the mapping is a refinement: at the start, step by step, and in every state."""
    facts, logic = theory.facts, theory.logic
    empty = logic.both(sent(facts) == 0, logic.for_all((READER,), lambda r: received(facts, r) == 0))
    yield Obligation(START, "empty", (theory.unless_at_start(empty),))
    yield from following(theory, STEPS, MAPPING)
