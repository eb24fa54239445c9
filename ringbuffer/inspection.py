"""``ringbuffer inspect``: which rings there are on this machine, what one of them holds, and who waits for whom.

Exit status: 0, and 1 where nobody can go on by himself (somebody died, or memory is damaged), 2 where there is no such segment.
Rules: it only looks (``observe.py``); where a table would grow long, blocks in the same case share a row. ``--watch`` looks
again and again until it is interrupted, which is its normal end. Limits: of all that it shows no two things were seen at one
time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

from ringbuffer import observe as observing
from ringbuffer.errors import RingBufferError, SegmentFormatError, SegmentMissingError
from ringbuffer.observe import Block, Participant, Snapshot, State
from ringbuffer.verdict import is_stuck, ranks_text, verdict

EXIT_GOES_ON: Final = 0
EXIT_STUCK: Final = 1
EXIT_MISSING: Final = 2

INTERVAL_DEFAULT_SECONDS: Final = 0.5
INTERVAL_MIN_SECONDS: Final = 0.01
ROWS_MAX: Final = 64
"""A table of blocks or of participants has no more rows than that."""

_CLEAR: Final = "\x1b[H\x1b[J"
_NOTHING: Final = "–"
_DAMAGED_FIELDS: Final = frozenset({"checksum", "geometry", "total_bytes"})
"""Of what has no good header: the fields whose fault says that it was a ring of this release."""


@dataclass(frozen=True, slots=True)
class Other:
    """A name like a ring's, of what is none, or cannot be looked at; and why."""

    name: str
    why: str
    is_damaged: bool


Look: TypeAlias = Snapshot | Other
_Frame: TypeAlias = tuple[str, dict[str, Any], int]
"""What one look shows: as text, as JSON, and the exit status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringbuffer inspect``."""
    parser.set_defaults(run=run)
    parser.description = (
        "Look at the rings on this machine, or at the one of that name: blocks, participants, and who waits for whom. It"
        " changes nothing, and disturbs nobody. Exit status 1 if nobody can go on because somebody died or memory is damaged."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the ring to look at (default: a summary of all)")
    parser.add_argument("--watch", action="store_true", help="look again and again, until Ctrl-C")
    seconds = f"time between two looks of --watch (default: {INTERVAL_DEFAULT_SECONDS})"
    parser.add_argument("--interval", type=_interval, default=INTERVAL_DEFAULT_SECONDS, metavar="SECONDS", help=seconds)
    parser.add_argument("--json", action="store_true", help="print one JSON object (with --watch: one a line)")


def run(options: argparse.Namespace) -> int:
    """Do what ``ringbuffer inspect`` was asked for; the exit status."""
    try:
        text, found, status = _frame(options.name)
    except (SegmentMissingError, SegmentFormatError) as error:
        print(f"ringbuffer inspect: {error}", file=sys.stderr)
        return EXIT_STUCK if isinstance(error, SegmentFormatError) and error.field != "name" else EXIT_MISSING
    if not options.watch:
        print(json.dumps(found, indent=2) if options.json else text)
        return status
    with contextlib.suppress(KeyboardInterrupt):
        _watch(options, (text, found, status))
    return EXIT_GOES_ON


def _watch(options: argparse.Namespace, frame: _Frame) -> None:
    """Show look after look; ends when the ring is gone."""
    clear = _CLEAR if sys.stdout.isatty() and not options.json else ""
    while True:
        text, found, _ = frame
        print(json.dumps(found) if options.json else f"{clear}{text}\n", flush=True)
        time.sleep(options.interval)
        try:
            frame = _frame(options.name)
        except SegmentMissingError:
            print(f"the ring {printable(options.name)} is gone", file=sys.stderr)
            return


def look_at_all() -> list[Look]:
    """All segments of this machine whose names begin as a ring's; those that vanish meanwhile are left out."""
    found: list[Look] = []
    for name in observing.segments(observing.FOLDER):
        try:
            found.append(observing.observe(name, observing.FOLDER))
        except SegmentMissingError:
            continue
        except (RingBufferError, OSError) as error:
            is_damaged = isinstance(error, SegmentFormatError) and error.field in _DAMAGED_FIELDS
            found.append(Other(name, reason(error), is_damaged))
    return found


def printable(text: str) -> str:
    """A name as it can be shown anywhere: files may be called anything."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def summary(snapshot: Snapshot) -> str:
    """Which ring it is, on one line."""
    layout = snapshot.layout
    size = f"{_count(layout.n_reader, 'reader')}, {_count(layout.max_chunks, 'block')} of {layout.max_chunk_bytes:,} bytes"
    creator = f"made by pid {snapshot.creator_pid}, which {'lives' if snapshot.creator_lives else 'is gone'}"
    in_use = snapshot.creator_lives or any(one.state is State.HELD for one in snapshot.participants)
    left = "" if in_use else "; nobody has a role in it (ringbuffer clean removes it)"
    return f"{printable(snapshot.name)}: {size}, {layout.total_bytes:,} bytes in all; {creator}{left}"


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """All that was seen of one ring."""
    layout = snapshot.layout
    return {
        "name": snapshot.name,
        "n_reader": layout.n_reader,
        "max_chunk_bytes": layout.max_chunk_bytes,
        "max_chunks": layout.max_chunks,
        "total_bytes": layout.total_bytes,
        "identity": snapshot.identity,
        "creator_pid": snapshot.creator_pid,
        "creator_lives": snapshot.creator_lives,
        "has_name": snapshot.has_name,
        "participants": [_participant_json(snapshot, one) for one in snapshot.participants],
        "blocks": [_block_json(block) for block in snapshot.blocks],
        "damage": list(snapshot.damage),
        "stuck": is_stuck(snapshot),
        "verdict": verdict(snapshot),
    }


def _frame(name: str | None) -> _Frame:
    if name is not None:
        snapshot = observing.observe(name, observing.FOLDER)
        return _tables(snapshot), as_json(snapshot), _status([snapshot])
    looks = look_at_all()
    rings = [one for one in looks if isinstance(one, Snapshot)]
    others = [one for one in looks if isinstance(one, Other)]
    paragraphs = [f"{summary(one)}\n    {verdict(one)}" for one in rings]
    paragraphs += [f"{printable(one.name)}: not a ring to look at: {one.why}" for one in others]
    found = {
        "rings": [as_json(one) for one in rings],
        "others": [{"name": one.name, "why": one.why, "damaged": one.is_damaged} for one in others],
    }
    return "\n\n".join(paragraphs) or "there are no rings on this machine", found, _status(looks)


def _status(looks: Iterable[Look]) -> int:
    stuck = any(is_stuck(one) if isinstance(one, Snapshot) else one.is_damaged for one in looks)
    return EXIT_STUCK if stuck else EXIT_GOES_ON


def reason(error: Exception) -> str:
    """The reason alone, where the error says it apart; the name stands before it already."""
    if isinstance(error, SegmentFormatError):
        return str(error).split(f"{error.name!r} is not the ring that was asked for: ", 1)[1]
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)


def _participant_json(snapshot: Snapshot, one: Participant) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "state": one.state.value,
        "pid": one.pid,
        "generation": one.generation,
        "position": one.position,
        "lag": one.lag,
        "waiting_seconds": one.waiting_seconds,
        "waits_for_block": None if one.waiting_seconds is None else one.position % snapshot.layout.max_chunks,
        "asleep": one.is_asleep,
        "left_seconds": one.left_seconds,
        "evicted_by": one.evicted_by or None,
    }


def _block_json(block: Block) -> dict[str, Any]:
    frame = block.frame
    return {
        "index": block.index,
        "case": block.case,
        "flags": list(block.flags),
        "unread_by": list(block.unread_by),
        "sequence": frame and frame.sequence,
        "kind": frame and frame.kind_name,
        "length": frame and frame.length_bytes,
        "total_bytes": frame and frame.total_bytes,
        "changing": block.is_changing,
        "damage": block.damage or None,
    }


def _tables(snapshot: Snapshot) -> str:
    parts = [summary(snapshot), _blocks_table(snapshot), _participants_table(snapshot), f"verdict: {verdict(snapshot)}"]
    return "\n\n".join(parts)


def _blocks_table(snapshot: Snapshot) -> str:
    blocks = snapshot.blocks
    runs = [[block] for block in blocks]
    if len(blocks) > ROWS_MAX:
        runs = [list(run) for _, run in groupby(blocks, key=lambda block: (block.case, block.unread_by, block.damage))]
    rows = [_run_row(run) for run in runs[:ROWS_MAX]]
    table = _aligned([("block", "case", "sequence", "kind", "bytes", "not read by"), *rows], right={0, 2, 4})
    left_out = sum(len(run) for run in runs[ROWS_MAX:]) + snapshot.layout.max_chunks - len(blocks)
    return table + (f"\n… and {_count(left_out, 'more block')}" if left_out else "")


def _run_row(run: Sequence[Block]) -> tuple[str, ...]:
    """A row for one block, or for neighbours that are in the same case."""
    first, last = run[0], run[-1]
    if first.case is None:
        return str(first.index), _what(first), *4 * ("",)
    case = f"{first.case:d} {first.case.name.lower().replace('_', ' ')}"
    if first is last and first.is_changing:
        case = f"{case}, being written"
    frames = [block.frame for block in run if block.frame is not None]
    sequences = [frame.sequence for frame in frames]
    kinds = {frame.kind_name for frame in frames}
    lengths = {
        f"{one.length_bytes:,}" + (f" of {one.total_bytes:,}" if one.total_bytes > one.length_bytes else "") for one in frames
    }
    return (
        str(first.index) if first is last else f"{first.index}-{last.index}",
        _what(first) if first.damage else case,
        (str(min(sequences)) if len(frames) == 1 else f"{min(sequences)}-{max(sequences)}") if frames else _NOTHING,
        kinds.pop() if len(kinds) == 1 else ("several" if kinds else _NOTHING),
        lengths.pop() if len(lengths) == 1 else ("several" if lengths else _NOTHING),
        ranks_text(first.unread_by) or _NOTHING,
    )


def _what(damaged: Block) -> str:
    """What is wrong with a block, behind whose index it stands."""
    return f"damaged: {damaged.damage.split(': ', 1)[1]}"


def _participants_table(snapshot: Snapshot) -> str:
    participants = snapshot.participants
    # Of many, those that are of most interest: who is gone, who waits, and who is furthest behind.
    is_there = {State.DEAD: 0, State.LEFT: 1, State.HELD: 2, State.FREE: 3}
    by_interest = sorted(
        participants, key=lambda one: (one.rank >= 0, is_there[one.state], one.waiting_seconds is None, -(one.lag or 0))
    )
    shown = sorted(by_interest[:ROWS_MAX], key=lambda one: one.rank)
    rows = [_participant_row(snapshot, one) for one in shown]
    table = _aligned([("who", "pid", "state", "position", "lag", "waiting"), *rows], right={1, 3, 4})
    left_out = len(participants) - len(shown)
    return table + (f"\n… and {_count(left_out, 'more reader')}" if left_out else "")


def _participant_row(snapshot: Snapshot, one: Participant) -> tuple[str, ...]:
    state = one.state.value
    if one.evicted_by:
        state = f"evicted; pid {one.evicted_by} reads in its place"
    elif one.left_seconds is not None:
        state = f"left {one.left_seconds:.3g} s ago"
    waiting = _NOTHING
    if one.waiting_seconds is not None:
        block = one.position % snapshot.layout.max_chunks
        waiting = f"{one.waiting_seconds:.3g} s, block {block}{', asleep' if one.is_asleep else ''}"
    who = "writer" if one.rank < 0 else f"reader {one.rank}"
    return who, str(one.pid or _NOTHING), state, str(one.position), _NOTHING if one.lag is None else str(one.lag), waiting


def _aligned(rows: Sequence[tuple[str, ...]], right: set[int]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < INTERVAL_MIN_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from {INTERVAL_MIN_SECONDS} on")
    return value
