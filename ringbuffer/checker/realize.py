"""From a run of the reduced model to the same run of the tables as they are.

A reduced model keeps less of the memory (equal stores side by side are one), so its alternatives are fewer, and numbered in
another way. ``realize`` looks for alternatives with which the tables as they are do the same: the same actors, row by row, with
the same values, up to the same end. Rules: what it returns has been run. Limits: it tries alternatives one after the other and
goes back where it fails; runs have few steps at which that matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ringbuffer.model import Model
from ringbuffer.recovering import model_of
from ringbuffer.state import Choice, Setup, State, Transition, unmarked


class Wanted(NamedTuple):
    """One step of the reduced run: the actor and the detail of its choice, and where the step leads the actor.

    ``value``: of a flag that is loaded; ``None`` where messages are read, which have other names.
    """

    choice: Choice
    pc: int
    word: int
    value: int | None


def realize(setup: Setup, wanted: Sequence[Wanted], names: tuple[str, ...] = ()) -> list[Choice]:
    """The choices of a run that does what is wanted, and whose last step breaks one of ``names``, if there are any."""
    model = model_of(setup, lasting=True, marking=True)
    path: list[Choice] = []
    ways = [_fitting(model, model.initial(), wanted, 0, names)]
    while len(path) < len(wanted):
        assert ways, "the tables as they are can do what the reduced model does"
        if not ways[-1]:
            ways.pop()
            del path[-1:]
            continue
        step = ways[-1].pop(0)
        path.append(step.choice)
        if len(path) < len(wanted):
            ways.append(_fitting(model, step.state, wanted, len(path), names))
    return path


def _fitting(model: Model, state: State, wanted: Sequence[Wanted], at: int, names: tuple[str, ...]) -> list[Transition]:
    """The steps that do what is wanted at that place of the run, the oldest alternative first."""
    (actor, detail, _), pc, word, value = wanted[at]
    last = at == len(wanted) - 1
    return [
        step
        for step in model.transitions_of(state, actor)
        if step.choice[1] == detail
        and (step.state.actors[actor].pc, step.state.actors[actor].word) == (pc, word)
        and (value is None or unmarked(step.value) == value)
        and (not last or not names or not {*names}.isdisjoint(step.broken))
    ]
