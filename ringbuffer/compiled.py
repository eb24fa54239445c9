"""Rows, made into functions that make the accesses on a real segment: by the extension in C, or compiled to Python.

:func:`bind` makes them of a table. Where the extension was built (``memory/_native.c``), it is handed the rows as numbers and
executes them, with their orderings, fences and locks. Where it was not, Python does. Interpreting rows one by one in Python
would cost more than the accesses themselves, so each table is printed as a few lines of Python and compiled. The writer's come
out as (comments added by hand)::

    def begin():                          # from the first row to the caller's part, or to waiting
        flags = flags_of[index]
        if flags[0]:                      # W1
            if read_of[index] == ones:    # W2
                flags[0] = 0              # W3
                return FOUND
            else:
                return WAIT
        else:
            flags[0] = 0                  # W3
            return FOUND

    def finish():                         # from the end of the caller's part to the end of the table
        flags = flags_of[index]
        read_of[index][:] = zeros         # W5
        flags[0] = 1                      # W6
        index = following[index]
        return ENDED

The same printer makes a stepping form: generators that stop before every access, in which ``read[*]`` is visited flag by
flag in the order that the driver asks for. So what is stepped against the model is what runs, but for the stops. The extension
has such a form, too, of the same generators: one function in C makes the accesses of both forms.

Rules: this module knows rows, not the protocol. An access and the move of the index that belongs to it stand next to each
other with nothing in between at which CPython would raise ``KeyboardInterrupt`` (it does so at calls, at function entry and
at backward jumps), so an interrupted endpoint is never between two blocks. Limits: compiled Python has no say in the ordering
of its accesses; each is a single byte or, for ``read[*]``, a run of bytes in no particular order. That is enough on processors
with total store order (x86-64); :func:`bind` refuses the others, unless the extension is there.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeAlias

from ringbuffer.errors import VariantError
from ringbuffer.memory.backend import NATIVE, chosen, extension, require_total_store_order
from ringbuffer.memory.encoding import encode
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Branch, Edge, Flag, Instruction, Kind, Outcome, Program, Role

WAIT: Final = 0
"""The block is busy: look again later."""
FOUND: Final = 1
"""The block is the caller's now."""
ENDED: Final = 2
"""The actor is done with its block, or has given it up, and stands at the first row."""

Stop: TypeAlias = tuple[int, int, tuple[int, ...]]
"""Where a stepping function stops: program counter, block index, and the ranks that may be visited next."""
Stepping: TypeAlias = Generator[Stop, int, int]


class Releasable(Protocol):
    """Something that holds the segment's memory until it is told to let go."""

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """The functions of one side, bound to one segment.

    ``begin`` returns :data:`FOUND` or :data:`WAIT` (and :data:`ENDED` for a table without a caller's part); ``finish`` and
    ``abort`` return :data:`ENDED`, and :data:`WAIT` for tables that look again after the caller's part. ``where`` returns the
    index of the current block. In stepping form the first three return generators that return those values at the end.
    """

    begin: Callable[[], Any]
    finish: Callable[[], Any]
    abort: Callable[[], Any]
    where: Callable[[], int]
    views: tuple[Releasable, ...]
    """What the functions use: release it before the segment is closed."""


def bind(program: Program, segment: Segment, rank: int, *, stepping: bool = False) -> Compiled:
    """The functions that run ``program`` on ``segment``. ``rank``: -1 for the writer, or a reader's.

    Raises :class:`VariantError` for a table that no endpoint can run, or that this backend cannot; :class:`BackendError` where
    the environment asks for a backend that there is not; and :class:`UnsupportedPlatformError` where Python would have to do it
    on a processor that is too weakly ordered. (A stepping form is for one thread, where no ordering is needed.)
    """
    if chosen() == NATIVE:
        return bind_native(program, segment, rank, stepping=stepping)
    if not stepping:
        require_total_store_order()
    return bind_python(program, segment, rank, stepping=stepping)


def bind_native(program: Program, segment: Segment, rank: int, *, stepping: bool = False) -> Compiled:
    """:func:`bind` for the extension, which must be there."""
    _payload_of(program)
    native, layout = extension(), segment.layout
    runner = native.Runner(
        segment.whole(),
        encode(program),
        blocks=layout.max_chunks,
        flags_offset=layout.metadata_offset,
        entry_stride=layout.entry_stride_bytes,
        readers=layout.n_reader,
        own=1 + rank,
    )
    if not stepping:
        return Compiled(runner.begin, runner.finish, runner.abort, runner.where, (runner,))
    begin, finish, abort = (partial(_step, runner, call, native.GOING) for call in ("begin", "finish", "abort"))
    return Compiled(begin, finish, abort, runner.where, (runner,))


def _step(runner: Any, call: str, going: int) -> Stepping:
    """One call of a runner, in the stepping form."""
    result: int = runner.enter(call)
    while result == going:
        rank = yield runner.stop()
        result, _, _ = runner.step(rank)
    return result


def _payload_of(program: Program) -> Instruction:
    """The row in which the caller has its part. Raises :class:`VariantError` for a table that no endpoint can run."""
    payloads = [instruction for instruction in program.instructions if instruction.row.is_payload]
    if len(payloads) != 1:
        raise VariantError(f"a real ring runs tables with one payload row, and this {program.role.value}'s has {len(payloads)}")
    for instruction in program.instructions:
        if any(branch.edge is Edge.RESTARTED and branch.pc for _, branch in instruction.branches):
            raise VariantError(f"{instruction.row.id} leads back into its table: explore that on a simulated memory")
    return payloads[0]


def compile_program(program: Program, n_reader: int, *, stepping: bool = False) -> str:
    """The Python source of ``program``. Raises :class:`VariantError` for a table that Python cannot run."""
    payload = _payload_of(program)
    for instruction in program.instructions:
        access = instruction.row.access
        if access.kind in (Kind.FENCE, Kind.EXCHANGE) or access.flag is Flag.LOCK:
            raise VariantError(
                f"{instruction.row.id} ({access}) cannot be run in Python: explore it on a simulated memory, or run it on the"
                f" {NATIVE} backend"
            )
    printer = _Printer(program, n_reader, stepping)
    lines = ["def bind(flags_of, read_of, following, ones, zeros, own):", "    index = 0"]
    lines += printer.function("begin", Branch(0, 0, Edge.FORWARD))
    lines += printer.function("finish", payload.branch(Outcome.DONE))
    lines += printer.function("abort", payload.branch(Outcome.ABORTED))
    lines += ["    def where():", "        return index", "    return begin, finish, abort, where"]
    return "\n".join(lines) + "\n"


def bind_python(program: Program, segment: Segment, rank: int, *, stepping: bool = False) -> Compiled:
    """:func:`bind` for Python: compile ``program``, and bind it to ``segment``."""
    layout = segment.layout
    blocks = range(layout.max_chunks)
    function = _load(program, layout.n_reader, stepping)
    flags_of = [segment.flags(block) for block in blocks]
    read_of = [segment.read_flags(block) for block in blocks]
    following = [*blocks[1:], 0]
    ones, zeros = b"\1" * layout.n_reader, b"\0" * layout.n_reader
    begin, finish, abort, where = function(flags_of, read_of, following, ones, zeros, 1 + rank)
    return Compiled(begin, finish, abort, where, (*flags_of, *read_of))


@lru_cache(maxsize=256)
def _load(program: Program, n_reader: int, stepping: bool) -> Callable[..., tuple[Any, ...]]:
    """Compile once per table; keep the source where tracebacks and debuggers find it."""
    source = compile_program(program, n_reader, stepping=stepping)
    name = (
        f"<rows of the {program.role.value}, {n_reader} readers{', stepping' if stepping else ''} #{hash(program) & 0xFFFF:x}>"
    )
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"WAIT": WAIT, "FOUND": FOUND, "ENDED": ENDED}
    exec(compile(source, name, "exec"), namespace)
    bound: Callable[..., tuple[Any, ...]] = namespace["bind"]
    return bound


class _Printer:
    """Prints a program as Python: every path of branches written out, which ends because branches only go forward."""

    def __init__(self, program: Program, n_reader: int, stepping: bool) -> None:
        self.program, self.n_reader, self.stepping = program, n_reader, stepping

    def function(self, name: str, entry: Branch) -> Iterator[str]:
        yield f"    def {name}():"
        yield "        nonlocal index"
        if entry.edge is Edge.FORWARD:
            yield "        flags = flags_of[index]"
        yield from self._branch(entry, 2)
        if self.stepping:
            yield "        yield  # a generator even where there is no access"

    def _branch(self, branch: Branch, depth: int) -> Iterator[str]:
        pad = "    " * depth
        if branch.edge is Edge.FORWARD:
            yield from self._row(self.program[branch.pc], depth)
            return
        if branch.advance:
            yield f"{pad}index = {'following[' * branch.advance}index{']' * branch.advance}"
        yield f"{pad}return {'WAIT' if branch.edge is Edge.WAITED else 'ENDED'}"

    def _row(self, instruction: Instruction, depth: int) -> Iterator[str]:
        pad = "    " * depth
        access = instruction.row.access
        if instruction.row.is_payload:
            yield f"{pad}return FOUND"
        elif access.kind is Kind.STORE:
            yield from self._store(instruction, depth)
            yield from self._branch(instruction.branch(Outcome.DONE), depth)
        else:
            condition = yield from self._load(instruction, depth)
            yield f"{pad}if {condition}:  # {instruction.row.id}"
            yield from self._branch(instruction.branch(Outcome.ONE), depth + 1)
            yield f"{pad}else:"
            yield from self._branch(instruction.branch(Outcome.ZERO), depth + 1)

    def _load(self, instruction: Instruction, depth: int) -> Generator[str, None, str]:
        """Print what comes before the condition, and return the condition: that the load came out as ONE."""
        pad = "    " * depth
        access = instruction.row.access
        assert access.flag is not None, "a load names its flag"
        if not access.flag.is_several:
            if self.stepping:
                yield f"{pad}yield {instruction.pc}, index, (0,)"
            return f"flags[{self._place(access.flag)}]"
        part = "" if access.flag is Flag.EACH else "[:-1]"
        if not self.stepping:
            allowed = access.missing_allowed
            if allowed:
                return f"read_of[index]{part}.tobytes().count(0) <= {allowed}"
            return f"read_of[index]{part} == ones{part}"
        yield f"{pad}todo, zeros = set(range({self._count(access.flag)})), 0"
        if not self._count(access.flag):
            yield f"{pad}yield {instruction.pc}, index, ()"
        yield f"{pad}while todo and zeros <= {access.missing_allowed}:"
        yield f"{pad}    rank = yield {instruction.pc}, index, tuple(sorted(todo))"
        yield f"{pad}    todo.remove(rank)"
        yield f"{pad}    zeros += not read_of[index][rank]"
        return f"zeros <= {access.missing_allowed}"

    def _store(self, instruction: Instruction, depth: int) -> Iterator[str]:
        pad = "    " * depth
        access = instruction.row.access
        assert access.flag is not None, "a store names its flag"
        if not access.flag.is_several:
            if self.stepping:
                yield f"{pad}yield {instruction.pc}, index, (0,)"
            yield f"{pad}flags[{self._place(access.flag)}] = {access.value}  # {instruction.row.id}"
        elif not self.stepping:
            part, flags = ("[:]", "") if access.flag is Flag.EACH else ("[:-1]", "[:-1]")
            yield f"{pad}read_of[index]{part} = {'ones' if access.value else 'zeros'}{flags}  # {instruction.row.id}"
        else:
            yield f"{pad}todo = set(range({self._count(access.flag)}))"
            if not self._count(access.flag):
                yield f"{pad}yield {instruction.pc}, index, ()"
            yield f"{pad}while todo:"
            yield f"{pad}    rank = yield {instruction.pc}, index, tuple(sorted(todo))"
            yield f"{pad}    todo.remove(rank)"
            yield f"{pad}    read_of[index][rank] = {access.value}  # {instruction.row.id}"

    def _place(self, flag: Flag) -> str:
        """Where a single flag lies among the flags of a block; ``own`` is the place of the reader's own."""
        match flag:
            case Flag.WRITTEN:
                return "0"
            case Flag.OWN:
                return "own"
        assert flag is Flag.NEIGHBOUR, "all the others are several flags, or none in a block"
        return f"own % {self.n_reader} + 1"

    def _count(self, flag: Flag) -> int:
        """How many ranks a row about several flags visits."""
        return self.n_reader - (flag is Flag.BUT_LAST)


def role_of(rank: int) -> Role:
    """Which side a rank is on: -1 writes, the others read."""
    return Role.WRITER if rank == -1 else Role.READER
