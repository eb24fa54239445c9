"""The pictures of the specification: the shortest run that goes wrong, for every row and every ordering that is taken away.

Each is explored anew when the pages are made, on the smallest ring that shows it, and drawn as an SVG file in
``spec/figures``. Rules: the folder holds these files and no others; a picture that differs by a byte is out of date. Limits:
one run for each edit, the first of the shortest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from ringbuffer.checker import orderings, replay
from ringbuffer.checker.explore import Result, explore
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant, Waking
from ringbuffer.simulator import Simulation
from ringbuffer.trace.figure import figure
from ringbuffer.trace.record import Run
from ringbuffer.trace.words import fault_in_words, property_in_words

FOLDER: Final = "figures"
"""Where the pictures stand in the folder of the specification."""
WAKING: Final[Mapping[str, str]] = {"S2": "tso", "S3": "sc", "K1": "tso", "K3": "sc", "K4": "sc"}
"""The rows of sleeping and waking without which a wake-up is lost, and the strongest memory that shows it."""
ONLY_FOLLOWED: Final = "W3"
"""The row that a ring can do without as long as nobody is killed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture shows: the question that leads to it. ``options``: of :func:`~ringbuffer.checker.explore.explore`."""

    variant: Variant
    size: tuple[int, int] = (1, 1)
    memory: str = "sc"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that explores it."""
        if "waking" in self.options:  # asked about on every memory, in the rings that show it
            return f"ringbuffer check --{str(self.options['waking']).replace('=', ' ', 1)}"
        words = [f"--{str(edit).replace('=', ' ', 1)}" for edit in self.variant.edits]
        words += [f"--killed {self.options['killed']}"] if "killed" in self.options else []
        words += [f"--memory {self.memory}"] if self.memory != "sc" else []
        words += [f"--readers {self.size[0]} --blocks {self.size[1]}"]
        words += [f"--property {name}" for name in self.options.get("properties", ())]
        return f"ringbuffer check {' '.join(words)}"


def without(row: str) -> str:
    """The name of the picture of what goes wrong without a row."""
    return f"without-{row}"


def weakened(row: str) -> str:
    """The name of the picture of what goes wrong without a row's ordering."""
    return f"weaken-{row}"


def _drop(row: str) -> Shown:
    return Shown(PROTOCOL.without(row), options={"killed": "anyone"} if row == ONLY_FOLLOWED else {})


def _unwoken(row: str, memory: str) -> Shown:
    return Shown(PROTOCOL, memory=memory, options={"waking": Waking.parse(f"without={row}")})


ROWS: Final = tuple(one.row for program in PROTOCOL.programs for one in program.instructions)
FIGURES: Final[Mapping[str, Shown]] = {
    **{without(row.id): _drop(row.id) for row in ROWS},
    **{weakened(row): Shown(PROTOCOL.weakened(row), memory="ra") for row in orderings.SHIPPED},
    **{without(row): _unwoken(row, memory) for row, memory in WAKING.items()},
    "original-reorders": Shown(ORIGINAL, (2, 2), options={"properties": ("reordered",)}),
}


@cache
def found(name: str) -> tuple[Result, Run]:
    """What the explorer finds for a picture, and the run that is shown."""
    shown = FIGURES[name]
    result = explore(shown.variant, *shown.size, memory=shown.memory, **shown.options)
    assert result.token is not None, f"{name}: {result.status}, and there is a picture only of what goes wrong"
    return result, replay.shown(Simulation.replay(result.token))


@cache
def drawn(name: str) -> str:
    """The picture as SVG."""
    result, run = found(name)
    return figure(run, f"{result.setup.edits}: {result.property} is broken after {len(run.steps)} steps")


def caption(name: str) -> str:
    """One sentence: what is broken, after how many steps, and what happened then."""
    result, run = found(name)
    assert result.property is not None, "a refuted result names its property"
    size = f"{result.setup.readers} reader{'s' * (result.setup.readers > 1)}"
    size += f" × {result.setup.blocks} block{'s' * (result.setup.blocks > 1)}"
    shortest = "" if result.shortest else " (a shorter run may exist)"
    broken = f"{property_in_words(result.property)} is broken after {len(run.steps)} steps{shortest}"
    if run.cycle_start is not None:
        return f"{broken} ({size}, `{run.memory}`): steps {run.cycle_start} to {len(run.steps)} repeat for ever."
    return f"{broken} ({size}, `{run.memory}`): {fault_in_words(run, run.steps[-1], result.property)}"


def update(folder: Path, *, write: bool) -> list[str]:
    """Bring the pictures in ``folder`` up to date, or (not ``write``) only look; a line for each that is, or was, not."""
    wanted = {f"{name}.svg": name for name in FIGURES}
    stale = [f"{path}: no such picture is made" for path in _others(folder, wanted)]
    if write:
        for path in _others(folder, wanted):
            path.unlink()
        folder.mkdir(exist_ok=True)
    for file, name in wanted.items():
        path, fresh = folder / file, drawn(name)
        if not path.exists() or path.read_text(encoding="utf-8") != fresh:
            stale.append(str(path))
            if write:
                path.write_text(fresh, encoding="utf-8")
    return stale


def _others(folder: Path, wanted: Mapping[str, str]) -> Iterator[Path]:
    yield from (path for path in sorted(folder.glob("*.svg")) if path.name not in wanted)
