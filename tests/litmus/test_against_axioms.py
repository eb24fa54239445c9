"""Random small programs: each simulated memory has exactly the outcomes and the races that the axioms allow it."""

from __future__ import annotations

import axioms
from hypothesis import event, given, settings
from program import Threads, in_words
from programs import FOUR_THREADS, THREE_THREADS, TWO_THREADS, WITH_PAYLOAD, loose, shaped
from runner import as_atomic, run


def assert_agree(memory: str, threads: Threads) -> None:
    seen, judged = run(memory, threads), axioms.judge(memory, threads)
    event(f"{memory} {'races' if judged.raced else 'does not race'}")
    assert seen.raced == judged.raced, in_words(threads)
    assert judged.raced or seen.outcomes == judged.outcomes, in_words(threads)


@settings(max_examples=150)
@given(shaped(TWO_THREADS))
def test_two_threads_in_the_shapes_of_the_literature(threads: Threads) -> None:
    for memory in ("sc", "tso", "ra"):
        assert_agree(memory, threads)


@settings(max_examples=100)
@given(shaped(THREE_THREADS))
def test_three_threads_in_the_shapes_of_the_literature(threads: Threads) -> None:
    for memory in ("tso", "ra"):
        assert_agree(memory, threads)


@settings(max_examples=30)
@given(shaped(FOUR_THREADS))
def test_four_threads_in_the_shapes_of_the_literature(threads: Threads) -> None:
    assert_agree("ra", threads)


@settings(max_examples=100)
@given(shaped(WITH_PAYLOAD))
def test_races_in_the_shapes_of_handing_over(threads: Threads) -> None:
    assert_agree("ra", threads)
    atomic = as_atomic("ra-relaxed", threads)
    assert run("ra-relaxed", threads).outcomes == run("ra", atomic).outcomes


@settings(max_examples=60)
@given(loose())
def test_threads_of_any_accesses(threads: Threads) -> None:
    for memory in ("sc", "tso", "ra"):
        assert_agree(memory, threads)


@settings(max_examples=60)
@given(loose(payload=True))
def test_threads_of_any_accesses_and_payload(threads: Threads) -> None:
    assert_agree("ra", threads)
