"""Which of the two makes the accesses: the extension in C, or compiled Python.

The extension (``native``) orders its accesses as the rows say, on every processor, and is used where it was built. Python
(``python``) has no say in the ordering, which processors with total store order (x86-64) do without. The variable
``RINGBUFFER_BACKEND`` chooses one of the two.

Rules: the choice is made when an endpoint is made, and never silently against what was asked for. Limits: two ends of one ring
may use different backends, as both do what the rows say; this module says only what this process does.
"""

from __future__ import annotations

import os
import platform
from types import ModuleType
from typing import Final

from ringbuffer.errors import BackendError, UnsupportedPlatformError

NATIVE: Final = "native"
PYTHON: Final = "python"
VARIABLE: Final = "RINGBUFFER_BACKEND"

TSO_MACHINES: Final = frozenset({"x86_64", "amd64", "i386", "i686"})
"""What ``platform.machine()`` says on processors that keep total store order."""

BUILD_IT: Final = (
    "install a C compiler and the headers of Python (on Debian: apt-get install gcc python3-dev), and then this package again"
    " from its source: pip install --force-reinstall --no-deps --no-cache-dir --no-binary :all: shm-ringbuffer-reference, or"
    " pip install . in a checkout; pip's -v shows what the compiler says"
)


def chosen() -> str:
    """``"native"`` or ``"python"``: what endpoints that are made now run on.

    Raises :class:`BackendError` when the environment asks for a backend that there is not.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked == PYTHON:
        return PYTHON
    if asked == NATIVE:
        extension()
        return NATIVE
    if asked:
        raise BackendError(f"{VARIABLE} is {asked!r:.60}, and the backends are {NATIVE!r} and {PYTHON!r}; set one, or unset it")
    try:
        extension()
    except BackendError:
        return PYTHON
    return NATIVE


def extension() -> ModuleType:
    """The extension. Raises :class:`BackendError` where it was not built, or cannot be loaded."""
    try:
        from ringbuffer.memory import _native
    except ImportError as error:
        raise BackendError(
            f"the extension ringbuffer.memory._native is not there ({error}), so the backend {NATIVE!r} cannot be used. To have"
            f" it, {BUILD_IT}. To do without it on x86-64, unset {VARIABLE} or set it to {PYTHON!r}"
        ) from error
    return _native


def require_total_store_order() -> None:
    """Raise :class:`UnsupportedPlatformError` on processors where compiled Python would be too weakly ordered."""
    machine = platform.machine()
    if machine.lower() not in TSO_MACHINES:
        raise UnsupportedPlatformError(
            f"this processor ({machine}) reorders memory accesses, and pure Python cannot order them: readers could get torn"
            f" messages. The extension in C can: {BUILD_IT}, and do not set {VARIABLE} to {PYTHON!r}. The checker and the"
            " simulator run here as they are"
        )


def require(backend: str) -> None:
    """Raise :class:`BackendError` or :class:`UnsupportedPlatformError` where endpoints cannot run on that backend."""
    if backend == NATIVE:
        extension()
    else:
        require_total_store_order()


def load_acquire(view: memoryview, offset: int) -> int:
    """A byte of shared memory, by one access with acquire ordering; in Python: by one that its processor does not move."""
    if chosen() == NATIVE:
        value: int = extension().load_acquire(view, offset)
        return value
    require_total_store_order()
    return view[offset]
