"""Who takes part in a ring: one entry for the writer and for each reader, and the role that goes with it.

A role is claimed by a lock that the kernel lets go when the holder is gone (``holding.py``); what else there is to say of the
holder stands in its entry, and outlives it. So there are four states: *free* (nobody ever had the role), *held*, *left* (given
up in good order) and *gone* (claimed, not given up, and yet nobody holds it: killed, crashed, or ended without closing).

Rules: only who holds a role writes in its entry; times are nanoseconds of the monotonic clock, which all processes of a machine
share. Limits: the pid is what its process calls itself, which is another number in another container.
"""

from __future__ import annotations

import enum
import os
import time
from dataclasses import dataclass
from typing import Final

from ringbuffer.errors import RoleTaken
from ringbuffer.memory import holding
from ringbuffer.memory.layout import PARTICIPANT
from ringbuffer.memory.shared import Segment

_WAITING_SINCE: Final = 1
"""The place of that field among the words of 64 bits of an entry."""


class Presence(enum.Enum):
    """Whether somebody has a role."""

    FREE = "free"
    HELD = "held"
    LEFT = "left"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entry:
    """A participant's entry as it was at one moment; ``layout.PARTICIPANT_MEANINGS`` says what the fields mean."""

    position: int
    waiting_since: int
    claimed_at: int
    left_at: int
    pid: int
    generation: int
    evicted_by: int


class Role:
    """One rank's role in one segment, seen from one process. ``rank``: -1 for the writer, or a reader's."""

    def __init__(self, segment: Segment, rank: int) -> None:
        self._segment, self.rank = segment, rank
        self._offset = segment.layout.participant_offset(rank)
        self._bytes = segment.whole()[self._offset : self._offset + PARTICIPANT.size]
        self._words = self._bytes[: PARTICIPANT.size // 8 * 8].cast("Q")
        self._owner_pid = 0

    @property
    def name(self) -> str:
        """``the writer`` or ``reader 3``."""
        return name_of(self.rank)

    def entry(self) -> Entry:
        """What the entry says now."""
        return Entry(*PARTICIPANT.unpack(self._bytes))

    def presence(self) -> Presence:
        """Whether somebody has the role."""
        if self._segment.is_held(self._offset):
            return Presence.HELD
        entry = self.entry()
        if not entry.claimed_at:
            return Presence.FREE
        return Presence.LEFT if entry.left_at else Presence.GONE

    def claim(self) -> Entry:
        """Take the role; what the entry said until now. Raises :class:`RoleTaken`, naming who has it."""
        before = self.entry()
        if not holding.hold(self._segment.descriptor, self._offset):
            raise RoleTaken(
                f"{self.name} of ring {self._segment.name} is taken: process {before.pid} has that role; another reader needs a"
                " rank of its own, and a successor waits until that process has ended or closed its end"
            )
        before = self.entry()
        self._owner_pid = os.getpid()
        generation = (before.generation + 1) & 0xFFFF_FFFF
        self._write(Entry(before.position, 0, time.monotonic_ns(), 0, os.getpid(), generation, 0))
        self._segment.say_awake(self.rank)
        return before

    def leave(self) -> None:
        """Give the role up in good order; does nothing in a process that does not have it."""
        if self._owner_pid == os.getpid():
            entry = self.entry()
            now = time.monotonic_ns()
            self._write(Entry(entry.position, 0, entry.claimed_at, now, entry.pid, entry.generation, entry.evicted_by))
            self.let_go()

    def let_go(self) -> None:
        """Give the role up without a word, as the kernel does for a process that ends."""
        if self._owner_pid == os.getpid():
            self._owner_pid = 0
            holding.let_go(self._segment.descriptor, self._offset)

    def stand_in(self) -> bool:
        """Take the role for a moment, to act for somebody who is gone, until :meth:`let_go`. Whether it was to be had."""
        if not holding.hold(self._segment.descriptor, self._offset):
            return False
        self._owner_pid = os.getpid()
        return True

    def note_eviction(self) -> None:
        """Say in the entry that this process reads in the place of that reader."""
        entry = self.entry()
        self._write(Entry(entry.position, 0, entry.claimed_at, entry.left_at, entry.pid, entry.generation, os.getpid()))

    def waits(self, since_ns: int) -> None:
        """Say since when the holder waits for its block; 0: it does not."""
        self._words[_WAITING_SINCE] = since_ns

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        self._words.release()
        self._bytes.release()

    def _write(self, entry: Entry) -> None:
        """All fields but the position, which only the rows write."""
        start = 8
        packed = PARTICIPANT.pack(
            entry.position,
            entry.waiting_since,
            entry.claimed_at,
            entry.left_at,
            entry.pid,
            entry.generation,
            entry.evicted_by,
        )
        self._bytes[start:] = packed[start:]


def name_of(rank: int) -> str:
    """``the writer`` or ``reader 3``."""
    return "the writer" if rank == -1 else f"reader {rank}"
