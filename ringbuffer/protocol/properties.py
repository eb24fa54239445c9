"""The named properties: what must always hold, what must happen in the end, and what must be seen to happen at all.

Rules: each property has a clause id, a one-word name for command lines, and a statement. Each *always* has partners among
the *sometimes*: unless these were seen, it holds only because nothing happened, and a check must say so. Limits: the
statements are words; the oracle (``protocol/oracle.py``) and the model decide when one is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringbuffer.errors import VariantError

ALWAYS, EVENTUALLY, SOMETIMES = "always", "eventually", "sometimes"


@dataclass(frozen=True, slots=True)
class Property:
    """One property. ``partners``: names of the *sometimes* that keep it from holding vacuously.

    ``readers_min`` and ``blocks_min``: the smallest ring in which it can be seen (for a *sometimes*).
    ``needs_aborts``: whether it speaks of callers that raise; ``needs_successors``: whether of those who follow the dead;
    ``needs_sleep``: whether of actors that sleep.
    """

    id: str
    name: str
    modality: str
    statement: str
    partners: tuple[str, ...] = ()
    readers_min: int = 1
    blocks_min: int = 1
    needs_aborts: bool = False
    needs_successors: bool = False
    needs_sleep: bool = False


PROPERTIES: Final[tuple[Property, ...]] = (
    Property("P1", "torn", ALWAYS, "what a reader reads from one block belongs to one message", ("recycled",)),
    Property(
        "P2",
        "stale",
        ALWAYS,
        "no reader receives a message twice, nor one that was never published",
        ("reader-waits", "fill-aborted", "read-aborted"),
    ),
    Property("P3", "reordered", ALWAYS, "each reader receives the messages in the order they were written", ("backlog",)),
    Property("P4", "lost", ALWAYS, "no reader gives back a block whose message it has not received", ("received",)),
    Property(
        "P5",
        "overwritten",
        ALWAYS,
        "the writer does not write into a block whose message some reader has not received",
        ("writer-waits", "recycled"),
    ),
    Property(
        "P6",
        "exclusion",
        ALWAYS,
        "while a writer is in a block, nobody else is in that block",
        ("side-by-side", "shared-block"),
    ),
    Property(
        "P7",
        "progress",
        EVENTUALLY,
        "as long as all run, the writer publishes again and again, and no reader that is owed a message waits for ever",
        ("received", "writer-waits", "reader-waits"),
    ),
    Property(
        "P8",
        "starved",
        EVENTUALLY,
        "as long as all run, every reader receives, in the end, the oldest message that it is owed",
        ("received", "reader-waits"),
    ),
    Property(
        "P9",
        "race",
        ALWAYS,
        "payload accesses of which one is a write are ordered by happens-before (judged under release/acquire)",
        ("received", "recycled"),
    ),
    Property(
        "P10",
        "misnumbered",
        ALWAYS,
        "the number in a message is the one that its reader is at, whoever was killed and followed before",
        ("killed", "writer-followed", "reader-followed", "note-missed", "mark-missed", "came-again", "stood-in", "rejoined"),
        needs_successors=True,
    ),
    Property(
        "P11",
        "undrained",
        ALWAYS,
        "when a reader is told that the writer is dead, it has received all that this writer published",
        ("told",),
        needs_successors=True,
    ),
    Property(
        "P12",
        "lost-wakeup",
        ALWAYS,
        "nobody sleeps whose block is ready, unless somebody is on the way to wake it",
        ("slept", "woken", "sleep-together"),
        needs_sleep=True,
    ),
    Property("P13", "all-asleep", ALWAYS, "somebody is awake", ("slept",), needs_sleep=True),
    Property("S1", "received", SOMETIMES, "a reader receives a message"),
    Property("S2", "recycled", SOMETIMES, "the writer finds a block that every reader has read"),
    Property("S3", "writer-waits", SOMETIMES, "the writer waits because a reader has not read"),
    Property("S4", "reader-waits", SOMETIMES, "a reader waits because nothing new is in its block"),
    Property("S5", "backlog", SOMETIMES, "a reader receives a message when a newer one is there already", blocks_min=2),
    Property("S6", "side-by-side", SOMETIMES, "the writer and a reader are in two blocks at once", blocks_min=2),
    Property("S7", "shared-block", SOMETIMES, "two readers are in one block at once", readers_min=2),
    Property("S8", "fill-aborted", SOMETIMES, "the writer's caller raises while it fills a block", needs_aborts=True),
    Property("S9", "read-aborted", SOMETIMES, "a reader's caller raises while it reads a block", needs_aborts=True),
    Property("S10", "killed", SOMETIMES, "a process is killed"),
    Property("S11", "writer-followed", SOMETIMES, "a successor takes over the writer's role"),
    Property("S12", "reader-followed", SOMETIMES, "a successor takes over a reader's role"),
    Property("S13", "note-missed", SOMETIMES, "a writer's successor goes on behind what is published and was not noted"),
    Property("S14", "mark-missed", SOMETIMES, "a reader's successor goes back to what was noted and not marked"),
    Property("S15", "came-again", SOMETIMES, "a reader's successor receives what the one before had read and not marked"),
    Property("S16", "stood-in", SOMETIMES, "a stand-in marks a block for a reader that was evicted"),
    Property("S17", "rejoined", SOMETIMES, "a newcomer takes a reader's role from its stand-in"),
    Property("S18", "told", SOMETIMES, "a reader that waits is told that the writer is dead"),
    Property("S19", "slept", SOMETIMES, "an actor lies down", needs_sleep=True),
    Property("S20", "woken", SOMETIMES, "an actor that sleeps is woken", needs_sleep=True),
    Property("S21", "sleep-together", SOMETIMES, "two actors sleep at once", readers_min=2, needs_sleep=True),
)

BY_NAME: Final = {prop.name: prop for prop in PROPERTIES}
SUCCESSIVE: Final = tuple(prop.name for prop in PROPERTIES if prop.needs_successors)
"""Names of the *always* properties that are judged where the dead are followed, and only there."""
WAKEUPS: Final = tuple(prop.name for prop in PROPERTIES if prop.modality == ALWAYS and prop.needs_sleep)
"""Names of the *always* properties of actors that sleep, which can be judged only where they do."""
SAFETY: Final = tuple(
    prop.name for prop in PROPERTIES if prop.modality == ALWAYS and not (prop.needs_successors or prop.needs_sleep)
)
"""Names of the other *always* properties, in the order in which a step that breaks several is reported."""
LIVENESS: Final = tuple(prop.name for prop in PROPERTIES if prop.modality == EVENTUALLY)
"""Names of the *eventually* properties, which are judged on the whole graph of states."""
ALL: Final = (*SAFETY, *LIVENESS)
"""Names of all that can be judged of a ring whose actors do not sleep."""
RACE: Final = "race"
"""The one property that only a memory that detects races can judge."""
WITNESSES: Final = tuple(prop.name for prop in PROPERTIES if prop.modality == SOMETIMES)


def select(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check names of *always* and *eventually* properties, and put them in the order of this module.

    Raises :class:`VariantError` for no name at all, for an unknown one, and for a *sometimes*, which cannot be checked for
    being broken.
    """
    if not names:
        raise VariantError(f"no property to judge; the properties are {', '.join(ALL)}")
    known = (*ALL, *WAKEUPS)
    for name in names:
        if name not in known:
            raise VariantError(f"unknown property {name!r}; the properties are {', '.join(known)}")
    return tuple(name for name in known if name in names)


def unseen_partners(names: tuple[str, ...], seen: frozenset[str], readers: int, blocks: int, aborts: bool) -> tuple[str, ...]:
    """The *sometimes* that should have been seen in a ring of this size, for these properties, and were not."""
    wanted = {partner for name in names for partner in BY_NAME[name].partners}
    return tuple(
        name
        for name in WITNESSES
        if name in wanted
        and name not in seen
        and readers >= BY_NAME[name].readers_min
        and blocks >= BY_NAME[name].blocks_min
        and (aborts or not BY_NAME[name].needs_aborts)
    )
