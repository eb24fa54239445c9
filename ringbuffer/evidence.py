"""Generated parts of the specification: what exploration shows of orderings, mutations, faults and reductions.

Each part is a function that returns Markdown, with the command beside its figures. Rules: quick figures are explored anew each
time; what takes minutes is printed from where the checker records it, which ``ringbuffer check --full`` holds to what it finds.
Limits: Markdown tables and lists only; the words around them are in the chapters.
"""

from __future__ import annotations

import re
from typing import Final

from ringbuffer.checker import crashes, orderings, recorded, reduce
from ringbuffer.checker.explore import explore
from ringbuffer.checker.faults import FAULTS, Fault
from ringbuffer.checker.mutate import BENIGN
from ringbuffer.checker.wakeups import BENIGN as WAKEUP_BENIGN
from ringbuffer.checker.wakeups import MEMORIES as WAKEUP_MEMORIES
from ringbuffer.checker.wakeups import TWINS as WAKEUP_TWINS
from ringbuffer.checker.wakeups import Twin
from ringbuffer.proof.contracts.laws import LAWS
from ringbuffer.proof.pages import table
from ringbuffer.proof.twins import REFINEMENT_TWINS, TWINS
from ringbuffer.protocol import PROTOCOL, Row
from ringbuffer.protocol.properties import SAFETY
from ringbuffer.protocol.recovery import READER_NOTE, WRITER_NOTE
from ringbuffer.protocol.waking import SLEEPING, WAKING

_COUNTED: Final = (
    ("sc", 1, 1),
    ("sc", 2, 2),
    ("sc", 2, 3),
    ("sc", 3, 2),
    ("tso", 1, 1),
    ("tso", 1, 2),
    ("ra", 1, 1),
    ("ra", 2, 2),
)

_SUMMARY: Final = re.compile(r"(\S+) (\d+) steps (\S+) (\S+) messages (first lap|later)(?:; (.*))?")


def _command(edits: str) -> str:
    """Edits as options of the command."""
    return " ".join(f"--{edit.replace('=', ' ', 1)}" for edit in edits.split())


def faults() -> str:
    """The table of faults, as ``faults-contained`` explores it."""
    head = ("fault", "what happens", "stays true", "breaks", "command")

    def names(properties: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in properties) or "–"

    def cells(fault: Fault) -> tuple[str, ...]:
        whose = f" (of reader {fault.rank})" if fault.rank is not None else ""
        return f"`{fault.id}`", fault.title, names(fault.stays) + whose, names(fault.breaks), f"`{_fault_command(fault)}`"

    return table(head, map(cells, FAULTS)) + "\n\nFrom `ringbuffer check --claim faults-contained`."


def successions() -> str:
    """What else somebody could have written about the dead, and what it breaks first."""

    def ring(memory: str, size: tuple[int, int]) -> str:
        return f"{memory} {size[0]}×{size[1]}"

    rows = [(f"`{name}`", f"`{broken}`", ring(memory, size)) for name, memory, size, broken in crashes.REFUTED_SUCCESSIONS]
    rows += [(f"`{name}`", "–", "all that were tried") for name in crashes.BENIGN_SUCCESSIONS]
    return table(("how the dead are followed", "breaks", "found on"), rows)


def _fault_command(fault: Fault) -> str:
    options = " ".join(f"--{name} {value}" for name, value in fault.options.items())
    options += f" --rank {fault.rank}" if fault.rank is not None else ""
    broken = f"--property {fault.breaks[0]}" if fault.breaks else ""
    readers, blocks = fault.breaks_size if fault.breaks else fault.size
    size = f"--readers {readers} --blocks {blocks}"
    return " ".join(filter(None, ("ringbuffer check", _command(fault.edits), options, broken, size)))


def reductions() -> str:
    """What the module says of its reductions."""
    assert reduce.__doc__ is not None, "the module begins with them"
    text = reduce.__doc__
    return text[text.index("* ``rotation``") : text.index("Messages are named")].replace("``", "`")


def state_counts() -> str:
    """States with and without reductions, for safety."""

    def cells(memory: str, readers: int, blocks: int) -> tuple[str, ...]:
        reduced = explore(PROTOCOL, readers, blocks, memory=memory, properties=SAFETY)
        whole = explore(PROTOCOL, readers, blocks, memory=memory, properties=SAFETY, reductions=())
        claim = "race-free-ra" if memory == "ra" else f"safety-{memory}"
        command = f"`ringbuffer check --claim {claim} --readers {readers} --blocks {blocks}`"
        return memory, f"{readers}×{blocks}", f"{reduced.states:,}", f"{whole.states:,}", command

    head = ("memory", "readers×blocks", "states", "without reductions", "command (`--reductions none` for the last figure)")
    return table(head, (cells(*one) for one in _COUNTED))


def ordered_rows() -> str:
    """The rows that have an ordering, and what it is for."""
    rows = [PROTOCOL.row(row) for row in orderings.SHIPPED]
    head = ("row", "access", "ordering", "pairs")
    return table(head, ((row.id, f"`{row.access}`", row.access.ordering.value, row.pairing) for row in rows))


def weakenings() -> str:
    """What breaks without each ordering."""

    def cells(one: orderings.Weakening) -> tuple[str, ...]:
        raced, seen = one.with_races, one.values_only
        values = (
            f"`{seen.property}`, {seen.steps} steps" if seen.property else f"{seen.status} up to {seen.size[0]}×{seen.size[1]}"
        )
        command = f"`ringbuffer check --weaken {one.row} --memory ra --readers 1 --blocks 1`"
        return one.row, f"`{raced.property}`, {raced.steps} steps", values, command

    head = (
        "without the ordering of",
        "`ra`",
        "`ra-relaxed` (values only)",
        "command (`--memory ra-relaxed`, no sizes: values)",
    )
    return table(head, map(cells, orderings.weakenings()))


def minimal_orderings() -> str:
    """The minimal sets, as they are recorded."""

    def sets(found: tuple[tuple[str, ...], ...]) -> str:
        return "; ".join(f"{{{', '.join(rows)}}}" for rows in found)

    rows = (
        (str(flag), sets(found), "yes" if orderings.SHIPPED in found else "no")
        for flag, found in enumerate(orderings.MINIMAL_ORDERINGS)
    )
    head = ("read flags start as", "minimal sets of ordered rows", "the shipped set is one")
    return table(head, rows) + "\n\nFrom `ringbuffer check --claim orderings-minimal --full`."


def alternatives() -> str:
    """The published alternatives on the ring's own policy, memory by memory, and the fences that they lack."""
    lines = []
    for one in orderings.alternatives():
        cells = [
            f"{found.status}{f': `{found.property}`, {found.steps} steps' if found.property else ''}" for found in one.findings
        ]
        lines.append((one.name, *cells, f"`ringbuffer check {_command(one.edits)} --memory all`"))
    lacking = "\n".join(f"* {_places(text)}" for text in orderings.WEAKEST_FENCES[0])
    alone = "\n".join(f"* {_places(text)}" for text in orderings.WEAKEST_FENCES[2])
    return (
        table(("alternative, all accesses relaxed", *orderings.MEMORIES, "command"), lines)
        + "\n\nWhat the published fences lack, to be right under `ra`; each line is a minimal set of places for further"
        + f" fences, with the weakest kinds that do there (weaker fences at more places may do, too):\n\n{lacking}\n\nAnd with"
        + f" no other fences and no ordered accesses at all:\n\n{alone}\n\n"
        + "From `ringbuffer check --claim orderings-minimal --full`."
    )


def _places(text: str) -> str:
    """``W3,acquire R4,release`` in words."""
    places = (place.split(",") for place in text.split())
    return ", ".join(f"{kind} before {row}" for row, kind in places)


def mutations() -> str:
    """Every single edit that breaks something, as it is recorded."""
    singles, weak = recorded.SINGLES["sc"], recorded.SINGLES["ra"]
    head = ("edit", "breaks", "steps", "readers×blocks", "messages", "lap", "and")

    def cells(edits: str) -> tuple[str, ...]:
        found = _SUMMARY.fullmatch(singles[edits])
        assert found is not None, "a summary has this form"
        broken, steps, size, messages, lap, special = found.groups(default="")
        return f"`{edits}`", f"`{broken}`", steps, size, messages, lap, special

    broken = [edits for edits in singles if singles[edits] != BENIGN]
    same = "; ".join(f"`{edits}`: {weak[edits]}" for edits in weak if singles[edits] != weak[edits])
    return (
        table(head, map(cells, broken))
        + f"\n\nUnder `tso` they come out alike; under `ra` too, where besides the orderings are needed: {same}.\n\n"
        + "From `ringbuffer check --claim rows-necessary --full`; one of them with its run: `ringbuffer check --without W5`."
    )


def benign_edits() -> str:
    """Every single edit that breaks nothing under some memory, or in small rings only, with the reason."""
    rows = [(f"`{edits}`", _where(edits), reason) for edits, reason in recorded.REASONS.items()]
    rows += [(f"`{edits}`", _where(edits), reason) for edits, reason in recorded.REASONS_IN_SMALL.items()]
    return table(("edit", "benign", "why"), rows)


def _where(edits: str) -> str:
    """Under which memories, or in which rings, an edit is benign."""
    special = recorded.SINGLES["sc"][edits].partition("; benign for ")[2]
    memories = [memory for memory in orderings.MEMORIES if recorded.SINGLES[memory][edits] == BENIGN]
    return f"for {special}" if special else "on every memory" if len(memories) == 3 else " and ".join(memories)


def broken_pairs() -> str:
    """Pairs of benign edits that break something."""
    counts = ", ".join(f"{recorded.PAIR_COUNTS[memory]} under `{memory}`" for memory in orderings.MEMORIES)
    head = ("pair", "breaks")
    rows = ((f"`{edits}`", summary) for edits, summary in recorded.PAIRS["sc"].items())
    return f"{table(head, rows)}\n\nOf all pairs: {counts}. From `ringbuffer check --claim rows-necessary`."


def proof_twins() -> str:
    """Edited tables with the obligations that they leave open."""
    claims = {"sc": "safety-all-n-k", "ra": "race-free-all-n-k"}
    lines = [
        (memory, edits, names, f"ringbuffer check --claim {claims[memory]} {_command(edits)}")
        for (memory, edits), names in TWINS.items()
    ]
    lines += [
        ("sc, mapping", edits, names, f"ringbuffer check --claim refines-queue {_command(edits)}")
        for edits, names in REFINEMENT_TWINS.items()
    ]
    head = ("memory", "edit", "open obligations", "command")
    return table(head, ((memory, f"`{edits}`", _coded(names), f"`{command}`") for memory, edits, names, command in lines))


def _coded(names: str) -> str:
    return " ".join(f"`{name}`" for name in names.split())


def noting_rows() -> str:
    """How the writer and a reader note where they are."""
    return _plain_rows((WRITER_NOTE, READER_NOTE))


def sleeping_rows() -> str:
    """How one lies down and gets up."""
    return _plain_rows(SLEEPING)


def waking_rows() -> str:
    """How others are woken."""
    return _plain_rows(WAKING)


def _plain_rows(rows: tuple[Row, ...]) -> str:
    head = ("id", "row", "the one access", "ordering", "why it is there")
    return table(head, ((row.id, row.title, f"`{row.access}`", row.access.ordering.value, row.why) for row in rows))


def wakeup_twins() -> str:
    """What loses a wake-up, and on which memories; and what does not."""

    def verdict(twin: Twin, memory: str) -> str:
        return "lost" if memory in twin.lost_on else "holds" if twin.sleeps else "nothing to lose"

    def cells(twin: Twin) -> tuple[str, ...]:
        verdicts = [verdict(twin, memory) for memory in WAKEUP_MEMORIES]
        return f"`{twin.edits}`", *verdicts, str(twin.readers), twin.why, f"`ringbuffer check {_command(twin.edits)}`"

    head = ("edit", *WAKEUP_MEMORIES, "readers", "why", "command")
    return table(head, map(cells, (*WAKEUP_TWINS, *WAKEUP_BENIGN)))


def contracts() -> str:
    """Every law of the pure functions, and how it is shown."""
    head = ("about", "law", "shown by", "known-bad twins")

    def shown(by: str) -> str:
        return f"test: `{by.rpartition('::')[2]}`" if by else "confirmed"

    rows = ((law.module, law.statement.replace("``", "`"), shown(law.tested_by), str(len(law.twins))) for law in LAWS)
    return table(head, rows)
