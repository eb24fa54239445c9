"""The adapters of this project's own ring: ``ringbuffer.conformance.own:native`` and ``ringbuffer.conformance.own:python``.

Rules: everything that an adapter may offer is offered. Limits: under the scheduler, which sees Python only, a call of the
extension is one step; below that, ``lockstep`` steps the rows themselves, on either backend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ringbuffer import ShmRingBuffer, ShmRingBufferIO, WaitOptions
from ringbuffer.compiled import FOUND, Runner, bind
from ringbuffer.environment import variable_set
from ringbuffer.errors import PeerDied, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE, PYTHON, VARIABLE
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Program

_PACKAGE: Final = Path(__file__).parents[1]
STEPPED: Final = (
    "<rows of",  # how the names of printed rows begin
    *(str(_PACKAGE / "endpoint" / f"{name}.py") for name in ("__init__", "hold", "inbox", "outbox", "waiter")),
    str(_PACKAGE / "codec" / "frames.py"),
)
"""The files in whose lines others may come in between: those that touch a block, or call what does."""


class _GivenUp(Exception):
    """What a body raises that gives its block up."""


class _Napping:
    """A runner whose sleep is a short one of Python's, of which a scheduler in this process knows, and not one in the
    kernel; and which never looks again inside of itself, where nobody else would come to run."""

    def __init__(self, runner: Runner) -> None:
        object.__setattr__(self, "_runner", runner)

    def __getattr__(self, name: str) -> Any:
        return False if name == "can_rest" else getattr(self._runner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._runner, name, value)


class _NappingIO(ShmRingBufferIO):
    """An endpoint that naps."""

    @staticmethod
    def _bind(program: Program, segment: Segment, rank: int) -> Any:  # type: ignore[override]
        return _Napping(bind(program, segment, rank))


class Ring:
    """One of our rings, on one backend."""

    peer_error = PeerDied

    def __init__(self, ring: ShmRingBuffer, backend: str) -> None:
        self.ring, self.backend = ring, backend
        self._naps = False

    def __reduce__(self) -> tuple[object, ...]:
        return Ring, (self.ring, self.backend)

    def writer(self) -> Writer:
        """The writer's end."""
        return Writer(self._end(-1), peeks=self._naps)

    def reader(self, rank: int) -> Reader:
        """A reader's end."""
        return Reader(self._end(rank), peeks=self._naps)

    def _end(self, rank: int) -> ShmRingBufferIO:
        with variable_set(VARIABLE, self.backend):
            if self._naps:
                return _NappingIO(self.ring, rank, waiting=WaitOptions(0, 0.0))
            return ShmRingBufferIO(self.ring, rank)

    def close(self) -> None:
        """Let go of the ring; its creator removes it."""
        if self.ring.is_creator:
            self.ring.unlink()
        self.ring.close()

    def sleep_in_python(self) -> None:
        """Ends that are made from now on sleep where a scheduler sees it, and try without saying in shared memory that they
        wait.

        Each such note would wake the others, of whom one that tries again and again would never let a slower one go on.
        """
        self._naps = True

    def is_code(self, file: str) -> bool:
        """Whether a source file is the ring's."""
        return file.startswith(STEPPED)

    def lockstep(self, examples: int) -> None:
        """Step the rows beside the model."""
        from ringbuffer.checker.lockstep import sample

        with variable_set(VARIABLE, self.backend):
            sample(examples=examples)


class Writer:
    """Our writer. ``peeks``: tries look before they call."""

    def __init__(self, end: ShmRingBufferIO, *, peeks: bool) -> None:
        self.end, self._peeks = end, peeks

    def try_write(self, data: bytes) -> bool:
        """Without waiting."""
        if self._peeks and self.end._runner.seek(0, 0.0) != FOUND:
            return False
        return self.write(data, 0)

    def write(self, data: bytes, timeout: float | None) -> bool:
        """Waiting."""
        try:
            self.end.send_bytes(data, timeout)
        except WaitTimeoutError:
            return False
        return True

    def abort_write(self, data: bytes) -> bool:
        """A body that raises."""
        try:
            with self.end.acquire_write(timeout=0) as block:
                block[: len(data)] = data
                raise _GivenUp
        except WaitTimeoutError:
            return False
        except _GivenUp:
            return True

    def close(self) -> None:
        """Close the end."""
        self.end.close()


class Reader:
    """Our reader. ``peeks``: tries look before they call."""

    def __init__(self, end: ShmRingBufferIO, *, peeks: bool) -> None:
        self.end, self._peeks = end, peeks

    def try_read(self) -> bytes | None:
        """Without waiting."""
        if self._peeks and self.end._runner.seek(0, 0.0) != FOUND:
            return None
        return self.read(0)

    def read(self, timeout: float | None) -> bytes | None:
        """Waiting."""
        try:
            return self.end.recv_bytes(timeout)
        except WaitTimeoutError:
            return None

    def abort_read(self) -> bytes | None:
        """A body that raises."""
        seen: bytes | None = None
        try:
            with self.end.read(timeout=0) as message:
                seen = bytes(message)
                raise _GivenUp
        except (WaitTimeoutError, _GivenUp):
            return seen

    def close(self) -> None:
        """Close the end."""
        self.end.close()


def native(readers: int, blocks: int, block_bytes: int) -> Ring:
    """Our ring, on the extension in C."""
    return Ring(ShmRingBuffer(readers, block_bytes, blocks), NATIVE)


def python(readers: int, blocks: int, block_bytes: int) -> Ring:
    """Our ring, on compiled Python."""
    return Ring(ShmRingBuffer(readers, block_bytes, blocks), PYTHON)
