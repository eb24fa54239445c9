"""What the hardware allows from Python, without any protocol: copying, pickling, and handing over one cache line.

Rules: a floor takes the same loops as the peers. ``copy`` writes each message into a block of shared memory, and each reader
copies as many out of it, while nobody waits for anybody; so its messages are not checked. With ``pickle`` the writer pickles
each object, and each reader unpickles one as often, and nothing is handed over at all. ``hand-off`` writes 64 bytes and then
one byte, on which the readers spin; nothing keeps it from being overtaken, so it is only paced. Limits: it is what the
interpreter can do, not what an assembler loop could.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from itertools import cycle
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from ringbuffer.bench.payloads import DICT, Payload, messages
from ringbuffer.bench.peer import LATENCY, THROUGHPUT, Peer, Reader, Setup, Writer
from ringbuffer.codec.message import PICKLE_PROTOCOL


class _Floor(Peer):
    is_floor = True

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        return payload.is_bytes

    @classmethod
    @contextlib.contextmanager
    def open(cls, setup: Setup) -> Iterator[Any]:
        segment = SharedMemory(create=True, size=setup.blocks * setup.payload.size_bytes + 1)
        try:
            yield segment.name
        finally:
            segment.close()
            segment.unlink()


class Copy(_Floor):
    """One copy into shared memory, and one out of it for each reader."""

    name = "floor-copy"
    about = "no protocol: the writer copies into shared memory, each reader copies out of it, nobody waits; unchecked"
    is_checked = False
    measures = (THROUGHPUT,)

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        segment, _, blocks = _blocks(setup, ticket)
        turn = cycle(blocks).__next__

        def send(data: bytes) -> None:
            turn()[:] = data

        return Writer(send, ticket, close=lambda: _close(segment, blocks))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        segment, _, blocks = _blocks(setup, ticket)
        turn = cycle(blocks).__next__
        return Reader(lambda: bytes(turn()), close=lambda: _close(segment, blocks))


class Pickling(Peer):
    """One pickle made for each message, and one undone by each reader."""

    name = "floor-pickle"
    about = "no protocol: the writer pickles each message, each reader unpickles as many, nothing is handed over; unchecked"
    is_floor = True
    is_checked = False
    measures = (THROUGHPUT,)

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        return payload.kind == DICT

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        return Writer(lambda message: pickle.dumps(message, PICKLE_PROTOCOL), ticket)

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        pickled = pickle.dumps(messages(setup.payload)[0], PICKLE_PROTOCOL)
        return Reader(lambda: pickle.loads(pickled))


class HandOff(_Floor):
    """One byte on which readers spin."""

    name = "floor-handoff"
    about = "no protocol: the writer stores a message and then one byte, on which the readers spin"
    measures = (LATENCY,)

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        return payload.is_bytes and payload.size_bytes <= 4096

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        segment, memory, blocks = _blocks(setup, ticket)
        block, flag = blocks[0], len(blocks) * setup.payload.size_bytes

        def send(data: bytes) -> None:
            block[:] = data
            memory[flag] ^= 1

        return Writer(send, ticket, close=lambda: _close(segment, blocks))

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        segment, memory, blocks = _blocks(setup, ticket)
        block, flag = blocks[0], len(blocks) * setup.payload.size_bytes
        seen = 0

        def receive() -> bytes:
            nonlocal seen
            while memory[flag] == seen:
                pass
            seen ^= 1
            return bytes(block)

        return Reader(receive, close=lambda: _close(segment, blocks))


def _blocks(setup: Setup, name: str) -> tuple[SharedMemory, memoryview, list[memoryview]]:
    """The segment, its memory, and the blocks in it. Behind them is one byte."""
    segment = SharedMemory(name)
    memory = segment.buf
    assert memory is not None, "it has just been opened"
    size = setup.payload.size_bytes
    return segment, memory, [memory[index * size : (index + 1) * size] for index in range(setup.blocks)]


def _close(segment: SharedMemory, blocks: list[memoryview]) -> None:
    for block in blocks:
        block.release()
    segment.close()
