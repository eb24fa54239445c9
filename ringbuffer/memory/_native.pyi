from collections.abc import Iterable
from typing import Final

from typing_extensions import Buffer

CODES: Final[dict[str, int]]
WAIT: Final[int]
FOUND: Final[int]
ENDED: Final[int]
GOING: Final[int]
WOKEN: Final[int]
CHANGED: Final[int]
TIMED_OUT: Final[int]
INTERRUPTED: Final[int]
ACCESSES_BETWEEN_SIGNALS: Final[int]

class Runner:
    def __new__(
        cls,
        buffer: Buffer,
        rows: Iterable[Iterable[int]],
        blocks: int,
        flags_offset: int,
        entry_stride: int,
        readers: int,
        own: int,
    ) -> Runner: ...
    def begin(self) -> int: ...
    def finish(self) -> int: ...
    def abort(self) -> int: ...
    def where(self) -> int: ...
    def enter(self, call: str, /) -> int: ...
    def stop(self) -> tuple[int, int, tuple[int, ...]]: ...
    def step(self, rank: int, /) -> tuple[int, int, int]: ...
    def release(self) -> None: ...

def futex_wait(buffer: Buffer, offset: int, expected: int, timeout_seconds: float | None = None, /) -> int: ...
def futex_wake(buffer: Buffer, offset: int, count: int, /) -> int: ...
