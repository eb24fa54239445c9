"""Soak runs: a short one is clean with all that happens in it, what is wrong is said, and nothing is left behind."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from functools import partial

import pytest

from ringbuffer import ShmRingBuffer, ShmRingBufferIO, cli
from ringbuffer.checker.processes import RunFailed
from ringbuffer.errors import PeerDied
from ringbuffer.protocol import PROTOCOL
from ringbuffer.soak import crew as crews
from ringbuffer.soak import reader as readers
from ringbuffer.soak import run as runs
from ringbuffer.soak.command import add_soak, command_of
from ringbuffer.soak.reader import ATTACHED, FAULT, NEXT, Orders, words_bytes
from ringbuffer.soak.run import Plan, soak
from ringbuffer.soak.stream import PLANS, RAW, Message, OtherMessage, Shape, Stream, is_message, receive, receive_any, send

SHORT = Plan(1_500, readers=2, blocks=4, chunk_bytes=256, seed=3, pause_every=0, replace_every=0, stall_seconds=10.0)
SHAPE = Shape(seed=3, chunk_bytes=256, blocks=4)
STREAM = Stream(SHAPE)


def orders_of_nobody(rank: int, generation: int) -> Orders:
    pytest.fail(f"nobody is told anything here, and rank {rank} was ({generation})")


def place_reader(ring: ShmRingBuffer, position: int) -> None:
    """Note that reader 0 is done with so many blocks."""
    offset = ring.segment.layout.participant_offset(0)
    with ring.segment.whole() as whole, whole[offset : offset + 8] as some, some.cast("Q") as words:
        words[0] = position


# ---- The stream ------------------------------------------------------------------------------------------------------------


def test_a_stream_is_the_same_for_all_who_make_it_and_no_two_neighbours_are_alike() -> None:
    one, other, another = Stream(SHAPE), Stream(SHAPE), Stream(dataclasses.replace(SHAPE, seed=4))
    numbers = [*range(300), *range(PLANS - 5, PLANS + 5), 10**9]
    assert [one.message(number) for number in numbers] == [other.message(number) for number in numbers]
    assert [one.message(number) for number in numbers] != [another.message(number) for number in numbers]
    for number in numbers:
        assert is_message_of_its_number(one, number)
        here, next_lap = one.message(number), one.message(number + PLANS)
        assert (here[0], len(here[2])) == (next_lap[0], len(next_lap[2]))
        assert here[2] != next_lap[2] or not here[2]


def is_message_of_its_number(stream: Stream, number: int) -> bool:
    how, stamp, body = stream.message(number)
    assert int.from_bytes(stamp, "little") == number
    assert how != RAW or len(body) <= SHAPE.chunk_bytes
    return body[:8] == stamp[: len(body)] and (len(body) < 16 or body[-8:] == stamp)


def test_a_stream_knows_at_which_block_each_message_begins_and_tells_each_kind_from_others() -> None:
    """Every kind that there is, in one block and in several, through a ring; the blocks that it took are counted."""
    stream = Stream(SHAPE)
    kinds: dict[tuple[int, bool], int] = {}
    for number in range(PLANS):
        parts = stream.begins_at(number + 1) - stream.begins_at(number)
        kinds.setdefault((stream.message(number)[0], parts > 1), number)
    assert {how for how, _ in kinds} == set(range(RAW + 1))
    assert sum(is_large for _, is_large in kinds) >= 4
    with ShmRingBuffer(1, SHAPE.chunk_bytes, 64) as ring, ShmRingBufferIO(ring, -1) as writer:
        reader = ShmRingBufferIO(ring, 0)
        for number in kinds.values():
            message, before = stream.message(number), writer._runner.done()
            send(writer, message, 1.0)
            assert writer._runner.done() - before == stream.begins_at(number + 1) - stream.begins_at(number)
            assert receive(reader, message, 1.0) is None
        for number in kinds.values():
            how, stamp, body = stream.message(number)
            send(writer, (how, stamp, body), 1.0)
            try:
                found = receive(reader, (how, stamp, body[:-1] + b"?"), 1.0)
            except OtherMessage:
                found = receive_any(reader, 1.0)
            assert is_message(found, (how, stamp, body))
            assert not is_message(found, (how, stamp, body[:-1] + b"?"))


def test_where_a_message_begins_is_right_in_later_laps() -> None:
    stream = Stream(SHAPE)
    for number in (PLANS, PLANS + 11, 7 * PLANS + 11):
        lap, place = divmod(number, PLANS)
        assert stream.begins_at(number) == lap * stream.begins_at(PLANS) + stream.begins_at(place) > number


# ---- Runs ------------------------------------------------------------------------------------------------------------------


def test_a_short_run_with_all_that_happens_is_clean() -> None:
    """Whom it happens to is drawn; that it happens so often is certain: nothing is sent while too many are to be replaced."""
    shown: list[int] = []
    plan = dataclasses.replace(SHORT, messages=3_000, pause_every=150, replace_every=1_000)
    findings = soak(plan, lambda sent, *_: shown.append(sent))
    assert (findings.first_fault, findings.waits) == ("", ())
    assert findings.clean
    assert findings.sent == plan.messages
    assert sum(one.killed for one in findings.readers) >= 1
    assert sum(one.killed + one.replaced for one in findings.readers) >= 2
    assert all(one.received + one.taken == plan.messages for one in findings.readers)
    assert sum(one.taken for one in findings.readers) <= sum(one.killed for one in findings.readers)
    assert min(findings.writer_reattached, *(one.reattached for one in findings.readers)) >= 1


def judged(numbers: list[int], messages: int, *, torn: int | None = None) -> tuple[list[int], list[str]]:
    """What a reader of the stream says when other messages come, or in another order: its words, and its faults."""
    line, far_end = multiprocessing.Pipe()
    words = memoryview(bytearray(words_bytes(1))).cast("Q")
    words[NEXT] = numbers[0]
    with line, far_end, ShmRingBuffer(1, SHAPE.chunk_bytes, 512) as ring:
        with ShmRingBufferIO(ring, -1) as writer:
            for number in numbers:
                how, stamp, body = STREAM.message(number)
                send(writer, (how, stamp, body[:-1] + b"?" if number == torn else body), 1.0)
        reader = readers._Reader(Orders(0, ring, SHAPE, messages, 0, ""), words, far_end)
        reader.read_on()
        far_end.close()
        assert line.recv()[0] == ATTACHED
        faults = []
        with contextlib.suppress(EOFError):
            while True:
                event, text = line.recv()
                assert event == FAULT
                faults.append(text)
    return list(words[2:6]), faults


@pytest.mark.parametrize(
    ("numbers", "counts", "said"),
    [
        ([*range(60)], [0, 0, 0, 0], None),
        ([*range(20), *range(21, 60)], [0, 1, 0, 0], "message 21 .* came when message 20 was due"),
        ([*range(20), *range(27, 60)], [0, 7, 0, 0], "message 27 .* came when message 20 was due"),
        ([*range(20), *range(15, 60)], [0, 0, 5, 0], "message 15 .* came when message 20 was due: it came again"),
        ([*range(20), 21, 20, *range(22, 60)], [0, 0, 0, 1], "message 21 .* came when message 20 was due"),
        ([*range(20), 21, 20, 20, *range(22, 60)], [0, 0, 1, 1], "message 21 .* came when message 20 was due"),
    ],
)
def test_a_reader_tells_what_is_wrong_with_what_it_gets(numbers: list[int], counts: list[int], said: str | None) -> None:
    """Sixty messages are of every kind, so that the one that comes is often of another kind than the one that was due."""
    found, faults = judged(numbers, 60)
    assert found == counts, "torn, lost, repeated, reordered"
    assert len(faults) == (said is not None), "the first is said, the others are counted"
    assert said is None or re.search(said, faults[0]), faults


def test_one_wrong_byte_is_enough_in_a_message_of_any_kind() -> None:
    kinds: dict[int, int] = {}
    for number in range(400):
        if len(STREAM.message(number)[2]) > 16:
            kinds.setdefault(STREAM.message(number)[0], number)
    assert len(kinds) >= RAW
    for number in kinds.values():
        found, faults = judged([number], number + 1, torn=number)
        assert found == [1, 0, 0, 0]
        assert re.search(f"message {number} .* was due, and .* came: it is torn", faults[0]), faults


def test_a_torn_message_is_reported_by_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent so by this process; what the readers expect, they know for themselves."""
    at = next(number for number in range(700, 1_500) if len(STREAM.message(number)[2]) > 16)

    def torn(writer: ShmRingBufferIO, message: Message, timeout: float) -> None:
        how, stamp, body = message
        send(writer, (how, stamp, body[:-1] + b"?" if int.from_bytes(stamp, "little") == at else body), timeout)

    monkeypatch.setattr(runs, "send", torn)
    monkeypatch.setattr(runs, "FAULTY_SECONDS", 60.0)  # the run goes on to its end, however slow the machine is
    findings = soak(SHORT)
    assert not findings.clean
    assert re.search(rf"reader [01]: message {at} \(.*\) was due, and .* came: it is torn", findings.first_fault)
    assert [(one.torn, one.lost, one.repeated, one.received) for one in findings.readers] == [(1, 0, 0, 1_500)] * 2


def test_a_broken_table_is_found_out() -> None:
    """Without R4 nobody marks: the writer stays on its second lap, and readers go round on the first."""
    findings = soak(dataclasses.replace(SHORT, readers=1, protocol=PROTOCOL.without("R4")))
    assert not findings.clean
    assert re.fullmatch(r"reader 0: message 0 .* came when message \d was due: it came again", findings.first_fault)
    assert findings.readers[0].repeated > 0


def test_that_nothing_moves_any_more_is_a_fault_with_the_waits_of_all() -> None:
    """Without W2 nobody looks whether a block has been read: the writer waits for ever, and so do its readers."""
    findings = soak(dataclasses.replace(SHORT, protocol=PROTOCOL.without("W2"), stall_seconds=0.5))
    assert findings.first_fault.startswith("nothing has moved for ")
    assert not findings.clean
    ring, *waits = findings.waits
    assert ring.startswith("the ring: ")
    assert [wait.split(" (pid ")[0] for wait in waits[1:]] == ["reader 0", "reader 1"]
    ways = ("which all have read: the writer has not written it again", "does not wait")  # it may be between two slices
    assert all(any(way in wait for way in ways) for wait in waits[1:])


def test_a_reader_that_ends_by_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    start = crews.Crew.start

    def start_and_kill(crew: crews.Crew, seconds: float, *, with_spare: bool) -> bool:
        started = start(crew, seconds, with_spare=with_spare)
        crew.places[1].worker.process.kill()
        crew.places[1].worker.process.wait(10)
        return started

    monkeypatch.setattr(crews.Crew, "start", start_and_kill)
    findings = soak(SHORT)
    assert findings.first_fault.startswith("reader 1 ended (exit status -9) when message 0 was due")


def test_the_account_of_a_killed_reader_is_exact() -> None:
    """Where its successor goes on says what was in its hands: nothing, one message, or more than may be gone."""
    due = next(number for number in range(PLANS) if STREAM.begins_at(number + 1) - STREAM.begins_at(number) > 1)
    with ShmRingBuffer(1, SHAPE.chunk_bytes, SHAPE.blocks) as ring:
        for resumes, expected in (
            (STREAM.begins_at(due), (due, 0, 0)),
            (STREAM.begins_at(due) + 1, (due + 1, 1, 0)),
            (STREAM.begins_at(due + 1), (due + 1, 1, 0)),
            (STREAM.begins_at(due + 1) + 1, (due, 0, 1)),
        ):
            with crews.Crew(ring, STREAM, orders_of_nobody, "") as crew:
                place_reader(ring, resumes)
                words = memoryview(bytearray(64)).cast("Q")
                words[0] = due
                place = crews.Place(None, words, was_killed=True)  # type: ignore[arg-type]
                crew._account(0, place)
                assert (words[0], place.taken, len(crew.faults)) == expected


@pytest.mark.parametrize(("was_killed", "left"), [(False, False), (True, True), (True, False)])
def test_who_is_said_to_be_dead_must_have_been_killed(was_killed: bool, left: bool) -> None:
    error = PeerDied("gone", rank=0, pid=1, block_index=0, case=3, seconds_ago=0.1, left=left)
    with ShmRingBuffer(1, SHAPE.chunk_bytes, SHAPE.blocks) as ring:
        crew = crews.Crew(ring, STREAM, orders_of_nobody, "")
        crew.places = [crews.Place(None, memoryview(bytearray(64)).cast("Q"), was_killed)]  # type: ignore[arg-type]
        run = runs._Run(SHORT, STREAM, ring, crew, lambda *_: None)
        if was_killed and not left:
            run._hear(error)
        else:
            with pytest.raises(runs._Over):
                run._hear(error)
        assert (run.told, crew.faults) in ((1, []), (0, ["the writer was told of the death of a reader that lives: gone"]))
        crew.places = []
        crew.end()


def test_a_wait_that_ends_in_the_middle_of_a_message_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices so short that most messages of several blocks time out on both sides."""
    resumed: list[int] = []
    resume = ShmRingBufferIO.resume

    def count(writer: ShmRingBufferIO, timeout: float | None = None) -> bool:
        resumed.append(1)
        return resume(writer, timeout)

    monkeypatch.setattr(ShmRingBufferIO, "resume", count)
    monkeypatch.setattr(runs, "SLICE_SECONDS", 0.0)
    findings = soak(dataclasses.replace(SHORT, messages=300, readers=1, blocks=2))
    assert findings.clean, findings.first_fault
    assert resumed


def test_an_interrupted_run_leaves_nothing() -> None:
    command = [sys.executable, "-u", "-m", "ringbuffer", "soak", "--messages", "100000000", "--readers", "2", "--seed", "7"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as run:
        assert run.stderr is not None
        said = run.stderr.readline()
        assert said.startswith("repeat with: ringbuffer soak --seed 7 --messages 100000000 --readers 2")
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(timeout=60) == 130
        assert run.stderr.read().strip().splitlines()[-1] == "ringbuffer soak: interrupted"


# ---- The command -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--messages", "0"), "0 does not lie between 1 and"),
        (("--readers", "65"), "65 does not lie between 1 and 64"),
        (("--chunk-bytes", "63"), "63 does not lie between 64 and"),
        (("--seed", "x"), "'x' is not a whole number"),
        (("--replace-every", "-1"), "-1 does not lie between 0 and"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["soak", *arguments])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_the_command_reports_and_says_how_to_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "soak",
        "--messages",
        "500",
        "--readers",
        "1",
        "--blocks",
        "4",
        "--seed",
        "11",
        "--replace-every",
        "0",
        "--json",
    ]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["clean"] is True
    assert (found["plan"]["seed"], found["plan"]["protocol"], found["readers"][0]["received"]) == (11, "shipped", 500)
    assert output.err.strip() == f"repeat with: {found['command']}"
    parser = argparse.ArgumentParser()
    add_soak(parser)
    again = vars(parser.parse_args(found["command"].split()[2:]))
    assert {name: again[name] for name in found["plan"] if name in again} == {
        name: value for name, value in found["plan"].items() if name in again
    }


def test_a_fault_is_said_in_the_report_and_in_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = runs.Findings(
        (runs.ReaderFindings(0, 9, 0, 1, 0, 0, 0, 0, 0, 0),), 10, 10, 1.0, 0, 0, "reader 0: gone", ("a wait",)
    )
    monkeypatch.setattr(runs, "soak", lambda *_: findings)
    assert cli.main(["soak", "--messages", "10", "--seed", "5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    repeat = command_of(Plan(10, seed=5, replace_every=1))
    assert lines[-3:] == ["a wait", "FAULT: reader 0: gone", f"repeat with: {repeat}"]


@pytest.mark.parametrize("wrong", [{"received": 9}, {"torn": 1}, {"lost": 1}, {"repeated": 1}, {"reordered": 1}])
def test_a_run_is_clean_only_if_all_is_well(wrong: dict[str, int]) -> None:
    right = runs.ReaderFindings(0, 10, 0, 0, 0, 0, 0, 0, 0, 0)
    assert runs.Findings((right,), 10, 10, 1.0, 0, 0, "", ()).clean
    assert not runs.Findings((right,), 10, 10, 1.0, 0, 0, "a fault", ()).clean
    assert not runs.Findings((right, dataclasses.replace(right, **wrong)), 10, 10, 1.0, 0, 0, "", ()).clean


def test_readers_that_do_not_come_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "START_SECONDS", 0.0)
    with pytest.raises(RunFailed, match="the readers were not there within 0 s"):
        soak(SHORT)


def test_a_writer_that_does_not_go_on_where_it_stopped_is_a_fault() -> None:
    with ShmRingBuffer(1, SHAPE.chunk_bytes, SHAPE.blocks) as ring, crews.Crew(ring, STREAM, orders_of_nobody, "") as crew:
        run = runs._Run(SHORT, STREAM, ring, crew, lambda *_: None)
        run._check_place()
        run.sent = 5
        with pytest.raises(runs._Over):
            run._check_place()
        begins_at = STREAM.begins_at(5)
        assert crew.faults == [
            f"the writer closed its end before message 5, which begins at block {begins_at} of the stream, and its"
            " successor goes on at 0"
        ]


def test_a_reader_leaves_between_two_messages_only() -> None:
    """What it has taken of a message would be gone with it."""
    line, far_end = multiprocessing.Pipe()
    words = memoryview(bytearray(words_bytes(1))).cast("Q")
    due = next(number for number in range(PLANS) if STREAM.begins_at(number + 1) - STREAM.begins_at(number) > 1)
    with line, far_end, ShmRingBuffer(1, SHAPE.chunk_bytes, SHAPE.blocks) as ring:
        reader = readers._Reader(Orders(0, ring, SHAPE, 10, 0, ""), words, far_end)
        for position, is_between in ((STREAM.begins_at(due), True), (STREAM.begins_at(due) + 1, False)):
            place_reader(ring, position)
            assert reader._is_between(due) is is_between
