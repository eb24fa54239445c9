"""Litmus tests as the literature writes them: a few threads of a few accesses each, in one line of text.

``x=1.rel; r1=y || y=1; fence.sc; r2=xchg(x,2).acq``: threads are separated by ``||``, accesses by ``;``. Names that begin with
``r`` are registers; all others are locations, which hold 0 in the beginning. ``x=1`` stores, ``r1=x`` loads,
``r1=xchg(x,1)`` does both at once; ``.rlx`` (the default), ``.acq``, ``.rel``, ``.acq_rel`` and ``.sc`` are the orderings.
``fill d=1`` and ``r1=read d`` are accesses to payload, which is not atomic. ``if r1=1: …`` makes an access only when the
register holds that; a register that nothing was loaded into holds nothing. Limits: no arithmetic, no loops.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from ringbuffer.protocol import Kind, Ordering

ORDERINGS: Final = {
    "": Ordering.RELAXED,
    "rlx": Ordering.RELAXED,
    "acq": Ordering.ACQUIRE,
    "rel": Ordering.RELEASE,
    "acq_rel": Ordering.ACQ_REL,
    "sc": Ordering.SEQ_CST,
}
_WORDS: Final = {ordering: word for word, ordering in ORDERINGS.items()}


class Op(NamedTuple):
    """One access. ``register``: what it loads into; ``value``: what it stores; ``when``: a register, and what it must hold."""

    kind: Kind
    ordering: Ordering
    location: str = ""
    value: int = 0
    register: str = ""
    when: tuple[str, int] | None = None

    @property
    def is_payload(self) -> bool:
        return self.kind in (Kind.FILL, Kind.READ)

    @property
    def reads(self) -> bool:
        return self.kind in (Kind.LOAD, Kind.EXCHANGE, Kind.READ)

    @property
    def writes(self) -> bool:
        return self.kind in (Kind.STORE, Kind.EXCHANGE, Kind.FILL)

    def __str__(self) -> str:
        order = f".{_WORDS[self.ordering]}" if not self.is_payload else ""
        text = {
            Kind.LOAD: f"{self.register}={self.location}{order}",
            Kind.STORE: f"{self.location}={self.value}{order}",
            Kind.EXCHANGE: f"{self.register}=xchg({self.location},{self.value}){order}",
            Kind.FENCE: f"fence{order}",
            Kind.FILL: f"fill {self.location}={self.value}",
            Kind.READ: f"{self.register}=read {self.location}",
        }[self.kind]
        return text if self.when is None else f"if {self.when[0]}={self.when[1]}: {text}"


Threads: TypeAlias = tuple[tuple[Op, ...], ...]
Outcome: TypeAlias = frozenset[tuple[str, int]]
"""What is in registers, and at last in locations."""

_SHAPES: Final = (
    (Kind.FENCE, r"fence()()()\.(\w+)"),
    (Kind.FILL, r"fill (\w+)=(\d+)()()"),
    (Kind.READ, r"(r\w*)=read (\w+)()()"),
    (Kind.EXCHANGE, r"(r\w*)=xchg\((\w+),(\d+)\)(?:\.(\w+))?"),
    (Kind.LOAD, r"(r\w*)=([a-z]\w*)()(?:\.(\w+))?"),
    (Kind.STORE, r"(\w+)=(\d+)()(?:\.(\w+))?"),
)


def parse(text: str) -> Threads:
    """The threads of a litmus test in words."""
    return tuple(tuple(_op(one.strip()) for one in thread.split(";")) for thread in text.split("||"))


def in_words(threads: Threads) -> str:
    """The same threads as text."""
    return " || ".join("; ".join(map(str, thread)) for thread in threads)


def outcome(text: str) -> Outcome:
    """Values of registers and locations, as in ``r1=1 r2=0 x=2``."""
    return frozenset((name, int(value)) for name, _, value in (word.partition("=") for word in text.split()))


def locations(threads: Threads, *, payload: bool) -> list[str]:
    """The names of the atomic locations, or of the payloads, that the threads touch."""
    return sorted({op.location for thread in threads for op in thread if op.location and op.is_payload == payload})


def _op(text: str) -> Op:
    guarded = re.fullmatch(r"if (r\w*)=(\d+): (.+)", text)
    if guarded:
        return _op(guarded[3])._replace(when=(guarded[1], int(guarded[2])))
    for kind, shape in _SHAPES:
        found = re.fullmatch(shape, text)
        if found:
            first, second, third, order = found.groups(default="")
            ordering = ORDERINGS[order] if kind not in (Kind.FILL, Kind.READ) else Ordering.PLAIN
            if kind in (Kind.STORE, Kind.FILL):
                return Op(kind, ordering, first, int(second))
            return Op(kind, ordering, second, int(third or 0), first)
    raise ValueError(f"no access: {text!r}")
