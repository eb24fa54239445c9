"""A run as a page: one HTML document that holds everything, to be opened in any browser, kept, mailed, or printed.

Rules: the same run gives the same bytes; the page asks nothing of any network, and its content security policy forbids it to;
whatever comes from the run is escaped; without scripts it is a still picture with all of its text. Limits: the page shows what
the record holds, and checks nothing; a picture of a very long run is a very long picture.
"""

from __future__ import annotations

from html import escape
from typing import Final

from ringbuffer.protocol import Case
from ringbuffer.trace.document import asset, document
from ringbuffer.trace.layout import Layout
from ringbuffer.trace.picture import head, rows
from ringbuffer.trace.record import Run, Step
from ringbuffer.trace.words import (
    STALE,
    case_in_words,
    changes_in_words,
    cycle_in_words,
    faults,
    memory_in_words,
    plural,
    property_in_words,
    reasons,
    row_in_words,
    source_in_words,
    statement_of,
    step_in_words,
    the,
    variant_in_words,
    verdict_in_words,
)

REPLAY: Final = "ringbuffer replay"
WIDE: Final = 1100
"""Pictures that are wider than this have the words below them, not beside them."""
_LEGEND: Final = (
    ("box load", "W1", "a load, or a fence: only looks"),
    ("box store", "W6", "a store: changes what others find"),
    ("box fill", "W4", "the caller writes a word of the payload"),
    ("box read", "R3", "the caller reads a word of the payload"),
    ("box flush", "⇣", "a waiting store reaches memory"),
    ("sign stale", "⚠ stale", "a newer value was there, or on its way"),
    ("sign broken", "✗ P2", "the step breaks that property"),
    ("arrow", "→", "from the step that stored the value to the step that got it; from a ring: the initial value"),
    ("stay", "", "the actor is inside a block: its caller fills or reads"),
    ("flag one", "1", "a flag: w is the written flag, then one for each reader"),
    ("flag new", "0", "changed by this step"),
)


def page(run: Run) -> str:
    """The page that shows ``run``: a whole HTML document, which needs no other file."""
    layout = Layout(run)
    body = "\n".join(
        (
            _header(run),
            f'<main class="{"wide" if layout.width > WIDE else "slim"}">',
            '<section class="picture" aria-label="Picture of the run" tabindex="-1">',
            f'<div class="sticky">{head(layout)}</div>{rows(layout)}</section>',
            f"{_panel(run)}</main>",
            _footer(run),
        )
    )
    package = "ringbuffer.trace"
    return document(_title(run), body, asset(package, "base.css") + asset(package, "page.css"), asset(package, "page.js"))


def _title(run: Run) -> str:
    broken = " and ".join(map(property_in_words, run.broken))
    return f"{broken} broken: {run.variant}" if broken else f"Nothing broke: {run.variant}"


def _header(run: Run) -> str:
    """What was asked, and what came out."""
    found = "".join(f"<li>{_fault(run, *fault)}</li>" for fault in faults(run))
    names = " and ".join(property_in_words(name) for name in run.broken)
    verdict = f"✗ {names} {'is' if len(run.broken) == 1 else 'are'} broken" if run.broken else "✓ Nothing broke in this run"
    facts = (
        ("protocol", f"{escape(variant_in_words(run.variant))} <code>{escape(run.variant)}</code>"),
        ("ring", f"{plural(run.readers, 'reader')} × {plural(run.blocks, 'block')}"),
        ("memory", f"{escape(memory_in_words(run.memory))} <code>{escape(run.memory)}</code>"),
        ("run", plural(len(run.steps), "step")),
    )
    terms = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts)
    kind = "broken" if run.broken else "clean"
    return f'<header class="{kind}"><h1>{escape(verdict)}</h1><ul class="faults">{found}</ul><dl>{terms}</dl></header>'


def _fault(run: Run, name: str, number: int | None, text: str) -> str:
    """One thing that broke: what happened, and what was demanded."""
    which = f"<b>✗ {escape(property_in_words(name))}</b> " if len(run.broken) > 1 else ""
    where = f'<a href="#step-{number}">Step {number}</a>: ' if number else ""
    statement = statement_of(name)
    demand = f"Yet {property_in_words(name).split()[0]} says: {statement}." if statement else ""
    return f'{which}<strong>{where}{escape(text)}</strong> <span class="must">{escape(demand)}</span>'


def _panel(run: Run) -> str:
    """The steps in words. With scripts only the current one is shown, and there are buttons."""
    buttons = "".join(
        f'<button type="button" data-go="{go}" title="{title}" aria-label="{title}">{sign}</button>'
        for go, sign, title in (
            ("first", "⇤", "First step (Home)"),
            ("previous", "←", "Previous step (← ↑ k)"),
            ("next", "→", "Next step (→ ↓ j space)"),
            ("last", "⇥", "Last step (End)"),
        )
    )
    start = run.cycle_start or next((step.number for step in run.steps if step.broken), 1)
    items = "\n".join(_item(run, step) for step in run.steps)
    keys = "<kbd>←</kbd> <kbd>→</kbd>, <kbd>j</kbd> <kbd>k</kbd>, <kbd>Home</kbd> <kbd>End</kbd>, <kbd>space</kbd>"
    return (
        f'<aside aria-label="The current step" data-start="{start}">'
        f'<div class="controls">{buttons}<output class="where" aria-hidden="true"></output></div>'
        f'<p class="keys">Keys: {keys}</p><ol class="words" aria-live="polite">{items}</ol></aside>'
    )


def _item(run: Run, step: Step) -> str:
    """One step in words."""
    parts = [f"<h2>{escape(step.actor)} <span>{escape(row_in_words(step.row))}</span></h2>"]
    parts += [f'<p class="warning stale">⚠ {STALE}</p>'] * step.stale
    parts += [f'<p class="warning">✗ {escape(verdict_in_words(run, step, name))}</p>' for name in step.broken]
    parts.append(f"<p>{escape(step_in_words(step))}</p>")
    if source := source_in_words(run, step):
        link = f' <a href="#step-{step.reads_from}">Show it</a>' if step.reads_from else ""
        parts.append(f"<p>{escape(source)}{link}</p>")
    if step.note:
        parts.append(f'<p class="note">{escape(step.note)}</p>')
    after = f"Then {the(step.actor)} stands at {row_in_words(step.goes_to)}." if step.goes_to else ""
    parts.append(f"<p>{escape(changes_in_words(run, step))} {escape(after)}</p>")
    if step.number == run.cycle_start:
        parts.append(f'<p class="note">↻ {escape(cycle_in_words(run))}</p>')
    if why := reasons(step):
        parts.append(f"<h3>Why there is {escape(step.row)}</h3>{''.join(f'<p>{escape(text)}</p>' for text in why)}")
    return f'<li data-step="{step.number}" value="{step.number}">{"".join(parts)}</li>'


def _footer(run: Run) -> str:
    """The legend, and the command that runs it again."""
    legend = "".join(f'<li><span class="key {kind}">{sign}</span> {text}</li>' for kind, sign, text in _LEGEND)
    cases = "".join(f'<li><span class="key case c{int(case)}">{int(case)}</span> {case_in_words(case)}</li>' for case in Case)
    command = f"{REPLAY} {escape(run.token)}"
    return (
        f'<footer><details open><summary>Legend</summary><ul class="legend">{legend}</ul>'
        f'<h2>Cases of a block</h2><ul class="legend">{cases}</ul></details>'
        f'<h2>Run it again</h2><div class="replay"><pre tabindex="0"><code id="command">{command}</code></pre>'
        '<button type="button" class="copy">Copy</button></div></footer>'
    )
