"""The extension in C: it does what the Python forms and an interpreter of rows do, and refuses what it is not to do.

Where the extension was not built, all of this is skipped, and each skip says so.
"""

from __future__ import annotations

import itertools
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import pytest
from edits import FENCES_AND_LOCKS, variants
from hypothesis import example, given, settings
from hypothesis import strategies as st
from interpreting import COMPOSED, Interpreter, Places, composed
from support import (
    LONG_SECONDS,
    Background,
    needs_extension,
    needs_little_endian,
    the_extension,
    what,
)

from ringbuffer.compiled import ENDED, FOUND, Compiled, bind_native, bind_python, step_native, step_python
from ringbuffer.errors import VariantError
from ringbuffer.memory import codes, encoding
from ringbuffer.memory.encoding import EncodedRow, encode
from ringbuffer.memory.layout import Layout
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Edge, Flag, Kind, Ordering, Outcome, Program, Table, Variant
from ringbuffer.protocol.waking import Waking, executed

pytestmark = needs_extension
READERS, BLOCKS, MARGIN, STRIDE = 3, 2, 5, 7
"""What the tests run on lies in a buffer of their own, with bytes around and between that nothing may touch."""
FLAGS_END = 2 * MARGIN + BLOCKS * STRIDE
AWAKE_AT, POSITION_AT, DATA_AT, CHUNK, BLOCK_STRIDE = 28, 48, 61, 16, 51
SIZE = DATA_AT + BLOCKS * BLOCK_STRIDE + MARGIN
assert FLAGS_END <= AWAKE_AT
assert AWAKE_AT + 4 * (1 + READERS) < POSITION_AT
PLACES: Final = Places(READERS, BLOCKS, MARGIN, STRIDE, AWAKE_AT, POSITION_AT)
CALLS: Final = ("begin", "finish", "abort")
ALL_CALLS: Final = (*CALLS, "rest")
UNTIMED = settings(deadline=None)


def side(variant: Variant, rank: int) -> Program:
    return variant.programs[0 if rank == -1 else 1]


def table_of(variant: Variant, rank: int) -> Table:
    return variant.writer if rank == -1 else variant.reader


def offset_of(block: int, place: int) -> int:
    return MARGIN + block * STRIDE + place


def runner_of(rows: object, memory: bytearray, rank: int = -1, **changes: Any) -> Any:
    """A runner on the flags in ``memory``."""
    sizes = {"blocks": BLOCKS, "flags_offset": MARGIN, "entry_stride": STRIDE, "readers": READERS, "own": 1 + rank}
    places = {"position_offset": POSITION_AT, "awake_offset": AWAKE_AT}
    frames = {"data_offset": DATA_AT, "block_stride": BLOCK_STRIDE, "chunk_bytes": CHUNK}
    return the_extension().Runner(**({"buffer": memory, "rows": rows} | sizes | places | frames | changes))


ANY = variants(keep=("W4", "R3"))
"""Edited tables that keep the caller's part on both sides; with fences, locks, and loops."""
PYTHONS = variants(keep=("W4", "R3"), never=FENCES_AND_LOCKS)
"""Of those, the ones that have only accesses that Python can make."""
RANKS = st.integers(-1, READERS - 1)
BITS = st.binary(min_size=BLOCKS * (1 + READERS), max_size=BLOCKS * (1 + READERS)).map(lambda b: bytes(x & 1 for x in b))
BYTES = st.binary(min_size=BLOCKS * (1 + READERS), max_size=BLOCKS * (1 + READERS)).map(
    lambda b: bytes(x if x > 127 else x & 1 for x in b)
)
WORDS_IN_MEMORY = st.lists(st.sampled_from([0, 1, 1, 2, 256, 1 << 31]), min_size=1 + READERS, max_size=1 + READERS).map(tuple)
Situation: TypeAlias = tuple[str, bytes, tuple[int, ...]]
"""A call, and the flags and the words that it finds."""
SCHEDULE = st.lists(st.tuples(st.sampled_from(ALL_CALLS), BYTES, WORDS_IN_MEMORY), min_size=1, max_size=6)


def put(memory: bytearray, flags: bytes, words: tuple[int, ...]) -> None:
    for block, place in itertools.product(range(BLOCKS), range(1 + READERS)):
        memory[offset_of(block, place)] = flags[block * (1 + READERS) + place]
    struct.pack_into(f"={1 + READERS}I", memory, AWAKE_AT, *words)


def rests(runner: Any, call: str) -> bool:
    """Whether there is something to do: the tables that cannot rest refuse it."""
    if call == "rest" and not runner.can_rest:
        with pytest.raises(ValueError, match="no row lies down"):
            runner.rest(0)
        return False
    return True


def called(runner: Any, call: str) -> Any:
    """A call, of which none lasts."""
    return runner.rest(0) if call == "rest" else getattr(runner, call)()


def compare_calls(rows: object, program: Program, rank: int, schedule: list[Situation]) -> None:
    """Whole calls: the same result, the same bytes everywhere in the buffer, and the same place afterwards."""
    mine, its = bytearray(b"\xa5" * SIZE), bytearray(b"\xa5" * SIZE)
    interpreter, runner = Interpreter(program, mine, rank, PLACES), runner_of(rows, its, rank)
    for call, flags, words in schedule:
        put(mine, flags, words)
        put(its, flags, words)
        if not rests(runner, call):
            continue
        expected = interpreter.run(call)
        if expected is None:
            return  # it runs in circles, and so would the runner; tried below, step by step
        assert (called(runner, call), its) == (expected, mine)
        assert (runner.where(), runner.done()) == (interpreter.block, interpreter.done)


def compare_steps(
    rows: object, program: Program, rank: int, schedule: list[Situation], pick: Callable[[tuple[int, ...]], int]
) -> None:
    """Step by step: where it stands, what it may visit, the byte that it touches, the value, all other bytes."""
    going = the_extension().GOING
    mine, its = bytearray(b"\xa5" * SIZE), bytearray(b"\xa5" * SIZE)
    interpreter, runner = Interpreter(program, mine, rank, PLACES), runner_of(rows, its, rank)
    for call, flags, words in schedule:
        put(mine, flags, words)
        put(its, flags, words)
        if not rests(runner, call):
            continue
        expected = interpreter.enter(call)
        assert runner.enter(call) == (going if expected is None else expected)
        for _ in range(40):
            if expected is not None:
                break
            ranks = interpreter.ranks()
            assert runner.stop() == (interpreter.pc, interpreter.block, ranks)
            rank_visited = pick(ranks) if ranks else 0
            expected = interpreter.access(rank_visited)
            assert runner.step(rank_visited) == (going if expected is None else expected, *interpreter.touched)
            assert its == mine
        assert (runner.where(), runner.done()) == (interpreter.block, interpreter.done)


# It does what Python does.


@UNTIMED
@given(ANY, COMPOSED, RANKS, SCHEDULE)
def test_calls_do_what_an_interpreter_of_the_rows_does(
    variant: Variant, extra: str | Waking | None, rank: int, schedule: list[Situation]
) -> None:
    program = composed(table_of(variant, rank), extra)
    compare_calls(encode(program), program, rank, schedule)


@UNTIMED
@given(ANY, COMPOSED, RANKS, SCHEDULE, st.randoms(use_true_random=False))
def test_steps_do_what_an_interpreter_of_the_rows_does_in_any_order_of_flags(
    variant: Variant, extra: str | Waking | None, rank: int, schedule: list[Situation], random: Any
) -> None:
    program = composed(table_of(variant, rank), extra)
    compare_steps(encode(program), program, rank, schedule, random.choice)


@pytest.fixture(scope="module")
def segments() -> Iterator[tuple[Segment, Segment]]:
    pair = Segment.create(Layout(READERS, 8, BLOCKS)), Segment.create(Layout(READERS, 8, BLOCKS))
    yield pair
    for segment in pair:
        segment.unlink()
        segment.close()


@contextmanager
def both(
    program: Program, segments: tuple[Segment, Segment], rank: int, makers: tuple[Any, Any] = (bind_python, bind_native)
) -> Iterator[list[Any]]:
    """The rows in Python and in C, each on a segment of its own."""
    ends: list[Any] = []
    try:
        for make, segment in zip(makers, segments, strict=True):
            ends.append(make(program, segment, rank))
        yield ends
    finally:
        for view in (view for end in ends for view in end.views):
            view.release()


@needs_little_endian
@UNTIMED
@given(PYTHONS, COMPOSED, RANKS, st.lists(st.tuples(st.sampled_from(ALL_CALLS), BITS, WORDS_IN_MEMORY), min_size=1, max_size=6))
def test_calls_on_a_segment_do_what_compiled_python_does_to_every_byte(
    segments: tuple[Segment, Segment], variant: Variant, extra: str | Waking | None, rank: int, schedule: list[Situation]
) -> None:
    program = composed(table_of(variant, rank), extra)
    refused = [what(lambda make=make: make(program, segments[0], rank)) for make in (bind_python, bind_native)]  # type: ignore[misc]
    if isinstance(refused[0], tuple):
        assert refused[0] == refused[1]
        return
    for end in refused:
        end.release()
    with both(program, segments, rank) as (python, in_c):
        assert python.can_rest == in_c.can_rest
        for end in (python, in_c):
            end.resume(len(schedule))
        for call, flags, words in schedule:
            for segment in segments:
                put_in_segment(segment, flags, words)
            if rests(python, call) and rests(in_c, call):
                assert called(python, call) == called(in_c, call)
            assert (python.where(), python.done()) == (in_c.where(), in_c.done())
            header = segments[0].header.header_bytes
            assert segments[0].whole()[header:] == segments[1].whole()[header:]


WAITS = st.fixed_dictionaries(
    {
        "spin_count": st.sampled_from([0, 1, 3]),
        "yield_seconds": st.sampled_from([0.0, 1e-9, 3600.0]),
        "has_sought": st.booleans(),
        "is_cancelled": st.booleans(),
        "decode_tensor": st.sampled_from([None, bytearray.upper]),
    }
)
"""What a runner is told, of waiting and of tensors, and what an earlier call may have left; it is always roused, so that no
look lasts."""
MESSAGES = st.tuples(
    st.sampled_from(["message", "message", "whole", "finish", "abort"]),
    st.sampled_from([(), (None,), (0,), (1e-9,), (3600.0,)]),
    st.sampled_from([codes.BYTES, codes.BYTES, codes.PICKLE, codes.TENSOR, 3, 77, 1 << 31]),
    st.sampled_from([codes.WHOLE, codes.WHOLE, codes.WHOLE, 1]),
    st.sampled_from([0, 0, 0, 1]),
    WAITS,
    BITS,
)
"""A call, its time-out, the frame that it finds (kind, part, and by how much its number is wrong), and how it waits."""


def come(end: Any, writes: bool, call: str, timeout: tuple[Any, ...]) -> Any:
    """What comes of a call: where a message is received that, in a list, or why there is none."""
    if call == "message" and writes:
        return end.send(codes.BYTES, b"new", *timeout)
    if call == "message":
        return list(map(end.receive, (bytes.hex,), *[(one,) for one in timeout])) or end.result
    if call == "whole" and writes:
        return None
    return end.whole(*timeout) if call == "whole" else getattr(end, call)()


SCANS: Final = PROTOCOL.replace(policy="scan")
AT_ONCE: Final = {"spin_count": 0, "yield_seconds": 0.0, "has_sought": False, "is_cancelled": True}
LONG: Final = AT_ONCE | {"spin_count": 1, "yield_seconds": 3600.0}
FREE, FULL, READ = bytes(2 * 4), b"\1\0\0\0" * 2, b"\1\1\1\1" * 2


@needs_little_endian
@UNTIMED
@example(SCANS.redirected("W1", "0", "restart"), -1, [("message", (), 2, 3, 0, LONG, FULL[:4] + FREE[:4])])
@example(SCANS.redirected("R1", "1", "restart"), 0, [("message", (), 2, 3, 0, LONG, FREE[:4] + READ[:4])])
@example(
    PROTOCOL,
    0,
    [("whole", (), 3, 3, 0, AT_ONCE, FULL), ("whole", (), 3, 3, 0, AT_ONCE, READ), ("message", (), 3, 3, 0, LONG, READ)],
)
@given(PYTHONS, RANKS, st.lists(MESSAGES, min_size=1, max_size=6))
def test_messages_are_waited_for_as_in_compiled_python(
    segments: tuple[Segment, Segment], variant: Variant, rank: int, schedule: list[tuple[Any, ...]]
) -> None:
    """Looks are as many, and what is said of them afterwards is the same, however they end."""
    program = composed(table_of(variant, rank), None)
    if isinstance(what(lambda: bind_python(program, segments[0], rank).release()), tuple):
        return  # as above
    with both(program, segments, rank) as ends:
        for call, timeout, kind, part, wrong, waits, flags in schedule:
            found = []
            for end, segment in zip(ends, segments, strict=True):
                put_in_segment(segment, flags, (1,) * (1 + READERS))
                codes.FRAME.pack_into(segment.frame(end.where()), 0, end.done() + wrong, 3, kind, part, 3)
                for name, value in waits.items():
                    setattr(end, name, value)
                end.rouse()
                came, began = come(end, rank == -1, call, timeout), end.began
                found.append((came, end.has_sought, end.is_cancelled, began > 0, end.result, end.where(), end.done()))
            assert found[0] == found[1]
            header = segments[0].header.header_bytes
            assert segments[0].whole()[header:] == segments[1].whole()[header:]


def put_in_segment(segment: Segment, flags: bytes, words: tuple[int, ...]) -> None:
    for block in range(BLOCKS):
        segment.flags(block)[:] = flags[block * (1 + READERS) :][: 1 + READERS]
    with segment.whole() as whole:
        struct.pack_into(f"={1 + READERS}I", whole, segment.layout.awake_offset, *words)


@pytest.mark.parametrize("rank", [-1, 0, READERS - 1])
@pytest.mark.parametrize("variant", [PROTOCOL, ORIGINAL], ids=str)
def test_damaged_flags_are_taken_for_the_same(variant: Variant, rank: int, segments: tuple[Segment, Segment]) -> None:
    with both(side(variant, rank), segments, rank) as ends:
        for place, value, others in itertools.product(range(1 + READERS), (2, 128, 255), (0, 1)):
            results = []
            for end, segment in zip(ends, segments, strict=True):
                entry = bytearray([1] + [others] * READERS)
                entry[place] = value
                for block in range(BLOCKS):
                    segment.flags(block)[:] = entry
                results.append((end.begin(), end.where(), [bytes(segment.flags(block)) for block in range(BLOCKS)]))
            assert results[0] == results[1]


@needs_little_endian
@pytest.mark.parametrize("whole", [False, True], ids=["table", "composed"])
def test_stepping_generators_are_those_of_python(whole: bool, segments: tuple[Segment, Segment]) -> None:
    for rank in (-1, 0, READERS - 1):
        program = executed(table_of(PROTOCOL, rank)) if whole else side(PROTOCOL, rank)
        with both(program, segments, rank, (step_python, step_native)) as ends:
            for flags, call, reverse, words in itertools.product(
                (b"\0" * 4, b"\1" * 4, b"\1\1\0\1"),
                ALL_CALLS if whole else CALLS,
                (False, True),
                ((1,) * 4, (1, 0, 1, 2), (0,) * 4),
            ):
                told = []
                for end, segment in zip(ends, segments, strict=True):
                    put_in_segment(segment, flags * BLOCKS, words)
                    running, stops, answer = getattr(end, call)(), [], None
                    try:
                        while True:
                            stops.append(running.send(answer))
                            answer = max(stops[-1][2], default=0) if reverse else min(stops[-1][2], default=0)
                    except StopIteration as ended:
                        start = segment.layout.metadata_offset
                        told.append((ended.value, stops, end.where(), end.done(), bytes(segment.whole()[start:])))
                assert told[0] == told[1]


# Every access in every ordering.

ALLOWED: Final = {
    Kind.LOAD: {Ordering.RELAXED, Ordering.ACQUIRE, Ordering.SEQ_CST},
    Kind.STORE: {Ordering.RELAXED, Ordering.RELEASE, Ordering.SEQ_CST},
    Kind.EXCHANGE: {*Ordering} - {Ordering.PLAIN},
    Kind.FENCE: {*Ordering} - {Ordering.PLAIN, Ordering.RELAXED},
    Kind.FILL: {Ordering.PLAIN},
    Kind.READ: {Ordering.PLAIN},
    Kind.SLEEP: {Ordering.RELAXED},
    Kind.WAKE: {Ordering.RELAXED},
}
"""What C11 knows; of fences, those that do something."""
FLAGS_OF: Final = {
    Kind.LOAD: {*Flag} - {Flag.POSITION},
    Kind.STORE: {*Flag},
    Kind.EXCHANGE: {*Flag} - {Flag.POSITION},
    Kind.FENCE: {None},
    Kind.SLEEP: {Flag.AWAKE},
    Kind.WAKE: {Flag.AWAKE, Flag.OTHERS_AWAKE},
}
"""What an access of each kind can be to."""
FORWARD, FINISHED = encoding.EDGES[Edge.FORWARD], encoding.EDGES[Edge.FINISHED]
PAYLOAD_ROW: EncodedRow = (encoding.KINDS[Kind.FILL], 0, 0, 0, 0, *(0, 0, 0), *(0, 0, 0), *(FINISHED, 0, 1), *(FINISHED, 0, 0))


def one_row(kind: Kind, ordering: Ordering, flag: Flag | None, value: int = 0) -> tuple[EncodedRow, EncodedRow]:
    """A table of one access, behind which the block is the caller's."""
    goes, stays = (FORWARD, 1, 0), (0, 0, 0)
    outcomes = (goes, goes, stays, stays) if kind is Kind.LOAD else (stays, stays, goes, stays)
    number = encoding.FLAGS[flag] if flag else 0
    head = (encoding.KINDS[kind], encoding.ORDERINGS[ordering], number, value, 0)
    return (*head, *itertools.chain(*outcomes)), PAYLOAD_ROW


@pytest.mark.parametrize(("kind", "ordering"), [*itertools.product(Kind, Ordering)], ids=lambda word: word.value)
def test_every_kind_of_access_runs_in_every_ordering_that_it_can_have(kind: Kind, ordering: Ordering) -> None:
    if kind in (Kind.FILL, Kind.READ):
        rows: tuple[EncodedRow, ...] = ((encoding.KINDS[kind], encoding.ORDERINGS[ordering], *PAYLOAD_ROW[2:]),)
        if ordering in ALLOWED[kind]:
            assert [getattr(runner_of(rows, bytearray(SIZE)), call)() for call in CALLS] == [FOUND, ENDED, ENDED]
        else:
            with pytest.raises(ValueError, match="no such ordering"):
                runner_of(rows, bytearray(SIZE))
        return
    places = {Flag.WRITTEN: [0], Flag.OWN: [2], Flag.NEIGHBOUR: [3], Flag.EACH: [1, 2, 3], Flag.BUT_LAST: [1, 2]}
    words = {Flag.AWAKE: AWAKE_AT + 4 * 2, Flag.OTHERS_AWAKE: AWAKE_AT}
    for flag, value, before in itertools.product([*Flag, None], (0, 1), (0, 1, 9)):
        memory = bytearray([before]) * SIZE
        rows = one_row(kind, ordering, flag, value)
        if ordering not in ALLOWED[kind] or flag not in FLAGS_OF[kind]:
            with pytest.raises(ValueError, match=r"no such ordering|names a flag|cannot be to that flag"):
                runner_of(rows, memory, 1)
            continue
        expected = bytearray(memory)
        if kind in (Kind.STORE, Kind.EXCHANGE) and flag is not Flag.LOCK:
            for place in places.get(flag or Flag.LOCK, []):
                expected[offset_of(0, place)] = value
            if flag in words:
                struct.pack_into("=I", expected, words[flag], value)
            if flag is Flag.POSITION:
                struct.pack_into("<Q", expected, POSITION_AT, 1)
        assert runner_of(rows, memory, 1).begin() == FOUND
        assert memory == expected


def test_the_lock_is_a_byte_that_stays_and_is_nobody_elses() -> None:
    memory = bytearray(SIZE)
    rows = one_row(Kind.EXCHANGE, Ordering.ACQ_REL, Flag.LOCK, 1)
    first, second = runner_of(rows, memory), runner_of(rows, memory)
    for runner, old in ((first, 0), (first, 1), (second, 0), (second, 1)):
        assert runner.enter("begin") == the_extension().GOING
        assert runner.step(0) == (FOUND, -1, old)
    assert memory == bytes(SIZE)


def test_a_loop_over_no_flags_makes_no_access_and_comes_out_as_all_set() -> None:
    for readers, flag in ((1, Flag.BUT_LAST), (0, Flag.EACH), (0, Flag.BUT_LAST)):
        for kind, ordering in ((Kind.LOAD, Ordering.ACQUIRE), (Kind.STORE, Ordering.RELEASE)):
            runner = runner_of(one_row(kind, ordering, flag, 1), memory := bytearray(SIZE), readers=readers)
            assert runner.begin() == FOUND
            assert (runner.enter("begin"), runner.stop(), runner.step(0)) == (3, (0, 0, ()), (FOUND, -1, -1))
            assert memory == bytes(SIZE)


@pytest.mark.parametrize("readers", range(4))
def test_every_actor_finds_its_flags_in_every_block(readers: int) -> None:
    for own, block in itertools.product(range(1 + readers), range(BLOCKS)):
        at, words = offset_of(block, 0), [AWAKE_AT + 4 * number for number in range(1 + readers)]
        places: dict[Flag, list[int]] = {
            Flag.WRITTEN: [at],
            Flag.EACH: [at + 1 + rank for rank in range(readers)],
            Flag.BUT_LAST: [at + 1 + rank for rank in range(readers - 1)],
            Flag.POSITION: [POSITION_AT],
            Flag.AWAKE: [words[own]],
            Flag.OTHERS_AWAKE: words[:1] if own else words[1:],
        }
        if own:
            places |= {Flag.OWN: [at + own], Flag.NEIGHBOUR: [at + 1 + own % readers]}
        for flag, offsets in places.items():
            rows = one_row(Kind.STORE, Ordering.RELEASE, flag, 1)
            runner = runner_of(rows, bytearray(SIZE), own - 1, readers=readers)
            runner.resume(block)
            runner.enter("begin")
            assert [runner.step(rank)[1] for rank in range(len(offsets) or 1)] == (offsets or [-1]), (own, block, flag)


# What it must find, and what it must refuse.


def test_the_numbers_mean_the_same_on_both_sides() -> None:
    tables: tuple[dict[Any, int], ...] = (
        encoding.KINDS,
        encoding.ORDERINGS,
        encoding.FLAGS,
        encoding.OUTCOMES,
        encoding.EDGES,
    )
    assert {word.value: code for table in tables for word, code in table.items()} == the_extension().CODES
    for table, words in zip(tables, (Kind, Ordering, Flag, Outcome, Edge), strict=True):
        assert set(table) == set(words)
        assert len(set(table.values())) == len(table)
    for name in ("WAIT", "FOUND", "ENDED", "BUSY", "TOO_LARGE", "PICKLE", "BYTES", "WHOLE", "COPY_MAX_BYTES"):
        assert getattr(the_extension(), name) == getattr(codes, name)


def planted(rows: tuple[EncodedRow, ...], row: int, number: int, value: int) -> tuple[EncodedRow, ...]:
    changed = list(rows[row])
    assert changed[number] != value
    changed[number] = value
    return (*rows[:row], tuple(changed), *rows[row + 1 :])


WRITER_ROWS, READER_ROWS = (encode(program) for program in PROTOCOL.programs)
ZERO_AT, ONE_AT, DONE_AT, ABORTED_AT = 5, 8, 11, 14
PLANTED = {
    "W3 stores 1": (-1, planted(WRITER_ROWS, 2, 3, 1)),
    "W5 stores 1": (-1, planted(WRITER_ROWS, 4, 3, 1)),
    "W5 leaves one out": (-1, planted(WRITER_ROWS, 4, 2, encoding.FLAGS[Flag.BUT_LAST])),
    "W2 is content with all but one": (-1, planted(WRITER_ROWS, 1, 4, 1)),
    "W1 looks at the read flags": (-1, planted(WRITER_ROWS, 0, 2, encoding.FLAGS[Flag.EACH])),
    "W1 leads past the claim": (-1, planted(WRITER_ROWS, 0, ZERO_AT + 1, 3)),
    "W2 finds the block busy and goes on": (-1, planted(WRITER_ROWS, 1, ZERO_AT, encoding.EDGES[Edge.FINISHED])),
    "W4 publishes what was given up": (-1, planted(planted(WRITER_ROWS, 3, ABORTED_AT, FORWARD), 3, ABORTED_AT + 1, 4)),
    "W5 does not publish": (-1, planted(planted(WRITER_ROWS, 4, DONE_AT, FINISHED), 4, DONE_AT + 1, 0)),
    "W6 forgets to go on": (-1, planted(WRITER_ROWS, 5, DONE_AT + 2, 0)),
    "W6 leaves a block out": (-1, planted(WRITER_ROWS, 5, DONE_AT + 2, 2)),
    "W6 marks as read": (-1, planted(WRITER_ROWS, 5, 2, encoding.FLAGS[Flag.EACH])),
    "R1 waits on 0": (0, planted(planted(READER_ROWS, 0, ZERO_AT, 2), 0, ZERO_AT + 1, 0)),
    "R2 waits where it has found": (0, planted(planted(READER_ROWS, 1, ONE_AT, 2), 1, ONE_AT + 1, 0)),
    "R4 marks the neighbour": (0, planted(READER_ROWS, 3, 2, encoding.FLAGS[Flag.NEIGHBOUR])),
    "R4 unmarks": (0, planted(READER_ROWS, 3, 3, 0)),
    "R4 is an exchange": (0, planted(READER_ROWS, 3, 0, encoding.KINDS[Kind.EXCHANGE])),
}
ONLY_STEPS = ("W1 leads past the claim", "R4 is an exchange", "K2 wakes whoever is awake", "S1 says awake")
"""Whole calls do the same to the bytes."""
BARE: list[Situation] = [
    (call, bytes([written, *flags]) * BLOCKS, (1,) * (1 + READERS))
    for written, flags in itertools.product((0, 1), itertools.product((0, 1), repeat=READERS))
    for call in CALLS
]
EVERYTHING: list[Situation] = [
    (call, bytes([written, *flags]) * BLOCKS, words)
    for written, flags in itertools.product((0, 1), ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)))
    for words in ((1, 1, 1, 1), (1, 1, 0, 1), (0, 1, 1, 1), (1, 2, 1, 1), (0, 0, 0, 256))
    for call in ALL_CALLS
]
"""What a caller may find, in all that matters."""


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_in_the_rows_is_found(fault: str) -> None:
    rank, rows = PLANTED[fault]
    assert_is_found(side(PROTOCOL, rank), rows, rank, BARE, is_seen_by_calls=fault not in ONLY_STEPS)


def assert_is_found(
    program: Program, rows: object, rank: int, schedule: list[Situation], *, is_seen_by_calls: bool = True
) -> None:
    """The right rows pass, and those with the fault do not."""
    right = encode(program)
    compare_calls(right, program, rank, schedule)
    compare_steps(right, program, rank, schedule, max)
    with pytest.raises(AssertionError):
        compare_steps(rows, program, rank, schedule, max)
    if is_seen_by_calls:
        with pytest.raises(AssertionError):
            compare_calls(rows, program, rank, schedule)


COMPOSED_WRITER, COMPOSED_READER = (executed(table_of(PROTOCOL, rank)) for rank in (-1, 0))


def planted_by_id(program: Program, row_id: str, **changes: int) -> tuple[EncodedRow, ...]:
    """The rows with other numbers in one; of a row that stands twice, in the first."""
    rows, pc = encode(program), program.pc_of(row_id)
    numbers = {
        "kind": 0,
        "ordering": 1,
        "flag": 2,
        "value": 3,
        "one_edge": ONE_AT,
        "one_pc": ONE_AT + 1,
        "done_edge": DONE_AT,
        "done_pc": DONE_AT + 1,
    }
    for name, value in changes.items():
        rows = planted(rows, pc, numbers[name], value)
    return rows


AWAKE, OTHERS = encoding.FLAGS[Flag.AWAKE], encoding.FLAGS[Flag.OTHERS_AWAKE]
PLANTED_IN_WAKING = {
    "N1 is not a position": (-1, planted_by_id(COMPOSED_WRITER, "N1", flag=AWAKE, value=1)),
    "N2 counts the block, and so R4 once more": (0, planted_by_id(COMPOSED_READER, "N2", done_edge=FINISHED)),
    "K2 takes who sleeps for awake": (0, planted_by_id(COMPOSED_READER, "K2", flag=AWAKE)),
    "K2 wakes whoever is awake": (
        -1,
        planted_by_id(COMPOSED_WRITER, "K2", one_edge=FORWARD, one_pc=COMPOSED_WRITER.pc_of("K3")),
    ),
    "K3 tells itself": (-1, planted_by_id(COMPOSED_WRITER, "K3", flag=AWAKE)),
    "K3 puts to sleep": (0, planted_by_id(COMPOSED_READER, "K3", value=0)),
    "K4 is a store": (-1, planted_by_id(COMPOSED_WRITER, "K4", kind=1, flag=encoding.FLAGS[Flag.EACH])),
    "S1 says awake": (-1, planted_by_id(COMPOSED_WRITER, "S1", value=1)),
    "S1 puts the others to sleep": (0, planted_by_id(COMPOSED_READER, "S1", flag=OTHERS)),
    "S3 does not look at the written flag": (0, planted_by_id(COMPOSED_READER, "S3.R1", flag=encoding.FLAGS[Flag.EACH])),
    "S4 is left out": (-1, planted_by_id(COMPOSED_WRITER, "S2", done_pc=COMPOSED_WRITER.pc_of("S5"))),
    "S5 stays asleep": (0, planted_by_id(COMPOSED_READER, "S5", value=0)),
}


@pytest.mark.parametrize("fault", PLANTED_IN_WAKING)
def test_a_planted_fault_in_notes_and_waking_is_found(fault: str) -> None:
    rank, rows = PLANTED_IN_WAKING[fault]
    program = COMPOSED_WRITER if rank == -1 else COMPOSED_READER
    assert_is_found(program, rows, rank, EVERYTHING, is_seen_by_calls=fault not in ONLY_STEPS)


GOOD_LOAD, GOOD_STORE = one_row(Kind.LOAD, Ordering.ACQUIRE, Flag.WRITTEN)[0], WRITER_ROWS[2]
LENGTH = len(PAYLOAD_ROW)
HUGE = 1 << 70
BOUNDS = r"lies between|no such|names a flag|cannot be to|cannot fit|first row"
BAD_ROWS: dict[str, tuple[object, str]] = {
    "none": ((), "1 to 1024 rows"),
    "too many": ((GOOD_STORE,) * 1025, "1 to 1024 rows"),
    "no payload": (WRITER_ROWS[:2], "lies between|one row in which"),
    "two payloads": ((PAYLOAD_ROW, PAYLOAD_ROW), "one row in which the block is the caller's, and not 2"),
    "short": ((PAYLOAD_ROW[:-1],), "as many numbers"),
    "long": (((*PAYLOAD_ROW, 0),), "as many numbers"),
    **{
        f"number {number} is {value}": (planted((PAYLOAD_ROW,), 0, number, value), BOUNDS)
        for number, value in itertools.chain(
            itertools.product(range(LENGTH), (-1, HUGE, -HUGE)), ((0, 8), (1, 6), (2, 10), (3, 2), (5, 6), (12, 1), (13, 256))
        )
    },
    "a load without a flag": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, 2, 0), "names a flag"),
    "a payload with a flag": (planted((PAYLOAD_ROW,), 0, 2, 1), "cannot be to that flag"),
    "a load that is done": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, DONE_AT, FORWARD), "just the outcomes"),
    "a load without a branch": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, ZERO_AT, 0), "just the outcomes"),
    "waits that lead apart": (planted(planted((GOOD_LOAD, PAYLOAD_ROW), 0, ZERO_AT, 2), 1, DONE_AT, 2), "leads to one place"),
    "a return to elsewhere": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, ZERO_AT, 5), "goes to the first row"),
    "the writer's own flag": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, 2, 2), "no read flag of its own"),
    "the writer's neighbour": (planted((GOOD_LOAD, PAYLOAD_ROW), 0, 2, 4), "no read flag of its own"),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_what_is_no_table_is_refused(bad: str) -> None:
    rows, words = BAD_ROWS[bad]
    memory = bytearray(SIZE)
    with pytest.raises(ValueError, match=words):
        runner_of(rows, memory)
    memory.append(0)  # nothing holds it


@pytest.mark.parametrize("rows", [None, 3, (3,), ((*PAYLOAD_ROW[:-1], "x"),), ((*PAYLOAD_ROW[:-1], 1.0),)], ids=str)
def test_what_is_not_even_numbers_is_a_type_error(rows: object) -> None:
    with pytest.raises(TypeError):
        runner_of(rows, bytearray(SIZE))


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": 0},
        {"blocks": 3},
        {"blocks": sys.maxsize},
        {"blocks": HUGE},
        {"blocks": -1},
        {"flags_offset": -1},
        {"flags_offset": SIZE},
        {"flags_offset": sys.maxsize},
        {"flags_offset": SIZE - STRIDE - READERS},
        {"position_offset": -1},
        {"position_offset": POSITION_AT + 4},
        {"position_offset": SIZE // 8 * 8 + 8},
        {"position_offset": sys.maxsize},
        {"awake_offset": AWAKE_AT + 2},
        {"awake_offset": (SIZE - 4 * READERS) // 4 * 4},
        {"awake_offset": -4},
        {"awake_offset": sys.maxsize},
        {"data_offset": SIZE - BLOCK_STRIDE - 31 - CHUNK},
        {"data_offset": sys.maxsize},
        {"block_stride": 31 + CHUNK},
        {"block_stride": sys.maxsize},
        {"chunk_bytes": BLOCK_STRIDE - 31},
        {"chunk_bytes": -1},
        {"chunk_bytes": sys.maxsize},
        {"entry_stride": READERS},
        {"entry_stride": 0},
        {"entry_stride": sys.maxsize},
        {"readers": -1},
        {"readers": STRIDE},
        {"readers": STRIDE - 1, "awake_offset": SIZE // 4 * 4 - 4 * (STRIDE - 1)},
        {"readers": sys.maxsize},
        {"readers": SIZE, "entry_stride": SIZE + 1, "blocks": 1},
        {"own": -1},
        {"own": READERS + 1},
        {"buffer": bytearray()},
        {"buffer": bytearray(READERS)},
    ],
    ids=str,
)
def test_flags_that_do_not_lie_in_the_buffer_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"lies between|do not lie in|do not fit|cannot fit|multiple of"):
        runner_of(WRITER_ROWS, bytearray(SIZE), **changes)


END = SIZE // 8 * 8


@pytest.mark.parametrize(
    "last",
    [
        {"flags_offset": END - STRIDE - 1 - READERS},
        {"position_offset": END - 8},
        {"awake_offset": END - 4 * (1 + READERS)},
        {"data_offset": END - BLOCK_STRIDE - 32 - CHUNK},
    ],
    ids=str,
)
def test_each_part_may_fill_the_buffer_to_its_last_byte(last: dict[str, int]) -> None:
    assert runner_of(WRITER_ROWS, bytearray(END), **({"data_offset": 0} | last)).begin() == FOUND
    with pytest.raises(ValueError, match="do not lie in"):
        runner_of(WRITER_ROWS, bytearray(END - 1), **({"data_offset": 0} | last))


@pytest.mark.parametrize(
    "buffer", [bytes(SIZE), "text", None, memoryview(bytearray(2 * SIZE))[::2]], ids=lambda b: type(b).__name__
)
def test_what_cannot_be_written_is_no_buffer(buffer: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        runner_of(WRITER_ROWS, bytearray(), buffer=buffer)


def test_steps_that_are_not_there_are_refused_and_change_nothing() -> None:
    runner = runner_of(WRITER_ROWS, memory := bytearray(b"\1" * SIZE))
    for call in (runner.stop, lambda: runner.step(0)):
        with pytest.raises(ValueError, match="before no access"):
            call()
    for name in ("", "begin ", "step", b"begin", None, 0):
        with pytest.raises(ValueError, match="a call is 'begin', 'finish', 'abort' or 'rest'"):
            runner.enter(name)
    runner.enter("begin")
    assert runner.step(0) == (3, MARGIN, 1)
    assert runner.step(1) == (3, MARGIN + 2, 1)
    for rank in (1, 3, -1, HUGE):
        with pytest.raises(ValueError, match=r"not one of those left|cannot fit"):
            runner.step(rank)
    with pytest.raises(TypeError):
        runner.step("0")
    assert runner.stop() == (1, 0, (0, 2))
    assert memory == b"\1" * SIZE


def test_a_released_runner_lets_go_and_runs_no_more() -> None:
    runner = runner_of(WRITER_ROWS, memory := bytearray(SIZE))
    with pytest.raises(BufferError):
        memory.append(0)
    runner.release()
    runner.release()
    memory.append(0)
    calls = (runner.begin, runner.finish, runner.abort, runner.stop, lambda: runner.step(0), lambda: runner.enter("begin"))
    for call in (*calls, lambda: runner.rest(0), lambda: runner.resume(0)):
        with pytest.raises(ValueError, match="was released"):
            call()
    assert runner.where() == 0


def test_a_forgotten_runner_lets_go() -> None:
    runner_of(WRITER_ROWS, memory := bytearray(SIZE)).begin()
    memory.append(0)


# Tables that run in circles.

CIRCLE = planted(one_row(Kind.LOAD, Ordering.ACQUIRE, Flag.WRITTEN), 0, ONE_AT + 1, 0)
"""While the written flag is 1, load it again."""


def test_a_table_that_runs_in_circles_lets_other_threads_run_but_not_use_it() -> None:
    memory = bytearray(SIZE)
    memory[MARGIN] = 1
    runner = runner_of(CIRCLE, memory)
    going = Background(runner.begin)
    deadline, said = time.monotonic() + LONG_SECONDS, ""
    while "inside a call" not in said and time.monotonic() < deadline:
        with pytest.raises((ValueError, RuntimeError)) as caught:
            runner.stop()
        said = str(caught.value)
    for call in (runner.begin, runner.release, lambda: runner.step(0)):
        with pytest.raises(RuntimeError, match="inside a call of another thread"):
            call()
    memory[MARGIN] = 0
    assert going.outcome() == FOUND


def test_a_rouse_that_comes_while_a_rest_runs_in_circles_is_not_missed() -> None:
    """The one place between the first look at it and the sleep where other threads run."""
    stays, waits, returns = (0, 0, 0), (encoding.EDGES[Edge.WAITED], 1, 0), (encoding.EDGES[Edge.RETURNED], 0, 0)
    look = encoding.KINDS[Kind.LOAD], encoding.ORDERINGS[Ordering.ACQUIRE], encoding.FLAGS[Flag.WRITTEN], 0, 0
    lies_down = encoding.KINDS[Kind.STORE], encoding.ORDERINGS[Ordering.RELAXED], AWAKE, 0, 0
    sleeps = encoding.KINDS[Kind.SLEEP], encoding.ORDERINGS[Ordering.RELAXED], AWAKE, 0, 0
    rows = (
        (*look, FORWARD, 4, 0, *waits, *stays, *stays),
        (*lies_down, *stays, *stays, FORWARD, 2, 0, *stays),
        (*look, FORWARD, 3, 0, FORWARD, 2, 0, *stays, *stays),
        (*sleeps, *stays, *stays, *returns, *stays),
        PAYLOAD_ROW,
    )
    memory = bytearray(SIZE)
    memory[MARGIN] = 1
    runner = runner_of(rows, memory)
    resting = Background(lambda: runner.rest(None))
    deadline = time.monotonic() + LONG_SECONDS
    while not runner.in_use and time.monotonic() < deadline:
        time.sleep(0)
    runner.rouse()
    struct.pack_into("=I", memory, AWAKE_AT, 0)  # not the word, but that one is roused, keeps it from lying down
    memory[MARGIN] = 0
    assert resting.outcome() == ENDED


def test_a_table_that_runs_in_circles_is_interrupted_by_signals() -> None:
    memory = bytearray(SIZE)
    memory[MARGIN] = 1
    runner = runner_of(CIRCLE, memory)
    said: list[str] = []

    def handler(*_: object) -> None:
        for call in (runner.begin, runner.release):
            with pytest.raises(RuntimeError) as caught:
                call()
            said.append(str(caught.value))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            runner.begin()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert said == ["this runner is inside a call of another thread or of what a signal interrupted"] * 2
    memory[MARGIN] = 0
    assert (runner.begin(), runner.where()) == (FOUND, 0)


@pytest.mark.parametrize("make", [bind_native, bind_python])
def test_no_endpoint_runs_a_table_that_leads_back_into_itself(
    make: Callable[..., Compiled], segments: tuple[Segment, Segment]
) -> None:
    for edits in ("redirect=W6,done,found", "redirect=W4,aborted,found"):
        with pytest.raises(VariantError, match="leads back into its table"):
            make(side(Variant.parse(edits), -1), segments[0], -1)
    with pytest.raises(VariantError, match="one payload row"):
        make(side(PROTOCOL.without("W4"), -1), segments[0], -1)
