"""What correct delivery means, without a look at the tables: for each reader, the messages that it is still owed.

The oracle knows no flags and no blocks' cases. It hears of six things: a message was accepted (its writer's caller has filled
a block and gone), a reader's caller has read some words, a reader is done with a block, a word was written over, a writer
was killed with a message that it had not published, and a reader with one that it had not marked. Rules: pure
functions on immutable values; this module imports nothing of the tables, because checking a thing against itself shows
nothing; a message that is lost is no longer owed, so that a run can be judged beyond its first fault. Limits: it judges
what happened; it cannot say that something never happens (that is progress, which the checker decides on a whole graph).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

NO_MESSAGE = 0
"""The value of a payload word that nobody has written."""

Owed: TypeAlias = tuple[tuple[int, ...], ...]
"""Per reader, the accepted messages that it has not received, oldest first."""


def nothing_owed(readers: int) -> Owed:
    """The start: no message was accepted."""
    return ((),) * readers


def accepted(owed: Owed, message: int) -> Owed:
    """Every reader is owed ``message``, after all that it was owed before."""
    return tuple((*queue, message) for queue in owed)


def delivered(owed: Owed, rank: int, words: Sequence[int]) -> tuple[Owed, str | None]:
    """Reader ``rank``'s caller has read ``words``. Returns what is owed now, and the name of the property that broke, if any.

    ``torn``: the words are not all of one message. ``stale``: the message was never accepted, or this reader had it before.
    ``reordered``: an older message is still owed.
    """
    message = words[0]
    if any(word != message for word in words):
        return owed, "torn"
    queue = owed[rank]
    if message not in queue:
        return owed, "stale"
    place = queue.index(message)
    left = (*owed[:rank], queue[:place] + queue[place + 1 :], *owed[rank + 1 :])
    return left, "reordered" if place else None


def passed_over(owed: Owed, rank: int, words: Iterable[int]) -> tuple[Owed, str | None]:
    """Reader ``rank`` is done with a block that holds ``words``; ``lost`` if it was owed what it gives back unread."""
    held = tuple(words)
    queue = tuple(message for message in owed[rank] if message not in held)
    if queue == owed[rank]:
        return owed, None
    return (*owed[:rank], queue, *owed[rank + 1 :]), "lost"


def overwritten(owed: Owed, word: int) -> tuple[Owed, str | None]:
    """A payload word of another message was written over ``word``; ``overwritten`` if a reader was owed that message."""
    left = tuple(tuple(message for message in queue if message != word) for queue in owed)
    return (owed, None) if left == owed else (left, "overwritten")


def given_back(owed: Owed, rank: int, message: int) -> Owed:
    """Reader ``rank`` is gone with ``message``, which it had not marked as read: its successor is owed it first."""
    return (*owed[:rank], (message, *owed[rank]), *owed[rank + 1 :])


def withdrawn(owed: Owed, message: int) -> Owed:
    """The writer of ``message`` is gone before anybody could see it: nobody is owed it any more."""
    return tuple(tuple(other for other in queue if other != message) for queue in owed)
