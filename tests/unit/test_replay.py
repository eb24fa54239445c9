"""Running again what was recorded: what the tables do is accepted, and whatever they do not is refused, at its first step."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import NAMES, run, simulation

from ringbuffer.checker import replay
from ringbuffer.cli import main
from ringbuffer.errors import TokenError, TraceFileError
from ringbuffer.trace.itf import OURS, dumps, from_itf, to_itf

Data = dict[str, Any]


def data_of(name: str) -> Data:
    data: Data = json.loads(text_of(name))
    return data


def text_of(name: str) -> str:
    return dumps(to_itf(replay.recording(simulation(name))))


def refused(data: Data) -> int:
    """The number of the step that is refused, 0 where it is the beginning; the test fails if none is."""
    with pytest.raises(TraceFileError) as error:
        replay.rerun(from_itf(json.dumps(data)))
    number = re.search(r"step (\d+) of the file", str(error.value))
    return int(number[1]) if number else 0


def without_meta(data: Data) -> Data:
    """As another tool would have written it: the same variables, and nothing else."""
    data = copy.deepcopy(data)
    data["#meta"] = {OURS: {name: data["#meta"][OURS][name] for name in ("variant", "memory", "killed")}}
    data.pop("loop", None)
    for state in data["states"]:
        del state["#meta"]
    return data


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_is_run_again(name: str) -> None:
    again = replay.rerun(from_itf(text_of(name)))
    assert again.token() == simulation(name).token()
    assert replay.shown(again) == run(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_another_tool_has_recorded_is_found_again(name: str) -> None:
    again = replay.recording(replay.rerun(from_itf(json.dumps(without_meta(data_of(name))))))
    assert without_meta(json.loads(dumps(to_itf(again)))) == without_meta(data_of(name))


def test_without_a_head_it_is_a_run_of_the_shipped_protocol() -> None:
    data = data_of("long")
    del data["#meta"]
    assert replay.rerun(from_itf(json.dumps(data))).token() == simulation("long").token()


@pytest.mark.parametrize("name", ["swapped", "no progress", "unordered"])
def test_a_run_with_a_step_dropped_is_refused(name: str) -> None:
    for index in range(len(data_of(name)["states"])):
        data = data_of(name)
        del data["states"][index]
        number = refused(data)
        if 0 < index < len(data["states"]):
            assert number == index


@pytest.mark.parametrize("name", ["swapped", "no progress", "unordered"])
def test_a_run_with_two_steps_swapped_is_refused(name: str) -> None:
    for index in range(1, len(data_of(name)["states"]) - 1):
        data = data_of(name)
        states = data["states"]
        states[index], states[index + 1] = states[index + 1], states[index]
        assert refused(data) == index


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values in a state."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path
        return
    for key, item in inner:
        yield from leaves(item, (*path, key))


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case None:
            return 1
        case "0" | "1":
            return "1" if value == "0" else "0"
        case _:
            return f"{value}x"


@pytest.mark.parametrize(
    ("name", "meta"),
    [("two steps", True), ("no progress", True), ("unordered", True), ("two steps", False), ("no progress", False)],
)
def test_a_run_with_any_value_changed_is_refused(name: str, meta: bool) -> None:
    """Another tool's too, as long as a load can return one value only: else a changed one may be that of another run."""
    original = data_of(name) if meta else without_meta(data_of(name))
    for index in range(len(original["states"])):
        for path in leaves(original["states"][index]):
            if path[:2] == ("#meta", "note") or (index == 0 and path[0] in ("step", "#meta")):
                continue
            data = copy.deepcopy(original)
            place = data["states"][index]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = other(place[path[-1]])
            with pytest.raises(TraceFileError):
                replay.rerun(from_itf(json.dumps(data)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("variant", "shipped"),
        ("variant", "without=W9"),
        ("readers", 3),
        ("readers", "2"),
        ("blocks", 1),
        ("words", 1),
        ("writers", 2),
        ("messages", 1),
        ("messages", "many"),
        ("aborts", False),
        ("aborts", 1),
        ("memory", "tso"),
        ("memory", "quantum"),
        ("token", "rb2"),
        ("broken", []),
        ("cycle_start", 3),
        ("starved", "reader 0"),
    ],
)
def test_a_run_with_another_head_is_refused(name: str, value: Any) -> None:
    data = data_of("swapped")
    data["#meta"][OURS][name] = value
    refused(data)


def test_a_loop_that_is_none_is_refused() -> None:
    data = data_of("starved")
    data["loop"] += 1
    refused(data)
    data["loop"] -= 1
    replay.rerun(from_itf(json.dumps(data)))


def test_the_refusal_says_what_is_different() -> None:
    data = data_of("swapped")
    data["states"][5]["written"]["#map"][0][1] = {"#bigint": "0"}
    with pytest.raises(
        TraceFileError, match=r"step 5 of the file \(writer, W6 written = 1\): block 0 has flags 0 0 0, and the"
    ):
        replay.rerun(from_itf(json.dumps(data)))
    data = data_of("swapped")
    del data["states"][2]
    with pytest.raises(TraceFileError, match=r"step 2 of the file .*: possible here: writer, W3 written ← 0; reader 0, R1"):
        replay.rerun(from_itf(json.dumps(data)))


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["replay", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_takes_a_run_and_writes_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    token = simulation("starved").token()
    html, itf = tmp_path / "run.html", tmp_path / "run.itf.json"
    status, out, _ = command(capsys, token, "--html", str(html), "--itf", str(itf))
    assert status == 1
    assert f"written: {html}\nwritten: {itf}\n" in out
    assert command(capsys, str(itf), "--html", "-") == (1, html.read_text(encoding="utf-8"), "")
    assert command(capsys, str(itf), "--itf", "-") == (1, itf.read_text(encoding="utf-8"), "")
    assert command(capsys, str(itf)) == command(capsys, token)
    assert json.loads(command(capsys, str(itf), "--json")[1])["starved"] == "reader 0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.html", "run.itf.json"]


@pytest.mark.parametrize("given", [("--html", "-", "--json"), ("--html", "-", "--itf", "-"), ("--itf", "-", "--json")])
def test_only_one_thing_goes_to_standard_output(capsys: pytest.CaptureFixture[str], given: tuple[str, ...]) -> None:
    status, out, err = command(capsys, simulation("two steps").token(), *given)
    assert (status, out) == (2, "")
    assert "standard output" in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no replay token"),
        (b"{", "not JSON"),
        (b"{}", "not in the ITF format"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"hello", "no replay token"),
    ],
)
def test_a_file_that_is_no_run_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "run").write_bytes(content)
    status, out, err = command(capsys, str(tmp_path / "run"), "--html", str(tmp_path / "page"))
    assert (status, out) == (2, "")
    assert says in err
    assert not (tmp_path / "page").exists()


def test_what_is_neither_a_token_nor_a_file_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, says in (
        (str(tmp_path), "is a folder"),
        ("nowhere.json", "no file of that name"),
        ("x" * 5000, "no file of that"),
    ):
        status, out, err = command(capsys, name)
        assert (status, out) == (2, "")
        assert says in err


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").write_text(text_of("swapped"), encoding="utf-8")
    monkeypatch.setattr(replay, "FILE_BYTES_MAX", 100)
    with pytest.raises(TraceFileError, match="more than 100 bytes"):
        replay.load(str(tmp_path / "run"))


def test_a_token_may_be_longer_than_a_name_of_a_file() -> None:
    token = simulation("long").token()
    assert replay.load(token).token() == token
    with pytest.raises(TokenError, match="damaged"):
        replay.load(token + "x" * 5000)


@pytest.mark.parametrize("output", ["nowhere/run.html", ".", "run.html/run.html"])
def test_a_file_that_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path, output: str) -> None:
    (tmp_path / "run.html").write_text("before", encoding="utf-8")
    status, out, err = command(capsys, simulation("two steps").token(), "--html", str(tmp_path / output))
    assert (status, out) == (2, "")
    assert "cannot be written" in err
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["before"]


def test_a_full_disk_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = command(capsys, simulation("two steps").token(), "--html", "/dev/full")
    assert status == 2
    assert "No space left" in err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    target = tmp_path / "run.html"
    target.write_text("before", encoding="utf-8")

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises((TraceFileError, KeyboardInterrupt)):
        replay.save(str(target), "after")
    assert target.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_followed_and_the_mode_is_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before", encoding="utf-8")
    target.chmod(0o600)
    link.symlink_to(target)
    replay.save(str(link), "after")
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "after"
    assert os.stat(target).st_mode & 0o777 == 0o600  # noqa: PTH116
