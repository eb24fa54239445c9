"""The claims: each holds for what is shipped, and each is refuted for a table that breaks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringbuffer.checker import checks, crashes, faults
from ringbuffer.checker.claim import FULL_SIZES, LIVENESS_SIZES, QUESTION_SIZES, SIZES, Scope, Verdict
from ringbuffer.checker.claims import CLAIMS, check_claims, claims_for
from ringbuffer.errors import VariantError
from ringbuffer.memory.simulated import MEMORIES
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.protocol.properties import ALL, LIVENESS, SAFETY
from ringbuffer.simulator import Simulation

BROKEN = [
    # claim, edits, the property that breaks, readers and blocks
    ("safety-sc", "swap=W5,W6", "stale", (1, 1)),
    ("safety-tso", "swap=W5,W6", "stale", (1, 1)),
    ("safety-tso", "move=W6,W4", "exclusion", (1, 1)),
    ("safety-ra", "weaken=W6", "stale", (1, 1)),
    ("safety-ra", "weaken=R1", "stale", (1, 1)),
    ("race-free-ra", "weaken=R4", "race", (1, 1)),
    ("race-free-ra", "weaken=W2", "race", (1, 1)),
    ("race-free-ra", "missing-readers=1", "overwritten", (1, 1)),
    ("progress-sc", "without=W1", "progress", (1, 1)),
    ("progress-sc", "policy=scan", "starved", (2, 2)),
    ("progress-tso", "without=W1", "progress", (1, 1)),
    ("progress-tso", "redirect=W2,1,wait", "progress", (1, 1)),
    ("crash-safe", "swap=W5,W6", "stale", (1, 1)),
    ("crash-safe", "weaken=W6", "race", (1, 1)),
]


def verdict(claim_id: str, scope: Scope) -> Verdict:
    (found,) = check_claims(scope, (claim_id,), lambda *_: None)
    return found


@pytest.mark.parametrize(("claim", "edits", "broken", "size"), BROKEN)
def test_a_claim_is_refuted_for_its_known_bad_twin(claim: str, edits: str, broken: str, size: tuple[int, int]) -> None:
    found = verdict(claim, Scope(variant=Variant.parse(*edits.split()), size=size))
    assert found.status == "refuted"
    assert found.note.startswith(broken)
    assert found.token is not None
    assert found.counterexample is not None


@pytest.mark.parametrize("claim", [claim.id for claim in CLAIMS if claim.answers])
def test_every_claim_about_a_memory_has_a_known_bad_twin(claim: str) -> None:
    assert claim in {claim_id for claim_id, *_ in BROKEN}


@pytest.mark.parametrize("claim", [claim.id for claim in CLAIMS if claim.answers])
@pytest.mark.parametrize("size", [(1, 1), (2, 1)])
def test_the_shipped_tables_hold(claim: str, size: tuple[int, int]) -> None:
    found = verdict(claim, Scope(size=size))
    assert (found.status, found.note) == ("holds", "")
    assert f"{size[0]}×{size[1]}" in found.bound


@pytest.mark.parametrize(
    "edits", ["without=W3", "swap=W1,W2", "swap=R1,R2", "initial-read-flag=1", "fence-after=R4,seq-cst", "lock-after=R4"]
)
@pytest.mark.parametrize("claim", [claim.id for claim in CLAIMS if claim.answers])
def test_what_is_benign_is_not_refuted(claim: str, edits: str) -> None:
    assert verdict(claim, Scope(variant=Variant.parse(edits), size=(1, 2))).status == "holds"


def test_two_weakened_orderings_show_as_races_only() -> None:
    """A checker that compares values would miss exactly these."""
    ordered = ("W2", "W5", "W6", "R1", "R2", "R4")
    scopes = {row: Scope(variant=PROTOCOL.weakened(row), size=(1, 1)) for row in ordered}
    assert {row for row, scope in scopes.items() if verdict("race-free-ra", scope).status == "refuted"} == set(ordered)
    assert {row for row, scope in scopes.items() if verdict("safety-ra", scope).status == "holds"} == {"W2", "R4"}


def test_the_counterexample_of_a_weak_memory_replays() -> None:
    found = verdict("safety-ra", Scope(variant=PROTOCOL.weakened("R1"), size=(1, 1)))
    assert found.token is not None
    run = Simulation.replay(found.token)
    assert "stale" in run.steps[-1].broken
    assert any(step.stale for step in run.steps)
    assert "an old value" in (found.counterexample or "")


def test_questions_are_answered_by_the_claims_of_their_memory() -> None:
    assert claims_for(("sc",), ALL) == ("safety-sc", "progress-sc")
    assert claims_for(("tso",), LIVENESS) == ("progress-tso",)
    assert claims_for(("ra",), ("race",)) == ("race-free-ra",)
    assert claims_for(("ra-relaxed",), ("race",)) == ()
    assert len(claims_for(MEMORIES, ALL)) == 6


def test_a_claim_says_which_property_it_cannot_judge() -> None:
    with pytest.raises(VariantError, match="none of these was asked about"):
        verdict("safety-sc", Scope(properties=("starved",)))


def test_a_memory_bound_that_was_met_is_part_of_the_verdict() -> None:
    assert "store buffers of up to" in verdict("safety-tso", Scope(size=(1, 1))).bound
    assert "store buffers" not in verdict("safety-sc", Scope(size=(1, 1))).bound
    assert "stores ahead" in verdict("race-free-ra", Scope(variant=Variant.parse("move=W5,W4"), size=(1, 2))).bound


def test_the_sizes_grow_with_full_and_shrink_for_an_edited_protocol() -> None:
    for memory in MEMORIES:
        assert set(SIZES[memory]) < set(FULL_SIZES[memory])
        assert Scope().sizes(memory) == SIZES[memory]
        assert Scope(full=True).sizes(memory) == FULL_SIZES[memory]
        assert set(Scope(variant=PROTOCOL.without("W3")).sizes(memory)) == set(QUESTION_SIZES)
        assert Scope(variant=PROTOCOL.without("W3"), full=True).sizes(memory) == SIZES[memory]
    assert Scope().sizes("tso", liveness=True) == LIVENESS_SIZES["tso"]
    assert Scope(size=(3, 3)).sizes("sc") == ((3, 3),)
    assert (4, 4) in FULL_SIZES["sc"]


def test_crash_safe_holds_on_every_memory() -> None:
    found = verdict("crash-safe", Scope(size=(1, 1)))
    assert found.status == "holds"
    kinds = dict(part.split(": ") for part in found.bound.split("; ")[:2])
    assert kinds == dict.fromkeys(("any number killed, followed and evicted", "one killed"), "sc 1×1, tso 1×1, ra 1×1")


def test_crash_safe_is_unknown_where_nobody_could_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_kills(*arguments: object, **options: object) -> object:
        return real(*arguments, **{**options, "killed": ""})  # type: ignore[arg-type]

    real = checks.ask
    monkeypatch.setattr(crashes, "ask", without_kills)
    assert verdict("crash-safe", Scope(size=(1, 1))).status == "unknown"


@pytest.mark.parametrize(
    "wrong",
    [
        {"stays": (*SAFETY[:6], "progress", "starved"), "breaks": ()},  # more than stays true
        {"stays": (), "breaks": ("starved",)},  # breaks less than is said
    ],
)
def test_a_table_of_faults_that_is_wrong_is_refuted(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, tuple[str, ...]]) -> None:
    killed = next(fault for fault in faults.FAULTS if fault.id == "reader-killed")
    monkeypatch.setattr(faults, "FAULTS", (replace(killed, size=(1, 1), breaks_size=(1, 1), **wrong),))  # type: ignore[arg-type]
    found = verdict("faults-contained", Scope())
    assert found.status == "refuted"
    assert "reader-killed" in found.note


def test_a_broken_protocol_does_not_contain_its_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever should stay whole beside a fault does not: what the faults break is broken as before, and is left out."""
    staying = [replace(fault, breaks=()) for fault in faults.FAULTS if "stale" in fault.stays]
    assert len(staying) == 5
    monkeypatch.setattr(faults, "FAULTS", tuple(staying))
    found = verdict("faults-contained", Scope(variant=PROTOCOL.swapped("W5", "W6"), size=(1, 1)))
    assert found.status == "refuted"
    said = [f"{fault.id}: stale: refuted, and the table says that it stays true" for fault in staying]
    assert found.note.split("; ") == said
