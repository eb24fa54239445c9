"""The ``ringbuffer`` command.

Exit status: 0 it holds (or the command did its work), 1 it is refuted (or failed), 2 the call makes no sense, 3 a bound was
reached before there was an answer (or nothing was tried), 74 the output cannot be written, 130 interrupted, 141 nobody reads
it. Rules: what a command reports goes to standard output, with ``--json`` as exactly one object; progress and errors go to
standard error. Limits: ``check`` without ``--json`` needs the extra ``check``.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from ringbuffer import assurance, cleaning, inspection, recording
from ringbuffer.bench.command import add_bench
from ringbuffer.checker import replay
from ringbuffer.checker.claims import CLAIMS, Scope, Verdict, check_claims, claims_for
from ringbuffer.checker.explore import HOLDS, REFUTED, STATES_MAX, UNKNOWN
from ringbuffer.checker.reduce import REDUCTIONS, select_reductions
from ringbuffer.errors import (
    BenchError,
    GeometryError,
    MissingExtraError,
    RingBufferError,
    TokenError,
    TraceFileError,
    VariantError,
)
from ringbuffer.machine import machine, versions
from ringbuffer.memory.backend import chosen
from ringbuffer.memory.layout import BLOCKS_MAX
from ringbuffer.memory.simulated import MEMORIES, check_memory
from ringbuffer.protocol import Variant, Waking
from ringbuffer.protocol.properties import ALL, select
from ringbuffer.protocol.variant import FLAGS, POLICIES
from ringbuffer.protocol.waking import KERNELS, SHARED, SLEEPERS, concerns_waking
from ringbuffer.soak.command import add_soak
from ringbuffer.spec_command import add_spec
from ringbuffer.state import Setup
from ringbuffer.trace.itf import dumps, to_itf
from ringbuffer.trace.page import page
from ringbuffer.trace.text import render
from ringbuffer.validate.command import add_validate
from ringbuffer.version import __version__

EXIT_HOLDS, EXIT_REFUTED, EXIT_USAGE, EXIT_UNKNOWN, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
EXIT_BROKEN_PIPE: Final = 141
EXIT_OUTPUT: Final = 74
_EXIT_OF: Final = {HOLDS: EXIT_HOLDS, REFUTED: EXIT_REFUTED, UNKNOWN: EXIT_UNKNOWN}

DEMO_READERS_MAX: Final = 32
DEMO_MESSAGES_MAX: Final = 100_000_000

_USAGE_ERRORS: Final = (BenchError, GeometryError, MissingExtraError, TokenError, VariantError)

QUESTION_MEMORY: Final = "sc"
"""The memory on which ``check`` explores an edited protocol or a ring of another size, unless it is told."""
ALL_MEMORIES: Final = "all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        print(f"ringbuffer {options.command}: there is no standard output to write to", file=sys.stderr)
        return EXIT_OUTPUT
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush succeeds
        return EXIT_BROKEN_PIPE
    except RingBufferError as error:
        print(f"ringbuffer {options.command}: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, _USAGE_ERRORS) else EXIT_REFUTED
    except OSError as error:
        if not _output_failed(error):
            raise
        print(f"ringbuffer {options.command}: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        return EXIT_OUTPUT
    except KeyboardInterrupt:
        print(f"ringbuffer {options.command}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return status


def _output_failed(error: OSError) -> bool:
    """Whether an error is about standard output, which is then replaced so that the interpreter's last flush succeeds."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return error.errno in (errno.ENOSPC, errno.EIO) and error.filename is None


class _AppendEdit(argparse.Action):
    """Collect the edits of the tables in the order in which they were typed, whatever their kind."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        assert option is not None, "an edit is an option"
        edits = list(getattr(namespace, "edits", None) or [])
        namespace.edits = [*edits, f"{option.removeprefix('--')}={values}"]


def _add_edits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("edit the protocol (edits apply in the order given)")
    group.set_defaults(edits=[])
    for option, metavar, text in (
        ("--without", "ROW", "drop a row, for instance W3"),
        ("--swap", "ROW,ROW", "exchange two rows of one side"),
        ("--move", "ROW,BEFORE", "move a row to directly before another"),
        ("--weaken", "ROW", "make an ordered access relaxed"),
        ("--order", "ROW,ORDERING", "make an access relaxed, acquire (a load) or release (a store)"),
        ("--redirect", "ROW,OUTCOME,THEN", "let 0, 1, done or aborted lead to next, found, otherwise, wait or restart"),
        ("--flip", "ROW", "turn a load's test round, or store the other value"),
        ("--retarget", "ROW,FLAG", f"touch another flag: {', '.join(FLAGS)}"),
        ("--advance", "SIDE,N", "let the writer or the reader go on by N blocks after use (1 is right)"),
        ("--fence-before", "ROW,ORDERING", "a fence before a row: acquire, release, acq-rel or seq-cst"),
        ("--fence-after", "ROW,ORDERING", "the same, behind a row"),
        ("--lock-before", "ROW", "take and let go a lock of one's own process before a row"),
        ("--lock-after", "ROW", "the same, behind a row"),
        ("--policy", "|".join(POLICIES), "how the sides move through the ring; the original scans"),
        ("--initial-read-flag", "0|1", "the value of every read flag in a new segment"),
        ("--missing-readers", "COUNT", "how many read flags may be 0 when W2 takes a block for free"),
        ("--kernel", "|".join(KERNELS), "how the kernel sleeps and wakes otherwise (rows S… and K…: claim wakeups)"),
        ("--word", SHARED, "one word for all readers who sleep (claim wakeups)"),
        ("--sleepers", "|".join(SLEEPERS), "who sleeps; the others look again and again (claim wakeups)"),
    ):
        group.add_argument(option, metavar=metavar, action=_AppendEdit, help=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ringbuffer",
        description=(
            "The shared-memory broadcast ring: check the protocol, see it run, replay a run, look at rings at work, print the"
            " specification."
        ),
        epilog="exit status: 0 holds, 1 refuted or failed, 2 usage, 3 no answer: a bound was reached, or nothing tried",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands.add_parser("check", help="try the claims, or ask about an edited protocol"))
    _add_demo(commands.add_parser("demo", help="real processes broadcast real objects"))
    _add_replay(commands.add_parser("replay", help="run again what a token names"))
    validate = commands.add_parser("validate", help="whether what real processes recorded is a possible run of the tables")
    add_validate(validate)
    _add_edits(validate)
    inspection.add_arguments(commands.add_parser("inspect", help="look at the rings of this machine: who waits for whom"))
    cleaning.add_arguments(commands.add_parser("clean", help="remove rings whose creators are gone, after showing them"))
    add_bench(commands.add_parser("bench", help="measure the ring beside other ways to broadcast"))
    add_soak(commands.add_parser("soak", help="run the ring for a long time, with all that may happen to it, and check all"))
    add_spec(commands.add_parser("spec", help="keep the generated parts of the specification up to date; the explorer page"))
    return parser


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_check)
    parser.description = (
        "Without options: try every claim. With an edited protocol or a size: explore every interleaving of that, and print the"
        " shortest counterexample if there is one."
    )
    parser.add_argument("--readers", type=int, metavar="N", help="explore rings with N readers")
    parser.add_argument("--blocks", type=int, metavar="K", help="explore rings with K blocks")
    parser.add_argument("--messages", type=int, metavar="M", help="how many messages a run writes (default: unbounded)")
    parser.add_argument("--writers", type=int, default=1, metavar="N", help="more than 1 is a fault (default: 1)")
    parser.add_argument("--twins", type=int, default=0, metavar="N", help="further processes of rank 0: a fault (default: 0)")
    parser.add_argument("--rank", type=int, metavar="R", help="judge only what reader R gets, and whether it gets on")
    killed = "let one be killed, at any row, or anyone, again and again, with successors"
    parser.add_argument("--killed", default="", metavar="reader|writer|anyone", help=killed)
    memories = "|".join((*MEMORIES, ALL_MEMORIES))
    parser.add_argument("--memory", metavar=memories, help="the simulated memory of a question (default: sc)")
    parser.add_argument("--full", action="store_true", help="larger rings, all mutations, all memories: minutes, not seconds")
    reductions = f"which reductions to make use of: none, or some of {','.join(REDUCTIONS)} (default: all)"
    parser.add_argument("--reductions", default=",".join(REDUCTIONS), metavar="LIST", help=reductions)
    parser.add_argument("--property", action="append", metavar="NAME", help=f"judge only this one of {', '.join(ALL)}")
    parser.add_argument(
        "--claim", action="append", metavar="ID", help=f"try only this one of {', '.join(c.id for c in CLAIMS)}"
    )
    parser.add_argument(
        "--max-states", type=int, default=STATES_MAX, metavar="N", help=f"give up beyond N states (default: {STATES_MAX})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_edits(parser)


def _scope(options: argparse.Namespace) -> Scope:
    """The question that the options ask. Raises :class:`RingBufferError` for one that makes no sense."""
    size = None
    if options.readers is not None or options.blocks is not None:
        readers, blocks = (2 if number is None else number for number in (options.readers, options.blocks))
        size = (readers, blocks)
    reductions = () if options.reductions == "none" else tuple(options.reductions.split(","))
    waking = [edit for edit in options.edits if concerns_waking(edit)]
    scope = Scope(
        variant=Variant.parse(*(edit for edit in options.edits if edit not in waking)),
        waking=Waking.parse(*waking),
        size=size,
        messages=options.messages,
        writers=options.writers,
        twins=options.twins,
        killed=options.killed,
        rank=options.rank,
        max_states=options.max_states,
        properties=select(tuple(options.property or ALL)),
        reductions=select_reductions(reductions),
        full=options.full,
        arguments=_as_typed(options),
    )
    for memory in _memories(options):
        for readers, blocks in scope.sizes(memory):  # a setup checks itself, here before anything is run
            Setup(
                scope.variant,
                readers,
                blocks,
                writers=scope.writers,
                messages=scope.messages,
                memory=memory,
                twins=scope.twins,
                killed=scope.killed,
                waking=scope.waking if waking else None,
            )
    return scope


def _memories(options: argparse.Namespace) -> tuple[str, ...]:
    """The memories that a question is about. Raises :class:`VariantError` for an unknown one."""
    if options.memory == ALL_MEMORIES:
        return tuple(MEMORIES)
    memory = options.memory or QUESTION_MEMORY
    check_memory(memory)
    return (memory,)


def _as_typed(options: argparse.Namespace) -> str:
    """The question's options again, for the command that repeats it."""
    words = [f"--{edit.replace('=', ' ', 1)}" for edit in options.edits]
    words += [
        f"--{name.replace('_', '-')} {getattr(options, name)}"
        for name, usual in (
            ("readers", None),
            ("blocks", None),
            ("messages", None),
            ("writers", 1),
            ("twins", 0),
            ("killed", ""),
            ("rank", None),
            ("max_states", STATES_MAX),
            ("reductions", ",".join(REDUCTIONS)),
        )
        if getattr(options, name) != usual
    ]
    words += [f"--property {name}" for name in options.property or []]
    words += ["--full"] if options.full else []
    return " ".join(words)


def _check(options: argparse.Namespace) -> int:
    scope = _scope(options)
    known = tuple(claim.id for claim in CLAIMS)
    unknown = [name for name in options.claim or [] if name not in known]
    if unknown:
        print(f"ringbuffer check: unknown claim {unknown[0]!r}; the claims are {', '.join(known)}", file=sys.stderr)
        return EXIT_USAGE
    for claim in CLAIMS:
        if options.memory is not None and claim.id in (options.claim or []) and claim.memory not in _memories(options):
            speaks = f"speaks of the memory {claim.memory}" if claim.memory else "chooses its memories itself"
            raise VariantError(f"the claim {claim.id} {speaks}: ask it without --memory")
    ids = tuple(options.claim or (_question_claims(scope, options) if _is_question(options, scope) else known))
    if options.json:
        found = {**machine(), "versions": versions(_backend())}  # asked before anything runs: the load is that of others
        verdicts = list(check_claims(scope, ids, lambda *_: None))
        report = {"claims": [verdict.as_json() for verdict in verdicts], "verdict": _overall(verdicts), "machine": found}
        if not (scope.variant.edits or scope.waking.edits):
            report["tables"] = assurance.tables()
        print(json.dumps(report, indent=2))
    else:
        from ringbuffer.display import show_claims

        verdicts = show_claims(scope, [claim for claim in CLAIMS if claim.id in ids], _overall)
    return _EXIT_OF[_overall(verdicts)]


def _backend() -> str:
    """What executes the rows here, for the report; ``none`` where nothing can, which does not keep anybody from exploring."""
    try:
        return chosen()
    except RingBufferError:
        return "none"


def _is_question(options: argparse.Namespace, scope: Scope) -> bool:
    """Whether anything was asked but how thoroughly to look."""
    return options.memory is not None or scope.arguments not in ("", "--full")


def _question_claims(scope: Scope, options: argparse.Namespace) -> tuple[str, ...]:
    """The claims that judge at least one of the properties asked about, on the memories asked about."""
    if scope.waking.edits:
        if options.memory is not None:
            raise VariantError("edits of the rows of sleeping and waking are explored on every memory: ask without --memory")
        return tuple(claim.id for claim in CLAIMS if claim.sleeps)
    claims = claims_for(_memories(options), scope.properties)
    if not claims:
        raise VariantError(
            f"{', '.join(scope.properties)} cannot be judged under the memory {options.memory or QUESTION_MEMORY}"
        )
    return claims


def _overall(verdicts: Sequence[Verdict]) -> str:
    """Refuted if any is; unknown if any is; else holds."""
    statuses = {verdict.status for verdict in verdicts}
    return next((status for status in (REFUTED, UNKNOWN) if status in statuses), HOLDS)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_demo)
    parser.description = "Broadcast real objects from one process to others, each of which checks every message."
    parser.add_argument("--readers", type=int, default=3, metavar="N", help="reader processes (default: 3)")
    parser.add_argument("--blocks", type=int, default=4, metavar="K", help="blocks of the ring (default: 4)")
    parser.add_argument("--messages", type=int, default=20_000, metavar="M", help="messages to send (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of the random sizes and contents (default: 0)")
    record = "record what every process does into files of this new folder, for ringbuffer validate"
    parser.add_argument("--record", metavar="FOLDER", help=record)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_edits(parser)


def _demo(options: argparse.Namespace) -> int:
    from ringbuffer.demo import run_demo

    for name, value, most in (
        ("readers", options.readers, DEMO_READERS_MAX),
        ("blocks", options.blocks, BLOCKS_MAX),
        ("messages", options.messages, DEMO_MESSAGES_MAX),
    ):
        if not 1 <= value <= most:
            raise GeometryError(f"{name} is {value}, and it lies between 1 and {most}")
    variant = Variant.parse(*options.edits)
    with recording.into(options.record):
        clean = run_demo(options.readers, options.blocks, options.messages, variant, options.seed, as_json=options.json)
    return EXIT_HOLDS if clean else EXIT_REFUTED


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_replay)
    parser.description = (
        "Run again what a token or a recorded run names, step by step. A recorded run is compared with the tables, and"
        " refused if they have no such step. Exit status 1 if the run breaks a property."
    )
    source = "a token, a file that holds one, a run in ITF JSON, or - for standard input"
    parser.add_argument("source", metavar="TOKEN|FILE", help=source)
    parser.add_argument("--html", metavar="OUT", help="write the run as a page to look at (- for standard output)")
    parser.add_argument("--itf", metavar="OUT", help="write the run in ITF JSON, for tools for TLA+ (- for standard output)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _replay(options: argparse.Namespace) -> int:
    outputs = [name for name in (options.html, options.itf) if name is not None]
    if len(outputs) != len(set(outputs)) and outputs[0] != "-":
        raise TraceFileError(f"--html and --itf both name {outputs[0]}: give each a file of its own")
    if outputs.count("-") + options.json > 1:
        raise TraceFileError("only one of --html -, --itf - and --json can have standard output")
    simulation = replay.load(options.source)
    run = replay.shown(simulation)
    if options.html is not None:
        replay.save(options.html, page(run))
    if options.itf is not None:
        replay.save(options.itf, dumps(to_itf(replay.recording(simulation))))
    if options.json:
        found = {"variant": run.variant, "broken": list(run.broken), "cycle_start": run.cycle_start, "starved": run.starved}
        print(json.dumps({**found, "token": run.token, "steps": [step.as_json() for step in run.steps]}, indent=2))
    elif "-" not in outputs:
        print(f"{run.variant}: {run.readers} readers × {run.blocks} blocks, memory {run.memory}")
        print(render(run.steps, cycle_start=run.cycle_start))
        print(f"broken: {', '.join(run.broken) or 'nothing'}")
        print("".join(f"written: {name}\n" for name in outputs), end="")
    return EXIT_REFUTED if run.broken else EXIT_HOLDS


if __name__ == "__main__":
    sys.exit(main())
