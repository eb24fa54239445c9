"""The parts of the benchmark that need no process: messages and their checks, the arithmetic, the tables, JSON, the picture."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from ringbuffer.bench import payloads, plot
from ringbuffer.bench.catalogue import PEERS, choose, reference_of
from ringbuffer.bench.floor import Copy
from ringbuffer.bench.installed import Iceoryx2Views
from ringbuffer.bench.measure import LEAST_LAPS, MESSAGES_MAX, WARM_SHARE, Cell, Settings, _throughput, _warm_up
from ringbuffer.bench.ours import Ours, OursPython, OursViews
from ringbuffer.bench.payloads import Payload, parse_payload
from ringbuffer.bench.peer import IDLE, LATENCY, THROUGHPUT
from ringbuffer.bench.plan import Failure, Outcome, Plan
from ringbuffer.bench.report import Report
from ringbuffer.bench.standard import Pipes
from ringbuffer.bench.summary import Spread, paired, quantile, spread
from ringbuffer.bench.zeromq import Credit
from ringbuffer.machine import machine, sentence

SVG = "{http://www.w3.org/2000/svg}"
SMALL, LARGE = parse_payload("64"), parse_payload("64KiB")


@pytest.mark.parametrize("text", ["64", "4KiB", "64 KiB", "dict"])
def test_every_message_is_known_and_no_other_is_taken_for_it(text: str) -> None:
    payload = parse_payload(text)
    sent = payloads.messages(payload)
    assert len(sent) == payload.cycle > 10, "longer than a ring of ten blocks, so that another lap is another message"
    for lent in (False, True) if payload.is_bytes else (False,):
        wants = payloads.expected(payload, every_byte=False, lent=lent)
        for number, message in enumerate(sent):
            assert wants[number] == (memoryview(message) if lent else message)
            assert wants[number] != sent[number - 1]
            assert wants[number] != sent[number - 10]
    last = payloads.final_message(payload, 12)
    assert payloads.expected_final(payload, 12, every_byte=False, lent=False) == last
    assert payloads.expected_final(payload, 13, every_byte=False, lent=False) != last
    assert last not in sent


@pytest.mark.parametrize("size", [64, 4096, 65536])
@pytest.mark.parametrize("lent", [False, True])
def test_a_damaged_message_is_not_taken(size: int, lent: bool) -> None:
    payload = parse_payload(str(size))
    message = payloads.messages(payload)[3]
    (quick, whole) = (payloads.expected(payload, every_byte=all_of_it, lent=lent)[3] for all_of_it in (False, True))
    compared = (
        range(size)
        if size <= payloads.COMPARED_BYTES and not lent
        else (0, 15, size // 2 - 8, size // 2 + 7, size - 16, size - 1)
    )
    for place in compared if size == 64 else (*compared[:16], *compared[-16:]):
        damaged = bytearray(message)
        damaged[place] ^= 1
        assert quick != bytes(damaged), place
    for place in (0, 17, size // 2 + 9, size - 17, size - 1):
        damaged = bytearray(message)
        damaged[place] ^= 1
        assert whole != bytes(damaged), place
    for one in (quick, whole):
        assert one == message
        assert one != message[:-1]
        assert one != message + b"\0"


def test_a_tensor_is_checked() -> None:
    numpy = pytest.importorskip("numpy")
    length = payloads.TENSOR_BYTES // 4
    right = numpy.full((length,), 5.0, dtype=numpy.float32)
    quick, whole = payloads.Values(5, length, every=False), payloads.Values(5, length, every=True)
    assert quick == right
    assert whole == right
    for place in (0, length // 3, 2 * (length // 3), length - 1):
        wrong = right.copy()
        wrong[place] = 4.0
        assert quick != wrong
    wrong = right.copy()
    wrong[7] = 4.0
    assert whole != wrong
    assert quick != right[:-1]


def test_what_a_fault_says() -> None:
    sent = payloads.messages(LARGE)
    torn = sent[4][:30000] + sent[7][30000:]
    unstamped = b"\0" * 65536
    inside = bytearray(sent[4])
    inside[20] ^= 1
    for got, said in (
        (sent[5], "and message 5 of the cycle came: lost, repeated or out of order"),
        (torn, "and a torn one came: its head says 4, its tail 7"),
        (unstamped, "and a torn one came: its head says None, its tail None"),
        (bytes(inside), "and a torn one came: head and tail are right, and what is between is not"),
        (sent[4][:-1], "and 65535 bytes came instead of 65536"),
    ):
        assert payloads.describe(LARGE, 4, got, "message 4") == f"message 4 was due, {said}"
    assert payloads.describe(parse_payload("dict"), 4, {"step": 5}, "it") == "it was due, and what came is {'step': 5}"


def test_the_arithmetic() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)
    assert [quantile([5.0, 1.0, 4.0, 2.0, 3.0], share) for share in (0.0, 0.2, 0.5, 0.9, 1.0)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    assert [quantile(range(1, 101), share) for share in (0.5, 0.9, 0.99)] == [50, 90, 99]
    assert paired({0: 6.0, 1: 8.0, 3: 1.0}, {0: 2.0, 1: 4.0, 2: 1.0}) == Spread(2.5, 2.0, 3.0)
    assert paired({0: 1.0}, {1: 1.0}) is None
    for nothing in (spread, lambda some: quantile(some, 0.5)):
        with pytest.raises(ValueError, match="of nothing"):
            nothing([])


class Clockwork:
    """Stands for a stretch: each message takes so long, and one of which every byte is checked a thousand times as long."""

    def __init__(self, each_seconds: float) -> None:
        self.each_seconds = each_seconds
        self.runs: list[tuple[int, bool, float]] = []

    def run(self, count: int, *, every_byte: bool = False, about_seconds: float = 0.0) -> tuple[float, list[float]]:
        self.runs.append((count, every_byte, about_seconds))
        return count * self.each_seconds * (1000 if every_byte else 1), []


@pytest.mark.parametrize("each_seconds", [0.0, 1e-9, 1e-7, 3e-5, 1e-3, 0.02, 1.0, 100.0])
def test_what_a_message_takes_is_said_by_runs_that_check_it_as_the_timed_ones_do(each_seconds: float) -> None:
    settings, stretch = Settings(0.3, 10), Clockwork(each_seconds)
    assert _warm_up(stretch, settings) == pytest.approx(each_seconds)  # type: ignore[arg-type]
    counts, every_byte, _ = zip(*stretch.runs, strict=True)
    assert every_byte == (True, *(len(counts) - 1) * [False])
    assert list(counts[1:]) == sorted(set(counts[1:]))
    assert counts[-1] <= MESSAGES_MAX
    assert counts[-1] * each_seconds >= WARM_SHARE * settings.seconds or counts[-1] > MESSAGES_MAX / 10
    assert not [count for count in counts[1:-1] if count * each_seconds >= WARM_SHARE * settings.seconds]


@pytest.mark.parametrize("each_seconds", [1e-9, 1e-7, 3e-5, 100.0])
def test_a_timed_run_has_as_many_messages_as_its_time_has_room_for(each_seconds: float) -> None:
    settings, stretch = Settings(0.3, 10), Clockwork(each_seconds)
    found = _throughput(stretch, Cell(THROUGHPUT, SMALL, 1, Ours), settings)  # type: ignore[arg-type]
    count, every_byte, about_seconds = stretch.runs[-1]
    fits = max(settings.seconds / each_seconds, LEAST_LAPS * settings.blocks)
    assert count == found["messages"] == pytest.approx(min(MESSAGES_MAX, fits), abs=1)
    assert not every_byte
    assert about_seconds == pytest.approx(count * each_seconds)
    assert found["seconds_per_message"] == pytest.approx(each_seconds)


def figures(seconds: float) -> dict[str, float]:
    return {"messages": 10, "seconds_per_message": seconds, "messages_per_second": 1 / seconds}


def fixed_report() -> Report:
    """Two rounds of known figures: pipes cost four and two times as much as this ring, its views half as much."""
    plan = Plan((Ours, OursViews, Pipes, Copy), {THROUGHPUT: (SMALL, LARGE)}, (1, 3), 2, Settings(0.1, 10))
    cost = {Ours: (1e-6, 2e-6), OursViews: (0.5e-6, 1e-6), Pipes: (4e-6, 4e-6), Copy: (1e-7, 1e-7)}
    outcome = Outcome(seconds=1.5)
    for group in plan.cells():
        for cell in group:
            outcome.figures[cell] = {number: figures(cell.readers * cost[cell.peer][number]) for number in (0, 1)}
    late = {"p50_seconds": 1e-5, "p90_seconds": 2e-5, "p99_seconds": 3e-5}
    for readers in (1, 3):
        outcome.figures[Cell(LATENCY, SMALL, readers, Ours)] = {0: late, 1: {**late, "p50_seconds": 3e-5}}
    outcome.figures[Cell(IDLE, SMALL, 1, Ours)] = {0: {"core_share": 0.004, "core_share_max": 0.01}}
    return Report(plan, outcome, machine(), {OursPython: "it is left out here"})


def test_the_json() -> None:
    found = json.loads(json.dumps(fixed_report().as_json()))
    assert list(found) == ["machine", "settings", "peers", "results", "failures", "verdict", "seconds"]
    assert (found["verdict"], found["failures"], found["seconds"]) == ("clean", [], 1.5)
    assert found["settings"] == {
        "measures": {"throughput": ["64 B", "64 KiB"]},
        "readers": [1, 3],
        "rounds": 2,
        "blocks": 10,
        "seconds": 0.1,
        "messages": None,
    }
    assert [(peer["name"], peer["measured"], peer["reason"]) for peer in found["peers"]][-1] == (
        "ours-python",
        False,
        "it is left out here",
    )
    by_place = {(one["measure"], one["payload"], one["readers"], one["peer"]): one for one in found["results"]}
    pipes = by_place["throughput", "64 B", 3, "mp-pipe"]
    assert pipes["reference"] == "ours"
    assert pipes["times_ours"] == pytest.approx({"median": 3.0, "min": 2.0, "max": 4.0})
    assert [one["round"] for one in pipes["rounds"]] == [0, 1]
    assert pipes["figures"]["seconds_per_message"] == pytest.approx({"median": 12e-6, "min": 12e-6, "max": 12e-6})
    ours = by_place["throughput", "64 KiB", 1, "ours"]
    assert (ours["reference"], ours["times_ours"], ours["payload_bytes"]) == (None, None, 65536)
    assert by_place["idle", "64 B", 1, "ours"]["times_ours"] is None


def test_the_tables() -> None:
    text = "\n".join(fixed_report().lines())
    assert "throughput · 64 B · 1 reader\n" in text
    assert "throughput · 64 KiB · 3 readers\n" in text
    rows = {tuple(line.split()) for line in text.splitlines()}
    assert ("ours", "1.50", "1.00..2.00", "666,667", "42.7") in rows
    assert ("mp-pipe", "4.00", "4.00..4.00", "250,000", "16.0", "3.00", "2.00..4.00") in rows
    assert ("ours", "20.0", "10.0..30.0", "20.0", "30.0") in rows
    assert ("ours", "0.40", "0.40..0.40", "1.00") in rows
    assert "not measured: ours-python: it is left out here" in text
    assert text.splitlines()[-1].startswith("clean: ")
    widths = {len(line) for line in text.splitlines() if line.startswith("  ") and "mp-pipe" in line}
    assert len(widths) <= 2, "the columns of a table are aligned"


def test_a_fault_is_said_and_makes_the_verdict() -> None:
    report = fixed_report()
    cell = Cell(THROUGHPUT, SMALL, 3, Pipes)
    report.outcome.failures.append(Failure(cell, 1, "fault", "reader 2: message 4 was due"))
    assert report.verdict == "faulty"
    text = "\n".join(report.lines())
    assert "FAULT: mp-pipe, throughput, 64 B, 3 readers, round 1: reader 2: message 4 was due" in text
    assert text.splitlines()[-1].startswith("faulty: ")
    assert report.as_json()["failures"] == [
        {
            "peer": "mp-pipe",
            "measure": "throughput",
            "payload": "64 B",
            "readers": 3,
            "round": 1,
            "kind": "fault",
            "text": "reader 2: message 4 was due",
        }
    ]


def test_the_picture() -> None:
    report = fixed_report()
    shown = plot.panels(report)
    assert [panel.title for panel in shown] == [
        "1 reader",
        "3 readers",
        "64 B, per message",
        "64 KiB, per message",
        "64 B, one-way latency, median, paced",
    ]
    root = ElementTree.fromstring(plot.plot(report))
    lines = root.findall(f".//{SVG}polyline")
    assert len(lines) == sum(len(panel.lines) for panel in shown) == 4 + 4 + 3 + 4 + 1
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"64 B", "64 KiB", "1", "3", "ours", "mp-pipe", "floor-copy", "10 µs"} <= set(texts)
    assert sentence(report.machine) in " ".join(filter(None, texts))
    for element in root.iter():
        for name in ("cx", "cy", "x1", "y1", "y2"):
            assert element.get(name) is None or -10 <= float(element.get(name, "")) <= 1400


def test_an_axis_is_logarithmic() -> None:
    axis = plot._Axis([1.0, 10.0, 100.0], 200.0)
    assert [axis.at(value) for value in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 100.0, 200.0])
    assert plot._Axis([5.0], 200.0).at(5.0) == 100.0
    assert [name for _, name in plot._time_ticks(0.8e-7, 1.2e-3)] == ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms"]
    assert [name for _, name in plot._time_ticks(0.9e-6, 6e-6)] == ["1 µs", "2 µs", "5 µs"]


def test_a_picture_of_nothing_is_one() -> None:
    report = fixed_report()
    empty = replace(report, outcome=Outcome())
    assert plot.panels(empty) == []
    ElementTree.fromstring(plot.plot(empty))


def test_a_plan_asks_each_peer_only_what_it_does() -> None:
    everything: dict[str, tuple[Payload, ...]]
    everything = {measure: (SMALL, LARGE, parse_payload("dict"), parse_payload("tensor")) for measure in (THROUGHPUT, IDLE)}
    unasked = Plan(PEERS, everything, (1,), 1, Settings(0.1, 10), are_named=False)
    asked = {(cell.peer.name, cell.measure, cell.payload.name) for group in unasked.cells() for cell in group}
    assert ("gloo", THROUGHPUT, "64 B") not in asked
    assert not [place for place in asked if place[0] == "vllm"]
    assert ("ours-views", THROUGHPUT, "64 KiB") in asked
    assert not [
        place for place in asked if place[0] in {"ours-views", "floor-copy"} and (place[1] == IDLE or place[2] == "dict")
    ]
    named = replace(unasked, are_named=True)
    asked = {(cell.peer.name, cell.measure, cell.payload.name) for group in named.cells() for cell in group}
    assert {("gloo", THROUGHPUT, "64 B"), ("vllm", THROUGHPUT, "dict")} <= asked


@pytest.mark.parametrize("depth", range(1, 7))
def test_with_credit_no_reader_is_further_behind_than_allowed_and_nobody_waits_for_ever(depth: int) -> None:
    """Every order in which two readers receive, and the writer hears of it, over three laps."""
    todo: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [((0, 0), (0, 0), 0)]  # received, heard of, sent
    seen, furthest = set(todo), 0
    while todo:
        received, heard, sent = todo.pop()
        credit = Credit(2, depth)
        credit.left -= sent
        for rank in (0, 1):
            for _ in range(heard[rank]):
                credit.given(rank)
        furthest = max(furthest, sent - min(received))
        nexts = [(received, heard, sent + 1)] if credit.left else []
        for rank in (0, 1):
            more = {side: tuple(n + (one == rank) for one, n in enumerate(side)) for side in (received, heard)}
            nexts += [(more[received], heard, sent)] if received[rank] < sent else []
            nexts += [(received, more[heard], sent)] if heard[rank] < received[rank] // credit.step else []
        assert nexts, "somebody can go on"
        fresh = [state for state in nexts if state[2] <= 3 * depth and state not in seen]
        seen.update(fresh)
        todo += fresh
    assert furthest == depth


def test_whom_a_peer_is_compared_with() -> None:
    assert reference_of(Ours) == ""
    assert reference_of(Iceoryx2Views) == "ours-views"
    assert {reference_of(peer) for peer in PEERS} == {"", "ours", "ours-views"}
    assert Ours in choose(None)
    assert choose(["mp-pipe", "ours"]) == (Ours, Pipes), "in the order of the tables"


def test_what_the_machine_says() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["processor"] in sentence(found)
