"""One use of an endpoint at a time, and none after ``close``: what is refused changes nothing, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import LONG_SECONDS, Background, Calling, MakeRing, assert_goes_on, ends_of, held, state

from ringbuffer import ShmRingBufferIO, endpoint
from ringbuffer.errors import ClosedError, EndpointBusyError

USES: dict[str, Callable[[ShmRingBufferIO], object]] = {
    "enqueue": lambda end: end.enqueue("other"),
    "acquire_write": lambda end: end.acquire_write().__enter__(),
    "dequeue": lambda end: end.dequeue(),
    "acquire_read": lambda end: end.acquire_read().__enter__(),
}
SIDES = [(-1, "enqueue"), (-1, "acquire_write"), (0, "dequeue"), (0, "acquire_read")]


@pytest.mark.parametrize("where", ["nested", "other thread"])
@pytest.mark.parametrize(("rank", "use"), SIDES)
def test_second_use_of_a_held_block_changes_nothing(rank: int, use: str, where: str, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    ends[-1].enqueue("one")
    end, before = ends[rank], state(ring)
    acquire = end.acquire_write if rank == -1 else end.acquire_read
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
    assert_goes_on(ends[-1], ends[0])


@pytest.mark.parametrize("use", ["dequeue", "acquire_read"])
def test_second_use_during_dequeue_is_refused(use: str, make_ring: MakeRing) -> None:
    """While the other thread unpickles: what it gets is whole, and the message after it stays."""
    writer, reader = ends_of(make_ring())
    inside, leave = threading.Event(), threading.Event()

    def stop() -> str:
        inside.set()
        assert leave.wait(LONG_SECONDS)
        return "one"

    Calling.call = stop
    writer.enqueue(Calling("unpickled"))
    writer.enqueue("two")
    thread = Background(reader.dequeue)
    assert inside.wait(LONG_SECONDS)
    with pytest.raises(EndpointBusyError, match="in another call"):
        USES[use](reader)
    leave.set()
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


@pytest.mark.parametrize("what", ["endpoint", "ring"])
@pytest.mark.parametrize(("rank", "use"), SIDES)
def test_close_wakes_a_waiter(rank: int, use: str, what: str, make_ring: MakeRing, waiting: threading.Event) -> None:
    ring = make_ring(max_chunks=1)
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    if rank == -1:
        ends[-1].enqueue("one")
    thread = Background(lambda: USES[use](ends[rank]))
    assert waiting.wait(LONG_SECONDS)
    (ends[rank] if what == "endpoint" else ring).close()
    with pytest.raises(ClosedError, match=ring.name):
        thread.outcome()
    ring.close()


def test_close_during_a_call_can_be_done_again(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that does not end keeps the endpoint from closing; once it has ended, closing lets go of the memory."""
    monkeypatch.setattr(endpoint, "LEAVE_SECONDS", 0.01)
    ring = make_ring()
    writer, reader = ends_of(ring)
    inside, leave = threading.Event(), threading.Event()

    def stop() -> str:
        inside.set()
        assert leave.wait(LONG_SECONDS)
        return "one"

    Calling.call = stop
    writer.enqueue(Calling("unpickled"))
    thread = Background(reader.dequeue)
    assert inside.wait(LONG_SECONDS)
    for close in (reader.close, ring.close):
        with pytest.raises(EndpointBusyError, match="inside a call"):
            close()
    leave.set()
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


@pytest.mark.parametrize(("rank", "use"), [(-1, "enqueue"), (0, "dequeue")])
def test_close_while_arguments_are_checked_refuses_them(rank: int, use: str, make_ring: MakeRing) -> None:
    """The other thread's ``close`` may come at any call that the method makes; here it comes at the first of them."""
    ring = make_ring()
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    ends[-1].enqueue("one")

    def closing(method: str) -> Callable[..., Any]:
        def close_then_compare(*arguments: object) -> Any:
            ends[rank].close()
            return getattr(float, method)(*arguments)

        return close_then_compare

    comparisons = ("__lt__", "__le__", "__gt__", "__ge__", "__float__")
    closing_number = type("closing_number", (float,), {method: closing(method) for method in comparisons})
    arguments: tuple[object, ...] = ("two",) if rank == -1 else ()
    with pytest.raises(ClosedError, match=ring.name):
        getattr(ends[rank], use)(*arguments, timeout=closing_number(0))
