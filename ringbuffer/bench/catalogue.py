"""The peers, in the order of the tables, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ringbuffer.bench.collective import Gloo, Vllm
from ringbuffer.bench.floor import Copy, HandOff, Pickling
from ringbuffer.bench.installed import (
    FasterFifo,
    Iceoryx2,
    Iceoryx2Spin,
    Iceoryx2Views,
    Interprocess,
)
from ringbuffer.bench.ours import Ours, OursPython, OursViews
from ringbuffer.bench.peer import Peer
from ringbuffer.bench.standard import Pipes, Queues
from ringbuffer.bench.zeromq import Zmq, ZmqCredit, ZmqShallow
from ringbuffer.errors import BenchError

PEERS: Final[tuple[type[Peer], ...]] = (
    Ours,
    OursPython,
    OursViews,
    Iceoryx2,
    Iceoryx2Spin,
    Iceoryx2Views,
    Zmq,
    ZmqShallow,
    ZmqCredit,
    FasterFifo,
    Interprocess,
    Queues,
    Pipes,
    Gloo,
    Vllm,
    Copy,
    Pickling,
    HandOff,
)

_VIEWS: Final[dict[type[Peer], type[Peer]]] = {Iceoryx2Views: OursViews}
"""Views are compared with views, everything else with the first of :data:`PEERS`."""


def choose(names: Sequence[str] | None) -> tuple[type[Peer], ...]:
    """The peers of these names, or all that take part unasked. Raises :class:`BenchError` for an unknown one."""
    if names is None:
        return tuple(peer for peer in PEERS if peer.unasked)
    known = {peer.name: peer for peer in PEERS}
    for name in names:
        if name not in known:
            raise BenchError(f"peer {name!r:.40} is none of {', '.join(known)}")
    return tuple(peer for peer in PEERS if peer.name in names)


def reference_of(peer: type[Peer]) -> str:
    """The peer of ours that this one is compared with; empty for that peer itself."""
    return "" if peer is Ours else _VIEWS.get(peer, Ours).name
