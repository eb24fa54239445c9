"""The assurance table: every claim with its method, bound, result, time and command, from a report that is kept.

``ringbuffer check --json > spec/assurance.json`` (or with ``--full``) writes the report, on one machine, at one time; a chapter
prints it.

Rules: the table says nothing that is not in the report; a report that speaks of other rows, claims, statements, methods, bounds
or commands than the code does is out of date, and what differs is named. Limits: how long it took is of that machine; that a
verdict would be the same today is shown by running its command, and not by this table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ringbuffer.checker.claim import Scope
from ringbuffer.checker.claims import CLAIMS, Claim
from ringbuffer.checker.reach import reach_of
from ringbuffer.errors import GeometryError
from ringbuffer.proof.pages import table
from ringbuffer.protocol import PROTOCOL
from ringbuffer.protocol.succession import SHIPPED, SUCCESSIONS
from ringbuffer.protocol.waking import executed

FILE: Final = "assurance.json"
"""The report, in the folder of the specification."""
COMMAND: Final = "ringbuffer check --json"
FULL_COMMAND: Final = "ringbuffer check --full --json"


def read(folder: Path) -> Mapping[str, Any]:
    """The report in that folder. Raises :class:`GeometryError` where there is none, or something else."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GeometryError(f"{path} is no report ({error}); make one: {COMMAND} > {path}") from error
    if not isinstance(found, dict) or not {"claims", "verdict", "machine"} <= found.keys():
        raise GeometryError(f"{path} is no report of `{COMMAND}`: it has no claims, verdict or machine")
    return found


def tables() -> str:
    """Twelve characters that change when a shipped row changes what it does: also one of notes, waking or taking over."""
    sides = (PROTOCOL.writer, PROTOCOL.reader)
    programs = [*map(executed, sides), *map(SUCCESSIONS[SHIPPED].program, sides)]
    rows = [f"{one.row.id} {one.row.access!r} {one.branches!r}" for program in programs for one in program.instructions]
    return hashlib.sha256("\n".join([*rows, str(PROTOCOL.initial_read_flag)]).encode()).hexdigest()[:12]


def differences(report: Mapping[str, Any], claims: tuple[Claim, ...] = CLAIMS) -> Iterator[str]:
    """In which ways a report is not one of these claims; nothing if it is."""
    if report.get("tables") != tables():
        yield f"made with other rows: their digest was {report.get('tables', 'not noted')}, and is {tables()}"
    rows = {row["id"]: row for row in report["claims"]}
    known = {claim.id for claim in claims}
    yield from (f"{name}: there is no such claim any more" for name in rows if name not in known)
    for claim in claims:
        row = rows.get(claim.id)
        if row is None:
            yield f"{claim.id}: not in the report"
            continue
        scope = Scope(full=row["command"].endswith(" --full"))
        scope = replace(scope, arguments="--full" if scope.full else "")
        for name, expected in (
            ("statement", claim.statement),
            ("method", claim.method),
            ("command", " ".join(filter(None, ("ringbuffer check --claim", claim.id, scope.arguments)))),
        ):
            if row[name] != expected:
                yield f"{claim.id}: its {name} is now {expected!r}"
        if reach_of(claim.id, scope) not in row["bound"]:
            yield f"{claim.id}: its bound now says {reach_of(claim.id, scope)!r}"


def assurance(report: Mapping[str, Any]) -> str:
    """The table, with the machine and the versions below it."""
    head = ("claim", "statement", "method", "result", "bound", "states", "time", "command")
    return f"{table(head, map(_cells, report['claims']))}\n\n{_made_by(report)}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    states = f"{row['states']:,}" if row["states"] else "–"
    return (
        f"`{row['id']}`",
        row["statement"],
        f"**{row['method']}**",
        row["status"] if row["status"] == "holds" else f"**{row['status']}**",
        row["bound"],
        states,
        _time(row["seconds"]),
        f"`{row['command']}`",
    )


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min"


def _made_by(report: Mapping[str, Any]) -> str:
    """On which machine, and with what, the report was made."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {found or 'not installed'}" for name, found in machine["versions"].items())
    governor = f", governor {machine['governor']}" if machine.get("governor") else ""
    where = f"{machine['cores']} {'virtual ' if machine['virtual'] else ''}cores of {machine['processor']}{governor}"
    full = sum(row["command"].endswith(" --full") for row in report["claims"])
    how = {0: f"by `{COMMAND}`", len(report["claims"]): f"by `{FULL_COMMAND}`"}.get(
        full, f"by the commands above, claim by claim ({full} with `--full`),"
    )
    return (
        f"Verdict of all: **{report['verdict']}**. Made {how} on {where}, load {machine['load']} before the run;"
        f" {machine['system']}, {machine['python']}; {versions}. The times are of that machine under that load. The whole"
        f" report, with the time of every obligation and the counterexample that a claim is expected to have:"
        f" [`{FILE}`]({FILE})."
    )
