"""How long an endpoint looks again before it sleeps, and what a caller may say of time.

A wait has three parts: look again at once a few times; then yield the processor between two looks, for a bounded time; then
sleep until the other side wakes (``protocol/waking.py``), in slices, between which the endpoint looks whether whom it waits for
still lives. Rules: times are seconds on the monotonic clock. Limits: a table in which waiting actors go on to other blocks
(a scanning one), and a platform without futexes, sleep for short times instead, which costs latency and a little processor
time.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final

SLICE_SECONDS: Final = 0.1
"""The longest sleep: how late, at most, an endpoint notices that whom it waits for is gone. (A waker does not wait for its
end.)"""
NATIVE_SPIN_COUNT: Final = 10
PYTHON_SPIN_COUNT: Final = 0
"""The default windows of looking again at once. In Python one look takes as long as all of those in C."""
SPIN_COUNT_MAX: Final = 10_000
YIELD_SECONDS_MAX: Final = 0.1
"""The longest windows: inside of them nobody looks for signals, and spinning keeps the other threads of a process waiting."""
NAP_SECONDS: Final = 0.000_5
"""The longest sleep where nobody wakes the sleeper."""

WARNING_INTERVAL_VARIABLE: Final = "RINGBUFFER_WARNING_INTERVAL"
WARNING_INTERVAL_DEFAULT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """The windows of a wait. ``spin_count``: how often an endpoint looks again at once (``None``: :data:`NATIVE_SPIN_COUNT`
    times with the extension in C, and :data:`PYTHON_SPIN_COUNT` without). ``yield_seconds``: how long it then yields the
    processor between two looks. After that it sleeps until it is woken.

    Longer windows save the other side system calls and cost processor time while idle; the defaults are measured on two cores
    that eight processes share. Raises ``ValueError`` for a count or a time below 0.
    """

    spin_count: int | None = None
    yield_seconds: float = 0.001

    def __post_init__(self) -> None:
        is_count = isinstance(self.spin_count, int) and not isinstance(self.spin_count, bool)
        if self.spin_count is not None and not (is_count and 0 <= self.spin_count <= SPIN_COUNT_MAX):
            raise ValueError(
                f"spin_count is {self.spin_count!r:.60}, and it is a whole number from 0 to {SPIN_COUNT_MAX}, or None"
            )
        if not _is_seconds(self.yield_seconds) or self.yield_seconds > YIELD_SECONDS_MAX:
            raise ValueError(
                f"yield_seconds is {self.yield_seconds!r:.60}, and it is a number of seconds from 0 to {YIELD_SECONDS_MAX}"
            )


def check_timeout(timeout: float | None) -> None:
    """Raise ``ValueError`` unless ``timeout`` is ``None`` (for ever) or a number of seconds, 0 or more."""
    if timeout is not None and not _is_seconds(timeout):
        raise ValueError(f"timeout is {timeout!r:.60}, and it is None (wait for ever) or a number of seconds, 0 or more")


def _is_seconds(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value) and value >= 0
    except OverflowError:  # an int beyond every float
        return False


def warning_interval_seconds() -> float:
    """How long an endpoint waits between two warnings: the environment's value, or the default if it is no such number."""
    text = os.environ.get(WARNING_INTERVAL_VARIABLE, "")
    try:
        value = float(text)
    except ValueError:
        return WARNING_INTERVAL_DEFAULT_SECONDS
    return value if value > 0 else WARNING_INTERVAL_DEFAULT_SECONDS
