"""Laws of the steps: where the rows of a table lead, what a turn does to an entry, and what the oracle says of a delivery.

Rules: a law about :func:`~ringbuffer.protocol.program.resolve` takes every table that is left of a shipped one when some rows
are dropped, with any whole numbers as its moves through the ring where they matter; one about a turn takes every entry;
one about the oracle takes any whole numbers as messages. Limits: entries of up to three readers; two readers with queues of
up to three messages; payloads of two words; one process at a time, as what several do together is what the explorer is for.
"""

# crosshair: per_condition_timeout=60

from __future__ import annotations

from dataclasses import replace

from ringbuffer.proof.contracts.cases import entry
from ringbuffer.protocol.cases import Case, classify, reader_may_read
from ringbuffer.protocol.oracle import Owed, accepted, delivered, nothing_owed, overwritten, passed_over, withdrawn
from ringbuffer.protocol.program import FIRST_PC, Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.table import READER, WRITER, Access, Flag, Kind, Outcome, Table, Then

WRITER_PROGRAM = resolve(WRITER)
READER_PROGRAM = resolve(READER)


def table_of(reads: bool, kept: tuple[bool, ...], moves: tuple[int, int]) -> Table:
    """A shipped table with the rows that are kept, and with those moves after use and while waiting."""
    table = READER if reads else WRITER
    rows = tuple(row for row, keep in zip(table.rows, kept, strict=False) if keep)
    after_use, while_waiting = moves
    return replace(table, rows=rows, advance_after_use=after_use, advance_while_waiting=while_waiting)


def a_branch_goes_forward_or_ends_the_turn(
    reads: bool, a: bool, b: bool, c: bool, d: bool, e: bool, f: bool, after_use: int, while_waiting: int
) -> bool:
    """A branch leads to a later row about the same block, or to the first row, and only then on through the ring as it should.

    pre: a or b or c or d or (not reads and (e or f))
    post: _
    """
    program = resolve(table_of(reads, (a, b, c, d, e, f), (after_use, while_waiting)))
    moves = {Edge.RESTARTED: 0, Edge.WAITED: while_waiting, Edge.FINISHED: after_use}
    return all(_leads_right(program, at, branch, moves) for at in program.instructions for _, branch in at.branches)


def _leads_right(program: Program, at: Instruction, branch: Branch, moves: dict[Edge, int]) -> bool:
    if branch.edge is Edge.FORWARD:
        return at.pc < branch.pc < len(program) and branch.advance == 0
    return branch.pc == FIRST_PC and branch.advance == moves[branch.edge]


def a_program_has_the_rows_of_its_table_in_order(reads: bool, a: bool, b: bool, c: bool, d: bool, e: bool, f: bool) -> bool:
    """A program has each row once, finds it by its id, and goes from it to the row behind, from the last to the next block.

    pre: a or b or c or d or (not reads and (e or f))
    post: _
    """
    table = table_of(reads, (a, b, c, d, e, f), (1, 0))
    program = resolve(table)
    return len(program) == len(table.rows) and all(
        at.row is row and at.pc == pc == program.pc_of(row.id) and _goes_on(at, len(program) - 1)
        for pc, (row, at) in enumerate(zip(table.rows, program.instructions, strict=True))
    )


def _goes_on(at: Instruction, last: int) -> bool:
    behind = Branch(at.pc + 1, 0, Edge.FORWARD) if at.pc < last else Branch(FIRST_PC, 1, Edge.FINISHED)
    return all(at.branch(outcome) == behind for outcome, then in at.row.then if then is Then.NEXT)


def a_row_answers_to_its_own_outcomes_only(reads: bool, row: int, number: int) -> bool:
    """An outcome that a row's access cannot have leads nowhere: it raises ``KeyError``.

    pre: 0 <= row < (4 if reads else 6) and 0 <= number < 4
    post: _
    """
    outcome = tuple(Outcome)[number]
    instruction = (READER_PROGRAM if reads else WRITER_PROGRAM)[row]
    try:
        instruction.branch(outcome)
    except KeyError:
        return outcome not in dict(instruction.row.then)
    return outcome in dict(instruction.row.then)


def run_access(access: Access, flags: list[int], rank: int, gives_up: bool) -> Outcome:
    """What comes of a row's access to an entry when nobody else is there: the meaning of the notation, for one process."""
    if access.kind in (Kind.FILL, Kind.READ):
        return Outcome.ABORTED if gives_up else Outcome.DONE
    assert access.flag in (Flag.WRITTEN, Flag.OWN, Flag.EACH), "the shipped tables have no other"
    places = {Flag.WRITTEN: [0], Flag.OWN: [1 + rank], Flag.EACH: list(range(1, len(flags)))}[access.flag]
    if access.kind is Kind.LOAD:
        return Outcome.ONE if all(flags[place] for place in places) else Outcome.ZERO
    for place in places:
        assert access.value is not None, "a store has a value"
        flags[place] = access.value
    return Outcome.DONE


def run_turn(program: Program, flags: list[int], rank: int, gives_up: bool) -> Branch:
    """Run the rows on an entry, from the first one until a branch ends the turn; the flags are changed in place."""
    branch = Branch(FIRST_PC, 0, Edge.FORWARD)
    while branch.edge is Edge.FORWARD:
        instruction = program[branch.pc]
        branch = instruction.branch(run_access(instruction.row.access, flags, rank, gives_up))
    return branch


def a_writers_turn_is_what_the_cases_say(
    readers: int, written: bool, first: bool, second: bool, third: bool, gives_up: bool
) -> bool:
    """The writer takes a block in the cases in which it may, and leaves it in case 2; one that gives up leaves it in case 1.

    pre: 0 <= readers <= 3
    post: _
    """
    before = entry(readers, written, first, second, third)
    flags = [int(flag) for flag in before]
    end = run_turn(WRITER_PROGRAM, flags, 0, gives_up)
    if not classify(before).writer_may_write:
        return end == Branch(FIRST_PC, 0, Edge.WAITED) and tuple(flags) == before
    if gives_up:
        return end == Branch(FIRST_PC, 0, Edge.RESTARTED) and classify(flags) is Case.UNWRITTEN
    expected = Case.WRITTEN if readers else Case.READ_BY_ALL
    return end == Branch(FIRST_PC, 1, Edge.FINISHED) and classify(flags) is expected


def a_readers_turn_is_what_the_cases_say(
    written: bool, first: bool, second: bool, third: bool, rank: int, gives_up: bool
) -> bool:
    """A reader takes a block when it may, and then sets its own flag and no other; one that gives up sets none.

    pre: 0 <= rank <= 2
    post: _
    """
    before = (written, first, second, third)
    flags = [int(flag) for flag in before]
    end = run_turn(READER_PROGRAM, flags, rank, gives_up)
    if not reader_may_read(before, rank):
        return end == Branch(FIRST_PC, 0, Edge.WAITED) and tuple(flags) == before
    if gives_up:
        return end == Branch(FIRST_PC, 0, Edge.RESTARTED) and tuple(flags) == before
    marked = tuple(flag or place == 1 + rank for place, flag in enumerate(before))
    return end == Branch(FIRST_PC, 1, Edge.FINISHED) and tuple(flags) == marked


def owed_to_two(size: int, other: int, a: int, b: int, c: int) -> Owed:
    """Two readers that are owed the last so many of three messages, as two readers of one ring are."""
    queue = (a, b, c)
    return queue[3 - size :], queue[3 - other :]


def nothing_is_owed_before_a_message_is_accepted(readers: int) -> bool:
    """At first every reader is owed nothing.

    pre: 0 <= readers <= 8
    post: _
    """
    owed = nothing_owed(readers)
    return len(owed) == readers and not any(owed)


def a_message_is_owed_to_everybody_behind_all_others(size: int, other: int, a: int, b: int, c: int, new: int) -> bool:
    """An accepted message is the last that every reader is owed, and changes nothing about the others.

    pre: 0 <= size <= 3 and 0 <= other <= 3
    post: _
    """
    owed = owed_to_two(size, other, a, b, c)
    return accepted(owed, new) == tuple((*queue, new) for queue in owed)


def messages_in_order_are_received_without_complaint(a: int, b: int, c: int) -> bool:
    """Three messages that are accepted and read whole, in order, break nothing, and then none of them is owed.

    pre: a != b != c != a
    post: _
    """
    owed = accepted(accepted(accepted(nothing_owed(1), a), b), c)
    for message in (a, b, c):
        owed, broken = delivered(owed, 0, (message, message))
        if broken is not None:
            return False
    return owed == ((),)


def words_of_two_messages_are_torn(size: int, a: int, b: int, c: int, word: int, other_word: int) -> bool:
    """A payload with words of two messages is torn, and counts as no delivery.

    pre: 0 <= size <= 3 and word != other_word
    post: _
    """
    owed = owed_to_two(size, 3, a, b, c)
    return delivered(owed, 0, (word, other_word)) == (owed, "torn")


def what_is_not_owed_is_stale(size: int, a: int, b: int, c: int, word: int) -> bool:
    """A whole payload that the reader is not owed is stale, even if another reader is owed it, and changes nothing.

    pre: 0 <= size <= 3
    pre: word not in (a, b, c)[3 - size :]
    post: _
    """
    owed = owed_to_two(size, 3, a, b, c)
    return delivered(owed, 0, (word, word)) == (owed, "stale")


def a_delivery_takes_that_message_from_that_reader(size: int, rank: int, place: int, a: int, b: int, c: int) -> bool:
    """A whole payload that is owed is owed no longer to that reader; it is reordered exactly if an older one was owed.

    pre: a != b != c != a
    pre: 0 <= size <= 3 and 0 <= rank <= 1
    pre: 0 <= place < (2 if rank else size)
    post: _
    """
    owed = owed_to_two(size, 2, a, b, c)
    message = owed[rank][place]
    left, broken = delivered(owed, rank, (message, message))
    kept = owed[rank][:place] + owed[rank][place + 1 :]
    return broken == ("reordered" if place else None) and left[rank] == kept and left[1 - rank] == owed[1 - rank]


def what_a_reader_gives_back_unread_is_lost(size: int, rank: int, a: int, b: int, c: int, word: int) -> bool:
    """A reader that is done with a block whose words it is still owed has lost that message, and nobody else has.

    pre: a != b != c != a
    pre: 0 <= size <= 3 and 0 <= rank <= 1
    post: _
    """
    owed = owed_to_two(size, 2, a, b, c)
    left, broken = passed_over(owed, rank, (word, word))
    others = tuple(message for message in owed[rank] if message != word)
    return broken == ("lost" if word in owed[rank] else None) and left[rank] == others and left[1 - rank] == owed[1 - rank]


def what_is_written_over_is_overwritten_if_anybody_was_owed_it(
    size: int, other: int, a: int, b: int, c: int, word: int
) -> bool:
    """A word written over breaks the rule exactly if some reader was owed its message; then nobody is, and all else stays.

    pre: a != b != c != a
    pre: 0 <= size <= 3 and 0 <= other <= 3
    post: _
    """
    owed = owed_to_two(size, other, a, b, c)
    left, broken = overwritten(owed, word)
    without = tuple(tuple(message for message in queue if message != word) for queue in owed)
    return left == without and broken == ("overwritten" if left != owed else None)


def a_message_withdrawn_was_never_there(size: int, other: int, a: int, b: int, c: int, new: int) -> bool:
    """A new message that is accepted and withdrawn leaves everything as it was.

    pre: 0 <= size <= 3 and 0 <= other <= 3
    pre: new not in (a, b, c)
    post: _
    """
    owed = owed_to_two(size, other, a, b, c)
    return withdrawn(accepted(owed, new), new) == owed
