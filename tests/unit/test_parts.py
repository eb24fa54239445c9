"""Messages of every size through the two ends: in one block or in several, given up in the middle, taken up again, damaged."""

from __future__ import annotations

import array
import contextlib
import gc
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
from support import MakeRing, Unloadable, assert_goes_on, ends_of

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.codec.frames import Frame
from ringbuffer.endpoint.refusals import NOTHING
from ringbuffer.errors import BlockEscapedError, DecodeError, EncodeError, EndpointBusyError, FrameError, WaitTimeoutError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant

LIMIT: Final = 64
SIZES: Final = (0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT + 1)
ON_BOTH = pytest.mark.usefixtures("backend")


def data_of(size: int) -> bytes:
    return bytes((size + 7 * at) % 256 for at in range(size))


def an_array(size: int) -> Any:
    return np.frombuffer(data_of(size), "u1").copy()


SENDS: Final[dict[str, Callable[[ShmRingBufferIO, int], object]]] = {
    "send_bytes": lambda writer, size: writer.send_bytes(data_of(size), timeout=0),
    "send_bytes of a view": lambda writer, size: writer.send_bytes(memoryview(bytearray(data_of(size))), timeout=0),
    "send_bytes of an array": lambda writer, size: writer.send_bytes(array.array("B", data_of(size)), timeout=0),
    "enqueue": lambda writer, size: writer.enqueue(data_of(size), timeout=0),
    "broadcast_object": lambda writer, size: writer.broadcast_object(data_of(size), timeout=0),
}
"""Calls that send bytes."""


def by_read(reader: ShmRingBufferIO) -> Any:
    with reader.read(timeout=0) as message:
        return bytes(message) if isinstance(message, memoryview) else message


TAKES: Final[dict[str, Callable[[ShmRingBufferIO], Any]]] = {
    "recv_bytes": lambda reader: reader.recv_bytes(timeout=0),
    "dequeue": lambda reader: reader.dequeue(timeout=0),
    "read": by_read,
}


@ON_BOTH
@pytest.mark.parametrize("protocol", [PROTOCOL, ORIGINAL], ids=["shipped", "original"])
@pytest.mark.parametrize("send", SENDS)
def test_bytes_of_every_size_arrive_by_every_call(send: str, protocol: Variant, make_ring: MakeRing) -> None:
    writer, *readers = ends_of(make_ring(len(TAKES), LIMIT, 4, protocol=protocol))
    for turn in range(len(TAKES)):
        for size in SIZES:
            SENDS[send](writer, size)
            for rank, reader in enumerate(readers):
                take = [*TAKES][(rank + turn) % len(TAKES)]
                found = TAKES[take](reader)
                assert (type(found), found) == (bytes, data_of(size)), (take, size)


@ON_BOTH
@pytest.mark.parametrize("size", [0, 1, 40, 100, 300])
def test_objects_of_every_size_arrive_and_are_the_readers_own(size: int, make_ring: MakeRing) -> None:
    """Pickles, and arrays beside them; what comes of ``dequeue`` can be written to, and survives the block."""
    writer, *readers = ends_of(make_ring(2, LIMIT, 9))
    made = [{"text": "x" * size}, an_array(size), [an_array(3), b"y" * size], bytearray(data_of(size)), Unloadable()]
    for sent in made[:-1]:
        writer.enqueue(sent, timeout=0)
        for reader in readers:
            with pytest.raises(FrameError, match="an object that enqueue has sent"):
                reader.recv_bytes(timeout=0)
        found = readers[0].dequeue(timeout=0)
        with readers[1].read(timeout=0) as other:
            assert repr(other) == repr(sent)
        assert repr(found) == repr(sent)
        if isinstance(found, np.ndarray) and size:
            found[0] += 1
    assert_goes_on(writer, *readers)


# Given up in the middle.


def assert_nothing_comes(*readers: ShmRingBufferIO) -> None:
    for reader in readers:
        for take in ("dequeue", "read"):
            with pytest.raises(WaitTimeoutError):
                TAKES[take](reader)


@pytest.fixture(params=["bytes", "object"])
def large(request: pytest.FixtureRequest) -> Any:
    """A message of ten blocks, on a ring that has three."""
    return data_of(10 * LIMIT) if request.param == "bytes" else {"data": [data_of(8 * LIMIT), 1]}


def begin(writer: ShmRingBufferIO, message: Any) -> WaitTimeoutError:
    with pytest.raises(WaitTimeoutError) as caught:
        writer.enqueue(message, timeout=0)
    return caught.value


@ON_BOTH
def test_message_that_was_given_up_goes_on_by_resume(large: Any, make_ring: MakeRing) -> None:
    writer, *readers = ends_of(make_ring(2, LIMIT, 3))
    error = begin(writer, large)
    assert error.sent_bytes == 3 * LIMIT
    assert error.total_bytes > 8 * LIMIT
    assert f"{3 * LIMIT} of the message's {error.total_bytes} bytes are sent: resume()" in str(error)
    assert "Nothing was changed" not in str(error)
    laps = 0
    while True:
        assert_nothing_comes(*readers)
        laps += 1
        with contextlib.suppress(WaitTimeoutError):
            assert writer.resume(timeout=0)
            break
    assert laps >= 2
    assert [reader.dequeue(timeout=0) for reader in readers] == [large, large]
    assert not writer.resume(timeout=0), "there is nothing left"
    assert_goes_on(writer, *readers)


MOVES: Final[dict[str, Callable[[Any], object]]] = {
    "resize": lambda tensor: tensor.resize_(1000),
    "to nothing": lambda tensor: tensor.untyped_storage().resize_(0),
    "share": lambda tensor: tensor.share_memory_(),
}


@ON_BOTH
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [b"x", one]], ids=["alone", "in a list"])
@pytest.mark.parametrize("move", MOVES)
def test_rest_of_a_tensor_whose_memory_is_gone_is_not_sent(move: str, wrap: Any, make_ring: MakeRing) -> None:
    torch = pytest.importorskip("torch")
    writer, reader = ends_of(make_ring(1, LIMIT, 3))
    tensor = torch.arange(LIMIT)
    assert begin(writer, wrap(tensor)).sent_bytes == 3 * LIMIT
    MOVES[move](tensor)
    with pytest.raises(EncodeError, match="resized, or its memory moved"):
        writer.resume(timeout=0)
    assert not writer.resume(timeout=0)
    assert_nothing_comes(reader)
    assert_goes_on(writer, reader)


@ON_BOTH
def test_rest_of_a_tensor_that_was_given_other_memory_is_that_of_the_old(make_ring: MakeRing) -> None:
    torch = pytest.importorskip("torch")
    writer, reader = ends_of(make_ring(1, LIMIT, 3))
    tensor = torch.arange(LIMIT // 2)
    begin(writer, tensor)
    tensor.data = torch.zeros(3)
    assert_nothing_comes(reader)
    assert writer.resume(timeout=0)
    assert reader.dequeue(timeout=0).tolist() == list(range(LIMIT // 2))


OTHERS: Final[dict[str, Callable[[ShmRingBufferIO], object]]] = {
    "small bytes": lambda writer: writer.send_bytes(b"other", timeout=0),
    "a small object": lambda writer: writer.enqueue(["other"], timeout=0),
    "large bytes": lambda writer: writer.send_bytes(data_of(2 * LIMIT + 1), timeout=0),
    "the same again": lambda writer: writer.enqueue({"data": [data_of(2 * LIMIT), 1]}, timeout=0),
}
THEIRS: Final = {
    "small bytes": b"other",
    "a small object": ["other"],
    "large bytes": data_of(2 * LIMIT + 1),
    "the same again": {"data": [data_of(2 * LIMIT), 1]},
}


@ON_BOTH
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("resumed", [False, True])
def test_whatever_else_is_sent_withdraws_it(other: str, resumed: bool, large: Any, make_ring: MakeRing) -> None:
    """Nothing of it is ever delivered, and it cannot go on behind the other message."""
    writer, *readers = ends_of(make_ring(2, LIMIT, 3))
    begin(writer, large)
    with pytest.raises(WaitTimeoutError) as caught:
        OTHERS[other](writer)
    assert caught.value.sent_bytes == 0
    assert "Nothing was changed" in str(caught.value)
    assert_nothing_comes(*readers)
    if resumed:  # nothing else was published yet
        with pytest.raises(WaitTimeoutError) as caught:
            writer.resume(timeout=0)
        assert caught.value.sent_bytes == 6 * LIMIT
        assert_nothing_comes(*readers)
    OTHERS[other](writer)
    assert not writer.resume(timeout=0)
    assert [reader.dequeue(timeout=0) for reader in readers] == 2 * [THEIRS[other]]
    assert_nothing_comes(*readers)
    assert_goes_on(writer, *readers)


@ON_BOTH
def test_block_that_is_filled_in_place_withdraws_it_too(large: Any, make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(1, LIMIT, 3))
    begin(writer, large)
    assert_nothing_comes(reader)
    with pytest.raises(ZeroDivisionError), writer.acquire_write(timeout=0) as block:
        block[0] = 1 // 0
    with pytest.raises(WaitTimeoutError):
        writer.resume(timeout=0)  # what was given up itself has withdrawn nothing
    assert_nothing_comes(reader)
    with writer.acquire_write(timeout=0) as block:
        block[:3] = b"raw"
    assert not writer.resume(timeout=0)
    with pytest.raises(FrameError, match="acquire_read"):
        reader.dequeue(timeout=0)
    with reader.acquire_read(timeout=0) as block:
        assert bytes(block[:3]) == b"raw"
    assert not reader._inbox._assembly.is_begun, "what is withdrawn takes no memory"
    assert_goes_on(writer, reader)


@ON_BOTH
def test_interrupted_message_withdraws_it_too(large: Any, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a part of it is sent; and then neither of the two can go on."""
    writer, reader = ends_of(make_ring(1, LIMIT, 3))
    find = writer._waiter.find
    for parts in range(3):
        begin(writer, large)
        assert_nothing_comes(reader)
        finds: list[int] = []

        def find_or_interrupt(deadline: float | None) -> None:
            if len(finds) == parts:  # noqa: B023 (it is called in this turn only)
                raise KeyboardInterrupt
            finds.append(1)  # noqa: B023
            find(deadline)

        with monkeypatch.context() as patched:
            patched.setattr(writer._outbox, "_find", find_or_interrupt)
            with pytest.raises(KeyboardInterrupt):
                writer.send_bytes(data_of(5 * LIMIT), timeout=0)
        if parts == 0:
            with pytest.raises(WaitTimeoutError) as caught:
                writer.resume(timeout=0)
            assert caught.value.sent_bytes == 6 * LIMIT
        else:
            assert not writer.resume(timeout=0)
        assert_nothing_comes(reader)
        assert_goes_on(writer, reader)


@ON_BOTH
@pytest.mark.parametrize("way", ["pending", "kept", "assembled"])
def test_message_that_is_kept_comes_first_and_to_a_call_that_can_give_it(
    way: str, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt came between its mark and its return."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    writer, reader = ends_of(make_ring(1, LIMIT, 4))
    sent = ["large", data_of(2 * LIMIT)] if way == "assembled" else ["small"]
    for take in ("dequeue", "read"):
        writer.enqueue(sent, timeout=0)
        if way == "pending":
            with pytest.raises(KeyboardInterrupt):
                reader._runner.receive(interrupt)
            assert reader._runner.pending is not None
        else:
            reader._objects = reader._messages = NOTHING
            with monkeypatch.context() as patched:
                patched.setattr(reader._inbox, "forget", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    reader.dequeue(timeout=0)
        writer.send_bytes(b"next", timeout=0)
        for _ in range(2):
            with pytest.raises(FrameError, match="recv_bytes takes what send_bytes has sent"):
                reader.recv_bytes(timeout=0)
            with pytest.raises(EndpointBusyError, match="marked as read and not returned"):
                reader.acquire_read(timeout=0).__enter__()
        assert TAKES[take](reader) == sent
        assert reader.recv_bytes(timeout=0) == b"next"
    assert_goes_on(writer, reader)


@pytest.mark.parametrize("other", ["an object", "in place"])
def test_withdrawn_message_is_let_go_of(other: str, make_ring: MakeRing) -> None:
    """Its memory is the caller's again, and the readers' parts of it are gone."""
    writer, reader = ends_of(make_ring(1, LIMIT, 2))
    data = bytearray(5 * LIMIT)
    with pytest.raises(WaitTimeoutError):
        writer.send_bytes(data, timeout=0)
    with pytest.raises(BufferError):
        data.append(0)
    assert_nothing_comes(reader)
    assert reader._inbox._assembly.received_bytes == 2 * LIMIT, "what has come, and not what is to come"
    if other == "an object":
        writer.enqueue("other", timeout=0)
        data.append(0)
        assert reader.dequeue(timeout=0) == "other"
    else:
        with writer.acquire_write(timeout=0):
            pass
        data.append(0)
        with reader.acquire_read(timeout=0):
            pass
    assert reader._inbox._assembly.received_bytes == 0


@ON_BOTH
def test_part_of_a_message_is_not_read_as_a_block(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(1, LIMIT, 3))
    writer.send_bytes(data_of(2 * LIMIT), timeout=0)
    for _ in range(2):
        with pytest.raises(FrameError, match="a part of a message of 128 bytes"):
            reader.acquire_read(timeout=0).__enter__()
    assert reader.recv_bytes(timeout=0) == data_of(2 * LIMIT)
    assert_goes_on(writer, reader)


def test_large_message_that_cannot_be_unpickled_is_consumed(make_ring: MakeRing) -> None:
    writer, reader, other = ends_of(make_ring(2, LIMIT, 8))
    poison = [bytes(3 * LIMIT), Unloadable()]
    for call in (reader.dequeue, reader.read(timeout=0).__enter__):
        writer.enqueue(poison, timeout=0)
        for take in (call, other.dequeue):
            with pytest.raises(DecodeError) as caught:
                take()
            assert len(caught.value.raw) > 3 * LIMIT
        assert_nothing_comes(reader, other)
    assert_goes_on(writer, reader, other)


# What is damaged is never delivered.


@contextlib.contextmanager
def damaged(ring: ShmRingBuffer, block: int, field: str, value: int) -> Iterator[None]:
    """One field of a block's frame holds another value."""
    with ring.segment.frame(block) as frame:
        good = Frame.read(frame)
        assert getattr(good, field) != value, "it is damage"
        good._replace(**{field: value}).write(frame)
        yield
        good.write(frame)


WAYS: Final[dict[str, Callable[[ShmRingBufferIO], Any]]] = {
    **TAKES,
    "acquire_read": lambda reader: reader.acquire_read(timeout=0).__enter__(),
}
ENORMOUS: Final = (1 << 64) - 1


@ON_BOTH
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("content", ["bytes", "object"])
def test_damaged_whole_message_is_refused_and_stays(way: str, content: str, make_ring: MakeRing) -> None:
    """The number is one lap behind, one ahead, or any other; and what a frame says of itself cannot be."""
    ring = make_ring(1, LIMIT, 3)
    writer, reader = ends_of(ring)
    assert_goes_on(writer, reader)
    sent: Any = data_of(40) if content == "bytes" else ["an object", 3]
    writer.enqueue(sent, timeout=0)
    damages = [
        *(("sequence", value) for value in (3, 5, 7, 9, 0, ENORMOUS)),
        *(("length_bytes", value) for value in (0, 1, LIMIT, LIMIT + 1, ENORMOUS)),
        *(("total_bytes", value) for value in (0, LIMIT, LIMIT + 1, ENORMOUS)),
        *(("kind", value) for value in (5, 1 << 31)),
        *(("part", value) for value in (0, 1, 2, 4, 7, 1 << 31)),
    ]
    if way == "recv_bytes" and content == "object":
        way = "dequeue"
    for field, value in damages:
        with damaged(ring, 0, field, value):
            for _ in range(2):
                with pytest.raises(FrameError, match="not delivered") as caught:
                    WAYS[way](reader)
                assert "block 0 (sequence 6)" in str(caught.value)
            assert ring.flags(0) == b"\1\0"
    assert reader.dequeue(timeout=0) == sent
    assert_goes_on(writer, reader)


@ON_BOTH
@pytest.mark.parametrize("take", ["dequeue", "recv_bytes", "read"])
def test_damaged_part_is_refused_and_stays(take: str, make_ring: MakeRing) -> None:
    """The parts before it are not lost: with the frame mended, the message is whole."""
    ring = make_ring(1, LIMIT, 4)
    writer, reader = ends_of(ring)
    damages = [
        *((block, "sequence", value) for block in range(4) for value in (block + 1, block + 4, ENORMOUS)),
        *((block, "total_bytes", value) for block in range(4) for value in (LIMIT, 4 * LIMIT + 1, ENORMOUS)),
        *((block, "length_bytes", value) for block in range(4) for value in (0, LIMIT + 1, ENORMOUS)),
        *((block, "kind", value) for block in range(1, 4) for value in (0, 1, 9)),
        *((block, "part", 4) for block in range(4)),
        *((0, "part", value) for value in (0, 2)),
        *((block, "part", 2) for block in (1, 2)),
        *((3, "part", value) for value in (0, 3)),
    ]
    for block, field, value in damages:
        writer.send_bytes(data_of(3 * LIMIT + 20), timeout=0)
        wrong = value + writer._runner.done() - 4 if field == "sequence" and value < ENORMOUS else value
        if field == "total_bytes" and block == 0 and value > LIMIT:
            wrong = ENORMOUS  # a first part may say what it likes of the rest, which is held to it
        with damaged(ring, block, field, wrong):
            for _ in range(2):
                with pytest.raises(FrameError):
                    TAKES[take](reader)
                assert [ring.flags(at) for at in range(4)] == block * [b"\1\1"] + (4 - block) * [b"\1\0"]
        assert TAKES[take](reader) == data_of(3 * LIMIT + 20)
    assert_goes_on(writer, reader)


@ON_BOTH
@pytest.mark.parametrize("blocks", [1, 2])
def test_gathered_message_that_lies_is_no_object_and_the_next_comes_next(blocks: int, make_ring: MakeRing) -> None:
    """What stands inside a body is held to its size, too."""
    ring = make_ring(1, 400 // blocks, 2)
    writer, reader = ends_of(ring)
    for at, value in ((32, ENORMOUS), (32, 2), (40, ENORMOUS), (48, 99)):
        for take in ("dequeue", "read"):
            first = writer._runner.where()
            writer.enqueue(an_array(100), timeout=0)
            with ring.segment.frame(first) as block:
                struct.pack_into("<Q", block, at, value)
                head = bytes(block[32:60])
            with pytest.raises(DecodeError, match="damaged") as caught:
                TAKES[take](reader)
            assert caught.value.raw.startswith(head)
            assert all(ring.flags(block) in (b"\1\1", b"\0\0") for block in range(2))
            assert_goes_on(writer, reader)


@ON_BOTH
@pytest.mark.parametrize("sent", [data_of(3 * LIMIT), b"small"])
def test_part_without_its_beginning_is_passed_over_by_a_successor_only_where_it_came_in(
    sent: bytes, make_ring: MakeRing
) -> None:
    ring = make_ring(1, LIMIT, 4)
    writer, reader = ends_of(ring)
    assert_goes_on(writer, reader)
    reader.close()
    reader = ShmRingBufferIO(ring, 0)
    writer.send_bytes(sent, timeout=0)
    assert reader.recv_bytes(timeout=0) == sent
    block = writer._runner.done() % 4
    for _ in range(2):
        writer.send_bytes(b"", timeout=0)
    with damaged(ring, block, "part", 0), damaged(ring, block, "length_bytes", 5), damaged(ring, block, "total_bytes", 99):
        for _ in range(2):
            with pytest.raises(FrameError, match="its first part was not here"):
                reader.dequeue(timeout=0)
    assert [reader.dequeue(timeout=0) for _ in range(2)] == [b"", b""]
    assert_goes_on(writer, reader)


# In place.


def address(thing: Any) -> int:
    return int(np.frombuffer(thing, "u1").__array_interface__["data"][0])


def lies_in(thing: Any, end: ShmRingBufferIO) -> bool:
    """Whether that memory is the memory of the block that the endpoint holds."""
    with end.buffer.segment.frame(end._runner.where()) as block:
        start = address(block)
        return start <= address(thing) < start + len(block)


@ON_BOTH
def test_message_read_in_place_shares_the_blocks_memory_and_is_emptied(make_ring: MakeRing) -> None:
    ring = make_ring(1, 1000, 2)
    writer, reader = ends_of(ring)
    writer.enqueue({"a": an_array(100), "b": an_array(300).reshape(3, 100), "c": bytearray(200)}, timeout=0)
    with reader.read(timeout=0) as message:
        for part in ("a", "b"):
            assert lies_in(message[part], reader)
            assert not message[part].flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                message[part][0] = 1
        assert message["b"].tobytes() == data_of(300)
    assert [message[part].size for part in ("a", "b")] == [0, 0]
    writer.send_bytes(data_of(900), timeout=0)
    with reader.read(timeout=0) as view:
        assert lies_in(view, reader)
        assert view.readonly
        assert view == data_of(900)
    with pytest.raises(ValueError, match="released"):
        view[0]
    assert_goes_on(writer, reader)
    ring.close()


@ON_BOTH
@pytest.mark.parametrize("kind", ["array", "bytes"])
def test_slice_that_escapes_from_a_message_in_place_is_noticed(kind: str, make_ring: MakeRing) -> None:
    ring = make_ring(1, 400, 2)
    writer, reader = ends_of(ring)
    writer.enqueue(an_array(200) if kind == "array" else data_of(200), timeout=0)
    kept = []

    def let_escape() -> None:
        with pytest.raises(BlockEscapedError, match="The message stays unread"), reader.read(timeout=0) as message:
            kept.append(message[3:5])

    for _ in range(2):
        let_escape()
        kept.clear()
        assert ring.flags(0) == b"\1\0"
    with reader.read(timeout=0) as message:
        assert bytes(message) == data_of(200)
    assert_goes_on(writer, reader)
    ring.close()


@ON_BOTH
@pytest.mark.parametrize("size", [10, 3 * LIMIT], ids=["one block", "several"])
@pytest.mark.parametrize("kind", ["array", "bytes", "pickle"])
def test_message_comes_again_where_the_body_raises(kind: str, size: int, make_ring: MakeRing) -> None:
    """By whatever call, and before any other; and it is not what the body has made of it."""
    ring = make_ring(1, LIMIT if size > LIMIT else 400, 8)
    writer, reader = ends_of(ring)
    made = {"array": an_array(size), "bytes": data_of(size), "pickle": [*range(size)]}
    sent = made[kind]
    for take in TAKES.values():
        writer.enqueue(sent, timeout=0)
        writer.send_bytes(b"next", timeout=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), reader.read(timeout=0) as message:
                assert bytes(message) == bytes(sent) if kind != "pickle" else message == sent
                if kind == "pickle":
                    message.clear()
                raise ZeroDivisionError
        if size > LIMIT:
            with pytest.raises(EndpointBusyError, match="take it with dequeue"):
                reader.acquire_read(timeout=0).__enter__()
        if kind != "bytes":
            with pytest.raises(FrameError, match="recv_bytes takes what send_bytes has sent"):
                reader.recv_bytes(timeout=0)
            take = TAKES["dequeue"]
        found = take(reader)
        assert repr(found) == repr(sent)
        assert reader.recv_bytes(timeout=0) == b"next"
    assert_goes_on(writer, reader)


def test_endpoint_that_is_dropped_in_the_middle_is_gone_at_once(make_ring: MakeRing) -> None:
    """With parts of a message on both sides; nothing waits for the garbage to be collected."""
    ring = make_ring(1, LIMIT, 2)
    ends = ends_of(ring)
    begin(ends[0], data_of(5 * LIMIT))
    assert_nothing_comes(ends[1])
    gc.disable()
    try:
        before = sys.getrefcount(ring)
        ends.clear()
        assert sys.getrefcount(ring) < before
    finally:
        gc.enable()
    ring.close()
