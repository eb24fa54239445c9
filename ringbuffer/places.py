"""What each row touches: the rows of an actor with the locations of their accesses looked up, block by block.

Rules: computed once per model from the tables; nothing here depends on a state. Limits: it names locations by
:class:`~ringbuffer.memory.base.Shape`, so it speaks of simulated rings only.
"""

from __future__ import annotations

from typing import NamedTuple

from ringbuffer.memory.base import NOBODY, Footprint, Shape
from ringbuffer.protocol import Access, Branch, Edge, Flag, Instruction, Kind, Outcome, Program, Row
from ringbuffer.protocol import oracle as judge
from ringbuffer.protocol.program import FIRST_PC
from ringbuffer.state import Actor


class Place(NamedTuple):
    """A row of one actor, with what its steps ask of it looked up."""

    row: Row
    access: Access
    kind: Kind
    several: bool
    is_payload: bool
    is_of_block: bool
    """Whether it touches flags of the actor's block."""
    branches: dict[Outcome, Branch]
    locations: tuple[tuple[int, ...], ...]
    """Block by block, the flags that it touches: one, or one for each rank."""
    starts: tuple[Actor, ...]
    """Block by block, an actor that has come to this row."""
    is_last: bool
    """Whether only fences, locks and notes stand behind it: with this row the actor is done with its block."""


def places_of(
    shape: Shape, actor: int, program: Program, *, last: int | None = None, one_word: bool = False
) -> tuple[Place, ...]:
    """The rows of an actor, by program counter. ``last``: the one with which it is done with its block, where that is known.
    ``one_word``: whether the first reader's word is that of all readers who sleep."""
    last = last_touch(program) if last is None else last
    return tuple(_place(shape, actor, one, one_word, is_last=one.pc == last) for one in program.instructions)


def last_touch(program: Program) -> int:
    """The row with which an actor is done with its block: only fences, locks and notes stand behind it in the table."""
    rows = program.instructions[: table_end(program)]
    return max((one.pc for one in rows if _touches_the_block(one.row)), default=0)


def table_end(program: Program) -> int:
    """How many rows of a program are its table's: behind them stands how the actor wakes others, and how it sleeps."""
    beyond = (Edge.FINISHED, Edge.WAITED)
    edges = [branch for one in program.instructions for _, branch in one.branches if branch.edge in beyond]
    return min((branch.pc for branch in edges if branch.pc != FIRST_PC), default=len(program))


def _touches_the_block(row: Row) -> bool:
    return row.access.kind is not Kind.FENCE and (row.access.flag is None or row.access.flag.is_of_block)


def _place(shape: Shape, actor: int, instruction: Instruction, one_word: bool, *, is_last: bool) -> Place:
    row, blocks = instruction.row, range(shape.blocks)
    if row.access.flag in (Flag.AWAKE, Flag.OTHERS_AWAKE):
        locations = (_words(shape, actor, row.access, one_word),) * shape.blocks
    else:
        locations = tuple(_locations(shape, actor, row.access.flag, block) for block in blocks)
    several = row.access.is_several
    todo = (1 << len(locations[0])) - 1 if several else 0
    starts = tuple(Actor(instruction.pc, block, todo, 0, 0, judge.NO_MESSAGE) for block in blocks)
    access, flag, branches = row.access, row.access.flag, dict(instruction.branches)
    of_block = flag is not None and flag.is_of_block
    return Place(row, access, access.kind, several, row.is_payload, of_block, branches, locations, starts, is_last)


def _locations(shape: Shape, actor: int, flag: Flag | None, block: int) -> tuple[int, ...]:
    """The locations that stand for a flag in one block, for that actor."""
    rank = shape.ranks[actor]
    match flag:
        case Flag.WRITTEN:
            return (shape.flag(block, 0),)
        case Flag.OWN:
            return (shape.flag(block, 1 + rank),)
        case Flag.NEIGHBOUR:
            return (shape.flag(block, 1 + (rank + 1) % shape.readers),)
        case Flag.EACH | Flag.BUT_LAST:
            count = shape.readers - (flag is Flag.BUT_LAST)
            return tuple(shape.flag(block, 1 + other) for other in range(count))
        case Flag.LOCK:
            return (shape.lock(actor),)
    return ()


def _words(shape: Shape, actor: int, access: Access, one_word: bool) -> tuple[int, ...]:
    """Whose words that say who is awake an access touches; for a wake, the kernel's queues behind them; for a sleep, both.

    A process sleeps on the word of its role: a second one of a rank on the first one's.
    """
    writers, is_writer = shape.ranks.count(NOBODY), shape.ranks[actor] == NOBODY
    readers = range(writers, writers + (1 if one_word else shape.readers))
    mine = 0 if is_writer else readers[0 if one_word else shape.ranks[actor]]
    owners = (mine,) if access.flag is Flag.AWAKE else tuple(readers) if is_writer else (0,)
    if access.kind is Kind.SLEEP:
        return shape.awake(mine), shape.queue(mine)
    return tuple(map(shape.queue if access.kind is Kind.WAKE else shape.awake, owners))


def footprint(places: tuple[Place, ...]) -> Footprint:
    """What an actor with these rows can do at all."""
    loads: set[int] = set()
    stores: set[int] = set()
    queues: set[int] = set()
    for place in places:
        found = {location for block in place.locations for location in block}
        loads |= found if place.kind in (Kind.LOAD, Kind.EXCHANGE, Kind.SLEEP, Kind.WAKE) else set()
        stores |= found if place.kind in (Kind.STORE, Kind.EXCHANGE, Kind.SLEEP, Kind.WAKE) else set()
        queues |= {block[-1] for block in place.locations if place.kind is Kind.SLEEP}
        queues |= found if place.kind is Kind.WAKE else set()
    fences = frozenset(place.access.ordering for place in places if place.kind is Kind.FENCE)
    kinds = {place.kind for place in places}
    return Footprint(
        frozenset(loads), frozenset(stores), fences, Kind.READ in kinds, Kind.FILL in kinds, exchanges=frozenset(queues)
    )
