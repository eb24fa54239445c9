"""A run of the benchmark: which cells, in which order, and what they gave.

Rules: for each measure, payload and number of readers, all peers are measured in one round after another, in an order that is
rotated from round to round, so that no peer is always the first or always behind the same other. A peer that delivers a wrong
message, fails or does not answer is reported, and takes no further part. Limits: neighbours in a round share what the machine
is doing; rounds that are minutes apart need not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ringbuffer.bench.crew import CrewError, FaultError
from ringbuffer.bench.measure import Bench, Cell, Settings
from ringbuffer.bench.payloads import Payload, rotated
from ringbuffer.bench.peer import IDLE, LATENCY, THROUGHPUT, Peer

FOLDER_PREFIX: Final = "ringbuffer-bench-"
FIGURE: Final = {THROUGHPUT: "seconds_per_message", LATENCY: "p50_seconds", IDLE: "core_share"}
"""The figure of each measure of which ratios are formed and which is plotted; less is better."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. ``payloads``: for each measure its own."""

    peers: tuple[type[Peer], ...]
    payloads: dict[str, tuple[Payload, ...]]
    readers: tuple[int, ...]
    rounds: int
    settings: Settings
    are_named: bool = True
    """Whether the peers were asked for by name; those that were not take part with the payloads that they choose."""

    def cells(self) -> list[list[Cell]]:
        """The cells of one round, those of one measure, payload and number of readers together."""
        groups = [
            [Cell(measure, payload, readers, peer) for peer in self.peers if self._takes_part(peer, measure, payload)]
            for measure, payloads in self.payloads.items()
            for payload in payloads
            for readers in self.readers
        ]
        return [group for group in groups if group]

    def _takes_part(self, peer: type[Peer], measure: str, payload: Payload) -> bool:
        wanted = self.are_named or payload.kind in peer.unasked
        return wanted and measure in peer.measures and peer.carries(payload)


@dataclass(frozen=True, slots=True)
class Failure:
    """A peer that takes no further part. ``kind``: ``fault`` for a wrong message, ``failed`` for all else."""

    cell: Cell
    round_number: int
    kind: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "peer": self.cell.peer.name,
            "measure": self.cell.measure,
            "payload": self.cell.payload.name,
            "readers": self.cell.readers,
            "round": self.round_number,
            "kind": self.kind,
            "text": self.text,
        }


@dataclass(slots=True)
class Outcome:
    """Figures by cell and round, and the failures. ``seconds``: what the whole run took."""

    figures: dict[Cell, dict[int, dict[str, float]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether every reader of every peer got every message, in order and whole, and nothing failed."""
        return not self.failures


def carry_out(plan: Plan, show: Callable[[Cell, int], None] = lambda *_: None) -> Outcome:
    """Measure everything. However it ends, no process, segment, file or socket of it is left."""
    outcome = Outcome()
    began = time.monotonic()
    payloads = list(dict.fromkeys(payload for some in plan.payloads.values() for payload in some))
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
        bench = Bench(plan.peers, payloads, max(plan.readers), plan.settings, folder)
        try:
            for group in plan.cells():
                _rounds(bench, group, plan.rounds, outcome, show)
        finally:
            bench.end()
    outcome.seconds = time.monotonic() - began
    return outcome


def _rounds(bench: Bench, group: Sequence[Cell], rounds: int, outcome: Outcome, show: Callable[[Cell, int], None]) -> None:
    for number in range(rounds):
        for cell in rotated(group, number % len(group)):
            if any(failure.cell.peer is cell.peer for failure in outcome.failures):
                continue
            show(cell, number)
            try:
                outcome.figures.setdefault(cell, {})[number] = bench.measure(cell)
            except FaultError as fault:
                outcome.failures.append(Failure(cell, number, "fault", str(fault)))
            except CrewError as error:
                outcome.failures.append(Failure(cell, number, "failed", str(error)))
