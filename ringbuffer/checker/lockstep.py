"""The simulator and a real segment, stepped together, one access at a time.

Every step is taken twice: by the model on its simulated memory, and by the compiled rows (in their stepping form) on real
shared memory. After each step the program counters, the blocks, all flag bytes and all payload words must be the same; each
delivery must be what an independent oracle (a list, and one cursor per reader) expects; and no property may be broken.
``machine`` makes a Hypothesis state machine of it, whose rules are steps of the writer and of each reader.

Rules: the same driver runs edited tables, in which the planted fault must be found. Limits: what Hypothesis draws is a
sample; it shows that the two sides agree where they were tried, and proves nothing. Needs the extra ``check``.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ringbuffer.compiled import FOUND, Compiled, Stepping, Stop, bind
from ringbuffer.memory.layout import FRAME_BYTES, Layout
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import PROTOCOL, Kind, Program, Variant
from ringbuffer.simulator import ABORT, PROCEED, Setup, Simulation
from ringbuffer.trace.record import Step
from ringbuffer.trace.text import render

READERS_MAX: Final = 3
BLOCKS_MAX: Final = 3
BURST_MAX: Final = 8
"""The most steps that one rule takes of one actor: bursts lead further than single steps, and shrink to them."""

_WORD = struct.Struct("<Q")


class Mismatch(AssertionError):
    """What a lockstep run can find. The first line of the text says what, the others tell the run; ``token`` replays it."""

    def __init__(self, what: str, simulation: Simulation) -> None:
        self.token = simulation.token()
        steps = simulation.steps
        super().__init__(f"{what} at step {len(steps)}\n{render(steps)}\nreplay with: ringbuffer replay {self.token}")


class Disagreement(Mismatch):
    """The real segment and the model differ after a step."""


class PropertyBroken(Mismatch):
    """A step broke a property, or a delivery is not what the independent oracle expects."""


class SteppedActor:
    """One actor on the real segment: the compiled rows, stopped before each access."""

    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self.rows: Compiled = bind(program, segment, rank, stepping=True)
        self.payload_pc = next(instruction.pc for instruction in program.instructions if instruction.row.is_payload)
        self.pc, self.block = 0, 0
        self._running: Stepping | None = None
        self._start(self.rows.begin())

    def access(self, rank: int) -> None:
        """Make the access before which the actor stands; for ``read[*]``, to that reader's flag."""
        assert self._running is not None, "the actor stands before an access"
        running = self._running
        self._advance(lambda: running.send(rank))

    def end_payload(self, aborted: bool) -> None:
        """The caller is done with the block, or has raised."""
        assert self._running is None, "the actor stands in the caller's part"
        self._start(self.rows.abort() if aborted else self.rows.finish())

    def _start(self, running: Stepping) -> None:
        self._running = running
        self._advance(lambda: next(running))

    def _advance(self, resume: Any) -> None:
        try:
            stop: Stop = resume()
        except StopIteration as end:
            if end.value == FOUND:
                self._running = None
                self.pc, self.block = self.payload_pc, self.rows.where()
            else:
                self._start(self.rows.begin())
        else:
            self.pc, self.block, _ = stop


class Lockstep:
    """A run of the model and of a real segment, side by side. Close it: it has a segment of its own."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.simulation = Simulation(setup)
        layout = Layout(setup.readers, _WORD.size * setup.words, setup.blocks)
        self.segment = Segment.create(layout, initial_read_flag=setup.variant.initial_read_flag)
        try:
            ranks = [-1] * setup.writers + list(range(setup.readers))
            programs = self.simulation.model.programs
            self.actors = [SteppedActor(program, self.segment, rank) for program, rank in zip(programs, ranks, strict=True)]
            self.flags = [self.segment.flags(block) for block in range(setup.blocks)]
            self.frames = [self.segment.frame(block) for block in range(setup.blocks)]
        except BaseException:
            self.segment.unlink()
            raise
        self.sent: list[int] = []
        self.cursors = [0] * setup.readers
        self._words: dict[int, list[int]] = {}

    def close(self) -> None:
        """Let go of the segment, and remove it."""
        self.segment.unlink()
        for view in (*self.flags, *self.frames, *(view for actor in self.actors for view in actor.rows.views)):
            view.release()
        self.segment.close()

    def step(self, number: int) -> Step:
        """Take the possible step of that number on both sides, and compare.

        Raises :class:`Disagreement` and :class:`PropertyBroken`.
        """
        actor, detail, _ = self.simulation.possible()[number].choice
        before = self.simulation.state.actors[actor]
        kind = self.simulation.model.programs[actor][before.pc].row.access.kind
        step = self.simulation.step(number)
        if kind in (Kind.FILL, Kind.READ):
            self._payload(actor, kind, before.block, before.word, detail, step)
        else:
            self.actors[actor].access(detail)
        self._compare()
        if step.broken:
            raise PropertyBroken(f"{step.actor} broke {', '.join(step.broken)}", self.simulation)
        return step

    def _payload(self, actor: int, kind: Kind, block: int, word: int, detail: int, step: Step) -> None:
        """One word on the real block, and what the oracle makes of the end of the caller's part."""
        real = self.actors[actor]
        offset = FRAME_BYTES + word * _WORD.size
        words = self._words.setdefault(actor, [])
        if kind is Kind.FILL:
            _WORD.pack_into(self.frames[real.block], offset, step.value)
        words.append(_WORD.unpack_from(self.frames[real.block], offset)[0])
        assert real.block == block, "both sides are in the same block"
        if detail == PROCEED and word + 1 < self.setup.words:
            return
        del self._words[actor]
        real.end_payload(aborted=detail == ABORT)
        if detail == ABORT:
            return
        if kind is Kind.FILL:
            self.sent.append(words[0])
        else:
            self._receive(actor - self.setup.writers, words)

    def _receive(self, rank: int, words: list[int]) -> None:
        """The independent oracle: the next message of the list, whole."""
        cursor = self.cursors[rank]
        expected = [self.sent[cursor]] * self.setup.words if cursor < len(self.sent) else None
        if words != expected:
            raise PropertyBroken(f"reader {rank} read {words}, and the oracle expects {expected}", self.simulation)
        self.cursors[rank] += 1

    def _compare(self) -> None:
        """Raise :class:`Disagreement` unless both sides are in the same state."""
        state, model = self.simulation.state, self.simulation.model
        ring = self.simulation.ring(state)
        for number, (real, simulated) in enumerate(zip(self.actors, state.actors, strict=True)):
            if (real.pc, real.block) != (simulated.pc, simulated.block):
                raise Disagreement(
                    f"{model.actor_name(number)} stands at row {model.programs[number][real.pc].row.id} of block"
                    f" {real.block} in real, at {model.programs[number][simulated.pc].row.id} of block"
                    f" {simulated.block} in the model",
                    self.simulation,
                )
        for block in range(self.setup.blocks):
            flags = tuple(self.flags[block])
            payload = tuple(
                _WORD.unpack_from(self.frames[block], FRAME_BYTES + word * _WORD.size)[0] for word in range(self.setup.words)
            )
            if (flags, payload) != ring[block]:
                raise Disagreement(
                    f"block {block} is {flags, payload} in real, {tuple(ring[block])} in the model", self.simulation
                )


def machine(variant: Variant = PROTOCOL, *, writers: int = 1) -> type[RuleBasedStateMachine]:
    """A Hypothesis state machine that steps ``variant`` on both sides.

    ``writers``: more than one plants the fault of a second writer. A machine draws the size of the ring first.
    """

    class LockstepMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.run: Lockstep | None = None

        @initialize(readers=st.integers(1, READERS_MAX), blocks=st.integers(1, BLOCKS_MAX))
        def make_ring(self, readers: int, blocks: int) -> None:
            self.run = Lockstep(Setup(variant, readers, blocks, writers=writers))

        @rule(writer=st.integers(0, writers - 1), count=st.integers(1, BURST_MAX), pick=st.integers(0, READERS_MAX - 1))
        def writer_steps(self, writer: int, count: int, pick: int) -> None:
            """The writer makes some accesses; ``pick`` says which of the flags it visits first where it may choose."""
            for _ in range(count):
                self._take(writer, PROCEED, pick)

        @rule(reader=st.integers(0, READERS_MAX - 1), count=st.integers(1, BURST_MAX))
        def reader_steps(self, reader: int, count: int) -> None:
            """A reader makes some accesses."""
            assert self.run is not None
            for _ in range(count):
                self._take(writers + reader % self.run.setup.readers, PROCEED, 0)

        @precondition(lambda self: self._can_raise(range(writers)))
        @rule(writer=st.integers(0, writers - 1))
        def writers_caller_raises(self, writer: int) -> None:
            """The writer's caller writes one more word, and raises."""
            self._take(writer, ABORT, 0)

        @precondition(lambda self: self._can_raise(range(writers, writers + READERS_MAX)))
        @rule(reader=st.integers(0, READERS_MAX - 1))
        def readers_caller_raises(self, reader: int) -> None:
            """A reader's caller reads one more word, and raises."""
            assert self.run is not None
            self._take(writers + reader % self.run.setup.readers, ABORT, 0)

        def _can_raise(self, actors: range) -> bool:
            return self.run is not None and any(self._in_payload(actor) for actor in actors)

        def _in_payload(self, actor: int) -> bool:
            assert self.run is not None
            state, programs = self.run.simulation.state, self.run.simulation.model.programs
            return actor < len(programs) and programs[actor][state.actors[actor].pc].row.is_payload

        def _take(self, actor: int, detail: int, pick: int) -> None:
            """One step of that actor; nothing where its caller is to raise and has no part yet."""
            assert self.run is not None
            if detail == ABORT and not self._in_payload(actor):
                return
            choices = [transition.choice for transition in self.run.simulation.possible()]
            mine = [number for number, choice in enumerate(choices) if choice[0] == actor]
            if self._in_payload(actor):
                mine = [number for number in mine if choices[number][1] == detail]
            self.run.step(mine[pick % len(mine)])

        def teardown(self) -> None:
            if self.run is not None:
                self.run.close()

    LockstepMachine.__name__ = LockstepMachine.__qualname__ = "LockstepMachine"
    return LockstepMachine


def sample(
    variant: Variant = PROTOCOL, *, writers: int = 1, examples: int = 100, steps: int = 60, derandomize: bool = True
) -> None:
    """Run the machine ``examples`` times, up to ``steps`` rules each.

    Raises :class:`Disagreement` or :class:`PropertyBroken`, with the shortest run that Hypothesis could find.
    """
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine(variant, writers=writers), settings=chosen)
