"""The page of a run, without a browser: what it says, that it is whole, and that nothing from a run gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from runs import NAMES, run, simulation, with_sources

from ringbuffer.trace.page import page
from ringbuffer.trace.record import Run, Step
from ringbuffer.trace.words import fault_in_words, faults, step_in_words

VOID = {"meta", "link", "br"}
SELF_CLOSED = {"rect", "path", "circle"}


class Document(HTMLParser):
    """The elements of a page in order, each with its attributes and the text inside; the parser holds that all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", "inside": [outer["class"] for outer in self._open], "class": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID and tag not in SELF_CLOSED:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in SELF_CLOSED:
            assert self._open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"] += data

    def all(self, tag: str, kind: str = "", **attributes: str) -> list[dict[str, Any]]:
        """The elements of that tag, with that class, and with those attributes."""
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and (not kind or kind in element["class"].split())
            and all(element.get(name.replace("_", "-")) == value for name, value in attributes.items())
        ]


def changed(shown: Run, number: int, **changes: Any) -> Run:
    """The run with one of its steps changed."""
    steps = [replace(step, **changes) if step.number == number else step for step in shown.steps]
    return replace(shown, steps=tuple(steps))


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_there_with_its_row_its_access_and_its_words(name: str) -> None:
    shown = run(name)
    document = Document(page(shown))
    boxes, words = document.all("a", "step"), document.all("li")
    assert [box["id"] for box in boxes] == [f"step-{step.number}" for step in shown.steps]
    items = [item for item in words if "data-step" in item]
    assert [item["data-step"] for item in items] == [str(step.number) for step in shown.steps]
    for step, box, item in zip(shown.steps, boxes, items, strict=True):
        assert step.kind in box["class"].split()
        assert step.row in box["text"]
        assert step.kind == "kill" or step.access in box["text"]
        assert step_in_words(step) in item["text"]
        assert step.note in item["text"]


@pytest.mark.parametrize("name", NAMES)
def test_arrows_are_those_of_the_record(name: str) -> None:
    shown = run(name)
    arrows = [(int(arrow["data-from"]), int(arrow["data-to"])) for arrow in Document(page(shown)).all("g", "arrow")]
    assert arrows == [(step.reads_from, step.number) for step in shown.steps if step.reads_from is not None]
    assert arrows


@pytest.mark.parametrize("name", ["swapped", "starved", "long"])
def test_with_one_order_for_all_a_load_reads_from_the_last_store(name: str) -> None:
    assert with_sources(run(name)) == run(name)


@pytest.mark.parametrize("name", ["starved", "long", "buffered"])
def test_what_a_step_changes_is_marked_beside_it_and_nothing_else(name: str) -> None:
    shown = run(name)
    marked: dict[str, list[str]] = {}
    number = "start"
    for element in Document(page(shown)).elements:
        number = element.get("data-step", number) if element["tag"] == "a" else number
        if "new" in element["class"].split() and "key" not in element["class"].split():
            marked.setdefault(number, []).append(element["class"].split()[0])
    before = shown.initial
    expected: dict[str, list[str]] = {}
    for step in shown.steps:
        for old, new in zip(before, step.ring, strict=True):
            flags = sum(was != flag for was, flag in zip(old.flags, new.flags, strict=True))
            words = sum(was != word for was, word in zip(old.payload, new.payload, strict=True))
            found = ["flag"] * flags + ["case"] * (old.case != new.case) + ["word"] * words
            if found:
                expected.setdefault(str(step.number), []).extend(found)
        before = step.ring
    assert marked == expected


@pytest.mark.parametrize("name", ["swapped", "reordered", "two steps"])
def test_what_broke_is_said_at_the_head_at_the_step_and_in_its_words(name: str) -> None:
    shown = run(name)
    document, last = Document(page(shown)), shown.steps[-1]
    said = fault_in_words(shown, last, shown.broken[0])
    (head,), (banner,) = document.all("header"), document.all("g", "banner")
    assert said in head["text"]
    assert "".join(said.split()) in "".join(banner["text"].split()), "as it may be wrapped anywhere"
    assert said in document.all("li", data_step=str(last.number))[0]["text"]
    assert ["broken" in box["class"].split() for box in document.all("a", "step")] == [False] * (last.number - 1) + [True]


def test_a_run_that_breaks_nothing_says_so() -> None:
    document = Document(page(run("long")))
    assert "Nothing broke" in document.all("h1")[0]["text"]
    assert document.all("g", "banner") == []
    assert document.all("g", "sign") == []


def test_the_steps_that_repeat_for_ever_are_bracketed() -> None:
    shown = run("starved")
    document = Document(page(shown))
    texts = [banner["text"] for banner in document.all("g", "banner")]
    assert texts[0].startswith(f"↻ From step {shown.cycle_start} on these steps can repeat for ever")
    assert texts[-1].startswith("✗ P8 starved is broken")
    assert [element["text"] for element in document.all("text", "starves")] == ["✗ starves"]
    assert len(document.all("g", "cycle")) == 2, "the bracket and its banner"
    assert document.all("g", "cycle") != Document(page(replace(shown, cycle_start=None, starved=None))).all("g", "cycle")


def test_stale_values_are_marked_in_words() -> None:
    shown = changed(run("swapped"), 3, stale=True)
    document = Document(page(shown))
    signs = [sign["text"] for sign in document.all("g", "sign") if "stale" in sign["class"]]
    assert signs == ["⚠ stale"]
    assert "stale" in document.all("a", id="step-3")[0]["class"].split()
    assert "Stale." in document.all("a", id="step-3")[0]["aria-label"]
    assert "is stale" in document.all("li", data_step="3")[0]["text"]


@pytest.mark.parametrize("kind", ["flush", "kill", "fence", "exchange"])
def test_steps_that_are_no_plain_access_are_told_apart(kind: str) -> None:
    plain, other = (Document(page(changed(run("swapped"), 2, kind=kind))).all("a", id="step-2")[0] for kind in ("store", kind))
    assert kind in other["class"].split()
    assert plain["aria-label"] != other["aria-label"]


EVIL = '<script>alert("1")</script> & \'<b>'


def test_what_comes_from_the_run_stays_text() -> None:
    shown = changed(run("swapped"), 4, note=EVIL, access=EVIL, row="<W>", location="<l>", goes_to="<y>", ordering="<o>")
    shown = replace(shown, variant=f"without={EVIL}", token=EVIL, memory=EVIL, broken=(*shown.broken, "<x>"), starved="<s>")
    text = page(shown)
    document = Document(text)
    assert text.count("<script>") == 1
    assert document.all("b") == [found for found in document.all("b") if found["text"].startswith("✗")]
    for tag in ("w", "l", "y", "o", "x", "s"):
        assert document.all(tag) == []
    assert EVIL in document.all("code", id="command")[0]["text"]
    assert EVIL in document.all("li", data_step="4")[0]["text"]
    assert f"without={EVIL}" in document.all("header")[0]["text"]


def test_a_row_and_a_property_that_the_shipped_tables_do_not_have() -> None:
    shown = changed(run("swapped"), 4, row="F1", kind="fence", location="", goes_to="X9", broken=("new-property",))
    document = Document(page(replace(shown, broken=("new-property",))))
    assert "F1" in document.all("a", id="step-4")[0]["text"]
    assert "✗ new-property" in document.all("a", id="step-4")[0]["text"]
    assert "Why there is" not in document.all("li", data_step="4")[0]["text"]


def test_the_reason_for_a_row_is_that_of_the_table() -> None:
    from ringbuffer.protocol import PROTOCOL

    shown = run("swapped")
    document = Document(page(shown))
    for step in shown.steps:
        row = PROTOCOL.row(step.row)
        text = document.all("li", data_step=str(step.number))[0]["text"]
        assert row.why in text
        assert row.pairing in text


def test_the_page_holds_everything_and_asks_for_nothing() -> None:
    text = page(run("starved"))
    document = Document(text)
    for element in document.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert re.match(r"#|data:,$", element.get(name, "#")), element
        assert not any(name.startswith("on") or name == "style" for name in element)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "@import" not in text
    assert "url(" not in text
    (policy,) = (meta["content"] for meta in document.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_same_run_gives_the_same_bytes(run_python: Any) -> None:
    script = (
        "import hashlib, sys; from ringbuffer.checker import replay; from ringbuffer.trace.page import page\n"
        "print(hashlib.sha256(page(replay.shown(replay.load(sys.argv[1]))).encode()).hexdigest())"
    )
    token = simulation("starved").token()
    found = {run_python(script, token).stdout.strip() for _ in range(2)}
    assert found == {hashlib.sha256(page(run("starved")).encode()).hexdigest()}


def test_a_run_without_steps_has_a_page() -> None:
    document = Document(page(replace(run("long"), steps=())))
    assert document.all("a", "step") == []
    assert "0 steps" in document.all("header")[0]["text"]


@pytest.mark.parametrize(
    ("name", "broken", "says"),
    [
        ("swapped", "stale", "a second time: step"),
        ("reordered", "reordered", "and was owed m1"),
        ("two steps", "stale", "held no message"),
    ],
)
def test_a_fault_is_told_by_what_happens(name: str, broken: str, says: str) -> None:
    ((found, number, text),) = faults(run(name))
    assert (found, number) == (broken, len(run(name).steps))
    assert says in text


def fault(step: Step, name: str, before: Run) -> str:
    shown = replace(before, steps=(*before.steps[: step.number - 1], step))
    return fault_in_words(shown, step, name)


def test_other_faults_are_told_too() -> None:
    shown = run("swapped")
    fill = next(step for step in shown.steps if step.kind == "fill")
    look = next(step for step in shown.steps[fill.number :] if step.actor != fill.actor)
    inside = replace(look, number=fill.number + 1, goes_to="R3", note="", block=fill.block)
    assert fault(inside, "exclusion", shown) == f"{inside.actor.capitalize()} enters block 0, where the writer is."
    assert "writes m1 over –" in fault(fill, "overwritten", shown)
    assert "gives back block 0" in fault(replace(fill, row="R4", note=""), "lost", shown)
    assert "nothing orders the two" in fault(replace(look, kind="read", reads_from=fill.number), "race", shown)
    assert "Nothing orders" in fault(fill, "race", shown)
