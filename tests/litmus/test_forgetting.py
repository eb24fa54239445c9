"""What the release/acquire memory forgets makes no difference to what can be observed, races included."""

from __future__ import annotations

from typing import Any

import pytest
from catalogue import CATALOGUE, RACES, Litmus
from hypothesis import event, given, settings
from program import Threads, in_words, parse
from programs import FOUR_THREADS, THREE_THREADS, WITH_PAYLOAD, loose, shaped
from runner import Seen, run

from ringbuffer.memory.base import Memory
from ringbuffer.memory.release_acquire import ReleaseAcquire


def remembering(memory: Memory) -> None:
    """From here on, that memory forgets nothing."""

    def everything(histories: Any, current: Any, released: Any, acquired: Any, fenced: Any) -> tuple[Any, ...]:
        return histories, tuple(current), released, acquired, fenced

    assert isinstance(memory, ReleaseAcquire)
    assert hasattr(memory, "_forgetting")
    vars(memory)["_forgetting"] = everything


def assert_no_difference(threads: Threads, memory: str = "ra") -> tuple[Seen, Seen]:
    forgetting, whole = run(memory, threads), run(memory, threads, remembering)
    assert forgetting.raced == whole.raced, in_words(threads)
    assert whole.raced or forgetting.outcomes == whole.outcomes, in_words(threads)
    return forgetting, whole


@pytest.mark.parametrize("litmus", CATALOGUE, ids=lambda litmus: litmus.name)
def test_no_difference_on_the_literature(litmus: Litmus) -> None:
    assert_no_difference(litmus.threads)


@pytest.mark.parametrize("text", [text for _, text, *_ in RACES])
def test_no_difference_to_races(text: str) -> None:
    assert_no_difference(parse(text))
    assert_no_difference(parse(text), "ra-relaxed")


@settings(max_examples=60)
@given(loose(threads_max=4, ops_max=4, total_max=9, locations="xyz"))
def test_no_difference_on_random_programs(threads: Threads) -> None:
    forgetting, whole = assert_no_difference(threads)
    event("states are forgotten" if forgetting.states < whole.states else "nothing is forgotten")


@settings(max_examples=60)
@given(loose(threads_max=3, ops_max=5, total_max=10, payload=True))
def test_no_difference_on_random_programs_with_payload(threads: Threads) -> None:
    assert_no_difference(threads)
    assert_no_difference(threads, "ra-relaxed")


@settings(max_examples=40)
@given(shaped((*THREE_THREADS, *FOUR_THREADS, *WITH_PAYLOAD)))
def test_no_difference_on_the_shapes_of_the_literature(threads: Threads) -> None:
    assert_no_difference(threads)
