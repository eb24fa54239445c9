"""TLC on the printed modules: safety, refinement and liveness for 2 readers and 2 blocks, and as many states as the explorer's.

Each property has a known-bad twin: the same check on edited tables, which TLC must refute, by that property, and (where the
explorer's is a shortest one too) with a counterexample of the same length. Where Java or TLC's jar is missing, all of these are
skipped, and say why. Rules: TLC writes under ``tmp_path`` only, and every wait for it has an end. Limits: what holds here
was explored, for the sizes that the tests name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from ringbuffer import tla
from ringbuffer.checker import explore
from ringbuffer.checker.explore import HOLDS, REFUTED
from ringbuffer.protocol import Variant
from ringbuffer.protocol.properties import SAFETY
from ringbuffer.tla import Checks, tlc

REASON = tlc.why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"TLC was not run: {REASON}")

TLC_SECONDS = 200.0
"""No run of TLC here takes that long; one that does fails."""
SHIPPED = ""
BOTH = (tla.READERS, tla.BLOCKS)
NO_SUCH_STEP = " of module BroadcastQueue"

RunTlc: TypeAlias = Callable[..., tlc.Outcome]


def variant_of(edits: str) -> Variant:
    """The variant of these edits, which are separated by spaces."""
    return Variant.parse(*edits.split())


@pytest.fixture
def run_tlc(tmp_path: Path) -> RunTlc:
    """Prints a variant's files, has TLC check them on a ring of that size, and looks that it has left nothing beside them."""

    def run(edits: str, checks: Checks, size: tuple[int, int] = BOTH) -> tlc.Outcome:
        short = edits != SHIPPED or not checks.fair
        files = {**tla.files(variant_of(edits)), "Test.cfg": tla.configuration(checks, *size)}
        folder = tmp_path / "printed"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        outcome = tlc.run(folder, "Test.cfg", tmp_path / "meta", timeout_seconds=TLC_SECONDS, short=short)
        assert {path.name for path in folder.iterdir()} == files.keys()
        return outcome

    return run


def alone(name: str) -> Checks:
    """Nothing but one property, by its name in ``Ring.tla``."""
    whole = next(checks for checks in tla.CHECKS.values() if name in (*checks.invariants, *checks.properties))
    return Checks(
        whole.about,
        tuple(one for one in whole.invariants if one == name),
        tuple(one for one in whole.properties if one == name),
        whole.fair,
    )


@pytest.mark.parametrize(
    ("edits", "size"),
    [
        (SHIPPED, (1, 1)),
        (SHIPPED, (1, 2)),
        (SHIPPED, (3, 1)),
        (SHIPPED, BOTH),
        ("without=W3", (2, 1)),
        ("lock-after=W3 fence-before=R2,seq_cst initial-read-flag=1 redirect=R3,aborted,found", (1, 1)),
    ],
)
def test_safety_holds_and_tlc_and_the_explorer_count_the_same(run_tlc: RunTlc, edits: str, size: tuple[int, int]) -> None:
    """Also of benign edits, so that the number is seen to depend on the tables."""
    found = run_tlc(edits, tla.CHECKS["Safety"], size)
    own = explore(variant_of(edits), *size, properties=SAFETY, reductions=(), words=tla.WORDS)
    assert (found.violated, own.status) == (None, HOLDS)
    assert (found.states, found.generated, found.depth) == (own.states, own.transitions + 1, own.depth + 1)
    assert (found.states == tla.STATE_COUNTS[size]) == (edits == SHIPPED)


def test_the_ring_is_a_broadcast_queue_and_nobody_waits_for_ever(run_tlc: RunTlc) -> None:
    """The configuration as it is printed: refinement, ``OwedIsHeld``, P7 and P8."""
    found = run_tlc(SHIPPED, tla.CHECKS["Liveness"])
    assert (found.violated, found.states) == (None, tla.RAW_STATE_COUNT)


@pytest.mark.parametrize(
    ("name", "edits", "size"),
    [
        ("torn", "redirect=W4,aborted,next", (1, 1)),
        ("stale", "swap=W5,W6", (1, 1)),
        ("reordered", "policy=scan", BOTH),
        ("lost", "redirect=R3,aborted,next", (1, 1)),
        ("overwritten", "missing-readers=1", (1, 1)),
        ("exclusion", "without=R2", (1, 1)),
    ],
)
def test_tlc_refutes_safety_of_broken_tables(run_tlc: RunTlc, name: str, edits: str, size: tuple[int, int]) -> None:
    """Each of P1 to P6, judged alone."""
    found = run_tlc(edits, alone(tla.checked_as(name)), size)
    own = explore(variant_of(edits), *size, properties=(name,), reductions=(), words=tla.WORDS)
    assert (found.violated, own.status) == (tla.checked_as(name), REFUTED)
    before_the_store = name == "overwritten"  # for TLC it is the state in which the writer is about to
    assert found.steps == len(own.trace) - before_the_store


@pytest.mark.parametrize(
    ("name", "edits", "size"),
    [("progress", "without=W1", BOTH), ("progress", "without=R4", (1, 1)), ("starved", "policy=scan", (1, 2))],
)
def test_tlc_refutes_liveness_of_broken_tables(run_tlc: RunTlc, name: str, edits: str, size: tuple[int, int]) -> None:
    """P7 of the writer and P8 of a reader, judged alone."""
    assert run_tlc(edits, alone(tla.checked_as(name)), size).violated == tlc.TEMPORAL
    assert explore(variant_of(edits), *size, properties=(name,), reductions=(), words=tla.WORDS).status == REFUTED


@pytest.mark.parametrize(("edits", "size"), [("swap=W5,W6", (1, 1)), ("policy=scan", (1, 2))])
def test_tlc_refutes_the_refinement_by_a_step_that_the_queue_does_not_have(
    run_tlc: RunTlc, edits: str, size: tuple[int, int]
) -> None:
    """What is stale or reordered is no step of the queue."""
    violated = run_tlc(edits, alone("Refines"), size).violated
    assert violated is not None
    assert violated.endswith(NO_SUCH_STEP)


def test_tlc_refutes_the_refinement_by_a_queue_that_stands_still(run_tlc: RunTlc) -> None:
    """A writer that never finds a block breaks the queue's fairness, and no step of the ring is wrong."""
    assert run_tlc("without=W1", alone("Refines")).violated == tlc.TEMPORAL


def test_what_is_owed_cannot_be_read_off_a_ring_that_is_scanned(run_tlc: RunTlc) -> None:
    """The blocks are not used in order there."""
    assert run_tlc("policy=scan", alone("OwedIsHeld"), (1, 2)).violated == "OwedIsHeld"
