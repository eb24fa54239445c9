"""The model and a real segment, stepped together, and the faults that this must find.

The shipped tables run under the active Hypothesis profile (``--hypothesis-profile ci``, ``dev`` or ``nightly``); the planted
faults run derandomised, so that finding them is not a matter of luck. Making a run short takes twenty times as long as finding
it, and is Hypothesis's work and not ours: so that is tried with one fault, and the others are told as they are found.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ringbuffer.checker.lockstep import Disagreement, Lockstep, Mismatch, PropertyBroken, machine, sample
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant
from ringbuffer.simulator import Setup, Simulation

TestShippedTables = machine(PROTOCOL).TestCase

FAULTS = {
    "publishing before clearing the read flags": (PROTOCOL.swapped("W5", "W6"), 1),
    "marking before reading": (PROTOCOL.swapped("R3", "R4"), 1),
    "freeing a block when all but one have read it": (PROTOCOL.replace(missing_readers=1), 1),
    "two writers": (PROTOCOL, 2),
    "the original's scanning": (ORIGINAL, 1),
    "not looking at one's own flag": (PROTOCOL.without("R1"), 1),
    "not clearing the read flags": (PROTOCOL.without("W5"), 1),
    "setting the read flags instead of clearing them": (PROTOCOL.flipped("W5"), 1),
    "clearing all read flags but the last": (PROTOCOL.retargeted("W5", "but-last"), 1),
    "marking the neighbour's flag": (PROTOCOL.retargeted("R4", "neighbour"), 1),
    "publishing what the caller has given up": (PROTOCOL.redirected("W4", "aborted", "next"), 1),
    "a reader that forgets to go on": (PROTOCOL.advancing("reader", 0), 1),
    "a writer that leaves a block out": (PROTOCOL.advancing("writer", 2), 1),
}


AS_FOUND: Final[dict[str, Any]] = {
    "max_examples": 2000,
    "stateful_step_count": 60,
    "derandomize": True,
    "database": None,
    "deadline": None,
    "print_blob": False,
    "report_multiple_bugs": False,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
"""Those of ``sample``, but for making what is found short, and for how long to look: what is generated depends on which modules
are loaded, derandomised or not, so that a bound that is just enough is enough in one run and not in the next."""


def story(found: Mismatch, variant: Variant) -> Simulation:
    """The run that is told, run again."""
    replayed = Simulation.replay(found.token)
    assert replayed.setup.variant == variant
    assert str(found).splitlines()[0].endswith(f" at step {len(replayed.steps)}")
    return replayed


@pytest.mark.parametrize(("variant", "writers"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_and_its_story_replays(variant: Variant, writers: int) -> None:
    with pytest.raises(PropertyBroken) as caught:
        run_state_machine_as_test(machine(variant, writers=writers), settings=settings(**AS_FOUND))
    story(caught.value, variant)


def test_a_story_is_made_short() -> None:
    variant, writers = FAULTS["setting the read flags instead of clearing them"]
    with pytest.raises(PropertyBroken) as found:
        run_state_machine_as_test(machine(variant, writers=writers), settings=settings(**AS_FOUND))
    with pytest.raises(PropertyBroken) as short:
        sample(variant, writers=writers)
    assert len(story(short.value, variant).steps) < len(story(found.value, variant).steps)


BENIGN = [
    PROTOCOL.without("W3"),
    PROTOCOL.moved("W5", before="W4"),
    PROTOCOL.redirected("W4", "aborted", "wait"),
    PROTOCOL.redirected("R1", "1", "restart"),
    PROTOCOL.redirected("W2", "0", "restart").ordered("W1", "acquire"),
]


@pytest.mark.parametrize("variant", BENIGN, ids=str)
def test_a_benign_edit_is_not_called_a_fault(variant: Variant) -> None:
    run_state_machine_as_test(machine(variant), settings=settings(max_examples=40, derandomize=True, deadline=None))


def test_a_segment_that_drifts_from_the_model_is_noticed() -> None:
    run = Lockstep(Setup(readers=2, blocks=2))
    try:
        run.step(0)
        run.flags[1][2] = 1
        with pytest.raises(Disagreement, match="block 1 is"):
            run.step(0)
    finally:
        run.close()


def test_rows_that_differ_from_the_model_are_noticed() -> None:
    run = Lockstep(Setup(readers=1, blocks=2))
    other = Lockstep(Setup(ORIGINAL, readers=1, blocks=2))
    try:
        run.actors[0], other.actors[0] = other.actors[0], run.actors[0]
        with pytest.raises(Mismatch, match="writer stands at row"):
            run.step(0)
    finally:
        run.actors[0], other.actors[0] = other.actors[0], run.actors[0]
        run.close()
        other.close()
