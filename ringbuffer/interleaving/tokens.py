"""A schedule as a short text: the granularity, the version of Python, the limit of steps, and who ran until which of its own
steps.

Form: ``il1.opcode.3.11.n3m20000.0-57_1-40_0``: of 3 actors, number 0 ran until it had made 57 steps, then number 1 until it
had made 40, then number 0 until it waited or ended; after that the default. What would have happened by default is left out at
the end.
Limits: it counts steps of the code for which it was made; after a change of that code it leads elsewhere, or nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ringbuffer.interleaving.code import bytecode_version
from ringbuffer.interleaving.scenario import TokenMalformed

_FORM = re.compile(
    r"il1\.(line|opcode)\.(\d+\.\d+)\.n(\d{1,4})m(\d{1,9})\.((?:\d{1,4}(?:-\d{1,9})?)(?:_\d{1,4}(?:-\d{1,9})?)*)?", re.ASCII
)


@dataclass(frozen=True)
class Token:
    """A parsed token. ``segments``: by actor's number, until which of its own steps (0: until it waits or ends)."""

    granularity: str
    actor_count: int
    max_steps: int
    segments: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        parts = "_".join(f"{actor}-{until}" if until else str(actor) for actor, until in self.segments)
        return f"il1.{self.granularity}.{bytecode_version()}.n{self.actor_count}m{self.max_steps}.{parts}"


def token_of(granularity: str, actor_count: int, max_steps: int, segments: Sequence[tuple[int, int]], deviated: int) -> Token:
    """The token of a run. ``deviated``: how many of its segments there are up to the last that is not the default."""
    kept = list(segments[:deviated])
    if kept:
        kept[-1] = (kept[-1][0], 0)
    return Token(granularity, actor_count, max_steps, tuple(kept))


def parse(text: str) -> Token:
    """The token of a text; :class:`TokenMalformed` where it is none, or one of another Python's bytecode."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise TokenMalformed(f"not a replay token: {text!r:.80}")
    granularity, version, count, max_steps, parts = match.groups()
    if granularity == "opcode" and version != bytecode_version():
        raise TokenMalformed(f"the token counts opcodes of Python {version}, this is {bytecode_version()}")
    segments = []
    for part in filter(None, (parts or "").split("_")):
        actor, _, until = part.partition("-")
        segments.append((int(actor), int(until or 0)))
    if any(actor >= int(count) for actor, _ in segments):
        raise TokenMalformed(f"the token names an actor beyond the {count} that it says there are")
    return Token(granularity, int(count), int(max_steps), tuple(segments))


def check_token(text: str, *, actors: int, max_steps: int) -> None:
    """Raises :class:`TokenMalformed` for what is no token of so many actors, and for one that may run longer than that."""
    token = parse(text)
    if token.actor_count != actors:
        raise TokenMalformed(f"the token is of {token.actor_count} actors, the scenario has {actors}")
    if not 1 <= token.max_steps <= max_steps:
        raise TokenMalformed(f"the token asks for up to {token.max_steps} steps, and 1 to {max_steps} can be asked for")
