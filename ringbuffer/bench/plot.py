"""A run as a picture: how the cost of a message grows with its size and with the number of readers. SVG, written here.

Rules: both axes are logarithmic; a line is a peer, a point the median of its rounds, a bar from the least to the most of them;
variants of one peer share a colour, and this ring is thick. A panel without a line is left out. Limits: colours repeat after
ten families of peers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from ringbuffer.bench.measure import Cell
from ringbuffer.bench.payloads import BYTES, Payload, size_name
from ringbuffer.bench.peer import LATENCY, THROUGHPUT, Peer
from ringbuffer.bench.plan import FIGURE
from ringbuffer.bench.report import Report
from ringbuffer.bench.summary import Spread
from ringbuffer.machine import sentence

PANEL_WIDTH, PANEL_HEIGHT = 330, 270
LEFT, TOP, BELOW, GAP = 64, 34, 44, 26
LEGEND_WIDTH, HEADING = 150, 58
COLUMNS: Final = 3
COLOURS: Final = ("#111111", "#d1495b", "#1b74c4", "#2e9e6b", "#e08e0b", "#7b4fa3", "#15a3b8", "#8c5a3c", "#d36ba6", "#6b8e23")
FAMILIES: Final = ("ours", "iceoryx2", "pyzmq", "floor")
"""Peers whose variants share a colour, and differ in their dashes."""
DASHES: Final = ("", "7 3", "2 3", "7 3 2 3")
INK, FAINT, GRID = "#22272e", "#6a737d", "#e3e7ec"
FLOOR_COLOUR: Final = "#8a939c"
ROOM: Final = 1.25
"""By which factor the vertical axis goes beyond the figures."""
FEW_DECADES: Final = 2.2
"""Up to so many decades, twice and five times a power of ten have a line, too."""


@dataclass(frozen=True, slots=True)
class Line:
    """A peer's points: where, and how much."""

    peer: type[Peer]
    points: tuple[tuple[float, Spread], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram. ``ticks``: places on the horizontal axis, and their names."""

    title: str
    below: str
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]


def plot(report: Report) -> str:
    """The SVG of a run."""
    return draw(panels(report), report.plan.peers, "Cost of one message at the slowest reader", sentence(report.machine))


def panels(report: Report) -> list[Panel]:
    """Cost against size for each number of readers; cost against readers for each payload; latency against readers."""
    cells = [cell for cell, rounds in report.outcome.figures.items() if rounds]
    sent = [cell for cell in cells if cell.measure == THROUGHPUT]
    readers = sorted({cell.readers for cell in sent})
    payloads = list(dict.fromkeys(cell.payload for cell in sent))
    sized = [_by_size(report, [cell for cell in sent if cell.readers == count], count) for count in readers]
    counted = [_by_readers(report, [cell for cell in sent if cell.payload == one], one, "per message") for one in payloads]
    paced = [cell for cell in cells if cell.measure == LATENCY]
    late = [
        _by_readers(report, [cell for cell in paced if cell.payload == one], one, "one-way latency, median, paced")
        for one in dict.fromkeys(cell.payload for cell in paced)
    ]
    return [panel for panel in (*sized, *counted, *late) if panel.lines]


def _by_size(report: Report, cells: Sequence[Cell], readers: int) -> Panel:
    bytes_cells = [cell for cell in cells if cell.payload.kind == BYTES]
    sizes = sorted({cell.payload.size_bytes for cell in bytes_cells})
    if len(sizes) < 2:
        bytes_cells = []
    plural = "" if readers == 1 else "s"
    ticks = tuple((float(size), size_name(size)) for size in sizes)
    places = {cell: float(cell.payload.size_bytes) for cell in bytes_cells}
    return Panel(f"{readers} reader{plural}", "size of a message", ticks, _lines(report, places))


def _by_readers(report: Report, cells: Sequence[Cell], payload: Payload, what: str) -> Panel:
    counts = sorted({cell.readers for cell in cells})
    ticks = tuple((float(count), str(count)) for count in counts)
    places = {cell: float(cell.readers) for cell in cells} if len(counts) > 1 else {}
    return Panel(f"{payload.name}, {what}", "readers", ticks, _lines(report, places))


def _lines(report: Report, places: dict[Cell, float]) -> tuple[Line, ...]:
    found = []
    for peer in report.plan.peers:
        points = [(place, report.spread_of(cell, FIGURE[cell.measure])) for cell, place in places.items() if cell.peer is peer]
        if points:
            found.append(Line(peer, tuple(sorted(points, key=lambda point: point[0]))))
    return tuple(found)


def draw(shown: Sequence[Panel], order: Sequence[type[Peer]], title: str, subtitle: str) -> str:
    """Some panels as one SVG, with a legend of all the peers in them, in this order."""
    drawn = {line.peer for panel in shown for line in panel.lines}
    peers = [peer for peer in order if peer in drawn]
    rows = max(1, math.ceil(len(shown) / COLUMNS))
    columns = max(1, min(COLUMNS, len(shown)))
    width = columns * (LEFT + PANEL_WIDTH + GAP) + LEGEND_WIDTH
    height = max(HEADING + rows * (TOP + PANEL_HEIGHT + BELOW), HEADING + TOP + 20 * len(peers)) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif" font-size="12" fill="{INK}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(20, 28, title, 'font-size="18" font-weight="600"'),
        _text(20, 47, f"{subtitle}. Median of the rounds; bars: least to most.", f'fill="{FAINT}" font-size="11"'),
    ]
    for number, panel in enumerate(shown):
        left = (number % columns) * (LEFT + PANEL_WIDTH + GAP) + LEFT
        top = HEADING + (number // columns) * (TOP + PANEL_HEIGHT + BELOW) + TOP
        parts.append(f'<g transform="translate({left} {top})">')
        parts.extend(_panel(panel, peers))
        parts.append("</g>")
    parts.extend(_legend(peers, width - LEGEND_WIDTH, HEADING + TOP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, peers: Sequence[type[Peer]]) -> Iterator[str]:
    across = _Axis([place for place, _ in panel.ticks], PANEL_WIDTH, padding=0.06)
    figures = [figure for line in panel.lines for _, one in line.points for figure in (one.least, one.most)]
    up = _Axis([min(figures) / ROOM, max(figures) * ROOM], PANEL_HEIGHT)
    yield _text(0, -12, panel.title, 'font-weight="600"')
    yield from _grid(panel, across, up)
    for line in sorted(panel.lines, key=lambda line: peers.index(line.peer), reverse=True):  # this ring comes last, on top
        places = [(across.at(place), PANEL_HEIGHT - up.at(one.median), one) for place, one in line.points]
        style = _style(line.peer, peers)
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        yield f"<g><title>{escape(line.peer.name)}</title>"
        yield f'<polyline points="{path}" fill="none" stroke-linejoin="round" {style}/>'
        for x, y, one in places:
            low, high = PANEL_HEIGHT - up.at(one.least), PANEL_HEIGHT - up.at(one.most)
            colour = _colour(line.peer, peers)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}" opacity="0.45"/>'
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3.4 if _is_ours(line.peer) else 2.6}" fill="{colour}"/>'
        yield "</g>"


def _grid(panel: Panel, across: _Axis, up: _Axis) -> Iterator[str]:
    for value, name in _time_ticks(up.least, up.most):
        y = PANEL_HEIGHT - up.at(value)
        yield f'<line x1="0" x2="{PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield _text(-8, y + 4, name, f'text-anchor="end" fill="{FAINT}"')
    for place, name in panel.ticks:
        x = across.at(place)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{PANEL_HEIGHT}" stroke="{GRID}"/>'
        yield _text(x, PANEL_HEIGHT + 17, name, f'text-anchor="middle" fill="{FAINT}"')
    yield f'<path d="M0 0V{PANEL_HEIGHT}H{PANEL_WIDTH}" fill="none" stroke="{FAINT}"/>'
    yield _text(PANEL_WIDTH / 2, PANEL_HEIGHT + 34, panel.below, f'text-anchor="middle" fill="{FAINT}" font-size="11"')


def _legend(peers: Sequence[type[Peer]], left: float, top: float) -> Iterator[str]:
    for number, peer in enumerate(peers):
        y = top + 20 * number
        yield f'<line x1="{left}" x2="{left + 26}" y1="{y}" y2="{y}" {_style(peer, peers)}/>'
        weight = ' font-weight="600"' if _is_ours(peer) else ""
        yield _text(left + 34, y + 4, peer.name, weight.strip())


class _Axis:
    """A logarithmic axis over some values, so many pixels long."""

    def __init__(self, values: Sequence[float], length: float, padding: float = 0.0) -> None:
        self.least, self.most = min(values), max(values)
        self._length = length
        self._padding = padding
        self._span = math.log10(self.most / self.least)

    def at(self, value: float) -> float:
        """Where a value is, in pixels from the beginning."""
        share = math.log10(value / self.least) / self._span if self._span else 0.5
        return self._length * (self._padding + share * (1 - 2 * self._padding))


def _family(peer: type[Peer]) -> str:
    stem = peer.name.partition("-")[0]
    return stem if stem in FAMILIES else peer.name


def _is_ours(peer: type[Peer]) -> bool:
    return peer.name == "ours"


def _colour(peer: type[Peer], peers: Sequence[type[Peer]]) -> str:
    if peer.is_floor:
        return FLOOR_COLOUR
    families = list(dict.fromkeys([*FAMILIES[:-1], *(_family(one) for one in peers if not one.is_floor)]))
    return COLOURS[families.index(_family(peer)) % len(COLOURS)]


def _style(peer: type[Peer], peers: Sequence[type[Peer]]) -> str:
    relatives = [one for one in peers if _family(one) == _family(peer)]
    dashes = DASHES[(relatives.index(peer) + peer.is_floor) % len(DASHES)]
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{_colour(peer, peers)}" stroke-width="{3 if _is_ours(peer) else 1.6}"{dash}'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " + style if style else ""}>{escape(text)}</text>'


def _time_ticks(least: float, most: float) -> Iterator[tuple[float, str]]:
    """The round times between two, with their names: ``200 ns``, ``10 µs``."""
    factors = (1, 2, 5) if math.log10(most / least) <= FEW_DECADES else (1,)
    for exponent in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1):
        for factor in factors:
            value = factor * 10.0**exponent
            if least <= value <= most:
                yield value, _time(factor, exponent)


def _time(factor: int, exponent: int) -> str:
    for lowest, name in ((0, "s"), (-3, "ms"), (-6, "µs"), (-9, "ns")):
        if exponent >= lowest:
            return f"{factor * 10 ** (exponent - lowest)} {name}"
    return f"{factor}e{exponent} s"
