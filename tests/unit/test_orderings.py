"""The orderings: the search decides every combination rightly, and what it finds can be wrong."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, combinations
from typing import Any

import pytest
import reports
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.checker import HOLDS, REFUTED, minimal, orderings
from ringbuffer.checker.minimal import Finding, find, minimal_sets
from ringbuffer.checker.orderings import ROWS, SHIPPED, SMALL_SIZES, fenced, published_places, unordered, with_orderings
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Kind, Ordering, Variant

Names = tuple[str, ...]


def subsets(names: Iterable[str]) -> list[Names]:
    """All of them, the small ones first."""
    names = tuple(names)
    return list(chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))


def smallest(sufficient: Iterable[Names]) -> set[Names]:
    """Those in which no other lies."""
    every = list(map(frozenset, sufficient))
    return {tuple(sorted(one)) for one in every if not any(other < one for other in every)}


def said(status: str) -> Finding:
    return Finding("", "ra", status, None, 0, (1, 1), 0, False, None)


# The search.


@settings(max_examples=150, deadline=None)
@given(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=5))
def test_the_search_finds_every_minimal_set_and_nothing_else(enough: list[frozenset[str]]) -> None:
    """On any question that additions keep: a set suffices when one of ``enough`` lies in it."""
    asked: list[Names] = []

    def try_out(chosen: Names) -> Finding:
        asked.append(chosen)
        return said(HOLDS if any(one <= set(chosen) for one in enough) else REFUTED)

    found = minimal_sets(tuple("abcdef"), try_out)
    every = subsets("abcdef")
    right = [chosen for chosen in every if any(one <= set(chosen) for one in enough)]
    assert {tuple(sorted(chosen)) for chosen in found.minimal} == smallest(right)
    assert len(set(asked)) == len(asked) == found.explored <= found.combinations == 64
    wrong = {frozenset(chosen) for chosen, _ in found.insufficient}
    assert all((chosen in right) == (not any(set(chosen) <= one for one in wrong)) for chosen in every)


def test_the_search_says_which_sets_it_has_found_wrong_and_why() -> None:
    found = minimal_sets(("a", "b"), lambda chosen: said(HOLDS if "a" in chosen else REFUTED))
    assert found.minimal == (("a",),)
    assert found.insufficient == ((("b",), said(REFUTED)),)


def test_what_is_found_is_named_with_its_ring_and_stops_at_the_first_that_refutes() -> None:
    wrong = find(with_orderings(set(SHIPPED) - {"W6"}), "ra")
    assert (wrong.status, wrong.property, wrong.steps, wrong.size) == (REFUTED, "race", 8, (1, 1))
    assert str(wrong) == "ra: refuted: race, 8 steps at 1×1"
    right = find(PROTOCOL, "ra", ((1, 1), (1, 2)))
    assert (right.status, right.property, right.size) == (HOLDS, None, (1, 2))
    assert str(right) == f"ra: holds up to 1×2, {right.states} states"
    assert find(PROTOCOL, "ra", max_states=5).status == "unknown"


# The shipped orderings.


def test_the_rows_with_an_ordering_are_those_of_the_table() -> None:
    assert ROWS == ("W1", "W2", "W3", "W5", "W6", "R1", "R2", "R4")
    assert SHIPPED == ("W2", "W5", "W6", "R1", "R2", "R4")
    rows = [*PROTOCOL.writer.rows, *PROTOCOL.reader.rows]
    assert {row.id for row in rows if row.pairing} == set(SHIPPED)


@pytest.mark.parametrize("chosen", [(), ROWS, SHIPPED, ("W1", "W3"), ("R4", "W1")])
def test_exactly_the_chosen_rows_are_ordered(chosen: Names) -> None:
    variant = with_orderings(chosen, 1)
    assert variant.initial_read_flag == 1
    for row in ROWS:
        access = variant.row(row).access
        strong = Ordering.ACQUIRE if access.kind is Kind.LOAD else Ordering.RELEASE
        assert access.ordering is (strong if row in chosen else Ordering.RELAXED)


@pytest.mark.parametrize("initial_read_flag", [0, 1])
def test_brute_force_finds_the_same_minimal_sets_in_the_smallest_ring(initial_read_flag: int) -> None:
    """All 256 combinations, each explored: so additions do keep what suffices, and none is decided wrongly."""
    right = [
        chosen for chosen in subsets(ROWS) if find(with_orderings(chosen, initial_read_flag), "ra", ((1, 1),)).status == HOLDS
    ]
    minimal_ones = smallest(right)
    assert len(right) == sum(any(set(one) <= set(chosen) for one in minimal_ones) for chosen in subsets(ROWS))
    found = orderings.minimal_orderings(initial_read_flag, 1, 1)
    assert {tuple(sorted(one)) for one in found.minimal} == minimal_ones
    assert found.minimal == orderings.MINIMAL_ORDERINGS[initial_read_flag]
    assert found.explored < 20


def test_the_shipped_set_is_minimal_and_only_it_is() -> None:
    """Whatever is ordered besides, the same six are needed."""
    found = orderings.minimal_orderings(0, 1, 2)
    assert found.minimal == (SHIPPED,)
    assert {tuple(set(ROWS) - set(chosen)) for chosen, _ in found.insufficient} == {(row,) for row in SHIPPED}
    assert {finding.property for _, finding in found.insufficient} == {"race"}


def test_with_read_flags_that_start_as_1_clearing_carries_the_payload_too() -> None:
    """Then a reader that finds its flag cleared has synchronized with W5, so W6 and R2 need no ordering of their own."""
    variant = with_orderings(("W2", "W5", "R1", "R4"), 1)
    assert find(variant, "ra", SMALL_SIZES).status == HOLDS
    assert find(with_orderings(("W2", "W5", "R1", "R4"), 0), "ra").property == "race"


def test_quick_finds_no_surprise_and_what_only_races_show() -> None:
    report = reports.ordered()
    assert (report.surprises, report.shipped.status, report.shipped.size) == ((), HOLDS, (2, 2))
    assert [one.row for one in report.weakenings] == list(SHIPPED)
    steps = {one.row: one.with_races.steps for one in report.weakenings}
    assert steps == {"W2": 13, "W5": 17, "W6": 8, "R1": 17, "R2": 8, "R4": 13}
    assert {one.with_races.property for one in report.weakenings} == {"race"}
    missed = [one.row for one in report.weakenings if one.values_only.status == HOLDS]
    assert missed == ["W2", "R4"]
    assert {one.values_only.property for one in report.weakenings if one.row not in missed} == {"stale"}


def test_a_checker_that_compares_values_only_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It misses exactly the two rows that keep the reading of a block before the next writing."""

    def values_only(variant: Variant, memory: str, sizes: Any = SMALL_SIZES) -> Finding:
        return find(variant, "ra-relaxed", SMALL_SIZES if memory == "ra" else sizes)

    monkeypatch.setattr(orderings, "find", values_only)
    wrong = orderings.quick().surprises
    assert [text.split()[0] for text in wrong] == ["W2", "R4"]
    assert all("needs no ordering" in text for text in wrong)


@pytest.mark.parametrize("row", SHIPPED)
def test_shipped_orderings_that_do_not_suffice_are_found_out(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderings, "PROTOCOL", PROTOCOL.weakened(row))
    monkeypatch.setattr(orderings, "weakenings", lambda: ())
    (wrong,) = orderings.quick().surprises
    assert wrong.startswith("the shipped orderings do not suffice: ra: refuted: race")


def test_an_ordering_too_many_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orderings, "SHIPPED", (*SHIPPED, "W3"))
    monkeypatch.setattr(orderings, "PROTOCOL", PROTOCOL.ordered("W3", "release"))
    monkeypatch.setattr(orderings, "find", lambda variant, memory, sizes=None: find(variant, memory, ((1, 1),)))  # noqa: ARG005
    assert any(text.startswith("W3 needs no ordering") for text in orderings.quick().surprises)


# The published alternatives.


def test_the_published_places_are_the_first_looks_and_publishing() -> None:
    assert published_places(PROTOCOL) == ("W1", "W6", "R1")
    assert published_places(ORIGINAL) == ("W2", "W6", "R1")
    variant = fenced(unordered(), ("W1", "W6", "R1"))
    assert [row.id for row in variant.writer.rows] == ["F1", "W1", "W2", "W3", "W4", "W5", "F2", "W6"]
    assert [row.id for row in variant.reader.rows] == ["F3", "R1", "R2", "R3", "R4"]


@pytest.mark.parametrize("policy", ["ring", "scan"])
def test_what_is_published_is_right_on_strong_memories_and_races_on_weak_ones(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(variant: Variant, memory: str, *, properties: Names) -> Finding:
        return find(variant, memory, ((1, 1), (1, 2)), properties)

    monkeypatch.setattr(orderings, "find", small)
    found = orderings.alternatives(policy)
    assert [one.name for one in found] == ["no ordering", "lock as fence", "fences", "fences, and one before each load"]
    for one in found:
        assert [finding.status for finding in one.findings] == [HOLDS, HOLDS, REFUTED], one.name
        assert one.findings[2].property == "race"
        assert one.edits == one.findings[0].edits
    added = [{edit.split("=")[0] for edit in one.edits.split()} - {"weaken", "policy"} for one in found]
    assert added == [set(), {"lock-before"}, {"fence-before"}, {"fence-before"}]


@pytest.mark.parametrize("kind", ["acq-rel", "seq-cst"])
def test_a_fence_in_every_place_is_enough_and_locks_in_every_place_are_not(kind: str) -> None:
    rows = [row.id for row in (*PROTOCOL.writer.rows, *PROTOCOL.reader.rows)]
    assert find(fenced(unordered(), rows, kind), "ra", ((1, 1), (1, 2))).status == HOLDS
    locks = unordered()
    for row in rows:
        locks = locks.locked(before=row)
    assert find(locks, "ra", ((1, 1),)).property == "race"


FENCES = [
    (edits, initial_read_flag, published)
    for recorded, initial_read_flag, published in (
        (orderings.WEAKEST_FENCES[0], 0, ("W1", "W6", "R1")),
        (orderings.WEAKEST_FENCES[2], 0, ()),
        (orderings.WEAKEST_FENCES[3], 1, ()),
    )
    for edits in recorded
]


@pytest.mark.parametrize(("edits", "initial_read_flag", "published"), FENCES)
def test_recorded_fences_suffice_and_not_one_of_them_can_go(edits: str, initial_read_flag: int, published: Names) -> None:
    places = [edit.split(",") for edit in edits.split()]
    bare = fenced(unordered("ring", initial_read_flag), published, "acq-rel")

    def with_fences(kept: Iterable[list[str]]) -> Variant:
        variant = bare
        for row, kind in kept:
            variant = variant.fenced(kind, before=row)
        return variant

    assert find(with_fences(places), "ra", ((1, 1), (1, 2))).status == HOLDS
    for place in places:
        rest = with_fences(other for other in places if other is not place)
        assert find(rest, "ra", ((1, 1), (1, 2))).status == REFUTED, place


def test_a_place_set_is_made_as_weak_as_it_can_be() -> None:
    """Acquire before R3 is enough for what R1 and R2 have loaded; a release fence there would not be."""
    strong = {"W3": "acquire", "W5": "release", "W6": "release", "R3": "acquire", "R4": "release"}

    def found(kinds: Any) -> Finding:
        variant = unordered()
        for row, kind in kinds.items():
            variant = variant.fenced(kind, before=row)
        return find(variant, "ra", ((1, 1),))

    assert orderings._weakest(tuple(strong), found) == strong


def test_minimal_speaks_of_at_most_so_many_places() -> None:
    with pytest.raises(AssertionError):
        minimal_sets(tuple("abcdefghijklm")[: minimal.PLACES_MAX + 1], lambda _: said(HOLDS))
