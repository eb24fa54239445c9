"""One record per step of a run: who made which access, with which value, and what the ring looked like afterwards.

Rules: records are frozen, hold plain values only, and know nothing of the memory that produced them. Messages are numbered
from 1 in the order in which their writers began to fill; 0 is a payload word that nobody wrote. What the ring looked like is
what an onlooker would find: under a weak memory an actor may see something older, and then the step is marked as stale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from ringbuffer.protocol import Case, classify

FLUSH, KILL, FOLLOW = "flush", "kill", "follow"
"""Kinds of steps that are not a row's access: a store buffer hands its oldest store to memory; an actor is killed; somebody
takes a dead one's role, or finds out that it is dead."""


class Block(NamedTuple):
    """What an onlooker finds in one block: the written flag and the read flags, and the words of the payload."""

    flags: tuple[int, ...]
    payload: tuple[int, ...]

    @property
    def case(self) -> Case:
        """The case that the flags show."""
        return classify(self.flags)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``choice`` is its number among the steps that were possible, which is what replaying needs.

    ``row``: the clause id. ``kind``: of the access (:class:`~ringbuffer.protocol.Kind`), or :data:`FLUSH`, or :data:`KILL`.
    ``location``: ``"written"``, ``"read[1]"``, ``"word 0"``, or empty where none is touched. ``value``: what was loaded or
    stored. ``block``: the actor's. ``ring``: every block afterwards. ``goes_to``: the clause id of the row where the actor
    stands afterwards. ``broken``: names of the properties that the step breaks.

    ``reads_from``: for a step that returns a value, the number of the step that stored it, 0 for the initial value; for a flush
    the number of the step whose store reaches memory; else ``None``. ``stale``: a newer value was there, or on its way.
    """

    number: int
    actor: str
    row: str
    kind: str
    ordering: str
    access: str
    location: str
    value: int
    block: int
    ring: tuple[Block, ...]
    goes_to: str
    note: str
    broken: tuple[str, ...]
    choice: int
    reads_from: int | None = None
    stale: bool = False

    @property
    def flags(self) -> tuple[int, ...]:
        """The flags of the actor's block after the step."""
        return self.ring[self.block].flags

    @property
    def payload(self) -> tuple[int, ...]:
        """The payload words of the actor's block after the step."""
        return self.ring[self.block].payload

    @property
    def case(self) -> Case:
        """The case of the actor's block after the step."""
        return self.ring[self.block].case

    def as_json(self) -> dict[str, object]:
        """The record as plain JSON values."""
        ring = [{"flags": list(block.flags), "case": int(block.case), "payload": list(block.payload)} for block in self.ring]
        return {**asdict(self), "ring": ring, "flags": list(self.flags), "case": int(self.case), "payload": list(self.payload)}


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run, with what is needed to show it without the model.

    ``variant``: the edits in text form, or ``"shipped"``. ``actors``: their names, writers first, as the steps name them.
    ``initial``: the blocks before the first step. ``cycle_start``: the number of the step from which the run repeats for
    ever, or ``None``; ``starved``: who gets nothing done in that cycle. ``broken``: names of all properties that the run
    breaks, in the order of :mod:`ringbuffer.protocol.properties`. ``token``: replays it.
    """

    variant: str
    readers: int
    blocks: int
    memory: str
    actors: tuple[str, ...]
    initial: tuple[Block, ...]
    steps: tuple[Step, ...]
    token: str
    broken: tuple[str, ...] = ()
    cycle_start: int | None = None
    starved: str | None = None
