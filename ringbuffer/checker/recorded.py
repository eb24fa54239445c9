"""What the mutations are known to do, and why those that do nothing do nothing.

Rules: the lists are pinned results of ``mutate.py``, as its ``listed`` writes them, so that a change of the protocol (or of the
checker) shows. Each mutant that is benign under some memory has a reason, one sentence, written by hand, and so has each that
is benign for one reader or for one block only. Limits: a reason is an explanation; what is explored is the verdict.
"""

from __future__ import annotations

from typing import Final


def _read(text: str) -> dict[str, str]:
    """The lines of a list: the edits, a colon, the summary."""
    return dict(line.split(": ", 1) for line in text.strip().splitlines())


_SINGLES: Final = _read("""
without=W1: progress 3 steps 1×1 1 messages first lap
without=W2: progress 11 steps 1×1 2 messages first lap
without=W3: benign
without=W4: stale 7 steps 1×1 1 messages first lap
without=W5: overwritten 17 steps 1×1 2 messages later
without=W6: overwritten 7 steps 1×1 1 messages later
without=R1: stale 10 steps 1×1 1 messages first lap
without=R2: stale 2 steps 1×1 1 messages first lap
without=R3: lost 8 steps 1×1 1 messages first lap
without=R4: stale 11 steps 1×1 1 messages first lap
swap=W1,W2: benign
swap=W2,W3: overwritten 9 steps 1×1 2 messages later
swap=W3,W4: benign
swap=W4,W5: benign
swap=W5,W6: stale 12 steps 1×1 1 messages first lap
move=W1,W4: overwritten 10 steps 1×1 2 messages later
move=W1,W5: overwritten 9 steps 1×1 2 messages later
move=W1,W6: overwritten 9 steps 1×1 2 messages later
move=W2,W5: stale 6 steps 1×1 1 messages first lap
move=W2,W6: stale 5 steps 1×1 1 messages first lap
move=W3,W1: overwritten 8 steps 1×1 2 messages later
move=W3,W6: benign
move=W4,W1: overwritten 6 steps 1×1 1 messages later
move=W4,W2: exclusion 7 steps 1×1 1 messages first lap
move=W5,W1: stale 13 steps 1×1 2 messages later
move=W5,W2: stale 13 steps 1×1 2 messages later
move=W5,W3: exclusion 15 steps 1×1 2 messages later
move=W6,W1: stale 4 steps 1×1 1 messages first lap
move=W6,W2: overwritten 7 steps 1×1 1 messages later
move=W6,W3: exclusion 5 steps 1×1 1 messages first lap
move=W6,W4: exclusion 5 steps 1×1 1 messages first lap
move=W1,W6 swap=W1,W6: overwritten 9 steps 1×1 2 messages later
move=W2,W6 swap=W2,W6: progress 3 steps 1×1 1 messages first lap
move=W3,W6 swap=W3,W6: overwritten 7 steps 1×1 1 messages later
move=W4,W6 swap=W4,W6: exclusion 6 steps 1×1 1 messages first lap
swap=R1,R2: benign
swap=R2,R3: stale 2 steps 1×1 1 messages first lap
swap=R3,R4: exclusion 11 steps 1×1 1 messages later
move=R1,R4: stale 11 steps 1×1 1 messages first lap
move=R3,R1: stale 1 steps 1×1 1 messages first lap
move=R4,R1: overwritten 10 steps 1×1 1 messages later
move=R4,R2: overwritten 11 steps 1×1 1 messages later
move=R1,R4 swap=R1,R4: stale 11 steps 1×1 1 messages first lap
move=R2,R4 swap=R2,R4: stale 2 steps 1×1 1 messages first lap
weaken=W2: benign
weaken=W5: benign
weaken=W6: benign
weaken=R1: benign
weaken=R2: benign
weaken=R4: benign
redirect=W1,0,next: progress 4 steps 1×1 1 messages first lap
redirect=W1,0,wait: progress 3 steps 1×1 1 messages first lap
redirect=W1,0,restart: progress 3 steps 1×1 1 messages first lap
redirect=W1,1,found: overwritten 8 steps 1×1 2 messages later
redirect=W1,1,wait: progress 11 steps 1×1 2 messages first lap
redirect=W1,1,restart: progress 11 steps 1×1 2 messages first lap
redirect=W2,1,otherwise: progress 12 steps 1×1 2 messages first lap
redirect=W2,1,restart: progress 12 steps 1×1 2 messages first lap
redirect=W2,0,next: overwritten 9 steps 1×1 2 messages later
redirect=W2,0,restart: benign
redirect=W3,done,found: progress 4 steps 1×1 1 messages first lap
redirect=W3,done,otherwise: progress 4 steps 1×1 1 messages first lap
redirect=W3,done,restart: progress 4 steps 1×1 1 messages first lap
redirect=W4,done,found: overwritten 5 steps 1×1 1 messages first lap
redirect=W4,done,otherwise: overwritten 6 steps 1×1 1 messages later
redirect=W4,done,restart: overwritten 6 steps 1×1 1 messages later
redirect=W4,aborted,next: stale 8 steps 1×1 1 messages first lap
redirect=W4,aborted,found: benign
redirect=W4,aborted,otherwise: benign
redirect=W5,done,found: overwritten 6 steps 1×1 1 messages first lap
redirect=W5,done,otherwise: overwritten 7 steps 1×1 1 messages later
redirect=W5,done,restart: overwritten 7 steps 1×1 1 messages later
redirect=W6,done,found: overwritten 7 steps 1×1 1 messages first lap
redirect=W6,done,otherwise: progress 19 steps 1×2 2 messages later; benign for one block only
redirect=W6,done,restart: progress 19 steps 1×2 2 messages later; benign for one block only
redirect=R1,0,found: stale 2 steps 1×1 1 messages first lap
redirect=R1,0,wait: progress 8 steps 1×1 1 messages first lap
redirect=R1,0,restart: progress 8 steps 1×1 1 messages first lap
redirect=R1,1,next: stale 12 steps 1×1 1 messages first lap
redirect=R1,1,found: stale 11 steps 1×1 1 messages first lap
redirect=R1,1,restart: benign
redirect=R2,1,wait: progress 9 steps 1×1 1 messages first lap
redirect=R2,1,restart: progress 9 steps 1×1 1 messages first lap
redirect=R2,0,next: stale 3 steps 1×1 1 messages first lap
redirect=R2,0,restart: benign
redirect=R3,done,found: stale 9 steps 1×1 1 messages first lap
redirect=R3,done,wait: stale 11 steps 1×1 1 messages first lap
redirect=R3,done,restart: stale 11 steps 1×1 1 messages first lap
redirect=R3,aborted,next: lost 9 steps 1×1 1 messages first lap
redirect=R3,aborted,found: benign
redirect=R3,aborted,wait: benign
redirect=R4,done,found: stale 10 steps 1×1 1 messages first lap
redirect=R4,done,wait: reordered 23 steps 1×2 2 messages later; benign for one block only
redirect=R4,done,restart: reordered 23 steps 1×2 2 messages later; benign for one block only
flip=W1: progress 4 steps 1×1 1 messages first lap
flip=W2: overwritten 9 steps 1×1 2 messages later
flip=W3: exclusion 4 steps 1×1 1 messages first lap
flip=W5: overwritten 9 steps 1×1 1 messages later
flip=W6: overwritten 8 steps 1×1 1 messages later
flip=R1: progress 8 steps 1×1 1 messages first lap
flip=R2: stale 3 steps 1×1 1 messages first lap
flip=R4: stale 12 steps 1×1 1 messages first lap
retarget=W1,each: overwritten 8 steps 1×1 2 messages later
retarget=W1,but-last: progress 4 steps 1×1 1 messages first lap
retarget=W2,written: overwritten 9 steps 1×1 2 messages later
retarget=W2,but-last: overwritten 9 steps 1×1 2 messages later
retarget=W3,each: exclusion 14 steps 1×1 2 messages later
retarget=W3,but-last: exclusion 20 steps 2×1 2 messages later; benign for one reader only
retarget=W5,written: overwritten 19 steps 1×1 2 messages later
retarget=W5,but-last: overwritten 19 steps 1×1 2 messages later
retarget=W6,each: overwritten 8 steps 1×1 1 messages later
retarget=W6,but-last: overwritten 8 steps 1×1 1 messages later
retarget=R1,written: progress 8 steps 1×1 1 messages first lap
retarget=R1,neighbour: stale 13 steps 2×1 1 messages first lap; benign for one reader only
retarget=R1,each: stale 13 steps 2×1 1 messages first lap; benign for one reader only
retarget=R1,but-last: progress 8 steps 1×1 1 messages first lap
retarget=R2,own: progress 9 steps 1×1 1 messages first lap
retarget=R2,neighbour: progress 9 steps 1×1 1 messages first lap
retarget=R2,each: progress 9 steps 1×1 1 messages first lap
retarget=R2,but-last: stale 3 steps 1×1 1 messages first lap
retarget=R4,written: stale 12 steps 1×1 1 messages first lap
retarget=R4,neighbour: stale 13 steps 2×1 1 messages first lap; benign for one reader only
retarget=R4,each: overwritten 16 steps 2×1 1 messages later; benign for one reader only
retarget=R4,but-last: stale 12 steps 1×1 1 messages first lap
missing-readers=1: overwritten 9 steps 1×1 2 messages later
initial-read-flag=1: benign
advance=writer,0: progress 19 steps 1×2 2 messages later; benign for one block only
advance=writer,2: progress 19 steps 1×2 2 messages later; benign for one block only
advance=reader,0: reordered 23 steps 1×2 2 messages later; benign for one block only
advance=reader,2: reordered 23 steps 1×2 2 messages later; benign for one block only
policy=scan: reordered 19 steps 1×2 2 messages first lap; benign for one block only
""")

_UNDER_RA: Final = _read("""
weaken=W2: race 13 steps 1×1 2 messages later
weaken=W5: race 17 steps 1×1 2 messages later
weaken=W6: race 8 steps 1×1 1 messages first lap
weaken=R1: race 17 steps 1×1 2 messages later
weaken=R2: race 8 steps 1×1 1 messages first lap
weaken=R4: race 13 steps 1×1 2 messages later
""")
"""What is otherwise under release/acquire: the orderings, each of which is needed."""

SINGLES: Final = {"sc": _SINGLES, "tso": _SINGLES, "ra": _SINGLES | _UNDER_RA}
"""Memory by memory, the summary of every single edit."""

_PAIRS: Final = _read("""
without=W3 swap=W4,W5: exclusion 13 steps 1×1 2 messages later
swap=W1,W2 redirect=W2,0,restart: progress 3 steps 1×1 1 messages first lap
swap=W3,W4 swap=W4,W5: exclusion 15 steps 1×1 2 messages later
swap=W4,W5 move=W3,W6: exclusion 14 steps 1×1 2 messages later
swap=W4,W5 swap=R1,R2: exclusion 15 steps 1×1 2 messages later
""")

PAIRS: Final = {"sc": _PAIRS, "tso": _PAIRS, "ra": _PAIRS}
"""Memory by memory, the summary of every pair of benign edits that is not benign."""
PAIR_COUNTS: Final = {"sc": 185, "tso": 185, "ra": 86}
"""How many pairs of benign edits there are."""

_ONE_BLOCK: Final = "With one block every index is 0, and to stay on a block is to go on to the next."
_SAME_STEPS: Final = "It leads to the same row about the same block: the steps are the same, with a pause or without."
_LOAD_IN_ORDER: Final = "Under sc and tso no access of an actor takes effect before a load that it made earlier."
_STORE_IN_ORDER: Final = "Under sc and tso an actor's stores take effect in their order, and none before its earlier loads."

REASONS: Final = {
    "without=W3": "Where W3 has something to clear all the read flags are 1, which keeps every reader out until W5 clears them,"
    " and by then the block is filled.",
    "swap=W1,W2": "Either look is enough to find a block free, so their order decides only which one is made in vain.",
    "swap=W3,W4": "Until the claim a block that was read by all keeps readers out by its read flags, and W5, which clears"
    " those, still comes behind the claim.",
    "swap=W4,W5": "With the read flags cleared first, the written flag, 0 since the claim, keeps readers out until the block is"
    " published.",
    "move=W3,W6": "Who gets in between W5 and the late claim, by the written flag of the lap before, finds the new message,"
    " which is whole already, and its mark is not cleared any more.",
    "swap=R1,R2": "Seeing the written flag of the lap before does no harm to a reader that then finds its own flag cleared: W5"
    " clears it when the block is filled already.",
    "weaken=W2": _LOAD_IN_ORDER,
    "weaken=W5": _STORE_IN_ORDER,
    "weaken=W6": _STORE_IN_ORDER,
    "weaken=R1": _LOAD_IN_ORDER,
    "weaken=R2": _LOAD_IN_ORDER,
    "weaken=R4": _STORE_IN_ORDER,
    "redirect=W2,0,restart": _SAME_STEPS,
    "redirect=W4,aborted,found": "An aborted block is the writer's still, so that it need not look at the flags again.",
    "redirect=W4,aborted,otherwise": _SAME_STEPS,
    "redirect=R1,1,restart": _SAME_STEPS,
    "redirect=R2,0,restart": _SAME_STEPS,
    "redirect=R3,aborted,found": "The block is this reader's until it marks it, so that it need not look at the flags again.",
    "redirect=R3,aborted,wait": _SAME_STEPS,
    "initial-read-flag=1": "On the first lap the written flag, 0, says all that is to be said to the writer and to the readers,"
    " and W5 clears the read flags before W6 publishes.",
}
"""Why what is benign under some memory is so there."""

REASONS_IN_SMALL: Final = {
    "redirect=W6,done,otherwise": _ONE_BLOCK,
    "redirect=W6,done,restart": _ONE_BLOCK,
    "redirect=R4,done,wait": _ONE_BLOCK,
    "redirect=R4,done,restart": _ONE_BLOCK,
    "retarget=W3,but-last": "With one reader the loop visits no flag, so the row is as good as dropped.",
    "retarget=R1,neighbour": "A single reader is its own neighbour.",
    "retarget=R1,each": "A single reader's flag is all of the read flags.",
    "retarget=R4,neighbour": "A single reader is its own neighbour.",
    "retarget=R4,each": "A single reader's flag is all of the read flags.",
    "advance=writer,0": _ONE_BLOCK,
    "advance=writer,2": _ONE_BLOCK,
    "advance=reader,0": _ONE_BLOCK,
    "advance=reader,2": _ONE_BLOCK,
    "policy=scan": "With one block there is none to skip to, so that nothing overtakes.",
}
"""Why what is benign for one reader only, or for one block only, is so there."""
