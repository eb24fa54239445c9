"""Each simulated memory gives the literature's verdict on each litmus test, and so do the axioms."""

from __future__ import annotations

from itertools import product

import axioms
import pytest
from catalogue import CATALOGUE, LIMITS, MEMORIES, RACES, Litmus
from program import in_words, outcome, parse
from runner import as_atomic, run

QUESTIONS = [pytest.param(litmus, memory, id=f"{litmus.name}-{memory}") for litmus, memory in product(CATALOGUE, MEMORIES)]


@pytest.mark.parametrize(("litmus", "memory"), QUESTIONS)
def test_a_memory_allows_what_the_literature_allows(litmus: Litmus, memory: str) -> None:
    assert run(memory, litmus.threads).allows(litmus.wanted) == litmus.allowed(memory)


@pytest.mark.parametrize(("litmus", "memory"), QUESTIONS)
def test_a_memory_has_the_outcomes_that_the_axioms_have(litmus: Litmus, memory: str) -> None:
    judged = axioms.judge(memory, litmus.threads)
    assert any(litmus.wanted <= outcome for outcome in judged.outcomes) == litmus.allowed(memory)
    assert run(memory, litmus.threads).outcomes == judged.outcomes


@pytest.mark.parametrize(("name", "text", "asked", "allowed_by", "source"), LIMITS, ids=[limit[0] for limit in LIMITS])
def test_what_the_model_cannot_show(name: str, text: str, asked: str, allowed_by: str, source: str) -> None:
    """A limit is a fact about the model like any other: if it goes, the text about it must go too."""
    threads, wanted = parse(text), outcome(asked)
    models = ("ra", "rc11", "c11")
    allowed = {model: any(wanted <= found for found in axioms.judge(model, threads).outcomes) for model in models}
    assert allowed == {model: models.index(model) >= models.index(allowed_by) for model in models}, f"{name}: {source}"
    for memory in MEMORIES:
        assert not run(memory, threads).allows(wanted)


@pytest.mark.parametrize("litmus", CATALOGUE, ids=lambda litmus: litmus.name)
def test_what_the_model_shows_is_allowed_by_the_language(litmus: Litmus) -> None:
    """On the literature's tests, but for the limits, it is all that RC11 allows."""
    ra, rc11, c11 = (axioms.judge(model, litmus.threads).outcomes for model in ("ra", "rc11", "c11"))
    assert ra == rc11 <= c11


@pytest.mark.parametrize("litmus", CATALOGUE, ids=lambda litmus: litmus.name)
def test_a_stronger_memory_shows_nothing_that_a_weaker_one_does_not(litmus: Litmus) -> None:
    """Sewell 2010 and Lahav 2016: sc is within tso, and tso within release/acquire."""
    sc, tso, ra = (run(memory, litmus.threads).outcomes for memory in MEMORIES)
    assert sc <= tso <= ra


@pytest.mark.parametrize(("name", "text", "races", "source"), RACES, ids=[name for name, *_ in RACES])
def test_a_race_is_seen_where_happens_before_does_not_order(name: str, text: str, races: bool, source: str) -> None:
    threads = parse(text)
    judged, seen = axioms.judge("ra", threads), run("ra", threads)
    assert judged.raced == races, f"{name}: {source}"
    assert seen.raced == races
    assert races or seen.outcomes == judged.outcomes


@pytest.mark.parametrize("text", [text for _, text, *_ in RACES])
def test_memories_that_judge_no_races_report_none(text: str) -> None:
    threads = parse(text)
    for memory in ("sc", "tso", "ra-relaxed"):
        assert not run(memory, threads).raced
    for memory in ("sc", "tso"):
        assert run(memory, threads).outcomes == axioms.judge(memory, threads).outcomes


@pytest.mark.parametrize("text", [text for _, text, *_ in RACES])
def test_relaxed_payload_words_are_relaxed_atomic_locations(text: str) -> None:
    threads = parse(text)
    atomic = as_atomic("ra-relaxed", threads)
    assert run("ra-relaxed", threads).outcomes == run("ra", atomic).outcomes == axioms.judge("ra", atomic).outcomes


def test_relaxed_payload_shows_the_wrong_value_instead_of_a_race() -> None:
    threads = parse("fill d=1; x=1 || r1=x.acq; if r1=1: r2=read d")
    assert {dict(outcome)["r2"] for outcome in run("ra-relaxed", threads).outcomes if dict(outcome)["r1"]} == {0, 1}
    ordered = parse("fill d=1; x=1.rel || r1=x.acq; if r1=1: r2=read d")
    for memory in ("sc", "tso", "ra", "ra-relaxed"):
        assert {dict(outcome)["r2"] for outcome in run(memory, ordered).outcomes if dict(outcome)["r1"]} == {1}


@pytest.mark.parametrize("litmus", CATALOGUE, ids=lambda litmus: litmus.name)
def test_a_litmus_test_in_words_is_read_back(litmus: Litmus) -> None:
    assert parse(in_words(litmus.threads)) == litmus.threads


def test_names_are_unique_and_every_verdict_has_a_source() -> None:
    for names in ([litmus.name for litmus in CATALOGUE], [name for name, *_ in RACES]):
        assert len(set(names)) == len(names)
    assert all(litmus.source for litmus in CATALOGUE)


def test_what_makes_no_sense_is_no_litmus_test() -> None:
    with pytest.raises(ValueError, match="no access: 'x<-1'"):
        parse("x<-1")
