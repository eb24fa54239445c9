"""The mutator: it leaves out no single edit, calls nothing right or wrong that is not, and finds what is recorded."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import reports
import roster

from ringbuffer.checker import HOLDS, REFUTED, UNKNOWN, Result, explore, mutate, recorded
from ringbuffer.checker.mutants import pairs, programs_key, single_edits, steps_key, variant_of
from ringbuffer.checker.mutate import BENIGN, ONE_BLOCK, ONE_READER, VACUOUS, Mutation, Report, classify, mutations, surprises
from ringbuffer.checker.parallel import answers
from ringbuffer.errors import VariantError
from ringbuffer.protocol import PROTOCOL, Flag, Kind, Ordering, Variant
from ringbuffer.protocol.table import Access, Outcome, Row, Table, Then
from ringbuffer.simulator import ABORT, PROCEED, Setup, Simulation

SINGLE_COUNT = 131


@pytest.fixture(scope="module")
def report() -> Report:
    """Every single edit and every pair of benign ones, under sequential consistency."""
    return reports.mutations()


# Nothing is left out.


def key(variant: Variant) -> str:
    """What the resolved tables do, in words of this test's own."""
    rows = [
        f"{place.row.access!r} {sorted((outcome.value, to.pc, to.advance, to.edge.value) for outcome, to in place.branches)}"
        for program in variant.programs
        for place in program.instructions
    ]
    return f"{rows} {variant.initial_read_flag}"


def every_row(table: Table) -> Iterator[Row]:
    """Each row of the table edited in every way in which a row can be wrong, by hand and not by the edits of the variant."""
    for row in table.rows:
        access = row.access
        yield from (
            replace(row, then=tuple((own, then if own is outcome else old) for own, old in row.then))
            for outcome, _ in row.then
            for then in Then
        )
        if access.kind is Kind.LOAD:
            ones, zeros = dict(row.then)[Outcome.ONE], dict(row.then)[Outcome.ZERO]
            yield replace(row, then=((Outcome.ONE, zeros), (Outcome.ZERO, ones)))
        yield from (replace(row, access=other) for other in every_access(access, table.role.value))


def every_access(access: Access, side: str) -> Iterator[Access]:
    if access.kind is Kind.STORE:
        assert access.value is not None
        yield replace(access, value=1 - access.value)
    if access.flag is not None:
        yield replace(access, ordering=Ordering.RELAXED)
        ranked = (Flag.OWN, Flag.NEIGHBOUR) if side == "reader" else ()
        yield from (replace(access, flag=flag) for flag in (Flag.WRITTEN, Flag.EACH, Flag.BUT_LAST, *ranked))
    if access.kind is Kind.LOAD and access.flag is Flag.EACH:
        yield replace(access, missing_allowed=1)


def every_table(table: Table) -> Iterator[Table]:
    rows = table.rows
    for place, row in enumerate(rows):
        rest = (*rows[:place], *rows[place + 1 :])
        yield replace(table, rows=rest)
        yield from (replace(table, rows=(*rest[:to], row, *rest[to:])) for to in range(len(rows)))
        for edited in every_row(table):
            if edited.id == row.id:
                yield replace(table, rows=(*rows[:place], edited, *rows[place + 1 :]))
    yield from (replace(table, advance_after_use=blocks) for blocks in (0, 2))


def by_hand() -> set[str]:
    """The programs of every single edit."""
    found = {key(replace(PROTOCOL, writer=table)) for table in every_table(PROTOCOL.writer)}
    found |= {key(replace(PROTOCOL, reader=table)) for table in every_table(PROTOCOL.reader)}
    found |= {key(replace(PROTOCOL, initial_read_flag=1)), key(PROTOCOL.replace(policy="scan"))}
    return found - {key(PROTOCOL)}


def test_every_single_edit_is_there_once() -> None:
    keys = [key(variant_of(text)) for text in single_edits()]
    assert len(set(keys)) == len(keys) == SINGLE_COUNT
    assert set(keys) == by_hand()


def test_every_pair_is_there_once_in_each_order_that_matters() -> None:
    chosen = ("without=W3", "swap=W1,W2", "swap=W4,W5", "move=W3,W6", "move=W1,W5", "initial-read-flag=1")
    alone = {key(PROTOCOL), *(key(variant_of(text)) for text in chosen)}
    wanted = set()
    for first in chosen:
        for second in chosen:
            try:
                wanted.add(key(variant_of(f"{first} {second}")))
            except VariantError:
                assert first == "without=W3", "W3 cannot be moved when it is gone"
    found = [key(variant_of(text)) for text in pairs(chosen)]
    assert len(set(found)) == len(found)
    assert set(found) == wanted - alone
    assert "move=W1,W5 swap=W1,W2" in pairs(chosen), "the other order is the move alone"


def test_programs_are_told_apart_by_what_they_do_and_not_by_what_they_say() -> None:
    renamed = replace(PROTOCOL.writer.rows[0], id="W9", title="look", why="")
    other = replace(PROTOCOL, writer=replace(PROTOCOL.writer, rows=(renamed, *PROTOCOL.writer.rows[1:])))
    assert programs_key(other) == programs_key(PROTOCOL)
    assert programs_key(variant_of("weaken=R2")) != programs_key(PROTOCOL)


@pytest.mark.parametrize(
    ("edits", "memory", "same"),
    [
        ("weaken=W6", "sc", True),
        ("weaken=W6", "tso", True),
        ("weaken=W6", "ra", False),
        ("redirect=W2,0,restart", "ra", True),
        ("redirect=W2,0,restart policy=scan", "sc", False),
        ("redirect=W4,aborted,found", "sc", False),
        ("initial-read-flag=1", "sc", False),
        ("fence-before=W6,acquire", "sc", False),
    ],
)
def test_steps_are_the_same_where_nothing_can_tell_them_apart(edits: str, memory: str, same: bool) -> None:
    base = PROTOCOL.replace(policy="scan") if "scan" in edits else PROTOCOL
    assert (steps_key(variant_of(edits), memory) == steps_key(base, memory)) is same


@pytest.mark.parametrize("memory", ["sc", "tso"])
@pytest.mark.parametrize("edits", ["weaken=R2", "redirect=R1,1,restart", "redirect=R3,aborted,wait"])
def test_the_same_steps_make_the_same_graph(edits: str, memory: str) -> None:
    one, other = (explore(variant, 1, 2, memory=memory) for variant in (variant_of(edits), PROTOCOL))
    assert (one.status, one.states, one.transitions, one.depth) == (other.status, other.states, other.transitions, other.depth)


# What is found, and that it is as recorded.


def test_what_is_found_is_what_is_recorded(report: Report) -> None:
    assert report.surprises == ()
    assert report.counts() == {("sc", REFUTED): 97, ("sc", ONE_READER): 5, ("sc", ONE_BLOCK): 9, ("sc", BENIGN): 20}
    assert report.counts(report.pairs) == {("sc", REFUTED): 5, ("sc", BENIGN): 180}


def test_each_benign_edit_has_a_reason_and_nothing_else_has_one(report: Report) -> None:
    benign = {edits for found in recorded.SINGLES.values() for edits, summary in found.items() if summary == BENIGN}
    assert benign == set(recorded.REASONS) == {one.edits for one in report.singles if one.kind == BENIGN}
    small = {one.edits for one in report.singles if one.kind in (ONE_READER, ONE_BLOCK)}
    assert small == set(recorded.REASONS_IN_SMALL)
    assert all(reason.endswith(".") for reason in (*recorded.REASONS.values(), *recorded.REASONS_IN_SMALL.values()))


def test_what_others_know_to_be_benign_is_called_so(report: Report) -> None:
    found = {key(variant_of(one.edits)): one for one in (*report.singles, *report.pairs)}
    for edits in filter(None, roster.BENIGN):
        mutation = found.get(key(variant_of(edits))) or classify(edits)
        assert (mutation.kind, mutation.property) == (BENIGN, None), edits


@pytest.mark.parametrize("edits", [edits for edits in roster.REFUTED if len(edits.split()) == 1])
def test_what_others_know_to_be_wrong_is_called_so(report: Report, edits: str) -> None:
    known = {key(variant_of(one.edits)): one for one in report.singles}
    mutation = known[key(variant_of(edits))]
    assert mutation.property in {*roster.REFUTED[edits].safety_steps, *roster.REFUTED[edits].stuck}
    assert mutation.size is not None


@pytest.mark.parametrize("edits", ["without=W3 move=W5,W4", "swap=W4,W5 swap=R1,R2"])
def test_pairs_of_benign_edits_that_break(report: Report, edits: str) -> None:
    by_key = {key(variant_of(one.edits)): one for one in (*report.singles, *report.pairs)}
    assert all(by_key[key(variant_of(edit))].kind == BENIGN for edit in edits.split())
    pair = by_key[key(variant_of(edits))]
    assert (pair.kind, pair.property, pair.size, pair.messages, pair.later_lap) == (REFUTED, "exclusion", (1, 1), 2, True)


def test_a_counterexample_replays_and_is_of_the_length_that_is_told(report: Report) -> None:
    for one in report.singles:
        if one.size is not None:
            assert one.token is not None
            run = Simulation.replay(one.token)
            assert (len(run.steps), (run.setup.readers, run.setup.blocks)) == (one.steps, one.size)
            assert str(run.setup.variant) == (one.like or one.edits)


@pytest.mark.parametrize(("kind", "wrong"), [(BENIGN, 111), (REFUTED, 131)])
def test_a_classifier_that_says_the_same_of_all_is_found_out(report: Report, kind: str, wrong: int) -> None:
    same = [
        Mutation(one.edits, "sc", kind, property="stale", size=None if kind == BENIGN else (1, 1)) for one in report.singles
    ]
    assert len(surprises(same, recorded.SINGLES)) == wrong


def test_what_is_not_tried_or_not_recorded_is_a_surprise(report: Report) -> None:
    assert len(surprises(report.singles[1:], recorded.SINGLES)) == 1
    stranger = replace(report.singles[0], edits="without=W7")
    assert len(surprises([*report.singles, stranger], recorded.SINGLES)) == 1


def test_a_change_of_the_protocol_is_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """With R1 gone from what is explored, what was benign is wrong."""

    def changed(variant: Variant, *arguments: Any, **options: Any) -> Result:
        reads = variant if len(variant.reader.rows) < 4 else variant.without("R1")
        return explore(reads, *arguments, **options)

    monkeypatch.setattr(mutate, "explore", changed)
    found = mutations("sc", ("swap=W3,W4", "swap=W4,W5", "without=W3"))
    assert {one.kind for one in found} == {REFUTED}


# What the parts of a classification mean.


def test_the_smallest_ring_is_named_and_smaller_ones_hold() -> None:
    found = classify("retarget=W3,but-last")
    assert (found.kind, found.size, found.held) == (ONE_READER, (2, 1), ((1, 1), (1, 2)))
    found = classify("advance=reader,0")
    assert (found.kind, found.size, found.held) == (ONE_BLOCK, (1, 2), ((1, 1), (2, 1)))
    assert classify("retarget=W3,but-last advance=reader,0").kind == "one reader and one block"


def test_fewer_messages_show_nothing(report: Report) -> None:
    for one in report.singles:
        if one.size is not None and not one.like and one.messages == 2:
            result = explore(variant_of(one.edits), *one.size, 1)
            assert result.status == HOLDS, one.edits
    assert {one.messages for one in report.singles if one.size is not None} == {1, 2}


@pytest.mark.parametrize(
    ("edits", "later"),
    [("without=R2", False), ("swap=W5,W6", False), ("without=W5", True), ("missing-readers=1", True), ("flip=W2", True)],
)
def test_what_fails_on_the_first_lap_is_told_from_what_fails_later(edits: str, later: bool) -> None:
    for readers, blocks in ((1, 1), (1, 2), (2, 2)):
        result = explore(variant_of(edits), readers, blocks)
        fills = [step.block for step in result.trace if step.kind == "fill" and step.location == "word 0"]
        assert mutate.is_later_lap(result.trace, result.setup.variant) is later
        assert len(fills) > blocks if later else len(set(fills)) == len(fills)


def test_a_block_that_is_filled_again_after_an_abort_is_not_a_second_lap() -> None:
    run = Simulation(Setup(readers=1, blocks=1, words=1))
    for detail in (PROCEED, PROCEED, ABORT, PROCEED, PROCEED, PROCEED):
        run.take((0, detail, 0))
    assert [step.row for step in run.steps] == ["W1", "W3", "W4", "W1", "W3", "W4"]
    assert not mutate.is_later_lap(run.steps, PROTOCOL)


def test_what_the_stronger_memory_refutes_is_not_explored_again() -> None:
    strong = classify("without=W5")
    weak = classify("without=W5", "ra", stronger=strong)
    assert weak == replace(strong, memory="ra", under="sc")
    assert explore(variant_of("without=W5"), 1, 1, memory="ra", properties=("overwritten",)).status == REFUTED


def test_rings_that_hold_under_the_stronger_memory_are_explored_under_the_weaker() -> None:
    edits = "weaken=R2 advance=reader,0"
    strong = classify(edits)
    assert strong.size == (1, 2)
    weak = classify(edits, "ra", stronger=strong)
    assert (weak.kind, weak.property, weak.size, weak.under) == (REFUTED, "race", (1, 1), "")


@pytest.mark.parametrize("row", ["W2", "W5", "W6", "R1", "R2", "R4"])
def test_a_weakened_row_is_benign_under_tso_and_races_under_release_acquire(row: str) -> None:
    edits = f"weaken={row}"
    assert classify(edits, "tso", ((1, 1), (1, 2), (2, 1))).kind == BENIGN
    found = classify(edits, "ra")
    assert (found.kind, found.property, found.summary()) == (REFUTED, "race", recorded.SINGLES["ra"][edits])


def test_a_bound_of_states_leaves_the_answer_open() -> None:
    found = classify("without=W3", max_states=10)
    assert (found.kind, found.held, found.summary()) == (UNKNOWN, (), UNKNOWN)


def test_what_holds_without_showing_what_it_should_is_vacuous() -> None:
    """A writer that spins without waiting is never seen to wait; that its steps are the shipped ones says that it is right."""
    found = classify("redirect=W2,0,restart")
    assert (found.kind, found.unseen) == (VACUOUS, ("writer-waits",))
    (same,) = mutations("sc", ("redirect=W2,0,restart",))
    assert (same.kind, same.like) == (BENIGN, "shipped")


def test_edits_that_do_not_apply_are_refused() -> None:
    with pytest.raises(VariantError):
        classify("without=W3 without=W3")


# Two processes.


def test_two_processes_say_what_one_says_and_leave_nothing_behind() -> None:
    edits = ("without=W3", "without=W5", "weaken=W2", "advance=reader,0")
    told: list[str] = []
    assert mutations("sc", edits, jobs=2, on_advance=told.append) == mutations("sc", edits)
    assert len(told) == len(edits)
    assert multiprocessing.active_children() == []


def test_an_answer_that_raises_ends_the_other_process_too() -> None:
    with pytest.raises(VariantError):
        list(answers(variant_of, ["without=W1", "without=W9", "without=W2"], 2))
    assert multiprocessing.active_children() == []


def test_answers_come_in_order_and_can_be_left_early() -> None:
    both = answers(variant_of, ["without=W1", "without=W2", "without=W3"], 2)
    assert str(next(both)) == "without=W1"
    both.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []
