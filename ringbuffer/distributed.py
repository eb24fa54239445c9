"""One ring for the ranks of a ``torch.distributed`` group: made once, by the writer, and attached by all others.

Rules:

* All ranks or none. The endpoint is returned on every rank, or every rank raises and the ring is gone: a rank that fails
  tells the others first, then raises its own error; theirs is a :class:`GroupError` that quotes it.
* What can be refused beforehand is refused before anything is made, by every rank from the same facts: each says where it
  runs and what it was called with, so nobody waits for a rank that has left.
* Ranks are those inside the group. In the order of the group, those that do not write become readers ``0 .. n - 2``.
* This is the only module that imports torch, and of it only the public functions of ``torch.distributed``.

Limits: all ranks must make the call, and their collectives in one order; how long they wait for one that does not is the
group's own timeout. If a rank dies or is interrupted on the way, the error that torch reports passes unchanged, and this
rank's part is cleaned up. If it dies in the very last exchange, some may have got their endpoint already. Tried with the gloo
backend only. As in torch's own object collectives, ranks unpickle what the others send.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import torch.distributed as dist

from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.errors import GroupError, RankError
from ringbuffer.ring import ShmRingBuffer

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux says which boot of which kernel this is."""
SHARED_MEMORY: Final = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory: a segment is a file in there."""

_T = TypeVar("_T")


def create_from_process_group(
    group: dist.ProcessGroup | None,
    max_chunk_bytes: int,
    max_chunks: int,
    writer_rank: int = 0,
) -> ShmRingBufferIO:
    """Make a ring for ``group``, and return this rank's end of it. A collective call: all ranks of the group make it, alike.

    ``group``: a process group that this process is in, on one machine; ``None`` is the default group. ``max_chunk_bytes``
    and ``max_chunks`` are those of :class:`ShmRingBuffer`. ``writer_rank``: the rank inside the group that writes.

    The endpoint owns its ring: closing it closes the ring, and the writer's removes its name.

    Raises :class:`RankError` where no rank of the group is ``writer_rank``; :class:`GroupError` where there is no such group,
    its ranks cannot reach one another's shared memory or were called with different arguments, or another rank failed; and on
    a rank that fails itself the error at fault, such as :class:`GeometryError` or :class:`SegmentSpaceError`.
    """
    members = _members_of(group)
    asked = f"max_chunk_bytes={max_chunk_bytes!r}, max_chunks={max_chunks!r}, writer_rank={writer_rank!r}"
    _check_statements(members.gather(_Statement(asked, _machine())), writer_rank, members)
    with _Attempt() as attempt:
        if members.rank == writer_rank:
            members.broadcast(attempt.create(members.count - 1, max_chunk_bytes, max_chunks), writer_rank)
        else:
            handle = members.broadcast(None, writer_rank)
            if handle is not None:
                attempt.attach(handle, members.rank - (members.rank > writer_rank))
        return attempt.settle(members)


@dataclass(frozen=True, slots=True)
class _Machine:
    """Where a process runs. Equal for two processes that see the same shared memory under the same names."""

    host: str = field(compare=False)
    """For the reader of an error only: containers of one machine can share its memory, and have host names of their own."""
    kernel: str
    shared_memory: str

    def __str__(self) -> str:
        return f"host {self.host} (boot {self.kernel}, {SHARED_MEMORY} {self.shared_memory})"


def _machine() -> _Machine:
    """Where this process runs.

    Under one kernel, device and inode say which directory ``/dev/shm`` is, and the names of segments are names in it. So two
    containers that share the directory may share a ring, although their namespaces differ; two that do not, may not.
    """
    host = os.uname().nodename
    try:
        kernel = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        kernel = f"of {host}"
    try:
        found = SHARED_MEMORY.stat()
    except OSError:
        # The platform may keep its shared memory elsewhere; where it has none, creating or attaching says so.
        return _Machine(host, kernel, "not found")
    return _Machine(host, kernel, f"device {found.st_dev:#x} inode {found.st_ino}")


@dataclass(frozen=True, slots=True)
class _Statement:
    """What each rank tells the others before anything is made."""

    asked: str
    machine: _Machine


@dataclass(frozen=True, slots=True)
class _Members:
    """A process group as one of its ranks sees it."""

    group: dist.ProcessGroup | None
    rank: int
    global_ranks: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.global_ranks)

    def gather(self, said: _T) -> list[_T]:
        """What each rank says, in the order of the group."""
        heard: list[_T] = [said] * self.count
        dist.all_gather_object(heard, said, group=self.group)
        return heard

    def broadcast(self, said: bytes | None, source_rank: int) -> bytes | None:
        """What the rank ``source_rank`` says."""
        heard = [said]
        dist.broadcast_object_list(heard, src=self.global_ranks[source_rank], group=self.group)
        return heard[0]

    def name(self, rank: int) -> str:
        """A rank, for error texts."""
        return f"rank {rank} (global rank {self.global_ranks[rank]})"


def _members_of(group: dist.ProcessGroup | None) -> _Members:
    """Raises :class:`GroupError` unless this process is in the group."""
    if not dist.is_available():
        raise GroupError("this torch was built without torch.distributed, so it has no process groups; install one that has it")
    if not dist.is_initialized():
        raise GroupError("there is no process group yet: call torch.distributed.init_process_group first, on every rank")
    if group is None:
        group = dist.group.WORLD  # Not every release of torch that we run with lists the ranks of None.
    rank = dist.get_rank(group)
    if rank < 0:
        raise GroupError(
            f"this process (global rank {dist.get_rank()}, pid {os.getpid()}) is not in the group; only its members make the"
            " call"
        )
    global_ranks = tuple(dist.get_process_group_ranks(group))
    assert len(global_ranks) == dist.get_world_size(group), "torch lists every member of the group once"
    return _Members(group, rank, global_ranks)


def _check_statements(heard: list[_Statement], writer_rank: int, members: _Members) -> None:
    """Raises on every rank or on none, as all judge the same statements: :class:`GroupError`, :class:`RankError`."""
    # First the arguments: until they are known to be the same, writer_rank is this rank's opinion only.
    if len({statement.asked for statement in heard}) > 1:
        calls = "; ".join(f"{members.name(rank)}: {statement.asked}" for rank, statement in enumerate(heard))
        raise GroupError(f"the ranks of the group asked for different rings: {calls}. Make the same call on all of them")
    is_rank = isinstance(writer_rank, int) and not isinstance(writer_rank, bool)
    if not is_rank or not 0 <= writer_rank < members.count:
        raise RankError(
            f"writer_rank is {writer_rank!r}, and a group of {members.count} has the ranks 0 to {members.count - 1}; it counts"
            " inside the group, and is not a global rank"
        )
    here = heard[writer_rank].machine
    elsewhere = [f"{members.name(rank)} on {said.machine}" for rank, said in enumerate(heard) if said.machine != here]
    if elsewhere:
        raise GroupError(
            f"a ring lives in one machine's shared memory: the writer, {members.name(writer_rank)}, is on {here}, and elsewhere"
            f" are {'; '.join(elsewhere)}. Make one group, and one ring, per machine (or per container, where each has a"
            f" {SHARED_MEMORY} of its own)"
        )


class _Attempt:
    """This rank's part in making the ring: an endpoint, or the error that came instead. A ``with`` that raises undoes it.

    An error is kept at first, whatever it is, because a rank that raised at once would leave the others waiting.
    """

    def __init__(self) -> None:
        self._end: ShmRingBufferIO | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._error = None  # The error's traceback refers to this object: without the cycle, all goes as soon as it is handled.
        if kind is not None and self._end is not None:
            self._end.close()

    def create(self, n_reader: int, max_chunk_bytes: int, max_chunks: int) -> bytes | None:
        """Make the ring and its writer. Returns what readers attach by, or ``None`` if that failed.

        The ring is pickled here, not by torch, so that an error in unpickling it is a reader's own, and can be reported.
        """
        with self._noting_errors():
            ring = ShmRingBuffer(n_reader, max_chunk_bytes, max_chunks)
            self._end = _owning_endpoint(ring, -1)
            return pickle.dumps(ring)
        return None

    def attach(self, handle: bytes, reader_rank: int) -> None:
        """Attach the ring, and make its reader ``reader_rank``."""
        with self._noting_errors():
            self._end = _owning_endpoint(pickle.loads(handle), reader_rank)

    def settle(self, members: _Members) -> ShmRingBufferIO:
        """Tell all ranks how it went, and hear how it went there. Raises unless it went well everywhere."""
        reports = members.gather(None if self._error is None else f"{type(self._error).__name__}: {self._error}")
        if self._error is not None:
            raise self._error
        failed = [f"{members.name(rank)}: {report}" for rank, report in enumerate(reports) if report is not None]
        if failed:
            raise GroupError(f"no ring was made, because not every rank could do its part: {'; '.join(failed)}")
        assert self._end is not None, "a rank without an error has an endpoint, if the writer had no error"
        return self._end

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._error = error


def _owning_endpoint(ring: ShmRingBuffer, reader_rank: int) -> ShmRingBufferIO:
    """An endpoint that closes its ring with itself, since nobody else holds the ring."""
    try:
        end = ShmRingBufferIO(ring, reader_rank)
    except BaseException:
        ring.__exit__(None, None, None)
        raise
    end._owns_ring = True
    return end
