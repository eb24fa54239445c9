"""The named properties: names and partners that hold together, and questions about them."""

from __future__ import annotations

import re

import pytest

from ringbuffer.errors import VariantError
from ringbuffer.protocol.properties import (
    ALL,
    ALWAYS,
    BY_NAME,
    EVENTUALLY,
    LIVENESS,
    PROPERTIES,
    RACE,
    SAFETY,
    SOMETIMES,
    SUCCESSIVE,
    WAKEUPS,
    WITNESSES,
    Property,
    select,
    unseen_partners,
)

PARTNERS = tuple(name for name in WITNESSES if int(BY_NAME[name].id[1:]) < 10)
"""Those without anybody dead."""


def test_ids_and_names_are_unique() -> None:
    assert len({prop.id for prop in PROPERTIES}) == len(PROPERTIES)
    assert len({prop.name for prop in PROPERTIES}) == len(PROPERTIES)
    assert {prop.name: prop for prop in PROPERTIES} == BY_NAME


def test_the_names_are_those_that_command_lines_and_tokens_use() -> None:
    assert SAFETY == ("torn", "stale", "reordered", "lost", "overwritten", "exclusion", "race")
    assert LIVENESS == ("progress", "starved")
    assert ALL == SAFETY + LIVENESS
    assert RACE == "race"
    assert SUCCESSIVE == ("misnumbered", "undrained")
    assert [BY_NAME[name].id for name in ALL] == ["P1", "P2", "P3", "P4", "P5", "P6", "P9", "P7", "P8"]
    assert WAKEUPS == ("lost-wakeup", "all-asleep")
    assert [BY_NAME[name].id for name in (*SUCCESSIVE, *WAKEUPS)] == ["P10", "P11", "P12", "P13"]
    assert [BY_NAME[name].id for name in WITNESSES] == [f"S{number}" for number in range(1, 22)]


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: prop.name)
def test_a_property_has_a_clause_id_of_its_kind_a_plain_name_and_a_statement(prop: Property) -> None:
    assert prop.modality in (ALWAYS, EVENTUALLY, SOMETIMES)
    assert re.fullmatch(r"S\d+" if prop.modality == SOMETIMES else r"P\d+", prop.id)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", prop.name)
    assert prop.statement
    assert prop.readers_min >= 1
    assert prop.blocks_min >= 1


@pytest.mark.parametrize("name", [*ALL, *WAKEUPS])
def test_what_must_hold_has_partners_that_must_be_seen(name: str) -> None:
    assert BY_NAME[name].partners
    assert set(BY_NAME[name].partners) <= set(WITNESSES)


@pytest.mark.parametrize("name", WITNESSES)
def test_what_must_be_seen_has_no_partners_and_is_somebodys_partner(name: str) -> None:
    """Being killed, and being followed, nothing needs in order to be tried but what is said of those who follow."""
    assert BY_NAME[name].partners == ()
    assert any(name in BY_NAME[prop].partners for prop in (*ALL, *SUCCESSIVE, *WAKEUPS))
    assert any(name in BY_NAME[prop].partners for prop in ALL) == (name in PARTNERS)


def test_selected_properties_come_in_the_order_of_the_list_and_once() -> None:
    assert select(("starved", "torn", "lost", "torn")) == ("torn", "lost", "starved")
    assert select(ALL) == ALL
    assert select(ALL[::-1]) == ALL
    assert select(("lost-wakeup", "lost")) == ("lost", "lost-wakeup")


@pytest.mark.parametrize("name", ["speed", "", "TORN", "P1", *WITNESSES])
def test_what_cannot_be_broken_cannot_be_selected(name: str) -> None:
    with pytest.raises(VariantError, match=re.escape(f"unknown property {name!r}; the properties are torn, stale,")):
        select(("torn", name))


@pytest.mark.parametrize(
    ("names", "readers", "blocks", "aborts", "expected"),
    [
        (ALL, 2, 2, True, PARTNERS),
        (ALL, 2, 2, False, PARTNERS[:-2]),
        (ALL, 2, 1, True, ("received", "recycled", "writer-waits", "reader-waits", "shared-block", *PARTNERS[-2:])),
        (ALL, 1, 2, False, ("received", "recycled", "writer-waits", "reader-waits", "backlog", "side-by-side")),
        (("torn",), 3, 3, True, ("recycled",)),
        (WAKEUPS, 2, 1, False, ("slept", "woken", "sleep-together")),
        (WAKEUPS, 1, 2, True, ("slept", "woken")),
        (("race",), 1, 1, True, ("received", "recycled")),
        (("exclusion",), 1, 1, True, ()),
        (("exclusion", "reordered"), 2, 2, True, ("backlog", "side-by-side", "shared-block")),
        ((), 2, 2, True, ()),
    ],
)
def test_partners_are_asked_for_in_rings_where_they_can_be_seen(
    names: tuple[str, ...], readers: int, blocks: int, aborts: bool, expected: tuple[str, ...]
) -> None:
    assert unseen_partners(names, frozenset(), readers, blocks, aborts) == expected
    assert unseen_partners(names, frozenset(expected), readers, blocks, aborts) == ()
    assert unseen_partners(names, frozenset(expected[1:]), readers, blocks, aborts) == expected[:1]


def test_at_least_one_property_is_judged() -> None:
    with pytest.raises(VariantError, match="no property to judge"):
        select(())
