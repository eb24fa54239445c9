"""What each access of the rows is in C11, and which instruction it becomes on x86-64 and on AArch64.

The orderings are read off the rows; how an ordering is written in C11 follows from its name; which instruction that becomes is
the usual mapping of compilers ("C/C++11 mappings to processors", Sewell and others, for x86-64 and for AArch64's load-acquire
and store-release). Rules: a test compiles the C11 column and finds the instructions of the other two. Limits: the payload is
plain memory and has no instruction of its own; other mappings that order as much are as right (a locked instruction or
``mfence``, ``ldapr`` or ``ldar``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ringbuffer.memory.layout import AWAKE_BYTES
from ringbuffer.proof.pages import table
from ringbuffer.protocol import PROTOCOL, Flag, Kind, Ordering, Row
from ringbuffer.protocol.recovery import READER_NOTE, WRITER_NOTE
from ringbuffer.protocol.succession import READER_TAKES_OVER, WRITER_TAKES_OVER
from ringbuffer.protocol.waking import SLEEPING, WAKING

POSITION_BYTES: Final = 8
C_TYPES: Final[Mapping[int, str]] = {1: "unsigned char", AWAKE_BYTES: "uint32_t", POSITION_BYTES: "uint64_t"}
_ARM_SUFFIX: Final[Mapping[int, str]] = {1: "b", AWAKE_BYTES: "", POSITION_BYTES: ""}
_X86_FENCE: Final = ("mfence", "lock or")
"""Which of the two a compiler takes is its own affair: both empty the store buffer."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One form of access: what it is in C11, and what of the assembler each processor has for it, one of several.

    ``x86``, ``arm``: mnemonics, any one of which will do; empty where no instruction is needed.
    """

    kind: Kind
    ordering: Ordering
    bytes_: int

    @property
    def c11(self) -> str:
        """The access as a C11 expression on ``place``, with ``value`` for what is stored."""
        order = f"memory_order_{self.ordering.value}"
        match self.kind:
            case Kind.LOAD:
                return f"atomic_load_explicit(place, {order})"
            case Kind.STORE:
                return f"atomic_store_explicit(place, value, {order})"
            case _:
                return f"atomic_thread_fence({order})"

    @property
    def x86(self) -> tuple[str, ...]:
        """On x86-64: loads and stores of any ordering below ``seq_cst`` are plain ones; only a full fence is an instruction."""
        if self.kind is Kind.FENCE:
            return _X86_FENCE if self.ordering is Ordering.SEQ_CST else ()
        return ("mov",)

    @property
    def arm(self) -> tuple[str, ...]:
        """On AArch64, with the suffix for bytes."""
        suffix = _ARM_SUFFIX[self.bytes_]
        match self.kind:
            case Kind.LOAD:
                return (f"ldar{suffix}", f"ldapr{suffix}") if self.ordering.acquires else (f"ldr{suffix}",)
            case Kind.STORE:
                return (f"stlr{suffix}",) if self.ordering.releases else (f"str{suffix}",)
            case _:
                return ("dmb ishld",) if self.ordering is Ordering.ACQUIRE else ("dmb ish",)


ROWS: Final[tuple[Row, ...]] = (
    *(one.row for program in PROTOCOL.programs for one in program.instructions),
    WRITER_NOTE,
    READER_NOTE,
    *SLEEPING,
    *WAKING,
    *WRITER_TAKES_OVER,
    *READER_TAKES_OVER,
)


def needed() -> dict[Instruction, list[Row]]:
    """Every form of access that the rows make, with the rows that make it, in their order."""
    forms: dict[Instruction, list[Row]] = {}
    for row in ROWS:
        if row.access.kind in (Kind.LOAD, Kind.STORE, Kind.FENCE):
            forms.setdefault(Instruction(row.access.kind, row.access.ordering, _bytes_of(row)), []).append(row)
    return forms


def _bytes_of(row: Row) -> int:
    match row.access.flag:
        case Flag.POSITION:
            return POSITION_BYTES
        case Flag.AWAKE | Flag.OTHERS_AWAKE:
            return AWAKE_BYTES
        case _:
            return 1


def instructions() -> str:
    """The table, one line for each form of access."""
    head = ("rows", "access", "C11", "x86-64", "AArch64")
    return table(head, _lines())


def _lines() -> Iterator[tuple[str, ...]]:
    for form, rows in needed().items():
        what = form.kind.value if form.kind is Kind.FENCE else f"{form.kind.value} of {8 * form.bytes_} bits"
        mnemonics = (" or ".join(f"`{name}`" for name in names) or "–" for names in (form.x86, form.arm))
        yield (", ".join(row.id for row in rows), f"{what}, {form.ordering.value}", f"`{form.c11}`", *mnemonics)
