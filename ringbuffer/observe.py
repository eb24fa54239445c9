"""What a live segment says: its blocks, who has which role and where each one is. ``verdict.py`` puts it into a sentence.

A look at a ring takes no part in it: it opens the file for reading, takes no lock (it asks whether others hold one), waits for
nothing and writes nothing. So it is safe on a ring at work, and on a file that is anything but a ring.

Rules:

* A file is read and not mapped: where somebody cuts it short meanwhile, a read comes back short, and a look at mapped memory
  would end the process (SIGBUS); and a hole in it stays a hole.
* What was found damaged is said, not raised, as long as the header is a ring's; without one there is nothing to look at, and
  :class:`SegmentFormatError` says why.
* A frame belongs to the writer while the written flag is 0. So the flags are read before it and once more behind it, and it
  itself twice: what changed meanwhile is not shown.

Limits: a snapshot is taken piece by piece while the others go on, so two of its pieces may never have been there at once. Of
a ring with more than ``BLOCKS_LOOKED_AT_MAX`` blocks only so many are looked at, and those at which somebody stands. Pids are
as their processes see themselves; whether somebody lives is what the kernel says of its lock, and not a matter of pids.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeAlias

from ringbuffer.codec.frames import KIND_NAMES, RAW, WHOLE
from ringbuffer.codec.frames import Frame as Frame
from ringbuffer.errors import SegmentFormatError
from ringbuffer.memory import holding
from ringbuffer.memory.files import FOLDER as FOLDER
from ringbuffer.memory.files import open_plain
from ringbuffer.memory.holding import CREATOR_BYTE, require_support
from ringbuffer.memory.layout import (
    AWAKE_BYTES,
    FRAME,
    FRAME_BYTES,
    HEADER_BYTES,
    PARTICIPANT,
    Header,
    Layout,
)
from ringbuffer.memory.participants import Entry, Presence, presence_of
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.protocol import Case, classify, missing_readers
from ringbuffer.protocol.cases import FLAG_BYTES, WRITTEN_FLAG_INDEX
from ringbuffer.ranks import name_of

BLOCKS_LOOKED_AT_MAX: Final = 1024
_NANOSECONDS: Final = 1_000_000_000

State = Presence
"""What has become of a role."""

_Read: TypeAlias = Callable[[int, int], bytes]
"""Some bytes of the segment: from where, and how many."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block. ``case``: ``None`` where the flags are no case. ``frame``: that of a written block that did not change
    while it was looked at. ``damage``: what is wrong with it; empty where nothing is."""

    index: int
    flags: bytes
    case: Case | None
    unread_by: tuple[int, ...]
    frame: Frame | None
    is_changing: bool
    damage: str


@dataclass(frozen=True, slots=True)
class Participant:
    """One role and who has it. ``rank``: -1 for the writer. ``lag``: how many blocks a reader is behind the writer.

    ``waiting_seconds``: ``None`` unless a holder that lives waits for its block. ``evicted_by``: pid of the writer that reads
    in the place of this reader, or 0.
    """

    rank: int
    state: State
    pid: int
    generation: int
    position: int
    lag: int | None
    waiting_seconds: float | None
    left_seconds: float | None
    is_asleep: bool
    evicted_by: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at one ring. ``has_name``: whether it can still be attached. ``damage``: all that cannot be, in words."""

    name: str
    layout: Layout
    identity: str
    creator_pid: int
    creator_lives: bool
    has_name: bool
    participants: tuple[Participant, ...]
    blocks: tuple[Block, ...]
    damage: tuple[str, ...]

    def participant(self, rank: int) -> Participant:
        """Who has that rank: -1 is the writer."""
        return self.participants[1 + rank]

    def block(self, index: int) -> Block:
        """The block of that index, which was looked at. Raises ``KeyError`` for another."""
        if index < len(self.blocks) and self.blocks[index].index == index:
            return self.blocks[index]
        return {block.index: block for block in self.blocks}[index]

    def block_of(self, rank: int) -> Block:
        """The block at which a participant stands."""
        return self.block(self.participant(rank).position % self.layout.max_chunks)


def segments(folder: Path = FOLDER) -> list[str]:
    """The names on this machine that begin as a ring's do, sorted. Whether they are rings, :func:`observe` tells."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name.startswith(NAME_PREFIX))
    return []


def observe(name: str, folder: Path = FOLDER) -> Snapshot:
    """Look at the segment called ``name``.

    Raises :class:`SegmentMissingError`, :class:`SegmentAccessError` where it belongs to somebody else, and
    :class:`SegmentFormatError` for what is no ring of this release.
    """
    with opened(name, folder) as descriptor:
        return snapshot_of_file(descriptor, name)


@contextlib.contextmanager
def opened(name: str, folder: Path = FOLDER) -> Iterator[int]:
    """The segment's file, open for reading. Raises as :func:`observe` does."""
    require_support()
    descriptor = open_plain(name, os.O_RDONLY, folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def snapshot_of_file(descriptor: int, name: str) -> Snapshot:
    """A look at an open file, by whoever has nothing mapped. Raises :class:`SegmentFormatError`."""

    def read(offset: int, size_bytes: int) -> bytes:
        found = os.pread(descriptor, size_bytes, offset)
        if len(found) < size_bytes:
            raise SegmentFormatError(name, "size", "the file was cut short while it was looked at")
        return found

    header, layout = _header(name, os.pread(descriptor, HEADER_BYTES, 0), os.fstat(descriptor).st_size)
    look = Look(name, layout, read, partial(holding.is_held, descriptor), lambda: os.fstat(descriptor).st_nlink == 0)
    return look.snapshot(header, creator_lives=holding.is_held(descriptor, CREATOR_BYTE))


def look_at(segment: Segment) -> Look:
    """A look at a ring that this process has mapped. Never raises for what the segment holds."""
    return Look(segment.name, segment.layout, segment.bytes_at, segment.is_held, lambda: segment.is_unlinked)


class Look:
    """One look at one ring, piece by piece: each is looked at when it is first asked for, and then stays as it was seen.

    ``read``, ``is_held``, ``is_unlinked``: bytes of the segment, whether a role is held whose entry begins there, and whether
    the ring's name is gone.
    """

    def __init__(
        self, name: str, layout: Layout, read: _Read, is_held: Callable[[int], bool], is_unlinked: Callable[[], bool]
    ) -> None:
        self.name, self.layout = name, layout
        self._read, self._is_held, self._is_unlinked = read, is_held, is_unlinked
        self._damage: list[str] = []
        self._judged: dict[bytes, tuple[Case, tuple[int, ...]]] = {}
        self._participants: dict[int, Participant] = {}
        self._blocks: dict[int, Block] = {}
        self._frames_at, self._block_stride_bytes = layout.block_offset(0), layout.block_stride_bytes
        self._entries_at, self._entry_stride_bytes = layout.entry_offset(0), layout.entry_stride_bytes
        self._entry_bytes = layout.entry_bytes

    @cached_property
    def has_name(self) -> bool:
        """Whether the ring can still be attached."""
        return not self._is_unlinked()

    def participant(self, rank: int) -> Participant:
        """Who has that rank: -1 is the writer, who is looked at first: no reader is then seen further behind than it was."""
        if rank not in self._participants:
            self._participants[rank] = self._participant(rank, None if rank == -1 else self.participant(-1))
        return self._participants[rank]

    def block(self, index: int) -> Block:
        """The block of that index."""
        if index not in self._blocks:
            self._blocks[index] = self._block(index)
        return self._blocks[index]

    def block_of(self, rank: int) -> Block:
        """The block at which a participant stands."""
        return self.block(self.participant(rank).position % self.layout.max_chunks)

    def snapshot(self, header: Header, *, creator_lives: bool) -> Snapshot:
        """All of it, or as much as is looked at."""
        layout = self.layout
        participants = tuple(map(self.participant, range(-1, layout.n_reader)))
        wanted = set(range(min(layout.max_chunks, BLOCKS_LOOKED_AT_MAX)))
        wanted.update(one.position % layout.max_chunks for one in participants)
        found = tuple(map(self.block, sorted(wanted)))
        return Snapshot(
            name=self.name,
            layout=layout,
            identity=header.identity.hex(),
            creator_pid=header.creator_pid,
            creator_lives=creator_lives,
            has_name=self.has_name,
            participants=participants,
            blocks=found,
            damage=(*self._damage, *(block.damage for block in found if block.damage)),
        )

    def _participant(self, rank: int, writer: Participant | None) -> Participant:
        offset = self.layout.participant_offset(rank)
        evictor = writer.pid if writer is not None and writer.state is State.HELD else 0
        read = partial(self._entry, offset)

        def is_held() -> bool:
            # The lock of a reader that was evicted is held by the writer now and then: it says nothing of the reader.
            return not (evictor and read().evicted_by == evictor) and self._is_held(offset)

        entry, state = presence_of(read, is_held)
        position, since, claimed_at, left_at, pid, generation, evicted_by = entry
        if evicted_by != evictor:
            evicted_by = 0  # whoever read in its place is no writer any more, and its successor does not
        now = time.monotonic_ns()
        lag = None if writer is None else max(0, writer.position - position)
        awake = int.from_bytes(self._read(self.layout.word_offset(rank), AWAKE_BYTES), sys.byteorder)
        self._judge(rank, lag, awake, is_of_the_future=max(since, claimed_at, left_at) > now)
        return Participant(
            rank=rank,
            state=state,
            pid=pid,
            generation=generation,
            position=position,
            lag=lag,
            waiting_seconds=max(0, now - since) / _NANOSECONDS if since and state is State.HELD else None,
            left_seconds=max(0, now - left_at) / _NANOSECONDS if state is State.LEFT else None,
            is_asleep=state is State.HELD and not awake,
            evicted_by=evicted_by,
        )

    def _entry(self, offset: int) -> Entry:
        return Entry._make(PARTICIPANT.unpack(self._read(offset, PARTICIPANT.size)))

    def _judge(self, rank: int, lag: int | None, awake: int, *, is_of_the_future: bool) -> None:
        who = name_of(rank)
        if lag is not None and lag > self.layout.max_chunks:
            self._damage.append(f"{who} is {lag} blocks behind in a ring of {self.layout.max_chunks}")
        if awake > 1:
            self._damage.append(f"{who} has {awake} in its word of who is awake, which is 0 or 1")
        if is_of_the_future:
            self._damage.append(f"{who} has an entry with a time that has not come yet")

    def _block(self, index: int) -> Block:
        entry_at = self._entries_at + index * self._entry_stride_bytes
        frame_at = self._frames_at + index * self._block_stride_bytes
        flags = self._read(entry_at, self._entry_bytes)
        case, unread_by = self._judged.get(flags) or self._judge_flags(flags)
        if case is None:
            return Block(index, flags, None, (), None, False, f"block {index}: {_flag_damage(flags)}")
        if case is Case.UNWRITTEN:
            return Block(index, flags, case, unread_by, None, False, "")
        packed = self._read(frame_at, FRAME_BYTES)
        if not self._read(entry_at, 1)[0] or self._read(frame_at, FRAME_BYTES) != packed:
            return Block(index, flags, case, unread_by, None, True, "")
        frame = Frame._make(FRAME.unpack(packed))
        return Block(index, flags, case, unread_by, frame, False, self._frame_damage(index, frame))

    def _judge_flags(self, flags: bytes) -> tuple[Case | None, tuple[int, ...]]:
        """The case, and who has not read; blocks that look the same are judged once."""
        try:
            found = classify(flags), missing_readers(flags)
        except ValueError:
            return None, ()
        self._judged[flags] = found
        return found

    def _frame_damage(self, index: int, frame: Frame) -> str:
        layout = self.layout
        if frame.sequence % layout.max_chunks != index:
            return f"block {index}: sequence {frame.sequence}, which belongs into block {frame.sequence % layout.max_chunks}"
        if frame.kind not in KIND_NAMES or frame.part > WHOLE:
            return f"block {index}: frame of kind {frame.kind}, part {frame.part}"
        if frame.length_bytes > min(layout.max_chunk_bytes, frame.total_bytes):
            limits = f"a message of {frame.total_bytes} and a block of {layout.max_chunk_bytes}"
            return f"block {index}: frame of {frame.length_bytes} bytes in {limits}"
        if frame.kind == RAW and frame.length_bytes != layout.max_chunk_bytes:
            return (
                f"block {index}: frame of {frame.length_bytes} bytes of a block that was filled in place, which is always full"
            )
        return ""


def _flag_damage(flags: bytes) -> str:
    """Which flag it is that is none, and of how many it is the first."""
    which = next(index for index, flag in enumerate(flags) if flag not in FLAG_BYTES)
    count = sum(flag not in FLAG_BYTES for flag in flags)
    whose = "the written flag" if which == WRITTEN_FLAG_INDEX else f"the flag of reader {which - WRITTEN_FLAG_INDEX - 1}"
    return f"{whose} is {flags[which]}{f' ({count} such flags)' if count > 1 else ''}, and a flag is 0 or 1"


def _header(name: str, start: bytes, size_bytes: int) -> tuple[Header, Layout]:
    """Check the header that a file begins with."""
    if len(start) == HEADER_BYTES and not any(start):
        raise SegmentFormatError(name, "magic", "the header is empty: the segment is being made, or another program made it")
    return Header.read(name, start, size_bytes)
