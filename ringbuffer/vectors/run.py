"""The runner: holds this implementation to files of vectors, as anybody would hold another one.

Rules: it reads the files, and nothing of what has made them; a file that is not what its manifest says is not run. Every case
is run on every backend that is there, and each failure names the case and the difference. Limits: a trace ends at the first
difference, as what follows is about another segment.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ringbuffer.codec.frames import RAW, Frame, mark_raw
from ringbuffer.errors import BackendError, GeometryError, RingBufferError, VectorError
from ringbuffer.memory.backend import NATIVE, PYTHON, extension
from ringbuffer.memory.layout import FRAME_BYTES
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.vectors import live, stepped
from ringbuffer.vectors.formats import laid_out, read_header
from ringbuffer.vectors.framing import gathered_body, read_body, read_tensor, sent_blocks, tensor_body
from ringbuffer.vectors.live import same
from ringbuffer.vectors.text import Json
from ringbuffer.vectors.versions import MANIFEST, VERSION

Load = Callable[[str], Json]


class Outcome(NamedTuple):
    """What came of one file: how many cases were run, and what was wrong with those that failed."""

    name: str
    kind: str
    cases: int
    failures: tuple[str, ...]


def backends() -> tuple[str, ...]:
    """The backends that can be held to vectors here.

    In one thread Python needs no ordering, so it is, too, where it is refused to endpoints; but it stores numbers in the
    processor's order of bytes, so not where that is another than the segment's. Raises :class:`BackendError` if there is none.
    """
    python = (PYTHON,) if sys.byteorder == "little" else ()
    try:
        extension()
    except BackendError:
        if not python:
            raise
        return python
    return NATIVE, *python


def run(folder: Path) -> Iterator[Outcome]:
    """Run all files of the version in ``folder``. Raises :class:`VectorError` for what is no such folder, or was changed."""
    manifest = read_manifest(folder)
    if manifest["version"] != VERSION:
        raise VectorError(f"{folder} has version {manifest['version']} of the vectors, and this release runs {VERSION}")
    files = {entry["name"]: entry["sha256"] for entry in manifest["files"]}

    def load(name: str) -> Json:
        return _load(folder, name, files)

    for entry in manifest["files"]:
        if "kind" in entry:
            document = load(entry["name"])
            failures = tuple(failure for backend in backends() for failure in check(document, backend, load))
            yield Outcome(entry["name"], document["kind"], entry["cases"], tuple(dict.fromkeys(failures)))


def read_manifest(folder: Path) -> Json:
    """The manifest in that folder."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise VectorError(f"no manifest of vectors at {path}: {error}") from error
    if not isinstance(found, dict) or not {"version", "files"} <= found.keys():
        raise VectorError(f"{path} is no manifest of vectors")
    return found


def _load(folder: Path, name: str, files: dict[str, str]) -> Json:
    if name not in files:
        raise VectorError(f"{name} is not in the manifest of {folder}")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise VectorError(f"{name} of {folder} cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != files[name]:
        raise VectorError(f"{name} of {folder} is not what its manifest says: it was changed after it was published")
    document: Json = json.loads(data)
    return document


def check(document: Json, backend: str, load: Load, variant: Variant = PROTOCOL) -> list[str]:
    """Run one file: what is wrong, case by case. ``load`` gives another file of the same version."""
    kind = document["kind"]
    if kind not in KINDS:
        raise VectorError(f"there are no vectors of the kind {kind!r}; the kinds are {', '.join(KINDS)}")
    failures = []
    for where, case in _cases_of(document):
        try:
            KINDS[kind](case, backend, load, variant)
        except RingBufferError as error:
            failures.append(f"{where} ({backend}): {error}")
        except Exception as error:  # whatever else the implementation does wrong is a failure of this case, and not the end
            failures.append(f"{where} ({backend}): {type(error).__name__}: {error}")
    return failures


def _cases_of(document: Json) -> Iterator[tuple[str, Json]]:
    if "cases" not in document:
        yield document["kind"], document
        return
    for number, case in enumerate(document["cases"]):
        about = f", {case['about']}" if "about" in case else ""
        yield f"case {number}{about}", case


def _layout(case: Json, *_: Any) -> None:
    geometry = case["n_reader"], case["max_chunk_bytes"], case["max_chunks"]
    try:
        found = laid_out(*geometry)
    except GeometryError as error:
        what = "total_bytes" if str(error).startswith("such a ring takes") else str(error).partition(" ")[0]
        same("refused", what, case.get("refused"))
    else:
        same("layout", found, case)


def _header(case: Json, *_: Any) -> None:
    told = {key: case[key] for key in ("accepted", "refused") if key in case}
    same("header", read_header(bytes.fromhex(case["header"]), case["file_bytes"]), told)


def _frames(case: Json, *_: Any) -> None:
    body, chunk_bytes, sequence = bytes.fromhex(case["body"]), case["max_chunk_bytes"], case["sequence"]
    if case["kind"] == RAW:
        block = bytearray(FRAME_BYTES) + body
        with memoryview(block) as view:
            mark_raw(view, sequence)
            same("length", Frame.read(view).length_bytes, chunk_bytes)
        found = [(bytes(block[:FRAME_BYTES]), body)]
    else:
        found = sent_blocks(chunk_bytes, sequence, case["kind"], body)
    same("blocks", [{"frame": frame.hex(), "payload": payload.hex()} for frame, payload in found], case["blocks"])


def _body(case: Json, *_: Any) -> None:
    body = bytes.fromhex(case["body"])
    told = {key: case[key] for key in ("refused", "pickle_span", "buffer_spans") if key in case}
    same("body", read_body(body), told)
    if "pickle" in case:
        buffers = [bytes.fromhex(text) for text in case["buffers"]]
        same("body that is made", gathered_body(bytes.fromhex(case["pickle"]), buffers).hex(), case["body"])
        same("pickle", body[slice(*case["pickle_span"])].hex(), case["pickle"])
        same("buffers", [body[slice(*span)].hex() for span in case["buffer_spans"]], case["buffers"])


def _tensor(case: Json, *_: Any) -> None:
    body = bytes.fromhex(case["body"])
    told = {key: case[key] for key in ("refused", *_OF_TENSORS) if key in case}
    same("tensor", read_tensor(body), told)
    if "dtype" in case:
        dtype, shape, requires_grad, at, elements = (case[key] for key in _OF_TENSORS)
        made = tensor_body(dtype, tuple(shape), requires_grad, bytes.fromhex(elements))
        same("body that is made", made.hex(), case["body"])
        same("elements", body[at:].hex(), elements)


_OF_TENSORS: Final = ("dtype", "shape", "requires_grad", "elements_at", "elements")


def _steps(document: Json, backend: str, _: Load, variant: Variant) -> None:
    stepped.follow(document["segment"], document["steps"], backend, variant)


def _rejected(case: Json, backend: str, load: Load, variant: Variant) -> None:
    trace, count = load(case["of"]), case["steps_before"]
    steps = [*trace["steps"][:count], case["step"]]
    try:
        stepped.follow(trace["segment"], steps, backend, variant)
    except stepped.Refused as refused:
        same("refused at", refused.number, count)
    else:
        raise VectorError(f"step {count} was taken, and it must be refused")


KINDS: Final[dict[str, Callable[[Json, str, Load, Variant], None]]] = {
    "layout": _layout,
    "headers": _header,
    "segments": lambda case, backend, *_: live.segment(case, backend),
    "participants": lambda case, backend, *_: live.participant(case, backend),
    "frames": _frames,
    "bodies": _body,
    "tensors": _tensor,
    "streams": lambda case, backend, *_: live.stream(case, backend),
    "successors": lambda case, backend, *_: live.successor(case, backend),
    "steps": _steps,
    "rejected": _rejected,
    "calls": lambda document, backend, _, variant: live.calls(document, backend, variant),
}
"""By kind of file, what holds one case (of steps and calls: the file) to this implementation."""
