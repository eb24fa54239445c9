"""Edited protocols, and what is known of each: on two readers, two blocks, with aborts, under sequential consistency.

What is in ``BENIGN`` is right, although it is not what is shipped: a checker that calls it wrong is wrong.
"""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """``first``: the property that an exploration of all reports, and the number of steps. ``safety_steps``: for each *always*
    that is refuted, the length of its shortest counterexample. ``stuck``: each *eventually* that is refuted; with one reader
    and two blocks these are the same.
    """

    first: tuple[str, int]
    safety_steps: dict[str, int]
    stuck: frozenset[str] = frozenset()


_BOTH = frozenset({"progress", "starved"})
_PROGRESS = frozenset({"progress"})

REFUTED: dict[str, Known] = {
    "without=W1": Known(("progress", 5), {}, _PROGRESS),
    "without=W2": Known(("progress", 37), {}, _PROGRESS),
    "without=W4": Known(("stale", 9), {"stale": 9}, _PROGRESS),
    "without=W5": Known(("overwritten", 49), {"overwritten": 49}, _BOTH),
    "without=W6": Known(("overwritten", 15), {"overwritten": 15}, _BOTH),
    "without=R1": Known(("stale", 25), {"torn": 34, "stale": 25, "reordered": 52, "lost": 36, "exclusion": 31}),
    "without=R2": Known(("exclusion", 3), {"torn": 6, "stale": 3, "reordered": 18, "lost": 8, "exclusion": 3}),
    "without=R3": Known(("lost", 10), {"lost": 10}, _BOTH),
    "without=R4": Known(("stale", 26), {"stale": 26}, _PROGRESS),
    "swap=W5,W6": Known(("stale", 26), {"stale": 26, "reordered": 60}),
    "swap=R3,R4": Known(
        ("exclusion", 24),
        {"torn": 27, "stale": 27, "reordered": 28, "lost": 28, "overwritten": 25, "exclusion": 24},
        _BOTH,
    ),
    "missing-readers=1": Known(
        ("overwritten", 24),
        {"torn": 28, "stale": 28, "reordered": 29, "lost": 30, "overwritten": 24, "exclusion": 25},
        _BOTH,
    ),
    "move=W6,W4": Known(("exclusion", 5), {"torn": 8, "stale": 7, "reordered": 21, "lost": 10, "exclusion": 5}),
    "policy=scan": Known(("reordered", 24), {"reordered": 24}, frozenset({"starved"})),
    "swap=W4,W5 swap=R1,R2": Known(
        ("exclusion", 37),
        {"torn": 40, "stale": 38, "lost": 42, "exclusion": 37},
        _BOTH,
    ),
    "without=W3 move=W5,W4": Known(
        ("exclusion", 34),
        {"torn": 37, "stale": 35, "lost": 39, "exclusion": 34},
        _BOTH,
    ),
}
"""The last two are pairs of benign edits; of what they break, what lies deepest is left out, for the time it takes."""

BENIGN: tuple[str, ...] = (
    "",
    "without=W3",
    "move=W5,W4",
    "swap=W1,W2",
    "swap=R1,R2",
    "initial-read-flag=1",
    "initial-read-flag=1 without=W1",
)
"""Nothing at all is the shipped protocol."""

SIZES = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Readers and blocks of the rings that are explored again and again."""

TOO_LARGE = ("without=R1", "without=R2", "swap=W5,W6", "move=W6,W4", "policy=scan")
"""Edits after which so many states can be reached that brute force stops short of two readers and two blocks."""

SMALL_ENOUGH: list[tuple[str, int, int]] = [
    (edits, readers, blocks)
    for edits in (*REFUTED, *BENIGN)
    for readers, blocks in SIZES
    if (readers, blocks) != (2, 2) or edits not in TOO_LARGE
]
"""What brute force is asked: edits, readers, blocks."""
