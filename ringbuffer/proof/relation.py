"""The transition relation, read off the rows: for each row and each way it can come out, a guard and the state after it.

This is the encoder. It interprets the same resolved tables as the explorer's model does, access by access, and knows nothing of
the protocol; :mod:`ringbuffer.proof.validation` holds the one to the other, state by state. Rules: the memory is sequentially
consistent; a row about several flags visits one flag a step, in any order; a payload is written and read word by word, and a
caller may raise after any word. Each step says besides what it would break, as the oracle judges it. Limits: a lock of one's
own is a byte that nobody else touches, and a fence does nothing: under sequential consistency neither orders anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ringbuffer.places import last_touch
from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.vocabulary import WRITER, State, Who
from ringbuffer.protocol import Access, Branch, Edge, Flag, Instruction, Kind, Outcome, Program, Variant
from ringbuffer.protocol.oracle import NO_MESSAGE
from ringbuffer.state import ABORT, PROCEED, TORN

READER, WORD, INDEX = Sort.READER, Sort.WORD, Sort.INDEX
ONCE = PROCEED
"""The detail of a row that makes one access."""


@dataclass(frozen=True)
class Neighbours:
    """The order of the readers, for edited tables that touch a wrong one's flag: who comes next, and who is the last."""

    next: Callable[[Term], Term]
    is_last: Callable[[Term], Term]

    @classmethod
    def of(cls, readers: int) -> Neighbours:
        """The order of so many readers, on plain values."""
        return cls(lambda r: (r + 1) % readers, lambda r: r == readers - 1)


@dataclass(frozen=True)
class Step:
    """One way in which an actor's row goes on.

    ``detail``: the rank that is visited, or :data:`PROCEED` or :data:`ABORT`, as in the explorer's choices. ``guard``: when it
    is possible. ``broken``: by property, when it breaks it. ``edge``: which kind of branch it takes, ``None`` within a row.
    ``accepts``, ``delivers``: the message that is accepted or delivered by it, if one is.
    """

    row: str
    who: Who
    detail: Term
    guard: Term
    after: State
    broken: Mapping[str, Term] = field(default_factory=dict)
    edge: Edge | None = None
    accepts: Term | None = None
    delivers: Term | None = None

    def breaking(self, **broken: Term) -> Step:
        """The step with more that it may break."""
        either = self.after.logic.either
        both = {name: either(self.broken[name], broken[name]) for name in self.broken.keys() & broken.keys()}
        return replace(self, broken={**self.broken, **broken, **both})


class Loaded(NamedTuple):
    """One way in which an access to a flag comes out: when it is possible, the value, and the state after it."""

    guard: Term
    value: Term
    after: State


class Relation:
    """The steps of a variant, in one reading."""

    def __init__(self, variant: Variant, logic: Logic, neighbours: Neighbours) -> None:
        self.variant, self.logic, self.neighbours = variant, logic, neighbours
        self.writer, self.reader = variant.programs
        self._last_pc = {program.role: last_touch(program) for program in variant.programs}

    def initial(self, state: State) -> Term:
        """What is true of a state before anybody has run. The log is empty, so nothing is said of it."""
        logic = self.logic
        return logic.both(
            state["begun"]() == 0,
            state["accepted"]() == 0,
            self.memory_starts(state),
            logic.for_all((Sort.BLOCK, WORD), lambda b, w: state["payload"](b, w) == NO_MESSAGE),
            logic.for_all((READER,), lambda r: state["cursor"](r) == 0),
            self._starts(state, WRITER, self.writer),
            logic.for_all((READER,), lambda r: self._starts(state, Who(r), self.reader)),
        )

    def memory_starts(self, state: State) -> Term:
        """What is true of the flags before anybody has run."""
        logic, flag = self.logic, self.variant.initial_read_flag
        return logic.both(
            logic.for_all((Sort.BLOCK,), lambda b: state["written"](b) == 0),
            logic.for_all((Sort.BLOCK, READER), lambda b, r: state["read"](b, r) == flag),
        )

    def _starts(self, state: State, who: Who, program: Program) -> Term:
        logic = self.logic
        zero = [state.of(who, name) == 0 for name in ("pc", "block", "base", "zeros", "word", "message", "lock")]
        visits = self.visits(program, 0)
        todo = logic.for_all((READER,), lambda r: logic.same(state.of(who, "todo", r), visits(r)))
        return logic.both(*zero, todo)

    def steps(self, state: State, who: Who) -> Iterator[Step]:
        """Every step of one actor in ``state``."""
        for instruction in self.program(who).instructions:
            yield from self.steps_of_row(state, who, instruction)

    def program(self, who: Who) -> Program:
        """The rows of an actor."""
        return self.writer if who.is_writer else self.reader

    def steps_of_row(self, state: State, who: Who, instruction: Instruction) -> Iterator[Step]:
        """Every step of one row, for an actor."""
        here = state.of(who, "pc") == instruction.pc
        access = instruction.row.access
        if instruction.row.is_payload:
            fills = access.kind is Kind.FILL
            for detail in (PROCEED, ABORT):
                yield from (self._fill if fills else self._read)(state, who, instruction, here, detail)
        elif access.kind is Kind.FENCE:
            yield self._go_on(state, who, instruction, Outcome.DONE, here, ONCE)
        elif access.is_several:
            yield from self._several(state, who, instruction, here)
        else:
            yield from self._single(state, who, instruction, here)

    def loads(self, state: State, who: Who, access: Access, name: str, key: tuple[Term, ...]) -> Iterator[Loaded]:
        """What a load of a flag can return, and the state after it. Here: the one value that there is."""
        yield Loaded(self.logic.true, state[name](*key), state)

    def stores(self, state: State, who: Who, access: Access, name: str, key: tuple[Term, ...]) -> Iterator[Loaded]:
        """The states to which a store of a flag can lead. Here: one."""
        yield Loaded(self.logic.true, access.value, state.put(name, key, access.value))

    def touches(self, state: State, who: Who) -> tuple[State, dict[str, Term]]:
        """The state after an actor has touched the payload of its block, and what that may break. Here: nothing."""
        return state, {}

    def _single(self, state: State, who: Who, instruction: Instruction, here: Term) -> Iterator[Step]:
        """A load, a store or an exchange of one flag of the actor's block."""
        access, (name, key) = instruction.row.access, self.location(state, who, instruction.row.access)
        if access.kind is not Kind.LOAD:
            for guard, _, after in self.stores(state, who, access, name, key):
                yield self._go_on(after, who, instruction, Outcome.DONE, self.logic.both(here, guard), ONCE)
            return
        for guard, value, after in self.loads(state, who, access, name, key):
            for outcome, _ in instruction.branches:
                seen = value == int(outcome is Outcome.ONE)
                yield self._go_on(after, who, instruction, outcome, self.logic.both(here, guard, seen), ONCE)

    def location(self, state: State, who: Who, access: Access) -> tuple[str, tuple[Term, ...]]:
        """The field that stands for the one flag of an access, and its arguments."""
        block = state.of(who, "block")
        match access.flag:
            case Flag.WRITTEN:
                return "written", (block,)
            case Flag.OWN:
                return "read", (block, who.rank)
            case Flag.NEIGHBOUR:
                return "read", (block, self.neighbours.next(who.rank))
        assert access.flag is Flag.LOCK, "the others are several"
        return who.field("lock"), who.key()

    def visits(self, program: Program, pc: int) -> Callable[[Term], Term]:
        """Which readers' flags the row at ``pc`` is about; none for a row about one flag."""
        access = program[pc].row.access
        if not access.is_several:
            return lambda _: self.logic.false
        if access.flag is Flag.EACH:
            return lambda _: self.logic.true
        return lambda rank: self.logic.no(self.neighbours.is_last(rank))

    def _several(self, state: State, who: Who, instruction: Instruction, here: Term) -> Iterator[Step]:
        """A row about several read flags: any of those that it has not visited is next. A loop over none just ends."""
        logic, access = self.logic, instruction.row.access
        if access.flag is not Flag.EACH:
            visits = self.visits(self.program(who), instruction.pc)
            none = logic.no(logic.some((READER,), visits))
            outcome = Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE
            yield self._go_on(state, who, instruction, outcome, logic.both(here, none), ONCE)
        for rank in logic.any(READER, "visited"):
            guard = logic.both(here, state.of(who, "todo", rank))
            yield from self._visit(state, who, instruction, guard, rank)

    def _visit(self, state: State, who: Who, instruction: Instruction, guard: Term, rank: Term) -> Iterator[Step]:
        """One of several flags is loaded or stored: then the next one, or the end of the row."""
        access, key = instruction.row.access, (state.of(who, "block"), rank)
        moved = state.put(who.field("todo"), who.key(rank), self.logic.false)
        left = self.logic.some((READER,), lambda other: moved.of(who, "todo", other))
        assert access.kind in (Kind.LOAD, Kind.STORE), "no table exchanges several flags"
        if access.kind is Kind.LOAD:
            for possible, value, after in self.loads(moved, who, access, "read", key):
                yield from self._seen(after, who, instruction, self.logic.both(guard, possible), left, value, rank)
            return
        for possible, _, after in self.stores(moved, who, access, "read", key):
            now = self.logic.both(guard, possible)
            yield Step(instruction.row.id, who, rank, self.logic.both(now, left), after)
            yield self._go_on(after, who, instruction, Outcome.DONE, self.logic.both(now, self.logic.no(left)), rank)

    def _seen(
        self, state: State, who: Who, instruction: Instruction, guard: Term, left: Term, value: Term, rank: Term
    ) -> Iterator[Step]:
        """One of several flags was loaded: go on to the next, or decide."""
        logic = self.logic
        zeros = state.of(who, "zeros") + logic.choose(value == 0, 1, 0)
        enough = zeros <= instruction.row.access.missing_allowed
        stays = state.put_of(who, zeros=zeros)
        yield Step(instruction.row.id, who, rank, logic.both(guard, enough, left), stays)
        yield self._go_on(state, who, instruction, Outcome.ONE, logic.both(guard, enough, logic.no(left)), rank)
        yield self._go_on(state, who, instruction, Outcome.ZERO, logic.both(guard, logic.no(enough)), rank)

    def _fill(self, state: State, who: Who, instruction: Instruction, here: Term, detail: int) -> Iterator[Step]:
        """The caller writes one word; the last one makes the message accepted."""
        logic = self.logic
        block, word = state.of(who, "block"), state.of(who, "word")
        begins = word == 0
        begun = state["begun"]() + logic.choose(begins, 1, 0)
        message = logic.choose(begins, begun, state.of(who, "message"))
        old = state["payload"](block, word)
        over = logic.both(old != message, logic.some((READER,), lambda r: self._is_owed(state, r, old)))
        company = logic.both(begins, self._company(state, who))
        touched, races = self.touches(state, who)
        broken = {"overwritten": over, "exclusion": company, **races}
        filled = touched.put("payload", (block, word), message).put("begun", (), begun)
        if detail == ABORT:
            yield self._go_on(filled, who, instruction, Outcome.ABORTED, here, detail).breaking(**broken)
            return
        more = logic.both(here, word + 1 < logic.words)
        stays = filled.put_of(who, word=word + 1, message=message)
        yield Step(instruction.row.id, who, detail, more, stays, broken)
        accepted = state["accepted"]()
        sent = filled.put("log", (accepted,), message).put("accepted", (), accepted + 1)
        last = logic.both(here, word + 1 >= logic.words)
        yield replace(self._go_on(sent, who, instruction, Outcome.DONE, last, detail).breaking(**broken), accepts=message)

    def _read(self, state: State, who: Who, instruction: Instruction, here: Term, detail: int) -> Iterator[Step]:
        """The caller reads one word; with the last one the message is delivered."""
        logic, rank = self.logic, who.rank
        block, word = state.of(who, "block"), state.of(who, "word")
        begins = word == 0
        value, before = state["payload"](block, word), state.of(who, "message")
        message = logic.choose(logic.either(begins, value == before), value, TORN)
        broken = {"exclusion": logic.both(begins, self._company(state, who))}
        state, races = self.touches(state, who)
        broken |= races
        if detail == ABORT:
            yield self._go_on(state, who, instruction, Outcome.ABORTED, here, detail).breaking(**broken)
            return
        more = logic.both(here, word + 1 < logic.words)
        yield Step(instruction.row.id, who, detail, more, state.put_of(who, word=word + 1, message=message), broken)
        cursor = state["cursor"](rank)
        is_torn = message == TORN
        is_owed = self._is_owed(state, rank, message)
        is_next = logic.both(cursor < state["accepted"](), message == state["log"](cursor))
        judged = {
            "torn": is_torn,
            "stale": logic.both(logic.no(is_torn), logic.no(is_owed)),
            "reordered": logic.both(logic.no(is_torn), is_owed, logic.no(is_next)),
        }
        got = state.put("cursor", (rank,), logic.choose(is_next, cursor + 1, cursor))
        last = logic.both(here, word + 1 >= logic.words)
        step = self._go_on(got, who, instruction, Outcome.DONE, last, detail, message)
        yield replace(step.breaking(**broken, **judged), delivers=message)

    def _go_on(
        self,
        state: State,
        who: Who,
        instruction: Instruction,
        outcome: Outcome,
        guard: Term,
        detail: Term,
        delivered: Term | None = None,
    ) -> Step:
        """The row is over: the branch of its outcome, and what is broken when an actor is done with a block or enters one.

        ``delivered``: the message that the reader has just received: it is not lost, even if older ones are still owed.
        """
        program, branch = self.program(who), instruction.branch(outcome)
        broken: dict[str, Term] = {}
        done = instruction.pc == self._last_pc[program.role] and branch.edge in (Edge.FINISHED, Edge.FORWARD)
        if done and not who.is_writer:
            broken["lost"] = self._gives_back_unread(state, who, delivered)
        after = self._moved(state, who, program, branch)
        if program[branch.pc].row.is_payload:
            broken["exclusion"] = self._company(after, who)
        return Step(instruction.row.id, who, detail, guard, after, broken, branch.edge)

    def _moved(self, state: State, who: Who, program: Program, branch: Branch) -> State:
        """The actor stands at the branch's row, at its start, as many blocks further as the branch says."""
        logic = self.logic
        block, base = state.of(who, "block"), state.of(who, "base")
        for _ in range(branch.advance):
            wraps = block + 1 >= logic.blocks
            block, base = logic.choose(wraps, 0, block + 1), logic.choose(wraps, base + logic.blocks, base)
        after = state.put_of(who, pc=branch.pc, word=0, message=NO_MESSAGE)
        if branch.advance:
            after = after.put_of(who, block=block, base=base)
        if any(at.row.access.is_several for at in program.instructions):
            after = after.put_of(who, zeros=0).put_all(who.field("todo"), who.key(), self.visits(program, branch.pc))
        return after

    def _is_owed(self, state: State, rank: Term, message: Term) -> Term:
        """Whether a reader is owed a message: it was accepted, and stands at the reader's cursor or behind."""
        logic, log = self.logic, state["log"]

        def here(i: Term) -> Term:
            return logic.both(state["cursor"](rank) <= i, i < state["accepted"](), log(i) == message)

        return logic.some((INDEX,), here)

    def _gives_back_unread(self, state: State, who: Who, delivered: Term | None) -> Term:
        """Whether a word of the reader's block belongs to a message that it is owed, but for one just delivered."""
        block = state.of(who, "block")

        def is_lost(w: Term) -> Term:
            word = state["payload"](block, w)
            owed = self._is_owed(state, who.rank, word)
            return owed if delivered is None else self.logic.both(owed, word != delivered)

        return self.logic.some((WORD,), is_lost)

    def _company(self, state: State, who: Who) -> Term:
        """Whether somebody else is in the actor's block, of whom one writes."""
        logic, block = self.logic, state.of(who, "block")

        def is_here(other: Who) -> Term:
            rows = [at.pc for at in self.program(other).instructions if at.row.is_payload]
            at_payload = logic.either(*[state.of(other, "pc") == pc for pc in rows])
            return logic.both(state.of(other, "block") == block, at_payload)

        return logic.some((READER,), lambda r: is_here(Who(r))) if who.is_writer else is_here(WRITER)
