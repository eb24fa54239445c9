"""A run as a picture: two SVG drawings of one width, the head (who, which block) and below it one row for each step.

A lane for each actor, time downward, each step a box in its actor's lane; arrows lead from the step that stored a value to the
step that got it; at the right, what an onlooker finds in every block after the step. Rules: colour never says anything alone;
everything that a script or a test may ask for is an attribute (``data-step``, ``data-from``, ``data-to``, ``data-block``);
looks are the style sheet's. Limits: those of the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from ringbuffer.trace.layout import (
    BLOCK_GAP,
    BOX,
    BOX_WIDTH,
    CHANNEL,
    CHARACTER,
    FLAG,
    LINE,
    MARGIN,
    NUMBERS,
    REMARK_CHARACTER,
    ROW,
    TRACK,
    WORD,
    Arrow,
    Banner,
    Layout,
)
from ringbuffer.trace.record import FLUSH, KILL, Block, Step
from ringbuffer.trace.text import message_name
from ringbuffer.trace.words import SENDS, property_in_words, ring_before, stays, step_in_words

HUES: Final = 6
"""How many colours there are for messages."""
HEAD_HEIGHT: Final = 48
_ACCESS_MAX, _ACCESS_WITH_BLOCK_MAX = 14, 12
"""How many characters of an access a box can hold, in the usual size and beside the block's number."""


def head(layout: Layout) -> str:
    """The drawing that stands above the rows: the actors' names, and what the columns of each block are."""
    parts = [_text(layout.left - 8, 40, "step", "small end")]
    for actor, left in zip(layout.run.actors, layout.lanes, strict=True):
        starved = actor == layout.run.starved
        parts.append(_rect("actor starved" if starved else "actor", left, 4, BOX_WIDTH, 40, 7))
        parts.append(_text(left + BOX_WIDTH / 2, 21 if starved else 29, actor, "name"))
        parts += [_text(left + BOX_WIDTH / 2, 37, "✗ starves", "starves")] * starved
    for block, left in enumerate(layout.blocks):
        labels = ["w", *map(str, range(len(layout.run.initial[block].flags) - 1))]
        parts.append(_text(left, 19, f"block {block}", "name start"))
        parts += [_text(layout.flag_left(block, i) + FLAG / 2, 40, label, "small") for i, label in enumerate(labels)]
        parts.append(_text(layout.case_middle(block), 40, "case", "small"))
        parts.append(_text(layout.word_left(block, 0), 40, "payload", "small start"))
    return _drawing(layout.width, HEAD_HEIGHT, 'class="head" aria-hidden="true"', "".join(parts))


def rows(layout: Layout) -> str:
    """The drawing of all steps."""
    initial = layout.run.initial
    start = _text(layout.left - 8, layout.middle(0) + 4, "start", "small end") + _ring(layout, 0, initial, initial, None)
    parts = [
        *_stage(layout),
        *(_banner(layout, banner) for banner in layout.banners),
        f'<g class="start">{start}</g>\n',
        *(_step(layout, step) for step in layout.run.steps),
        f'<g class="arrows" aria-hidden="true">{"".join(_arrow(layout, arrow) for arrow in layout.arrows)}</g>',
    ]
    about = 'class="rows" role="group" aria-label="All steps, the first at the top"'
    return _drawing(layout.width, layout.height, about, "".join(parts))


def _drawing(width: float, height: float, about: str, content: str) -> str:
    return f'<svg {about} width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">{content}</svg>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float, radius: float, more: str = "") -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
    return f'<rect class="{kind}" {place}{more}/>'


def _stage(layout: Layout) -> Iterator[str]:
    """What lies behind the steps: lifelines, columns of blocks, who is inside a block when, and the bracket of the cycle."""
    for left in layout.lanes:
        yield f'<path class="life" d="M{left + BOX_WIDTH / 2:g} 0V{layout.bottom:g}"/>'
    for left in layout.blocks:
        yield _rect("column", left - 9, 0, layout.block_width + 18, layout.bottom, 7)
    yield from _stays(layout)
    yield from _bracket(layout)


def _stays(layout: Layout) -> Iterator[str]:
    """A shade in an actor's lane for as long as it is inside a block; those that collide at the end are marked."""
    last = layout.run.steps[-1] if layout.run.steps else None
    clash = last.block if last is not None and "exclusion" in last.broken else None
    for stay in stays(layout.run):
        left, top = layout.lanes[layout.lane_of[stay.actor]], layout.middle(stay.since)
        until = layout.bottom if stay.until is None else layout.middle(stay.until)
        kind = "stay clash" if stay.until is None and stay.block == clash else "stay"
        yield _rect(kind, left + 5, top, BOX_WIDTH - 10, until - top, 3, f' data-block="{stay.block}"')
        if stay.until is None:
            yield _text(left + BOX_WIDTH / 2, until - 8, f"in block {stay.block}", "small")


def _bracket(layout: Layout) -> Iterator[str]:
    """The bracket beside the steps that repeat for ever, with an arrow back to the first of them."""
    if layout.run.cycle_start is None:
        return
    top, bottom, x = layout.middle(layout.run.cycle_start), layout.middle(len(layout.run.steps)), MARGIN + 6
    corners = f"Q{x} {bottom:g} {x} {bottom - 6:g}V{top + 6:g}Q{x} {top:g} {x + 6} {top:g}"
    yield f'<g class="cycle"><path d="M{x + 14} {bottom:g}H{x + 6}{corners}H{x + 9}"/>'
    yield f'<path class="tip" d="M{x + 16} {top:g}l-9 -5v10z"/>'
    yield f'<text transform="rotate(-90)" x="{-(top + bottom) / 2:g}" y="{x - 5}">for ever</text></g>'


def _banner(layout: Layout, banner: Banner) -> str:
    frame = _rect("frame", layout.left, banner.top, layout.width - layout.left - MARGIN, banner.height, 6)
    lines = (
        _text(layout.left + 12, banner.top + 16 + LINE * number, line, "start") for number, line in enumerate(banner.lines)
    )
    return f'<g class="banner {banner.kind}">{frame}{"".join(lines)}</g>\n'


def _step(layout: Layout, step: Step) -> str:
    """A step: its row, its number, its box, and the ring beside it; a link to itself, so that it can be pointed at."""
    kinds = ["step", step.kind, "sends" if step.kind in SENDS else "looks"]
    kinds += ["stale"] * step.stale + ["broken"] * bool(step.broken)
    said = [f"Step {step.number}: {step.row} {step_in_words(step)}", *(["Stale."] * step.stale)]
    said += [f"{property_in_words(name)} is broken." for name in step.broken]
    x = layout.left - NUMBERS
    parts = (
        _rect("band", x, layout.tops[step.number], layout.width - x - 4, ROW, 5),
        _text(layout.left - 8, layout.middle(step.number) + 4, str(step.number), "number end"),
        _box(layout, step),
        _ring(layout, step.number, ring_before(layout.run, step), step.ring, step.block),
    )
    about = f'id="step-{step.number}" href="#step-{step.number}" data-step="{step.number}" class="{" ".join(kinds)}"'
    return f'<a {about} aria-label="{escape(" ".join(said))}">{"".join(parts)}</a>\n'


def _box(layout: Layout, step: Step) -> str:
    left, y = layout.lanes[layout.lane_of[step.actor]], layout.middle(step.number)
    access = "✗ killed" if step.kind == KILL else step.access or step.kind
    size = " long" if len(access) > _ACCESS_MAX else ""
    parts = [
        _rect("box", left, y - BOX / 2, BOX_WIDTH, BOX, BOX / 2 if step.kind == FLUSH else 4),
        _text(left + (5 if step.kind == FLUSH else 7), y + 4, f"{'⇣' if step.kind == FLUSH else ''}{step.row}", "clause start"),
        _text(left + (34 if step.kind == FLUSH else 31), y + 4, access, f"access start{size}"),
    ]
    if step.location and len(access) <= _ACCESS_WITH_BLOCK_MAX:
        parts.append(_text(left + BOX_WIDTH - 6, y + 4, f"b{step.block}", "at end"))
    return f'<g class="what">{"".join(parts)}{_signs(step, left + BOX_WIDTH + 4, y)}{_remark(layout, step, y)}</g>'


def _signs(step: Step, right: float, y: float) -> str:
    """What is wrong with a step, in a word, at the upper right corner of its box."""
    ids = " ".join(property_in_words(name).split()[0] for name in step.broken)
    parts = []
    for kind, text in [("stale", "⚠ stale")] * step.stale + [("broken", f"✗ {ids}")] * bool(ids):
        width = len(text) * CHARACTER + 10
        right -= width
        plate = _rect("plate", right, y - BOX / 2 - 8, width, 14, 7)
        parts.append(f'<g class="sign {kind}">{plate}{_text(right + width / 2, y - BOX / 2 + 2.5, text, "small")}</g>')
        right -= 3
    return "".join(parts)


def _remark(layout: Layout, step: Step, y: float) -> str:
    """The step's note, in the part of the row that no other step needs."""
    note, lanes = step.note.removeprefix(step.actor).strip(), layout.lanes
    if not note:
        return ""
    lane = layout.lane_of[step.actor]
    to_the_right = lane + 1 < len(lanes)
    x = lanes[lane + 1] + 4 if to_the_right else lanes[-2] + BOX_WIDTH - 4
    room = int((layout.lanes_end + BLOCK_GAP - x if to_the_right else x - layout.left) / REMARK_CHARACTER)
    shown = note if len(note) <= room else f"{note[: room - 1].rstrip()}…"
    return _text(x, y + 4, shown, f"remark {'start' if to_the_right else 'end'}")


def _ring(layout: Layout, number: int, before: Sequence[Block], after: Sequence[Block], touched: int | None) -> str:
    """What every block holds after a step, the changes marked, and the block that the step was about."""
    parts = []
    for block, (old, new) in enumerate(zip(before, after, strict=True)):
        kind = "block" + " touched" * (block == touched) + " changed" * (old != new)
        parts.append(f'<g class="{kind}" data-block="{block}">{_block(layout, block, layout.middle(number), old, new)}</g>')
    return "".join(parts)


def _block(layout: Layout, block: int, y: float, old: Block, new: Block) -> str:
    top, parts = y - FLAG / 2, []
    for index, (was, flag) in enumerate(zip(old.flags, new.flags, strict=True)):
        x = layout.flag_left(block, index)
        parts.append(_rect(f"flag f{flag}" + " new" * (was != flag), x + 1, top + 1, FLAG - 2, FLAG - 2, 2))
        parts.append(_text(x + FLAG / 2, y + 4, str(flag), f"bit b{flag}"))
    x = layout.case_middle(block)
    kind = f"case c{int(new.case)}" + " new" * (old.case != new.case)
    parts.append(f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="8.5"/>{_text(x, y + 4, str(int(new.case)), "bit")}')
    for index, (was, word) in enumerate(zip(old.payload, new.payload, strict=True)):
        x = layout.word_left(block, index)
        kind = f"word {f'm{(word - 1) % HUES}' if word > 0 else 'none'}" + " new" * (was != word)
        parts.append(_rect(kind, x, top, WORD - 2, FLAG, 3) + _text(x + WORD / 2 - 1, y + 4, message_name(word), "bit"))
    return "".join(parts)


def _arrow(layout: Layout, arrow: Arrow) -> str:
    """An arrow. It leaves its source sideways, goes down in the channel of the target's lane, and enters from the left."""
    target = layout.run.steps[arrow.target - 1]
    x, y = layout.lanes[arrow.lane], layout.middle(arrow.target)
    kinds = "arrow" + " flushes" * (target.kind == FLUSH) + " key" * bool(target.stale or target.broken)
    kinds += " stale" * target.stale
    if arrow.source == 0:
        path = f'<path d="M{x - 13:g} {y:g}H{x - 6:g}"/><circle class="origin" cx="{x - 16:g}" cy="{y:g}" r="3"/>'
    else:
        from_lane = layout.lane_of[layout.run.steps[arrow.source - 1].actor]
        from_left = from_lane < arrow.lane
        start, top = layout.lanes[from_lane] + (BOX_WIDTH if from_left else 0), layout.middle(arrow.source)
        down = x - CHANNEL / 2 - 3 - TRACK * arrow.track
        out = f"M{start:g} {top:g}H{down - (4 if from_left else -4):g}Q{down:g} {top:g} {down:g} {top + 4:g}"
        path = f'<path d="{out}V{y - 4:g}Q{down:g} {y:g} {down + 4:g} {y:g}H{x - 6:g}"/>'
    tip = f'<path class="tip" d="M{x:g} {y:g}l-8 -4.5v9z"/>'
    return f'<g class="{kinds}" data-from="{arrow.source}" data-to="{arrow.target}">{path}{tip}</g>'
