"""The claim ``wakeups``: nobody sleeps on while its block is ready, with the edits that break it and those that do not.

The rows of sleeping and waking (``protocol/waking.py``) run beside the ring's in one exploration, in which the ring's own
safety is judged along. What is explored grows fast, so larger rings are explored in parts, which leave nothing out:

* *Each side by itself* (``sleepers=readers``, ``sleepers=writer``). The writer's word and those of the readers have nothing to
  do with each other. Take any run in which all sleep, and leave out what the one side does to sleep, and the other to wake it:
  what is left is a run in which that side looks again and again instead (its looks behind S2 are looks like others). Fences,
  loads and exchanges that are gone allow more, and forbid nothing. Who sleeps too long in the first run does in the second.
* *One of several readers* (``sleepers=one``). In the same way leave out what the other readers do to sleep. The writer that
  finds somebody's word 0 wakes all; so where one word is left, the writer may go on to wake whatever that word says.

Rules: a memory is named with every size; what is explored in parts says so. Limits: sizes; nobody is killed here (whoever dies
between its store and K4 leaves a sleeper lying, which is why endpoints sleep in slices); no time-outs, which would hide what is
looked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ringbuffer.checker.checks import ask, picture, what_broke
from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Result
from ringbuffer.protocol.waking import EVERYBODY, ONE_READER, READERS, WRITERS

MEMORIES: Final = ("sc", "tso", "ra")


class Part(NamedTuple):
    """One exploration: the memory, readers and blocks, who sleeps, and whether callers raise."""

    memory: str
    readers: int
    blocks: int
    sleepers: str = EVERYBODY
    raising: bool = False

    def __str__(self) -> str:
        shown = {EVERYBODY: "", READERS: " readers asleep", WRITERS: " writer asleep", ONE_READER: " one reader asleep"}
        return f"{self.readers}×{self.blocks}{shown[self.sleepers]}"


PARTS: Final = (
    Part("sc", 1, 1, raising=True),
    Part("sc", 1, 2, raising=True),
    Part("sc", 2, 1, raising=True),
    Part("sc", 2, 2, READERS, raising=True),
    Part("sc", 2, 2, WRITERS, raising=True),
    Part("tso", 1, 1),
    Part("tso", 1, 2),
    Part("tso", 2, 1, ONE_READER),
    Part("tso", 2, 1, WRITERS),
    Part("ra", 1, 1, READERS),
    Part("ra", 1, 1, WRITERS),
    Part("ra", 1, 2, READERS),
    Part("ra", 1, 2, WRITERS),
    Part("ra", 2, 1, ONE_READER),
)
"""What ``ringbuffer check`` explores."""
FULL_PARTS: Final = (
    *PARTS,
    Part("sc", 2, 2),
    Part("sc", 3, 1, READERS),
    Part("sc", 3, 1, WRITERS),
    Part("tso", 2, 1),
    Part("tso", 2, 2, ONE_READER),
    Part("tso", 2, 2, WRITERS),
    Part("ra", 1, 1),
    Part("ra", 1, 2),
    Part("ra", 2, 2, ONE_READER),
)
"""What ``ringbuffer check --full`` explores."""
QUESTION_PARTS: Final = (
    *(Part("sc", readers, blocks, raising=True) for readers, blocks in ((1, 1), (1, 2), (2, 1))),
    *(Part("tso", 1, blocks) for blocks in (1, 2)),
    Part("ra", 1, 1),
)
"""What is explored for edited rows, for which the parts need not add up to the whole."""


@dataclass(frozen=True, slots=True)
class Twin:
    """An edit of the rows: on which memories it loses a wake-up (on none: it is benign), with how many readers, and why.

    ``sleeps``: whether anybody ever lies down; an edit that keeps everybody awake loses nothing, and is good for nothing.
    """

    edits: str
    lost_on: tuple[str, ...]
    why: str
    readers: int = 1
    sleeps: bool = True


_ALL, _WEAK, _RA = MEMORIES, MEMORIES[1:], MEMORIES[2:]

TWINS: Final = (
    Twin("without=K1", _WEAK, "the look at the words overtakes the store before it, and sees nobody asleep"),
    Twin("without=S2", _WEAK, "the looks overtake the word: each side sees the other's old value"),
    Twin("order=K1,acq-rel", _WEAK, "a store and then a load are kept in order by nothing weaker than a full fence"),
    Twin("order=S2,acq-rel", _WEAK, "the same on the other side"),
    Twin("swap=S1,S2", _WEAK, "the fence comes before the word is stored, and orders nothing with it"),
    Twin("swap=K1,K2", _WEAK, "the fence comes when the words were looked at"),
    Twin("move=S3,S2", _WEAK, "the looks come before the fence"),
    Twin(
        "without=K1 lock-before=K2", _RA, "a lock that nobody else takes orders nothing with anybody; it empties a store buffer"
    ),
    Twin("without=S2 lock-before=S4", _RA, "the same on the other side"),
    Twin("without=K1 lock-before=K2 without=S2 lock-before=S4", _RA, "the same on both; enough on x86-64, and only there"),
    Twin("without=S3", _ALL, "what came between the last look and the word is never seen"),
    Twin("move=S3,S1", _ALL, "the same: the looks come before the word says so"),
    Twin("move=S3,S5", _ALL, "it looks again when it has slept"),
    Twin("without=K3", _ALL, "who is between its looks and its sleep is not in the kernel yet, and lies down behind the wake"),
    Twin("swap=K3,K4", _ALL, "the same: the word changes behind the wake"),
    Twin("swap=K2,K3", _ALL, "the look at the words finds what it has stored there itself"),
    Twin("without=K4", _ALL, "nobody wakes anybody"),
    Twin("kernel=uncompared", _ALL, "who was seen and could not be woken yet lies down all the same"),
    Twin("word=shared", _ALL, "one reader says for another that it is awake (S5)", readers=2),
    Twin("word=shared without=S5", _ALL, "one reader says for another that it sleeps, behind the wake", readers=2),
    Twin("kernel=wakes-one", _ALL, "a message is for all readers, and one of them gets up", readers=2),
)
"""Edits that lose a wake-up, and where. What is lost under ``sc`` is lost everywhere: its runs are runs on every memory."""

BENIGN: Final = (
    Twin("without=S5", (), "the word stays 0 from the first sleep on: every block costs the others a system call"),
    Twin("without=K2", (), "every block costs a system call"),
    Twin("order=S1,release", (), "more than is needed: the fence behind it does it"),
    Twin("order=K2,acquire", (), "more than is needed: the fence before it does it"),
    Twin("order=K3,release", (), "more than is needed: the kernel's lock does it"),
    Twin("kernel=spurious", (), "who gets up without cause looks, and lies down again"),
    Twin("without=S1", (), "nobody ever sleeps: the word is never 0", sleeps=False),
    Twin("without=S4", (), "nobody ever sleeps", sleeps=False),
)
"""Edits that lose nothing, and why."""


def wakeups(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Explore every part on its memory, up to the first that is refuted."""
    started, states, left_open, done = time.perf_counter(), 0, "", []
    for part in parts_of(scope):
        on_advance(f"{part.memory} {part}")
        result = _explored(part, scope, on_advance)
        states += result.states
        done.append(part)
        if result.status == REFUTED:
            return claim.verdict(
                REFUTED,
                scope,
                started,
                bound=bound_of(done, scope),
                states=states,
                counterexample=picture(result),
                token=result.token,
                note=f"{part.memory}: {what_broke(result)}",
            )
        left_open = left_open or _open_end(part, result)
    status = UNKNOWN if left_open else HOLDS
    return claim.verdict(status, scope, started, bound=bound_of(done, scope), states=states, note=left_open)


def parts_of(scope: Scope) -> tuple[Part, ...]:
    """What to explore: the size that was named, or the usual ones. Edited rows are explored whole."""
    if scope.size is not None:
        return tuple(Part(memory, *scope.size, raising=memory == "sc") for memory in MEMORIES)
    if scope.waking.edits or scope.variant.edits:
        return QUESTION_PARTS
    return FULL_PARTS if scope.full else PARTS


def _explored(part: Part, scope: Scope, on_advance: OnAdvance) -> Result:
    waking = scope.waking if part.sleepers == EVERYBODY else scope.waking.for_sleepers(part.sleepers)
    return ask(scope, part.readers, part.blocks, part.memory, on_advance, waking=waking, aborts=part.raising)


def bound_of(parts: list[Part], scope: Scope) -> str:
    """What was explored, memory by memory."""
    told: Mapping[str, list[str]] = {memory: [] for memory in MEMORIES}
    for part in parts:
        told[part.memory].append(str(part))
    shown = "; ".join(f"{memory} {', '.join(sizes)}" for memory, sizes in told.items() if sizes)
    return f"readers×blocks {shown}; messages {scope.messages or 'unbounded'}; callers raise under sc only"


def _open_end(part: Part, result: Result) -> str:
    """Why a part gives no answer; empty if it does."""
    if result.status == UNKNOWN:
        return f"{result.states} states at {part.memory} {part}, and not done"
    unseen = ", ".join(result.vacuous)
    return f"nothing was shown at {part.memory} {part}: never seen: {unseen}" if unseen else ""
