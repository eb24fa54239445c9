"""Shared by the tests of the protocol: edited tables at random, tables in words, and whole graphs of states."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from hand_written import RowText
from hypothesis import strategies as st

from ringbuffer import checker
from ringbuffer.checker import Result
from ringbuffer.protocol import PROTOCOL, Branch, Edge, Flag, Kind, Ordering, Program, Row, Variant
from ringbuffer.simulator import Model, State, Transition


def in_words(program: Program) -> tuple[RowText, ...]:
    """The rows of a resolved program as the design writes them: where each outcome leads, as a clause id."""

    def words(branch: Branch) -> str:
        row_id = program[branch.pc].row.id
        block = (", same block", ", next block", ", next block but one")[branch.advance]
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


Draw = Callable[[st.SearchStrategy[Any]], Any]

LOOK_PLACES = ("next", "found", "otherwise", "wait", "restart")
PLACES = ("next", "wait", "restart")
"""Where an outcome may be led: a look's anywhere, another row's to where no look is needed."""
FENCES = ("acquire", "release", "acq-rel", "seq-cst")
ORDERINGS = {
    Kind.LOAD: ("relaxed", "acquire"),
    Kind.STORE: ("relaxed", "release"),
    Kind.EXCHANGE: ("relaxed", "acquire", "release", "acq_rel"),
    Kind.FENCE: ("acquire", "release", "acq_rel", "seq_cst"),
}
"""What an access of each kind can be made, as C11 has it."""
READERS_FLAGS = ("written", "own", "neighbour", "each", "but-last")
WRITERS_FLAGS = ("written", "each", "but-last")

FENCES_AND_LOCKS = ("fence", "lock")
"""The operations that compiled Python cannot run."""
OTHER_PLACES = ("redirect", "flip", "retarget")
"""The operations after which a row may lead elsewhere, or ask something else, than its place among the looks says."""


def _operations(variant: Variant, keep: tuple[str, ...]) -> dict[str, st.SearchStrategy[tuple[Any, ...]]]:
    """The operations that make sense on ``variant``, each with its arguments."""
    sides = (variant.writer, variant.reader)
    rows = [row for table in sides for row in table.rows]
    pairs = [(a.id, b.id) for table in sides for a in table.rows for b in table.rows if a is not b]
    arguments: dict[str, list[tuple[Any, ...]]] = {
        "without": [(row.id,) for table in sides for row in table.rows if len(table.rows) > 1 and row.id not in keep],
        "swap": pairs,
        "move": pairs,
        "weaken": [
            (row.id,)
            for row in rows
            if row.access.ordering in (Ordering.ACQUIRE, Ordering.RELEASE) and row.access.kind is not Kind.FENCE
        ],
        "order": [(row.id, word) for row in rows for word in ORDERINGS.get(row.access.kind, ())],
        "redirect": [
            (row.id, outcome.value, place)
            for row in rows
            for outcome, _ in row.then
            for place in (LOOK_PLACES if row.is_look else PLACES)
        ],
        "flip": [(row.id,) for row in rows if row.access.kind in (Kind.LOAD, Kind.STORE)],
        "retarget": [
            (row.id, flag)
            for table, flags in zip(sides, (WRITERS_FLAGS, READERS_FLAGS), strict=True)
            for row in table.rows
            if row.access.flag is not None
            for flag in flags
        ],
        "advance": [(side, blocks) for side in ("writer", "reader") for blocks in range(3)],
        "fence": [(row.id, side, word) for row in rows for side in ("before", "after") for word in FENCES],
        "lock": [(row.id, side) for row in rows for side in ("before", "after")],
        "policy": [("ring",), ("scan",)],
        "initial-read-flag": [(0,), (1,)],
        "missing-readers": [(count,) for count in range(4) if any(map(_counts_readers, variant.writer.rows))],
    }
    return {name: st.sampled_from(possible) for name, possible in arguments.items() if possible}


def _counts_readers(row: Row) -> bool:
    return row.is_look and row.access.flag in (Flag.EACH, Flag.BUT_LAST)


def edited(variant: Variant, operation: str, *arguments: Any) -> Variant:
    """One edit more, made by the method that makes it."""
    match operation:
        case "move":
            return variant.moved(arguments[0], before=arguments[1])
        case "fence":
            row_id, side, ordering = arguments
            return variant.fenced(ordering, **{side: row_id})
        case "lock":
            row_id, side = arguments
            return variant.locked(**{side: row_id})
        case "policy":
            return variant.replace(policy=arguments[0])
        case "initial-read-flag":
            return variant.replace(initial_read_flag=arguments[0])
        case "missing-readers":
            return variant.replace(missing_readers=arguments[0])
    made: dict[str, Callable[..., Variant]] = {
        "without": variant.without,
        "swap": variant.swapped,
        "weaken": variant.weakened,
        "order": variant.ordered,
        "redirect": variant.redirected,
        "flip": variant.flipped,
        "retarget": variant.retargeted,
        "advance": variant.advancing,
    }
    return made[operation](*arguments)


@st.composite
def variants(draw: Draw, *, keep: tuple[str, ...] = (), edits_max: int = 6, never: tuple[str, ...] = ()) -> Variant:
    """The shipped tables after random edits, of which each makes sense.

    ``keep``: rows that are not dropped. ``never``: operations that are not drawn. No table loses its last row.
    """
    variant = PROTOCOL
    for _ in range(draw(st.integers(0, edits_max))):
        possible = {name: arguments for name, arguments in _operations(variant, keep).items() if name not in never}
        operation = draw(st.sampled_from(sorted(possible)))
        variant = edited(variant, operation, *draw(possible[operation]))
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
