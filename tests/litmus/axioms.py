"""The memories a second time, as axioms on whole executions: nothing here is shared with the simulated ones.

An execution of a program is its events, with ``po`` (the order in each thread), ``rf`` (which write each read reads from) and
``mo`` (for each location, the order of its writes). All of them are enumerated, and those kept that a model calls consistent:

* ``sc``: ``po ∪ rf ∪ mo ∪ rb`` is acyclic (Shasha and Snir 1988; Alglave, Maranget and Tautschnig 2014);
* ``tso``: coherence per location, and the same with ``po`` less the pairs of a store and a later load that no fence and no
  exchange separates, and ``rf`` across threads only (Owens, Sarkar and Sewell 2009, in the form of Alglave et al. 2014);
* ``rc11``: RC11 (Lahav, Vafeiadis, Kang, Hur and Dreyer 2017) without ``seq_cst`` accesses: ``hb ; eco?`` irreflexive,
  atomicity, ``psc_F`` acyclic, ``po ∪ rf`` acyclic; release sequences as in C++20 (``rf ; rmw`` only). A race is a pair of
  conflicting payload accesses of two threads in a consistent execution that ``hb`` does not order.
* ``ra``: the same with ``po ∪ rf ∪ psc_F`` acyclic: what a machine can show that takes the accesses of each thread in order and
  all full fences one after the other (Kang, Hur, Lahav, Vafeiadis and Dreyer 2017 without promises).
* ``c11``: RC11 without the axiom about ``po ∪ rf``, as Batty et al. 2011 have relaxed accesses.

Rules: a relation is a list with a bit set for each event. Limits: small programs; registers are assigned once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import combinations, product
from typing import NamedTuple, TypeAlias

from program import Op, Outcome, Threads

from ringbuffer.protocol import Kind, Ordering

Relation: TypeAlias = list[int]
"""For each event, the set (as bits) of those that it leads to."""

INITIAL = -1
"""The thread of the writes that were there in the beginning."""


class Event(NamedTuple):
    thread: int
    op: Op
    read: int
    """The value that it reads, if it reads."""


class Consistent(NamedTuple):
    """What a model allows of a program: the outcomes of its consistent executions, and whether one of them has a race."""

    outcomes: frozenset[Outcome]
    raced: bool


def judge(model: str, threads: Threads) -> Consistent:
    """Enumerate the executions of a program, and keep what the model allows."""
    outcomes: set[Outcome] = set()
    raced = False
    for execution in _executions(threads):
        if not execution.is_coherent or not _MODELS[model](execution):
            continue
        if model not in ("sc", "tso") and execution.races:
            raced = True
        else:
            outcomes.add(execution.outcome)
    return Consistent(frozenset(outcomes), raced)


class Execution:
    """Events with ``po``, ``rf`` and ``mo``; the initial writes come first."""

    def __init__(self, events: list[Event], sources: dict[int, int], orders: list[tuple[int, ...]]) -> None:
        self.events, self.sources, self.orders = events, sources, orders
        self.count = len(events)
        self.po = self._relation(
            (a, b)
            for a, b in combinations(range(self.count), 2)
            if events[a].thread in (INITIAL, events[b].thread) and events[b].thread != INITIAL
        )
        self.rf = self._relation((source, read) for read, source in sources.items())
        self.mo = self._relation(pair for order in orders for pair in combinations(order, 2))
        place = {event: (number, at) for number, order in enumerate(orders) for at, event in enumerate(order)}
        self.rb = self._relation(
            (read, later)
            for read, source in sources.items()
            for later in orders[place[source][0]][place[source][1] + 1 :]
            if later != read
        )
        self.is_atomic = all(
            place[read][1] == place[source][1] + 1 for read, source in sources.items() if events[read].op.kind is Kind.EXCHANGE
        )

    @cached_property
    def is_coherent(self) -> bool:
        """Atomicity and coherence per location, which all the models have."""
        here = self.restricted(self.po, lambda a, b: self.events[a].op.location == self.events[b].op.location != "")
        return self.is_atomic and is_acyclic(union(here, self.rf, self.mo, self.rb))

    @cached_property
    def outcome(self) -> Outcome:
        """Registers, and the last value of each location."""
        last = {(self.events[order[-1]].op.location, self.events[order[-1]].op.value) for order in self.orders}
        return frozenset(last | {(event.op.register, event.read) for event in self.events if event.op.register})

    @cached_property
    def eco(self) -> Relation:
        return closed(union(self.rf, self.mo, self.rb))

    @cached_property
    def hb(self) -> Relation:
        return closed(union(self.po, self.synchronizes))

    @cached_property
    def synchronizes(self) -> Relation:
        """Each releasing event with each acquiring one that reads from its release sequence."""
        pairs = []
        for read, source in self.sources.items():
            acquirers = self._acquirers(read)
            write: int | None = source
            while write is not None:
                pairs += [(releaser, acquirer) for releaser in self._releasers(write) for acquirer in acquirers]
                write = self.sources.get(write)
        return self._relation(pairs)

    @cached_property
    def races(self) -> bool:
        payload = [number for number, event in enumerate(self.events) if event.op.is_payload and event.thread != INITIAL]
        return any(
            self.events[a].op.location == self.events[b].op.location
            and self.events[a].thread != self.events[b].thread
            and Kind.FILL in (self.events[a].op.kind, self.events[b].op.kind)
            and not (self.hb[a] >> b & 1 or self.hb[b] >> a & 1)
            for a, b in combinations(payload, 2)
        )

    def _releasers(self, write: int) -> list[int]:
        event = self.events[write]
        if event.thread == INITIAL or event.op.is_payload:
            return []
        own = [write] if event.op.ordering.releases else []
        return own + [number for number in self._fences_of(event.thread) if number < write and self._order(number).releases]

    def _acquirers(self, read: int) -> list[int]:
        event = self.events[read]
        if event.op.is_payload:
            return []
        own = [read] if event.op.ordering.acquires else []
        return own + [number for number in self._fences_of(event.thread) if number > read and self._order(number).acquires]

    def _order(self, number: int) -> Ordering:
        return self.events[number].op.ordering

    def _fences_of(self, thread: int) -> Iterator[int]:
        return (number for number, event in enumerate(self.events) if event.thread == thread and event.op.kind is Kind.FENCE)

    def full_fences(self) -> list[int]:
        return [
            number
            for number, event in enumerate(self.events)
            if event.op.kind is Kind.FENCE and event.op.ordering is Ordering.SEQ_CST
        ]

    def separated(self, a: int, b: int) -> bool:
        """Whether a full fence or an exchange stands between two events of a thread, or is one of them."""
        between = [self.events[number] for number in range(a, b + 1) if self.events[number].thread == self.events[a].thread]
        return any(event.op.kind is Kind.EXCHANGE for event in between) or any(a < fence < b for fence in self.full_fences())

    def _relation(self, pairs: Iterable[tuple[int, int]]) -> Relation:
        relation = [0] * self.count
        for a, b in pairs:
            relation[a] |= 1 << b
        return relation

    def restricted(self, relation: Relation, wanted: Callable[[int, int], bool]) -> Relation:
        """The pairs of a relation that are wanted."""
        every = product(range(self.count), repeat=2)
        return self._relation((a, b) for a, b in every if relation[a] >> b & 1 and wanted(a, b))


def union(*relations: Relation) -> Relation:
    result = [0] * len(relations[0])
    for relation in relations:
        result = [one | other for one, other in zip(result, relation, strict=True)]
    return result


def composed(one: Relation, other: Relation) -> Relation:
    result = []
    for targets in one:
        reached = 0
        for middle, further in enumerate(other):
            if targets >> middle & 1:
                reached |= further
        result.append(reached)
    return result


def closed(relation: Relation) -> Relation:
    """The transitive closure (Warshall 1962)."""
    result = list(relation)
    for middle in range(len(result)):
        for source in range(len(result)):
            if result[source] >> middle & 1:
                result[source] |= result[middle]
    return result


def is_irreflexive(relation: Relation) -> bool:
    return not any(targets >> event & 1 for event, targets in enumerate(relation))


def is_acyclic(relation: Relation) -> bool:
    return is_irreflexive(closed(relation))


def _sc(execution: Execution) -> bool:
    return is_acyclic(union(execution.po, execution.rf, execution.mo, execution.rb))


def _tso(execution: Execution) -> bool:
    events = execution.events

    def is_kept(a: int, b: int) -> bool:
        if Kind.FENCE in (events[a].op.kind, events[b].op.kind):
            return False
        delayed = events[a].op.writes and not events[b].op.writes
        return events[a].thread == INITIAL or not delayed or execution.separated(a, b)

    kept = execution.restricted(execution.po, is_kept)
    across = execution.restricted(execution.rf, lambda a, b: events[a].thread != events[b].thread)
    return is_acyclic(union(kept, across, execution.mo, execution.rb))


def _c11(execution: Execution) -> bool:
    hb, eco = execution.hb, execution.eco
    return is_irreflexive(hb) and is_irreflexive(composed(hb, eco)) and is_acyclic(_psc(execution))


def _rc11(execution: Execution) -> bool:
    return _c11(execution) and is_acyclic(union(execution.po, execution.rf))


def _ra(execution: Execution) -> bool:
    return _c11(execution) and is_acyclic(union(execution.po, execution.rf, _psc(execution)))


def _psc(execution: Execution) -> Relation:
    """Which full fence must come before which, by happens-before and by what is read and written around them."""
    fences, hb = set(execution.full_fences()), execution.hb
    order = union(hb, composed(composed(hb, execution.eco), hb))
    return execution.restricted(order, lambda a, b: a in fences and b in fences)


_MODELS = {"sc": _sc, "tso": _tso, "ra": _ra, "rc11": _rc11, "c11": _c11}


def _executions(threads: Threads) -> Iterator[Execution]:
    names = sorted({op.location for thread in threads for op in thread if op.location})
    values = {name: {0, *(op.value for t in threads for op in t if op.location == name and op.writes)} for name in names}
    beginning = [Event(INITIAL, Op(Kind.STORE, Ordering.RELAXED, name), 0) for name in names]
    for unfolded in product(*(list(_unfolded(number, thread, values)) for number, thread in enumerate(threads))):
        events = beginning + [event for thread in unfolded for event in thread]
        writes = {
            name: [n for n, event in enumerate(events) if event.op.location == name and event.op.writes] for name in names
        }
        reads = [number for number, event in enumerate(events) if event.op.reads]
        candidates = [
            [w for w in writes[events[r].op.location] if w != r and events[w].op.value == events[r].read] for r in reads
        ]
        orders = [list(_orders(events, writes[name])) for name in names]
        for sources in product(*candidates):
            for order in product(*orders):
                yield Execution(events, dict(zip(reads, sources, strict=True)), list(order))


def _unfolded(
    number: int, thread: tuple[Op, ...], values: dict[str, set[int]], registers: Outcome = frozenset()
) -> Iterator[list[Event]]:
    """The events of a thread, for all values that its reads could return."""
    if not thread:
        yield []
        return
    op, rest = thread[0], thread[1:]
    if op.when is not None and op.when not in registers:
        yield from _unfolded(number, rest, values, registers)
        return
    for value in sorted(values[op.location]) if op.reads else [0]:
        known = registers | {(op.register, value)} if op.reads else registers
        for further in _unfolded(number, rest, values, known):
            yield [Event(number, op, value), *further]


def _orders(events: list[Event], writes: list[int]) -> Iterator[tuple[int, ...]]:
    """The orders of the writes to one location that keep the order of each thread, the initial one first."""
    queues: dict[int, list[int]] = {}
    for write in writes:
        queues.setdefault(events[write].thread, []).append(write)
    first = queues.pop(INITIAL)
    yield from ((*first, *order) for order in _merged(tuple(map(tuple, queues.values()))))


def _merged(queues: tuple[tuple[int, ...], ...]) -> Iterator[tuple[int, ...]]:
    if not any(queues):
        yield ()
    for number, queue in enumerate(queues):
        if queue:
            rest = (*queues[:number], queue[1:], *queues[number + 1 :])
            yield from ((queue[0], *order) for order in _merged(rest))
