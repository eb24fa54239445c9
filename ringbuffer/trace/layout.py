"""Where everything of a run's picture goes: lanes, rows, the channels of the arrows, the columns of the blocks.

Rules: one row holds one step, so an arrow that leaves its row only in the channel beside a lane crosses no box; arrows that
would lie on each other in a channel get tracks of their own. Limits: the widths of texts are estimated, from a fixed width for
each character.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from ringbuffer.trace.record import Run
from ringbuffer.trace.words import cycle_in_words, property_in_words, statement_of, verdict_in_words

ROW: Final = 32
BOX, BOX_WIDTH = 23, 140
NUMBERS, BRACKET, MARGIN = 40, 26, 12
TRACK, CHANNEL, TRACKS_MAX = 6, 19, 8
FLAG, CASE, WORD = 16, 32, 25
FLAGS_GAP, CASE_GAP = 4, 8
BLOCK_GAP, TAIL = 22, 24
LINE: Final = 17
CHARACTER, REMARK_CHARACTER, BOLD_CHARACTER = 6.4, 7.2, 8.2
"""The estimated widths of a character: of the small text, of a remark, and of what a banner says."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """From the row of step ``source`` (0: from nowhere, the initial value) to that of ``target``, in a lane's channel."""

    source: int
    target: int
    lane: int
    track: int


@dataclass(frozen=True, slots=True)
class Banner:
    """A line of text between two rows. ``kind``: ``"cycle"`` or ``"fault"``."""

    top: float
    kind: str
    lines: tuple[str, ...]

    @property
    def height(self) -> float:
        """The height of its frame."""
        return LINE * len(self.lines) + 10.0


class Layout:
    """The places of one run.

    ``lanes`` and ``blocks``: the left edge of each actor's boxes, and of what each block holds. ``tops``: the upper edge of
    each step's row, by the step's number; 0 is the start. ``ends_at``: the lower edge of the last row or banner.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lane_of = {actor: number for number, actor in enumerate(run.actors)}
        self.arrows = _arrows(run, self.lane_of)
        self.left = float(MARGIN + NUMBERS + (BRACKET if run.cycle_start is not None else 0))
        self.lanes: list[float] = []
        self.lanes_end = self._place_lanes()
        readers, words = len(run.initial[0].flags) - 1, len(run.initial[0].payload)
        self.flags_width = FLAG * (1 + readers) + FLAGS_GAP
        self.block_width = self.flags_width + CASE + CASE_GAP + WORD * max(2, words)
        first = self.lanes_end + 2 * BLOCK_GAP
        self.blocks = [first + number * (self.block_width + BLOCK_GAP) for number in range(len(run.initial))]
        self.width = self.blocks[-1] + self.block_width + MARGIN
        self.tops: dict[int, float] = {0: 4.0}
        self.banners: list[Banner] = []
        self.ends_at = self._place_rows()
        self.bottom = self.ends_at + TAIL
        self.height = self.bottom + MARGIN

    def middle(self, number: int) -> float:
        """The height at which the row of that step has its middle."""
        return self.tops[number] + ROW / 2

    def flag_left(self, block: int, index: int) -> float:
        """The left edge of a flag: the written flag first, and a little apart from the read flags."""
        return self.blocks[block] + FLAG * index + (FLAGS_GAP if index else 0)

    def case_middle(self, block: int) -> float:
        """Where the case of a block has its middle."""
        return self.blocks[block] + self.flags_width + CASE / 2 + 1

    def word_left(self, block: int, index: int) -> float:
        """The left edge of a payload word."""
        return self.blocks[block] + self.flags_width + CASE + CASE_GAP + WORD * index

    def _place_lanes(self) -> float:
        """Give each lane a channel as wide as its arrows need; return where the last lane ends."""
        at = self.left
        for lane in range(len(self.run.actors)):
            tracks = 1 + max((arrow.track for arrow in self.arrows if arrow.lane == lane), default=-1)
            at += CHANNEL + TRACK * tracks
            self.lanes.append(at)
            at += BOX_WIDTH
        return at

    def _place_rows(self) -> float:
        """Give each step a row, and each verdict a banner below its step; return where the last one ends."""
        run, top = self.run, self.tops[0] + ROW
        for step in run.steps:
            if step.number == run.cycle_start:
                top = self._place_banner(top, "cycle", f"↻ {cycle_in_words(run)}")
            self.tops[step.number] = top
            top += ROW
            for name in step.broken:
                top = self._place_banner(top, "fault", f"✗ {verdict_in_words(run, step, name)}")
        if run.cycle_start is not None:
            shown = {name for step in run.steps for name in step.broken}
            for name in (name for name in run.broken if name not in shown):
                text = f"✗ {property_in_words(name)} is broken. After this, step {run.cycle_start} comes again."
                top = self._place_banner(top, "fault", f"{text} Demanded: {statement_of(name)}.")
        return top

    def _place_banner(self, top: float, kind: str, text: str) -> float:
        columns = max(30, int((self.width - self.left - 3 * MARGIN) / BOLD_CHARACTER))
        banner = Banner(top + 2, kind, tuple(wrap(text, columns)))
        self.banners.append(banner)
        return top + banner.height + 8


def _arrows(run: Run, lane_of: dict[str, int]) -> list[Arrow]:
    """An arrow for each step that got a value. Those from one step may share a track, as long as there are enough tracks."""
    arrows: list[Arrow] = []
    taken: dict[tuple[int, int], tuple[int, int]] = {}
    for step in run.steps:
        if step.reads_from is None:
            continue
        lane, track = lane_of[step.actor], 0
        if step.reads_from:
            while track < TRACKS_MAX - 1:
                source, until = taken.get((lane, track), (0, 0))
                if source == step.reads_from or until < step.reads_from:
                    break
                track += 1
            taken[lane, track] = (step.reads_from, step.number)
        arrows.append(Arrow(step.reads_from, step.number, lane, track))
    return arrows
