"""A forked child has copies of its parent's endpoints: they refuse, and nothing it does ends what is its parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LONG_SECONDS, SHM, MakeRing, RunPython, ends_of, in_child

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import ForkedError, PeerDied
from ringbuffer.protocol import Case

USES: dict[str, Callable[[ShmRingBufferIO, ShmRingBufferIO], object]] = {
    "enqueue": lambda writer, _: writer.enqueue("from the child"),
    "acquire_write": lambda writer, _: writer.acquire_write(),
    "dequeue": lambda _, reader: reader.dequeue(),
    "acquire_read": lambda _, reader: reader.acquire_read(),
    "send_bytes": lambda writer, _: writer.send_bytes(b"from the child"),
    "resume": lambda writer, _: writer.resume(),
    "evict": lambda writer, _: writer.evict(0),
    "recv_bytes": lambda _, reader: reader.recv_bytes(),
    "read": lambda _, reader: reader.read(),
    "describe_wait": lambda _, reader: reader.describe_wait(1.0),
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


def test_child_makes_endpoints_of_ranks_that_are_free(make_ring: MakeRing) -> None:
    there, back = make_ring(2), make_ring()
    writer, reader = ShmRingBufferIO(there, -1), ShmRingBufferIO(there, 0)
    answers = ShmRingBufferIO(back, 0)
    writer.enqueue("hello")

    def child() -> str:
        with ShmRingBufferIO(there, 1) as own, ShmRingBufferIO(back, -1) as answering:
            answering.enqueue(own.dequeue(timeout=0)[::-1])
            return f"{there.is_creator} {there.case(0):d}"

    assert in_child(child) == "False 3"
    assert answers.dequeue(timeout=0) == "olleh"
    assert reader.dequeue(timeout=0) == "hello"
    assert (there.is_creator, there.case(0)) == (True, Case.READ_BY_ALL)


@pytest.mark.parametrize("rank", [-1, 0])
def test_child_is_refused_the_ranks_of_its_parent_until_they_are_left(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring()
    ends = ends_of(ring)
    ends[0].enqueue("one")
    said = in_child(lambda: ShmRingBufferIO(ring, rank))
    assert said.startswith("RoleTaken: ")
    assert f"process {os.getpid()} has that role" in said
    assert_goes_on_with("one", *ends)
    ends[1 + rank].close()

    def child() -> object:
        with ShmRingBufferIO(ring, rank) as end:
            return end.broadcast_object("two", timeout=0)

    if rank == 0:
        ends[0].enqueue("two")
    assert in_child(child) == "two"
    if rank == -1:
        assert ends[1].dequeue(timeout=0) == "two"
        assert ShmRingBufferIO(ring, -1)._runner.done() == 2


def assert_goes_on_with(expected: object, writer: ShmRingBufferIO, reader: ShmRingBufferIO) -> None:
    assert reader.dequeue(timeout=0) == expected
    assert (writer.buffer.case(0), writer.buffer.case(1)) == (Case.READ_BY_ALL, Case.UNWRITTEN)


def test_child_keeps_no_opening_of_its_parents_by_which_a_role_is_held(make_ring: MakeRing) -> None:
    """Nor that by which somebody stands in for another: it would go on to do so if the parent was killed just then."""
    ring = make_ring()

    def openings() -> int:
        links = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return sum(ring.name in link for link in links)

    before = in_child(openings)
    writer = ShmRingBufferIO(ring, -1)
    writer.evict(0)
    writer._waiter.peers.lost((-1, 0))
    assert ring.segment.is_held(ring.segment.layout.participant_offset(-1)), "which opens the file once more"
    assert openings() == int(before) + 2
    assert in_child(openings) == before


CHILD_OUTLIVES = """
import os, signal, sys, time
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
ring = ShmRingBuffer(1, 64, 2, sys.argv[1])
end = ShmRingBufferIO(ring, int(sys.argv[2]))
end._waiter.peers.lost((-1, 0))
child = os.fork()
if child == 0:
    os.read(0, 1)  # until the test has seen its parent dead
    print("child ends", flush=True)
    os._exit(0)
print("parent is about to be killed", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("rank", [-1, 0])
def test_role_of_a_parent_that_is_killed_is_not_kept_by_its_child(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring()
    here = ShmRingBufferIO(ring, -1 - rank)
    command = [sys.executable, "-P", "-c", CHILD_OUTLIVES, ring.name, str(rank)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.wait(LONG_SECONDS) == -signal.SIGKILL
        for _ in range(2 if rank == 0 else 0):
            here.enqueue("fills the ring", timeout=0)
        with pytest.raises(PeerDied) as caught:
            here.broadcast_object(timeout=LONG_SECONDS)
        assert (caught.value.rank, caught.value.pid) == (rank, parent.pid)
        out, _ = parent.communicate(b"x", timeout=LONG_SECONDS)
        assert out.splitlines()[-1] == b"child ends", "it lived until now"


def leave_ring(ring: ShmRingBuffer) -> None:
    with ring:
        pass


@pytest.mark.parametrize("end_it", [ShmRingBuffer.close, leave_ring])
@pytest.mark.parametrize("first", ["at once", "after use"])
def test_child_lets_go_of_the_ring_and_does_not_unlink_it(
    end_it: Callable[[ShmRingBuffer], None], first: str, make_ring: MakeRing
) -> None:
    ring = make_ring(2)
    writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(ring, 0)

    def child() -> str:
        if first == "after use":
            ShmRingBufferIO(ring, 1)
        writer.close()
        end_it(ring)
        return f"exists: {(SHM / ring.name).exists()}"

    assert in_child(child) == "exists: True"
    writer.enqueue("one")
    assert reader.dequeue(timeout=0) == "one"


@pytest.mark.parametrize("body_raises", [False, True])
@pytest.mark.parametrize("use", ["acquire_write", "acquire_read", "read"])
def test_child_that_leaves_a_with_of_its_parent_changes_nothing(use: str, body_raises: bool, make_ring: MakeRing) -> None:
    """The fork is inside the ``with``, so both processes come to its end; the block is the parent's."""
    ring = make_ring()
    writer, reader = ends_of(ring)
    writer.enqueue("one")
    hold = getattr(writer if use == "acquire_write" else reader, use)()
    error = RuntimeError("boom")
    with hold:
        before = ring.flags(0) + ring.flags(1)
        said = in_child(lambda: hold.__exit__(RuntimeError, error, None) if body_raises else hold.__exit__(None, None, None))
        assert ring.flags(0) + ring.flags(1) == before
    assert "Error" not in said if body_raises else said.startswith("ForkedError: ")
    assert (ring.case(0), ring.case(1)) == ((2, 2) if use == "acquire_write" else (4, 1))


CHILD_ENDS = """
import os, sys
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
ring = ShmRingBuffer(2, 64, 2)
writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(ring, 0)
pid = os.fork()
if pid == 0:
    {ending}
    sys.exit(0)
os.waitpid(pid, 0)
writer.enqueue("alive")
print(reader.dequeue(timeout=0), os.path.exists("/dev/shm/" + ring.name))
"""


@pytest.mark.parametrize("ending", ["pass", "del writer, reader, ring", "ShmRingBufferIO(ring, 1)", "sys.exit(1)"])
def test_child_that_ends_as_a_python_does_leaves_the_ring_alone(ending: str, run_python: RunPython) -> None:
    done = run_python(CHILD_ENDS.format(ending=ending))
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive True\n", "")
