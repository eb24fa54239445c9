"""Every law, with its known-bad twins; and for those that CrossHair leaves open, why, and what tests them instead.

Rules: this is the one list: what it does not call open is expected to be confirmed over all paths, and a law that is not on
it is not claimed. Every law has a twin. Limits: what each module of laws says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ringbuffer.proof.contracts import cases, frames, layout, steps, twins


@dataclass(frozen=True, slots=True)
class Twin:
    """A broken version of what a law is about, and the name in the law's module in whose place it is put."""

    name: str
    broken: object


@dataclass(frozen=True, slots=True)
class Law:
    """A law: the function with its conditions, and its twins.

    ``open_because``: why CrossHair cannot confirm it; empty for a law that is expected to be confirmed over all paths.
    ``tested_by``: for an open law, the test that tries it otherwise, as a path from the root of the repository and a name.
    """

    function: Callable[..., bool]
    twins: tuple[Twin, ...]
    open_because: str = ""
    tested_by: str = ""

    @property
    def name(self) -> str:
        """The function's name: no two laws have the same."""
        return self.function.__name__

    @property
    def module(self) -> str:
        """The last part of the name of the module that the law is in."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def statement(self) -> str:
        """The law in words: the first line of its docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    @property
    def is_open(self) -> bool:
        """Whether CrossHair is expected to leave the law open."""
        return bool(self.open_because)


_TESTS: Final = "proofs/contracts/test_contracts.py::"

_CASES: Final = (
    Law(
        cases.the_case_is_that_of_the_table,
        (
            Twin("classify", twins.classify_without_the_last_flag),
            Twin("classify", twins.classify_by_the_first_reader),
        ),
    ),
    Law(
        cases.the_case_does_not_depend_on_which_readers_have_read,
        (Twin("classify", twins.classify_by_the_first_reader),),
    ),
    Law(
        cases.a_reader_may_read_what_is_written_and_not_marked,
        (
            Twin("reader_may_read", twins.reader_may_read_by_the_next_flag),
            Twin("reader_may_read", twins.reader_may_read_unwritten),
        ),
    ),
    Law(
        cases.those_missing_are_those_that_may_read,
        (Twin("missing_readers", twins.missing_readers_but_the_last),),
    ),
    Law(
        cases.the_writer_may_write_exactly_when_no_reader_may_read,
        (
            Twin("classify", twins.classify_without_the_last_flag),
            Twin("reader_may_read", twins.reader_may_read_unwritten),
        ),
    ),
    Law(
        cases.a_byte_that_is_no_flag_is_refused,
        (Twin("classify", twins.classify_anything_but_zero_as_one),),
        "the refusal spells the byte, which makes one path of each value",
        _TESTS + "test_every_byte_in_every_place_is_a_flag_or_refused",
    ),
)
_STEPS: Final = (
    Law(
        steps.a_branch_goes_forward_or_ends_the_turn,
        (
            Twin("resolve", twins.resolve_back_to_the_second_row),
            Twin("resolve", twins.resolve_moving_on_when_the_caller_gives_up),
        ),
    ),
    Law(
        steps.a_program_has_the_rows_of_its_table_in_order,
        (
            Twin("resolve", twins.resolve_without_the_last_row),
            Twin("resolve", twins.resolve_staying_after_use),
        ),
    ),
    Law(
        steps.a_row_answers_to_its_own_outcomes_only,
        (Twin("WRITER_PROGRAM", twins.WRITER_PROGRAM_THAT_TAKES_ANYTHING),),
    ),
    Law(
        steps.a_writers_turn_is_what_the_cases_say,
        (
            Twin("WRITER_PROGRAM", twins.WRITER_PROGRAM_WITHOUT_CLEARING),
            Twin("WRITER_PROGRAM", twins.WRITER_PROGRAM_WITHOUT_CLAIMING),
        ),
    ),
    Law(
        steps.a_readers_turn_is_what_the_cases_say,
        (
            Twin("READER_PROGRAM", twins.READER_PROGRAM_WITHOUT_ITS_OWN_FLAG),
            Twin("READER_PROGRAM", twins.READER_PROGRAM_WITHOUT_MARKING),
        ),
    ),
    Law(steps.nothing_is_owed_before_a_message_is_accepted, (Twin("nothing_owed", twins.owing_a_message_at_first),)),
    Law(steps.a_message_is_owed_to_everybody_behind_all_others, (Twin("accepted", twins.accepted_in_front),)),
    Law(
        steps.messages_in_order_are_received_without_complaint,
        (Twin("accepted", twins.accepted_in_front), Twin("delivered", twins.delivered_the_newest)),
    ),
    Law(steps.words_of_two_messages_are_torn, (Twin("delivered", twins.delivered_by_its_first_word),)),
    Law(steps.what_is_not_owed_is_stale, (Twin("delivered", twins.delivered_if_anybody_is_owed_it),)),
    Law(steps.a_delivery_takes_that_message_from_that_reader, (Twin("delivered", twins.delivered_the_newest),)),
    Law(
        steps.what_a_reader_gives_back_unread_is_lost,
        (Twin("passed_over", twins.passed_over_by_its_first_reader),),
    ),
    Law(
        steps.what_is_written_over_is_overwritten_if_anybody_was_owed_it,
        (Twin("overwritten", twins.overwritten_for_the_first_reader),),
    ),
    Law(steps.a_message_withdrawn_was_never_there, (Twin("withdrawn", twins.withdrawn_from_the_first_reader),)),
)
_LAYOUT: Final = (
    Law(layout.rounding_up_adds_less_than_one_multiple, (Twin("round_up", twins.round_up_past_a_multiple),)),
    Law(layout.rounding_up_to_a_cache_line_gives_a_multiple_of_it, (Twin("round_up", twins.round_up_to_words),)),
    Law(layout.blocks_do_not_overlap, (Twin("Layout", twins.LayoutWithoutFrames),)),
    Law(layout.entries_do_not_overlap, (Twin("Layout", twins.LayoutWithoutWrittenFlags),)),
    Law(layout.the_header_ends_before_the_blocks, (Twin("Layout", twins.LayoutOverTheHeader),)),
    Law(
        layout.the_blocks_end_before_the_entries,
        (Twin("Layout", twins.LayoutWithEarlyMetadata), Twin("Layout", twins.LayoutWithoutFrames)),
    ),
    Law(
        layout.the_entries_end_before_the_participants,
        (Twin("Layout", twins.LayoutWithoutTheLastEntry), Twin("Layout", twins.LayoutWithoutWrittenFlags)),
    ),
    Law(layout.participants_do_not_overlap, (Twin("Layout", twins.LayoutWithNarrowParticipants),)),
    Law(layout.the_participants_end_before_the_words, (Twin("Layout", twins.LayoutWithoutTheWriter),)),
    Law(layout.the_words_end_inside_the_segment, (Twin("Layout", twins.LayoutWithoutWords),)),
    Law(layout.everything_begins_on_a_cache_line, (Twin("Layout", twins.LayoutWithEarlyMetadata),)),
    Law(layout.no_byte_is_given_away, (Twin("Layout", twins.LayoutWithEntriesOfPages),)),
    Law(layout.the_header_says_what_the_layout_says, (Twin("Header", twins.HeaderWithItsOffsetsSwapped),)),
    Law(layout.a_geometry_within_the_bounds_is_taken_as_it_is, (Twin("Layout", twins.LayoutThatRoundsItsChunk),)),
    Law(
        layout.a_geometry_out_of_bounds_is_refused,
        (Twin("Layout", twins.LayoutWithoutItsCheck),),
        "the refusal spells the number, which makes one path of each value",
        _TESTS + "test_a_geometry_passes_exactly_if_it_is_within_the_bounds",
    ),
)
_FRAMES: Final = (
    Law(frames.a_message_that_fits_fills_its_place_and_no_more, (Twin("fill_whole", twins.fill_whole_and_a_zero),)),
    Law(frames.a_block_that_its_caller_filled_says_so, (Twin("mark_raw", twins.mark_raw_as_bytes),)),
    Law(frames.a_message_in_parts_arrives_whole, (Twin("Outgoing", twins.OutgoingWithoutItsLastByte),)),
    Law(frames.a_block_that_is_missing_or_comes_twice_is_noticed, (Twin("check_frame", twins.check_frame_of_any_sequence),)),
    Law(frames.a_message_given_up_is_never_delivered, (Twin("Assembly", twins.AssemblyThatNeverForgets),)),
    Law(frames.a_length_that_cannot_be_is_refused, (Twin("check_frame", twins.check_frame_of_any_length),)),
    Law(
        frames.a_kind_that_cannot_be_is_refused,
        (Twin("check_frame", twins.check_frame_of_any_kind), Twin("check_frame", twins.check_frame_of_any_raw_length)),
    ),
)

LAWS: Final = (*_CASES, *_STEPS, *_LAYOUT, *_FRAMES)
"""All of them, in the order of the modules."""
BY_NAME: Final = {law.name: law for law in LAWS}
