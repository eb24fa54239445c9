"""Every exception that this package raises on purpose.

Rules: each derives from :class:`RingBufferError` and from the built-in that a caller would already catch; its text says
what happened, to whom, and what to do; what a program may want to read from it is an attribute.
Limits: a fault of the operating system that we cannot explain better (``PermissionError`` and the like) passes unchanged.
"""

from __future__ import annotations

import errno
import os
import pickle


def _rebuild(cls: type[RingBufferError], args: tuple[object, ...], attributes: dict[str, object]) -> RingBufferError:
    error = cls.__new__(cls, *args)  # an OSError without an __init__ of its own takes its arguments here, the others below
    base = next(base for base in (OSError, ImportError, Exception) if isinstance(error, base))
    base.__init__(error, *args)
    error.__dict__.update(attributes)
    return error


class RingBufferError(Exception):
    """Base of all errors of this package. All of them survive pickling, so a pool of processes can pass them on.

    Attributes: ``sent_bytes`` and ``total_bytes``, of a message that was being sent: how much of it the readers have been given
    (0 unless it takes several blocks), and how much it is in all.
    """

    sent_bytes: int = 0
    total_bytes: int = 0

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class GeometryError(RingBufferError, ValueError):
    """A ring was asked for with a number of readers, blocks or bytes that cannot be."""


class RankError(RingBufferError, ValueError):
    """A rank is neither -1 (the writer) nor one of ``0 .. n_reader - 1``."""


class RoleTaken(RingBufferError, RuntimeError):
    """A rank of a ring is in use already."""


class WrongSideError(RingBufferError, RuntimeError):
    """A reader was asked to write, or the writer to read."""


class EndpointBusyError(RingBufferError, RuntimeError):
    """An endpoint was used while it was in use already: nested, or from a second thread."""


class ClosedError(RingBufferError, ValueError):
    """A ring or an endpoint was used after ``close()``."""


class ForkedError(RingBufferError, RuntimeError):
    """An endpoint was used in a forked child, where it is a copy of its parent's."""


class BlockEscapedError(RingBufferError, BufferError):
    """Something outside the ``with`` still refers to the block, so the block can be neither published nor marked as read."""


class WaitTimeoutError(RingBufferError, TimeoutError):
    """The time ran out; nothing was changed, and the next call goes on from here.

    Attributes: ``side`` ("writer" or "reader"), ``rank`` (-1 for the writer), ``pid``, ``block_index``, ``case``
    (1 to 4, or ``None`` where the flags are no case), ``missing_ranks`` (the readers that have not read the block),
    ``waited_seconds``.
    """

    def __init__(
        self,
        message: str,
        *,
        side: str,
        rank: int,
        pid: int,
        block_index: int,
        case: int | None,
        missing_ranks: tuple[int, ...],
        waited_seconds: float,
    ) -> None:
        super().__init__(message)
        self.side = side
        self.rank = rank
        self.pid = pid
        self.block_index = block_index
        self.case = case
        self.missing_ranks = missing_ranks
        self.waited_seconds = waited_seconds


class WaitCancelledError(RingBufferError, InterruptedError):
    """Another thread has called ``cancel()``; nothing was changed, and the next call goes on from here."""


class PeerDied(RingBufferError, ConnectionError):
    """Whoever is waited for is gone, and cannot come back by itself; nothing was changed.

    Attributes: ``rank`` (-1 for the writer) and ``pid`` of who is gone, ``block_index`` and ``case`` (1 to 4, or ``None`` where
    the flags are no case) of the block that is waited for, ``seconds_ago``: how long it is gone at the most, ``left``: whether
    it closed its end in good order (and nobody can take its place, as the ring is unlinked).
    """

    def __init__(
        self, message: str, *, rank: int, pid: int, block_index: int, case: int | None, seconds_ago: float, left: bool
    ) -> None:
        super().__init__(message)
        self.rank = rank
        self.pid = pid
        self.block_index = block_index
        self.case = case
        self.seconds_ago = seconds_ago
        self.left = left


class EncodeError(RingBufferError, pickle.PicklingError):
    """An object cannot be pickled; nothing was written. The cause is chained. Or the rest of one is gone (see ``resume``)."""


class DecodeError(RingBufferError, pickle.UnpicklingError):
    """A message cannot be unpickled, or contradicts itself. It is consumed, and ``raw`` has its bytes; the cause is chained."""

    def __init__(self, message: str, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class FrameError(RingBufferError, ValueError):
    """A block does not hold a message that this call can take, or not the one that comes next. The message stays unread."""


class SegmentMissingError(RingBufferError, FileNotFoundError):
    """No shared memory of that name: its creator has unlinked it, or has ended."""

    def __init__(self, name: str) -> None:
        super().__init__(
            errno.ENOENT,
            f"no shared-memory segment {name!r}: its creator has unlinked it or has ended, or it lives on another machine or"
            " in another container; keep the creating ring open until every process has attached",
        )


class SegmentAccessError(RingBufferError, PermissionError):
    """A segment belongs to another user, or its mode does not let this one in. Attributes: ``name``, ``owner_uid``."""

    def __init__(self, name: str, owner_uid: int, mode: int) -> None:
        super().__init__(
            errno.EACCES,
            f"no permission for segment {name!r}: it belongs to the user with number {owner_uid}, its mode is"
            f" {mode & 0o777:03o}, and this process runs as {os.geteuid()}; run as the user who made it",
        )
        self.name = name
        self.owner_uid = owner_uid


class SegmentFormatError(RingBufferError, ValueError):
    """A segment's header is not that of the ring that was asked for. Attributes: ``name``, ``field``."""

    def __init__(self, name: str, field: str, detail: str) -> None:
        super().__init__(f"segment {name!r} is not the ring that was asked for: {field}: {detail}")
        self.name = name
        self.field = field


class SegmentSpaceError(RingBufferError, OSError):
    """The shared-memory file system has no room for the segment; nothing was created. Attribute: ``total_bytes``."""

    def __init__(self, total_bytes: int, why: str) -> None:
        super().__init__(
            errno.ENOSPC,
            f"no room in shared memory for a ring of {total_bytes} bytes ({why}); nothing was created. Use fewer or smaller"
            " blocks, remove stale segments, or enlarge /dev/shm (in a container: --shm-size)",
        )
        self.total_bytes = total_bytes


class UnsupportedPlatformError(RingBufferError, RuntimeError):
    """This machine cannot run the real ring: its memory is too weakly ordered for pure Python, or it lacks POSIX shm."""


class BackendError(RingBufferError, RuntimeError):
    """``RINGBUFFER_BACKEND`` asks for something that is no backend, or for the extension in C where it is not installed."""


class GroupError(RingBufferError, RuntimeError):
    """A process group cannot share one ring: its ranks are on several machines, or one of them could not attach."""


class VariantError(RingBufferError, ValueError):
    """An edit of the tables, or a question about one, makes no sense; the text names the row and the rule."""


class TokenError(RingBufferError, ValueError):
    """A replay token is not one of ours, is damaged, or belongs to other tables."""


class BenchError(RingBufferError, ValueError):
    """A benchmark was asked for that makes no sense: an unknown peer, payload or measure, or a number out of range."""


class VectorError(RingBufferError, ValueError):
    """Conformance vectors are not there, were changed after they were published, or say something that is not so here."""


class MissingExtraError(RingBufferError, ImportError):
    """A feature needs an optional dependency that is not installed; the text names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}: pip install 'shm-ringbuffer-reference[{extra}]'")
        self.extra = extra


class TraceFileError(TokenError):
    """A file of a run cannot be read or written, is not one, or tells of a step that the tables do not have."""


class ReadOnlyError(RingBufferError, ValueError):
    """A message that was lent out to be read was written to. The text says to which part of it."""
