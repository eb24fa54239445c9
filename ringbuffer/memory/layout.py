"""Where everything in a segment is. Offsets and sizes stand in this module and nowhere else.

::

    offset 0
    +----------------------+  header                       HEADER_BYTES
    | magic  version  ...  |
    +----------------------+  data_offset
    | block 0              |  K blocks, block_stride_bytes apart, each:
    |   frame | payload    |    frame header (FRAME_BYTES), then max_chunk_bytes of payload
    | block 1              |
    | ...                  |
    +----------------------+  metadata_offset
    | entry 0              |  K entries, entry_stride_bytes apart, each 1 + N flag bytes:
    |   w r0 r1 ... rN-1   |    the written flag, then one read flag per reader
    | entry 1              |
    | ...                  |
    +----------------------+  participants_offset
    | the writer           |  1 + N entries, PARTICIPANT_BYTES apart: who has the role, and where it is
    | reader 0             |
    | ...                  |
    +----------------------+  awake_offset
    | a a0 a1 ... aN-1     |  1 + N words of 32 bits: whether the writer, and each reader, is awake
    +----------------------+  total_bytes (the platform may round the segment up to whole pages)

The header is little-endian, its fields stand one after the other without gaps in the order of :class:`Header`, and a CRC-32 of
all of them follows; ``FIELD_MEANINGS`` says what each holds.

A participant's entry is little-endian as well, ``PARTICIPANT_MEANINGS`` says what it holds; only whoever has the role writes
there. The words of who is awake lie close together, as they are looked at together, and change only when somebody sleeps.

Rules: blocks, entries and participants start on cache lines, so that no two of them share one. Limits: a header is written
once, before anybody else can attach, and never changed.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields
from typing import Final

from ringbuffer.errors import GeometryError, SegmentFormatError

MAGIC: Final = b"SHMRING\0"
LAYOUT_VERSION: Final = 3
CACHE_LINE_BYTES: Final = 64
HEADER_BYTES: Final = 128
FRAME_BYTES: Final = 32
"""In front of each payload: what the message is, its number and its length, see ``codec/frames.py``."""
PARTICIPANT_BYTES: Final = CACHE_LINE_BYTES
AWAKE_BYTES: Final = 4
"""The kernel compares words of 32 bits."""
IDENTITY_BYTES: Final = 16

READERS_MAX: Final = 4096
BLOCKS_MAX: Final = 1 << 20
CHUNK_BYTES_MAX: Final = 1 << 40
TOTAL_BYTES_MAX: Final = 1 << 46

_FIELD_CODES = ("8s", "I", "I", "I", "I", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "16s")
_FIELDS = struct.Struct("<" + "".join(_FIELD_CODES))
_CHECKSUM = struct.Struct("<I")

FIELD_MEANINGS: Final = {
    "magic": "`SHMRING` and a zero byte",
    "version": "`LAYOUT_VERSION`",
    "header_bytes": "`HEADER_BYTES`",
    "n_reader": "number of readers",
    "initial_read_flag": "what each read flag was when the segment was made: 0 or 1",
    "max_chunk_bytes": "payload bytes of a block",
    "max_chunks": "number of blocks",
    "block_stride_bytes": "distance between blocks",
    "entry_stride_bytes": "distance between entries",
    "data_offset": "where block 0 begins",
    "metadata_offset": "where entry 0 begins",
    "participants_offset": "where the writer's entry begins, and behind it reader 0's",
    "awake_offset": "where the words begin that say who is awake",
    "total_bytes": "end of those words, rounded up to a cache line",
    "creator_pid": "process that made the segment",
    "identity": "random bytes; they tell the segment from another that got its name later",
    "checksum": "CRC-32 of all bytes before it",
}


FRAME: Final = struct.Struct("<QQIIQ")
"""What stands in front of a payload: sequence, length of this part, kind, part, length of the message (``codec/frames.py``)."""
assert FRAME.size == FRAME_BYTES

PARTICIPANT: Final = struct.Struct("<QQQQIII")
"""A participant's entry, field by field in the order of ``PARTICIPANT_MEANINGS``."""
PARTICIPANT_MEANINGS: Final = {
    "position": "how many blocks it is done with: published, or given back (notes N1 and N2)",
    "waiting_since": "when it began to wait for its block, in nanoseconds of the monotonic clock; 0 while it does not wait",
    "claimed_at": "when the role was claimed, on the same clock; 0 if it never was",
    "left_at": "when the role was given up in good order, on the same clock; 0 while it is held",
    "pid": "process that claimed it last, as it sees itself",
    "generation": "how often the role was claimed",
    "evicted_by": "pid of the writer that reads in the place of this reader; 0 if nobody does",
}
assert PARTICIPANT.size <= PARTICIPANT_BYTES


def field_sizes() -> list[int]:
    """The bytes that each field of the header takes, in their order, the checksum last."""
    return [*(struct.calcsize("<" + code) for code in _FIELD_CODES), _CHECKSUM.size]


assert _FIELDS.size + _CHECKSUM.size <= HEADER_BYTES


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, slots=True)
class Layout:
    """All offsets and sizes of one segment, in bytes."""

    n_reader: int
    max_chunk_bytes: int
    max_chunks: int

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("n_reader", self.n_reader, 0, READERS_MAX),
            ("max_chunk_bytes", self.max_chunk_bytes, 1, CHUNK_BYTES_MAX),
            ("max_chunks", self.max_chunks, 1, BLOCKS_MAX),
        ):
            if not isinstance(value, int) or isinstance(value, bool):
                raise GeometryError(f"{name} is {value!r}, and it is a whole number")
            if not least <= value <= most:
                raise GeometryError(f"{name} is {value}, and it lies between {least} and {most}")
        if self.total_bytes > TOTAL_BYTES_MAX:
            raise GeometryError(f"such a ring takes {self.total_bytes} bytes, and the most is {TOTAL_BYTES_MAX}")

    @property
    def entry_bytes(self) -> int:
        """Flag bytes of one entry."""
        return 1 + self.n_reader

    @property
    def block_stride_bytes(self) -> int:
        """Distance between blocks."""
        return round_up(FRAME_BYTES + self.max_chunk_bytes, CACHE_LINE_BYTES)

    @property
    def entry_stride_bytes(self) -> int:
        """Distance between entries."""
        return round_up(self.entry_bytes, CACHE_LINE_BYTES)

    @property
    def data_offset(self) -> int:
        """Where block 0 begins."""
        return HEADER_BYTES

    @property
    def metadata_offset(self) -> int:
        """Where entry 0 begins."""
        return self.data_offset + self.max_chunks * self.block_stride_bytes

    @property
    def participants_offset(self) -> int:
        """Where the writer's entry among the participants begins."""
        return self.metadata_offset + self.max_chunks * self.entry_stride_bytes

    @property
    def awake_offset(self) -> int:
        """Where the words begin that say who is awake: the writer's, then each reader's."""
        return self.participants_offset + (1 + self.n_reader) * PARTICIPANT_BYTES

    def word_offset(self, rank: int) -> int:
        """Where the word begins that says whether the writer (``rank`` -1) or a reader is awake."""
        return self.awake_offset + (1 + rank) * AWAKE_BYTES

    @property
    def total_bytes(self) -> int:
        """The size of the segment."""
        return self.awake_offset + round_up((1 + self.n_reader) * AWAKE_BYTES, CACHE_LINE_BYTES)

    def participant_offset(self, rank: int) -> int:
        """Where a participant's entry begins. ``rank``: -1 for the writer, or a reader's."""
        assert -1 <= rank < self.n_reader, "a rank of this ring"
        return self.participants_offset + (1 + rank) * PARTICIPANT_BYTES

    def block_offset(self, block_index: int) -> int:
        """Where a block begins: its frame header, and ``FRAME_BYTES`` further its payload."""
        assert 0 <= block_index < self.max_chunks, "a block of this ring"
        return self.data_offset + block_index * self.block_stride_bytes

    def entry_offset(self, block_index: int) -> int:
        """Where a block's flags begin: the written flag, then the read flags."""
        assert 0 <= block_index < self.max_chunks, "a block of this ring"
        return self.metadata_offset + block_index * self.entry_stride_bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The header's fields, in their order."""

    magic: bytes
    version: int
    header_bytes: int
    n_reader: int
    initial_read_flag: int
    max_chunk_bytes: int
    max_chunks: int
    block_stride_bytes: int
    entry_stride_bytes: int
    data_offset: int
    metadata_offset: int
    participants_offset: int
    awake_offset: int
    total_bytes: int
    creator_pid: int
    identity: bytes

    @classmethod
    def of(cls, layout: Layout, *, initial_read_flag: int, creator_pid: int, identity: bytes) -> Header:
        """The header of a new segment."""
        return cls(
            MAGIC,
            LAYOUT_VERSION,
            HEADER_BYTES,
            layout.n_reader,
            initial_read_flag,
            layout.max_chunk_bytes,
            layout.max_chunks,
            layout.block_stride_bytes,
            layout.entry_stride_bytes,
            layout.data_offset,
            layout.metadata_offset,
            layout.participants_offset,
            layout.awake_offset,
            layout.total_bytes,
            creator_pid,
            identity,
        )

    def pack(self) -> bytes:
        """The header's bytes, checksum included."""
        packed = _FIELDS.pack(*(getattr(self, field.name) for field in fields(self)))
        return packed + _CHECKSUM.pack(zlib.crc32(packed))

    @classmethod
    def read(cls, name: str, segment: memoryview | bytes, size_bytes: int | None = None) -> tuple[Header, Layout]:
        """Read and check the header of the segment called ``name``.

        ``segment``: all of it or its beginning; ``size_bytes``: how much it is in all, where that is more. Raises
        :class:`SegmentFormatError`, naming the field, unless every field is what a ring of that geometry has.
        """
        size_bytes = len(segment) if size_bytes is None else size_bytes
        if len(segment) < HEADER_BYTES:
            raise SegmentFormatError(name, "size", f"{len(segment)} bytes cannot hold a header of {HEADER_BYTES}")
        packed = bytes(segment[: _FIELDS.size])
        header = cls(*_FIELDS.unpack(packed))
        if header.magic != MAGIC:
            raise SegmentFormatError(name, "magic", f"{header.magic!r} instead of {MAGIC!r}; another program made it")
        if header.version != LAYOUT_VERSION:
            detail = f"{header.version}, and this release reads {LAYOUT_VERSION}; use one release on all sides"
            raise SegmentFormatError(name, "version", detail)
        (checksum,) = _CHECKSUM.unpack_from(segment, _FIELDS.size)
        if checksum != zlib.crc32(packed):
            raise SegmentFormatError(name, "checksum", "the header is damaged")
        try:
            layout = Layout(header.n_reader, header.max_chunk_bytes, header.max_chunks)
        except GeometryError as error:
            raise SegmentFormatError(name, "geometry", str(error)) from error
        if header.initial_read_flag not in (0, 1):
            raise SegmentFormatError(name, "initial_read_flag", f"{header.initial_read_flag} instead of 0 or 1")
        expected = cls.of(
            layout,
            initial_read_flag=header.initial_read_flag,
            creator_pid=header.creator_pid,
            identity=header.identity,
        )
        for field in fields(cls):
            found, wanted = getattr(header, field.name), getattr(expected, field.name)
            if found != wanted:
                raise SegmentFormatError(name, field.name, f"{found} instead of {wanted}")
        if size_bytes < layout.total_bytes:
            detail = f"the segment has {size_bytes} bytes, and its header asks for {layout.total_bytes}"
            raise SegmentFormatError(name, "total_bytes", detail)
        return header, layout
