"""Sleeping on a 32-bit word, and waking who sleeps on it, without the extension: the system call (futex), by ``ctypes``.

Rules: a :class:`Words` stands for the words of one segment; its calls let other threads run. Limits: Linux, on the processors
whose number for the call is known here. A signal ends a sleep, but its handler runs only when the caller is back in Python; one
that comes just before the sleep does not end it, so whoever must notice signals soon sleeps for a bounded time and again.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ringbuffer.errors import UnsupportedPlatformError
from ringbuffer.memory.layout import AWAKE_BYTES

SECONDS_MAX: Final = 1e9
"""Longer sleeps are sleeps for ever: it is more than thirty years, and fits a 32-bit number of seconds."""
EVERYBODY: Final = 2**31 - 1

_WAIT: Final = 0
_WAKE: Final = 1
_NUMBERS_64: Final = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221, "s390x": 238}
_NUMBERS_32: Final = {"x86_64": 240, "i386": 240, "i686": 240}
"""The call's number by what ``platform.machine()`` says, for processes of 64 and of 32 bits."""


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


@lru_cache(maxsize=1)
def _system_call() -> Callable[..., int]:
    """The call, its number filled in. Raises :class:`UnsupportedPlatformError` where it is not known."""
    numbers = _NUMBERS_64 if ctypes.sizeof(ctypes.c_void_p) == 8 else _NUMBERS_32
    number = numbers.get(platform.machine())
    if sys.platform != "linux" or number is None:
        raise UnsupportedPlatformError(
            f"sleeping until a word of memory changes is known on Linux only, and not on {sys.platform} ({platform.machine()})"
        )
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    long, pointer = ctypes.c_long, ctypes.c_void_p
    function.argtypes = (long, pointer, long, long, ctypes.POINTER(_Time), pointer, long)

    def call(address: int, operation: int, value: int, timeout: _Time | None) -> int:
        result: int = function(number, address, operation, value, timeout, None, 0)
        return result

    return call


def time_of(seconds: float | None) -> _Time | None:
    """The kernel's form of a time. Raises ``ValueError`` unless it is ``None`` (for ever) or a number of seconds, 0 or more."""
    try:
        number = math.inf if seconds is None else float(seconds)
    except OverflowError:  # an int beyond every float
        number = math.inf if seconds is not None and seconds > 0 else -1.0
    if not number >= 0:
        raise ValueError(f"timeout_seconds is {seconds!r:.60}, and it is None or a number of seconds, 0 or more")
    return None if number >= SECONDS_MAX else _Time(int(number), int(number % 1 * 1e9))


class Words:
    """The words of who is awake, in a buffer: ``count`` of them from ``offset`` on."""

    def __init__(self, buffer: memoryview, offset: int, count: int) -> None:
        self._array = (ctypes.c_uint32 * count).from_buffer(buffer, offset)
        self._address = ctypes.addressof(self._array)
        self._count = count
        assert self._address % AWAKE_BYTES == 0, "the kernel wants a word on its boundary"

    def sleep(self, number: int, timeout: _Time | None) -> bool:
        """Sleep while that word is 0, for so long at most (``None``: for ever). Whether the kernel lay down at all."""
        if _system_call()(self._address_of(number), _WAIT, 0, timeout) == 0:
            return True
        error = ctypes.get_errno()
        if error not in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR):
            raise OSError(error, os.strerror(error))
        return error != errno.EAGAIN

    def wake(self, number: int) -> int:
        """Wake all who sleep on that word. Returns how many there were."""
        return _system_call()(self._address_of(number), _WAKE, EVERYBODY, None)

    def _address_of(self, number: int) -> int:
        assert 0 <= number < self._count, "a word of this segment"
        return self._address + AWAKE_BYTES * number

    def release(self) -> None:
        """Let go of the buffer. Nobody may sleep any more; again does nothing."""
        self._array = (ctypes.c_uint32 * 0)()
        self._count = 0
