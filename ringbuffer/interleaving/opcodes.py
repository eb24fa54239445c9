"""Which opcodes can be seen by other actors: the switch points, and what each may do to the memory.

Rules. An opcode is *local* when it reads and writes nothing but its own frame (its variables, its value stack, its next
instruction) and names that nobody rebinds. Switching before a local opcode leads to the same runs as switching before the next
one that is not local, because it commutes with whatever others do; so only the latter are switch points, and no run is lost.
All that is not known to be local is a switch point: attributes (``ctypes`` reads memory through them), subscripts, calls,
comparisons, iteration, and jumps on a value that is not known to be a fresh truth value.

* A global name is local where its file nowhere declares it ``global``, a closed-over one where it nowhere declares it
  ``nonlocal``; a method's name, always. Rebinding them in other ways (``module.name = …``) is no communication between
  processes: not looked at.
* Where a jump goes back to, an actor may be found to be waiting (``waiting.py``); not at the jump, which may depend on a value
  on the stack, and that is not seen.
* A *store* may have changed what others wait for; what *may write* is followed by a look at the watched memory.

Limits: tables are made for CPython 3.11 to 3.13; an opcode that is unknown is a switch point that may write.
"""

from __future__ import annotations

import dis
import functools
import linecache
import re
import sys
from types import CodeType

SWITCH, BACK, STORE, ITEM, WRITES = 1, 2, 4, 8, 16
"""Bits of a kind: others may run before it; a jump leads back to it; it stores; it stores an item; memory may differ after."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOCAL = _names(
    """
    CACHE POP_TOP PUSH_NULL NOP RESUME PRECALL KW_NAMES LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR
    LOAD_FAST_LOAD_FAST STORE_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST STORE_FAST_MAYBE_NULL DELETE_FAST
    LOAD_CONST RETURN_CONST COPY SWAP JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT EXTENDED_ARG RETURN_VALUE
    RETURN_GENERATOR LOAD_CLOSURE MAKE_CELL COPY_FREE_VARS MAKE_FUNCTION SET_FUNCTION_ATTRIBUTE BUILD_TUPLE BUILD_LIST
    BUILD_SLICE LOAD_METHOD LOAD_ASSERTION_ERROR LOAD_BUILD_CLASS IS_OP GET_ITER PUSH_EXC_INFO POP_EXCEPT RERAISE
    CHECK_EXC_MATCH RAISE_VARARGS LIST_TO_TUPLE LIST_APPEND MAP_ADD YIELD_VALUE END_FOR POP_BLOCK
    """
)
_READ_ONLY = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_DEREF", "LOAD_CLASSDEREF", "BINARY_SUBSCR", "BINARY_SLICE", "CONTAINS_OP"]
)
_STORES = frozenset(["STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF", "STORE_NAME", "DELETE_ATTR", "DELETE_GLOBAL", "DELETE_DEREF"])
_ITEMS = frozenset(["STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"])
_FRESH_TRUTH = frozenset(["COMPARE_OP", "CONTAINS_OP", "IS_OP", "UNARY_NOT", "TO_BOOL", "LOAD_CONST", "CHECK_EXC_MATCH"])
"""What leaves a value on the stack that belongs to nobody else, so that a jump on it reads nothing that is shared."""
_DECLARED = re.compile(r"^\s*(?:global|nonlocal)\s+([\w, \t]+)", re.MULTILINE)
_NO_PREVIOUS = ""


@functools.cache
def rebound_names(file: str) -> frozenset[str] | None:
    """The names that a source file declares ``global`` or ``nonlocal`` somewhere, or ``None`` where there is no source."""
    source = "".join(linecache.getlines(file))
    if not source:
        return None
    return frozenset(name.strip() for match in _DECLARED.finditer(source) for name in match[1].split(","))


def _is_local(instruction: dis.Instruction, previous: str, rebound: frozenset[str] | None) -> bool:
    name = instruction.opname
    if name in ("LOAD_GLOBAL", "LOAD_DEREF"):
        return rebound is not None and instruction.argval not in rebound
    if name == "LOAD_ATTR":
        return sys.version_info >= (3, 12) and bool((instruction.arg or 0) & 1)
    if name.startswith("POP_JUMP"):
        return previous in _FRESH_TRUTH or name.endswith(("_NONE", "NOT_NONE")) or sys.version_info >= (3, 13)
    return name in _LOCAL


def _kind(instruction: dis.Instruction, previous: str, rebound: frozenset[str] | None) -> int:
    name = instruction.opname
    if _is_local(instruction, previous, rebound):
        return 0
    kind = SWITCH | (0 if name in _READ_ONLY else WRITES)
    return kind | (STORE if name in _STORES else STORE | ITEM if name in _ITEMS else 0)


def kinds_by_opcode(code: CodeType) -> tuple[int, ...]:
    """The kind of each opcode of a code object; the one at byte offset ``b`` is at ``b >> 1``."""
    kinds = [0] * (len(code.co_code) // 2)
    previous = _NO_PREVIOUS
    rebound = rebound_names(code.co_filename)
    for instruction in dis.get_instructions(code):
        kinds[instruction.offset >> 1] |= _kind(instruction, previous, rebound)
        if "JUMP_BACKWARD" in instruction.opname:
            kinds[instruction.argval >> 1] |= BACK
        if instruction.opname not in ("CACHE", "EXTENDED_ARG"):
            previous = instruction.opname
    return tuple(kinds)


def kinds_by_line(code: CodeType) -> dict[int, int]:
    """The kind of each line of a code object: a switch point, with all that its opcodes may do."""
    kinds: dict[int, int] = {}
    by_opcode = kinds_by_opcode(code)
    for start, end, line in code.co_lines():
        if line is not None:
            for offset in range(start, end, 2):
                kinds[line] = kinds.get(line, SWITCH) | (by_opcode[offset >> 1] & ~BACK)
    return kinds
