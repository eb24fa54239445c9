"""Notions: the words in which formulas are printed, each with what it means, in words and in symbols.

A notion is a word with its definition; wherever a formula has the definition, term for term, the text has the word. So a notion
cannot say anything else than what is proved: a formula that comes to mean something else no longer matches, and is printed in
full. Rules: a definition is the function that the formulas call, not a second one. Limits: what is equal but written otherwise
is not recognised; what the fields of a state mean is typed here, and nothing checks that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from ringbuffer.proof import refinement, statements
from ringbuffer.proof.invariant import Facts
from ringbuffer.proof.logic import Logic, Term
from ringbuffer.proof.printed import QUANTIFIERS, Expression, Printed, lift, named, printed_state
from ringbuffer.proof.prove import Semantics
from ringbuffer.proof.relation import Neighbours
from ringbuffer.proof.vocabulary import WRITER, Who
from ringbuffer.protocol import Variant


class Notion(NamedTuple):
    """A word of the text. ``form``: with ``{}`` for each of the ``letters``; ``definition``: of facts, and of a term for each
    letter."""

    form: str
    letters: str
    says: str
    definition: Callable[..., Term]


@dataclass(frozen=True)
class Definition:
    """A notion worked out: what stands for it, and what it stands for, with its letters for whatever they are about."""

    notion: Notion
    name: Expression
    meaning: Expression

    def name_of(self, term: Expression) -> Expression | None:
        """What stands for a term that is the meaning with other terms in the place of the letters; ``None`` if it is not."""
        found: dict[str, Expression] = {}
        if not self._matches(self.meaning, term, found) or len(found) < len(self.notion.letters):
            return None
        bound = {part.text for part in _bound(self.meaning)}
        if any(name.text in bound for given in found.values() for name in given.names()):
            return None
        return replace(self.name, parts=tuple(found[letter] for letter in self.notion.letters))

    def _matches(self, meaning: Expression, term: Expression, found: dict[str, Expression]) -> bool:
        if not meaning.parts and meaning.sign in tuple(self.notion.letters):
            return found.setdefault(meaning.sign, term).text == term.text
        alike = meaning.sign == term.sign and len(meaning.parts) == len(term.parts)
        return alike and all(self._matches(*pair, found) for pair in zip(meaning.parts, term.parts, strict=True))


def _bound(term: Expression) -> Iterator[Expression]:
    """The variables of the quantifiers in a term."""
    if term.sign in QUANTIFIERS:
        yield from term.parts[1:]
    for part in term.parts:
        yield from _bound(part)


def put(term: Term, definitions: Sequence[Definition]) -> Expression:
    """A term with every notion for its definition, the innermost first."""
    one = lift(term)
    if one.parts:
        one = replace(one, parts=tuple(put(part, definitions) for part in one.parts))
    names = (definition.name_of(one) for definition in definitions)
    return next((name for name in names if name is not None), one)


class Paper:
    """The state of a variant in one memory, on paper, with notions, each of which may use those before it.

    ``mark``: what is done to the form of each name, say :func:`ringbuffer.proof.printed.primed`.
    """

    def __init__(
        self, variant: Variant, memory: Semantics, notions: Sequence[Notion], mark: Callable[[str], str] = str
    ) -> None:
        self.logic = Printed()
        neighbours = Neighbours(lambda r: named("next({})", (), r), lambda r: named("last({})", (), r))
        relation = memory.relation(variant, self.logic, neighbours)
        self.facts: Facts = memory.facts(relation, printed_state(self.logic, memory, variant.programs, mark))
        self.definitions: list[Definition] = []
        for notion in notions:
            with self.logic.variables(*notion.letters) as letters:
                meaning = put(notion.definition(self.facts, *letters), self.definitions)
            self.definitions.append(Definition(notion, Expression(mark(notion.form), letters), meaning))

    def formula(self, formula: Callable[[Any, Logic], Term]) -> Expression:
        """A conjunct's or a statement's formula, in the words of the notions."""
        return put(formula(self.facts, self.logic), self.definitions)


class Fields(NamedTuple):
    """What fields of a state are, in words."""

    names: tuple[str, ...]
    says: str


VALUES: Final = (Fields(("written", "read"), "the value of a written flag, and of a reader's read flag"),)
"""What a memory of one value for each flag holds."""
HISTORIES: Final = (
    Fields(("written.stored", "read.stored"), "whether at that time something was stored to that flag"),
    Fields(("written.value", "read.value"), "the value that was stored then"),
    Fields(("written.tells", "read.tells"), "whether that store tells what its actor saw: whether it is a release store"),
    Fields(
        ("written.tells.written", "written.tells.read", "read.tells.written", "read.tells.read"),
        "up to which time that store tells of another flag",
    ),
    Fields(
        ("written.tells.fills", "written.tells.reads", "read.tells.fills", "read.tells.reads"),
        "of how many accesses to a payload that store tells: the writer's, or a reader's",
    ),
    Fields(("fills", "reads"), "how many accesses to a block's payload the writer has made, and a reader"),
    Fields(
        ("writer.sees.written", "writer.sees.read", "reader.sees.written", "reader.sees.read"),
        "up to which time the writer, or a reader, sees a flag: it can load no older store",
    ),
    Fields(
        ("writer.sees.fills", "writer.sees.reads", "reader.sees.fills", "reader.sees.reads"),
        "how many accesses to a payload the writer, or a reader, knows of: they are ordered before what it does next",
    ),
)
"""What a memory with views holds. A flag after a comma, or before an @, is the flag itself, not a value."""
COMMON: Final = (
    Fields(("payload",), "the message of which a word of a block is a part; 0 where there is none yet"),
    Fields(("writer.pc", "reader.pc"), "the row at which the writer stands, or a reader"),
    Fields(
        ("writer.block", "writer.base"),
        "the block at which the writer stands, and how many blocks are in the laps that it has behind it",
    ),
    Fields(("reader.block", "reader.base"), "the same of a reader"),
    Fields(("writer.todo",), "whether the writer's row about all read flags has still to visit that reader's"),
    Fields(("writer.zeros",), "how many of the flags that it has visited were 0"),
    Fields(("writer.word", "reader.word"), "how many words of the payload are filled so far, or read"),
    Fields(("writer.message", "reader.message"), "the message that is being filled, or of which the words read so far are"),
    Fields(("begun",), "how many fills have begun: messages are numbered from 1 in that order"),
    Fields(("log", "accepted"), "the messages whose fills are complete, the first at 0, and how many they are"),
    Fields(("cursor",), "how many of these a reader has received"),
)
"""What a state holds besides the memory."""

TURNS: Final = (
    Notion("turn", "", "the writer's place in the endless sequence of turns", lambda f: f.turn),
    Notion("position({})", "r", "a reader's place in it", lambda f, r: f.place(r)),
    Notion("stamp({})", "b", "the turn that the content of a written block is from", lambda f, b: f.state.stamp(b)),
    Notion(
        "past({})", "r", "whether a reader is done with what the writer's block held before this turn", lambda f, r: f.past(r)
    ),
    Notion(
        "visited({})", "r", "whether the writer's row about all read flags has visited that reader's", lambda f, r: f.visited(r)
    ),
)
"""The words of the invariant."""
NEWEST: Final = (
    Notion(
        "stored(written[{}]@{}, {})",
        "btv",
        "whether at that time that value was stored to a written flag",
        lambda f, *v: f.wrote(*v),
    ),
    Notion("stored(read[{}][{}]@{}, {})", "brtv", "the same of a read flag", lambda f, *v: f.marked(*v)),
    Notion("written[{}]", "b", "the newest value of a written flag", lambda f, b: f.written(b)),
    Notion("newest(read[{}][{}])", "br", "the time of the newest store to a read flag", lambda f, *v: f.newest(*v)),
    Notion("read[{}][{}]", "br", "the newest value of a read flag", lambda f, *v: f.read(*v)),
    Notion("free({})", "b", "whether a block is the writer's: found free, or never come to", lambda f, b: f.is_free(b)),
)
"""The further words of the invariant under release/acquire."""
LOOKING: Final = (
    Notion(
        "blocked(writer)",
        "",
        "whether the writer waits, and would wait again if it looked now",
        lambda f: statements.is_blocked(f, WRITER),
    ),
    Notion("blocked({})", "r", "the same of a reader", lambda f, r: statements.is_blocked(f, Who(r))),
    Notion(
        "ready({})",
        "r",
        "whether a reader has found its block, or would find it if it looked now",
        lambda f, r: statements.can_go_on(f, Who(r)),
    ),
)
"""The further words of the statements about states."""
QUEUE: Final = (
    Notion("sent", "", "how many messages were sent", refinement.sent),
    Notion("received({})", "r", "how many messages a reader has received", refinement.received),
    Notion(
        "turn_of({})", "b", "the place in the sequence of the message that a block holds, if it holds one", refinement.turn_of
    ),
    Notion("holds_for({}, {})", "br", "whether a block holds a message that a reader is owed", refinement.holds_for),
)
"""The refinement mapping."""
