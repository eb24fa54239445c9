"""The ring: its geometry, its segment, and who may end it.

Rules: creating reserves all memory; pickling passes a handle, and unpickling attaches; ``close()`` lets go of the memory in
this process, ``unlink()`` removes the name for all; leaving a ``with`` does what is this process's to do. A creator that
ends without either removes the name all the same. Limits: a rank has one endpoint per ring object; that two ring objects, or
two processes, use one rank, is noticed when an endpoint claims it.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

from ringbuffer.errors import BlockEscapedError, ClosedError, RankError, RoleTaken, SegmentFormatError
from ringbuffer.memory.layout import Layout
from ringbuffer.memory.participants import others_than
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import PROTOCOL, Case, Variant, classify
from ringbuffer.ranks import name_of

if TYPE_CHECKING:
    from ringbuffer.endpoint import ShmRingBufferIO


def _attach(
    n_reader: int, max_chunk_bytes: int, max_chunks: int, name: str, identity: bytes, protocol: Variant
) -> ShmRingBuffer:
    """What unpickling a ring calls."""
    ring = ShmRingBuffer(n_reader, max_chunk_bytes, max_chunks, name, protocol=protocol)
    found = ring.segment.header.identity
    if found != identity:
        ring.close()
        raise SegmentFormatError(name, "identity", "the segment was made anew after this handle was")
    return ring


class ShmRingBuffer:
    """K blocks of shared memory through which one writer broadcasts to N readers.

    ``n_reader``: how many readers; each gets every message. ``max_chunk_bytes``: the payload of a block. ``max_chunks``: how
    many blocks, that is, how many messages the writer can be ahead of the slowest reader. Without ``name`` a new segment is
    made, and with it that segment is attached, which must have this geometry. ``protocol``: the tables to run; anything but
    the shipped ones is for experiments.

    Attributes: ``name`` (of the segment), ``n_reader``, ``max_chunk_bytes``, ``max_chunks``, ``protocol``, ``is_creator``.
    Raises :class:`GeometryError`, :class:`SegmentSpaceError`, :class:`SegmentMissingError`, :class:`SegmentFormatError`.
    """

    def __init__(
        self,
        n_reader: int,
        max_chunk_bytes: int,
        max_chunks: int,
        name: str | None = None,
        *,
        protocol: Variant = PROTOCOL,
    ) -> None:
        layout = Layout(n_reader, max_chunk_bytes, max_chunks)
        if name is None:
            self.segment = Segment.create(layout, initial_read_flag=protocol.initial_read_flag)
        else:
            self.segment = Segment.attach(name)
            if self.segment.layout != layout:
                found = self.segment.layout
                self.segment.close()
                raise SegmentFormatError(name, "geometry", f"the segment has {found}, and {layout} was asked for")
        self.name = self.segment.name
        self.n_reader = n_reader
        self.max_chunk_bytes = max_chunk_bytes
        self.max_chunks = max_chunks
        self.protocol = protocol
        self._creator_pid = os.getpid() if name is None else None
        self._closed = False
        self._endpoints: dict[int, weakref.ref[ShmRingBufferIO]] = {}
        self._pid = os.getpid()
        self._roles_lock = threading.RLock()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        size = f"{self.n_reader} readers, {self.max_chunks} blocks of {self.max_chunk_bytes} bytes"
        return f"<ShmRingBuffer {self.name}: {size}{state}>"

    def __reduce__(self) -> tuple[object, ...]:
        self.check_open()
        identity = self.segment.header.identity
        return _attach, (self.n_reader, self.max_chunk_bytes, self.max_chunks, self.name, identity, self.protocol)

    def __enter__(self) -> ShmRingBuffer:
        self.check_open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_creator:
            self.unlink()
        try:
            self.close()
        except BlockEscapedError:
            if kind is None:  # else what went wrong in the body, which often keeps such references, is what its caller must see
                raise

    @property
    def is_creator(self) -> bool:
        """Whether this process made the segment. A forked child of it did not."""
        return self._creator_pid == os.getpid()

    def check_open(self) -> None:
        """Raise :class:`ClosedError` after ``close()``."""
        if self._closed:
            raise ClosedError(f"the ring {self.name} is closed in this process")

    def flags(self, block_index: int) -> bytes:
        """A block's flags as they are now: the written flag, then one read flag per reader.

        Raises ``IndexError`` for a block that the ring does not have.
        """
        self.check_open()
        if not 0 <= block_index < self.max_chunks:
            raise IndexError(f"block {block_index} of ring {self.name}, which has blocks 0 to {self.max_chunks - 1}")
        with self.segment.flags(block_index) as view:
            return bytes(view)

    def case(self, block_index: int) -> Case:
        """The case of a block as its flags are now. Raises ``ValueError`` where they are no case."""
        return classify(self.flags(block_index))

    def close(self) -> None:
        """Close this process's endpoints, and let go of the memory. The segment lives on for the others.

        Closing again does nothing. Raises :class:`EndpointBusyError` while a block is held inside a ``with``, and changes
        nothing; raises :class:`BlockEscapedError` while something still refers to the ring's memory: then the endpoints are
        closed, the memory is not, and closing again later does the rest.
        """
        endpoints = [end for end in (reference() for reference in self._endpoints.values()) if end is not None]
        for end in endpoints:
            end._check_no_block_held()
        for end in endpoints:
            end._close_endpoint()
        self._closed = True
        try:
            self.segment.close()
        except BufferError:
            raise BlockEscapedError(
                f"something still refers to the memory of ring {self.name} (an array, or a slice of a block that was kept);"
                " let go of it and close again"
            ) from None

    def unlink(self) -> None:
        """Remove the segment's name, so that nobody can attach any more; those who have go on. Again does nothing."""
        self.segment.unlink()

    def _adopt(self, rank: int, endpoint: ShmRingBufferIO) -> None:
        """Note an endpoint of this ring object: its rank is taken from here on."""
        self._endpoints[rank] = weakref.ref(endpoint)

    def _forget(self, rank: int, endpoint: object) -> None:
        """An endpoint of this ring object was closed: its rank is free again."""
        if self._endpoints.get(rank, _nobody)() is endpoint:
            del self._endpoints[rank]

    def _check_rank(self, rank: int) -> None:
        """Raise :class:`RankError` or :class:`ClosedError` unless ``rank`` can have an endpoint here at all."""
        self.check_open()
        if not isinstance(rank, int) or isinstance(rank, bool) or not -1 <= rank < self.n_reader:
            readers = f"0 to {self.n_reader - 1}" if self.n_reader else "none, as this ring has no readers"
            raise RankError(f"rank {rank!r} is not of ring {self.name}: -1 is the writer, and the readers' ranks are {readers}")
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._endpoints = {}
            self._roles_lock = threading.RLock()  # the parent's may have been taken by a thread that is not here

    def _check_free(self, rank: int) -> None:
        """Raise :class:`RoleTaken` if that rank has an endpoint of this ring object, which claiming does not tell.

        From here until :meth:`_adopt`, ``_roles_lock`` is held: endpoints of one ring object share its locks on roles.
        """
        if self._endpoints.get(rank, _nobody)() is not None:
            raise RoleTaken(
                f"{name_of(rank)} of ring {self.name} has an endpoint in this process already (pid {os.getpid()}); use that"
                f" one, or close it first; {others_than(rank)}"
            )


def _nobody() -> None:
    """What an endpoint is that is not there."""
