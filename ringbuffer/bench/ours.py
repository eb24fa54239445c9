"""This ring as a peer: with the native backend, with views of the blocks instead of copies, and with the Python backend.

Rules: only the public interface is used. Bytes go through ``send_bytes`` and ``recv_bytes``, objects through ``enqueue`` and
``dequeue``; with views through ``read``. Where an endpoint has no such call, long messages go through ``acquire_write`` and
``acquire_read``. Limits: none of its own.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from ringbuffer.bench.payloads import COMPARED_BYTES, TENSOR, Payload
from ringbuffer.bench.peer import THROUGHPUT, Peer, Reader, Setup, Writer
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.environment import variable_set
from ringbuffer.errors import BackendError, UnsupportedPlatformError
from ringbuffer.memory.backend import NATIVE, PYTHON, VARIABLE, require
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.version import __version__

ROOM_BYTES = 1024
"""For what pickle adds to a message."""


class Ours(Peer):
    """The ring of this project, native backend."""

    name = "ours"
    about = "one ring for all readers; a writer waits for the slowest reader; readers spin, yield, then sleep"
    backend: ClassVar[str] = NATIVE

    @classmethod
    def missing(cls) -> str:
        try:
            require(cls.backend)
        except BackendError:
            return "the extension in C is not built here"
        except UnsupportedPlatformError:
            return f"pure Python is refused on this processor ({platform.machine()}), whose accesses it cannot order"
        return ""

    @classmethod
    def version(cls) -> str:
        return __version__

    @classmethod
    @contextlib.contextmanager
    def open(cls, setup: Setup) -> Iterator[Any]:
        raw = hasattr(ShmRingBufferIO, "send_bytes") or setup.payload.size_bytes > COMPARED_BYTES
        room = 0 if setup.payload.is_bytes and raw else ROOM_BYTES
        with ShmRingBuffer(setup.readers, setup.payload.size_bytes + room, setup.blocks) as ring:
            yield ring

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        end = cls._end(ticket, -1)
        return Writer(_sender(end, setup.payload), ticket, close=ticket.close)

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        end = cls._end(ticket, rank)
        return Reader(_receiver(end, setup.payload), close=ticket.close)

    @classmethod
    def _end(cls, ring: ShmRingBuffer, rank: int) -> ShmRingBufferIO:
        with variable_set(VARIABLE, cls.backend):
            return ShmRingBufferIO(ring, rank)


class OursPython(Ours):
    """The same ring without the extension."""

    name = "ours-python"
    about = "this ring with RINGBUFFER_BACKEND=python"
    backend = PYTHON


class OursViews(Ours):
    """The same ring, where readers look at the messages in their blocks."""

    name = "ours-views"
    about = "this ring; readers look at the messages in their blocks, without a copy"
    measures = (THROUGHPUT,)

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        if payload.kind == TENSOR:
            return hasattr(ShmRingBufferIO, "read")  # which gives tensors; acquire_read gives only bytes
        return payload.is_bytes and payload.size_bytes > COMPARED_BYTES

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        end = cls._end(ticket, rank)
        views = _Views(getattr(end, "read", end.acquire_read))
        return Reader(views.receive, lent=True, release=views.release, close=ticket.close)


class _Views:
    """Enters a ``with`` for each message, and leaves it when the next is asked for."""

    def __init__(self, enter: Callable[[], Any]) -> None:
        self._enter = enter
        self._held: Any = None

    def receive(self) -> Any:
        held = self._held
        if held is not None:
            held.__exit__(None, None, None)
        self._held = held = self._enter()
        return held.__enter__()

    def release(self) -> None:
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None


def _sender(end: Any, payload: Payload) -> Callable[[Any], object]:
    if payload.is_bytes and hasattr(end, "send_bytes"):
        return end.send_bytes  # type: ignore[no-any-return]
    if payload.is_bytes and payload.size_bytes > COMPARED_BYTES:
        return lambda data: _fill(end, data)
    return end.enqueue  # type: ignore[no-any-return]


def _receiver(end: Any, payload: Payload) -> Callable[[], Any]:
    if payload.is_bytes and hasattr(end, "recv_bytes"):
        return end.recv_bytes  # type: ignore[no-any-return]
    if payload.is_bytes and payload.size_bytes > COMPARED_BYTES:
        return lambda: _copy(end)
    return end.dequeue  # type: ignore[no-any-return]


def _fill(end: ShmRingBufferIO, data: bytes) -> None:
    with end.acquire_write() as block:
        block[:] = data


def _copy(end: ShmRingBufferIO) -> bytes:
    with end.acquire_read() as block:
        return bytes(block)
