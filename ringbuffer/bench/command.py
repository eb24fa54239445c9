"""``ringbuffer bench``: its options, and what it prints.

Rules: exit status 0 when every reader of every peer got every message, in order and whole; 1 when one did not, or a peer
failed; 2 when the call makes no sense. Progress goes to standard error. Ctrl-C and SIGTERM end the processes and leave nothing
behind (status 130 and 143). Limits: no figure decides the exit status.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.errors import BenchError

if TYPE_CHECKING:
    from ringbuffer.bench.measure import Cell
    from ringbuffer.bench.payloads import Payload
    from ringbuffer.bench.peer import Peer
    from ringbuffer.bench.plan import Plan

EXIT_CLEAN, EXIT_FAULTY, EXIT_TERMINATED = 0, 1, 143
READERS_MAX: Final = 32
BLOCKS: Final = 10
BLOCKS_MAX: Final = 1000
MEASURES: Final = ("throughput", "latency", "idle")

ROUNDS_MAX: Final = 1000
SECONDS_MAX: Final = 3600
MESSAGES_MAX: Final = 100_000_000
PACED_PAYLOADS: Final = "64"
"""For latency and idle cost, unless payloads are given."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """What is measured unless the options say otherwise."""

    payloads: str
    readers: str
    rounds: int
    seconds: float


USUAL: Final = Scale("64,4KiB,64KiB,1MiB,dict,tensor", "1,3,7", 3, 0.3)
QUICK: Final = Scale("64,1MiB,dict", "1,3", 1, 0.05)
FULL: Final = Scale("64,4KiB,64KiB,1MiB,16MiB,dict,tensor", "1,3,7", 5, 0.5)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ringbuffer bench``."""
    parser.set_defaults(run=run_bench)
    parser.description = (
        "Measure this ring beside other ways to broadcast between processes (those that are installed: extra bench), and beside"
        " what the hardware allows. Every reader checks the order and the content of every message."
    )
    parser.add_argument("--measure", metavar="LIST", help=f"some of {','.join(MEASURES)} (default: all)")
    parser.add_argument("--peers", metavar="LIST", help="by name, comma-separated; help lists them (default: those installed)")
    text = f"sizes such as 64 or 1MiB, dict, tensor (default: {USUAL.payloads}; latency and idle {PACED_PAYLOADS})"
    parser.add_argument("--payloads", metavar="LIST", help=text)
    parser.add_argument("--readers", metavar="LIST", help=f"numbers of reader processes (default: {USUAL.readers})")
    parser.add_argument("--blocks", type=int, default=BLOCKS, metavar="K", help=f"messages in the ring (default: {BLOCKS})")
    parser.add_argument("--rounds", type=int, metavar="R", help=f"how often everything is measured (default: {USUAL.rounds})")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=float, metavar="S", help=f"about how long each measurement takes (default: {USUAL.seconds})"
    )
    length.add_argument("--messages", type=int, metavar="M", help="how many messages each measurement sends, instead")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="less of everything, in about 20 seconds")
    scale.add_argument("--full", action="store_true", help="all payloads, 5 rounds, longer: about 25 minutes")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write how cost grows with size and with readers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_bench(options: argparse.Namespace) -> int:
    """Measure, and report. Raises :class:`BenchError` for options that make no sense."""
    from ringbuffer.bench.catalogue import PEERS
    from ringbuffer.bench.plan import carry_out
    from ringbuffer.bench.plot import plot
    from ringbuffer.bench.report import Report
    from ringbuffer.machine import machine, sentence

    if options.peers == "help":
        print("\n".join(f"{peer.name}: {peer.about}" for peer in PEERS))
        return EXIT_CLEAN
    plan, absent = _plan(options)
    if options.plot is not None and not (options.plot.parent.is_dir() and not options.plot.is_dir()):
        raise BenchError(f"--plot {options.plot}: the folder is not there, or it is a folder itself")
    found = machine()
    if not options.json:
        print(f"{sentence(found)}\n{_words(plan)}", flush=True)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        outcome = carry_out(plan, _progress(options))
    finally:
        signal.signal(signal.SIGTERM, before)
        _clear_progress()
    report = Report(plan, outcome, found, absent)
    if options.plot is not None:
        _write(options.plot, plot(report))
    print(json.dumps(report.as_json(), indent=2) if options.json else "\n".join(report.lines()))
    return EXIT_CLEAN if outcome.clean else EXIT_FAULTY


def _plan(options: argparse.Namespace) -> tuple[Plan, dict[type[Peer], str]]:
    """What the options ask for, and which peers cannot take part in it."""
    from ringbuffer.bench.catalogue import PEERS, choose
    from ringbuffer.bench.measure import Settings
    from ringbuffer.bench.plan import Plan

    usual = QUICK if options.quick else FULL if options.full else USUAL
    seconds = usual.seconds if options.seconds is None else options.seconds
    if not 0 < seconds <= SECONDS_MAX:
        raise BenchError(f"--seconds: {seconds} does not lie above 0 and up to {SECONDS_MAX}")
    blocks = _number(options.blocks, "--blocks", 1, BLOCKS_MAX)
    messages = None if options.messages is None else _number(options.messages, "--messages", 1, MESSAGES_MAX)
    rounds = _number(usual.rounds if options.rounds is None else options.rounds, "--rounds", 1, ROUNDS_MAX)
    readers = [_number(word, "--readers", 1, READERS_MAX) for word in (options.readers or usual.readers).split(",")]
    payloads = _payloads(options, usual.payloads)
    chosen = choose(None if options.peers is None else [name.strip() for name in options.peers.split(",")])
    absent = {peer: reason for peer in chosen if (reason := peer.missing())}
    present = tuple(peer for peer in chosen if peer not in absent)
    settings = Settings(seconds, blocks, messages)
    plan = Plan(present, payloads, tuple(dict.fromkeys(readers)), rounds, settings, are_named=options.peers is not None)
    measured = {cell.peer for group in plan.cells() for cell in group}
    plan = dataclasses.replace(plan, peers=tuple(peer for peer in present if peer in measured))
    idle = [peer for peer in (chosen if plan.are_named else PEERS) if peer not in measured and peer not in absent]
    absent |= dict.fromkeys(idle, "not with these payloads and measures" + ("" if plan.are_named else ", unless it is named"))
    if not measured:
        said = "".join(f"; {peer.name}: {reason}" for peer, reason in absent.items())
        raise BenchError(f"there is nothing to measure: none of these peers does this with these payloads{said}")
    return plan, absent


def _payloads(options: argparse.Namespace, usual: str) -> dict[str, tuple[Payload, ...]]:
    """For each measure its payloads. Raises :class:`BenchError` where a tensor is asked for and cannot be made."""
    from ringbuffer.bench.payloads import TENSOR, parse_payload, tensor_library

    measures = dict.fromkeys(word.strip() for word in (options.measure or ",".join(MEASURES)).split(","))
    found = {}
    for measure in measures:
        if measure not in MEASURES:
            raise BenchError(f"measure {measure!r:.40} is none of {', '.join(MEASURES)}")
        text = options.payloads or (usual if measure == MEASURES[0] else PACED_PAYLOADS)
        some = dict.fromkeys(parse_payload(word) for word in text.split(","))
        if not tensor_library():
            if options.payloads and any(payload.kind == TENSOR for payload in some):
                raise BenchError("a tensor needs torch or numpy, and neither is installed")
            some = {payload: None for payload in some if payload.kind != TENSOR}
        found[measure] = tuple(some)
    return found


def _number(word: Any, what: str, least: int, most: int) -> int:
    try:
        number = int(word)
    except ValueError:
        raise BenchError(f"{what}: {word!r:.40} is not a whole number") from None
    if not least <= number <= most:
        raise BenchError(f"{what}: {number} does not lie between {least} and {most}")
    return number


def _words(plan: Plan) -> str:
    length = f"{plan.settings.messages} messages" if plan.settings.messages else f"about {plan.settings.seconds} s"
    return (
        f"{len(plan.peers)} peers, {plan.settings.blocks} blocks, {plan.rounds} interleaved rounds of {length} each; ×ours:"
        " what a peer costs, in units of what this ring costs, within a round"
    )


def _progress(options: argparse.Namespace) -> Callable[[Cell, int], None]:
    if options.json or not sys.stderr.isatty():
        return lambda *_: None

    def show(cell: Cell, number: int) -> None:
        text = f"{cell.measure} {cell.payload.name} {cell.readers} readers, round {number + 1}: {cell.peer.name}"
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    return show


def _clear_progress() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _terminate(*_: object) -> None:
    raise SystemExit(EXIT_TERMINATED)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--plot {path}: {error.strerror or error}") from error
