"""Waiting for a word of shared memory, and waking: what ends a wait, and what is refused.

No assertion depends on how long something takes; every wait has an end at which the test fails.
"""

from __future__ import annotations

import itertools
import mmap
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from support import (
    LONG_SECONDS,
    Background,
    in_child,
    needs_extension,
    the_extension,
)

HUGE = 1 << 70
pytestmark = needs_extension


@pytest.fixture
def words() -> Iterator[mmap.mmap]:
    """Four words that forked children share: 0, 1, 2 and 3."""
    with mmap.mmap(-1, 16) as shared:
        shared[:] = struct.pack("=4I", *range(4))
        yield shared


def test_a_word_that_is_another_already_is_not_waited_for(words: mmap.mmap) -> None:
    c = the_extension()
    for number, expected in itertools.product(range(4), (0, 1, 2, 3, 2**32 - 1)):
        result = c.futex_wait(words, 4 * number, expected, 0)
        assert result == (c.TIMED_OUT if number == expected else c.CHANGED)
    assert len({c.WOKEN, c.CHANGED, c.TIMED_OUT, c.INTERRUPTED}) == 4


def test_a_wait_that_nobody_ends_times_out_and_not_before_its_time(words: mmap.mmap) -> None:
    begun = time.monotonic()
    assert the_extension().futex_wait(words, 4, 1, 0.01) == the_extension().TIMED_OUT
    assert time.monotonic() - begun >= 0.01
    assert the_extension().futex_wake(words, 4, 1) == 0


@pytest.mark.parametrize("forever", [(), (None,), (LONG_SECONDS,), (1e300,), (float("inf"),)], ids=str)
def test_a_wake_ends_waits_and_other_threads_run_meanwhile(words: mmap.mmap, forever: tuple[Any, ...]) -> None:
    c = the_extension()
    waiters = [Background(lambda: c.futex_wait(words, 8, 2, *forever)) for _ in range(2)]
    woken = 0
    deadline = time.monotonic() + LONG_SECONDS
    while woken < 2 and time.monotonic() < deadline:
        assert c.futex_wake(words, 12, 2) == 0
        woken += c.futex_wake(words, 8, 1)
    assert [waiter.outcome() for waiter in waiters] == [c.WOKEN] * 2


def test_a_wake_reaches_other_processes(words: mmap.mmap) -> None:
    c = the_extension()

    def wake_until_told() -> str:
        deadline = time.monotonic() + LONG_SECONDS
        while time.monotonic() < deadline:
            if c.futex_wake(words, 0, 1):
                return "woken"
        return "nobody waited"

    waiter = Background(lambda: c.futex_wait(words, 0, 0, LONG_SECONDS))
    assert in_child(wake_until_told) == "woken"
    assert waiter.outcome() == c.WOKEN


@contextmanager
def alarms(handler: Callable[[], None]) -> Iterator[None]:
    """Signals, again and again, as one that comes just before a wait does not end it. The handler may end them."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_ends_a_wait_after_its_handler_has_run(words: mmap.mmap) -> None:
    ran: list[bool] = []
    with alarms(lambda: ran.append(True)):
        assert the_extension().futex_wait(words, 0, 0, LONG_SECONDS) == the_extension().INTERRUPTED
    assert ran


def test_what_a_signal_handler_raises_ends_a_wait(words: mmap.mmap) -> None:
    def handler() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), alarms(handler):
        the_extension().futex_wait(words, 0, 0, LONG_SECONDS)


@pytest.mark.parametrize("number", [2, 4, 7, 15, 16, -4, HUGE, sys.maxsize])
def test_a_word_that_does_not_lie_in_the_buffer_on_its_boundary_is_refused(words: mmap.mmap, number: int) -> None:
    c = the_extension()
    with memoryview(words)[number == 4 :] as buffer:  # from the second byte on, where offset 4 is not on a boundary
        for call in (partial(c.futex_wait, buffer, number, 0, 0), partial(c.futex_wake, buffer, number, 1)):
            with pytest.raises(ValueError, match=r"multiple of 4|lies between|cannot fit"):
                call()


def test_what_is_no_wait_is_refused(words: mmap.mmap) -> None:
    c = the_extension()
    for expected in (-1, 2**32, HUGE, -HUGE):
        with pytest.raises(ValueError, match="a number of 32 bits"):
            c.futex_wait(words, 0, expected, 0)
    for timeout in (-1, -0.5, float("nan"), 10**400):
        with pytest.raises(ValueError, match="None or a number of seconds"):
            c.futex_wait(words, 0, 0, timeout)
    for count in (-1, 2**31, HUGE):
        with pytest.raises(ValueError, match=r"lies between|cannot fit"):
            c.futex_wake(words, 0, count)
    for call in (c.futex_wait, c.futex_wake):
        few_or_many = ((), (words,), (words, 0), (words, 0, 0, 0, 0))
        for arguments in (*few_or_many, (words, 0, "0"), (words, "0", 0), (b"12345678", 0, 0)):
            with pytest.raises((TypeError, BufferError)):
                call(*arguments)
        with pytest.raises(ValueError, match="smaller than a word"):
            call(bytearray(3), 0, 0)
    with pytest.raises(TypeError):
        c.futex_wait(words, 0, 0, "soon")
