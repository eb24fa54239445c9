"""``KeyboardInterrupt`` at every point of a call at which CPython can raise it, one after the other.

CPython raises it where it looks at its *eval breaker*: when a function is entered or a generator resumed
(``RESUME``), after a call of something that is not a Python function (``CALL``, ``CALL_FUNCTION_EX``), at a jump backwards,
and nowhere else (``Python/ceval.c``; ``dis`` names the instructions). This module does not list such places, which differ from
release to release; it lets CPython find them. A trace function (``sys.settrace``, with opcode events) counts the opcodes of
the call; before opcode number n it sets the very flag that the signal handler in C sets on Ctrl-C (``PyErr_SetInterrupt``),
and CPython raises at the next place where it looks. With n = 1, 2, 3, … until the call ends untouched, every such place has
had its interrupt, and no other place has, in all frames of the call: this package's, the generated rows', ``pickle``'s, and
those of the test's own ``with``.

Most opcodes are no such place, and then the interrupt comes at the next one. So the call is made once without one, and its
opcodes are written down; where an interrupted call has gone the same way, opcodes that would have the same interrupt are left
out.

A trace function that is written in Python would itself be such a place, so from opcode n on the flag is set by a function
in C, called through ``ctypes``. Rules: no signal is sent and no time passes; where the interrupt came, is looked up
afterwards, so that a sweep which has missed its object fails. Limits: one interrupt per call.
"""

from __future__ import annotations

import ctypes
import dis
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias

_TRACE_ARGUMENTS = (ctypes.py_object, ctypes.py_object, ctypes.py_object)
_set_interrupt = ctypes.PYFUNCTYPE(None, *_TRACE_ARGUMENTS)(("PyErr_SetInterrupt", ctypes.pythonapi))
_do_nothing = ctypes.PYFUNCTYPE(None, *_TRACE_ARGUMENTS)(("Py_IsInitialized", ctypes.pythonapi))
"""Trace functions in C. What they call takes no arguments, and a C function may be given more than it takes."""

OTHER_WAYS_MAX: Final = 10
"""How often a sweep learns that calls have come to go another way."""

Opcode: TypeAlias = tuple[CodeType, int]
Tracer: TypeAlias = Callable[[FrameType, str, Any], Any]


@dataclass
class Interrupted:
    """What came of one call with an interrupt."""

    place: str = ""
    """The function at which the interrupt was raised; ``""`` if it came too late, after the call."""
    returned: bool = False
    value: Any = None
    untouched: bool = False
    """The call has fewer opcodes, and no interrupt came."""
    path: list[Opcode] = field(default_factory=list, repr=False)
    """The opcodes before which there was no interrupt yet."""
    at: Opcode | None = None
    """The opcode at which the interrupt was raised."""


def interrupt(call: Callable[[], Any], opcode: int, meanwhile: Callable[[], object] | None = None) -> Interrupted:
    """Make the call; the interrupt is pending from its opcode number ``opcode`` on.

    ``meanwhile``: what runs in place of the interrupt, and the call goes on after it. At the same places CPython gives its lock
    to another thread, so this stands for what another thread does there.
    """
    outcome = Interrupted(untouched=True)
    path = outcome.path

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            path.append((frame.f_code, frame.f_lasti))
            if len(path) == opcode:
                outcome.untouched = False
                sys.settrace(_do_nothing)
                outer = frame.f_back
                while outer is not None:
                    if outer.f_trace is trace:
                        outer.f_trace = _set_interrupt
                    outer = outer.f_back
                return _set_interrupt
        return trace

    def handler(_: int, frame: FrameType | None) -> None:
        sys.settrace(None)
        assert frame is not None
        outcome.at = frame.f_code, frame.f_lasti
        if frame.f_code is not interrupt.__code__:
            outcome.place = frame.f_code.co_name
        if meanwhile is None:
            raise KeyboardInterrupt
        meanwhile()

    traced_before, handled_before = sys.gettrace(), signal.signal(signal.SIGINT, handler)
    sys._getframe().f_trace_opcodes = True
    gc.disable()  # what is collected during the call, and when, would be part of it
    try:
        try:
            sys.settrace(trace)
            outcome.value = call()
            outcome.returned = True
        finally:
            sys.settrace(None)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, handled_before)
        sys.settrace(traced_before)
        gc.enable()
    return outcome


def sweep(call: Callable[[], Any], *must_meet: str, meanwhile: Callable[[], object] | None = None) -> Iterator[Interrupted]:
    """Make the call again and again, interrupted at one place later each time, until it ends untouched, as the first one does.

    ``meanwhile``: as for :func:`interrupt`. Raises ``AssertionError`` at the end unless the interrupts have met each of the
    functions ``must_meet``.
    """
    met: set[str] = set()
    opcode, whole, other_ways = 1, Interrupted(), 0
    while True:
        if other_ways < OTHER_WAYS_MAX and not whole.path:
            whole = interrupt(call, sys.maxsize)
            yield whole
        outcome = interrupt(call, opcode, meanwhile)
        if outcome.untouched:
            break
        met.add(outcome.place)
        yield outcome
        if outcome.path != whole.path[:opcode]:  # it went another way: after an interrupt, or as the ring has gone on
            whole = Interrupted()
            other_ways += 1
        opcode = 1 + _last_like(opcode, outcome, whole.path)
    yield outcome
    assert met >= set(must_meet), f"the interrupts have met {met} only"


def _last_like(opcode: int, outcome: Interrupted, path: list[Opcode]) -> int:
    """The last opcode, from ``opcode`` on, for which the interrupt comes where it came.

    The flag is set by what follows the opcode in its function or, when that has ended, in the one that has called it; it is not
    set in one that it calls.
    """
    for number in range(opcode, len(path)):
        if path[number] == outcome.at:
            return number
        (code, _), (code_before, at_before) = path[number], path[number - 1]
        if code is not code_before and not dis.opname[code_before.co_code[at_before]].startswith("RETURN"):
            is_entry = outcome.at is not None and outcome.at[0] is code
            return max(opcode, number - 1) if is_entry else opcode
    return opcode


def untraced(call: Callable[[], Any]) -> Any:
    """Make a call that is not part of what is interrupted."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        return call()
    finally:
        sys.settrace(trace)
