"""The encoder that the proofs read is the explorer's: walked in lockstep, for the shipped tables and for edited ones.

Rules: counts are pinned; of the shipped tables every way in which a row goes on is taken; every kind of edit is tried; each
fault that is planted in the encoder is found, and so is what is watched and false. Limits: small rings, and no more fills than
each test says: three laps of one or two blocks with one reader, three of one block or two of two blocks with more readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.checker.mutants import single_edits
from ringbuffer.errors import VariantError
from ringbuffer.model import Model
from ringbuffer.proof.images import image, lifted
from ringbuffer.proof.invariant import INVARIANT, Conjunct, Facts
from ringbuffer.proof.logic import Concrete, Logic
from ringbuffer.proof.refinement import MAPPING, STEPS
from ringbuffer.proof.relation import Neighbours, Relation, Step
from ringbuffer.proof.statements import OF_STATES, OF_STEPS, OfSteps
from ringbuffer.proof.validation import FILLS_MAX, compare, validate
from ringbuffer.proof.vocabulary import FIELDS, WRITER, State, Who, tabulated
from ringbuffer.protocol import PROTOCOL, Edge, Instruction, Variant
from ringbuffer.protocol.properties import RACE, SAFETY
from ringbuffer.state import ABORT, Setup

Change = Callable[[State, Step], tuple[Step, ...]]


# The shipped tables.


@pytest.mark.parametrize(
    ("readers", "blocks", "words", "fills", "counts"),
    [
        (1, 1, 1, 5, (584, 1299)),
        (1, 1, 2, 4, (466, 1100)),
        (2, 1, 1, 3, (578, 2106)),
        (2, 1, 2, 3, (862, 3303)),
        (1, 2, 1, 5, (1590, 3793)),
        (1, 2, 2, 4, (1373, 3568)),
        (3, 1, 1, 2, (1256, 6664)),
        (2, 2, 1, 3, (2580, 9520)),
        (2, 2, 2, 2, (1395, 5472)),
    ],
)
def test_the_encoder_is_the_explorer_and_the_invariant_holds(
    readers: int, blocks: int, words: int, fills: int, counts: tuple[int, int]
) -> None:
    found = validate(readers, blocks, words, fills=fills, elsewhere=readers * blocks == 1)
    assert found.fault is None
    assert found.complete
    assert found.beyond, "the walk ends at the bound on fills, not before"
    assert (found.pairs, found.transitions) == counts
    assert not found.broken


def test_every_way_in_which_a_row_goes_on_is_taken() -> None:
    """So no obligation about a row is vacuous. With one reader and one word some rows are over at once."""
    found = compare(PROTOCOL, 2, 1, 2, fills=2)
    assert not found.untaken
    branches = {
        (one.row.id, branch.edge) for table in PROTOCOL.programs for one in table.instructions for _, branch in one.branches
    }
    assert found.offered == branches | {(row, None) for row in ("W2", "W4", "W5", "R3")}
    assert compare(PROTOCOL, 1, 1, 1).untaken == {(row, None) for row in ("W2", "W4", "W5", "R3")}


def test_what_follows_from_the_invariant_holds_of_every_state_and_step() -> None:
    found = compare(PROTOCOL, 1, 2, 2, states=(*OF_STATES, *MAPPING), steps=(*OF_STEPS, *STEPS), elsewhere=False)
    assert found.fault is None
    assert found.complete


def test_read_flags_may_start_as_1() -> None:
    for readers, blocks in ((2, 1), (1, 2)):
        variant = PROTOCOL.replace(initial_read_flag=1)
        found = compare(variant, readers, blocks, 1, states=(*INVARIANT, *OF_STATES), elsewhere=False)
        assert found.fault is None
        assert found.complete


# The initial state.


def _start(readers: int, blocks: int, flag: int = 0) -> tuple[Model, Concrete, Relation, State]:
    variant = PROTOCOL.replace(initial_read_flag=flag)
    model = Model(Setup(variant, readers, blocks), lasting=True)
    logic = Concrete(readers, blocks, 2, FILLS_MAX)
    relation = Relation(variant, logic, Neighbours.of(readers))
    return model, logic, relation, lifted(model.initial(), model.shape, logic)


@pytest.mark.parametrize("flag", [0, 1])
def test_the_initial_state_is_the_explorers(flag: int) -> None:
    model, _, relation, state = _start(2, 2, flag)
    assert relation.initial(state)
    assert image(state, model.shape) == model.initial()


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"log"}))
def test_a_state_with_any_other_value_is_not_initial(name: str) -> None:
    """Of the log nothing is said: no message is in it yet."""
    _, logic, relation, state = _start(2, 2)
    for key, value in [one[1:] for one in values_of(state) if one[0] == name]:
        assert not relation.initial(tabulated(state.put(name, key, 1 - value), logic, state))


# Edited tables, up to the first fault of each run.

EDITED = (
    ("without=W2", (1, 2, 1), ""),
    ("without=W3", (2, 1, 1), ""),
    ("without=W1 without=W5", (2, 1, 1), ""),
    ("without=R1", (1, 2, 1), "exclusion stale"),
    ("without=R1 without=R2 without=R4", (1, 1, 2), "exclusion stale"),
    ("swap=W5,W6", (1, 2, 1), "stale"),
    ("swap=R3,R4", (2, 1, 1), "exclusion overwritten"),
    ("move=W6,W4", (1, 1, 2), "exclusion stale torn"),
    ("redirect=W4,aborted,next", (2, 1, 1), "stale"),
    ("redirect=R1,1,next", (1, 2, 1), "exclusion stale"),
    ("redirect=W2,0,found", (1, 2, 1), "exclusion lost overwritten"),
    ("redirect=W2,0,wait redirect=W1,1,wait", (1, 2, 1), ""),
    ("flip=W1", (2, 1, 1), ""),
    ("flip=R2", (1, 2, 1), "exclusion stale"),
    ("flip=R4", (1, 2, 1), "stale"),
    ("retarget=R1,each", (1, 2, 1), ""),
    ("retarget=R1,each", (2, 1, 1), "exclusion stale"),
    ("retarget=R4,neighbour", (2, 1, 1), "exclusion stale"),
    ("retarget=R1,but-last", (1, 1, 1), ""),
    ("retarget=W5,but-last", (2, 1, 1), "overwritten"),
    ("retarget=W5,but-last", (1, 2, 1), ""),
    ("retarget=W2,but-last", (2, 1, 1), "exclusion lost overwritten"),
    ("retarget=W2,but-last", (1, 2, 1), "exclusion lost overwritten"),
    ("retarget=W1,each", (2, 1, 1), "exclusion lost overwritten"),
    ("retarget=R1,own retarget=R4,written", (2, 1, 1), "stale"),
    ("missing-readers=1", (2, 1, 1), "exclusion lost overwritten"),
    ("missing-readers=2", (1, 2, 1), "exclusion lost overwritten"),
    ("advance=writer,0", (2, 1, 1), ""),
    ("advance=reader,0", (1, 2, 1), "reordered"),
    ("advance=reader,2", (1, 3, 1), "reordered"),
    ("advance=reader,2 without=R4", (1, 3, 1), "reordered"),
    ("policy=scan", (1, 2, 1), "reordered"),
    ("fence-before=R4,seq-cst", (1, 2, 1), ""),
    ("fence-after=W6,release fence-before=W1,acquire", (1, 2, 1), ""),
    ("lock-before=R4", (1, 2, 1), ""),
    ("lock-after=W3 without=R4", (2, 1, 1), "stale"),
    ("initial-read-flag=1 without=W5", (2, 1, 1), "overwritten"),
)
"""Edits of every kind, each on a ring of readers × blocks × words that shows what it does, and what its steps break.

One that delivers out of order and is done with the block in the same step has not lost what it delivered: the last but one of
the advances.
"""
PAIRS_MAX_OF_EDITED = 600


@pytest.mark.parametrize(("edits", "ring", "broken"), EDITED)
def test_an_edited_table_is_encoded_as_it_is_explored(edits: str, ring: tuple[int, int, int], broken: str) -> None:
    variant = Variant.parse(*edits.split())
    found = compare(variant, *ring, fills=ring[1] + 1, pairs_max=PAIRS_MAX_OF_EDITED, elsewhere=False)
    assert found.fault is None
    assert " ".join(sorted(found.broken)) == broken


def test_every_property_is_broken_by_one_of_them() -> None:
    """So the encoder's judgement of each is compared where it is true, too."""
    assert {name for _, _, broken in EDITED for name in broken.split()} == set(SAFETY) - {RACE}


SINGLE = tuple(one for edits in single_edits() for one in edits.split())
OTHERS = tuple(
    f"{operation}-{side}={row}{ordering}"
    for operation, ordering in (("fence", ",seq-cst"), ("lock", ""))
    for side in ("before", "after")
    for row in ("W1", "W4", "W6", "R1", "R3", "R4")
)
RINGS = ((1, 1, 2), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 3, 1))


@st.composite
def variants(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Variant:
    """The shipped tables after edits that can be made."""
    edits: list[str] = []
    for one in draw(st.lists(st.sampled_from(SINGLE + OTHERS), min_size=2, max_size=5)):
        try:
            made = Variant.parse(*edits, one)
            assert made.programs
        except VariantError:
            continue
        edits.append(one)
    return Variant.parse(*edits)


@settings(derandomize=True, deadline=None, database=None, max_examples=30)
@given(variant=variants(), ring=st.sampled_from(RINGS))
def test_so_is_a_table_edited_at_random(variant: Variant, ring: tuple[int, int, int]) -> None:
    found = compare(variant, *ring, pairs_max=120, elsewhere=False)
    assert found.fault is None, found


# Planted faults.


class Planted(Relation):
    """An encoder with a fault: each step of one row has become none, another one, or two."""

    row: str
    change: Change

    def steps_of_row(self, state: State, who: Who, instruction: Instruction) -> Iterator[Step]:
        for step in super().steps_of_row(state, who, instruction):
            yield from type(self).change(state, step) if step.row == self.row else (step,)


def planted(row: str, change: Change) -> type[Relation]:
    """An encoder in which the steps of a row are changed."""
    return type("PlantedHere", (Planted,), {"row": row, "change": staticmethod(change)})


def a_past_that_changes(state: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, after=step.after.put("log", (0,), 0)) if state["accepted"]() > 1 else step,)


def a_lap_that_is_not_counted(state: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, after=step.after.put_of(WRITER, base=state.of(WRITER, "base"))),)


def zeros_counted_twice(_: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, after=step.after.put_of(WRITER, zeros=1)) if step.edge is None else step,)


def an_abort_that_does_not_write(state: State, step: Step) -> tuple[Step, ...]:
    where = (state.of(WRITER, "block"), state.of(WRITER, "word"))
    return (replace(step, after=step.after.put("payload", where, state["payload"](*where))) if step.detail == ABORT else step,)


def a_fill_that_is_not_counted(state: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, after=step.after.put("begun", (), state["begun"]())),)


def a_cursor_that_stays(state: State, step: Step) -> tuple[Step, ...]:
    if step.delivers is None:
        return (step,)
    key = step.who.key()
    return (replace(step, after=step.after.put("cursor", key, state["cursor"](*key))),)


def a_visit_that_is_forgotten(_: State, step: Step) -> tuple[Step, ...]:
    todo = step.after.put("writer.todo", (step.detail,), True)
    return (replace(step, after=todo) if step.edge is None else step,)


def a_lock_that_is_not_taken(_: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, after=step.after.put_of(step.who, lock=0)),)


def no_waiting(_: State, step: Step) -> tuple[Step, ...]:
    return () if step.edge is Edge.WAITED else (step,)


def anywhere(_: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, guard=True),)


def twice(_: State, step: Step) -> tuple[Step, ...]:
    return (step, step)


def one_more(_: State, step: Step) -> tuple[Step, ...]:
    return (step, replace(step, detail=step.detail + 2))


def another_detail(_: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, detail=step.detail + 2),)


def always_lost(_: State, step: Step) -> tuple[Step, ...]:
    return (step.breaking(lost=True),)


def nothing_broken(_: State, step: Step) -> tuple[Step, ...]:
    return (replace(step, broken={}),)


@pytest.mark.parametrize(
    ("row", "change", "edits", "text"),
    [
        (
            "W2",
            zeros_counted_twice,
            "",
            "writer at W2, detail 0: writer's zeros becomes 1 to the encoder, and 0 to the explorer",
        ),
        (
            "W4",
            an_abort_that_does_not_write,
            "",
            "writer at W4, detail 1: payload[0] becomes (0, 0) to the encoder, and (1, 0)",
        ),
        ("W4", a_fill_that_is_not_counted, "", "begun becomes 0 to the encoder, and 1 to the explorer"),
        ("R3", a_cursor_that_stays, "", "owed to reader 0 becomes (1,) to the encoder, and () to the explorer"),
        ("W5", a_visit_that_is_forgotten, "", "writer's todo becomes 3 to the encoder, and 2 to the explorer"),
        ("L1", a_lock_that_is_not_taken, "lock-before=R4", "reader 0's lock becomes 0 to the encoder, and 1 to the explorer"),
        ("R2", no_waiting, "", "reader 0 at R2, detail 0: only the explorer can take this step"),
        ("R4", anywhere, "", "the encoder can take it in two ways, at R1 and R4"),
        ("W4", one_more, "", "writer at W4, detail 2: only the encoder can take this step"),
        ("W3", twice, "", "the encoder can take it in two ways, at W3 and W3"),
        ("W6", another_detail, "", "only the explorer can take this step"),
        ("R4", always_lost, "", "it breaks lost to the encoder, and nothing to the explorer"),
        ("R3", nothing_broken, "without=R1 without=R2", "it breaks nothing to the encoder, and stale to the explorer"),
        ("W6", a_lap_that_is_not_counted, "", "accepted does not hold in the state"),
        ("W6", a_past_that_changes, "", "numbers does not hold in the state"),
    ],
)
def test_a_planted_fault_is_found(row: str, change: Change, edits: str, text: str) -> None:
    """The last two are faults of ghosts, of which the explorer knows nothing: the invariant is false of them."""
    watched = () if edits else INVARIANT
    found = compare(Variant.parse(*edits.split()), 2, 1, 2, states=watched, encoder=planted(row, change))
    assert text in str(found)
    assert not found.complete


def test_a_wrong_initial_state_is_found() -> None:
    class Elsewhere(Relation):
        def initial(self, state: State) -> bool:
            return bool(super().initial(state)) and state["begun"]() == 1

    assert "the explorer's initial state is none of the encoder's" in str(compare(encoder=Elsewhere))


def test_no_conjunct_holds_of_just_anything() -> None:
    """Each is false of some reachable state of which one value is changed."""
    reached: list[Facts] = []

    def remember(facts: Facts, _: Logic) -> bool:
        reached.append(facts)
        return True

    compare(PROTOCOL, 1, 2, 2, fills=2, states=[Conjunct("met", "it was reached", remember)], elsewhere=False)
    held = {one.name: one.formula for one in INVARIANT}
    for facts in reached:
        for name, key, value in values_of(facts.state):
            for other in (1 - value, 2) if name in ("written", "read") else (1 - value,):
                changed = Facts(facts.relation, facts.state.put(name, key, other))
                held = {one: formula for one, formula in held.items() if formula(changed, facts.logic)}
    assert not held


def values_of(state: State) -> list[tuple[str, tuple[int, ...], int]]:
    """Every value of a state in tables: the field, its arguments, and what it says of them."""
    return [(name, *one) for name in FIELDS for one in state[name].values.items()]  # type: ignore[attr-defined]


def test_a_false_statement_is_found() -> None:
    few = Conjunct("few", "at most one fill has begun", lambda f, _: f.begun < 2)
    assert "few does not hold in the state" in str(compare(states=[*INVARIANT, few]))
    silent = OfSteps("silent", "nothing is delivered", lambda f, step: step.delivers and f.logic.true)
    assert "reader 0 at R3, detail 0: it breaks silent" in str(compare(steps=[*OF_STEPS, silent]))


def test_a_walk_that_is_cut_says_so() -> None:
    found = compare(pairs_max=20)
    assert not found.complete
    assert found.fault is None
    assert str(found) == (
        "shipped: 1 readers × 1 blocks × 1 words: 20 pairs of states, 43 transitions, at most 3 fills begun: "
        "agreed as far as it went, which is not all"
    )
