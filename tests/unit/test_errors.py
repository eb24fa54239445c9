"""Every error is ours and the built-in's that a caller would catch, and survives pickling whole."""

from __future__ import annotations

import copy
import errno
import pickle
from typing import Any

import pytest

from ringbuffer import errors
from ringbuffer.errors import RingBufferError

ATTRIBUTES = {
    "side": "reader",
    "rank": 3,
    "pid": 4711,
    "block_index": 5,
    "case": 2,
    "missing_ranks": (0, 2),
    "waited_seconds": 1.5,
}
LOST = {"rank": 3, "pid": 4711, "block_index": 5, "case": None, "seconds_ago": 0.5, "left": True}
EXAMPLES: list[tuple[RingBufferError, type[Exception], dict[str, Any]]] = [
    (errors.GeometryError("text"), ValueError, {}),
    (errors.RankError("text"), ValueError, {}),
    (errors.RoleTaken("text"), RuntimeError, {}),
    (errors.WrongSideError("text"), RuntimeError, {}),
    (errors.EndpointBusyError("text"), RuntimeError, {}),
    (errors.ClosedError("text"), ValueError, {}),
    (errors.ForkedError("text"), RuntimeError, {}),
    (errors.BlockEscapedError("text"), BufferError, {}),
    (errors.WaitTimeoutError("text", **ATTRIBUTES), TimeoutError, ATTRIBUTES),  # type: ignore[arg-type]
    (errors.WaitCancelledError("text"), InterruptedError, {}),
    (errors.PeerDied("text", **LOST), ConnectionError, LOST),  # type: ignore[arg-type]
    (errors.EncodeError("text"), pickle.PicklingError, {}),
    (errors.DecodeError("text", b"raw bytes"), pickle.UnpicklingError, {"raw": b"raw bytes"}),
    (errors.FrameError("text"), ValueError, {}),
    (errors.SegmentMissingError("shm_ring_x"), FileNotFoundError, {"errno": errno.ENOENT}),
    (errors.SegmentAccessError("shm_ring_x", 1, 0o100600), PermissionError, {"errno": errno.EACCES, "owner_uid": 1}),
    (errors.SegmentFormatError("shm_ring_x", "magic", "text"), ValueError, {"name": "shm_ring_x", "field": "magic"}),
    (errors.SegmentSpaceError(1 << 40, "text"), OSError, {"total_bytes": 1 << 40, "errno": errno.ENOSPC}),
    (errors.UnsupportedPlatformError("text"), RuntimeError, {}),
    (errors.BackendError("text"), RuntimeError, {}),
    (errors.GroupError("text"), RuntimeError, {}),
    (errors.VariantError("text"), ValueError, {}),
    (errors.TokenError("text"), ValueError, {}),
    (errors.BenchError("text"), ValueError, {}),
    (errors.TraceFileError("text"), ValueError, {}),
    (errors.VectorError("text"), ValueError, {}),
    (errors.ReadOnlyError("text"), ValueError, {}),
    (errors.MissingExtraError("inspecting", "torch"), ImportError, {"extra": "torch", "msg": str}),
]


def test_every_error_has_an_example() -> None:
    own = {value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__}
    assert {type(error) for error, _, _ in EXAMPLES} == own - {RingBufferError}


@pytest.mark.parametrize(("error", "builtin", "attributes"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_error_is_ours_and_the_builtins(error: RingBufferError, builtin: type[Exception], attributes: dict[str, Any]) -> None:
    assert isinstance(error, RingBufferError)
    assert isinstance(error, builtin)
    assert type(error).__doc__
    for name, value in attributes.items():
        assert isinstance(getattr(error, name), str) if value is str else getattr(error, name) == value


@pytest.mark.parametrize("transport", ["pickle 2", "pickle 5", "copy", "deepcopy"])
@pytest.mark.parametrize(("error", "builtin", "attributes"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_error_survives_being_passed_on(
    error: RingBufferError, builtin: type[Exception], attributes: dict[str, Any], transport: str
) -> None:
    error.__notes__ = ["a note"]
    error.sent_bytes, error.total_bytes = 128, 300
    match transport:
        case "copy":
            found = copy.copy(error)
        case "deepcopy":
            found = copy.deepcopy(error)
        case _:
            found = pickle.loads(pickle.dumps(error, int(transport[-1])))
    assert type(found) is type(error)
    assert isinstance(found, builtin)
    assert (str(found), repr(found), found.args) == (str(error), repr(error), error.args)
    assert vars(found) == vars(error)
    for name in attributes:
        assert getattr(found, name) == getattr(error, name)
    with pytest.raises(type(error)):
        raise found


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.SegmentMissingError("shm_ring_x"), ("shm_ring_x", "unlinked")),
        (errors.SegmentAccessError("shm_ring_x", 1, 0o100600), ("shm_ring_x", "number 1,", "mode is 600")),
        (errors.SegmentFormatError("shm_ring_x", "magic", "text"), ("shm_ring_x", "magic", "text")),
        (errors.SegmentSpaceError(1 << 40, "why"), (str(1 << 40), "why", "--shm-size", "nothing was created")),
        (errors.MissingExtraError("inspecting", "torch"), ("inspecting", "pip install 'shm-ringbuffer-reference[torch]'")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_says_what_and_what_to_do(error: RingBufferError, says: tuple[str, ...]) -> None:
    for part in says:
        assert part in str(error)
