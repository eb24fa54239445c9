"""Where everything in a segment is, and that a header which is not a ring's is refused by name."""

from __future__ import annotations

import dataclasses
import itertools
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.errors import GeometryError, RingBufferError, SegmentFormatError
from ringbuffer.memory.layout import (
    AWAKE_BYTES,
    BLOCKS_MAX,
    CACHE_LINE_BYTES,
    CHUNK_BYTES_MAX,
    FRAME_BYTES,
    HEADER_BYTES,
    LAYOUT_VERSION,
    MAGIC,
    PARTICIPANT,
    READERS_MAX,
    Header,
    Layout,
)

IDENTITY = bytes(range(16))
CHECKSUM_OFFSET = 120
HEADER_FIELDS_BYTES = 124

layouts = st.builds(Layout, st.integers(0, 300), st.integers(1, 3000), st.integers(1, 30))


def header_of(layout: Layout, initial_read_flag: int = 0) -> Header:
    return Header.of(layout, initial_read_flag=initial_read_flag, creator_pid=4711, identity=IDENTITY)


def segment_of(header: Header, size_bytes: int) -> memoryview:
    return memoryview(header.pack().ljust(size_bytes, b"\0")[:size_bytes])


def refusal(segment: memoryview) -> SegmentFormatError:
    with pytest.raises(SegmentFormatError) as caught:
        Header.read("shm_ring_x", segment)
    assert caught.value.name == "shm_ring_x"
    assert caught.value.field in str(caught.value)
    return caught.value


@given(layouts)
def test_regions_are_in_order_and_share_no_cache_line(layout: Layout) -> None:
    blocks = [layout.block_offset(block) for block in range(layout.max_chunks)]
    entries = [layout.entry_offset(block) for block in range(layout.max_chunks)]
    regions = [(0, HEADER_BYTES)]
    regions += [(start, start + FRAME_BYTES + layout.max_chunk_bytes) for start in blocks]
    regions += [(start, start + 1 + layout.n_reader) for start in entries]
    participants = [layout.participant_offset(rank) for rank in range(-1, layout.n_reader)]
    regions += [(start, start + PARTICIPANT.size) for start in participants]
    regions += [(layout.awake_offset, layout.awake_offset + AWAKE_BYTES * (1 + layout.n_reader))]
    for (_, end), (start, _) in itertools.pairwise(regions):
        assert end <= start
        assert (end - 1) // CACHE_LINE_BYTES < start // CACHE_LINE_BYTES
    assert all(start % CACHE_LINE_BYTES == 0 for start, _ in regions)
    assert regions[-1][1] <= layout.total_bytes
    assert (layout.data_offset, layout.metadata_offset) == (blocks[0], entries[0])
    assert layout.participants_offset == participants[0]
    assert layout.entry_bytes == 1 + layout.n_reader


@given(layouts)
def test_no_byte_is_given_away(layout: Layout) -> None:
    """Padding is less than a cache line per block, per entry, per participant, and behind the words of who is awake."""
    participants = 1 + layout.n_reader
    needed = HEADER_BYTES + layout.max_chunks * (FRAME_BYTES + layout.max_chunk_bytes + participants)
    needed += participants * (PARTICIPANT.size + AWAKE_BYTES)
    assert layout.total_bytes - needed < CACHE_LINE_BYTES * (2 * layout.max_chunks + participants + 1)


def test_offsets_of_one_ring_are_these() -> None:
    layout = Layout(2, 100, 3)
    assert [layout.block_offset(block) for block in range(3)] == [128, 320, 512]
    assert [layout.entry_offset(block) for block in range(3)] == [704, 768, 832]
    assert [layout.participant_offset(rank) for rank in (-1, 0, 1)] == [896, 960, 1024]
    assert (layout.awake_offset, layout.total_bytes) == (1088, 1152)


@given(layouts, st.integers(0, 1))
@settings(max_examples=50)
def test_header_comes_back(layout: Layout, initial_read_flag: int) -> None:
    header = header_of(layout, initial_read_flag)
    assert Header.read("shm_ring_x", segment_of(header, layout.total_bytes)) == (header, layout)
    longer = segment_of(header, layout.total_bytes + 4096)
    assert Header.read("shm_ring_x", longer) == (header, layout), "the platform may round up to pages"


def test_header_has_the_documented_offsets() -> None:
    packed = header_of(Layout(2, 100, 3), initial_read_flag=1).pack()
    assert packed[:8] == MAGIC == b"SHMRING\0"
    assert struct.unpack_from("<4I", packed, 8) == (LAYOUT_VERSION, HEADER_BYTES, 2, 1)
    assert struct.unpack_from("<10Q", packed, 24) == (100, 3, 192, 64, 128, 704, 896, 1088, 1152, 4711)
    assert packed[104:120] == IDENTITY
    assert struct.unpack_from("<I", packed, CHECKSUM_OFFSET) == (zlib.crc32(packed[:CHECKSUM_OFFSET]),)
    assert len(packed) == HEADER_FIELDS_BYTES


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("magic", b"SHMRINK\0", "magic"),
        ("version", LAYOUT_VERSION + 1, "version"),
        ("version", 0, "version"),
        ("header_bytes", HEADER_BYTES + 64, "header_bytes"),
        ("n_reader", READERS_MAX + 1, "n_reader"),
        ("n_reader", 2 + CACHE_LINE_BYTES, "entry_stride_bytes"),
        ("initial_read_flag", 2, "initial_read_flag"),
        ("max_chunk_bytes", 0, "max_chunk_bytes"),
        ("max_chunk_bytes", CHUNK_BYTES_MAX + 1, "max_chunk_bytes"),
        ("max_chunk_bytes", 100 + CACHE_LINE_BYTES, "block_stride_bytes"),
        ("max_chunks", 0, "max_chunks"),
        ("max_chunks", BLOCKS_MAX + 1, "max_chunks"),
        ("max_chunks", 4, "metadata_offset"),
        ("block_stride_bytes", 64, "block_stride_bytes"),
        ("entry_stride_bytes", 128, "entry_stride_bytes"),
        ("data_offset", 192, "data_offset"),
        ("metadata_offset", 448, "metadata_offset"),
        ("participants_offset", 960, "participants_offset"),
        ("awake_offset", 1024, "awake_offset"),
        ("total_bytes", 1151, "total_bytes"),
        ("total_bytes", 1153, "total_bytes"),
    ],
)
def test_wrong_field_is_named(field: str, value: Any, named: str) -> None:
    """The checksum is right: it is the field that is wrong. One that others depend on is named with the first of these."""
    changed: dict[str, Any] = {field: value}
    header = dataclasses.replace(header_of(Layout(2, 100, 3)), **changed)
    assert named in str(refusal(segment_of(header, 4096)))


def test_every_field_is_checked_or_free() -> None:
    """The table above names every field but those two that any value may be in: the handle knows the identity."""
    (marker,) = (mark for mark in test_wrong_field_is_named.pytestmark if mark.name == "parametrize")
    tried = {field for field, _, _ in marker.args[1]}
    assert {field.name for field in dataclasses.fields(Header)} - tried == {"creator_pid", "identity"}


@given(layouts, st.sampled_from([field.name for field in dataclasses.fields(Header)[1:-1]]), st.integers(0, (1 << 32) - 1))
def test_any_field_may_be_anything(layout: Layout, field: str, value: int) -> None:
    """Whatever a field holds: either the header is refused with our error, or it is that of another ring, all of it."""
    changed: dict[str, Any] = {field: value}
    segment = segment_of(dataclasses.replace(header_of(layout), **changed), layout.total_bytes)
    try:
        found, other = Header.read("shm_ring_x", segment)
    except SegmentFormatError:
        return
    assert other.total_bytes <= len(segment)
    assert found == dataclasses.replace(
        header_of(other), initial_read_flag=found.initial_read_flag, creator_pid=found.creator_pid
    )


@pytest.mark.parametrize("offset", range(HEADER_FIELDS_BYTES))
def test_flipped_bit_is_noticed(offset: int) -> None:
    damaged = bytearray(segment_of(header_of(Layout(2, 100, 3)), 1152))
    damaged[offset] ^= 1 << offset % 8
    expected = "magic" if offset < 8 else "version" if offset < 12 else "checksum"
    assert refusal(memoryview(damaged)).field == expected


@pytest.mark.parametrize(("size_bytes", "field"), [(0, "size"), (HEADER_BYTES - 1, "size"), (HEADER_BYTES, "total_bytes")])
def test_truncated_segment_is_refused(size_bytes: int, field: str) -> None:
    assert refusal(segment_of(header_of(Layout(2, 100, 3)), size_bytes)).field == field


def test_one_byte_short_is_refused() -> None:
    error = refusal(segment_of(header_of(Layout(2, 100, 3)), 1151))
    assert error.field == "total_bytes"
    assert "1151" in str(error)
    assert "1152" in str(error)


@pytest.mark.parametrize(
    ("geometry", "named"),
    [
        ((-1, 1, 1), "n_reader"),
        ((READERS_MAX + 1, 1, 1), "n_reader"),
        ((True, 1, 1), "n_reader"),
        ((1.0, 1, 1), "n_reader"),
        (("2", 1, 1), "n_reader"),
        ((None, 1, 1), "n_reader"),
        ((1, 0, 1), "max_chunk_bytes"),
        ((1, -1, 1), "max_chunk_bytes"),
        ((1, True, 1), "max_chunk_bytes"),
        ((1, 64.0, 1), "max_chunk_bytes"),
        ((1, CHUNK_BYTES_MAX + 1, 1), "max_chunk_bytes"),
        ((1, 1 << 100, 1), "max_chunk_bytes"),
        ((1, 1, 0), "max_chunks"),
        ((1, 1, -2), "max_chunks"),
        ((1, 1, False), "max_chunks"),
        ((1, 1, 1.5), "max_chunks"),
        ((1, 1, BLOCKS_MAX + 1), "max_chunks"),
        ((1, CHUNK_BYTES_MAX, BLOCKS_MAX), "bytes"),
    ],
)
def test_impossible_geometry_is_refused(geometry: tuple[Any, Any, Any], named: str) -> None:
    with pytest.raises(GeometryError, match=named) as caught:
        Layout(*geometry)
    assert isinstance(caught.value, RingBufferError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("geometry", [(0, 1, 1), (READERS_MAX, 1, 1), (1, CHUNK_BYTES_MAX, 1), (1, 1, BLOCKS_MAX)])
def test_limits_themselves_are_allowed(geometry: tuple[int, int, int]) -> None:
    assert dataclasses.astuple(Layout(*geometry)) == geometry
