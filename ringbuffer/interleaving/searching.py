"""The search for a schedule that fails, its shrinking, and running one again.

Rules: before all, the scenario is made and run once by default without being looked at, so that what is cached or imported on
first use is there in each run that counts, in a search as in a replay. A failure is run again with the shrunk schedule and
told from that run; where the second run does not fail as the first, that is an error (:class:`Diverged`), not a finding.
Limits: a search without a failure has shown something about all schedules only where ``complete`` is true, and then about
those that ``bound`` names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from time import monotonic

from ringbuffer.interleaving.clock import replaced
from ringbuffer.interleaving.code import is_default_code, is_ours
from ringbuffer.interleaving.execution import Execution
from ringbuffer.interleaving.locks import Lock
from ringbuffer.interleaving.scenario import Blocked, Diverged, NothingTraced, Scenario, TokenMalformed
from ringbuffer.interleaving.schedules import Exhaustive, Follow, Pct, Random, Schedule
from ringbuffer.interleaving.shrinking import shrunk
from ringbuffer.interleaving.story import Story
from ringbuffer.interleaving.tokens import parse, token_of
from ringbuffer.interleaving.tracing import GRANULARITIES, Tracer
from ringbuffer.interleaving.watching import Watch

MakeScenario = Callable[[], Scenario]


@dataclass(frozen=True)
class Run:
    """One run, told. ``error`` is ``None`` where nothing failed; ``missed``: of a replay, how many turns of its token could
    not be taken as the token has them (more than 0 only where the code differs from that for which the token was made)."""

    token: str
    error: BaseException | None
    story: str
    steps: int
    preemptions: int
    missed: int = 0


@dataclass(frozen=True)
class Report:
    """What a search has found. ``complete``: all schedules that ``bound`` names were run, and none failed. ``switches``: how
    often another actor went on, in all."""

    failure: Run | None
    runs: int
    complete: bool
    bound: str
    seconds: float
    steps: int
    switches: int


class Session:
    """The runs of one search or replay: everything that they have in common."""

    def __init__(self, make_scenario: MakeScenario, granularity: str, max_steps: int) -> None:
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity is one of {', '.join(GRANULARITIES)}, not {granularity!r}")
        if max_steps < 1:
            raise ValueError("max_steps is 1 or more")
        self.granularity = granularity
        self.max_steps = max_steps
        self.steps = 0
        self.switches = 0
        self._make = make_scenario
        self._thread = threading.get_ident()
        self._execution: Execution | None = None
        self._watch = Watch()
        first = make_scenario()
        first.close()
        self._asked = first.is_code or is_default_code
        self._tracer = Tracer(self.is_code, granularity)

    def is_code(self, file: str) -> bool:
        """Whether a file is code under test."""
        return self._asked(file) and not is_ours(file)

    def has_met_code(self) -> bool:
        """Whether any code under test has run so far."""
        return self._tracer.has_met_code()

    def run(self, schedule: Schedule, *, is_told: bool = False) -> tuple[Execution, str]:
        """One run, and its story if it is to be told."""
        self._watch = Watch()
        self._execution = None
        scenario = self._make()
        story = Story(self._watch) if is_told else None
        try:
            execution = Execution(scenario, schedule, self._watch, self.is_code, self.max_steps, story)
            self._execution = execution
            execution.run(self._tracer.of(story))
            told = story.told(execution.error, execution.failed.name if execution.failed else None) if story else ""
        finally:
            self._execution = None
            scenario.close()
            self._watch.close()
        self.steps += execution.steps
        self.switches += len(execution.segments)
        if execution.leftover or isinstance(execution.error, Blocked):
            raise Blocked(f"{execution.error or 'a run ended'}; threads that could not be ended: {execution.leftover}")
        return execution, told

    def told(self, segments: Sequence[tuple[int, int]], deviated: int) -> Run:
        """The run of a schedule, with its story."""
        follow = Follow(token_of(self.granularity, 0, self.max_steps, segments, deviated).segments)
        execution, story = self.run(follow, is_told=True)
        count = len(execution.actors)
        token = token_of(self.granularity, count, self.max_steps, execution.segments, execution.deviated)
        return Run(str(token), execution.error, story, execution.steps, execution.preemptions, follow.missed)

    # ---- what the replaced functions ask (clock.Controls)

    def is_mine(self) -> bool:
        """Whether the calling thread searches, or is an actor of the run."""
        execution = self._execution
        if threading.get_ident() == self._thread:
            return execution is None or not execution.is_starting
        return execution is not None and execution.current() is not None

    def now_seconds(self) -> float:
        """Virtual time, from the beginning of the run."""
        return 0.0 if self._execution is None else self._execution.clock_seconds

    def sleep(self, seconds: float) -> None:
        """An actor sleeps; when the search's own thread does, time passes at once."""
        execution = self._execution
        actor = None if execution is None else execution.current()
        if execution is not None and actor is not None:
            execution.sleep(actor, seconds)
        elif execution is not None:
            execution.clock_seconds += seconds

    def made(self, memory: SharedMemory) -> None:
        """A segment has been made or attached."""
        self._watch.add(memory)

    def lock(self, *, is_reentrant: bool, is_private: bool) -> object:
        """A lock that the scheduler sees."""
        return Lock(lambda: self._execution, is_reentrant=is_reentrant, is_private=is_private)


def search(
    make_scenario: MakeScenario,
    strategy: Exhaustive | Pct | Random,
    *,
    granularity: str = "opcode",
    max_steps: int = 20000,
    seconds: float | None = None,
) -> Report:
    """Run schedules of ``strategy`` until one fails, all have been run, or ``seconds`` are over.

    ``make_scenario`` makes a fresh scenario for each run. ``granularity``: switches before lines (``"line"``), or before each
    opcode that others can see (``"opcode"``). The failure is shrunk: fewest preemptions first, then fewest turns, then steps.
    """
    session = Session(make_scenario, granularity, max_steps)
    began = monotonic()
    deadline = None if seconds is None else began + seconds
    with replaced(session, session.is_code):
        warm, _ = session.run(Schedule())
    if not session.has_met_code():
        raise NothingTraced("no code under test has run, so there is nowhere to switch: say with is_code which files it is in")
    runs, is_complete = 0, not isinstance(strategy, Pct | Random)
    failure = None
    with replaced(session, session.is_code):
        for schedule in strategy.schedules(len(warm.actors), warm.steps):
            if deadline is not None and monotonic() > deadline:
                is_complete = False
                break
            execution, _ = session.run(schedule)
            runs += 1
            if execution.error is not None:
                failure, is_complete = _failure(session, execution), False
                break
    return Report(
        failure, runs, is_complete, strategy.bound(), monotonic() - began, steps=session.steps, switches=session.switches
    )


def _failure(session: Session, found: Execution) -> Run:
    segments, deviated = shrunk(session, found)
    run = session.told(segments, deviated)
    if type(run.error) is not type(found.error):
        raise Diverged(f"the schedule that failed with {found.error!r} led to {run.error!r} when it was run again")
    return run


def replay(make_scenario: MakeScenario, token: str) -> Run:
    """Run the schedule of a token once more: the same steps and the same story, where the code is the same."""
    parsed = parse(token)
    session = Session(make_scenario, parsed.granularity, parsed.max_steps)
    with replaced(session, session.is_code):
        warm, _ = session.run(Schedule())
    if len(warm.actors) != parsed.actor_count:
        raise TokenMalformed(f"the token is of {parsed.actor_count} actors, the scenario has {len(warm.actors)}")
    with replaced(session, session.is_code):
        return session.told(parsed.segments, len(parsed.segments))
