"""Rows as numbers: what the extension in C (``_native.c``) is handed. This is the one place where the numbers are made.

A row is a flat tuple: kind, ordering, flag, value, how many flags may be missing, and then for each outcome (0, 1, done,
aborted) an edge, a program counter and a number of blocks to go on. Where there is nothing to say (a fence has no flag, a store
no outcome 0) the number is 0, which stands for nothing among the flags and among the edges.

Rules: pure; an encoded program says all that an interpreter of rows needs, and nothing of the protocol. Limits: ids, titles and
reasons stay behind.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ringbuffer.protocol import Edge, Flag, Instruction, Kind, Ordering, Outcome, Program

NOTHING: Final = 0
KINDS: Final = {
    Kind.LOAD: 0,
    Kind.STORE: 1,
    Kind.EXCHANGE: 2,
    Kind.FENCE: 3,
    Kind.FILL: 4,
    Kind.READ: 5,
    Kind.SLEEP: 6,
    Kind.WAKE: 7,
}
ORDERINGS: Final = {
    Ordering.PLAIN: 0,
    Ordering.RELAXED: 1,
    Ordering.ACQUIRE: 2,
    Ordering.RELEASE: 3,
    Ordering.ACQ_REL: 4,
    Ordering.SEQ_CST: 5,
}
FLAGS: Final = {
    Flag.WRITTEN: 1,
    Flag.OWN: 2,
    Flag.EACH: 3,
    Flag.NEIGHBOUR: 4,
    Flag.BUT_LAST: 5,
    Flag.LOCK: 6,
    Flag.POSITION: 7,
    Flag.AWAKE: 8,
    Flag.OTHERS_AWAKE: 9,
}
OUTCOMES: Final = {Outcome.ZERO: 0, Outcome.ONE: 1, Outcome.DONE: 2, Outcome.ABORTED: 3}
EDGES: Final = {Edge.FORWARD: 1, Edge.WAITED: 2, Edge.RESTARTED: 3, Edge.FINISHED: 4, Edge.RETURNED: 5}

EncodedRow: TypeAlias = tuple[int, ...]


def encode(program: Program) -> tuple[EncodedRow, ...]:
    """The rows of ``program`` as numbers, in their order."""
    return tuple(_row(instruction) for instruction in program.instructions)


def _row(instruction: Instruction) -> EncodedRow:
    access = instruction.row.access
    flag = NOTHING if access.flag is None else FLAGS[access.flag]
    branches = [NOTHING] * (3 * len(OUTCOMES))
    for outcome, branch in instruction.branches:
        start = 3 * OUTCOMES[outcome]
        branches[start : start + 3] = EDGES[branch.edge], branch.pc, branch.advance
    return (KINDS[access.kind], ORDERINGS[access.ordering], flag, access.value or 0, access.missing_allowed, *branches)
