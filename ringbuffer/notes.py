"""What a model keeps besides the memory where the dead are followed: numbers, notes, who holds which role, who knows of whom.

Rules: immutable; a change gives another value, and no change the same. Limits: it is kept by one model only
(:mod:`ringbuffer.recovering`), and means nothing without it.
"""

from __future__ import annotations

from typing import NamedTuple

from ringbuffer.state import Actor, State

ITSELF, STAND_IN = 0, 1
"""Who holds a role: its own process, or a stand-in."""
CALM, HAS_WAITED, ASKED = 0, 1, 2
"""What a waiting reader knows of the writer. ``HAS_WAITED`` is kept only where it would be told without looking again."""


class Notes(NamedTuple):
    """For each actor the number it is at, the number it has noted, who holds its role and what it knows of the writer; and for
    each message, in the order of their names, its number."""

    numbers: tuple[int, ...]
    noted: tuple[int, ...]
    holders: tuple[int, ...]
    knows: tuple[int, ...]
    named: tuple[int, ...]


def put_actor(state: State, actor: int, me: Actor) -> State:
    """The state with one actor elsewhere."""
    return state._replace(actors=(*state.actors[:actor], me, *state.actors[actor + 1 :]))


def noting(state: State, actor: int, **changes: int) -> State:
    """The state with something else in the notes about one actor."""
    notes = state.notes
    for name, value in changes.items():
        values = getattr(notes, name)
        if values[actor] != value:
            notes = notes._replace(**{name: (*values[:actor], value, *values[actor + 1 :])})
    return state if notes is state.notes else state._replace(notes=notes)


def shifted(notes: Notes, gone: int) -> Notes:
    """The notes with every number counted from ``gone``."""
    if not gone:
        return notes
    counted = [tuple([number - gone for number in values]) for values in (notes.numbers, notes.noted, notes.named)]
    return Notes(counted[0], counted[1], notes.holders, notes.knows, counted[2])
