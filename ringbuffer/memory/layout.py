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
    +----------------------+  total_bytes (the platform may round the segment up to whole pages)

The header is little-endian, its fields stand one after the other without gaps in the order of :class:`Header`, and a CRC-32 of
all of them follows; ``FIELD_MEANINGS`` says what each holds.

Rules: blocks and entries start on cache lines, so that two blocks, and the flags of two blocks, never share one. Limits: a
header is written once, before anybody else can attach, and never changed.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields
from typing import Final

from ringbuffer.errors import GeometryError, SegmentFormatError

MAGIC: Final = b"SHMRING\0"
LAYOUT_VERSION: Final = 1
CACHE_LINE_BYTES: Final = 64
HEADER_BYTES: Final = 128
FRAME_BYTES: Final = 16
"""In front of each payload: the kind of the message and its length, see ``codec.py``."""
IDENTITY_BYTES: Final = 16

READERS_MAX: Final = 4096
BLOCKS_MAX: Final = 1 << 20
CHUNK_BYTES_MAX: Final = 1 << 40
TOTAL_BYTES_MAX: Final = 1 << 46

_FIELD_CODES = ("8s", "I", "I", "I", "I", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "Q", "16s")
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
    "total_bytes": "end of the last entry, rounded up to a cache line",
    "creator_pid": "process that made the segment",
    "identity": "random bytes; they tell the segment from another that got its name later",
    "checksum": "CRC-32 of all bytes before it",
}


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
    def total_bytes(self) -> int:
        """The size of the segment."""
        return self.metadata_offset + self.max_chunks * self.entry_stride_bytes

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
            layout.total_bytes,
            creator_pid,
            identity,
        )

    def pack(self) -> bytes:
        """The header's bytes, checksum included."""
        packed = _FIELDS.pack(*(getattr(self, field.name) for field in fields(self)))
        return packed + _CHECKSUM.pack(zlib.crc32(packed))

    @classmethod
    def read(cls, name: str, segment: memoryview) -> tuple[Header, Layout]:
        """Read and check the header of the segment called ``name``.

        Raises :class:`SegmentFormatError`, naming the field, unless every field is what a ring of that geometry has.
        """
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
        if len(segment) < layout.total_bytes:
            detail = f"the segment has {len(segment)} bytes, and its header asks for {layout.total_bytes}"
            raise SegmentFormatError(name, "total_bytes", detail)
        return header, layout
