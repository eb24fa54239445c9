"""Making a call-level run short: what Hypothesis has found, with everything left out that can be.

Hypothesis makes things short, too, but takes many times as long, and stops where no single change makes it shorter. A
call-level run is cheap enough to try every run of fewer calls on small rings: what that finds is the shortest there is on them.

Rules: what comes out has been run, and breaks the clause. Limits: the number of runs tried is bounded (:data:`RUNS_MAX`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from ringbuffer.conformance.adapter import Factory
from ringbuffer.conformance.calls import SIZE_MIN, WRITES, Operation, Sampling, matters, play
from ringbuffer.conformance.story import Violation

RUNS_MAX: Final = 4000
"""How many runs are tried in all."""

Size: TypeAlias = tuple[int, int, int]


def shortened(factory: Factory, found: Violation, size: Size, operations: Sequence[Operation], sampling: Sampling) -> Violation:
    """A shortest run that breaks what ``found`` broke, or ``found`` itself."""
    attempt = _Attempt(factory, sampling, found, size, list(operations))
    attempt.leave_out()
    attempt.try_all_shorter()
    return attempt.best


class _Attempt:
    """The best run so far, and how many more may be tried."""

    def __init__(self, factory: Factory, sampling: Sampling, best: Violation, size: Size, operations: list[Operation]) -> None:
        self.factory, self.sampling = factory, sampling
        self.best, self.size, self.operations = best, size, operations
        self.left = RUNS_MAX

    def breaks(self, size: Size, operations: list[Operation]) -> bool:
        """Whether that run breaks the clause, too; then it is the best."""
        if self.left <= 0:
            return False
        self.left -= 1
        try:
            play(self.factory, size, operations, self.sampling.judged)
        except Violation as violation:
            operations = operations[: violation.calls]  # what comes behind is no part of the story
            if not matters(self.factory, size, operations, self.sampling):
                return False
            self.best, self.size, self.operations = violation, size, operations
            return True
        return False

    def leave_out(self) -> None:
        """Leave out calls and readers one by one, and make sizes equal, as long as that goes."""
        while any(self.breaks(size, operations) for size, operations in self._simpler()):
            pass

    def _simpler(self) -> Iterator[tuple[Size, list[Operation]]]:
        size, operations = self.size, self.operations
        readers, blocks, block_bytes = size
        for at in reversed(range(len(operations))):
            yield size, operations[:at] + operations[at + 1 :]
        for one in range(readers):
            if readers > 1:
                yield (readers - 1, blocks, block_bytes), _without_reader(operations, one)
        if blocks > 1:
            yield (readers, blocks - 1, block_bytes), operations
        for at, operation in enumerate(operations):
            if operation.kind in WRITES and operation.number > max(SIZE_MIN, self.sampling.size_min):
                smaller = Operation(operation.kind, max(SIZE_MIN, self.sampling.size_min))
                yield size, [*operations[:at], smaller, *operations[at + 1 :]]

    def try_all_shorter(self) -> None:
        """Every run of fewer calls, on rings no larger than this one, the shortest first."""
        readers_max, blocks_max, block_bytes = self.size
        sizes = sorted({one.number for one in self.operations if one.kind in WRITES})
        kinds = sorted({one.kind for one in self.operations} | {"w", "r"})
        for length in range(1, len(self.operations)):
            for readers, blocks in itertools.product(range(1, readers_max + 1), range(1, blocks_max + 1)):
                calls = [Operation(kind, number) for kind in kinds for number in (sizes if kind in WRITES else range(readers))]
                for operations in itertools.product(calls, repeat=length):
                    if self.left <= 0 or self.breaks((readers, blocks, block_bytes), list(operations)):
                        return


def _without_reader(operations: Sequence[Operation], rank: int) -> list[Operation]:
    """The calls of the others, whose ranks close the gap."""
    kept = [one for one in operations if one.kind in WRITES or one.number != rank]
    return [Operation(one.kind, one.number - (one.kind not in WRITES and one.number > rank)) for one in kept]
