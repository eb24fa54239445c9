"""Unmodified Python code, run in every order: actors in threads, switched between opcodes or lines by a deterministic
scheduler.

What it is for: a ring that somebody else wrote, in plain Python on ``multiprocessing.shared_memory``, is explored below the
level of its calls without being changed. :func:`search` looks for a schedule that fails; :func:`replay` runs one again, to the
letter.

Rules: each actor stands for a process; nothing runs but the actor whose turn it is; where switches happen, what is waiting,
what time it is and who goes on are functions of the code and of the schedule alone. Knows nothing of rings.

Limits: what one opcode does in C (the assignment of a slice, ``struct.pack_into``) is one step, so a payload is never torn
within it; memory is sequentially consistent (``ringbuffer.memory`` models weaker ones); blocking inside C that is neither
``sleep`` nor a lock of ``threading`` is not seen, and ends the search with :class:`Blocked`. Code is told apart by file (see
``code.py``).
"""

from ringbuffer.interleaving.scenario import Blocked, Diverged, Hang, NothingTraced, Scenario, StepLimit, TokenMalformed
from ringbuffer.interleaving.schedules import Exhaustive, Pct, Random
from ringbuffer.interleaving.searching import Report, Run, replay, search
from ringbuffer.interleaving.tokens import check_token

__all__ = [
    "Blocked",
    "Diverged",
    "Exhaustive",
    "Hang",
    "NothingTraced",
    "Pct",
    "Random",
    "Report",
    "Run",
    "Scenario",
    "StepLimit",
    "TokenMalformed",
    "check_token",
    "replay",
    "search",
]
