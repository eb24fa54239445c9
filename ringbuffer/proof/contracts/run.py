"""One law, tried by CrossHair.

CrossHair runs a law on symbolic arguments, path by path. It confirms the law when the paths are exhausted and the condition
was proved on each; it refutes the law with arguments for which it fails. Rules: the options are those of the comments in the
modules of laws, so that ``crosshair check proofs`` comes to the same verdicts: open laws stop after a number of paths, and
the others have far more time than they need, which is there to end a law that some change has made hopeless. Limits: while a
law is tried, the interpreter is traced and its built-in functions are patched, and a twin stands in the place of a shipped
function; :mod:`ringbuffer.checker.contracts` therefore does all this in processes of their own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from ringbuffer.proof.contracts.laws import BY_NAME, LAWS, Law

CONFIRMED: Final = "confirmed"
"""The law holds on all paths, and there are no others."""
NOT_CONFIRMED: Final = "not confirmed"
"""Nothing was found against the law, and not all of its paths were tried or decided."""
REFUTED: Final = "refuted"
"""There are arguments for which the law does not hold, or is not even answered."""

SHIPPED: Final = -1
"""The number of no twin: the law is tried about the shipped function."""

Question: TypeAlias = tuple[str, int]
"""The name of a law, and the number of its twin or :data:`SHIPPED`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one law: a verdict, CrossHair's own words, and the time that it took."""

    name: str
    twin: int
    verdict: str
    message: str
    seconds: float

    @property
    def law(self) -> Law:
        """The law that was tried."""
        return BY_NAME[self.name]


SHIPPED_QUESTIONS: Final = tuple((law.name, SHIPPED) for law in LAWS)
"""Every law, about the shipped functions."""
TWIN_QUESTIONS: Final = tuple((law.name, twin) for law in LAWS for twin in range(len(law.twins)))
"""Every law, about each of its broken versions."""


def examine(question: Question) -> Finding:
    """Try one law, about the shipped function or about a twin. Raises ``ModuleNotFoundError`` without CrossHair."""
    from crosshair.core_and_libs import analyze_function, run_checkables
    from crosshair.options import AnalysisOptionSet

    name, twin = question
    law = BY_NAME[name]
    started = time.perf_counter()
    with _in_place(law, twin):
        checkables = analyze_function(law.function, AnalysisOptionSet(report_all=True))
        messages = run_checkables(checkables)
    seconds = time.perf_counter() - started
    told = "; ".join(message.message for message in messages) or "no condition was found"
    return Finding(name, twin, verdict_of([message.state.name for message in messages]), told, seconds)


def verdict_of(states: Collection[str]) -> str:
    """The verdict on a law, from the names of CrossHair's ``MessageType``, one for each condition that it looked at.

    A law without a condition, or whose arguments can never be as it asks, is not confirmed. What is neither confirmed nor
    open (the condition is false, something raised, the condition cannot be parsed) refutes.
    """
    if states and set(states) == {"CONFIRMED"}:
        return CONFIRMED
    return NOT_CONFIRMED if set(states) <= {"CONFIRMED", "CANNOT_CONFIRM", "PRE_UNSAT"} else REFUTED


@contextmanager
def _in_place(law: Law, number: int) -> Iterator[None]:
    """Put a twin in the place of the shipped function that the law calls, and afterwards the shipped function back."""
    if number == SHIPPED:
        yield
        return
    twin, module = law.twins[number], sys.modules[law.function.__module__]
    shipped = getattr(module, twin.name)
    setattr(module, twin.name, twin.broken)
    try:
        yield
    finally:
        setattr(module, twin.name, shipped)
