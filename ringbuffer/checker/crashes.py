"""The claim ``crash-safe``: processes are killed at every row, and what was published is neither lost nor torn.

Two kinds of questions. *Followed*: anyone may be killed, any number of times, and has a successor; dead readers are evicted,
and newcomers take their roles back (:mod:`ringbuffer.recovering`). *Not followed*: one process is killed, and that is all; what
is too large for the first kind is small enough for this. What is promised:

* Every reader receives what was published in order, whole and once, through all its successors; only the message that a
  reader had in hand when it was killed, received and not yet marked, comes again. A newcomer receives what the stand-in had
  not marked.
* A message that was being filled when the writer was killed was never published, and nobody receives it.
* Once the killing is over and no role is without a holder, the writer publishes again and again. What was published arrives,
  even where the writer stays dead; a reader that is told of its death has received all of it.

Rules: a claim whose *sometimes* partners were not seen does not hold; nor does one of which some row was never the last of
anybody. Limits: the sizes named in the bound; under ``ra`` nothing is said of what happens in the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.checker.checks import GUARDS, ask, picture
from ringbuffer.checker.claim import Claim, OnAdvance, Scope, Sizes, Verdict
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Result
from ringbuffer.protocol.properties import LIVENESS, SAFETY
from ringbuffer.protocol.succession import SHIPPED
from ringbuffer.recovering import KILLED_AT, model_of
from ringbuffer.state import ANYONE

_VALUES: Final = tuple(name for name in SAFETY if name != "race")
_SMALL: Final[Sizes] = ((1, 1), (1, 2), (2, 1), (2, 2))
NOT_EVICTED: Final = "nobody-is-evicted"
_UNSEEN: Final = {SHIPPED: frozenset[str](), NOT_EVICTED: frozenset(("stood-in", "rejoined"))}
"""What cannot be seen, by the name of the succession."""

FOLLOWED: Final[Mapping[str, Sizes]] = {"sc": _SMALL[:3], "tso": _SMALL[:2], "ra": _SMALL[:1]}
FULL_FOLLOWED: Final[Mapping[str, Sizes]] = {"sc": _SMALL, "tso": _SMALL[:3], "ra": _SMALL[:2]}
"""The rings on which anyone is killed, and followed, and evicted."""
FOLLOWED_ONLY: Final[Mapping[str, Sizes]] = {"sc": _SMALL[3:]}
FULL_FOLLOWED_ONLY: Final[Mapping[str, Sizes]] = {"ra": _SMALL[2:3]}
"""The rings on which anyone is killed and followed, and nobody is evicted."""
NOT_FOLLOWED: Final[Mapping[str, Sizes]] = {"sc": _SMALL[3:], "tso": _SMALL[2:3], "ra": _SMALL[1:3]}
FULL_NOT_FOLLOWED: Final[Mapping[str, Sizes]] = {"sc": (*_SMALL, (3, 1), (3, 2)), "tso": _SMALL, "ra": _SMALL}
"""The rings on which one process is killed."""
REFUTED_SUCCESSIONS: Final[tuple[tuple[str, str, tuple[int, int], str], ...]] = (
    ("writer-notes-before-publishing", "sc", (1, 1), "misnumbered"),
    ("reader-notes-after-marking", "sc", (1, 1), "misnumbered"),
    ("writer-goes-on-as-noted", "sc", (1, 2), "undrained"),
    ("reader-goes-on-as-noted", "sc", (1, 2), "undrained"),
    ("writer-goes-on-one-further", "sc", (1, 1), "misnumbered"),
    ("reader-goes-on-one-further", "sc", (1, 1), "misnumbered"),
    ("writer-goes-on-one-before", "sc", (1, 1), "misnumbered"),
    ("reader-goes-on-one-before", "sc", (1, 1), "misnumbered"),
    ("writer-begins-at-block-0", "sc", (1, 2), "undrained"),
    ("reader-begins-at-block-0", "sc", (1, 2), "undrained"),
    ("writer-does-not-note-on-taking-over", "sc", (1, 2), "undrained"),
    ("reader-looks-at-the-written-flag-first", "sc", (1, 1), "exclusion"),
    ("reader-looks-at-its-flag-relaxed", "ra", (1, 1), "race"),
    ("reader-looks-at-the-written-flag-relaxed", "ra", (1, 1), "race"),
    ("stand-in-does-not-look", "sc", (1, 1), "stale"),
    ("stand-in-does-nothing", "sc", (1, 1), "progress"),
    ("evicting-marks-the-block-in-hand", "sc", (1, 1), "overwritten"),
    ("told-without-looking-again", "sc", (1, 1), "undrained"),
)
"""What else somebody could have written, and what that breaks first: the succession, the memory, the ring, the property."""
BENIGN_SUCCESSIONS: Final = ("reader-notes-on-taking-over", NOT_EVICTED)
"""What would do as well."""
LIVE_READERS_MAX: Final = 2
LIVE_BLOCKS_MAX: Final = 2
"""Where the dead are followed, liveness is judged on rings that are smaller than this in one of the two."""


@dataclass(frozen=True, slots=True)
class Question:
    """One exploration of the claim."""

    memory: str
    size: tuple[int, int]
    killed: str
    properties: tuple[str, ...]
    succession: str = SHIPPED

    @property
    def options(self) -> dict[str, Any]:
        """What is asked of the explorer. Callers that raise fill store buffers, and cost much there."""
        aborts = self.memory == "sc" or self.killed != ANYONE
        return {"properties": self.properties, "killed": self.killed, "succession": self.succession, "aborts": aborts}

    def __str__(self) -> str:
        who = f"{ANYONE} killed and followed" if self.killed == ANYONE else f"a {self.killed} killed"
        return f"{self.memory} {self.size[0]}×{self.size[1]}, {who}"


def questions(scope: Scope) -> Iterator[Question]:
    """All that the claim asks, the plainest first: not followed, then followed."""
    full = scope.full
    for memory, size in _rings(scope, FULL_NOT_FOLLOWED if full else NOT_FOLLOWED):
        for victim in ("reader", "writer"):
            for properties in (SAFETY,) if memory == "ra" else (_VALUES, (*GUARDS, "starved")):
                yield Question(memory, size, victim, properties)
    for memory, size in _rings(scope, FULL_FOLLOWED if full else FOLLOWED):
        yield Question(memory, size, ANYONE, judged(memory, size))
    if scope.size is None:
        for memory, size in _rings(scope, FULL_FOLLOWED_ONLY if full else FOLLOWED_ONLY):
            yield Question(memory, size, ANYONE, judged(memory, size), NOT_EVICTED)


def _rings(scope: Scope, usual: Mapping[str, Sizes]) -> Iterator[tuple[str, tuple[int, int]]]:
    for memory, rings in usual.items():
        yield from ((memory, size) for size in ((scope.size,) if scope.size else rings))


def judged(memory: str, size: tuple[int, int]) -> tuple[str, ...]:
    """All that can be judged; liveness only where readers need not change places for the exploration to be small."""
    if memory == "ra":
        return SAFETY
    return (*_VALUES, *LIVENESS) if size[0] < LIVE_READERS_MAX or size[1] < LIVE_BLOCKS_MAX else _VALUES


def crash_safe(claim: Claim, scope: Scope, on_advance: OnAdvance) -> Verdict:
    """Kill at every row, on every memory."""
    started, states, rows = time.perf_counter(), 0, 0
    asked = tuple(questions(scope))
    for question in asked:
        on_advance(str(question))
        result = ask(scope, *question.size, question.memory, on_advance, **question.options)
        states += result.states
        wrong = _wrong(question, result)
        if wrong:
            return _not_safe(claim, scope, started, question, result, wrong, states)
        rows = max(rows, len(_killed_at(result)))
    return claim.verdict(HOLDS, scope, started, bound=bound_of(scope, asked), states=states, note=_note(rows))


def _wrong(question: Question, result: Result) -> str:
    """Why a result does not support the claim; empty if it does."""
    if result.status != HOLDS:
        return f"{result.property}: {result.status}" if result.property else f"{result.status} after {result.states} states"
    unseen = [name for name in result.vacuous if name not in _UNSEEN[question.succession]]
    if "killed" not in result.seen:
        unseen.append("killed")
    if question.killed == ANYONE and not result.setup.variant.edits:
        unseen += [f"{KILLED_AT}{row}" for row in sorted(_rows(result) - _killed_at(result))]
    return f"never seen, so not tried: {', '.join(unseen)}" if unseen else ""


def _rows(result: Result) -> frozenset[str]:
    programs = model_of(result.setup).programs
    return frozenset(one.row.id for program in programs for one in program.instructions)


def _killed_at(result: Result) -> frozenset[str]:
    return frozenset(name.removeprefix(KILLED_AT) for name in result.seen if name.startswith(KILLED_AT))


def bound_of(scope: Scope, asked: tuple[Question, ...]) -> str:
    """The rings of each kind of question."""
    kinds = {
        "any number killed, followed and evicted": [one for one in asked if one.killed == ANYONE and one.succession == SHIPPED],
        "any number killed and followed": [one for one in asked if one.succession == NOT_EVICTED],
        "one killed": [one for one in asked if one.killed != ANYONE],
    }
    parts = [f"{kind}: {_sizes(found)}" for kind, found in kinds.items() if found]
    arrival = "arrival judged under sc and tso, and where followed below 2×2"
    return f"{'; '.join(parts)}; messages {scope.messages or 'unbounded'}; within each memory's bounds; {arrival}"


def _sizes(asked: list[Question]) -> str:
    shown: dict[str, list[str]] = {}
    for one in asked:
        size = f"{one.size[0]}×{one.size[1]}"
        rings = shown.setdefault(one.memory, [])
        rings += [size] if size not in rings else []
    return ", ".join(f"{memory} {' '.join(rings)}" for memory, rings in shown.items())


def _note(rows: int) -> str:
    return (
        f"killed before each of {rows} rows, those of taking over included; that all of it arrives in the end is explored under"
        " sc and tso; a killed reader that is neither followed nor evicted stops the writer: faults-contained shows that"
    )


def _not_safe(
    claim: Claim, scope: Scope, started: float, question: Question, result: Result, wrong: str, states: int
) -> Verdict:
    return claim.verdict(
        REFUTED if result.status == REFUTED else UNKNOWN,
        scope,
        started,
        bound=str(question),
        states=states,
        counterexample=picture(result),
        token=result.token,
        note=wrong,
    )
