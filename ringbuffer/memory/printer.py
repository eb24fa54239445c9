"""Rows, printed as a few lines of Python: what compiled Python runs, and what it is stepped through.

Every path of branches is written out, which ends because a call's branches lead forward, and once from lying down into the
table. What one access is printed as, ``printed_accesses.py`` says.

Rules: this module knows rows, not the protocol, and what it prints knows only the names that ``compiled.py`` passes. A store,
and the moves that belong to it (``index``, ``done``, a message that is taken), are printed next to each other with
nothing between them at which CPython would raise ``KeyboardInterrupt`` or run another thread: it does so behind calls, at
function entry and at backward jumps. Limits: no exchanges and no locks, and no branch that leads back into the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.memory.printed_accesses import Accesses
from ringbuffer.memory.runnable import payload_of, rest_of
from ringbuffer.protocol import Branch, Edge, Flag, Instruction, Kind, Outcome, Program

NAMES: Final = (
    "state",
    "look_again",
    "entry_at",
    "read_of",
    "following",
    "ones",
    "zeros",
    "own",
    "position",
    "awake",
    "others",
    "up",
    "down",
    "others_at",
    "take_lock",
    "give_lock",
    "time_of",
    "lie_down",
    "wake",
    "frames",
    "heads",
    "frame_at",
    "data_at",
    "mapping",
    "limit",
)
"""What printed functions are bound to: ``python_runner.py`` says what each is."""

_Leaves = dict[Edge, tuple[str, ...]]
"""What is printed where a branch ends a call."""
_LEAVES: Final[_Leaves] = {
    edge: ("return WAIT" if edge is Edge.WAITED else "return ENDED",) for edge in Edge if edge is not Edge.FORWARD
}
_AGAIN: Final = ("looked = look_again(looked, timeout)", "if looked: continue")
_OVER: Final = ("if looked:", "    state['has_sought'] = False")
"""It is not looked for by a clock any more."""


def _nothing(result: str) -> tuple[str, str]:
    """There is no message, and why. It is no call, at which an interrupt could come."""
    return f"state['result'] = {result}", "raise StopIteration"


_SENDING: Final = {edge: (*_OVER, *lines) for edge, lines in _LEAVES.items()} | {Edge.WAITED: (*_AGAIN, "return WAIT")}
_SENT: Final[_Leaves] = dict.fromkeys(_LEAVES, ("return FOUND",))
_TAKEN: Final[_Leaves] = dict.fromkeys(_LEAVES, ("break",))
_TAKING: Final[_Leaves] = dict.fromkeys(_LEAVES, _nothing("ENDED")) | {Edge.WAITED: (*_AGAIN, *_nothing("WAIT"))}


def compile_program(program: Program, n_reader: int, *, stepping: bool = False) -> str:
    """The Python source of ``program``. Raises :class:`VariantError` for a table that Python cannot run."""
    payload = payload_of(program)
    for instruction in program.instructions:
        access = instruction.row.access
        if access.kind is Kind.EXCHANGE or access.flag is Flag.LOCK:
            raise VariantError(
                f"{instruction.row.id} ({access}) cannot be run in Python: explore it on a simulated memory, or run it on the"
                " native backend"
            )
    return "\n".join(_Printer(program, payload, n_reader, stepping).source()) + "\n"


def _indented(depth: int, lines: Iterable[str]) -> Iterator[str]:
    return ("    " * depth + line for line in lines)


class _Printer:
    """Prints one program."""

    def __init__(self, program: Program, payload: Instruction, n_reader: int, stepping: bool) -> None:
        self.program, self.payload, self.stepping = program, payload, stepping
        self._accesses = Accesses(program.role, n_reader, stepping)
        self._leaves = _LEAVES
        self._found: tuple[str, ...] = ("held = True", "return FOUND")
        self._takes_message = self._is_rest = False
        self.message_call = "send" if payload.row.access.kind is Kind.FILL else "receive"

    def source(self) -> Iterator[str]:
        rest = rest_of(self.program)
        yield f"def bind({', '.join(NAMES)}):"
        yield "    index = done = 0"
        yield "    held = inside = is_locked = is_kept = False"
        yield "    cut, part_of = 0, slice(FRAME_BYTES, FRAME_BYTES)"
        yield from self._call("begin", Branch(0, 0, Edge.FORWARD))
        yield from self._call("finish", self.payload.branch(Outcome.DONE))
        yield from self._call("abort", self.payload.branch(Outcome.ABORTED))
        if rest is not None:
            yield from self._rest(Branch(rest.pc, 0, Edge.FORWARD))
        if not self.stepping:
            yield from self._send() if self.message_call == "send" else self._receive()
        yield from _PLACES
        calls = ["begin", "finish", "abort", "where", "done_with", "resume", "look", "is_inside", "is_held", "let_go"]
        calls += ["rest"] * (rest is not None) + [self.message_call] * (not self.stepping)
        yield f"    return {{{', '.join(f'{name!r}: {name}' for name in calls)}}}"

    def _call(self, name: str, entry: Branch) -> Iterator[str]:
        yield f"    def {name}():"
        yield "        nonlocal index, done, held, is_locked"
        if name == "begin":  # whoever has let go of the memory stays shut, and what is held is found again, or damaged
            yield "        at = entry_at[index]"
            yield "        held = False"
            yield from self._branch(entry, 2)
        else:
            yield "        held = False"
            yield from self._enter(entry, 2)
        if self.stepping:
            yield "        yield  # a generator even where there is no access"

    def _enter(self, entry: Branch, depth: int) -> Iterator[str]:
        if entry.edge is Edge.FORWARD or entry.pc:
            yield "    " * depth + "at = entry_at[index]"
        yield from self._branch(entry, depth)

    def _rest(self, entry: Branch) -> Iterator[str]:
        if self.stepping:
            yield from self._call("rest", entry)
            return
        yield "    def rest(timeout_seconds):"
        yield "        nonlocal index, done, held, is_locked"
        yield "        timeout = time_of(timeout_seconds)"
        yield "        if state['is_roused']:"
        yield "            state['is_roused'] = False"
        yield "            return ENDED"
        yield "        state['is_resting'] = True"
        yield "        try:"
        self._is_rest = True
        yield from self._enter(entry, 3)
        self._is_rest = False
        yield "        finally:"
        yield "            state['is_roused'] = False"
        yield "            state['is_resting'] = False"

    def _send(self) -> Iterator[str]:
        yield "    def send(kind, data, timeout=None):"
        yield "        nonlocal index, done, inside, is_locked, cut, part_of"
        yield "        if inside or held or state['is_in_use']:"
        yield "            return BUSY"
        yield "        inside, looked = True, 0"
        yield "        try:"
        yield "            if data.__class__ is not bytes:"
        yield "                if data.__class__ is list:"
        yield "                    return TOO_LARGE"
        yield "                data = flat(data)"
        yield "            length = len(data)"
        yield "            if length > limit:"
        yield "                return TOO_LARGE"
        yield "            at = 0  # an interrupt at a jump back counts as one of the instruction before the loop"
        yield "            while True:  # it is left as soon as the block is found"
        self._found, self._leaves = ("break",), _SENDING
        yield from self._enter(Branch(0, 0, Edge.FORWARD), 4)
        yield from _indented(3, _OVER)
        yield "            pack(mapping, frame_at[index], done, length, kind, WHOLE, length)"
        yield "            if length != cut:"
        yield "                cut, part_of = length, slice(FRAME_BYTES, FRAME_BYTES + length)"
        yield "            frames[index][part_of] = data"
        self._found, self._leaves = ("return FOUND",), _SENT
        yield from self._branch(self.payload.branch(Outcome.DONE), 3)
        yield "        except BaseException:"
        yield from _indented(3, _OVER)
        yield "            raise"
        yield "        finally:"
        yield "            inside = False"

    def _receive(self) -> Iterator[str]:
        yield "    def receive(decode, timeout=None):"
        yield "        nonlocal index, done, held, inside, is_locked, is_kept"
        yield "        if inside or held or state['is_in_use']:"
        yield from _indented(3, _nothing("BUSY"))
        yield "        inside, is_taken, looked = True, False, 0"
        yield "        try:"
        yield "            if is_kept and state['pending'] is not None:"
        yield "                data, what = state['pending'], state['pending_what']"
        yield "                if decode is None and what != WHOLE_BYTES:"
        yield from _indented(5, _nothing("FOUND"))
        yield "                is_taken = True"
        yield "            else:"
        yield "                is_kept = False"
        yield "                while True:"
        self._found, self._leaves = ("break",), _TAKING
        yield from self._enter(Branch(0, 0, Edge.FORWARD), 5)
        yield "                sequence, length, what, total = heads[index]"
        yield "                if not (sequence == done and total == length <= limit) or what != WHOLE_BYTES and ("
        yield "                        decode is None or (length > COPY_MAX_BYTES if what == WHOLE_PICKLE else"
        yield "                                           what != WHOLE_TENSOR or state['decode_tensor'] is None)):"
        yield "                    held = True"
        yield "                    # The caller may have to wait for more, and then has waited since."
        yield "                    state['has_sought'], looked = looked > 0 and state['has_sought'], 0"
        yield from _indented(5, _nothing("FOUND"))
        yield from _indented(4, _OVER)
        yield "                if what == WHOLE_TENSOR:"
        yield "                    data = bytearray(frames[index][FRAME_BYTES:FRAME_BYTES + length])"
        yield "                else:"
        yield "                    start = data_at[index]"
        yield "                    data = mapping[start:start + length]"
        yield "                while True:  # it is left at once: behind it the message is marked as read"
        self._leaves, self._takes_message = _TAKEN, True
        yield from self._branch(self.payload.branch(Outcome.DONE), 5)
        yield "            if what != WHOLE_BYTES:"
        yield "                message = decode(data) if what == WHOLE_PICKLE else state['decode_tensor'](data)"
        yield "            else:"
        yield "                message = data"
        yield "            if is_kept:"
        yield "                is_kept, state['pending'] = False, None"
        yield "            return message"
        yield "        except BaseException:"
        yield from _indented(3, _OVER)
        yield "            if is_taken:  # and not given away: an interrupt has come, or it cannot be decoded"
        yield "                state['pending_what'], state['pending'], is_kept = what, data, True"
        yield "            raise"
        yield "        finally:"
        yield "            inside = False"

    def _branch(self, branch: Branch, depth: int) -> Iterator[str]:
        pad = "    " * depth
        if branch.edge is Edge.FORWARD:
            yield from self._row(self.program[branch.pc], depth)
            return
        if branch.advance:
            yield f"{pad}index = {'following[' * branch.advance}index{']' * branch.advance}"
        if branch.edge is Edge.FINISHED:
            yield f"{pad}done += 1"
        if self._takes_message and branch.edge is not Edge.RETURNED:
            yield f"{pad}is_taken = True"
        if branch.edge is Edge.FINISHED and branch.pc:
            if self._uses_flags(branch.pc):
                yield f"{pad}at = entry_at[index]"
            yield from self._row(self.program[branch.pc], depth)
        else:
            yield from _indented(depth, self._leaves[branch.edge])

    def _uses_flags(self, pc: int) -> bool:
        """Whether a row from there on, until the call ends, is about a flag of the block, or behind the caller's part."""
        row = self.program[pc].row
        if row.is_payload or (row.access.flag is not None and row.access.flag.is_of_block):
            return True
        return any(branch.edge is Edge.FORWARD and self._uses_flags(branch.pc) for _, branch in self.program[pc].branches)

    def _row(self, instruction: Instruction, depth: int) -> Iterator[str]:
        pad, access = "    " * depth, instruction.row.access
        if instruction.row.is_payload:
            yield from _indented(depth, self._found)
            return
        if access.kind is Kind.LOAD:
            condition = yield from self._accesses.load(instruction, depth)
            yield f"{pad}if {condition}:  # {instruction.row.id}"
            yield from self._branch(instruction.branch(Outcome.ONE), depth + 1)
            yield f"{pad}else:"
            yield from self._branch(instruction.branch(Outcome.ZERO), depth + 1)
            return
        if access.is_several:
            yield from self._accesses.store_several(instruction, depth)
        else:
            if self.stepping:
                yield f"{pad}yield {instruction.pc}, index, (0,)"
            yield from _indented(depth, self._accesses.single(instruction, self._is_rest))
        yield from self._branch(instruction.branch(Outcome.DONE), depth)


_PLACES: Final = (
    "    def where():",
    "        return index",
    "    def done_with():",
    "        return done",
    "    def resume(number):",
    "        nonlocal index, done, held",
    "        position[0] = number",
    "        index, done, held = number % len(following), number, False",
    "    def look():",
    "        nonlocal held",
    "        result = begin()",
    "        held = False",
    "        return result",
    "    def is_inside():",
    "        return inside",
    "    def is_held():",
    "        return held",
    "    def let_go():",
    "        nonlocal held, entry_at",
    "        held, entry_at = True, RELEASED",
)
"""Calls around those that run rows. ``look``: look once, and do not hold what was found; ``let_go``: from here on no message
goes through, and whoever asks where the flags of a block are is told that they are released."""
