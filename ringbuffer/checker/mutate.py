"""Mutations: what each edit of the tables breaks, alone and in pairs, or why it breaks nothing.

A mutation is *refuted*, with a property, a shortest trace, the smallest ring and the fewest messages that show it, and whether
that takes a second lap; or it is *benign* as far as it was explored, without a bound on messages. Some are benign for one
reader only, or for one block only. Rules: rings are explored from small to large, up to the first that refutes; safety and
liveness are judged under ``sc``, safety under ``tso``, safety and races under ``ra``. What is refuted under ``sc`` is refuted
under the weaker memories: an ``sc`` run, each store taking effect at once and each load finding the newest, is one of theirs
too. So these are asked only about the rings on which ``sc`` has found nothing. Mutants whose steps are the same on a memory
are explored once. Limits: benign speaks of the rings in ``sizes``; a refutation that ``tso`` or ``ra`` adds may have a shorter
trace, because the explorer leaves out steps that nobody can notice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ringbuffer.checker import recorded
from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Result, explore
from ringbuffer.checker.mutants import pairs, single_edits, steps_key, variant_of
from ringbuffer.checker.parallel import JOBS_MAX, answers
from ringbuffer.protocol import PROTOCOL, Kind, Variant
from ringbuffer.protocol.properties import ALL, SAFETY
from ringbuffer.trace.record import FLUSH, Step

BENIGN, VACUOUS = "benign", "vacuous"
ONE_READER, ONE_BLOCK, ONE_EACH, ONE_EITHER = "one reader", "one block", "one reader and one block", "one reader or one block"
"""Benign in such rings only, and refuted in larger ones."""
KINDS: Final = (REFUTED, ONE_EACH, ONE_READER, ONE_BLOCK, ONE_EITHER, BENIGN, VACUOUS, UNKNOWN)

SIZES: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Readers and blocks of the rings in which every mutant is tried, in this order."""
LARGER: Final = (*SIZES, (1, 3), (3, 1))
"""Those in which :func:`full` tries it under ``sc``."""
NOTHING: Final = "nothing"
SHIPPED: Final = ""
"""The edits of what is shipped."""
STATES_MAX: Final = 200_000
MESSAGES_MAX: Final = 6
"""How many messages are tried when the fewest that show a fault are looked for."""
WEAKER: Final = ("tso", "ra")
MEMORIES: Final = ("sc", *WEAKER)
_RAISES: Final = "the caller raises"

OnAdvance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutant under one memory.

    ``kind``: one of :data:`KINDS`; ``vacuous`` holds, but something that should have been seen was not (``unseen``), and
    ``unknown`` met the bound of states. Of the smallest ring that refutes it: ``property``, ``steps``, ``size`` (readers and
    blocks), ``messages`` (the fewest that show a fault there; ``None`` if it takes more than :data:`MESSAGES_MAX`, or runs
    without end), ``later_lap`` (whether the writer is in a block again that it has filled before), and ``token``. ``held``: the
    rings in which nothing was found. ``states`` counts those of all explorations, ``capped`` says whether a bound of the memory
    was met. ``like``: the mutant that was explored in its place, the steps being the same; ``under``: the memory in which it
    was refuted, where that is a stronger one.
    """

    edits: str
    memory: str
    kind: str
    property: str | None = None
    steps: int = 0
    size: tuple[int, int] | None = None
    messages: int | None = None
    later_lap: bool = False
    token: str | None = None
    held: tuple[tuple[int, int], ...] = ()
    states: int = 0
    capped: bool = False
    unseen: tuple[str, ...] = ()
    like: str = ""
    under: str = ""

    def summary(self) -> str:
        """All that is recorded of it, as one line: what a change of the protocol would change."""
        if self.size is None:
            return " ".join((self.kind, *self.unseen))
        only = "" if self.kind == REFUTED else f"; benign for {self.kind} only"
        lap = "later" if self.later_lap else "first lap"
        shown = "unbounded" if self.messages is None else f"{self.messages} messages"
        return f"{self.property} {self.steps} steps {self.size[0]}×{self.size[1]} {shown} {lap}{only}"


class Question(NamedTuple):
    """A mutant to be classified under a memory; ``stronger``: what is known of it under ``sc``."""

    edits: str
    memory: str
    sizes: tuple[tuple[int, int], ...] = SIZES
    stronger: Mutation | None = None


def classify(
    edits: str,
    memory: str = "sc",
    sizes: tuple[tuple[int, int], ...] = SIZES,
    *,
    stronger: Mutation | None = None,
    max_states: int = STATES_MAX,
) -> Mutation:
    """Explore the mutant in rings of these sizes, from small to large, up to the first that refutes it.

    ``stronger``: what is known of it under ``sc``, if it is asked about a weaker memory: rings that refute it there are not
    explored again. Raises :class:`VariantError` for edits that do not apply.
    """
    variant = variant_of(edits)
    known_bad = stronger is not None and stronger.size is not None
    left = stronger.held if stronger is not None and known_bad else sizes
    results: list[Result] = []
    for size in left:
        if any(result.status == REFUTED for result in results) and not _tells_more(size, results):
            continue
        results.append(_ask(variant, size, memory, max_states))
    found = next((result for result in results if result.status == REFUTED), None)
    if found is None and known_bad:
        assert stronger is not None, "it is known"
        return replace(stronger, memory=memory, under=stronger.under or stronger.memory)
    return _mutation(edits, memory, results, found, max_states)


def _tells_more(size: tuple[int, int], results: Sequence[Result]) -> bool:
    """Whether a ring is worth a look although a smaller one has refuted: one with one block may hold where two blocks fail."""
    refuted = [(result.setup.readers, result.setup.blocks) for result in results if result.status == REFUTED]
    return not any(readers <= size[0] and blocks <= size[1] for readers, blocks in refuted)


def _ask(variant: Variant, size: tuple[int, int], memory: str, max_states: int, messages: int | None = None) -> Result:
    judged = ALL if memory == "sc" else SAFETY
    return explore(variant, *size, messages, memory, properties=judged, max_states=max_states)


def _mutation(edits: str, memory: str, results: Sequence[Result], found: Result | None, max_states: int) -> Mutation:
    """What these explorations say together."""
    held = tuple((one.setup.readers, one.setup.blocks) for one in results if one.status == HOLDS)
    states, capped = sum(one.states for one in results), any(one.capped for one in results)
    basis = Mutation(edits, memory, UNKNOWN, held=held, states=states, capped=capped)
    if found is not None:
        size = (found.setup.readers, found.setup.blocks)
        return replace(
            basis,
            kind=_kind(size, held),
            property=found.property,
            steps=len(found.trace),
            size=size,
            messages=_fewest_messages(found, max_states),
            later_lap=is_later_lap(found.trace, found.setup.variant),
            token=found.token,
        )
    if any(one.status == UNKNOWN for one in results):
        return basis
    unseen = tuple(dict.fromkeys(name for one in results for name in one.vacuous))
    return replace(basis, kind=VACUOUS if unseen else BENIGN, unseen=unseen)


def _kind(size: tuple[int, int], held: tuple[tuple[int, int], ...]) -> str:
    """Where a refuted mutant is benign, if anywhere: in all rings that were tried with one reader, or with one block."""
    if size == (1, 1) or not held:
        return REFUTED
    one_reader, one_block = (1, 2) in held, (2, 1) in held
    return {(False, False): ONE_EACH, (True, False): ONE_READER, (False, True): ONE_BLOCK, (True, True): ONE_EITHER}[
        one_reader, one_block
    ]


def _fewest_messages(found: Result, max_states: int) -> int | None:
    """With how few messages in all a fault shows in a ring of that size."""
    setup = found.setup
    for count in range(1, MESSAGES_MAX + 1):
        result = _ask(setup.variant, (setup.readers, setup.blocks), setup.memory, max_states, count)
        if result.status == REFUTED:
            return count
    return None


def is_later_lap(trace: Iterable[Step], variant: Variant) -> bool:
    """Whether, before the end, the writer comes to use a block that it has used before.

    It has used a block when it is at its first row again after it has filled it (in a table without that row: stored to it).
    """
    rows = variant.writer.rows
    first, payload = rows[0].id, {row.id for row in rows if row.is_payload}
    changes = {row.id for row in rows if row.access.kind in (Kind.STORE, Kind.FILL)}
    used: set[int] = set()
    touched = False
    for step in trace:
        if step.actor != "writer" or step.kind == FLUSH:
            continue
        if step.block in used and (step.row in changes or step.goes_to in payload):
            return True
        if step.row in (payload or changes):
            touched = not (step.goes_to == first and _RAISES in step.note)
        if step.goes_to == first and touched:
            used.add(step.block)
            touched = False
    return False


def mutations(
    memory: str,
    edits: Sequence[str] | None = None,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    *,
    jobs: int = 1,
    stronger: Iterable[Mutation] = (),
    explored: Iterable[Mutation] = (),
    on_advance: OnAdvance | None = None,
) -> tuple[Mutation, ...]:
    """Classify these mutants (by default every single edit) under a memory, in their order, by up to ``jobs`` processes.

    ``stronger``: what is known of them under ``sc``, so that a weaker memory need not find it again. ``explored``: others that
    were classified under this memory in these rings; what has the same steps as one of them is not explored again.
    """
    edits = single_edits() if edits is None else edits
    known = {mutation.edits: mutation for mutation in stronger}
    alike = {steps_key(variant_of(mutation.edits), memory): mutation for mutation in explored}
    keys = {text: steps_key(variant_of(text), memory) for text in edits}
    firsts = {key: text for text, key in reversed(keys.items())} | {steps_key(PROTOCOL, memory): SHIPPED}
    left = [text for key, text in reversed(firsts.items()) if key not in alike and key in keys.values()]
    questions = [Question(text, memory, sizes, known.get(text)) for text in left]
    for done, mutation in enumerate(answers(_answer, questions, jobs), start=1):
        alike[steps_key(variant_of(mutation.edits), memory)] = mutation
        if on_advance is not None:
            on_advance(f"{memory}: {done} of {len(left)} explored: {mutation.edits or 'shipped'}")
    return tuple(_named(text, alike[keys[text]]) for text in edits)


def _named(edits: str, mutation: Mutation) -> Mutation:
    """What was found for ``mutation``, as what is known of edits that lead to the same steps."""
    like = mutation.like or mutation.edits or "shipped"
    return replace(mutation, edits=edits, like="" if mutation.edits == edits else like)


def _answer(question: Question) -> Mutation:
    return classify(*question[:3], stronger=question.stronger)


@dataclass(frozen=True, slots=True)
class Report:
    """Every mutant that was tried, alone and in pairs, in order; ``surprises``: what is otherwise than it is recorded."""

    singles: tuple[Mutation, ...]
    pairs: tuple[Mutation, ...]
    surprises: tuple[str, ...]
    seconds: float

    def counts(self, mutants: Iterable[Mutation] | None = None) -> dict[tuple[str, str], int]:
        """How many of the mutants (by default the single ones) each memory has of each kind."""
        found = Counter((one.memory, one.kind) for one in (self.singles if mutants is None else mutants))
        return {(memory, kind): found[memory, kind] for memory in MEMORIES for kind in KINDS if found[memory, kind]}


def quick(on_advance: OnAdvance | None = None) -> Report:
    """Every single edit and every pair of benign ones under ``sc``, in this process."""
    return _report({"sc": SIZES}, 1, on_advance)


def full(jobs: int = JOBS_MAX, on_advance: OnAdvance | None = None) -> Report:
    """Every single edit and every pair of benign ones under the three memories."""
    return _report({"sc": LARGER, **dict.fromkeys(WEAKER, SIZES)}, jobs, on_advance)


def _report(memories: Mapping[str, tuple[tuple[int, int], ...]], jobs: int, on_advance: OnAdvance | None) -> Report:
    started = time.perf_counter()
    singles: dict[str, tuple[Mutation, ...]] = {}
    couples: dict[str, tuple[Mutation, ...]] = {}
    for memory, sizes in memories.items():
        singles[memory] = mutations(memory, None, sizes, jobs=jobs, stronger=singles.get("sc", ()), on_advance=on_advance)
        benign = pairs(one.edits for one in singles[memory] if one.kind == BENIGN)
        couples[memory] = mutations(
            memory,
            benign,
            sizes,
            jobs=jobs,
            stronger=couples.get("sc", ()),
            explored=singles[memory],
            on_advance=on_advance,
        )
    one_by_one = tuple(one for memory in memories for one in singles[memory])
    two_by_two = tuple(one for memory in memories for one in couples[memory])
    wrong = (*surprises(one_by_one, recorded.SINGLES), *_surprising_pairs(couples))
    return Report(one_by_one, two_by_two, wrong, time.perf_counter() - started)


def _surprising_pairs(couples: Mapping[str, Sequence[Mutation]]) -> tuple[str, ...]:
    """Pairs are benign unless they are recorded; and how many there are is recorded."""
    wrong = [one for found in couples.values() for one in found if one.kind != BENIGN]
    counted = {memory: len(found) for memory, found in couples.items()}
    return surprises(wrong, recorded.PAIRS, couples) + tuple(
        f"{count} pairs under {memory}; recorded: {recorded.PAIR_COUNTS[memory]}"
        for memory, count in counted.items()
        if count != recorded.PAIR_COUNTS[memory]
    )


def surprises(
    found: Iterable[Mutation], expected: Mapping[str, Mapping[str, str]], memories: Iterable[str] = ()
) -> tuple[str, ...]:
    """What was found otherwise than ``expected`` says (memory by memory, mutant by mutant), and what was not found at all.

    ``memories``: those that were tried, where nothing may have been found under one of them.
    """
    told = {(one.memory, one.edits): one.summary() for one in found}
    tried = dict.fromkeys((*memories, *(memory for memory, _ in told)))
    wanted = {(memory, edits): said for memory in tried for edits, said in expected[memory].items()}
    return tuple(
        f"{edits} under {memory}: {told.get((memory, edits), NOTHING)}; recorded: {wanted.get((memory, edits), NOTHING)}"
        for memory, edits in dict.fromkeys((*wanted, *told))
        if wanted.get((memory, edits)) != told.get((memory, edits))
    )


def listed(found: Iterable[Mutation]) -> str:
    """The lines by which ``recorded.py`` keeps these mutations."""
    return "\n".join(f"{one.edits}: {one.summary()}" for one in found)
