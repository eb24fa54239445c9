"""The explorer page in a real browser: every button, against the model.

The page is opened from a file. Whatever is clicked, the Python model takes the same step, and both must show the same flags,
cases, possible steps and reasons. Chromium is needed (``chromium.py``). Nothing is judged by how long it takes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from looks import CONTRAST_MIN, CONTRASTS, NARROW, WIDE

from ringbuffer.checker.explore import explore
from ringbuffer.explorer.menu import Combination, combinations
from ringbuffer.explorer.page import PAGE_BYTES_MAX, page
from ringbuffer.explorer.waits import Watch
from ringbuffer.explorer.words import Teller
from ringbuffer.model import Model
from ringbuffer.protocol import classify
from ringbuffer.state import FLUSH, State

EVERY: Final = {one.id: one for one in combinations()}
OFFERED: Final = (
    "shipped/sc/1/1",
    "shipped/sc/2/1",
    "shipped/tso/1/1",
    "shipped/ra/1/1",
    "scan/sc/1/2",
    "swap-w5-w6/sc/1/1",
    "one-missing/sc/1/1",
    "without-w2/sc/1/1",
    "relaxed-w5/ra/1/1",
    "one-missing/sc/1/2",  # one run there breaks `progress` and `starved`
)
pytest_plugins = ("chromium",)

Open = Callable[..., Any]

SHOWN: Final = """() => {
    const all = (selector, within = document) => [...within.querySelectorAll(selector)];
    const text = (element) => element ? element.textContent : "";
    return {
        combination: document.body.dataset.combination, hash: document.body.dataset.address, focus: document.activeElement.id,
        blocks: all(".block").map((block) => ({
            flags: all(".flag b", block).map(text).join(""), case: text(block.querySelector(".case")),
            words: all(".word > span", block).map(text), torn: Boolean(text(block.querySelector(".torn"))),
        })),
        actors: all(".actor").map((actor) => ({
            name: text(actor.querySelector("h3 span")), at: text(actor.querySelector(".row")),
            now: text(actor.querySelector("[aria-current]")),
            access: text(actor.querySelector(".access code")), reason: text(actor.querySelector(".reason")),
            waits: actor.classList.contains("waits"), memory: all(".memory li", actor).map(text),
            steps: all("button[data-step]", actor).map((step) => ({
                place: Number(step.dataset.step), clause: text(step.querySelector(".clause")),
                breaks: step.classList.contains("breaks"), off: step.disabled, key: text(step.querySelector("kbd")),
            })),
        })),
        faults: all("#faults p").map((fault) => fault.dataset.property), told: text(document.querySelector("#told")),
        path: all("#path button").length, where: text(document.querySelector("#where")),
        examples: all(".example").map((example) => [example.id, example.dataset.property]),
        off: all(".moves button").map((button) => button.disabled), live: text(document.querySelector("#live")),
    };
}"""
CLICKS: Final = f"""(selectors) => {{
    const show = {SHOWN};
    return selectors.map((selector) => {{ document.querySelector(selector).click(); return show(); }});
}}"""
"""Many clicks, and what is shown after each."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = page([EVERY[name] for name in OFFERED])
    assert len(text.encode()) < PAGE_BYTES_MAX == 3 * 1024 * 1024
    written = tmp_path_factory.mktemp("explorer") / "ring.html"
    written.write_text(text, encoding="utf-8")
    return written


@pytest.fixture
def open_page(browser: Any, file: Path) -> Iterator[Open]:
    """Open the page, and at the end make sure that it has not complained, nor asked for anything but itself."""
    contexts, complaints, requests = [], [], set()

    def open_it(fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.add(request.url.split("#")[0]))
        tab.goto(f"{file.as_uri()}{fragment}")
        tab.wait_for_selector("body[data-ready]")
        return tab

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests <= {file.as_uri(), "data:,"}


class Walk:
    """The model, taking the steps that are clicked."""

    def __init__(self, one: Combination) -> None:
        self.model = Model(one.setup)
        self.teller, self.watch = Teller(self.model), Watch(self.model)
        self.states = [self.model.initial()]
        self.broken: list[str] = []

    @property
    def steps(self) -> list[Any]:
        return self.model.transitions(self.states[-1])

    def take(self, place: int) -> None:
        step = self.steps[place]
        self.broken += step.broken
        self.states.append(step.state)

    def compare(self, shown: dict[str, Any]) -> None:
        """Everything that is shown is what the model says."""
        model, state, steps = self.model, self.states[-1], self.steps
        names = self.teller.names(state)
        for number, block in enumerate(shown["blocks"]):
            flags, payload = model.memory.entry(state.memory, number), model.memory.payload(state.memory, number)
            assert block["flags"] == "".join(map(str, flags))
            assert block["case"] == f"case {int(classify(flags))}"
            assert block["words"] == [name.text for name in self.teller.block(state, number, names).words]
            assert block["torn"] == (len(set(payload)) > 1)
        assert [actor["name"] for actor in shown["actors"]] == list(map(model.actor_name, range(len(model.programs))))
        for number, actor in enumerate(shown["actors"]):
            me = state.actors[number]
            row = model.programs[number][me.pc].row
            assert actor["at"] == f"{row.id} {row.title}, block {me.block}"
            assert (actor["now"], actor["access"]) == (row.id, str(row.access))
            assert actor["reason"] == self.watch.why(state, number, steps, self.teller.place)
            assert actor["waits"] == bool(actor["reason"])
            assert actor["memory"] == list(self.teller.memory(state, number, names).lines)
            own = [(place, step) for place, step in enumerate(steps) if step.choice[0] == number]
            assert [step["place"] for step in actor["steps"]] == [place for place, _ in own]
            for button, (place, step) in zip(actor["steps"], own, strict=True):
                assert button["clause"] == ("⇣" if step.choice[1] == FLUSH else row.id)
                assert button["breaks"] == bool(step.broken)
                assert button["key"] == str((place + 1) % 10)
        assert sorted(set(shown["faults"])) == sorted(set(self.broken))
        if not self.broken:
            assert not any(step["off"] for actor in shown["actors"] for step in actor["steps"])


def press(tab: Any, *selectors: str) -> list[dict[str, Any]]:
    """Click one after the other; what is shown after each."""
    shown: list[dict[str, Any]] = tab.evaluate(CLICKS, list(selectors))
    return shown


def until(tab: Any, condition: str) -> None:
    """Wait until it is true. (Playwright's own way evaluates strings in the page, whose content security policy forbids it.)"""
    for _ in range(500):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(20)
    pytest.fail(f"never true: {condition}")


def step_button(place: int) -> str:
    return f"button[data-step='{place}']"


def settled(tab: Any) -> str:
    """The address, when it has been written."""
    until(tab, "location.hash === document.body.dataset.address")
    return str(tab.evaluate("location.hash"))


@pytest.mark.parametrize("name", OFFERED)
def test_random_walks_show_what_the_model_does(open_page: Open, name: str) -> None:
    tab, draw, plan = open_page(f"#{name}"), random.Random(name), Walk(EVERY[name])
    places: list[int] = []
    while len(places) < 45 and not plan.broken:
        places.append(draw.randrange(len(plan.steps)))
        plan.take(places[-1])
    walk = Walk(EVERY[name])
    walk.compare(tab.evaluate(SHOWN))
    for count, (place, shown) in enumerate(zip(places, press(tab, *map(step_button, places)), strict=True), 1):
        walk.take(place)
        walk.compare(shown)
        assert shown["where"] == f"step {count} of {count}"
        assert shown["told"].startswith(f"Step {count}: ")
    walk.broken = []
    for shown in press(tab, *["#back"] * len(places)):  # and all the way back
        walk.states.pop()
        walk.compare(shown)
    assert shown["off"] == [True, True, False, False]


@pytest.mark.parametrize("name", ["shipped/sc/1/1", "swap-w5-w6/sc/1/1"])
def test_every_step_of_every_state_and_back_again(open_page: Open, name: str) -> None:
    """Systematically, depth first: in each state every button is pressed, compared, and undone."""
    walk = Walk(EVERY[name])
    seen: set[State] = set()
    clicks: list[str] = []
    expected: list[tuple[State, list[str]]] = []

    def visit() -> None:
        if walk.states[-1] in seen or walk.broken:
            return
        seen.add(walk.states[-1])
        for place in range(len(walk.steps)):
            walk.take(place)
            clicks.append(step_button(place))
            expected.append((walk.states[-1], list(walk.broken)))
            visit()
            walk.states.pop()
            walk.broken = []
            clicks.append("#back")
            expected.append((walk.states[-1], []))

    visit()
    graph_size = {"shipped/sc/1/1": (53, 125), "swap-w5-w6/sc/1/1": (66, 157)}[name]
    assert (len(seen), len(clicks) // 2) == graph_size, "all of them"
    check = Walk(EVERY[name])
    for shown, (state, broken) in zip(press(open_page(f"#{name}"), *clicks), expected, strict=True):
        check.states, check.broken = [state], broken
        check.compare(shown)


@pytest.mark.parametrize("name", [name for name in OFFERED if not name.startswith("shipped")])
def test_every_counterexample_ends_with_what_explore_names(open_page: Open, name: str) -> None:
    tab, one = open_page(f"#{name}"), EVERY[name]
    setup = one.setup
    examples = tab.evaluate(SHOWN)["examples"]
    assert examples
    for button, broken in examples:
        asked = explore(
            setup.variant,
            one.readers,
            one.blocks,
            memory=one.memory,
            words=2,
            aborts=setup.aborts,
            properties=(broken,),
            reductions=("settled",),
        )
        (shown,) = press(tab, f"#{button}")
        until(tab, "document.querySelectorAll('#path li').length > 3")
        shown = tab.evaluate(SHOWN)
        assert broken in shown["faults"]
        assert asked.property == broken
        assert shown["where"] == f"step {len(asked.trace)} of {len(asked.trace)}" or asked.cycle_start
        length, places = shown["path"], [int(place, 36) for place in shown["hash"].split("/")[5]]
        walk = Walk(one)
        start, *on_the_way = press(tab, "#first", *["#forward"] * length)
        walk.compare(start)
        for place, shown in zip(places, on_the_way, strict=True):
            walk.take(place)
            if asked.cycle_start and shown is on_the_way[-1]:  # a cycle can starve somebody in the sense of both properties
                walk.broken += [broken, *({"progress", "starved"} & set(shown["faults"]) if len(examples) > 1 else ())]
            walk.compare(shown)
        assert broken in shown["faults"]
        where = [shown["where"] for shown in press(tab, "#back", "#path li:nth-child(3) button", "#last")]
        assert where == [f"step {number} of {length}" for number in (length - 1, 3, length)]
        press(tab, "#restart")
        until(tab, "document.querySelectorAll('#path li').length === 0")


def without_history(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in ("live", "focus")}


@pytest.mark.parametrize("name", ["shipped/tso/1/1", "relaxed-w5/ra/1/1"])
def test_an_address_shows_the_same_state_in_a_fresh_page(open_page: Open, name: str) -> None:
    tab, draw, walk = open_page(f"#{name}"), random.Random(5), Walk(EVERY[name])
    for _ in range(12):
        place = draw.choice([place for place, step in enumerate(walk.steps) if not step.broken])
        walk.take(place)
        press(tab, step_button(place))
    shown = press(tab, "#back", "#back", "#back")[-1]
    assert shown["where"] == "step 9 of 12"
    assert len(settled(tab)) < 60
    fresh = open_page(settled(tab))
    assert without_history(fresh.evaluate(SHOWN)) == without_history(shown)


def test_a_long_walk_keeps_its_address_short_and_right(open_page: Open) -> None:
    tab, walk, draw = open_page("#shipped/sc/1/1"), Walk(EVERY["shipped/sc/1/1"]), random.Random(1)
    places: list[int] = []
    for _ in range(155):
        places.append(draw.randrange(len(walk.steps)))
        walk.take(places[-1])
    shown = press(tab, *map(step_button, places))[-1]
    walk.compare(shown)
    assert len(settled(tab)) < 200
    assert shown["path"] < 150
    fresh = open_page(settled(tab))
    assert without_history(fresh.evaluate(SHOWN)) == without_history(shown)


def test_an_address_of_nothing_does_no_harm_and_says_so(open_page: Open) -> None:
    for fragment in ("#shipped/sc/1/1/99999", "#shipped/sc/1/1/0/0zz!", "#shipped/sc/1/1/0/zzz", "#shipped/sc/1/1/x/y/z"):
        tab = open_page(fragment)
        Walk(EVERY["shipped/sc/1/1"]).compare(tab.evaluate(SHOWN))
        assert "steps that are not possible" in tab.inner_text("#notice")
    for fragment, why in (
        ("#x", "nothing on this page"),
        ("#relaxed-w6/sc/1/1/0/0", "only ra"),
        ("#shipped/tso/2/2", "left out"),
    ):
        tab.evaluate("(fragment) => { location.hash = fragment; }", fragment)
        until(tab, "location.hash === '#shipped/sc/1/1'")
        assert why in tab.inner_text("#notice")
        assert why in tab.evaluate(SHOWN)["live"], "who does not see the page is told as well"
    press(tab, step_button(0))
    assert not tab.is_visible("#notice")
    for fragment in ("", "#shipped/sc/1/1", "#shipped/sc/1/1/0/00/1"):
        assert not open_page(fragment).is_visible("#notice")


def test_the_browsers_back_undoes_choices_and_jumps_and_not_steps(open_page: Open) -> None:
    tab = open_page("#swap-w5-w6/sc/1/1")
    press(tab, step_button(0), step_button(0))
    assert settled(tab) == "#swap-w5-w6/sc/1/1/0/00"
    press(tab, "#example-0")
    until(tab, "document.querySelectorAll('#path li').length > 3")
    example = settled(tab)
    tab.select_option("#offer", "shipped")
    until(tab, "document.body.dataset.combination === 'shipped/sc/1/1'")
    for expected in (example, "#swap-w5-w6/sc/1/1/0/00"):
        tab.go_back()
        until(tab, f"document.body.dataset.address === '{expected}'")
        assert settled(tab) == expected
    tab.go_forward()
    until(tab, f"document.body.dataset.address === '{example}'")
    assert tab.evaluate(SHOWN)["faults"] == ["stale"]


def test_choices_go_where_they_say_and_say_what_is_left_out(open_page: Open) -> None:
    tab = open_page("#shipped/sc/1/1")
    for selector, expected in (
        ("input[name=memory][value=tso]", "shipped/tso/1/1"),
        ("input[name=memory][value=sc]", "shipped/sc/1/1"),
        ("input[name=readers][value='2']", "shipped/sc/2/1"),
        ("input[name=readers][value='1']", "shipped/sc/1/1"),
    ):
        tab.locator(selector).check(force=True)
        until(tab, f"document.body.dataset.combination === '{expected}'")
        Walk(EVERY[expected]).compare(tab.evaluate(SHOWN))
    tab.select_option("#offer", "swap-w5-w6")
    until(tab, "document.body.dataset.combination === 'swap-w5-w6/sc/1/1'")
    assert "ringbuffer check --swap W5,W6 --readers 1 --blocks 1 --memory sc" in tab.inner_text("#command")
    assert tab.locator("option[value=relaxed-w5]").is_disabled()
    assert tab.locator("input[name=blocks][value='2']").is_disabled()
    assert "“W5 relaxed”: only ra looks at orderings" in tab.inner_text("#left-out")
    assert tab.evaluate(SHOWN)["live"] == tab.inner_text("#says"), "a choice is announced with what is known of it"


def test_the_keyboard_is_enough(open_page: Open) -> None:
    tab, name = open_page("#swap-w5-w6/sc/1/1"), "swap-w5-w6/sc/1/1"
    walk = Walk(EVERY[name])
    for key in ("1", "w", "2", "w", "a"):
        tab.keyboard.press(key)
        writer, reader = ([p for p, s in enumerate(walk.steps) if s.choice[0] == actor] for actor in (0, 1))
        walk.take({"w": writer[0], "a": reader[0]}.get(key, int(key) - 1 if key.isdigit() else 0))
        walk.compare(tab.evaluate(SHOWN))
    assert "Step 5." in tab.evaluate(SHOWN)["live"]
    for key, where in (("ArrowLeft", 4), ("u", 3), ("ArrowRight", 4), ("Home", 0), ("End", 5)):
        tab.keyboard.press(key)
        assert tab.evaluate(SHOWN)["where"] == f"step {where} of 5"
    reached = set()
    tab.evaluate("document.activeElement.blur()")
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate("(document.activeElement.id || document.activeElement.name || document.activeElement.className)")
        )
        style = tab.evaluate(
            """() => { const at = document.activeElement, of = (e) => getComputedStyle(e).outlineStyle;
            return at === document.body ? "solid" : at.matches("input") ? of(at.nextElementSibling) : of(at); }"""
        )
        assert style != "none", "focus is seen"
    assert {"offer", "memory", "back", "first", "restart", "copy", "example-0"} <= reached
    assert any(name.startswith("step ") for name in reached)
    tab.focus("#example-0")
    tab.keyboard.press("Enter")
    until(tab, "document.querySelectorAll('#faults p').length === 1")
    tab.focus("button[data-cursor='2']")
    tab.keyboard.press("Enter")
    tab.focus("button[data-step]")
    tab.keyboard.press("Enter")
    assert tab.evaluate(SHOWN)["where"].startswith("step 3 ")
    assert tab.evaluate("document.activeElement.dataset.step") is not None, "the focus stays among the steps"


def test_the_link_can_be_copied(open_page: Open) -> None:
    tab = open_page("#shipped/sc/1/1/0/00", permissions=["clipboard-read", "clipboard-write"])
    tab.click("#copy")
    until(tab, "document.querySelector('#copy').textContent === 'copied'")
    assert tab.evaluate("navigator.clipboard.readText()").endswith("#shipped/sc/1/1/0/00")


TEXTS: Final = [
    ["body", "body"], ["header p", "body"], ["#tells", ".choices"], ["#memory-words", ".choices"], [".command", ".verdict"],
    [".example span", ".example"], [".example small", ".example"], [".means", ".block"], [".flag span", ".flag"],
    [".flag.f0 b", ".flag.f0 b"], [".flag.f1 b", ".flag.f1 b"], [".chip.inside", ".chip.inside"], [".why", ".actor"],
    [".reason", ".reason"], [".program [aria-current]", ".program [aria-current]"],
    [".program li:not([aria-current])", ".actor"],
    [".step .what", ".step"], [".step .clause", ".step"], [".step small", ".step"], ["#where", "aside"], ["#told p", "aside"],
    ["#path [aria-current]", "#path [aria-current]"], [".note", ".note"], ["footer p", "body"],
    ["fieldset input:checked + span", "fieldset input:checked + span"],
    ["fieldset input:disabled + span", "fieldset input:disabled + span"],
    *([f"footer .word.{kind}", f"footer .word.{kind}"] for kind in ("due", "later", "filling", "old")),
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_can_be_read_in_light_and_in_dark(open_page: Open, scheme: str) -> None:
    fill, read = "#swap-w5-w6/sc/1/1/0/00", "#swap-w5-w6/sc/1/1/0/00000000111"
    for fragment in (fill, read):
        tab = open_page(fragment, color_scheme=scheme)
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (max(paper) < 64) == (scheme == "dark")
        there = [one for one in TEXTS if all(tab.locator(selector).count() for selector in one)]
        assert len(there) >= len(TEXTS) - 3
        pairs = [[front, "color", back, "backgroundColor"] for front, back in there]
        assert [(what, ratio) for what, ratio in tab.evaluate(CONTRASTS, pairs) if ratio < CONTRAST_MIN] == []
        kinds = tab.eval_on_selector_all(".step", "steps => [...new Set(steps.map(step => step.classList[1]))]")
        pairs = [
            [f".step.{kind} {part}", "color", f".step.{kind}", "backgroundColor"]
            for kind in kinds
            for part in (".clause", ".what")
        ]
        assert [(what, ratio) for what, ratio in tab.evaluate(CONTRASTS, pairs) if ratio < CONTRAST_MIN] == []


@pytest.mark.parametrize("name", OFFERED[:5])
def test_on_a_phone_nothing_overflows_and_all_can_be_pressed(open_page: Open, name: str) -> None:
    tab = open_page(f"#{name}", viewport=NARROW, has_touch=True)
    for _ in range(8):
        tab.locator("button[data-step]").first.tap()
    assert tab.evaluate(SHOWN)["where"] == "step 8 of 8"
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= NARROW["width"]
    small = tab.eval_on_selector_all(
        "button", "all => all.map(b => b.getBoundingClientRect()).filter(r => Math.min(r.width, r.height) < 24).length"
    )
    assert small == 0, "large enough for a finger (WCAG 2.2, 2.5.8)"
    tab.locator("#back").tap()
    assert tab.evaluate(SHOWN)["where"] == "step 7 of 8"


def test_without_scripts_it_says_so(open_page: Open, browser: Any, file: Path) -> None:
    assert open_page("#shipped/sc/1/1")
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert "needs JavaScript" in tab.inner_text("body")
    context.close()
