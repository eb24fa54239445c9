"""What lies on a block and outlives its with is noticed, also where only a library in C knows of it; a name is no escape."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import MakeRing, assert_goes_on, ends_of

from ringbuffer import ShmRingBufferIO
from ringbuffer.errors import BlockEscapedError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:The given buffer is not writable")

TENSORS: dict[str, Callable[[memoryview], object]] = {
    "tensor": lambda block: torch.frombuffer(block, dtype=torch.uint8),
    "slice": lambda block: torch.frombuffer(block, dtype=torch.uint8)[2:6],
    "storage": lambda block: torch.frombuffer(block, dtype=torch.uint8).untyped_storage(),
    "array": lambda block: torch.frombuffer(block, dtype=torch.uint8).numpy(),
}


def acquire(writer: ShmRingBufferIO, reader: ShmRingBufferIO, rank: int) -> Any:
    return writer.acquire_write(timeout=0) if rank == -1 else reader.acquire_read(timeout=0)


@pytest.mark.parametrize("rank", [-1, 0])
@pytest.mark.parametrize("kind", TENSORS)
def test_tensor_that_escapes_is_noticed_and_keeps_its_memory(kind: str, rank: int, make_ring: MakeRing) -> None:
    ring = make_ring(max_chunks=2)
    writer, reader = ends_of(ring)
    with writer.acquire_write() as block:
        block[:3] = b"one"
    before = [ring.flags(index) for index in range(2)]
    kept: list[object] = []

    def let_escape() -> None:
        with acquire(writer, reader, rank) as block:
            kept.append(TENSORS[kind](block))

    with pytest.raises(BlockEscapedError, match="Nothing was published" if rank == -1 else "The message stays unread"):
        let_escape()
    assert [ring.flags(index) for index in range(2)] == before
    writer.close()
    reader.close()
    with pytest.raises(BlockEscapedError):
        ring.close()
    assert len(kept[0]) == {"slice": 4, "storage": 64}.get(kind, 64)  # type: ignore[arg-type]
    kept.clear()
    ring.close()


@contextlib.contextmanager
def wrapped(hold: Any) -> Iterator[memoryview]:
    with hold as block:
        yield block


def in_a_variable(hold: Any) -> object:
    with hold as block:
        second = third = block
    return second, third


def in_a_cell(hold: Any) -> object:
    with hold as block:
        second = block

        def inner() -> object:
            return second

    return inner


def in_containers(hold: Any) -> object:
    with hold as block:
        return [block, block, {"block": block}, (block,)]


def through_a_generator(hold: Any) -> object:
    with wrapped(hold) as block:
        second = block
    return block, second


def in_a_suspended_generator(hold: Any) -> object:
    def holding(one: memoryview) -> Iterator[int]:
        yield len(one)

    with hold as block:
        generator = holding(block)
        next(generator)
        second = block
    return generator, second


def in_a_stack(hold: Any) -> object:
    with contextlib.ExitStack() as stack:
        block = stack.enter_context(hold)
        second = block
    return block, second


def in_another_thread(hold: Any) -> object:
    entered, end = threading.Event(), threading.Event()

    def keep(one: memoryview) -> int:
        entered.set()
        end.wait(30)
        return len(one) if not end.is_set() else 0

    with hold as block:
        second = block
        thread = threading.Thread(target=keep, args=(block,))
        thread.start()
        assert entered.wait(30)
    end.set()
    thread.join(30)
    return second


def in_a_module(hold: Any) -> object:
    names = {"hold": hold}
    exec("with hold as block:\n    second = third = block\n", names)
    return names


@pytest.mark.parametrize("rank", [-1, 0])
@pytest.mark.parametrize(
    "use",
    [
        in_a_variable,
        in_a_cell,
        in_containers,
        through_a_generator,
        in_a_suspended_generator,
        in_a_stack,
        in_another_thread,
        in_a_module,
    ],
)
def test_names_of_a_block_are_no_escape(use: Callable[[Any], object], rank: int, make_ring: MakeRing) -> None:
    """What they name is dead behind the ``with``."""
    writer, reader = ends_of(make_ring())
    writer.enqueue("one")
    kept = use(acquire(writer, reader, rank))
    if rank == -1:
        assert reader.dequeue(timeout=0) == "one"
        with reader.acquire_read(timeout=0):
            pass
    assert_goes_on(writer, reader)
    del kept


def test_name_and_tensor_in_a_wrapper_are_told_apart(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring())
    kept = []
    with pytest.raises(BlockEscapedError), wrapped(writer.acquire_write()) as block:
        second = block
        kept.append(torch.frombuffer(second, dtype=torch.uint8))
    kept.clear()
    del block, second
    assert_goes_on(writer, reader)
