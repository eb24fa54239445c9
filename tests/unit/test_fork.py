"""A forked child has copies of its parent's endpoints: they refuse, and nothing it does ends what is its parent's."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from support import SHM, MakeRing, RunPython, ends_of, in_child

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import ForkedError
from ringbuffer.protocol import Case

USES: dict[str, Callable[[ShmRingBufferIO, ShmRingBufferIO], object]] = {
    "enqueue": lambda writer, _: writer.enqueue("from the child"),
    "acquire_write": lambda writer, _: writer.acquire_write(),
    "dequeue": lambda _, reader: reader.dequeue(),
    "acquire_read": lambda _, reader: reader.acquire_read(),
    "with": lambda writer, _: writer.__enter__(),
}


@pytest.mark.parametrize("use", USES)
def test_inherited_endpoint_refuses_in_the_child_only(use: str, make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    writer.enqueue("one")
    before = ring.flags(0)
    said = in_child(lambda: USES[use](writer, reader))
    assert said.startswith(f"{ForkedError.__name__}: {use}: ")
    for part in (ring.name, f"pid {os.getpid()}", "ShmRingBufferIO(ring, rank)"):
        assert part in said
    assert ring.flags(0) == before
    assert reader.dequeue(timeout=0) == "one"
    writer.enqueue("two")
    assert reader.dequeue(timeout=0) == "two"


def test_hold_that_was_made_before_the_fork_refuses_in_the_child(make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, _ = ends_of(ring)
    hold = writer.acquire_write()
    assert in_child(hold.__enter__).startswith("ForkedError: ")
    assert ring.case(0) is Case.UNWRITTEN


def test_child_makes_endpoints_of_its_own(make_ring: MakeRing) -> None:
    there, back = make_ring(), make_ring()
    ends = [*ends_of(there), *ends_of(back)]
    ends[0].enqueue("hello")

    def child() -> str:
        reader, writer = ShmRingBufferIO(there, 0), ShmRingBufferIO(back, -1)
        writer.enqueue(reader.dequeue(timeout=0)[::-1])
        return f"{there.is_creator} {there.case(0):d}"

    assert in_child(child) == "False 4"
    assert ends[3].dequeue(timeout=0) == "olleh"
    assert (there.is_creator, there.case(0)) == (True, Case.READ_BY_ALL)


def leave_ring(ring: ShmRingBuffer) -> None:
    with ring:
        pass


@pytest.mark.parametrize("end_it", [ShmRingBuffer.close, leave_ring])
@pytest.mark.parametrize("first", ["at once", "after use"])
def test_child_lets_go_of_the_ring_and_does_not_unlink_it(
    end_it: Callable[[ShmRingBuffer], None], first: str, make_ring: MakeRing
) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)

    def child() -> str:
        if first == "after use":
            ShmRingBufferIO(ring, 0)
        writer.close()
        end_it(ring)
        return f"exists: {(SHM / ring.name).exists()}"

    assert in_child(child) == "exists: True"
    writer.enqueue("one")
    assert reader.dequeue(timeout=0) == "one"


@pytest.mark.parametrize("body_raises", [False, True])
@pytest.mark.parametrize("rank", [-1, 0])
def test_child_that_leaves_a_with_of_its_parent_changes_nothing(rank: int, body_raises: bool, make_ring: MakeRing) -> None:
    """The fork is inside the ``with``, so both processes come to its end; the block is the parent's."""
    ring = make_ring()
    writer, reader = ends_of(ring)
    writer.enqueue("one")
    hold = writer.acquire_write() if rank == -1 else reader.acquire_read()
    error = RuntimeError("boom")
    with hold:
        before = ring.flags(0) + ring.flags(1)
        said = in_child(lambda: hold.__exit__(RuntimeError, error, None) if body_raises else hold.__exit__(None, None, None))
        assert ring.flags(0) + ring.flags(1) == before
    assert "Error" not in said if body_raises else said.startswith("ForkedError: ")
    assert (ring.case(0), ring.case(1)) == ((2, 2) if rank == -1 else (4, 1))


CHILD_ENDS = """
import os, sys
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
ring = ShmRingBuffer(1, 64, 2)
writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(ring, 0)
pid = os.fork()
if pid == 0:
    {ending}
    sys.exit(0)
os.waitpid(pid, 0)
writer.enqueue("alive")
print(reader.dequeue(timeout=0), os.path.exists("/dev/shm/" + ring.name))
"""


@pytest.mark.parametrize("ending", ["pass", "del writer, reader, ring", "ShmRingBufferIO(ring, 0)", "sys.exit(1)"])
def test_child_that_ends_as_a_python_does_leaves_the_ring_alone(ending: str, run_python: RunPython) -> None:
    done = run_python(CHILD_ENDS.format(ending=ending))
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive True\n", "")
