"""What a release/acquire memory may forget, so that runs without end stay finite.

Rules: forgetting cuts knowledge down to what somebody could still find out, and two states that become one have the same
futures. Why each cut is sound:

* A store that all actors who touch its location have passed can be neither loaded nor chosen as a place to store behind.
  It goes, and places are counted from the oldest that stays.
* Where all accesses are exchanges, each takes the place behind the newest, and nothing before that can be reached.
* Two equal stores side by side (the same value, carrying the same) that nobody can come between are as one: whoever loads
  the first can load it again where it would have loaded the second.
* What an actor's view says of a component matters in two ways: for the actor's own accesses, if they depend on it; and for
  what the actor tells others, who get it by loading what it stores, or by ``seq_cst`` fences where both make some. If it
  does not depend on it itself, and all those others know as much already, then it matters to nobody, since views only grow.
* What a store (a fence, a pending acquire) carries matters only if it is news to somebody who could get it.

Limits: not all that makes no difference is found. Tests compare the memory with one that keeps everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ringbuffer.memory.knowledge import Parts, Scheme, Stored, View, mapped, put

_NO_NEWS: Final = 1 << 30


class Forgetting:
    """Cuts the parts of a state's knowledge down to what somebody could still find out."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme

    def __call__(
        self,
        histories: tuple[tuple[Stored, ...], ...],
        current: Sequence[View],
        released: tuple[View | None, ...],
        acquired: tuple[View | None, ...],
        fenced: View | None,
    ) -> Parts:
        """The same parts without what nobody could find out."""
        scheme = self.scheme
        passed = [
            len(histories[place]) - 1
            if scheme.exchanged[place]
            else min([current[actor][place] for actor in visitors], default=len(histories[place]) - 1)
            for place, visitors in enumerate(scheme.visitors)
        ]
        if any(passed):
            histories, current, released, acquired, fenced = self._dropped(
                passed, histories, current, released, acquired, fenced
            )
        actors = range(len(current))
        current = tuple([self._own(actor, current) for actor in actors])
        news = [self._news(actor, current) for actor in actors]
        histories = tuple([self._history(place, history, current, news) for place, history in enumerate(histories)])
        if any(released):
            released = tuple([self._released(actor, view, news) for actor, view in enumerate(released)])
        if any(acquired):
            acquired = tuple([_cut(view, [news[actor]]) for actor, view in enumerate(acquired)])
        if fenced is not None:
            fenced = _cut(fenced, [known for known, full in zip(news, scheme.full_fences, strict=True) if full])
        return self._merged(histories, current, released, acquired, fenced)

    def _dropped(self, passed: list[int], histories: tuple[tuple[Stored, ...], ...], *views: Any) -> Parts:
        """Without the stores that everybody has passed."""
        extra = (0,) * (self.scheme.size - self.scheme.place_count)
        shift = (*passed, *extra)

        def counted(view: View) -> View:
            return tuple([max(0, known - gone) for known, gone in zip(view, shift, strict=True)])

        cut = []
        for history, gone in zip(histories, passed, strict=True):
            left = history[gone:]
            cut.append((left[0]._replace(chained=False), *left[1:]) if gone else left)
        return mapped(counted, tuple(cut), *views)

    def _merged(self, histories: tuple[tuple[Stored, ...], ...], *views: Any) -> Parts:
        """With one store in place of two that are equal, side by side, and between which nobody can come."""
        parts: Any = (histories, *views)
        for place, history in enumerate(histories):
            for at in range(len(history) - 1, 0, -1):
                if history[at] == history[at - 1] and self._alone(place, at, parts[1]):
                    parts = _without(place, at, *parts)
        return parts  # type: ignore[no-any-return]

    def _alone(self, place: int, at: int, current: Sequence[View]) -> bool:
        """Whether nobody can put a store directly before the one at ``at``, but for one who made them both."""
        behind = [actor for actor in self.scheme.storers[place] if current[actor][place] < at]
        return not behind

    def _own(self, actor: int, current: Sequence[View]) -> View:
        """An actor's view, without what neither its own accesses depend on nor anybody can learn from it."""
        mine, listeners = current[actor], self.scheme.listeners[actor]
        kept = list(mine)
        for component in self.scheme.unused[actor]:
            known = mine[component]
            if known and all(current[other][component] >= known for other in listeners):
                kept[component] = 0
        return tuple(kept)

    def _news(self, actor: int, current: Sequence[View]) -> View:
        """For each component, what a view must say more than to be news to ``actor``."""
        mine, listeners = current[actor], self.scheme.listeners[actor]
        news = list(mine)
        for component in self.scheme.unused[actor]:
            heard = min([current[other][component] for other in listeners], default=_NO_NEWS)
            news[component] = max(mine[component], heard)
        return tuple(news)

    def _history(
        self, place: int, history: tuple[Stored, ...], current: Sequence[View], news: Sequence[View]
    ) -> tuple[Stored, ...]:
        """A history whose stores carry only what is news to somebody who can load them, and of themselves nothing."""
        loaders = self.scheme.loaders[place]
        kept = []
        for at, stored in enumerate(history):
            view = stored.view
            if view is not None:
                view = put(view, place, 0) if view[place] else view
                view = _cut(view, [news[actor] for actor in loaders if current[actor][place] <= at])
                stored = Stored(stored.value, view, stored.chained)
            kept.append(stored)
        return tuple(kept)

    def _released(self, actor: int, view: View | None, news: Sequence[View]) -> View | None:
        """What a release fence of that actor carries, and somebody could get."""
        listeners = self.scheme.listeners[actor] if self.scheme.release_fences[actor] else ()
        return _cut(view, [news[listener] for listener in listeners])


def _without(place: int, at: int, histories: tuple[tuple[Stored, ...], ...], *views: Any) -> Parts:
    """A state without the store at that place: whoever stood there stands at the one before, which is the same."""

    def counted(view: View) -> View:
        return put(view, place, view[place] - 1) if view[place] >= at else view

    history = histories[place]
    return mapped(counted, put(histories, place, history[:at] + history[at + 1 :]), *views)


def _cut(view: View | None, news: Sequence[View]) -> View | None:
    """What of ``view`` is news to anybody; ``None`` if nothing is."""
    if view is None or not news:
        return None
    least = news[0] if len(news) == 1 else tuple(map(min, *news))
    left = tuple([known if known > heard else 0 for known, heard in zip(view, least, strict=True)])
    return left if any(left) else None
