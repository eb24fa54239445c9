"""The ring: pickling attaches, ``close`` lets go in this process, ``unlink`` ends it for all; neither does the other's work."""

from __future__ import annotations

import gc
import pickle
from contextlib import suppress
from pathlib import Path

import pytest
from support import ALIASES, SHM, MakeRing, RunPython, ends_of, held, is_mapped

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.errors import (
    BlockEscapedError,
    ClosedError,
    EndpointBusyError,
    GeometryError,
    SegmentFormatError,
    SegmentMissingError,
    WaitTimeoutError,
)
from ringbuffer.memory.shared import NAME_PREFIX
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Case, Variant


def attached(ring: ShmRingBuffer) -> ShmRingBuffer:
    other = pickle.loads(pickle.dumps(ring))
    assert isinstance(other, ShmRingBuffer)
    return other


def exists(ring: ShmRingBuffer) -> bool:
    return (SHM / ring.name).exists()


def test_geometry_and_name_are_attributes(make_ring: MakeRing) -> None:
    ring = make_ring(3, 100, 5)
    assert (ring.n_reader, ring.max_chunk_bytes, ring.max_chunks, ring.is_creator) == (3, 100, 5, True)
    assert exists(ring)
    for part in (ring.name, "3 readers", "5 blocks", "100 bytes"):
        assert part in repr(ring)
    assert "closed" not in repr(ring)
    ring.close()
    assert "closed" in repr(ring)


@pytest.mark.parametrize("geometry", [(-1, 64, 2), (1, 0, 2), (1, 64, 0), (1, 64, True), (1, 6.4, 2)])
def test_impossible_geometry_is_refused(geometry: tuple[int, int, int]) -> None:
    with pytest.raises(GeometryError):
        ShmRingBuffer(*geometry)


def test_flags_and_case_are_those_of_the_memory(make_ring: MakeRing) -> None:
    ring = make_ring(2)
    writer, first, second = ends_of(ring)
    seen = [ring.case(0)]
    for step in (lambda: writer.enqueue(1), first.dequeue, second.dequeue):
        step()
        seen.append(ring.case(0))
    assert seen == [Case.UNWRITTEN, Case.WRITTEN, Case.PARTLY_READ, Case.READ_BY_ALL]
    assert (ring.flags(0), ring.flags(1)) == (b"\1\1\1", b"\0\0\0")


@pytest.mark.parametrize("protocol", [PROTOCOL, PROTOCOL.replace(initial_read_flag=1), ORIGINAL])
def test_unpickling_attaches(protocol: Variant, make_ring: MakeRing) -> None:
    ring = make_ring(2, 100, 3, protocol=protocol)
    other = attached(ring)
    for attribute in ("name", "n_reader", "max_chunk_bytes", "max_chunks", "protocol"):
        assert getattr(other, attribute) == getattr(ring, attribute)
    assert other.segment.header == ring.segment.header
    assert not other.is_creator
    ShmRingBufferIO(ring, -1).enqueue("hello")
    assert ShmRingBufferIO(other, 1).dequeue(timeout=0) == "hello"
    other.close()


ECHO = """
import pickle, sys
from ringbuffer import ShmRingBufferIO
there, back = pickle.loads(bytes.fromhex(sys.argv[1]))
print(there.n_reader, there.max_chunk_bytes, there.max_chunks, there.name, there.is_creator)
with there, back:
    ShmRingBufferIO(back, -1).enqueue(ShmRingBufferIO(there, 0).dequeue(timeout=0)[::-1])
    print(there.flags(0).hex())
"""


def test_pickled_ring_works_in_another_process(make_ring: MakeRing, run_python: RunPython) -> None:
    there, back = make_ring(1, 100, 3), make_ring()
    ShmRingBufferIO(there, -1).enqueue("hello")
    done = run_python(ECHO, pickle.dumps((there, back)).hex())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"1 100 3 {there.name} False\n0101\n"
    assert ShmRingBufferIO(back, 0).dequeue(timeout=0) == "olleh"
    assert there.case(0) is Case.READ_BY_ALL
    assert exists(there), "leaving the with of an attached ring does not unlink"


def test_closed_ring_refuses_everything_but_to_end(make_ring: MakeRing) -> None:
    ring = make_ring()
    ring.close()
    for use in (
        lambda: pickle.dumps(ring),
        lambda: ShmRingBufferIO(ring, -1),
        lambda: ring.flags(0),
        lambda: ring.case(0),
        ring.check_open,
        ring.__enter__,
    ):
        with pytest.raises(ClosedError, match=ring.name):
            use()
    ring.close()
    ring.unlink()
    ring.unlink()
    assert not exists(ring)


def test_handle_of_an_unlinked_ring_is_missing(make_ring: MakeRing) -> None:
    ring = make_ring()
    handle = pickle.dumps(ring)
    ring.unlink()
    with pytest.raises(SegmentMissingError, match=ring.name):
        pickle.loads(handle)


@pytest.mark.parametrize(("max_chunks", "field"), [(2, "identity"), (3, "geometry")])
def test_handle_does_not_attach_to_another_ring_of_its_name(
    max_chunks: int, field: str, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is the first half of the identity; here a second ring gets the same name and another identity."""
    tokens = iter([b"8 bytes." + b"the first", b"8 bytes." + b"the later"])

    def token_bytes(count: int) -> bytes:
        return next(tokens)[:count]

    monkeypatch.setattr("ringbuffer.memory.shared.secrets.token_bytes", token_bytes)
    ring = make_ring()
    handle = pickle.dumps(ring)
    ring.unlink()
    ring.close()
    later = make_ring(max_chunks=max_chunks)
    assert later.name == ring.name
    with pytest.raises(SegmentFormatError, match=ring.name) as caught:
        pickle.loads(handle)
    assert caught.value.field == field
    later.close()
    assert not is_mapped(ring.name), "what was refused is let go of"


def test_with_of_the_creator_unlinks_and_closes() -> None:
    with ShmRingBuffer(1, 64, 2) as ring:
        writer, reader = ends_of(ring)
        writer.enqueue(1)
        assert reader.dequeue() == 1
    assert not exists(ring)
    assert not is_mapped(ring.name)
    with pytest.raises(ClosedError):
        writer.enqueue(2)


def test_with_unlinks_when_its_body_raises() -> None:
    with pytest.raises(RuntimeError, match="boom"), ShmRingBuffer(1, 64, 2) as ring:
        raise RuntimeError("boom")
    assert not exists(ring)
    assert not is_mapped(ring.name)


def test_with_of_an_attached_ring_closes_only(make_ring: MakeRing) -> None:
    ring = make_ring()
    with attached(ring) as other:
        pass
    with pytest.raises(ClosedError):
        other.check_open()
    assert exists(ring)
    ring.check_open()


def test_close_does_not_unlink_and_unlink_does_not_close(make_ring: MakeRing) -> None:
    ring = make_ring()
    other = attached(ring)
    writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(other, 0)
    ring.unlink()
    writer.enqueue(1)
    assert reader.dequeue(timeout=0) == 1, "those who have attached go on"
    other.close()
    again = make_ring()
    again.close()
    assert exists(again)


def test_ring_that_is_dropped_leaves_nothing() -> None:
    ring = ShmRingBuffer(1, 64, 2)
    name, writer = ring.name, ShmRingBufferIO(ring, -1)
    del ring
    gc.collect()
    assert (SHM / name).exists(), "an endpoint keeps its ring"
    del writer
    gc.collect()
    assert not (SHM / name).exists()
    assert not is_mapped(name)


def resources() -> tuple[int, int]:
    """The files that this process has open, and the parts of rings that it has in its memory."""
    maps = Path("/proc/self/maps").read_text()
    return len([*Path("/proc/self/fd").iterdir()]), maps.count(NAME_PREFIX)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_rings_that_have_ended_keep_no_file_and_no_memory(ending: str) -> None:
    """After everything that opens a file: roles that are asked for, and that somebody stands in for."""
    gc.collect()
    before = resources()
    kept: list[object] = []
    for _ in range(20):
        ring = ShmRingBuffer(2, 64, 2)
        other = attached(ring)
        writer, reader = ShmRingBufferIO(ring, -1), ShmRingBufferIO(other, 0)
        writer.evict(1)
        for number in range(5):
            writer.enqueue(number, timeout=0)
            assert reader.dequeue(timeout=0) == number
        with pytest.raises(WaitTimeoutError):
            reader.dequeue(timeout=0)
        assert resources() > before
        if ending == "closed":
            kept += [ring, other, writer, reader]
            other.close()
            ring.unlink()
            ring.close()
    del ring, other, writer, reader
    if ending == "dropped":
        gc.collect()
    assert resources() == before


def test_attached_ring_that_is_dropped_unlinks_nothing(make_ring: MakeRing) -> None:
    ring = make_ring()
    attached(ring)
    gc.collect()
    assert exists(ring)


def test_close_ends_its_endpoints(make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, reader = ends_of(ring)
    ring.close()
    for use in (lambda: writer.enqueue(1), reader.dequeue, writer.acquire_write, reader.acquire_read):
        with pytest.raises(ClosedError, match=ring.name):
            use()
    assert not is_mapped(ring.name)


@pytest.mark.parametrize("order", [(-1, 0), (0, -1)])
@pytest.mark.parametrize("holder", [-1, 0])
@pytest.mark.parametrize("by", ["same thread", "other thread"])
def test_close_while_a_block_is_held_changes_nothing(holder: int, order: tuple[int, int], by: str, make_ring: MakeRing) -> None:
    """Neither the endpoint that holds the block nor any other is closed, whichever was made first."""
    ring = make_ring()
    ends = {rank: ShmRingBufferIO(ring, rank) for rank in order}
    ends[-1].enqueue("one")
    acquire = ends[-1].acquire_write if holder == -1 else ends[0].acquire_read
    with acquire() if by == "same thread" else held(acquire), pytest.raises(EndpointBusyError, match=ring.name):
        ring.close()
    ring.check_open()
    if holder == -1:
        assert ends[0].dequeue(timeout=0) == "one"
        with ends[0].acquire_read(timeout=0):
            pass
    ends[-1].enqueue("next", timeout=0)
    assert ends[0].dequeue(timeout=0) == "next"
    ring.close()
    assert not is_mapped(ring.name)


@pytest.mark.parametrize("alias", ALIASES)
def test_close_while_memory_is_referred_to_can_be_done_again(alias: str, make_ring: MakeRing) -> None:
    ring = make_ring()
    writer, _ = ends_of(ring)
    kept: list[object] = []
    with suppress(BlockEscapedError), writer.acquire_write() as block:
        kept.append(ALIASES[alias](block[:8]))
    block.release()
    for _ in range(2):
        with pytest.raises(BlockEscapedError, match=ring.name):
            ring.close()
    with pytest.raises(ClosedError):
        ring.flags(0)
    kept.clear()
    ring.close()
    assert not is_mapped(ring.name)
    assert exists(ring)


def test_what_goes_wrong_in_the_body_is_what_its_caller_sees(make_ring: MakeRing) -> None:
    """A body that raises often keeps what refers to the memory, in the variables of its traceback."""
    ring = make_ring()
    with pytest.raises(KeyError, match="mine"), ring:
        kept = ring.segment.whole()
        raise KeyError("mine")
    with pytest.raises(BlockEscapedError):
        ring.close()
    kept.release()
    ring.close()
