"""How an actor's thread is stopped between opcodes or lines: trace functions (``sys.settrace``), one per call of a traced
function.

Rules: only frames of the code under test are traced; the body of a module that is being imported is not, because a second run
would not import it again. By opcodes, an event comes before each one, and those that are local (``opcodes.py``) are passed
over at once.
Limits: a trace function of somebody else in these threads (a debugger, a measurement of coverage) is displaced.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Protocol

from ringbuffer.interleaving.actors import Actor
from ringbuffer.interleaving.execution import Execution
from ringbuffer.interleaving.opcodes import BACK, SWITCH, WRITES, kinds_by_line, kinds_by_opcode
from ringbuffer.interleaving.waiting import Loop

LINE, OPCODE = "line", "opcode"
GRANULARITIES = (LINE, OPCODE)
Trace = Callable[[FrameType, str, Any], Any]


class Listener(Protocol):
    """What is told of every event, to tell of the run."""

    def at(self, actor: Actor, frame: FrameType) -> None: ...
    def ran(self, actor: Actor, frame: FrameType, *, is_step: bool) -> None: ...
    def returned(self, actor: Actor, frame: FrameType, value: object) -> None: ...


class Tracer:
    """Makes the trace functions of a search. The tables of the code that it has met are kept."""

    def __init__(self, is_code: Callable[[str], bool], granularity: str) -> None:
        self._is_code = is_code
        self._granularity = granularity
        self._tables: dict[int, tuple[CodeType, Any]] = {}

    def has_met_code(self) -> bool:
        """Whether any code under test has run; where none has, a search would show nothing."""
        return any(table is not None for _, table in self._tables.values())

    def _table(self, code: CodeType) -> Any:
        known = self._tables.get(id(code))
        if known is None:
            is_traced = self._is_code(code.co_filename) and code.co_name != "<module>"
            make = kinds_by_opcode if self._granularity == OPCODE else kinds_by_line
            known = self._tables[id(code)] = (code, make(code) if is_traced else None)
        return known[1]

    def of(self, listener: Listener | None) -> Callable[[Execution, Actor], Trace]:
        """What makes the trace function of an actor's thread in a run."""
        make_local = _by_opcode if self._granularity == OPCODE else _by_line

        def trace_of(execution: Execution, actor: Actor) -> Trace:
            def called(frame: FrameType, event: str, arg: object) -> Trace | None:
                del event, arg
                table = self._table(frame.f_code)
                if table is None:
                    return None
                if make_local is _by_opcode:
                    frame.f_trace_opcodes, frame.f_trace_lines = True, False
                if not actor.depth:
                    _enter(execution, actor, frame)
                actor.depth += 1
                return make_local(execution, actor, frame, table, listener)

            return called

        return trace_of


def _enter(execution: Execution, actor: Actor, frame: FrameType) -> None:
    """Code that is not traced calls the code under test: perhaps again, and perhaps for nothing."""
    actor.effects |= WRITES
    place = (id(frame.f_code), -1 if frame.f_back is None else frame.f_back.f_lasti)
    loop = actor.entries.get(place)
    if loop is None:
        loop = actor.entries[place] = Loop()
    execution.come_back(actor, frame, loop, place)


def _leave(actor: Actor, frame: FrameType, value: object, listener: Listener | None) -> None:
    actor.depth -= 1
    if listener is not None:
        listener.returned(actor, frame, value)


def _by_opcode(
    execution: Execution, actor: Actor, frame: FrameType, table: tuple[int, ...], listener: Listener | None
) -> Trace:
    loops: dict[int, Loop] = {}
    code = id(frame.f_code)

    def stepped(frame: FrameType, at: int, kind: int) -> None:
        if kind & BACK:
            loop = loops.get(at)
            if loop is None:
                loop = loops[at] = Loop()
            if execution.come_back(actor, frame, loop, (code, at)):
                return
        if kind & SWITCH:
            execution.step(actor, frame, kind)

    def traced(frame: FrameType, event: str, arg: object) -> Trace:
        if event == "opcode":
            at = frame.f_lasti
            kind = table[at >> 1]
            if listener is not None:
                listener.at(actor, frame)
            if kind:
                stepped(frame, at, kind)
            if listener is not None:
                listener.ran(actor, frame, is_step=kind & SWITCH != 0)
        elif event == "return":
            _leave(actor, frame, arg, listener)
        return traced

    return traced


def _by_line(execution: Execution, actor: Actor, frame: FrameType, table: dict[int, int], listener: Listener | None) -> Trace:
    loops: dict[int, Loop] = {}
    code = id(frame.f_code)
    last = -1

    def stepped(frame: FrameType) -> None:
        nonlocal last
        at, before, last = frame.f_lasti, last, frame.f_lasti
        kind = table.get(frame.f_lineno, SWITCH)
        if at <= before:
            loop = loops.get(at)
            if loop is None:
                loop = loops[at] = Loop()
            if execution.come_back(actor, frame, loop, (code, at)):
                actor.effects |= kind & ~SWITCH
                return
        execution.step(actor, frame, kind)

    def traced(frame: FrameType, event: str, arg: object) -> Trace:
        if event == "line":
            if listener is not None:
                listener.at(actor, frame)
            stepped(frame)
            if listener is not None:
                listener.ran(actor, frame, is_step=True)
        elif event == "return":
            _leave(actor, frame, arg, listener)
        return traced

    return traced
