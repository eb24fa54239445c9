"""Those who are gone, have left, or never came: what is said of them, who goes on without them, and who takes their place.

An endpoint that is dropped without being closed is gone as one is whose process was killed: its role is let go, and its entry
says that it has one. ``tests/process/test_deaths.py`` does the same to real processes.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from support import LONG_SECONDS, Background, MakeRing, assert_goes_on, ends_of, lies_down

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.endpoint.peers import Lost, Peers
from ringbuffer.errors import ClosedError, PeerDied, RankError, RoleTaken, WaitTimeoutError
from ringbuffer.memory import participants
from ringbuffer.memory.layout import PARTICIPANT
from ringbuffer.memory.participants import Entry, Presence, Role, presence_of
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Case

BLOCKS: Final = 3
ON_BOTH = pytest.mark.usefixtures("backend")
HOW_GONE: Final = ["dropped", "closed"]


@pytest.fixture
def other_ring() -> Iterator[Any]:
    """Makes the copy of a ring that another process would have."""
    made: list[ShmRingBuffer] = []

    def make(ring: ShmRingBuffer) -> ShmRingBuffer:
        made.append(pickle.loads(pickle.dumps(ring)))
        return made[-1]

    yield make
    for ring in made:
        ring.close()


def entry_of(ring: ShmRingBuffer, rank: int) -> participants.Entry:
    role = Role(ring.segment, rank)
    try:
        return role.entry()
    finally:
        role.release()


def lost(end: ShmRingBufferIO, rank: int, timeout: float | None = 0) -> PeerDied:
    """The error of a call that waits for who is gone."""
    with pytest.raises(PeerDied) as caught:
        end.broadcast_object("not sent", timeout=timeout)
    assert (caught.value.rank, caught.value.pid) == (rank, os.getpid())
    assert isinstance(caught.value, ConnectionError)
    return caught.value


# What is said.


@ON_BOTH
@pytest.mark.parametrize("timeout", [0, 1e-9, LONG_SECONDS, None])
def test_reader_gets_what_is_published_and_then_hears_that_its_writer_is_gone(
    timeout: float | None, make_ring: MakeRing
) -> None:
    ring = make_ring(max_chunks=BLOCKS)
    ends = ends_of(ring)
    for number in range(2):
        ends[0].enqueue(number)
    del ends[0]
    assert [ends[0].dequeue(timeout=timeout) for _ in range(2)] == [0, 1]
    for _ in range(3):
        error = lost(ends[0], -1, timeout)
        assert (error.block_index, error.case, error.left) == (2, Case.UNWRITTEN, False)
        assert 0 <= error.seconds_ago < LONG_SECONDS
        text = str(error)
        assert text.startswith(f"the writer (pid {os.getpid()}) of ring {ring.name} is gone without having closed its end")
        assert "reader 0 (pid" in text
        assert "a successor goes on where it stopped: ShmRingBufferIO(ring, -1)" in text
        assert "evict" not in text
    writer = ShmRingBufferIO(ring, -1)
    with pytest.raises(WaitTimeoutError):
        ends[0].dequeue(timeout=0)
    assert_goes_on(writer, ends[0])


@ON_BOTH
@pytest.mark.parametrize("timeout", [0, None])
def test_writer_fills_the_ring_and_then_hears_which_reader_is_gone(timeout: float | None, make_ring: MakeRing) -> None:
    ring = make_ring(3, max_chunks=BLOCKS)
    ends = ends_of(ring)
    del ends[2]
    for number in range(BLOCKS):
        ends[0].enqueue(number, timeout=timeout)
        assert [end.dequeue(timeout=0) for end in ends[1:]] == [number, number]
    before = [ring.flags(block) for block in range(BLOCKS)]
    for _ in range(2):
        error = lost(ends[0], 1, timeout)
        assert (error.block_index, error.case, error.left) == (0, Case.PARTLY_READ, False)
        assert "evict(1) lets the writer go on" in str(error)
        assert [ring.flags(block) for block in range(BLOCKS)] == before
    second = ShmRingBufferIO(ring, 1)
    assert [second.dequeue(timeout=0) for _ in range(BLOCKS)] == [*range(BLOCKS)]
    assert_goes_on(ends[0], ends[1], second, ends[2])


@ON_BOTH
@pytest.mark.parametrize("rank", [-1, 0])
def test_who_sleeps_hears_of_it_too(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=1)
    ends = ends_of(ring)
    if rank == -1:
        ends[0].enqueue("one")
    waiter = ends.pop(1 + rank)
    thread = Background(lambda: lost(waiter, -1 - rank, None))
    lies_down(ring, rank)
    ends.clear()
    assert thread.outcome().case is (Case.WRITTEN if rank == -1 else Case.UNWRITTEN)


@pytest.mark.parametrize("rank", [-1, 0])
def test_block_that_came_just_before_its_peer_was_gone_is_taken(
    rank: int, make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the peer does its part, and is gone, between the waiter's last look at the block and its look at who lives."""
    ends = ends_of(make_ring(max_chunks=1))
    if rank == -1:
        ends[0].enqueue("early")
    waiter = ends.pop(1 + rank)
    look = waiter._waiter.peers.lost

    def come_and_go(ranks: tuple[int, ...]) -> Lost | None:
        if ends:
            assert ends[0].broadcast_object("late", timeout=0) == ("early" if rank == -1 else "late")
            ends.clear()
        return look(ranks)

    monkeypatch.setattr(waiter._waiter.peers, "lost", come_and_go)
    assert waiter.broadcast_object("late", timeout=0) == "late"
    lost(waiter, -1 - rank)


@pytest.mark.parametrize("rank", [-1, 0])
def test_who_has_left_is_waited_for_as_long_as_it_can_be_followed(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=1)
    ends = ends_of(ring)
    waiter, other = ends[1 + rank], ends[-rank]
    if rank == -1:
        waiter.enqueue("one")
    other.close()
    name = "reader 0" if rank == -1 else "the writer"
    says = f"{'reader rank 0' if rank == -1 else 'it'} \\(pid {os.getpid()}\\),?( which)? left .* s ago"
    with pytest.raises(WaitTimeoutError, match=says):
        waiter.broadcast_object("not sent", timeout=0)
    ring.unlink()
    error = lost(waiter, -1 - rank)
    assert error.left
    assert f"{name} (pid {os.getpid()}) of ring {ring.name} has closed its end" in str(error)
    assert "the ring is unlinked, so that nobody can take its place" in str(error)
    assert "successor" not in str(error)


@ON_BOTH
def test_reader_whose_flag_is_damaged_is_waited_for_and_its_death_is_told(make_ring: MakeRing) -> None:
    """A flag that is not 1 is no mark, whatever it is, so that its reader is asked for."""
    ring = make_ring(2, max_chunks=1)
    ends = ends_of(ring)
    ends[0].enqueue("one")
    with ring.segment.flags(0) as flags:
        flags[1], flags[2] = 1, 2
    ends.pop()
    error = lost(ends[0], 1)
    assert error.case is None


@pytest.mark.parametrize("rank", [-1, 0])
def test_who_never_came_is_waited_for(rank: int, make_ring: MakeRing) -> None:
    ring = make_ring(2, max_chunks=1)
    waiter = ShmRingBufferIO(ring, rank)
    if rank == -1:
        waiter.enqueue("one")
    others = ["reader 0", "reader 1"] if rank == -1 else ["it"]
    with pytest.raises(WaitTimeoutError) as caught:
        waiter.broadcast_object("not sent", timeout=0)
    for other in others:
        assert f"{other} has not come yet" in str(caught.value)
    ring.unlink()
    with pytest.raises(WaitTimeoutError):
        waiter.broadcast_object("not sent", timeout=0)


@pytest.mark.parametrize("rank", [-1, 0])
def test_who_comes_or_leaves_while_it_is_asked_for_is_not_called_dead(
    rank: int, make_ring: MakeRing, other_ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock and the entry are two things; here somebody comes between the looks at them, and then leaves between them."""
    ring = make_ring()
    other = other_ring(ring)
    role = Role(ring.segment, rank)
    ends: list[ShmRingBufferIO] = []
    is_held = Segment.is_held
    seen: list[bool] = []

    def come_or_leave(segment: Segment, offset: int) -> bool:
        found = is_held(segment, offset)
        if not seen:
            ends.append(ShmRingBufferIO(other, rank))
        elif len(seen) == 2:
            ends.pop().close()
            found = is_held(segment, offset)
        seen.append(found)
        return found

    monkeypatch.setattr(Segment, "is_held", come_or_leave)
    assert role.presence() is Presence.HELD
    assert role.presence() is Presence.LEFT
    assert len(seen) == 4, "each was asked for again"
    role.release()


def test_entry_of_a_claim_that_was_at_work_between_its_fields_is_read_again() -> None:
    """Its new generation with the old pid, say, which would be told for the pid of who is dead."""
    whole = Entry(3, 0, 700, 0, 22, 2, 0)
    found = iter([whole._replace(pid=11), whole, whole, whole])
    assert presence_of(lambda: next(found), lambda: False) == (whole, Presence.DEAD)


@ON_BOTH
@pytest.mark.parametrize("waits", [-1, 0])
@pytest.mark.parametrize("comes", ["before the error is made", "behind that"])
def test_who_comes_while_a_death_is_told_is_waited_for(
    comes: str, waits: int, make_ring: MakeRing, other_ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is called dead who lives, and no successor's pid is given for the dead one's."""
    ring = make_ring(max_chunks=1)
    ends = ends_of(ring)
    if waits == -1:
        ends[0].enqueue("one")
    waiter, gone = ends.pop(1 + waits), -1 - waits
    ends.clear()
    died = Peers.died
    told: list[PeerDied] = []
    successors: list[ShmRingBufferIO] = []

    def somebody_comes(peers: Peers, *what: Any) -> PeerDied:
        if comes.startswith("before"):
            successors.append(ShmRingBufferIO(other_ring(ring), gone))
        told.append(died(peers, *what))
        if not successors:
            successors.append(ShmRingBufferIO(other_ring(ring), gone))
        return told[-1]

    with monkeypatch.context() as patched:
        patched.setattr(Peers, "died", somebody_comes)
        with pytest.raises(WaitTimeoutError, match=r"\blives\b"):
            waiter.broadcast_object("not sent", timeout=0)
    assert len(told) == 1
    successors.clear()
    lost(waiter, gone)


# Who is evicted.


@ON_BOTH
@pytest.mark.parametrize("how", ["dropped", "closed", "never came"])
@pytest.mark.parametrize("where", ["same ring", "other ring"])
def test_writer_goes_on_without_the_evicted_until_somebody_comes(
    how: str, where: str, make_ring: MakeRing, other_ring: Any
) -> None:
    ring = make_ring(3, max_chunks=BLOCKS)
    writer, first, last = (ShmRingBufferIO(ring, rank) for rank in (-1, 0, 2))
    sent = 0

    def send(times: int) -> None:
        nonlocal sent
        for _ in range(times):
            writer.enqueue(sent, timeout=0)
            assert [reader.dequeue(timeout=0) for reader in (first, last)] == [sent, sent]
            sent += 1

    if how != "never came":
        gone = [ShmRingBufferIO(ring, 1)]
        send(2)
        assert gone[0].dequeue(timeout=0) == 0
        if how == "closed":
            gone[0].close()
        gone.clear()
    send(BLOCKS - sent + (how != "never came"))
    with pytest.raises(PeerDied if how == "dropped" else WaitTimeoutError):
        writer.enqueue("not sent", timeout=0)
    writer.evict(1)
    writer.evict(1)
    assert entry_of(ring, 1).evicted_by == os.getpid()
    for _ in range(2 * BLOCKS):
        send(1)
        newcomer_gets = [*range(entry_of(ring, 1).position, sent)]
        assert 1 <= len(newcomer_gets) <= BLOCKS
    newcomer = ShmRingBufferIO(ring if where == "same ring" else other_ring(ring), 1)
    assert entry_of(ring, 1).evicted_by == 0
    assert [newcomer.dequeue(timeout=0) for _ in newcomer_gets] == newcomer_gets
    send(BLOCKS)
    with pytest.raises(WaitTimeoutError) as caught:
        writer.enqueue("not sent", timeout=0)
    assert caught.value.missing_ranks == (1,)
    with pytest.raises(RoleTaken):
        writer.evict(1)
    assert [newcomer.dequeue(timeout=0) for _ in range(BLOCKS)] == [*range(sent - BLOCKS, sent)]
    assert_goes_on(writer, first, newcomer, last)


@ON_BOTH
def test_newcomer_that_is_gone_again_is_evicted_no_more(make_ring: MakeRing, other_ring: Any) -> None:
    """Even if the writer had not to wait while it was there."""
    ring = make_ring(max_chunks=BLOCKS)
    writer = ShmRingBufferIO(ring, -1)
    writer.evict(0)
    for number in range(2 * BLOCKS):
        writer.enqueue(number, timeout=0)
    newcomers = [ShmRingBufferIO(other_ring(ring), 0)]
    newcomers.clear()
    for number in range(BLOCKS):
        if entry_of(ring, 0).position + BLOCKS == writer._runner.done():
            break
        writer.enqueue(number, timeout=0)
    lost(writer, 0)
    writer.evict(0)
    writer.enqueue("goes on", timeout=0)


@ON_BOTH
@pytest.mark.parametrize("where", ["same ring", "other ring"])
def test_who_lives_is_not_evicted(where: str, make_ring: MakeRing, other_ring: Any) -> None:
    ring = make_ring(max_chunks=BLOCKS)
    writer = ShmRingBufferIO(ring, -1)
    reader = ShmRingBufferIO(ring if where == "same ring" else other_ring(ring), 0)
    writer.enqueue("one")
    for _ in range(2):
        with pytest.raises(RoleTaken, match=f"reader 0 \\(pid {os.getpid()}\\) .* holds its role"):
            writer.evict(0)
    with pytest.raises(RoleTaken):
        ShmRingBufferIO(other_ring(ring), 0)
    assert reader.dequeue(timeout=0) == "one"
    assert_goes_on(writer, reader)


def test_newcomer_waits_for_the_end_of_a_moments_standing_in(
    make_ring: MakeRing, other_ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = make_ring()
    writer = ShmRingBufferIO(ring, -1)
    writer.evict(0)
    role = writer._waiter.peers._peer(0).role
    assert role.stand_in()
    yields: list[int] = []

    def sched_yield() -> None:
        yields.append(1)
        if len(yields) == 3:
            role.stand_back()

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_yield", sched_yield)
        reader = ShmRingBufferIO(other_ring(ring), 0)
    assert len(yields) == 3
    assert_goes_on(writer, reader)


def test_stand_in_that_does_not_stand_back_is_not_awaited_for_ever(
    make_ring: MakeRing, other_ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = make_ring()
    writer = ShmRingBufferIO(ring, -1)
    writer.evict(0)
    role = writer._waiter.peers._peer(0).role
    assert role.stand_in()
    monkeypatch.setattr(participants, "STANDING_IN_SECONDS", 0.0)
    with pytest.raises(RoleTaken):
        ShmRingBufferIO(other_ring(ring), 0)
    role.stand_back()


@pytest.mark.parametrize("rank", [-1, 2, True, "0", None])
def test_nobody_is_evicted_who_is_no_reader(rank: Any, make_ring: MakeRing) -> None:
    ring = make_ring(2)
    writer = ShmRingBufferIO(ring, -1)
    with pytest.raises(RankError, match="is no reader of ring"):
        writer.evict(rank)
    writer.close()
    with pytest.raises(ClosedError):
        writer.evict(0)


# Who takes over.


def written_by_hand(ring: ShmRingBuffer, rank: int, position: int) -> None:
    """An entry as a process has left it that was killed just there."""
    start = ring.segment.layout.participant_offset(rank)
    with ring.segment.whole() as whole:
        PARTICIPANT.pack_into(whole, start, position, 0, 12345, 0, 4711, 7, 0)


@ON_BOTH
@pytest.mark.parametrize("killed", ["behind its note", "before its note", "while it fills"])
@pytest.mark.parametrize("blocks", [1, BLOCKS])
def test_writers_successor_goes_on_behind_what_is_published(killed: str, blocks: int, make_ring: MakeRing) -> None:
    for done in range(2 * blocks + 2):
        ring = make_ring(2, max_chunks=blocks)
        writer, *readers = ends_of(ring)
        for number in range(done):
            writer.enqueue(number)
            if number + 1 < done or killed == "while it fills":
                assert [reader.dequeue(timeout=0) for reader in readers] == [number, number]
        writer.close()
        written_by_hand(ring, -1, done - 1 if killed == "before its note" and done else done)
        if killed == "while it fills":
            with ring.segment.flags(done % blocks) as flags:
                flags[0] = 0
        successor = ShmRingBufferIO(ring, -1)
        assert entry_of(ring, -1)[3:6] == (0, os.getpid(), 8)
        if killed != "while it fills" and done:
            assert [reader.dequeue(timeout=0) for reader in readers] == [done - 1, done - 1]
        assert_goes_on(successor, *readers)
        ring.unlink()
        ring.close()


@ON_BOTH
@pytest.mark.parametrize("killed", ["before its note", "before its mark", "behind its mark"])
@pytest.mark.parametrize("blocks", [1, BLOCKS])
def test_readers_successor_goes_on_at_what_was_not_marked(killed: str, blocks: int, make_ring: MakeRing) -> None:
    for done in range(2 * blocks + 2):
        ring = make_ring(2, max_chunks=blocks)
        writer, reader, other = ends_of(ring)
        for number in range(done + 1):
            writer.enqueue(number)
            assert other.dequeue(timeout=0) == number
            if number < done or killed == "behind its mark":
                assert reader.dequeue(timeout=0) == number
        reader.close()
        written_by_hand(ring, 0, done if killed == "before its note" else done + 1)
        successor = ShmRingBufferIO(ring, 0)
        if killed != "behind its mark":
            assert successor.dequeue(timeout=0) == done
        assert_goes_on(writer, successor, other)
        ring.unlink()
        ring.close()


@ON_BOTH
@pytest.mark.parametrize("how", HOW_GONE)
@pytest.mark.parametrize("taken", range(4))
def test_readers_successor_passes_over_the_rest_of_a_message(how: str, taken: int, make_ring: MakeRing) -> None:
    """Of five blocks, of which its predecessor had taken so many; the next message is whole. With none taken, this one is."""
    ring = make_ring(2, 64, 3)
    writer, reader, other = ends_of(ring)
    first = bytes(range(200)) + bytes(5 * 64 - 200)
    with pytest.raises(WaitTimeoutError):
        writer.send_bytes(first, timeout=0)
    with pytest.raises(WaitTimeoutError):
        other.dequeue(timeout=0)
    for _ in range(taken):  # what it does of its own accord, it does for all there is
        frame = reader._inbox.next_frame(0.0)
        reader._inbox._take("dequeue", frame)
    if how == "closed":
        reader.close()
    del reader
    successor = ShmRingBufferIO(ring, 0)
    with pytest.raises(WaitTimeoutError):
        successor.dequeue(timeout=0)
    assert writer.resume(timeout=0)
    assert other.dequeue(timeout=0) == first
    if taken == 0:
        assert successor.recv_bytes(timeout=0) == first
    with pytest.raises(WaitTimeoutError):
        successor.dequeue(timeout=0)
    assert_goes_on(writer, successor, other)


@ON_BOTH
@pytest.mark.parametrize("how", HOW_GONE)
def test_writers_successor_withdraws_what_it_had_begun(how: str, make_ring: MakeRing) -> None:
    ring = make_ring(1, 64, 3)
    ends = ends_of(ring)
    with pytest.raises(WaitTimeoutError):
        ends[0].send_bytes(bytes(1000), timeout=0)
    if how == "closed":
        ends[0].close()
    del ends[0]
    with pytest.raises(WaitTimeoutError if how == "closed" else PeerDied):
        ends[0].dequeue(timeout=0)
    successor = ShmRingBufferIO(ring, -1)
    assert not successor.resume(timeout=0)
    assert_goes_on(successor, *ends)


@ON_BOTH
def test_successors_follow_each_other(make_ring: MakeRing, other_ring: Any) -> None:
    """Each end is followed after every message, now by one of this ring object, now by one of another."""
    ring = make_ring(max_chunks=BLOCKS)
    rings = [ring, other_ring(ring)]
    for number in range(3 * BLOCKS):
        writer = ShmRingBufferIO(rings[number % 2], -1)
        writer.enqueue(number, timeout=0)
        if number % 3:
            writer.close()
        del writer
        reader = ShmRingBufferIO(rings[number // 2 % 2], 0)
        assert reader.dequeue(timeout=0) == number
        if number % 4:
            reader.close()
        del reader
    assert [entry_of(ring, rank).position for rank in (-1, 0)] == 2 * [3 * BLOCKS]
    assert [entry_of(ring, rank).generation for rank in (-1, 0)] == 2 * [3 * BLOCKS]


def test_since_when_somebody_waits_is_little_endian_on_every_processor(
    make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one store of the processor's, in whose order of bytes the number is turned around where that has to be."""
    role = Role(make_ring().segment, 0)
    role.waits(0x0102_0304_0506_0708)
    assert bytes(role._bytes[8:16]) == bytes(range(8, 0, -1))
    assert role.entry().waiting_since == 0x0102_0304_0506_0708
    monkeypatch.setattr("sys.byteorder", {"little": "big", "big": "little"}[sys.byteorder])
    role.waits(0x0102_0304_0506_0708)
    assert bytes(role._bytes[8:16]) == bytes(range(1, 9)), "as a processor of the other kind would see it: turned around"
    role.release()
