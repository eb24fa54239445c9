"""What the unit tests of the real ring share: the types of their fixtures, and how they fork, run threads and hold memory.

Rules: nothing here sleeps to make something happen; every wait has an end at which the test fails.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import pytest

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import BackendError, RingBufferError, UnsupportedPlatformError
from ringbuffer.memory.backend import extension, require_total_store_order
from ringbuffer.memory.layout import AWAKE_BYTES

SHM: Final = Path("/dev/shm")
LONG_SECONDS: Final = 30.0
"""No wait takes that long; one that does fails."""

try:
    _native: ModuleType | None = extension()
    _WHY_NOT = ""
except BackendError as error:
    _native, _WHY_NOT = None, str(error)

needs_extension: Final = pytest.mark.skipif(_native is None, reason=_WHY_NOT)
"""Where the extension was not built, the test is skipped, and says why."""

try:
    require_total_store_order()
    _REFUSED = ""
except UnsupportedPlatformError as error:
    _REFUSED = str(error).partition(":")[0]

needs_total_store_order: Final = pytest.mark.skipif(bool(_REFUSED), reason=_REFUSED)
"""Where endpoints on the backend in Python are refused, the test is skipped, and says why."""

needs_little_endian: Final = pytest.mark.skipif(
    sys.byteorder != "little",
    reason="compiled Python stores numbers in the processor's order of bytes, which is not the segment's",
)
"""For what a single thread does with compiled Python, which needs no ordering, but the bytes."""

MakeRing: TypeAlias = Callable[..., ShmRingBuffer]
RunPython: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


def the_extension() -> Any:
    """The extension in C, in tests that need it."""
    assert _native is not None
    return _native


def what(make: Callable[[], Any]) -> Any:
    """What a call returns, or the type and the text of the error that it raises."""
    try:
        return make()
    except RingBufferError as error:
        return type(error), str(error)


def ends_of(ring: ShmRingBuffer) -> list[ShmRingBufferIO]:
    """The writer and then all readers."""
    return [ShmRingBufferIO(ring, rank) for rank in range(-1, ring.n_reader)]


def is_mapped(name: str) -> bool:
    """Whether this process has the segment of that name in its memory."""
    return name in Path("/proc/self/maps").read_text()


def _ctypes_array(block: memoryview) -> object:
    return (ctypes.c_char * 4).from_buffer(block)


def _numpy_array(block: memoryview) -> object:
    return pytest.importorskip("numpy").frombuffer(block, dtype="u1")


ALIASES: Final[dict[str, Callable[[memoryview], object]]] = {
    "ctypes": _ctypes_array,
    "numpy": _numpy_array,
    "pickle": pickle.PickleBuffer,
    "slice": lambda block: block[2:6],
    "view": memoryview,
    "cast": lambda block: block.cast("H"),
}
"""What refers to a block without a copy."""
READ_ONLY_ALIASES: Final = [name for name in ALIASES if name != "ctypes"]
"""Those that a block need not be writable for."""


class Background(threading.Thread):
    """A call in another thread. ``outcome`` waits for its end, and returns its value or raises its exception."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    def outcome(self) -> Any:
        self.join(LONG_SECONDS)
        assert not self.is_alive(), "the call in the other thread does not end"
        if self._error is not None:
            raise self._error
        return self._value


@contextmanager
def held(enter: Callable[[], Any]) -> Iterator[None]:
    """The ``with`` of ``enter()`` is open in another thread."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with enter():
            inside.set()
            assert leave.wait(LONG_SECONDS)

    thread = Background(hold)
    assert inside.wait(LONG_SECONDS)
    try:
        yield
    finally:
        leave.set()
        thread.outcome()


def in_child(call: Callable[[], object]) -> str:
    """Fork; what ``call`` returns in the child, as text, or the type and text of what it raises."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            try:
                said = str(call())
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(send, said.encode())
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(pid, 0) == (pid, 0)
    return said


def lies_down(ring: ShmRingBuffer, rank: int) -> None:
    """Return when the endpoint of ``rank`` has said that it sleeps: what comes from now on has to wake it."""
    layout, until = ring.segment.layout, time.monotonic() + LONG_SECONDS
    start = layout.awake_offset + (1 + rank) * AWAKE_BYTES
    with ring.segment.whole() as whole:
        while any(whole[start : start + AWAKE_BYTES]):
            assert time.monotonic() < until, "it does not lie down"
            os.sched_yield()


def state(ring: ShmRingBuffer) -> list[bytes]:
    """All that a ring holds, flags and blocks."""
    blocks = range(ring.max_chunks)
    return [ring.flags(block) for block in blocks] + [bytes(ring.segment.frame(block)) for block in blocks]


def assert_goes_on(writer: ShmRingBufferIO, *readers: ShmRingBufferIO) -> None:
    """Two laps more work, so every end stands at its own block and none is in use."""
    for number in range(2 * writer.buffer.max_chunks):
        writer.enqueue(("goes on", number), timeout=0)
        for reader in readers:
            assert reader.dequeue(timeout=0) == ("goes on", number)


class Unloadable:
    """Pickles well, and raises when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


class Calling:
    """An object that makes the test's ``call`` while it is "pickled", or while it is "unpickled"."""

    call: Callable[[], object]

    def __init__(self, when: str) -> None:
        self.when = when

    def __reduce__(self) -> tuple[object, ...]:
        if self.when == "pickled":
            Calling.call()
        return (_call_now if self.when == "unpickled" else str), ()


def _call_now() -> str:
    return str(Calling.call())
