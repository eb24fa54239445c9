"""A run in words: what was asked, what broke, and what happens in one step, for pages and for people who cannot see a picture.

Rules: plain sentences without markup; a row's title and reason come from the shipped tables, and a step of a row that they do
not have goes without. Limits: a sentence says what the record says, and does not ask the model again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ringbuffer.protocol import READER, WRITER, Case, Ordering, Row
from ringbuffer.protocol.properties import BY_NAME
from ringbuffer.trace.record import FLUSH, KILL, Block, Run, Step
from ringbuffer.trace.text import message_name

ROWS: Final[dict[str, Row]] = {row.id: row for table in (WRITER, READER) for row in table.rows}
"""The shipped rows by clause id."""
SENDS: Final = frozenset(("store", "fill", "exchange", FLUSH))
"""Kinds of steps that change what others may find; the other kinds only look, or order."""

_MEMORIES: Final = {
    "sc": "sequentially consistent",
    "tso": "total store order: each actor's stores wait in a buffer of its own",
    "ra": "release/acquire: a load may return an older value, unless an ordering forbids it",
    "ra-relaxed": "release/acquire, with the payload as relaxed atomic words",
}
_EDITS: Final = {
    "without": "without {}",
    "swap": "{} and {} swapped",
    "move": "{} moved before {}",
    "weaken": "{} made relaxed",
    "order": "{} made {}",
    "flip": "{} with 0 for 1 and 1 for 0",
    "retarget": "{} at {} instead",
    "fence-before": "before {} a fence, {}",
    "fence-after": "after {} a fence, {}",
    "lock-before": "a private lock taken before {}",
    "lock-after": "a private lock taken after {}",
    "policy": "the {} policy",
    "initial-read-flag": "read flags that start as {}",
    "missing-readers": "{} readers may be missing when W2 takes a block for free",
}
_CASES: Final = {
    Case.UNWRITTEN: "not written: the writer may write, nobody may read",
    Case.WRITTEN: "written: every reader may read, the writer waits",
    Case.PARTLY_READ: "partly read: readers whose flag is 0 may read, the writer waits",
    Case.READ_BY_ALL: "read by all: the writer may write, nobody may read",
}
STALE: Final = "A newer value was there, or on its way: what this step got is stale."


def plural(count: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def memory_in_words(name: str) -> str:
    """What that simulated memory is; just its name if it is not one of ours."""
    return _MEMORIES.get(name, name)


def variant_in_words(variant: str) -> str:
    """The edits of the tables; as they are where there is no better word for one."""
    edits = [edit for edit in variant.split() if edit != "shipped"]
    return ", ".join(map(_edit_in_words, edits)) or "the shipped tables, unchanged"


def _edit_in_words(edit: str) -> str:
    operation, _, argument = edit.partition("=")
    arguments, form = argument.split(","), _EDITS.get(operation, "")
    return form.format(*arguments) if form.count("{}") == len(arguments) else edit


def case_in_words(case: Case) -> str:
    """What a case allows."""
    return _CASES[case]


def property_in_words(name: str) -> str:
    """``P2 stale``, or the name alone when there is no such property here."""
    return f"{BY_NAME[name].id} {name}" if name in BY_NAME else name


def statement_of(name: str) -> str:
    """What the property of that name demands; empty when there is no such property here."""
    return BY_NAME[name].statement if name in BY_NAME else ""


def faults(run: Run) -> Iterator[tuple[str, int | None, str]]:
    """Everything that the run breaks: the property's name, the number of the step (``None``: in the cycle), what happens."""
    shown = set()
    for step in run.steps:
        for name in step.broken:
            shown.add(name)
            yield name, step.number, fault_in_words(run, step, name)
    for name in run.broken:
        if name not in shown:
            yield name, None, cycle_in_words(run)


def cycle_in_words(run: Run) -> str:
    """What the repeating part of a run means; empty for a run that does not repeat itself."""
    if run.cycle_start is None:
        return ""
    who = f", and {the(run.starved)} never gets what it waits for" if run.starved else ""
    return f"From step {run.cycle_start} on these steps can repeat for ever{who}."


def fault_in_words(run: Run, step: Step, name: str) -> str:
    """What happens in a step that breaks the property ``name``."""
    if name == "stale" and step.kind == "read":
        if not step.value:
            return f"{_capital(step.actor)} receives words that held no message when it read them."
        held, earlier = message_name(step.value), _received_before(run, step)
        again = f"a second time: step {earlier} has given it that message" if earlier else "which it is not owed"
        return f"{_capital(step.actor)} receives {held}{' ' if earlier else ', '}{again}."
    if step.note and name != "race":
        return f"{_capital(step.note)}."
    if name == "exclusion":
        others = [stay.actor for stay in stays(run) if _holds(stay, step) and stay.actor != step.actor]
        company = f", where {' and '.join(map(the, others))} {'is' if len(others) == 1 else 'are'}" if others else ""
        return f"{_capital(step.actor)} enters block {step.block}{company}."
    if name == "race" and step.kind == "read" and step.reads_from:
        source = run.steps[step.reads_from - 1]
        got = f"{message_name(step.value)}, which {the(source.actor)} wrote in step {source.number}"
        return f"{_capital(step.actor)} reads {got}, and nothing orders the two accesses."
    if name == "race":
        return (
            f"Nothing orders what {the(step.actor)} does to {step.location} of block {step.block} with another's access to it."
        )
    if name == "overwritten" and step.location.startswith("word "):
        over = message_name(ring_before(run, step)[step.block].payload[int(step.location[5:])])
        return f"{_capital(step.actor)} writes {message_name(step.value)} over {over}, which some reader has not received."
    if name == "lost":
        held = message_name(step.payload[0])
        return f"{_capital(step.actor)} gives back block {step.block} with {held}, which it has not received."
    return f"{_capital(step.actor)}: {step.row} {step.access}, block {step.block}."


def _received_before(run: Run, step: Step) -> int | None:
    """The number of the last earlier step in which the same reader received the same message."""
    earlier = run.steps[: step.number - 1]
    numbers = [
        e.number for e in earlier if (e.actor, e.kind, e.value) == (step.actor, "read", step.value) and "receives" in e.note
    ]
    return numbers[-1] if numbers else None


class Stay(NamedTuple):
    """An actor is inside a block, its caller filling or reading: from one step to another, or (``None``) to the end."""

    actor: str
    block: int
    since: int
    until: int | None


def stays(run: Run) -> Iterator[Stay]:
    """Who is inside which block, and from when to when; those that are over first."""
    entered: dict[str, Step] = {}
    for step in run.steps:
        if step.kind == FLUSH:
            continue
        inside = step.kind != KILL and step.goes_to in ROWS and ROWS[step.goes_to].is_payload
        if inside:
            entered.setdefault(step.actor, step)
        elif step.actor in entered:
            since = entered.pop(step.actor)
            yield Stay(step.actor, since.block, since.number, step.number)
    for actor, since in entered.items():
        yield Stay(actor, since.block, since.number, None)


def _holds(stay: Stay, step: Step) -> bool:
    """Whether a stay is in the block of ``step``, and goes on at that step."""
    return stay.block == step.block and stay.since <= step.number and (stay.until is None or stay.until > step.number)


def ring_before(run: Run, step: Step) -> tuple[Block, ...]:
    """What an onlooker found in every block just before a step."""
    return run.steps[step.number - 2].ring if step.number > 1 else run.initial


def row_in_words(row_id: str) -> str:
    """``R2 look at the written flag``, or the id alone for a row that is not in the shipped tables."""
    return f"{row_id} {ROWS[row_id].title}" if row_id in ROWS else row_id


def step_in_words(step: Step) -> str:
    """One step as a sentence: who does what, to what, in which ordering, with which value."""
    who, where = _capital(step.actor), _place_in_words(step)
    value = message_name(step.value) if step.location.startswith("word ") else str(step.value)
    ordering = f" ({step.ordering.replace('_', '-')})" if step.ordering else ""
    match step.kind:
        case "load":
            return f"{who} loads {where}{ordering} and finds {value}."
        case "store":
            return f"{who} stores {value} in {where}{ordering}."
        case "exchange":
            return f"{who} exchanges {where} with one atomic access{ordering}: {step.access}."
        case "fill":
            return f"{_caller(step)} writes {value} in {where}{ordering}."
        case "read":
            return f"{_caller(step)} reads {value} from {where}{ordering}."
        case "fence":
            return f"{who} runs a fence{ordering}: no access, but what came before is ordered with what follows."
        case "sleep":
            return f"{who} asks the kernel to sleep on {where}, which lays it down if that is 0{ordering}."
        case "wake":
            return f"{who} asks the kernel to wake whoever sleeps on {where}."
        case "flush":
            return f"{who}'s oldest waiting store reaches memory: from now on all find {value} in {where}."
        case "kill":
            return f"{who} is killed here: it takes no further step, and its block stays as it is."
    return f"{who}: {step.access}."


def source_in_words(run: Run, step: Step) -> str:
    """Where the value of a step comes from; empty when the record does not say."""
    if step.reads_from is None:
        return ""
    if step.reads_from == 0:
        return "This is the value from before the first step."
    source = run.steps[step.reads_from - 1]
    verb = "The store was made" if step.kind == FLUSH else "The value was stored"
    return f"{verb} in step {source.number}: {the(source.actor)}, {source.row} {source.access}."


def changes_in_words(run: Run, step: Step) -> str:
    """What the step changes in the ring, as an onlooker sees it."""
    before, said = ring_before(run, step), []
    for number, (old, new) in enumerate(zip(before, step.ring, strict=True)):
        if old.flags != new.flags:
            cases = f"case {int(old.case)} → {int(new.case)}" if old.case != new.case else f"still case {int(new.case)}"
            said.append(f"block {number}: flags {_digits(old.flags)} → {_digits(new.flags)}, {cases}")
        if old.payload != new.payload:
            words = " ".join(map(message_name, new.payload))
            said.append(f"block {number}: payload {words}")
    return f"Changes {'; '.join(said)}." if said else "Nothing in the ring changes."


def reasons(step: Step) -> list[str]:
    """Why the step's row is in the shipped tables, and what its ordering is for; empty for a row that they do not have."""
    row = ROWS.get(step.row)
    if row is None:
        return []
    said = [row.why]
    if row.pairing:
        lost = step.ordering == Ordering.RELAXED.value and row.access.ordering is not Ordering.RELAXED
        said.append(f"{_capital(row.access.ordering.value)} {row.pairing}{'; made relaxed in this run' if lost else ''}.")
    return said


def verdict_in_words(run: Run, step: Step, name: str) -> str:
    """That a step breaks the property ``name``, how, and what the property demands."""
    demand = f" Demanded: {statement_of(name)}." if statement_of(name) else ""
    return f"{property_in_words(name)} is broken. {fault_in_words(run, step, name)}{demand}"


def _place_in_words(step: Step) -> str:
    if step.location == "written":
        return f"the written flag of block {step.block}"
    if step.location.startswith("read["):
        return f"read flag {step.location[5:-1]} of block {step.block}"
    if step.location.startswith("awake["):
        whose = {"awake[w]": "the writer is", "awake[*]": "the readers are"}.get(step.location)
        return f"the word that says whether {whose or f'reader {step.location[6:-1]} is'} awake"
    return f"{step.location} of block {step.block}" if step.location else "memory"


def _caller(step: Step) -> str:
    return f"{_capital(step.actor)}'s caller"


def the(actor: str) -> str:
    """An actor's name as it stands in a sentence: ``the writer``, ``reader 0``."""
    return "the writer" if actor == "writer" else actor


def _capital(text: str) -> str:
    text = the(text)
    return f"{text[:1].upper()}{text[1:]}"


def _digits(flags: tuple[int, ...]) -> str:
    return "".join(map(str, flags))
