"""The real segment: POSIX shared memory, mapped into this process.

``Segment`` creates, attaches, closes and unlinks; it hands out views of blocks and flags, on which the compiled rows
(``compiled.py``) make their accesses.

Rules:

* A new segment is reserved before it is mapped: a file system without room is an error at creation, not a crash (SIGBUS) at
  the first write. The header is written last.
* The creator, and only the creator, tells ``multiprocessing``'s resource tracker of the segment, so that the name goes away
  even if the creator is killed: when the last process that shares its tracker (its parents and children) has ended.
  Attaching tells the tracker nothing: it would unlink the segment under the others (CPython issue 82300). Nothing is patched.
* ``close()`` unmaps; ``unlink()`` removes the name; neither does the other's work.
* The file stays open as long as it is mapped: roles are locks on it (``holding.py``), and so is the creator's duty to remove
  the name. A forked child opens it anew, so that it holds nothing of its parent's. The mapping has an opening of its own,
  because ``mmap`` keeps one, which a forked child would keep as well.

Limits: Linux only. Where a caller still holds a view of the mapping, it stays mapped until that view is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import secrets
import sys
import weakref
from multiprocessing import resource_tracker, util

from ringbuffer.errors import SegmentFormatError, SegmentSpaceError, UnsupportedPlatformError
from ringbuffer.memory import holding
from ringbuffer.memory.files import open_plain
from ringbuffer.memory.layout import AWAKE_BYTES, FRAME_BYTES, HEADER_BYTES, IDENTITY_BYTES, Header, Layout

try:
    import _posixshmem  # type: ignore[import-not-found]
except ImportError:  # pragma: no cover
    _posixshmem = None

NAME_PREFIX = "shm_ring_"
"""How the names of our segments begin; what follows is random."""
_MODE_OWNER_ONLY = 0o600
_ZEROS_CHUNK_BYTES = 1 << 20
_STAT_BLOCK_BYTES = 512
_AWAKE, _ASLEEP = ((1).to_bytes(AWAKE_BYTES, sys.byteorder), bytes(AWAKE_BYTES))


def _open(name: str, flags: int) -> int:
    if _posixshmem is None:  # pragma: no cover
        raise UnsupportedPlatformError("this platform has no POSIX shared memory; the checker runs here, the ring does not")
    descriptor: int = _posixshmem.shm_open("/" + name, flags, mode=_MODE_OWNER_ONLY)
    return descriptor


class _Name:
    """A segment's name, and whether this process owes its removal.

    Each method may be interrupted anywhere and called again: telling the tracker of a name twice is the same as once.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.owner_pid: int | None = None
        self._at_exit: util.Finalize | None = None

    def create(self) -> int:
        """Create the file, and return its descriptor. From here on this process owes the removal."""
        self.owner_pid = os.getpid()
        try:
            descriptor = _open(self.text, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        except OSError:
            self.owner_pid = None  # there is no such file, or it is another's
            raise
        resource_tracker.register("/" + self.text, "shared_memory")
        # Forked children of multiprocessing run no atexit functions before Python 3.13; these they do run.
        self._at_exit = util.Finalize(None, self.remove_if_owed, exitpriority=-1)
        return descriptor

    def remove(self) -> None:
        """Remove the name; no error if it is gone already."""
        owed = self.owner_pid == os.getpid()
        if owed:  # an interrupted create() may not have told the tracker, which complains of names that it does not know
            resource_tracker.register("/" + self.text, "shared_memory")
        with contextlib.suppress(FileNotFoundError):
            _posixshmem.shm_unlink("/" + self.text)
        if owed:
            resource_tracker.unregister("/" + self.text, "shared_memory")
            self.owner_pid = None
            if self._at_exit is not None:
                self._at_exit.cancel()  # a process may make many rings, and the registry would keep them all

    def remove_if_owed(self) -> None:
        """What the end of a segment, or of the process, does. A forked child of the creator owes nothing."""
        if self.owner_pid == os.getpid():
            self.remove()


class _File:
    """A segment's file, opened anew: once to hold locks; when somebody asks, once to ask for the locks of all others; and when
    somebody stands in for another, once to hold what is the other's.

    Who asks by the opening that holds is not told of what that one holds, and who holds by it is not refused what it holds
    already. A forked child has openings of its own instead.
    """

    def __init__(self, descriptor: int) -> None:
        self.asking = self.standing_in = -1
        self.descriptor = holding.reopened(descriptor)
        _open_files.add(self)

    def ask(self, offset: int) -> bool:
        """Whether anybody holds that byte, this process included."""
        if self.asking < 0:
            self.asking = holding.reopened(self.descriptor, os.O_RDONLY)
        return holding.is_held(self.asking, offset)

    def to_stand_in(self) -> int:
        """The opening by which somebody holds what is another's."""
        if self.standing_in < 0:
            self.standing_in = holding.reopened(self.descriptor)
        return self.standing_in

    def after_fork_in_child(self) -> None:
        """Open anew, and close what is the parent's."""
        inherited, others = self.descriptor, (self.asking, self.standing_in)
        self.descriptor = self.asking = self.standing_in = -1
        if inherited >= 0:
            with contextlib.suppress(OSError):  # without /proc, or out of descriptors: roles cannot be claimed here
                self.descriptor = holding.reopened(inherited)
            os.close(inherited)
        for other in others:
            if other >= 0:
                os.close(other)

    def close(self) -> None:
        """Close it, and so let go of all roles; again does nothing."""
        for descriptor in (self.descriptor, self.asking, self.standing_in):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self.asking = self.standing_in = -1

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            self.close()


_open_files: weakref.WeakSet[_File] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for file in list(_open_files):
        file.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Segment:
    """One mapped segment. Make one with :meth:`create` or :meth:`attach`.

    A segment that its creator forgets, or that is alive when the creator ends, loses its name.
    """

    def __init__(self, name: _Name, file: _File, mapping: mmap.mmap, header: Header, layout: Layout) -> None:
        self._name = name
        self._finalizer = weakref.finalize(self, name.remove_if_owed)
        self.name = name.text
        self.header = header
        self.layout = layout
        self._file = file
        self._mapping = mapping
        self._view = memoryview(mapping)
        self._readonly = self._view.toreadonly()

    @classmethod
    def create(cls, layout: Layout, *, initial_read_flag: int = 0) -> Segment:
        """Make a new segment with a name of its own, zeroed and reserved.

        Raises :class:`SegmentSpaceError` when there is no room, and then nothing is left behind.
        """
        holding.require_support()
        identity = secrets.token_bytes(IDENTITY_BYTES)
        name = _Name(NAME_PREFIX + identity.hex()[:16])
        try:
            descriptor = name.create()
            try:
                file = _File(descriptor)
                holding.hold(file.descriptor, holding.CREATOR_BYTE)
                mapping = _mapped_anew(descriptor, layout.total_bytes)
            finally:
                os.close(descriptor)
            header = Header.of(layout, initial_read_flag=initial_read_flag, creator_pid=os.getpid(), identity=identity)
            segment = cls(name, file, mapping, header, layout)
            for block_index in range(layout.max_chunks if initial_read_flag else 0):
                segment.read_flags(block_index)[:] = bytes([initial_read_flag]) * layout.n_reader
            for rank in range(-1, layout.n_reader):
                segment.say_awake(rank)
            packed = header.pack()
            segment._view[: len(packed)] = packed
            return segment
        except BaseException:
            name.remove_if_owed()
            raise

    @classmethod
    def attach(cls, name: str) -> Segment:
        """Map an existing segment, and check every field of its header.

        Raises :class:`SegmentMissingError` when there is none of that name, and :class:`SegmentFormatError` when it is not a
        segment of ours; :class:`SegmentAccessError` when it is somebody else's.
        """
        if not isinstance(name, str):
            raise SegmentFormatError(str(name), "name", "a name is a text")
        holding.require_support()
        descriptor = open_plain(name, os.O_RDWR)
        try:
            found = os.fstat(descriptor)
            header, layout = Header.read(name, os.pread(descriptor, HEADER_BYTES, 0), found.st_size)
            if found.st_blocks * _STAT_BLOCK_BYTES < layout.total_bytes:
                raise SegmentFormatError(name, "size", "there is no memory behind all of its bytes; another program made it")
            file, mapping = _File(descriptor), mmap.mmap(descriptor, layout.total_bytes)
        finally:
            os.close(descriptor)
        return cls(_Name(name), file, mapping, header, layout)

    @property
    def descriptor(self) -> int:
        """The open file, on which roles are held. Raises :class:`UnsupportedPlatformError` where a fork could not reopen it."""
        if self._file.descriptor < 0:
            raise UnsupportedPlatformError(
                f"this process is a fork, and could not open segment {self.name} anew, which it needs to claim a role (no"
                " /proc, or too many open files); start it with spawn, and attach there"
            )
        return self._file.descriptor

    @property
    def standing_in(self) -> int:
        """The open file by which this process holds, for a moment, the role of somebody who is gone."""
        assert self.descriptor >= 0, "or this has raised"
        return self._file.to_stand_in()

    def is_held(self, offset: int) -> bool:
        """Whether anybody, this process included, holds the role whose participant's entry begins there."""
        assert self.descriptor >= 0, "or this has raised"
        return self._file.ask(offset)

    @property
    def is_unlinked(self) -> bool:
        """Whether the name is gone, so that nobody can attach any more."""
        return os.fstat(self.descriptor).st_nlink == 0

    def say_awake(self, rank: int, *, awake: bool = True) -> None:
        """Store in the word that says whether the writer (rank -1) or that reader is awake."""
        start = self.layout.word_offset(rank)
        self._view[start : start + AWAKE_BYTES] = _AWAKE if awake else _ASLEEP

    def frame(self, block_index: int) -> memoryview:
        """A block, writable: its frame header, then its payload."""
        start = self.layout.block_offset(block_index)
        return self._view[start : start + FRAME_BYTES + self.layout.max_chunk_bytes]

    def readonly_frame(self, block_index: int) -> memoryview:
        """A block, read-only."""
        start = self.layout.block_offset(block_index)
        return self._readonly[start : start + FRAME_BYTES + self.layout.max_chunk_bytes]

    def sequence(self, block_index: int) -> int:
        """The number that a block's frame says it holds. It means something only where nobody can be writing it."""
        start = self.layout.block_offset(block_index)
        return int.from_bytes(self._view[start : start + 8], "little")

    def payload(self, block_index: int) -> ctypes.Array[ctypes.c_char]:
        """A block's payload as an object that can lend out views of itself, and whose references can be counted."""
        start = self.layout.block_offset(block_index) + FRAME_BYTES
        return (ctypes.c_char * self.layout.max_chunk_bytes).from_buffer(self._mapping, start)

    def flags(self, block_index: int) -> memoryview:
        """A block's flags: the written flag, then the read flags."""
        start = self.layout.entry_offset(block_index)
        return self._view[start : start + self.layout.entry_bytes]

    def read_flags(self, block_index: int) -> memoryview:
        """A block's read flags."""
        start = self.layout.entry_offset(block_index)
        return self._view[start + 1 : start + self.layout.entry_bytes]

    def bytes_at(self, offset: int, size_bytes: int) -> bytes:
        """A copy of some bytes of the segment."""
        return bytes(self._view[offset : offset + size_bytes])

    def whole(self) -> memoryview:
        """All of the segment, writable."""
        return self._view[:]

    def unlink(self) -> None:
        """Remove the name, so that nobody can attach any more; those who have attached go on. Again does nothing."""
        self._name.remove()

    def close(self) -> None:
        """Unmap. Raises ``BufferError`` while somebody holds a view of a block; closing again does nothing."""
        self._readonly.release()
        self._view.release()
        self._mapping.close()
        self._file.close()


def _mapped_anew(descriptor: int, total_bytes: int) -> mmap.mmap:
    """Give a new file its size, and map it. Raises :class:`SegmentSpaceError` when there is no room."""
    try:
        _reserve(descriptor, total_bytes)
        return mmap.mmap(descriptor, total_bytes)
    except (OSError, ValueError, OverflowError) as error:
        raise SegmentSpaceError(total_bytes, str(error)) from error


def _reserve(descriptor: int, total_bytes: int) -> None:
    """Give the file its size with memory behind every byte."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, total_bytes)
        return
    os.ftruncate(descriptor, total_bytes)  # pragma: no cover
    zeros = bytes(_ZEROS_CHUNK_BYTES)  # pragma: no cover
    for start in range(0, total_bytes, len(zeros)):  # pragma: no cover
        os.pwrite(descriptor, zeros[: total_bytes - start], start)
