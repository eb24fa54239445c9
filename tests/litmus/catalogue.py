"""The litmus tests of the literature, and what each memory says of them.

A verdict is about the outcome that is asked for: ``no`` (no run ends so) or ``yes`` (some run does), under ``sc``, ``tso`` and
``ra``, in this order. The sources of the verdicts:

* ``Sewell 2010``: Sewell, Sarkar, Owens, Zappa Nardelli, Myreen, "x86-TSO", CACM 53(7);
* ``Maranget 2012``: Maranget, Sarkar, Sewell, "A Tutorial Introduction to the ARM and POWER Relaxed Memory Models", whose
  names the tests bear;
* ``Batty 2011``: Batty, Owens, Sarkar, Sewell, Weber, "Mathematizing C++ Concurrency", POPL;
* ``Lahav 2016``: Lahav, Giannarakis, Vafeiadis, "Taming Release-Acquire Consistency", POPL;
* ``Lahav 2017``: Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing Sequential Consistency in C/C++11", PLDI (RC11);
* ``Kang 2017``: Kang, Hur, Lahav, Vafeiadis, Dreyer, "A Promising Semantics for Relaxed-Memory Concurrency", POPL;
* ``C++20``: ISO/IEC 14882:2020, [intro.races], where release sequences are [P0982].

Under ``sc`` every verdict follows from Lamport 1979: the outcome is no interleaving of the accesses.
"""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple

from program import Outcome, Threads, outcome, parse

MEMORIES: Final = ("sc", "tso", "ra")


class Litmus(NamedTuple):
    name: str
    text: str
    asked: str
    verdicts: str
    source: str

    @property
    def threads(self) -> Threads:
        return parse(self.text)

    @property
    def wanted(self) -> Outcome:
        return outcome(self.asked)

    def allowed(self, memory: str) -> bool:
        return {"no": False, "yes": True}[self.verdicts.split()[MEMORIES.index(memory)]]


def _message_passing() -> list[Litmus]:
    """Message passing in every ordering: only a release that is acquired passes the message on."""
    return [
        Litmus(
            f"MP+{store}+{load}",
            f"x=1; y=1.{store} || r1=y.{load}; r2=x",
            "r1=1 r2=0",
            "no no no" if (store, load) == ("rel", "acq") else "no no yes",
            "Batty 2011, §2; Sewell 2010 (n6, no reordering of stores or of loads)",
        )
        for store, load in product(("rlx", "rel"), ("rlx", "acq"))
    ]


def _fenced_message_passing() -> list[Litmus]:
    """The same by fences before the store and behind the load."""
    return [
        Litmus(
            f"MP+fence.{first}+fence.{second}",
            f"x=1; fence.{first}; y=1 || r1=y; fence.{second}; r2=x",
            "r1=1 r2=0",
            "no no no" if first != "acq" and second != "rel" else "no no yes",
            "Batty 2011, §2.5 (release and acquire fences)",
        )
        for first, second in product(("acq", "rel", "acq_rel", "sc"), repeat=2)
    ]


CATALOGUE: Final[tuple[Litmus, ...]] = (
    *_message_passing(),
    *_fenced_message_passing(),
    Litmus("MP+fence.rel+acq", "x=1; fence.rel; y=1 || r1=y.acq; r2=x", "r1=1 r2=0", "no no no", "Batty 2011, §2.5"),
    Litmus("MP+rel+fence.acq", "x=1; y=1.rel || r1=y; fence.acq; r2=x", "r1=1 r2=0", "no no no", "Batty 2011, §2.5"),
    Litmus("MP+fence.rel+rlx", "x=1; fence.rel; y=1 || r1=y; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    Litmus("MP+rlx+fence.acq", "x=1; y=1 || r1=y; fence.acq; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    # A fence on the wrong side of the access orders nothing here.
    Litmus("MP+late-fence+acq", "x=1; y=1; fence.rel || r1=y.acq; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    Litmus("MP+early-fence+acq", "fence.rel; x=1; y=1 || r1=y.acq; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    Litmus("MP+rel+early-fence", "x=1; y=1.rel || fence.acq; r1=y; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    Litmus("MP+rel+late-fence", "x=1; y=1.rel || r1=y; r2=x; fence.acq", "r1=1 r2=0", "no no yes", "Batty 2011, §2.5"),
    # One fence takes over what several loads have found.
    Litmus(
        "MP+two-loads+fence.acq",
        "x=1; y=1.rel || w=1; z=1.rel || r1=y; r2=z; fence.acq; r3=x; r4=w",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    Litmus(
        "MP+two-loads+fence.acq-other",
        "x=1; y=1.rel || w=1; z=1.rel || r1=y; r2=z; fence.acq; r3=x; r4=w",
        "r1=1 r2=1 r4=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    # What was loaded relaxed can be loaded again, and acquired then.
    Litmus("MP+rel+rlx+acq", "x=1; y=1.rel || r1=y; r3=y.acq; r2=x", "r1=1 r3=1 r2=0", "no no no", "Batty 2011, §2"),
    # An exchange can be the store, and the load.
    Litmus("MP+xchg.rel+acq", "x=1; r3=xchg(y,1).rel || r1=y.acq; r2=x", "r1=1 r2=0", "no no no", "Batty 2011, §2"),
    Litmus("MP+xchg.acq+acq", "x=1; r3=xchg(y,1).acq || r1=y.acq; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2"),
    Litmus("MP+rel+xchg.acq", "x=1; y=1.rel || r1=xchg(y,2).acq; r2=x", "r1=1 r2=0", "no no no", "Batty 2011, §2"),
    Litmus("MP+rel+xchg.rel", "x=1; y=1.rel || r1=xchg(y,2).rel; r2=x", "r1=1 r2=0", "no no yes", "Batty 2011, §2"),
    Litmus(
        "MP+rel+xchg.rlx+fence.acq",
        "x=1; y=1.rel || r1=xchg(y,2); fence.acq; r2=x",
        "r1=1 r2=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    Litmus(
        "MP+fence.rel+xchg.rlx", "x=1; fence.rel; r3=xchg(y,1) || r1=y.acq; r2=x", "r1=1 r2=0", "no no no", "Batty 2011, §2.5"
    ),
    # Store buffering.
    Litmus("SB", "x=1; r1=y || y=1; r2=x", "r1=0 r2=0", "no yes yes", "Sewell 2010, SB"),
    Litmus("SB+rel+acq", "x=1.rel; r1=y.acq || y=1.rel; r2=x.acq", "r1=0 r2=0", "no yes yes", "Batty 2011, §2; Lahav 2016"),
    Litmus("SB+fence.sc", "x=1; fence.sc; r1=y || y=1; fence.sc; r2=x", "r1=0 r2=0", "no no no", "Sewell 2010; Lahav 2017"),
    Litmus("SB+fence.sc+none", "x=1; fence.sc; r1=y || y=1; r2=x", "r1=0 r2=0", "no yes yes", "Sewell 2010; Lahav 2017"),
    Litmus(
        "SB+fence.acq_rel",
        "x=1; fence.acq_rel; r1=y || y=1; fence.acq_rel; r2=x",
        "r1=0 r2=0",
        "no yes yes",
        "Batty 2011, §2.5",
    ),
    Litmus(
        "SB+fence.sc+fence.acq_rel",
        "x=1; fence.sc; r1=y || y=1; fence.acq_rel; r2=x",
        "r1=0 r2=0",
        "no yes yes",
        "Batty 2011, §2.5",
    ),
    # A locked instruction empties the buffer; in C11 an exchange that is not seq_cst is no fence.
    Litmus(
        "SB+xchg",
        "r3=xchg(x,1).acq_rel; r1=y.acq || r4=xchg(y,1).acq_rel; r2=x.acq",
        "r1=0 r2=0",
        "no no yes",
        "Sewell 2010, §3 (locked instructions); Lahav 2016, §1",
    ),
    Litmus("SB+xchg+none", "r3=xchg(x,1).acq_rel; r1=y || y=1; r2=x", "r1=0 r2=0", "no yes yes", "Sewell 2010; Lahav 2016"),
    Litmus(
        "SB+one-xchg",
        "x=1; r3=xchg(z,1).acq_rel; r1=y || y=1; r4=xchg(z,1).acq_rel; r2=x",
        "r1=0 r2=0",
        "no no no",
        "Lahav 2016, §1 (exchanges of one location are as good as fences)",
    ),
    Litmus(
        "SB+own-xchg",
        "x=1; r3=xchg(a,1).acq_rel; r1=y || y=1; r4=xchg(b,1).acq_rel; r2=x",
        "r1=0 r2=0",
        "no no yes",
        "Sewell 2010, §3; Lahav 2016, §1",
    ),
    Litmus("SB+rfi", "x=1; r3=x; r1=y || y=1; r4=y; r2=x", "r1=0 r2=0 r3=1 r4=1", "no yes yes", "Sewell 2010, n4 and n6"),
    Litmus(
        "3.SB+fence.sc",
        "x=1; fence.sc; r1=y || y=1; fence.sc; r2=z || z=1; fence.sc; r3=x",
        "r1=0 r2=0 r3=0",
        "no no no",
        "Sewell 2010; Lahav 2017",
    ),
    # Load buffering: see LIMITS below.
    Litmus("LB", "r1=x; y=1 || r2=y; x=1", "r1=1 r2=1", "no no no", "Lahav 2017 (po ∪ rf is acyclic)"),
    Litmus("LB+rel+acq", "r1=x.acq; y=1.rel || r2=y.acq; x=1.rel", "r1=1 r2=1", "no no no", "Batty 2011; Lahav 2016"),
    # Coherence: each location alone is sequentially consistent, in all of the models (Maranget 2012, §8).
    Litmus("CoRR", "x=1 || r1=x; r2=x", "r1=1 r2=0", "no no no", "Maranget 2012, §8"),
    Litmus(
        "CoRR2", "x=1 || x=2 || r1=x; r2=x || r3=x; r4=x", "r1=1 r2=2 r3=2 r4=1", "no no no", "Maranget 2012, §8; Batty 2011"
    ),
    Litmus("CoWW", "x=1; x=2", "x=1", "no no no", "Maranget 2012, §8"),
    Litmus("CoRW1", "r1=x; x=1", "r1=1", "no no no", "Maranget 2012, §8"),
    Litmus("CoRW2", "r1=x; x=1 || x=2", "r1=2 x=2", "no no no", "Maranget 2012, §8 (CoRW)"),
    Litmus("CoWR0", "x=1; r1=x", "r1=0", "no no no", "Maranget 2012, §8"),
    Litmus("CoWR", "x=1; r1=x || x=2", "r1=2 x=1", "no no no", "Maranget 2012, §8"),
    Litmus("CoWR-other", "x=1; r1=x || x=2", "r1=2 x=2", "yes yes yes", "Maranget 2012, §8"),
    # Two stores of the same value are two stores.
    Litmus("CoRR-equal", "x=1; x=2; x=1 || r1=x; r2=x; r3=x", "r1=1 r2=2 r3=1", "yes yes yes", "Maranget 2012, §8"),
    Litmus("CoRR-once", "x=1; x=2 || r1=x; r2=x; r3=x", "r1=1 r2=2 r3=1", "no no no", "Maranget 2012, §8"),
    # Independent reads of independent writes.
    Litmus(
        "IRIW",
        "x=1 || y=1 || r1=x; r2=y || r3=y; r4=x",
        "r1=1 r2=0 r3=1 r4=0",
        "no no yes",
        "Sewell 2010, IRIW; Batty 2011, §2",
    ),
    Litmus(
        "IRIW+rel+acq",
        "x=1.rel || y=1.rel || r1=x.acq; r2=y.acq || r3=y.acq; r4=x.acq",
        "r1=1 r2=0 r3=1 r4=0",
        "no no yes",
        "Batty 2011, §2; Lahav 2016",
    ),
    Litmus(
        "IRIW+fence.sc",
        "x=1 || y=1 || r1=x; fence.sc; r2=y || r3=y; fence.sc; r4=x",
        "r1=1 r2=0 r3=1 r4=0",
        "no no no",
        "Lahav 2017, §3 (RC11 makes fences as strong)",
    ),
    Litmus(
        "IRIW+fence.acq_rel",
        "x=1 || y=1 || r1=x; fence.acq_rel; r2=y || r3=y; fence.acq_rel; r4=x",
        "r1=1 r2=0 r3=1 r4=0",
        "no no yes",
        "Batty 2011, §2.5",
    ),
    # Two plus two writes.
    Litmus("2+2W", "x=1; y=2 || y=1; x=2", "x=1 y=1", "no no yes", "Maranget 2012, §9; Lahav 2016, §2"),
    Litmus("2+2W+rel", "x=1.rel; y=2.rel || y=1.rel; x=2.rel", "x=1 y=1", "no no yes", "Lahav 2016, §2"),
    Litmus("2+2W+fence.sc", "x=1; fence.sc; y=2 || y=1; fence.sc; x=2", "x=1 y=1", "no no no", "Lahav 2017, §3"),
    # Write-to-read causality.
    Litmus("WRC", "x=1 || r1=x; y=1 || r2=y; r3=x", "r1=1 r2=1 r3=0", "no no yes", "Maranget 2012, §4; Sewell 2010"),
    Litmus(
        "WRC+rel+acq",
        "x=1.rel || r1=x.acq; y=1.rel || r2=y.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011, §2; Lahav 2016",
    ),
    Litmus(
        "WRC+rlx+rel+acq",
        "x=1 || r1=x; y=1.rel || r2=y.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011 (coherence of reads ordered by happens-before)",
    ),
    Litmus("WRC+rel+acq+rlx", "x=1.rel || r1=x.acq; y=1 || r2=y.acq; r3=x", "r1=1 r2=1 r3=0", "no no yes", "Batty 2011, §2"),
    Litmus(
        "WRC+message",
        "w=1; x=1.rel || r1=x; y=1.rel || r2=y.acq; r3=w",
        "r1=1 r2=1 r3=0",
        "no no yes",
        "Batty 2011, §2 (a relaxed load passes nothing on)",
    ),
    Litmus(
        "WRC+message+fence.acq",
        "w=1; x=1.rel || r1=x; fence.acq; y=1.rel || r2=y.acq; r3=w",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    Litmus(
        "WRC+message+fence.rel",
        "w=1; x=1.rel || r1=x; fence.rel; y=1 || r2=y.acq; r3=w",
        "r1=1 r2=1 r3=0",
        "no no yes",
        "Batty 2011, §2.5 (a release fence acquires nothing)",
    ),
    Litmus(
        "WRC+message+fence.acq_rel",
        "w=1; x=1.rel || r1=x; fence.acq_rel; y=1 || r2=y.acq; r3=w",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    # ISA2.
    Litmus(
        "ISA2",
        "x=1; y=1.rel || r1=y.acq; z=1.rel || r2=z.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Maranget 2012, §4 (ISA2); Batty 2011",
    ),
    Litmus(
        "ISA2+rlx",
        "x=1; y=1.rel || r1=y.acq; z=1 || r2=z.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no yes",
        "Maranget 2012; Batty 2011",
    ),
    Litmus(
        "ISA2+fences",
        "x=1; fence.rel; y=1 || r1=y; fence.acq_rel; z=1 || r2=z; fence.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Batty 2011, §2.5",
    ),
    Litmus(
        "ISA2+somebody-knows",
        "x=1; y=1.rel || r1=y.acq; z=1.rel || r4=y.acq; r5=z || r2=z.acq; r3=x",
        "r1=1 r2=1 r3=0",
        "no no no",
        "Maranget 2012, §4 (ISA2); Batty 2011",
    ),
    # R and S.
    Litmus("R", "x=1; y=1 || y=2; r1=x", "y=2 r1=0", "no yes yes", "Maranget 2012, §9; Sewell 2010"),
    Litmus("R+rel+acq", "x=1.rel; y=1.rel || y=2.rel; r1=x.acq", "y=2 r1=0", "no yes yes", "Lahav 2016"),
    Litmus("R+fence.sc", "x=1; fence.sc; y=1 || y=2; fence.sc; r1=x", "y=2 r1=0", "no no no", "Lahav 2017, §3"),
    Litmus("R+none+fence.sc", "x=1; y=1 || y=2; fence.sc; r1=x", "y=2 r1=0", "no no yes", "Sewell 2010; Lahav 2017"),
    Litmus("S", "x=2; y=1 || r1=y; x=1", "r1=1 x=2", "no no yes", "Maranget 2012, §9"),
    Litmus("S+rel+acq", "x=2; y=1.rel || r1=y.acq; x=1", "r1=1 x=2", "no no no", "Lahav 2016; Batty 2011"),
    Litmus("S+rel+rlx", "x=2; y=1.rel || r1=y; x=1", "r1=1 x=2", "no no yes", "Batty 2011"),
    # Release sequences: exchanges continue one, whoever makes them; plain stores do not, since C++20.
    Litmus("RS+xchg", "x=1; y=1.rel || r3=xchg(y,2) || r1=y.acq; r2=x", "r3=1 r1=2 r2=0", "no no no", "C++20; Lahav 2017, §2"),
    Litmus(
        "RS+two-xchgs",
        "x=1; y=1.rel || r3=xchg(y,2) || r4=xchg(y,3) || r1=y.acq; r2=x",
        "r3=1 r4=2 r1=3 r2=0",
        "no no no",
        "C++20; Lahav 2017, §2",
    ),
    Litmus("RS+xchg-before", "r3=xchg(y,2) || x=1; y=1.rel || r1=y.acq; r2=x", "r3=0 r1=2 r2=0", "yes yes yes", "C++20"),
    Litmus(
        "RS+own-store", "x=1; y=1.rel; y=2 || r1=y.acq; r2=x", "r1=2 r2=0", "no no yes", "C++20 (C++11 to C++17: forbidden)"
    ),
    Litmus("RS+own-xchg", "x=1; y=1.rel; r3=xchg(y,2) || r1=y.acq; r2=x", "r1=2 r2=0", "no no no", "C++20"),
    Litmus("RS+other-store", "x=1; y=1.rel || r3=y; y=2 || r1=y.acq; r2=x", "r3=1 r1=2 r2=0", "no no yes", "C++20"),
    Litmus(
        "RS+store-between",
        "x=1; y=1.rel; y=2 || r3=xchg(y,3) || r1=y.acq; r2=x",
        "r3=2 r1=3 r2=0",
        "no no yes",
        "C++20",
    ),
    Litmus(
        "RS+fence",
        "x=1; fence.rel; y=1; y=2 || r1=y.acq; r2=x",
        "r1=2 r2=0",
        "no no no",
        "Batty 2011, §2.5 (each later store of the thread is a release by the fence)",
    ),
    Litmus(
        "RS+joined",
        "w=1; y=1.rel || x=1; r3=xchg(y,2).rel || r1=y.acq; r2=x; r4=w",
        "r3=1 r1=2 r4=0",
        "no no no",
        "C++20 (an exchange that releases carries both)",
    ),
    Litmus(
        "RS+joined-own",
        "w=1; y=1.rel || x=1; r3=xchg(y,2).rel || r1=y.acq; r2=x; r4=w",
        "r3=1 r1=2 r2=0",
        "no no no",
        "C++20 (an exchange that releases carries both)",
    ),
    # An exchange reads what stands directly before it.
    Litmus("2xchg", "r1=xchg(x,1) || r2=xchg(x,2)", "r1=0 r2=0", "no no no", "Batty 2011 (RMW atomicity); Sewell 2010, §3"),
    Litmus("3xchg", "r1=xchg(x,1) || r2=xchg(x,2) || r3=xchg(x,3)", "r1=0 r2=1 r3=1", "no no no", "Batty 2011"),
    Litmus("3xchg-line", "r1=xchg(x,1) || r2=xchg(x,2) || r3=xchg(x,3)", "r1=0 r2=1 r3=2", "yes yes yes", "Batty 2011"),
    Litmus("xchg-between", "r1=xchg(x,1) || x=2 || r2=x; r3=x", "r1=0 r2=2 r3=1", "no no no", "Batty 2011"),
    Litmus("xchg-last", "r1=xchg(x,1) || x=2", "r1=0 x=2", "yes yes yes", "Batty 2011"),
    Litmus("xchg-behind", "r1=xchg(x,1) || x=2; r2=x", "r1=2 r2=2 x=1", "yes yes yes", "Batty 2011"),
    Litmus("2xchg-circle", "r1=xchg(x,1) || r2=xchg(x,2)", "r1=2 r2=1", "no no no", "Batty 2011"),
    # Full fences across three and four threads.
    Litmus("RWC", "x=1 || r1=x; r2=y || y=1; r3=x", "r1=1 r2=0 r3=0", "no yes yes", "Maranget 2012, §9; Sewell 2010"),
    Litmus(
        "RWC+fence.sc",
        "x=1 || r1=x; fence.sc; r2=y || y=1; fence.sc; r3=x",
        "r1=1 r2=0 r3=0",
        "no no no",
        "Lahav 2017, §3 (allowed before RC11: Batty 2011)",
    ),
    Litmus(
        "RWC+acq+fence.sc",
        "x=1.rel || r1=x.acq; r2=y || y=1; fence.sc; r3=x",
        "r1=1 r2=0 r3=0",
        "no no yes",
        "Sewell 2010; Lahav 2017",
    ),
    Litmus(
        "W+RWC",
        "x=1; y=1.rel || r1=y.acq; r2=z || z=1; r3=x",
        "r1=1 r2=0 r3=0",
        "no yes yes",
        "Lahav 2017, §2; Sewell 2010",
    ),
    Litmus(
        "W+RWC+fence.sc",
        "x=1; y=1.rel || r1=y.acq; fence.sc; r2=z || z=1; fence.sc; r3=x",
        "r1=1 r2=0 r3=0",
        "no no no",
        "Lahav 2017, §3",
    ),
    Litmus("MP+fence.sc+rlx", "x=1; fence.sc; y=1 || r1=y; r2=x", "r1=1 r2=0", "no no yes", "Lahav 2017"),
    Litmus(
        "SB+fences-first", "fence.sc; x=1; r1=y || fence.sc; y=1; r2=x", "r1=0 r2=0", "no yes yes", "Sewell 2010; Lahav 2017"
    ),
    Litmus(
        "SB+passed-on",
        "x=1; fence.sc; r1=y || y=1; fence.sc; z=1 || r2=z.acq; r3=x",
        "r1=0 r2=1 r3=0",
        "no no no",
        "Lahav 2017, §3 (happens-before from a fence, and then against coherence)",
    ),
    # A fence takes over what another fence knows, although nobody has stored or loaded anything for it.
    Litmus(
        "W+RWC+equal-stores",
        "w=1; x=1.rel; x=1; x=2; fence.sc; r5=z || r1=x; z=1; fence.sc; r2=x || r3=w; r4=x",
        "r1=1 r2=1 r5=0",
        "no no no",
        "Lahav 2017, §3 (psc_F)",
    ),
)

LIMITS: Final[tuple[tuple[str, str, str, str, str], ...]] = (
    (
        "LB",
        "r1=x; y=1 || r2=y; x=1",
        "r1=1 r2=1",
        "c11",
        "Batty 2011, §2; no load returns a store that is yet to be made, which takes promises (Kang 2017)",
    ),
    (
        "LB+acq",
        "r1=x.acq; y=1 || r2=y; x=1",
        "r1=1 r2=1",
        "c11",
        "Batty 2011, §2",
    ),
    (
        "WRC-like chain between full fences",
        "x=1; fence.sc; y=1 || r1=y; z=1 || r2=z; fence.sc; r3=x",
        "r1=1 r2=1 r3=0",
        "rc11",
        "Lahav 2017, §3: psc_F need not agree with po ∪ rf, as if the middle thread's store overtook its load",
    ),
)
"""What the model of release/acquire cannot show: name, threads, outcome, which axioms allow it."""

RACES: Final[tuple[tuple[str, str, bool, str], ...]] = (
    ("unordered", "fill d=1 || r1=read d", True, "Batty 2011, §2 (data races)"),
    ("two fills", "fill d=1 || fill d=2", True, "Batty 2011, §2"),
    ("two reads", "r1=read d || r2=read d", False, "Batty 2011, §2 (one of the two must write)"),
    ("two payloads", "fill c=1 || r1=read d", False, "Batty 2011, §2 (one location)"),
    ("one thread", "fill d=1; fill d=2", False, "Batty 2011, §2"),
    ("two payloads, one ordered", "fill c=1; x=1.rel; fill d=1 || r1=x.acq; if r1=1: r2=read c", False, "Batty 2011, §2"),
    ("release, acquire", "fill d=1; x=1.rel || r1=x.acq; if r1=1: r2=read d", False, "Batty 2011, §2"),
    ("release, relaxed", "fill d=1; x=1.rel || r1=x; if r1=1: r2=read d", True, "Batty 2011, §2"),
    ("relaxed, acquire", "fill d=1; x=1 || r1=x.acq; if r1=1: r2=read d", True, "Batty 2011, §2"),
    ("relaxed, relaxed", "fill d=1; x=1 || r1=x; if r1=1: r2=read d", True, "Batty 2011, §2"),
    ("fences", "fill d=1; fence.rel; x=1 || r1=x; fence.acq; if r1=1: r2=read d", False, "Batty 2011, §2.5"),
    ("release fence only", "fill d=1; fence.rel; x=1 || r1=x; if r1=1: r2=read d", True, "Batty 2011, §2.5"),
    ("acquire fence only", "fill d=1; x=1 || r1=x; fence.acq; if r1=1: r2=read d", True, "Batty 2011, §2.5"),
    ("never looked", "fill d=1; x=1.rel || r1=x.acq; r2=read d", True, "Batty 2011, §2"),
    ("never reached", "fill d=1 || r1=x; if r1=1: r2=read d", False, "Batty 2011, §2 (in consistent executions)"),
    ("store too early", "x=1.rel; fill d=1 || r1=x.acq; if r1=1: r2=read d", True, "Batty 2011, §2"),
    ("filled again", "fill d=1; x=1.rel; fill d=2 || r1=x.acq; if r1=1: r2=read d", True, "Batty 2011, §2"),
    ("given back", "r1=read d; x=1.rel || r2=x.acq; if r2=1: fill d=1", False, "Batty 2011, §2"),
    ("given back relaxed", "r1=read d; x=1 || r2=x.acq; if r2=1: fill d=1", True, "Batty 2011, §2"),
    ("given back too early", "x=1.rel; r1=read d || r2=x.acq; if r2=1: fill d=1", True, "Batty 2011, §2"),
    ("one of two gives back", "r1=read d; x=1.rel || r3=read d || r2=x.acq; if r2=1: fill d=1", True, "Batty 2011, §2"),
    (
        "both give back",
        "r1=read d; x=1.rel || r3=read d; y=1.rel || r2=x.acq; if r2=1: r4=y.acq; if r4=1: fill d=1",
        False,
        "Batty 2011, §2",
    ),
    (
        "through a third thread",
        "fill d=1; x=1.rel || r1=x.acq; if r1=1: y=1.rel || r2=y.acq; if r2=1: r3=read d",
        False,
        "Batty 2011, §2 (happens-before is transitive)",
    ),
    (
        "through a relaxed third",
        "fill d=1; x=1.rel || r1=x; if r1=1: y=1.rel || r2=y.acq; if r2=1: r3=read d",
        True,
        "Batty 2011, §2",
    ),
    (
        "through a third's fence",
        "fill d=1; x=1.rel || r1=x; fence.acq_rel; if r1=1: y=1 || r2=y.acq; if r2=1: r3=read d",
        False,
        "Batty 2011, §2.5",
    ),
    ("through an exchange", "fill d=1; x=1.rel || r1=xchg(x,2) || r2=x.acq; if r2=2: if r1=1: r3=read d", True, "C++20"),
    (
        "through an exchange of the one before",
        "fill d=1; x=1.rel || r1=x; if r1=1: r4=xchg(x,2) || r2=x.acq; if r2=2: r3=read d",
        False,
        "C++20 (release sequences)",
    ),
    (
        "through a store over it",
        "fill d=1; x=1.rel || r1=x; if r1=1: x=2 || r2=x.acq; if r2=2: r3=read d",
        True,
        "C++20 (release sequences)",
    ),
    ("own store over it", "fill d=1; x=1.rel; x=2 || r2=x.acq; if r2=2: r3=read d", True, "C++20 (release sequences)"),
    (
        "lent by an exchange",
        "fill d=1; r1=xchg(x,1).rel || r2=xchg(x,2).acq; if r2=1: r3=read d",
        False,
        "Batty 2011, §2",
    ),
    ("full fences, both around", "fill d=1; fence.sc; x=1 || r1=x; fence.sc; if r1=1: r2=read d", False, "Batty 2011, §2.5"),
    ("full fences, one too early", "fill d=1; fence.sc; x=1 || fence.sc; r1=x; if r1=1: r2=read d", True, "Batty 2011, §2.5"),
    (
        "full fences, in an order that nobody has read",
        "fill d=1; fence.sc; r1=x; if r1=0: z=1 || x=1; fence.sc; r2=z; if r2=1: r3=read d",
        True,
        "Lahav 2017, §2 (the order of seq_cst fences is no part of happens-before)",
    ),
)
"""Name, threads, whether a run of them races under ``ra``, and the source."""
