"""The rows of sleeping and waking: how they stand behind and beside a table's, and what their edits make of them."""

from __future__ import annotations

import zlib

import pytest

from ringbuffer.errors import TokenError, VariantError
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Edge, Kind, Ordering, Variant, Waking, executed, with_waking
from ringbuffer.protocol.waking import KERNELS, SLEEPERS, SLEEPING, WAKING, concerns_waking
from ringbuffer.simulator import Setup, Simulation
from ringbuffer.trace.token import Token

WRITER, READER = PROTOCOL.programs


def ids(waking: Waking) -> tuple[str, str]:
    """The rows of the writer and of a reader behind those of their tables."""
    programs = ((one, with_waking(one, waking)) for one in (WRITER, READER))
    writer, reader = (" ".join(one.row.id for one in full.instructions[len(table) :]) for table, full in programs)
    return writer, reader


EDITED = [
    ("", "K1 K2 K3 K4 S1 S2 S3.W1 S3.W2 S4 S5 S5", "K1 K2 K3 K4 S1 S2 S3.R1 S3.R2 S4 S5 S5"),
    ("without=S3", "K1 K2 K3 K4 S1 S2 S4 S5 S5", "K1 K2 K3 K4 S1 S2 S4 S5 S5"),
    ("move=S3,S1", "K1 K2 K3 K4 S3.W1 S3.W2 S1 S2 S4 S5 S5", "K1 K2 K3 K4 S3.R1 S3.R2 S1 S2 S4 S5 S5"),
    ("move=K4,K2", "K1 K4 K2 K3 S1 S2 S3.W1 S3.W2 S4 S5 S5", "K1 K4 K2 K3 S1 S2 S3.R1 S3.R2 S4 S5 S5"),
    ("swap=K3,K4 without=K1", "K2 K4 K3 S1 S2 S3.W1 S3.W2 S4 S5 S5", "K2 K4 K3 S1 S2 S3.R1 S3.R2 S4 S5 S5"),
    ("without=S2 lock-before=S4", "K1 K2 K3 K4 S1 S4L S4U S3.W1 S3.W2 S4 S5 S5", "K1 K2 K3 K4 S1 S4L S4U S3.R1 S3.R2 S4 S5 S5"),
    ("sleepers=readers", "K1 K2 K3 K4", "S1 S2 S3.R1 S3.R2 S4 S5 S5"),
    ("sleepers=writer", "S1 S2 S3.W1 S3.W2 S4 S5 S5", "K1 K2 K3 K4"),
]


@pytest.mark.parametrize(("edits", "writer", "reader"), EDITED)
def test_the_rows_stand_in_this_order(edits: str, writer: str, reader: str) -> None:
    waking = Waking.parse(*edits.split())
    assert ids(waking) == (writer, reader)
    assert str(waking) == (edits or "shipped")


def test_where_the_rows_lead() -> None:
    program = with_waking(READER)
    at = {one.row.id: one for one in reversed(program.instructions)}

    def leads(row: str) -> list[str]:
        return [program[branch.pc].row.id for _, branch in at[row].branches]

    assert (leads("R1"), leads("R2"), leads("R4")) == (["R2", "S1"], ["R3", "S1"], ["K1"])
    assert (leads("K2"), leads("K4"), leads("S4"), leads("S5")) == (["R1", "K3"], ["R1"], ["S5"], ["R1"])
    assert (leads("S3.R1"), leads("S3.R2")) == (["S3.R2", "S4"], ["S5", "S4"])
    last = program.instructions[-1]
    assert (last.row.id, program[last.branches[0][1].pc].row.id) == ("S5", "R3"), "who finds its block goes on to use it"


ALL_EDITS = [
    *(f"without={row}" for row in ("S1", "S2", "S3", "S4", "S5", "K1", "K2", "K3", "K4")),
    *(f"move=S3,{row}" for row in ("S1", "S2", "S4", "S5")),
    *(f"lock-before={row}" for row in ("S1", "K4")),
    *(f"order={row}" for row in ("S1,release", "S2,acq-rel", "K2,acquire")),
    *(f"sleepers={name}" for name in SLEEPERS),
    *(f"kernel={name}" for name in KERNELS),
    "word=shared",
]


def test_edited_rows_lead_to_rows_that_are_there() -> None:
    """All pairs, and everything dropped: no branch leads behind the end, and what is over leads home."""
    dropped = ALL_EDITS[:9]
    for edits in [
        *((one, two) for one in ALL_EDITS for two in ALL_EDITS),
        tuple(dropped),
        tuple(dropped[:5]),
        tuple(dropped[5:]),
    ]:
        try:
            waking = Waking.parse(*edits)
        except VariantError:
            continue
        assert Waking.parse(*map(str, waking.edits)) == waking
        assert all(map(concerns_waking, edits))
        for table in (WRITER, READER):
            program = with_waking(table, waking)
            for one in program.instructions:
                for _, branch in one.branches:
                    assert branch.pc < len(program), (edits, one.row.id)
                    assert (branch.edge is not Edge.RETURNED) or branch.pc == 0
    assert ids(Waking.parse(*dropped)) == ("", "")


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ("without=K9", "no row 'K9'"),
        ("swap=S1,K1", "not two rows of one side"),
        ("move=K1,K1", "not two rows of one side"),
        ("order=S4,release", "S4 .sleep. cannot be 'release'; it has no ordering"),
        ("order=K1,relaxed", "it can be acquire, release, acq-rel, seq-cst"),
        ("kernel=kind", "the kernels are uncompared, wakes-one, spurious"),
        ("word=private", "it can be shared"),
        ("sleepers=cats", "they can be all, readers, writer, one"),
        ("flip=K2", "cannot be edited by 'flip=K2'"),
        ("swap=K2", "takes 2 arguments"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(edits: str, why: str) -> None:
    with pytest.raises(VariantError, match=why):
        Waking.parse(edits)


def test_an_ordering_is_that_of_the_row_and_of_no_other() -> None:
    weak = Waking().ordered("K1", "acq_rel")
    assert (repr(weak), weak.row("K1").access.ordering) == ("<Waking order=K1,acq-rel>", Ordering.ACQ_REL)
    changed = [(one, other) for one, other in zip(WAKING, weak.waking, strict=True) if one != other]
    assert [one.id for one, _ in changed] == ["K1"]
    assert weak.sleeping == SLEEPING


def test_what_the_kernel_is_asked() -> None:
    asked = [str(Waking().row(row).access) for row in ("S1", "S4", "K2", "K4")]
    assert asked == ["store awake[me] ← 0", "sleep while awake[me] = 0", "load awake[*]", "wake awake[*]"]


def test_what_endpoints_run_sleeps_where_it_can() -> None:
    assert "S4" in [one.row.id for one in executed(PROTOCOL.writer).instructions]
    assert "S4" not in [one.row.id for one in executed(PROTOCOL.writer, Waking().for_sleepers("readers")).instructions]
    assert "S4" not in [one.row.id for one in executed(ORIGINAL.writer).instructions]
    assert "N1" in [one.row.id for one in executed(ORIGINAL.writer).instructions]


def test_the_edits_of_the_tables_are_not_taken_for_these() -> None:
    for edit in ("without=W3", "swap=R1,R2", "lock-before=W1", "policy=scan", "order=R1,relaxed"):
        assert not concerns_waking(edit)
        Variant.parse(edit)


def test_who_scans_cannot_sleep_on_one_block() -> None:
    with pytest.raises(VariantError, match="cannot sleep on one"):
        Setup(ORIGINAL, waking=Waking())


# Tokens.


def token_of(edits: str) -> str:
    simulation = Simulation(Setup(PROTOCOL.without("W3"), waking=Waking.parse(*edits.split()), readers=1, blocks=1))
    simulation.run(3, 25)
    return simulation.token()


@pytest.mark.parametrize("edits", ["", "without=K1 lock-before=K2", "kernel=spurious", "word=shared sleepers=readers"])
def test_a_token_carries_the_rows_of_sleeping(edits: str) -> None:
    token = token_of(edits)
    again = Simulation.replay(token)
    assert again.token() == token
    assert again.setup.waking == Waking.parse(*edits.split())
    assert again.setup.variant == PROTOCOL.without("W3")
    assert any(step.row[0] in "SK" for step in again.steps)
    assert any(step.kind == Kind.SLEEP.value for step in again.steps)


def test_a_token_of_other_rows_of_sleeping_is_refused() -> None:
    def forged(old: str, new: str) -> str:
        text = token_of("").rpartition(".")[0].replace(old, new)
        return f"{text}.{zlib.crc32(text.encode()):08x}"

    assert str(Token.parse(forged("", ""))) == token_of("")
    for old, new in (("kns1sc", "knsc"), ("without=W3", "without=W3_without=K1")):
        with pytest.raises(TokenError, match="other tables"):
            Token.parse(forged(old, new))
    with pytest.raises(TokenError, match="do not apply"):
        Token.parse(forged("without=W3", "without=W3_swap=S1,K1"))
    with pytest.raises(TokenError, match="do not apply"):
        Token.parse(forged("without=W3", "policy=scan"))
