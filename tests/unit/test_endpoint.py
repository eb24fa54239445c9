"""The two ends of a ring: what they deliver, and that a use which fails changes nothing."""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
import threading
from typing import Any

import pytest
from support import (
    ALIASES,
    LONG_SECONDS,
    Background,
    Calling,
    MakeRing,
    Unloadable,
    assert_goes_on,
    ends_of,
    state,
    what,
)

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.codec.frames import Frame
from ringbuffer.endpoint.refusals import NOTHING
from ringbuffer.errors import (
    BlockEscapedError,
    DecodeError,
    EncodeError,
    EndpointBusyError,
    FrameError,
    RankError,
    RoleTaken,
    UnsupportedPlatformError,
    VariantError,
    WaitTimeoutError,
    WrongSideError,
)
from ringbuffer.memory.backend import PYTHON, VARIABLE
from ringbuffer.memory.layout import FRAME_BYTES
from ringbuffer.memory.participants import Presence, Role
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Case, Variant

# Names, ranks and sides.


def test_signatures_are_those_of_the_original() -> None:
    assert [*inspect.signature(ShmRingBuffer).parameters][:4] == ["n_reader", "max_chunk_bytes", "max_chunks", "name"]
    assert [*inspect.signature(ShmRingBufferIO).parameters][:2] == ["buffer", "reader_rank"]
    ring = ShmRingBuffer(2, 1024, 10)
    writer, readers = ShmRingBufferIO(ring, -1), [ShmRingBufferIO(ring, rank) for rank in range(2)]
    with writer.acquire_write() as buf:
        buf[0] = 7
    for reader in readers:
        with reader.acquire_read() as buf:
            assert buf[0] == 7
    ring.unlink()
    ring.close()


@pytest.mark.parametrize("protocol", [PROTOCOL, ORIGINAL, PROTOCOL.replace(initial_read_flag=1)])
@pytest.mark.parametrize(("n_reader", "max_chunks"), [(0, 1), (0, 3), (1, 1), (1, 2), (2, 1), (3, 2), (70, 3)])
def test_every_reader_gets_all_in_order(n_reader: int, max_chunks: int, protocol: Variant, make_ring: MakeRing) -> None:
    writer, *readers = ends_of(make_ring(n_reader, 100, max_chunks, protocol=protocol))
    for number in range(4 * max_chunks):
        writer.enqueue((number, "x" * (number % 50)), timeout=0)
        for reader in readers:
            assert reader.dequeue(timeout=0) == (number, "x" * (number % 50))


def test_writer_is_as_far_ahead_as_there_are_blocks(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunks=3))
    for number in range(3):
        writer.enqueue(number, timeout=0)
    with pytest.raises(WaitTimeoutError):
        writer.enqueue(3, timeout=0)
    assert [reader.dequeue(timeout=0) for _ in range(3)] == [0, 1, 2]


def test_broadcast_object_is_one_call_for_all_sides(make_ring: MakeRing) -> None:
    ends = ends_of(make_ring(2))
    message = {"a": [1, 2]}
    assert ends[0].broadcast_object(message, timeout=0) is message
    assert [end.broadcast_object(timeout=0) for end in ends[1:]] == [message, message]


@pytest.mark.parametrize("rank", [-2, 2, 1 << 70, True, 0.0, "0", None])
def test_rank_of_nobody_is_refused(rank: Any, make_ring: MakeRing) -> None:
    ring = make_ring(2)
    with pytest.raises(RankError, match=ring.name) as caught:
        ShmRingBufferIO(ring, rank)
    assert repr(rank) in str(caught.value)
    assert "0 to 1" in str(caught.value)


def test_ring_without_readers_has_a_writer_only(make_ring: MakeRing) -> None:
    ring = make_ring(0)
    with pytest.raises(RankError, match="no readers"):
        ShmRingBufferIO(ring, 0)


@pytest.mark.parametrize("rank", [-1, 0])
@pytest.mark.parametrize("end_it", ["keep", "close", "drop"])
def test_rank_has_one_endpoint(rank: int, end_it: str, make_ring: MakeRing) -> None:
    """A second one is refused while there is a first, and goes on where that one stopped when it is gone."""
    ring = make_ring(max_chunks=3)
    first = ends_of(ring)
    first[0].enqueue("one")
    assert first[1].dequeue(timeout=0) == "one"
    if end_it == "keep":
        name, others = ("the writer", "one writer$") if rank == -1 else ("reader 0", "another reader needs a rank of its own")
        for _ in range(2):
            with pytest.raises(RoleTaken, match=f"{name} of ring {ring.name}.*pid {os.getpid()}.*{others}"):
                ShmRingBufferIO(ring, rank)
        assert_goes_on(*first)
        return
    if end_it == "close":
        first[1 + rank].close()
    else:
        del first[1 + rank]
    second = ShmRingBufferIO(ring, rank)
    assert_goes_on(*([second, first[-1]] if rank == -1 else [first[0], second]))


@pytest.mark.parametrize("rank", [-1, 0])
def test_rank_is_taken_for_all_ring_objects(rank: int, make_ring: MakeRing) -> None:
    """Two of one process, too: here one is a copy, as another process has it."""
    ring = make_ring()
    other = pickle.loads(pickle.dumps(ring))
    ends = ends_of(ring)
    ends[0].enqueue("one")
    before = bytes(ring.segment.whole())
    rest = "a ring has one writer, and" if rank == -1 else "another reader needs a rank"
    with pytest.raises(RoleTaken, match=f"of ring {ring.name} is taken: process {os.getpid()} has that role; {rest}"):
        ShmRingBufferIO(other, rank)
    assert bytes(ring.segment.whole()) == before, "nor was anything noted of it"
    assert ends[1].dequeue(timeout=0) == "one"
    ends[1 + rank].close()
    same = ShmRingBufferIO(other, rank)
    assert_goes_on(*([same, ends[1]] if rank == -1 else [ends[0], same]))
    other.close()


def test_endpoints_of_one_rank_that_are_made_at_once_are_one(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claiming does not tell the endpoints of one ring object from each other; here one waits in the middle of it."""
    ring = make_ring()
    inside, leave = threading.Event(), threading.Event()
    claim = Role.claim

    def slow_claim(role: Role) -> None:
        inside.set()
        assert leave.wait(LONG_SECONDS)
        claim(role)

    with monkeypatch.context() as patched:
        patched.setattr(Role, "claim", slow_claim)
        threads = [Background(lambda: ShmRingBufferIO(ring, 0)) for _ in range(2)]
        assert inside.wait(LONG_SECONDS)
        leave.set()
        made = [what(thread.outcome) for thread in threads]
    assert sorted(isinstance(one, ShmRingBufferIO) for one in made) == [False, True]
    assert RoleTaken in [one[0] for one in made if not isinstance(one, ShmRingBufferIO)]


@pytest.mark.parametrize("rank", [-1, 0])
def test_endpoint_that_could_not_be_made_takes_no_rank(rank: int, make_ring: MakeRing) -> None:
    """Nor is its process taken for one that had the role and died."""
    ring = make_ring(protocol=PROTOCOL.without("W4").without("R3"))
    before = bytes(ring.segment.whole())
    for _ in range(2):
        with pytest.raises(VariantError) as caught:
            ShmRingBufferIO(ring, rank)
    assert Role(ring.segment, rank).presence() is Presence.FREE
    assert bytes(ring.segment.whole()) == before
    ring.close()  # although the error is kept, and with it the functions that it has passed
    del caught


def test_weakly_ordered_processor_is_refused_to_python(make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = make_ring()
    with monkeypatch.context() as patched:
        patched.setenv(VARIABLE, PYTHON)
        patched.setattr("platform.machine", lambda: "aarch64")
        with pytest.raises(UnsupportedPlatformError, match="aarch64"):
            ShmRingBufferIO(ring, -1)
    ShmRingBufferIO(ring, -1)


@pytest.mark.parametrize(
    ("rank", "call", "arguments"),
    [
        *((-1, call, ()) for call in ("dequeue", "recv_bytes", "read", "acquire_read")),
        *((0, call, (1,)) for call in ("enqueue", "send_bytes", "evict")),
        *((0, call, ()) for call in ("resume", "acquire_write")),
        *((-1, call, (0,)) for call in ("dequeue", "recv_bytes")),
        *((0, call, arguments) for call in ("enqueue", "send_bytes") for arguments in ((b"1",), (b"1", 0))),
    ],
)
def test_wrong_side_is_told_so(rank: int, call: str, arguments: tuple[object, ...], make_ring: MakeRing) -> None:
    ring = make_ring()
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    before = state(ring)
    with pytest.raises(WrongSideError, match=call) as caught:
        getattr(ends[rank], call)(*arguments)
    assert ("the writer of ring" if rank == -1 else "reader 0 of ring") in str(caught.value)
    assert state(ring) == before
    assert_goes_on(ends[-1], ends[0])


@pytest.mark.parametrize("rank", [-1, 0])
def test_endpoint_is_not_pickled(rank: int, make_ring: MakeRing) -> None:
    end = ShmRingBufferIO(make_ring(), rank)
    with pytest.raises(TypeError, match="pickle the ring"):
        pickle.dumps(end)


# Blocks in place.


def test_acquired_block_is_the_payload_and_dead_afterwards(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=100))
    with writer.acquire_write(timeout=0) as block:
        assert (len(block), block.readonly, block.itemsize) == (100, False, 1)
        block[:] = bytes(range(100))
    with reader.acquire_read(timeout=0) as found:
        assert (len(found), found.readonly) == (100, True)
        assert bytes(found) == bytes(range(100))
        with pytest.raises(TypeError, match="read-only"):
            found[0] = 1
    for dead in (block, found):
        with pytest.raises(ValueError, match="released"):
            dead[0]


def test_aborted_write_publishes_nothing_and_uses_the_block_again(make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=3)
    writer, reader = ends_of(ring)
    assert_goes_on(writer, reader)
    for _ in range(4):
        with pytest.raises(ZeroDivisionError), writer.acquire_write(timeout=0) as block:
            block[0] = 1 // 0
        assert ring.case(0) is Case.UNWRITTEN
        with pytest.raises(WaitTimeoutError) as caught:
            reader.dequeue(timeout=0)
        assert caught.value.block_index == 0
    writer.enqueue("whole", timeout=0)
    assert ring.case(0) is Case.WRITTEN
    assert reader.dequeue(timeout=0) == "whole"
    assert_goes_on(writer, reader)


def test_aborted_read_gets_the_message_again(make_ring: MakeRing) -> None:
    ring = make_ring(2)
    writer, reader, other = ends_of(ring)
    writer.enqueue("one")
    before = state(ring)
    for _ in range(4):
        with pytest.raises(ZeroDivisionError), reader.acquire_read(timeout=0):
            raise ZeroDivisionError
        assert state(ring) == before
    assert reader.dequeue(timeout=0) == other.dequeue(timeout=0) == "one"
    assert_goes_on(writer, reader, other)


@pytest.mark.parametrize("body_raises", [False, True])
@pytest.mark.parametrize(
    ("rank", "alias"), [(rank, alias) for rank in (-1, 0) for alias in ALIASES if rank or alias != "ctypes"]
)
def test_block_that_escapes_is_neither_published_nor_marked(
    rank: int, alias: str, body_raises: bool, make_ring: MakeRing
) -> None:
    """The block is the next one again, and free to be used as soon as nothing refers to it; an error of the body goes on."""
    ring = make_ring()
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in (-1, 0)}
    ends[-1].enqueue("one")
    kept: list[object] = []

    def let_escape() -> None:
        with ends[-1].acquire_write() if rank == -1 else ends[0].acquire_read() as block:
            kept.extend((block, ALIASES[alias](block)))
            if body_raises:
                raise RuntimeError("boom")

    with pytest.raises(RuntimeError if body_raises else BlockEscapedError) as caught:
        let_escape()
    if not body_raises:
        assert ring.name in str(caught.value)
        assert ("Nothing was published" if rank == -1 else "The message stays unread") in str(caught.value)
    assert (ring.case(0), ring.case(1)) == (Case.WRITTEN, Case.UNWRITTEN)
    kept.clear()
    del caught
    if rank == -1:
        with ends[-1].acquire_write(timeout=0) as block:
            block[:3] = b"two"
        assert ends[0].dequeue(timeout=0) == "one"
    with ends[0].acquire_read(timeout=0) as block:
        assert bytes(block[:3]) == b"two" if rank == -1 else bytes(block[:3])
    assert_goes_on(ends[-1], ends[0])
    ring.close()


def test_hold_works_in_an_exit_stack(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring())
    for _ in range(4):
        with pytest.raises(ZeroDivisionError), contextlib.ExitStack() as stack:
            stack.enter_context(writer.acquire_write(timeout=0))[0] = 1 // 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(writer.acquire_write(timeout=0))[:3] = b"one"
        with contextlib.ExitStack() as stack:
            assert bytes(stack.enter_context(reader.acquire_read(timeout=0))[:3]) == b"one"
    assert_goes_on(writer, reader)


def test_hold_can_be_used_again_but_not_inside_itself(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring())
    hold = writer.acquire_write(timeout=0)
    for value in (b"1", b"2"):
        with hold as block:
            block[:1] = value
            with pytest.raises(EndpointBusyError), hold:
                raise AssertionError("entered twice")
    for value in (b"1", b"2"):
        with reader.acquire_read(timeout=0) as block:
            assert bytes(block[:1]) == value


# Objects.


class RaisesWhenPickled:
    def __reduce__(self) -> tuple[object, ...]:
        raise ZeroDivisionError("boom")


@pytest.mark.parametrize("unpicklable", [lambda: 1, threading.Lock(), RaisesWhenPickled(), (1, [inspect.currentframe()])])
def test_object_that_cannot_be_pickled_writes_nothing(unpicklable: object, make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    assert_goes_on(writer, reader)
    before = state(ring)
    with pytest.raises(EncodeError, match=type(unpicklable).__name__) as caught:
        writer.enqueue(unpicklable)
    assert isinstance(caught.value, pickle.PicklingError)
    assert caught.value.__cause__ is not None
    assert state(ring) == before
    assert_goes_on(writer, reader)


def test_interrupted_pickling_is_no_error_of_ours(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring())

    def interrupt() -> None:
        raise KeyboardInterrupt

    Calling.call = interrupt
    with pytest.raises(KeyboardInterrupt):
        writer.enqueue(Calling("pickled"))
    writer.enqueue(Calling("unpickled"))
    with pytest.raises(KeyboardInterrupt):
        reader.dequeue(timeout=0)
    Calling.call = lambda: "again"
    assert reader.dequeue(timeout=0) == "again", "an interrupted dequeue gets its message again"
    assert_goes_on(writer, reader)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("timeout", [-1, "soon"])
def test_what_is_no_time_is_refused_before_anything_is_done(timeout: Any, make_ring: MakeRing) -> None:
    """Not even the message is looked at that an interrupt has left pending."""
    writer, reader = ends_of(make_ring())
    errors: list[BaseException] = [*[ValueError("cannot be decoded")] * 2, KeyboardInterrupt()]

    def stop() -> None:
        raise errors.pop()

    Calling.call = stop
    writer.enqueue(Calling("unpickled"))
    with pytest.raises(KeyboardInterrupt):
        reader.dequeue(timeout=0)
    for _ in range(2):
        with pytest.raises(ValueError, match="timeout is"):
            reader.dequeue(timeout)
    assert len(errors) == 2, "it was not decoded"
    with pytest.raises(DecodeError, match="cannot be decoded"):
        reader.dequeue(timeout=0)
    assert_goes_on(writer, reader)


def test_message_that_cannot_be_unpickled_is_consumed(make_ring: MakeRing) -> None:
    ring = make_ring(2, 200)
    writer, reader, other = ends_of(ring)
    writer.enqueue(Unloadable())
    writer.enqueue("next")
    with pytest.raises(DecodeError, match="no number") as caught:
        reader.dequeue(timeout=0)
    assert caught.value.raw == pickle.dumps(Unloadable(), 5)
    assert isinstance(caught.value, pickle.UnpicklingError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert (ring.flags(0), ring.flags(1)) == (b"\1\1\0", b"\1\0\0")
    assert reader.dequeue(timeout=0) == "next"
    with pytest.raises(DecodeError):
        other.dequeue(timeout=0)
    assert other.dequeue(timeout=0) == "next"
    assert_goes_on(writer, reader, other)
    ring.close()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("way", ["fast", "slow"])
@pytest.mark.parametrize("timeout", [None, 0])
def test_end_of_an_iteration_while_a_message_is_decoded_is_an_error_like_any_other(
    timeout: float | None, way: str, make_ring: MakeRing
) -> None:
    """Where the runner has nothing to give, it says so by the same exception."""
    writer, reader = ends_of(make_ring(max_chunk_bytes=200, max_chunks=4))
    with pytest.raises(WaitTimeoutError):
        reader.dequeue(timeout=0)  # the last that the runner said is that it has waited
    writer.enqueue("opens the fast way")
    assert reader.dequeue(timeout=0) == "opens the fast way"
    errors: list[Exception] = [StopIteration("inside")] * 2

    def stop() -> str:
        if errors:
            raise errors.pop()
        return "decoded after all"

    Calling.call = stop
    raw = pickle.dumps(Calling("unpickled"), 5)
    for message in (Calling("unpickled"), "next", Calling("unpickled"), "last"):
        writer.enqueue(message, timeout=0)
    if way == "slow":
        reader._objects = reader._messages = NOTHING
    with pytest.raises(DecodeError, match="StopIteration: inside") as caught:
        reader.dequeue(timeout)
    assert (caught.value.raw, errors) == (raw, [])
    assert isinstance(caught.value.__cause__, StopIteration)
    assert (reader._runner.pending, reader._runner.in_use, reader._runner.done()) == (None, False, 2)
    assert reader.dequeue(timeout) == "next"
    errors.append(StopIteration("of somebody else, who came just then"))
    if way == "slow":
        reader._objects = reader._messages = NOTHING
    assert reader.dequeue(timeout) == "decoded after all", "each is tried twice"
    assert (reader._runner.pending, errors) == (None, [])
    assert reader.dequeue(timeout) == "last"
    assert_goes_on(writer, reader)


def test_shorter_message_does_not_uncover_a_longer_one(make_ring: MakeRing) -> None:
    """What is decoded ends where the message ends: the bytes behind it are those of the longer one, and would decode too."""
    ring = make_ring(max_chunk_bytes=200, max_chunks=1)
    writer, reader = ends_of(ring)
    writer.enqueue(["old"] * 40)
    assert reader.dequeue(timeout=0) == ["old"] * 40
    writer.enqueue(Unloadable())
    with pytest.raises(DecodeError) as caught:
        reader.dequeue(timeout=0)
    assert caught.value.raw == pickle.dumps(Unloadable(), 5)
    assert any(ring.segment.frame(0)[FRAME_BYTES + len(caught.value.raw) :]), "the old bytes are still there"


def test_pickle_without_its_end_is_not_completed_from_behind_it(make_ring: MakeRing) -> None:
    ring = make_ring(max_chunk_bytes=200, max_chunks=1)
    writer, reader = ends_of(ring)
    writer.enqueue("a message")
    size = len(pickle.dumps("a message", 5)) - 1
    with ring.segment.frame(0) as block:
        Frame.read(block)._replace(length_bytes=size, total_bytes=size).write(block)
    with pytest.raises(DecodeError):
        reader.dequeue(timeout=0)


def test_a_block_filled_in_place_that_says_it_is_not_full_is_delivered_to_nobody(make_ring: MakeRing) -> None:
    """Otherwise its reader would get bytes of which the frame does not speak."""
    ring = make_ring()
    writer, reader = ends_of(ring)
    with writer.acquire_write():
        pass
    with ring.segment.frame(0) as block:
        good = Frame.read(block)
        for damaged in (good._replace(length_bytes=5, total_bytes=5), good._replace(length_bytes=5)):
            damaged.write(block)
            for take in (reader.acquire_read, reader.read):
                with pytest.raises(FrameError, match=r"5 bytes in a block of \d+ that its caller filled, which is all of it"):
                    take(timeout=0).__enter__()
            assert ring.case(0) is Case.WRITTEN
        good.write(block)
    with reader.acquire_read(timeout=0) as found:
        assert len(found) == good.length_bytes
    assert_goes_on(writer, reader)


def test_dequeue_leaves_an_acquired_block_to_acquire_read(make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    assert_goes_on(writer, reader)
    with writer.acquire_write() as block:
        block[:5] = b"hello"
    for _ in range(2):
        with pytest.raises(FrameError, match="acquire_read"):
            reader.dequeue(timeout=0)
        assert ring.case(0) is Case.WRITTEN
    with reader.acquire_read(timeout=0) as block:
        assert bytes(block[:5]) == b"hello"
    assert_goes_on(writer, reader)
