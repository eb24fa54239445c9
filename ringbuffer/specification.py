"""The generated parts of the specification: tables and diagrams printed from the protocol's tables.

A chapter holds a generated part between two markers, ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``.
``update`` prints each part anew, and writes it or reports where the chapter differs; so it does with the TLA+ files and the
conformance vectors, which are generated as a whole (``ringbuffer/tla``, ``ringbuffer/vectors``). Rules: what can be read off
the code is never typed into a chapter. Limits: the words around the parts are written by hand, and nothing checks those.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Final

from ringbuffer import assurance as assured
from ringbuffer import evidence, figures, tla, waiting
from ringbuffer.checker.explore import REFUTED, Result, explore
from ringbuffer.codec import frames
from ringbuffer.errors import GeometryError, RingBufferError
from ringbuffer.instructions import instructions
from ringbuffer.memory import layout, participants
from ringbuffer.proof import pages
from ringbuffer.proof.pages import table
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Branch, Case, Edge, Instruction, Outcome, Program, Row, Variant, executed
from ringbuffer.protocol.properties import ALL, PROPERTIES, RACE
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS, TAKING_OVER
from ringbuffer.trace.text import render
from ringbuffer.vectors import publish, versions

_MARKED = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- end of (?P=name) -->)", re.DOTALL)
_OUTCOMES: Final = {
    Outcome.ZERO: "0",
    Outcome.ONE: "1",
    Outcome.DONE: "done",
    Outcome.ABORTED: "aborted",
}

_FRAME_MEANINGS: Final = {
    "sequence": "number of this block in the stream: how many blocks its writer was done with before",
    "length_bytes": "bytes of the message in this block; the payload behind them is what earlier messages left there",
    "kind": "what the message's body is, see below",
    "part": f"{frames.FIRST} for the first block of a message, plus {frames.LAST} for the last one",
    "total_bytes": "bytes of the whole body",
}
_KIND_MEANINGS: Final = {
    frames.RAW: "the caller filled the block itself (`acquire_write`)",
    frames.PICKLE: "one pickle",
    frames.BYTES: "the bytes that were sent, and nothing else",
    frames.GATHERED: "a pickle, and the buffers that belong to it, see [16](16-messages.md)",
    frames.TENSOR: "a tensor of torch: what it is, and its elements, see [16](16-messages.md)",
}


class MarkerError(RingBufferError, ValueError):
    """A chapter asks for a generated part that does not exist, or has a marker without its partner."""


def update(folder: Path, *, write: bool) -> list[str]:
    """Bring the generated parts of every chapter in ``folder``, the TLA+ files and the vectors up to date, or (not ``write``)
    only look.

    Returns a line for each part or file that is, or was, out of date. Raises :class:`MarkerError`, :class:`GeometryError` for a
    folder without chapters, and :class:`~ringbuffer.errors.VectorError` where published vectors would change.
    """
    chapters = sorted(folder.glob("*.md"))
    if not chapters:
        raise GeometryError(f"no chapters (*.md) in {folder}; run this in a checkout, or name the folder with --folder")
    stale: list[str] = []
    for chapter in chapters:
        text = chapter.read_text(encoding="utf-8")
        fresh = _refreshed(chapter, text, stale)
        if write and fresh != text:
            chapter.write_text(fresh, encoding="utf-8")
    stale += tla.update(folder / tla.FOLDER, write=write)
    stale += figures.update(folder / figures.FOLDER, write=write)
    return stale + publish.update(folder / versions.FOLDER, write=write)


def _refreshed(chapter: Path, text: str, stale: list[str]) -> str:
    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in NAMES:
            raise MarkerError(f"{chapter}: there is no generated part {name!r}; the parts are {', '.join(NAMES)}")
        body = f"\n{_printed(name, chapter.parent).strip()}\n\n"
        if body != match["body"]:
            stale.append(f"{chapter}: {name}")
        return f"{match[1]}{body}{match[4]}"

    markers = text.count("<!-- generated: ") + text.count("<!-- end of ")
    if markers != 2 * len(_MARKED.findall(text)):
        raise MarkerError(f"{chapter}: a marker has no partner, or two parts overlap")
    return _MARKED.sub(part, text)


def _printed(name: str, folder: Path) -> str:
    """A part: printed from the code, or from the report that is kept in the folder."""
    return assured.assurance(assured.read(folder)) if name == ASSURANCE else PARTS[name]()


def outdated(folder: Path) -> list[str]:
    """In which ways the report of the claims in ``folder`` is not one of the claims as they are; it is written by running them.

    Raises :class:`GeometryError` where there is no report.
    """
    return [f"{folder / assured.FILE}: {difference}" for difference in assured.differences(assured.read(folder))]


def _goes(program: Program, outcome: Outcome, branch: Branch) -> str:
    """One branch in words: ``0 → W3``."""
    target = program[branch.pc].row.id
    block = ", next block" if branch.advance else ""
    match branch.edge:
        case Edge.WAITED:
            target = f"wait, then {target}{block}"
        case Edge.RESTARTED:
            target = f"{target}, same block"
        case Edge.FINISHED:
            target = f"{target}{block or ', same block'}"
        case Edge.FORWARD | Edge.RETURNED:
            pass
    return f"{_OUTCOMES[outcome]} → {target}"


def _rows(program: Program) -> str:
    return _row_table((program, one) for one in program.instructions)


def _row_table(found: Iterable[tuple[Program, Instruction]]) -> str:
    def cells(program: Program, instruction: Instruction) -> tuple[str, ...]:
        row = instruction.row
        goes = "; ".join(_goes(program, outcome, branch) for outcome, branch in instruction.branches)
        ordering = row.access.ordering.value + (f": {row.pairing}" if row.pairing else "")
        return (row.id, row.title, f"`{row.access}`", ordering, goes, row.why)

    head = ("id", "row", "the one access", "ordering", "then", "why it is there")
    return table(head, (cells(program, one) for program, one in found))


def _taking_over() -> str:
    """The rows behind the tables by which a successor finds out where it goes on."""
    programs = [SUCCESSIONS[SHIPPED].program(side) for side in (PROTOCOL.writer, PROTOCOL.reader)]
    return _row_table((each, one) for each in programs for one in each.instructions if one.row.id.startswith(TAKING_OVER))


def _diagram(program: Program) -> str:
    """The program as a mermaid state diagram: every branch of every row, and nothing else."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {program[0].row.id}"]
    for instruction in program.instructions:
        row = instruction.row
        lines.append(f"    {row.id}: {row.id} {row.title}")
        for outcome, branch in instruction.branches:
            notes = [_OUTCOMES[outcome]]
            notes += ["wait"] if branch.edge is Edge.WAITED else []
            notes += ["next block"] if branch.advance else ["same block"] if branch.edge is not Edge.FORWARD else []
            lines.append(f"    {row.id} --> {program[branch.pc].row.id}: {', '.join(notes)}")
    return "\n".join([*lines, "```"])


def _whole_programs() -> str:
    """What an endpoint runs, row after row, as ``executed`` has it: the table, the note, waking, and where it waits."""

    def cells(program: Program) -> tuple[str, ...]:
        rests = next(branch.pc for one in program.instructions for _, branch in one.branches if branch.edge is Edge.WAITED)
        ids = [one.row.id for one in program.instructions]
        return (f"the {program.role.value}", " ".join(ids[:rests]), " ".join(dict.fromkeys(ids[rests:])))

    return table(("", "its rows", "where it waits"), (cells(executed(each)) for each in (PROTOCOL.writer, PROTOCOL.reader)))


def _cases() -> str:
    shown = {
        Case.UNWRITTEN: ("`0???…`", "write", "–"),
        Case.WRITTEN: ("`1000…0`", "–", "read"),
        Case.PARTLY_READ: ("`1???…?`, some but not all set", "–", "read, if its own flag is 0"),
        Case.READ_BY_ALL: ("`1111…1`", "write", "–"),
    }
    head = ("case", "name", "flags", "the writer may", "reader r may")
    return table(head, ((f"{case:d}", case.name.lower().replace("_", " "), *cells) for case, cells in shown.items()))


def _layout() -> str:
    assert layout.__doc__ is not None, "the module begins with the diagram"
    start, end = layout.__doc__.index("    offset 0"), layout.__doc__.index("The header is little-endian")
    names = ("HEADER_BYTES", "FRAME_BYTES", "PARTICIPANT_BYTES", "AWAKE_BYTES", "CACHE_LINE_BYTES", "LAYOUT_VERSION")
    limits = ("READERS_MAX", "BLOCKS_MAX", "CHUNK_BYTES_MAX", "TOTAL_BYTES_MAX")
    constants = table(("constant", "value"), ((f"`{name}`", str(getattr(layout, name))) for name in (*names, *limits)))
    return f"```text\n{layout.__doc__[start:end].rstrip()}\n```\n\n{constants}"


def _header() -> str:
    """The header's fields, with offsets computed from the format that packs them."""
    names = (*(field.name for field in fields(layout.Header)), "checksum")
    return _field_table(layout.field_sizes(), ((name, layout.FIELD_MEANINGS[name]) for name in names))


def _frame() -> str:
    """What stands in front of a payload, and the kinds of bodies."""
    fields_table = _field_table(_sizes(layout.FRAME), ((name, _FRAME_MEANINGS[name]) for name in frames.Frame._fields))
    kinds = ((str(kind), name, _KIND_MEANINGS[kind]) for kind, name in frames.KIND_NAMES.items())
    return f"{fields_table}\n\n{table(('kind', 'name', 'the body is'), kinds)}"


def _participant() -> str:
    """What stands in a participant's entry."""
    return _field_table(_sizes(layout.PARTICIPANT), layout.PARTICIPANT_MEANINGS.items())


def _sizes(packed: struct.Struct) -> list[int]:
    """The bytes that each field takes, in their order."""
    return [struct.calcsize(packed.format[0] + code) for code in packed.format[1:]]


def _field_table(sizes: list[int], meanings: Iterable[tuple[str, str]]) -> str:
    """Fields that stand one after the other without gaps."""
    offset = 0
    rows = []
    for (name, meaning), size in zip(meanings, sizes, strict=True):
        rows.append((str(offset), str(size), f"`{name}`", meaning))
        offset += size
    return table(("offset", "bytes", "field", "value"), iter(rows))


def _vectors() -> str:
    """The files of the vectors."""
    head = ("file", "kind", "cases, steps or calls", "bytes")
    found = (
        (f"`{entry['name']}`", entry.get("kind", "–"), str(entry.get("cases", "–")), f"{entry['bytes']}")
        for entry in publish.entries()
    )
    return table(head, found)


def _properties() -> str:
    head = ("id", "name", "modality", "statement", "seen to be tried by")
    return table(
        head,
        ((prop.id, f"`{prop.name}`", prop.modality, prop.statement, ", ".join(prop.partners)) for prop in PROPERTIES),
    )


def _outcome_text(result: Result) -> str:
    if result.status == REFUTED:
        return f"`{result.property}`, {len(result.trace)} steps"
    return f"{result.status} ({result.states} states)"


def _what_breaks() -> str:
    """Row by row: what it is, and the shortest run that goes wrong without it."""
    return "\n\n".join(map(_row_section, figures.ROWS))


def _row_section(row: Row) -> str:
    ordering = row.access.ordering.value + (f", {row.pairing}" if row.pairing else "")
    parts = [
        f"### {row.id}: {row.title}",
        f"`{row.access}` ({ordering}). {row.why}",
        f"**Without the row:** {_pictured(figures.without(row.id))}",
    ]
    if figures.weakened(row.id) in figures.FIGURES:
        parts.append(f"**With the access relaxed:** {_pictured(figures.weakened(row.id))}")
    return "\n\n".join(parts)


def _lost_wakeups() -> str:
    """What goes wrong without the rows that keep a wake-up from being lost."""
    return "\n\n".join(f"**Without {row}:** {_pictured(figures.without(row))}" for row in figures.WAKING)


def _pictured(name: str) -> str:
    """A sentence, the command, and the picture folded in."""
    command = figures.FIGURES[name].command
    picture = f"![{name.replace('-', ' ')}]({figures.FOLDER}/{name}.svg)"
    return f"{figures.caption(name)} `{command}`\n\n<details><summary>Picture</summary>\n\n{picture}\n\n</details>"


def _limits() -> str:
    """The bounds of the implementation, each from where it is kept."""
    rows = (
        ("readers of a ring", f"0 to {layout.READERS_MAX:,}"),
        ("blocks", f"1 to {layout.BLOCKS_MAX:,}"),
        ("payload bytes of a block", f"1 to {layout.CHUNK_BYTES_MAX:,}"),
        ("bytes of a segment", f"at most {layout.TOTAL_BYTES_MAX:,}"),
        ("bytes of a message", f"at most {frames.TOTAL_BYTES_MAX:,}"),
        ("looks at once before a wait yields (`spin_count`)", f"0 to {waiting.SPIN_COUNT_MAX:,}"),
        ("seconds of yielding before it sleeps (`yield_seconds`)", f"0 to {waiting.YIELD_SECONDS_MAX:g}"),
        ("longest sleep without looking up, in seconds", f"{waiting.SLICE_SECONDS:g}"),
        ("longest that a claim waits for a stand-in, in seconds", f"{participants.STANDING_IN_SECONDS:g}"),
    )
    return table(("of", "limit"), rows)


def _drops() -> str:
    """What the explorer says of each row's absence."""
    rows = figures.ROWS
    head = ("dropped", "1 reader × 1 block", "2 readers × 2 blocks", "command (`--readers 1 --blocks 1` for the first figure)")
    return table(
        head,
        (
            (
                f"{row.id} {row.title}",
                _outcome_text(explore(PROTOCOL.without(row.id), 1, 1)),
                _outcome_text(explore(PROTOCOL.without(row.id), 2, 2)),
                f"`ringbuffer check --without {row.id} --readers 2 --blocks 2`",
            )
            for row in rows
        ),
    )


def _scan_verdicts() -> str:
    head = ("property", "shipped (ring order)", "original (scan)")
    names = tuple(name for name in ALL if name != RACE)

    def verdict(variant: Variant, name: str) -> str:
        return _outcome_text(explore(variant, 2, 2, properties=(name,)))

    return table(head, ((f"`{name}`", verdict(PROTOCOL, name), verdict(ORIGINAL, name)) for name in names))


def _scan_trace() -> str:
    result = explore(ORIGINAL, 2, 2, properties=("reordered",))
    command = "ringbuffer check --policy scan --readers 2 --blocks 2 --property reordered"
    picture = f"![the same as a picture]({figures.FOLDER}/original-reorders.svg)"
    folded = f"<details><summary>Picture</summary>\n\n{picture}\n\n</details>"
    return f"From `{command}`:\n\n```text\n{render(result.trace)}\n```\n\n{folded}"


PARTS: Final[dict[str, Callable[[], str]]] = {
    "alternatives": evidence.alternatives,
    "benign-edits": evidence.benign_edits,
    "broken-pairs": evidence.broken_pairs,
    "cases": _cases,
    "contracts": evidence.contracts,
    "drops": _drops,
    "faults": evidence.faults,
    "frame": _frame,
    "header": _header,
    "instructions": instructions,
    "invariant": pages.invariant,
    "layout": _layout,
    "limits": _limits,
    "lost-wakeups": _lost_wakeups,
    "mapping": pages.mapping,
    "minimal-orderings": evidence.minimal_orderings,
    "mutations": evidence.mutations,
    "notes": evidence.noting_rows,
    "notions": pages.notions,
    "obligation-counts": pages.obligation_counts,
    "orderings": evidence.ordered_rows,
    "original-reader-rows": lambda: _rows(ORIGINAL.programs[1]),
    "original-writer-rows": lambda: _rows(ORIGINAL.programs[0]),
    "participant": _participant,
    "proof-twins": evidence.proof_twins,
    "properties": _properties,
    "reader-diagram": lambda: _diagram(PROTOCOL.programs[1]),
    "reader-rows": lambda: _rows(PROTOCOL.programs[1]),
    "reductions": evidence.reductions,
    "scan-trace": _scan_trace,
    "successions": evidence.successions,
    "taking-over": _taking_over,
    "scan-verdicts": _scan_verdicts,
    "sleeping-rows": evidence.sleeping_rows,
    "state-counts": evidence.state_counts,
    "statements": pages.statements,
    "waking-rows": evidence.waking_rows,
    "vectors": _vectors,
    "wakeup-twins": evidence.wakeup_twins,
    "weak-invariant": pages.weak_invariant,
    "weakenings": evidence.weakenings,
    "what-breaks": _what_breaks,
    "whole-programs": _whole_programs,
    "writer-diagram": lambda: _diagram(PROTOCOL.programs[0]),
    "writer-rows": lambda: _rows(PROTOCOL.programs[0]),
}

ASSURANCE: Final = "assurance"
"""The one part that is printed from a file, the report of the claims, which stands beside the chapters."""
NAMES: Final = (*PARTS, ASSURANCE)
