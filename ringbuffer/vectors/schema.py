"""The JSON schema of the vectors (draft 2020-12): what members each kind of file has.

Rules: a member that is not named here is refused, so that none can be misspelt; what a member means is in the chapter. Limits:
a schema says nothing of whether the values are right.
"""

from __future__ import annotations

from typing import Any, Final

from ringbuffer.vectors.text import NUMBER_MAX, Json

_WHOLE: Final[Json] = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
_NUMBER: Final[Json] = {"type": "integer", "minimum": -NUMBER_MAX, "maximum": NUMBER_MAX}
_RANK: Final[Json] = {"type": "integer", "minimum": -1, "maximum": 4096}
_TEXT: Final[Json] = {"type": "string", "minLength": 1}
_HEX: Final[Json] = {"type": "string", "pattern": "^([0-9a-f][0-9a-f])*$"}
_CRC: Final[Json] = {"type": "string", "pattern": "^[0-9a-f]{8}$"}
_TRUE: Final[Json] = {"const": True}
_KIND: Final[Json] = {"type": "integer", "minimum": 0, "maximum": 4}
_CLAUSE: Final[Json] = {"type": "string", "pattern": "^(S3\\.)?[WRNKS][1-9]$"}


def _pair(second: Json, first: Json = _WHOLE) -> Json:
    return {"type": "array", "prefixItems": [first, second], "minItems": 2, "maxItems": 2}


def _list(of: Json, least: int = 0) -> Json:
    return {"type": "array", "items": of, "minItems": least}


def _object(optional: Json | None = None, /, **required: Json) -> Json:
    members = {**required, **(optional or {})}
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False}


def _one_of(*choices: Json) -> Json:
    return {"oneOf": list(choices)}


_CHANGES: Final = _list(_pair(_HEX))
_GEOMETRY: Final[Json] = {"n_reader": _NUMBER, "max_chunk_bytes": _NUMBER, "max_chunks": _NUMBER}
_SEGMENT: Final = _object(**_GEOMETRY, bytes=_CHANGES, crc32=_CRC)
_MESSAGE: Final = _object(kind=_KIND, body=_HEX)
_BY_RANK: Final = _list(_pair(_WHOLE, _RANK))
_BY_BLOCK: Final = _list(_pair(_WHOLE))

_EXPECTED: Final = _object(
    entry_bytes=_WHOLE,
    block_stride_bytes=_WHOLE,
    entry_stride_bytes=_WHOLE,
    data_offset=_WHOLE,
    metadata_offset=_WHOLE,
    participants_offset=_WHOLE,
    awake_offset=_WHOLE,
    total_bytes=_WHOLE,
    block_offsets=_BY_BLOCK,
    entry_offsets=_BY_BLOCK,
    participant_offsets=_BY_RANK,
    awake_offsets=_BY_RANK,
    lock_offsets=_object(creator=_WHOLE, roles=_BY_RANK),
)
_STEP: Final = _object(
    {
        "rank": _WHOLE,
        "offset": _WHOLE,
        "value": _WHOLE,
        "ended": {"enum": ["done", "aborted"]},
        "frame": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "payload": _HEX,
        "message": _MESSAGE,
    },
    actor=_RANK,
    clause=_CLAUSE,
    block=_WHOLE,
    access={"enum": ["load", "store", "fence", "fill", "read", "sleep", "wake"]},
    changes=_CHANGES,
    crc32=_CRC,
    next=_list(_CLAUSE, 1),
)
_CALL: Final = _object(
    {"kind": _KIND, "body": _HEX, "payload": _HEX, "sent_bytes": _WHOLE, "message": _MESSAGE, "rank": _WHOLE},
    actor=_RANK,
    call={"enum": ["send", "resume", "receive", "fill_and_raise", "receive_and_raise", "leave", "join", "evict"]},
    result={"enum": ["sent", "busy", "nothing", "message", "raised", "done"]},
    changes=_CHANGES,
    crc32=_CRC,
)
_ACCEPTED: Final = _object(**_GEOMETRY, initial_read_flag=_WHOLE, creator_pid=_WHOLE, identity=_HEX)
_BLOCK: Final[Json] = {"frame": _HEX, "payload": _HEX}

CASES: Final[dict[str, Json]] = {
    "layout": _one_of(_object(**_GEOMETRY, expected=_EXPECTED), _object(**_GEOMETRY, refused=_TEXT)),
    "headers": _one_of(
        _object(about=_TEXT, header=_HEX, file_bytes=_WHOLE, accepted=_ACCEPTED),
        _object(about=_TEXT, header=_HEX, file_bytes=_WHOLE, refused=_TEXT),
    ),
    "segments": _object(creator_pid=_WHOLE, identity=_HEX, initial_read_flag=_WHOLE, name=_TEXT, segment=_SEGMENT),
    "participants": _one_of(
        _object(
            {"awake": {"const": 1}},
            change={"enum": ["claim", "leave", "evict"]},
            pid=_WHOLE,
            now=_WHOLE,
            before=_HEX,
            after=_HEX,
        ),
        _object(entry=_HEX, is_locked={"type": "boolean"}, state={"enum": ["free", "held", "left", "dead"]}),
    ),
    "frames": _object(
        {"about": _TEXT},
        max_chunk_bytes=_WHOLE,
        sequence=_WHOLE,
        kind=_KIND,
        body=_HEX,
        blocks=_list(_object(**_BLOCK), 1),
    ),
    "bodies": _one_of(
        _object(pickle=_HEX, buffers=_list(_HEX), body=_HEX, pickle_span=_pair(_WHOLE), buffer_spans=_list(_pair(_WHOLE))),
        _object(about=_TEXT, body=_HEX, refused=_TRUE),
    ),
    "tensors": _one_of(
        _object(
            body=_HEX,
            dtype={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,23}$"},
            shape={**_list(_WHOLE), "maxItems": 8},
            requires_grad={"type": "boolean"},
            elements_at=_WHOLE,
            elements=_HEX,
        ),
        _object(about=_TEXT, body=_HEX, refused=_TRUE),
    ),
    "streams": _object(
        about=_TEXT,
        begins_at=_WHOLE,
        max_chunk_bytes=_WHOLE,
        max_chunks=_WHOLE,
        blocks=_list(
            _one_of(
                _object(**_BLOCK, taken={"enum": ["part", "rest"]}),
                _object(**_BLOCK, delivered=_MESSAGE),
                _object(**_BLOCK, undecodable=_MESSAGE),
                _object(**_BLOCK, about=_TEXT, refused=_TRUE),
            ),
            1,
        ),
    ),
    "successors": _object(rank=_RANK, killed_before=_CLAUSE, segment=_SEGMENT, goes_on_at=_WHOLE, noted=_pair(_WHOLE)),
    "rejected": _object(about=_TEXT, of=_TEXT, steps_before=_WHOLE, step=_STEP),
}
_WITHOUT_CASES: Final[dict[str, Json]] = {
    "steps": {"segment": _SEGMENT, "steps": _list(_STEP, 1)},
    "calls": {"segment": _SEGMENT, "calls": _list(_CALL, 1)},
}
_FILE: Final = _object(
    {"kind": _TEXT, "cases": _WHOLE},
    name=_TEXT,
    sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"},
    bytes=_WHOLE,
)


def schema(version: int) -> dict[str, Any]:
    """The schema of all files of a version, its manifest included."""
    kinds = {kind: _object(kind={"const": kind}, about=_TEXT, cases=_list(case, 1)) for kind, case in CASES.items()}
    kinds |= {kind: _object(kind={"const": kind}, about=_TEXT, **members) for kind, members in _WITHOUT_CASES.items()}
    kinds["manifest"] = _object(
        kind={"const": "manifest"},
        version={"const": version},
        specification=_TEXT,
        layout=_WHOLE,
        written_by=_TEXT,
        files=_list(_FILE, 1),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Conformance vectors of the shared-memory broadcast ring, version {version}",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds],
        "$defs": kinds,
    }
