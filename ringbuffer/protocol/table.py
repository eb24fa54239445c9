"""The protocol: two tables of rows, one for the writer, one for a reader. No other module knows it.

A row is one value of an actor's program counter. It makes exactly one access to shared memory, and the outcome of that
access decides where the actor goes. Rules of the notation:

* The rows of a table stand in the order in which they run. The loads come first: they are the *looks*, by which an actor
  finds out whether it may use its block. What follows the last look is what it does with a block it has found.
* Where to go is said relative to the order, so that a table stays a table when a row is dropped, swapped or moved:
  ``NEXT`` is the row that follows (after the last row: the first, with the next block); ``FOUND`` is the row after the last
  look; ``WAIT`` is the first row again, after waiting; ``RESTART`` is the first row again, at once; ``OTHERWISE`` is the next
  row if a look is still to come, and the table's ``undecided`` if none is.
* The writer's looks are alternatives (one is enough: when none decides, it waits); a reader's are conditions (each may send
  it to wait: when none does, it has found its block).
* A fence and a private lock are rows too, for variants that put them between the accesses; the shipped tables have none.
* ``read[*]`` stands for all the read flags of a block. It is as many accesses as there are readers, one by one, in any order.
  A load of ``read[*]`` comes out as ``ONE`` when every flag was 1, and as ``ZERO`` at the first flag that shows the contrary.

Limits: waiting is only named here; how an actor waits (spin, yield, sleep) is not part of this table.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.Enum):
    """Which side a table is for."""

    WRITER = "writer"
    READER = "reader"


class Ordering(enum.Enum):
    """How an access is ordered with respect to the others, in the sense of C11."""

    PLAIN = "plain"
    """Not atomic: the payload. Two such accesses that are not ordered by happens-before are a race."""
    RELAXED = "relaxed"
    ACQUIRE = "acquire"
    RELEASE = "release"
    ACQ_REL = "acq_rel"
    """Acquire and release: for a fence or an exchange."""
    SEQ_CST = "seq_cst"
    """Sequentially consistent: for a fence."""

    @property
    def acquires(self) -> bool:
        """Whether what the access reads from, or what was read before the fence, happens before what follows."""
        return self in (Ordering.ACQUIRE, Ordering.ACQ_REL, Ordering.SEQ_CST)

    @property
    def releases(self) -> bool:
        """Whether what comes before happens before whatever reads from the access, or from stores after the fence."""
        return self in (Ordering.RELEASE, Ordering.ACQ_REL, Ordering.SEQ_CST)


class Kind(enum.Enum):
    """What an access does."""

    LOAD = "load"
    STORE = "store"
    EXCHANGE = "exchange"
    """Load the old value and store the new one, with nothing in between: an atomic read-modify-write."""
    FENCE = "fence"
    """No access; it orders those before it with those behind it."""
    FILL = "fill"
    """The caller writes the payload: many plain writes, ended by ``DONE`` or ``ABORTED``."""
    READ = "read"
    """The caller reads the payload: many plain reads, ended by ``DONE`` or ``ABORTED``."""
    SLEEP = "sleep"
    """Sleep while a word is 0: the kernel compares and lies down in one step. Not in the two tables; see ``waking.py``."""
    WAKE = "wake"
    """Wake whoever sleeps on a word. Not in the two tables; see ``waking.py``."""


class Flag(enum.Enum):
    """Which flag bytes of the actor's block an access touches."""

    WRITTEN = "written"
    OWN = "read[r]"
    EACH = "read[*]"
    NEIGHBOUR = "read[r+1]"
    """The flag of the next reader, after the last the first: what a wrong index would name. Not in the shipped tables."""
    BUT_LAST = "read[*-1]"
    """All the read flags but the last: what a loop that ends one short would visit. Not in the shipped tables."""
    LOCK = "lock"
    """A byte that this actor alone uses: a lock of its own process. Not in the shipped tables."""
    POSITION = "position"
    """How many blocks this actor is done with, the current one included. Not a flag of a block; see ``recovery.py``."""
    AWAKE = "awake[me]"
    """1 unless this actor sleeps or is about to. Not a flag of a block; see ``waking.py``."""
    OTHERS_AWAKE = "awake[*]"
    """The words of all whom this actor can keep waiting: the readers', or the writer's. See ``waking.py``."""

    @property
    def is_several(self) -> bool:
        """Whether an access to it is one access for each of several readers' flags."""
        return self in (Flag.EACH, Flag.BUT_LAST, Flag.OTHERS_AWAKE)

    @property
    def is_of_block(self) -> bool:
        """Whether it lies in the entry of the actor's block."""
        return self not in (Flag.LOCK, Flag.POSITION, Flag.AWAKE, Flag.OTHERS_AWAKE)


class Outcome(enum.Enum):
    """What came of an access: a load's value, or how a payload access ended."""

    ZERO = "0"
    ONE = "1"
    DONE = "done"
    ABORTED = "aborted"


class Then(enum.Enum):
    """Where an outcome leads, relative to the order of the rows. The module's text defines each."""

    NEXT = "next"
    FOUND = "found"
    OTHERWISE = "otherwise"
    WAIT = "wait"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Access:
    """One access to shared memory: what it does, to which flag, with which value, in which ordering."""

    kind: Kind
    ordering: Ordering
    flag: Flag | None = None
    value: int | None = None
    missing_allowed: int = 0
    """For a load of ``read[*]``: how many flags may be 0 and still count as all 1. Always 0 in the shipped table."""

    @property
    def is_several(self) -> bool:
        """Whether the row makes one access for each of several readers' flags."""
        return self.flag is not None and self.flag.is_several

    def __str__(self) -> str:
        match self.kind:
            case Kind.LOAD:
                return f"load {_name(self.flag)}"
            case Kind.STORE | Kind.EXCHANGE:
                value = "its own count" if self.flag is Flag.POSITION else self.value
                return f"{self.kind.value} {_name(self.flag)} ← {value}"
            case Kind.SLEEP:
                return f"sleep while {_name(self.flag)} = 0"
            case Kind.WAKE:
                return f"wake {_name(self.flag)}"
            case Kind.FENCE:
                return f"{self.ordering.value} fence"
        return f"payload {'writes' if self.kind is Kind.FILL else 'reads'}, by the caller"


def _name(flag: Flag | None) -> str:
    assert flag is not None, "a load or a store names its flag"
    return flag.value


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the clause id, what it is for, its one access, where each outcome leads, and why the row is there."""

    id: str
    title: str
    access: Access
    then: tuple[tuple[Outcome, Then], ...]
    why: str
    pairing: str = ""
    """For an access that is not relaxed: which row's access it is ordered with, and what that orders."""

    @property
    def is_look(self) -> bool:
        """Whether the row is one of those by which the actor finds out if it may use its block."""
        return self.access.kind is Kind.LOAD

    @property
    def is_payload(self) -> bool:
        """Whether the row hands the block to the caller."""
        return self.access.kind in (Kind.FILL, Kind.READ)


@dataclass(frozen=True, slots=True)
class Table:
    """One side of the protocol: its rows in order, and what its moves through the ring are.

    ``undecided``: where the actor goes when no look has decided. ``advance_after_use``: how many blocks it goes on when it is
    done with one. ``advance_while_waiting``: how many blocks it goes on when it finds its own busy.
    """

    role: Role
    rows: tuple[Row, ...]
    undecided: Then
    advance_after_use: int = 1
    advance_while_waiting: int = 0


_LOAD, _STORE = Kind.LOAD, Kind.STORE
_ZERO, _ONE, _DONE, _ABORTED = Outcome.ZERO, Outcome.ONE, Outcome.DONE, Outcome.ABORTED
_ON_TO_THE_NEXT_ROW = ((_DONE, Then.NEXT),)
_PAYLOAD_ENDS = ((_DONE, Then.NEXT), (_ABORTED, Then.RESTART))

WRITER = Table(
    role=Role.WRITER,
    undecided=Then.WAIT,
    rows=(
        Row(
            "W1",
            "look at the written flag",
            Access(_LOAD, Ordering.RELAXED, Flag.WRITTEN),
            ((_ZERO, Then.FOUND), (_ONE, Then.OTHERWISE)),
            "A block that was never written, or whose write was aborted, is free although no reader has marked it.",
        ),
        Row(
            "W2",
            "look at the read flags",
            Access(_LOAD, Ordering.ACQUIRE, Flag.EACH),
            ((_ONE, Then.FOUND), (_ZERO, Then.OTHERWISE)),
            "A written block is free only when every reader has marked it; a single flag that is still 0 means wait.",
            "with R4: what each reader read happens before the writer fills the block again",
        ),
        Row(
            "W3",
            "claim the block",
            Access(_STORE, Ordering.RELAXED, Flag.WRITTEN, 0),
            _ON_TO_THE_NEXT_ROW,
            "From here on no reader may begin to read, so that the read flags can be cleared before there is anything new.",
        ),
        Row(
            "W4",
            "fill",
            Access(Kind.FILL, Ordering.PLAIN),
            _PAYLOAD_ENDS,
            "The caller writes in place; if it raises, nothing is published and the same block is used next.",
        ),
        Row(
            "W5",
            "clear the read flags",
            Access(_STORE, Ordering.RELEASE, Flag.EACH, 0),
            _ON_TO_THE_NEXT_ROW,
            "Every reader is to read the new message; cleared after publishing, a flag could wipe out a reader's mark.",
            "with R1: a reader that sees its flag cleared sees the block claimed (W3), not the last lap's written flag",
        ),
        Row(
            "W6",
            "publish",
            Access(_STORE, Ordering.RELEASE, Flag.WRITTEN, 1),
            _ON_TO_THE_NEXT_ROW,
            "The one store that makes the message visible, to all readers at once, when nothing is left to be done.",
            "with R2: the payload happens before any reader reads it",
        ),
    ),
)

READER = Table(
    role=Role.READER,
    undecided=Then.FOUND,
    rows=(
        Row(
            "R1",
            "look at one's own read flag",
            Access(_LOAD, Ordering.ACQUIRE, Flag.OWN),
            ((_ZERO, Then.OTHERWISE), (_ONE, Then.WAIT)),
            "A block that this reader has marked holds nothing new for it until the writer clears the flag.",
            "with W5: seeing the flag cleared, the reader cannot then load a written flag from before the claim",
        ),
        Row(
            "R2",
            "look at the written flag",
            Access(_LOAD, Ordering.ACQUIRE, Flag.WRITTEN),
            ((_ONE, Then.OTHERWISE), (_ZERO, Then.WAIT)),
            "While the writer fills the block the read flags may be 0 already; only the written flag says that it is whole.",
            "with W6: the payload that the writer wrote happens before this reader reads it",
        ),
        Row(
            "R3",
            "read",
            Access(Kind.READ, Ordering.PLAIN),
            _PAYLOAD_ENDS,
            "The caller reads in place; if it raises, the message stays unread and comes again.",
        ),
        Row(
            "R4",
            "mark as read",
            Access(_STORE, Ordering.RELEASE, Flag.OWN, 1),
            _ON_TO_THE_NEXT_ROW,
            "The reader gives the block back; marked before it was read, the writer could fill it under the reader's eyes.",
            "with W2: what this reader read happens before the writer fills the block again",
        ),
    ),
)
