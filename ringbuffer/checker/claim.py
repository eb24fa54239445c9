"""What a claim is, what a user asks about, and what comes of it.

Rules: nothing is asserted without its method; a sample is called a sample, and what was measured is called measured. Limits:
``explored`` speaks of the sizes in ``bound`` only, ``proved`` of what was encoded, by a solver that is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ringbuffer.checker.explore import STATES_MAX
from ringbuffer.checker.reduce import REDUCTIONS
from ringbuffer.errors import VariantError
from ringbuffer.proof.prove import DISCHARGED, Finding
from ringbuffer.protocol import PROTOCOL, Variant, Waking
from ringbuffer.protocol.properties import ALL
from ringbuffer.state import ANYONE

EXPLORED, SAMPLED, MEASURED, PROVED = "explored", "sampled", "measured", "proved"

Sizes = tuple[tuple[int, int], ...]
"""Readers and blocks of rings."""

_SMALL: Final[Sizes] = ((1, 1), (1, 2), (2, 1), (2, 2))
SIZES: Final[Mapping[str, Sizes]] = {
    "sc": (*_SMALL, (1, 3), (2, 3), (3, 1), (3, 2), (3, 3)),
    "tso": _SMALL,
    "ra": _SMALL,
    "ra-relaxed": _SMALL,
}
"""The rings that ``ringbuffer check`` explores on each memory."""
FULL_SIZES: Final[Mapping[str, Sizes]] = {
    "sc": (*SIZES["sc"], (2, 4), (4, 2), (3, 4), (4, 3), (4, 4)),
    "tso": (*_SMALL, (1, 3), (3, 1), (3, 2)),
    "ra": (*_SMALL, (1, 3), (3, 1), (2, 3)),
    "ra-relaxed": (*_SMALL, (1, 3), (3, 1), (2, 3)),
}
"""Those that ``ringbuffer check --full`` explores."""
LIVENESS_SIZES: Final[Mapping[str, Sizes]] = {"sc": (*_SMALL, (1, 3), (2, 3), (3, 1), (3, 2)), "tso": ((1, 1), (1, 2), (2, 1))}
LIVENESS_FULL_SIZES: Final[Mapping[str, Sizes]] = {"sc": (*LIVENESS_SIZES["sc"], (3, 3)), "tso": _SMALL}
"""Those on which liveness is judged, for which readers cannot change places."""
QUESTION_SIZES: Final = _SMALL
"""Those that are explored for an edited protocol: a broken one reaches far more states."""

OnAdvance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a user asked about: a variant, with which faults, and the ring's size where it is not the default."""

    variant: Variant = PROTOCOL
    waking: Waking = field(default_factory=Waking)
    """The rows by which actors sleep, for the claims about these."""
    size: tuple[int, int] | None = None
    """Readers and blocks, where the user named a size."""
    messages: int | None = None
    writers: int = 1
    twins: int = 0
    killed: str = ""
    rank: int | None = None
    """The one reader to judge, if any."""
    max_states: int = STATES_MAX
    properties: tuple[str, ...] = ALL
    reductions: tuple[str, ...] = REDUCTIONS
    full: bool = False
    arguments: str = ""
    """The variant and size options as typed, for the command of each claim."""

    def sizes(self, memory: str, *, liveness: bool = False) -> Sizes:
        """The rings to explore on that memory: the one that was named, or the default ones for this question."""
        if self.size is not None:
            return (self.size,)
        if liveness:
            usual = (LIVENESS_FULL_SIZES if self.full else LIVENESS_SIZES)[memory]
        else:
            usual = (FULL_SIZES if self.full else SIZES)[memory]
        is_question = self.variant.edits or self.writers != 1 or self.twins or self.killed
        if not is_question:
            return usual
        larger = (LIVENESS_SIZES if liveness else SIZES)[memory]
        return larger if self.full else tuple(size for size in larger if size in QUESTION_SIZES)

    @property
    def edits(self) -> str:
        """All edits that were asked about, or ``shipped``."""
        return " ".join(map(str, (*self.variant.edits, *self.waking.edits))) or "shipped"

    @property
    def faults(self) -> str:
        """The faults that were asked about, for a bound."""
        told = [f"{self.writers} writers" if self.writers != 1 else "", "two processes of rank 0" if self.twins else ""]
        told += [
            f"{self.killed if self.killed == ANYONE else f'a {self.killed}'} killed" if self.killed else "",
            f"of reader {self.rank}" if self.rank is not None else "",
        ]
        return "".join(f"; {one}" for one in told if one)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table of claims."""

    id: str
    statement: str
    method: str
    status: str
    bound: str
    states: int | None
    seconds: float
    command: str
    counterexample: str | None = None
    token: str | None = None
    note: str = ""
    obligations: tuple[Finding, ...] = ()
    """For what is proved: each obligation, with its status and its time."""

    def as_json(self) -> dict[str, object]:
        """The row as plain JSON values; ``counterexample``, ``token``, ``note`` and ``obligations`` only where there are
        any."""
        row: dict[str, object] = {
            "id": self.id,
            "statement": self.statement,
            "method": self.method,
            "status": self.status,
            "bound": self.bound,
            "states": self.states,
            "seconds": round(self.seconds, 3),
            "command": self.command,
        }
        optional: dict[str, object] = {"counterexample": self.counterexample, "token": self.token, "note": self.note or None}
        if self.obligations:
            optional["obligations"] = {
                "count": len(self.obligations),
                "open": {one.name: one.status for one in self.obligations if one.status != DISCHARGED},
                "seconds": {one.name: round(one.seconds, 4) for one in self.obligations},
            }
        return row | {key: value for key, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: its id, its statement, its method, and how it is tried.

    ``memory``: the simulated memory that it speaks of, or empty. ``answers``: names of properties about which a question on
    that memory is answered by this claim; empty for a claim about the project as it is. ``ignores``: fields of a scope of which
    the check makes no use: asking for them is refused. ``sleeps``: whether it is about the rows of sleeping and waking; other
    claims make no use of edits of these.
    """

    id: str
    statement: str
    method: str
    check: Callable[[Claim, Scope, OnAdvance], Verdict]
    memory: str = ""
    answers: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    sleeps: bool = False

    def require_heeded(self, scope: Scope) -> None:
        """Raise :class:`VariantError` when the scope asks for something of which this claim makes no use."""
        for name in (*self.ignores, *(() if self.sleeps else ("waking",))):
            if getattr(scope, name) != getattr(Scope(), name):
                raise VariantError(f"the claim {self.id} has no use for the option about {name}: ask without it")

    def verdict(self, status: str, scope: Scope, started: float, **more: Any) -> Verdict:
        """A row of the table for this claim."""
        command = " ".join(filter(None, ("ringbuffer check --claim", self.id, scope.arguments)))
        seconds = time.perf_counter() - started
        return Verdict(self.id, self.statement, self.method, status, seconds=seconds, command=command, **more)
