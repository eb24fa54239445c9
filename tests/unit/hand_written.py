"""What the tests hold the package against: the tables and the protocol, written down a second time, by hand.

Rules: this module imports nothing of the package. The tables are those of the design, as data. The protocol is plain Python,
place by place, with names of its own for where an actor stands and for messages; ``reach`` visits everything that it can do.
Limits: sequential consistency, one writer, payloads of two words, and the two policies (ring and scan) only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

RowText: TypeAlias = tuple[str, str, str | None, int | None, dict[str, str]]
"""Clause id, kind of access, flag, value, and for each outcome where it leads, in the words of the design."""

WRITER_ROWS: tuple[RowText, ...] = (
    ("W1", "load", "written", None, {"0": "W3", "1": "W2"}),
    ("W2", "load", "read[*]", None, {"1": "W3", "0": "wait, then W1"}),
    ("W3", "store", "written", 0, {"done": "W4"}),
    ("W4", "fill", None, None, {"done": "W5", "aborted": "W1, same block"}),
    ("W5", "store", "read[*]", 0, {"done": "W6"}),
    ("W6", "store", "written", 1, {"done": "W1, next block"}),
)
READER_ROWS: tuple[RowText, ...] = (
    ("R1", "load", "read[r]", None, {"0": "R2", "1": "wait, then R1"}),
    ("R2", "load", "written", None, {"1": "R3", "0": "wait, then R1"}),
    ("R3", "read", None, None, {"done": "R4", "aborted": "R1, same block"}),
    ("R4", "store", "read[r]", 1, {"done": "R1, next block"}),
)
SCANNING_WRITER_ROWS: tuple[RowText, ...] = (
    ("W2", "load", "read[*]", None, {"1": "W3", "0": "W1"}),
    ("W1", "load", "written", None, {"0": "W3", "1": "wait, then W2, next block"}),
    ("W3", "store", "written", 0, {"done": "W4"}),
    ("W4", "fill", None, None, {"done": "W5", "aborted": "W2, same block"}),
    ("W5", "store", "read[*]", 0, {"done": "W6"}),
    ("W6", "store", "written", 1, {"done": "W2, same block"}),
)
SCANNING_READER_ROWS: tuple[RowText, ...] = (
    ("R1", "load", "read[r]", None, {"0": "R2", "1": "wait, then R1, next block"}),
    ("R2", "load", "written", None, {"1": "R3", "0": "wait, then R1, next block"}),
    ("R3", "read", None, None, {"done": "R4", "aborted": "R1, same block"}),
    ("R4", "store", "read[r]", 1, {"done": "R1, same block"}),
)

CLAUSES = {
    "sees written": "W1",
    "sees marks": "W2",
    "claims": "W3",
    "fills": "W4",
    "clears": "W5",
    "publishes": "W6",
    "sees own mark": "R1",
    "sees publication": "R2",
    "reads": "R3",
    "marks": "R4",
}
"""Which clause each place of the hand-written protocol is."""

WORDS = 2
NOBODY = 0
"""A payload word that nobody wrote."""
UNNAMED = 999
"""A new message, before the world is named anew."""

Ints: TypeAlias = tuple[int, ...]


class Person(NamedTuple):
    """The writer, or a reader: its place, its block, the ranks still to be visited there, words done, message in hand."""

    at: str
    block: int = 0
    left: frozenset[int] = frozenset()
    done: int = 0
    message: int = NOBODY


class World(NamedTuple):
    """Everything. ``marks[b]``: the read flags of block ``b``. ``owed[r]``: what reader ``r`` has not received."""

    written: Ints
    marks: tuple[Ints, ...]
    words: tuple[Ints, ...]
    writer: Person
    readers: tuple[Person, ...]
    owed: tuple[Ints, ...]


class Rules(NamedTuple):
    """Which ring, and which of the two policies."""

    readers: int
    blocks: int
    scan: bool
    aborts: bool


def start(rules: Rules) -> World:
    return World(
        (0,) * rules.blocks,
        ((0,) * rules.readers,) * rules.blocks,
        ((NOBODY,) * WORDS,) * rules.blocks,
        _at_the_start_of_a_write(rules, 0),
        (Person("sees own mark"),) * rules.readers,
        ((),) * rules.readers,
    )


def steps(world: World, rules: Rules) -> Iterator[World]:
    """Every world that is one access away."""
    for after in _writer_steps(world, rules):
        yield _named(after)
    for rank in range(rules.readers):
        for after in _reader_steps(world, rules, rank):
            yield _named(after)


def reach(rules: Rules) -> tuple[set[World], int]:
    """All worlds that can be reached, and how many steps there are between them."""
    first = start(rules)
    found, todo, count = {first}, [first], 0
    while todo:
        for after in steps(todo.pop(), rules):
            count += 1
            if after not in found:
                found.add(after)
                todo.append(after)
    return found, count


def _at_the_start_of_a_write(rules: Rules, block: int) -> Person:
    if rules.scan:
        return Person("sees marks", block, frozenset(range(rules.readers)))
    return Person("sees written", block)


def _writer_steps(world: World, rules: Rules) -> Iterator[World]:
    me = world.writer
    block, everybody = me.block, frozenset(range(rules.readers))
    claiming = world._replace(writer=Person("claims", block))
    following = (block + 1) % rules.blocks

    if me.at == "sees written":
        if world.written[block] == 0:
            yield claiming
        elif rules.scan:
            yield world._replace(writer=_at_the_start_of_a_write(rules, following))
        else:
            yield world._replace(writer=Person("sees marks", block, everybody))
    elif me.at == "sees marks":
        for rank in me.left:
            left = me.left - {rank}
            if world.marks[block][rank] == 0:
                yield world._replace(writer=Person("sees written", block))
            elif left:
                yield world._replace(writer=me._replace(left=left))
            else:
                yield claiming
    elif me.at == "claims":
        yield world._replace(written=_put(world.written, block, 0), writer=Person("fills", block))
    elif me.at == "fills":
        message = me.message if me.done else UNNAMED
        over = world.words[block][me.done]
        assert over == message or all(over not in queue for queue in world.owed), "an unread message is written over"
        filled = world._replace(words=_put(world.words, block, _put(world.words[block], me.done, message)))
        if me.done + 1 < WORDS:
            yield filled._replace(writer=me._replace(done=me.done + 1, message=message))
        else:
            owed = tuple((*queue, message) for queue in world.owed)
            yield filled._replace(writer=Person("clears", block, everybody), owed=owed)
        if rules.aborts:
            yield filled._replace(writer=_at_the_start_of_a_write(rules, block))
    elif me.at == "clears":
        for rank in me.left:
            left = me.left - {rank}
            cleared = world._replace(marks=_put(world.marks, block, _put(world.marks[block], rank, 0)))
            yield cleared._replace(writer=me._replace(left=left) if left else Person("publishes", block))
    else:
        assert me.at == "publishes"
        after = _at_the_start_of_a_write(rules, block if rules.scan else following)
        yield world._replace(written=_put(world.written, block, 1), writer=after)


def _reader_steps(world: World, rules: Rules, rank: int) -> Iterator[World]:
    me = world.readers[rank]
    following = (me.block + 1) % rules.blocks
    busy = Person("sees own mark", following if rules.scan else me.block)

    def now(person: Person) -> World:
        return world._replace(readers=_put(world.readers, rank, person))

    if me.at == "sees own mark":
        yield now(busy if world.marks[me.block][rank] else Person("sees publication", me.block))
    elif me.at == "sees publication":
        yield now(Person("reads", me.block) if world.written[me.block] else busy)
    elif me.at == "reads":
        word = world.words[me.block][me.done]
        assert me.done == 0 or word == me.message, "a torn message"
        if me.done + 1 < WORDS:
            yield now(me._replace(done=me.done + 1, message=word))
        else:
            queue = world.owed[rank]
            assert word in queue, "a stale message"
            assert rules.scan or word == queue[0], "a message out of order"
            owed = _put(world.owed, rank, tuple(message for message in queue if message != word))
            yield now(Person("marks", me.block))._replace(owed=owed)
        if rules.aborts:
            yield now(Person("sees own mark", me.block))
    else:
        assert me.at == "marks"
        assert not set(world.words[me.block]).intersection(world.owed[rank]), "a lost message"
        marked = _put(world.marks, me.block, _put(world.marks[me.block], rank, 1))
        yield now(Person("sees own mark", me.block if rules.scan else following))._replace(marks=marked)


def _put(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _named(world: World) -> World:
    """Messages get their numbers in the order in which they are met: owed first, then in hands, then in blocks."""
    names: dict[int, int] = {NOBODY: NOBODY}
    hands = (world.writer.message, *(reader.message for reader in world.readers))
    for values in (*world.owed, hands, *world.words):
        for value in values:
            names.setdefault(value, len(names))
    return world._replace(
        words=tuple(tuple(names[word] for word in block) for block in world.words),
        writer=world.writer._replace(message=names[world.writer.message]),
        readers=tuple(reader._replace(message=names[reader.message]) for reader in world.readers),
        owed=tuple(tuple(names[message] for message in queue) for queue in world.owed),
    )
