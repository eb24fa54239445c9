"""``ringbuffer spec``: the generated parts of the specification, the explorer page, and the conformance vectors.

Rules: one thing at a time is asked for. Limits: what is written by hand is not looked at.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from ringbuffer import specification
from ringbuffer.assurance import COMMAND, FILE
from ringbuffer.checker import replay
from ringbuffer.vectors.command import run_vectors

EXIT_HOLDS: Final = 0
EXIT_STALE: Final = 1


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Say what can be asked for."""
    parser.set_defaults(run=run_spec)
    parser.description = (
        "The specification's tables, pictures and vectors are generated from the protocol's tables, and so is the explorer"
        " page: the protocol to click through."
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="fail if a generated part is out of date")
    action.add_argument("--write", action="store_true", help="bring every generated part up to date")
    page = "write the explorer page: the protocol to click through (- for standard output)"
    action.add_argument("--html", metavar="OUT", help=page)
    vectors = "run the conformance vectors in FOLDER (default: those of this release, in the specification's folder)"
    action.add_argument("--vectors", nargs="?", const="", metavar="FOLDER", help=vectors)
    parser.add_argument("--folder", type=Path, default=Path("spec"), help="where the chapters are (default: spec)")


def run_spec(options: argparse.Namespace) -> int:
    """Do what was asked for. Returns the exit status."""
    if options.html is not None:
        from ringbuffer.explorer.page import page  # it is large, and seldom asked for

        replay.save(options.html, page(jobs=os.cpu_count() or 1))
        return EXIT_HOLDS
    if options.vectors is not None:
        return run_vectors(options.vectors, options.folder)
    return _bring_up_to_date(options.folder, write=options.write)


def _bring_up_to_date(folder: Path, *, write: bool) -> int:
    stale = specification.update(folder, write=write)
    old = specification.outdated(folder)
    for line in (*stale, *old):
        print(line)
    if write or not stale:
        print(f"{len(stale)} parts written" if write else "the generated parts are up to date")
    else:
        print("run: ringbuffer spec --write", file=sys.stderr)
    if old:
        print(f"the report of the claims is out of date; run: {COMMAND} > {folder / FILE}", file=sys.stderr)
    return EXIT_STALE if old or (stale and not write) else EXIT_HOLDS
