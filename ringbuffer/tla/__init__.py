"""The protocol as a TLA+ module, printed from the tables, and the abstract queue that it is held to.

``Ring.tla`` has an action for each row; ``BroadcastQueue.tla`` is what a broadcast ring is for; the ``.cfg`` files tell TLC
what to check. Rules: the same tables that run are printed, so that a second checker, which shares no code with the explorer,
judges the same rows; both must count the same number of states. Limits: sequential consistency, one writer, nobody killed;
what TLC finds holds for the numbers of readers, blocks and words that a configuration names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.protocol.properties import BY_NAME
from ringbuffer.tla.ring import module
from ringbuffer.tla.text import QUEUE, README

FOLDER: Final = "tla"
"""Where the files stand in the folder of the specification."""
VIEW: Final = "UpToNames"
"""The view in which states that differ in the messages' names are one."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What one run of TLC looks at: invariants and properties, by their names in ``Ring.tla``.

    ``fair``: only of fair runs, and then without the view; otherwise of all runs.
    """

    about: str
    invariants: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    fair: bool = False


def checked_as(name: str) -> str:
    """What a property of :mod:`ringbuffer.protocol.properties` is called in ``Ring.tla``: ``P1_torn``."""
    return f"{BY_NAME[name].id}_{name}"


STATE_PROPERTIES: Final = ("overwritten", "exclusion")
"""The safety properties that are about states: TLC's invariants. The others are about steps."""
STEP_PROPERTIES: Final = ("torn", "stale", "reordered", "lost")

CHECKS: Final = {
    "Safety": Checks(
        "What must always hold, and the number of states, which is the explorer's.",
        ("TypeOK", *map(checked_as, STATE_PROPERTIES)),
        tuple(map(checked_as, STEP_PROPERTIES)),
    ),
    "Liveness": Checks(
        "What fair runs keep: the ring is a broadcast queue, and what must happen in the end does.",
        ("OwedIsHeld",),
        ("Refines", *map(checked_as, ("progress", "starved"))),
        fair=True,
    ),
}
"""The configurations by their names."""

READERS: Final = 2
BLOCKS: Final = 2
WORDS: Final = 2

STATE_COUNTS: Final = {(1, 1): 53, (1, 2): 303, (2, 1): 169, (3, 1): 761, (2, 2): 2567}
"""By readers and blocks, the states of the shipped tables: TLC's with ``Safety.cfg``, and the explorer's without reductions."""
RAW_STATE_COUNT: Final = 12412
"""How many TLC finds without the view, for :data:`READERS` and :data:`BLOCKS`."""


def configuration(
    checks: Checks, readers: int = READERS, blocks: int = BLOCKS, *, words: int = WORDS, aborts: bool = True
) -> str:
    """The text of a ``.cfg`` file that checks this on a ring of that size."""
    lines = [
        f"\\* {checks.about}",
        "\\* Printed by `ringbuffer spec --write` from ringbuffer/tla/; see README.md.",
        "CONSTANTS",
    ]
    lines += [f"  N = {readers}", f"  K = {blocks}", f"  Words = {words}", f"  Aborts = {str(aborts).upper()}"]
    lines += ["SPECIFICATION Spec"] if checks.fair else ["INIT Init", "NEXT Next", f"VIEW {VIEW}"]
    lines += _list("INVARIANTS", checks.invariants) + _list("PROPERTIES", checks.properties)
    return "\n".join(lines) + "\n"


def _list(head: str, names: Sequence[str]) -> list[str]:
    return [head, *(f"  {name}" for name in names)] if names else []


def files(variant: Variant = PROTOCOL) -> dict[str, str]:
    """The files' names and texts. Raises :class:`~ringbuffer.errors.VariantError` for tables that cannot be printed."""
    return {
        "README.md": _readme(),
        "Ring.tla": module(variant),
        "BroadcastQueue.tla": QUEUE,
        **{f"{name}.cfg": configuration(checks) for name, checks in CHECKS.items()},
    }


def _readme() -> str:
    return README.substitute(
        configurations="\n".join(f"| [`{name}.cfg`]({name}.cfg) | {_what(checks)} |" for name, checks in CHECKS.items()),
        names=" ".join(CHECKS),
        counts="\n".join(f"| {readers} | {blocks} | {count:,} |" for (readers, blocks), count in STATE_COUNTS.items()),
        raw_count=f"{RAW_STATE_COUNT:,}",
    )


def _what(checks: Checks) -> str:
    """A configuration in words: ``What must always hold: `TypeOK`, …``."""
    names = ", ".join(f"`{name}`" for name in (*checks.invariants, *checks.properties))
    return f"{checks.about[0].lower()}{checks.about[1:].rstrip('.')}: {names}"


def update(folder: Path, *, write: bool) -> list[str]:
    """Bring the files in ``folder`` up to date with the shipped tables, or (not ``write``) only look.

    Returns a line for each file that is, or was, out of date or missing; other files there are none of ours and stay.
    """
    stale = []
    for name, text in files().items():
        path = folder / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if write:
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale
