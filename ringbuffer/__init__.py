"""A ring of blocks in shared memory: one writer, N readers, no lock; every reader gets every message, whole and in order.

``ShmRingBuffer`` is the ring, ``ShmRingBufferIO`` one end of it; ``create_from_process_group`` makes both for the ranks of a
``torch.distributed`` group, and is the only name here that needs torch. ``backend`` says what makes the accesses of endpoints
that are made now: ``"native"``, the extension in C, or ``"python"``; the variable ``RINGBUFFER_BACKEND`` chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import MissingExtraError, RingBufferError
from ringbuffer.memory.backend import chosen as _chosen_backend
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.version import __version__
from ringbuffer.waiting import WaitOptions

if TYPE_CHECKING:
    from ringbuffer.distributed import create_from_process_group as create_from_process_group

    backend: str

__all__ = ["RingBufferError", "ShmRingBuffer", "ShmRingBufferIO", "WaitOptions", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "backend":
        return _chosen_backend()  # asked for at each use: what is wrong with it is told then, and not by the import
    if name != "create_from_process_group":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ringbuffer.distributed import create_from_process_group
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise MissingExtraError("create_from_process_group", "torch") from error
    return create_from_process_group


def __dir__() -> list[str]:
    return sorted({*globals(), "backend", "create_from_process_group"})
