"""The graph of states behind one combination: every state that the model reaches without breaking a property, and a step more.

Rules: states are numbered in the order of a breadth-first search, so the same tables give the same numbers; nothing is
reduced, so that actors and blocks keep their names on every path. A state that is reached only by breaking something is
kept, but not what follows from it; only a counterexample that goes on there is kept (:meth:`StateGraph.keep_path`). Limits: the
whole graph is in memory.
"""

from __future__ import annotations

from typing import Final

from ringbuffer.errors import GeometryError
from ringbuffer.model import Model
from ringbuffer.state import Setup, State, Transition

NOT_KEPT: Final = -1
"""The target of a step whose state is not in the graph."""


class TooLargeError(GeometryError):
    """The graph has more states than were allowed."""


class StateGraph:
    """The states of a setup, the steps of each, and the number of the state to which each step leads.

    ``sound``: how many states are reached without breaking anything; they come first.
    """

    def __init__(self, setup: Setup, states_max: int) -> None:
        self.model = Model(setup)
        initial = self.model.initial()
        self.states: list[State] = [initial]
        self.numbers: dict[State, int] = {initial: 0}
        self.steps: list[list[Transition]] = []
        for state in self.states:
            steps = self.model.transitions(state)
            self.steps.append(steps)
            for step in steps:
                if not step.broken:
                    self.keep(step.state)
            if len(self.states) > states_max:
                raise TooLargeError(f"more than {states_max} states")
        self.sound = len(self.states)
        for steps in self.steps[: self.sound]:
            for step in steps:
                self.keep(step.state)
        self._fill_in()

    def keep(self, state: State) -> int:
        """Keep a state, if it is not there; its number."""
        number = self.numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def keep_path(self, steps: list[Transition]) -> None:
        """Keep every state on a path, which may go on behind a fault."""
        for step in steps:
            self.keep(step.state)
        self._fill_in()

    def _fill_in(self) -> None:
        """The steps of states that were kept since."""
        for state in self.states[len(self.steps) :]:
            self.steps.append(self.model.transitions(state))

    def target(self, step: Transition) -> int:
        """The number of the state to which a step leads, or :data:`NOT_KEPT`."""
        return self.numbers.get(step.state, NOT_KEPT)

    @property
    def broken(self) -> frozenset[str]:
        """The properties that are broken by a step from a state in which nothing was broken before."""
        return frozenset(name for steps in self.steps[: self.sound] for step in steps for name in step.broken)
