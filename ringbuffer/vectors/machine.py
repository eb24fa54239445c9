"""The rows on plain bytes: a segment that no process shares, and actors that take one access at a time.

This is an interpreter of its own: the vectors come from it, and both real backends are held to them. Rules: a function of its
inputs; every step says which bytes it has changed. Limits: one access after the other, in the order in which the caller steps
the actors, so nothing here knows of orderings; nobody sleeps, but an actor that would is known by what its sleep has loaded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from ringbuffer.memory.layout import AWAKE_BYTES, FRAME_BYTES, Header, Layout
from ringbuffer.protocol import Access, Edge, Flag, Instruction, Kind, Outcome, Program, Variant, executed
from ringbuffer.ranks import WRITER

POSITION_BYTES: Final = 8

Changes = tuple[tuple[int, bytes], ...]
"""Runs of bytes that are not what they were: offset, and what they are now."""


class Place(NamedTuple):
    """A row of an actor, and which of several flags."""

    instruction: Instruction
    block: int
    ranks: tuple[int, ...]
    """The ranks that may be visited next; one 0 where the row is not about several; none where there are none."""


class Did(NamedTuple):
    """One access: the place, where in the segment (``None``: nowhere), the value loaded or stored, and the way on."""

    place: Place
    offset: int | None
    value: int | None
    onward: tuple[str, ...]
    """The rows before which the actor may stand now."""
    has_waited: bool = False


class Bytes:
    """The bytes of one segment, and what has changed since somebody asked."""

    def __init__(self, layout: Layout, *, creator_pid: int, identity: bytes, initial_read_flag: int = 0) -> None:
        self.layout = layout
        self.data = bytearray(layout.total_bytes)
        header = Header.of(layout, initial_read_flag=initial_read_flag, creator_pid=creator_pid, identity=identity).pack()
        self.data[: len(header)] = header
        for block in range(layout.max_chunks):
            start = layout.entry_offset(block)
            self.data[start + 1 : start + layout.entry_bytes] = bytes([initial_read_flag]) * layout.n_reader
        for rank in range(WRITER, layout.n_reader):
            self.store(layout.word_offset(rank), AWAKE_BYTES, 1)
        self._before = bytes(self.data)

    def load(self, offset: int, size: int) -> int:
        """A number that lies there."""
        return int.from_bytes(self.data[offset : offset + size], "little")

    def store(self, offset: int, size: int, value: int) -> None:
        """Put a number there."""
        self.data[offset : offset + size] = value.to_bytes(size, "little")

    def changes(self) -> Changes:
        """What has changed since the last call."""
        found = changed(self._before, self.data)
        self._before = bytes(self.data)
        return found

    def crc32(self) -> int:
        """The digest of all bytes."""
        return zlib.crc32(self.data)


def changed(before: bytes | bytearray, after: bytes | bytearray) -> Changes:
    """The runs of bytes that differ, in their order, each as long as it goes."""
    assert len(before) == len(after), "the same segment"
    if before == after:
        return ()
    runs: list[tuple[int, bytes]] = []
    offsets = [at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    start = end = offsets[0]
    for at in (*offsets[1:], len(after) + 1):
        if at != end + 1:
            runs.append((start, bytes(after[start : end + 1])))
            start = at
        end = at
    return tuple(runs)


def applied(data: bytearray, changes: Iterable[tuple[int, bytes]]) -> None:
    """Put changes into the bytes of a segment."""
    for offset, new in changes:
        data[offset : offset + len(new)] = new


def location(layout: Layout, access: Access, own: int, block: int, rank: int) -> tuple[int, int] | None:
    """Where an access goes, and how many bytes it is; ``None`` for a fence and the caller's part.

    ``own``: the actor's rank; ``rank``: of several flags, whose.
    """
    entry = layout.entry_offset(block)
    match access.flag:
        case Flag.WRITTEN:
            return entry, 1
        case Flag.OWN:
            return entry + 1 + own, 1
        case Flag.EACH:
            return entry + 1 + rank, 1
        case Flag.POSITION:
            return layout.participant_offset(own), POSITION_BYTES
        case Flag.AWAKE:
            return layout.word_offset(own), AWAKE_BYTES
        case Flag.OTHERS_AWAKE:
            return layout.word_offset(rank if own == WRITER else WRITER), AWAKE_BYTES
    return None


def count_of(layout: Layout, access: Access, own: int) -> int:
    """How many flags a row about several is about."""
    return 1 if access.flag is Flag.OTHERS_AWAKE and own != WRITER else layout.n_reader


class Actor:
    """The writer or a reader, before its next access. ``done``: how many blocks it is done with."""

    def __init__(self, segment: Bytes, rank: int, variant: Variant) -> None:
        self.segment, self.rank = segment, rank
        self.program: Program = executed(variant.writer if rank == WRITER else variant.reader)
        self.done = self.pc = 0
        self._block = 0
        self._left: set[int] | None = None

    def resume(self, done: int) -> None:
        """Stand at the first row of the block after so many. Nothing is noted here."""
        self.done, self.pc, self._left = done, 0, None
        self._block = done % self.segment.layout.max_chunks

    @property
    def place(self) -> Place:
        """Before which access it stands."""
        one = self.program[self.pc]
        access = one.row.access
        if not access.is_several:
            return Place(one, self._block, (0,))
        left = self._left
        if left is None:
            left = set(range(count_of(self.segment.layout, access, self.rank)))
        return Place(one, self._block, tuple(sorted(left)))

    @property
    def is_in_payload(self) -> bool:
        """Whether the block is its caller's."""
        return self.program[self.pc].row.is_payload

    def frame_span(self) -> tuple[int, int]:
        """Where its block begins and ends: frame and payload."""
        start = self.segment.layout.block_offset(self._block)
        return start, start + FRAME_BYTES + self.segment.layout.max_chunk_bytes

    def end_payload(self, *, aborted: bool) -> Did:
        """The caller is done with the block, or has raised."""
        place = self.place
        assert place.instruction.row.is_payload, "it has the block"
        return self._went(place, None, None, Outcome.ABORTED if aborted else Outcome.DONE)

    def step(self, rank: int = 0) -> Did:
        """Make the access; of several flags, to that of ``rank``."""
        place = self.place
        access = place.instruction.row.access
        assert not place.instruction.row.is_payload, "the caller's part is no access of the actor's"
        if access.is_several and not place.ranks:
            return self._went(place, None, None, Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE)
        found = location(self.segment.layout, access, self.rank, place.block, rank)
        if found is None:
            return self._went(place, None, None, Outcome.DONE)
        offset, size = found
        value = self._access(access, offset, size)
        if not access.is_several:
            outcome = Outcome.DONE if access.kind is not Kind.LOAD else Outcome.ONE if value else Outcome.ZERO
            return self._went(place, offset, value, outcome)
        self._left = set(place.ranks) - {rank}
        if access.kind is Kind.LOAD and value != 1:
            return self._went(place, offset, value, Outcome.ZERO)
        if self._left:
            return Did(place, offset, value, (place.instruction.row.id,))
        return self._went(place, offset, value, Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE)

    def lie_down(self) -> None:
        """Having waited, go to lying down, and not to the first row."""
        branches = [branch for one in self.program.instructions for _, branch in one.branches]
        self.pc = next(branch.pc for branch in branches if branch.edge is Edge.WAITED)

    def _access(self, access: Access, offset: int, size: int) -> int | None:
        match access.kind:
            case Kind.LOAD | Kind.SLEEP:
                return self.segment.load(offset, size)
            case Kind.STORE:
                value = self.done + 1 if access.flag is Flag.POSITION else access.value
                assert value is not None, "a store has a value"
                self.segment.store(offset, size, value)
                return value
        assert access.kind is Kind.WAKE, "the shipped tables have no other accesses to flags"
        return None

    def _went(self, place: Place, offset: int | None, value: int | None, outcome: Outcome) -> Did:
        branch = place.instruction.branch(outcome)
        self._left = None
        self.done += branch.edge is Edge.FINISHED
        self._block = (self._block + branch.advance) % self.segment.layout.max_chunks
        has_waited = branch.edge is Edge.WAITED
        self.pc = 0 if has_waited else branch.pc
        ids = [self.program[0].row.id, self.program[branch.pc].row.id] if has_waited else [self.program[branch.pc].row.id]
        return Did(place, offset, value, tuple(ids), has_waited)
