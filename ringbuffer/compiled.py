"""Rows, compiled to Python functions that make the accesses on a real segment.

Interpreting rows one by one would cost more than the accesses themselves, so each table is printed as a few lines of Python
and compiled. The writer's come out as (comments added by hand)::

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
flag in the order that the driver asks for. So what is stepped against the model is what runs, but for the stops.

Rules: this module knows rows, not the protocol. An access and the move of the index that belongs to it stand next to each
other with nothing in between at which CPython would raise ``KeyboardInterrupt`` (it does so at calls, at function entry and
at backward jumps), so an interrupted endpoint is never between two blocks. Limits: compiled Python has no say in the ordering
of its accesses; each is a single byte or, for ``read[*]``, a run of bytes in no particular order. That is enough on processors
with total store order (x86-64), and :func:`require_total_store_order` refuses the others.
"""

from __future__ import annotations

import linecache
import platform
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ringbuffer.errors import UnsupportedPlatformError, VariantError
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Branch, Edge, Flag, Instruction, Kind, Outcome, Program, Role

WAIT: Final = 0
"""The block is busy: look again later."""
FOUND: Final = 1
"""The block is the caller's now."""
ENDED: Final = 2
"""The actor is done with its block, or has given it up, and stands at the first row."""

TSO_MACHINES: Final = frozenset({"x86_64", "amd64", "i386", "i686"})
"""What ``platform.machine()`` says on processors that keep total store order."""

Stop: TypeAlias = tuple[int, int, tuple[int, ...]]
"""Where a stepping function stops: program counter, block index, and the ranks that may be visited next."""
Stepping: TypeAlias = Generator[Stop, int, int]


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
    views: tuple[memoryview, ...]
    """The views that the functions use: release them before the segment is closed."""


def require_total_store_order() -> None:
    """Raise :class:`UnsupportedPlatformError` on processors where compiled Python would be too weakly ordered."""
    machine = platform.machine()
    if machine.lower() not in TSO_MACHINES:
        raise UnsupportedPlatformError(
            f"this processor ({machine}) reorders memory accesses, and pure Python cannot order them: readers could get torn"
            " messages. The ring runs on x86-64 only; the checker and the simulator run here as well"
        )


def compile_program(program: Program, n_reader: int, *, stepping: bool = False) -> str:
    """The Python source of ``program``. Raises :class:`VariantError` for a table in which the caller has no part."""
    payloads = [instruction for instruction in program.instructions if instruction.row.is_payload]
    if len(payloads) != 1:
        raise VariantError(f"a real ring runs tables with one payload row, and this {program.role.value}'s has {len(payloads)}")
    for instruction in program.instructions:
        access = instruction.row.access
        if access.kind in (Kind.FENCE, Kind.EXCHANGE) or access.flag is Flag.LOCK:
            raise VariantError(f"{instruction.row.id} ({access}) cannot be run in Python: explore it on a simulated memory")
        if any(branch.edge is Edge.RESTARTED and branch.pc for _, branch in instruction.branches):
            raise VariantError(f"{instruction.row.id} leads back into its table: explore that on a simulated memory")
    (payload,) = payloads
    printer = _Printer(program, n_reader, stepping)
    lines = ["def bind(flags_of, read_of, following, ones, zeros, own):", "    index = 0"]
    lines += printer.function("begin", Branch(0, 0, Edge.FORWARD))
    lines += printer.function("finish", payload.branch(Outcome.DONE))
    lines += printer.function("abort", payload.branch(Outcome.ABORTED))
    lines += ["    def where():", "        return index", "    return begin, finish, abort, where"]
    return "\n".join(lines) + "\n"


def bind(program: Program, segment: Segment, rank: int, *, stepping: bool = False) -> Compiled:
    """Compile ``program`` and bind it to ``segment``. ``rank``: -1 for the writer, or a reader's."""
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
