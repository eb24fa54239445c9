"""All minimal sets of additions that make a protocol right, found without exploring every combination.

What is added (an ordering of an access, a fence) only takes behaviours away. A release store, or a store behind a release
fence, carries at least the view that a plain relaxed one would; an acquire load, or an acquire fence, only adds to its actor's
view; a greater view lets a load return fewer of the stores, a store take fewer of the places, and fewer payload accesses race.
So every run with the additions is a run without them: what contains a set that suffices, suffices; what is contained in one
that does not, does not. Rules: the largest combination that is still open is tried next; one that suffices is made smaller,
place by place, until nothing can go; what is then known of others is not explored. So every combination is decided, and the
answers are all of the minimal sets (Liffiton, Previti, Malik and Marques-Silva 2016). Limits: suffices speaks of the rings in
``sizes``, under one memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ringbuffer.checker.explore import HOLDS, REFUTED, explore
from ringbuffer.protocol import Variant
from ringbuffer.protocol.properties import SAFETY

SIZES: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Readers and blocks of the rings that a combination is tried in, from small to large: most wrong ones fail at the first."""
STATES_MAX: Final = 200_000
PLACES_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """What exploring a variant under a memory, ring by ring up to the first that refutes, has found.

    ``size``: readers and blocks of the last ring. ``steps`` and ``token`` are those of the counterexample; ``capped`` says
    whether a bound of the memory was met.
    """

    edits: str
    memory: str
    status: str
    property: str | None
    steps: int
    size: tuple[int, int]
    states: int
    capped: bool
    token: str | None

    def __str__(self) -> str:
        ring = f"{self.size[0]}×{self.size[1]}"
        if self.status == REFUTED:
            return f"{self.memory}: refuted: {self.property}, {self.steps} steps at {ring}"
        return f"{self.memory}: {self.status} up to {ring}, {self.states} states"


@dataclass(frozen=True, slots=True)
class MinimalSets:
    """Every minimal set of ``places`` that suffices, smallest first.

    ``insufficient``: the largest sets that do not suffice, each with what it breaks. ``explored``: how many combinations were
    explored, of the ``combinations`` that there are. ``capped``: whether a minimal set met a bound of the memory.
    """

    places: tuple[str, ...]
    minimal: tuple[tuple[str, ...], ...]
    insufficient: tuple[tuple[tuple[str, ...], Finding], ...]
    explored: int
    combinations: int
    capped: bool


def find(
    variant: Variant,
    memory: str,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    properties: tuple[str, ...] = SAFETY,
    max_states: int = STATES_MAX,
) -> Finding:
    """Explore a variant in rings from small to large, up to the first that refutes it or is too large to be done with."""
    states, capped = 0, False
    for size in sizes:
        result = explore(variant, *size, memory=memory, properties=properties, max_states=max_states)
        states, capped = states + result.states, capped or result.capped
        status, steps = result.status, len(result.trace)
        if status != HOLDS:
            break
    return Finding(str(variant), memory, status, result.property, steps, size, states, capped, result.token)


def minimal_sets(places: tuple[str, ...], try_out: Callable[[tuple[str, ...]], Finding]) -> MinimalSets:
    """Every minimal subset of ``places`` for which ``try_out`` finds nothing. Sufficient must be kept by additions."""
    assert len(places) <= PLACES_MAX, "all combinations are kept at once"
    search = _Search(places, try_out)
    while search.open:
        search.go_on(max(search.open, key=lambda chosen: (chosen.bit_count(), -chosen)))
    minimal = sorted((search.named(chosen) for chosen in search.minimal), key=lambda names: (len(names), names))
    wrong = [
        chosen for chosen in search.wrong if not any(chosen != other and chosen & other == chosen for other in search.wrong)
    ]
    return MinimalSets(
        places,
        tuple(minimal),
        tuple((search.named(chosen), search.wrong[chosen]) for chosen in wrong),
        search.explored,
        1 << len(places),
        search.capped,
    )


class _Search:
    """Which combinations are still open; each is a number whose bits say which places are in it."""

    def __init__(self, places: tuple[str, ...], try_out: Callable[[tuple[str, ...]], Finding]) -> None:
        self.places, self.try_out = places, try_out
        self.open = set(range(1 << len(places)))
        self.minimal: list[int] = []
        self.wrong: dict[int, Finding] = {}
        self.explored = 0
        self.capped = False

    def named(self, chosen: int) -> tuple[str, ...]:
        """The places of a combination."""
        return tuple(place for bit, place in enumerate(self.places) if chosen >> bit & 1)

    def go_on(self, chosen: int) -> None:
        """Decide an open combination: all within it are wrong, or a minimal one within it is found."""
        found = self._suffices(chosen)
        if found is None:
            return
        for bit in range(len(self.places)):
            smaller = chosen & ~(1 << bit)
            if smaller in self.open and smaller != chosen:
                less = self._suffices(smaller)
                chosen, found = (smaller, less) if less is not None else (chosen, found)
        self.minimal.append(chosen)
        self.capped = self.capped or found.capped
        self.open -= {other for other in self.open if chosen & other == chosen}

    def _suffices(self, chosen: int) -> Finding | None:
        """What was found, if that is nothing wrong; else all within this combination are decided."""
        found = self.try_out(self.named(chosen))
        self.explored += 1
        if found.status == HOLDS:
            return found
        self.wrong[chosen] = found
        self.open -= {other for other in self.open if chosen & other == other}
        return None
