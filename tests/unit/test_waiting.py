"""Waiting: how a waiter pauses, when its time is up, and what it then says and leaves as it was."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support import MakeRing, ends_of

from ringbuffer import ShmRingBuffer, ShmRingBufferIO, endpoint
from ringbuffer.endpoint import waiter
from ringbuffer.errors import RingBufferError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE, PYTHON
from ringbuffer.memory.participants import Role
from ringbuffer.protocol import ORIGINAL
from ringbuffer.waiting import (
    NAP_SECONDS,
    SLICE_SECONDS,
    SPIN_COUNT_MAX,
    WARNING_INTERVAL_DEFAULT_SECONDS,
    WARNING_INTERVAL_VARIABLE,
    YIELD_SECONDS_MAX,
    WaitOptions,
    check_timeout,
    warning_interval_seconds,
)

BAD_TIMEOUTS = [True, False, -1, -0.001, math.nan, -math.inf, "1", b"1", [], (1,), object(), 1j, 10**400]
CALLS: dict[str, Callable[[ShmRingBufferIO, Any], object]] = {
    "enqueue": lambda end, timeout: end.enqueue("not sent", timeout=timeout),
    "acquire_write": lambda end, timeout: end.acquire_write(timeout=timeout).__enter__(),
    "dequeue": lambda end, timeout: end.dequeue(timeout=timeout),
    "acquire_read": lambda end, timeout: end.acquire_read(timeout=timeout).__enter__(),
    "broadcast_object": lambda end, timeout: end.broadcast_object("not sent", timeout=timeout),
    "send_bytes": lambda end, timeout: end.send_bytes(b"not sent", timeout=timeout),
    "recv_bytes": lambda end, timeout: end.recv_bytes(timeout=timeout),
    "read": lambda end, timeout: end.read(timeout=timeout).__enter__(),
}
WRITING = ("enqueue", "send_bytes", "acquire_write", "broadcast_object")
READING = ("dequeue", "recv_bytes", "read", "acquire_read", "broadcast_object")
SIDES = [*((-1, call) for call in WRITING), *((0, call) for call in READING)]
DEFAULT_SPIN_COUNTS = {NATIVE: 10, PYTHON: 0}


@dataclass
class Clock:
    """A clock that moves by ``tick`` at each look at it, and as long as somebody sleeps.

    Sleeping is an endpoint's own ``rest``, of which only the time is left out: ``on_rest`` is called instead, if it is set.
    """

    now: float = 1000.0
    tick: float = 0.0
    looks: int = 0
    on_rest: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        self.slept: list[float] = []
        self.sought: list[tuple[int, float]] = []

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.on_rest is not None:
            self.on_rest()

    def govern(self, end: ShmRingBufferIO) -> None:
        """Let the endpoint's waits take their time from here, and count its looks. The runner by itself does not wait."""
        end._runner.yield_seconds = 0.0
        end._waiter._runner = Governed(end._waiter._runner, self)  # type: ignore[assignment]


class Governed:
    """A runner whose sleeps take no time."""

    def __init__(self, runner: Any, clock: Clock) -> None:
        vars(self).update(_runner=runner, _clock=clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._runner, name, value)

    def begin(self) -> int:
        self._clock.looks += 1
        found: int = self._runner.begin()
        return found

    def seek(self, spin_count: int, yield_seconds: float, is_callers: bool = False) -> int:
        self._clock.sought.append((spin_count, yield_seconds))
        found: int = self._runner.seek(0, 0.0, is_callers)
        return found

    def rest(self, timeout_seconds: float) -> int:
        self._clock.sleep(timeout_seconds)
        found: int = self._runner.rest(0)
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiter, "_monotonic", clock.monotonic)
    monkeypatch.setattr(waiter, "time", clock)
    monkeypatch.setattr(endpoint, "_monotonic", clock.monotonic)
    return clock


@pytest.mark.parametrize(("spin_count", "yields"), [(0, 0), (20, 0), (0, 7), (3, 5)])
def test_waiter_looks_again_then_yields_then_sleeps(spin_count: int, yields: int, clock: Clock, make_ring: MakeRing) -> None:
    """How often and how long, says who makes the endpoint; the runner does it (test_runner.py)."""
    ring = make_ring()
    writer = ShmRingBufferIO(ring, -1)
    options = WaitOptions(spin_count=spin_count, yield_seconds=yields * 1e-6)
    reader = ShmRingBufferIO(ring, 0, waiting=options)
    clock.govern(reader)
    before: list[list[tuple[int, float]]] = []

    def send() -> None:
        before.append(list(clock.sought))
        writer.enqueue("one", timeout=0)

    clock.on_rest = send
    assert reader.dequeue() == "one"
    assert len(before) == 1
    assert all(sought == pytest.approx((spin_count, yields * 1e-6)) for sought in before[0])
    assert before[0]
    assert clock.slept == [pytest.approx(SLICE_SECONDS)]


@pytest.mark.parametrize("rank", [-1, 0])
def test_what_the_runner_has_looked_for_is_not_looked_for_again(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=1)
    ends = {one: ShmRingBufferIO(ring, one, waiting=WaitOptions(7, 1e-6)) for one in (-1, 0)}
    end, runner = ends[rank], ends[rank]._runner
    if rank == -1:
        ends[-1].enqueue("one")
    assert (runner.spin_count, runner.yield_seconds) == (7, 1e-6)
    clock = Clock()
    end._waiter._runner = Governed(runner, clock)  # type: ignore[assignment]
    before = time.monotonic()
    with pytest.raises(WaitTimeoutError) as caught:
        end.broadcast_object("two", timeout=1e-3)
    assert (clock.sought, clock.looks > 0, runner.has_sought) == ([], True, False)
    assert before <= runner.began <= time.monotonic() - caught.value.waited_seconds + 1e-3
    with pytest.raises(WaitTimeoutError):
        end.broadcast_object("two", timeout=0)
    assert ([count for count, _ in clock.sought], runner.has_sought) == ([7], False)


def test_time_of_a_read_is_counted_from_when_the_runner_has_looked_for_its_first_part(make_ring: MakeRing) -> None:
    """The runner looks, and then the part comes. For the next part the endpoint looks again, as nobody has done that yet."""
    writer, reader = ends_of(make_ring(1, 64, 1))
    runner, clock = reader._runner, Clock()
    runner.spin_count, runner.yield_seconds = 7, 1e-6

    class Late(Governed):
        def whole(self, timeout: float | None) -> int:
            found = runner.whole(timeout)
            assert (found, runner.has_sought) == (-1, True)
            with pytest.raises(WaitTimeoutError):
                writer.send_bytes(bytes(65), timeout=0)
            return found

    reader._inbox._runner = Late(runner, clock)  # type: ignore[assignment]
    reader._waiter._runner = Governed(runner, clock)  # type: ignore[assignment]
    with pytest.raises(WaitTimeoutError), reader.read(timeout=1e-3):
        pass
    assert reader._waiter.began == runner.began
    assert [count for count, _ in clock.sought] == [7]


def test_sleep_is_in_slices_and_no_longer_than_what_is_left(clock: Clock, make_ring: MakeRing) -> None:
    _, reader = ends_of(make_ring())
    clock.govern(reader)
    with pytest.raises(WaitTimeoutError) as caught:
        reader.dequeue(timeout=2.5 * SLICE_SECONDS)
    assert clock.slept == [pytest.approx(SLICE_SECONDS)] * 2 + [pytest.approx(SLICE_SECONDS / 2, abs=0.001)]
    assert caught.value.waited_seconds == pytest.approx(2.5 * SLICE_SECONDS)
    clock.slept.clear()
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=0)
    assert clock.slept == []


def test_table_in_which_nobody_lies_down_naps(clock: Clock, make_ring: MakeRing) -> None:
    _, reader = ends_of(make_ring(protocol=ORIGINAL))
    assert not reader._runner.can_rest
    clock.govern(reader)
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=10.2 * NAP_SECONDS)
    assert clock.slept[:-1] == [pytest.approx(NAP_SECONDS)] * (len(clock.slept) - 1)
    assert len(clock.slept) == pytest.approx(10, abs=1)


def test_waiter_says_since_when_it_waits_and_no_longer_than_it_does(clock: Clock, make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    clock.govern(reader)
    role = Role(ring.segment, 0)
    said: list[int] = []

    def send() -> None:
        said.append(role.entry().waiting_since)
        writer.enqueue("one", timeout=0)

    clock.on_rest = send
    assert reader.dequeue() == "one"
    assert said == [pytest.approx(1e9 * 1000, abs=1e6)]
    assert role.entry().waiting_since == 0
    clock.on_rest = lambda: said.append(role.entry().waiting_since)
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=0.01)
    assert said[-1] > said[0]
    assert role.entry().waiting_since == 0
    role.release()


@pytest.mark.parametrize("options", [{"spin_count": -1}, {"spin_count": 1.5}, {"spin_count": True}, {"spin_count": "10"}])
@pytest.mark.parametrize("also", [{}, {"yield_seconds": 0.0}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any], also: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="spin_count"):
        WaitOptions(**options, **also)


@pytest.mark.parametrize("value", [*(value for value in [-1, math.nan, "1", None])], ids=repr)
def test_window_that_cannot_be_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="yield_seconds"):
        WaitOptions(yield_seconds=value)


@pytest.mark.parametrize("timeout", [None, 0, 0.0, 1, 2.5, math.inf, 1e300])
def test_seconds_or_none_are_timeouts(timeout: float | None) -> None:
    check_timeout(timeout)


@pytest.mark.parametrize("timeout", BAD_TIMEOUTS, ids=lambda timeout: repr(timeout)[:8])
def test_anything_else_is_not(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        check_timeout(timeout)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.25", 0.25),
        (" 3 ", 3.0),
        ("inf", math.inf),
        *((text, WARNING_INTERVAL_DEFAULT_SECONDS) for text in ("", "0", "-1", "nan", "soon", "1s")),
    ],
)
def test_warning_interval_is_the_environments(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WARNING_INTERVAL_VARIABLE, text)
    assert warning_interval_seconds() == seconds
    monkeypatch.delenv(WARNING_INTERVAL_VARIABLE)
    assert warning_interval_seconds() == WARNING_INTERVAL_DEFAULT_SECONDS == 60.0


# At an endpoint.


def busy_ring(make_ring: MakeRing, rank: int) -> tuple[ShmRingBuffer, dict[int, ShmRingBufferIO]]:
    """A ring with three readers on which ``rank`` has to wait: for block 1, as one lap and one message have gone by.

    The writer waits for readers 0 and 2; reader 0 for the writer.
    """
    ring = make_ring(3, max_chunks=2)
    ends = {end.reader_rank: end for end in ends_of(ring)}
    for number in range(3):
        ends[-1].enqueue(number)
        for reader in range(3):
            assert ends[reader].dequeue(timeout=0) == number
    if rank == -1:
        for number in range(2):
            ends[-1].enqueue(number)
            assert ends[1].dequeue(timeout=0) == number
    return ring, ends


def assert_sequence_goes_on(ends: dict[int, ShmRingBufferIO], rank: int) -> None:
    """Each reader gets what was sent and not yet read, and then what is sent now; nothing of the call that failed."""
    readers = [ends[reader] for reader in range(3)]
    if rank == -1:
        for reader in (ends[0], ends[2]):
            assert [reader.dequeue(timeout=0) for _ in range(2)] == [0, 1]
    for number in range(4):
        ends[-1].enqueue(("on", number), timeout=0)
        assert [reader.dequeue(timeout=0) for reader in readers] == 3 * [("on", number)]


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01])
@pytest.mark.parametrize(("rank", "call"), SIDES)
def test_time_out_says_all_and_changes_nothing(rank: int, call: str, timeout: float, make_ring: MakeRing) -> None:
    ring, ends = busy_ring(make_ring, rank)
    before = [ring.flags(block) for block in range(2)]
    for _ in range(3):
        with pytest.raises(WaitTimeoutError) as caught:
            CALLS[call](ends[rank], timeout)
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert isinstance(error, RingBufferError)
        assert (error.side, error.rank, error.pid) == ("writer" if rank == -1 else "reader", rank, os.getpid())
        block = (error.block_index, error.case, error.missing_ranks)
        assert block == ((1, 3, (0, 2)) if rank == -1 else (1, 4, ()))
        assert error.waited_seconds >= timeout
        who = f"{'the writer' if rank == -1 else 'reader 0'} (pid {os.getpid()}) of ring {ring.name}"
        assert str(error).startswith(f"timed out: {who} has waited ")
        assert f"for block 1 (case {error.case})" in str(error)
        assert ("reader ranks 0, 2" in str(error)) is (rank == -1)
        assert [ring.flags(block) for block in range(2)] == before
    assert_sequence_goes_on(ends, rank)


def test_time_out_takes_its_time(clock: Clock, make_ring: MakeRing) -> None:
    """On a clock of the test's own: not before the time is up, and not much later."""
    _, reader = ends_of(make_ring())
    clock.govern(reader)
    clock.tick = 1e-6
    started = clock.now
    with pytest.raises(WaitTimeoutError) as caught:
        reader.dequeue(timeout=1.5)
    assert 1.5 <= caught.value.waited_seconds < 1.501
    assert clock.now - started == pytest.approx(1.5, abs=0.001)


@pytest.mark.parametrize("rank", [-1, 0])
def test_block_that_comes_in_the_last_sleep_is_taken(rank: int, clock: Clock, make_ring: MakeRing) -> None:
    """The time is up when the endpoint wakes, but a last look finds the block."""
    writer, reader = ends_of(make_ring(max_chunks=1))
    if rank == -1:
        writer.enqueue("early")

    def come() -> None:
        clock.now += 10.0
        if rank == -1:
            assert reader.dequeue(timeout=0) == "early"
        else:
            writer.enqueue("late")

    end = writer if rank == -1 else reader
    clock.govern(end)
    clock.on_rest = come
    end.broadcast_object("late", timeout=1)
    assert len(clock.slept) == 1
    if rank == -1:
        assert reader.dequeue(timeout=0) == "late"


@pytest.mark.parametrize("timeout", BAD_TIMEOUTS, ids=lambda timeout: repr(timeout)[:8])
@pytest.mark.parametrize(("rank", "call"), SIDES)
def test_bad_timeout_is_refused_and_changes_nothing(rank: int, call: str, timeout: Any, make_ring: MakeRing) -> None:
    _, ends = busy_ring(make_ring, rank)
    with pytest.raises(ValueError, match="timeout"):
        CALLS[call](ends[rank], timeout)
    assert_sequence_goes_on(ends, rank)


@pytest.mark.parametrize("rank", [-1, 0])
def test_bad_timeout_is_refused_even_where_there_is_nothing_to_wait_for(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    writer.enqueue("one")
    with pytest.raises(ValueError, match="timeout"):
        CALLS["broadcast_object"]((writer, reader)[rank + 1], -1)
    assert reader.dequeue(timeout=0) == "one"
    assert not ring.flags(1)[0]


@pytest.mark.parametrize(("rank", "call"), SIDES)
def test_long_wait_warns_once_per_interval(
    rank: int, call: str, make_ring: MakeRing, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(WARNING_INTERVAL_VARIABLE, str(3 * SLICE_SECONDS))
    ring, ends = busy_ring(make_ring, rank)
    clock.govern(ends[rank])
    with caplog.at_level(logging.WARNING, "ringbuffer"), pytest.raises(WaitTimeoutError):
        CALLS[call](ends[rank], 10.5 * SLICE_SECONDS)
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert (record.name, record.levelno) == ("ringbuffer", logging.WARNING)
        text = record.getMessage()
        for part in (ring.name, f"pid {os.getpid()}", "block 1"):
            assert part in text
        if rank == -1:
            assert "the writer (pid" in text
            assert "(case 3): not yet read by reader ranks 0, 2" in text
        else:
            assert "reader 0 (pid" in text
            assert "(case 4), which all have read: the writer has not written it again" in text


def test_wait_for_a_later_block_of_a_message_begins_with_it(
    make_ring: MakeRing, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that flows slowly is no long wait: only the time-out is counted from the call on."""
    monkeypatch.setenv(WARNING_INTERVAL_VARIABLE, str(3.5 * SLICE_SECONDS))
    ring = make_ring(max_chunk_bytes=64, max_chunks=1)
    writer, reader = ends_of(ring)
    clock.govern(writer)
    writer.enqueue("one")
    role = Role(ring.segment, -1)
    since: set[int] = set()

    def read_a_block() -> None:
        since.add(role.entry().waiting_since)
        if len(clock.slept) % 2 == 0 and len(clock.slept) <= 10:
            reader._runner.begin()
            reader._runner.finish()

    clock.on_rest = read_a_block
    with caplog.at_level(logging.WARNING, "ringbuffer"), pytest.raises(WaitTimeoutError) as caught:
        writer.send_bytes(bytes(64 * 8), timeout=13 * SLICE_SECONDS)
    role.release()
    assert clock.now == pytest.approx(1000 + 13 * SLICE_SECONDS, abs=0.01)
    assert caught.value.sent_bytes == 64 * 5
    assert not caplog.records
    assert caught.value.waited_seconds == pytest.approx(3 * SLICE_SECONDS, abs=0.01)
    assert len(since) == 6


def test_short_wait_warns_nobody(make_ring: MakeRing, caplog: pytest.LogCaptureFixture) -> None:
    _, reader = ends_of(make_ring())
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=0.01)
    assert not caplog.records


@pytest.mark.parametrize(
    ("rank", "flags", "says"),
    [
        (-1, (1, 0, 0, 0), "(case 2): not yet read by reader ranks 0, 1, 2"),
        (-1, (1, 1, 0, 1), "(case 3): not yet read by reader rank 1"),
        (0, (0, 0, 0, 0), "(case 1): the writer has not published it"),
        (0, (0, 1, 0, 1), "(case 1): the writer has not published it"),
        (0, (1, 1, 0, 0), "(case 3), which it has read: the writer has to wait for reader ranks 1, 2"),
        (0, (1, 1, 0, 1), "(case 3), which it has read: the writer has to wait for reader rank 1"),
        (0, (1, 1, 1, 1), "(case 4), which all have read: the writer has not written it again"),
        (-1, (1, 7, 0, 0), "01 07 00 00 are damaged"),
        (0, (2, 0, 0, 0), "02 00 00 00 are damaged"),
    ],
)
def test_sentence_of_a_waiter_is_that_of_the_flags(rank: int, flags: tuple[int, ...], says: str, make_ring: MakeRing) -> None:
    ring = make_ring(3)
    end = ShmRingBufferIO(ring, rank)
    with ring.segment.flags(0) as view:
        view[:] = bytes(flags)
    assert says in end.describe_wait(1.5)
    assert "1.5 s for block 0" in end.describe_wait(1.5)


@pytest.mark.parametrize(
    ("rank", "flags", "never"),
    [
        (-1, (0, 0, 0, 0), "not yet read by"),
        (-1, (1, 1, 1, 1), "not yet read by"),
        (0, (1, 0, 0, 0), "has read"),
        (0, (1, 0, 1, 0), "has read"),
    ],
)
def test_sentence_is_true_when_the_wait_is_just_over(
    rank: int, flags: tuple[int, ...], never: str, make_ring: MakeRing
) -> None:
    """The flags may change between the last look and the description: then nobody is to be blamed who is done."""
    ring = make_ring(3)
    end = ShmRingBufferIO(ring, rank)
    with ring.segment.flags(0) as view:
        view[:] = bytes(flags)
    assert never not in end.describe_wait(1.5)


@pytest.mark.parametrize(("rank", "call"), [(-1, "enqueue"), (0, "dequeue")])
def test_damaged_flags_are_a_time_out_without_a_case(rank: int, call: str, make_ring: MakeRing) -> None:
    ring, ends = busy_ring(make_ring, rank)
    with ring.segment.flags(1) as view:
        view[1] = 7
        with pytest.raises(WaitTimeoutError, match="damaged") as caught:
            CALLS[call](ends[rank], 0)
        assert (caught.value.case, caught.value.missing_ranks) == (None, ())
        view[1] = int(rank != -1)
    assert_sequence_goes_on(ends, rank)


@pytest.mark.parametrize("count", [-1, 1.0, True, False, "5", (), SPIN_COUNT_MAX + 1, 10**400])
def test_wrong_spin_count_is_refused(count: Any) -> None:
    with pytest.raises(ValueError, match="spin_count"):
        WaitOptions(spin_count=count)


@pytest.mark.parametrize("rank", [-1, 0])
@pytest.mark.parametrize(
    ("count", "on"), [(None, DEFAULT_SPIN_COUNTS), (0, {NATIVE: 0, PYTHON: 0}), (7, {NATIVE: 7, PYTHON: 7})]
)
def test_how_often_one_looks_again_is_the_backends_affair_unless_it_is_said(
    count: int | None, on: dict[str, int], rank: int, backend: str, make_ring: MakeRing
) -> None:
    """The runner looks again for the fast way, and for the slow one."""
    ring = make_ring(max_chunks=1)
    ends = {one: ShmRingBufferIO(ring, one, waiting=WaitOptions(count, 0.0)) for one in (-1, 0)}
    if rank == -1:
        ends[-1].enqueue("one")
    end = ends[rank]
    assert (end._runner.spin_count, end._runner.yield_seconds) == (on[backend], 0.0)
    clock = Clock()
    end._waiter._runner = Governed(end._runner, clock)  # type: ignore[assignment]
    with pytest.raises(WaitTimeoutError):
        end.broadcast_object("two", timeout=0)
    assert [sought for sought, _ in clock.sought] == [on[backend]]
    if count is None:
        assert WaitOptions().spin_count is None
        plain = ShmRingBufferIO(make_ring(), rank)
        assert plain._runner.spin_count == on[backend], "the same, where nothing is said at all"


@pytest.mark.parametrize("seconds", [-0.1, math.nan, "1", None, YIELD_SECONDS_MAX * 1.01, math.inf, 10**400])
def test_wrong_time_to_yield_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="yield_seconds"):
        WaitOptions(yield_seconds=seconds)
