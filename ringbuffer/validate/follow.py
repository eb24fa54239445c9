"""One recording, held to the control flow of its program: each record is of the row that the table says comes next.

The row that follows is decided by the value that was recorded. At three places the caller decides, and both ways are allowed:
who has found its block busy looks again or lies down; who has found its block takes it or looks again; and whoever holds it is
done with it or gives it up. Rules: what is left, behind this, is a sequence of *events*, the loads and stores of flags and of
payloads, and full fences; those are for ``order.py``. Limits: of the words that say who is awake only the control flow is
judged, not the values, because cancelling and closing store there outside of the rows; of a sleep only that it stands in its
place. A payload is one store, where its fill ends, and one load, where its read ends.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol import Access, Edge, Flag, Instruction, Kind, Ordering, Outcome, Program
from ringbuffer.trace.recording import CLOSED, INTERRUPTED, RECORD, Head, Recording

LOAD, STORE, FENCE, MAYBE = 0, 1, 2, 3
"""Kinds of events. ``MAYBE``: a store that a killed process may have made, and did not live to record."""
_ABORTED_FROM: Final = 1 << 64
"""What a given-up fill leaves behind has a value of its own, from here on: no reader can have recorded it."""


class Impossible(Exception):
    """A record that cannot follow those before it. ``number``: which one, the first is 0; the text says why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class Undecided(Exception):
    """A recording of which nothing can be said, and why."""


@dataclass(slots=True)
class Events:
    """What one actor did, in its order: event ``i`` is of ``kinds[i]``, at ``places[i]``, with ``values[i]``; it was record
    ``origins[i]`` of recording ``sources[i]``."""

    kinds: bytearray = field(default_factory=bytearray)
    places: array[int] = field(default_factory=lambda: array("L"))
    values: list[int] = field(default_factory=list)
    origins: array[int] = field(default_factory=lambda: array("L"))
    sources: array[int] = field(default_factory=lambda: array("L"))

    def add(self, kind: int, place: int, value: int, origin: int, source: int) -> None:
        """One event more. The place of a fence means nothing."""
        self.kinds.append(kind)
        self.places.append(place)
        self.values.append(value)
        self.origins.append(origin)
        self.sources.append(source)

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class Ring:
    """Where everything is: the written flag of a block, then its read flags, then its payload."""

    readers: int
    blocks: int

    @property
    def size(self) -> int:
        """How many places there are."""
        return self.blocks * (2 + self.readers)

    def place(self, block: int, flag: int) -> int:
        """The place of flag ``flag`` of a block; ``1 + readers`` is the payload."""
        return block * (2 + self.readers) + flag

    def name(self, place: int) -> str:
        """``written of block 2``."""
        block, flag = divmod(place, 2 + self.readers)
        what = "written" if flag == 0 else "the payload" if flag == 1 + self.readers else f"read[{flag - 1}]"
        return f"{what} of block {block}"

    def is_payload(self, place: int) -> bool:
        """Whether that place is a payload."""
        return place % (2 + self.readers) == 1 + self.readers


@dataclass(frozen=True, slots=True)
class _Plan:
    """A row, made ready: which flag, how many, what its outcomes lead to."""

    id: str
    access: Access
    kind: Kind
    count: int
    several: bool
    flag: int
    """Of a flag of the block: which one, of several the first; -1 for all else."""
    next: dict[Outcome, tuple[tuple[int, ...], int, bool, bool]]
    """For each outcome: the rows that may come, how many blocks on, whether a block is done, whether a call can end there."""


class Follower:
    """One actor's recordings, in the order of its holders, turned into events. ``rank``: -1 for the writer."""

    def __init__(self, program: Program, ring: Ring, rank: int) -> None:
        self._ring, self._rank, self._program = ring, rank, program
        payloads = [one.pc for one in program.instructions if one.row.is_payload]
        if len(payloads) != 1:
            raise VariantError(f"the {program.role.value}'s table has {len(payloads)} payload rows: no endpoint can run that")
        self._payload = payloads[0]
        stores = [one.pc for one in program.instructions if one.row.access.kind is Kind.STORE and _of_block(one.row.access)]
        self._gives = max(stores, default=-1)
        self._plans = [self._plan(one) for one in program.instructions]
        self.events = Events()
        self.done = self.block = 0
        self._gave = False
        self._aborted = 0
        self._todo: set[int] = set()
        self._pcs: tuple[int, ...] = (0,)
        self._ends_here = True
        self._zeros = 0
        self._known: dict[tuple[int, int, int, int], tuple[int, int, int, int, int]] = {}
        self._numbers: dict[tuple[tuple[int, ...], frozenset[int], int, bool, bool], int] = {}

    def _plan(self, one: Instruction) -> _Plan:
        access, readers = one.row.access, self._ring.readers
        if access.kind is Kind.EXCHANGE and access.flag is not Flag.LOCK:
            raise VariantError(f"{one.row.id} ({access}) exchanges what others touch: such tables are not validated")
        several = access.is_several
        count = readers - (access.flag is Flag.BUT_LAST) if several else 1
        if access.flag is Flag.OTHERS_AWAKE:
            count = readers if self._rank == -1 else 1
        flags = {Flag.WRITTEN: 0, Flag.OWN: 1 + self._rank, Flag.EACH: 1, Flag.BUT_LAST: 1}
        flag = flags.get(access.flag, -1) if access.flag else -1
        if access.flag is Flag.NEIGHBOUR:
            flag = 1 + (self._rank + 1) % readers
        leads = {outcome: self._leads(branch.pc, branch.edge) for outcome, branch in one.branches}
        steps = {
            outcome: (*leads[outcome][:1], branch.advance, branch.edge is Edge.FINISHED, leads[outcome][1])
            for outcome, branch in one.branches
        }
        return _Plan(one.row.id, access, access.kind, max(0, count), several, flag, steps)

    def _leads(self, pc: int, edge: Edge) -> tuple[tuple[int, ...], bool]:
        """The rows that may follow, and whether a call of the endpoint can end there."""
        if edge is Edge.FORWARD or (edge in (Edge.RESTARTED, Edge.FINISHED) and pc):
            return ((pc, 0), True) if pc == self._payload else ((pc,), False)
        return ((0, pc) if edge is Edge.WAITED and pc else (0,)), True

    def follow(self, recording: Recording, source: int) -> None:
        """Read one recording. Raises :class:`Impossible` and :class:`Undecided`.

        A step that has been seen before, from the same place with the same value, leads where it led then: that is looked up.
        """
        head, events, known, entry = recording.head, self.events, self._known, 2 + self._ring.readers
        self.block, self.done = head.start % self._ring.blocks, head.start
        self._pcs, self._ends_here, self._todo, self._gave = (0,), True, set(), False
        place, number, blocks = self._place(), -1, self._ring.blocks
        add_kind, add_place, add_value = events.kinds.append, events.places.append, events.values.append
        add_origin, add_source = events.origins.append, events.sources.append
        for number, record in enumerate(RECORD.iter_unpack(recording.records)):
            code, detail, block, value = record
            step = known.get((place, code, detail, value))
            if step is None or block != self.block:
                place = self._first_time(place, number, record, head, source)
                continue
            place, kind, flag, advance, is_done = step
            if kind >= 0:
                add_kind(kind)
                add_place(block * entry + flag)
                add_value(value)
                add_origin(number)
                add_source(source)
            if advance:
                self.block = (block + advance) % blocks
            self.done += is_done
        self._stand_at(place)
        if recording.status == CLOSED and not self._ends_here:
            raise Impossible(number + 1, f"the recording came to its end where {self._expected()} had to follow")

    def _place(self) -> int:
        """A number for where the actor stands: the rows that may come, the flags that are left to visit, and so on."""
        place = (self._pcs, frozenset(self._todo), self._zeros, self._ends_here, self._gave)
        if place not in self._numbers:
            self._numbers[place] = len(self._numbers)
        return self._numbers[place]

    def _stand_at(self, number: int) -> None:
        self._pcs, todo, self._zeros, self._ends_here, self._gave = list(self._numbers)[number]
        self._todo = set(todo)

    def _first_time(self, place: int, number: int, record: tuple[int, int, int, int], head: Head, source: int) -> int:
        """A step that is not known: where it leads. It is known from then on, unless its value is not the same every time."""
        self._stand_at(place)
        block, done, count = self.block, self.done, len(self.events)
        access = self._record(number, record, head, source)
        behind = self._place()
        if access.kind not in (Kind.FILL, Kind.READ) and access.flag is not Flag.POSITION:
            is_event = len(self.events) > count
            kind = self.events.kinds[-1] if is_event else -1
            flag = self.events.places[-1] - self._ring.place(block, 0) if is_event and kind != FENCE else 0
            advance = (self.block - block) % self._ring.blocks
            code, detail, _, value = record
            self._known[place, code, detail, value] = (behind, kind, flag, advance, self.done - done)
        return behind

    def _expected(self) -> str:
        return " or ".join(dict.fromkeys(self._plans[pc].id for pc in self._pcs))

    def _record(self, number: int, record: tuple[int, int, int, int], head: Head, source: int) -> Access:
        """One record, with all that there is to check; its access."""
        code, detail, block, value = record
        if code == INTERRUPTED:
            raise Undecided(f"{head.who}: an interrupt has ended a call in the middle (record {number})")
        row = head.rows[code - 1] if 0 < code <= len(head.rows) else f"row {code - 1}, which its head does not name"
        for pc in self._pcs:
            plan = self._plans[pc]
            if plan.id == row:
                break
        else:
            raise Impossible(number, f"it is {row}, and the table says that {self._expected()} comes here")
        if block != self.block:
            raise Impossible(number, f"{row} is at block {block}, and the table is at block {self.block}")
        outcome = self._outcome(number, plan, pc, detail, value, source)
        if outcome is None:
            self._pcs, self._ends_here = (pc,), False
            return plan.access
        self._pcs, advance, is_done, self._ends_here = plan.next[outcome]
        self._todo = set()
        if advance:
            self.block = (block + advance) % self._ring.blocks
        if pc == self._gives:
            self._gave = True
        if is_done:
            self.done += 1
            self._gave = False
        return plan.access

    def _outcome(self, number: int, plan: _Plan, pc: int, detail: int, value: int, source: int) -> Outcome | None:
        """What came of an access; ``None`` if there are flags left to visit. Notes the event."""
        if plan.several:
            return self._several(number, plan, detail, value, source)
        access, place = plan.access, self._ring.place(self.block, plan.flag)
        if pc == self._payload:
            return self._payload_event(number, plan, detail, value, source)
        if detail:
            raise Impossible(number, f"{plan.id} has no rank {detail} to visit")
        match plan.kind:
            case Kind.LOAD:
                if plan.flag >= 0:
                    self.events.add(LOAD, place, value, number, source)
                return Outcome.ONE if value else Outcome.ZERO
            case Kind.STORE:
                self._check_stored(number, plan, value)
                if plan.flag >= 0:
                    self.events.add(STORE, place, value, number, source)
            case Kind.FENCE | Kind.SLEEP:
                if value:
                    raise Impossible(number, f"{plan.id} finds no value, and {value} is what was recorded")
                if access.ordering is Ordering.SEQ_CST:
                    self.events.add(FENCE, 0, 0, number, source)
            case Kind.EXCHANGE:
                self.events.add(FENCE, 0, 0, number, source)
        return Outcome.DONE

    def _check_stored(self, number: int, plan: _Plan, value: int) -> None:
        due = self.done + 1 if plan.access.flag is Flag.POSITION else plan.access.value
        if value != due:
            raise Impossible(number, f"{plan.id} stores {due}, and {value} is what was recorded")

    def _payload_event(self, number: int, plan: _Plan, detail: int, value: int, source: int) -> Outcome:
        place = self._ring.place(self.block, 1 + self._ring.readers)
        if detail > 1:
            raise Impossible(number, f"the caller's part of {plan.id} ends with 0 or 1, and not with {detail}")
        if plan.kind is Kind.FILL:
            if detail:
                self._aborted += 1
                value = _ABORTED_FROM + self._aborted
            self.events.add(STORE, place, value, number, source)
        elif not detail:
            self.events.add(LOAD, place, value, number, source)
        return Outcome.ABORTED if detail else Outcome.DONE

    def _several(self, number: int, plan: _Plan, detail: int, value: int, source: int) -> Outcome | None:
        is_load = plan.kind is Kind.LOAD
        if plan.count == 0:
            return Outcome.ONE if is_load else Outcome.DONE
        todo = self._todo
        if not todo:
            todo.update(range(plan.count))
            self._zeros = 0
        if detail not in todo:
            raise Impossible(number, f"{plan.id} visits rank {detail}, which is none of those that are left to visit")
        todo.remove(detail)
        if plan.flag >= 0:
            place = self._ring.place(self.block, plan.flag + detail)
            self.events.add(LOAD if is_load else STORE, place, value, number, source)
        if is_load:
            self._zeros += value != 1
            if self._zeros > plan.access.missing_allowed:
                return Outcome.ZERO
        elif plan.kind is Kind.STORE:
            self._check_stored(number, plan, value)
        if todo:
            return None
        return Outcome.ONE if is_load else Outcome.DONE

    def link(self, before: Recording, after: Recording | None, source: int) -> None:
        """A holder that did not come to its end may have made one access more than it has recorded; then its successor begins.

        Raises :class:`Undecided` where the successor begins at a number that does not follow.
        """
        tail = None if before.status == CLOSED or len(self._pcs) != 1 else self._tail(self._pcs[0])
        starts = {self.done + self._gave}
        if tail is not None and self._pcs[0] == self._gives and (not self._todo or len(self._todo) == 1):
            starts = {self.done, self.done + 1}
        if after is not None and after.head.start not in starts:
            raise Undecided(
                f"{after.head.who} begins at number {after.head.start}, and its predecessor's recording ends at {self.done}"
            )
        if tail is not None:
            must = after is not None and len(starts) == 2 and after.head.start == self.done + 1
            cannot = after is not None and len(starts) == 2 and not must
            if not cannot:
                self.events.add(STORE if must else MAYBE, *tail, len(before), source)
        if after is not None:
            self.events.add(FENCE, 0, 0, len(before), source)  # a process has ended, and another one begins
        self._gave = False

    def _tail(self, pc: int) -> tuple[int, int] | None:
        """The store to a flag of the block that may be behind the last record: place and value."""
        plan = self._plans[pc]
        if plan.kind is not Kind.STORE or plan.flag < 0 or plan.count == 0:
            return None
        assert plan.access.value is not None, "a store has a value"
        rank = (min(self._todo) if self._todo else 0) if plan.several else 0
        return self._ring.place(self.block, plan.flag + rank), plan.access.value


def _of_block(access: Access) -> bool:
    return access.flag is not None and access.flag.is_of_block
