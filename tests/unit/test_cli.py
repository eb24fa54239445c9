"""The command as a user types it: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import reports

from ringbuffer.checker import checks, explore, mutate, orderings
from ringbuffer.checker.claim import PROVED, Scope
from ringbuffer.checker.claims import CLAIMS
from ringbuffer.checker.reach import reach_of
from ringbuffer.cli import main
from ringbuffer.protocol import PROTOCOL

SMALL = ("--readers", "1", "--blocks", "1")
KEYS = {"id", "statement", "method", "status", "bound", "states", "seconds", "command"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status, out, _ = run(capsys, *arguments, "--json")
    return status, json.loads(out)


LONG = ("crash-safe", "killed-processes")
"""Claims that are tried whole by ``ringbuffer check``, a step of its own in CI, and in parts by tests of their own."""


def test_all_other_claims_hold_that_are_not_proved(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``test_mutate`` and ``test_orderings`` look at in detail is found once, for them and for the claims; the samples are
    smaller than usual, because ``test_lockstep`` and ``test_processes`` take larger ones of the same."""
    monkeypatch.setattr(checks, "LOCKSTEP_EXAMPLES", 30)
    monkeypatch.setattr(checks, "PROCESS_MESSAGES", 2_000)
    monkeypatch.setattr(mutate, "quick", lambda _: reports.mutations())
    monkeypatch.setattr(orderings, "quick", reports.ordered)
    ids = [
        claim.id for claim in CLAIMS if claim.method != PROVED and claim.id not in LONG
    ]  # test_contracts and test_inductive try what is proved
    status, found = report(capsys, "check", *[word for name in ids for word in ("--claim", name)])
    assert (status, found["verdict"]) == (0, "holds")
    assert {"processor", "cores", "system", "python", "versions"} <= set(found["machine"])
    assert [claim["id"] for claim in found["claims"]] == ids
    for claim in found["claims"]:
        assert set(claim) >= KEYS, claim
        assert reach_of(claim["id"], Scope()) in claim["bound"]
        assert claim["status"] == "holds"
        assert claim["method"] in {"explored", "sampled", "measured", "assumed"}
        assert (claim["states"] is not None) == (claim["method"] == "explored")
        assert claim["command"] == f"ringbuffer check --claim {claim['id']}"
    scan = next(claim for claim in found["claims"] if claim["id"] == "scan-reorders")
    assert "was owed m1" in scan["counterexample"]
    faults = next(claim for claim in found["claims"] if claim["id"] == "faults-contained")
    assert "reader-killed: progress" in faults["note"]
    assert "writer-killed: nothing breaks" in faults["note"]
    rows = next(claim for claim in found["claims"] if claim["id"] == "rows-necessary")
    assert rows["states"] == sum(one.states for one in (*reports.mutations().singles, *reports.mutations().pairs))


@pytest.mark.parametrize(
    ("arguments", "status", "verdict"),
    [
        (SMALL, 0, "holds"),
        (("--without", "W3", *SMALL), 0, "holds"),
        (("--swap", "W5,W6", *SMALL), 1, "refuted"),
        (("--swap", "R3,R4", *SMALL), 1, "refuted"),
        (("--missing-readers", "1", *SMALL), 1, "refuted"),
        (("--writers", "2", *SMALL), 1, "refuted"),
        (("--move", "W6,W4", *SMALL), 1, "refuted"),
        (("--weaken", "W6", *SMALL), 0, "holds"),
        (("--without", "W1", "--initial-read-flag", "1", *SMALL), 0, "holds"),
        (("--policy", "scan"), 1, "refuted"),
        (("--policy", "scan", "--readers", "1", "--blocks", "1"), 0, "holds"),
        (("--policy", "scan", "--claim", "scan-reorders"), 0, "holds"),
        (("--messages", "2", *SMALL), 0, "holds"),
        (("--max-states", "10", *SMALL), 3, "unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_questions_get_their_verdict(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, verdict: str
) -> None:
    found_status, found = report(capsys, "check", *arguments)
    assert (found_status, found["verdict"]) == (status, verdict)
    for claim in found["claims"]:
        assert claim["command"].startswith(f"ringbuffer check --claim {claim['id']}")
        if claim["status"] == "refuted":
            assert main(["replay", claim["token"]]) == 1


def test_a_claims_command_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = report(capsys, "check", "--swap", "W5,W6", "--policy", "scan", "--property", "stale", *SMALL)
    (claim,) = found["claims"]
    words = claim["command"].split()
    assert words[:2] == ["ringbuffer", "check"]
    _, again = report(capsys, *words[1:])
    assert {**again["claims"][0], "seconds": 0} == {**claim, "seconds": 0}


def test_edits_apply_in_the_order_typed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", "--move", "W5,W4", "--without", "W4", "--swap", "W5,W6", *SMALL)
    assert "(move=W5,W4 without=W4 swap=W5,W6)" in out
    assert status == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("check", "--without", "W9"), "W9"),
        (("check", "--swap", "W5,R1"), "different sides"),
        (("check", "--swap", "W5"), "2 arguments"),
        (("check", "--weaken", "W3"), "no ordering to lose"),
        (("check", "--memory", "quantum"), "quantum"),
        (("check", "--readers", "0"), "readers is 0"),
        (("check", "--blocks", "-1"), "blocks is -1"),
        (("check", "--max-states", "0", *SMALL), "max_states is 0"),
        (("check", "--property", "beauty"), "beauty"),
        (("check", "--claim", "everything"), "everything"),
        (("check", "--messages", "0"), "messages is 0"),
        (("check", "--readers", "many"), "invalid int value"),
        (("replay", "nonsense"), "no replay token"),
        (("replay", "rb2.r1b1p2w1m0a1t0knsc.shipped.000000.0..0000"), "damaged"),
        (("spec", "--check", "--folder", "/nowhere"), "no chapters"),
        (("spec",), "required"),
        ((), "required"),
        (("demo", "--policy", "dance"), "dance"),
        (("demo", "--messages", "-1"), "messages is -1"),
        (("demo", "--messages", "0"), "messages is 0"),
        (("demo", "--readers", "300"), "readers is 300"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_call_that_makes_no_sense_ends_with_2_and_says_why(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert says in err


def test_replay_takes_a_token_a_file_and_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = explore(PROTOCOL.swapped("W5", "W6"), 1, 1).token
    assert token is not None
    status, shown, _ = run(capsys, "replay", token)
    assert status == 1
    assert "✗ P2 stale" in shown
    (tmp_path / "token").write_text(token + "\n", encoding="utf-8")
    assert run(capsys, "replay", str(tmp_path / "token")) == (1, shown, "")
    with (tmp_path / "token").open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert run(capsys, "replay", "-") == (1, shown, "")
    _, found = report(capsys, "replay", token)
    assert found["broken"] == ["stale"]
    assert found["token"] == token
    assert [step["number"] for step in found["steps"]] == list(range(1, len(found["steps"]) + 1))


def test_demo_reports_what_readers_found(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = report(capsys, "demo", "--messages", "300", "--readers", "2", "--blocks", "3")
    assert (status, found["clean"], found["messages"]) == (0, True, 300)
    assert [reader["received"] for reader in found["readers"]] == [300, 300]
    status, out, _ = run(capsys, "demo", "--messages", "30", "--readers", "1", "--blocks", "2")
    assert status == 0
    assert "each once, in order, whole" in out
    assert "read by" in out


def test_a_claim_that_shows_nothing_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """One message on one block never makes the writer wait: the claim about it has not been tried."""
    status, found = report(capsys, "check", "--messages", "1", *SMALL, "--claim", "safety-sc")
    assert (status, found["claims"][0]["status"]) == (3, "unknown")
    assert "never seen" in found["claims"][0]["note"]


@pytest.mark.parametrize("edit", ["--missing-readers 1", "--without W6", "--without R3", "--swap W1,W3"])
def test_what_a_small_ring_leaves_open_a_larger_one_may_refute(capsys: pytest.CaptureFixture[str], edit: str) -> None:
    """At 1×1 these never make the writer wait, so that progress is not tried there; at 1×2 it is refuted."""
    status, found = report(capsys, "check", "--claim", "progress-sc", *edit.split())
    assert (status, found["verdict"]) == (1, "refuted")
    assert found["claims"][0]["bound"].startswith("readers×blocks 1×1, 1×2;"), "no size is named that was not explored"


def test_a_claim_about_some_of_its_properties_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = report(capsys, "check", "--claim", "safety-sc", "--property", "torn", *SMALL)
    assert found["claims"][0]["bound"].endswith("judged: torn only")
    status, _, err = run(capsys, "check", "--claim", "safety-sc", "--property", "starved", *SMALL)
    assert status == 2
    assert "none of these was asked about" in err


def test_steps_that_agree_on_a_right_table_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller sample than the claim's usual one: ``test_lockstep`` samples this table by itself."""
    monkeypatch.setattr(checks, "LOCKSTEP_EXAMPLES", 15)
    status, found = report(capsys, "check", "--claim", "steps-agree", "--without", "W3")
    assert (status, found["verdict"]) == (0, "holds")
    assert found["claims"][0]["bound"].startswith("15 runs of up to")


def test_steps_that_agree_on_a_broken_table_are_said_to_agree(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = report(capsys, "check", "--claim", "steps-agree", "--missing-readers", "1")
    assert (status, found["verdict"]) == (1, "refuted")
    (claim,) = found["claims"]
    assert claim["command"] == "ringbuffer check --claim steps-agree --missing-readers 1"
    assert claim["note"].startswith("both sides took the same steps, and they break a property")
    assert "replay with" not in claim["counterexample"]
    assert main(["replay", claim["token"]]) == 1


def test_nobody_who_reads_the_output_is_no_verdict() -> None:
    command = [sys.executable, "-m", "ringbuffer", "check", "--claim", "safety-sc", *SMALL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as check:
        assert check.stdout is not None
        assert check.stderr is not None
        check.stdout.close()
        assert check.wait(timeout=60) == 141
        assert check.stderr.read() == b""


def test_processes_that_lose_are_refuted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PROCESS_MESSAGES", 50)
    status, found = report(capsys, "check", "--claim", "processes", "--without", "R1")
    assert (status, found["verdict"]) == (1, "refuted")
    assert "reader" in found["claims"][0]["note"]


def test_the_display_works_on_a_terminal() -> None:
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "ringbuffer", "check", *SMALL]
    with subprocess.Popen(command, stdout=inner, stderr=inner, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}) as check:
        os.close(inner)
        shown = b""
        while True:
            try:
                chunk = os.read(outer, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
    os.close(outer)
    assert check.returncode == 0
    assert "verdict: holds" in shown.decode()
