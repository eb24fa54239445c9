"""Known-bad twins: broken versions of the shipped functions, for which a law must be refuted.

A twin of a law is that law, word for word, with a broken function in the place of the shipped one: ``laws`` says which goes
where. So a law that is too weak to see the fault, or that nothing can break, shows. Rules: each version has one fault, which
its name tells; none has conditions of its own, so that checking this module reports nothing. Limits: these faults only.
"""

# crosshair: off

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ringbuffer.codec.frames import BYTES, RAW, Assembly, Frame, Outgoing, check_frame, fill_whole
from ringbuffer.memory.layout import CACHE_LINE_BYTES, FRAME_BYTES, HEADER_BYTES, Header, Layout, round_up
from ringbuffer.protocol import PROTOCOL
from ringbuffer.protocol.cases import Case, classify, missing_readers
from ringbuffer.protocol.oracle import Owed, delivered, overwritten, passed_over, withdrawn
from ringbuffer.protocol.program import FIRST_PC, Branch, Edge, Program, resolve
from ringbuffer.protocol.table import Outcome, Table

WORD_BYTES = 8
PAGE_BYTES = 4096

# The cases


def classify_without_the_last_flag(flags: Sequence[int]) -> Case:
    """The last reader's mark is not looked at."""
    return classify(flags[: max(1, len(flags) - 1)])


def classify_by_the_first_reader(flags: Sequence[int]) -> Case:
    """The first reader's mark is looked at, and no other."""
    return classify(flags[:2])


def classify_anything_but_zero_as_one(flags: Sequence[int]) -> Case:
    """Every byte passes as a flag."""
    return classify([min(1, abs(flag)) for flag in flags])


def reader_may_read_by_the_next_flag(flags: Sequence[int], rank: int) -> bool:
    """The flag of the next reader decides, after the last that of the first."""
    return classify(flags) is not Case.UNWRITTEN and flags[1 + (rank + 1) % (len(flags) - 1)] == 0


def reader_may_read_unwritten(flags: Sequence[int], rank: int) -> bool:
    """The written flag is not looked at."""
    return flags[1 + rank] == 0


def missing_readers_but_the_last(flags: Sequence[int]) -> tuple[int, ...]:
    """The last reader that is missing is not waited for."""
    return missing_readers(flags)[:-1]


# Programs


def _edited(program: Program, change: Callable[[Branch], Branch]) -> Program:
    """The program with every branch changed."""
    return replace(
        program,
        instructions=tuple(
            replace(at, branches=tuple((outcome, change(branch)) for outcome, branch in at.branches))
            for at in program.instructions
        ),
    )


def resolve_back_to_the_second_row(table: Table) -> Program:
    """An actor whose caller gives up goes on with the second row."""
    return _edited(resolve(table), lambda one: replace(one, pc=FIRST_PC + 1) if one.edge is Edge.RESTARTED else one)


def resolve_moving_on_when_the_caller_gives_up(table: Table) -> Program:
    """An actor whose caller gives up leaves its block."""
    return _edited(resolve(table), lambda one: replace(one, advance=1) if one.edge is Edge.RESTARTED else one)


def resolve_staying_after_use(table: Table) -> Program:
    """An actor that is done with a block uses it again."""
    return _edited(resolve(table), lambda one: replace(one, advance=0) if one.edge is Edge.FINISHED else one)


def resolve_without_the_last_row(table: Table) -> Program:
    """The last row is left out."""
    return resolve(replace(table, rows=table.rows[:-1] or table.rows))


_SHIPPED_WRITER = resolve(PROTOCOL.writer)

WRITER_PROGRAM_THAT_TAKES_ANYTHING = replace(
    _SHIPPED_WRITER,
    instructions=tuple(
        replace(at, branches=(*at.branches, *((outcome, at.branches[0][1]) for outcome in Outcome)))
        for at in _SHIPPED_WRITER.instructions
    ),
)
"""Every row has an answer to every outcome."""
WRITER_PROGRAM_WITHOUT_CLEARING = resolve(PROTOCOL.without("W5").writer)
"""The read flags stay set."""
WRITER_PROGRAM_WITHOUT_CLAIMING = resolve(PROTOCOL.without("W3").writer)
"""The written flag stays set while the block is filled."""
READER_PROGRAM_WITHOUT_ITS_OWN_FLAG = resolve(PROTOCOL.without("R1").reader)
"""What was read is read again."""
READER_PROGRAM_WITHOUT_MARKING = resolve(PROTOCOL.without("R4").reader)
"""What was read is not marked."""

# The oracle


def owing_a_message_at_first(readers: int) -> Owed:
    """Every reader is owed the message that there is not."""
    return ((0,),) * readers


def accepted_in_front(owed: Owed, message: int) -> Owed:
    """A new message comes before those that are owed already."""
    return tuple((message, *queue) for queue in owed)


def delivered_by_its_first_word(owed: Owed, rank: int, words: Sequence[int]) -> tuple[Owed, str | None]:
    """The other words are not looked at."""
    return delivered(owed, rank, words[:1])


def delivered_if_anybody_is_owed_it(owed: Owed, rank: int, words: Sequence[int]) -> tuple[Owed, str | None]:
    """What another reader is owed is not stale."""
    left, broken = delivered(owed, rank, words)
    return left, None if any(words[0] in queue for queue in owed) else broken


def delivered_the_newest(owed: Owed, rank: int, words: Sequence[int]) -> tuple[Owed, str | None]:
    """The newest message is taken away instead of the one that was read."""
    left, broken = delivered(owed, rank, words)
    return (left if left == owed else (*owed[:rank], owed[rank][:-1], *owed[rank + 1 :])), broken


def passed_over_by_its_first_reader(owed: Owed, rank: int, words: Iterable[int]) -> tuple[Owed, str | None]:
    """It is always reader 0 that loses the message."""
    return passed_over(owed, 0 * rank, words)


def overwritten_for_the_first_reader(owed: Owed, word: int) -> tuple[Owed, str | None]:
    """What the other readers are owed is not looked at."""
    left, broken = overwritten(owed[:1], word)
    return left + owed[1:], broken


def withdrawn_from_the_first_reader(owed: Owed, message: int) -> Owed:
    """The other readers go on being owed what is gone."""
    return withdrawn(owed[:1], message) + owed[1:]


# The layout


def round_up_past_a_multiple(value: int, multiple: int) -> int:
    """A value that is a multiple already is rounded up to the next."""
    return (value // multiple + 1) * multiple


def round_up_to_words(value: int, multiple: int) -> int:
    """The multiple is not looked at."""
    return round_up(value, min(multiple, WORD_BYTES))


class LayoutWithEarlyMetadata(Layout):
    """The metadata starts one byte early."""

    __slots__ = ()

    @property
    def metadata_offset(self) -> int:
        """One byte before the end of the blocks."""
        return self.data_offset + self.max_chunks * self.block_stride_bytes - 1


class LayoutWithoutFrames(Layout):
    """The blocks have no room for their frames."""

    __slots__ = ()

    @property
    def block_stride_bytes(self) -> int:
        """Room for the payload only."""
        return round_up(self.max_chunk_bytes, CACHE_LINE_BYTES)


class LayoutWithoutWrittenFlags(Layout):
    """The entries have no room for their written flag."""

    __slots__ = ()

    @property
    def entry_stride_bytes(self) -> int:
        """Room for the read flags only."""
        return round_up(max(1, self.n_reader), CACHE_LINE_BYTES)


class LayoutWithEntriesOfPages(Layout):
    """Every entry takes whole pages."""

    __slots__ = ()

    @property
    def entry_stride_bytes(self) -> int:
        """Far more than a cache line of padding."""
        return round_up(self.entry_bytes, PAGE_BYTES)


class LayoutOverTheHeader(Layout):
    """The first block starts inside the header."""

    __slots__ = ()

    @property
    def data_offset(self) -> int:
        """A cache line early."""
        return HEADER_BYTES - CACHE_LINE_BYTES


class LayoutWithoutTheLastEntry(Layout):
    """The participants begin where the last entry does."""

    __slots__ = ()

    @property
    def participants_offset(self) -> int:
        """One entry short."""
        return self.entry_offset(self.max_chunks - 1)


class LayoutWithNarrowParticipants(Layout):
    """The participants' entries lie closer than they are long."""

    __slots__ = ()

    def participant_offset(self, rank: int) -> int:
        """Half a cache line apart."""
        return self.participants_offset + (1 + rank) * (CACHE_LINE_BYTES // 2)


class LayoutWithoutTheWriter(Layout):
    """Whoever counted the participants forgot the writer."""

    __slots__ = ()

    @property
    def awake_offset(self) -> int:
        """One participant short."""
        return self.participants_offset + self.n_reader * CACHE_LINE_BYTES


class LayoutWithoutWords(Layout):
    """The segment ends before the words of who is awake."""

    __slots__ = ()

    @property
    def total_bytes(self) -> int:
        """The words are left out."""
        return self.awake_offset


class LayoutThatRoundsItsChunk(Layout):
    """The argument check changes what it was given."""

    __slots__ = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_chunk_bytes", round_up(self.max_chunk_bytes, CACHE_LINE_BYTES))


class LayoutWithoutItsCheck(Layout):
    """Every geometry passes."""

    __slots__ = ()

    def __post_init__(self) -> None:
        pass


class HeaderWithItsOffsetsSwapped:
    """Makes headers in which two fields have changed places."""

    @staticmethod
    def of(layout: Layout, *, initial_read_flag: int, creator_pid: int, identity: bytes) -> Header:
        """The data's offset where the metadata's belongs, and the other way round."""
        right = Header.of(layout, initial_read_flag=initial_read_flag, creator_pid=creator_pid, identity=identity)
        return replace(right, data_offset=right.metadata_offset, metadata_offset=right.data_offset)


# Framing


def fill_whole_and_a_zero(block: memoryview, sequence: int, kind: int, body: bytes) -> None:
    """A byte is written behind the message, where there is room."""
    room = len(block) - FRAME_BYTES
    fill_whole(block, sequence, kind, (body + b"\0")[:room])
    Frame(sequence, len(body), kind, 3, len(body)).write(block)


def mark_raw_as_bytes(block: memoryview, sequence: int) -> None:
    """The caller's own block passes for a message."""
    room = len(block) - FRAME_BYTES
    Frame(sequence, room, BYTES, 3, room).write(block)


class OutgoingWithoutItsLastByte(Outgoing):
    """The last byte of a block is announced, and not copied."""

    def fill(self, block: memoryview, sequence: int) -> None:
        """Fill the block but for its last byte."""
        last = block[-1]
        super().fill(block, sequence)
        block[-1] = last


class AssemblyThatNeverForgets(Assembly):
    """A first part goes on with a message that was given up."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = b""

    def add(self, frame: Frame, part: memoryview) -> bool:
        """Take the parts of the message that was given up for its beginning."""
        self._kept += bytes(part)
        whole = memoryview(self._kept)
        return super().add(frame._replace(length_bytes=len(whole), part=frame.part | 1), whole)

    def take(self) -> tuple[int, bytes]:
        """All that has come, ever."""
        return BYTES, self._kept


def check_frame_of_any_sequence(frame: Frame, sequence: int, limit_bytes: int, block_index: int) -> None:
    """The sequence is taken as it comes."""
    check_frame(frame._replace(sequence=sequence), sequence, limit_bytes, block_index)


def check_frame_of_any_length(frame: Frame, sequence: int, limit_bytes: int, block_index: int) -> None:
    """The room in the block is not looked at."""
    check_frame(frame, sequence, max(limit_bytes, frame.length_bytes), block_index)


def check_frame_of_any_kind(frame: Frame, sequence: int, limit_bytes: int, block_index: int) -> None:
    """The kind is not looked at."""
    check_frame(frame._replace(kind=BYTES), sequence, limit_bytes, block_index)


def check_frame_of_any_raw_length(frame: Frame, sequence: int, limit_bytes: int, block_index: int) -> None:
    """A block that its caller filled need not be full."""
    room = min(limit_bytes, frame.length_bytes) if frame.kind == RAW else limit_bytes
    check_frame(frame, sequence, room, block_index)
