"""One use of an endpoint at a time, and none after ``close``: what is refused changes nothing, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import (
    LONG_SECONDS,
    Background,
    Calling,
    MakeRing,
    assert_goes_on,
    ends_of,
    held,
    lies_down,
    needs_total_store_order,
    state,
)

from ringbuffer import ShmRingBufferIO
from ringbuffer.codec.frames import BYTES
from ringbuffer.compiled import BUSY, WAIT
from ringbuffer.endpoint import usage, waiter
from ringbuffer.endpoint.refusals import NOTHING
from ringbuffer.errors import ClosedError, EndpointBusyError, FrameError, WaitCancelledError, WaitTimeoutError
from ringbuffer.memory import participants, python_runner
from ringbuffer.memory.backend import PYTHON, VARIABLE
from ringbuffer.waiting import YIELD_SECONDS_MAX, WaitOptions

USES: dict[str, Callable[[ShmRingBufferIO], object]] = {
    "enqueue": lambda end: end.enqueue("other"),
    "acquire_write": lambda end: end.acquire_write().__enter__(),
    "dequeue": lambda end: end.dequeue(),
    "acquire_read": lambda end: end.acquire_read().__enter__(),
    "send_bytes": lambda end: end.send_bytes(b"other"),
    "resume": lambda end: end.resume(),
    "evict": lambda end: end.evict(0),
    "recv_bytes": lambda end: end.recv_bytes(),
    "read": lambda end: end.read().__enter__(),
}
WAITING = [
    *((-1, use) for use in ("enqueue", "send_bytes", "acquire_write")),
    *((0, use) for use in ("dequeue", "recv_bytes", "read", "acquire_read")),
]
"""The calls that wait, each with the rank of a side that makes it."""
SIDES = [*WAITING, (-1, "resume"), (-1, "evict")]
AT_ONCE = [(-1, "enqueue"), (-1, "send_bytes"), (0, "dequeue"), (0, "recv_bytes")]
"""Those that go the fast way first."""


def at_once(end: ShmRingBufferIO, use: str, timeout: float | None) -> object:
    """One of those calls, which has what it needs."""
    arguments = (b"two",) if end.reader_rank == -1 else ()
    return getattr(end, use)(*arguments, timeout=timeout)


def leave(end: ShmRingBufferIO) -> None:
    """Leave the ``with`` that a call in another thread has entered, if it was one."""
    if end._holder is not None:
        end._holder.leave(None, None, None)


@pytest.mark.parametrize("where", ["nested", "other thread"])
@pytest.mark.parametrize(("rank", "use"), SIDES)
def test_second_use_of_a_held_block_changes_nothing(rank: int, use: str, where: str, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    ends[-1].enqueue("one")
    end, before = ends[rank], state(ring)
    acquire = end.acquire_write if rank == -1 else end.read if use == "acquire_read" else end.acquire_read
    with acquire() if where == "nested" else held(acquire):
        inside = state(ring)
        for _ in range(2):
            with pytest.raises(EndpointBusyError, match="holds a block") as caught:
                USES[use](end)
            assert ring.name in str(caught.value)
        with pytest.raises(EndpointBusyError):
            end.close()
        assert state(ring) == inside
    if rank == -1:
        assert ends[0].dequeue(timeout=0) == "one"
        with ends[0].acquire_read(timeout=0):
            pass
    else:
        assert state(ring)[1:] == before[1:], "the message was read, and that is all"
    assert not end.cancel()
    assert_goes_on(ends[-1], ends[0])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("use", ["dequeue", "acquire_read", "recv_bytes", "read"])
@pytest.mark.parametrize("way", ["fast", "slow", "read"])
def test_second_use_during_dequeue_is_refused(use: str, way: str, make_ring: MakeRing) -> None:
    """While the other thread unpickles: what it gets is whole, and the message after it stays."""
    writer, reader = ends_of(make_ring(max_chunk_bytes=128))
    inside, go_on = threading.Event(), threading.Event()

    def stop() -> str:
        inside.set()
        assert go_on.wait(LONG_SECONDS)
        return "one"

    Calling.call = stop
    writer.enqueue(Calling("unpickled"))
    writer.enqueue("two")
    if way == "slow":  # it comes again, and not by the runner's one call
        with pytest.raises(ZeroDivisionError), reader.acquire_read(timeout=0):
            raise ZeroDivisionError
        with pytest.raises(FrameError):
            reader.recv_bytes(timeout=0)
    thread = Background(lambda: reader.read().__enter__() if way == "read" else reader.dequeue())
    assert inside.wait(LONG_SECONDS)
    with pytest.raises(EndpointBusyError, match="in another call"):
        USES[use](reader)
    go_on.set()
    if way == "read":
        assert thread.outcome() == "one"
        leave(reader)
        assert reader.dequeue(timeout=0) == "two"
        assert_goes_on(writer, reader)
        return
    assert thread.outcome() == "one"
    assert reader.dequeue(timeout=0) == "two"
    assert_goes_on(writer, reader)


@pytest.mark.parametrize(("rank", "use"), SIDES)
def test_second_use_while_waiting_is_refused(rank: int, use: str, make_ring: MakeRing, waiting: threading.Event) -> None:
    ring = make_ring(max_chunks=1)
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    if rank == -1:
        ends[-1].enqueue("one")
    thread = Background(lambda: ends[-1].enqueue("two") if rank == -1 else ends[0].dequeue())
    assert waiting.wait(LONG_SECONDS)
    with pytest.raises(EndpointBusyError, match="in another call"):
        USES[use](ends[rank])
    if rank == -1:
        assert ends[0].dequeue() == "one"
        thread.outcome()
        assert ends[0].dequeue(timeout=0) == "two"
    else:
        ends[-1].enqueue("two")
        assert thread.outcome() == "two"
    assert_goes_on(ends[-1], ends[0])


# Closing.


def test_closed_endpoint_refuses_and_leaves_the_others_alone(make_ring: MakeRing) -> None:
    ring = make_ring(2)
    writer, reader, other = ends_of(ring)
    writer.enqueue("one")
    with reader:
        assert reader.dequeue(timeout=0) == "one"
    for use in (reader.dequeue, reader.acquire_read, reader.__enter__):
        with pytest.raises(ClosedError, match="reader 0"):
            use()
    reader.close()
    assert other.dequeue(timeout=0) == "one"
    hold = writer.acquire_write()
    writer.close()
    with pytest.raises(ClosedError, match="the writer"):
        hold.__enter__()
    with pytest.raises(ClosedError, match="the writer"):
        writer.enqueue(1)
    ring.check_open()


def asleep(make_ring: MakeRing, rank: int, use: str) -> tuple[dict[int, ShmRingBufferIO], Background]:
    """Two ends of a ring, and the call of one of them, in another thread, that sleeps because its block is busy."""
    ring = make_ring(max_chunks=1)
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    if rank == -1:
        ends[-1].enqueue("one")
    thread = Background(lambda: USES[use](ends[rank]))
    lies_down(ring, rank)
    return ends, thread


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("what", ["endpoint", "ring"])
@pytest.mark.parametrize(("rank", "use"), WAITING)
def test_close_wakes_a_waiter(rank: int, use: str, what: str, make_ring: MakeRing) -> None:
    ends, thread = asleep(make_ring, rank, use)
    ring = ends[rank].buffer
    (ends[rank] if what == "endpoint" else ring).close()
    with pytest.raises(ClosedError, match=f"of ring {ring.name} was closed, by another thread .* while a call on it waited"):
        thread.outcome()
    ring.close()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("rank", "use"), WAITING)
def test_other_side_wakes_a_waiter(rank: int, use: str, make_ring: MakeRing) -> None:
    """No slice of its sleep has to end for that: it would not in the time that this test has."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(waiter, "SLICE_SECONDS", 100 * LONG_SECONDS)
        ends, thread = asleep(make_ring, rank, use)
        if rank == -1:
            assert ends[0].dequeue(timeout=0) == "one"
        else:
            ends[-1].send_bytes(b"two", timeout=0)
        found = thread.outcome()
    if rank == 0:
        assert bytes(found)[:3] == b"two"
    del found, thread
    leave(ends[rank])
    assert ends[rank].buffer.flags(0) == (b"\1\0" if rank == -1 else b"\1\1")


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("rank", "use"), WAITING)
def test_cancel_ends_a_wait_and_changes_nothing(rank: int, use: str, make_ring: MakeRing) -> None:
    ends, thread = asleep(make_ring, rank, use)
    before = state(ends[rank].buffer)
    assert ends[rank].cancel()
    with pytest.raises(WaitCancelledError, match=r"cancelled: .* for block 0") as caught:
        thread.outcome()
    assert isinstance(caught.value, InterruptedError)
    assert state(ends[rank].buffer) == before
    for end in ends.values():
        assert not end.cancel(), "there is no call"
    if rank == -1:
        assert ends[0].dequeue(timeout=0) == "one"
    assert_goes_on(ends[-1], ends[0])


@needs_total_store_order
@pytest.mark.parametrize("use", ["dequeue", "recv_bytes", "read"])
def test_cancel_is_not_lost_where_a_part_of_a_message_comes(
    use: str, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come while the call looks again by the clock, which is then the call's that waits for the rest."""
    monkeypatch.setenv(VARIABLE, PYTHON)
    ring = make_ring(1, 64, 1)
    writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(ring, 0, waiting=WaitOptions(0, YIELD_SECONDS_MAX))
    told: list[bool] = []

    def other_thread() -> None:
        if not told:
            told.append(reader.cancel())
            with pytest.raises(WaitTimeoutError):
                writer.send_bytes(bytes(65), timeout=0)

    monkeypatch.setattr(python_runner, "_yield", other_thread)
    with pytest.raises(WaitCancelledError):
        getattr(reader, use)(timeout=LONG_SECONDS).__enter__()
    assert told == [True]
    assert not reader.cancel()
    thread = Background(writer.resume)
    assert reader.recv_bytes(timeout=LONG_SECONDS) == bytes(65)
    assert thread.outcome()
    assert_goes_on(writer, reader)


def test_cancel_of_no_call_ends_no_later_one(make_ring: MakeRing) -> None:
    ends, thread = asleep(make_ring, 0, "dequeue")
    assert ends[0].cancel()
    with pytest.raises(WaitCancelledError):
        thread.outcome()
    for _ in range(2):
        with pytest.raises(WaitTimeoutError):
            ends[0].dequeue(timeout=0)
        assert not ends[0].cancel()
    ends[0].close()
    assert not ends[0].cancel()


def test_cancel_in_the_middle_of_a_large_message_leaves_it_unfinished(make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=2)
    writer, reader = ends_of(ring)
    data = bytes(range(250)) * 2
    thread = Background(lambda: writer.send_bytes(data))
    lies_down(ring, -1)
    assert writer.cancel()
    with pytest.raises(WaitCancelledError) as caught:
        thread.outcome()
    assert (caught.value.sent_bytes, caught.value.total_bytes) == (128, 500)
    thread = Background(reader.recv_bytes)
    lies_down(ring, 0)
    assert reader.cancel()
    with pytest.raises(WaitCancelledError):
        thread.outcome()
    thread = Background(writer.resume)
    assert reader.recv_bytes(timeout=LONG_SECONDS) == data
    assert thread.outcome()
    assert_goes_on(writer, reader)


def test_close_during_a_call_can_be_done_again(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that does not end keeps the endpoint from closing; once it has ended, closing lets go of the memory."""
    monkeypatch.setattr(usage, "LEAVE_SECONDS", 0.01)
    ring = make_ring()
    writer, reader = ends_of(ring)
    inside, go_on = threading.Event(), threading.Event()

    def stop() -> str:
        inside.set()
        assert go_on.wait(LONG_SECONDS)
        return "one"

    Calling.call = stop
    writer.enqueue(Calling("unpickled"))
    thread = Background(reader.dequeue)
    assert inside.wait(LONG_SECONDS)
    assert not reader.cancel(), "it does not wait, and will not come to wait"
    for close in (reader.close, ring.close):
        with pytest.raises(EndpointBusyError, match="inside a call"):
            close()
    go_on.set()
    assert thread.outcome() == "one"
    reader.close()
    ring.close()


@pytest.mark.parametrize("what", ["endpoint", "ring"])
def test_close_while_an_object_is_encoded_refuses_it(what: str, make_ring: MakeRing) -> None:
    """Pickling takes long, so another thread may well close in the meantime; here the object itself does."""
    ring = make_ring()
    writer, _ = ends_of(ring)
    Calling.call = writer.close if what == "endpoint" else ring.close
    with pytest.raises(ClosedError, match=ring.name):
        writer.enqueue(Calling("pickled"))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("rank", "use"), AT_ONCE)
def test_close_while_arguments_are_checked_refuses_them(rank: int, use: str, make_ring: MakeRing) -> None:
    """The other thread's ``close`` may come at any call that the method makes; here it comes at the first of them."""
    ring = make_ring()
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    ends[-1].send_bytes(b"one")
    before = state(ring)

    def closing(method: str) -> Callable[..., Any]:
        def close_then_compare(*arguments: object) -> Any:
            ends[rank].close()
            return getattr(float, method)(*arguments)

        return close_then_compare

    comparisons = ("__lt__", "__le__", "__gt__", "__ge__", "__float__")
    closing_number = type("closing_number", (float,), {method: closing(method) for method in comparisons})
    with pytest.raises(ClosedError, match=ring.name):
        at_once(ends[rank], use, closing_number(0))
    assert state(ring) == before


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("rank", [-1, 0])
def test_call_that_found_it_open_does_nothing_once_it_is_being_closed(
    rank: int, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread can be held up just before it runs the rows, until another gives the role up, or longer."""
    ring = make_ring()
    ends = dict(zip((-1, 0), ends_of(ring), strict=True))
    if rank == 0:
        with pytest.raises(WaitTimeoutError):
            ends[0].recv_bytes(timeout=0)
        ends[-1].send_bytes(b"opens the fast way")
        assert ends[0].recv_bytes(timeout=0) == b"opens the fast way"
        assert ends[0]._runner.result == WAIT, "the last that the runner said"
    ends[-1].send_bytes(b"one")
    end, runner, give_up = ends[rank], ends[rank]._runner, participants.Role.leave
    send, objects, messages = end._send, end._objects, end._messages
    came: list[object] = []

    def leave_later(role: participants.Role) -> None:
        before = state(ring), runner.done()
        if rank == -1:
            came.append(send(BYTES, b"two", None))
        else:
            for fast in (objects, messages, map(runner.receive, (None,), (0,))):
                came.extend((list(fast), runner.result))
        came.append(runner.seek(0, 0.0))
        assert (state(ring), runner.done()) == before
        give_up(role)

    monkeypatch.setattr(participants.Role, "leave", leave_later)
    end.close()
    assert came == [*([BUSY] if rank == -1 else 3 * [[], BUSY]), BUSY]
    assert runner.in_use
    end.close()
    assert len(came) == (2 if rank == -1 else 7)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("rank", "use"), AT_ONCE)
def test_call_that_was_held_up_before_its_rows_says_that_it_was_closed(rank: int, use: str, make_ring: MakeRing) -> None:
    """It finds out by the rows that do not run, and tests nothing itself, so another thread can close it up to there."""
    ring = make_ring()
    ends = dict(zip((-1, 0), ends_of(ring), strict=True))
    ends[-1].send_bytes(b"one")
    end, send, objects, before = ends[rank], ends[rank]._send, ends[rank]._objects, state(ring)
    came: list[object] = []

    def send_later(*arguments: object) -> int:
        end.close()
        came.append(send(*arguments))
        return BUSY

    def receive_later() -> Iterator[object]:
        end.close()
        came.extend(objects)
        yield from ()

    if rank == -1:
        end._send = send_later
    else:
        end._objects = end._messages = receive_later()
    with pytest.raises(ClosedError, match=f"of ring {ring.name} is closed"):
        at_once(end, use, None)
    assert came == ([BUSY] if rank == -1 else [])
    assert state(ring) == before


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("rank", "on"), [(0, "decodes"), (0, "decodes slowly"), (0, "waits"), (-1, "waits")])
def test_close_that_a_call_has_refused_shuts_the_endpoint_all_the_same(
    rank: int, on: str, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other call goes on to its end, which opens nothing; from then on it remains to be closed, and nothing else."""
    monkeypatch.setattr(usage, "LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(waiter, "SLICE_SECONDS", 100 * LONG_SECONDS)  # the call does not look round
    ring = make_ring(max_chunks=2)
    ends = dict(zip((-1, 0), ends_of(ring), strict=True))
    end, inside, go_on = ends[rank], threading.Event(), threading.Event()

    def stop() -> str:
        inside.set()
        assert go_on.wait(LONG_SECONDS)
        return "one"

    def assert_shut() -> None:
        before = state(ring), end._runner.done()
        for use in (use for one, use in SIDES if one == rank):
            with pytest.raises(ClosedError, match=f"of ring {ring.name} is closed"):
                USES[use](end)
        for use in (use for one, use in AT_ONCE if one == rank):
            with pytest.raises(ClosedError, match=f"of ring {ring.name} is closed"):
                at_once(end, use, 0)
        assert (state(ring), end._runner.done()) == before

    if on == "waits":
        monkeypatch.setattr(end._waiter, "rouse", lambda: None)
        if rank == -1:
            for message in (b"0", b"1"):
                end.send_bytes(message)
        thread = Background(lambda: end.send_bytes(b"2") if rank == -1 else end.recv_bytes())
        lies_down(ring, rank)
    else:
        Calling.call = stop
        ends[-1].enqueue(Calling("unpickled"))
        if on == "decodes slowly":
            end._objects = end._messages = NOTHING
        thread = Background(end.dequeue)
        assert inside.wait(LONG_SECONDS)
    with pytest.raises(EndpointBusyError, match="still inside a call"):
        end.close()
    assert_shut()
    go_on.set()
    if on == "waits":
        if rank == -1:
            assert ends[0].recv_bytes(timeout=0) == b"0"
        else:
            ends[-1].send_bytes(b"one")
    assert thread.outcome() == (None if rank == -1 else b"one" if on == "waits" else "one")
    if rank == -1:
        assert [ends[0].recv_bytes(timeout=0) for _ in range(2)] == [b"1", b"2"]
    else:
        ends[-1].send_bytes(b"not received")
    assert_shut()
    end.close()
    assert end._is_closed


@needs_total_store_order
def test_call_that_comes_just_before_another_keeps_it_out(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython can give its lock away where a function is entered, so also where the runner is asked whether it is in use."""
    monkeypatch.setenv(VARIABLE, PYTHON)
    _, reader = ends_of(make_ring())
    runner: Any = reader._runner
    is_inside = runner._is_inside

    def is_inside_later() -> Any:
        runner._is_inside = is_inside
        reader._enter("the call of another thread")
        return is_inside()

    runner._is_inside = is_inside_later
    with pytest.raises(EndpointBusyError):
        reader.dequeue(timeout=0)
    reader._in_use = runner.is_in_use = False


@pytest.mark.parametrize("rank", [-1, 0])
def test_cancel_reaches_a_call_that_still_looks_again(rank: int, make_ring: MakeRing) -> None:
    """It has not come to the slow way yet (or just so): it gives the processor away between two looks."""
    ring = make_ring(max_chunks=1)
    ends = {one: ShmRingBufferIO(ring, one, waiting=WaitOptions(yield_seconds=YIELD_SECONDS_MAX)) for one in (-1, 0)}
    if rank == -1:
        ends[-1].send_bytes(b"one")
    thread = Background(lambda: ends[-1].send_bytes(b"two") if rank == -1 else ends[0].recv_bytes())
    until = time.monotonic() + LONG_SECONDS
    while not ends[rank].cancel():
        assert time.monotonic() < until
    with pytest.raises(WaitCancelledError):
        thread.outcome()
    assert not ends[rank].cancel()
