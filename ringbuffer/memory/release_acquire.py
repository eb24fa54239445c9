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
get them, and equal stores side by side are one (``forgetting.py``, which says why that is sound). What may still grow without
end (an actor that stores on and on where another, who stores there too, does not look) is stopped: an actor that is
:data:`AHEAD_MAX` stores ahead of the last one waits, and ``capped`` tells that it did.

What the payload's words are decides nothing that an access does to views, so each access is worked out once for what is known
(:class:`~ringbuffer.memory.knowledge.Knowledge`), whatever the payload holds.

Limits: no load buffering (a load never returns a store that is yet to be made: no promises), no out-of-thin-air values, no
``seq_cst`` accesses (fences only), no consume. Release sequences by later stores of the same thread (C++11 to C++17) are not
modelled: C++20 removed them. Full fences are ordered in agreement with program order and
reads-from, which C11 does not ask for: that too is load buffering in disguise. What this is, precisely, is RC11 (Lahav et al.
2017) with program order, reads-from and the order of full fences acyclic together. So what holds here holds for C11 programs
in which no store is seen before an earlier load of its thread has returned; what is refuted here is refuted in C11.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from ringbuffer.memory.base import Arrangement, Footprint, Shape
from ringbuffer.memory.forgetting import Forgetting
from ringbuffer.memory.knowledge import Knowledge, Parts, Scheme, Stored, View, join, mapped, put
from ringbuffer.protocol import Kind, Ordering
from ringbuffer.protocol.oracle import NO_MESSAGE

AHEAD_MAX: Final = 3
"""How many stores to one location can be there that not everybody has passed. A correct ring needs 2."""
AHEAD_SLEEPING_MAX: Final = 6
"""The same where actors sleep: each says so, and then that it is awake again, while the other side looks elsewhere."""


class Views(NamedTuple):
    """A state: what is known, and the payload's words (none with ``relaxed_payload``, where they are in the histories)."""

    known: Knowledge
    payload: tuple[int, ...]


class ReleaseAcquire:
    """The memory of C11 programs; stronger than AArch64 and POWER in nothing that this protocol's accesses could show."""

    has_buffers = False
    local = frozenset((Kind.FENCE,))

    def __init__(
        self, shape: Shape, footprints: Sequence[Footprint], *, bounded: bool = True, relaxed_payload: bool = False
    ) -> None:
        self.shape, self.relaxed_payload = shape, relaxed_payload
        ahead_max = AHEAD_SLEEPING_MAX if shape.sleeps else AHEAD_MAX
        self._ahead_max = ahead_max if bounded else sys.maxsize
        self.name = "ra-relaxed" if relaxed_payload else "ra"
        self.judges_races = not relaxed_payload
        self.capped = False
        self._scheme = Scheme(shape, tuple(footprints), relaxed_payload)
        self._forgetting = Forgetting(self._scheme)
        self._known: dict[Any, Knowledge] = {}
        self._cut: dict[Any, Knowledge] = {}
        self._permutations: dict[Arrangement, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def initial(self, read_flag: int) -> Views:
        scheme, shape = self._scheme, self.shape
        histories = tuple((Stored(shape.initial_value(location, read_flag), None, False),) for location in scheme.locations)
        view = (0,) * scheme.place_count + (1,) * (scheme.size - scheme.place_count)
        nothing = (None,) * shape.actors
        payload = () if self.relaxed_payload else (NO_MESSAGE,) * (shape.blocks * shape.words)
        return Views(self._kept(histories, (view,) * shape.actors, nothing, nothing, None), payload)

    def load(self, state: Views, actor: int, location: int, ordering: Ordering) -> tuple[tuple[int, Views], ...]:
        known, payload = state
        key = (Kind.LOAD, actor, location, ordering)
        if key not in known.memo:
            place = self._scheme.place[location]
            history = known.histories[place]
            known.memo[key] = [
                (history[at].value, self._kept(*self._after_load(known, actor, place, at, ordering)))
                for at in range(known.current[actor][place], len(history))
            ]
        return tuple([(value, Views(after, payload)) for value, after in known.memo[key]])

    def store(self, state: Views, actor: int, location: int, value: int, ordering: Ordering) -> tuple[Views, ...]:
        known, payload = state
        key = (Kind.STORE, actor, location, value, ordering)
        if key not in known.memo:
            place = self._scheme.place[location]
            history = known.histories[place]
            if len(history) > self._ahead_max:
                self.capped = True
                return ()
            carried = known.current[actor] if ordering.releases else known.released[actor]
            known.memo[key] = [
                self._insert(known, actor, place, at, Stored(value, carried, False))
                for at in range(known.current[actor][place] + 1, len(history) + 1)
                if at == len(history) or not history[at].chained
            ]
        return tuple([Views(after, payload) for after in known.memo[key]])

    def exchange(
        self, state: Views, actor: int, location: int, value: int, ordering: Ordering
    ) -> tuple[tuple[int, Views], ...]:
        found = self._exchange(state.known, actor, self._scheme.place[location], value, ordering)
        return tuple([(value, Views(after, state.payload)) for value, after in found])

    def _exchange(
        self, known: Knowledge, actor: int, place: int, value: int, ordering: Ordering
    ) -> Iterator[tuple[int, Knowledge]]:
        history = known.histories[place]
        for at in range(known.current[actor][place], len(history)):
            if at + 1 < len(history) and history[at + 1].chained:
                continue
            after = Knowledge(*self._after_load(known, actor, place, at, ordering))
            own = after.current[actor] if ordering.releases else after.released[actor]
            stored = Stored(value, join(own, history[at].view), True)
            yield history[at].value, self._insert(after, actor, place, at + 1, stored)

    def fence(self, state: Views, actor: int, ordering: Ordering) -> tuple[Views]:
        known = state.known
        current = known.current[actor]
        released, acquired, fenced = known.released, known.acquired, known.fenced
        if ordering.acquires:
            current = join(current, acquired[actor]) or current
            acquired = put(acquired, actor, None)
        if ordering is Ordering.SEQ_CST:
            current = join(current, fenced) or current
            fenced = self._scheme.places_of(current)
        if ordering.releases:
            released = put(released, actor, current)
        currents = put(known.current, actor, current)
        return (Views(self._kept(known.histories, currents, released, acquired, fenced), state.payload),)

    def read(self, state: Views, actor: int, location: int) -> tuple[tuple[int, Views, bool], ...]:
        if self.relaxed_payload:
            loads = self.load(state, actor, location, Ordering.RELAXED)
            return tuple((value, after, False) for value, after in loads)
        value = state.payload[location - self.shape.flag_count]
        after, raced = self._touch(state.known, actor, self.shape.block_of_word(location))
        return ((value, Views(after, state.payload), raced),)

    def fill(self, state: Views, actor: int, location: int, value: int) -> tuple[tuple[Views, bool], ...]:
        if self.relaxed_payload:
            return tuple((after, False) for after in self.store(state, actor, location, value, Ordering.RELAXED))
        payload = put(state.payload, location - self.shape.flag_count, value)
        after, raced = self._touch(state.known, actor, self.shape.block_of_word(location))
        return ((Views(after, payload), raced),)

    def flush(self, state: Views, actor: int) -> None:
        return None

    def learned(self, state: Views, actor: int, other: int) -> Views:
        known = state.known
        currents = put(known.current, actor, join(known.current[actor], known.current[other]))
        after = self._kept(known.histories, currents, known.released, known.acquired, known.fenced)
        return Views(after, state.payload)

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
        return 0 if place is None else state.known.histories[place][-1].value

    def messages(self, state: Views) -> Sequence[int]:
        if not self.relaxed_payload:
            return state.payload
        return [stored.value for place in self._scheme.words for stored in state.known.histories[place]]

    def renamed(self, state: Views, names: dict[int, int]) -> Views:
        if not self.relaxed_payload:
            return Views(state.known, tuple([names[value] for value in state.payload]))
        known = state.known
        histories = list(known.histories)
        for place in self._scheme.words:
            histories[place] = tuple(stored._replace(value=names[stored.value]) for stored in histories[place])
        return Views(self._one(tuple(histories), known.current, known.released, known.acquired, known.fenced), ())

    def arranged(self, state: Views, arrangement: Arrangement) -> Views:
        components, words = self._permutation(arrangement)
        memo = state.known.memo
        if arrangement not in memo:
            memo[arrangement] = self._arranged(state.known, arrangement.actors, components)
        return Views(memo[arrangement], tuple([state.payload[word] for word in words]))

    def _arranged(self, known: Knowledge, actors: tuple[int, ...], components: tuple[int, ...]) -> Knowledge:
        """The same knowledge of actors and components in that order."""

        def permuted(view: View) -> View:
            return tuple([view[component] for component in components])

        histories, current, released, acquired, fenced = mapped(
            permuted, known.histories, known.current, known.released, known.acquired, known.fenced
        )
        places = components[: self._scheme.place_count]
        return self._one(
            tuple([histories[place] for place in places]),
            tuple([current[actor] for actor in actors]),
            tuple([released[actor] for actor in actors]),
            tuple([acquired[actor] for actor in actors]),
            fenced,
        )

    def portrait(self, state: Views, actor: int) -> tuple[Any, ...]:
        known = state.known
        if actor not in known.memo:
            shape, place = self.shape, self._scheme.place
            current, flag = known.current[actor], 1 + shape.ranks[actor]
            shown: list[Any] = []
            for location in range(0, shape.flag_count, shape.entry_size):
                if location in place:
                    shown.append(current[place[location]])
                own = place.get(location + flag)
                if own is not None:
                    shown.append((current[own], tuple([stored.value for stored in known.histories[own]])))
            known.memo[actor] = tuple(shown)
        portrait: tuple[Any, ...] = known.memo[actor]
        return portrait

    def _permutation(self, arrangement: Arrangement) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The old component at each new component's place, and the same for payload words."""
        if arrangement not in self._permutations:
            first, end = self.shape.flag_count, self.shape.word_end
            words = () if self.relaxed_payload else tuple(old - first for old in arrangement.locations[first:end])
            self._permutations[arrangement] = (self._scheme.permutation(arrangement), words)
        return self._permutations[arrangement]

    def _after_load(self, known: Knowledge, actor: int, place: int, at: int, ordering: Ordering) -> Parts:
        """What is known after ``actor`` has read the store at that place of the history."""
        view = known.histories[place][at].view
        current = put(known.current[actor], place, at)
        acquired = known.acquired
        if view is not None and ordering.acquires:
            current = join(current, view) or current
        elif view is not None and self._scheme.acquire_fences[actor]:
            acquired = put(acquired, actor, join(acquired[actor], view))
        return known.histories, put(known.current, actor, current), known.released, acquired, known.fenced

    def _insert(self, known: Knowledge, actor: int, place: int, at: int, stored: Stored) -> Knowledge:
        """What is known after a store at that place of the history: whatever stood there or behind moves up by one."""
        history = known.histories[place]
        moved = (*history[:at], stored, *history[at:])
        parts: Parts = (put(known.histories, place, moved), known.current, known.released, known.acquired, known.fenced)
        if at < len(history):

            def shifted(view: View) -> View:
                return put(view, place, view[place] + 1) if view[place] >= at else view

            parts = mapped(shifted, *parts)
        histories, current, released, acquired, fenced = parts
        own = put(current[actor], place, at)
        return self._kept(histories, put(current, actor, own), released, acquired, fenced)

    def _touch(self, known: Knowledge, actor: int, block: int) -> tuple[Knowledge, bool]:
        """What is known after a payload access, of which nobody else knows yet, and whether it is a race."""
        key = ("touch", actor, block)
        if key not in known.memo:
            scheme = self._scheme
            mine = known.current[actor]
            raced = not all(mine[component] for component in scheme.conflicts[actor][block])
            component = scheme.known(block, actor)

            def unknown(view: View) -> View:
                return put(view, component, 0) if view[component] else view

            histories, current, released, acquired, fenced = mapped(
                unknown, known.histories, known.current, known.released, known.acquired, known.fenced
            )
            own = put(current[actor], component, 1)
            known.memo[key] = self._kept(histories, put(current, actor, own), released, acquired, fenced), raced
        found: tuple[Knowledge, bool] = known.memo[key]
        return found

    def _kept(self, *parts: Any) -> Knowledge:
        """What of these parts somebody could still find out."""
        kept = self._cut.get(parts)
        if kept is None:
            kept = self._cut[parts] = self._one(*self._forgetting(*parts))
        return kept

    def _one(self, *parts: Any) -> Knowledge:
        """The one object of this value."""
        known = self._known.get(parts)
        if known is None:
            known = self._known[parts] = Knowledge(*parts)
        return known
