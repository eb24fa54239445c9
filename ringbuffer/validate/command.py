"""``ringbuffer validate``: its options, and what it prints.

Rules: exit status 0 where the recordings are one possible run of the table, 1 where they are none, 2 where a file is damaged,
is no recording or does not belong to the others, 3 where they leave it open. Limits: those of ``judge.py``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from ringbuffer.errors import TraceFileError
from ringbuffer.protocol import Variant
from ringbuffer.trace.recording import Recording
from ringbuffer.validate.judge import IMPOSSIBLE, MEMORIES, POSSIBLE, TSO, UNDECIDED, Validation, validate
from ringbuffer.validate.order import BUDGET

EXIT_OF: Final = {POSSIBLE: 0, IMPOSSIBLE: 1, UNDECIDED: 3}
_MEMORY_WORDS: Final = {"sc": "a sequentially consistent memory", "tso": "a memory of total store order"}


def add_validate(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ringbuffer validate``; those that edit the tables come from elsewhere."""
    parser.set_defaults(run=run_validate)
    parser.description = (
        "Whether what processes have recorded (one file for each endpoint: ShmRingBufferIO(…, record=FILE), or the variable"
        " RINGBUFFER_RECORD, or ringbuffer demo --record FOLDER) is one possible run of the tables. If not, the shortest part"
        " that is none. Give all files of one run, or the folder in which they are."
    )
    parser.add_argument("sources", nargs="+", metavar="FILE|FOLDER", help="recordings, or folders that hold nothing else")
    memory = "what the processes ran on: sc (no store is ever late), or tso (x86; default)"
    parser.add_argument("--memory", choices=MEMORIES, default=TSO, help=memory)
    budget = f"give up after N choices without an answer (default: {BUDGET})"
    parser.add_argument("--max-branchings", type=int, default=BUDGET, metavar="N", help=budget)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_validate(options: argparse.Namespace) -> int:
    """Read, judge and report; the exit status."""
    variant = Variant.parse(*options.edits)
    recordings = [Recording.read(path) for path in _files(options.sources)]
    verdict = validate(recordings, variant, memory=options.memory, budget=options.max_branchings)
    print(json.dumps(verdict.as_json(), indent=2) if options.json else "\n".join(_lines(verdict, variant)))
    return EXIT_OF[verdict.status]


def _files(sources: list[str]) -> list[Path]:
    files: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(one for one in source.iterdir() if one.is_file())
            if not inside:
                raise TraceFileError(f"{source} holds no file")
            files += inside
        else:
            files.append(source)
    return files


def _lines(verdict: Validation, variant: Variant) -> list[str]:
    rate = verdict.records / verdict.seconds if verdict.seconds else 0
    head = (
        f"{verdict.recordings} recordings, {verdict.records:,} records, {verdict.messages:,} messages; tables: {variant};"
        f" judged in {verdict.seconds:.1f} s ({rate:,.0f} records/s, {verdict.branchings:,} choices tried)"
    )
    if verdict.status == POSSIBLE:
        return [head, f"possible: one run of the tables, on {_MEMORY_WORDS[verdict.memory]}, explains all of it"]
    if verdict.status == UNDECIDED:
        return [head, f"undecided: {verdict.why}"]
    lines = [head, f"impossible: {verdict.why}", "the shortest part that is no run of the tables:"]
    for part in verdict.parts:
        lines.append(f"  {part.who}: the first {part.records} of {part.of} records ({part.source})")
        lines.append(f"    the last of them: {part.last}")
    return lines
