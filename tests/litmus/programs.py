"""Random litmus tests, for comparing two judges of them.

``shaped`` takes the skeletons of the literature and gives every access an ordering, puts fences between them and makes
exchanges of some: near what is forbidden and what is not. ``loose`` draws accesses freely, with few values, so that equal
stores stand side by side, and guards them by registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st
from program import ORDERINGS, Op, Threads, parse

from ringbuffer.protocol import Kind, Ordering

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

LOADS: Final = (Ordering.RELAXED, Ordering.ACQUIRE)
STORES: Final = (Ordering.RELAXED, Ordering.RELEASE)
EXCHANGES: Final = (Ordering.RELAXED, Ordering.ACQUIRE, Ordering.RELEASE, Ordering.ACQ_REL)
FENCES: Final = tuple(ORDERINGS[word] for word in ("acq", "rel", "acq_rel", "sc", "sc"))

TWO_THREADS: Final = (
    "x=1; r1=y || y=1; r2=x",
    "x=1; y=1 || r1=y; r2=x",
    "r1=x; y=1 || r2=y; x=1",
    "x=1; y=2 || y=1; x=2",
    "x=1; y=1 || y=2; r1=x",
    "x=2; y=1 || r1=y; x=1",
    "x=1; x=2 || r1=x; r2=x",
)
THREE_THREADS: Final = (
    "x=1 || r1=x; y=1 || r2=y; r3=x",
    "x=1 || r1=x; r2=y || y=1; r3=x",
    "x=1; y=1 || r3=xchg(y,2) || r1=y; r2=x",
    "x=1; y=1 || r1=y; z=1 || r2=z; r3=x",
    "x=1; y=1 || r1=y; r2=z || z=1; r3=x",
    "x=1; y=1 || y=2; z=1 || r1=z; r2=x",
)
FOUR_THREADS: Final = ("x=1 || y=1 || r1=x; r2=y || r3=y; r4=x",)
WITH_PAYLOAD: Final = (
    "fill d=1; x=1 || r1=x; if r1=1: r2=read d",
    "r1=read d; x=1 || r2=x; if r2=1: fill d=1",
    "fill d=1; x=1 || r1=x; if r1=1: y=1 || r2=y; if r2=1: r3=read d",
    "fill d=1; x=1 || r1=x; if r1=1: r4=xchg(x,2) || r2=x; if r2=2: r3=read d",
    "fill d=1; r1=x; if r1=0: z=1 || x=1; r2=z; if r2=1: r3=read d",
    "r1=read d; x=1 || r2=read d; y=1 || r3=x; r4=y; if r4=1: fill d=1",
    "fill d=1; x=1; x=1 || r1=x; r2=x; if r2=1: r3=read d",
)


@st.composite
def shaped(draw: Draw, skeletons: tuple[str, ...]) -> Threads:
    """A skeleton with orderings, fences and exchanges."""
    threads: list[tuple[Op, ...]] = []
    for thread in parse(draw(st.sampled_from(skeletons))):
        ops: list[Op] = []
        for number, op in enumerate(thread):
            if number and draw(st.booleans()):
                ops.append(Op(Kind.FENCE, draw(st.sampled_from(FENCES))))
            ops.append(_ordered(draw, op, f"r{len(threads)}{number}x"))
        threads.append(tuple(ops))
    return tuple(threads)


def _ordered(draw: Draw, op: Op, register: str) -> Op:
    if op.kind is Kind.STORE and draw(st.integers(0, 4)) == 0:
        return op._replace(kind=Kind.EXCHANGE, register=register, ordering=draw(st.sampled_from(EXCHANGES)))
    orderings = {Kind.LOAD: LOADS, Kind.STORE: STORES, Kind.EXCHANGE: EXCHANGES}.get(op.kind)
    return op if orderings is None else op._replace(ordering=draw(st.sampled_from(orderings)))


@st.composite
def loose(
    draw: Draw, *, threads_max: int = 3, ops_max: int = 3, total_max: int = 9, locations: str = "xy", payload: bool = False
) -> Threads:
    """Threads of random accesses; with ``payload``, each thread either fills or reads one payload."""
    threads: list[tuple[Op, ...]] = []
    left = total_max
    for number in range(draw(st.integers(2, threads_max))):
        fills = draw(st.booleans())
        kinds = [Kind.LOAD, Kind.STORE, Kind.EXCHANGE, Kind.FENCE, Kind.STORE, Kind.LOAD]
        kinds += [Kind.FILL if fills else Kind.READ] * 2 if payload else []
        ops: list[Op] = []
        for at in range(draw(st.integers(1, ops_max)) if left else 0):
            op = _any(draw, draw(st.sampled_from(kinds)), locations, f"r{number}{at}")
            registers = [before.register for before in ops if before.reads]
            if registers and draw(st.integers(0, 3)) == 0:
                op = op._replace(when=(draw(st.sampled_from(registers)), draw(st.integers(0, 2))))
            ops.append(op)
        ops = ops[:left]
        left -= len(ops)
        threads.append(tuple(ops))
    return tuple(threads)


def _any(draw: Draw, kind: Kind, locations: str, register: str) -> Op:
    location = draw(st.sampled_from(locations))
    value = draw(st.sampled_from((1, 1, 2)))
    match kind:
        case Kind.LOAD:
            return Op(kind, draw(st.sampled_from(LOADS)), location, 0, register)
        case Kind.STORE:
            return Op(kind, draw(st.sampled_from(STORES)), location, value)
        case Kind.EXCHANGE:
            return Op(kind, draw(st.sampled_from(EXCHANGES)), location, value, register)
        case Kind.FENCE:
            return Op(kind, draw(st.sampled_from(FENCES)))
        case Kind.FILL:
            return Op(kind, Ordering.PLAIN, "d", value)
    return Op(Kind.READ, Ordering.PLAIN, "d", 0, register)
