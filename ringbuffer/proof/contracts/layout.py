"""Laws of the layout: everything in a segment is aligned, overlaps nothing else, and lies inside.

Rules: the numbers are symbolic and have no upper bound, so that a law holds for every geometry with at least no reader, one
byte and one block. It speaks of a :class:`~ringbuffer.memory.layout.Layout` made without its argument check: the check words
its refusals with the numbers in them, which makes one path of each number; that the check adds nothing to a geometry which it
lets through, and which ones those are, is a law of its own. Limits: that a geometry out of bounds is refused stays open here.
"""

# crosshair: per_condition_timeout=60

from __future__ import annotations

from ringbuffer.errors import GeometryError
from ringbuffer.memory.layout import (
    AWAKE_BYTES,
    BLOCKS_MAX,
    CACHE_LINE_BYTES,
    CHUNK_BYTES_MAX,
    FRAME_BYTES,
    HEADER_BYTES,
    PARTICIPANT,
    READERS_MAX,
    TOTAL_BYTES_MAX,
    Header,
    Layout,
    round_up,
)


def unchecked(readers: int, chunk_bytes: int, blocks: int) -> Layout:
    """The layout of that geometry, made without the argument check."""
    layout = object.__new__(Layout)
    for name, value in (("n_reader", readers), ("max_chunk_bytes", chunk_bytes), ("max_chunks", blocks)):
        object.__setattr__(layout, name, value)
    return layout


def rounding_up_adds_less_than_one_multiple(value: int, multiple: int) -> bool:
    """Rounding up gives nothing below the value, and less than one multiple above it, whatever the multiple.

    pre: multiple > 0
    post: _
    """
    return value <= round_up(value, multiple) < value + multiple


def rounding_up_to_a_cache_line_gives_a_multiple_of_it(value: int) -> bool:
    """Rounding up to a cache line, which is all that the layout does, gives a multiple of it.

    post: _
    """
    return round_up(value, CACHE_LINE_BYTES) % CACHE_LINE_BYTES == 0


def blocks_do_not_overlap(readers: int, chunk_bytes: int, blocks: int, block: int, later: int) -> bool:
    """A block ends, with its frame and its payload, before any later one begins.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < later < blocks
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.block_offset(block) + FRAME_BYTES + chunk_bytes <= layout.block_offset(later)


def entries_do_not_overlap(readers: int, chunk_bytes: int, blocks: int, block: int, later: int) -> bool:
    """An entry ends, with all its flags, before that of any later block begins.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < later < blocks
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.entry_offset(block) + 1 + readers <= layout.entry_offset(later)


def the_header_ends_before_the_blocks(readers: int, chunk_bytes: int, blocks: int, block: int) -> bool:
    """Every block begins behind the header.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < blocks
    post: _
    """
    return unchecked(readers, chunk_bytes, blocks).block_offset(block) >= HEADER_BYTES


def the_blocks_end_before_the_entries(readers: int, chunk_bytes: int, blocks: int, block: int, entry: int) -> bool:
    """Every block ends before every entry begins.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < blocks and 0 <= entry < blocks
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.block_offset(block) + FRAME_BYTES + chunk_bytes <= layout.entry_offset(entry)


def the_entries_end_before_the_participants(readers: int, chunk_bytes: int, blocks: int, block: int) -> bool:
    """Every entry, with all its flags, ends before the first participant begins.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < blocks
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.entry_offset(block) + 1 + readers <= layout.participant_offset(-1)


def participants_do_not_overlap(readers: int, chunk_bytes: int, blocks: int, rank: int, later: int) -> bool:
    """What is noted of a participant ends before that of any later one begins.

    pre: readers >= 0 and chunk_bytes >= 1 and blocks >= 1
    pre: -1 <= rank < later < readers
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.participant_offset(rank) + PARTICIPANT.size <= layout.participant_offset(later)


def the_participants_end_before_the_words(readers: int, chunk_bytes: int, blocks: int, rank: int) -> bool:
    """Every participant ends before the words begin that say who is awake.

    pre: readers >= 0 and chunk_bytes >= 1 and blocks >= 1
    pre: -1 <= rank < readers
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.participant_offset(rank) + PARTICIPANT.size <= layout.awake_offset


def the_words_end_inside_the_segment(readers: int, chunk_bytes: int, blocks: int) -> bool:
    """The word of the last reader, and so everything, ends inside the segment.

    pre: readers >= 0 and chunk_bytes >= 1 and blocks >= 1
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    return layout.awake_offset + (1 + readers) * AWAKE_BYTES <= layout.total_bytes


def everything_begins_on_a_cache_line(readers: int, chunk_bytes: int, blocks: int, block: int) -> bool:
    """Blocks, entries and participants begin, and the segment ends, at multiples of a cache line.

    pre: readers >= 0 and chunk_bytes >= 1
    pre: 0 <= block < blocks
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    blocks_and_entries = (layout.block_offset(block), layout.entry_offset(block))
    places = (*blocks_and_entries, layout.participant_offset(-1), layout.awake_offset, layout.total_bytes)
    return all(place % CACHE_LINE_BYTES == 0 for place in places)


def no_byte_is_given_away(readers: int, chunk_bytes: int, blocks: int) -> bool:
    """What is padding is less than a cache line for each block, for each entry, for each participant, and at the end.

    pre: readers >= 0 and chunk_bytes >= 1 and blocks >= 1
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    used = HEADER_BYTES + blocks * (FRAME_BYTES + chunk_bytes + 1 + readers)
    used += (1 + readers) * (PARTICIPANT.size + AWAKE_BYTES)
    return used <= layout.total_bytes < used + CACHE_LINE_BYTES * (2 * blocks + 1 + readers + 1)


def the_header_says_what_the_layout_says(readers: int, chunk_bytes: int, blocks: int, initial: bool, pid: int) -> bool:
    """Each field of the header is that of the layout by the same name.

    pre: readers >= 0 and chunk_bytes >= 1 and blocks >= 1
    post: _
    """
    layout = unchecked(readers, chunk_bytes, blocks)
    header = Header.of(layout, initial_read_flag=initial, creator_pid=pid, identity=b"")
    return (
        (header.n_reader, header.max_chunk_bytes, header.max_chunks) == (readers, chunk_bytes, blocks)
        and (header.initial_read_flag, header.creator_pid, header.header_bytes) == (initial, pid, HEADER_BYTES)
        and header.block_stride_bytes == layout.block_stride_bytes
        and header.entry_stride_bytes == layout.entry_stride_bytes
        and (header.data_offset, header.metadata_offset) == (layout.block_offset(0), layout.entry_offset(0))
        and (header.participants_offset, header.awake_offset) == (layout.participant_offset(-1), layout.awake_offset)
        and header.total_bytes == layout.total_bytes
    )


def a_geometry_within_the_bounds_is_taken_as_it_is(readers: int, chunk_bytes: int, blocks: int) -> bool:
    """The argument check lets every geometry within the bounds through, and changes none of its numbers.

    pre: 0 <= readers <= READERS_MAX and 1 <= chunk_bytes <= CHUNK_BYTES_MAX and 1 <= blocks <= BLOCKS_MAX
    pre: unchecked(readers, chunk_bytes, blocks).total_bytes <= TOTAL_BYTES_MAX
    post: _
    """
    layout = Layout(readers, chunk_bytes, blocks)
    return (layout.n_reader, layout.max_chunk_bytes, layout.max_chunks) == (readers, chunk_bytes, blocks)


def a_geometry_out_of_bounds_is_refused(readers: int, chunk_bytes: int, blocks: int) -> bool:
    """The argument check lets no geometry through that is out of bounds.

    post: _
    """
    # crosshair: max_iterations=40
    try:
        layout = Layout(readers, chunk_bytes, blocks)
    except GeometryError:
        return True
    within = 0 <= readers <= READERS_MAX and 1 <= chunk_bytes <= CHUNK_BYTES_MAX and 1 <= blocks <= BLOCKS_MAX
    return within and layout.total_bytes <= TOTAL_BYTES_MAX
