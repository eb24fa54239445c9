"""Peers of the machine-learning world: gloo's broadcast, and the ring that vLLM ships.

Rules: torch and vLLM are imported only where they are measured, and only when they are asked for by name, because each
process spends seconds on it; gloo also takes part where tensors are sent. Limits: gloo broadcasts buffers whose size all
ranks know beforehand, and so it does here. vLLM's interface changes between versions: where it is not the one that is used
here, this peer fails, and the report says how.
"""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable
from typing import Any, Final

from ringbuffer.bench.payloads import DICT, TENSOR, Payload, tensor_library
from ringbuffer.bench.peer import Peer, Reader, Setup, Writer

ROOM_BYTES: Final = 1024
GLOO_SECONDS: Final = 60


class Gloo(Peer):
    """``torch.distributed.broadcast`` with the gloo backend, over TCP on this machine."""

    name = "gloo"
    about = "torch.distributed.broadcast; a dict by broadcast_object_list; readers copy what they keep"
    package = "torch"
    module = "torch"
    is_slow_to_import = True
    unasked = frozenset({TENSOR})

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        return payload.kind != TENSOR or tensor_library() == "torch"

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        group = _Group(setup, 0)
        return Writer(group.sender(), settle=group.meet, close=group.leave)

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        group = _Group(setup, rank + 1)
        return Reader(group.receiver(), settle=group.meet, close=group.leave)


class _Group:
    """A process group whose rank 0 is the writer; it comes together when all ends settle."""

    def __init__(self, setup: Setup, rank: int) -> None:
        self._torch = importlib.import_module("torch")
        self._distributed = importlib.import_module("torch.distributed")
        self._setup = setup
        self._rank = rank

    def meet(self) -> None:
        self._distributed.init_process_group(
            "gloo",
            init_method=f"file://{self._setup.folder}/{self._setup.name}",
            rank=self._rank,
            world_size=self._setup.readers + 1,
            timeout=datetime.timedelta(seconds=GLOO_SECONDS),
        )

    def leave(self) -> None:
        if self._distributed.is_initialized():
            self._distributed.destroy_process_group()

    def sender(self) -> Callable[[Any], object]:
        torch, broadcast = self._torch, self._distributed.broadcast
        if self._setup.payload.kind == DICT:
            return lambda message: self._distributed.broadcast_object_list([message], 0)
        if self._setup.payload.kind == TENSOR:
            return lambda message: broadcast(message, 0)
        buffer = torch.empty(self._setup.payload.size_bytes, dtype=torch.uint8)
        view = memoryview(buffer.numpy())

        def send(data: bytes) -> None:
            view[:] = data
            broadcast(buffer, 0)

        return send

    def receiver(self) -> Callable[[], Any]:
        torch, broadcast = self._torch, self._distributed.broadcast
        if self._setup.payload.kind == DICT:
            return self._receive_object
        is_tensor = self._setup.payload.kind == TENSOR
        kind = torch.float32 if is_tensor else torch.uint8
        buffer = torch.empty(self._setup.payload.size_bytes // (4 if is_tensor else 1), dtype=kind)
        keep = buffer.clone if is_tensor else buffer.numpy().tobytes

        def receive() -> Any:
            broadcast(buffer, 0)
            return keep()

        return receive

    def _receive_object(self) -> Any:
        objects = [None]
        self._distributed.broadcast_object_list(objects, 0)
        return objects[0]


class Vllm(Peer):
    """The message queue of vLLM, which carries objects through a ring in shared memory."""

    name = "vllm"
    about = "vLLM's MessageQueue with as many chunks as blocks; all payloads go through enqueue and dequeue"
    package = "vllm"
    module = "vllm"
    is_slow_to_import = True
    unasked = frozenset()

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        room = setup.payload.size_bytes + ROOM_BYTES
        queue = cls._kind()(setup.readers, setup.readers, max_chunk_bytes=room, max_chunks=setup.blocks)
        return Writer(queue.enqueue, ticket=queue.export_handle(), settle=queue.wait_until_ready)

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        queue = cls._kind().create_from_handle(ticket, rank)
        return Reader(queue.dequeue, settle=queue.wait_until_ready)

    @staticmethod
    def _kind() -> Any:
        return importlib.import_module("vllm.distributed.device_communicators.shm_broadcast").MessageQueue
