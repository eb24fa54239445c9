"""Whether several sequences of events have an interleaving in which every load finds what it is recorded to have found.

The memory is sequentially consistent, or of total store order: then an actor's stores wait in a buffer of its own, first in,
first out, its own loads see them, and a full fence waits until the buffer is empty. (Sequentially consistent is a full fence
behind every store.)

It is decided by running the sequences side by side. A step is taken at once where it *loses nothing*: if there is any way to
go on from here, there is one that begins with it.

* A load that finds its value now. It changes nothing, and stands next in its sequence.
* A store by ``p`` to a place, of another value than it holds, where nobody else can touch that place before it: the first
  access that each other actor has still to make there is a load of a value that the place does not hold, or lies behind a
  load of a value that another place does not hold and only ``p`` ever stores there. Moved to the front, the store passes
  nothing that touches its place.
* The same for a store of the value that the place holds; there, loads of that value do no harm, and only stores count.

Where no such step is left, each of the stores that can be made is tried in turn, and what was found to lead nowhere is kept, so
that nothing is tried twice. So *found* means that an interleaving was found, and *not found* that there is none: both are
exact, for any sequences. The rows of the ring are such that the steps that lose nothing suffice, for a right run; so the time
that it takes grows with the length of the recordings and no faster. Rules: pure; nothing is random. Limits: where a search
takes more than ``budget`` branchings, the answer is that there is none; what a killed process may have done (``MAYBE``) can
be done or left out.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ringbuffer.validate.follow import FENCE, LOAD, MAYBE, Events

FOUND, NONE, OPEN = "found", "none", "open"
"""An interleaving was found; there is none; the search was given up."""
BUDGET: Final = 20_000
LOOK_BACK: Final = 8
"""How many events before an access are searched for a load that keeps its actor from it."""
_NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class Order:
    """What was found. ``reached``: how many events of each actor could be explained, where the search came furthest;
    ``memory``: what the places held there. ``branchings``: how often there was a choice."""

    status: str
    reached: tuple[int, ...]
    memory: tuple[int, ...]
    branchings: int


class Question:
    """The sequences, made ready for as many searches as one likes."""

    def __init__(self, actors: Sequence[Events], initial: Sequence[int]) -> None:
        self.actors, self.initial = list(actors), list(initial)
        self.following = [self._chain(events) for events in self.actors]
        self.storers: list[dict[int, int]] = [{} for _ in initial]
        self.touching: list[list[int]] = [[] for _ in initial]
        self.storing = [0] * len(initial)
        """For each place, the actors that ever store there, as bits."""
        for number, events in enumerate(self.actors):
            self._note_stores(number, events)

    def _chain(self, events: Events) -> tuple[array[int], list[int]]:
        """For each event, the next one at the same place; and for each place, the first."""
        first = [_NEVER] * len(self.initial)
        following = array("l", [_NEVER]) * len(events)
        kinds, places = events.kinds, events.places
        for index in range(len(kinds) - 1, -1, -1):
            if kinds[index] != FENCE:
                place = places[index]
                following[index] = first[place]
                first[place] = index
        return following, first

    def _note_stores(self, number: int, events: Events) -> None:
        bit = 1 << number
        storers = self.storers
        for kind, place, value in zip(events.kinds, events.places, events.values, strict=True):
            if kind != LOAD and kind != FENCE:
                known = storers[place]
                known[value] = known.get(value, 0) | bit
                self.storing[place] |= bit
        for place, first in enumerate(self.following[number][1]):
            if first != _NEVER:
                self.touching[place].append(number)

    def ask(self, *, tso: bool = False, goal: Sequence[int] | None = None, budget: int = BUDGET) -> Order:
        """Search for an interleaving in which each actor gets at least as far as ``goal`` says (everybody: to the end)."""
        if goal is None:
            goal = [len(events) for events in self.actors]
        return _Search(self, tso, goal, budget).run()


class _State:
    """Where everybody stands, what the places hold, and which stores are under way."""

    __slots__ = ("at", "memory", "next", "waiting")

    def __init__(self, at: list[int], memory: list[int], following: list[list[int]], waiting: list[deque[int]]) -> None:
        self.at, self.memory, self.next, self.waiting = at, memory, following, waiting

    def copy(self) -> _State:
        return _State(
            self.at.copy(), self.memory.copy(), [one.copy() for one in self.next], [one.copy() for one in self.waiting]
        )

    def key(self) -> bytes:
        """A digest, as there may be many of them."""
        return hashlib.sha256(repr((self.at, self.waiting, self.memory)).encode()).digest()


class _Search:
    def __init__(self, question: Question, tso: bool, goal: Sequence[int], budget: int) -> None:
        self._question, self._tso, self._goal, self._budget = question, tso, goal, budget
        self._actors = question.actors
        self._count = range(len(question.actors))
        first = [chain[1].copy() for chain in question.following]
        self._state = _State([0] * len(self._count), question.initial.copy(), first, [deque() for _ in self._count])
        self._furthest: tuple[int, ...] = (0,) * len(self._count)
        self._memory: tuple[int, ...] = tuple(question.initial)
        self._branchings = 0

    def run(self) -> Order:
        """Depth first, with what loses nothing done at once."""
        todo = [self._state]
        seen: set[bytes] = set()
        while todo:
            self._state = todo.pop()
            self._go_on()
            if all(at >= goal for at, goal in zip(self._state.at, self._goal, strict=True)):
                return self._order(FOUND)
            choices = self._choices()
            if not choices:
                continue
            key = self._state.key()
            if key in seen:
                continue
            seen.add(key)
            self._branchings += 1
            if self._branchings > self._budget:
                return self._order(OPEN)
            for choice in reversed(choices):
                state = self._state.copy()
                self._take(state, choice)
                todo.append(state)
        return self._order(NONE)

    def _order(self, status: str) -> Order:
        return Order(status, self._furthest, self._memory, self._branchings)

    def _go_on(self) -> None:
        """Take all steps that lose nothing."""
        state = self._state
        moved = True
        while moved:
            moved = False
            for actor in self._count:
                moved = self._run(actor) or moved
        if sum(state.at) > sum(self._furthest):
            self._furthest, self._memory = tuple(state.at), tuple(state.memory)

    def _run(self, actor: int) -> bool:
        """One actor, as far as it gets without losing anything. Whether it got on at all."""
        state, events = self._state, self._actors[actor]
        kinds, places, values = events.kinds, events.places, events.values
        memory, first, following = state.memory, state.next[actor], self._question.following[actor][0]
        waiting, tso, end = state.waiting[actor], self._tso, len(kinds)
        at = began = state.at[actor]
        flushed = False
        while True:
            while waiting and self._loses_nothing(actor, waiting[0]):
                self._flush(state, actor)
                flushed = True
            if (waiting and not tso) or at == end:
                break
            kind = kinds[at]
            if kind == LOAD:
                place = places[at]
                held = self._forwarded(waiting, places, values, place, memory[place]) if waiting else memory[place]
                if held != values[at]:
                    break
                if first[place] == at:
                    first[place] = following[at]
            elif kind == FENCE:
                if waiting:
                    break
            elif kind == MAYBE and at + 1 < end:
                break  # whether it was made is a choice, as its actor has a successor
            else:
                waiting.append(at)
            at += 1
            state.at[actor] = at
        return at > began or flushed

    @staticmethod
    def _forwarded(waiting: deque[int], places: array[int], values: list[int], place: int, held: int) -> int:
        """What an actor's load finds: its own newest store that is under way, or what the place holds."""
        for index in reversed(waiting):
            if places[index] == place:
                return values[index]
        return held

    def _flush(self, state: _State, actor: int) -> None:
        """The oldest store under way reaches memory."""
        index = state.waiting[actor].popleft()
        events, following = self._actors[actor], self._question.following[actor][0]
        place = events.places[index]
        state.memory[place] = events.values[index]
        behind = following[index]
        at, kinds = state.at[actor], events.kinds
        while behind != _NEVER and behind < at and kinds[behind] == LOAD:
            behind = following[behind]  # it was made while the store was under way
        state.next[actor][place] = behind

    def _loses_nothing(self, actor: int, index: int) -> bool:
        """Whether the store ``index`` of that actor, the oldest under way, can reach memory now."""
        state, events = self._state, self._actors[actor]
        place, value = events.places[index], events.values[index]
        held = state.memory[place]
        is_wanted = events.kinds[index] != MAYBE
        for other in self._question.touching[place]:
            if other == actor:
                continue
            access = state.next[other][place]
            theirs = self._actors[other]
            if held == value:
                access = self._next_store(other, access)
                if access != _NEVER and not self._is_kept_from(other, access, actor):
                    return False
            elif access != _NEVER:
                if theirs.kinds[access] == LOAD and theirs.values[access] != held:
                    is_wanted = is_wanted or theirs.values[access] == value
                elif not self._is_kept_from(other, access, actor):
                    return False
        return is_wanted

    def _next_store(self, actor: int, access: int) -> int:
        """The first store from an access on, along the chain of its place."""
        if access == _NEVER or not self._question.storing[self._actors[actor].places[access]] >> actor & 1:
            return _NEVER
        kinds, following = self._actors[actor].kinds, self._question.following[actor][0]
        while access != _NEVER and kinds[access] == LOAD:
            access = following[access]
        return access

    def _is_kept_from(self, actor: int, access: int, by: int) -> bool:
        """Whether an actor cannot make that access before ``by`` has made a store: a load on the way waits for one."""
        state, events = self._state, self._actors[actor]
        kinds, places, values, memory = events.kinds, events.places, events.values, state.memory
        storers, only = self._question.storers, 1 << by
        for index in range(access - 1, max(state.at[actor], access - LOOK_BACK) - 1, -1):
            if kinds[index] == LOAD:
                place, value = places[index], values[index]
                if memory[place] != value and not storers[place].get(value, 0) & ~only:
                    return True
        return False

    def _choices(self) -> list[tuple[int, bool]]:
        """What can be done where nothing is without loss: an actor, and whether it passes over what it may have done."""
        state, choices = self._state, []
        for actor in self._count:
            if state.waiting[actor]:
                choices.append((actor, False))
            elif state.at[actor] < len(self._actors[actor]) and self._actors[actor].kinds[state.at[actor]] == MAYBE:
                choices += [(actor, False), (actor, True)]
        return choices

    def _take(self, state: _State, choice: tuple[int, bool]) -> None:
        actor, passes = choice
        if state.waiting[actor]:
            self._flush(state, actor)
            return
        at = state.at[actor]
        events = self._actors[actor]
        place = events.places[at]
        state.at[actor] = at + 1
        if passes:
            if state.next[actor][place] == at:
                state.next[actor][place] = self._question.following[actor][0][at]
        else:
            state.waiting[actor].append(at)
            self._flush(state, actor)
