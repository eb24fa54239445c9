"""The page of a run, in a real browser: what is there, what the keys do, and what it looks like in the dark and on a phone.

Needs Chromium, from wherever: Debian has it as ``chromium-headless-shell`` and as ``chromium``. Without it these tests are
skipped, except in CI (``CI=true``), where they then fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from looks import CONTRAST_MIN, CONTRASTS, NARROW, WIDE
from runs import run

from ringbuffer.trace.page import page as page_of
from ringbuffer.trace.record import Run

pytest_plugins = ("chromium",)

Open = Callable[..., Any]
"""``open_page(run, fragment="", **options)``: a browser page with the run; the options are those of a browser context."""


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open pages, and at the end make sure that none of them complained, or asked for anything but itself."""
    contexts, complaints, requests = [], [], set()

    def open_it(run: Run, fragment: str = "", **options: Any) -> Any:
        file = tmp_path / "run.html"
        file.write_text(page_of(run), encoding="utf-8")
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.add(request.url.split("#")[0]))
        tab.goto(f"{file.as_uri()}{fragment}")
        return tab

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests <= {(tmp_path / "run.html").as_uri(), "data:,"}


def current(tab: Any) -> int:
    """The number of the step that is highlighted, which must be exactly one, and the one that the panel describes."""
    found = tab.evaluate(
        """() => {
            const numbers = (selector) => [...document.querySelectorAll(selector)]
                .filter((element) => element.getBoundingClientRect().height).map((element) => element.dataset.step);
            const marked = numbers("a.step[aria-current=step]");
            return { steps: numbers("a.step.current"), told: numbers(".words li"), marked };
        }"""
    )
    assert len(found["steps"]) == 1
    assert found["steps"] == found["told"] == found["marked"]
    return int(found["steps"][0])


BOXES: Final = """() => Object.fromEntries([...document.querySelectorAll("a.step")].map((step) => {
    const box = step.querySelector(".box").getBBox();
    return [step.dataset.step, [box.x, box.y, box.x + box.width, box.y + box.height]];
}))"""
POINTS: Final = """() => [...document.querySelectorAll("g.arrow")].map((arrow) => {
    const path = arrow.querySelector("path:not(.tip)"), tip = arrow.querySelector(".tip").getBBox();
    const count = Math.ceil(path.getTotalLength() / 8), points = [];
    for (let at = 0; at <= count; at++) {
        const point = path.getPointAtLength(path.getTotalLength() * at / count);
        points.push([point.x, point.y]);
    }
    return { from: Number(arrow.dataset.from), to: Number(arrow.dataset.to), points,
             tip: [tip.x + tip.width, tip.y + tip.height / 2] };
})"""


@pytest.mark.parametrize("name", ["swapped", "starved", "two steps", "long", "large", "buffered", "weak"])
def test_every_step_is_a_box_in_its_lane_below_the_one_before(open_page: Open, name: str) -> None:
    shown = run(name)
    tab = open_page(shown)
    boxes = tab.evaluate(BOXES)
    assert [int(number) for number in boxes] == [step.number for step in shown.steps]
    lefts = {actor: {boxes[str(step.number)][0] for step in shown.steps if step.actor == actor} for actor in shown.actors}
    assert all(len(found) <= 1 for found in lefts.values()), "a lane for each actor"
    assert len(set().union(*lefts.values())) == sum(map(len, lefts.values())), "and no two in one"
    assert all(later[1] > earlier[3] for earlier, later in pairwise(boxes.values()))
    texts = tab.eval_on_selector_all("a.step", "steps => steps.map(step => step.querySelector('.what').textContent)")
    for step, text in zip(shown.steps, texts, strict=True):
        assert step.row in text
        assert step.kind == "kill" or step.access in text


@pytest.mark.parametrize("name", ["swapped", "starved", "long", "large", "buffered", "weak"])
def test_arrows_connect_the_boxes_that_the_record_says_and_cross_no_other(open_page: Open, name: str) -> None:
    shown = run(name)
    tab = open_page(shown)
    boxes, arrows = tab.evaluate(BOXES), tab.evaluate(POINTS)
    expected = [(step.reads_from, step.number) for step in shown.steps if step.reads_from is not None]
    assert [(arrow["from"], arrow["to"]) for arrow in arrows] == expected
    assert any(source for source, _ in expected)
    for arrow in arrows:
        left, top, _, bottom = boxes[str(arrow["to"])]
        assert math.isclose(arrow["tip"][0], left, abs_tol=1), "it ends at the left edge of its target"
        assert top < arrow["tip"][1] < bottom
        if arrow["from"]:
            left, top, right, bottom = boxes[str(arrow["from"])]
            x, y = arrow["points"][0]
            assert min(abs(x - left), abs(x - right)) <= 1, "it begins at an edge of its source"
            assert top < y < bottom
        for x, y in arrow["points"][1:-1]:
            for left, top, right, bottom in boxes.values():
                assert not (left + 1 < x < right - 1 and top + 1 < y < bottom - 1), (arrow["from"], arrow["to"])


@pytest.mark.parametrize(
    ("keys", "number"),  # a negative number counts from the end
    [
        (["Home"], 1),
        (["End"], -1),
        (["Home", "ArrowDown"], 2),
        (["Home", "ArrowRight", "j", "j", " "], 5),
        (["End", "ArrowUp"], -2),
        (["End", "ArrowLeft", "k", "k", "Shift+ "], -5),
        (["Home", "ArrowUp", "k"], 1),
        (["End", "ArrowDown", "j", " "], -1),
        (["Home", "Control+ArrowDown", "Alt+j", "x"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_keys_step_through_the_run(open_page: Open, keys: list[str], number: int) -> None:
    shown = run("swapped")
    tab = open_page(shown)
    for key in keys:
        tab.keyboard.press(key)
    number = number if number > 0 else len(shown.steps) + 1 + number
    assert current(tab) == number
    assert tab.evaluate("location.hash") == f"#step-{number}"
    assert tab.inner_text(".where") == f"step {number} of {len(shown.steps)}"
    assert shown.steps[number - 1].row in tab.inner_text(".words li.current h2")


def test_the_current_step_is_in_view_with_its_arrow_and_its_words(open_page: Open) -> None:
    shown = run("long")
    tab = open_page(shown)
    step = next(step for step in shown.steps if step.reads_from and step.number > 50)
    for _ in range(step.number - 1):
        tab.keyboard.press("j")
    assert current(tab) == step.number
    pane, row = tab.locator(".picture").bounding_box(), tab.locator(f"#step-{step.number} .box").bounding_box()
    head = tab.locator(".sticky").bounding_box()
    assert pane["y"] <= head["y"] < head["y"] + head["height"] <= row["y"]
    assert row["y"] + row["height"] <= pane["y"] + pane["height"]
    assert pane["x"] <= row["x"] < row["x"] + row["width"] <= pane["x"] + pane["width"]
    strong = tab.eval_on_selector_all("g.arrow.on", "arrows => arrows.map(arrow => [arrow.dataset.from, arrow.dataset.to])")
    assert strong == [[str(step.reads_from), str(step.number)]]
    assert f"stored in step {step.reads_from}" in tab.inner_text(".words li.current")
    tab.click(".words li.current a")
    assert current(tab) == step.reads_from


@pytest.mark.parametrize("name", ["swapped", "two steps"])
def test_what_broke_is_seen_at_once(open_page: Open, name: str) -> None:
    shown = run(name)
    tab = open_page(shown)
    (prop,), last = shown.broken, shown.steps[-1]
    assert prop in tab.inner_text("h1")
    assert current(tab) == last.number, "it opens at the step that breaks it"
    for selector in (f"#step-{last.number} .sign.broken", f"#step-{last.number} .box", ".banner.fault", "header strong"):
        assert tab.locator(selector).first.is_visible()
    sign = tab.locator("a .sign.broken").bounding_box()
    at = f"document.elementFromPoint({sign['x'] + 5}, {sign['y'] + 7}).closest('a.step').dataset.step"
    assert tab.evaluate(at) == str(last.number), "nothing lies on the sign"
    tab.keyboard.press("Home")
    tab.click("header a")
    assert current(tab) == last.number


def test_stale_loads_are_marked_in_a_word_and_in_another_colour(open_page: Open) -> None:
    shown = run("weak")
    tab = open_page(shown)
    stale = [step.number for step in shown.steps if step.stale]
    assert stale
    told = "all => all.map(sign => [sign.textContent, sign.closest('a').dataset.step])"
    found = tab.eval_on_selector_all(".step .sign.stale", told)
    assert found == [["⚠ stale", str(number)] for number in stale]
    stroke = "box => getComputedStyle(box).stroke + getComputedStyle(box).strokeDasharray"
    fresh = next(step.number for step in shown.steps if step.kind == "load" and not step.stale)
    colours = [tab.eval_on_selector(f"#step-{number} .box", stroke) for number in (stale[0], fresh)]
    assert colours[0] != colours[1]
    tab.keyboard.press("Home")
    for _ in range(stale[0] - 1):
        tab.keyboard.press("j")
    assert "stale" in tab.inner_text(".words li.current .warning")


def test_a_cycle_has_a_bracket_and_names_who_starves(open_page: Open) -> None:
    shown = run("starved")
    tab = open_page(shown)
    assert shown.cycle_start is not None
    assert current(tab) == shown.cycle_start
    assert "for ever" in tab.text_content("g.cycle text")
    assert shown.starved in tab.inner_text("header")
    assert tab.locator(".actor.starved").count() == 1
    boxes = tab.evaluate(BOXES)
    bracket = tab.eval_on_selector("g.cycle path", "path => [path.getBBox().y, path.getBBox().y + path.getBBox().height]")
    first, last = boxes[str(shown.cycle_start)], boxes[str(len(shown.steps))]
    assert first[1] <= bracket[0] <= first[3]
    assert last[1] <= bracket[1] <= last[3]


def test_a_fragment_selects_its_step(open_page: Open) -> None:
    tab = open_page(run("swapped"), "#step-12")
    assert current(tab) == 12
    tab.evaluate("location.hash = '#step-7'")
    tab.wait_for_function("document.querySelector('a.step.current').dataset.step === '7'")
    assert current(tab) == 7
    tab.click("#step-5 .box")
    assert (current(tab), tab.evaluate("location.hash")) == (5, "#step-5")
    tab.click("[data-go=next]")
    assert current(tab) == 6


@pytest.mark.parametrize("fragment", ["#step-0", "#step-999", "#step-x", "#words"])
def test_a_fragment_of_no_step_does_no_harm(open_page: Open, fragment: str) -> None:
    tab = open_page(run("swapped"), fragment)
    assert 1 <= current(tab) <= len(run("swapped").steps)


def test_one_step_at_a_time_can_be_reached_by_tab_and_its_focus_is_seen(open_page: Open) -> None:
    tab = open_page(run("swapped"), "#step-3")
    stops = tab.eval_on_selector_all("a.step", "steps => steps.filter(step => step.tabIndex === 0).map(step => step.id)")
    assert stops == ["step-3"]
    while tab.evaluate("document.activeElement.id") != "step-3":
        tab.keyboard.press("Tab")
    assert tab.evaluate("getComputedStyle(document.activeElement.querySelector('.band')).strokeWidth") == "3px"
    tab.keyboard.press("j")
    assert tab.evaluate("document.activeElement.id") == "step-4"
    assert str(tab.get_attribute("#step-4", "aria-label")).startswith("Step 4: ")


def test_space_presses_a_focused_button_instead(open_page: Open) -> None:
    tab = open_page(run("swapped"), "#step-9")
    tab.focus("[data-go=first]")
    tab.keyboard.press(" ")
    assert current(tab) == 1


def test_the_command_can_be_copied(open_page: Open) -> None:
    shown = run("swapped")
    tab = open_page(shown, permissions=["clipboard-read", "clipboard-write"])
    assert tab.inner_text("#command") == f"ringbuffer replay {shown.token}"
    tab.click(".copy")
    tab.wait_for_function("document.querySelector('.copy').textContent !== 'Copy'")
    assert tab.inner_text(".copy") == "Copied"
    assert tab.evaluate("navigator.clipboard.readText()") == f"ringbuffer replay {shown.token}"


def test_without_scripts_it_is_a_still_picture_with_all_its_words(open_page: Open) -> None:
    shown = run("swapped")
    tab = open_page(shown, java_script_enabled=False)
    assert tab.locator("a.step").count() == len(shown.steps)
    assert [item.is_visible() for item in tab.locator(".words li").all()] == [True] * len(shown.steps)
    assert not tab.locator(".controls").is_visible()
    assert not tab.locator(".copy").is_visible()
    assert tab.locator("#command").is_visible()


def test_the_page_cannot_reach_any_network(browser: Any, tmp_path: Path) -> None:
    """Not even a script that has got into it: its own content security policy forbids it."""
    file = tmp_path / "run.html"
    file.write_text(page_of(run("two steps")), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(file.as_uri())
    tab.evaluate(
        """() => {
            window.refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            fetch("http://127.0.0.1:9/").catch(() => {});
            new Image().src = "http://127.0.0.1:9/picture";
            for (const name of ["script", "iframe"])
                document.body.append(Object.assign(document.createElement(name), { src: "http://127.0.0.1:9/" }));
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = true" }));
        }"""
    )
    tab.wait_for_function("refused.length >= 5")
    directives = ["connect-src", "frame-src", "img-src", "script-src-elem", "script-src-elem"]
    assert sorted(tab.evaluate("refused")) == directives
    assert tab.evaluate("window.ran") is None
    tab.close()


PAIRS: Final = [
    ["body", "color", "body", "backgroundColor"],
    ["h1", "color", "body", "backgroundColor"],
    ["header .must", "color", "body", "backgroundColor"],
    [".number", "fill", ".picture", "backgroundColor"],
    [".store .clause", "fill", ".store .box", "fill"],
    [".store .access", "fill", ".store .box", "fill"],
    [".store .at", "fill", ".store .box", "fill"],
    [".load .clause", "fill", ".load .box", "fill"],
    [".fill .clause", "fill", ".fill .box", "fill"],
    [".fill .access", "fill", ".fill .box", "fill"],
    [".read .clause", "fill", ".read .box", "fill"],
    [".banner.fault text", "fill", ".banner.fault rect", "fill"],
    [".sign.broken text", "fill", ".sign.broken rect", "fill"],
    [".sign.stale text", "fill", ".sign.stale rect", "fill"],
    [".stale .access", "fill", ".stale .box", "fill"],
    [".flush .clause", "fill", ".flush .box", "fill"],
    [".kill .access", "fill", ".kill .box", "fill"],
    [".bit.b1", "fill", ".flag.f1", "fill"],
    [".bit.b0", "fill", ".flag.f0", "fill"],
]


def every_kind(shown: Run) -> Run:
    """The run with a step of every kind, and a stale one."""
    steps = list(shown.steps)
    for number, kind in enumerate(("flush", "kill", "fence", "exchange")):
        steps[number] = replace(steps[number], kind=kind)
    steps[-2] = replace(steps[-2], stale=True)
    return replace(shown, steps=tuple(steps))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_can_be_read_in_light_and_in_dark(open_page: Open, scheme: str) -> None:
    tab = open_page(every_kind(run("swapped")), "#step-1", color_scheme=scheme)
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 64) == (scheme == "dark")
    poor = [(what, contrast) for what, contrast in tab.evaluate(CONTRASTS, PAIRS) if contrast < CONTRAST_MIN]
    assert poor == []


@pytest.mark.parametrize("name", ["swapped", "large"])
def test_on_a_phone_nothing_overflows_and_all_can_be_used(open_page: Open, name: str) -> None:
    tab = open_page(run(name), "#step-1", viewport=NARROW, has_touch=True)
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= NARROW["width"]
    assert tab.eval_on_selector(".picture", "pane => pane.scrollWidth > pane.clientWidth"), "the picture scrolls instead"
    tab.locator("aside").scroll_into_view_if_needed()
    tab.locator("[data-go=next]").tap()
    assert current(tab) == 2
    words, button, pane = (tab.locator(name).bounding_box() for name in (".words li.current h2", "[data-go=next]", ".picture"))
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"] for box in (words, button))
    assert min(button["height"], button["width"]) >= 24, "large enough for a finger (WCAG 2.2, 2.5.8)"
    assert pane["y"] + pane["height"] <= button["y"], "the panel does not hide the picture"
    step = tab.locator("#step-2 .box").bounding_box()
    assert pane["x"] <= step["x"] < step["x"] + step["width"] <= pane["x"] + pane["width"]


def test_it_prints_with_all_its_words(open_page: Open) -> None:
    shown = run("swapped")
    tab = open_page(shown, color_scheme="dark")
    tab.emulate_media(media="print")
    assert [item.is_visible() for item in tab.locator(".words li").all()] == [True] * len(shown.steps)
    assert not tab.locator(".controls").is_visible()
    paper = tab.evaluate("getComputedStyle(document.querySelector('.number')).fill.match(/\\d+/g).map(Number)")
    assert max(paper) < 128, "dark ink, whatever the screen has"
    assert tab.pdf()[:5] == b"%PDF-"
