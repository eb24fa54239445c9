"""Processes that have one end of a ring and do what they are told: the other side of the process-level and the crash clauses.

Rules: processes are spawned, as the subject's own would be; a parent waits for nothing longer than :data:`ANSWER_SECONDS`; who
makes a peer ends it. Limits: as any spawned process, a peer imports the module of the adapter anew.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from ringbuffer.conformance import messages
from ringbuffer.conformance.adapter import close_all
from ringbuffer.conformance.tracing import Lines, predicate_of

ANSWER_SECONDS: Final = 60.0
"""How long a peer may take to start, or to answer."""
STALL_SECONDS: Final = 20.0
"""How long an end may make no progress in a stream."""
LOOK_SECONDS: Final = 0.25
"""A slice of the wait for an answer."""
PAUSE_SECONDS: Final = 0.000_02
"""Between two tries of an end that cannot wait by itself."""
SLICE_SECONDS: Final = 0.5
"""What one wait of an end is given; after it, the end looks whether it stalls."""
END_SECONDS: Final = 5.0
"""How long a peer may take to end; then it is killed."""

TRY_WRITE, TRY_READ, READ_STREAM, WRITE_STREAM, DIE, END = (
    "try_write",
    "try_read",
    "read_stream",
    "write_stream",
    "die",
    "end",
)


class PeerProblem(Exception):
    """A peer did not answer, ended, or its ring raised: in one sentence."""


class Stalled(Exception):
    """Nothing moved for :data:`STALL_SECONDS`."""


def size_of(number: int, block_bytes: int) -> int:
    """The size of message ``number`` of a stream: all over the place, and the same on both sides."""
    return (number * 2_654_435_761 >> 7) % (block_bytes + 1)


def put(writer: Any, data: bytes) -> None:
    """Write, waiting for room in whatever way the adapter offers. Raises :class:`Stalled`."""
    _until(lambda: (writer.write(data, SLICE_SECONDS) if hasattr(writer, "write") else writer.try_write(data)) or None)


def _never() -> bool:
    return False


def get(reader: Any, is_over: Callable[[], bool] = _never) -> bytes:
    """Read, waiting likewise, as long as it ``is_over`` not. Raises :class:`Stalled`."""
    method = "read" if hasattr(reader, "read") else "try_read"

    def attempt() -> bytes | None:
        return messages.bytes_of(reader.read(SLICE_SECONDS) if method == "read" else reader.try_read(), method)

    data: bytes = _until(attempt, is_over)
    return data


def _until(attempt: Any, is_over: Callable[[], bool] = _never) -> Any:
    deadline: float | None = None
    was_over = False
    while (result := attempt()) is None:
        now = time.monotonic()
        deadline = deadline or now + STALL_SECONDS
        if now > deadline or was_over:
            raise Stalled
        was_over = is_over()  # and then once more: what was written before the end is there now
        if not was_over:
            time.sleep(PAUSE_SECONDS)
    return result


def read_stream(
    reader: Any, rank: int, first: int, count: int, block_bytes: int, is_over: Callable[[], bool] = _never
) -> str | None:
    """Read messages ``first`` to ``first + count - 1`` of a stream; what was wrong with one, in words, or ``None``."""
    for number in range(first, first + count):
        try:
            data = get(reader, is_over)
        except Stalled:
            return f"reader {rank} gets nothing for {STALL_SECONDS:.0f} s, though {messages.name(number)} is due"
        expected = messages.body_of(number, size_of(number, block_bytes))
        if data != expected:
            known = [(near, messages.body_of(near, size_of(near, block_bytes))) for near in range(1, first + count)]
            what = messages.describe(data, known)
            return f"reader {rank} reads {what}, though {messages.name(number)} ({messages.size(len(expected))}) is due"
    return None


# ---- In the peer ---------------------------------------------------------------------------------------------------------


def live(pickled: bytes, rank: int, line: Connection) -> None:
    """What a peer's process runs. An interrupt of the keyboard is its parent's, who ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ring: Any = None
    ends: list[Any] = []
    try:
        ring = pickle.loads(pickled)
        ends.append(ring.writer() if rank < 0 else ring.reader(rank))
        line.send(("done", None))
        while True:
            try:
                command, *arguments = line.recv()
            except EOFError:
                break
            if command == END:
                break
            line.send(("done", _Acts(ring, ends[0], rank).act(command, arguments)))
    except Exception as error:
        line.send(("raised", f"{type(error).__name__}: {error}".splitlines()[0]))
    finally:
        with suppress(Exception):
            close_all(ring, ends)


class _Acts:
    """The commands."""

    def __init__(self, ring: Any, end: Any, rank: int) -> None:
        self.ring, self.end, self.rank = ring, end, rank

    def act(self, command: str, arguments: list[Any]) -> Any:
        if command == DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        if command == READ_STREAM:
            return read_stream(self.end, self.rank, *arguments)
        if command == WRITE_STREAM:
            return self._write_stream(*arguments)
        kill_at, *arguments = arguments
        with Lines(predicate_of(self.ring), kill_at) as lines:
            result = self._call(command, arguments)
        return result, lines.count

    def _call(self, command: str, arguments: list[Any]) -> Any:
        if command == TRY_WRITE:
            return self.end.try_write(*arguments)
        assert command == TRY_READ, "there are no other calls"
        return messages.bytes_of(self.end.try_read(*arguments), TRY_READ)

    def _write_stream(self, count: int, block_bytes: int) -> str | None:
        for number in range(1, count + 1):
            try:
                put(self.end, messages.body_of(number, size_of(number, block_bytes)))
            except Stalled:
                return f"the writer finds no room for {messages.name(number)} for {STALL_SECONDS:.0f} s"
        return None


# ---- In the parent -------------------------------------------------------------------------------------------------------


@contextmanager
def _without_main() -> Iterator[None]:
    """A process that is spawned meanwhile does not run the program's main module again, which is pytest's."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Peer:
    """A process with one end of ``ring``: that of reader ``rank``, or the writer's (-1)."""

    def __init__(self, ring: Any, rank: int) -> None:
        self.rank = rank
        self.line, far = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=live, args=(pickle.dumps(ring), rank, far), daemon=True)
        with _without_main():
            self._process.start()
        far.close()

    @property
    def name(self) -> str:
        """Who it is."""
        return "the writer's process" if self.rank < 0 else f"reader {self.rank}'s process"

    def has_ended(self) -> bool:
        """Whether its process is not there any more."""
        return self._process.exitcode is not None

    def answer(self) -> Any:
        """What it says next. Raises :class:`PeerProblem`."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.line.poll(LOOK_SECONDS):  # in slices, between which an interrupt of the run is noticed
            if time.monotonic() > deadline:
                raise PeerProblem(f"{self.name} did not answer for {ANSWER_SECONDS:.0f} s")
        try:
            kind, said = self.line.recv()
        except (EOFError, ConnectionError):
            self._process.join(ANSWER_SECONDS)
            raise PeerProblem(f"{self.name} ended (exit code {self._process.exitcode})") from None
        if kind == "raised":
            raise PeerProblem(f"{self.name} raised {said}")
        return said

    def tell(self, command: str, *arguments: Any) -> None:
        """Give a command."""
        self.line.send((command, *arguments))

    def ask(self, command: str, *arguments: Any) -> Any:
        """Give a command, and wait for the answer."""
        self.tell(command, *arguments)
        return self.answer()

    def call(self, command: str, *arguments: Any) -> Any:
        """Let it make one call on its end; what that returned."""
        return self.ask(command, None, *arguments)[0]

    def die(self) -> None:
        """Kill it, between two calls."""
        self.tell(DIE)
        self._process.join(ANSWER_SECONDS)
        if self._process.exitcode != -signal.SIGKILL:
            raise PeerProblem(f"{self.name} is not dead (exit code {self._process.exitcode})")

    def dies_at(self, kill_at: int, command: str, *arguments: Any) -> None:
        """Let it make one call, in which it is killed before its line ``kill_at``."""
        self.tell(command, kill_at, *arguments)
        self._process.join(ANSWER_SECONDS)
        if self._process.exitcode != -signal.SIGKILL:
            raise PeerProblem(f"{self.name} was to be killed at line {kill_at} of its call, and was not")

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self.line.send((END,))
        self._process.join(END_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()
        self.line.close()
