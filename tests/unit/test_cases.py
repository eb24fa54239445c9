"""The four cases, against the patterns of the design, for every entry of up to four readers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

import pytest

from ringbuffer.protocol import Case, classify, missing_readers, reader_may_read

PATTERNS = (
    (Case.UNWRITTEN, r"0[01]*"),
    (Case.WRITTEN, r"10+"),
    (Case.READ_BY_ALL, r"11*"),
    (Case.PARTLY_READ, r"1(?=.*0)(?=.*1)[01]+"),
)
ENTRIES = [bytes(flags) for readers in range(5) for flags in product((0, 1), repeat=1 + readers)]


def text(flags: Sequence[int]) -> str:
    return "".join(map(str, flags))


@pytest.mark.parametrize("flags", ENTRIES, ids=text)
def test_every_entry_is_in_exactly_the_case_that_the_design_draws(flags: bytes) -> None:
    assert [classify(flags)] == [case for case, pattern in PATTERNS if re.fullmatch(pattern, text(flags))]


def test_the_cases_have_the_numbers_of_the_original() -> None:
    assert [(case.name, int(case)) for case in Case] == [
        ("UNWRITTEN", 1),
        ("WRITTEN", 2),
        ("PARTLY_READ", 3),
        ("READ_BY_ALL", 4),
    ]


def test_the_writer_may_write_in_cases_1_and_4_only() -> None:
    assert [int(case) for case in Case if case.writer_may_write] == [1, 4]


@pytest.mark.parametrize("flags", ENTRIES, ids=text)
def test_a_reader_may_read_what_is_written_and_not_yet_read_by_it(flags: bytes) -> None:
    allowed = [rank for rank in range(len(flags) - 1) if reader_may_read(flags, rank)]
    assert allowed == [rank for rank in range(len(flags) - 1) if text(flags)[0] == "1" and text(flags)[1 + rank] == "0"]


@pytest.mark.parametrize("flags", ENTRIES, ids=text)
def test_the_missing_readers_are_those_that_may_still_read(flags: bytes) -> None:
    assert missing_readers(flags) == tuple(rank for rank in range(len(flags) - 1) if reader_may_read(flags, rank))


@pytest.mark.parametrize("flags", ENTRIES, ids=text)
def test_nobody_may_write_and_read_at_once(flags: bytes) -> None:
    assert not (classify(flags).writer_may_write and missing_readers(flags))


@pytest.mark.parametrize("make", [bytes, list, tuple, bytearray, lambda flags: memoryview(bytes(flags))])
def test_any_sequence_of_flags_will_do(make: type[Sequence[int]]) -> None:
    assert classify(make([1, 0, 1])) is Case.PARTLY_READ  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("flags", "words"), [((), "written flag"), ((2,), "byte 0 is 2"), ((0, 1, 255), "byte 2 is 255"), ((1, -1), "byte 1 is -1")]
)
def test_what_is_no_entry_is_refused_with_the_place_of_the_fault(flags: tuple[int, ...], words: str) -> None:
    for judge in (classify, missing_readers, lambda entry: reader_may_read(entry, 0)):
        with pytest.raises(ValueError, match=words):
            judge(flags)
