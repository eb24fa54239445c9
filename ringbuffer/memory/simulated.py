"""The simulated memories by name: what ``--memory`` chooses.

* ``sc``: sequential consistency (``sequential.py``);
* ``tso``: total store order, x86-64 (``tso.py``);
* ``ra``: C11 release/acquire, the payload not atomic, races detected (``release_acquire.py``);
* ``ra-relaxed``: the same with the payload as relaxed atomic words, so that wrong values can be seen instead of races.

Limits: each memory's module states its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.memory.base import Footprint, Memory, Shape
from ringbuffer.memory.release_acquire import ReleaseAcquire
from ringbuffer.memory.sequential import SequentiallyConsistent
from ringbuffer.memory.tso import TotalStoreOrder

RELAXED_PAYLOAD: Final = "ra-relaxed"

MEMORIES: Final[dict[str, Callable[..., Memory]]] = {
    "sc": SequentiallyConsistent,
    "tso": TotalStoreOrder,
    "ra": ReleaseAcquire,
    RELAXED_PAYLOAD: partial(ReleaseAcquire, relaxed_payload=True),
}
"""The simulated memories by name."""


def make_memory(name: str, shape: Shape, footprints: Sequence[Footprint], *, bounded: bool = True) -> Memory:
    """Make the simulated memory of that name. Raises :class:`VariantError` for an unknown one.

    ``bounded``: whether it has those bounds (each memory's module states its own) that keep every exploration finite.
    """
    return _maker(name)(shape, footprints, bounded=bounded)


def check_memory(name: str) -> None:
    """Raise :class:`VariantError` for a name that no simulated memory has."""
    _maker(name)


def _maker(name: str) -> Callable[..., Memory]:
    if name not in MEMORIES:
        raise VariantError(f"unknown memory {name!r}; the simulated memories are {', '.join(MEMORIES)}")
    return MEMORIES[name]
