"""ZeroMQ over a Unix socket, as it comes, with a low high-water mark, and with credit.

Rules: it is set up as a lossless broadcast with the fastest public calls that it has, and imported only where it is measured.
Limits: a high-water mark does not bound how many messages are on the way, since the kernel's buffers hold many more; credit
does. What is fastest was found by trying on x86-64 with the version of the time; ``about`` says what is in use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar, Final

from ringbuffer.bench.peer import THROUGHPUT, Peer, Reader, Setup, Writer
from ringbuffer.bench.standard import pickled, unpickled

QUEUED_BYTES: Final = 64 << 20
QUEUED_MESSAGES: Final = 1000
COPY_BYTES: Final = 64 << 10


class Zmq(Peer):
    """ZeroMQ over a Unix socket."""

    name = "pyzmq"
    about = "XPUB/SUB over ipc://; XPUB_NODROP blocks the writer at the high-water mark, which follows up to 1000 messages"
    package = "pyzmq"
    module = "zmq"
    queued_messages: ClassVar[int] = QUEUED_MESSAGES

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        zmq, context, socket = cls._socket("XPUB", setup)
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of every subscription, not only of the first to a topic
        socket.bind(cls._address(setup))

        def settle() -> None:
            for _ in range(setup.readers):
                socket.recv()  # each subscription arrives as a message

        send = socket.send
        if setup.payload.is_bytes and setup.payload.size_bytes >= COPY_BYTES:
            send = _without_copy(send)
        elif not setup.payload.is_bytes:
            send = pickled(send)
        return Writer(send, settle=settle, close=lambda: context.destroy(linger=0))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        _, context, socket = cls._socket("SUB", setup)
        socket.subscribe(b"")
        socket.connect(cls._address(setup))
        receive = socket.recv if setup.payload.is_bytes else unpickled(socket.recv)
        return Reader(receive, close=lambda: context.destroy(linger=0))

    @classmethod
    def _socket(cls, kind: str, setup: Setup) -> tuple[Any, Any, Any]:
        zmq = importlib.import_module("zmq")
        context = zmq.Context()
        socket = context.socket(getattr(zmq, kind))
        mark = max(setup.blocks, min(cls.queued_messages, QUEUED_BYTES // setup.payload.size_bytes))
        socket.setsockopt(zmq.SNDHWM, mark)
        socket.setsockopt(zmq.RCVHWM, mark)
        return zmq, context, socket

    @staticmethod
    def _address(setup: Setup) -> str:
        return f"ipc://{setup.folder}/{setup.name}"


class ZmqShallow(Zmq):
    """The same, with a high-water mark as low as the ring is deep."""

    name = "pyzmq-shallow"
    about = (
        "pyzmq with a high-water mark of as many messages as the ring has blocks, on both sides; between them the kernel's"
        " buffers hold many more (1,500 of 64 B)"
    )
    queued_messages = 0


class Credit:
    """How many messages a writer may send: so many that no reader is more than ``depth`` behind.

    Attributes: ``left``, and ``step``: a reader says when it has had so many more, half of the depth (once for each message
    costs both sides more).
    """

    def __init__(self, readers: int, depth: int) -> None:
        self.left = depth
        self.step = _step(depth)
        self._had = [0] * readers

    def given(self, rank: int) -> None:
        """A reader has said so."""
        before = min(self._had)
        self._had[rank] += self.step
        self.left += min(self._had) - before


def _step(depth: int) -> int:
    return (depth + 1) // 2


class ZmqCredit(Zmq):
    """The same, no deeper than the ring."""

    name = "pyzmq-credit"
    about = (
        "pyzmq with credit, as the ZeroMQ Guide has it: readers say what they have, once for half as many messages as the ring"
        " has blocks, and the writer waits where a reader has had all but so many"
    )
    measures = (THROUGHPUT,)

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        data = super().writer(setup, ticket, prepared)
        _, context, socket = cls._socket("PULL", setup)
        socket.bind(cls._credit_address(setup))
        credit = Credit(setup.readers, setup.blocks)

        def send(message: Any) -> None:
            while not credit.left:
                credit.given(socket.recv()[0])
            data.send(message)
            credit.left -= 1

        return Writer(send, settle=data.settle, close=_closing(data, context))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        data = super().reader(setup, ticket, rank, prepared)
        _, context, socket = cls._socket("PUSH", setup)
        socket.connect(cls._credit_address(setup))
        had, step, own = count(1), _step(setup.blocks), bytes([rank])

        def receive() -> Any:
            message = data.receive()
            if not next(had) % step:
                socket.send(own)
            return message

        return Reader(receive, close=_closing(data, context))

    @classmethod
    def _credit_address(cls, setup: Setup) -> str:
        return f"{cls._address(setup)}.credit"


def _without_copy(send: Callable[..., object]) -> Callable[[Any], object]:
    return lambda message: send(message, copy=False)


def _closing(data: Writer | Reader, credit_context: Any) -> Callable[[], None]:
    def close() -> None:
        data.close()
        credit_context.destroy(linger=0)

    return close
