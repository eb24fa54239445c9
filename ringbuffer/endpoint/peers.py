"""The others of an endpoint's ring: who of those it waits for is gone, and who reads in the place of the gone.

A reader waits for the writer, the writer for the readers that have not marked its block. Who holds its role lives; who does
not, and has not given it up, is gone (``memory/participants.py``). A reader that is evicted has a stand-in: the writer's
process runs that reader's rows, reading nothing, whenever it would have to wait for it. So the protocol stays as it was
checked: every rank has a reader. The stand-in holds the rank's role for just as long as it reads, and whoever claims the role
just then waits for the end of that; a newcomer that has taken the role ends the eviction, however soon it is gone again.

Rules: nothing here is asked but by somebody who has waited for a while. Limits: how long ago somebody was lost is known up to
the last sign of it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import NamedTuple

from ringbuffer.compiled import FOUND, Runner, bind
from ringbuffer.errors import PeerDied, RoleTaken
from ringbuffer.memory.backend import load_acquire
from ringbuffer.memory.participants import Entry, Presence, Role
from ringbuffer.protocol import executed, reader_resumes_at, writer_resumes_at
from ringbuffer.ranks import WRITER, name_of
from ringbuffer.ring import ShmRingBuffer

_log = logging.getLogger("ringbuffer")


@dataclass(slots=True)
class _Peer:
    """Somebody that is waited for now and then. ``seen_alive_ns``: when it last held its role, as far as is known here."""

    role: Role
    seen_alive_ns: int = 0
    stand_in: Runner | None = None
    evicted_generation: int = 0
    """Which holder of the role was evicted."""


class Lost(NamedTuple):
    """Somebody that is gone for good. ``entry`` and ``presence``: as they were when that was seen."""

    rank: int
    entry: Entry
    presence: Presence


class Peers:
    """The others, as an endpoint sees them."""

    def __init__(self, buffer: ShmRingBuffer) -> None:
        self._buffer = buffer
        self._peers: dict[int, _Peer] = {}

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        for peer in self._peers.values():
            peer.role.release()
            if peer.stand_in is not None:
                peer.stand_in.release()
        self._peers.clear()

    @property
    def evicted(self) -> tuple[int, ...]:
        """The ranks that have a stand-in."""
        return tuple(sorted(rank for rank, peer in self._peers.items() if peer.stand_in is not None))

    def lost(self, ranks: tuple[int, ...]) -> Lost | None:
        """The first of ``ranks`` that is gone for good: killed, say, or closed while nobody can take its place any more."""
        for rank in ranks:
            peer = self._peer(rank)
            lost = None if peer.stand_in is not None else self._look_for(rank, peer)
            if lost is not None:
                return lost
        return None

    def is_still(self, lost: Lost) -> bool:
        """Whether nobody has taken that role since."""
        entry, presence = self._peer(lost.rank).role.look()
        return presence is lost.presence and entry.is_of_same_holder(lost.entry)

    def died(self, lost: Lost, block_index: int, case: int | None, waited: str) -> PeerDied:
        """The error for whom :meth:`lost` has found. ``waited``: the sentence of the wait."""
        rank, entry, presence = lost
        peer = self._peer(rank)
        left = presence is Presence.LEFT
        last_sign_ns = max(entry.left_at or entry.claimed_at, entry.waiting_since, peer.seen_alive_ns)
        seconds_ago = (time.monotonic_ns() - last_sign_ns) / 1e9
        who = f"{name_of(rank)} (pid {entry.pid}) of ring {self._buffer.name}"
        if left:
            how = (
                f"{who} has closed its end {seconds_ago:.3g} s ago, and the ring is unlinked, so that nobody can take its place"
            )
        else:
            how = f"{who} is gone without having closed its end, since {seconds_ago:.3g} s at the most"
        successor = "" if left else f"; a successor goes on where it stopped: ShmRingBufferIO(ring, {rank})"
        return PeerDied(
            f"{how}; {waited}{successor}",
            rank=rank,
            pid=entry.pid,
            block_index=block_index,
            case=case,
            seconds_ago=seconds_ago,
            left=left,
        )

    def evict(self, rank: int) -> None:
        """Read in the place of that reader from now on. Raises :class:`RoleTaken` for one that lives."""
        peer = self._peer(rank)
        if not peer.role.stand_in():
            self._is_back(rank, peer)
            raise RoleTaken(
                f"reader {rank} (pid {peer.role.entry().pid}) of ring {self._buffer.name} holds its role: only who is gone, or"
                " was never there, can be evicted; end that process first"
            )
        try:
            if peer.stand_in is None:
                peer.stand_in = bind(executed(self._buffer.protocol.reader), self._buffer.segment, rank)
            peer.evicted_generation = peer.role.entry().generation
            peer.role.note_eviction()
        finally:
            peer.role.stand_back()

    def read_for_the_evicted(self) -> bool:
        """Let every stand-in mark what is published. Whether any block was marked."""
        marked = [self._read_for(rank, peer) for rank, peer in list(self._peers.items()) if peer.stand_in is not None]
        return any(marked)

    def _read_for(self, rank: int, peer: _Peer) -> bool:
        if not peer.role.stand_in():
            self._is_back(rank, peer)
            return False
        try:
            if peer.role.entry().generation != peer.evicted_generation:
                self._is_back(rank, peer)
                return False
            return self._mark_all(peer)
        finally:
            peer.role.stand_back()

    def _mark_all(self, peer: _Peer) -> bool:
        runner = peer.stand_in
        assert runner is not None, "asked of stand-ins only"
        runner.resume(resumes_at(self._buffer, peer.role))
        marked = False
        while runner.begin() == FOUND:
            runner.finish()
            marked = True
        return marked

    def _is_back(self, rank: int, peer: _Peer) -> None:
        """Somebody has taken the role since: that ends the eviction, even if it is gone again."""
        runner, peer.stand_in = peer.stand_in, None
        if runner is not None:
            runner.release()
            _log.info("reader %d of ring %s is back: nobody stands in for it any more", rank, self._buffer.name)

    def _look_for(self, rank: int, peer: _Peer) -> Lost | None:
        entry, presence = peer.role.look()
        if presence is Presence.HELD:
            peer.seen_alive_ns = time.monotonic_ns()
        is_lost = presence is Presence.DEAD or (presence is Presence.LEFT and self._buffer.segment.is_unlinked)
        return Lost(rank, entry, presence) if is_lost else None

    def _peer(self, rank: int) -> _Peer:
        if rank not in self._peers:
            self._peers[rank] = _Peer(Role(self._buffer.segment, rank))
        return self._peers[rank]


def resumes_at(buffer: ShmRingBuffer, role: Role) -> int:
    """The number of the block at which whoever has that role now goes on.

    The looks of ``protocol/succession.py``, in its order and with its orderings: the writer may be at work on a reader's block.
    Whoever stands there then notes that number before it does anything else (:meth:`~ringbuffer.compiled.Runner.resume`).
    """
    position, segment = role.entry().position, buffer.segment
    block = (position if role.rank == WRITER else position - 1) % buffer.max_chunks
    with segment.flags(block) as flags:
        if role.rank == WRITER:
            is_published = flags[0] == 1  # T1
            return writer_resumes_at(position, is_published=is_published, holds=segment.sequence(block))  # T2
        is_unread = load_acquire(flags, 1 + role.rank) == 0 and load_acquire(flags, 0) == 1  # T4, T5
        return reader_resumes_at(position, is_unread=is_unread, holds=segment.sequence(block))  # T6
