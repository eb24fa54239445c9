"""Orderings: which accesses need acquire or release, what fences can stand in for them, and what the published code has.

The shipped tables order six of the eight accesses to flags. :func:`minimal_orderings` finds every minimal set of ordered
accesses that keeps safety and freedom from races under release/acquire; :func:`weakenings` shows what each ordering of the
shipped tables is for, and which of them only a race detector sees; :func:`alternatives` judges what is in use elsewhere.

The published alternatives, each with all flag accesses relaxed: no ordering at all (the original: vLLM, June 2024); a lock of
the process's own, taken and let go where vLLM has its fences today; ``seq_cst`` fences at these places, which are: before each
look at the flags, between clearing and publishing, after publishing, and after marking. After publishing and after marking
comes the next look, before which there is a fence already, with no access between the two: so the fences behind the last rows
are left out here, two adjacent fences being one. Rules: every verdict is explored, for the rings in ``SIZES``; additions only
take behaviours away (``minimal.py`` says why). Limits: those of the simulated memories; a compiler that moves relaxed accesses
is seen under ``ra`` only. The scanning policy is judged without ``reordered``, which it breaks whatever the orderings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.checker.explore import HOLDS, REFUTED
from ringbuffer.checker.minimal import SIZES, Finding, MinimalSets, find, minimal_sets
from ringbuffer.checker.parallel import JOBS_MAX, answers
from ringbuffer.protocol import PROTOCOL, SCAN, Kind, Ordering, Variant
from ringbuffer.protocol.properties import SAFETY
from ringbuffer.protocol.variant import RING

ROWS: Final = tuple(
    row.id for table in (PROTOCOL.writer, PROTOCOL.reader) for row in table.rows if row.access.kind in (Kind.LOAD, Kind.STORE)
)
"""The rows that access flags: those that could have an ordering."""
SHIPPED: Final = tuple(row for row in ROWS if PROTOCOL.row(row).access.ordering is not Ordering.RELAXED)
"""Those that have one."""
SMALL_SIZES: Final = ((1, 1), (1, 2), (2, 1))
"""The rings in which values alone are judged, and in which sets of fences are searched for."""
RACES_ONLY: Final = ("W2", "R4")
"""The rows that keep the reading of a block before the next writing: without their orderings no wrong value is seen."""
MINIMAL_ORDERINGS: Final = ((SHIPPED,), (("W2", "W5", "R1", "R4"),))
"""What is recorded as minimal, for read flags that start as 0, and as 1."""
_FURTHER_FENCES: Final = (
    "W3,acquire W5,release R3,acquire R4,release",
    "W4,acq-rel R2,acquire R3,acquire R4,release",
    "W4,acquire W5,release R3,acquire R4,release",
)
WEAKEST_FENCES: Final[tuple[tuple[str, ...], ...]] = (
    _FURTHER_FENCES,
    _FURTHER_FENCES,
    (
        "W3,acquire W5,release W6,release R3,acquire R4,release",
        "W4,acquire W5,release W6,release R3,acquire R4,release",
        "W4,acq-rel W6,release R2,acquire R3,acquire R4,release",
    ),
    (
        "W3,acquire W5,release R2,acquire R4,release",
        "W3,acquire W5,release R3,acquire R4,release",
        "W4,acquire W5,release R2,acquire R4,release",
        "W4,acquire W5,release R3,acquire R4,release",
        "W4,acq-rel W6,release R2,acquire R3,acquire R4,release",
    ),
)
"""What is recorded of the fences that are lacking, each named by the row directly before which it stands, and its kind: on top
of the published ones (waiting, scanning), and with none at all (read flags from 0, from 1)."""
FENCE_BEFORE: Final = "fence-before="
MEMORIES: Final = ("sc", "tso", "ra")
_STRONGEST, _LESS = "seq-cst", "acq-rel"
"""What a fence can be at most; and what is tried first, because it is quicker to explore: if that suffices, so does more."""


@dataclass(frozen=True, slots=True)
class Weakening:
    """One ordering of the shipped tables taken away: what breaks, and what a checker without race detection would see."""

    row: str
    with_races: Finding
    values_only: Finding


@dataclass(frozen=True, slots=True)
class Alternative:
    """A published alternative on one policy: a finding for each memory."""

    name: str
    policy: str
    edits: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Fences:
    """The minimal sets of places (edits that put a ``seq_cst`` fence there) that make a variant right, and, for each of these
    sets, the weakest kinds of fences that do, with what was found for them in all of ``SIZES``."""

    edits: str
    found: MinimalSets
    weakest: tuple[tuple[tuple[str, ...], Finding], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What :func:`quick` or :func:`full` has found; ``surprises``: what is otherwise than it is recorded, in sentences.

    ``minimal`` and ``fences_only`` are first for read flags that start as 0, then for 1; ``further`` is first for waiting in
    ring order, then for scanning.
    """

    shipped: Finding
    weakenings: tuple[Weakening, ...]
    minimal: tuple[MinimalSets, ...]
    alternatives: tuple[Alternative, ...]
    further: tuple[Fences, ...]
    fences_only: tuple[Fences, ...]
    surprises: tuple[str, ...]
    seconds: float


def with_orderings(rows: Iterable[str], initial_read_flag: int = 0) -> Variant:
    """The shipped tables with an ordering (acquire for a load, release for a store) on exactly these rows."""
    variant, chosen = PROTOCOL.replace(initial_read_flag=initial_read_flag) if initial_read_flag else PROTOCOL, set(rows)
    for row in ROWS:
        if row in SHIPPED and row not in chosen:
            variant = variant.weakened(row)
        elif row in chosen and row not in SHIPPED:
            variant = variant.ordered(row, "acquire" if variant.row(row).access.kind is Kind.LOAD else "release")
    return variant


def minimal_orderings(
    initial_read_flag: int = 0, readers: int = 2, blocks: int = 2, rows: tuple[str, ...] = ROWS
) -> MinimalSets:
    """Every minimal set of ``rows`` that suffices under ``ra`` when ordered, in rings up to that size."""
    sizes = tuple(size for size in SIZES if size[0] <= readers and size[1] <= blocks)
    return minimal_sets(rows, lambda chosen: find(with_orderings(chosen, initial_read_flag), "ra", sizes))


def weakenings() -> tuple[Weakening, ...]:
    """Each ordering of the shipped tables taken away, judged with races and by values alone."""
    return tuple(map(_weakening, SHIPPED))


def _weakening(row: str) -> Weakening:
    variant = with_orderings(other for other in SHIPPED if other != row)
    return Weakening(row, find(variant, "ra"), find(variant, "ra-relaxed", SMALL_SIZES))


def unordered(policy: str = RING, initial_read_flag: int = 0) -> Variant:
    """The rows with no ordering at all."""
    variant = with_orderings((), initial_read_flag)
    return variant.replace(policy=policy) if policy != RING else variant


def published_places(variant: Variant) -> tuple[str, ...]:
    """The rows directly before which vLLM has a fence today: the first look of each side, and publishing."""
    return variant.writer.rows[0].id, variant.writer.rows[-1].id, variant.reader.rows[0].id


def fenced(variant: Variant, rows: Iterable[str], kind: str = "seq-cst") -> Variant:
    """A fence directly before each of these rows."""
    for row in rows:
        variant = variant.fenced(kind, before=row)
    return variant


def alternatives(policy: str = RING, memories: tuple[str, ...] = MEMORIES) -> tuple[Alternative, ...]:
    """The published alternatives on one policy, and fences before each single load on top of the published ones."""
    judged = _judged(policy)
    return tuple(
        Alternative(name, policy, str(variant), tuple(find(variant, memory, properties=judged) for memory in memories))
        for name, variant in _variants(policy)
    )


def _variants(policy: str) -> Iterable[tuple[str, Variant]]:
    bare = unordered(policy)
    places = published_places(bare)
    looks = [row.id for table in (bare.writer, bare.reader) for row in table.rows if row.is_look]
    locks = bare
    for row in places:
        locks = locks.locked(before=row)
    return (
        ("no ordering", bare),
        ("lock as fence", locks),
        ("fences", fenced(bare, places)),
        ("fences, and one before each load", fenced(bare, dict.fromkeys((*places, *looks)))),
    )


def _judged(policy: str) -> tuple[str, ...]:
    return tuple(name for name in SAFETY if policy == RING or name != "reordered")


def further_fences(policy: str = RING) -> Fences:
    """What the published fences lack: the minimal sets of further ones that make them right under ``ra``."""
    bare = unordered(policy)
    return _fences(bare, published_places(bare), policy)


def fences_only(initial_read_flag: int = 0) -> Fences:
    """The minimal sets of fences that make the rows right under ``ra`` with no ordered access at all."""
    return _fences(unordered(RING, initial_read_flag), (), RING)


def _fences(bare: Variant, published: tuple[str, ...], policy: str) -> Fences:
    """Search for places in small rings; then look for the weakest kinds, and try those in all rings (in small ones where actors
    scan, which reaches many more states).

    What suffices when the published fences are ``acq_rel`` suffices when they are ``seq_cst``, so that is tried first: there is
    less to explore.
    """

    def found(kinds: Mapping[str, str], sizes: tuple[tuple[int, int], ...] = SMALL_SIZES) -> Finding:
        for basis in (_LESS, _STRONGEST):
            edited = fenced(bare, published, basis)
            for row, kind in kinds.items():
                edited = edited.fenced(kind, before=row)
            finding = find(edited, "ra", sizes, _judged(policy))
            if finding.status == HOLDS or not published:
                break
        return finding

    def strong_enough(chosen: tuple[str, ...]) -> Finding:
        weaker = found(dict.fromkeys(chosen, _LESS))
        return weaker if weaker.status == HOLDS else found(dict.fromkeys(chosen, _STRONGEST))

    rows = tuple(row.id for table in (bare.writer, bare.reader) for row in table.rows if row.id not in published)
    sets = minimal_sets(rows, strong_enough)
    weakest = [_weakest(chosen, found) for chosen in sets.minimal]
    named = (tuple(f"{FENCE_BEFORE}{row},{kind}" for row, kind in kinds.items()) for kinds in weakest)
    sizes = SIZES if policy == RING else SMALL_SIZES
    explored = tuple((edits, found(kinds, sizes)) for edits, kinds in zip(named, weakest, strict=True))
    return Fences(str(fenced(bare, published)), sets, explored)


def _weakest(chosen: tuple[str, ...], found: Callable[[Mapping[str, str]], Finding]) -> dict[str, str]:
    """For each place, in order, the weakest kind of fence with which nothing is found."""
    start = dict.fromkeys(chosen, _LESS)
    kinds = start if found(start).status == HOLDS else dict.fromkeys(chosen, _STRONGEST)
    for row in chosen:
        weaker = ({**kinds, row: kind} for kind in ("acquire", "release", _LESS))
        kinds = next((tried for tried in weaker if tried == kinds or found(tried).status == HOLDS), kinds)
    return kinds


def quick() -> Report:
    """Whether the shipped orderings suffice, and what is missing without each: so none of them can go, nor any two."""
    started = time.perf_counter()
    shipped, weaker = find(PROTOCOL, "ra"), weakenings()
    return Report(shipped, weaker, (), (), (), (), _surprises(shipped, weaker), time.perf_counter() - started)


def full(jobs: int = JOBS_MAX, on_advance: Callable[[str], None] | None = None) -> Report:
    """All minimal sets, for both initial values of the read flags; the alternatives, and what they lack."""
    started = time.perf_counter()
    questions: list[tuple[Callable[..., Any], Any]] = [(fences_only, 0), (fences_only, 1)]
    questions += [(ask, policy) for ask in (further_fences, alternatives) for policy in (RING, SCAN)]
    questions += [(minimal_orderings, 0), (minimal_orderings, 1)]
    found: list[Any] = []
    for (ask, argument), answer in zip(questions, answers(_answer, questions, jobs), strict=True):
        found.append(answer)
        if on_advance is not None:
            on_advance(f"{ask.__name__} {argument}: done")
    report = quick()
    only, further, published, minimal = found[0:2], found[2:4], (*found[4], *found[5]), found[6:8]
    wrong = (*report.surprises, *_unlike_recorded(minimal, published, [*further, *only]))
    seconds = time.perf_counter() - started
    return Report(report.shipped, report.weakenings, tuple(minimal), published, tuple(further), tuple(only), wrong, seconds)


def _answer(question: tuple[Callable[..., Any], Any]) -> Any:
    ask, argument = question
    return ask(argument)


def _surprises(shipped: Finding, weaker: Iterable[Weakening]) -> tuple[str, ...]:
    wrong = [f"the shipped orderings do not suffice: {shipped}"] if shipped.status != HOLDS else []
    for one in weaker:
        if one.with_races.status != REFUTED:
            wrong.append(f"{one.row} needs no ordering: {one.with_races}")
        if (one.values_only.status == HOLDS) != (one.row in RACES_ONLY):
            wrong.append(f"{one.row} without its ordering, judged by values alone: {one.values_only}")
    return tuple(wrong)


def _unlike_recorded(
    minimal: Sequence[MinimalSets], published: Iterable[Alternative], fences: Sequence[Fences]
) -> tuple[str, ...]:
    """What is otherwise than the module's constants say."""
    wrong = [
        f"minimal orderings, read flags from {value}: {sets.minimal}; recorded: {MINIMAL_ORDERINGS[value]}"
        for value, sets in enumerate(minimal)
        if sets.minimal != MINIMAL_ORDERINGS[value]
    ]
    wrong += [
        f"{one.name}, {one.policy}: {finding}"
        for one in published
        for finding in one.findings
        if (finding.status == HOLDS) != (finding.memory in ("sc", "tso"))
    ]
    for name, recorded, found in zip(("ring", "scan", "flags 0", "flags 1"), WEAKEST_FENCES, fences, strict=True):
        edits = tuple(" ".join(edits).replace(FENCE_BEFORE, "") for edits, _ in found.weakest)
        if edits != recorded:
            wrong.append(f"fences, {name}: {edits}; recorded: {recorded}")
        wrong += [f"fences, {name}: {finding}" for _, finding in found.weakest if finding.status != HOLDS]
    return tuple(wrong)
