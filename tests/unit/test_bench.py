"""The benchmark as it runs: real processes, honest peers and wrong ones, and what is left when it was interrupted.

No figure decides any of these tests.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import bench_peers
import pytest

from ringbuffer.bench import catalogue, command
from ringbuffer.bench.measure import Settings, processor_seconds
from ringbuffer.bench.ours import Ours, OursPython, OursViews
from ringbuffer.bench.payloads import parse_payload
from ringbuffer.bench.peer import THROUGHPUT
from ringbuffer.bench.plan import Plan, carry_out
from ringbuffer.bench.standard import Pipes
from ringbuffer.cli import main
from ringbuffer.memory.shared import NAME_PREFIX

BOUND_SECONDS = 30.0
SVG = "{http://www.w3.org/2000/svg}"
SIZED = {"ours", "ours-python", "ours-views", "mp-queue", "mp-pipe", "floor-copy"}
"""Who has a line in the diagram of cost against size, which is the only one where there is one number of readers."""


SHM = Path("/dev/shm")


@pytest.fixture(autouse=True)
def _leaves_no_process() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def test_every_measure_of_every_peer_that_needs_no_package(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    peers = ["mp-queue", "mp-pipe", "floor-copy", "floor-pickle", "floor-handoff"]
    of_ours = [peer.name for peer in (Ours, OursViews, OursPython) if not peer.missing()]
    picture = tmp_path / "bench.svg"
    words = ["--peers", ",".join(of_ours + peers), "--payloads", "64,64KiB,dict", "--readers", "2", "--rounds", "1"]
    status = main(["bench", *words, "--seconds", "0.002", "--blocks", "3", "--json", "--plot", str(picture)])
    report = json.loads(capsys.readouterr().out)
    assert (status, report["verdict"], report["failures"]) == (0, "clean", [])
    measured = {(result["measure"], result["peer"], result["payload"], result["readers"]) for result in report["results"]}
    everywhere = {
        (measure, peer, payload, readers)
        for measure in ("throughput", "latency", "idle")
        for peer in {*of_ours, "mp-queue", "mp-pipe"} - {OursViews.name}
        for payload in ("64 B", "64 KiB", "dict")
        for readers in (2,)
    }
    assert everywhere <= measured
    assert ("throughput", "floor-copy", "64 KiB", 2) in measured
    assert ("latency", "floor-handoff", "64 B", 2) in measured
    assert not {place for place in measured if place[1] == "floor-copy" and place[0] != "throughput"}
    for result in report["results"]:
        figure = {"throughput": "seconds_per_message", "latency": "p50_seconds", "idle": "core_share"}[result["measure"]]
        spread = result["figures"][figure]
        assert spread["min"] == spread["median"] == spread["max"] == result["rounds"][0][figure]
        assert spread["min"] > 0 or result["measure"] == "idle"
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    assert len(root.findall(f".//{SVG}polyline")) == len([peer for peer in (*of_ours, *peers) if peer in SIZED])


def test_a_wrong_peer_is_reported_and_the_others_go_on() -> None:
    wrong = (*bench_peers.FAULTS, *bench_peers.FAILURES)
    plan = Plan(
        (*wrong, Pipes),
        {THROUGHPUT: (parse_payload("64KiB"),)},
        readers=(1,),
        rounds=2,
        settings=Settings(0.001, 10, answer_seconds=1.0),
    )
    outcome = carry_out(plan)
    found = {failure.cell.peer.name: (failure.kind, failure.text) for failure in outcome.failures}
    assert len(outcome.failures) == len(wrong), "each is reported once, and then left out"
    assert not outcome.clean
    assert found["loses"] == (
        "fault",
        "reader 0: message 6 of the cycle was due, and message 7 of the cycle came: lost, repeated or out of order",
    )
    assert found["tears"] == (
        "fault",
        "reader 0: message 6 of the cycle was due, and a torn one came: its head says 6, its tail 9",
    )
    assert found["raises"] == ("failed", "reader 0: RuntimeError: the planted error")
    assert found["dies"] == ("failed", "reader 0 died (exit status 3)")
    assert found["hangs"][0] == "failed"
    assert "no answer within" in found["hangs"][1]
    assert "reader 0" in found["hangs"][1]
    (honest,) = [rounds for cell, rounds in outcome.figures.items() if cell.peer is Pipes]
    assert sorted(honest) == [0, 1]


def test_a_fault_ends_with_status_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PEERS", (bench_peers.Repeats, bench_peers.Absent, bench_peers.Broken))
    words = ["--measure", "throughput", "--payloads", "64", "--readers", "1", "--rounds", "1", "--seconds", "0.001"]
    assert main(["bench", *words]) == 1
    out = capsys.readouterr().out
    assert "FAULT: repeats, throughput, 64 B, 1 readers, round 0: reader 0: message 32" in out
    assert "not measured: absent: no-such-distribution is not installed" in out
    assert "not measured: broken: bench_broken_module cannot be imported (ZeroDivisionError: the planted error)" in out
    assert "\nfaulty: " in out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing_behind(number: int, status: int, tmp_path: Path) -> None:
    ours = OursPython if Ours.missing() else Ours
    words = ["--peers", ours.name, "--measure", "throughput", "--payloads", "64", "--readers", "1", "--seconds", "60"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ringbuffer", "bench", *words],  # what is installed, not what lies in this folder
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + BOUND_SECONDS
    while not (segments := set().union(*map(segments_of, children := children_of(process.pid)))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no worker has attached a ring"
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=BOUND_SECONDS)
    assert process.returncode == status, said
    assert "Traceback" not in said
    while any(Path(f"/proc/{child}").exists() for child in children):  # the resource tracker ends by itself
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []
    assert not [name for name in segments if Path(name).exists()]


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


def segments_of(pid: int) -> set[str]:
    """The names of the rings that a process has in its memory."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {line.split()[-1] for line in lines if f"{SHM}/{NAME_PREFIX}" in line}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--peers", "ours,nobody"], "peer 'nobody' is none of ours, ours-python"),
        (["--payloads", "64,huge"], "payload 'huge' is none of"),
        (["--payloads", "1"], "payload '1' has 1 bytes, and it lies between 48 and"),
        (["--payloads", "1GiB"], "payload '1GiB' is none of"),
        (["--readers", "0"], "--readers: 0 does not lie between 1 and 32"),
        (["--readers", "1,two"], "--readers: 'two' is not a whole number"),
        (["--rounds", "0"], "--rounds: 0 does not lie between 1 and"),
        (["--messages", "0"], "--messages: 0 does not lie between 1 and"),
        (["--seconds", "nan"], "--seconds: nan does not lie above 0"),
        (["--blocks", "0"], "--blocks: 0 does not lie between 1 and"),
        (["--measure", "speed"], "measure 'speed' is none of throughput, latency, idle"),
        (["--peers", "floor-copy", "--measure", "idle"], "there is nothing to measure"),
        (["--plot", "/no/such/folder/bench.svg"], "--plot /no/such/folder/bench.svg: the folder is not there"),
    ],
)
def test_a_call_that_makes_no_sense(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert f"ringbuffer bench: {said}" in captured.err
    assert captured.out == ""


def test_the_peers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--peers", "help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [peer.name for peer in catalogue.PEERS]
    assert len({peer.name for peer in catalogue.PEERS}) == len(catalogue.PEERS)


def test_pure_python_is_not_measured_where_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert OursPython.missing().startswith("pure Python is refused on this processor (aarch64)")
    words = ["--peers", "ours-python,floor-copy", "--measure", "throughput", "--payloads", "64KiB", "--readers", "1"]
    assert main(["bench", *words, "--rounds", "1", "--seconds", "0.001"]) == 0
    assert f"not measured: ours-python: {OursPython.missing()}" in capsys.readouterr().out


def test_the_three_scales_differ_only_as_they_say() -> None:
    small, usual, full = (len(scale.payloads.split(",")) for scale in (command.QUICK, command.USUAL, command.FULL))
    assert small < usual < full
    for scale in (command.QUICK, command.USUAL, command.FULL):
        assert [parse_payload(word) for word in scale.payloads.split(",")]


def test_the_processor_time_of_a_process() -> None:
    least = time.process_time()
    found = processor_seconds(os.getpid())
    assert least <= found <= time.process_time()
    with pytest.raises(OSError, match="cannot be read"):
        processor_seconds(2**22 + 1)  # beyond the largest process number
