"""The files of the vectors: written by one command, compared by another, and held once they are published.

Rules: ``update`` writes the present version and no other; a published version that would come out different is an error that
says what to do, and is left as it is. Limits: that a published version stays what it was is known from the digests in
``versions.py`` and from nothing else: who changes those as well is seen in review only.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ringbuffer.errors import VectorError
from ringbuffer.memory.layout import LAYOUT_VERSION
from ringbuffer.vectors import formats, framing, peers, rejected, stepping, versions
from ringbuffer.vectors.schema import schema
from ringbuffer.vectors.text import Json, dump
from ringbuffer.vectors.versions import MANIFEST, SCHEMA

COMMAND: Final = "ringbuffer spec --write"
_COUNTED: Final = ("cases", "steps", "calls")


def documents() -> Iterator[tuple[str, Json]]:
    """The names and the contents of all files of vectors."""
    yield "layout.json", formats.layout()
    yield "headers.json", formats.headers()
    yield "segments.json", formats.segments()
    yield "participants.json", formats.participants()
    yield "frames.json", framing.frames()
    yield "bodies.json", framing.bodies()
    yield "tensors.json", framing.tensors()
    yield "streams.json", framing.streams()
    yield "successors.json", peers.successors()
    yield from stepping.documents()
    yield from rejected.documents()
    yield from peers.documents()


@functools.cache
def _entries_and_texts() -> tuple[tuple[Json, str], ...]:
    found = [({"kind": document["kind"], "cases": _count(document)}, name, dump(document)) for name, document in documents()]
    found.append(({}, SCHEMA, json.dumps(schema(versions.VERSION), indent=1) + "\n"))
    return tuple(
        ({"name": name, **told, "sha256": digest(text.encode()), "bytes": len(text.encode())}, text)
        for told, name, text in sorted(found, key=lambda one: one[1])
    )


def _count(document: Json) -> int:
    return next(len(document[name]) for name in _COUNTED if name in document)


def entries() -> list[Json]:
    """What the manifest says of each file."""
    return [entry for entry, _ in _entries_and_texts()]


def files() -> dict[str, str]:
    """The names and the texts of all files of the present version, the manifest included."""
    manifest: Json = {
        "kind": "manifest",
        "version": versions.VERSION,
        "specification": versions.SPECIFICATION,
        "layout": LAYOUT_VERSION,
        "written_by": COMMAND,
        "files": entries(),
    }
    return {**{entry["name"]: text for entry, text in _entries_and_texts()}, MANIFEST: dump(manifest)}


def digest(data: bytes) -> str:
    """SHA-256, as the manifests have it."""
    return hashlib.sha256(data).hexdigest()


def update(folder: Path, *, write: bool) -> list[str]:
    """Bring the vectors in ``folder`` (of all versions) up to date with the code, or (not ``write``) only look.

    Returns a line for each file that is, or was, out of date or missing. Raises :class:`VectorError` where ``write`` would
    change what is published.
    """
    fresh = files()
    found = _published_and_changed(folder)
    stale = [path for name, text in fresh.items() if not _is(path := folder / str(versions.VERSION) / name, text)]
    is_new = versions.VERSION not in versions.PUBLISHED
    if not is_new and digest(fresh[MANIFEST].encode()) != versions.PUBLISHED[versions.VERSION]:
        advice = _advice(folder, stale)
        if write:
            raise VectorError(advice)
        return [*found, advice]
    if write:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fresh[str(path.relative_to(folder / str(versions.VERSION)))], encoding="utf-8")
    return [*found, *(line for path in stale if (line := str(path)) not in found), *_left_over(folder, fresh)]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _left_over(folder: Path, fresh: dict[str, str]) -> list[str]:
    """Files of the present version that nobody writes any more: they are named, and not removed."""
    root = folder / str(versions.VERSION)
    there = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return [f"{path}: not one of the vectors" for path in there if str(path.relative_to(root)) not in fresh]


def _advice(folder: Path, stale: list[Path]) -> str:
    version = versions.VERSION
    differ = ", ".join(str(path.relative_to(folder / str(version))) for path in stale[:6]) or "what the code generates"
    more = f" and {len(stale) - 6} more" if len(stale) > 6 else ""
    return (
        f"version {version} of the vectors is published, and the code does not generate it any more: {differ}{more}. Others"
        " have taken these files as they are, so they stay. If the change is meant, set VERSION to the next number in"
        f" ringbuffer/vectors/versions.py, run {COMMAND}, put the digest of the new manifest into PUBLISHED there, and say in"
        " the change log what an implementation of the old version has to do; if it is not, take the change back"
    )


def _published_and_changed(folder: Path) -> list[str]:
    """The files of published versions that are not what they were."""
    return [line for version, told in versions.PUBLISHED.items() for line in _changed(folder / str(version), told)]


def _changed(folder: Path, told: str) -> Iterator[str]:
    path = folder / MANIFEST
    data = path.read_bytes() if path.is_file() else b""
    if digest(data) != told:
        yield f"{path}"
        return
    manifest: Any = json.loads(data)
    for entry in manifest["files"]:
        path = folder / entry["name"]
        if not path.is_file() or digest(path.read_bytes()) != entry["sha256"]:
            yield f"{path}"
