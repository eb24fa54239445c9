"""The invariant and what follows from it: discharged for the shipped tables, and open where it should be for broken ones.

Every known-bad twin has its open obligations listed, all of them. An obligation is *open* when z3 contradicts it or leaves it
undecided; which of the two is z3's affair and is not pinned.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringbuffer.checker import all_sizes, recorded
from ringbuffer.checker.claim import Scope, Verdict
from ringbuffer.checker.claims import check_claims
from ringbuffer.checker.explore import STATES_MAX
from ringbuffer.checker.mutate import BENIGN
from ringbuffer.checker.parallel import JOBS_MAX, answers
from ringbuffer.errors import VariantError
from ringbuffer.proof import prove, refinement
from ringbuffer.proof.invariant import INVARIANT, Conjunct
from ringbuffer.proof.prove import DISCHARGED, UNDECIDED, Finding
from ringbuffer.proof.twins import REFINEMENT_TWINS, SEMANTICS, TWINS, Question
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL, WRITER, Variant


def tried(question: Question) -> tuple[Finding, ...]:
    memory, edits = question
    return prove.prove(Variant.parse(*edits.split()), prove.obligations, SEMANTICS[memory])


def still_open(findings: tuple[Finding, ...]) -> str:
    return " ".join(one.name for one in findings if one.status != DISCHARGED)


@pytest.fixture(scope="module")
def twins() -> dict[Question, tuple[Finding, ...]]:
    return dict(zip(TWINS, answers(tried, tuple(TWINS), JOBS_MAX), strict=True))


@pytest.mark.parametrize(("memory", "count"), [("sc", 246), ("ra", 410)])
@pytest.mark.parametrize("edits", ["", "initial-read-flag=1"])
def test_every_obligation_of_the_shipped_tables_is_discharged(memory: str, count: int, edits: str) -> None:
    findings = tried((memory, edits))
    assert still_open(findings) == ""
    assert len({one.name for one in findings}) == len(findings) == count


@pytest.mark.parametrize("question", TWINS, ids=" ".join)
def test_a_known_bad_twin_leaves_exactly_these_open(question: Question, twins: dict[Question, tuple[Finding, ...]]) -> None:
    assert still_open(twins[question]) == TWINS[question]
    assert recorded.SINGLES[question[0]][question[1]] != BENIGN, "the explorer has a run that shows it"


@pytest.mark.parametrize("memory", ["sc", "ra"])
def test_the_ring_refines_the_queue(memory: str) -> None:
    findings = prove.prove(PROTOCOL, refinement.obligations, SEMANTICS[memory])
    assert still_open(findings) == ""
    assert len(findings) == 16


@pytest.mark.parametrize("edits", REFINEMENT_TWINS)
def test_a_known_bad_twin_does_not_refine_the_queue(edits: str) -> None:
    findings = prove.prove(Variant.parse(edits), refinement.obligations)
    assert still_open(findings) == REFINEMENT_TWINS[edits]


def test_a_changed_row_changes_what_is_proved_and_nothing_else_is_edited() -> None:
    """The table is edited as an author would: W5 stores 1."""
    rows = tuple(replace(row, access=replace(row.access, value=1)) if row.id == "W5" else row for row in WRITER.rows)
    changed = Variant(writer=replace(WRITER, rows=rows))
    assert still_open(prove.prove(changed)) == "W5/clearing W5/unmarked"
    assert prove.is_proved(PROTOCOL)
    assert not prove.is_proved(changed)


def test_an_obligation_that_z3_has_no_time_for_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "EFFORT_FIRST", 1)
    monkeypatch.setattr(prove, "EFFORT_MAX", 1)
    found = {one.status for one in prove.prove(PROTOCOL)}
    assert UNDECIDED in found


def test_what_is_false_is_no_invariant() -> None:
    """A conjunct that holds at the start and not for ever, and one that holds of no state."""
    idle = Conjunct("idle", "nothing is ever accepted", lambda facts, _: facts.accepted == 0)
    never = Conjunct("never", "no state", lambda _, logic: logic.false)
    findings = prove.prove(PROTOCOL, prove.inductive, prove.SEQUENTIAL._replace(invariant=(*INVARIANT, idle)))
    assert still_open(findings) == "W4/idle"
    findings = prove.prove(PROTOCOL, prove.inductive, prove.SEQUENTIAL._replace(invariant=(*INVARIANT, never)))
    assert still_open(findings) == "start/never"


def test_an_invariant_that_is_too_weak_is_seen() -> None:
    """Without one conjunct the others are not inductive, or what is wanted does not follow."""
    weaker = tuple(one for one in INVARIANT if one.name != "leftovers")
    findings = prove.prove(PROTOCOL, prove.obligations, prove.SEQUENTIAL._replace(invariant=weaker))
    assert still_open(findings) == "W4/overwritten"


def test_fences_are_refused_under_release_acquire() -> None:
    with pytest.raises(VariantError, match="F1: proofs under release/acquire know no fences"):
        prove.prove(PROTOCOL.fenced(before="W6"), prove.obligations, RELEASE_ACQUIRE)


def verdict(claim_id: str, edits: str = "") -> Verdict:
    scope = Scope(variant=Variant.parse(*edits.split()))
    (found,) = check_claims(scope, (claim_id,), lambda *_: None)
    return found


def test_a_claim_that_holds_says_that_all_is_discharged_and_where_the_encoder_was_compared() -> None:
    """One of the three: what the others add is proved above, and compared in ``test_view_validation``."""
    found = verdict("safety-all-n-k").as_json()
    assert (found["status"], found["method"], found["states"]) == ("holds", "proved", None)
    assert str(found["bound"]).startswith("every number of readers, blocks and payload words")
    assert "728 states explored under sc (1×1, 1×2, 2×1), up to a bound on fills, the encoder agrees" in str(found["note"])
    told = found["obligations"]
    assert isinstance(told, dict)
    assert told["open"] == {}
    assert told["count"] == len(told["seconds"]) == 246


@pytest.mark.parametrize(
    ("claim", "edits", "broken", "named"),
    [
        ("safety-all-n-k", "without=R4", "stale", "R3/marks"),
        ("safety-all-n-k", "without=W2", "progress", "always/no-deadlock"),
        ("race-free-all-n-k", "weaken=R4", "race", "R4/marks-tell"),
        ("refines-queue", "policy=scan", "reordered", "sc/W1/stutter"),
    ],
)
def test_a_claim_that_is_refuted_has_a_run_and_names_what_is_open(claim: str, edits: str, broken: str, named: str) -> None:
    found = verdict(claim, edits)
    assert found.status == "refuted"
    assert found.note.startswith(broken)
    assert found.token is not None
    told = found.as_json()["obligations"]
    assert isinstance(told, dict)
    assert named in told["open"]


def test_what_is_benign_and_not_proved_is_unknown() -> None:
    """The protocol without W3 breaks nothing, but the invariant is not one of it."""
    found = verdict("safety-all-n-k", "without=W3")
    assert found.status == "unknown"
    assert found.note.startswith("1 of 226 obligations are not discharged: W2/claimed")
    assert "sc: explored 1×1, 1×2, 2×1, 2×2, and nothing breaks there" in found.note
    assert found.counterexample is None


def test_an_exploration_that_met_its_bound_is_not_called_done() -> None:
    scope = Scope(variant=PROTOCOL.weakened("R4"), max_states=5)
    (found,) = check_claims(scope, ("race-free-all-n-k",), lambda *_: None)
    assert found.status == "unknown"
    assert "ra: not done at 1×1, 1×2, 2×1, 2×2" in found.note
    assert "nothing breaks" not in found.note


def test_what_is_proved_is_held_to_the_explorer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--full``: were a broken table proved, or one not explored to the end, the claim would not hold."""
    monkeypatch.setattr(all_sizes, "single_edits", lambda: ("swap=W5,W6", "initial-read-flag=1"))
    monkeypatch.setattr(all_sizes, "QUESTION_SIZES", ((1, 1),))

    def full(max_states: int = STATES_MAX) -> Verdict:
        (found,) = check_claims(Scope(full=True, max_states=max_states), ("safety-all-n-k",), lambda *_: None)
        return found

    found = full()
    assert found.status == "holds"
    assert "of 2 single edits 1 are proved as well" in found.note
    assert full(max_states=5).status == "unknown"
    monkeypatch.setattr(prove, "is_proved", lambda *_: True)
    found = full()
    assert found.status == "unknown"
    assert "swap=W5,W6 is proved, but stale: broken after 12 steps" in found.note


def test_a_fault_of_the_encoder_takes_the_claim_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is evaluated in the explorer's states is what was proved; a statement that fails there is reported."""
    false = replace(refinement.MAPPING[0], formula=lambda _, logic: logic.false)
    monkeypatch.setattr(refinement, "MAPPING", (false,))
    found = verdict("safety-all-n-k")
    assert found.status == "unknown"
    assert "counts" in found.note
    assert "they do not agree" in found.note
