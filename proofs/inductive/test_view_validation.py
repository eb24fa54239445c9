"""The encoder of release/acquire that the proofs read is the explorer's: walked in lockstep, shipped tables and edited ones.

Rules: counts are pinned; of the shipped tables every way in which a row goes on was taken, and every row that can load an old
store did; each fault that is planted in the encoder is found; and each conjunct that release/acquire needs besides is found
false somewhere. Limits: rings of at most two readers and two blocks, and no more fills or pairs than each test says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import cast

import pytest

from ringbuffer.errors import VariantError
from ringbuffer.model import Model
from ringbuffer.proof.invariant import Conjunct
from ringbuffer.proof.logic import Sort, Term
from ringbuffer.proof.relation import Loaded, Neighbours
from ringbuffer.proof.statements import OfSteps
from ringbuffer.proof.view_states import Timed, Unforgetting, image, start
from ringbuffer.proof.view_validation import STATES, ViewComparison, compare, validate
from ringbuffer.proof.views import FIELDS, Views
from ringbuffer.proof.vocabulary import State, Table, Who
from ringbuffer.proof.weak_invariant import FURTHER, RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL, Access, Variant
from ringbuffer.state import Setup

# The shipped tables.

COMPLETE = {
    (1, 1, 1, 3): (308, 841, 8),
    (1, 1, 2, 1): (78, 212, 4),
    (1, 2, 1, 2): (303, 887, 4),
    (2, 1, 1, 1): (956, 4370, 4),
}
"""Rings of readers × blocks × words, and how many fills begin; pairs of states, transitions, and the longest history.

The first goes on until the fourth fill is about to begin, in the writer's fourth lap.
"""
validated = cache(validate)


@pytest.mark.parametrize(("readers", "blocks", "words", "fills"), COMPLETE)
def test_the_encoder_is_the_explorer_and_all_that_is_proved_holds(readers: int, blocks: int, words: int, fills: int) -> None:
    found = validated(readers, blocks, words, fills=fills)
    assert found.fault is None
    assert found.complete
    assert found.beyond, "the walk ends at the bound on fills, not before"
    assert (found.pairs, found.transitions, found.longest) == COMPLETE[readers, blocks, words, fills]
    assert not found.broken


def test_so_it_is_at_the_beginning_of_larger_runs() -> None:
    found = validated(2, 2, 1, pairs_max=100)
    assert found.fault is None
    assert not found.complete


def test_every_way_in_which_a_row_goes_on_is_taken_and_old_stores_are_loaded() -> None:
    """So no obligation about a row is vacuous, nor are the histories: R1, R2 and W2 do load what is not the newest.

    W1 does not, because nobody but the writer stores to the written flag; and no store is put before another's.
    """
    several, words = validated(2, 1, 1, fills=1), validated(1, 1, 2, fills=1)
    assert several.offered == words.offered
    assert not several.untaken & words.untaken
    assert several.stale == {"R1", "R2", "W2"}
    assert not several.early


def test_read_flags_may_start_as_1() -> None:
    found = compare(PROTOCOL.replace(initial_read_flag=1), fills=2, states=STATES)
    assert found.fault is None
    assert found.complete


# The initial state.


def _start(flag: int = 0) -> tuple[Model, Unforgetting, Timed, Views, State]:
    setup = Setup(PROTOCOL.replace(initial_read_flag=flag), 2, 2, 1, memory="ra")
    memory = Unforgetting(setup.shape, setup.variant)
    model, logic = Model(setup, lasting=True, memory=memory), Timed(2, 2, 1, 1)
    relation = Views(setup.variant, logic, Neighbours.of(2))
    return model, memory, logic, relation, start(logic, model.initial(), flag)


@pytest.mark.parametrize("flag", [0, 1])
def test_the_initial_state_is_the_explorers(flag: int) -> None:
    model, memory, logic, relation, state = _start(flag)
    assert relation.initial(state)
    assert image(logic, state) == memory.image(model.initial(), flag)


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"log"}))
def test_a_state_with_any_other_value_is_not_initial(name: str) -> None:
    """Of the log, and of what a store tells that tells nothing, nothing is said."""
    _, _, _, relation, state = _start()
    values = cast("Table", state[name]).values
    assert bool(values) != (".tells." in name)
    for key, value in values.items():
        assert not relation.initial(state.put(name, key, 1 - value))


@pytest.mark.parametrize("name", ["written", "read"])
def test_a_state_with_another_store_is_not_initial(name: str) -> None:
    _, _, _, relation, state = _start()
    at = (0,) if name == "written" else (0, 0)
    for time in (-1, 1):
        assert not relation.initial(state.put(f"{name}.stored", (*at, time), True))
        assert not relation.initial(state.put(f"{name}.tells", (*at, time), True))


# Edited tables, up to the first fault of each run.

EDITED = (
    ("weaken=W2", (1, 1), "race"),
    ("weaken=W5", (1, 1), "race"),
    ("weaken=W6", (1, 1), "race"),
    ("weaken=R1", (1, 1), "race"),
    ("weaken=R2", (1, 1), "race"),
    ("weaken=R4", (1, 1), "race"),
    ("weaken=R1", (1, 2), ""),
    ("swap=W5,W6", (1, 1), "stale"),
    ("without=R1", (1, 1), "exclusion race stale"),
    ("without=R1", (1, 2), "exclusion race stale"),
    ("missing-readers=1", (1, 1), "exclusion overwritten race"),
    ("missing-readers=2 flip=W1", (2, 1), ""),
    ("advance=writer,0", (1, 2), ""),
    ("retarget=W2,but-last", (1, 1), "exclusion overwritten race"),
    ("retarget=W2,but-last flip=W1 initial-read-flag=1", (2, 1), "exclusion overwritten"),
    ("retarget=R4,neighbour", (2, 1), ""),
    ("without=R4 without=W2", (1, 1), "stale"),
    ("policy=scan", (1, 2), ""),
)
"""Edits, each on a ring of readers × blocks with payloads of one word, and what is broken within the bound on pairs."""
PAIRS_MAX_OF_EDITED = {1: 240, 2: 100}
"""By the number of readers; with one, most of these walks are complete."""


@cache
def edited(edits: str, readers: int, blocks: int) -> ViewComparison:
    return compare(Variant.parse(*edits.split()), readers, blocks, pairs_max=PAIRS_MAX_OF_EDITED[readers])


@pytest.mark.parametrize(("edits", "ring", "broken"), EDITED)
def test_an_edited_table_is_encoded_as_it_is_explored(edits: str, ring: tuple[int, int], broken: str) -> None:
    found = edited(edits, *ring)
    assert found.fault is None
    assert " ".join(sorted(found.broken)) == broken


def test_stores_are_put_before_others_where_nobody_has_seen_those() -> None:
    """Of the shipped tables none is: here the writer clears a flag that its reader may have set already, and is not told."""
    assert edited("swap=W5,W6", 1, 1).early == {"W5", "R4"}


@pytest.mark.parametrize("edit", ["fence-before=R4,release", "lock-before=R4", "lock-before=R4 without=L1"])
def test_fences_and_locks_are_refused(edit: str) -> None:
    with pytest.raises(VariantError, match="release/acquire"):
        compare(Variant.parse(*edit.split()))


# Planted faults.

Key = tuple[Term, ...]


class NoJoin(Views):
    """An acquire load takes nothing over."""

    def _join(self, state: State, *_: object) -> State:
        return state


class JoinsWhatIsTold(Views):
    """An acquire load takes over what is told even where it is older."""

    def _join(self, state: State, who: Who, name: str, at: Key) -> State:
        told = state[f"{name}.tells.written"]
        joined = super()._join(state, who, name, at)
        if not state[f"{name}.tells"](*at):
            return joined
        return joined.put_all(who.field("sees.written"), who.key(), lambda b: told(*at, b))


class JoinsFlagsOnly(Views):
    """An acquire load learns nothing of the payload."""

    def _join(self, state: State, who: Who, name: str, at: Key) -> State:
        joined = super()._join(state, who, name, at)
        return State(self.logic, {**joined.functions, "reader.sees.fills": state["reader.sees.fills"]})


class TellsNothing(Views):
    """A release store tells nothing."""

    def _tell(self, state: State, _: Who, name: str, at: Key) -> State:
        return state.put(f"{name}.tells", at, False)


class TellsWhatItSaw(Views):
    """A release store tells what its actor saw of that flag before."""

    def stores(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        old = state.of(who, f"sees.{name}", *key)
        for guard, value, after in super().stores(state, who, access, name, key):
            at = (*key, self.logic.any(Sort.TIME, "stored")[0])
            yield Loaded(guard, value, after.put(f"{name}.tells.{name}", (*at, *key), old))


class AtTheEnd(Views):
    """A store may only go behind all others."""

    def stores(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time, stored = self.logic.any(Sort.TIME, "stored")[0], state[f"{name}.stored"]
        last = self.logic.for_all((Sort.TIME,), lambda t: t < time or not stored(*key, t))
        for guard, value, after in super().stores(state, who, access, name, key):
            yield Loaded(guard and last, value, after)


class Anywhere(Views):
    """A store may go before what its actor has seen."""

    def stores(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time, stored = self.logic.any(Sort.TIME, "stored")[0], state[f"{name}.stored"]
        for _, value, after in super().stores(state, who, access, name, key):
            yield Loaded(not stored(*key, time), value, after)


class InPlaceOfAnother(Views):
    """A store may take the time of another."""

    def stores(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time = self.logic.any(Sort.TIME, "stored")[0]
        for _, value, after in super().stores(state, who, access, name, key):
            yield Loaded(time > state.of(who, f"sees.{name}", *key), value, after)


class LoadsTheNewest(Views):
    """A load returns the newest store."""

    def loads(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time, stored = self.logic.any(Sort.TIME, "loaded")[0], state[f"{name}.stored"]
        last = self.logic.for_all((Sort.TIME,), lambda t: t <= time or not stored(*key, t))
        for guard, value, after in super().loads(state, who, access, name, key):
            yield Loaded(guard and last, value, after)


class LoadsTheOldest(Views):
    """A load may return a store that its actor has passed."""

    def loads(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time = self.logic.any(Sort.TIME, "loaded")[0]
        for _, value, after in super().loads(state, who, access, name, key):
            yield Loaded(state[f"{name}.stored"](*key, time), value, after)


class LoadsNothing(Views):
    """A load may return what was never stored."""

    def loads(self, state: State, who: Who, access: Access, name: str, key: Key) -> Iterator[Loaded]:
        time = self.logic.any(Sort.TIME, "loaded")[0]
        for _, _, after in super().loads(state, who, access, name, key):
            yield Loaded(time >= state.of(who, f"sees.{name}", *key), 0, after)


class ReadersDoNotRace(Views):
    """A race is found at the writer's accesses only."""

    def touches(self, state: State, who: Who) -> tuple[State, dict[str, Term]]:
        after, broken = super().touches(state, who)
        return after, broken if who.is_writer else {"race": False}


class WritersDoNotRace(Views):
    """A race is found at a reader's accesses only."""

    def touches(self, state: State, who: Who) -> tuple[State, dict[str, Term]]:
        after, broken = super().touches(state, who)
        return after, {"race": False} if who.is_writer else broken


class NotCounted(Views):
    """An access to the payload is not one more."""

    def touches(self, state: State, who: Who) -> tuple[State, dict[str, Term]]:
        return state, super().touches(state, who)[1]


PLANTED = (
    (NoJoin, "", "reader 0 at R1, detail 0, alternative 1: the view of reader 0 becomes"),
    (JoinsWhatIsTold, "", "writer at W2, detail 0, alternative 0: the view of writer becomes"),
    (JoinsFlagsOnly, "", "the view of reader 0 becomes"),
    (TellsNothing, "", "writer at W5, detail 0, alternative 0: the history of read[0][0] becomes"),
    (TellsWhatItSaw, "", "writer at W5, detail 0, alternative 0: the history of read[0][0] becomes"),
    (AtTheEnd, "swap=W5,W6", "alternative 0: only the explorer can take this step"),
    (Anywhere, "", "writer at W3, detail 0, alternative -1: only the encoder can take this step"),
    (InPlaceOfAnother, "swap=W5,W6", "the encoder can take it in two ways, at 1 and 2"),
    (LoadsTheNewest, "", "reader 0 at R2, detail 0, alternative 0: only the explorer can take this step"),
    (LoadsTheOldest, "", "writer at W1, detail 0, alternative -1: only the encoder can take this step"),
    (LoadsNothing, "", "the encoder can take it in two ways, at 0 and 1"),
    (ReadersDoNotRace, "weaken=W6", "reader 0 at R3, detail 0, alternative 0: it breaks nothing to the encoder, and race"),
    (WritersDoNotRace, "weaken=R4", "writer at W4, detail 0, alternative 0: it breaks nothing to the encoder, and race"),
    (NotCounted, "", "writer at W4, detail 0, alternative 0: the view of reader 0 becomes"),
)


@pytest.mark.parametrize(("encoder", "edits", "text"), PLANTED)
def test_a_planted_fault_is_found(encoder: type[Views], edits: str, text: str) -> None:
    found = compare(Variant.parse(*edits.split()), encoder=encoder)
    assert text in str(found)
    assert not found.complete


def test_a_wrong_initial_state_is_found() -> None:
    class Elsewhere(Views):
        def initial(self, state: State) -> Term:
            return super().initial(state) and state["begun"]() == 1

    assert "the explorer's initial state is none of the encoder's" in str(compare(encoder=Elsewhere))


# What is watched.

FALSE_OF = {
    "histories-end": "retarget=R4,written",
    "what-is-seen": "retarget=R4,written",
    "what-is-told": "retarget=R4,written",
    "own-marks": "flip=W5",
    "marks-are-new": "flip=W5",
    "readers-know": "weaken=R2",
    "publishing-tells": "weaken=W6",
    "free-is-known": "weaken=W2",
    "visited-is-known": "without=W1 without=R1 flip=R2 initial-read-flag=1",
    "never-published": "swap=W5,W6",
    "clearing-tells": "weaken=W5",
    "not-misled": "weaken=R1",
    "marks-tell": "weaken=R4",
}
"""Edits, of which each lets a conjunct be false before any property is broken: so it is not true of just anything."""


@pytest.mark.parametrize("name", FALSE_OF)
def test_each_conjunct_is_false_of_an_edited_table(name: str) -> None:
    conjunct = next(one for one in FURTHER if one.name == name)
    readers = 2 if name == "visited-is-known" else 1
    found = compare(Variant.parse(*FALSE_OF[name].split()), readers, 1, 1, states=[conjunct])
    assert f"{name} does not hold in the state" in str(found)


@pytest.mark.parametrize(
    ("name", "field", "key", "value"), [("values", "read.value", (1, 0, 0), 2), ("own-accesses", "fills", (1,), 1)]
)
def test_the_others_are_false_of_a_state_that_no_table_leads_to(
    name: str, field: str, key: tuple[int, ...], value: int
) -> None:
    _, _, logic, relation, state = _start()
    conjunct = next(one for one in FURTHER if one.name == name)
    assert conjunct.formula(RELEASE_ACQUIRE.facts(relation, state), logic)
    assert not conjunct.formula(RELEASE_ACQUIRE.facts(relation, state.put(field, key, value)), logic)
    assert {one.name for one in FURTHER} == FALSE_OF.keys() | {"values", "own-accesses"}


def test_a_false_conjunct_or_statement_is_found() -> None:
    few = Conjunct("few", "at most one fill has begun", lambda f, _: f.begun < 2)
    assert "few does not hold in the state" in str(compare(states=[*STATES, few]))
    silent = OfSteps("silent", "nothing is delivered", lambda f, step: step.delivers and f.logic.true)
    assert "reader 0 at R3, detail 0, alternative 0: it breaks silent" in str(compare(steps=[silent]))
