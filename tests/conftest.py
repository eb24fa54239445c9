"""What all tests share. The suite as a whole must leave nothing in /dev/shm, and that is looked up, not cleaned up."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ringbuffer import ShmRingBuffer
from ringbuffer.errors import BackendError, RingBufferError, UnsupportedPlatformError
from ringbuffer.memory.backend import NATIVE, PYTHON, VARIABLE, require
from ringbuffer.memory.participants import Role
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.protocol import PROTOCOL, Variant

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60)
settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("nightly", deadline=None, max_examples=2_000, stateful_step_count=100)
settings.load_profile("dev")

SHM = Path("/dev/shm")
LEAVE_SECONDS = 20.0
"""How long the resource tracker of a killed process may take; nothing waits while there is nothing to wait for."""
RUN_SECONDS = 60.0


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end, so no collection of garbage need look through it again and again."""
    gc.collect()
    gc.freeze()


def _entries() -> set[str]:
    return {entry.name for entry in SHM.iterdir() if entry.name.startswith(NAME_PREFIX)}


def _is_of_another_suite(name: str) -> bool:
    """Whether a process that lives, and is not this one, made the segment: then another run of tests is using it."""
    try:
        segment = Segment.attach(name)
    except (RingBufferError, OSError):
        return not (SHM / name).exists()
    creator_pid = segment.header.creator_pid
    segment.close()
    return creator_pid != os.getpid() and Path(f"/proc/{creator_pid}").exists()


@pytest.fixture(scope="session", autouse=True)
def _leaves_no_litter() -> Iterator[None]:
    before = _entries()
    yield
    deadline = time.monotonic() + LEAVE_SECONDS
    while True:
        litter = {name for name in _entries() - before if not _is_of_another_suite(name)}
        if not litter or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert not litter, f"the tests have left {sorted(litter)} in {SHM}"


MakeRing = Callable[..., ShmRingBuffer]
"""``make_ring(n_reader=1, max_chunk_bytes=64, max_chunks=2, protocol=PROTOCOL)``: a ring that ends with the test."""


@pytest.fixture
def make_ring() -> Iterator[MakeRing]:
    made: list[ShmRingBuffer] = []

    def make(
        n_reader: int = 1, max_chunk_bytes: int = 64, max_chunks: int = 2, *, protocol: Variant = PROTOCOL
    ) -> ShmRingBuffer:
        ring = ShmRingBuffer(n_reader, max_chunk_bytes, max_chunks, protocol=protocol)
        made.append(ring)
        return ring

    yield make
    for ring in made:
        ring.unlink()
        with contextlib.suppress(RingBufferError):
            ring.close()


@pytest.fixture(params=[NATIVE, PYTHON])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs once on each backend; the half of one that there is not here is skipped, and says why."""
    asked: str = request.param
    try:
        require(asked)
    except BackendError as error:
        pytest.skip(str(error))
    except UnsupportedPlatformError as error:
        pytest.skip(str(error).partition(":")[0])
    monkeypatch.setenv(VARIABLE, asked)
    return asked


RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
"""``run_python(script, *arguments)``: the script in a new interpreter, with its output and its exit status."""


@pytest.fixture
def run_python() -> RunPython:
    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", script, *arguments], capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )

    return run


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as an endpoint has found its block busy, is done with looking again, and says that it waits."""
    event = threading.Event()
    waits = Role.waits

    def telling(role: Role, since_ns: int) -> None:
        waits(role, since_ns)
        if since_ns:
            event.set()

    monkeypatch.setattr(Role, "waits", telling)
    return event
