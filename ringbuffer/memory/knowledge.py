"""What actors can know of a release/acquire memory: views, histories, and who can come to know what.

Rules: everything here is an immutable value. A view counts, component by component; there is nothing that it says of a thing
that a larger number would not say as well, so views are joined by the larger of each. Limits: which access does what to all
this is said in ``release_acquire.py``; what of it may be forgotten, in ``forgetting.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from ringbuffer.memory.base import Arrangement, Footprint, Shape
from ringbuffer.protocol import Ordering

View: TypeAlias = tuple[int, ...]
"""Component by component: for each tracked location a place in its history; then for each block and actor, whether known."""


class Stored(NamedTuple):
    """A store in a history. ``view``: what it carries, or ``None``. ``chained``: nothing may come directly before it."""

    value: int
    view: View | None
    chained: bool


Parts: TypeAlias = tuple[
    tuple[tuple[Stored, ...], ...], tuple[View, ...], tuple[View | None, ...], tuple[View | None, ...], View | None
]
"""The fields of :class:`Knowledge`, in their order, up to ``memo``."""


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """All of a state but the payload's words. A memory makes one object per value: to compare and to hash it costs nothing.

    ``current``: per actor, its view; ``released``: its view at its last release fence; ``acquired``: what its relaxed loads
    have found; ``fenced``: the view that ``seq_cst`` fences exchange; each ``None`` where it holds nothing that matters.
    ``memo``: what accesses made of it lead to, which depends on nothing else.
    """

    histories: tuple[tuple[Stored, ...], ...]
    current: tuple[View, ...]
    released: tuple[View | None, ...]
    acquired: tuple[View | None, ...]
    fenced: View | None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)


class Scheme:
    """Which component of a view stands for what, and who can get to know it how."""

    def __init__(self, shape: Shape, footprints: tuple[Footprint, ...], relaxed_payload: bool) -> None:
        assert len(footprints) == shape.actors, "each actor has a footprint"
        self.shape = shape
        words = frozenset(range(shape.flag_count, shape.word_end)) if relaxed_payload else frozenset()
        loads = [print_.loads | (words if print_.reads else frozenset()) for print_ in footprints]
        stores = [print_.stores | (words if print_.fills else frozenset()) for print_ in footprints]
        self.locations: Final = tuple(sorted(words.union(*loads, *stores)))
        self.place: Final = {location: place for place, location in enumerate(self.locations)}
        self.place_count: Final = len(self.locations)
        self.words: Final = tuple(self.place[location] for location in sorted(words))
        self.size: Final = self.place_count + (0 if relaxed_payload else shape.blocks * shape.actors)
        self.acquire_fences: Final = tuple(any(one.acquires for one in print_.fences) for print_ in footprints)
        self.release_fences: Final = tuple(any(one.releases for one in print_.fences) for print_ in footprints)
        self.full_fences: Final = tuple(Ordering.SEQ_CST in print_.fences for print_ in footprints)
        actors = range(shape.actors)
        self.conflicts: Final = tuple(
            tuple(self._conflicts(footprints, actor, block) for block in range(shape.blocks)) if not relaxed_payload else ()
            for actor in actors
        )
        self.loaders: Final = tuple(tuple(a for a in actors if location in loads[a]) for location in self.locations)
        self.visitors: Final = tuple(
            tuple(a for a in actors if location in loads[a] or location in stores[a]) for location in self.locations
        )
        self.storers: Final = tuple(tuple(a for a in actors if location in stores[a]) for location in self.locations)
        touches = [(loads[a] | stores[a], print_.exchanges) for a, print_ in enumerate(footprints)]
        self.exchanged: Final = tuple(
            all(location not in touched or location in exchanged for touched, exchanged in touches)
            for location in self.locations
        )
        """By place: whether nobody touches it but by exchanges."""
        self.unused: Final = tuple(self._unused(loads[a] | stores[a], self.conflicts[a]) for a in actors)
        full = self.full_fences
        self.listeners: Final = tuple(
            tuple(b for b in actors if b != a and (stores[a] & loads[b] or (full[a] and full[b]))) for a in actors
        )

    def known(self, block: int, actor: int) -> int:
        """The component that says whether that actor's latest access to that block's payload is known."""
        return self.place_count + block * self.shape.actors + actor

    def places_of(self, view: View) -> View:
        """What a view says of places only: the order of ``seq_cst`` fences is no part of happens-before (Lahav 2017)."""
        return view[: self.place_count] + (0,) * (self.size - self.place_count)

    def permutation(self, arrangement: Arrangement) -> tuple[int, ...]:
        """The old component at each new component's place."""
        places = [self.place[arrangement.locations[location]] for location in self.locations]
        if self.size > self.place_count:
            entry = self.shape.entry_size
            old_blocks = [location // entry for location in arrangement.locations[: self.shape.flag_count : entry]]
            places += [self.known(block, actor) for block in old_blocks for actor in arrangement.actors]
        return tuple(places)

    def _conflicts(self, footprints: tuple[Footprint, ...], actor: int, block: int) -> tuple[int, ...]:
        """Whose accesses to the payload conflict with those of ``actor``: one of the two writes."""
        mine = footprints[actor]
        return tuple(
            self.known(block, other)
            for other, theirs in enumerate(footprints)
            if other != actor and ((mine.fills and (theirs.fills or theirs.reads)) or (mine.reads and theirs.fills))
        )

    def _unused(self, locations: frozenset[int], conflicts: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        """The components on which nothing depends that an actor's own accesses can do."""
        used = frozenset(self.place[location] for location in locations).union(*conflicts)
        return tuple(component for component in range(self.size) if component not in used)


def join(one: View | None, other: View | None) -> View | None:
    """What either of two views knows."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(map(max, one, other))


def put(values: Any, index: int, value: Any) -> Any:
    """The same tuple with another value at ``index``."""
    return (*values[:index], value, *values[index + 1 :])


def mapped(
    change: Callable[[View], View],
    histories: tuple[tuple[Stored, ...], ...],
    current: Sequence[View],
    released: tuple[View | None, ...],
    acquired: tuple[View | None, ...],
    fenced: View | None,
) -> Parts:
    """Every view of a state, changed."""

    def maybe(view: View | None) -> View | None:
        return None if view is None else change(view)

    return (
        tuple([tuple([Stored(one.value, maybe(one.view), one.chained) for one in history]) for history in histories]),
        tuple([change(view) for view in current]),
        tuple([maybe(view) for view in released]),
        tuple([maybe(view) for view in acquired]),
        maybe(fenced),
    )
