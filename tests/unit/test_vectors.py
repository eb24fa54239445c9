"""The conformance vectors: the ring passes them, whatever is changed in them is noticed, and so is a changed ring."""

from __future__ import annotations

import functools
import json
import pickle
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import needs_extension, needs_little_endian

from ringbuffer import cli
from ringbuffer.codec import frames
from ringbuffer.endpoint.outbox import Outbox
from ringbuffer.errors import BackendError, FrameError, VectorError
from ringbuffer.memory import python_runner
from ringbuffer.memory.backend import NATIVE, PYTHON
from ringbuffer.memory.layout import AWAKE_BYTES, Layout
from ringbuffer.memory.printer import compile_program
from ringbuffer.protocol import PROTOCOL
from ringbuffer.vectors import publish, stepped, versions
from ringbuffer.vectors.run import backends, check, read_manifest
from ringbuffer.vectors.versions import MANIFEST, VERSION
from ringbuffer.vectors.words import order_of, turned

SPEC = Path(__file__).parents[2] / "spec"
FOLDER = SPEC / "vectors" / str(VERSION)
BYTES_MAX = 1 << 20

HELD = {
    1: "0772eecbd49214111f8fab6320e7df42afbab1db3d3c0966a9b6c899263c1b68",
    2: "f3236d0d04d4901202c8481e69aa64686e41bc1b205c963fdea3303b693a47ff",
}
"""The digests of the manifests of all published versions. They are written down twice, here and in the package, so that nobody
changes a published file and its digest in passing: what was published stays as it is, and a change takes a new version."""


@functools.cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def load(name: str) -> Any:
    """A file of the present version, to be changed at will."""
    return json.loads(_text(name))


NAMES = [entry["name"] for entry in read_manifest(FOLDER)["files"] if "kind" in entry]


def test_published_versions_are_what_they_were() -> None:
    assert versions.PUBLISHED == HELD, (
        "published vectors were changed: take a new version instead (ringbuffer/vectors/versions.py)"
    )
    for version, digest in HELD.items():
        assert publish.digest((SPEC / "vectors" / str(version) / MANIFEST).read_bytes()) == digest
    assert VERSION in HELD, "the present version is published"
    assert publish.update(SPEC / "vectors", write=False) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_ring_passes_its_vectors(name: str, backend: str) -> None:
    assert check(load(name), backend, load) == []


def test_the_vectors_are_small_and_every_row_is_in_them() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.json")) < BYTES_MAX
    clauses = {step["clause"] for name in NAMES if name.startswith("steps/") for step in load(name)["steps"]}
    looks = {"S3.W1", "S3.W2", "S3.R1", "S3.R2"}
    rows = {
        "W1",
        "W2",
        "W3",
        "W4",
        "W5",
        "W6",
        "R1",
        "R2",
        "R3",
        "R4",
        "N1",
        "N2",
        "K1",
        "K2",
        "K3",
        "K4",
        "S1",
        "S2",
        "S4",
        "S5",
    }
    assert clauses == looks | rows


def test_every_file_is_what_the_schema_says() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = load(versions.SCHEMA)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in (*NAMES, MANIFEST):
        assert [error.message for error in validator.iter_errors(load(name))] == [], name
    misspelt = load("steps/one-block.json")
    misspelt["steps"][3]["changed"] = misspelt["steps"][3].pop("changes")
    assert not validator.is_valid(misspelt)


# ---- What is changed in a vector is noticed ---------------------------------------------------------------------------


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "an offset": ("layout.json", lambda it: it["cases"][7]["expected"].update(metadata_offset=1)),
    "a place of a block": ("layout.json", lambda it: it["cases"][7]["expected"]["block_offsets"][-1].__setitem__(1, 64)),
    "a geometry that is refused": ("layout.json", lambda it: it["cases"][-1].update(max_chunk_bytes=1)),
    "another reason to refuse one": ("layout.json", lambda it: it["cases"][-1].update(refused="n_reader")),
    "a header that is accepted": ("headers.json", lambda it: it["cases"][0].update(header="00" * 128)),
    "a header that is refused": ("headers.json", lambda it: it["cases"][9].update(header=it["cases"][0]["header"])),
    "the length of a file": ("headers.json", lambda it: it["cases"][0].update(file_bytes=900)),
    "a fresh segment": ("segments.json", lambda it: it["cases"][2]["segment"]["bytes"][-1].__setitem__(1, "00")),
    "a digest of a fresh segment": ("segments.json", lambda it: it["cases"][2]["segment"].update(crc32="0" * 8)),
    "an identity": ("segments.json", lambda it: it["cases"][0].update(identity="ff" * 16)),
    "an entry that is claimed": ("participants.json", lambda it: it["cases"][0].update(after="00" * 64)),
    "who evicts": ("participants.json", lambda it: it["cases"][8].update(pid=1)),
    "the state of a role": ("participants.json", lambda it: it["cases"][-1].update(state="dead")),
    "a frame": ("frames.json", lambda it: it["cases"][4]["blocks"][1].update(frame="00" * 32)),
    "the kind of a message": ("frames.json", lambda it: it["cases"][4].update(kind=1)),
    "a body": ("bodies.json", lambda it: it["cases"][1].update(body=it["cases"][1]["body"][2:])),
    "a buffer": ("bodies.json", lambda it: it["cases"][2]["buffer_spans"][1].__setitem__(0, 1)),
    "a body that is refused": ("bodies.json", lambda it: it["cases"][-1].update(body=it["cases"][0]["body"])),
    "the head of a tensor": ("tensors.json", lambda it: it["cases"][0].update(body="ff" + it["cases"][0]["body"][2:])),
    "the shape of a tensor": ("tensors.json", lambda it: it["cases"][0].update(shape=[3, 2])),
    "whether gradients are required": ("tensors.json", lambda it: it["cases"][4].update(requires_grad=False)),
    "where the elements begin": ("tensors.json", lambda it: it["cases"][0].update(elements_at=95)),
    "an element": ("tensors.json", lambda it: it["cases"][1].update(elements="ff" * 8)),
    "a tensor that is refused": ("tensors.json", lambda it: it["cases"][-1].update(body=it["cases"][0]["body"])),
    "what is delivered": ("streams.json", lambda it: it["cases"][0]["blocks"][1]["delivered"].update(body="00")),
    "a frame that is delivered": ("streams.json", lambda it: it["cases"][0]["blocks"][1].update(frame="ff" * 32)),
    "a tensor that is delivered": ("streams.json", lambda it: it["cases"][0]["blocks"][5]["delivered"].update(body="00")),
    "a body that is no object": ("streams.json", lambda it: it["cases"][8]["blocks"][1]["undecodable"].update(body="00")),
    "a body that is an object": ("streams.json", lambda it: it["cases"][8]["blocks"][1].update(payload="80054b072e")),
    "where a successor goes on": ("successors.json", lambda it: it["cases"][20].update(goes_on_at=9)),
    "what a successor notes": ("successors.json", lambda it: it["cases"][20]["noted"].__setitem__(1, 9)),
    "the value of a step": ("steps/full-ring.json", lambda it: it["steps"][20].update(value=7)),
    "the bytes before a step": ("steps/full-ring.json", lambda it: it["segment"]["bytes"][0].__setitem__(1, "00")),
    "a step left out": ("steps/full-ring.json", lambda it: it["steps"].pop(30)),
    "steps the other way round": ("steps/one-lap.json", lambda it: it["steps"].insert(3, it["steps"].pop(4))),
    "a step of the good trace": (
        "rejected.json",
        lambda it: it["cases"][0].update(step=load("steps/one-lap.json")["steps"][0]),
    ),
    "a call that must wait": ("calls/broadcast.json", lambda it: it["calls"][0].update(result="message")),
    "the bytes after a call": ("calls/broadcast.json", lambda it: it["calls"][1]["changes"].pop()),
    "the digest after a call": ("calls/broadcast.json", lambda it: it["calls"][1].update(crc32="0" * 8)),
}


@needs_little_endian
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_vector_does_not_pass(what: str) -> None:
    name, change = CHANGES[what]
    document = load(name)
    change(document)
    assert document != load(name)
    assert len(check(document, PYTHON, load)) == 1


@needs_little_endian
def test_a_refused_block_that_could_be_delivered_does_not_pass() -> None:
    document = load("streams.json")
    case = next(case for case in document["cases"] if "no such kind" in case["about"])
    bad, good = case["blocks"][1:]
    bad["frame"] = good["frame"]
    assert ["block 1" in failure for failure in check(document, PYTHON, load)] == [True]


# ---- A ring that is changed does not pass -----------------------------------------------------------------------------

EDITS = {
    "without-W3": PROTOCOL.without("W3"),
    "without-W5": PROTOCOL.without("W5"),
    "without-R2": PROTOCOL.without("R2"),
    "swapped-W5-W6": PROTOCOL.swapped("W5", "W6"),
    "swapped-R1-R2": PROTOCOL.swapped("R1", "R2"),
    "moved-W6": PROTOCOL.moved("W6", before="W4"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_table_fails_the_steps(edit: str, backend: str) -> None:
    (failure,) = check(load("steps/one-lap.json"), backend, load, EDITS[edit])
    assert "the actor stands before" in failure or "rows to go on at" in failure


def test_a_row_that_stores_something_else_fails_the_steps(backend: str) -> None:
    for edited, why in (
        (PROTOCOL.flipped("W6"), "value: 1 in the trace, and 0 here"),
        (PROTOCOL.retargeted("R4", "written"), "offset: 257 in the trace, and 256 here"),
    ):
        (failure,) = check(load("steps/one-lap.json"), backend, load, edited)
        assert why in failure


def test_an_edited_table_fails_the_calls(backend: str) -> None:
    (failure,) = check(load("calls/broadcast.json"), backend, load, PROTOCOL.without("W5"))
    assert "changes" in failure


@needs_little_endian
def test_a_table_with_the_first_flags_set_fails_the_calls() -> None:
    (failure,) = check(load("calls/broadcast.json"), PYTHON, load, PROTOCOL.replace(initial_read_flag=1))
    assert "bytes of the fresh ring" in failure


def _nothing(*_: Any, **__: Any) -> None:
    """What does not do its work."""


def _as_noted(position: int, **_: Any) -> int:
    return position


def _any_length_of_raw(frame: frames.Frame, limit_bytes: int, _damage: Any = frames._damage) -> str:
    return str(_damage(frame, min(limit_bytes, frame.length_bytes) if frame.kind == frames.RAW else limit_bytes))


def _damaged_frame(body: memoryview, error: Exception) -> FrameError:
    body.release()
    return FrameError(str(error))


def _goes_on_with_what_was_withdrawn(outbox: Outbox, deadline: float | None) -> bool:
    unfinished = outbox._unfinished
    if unfinished is not None:
        outbox._send(unfinished[0], deadline)
        outbox._unfinished = None
    return unfinished is not None


def _in_one_part(message: frames.Outgoing, limit_bytes: int) -> tuple[int, int]:
    return frames.WHOLE, min(message.total_bytes, limit_bytes)


FAULTS: dict[str, tuple[str, str, Any]] = {
    "wider lines": ("layout.json", "ringbuffer.memory.layout.CACHE_LINE_BYTES", 128),
    "more readers": ("layout.json", "ringbuffer.memory.layout.READERS_MAX", 4097),
    "a later layout": ("headers.json", "ringbuffer.memory.layout.LAYOUT_VERSION", 4),
    "another polynomial": ("headers.json", "ringbuffer.memory.layout.zlib.crc32", zlib.adler32),
    "nobody awake": ("segments.json", "ringbuffer.memory.shared.Segment.say_awake", _nothing),
    "a newcomer that is not said to be awake": ("participants.json", "ringbuffer.memory.shared.Segment.say_awake", _nothing),
    "a role that is never given up": ("participants.json", "ringbuffer.memory.participants.Role.leave", _nothing),
    "every part the first and the last": ("frames.json", "ringbuffer.codec.frames.Outgoing.next_part", _in_one_part),
    "buffers closer together": ("bodies.json", "ringbuffer.codec.message.ALIGNMENT_BYTES", 32),
    "one dimension more": ("tensors.json", "ringbuffer.codec.tensors.DIMENSIONS_MAX", 9),
    "one flag more": ("tensors.json", "ringbuffer.codec.tensors._REQUIRES_GRAD", 3),
    "another head of the same length": ("tensors.json", "ringbuffer.codec.tensors._HEAD", struct.Struct("<24sQQ7Q")),
    "sizes of 64 bits": ("tensors.json", "ringbuffer.codec.tensors._SIZE_MAX", (1 << 64) - 1),
    "no tensors": ("streams.json", "ringbuffer.codec.frames.KIND_NAMES", {0: "raw", 1: "pickle", 2: "bytes", 3: "gathered"}),
    "a body that is no object, and stays unread": ("streams.json", "ringbuffer.codec.message.undecodable", _damaged_frame),
    "frames that are believed": ("streams.json", "ringbuffer.endpoint.inbox.check_frame", _nothing),
    "a raw block of any length": ("streams.json", "ringbuffer.codec.frames._damage", _any_length_of_raw),
    "parts that are believed": ("streams.json", "ringbuffer.codec.frames.Assembly.check", _nothing),
    "a writer that goes on as noted": ("successors.json", "ringbuffer.endpoint.peers.writer_resumes_at", _as_noted),
    "a reader that goes on as noted": ("successors.json", "ringbuffer.endpoint.peers.reader_resumes_at", _as_noted),
    "an unfinished message that is not gone on with": (
        "calls/large.json",
        "ringbuffer.endpoint.outbox.Outbox.resume",
        _nothing,
    ),
}
"""What is wrong, the file that tells, and what is put in the place of what."""


@needs_little_endian
@pytest.mark.parametrize("fault", FAULTS)
def test_a_ring_that_is_wrong_does_not_pass(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, target, wrong = FAULTS[fault]
    document = load(name)
    monkeypatch.setattr(target, wrong)
    assert check(document, PYTHON, load) != []


@needs_little_endian
def test_a_ring_that_takes_any_byte_but_0_for_a_mark_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """One trace shows it; the other damaged flags do not."""

    def lenient(*program: Any, **options: Any) -> str:
        return compile_program(*program, **options).replace(" != 1\n", " == 0\n")

    monkeypatch.setattr(python_runner, "compile_program", lenient)
    monkeypatch.setattr(python_runner, "_load", python_runner._load.__wrapped__)
    assert check(load("steps/damaged.json"), PYTHON, load) == []
    (failure,) = check(load("steps/damaged-marks.json"), PYTHON, load)
    assert "step 1: rows to go on at: ['W1', 'S1'] in the trace, and ['W2'] here" in failure


@needs_little_endian
def test_a_withdrawn_message_that_is_gone_on_with_is_seen_where_nothing_must_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "withdraw", _nothing)
    assert check(load("calls/withdrawn.json"), PYTHON, load) == [], "the number of its block tells as well"
    monkeypatch.setattr(Outbox, "resume", _goes_on_with_what_was_withdrawn)
    assert check(load("calls/large.json"), PYTHON, load) == []
    (failure,) = check(load("calls/withdrawn.json"), PYTHON, load)
    assert "call 3: result: {'result': 'nothing'} in the vector" in failure


# ---- The files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of all versions."""
    return Path(shutil.copytree(SPEC / "vectors", tmp_path / "vectors"))


def test_a_file_that_was_changed_is_named_and_not_run(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / str(VERSION) / "frames.json"
    path.write_text(path.read_text(encoding="utf-8").replace("00", "01", 1), encoding="utf-8")
    assert publish.update(copied, write=False) == [str(path)]
    assert cli.main(["spec", "--vectors", str(copied / str(VERSION))]) == 1
    assert "frames.json of" in capsys.readouterr().err
    assert publish.update(copied, write=True) == [str(path)]
    assert publish.update(copied, write=False) == []


def test_a_manifest_that_was_changed_with_its_file_is_named(copied: Path) -> None:
    path, manifest = copied / str(VERSION) / "frames.json", copied / str(VERSION) / MANIFEST
    before = publish.digest(path.read_bytes())
    path.write_text(path.read_text(encoding="utf-8").replace("00", "01", 1), encoding="utf-8")
    text = manifest.read_text(encoding="utf-8").replace(before, publish.digest(path.read_bytes()))
    manifest.write_text(text, encoding="utf-8")
    assert publish.update(copied, write=False) == [str(manifest), str(path)]


def test_a_file_that_is_missing_or_too_many_is_named(copied: Path) -> None:
    gone, more = copied / str(VERSION) / "bodies.json", copied / str(VERSION) / "notes.json"
    gone.unlink()
    more.write_text("{}", encoding="utf-8")
    assert publish.update(copied, write=False) == [str(gone), f"{more}: not one of the vectors"]


def _changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the code generates something else."""
    made = {**publish.files(), "frames.json": "{}\n"}
    made[MANIFEST] = made[MANIFEST].replace('"layout": 3', '"layout": 4')
    monkeypatch.setattr(publish, "files", lambda: made)


def test_published_vectors_are_not_written_anew(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _changed(monkeypatch)
    (advice,) = publish.update(copied, write=False)
    assert advice.startswith(f"version {VERSION} of the vectors is published, and the code does not generate it any more: ")
    assert "frames.json" in advice
    assert "set VERSION to the next number in ringbuffer/vectors/versions.py" in advice
    with pytest.raises(VectorError, match="they stay"):
        publish.update(copied, write=True)
    assert (copied / str(VERSION) / "frames.json").read_text(encoding="utf-8") == _text("frames.json")


def test_the_next_version_is_written_beside_the_published_one(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _changed(monkeypatch)
    monkeypatch.setattr(versions, "VERSION", VERSION + 1)
    assert len(publish.update(copied, write=True)) == len(publish.files())
    assert publish.update(copied, write=False) == []
    assert (copied / str(VERSION + 1) / "frames.json").read_text(encoding="utf-8") == "{}\n"
    assert (copied / str(VERSION) / "frames.json").read_text(encoding="utf-8") == _text("frames.json")


def test_the_command_runs_what_it_is_given(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied / str(VERSION)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    few = [entry for entry in manifest["files"] if entry["name"] in ("bodies.json", "steps/one-block.json")]
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": few}), encoding="utf-8")
    assert cli.main(["spec", "--vectors", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["bodies.json: 17 bodies, passed", "steps/one-block.json: 50 steps, passed"]
    assert said[2].startswith("2 files on ")
    document = load("bodies.json")
    document["cases"][0]["body"] += "00"
    few[0]["sha256"] = publish.digest(json.dumps(document).encode())
    (folder / "bodies.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": few}), encoding="utf-8")
    assert cli.main(["spec", "--vectors", str(folder)]) == 1
    assert "bodies.json: 17 bodies, " in capsys.readouterr().out


def test_words_of_who_is_awake_are_turned_around_where_the_processor_is_big_endian(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the ring makes them in the other order, and nothing else."""
    document = load("segments.json")
    monkeypatch.setattr("sys.byteorder", "big")
    monkeypatch.setattr("ringbuffer.memory.shared._AWAKE", (1).to_bytes(AWAKE_BYTES, "little"))
    assert len(check(document, NATIVE, load)) == len(document["cases"]), (
        "the words of this ring stand as they stand in the file"
    )
    monkeypatch.setattr("ringbuffer.memory.shared._AWAKE", (1).to_bytes(AWAKE_BYTES, "big"))
    assert check(document, NATIVE, load) == []
    layout = Layout(2, 8, 3)
    data = bytes(range(256)) * (layout.total_bytes // 256 + 1)
    data = data[: layout.total_bytes]
    start, end = layout.word_offset(-1), layout.word_offset(2)
    there = turned(data, layout)
    assert (there[:start], there[end:]) == (data[:start], data[end:])
    assert struct.unpack(">3I", there[start:end]) == struct.unpack("<3I", data[start:end])
    assert turned(there, layout) == data
    assert [order_of(size) for size in (1, 4, 8)] == ["little", "big", "little"]


@needs_extension
def test_python_is_not_held_to_vectors_where_numbers_have_the_other_order_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")
    assert backends() == (NATIVE, PYTHON)
    monkeypatch.setattr("sys.byteorder", "big")
    assert backends() == (NATIVE,)
    monkeypatch.setitem(sys.modules, "ringbuffer.memory._native", None)
    monkeypatch.delattr("ringbuffer.memory._native")
    with pytest.raises(BackendError, match="install a C compiler"):
        backends()
    monkeypatch.setattr("sys.byteorder", "little")
    assert backends() == (PYTHON,)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (None, "no manifest"),
        ("[]", "is no manifest"),
        ("{", "no manifest"),
        ('{"version": 1, "files": []}', "has version 1 of the vectors, and this release runs 2"),
        ('{"version": 2, "files": [{"name": "x.json", "kind": "steps", "cases": 1, "sha256": ""}]}', "cannot be read"),
    ],
)
def test_what_is_no_folder_of_vectors_is_refused(
    tmp_path: Path, manifest: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest, encoding="utf-8")
    assert cli.main(["spec", "--vectors", str(tmp_path)]) == 1
    assert why in capsys.readouterr().err


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(VectorError, match="'songs'"):
        check({"kind": "songs", "cases": []}, NATIVE, load)


def test_a_refusal_survives_pickling() -> None:
    refused = pickle.loads(pickle.dumps(stepped.Refused(3, "why")))
    assert (refused.number, str(refused)) == (3, "step 3: why")
