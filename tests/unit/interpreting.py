"""Rows, interpreted one access at a time on plain bytes: what both backends are compared with.

It knows all that rows can say (fences, locks, loops, notes, words, sleeping and waking), and is written for nothing but to be
read: no form of it is fast, and it shares no code with what it is compared with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from hypothesis import strategies as st

from ringbuffer.compiled import ENDED, FOUND, WAIT
from ringbuffer.errors import VariantError
from ringbuffer.memory.layout import Layout
from ringbuffer.protocol import Access, Edge, Flag, Instruction, Kind, Ordering, Outcome, Program, Table, resolve
from ringbuffer.protocol.recovery import with_notes
from ringbuffer.protocol.waking import SLEEPING, WAKING, Waking, executed

Order: TypeAlias = Literal["little", "big"]
SEVERAL: Final = (Flag.EACH, Flag.BUT_LAST, Flag.OTHERS_AWAKE)
WORDS: Final = (Flag.AWAKE, Flag.OTHERS_AWAKE)
ACCESSES_MAX: Final = 500
"""More than a table takes that does not run in circles."""


@dataclass(frozen=True)
class Places:
    """Where one actor's flags, words and position lie."""

    readers: int
    blocks: int
    flags_offset: int
    entry_stride: int
    awake_offset: int
    position_offset: int

    @classmethod
    def of(cls, layout: Layout, rank: int) -> Places:
        return cls(
            layout.n_reader,
            layout.max_chunks,
            layout.metadata_offset,
            layout.entry_stride_bytes,
            layout.awake_offset,
            layout.participant_offset(rank),
        )


class Interpreter:
    """The rows of one actor. ``access`` makes one access and returns ``None``, or how the call ends."""

    def __init__(self, program: Program, memory: bytearray, rank: int, places: Places) -> None:
        self.program, self.memory, self.rank, self.places = program, memory, rank, places
        self.block = self.pc = self.lock = self.done = 0
        self.todo: set[int] = set()
        self.zeros = 0
        self.touched: tuple[int, int] = (-1, -1)

    def enter(self, call: str) -> int | None:
        if call == "begin":
            return self._land(0)
        if call == "rest":
            waits = {branch.pc for one in self.program.instructions for _, branch in one.branches if branch.edge is Edge.WAITED}
            if not waits or waits == {0}:
                raise ValueError("no row lies down")
            return self._land(*waits)
        (payload,) = [instruction for instruction in self.program.instructions if instruction.row.is_payload]
        return self._take(payload, Outcome.DONE if call == "finish" else Outcome.ABORTED)

    def resume(self, done: int) -> None:
        self.done, self.block = done, done % self.places.blocks
        self._put(self.places.position_offset, done.to_bytes(8, "little"))

    def ranks(self) -> tuple[int, ...]:
        """What may be visited next."""
        return tuple(sorted(self.todo)) if self.program[self.pc].row.access.flag in SEVERAL else (0,)

    def access(self, rank: int) -> int | None:
        instruction = self.program[self.pc]
        access = instruction.row.access
        several = access.flag in SEVERAL
        self.touched = (-1, -1)
        if access.kind is Kind.FENCE:
            return self._take(instruction, Outcome.DONE)
        if several and not self.todo:
            return self._take(instruction, Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE)
        value = self._touch(access, rank)
        if not several:
            loaded = Outcome.ONE if value else Outcome.ZERO
            return self._take(instruction, loaded if access.kind is Kind.LOAD else Outcome.DONE)
        self.todo.remove(rank)
        if access.kind is Kind.LOAD:
            self.zeros += value != 1
            if self.zeros > access.missing_allowed:
                return self._take(instruction, Outcome.ZERO)
        if self.todo:
            return None
        return self._take(instruction, Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE)

    def _touch(self, access: Access, rank: int) -> int:
        """Make the access, and return what was there before."""
        new = access.value
        if access.flag is Flag.LOCK:
            old, self.lock = self.lock, self.lock if new is None else new
            self.touched = (-1, new if access.kind is Kind.STORE and new is not None else old)
            return old
        offset, length, order = self._where(access.flag, rank)
        old = int.from_bytes(self.memory[offset : offset + length], order)
        if access.kind in (Kind.SLEEP, Kind.WAKE):
            asked = 0 if access.kind is Kind.WAKE or old == 0 else 1
            self.touched = (offset, asked)
            return old
        new = self.done + 1 if access.flag is Flag.POSITION else new
        if new is not None:
            self._put(offset, new.to_bytes(length, order))
        self.touched = (offset, new if access.kind is Kind.STORE and new is not None else old)
        return old

    def _where(self, flag: Flag | None, rank: int) -> tuple[int, int, Order]:
        """Offset, length and order of bytes of what an access touches."""
        places = self.places
        if flag is Flag.POSITION:
            return places.position_offset, 8, "little"
        if flag in WORDS:
            word = 1 + self.rank if flag is Flag.AWAKE else 1 + rank if self.rank == -1 else 0
            return places.awake_offset + 4 * word, 4, sys.byteorder
        single = {Flag.WRITTEN: 0, Flag.OWN: 1 + self.rank, Flag.NEIGHBOUR: 1 + (self.rank + 1) % max(1, places.readers)}
        place = single.get(flag, 1 + rank) if flag else 0
        return places.flags_offset + self.block * places.entry_stride + place, 1, "little"

    def _put(self, offset: int, data: bytes) -> None:
        self.memory[offset : offset + len(data)] = data

    def _take(self, instruction: Instruction, outcome: Outcome) -> int | None:
        branch = instruction.branch(outcome)
        self.block = (self.block + branch.advance) % self.places.blocks
        self.done += branch.edge is Edge.FINISHED
        if branch.edge is Edge.FORWARD or (branch.edge in (Edge.RESTARTED, Edge.FINISHED) and branch.pc):
            return self._land(branch.pc)
        return WAIT if branch.edge is Edge.WAITED else ENDED

    def _land(self, pc: int) -> int | None:
        self.pc, self.zeros = pc, 0
        flag = self.program[pc].row.access.flag
        count = 1 if flag is Flag.OTHERS_AWAKE and self.rank != -1 else self.places.readers - (flag is Flag.BUT_LAST)
        self.todo = set(range(count)) if flag in SEVERAL else set()
        return FOUND if self.program[pc].row.is_payload else None

    def run(self, call: str) -> int | None:
        """A whole call, with the ranks in their order; ``None`` where it runs in circles."""
        result = self.enter(call)
        for _ in range(ACCESSES_MAX):
            if result is not None:
                break
            result = self.access(min(self.ranks(), default=0))
        return result


# Composed programs at random.


def with_access(row_id: str, access: Access) -> Waking:
    """The shipped rows of sleeping and waking, one of them with another access."""
    rows = [tuple(replace(row, access=access) if row.id == row_id else row for row in part) for part in (SLEEPING, WAKING)]
    return Waking(sleeping=rows[0], waking=rows[1])


_ROWS: Final = [row.id for row in (*SLEEPING, *WAKING)]
_FENCES: Final = [Access(Kind.FENCE, ordering) for ordering in (Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL)]
_STORES: Final = [
    Access(Kind.STORE, ordering, flag, value)
    for ordering in (Ordering.RELEASE, Ordering.SEQ_CST)
    for flag in WORDS
    for value in (0, 1)
]
_OTHER_ACCESSES: Final = [
    *(Access(Kind.LOAD, ordering, Flag.AWAKE) for ordering in (Ordering.RELAXED, Ordering.ACQUIRE)),
    Access(Kind.LOAD, Ordering.ACQUIRE, Flag.OTHERS_AWAKE),
    Access(Kind.LOAD, Ordering.RELAXED, Flag.EACH),
]
WAKINGS: Final[st.SearchStrategy[Waking]] = st.one_of(
    st.just(Waking()),
    st.sampled_from([*_ROWS, "S3"]).map(Waking().without),
    st.tuples(st.sampled_from(_ROWS), st.sampled_from(_ROWS))
    .filter(lambda ids: ids[0] != ids[1] and ids[0][0] == ids[1][0])
    .map(lambda ids: Waking().swapped(*ids)),
    st.tuples(st.sampled_from(["K1", "S2"]), st.sampled_from(_FENCES)).map(lambda edit: with_access(*edit)),
    st.tuples(st.sampled_from(["S1", "S5", "K3"]), st.sampled_from(_STORES)).map(lambda edit: with_access(*edit)),
    st.sampled_from(_OTHER_ACCESSES).map(lambda access: with_access("K2", access)),
    st.just(with_access("K4", Access(Kind.WAKE, Ordering.RELAXED, Flag.AWAKE))),
)
"""The rows of sleeping and waking, and edited ones."""
COMPOSED: Final = st.one_of(st.none(), st.just("notes"), WAKINGS)
"""What is put beside a bare table: nothing, its note, or the note and the rows of sleeping and waking."""


def composed(table: Table, extra: str | Waking | None) -> Program:
    """The table with what is put beside it."""
    if extra is None:
        return resolve(table)
    if isinstance(extra, Waking):
        try:
            return executed(table, extra)
        except VariantError:
            extra = "notes"
    return resolve(with_notes(table))
