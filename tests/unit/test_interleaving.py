"""Unmodified code under the scheduler: planted faults are found, right code passes all its schedules, waiting is seen, and runs
repeat.

The number of runs of each exhaustive search of right code is pinned, so that a scheduler that loses schedules (or runs one
twice) is seen; what they could have lost is also compared with a search that switches before every opcode.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from interleaved import MADE, WAITS, counter, end, mailbox, segment

from ringbuffer.interleaving import (
    Blocked,
    Exhaustive,
    Hang,
    NothingTraced,
    Pct,
    Random,
    Report,
    Run,
    Scenario,
    StepLimit,
    TokenMalformed,
    opcodes,
    replay,
    search,
)

IS_3_11 = sys.version_info[:2] == (3, 11)
"""What depends on the bytecode is pinned for one version of Python."""

STORY = """\
1. writer runs `write`, `put`, `sleep`, `payload`
   from interleaved.py:n `for value in range(1, messages + 1):`
     - interleaved.py:n `view[0] = value` changes shared bytes [1] 0 → 1
     - interleaved.py:n `view[1] = value` changes shared bytes [2] 0 → 1
     - interleaved.py:n `self.memory.buf[0] = 1` changes shared bytes [0] 0 → 1
   to interleaved.py:n `time.sleep(POLL_SECONDS)`
   it sleeps
2. reader runs `read`, `take`, `sleep`
   from interleaved.py:n `if taken is not None:`
     - interleaved.py:n `self.memory.buf[0] = 0` changes shared bytes [0] 1 → 0
   to interleaved.py:n `self.memory.buf[0] = 0`
   it is interrupted in interleaved.py:n `with self.payload() as view:`
3. writer runs `sleep`, `put`, `payload`, `write`
   from interleaved.py:n `while not until():`
     - interleaved.py:n `view[0] = value` changes shared bytes [1] 1 → 2
     - interleaved.py:n `view[1] = value` changes shared bytes [2] 1 → 2
     - interleaved.py:n `self.memory.buf[0] = 1` changes shared bytes [0] 0 → 1
   to interleaved.py:n `for value in range(1, messages + 1):`
   it ends and returns None
4. reader runs `take`, `payload`, `sleep`
   from interleaved.py:n `with self.payload() as view:`
     - interleaved.py:n `self.memory.buf[0] = 0` changes shared bytes [0] 1 → 0
     - `take` returns (2, 2)
   to interleaved.py:n `time.sleep(POLL_SECONDS)`
   it sleeps
5. all wait; time passes, and they look again
Time passed, to 3.66504e+08 s, only while all waited.
Failure: Hang: all wait, and nobody changes anything: reader waits at interleaved.py:n `time.sleep(POLL_SECONDS)`"""
"""With the numbers of lines left out."""


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    threads = set(threading.enumerate())
    clocks = time.sleep, time.monotonic, SharedMemory.__init__, threading.Lock, sys.gettrace()
    yield
    assert set(threading.enumerate()) == threads
    assert not [name for name in MADE if (Path("/dev/shm") / name).exists()]
    MADE.clear()
    assert clocks == (time.sleep, time.monotonic, SharedMemory.__init__, threading.Lock, sys.gettrace())


def failure_of(report: Report) -> Run:
    assert report.failure is not None, f"nothing found in {report.runs} runs"
    assert not report.complete
    return report.failure


# ---- planted faults


def test_a_lost_update_takes_one_preemption() -> None:
    without = search(counter, Exhaustive(preemptions=0))
    assert (without.failure, without.complete, without.runs) == (None, True, 2)
    found = failure_of(search(counter, Exhaustive(preemptions=2)))
    assert found.preemptions == 1
    assert str(found.error) == "an update was lost: 1 of 2"


def test_a_line_is_one_step_where_lines_are_asked_for() -> None:
    report = search(counter, Exhaustive(preemptions=2), granularity="line")
    assert (report.failure, report.complete) == (None, True)


@pytest.mark.parametrize("granularity", ["line", "opcode"])
@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("fault", ["publishes early", "frees early"])
def test_a_fault_is_found_however_the_ring_waits(fault: str, wait: str, granularity: str) -> None:
    # A loop that counts is seen to wait in its hundredth round, so its runs are long, and most places to preempt are in them.
    strategy = Random(runs=100) if wait == "count_rounds" else Exhaustive(preemptions=1)
    found = failure_of(search(lambda: mailbox(wait, fault, 2), strategy, granularity=granularity))
    assert found.preemptions <= 2 if wait == "count_rounds" else found.preemptions == 1


@pytest.mark.parametrize("strategy", [Pct(depth=2, runs=60), Random(runs=60)])
def test_samples_find_them_too(strategy: Pct | Random) -> None:
    assert isinstance(failure_of(search(counter, strategy)).error, AssertionError)
    for fault in ("publishes early", "frees early"):
        report = search(partial(mailbox, "sleep", fault, 2), strategy, granularity="line")
        assert failure_of(report).preemptions <= 2
        assert str(strategy.runs) in report.bound


def test_random_priorities_find_what_takes_two_changes() -> None:
    assert search(counter, Pct(depth=1, runs=30)).failure is None
    assert search(counter, Pct(depth=2, runs=30)).failure is not None


# ---- right code


@pytest.mark.skipif(not IS_3_11, reason="how many steps there are depends on the bytecode")
@pytest.mark.parametrize(
    ("wait", "granularity", "runs"),
    [("spin", "line", 90), ("sleep", "line", 68), ("give_up", "line", 126), ("spin", "opcode", 133), ("sleep", "opcode", 117)],
)
def test_right_code_passes_every_schedule(wait: str, granularity: str, runs: int) -> None:
    report = search(lambda: mailbox(wait, messages=2), Exhaustive(preemptions=1), granularity=granularity)
    assert (report.failure, report.complete, report.runs) == (None, True, runs)
    assert "at most 1 preemptions" in report.bound


def _outcomes(fault: str) -> tuple[set[str], int]:
    """What the reader of a faulty mailbox takes in any schedule (-1: it waits for ever), and in how many runs."""
    seen: set[str] = set()

    def scenario() -> Scenario:
        taken: list[tuple[int, int]] = []
        made = mailbox("spin", fault, 2, taken)

        def may_wait(places: Mapping[str, str]) -> bool:
            taken.append((len(places), -1))
            return True

        return Scenario(made.actors, lambda: seen.add(str(taken)), close=made.close, may_wait=may_wait)

    report = search(scenario, Exhaustive(preemptions=1))
    assert report.complete
    return seen, report.runs


def test_passing_over_local_opcodes_loses_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    reduced, runs = _outcomes("frees early")
    monkeypatch.setattr(opcodes, "_is_local", lambda *_: False)
    everything, more_runs = _outcomes("frees early")
    assert reduced == everything
    assert "[(1, 2), (1, -1)]" in reduced, f"torn between two opcodes of one line: not among {reduced}"
    assert more_runs > 2 * runs


# ---- waiting


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("granularity", ["line", "opcode"])
def test_who_waits_for_nothing_hangs_or_runs_out_of_time(wait: str, granularity: str) -> None:
    began = time.monotonic()
    found = failure_of(search(lambda: mailbox(wait, "never publishes"), Exhaustive(0), granularity=granularity))
    assert found.preemptions == 0
    if wait == "give_up":
        assert isinstance(found.error, TimeoutError)
        assert "Time passed, to 5.461 s, only while all waited." in found.story
    else:
        assert type(found.error) is Hang
        assert list(found.error.waiting) == ["reader"]
        assert "interleaved.py:" in str(found.error)
    assert time.monotonic() - began < 60  # virtual time has passed, hours of it, and no other


def test_waiting_may_be_right() -> None:
    asked: list[dict[str, str]] = []

    def scenario(answer: bool) -> Scenario:
        made = mailbox("sleep", "never publishes")

        def may_wait(places: Mapping[str, str]) -> bool:
            asked.append(dict(places))
            return answer

        return Scenario(made.actors, close=made.close, may_wait=may_wait)

    assert search(lambda: scenario(True), Exhaustive(0)).failure is None
    assert set(asked[0]) == {"reader"}
    assert isinstance(failure_of(search(lambda: scenario(False), Exhaustive(0))).error, Hang)


def test_who_counts_in_an_attribute_is_seen_to_wait_too() -> None:
    class Counting:
        rounds = 0

        def wait(self) -> None:
            while True:
                self.rounds += 1

    report = search(lambda: Scenario({name: Counting().wait for name in "ab"}), Exhaustive(0))
    assert type(failure_of(report).error) is Hang


def test_who_goes_on_in_its_own_attributes_alone_does_not_wait() -> None:
    class Counting:
        index = 0

        def go_on(self, view: memoryview) -> None:
            while not view[0]:
                pass
            began = time.monotonic()
            while self.index < 5:
                self.index += 1
            assert time.monotonic() == began, "it had to wait until nobody else could go on"

    def scenario() -> Scenario:
        memory = segment(1)

        def put() -> None:
            memory.buf[0] = 1
            time.sleep(1)

        return Scenario({"counting": lambda: Counting().go_on(memory.buf), "putter": put}, close=lambda: end(memory))

    report = search(scenario, Exhaustive(0))
    assert (report.failure, report.complete) == (None, True)


def test_who_polls_from_outside_of_the_code_under_test_waits() -> None:
    def scenario() -> Scenario:
        flags = bytearray(1)

        def poll() -> bool:
            return flags[0] == 1

        namespace: dict[str, Callable[[], None]] = {}
        exec(compile("def outside():\n    while not poll(): pass\n", "<outside>", "exec"), {"poll": poll}, namespace)

        def put() -> None:
            flags[0] = 1

        return Scenario({"poller": namespace["outside"], "putter": put})

    report = search(scenario, Exhaustive(1))
    assert (report.failure, report.complete) == (None, True)


def test_what_never_ends_is_a_failure_that_says_where() -> None:
    def scenario() -> Scenario:
        memory = segment(1)

        def toggle() -> None:
            view = memory.buf
            while True:
                view[0] ^= 1

        return Scenario({"toggler": toggle}, close=lambda: end(memory))

    found = failure_of(search(scenario, Exhaustive(0), max_steps=500))
    assert isinstance(found.error, StepLimit)
    assert "test_interleaving.py:" in found.error.waiting["toggler"]


def test_time_is_virtual_and_the_actors_alone_see_it() -> None:
    spans: list[float] = []

    def scenario() -> Scenario:
        def actor() -> None:
            began, wall = time.perf_counter(), time.time_ns()
            time.sleep(3600)
            spans.append(time.perf_counter() - began)
            assert time.time_ns() - wall >= 3_600_000_000_000

        return Scenario({"sleeper": actor})

    began = time.monotonic()
    assert search(scenario, Random(runs=2)).failure is None
    assert min(spans) >= 3600
    assert time.monotonic() - began < 60


# ---- locks


def test_a_lock_of_a_run_is_one_and_is_waited_for() -> None:
    def scenario() -> Scenario:
        lock, held = threading.Lock(), [0]

        def actor() -> None:
            with lock:
                held[0] = held[0] + 1

        return Scenario(dict.fromkeys("abc", actor), lambda: None if held == [3] else pytest.fail(f"{held}"))

    report = search(scenario, Exhaustive(preemptions=1))
    assert (report.failure, report.complete) == (None, True)
    assert report.switches > report.runs * 3


def test_two_locks_taken_crosswise_are_a_hang() -> None:
    def scenario() -> Scenario:
        one, other = threading.Lock(), threading.RLock()

        def forwards() -> None:
            with one, other:
                pass

        def backwards() -> None:
            with other, one:
                pass

        return Scenario({"forwards": forwards, "backwards": backwards})

    found = failure_of(search(scenario, Exhaustive(preemptions=1)))
    assert type(found.error) is Hang
    assert set(found.error.waiting) == {"forwards", "backwards"}


def test_what_blocks_out_of_sight_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringbuffer.interleaving.execution.BLOCKED_LOOK_SECONDS", 0.01)
    reading, writing = os.pipe()
    try:
        with pytest.raises(Blocked, match=r"reader blocks outside of the scheduler, at test_interleaving\.py:\d+"):
            monkeypatch.setattr("ringbuffer.interleaving.actors.END_TRIES", 1)
            search(lambda: Scenario({"reader": lambda: os.read(reading, 1)}), Random(runs=1))
    finally:
        os.write(writing, b"x")
        for thread in threading.enumerate():
            if thread.name == "actor reader":
                thread.join(10)
        os.close(reading)
        os.close(writing)


# ---- the ends of runs


def test_an_actor_that_is_left_over_ends_with_its_finally_blocks() -> None:
    ended: list[str] = []

    def scenario() -> Scenario:
        memory = segment(1)

        def stubborn() -> None:
            try:
                view = memory.buf
                while view[0] == 0:
                    time.sleep(1)
            finally:
                time.sleep(1)  # what it waits for while it ends does not come either
                ended.append("stubborn")

        def raises() -> None:
            raise LookupError("the other one fails")

        def close() -> None:
            end(memory)
            ended.append("closed")

        return Scenario({"stubborn": stubborn, "raises": raises}, close=close)

    found = failure_of(search(scenario, Exhaustive(0)))
    assert str(found.error) == "the other one fails"
    assert ended[-2:] == ["stubborn", "closed"]
    assert "raises: LookupError" in found.story


def test_always_is_asked_after_every_step() -> None:
    def scenario() -> Scenario:
        pair = [0, 0]

        def move() -> None:
            pair[0] = 1
            pair[1] = 1

        def always() -> None:
            if pair[0] != pair[1]:
                raise AssertionError("one has moved without the other")

        return Scenario({"mover": move}, check=lambda: None, always=always)

    assert str(failure_of(search(scenario, Exhaustive(0))).error) == "one has moved without the other"


def test_cells_that_others_rebind_keep_what_they_were_given() -> None:
    """CPython 3.11 writes the variables of a traced frame back as they were, which would undo what others did meanwhile."""

    results: list[int] = []

    def scenario() -> Scenario:
        turns = 0

        def looks() -> list[int]:
            return [turns for _ in range(3)] + [each for each in seen() if each]

        def seen() -> Iterator[int]:
            for _ in range(3):
                yield turns

        def counts() -> None:
            nonlocal turns
            turns += 1

        return Scenario({"looks": looks, "counts": counts}, check=lambda: results.append(turns))

    assert search(scenario, Exhaustive(1)).complete
    assert set(results) == {1}, "who only looks undoes nothing"


def test_who_waits_for_a_cell_sees_what_others_make_of_it() -> None:
    def scenario() -> Scenario:
        ready = False

        def waits() -> None:
            while not ready:
                pass

        def sets() -> None:
            nonlocal ready
            ready = True

        return Scenario({"waits": waits, "sets": sets})

    report = search(scenario, Exhaustive(1))
    assert (report.failure, report.complete) == (None, True)


def test_an_interrupted_search_leaves_nothing() -> None:
    def scenario() -> Scenario:
        made = mailbox("sleep", messages=3)

        def interrupting() -> None:
            made.actors["writer"]()
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                time.sleep(1)

        return Scenario({**made.actors, "writer": interrupting}, close=made.close)

    with pytest.raises(KeyboardInterrupt):
        search(scenario, Exhaustive(0), max_steps=1_000_000)


def test_a_search_that_could_see_nothing_is_refused() -> None:
    def scenario() -> Scenario:
        made = counter()
        return Scenario(made.actors, made.check, close=made.close, is_code=lambda file: file.endswith("another.py"))

    with pytest.raises(NothingTraced, match="is_code"):
        search(scenario, Exhaustive(2))


def test_arguments_are_checked() -> None:
    for wrong in (lambda: Exhaustive(-1), lambda: Pct(depth=0), lambda: Random(runs=0)):
        with pytest.raises(ValueError, match="counts"):
            wrong()
    with pytest.raises(ValueError, match="granularity is one of line, opcode"):
        search(counter, Random(runs=1), granularity="word")
    with pytest.raises(ValueError, match="max_steps"):
        search(counter, Random(runs=1), max_steps=0)


# ---- replay


@pytest.mark.parametrize("strategy", [Exhaustive(1), Pct(depth=3, runs=60, seed=5), Random(runs=60, seed=7)])
def test_a_token_leads_to_the_same_story_to_the_letter(strategy: Exhaustive | Pct | Random) -> None:
    def scenario() -> Scenario:
        return mailbox("give_up", "frees early", 2)

    found = failure_of(search(scenario, strategy, granularity="line"))
    for _ in range(2):
        again = replay(scenario, found.token)
        assert (again.story, again.token, again.steps, again.missed) == (found.story, found.token, found.steps, 0)
        assert repr(again.error) == repr(found.error)


def test_a_token_leads_there_in_another_process(run_python: Callable[..., object]) -> None:
    found = failure_of(search(lambda: mailbox("spin", "publishes early", 2), Exhaustive(1)))
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from interleaved import mailbox\n"
        "from ringbuffer.interleaving import replay\n"
        "print(replay(lambda: mailbox('spin', 'publishes early', 2), sys.argv[3]).story)\n"
    )
    here = Path(__file__).parent
    done = run_python(script, str(here), str(here.parents[1]), found.token)
    assert done.stderr == ""  # type: ignore[attr-defined]
    assert done.stdout.rstrip("\n") == found.story  # type: ignore[attr-defined]


def test_a_token_of_repaired_code_leads_to_no_failure() -> None:
    found = failure_of(search(lambda: mailbox("sleep", "publishes early", 2), Exhaustive(1), granularity="line"))
    assert replay(lambda: mailbox("sleep", "", 2), found.token).error is None


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "not a replay token"),
        ("il1.word.3.11.n2m20.0", "not a replay token"),
        ("il1.opcode.2.7.n2m20.0", "Python 2.7"),
        ("il1.line.3.11.n2m20.2", "beyond the 2"),
        ("il1.line.3.11.n3m20.2", "of 3 actors, the scenario has 2"),
    ],
)
def test_tokens_that_cannot_be_followed(token: str, message: str) -> None:
    with pytest.raises(TokenMalformed, match=message):
        replay(counter, token)


def test_the_story_says_who_ran_what() -> None:
    found = failure_of(search(partial(mailbox, "sleep", "frees early", 2), Exhaustive(1), granularity="line"))
    assert re.sub(r":\d+", ":n", found.story) == STORY
