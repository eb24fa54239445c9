"""What Python brings along: ``multiprocessing``'s queue and pipe, one per reader.

Rules: a message is given to each reader's own queue or pipe in turn; both block when full, so that nothing is lost. Limits:
each message is copied (and, as an object, pickled) once per reader, which is what a broadcast over these costs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from typing import Any

from ringbuffer.bench.payloads import Payload
from ringbuffer.bench.peer import Peer, Reader, Setup, Writer


class Queues(Peer):
    """``multiprocessing.Queue``, one per reader."""

    name = "mp-queue"
    about = "one multiprocessing.Queue per reader, as many places as blocks; put blocks when full"

    @classmethod
    def prepare(cls, context: SpawnContext, payloads: list[Payload], readers: int, blocks: int) -> Any:
        return [context.Queue(blocks) for _ in range(readers)]

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        return Writer(to_each([queue.put for queue in prepared[: setup.readers]]))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        return Reader(prepared[rank].get)


class Pipes(Peer):
    """``multiprocessing.Pipe``, one per reader."""

    name = "mp-pipe"
    about = "one multiprocessing.Pipe per reader; send blocks when the kernel's buffer is full; objects are pickled once"

    @classmethod
    def prepare(cls, context: SpawnContext, payloads: list[Payload], readers: int, blocks: int) -> Any:
        return [context.Pipe(duplex=False) for _ in range(readers)]

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        send = to_each([write.send_bytes for _, write in prepared[: setup.readers]])
        return Writer(send if setup.payload.is_bytes else pickled(send))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        receive = prepared[rank][0].recv_bytes
        return Reader(receive if setup.payload.is_bytes else unpickled(receive))


def to_each(sends: list[Callable[[Any], object]]) -> Callable[[Any], object]:
    """Send to each of several in turn."""
    if len(sends) == 1:
        return sends[0]

    def send(message: Any) -> None:
        for one in sends:
            one(message)

    return send


def pickled(send: Callable[[bytes], object]) -> Callable[[Any], object]:
    """Send an object over what carries bytes."""
    dumps = pickle.dumps
    return lambda message: send(dumps(message, 5))


def unpickled(receive: Callable[[], Any]) -> Callable[[], Any]:
    """The other end of it."""
    loads = pickle.loads
    return lambda: loads(receive())
