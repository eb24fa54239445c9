"""A run as one SVG file, to stand in a chapter: the picture of ``picture.py`` with its looks inside, and nothing else.

Rules: the same run gives the same bytes; it refers to no other file and runs no script; it is legible on light and on dark
pages. What only a page can use (links, places to jump to, words for screen readers) is left out, and the title says what is
shown. Limits: those of the picture.
"""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files
from typing import Final

from ringbuffer.trace.layout import Layout
from ringbuffer.trace.picture import HEAD_HEIGHT, head, rows
from ringbuffer.trace.record import Run

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_FOR_PAGES: Final = re.compile(r' (?:aria-[a-z]+|role|href|id|data-[a-z]+)="[^"]*"')
_LOOKS: Final = re.compile(r"^:root \{.*?(?=^\* \{)|^svg text \{.*?(?=^footer )", re.MULTILINE | re.DOTALL)
"""What of the style sheets is about colours, and about the picture."""
_USED: Final = re.compile(r"\.(?:step:|step \{|arrow\.o)|:hover|:focus")
"""Lines that are about pointing at a step."""


def figure(run: Run, title: str) -> str:
    """The picture of a run. ``title``: what it shows, in words."""
    layout = Layout(run)
    width, height = layout.width, layout.height + HEAD_HEIGHT
    drawing = "\n".join(
        (
            f'<svg xmlns="{_NAMESPACE}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_style()}</style>",
            '<rect width="100%" height="100%" style="fill: var(--card)"/>',
            head(layout),
            f'<g transform="translate(0 {HEAD_HEIGHT})">{rows(layout)}</g>',
            "</svg>",
            "",
        )
    )
    return _FOR_PAGES.sub("", drawing).replace("<a ", "<g ").replace("</a>", "</g>")


def _style() -> str:
    sheets = sorted(file.name for file in files("ringbuffer.trace").iterdir() if file.name.endswith(".css"))
    text = "".join(files("ringbuffer.trace").joinpath(name).read_text(encoding="utf-8") for name in sheets)
    kept = "".join(match[0] for match in _LOOKS.finditer(text))
    assert "--card:" in kept, "the style sheets have the colours"
    assert ".box {" in kept, "and the looks of the picture"
    return "".join(f"{line}\n" for line in kept.splitlines() if line and not _USED.search(line))
