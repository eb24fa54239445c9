"""What is run, and the ways in which a run itself fails.

A :class:`Scenario` is made anew for each run; making it must be deterministic. An actor that raises, a ``check`` or an
``always`` that raises, a :class:`Hang` and a :class:`StepLimit` each end the run, and are its failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """One run's actors, and what must be true.

    ``actors``: by name, what each runs to its end. ``check``: called when all have ended. ``always``: called after every step,
    so it must not change anything that the actors see. ``close``: called at the end whatever happened. ``is_code``: for the
    name of a source file, whether it is code under test, where switches happen; by default all that is neither the standard
    library, nor installed, nor this package. ``may_wait``: asked when all wait and no time that passes helps, with where each
    waits; when it says True, that is a good end (the actors are ended, and ``check`` is called), otherwise a :class:`Hang`.
    """

    actors: Mapping[str, Callable[[], object]]
    check: Callable[[], None] | None = None
    always: Callable[[], None] | None = None
    close: Callable[[], None] = field(default=_nothing)
    is_code: Callable[[str], bool] | None = None
    may_wait: Callable[[Mapping[str, str]], bool] | None = None


class Hang(Exception):
    """All that have not ended wait, nobody changes anything, and time that passes does not help.

    Attribute: ``waiting``, by the actor's name, where it waits.
    """

    def __init__(self, message: str, waiting: Mapping[str, str]) -> None:
        super().__init__(message)
        self.waiting = dict(waiting)


class StepLimit(Hang):
    """The run did not end within ``max_steps``: a livelock, or a limit that is too low for what is run."""


class Blocked(RuntimeError):
    """An actor blocks in something that the scheduler cannot see, so that the run can neither go on nor be judged."""


class Diverged(RuntimeError):
    """The same schedule ran differently the second time: making the scenario, or the code, is not deterministic."""


class NothingTraced(ValueError):
    """None of what the actors ran is code under test: every search would pass, and show nothing."""


class TokenMalformed(ValueError):
    """A replay token is damaged, or was made for another number of actors or another version of Python."""


class Stopped(BaseException):
    """Raised into an actor that is to end before its time. Not an ``Exception``, so that ordinary handlers let it pass."""
