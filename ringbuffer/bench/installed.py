"""Peers that are packages of their own and keep messages in shared memory: iceoryx2, faster-fifo, Cloudtoid Interprocess.

Rules: each is set up as a lossless broadcast with the fastest public calls that it has, ten messages deep where it counts
messages, and is imported only where it is measured. Limits: what is fastest was found by trying on x86-64 with the versions
of the time; ``about`` says what is in use.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
from collections.abc import Callable, Iterator
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any, ClassVar, Final

from ringbuffer.bench.payloads import COMPARED_BYTES, Payload
from ringbuffer.bench.peer import IDLE, LATENCY, THROUGHPUT, Peer, Reader, Setup, Writer
from ringbuffer.bench.standard import pickled, to_each, unpickled

ROOM_BYTES: Final = 1024
"""For what pickle adds to an object."""
SPINS: Final = 100
"""How often a reader that can only poll looks again at once before it yields the processor between two looks."""
SHARED_MEMORY: Final = Path("/dev/shm")


class Iceoryx2(Peer):
    """iceoryx2's publish and subscribe."""

    name = "iceoryx2"
    about = (
        "publish/subscribe, buffer as deep as the ring, no overflow, RetryUntilDelivered; readers poll (100 times at once, then"
        " with sched_yield) and copy; objects are pickled"
    )
    package = "iceoryx2"
    module = "iceoryx2"
    spins: ClassVar[int] = SPINS

    @classmethod
    @contextlib.contextmanager
    def open(cls, setup: Setup) -> Iterator[Any]:
        root = Path(setup.folder, setup.name)
        root.mkdir()
        prefix = f"rb{os.getpid()}_{setup.name}_"
        try:
            yield str(root), prefix
        finally:
            for left in SHARED_MEMORY.glob(f"{prefix}*"):  # an end that was killed leaves its segments
                left.unlink(missing_ok=True)

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        iox, node, service = cls._service(setup, ticket)
        building = service.publisher_builder().backpressure_strategy(iox.BackpressureStrategy.RetryUntilDelivered)
        building = building.max_loaned_samples(1)
        if not setup.payload.is_bytes:
            building = building.initial_max_slice_len(setup.payload.size_bytes + ROOM_BYTES)
        publisher = building.create()
        send = _loaned(publisher, setup.payload.size_bytes) if setup.payload.is_bytes else _loaned_slice(publisher)

        def settle() -> None:
            publisher.update_connections()

        def close() -> None:
            publisher.delete()
            service.delete() if hasattr(service, "delete") else None
            node.delete() if hasattr(node, "delete") else None

        return Writer(send, ticket, settle, close)

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        _, node, service = cls._service(setup, ticket)
        subscriber = service.subscriber_builder().buffer_size(setup.blocks).create()

        def close() -> None:
            subscriber.delete()
            del keep[:]

        keep = [service, node]
        poll = _polled(subscriber.receive, cls.spins)
        copy = _copied_block(poll, setup.payload.size_bytes) if setup.payload.is_bytes else _unpickled_slice(poll)
        return Reader(copy, close=close)

    @staticmethod
    def _service(setup: Setup, ticket: Any) -> tuple[Any, Any, Any]:
        iox = importlib.import_module("iceoryx2")
        iox.set_log_level(iox.LogLevel.Fatal)
        root, prefix = ticket
        config = iox.config.default()
        config.global_cfg.root_path = iox.Path.new(f"{root}/")
        config.global_cfg.prefix = iox.FileName.new(prefix)
        building = iox.NodeBuilder.new().config(config).signal_handling_mode(iox.SignalHandlingMode.Disabled)
        node = building.create(iox.ServiceType.Ipc)
        kind = _block_type(setup.payload.size_bytes) if setup.payload.is_bytes else iox.Slice[ctypes.c_uint8]
        service = node.service_builder(iox.ServiceName.new(setup.name)).publish_subscribe(kind)
        service = service.enable_safe_overflow(False).history_size(0).subscriber_max_borrowed_samples(1)
        service = service.subscriber_max_buffer_size(setup.blocks).max_publishers(1).max_subscribers(setup.readers)
        return iox, node, service.max_nodes(setup.readers + 1).open_or_create()


class Iceoryx2Spin(Iceoryx2):
    """The same, where the readers never give the processor away."""

    name = "iceoryx2-spin"
    about = "iceoryx2, where readers poll without ever yielding the processor"
    measures = (LATENCY, IDLE)
    spins: ClassVar[int] = 0


class Iceoryx2Views(Iceoryx2):
    """The same, where readers look at the samples where they are."""

    name = "iceoryx2-views"
    about = "iceoryx2; readers look at the samples in shared memory, without a copy"
    measures = (THROUGHPUT,)

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        return payload.is_bytes and payload.size_bytes > COMPARED_BYTES

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        _, node, service = cls._service(setup, ticket)
        subscriber = service.subscriber_builder().buffer_size(setup.blocks).create()
        poll = _polled(subscriber.receive, cls.spins)
        block = ctypes.c_uint8 * setup.payload.size_bytes
        held: list[Any] = [None]

        def receive() -> Any:
            held[0] = None  # samples are given back when nothing refers to them
            held[0] = sample = poll()
            return memoryview(block.from_address(sample.payload_ptr)).cast("B")

        def release() -> None:
            held[0] = None

        def close() -> None:
            release()
            subscriber.delete()
            del keep[:]

        keep = [service, node]
        return Reader(receive, lent=True, release=release, close=close)


def _block_type(size_bytes: int) -> Any:
    return type(f"Block{size_bytes}", (ctypes.Structure,), {"_fields_": [("data", ctypes.c_uint8 * size_bytes)]})


def _loaned(publisher: Any, size_bytes: int) -> Callable[[Any], object]:
    loan, move = publisher.loan_uninit, ctypes.memmove

    def send(data: bytes) -> None:
        sample = loan()
        move(sample.payload_ptr, data, size_bytes)
        sample.assume_init().send()

    return send


def _loaned_slice(publisher: Any) -> Callable[[Any], object]:
    loan, move, dumps = publisher.loan_slice_uninit, ctypes.memmove, pickle.dumps

    def send(message: Any) -> None:
        data = dumps(message, 5)
        size = len(data)
        sample = loan(size)
        move(sample.payload_ptr, data, size)
        sample.assume_init().send()

    return send


def _polled(receive: Callable[[], Any], spins: int) -> Callable[[], Any]:
    """Wait by looking again and again: after so many looks with a ``sched_yield`` between them, or never (0)."""
    give_way = os.sched_yield

    def poll() -> Any:
        looks = 0
        while (sample := receive()) is None:
            looks += 1
            if spins and looks > spins:
                give_way()
        return sample

    return poll


def _copied_block(poll: Callable[[], Any], size_bytes: int) -> Callable[[], bytes]:
    copy = ctypes.string_at

    def receive() -> bytes:
        sample = poll()  # given back when this returns, as nothing refers to it then
        return copy(sample.payload_ptr, size_bytes)

    return receive


def _unpickled_slice(poll: Callable[[], Any]) -> Callable[[], Any]:
    loads = pickle.loads

    def receive() -> Any:
        sample = poll()
        return loads(sample.payload().as_memory_view())

    return receive


class FasterFifo(Peer):
    """faster-fifo, one queue per reader."""

    name = "faster-fifo"
    about = "one queue per reader, as many bytes as the ring; put blocks when full; bytes go unpickled"
    package = "faster-fifo"
    module = "faster_fifo"

    @classmethod
    def prepare(cls, context: SpawnContext, payloads: list[Payload], readers: int, blocks: int) -> Any:
        queue = importlib.import_module(cls.module).Queue
        return {payload.name: [cls._make(queue, payload, blocks) for _ in range(readers)] for payload in payloads}

    @staticmethod
    def _make(queue: Any, payload: Payload, blocks: int) -> Any:
        if payload.is_bytes:
            return queue(max_size_bytes=blocks * (payload.size_bytes + 8), dumps=as_it_is, loads=bytes)
        return queue(max_size_bytes=blocks * (payload.size_bytes + ROOM_BYTES))

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        return Writer(to_each([_patient(queue.put) for queue in prepared[setup.payload.name][: setup.readers]]))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        return Reader(_patient(prepared[setup.payload.name][rank].get))


def as_it_is(data: Any) -> Any:
    """Bytes are sent as bytes."""
    return data


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    """With a bound that is never reached: faster-fifo has no call without one."""
    return lambda *message: call(*message, timeout=3600.0)


class Interprocess(Peer):
    """Cloudtoid Interprocess, one queue per reader."""

    name = "interprocess"
    about = "one Cloudtoid queue per reader, as many bytes as the ring; the writer retries with sched_yield when one is full"
    package = "cloudtoid-interprocess"
    module = "cloudtoid_interprocess"

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        ends = [cls._end("Publisher", setup, rank) for rank in range(setup.readers)]
        send = to_each([_retried(end.try_send) for end in ends])
        return Writer(send if setup.payload.is_bytes else pickled(send), close=lambda: [end.close() for end in ends])

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        end = cls._end("Subscriber", setup, rank)
        receive = end.receive if setup.payload.is_bytes else unpickled(end.receive)
        return Reader(receive, close=end.close)

    @classmethod
    def _end(cls, kind: str, setup: Setup, rank: int) -> Any:
        module = importlib.import_module(cls.module)
        room = setup.payload.size_bytes + (64 if setup.payload.is_bytes else ROOM_BYTES)
        capacity = setup.blocks * room + -(setup.blocks * room) % 8
        return getattr(module, kind)(f"{setup.name}r{rank}", capacity, setup.folder)


def _retried(attempt: Callable[[Any], bool]) -> Callable[[Any], object]:
    give_way = os.sched_yield

    def send(data: Any) -> None:
        while not attempt(data):
            give_way()

    return send
