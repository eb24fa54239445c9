"""The explorer page as one HTML document, which holds the graphs of states of every combination that it offers.

Rules: the same tables give the same bytes; the page asks nothing of any network, and its content security policy forbids it to;
the script looks things up in the graphs and shows them, and has no rule of the protocol in it. Limits: without scripts the page
says only that it needs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from ringbuffer.checker.parallel import answers
from ringbuffer.errors import GeometryError
from ringbuffer.explorer.menu import MEMORIES, OFFERS, SIZES, Combination, combinations
from ringbuffer.explorer.pack import Packed, pack
from ringbuffer.explorer.words import breach
from ringbuffer.protocol import Case, Instruction, Ordering, Program, Variant
from ringbuffer.protocol.properties import ALL, BY_NAME
from ringbuffer.trace.document import asset, document
from ringbuffer.trace.words import ROWS, case_in_words, variant_in_words

PAGE_BYTES_MAX: Final = 3 << 20
"""The page must stay smaller than this."""
TITLE: Final = "The ring, to click through"
_INTRO: Final = (
    "One writer sends messages to readers through a few blocks of shared memory, without a lock: a few flags say who may go on."
    " Nothing happens by itself here. <b>You say who takes the next step</b>, one access to memory at a time, and see what"
    " changes, what is possible next, and why the others wait."
)
_CONTROLS: Final = (
    ("first", "⇤", "To the start of the path (Home)"),
    ("back", "← back", "One step back (←, u)"),
    ("forward", "forward →", "One step forward on the path (→)"),
    ("last", "⇥", "To the end of the path (End)"),
)
_KINDS: Final = (
    ("due", "somebody's next message", "what some reader receives next"),
    ("later", "due later", "owed to somebody, but not next"),
    ("filling", "being filled", "not published yet"),
    ("old", "old", "nobody is owed it: every reader has had it, or it was lost"),
    ("empty", "never written", "no message was ever here"),
)
_KEYS: Final = (
    ("1 … 9, 0", "take the step with that number (0: the tenth)"),
    ("w, a, b", "the first step of the writer, of reader 0, of reader 1"),
    ("← or u", "undo: one step back"),
    ("→", "one step forward, where the path goes on"),
    ("Home, End", "to the start and to the end of the path"),
    ("Tab, Enter", "reach and press everything else"),
)


def page(chosen: Iterable[Combination] | None = None, jobs: int = 1) -> str:
    """The page with these combinations (by default with all). ``jobs``: how many processes explore at once.

    Raises :class:`GeometryError` if it would have :data:`PAGE_BYTES_MAX` bytes or more."""
    every = list(combinations())
    wanted = every if chosen is None else list(chosen)
    packed = {one.id: one for one in answers(pack, wanted, jobs)}
    offered = [
        packed.get(one.id) or Packed(one.id, {"left_out": one.pointless or "left out of this page"}, "") for one in every
    ]
    style = asset("ringbuffer.trace", "base.css") + asset("ringbuffer.explorer", "page.css")
    graphs = "".join(_data(f"graph {one.id}", one.graph) for one in offered if one.graph)
    body = _body() + _data("menu", json.dumps(_menu(offered), ensure_ascii=False, separators=(",", ":"))) + graphs
    text = document(TITLE, body, style, asset("ringbuffer.explorer", "page.js"))
    if len(text.encode()) >= PAGE_BYTES_MAX:
        raise GeometryError(f"the page has {len(text.encode())} bytes, and may have {PAGE_BYTES_MAX - 1}: offer fewer states")
    return text


def _data(name: str, text: str) -> str:
    """A piece of data for the script, which is no script itself."""
    safe = text.replace("</", "<\\/")
    return f'<script type="text/plain" id="{name}">{safe}</script>'


def _menu(offered: Iterable[Packed]) -> dict[str, Any]:
    """What is said of every choice."""
    return {
        "offers": {
            offer.id: {
                "tells": offer.tells,
                "edits": variant_in_words(str(offer.variant)),
                "rows": [_rows(offer.variant, program) for program in offer.variant.programs],
            }
            for offer in OFFERS
        },
        "memories": {name: words for name, (_, words) in MEMORIES.items()},
        "properties": {name: {"title": f"{BY_NAME[name].id} {name}", "breach": breach(name)} for name in ALL},
        "cases": {int(case): case_in_words(case) for case in Case},
        "combinations": {one.id: one.about for one in offered},
    }


def _rows(variant: Variant, program: Program) -> list[dict[str, str]]:
    return [_row(variant, one) for one in program.instructions]


def _row(variant: Variant, instruction: Instruction) -> dict[str, str]:
    """A row as the page shows it: the one access, its ordering and what that is for, and why the row is there."""
    row, shipped = instruction.row, ROWS.get(instruction.row.id)
    assert shipped is not None, "variants of this page edit rows, and add none"
    lost = row.access.ordering is Ordering.RELAXED and shipped.access.ordering is not Ordering.RELAXED
    ordering = f"{row.access.ordering.value}{', made so here' if lost else ''}"
    pairing = f"{shipped.access.ordering.value.capitalize()} {row.pairing}." if row.pairing else ""
    assert variant.row(row.id) is row or variant.row(row.id) == row, "the program has the variant's rows"
    return {
        "id": row.id,
        "title": row.title,
        "access": str(row.access),
        "ordering": ordering,
        "why": row.why,
        "pairing": pairing,
    }


def _body() -> str:
    parts = (
        f"<header><h1>{TITLE}</h1><p>{_INTRO}</p></header>",
        "<noscript><p class='note'>This page needs JavaScript, with which it looks things up in itself.</p></noscript>",
        '<p id="notice" class="note"></p>',
        _choices(),
        '<section class="verdict" aria-labelledby="verdict-title"><h2 id="verdict-title">What is known of this choice</h2>',
        '<p id="says"></p><div id="examples"></div><p class="command">The same question to the explorer:',
        ' <code id="command"></code></p></section>',
        '<main><div class="stage"><div id="faults" role="group" aria-label="What is broken"></div>',
        '<section aria-labelledby="ring-title"><h2 id="ring-title">The ring</h2><div id="blocks"></div></section>',
        '<section aria-labelledby="actors-title"><h2 id="actors-title">Who takes the next step?</h2><div id="actors"></div>',
        '</section></div><aside aria-labelledby="path-title"><h2 id="path-title">The path</h2>',
        f'<div class="controls moves">{_buttons()}<output id="where"></output></div>',
        '<div class="controls"><button type="button" id="restart">start over</button>',
        '<button type="button" id="copy">copy link to this state</button></div>',
        '<div id="told"></div><ol id="path" aria-label="The steps of the path"></ol></aside></main>',
        f'<footer>{_legend()}</footer><div id="live" class="unseen" aria-live="polite"></div>',
    )
    return "".join(parts)


def _buttons() -> str:
    return "".join(
        f'<button type="button" id="{name}" title="{title}" aria-label="{title}">{sign}</button>'
        for name, sign, title in _CONTROLS
    )


def _choices() -> str:
    """The four things to choose."""
    options = "".join(f'<option value="{offer.id}">{escape(offer.title)}</option>' for offer in OFFERS)
    readers, blocks = (sorted({size[at] for size in SIZES}) for at in (0, 1))
    return (
        '<form class="choices" id="choices" aria-label="What to look at">'
        f'<label class="protocol">Protocol <select id="offer" name="offer">{options}</select></label>'
        f"{_radios('memory', 'Memory', MEMORIES)}{_radios('readers', 'Readers', readers)}{_radios('blocks', 'Blocks', blocks)}"
        '<p id="tells"></p><p id="memory-words"></p><p id="left-out"></p></form>'
    )


def _radios(name: str, title: str, values: Iterable[object]) -> str:
    inputs = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"><span>{value}</span></label>' for value in values
    )
    return f"<fieldset><legend>{title}</legend>{inputs}</fieldset>"


def _legend() -> str:
    cases = "".join(f"<li><b>case {int(case)}</b> {case_in_words(case)}</li>" for case in Case)
    kinds = "".join(f'<li><span class="word {kind}">{name}</span> {text}</li>' for kind, name, text in _KINDS)
    keys = "".join(f"<li><kbd>{key}</kbd> {text}</li>" for key, text in _KEYS)
    return (
        f"<details open><summary>Legend and keys</summary><h2>Cases of a block</h2><ul>{cases}</ul>"
        f"<h2>Messages</h2><p>A run has no end, so messages have no numbers: each is called by what it is to the readers.</p>"
        f"<ul>{kinds}</ul><h2>Keys</h2><ul>{keys}</ul></details>"
        "<p>The states, the steps and the words on this page were exported from the same model that the checks run;"
        " the script of this page only looks them up. It makes no requests.</p>"
    )
