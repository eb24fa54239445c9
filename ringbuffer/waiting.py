"""How an endpoint waits for its block: look again at once a few times, then yield the processor, then sleep.

Rules: nobody is told when a flag changes, so a waiter looks again and again; it gives the processor away the sooner, the
longer it waits. Times are seconds on the monotonic clock. Limits: sleeping costs latency (up to ``SLEEP_MAX_SECONDS``) and
waking costs a little processor time while idle; a sleep that the other side ends is not part of this module.
"""

from __future__ import annotations

import math
import os
import time
from typing import Final

SPIN_COUNT: Final = 20
"""How often a waiter looks again at once."""
YIELD_SECONDS: Final = 0.002
"""How long it then yields the processor between two looks."""
SLEEP_MIN_SECONDS: Final = 0.000_02
SLEEP_MAX_SECONDS: Final = 0.002
SLEEP_GROWTH: Final = 1.5

WARNING_INTERVAL_VARIABLE: Final = "RINGBUFFER_WARNING_INTERVAL"
WARNING_INTERVAL_DEFAULT_SECONDS: Final = 60.0


def check_timeout(timeout: float | None) -> None:
    """Raise ``ValueError`` unless ``timeout`` is ``None`` (for ever) or a number of seconds, 0 or more."""
    if timeout is None:
        return
    try:
        good = isinstance(timeout, (int, float)) and not math.isnan(timeout) and timeout >= 0
    except OverflowError:  # an int beyond every float
        good = False
    if not good:
        raise ValueError(f"timeout is {timeout!r:.60}, and it is None (wait for ever) or a number of seconds, 0 or more")


def warning_interval_seconds() -> float:
    """How long an endpoint waits between two warnings: the environment's value, or the default if it is no such number."""
    text = os.environ.get(WARNING_INTERVAL_VARIABLE, "")
    try:
        value = float(text)
    except ValueError:
        return WARNING_INTERVAL_DEFAULT_SECONDS
    return value if value > 0 else WARNING_INTERVAL_DEFAULT_SECONDS


class Backoff:
    """The pauses of one wait."""

    __slots__ = ("_count", "_sleep_seconds", "started_seconds")

    def __init__(self) -> None:
        self.started_seconds = time.monotonic()
        self._count = 0
        self._sleep_seconds = SLEEP_MIN_SECONDS

    def pause(self, left_seconds: float | None) -> float:
        """Pause once, not much longer than ``left_seconds``; return the seconds since the wait began."""
        self._count += 1
        waited = time.monotonic() - self.started_seconds
        if self._count <= SPIN_COUNT:
            return waited
        if waited < YIELD_SECONDS:
            os.sched_yield()
            return waited
        seconds = self._sleep_seconds
        self._sleep_seconds = min(SLEEP_MAX_SECONDS, seconds * SLEEP_GROWTH)
        time.sleep(seconds if left_seconds is None else max(0.0, min(seconds, left_seconds)))
        return time.monotonic() - self.started_seconds
