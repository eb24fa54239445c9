"""A table with its places filled in: what every interpreter of the rows runs.

``resolve`` turns the relative words of a :class:`~ringbuffer.protocol.table.Table` (next, found, otherwise, wait, restart)
into program counters. Rules: pure; a program is frozen and hashable; every branch goes forward in the order of the rows or
back to the first row (an edit may also lead back to the first row behind the looks). Limits: it says nothing of values,
indices or memory; interpreters keep those.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringbuffer.errors import VariantError
from ringbuffer.protocol.table import Outcome, Role, Row, Table, Then

FIRST_PC = 0


class Edge(enum.Enum):
    """Which kind of step a branch is."""

    FORWARD = "forward"
    """To a later row, about the same block."""
    WAITED = "waited"
    """To the first row, or to lying down (``waking.py``), because the block is busy."""
    RESTARTED = "restarted"
    """Back, because the caller gave up: to the first row (in an edited table also to the first behind the looks)."""
    FINISHED = "finished"
    """The actor is done with its block: to the first row, or to what follows a block (``waking.py``)."""
    RETURNED = "returned"
    """To the first row, because what follows a block, or a sleep, is over."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Where one outcome leads: a program counter, how many blocks the actor goes on, and which kind of step that is."""

    pc: int
    advance: int
    edge: Edge


@dataclass(frozen=True, slots=True)
class Instruction:
    """A row at its place in a program."""

    pc: int
    row: Row
    branches: tuple[tuple[Outcome, Branch], ...]

    def branch(self, outcome: Outcome) -> Branch:
        """Where ``outcome`` leads. Raises ``KeyError`` for an outcome that the row's access cannot have."""
        for own, branch in self.branches:
            if own is outcome:
                return branch
        raise KeyError(outcome)


@dataclass(frozen=True, slots=True)
class Program:
    """The instructions of one side, in order; the first is where an actor starts on a block."""

    role: Role
    instructions: tuple[Instruction, ...]

    def __getitem__(self, pc: int) -> Instruction:
        return self.instructions[pc]

    def __len__(self) -> int:
        return len(self.instructions)

    def pc_of(self, row_id: str) -> int:
        """The program counter of the row with that clause id. Raises ``KeyError`` if the program has no such row."""
        for instruction in self.instructions:
            if instruction.row.id == row_id:
                return instruction.pc
        raise KeyError(row_id)


def resolve(table: Table) -> Program:
    """Fill in the places of ``table``. Raises :class:`VariantError` for a table without rows."""
    if not table.rows:
        raise VariantError(f"the {table.role.value}'s table has no rows left: there is nothing that it could do")
    looks = [pc for pc, row in enumerate(table.rows) if row.is_look]
    last_look = looks[-1] if looks else FIRST_PC - 1

    def forward(pc: int) -> Branch:
        if pc < len(table.rows):
            return Branch(pc, 0, Edge.FORWARD)
        return Branch(FIRST_PC, table.advance_after_use, Edge.FINISHED)

    def branch(pc: int, then: Then) -> Branch:
        match then:
            case Then.NEXT:
                return forward(pc + 1)
            case Then.FOUND:
                return forward(last_look + 1) if pc <= last_look else Branch(last_look + 1, 0, Edge.RESTARTED)
            case Then.OTHERWISE:
                return forward(pc + 1) if pc < last_look else branch(pc, table.undecided)
            case Then.WAIT:
                return Branch(FIRST_PC, table.advance_while_waiting, Edge.WAITED)
        assert then is Then.RESTART, "all the others are above"
        return Branch(FIRST_PC, 0, Edge.RESTARTED)

    return Program(
        table.role,
        tuple(
            Instruction(pc, row, tuple((outcome, branch(pc, then)) for outcome, then in row.then))
            for pc, row in enumerate(table.rows)
        ),
    )
