"""Runs to show, for the tests of pages, of ITF files and of replaying: found by the explorer, or drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from ringbuffer.checker import explore, replay
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant
from ringbuffer.simulator import Setup, Simulation
from ringbuffer.trace.record import Run, Step

SENDING: Final = ("store", "fill")


def _found(variant: Variant, *properties: str, memory: str = "sc") -> Simulation:
    wanted = {"properties": properties} if properties else {}
    token = explore(variant, 2 if memory == "sc" else 1, 2, memory=memory, words=2, **wanted).token  # type: ignore[arg-type]
    assert token is not None
    return Simulation.replay(token)


def _drawn(seed: int, steps: int, **setup: object) -> Simulation:
    simulation = Simulation(Setup(**setup))  # type: ignore[arg-type]
    simulation.run(seed, steps)
    return simulation


NAMES: Final = ("swapped", "reordered", "starved", "two steps", "no progress", "long", "large", "buffered", "weak", "unordered")
"""What :func:`simulation` knows."""


@cache
def simulation(name: str) -> Simulation:
    """A run by name. It is shared: take no further steps in it."""
    match name:
        case "swapped":
            return _found(PROTOCOL.swapped("W5", "W6"))
        case "reordered":
            return _found(ORIGINAL, "reordered")
        case "starved":
            return _found(ORIGINAL, "starved")
        case "two steps":
            return _found(PROTOCOL.without("R2"), "stale")
        case "no progress":
            return _found(PROTOCOL.without("W1"), "progress")
        case "long":
            return _drawn(7, 100, readers=3, blocks=3)
        case "large":
            return _drawn(11, 100, readers=4, blocks=4)
        case "buffered":
            return _drawn(5, 60, memory="tso", killed="reader")
        case "weak":
            return _drawn(3, 60, memory="ra")
        case "unordered":
            return _found(PROTOCOL.weakened("R2"), "stale", memory="ra-relaxed")
    raise KeyError(name)


@cache
def run(name: str) -> Run:
    """The record of :func:`simulation`."""
    return replay.shown(simulation(name))


def with_sources(record: Run) -> Run:
    """The same run, with where each value was stored filled in by a second way of finding that out (for one order of all)."""
    stored: dict[tuple[int, str], int] = {}
    steps: list[Step] = []
    for step in record.steps:
        place = (step.block, step.location)
        looks = step.kind in ("load", "read")
        steps.append(replace(step, reads_from=stored.get(place, 0) if looks else None))
        if step.kind in SENDING:
            stored[place] = step.number
    return replace(record, steps=tuple(steps))
