"""A reader's process in a soak run: it waits for its turn, then takes a rank, and judges every message.

It pauses now and then, and closes its end and attaches anew: with the same ring object, or with a new one, by name. What it
finds goes into words that it shares with its parent, so that it outlives the reader, which may be killed at any moment.

Rules: it ends by itself when its parent is gone; of a message that comes when another is due, it finds out which it is. Limits:
it gives up its end only between two messages, as the parts that it has taken would be gone with it.
"""

from __future__ import annotations

import mmap
import random
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import FrameError, RingBufferError, WaitTimeoutError
from ringbuffer.memory.participants import Role
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.soak.stream import OtherMessage, Shape, Stream, is_message, receive, receive_any

SLICE_SECONDS: Final = 0.25
"""How long a wait lasts before one looks what else there is."""
READY, ATTACHED, FAULT = "ready", "attached", "fault"
NEIGHBOURS: Final = 200
"""A message that is not the one due is looked for among so many before and behind it."""


# What stands in the words of a rank. Only its reader writes there, but for ``LEAVE`` and, between two readers, ``NEXT``.
NEXT: Final = 0
"""The number of the message that is due."""
LEAVE: Final = 1
"""Not 0: the reader is to close its end and to end."""
TORN, LOST, REPEATED, REORDERED, REATTACHED = range(2, 7)
WORDS: Final = 8


def words_bytes(readers: int) -> int:
    """The size of the memory for so many readers' words."""
    return readers * WORDS * 8


class Words:
    """One rank's words, or rather all, of which it looks at its own."""

    def __init__(self, descriptor: int, readers: int) -> None:
        self._memory = mmap.mmap(descriptor, words_bytes(readers))
        self.view = memoryview(self._memory).cast("Q")

    def of(self, rank: int) -> memoryview:
        """The words of a rank, by the names above."""
        return self.view[rank * WORDS : (rank + 1) * WORDS]


@dataclass(frozen=True, slots=True)
class Orders:
    """What a reader's process is told when its turn comes. ``pause_every``: about how many messages lie between two pauses."""

    rank: int
    ring: ShmRingBuffer
    shape: Shape
    messages: int
    pause_every: int
    chance: str
    """What its pauses are drawn from."""


def live(descriptor: int, words_descriptor: int, readers: int) -> None:
    """The whole life of a reader's process. ``descriptor``: of its line to its parent."""
    line = Connection(descriptor)
    words = Words(words_descriptor, readers)
    try:
        line.send((READY, ""))
        orders: Orders = line.recv()
        reader = _Reader(orders, words.of(orders.rank), line)
        try:
            reader.read_on()
        except RingBufferError as error:
            if not reader.is_alone():
                line.send((FAULT, f"reader {orders.rank}: {type(error).__name__}: {error}"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, or has no use for this process


class Chances:
    """When one pauses, and how. ``every``: about so many messages lie between two incidents (0: there are none)."""

    def __init__(self, seed: str, every: int) -> None:
        self._draw = random.Random(seed)
        self._every = every

    def next_after(self, number: int) -> int:
        """The number of the message before which there is an incident."""
        return number + 1 + int(self._draw.expovariate(1 / self._every)) if self._every else 1 << 62

    def incident(self) -> tuple[str, float]:
        """What happens, and how long it lasts in seconds: a pause, or one for which the ``end`` or the ``ring`` is closed."""
        what = self._draw.choices(("pause", "end", "ring"), (75, 20, 5))[0]
        longest = self._draw.choices((0.0, 0.001, 0.005, 0.05), (30, 45, 20, 5))[0]
        return what, self._draw.uniform(0.0, longest)


class _Reader:
    def __init__(self, orders: Orders, words: memoryview, line: Connection) -> None:
        self._orders, self._words, self._line = orders, words, line
        self._stream = Stream(orders.shape)
        self._chances = Chances(orders.chance, orders.pause_every)
        self._missing: set[int] = set()
        self._has_fault = False
        self._ring = orders.ring
        self._end = ShmRingBufferIO(self._ring, orders.rank)
        line.send((ATTACHED, ""))

    def is_alone(self) -> bool:
        """Whether the parent is gone."""
        return self._line.poll()

    def read_on(self) -> None:
        """Read to the end of the stream, or until one is told to leave."""
        words, messages, message = self._words, self._orders.messages, self._stream.message
        number = words[NEXT]
        incident_at = self._chances.next_after(number)
        while number < messages:
            if number >= incident_at:
                incident_at = self._chances.next_after(number)
                self._have_incident()
            expected = message(number)
            try:
                found = receive(self._end, expected, SLICE_SECONDS)
            except WaitTimeoutError:
                if self.is_alone() or (words[LEAVE] and self._is_between(number)):
                    break
                continue
            except (FrameError, OtherMessage):
                found = receive_any(self._end, SLICE_SECONDS)
            number = number + 1 if found is None else self._judge(number, found)
            words[NEXT] = number
            if words[LEAVE]:
                break
        self._end.close()
        self._ring.close()

    def _is_between(self, number: int) -> bool:
        """Whether no part of that message has been taken."""
        role = Role(self._ring.segment, self._orders.rank)
        position = role.entry().position
        role.release()
        return position <= self._stream.begins_at(number)

    def _have_incident(self) -> None:
        what, seconds = self._chances.incident()
        if what == "pause":
            time.sleep(seconds)
            return
        self._end.close()
        if what == "ring":
            old = self._ring
            self._ring = ShmRingBuffer(old.n_reader, old.max_chunk_bytes, old.max_chunks, old.name, protocol=old.protocol)
            old.close()
        time.sleep(seconds)
        self._end = ShmRingBufferIO(self._ring, self._orders.rank)
        self._words[REATTACHED] += 1

    # ---- What is wrong -----------------------------------------------------------------------------------------------------

    def _judge(self, due: int, found: Any) -> int:
        """Say what is wrong with a message that is not the one due. The number that is due next."""
        number = self._number_of(due, found)
        if number is None:
            self._fault(TORN, f"{self._stream.describe(due)} was due, and {_shown(found)} came: it is torn")
            return due + 1
        said = f"{self._stream.describe(number)} came when message {due} was due"
        if number > due:
            self._missing.update(range(due, number))
            self._fault(LOST, said, number - due)
            return number + 1
        if number in self._missing:
            self._missing.discard(number)
            self._words[LOST] -= 1
            self._fault(REORDERED, said)
        else:
            self._fault(REPEATED, f"{said}: it came again")
        return due

    def _number_of(self, due: int, found: Any) -> int | None:
        """Which message it is, if it is one that was sent not long before, or is to be sent not long after, the one due."""
        for distance in range(1, NEIGHBOURS + 1):
            for number in (due + distance, due - distance):
                if number >= 0 and is_message(found, self._stream.message(number)):
                    return number
        return None

    def _fault(self, word: int, text: str, count: int = 1) -> None:
        self._words[word] += count
        if not self._has_fault:
            self._has_fault = True
            self._line.send((FAULT, f"reader {self._orders.rank}: {text}"))


def _shown(found: Any) -> str:
    if not isinstance(found, bytes):
        return f"{found!r:.100}"
    return f"{len(found)} bytes ({found[:16].hex(' ')}{' …' if len(found) > 16 else ''})"
