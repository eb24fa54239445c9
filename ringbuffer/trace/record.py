"""One record per step of a run: who made which access, with which value, and what the block looked like afterwards.

Rules: records are frozen, hold plain values only, and know nothing of the memory that produced them. Messages are numbered
from 1 in the order in which their writers began to fill; 0 is a payload word that nobody wrote.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ringbuffer.protocol import Case, classify


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``choice`` is its number among the steps that were possible, which is what replaying needs.

    ``location``: ``"written"``, ``"read[1]"`` or ``"word 0"``. ``value``: what was loaded or stored. ``payload``: the words of
    the block afterwards. ``goes_to``: the clause id of the row where the actor stands afterwards. ``broken``: names of the
    properties that the step breaks.
    """

    number: int
    actor: str
    row: str
    access: str
    location: str
    value: int
    block: int
    flags: tuple[int, ...]
    payload: tuple[int, ...]
    goes_to: str
    note: str
    broken: tuple[str, ...]
    choice: int

    @property
    def case(self) -> Case:
        """The case of the block after the step."""
        return classify(self.flags)

    def as_json(self) -> dict[str, object]:
        """The record as plain JSON values."""
        return {**asdict(self), "case": int(self.case)}
