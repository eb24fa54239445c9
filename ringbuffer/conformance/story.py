"""A failure as it is told: what was asked, the shortest run that was found, in words, and the token that runs it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LINES_MAX: Final = 60
"""A longer story is told by its last lines; the token has all of it."""


class Violation(Exception):
    """A clause does not hold. ``what``: in one sentence; ``ring``: which ring; ``story``: the run, line by line."""

    def __init__(self, what: str, ring: str, story: Sequence[str], token: str | None = None) -> None:
        super().__init__(what)
        self.what, self.ring, self.story, self.token = what, ring, tuple(story), token

    def text(self) -> str:
        """All of it, as it is printed."""
        left_out = len(self.story) - LINES_MAX
        lines = [f"  ({left_out} lines before these are left out)"] if left_out > 0 else []
        lines += [f"  {number:3}. {line}" for number, line in enumerate(self.story, 1) if number > left_out]
        return "\n".join([self.what, f"with {self.ring}:", *lines])


class Found(Exception):
    """What Hypothesis is to see of a violation: one kind of error, raised at one place, so that it makes one thing short."""


def geometry(readers: int, blocks: int, block_bytes: int) -> str:
    """Which ring, in words."""
    named = f"{readers} reader{'s' * (readers != 1)}, {blocks} block{'s' * (blocks != 1)}"
    return f"{named} of {block_bytes} bytes"
