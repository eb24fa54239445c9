"""The claim ``recordings``: what real processes did is one possible run of the shipped table.

Processes are started, broadcast, and record every access that they make; then an order is looked for that explains all of it.
Rules: the folder is a new one in the system's place for such things, and is gone afterwards; processes that run an edited table
are held to the shipped one all the same, which is what makes the check able to fail. Limits: a run shows what happened on this
machine; what is decided of it is in ``validate/judge.py``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from ringbuffer import recording
from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN
from ringbuffer.checker.processes import RunFailed, run_processes
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.trace.recording import Recording
from ringbuffer.validate import Validation, validate
from ringbuffer.validate.judge import IMPOSSIBLE, POSSIBLE

READERS, BLOCKS, MESSAGES = 2, 4, 2_000
BOUND: Final = f"1 writer, {READERS} readers, {BLOCKS} blocks, {MESSAGES} messages; sc, then tso"
_STATUS: Final = {POSSIBLE: HOLDS, IMPOSSIBLE: REFUTED}


def recordings(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Real processes, recorded and judged. The ring's size is fixed, whatever the scope says."""
    started = time.perf_counter()
    on_advance(f"{MESSAGES} messages to {READERS} readers")
    try:
        found = record_and_validate(scope.variant)
    except RunFailed as error:
        return claim.verdict(UNKNOWN, scope, started, bound=BOUND, states=None, note=str(error))
    parts = "; ".join(f"{part.who}, record {part.records - 1}: {part.last}" for part in found.parts)
    rate = found.records / found.seconds
    note = found.why or f"{found.records:,} records in one order, on {found.memory}; judged at {rate:,.0f} records/s"
    status = _STATUS.get(found.status, UNKNOWN)
    return claim.verdict(status, scope, started, bound=BOUND, states=None, note=note, counterexample=parts or None)


def record_and_validate(tables: Variant, messages: int = MESSAGES) -> Validation:
    """Let processes run those tables, and hold what they record to the shipped ones. Raises :class:`RunFailed`."""
    with tempfile.TemporaryDirectory(prefix="ringbuffer-recordings-") as folder:
        with recording.into(folder):
            run_processes(READERS, BLOCKS, messages, protocol=tables)
        found = [Recording.read(path) for path in sorted(Path(folder).iterdir())]
    unsaid = [replace(one, head=replace(one.head, tables="")) for one in found]
    return validate(found if tables == PROTOCOL else unsaid)
