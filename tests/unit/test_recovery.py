"""Notes and taking over, as pure functions and as rows: where they stand, where they lead, and where a successor goes on."""

from __future__ import annotations

import pytest

from ringbuffer.errors import VariantError
from ringbuffer.protocol import PROTOCOL, READER, WRITER, Edge, Kind, Outcome, Role, executed, resolve, with_notes, with_waking
from ringbuffer.protocol.oracle import accepted, given_back, nothing_owed
from ringbuffer.protocol.recovery import reader_resumes_at, writer_resumes_at
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS, TAKING_OVER
from ringbuffer.protocol.waking import can_sleep


def ids_of(table: object) -> list[str]:
    return [row.id for row in table.rows]  # type: ignore[attr-defined]


def test_a_writer_notes_behind_its_last_row_and_a_reader_before_its_own() -> None:
    assert ids_of(with_notes(WRITER)) == [*ids_of(WRITER), "N1"]
    assert ids_of(with_notes(READER)) == ["R1", "R2", "R3", "N2", "R4"]


@pytest.mark.parametrize("edited", [PROTOCOL.fenced(after="R4"), PROTOCOL.locked(after="R4")], ids=["fence", "lock"])
def test_the_readers_note_stays_before_its_mark_whatever_follows_that(edited: object) -> None:
    ids = ids_of(with_notes(edited.reader))  # type: ignore[attr-defined]
    assert ids[:5] == ["R1", "R2", "R3", "N2", "R4"]


@pytest.mark.parametrize(
    ("position", "is_published", "holds", "goes_on"),
    [(0, False, 0, 0), (0, True, 0, 1), (5, True, 5, 6), (5, True, 3, 5), (5, False, 5, 5)],
)
def test_a_writers_successor_goes_on_behind_what_is_published(
    position: int, is_published: bool, holds: int, goes_on: int
) -> None:
    assert writer_resumes_at(position, is_published=is_published, holds=holds) == goes_on


@pytest.mark.parametrize(
    ("position", "is_unread", "holds", "goes_on"),
    [(0, True, -1, 0), (1, True, 0, 0), (1, True, 2, 1), (1, False, 0, 1), (7, True, 6, 6)],
)
def test_a_readers_successor_goes_on_at_what_is_not_marked(position: int, is_unread: bool, holds: int, goes_on: int) -> None:
    assert reader_resumes_at(position, is_unread=is_unread, holds=holds) == goes_on


@pytest.mark.parametrize("table", [WRITER, READER], ids=["writer", "reader"])
@pytest.mark.parametrize("name", SUCCESSIONS)
def test_taking_over_stands_behind_the_table_and_leads_to_its_first_row(name: str, table: object) -> None:
    succession = SUCCESSIONS[name]
    program = succession.program(table)  # type: ignore[arg-type]
    own = succession.without_taking_over(table)  # type: ignore[arg-type]
    assert program.instructions[: len(own)] == own.instructions
    behind = program.instructions[len(own) :]
    assert behind
    assert all(one.row.id.startswith(TAKING_OVER) for one in behind)
    for one in behind:
        for outcome, branch in one.branches:
            ends = branch.edge is Edge.RETURNED
            assert branch.pc == 0 if ends else one.pc < branch.pc < len(program)
            if outcome is Outcome.DONE and one is behind[-1]:
                assert ends
    kinds = {one.row.access.kind for one in behind}
    assert Kind.LOAD in kinds
    assert Kind.READ in kinds


def test_the_shipped_writers_successor_notes_and_the_readers_looks_at_its_own_flag_first() -> None:
    shipped = SUCCESSIONS[SHIPPED]
    writer, reader = ([one.row.id for one in shipped.program(table).instructions] for table in (WRITER, READER))
    assert writer[-3:] == ["T1", "T2", "T3"]
    assert reader[-3:] == ["T4", "T5", "T6"]


@pytest.mark.parametrize("name", SUCCESSIONS)
def test_where_a_successor_goes_on(name: str) -> None:
    """Where the one before has missed its note or its mark: by the rule, or one of the wrong places."""
    succession = SUCCESSIONS[name]
    writer = succession.resumes_at(Role.WRITER, 5, is_held=True, holds=5, blocks=2)
    reader = succession.resumes_at(Role.READER, 5, is_held=True, holds=4, blocks=2)
    wrong = {"as noted": 5, "one on": 6, "one back": 4, "first block": 4}
    assert writer == wrong.get(succession.writer_goes_on, 6)
    assert reader == wrong.get(succession.reader_goes_on, 4)


def test_what_a_dead_reader_had_in_hand_is_owed_to_its_successor_first() -> None:
    owed = accepted(accepted(nothing_owed(2), 1), 2)
    taken = ((2,), owed[1])
    assert given_back(taken, 0, 1) == owed


def test_who_does_something_between_its_looks_does_not_sleep() -> None:
    edited = PROTOCOL.moved("W3", before="W2").writer
    assert not can_sleep(resolve(edited))
    with pytest.raises(VariantError, match="cannot sleep"):
        with_waking(resolve(edited))
    assert executed(edited) == resolve(with_notes(edited))
