"""Who takes part in a ring: one entry for the writer and for each reader, and the role that goes with it.

A role is claimed by a lock that the kernel lets go when the holder is gone (``holding.py``); what else there is to say of the
holder stands in its entry, and outlives it. So there are four states: *free* (nobody ever had the role), *held*, *left* (given
up in good order) and *dead* (claimed, not given up, and yet nobody holds it: killed, crashed, or ended without closing).

Rules: only who holds a role writes in its entry; times are nanoseconds of the monotonic clock, which all processes of a machine
share. Limits: the pid is what its process calls itself, which is another number in another container.
"""

from __future__ import annotations

import enum
import os
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ringbuffer.errors import RoleTaken
from ringbuffer.memory import holding
from ringbuffer.memory.layout import PARTICIPANT
from ringbuffer.memory.shared import Segment
from ringbuffer.ranks import name_of

_NUMBER_BYTES: Final = 8
_WAITING_SINCE: Final = 1
"""The place of that field among the words of 64 bits of an entry."""
STANDING_IN_SECONDS: Final = 1.0
"""Who claims a role waits no longer for a stand-in to let it go, which at once marks what is published: K blocks at most."""


class Presence(enum.StrEnum):
    """Whether somebody has a role."""

    FREE = "free"
    """Nobody has ever claimed it."""
    HELD = "held"
    """A process that lives has it."""
    LEFT = "left"
    """It was given up in good order."""
    DEAD = "dead"
    """Its holder is gone without a word."""


class Entry(NamedTuple):
    """A participant's entry as it was at one moment; ``layout.PARTICIPANT_MEANINGS`` says what the fields mean."""

    position: int
    waiting_since: int
    claimed_at: int
    left_at: int
    pid: int
    generation: int
    evicted_by: int

    def is_of_same_holder(self, other: Entry) -> bool:
        """Whether nobody has come or left between the two."""
        return self[2:6] == other[2:6]


def presence_of(read: Callable[[], Entry], is_held: Callable[[], bool]) -> tuple[Entry, Presence]:
    """An entry, and whether somebody has the role. ``read``: reads the entry. ``is_held``: asks the kernel for the lock."""
    while True:
        entry = read()
        if is_held():
            return entry, Presence.HELD
        if entry.is_of_same_holder(read()):
            break  # otherwise somebody has come or left while we asked, and what it says is not of who we asked for
    if not entry.claimed_at:
        return entry, Presence.FREE
    return entry, Presence.LEFT if entry.left_at else Presence.DEAD


class Role:
    """One rank's role in one segment, seen from one process. ``rank``: -1 for the writer, or a reader's."""

    def __init__(self, segment: Segment, rank: int) -> None:
        self._segment, self.rank = segment, rank
        self._offset = segment.layout.participant_offset(rank)
        self._bytes = segment.whole()[self._offset : self._offset + PARTICIPANT.size]
        self._words = self._bytes[: PARTICIPANT.size // _NUMBER_BYTES * _NUMBER_BYTES].cast("Q")
        self._owner_pid = 0
        self._before: Entry | None = None
        """What the entry said before this process claimed the role."""

    @property
    def name(self) -> str:
        """``the writer`` or ``reader 3``."""
        return name_of(self.rank)

    def entry(self) -> Entry:
        """What the entry says now."""
        return Entry(*PARTICIPANT.unpack(self._bytes))

    def presence(self) -> Presence:
        """Whether somebody has the role."""
        return self.look()[1]

    def look(self) -> tuple[Entry, Presence]:
        """What the entry says, and whether somebody has the role: both of one moment."""
        return presence_of(self.entry, lambda: self._segment.is_held(self._offset))

    def claim(self) -> None:
        """Take the role. Raises :class:`RoleTaken`, naming who has it."""
        self._owner_pid = os.getpid()  # before we know: where an interrupt comes in between, letting go lets go
        if not self._hold():
            self._owner_pid = 0
            entry = self.entry()
            who = f"process {entry.pid}" if entry.claimed_at else "a process that claims it just now"
            raise RoleTaken(
                f"{self.name} of ring {self._segment.name} is taken: {who} has that role; {others_than(self.rank)}, and a"
                " successor waits until that process has ended or closed its end"
            )
        before = self._before = self.entry()
        generation = (before.generation + 1) & 0xFFFF_FFFF
        self._write(Entry(before.position, 0, time.monotonic_ns(), 0, os.getpid(), generation, 0))
        self._segment.say_awake(self.rank)

    def _hold(self) -> bool:
        """Lock the role. Where somebody stands in for who is gone, it does so for a moment only, which is awaited."""
        until = time.monotonic() + STANDING_IN_SECONDS
        while not holding.hold(self._segment.descriptor, self._offset):
            if not self.entry().evicted_by or time.monotonic() > until:
                return False
            os.sched_yield()
        return True

    def leave(self) -> None:
        """Give the role up in good order; does nothing in a process that does not have it."""
        if self._owner_pid == os.getpid():
            self._write(self.entry()._replace(waiting_since=0, left_at=time.monotonic_ns()))
            self.let_go()

    def undo(self) -> None:
        """Give the role up as if it had not been claimed; does nothing in a process that does not have it."""
        if self._owner_pid == os.getpid():
            if self._before is not None:
                self._write(self._before)
            self.let_go()

    def let_go(self) -> None:
        """Give the role up without a word, as the kernel does for a process that ends."""
        if self._owner_pid == os.getpid():
            holding.let_go(self._segment.descriptor, self._offset)
            self._owner_pid = 0

    def stand_in(self) -> bool:
        """Hold the role for a moment, to act for somebody who is gone, until :meth:`stand_back`. Whether it was to be had."""
        return holding.hold(self._segment.standing_in, self._offset)

    def stand_back(self) -> None:
        """The end of :meth:`stand_in`."""
        holding.let_go(self._segment.standing_in, self._offset)

    def note_eviction(self) -> None:
        """Say in the entry that this process reads in the place of that reader, which nobody wakes any more."""
        self._write(self.entry()._replace(evicted_by=os.getpid()))
        self._segment.say_awake(self.rank)

    def waits(self, since_ns: int) -> None:
        """Say since when the holder waits for its block; 0: it does not."""
        if sys.byteorder != "little":
            since_ns = int.from_bytes(since_ns.to_bytes(_NUMBER_BYTES, "little"), "big")
        self._words[_WAITING_SINCE] = since_ns  # one store, as others look at any time

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        self._words.release()
        self._bytes.release()

    def _write(self, entry: Entry) -> None:
        """All fields but the position, which only the rows write."""
        start = 8
        self._bytes[start:] = PARTICIPANT.pack(*entry)[start:]


def others_than(rank: int) -> str:
    """What becomes of those who want the role of one that has it already."""
    return "a ring has one writer" if rank == -1 else "another reader needs a rank of its own"
