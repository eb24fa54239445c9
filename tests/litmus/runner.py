"""Every way in which a litmus test can run on a simulated memory: the outcomes, and whether payload accesses raced.

Rules: the memory is touched through its interface only, as the model does it, and is told the threads' footprints; buffers are
emptied at any time and at last, so that final values are those in memory. A run ends at its first race. Limits: depth first,
all states kept, for programs of a dozen accesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from program import Op, Outcome, Threads, locations

from ringbuffer.memory.base import NOBODY, Footprint, Memory, Shape
from ringbuffer.memory.simulated import RELAXED_PAYLOAD, make_memory
from ringbuffer.protocol import Kind, Ordering

STATES_MAX: Final = 400_000
"""More than any program of these tests needs."""


class Seen(NamedTuple):
    """What can come of a program. ``states``: how many states it took to find out."""

    outcomes: frozenset[Outcome]
    raced: bool
    states: int

    def allows(self, wanted: Outcome) -> bool:
        return any(wanted <= outcome for outcome in self.outcomes)


def footprint(thread: tuple[Op, ...], places: dict[str, int]) -> Footprint:
    """What a thread can do at all."""
    return Footprint(
        frozenset(places[op.location] for op in thread if op.kind in (Kind.LOAD, Kind.EXCHANGE)),
        frozenset(places[op.location] for op in thread if op.kind in (Kind.STORE, Kind.EXCHANGE)),
        frozenset(op.ordering for op in thread if op.kind is Kind.FENCE),
        any(op.kind is Kind.READ for op in thread),
        any(op.kind is Kind.FILL for op in thread),
    )


def memory_for(name: str, threads: Threads) -> tuple[Memory, dict[str, int]]:
    """A memory with a flag for each atomic location and a block for each payload, and where these are."""
    atomic, payload = locations(threads, payload=False), locations(threads, payload=True)
    blocks = max(1, len(payload), len(atomic))
    shape = Shape(1, blocks, 1, (NOBODY,) * len(threads))
    places = {name: shape.flag(block, 0) for block, name in enumerate(atomic)}
    places |= {name: shape.word(block, 0) for block, name in enumerate(payload)}
    memory = make_memory(name, shape, [footprint(thread, places) for thread in threads], bounded=False)
    return memory, places


def run(name: str, threads: Threads, prepare: Callable[[Memory], None] = lambda _: None) -> Seen:
    """Run the threads on a new memory of that name in every possible way; ``prepare`` may do something to it before."""
    memory, places = memory_for(name, threads)
    prepare(memory)
    runner = _Runner(memory, places, threads)
    return runner.seen()


class _Standing(NamedTuple):
    """A state of a run: the memory, where each thread stands, and the registers."""

    memory: Any
    pcs: tuple[int, ...]
    registers: Outcome


class _Runner:
    def __init__(self, memory: Memory, places: dict[str, int], threads: Threads) -> None:
        self.memory, self.places, self.threads = memory, places, threads
        self.raced = False

    def seen(self) -> Seen:
        ends: set[Outcome] = set()
        first = _Standing(self.memory.initial(0), (0,) * len(self.threads), frozenset())
        found, left = {first}, [first]
        while left:
            state = left.pop()
            after = list(self._steps(state))
            if all(pc == len(thread) for pc, thread in zip(state.pcs, self.threads, strict=True)) and not after:
                ends.add(state.registers | self._final(state.memory))
            new = set(after) - found
            found |= new
            left += new
            assert len(found) <= STATES_MAX, "a litmus test is small"
        return Seen(frozenset(ends), self.raced, len(found))

    def _final(self, memory: Any) -> Outcome:
        return frozenset((name, self.memory.newest(memory, place)) for name, place in self.places.items())

    def _steps(self, state: _Standing) -> Iterator[_Standing]:
        for actor, (pc, thread) in enumerate(zip(state.pcs, self.threads, strict=True)):
            flushed = self.memory.flush(state.memory, actor)
            if flushed is not None:
                yield state._replace(memory=flushed[2])
            if pc < len(thread):
                op = thread[pc]
                pcs = (*state.pcs[:actor], pc + 1, *state.pcs[actor + 1 :])
                if op.when is not None and op.when not in state.registers:
                    yield state._replace(pcs=pcs)
                else:
                    for value, memory in self._results(state.memory, actor, op):
                        registers = state.registers | {(op.register, value)} if op.register else state.registers
                        yield _Standing(memory, pcs, registers)

    def _results(self, state: Any, actor: int, op: Op) -> Iterator[tuple[int, Any]]:
        memory, place = self.memory, self.places.get(op.location, -1)
        match op.kind:
            case Kind.LOAD:
                yield from memory.load(state, actor, place, op.ordering)
            case Kind.STORE:
                yield from ((0, after) for after in memory.store(state, actor, place, op.value, op.ordering))
            case Kind.EXCHANGE:
                yield from memory.exchange(state, actor, place, op.value, op.ordering)
            case Kind.FENCE:
                yield from ((0, after) for after in memory.fence(state, actor, op.ordering))
            case Kind.READ:
                for value, after, raced in memory.read(state, actor, place):
                    self.raced = self.raced or raced
                    if not raced:
                        yield value, after
            case Kind.FILL:
                for after, raced in memory.fill(state, actor, place, op.value):
                    self.raced = self.raced or raced
                    if not raced:
                        yield 0, after


def as_atomic(name: str, threads: Threads) -> Threads:
    """The threads as that memory takes them: with relaxed payload, payload accesses are relaxed atomic ones."""
    if name != RELAXED_PAYLOAD:
        return threads
    kinds = {Kind.READ: Kind.LOAD, Kind.FILL: Kind.STORE}
    return tuple(
        tuple(op._replace(kind=kinds[op.kind], ordering=Ordering.RELAXED) if op.is_payload else op for op in thread)
        for thread in threads
    )
