"""Shared by the tests of the protocol: edited tables at random, tables in words, and whole graphs of states."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from hand_written import RowText
from hypothesis import strategies as st

from ringbuffer import checker
from ringbuffer.checker import Result
from ringbuffer.protocol import PROTOCOL, Branch, Edge, Ordering, Program, Variant
from ringbuffer.simulator import Model, State, Transition


def in_words(program: Program) -> tuple[RowText, ...]:
    """The rows of a resolved program as the design writes them: where each outcome leads, as a clause id."""

    def words(branch: Branch) -> str:
        row_id = program[branch.pc].row.id
        block = ", next block" if branch.advance else ", same block"
        if branch.edge is Edge.FORWARD:
            assert not branch.advance
            return row_id
        if branch.edge is Edge.WAITED:
            return f"wait, then {row_id}{block if branch.advance else ''}"
        return row_id + block

    rows: list[RowText] = []
    for instruction in program.instructions:
        access = instruction.row.access
        flag = None if access.flag is None else access.flag.value
        leads = {outcome.value: words(branch) for outcome, branch in instruction.branches}
        rows.append((instruction.row.id, access.kind.value, flag, access.value, leads))
    return tuple(rows)


@st.composite
def variants(draw: Callable[[st.SearchStrategy[Any]], Any], *, keep: tuple[str, ...] = (), edits_max: int = 6) -> Variant:
    """The shipped tables after random edits, of which each makes sense. ``keep``: rows that are not dropped.

    No table loses its last row.
    """
    variant = PROTOCOL
    for _ in range(draw(st.integers(0, edits_max))):
        sides = (variant.writer.rows, variant.reader.rows)
        pairs = [(a.id, b.id) for rows in sides for a in rows for b in rows if a is not b]
        droppable = [row.id for rows in sides for row in rows if len(rows) > 1 and row.id not in keep]
        ordered = [row.id for rows in sides for row in rows if row.access.ordering in (Ordering.ACQUIRE, Ordering.RELEASE)]
        possible = ["policy", "initial-read-flag"]
        possible += ["swap", "move"] if pairs else []
        possible += ["without"] if droppable else []
        possible += ["weaken"] if ordered else []
        possible += ["missing-readers"] if any(row.id == "W2" for row in variant.writer.rows) else []
        match draw(st.sampled_from(possible)):
            case "policy":
                variant = variant.replace(policy=draw(st.sampled_from(["ring", "scan"])))
            case "initial-read-flag":
                variant = variant.replace(initial_read_flag=draw(st.integers(0, 1)))
            case "swap":
                variant = variant.swapped(*draw(st.sampled_from(pairs)))
            case "move":
                row_id, before = draw(st.sampled_from(pairs))
                variant = variant.moved(row_id, before=before)
            case "without":
                variant = variant.without(draw(st.sampled_from(droppable)))
            case "weaken":
                variant = variant.weakened(draw(st.sampled_from(ordered)))
            case _:
                variant = variant.replace(missing_readers=draw(st.integers(0, 3)))
    return variant


STATES_MAX = 50_000
"""More than any question of these tests needs: a checker or a protocol that goes wrong ends there, not at a time-out."""

Edges = list[list[tuple[Transition, int]]]


def explore(*arguments: Any, **options: Any) -> Result:
    """Ask the explorer without its reductions; it gives up at :data:`STATES_MAX` unless told otherwise."""
    return checker.explore(*arguments, **{"max_states": STATES_MAX, "reductions": (), **options})


def whole_graph(model: Model, states_max: int = STATES_MAX) -> tuple[list[State], Edges]:
    """Every state that ``model`` can reach, in the order of breadth, and for each its steps and where they lead."""
    states = [model.initial()]
    numbers: dict[Hashable, int] = {states[0]: 0}
    edges: Edges = []
    for state in states:
        assert len(states) <= states_max, "the graph is larger than the test says"
        leaving = []
        for transition in model.transitions(state):
            target = numbers.setdefault(transition.state, len(states))
            if target == len(states):
                states.append(transition.state)
            leaving.append((transition, target))
        edges.append(leaving)
    return states, edges
