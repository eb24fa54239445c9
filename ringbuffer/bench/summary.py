"""Medians and spreads of rounds, and the ratios between peers within a round.

Rules: a ratio compares two figures of the same round, which were measured side by side; the ratio of a run is the median of
these, and its spread the smallest and the largest of them, so that nothing is thrown away. Limits: of three rounds the spread
is all that there is; no confidence is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle one of some figures, the smallest and the largest."""

    median: float
    least: float
    most: float

    def as_json(self) -> dict[str, float]:
        """For the report."""
        return {"median": self.median, "min": self.least, "max": self.most}


def quantile(figures: Sequence[float], share: float) -> float:
    """The smallest figure that is not exceeded by fewer than ``share`` of all. Raises ``ValueError`` without figures."""
    if not figures:
        raise ValueError("there is no quantile of nothing")
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(figures: Sequence[float]) -> Spread:
    """Median (the mean of the middle two, of an even number), least and most. Raises ``ValueError`` without figures."""
    if not figures:
        raise ValueError("there is no median of nothing")
    ordered = sorted(figures)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """The ratios ``ours / theirs`` of the rounds that have both; ``None`` without such a round."""
    ratios = [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys()) if theirs[number] > 0]
    return spread(ratios) if ratios else None
