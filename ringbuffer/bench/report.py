"""What a run gave, as tables to read and as one JSON object.

Rules: each figure is a median of rounds, with the smallest and the largest beside it; a ratio is formed within a round, and
says how many times as much a peer costs as this ring does (above 1: this ring is faster); who did not take part is listed,
with the reason. Limits: the JSON holds the figures of each round, the tables only what follows from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.bench.catalogue import reference_of
from ringbuffer.bench.measure import Cell
from ringbuffer.bench.peer import IDLE, LATENCY, THROUGHPUT, Peer
from ringbuffer.bench.plan import FIGURE, Outcome, Plan
from ringbuffer.bench.summary import Spread, paired, spread

CLEAN: Final = "clean"
FAULTY: Final = "faulty"
_HEADS: Final = {
    THROUGHPUT: ("peer", "µs/message", "min..max", "messages/s", "MB/s", "×ours", "min..max"),
    LATENCY: ("peer", "p50 µs", "min..max", "p90 µs", "p99 µs", "×ours", "min..max"),
    IDLE: ("peer", "% of a core", "min..max", "worst reader", "", "", ""),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A run, and what to say about it."""

    plan: Plan
    outcome: Outcome
    machine: dict[str, Any]
    absent: Mapping[type[Peer], str]

    @property
    def verdict(self) -> str:
        """``clean``, or ``faulty`` if a message was wrong or a peer failed."""
        return CLEAN if self.outcome.clean else FAULTY

    def spread_of(self, cell: Cell, figure: str) -> Spread:
        """Over the rounds of a cell."""
        return spread([figures[figure] for figures in self.outcome.figures[cell].values()])

    def ratio_of(self, cell: Cell) -> Spread | None:
        """What this peer costs, in units of what this ring costs, in the rounds that have both."""
        reference = reference_of(cell.peer)
        figure = FIGURE[cell.measure]
        if not reference or cell.measure == IDLE:
            return None
        for other, rounds in self.outcome.figures.items():
            if (other.measure, other.payload, other.readers, other.peer.name) == (*_place(cell), reference):
                mine = self.outcome.figures[cell]
                return paired(
                    {number: figures[figure] for number, figures in mine.items()},
                    {number: figures[figure] for number, figures in rounds.items()},
                )
        return None

    def as_json(self) -> dict[str, Any]:
        """Everything, for other programs."""
        return {
            "machine": self.machine,
            "settings": self._settings(),
            "peers": [self._peer(peer) for peer in (*self.plan.peers, *self.absent)],
            "results": [self._result(cell) for cell in self.outcome.figures if self.outcome.figures[cell]],
            "failures": [failure.as_json() for failure in self.outcome.failures],
            "verdict": self.verdict,
            "seconds": round(self.outcome.seconds, 3),
        }

    def lines(self) -> Iterator[str]:
        """The tables, and what is to be said before and after them."""
        groups: dict[tuple[Any, ...], list[Cell]] = {}
        for cell, rounds in self.outcome.figures.items():
            if rounds:
                groups.setdefault(_place(cell), []).append(cell)
        for (measure, payload, readers), cells in groups.items():
            plural = "" if readers == 1 else "s"
            yield ""
            yield f"{measure} · {payload.name} · {readers} reader{plural}"
            order = {peer: place for place, peer in enumerate(self.plan.peers)}
            rows = [self._row(cell) for cell in sorted(cells, key=lambda cell: order[cell.peer])]
            yield from _table(_HEADS[measure], rows)
        yield ""
        yield from self._remarks()

    def _row(self, cell: Cell) -> tuple[str, ...]:
        figure = self.spread_of(cell, FIGURE[cell.measure])
        ratio = self.ratio_of(cell)
        share = ("", "") if ratio is None else (f"{ratio.median:.2f}", f"{ratio.least:.2f}..{ratio.most:.2f}")
        if cell.measure == IDLE:
            worst = self.spread_of(cell, "core_share_max").most
            around = f"{figure.least * 100:.2f}..{figure.most * 100:.2f}"
            return cell.peer.name, f"{figure.median * 100:.2f}", around, f"{worst * 100:.2f}", "", "", ""
        first = (cell.peer.name, _micro(figure.median), f"{_micro(figure.least)}..{_micro(figure.most)}")
        if cell.measure == LATENCY:
            tails = (_micro(self.spread_of(cell, f"p{percent}_seconds").median) for percent in (90, 99))
            return *first, *tails, *share
        megabytes = cell.payload.size_bytes / figure.median / 1e6
        return *first, f"{1 / figure.median:,.0f}", f"{megabytes:,.1f}", *share

    def _remarks(self) -> Iterator[str]:
        yield from (f"{peer.name}: {peer.about}" for peer in self.plan.peers)
        yield from (f"not measured: {peer.name}: {reason}" for peer, reason in self.absent.items())
        for failure in self.outcome.failures:
            said = failure.as_json()
            yield (
                f"{said['kind'].upper()}: {said['peer']}, {said['measure']}, {said['payload']}, {said['readers']} readers,"
                f" round {said['round']}: {said['text']}"
            )
        checked = "every message of every reader was checked: order, loss, head, middle and tail, small ones and warm-up whole"
        yield f"{self.verdict}: {checked}; {self.outcome.seconds:.0f} s"

    def _settings(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "measures": {measure: [payload.name for payload in some] for measure, some in plan.payloads.items()},
            "readers": list(plan.readers),
            "rounds": plan.rounds,
            "blocks": plan.settings.blocks,
            "seconds": plan.settings.seconds,
            "messages": plan.settings.messages,
        }

    def _peer(self, peer: type[Peer]) -> dict[str, Any]:
        reason = self.absent.get(peer)
        return {
            "name": peer.name,
            "version": peer.version(),
            "about": peer.about,
            "floor": peer.is_floor,
            "measured": reason is None,
            "reason": reason,
        }

    def _result(self, cell: Cell) -> dict[str, Any]:
        rounds = self.outcome.figures[cell]
        ratio = self.ratio_of(cell)
        names = next(iter(rounds.values()))
        return {
            "measure": cell.measure,
            "payload": cell.payload.name,
            "payload_bytes": cell.payload.size_bytes,
            "readers": cell.readers,
            "peer": cell.peer.name,
            "rounds": [{"round": number, **figures} for number, figures in rounds.items()],
            "figures": {name: self.spread_of(cell, name).as_json() for name in names},
            "reference": reference_of(cell.peer) or None,
            "times_ours": None if ratio is None else ratio.as_json(),
        }


def _place(cell: Cell) -> tuple[Any, ...]:
    return cell.measure, cell.payload, cell.readers


def _micro(seconds: float) -> str:
    """Microseconds with three digits that mean something."""
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        words = [
            word.rjust(width) if column else word.ljust(width)
            for column, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(words).rstrip()
