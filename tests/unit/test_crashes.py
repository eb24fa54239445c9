"""The dead are followed: what is promised then, which rules it takes, and that a broken one does not pass.

The shipped succession holds with a kill at every row; every other one of the list is refuted by what the list says, with a run
that replays, or holds. What makes the exploration finite (numbers counted from the writer's lap) is held to numbers as they
are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.checker import checks, crashes
from ringbuffer.checker.claim import Scope, Verdict
from ringbuffer.checker.claims import check_claims
from ringbuffer.checker.crashes import BENIGN_SUCCESSIONS, FOLLOWED, REFUTED_SUCCESSIONS, judged, questions
from ringbuffer.checker.explore import HOLDS, REFUTED, Result, explore
from ringbuffer.errors import VariantError
from ringbuffer.protocol import PROTOCOL, Flag, Variant, reader_resumes_at
from ringbuffer.protocol.properties import BY_NAME, SUCCESSIVE
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS, Succession
from ringbuffer.recovering import KILLED_AT, Recovering, model_of
from ringbuffer.simulator import ABORT, DEAD, KILL, Model, Setup, Simulation
from ringbuffer.state import ANYONE, ASK, EVICT, REJOIN, TAKE

ROWS = {*(f"W{row}" for row in range(1, 7)), *(f"R{row}" for row in range(1, 5)), "N1", "N2"} | {
    f"T{row}" for row in range(1, 7)
}
WRITER, READER = 0, 1


@cache
def asked(memory: str, readers: int, blocks: int, succession: str = SHIPPED) -> Result:
    size = (readers, blocks)
    return explore(
        readers=readers,
        blocks=blocks,
        memory=memory,
        killed=ANYONE,
        succession=succession,
        aborts=memory == "sc",
        properties=judged(memory, size),
    )


class Run(Simulation):
    """A run by row: ``row(actor)`` takes the first step of its row, ``rows`` several, ``other`` a step about the dead."""

    def __init__(self, succession: str = SHIPPED, readers: int = 1, blocks: int = 2) -> None:
        super().__init__(Setup(readers=readers, blocks=blocks, words=1, killed=ANYONE, succession=succession))

    def until(self, actor: int, row: str) -> Run:
        """Take an actor's rows until it stands at this one; callers do not raise."""
        for _ in range(40):
            if self.stands_at(actor) == row:
                return self
            self.step(
                next(number for number, step in enumerate(self.possible()) if step.choice[0] == actor and step.choice[1] >= 0)
            )
        raise AssertionError(f"actor {actor} never comes to {row}")

    def one(self, actor: int) -> Run:
        self.step(next(n for n, step in enumerate(self.possible()) if step.choice[0] == actor and step.choice[1] >= 0))
        return self

    def about(self, actor: int, detail: int) -> Run:
        self.take((actor, detail, 0))
        return self

    def stands_at(self, actor: int) -> str:
        pc = self.state.actors[actor].pc
        return "dead" if pc == DEAD else self.model.programs[actor][pc].row.id

    def received(self) -> list[int]:
        return [step.value for step in self.steps if "receives" in step.note]


# What holds.


@pytest.mark.parametrize(
    ("memory", "readers", "blocks", "states"),
    [("sc", 1, 1, 555), ("sc", 1, 2, 1815), ("tso", 1, 1, 1213), ("ra", 1, 1, 2384)],
)
def test_the_shipped_succession_holds_with_a_kill_at_every_row(memory: str, readers: int, blocks: int, states: int) -> None:
    result = asked(memory, readers, blocks)
    assert (result.status, result.vacuous, result.states) == (HOLDS, (), states)
    assert {name.removeprefix(KILLED_AT) for name in result.seen if name.startswith(KILLED_AT)} == ROWS
    assert set(SUCCESSIVE) <= set(result.properties)
    assert {partner for name in SUCCESSIVE for partner in BY_NAME[name].partners} <= result.seen


@pytest.mark.parametrize("reductions", [(), ("rotation",), ("symmetry", "payload")])
def test_reductions_change_nothing_but_the_count(reductions: tuple[str, ...]) -> None:
    whole = explore(
        readers=1, blocks=2, killed=ANYONE, reductions=reductions, aborts=False, properties=judged("ra", (1, 2))[:6]
    )
    assert (whole.status, whole.vacuous) == (HOLDS, ())
    broken = explore(
        readers=1, blocks=2, killed=ANYONE, succession="writer-goes-on-as-noted", reductions=reductions, properties=("stale",)
    )
    assert (broken.status, broken.property, len(broken.trace)) == (REFUTED, "undrained", 28)


@pytest.mark.parametrize("succession", BENIGN_SUCCESSIONS)
def test_what_would_do_as_well_is_not_refuted(succession: str) -> None:
    for memory in FOLLOWED:
        result = asked(memory, 1, 1, succession)
        assert result.status == HOLDS
        assert set(result.vacuous) <= {"came-again", "stood-in", "rejoined"}


@pytest.mark.parametrize("edits", ["swap=W1,W2", "initial-read-flag=1", "fence-after=R4,seq-cst", "lock-after=R4"])
def test_benign_tables_are_followed_as_well(edits: str) -> None:
    result = explore(Variant.parse(edits), 1, 1, killed=ANYONE, properties=judged("sc", (1, 1)))
    assert (result.status, result.vacuous) == (HOLDS, ())


# What does not.


@pytest.mark.parametrize(("succession", "memory", "size", "broken"), REFUTED_SUCCESSIONS)
def test_another_succession_is_refuted_by_a_run_that_replays(
    succession: str, memory: str, size: tuple[int, int], broken: str
) -> None:
    result = asked(memory, *size, succession)
    assert (result.status, result.property) == (REFUTED, broken)
    assert result.token is not None
    again = Simulation.replay(result.token)
    assert tuple(again.steps) == result.trace
    assert again.setup.succession == succession
    assert broken == "progress" or broken in again.steps[-1].broken


def test_every_succession_is_listed_and_has_a_letter_of_its_own() -> None:
    listed = [*(name for name, *_ in REFUTED_SUCCESSIONS), *BENIGN_SUCCESSIONS, SHIPPED]
    assert sorted(listed) == sorted(SUCCESSIONS)
    assert len({one.letter for one in SUCCESSIONS.values()}) == len(SUCCESSIONS)
    assert SUCCESSIONS[SHIPPED] == Succession()


@pytest.mark.parametrize(("edits", "broken"), [("swap=W5,W6", "stale"), ("swap=R3,R4", "stale"), ("without=W1", "progress")])
def test_a_broken_table_is_refuted_whoever_follows(edits: str, broken: str) -> None:
    result = explore(Variant.parse(edits), 1, 1, killed=ANYONE, properties=judged("sc", (1, 1)))
    assert (result.status, result.property) == (REFUTED, broken)


@pytest.mark.parametrize(("edits", "broken"), [("without=W3", "misnumbered"), ("swap=R1,R2", "stale")])
def test_what_is_benign_as_long_as_nobody_is_killed_need_not_be_where_somebody_is(edits: str, broken: str) -> None:
    """Without the claim the flags of a block being filled are those of the lap before; a reader's first look may be as old."""
    variant = Variant.parse(edits)
    assert explore(variant, 1, 1).status == HOLDS
    result = explore(variant, 1, 1, killed=ANYONE, properties=judged("sc", (1, 1)))
    assert (result.status, result.property) == (REFUTED, broken)


def test_one_kill_is_not_enough_to_see_that_a_writer_has_to_note_on_taking_over() -> None:
    trace = asked("sc", 1, 2, "writer-does-not-note-on-taking-over").trace
    assert [step.row for step in trace if step.kind == "kill"] == ["N1", "N1", "N1"]


# Single runs.


@pytest.mark.parametrize("row", ["N2", "R4"])
def test_a_message_in_hand_comes_again_and_no_other_does(row: str) -> None:
    run = Run()
    for _ in range(2):
        run.until(WRITER, "N1").one(WRITER)
    run.until(READER, row).about(READER, KILL)
    assert run.state.owed == ((1, 2),)
    run.about(READER, TAKE).until(READER, "R4").one(READER).until(READER, "R4").one(READER)
    assert run.received() == [1, 1, 2]
    assert not any(step.broken for step in run.steps)
    assert not run.state.owed[0]


@pytest.mark.parametrize("row", ["R1", "R2", "R3"])
def test_a_reader_that_is_killed_with_nothing_in_hand_is_followed_without_repeating(row: str) -> None:
    run = Run().until(WRITER, "N1").one(WRITER).until(WRITER, "N1").until(READER, "R4").one(READER)
    run.until(READER, row).about(READER, KILL).about(READER, TAKE).until(READER, "R4")
    assert run.received() == [1, 2]


def test_a_writer_killed_again_and_again_before_its_note_neither_repeats_nor_leaves_out() -> None:
    run = Run(blocks=2)
    for _ in range(4):
        run.until(WRITER, "N1").about(WRITER, KILL).about(WRITER, TAKE).until(WRITER, "W1")
        run.until(READER, "R4").one(READER)
    assert run.received() == [1, 2, 3, 4]
    assert run.state.notes.numbers == (4, 4)
    assert not any(step.broken for step in run.steps)


@pytest.mark.parametrize(("row", "owed"), [("W4", 0), ("W5", 0), ("W6", 0), ("N1", 1)])
def test_what_was_not_published_when_the_writer_was_killed_is_nobodys(row: str, owed: int) -> None:
    run = Run().until(WRITER, row).about(WRITER, KILL)
    assert len(run.state.owed[0]) == owed
    run.about(WRITER, TAKE).until(WRITER, "N1").until(READER, "R4")
    assert run.received() == [1 if owed else 2 if row != "W4" else 1]
    assert not any(step.broken for step in run.steps)


def test_a_stand_in_frees_the_writer_and_gives_way_to_a_newcomer() -> None:
    run = Run(blocks=1).until(WRITER, "N1").one(WRITER).about(READER, KILL)
    assert "waits" in [run.until(WRITER, "W2").one(WRITER).steps[-1].note]
    run.about(READER, EVICT).until(READER, "R4").one(READER)
    assert run.until(WRITER, "N1").one(WRITER).state.owed == ((2,),)
    run.about(READER, REJOIN).until(READER, "R4")
    assert run.received() == [2]
    assert run.state.notes.numbers == (2, 1)


def test_the_stand_in_goes_with_the_writer_and_cannot_be_killed_alone() -> None:
    run = Run().about(READER, KILL).about(READER, EVICT)
    assert (READER, KILL, 0) not in [step.choice for step in run.possible()]
    run.about(WRITER, KILL)
    assert [run.stands_at(actor) for actor in (WRITER, READER)] == ["dead", "dead"]
    assert (READER, EVICT, 0) not in [step.choice for step in run.possible()]


def test_a_reader_is_told_only_when_it_has_looked_again() -> None:
    run = Run().until(READER, "R2").until(WRITER, "N1").about(WRITER, KILL).until(READER, "R3")
    assert (READER, ASK, 0) not in [step.choice for step in run.possible()]
    run.until(READER, "R4").one(READER).about(READER, ASK)
    told = [
        any("told" in step.seen for step in run.possible()),
        any("told" in step.seen for step in run.one(READER).possible()),
    ]
    assert told == [False, True]


def test_a_dead_ones_store_buffer_drains_before_its_role_is_taken() -> None:
    run = Simulation(Setup(readers=1, blocks=1, words=1, killed=ANYONE, memory="tso"))
    run.step(0)
    run.step(0)
    run.take((WRITER, KILL, 0))
    details = [step.choice[1] for step in run.possible() if step.choice[0] == WRITER]
    assert TAKE not in details
    run.step(next(n for n, step in enumerate(run.possible()) if step.choice[0] == WRITER))
    assert TAKE in [step.choice[1] for step in run.possible() if step.choice[0] == WRITER]


# Numbers.


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(sorted(SUCCESSIONS)),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from(["sc", "tso"]),
    st.integers(0, 2**32),
)
def test_numbers_counted_from_the_lap_are_the_numbers_but_for_whole_laps(
    succession: str, readers: int, blocks: int, memory: str, seed: int
) -> None:
    """So the model that is explored takes the very steps of the one that counts from the beginning."""
    setup = Setup(readers=readers, blocks=blocks, words=2, killed=ANYONE, succession=succession, memory=memory)
    run, model, exact = Simulation(setup), model_of(setup), model_of(setup, lasting=True)
    state, real = model.initial(), exact.initial()
    for step in run.run(seed, 60):
        ours = model.transitions(state)
        if model.memory.capped:
            return
        theirs = exact.transitions(real)
        assert [(t.choice, t.broken, t.seen, t.progress) for t in ours] == [
            (t.choice, t.broken, t.seen, t.progress) for t in theirs
        ]
        state, real = ours[step.choice].state, theirs[step.choice].state
    counted, lasting = state.notes, real.notes
    assert lasting == run.state.notes
    apart = {
        mine - theirs
        for one, other in ((counted.numbers, lasting.numbers), (counted.noted, lasting.noted))
        for mine, theirs in zip(one, other, strict=True)
    }
    assert len(apart) == 1
    assert apart.pop() % blocks == 0
    assert 0 <= counted.numbers[0] < blocks
    assert (counted.holders, counted.knows) == (lasting.holders, lasting.knows)


@given(st.integers(0, 1 << 62), st.booleans())
def test_at_position_0_the_rule_says_what_it_would_say_further_on(holds: int, is_unread: bool) -> None:
    """Numbers counted on are no others to it: no message has the number -1."""
    assert reader_resumes_at(0, is_unread=is_unread, holds=holds) == 0
    assert reader_resumes_at(1000, is_unread=is_unread, holds=1000 + holds) == 1000


# Questions, and the claim.


def test_only_who_may_be_followed_has_the_rows_of_taking_over() -> None:
    assert type(model_of(Setup(killed="reader"))) is Model
    model = model_of(Setup(killed=ANYONE))
    assert isinstance(model, Recovering)
    assert {one.row.id for program in model.programs for one in program.instructions} == ROWS
    assert [row.access.flag for row in PROTOCOL.writer.rows].count(Flag.POSITION) == 0


@pytest.mark.parametrize("more", [{"writers": 2}, {"twins": 1}])
def test_one_holder_has_each_role(more: dict[str, int]) -> None:
    with pytest.raises(VariantError, match="each role has one holder"):
        Setup(killed=ANYONE, **more)  # type: ignore[arg-type]


def test_an_unknown_succession_is_refused() -> None:
    with pytest.raises(VariantError, match="unknown succession 'nobody'; there are shipped"):
        Setup(killed=ANYONE, succession="nobody")


def test_callers_may_raise_where_anyone_is_killed() -> None:
    run = Run().until(WRITER, "W4")
    run.take((WRITER, ABORT, 0))
    assert run.stands_at(WRITER) == "W1"
    assert run.state.notes.numbers == (0, 0)


def claimed(monkeypatch: pytest.MonkeyPatch, **instead: object) -> Verdict:
    """The claim, asked otherwise about those who are followed."""
    real = checks.ask

    def ask(*arguments: object, **options: object) -> Result:
        followed = options["killed"] == ANYONE
        found = real(*arguments, **{**options, **(instead if followed else {})})  # type: ignore[arg-type]
        return replace(found, seen=found.seen - {f"{KILLED_AT}T2"}) if followed and not instead else found

    monkeypatch.setattr(crashes, "ask", ask)
    (found,) = check_claims(Scope(size=(1, 1)), ("crash-safe",), lambda *_: None)
    return found


def test_the_claim_is_unknown_where_a_row_was_never_anybodys_last(monkeypatch: pytest.MonkeyPatch) -> None:
    found = claimed(monkeypatch)
    assert (found.status, found.note) == ("unknown", "never seen, so not tried: killed at T2")


def test_the_claim_is_unknown_where_nobody_was_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = claimed(monkeypatch, succession="nobody-is-evicted")
    assert (found.status, found.note) == ("unknown", "never seen, so not tried: stood-in, rejoined")


def test_the_claim_is_refuted_for_another_succession(monkeypatch: pytest.MonkeyPatch) -> None:
    found = claimed(monkeypatch, succession="writer-goes-on-one-further")
    assert (found.status, found.note, found.bound) == ("refuted", "misnumbered: refuted", "sc 1×1, anyone killed and followed")
    assert found.counterexample is not None
    assert "is killed before this access" in found.counterexample


def test_each_memory_is_asked_about_the_dead_who_are_followed() -> None:
    for full in (False, True):
        followed = [one for one in questions(Scope(full=full)) if one.killed == ANYONE]
        assert {one.memory for one in followed} == {"sc", "tso", "ra"}
        assert ("sc", (2, 2)) in {(one.memory, one.size) for one in followed}
