"""What the explorer page offers: protocols, memories, sizes of rings, and which of their combinations.

Rules: ids are stable, because addresses of states contain them; an id is never given to anything else. Limits: a combination
with more than :data:`STATES_MAX` states is left out, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant
from ringbuffer.state import Setup

STATES_MAX: Final = 8_000
"""A combination with more states than this is left out, so that the page stays small."""
WORDS: Final = 2
"""Words of a payload: enough to see that it is torn."""
SIZES: Final = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Readers and blocks."""


class Offer(NamedTuple):
    """A protocol to choose. ``weak``: it differs from the shipped one in orderings only, which only ``ra`` looks at."""

    id: str
    title: str
    tells: str
    variant: Variant
    weak: bool = False


OFFERS: Final = (
    Offer("shipped", "as shipped", "Nothing breaks, whatever you click: try to.", PROTOCOL),
    Offer(
        "scan",
        "the original: scans past busy blocks",
        "The text that this project starts from. With two blocks a reader can receive a newer message before an older one.",
        ORIGINAL,
    ),
    Offer(
        "swap-w5-w6",
        "W5 and W6 swapped: published before the read flags are cleared",
        "A reader can mark the new message, and have its mark wiped out: it receives the message a second time.",
        PROTOCOL.swapped("W5", "W6"),
    ),
    Offer(
        "swap-r3-r4",
        "R3 and R4 swapped: marked as read before it is read",
        "The writer believes the mark, and fills the block under the reader's eyes.",
        PROTOCOL.swapped("R3", "R4"),
    ),
    Offer(
        "without-w2",
        "without W2: nobody looks at the read flags",
        "Nothing wrong is ever delivered, but after one lap the writer waits for ever.",
        PROTOCOL.without("W2"),
    ),
    Offer(
        "without-w3",
        "without W3: the block is not claimed",
        "It looks dangerous, and by itself breaks nothing in rings of these sizes: not every row is needed for safety.",
        PROTOCOL.without("W3"),
    ),
    Offer(
        "one-missing",
        "W2 does not wait for the last reader",
        "Off by one in a count: the writer takes a block that one reader has not read.",
        PROTOCOL.replace(missing_readers=1),
    ),
    Offer(
        "relaxed-w6",
        "W6 relaxed: publishing without release",
        "The flag can be seen before the payload: a race.",
        PROTOCOL.weakened("W6"),
        weak=True,
    ),
    Offer(
        "relaxed-r4",
        "R4 relaxed: marking without release",
        "The writer sees the mark, but nothing orders what the reader read before what it fills next: a race.",
        PROTOCOL.weakened("R4"),
        weak=True,
    ),
    Offer(
        "relaxed-w5",
        "W5 relaxed: clearing without release",
        "Easy to miss: a reader sees its flag cleared, but still the written flag of the last lap.",
        PROTOCOL.weakened("W5"),
        weak=True,
    ),
)

MEMORIES: Final = {
    "sc": ("sc", "Sequentially consistent: every access acts at once, and all see the same. Here callers may raise as well."),
    "tso": ("tso", "Total store order, as on x86-64: each actor's stores wait in a buffer of its own before others find them."),
    "ra": ("ra", "Release/acquire, as in C11: a load may find an older value, unless an ordering forbids it."),
}
"""Simulated memories: what they are called here, and what they are."""


class Combination(NamedTuple):
    """One choice of everything."""

    offer: Offer
    memory: str
    readers: int
    blocks: int

    @property
    def id(self) -> str:
        """As it stands in an address: ``shipped/sc/2/2``."""
        return f"{self.offer.id}/{self.memory}/{self.readers}/{self.blocks}"

    @property
    def setup(self) -> Setup:
        """The question for the model. Callers may raise under ``sc`` only, which keeps the other graphs small."""
        return Setup(self.offer.variant, self.readers, self.blocks, WORDS, memory=self.memory, aborts=self.memory == "sc")

    @property
    def pointless(self) -> str:
        """Why nobody would ask for this combination; empty if there is no such reason."""
        if self.offer.weak and self.memory != "ra":
            return "only ra looks at orderings: here this is the same as the shipped protocol"
        return ""


def combinations() -> Iterator[Combination]:
    """Every combination, in the order of the page; those that are left out, too."""
    for offer in OFFERS:
        for memory in MEMORIES:
            for readers, blocks in SIZES:
                yield Combination(offer, memory, readers, blocks)
