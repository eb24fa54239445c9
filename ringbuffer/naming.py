"""What a model calls messages that it does not number: by where they are first met, so that unbounded runs stay finite.

Rules: the state is gone through in a fixed order (what memory holds, what the actors hold, what each reader is owed), and the
first message that is met is 1; a state whose names are those already is handed back as it is. Messages that are not among the
``live`` ones, where these are told, lose their names. Limits: what else a state knows of its messages (:mod:`ringbuffer.notes`)
is renamed by the model that keeps it. :class:`~ringbuffer.model.Model` says why all this is sound.
"""

from __future__ import annotations

from ringbuffer.memory.base import Memory
from ringbuffer.protocol import oracle as judge
from ringbuffer.state import TORN, Setup, State


def live(state: State, setup: Setup) -> set[int]:
    """The messages that somebody is owed or that a writer is filling."""
    return {me.message for me in state.actors[: setup.writers]}.union(*state.owed)


def named_anew(state: State, memory: Memory, living: set[int] | None) -> State:
    """The state with other names. ``living``: the messages that keep one; all of them where it is ``None``."""
    names = {judge.NO_MESSAGE: judge.NO_MESSAGE, TORN: TORN}
    given, compact = 0, True
    for source in (memory.messages(state.memory), [me.message for me in state.actors], *state.owed):
        for value in source:
            if value not in names:
                given += living is None or value in living
                names[value] = given if living is None or value in living else judge.NO_MESSAGE
                compact = compact and names[value] == value
    if compact:
        return state
    actors = tuple([me if names[me.message] == me.message else me._replace(message=names[me.message]) for me in state.actors])
    owed = tuple([tuple([names[message] for message in queue]) for queue in state.owed])
    return state._replace(memory=memory.renamed(state.memory, names), actors=actors, owed=owed)
