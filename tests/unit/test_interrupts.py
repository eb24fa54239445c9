"""An interrupted call leaves the ring in order: nothing is torn, lost, repeated or out of place, and no endpoint is stuck.

On both backends: rows that are compiled to Python are met by interrupts inside; those in C are one instruction to CPython.
``interrupting`` says how a ``KeyboardInterrupt`` is put at every place of a call at which CPython can raise one.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupting import Interrupted, untraced
from interrupting import sweep as sweep_any
from support import MakeRing, RunPython, Unloadable, ends_of

import ringbuffer
from ringbuffer import ShmRingBufferIO
from ringbuffer.codec.frames import FIRST, GATHERED, TENSOR, Gathered
from ringbuffer.codec.message import Encoder
from ringbuffer.compiled import FOUND
from ringbuffer.endpoint.refusals import NOTHING, shut
from ringbuffer.errors import DecodeError, EndpointBusyError, FrameError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE
from ringbuffer.memory.layout import FRAME
from ringbuffer.protocol import Case
from ringbuffer.waiting import WaitOptions

BODIES: dict[str, Callable[[], object]] = {"ends": lambda: None, "raises": lambda: 1 // 0}


ROWS = ("begin", "where", "finish", "abort", "send", "receive", "rest", "whole")
"""The functions that a table is made into."""
ON_BOTH = pytest.mark.usefixtures("backend")


def sweep(call: Callable[[], Any], *must_meet: str) -> Iterator[Interrupted]:
    """As :func:`interrupting.sweep`; functions in C have no places inside that interrupts could meet."""
    in_c = ROWS if ringbuffer.backend == NATIVE else ()
    return sweep_any(call, *(name for name in must_meet if name not in in_c))


def message_of(number: int) -> tuple[int, bytes]:
    """Messages differ in length, and every byte says which message it is of, so that a torn one is noticed."""
    return number, payload_of(number)[: number % 40]


def large_of(number: int) -> list[bytes]:
    """A message of two blocks of 64 bytes."""
    return [payload_of(number)]


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
@pytest.mark.parametrize("size", ["small", "slow", "large"])
def test_interrupted_enqueue_sends_once_or_not_at_all(size: str, make_ring: MakeRing) -> None:
    """A large message, of which parts may be sent, is withdrawn by the next one."""
    writer, reader = ends_of(make_ring(max_chunks=6))
    make = large_of if size == "large" else message_of
    number = 0

    def send() -> None:
        writer.enqueue(make(number), timeout=0)

    meets = {
        "small": ("enqueue", "encode", "check_timeout", "send", ""),
        "slow": ("enqueue", "_send_slowly", "_enter", "_deadline", "_send", "find", "begin", "fill", "finish", "sent", ""),
        "large": ("enqueue", "_send_slowly", "_send", "next_part", "fill", "find", "begin", "where", "finish", "sent", ""),
    }
    for outcome in sweep(send, *meets[size]):
        try:
            found = reader.dequeue(timeout=0)
        except WaitTimeoutError:
            assert not outcome.returned
            send()
            found = reader.dequeue(timeout=0)
        assert found == make(number)
        assert_empty(reader)
        number += 1
        if size == "slow":
            writer._send = shut


def by_read(reader: ShmRingBufferIO) -> Any:
    with reader.read(timeout=0) as message:
        if isinstance(message, memoryview):
            return bytes(message)
        return message.clone() if hasattr(message, "clone") else copy.copy(message)


TAKES: dict[str, Callable[[ShmRingBufferIO], Any]] = {
    "dequeue": lambda reader: reader.dequeue(timeout=0),
    "recv_bytes": lambda reader: reader.recv_bytes(timeout=0),
    "read": by_read,
}


def set_way(reader: ShmRingBufferIO, way: str) -> None:
    """Shut the fast way of receiving for the next call, or open it."""
    objects, messages = reader._fast_objects, reader._fast_messages
    assert NOTHING not in (objects, messages)
    reader._objects, reader._messages = (NOTHING, NOTHING) if way == "slow" else (objects, messages)


WAYS = {
    "at once": ("receive", ""),
    "small": ("check_timeout", "_within", "receive", ""),
    "slow": (
        "_receive_slowly",
        "_enter",
        "next_message",
        "lend",
        "next_frame",
        "find",
        "_take",
        "decode",
        "finish",
        "forget",
        "",
    ),
    "large": (
        "_receive_slowly",
        "next_message",
        "lend",
        "_take",
        "add",
        "finish",
        "_assembled",
        "decode_assembled",
        "forget",
        "",
    ),
}


@ON_BOTH
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("take", ["dequeue", "recv_bytes"])
def test_interrupted_receiving_loses_and_repeats_nothing(take: str, way: str, make_ring: MakeRing) -> None:
    """The message comes with the next call, whichever it is. At once: it is there, so that nobody need say how long to wait."""
    writer, reader = ends_of(make_ring(max_chunks=5))
    make: Callable[[int], Any] = large_of if way == "large" else message_of
    if take == "recv_bytes":
        make = lambda number: payload_of(number) * (2 if way == "large" else 1)  # noqa: E731
    next_takes = itertools.cycle([name for name in TAKES if take == "recv_bytes" or name != "recv_bytes"])
    writer.enqueue(make(0))
    meets = [name for name in WAYS[way] if name != "decode" or take == "dequeue"]
    call = getattr(reader, take) if way == "at once" else lambda: TAKES[take](reader)
    for number, outcome in enumerate(sweep(lambda: call(), take, *meets)):
        if outcome.returned:
            assert outcome.value == make(number)
        else:
            assert TAKES[next(next_takes)](reader) == make(number)
        assert_empty(reader)
        writer.enqueue(make(number + 1), timeout=0)
        set_way(reader, way)


def send_first_part(writer: ShmRingBufferIO) -> None:
    """Of a message that whatever is sent next withdraws."""
    runner = writer._runner
    assert runner.begin() == FOUND
    FRAME.pack_into(writer._frames[runner.where()], 0, runner.done(), 3, GATHERED, FIRST, 9)
    runner.finish()


@ON_BOTH
@pytest.mark.parametrize("before", ["nothing", "refused", "withdrawn"])
def test_interrupted_dequeue_of_an_array_loses_and_repeats_nothing(before: str, make_ring: MakeRing) -> None:
    """It lies in its block, where the fast way has found it; or it was refused there already, or ends an unfinished message."""
    writer, reader = ends_of(make_ring(max_chunk_bytes=400, max_chunks=3))
    next_takes = itertools.cycle(["dequeue", "read"])

    def prepare(number: int) -> None:
        set_way(reader, "at once")
        if before == "withdrawn":
            send_first_part(writer)
            assert_empty(reader)
        writer.enqueue(np.full(20, number % 256, "u1"), timeout=0)
        if before == "refused":
            with pytest.raises(FrameError, match="take it with dequeue"):
                reader.recv_bytes(timeout=0)

    prepare(0)
    meets = ("next_message", "_take") if before == "withdrawn" else ("find_whole", "whole", "found_message")
    ends = ("_take_whole", "decode", "_gathered", "finish", "_again", "forget", "")
    for number, outcome in enumerate(sweep(lambda: reader.dequeue(timeout=0), "dequeue", "_receive_slowly", *meets, *ends)):
        found = outcome.value if outcome.returned else TAKES[next(next_takes)](reader)
        assert found.tolist() == 20 * [number % 256]
        assert_empty(reader)
        prepare(number + 1)


@ON_BOTH
def test_interrupted_dequeue_of_a_tensor_loses_and_repeats_nothing(make_ring: MakeRing) -> None:
    """It is marked as read before it is made."""
    torch = pytest.importorskip("torch")
    writer, reader = ends_of(make_ring(max_chunk_bytes=400, max_chunks=3))
    next_takes = itertools.cycle(["dequeue", "read"])

    def send(number: int) -> None:
        set_way(reader, "at once")
        writer.enqueue(torch.full((4, 5), number % 256, dtype=torch.uint8), timeout=0)

    send(0)
    for number, outcome in enumerate(sweep(lambda: reader.dequeue(timeout=0), "dequeue", "receive", "tensor_on", "_lay", "")):
        found = outcome.value if outcome.returned else TAKES[next(next_takes)](reader)
        assert found.tolist() == 4 * [5 * [number % 256]]
        assert_empty(reader)
        send(number + 1)


@ON_BOTH
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["array", "large", "tensor"])
def test_interrupted_read_is_whole_or_comes_again(kind: str, body: str, make_ring: MakeRing) -> None:
    """In its block, or put together; where it was interrupted, nothing goes on to refer to the block, whatever one keeps."""
    writer, reader = ends_of(make_ring(max_chunk_bytes=64 if kind == "large" else 400, max_chunks=3))
    seen: list[Any] = []
    kept: deque[object] = deque(maxlen=8)  # more than one lap

    def make(number: int) -> Any:
        array = np.full(20, number % 256, "u1")
        if kind == "tensor":
            return pytest.importorskip("torch").from_numpy(array)
        return large_of(number) if kind == "large" else array

    def bytes_of(message: Any) -> bytes:
        return bytes(message[0]) if kind == "large" else bytes(message.tolist())

    def read() -> None:
        hold = reader.read(timeout=0)
        kept.append(hold)
        try:
            with contextlib.suppress(ZeroDivisionError), hold as message:
                # Not in a function of its own, whose variable would keep the message where an error is kept.
                seen.append(bytes(message[0] if kind == "large" else message.tolist()))
                BODIES[body]()
        except KeyboardInterrupt as error:
            kept.append(error)
            raise

    writer.enqueue(make(0))
    meets: tuple[str, ...] = ("lend", "forget")
    if kind != "large":
        meets = ("decode_views", "_take_in_place", "release", "_part", "_end", "let_go")
    if body == "raises":
        meets = tuple(name for name in meets if name != "forget")
    for number, outcome in enumerate(sweep(read, "read", "__enter__", "leave", "_give_back", *meets, "")):
        expected = bytes_of(make(number))
        assert seen in ([], [expected])
        try:
            found = TAKES["dequeue" if number % 2 else "read"](reader)
        except WaitTimeoutError:
            assert seen
            assert body == "ends"
        else:
            assert not outcome.returned or body == "raises"
            assert bytes_of(found) == expected
        assert_empty(reader)
        seen.clear()
        writer.enqueue(make(number + 1), timeout=0)


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
    for number, outcome in enumerate(sweep(read, "acquire_read", "__enter__", "find", "begin", "where", ends_with, "")):
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


@pytest.mark.parametrize(("use", "stack_is"), [("acquire_write", "closed again"), ("read", "forgotten")])
def test_interrupted_exit_stack_leaves_nobody_busy(use: str, stack_is: str, make_ring: MakeRing) -> None:
    """A stack that still has the exit of the hold is closed again; where it has lost it, the with is over."""
    writer, reader = ends_of(make_ring(max_chunks=3))
    stacks: list[contextlib.ExitStack] = []

    def use_it() -> None:
        with contextlib.ExitStack() as stack:
            if stack_is != "forgotten":
                stacks.append(stack)
            stack.enter_context(getattr(writer if use == "acquire_write" else reader, use)(timeout=0))

    if use == "read":
        writer.enqueue("one", timeout=0)
    for _ in sweep(use_it, "enter_context", "__enter__", "__exit__", "_leave", "leave", ""):
        for stack in stacks:
            stack.close()
        stacks.clear()
        gc.collect(0)  # an ExitStack's error and its frame refer to each other
        if use == "acquire_write":
            writer.enqueue("one", timeout=0)
            with contextlib.suppress(FrameError):
                assert reader.dequeue(timeout=0) == "one"
                continue
            with reader.acquire_read(timeout=0):
                pass  # what was published by the stack
            assert reader.dequeue(timeout=0) == "one"
        else:
            with contextlib.suppress(WaitTimeoutError):
                assert reader.dequeue(timeout=0) == "one"
            writer.enqueue("one", timeout=0)


def test_exit_looked_up_for_nothing_ends_no_hold(make_ring: MakeRing) -> None:
    """Who asks the class for its exit and enters another hold by hand, has it until its exit is called."""
    writer, reader = ends_of(make_ring(max_chunks=3))
    hold = writer.acquire_write(timeout=0)
    assert hasattr(type(hold), "__exit__")
    hold.__enter__()
    with pytest.raises(EndpointBusyError):
        writer.enqueue("not sent", timeout=0)
    hold.leave(KeyboardInterrupt, None, None)
    writer.enqueue("one", timeout=0)
    assert reader.dequeue(timeout=0) == "one"


@ON_BOTH
@pytest.mark.parametrize("use", ["acquire_write", "acquire_read", "read"])
def test_interrupted_exit_that_is_not_of_a_with_is_made_up_for(use: str, make_ring: MakeRing) -> None:
    """Where the exit is called by a function (an ExitStack's, say), only an interrupt at its entry leaves it to be called."""
    ring = make_ring(max_chunks=3)
    writer, reader = ends_of(ring)
    end = writer if use == "acquire_write" else reader
    number = 0

    def enter() -> Any:
        if use != "acquire_write":
            writer.enqueue(number, timeout=0)
        hold = getattr(end, use)(timeout=0)
        hold.__enter__()
        return hold

    hold = enter()

    def leave() -> None:
        hold.leave(None, None, None)

    calls = sweep(leave, "leave", "_give_back", "let_go", "finish")
    for outcome in calls:
        if end._holder is not None and not hold.is_over:
            assert outcome.place == "leave"
            hold.leave(KeyboardInterrupt, None, None)
        number += 1
        if use == "acquire_write":
            if ring.case(reader._runner.where()) is Case.WRITTEN:
                with reader.acquire_read(timeout=0):
                    pass
            writer.enqueue(number, timeout=0)
            assert reader.dequeue(timeout=0) == number
        else:
            with contextlib.suppress(WaitTimeoutError):
                assert reader.dequeue(timeout=0) == number - 1
            assert_empty(reader)
        hold = enter()
    hold.leave(None, None, None)


def in_place(end: ShmRingBufferIO) -> None:
    if end.reader_rank == 0 and not end._inbox.is_empty:  # what is kept comes first, and is in no block any more
        with end.read(timeout=0) as message:
            assert message == 0
        return
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
    "read": lambda end: end.read(timeout=0).__enter__(),
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
    for _ in sweep(wait, "_sleep", "_take_stock", "_timed_out", "_sentence", "wait_sentence", "participant", ""):
        assert ring.flags(0) == before
    if writes:
        assert reader.dequeue(timeout=0) == "one"
    writer.enqueue("next", timeout=0)
    assert reader.dequeue(timeout=0) == "next"


@ON_BOTH
@pytest.mark.parametrize("rank", [-1, 0])
def test_interrupted_wait_leaves_nothing_to_the_next_call(rank: int, make_ring: MakeRing) -> None:
    """Neither when it began, from which a time-out is counted, nor what was to cancel it."""
    ring = make_ring(max_chunks=1)
    ends = [ShmRingBufferIO(ring, one, waiting=WaitOptions(1, 1e-6)) for one in (-1, 0)]
    end = ends[1 + rank]

    def wait() -> None:
        with pytest.raises(WaitTimeoutError):
            end.broadcast_object("not sent", timeout=1e-4)

    def pass_one_on() -> None:
        ends[0].enqueue("one", timeout=0)
        if rank == 0:
            assert ends[1].dequeue(timeout=0) == "one"

    pass_one_on()
    for _ in sweep(wait, "_enter", "_deadline", "_timed_out"):
        end.cancel()  # there is no call
        before = time.monotonic()
        with pytest.raises(WaitTimeoutError) as caught:
            end.broadcast_object("not sent", timeout=1e-3)
        assert 1e-3 <= caught.value.waited_seconds <= time.monotonic() - before
        if rank == -1:
            assert ends[1].dequeue(timeout=0) == "one"
        pass_one_on()  # and the fast way is open


@ON_BOTH
@pytest.mark.parametrize("rank", [-1, 0])
def test_interrupted_wait_goes_on_where_it_stood(rank: int, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is busy, and before the first sleep the other side comes; the interrupt is before, during or after."""
    ring = make_ring(max_chunks=1)
    ends = [ShmRingBufferIO(ring, side, waiting=WaitOptions(1, 0.0)) for side in (-1, 0)]
    writer, reader = ends
    number = 0
    came: list[object] = []

    def other_side() -> None:
        if rank == -1:
            assert reader.dequeue(timeout=0) == message_of(number - 1)
        else:
            writer.enqueue(message_of(number), timeout=0)
        came.append(number)

    rest = ends[1 + rank]._waiter._rest

    def come_and_rest(until: float) -> bool:
        if not came:
            untraced(other_side)
        return rest(until)

    monkeypatch.setattr(ends[1 + rank]._waiter, "_rest", come_and_rest)
    if rank == -1:
        writer.enqueue(message_of(-1))
    calls = sweep(lambda: writer.enqueue(message_of(number)) if rank == -1 else reader.dequeue(), "_sleep", "_rest", "rest")
    for outcome in calls:
        if not came:
            other_side()
        assert came == [number]
        if rank == -1:
            if not outcome.returned and ring.case(0) is not Case.WRITTEN:
                writer.enqueue(message_of(number), timeout=0)
        else:
            assert (outcome.value if outcome.returned else reader.dequeue(timeout=0)) == message_of(number)
        assert ring.case(0) is (Case.WRITTEN if rank == -1 else Case.READ_BY_ALL)
        came.clear()
        number += 1


@ON_BOTH
@pytest.mark.parametrize("way", ["small", "slow", "array", "read", "tensor"])
def test_interrupted_dequeue_of_what_cannot_be_unpickled_says_so_once(way: str, make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=400, max_chunks=3))
    sent = [np.full(20, 1, "u1"), Unloadable()] if way == "array" else Unloadable()
    raw = Encoder().encode(sent)
    raw = b"".join(raw.pieces) if isinstance(raw, Gathered) else raw
    if way == "tensor":  # of a dtype that there is not
        raw = bytes(400)
    told: list[bytes] = []
    lost: list[Interrupted] = []

    def receive() -> None:
        try:
            TAKES["read" if way == "read" else "dequeue"](reader)
        except DecodeError as error:
            told.append(error.raw)

    def send() -> None:
        if way != "tensor":
            writer.enqueue(sent, timeout=0)
        else:
            assert writer._runner.send(TENSOR, raw) == FOUND

    send()
    meets = {
        "small": ("_decode_again", "_pending"),
        "tensor": ("tensor_on", "_decode_again", "_pending"),
        "slow": ("_take", "_again", "finish"),
        "array": ("found_message", "_take_whole", "_again", "finish"),
        "read": ("decode_views", "finish", "forget"),
    }
    for outcome in sweep(receive, "receive", *meets[way], ""):
        if not told:
            with contextlib.suppress(WaitTimeoutError):
                receive()
        assert told in ([raw], []), "not twice"
        assert_empty(reader)
        if not told:
            lost.append(outcome)
        told.clear()
        send()
        set_way(reader, way)
    assert all(outcome.place in ("receive", "dequeue", "__enter__", "by_read") for outcome in lost), lost


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
