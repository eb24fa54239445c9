"""Laws of the four cases: which case an entry is in, and who may use its block then.

Rules: a law takes the flags of an entry one by one, and how many readers there are, so that its paths are finitely many and
all of them are tried. Limits: entries of up to three readers, which is every combination of flags that the cases tell apart
(none, some and all of at least two), and not a proof for more.
"""

# crosshair: per_condition_timeout=60

from __future__ import annotations

from ringbuffer.protocol.cases import FLAG_BYTES, Case, classify, missing_readers, reader_may_read

BYTE_VALUES = 256


def entry(readers: int, written: bool, first: bool, second: bool, third: bool) -> tuple[bool, ...]:
    """The flags of an entry with so many readers, up to three, the written flag first."""
    return (written, *(first, second, third)[:readers])


def the_case_is_that_of_the_table(readers: int, written: bool, first: bool, second: bool, third: bool) -> bool:
    """An entry is in the case whose row of the specification's table it matches, and in no other.

    pre: 0 <= readers <= 3
    post: _
    """
    flags = entry(readers, written, first, second, third)
    case, marks = classify(flags), flags[1:]
    return (
        (case is Case.UNWRITTEN) == (not written)
        and (case is Case.WRITTEN) == (written and readers > 0 and not any(marks))
        and (case is Case.PARTLY_READ) == (written and any(marks) and not all(marks))
        and (case is Case.READ_BY_ALL) == (written and all(marks))
    )


def the_case_does_not_depend_on_which_readers_have_read(written: bool, first: bool, second: bool, third: bool) -> bool:
    """Two readers that change places change no case: it counts the marks, whosever they are.

    post: _
    """
    case = classify((written, first, second, third))
    return case is classify((written, second, first, third)) is classify((written, first, third, second))


def a_reader_may_read_what_is_written_and_not_marked(
    readers: int, written: bool, first: bool, second: bool, third: bool, rank: int
) -> bool:
    """A reader may read a block exactly when it is written and the reader's own flag is 0, whatever the others' flags are.

    pre: 0 <= rank < readers <= 3
    post: _
    """
    flags = entry(readers, written, first, second, third)
    return reader_may_read(flags, rank) == (written and not flags[1 + rank])


def those_missing_are_those_that_may_read(readers: int, written: bool, first: bool, second: bool, third: bool) -> bool:
    """The readers that a writer waits for are those that may read, in ascending order.

    pre: 0 <= readers <= 3
    post: _
    """
    flags = entry(readers, written, first, second, third)
    return missing_readers(flags) == tuple(rank for rank in range(readers) if reader_may_read(flags, rank))


def the_writer_may_write_exactly_when_no_reader_may_read(
    readers: int, written: bool, first: bool, second: bool, third: bool
) -> bool:
    """In every case either the writer may use the block or some reader may, and never both.

    pre: 0 <= readers <= 3
    post: _
    """
    flags = entry(readers, written, first, second, third)
    return classify(flags).writer_may_write == (not any(reader_may_read(flags, rank) for rank in range(readers)))


def a_byte_that_is_no_flag_is_refused(place: int, byte: int) -> bool:
    """An entry with a byte that is neither 0 nor 1, anywhere in it, is refused.

    pre: 0 <= place < 4 and 0 <= byte < BYTE_VALUES
    post: _
    """
    # crosshair: max_iterations=40
    flags = [byte if index == place else 1 for index in range(4)]
    try:
        classify(flags)
    except ValueError:
        return byte not in FLAG_BYTES
    return byte in FLAG_BYTES
