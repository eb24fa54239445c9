"""Traces that must be refused: the beginning of a good one, and then a step that the protocol does not have there.

Each comes from a good trace and one change of its next step. Rules: the change is of what the case is about, and only of that,
as far as that can be. Limits: they try whoever follows traces, be it the harness of an implementation or a validator, and not
the implementation itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ringbuffer.vectors import stepping
from ringbuffer.vectors.text import Json

_Edit = dict[str, Any]

_EDITS: Final[tuple[tuple[str, str, str, int, _Edit], ...]] = (
    ("a written flag that is loaded as 1 where it is 0", "one-lap", "W1", 0, {"value": 1}),
    ("a written flag that is loaded as 0 where it is 1", "one-lap", "W1", 2, {"value": 0}),
    ("a read flag that is loaded as 0 where it is 1", "one-lap", "W2", 0, {"value": 0}),
    ("a claim that stores 1", "one-lap", "W3", 2, {"value": 1}),
    ("a read flag that is set where it is to be cleared", "one-lap", "W5", 2, {"value": 1}),
    ("a message that is published with 255", "one-lap", "W6", 0, {"value": 255}),
    ("a position that is one off", "one-lap", "N1", 1, {"value": 1}),
    ("a mark that stores 0", "one-lap", "R4", 0, {"value": 0}),
    ("a look at another block's flag", "one-lap", "R1", 0, {"offset": 320}),
    ("a mark in the written flag", "full-ring", "R4", 0, {"offset": 256}),
    ("a mark in the other reader's flag", "full-ring", "R4", 0, {"offset": 258}),
    ("a position in the other reader's entry", "full-ring", "N2", 0, {"offset": 512}),
    ("the next block while its own is busy", "full-ring", "W1", 2, {"block": 1}),
    ("the same block again", "one-lap", "W1", 1, {"block": 0}),
    ("another reader", "full-ring", "R1", 0, {"actor": 1}),
    ("a reader that the ring does not have", "full-ring", "R1", 0, {"actor": 2}),
    ("a flag that was cleared already", "any-order", "W5", 1, {"rank": 2}),
    ("a flag of a reader that the ring does not have", "any-order", "W5", 0, {"rank": 3}),
    ("a byte that changes besides", "one-lap", "W3", 0, {"changes": [[130, "01"]]}),
    ("a store that changes nothing", "one-lap", "W6", 0, {"changes": []}),
    ("bytes of another digest", "one-lap", "K1", 0, {"crc32": "00000000"}),
    ("a load where a store must be", "one-lap", "W6", 0, {"access": "load"}),
    ("a block that is claimed although a flag is 0", "full-ring", "W2", 0, {"next": ["W3"]}),
    ("a reader that goes on although the written flag is 0", "full-ring", "R2", 0, {"next": ["R3"]}),
    ("a fill that was given up and is published", "aborts", "W4", 0, {"next": ["W5"]}),
    ("a frame with the number of the block before", "one-lap", "W4", 1, {"frame": (0).to_bytes(8, "little").hex()}),
    ("a message that was not sent", "one-lap", "R3", 0, {"payload": "0000000000"}),
    ("a part that is delivered as a message", "parts", "R3", 0, {"message": {"kind": 2, "body": "00"}}),
    ("a word that is still 1 when its owner lies down", "sleeping", "S1", 0, {"value": 1}),
    ("a sleep on the word of another", "sleeping", "S4", 0, {"offset": 388}),
    ("a wake of the wrong word", "sleeping", "K4", 0, {"offset": 384}),
)
"""About, trace, row, which of its steps (from 0; -1: the last), and what is changed in it."""

_SKIPS: Final = (
    ("a fill without a claim", "one-lap", "W3", 1),
    ("published before the read flags are cleared", "one-lap", "W5", 1),
    ("nothing is published", "one-lap", "W6", 1),
    ("no position is noted", "one-lap", "N1", 1),
    ("read without a look at the written flag", "one-lap", "R2", 1),
    ("marked without being read", "one-lap", "R3", 1),
    ("marked before its position is noted", "one-lap", "N2", 1),
    ("no look at who sleeps", "sleeping", "K2", 1),
    ("a wake without the word", "sleeping", "K3", 2),
    ("asleep without having looked again", "sleeping", "S3.R1", 2),
    ("asleep without a fence", "sleeping", "S2", 1),
    ("no fence before the look at who sleeps", "sleeping", "K1", 1),
    ("the rest of the flags left out", "any-order", "W5", 3),
)
"""About, trace, the row whose first step is left out, and how many of its actor's steps are."""


def documents() -> Iterator[tuple[str, Json]]:
    """The one file of these, whose name and contents they are."""
    traces = {name: make().document(about) for name, (about, make) in stepping.TRACES.items()}
    cases = [*(_edited(traces, *edit) for edit in _EDITS), *(_skipped(traces, *skip) for skip in _SKIPS)]
    about = "the beginnings of traces, each with a step behind it that must be refused"
    yield "rejected.json", {"kind": "rejected", "about": about, "cases": cases}


def _numbers(steps: list[Json], clause: str) -> list[int]:
    return [number for number, step in enumerate(steps) if step["clause"] == clause]


def _edited(traces: dict[str, Json], about: str, of: str, clause: str, which: int, edit: _Edit) -> Json:
    steps = traces[of]["steps"]
    number = _numbers(steps, clause)[which]
    step = {**steps[number], **edit}
    if "frame" in edit:
        step["frame"] = edit["frame"] + steps[number]["frame"][len(edit["frame"]) :]
    assert step != steps[number], f"{about}: that is what the trace says"
    return {"about": about, "of": f"steps/{of}.json", "steps_before": number, "step": step}


def _skipped(traces: dict[str, Json], about: str, of: str, clause: str, count: int) -> Json:
    steps = traces[of]["steps"]
    number = _numbers(steps, clause)[0]
    actor = steps[number]["actor"]
    own = [step for step in steps[number:] if step["actor"] == actor]
    return {"about": about, "of": f"steps/{of}.json", "steps_before": number, "step": own[count]}
