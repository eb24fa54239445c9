"""Runs as ITF JSON and back: nothing is lost, another tool can read it, and what is no run is refused with a reason."""

from __future__ import annotations

import json
import sys
from typing import Any

import itf_py
import pytest
from runs import NAMES, simulation

from ringbuffer.checker import replay
from ringbuffer.errors import MissingExtraError, TraceFileError
from ringbuffer.trace.itf import VARIABLES, dumps, from_itf, to_itf


def data_of(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(dumps(to_itf(replay.recording(simulation(name)))))
    return data


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_on_the_way_and_back(name: str) -> None:
    recording = replay.recording(simulation(name))
    assert from_itf(dumps(to_itf(recording))) == recording


@pytest.mark.parametrize("name", NAMES)
def test_it_is_itf(name: str) -> None:
    data = data_of(name)
    assert data["#meta"]["format"] == "ITF"
    assert data["vars"] == list(VARIABLES) == list(data["#meta"]["varTypes"])
    assert [state["#meta"]["index"] for state in data["states"]] == list(range(len(simulation(name).steps) + 1))
    for state in data["states"]:
        assert set(state) == {"#meta", *VARIABLES}
        assert_no_plain_number([value for key, value in state.items() if key != "#meta"])
    trace = itf_py.trace_from_json(data)
    assert itf_py.trace_to_json(trace) == {"loop": None, **data}


def assert_no_plain_number(value: Any) -> None:
    assert not isinstance(value, int), "integers are written as #bigint, which every reader of ITF understands"
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        assert_no_plain_number(inner)


def test_a_state_reads_as_the_specification_does() -> None:
    state = itf_py.trace_from_json(data_of("swapped")).states[5]
    assert state.values["written"] == {0: 1, 1: 0}
    assert state.values["read"] == {0: {0: 0, 1: 0}, 1: {0: 0, 1: 0}}
    assert state.values["payload"][0] == {0: 1, 1: 1}
    assert state.values["pc"] == {"writer": "W5", "reader 0": "R1", "reader 1": "R1"}
    assert state.values["block"] == {"writer": 0, "reader 0": 0, "reader 1": 0}
    assert state.values["step"]._asdict() == {
        "actor": "writer",
        "row": "W6",
        "kind": "store",
        "block": 0,
        "location": "written",
        "value": 1,
    }


def test_the_question_and_the_verdict_stand_in_the_head() -> None:
    about = data_of("starved")["#meta"]["ringbuffer"]
    assert about["variant"] == "policy=scan"
    assert (about["readers"], about["blocks"], about["words"], about["writers"]) == (2, 2, 2, 1)
    assert (about["messages"], about["aborts"], about["memory"]) == (None, True, "sc")
    assert about["token"] == simulation("starved").token()
    assert about["broken"] == ["reordered", "starved"]
    assert about["starved"] == "reader 0"
    data = data_of("starved")
    assert data["loop"] == about["cycle_start"] - 1
    assert "loop" not in data_of("swapped")


def test_where_an_actor_stands_is_where_its_next_step_is() -> None:
    recording = replay.recording(simulation("long"))
    for index, step in enumerate(recording.run.steps):
        place = recording.places[index][recording.run.actors.index(step.actor)]
        assert place == (step.row, step.block)


def test_plain_numbers_and_sequences_are_read_too() -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"#bigint"}:
            return int(value["#bigint"])
        if isinstance(value, dict) and set(value) == {"#map"} and not isinstance(value["#map"][0][0], str):
            return [plain(inner) for _, inner in value["#map"]]
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    data = data_of("swapped")
    assert from_itf(json.dumps(plain(data))) == from_itf(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a": 1', "not JSON"),
        ("[" * 100_000, "not"),
        ("{}", "ITF"),
        ('{"vars": [], "states": []}', "no states"),
        ('{"vars": [], "states": 5}', "ITF"),
        ('{"vars": [], "states": [{}]}', "state 0"),
        ('{"vars": [], "states": [{"x": {"#bigint": "many"}}]}', "ITF"),
        ('{"vars": [], "states": [{"x": {"#bigint": Infinity}}]}', "ITF"),
        ('{"vars": [], "states": [{"x": {"class": 1}}]}', "ITF"),
        ('{"vars": [], "states": [{"x": {"#map": [1]}}]}', "ITF"),
        ('{"#meta": {"ringbuffer": 5}, "vars": [], "states": [{}]}', "#meta"),
    ],
)
def test_what_is_no_itf_is_refused(text: str, says: str) -> None:
    with pytest.raises(TraceFileError, match=says):
        from_itf(text)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("written", 1, "written is not a function of 0, 1, 2"),
        ("written", "01", "written is not a function"),
        ("written", {"#map": []}, "blocks that differ"),
        ("written", [0, 0, 0], "blocks that differ"),
        ("written", [0, 7], "a flag is 0 or 1"),
        ("written", [0, True], "True where a number belongs"),
        ("written", [0, 1.0], "1.0 where a number belongs"),
        ("read", [[0, 0], [0]], "blocks that differ"),
        ("payload", {"#map": [[1, [0, 0]], [2, [0, 0]]]}, "payload is not a function of 0"),
        ("pc", ["W1", "R1", "R1"], "pc is not a function of"),
        ("pc", {"#map": [["janitor", "W1"]]}, "'janitor' is no actor"),
        ("block", {"#map": [["writer", 0]]}, "block is not a function of writer, reader 0, reader 1"),
        ("step", 5, "step is not a record"),
        ("step", None, "step is not a record"),
    ],
)
def test_a_state_that_is_none_of_a_ring_is_named(variable: str, value: Any, says: str) -> None:
    data = data_of("swapped")
    at = 0 if variable == "pc" else 7
    data["states"][at][variable] = value
    with pytest.raises(TraceFileError, match=f"state {at} of the file is none of this ring: .*{says}"):
        from_itf(json.dumps(data))
    del data["states"][at][variable]
    with pytest.raises(TraceFileError, match=f"it has no variable {variable}"):
        from_itf(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "value"), [("variant", 5), ("memory", None), ("token", []), ("broken", "stale"), ("broken", 3)]
)
def test_a_head_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    data = data_of("swapped")
    data["#meta"]["ringbuffer"][name] = value
    with pytest.raises(TraceFileError, match="#meta has"):
        from_itf(json.dumps(data))


def test_without_itf_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = replay.recording(simulation("swapped"))
    text = dumps(to_itf(recording))
    monkeypatch.setitem(sys.modules, "itf_py", None)
    for call in (lambda: to_itf(recording), lambda: from_itf(text)):
        with pytest.raises(MissingExtraError, match=r"\[check\]"):
            call()
