"""The claim ``wakeups``: the shipped rows lose no wake-up, every twin does where it is said to, and what is benign does not.

What is lost is found out in a second way, too: in a ring of one reader and one block a lost wake-up ends with everybody asleep
and nothing left to happen, which is looked for in the whole graph of states without asking what a lost wake-up is.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from edits import whole_graph

from ringbuffer import places
from ringbuffer.checker import HOLDS, Result, explore, replay, wakeups
from ringbuffer.checker import REFUTED as IS_REFUTED
from ringbuffer.checker.claim import Scope, Verdict
from ringbuffer.checker.claims import CLAIMS, check_claims
from ringbuffer.checker.reduce import REDUCTIONS
from ringbuffer.checker.wakeups import BENIGN, FULL_PARTS, MEMORIES, PARTS, QUESTION_PARTS, TWINS, Part, Twin, parts_of
from ringbuffer.cli import main
from ringbuffer.errors import VariantError
from ringbuffer.memory.base import Footprint
from ringbuffer.protocol import PROTOCOL, Waking
from ringbuffer.protocol.waking import SLEEPERS
from ringbuffer.recovering import model_of
from ringbuffer.simulator import Setup, Simulation
from ringbuffer.trace.itf import dumps, from_itf, to_itf
from ringbuffer.waking_model import WakingModel


def rows(edits: str) -> Waking:
    return Waking.parse(*edits.split())


@cache
def ask(edits: str, readers: int, blocks: int, memory: str, **options: Any) -> Result:
    return explore(PROTOCOL, readers, blocks, memory=memory, **{"waking": rows(edits), "aborts": False, **options})


def verdict(scope: Scope) -> Verdict:
    (found,) = check_claims(scope, ("wakeups",), lambda *_: None)
    return found


# The shipped rows.

COUNTS = [
    # readers, blocks, memory, who sleeps, states, transitions
    (1, 1, "sc", "all", 518, 982),
    (1, 2, "sc", "all", 975, 1882),
    (2, 1, "sc", "writer", 1550, 4817),
    (1, 1, "tso", "all", 1144, 2109),
    (1, 1, "ra", "readers", 904, 2123),
    (1, 1, "ra", "writer", 723, 1785),
]


@pytest.mark.parametrize(("readers", "blocks", "memory", "sleepers", "states", "transitions"), COUNTS)
def test_the_shipped_rows_lose_no_wakeup(
    readers: int, blocks: int, memory: str, sleepers: str, states: int, transitions: int
) -> None:
    result = ask(f"sleepers={sleepers}", readers, blocks, memory)
    assert (result.status, result.complete, result.vacuous, result.capped) == (HOLDS, True, (), False)
    assert {"slept", "woken", "received", "recycled"} <= result.seen
    assert ("sleep-together" in result.seen) == (readers > 1 and sleepers != "writer")
    assert (result.states, result.transitions) == (states, transitions)


def test_several_sleepers_with_callers_that_raise() -> None:
    result = explore(PROTOCOL, 2, 1, waking=Waking())
    assert (result.status, result.vacuous) == (HOLDS, ())
    assert {"sleep-together", "fill-aborted", "read-aborted"} <= result.seen
    assert (result.states, result.transitions) == (14266, 44873)


def test_waking_without_cause_does_no_harm() -> None:
    for memory in MEMORIES:
        sleepers = "sleepers=readers" if memory == "ra" else ""
        result = ask(f"kernel=spurious {sleepers}", 1, 1, memory)
        assert (result.status, result.vacuous) == (HOLDS, ())
        assert result.states > ask(sleepers, 1, 1, memory).states


def test_a_waker_that_is_killed_leaves_its_sleeper_lying() -> None:
    """No row of another process can make up for that, which is why endpoints sleep in slices."""
    for victim in ("writer", "reader"):
        result = ask("", 1, 1, "sc", killed=victim)
        assert (result.status, result.property) == (IS_REFUTED, "lost-wakeup")
        assert any(step.kind == "kill" for step in result.trace)


# The twins.


def ids_of(twins: tuple[Twin, ...]) -> list[str]:
    return [twin.edits for twin in twins]


def question(twin: Twin, memory: str) -> Result:
    """The twin in the smallest ring that shows it; where it is only to hold, what is cheap under release/acquire."""
    cheap = memory == "ra" and not twin.lost_on
    return ask(f"{twin.edits} sleepers=readers" if cheap else twin.edits, twin.readers, 1, memory)


@pytest.mark.parametrize("twin", TWINS, ids=ids_of(TWINS))
def test_a_twin_loses_a_wakeup_where_it_is_said_to(twin: Twin) -> None:
    memories = MEMORIES if twin.readers == 1 else ("sc",)
    assert {memory for memory in memories if question(twin, memory).status == IS_REFUTED} == set(twin.lost_on) & set(memories)
    for memory in memories:
        result = question(twin, memory)
        if result.status == IS_REFUTED:
            assert result.property == "lost-wakeup"
            assert result.token is not None
            assert tuple(Simulation.replay(result.token).steps) == result.trace
            assert "nobody is coming" in result.trace[-1].note
        else:
            assert result.vacuous == ()


@pytest.mark.parametrize("twin", BENIGN, ids=ids_of(BENIGN))
def test_what_is_benign_loses_nothing(twin: Twin) -> None:
    for memory in MEMORIES:
        result = question(twin, memory)
        assert (result.status, result.complete) == (HOLDS, True)
        assert ("slept" in result.seen) == twin.sleeps
        assert ("slept" in result.vacuous) == (not twin.sleeps)


def test_what_one_reader_does_not_show_takes_two() -> None:
    for twin in TWINS:
        if twin.readers == 2:
            assert ask(twin.edits, 1, 1, "sc").status == HOLDS


UNDER_TSO = ("without=K1", "order=S2,acq-rel", "move=S3,S2", "without=K1 lock-before=K2", "without=S5")
ENDS = [(twin, "sc") for twin in (*TWINS, *BENIGN) if twin.readers == 1]
ENDS += [(twin, "tso") for twin in (*TWINS, *BENIGN) if twin.edits in UNDER_TSO]


@pytest.mark.parametrize(("twin", "memory"), ENDS, ids=lambda one: getattr(one, "edits", one))
def test_a_lost_wakeup_ends_with_nothing_left_to_happen(twin: Twin, memory: str) -> None:
    """Without asking for properties at all."""
    setup = Setup(PROTOCOL, 1, 1, 1, waking=rows(twin.edits), aborts=False, memory=memory)
    model = model_of(setup)
    assert isinstance(model, WakingModel)
    states, edges = whole_graph(model)
    ends = [state for state, leaving in zip(states, edges, strict=True) if not leaving]
    assert bool(ends) == (memory in twin.lost_on)
    for state in ends:
        assert all(model.is_asleep(state, actor) for actor in range(2)), "it ends because all sleep, and not in another way"


@pytest.mark.parametrize("edits", ["", "without=K1", "without=K3", "without=S3", "without=K4"])
@pytest.mark.parametrize(("memory", "blocks"), [("sc", 2), ("tso", 1)])
def test_reductions_do_not_change_the_verdict(edits: str, memory: str, blocks: int) -> None:
    reduced, whole = ask(edits, 1, blocks, memory), ask(edits, 1, blocks, memory, reductions=(), words=1)
    assert (reduced.status, reduced.property) == (whole.status, whole.property)
    assert reduced.states <= whole.states
    assert set(reduced.reductions) <= set(REDUCTIONS)


def test_symmetry_does_not_change_the_verdict_of_several_sleepers() -> None:
    for edits in ("sleepers=writer", "kernel=wakes-one sleepers=readers"):
        reduced, whole = ask(edits, 2, 1, "sc"), ask(edits, 2, 1, "sc", reductions=("payload", "settled"))
        assert (reduced.status, reduced.property) == (whole.status, whole.property)
        assert "symmetry" in reduced.reductions
        assert reduced.states < whole.states
    assert "symmetry" not in ask("word=shared", 2, 1, "sc").reductions
    assert "symmetry" not in ask("sleepers=one", 2, 1, "sc").reductions


def test_what_the_memory_forgets_of_queues_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = ["sleepers=readers", "sleepers=writer", "order=K1,acq-rel", "without=S2 lock-before=S4"]
    forgetting = [explore(PROTOCOL, 1, 1, memory="ra", waking=rows(edits), aborts=False) for edits in questions]
    real = places.footprint

    def kept(found: tuple[places.Place, ...]) -> Footprint:
        return real(found)._replace(exchanges=frozenset())

    monkeypatch.setattr("ringbuffer.model.footprint", kept)
    keeping = [explore(PROTOCOL, 1, 1, memory="ra", waking=rows(edits), aborts=False) for edits in questions]
    assert [one.status for one in forgetting] == [one.status for one in keeping] == [HOLDS, HOLDS, IS_REFUTED, IS_REFUTED]
    assert all(few.states <= many.states for few, many in zip(forgetting, keeping, strict=True))
    assert forgetting[0].states < keeping[0].states


# Parts.


@pytest.mark.parametrize("sleepers", SLEEPERS[1:])
def test_each_part_by_itself_finds_what_the_whole_finds(sleepers: str) -> None:
    """Both sides run the same rows, so that what loses a wake-up loses the writer's and a reader's."""
    for twin in TWINS:
        if twin.readers == 1:
            assert ask(f"{twin.edits} sleepers={sleepers}", 1, 1, twin.lost_on[0]).property == "lost-wakeup"


def test_the_one_reader_that_is_followed_stands_for_several() -> None:
    for edits in ("without=S3", "without=K3", "swap=K3,K4"):
        assert ask(f"{edits} sleepers=one", 2, 1, "sc").property == "lost-wakeup"
    followed = ask("sleepers=one", 2, 1, "sc")
    assert (followed.status, followed.vacuous) == (HOLDS, ())
    assert "woken" in followed.seen


def test_what_is_explored() -> None:
    assert set(PARTS) < set(FULL_PARTS)
    assert {part.memory for part in PARTS} == set(MEMORIES) == {part.memory for part in QUESTION_PARTS}
    for parts in (PARTS, FULL_PARTS):
        for memory in MEMORIES:
            several = {part.sleepers for part in parts if part.memory == memory and part.readers > 1}
            assert several & {"all", "readers", "one"}, "several sleepers on every memory"
    assert parts_of(Scope()) == PARTS
    assert parts_of(Scope(full=True)) == FULL_PARTS
    assert parts_of(Scope(waking=Waking().without("S5"), full=True)) == QUESTION_PARTS
    assert all(part.sleepers == "all" for part in QUESTION_PARTS)
    assert parts_of(Scope(size=(1, 1))) == tuple(Part(memory, 1, 1, raising=memory == "sc") for memory in MEMORIES)


# The claim, and what it looks like.


def test_the_claim_names_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    few = (*(part for part in PARTS if part.memory != "ra" and part.readers == 1), Part("ra", 1, 1, "writer"))
    monkeypatch.setattr(wakeups, "PARTS", few)
    found = verdict(Scope())
    assert (found.status, found.note) == (HOLDS, "")
    assert "sc 1×1, 1×2; tso 1×1, 1×2; ra 1×1 writer asleep; messages unbounded" in found.bound


def test_the_claim_is_refuted_for_a_twin() -> None:
    found = verdict(Scope(waking=Waking().without("K1"), size=(1, 1)))
    assert found.status == IS_REFUTED
    assert found.note.startswith("tso: lost-wakeup: broken after 18 steps")
    assert found.token is not None
    assert found.counterexample is not None


@pytest.mark.parametrize(("row", "status"), [("S1", "unknown"), ("S4", "unknown"), ("S3", "refuted")])
def test_rows_that_nobody_sleeps_by_show_nothing(monkeypatch: pytest.MonkeyPatch, row: str, status: str) -> None:
    monkeypatch.setattr(wakeups, "QUESTION_PARTS", (Part("sc", 1, 1),))
    found = verdict(Scope(waking=Waking().without(row)))
    assert found.status == status
    assert ("never seen: slept, woken" in found.note) == (status == "unknown")


def test_other_claims_have_no_use_for_these_rows() -> None:
    scope = Scope(waking=Waking().without("K1"))
    for claim in CLAIMS:
        if claim.id == "wakeups":
            claim.require_heeded(scope)
        else:
            with pytest.raises(VariantError, match="no use for the option about waking"):
                claim.require_heeded(scope)


def test_the_counterexample_names_the_kernels_steps() -> None:
    result = ask("kernel=wakes-one", 2, 1, "sc")
    told = str(result)
    assert told.startswith("kernel=wakes-one: 2 readers × 1 blocks: refuted: lost-wakeup, 25 steps\n")
    lines = told.splitlines()
    assert lines[-2].split()[:7] == ["25", "writer", "K4", "0", "wake", "awake[0]", "100"]
    assert lines[-2].endswith("the kernel wakes reader 0; reader 1: asleep, the block is ready, and nobody is coming")
    assert lines[-1].strip().startswith("✗ P12 lost-wakeup is broken: nobody sleeps whose block is ready")
    assert "reader 0  S3.R2     0  written → 0" in told
    slept = next(step for step in result.trace if step.kind == "sleep")
    assert (slept.access, slept.note, slept.value) == ("awake[0] = 0?", "the kernel lays it down", 0)
    json.dumps(result.as_json())
    assert result.as_json()["waking"] == "kernel=wakes-one"


def test_who_is_on_the_way_loses_nothing_yet() -> None:
    """A step at a time: the block is ready from W6 on, and its sleeper is woken at K4; nothing is lost in between."""
    run = Simulation(Setup(PROTOCOL, 1, 1, 1, waking=Waking(), aborts=False))

    def take(actor: int, rows: str) -> None:
        for row in rows.split():
            step = run.take(next(one.choice for one in run.possible() if one.choice[0] == actor))
            assert (step.row, step.broken) == (row, ())

    take(1, "R1 R2 S1 S2 S3.R1 S3.R2 S4")
    assert [one.choice[0] for one in run.possible()] == [0], "who sleeps has no step"
    take(0, "W1 W3 W4 W5 W6 K1 K2 K3 K4")
    assert run.steps[-1].note == "the kernel wakes reader 0"
    take(1, "S5 R1 R2 R3 R4 K1 K2")


def test_a_run_of_sleepers_goes_through_itf() -> None:
    simulation = Simulation.replay(str(ask("without=K1", 1, 1, "tso").token))
    text = dumps(to_itf(replay.recording(simulation)))
    again = replay.rerun(from_itf(text))
    assert again.token() == simulation.token()
    assert again.setup.waking == rows("without=K1")


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = main(["check", *arguments, "--json"])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else {"error": said.err}

    status, said = run("--claim", "wakeups", "--without", "K3", "--readers", "1", "--blocks", "1")
    (claim,) = said["claims"]
    assert (status, claim["id"], claim["status"]) == (1, "wakeups", "refuted")
    assert claim["command"] == "ringbuffer check --claim wakeups --without K3 --readers 1 --blocks 1"
    assert main(["replay", claim["token"]]) == 1
    assert "nobody is coming" in capsys.readouterr().out
    status, said = run("--swap", "K3,K4")
    assert [one["id"] for one in said["claims"]] == ["wakeups"], "such an edit is a question to this claim alone"
    for refused in (("--without", "K1", "--memory", "tso"), ("--claim", "safety-sc", "--without", "K1"), ("--without", "K7")):
        assert run(*refused)[0] == 2
    assert run("--claim", "wakeups", "--policy", "scan")[0] == 2
