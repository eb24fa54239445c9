"""The explorer page's graphs: they are the model's, step by step, and what is said of them is true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringbuffer.checker.explore import REFUTED, explore
from ringbuffer.cli import main
from ringbuffer.errors import GeometryError
from ringbuffer.explorer import menu, pack
from ringbuffer.explorer import page as pages
from ringbuffer.explorer.menu import OFFERS, Combination, combinations
from ringbuffer.explorer.pack import unpack
from ringbuffer.model import Model
from ringbuffer.protocol import Kind, Variant, classify
from ringbuffer.protocol.properties import ALL, LIVENESS, SAFETY
from ringbuffer.state import FLUSH, State

EVERY = {one.id: one for one in combinations()}
GRAPHS = (
    "shipped/sc/2/1",
    "shipped/tso/1/1",
    "shipped/ra/1/1",
    "scan/sc/1/2",
    "swap-w5-w6/sc/1/1",
    "swap-r3-r4/ra/1/1",
    "one-missing/sc/1/1",
    "without-w2/sc/1/2",
    "relaxed-w5/ra/1/1",
)


@pytest.fixture(scope="module")
def packed() -> dict[str, pack.Packed]:
    return {name: pack.pack(EVERY[name]) for name in GRAPHS}


@pytest.fixture(scope="module")
def graphs(packed: dict[str, pack.Packed]) -> dict[str, dict[str, Any]]:
    return {name: unpack(one.graph) for name, one in packed.items()}


def first_of(graph: dict[str, Any]) -> list[int]:
    first = [0]
    for count in graph["counts"]:
        first.append(first[-1] + count)
    return first


def states_of(name: str, graph: dict[str, Any]) -> tuple[Model, dict[int, State]]:
    """The model's state behind every number, found by walking; each step is compared with the model's on the way."""
    model, first = Model(EVERY[name].setup), first_of(graph)
    states = {0: model.initial()}
    queue = [0]
    for number in queue:
        steps = model.transitions(states[number])
        assert graph["counts"][number] == len(steps), (name, number)
        for place, step in enumerate(steps):
            actor, row, _, _, kind, _, broken = graph["steps"][graph["what"][first[number] + place]]
            me = states[number].actors[step.choice[0]]
            expected = model.programs[step.choice[0]][me.pc].row
            assert actor == step.choice[0]
            assert (row, kind) == (("⇣", "flush") if step.choice[1] == FLUSH else (expected.id, expected.access.kind.value))
            assert broken == list(step.broken)
            distance = graph["to"][first[number] + place]
            if distance is None:
                continue
            target = number + distance
            if target not in states:
                states[target] = step.state
                queue.append(target)
            assert states[target] == step.state, (name, number, place)
    return model, states


@pytest.mark.parametrize("name", GRAPHS)
def test_every_step_is_the_models_and_no_two_states_are_one(graphs: dict[str, dict[str, Any]], name: str) -> None:
    graph = graphs[name]
    model, states = states_of(name, graph)
    assert len(states) == len(graph["counts"]), "every state is reached"
    assert len(set(states.values())) == len(states)
    blocks, actors = model.setup.blocks, len(model.programs)
    for number, state in states.items():
        row = [column[number] for column in graph["columns"]]
        for block in range(blocks):
            flags, case, words, mixed = graph["blocks"][row[block]]
            assert flags == list(model.memory.entry(state.memory, block))
            assert case == int(classify(flags))
            payload = model.memory.payload(state.memory, block)
            assert mixed == (payload[0] != payload[1])
            for (text, kind), word in zip(words, payload, strict=True):
                owing = [rank for rank, queue in enumerate(state.owed) if word in queue]
                assert (kind in ("due", "later")) == bool(owing)
                assert all(str(rank) in text for rank in owing)
                assert (kind == "empty") == (word == 0)
        for actor in range(actors):
            pc, block, inside, _ = graph["actors"][row[blocks + actor]]
            assert (pc, block) == state.actors[actor][:2]
            assert inside == model.programs[actor][pc].row.is_payload


@pytest.mark.parametrize("name", [name for name in GRAPHS if name.startswith(("shipped", "without-w2"))])
def test_there_are_as_many_states_as_the_explorer_finds(packed: dict[str, pack.Packed], name: str) -> None:
    one = EVERY[name]
    setup, about = one.setup, packed[name].about
    result = explore(
        setup.variant,
        one.readers,
        one.blocks,
        memory=one.memory,
        words=2,
        aborts=setup.aborts,
        reductions=(),
        properties=SAFETY,
    )
    assert (result.status, result.complete) == ("holds", True)
    assert about["sound"] == about["states"] == result.states
    assert about["steps"] == result.transitions


@pytest.mark.parametrize("name", GRAPHS)
def test_a_step_is_left_out_only_behind_a_fault(
    packed: dict[str, pack.Packed], graphs: dict[str, dict[str, Any]], name: str
) -> None:
    graph, first, sound = graphs[name], first_of(graphs[name]), packed[name].about["sound"]
    assert None not in graph["to"][: first[sound]]


@pytest.mark.parametrize("name", GRAPHS)
def test_each_counterexample_breaks_what_the_explorer_says_in_as_few_steps(
    graphs: dict[str, dict[str, Any]], name: str
) -> None:
    graph, first, setup = graphs[name], first_of(graphs[name]), EVERY[name].setup
    for example in graph["examples"]:
        numbers, broken = [0], []
        for place in example["path"]:
            at = first[numbers[-1]] + place
            broken = graph["steps"][graph["what"][at]][6]
            numbers.append(numbers[-1] + graph["to"][at])
        wanted = (example["property"],)
        asked = explore(
            setup.variant,
            setup.readers,
            setup.blocks,
            memory=setup.memory,
            words=2,
            aborts=setup.aborts,
            properties=wanted,
            reductions=() if wanted[0] not in LIVENESS else ("settled",),
        )
        assert (asked.status, asked.property) == (REFUTED, wanted[0])
        if wanted[0] in LIVENESS:
            assert numbers[-1] == numbers[example["cycle"] - 1], "it comes back to where it began"
            assert example["starved"]
        else:
            assert wanted[0] in broken
            assert len(example["path"]) == len(asked.trace)


def test_what_explore_refutes_has_a_counterexample(graphs: dict[str, dict[str, Any]]) -> None:
    for name, graph in graphs.items():
        one = EVERY[name]
        found = explore(one.offer.variant, one.readers, one.blocks, memory=one.memory, words=2, aborts=one.setup.aborts)
        assert bool(graph["examples"]) == (found.status == REFUTED), name
        if found.property is not None:
            assert found.property in {example["property"] for example in graph["examples"]}


@pytest.mark.parametrize("name", ["shipped/sc/2/1", "shipped/ra/1/1", "shipped/tso/1/1", "scan/sc/1/2", "without-w2/sc/1/2"])
def test_who_waits_gets_nowhere_alone_and_the_others_do(graphs: dict[str, dict[str, Any]], name: str) -> None:
    graph = graphs[name]
    model, states = states_of(name, graph)
    actors, seen = len(model.programs), set()
    for number, state in states.items():
        for actor in range(actors):
            text = graph["waits"][graph["columns"][model.setup.blocks + actors + actor][number]]
            looks = [one.pc for one in model.programs[actor].instructions if one.row.access.kind is Kind.LOAD]
            reached, todo = {state}, [state]
            for current in todo:
                for step in model.row_steps(current, actor):
                    if step.state not in reached and step.state.actors[actor].pc in looks:
                        todo.append(step.state)
                    reached.add(step.state)
            free = any(one.actors[actor].pc not in looks for one in reached)
            assert bool(text) == (not free), (number, actor, text)
            seen.add(bool(text))
            assert not text or model.actor_name(actor) in text.lower()
    assert seen == {True, False}


def test_reasons_name_the_row_that_helps_or_say_that_none_does(graphs: dict[str, dict[str, Any]]) -> None:
    shipped = "\n".join(graphs["shipped/sc/2/1"]["waits"])
    assert "Reader 0 waits: R2 finds written of block 0 at 0. The writer changes that with W6 (publish)." in shipped
    assert (
        "Reader 1 waits: R1 finds read[1] of block 0 at 1. The writer changes that with W5 (clear the read flags)." in shipped
    )
    assert "The writer waits: W2 finds read[1] of block 0 at 0. Reader 1 changes that with R4 (mark as read)." in shipped
    assert "in the store buffer of the writer" in "\n".join(graphs["shipped/tso/1/1"]["waits"])
    never = [text for text in graphs["without-w2/sc/1/2"]["waits"] if "for ever" in text]
    assert never == [
        "The writer waits: W1 finds written of block 0 at 1. Nobody ever stores anything else there: it waits for ever."
    ]


def test_views_and_buffers_are_shown(graphs: dict[str, dict[str, Any]]) -> None:
    view = [line for _, lines in graphs["relaxed-w5/ra/1/1"]["memories"] for line in lines]
    assert any("may find an older 0, or the newest 1" in line for line in view)
    assert any("would be a race" in line for line in view)
    buffers = [lines for _, lines in graphs["shipped/tso/1/1"]["memories"]]
    assert ["written of block 0 ← 0", "word 0 of block 0 ← being filled"] in buffers
    old = [step for step in graphs["relaxed-w5/ra/1/1"]["steps"] if "not the newest" in step[2]]
    assert old
    assert all("on its way" in step[3] for step in old)


def test_ids_are_safe_in_an_address_and_weak_offers_are_only_for_weak_memories() -> None:
    assert len(EVERY) == len(OFFERS) * 12
    for offer in OFFERS:
        assert set(offer.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert Variant.parse(*map(str, offer.variant.edits)) == offer.variant
    assert {one.offer.id for one in EVERY.values() if one.pointless} == {"relaxed-w6", "relaxed-r4", "relaxed-w5"}
    assert {one.memory for one in EVERY.values() if one.offer.weak and not one.pointless} == {"ra"}


def test_what_is_too_large_is_left_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "STATES_MAX", 52)
    left = pack.pack(EVERY["shipped/sc/1/1"])
    assert (left.about, left.graph) == ({"left_out": "left out: it has more than 52 states"}, "")
    monkeypatch.setattr(pack, "STATES_MAX", 53)
    assert pack.pack(EVERY["shipped/sc/1/1"]).about["states"] == 53
    assert menu.STATES_MAX > 53


def test_the_page_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [EVERY["shipped/sc/1/1"]]
    size = len(pages.page(chosen).encode())
    monkeypatch.setattr(pages, "PAGE_BYTES_MAX", size)
    with pytest.raises(GeometryError, match=f"the page has {size} bytes"):
        pages.page(chosen)


def test_the_same_tables_give_the_same_bytes() -> None:
    names = ["swap-w5-w6/sc/1/1", "relaxed-w5/ra/1/1", "shipped/tso/1/1"]
    here = pages.page([EVERY[name] for name in names])
    code = (
        "import sys; from ringbuffer.explorer.menu import combinations; from ringbuffer.explorer.page import page;"
        f"sys.stdout.buffer.write(page([one for one in combinations() if one.id in {names!r}]).encode())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    there = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=120, check=True)
    assert there.stdout == here.encode()
    assert "http://" not in here
    assert "https://" not in here


def test_the_command_writes_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pages, "combinations", lambda: iter([EVERY["shipped/sc/1/1"]]))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert main(["spec", "--html", str(tmp_path / "ring.html")]) == 0
    assert (tmp_path / "ring.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(SystemExit):
        main(["spec", "--html", "x", "--check"])


def test_every_property_and_case_has_words() -> None:
    page = pages.page([Combination(OFFERS[0], "sc", 1, 1)])
    assert all(f'"{name}":{{"title":' in page for name in ALL)
