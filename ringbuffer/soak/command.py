"""``ringbuffer soak``: its options, and what it prints.

Rules: exit status 0 when every reader got every message once, in order and whole; 1 for any fault, and the first one is said;
2 when the call makes no sense. Progress goes to standard error. Ctrl-C and SIGTERM end the processes and leave nothing behind
(status 130 and 143). Limits: the seed makes the same messages and the same intentions; the interleaving is the machine's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ringbuffer.soak.crew import Crew
    from ringbuffer.soak.run import Findings, Plan

EXIT_CLEAN, EXIT_FAULTY, EXIT_TERMINATED = 0, 1, 143
READERS_MAX: Final = 64
BLOCKS_MAX: Final = 1000
CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 64, 1 << 20
MESSAGES_MAX: Final = 1_000_000_000
COLUMNS: Final = ("reader", "received", "torn", "lost", "repeated", "reordered", "re-attached", "replaced", "killed", "taken")


def add_soak(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ringbuffer soak``."""
    parser.set_defaults(run=run_soak)
    parser.description = (
        "Run the ring for a long time, with messages of all sizes and kinds, pauses, ends that close and attach anew, and"
        " readers that are killed and replaced, and check every byte of every message in every reader. A message that a killed"
        " reader had taken, and so marked as read, is lost to that reader alone (column: taken); one that it had in hand and"
        " not marked comes again."
    )
    messages, every = _whole(1, MESSAGES_MAX), _whole(0, MESSAGES_MAX)
    parser.add_argument("--messages", type=messages, default=1_000_000, metavar="M", help="to send (default: 1000000)")
    parser.add_argument("--readers", type=_whole(1, READERS_MAX), default=3, metavar="N", help="processes (default: 3)")
    parser.add_argument("--blocks", type=_whole(1, BLOCKS_MAX), default=128, metavar="K", help="of the ring (default: 128)")
    chunk = _whole(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
    parser.add_argument("--chunk-bytes", type=chunk, default=1024, metavar="B", help="size of a block (default: 1024)")
    pause = "about so many messages lie between two pauses or re-attachments of an end; 0: none (default: 2000)"
    parser.add_argument("--pause-every", type=every, default=2_000, metavar="M", help=pause)
    replace = "about so many messages lie between two readers that are replaced; 0: none (default: a twentieth of all, at most"
    replace += " 100000)"
    parser.add_argument("--replace-every", type=every, default=None, metavar="M", help=replace)
    kill = "whether most of those are killed, and not asked to leave (default: yes)"
    parser.add_argument("--kill", action=argparse.BooleanOptionalAction, default=True, help=kill)
    parser.add_argument("--seed", type=_whole(0, (1 << 64) - 1), metavar="S", help="of the messages (default: drawn, and said)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_soak(options: argparse.Namespace) -> int:
    """Carry a run out, and report; the exit status."""
    from ringbuffer.soak.run import Plan, soak

    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    names = ("messages", "readers", "blocks", "chunk_bytes", "pause_every", "replace_every", "kill")
    if options.replace_every is None:
        options.replace_every = min(100_000, max(1, options.messages // 20))
    plan = Plan(seed=seed, **{name: getattr(options, name) for name in names})
    print(f"repeat with: {command_of(plan)}", file=sys.stderr, flush=True)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        findings = soak(plan, _show)
    finally:
        signal.signal(signal.SIGTERM, before)
    print(json.dumps(_as_json(plan, findings), indent=2) if options.json else "\n".join(_lines(plan, findings)))
    return EXIT_CLEAN if findings.clean else EXIT_FAULTY


def command_of(plan: Plan) -> str:
    """The command that makes that run again."""
    return (
        f"ringbuffer soak --seed {plan.seed} --messages {plan.messages} --readers {plan.readers} --blocks {plan.blocks}"
        f" --chunk-bytes {plan.chunk_bytes} --pause-every {plan.pause_every} --replace-every {plan.replace_every}"
        f" --{'' if plan.kill else 'no-'}kill"
    )


def _show(sent: int, seconds: float, crew: Crew) -> None:
    killed, taken = (sum(getattr(place, name) for place in crew.places) for name in ("killed", "taken"))
    counts = f"{killed} readers killed, {taken} messages taken by them, {len(crew.faults)} faults"
    print(f"{seconds:.0f} s: {sent:,} sent, {sent / seconds:,.0f} messages/s; {counts}", file=sys.stderr, flush=True)


def _as_json(plan: Plan, findings: Findings) -> dict[str, Any]:
    settings = dataclasses.asdict(dataclasses.replace(plan)) | {"protocol": str(plan.protocol)}
    found = dataclasses.asdict(findings)
    return {"plan": settings, **found, "rate": findings.rate, "clean": findings.clean, "command": command_of(plan)}


def _lines(plan: Plan, findings: Findings) -> list[str]:
    rows = [COLUMNS, *(tuple(f"{value:,}" for value in dataclasses.astuple(one)) for one in findings.readers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    sent = f"{findings.sent:,} messages to {plan.readers} readers in {findings.seconds:.1f} s: {findings.rate:,.0f} messages/s"
    writer = (
        f"the writer attached anew {findings.writer_reattached:,} times, and was told of killed readers {findings.told:,} times"
    )
    said = "each message once, in order, whole, but for those that killed readers had taken"
    if not findings.clean:
        said = f"FAULT: {findings.first_fault}"
    return [sent, *table, writer, *findings.waits, said, *([] if findings.clean else [f"repeat with: {command_of(plan)}"])]


def _whole(least: int, most: int) -> Any:
    """A type of option: whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r:.40} is not a whole number") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} does not lie between {least} and {most}")
        return number

    return parse


def _terminate(*_: object) -> None:
    raise SystemExit(EXIT_TERMINATED)
