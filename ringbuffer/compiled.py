"""Rows, made into functions that make the accesses on a real segment: by the extension in C, or compiled to Python.

:func:`bind` makes them of a table: a :class:`Runner` for an endpoint. Where the extension was built (``memory/_native.c``), it
is handed the rows as numbers and executes them, with their orderings, fences and locks. Where it was not, Python does.
Interpreting rows one by one in Python would cost more than the accesses themselves, so each table is printed as a few lines
of Python (``memory/printer.py``) and compiled. Of the writer's bare table come out, among others (comments added by hand)::

    def begin():                          # from the first row to the caller's part, or to waiting
        at = entry_at[index]
        held = False
        if mapping[at]:                   # W1
            if read_of[index] == ones:    # W2
                mapping[at] = 0           # W3
                held = True
                return FOUND
            else:
                return WAIT
        else:
            mapping[at] = 0               # W3
            held = True
            return FOUND

    def finish():                         # from the end of the caller's part to the end of the table
        held = False
        at = entry_at[index]
        read_of[index][:] = zeros         # W5
        mapping[at] = 1                   # W6
        index = following[index]
        done += 1
        return ENDED

The same printer makes a stepping form: generators that stop before every access, in which ``read[*]`` is visited flag by
flag in the order that the driver asks for. So what is stepped against the model is what runs, but for the stops. The extension
has such a form, too, of the same generators: one function in C makes the accesses of both forms.

Rules: this module knows rows, not the protocol. An access and the move of the index that belongs to it stand next to each
other with nothing in between at which CPython would raise ``KeyboardInterrupt`` (it does so at calls, at function entry and
at backward jumps), so an interrupted endpoint is never between two blocks, and a message that is marked as read, and of which
an interrupt has kept its reader, is ``pending``.

Limits: compiled Python has no say in the ordering of its accesses; each is a single byte, word or number or, for several
flags, a run of bytes in no particular order. That is enough on processors with total store order (x86-64); :func:`bind`
refuses the others, unless the extension is there. A fence is a lock of its own, taken and given back by turns: on those
processors either is a locked instruction, and thus a full fence. An interrupt may leave the word of an actor that is awake at
0; that costs the other side one needless system call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, overload

from ringbuffer.memory.backend import NATIVE, chosen, extension, require_total_store_order
from ringbuffer.memory.codes import BUSY as BUSY
from ringbuffer.memory.codes import BYTES as BYTES
from ringbuffer.memory.codes import COPY_MAX_BYTES as COPY_MAX_BYTES
from ringbuffer.memory.codes import ENDED as ENDED
from ringbuffer.memory.codes import FOUND as FOUND
from ringbuffer.memory.codes import KIND_BITS as KIND_BITS
from ringbuffer.memory.codes import PICKLE as PICKLE
from ringbuffer.memory.codes import TOO_LARGE as TOO_LARGE
from ringbuffer.memory.codes import WAIT as WAIT
from ringbuffer.memory.encoding import encode
from ringbuffer.memory.python_runner import Memory, PythonRunner, no_rest
from ringbuffer.memory.runnable import payload_of
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Program, Role

if TYPE_CHECKING:
    from typing_extensions import Buffer

CALLS: Final = ("begin", "finish", "abort", "rest")
"""The calls that run rows."""

Stop: TypeAlias = tuple[int, int, tuple[int, ...]]
"""Where a stepping function stops: program counter, block index, and the ranks that may be visited next."""
Stepping: TypeAlias = Generator[Stop, int, int]


class Releasable(Protocol):
    """Something that holds the segment's memory until it is told to let go."""

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        ...


class Runner(Releasable, Protocol):
    """An actor on one segment, for one endpoint: what both backends offer. It stands at a block, and has done a number of them.

    Not for several threads at once, but for :meth:`rouse`. ``send`` and ``receive`` say :data:`BUSY` while ``in_use`` is set,
    while somebody is inside, while a block is held (between :data:`FOUND` and ``finish`` or ``abort``), and after ``release``.
    """

    is_in_use: bool
    """Stored by the endpoint for its own calls: an assignment, in which no interrupt can come."""
    pending: bytes | bytearray | None
    """A message that is marked as read and was not given away, as it cannot be decoded, or an interrupt came: it comes again,
    unless its reader sets this to ``None``."""
    decode_tensor: Callable[[bytearray], Any] | None
    """What makes a tensor, which may keep the memory that it is given; ``None`` at first: then ``receive`` leaves tensors to
    its caller."""
    spin_count: int
    """How often ``send`` and ``receive`` look again at once; 0 at first."""
    yield_seconds: float
    """For how long they then look again, with the processor given away between two looks; 0 at first."""
    has_sought: bool
    """Whether one of them is looking again between yields, or has done so in vain: its caller unsets this. It was in vain, too,
    where a block has come that its caller must look at, and perhaps wait for more."""
    is_cancelled: bool
    """Set from any thread, before :meth:`rouse`; unset where ``send`` or ``receive`` begins to look again between yields."""

    @property
    def in_use(self) -> bool:
        """Whether the endpoint says so, or somebody is inside."""
        ...

    @property
    def pending_kind(self) -> int:
        """What kind of message was pending last."""
        ...

    @property
    def result(self) -> int:
        """Why ``receive`` had nothing to return."""
        ...

    @property
    def began(self) -> float:
        """When ``send`` or ``receive`` last began to look again between yields, on the monotonic clock."""
        ...

    @property
    def can_rest(self) -> bool:
        """Whether the table has rows for lying down."""
        ...

    @property
    def views(self) -> tuple[Releasable, ...]:
        """What to release before the segment is closed."""
        ...

    def begin(self) -> int:
        """From the first row to the caller's part (:data:`FOUND`), to waiting (:data:`WAIT`) or to the end (:data:`ENDED`)."""
        ...

    def finish(self) -> int:
        """From the end of the caller's part on: :data:`ENDED`, or :data:`WAIT` in tables that look again there."""
        ...

    def abort(self) -> int:
        """The caller has given its part up: :data:`ENDED`, as ``finish``."""
        ...

    def where(self) -> int:
        """The index of the current block."""
        ...

    def done(self) -> int:
        """How many blocks the actor is done with, which is the number of the current one in the stream."""
        ...

    def resume(self, done: int, /) -> None:
        """Stand at the block after so many, and note that number."""
        ...

    def seek(self, spin_count: int, yield_seconds: float, is_callers: bool = False, /) -> int:
        """Look for the block: at once, again so many times, and then for so long with the processor given away in between.

        :data:`FOUND` (it is not held: the next call finds it again), :data:`WAIT`, or :data:`BUSY` (as ``send``). With
        ``is_callers``, it is the caller who has set ``is_in_use``.
        """
        ...

    def rest(self, timeout_seconds: float | None, /) -> int:
        """Lie down, and sleep for so long at most (``None``: for ever): :data:`FOUND`, or :data:`ENDED` (look again).

        Raises what a signal handler raises, after getting up.
        """
        ...

    def rouse(self) -> None:
        """From any thread: the present ``rest`` or looking between yields, or the next one if none is on, ends at once."""
        ...

    def send(self, kind: int, data: Buffer | list[bytes | memoryview], timeout: float | None = None, /) -> int:
        """Write a message of one part, and run all rows: :data:`FOUND`, :data:`WAIT`, :data:`TOO_LARGE` or :data:`BUSY`.

        ``data``: a buffer, or a list of buffers, whose bytes come one behind the other; a list may be too large for being one
        (in Python all are). Where the block is busy it looks again: ``spin_count`` times, and then for ``yield_seconds``, or
        ``timeout`` if that is less.

        Raises ``TypeError`` or ``BufferError`` for what is no contiguous buffer, and ``ValueError`` for a reader.
        """
        ...

    def receive(self, decode: Callable[[bytes], Any] | None, timeout: float | None = None, /) -> Any:
        """The next message, marked as read: its bytes, or what ``decode`` makes of them where they are a pickle, or
        ``decode_tensor`` where they are a tensor.

        Where the block is busy, it looks again as ``send`` does.

        It is made to be iterated over (``map(runner.receive, …)``): an interrupt may come behind a call, and there the message
        would be lost, but not where a ``for`` takes it. Raises ``StopIteration`` when there is nothing to return; then
        ``result`` says why. :data:`FOUND`: the block is held, and the caller must look at its frame (not the next message, not
        in one part, too long a pickle, another kind, or what ``decode`` would be asked for, without it; with something
        ``pending``, no block is held). Raises what they raise, and ``ValueError`` for the writer.
        """
        ...

    def whole(self, timeout: float | None = None, /) -> int:
        """Look for the next message, for a caller who has set ``is_in_use``: ``length << KIND_BITS | kind``, where it lies in
        one part in its block, which is held then, or was before; -1 where it does not, or not yet, or cannot be said here.

        Where the block is busy, it looks again as ``receive`` does, and says in ``has_sought`` whether that was in vain.
        """
        ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """The stepping form of one side, bound to one segment: generators that return, at the end, what the calls return."""

    begin: Callable[[], Stepping]
    finish: Callable[[], Stepping]
    abort: Callable[[], Stepping]
    rest: Callable[[], Stepping]
    """From where waiting leads. Nobody lies down: the step only asks the kernel."""
    where: Callable[[], int]
    done: Callable[[], int]
    resume: Callable[[int], None]
    views: tuple[Releasable, ...]
    """What the functions use: release it before the segment is closed."""


@overload
def bind(program: Program, segment: Segment, rank: int, *, stepping: Literal[False] = False) -> Runner: ...
@overload
def bind(program: Program, segment: Segment, rank: int, *, stepping: Literal[True]) -> Compiled: ...
@overload
def bind(program: Program, segment: Segment, rank: int, *, stepping: bool) -> Runner | Compiled: ...
def bind(program: Program, segment: Segment, rank: int, *, stepping: bool = False) -> Runner | Compiled:
    """What runs ``program`` on ``segment``. ``rank``: -1 for the writer, or a reader's.

    Raises :class:`VariantError` for a table that no endpoint can run, or that this backend cannot; :class:`BackendError` where
    the environment asks for a backend that there is not; and :class:`UnsupportedPlatformError` where Python would have to do it
    on a processor that is too weakly ordered. (A stepping form is for one thread, where no ordering is needed.)
    """
    if chosen() == NATIVE:
        return step_native(program, segment, rank) if stepping else bind_native(program, segment, rank)
    if stepping:
        return step_python(program, segment, rank)
    require_total_store_order()
    return bind_python(program, segment, rank)


def bind_native(program: Program, segment: Segment, rank: int) -> Runner:
    """:func:`bind` for the extension, which must be there."""
    payload_of(program)
    native, layout = extension(), segment.layout
    runner: Runner = native.Runner(
        segment.whole(),
        encode(program),
        blocks=layout.max_chunks,
        flags_offset=layout.metadata_offset,
        entry_stride=layout.entry_stride_bytes,
        readers=layout.n_reader,
        own=1 + rank,
        position_offset=layout.participant_offset(rank),
        awake_offset=layout.awake_offset,
        data_offset=layout.data_offset,
        block_stride=layout.block_stride_bytes,
        chunk_bytes=layout.max_chunk_bytes,
    )
    return runner


def step_native(program: Program, segment: Segment, rank: int) -> Compiled:
    """The stepping form of the extension."""
    runner: Any = bind_native(program, segment, rank)
    begin, finish, abort, rest = (partial(_step, runner, call, extension().GOING) for call in CALLS)
    return Compiled(begin, finish, abort, rest, runner.where, runner.done, runner.resume, (runner,))


def _step(runner: Any, call: str, going: int) -> Stepping:
    """One call of a runner, in the stepping form."""
    result: int = runner.enter(call)
    while result == going:
        rank = yield runner.stop()
        result, _, _ = runner.step(rank)
    return result


def bind_python(program: Program, segment: Segment, rank: int) -> PythonRunner:
    """:func:`bind` for Python."""
    return PythonRunner(program, segment, rank)


def step_python(program: Program, segment: Segment, rank: int) -> Compiled:
    """The stepping form of Python."""
    memory = Memory(segment, rank)
    calls = memory.bind(program, {}, stepping=True)
    begin, finish, abort, rest = (calls.get(call, no_rest) for call in CALLS)
    return Compiled(begin, finish, abort, rest, calls["where"], calls["done_with"], calls["resume"], (memory,))


def role_of(rank: int) -> Role:
    """Which side a rank is on: -1 writes, the others read."""
    return Role.WRITER if rank == -1 else Role.READER
