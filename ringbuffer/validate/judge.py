"""Recordings, judged: one possible run of the table, or the shortest part of them that is none, in words.

What is decided. *Possible*: each recording follows the table row by row, and there is an order of all loads and stores of flags
and payloads, on a memory that is sequentially consistent or of total store order (it is said which), in which every load finds
what it is recorded to have found; that order was found. *Impossible*: one of them does not follow the table, or there is no
such order. Both are exact. *Undecided*: a recording is not whole in a way that leaves this open (its file could not grow, an
interrupt ended a call, somebody has read for an evicted reader, a predecessor's file is missing), or the search was given up.

The shortest part that is none: for each process how many of its records are needed, so that no order lets all of them get so
far; with any one record less, of any process, there is one. The others may go on as far as they like for that.

Rules: no clock is asked, and nothing is taken from the names of files. Limits: what ``follow.py`` leaves out (the words of who
is awake, what a sleep was ended by); a payload counts as one store at the end of its fill and one load at the end of its read.
Loads that other processors than x86's reorder are not: on those, use what is recorded there with care. A rank without a file is
taken as one that never did anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

from ringbuffer.errors import TraceFileError
from ringbuffer.protocol import PROTOCOL, Program, Variant, executed
from ringbuffer.ranks import WRITER, name_of
from ringbuffer.trace.recording import STOOD_IN, STOPPED, Recording
from ringbuffer.validate.follow import LOAD, MAYBE, STORE, Events, Follower, Impossible, Ring, Undecided
from ringbuffer.validate.order import BUDGET, FOUND, NONE, OPEN, Order, Question

POSSIBLE, IMPOSSIBLE, UNDECIDED = "possible", "impossible", "undecided"
SC, TSO = "sc", "tso"
MEMORIES: Final = (SC, TSO)
_NO_TABLES: Final = ""
"""What a recording by somebody else says of its tables: nothing."""
_NAMES_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Part:
    """How far one recording goes in the shortest part that is no run: so many of its records, and the last of them in words."""

    source: str
    who: str
    records: int
    of: int
    last: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """The verdict. ``memory``: the memory on which the run is possible. ``events``: loads and stores that were put in order;
    ``parts``: of what is impossible, the shortest part; ``why``: what is wrong with it, or what leaves it open."""

    status: str
    memory: str
    recordings: int
    records: int
    events: int
    messages: int
    seconds: float
    why: str = ""
    parts: tuple[Part, ...] = ()
    branchings: int = 0

    def as_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


def validate(
    recordings: Iterable[Recording],
    variant: Variant = PROTOCOL,
    *,
    programs: tuple[Program, Program] | None = None,
    memory: str = TSO,
    budget: int = BUDGET,
) -> Validation:
    """Judge recordings of one ring against the tables of ``variant``: what its endpoints run, or ``programs`` instead.

    ``memory``: ``"tso"``, on which all is possible that is so under ``"sc"``. Raises :class:`TraceFileError` for recordings
    that are not of one ring, of one table, and of different processes.
    """
    started = time.perf_counter()
    chosen = sorted(recordings, key=lambda one: (one.head.rank, one.head.generation))
    _check_together(chosen)
    if programs is None:
        _check_tables(chosen, variant)
        programs = executed(variant.writer), executed(variant.reader)
    judge = _Judge(chosen, programs, memory, budget)
    status, on, why, parts = judge.verdict()
    records = sum(map(len, chosen))
    messages = judge.messages
    seconds = time.perf_counter() - started
    return Validation(status, on, len(chosen), records, judge.events, messages, seconds, why, parts, judge.branchings)


def _check_together(recordings: Sequence[Recording]) -> None:
    if not recordings:
        raise TraceFileError("there is no recording to validate")
    first = recordings[0]
    for one in recordings[1:]:
        for name in ("identity", "ring", "readers", "blocks", "initial_read_flag", "tables"):
            here, there = getattr(one.head, name), getattr(first.head, name)
            if here != there:
                raise TraceFileError(
                    f"{one.source} and {first.source} are not of one run: {name.replace('_', ' ')} is {here!r} and {there!r}"
                )
    for one, other in pairwise(recordings):
        if (one.head.rank, one.head.generation) == (other.head.rank, other.head.generation):
            raise TraceFileError(f"{one.source} and {other.source} are both of {one.head.who}: a recording counts once")


def _check_tables(recordings: Sequence[Recording], variant: Variant) -> None:
    for one in recordings:
        if one.head.tables not in (_NO_TABLES, str(variant)):
            options = " ".join(f"--{edit.replace('=', ' ', 1)}" for edit in one.head.tables.split() if edit != "shipped")
            raise TraceFileError(
                f"{one.source} is a recording of the tables {one.head.tables!r}, and was to be held to {str(variant)!r};"
                f" {f'for its own: {options}' if options else 'for its own, name no edit'}"
            )


class _Judge:
    """One question. ``events``, ``messages`` and ``branchings`` are known when there is a verdict."""

    def __init__(self, recordings: Sequence[Recording], programs: tuple[Program, Program], memory: str, budget: int) -> None:
        self._recordings, self._programs, self._memory, self._budget = recordings, programs, memory, budget
        head = recordings[0].head
        self._ring = Ring(head.readers, head.blocks)
        self._initial = [head.initial_read_flag if 0 < place % (2 + head.readers) <= head.readers else 0
                         for place in range(self._ring.size)]  # fmt: skip
        self._initial = [-1 if self._ring.is_payload(place) else value for place, value in enumerate(self._initial)]
        self._holders = {
            rank: [one for one in recordings if one.head.rank == rank] for rank in sorted({one.head.rank for one in recordings})
        }
        self._actors: list[Events] = []
        self.events = self.messages = self.branchings = 0

    def verdict(self) -> tuple[str, str, str, tuple[Part, ...]]:
        """Status, memory, why, and the shortest part that is impossible."""
        try:
            self._require_whole()
            for rank, holders in self._holders.items():
                self._follow(rank, holders)
        except Undecided as problem:
            return UNDECIDED, "", str(problem), ()
        except _NotTheTable as problem:
            return IMPOSSIBLE, "", problem.why, problem.parts
        self.events = sum(map(len, self._actors))
        question = Question(self._actors, self._initial)
        for memory in MEMORIES[: MEMORIES.index(self._memory) + 1]:
            order = self._ask(question, memory)
            if order.status == FOUND:
                return POSSIBLE, memory, "", ()
            if order.status == OPEN:
                return UNDECIDED, "", f"the search was given up after {order.branchings:,} branchings", ()
        goal = self._shortest(question, order)
        return IMPOSSIBLE, "", *self._explained(question, goal)

    def _ask(self, question: Question, memory: str, goal: Sequence[int] | None = None) -> Order:
        order = question.ask(tso=memory == TSO, goal=goal, budget=self._budget)
        self.branchings += order.branchings
        return order

    def _require_whole(self) -> None:
        for one in self._recordings:
            if one.status == STOPPED:
                raise Undecided(
                    f"{one.source} ends early, as its file could not grow: nobody knows what {one.head.who} did then"
                )
            if one.marks & STOOD_IN:
                raise Undecided(f"{one.head.who} has read in the place of an evicted reader, and that is in no file")
        for holders in self._holders.values():
            for number, one in enumerate(holders, start=1):
                if one.head.generation != number:
                    raise Undecided(f"{one.source} is of {one.head.who}, and the recording of holder {number} is missing")
            if holders[0].head.start:
                raise Undecided(f"{holders[0].source} begins at number {holders[0].head.start}, with nobody before")

    def _follow(self, rank: int, holders: Sequence[Recording]) -> None:
        follower = Follower(self._programs[0 if rank == WRITER else 1], self._ring, rank)
        for number, recording in enumerate(holders):
            source = self._recordings.index(recording)
            try:
                follower.follow(recording, number)
            except Impossible as problem:
                raise _NotTheTable(*self._at_record(source, problem)) from problem
            after = holders[number + 1] if number + 1 < len(holders) else None
            follower.link(recording, after, number)
        self._actors.append(follower.events)
        if rank == WRITER:
            self.messages = follower.done

    def _at_record(self, source: int, problem: Impossible) -> tuple[str, tuple[Part, ...]]:
        one = self._recordings[source]
        count = min(problem.number + 1, len(one))
        why = f"{one.head.who}, record {problem.number}: {problem}"
        return why, (Part(one.source, one.head.who, count, len(one), self._record_in_words(one, problem.number)),)

    def _shortest(self, question: Question, order: Order) -> list[int]:
        """How far each actor must be asked to get, at the least, so that it cannot be.

        One alone is enough, mostly: that one on which the others wait. Where there was no choice up to where all were stuck,
        none of them can get on by itself, as no step has lost anything.
        """
        alone = [[0] * len(self._actors) for _ in self._actors]
        for actor, at in enumerate(order.reached):
            alone[actor][actor] = at + 1
        for actor in self._roots(order):
            if order.branchings == 0 or self._is_impossible(question, alone[actor]):
                return alone[actor]
        goal = [len(events) for events in self._actors]
        for actor in range(len(goal)):
            goal[actor] = self._least(question, goal, actor)
        return goal

    def _roots(self, order: Order) -> list[int]:
        """Those who are stuck, and first of them those for whom all others wait: who waits for nobody, or who waits in a
        circle."""
        stuck = [actor for actor, at in enumerate(order.reached) if at < len(self._actors[actor])]
        depth = dict.fromkeys(stuck, 0)
        for actor in stuck:
            seen = []
            current: int | None = actor
            while current is not None and current not in seen:
                seen.append(current)
                current = self._waits_for(current, order)
            root = seen[-1] if current is None else min(seen[seen.index(current) :], key=order.reached.__getitem__)
            depth[root] = depth.get(root, 0) + 1
        return sorted(stuck, key=lambda actor: (-depth[actor], order.reached[actor]))

    def _waits_for(self, actor: int, order: Order) -> int | None:
        """Somebody who is to store what this actor's next load is to find."""
        events, at = self._actors[actor], order.reached[actor]
        place, value = events.places[at], events.values[at]
        for other, theirs in enumerate(self._actors):
            if other == actor or events.kinds[at] != LOAD:
                continue
            for index in range(order.reached[other], len(theirs)):
                if theirs.places[index] == place and theirs.values[index] == value and theirs.kinds[index] in (STORE, MAYBE):
                    return other
        return None

    def _least(self, question: Question, goal: list[int], actor: int) -> int:
        """The least that one actor must be asked for, as all the others stay as they are."""
        low, high = -1, goal[actor]
        while high - low > 1:
            middle = (low + high) // 2
            asked = [*goal[:actor], middle, *goal[actor + 1 :]]
            low, high = (low, middle) if self._is_impossible(question, asked) else (middle, high)
        return high

    def _is_impossible(self, question: Question, goal: Sequence[int]) -> bool:
        return self._ask(question, self._memory, goal).status == NONE

    def _explained(self, question: Question, goal: list[int]) -> tuple[str, tuple[Part, ...]]:
        """What cannot be, in words."""
        order = self._ask(question, self._memory, goal)
        parts, told = [], []
        for holders, events, least, at in zip(self._holders.values(), self._actors, goal, order.reached, strict=True):
            if not least:
                continue
            one, number = self._origin(holders, events, least - 1)
            parts.append(Part(one.source, one.head.who, number + 1, len(one), self._record_in_words(one, number)))
            if at < len(events):
                told.append(self._stuck(holders, events, at, order))
        whole = "no order of the others' records lets" if len(parts) == 1 else "no order of the records lets all of"
        who = ", ".join(f"{part.who} get to its record {part.records - 1}" for part in parts)
        where = f"Where the search came furthest, {'; '.join(told) or 'a choice was missing'}"
        return f"{whole} {who}. {where}{self._without_a_file()}", tuple(parts)

    def _without_a_file(self) -> str:
        """Of whom there is no recording, if anybody: it may just have been left out."""
        ranks = [rank for rank in range(WRITER, self._ring.readers) if rank not in self._holders]
        names = [name_of(rank) for rank in ranks[:_NAMES_MAX]]
        if len(ranks) > _NAMES_MAX:
            names.append(f"{len(ranks) - _NAMES_MAX} more")
        return (
            f". There is no file of {', '.join(names)}: who has none is taken as one that never did anything" if ranks else ""
        )

    def _origin(self, holders: Sequence[Recording], events: Events, index: int) -> tuple[Recording, int]:
        one = holders[events.sources[index]]
        return one, min(events.origins[index], max(0, len(one) - 1))

    def _stuck(self, holders: Sequence[Recording], events: Events, at: int, order: Order) -> str:
        one, number = self._origin(holders, events, at)
        place, value = events.places[at], events.values[at]
        held = order.memory[place]
        said = f"{one.head.who} stood before record {number} ({self._record_in_words(one, number)})"
        if held == value:
            return said
        return f"{said}, and {self._ring.name(place)} held {self._value_in_words(place, held)}"

    def _value_in_words(self, place: int, value: int) -> str:
        if not self._ring.is_payload(place):
            return str(value)
        return "no whole message" if not 0 <= value < 1 << 64 else f"number {value >> 32}, digest {value & 0xFFFF_FFFF:08x}"

    def _record_in_words(self, one: Recording, number: int) -> str:
        """One record: row, title, block, value."""
        records = list(one)[number : number + 1]
        if not records:
            return "the end of the recording"
        record = records[0]
        row_id = (
            one.head.rows[record.row] if 0 <= record.row < len(one.head.rows) else "an interrupt" if record.row < 0 else "?"
        )
        program = self._programs[0 if one.head.rank == WRITER else 1]
        row = next((each.row for each in program.instructions if each.row.id == row_id), None)
        title = f" ({row.title})" if row is not None else ""
        if row is not None and row.is_payload:
            what = "given up" if record.detail else self._value_in_words(1 + self._ring.readers, record.value)
        else:
            several = f", rank {record.detail}" if row is not None and row.access.is_several else ""
            what = f"{row.access if row is not None else 'value'}{several}: {record.value}"
        return f"{row_id}{title} of block {record.block}, {what}"


class _NotTheTable(Exception):
    def __init__(self, why: str, parts: tuple[Part, ...]) -> None:
        super().__init__(why)
        self.why, self.parts = why, parts
