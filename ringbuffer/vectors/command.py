"""``ringbuffer spec --vectors``: runs the conformance vectors against this implementation, and says what came of it.

Rules: exit status 0 when every case of every file passes, 1 when one does not. Limits: only the version that this release
implements can be run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ringbuffer.vectors.run import backends, run
from ringbuffer.vectors.versions import FOLDER, VERSION

EXIT_PASSED, EXIT_FAILED = 0, 1
_SHOWN_MAX: Final = 5
"""So many failures of one file are shown."""


def run_vectors(named: str, specification: Path) -> int:
    """Run the vectors in the folder that is ``named``, or those in the specification's folder, and print a line for each file.

    Returns the exit status. Raises :class:`~ringbuffer.errors.VectorError` for a folder that has none, or changed ones.
    """
    folder = Path(named) if named else specification / FOLDER / str(VERSION)
    failed = total = 0
    for outcome in run(folder):
        verdict = f"{len(outcome.failures)} failed" if outcome.failures else "passed"
        print(f"{outcome.name}: {outcome.cases} {outcome.kind}, {verdict}")
        for failure in outcome.failures[:_SHOWN_MAX]:
            print(f"  {failure}")
        failed += bool(outcome.failures)
        total += 1
    print(f"{total} files on {' and '.join(backends())}: {f'{failed} failed' if failed else 'all passed'}")
    return EXIT_FAILED if failed else EXIT_PASSED
