"""How much is tried: all bounds of the kit, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Effort:
    """Bounds. ``examples`` of ``calls`` at the call level; ``laps`` of C6; at the step level ``search_seconds`` for each
    clause, ``search_runs`` for each shape of ring where schedules are drawn, and ``lockstep`` examples; ``messages`` of a
    process run; ``kills`` of each clause with killed processes, beyond which places to kill at are left out; ``wall_seconds``
    for a clause, after which it is taken to hang.
    """

    name: str
    examples: int
    calls: int
    laps: int
    search_seconds: float
    search_runs: int
    lockstep: int
    messages: int
    kills: int
    wall_seconds: float


NORMAL: Final = Effort("normal", 100, 30, 300, 30.0, 200, 100, 20_000, 12, 240.0)
QUICK: Final = Effort("quick", 15, 20, 260, 2.0, 15, 5, 500, 2, 120.0)
