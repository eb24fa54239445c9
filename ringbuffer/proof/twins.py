"""Known-bad twins: edited tables, and exactly the obligations that stay open for each.

A proof that goes through whatever the table says proves nothing. So each of these tables, which the explorer refutes, is proved
as well, and must fail at the obligations listed here and at no others. Rules: *open* covers what z3 contradicts and what it
leaves undecided; which of the two is z3's affair. Limits: the list is for the invariant as it is written; another one fails
elsewhere.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ringbuffer.proof import prove
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE

Question: TypeAlias = tuple[str, str]
"""A memory, and edits in text form."""

SEMANTICS: Final = {"sc": prove.SEQUENTIAL, "ra": RELEASE_ACQUIRE}
"""The memories on which proofs are made."""

TWINS: Final[dict[Question, str]] = {
    # Dropped rows.
    ("sc", "without=W1"): "start/looking W4/looking W6/looking",
    ("sc", "without=W2"): "always/blocked-writer always/no-deadlock",
    ("sc", "without=W5"): "W4/clearing",
    ("sc", "without=W6"): "W5/laps W5/taken",
    ("sc", "without=R1"): "R4/unmarked",
    ("sc", "without=R2"): "R1/published R1/exclusion",
    ("sc", "without=R4"): "R3/marks",
    # Rows in another order, flags taken for others, counts that are one short.
    ("sc", "swap=W5,W6"): "W4/clearing W6/laps W6/contents W6/marks W6/claimed W5/laps W5/taken",
    ("sc", "swap=R3,R4"): "R2/cursors R4/cursors R4/marks R4/unmarked R3/marks",
    ("sc", "missing-readers=1"): "W2/taken W2/looking",
    ("sc", "retarget=W2,but-last"): "W1/looking W2/taken",
    ("sc", "redirect=W1,1,found"): "W1/taken",
    ("sc", "flip=R2"): "R2/published R2/exclusion always/blocked-writer always/blocked-reader always/no-deadlock",
    ("sc", "advance=writer,0"): "W6/accepted W6/laps W6/contents W6/marks",
    # Each of the orderings taken away: one fact about what is told, or what is then known, is lost.
    ("ra", "weaken=W2"): "W2/free-is-known W2/visited-is-known",
    ("ra", "weaken=W5"): "W5/clearing-tells",
    ("ra", "weaken=W6"): "W6/publishing-tells",
    ("ra", "weaken=R1"): "R1/not-misled",
    ("ra", "weaken=R2"): "R2/readers-know",
    ("ra", "weaken=R4"): "R4/marks-tell",
}
"""The open obligations of broken tables, in the order in which they are tried."""

REFINEMENT_TWINS: Final = {
    "policy=scan": "W1/stutter W6/stutter R1/stutter R2/stutter R4/stutter",
    "advance=writer,0": "W6/stutter",
    "swap=R3,R4": "always/counts always/owed-is-held",
    "redirect=R3,aborted,next": "R3/stutter",
}
"""The open obligations of the mapping alone, for broken tables (the invariant is open there as well)."""
