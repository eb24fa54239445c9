"""What stands in the place of an endpoint's calls when they cannot be made: errors, and the fast way that is shut.

An endpoint that cannot be used, or not so, is closed, a copy in a forked child, or of the other side.

Rules: plain functions, which an endpoint keeps one of: a method of its own would make a cycle of it, and an endpoint that is
forgotten is gone at once. Limits: this is a part of the endpoint, whose private parts it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ringbuffer.compiled import BUSY
from ringbuffer.errors import ClosedError, ForkedError, RingBufferError, WrongSideError
from ringbuffer.protocol import Role

if TYPE_CHECKING:
    from ringbuffer.endpoint.usage import Usage

Refusal: TypeAlias = Callable[["Usage", str], RingBufferError]
"""Makes the error for a call of that name."""

NOTHING: Final[Iterator[Any]] = iter(())
"""What stands in the place of the fast way of receiving while it is shut."""


def wrong_side_error(end: Usage, call: str) -> RingBufferError:
    """For a reader that is to write, or a writer that is to read."""
    other = "the writer (rank -1)" if end.role is Role.READER else "a reader (rank 0 or more)"
    return WrongSideError(f"{call} is for {other}, and this endpoint is {end._name()} of ring {end.buffer.name}")


def closed_error(end: Usage, call: str) -> RingBufferError:
    """For an endpoint that was closed."""
    return ClosedError(f"{call}: {end._name()} of ring {end.buffer.name} is closed")


def ended_wait(end: Usage) -> RingBufferError | None:
    """For a call that waits: the error that ends it, if its endpoint cannot be used any more."""
    if end._refuse is closed_error:
        return ClosedError(
            f"{end._name()} of ring {end.buffer.name} was closed, by another thread or a signal handler, while a call on it"
            " waited. Nothing was changed"
        )
    return None if end._refuse is None else end._refuse(end, "a call that waits")


def forked_error(end: Usage, call: str) -> RingBufferError:
    """For the copy of an endpoint in a forked child."""
    return ForkedError(
        f"{call}: {end._name()} of ring {end.buffer.name} belongs to the process with pid {end._pid}, of which"
        " this one is a fork; make an endpoint with a rank of its own, with ShmRingBufferIO(ring, rank), in the child"
    )


def shut(*_: object) -> int:
    """What stands in the place of the fast way of sending while it is shut: it sends nothing."""
    return BUSY
