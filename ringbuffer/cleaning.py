"""``ringbuffer clean``: remove what is left of rings whose creators are gone, after showing it.

A creator removes its segment when it ends, and if it is killed, ``multiprocessing``'s resource tracker does; where that was
killed as well (all of a session's processes, say), the segment stays, and its memory with it.

Rules: only a ring of this release, of this user, whose creator is gone and in which nobody has a role, is removed; it is judged
once more, and told by its identity from what may have got its name meanwhile, right before its name goes. What is shown is
not removed unless ``--yes`` says so, or somebody at a terminal does. Limits: a process that has the ring attached and no
role in it goes on unseen, and unharmed: only the name goes. Between the last look and the removal there is a moment in which
another could get the name; names are random, so that only who wants to can.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ringbuffer import inspection
from ringbuffer import observe as observing
from ringbuffer.errors import RingBufferError, SegmentMissingError
from ringbuffer.memory.holding import CREATOR_BYTE, is_held
from ringbuffer.observe import Snapshot

EXIT_CLEAN: Final = 0
EXIT_FAILED: Final = 1
EXIT_MISSING: Final = 2

_GONE: Final = "it is gone already"


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A ring that nobody needs. ``file``: device and number of its file, which with the identity tell it from any other."""

    snapshot: Snapshot
    file: tuple[int, int]

    @property
    def name(self) -> str:
        """Its name."""
        return self.snapshot.name


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment that is not for us to remove, and why."""

    name: str
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``ringbuffer clean``."""
    parser.set_defaults(run=run)
    parser.description = (
        "Show the rings whose creators are gone and in which nobody has a role, and remove them when told to: with --yes, or at"
        " a terminal when asked. Rings in use, of other users or of other releases, and files of others are never removed."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="look at these only (default: at all)")
    parser.add_argument("--yes", action="store_true", help="remove them without asking")
    parser.add_argument("--json", action="store_true", help="print one JSON object; asks nothing")


def run(options: argparse.Namespace) -> int:
    """Do what ``ringbuffer clean`` was asked for; the exit status."""
    try:
        judged = [judge(name) for name in options.names] or _judge_all()
    except SegmentMissingError as error:
        print(f"ringbuffer clean: {error}", file=sys.stderr)
        return EXIT_MISSING
    abandoned = [one for one in judged if isinstance(one, Abandoned)]
    kept = [one for one in judged if isinstance(one, Kept)]
    if not options.json:
        _show(abandoned, kept)
    wanted = abandoned if options.yes or (abandoned and not options.json and _is_told_to(len(abandoned))) else []
    failed = [Kept(one.name, why) for one in wanted if (why := remove(one))]
    _report(options, abandoned, kept, wanted, failed)
    return EXIT_FAILED if any(one.why != _GONE for one in failed) else EXIT_CLEAN


def judge(name: str) -> Abandoned | Kept:
    """Whether that segment is abandoned. Raises :class:`SegmentMissingError`."""
    try:
        with observing.opened(name, observing.FOLDER) as descriptor:
            snapshot = observing.snapshot_of_file(descriptor, name)
            why = _why_to_keep(descriptor, snapshot)
            status = os.fstat(descriptor)
    except SegmentMissingError:
        raise
    except (RingBufferError, OSError) as error:
        return Kept(name, inspection.reason(error))
    return Kept(name, why) if why else Abandoned(snapshot, (status.st_dev, status.st_ino))


def remove(abandoned: Abandoned) -> str:
    """Remove its name, if it is still as it was; what hindered that, or an empty text."""
    path = observing.FOLDER / abandoned.name
    try:
        again = judge(abandoned.name)
        if isinstance(again, Kept):
            return again.why
        status = path.lstat()
        same = again.file == abandoned.file == (status.st_dev, status.st_ino)
        if not same or again.snapshot.identity != abandoned.snapshot.identity:
            return "another segment has got its name meanwhile"
        path.unlink()
    except FileNotFoundError:
        return _GONE
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _judge_all() -> list[Abandoned | Kept]:
    found: list[Abandoned | Kept] = []
    for name in observing.segments(observing.FOLDER):
        try:
            found.append(judge(name))
        except SegmentMissingError:
            continue
    return found


def _why_to_keep(descriptor: int, snapshot: Snapshot) -> str:
    """Why a ring is not to be removed; an empty text where nothing speaks against it."""
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        return f"it belongs to the user with number {owner}, and this process runs as {os.geteuid()}"
    if is_held(descriptor, CREATOR_BYTE):
        return f"its creator (pid {snapshot.creator_pid}) lives"
    for one in snapshot.participants:
        if is_held(descriptor, snapshot.layout.participant_offset(one.rank)):
            return f"{'the writer' if one.rank < 0 else f'reader {one.rank}'} (pid {one.pid}) lives"
    return ""


def _is_told_to(count: int) -> bool:
    """Ask, where there is somebody to ask."""
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        return False
    try:
        answer = input(f"remove {'this segment' if count == 1 else f'these {count} segments'}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _show(abandoned: Sequence[Abandoned], kept: Sequence[Kept]) -> None:
    for other in kept:
        print(f"{inspection.printable(other.name)}: kept: {other.why}")
    for one in abandoned:
        print(inspection.summary(one.snapshot))


def _report(
    options: argparse.Namespace,
    abandoned: Sequence[Abandoned],
    kept: Sequence[Kept],
    wanted: Sequence[Abandoned],
    failed: Sequence[Kept],
) -> None:
    lost = {one.name for one in failed}
    removed = [one for one in wanted if one.name not in lost]
    if options.json:
        found = {
            "abandoned": [inspection.as_json(one.snapshot) for one in abandoned],
            "kept": [{"name": one.name, "why": one.why} for one in kept],
            "removed": [one.name for one in removed],
            "failed": [{"name": one.name, "why": one.why} for one in failed],
        }
        print(json.dumps(found, indent=2))
        return
    for other in failed:
        print(f"{inspection.printable(other.name)}: not removed: {other.why}")
    if not abandoned:
        print("nothing to remove")
    elif not wanted:
        print('nothing was removed; ringbuffer clean --yes removes what is shown above without "kept"')
    else:
        freed = sum(one.snapshot.layout.total_bytes for one in removed)
        print(f"removed: {len(removed)} of {len(abandoned)}, {freed:,} bytes")
