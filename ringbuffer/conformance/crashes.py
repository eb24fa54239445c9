"""A process that is killed: what the others still get.

A victim is a process with one end; it is killed with SIGKILL after so many calls, or before so many lines of the ring's Python
code inside of one. The others are in this process. They must get what was written, whole, in order and once; the message that
the victim had in its hands may be there or not, but not in part. Rules: where a victim dies is counted, not timed; the first
victim of a kind lives, to count the lines. Limits: a sample of the lines where there are many; no line inside of an extension.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.conformance import messages
from ringbuffer.conformance.peer import TRY_READ, TRY_WRITE, PeerProblem
from ringbuffer.conformance.processes import Stage, staged

if TYPE_CHECKING:
    from ringbuffer.conformance.clauses import Context

BLOCKS: Final = 2
BLOCK_BYTES: Final = 256
REPORT_SECONDS: Final = 30.0
"""What a wait is given that is to end by the report of a death."""


def _spread(count: int, most: int) -> list[int]:
    """``most`` of the numbers below ``count``, evenly, or all."""
    if count <= most:
        return list(range(count))
    return sorted({round(at * (count - 1) / max(1, most - 1)) for at in range(most)})


def _peer_errors(ring: Any) -> tuple[type[Exception], ...]:
    errors = getattr(ring, "peer_error", ())
    return errors if isinstance(errors, tuple) else (errors,)


def _try(stage: Stage, call: Any) -> Any:
    """A call of one that lives: what it returns, or ``None`` where it reports the death."""
    try:
        return call()
    except _peer_errors(stage.ring) as error:
        stage.story.append(f"{type(error).__name__} is raised")
        return None


# ---- Readers -------------------------------------------------------------------------------------------------------------


def _reader_lives(stage: Stage, count: int) -> None:
    """The writer writes ``count`` messages, and both readers, of which reader 0 is the victim, read them."""
    stage.start(0)
    stage.end(-1), stage.end(1)
    for number in range(1, count + 1):
        if not stage.write(number):
            raise stage.broken("the writer found no room, though the readers have read all")
        stage.check(0, number, stage.peers[0].call(TRY_READ))
        stage.check(1, number, stage.end(1).try_read())


def _others_go_on(stage: Stage, written: int, read: int, room: int) -> None:
    """``written`` messages were written, of which reader 1 has read ``read``; ``room`` more must fit, at the least."""
    last = written
    while last < written + 2 * BLOCKS and _try(stage, partial(stage.write, last + 1)):
        last += 1
        if last - read == BLOCKS:
            read += 1
            stage.check(1, read, _try(stage, stage.end(1).try_read))
    if last - written < room:
        raise stage.broken(f"the writer found room for {last - written} more, and {room} must fit")
    while read < last:
        read += 1
        stage.check(1, read, _try(stage, stage.end(1).try_read))
    if (more := _try(stage, stage.end(1).try_read)) is not None:
        stage.check(1, last + 1, more)
        raise stage.broken(f"reader 1 reads {messages.name(last + 1)}, which was not written")


def reader_between(context: Context) -> None:
    """X1."""
    points = _spread(2 * BLOCKS, context.effort.kills)
    for count in points:
        with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
            _reader_lives(stage, count)
            stage.peers[0].die()
            stage.story.append("reader 0 is killed")
            _others_go_on(stage, count, count, BLOCKS)
    context.tried.append(f"killed after {', '.join(map(str, points))} messages")


def reader_inside(context: Context) -> None:
    """X3."""
    before = BLOCKS + 1  # in the second lap, where there is something old in the block
    lines: int | None = None
    with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
        _reader_lives(stage, before)
        stage.write(before + 1)
        _, lines = stage.peers[0].ask(TRY_READ, None)
    points = _spread(lines, context.effort.kills)
    for line in points:
        with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
            _reader_lives(stage, before)
            stage.write(before + 1)
            stage.peers[0].dies_at(line, TRY_READ)
            stage.story.append(f"reader 0 begins to read, and is killed before line {line} of its call")
            _others_go_on(stage, before + 1, before, BLOCKS - 1)
    context.tried.append(f"killed before {len(points)} of the {lines} lines of a read")


# ---- The writer ----------------------------------------------------------------------------------------------------------


def _writer_lives(stage: Stage, count: int) -> None:
    """The victim writes ``count`` messages; both readers read what must be read for that to fit."""
    stage.start(-1)
    stage.end(0), stage.end(1)
    for number in range(1, count + 1):
        if number > BLOCKS:
            for rank in (0, 1):
                stage.check(rank, number - BLOCKS, stage.end(rank).try_read())
        if not stage.peers[-1].call(TRY_WRITE, stage.body(number)):
            raise stage.broken(f"the writer found no room for {messages.name(number)}")
        stage.story.append(f"writer writes {messages.name(number)}")


def _readers_get(stage: Stage, written: int, *, begun: bool) -> None:
    """Both readers get what was written and not read; of what was ``begun``, all or nothing, and both the same."""
    first = max(1, written - BLOCKS + 1)
    got_more: list[bool] = []
    for rank in (0, 1):
        for number in range(first, written + 1):
            stage.check(rank, number, _try(stage, stage.end(rank).try_read))
        more = _try(stage, stage.end(rank).try_read)
        got_more.append(more is not None)
        if more is not None:
            stage.check(rank, written + 1, more)
            if not begun:
                raise stage.broken(f"reader {rank} reads {messages.name(written + 1)}, which was not written")
    if len(set(got_more)) > 1:
        raise stage.broken(f"one reader got {messages.name(written + 1)}, and the other did not")


def writer_between(context: Context) -> None:
    """X2."""
    points = _spread(2 * BLOCKS + 1, context.effort.kills)
    for count in points:
        with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
            _writer_lives(stage, count)
            stage.peers[-1].die()
            stage.story.append("the writer is killed")
            _readers_get(stage, count, begun=False)
    context.tried.append(f"killed after {', '.join(map(str, points))} messages")


def writer_inside(context: Context) -> None:
    """X4."""
    before = BLOCKS
    with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
        _writer_is_about_to(stage, before)
        _, lines = stage.peers[-1].ask(TRY_WRITE, None, stage.body(before + 1))
    points = _spread(lines, context.effort.kills)
    for line in points:
        with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
            _writer_is_about_to(stage, before)
            stage.peers[-1].dies_at(line, TRY_WRITE, stage.body(before + 1))
            stage.story.append(
                f"writer begins to write {messages.name(before + 1)}, and is killed before line {line} of its call"
            )
            for rank in (0, 1):
                stage.check(rank, before, _try(stage, stage.end(rank).try_read))
            _last_whole_or_not(stage, before + 1)
    context.tried.append(f"killed before {len(points)} of the {lines} lines of a write")


def _writer_is_about_to(stage: Stage, before: int) -> None:
    """The ring has been filled once, and both readers have read the first message, so that the next overwrites it."""
    _writer_lives(stage, before)
    for rank in (0, 1):
        for number in range(1, before):
            stage.check(rank, number, stage.end(rank).try_read())


def _last_whole_or_not(stage: Stage, number: int) -> None:
    got = []
    for rank in (0, 1):
        data = _try(stage, stage.end(rank).try_read)
        got.append(data is not None)
        if data is not None:
            stage.check(rank, number, data)
    if len(set(got)) > 1:
        raise stage.broken(f"one reader got {messages.name(number)}, and the other did not")


# ---- Reports -------------------------------------------------------------------------------------------------------------


def reported(context: Context) -> None:
    """X5."""
    with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
        _writer_lives(stage, 1)
        stage.check(0, 1, stage.end(0).try_read())
        stage.peers[-1].die()
        stage.story.append("the writer is killed")
        _is_told(stage, "reader 0", lambda: stage.end(0).read(REPORT_SECONDS))
    with staged(context, 2, BLOCKS, BLOCK_BYTES) as stage:
        _reader_lives(stage, 1)
        stage.peers[0].die()
        stage.story.append("reader 0 is killed")
        number = 1
        while number < 1 + BLOCKS and _try(stage, partial(stage.write, number + 1)):
            number += 1
            stage.check(1, number, stage.end(1).try_read())
        _is_told(stage, "the writer", lambda: stage.end(-1).write(stage.body(number + 1), REPORT_SECONDS))
    context.tried.append("a writer and a reader")


def _is_told(stage: Stage, who: str, wait: Any) -> None:
    try:
        result = wait()
    except _peer_errors(stage.ring):
        return
    except PeerProblem:
        raise
    except Exception as error:
        raise stage.broken(f"{who} waits, and gets {type(error).__name__}: {error}".splitlines()[0]) from None
    raise stage.broken(
        f"{who} waits, and is not told of the death within {REPORT_SECONDS:.0f} s (its wait returned {result!r:.40})"
    )
