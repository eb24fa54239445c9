"""Which backend is used, that the ends of a ring do the same on both, and what is said where one cannot be used."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from support import (
    MakeRing,
    RunPython,
    assert_goes_on,
    ends_of,
    in_child,
    needs_extension,
    needs_total_store_order,
    what,
)

import ringbuffer
from ringbuffer import ShmRingBufferIO
from ringbuffer.checker.lockstep import PropertyBroken, machine
from ringbuffer.compiled import bind
from ringbuffer.errors import UnsupportedPlatformError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE, PYTHON, VARIABLE, extension, load_acquire
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant

FENCED = [PROTOCOL.fenced(before="W6").fenced("acq-rel", after="R1"), PROTOCOL.locked(before="W6").locked(after="R2")]


@needs_extension
@pytest.mark.parametrize("variant", FENCED, ids=str)
def test_rings_with_fences_and_locks_run_on_the_native_backend(
    variant: Variant, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, NATIVE)
    assert_goes_on(*ends_of(make_ring(2, protocol=variant)))
    run_state_machine_as_test(machine(variant), settings=settings(max_examples=15, derandomize=True, deadline=None))


@pytest.mark.parametrize("variant", [PROTOCOL, ORIGINAL, PROTOCOL.replace(initial_read_flag=1)], ids=str)
def test_every_reader_gets_all_in_order_on_both_backends(backend: str, variant: Variant, make_ring: MakeRing) -> None:
    assert ringbuffer.backend == backend
    for n_reader, max_chunks in ((0, 1), (1, 1), (2, 3), (70, 2)):
        assert_goes_on(*ends_of(make_ring(n_reader, 100, max_chunks, protocol=variant)))


def test_a_time_out_an_abort_and_a_close_are_the_same_on_both_backends(backend: str, make_ring: MakeRing) -> None:
    ring = make_ring(2, max_chunks=1)
    writer, *readers = ends_of(ring)
    with pytest.raises(WaitTimeoutError, match="the writer has not published it"):
        readers[0].dequeue(timeout=0)
    with pytest.raises(ZeroDivisionError), writer.acquire_write():
        _ = 1 // 0
    writer.enqueue(backend, timeout=0)
    assert readers[1].dequeue(timeout=0) == backend
    with pytest.raises(WaitTimeoutError, match="not yet read by reader rank 0"):
        writer.enqueue("more", timeout=0)
    with pytest.raises(ZeroDivisionError), readers[0].acquire_read():
        _ = 1 // 0
    assert readers[0].dequeue(timeout=0) == backend
    assert_goes_on(writer, *readers)
    ends = (writer, *readers)
    assert in_child(lambda: [what(partial(end.broadcast_object, 1))[0].__name__ for end in ends]) == str(["ForkedError"] * 3)
    for end in (writer, *readers):
        end.close()
    ring.close()


@needs_extension
@needs_total_store_order
def test_ends_of_one_ring_may_use_different_backends(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = make_ring(2)
    ends = []
    for rank, backend in ((-1, NATIVE), (0, PYTHON), (1, NATIVE)):
        monkeypatch.setenv(VARIABLE, backend)
        ends.append(ShmRingBufferIO(ring, rank))
    assert_goes_on(*ends)


def test_the_model_and_the_rows_take_the_same_steps_on_both_backends(backend: str) -> None:
    quick = settings(max_examples=20, derandomize=True, deadline=None, stateful_step_count=30, database=None)
    run_state_machine_as_test(machine(PROTOCOL), settings=quick)
    thorough = settings(quick, max_examples=100, phases=[Phase.generate])
    with pytest.raises(PropertyBroken):
        run_state_machine_as_test(machine(PROTOCOL.flipped("W5")), settings=thorough)
    assert ringbuffer.backend == backend


# Which backend is used. Each in a process of its own.

NO_EXTENSION = "import sys; sys.modules['ringbuffer.memory._native'] = None\n"
WEAK = "import platform; platform.machine = lambda: 'aarch64'\n"
TRY = """
import os, sys
if sys.argv[1]:
    os.environ["RINGBUFFER_BACKEND"] = sys.argv[1]
else:
    os.environ.pop("RINGBUFFER_BACKEND", None)
import ringbuffer
from ringbuffer import ShmRingBuffer, ShmRingBufferIO, RingBufferError
try:
    print(ringbuffer.backend)
except RingBufferError as error:
    print(type(error).__name__)
with ShmRingBuffer(1, 64, 1) as ring:
    try:
        ShmRingBufferIO(ring, -1).enqueue("sent")
        print(ShmRingBufferIO(ring, 0).dequeue())
    except RingBufferError as error:
        print(f"{type(error).__name__}: {error}")
"""


def tried(run_python: RunPython, asked: str, *pretended: str) -> list[str]:
    done = run_python("".join(pretended) + TRY, asked)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@needs_extension
def test_the_extension_is_used_where_it_is(run_python: RunPython) -> None:
    assert tried(run_python, "") == tried(run_python, "native") == tried(run_python, "", WEAK) == ["native", "sent"]


@needs_total_store_order
def test_python_is_used_when_asked_for_or_where_there_is_no_extension(run_python: RunPython) -> None:
    assert tried(run_python, "python") == tried(run_python, "", NO_EXTENSION) == ["python", "sent"]


def test_an_extension_that_is_asked_for_and_not_there_is_an_error_that_names_the_way_out(run_python: RunPython) -> None:
    name, text = tried(run_python, "native", NO_EXTENSION)
    assert name == "BackendError"
    assert text.startswith("BackendError: the extension ringbuffer.memory._native is not there (")
    assert "install a C compiler" in text
    assert "pip install" in text
    assert "set it to 'python'" in text


def test_an_unknown_backend_is_an_error_that_names_the_two(run_python: RunPython) -> None:
    name, text = tried(run_python, "Native")
    assert name == "BackendError"
    assert text == (
        "BackendError: RINGBUFFER_BACKEND is 'Native', and the backends are 'native' and 'python'; set one, or unset it"
    )


@pytest.mark.parametrize("asked", ["", "python"])
def test_python_is_refused_on_weakly_ordered_processors(asked: str, run_python: RunPython) -> None:
    name, text = tried(run_python, asked, NO_EXTENSION, WEAK)
    assert name == "python"
    assert text.startswith("UnsupportedPlatformError: this processor (aarch64) reorders memory accesses")
    assert "install a C compiler" in text


def test_what_was_asked_for_is_what_is_bound(backend: str, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = make_ring().segment
    program = PROTOCOL.programs[0]

    def bound(*, stepping: bool = False) -> str:
        rows = bind(program, segment, -1, stepping=stepping)
        for view in rows.views:
            view.release()
        return type(rows.begin).__name__

    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert (bound() == "function") == (backend == PYTHON)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    if backend == PYTHON:
        with pytest.raises(UnsupportedPlatformError, match="riscv64"):
            bound()
    assert bound(stepping=True) in ("function", "partial"), "one thread needs no ordering"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler, so the extension need not be there")
def test_where_there_is_a_compiler_there_is_the_extension() -> None:
    """Otherwise its build has failed, which pip passes over in silence."""
    extension()


def test_one_byte_can_be_loaded_in_order(backend: str) -> None:
    assert ringbuffer.backend == backend
    view = memoryview(bytes([7, 8, 9]))
    assert [load_acquire(view, offset) for offset in range(3)] == [7, 8, 9]
    for offset in (3, 1 << 40):
        with pytest.raises((ValueError, IndexError)):
            load_acquire(view, offset)
