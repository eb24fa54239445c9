"""Real processes that end in every way: what the others of their ring hear, and that they go on.

Each test starts one process, which prints what the test waits for. Rules: it has a standard input that ends with the test, and
ends with it; nothing is decided by how long anything takes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import PeerDied, WaitTimeoutError
from ringbuffer.memory.layout import AWAKE_BYTES

LONG_SECONDS = 30.0
CHUNK_BYTES, BLOCKS = 64, 3
PROCESS = f"""
import os, sys, threading
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
def end_with_the_test():
    sys.stdin.read()
    os._exit(3)
threading.Thread(target=end_with_the_test, daemon=True).start()
ring = ShmRingBuffer(2, {CHUNK_BYTES}, {BLOCKS}, sys.argv[1])
end = ShmRingBufferIO(ring, int(sys.argv[2]))
print("here", flush=True)
"""
FOR_EVER = "threading.Event().wait()\n"

Start = Callable[[int, str], "AbstractContextManager[subprocess.Popen[str]]"]


@pytest.fixture
def ring() -> Iterator[ShmRingBuffer]:
    with ShmRingBuffer(2, CHUNK_BYTES, BLOCKS) as made:
        yield made


@pytest.fixture
def start(ring: ShmRingBuffer) -> Start:
    @contextlib.contextmanager
    def started(rank: int, script: str) -> Iterator[subprocess.Popen[str]]:
        """A process that has claimed its role."""
        with subprocess.Popen(
            [sys.executable, "-P", "-c", PROCESS + script, ring.name, str(rank)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            try:
                yield process
            finally:
                process.kill()

    return started


def sleeps(ring: ShmRingBuffer, rank: int) -> None:
    """Return when the endpoint of that rank has lain down."""
    at = ring.segment.layout.awake_offset + (1 + rank) * AWAKE_BYTES
    until = time.monotonic() + LONG_SECONDS
    with ring.segment.whole() as whole:
        while any(whole[at : at + AWAKE_BYTES]):
            assert time.monotonic() < until, "it does not lie down"
            os.sched_yield()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait(LONG_SECONDS) == -signal.SIGKILL


def lost(end: ShmRingBufferIO, process: subprocess.Popen[str], rank: int, timeout: float | None = None) -> PeerDied:
    with pytest.raises(PeerDied, match=f"\\(pid {process.pid}\\)") as caught:
        end.broadcast_object("not sent", timeout=timeout)
    assert (caught.value.rank, caught.value.pid, caught.value.left) == (rank, process.pid, False)
    return caught.value


@pytest.mark.parametrize("when", ["idle", "asleep", "in a with"])
def test_reader_that_is_killed_is_named_and_can_be_evicted_or_followed(when: str, ring: ShmRingBuffer, start: Start) -> None:
    script = {
        "idle": FOR_EVER,
        "asleep": "end.dequeue()\nprint('one', flush=True)\nend.dequeue()\n",
        "in a with": "hold = end.acquire_read()\nhold.__enter__()\nprint('one', flush=True)\n" + FOR_EVER,
    }[when]
    with ShmRingBufferIO(ring, -1) as writer, ShmRingBufferIO(ring, 0) as reader, start(1, script) as process:
        writer.enqueue("one")
        assert reader.dequeue() == "one"
        if when != "idle":
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
        if when == "asleep":
            sleeps(ring, 1)
        kill(process)
        unread: list[object] = [] if when == "asleep" else ["one"]
        for number in range(BLOCKS - len(unread)):
            writer.enqueue(number)
            assert reader.dequeue() == number
            unread.append(number)
        for timeout in (0, None):
            error = lost(writer, process, 1, timeout)
        assert error.block_index == (1 if when == "asleep" else 0)
        with ShmRingBufferIO(ring, 1) as successor:
            assert [successor.dequeue(timeout=0) for _ in unread] == unread
            writer.enqueue("next", timeout=0)
            assert reader.dequeue() == "next"
            assert successor.dequeue(timeout=0) == "next"
        writer.evict(1)
        for number in range(2 * BLOCKS):
            writer.enqueue(number, timeout=0)
            assert reader.dequeue(timeout=0) == number


@pytest.mark.parametrize("when", ["asleep in a large message", "idle", "in a with"])
def test_writer_that_is_killed_is_named_and_can_be_followed(when: str, ring: ShmRingBuffer, start: Start) -> None:
    script = (
        "end.enqueue('one')\n"
        + {
            "asleep in a large message": "end.send_bytes(bytes(range(250)) * 10)\n",
            "idle": "print('sent', flush=True)\n" + FOR_EVER,
            "in a with": "hold = end.acquire_write()\nhold.__enter__()[:3] = b'two'\nprint('sent', flush=True)\n" + FOR_EVER,
        }[when]
    )
    with ShmRingBufferIO(ring, 0) as reader, ShmRingBufferIO(ring, 1) as other, start(-1, script) as process:
        if when == "asleep in a large message":
            sleeps(ring, -1)
        else:
            assert process.stdout is not None
            assert process.stdout.readline() == "sent\n"
        kill(process)
        for end in (reader, other):
            assert end.dequeue(timeout=0) == "one", "what is published is read first"
            for timeout in (0, None):
                lost(end, process, -1, timeout)
        with ShmRingBufferIO(ring, -1) as successor:
            for number in range(2 * BLOCKS):
                successor.enqueue(number, timeout=0)
                assert [end.dequeue(timeout=0) for end in (reader, other)] == [number, number]


@pytest.mark.parametrize(
    ("ending", "is_dead"),
    [("end.close()", False), ("ring.close()", False), ("os._exit(0)", True), ("sys.exit(1)", True), ("del end", True)],
)
def test_process_that_ends_has_left_if_it_has_closed(ending: str, is_dead: bool, ring: ShmRingBuffer, start: Start) -> None:
    with ShmRingBufferIO(ring, 0) as reader, start(-1, f"end.enqueue('one')\n{ending}\n") as process:
        assert reader.dequeue(timeout=LONG_SECONDS) == "one"
        process.wait(LONG_SECONDS)
        if is_dead:
            lost(reader, process, -1)
        else:
            with pytest.raises(WaitTimeoutError, match=f"it \\(pid {process.pid}\\) left .* s ago"):
                reader.dequeue(timeout=0)


@pytest.mark.parametrize("call", ["end.dequeue()", "end.read().__enter__()"])
def test_interrupt_from_the_keyboard_ends_a_call_that_sleeps(call: str, ring: ShmRingBuffer, start: Start) -> None:
    with ShmRingBufferIO(ring, -1) as writer, ShmRingBufferIO(ring, 0) as reader:
        script = f"try: {call}\nexcept KeyboardInterrupt: print('interrupted', flush=True)\nprint(end.dequeue(), flush=True)\n"
        with start(1, script) as process:
            sleeps(ring, 1)
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.readline() == "interrupted\n"
            writer.enqueue("and goes on")
            assert process.stdout.readline() == "and goes on\n"
        assert reader.dequeue(timeout=0) == "and goes on"
