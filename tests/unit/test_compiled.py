"""Rows compiled to Python: the plain form, the stepping form, the model and an interpreter do the same to the same flags."""

from __future__ import annotations

import dis
import inspect
import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from edits import edited, variants
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreting import COMPOSED, Interpreter, Places, composed
from support import SHM, is_mapped, needs_total_store_order

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer.checker.lockstep import Lockstep
from ringbuffer.compiled import (
    ENDED,
    FOUND,
    WAIT,
    Compiled,
    Stop,
    bind_python,
    role_of,
    step_python,
)
from ringbuffer.errors import UnsupportedPlatformError, VariantError
from ringbuffer.memory.backend import PYTHON, TSO_MACHINES, VARIABLE, require_total_store_order
from ringbuffer.memory.layout import Layout
from ringbuffer.memory.printer import compile_program
from ringbuffer.memory.python_runner import PythonRunner
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Edge, Flag, Kind, Outcome, Program, Role, Table, Variant
from ringbuffer.protocol.waking import Waking, executed
from ringbuffer.simulator import ABORT, PROCEED, Actor, Model, Setup, State

READERS, BLOCKS = 3, 2
SEVERAL = (Flag.EACH, Flag.BUT_LAST)
Flags: TypeAlias = list[list[int]]
Draw: TypeAlias = Callable[[tuple[int, ...]], int]
"""Picks the next of the ranks that may be visited."""


def leads_back_into_its_table(variant: Variant) -> bool:
    """Whether a branch goes back, but not to the first row: compiled Python refuses that."""
    return any(leads_back(program) for program in variant.programs)


def leads_back(program: Program) -> bool:
    branches = (branch for one in program.instructions for _, branch in one.branches)
    return any(branch.edge is Edge.RESTARTED and branch.pc != 0 for branch in branches)


RUNNABLE = variants(keep=("W4", "R3"), never=("lock",)).filter(lambda variant: not leads_back_into_its_table(variant))
"""Edited tables that keep the caller's part on both sides, and have only accesses that Python can make."""
FLAGS = st.lists(st.lists(st.integers(0, 1), min_size=1 + READERS, max_size=1 + READERS), min_size=BLOCKS, max_size=BLOCKS)
CALLS = st.lists(st.tuples(st.sampled_from(["begin", "finish", "abort"]), FLAGS), min_size=1, max_size=6)
RANKS = st.integers(-1, READERS - 1)


@pytest.fixture(scope="module")
def segments() -> Iterator[tuple[Segment, Segment]]:
    pair = Segment.create(Layout(READERS, 8, BLOCKS)), Segment.create(Layout(READERS, 8, BLOCKS))
    yield pair
    for segment in pair:
        segment.unlink()
        segment.close()


@contextmanager
def bound(program: Program, segment: Segment, rank: int) -> Iterator[PythonRunner]:
    """Compiled rows, which let go of the segment afterwards."""
    rows = bind_python(program, segment, rank)
    try:
        yield rows
    finally:
        rows.release()


@contextmanager
def stepped(program: Program, segment: Segment, rank: int) -> Iterator[Compiled]:
    """Their stepping form."""
    rows = step_python(program, segment, rank)
    try:
        yield rows
    finally:
        for view in rows.views:
            view.release()


def put(segment: Segment, flags: Flags) -> None:
    for block, entry in enumerate(flags):
        with segment.flags(block) as view:
            view[:] = bytes(entry)


def get(segment: Segment) -> Flags:
    entries = []
    for block in range(BLOCKS):
        with segment.flags(block) as view:
            entries.append(list(view))
    return entries


def side(variant: Variant, rank: int) -> Program:
    return variant.programs[0 if rank == -1 else 1]


def interpret(program: Program, call: str, flags: Flags, block: int, rank: int) -> tuple[int, int]:
    """The interpreter: run rows on ``flags``, and return how that ends, and the block afterwards."""
    (payload,) = [instruction for instruction in program.instructions if instruction.row.is_payload]
    pc = 0
    if call != "begin":
        branch = payload.branch(Outcome.DONE if call == "finish" else Outcome.ABORTED)
        if branch.edge is not Edge.FORWARD:
            return WAIT if branch.edge is Edge.WAITED else ENDED, (block + branch.advance) % BLOCKS
        pc = branch.pc
    while True:
        instruction = program[pc]
        access = instruction.row.access
        if instruction.row.is_payload:
            return FOUND, block
        touched = {
            Flag.WRITTEN: [0],
            Flag.OWN: [1 + rank],
            Flag.NEIGHBOUR: [1 + (rank + 1) % READERS],
            Flag.EACH: list(range(1, 1 + READERS)),
            Flag.BUT_LAST: list(range(1, READERS)),
            None: [],
        }[access.flag]
        if access.kind is Kind.LOAD:
            zeros = sum(1 for flag in touched if flags[block][flag] == 0)
            allowed = access.missing_allowed if access.flag in SEVERAL else 0
            outcome = Outcome.ONE if zeros <= allowed else Outcome.ZERO
        else:
            assert (access.value is None) == (access.kind is Kind.FENCE)
            for flag in touched:
                flags[block][flag] = access.value or 0
            outcome = Outcome.DONE
        branch = instruction.branch(outcome)
        if branch.edge is not Edge.FORWARD:
            return WAIT if branch.edge is Edge.WAITED else ENDED, (block + branch.advance) % BLOCKS
        pc = branch.pc


class Recording:
    """The model, walked by one actor alone. It notes where it stops, in the words of the stepping form."""

    def __init__(self, variant: Variant, rank: int) -> None:
        self.model = Model(Setup(variant, READERS, BLOCKS, words=1, aborts=True))
        self.actor = 1 + rank
        self.program = self.model.programs[self.actor]
        self.fresh = self.model.initial().actors[self.actor]
        self.block = 0

    def call(self, call: str, flags: Flags, pick: Draw) -> tuple[int, list[Stop], Flags]:
        """Make one call. Returns how it ends, the stops on the way, and the flags afterwards."""
        (payload_pc,) = [instruction.pc for instruction in self.program.instructions if instruction.row.is_payload]
        here = self.fresh._replace(block=self.block) if call == "begin" else Actor(payload_pc, self.block, 0, 0, 0, 0)
        state = self._state(flags, here)
        stops: list[Stop] = []
        waited = False
        if call != "begin":
            state, waited = self._take(state, PROCEED if call == "finish" else ABORT)
        elif payload_pc == 0:
            return FOUND, stops, flags
        while call == "begin" or not self._is_at_the_start(state):
            me = state.actors[self.actor]
            if me.pc == payload_pc:
                return FOUND, stops, self._flags(state)
            several = self.program[me.pc].row.access.flag in SEVERAL
            ranks = tuple(rank for rank in range(READERS) if me.todo >> rank & 1) if several else (0,)
            stops.append((me.pc, me.block, ranks))
            state, waited = self._take(state, pick(ranks))
            if self._is_at_the_start(state):
                break
        self.block = state.actors[self.actor].block
        return WAIT if waited else ENDED, stops, self._flags(state)

    def _state(self, flags: Flags, here: Actor) -> State:
        initial = self.model.initial()
        cells = (*(flag for entry in flags for flag in entry), *(0,) * (BLOCKS + len(initial.actors)))
        actors = (*initial.actors[: self.actor], here, *initial.actors[self.actor + 1 :])
        return initial._replace(memory=cells, actors=actors)

    def _take(self, state: State, detail: int) -> tuple[State, bool]:
        (step,) = [step for step in self.model.transitions_of(state, self.actor) if step.choice[1] == detail]
        return step.state, bool({"writer-waits", "reader-waits"}.intersection(step.seen))

    def _is_at_the_start(self, state: State) -> bool:
        return state.actors[self.actor]._replace(block=0) == self.fresh

    def _flags(self, state: State) -> Flags:
        return [list(self.model.memory.entry(state.memory, block)) for block in range(BLOCKS)]


def step_through(generator: Any, pick: Draw) -> tuple[int, list[Stop]]:
    """Run a stepping function to its end. Returns how it ends, and where it stopped on the way."""
    stops: list[Stop] = []
    answer: int | None = None
    while True:
        try:
            stop = generator.send(answer)
        except StopIteration as end:
            return end.value, stops
        stops.append(stop)
        answer = pick(stop[2])


def first(ranks: tuple[int, ...]) -> int:
    """The lowest rank; anything where there is none to pick."""
    return min(ranks, default=0)


UNTIMED = settings(deadline=None)


@UNTIMED
@given(RUNNABLE, RANKS, CALLS)
def test_the_plain_form_does_what_an_interpreter_of_the_rows_does(
    segments: tuple[Segment, Segment], variant: Variant, rank: int, calls: list[tuple[str, Flags]]
) -> None:
    segment, program, block = segments[0], side(variant, rank), 0
    with bound(program, segment, rank) as rows:
        for call, flags in calls:
            put(segment, flags)
            result = getattr(rows, call)()
            expected, block = interpret(program, call, flags, block, rank)
            assert (result, rows.where(), get(segment)) == (expected, block, flags)


@UNTIMED
@given(RUNNABLE, RANKS, CALLS, st.randoms(use_true_random=False))
def test_the_stepping_form_does_what_the_plain_form_does_in_any_order_of_flags(
    segments: tuple[Segment, Segment], variant: Variant, rank: int, calls: list[tuple[str, Flags]], random: Any
) -> None:
    program = side(variant, rank)
    with bound(program, segments[0], rank) as plain, stepped(program, segments[1], rank) as stepping:
        for call, flags in calls:
            for segment in segments:
                put(segment, flags)
            result = getattr(plain, call)()
            assert step_through(getattr(stepping, call)(), random.choice)[0] == result
            assert stepping.where() == plain.where()
            assert get(segments[0]) == get(segments[1])


@UNTIMED
@given(RUNNABLE, RANKS, CALLS, st.integers(0, 2**32))
def test_the_stepping_form_stops_where_the_model_does(
    segments: tuple[Segment, Segment], variant: Variant, rank: int, calls: list[tuple[str, Flags]], seed: int
) -> None:
    def pick(ranks: tuple[int, ...]) -> int:
        return ranks[seed % len(ranks)]

    recording = Recording(variant, rank)
    with stepped(side(variant, rank), segments[0], rank) as rows:
        for call, flags in calls:
            put(segments[0], flags)
            assert recording.block == rows.where()
            expected, stops, after = recording.call(call, flags, pick)
            assert step_through(getattr(rows, call)(), pick) == (expected, stops)
            assert get(segments[0]) == after
            assert rows.where() == recording.block


WORDS = st.lists(st.sampled_from([0, 1, 1, 2, 256, 1 << 31]), min_size=1 + READERS, max_size=1 + READERS)
SITUATIONS = st.lists(st.tuples(st.sampled_from(["begin", "finish", "abort", "rest"]), FLAGS, WORDS), min_size=1, max_size=6)


@UNTIMED
@given(RUNNABLE, COMPOSED, RANKS, SITUATIONS, st.randoms(use_true_random=False))
def test_composed_programs_do_what_an_interpreter_of_the_rows_does_to_every_byte_in_both_forms(
    segments: tuple[Segment, Segment],
    variant: Variant,
    extra: str | Waking | None,
    rank: int,
    situations: list[tuple[str, Flags, list[int]]],
    random: Any,
) -> None:
    program = composed(variant.writer if rank == -1 else variant.reader, extra)
    assume(not leads_back(program))
    layout = segments[0].layout
    memory = bytearray(segments[0].whole())
    segments[1].whole()[layout.data_offset :] = memory[layout.data_offset :]
    interpreter = Interpreter(program, memory, rank, Places.of(layout, rank))
    with bound(program, segments[0], rank) as plain, stepped(program, segments[1], rank) as stepping:
        for end in (plain, stepping, interpreter):
            end.resume(len(situations))
        for call, flags, words in situations:
            for target in (segments[0].whole(), segments[1].whole(), memory):
                for block, entry in enumerate(flags):
                    start = layout.entry_offset(block)
                    target[start : start + 1 + READERS] = bytes(entry)
                struct.pack_into(f"={1 + READERS}I", target, layout.awake_offset, *words)
            if call == "rest" and not plain.can_rest:
                with pytest.raises(ValueError, match="no row lies down"):
                    plain.rest(0)
                continue
            result = plain.rest(0) if call == "rest" else getattr(plain, call)()
            assert result == interpreter.run(call) == step_through(getattr(stepping, call)(), random.choice)[0]
            assert (plain.where(), plain.done()) == (interpreter.block, interpreter.done) == (stepping.where(), stepping.done())
            start = layout.data_offset
            assert segments[0].whole()[start:] == segments[1].whole()[start:] == memory[start:]


def test_the_stepping_form_makes_no_access_before_it_is_told_to_go_on(segments: tuple[Segment, Segment]) -> None:
    segment = segments[0]
    before = [[1, 1, 1, 1]] * BLOCKS
    put(segment, before)
    with stepped(PROTOCOL.programs[0], segment, -1) as rows:
        finish = rows.finish()
        assert next(finish) == (4, 0, (0, 1, 2))
        assert get(segment) == before
        assert finish.send(1) == (4, 0, (0, 2))
        assert get(segment)[0] == [1, 1, 0, 1]
        assert rows.where() == 0


def test_two_ends_on_one_segment_keep_their_places_apart(segments: tuple[Segment, Segment]) -> None:
    segment = segments[0]
    put(segment, [[0] * (1 + READERS)] * BLOCKS)
    writer, reader = PROTOCOL.programs
    with bound(writer, segment, -1) as w, bound(reader, segment, 0) as r0, bound(reader, segment, 2) as r2:
        assert [end.begin() for end in (r0, r2, w)] == [WAIT, WAIT, FOUND]
        assert w.finish() == ENDED
        assert [end.where() for end in (w, r0, r2)] == [1, 0, 0]
        assert [end.begin() for end in (r0, r2)] == [FOUND, FOUND]
        assert [r2.finish(), r0.abort()] == [ENDED, ENDED]
        assert [end.where() for end in (w, r0, r2)] == [1, 0, 1]
        assert get(segment) == [[1, 0, 0, 1], [0, 0, 0, 0]]


def test_the_writer_of_a_ring_without_readers_never_waits() -> None:
    segment = Segment.create(Layout(0, 8, 1))
    try:
        with bound(PROTOCOL.programs[0], segment, -1) as rows:
            for _ in range(3):
                assert [rows.begin(), rows.finish()] == [FOUND, ENDED]
        with stepped(PROTOCOL.programs[0], segment, -1) as rows:
            stops = step_through(rows.begin(), first), step_through(rows.finish(), first)
            assert stops == (
                (FOUND, [(0, 0, (0,)), (1, 0, ()), (2, 0, (0,))]),
                (ENDED, [(4, 0, ()), (5, 0, (0,))]),
            )
    finally:
        segment.unlink()
        segment.close()


# What is printed.

PRINTED = Path(__file__).parent / "printed_rows"
"""What is printed of the shipped tables, with their notes and the rows of sleeping and waking."""


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("form", ["plain", "stepping"])
@pytest.mark.parametrize("table", [PROTOCOL.writer, PROTOCOL.reader], ids=["writer", "reader"])
def test_the_shipped_tables_are_printed_as_this_python(table: Table, form: str, readers: int) -> None:
    """After a change on purpose: write what is printed into the file, and read it."""
    source = (PRINTED / f"{table.role.value}-{form}-{readers}.txt").read_text()
    assert compile_program(executed(table), readers, stepping=form == "stepping") == source


def test_the_example_in_the_modules_text_is_what_is_printed() -> None:
    """Line by line, whatever the comments: the text shows the writer's two functions."""
    import ringbuffer.compiled

    def code(lines: list[str]) -> list[str]:
        bare = [line.split("#")[0].strip() for line in lines]
        return [line for line in bare if line and not line.startswith("nonlocal")]

    assert ringbuffer.compiled.__doc__ is not None
    shown = ringbuffer.compiled.__doc__.split("::\n", 1)[1].split("The same printer")[0]
    printed = compile_program(PROTOCOL.programs[0], 3)
    printed = printed[printed.index("    def begin") : printed.index("    def abort")]
    assert code(shown.splitlines()) == code(printed.splitlines())


def test_fewer_readers_than_all_are_counted_in_the_plain_form() -> None:
    source = compile_program(PROTOCOL.replace(missing_readers=1).programs[0], 3)
    assert "if read_of[index].tobytes().count(0) <= 1:  # W2" in source


@pytest.mark.parametrize(("variant", "plain", "stepping"), [(PROTOCOL, "zeros", 0), (PROTOCOL.flipped("W5"), "ones", 1)])
def test_all_read_flags_are_stored_with_the_value_that_the_row_names(variant: Variant, plain: str, stepping: int) -> None:
    program = variant.programs[0]
    assert f"read_of[index][:] = {plain}  # W5" in compile_program(program, 3)
    assert f"mapping[at + 1 + 0] = mapping[at + 1 + 1] = {stepping}  # W5" in compile_program(program, 2)
    assert f"read_of[index][rank] = {stepping}  # W5" in compile_program(program, 3, stepping=True)


@pytest.mark.parametrize(
    ("variant", "number", "plain", "stepping"),
    [
        (
            PROTOCOL.retargeted("W2", "but-last"),
            0,
            "if read_of[index][:-1] == ones[:-1]:  # W2",
            "todo, zeros = set(range(3)), 0",
        ),
        (PROTOCOL.retargeted("W5", "but-last"), 0, "read_of[index][:-1] = zeros[:-1]  # W5", "todo = set(range(3))"),
        (PROTOCOL.retargeted("W5", "but-last").flipped("W5"), 0, "read_of[index][:-1] = ones[:-1]  # W5", "[rank] = 1  # W5"),
        (
            PROTOCOL.retargeted("W2", "but-last").replace(missing_readers=1),
            0,
            "if read_of[index][:-1].tobytes().count(0) <= 1:  # W2",
            "while todo and zeros <= 1:",
        ),
        (PROTOCOL.retargeted("W2", "written"), 0, "if mapping[at]:  # W2", "if mapping[at]:  # W2"),
        (PROTOCOL.retargeted("W6", "each"), 0, "read_of[index][:] = ones  # W6", "read_of[index][rank] = 1  # W6"),
        (
            PROTOCOL.retargeted("R1", "neighbour"),
            1,
            "if mapping[at + own % 4 + 1]:  # R1",
            "if mapping[at + own % 4 + 1]:  # R1",
        ),
        (
            PROTOCOL.retargeted("R4", "neighbour"),
            1,
            "mapping[at + own % 4 + 1] = 1  # R4",
            "mapping[at + own % 4 + 1] = 1  # R4",
        ),
        (PROTOCOL.retargeted("R1", "each"), 1, "if read_of[index] == ones:  # R1", "todo, zeros = set(range(4)), 0"),
        (PROTOCOL.advancing("writer", 2), 0, "index = following[following[index]]", "index = following[following[index]]"),
        (PROTOCOL.flipped("R4"), 1, "mapping[at + own] = 0  # R4", "mapping[at + own] = 0  # R4"),
    ],
    ids=str,
)
def test_other_flags_other_values_and_other_moves_are_printed_so(
    variant: Variant, number: int, plain: str, stepping: str
) -> None:
    program = variant.programs[number]
    for source, line in ((compile_program(program, 4), plain), (compile_program(program, 4, stepping=True), stepping)):
        assert line in source
        assert line not in compile_program(PROTOCOL.programs[number], 4, stepping=source != compile_program(program, 4))


def test_an_actor_that_forgets_to_go_on_is_printed_without_a_move() -> None:
    for number, who in enumerate(("writer", "reader")):
        assert "index = following[index]" in compile_program(PROTOCOL.programs[number], 2)
        assert "following[index]" not in compile_program(PROTOCOL.advancing(who, 0).programs[number], 2)


def test_orderings_make_no_difference_to_what_is_printed() -> None:
    for program, weak in zip(PROTOCOL.programs, PROTOCOL.weakened("W6").weakened("R1").programs, strict=True):
        assert compile_program(program, 2) == compile_program(weak, 2)


@pytest.mark.parametrize(("row_id", "number", "role"), [("W4", 0, "writer"), ("R3", 1, "reader")])
def test_a_table_in_which_the_caller_has_no_part_is_refused(row_id: str, number: int, role: str) -> None:
    with pytest.raises(VariantError, match=f"one payload row, and this {role}'s has 0"):
        compile_program(PROTOCOL.without(row_id).programs[number], 2)


def test_the_source_is_found_by_tracebacks_and_debuggers(segments: tuple[Segment, Segment]) -> None:
    with bound(PROTOCOL.programs[0], segments[0], -1) as rows:
        assert "read_of[index][:] = zeros  # W5" in inspect.getsource(rows.finish)
        assert rows.finish.__code__.co_filename.startswith("<rows of the writer, 3 readers #")


ROWS = tuple(row.id for program in PROTOCOL.programs for row in (instruction.row for instruction in program.instructions))
RETARGETS = [(row_id, flag) for row_id in ROWS for flag in ("written", "each", "but-last") if row_id not in ("W4", "R3")]
RETARGETS += [(row_id, flag) for row_id in ("R1", "R2", "R4") for flag in ("own", "neighbour")]
LEADS = [
    (row_id, outcome.value, place)
    for row_id in ROWS
    for outcome, _ in PROTOCOL.row(row_id).then
    for place in ("next", "wait", "restart", *(("found", "otherwise") if PROTOCOL.row(row_id).is_look else ()))
]
EACH_EDIT = [
    *(("retarget", *arguments) for arguments in RETARGETS),
    *(("redirect", *arguments) for arguments in LEADS),
    *(("flip", row_id) for row_id in ROWS if row_id not in ("W4", "R3")),
    *(("advance", side_, blocks) for side_ in ("writer", "reader") for blocks in range(3)),
]
CLEAR, FULL = [[0] * (1 + READERS)] * BLOCKS, [[1] * (1 + READERS)] * BLOCKS
MIXED = [[[1, 0, 1, 0], [0, 1, 0, 1]], [[0, 1, 1, 0], [1, 0, 0, 1]], [[1, 1, 1, 0], [1, 0, 1, 1]], [[1, 1, 0, 1], [0, 0, 1, 1]]]
SOME_FLAGS = (CLEAR, FULL, *MIXED, [[0, 1, 1, 1]] * BLOCKS, [[1, 0, 0, 0]] * BLOCKS)


@pytest.mark.parametrize("edit", EACH_EDIT, ids=lambda edit: "-".join(map(str, edit)))
def test_each_edit_of_one_row_runs_as_the_model_does_on_every_end(
    segments: tuple[Segment, Segment], edit: tuple[Any, ...]
) -> None:
    """Every call on various flags; the stepping form against the model, the plain form against the interpreter."""
    variant = edited(PROTOCOL, *edit)
    for rank in (-1, 0, READERS - 1):
        recording, program, block = Recording(variant, rank), side(variant, rank), 0
        with bound(program, segments[0], rank) as plain, stepped(program, segments[1], rank) as stepping:
            for flags, call in product(SOME_FLAGS, ("begin", "finish", "abort")):
                for segment in segments:
                    put(segment, flags)
                ended, stops, after = recording.call(call, flags, max)
                assert step_through(getattr(stepping, call)(), max) == (ended, stops)
                result = getattr(plain, call)()
                mine = [list(entry) for entry in flags]
                expected, block = interpret(program, call, mine, block, rank)
                assert result == expected == ended
                assert get(segments[0]) == get(segments[1]) == after == mine
                assert plain.where() == stepping.where() == recording.block == block


def test_a_loop_over_no_flags_makes_no_access_and_comes_out_as_all_set() -> None:
    """With one reader, all flags but the last are none. The stepping form stops there all the same, as the model does."""
    segment = Segment.create(Layout(1, 8, 1))
    try:
        program = PROTOCOL.retargeted("W2", "but-last").programs[0]
        with bound(program, segment, -1) as rows, stepped(program, segment, -1) as steps:
            put_one(segment, [1, 0])
            assert rows.begin() == FOUND
            put_one(segment, [1, 0])
            assert step_through(steps.begin(), first) == (FOUND, [(0, 0, (0,)), (1, 0, ()), (2, 0, (0,))])
    finally:
        segment.unlink()
        segment.close()


def put_one(segment: Segment, entry: list[int]) -> None:
    with segment.flags(0) as view:
        view[:] = bytes(entry)


@pytest.mark.parametrize(
    ("variant", "number", "words"),
    [
        (PROTOCOL.locked(before="W6"), 0, "L1 (exchange lock ← 1) cannot be run in Python: explore it on a simulated memory"),
        (PROTOCOL.locked(after="R2"), 1, "L1 (exchange lock ← 1) cannot be run in Python"),
        (PROTOCOL.locked(before="W3").without("L1"), 0, "U1 (store lock ← 0) cannot be run in Python"),
    ],
    ids=str,
)
def test_locks_are_refused_by_name(segments: tuple[Segment, Segment], variant: Variant, number: int, words: str) -> None:
    refused, other = variant.programs[number], variant.programs[1 - number]
    for stepping, make in ((False, bind_python), (True, step_python)):
        with pytest.raises(VariantError) as caught:
            compile_program(refused, READERS, stepping=stepping)
        assert words in str(caught.value)
        with pytest.raises(VariantError):
            make(refused, segments[0], (-1, 0)[number])
    with bound(other, segments[0], (0, -1)[number]):
        pass


@pytest.mark.parametrize("variant", [PROTOCOL.locked(before="W6"), PROTOCOL.locked(after="R4")], ids=str)
def test_stepping_tables_with_a_lock_on_a_segment_is_refused_and_leaves_none(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PYTHON)
    before = set(SHM.iterdir())
    with pytest.raises(VariantError, match="cannot be run in Python: explore it on a simulated memory"):
        Lockstep(Setup(variant))
    assert not [entry for entry in set(SHM.iterdir()) - before if is_mapped(entry.name)]


@needs_total_store_order
@pytest.mark.parametrize(("variant", "rank"), [(PROTOCOL.locked(before="W6"), -1), (PROTOCOL.locked(after="R4"), 0)], ids=str)
def test_a_ring_has_no_end_whose_table_has_a_lock(variant: Variant, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PYTHON)
    with ShmRingBuffer(1, 64, 2, protocol=variant) as ring:
        for _ in range(2):
            with pytest.raises(VariantError, match="cannot be run in Python: explore it on a simulated memory"):
                ShmRingBufferIO(ring, rank)
        ShmRingBufferIO(ring, -1 - rank).close()


# Where an interrupt cannot come between an access and the move that belongs to it.

CHECKS_FOR_SIGNALS = ("CALL", "PRECALL", "JUMP_BACKWARD", "RESUME", "SEND", "YIELD_VALUE", "FOR_ITER")
"""How the instructions begin at which CPython looks for pending signals."""
STORES = {"STORE_SUBSCR": "store", "STORE_SLICE": "store"}


def stretches(function: Callable[..., object]) -> list[list[str]]:
    """What is stored, in each stretch in which no interrupt can come: ``"store"`` for bytes, or the name of a variable.

    Of the stretches in which the actor moves on.
    """
    found: list[list[str]] = [[]]
    for instruction in dis.get_instructions(function):
        if (
            instruction.opname.startswith((*CHECKS_FOR_SIGNALS, "RETURN", "POP_JUMP", "JUMP", "RAISE"))
            or instruction.is_jump_target
        ):
            found.append([])
        if instruction.opname in STORES:
            found[-1].append("store")
        elif instruction.opname == "STORE_DEREF" or (instruction.opname, instruction.argval) == ("STORE_FAST", "is_taken"):
            found[-1].append(instruction.argval)
    return [stores for stores in found if "index" in stores]


def moves(stores: list[str]) -> list[str]:
    """From the last store before the move on."""
    return stores[stores.index("index") - 1 :] if stores[0] != "index" else stores


@pytest.mark.parametrize("rank", [-1, 0], ids=["writer", "reader"])
def test_no_interrupt_comes_between_the_last_store_and_the_move_to_the_next_block(
    segments: tuple[Segment, Segment], rank: int
) -> None:
    with bound(side(PROTOCOL, rank), segments[0], rank) as rows:
        (finish,) = stretches(rows.finish)
        assert moves(finish) == ["store", "index", "done"]
        assert stretches(rows.begin) == stretches(rows.abort) == []


@pytest.mark.parametrize("rank", [-1, 0], ids=["writer", "reader"])
def test_no_interrupt_comes_between_mark_note_move_and_the_message_that_is_taken(
    segments: tuple[Segment, Segment], rank: int
) -> None:
    with bound(executed(PROTOCOL.writer if rank == -1 else PROTOCOL.reader), segments[0], rank) as rows:
        (finish,) = stretches(rows.finish)
        assert finish[finish.index("index") - 2 :] == ["store", "store", "index", "done"], "flag and note, in any order"
        (message,) = stretches(rows.send if rank == -1 else rows.receive)
        taken = [] if rank == -1 else ["is_taken"]
        assert message[message.index("index") - 2 :] == ["store", "store", "index", "done", *taken]


@UNTIMED
@given(RUNNABLE, COMPOSED, RANKS)
def test_no_interrupt_comes_there_in_edited_tables_either(
    segments: tuple[Segment, Segment], variant: Variant, extra: str | Waking | None, rank: int
) -> None:
    """A move comes in one stretch with the store before it; a table may also move without one."""
    program = composed(variant.writer if rank == -1 else variant.reader, extra)
    assume(not leads_back(program))
    with bound(program, segments[0], rank) as rows:
        for function in (rows.begin, rows.finish, rows.abort, rows.send if rank == -1 else rows.receive):
            for stores in stretches(function):
                assert "done" not in stores or stores[stores.index("done") - 1] in ("index", "store")


def test_a_call_between_store_and_move_would_be_noticed() -> None:
    index, flags, following = 0, bytearray(1), [0]

    def careless() -> None:
        nonlocal index
        flags[0] = 1
        index = following[len(following) - 1]

    careless()
    assert stretches(careless) == [["index"]]


# Where it runs.


@pytest.mark.parametrize("machine", [*sorted(TSO_MACHINES), "AMD64"])
def test_processors_with_total_store_order_are_accepted(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    require_total_store_order()


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "riscv64", "ppc64le", ""])
def test_weaker_processors_are_refused_by_name(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(UnsupportedPlatformError, match=f"this processor .{machine}. reorders memory accesses"):
        require_total_store_order()


def test_rank_minus_one_writes_and_the_others_read() -> None:
    assert [role_of(rank) for rank in (-1, 0, 1, 7)] == [Role.WRITER, Role.READER, Role.READER, Role.READER]


def test_the_scanning_tables_run_as_well(segments: tuple[Segment, Segment]) -> None:
    segment = segments[0]
    put(segment, [[1, 0, 1, 1], [0, 0, 0, 0]])
    writer, reader = ORIGINAL.programs
    with bound(writer, segment, -1) as w, bound(reader, segment, 1) as r1:
        assert [w.begin(), w.where(), w.begin(), w.finish(), w.where()] == [WAIT, 1, FOUND, ENDED, 1]
        assert [r1.begin(), r1.where(), r1.begin(), r1.finish(), r1.where()] == [WAIT, 1, FOUND, ENDED, 1]
        assert get(segment) == [[1, 0, 1, 1], [1, 0, 1, 0]]


@pytest.mark.parametrize("edits", ["redirect=W6,done,found", "redirect=W4,aborted,found", "redirect=R3,aborted,otherwise"])
def test_a_table_that_leads_back_into_itself_is_refused(edits: str) -> None:
    variant = Variant.parse(edits)
    assert leads_back_into_its_table(variant)
    with pytest.raises(VariantError, match="leads back into its table"):
        for program in variant.programs:
            compile_program(program, READERS)
