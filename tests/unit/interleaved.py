"""What the tests of the scheduler run: small rings and counters in shared memory, right and wrong, written as others would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from ringbuffer.interleaving import Scenario

FENCE = threading.Lock()
"""As many rings have it: a lock of the module, taken and released as a fence."""
POLL_SECONDS = 0.001
GIVE_UP_SECONDS = 5.0

MADE: list[str] = []
"""The names of all segments; the tests look whether any is left."""


def segment(size_bytes: int) -> Any:
    """A segment; its ``buf`` may be ``None`` for those who check types, but is not before it is closed."""
    memory = SharedMemory(create=True, size=size_bytes)
    MADE.append(memory.name)
    return memory


def counter(times: int = 1, actors: int = 2) -> Scenario:
    """Actors that add to one byte, each by a load and a store: an update can be lost."""
    memory = segment(8)

    def add() -> int:
        for _ in range(times):
            memory.buf[0] = memory.buf[0] + 1
        return int(memory.buf[0])

    def check() -> None:
        assert memory.buf[0] == times * actors, f"an update was lost: {memory.buf[0]} of {times * actors}"

    return Scenario({f"adder {number}": add for number in range(actors)}, check, close=lambda: end(memory))


def end(memory: Any) -> None:
    memory.close()
    memory.unlink()


def spin(until: Callable[[], bool]) -> None:
    while not until():
        pass


def sleep(until: Callable[[], bool]) -> None:
    while not until():
        time.sleep(POLL_SECONDS)


def give_up(until: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not until():
        with FENCE:
            pass
        if time.monotonic() - began > GIVE_UP_SECONDS:
            raise TimeoutError("nothing came")


def count_rounds(until: Callable[[], bool]) -> None:
    rounds = 0
    while not until():
        rounds += 1


WAITS = {wait.__name__: wait for wait in (spin, sleep, give_up, count_rounds)}


class Mailbox:
    """One block for one reader: byte 0 says whether it is full, the rest is the payload. ``fault`` names what it does wrong."""

    def __init__(self, memory: Any, wait: Callable[[Callable[[], bool]], None], fault: str = "") -> None:
        self.memory, self.wait, self.fault = memory, wait, fault

    @contextmanager
    def payload(self) -> Iterator[memoryview]:
        with self.memory.buf[1:3] as view:
            yield view

    def put(self, value: int) -> None:
        self.wait(lambda: self.memory.buf[0] == 0)
        if self.fault == "publishes early":
            self.memory.buf[0] = 1
        with self.payload() as view:
            view[0] = value
            view[1] = value
        if self.fault != "never publishes":
            self.memory.buf[0] = 1

    def take(self) -> tuple[int, int]:
        self.wait(lambda: self.memory.buf[0] == 1)
        if self.fault == "frees early":
            self.memory.buf[0] = 0
        with self.payload() as view:
            value = view[0], view[1]
        self.memory.buf[0] = 0
        return value


def mailbox(wait: str = "spin", fault: str = "", messages: int = 1, taken: list[tuple[int, int]] | None = None) -> Scenario:
    """A writer and a reader with a mailbox between them; the reader asserts that it gets every message, whole and in order.

    Where there is a list for what is ``taken``, it is noted there instead.
    """
    memory = segment(3)
    box = Mailbox(memory, WAITS[wait], fault)

    def write() -> None:
        for value in range(1, messages + 1):
            box.put(value)

    def read() -> list[tuple[int, int]]:
        if taken is not None:
            for _ in range(messages):
                taken.append(box.take())
            return taken
        got = [box.take() for _ in range(messages)]
        assert got == [(value, value) for value in range(1, messages + 1)], f"got {got}"
        return got

    return Scenario({"writer": write, "reader": read}, close=lambda: end(memory))
