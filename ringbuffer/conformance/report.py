"""The report in JSON: what was tested, how much was tried, and what came of each clause.

Limits: it holds what one run of pytest has found; what was not selected is not in it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.conformance.adapter import FEATURES
from ringbuffer.version import __version__

if TYPE_CHECKING:
    import pytest

    from ringbuffer.conformance.plugin import Kit

REPORTED: Final = "passed"
"""The outcome of a setup of which nothing is to be reported."""
_KEYS: Final = ("tried", "cut_off", "what", "story", "token", "command")
PASSED, FAILED, INTERRUPTED, NOTHING_TRIED = "passed", "failed", "interrupted", "nothing tried"
EXPECTED_FAILURE: Final = "failed as expected"


def _outcome(report: pytest.TestReport) -> tuple[str, str | None]:
    """The outcome of a clause, and the reason of one that was skipped or expected to fail."""
    if report.outcome == "skipped":
        reason = getattr(report, "wasxfail", None)
        if reason is not None:
            return EXPECTED_FAILURE, reason
        longrepr: Any = report.longrepr
        return "skipped", longrepr[2].removeprefix("Skipped: ") if isinstance(longrepr, tuple) else str(longrepr)
    if report.outcome == "failed" and "what" not in dict(report.user_properties):
        return "failed", report.longreprtext
    return report.outcome, None


def _clause(report: pytest.TestReport) -> dict[str, Any]:
    properties = dict(report.user_properties)
    outcome, reason = _outcome(report)
    told: dict[str, Any] = {"id": properties.get("clause"), "tier": properties.get("tier"), "outcome": outcome}
    told |= {"statement": properties.get("statement"), "seconds": round(report.duration, 3)}
    if reason is not None:
        told["reason"] = reason
    return told | {key: properties[key] for key in _KEYS if key in properties}


def verdict_of(results: Iterable[pytest.TestReport], *, is_whole: bool) -> str:
    """The verdict. ``is_whole``: whether the run came to its end."""
    outcomes = {_outcome(report)[0] for report in results}
    if FAILED in outcomes:
        return FAILED
    if not is_whole:
        return INTERRUPTED
    return PASSED if outcomes & {PASSED, EXPECTED_FAILURE} else NOTHING_TRIED


def write_report(file: Path, kit: Kit, results: Iterable[pytest.TestReport], verdict: str) -> None:
    """Write the report. Raises ``OSError``."""
    clauses = [_clause(report) for report in results]
    subject = kit.subject
    report = {
        "ring": {"factory": subject.name, "file": subject.file, "version": subject.version},
        "kit": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "effort": kit.effort.name,
        "seed": kit.seed,
        "granularity": kit.granularity,
        "offered": [feature.name for feature in FEATURES if feature in subject.features],
        "not_offered": {feature.name: subject.lacks(feature) for feature in FEATURES if feature not in subject.features},
        "clauses": clauses,
        "verdict": verdict,
        "method": "sampled",
    }
    file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
