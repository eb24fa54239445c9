"""Release/acquire in the sense of C11, by views (Kang et al. 2017 without promises; Lahav, Giannarakis, Vafeiadis 2016).

Each atomic location has a history: its stores in modification order. Each actor has a view: for each location, how far into the
history it has come. A load may return any store that is not before the actor's view; a store may take any place behind it. A
release store carries its actor's view, and an acquire load takes the view over that it finds: what the one had seen, the
other sees from then on. Relaxed accesses carry nothing, unless fences make up for it: a release fence lends its actor's view
to the stores behind it, an acquire fence takes over what the loads before it have found, and a ``seq_cst`` fence does both and
exchanges views with all other ``seq_cst`` fences. An exchange takes the place directly behind the store that it reads, and
carries that store's view on (release sequences as in C++20).

The payload is not atomic. Views also say, for each block and each actor, whether that actor's latest payload access to that
block is known. An access that conflicts with one that is not known is a race, and then nothing behind it means anything. Up to
the first race a payload read returns what was written last. With ``relaxed_payload`` the words are relaxed atomic locations
instead: no race is reported, and what wrong values can come of one is seen (as far as this model goes).

Runs without end stay finite, because a state keeps only what somebody could still find out: stores that every actor has
passed are dropped, places are counted from the oldest store left, views are cut down to what is news to anybody who could
get them, and equal stores side by side are one. ``_Forgetting`` does that and says why it is sound. What may still grow without
end (an actor that stores on and on where another, who stores there too, does not look) is stopped: an actor that is
:data:`AHEAD_MAX` stores ahead of the last one waits, and ``capped`` tells that it did.

Limits: no load buffering (a load never returns a store that is yet to be made: no promises), no out-of-thin-air values, no
``seq_cst`` accesses (fences only), no consume. Release sequences by later stores of the same thread (C++11 to C++17) are not
modelled: C++20 removed them. Full fences are ordered in agreement with program order and
reads-from, which C11 does not ask for: that too is load buffering in disguise. What this is, precisely, is RC11 (Lahav et al.
2017) with program order, reads-from and the order of full fences acyclic together. So what holds here holds for C11 programs
in which no store is seen before an earlier load of its thread has returned; what is refuted here is refuted in C11.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from ringbuffer.memory.base import Arrangement, Footprint, Shape
from ringbuffer.protocol import Kind, Ordering
from ringbuffer.protocol.oracle import NO_MESSAGE

View: TypeAlias = tuple[int, ...]
"""Component by component: for each tracked location a place in its history; then for each block and actor, whether known."""

AHEAD_MAX: Final = 3
"""How many stores to one location can be there that not everybody has passed. A correct ring needs 2."""


class Stored(NamedTuple):
    """A store in a history. ``view``: what it carries, or ``None``. ``chained``: nothing may come directly before it."""

    value: int
    view: View | None
    chained: bool


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A state. There is one object per value (the memory sees to that), so that comparing and hashing it costs nothing.

    ``released``: per actor, the view at its last release fence; ``acquired``: what its relaxed loads have found; ``fenced``:
    the view that ``seq_cst`` fences exchange; each ``None`` where it holds nothing that matters. ``payload``: the words.
    """

    histories: tuple[tuple[Stored, ...], ...]
    current: tuple[View, ...]
    released: tuple[View | None, ...]
    acquired: tuple[View | None, ...]
    fenced: View | None
    payload: tuple[int, ...]
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)


class ReleaseAcquire:
    """The memory of C11 programs; stronger than AArch64 and POWER in nothing that this protocol's accesses could show."""

    has_buffers = False
    local = frozenset((Kind.FENCE,))

    def __init__(
        self, shape: Shape, footprints: Sequence[Footprint], *, bounded: bool = True, relaxed_payload: bool = False
    ) -> None:
        self.shape, self.relaxed_payload = shape, relaxed_payload
        self._ahead_max = AHEAD_MAX if bounded else sys.maxsize
        self.name = "ra-relaxed" if relaxed_payload else "ra"
        self.judges_races = not relaxed_payload
        self.capped = False
        self._scheme = _Scheme(shape, tuple(footprints), relaxed_payload)
        self._forgetting = _Forgetting(self._scheme)
        self._known: dict[Any, Views] = {}
        self._permutations: dict[Arrangement, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def initial(self, read_flag: int) -> Views:
        scheme, shape = self._scheme, self.shape
        histories = tuple((Stored(scheme.initial_value(location, read_flag), None, False),) for location in scheme.locations)
        view = (0,) * scheme.place_count + (1,) * (scheme.size - scheme.place_count)
        nothing = (None,) * shape.actors
        payload = () if self.relaxed_payload else (NO_MESSAGE,) * (shape.blocks * shape.words)
        return self._state(histories, [view] * shape.actors, nothing, nothing, None, payload)

    def load(self, state: Views, actor: int, location: int, ordering: Ordering) -> tuple[tuple[int, Views], ...]:
        key = (Kind.LOAD, actor, location, ordering)
        if key not in state.memo:
            place = self._scheme.place[location]
            history = state.histories[place]
            state.memo[key] = tuple(
                (history[at].value, self._after_load(state, actor, place, at, ordering))
                for at in range(state.current[actor][place], len(history))
            )
        found: tuple[tuple[int, Views], ...] = state.memo[key]
        return found

    def store(self, state: Views, actor: int, location: int, value: int, ordering: Ordering) -> tuple[Views, ...]:
        key = (Kind.STORE, actor, location, value, ordering)
        if key not in state.memo:
            place = self._scheme.place[location]
            history = state.histories[place]
            if len(history) > self._ahead_max:
                self.capped = True
                return ()
            carried = state.current[actor] if ordering.releases else state.released[actor]
            state.memo[key] = tuple(
                self._insert(state, actor, place, at, Stored(value, carried, False))
                for at in range(state.current[actor][place] + 1, len(history) + 1)
                if at == len(history) or not history[at].chained
            )
        found: tuple[Views, ...] = state.memo[key]
        return found

    def exchange(
        self, state: Views, actor: int, location: int, value: int, ordering: Ordering
    ) -> tuple[tuple[int, Views], ...]:
        return tuple(self._exchange(state, actor, self._scheme.place[location], value, ordering))

    def _exchange(self, state: Views, actor: int, place: int, value: int, ordering: Ordering) -> Iterator[tuple[int, Views]]:
        history = state.histories[place]
        for at in range(state.current[actor][place], len(history)):
            if at + 1 < len(history) and history[at + 1].chained:
                continue
            after = self._after_load(state, actor, place, at, ordering, forget=False)
            own = after.current[actor] if ordering.releases else after.released[actor]
            stored = Stored(value, _join(own, history[at].view), True)
            yield history[at].value, self._insert(after, actor, place, at + 1, stored)

    def fence(self, state: Views, actor: int, ordering: Ordering) -> tuple[Views]:
        current = state.current[actor]
        released, acquired, fenced = state.released, state.acquired, state.fenced
        if ordering.acquires:
            current = _join(current, acquired[actor]) or current
            acquired = _put(acquired, actor, None)
        if ordering is Ordering.SEQ_CST:
            current = _join(current, fenced) or current
            fenced = self._scheme.places_of(current)
        if ordering.releases:
            released = _put(released, actor, current)
        currents = _put(state.current, actor, current)
        return (self._state(state.histories, currents, released, acquired, fenced, state.payload),)

    def read(self, state: Views, actor: int, location: int) -> tuple[tuple[int, Views, bool], ...]:
        if self.relaxed_payload:
            loads = self.load(state, actor, location, Ordering.RELAXED)
            return tuple((value, after, False) for value, after in loads)
        value = state.payload[location - self.shape.flag_count]
        after, raced = self._touch(state, actor, self.shape.block_of_word(location), state.payload)
        return ((value, after, raced),)

    def fill(self, state: Views, actor: int, location: int, value: int) -> tuple[tuple[Views, bool], ...]:
        if self.relaxed_payload:
            return tuple((after, False) for after in self.store(state, actor, location, value, Ordering.RELAXED))
        payload = _put(state.payload, location - self.shape.flag_count, value)
        return (self._touch(state, actor, self.shape.block_of_word(location), payload),)

    def flush(self, state: Views, actor: int) -> None:
        return None

    def learned(self, state: Views, actor: int, other: int) -> Views:
        view = _join(state.current[actor], state.current[other])
        currents = _put(state.current, actor, view)
        return self._state(state.histories, currents, state.released, state.acquired, state.fenced, state.payload)

    def in_flight(self, state: Views, actor: int, block: int) -> bool:
        return False

    def entry(self, state: Views, block: int) -> tuple[int, ...]:
        start = self.shape.flag(block, 0)
        return tuple(self.newest(state, location) for location in range(start, start + self.shape.entry_size))

    def payload(self, state: Views, block: int) -> tuple[int, ...]:
        start = self.shape.word(block, 0)
        return tuple([self.newest(state, location) for location in range(start, start + self.shape.words)])

    def newest(self, state: Views, location: int) -> int:
        first, end = self.shape.flag_count, self.shape.word_end
        if first <= location < end and not self.relaxed_payload:
            return state.payload[location - first]
        place = self._scheme.place.get(location)
        return 0 if place is None else state.histories[place][-1].value

    def messages(self, state: Views) -> Sequence[int]:
        if not self.relaxed_payload:
            return state.payload
        return [stored.value for place in self._scheme.words for stored in state.histories[place]]

    def renamed(self, state: Views, names: dict[int, int]) -> Views:
        histories = list(state.histories)
        for place in self._scheme.words:
            histories[place] = tuple(stored._replace(value=names[stored.value]) for stored in histories[place])
        payload = tuple([names[value] for value in state.payload])
        return self._intern(tuple(histories), state.current, state.released, state.acquired, state.fenced, payload)

    def arranged(self, state: Views, arrangement: Arrangement) -> Views:
        if arrangement in state.memo:
            return state.memo[arrangement]  # type: ignore[no-any-return]
        components, words = self._permutation(arrangement)

        def permuted(view: View | None) -> View | None:
            return None if view is None else tuple([view[component] for component in components])

        histories = tuple(
            [
                tuple([Stored(value, permuted(view), chained) for value, view, chained in state.histories[place]])
                for place in components[: self._scheme.place_count]
            ]
        )
        actors = arrangement.actors
        current = tuple([tuple([state.current[actor][component] for component in components]) for actor in actors])
        released = tuple([permuted(state.released[actor]) for actor in actors])
        acquired = tuple([permuted(state.acquired[actor]) for actor in actors])
        payload = tuple([state.payload[word] for word in words])
        after = self._intern(histories, current, released, acquired, permuted(state.fenced), payload)
        state.memo[arrangement] = after
        return after

    def portrait(self, state: Views, actor: int) -> tuple[Any, ...]:
        if actor not in state.memo:
            shape, place = self.shape, self._scheme.place
            current, flag = state.current[actor], 1 + shape.ranks[actor]
            shown: list[Any] = []
            for location in range(0, shape.flag_count, shape.entry_size):
                if location in place:
                    shown.append(current[place[location]])
                own = place.get(location + flag)
                if own is not None:
                    shown.append((current[own], tuple([stored.value for stored in state.histories[own]])))
            state.memo[actor] = tuple(shown)
        portrait: tuple[Any, ...] = state.memo[actor]
        return portrait

    def _permutation(self, arrangement: Arrangement) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The old component at each new component's place, and the same for payload words."""
        if arrangement not in self._permutations:
            first, end = self.shape.flag_count, self.shape.word_end
            words = () if self.relaxed_payload else tuple(old - first for old in arrangement.locations[first:end])
            self._permutations[arrangement] = (self._scheme.permutation(arrangement), words)
        return self._permutations[arrangement]

    def _after_load(self, state: Views, actor: int, place: int, at: int, ordering: Ordering, *, forget: bool = True) -> Views:
        """The state after ``actor`` has read the store at that place of the history."""
        view = state.histories[place][at].view
        current = _put(state.current[actor], place, at)
        acquired = state.acquired
        if view is not None and ordering.acquires:
            current = _join(current, view) or current
        elif view is not None and self._scheme.acquire_fences[actor]:
            acquired = _put(acquired, actor, _join(acquired[actor], view))
        currents = _put(state.current, actor, current)
        make = self._state if forget else Views
        return make(state.histories, currents, state.released, acquired, state.fenced, state.payload)

    def _insert(self, state: Views, actor: int, place: int, at: int, stored: Stored) -> Views:
        """The state after a store at that place of the history: whatever stood there or behind moves up by one."""
        history = state.histories[place]
        moved = (*history[:at], stored, *history[at:])
        everything = (_put(state.histories, place, moved), state.current, state.released, state.acquired, state.fenced)
        if at < len(history):

            def shifted(view: View) -> View:
                return _put(view, place, view[place] + 1) if view[place] >= at else view

            everything = _mapped(shifted, *everything)
        histories, current, released, acquired, fenced = everything
        own = _put(current[actor], place, at)
        return self._state(histories, _put(current, actor, own), released, acquired, fenced, state.payload)

    def _touch(self, state: Views, actor: int, block: int, payload: tuple[int, ...]) -> tuple[Views, bool]:
        """The state after a payload access, of which nobody else knows yet, and whether it is a race."""
        scheme = self._scheme
        mine = state.current[actor]
        raced = not all(mine[component] for component in scheme.conflicts[actor][block])
        component = scheme.known(block, actor)

        def unknown(view: View) -> View:
            return _put(view, component, 0) if view[component] else view

        everything = (state.histories, state.current, state.released, state.acquired, state.fenced)
        histories, current, released, acquired, fenced = _mapped(unknown, *everything)
        own = _put(current[actor], component, 1)
        return self._state(histories, _put(current, actor, own), released, acquired, fenced, payload), raced

    def _state(self, histories: Any, current: Any, released: Any, acquired: Any, fenced: Any, payload: Any) -> Views:
        """The state of these parts, without what nobody can find out any more."""
        return self._intern(*self._forgetting(histories, current, released, acquired, fenced), payload)

    def _intern(self, *parts: Any) -> Views:
        known = self._known.get(parts)
        if known is None:
            known = self._known[parts] = Views(*parts)
        return known


class _Scheme:
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
        self.used: Final = tuple(self._used(loads[a] | stores[a], self.conflicts[a]) for a in actors)
        full = self.full_fences
        self.listeners: Final = tuple(
            tuple(b for b in actors if b != a and (stores[a] & loads[b] or (full[a] and full[b]))) for a in actors
        )

    def initial_value(self, location: int, read_flag: int) -> int:
        """What a location holds in the beginning: only read flags may be 1."""
        is_read_flag = location < self.shape.flag_count and location % self.shape.entry_size != 0
        return read_flag if is_read_flag else 0

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

    def _used(self, locations: frozenset[int], conflicts: tuple[tuple[int, ...], ...]) -> frozenset[int]:
        """The components that decide what an actor's own accesses can do."""
        return frozenset(self.place[location] for location in locations).union(*conflicts)


class _Forgetting:
    """Cuts a state down to what somebody could still find out. Two states that become one have the same futures.

    * A store that all actors who touch its location have passed can be neither loaded nor chosen as a place to store behind.
      It goes, and places are counted from the oldest that stays.
    * Two equal stores side by side (the same value, carrying the same) that nobody can come between are as one: whoever loads
      the first can load it again where it would have loaded the second.
    * What an actor's view says of a component matters in two ways: for the actor's own accesses, if they depend on it; and for
      what the actor tells others, who get it by loading what it stores, or by ``seq_cst`` fences where both make some. If it
      does not depend on it itself, and all those others know as much already, then it matters to nobody, since views only grow.
    * What a store (a fence, a pending acquire) carries matters only if it is news to somebody who could get it.
    """

    def __init__(self, scheme: _Scheme) -> None:
        self.scheme = scheme

    def __call__(
        self,
        histories: tuple[tuple[Stored, ...], ...],
        current: Sequence[View],
        released: tuple[View | None, ...],
        acquired: tuple[View | None, ...],
        fenced: View | None,
    ) -> tuple[Any, ...]:
        scheme = self.scheme
        passed = [
            min([current[actor][place] for actor in visitors], default=len(histories[place]) - 1)
            for place, visitors in enumerate(scheme.visitors)
        ]
        if any(passed):
            histories, current, released, acquired, fenced = self._dropped(
                passed, histories, current, released, acquired, fenced
            )
        current = tuple([self._own(actor, current) for actor in range(len(current))])
        news = [self._news(actor, current) for actor in range(len(current))]
        kept = tuple([self._history(place, history, current, news) for place, history in enumerate(histories)])
        released = tuple(
            [
                _cut(view, [news[listener] for listener in scheme.listeners[actor]]) if scheme.release_fences[actor] else None
                for actor, view in enumerate(released)
            ]
        )
        acquired = tuple([_cut(view, [news[actor]]) for actor, view in enumerate(acquired)])
        fenced = _cut(fenced, [known for known, full in zip(news, scheme.full_fences, strict=True) if full])
        for place, history in enumerate(kept):
            for at in range(len(history) - 1, 0, -1):
                if history[at] == history[at - 1] and self._alone(place, at, current):
                    kept, current, released, acquired, fenced = _without(place, at, kept, current, released, acquired, fenced)
        return kept, current, released, acquired, fenced

    def _dropped(self, passed: list[int], histories: tuple[tuple[Stored, ...], ...], *views: Any) -> tuple[Any, ...]:
        extra = (0,) * (self.scheme.size - self.scheme.place_count)
        shift = (*passed, *extra)

        def counted(view: View) -> View:
            return tuple([max(0, known - gone) for known, gone in zip(view, shift, strict=True)])

        cut = []
        for history, gone in zip(histories, passed, strict=True):
            left = history[gone:]
            cut.append((left[0]._replace(chained=False), *left[1:]) if gone else left)
        return _mapped(counted, tuple(cut), *views)

    def _alone(self, place: int, at: int, current: Sequence[View]) -> bool:
        """Whether nobody can put a store directly before the one at ``at``, but for one who made them both."""
        behind = [actor for actor in self.scheme.storers[place] if current[actor][place] < at]
        return not behind

    def _own(self, actor: int, current: Sequence[View]) -> View:
        mine, used = current[actor], self.scheme.used[actor]
        listeners = self.scheme.listeners[actor]
        return tuple(
            [
                known if not known or component in used or any(current[other][component] < known for other in listeners) else 0
                for component, known in enumerate(mine)
            ]
        )

    def _news(self, actor: int, current: Sequence[View]) -> View:
        """For each component, what a view must say more than to be news to ``actor``."""
        mine, used = current[actor], self.scheme.used[actor]
        listeners = self.scheme.listeners[actor]
        if not listeners:
            return tuple([known if component in used else _NO_NEWS for component, known in enumerate(mine)])
        return tuple(
            [
                known if component in used else max(known, min([current[other][component] for other in listeners]))
                for component, known in enumerate(mine)
            ]
        )

    def _history(
        self, place: int, history: tuple[Stored, ...], current: Sequence[View], news: Sequence[View]
    ) -> tuple[Stored, ...]:
        loaders = self.scheme.loaders[place]
        kept = []
        for at, stored in enumerate(history):
            view = stored.view
            if view is not None:
                view = _put(view, place, 0) if view[place] else view
                view = _cut(view, [news[actor] for actor in loaders if current[actor][place] <= at])
                stored = Stored(stored.value, view, stored.chained)
            kept.append(stored)
        return tuple(kept)


_NO_NEWS: Final = 1 << 30


def _without(place: int, at: int, histories: tuple[tuple[Stored, ...], ...], *views: Any) -> tuple[Any, ...]:
    """A state without the store at that place: whoever stood there stands at the one before, which is the same."""

    def counted(view: View) -> View:
        return _put(view, place, view[place] - 1) if view[place] >= at else view

    history = histories[place]
    return _mapped(counted, _put(histories, place, history[:at] + history[at + 1 :]), *views)


def _cut(view: View | None, news: Sequence[View]) -> View | None:
    """What of ``view`` is news to anybody; ``None`` if nothing is."""
    if view is None or not news:
        return None
    least = news[0] if len(news) == 1 else tuple(map(min, *news))
    left = tuple([known if known > heard else 0 for known, heard in zip(view, least, strict=True)])
    return left if any(left) else None


def _join(one: View | None, other: View | None) -> View | None:
    """What either of two views knows."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(map(max, one, other))


def _put(values: Any, index: int, value: Any) -> Any:
    """The same tuple with another value at ``index``."""
    return (*values[:index], value, *values[index + 1 :])


def _mapped(
    change: Callable[[View], View],
    histories: tuple[tuple[Stored, ...], ...],
    current: Sequence[View],
    released: tuple[View | None, ...],
    acquired: tuple[View | None, ...],
    fenced: View | None,
) -> tuple[Any, ...]:
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
