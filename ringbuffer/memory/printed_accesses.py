"""The access of a row, printed as a few lines of Python: of a flag, of several, of a word, of a position.

In the plain form the loads of several flags are one comparison, and the stores to them are one assignment; in the stepping form
they are a loop, which stops before every access.

Rules: those of ``printer.py``, of which this is a part: it prints the calls and the branches, and what happens in between is
printed here. Limits: the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

from ringbuffer.protocol import Flag, Instruction, Kind, Role

FEW: Final = 2
"""So many flags are faster one by one than all at once."""


class Accesses:
    """Prints the accesses of a program of that role, on a ring of so many readers."""

    def __init__(self, role: Role, n_reader: int, stepping: bool) -> None:
        self._role, self._n_reader, self._stepping = role, n_reader, stepping

    def single(self, instruction: Instruction, is_rest: bool) -> Iterator[str]:
        """One access that is no load. ``is_rest``: by an actor that lies down, if the access is a sleep."""
        row = instruction.row
        match row.access.kind:
            case Kind.FENCE:
                yield f"if is_locked:  # {row.id}"
                yield "    is_locked = False"
                yield "    give_lock()"
                yield "else:"
                yield "    is_locked = True"
                yield "    take_lock()"
            case Kind.SLEEP if is_rest:
                yield f"if not state['is_roused']:  # {row.id}"
                yield "    lie_down(own, timeout)"
            case Kind.SLEEP:
                yield f"lie_down(own, time_of(0))  # {row.id}"
            case Kind.WAKE:
                yield f"wake(own)  # {row.id}"
            case _:
                value = "done + 1" if row.access.flag is Flag.POSITION else row.access.value
                yield f"{self._place(row.access.flag)} = {value}  # {row.id}"

    def load(self, instruction: Instruction, depth: int) -> Generator[str, None, str]:
        """Print what comes before the condition, and return the condition: that the load came out as ONE."""
        pad = "    " * depth
        access = instruction.row.access
        assert access.flag is not None, "a load names its flag"
        if not access.is_several:
            if self._stepping:
                yield f"{pad}yield {instruction.pc}, index, (0,)"
            return self._place(access.flag)
        if not self._stepping:
            return self._all_set(access.flag, access.missing_allowed)
        yield f"{pad}todo, zeros = set(range({self._count(access.flag)})), 0"
        yield from self._visits(instruction.pc, access.flag, f"todo and zeros <= {access.missing_allowed}", pad)
        yield f"{pad}    zeros += {self._one_of(access.flag)} != 1"
        return f"zeros <= {access.missing_allowed}"

    def _all_set(self, flag: Flag, missing_allowed: int) -> str:
        """The condition that several flags are 1: one comparison, or a few where that is faster."""
        if not missing_allowed and 0 < self._count(flag) <= FEW:
            return " and ".join(f"{one} == 1" for one in self._few(flag))
        if flag is Flag.OTHERS_AWAKE:
            return "others == up"
        part = "" if flag is Flag.EACH else "[:-1]"
        if missing_allowed:
            return f"read_of[index]{part}.tobytes().count(0) <= {missing_allowed}"
        return f"read_of[index]{part} == ones{part}"

    def store_several(self, instruction: Instruction, depth: int) -> Iterator[str]:
        """Stores to several flags, or the waking of several sleepers."""
        pad = "    " * depth
        row, access = instruction.row, instruction.row.access
        assert access.flag is not None, "only flags are several"
        if not self._stepping:
            yield f"{pad}{self._set_all(access.flag, access.value, access.kind)}  # {row.id}"
            return
        yield f"{pad}todo = set(range({self._count(access.flag)}))"
        yield from self._visits(instruction.pc, access.flag, "todo", pad)
        done = "wake(others_at[rank])" if access.kind is Kind.WAKE else f"{self._one_of(access.flag)} = {access.value}"
        yield f"{pad}    {done}  # {row.id}"

    def _visits(self, pc: int, flag: Flag, condition: str, pad: str) -> Iterator[str]:
        """The head of a loop over the ranks that are left ``todo``, in the order in which the stepper asks for them."""
        if not self._count(flag):
            yield f"{pad}yield {pc}, index, ()"
        yield f"{pad}while {condition}:"
        yield f"{pad}    rank = yield {pc}, index, tuple(sorted(todo))"
        yield f"{pad}    todo.remove(rank)"

    def _set_all(self, flag: Flag, value: int | None, kind: Kind) -> str:
        """One line that stores to several flags, or wakes several sleepers."""
        if kind is Kind.WAKE:
            return "for other in others_at: wake(other)"
        if 0 < self._count(flag) <= FEW:
            return " = ".join((*self._few(flag), str(value)))
        if flag is Flag.OTHERS_AWAKE:
            return f"others[:] = {'up' if value else 'down'}"
        part, flags = ("[:]", "") if flag is Flag.EACH else ("[:-1]", "[:-1]")
        return f"read_of[index]{part} = {'ones' if value else 'zeros'}{flags}"

    def _place(self, flag: Flag | None) -> str:
        """A single flag; ``own`` is the place of the actor's own among the flags of a block, and among the words."""
        match flag:
            case Flag.WRITTEN:
                return "mapping[at]"
            case Flag.OWN:
                return "mapping[at + own]"
            case Flag.POSITION:
                return "position[0]"
            case Flag.AWAKE:
                return "awake[own]"
        assert flag is Flag.NEIGHBOUR, "all the others are several flags, or none that Python has"
        return f"mapping[at + own % {self._n_reader} + 1]"

    def _one_of(self, flag: Flag) -> str:
        """The one of several flags that is visited now."""
        return "others[rank]" if flag is Flag.OTHERS_AWAKE else "read_of[index][rank]"

    def _few(self, flag: Flag) -> list[str]:
        """Each of several flags."""
        place = "others[{}]" if flag is Flag.OTHERS_AWAKE else "mapping[at + 1 + {}]"
        return [place.format(rank) for rank in range(self._count(flag))]

    def _count(self, flag: Flag) -> int:
        """How many ranks a row about several flags visits."""
        if flag is Flag.OTHERS_AWAKE:
            return self._n_reader if self._role is Role.WRITER else 1
        return self._n_reader - (flag is Flag.BUT_LAST)
