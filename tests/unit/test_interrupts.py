"""An interrupted call leaves the ring in order: nothing is torn, repeated or out of place, and no endpoint is stuck in use.

On both backends: rows that are compiled to Python are met by interrupts inside; those in C are one instruction to CPython.
``interrupting`` says how a ``KeyboardInterrupt`` is put at every place of a call at which CPython can raise one. The one loss
that is allowed is documented in ``endpoint.py``: a message that was marked as read when the interrupt came, in ``dequeue``.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interrupting import Interrupted, untraced
from interrupting import sweep as sweep_any
from support import MakeRing, RunPython, Unloadable, ends_of

import ringbuffer
from ringbuffer import ShmRingBufferIO, endpoint
from ringbuffer.errors import DecodeError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE
from ringbuffer.protocol import Case
from ringbuffer.waiting import Backoff

BODIES: dict[str, Callable[[], object]] = {"ends": lambda: None, "raises": lambda: 1 // 0}


ROWS = ("begin", "where", "finish", "abort")
"""The functions that a table is made into."""
ON_BOTH = pytest.mark.usefixtures("backend")


def sweep(call: Callable[[], Any], *must_meet: str) -> Iterator[Interrupted]:
    """As :func:`interrupting.sweep`; functions in C have no places inside that interrupts could meet."""
    in_c = ROWS if ringbuffer.backend == NATIVE else ()
    return sweep_any(call, *(name for name in must_meet if name not in in_c))


def message_of(number: int) -> tuple[int, bytes]:
    """Messages differ in length, and every byte says which message it is of, so that a torn one is noticed."""
    return number, payload_of(number)[: number % 40]


def payload_of(number: int) -> bytes:
    return bytes([number % 256]) * 64


def fill(writer: ShmRingBufferIO, number: int) -> None:
    with writer.acquire_write(timeout=0) as block:
        block[:] = payload_of(number)


def assert_empty(reader: ShmRingBufferIO) -> None:
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=0)


def test_interrupts_come_where_cpython_looks() -> None:
    """The tool itself: at entries, after calls, in loops; never between a test and the assignment that follows it."""
    log: list[str] = []

    def inner() -> None:
        log.append("inner")

    def outer() -> None:
        log.append("outer")
        inner()
        for _ in range(2):
            log.append("loop")
        if log:
            log[0] = "tested"
            log[-1] = "assigned"

    found = set()
    for outcome in sweep(outer, "outer", "inner", ""):
        found.add((outcome.place, tuple(log)))
        log.clear()
    started, ended = ("outer", "inner", "loop", "loop"), ("tested", "inner", "loop", "assigned")
    assert found >= {("outer", started[:count]) for count in (1, 3, 4)} | {("inner", started[:1]), ("inner", started[:2])}
    assert {log for place, log in found if place} <= {started[:count] for count in range(5)}
    assert {log for place, log in found if not place} == {ended}


@ON_BOTH
def test_interrupted_enqueue_sends_once_or_not_at_all(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunks=3))
    number = 0

    def send() -> None:
        writer.enqueue(message_of(number), timeout=0)

    for outcome in sweep(send, "enqueue", "encode", "check_timeout", "begin", "where", "write_message", "finish", ""):
        try:
            found = reader.dequeue(timeout=0)
        except WaitTimeoutError:
            assert not outcome.returned
            send()
            found = reader.dequeue(timeout=0)
        assert found == message_of(number)
        assert_empty(reader)
        number += 1


@ON_BOTH
def test_interrupted_dequeue_loses_only_what_it_has_marked(make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    writer, reader = ends_of(ring)
    writer.enqueue(message_of(0))
    calls = sweep(lambda: reader.dequeue(timeout=0), "dequeue", "check_timeout", "begin", "where", "decode", "finish", "")
    for number, outcome in enumerate(calls):
        if outcome.returned:
            assert outcome.value == message_of(number)
        elif ring.case(number % 3) is Case.READ_BY_ALL:
            assert outcome.place == "dequeue", "nothing but the last instructions of dequeue comes after the mark"
        else:
            assert reader.dequeue(timeout=0) == message_of(number)
        assert_empty(reader)
        writer.enqueue(message_of(number + 1), timeout=0)


@ON_BOTH
@pytest.mark.parametrize("body", BODIES)
def test_interrupted_write_in_place_is_published_whole_or_not_at_all(body: str, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    writer, reader = ends_of(ring)
    number = 0

    def write() -> None:
        with contextlib.suppress(ZeroDivisionError), writer.acquire_write(timeout=0) as block:
            block[:] = payload_of(number)
            BODIES[body]()

    ends_with = "finish" if body == "ends" else "abort"
    for outcome in sweep(write, "acquire_write", "__enter__", "begin", "where", "mark_raw", ends_with, ""):
        if ring.case(number % 3) is not Case.WRITTEN:
            assert not outcome.returned or body == "raises"
            fill(writer, number)
        else:
            assert body == "ends"
        with reader.acquire_read(timeout=0) as block:
            assert bytes(block) == payload_of(number)
        assert_empty(reader)
        number += 1


@ON_BOTH
@pytest.mark.parametrize("body", BODIES)
def test_interrupted_read_in_place_is_marked_or_comes_again(body: str, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    writer, reader = ends_of(ring)
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(ZeroDivisionError), reader.acquire_read(timeout=0) as block:
            seen.append(block.tobytes())
            BODIES[body]()

    fill(writer, 0)
    ends_with = "finish" if body == "ends" else "abort"
    for number, outcome in enumerate(sweep(read, "acquire_read", "__enter__", "begin", "where", ends_with, "")):
        if ring.case(number % 3) is Case.READ_BY_ALL:
            assert body == "ends"
            assert seen == [payload_of(number)]
        else:
            assert not outcome.returned or body == "raises"
            with reader.acquire_read(timeout=0) as block:
                assert bytes(block) == payload_of(number)
        assert_empty(reader)
        assert seen in ([], [payload_of(number)])
        seen.clear()
        fill(writer, number + 1)


def in_place(end: ShmRingBufferIO) -> None:
    with end.acquire_write(timeout=0) if end.reader_rank == -1 else end.acquire_read(timeout=0) as block:
        assert len(block) == 64


def by_object(end: ShmRingBufferIO) -> None:
    end.broadcast_object("two", timeout=0)


def close_ring(end: ShmRingBufferIO) -> None:
    end.buffer.close()


@pytest.mark.parametrize("rank", [-1, 0])
@pytest.mark.parametrize("use", [in_place, by_object])
@pytest.mark.parametrize("then", [in_place, by_object, close_ring])
@pytest.mark.parametrize("when", ["in the handler", "later, the error kept", "later, the hold kept"])
def test_interrupted_endpoint_can_be_used_at_once(
    use: Callable[[ShmRingBufferIO], None],
    then: Callable[[ShmRingBufferIO], None],
    when: str,
    rank: int,
    make_ring: MakeRing,
) -> None:
    """A program says goodbye, or closes, while it handles the interrupt, or afterwards, and may keep what it likes."""
    kept: list[object] = []
    ends: list[ShmRingBufferIO] = []

    def make() -> None:
        ends[:] = ends_of(make_ring(max_chunks=3))
        for number in range(1 if rank == -1 else 2):
            ends[0].enqueue(number)

    def go_on() -> None:
        then(ends[1 + rank])

    def call() -> None:
        try:
            if use is in_place and "hold kept" in when:
                hold = ends[0].acquire_write(timeout=0) if rank == -1 else ends[1].acquire_read(timeout=0)
                kept.append(hold)
                with hold:
                    pass
            else:
                use(ends[1 + rank])
        except KeyboardInterrupt as error:
            kept.append(error)
            if when == "in the handler":
                untraced(go_on)
                return
        untraced(go_on)

    make()
    for _ in sweep(call, "begin", "finish"):
        kept.clear()
        ends[0].buffer.unlink()
        ends[0].buffer.close()
        make()


CALLS: dict[str, Callable[[ShmRingBufferIO], object]] = {
    "enqueue": lambda end: end.enqueue("not sent", timeout=0),
    "acquire_write": lambda end: end.acquire_write(timeout=0).__enter__(),
    "dequeue": lambda end: end.dequeue(timeout=0),
    "acquire_read": lambda end: end.acquire_read(timeout=0).__enter__(),
}


@ON_BOTH
@pytest.mark.parametrize("call", CALLS)
def test_interrupted_time_out_changes_nothing(call: str, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=1)
    writer, reader = ends_of(ring)
    writes = call in ("enqueue", "acquire_write")
    if writes:
        writer.enqueue("one")

    def wait() -> None:
        with contextlib.suppress(WaitTimeoutError):
            CALLS[call](writer if writes else reader)

    before = ring.flags(0)
    for _ in sweep(wait, "_wait", "_timed_out", "describe_wait", ""):
        assert ring.flags(0) == before
    if writes:
        assert reader.dequeue(timeout=0) == "one"
    writer.enqueue("next", timeout=0)
    assert reader.dequeue(timeout=0) == "next"


@ON_BOTH
@pytest.mark.parametrize("rank", [-1, 0])
def test_interrupted_wait_goes_on_where_it_stood(rank: int, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is busy, and in the second pause the other side comes; the interrupt is before, during or after."""
    ring = make_ring(max_chunks=1)
    writer, reader = ends_of(ring)
    number = 0
    came: list[object] = []

    def other_side() -> None:
        if rank == -1:
            assert reader.dequeue(timeout=0) == message_of(number - 1)
        else:
            writer.enqueue(message_of(number), timeout=0)
        came.append(number)

    class Busy(Backoff):
        def pause(self, left_seconds: float | None) -> float:
            waited = super().pause(left_seconds)
            if self._count == 2:
                untraced(other_side)
            return waited

    monkeypatch.setattr(endpoint, "Backoff", Busy)
    if rank == -1:
        writer.enqueue(message_of(-1))
    calls = sweep(lambda: writer.enqueue(message_of(number)) if rank == -1 else reader.dequeue(), "_wait", "pause", "begin")
    for outcome in calls:
        if not came:
            other_side()
        assert came == [number]
        if outcome.returned:
            assert rank == -1 or outcome.value == message_of(number)
        elif rank == -1 and ring.case(0) is not Case.WRITTEN:
            writer.enqueue(message_of(number), timeout=0)
        elif rank == 0 and ring.case(0) is Case.WRITTEN:
            assert reader.dequeue(timeout=0) == message_of(number)
        assert ring.case(0) is (Case.WRITTEN if rank == -1 else Case.READ_BY_ALL)
        came.clear()
        number += 1


@ON_BOTH
def test_interrupted_dequeue_of_what_cannot_be_unpickled_consumes_it_or_not(make_ring: MakeRing) -> None:
    ring = make_ring(max_chunk_bytes=200, max_chunks=3)
    writer, reader = ends_of(ring)

    def receive() -> None:
        with contextlib.suppress(DecodeError):
            reader.dequeue(timeout=0)

    writer.enqueue(Unloadable())
    for number, outcome in enumerate(sweep(receive, "dequeue", "decode", "finish", "")):
        if ring.case(number % 3) is Case.WRITTEN:
            assert not outcome.returned
            with pytest.raises(DecodeError) as caught:
                reader.dequeue(timeout=0)
            assert caught.value.raw == pickle.dumps(Unloadable(), 5)
        assert_empty(reader)
        writer.enqueue(Unloadable(), timeout=0)


CREATE = """
import itertools, os, sys
sys.path.insert(0, sys.argv[1])
from interrupting import sweep
from ringbuffer import ShmRingBuffer
from ringbuffer.memory import shared

names = []
def token_bytes(count):
    token = os.getpid().to_bytes(4, "big") + len(names).to_bytes(4, "big") + b"the rest"
    names.append("/dev/shm/" + shared.NAME_PREFIX + token.hex()[:16])
    return token[:count]
shared.secrets.token_bytes = token_bytes

litter = []
for outcome in sweep(lambda: ShmRingBuffer(1, 64, 2), "__init__", "create", "_open", "_reserve", "pack", ""):
    outcome.value = None
    for name in filter(os.path.exists, names[-1:]):
        litter.append(outcome.place)
        os.unlink(name)
print(*litter, sep="\\n")
"""


def test_interrupted_creation_leaves_nothing(run_python: RunPython) -> None:
    """Neither a segment nor, at the resource tracker, a name too many or too few: it would say so on standard error."""
    done = run_python(CREATE, str(Path(__file__).parent))
    assert (done.returncode, done.stdout.split()) == (0, [])
    assert done.stderr == ""


def test_interrupts_are_of_every_kind_of_message(make_ring: MakeRing) -> None:
    """Objects whose own Python code runs while they are pickled and unpickled are interrupted there too."""
    writer, reader = ends_of(make_ring(max_chunk_bytes=300))
    number = itertools.count()

    def both() -> Any:
        writer.enqueue(Slow(next(number)), timeout=0)
        return reader.dequeue(timeout=0)

    for _ in sweep(both, "__reduce__", "rebuild", "enqueue", "dequeue"):
        with contextlib.suppress(WaitTimeoutError):
            reader.dequeue(timeout=0)
        assert_empty(reader)


class Slow:
    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild, (self.number,)


def rebuild(number: int) -> Slow:
    return Slow(number)
