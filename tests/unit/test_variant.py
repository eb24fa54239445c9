"""Edits of the tables: what each one makes of the resolved rows, that they compose, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from edits import in_words, variants
from hypothesis import given, settings

from ringbuffer.errors import RingBufferError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Edit, Ordering, Row, Variant
from ringbuffer.protocol.variant import MISSING_READERS_MAX


def leads(variant: Variant) -> dict[str, dict[str, str]]:
    """Where each outcome of each row leads, by clause id."""
    return {row_id: where for program in variant.programs for row_id, _, _, _, where in in_words(program)}


def changed(variant: Variant) -> dict[str, dict[str, str]]:
    """The rows that lead elsewhere than in the shipped tables, and where they lead."""
    shipped = leads(PROTOCOL)
    return {row_id: where for row_id, where in leads(variant).items() if where != shipped[row_id]}


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (PROTOCOL, {}),
        (PROTOCOL.without("W1"), {"W2": {"1": "W3", "0": "wait, then W2"}, "W4": {"done": "W5", "aborted": "W2, same block"}}
            | {"W6": {"done": "W2, next block"}}),
        (PROTOCOL.without("W2"), {"W1": {"0": "W3", "1": "wait, then W1"}}),
        (PROTOCOL.without("W3"), {"W1": {"0": "W4", "1": "W2"}, "W2": {"1": "W4", "0": "wait, then W1"}}),
        (PROTOCOL.without("W4"), {"W3": {"done": "W5"}}),
        (PROTOCOL.without("W5"), {"W4": {"done": "W6", "aborted": "W1, same block"}}),
        (PROTOCOL.without("W6"), {"W5": {"done": "W1, next block"}}),
        (PROTOCOL.without("R1"), {"R2": {"1": "R3", "0": "wait, then R2"}, "R3": {"done": "R4", "aborted": "R2, same block"}}
            | {"R4": {"done": "R2, next block"}}),
        (PROTOCOL.without("R2"), {"R1": {"0": "R3", "1": "wait, then R1"}}),
        (PROTOCOL.without("R3"), {"R2": {"1": "R4", "0": "wait, then R1"}}),
        (PROTOCOL.without("R4"), {"R3": {"done": "R1, next block", "aborted": "R1, same block"}}),
        (PROTOCOL.without("W1").without("W2"), {"W4": {"done": "W5", "aborted": "W3, same block"}}
            | {"W6": {"done": "W3, next block"}}),
        (PROTOCOL.without("W6").without("W5"), {"W4": {"done": "W1, next block", "aborted": "W1, same block"}}),
        (PROTOCOL.swapped("W5", "W6"), {"W4": {"done": "W6", "aborted": "W1, same block"}, "W6": {"done": "W5"}}
            | {"W5": {"done": "W1, next block"}}),
        (PROTOCOL.swapped("W1", "W2"), {"W2": {"1": "W3", "0": "W1"}, "W1": {"0": "W3", "1": "wait, then W2"}}
            | {"W4": {"done": "W5", "aborted": "W2, same block"}, "W6": {"done": "W2, next block"}}),
        (PROTOCOL.swapped("R1", "R2"), {"R2": {"1": "R1", "0": "wait, then R2"}, "R1": {"0": "R3", "1": "wait, then R2"}}
            | {"R3": {"done": "R4", "aborted": "R2, same block"}, "R4": {"done": "R2, next block"}}),
        (PROTOCOL.swapped("R3", "R4"), {"R2": {"1": "R4", "0": "wait, then R1"}, "R4": {"done": "R3"}}
            | {"R3": {"done": "R1, next block", "aborted": "R1, same block"}}),
        (PROTOCOL.moved("W5", before="W4"), {"W3": {"done": "W5"}, "W5": {"done": "W4"}}
            | {"W4": {"done": "W6", "aborted": "W1, same block"}}),
        (PROTOCOL.moved("W6", before="W4"), {"W3": {"done": "W6"}, "W6": {"done": "W4"}, "W5": {"done": "W1, next block"}}),
        (PROTOCOL.moved("W3", before="W2"), {"W1": {"0": "W4", "1": "W3"}, "W3": {"done": "W2"}}
            | {"W2": {"1": "W4", "0": "wait, then W1"}}),
        (PROTOCOL.moved("R4", before="R1"), {"R4": {"done": "R1"}, "R1": {"0": "R2", "1": "wait, then R4"}}
            | {"R2": {"1": "R3", "0": "wait, then R4"}, "R3": {"done": "R4, next block", "aborted": "R4, same block"}}),
        (PROTOCOL.weakened("W6"), {}),
        (PROTOCOL.replace(initial_read_flag=1), {}),
        (PROTOCOL.replace(missing_readers=1), {}),
    ],
    ids=lambda value: str(value) if isinstance(value, Variant) else "",
)  # fmt: skip
def test_an_edit_changes_where_these_rows_lead_and_no_others(variant: Variant, expected: dict[str, dict[str, str]]) -> None:
    assert changed(variant) == expected


@pytest.mark.parametrize("row_id", ["W1", "W2", "W3", "W4", "W5", "W6", "R1", "R2", "R3", "R4"])
def test_a_dropped_row_is_gone_and_the_others_are_as_they_were(row_id: str) -> None:
    rest = PROTOCOL.without(row_id)
    assert leads(PROTOCOL).keys() - leads(rest).keys() == {row_id}
    assert all(rest.row(other) is PROTOCOL.row(other) for other in leads(rest))
    with pytest.raises(VariantError, match=f"no row '{row_id}' here"):
        rest.row(row_id)


def test_an_edit_changes_nothing_in_the_variant_it_is_made_from() -> None:
    before = (PROTOCOL.writer, PROTOCOL.reader, PROTOCOL.edits)
    PROTOCOL.without("W3").swapped("R1", "R2").weakened("W6").replace(policy="scan", missing_readers=1, initial_read_flag=1)
    assert (PROTOCOL.writer, PROTOCOL.reader, PROTOCOL.edits) == before


def test_swapping_is_the_same_from_both_ends_and_undoes_itself() -> None:
    assert PROTOCOL.swapped("W5", "W6").programs == PROTOCOL.swapped("W6", "W5").programs
    assert PROTOCOL.swapped("W2", "W5").swapped("W5", "W2").programs == PROTOCOL.programs


def test_moving_a_row_before_its_follower_leaves_it_where_it_is() -> None:
    assert PROTOCOL.moved("W4", before="W5").programs == PROTOCOL.programs


@pytest.mark.parametrize("row_id", ["W2", "W5", "W6", "R1", "R2", "R4"])
def test_weakening_makes_an_ordered_access_relaxed_and_changes_nothing_else(row_id: str) -> None:
    weak = PROTOCOL.weakened(row_id)

    def unordered(row: Row) -> tuple[object, ...]:
        return row.id, row.access.kind, row.access.flag, row.access.value, row.then

    assert weak.row(row_id).access.ordering is Ordering.RELAXED
    assert unordered(weak.row(row_id)) == unordered(PROTOCOL.row(row_id))
    assert all(weak.row(other) is PROTOCOL.row(other) for other in leads(PROTOCOL) if other != row_id)


@pytest.mark.parametrize("count", [0, 1, MISSING_READERS_MAX])
def test_missing_readers_is_written_into_the_row_that_counts_them(count: int) -> None:
    variant = PROTOCOL.replace(missing_readers=count)
    assert {row.id: row.access.missing_allowed for row in (*variant.writer.rows, *variant.reader.rows)} == {
        row_id: count if row_id == "W2" else 0 for row_id in leads(PROTOCOL)
    }


def test_policies_are_changed_back_and_forth() -> None:
    assert ORIGINAL.policy == "scan"
    assert ORIGINAL.replace(policy="ring").programs == PROTOCOL.programs
    assert ORIGINAL.replace(policy="scan").programs == ORIGINAL.programs
    assert PROTOCOL.replace(policy="ring").programs == PROTOCOL.programs


def test_a_policy_and_an_edit_of_rows_compose_in_either_order() -> None:
    assert PROTOCOL.without("W5").replace(policy="scan").programs == ORIGINAL.without("W5").programs


def test_replace_makes_its_edits_in_a_fixed_order_and_none_when_nothing_is_asked() -> None:
    assert PROTOCOL.replace() is PROTOCOL
    variant = PROTOCOL.replace(missing_readers=2, initial_read_flag=1, policy="scan")
    assert str(variant) == "policy=scan initial-read-flag=1 missing-readers=2"
    assert variant.initial_read_flag == 1


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (PROTOCOL, "shipped"),
        (ORIGINAL, "policy=scan"),
        (PROTOCOL.without("W3"), "without=W3"),
        (PROTOCOL.swapped("W5", "W6"), "swap=W5,W6"),
        (PROTOCOL.moved("W5", before="W4"), "move=W5,W4"),
        (PROTOCOL.weakened("R1"), "weaken=R1"),
        (PROTOCOL.replace(initial_read_flag=1).without("W1"), "initial-read-flag=1 without=W1"),
        (PROTOCOL.replace(missing_readers=3), "missing-readers=3"),
    ],
)
def test_a_variant_is_named_by_its_edits(variant: Variant, text: str) -> None:
    assert str(variant) == text


@settings(deadline=None)
@given(variants())
def test_what_a_variant_prints_is_read_back_as_the_same_variant(variant: Variant) -> None:
    again = Variant.parse(*map(str, variant.edits))
    assert again == variant
    assert again.programs == variant.programs
    assert hash(again) == hash(variant)


@pytest.mark.parametrize("edit", ["initial_read_flag", "missing_readers"])
def test_a_number_that_is_given_as_a_bool_is_printed_as_a_number(edit: str) -> None:
    variant = (
        PROTOCOL.replace(initial_read_flag=True) if edit == "initial_read_flag" else PROTOCOL.replace(missing_readers=True)
    )
    assert Variant.parse(*map(str, variant.edits)) == variant


def test_no_edits_are_the_shipped_tables() -> None:
    assert Variant.parse() == PROTOCOL
    assert str(Edit("swap", ("W5", "W6"))) == "swap=W5,W6"


KNOWN = "the rows of this variant are W1, W2, W3, W4, W5, W6, R1, R2, R3, R4"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PROTOCOL.without("W9"), f"no row 'W9' here; {KNOWN}"),
        (lambda: PROTOCOL.without("w3"), "no row 'w3' here"),
        (lambda: PROTOCOL.without("W3").without("W3"), "no row 'W3' here; the rows of this variant are W1, W2, W4, W5,"),
        (lambda: PROTOCOL.row(""), "no row '' here"),
        (lambda: PROTOCOL.weakened("R7"), "no row 'R7' here"),
        (lambda: PROTOCOL.swapped("X1", "W1"), "no row 'X1' here"),
        (lambda: PROTOCOL.swapped("W1", "X1"), "no row 'X1' here"),
        (lambda: PROTOCOL.moved("W1", before="X1"), "no row 'X1' here"),
        (lambda: PROTOCOL.swapped("W5", "R4"), "W5 cannot be swapped with R4: they belong to different sides"),
        (lambda: PROTOCOL.moved("R4", before="W5"), "R4 cannot be moved before W5: they belong to different sides"),
        (lambda: PROTOCOL.swapped("W5", "W5"), "W5 cannot be swapped with itself"),
        (lambda: PROTOCOL.moved("R2", before="R2"), "R2 cannot be moved before itself"),
        (lambda: PROTOCOL.weakened("W1"), "W1 (load written) is relaxed: it has no ordering to lose"),
        (lambda: PROTOCOL.weakened("W4"), "W4 (payload writes, by the caller) is plain: it has no ordering to lose"),
        (lambda: PROTOCOL.weakened("W6").weakened("W6"), "W6 (store written ← 1) is relaxed: it has no ordering to lose"),
        (lambda: PROTOCOL.replace(policy="queue"), "unknown policy 'queue'; the policies are ring, scan"),
        (lambda: PROTOCOL.replace(initial_read_flag=2), "initial_read_flag is 2, and a flag is 0 or 1"),
        (lambda: PROTOCOL.replace(missing_readers=-1), "missing_readers is -1, and it lies between 0 and 64"),
        (lambda: PROTOCOL.replace(missing_readers=65), "missing_readers is 65, and it lies between 0 and 64"),
        (lambda: PROTOCOL.without("W2").replace(missing_readers=1), "a row that loads read[*], and this variant has none left"),
        (lambda: Variant.parse("drop=W3"), "unknown edit 'drop=W3'; the edits are without=…, swap=…, move=…, weaken=…,"),
        (lambda: Variant.parse(""), "unknown edit ''"),
        (lambda: Variant.parse("without"), "edit 'without' takes 1 argument, separated by commas"),
        (lambda: Variant.parse("without="), "edit 'without=' takes 1 argument, separated by commas"),
        (lambda: Variant.parse("without=W3,W4"), "edit 'without=W3,W4' takes 1 argument"),
        (lambda: Variant.parse("swap=W5"), "edit 'swap=W5' takes 2 arguments, separated by commas"),
        (lambda: Variant.parse("move=W5,W4,W3"), "edit 'move=W5,W4,W3' takes 2 arguments"),
        (lambda: Variant.parse("initial-read-flag=one"), "'one' is not a whole number"),
        (lambda: Variant.parse("missing-readers=1.0"), "'1.0' is not a whole number"),
        (lambda: Variant.parse("without=W3", "weaken=W3"), "no row 'W3' here"),
    ],
)  # fmt: skip
def test_an_edit_that_makes_no_sense_is_refused_by_name(make: Callable[[], object], words: str) -> None:
    with pytest.raises(VariantError) as caught:
        make()
    assert words in str(caught.value)
    assert isinstance(caught.value, RingBufferError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("rows", "side"), [(("W1", "W2", "W3", "W4", "W5", "W6"), "writer"), (("R1", "R2", "R3", "R4"), "reader")]
)
def test_a_variant_may_lose_all_rows_of_a_side_but_has_no_programs_then(rows: tuple[str, ...], side: str) -> None:
    variant = PROTOCOL
    for row_id in rows:
        variant = variant.without(row_id)
    with pytest.raises(VariantError, match=f"the {side}'s table has no rows left"):
        _ = variant.programs


def test_a_variant_is_shown_by_its_edits() -> None:
    assert repr(PROTOCOL) == "<Variant shipped>"
    assert repr(PROTOCOL.swapped("W5", "W6").replace(policy="scan")) == "<Variant swap=W5,W6 policy=scan>"
