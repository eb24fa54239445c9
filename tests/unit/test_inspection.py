"""``ringbuffer inspect`` and ``ringbuffer clean`` as a user types them, in a folder of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import LONG_SECONDS, MakeRing
from written import Clock, Written

from ringbuffer import cleaning, inspection, observe
from ringbuffer.cli import main
from ringbuffer.memory.holding import CREATOR_BYTE
from ringbuffer.memory.layout import LAYOUT_VERSION, Header

Capture = pytest.CaptureFixture[str]
Write = Callable[..., Written]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the segments of this machine are; the clock stands still."""
    monkeypatch.setattr(observe, "FOLDER", tmp_path)
    monkeypatch.setattr(observe, "time", Clock)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Iterator[Write]:
    made: list[Written] = []

    def make(name: str = "one", n_reader: int = 3, max_chunks: int = 3) -> Written:
        made.append(Written(folder, n_reader, max_chunks, name=name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def blocked(ring: Written) -> None:
    """The writer waits for reader 2, which died."""
    ring.hold(CREATOR_BYTE)
    for sequence, flags in enumerate([(1, 1, 0), (1, 1, 0), (1, 0, 0)]):
        ring.publish(sequence, *flags)
    ring.frame(1, 1, 64, kind=3, part=1, total=3000)
    ring.claimed(-1, position=3, waiting=3.2)
    ring.awake(-1, 0)
    ring.claimed(0, position=3, evicted_by=41)
    ring.claimed(1, position=2)
    ring.claimed(2, lives=False)


SUMMARY = "shm_ring_one: 3 readers, 3 blocks of 64 bytes, 1,024 bytes in all; made by pid 40, which lives"
VERDICT = (
    "the writer (pid 41) has waited 3.2 s for block 0 (case 3): not yet read by reader rank 2 (pid 44), which died; evict(2)"
    " lets the writer go on"
)
TABLES = f"""{SUMMARY}

block  case           sequence  kind            bytes  not read by
    0  3 partly read         0  pickle              5  2
    1  3 partly read         1  gathered  64 of 3,000  2
    2  3 partly read         2  pickle              5  1-2

who       pid  state                               position  lag  waiting
writer     41  held                                       3    –  3.2 s, block 0, asleep
reader 0   42  evicted; pid 41 reads in its place         3    0  –
reader 1   43  held                                       2    1  –
reader 2   44  dead                                       0    3  –

verdict: {VERDICT}
"""


def test_inspect_shows_blocks_participants_and_the_verdict(write: Write, capsys: Capture) -> None:
    blocked(write())
    assert run(capsys, "inspect", "shm_ring_one") == (1, TABLES, "")


def test_inspect_without_a_name_shows_all_rings_and_what_is_none(write: Write, folder: Path, capsys: Capture) -> None:
    assert run(capsys, "inspect") == (0, "there are no rings on this machine\n", "")
    blocked(write())
    write("two").hold(CREATOR_BYTE)
    write("\x1b[31m\n").hold(CREATOR_BYTE)
    (folder / "shm_ring_zeros").write_bytes(bytes(4096))
    (folder / "shm_ring_folder").mkdir()
    (folder / "another_name").write_bytes(b"")
    status, out, err = run(capsys, "inspect")
    assert (status, err) == (1, "")
    paragraphs = out.rstrip("\n").split("\n\n")
    assert len(paragraphs) == 5
    assert paragraphs[1] == f"{SUMMARY}\n    {VERDICT}"
    assert paragraphs[0].startswith(r"shm_ring_\x1b[31m\n: 3 readers"), "a name that would speak to the terminal"
    assert paragraphs[2].endswith("\n    nobody has claimed a role yet")
    assert paragraphs[3] == "shm_ring_folder: not a ring to look at: file: this is no plain file; another program made it"
    assert paragraphs[4].startswith("shm_ring_zeros: not a ring to look at: magic: the header is empty")


@pytest.mark.parametrize(
    ("edit", "status"),
    [
        (lambda _: None, 0),
        (blocked, 1),
        (lambda ring: ring.flags(0, 9, 9, 9, 9), 1),
        (lambda ring: os.truncate(ring.path, 500), 1),
        (lambda ring: ring.put(60, b"\7"), 1),
        (lambda ring: ring.put(0, b"x"), 0),
        (lambda ring: ring.put(8, bytes([LAYOUT_VERSION + 1])), 0),
        (lambda ring: os.truncate(ring.path, 0), 0),
    ],
    ids=["new", "blocked", "flags", "cut short", "header", "foreign", "newer", "empty"],
)
def test_exit_status_of_a_summary_is_1_if_a_ring_is_stuck_or_damaged(
    edit: Callable[[Written], None], status: int, write: Write, capsys: Capture
) -> None:
    edit(write())
    write("two")
    assert run(capsys, "inspect")[0] == status
    assert report(capsys, "inspect")[0] == status


def report(capsys: Capture, *arguments: str) -> tuple[int, Any]:
    status, out, _ = run(capsys, *arguments, "--json")
    return status, json.loads(out)


def test_json_says_all(write: Write, folder: Path, capsys: Capture) -> None:
    blocked(write())
    status, found = report(capsys, "inspect", "shm_ring_one")
    assert (status, found["stuck"], found["verdict"], found["damage"]) == (1, True, VERDICT, [])
    geometry = {"n_reader": 3, "max_chunk_bytes": 64, "max_chunks": 3, "total_bytes": 1024, "identity": 32 * "0"}
    assert found.items() >= {**geometry, "creator_pid": 40, "creator_lives": True, "has_name": True}.items()
    assert found["blocks"][1] == {
        "index": 1,
        "case": 3,
        "flags": [1, 1, 1, 0],
        "unread_by": [2],
        "sequence": 1,
        "kind": "gathered",
        "length": 64,
        "total_bytes": 3000,
        "changing": False,
        "damage": None,
    }
    writer, *readers = found["participants"]
    assert (writer["rank"], writer["state"], writer["waiting_seconds"], writer["waits_for_block"]) == (-1, "held", 3.2, 0)
    assert (writer["lag"], writer["asleep"], writer["position"], writer["pid"], writer["generation"]) == (None, True, 3, 41, 1)
    assert [(one["state"], one["lag"], one["evicted_by"]) for one in readers] == [
        ("dead", 0, 41),
        ("held", 1, None),
        ("dead", 3, None),
    ]
    (folder / "shm_ring_other").write_bytes(b"")
    _, of_all = report(capsys, "inspect")
    assert of_all["rings"] == [found]
    why = "size: 0 bytes cannot hold a header of 128"
    assert of_all["others"] == [{"name": "shm_ring_other", "why": why, "damaged": False}]


def test_long_rings_are_shown_in_few_lines(write: Write, capsys: Capture) -> None:
    """Blocks in the same case share a row, and of many readers those are shown of whom there is something to say."""
    ring = write("long", 200, 2000)
    for sequence in range(100):
        ring.publish(sequence, *[int(sequence < 40)] * 200)
    ring.flags(70, *[1] * 200, 3)
    ring.claimed(-1, position=100)
    ring.claimed(150, position=90, lives=False)
    status, out, _ = run(capsys, "inspect", "shm_ring_long")
    assert status == 1
    lines = out.splitlines()
    assert len(lines) < 100
    assert max(map(len, lines[1:])) < 120
    rows = [" ".join(line.split()) for line in lines]
    assert "0-39 4 read by all 0-39 pickle 5 –" in rows
    assert "40-69 2 written 40-69 pickle 5 0-199" in rows
    assert "70 damaged: the flag of reader 199 is 3, and a flag is 0 or 1" in rows
    assert "100-1023 1 unwritten – – – –" in rows
    assert "… and 976 more blocks" in rows
    assert "reader 150 192 dead 90 10 –" in rows
    assert "… and 137 more readers" in rows


def test_blocks_that_all_differ_are_not_all_shown(write: Write, capsys: Capture) -> None:
    ring = write("long", 7, 100)
    for sequence in range(100):
        ring.publish(sequence, *map(int, f"{sequence:07b}"))
    out = run(capsys, "inspect", "shm_ring_long")[1]
    assert "  63  3 partly read" in out
    assert "… and 36 more blocks" in out


@pytest.mark.parametrize("name", ["shm_ring_nobody", "a/b", ""])
@pytest.mark.parametrize("more", [(), ("--json",), ("--watch",)])
@pytest.mark.usefixtures("folder")
def test_no_such_segment_is_usage(name: str, more: tuple[str, ...], capsys: Capture) -> None:
    status, out, err = run(capsys, "inspect", name, *more)
    assert (status, out) == (2, "")
    assert err.startswith("ringbuffer inspect: ")
    assert repr(name) in err


def test_a_damaged_or_foreign_segment_that_was_asked_for_by_name_is_a_failure(folder: Path, capsys: Capture) -> None:
    (folder / "x").write_bytes(b"hello")
    status, out, err = run(capsys, "inspect", "x")
    assert (status, out) == (1, "")
    assert "5 bytes cannot hold a header" in err


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_an_interval_that_is_none_is_usage(interval: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["inspect", "shm_ring_nobody", "--watch", "--interval", interval])
    assert caught.value.code == 2
    assert "--interval" in capsys.readouterr().err


class Sleep:
    """In place of the module ``time``: it notes what was slept, and lets something happen meanwhile."""

    def __init__(self, *meanwhile: Callable[[], object]) -> None:
        self.meanwhile, self.slept = list(meanwhile), 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.meanwhile.pop(0)()


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("on_terminal", [False, True])
def test_watch_shows_look_after_look_until_it_is_interrupted(
    on_terminal: bool, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ring = write()
    time = Sleep(lambda: ring.publish(0), lambda: blocked(ring), interrupt)
    monkeypatch.setattr(inspection, "time", time)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    status, out, err = run(capsys, "inspect", ring.name, "--watch", "--interval", "0.25")
    assert (status, err, time.slept) == (0, "", 0.75)
    looks = out.split("\x1b[H\x1b[J" if on_terminal else "shm_ring_one: ")[1:]
    assert ("\x1b" in out) == on_terminal
    assert [look.strip().splitlines()[-1] for look in looks] == [
        "verdict: nobody has claimed a role yet",
        "verdict: nobody has claimed a role yet",
        f"verdict: {VERDICT}",
    ]
    assert ["0  2 written" in look for look in looks] == [False, True, False]


def test_watch_of_json_is_an_object_a_line_and_ends_when_the_ring_is_gone(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ring = write()
    monkeypatch.setattr(inspection, "time", Sleep(lambda: ring.publish(0), ring.path.unlink))
    status, out, err = run(capsys, "inspect", ring.name, "--watch", "--json")
    assert (status, err) == (0, "the ring shm_ring_one is gone\n")
    assert [json.loads(line)["blocks"][0]["case"] for line in out.splitlines()] == [1, 2]


def test_watch_is_ended_by_ctrl_c(make_ring: MakeRing) -> None:
    """A real ring, a real process, and a signal as soon as something was shown."""
    ring = make_ring(2)
    command = [sys.executable, "-m", "ringbuffer", "inspect", ring.name, "--watch", "--interval", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        for line in watch.stdout:
            if line.startswith("verdict: "):
                break
        watch.send_signal(signal.SIGINT)
        assert watch.wait(LONG_SECONDS) == 0
        assert watch.stderr.read() == ""


# clean


def abandoned(ring: Written) -> None:
    """As a process leaves it that was killed with all its family."""
    ring.publish(0)
    ring.claimed(-1, position=1, lives=False)
    ring.claimed(0, position=1, left=5)


def test_clean_removes_what_nobody_needs_and_nothing_else(write: Write, folder: Path, capsys: Capture) -> None:
    abandoned(write("abandoned"))
    write("new")
    write("created").hold(CREATOR_BYTE)
    written, read = write("written"), write("read")
    written.claimed(-1)
    read.claimed(2)
    newer = write("newer")
    newer.put(8, bytes([LAYOUT_VERSION + 1]))
    (folder / "shm_ring_zeros").write_bytes(bytes(4096))
    (folder / "shm_ring_folder").mkdir()
    (folder / "another_name").write_bytes(b"")
    everything = {path.name for path in folder.iterdir()}
    status, out, err = run(capsys, "clean", "--yes")
    assert (status, err) == (0, "")
    assert everything - {path.name for path in folder.iterdir()} == {"shm_ring_abandoned", "shm_ring_new"}
    for line in (
        SUMMARY.replace("one", "abandoned").replace("lives", "is gone; nobody has a role in it (ringbuffer clean removes it)"),
        "shm_ring_created: kept: its creator (pid 40) lives",
        "shm_ring_written: kept: the writer (pid 41) lives",
        "shm_ring_read: kept: reader 2 (pid 44) lives",
        "shm_ring_folder: kept: file: this is no plain file; another program made it",
        "removed: 2 of 2, 2,048 bytes",
    ):
        assert line in out.splitlines()
    assert f"shm_ring_newer: kept: version: {LAYOUT_VERSION + 1}" in out
    assert "shm_ring_zeros: kept: magic" in out
    status, found = report(capsys, "clean", "--yes")
    assert (status, found["abandoned"], found["removed"], found["failed"]) == (0, [], [], [])
    assert {one["name"] for one in found["kept"]} == {name for name in everything if name[9:] not in ("abandoned", "new")} - {
        "another_name"
    }


def test_clean_without_yes_removes_nothing_where_nobody_can_be_asked(write: Write, capsys: Capture) -> None:
    ring = write()
    for more in ((), ("shm_ring_one",)):
        status, out, _ = run(capsys, "clean", *more)
        assert status == 0
        assert out.splitlines()[0].startswith("shm_ring_one: 3 readers")
        assert "nothing was removed; ringbuffer clean --yes removes" in out
    status, found = report(capsys, "clean")
    assert (status, found["removed"]) == (0, [])
    assert [one["name"] for one in found["abandoned"]] == ["shm_ring_one"]
    assert ring.path.exists()
    ring.path.unlink()
    assert run(capsys, "clean")[:2] == (0, "nothing to remove\n")


@pytest.mark.parametrize(("answer", "removes"), [("y", True), (" YES ", True), ("n", False), ("", False), (None, False)])
def test_clean_asks_at_a_terminal(
    answer: str | None, removes: bool, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ring, other = write(), write("two")

    def ask(question: str) -> str:
        assert question == "remove these 2 segments? [y/N] "
        if answer is None:
            raise EOFError
        return answer

    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    status, out, _ = run(capsys, "clean")
    assert status == 0
    assert (ring.path.exists(), other.path.exists()) == (not removes, not removes)
    assert ("removed: 2 of 2" if removes else "nothing was removed") in out


def test_clean_of_names_looks_at_these_only(write: Write, capsys: Capture) -> None:
    ring, other = write(), write("two")
    assert run(capsys, "clean", "--yes", other.name)[0] == 0
    assert (ring.path.exists(), other.path.exists()) == (True, False)
    status, out, err = run(capsys, "clean", "--yes", other.name)
    assert (status, out) == (2, "")
    assert "no shared-memory segment 'shm_ring_two'" in err


def claimed_meanwhile(ring: Written) -> None:
    ring.claimed(1)


def replaced(ring: Written) -> None:
    """Another ring gets the name: another file, even where it looks the same."""
    content = ring.path.read_bytes()
    ring.path.rename(ring.path.with_name("moved"))
    ring.path.write_bytes(content)


def made_anew(ring: Written) -> None:
    """Another ring in a file of the same number, as numbers are used again: its identity is another."""
    ring.put(0, Header.of(ring.layout, initial_read_flag=0, creator_pid=40, identity=bytes(range(16))).pack())


@pytest.mark.parametrize(
    ("happens", "why", "status"),
    [
        (claimed_meanwhile, "reader 1 (pid 43) lives", 1),
        (lambda ring: ring.hold(CREATOR_BYTE), "its creator (pid 40) lives", 1),
        (replaced, "another segment has got its name meanwhile", 1),
        (made_anew, "another segment has got its name meanwhile", 1),
        (lambda ring: ring.put(8, b"\7"), "version: 7, and this release reads", 1),
        (lambda ring: ring.path.unlink(), "it is gone already", 0),
    ],
)
def test_what_happens_between_showing_and_removing_is_noticed(
    happens: Callable[[Written], None], why: str, status: int, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    ring = write()
    show = cleaning._show

    def then(*arguments: Any) -> None:
        show(*arguments)
        happens(ring)

    monkeypatch.setattr(cleaning, "_show", then)
    found_status, out, _ = run(capsys, "clean", "--yes")
    assert found_status == status
    assert f"shm_ring_one: not removed: {why}" in out
    assert "removed: 0 of 1, 0 bytes" in out
    assert ring.path.exists() == (why != "it is gone already")


@pytest.mark.parametrize("back_again", [False, True])
def test_what_was_judged_last_is_what_was_shown_and_what_is_removed(
    back_again: bool, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The name is another's after the last judgement, or during it alone."""
    ring, judge = write(), cleaning.judge
    judged: list[cleaning.Abandoned | cleaning.Kept] = []

    def then(name: str) -> cleaning.Abandoned | cleaning.Kept:
        if judged and back_again:
            replaced(ring)
        judged.append(judge(name))
        if len(judged) == 2:
            ring.path.with_name("moved").rename(ring.path) if back_again else replaced(ring)
        return judged[-1]

    monkeypatch.setattr(cleaning, "judge", then)
    status, out, _ = run(capsys, "clean", "--yes", ring.name)
    assert (status, len(judged), ring.path.exists()) == (1, 2, True)
    assert "another segment has got its name meanwhile" in out


def test_a_segment_of_another_user_is_kept(write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Even where this one could remove it, as root can."""
    ring, owner = write(), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    status, out, _ = run(capsys, "clean", "--yes")
    assert (status, ring.path.exists()) == (0, True)
    assert f"kept: it belongs to the user with number {owner}, and this process runs as {owner + 1}" in out


def test_a_removal_that_fails_is_said_to(write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    ring = write()

    def refused(_: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        status, out, _ = run(capsys, "clean", "--yes", ring.name)
    assert status == 1
    assert "shm_ring_one: not removed: Operation not permitted" in out
