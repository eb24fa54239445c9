"""Files of what is expected: which clauses are known to fail, and which are not to be tried, each with a reason.

One clause a line: ``fail CLAUSE reason`` or ``skip CLAUSE reason``; what follows a ``#`` at the beginning of a line is a
comment. Rules: a reason is required; an expected failure that passes is a failure, so that a file does not outlive its fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FAIL: Final = "fail"
SKIP: Final = "skip"


@dataclass(frozen=True)
class Expectation:
    """What a file says of a clause: ``verb`` is :data:`FAIL` or :data:`SKIP`; ``where``: file and line."""

    verb: str
    reason: str
    where: str


class ExpectationError(Exception):
    """A file of expectations cannot be read, or says what makes no sense: one line."""


def read_all(files: Iterable[str], clauses: Collection[str]) -> dict[str, Expectation]:
    """What the files say, by the clause's id. Raises :class:`ExpectationError`."""
    found: dict[str, Expectation] = {}
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ExpectationError(f"--expected={file}: {error}") from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                clause, expectation = _parse(line, f"{file}:{number}")
                if clause not in clauses:
                    raise ExpectationError(f"{expectation.where}: there is no clause {clause}; --clauses lists them")
                if clause in found:
                    raise ExpectationError(f"{expectation.where}: {clause} is in {found[clause].where} already")
                found[clause] = expectation
    return found


def _parse(line: str, where: str) -> tuple[str, Expectation]:
    parts = line.split(maxsplit=2)
    if len(parts) < 3 or parts[0] not in (FAIL, SKIP):
        raise ExpectationError(f"{where}: write 'fail CLAUSE reason' or 'skip CLAUSE reason'")
    return parts[1], Expectation(parts[0], parts[2], where)
