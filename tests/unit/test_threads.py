"""Two threads on one endpoint, without a lock: each message goes to one of them, or is sent by one of them, once and in order.

What the second thread does, it does at each of the places at which CPython can give it the lock of the interpreter, one after
the other (``interrupting.py``). No thread is started, and nothing depends on time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from interrupting import sweep, untraced
from support import MakeRing, ends_of

from ringbuffer import ShmRingBufferIO
from ringbuffer.errors import DecodeError, EndpointBusyError, WaitTimeoutError

ON_BOTH = pytest.mark.usefixtures("backend")
LIMIT_BYTES = 300
TAKES: dict[str, Callable[[ShmRingBufferIO], Any]] = {
    "dequeue": lambda reader: reader.dequeue(timeout=0),
    "recv_bytes": lambda reader: reader.recv_bytes(timeout=0),
}
MEETS = {"small": (), "array": ("find_whole", "found_message", "forget"), "large": ("_receive_slowly", "lend", "forget")}


def sent_as(number: int, size: str) -> bytes:
    return str(number).encode().rjust(LIMIT_BYTES * 2 if size == "large" else 8)


def drained(take: Callable[[], Any]) -> list[Any]:
    """Whatever is still to be received."""
    found = []
    while True:
        try:
            found.append(take())
        except WaitTimeoutError:
            return found


@ON_BOTH
@pytest.mark.parametrize(("call", "size"), [*((call, "small") for call in TAKES), ("dequeue", "array"), ("dequeue", "large")])
def test_no_message_is_given_to_two_threads(call: str, size: str, make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=LIMIT_BYTES, max_chunks=8))
    to_other: list[Any] = []
    refused: list[str] = []

    def take(into: list[Any]) -> None:
        try:
            into.append(TAKES[call](reader))
        except EndpointBusyError as error:
            refused.append(str(error))

    def meanwhile() -> None:
        take(to_other)

    numbers = itertools.count()

    def both() -> list[Any]:
        mine: list[Any] = []
        take(mine)
        return mine

    due: list[bytes] = []

    def send() -> None:
        writer.enqueue(b"warm", timeout=0)
        assert TAKES[call](reader) == b"warm", "after this, the fast way is open"
        due[:] = [sent_as(next(numbers), size) for _ in range(3)]
        for one in due:
            writer.enqueue(np.frombuffer(one, "u1") if size == "array" else one, timeout=0)

    send()
    taken_by_other = 0
    for outcome in sweep(both, call, *MEETS[size], meanwhile=meanwhile):
        assert outcome.returned, "who comes first goes on"
        rest = drained(lambda: TAKES[call](reader))
        assert sorted(map(bytes, outcome.value + to_other + rest)) == due, (
            f"each once; the other thread came at {outcome.place}"
        )
        taken_by_other += len(to_other)
        to_other.clear()
        send()
    assert taken_by_other, "the other thread has had its turn"
    if size != "small":
        assert all("each thread needs a rank of its own" in text for text in refused)
        assert refused


class Stubborn:
    """What cannot be unpickled, and ends the iteration of whoever does not look closely."""

    def __reduce__(self) -> tuple[object, ...]:
        return next, (iter(()),)


@ON_BOTH
def test_message_that_cannot_be_decoded_is_told_to_one_thread(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=LIMIT_BYTES, max_chunks=4))
    told: list[str] = []

    def take(who: str) -> None:
        try:
            told.append(f"{who} got {reader.dequeue(timeout=0)}")
        except DecodeError:
            told.append(f"{who} was told")
        except EndpointBusyError:
            pass

    def send() -> None:
        writer.enqueue("warm", timeout=0)
        assert reader.dequeue(timeout=0) == "warm", "after this, the fast way is open"
        writer.enqueue(Stubborn(), timeout=0)
        writer.enqueue("next", timeout=0)

    send()
    for outcome in sweep(lambda: take("one"), "dequeue", "lend", meanwhile=lambda: take("other")):
        while len(told) < 2:
            take("one")
        assert sorted(text.partition(" ")[2] for text in told) == ["got next", "was told"], outcome.place
        with pytest.raises(WaitTimeoutError):
            reader.dequeue(timeout=0)
        told.clear()
        send()


@ON_BOTH
@pytest.mark.parametrize("size", ["small", "large"])
def test_no_message_is_sent_twice_or_torn_by_two_threads(size: str, make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=LIMIT_BYTES, max_chunks=8))
    numbers = itertools.count()
    sent: list[bytes] = []

    def send() -> None:
        one = sent_as(next(numbers), size)
        try:
            writer.enqueue(one, timeout=0)
        except EndpointBusyError:
            return
        sent.append(one)

    met = 0
    for outcome in sweep(send, "enqueue", meanwhile=lambda: untraced(send)):
        met += len(sent) == 2
        assert sorted(drained(lambda: reader.dequeue(timeout=0))) == sorted(sent), outcome.place
        assert sent, "one of the two is sent"
        sent.clear()
    assert met, "the other thread has had its turn"
