"""Interleavings, all of them: what ``ringbuffer.validate`` is compared with. It knows memories, and none of the shortcuts.

A state is how far each actor has got, the stores that each has under way, and what the places hold; every step that is possible
is tried. Also here: recordings of simulated runs, and what can be done to spoil one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, TypeVar

from ringbuffer.protocol import Program, Variant
from ringbuffer.simulator import ABORT, Setup, Simulation
from ringbuffer.trace.recording import Head, Record, Recording
from ringbuffer.validate.follow import FENCE, LOAD, MAYBE, Events

STATES_MAX: Final = 60_000

T = TypeVar("T")
Ints: TypeAlias = tuple[int, ...]
Buffers: TypeAlias = tuple[tuple[tuple[int, int], ...], ...]
State: TypeAlias = tuple[Ints, Buffers, Ints]


class TooMany(Exception):
    """More states than a test should look at."""


def has_an_order(actors: Sequence[Events], initial: Sequence[int], *, tso: bool, goal: Sequence[int] | None = None) -> bool:
    """Whether there is an interleaving in which each actor gets at least as far as ``goal`` says, or to its end."""
    goal = [len(events) for events in actors] if goal is None else list(goal)
    start: State = ((0,) * len(actors), ((),) * len(actors), tuple(initial))
    seen, todo = {start}, [start]
    while todo:
        at, buffers, memory = todo.pop()
        if all(have >= want for have, want in zip(at, goal, strict=True)):
            return True
        for state in _steps(actors, at, buffers, memory, tso):
            if state not in seen:
                seen.add(state)
                todo.append(state)
        if len(seen) > STATES_MAX:
            raise TooMany
    return False


def _steps(actors: Sequence[Events], at: Ints, buffers: Buffers, memory: Ints, tso: bool) -> Iterator[State]:
    for actor, events in enumerate(actors):
        here, buffer = at[actor], buffers[actor]
        if buffer:
            place, value = buffer[0]
            yield at, _with(buffers, actor, buffer[1:]), _with(memory, place, value)
        if here == len(events):
            continue
        kind, place, value = events.kinds[here], events.places[here], events.values[here]
        ahead = _with(at, actor, here + 1)
        if kind == LOAD:
            own = [stored for where, stored in buffer if where == place]
            if (own[-1] if own else memory[place]) == value:
                yield ahead, buffers, memory
        elif kind == FENCE:
            if not buffer:
                yield ahead, buffers, memory
        else:
            if tso:
                yield ahead, _with(buffers, actor, (*buffer, (place, value))), memory
            else:
                yield ahead, buffers, _with(memory, place, value)
            if kind == MAYBE:
                yield ahead, buffers, memory


def _with(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def head_of(rank: int, readers: int, blocks: int, program: Program, variant: Variant, **more: object) -> Head:
    """The head of a recording of one side."""
    fields: dict[str, object] = {"ring": "simulated", "identity": "00", "generation": 1, "start": 0, "tables": str(variant)}
    rows = tuple(one.row.id for one in program.instructions)
    fields |= {"readers": readers, "blocks": blocks, "initial_read_flag": variant.initial_read_flag, "rank": rank, "rows": rows}
    return Head(**(fields | more))  # type: ignore[arg-type]


def recorded(setup: Setup, seed: int, steps: int) -> tuple[list[Recording], tuple[Program, Program]]:
    """A random run on a simulated memory, as if each actor had recorded it; and the programs."""
    simulation = Simulation(setup)
    records: list[list[Record]] = [[] for _ in simulation.model.programs]
    draw = random.Random(seed)
    for _ in range(steps):
        possible = simulation.possible()
        number = draw.randrange(len(possible))
        actor, detail, _ = possible[number].choice
        me = simulation.state.actors[actor]
        step = simulation.step(number)
        if detail < 0:
            continue  # a store reaches memory: nobody's row
        aborted = simulation.model.programs[actor][me.pc].row.is_payload and detail == ABORT
        records[actor].append(Record(me.pc, detail, me.block, 0 if aborted else step.value))
    programs = simulation.model.programs
    recordings = [
        Recording.of(head_of(number - 1, setup.readers, setup.blocks, programs[number], setup.variant), ones, status=0)
        for number, ones in enumerate(records)
    ]
    return recordings, (programs[0], programs[1])
