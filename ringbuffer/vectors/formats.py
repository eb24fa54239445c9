"""Cases of the layout: geometries, headers, fresh segments, and the participants' entries.

Rules: whatever a case expects is computed here by the code that the ring uses. Limits: where a header has several faults, only
that it is refused is a part of the case; for which of them is this implementation's choice of order.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

from ringbuffer.errors import SegmentFormatError
from ringbuffer.memory import holding
from ringbuffer.memory.layout import (
    BLOCKS_MAX,
    CHUNK_BYTES_MAX,
    HEADER_BYTES,
    LAYOUT_VERSION,
    PARTICIPANT,
    PARTICIPANT_BYTES,
    READERS_MAX,
    Header,
    Layout,
)
from ringbuffer.memory.participants import Entry, presence_of
from ringbuffer.memory.shared import NAME_PREFIX
from ringbuffer.ranks import WRITER
from ringbuffer.vectors.machine import Bytes
from ringbuffer.vectors.stepping import CREATOR_PID, IDENTITY, segment_of
from ringbuffer.vectors.text import Json

SIZES: Final = (
    "entry_bytes",
    "block_stride_bytes",
    "entry_stride_bytes",
    "data_offset",
    "metadata_offset",
    "participants_offset",
    "awake_offset",
    "total_bytes",
)
GEOMETRIES: Final = (
    (0, 1, 1),
    (0, 64, 3),
    (1, 1, 1),
    (1, 32, 2),
    (1, 33, 2),
    (1, 96, 2),
    (1, 97, 2),
    (2, 64, 2),
    (3, 1000, 5),
    (14, 4096, 8),
    (15, 4096, 8),
    (16, 4096, 8),
    (62, 1, 4),
    (63, 1, 4),
    (64, 1, 4),
    (127, 65536, 16),
    (128, 65536, 16),
    (2, 1 << 20, 128),
    (7, (1 << 24) - 32, 10),
    (READERS_MAX, 1, 1),
    (READERS_MAX, 1, BLOCKS_MAX),
    (1, CHUNK_BYTES_MAX, 1),
    (1, CHUNK_BYTES_MAX, 63),
    (0, 1 << 25, BLOCKS_MAX),
)
"""Around the multiples of a cache line, and at the ends of what is allowed."""
REFUSED_GEOMETRIES: Final = (
    (-1, 64, 2, "n_reader"),
    (READERS_MAX + 1, 64, 2, "n_reader"),
    (1, 0, 2, "max_chunk_bytes"),
    (1, -1, 2, "max_chunk_bytes"),
    (1, CHUNK_BYTES_MAX + 1, 1, "max_chunk_bytes"),
    (1, 64, 0, "max_chunks"),
    (1, 64, -2, "max_chunks"),
    (1, 64, BLOCKS_MAX + 1, "max_chunks"),
    (1, CHUNK_BYTES_MAX, 64, "total_bytes"),
    (1, 1 << 27, BLOCKS_MAX, "total_bytes"),
    (0, CHUNK_BYTES_MAX, BLOCKS_MAX, "total_bytes"),
)


def layout() -> Json:
    """Geometries, and every offset and size that follows; or what is refused."""
    cases = [laid_out(*geometry) for geometry in GEOMETRIES]
    cases += [{**_geometry(*case[:3]), "refused": case[3]} for case in REFUSED_GEOMETRIES]
    about = "geometries, and where everything is then; or which of the numbers is refused"
    return {"kind": "layout", "about": about, "cases": cases}


def _geometry(readers: int, chunk_bytes: int, blocks: int) -> Json:
    return {"n_reader": readers, "max_chunk_bytes": chunk_bytes, "max_chunks": blocks}


def _places(found: Layout) -> Json:
    """Where single blocks, entries, participants and words are, by their numbers: the first, the second and the last."""
    blocks = sorted({0, min(1, found.max_chunks - 1), found.max_chunks - 1})
    ranks = sorted({WRITER, *([0, found.n_reader - 1] if found.n_reader else [])})
    return {
        "block_offsets": [[block, found.block_offset(block)] for block in blocks],
        "entry_offsets": [[block, found.entry_offset(block)] for block in blocks],
        "participant_offsets": [[rank, found.participant_offset(rank)] for rank in ranks],
        "awake_offsets": [[rank, found.word_offset(rank)] for rank in ranks],
        "lock_offsets": {"creator": holding.CREATOR_BYTE, "roles": [[rank, found.participant_offset(rank)] for rank in ranks]},
    }


def laid_out(readers: int, chunk_bytes: int, blocks: int) -> Json:
    """A geometry, and where everything is then. Raises :class:`~ringbuffer.errors.GeometryError`."""
    found = Layout(readers, chunk_bytes, blocks)
    sizes = {name: getattr(found, name) for name in SIZES}
    return {**_geometry(readers, chunk_bytes, blocks), "expected": {**sizes, **_places(found)}}


_CHANGED: Final = (
    ("another magic", 0, b"shmring\0"),
    ("no magic at all", 0, bytes(8)),
    ("an older version", 8, (LAYOUT_VERSION - 1).to_bytes(4, "little")),
    ("a newer version", 8, (LAYOUT_VERSION + 1).to_bytes(4, "little")),
    ("the version in the other order of bytes", 8, LAYOUT_VERSION.to_bytes(4, "big")),
    ("a longer header", 12, (192).to_bytes(4, "little")),
    ("too many readers", 16, (READERS_MAX + 1).to_bytes(4, "little")),
    ("another number of readers in the same entries", 16, (3).to_bytes(4, "little")),
    ("read flags that began as 2", 20, (2).to_bytes(4, "little")),
    ("no payload", 24, bytes(8)),
    ("more payload than the blocks are apart", 24, (1000).to_bytes(8, "little")),
    ("no blocks", 32, bytes(8)),
    ("as many blocks as fit 64 bits", 32, b"\xff" * 8),
    ("one block more", 32, (4).to_bytes(8, "little")),
    ("blocks closer together", 40, (64).to_bytes(8, "little")),
    ("entries further apart", 48, (128).to_bytes(8, "little")),
    ("data elsewhere", 56, (192).to_bytes(8, "little")),
    ("metadata elsewhere", 64, (64).to_bytes(8, "little")),
    ("participants elsewhere", 72, bytes(8)),
    ("words elsewhere", 80, (1 << 40).to_bytes(8, "little")),
    ("another total", 88, (1 << 20).to_bytes(8, "little")),
)
_STILL_ACCEPTED: Final = (
    ("read flags that began as 1", 20, (1).to_bytes(4, "little")),
    ("another creator", 96, (2**31 + 5).to_bytes(8, "little")),
    ("another identity", 104, b"\xff" * 16),
)
CHECKSUM: Final = struct.Struct("<I")
PACKED_BYTES: Final = HEADER_BYTES - 8
"""What the checksum is of; the checksum itself and four zero bytes follow."""


def headers() -> Json:
    """Headers, and whether who attaches accepts them."""
    found = Layout(2, 80, 3)
    good = Header.of(found, initial_read_flag=0, creator_pid=CREATOR_PID, identity=IDENTITY).pack().ljust(HEADER_BYTES, b"\0")
    size = found.total_bytes
    cases = [_header("as its creator writes it", good, size), _header("a file longer than it need be", good, size + 4096)]
    cases += [_header(about, _resealed(good, at, new), size) for about, at, new in (*_STILL_ACCEPTED, *_CHANGED)]
    cases.append(_header("bytes behind the checksum that are not zero", good[:124] + b"\1\2\3\4", size))
    for at in (0, 9, 24, 100, 119, 120, 123):
        damaged = good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :]
        cases.append(_header(f"one bit of byte {at} is not what was written", damaged, size))
    cases.append(_header("nothing was written yet", bytes(HEADER_BYTES), size))
    cases += [_header(about, good, less) for about, less in (("a byte too few", size - 1), ("a header and no more", 128))]
    cases.append(_header("a file that ends within the header", good, HEADER_BYTES - 1))
    about = "the first 128 bytes of a file, how long the file is, and what comes of attaching to it"
    return {"kind": "headers", "about": about, "cases": cases}


def _resealed(good: bytes, at: int, new: bytes) -> bytes:
    packed = good[:at] + new + good[at + len(new) : PACKED_BYTES]
    return packed + CHECKSUM.pack(zlib.crc32(packed)) + good[PACKED_BYTES + 4 :]


def read_header(header: bytes, size: int) -> Json:
    """What the ring says of a file that begins so."""
    try:
        read, found = Header.read("of a vector", header[: min(size, HEADER_BYTES)], size)
    except SegmentFormatError as error:
        return {"refused": error.field}
    own = {"initial_read_flag": read.initial_read_flag, "creator_pid": read.creator_pid, "identity": read.identity.hex()}
    return {"accepted": {**_geometry(found.n_reader, found.max_chunk_bytes, found.max_chunks), **own}}


def _header(about: str, header: bytes, size: int) -> Json:
    return {"about": about, "header": header.hex(), "file_bytes": size, **read_header(header, size)}


def segments() -> Json:
    """Segments as their creators leave them."""
    cases = []
    for readers, chunk_bytes, blocks, flag in ((1, 32, 2, 0), (2, 80, 3, 0), (3, 33, 2, 1), (0, 1, 1, 0), (64, 8, 1, 1)):
        fresh = Bytes(Layout(readers, chunk_bytes, blocks), creator_pid=99, identity=IDENTITY, initial_read_flag=flag)
        own = {"creator_pid": 99, "identity": IDENTITY.hex(), "initial_read_flag": flag}
        cases.append({**own, "name": f"{NAME_PREFIX}{IDENTITY.hex()[:16]}", "segment": segment_of(fresh)})
    about = "segments as their creators leave them, before anybody has claimed a role"
    return {"kind": "segments", "about": about, "cases": cases}


NOBODY: Final = Entry(0, 0, 0, 0, 0, 0, 0)
_LIVES: Final = Entry(7, 5000, 1000, 0, 321, 1, 0)
_LEFT: Final = _LIVES._replace(waiting_since=0, left_at=6000)
_OFTEN: Final = _LEFT._replace(generation=0xFFFF_FFFF)
_EVICTED: Final = _LIVES._replace(evicted_by=77)


def entry_bytes(entry: Entry) -> bytes:
    """A participant's entry, whole."""
    return PARTICIPANT.pack(*entry).ljust(PARTICIPANT_BYTES, b"\0")


def participants() -> Json:
    """What claiming, leaving and evicting do to an entry, and what an entry says of its role."""
    pid, now = 4321, 9000
    claimed = {"waiting_since": 0, "claimed_at": now, "left_at": 0, "pid": pid, "evicted_by": 0}
    cases = [
        _transition("claim", before, before._replace(**claimed, generation=(before.generation + 1) % (1 << 32)), pid, now)
        for before in (NOBODY, _LIVES, _LEFT, _OFTEN, _EVICTED)
    ]
    cases += [
        _transition("leave", before, before._replace(waiting_since=0, left_at=now), before.pid, now)
        for before in (_LIVES, _LIVES._replace(waiting_since=0))
    ]
    cases += [_transition("evict", before, before._replace(evicted_by=pid), pid, now) for before in (NOBODY, _LIVES, _LEFT)]
    cases += _presences()
    about = "an entry before and after a change of who has its role; and what an entry and its lock say together"
    return {"kind": "participants", "about": about, "cases": cases}


def _transition(change: str, before: Entry, after: Entry, pid: int, now: int) -> Json:
    own = {"change": change, "pid": pid, "now": now, "before": entry_bytes(before).hex(), "after": entry_bytes(after).hex()}
    return own if change == "leave" else {**own, "awake": 1}


def _presences() -> Iterator[dict[str, Any]]:
    for entry, is_locked in ((NOBODY, False), (NOBODY, True), (_LIVES, True), (_LIVES, False), (_LEFT, False), (_LEFT, True)):
        found = presence_of(lambda entry=entry: entry, lambda is_locked=is_locked: is_locked)[1]  # type: ignore[misc]
        yield {"entry": entry_bytes(entry).hex(), "is_locked": is_locked, "state": found.value}
