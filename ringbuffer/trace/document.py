"""An HTML document that holds everything it needs: its style, its script, its contents.

Rules: it asks nothing of any network, and its content security policy forbids it to; only this script and this style can run.
Limits: the body is taken as it is; who makes it escapes what it contains.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files


def asset(package: str, name: str) -> str:
    """The text of a file that lies beside a package's modules."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def document(title: str, body: str, style: str, script: str) -> str:
    """A whole document. ``title`` is plain text, ``body`` is HTML."""
    allowed = f"style-src {_digest(style)}; script-src {_digest(script)}; img-src data:"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
            f'<link rel="icon" href="data:,"><title>{escape(title)}</title>',
            f"<style>{style}</style></head>",
            f"<body>{body}<script>{script}</script></body></html>",
            "",
        )
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
