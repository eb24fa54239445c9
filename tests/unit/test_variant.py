"""Edits of the tables: what each one makes of the resolved rows, that they compose, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from edits import in_words, variants
from hypothesis import given, settings

from ringbuffer.errors import RingBufferError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Access, Edge, Edit, Flag, Kind, Ordering, Row, Table, Then, Variant
from ringbuffer.protocol.variant import ADVANCE_MAX, FLAGS, MISSING_READERS_MAX


def leads(variant: Variant) -> dict[str, dict[str, str]]:
    """Where each outcome of each row leads, by clause id."""
    return {row_id: where for program in variant.programs for row_id, _, _, _, where in in_words(program)}


def changed(variant: Variant) -> dict[str, dict[str, str]]:
    """The rows that lead elsewhere than in the shipped tables, or are not in them, and where they lead."""
    shipped = leads(PROTOCOL)
    return {row_id: where for row_id, where in leads(variant).items() if where != shipped.get(row_id)}


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
        (PROTOCOL.redirected("W2", "0", "restart"), {"W2": {"1": "W3", "0": "W1, same block"}}),
        (PROTOCOL.redirected("W2", "0", "found"), {"W2": {"1": "W3", "0": "W3"}}),
        (PROTOCOL.redirected("W1", "1", "wait"), {"W1": {"0": "W3", "1": "wait, then W1"}}),
        (PROTOCOL.redirected("W1", "0", "next"), {"W1": {"0": "W2", "1": "W2"}}),
        (PROTOCOL.redirected("W2", "1", "otherwise"), {"W2": {"1": "wait, then W1", "0": "wait, then W1"}}),
        (PROTOCOL.redirected("W4", "aborted", "next"), {"W4": {"done": "W5", "aborted": "W5"}}),
        (PROTOCOL.redirected("W6", "done", "restart"), {"W6": {"done": "W1, same block"}}),
        (PROTOCOL.redirected("R1", "1", "otherwise"), {"R1": {"0": "R2", "1": "R2"}}),
        (PROTOCOL.redirected("R1", "0", "found"), {"R1": {"0": "R3", "1": "wait, then R1"}}),
        (PROTOCOL.redirected("R3", "aborted", "next"), {"R3": {"done": "R4", "aborted": "R4"}}),
        (PROTOCOL.redirected("R4", "done", "wait"), {"R4": {"done": "wait, then R1"}}),
        (ORIGINAL.replace(policy="ring").redirected("W2", "0", "wait"), {}),
        (PROTOCOL.flipped("W1"), {"W1": {"0": "W2", "1": "W3"}}),
        (PROTOCOL.flipped("W2"), {"W2": {"1": "wait, then W1", "0": "W3"}}),
        (PROTOCOL.flipped("R1"), {"R1": {"0": "wait, then R1", "1": "R2"}}),
        (PROTOCOL.flipped("R2"), {"R2": {"1": "wait, then R1", "0": "R3"}}),
        (PROTOCOL.flipped("W6"), {}),
        (PROTOCOL.retargeted("R1", "neighbour"), {}),
        (PROTOCOL.ordered("W1", "acquire"), {}),
        (PROTOCOL.advancing("writer", 0), {"W6": {"done": "W1, same block"}}),
        (PROTOCOL.advancing("writer", 1), {}),
        (PROTOCOL.advancing("writer", 2), {"W6": {"done": "W1, next block but one"}}),
        (PROTOCOL.advancing("reader", 0), {"R4": {"done": "R1, same block"}}),
        (PROTOCOL.advancing("reader", 2).advancing("reader", 1), {}),
        (PROTOCOL.without("W6").advancing("writer", 2), {"W5": {"done": "W1, next block but one"}}),
        (PROTOCOL.fenced(before="W1"), {"F1": {"done": "W1"}, "W2": {"1": "W3", "0": "wait, then F1"}}
            | {"W4": {"done": "W5", "aborted": "F1, same block"}, "W6": {"done": "F1, next block"}}),
        (PROTOCOL.fenced(after="W1"), {"F1": {"done": "W2"}, "W1": {"0": "W3", "1": "F1"}}),
        (PROTOCOL.fenced(after="W2"), {"F1": {"done": "W3"}, "W1": {"0": "F1", "1": "W2"}}
            | {"W2": {"1": "F1", "0": "wait, then W1"}}),
        (PROTOCOL.fenced(before="W6"), {"F1": {"done": "W6"}, "W5": {"done": "F1"}}),
        (PROTOCOL.fenced(after="W6"), {"F1": {"done": "W1, next block"}, "W6": {"done": "F1"}}),
        (PROTOCOL.fenced(before="R2"), {"F1": {"done": "R2"}, "R1": {"0": "F1", "1": "wait, then R1"}}),
        (PROTOCOL.fenced(before="W6").fenced(before="W6"), {"F1": {"done": "F2"}, "F2": {"done": "W6"}, "W5": {"done": "F1"}}),
        (PROTOCOL.fenced(before="R4").fenced(after="W6"), {"F1": {"done": "R4"}, "F2": {"done": "W1, next block"}}
            | {"R3": {"done": "F1", "aborted": "R1, same block"}, "W6": {"done": "F2"}}),
        (PROTOCOL.locked(before="W3"), {"L1": {"done": "U1"}, "U1": {"done": "W3"}, "W1": {"0": "L1", "1": "W2"}}
            | {"W2": {"1": "L1", "0": "wait, then W1"}}),
        (PROTOCOL.locked(after="R4"), {"L1": {"done": "U1"}, "U1": {"done": "R1, next block"}, "R4": {"done": "L1"}}),
        (PROTOCOL.locked(after="W6").locked(after="W6").without("U1"), {"W6": {"done": "L2"}, "L2": {"done": "U2"}}
            | {"U2": {"done": "L1"}, "L1": {"done": "W1, next block"}}),
        (PROTOCOL.locked(before="W4").moved("U1", before="W5"), {"W3": {"done": "L1"}, "L1": {"done": "W4"}}
            | {"W4": {"done": "U1", "aborted": "W1, same block"}, "U1": {"done": "W5"}}),
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


LOADS, STORES = ("W1", "W2", "R1", "R2"), ("W3", "W5", "W6", "R4")


def only(variant: Variant, row_id: str) -> Row:
    """That row, when nothing but it has changed."""
    assert all(variant.row(other) is PROTOCOL.row(other) for other in leads(PROTOCOL) if other != row_id)
    assert leads(variant).keys() == leads(PROTOCOL).keys()
    assert (variant.policy, variant.initial_read_flag) == (PROTOCOL.policy, PROTOCOL.initial_read_flag)
    return variant.row(row_id)


@pytest.mark.parametrize("row_id", STORES)
def test_flipping_a_store_changes_its_value_and_nothing_else_but_its_pairing(row_id: str) -> None:
    row, shipped = only(PROTOCOL.flipped(row_id), row_id), PROTOCOL.row(row_id)
    assert shipped.access.value is not None
    access = replace(shipped.access, value=1 - shipped.access.value)
    assert row == replace(shipped, access=access, pairing="")


@pytest.mark.parametrize("row_id", LOADS)
def test_flipping_a_load_changes_where_it_leads_and_nothing_else(row_id: str) -> None:
    row, shipped = only(PROTOCOL.flipped(row_id), row_id), PROTOCOL.row(row_id)
    (first, leads_first), (second, leads_second) = shipped.then
    assert row == replace(shipped, then=((first, leads_second), (second, leads_first)))


@pytest.mark.parametrize("row_id", [*LOADS, *STORES])
def test_flipping_twice_is_as_shipped(row_id: str) -> None:
    assert PROTOCOL.flipped(row_id).flipped(row_id).programs == without_pairing(PROTOCOL, row_id).programs


def without_pairing(variant: Variant, row_id: str) -> Variant:
    """The same tables, in which that row (if it is a store) says nothing of its pairing."""

    def bare(table: Table) -> Table:
        rows = [replace(row, pairing="") if row.id == row_id and not row.is_look else row for row in table.rows]
        return replace(table, rows=tuple(rows))

    return replace(variant, writer=bare(variant.writer), reader=bare(variant.reader))


@pytest.mark.parametrize(
    ("row_id", "name", "flag"),
    [
        *((row_id, name, flag) for row_id in ("W1", "W2", "W3", "W5", "W6") for name, flag in FLAGS.items()
            if name not in ("own", "neighbour")),
        *((row_id, name, flag) for row_id in ("R1", "R2", "R4") for name, flag in FLAGS.items()),
    ],
)  # fmt: skip
def test_retargeting_changes_the_flag_and_nothing_else_but_the_pairing(row_id: str, name: str, flag: Flag) -> None:
    row, shipped = only(PROTOCOL.retargeted(row_id, name), row_id), PROTOCOL.row(row_id)
    assert row == replace(shipped, access=replace(shipped.access, flag=flag), pairing="")


def test_the_flags_have_these_names() -> None:
    assert {name: flag.value for name, flag in FLAGS.items()} == {
        "written": "written",
        "own": "read[r]",
        "neighbour": "read[r+1]",
        "each": "read[*]",
        "but-last": "read[*-1]",
    }


@pytest.mark.parametrize(
    ("row_id", "word"),
    [
        *((row_id, word) for row_id in LOADS for word in ("relaxed", "acquire")),
        *((row_id, word) for row_id in STORES for word in ("relaxed", "release")),
    ],
)
def test_ordering_an_access_changes_its_ordering_and_nothing_else_but_the_pairing(row_id: str, word: str) -> None:
    row, shipped = only(PROTOCOL.ordered(row_id, word), row_id), PROTOCOL.row(row_id)
    assert row == replace(shipped, access=replace(shipped.access, ordering=Ordering(word)), pairing="")


@pytest.mark.parametrize("row_id", ["W2", "W5", "W6", "R1", "R2", "R4"])
def test_weakening_is_ordering_as_relaxed(row_id: str) -> None:
    assert PROTOCOL.weakened(row_id).programs == PROTOCOL.ordered(row_id, "relaxed").programs


@pytest.mark.parametrize(
    ("row_id", "words"),
    [("F1", ("acquire", "release", "acq_rel", "seq_cst")), ("L1", ("relaxed", "acquire", "release", "acq_rel"))],
)
def test_fences_and_exchanges_can_be_ordered_too(row_id: str, words: tuple[str, ...]) -> None:
    variant = PROTOCOL.fenced(before="W6").locked(before="W6")
    for word in words:
        assert variant.ordered(row_id, word).row(row_id).access == replace(variant.row(row_id).access, ordering=Ordering(word))


@pytest.mark.parametrize("word", ["acquire", "release", "acq-rel", "seq-cst", "acq_rel", "seq_cst"])
def test_a_fence_is_a_row_of_its_own_that_touches_nothing(word: str) -> None:
    variant = PROTOCOL.fenced(word, after="R1")
    fence = variant.row("F1")
    assert fence.access == Access(Kind.FENCE, Ordering(word.replace("-", "_")))
    assert str(fence.access) == f"{word.replace('-', '_')} fence"
    assert not fence.is_look
    assert not fence.is_payload
    assert [row.id for row in variant.reader.rows] == ["R1", "F1", "R2", "R3", "R4"]
    assert variant.writer is PROTOCOL.writer
    assert [row for row in variant.reader.rows if row is not fence] == list(PROTOCOL.reader.rows)


def test_a_fence_is_sequentially_consistent_unless_told_otherwise() -> None:
    assert PROTOCOL.fenced(before="W1").row("F1").access.ordering is Ordering.SEQ_CST
    assert str(PROTOCOL.fenced(before="W1")) == "fence-before=W1,seq-cst"


def test_a_lock_is_an_exchange_and_a_store_to_a_flag_of_its_own() -> None:
    variant = PROTOCOL.locked(after="W2")
    assert [row.id for row in variant.writer.rows] == ["W1", "W2", "L1", "U1", "W3", "W4", "W5", "W6"]
    assert variant.row("L1").access == Access(Kind.EXCHANGE, Ordering.ACQUIRE, Flag.LOCK, 1)
    assert variant.row("U1").access == Access(Kind.STORE, Ordering.RELEASE, Flag.LOCK, 0)
    assert [str(variant.row(row_id).access) for row_id in ("L1", "U1")] == ["exchange lock ← 1", "store lock ← 0"]
    assert not variant.row("L1").is_look
    assert variant.reader is PROTOCOL.reader


def test_new_rows_get_the_next_name_that_is_free_on_either_side() -> None:
    variant = (
        PROTOCOL.fenced(before="W6").fenced(before="R4").locked(before="R1").without("F1").fenced(after="W1").locked(after="W6")
    )
    assert [row.id for row in variant.writer.rows] == ["W1", "F1", "W2", "W3", "W4", "W5", "W6", "L2", "U2"]
    assert [row.id for row in variant.reader.rows] == ["L1", "U1", "R1", "R2", "R3", "F2", "R4"]


def test_what_is_put_in_can_be_taken_out_again() -> None:
    assert PROTOCOL.fenced(before="W6").without("F1").programs == PROTOCOL.programs
    assert PROTOCOL.locked(after="R2").without("U1").without("L1").programs == PROTOCOL.programs


def test_going_on_after_use_is_about_one_side_and_goes_with_its_last_policy() -> None:
    variant = PROTOCOL.advancing("writer", 2).advancing("reader", 0)
    assert (variant.writer.advance_after_use, variant.reader.advance_after_use) == (2, 0)
    assert (variant.writer.rows, variant.reader.rows) == (PROTOCOL.writer.rows, PROTOCOL.reader.rows)
    assert (variant.writer.advance_while_waiting, variant.reader.advance_while_waiting) == (0, 0)
    assert variant.replace(policy="scan").programs == ORIGINAL.programs
    scanning = ORIGINAL.advancing("reader", 1)
    assert (scanning.reader.advance_after_use, scanning.reader.advance_while_waiting) == (1, 1)
    assert scanning.writer == ORIGINAL.writer


def test_a_flipped_store_and_another_flag_compose_in_either_order() -> None:
    one, other = PROTOCOL.flipped("R4").retargeted("R4", "neighbour"), PROTOCOL.retargeted("R4", "neighbour").flipped("R4")
    assert one.programs == other.programs
    assert one != other
    assert str(one.row("R4").access) == "store read[r+1] ← 0"


def test_a_redirected_look_that_is_moved_leads_by_its_new_place() -> None:
    variant = PROTOCOL.redirected("W1", "1", "next").swapped("W1", "W2")
    assert leads(variant)["W1"] == {"0": "W3", "1": "W3"}
    assert leads(variant)["W2"] == {"1": "W3", "0": "W1"}


def test_missing_readers_are_counted_wherever_several_flags_are_loaded() -> None:
    variant = PROTOCOL.retargeted("W2", "but-last").retargeted("W1", "each").replace(missing_readers=2)
    assert [row.access.missing_allowed for row in variant.writer.rows] == [2, 2, 0, 0, 0, 0]
    with pytest.raises(VariantError, match="this variant has none left"):
        PROTOCOL.retargeted("W2", "written").replace(missing_readers=1)


@pytest.mark.parametrize("row_id", [*LOADS, *STORES, "W4", "R3"])
@pytest.mark.parametrize("place", [place.value for place in Then])
def test_whatever_is_redirected_leads_forward_or_back_to_the_first_row(row_id: str, place: str) -> None:
    """Or, for a row behind the looks that is sent to what they find, back to the first of those rows."""
    for outcome, _ in PROTOCOL.row(row_id).then:
        for program in PROTOCOL.redirected(row_id, outcome.value, place).programs:
            behind_the_looks = next(one.pc for one in program.instructions if not one.row.is_look)
            for instruction in program.instructions:
                for _, branch in instruction.branches:
                    if branch.edge is Edge.FORWARD:
                        assert branch.pc > instruction.pc
                    else:
                        assert branch.pc == 0 or (branch.pc == behind_the_looks and branch.edge is Edge.RESTARTED)


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
        (PROTOCOL.redirected("W2", "0", "found"), "redirect=W2,0,found"),
        (PROTOCOL.redirected("R3", "aborted", "next"), "redirect=R3,aborted,next"),
        (PROTOCOL.flipped("W1"), "flip=W1"),
        (PROTOCOL.flipped("R4"), "flip=R4"),
        (PROTOCOL.retargeted("R4", "neighbour"), "retarget=R4,neighbour"),
        (PROTOCOL.retargeted("W5", "but-last"), "retarget=W5,but-last"),
        (PROTOCOL.ordered("W1", "acquire"), "order=W1,acquire"),
        (PROTOCOL.advancing("writer", 2), "advance=writer,2"),
        (PROTOCOL.fenced("acq_rel", before="W6"), "fence-before=W6,acq-rel"),
        (PROTOCOL.fenced("acquire", after="R1"), "fence-after=R1,acquire"),
        (PROTOCOL.locked(before="W6"), "lock-before=W6"),
        (PROTOCOL.locked(after="R4").flipped("R4"), "lock-after=R4 flip=R4"),
    ],
)
def test_a_variant_is_named_by_its_edits(variant: Variant, text: str) -> None:
    assert str(variant) == text


@settings(deadline=None)
@given(variants())
def test_what_a_variant_prints_is_read_back_as_the_same_variant(variant: Variant) -> None:
    again = Variant.parse(*map(str, variant.edits))
    assert again == variant
    assert str(again) == str(variant)
    assert again.programs == variant.programs
    assert hash(again) == hash(variant)


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("redirect=W2,0,restart", PROTOCOL.redirected("W2", "0", "restart")),
        ("flip=W2", PROTOCOL.flipped("W2")),
        ("retarget=W2,written", PROTOCOL.retargeted("W2", "written")),
        ("order=R4,relaxed", PROTOCOL.ordered("R4", "relaxed")),
        ("advance=reader,0", PROTOCOL.advancing("reader", 0)),
        ("fence-before=W6,release", PROTOCOL.fenced("release", before="W6")),
        ("fence-before=W6,seq-cst", PROTOCOL.fenced(before="W6")),
        ("fence-after=R2,acq_rel", PROTOCOL.fenced("acq-rel", after="R2")),
        ("lock-before=W6", PROTOCOL.locked(before="W6")),
        ("lock-after=W6", PROTOCOL.locked(after="W6")),
    ],
)
def test_each_text_form_is_the_call_of_its_method(text: str, variant: Variant) -> None:
    assert Variant.parse(text) == variant


@pytest.mark.parametrize("word", ["acquire", "release", "acq_rel", "seq_cst"])
def test_no_text_form_has_what_a_token_puts_between_edits(word: str) -> None:
    variant = PROTOCOL.fenced(before="W6").ordered("F1", word)
    assert not any("_" in str(edit) for edit in variant.edits)
    assert Variant.parse(*map(str, variant.edits)) == variant


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
        (lambda: PROTOCOL.redirected("W9", "0", "next"), f"no row 'W9' here; {KNOWN}"),
        (lambda: PROTOCOL.redirected("W1", "2", "next"), "W1 has no outcome '2'; its outcomes are 0, 1"),
        (lambda: PROTOCOL.redirected("W2", "", "next"), "W2 has no outcome ''; its outcomes are 1, 0"),
        (lambda: PROTOCOL.redirected("W3", "1", "next"), "W3 has no outcome '1'; its outcomes are done"),
        (lambda: PROTOCOL.redirected("R3", "0", "next"), "R3 has no outcome '0'; its outcomes are done, aborted"),
        (lambda: PROTOCOL.redirected("W1", "0", "W3"),
            "unknown place 'W3'; the places are next, found, otherwise, wait, restart"),
        (lambda: PROTOCOL.flipped("R9"), "no row 'R9' here"),
        (lambda: PROTOCOL.flipped("W4"), "W4 (payload writes, by the caller) is neither a load nor a store"),
        (lambda: PROTOCOL.flipped("R3"), "R3 (payload reads, by the caller) is neither a load nor a store"),
        (lambda: PROTOCOL.fenced(before="W6").flipped("F1"), "F1 (seq_cst fence) is neither a load nor a store"),
        (lambda: PROTOCOL.locked(before="W6").flipped("L1"), "L1 (exchange lock ← 1) is neither a load nor a store"),
        (lambda: PROTOCOL.retargeted("W0", "each"), "no row 'W0' here"),
        (lambda: PROTOCOL.retargeted("W4", "each"), "W4 (payload writes, by the caller) touches no flag"),
        (lambda: PROTOCOL.fenced(before="R4").retargeted("F1", "own"), "F1 (seq_cst fence) touches no flag"),
        (lambda: PROTOCOL.retargeted("W1", "own"), "unknown flag 'own'; a writer's row can touch written, each, but-last"),
        (lambda: PROTOCOL.retargeted("W1", "neighbour"), "unknown flag 'neighbour'; a writer's row can"),
        (lambda: PROTOCOL.retargeted("R1", "lock"),
            "unknown flag 'lock'; a reader's row can touch written, own, neighbour, each, but-last"),
        (lambda: PROTOCOL.ordered("R0", "relaxed"), "no row 'R0' here"),
        (lambda: PROTOCOL.fenced(before="W6").weakened("F1"), "F1 is a fence: drop it, or order it otherwise"),
        (lambda: PROTOCOL.ordered("W1", "release"), "W1 (load) cannot be 'release'; it can be relaxed, acquire"),
        (lambda: PROTOCOL.ordered("W6", "acquire"), "W6 (store) cannot be 'acquire'; it can be relaxed, release"),
        (lambda: PROTOCOL.ordered("W6", "seq_cst"), "W6 (store) cannot be 'seq_cst'"),
        (lambda: PROTOCOL.ordered("W4", "relaxed"), "W4 (fill) cannot be 'relaxed'; it has no ordering"),
        (lambda: PROTOCOL.ordered("R3", "acquire"), "R3 (read) cannot be 'acquire'; it has no ordering"),
        (lambda: PROTOCOL.fenced(before="W6").ordered("F1", "relaxed"), "F1 (fence) cannot be 'relaxed'; it can be"),
        (lambda: PROTOCOL.locked(before="W6").ordered("L1", "seq_cst"), "L1 (exchange) cannot be 'seq_cst'"),
        (lambda: PROTOCOL.advancing("both", 1), "unknown side 'both'; the sides are writer, reader"),
        (lambda: PROTOCOL.advancing("writer", -1), "advance is -1, and it lies between 0 and 2"),
        (lambda: PROTOCOL.advancing("reader", ADVANCE_MAX + 1), "advance is 3, and it lies between 0 and 2"),
        (lambda: PROTOCOL.fenced("relaxed", before="W1"),
            "a fence cannot be 'relaxed'; it can be acquire, release, acq-rel, seq-cst"),
        (lambda: PROTOCOL.fenced("plain", before="W1"), "a fence cannot be 'plain'"),
        (lambda: PROTOCOL.fenced(before="X1"), "no row 'X1' here"),
        (lambda: PROTOCOL.fenced(), "a fence stands either before a row or after one"),
        (lambda: PROTOCOL.fenced(before="W1", after="W1"), "a fence stands either before a row or after one"),
        (lambda: PROTOCOL.locked(after="X1"), "no row 'X1' here"),
        (lambda: PROTOCOL.locked(), "a lock stands either before a row or after one"),
        (lambda: PROTOCOL.locked(before="W1", after="W2"), "a lock stands either before a row or after one"),
        (lambda: PROTOCOL.fenced(before="W6").swapped("F1", "R1"), "F1 cannot be swapped with R1"),
        (lambda: Variant.parse("redirect=W1,0"), "edit 'redirect=W1,0' takes 3 arguments, separated by commas"),
        (lambda: Variant.parse("flip=W1,W2"), "edit 'flip=W1,W2' takes 1 argument, separated by commas"),
        (lambda: Variant.parse("retarget=W1"), "edit 'retarget=W1' takes 2 arguments"),
        (lambda: Variant.parse("order=W1"), "edit 'order=W1' takes 2 arguments"),
        (lambda: Variant.parse("advance=2"), "edit 'advance=2' takes 2 arguments"),
        (lambda: Variant.parse("advance=writer,two"), "'two' is not a whole number"),
        (lambda: Variant.parse("fence-before=W1"), "edit 'fence-before=W1' takes 2 arguments"),
        (lambda: Variant.parse("fence=W1,release"), "unknown edit 'fence=W1,release'; the edits are without=…, swap=…,"),
        (lambda: Variant.parse("lock-before=W1,W2"), "edit 'lock-before=W1,W2' takes 1 argument"),
        (lambda: Variant.parse("lock-after"), "edit 'lock-after' takes 1 argument"),
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
