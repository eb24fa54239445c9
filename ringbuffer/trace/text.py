"""A run as lines of text for a terminal. Rules: plain text, at most 120 columns; the reader needs no other page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ringbuffer.protocol.properties import BY_NAME
from ringbuffer.trace.record import Step

_ROW_WIDTH = 3
"""Columns for a clause id of the tables; those of looks that come once more are longer."""


def _head(width: int) -> str:
    return f"{'step':>4}  {'actor':<9} {'row':<{width}} {'block':>5}  {'access':<18} {'block afterwards':<24}"


def message_name(value: int) -> str:
    """How a payload value is written: ``m3``, or ``–`` for a word that nobody wrote."""
    return f"m{value}" if value else "–"


def _flags(flags: Sequence[int]) -> str:
    return f"{flags[0]}{''.join(map(str, flags[1:]))}"


def step_line(step: Step, row_width: int = _ROW_WIDTH) -> str:
    """One step as one line. ``row_width``: columns for the clause id."""
    held = " ".join(map(message_name, step.payload))
    after = f"{_flags(step.flags)} case {int(step.case)} [{held}]"
    line = f"{step.number:>4}  {step.actor:<9} {step.row:<{row_width}} {step.block:>5}  {step.access:<18} {after:<24}"
    old = f"an old value, {f'of step {step.reads_from}' if step.reads_from else 'the initial one'}" if step.stale else ""
    return f"{line} {'; '.join(filter(None, (old, step.note)))}".rstrip()


def render(steps: Iterable[Step], *, cycle_start: int | None = None) -> str:
    """All steps, a line each, with a head, and a line for each property that a step breaks.

    ``cycle_start``: the number of the step from which the run repeats itself for ever.
    """
    steps = list(steps)
    width = max((len(step.row) for step in steps), default=_ROW_WIDTH)
    width = max(width, _ROW_WIDTH)
    lines = [_head(width)]
    for step in steps:
        if step.number == cycle_start:
            lines.append("      from here on, for ever:")
        lines.append(step_line(step, width))
        for name in step.broken:
            prop = BY_NAME[name]
            lines.append(f"      ✗ {prop.id} {prop.name} is broken: {prop.statement}")
    return "\n".join(lines)
