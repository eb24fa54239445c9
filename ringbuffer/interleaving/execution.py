"""One run: the baton, the steps, the waiting, the end.

Rules. Exactly one thread has the baton. At each step, the actor that has it settles what its last step changed, so that those
who wait look again, asks the schedule, and passes the baton on or goes on itself; no other thread takes part in that. When all
wait, time passes (each round more), and each looks again; when :data:`IDLE_ROUNDS` such rounds have changed nothing, it is a
hang.

Limits: time passes only when all wait, so that a time-out that ends while others still could go on is not tried. The order of
looking in such a round is fixed.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, Protocol

from ringbuffer.interleaving.actors import Actor, Place
from ringbuffer.interleaving.code import line_in_words
from ringbuffer.interleaving.opcodes import ITEM, STORE, SWITCH, WRITES
from ringbuffer.interleaving.scenario import Blocked, Hang, Scenario, StepLimit, Stopped
from ringbuffer.interleaving.schedules import Schedule
from ringbuffer.interleaving.waiting import Loop
from ringbuffer.interleaving.watching import Watch

IDLE_ROUNDS = 20
IDLE_SECONDS = 0.001
IDLE_FACTOR = 4
"""The first idle round lasts at least so long, each further one so many times the one before: the last is four centuries."""
BLOCKED_LOOKS = 40
BLOCKED_LOOK_SECONDS = 0.5
"""So many looks in a row without a single step: the actor blocks outside of the scheduler. Looks, not seconds, are counted, so
that a process that was stopped for a while has not used them up."""
STOPPED_SLEEPS_MAX = 100


def end_here() -> NoReturn:
    """End the actor whose thread this is; what it still does in its ``finally`` blocks is not switched in."""
    sys.settrace(None)
    raise Stopped


class Recorder(Protocol):
    """What listens to a run, to tell of it."""

    def switched(self, actor: Actor, *, was_preempted: Actor | None) -> None: ...
    def waits(self, actor: Actor, *, is_asleep: bool) -> None: ...
    def ended(self, actor: Actor) -> None: ...
    def changed(self, actor: Actor) -> None: ...
    def idled(self, seconds: float) -> None: ...


_new_lock = threading.Lock


class Execution:
    """A run of a scenario under a schedule; ``run()`` once, then look at what it has left."""

    def __init__(
        self,
        scenario: Scenario,
        schedule: Schedule,
        watch: Watch,
        is_code: Callable[[str], bool],
        max_steps: int,
        recorder: Recorder | None = None,
    ) -> None:
        self.actors = [Actor(name, index, body) for index, (name, body) in enumerate(scenario.actors.items())]
        self.schedule = schedule
        self.recorder = recorder
        self.steps = 0
        self.preemptions = 0
        self.segments: list[tuple[int, int]] = []
        self.deviated = 0
        self.error: BaseException | None = None
        self.failed: Actor | None = None
        self.clock_seconds = 0.0
        self.leftover: list[str] = []
        self._scenario = scenario
        self._always = scenario.always
        self._watch = watch
        self._is_code = is_code
        self._max_steps = max_steps
        self._enabled = list(range(len(self.actors)))
        self._version = 0
        self._idle_rounds = 0
        self._is_over = False
        self._over = _new_lock()
        self._over.acquire()
        self._by_thread: dict[int, Actor] = {}
        self.is_starting = True
        """While true, what the searching thread does with locks is the making of threads, and none of the scenario's."""

    # ---- the run, in the thread that searches

    def run(self, trace_of: Callable[[Execution, Actor], Any]) -> None:
        """Run all actors to the end of the run, end those that are left, and check."""
        collects = gc.isenabled()
        gc.disable()  # collecting garbage would run finalisers at places that depend on all that was run before
        try:
            try:
                for actor in self.actors:
                    actor.start(lambda actor: self._perform(actor, trace_of))
                self.is_starting = False
                if self.actors:
                    self._pass_on(None)
                    self._await_the_end()
            finally:
                self._stop_all()
            if self.error is None:
                self._check(self._scenario.check)
        finally:
            if collects:
                gc.enable()

    def _await_the_end(self) -> None:
        looks, steps = 0, -1
        while not self._over.acquire(timeout=BLOCKED_LOOK_SECONDS):
            looks = looks + 1 if steps == self.steps else 0
            steps = self.steps
            if looks >= BLOCKED_LOOKS:
                self._is_over = True
                actor = self.actors[self.segments[-1][0]]
                self.error = Blocked(f"{actor.name} blocks outside of the scheduler, {self._place_of(actor)}")
                return

    def _stop_all(self) -> None:
        self._is_over = True
        self.leftover = [actor.name for actor in self.actors if not actor.stop()]

    def _check(self, check: Callable[[], None] | None) -> None:
        if check is not None:
            try:
                check()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # what test frameworks raise is no Exception
                self.error = error

    # ---- in the actors' threads

    def _perform(self, actor: Actor, trace_of: Callable[[Execution, Actor], Any]) -> None:
        actor.baton.acquire()
        if self._is_over:
            return
        ident = threading.get_ident()
        self._by_thread[ident] = actor
        try:
            actor.perform(trace_of(self, actor))
        finally:
            actor.has_ended = True
            del self._by_thread[ident]  # identities of threads are used again
        if self._is_over:
            return
        with contextlib.suppress(Stopped):
            self._end(actor)

    def _end(self, actor: Actor) -> None:
        self.steps += 1
        actor.steps += 1
        self._settle(actor, WRITES | STORE)
        if self.recorder is not None:
            self.recorder.ended(actor)
        self._enabled.remove(actor.index)
        if actor.error is not None:
            self._fail(actor.error, actor)
        self._wake(actor)
        if all(each.has_ended for each in self.actors):
            self._finish()
        else:
            self._pass_on(actor)

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._over.release()

    def _fail(self, error: BaseException, actor: Actor | None) -> NoReturn:
        """The run is over: the caller's thread ends, too."""
        self.error, self.failed = error, actor
        self._finish()
        end_here()

    def current(self) -> Actor | None:
        """The actor whose thread this is."""
        return self._by_thread.get(threading.get_ident())

    def step(self, actor: Actor, frame: FrameType, kind: int) -> None:
        """Before an opcode or a line of this kind: the place where others may run."""
        if self._is_over:
            end_here()
        self.steps += 1
        actor.steps += 1
        if actor.effects:
            self._settle(actor, actor.effects)
        if self._always is not None:
            self._watchful(actor)
        if self.steps > self._max_steps:
            self._give_up()
        if kind & SWITCH and self.steps >= self.schedule.ask_at:
            self._decide(actor, frame)
        actor.effects = kind & (WRITES | STORE | ITEM)

    def come_back(self, actor: Actor, frame: FrameType, loop: Loop, place: Place) -> bool:
        """An actor is at a place again; where nothing has come of the round, it waits. Whether it did."""
        if self._is_over:
            end_here()
        if actor.effects:
            self._settle(actor, actor.effects)
        if not loop.is_idle(frame.f_locals, (self._version, actor.stores), actor.written):
            return False
        self.steps += 1
        actor.steps += 1
        if self.steps > self._max_steps:
            self._give_up()
        self.wait(actor, place, 0.0)
        loop.version = self._version, actor.stores
        frame.f_locals  # noqa: B018 - see _decide
        return True

    def sleep(self, actor: Actor, seconds: float) -> None:
        """An actor sleeps: it waits, and at the latest when that much time has passed for all, it looks again."""
        if self._is_over:
            actor.stops += 1
            if actor.stops > STOPPED_SLEEPS_MAX:
                end_here()
            return
        self.steps += 1
        actor.steps += 1
        self._settle(actor, WRITES | actor.effects)
        actor.effects = 0
        if self.steps > self._max_steps:
            self._give_up()
        frame = self._frame_of(sys._getframe(1))
        place = (id(frame.f_code), frame.f_lasti) if frame is not None else (0, 0)
        self.wait(actor, place, self.clock_seconds + max(seconds, 0.0), is_asleep=True)

    def pause(self, actor: Actor, place: Place, deadline_seconds: float) -> None:
        """An actor can do nothing until another does something: it finds a lock taken."""
        if self._is_over:
            end_here()
        self.steps += 1
        actor.steps += 1
        self.wait(actor, place, deadline_seconds)

    def signal(self, actor: Actor) -> None:
        """An actor has done something that others may wait for, but in no memory: it has released a lock."""
        if not self._is_over:
            self._version += 1
            self._wake(actor)

    def wait(self, actor: Actor, place: Place, deadline_seconds: float, *, is_asleep: bool = False) -> None:
        """Go on when another actor has changed something, or when all wait."""
        actor.is_waiting = True
        actor.deadline_seconds = deadline_seconds
        self._enabled.remove(actor.index)
        if place not in actor.idle_places:
            self._wake(actor)
        actor.idle_places.add(place)
        if self.recorder is not None:
            self.recorder.waits(actor, is_asleep=is_asleep)
        self._pass_on(actor)

    def _settle(self, actor: Actor, effects: int) -> None:
        """See what the last step has changed, and have those who wait look again if it may be that for which they wait."""
        actor.effects = 0
        if effects & WRITES and self._watch.changed():
            self._has_changed(actor)
            if self.recorder is not None:
                self.recorder.changed(actor)
        elif effects & ITEM and not self._watch.segments:
            self._has_changed(actor)
        elif not effects & STORE:
            return
        elif actor.idle_places:
            actor.stores += 1  # what an actor counts while it waits wakes nobody, or two would wake each other for ever
            return
        self._version += 1
        self._wake(actor)

    def _has_changed(self, actor: Actor) -> None:
        actor.written += 1
        actor.idle_places.clear()
        self._idle_rounds = 0

    def _wake(self, by: Actor) -> None:
        for actor in self.actors:
            if actor.is_waiting and actor is not by:
                actor.is_waiting = False
                self._enabled.append(actor.index)
        self._enabled.sort()
        if self.schedule.asks_on_waking:
            self.schedule.ask_at = 0

    def _decide(self, actor: Actor, frame: FrameType) -> None:
        if len(self._enabled) == 1:
            return
        chosen = self.schedule.choose(self.steps, actor.index, self._enabled, actor.index, actor.steps)
        if chosen != actor.index:
            self.preemptions += 1
            self._hand_over(actor, self.actors[chosen], is_default=False, was_preempted=True)
            # CPython 3.11 writes what f_locals was when the trace function was called back to the variables when it returns;
            # looking at it again makes that what they are now, in cells that others have changed meanwhile.
            frame.f_locals  # noqa: B018

    def _pass_on(self, actor: Actor | None) -> None:
        """A free decision: the actor waits, has ended, or it is the beginning."""
        if not self._enabled:
            self._idle()
        after = -1 if actor is None else actor.index
        default = min(self._enabled, key=lambda index: (index <= after, index))
        ran = 0 if actor is None else actor.steps
        chosen = self.schedule.choose(self.steps, None, self._enabled, default, ran)
        self._hand_over(actor, self.actors[chosen], is_default=chosen == default, was_preempted=False)

    def _hand_over(self, giver: Actor | None, taker: Actor, *, is_default: bool, was_preempted: bool) -> None:
        if giver is not None:
            self.segments[-1] = (giver.index, giver.steps)
        self.segments.append((taker.index, 0))
        if not is_default:
            self.deviated = len(self.segments)
        if self.recorder is not None:
            self.recorder.switched(taker, was_preempted=giver if was_preempted else None)
        if taker is giver:
            return
        taker.baton.release()
        if giver is not None and not giver.has_ended:
            giver.baton.acquire()
            if self._is_over:
                end_here()

    # ---- nobody can go on

    def _idle(self) -> None:
        """All wait: time passes, and each looks again."""
        waiting = [actor for actor in self.actors if actor.is_waiting]
        self._idle_rounds += 1
        if self._idle_rounds > IDLE_ROUNDS:
            self._hang(waiting)
        past = self.clock_seconds + IDLE_SECONDS * IDLE_FACTOR ** (self._idle_rounds - 1)
        deadlines = [actor.deadline_seconds for actor in waiting if actor.deadline_seconds > self.clock_seconds]
        self.clock_seconds = max(past, min(deadlines, default=0.0))
        if self.recorder is not None:
            self.recorder.idled(self.clock_seconds)
        self._version += 1
        for actor in waiting:
            actor.is_waiting = False
            self._enabled.append(actor.index)

    def _hang(self, waiting: list[Actor]) -> None:
        places = {actor.name: self._place_of(actor) for actor in waiting}
        may_wait = self._scenario.may_wait
        if may_wait is not None and may_wait(places):
            self._finish()
            end_here()
        words = "; ".join(f"{name} waits {place}" for name, place in places.items())
        self._fail(Hang(f"all wait, and nobody changes anything: {words}", places), None)

    def _give_up(self) -> None:
        places = {actor.name: self._place_of(actor) for actor in self.actors if not actor.has_ended}
        words = "; ".join(f"{name} is {place}" for name, place in places.items())
        self._fail(StepLimit(f"not at its end after {self._max_steps} steps (max_steps): {words}", places), None)

    def _watchful(self, actor: Actor) -> None:
        assert self._always is not None
        try:
            self._always()
        except BaseException as error:
            self._fail(error, actor)

    def _place_of(self, actor: Actor) -> str:
        """Where an actor is: the innermost line of the code under test that it is in."""
        assert actor.thread is not None
        frame = self._frame_of(sys._current_frames().get(actor.thread.ident or 0))
        return "outside of the code under test" if frame is None else f"at {line_in_words(frame.f_code, frame.f_lineno)}"

    def _frame_of(self, frame: FrameType | None) -> FrameType | None:
        while frame is not None and not self._is_code(frame.f_code.co_filename):
            frame = frame.f_back
        return frame
