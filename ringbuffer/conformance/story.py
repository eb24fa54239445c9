"""A failure as it is told: what was asked, the shortest run that was found, in words, and the token that runs it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LINES_MAX: Final = 60
"""A longer story is told by its last lines; the token has all of it."""


class Violation(Exception):
    """A clause does not hold. ``what``: in one sentence; ``ring``: which ring; ``story``: the run, line by line, or, where it
    ``is_told`` already, in paragraphs; ``token``: replays it; ``calls``: how many calls were made, where it was call by call.
    """

    def __init__(
        self, what: str, ring: str, story: Sequence[str], token: str | None = None, calls: int = 0, *, is_told: bool = False
    ) -> None:
        super().__init__(what)
        self.what, self.ring, self.token, self.calls = what, ring, token, calls
        self._story, self._is_told = tuple(story), is_told

    def text(self) -> str:
        """All of it, as it is printed."""
        return "\n".join([self.what, f"with {self.ring}:", *self._lines()])

    def _lines(self) -> list[str]:
        if self._is_told:
            return [f"  {line}" for paragraph in self._story for line in paragraph.splitlines()]
        left_out = max(0, len(self._story) - LINES_MAX)
        lines = [f"  ({left_out} lines before these are left out)"] if left_out else []
        return lines + [f"  {number:3}. {line}" for number, line in enumerate(self._story, 1) if number > left_out]


class Found(Exception):
    """What Hypothesis is to see of a violation: one kind of error, raised at one place, so that it makes one thing short."""


def geometry(readers: int, blocks: int, block_bytes: int) -> str:
    """Which ring, in words."""
    named = f"{readers} reader{'s' * (readers != 1)}, {blocks} block{'s' * (blocks != 1)}"
    return f"{named} of {block_bytes} bytes"
