"""Recordings are judged as they should be: runs are possible, spoilt ones are not, and both just as all interleavings say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from brute import TooMany, has_an_order, head_of, recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.cli import main
from ringbuffer.errors import TraceFileError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Program, Variant, executed
from ringbuffer.state import Setup
from ringbuffer.trace.recording import OPEN, STOOD_IN, STOPPED, Record, Recording
from ringbuffer.validate import validate
from ringbuffer.validate.follow import FENCE, LOAD, MAYBE, STORE, Events, Follower, Ring
from ringbuffer.validate.judge import IMPOSSIBLE, POSSIBLE, UNDECIDED
from ringbuffer.validate.order import FOUND, NONE, Question
from ringbuffer.validate.order import OPEN as GIVEN_UP

QUICK = settings(max_examples=70, deadline=None, derandomize=True, database=None)


def events_of(*ones: tuple[int, int, int]) -> Events:
    events = Events()
    for number, (kind, place, value) in enumerate(ones):
        events.add(kind, place, value, number, 0)
    return events


def answer(actors: Sequence[Events], initial: Sequence[int], *, tso: bool, goal: Sequence[int] | None = None) -> bool:
    order = Question(actors, initial).ask(tso=tso, goal=goal)
    assert order.status in (FOUND, NONE)
    return order.status == FOUND


PLACES = 3
_FLAG = st.tuples(st.sampled_from([LOAD, LOAD, STORE]), st.integers(0, PLACES - 1), st.integers(0, 1))
_FENCE = st.just((FENCE, 0, 0))
_MAYBE = st.tuples(st.just(MAYBE), st.integers(0, PLACES - 1), st.integers(0, 1))
_ACTOR = st.lists(st.one_of(_FLAG, _FLAG, _FLAG, _FENCE, _MAYBE), max_size=7)


@settings(QUICK, max_examples=300)
@given(st.lists(_ACTOR, min_size=1, max_size=3), st.booleans(), st.data())
def test_any_sequences_are_judged_as_all_interleavings_say(
    sequences: list[list[tuple[int, int, int]]], tso: bool, data: st.DataObject
) -> None:
    actors = [events_of(*one) for one in sequences]
    goal = data.draw(st.none() | st.tuples(*(st.integers(0, len(one)) for one in actors)))
    try:
        expected = has_an_order(actors, [0] * PLACES, tso=tso, goal=goal)
    except TooMany:
        return
    assert answer(actors, [0] * PLACES, tso=tso, goal=goal) == expected


def followed(recordings: list[Recording], programs: tuple[Program, Program], ring: Ring) -> list[Events]:
    actors = []
    for one in recordings:
        follower = Follower(programs[0 if one.head.rank == -1 else 1], ring, one.head.rank)
        follower.follow(one, 0)
        actors.append(follower.events)
    return actors


def initial_of(ring: Ring, flag: int = 0) -> list[int]:
    entry = [0, *[flag] * ring.readers, -1]
    return entry * ring.blocks


SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@QUICK
@given(
    SIZES,
    st.sampled_from(["sc", "tso"]),
    st.sampled_from([PROTOCOL, ORIGINAL, PROTOCOL.replace(initial_read_flag=1), PROTOCOL.swapped("R1", "R2")]),
    st.integers(0, 1 << 32),
    st.integers(0, 250),
)
def test_a_simulated_run_is_possible(size: tuple[int, int], memory: str, variant: Variant, seed: int, steps: int) -> None:
    recordings, programs = recorded(Setup(variant, *size, words=1, memory=memory), seed, steps)
    verdict = validate(recordings, variant, programs=programs, memory=memory)
    assert verdict.status == POSSIBLE, verdict
    if memory == "sc" and variant != PROTOCOL.swapped("R1", "R2"):
        assert verdict.branchings == 0, "the steps that lose nothing are enough"


@QUICK
@given(st.integers(1, 2), st.integers(1, 2), st.booleans(), st.integers(0, 1 << 32), st.integers(5, 60), st.data())
def test_a_spoilt_run_is_judged_as_all_interleavings_say(
    readers: int, blocks: int, tso: bool, seed: int, steps: int, data: st.DataObject
) -> None:
    setup = Setup(PROTOCOL, readers, blocks, words=1, memory="tso" if tso else "sc")
    recordings, programs = recorded(setup, seed, steps)
    ring = Ring(readers, blocks)
    actors = followed(recordings, programs, ring)
    actor = data.draw(st.sampled_from([one for one in actors if len(one)]))
    at = data.draw(st.integers(0, len(actor) - 1))
    ones = list(zip(actor.kinds, actor.places, actor.values, strict=True))
    match data.draw(st.sampled_from(["flip", "drop", "swap"])):
        case "flip":
            kind, place, value = ones[at]
            ones[at] = (kind, place, value ^ 1)
        case "drop":
            del ones[at]
        case "swap":
            ones[at - 1], ones[at] = ones[at], ones[at - 1]
    spoilt = [events_of(*ones) if one is actor else one for one in actors]
    try:
        expected = has_an_order(spoilt, initial_of(ring), tso=tso)
    except TooMany:
        return
    assert answer(spoilt, initial_of(ring), tso=tso) == expected


@QUICK
@given(st.integers(0, 1 << 32), st.data())
def test_the_part_that_is_shown_is_none_and_the_shortest(seed: int, data: st.DataObject) -> None:
    recordings, programs = recorded(Setup(PROTOCOL, 2, 2, words=1), seed, 120)
    loads = [
        (number, at)
        for number, one in enumerate(recordings)
        for at, record in enumerate(one)
        if programs[min(number, 1)][record.row].row.is_payload and record.detail == 0 and number > 0
    ]
    if not loads:
        return
    number, at = data.draw(st.sampled_from(loads))
    records = list(recordings[number])
    records[at] = records[at]._replace(value=records[at].value + 1)
    recordings[number] = Recording.of(recordings[number].head, records, status=OPEN)
    verdict = validate(recordings, programs=programs)
    ring = Ring(2, 2)
    actors = followed(recordings, programs, ring)
    question = Question(actors, initial_of(ring))
    if verdict.status == POSSIBLE:
        assert question.ask(tso=True).status == FOUND
        return
    (part,) = verdict.parts
    rank = next(place for place, one in enumerate(recordings) if one.source == part.source)
    least = list(actors[rank].origins).index(part.records - 1) + 1
    goal = [0, 0, 0]
    goal[rank] = least
    assert question.ask(tso=True, goal=goal).status == NONE
    goal[rank] = least - 1
    assert question.ask(tso=True, goal=goal).status == FOUND


def test_stores_that_wait_in_buffers_are_found_under_tso_only() -> None:
    one, other = [(STORE, 0, 1), (LOAD, 1, 0)], [(STORE, 1, 1), (LOAD, 0, 0)]
    actors = [events_of(*one), events_of(*other)]
    assert not answer(actors, [0, 0], tso=False)
    assert answer(actors, [0, 0], tso=True)
    fenced = [events_of(one[0], (FENCE, 0, 0), one[1]), events_of(other[0], (FENCE, 0, 0), other[1])]
    assert not answer(fenced, [0, 0], tso=True)
    own = [events_of((STORE, 0, 1), (LOAD, 0, 1), (LOAD, 1, 0)), events_of((STORE, 1, 1), (LOAD, 1, 1), (LOAD, 0, 0))]
    assert answer(own, [0, 0], tso=True)


X, Y = 0, 1
TRAPS = {
    "a third one lets the other in": (
        [(STORE, X, 1)],
        [(LOAD, Y, 1), (LOAD, X, 0)],
        [(STORE, Y, 1)],
    ),
    "the other lets itself in": ([(STORE, X, 1)], [(STORE, Y, 1), (LOAD, Y, 1), (LOAD, X, 0)]),
    "a store of what is there comes behind the other's": ([(STORE, X, 0)], [(STORE, X, 1), (LOAD, X, 0)]),
    "and behind a load": ([(STORE, X, 0)], [(LOAD, X, 0), (STORE, X, 1), (LOAD, X, 0)]),
    "the other one's store comes first": ([(STORE, X, 1), (LOAD, X, 1)], [(STORE, X, 0), (LOAD, X, 1)]),
    "what may have been done is needed": ([(LOAD, X, 1), (LOAD, X, 0)], [(MAYBE, X, 1), (FENCE, 0, 0), (STORE, X, 0)]),
    "what may have been done must not be": ([(LOAD, X, 0), (LOAD, Y, 1), (LOAD, X, 0)], [(MAYBE, X, 1), (STORE, Y, 1)]),
}
"""Sequences that have an order, which each of some tempting short cuts would miss."""


@pytest.mark.parametrize("tso", [False, True])
@pytest.mark.parametrize("trap", TRAPS)
def test_short_cuts_that_lose_something_are_not_taken(trap: str, tso: bool) -> None:
    for turn in range(len(TRAPS[trap])):
        sequences = [*TRAPS[trap][turn:], *TRAPS[trap][:turn]]
        actors = [events_of(*one) for one in sequences]
        assert has_an_order(actors, [0, 0], tso=tso)
        assert answer(actors, [0, 0], tso=tso)


def test_a_search_without_a_budget_says_so() -> None:
    actors = [events_of((STORE, 0, value), (STORE, 0, 1 - value), (LOAD, 1, 1)) for value in (0, 1)]
    assert Question(actors, [0, 0]).ask(budget=0).status == GIVEN_UP
    assert Question(actors, [0, 0]).ask().status == NONE


# ---- Real endpoints, in one process: the schedule is the order of the calls ------------------------------------------------


def run_recorded(folder: Path, variant: Variant = PROTOCOL, *, messages: int = 5, blocks: int = 2) -> list[Recording]:
    with ShmRingBuffer(2, 64, blocks, protocol=variant) as ring:
        ends = [ShmRingBufferIO(ring, rank, record=folder / f"{rank}.ringrec") for rank in range(-1, 2)]
        for number in range(messages):
            with ends[0].acquire_write() as block:
                block[:4] = number.to_bytes(4, "little")
            for end in ends[1:]:
                with end.acquire_read(timeout=5) as block:
                    assert block[:4] == number.to_bytes(4, "little")
        for end in ends:
            end.close()
    return [Recording.read(folder / f"{rank}.ringrec") for rank in range(-1, 2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    return run_recorded(tmp_path_factory.mktemp("run"))


def changed(recording: Recording, records: list[Record]) -> Recording:
    return Recording.of(recording.head, records, source=recording.source)


def test_what_real_endpoints_did_is_possible(run: list[Recording]) -> None:
    verdict = validate(run)
    assert (verdict.status, verdict.memory, verdict.messages, verdict.branchings) == (POSSIBLE, "sc", 5, 0)


@pytest.mark.parametrize("which", range(3), ids=["writer", "reader 0", "reader 1"])
def test_no_value_can_be_flipped(run: list[Recording], which: int) -> None:
    ids = run[which].head.rows
    for at, record in enumerate(run[which]):
        records = list(run[which])
        records[at] = record._replace(value=record.value ^ 1)
        verdict = validate([changed(one, records) if one is run[which] else one for one in run])
        assert (verdict.status, len(verdict.parts)) == (IMPOSSIBLE, 1), (at, ids[record.row], verdict)
        assert verdict.parts[0].last
        assert verdict.why


@pytest.mark.parametrize("which", range(3), ids=["writer", "reader 0", "reader 1"])
def test_no_record_can_be_dropped_and_no_two_swapped(run: list[Recording], which: int) -> None:
    for at in range(len(run[which])):
        records = list(run[which])
        del records[at]
        dropped = validate([changed(one, records) if one is run[which] else one for one in run])
        is_last = at == len(run[which]) - 1
        assert dropped.status == IMPOSSIBLE or is_last, (at, dropped)
        records = list(run[which])
        records[at - 1 : at + 1] = reversed(records[at - 1 : at + 1])
        same = at == 0 or same_but_rank(run[which], at)
        swapped = validate([changed(one, records) if one is run[which] else one for one in run])
        assert swapped.status == IMPOSSIBLE or same, (at, swapped)


def same_but_rank(recording: Recording, at: int) -> bool:
    """Whether two records are of one row, which visits the ranks in any order."""
    records = list(recording)
    return records[at].row == records[at - 1].row


def test_a_digest_that_nobody_wrote_is_shown_in_words(run: list[Recording]) -> None:
    at = next(at for at, one in enumerate(run[1]) if run[1].head.rows[one.row] == "R3" and at > 10)
    records = list(run[1])
    records[at] = records[at]._replace(value=records[at].value ^ 0xFF)
    verdict = validate([run[0], changed(run[1], records), run[2]])
    assert verdict.parts[0].records == at + 1
    assert verdict.parts[0].who == "reader 0"
    assert verdict.why.startswith(
        f"no order of the others' records lets reader 0 get to its record {at}. Where the search came"
    )
    assert "the payload of block" in verdict.why
    assert verdict.parts[0].last.startswith("R3 (read) of block ")


def test_without_what_was_read_nothing_is_possible(run: list[Recording]) -> None:
    verdict = validate(run[1:])
    assert verdict.status == IMPOSSIBLE
    assert "R2" in verdict.parts[0].last


def test_what_a_broken_table_did_is_refused(tmp_path: Path) -> None:
    swapped = PROTOCOL.swapped("W5", "W6")
    own = run_recorded(tmp_path, swapped)
    assert validate(own, swapped).status == POSSIBLE
    with pytest.raises(TraceFileError, match=r"--swap W5,W6"):
        validate(own)
    unsaid = [replace(one, head=replace(one.head, tables="")) for one in own]
    verdict = validate(unsaid)
    assert verdict.status == IMPOSSIBLE
    assert "it is W6, and the table says that W5 comes here" in verdict.why


def test_rows_that_look_right_and_do_what_they_should_not_are_refused() -> None:
    """A reader whose R4 marks its neighbour: its records are those of the right table, and the writer's looks give it away."""
    wrong = PROTOCOL.retargeted("R4", "neighbour")
    recordings, _ = recorded(Setup(wrong, 2, 1, words=1, aborts=False), 3, 400)
    claimed = [replace(one, head=replace(one.head, tables="")) for one in recordings]
    verdict = validate(claimed, programs=PROTOCOL.programs)
    assert verdict.status == IMPOSSIBLE
    assert verdict.parts


def test_who_does_not_belong_is_told(run: list[Recording]) -> None:
    stranger = replace(run[1], head=replace(run[1].head, identity="ff"), source="stranger")
    with pytest.raises(TraceFileError, match=r"stranger and .* not of one run: identity is"):
        validate([run[0], stranger, run[2]])
    with pytest.raises(TraceFileError, match="a recording counts once"):
        validate([*run, run[1]])
    with pytest.raises(TraceFileError, match="no recording to validate"):
        validate([])


def test_who_has_no_file_is_named(run: list[Recording]) -> None:
    """It may just have been left out: then what is impossible is not the others' fault."""
    for left, names in ((run[:2], "reader 1"), (run[1:], "the writer"), (run[:1], "reader 0, reader 1")):
        verdict = validate(left)
        assert verdict.status == IMPOSSIBLE
        assert f". There is no file of {names}: who has none" in verdict.why
    many = [replace(one, head=replace(one.head, readers=9)) for one in run]
    assert "the writer, reader 2, reader 3, reader 4, reader 5, reader 6, 2 more:" in validate(many[1:]).why
    assert "no file" not in validate([run[0], run[1], replace(run[2], records=run[2].records[:16], status=OPEN)]).why


def test_a_role_may_have_had_many_holders(run: list[Recording]) -> None:
    writer, reader, other = run
    many = [replace(reader, head=replace(reader.head, generation=number), records=b"") for number in range(1, 301)]
    verdict = validate([writer, *many, replace(reader, head=replace(reader.head, generation=301)), other])
    assert (verdict.status, verdict.recordings) == (POSSIBLE, 303)


def test_what_leaves_it_open_is_undecided(run: list[Recording]) -> None:
    for spoilt, why in (
        (replace(run[0], marks=STOOD_IN), "evicted"),
        (replace(run[0], status=STOPPED), "could not grow"),
        (replace(run[0], head=replace(run[0].head, generation=2)), "holder 1 is missing"),
        (replace(run[0], head=replace(run[0].head, start=3)), "with nobody before"),
        (changed(run[0], [*list(run[0])[:5], Record(-1, 0, 0, 0)]), "interrupt"),
    ):
        verdict = validate([spoilt, *run[1:]])
        assert verdict.status == UNDECIDED
        assert why in verdict.why


def test_a_record_of_no_row_is_refused(run: list[Recording]) -> None:
    for code in (b"\0\0", b"\x40\0"):
        spoilt = replace(run[0], records=run[0].records[:-16] + code + run[0].records[-14:])
        verdict = validate([spoilt, *run[1:]])
        assert verdict.status == IMPOSSIBLE
        assert "which its head does not name" in verdict.why


def test_tables_that_no_endpoint_runs_are_refused(run: list[Recording]) -> None:
    locked = PROTOCOL.without("W4")
    with pytest.raises(VariantError, match="0 payload rows"):
        validate(run, programs=(executed(locked.writer), executed(locked.reader)))


def test_the_command(run: list[Recording], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for number, one in enumerate(run):
        names.append(str(tmp_path / f"{number}.ringrec"))
        one.save(names[-1])
    assert main(["validate", *names, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == POSSIBLE
    assert main(["validate", *names, "--swap", "W5,W6"]) == 2
    assert "held to 'swap=W5,W6'" in capsys.readouterr().err
    records = list(run[2])
    del records[3]
    changed(run[2], records).save(names[2])
    assert main(["validate", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "reader 1, record 3: it is R4, and the table says that N2 comes here" in said
    assert "the first 4 of" in said
    data = Path(names[0]).read_bytes()
    replace(run[0], status=STOPPED).save(names[0])
    assert main(["validate", str(tmp_path)]) == 3
    for spoilt, why in (
        (data[:-8], "truncated"),
        (data[:-1] + bytes([data[-1] ^ 1]), "checksum of its records"),
        (data + b"more", "behind its"),
        (data[:60] + b"?" + data[61:], "checksum of its head"),
        (b"garbage" * 1000, "is no recording"),
        (b"", "is no recording"),
    ):
        Path(names[0]).write_bytes(spoilt)
        assert main(["validate", *names]) == 2
        assert why in capsys.readouterr().err
    assert main(["validate", str(tmp_path / "nothing")]) == 2


def test_looks_may_be_left_out_that_find_the_same_again() -> None:
    """A recorder takes such looks back: with them, the same is possible."""
    program = PROTOCOL.programs
    busy = [Record(0, 0, 0, 0), Record(1, 0, 0, 0)]
    reader = head_of(0, 1, 1, program[1], PROTOCOL)
    writer = Recording.of(head_of(-1, 1, 1, program[0], PROTOCOL), [], status=OPEN)
    for count in (1, 2, 9):
        assert validate([writer, Recording.of(reader, busy * count)], programs=program).status == POSSIBLE
