"""The tables, resolved, against the design's own table, and what every table promises."""

from __future__ import annotations

from itertools import chain

import pytest
from edits import OTHER_PLACES, in_words, variants
from hand_written import READER_ROWS, SCANNING_READER_ROWS, SCANNING_WRITER_ROWS, WRITER_ROWS, RowText
from hypothesis import given, settings

from ringbuffer.errors import VariantError
from ringbuffer.protocol import (
    ORIGINAL,
    PROTOCOL,
    READER,
    WRITER,
    Access,
    Edge,
    Flag,
    Kind,
    Ordering,
    Outcome,
    Program,
    Role,
    Row,
    Table,
    Then,
    Variant,
    resolve,
)

SHIPPED_ROWS = (*WRITER.rows, *READER.rows)


@pytest.mark.parametrize(
    ("variant", "side", "rows"),
    [
        (PROTOCOL, 0, WRITER_ROWS),
        (PROTOCOL, 1, READER_ROWS),
        (ORIGINAL, 0, SCANNING_WRITER_ROWS),
        (ORIGINAL, 1, SCANNING_READER_ROWS),
    ],
    ids=["shipped-writer", "shipped-reader", "scanning-writer", "scanning-reader"],
)
def test_the_resolved_table_is_the_designs(variant: Variant, side: int, rows: tuple[RowText, ...]) -> None:
    assert in_words(variant.programs[side]) == rows


def test_scanning_differs_in_the_order_of_the_writers_looks_and_in_the_moves_only() -> None:
    def moves(program: Program) -> set[tuple[str, str]]:
        return {
            (instruction.row.id, branch.edge.value)
            for instruction in program.instructions
            for _, branch in instruction.branches
            if branch.advance
        }

    assert [[i.row.id for i in program.instructions] for program in ORIGINAL.programs] == [
        ["W2", "W1", "W3", "W4", "W5", "W6"],
        ["R1", "R2", "R3", "R4"],
    ]
    assert [moves(program) for program in PROTOCOL.programs] == [{("W6", "finished")}, {("R4", "finished")}]
    assert [moves(program) for program in ORIGINAL.programs] == [{("W1", "waited")}, {("R1", "waited"), ("R2", "waited")}]
    for row in SHIPPED_ROWS:
        assert ORIGINAL.row(row.id) == row


@pytest.mark.parametrize("program", PROTOCOL.programs, ids=lambda program: program.role.value)
def test_the_edges_say_why_the_actor_goes_back(program: Program) -> None:
    last = len(program) - 1
    for instruction in program.instructions:
        for outcome, branch in instruction.branches:
            if outcome is Outcome.ABORTED:
                assert branch.edge is Edge.RESTARTED
            elif instruction.pc == last:
                assert branch.edge is Edge.FINISHED
            elif branch.pc == 0:
                assert branch.edge is Edge.WAITED
            else:
                assert branch.edge is Edge.FORWARD


def test_clause_ids_are_unique_and_name_their_side() -> None:
    ids = [row.id for row in SHIPPED_ROWS]
    assert len(set(ids)) == len(ids)
    assert all(row.id.startswith("W") for row in WRITER.rows)
    assert all(row.id.startswith("R") for row in READER.rows)


@pytest.mark.parametrize("row", SHIPPED_ROWS, ids=lambda row: row.id)
def test_each_row_has_a_title_and_one_sentence_that_says_why(row: Row) -> None:
    assert row.title
    assert row.why.endswith(".")
    assert row.why.count(". ") == 0


@pytest.mark.parametrize("row", SHIPPED_ROWS, ids=lambda row: row.id)
def test_exactly_the_rows_with_an_ordering_say_with_which_row_it_pairs(row: Row) -> None:
    opposite = {Ordering.ACQUIRE: Ordering.RELEASE, Ordering.RELEASE: Ordering.ACQUIRE}
    if row.access.ordering not in opposite:
        assert row.pairing == ""
        return
    partner = PROTOCOL.row(row.pairing.removeprefix("with ").partition(":")[0])
    assert partner.access.ordering is opposite[row.access.ordering]
    assert partner.pairing.startswith(f"with {row.id}:")
    assert partner.id[0] != row.id[0]


@pytest.mark.parametrize("row", SHIPPED_ROWS, ids=lambda row: row.id)
def test_loads_acquire_stores_release_and_payloads_are_plain(row: Row) -> None:
    allowed = {
        Kind.LOAD: {Ordering.RELAXED, Ordering.ACQUIRE},
        Kind.STORE: {Ordering.RELAXED, Ordering.RELEASE},
        Kind.FILL: {Ordering.PLAIN},
        Kind.READ: {Ordering.PLAIN},
    }
    assert row.access.ordering in allowed[row.access.kind]


@pytest.mark.parametrize("row", SHIPPED_ROWS, ids=lambda row: row.id)
def test_a_row_says_of_itself_whether_it_looks_or_hands_out_the_block(row: Row) -> None:
    assert row.is_look == (row.id in {"W1", "W2", "R1", "R2"})
    assert row.is_payload == (row.id in {"W4", "R3"})
    assert row.access.missing_allowed == 0


@pytest.mark.parametrize(
    ("row_id", "text"),
    [
        ("W1", "load written"),
        ("W2", "load read[*]"),
        ("W3", "store written ← 0"),
        ("W4", "payload writes, by the caller"),
        ("W5", "store read[*] ← 0"),
        ("W6", "store written ← 1"),
        ("R1", "load read[r]"),
        ("R3", "payload reads, by the caller"),
        ("R4", "store read[r] ← 1"),
    ],
)
def test_an_access_reads_as_in_the_design(row_id: str, text: str) -> None:
    assert str(PROTOCOL.row(row_id).access) == text


@pytest.mark.parametrize("kind", [Kind.LOAD, Kind.STORE])
def test_an_access_without_a_flag_cannot_be_printed_as_one(kind: Kind) -> None:
    with pytest.raises(AssertionError, match="names its flag"):
        str(Access(kind, Ordering.RELAXED))


def test_a_table_without_rows_cannot_be_run() -> None:
    with pytest.raises(VariantError, match="the reader's table has no rows left"):
        resolve(Table(Role.READER, (), undecided=Then.FOUND))


def test_a_program_finds_rows_by_clause_id_and_branches_by_outcome() -> None:
    writer, reader = PROTOCOL.programs
    assert (writer.role, reader.role) == (Role.WRITER, Role.READER)
    assert (len(writer), len(reader)) == (6, 4)
    assert [writer.pc_of(f"W{number}") for number in range(1, 7)] == list(range(6))
    assert writer[writer.pc_of("W3")].row is PROTOCOL.row("W3")
    assert writer[0].branch(Outcome.ZERO).pc == writer.pc_of("W3")
    with pytest.raises(KeyError, match="W1"):
        reader.pc_of("W1")
    with pytest.raises(KeyError):
        writer[0].branch(Outcome.DONE)


def test_programs_are_hashable_and_equal_when_their_rows_are() -> None:
    assert hash(resolve(WRITER)) == hash(PROTOCOL.programs[0])
    assert resolve(WRITER) == PROTOCOL.programs[0]
    assert resolve(WRITER) != ORIGINAL.programs[0]


@settings(deadline=None)
@given(variants())
def test_in_every_edited_table_branches_go_forward_or_back_to_the_first_row(variant: Variant) -> None:
    """Or, from behind the looks, back to the first row behind them: an edit can do that."""
    for program, table in zip(variant.programs, (variant.writer, variant.reader), strict=True):
        assert [instruction.row for instruction in program.instructions] == list(table.rows)
        assert [instruction.pc for instruction in program.instructions] == list(range(len(program)))
        found = max((one.pc + 1 for one in program.instructions if one.row.is_look), default=0)
        for instruction in program.instructions:
            ends = {"done", "aborted"} if instruction.row.is_payload else {"done"}
            outcomes = {"0", "1"} if instruction.row.is_look else ends
            assert {outcome.value for outcome, _ in instruction.branches} == outcomes
            for _, branch in instruction.branches:
                forward = branch.edge is Edge.FORWARD
                back = {0, found} if branch.edge is Edge.RESTARTED and instruction.pc >= found else {0}
                assert instruction.pc < branch.pc < len(program) if forward else branch.pc in back
                assert (
                    branch.advance
                    == {
                        Edge.FORWARD: 0,
                        Edge.RESTARTED: 0,
                        Edge.FINISHED: table.advance_after_use,
                        Edge.WAITED: table.advance_while_waiting,
                    }[branch.edge]
                )


@settings(deadline=None)
@given(variants(never=OTHER_PLACES))
def test_a_look_that_has_found_leads_behind_the_last_look(variant: Variant) -> None:
    """Of the writer's looks one is enough; of a reader's all are needed, so only the last one can find."""
    writer, reader = variant.programs
    finds = {Flag.WRITTEN: Outcome.ZERO, Flag.EACH: Outcome.ONE, Flag.OWN: Outcome.ZERO}
    for instruction in chain(writer.instructions, reader.instructions):
        if not instruction.row.is_look:
            continue
        flag = instruction.row.access.flag
        assert flag is not None
        program = writer if instruction.row.id.startswith("W") else reader
        last_look = max(i.pc for i in program.instructions if i.row.is_look)
        behind = last_look + 1 if last_look + 1 < len(program) else 0
        found = finds[flag] if program is writer else {Flag.OWN: Outcome.ZERO, Flag.WRITTEN: Outcome.ONE}[flag]
        other = Outcome.ONE if found is Outcome.ZERO else Outcome.ZERO
        if program is writer:
            assert instruction.branch(found).pc == behind
            undecided = instruction.branch(other)
            assert undecided.pc == instruction.pc + 1 if instruction.pc < last_look else undecided.edge is Edge.WAITED
        else:
            assert instruction.branch(other).edge is Edge.WAITED
            assert instruction.branch(found).pc == (instruction.pc + 1 if instruction.pc < last_look else behind)


@pytest.mark.parametrize(
    ("ordering", "acquires", "releases"),
    [
        (Ordering.PLAIN, False, False),
        (Ordering.RELAXED, False, False),
        (Ordering.ACQUIRE, True, False),
        (Ordering.RELEASE, False, True),
        (Ordering.ACQ_REL, True, True),
        (Ordering.SEQ_CST, True, True),
    ],
)
def test_what_an_ordering_does(ordering: Ordering, acquires: bool, releases: bool) -> None:
    assert (ordering.acquires, ordering.releases) == (acquires, releases)
