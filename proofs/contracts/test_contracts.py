"""The contracts of the pure functions: what is listed as confirmed is, and every known-bad twin is refuted.

The laws stand beside this file, as links to the modules of the package, so that ``crosshair check proofs`` finds them. What
CrossHair leaves open is tried here in other ways, or by the test that the list of laws names.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringbuffer.checker.claim import Claim, Scope
from ringbuffer.checker.contracts import contracts, counts, findings, judged
from ringbuffer.errors import GeometryError, MissingExtraError
from ringbuffer.memory.layout import BLOCKS_MAX, CHUNK_BYTES_MAX, READERS_MAX, TOTAL_BYTES_MAX, Layout
from ringbuffer.proof.contracts import cases, frames, layout, steps, twins
from ringbuffer.proof.contracts.laws import LAWS, Law
from ringbuffer.proof.contracts.run import (
    CONFIRMED,
    NOT_CONFIRMED,
    REFUTED,
    SHIPPED,
    SHIPPED_QUESTIONS,
    TWIN_QUESTIONS,
    Finding,
    verdict_of,
)
from ringbuffer.protocol.cases import classify

ROOT = Path(__file__).parents[2]
MODULES = (cases, steps, layout, frames)
CLAIM = Claim("contracts", "the pure functions keep their contracts", "proved", contracts)


@pytest.fixture(scope="module")
def shipped() -> list[Finding]:
    return list(findings(SHIPPED_QUESTIONS))


@pytest.fixture(scope="module")
def broken() -> list[Finding]:
    return list(findings(TWIN_QUESTIONS))


def laws_in(module: ModuleType) -> set[str]:
    """The names of the functions that have a condition to meet."""
    return {name for name, one in inspect.getmembers(module, inspect.isfunction) if "post:" in (one.__doc__ or "")}


def test_every_law_that_is_listed_as_confirmed_is_confirmed(shipped: list[Finding]) -> None:
    assert [finding.name for finding in shipped] == [law.name for law in LAWS]
    assert [finding for finding in shipped if finding.verdict != CONFIRMED and not finding.law.is_open] == []
    assert [finding for finding in shipped if finding.verdict == REFUTED] == []


def test_the_claim_says_which_laws_are_open_and_what_tests_them(shipped: list[Finding]) -> None:
    status, note, counterexample = judged(shipped)
    left = [finding.law for finding in shipped if finding.verdict != CONFIRMED]
    assert (status, counterexample) == ("holds", None)
    tested = "; ".join(f"{law.module}.{law.name} (by {law.tested_by})" for law in left)
    assert note == f"open, and tested otherwise: {tested}"
    told = f"{len(LAWS)} contracts, {len(LAWS) - len(left)} confirmed over all paths, {len(left)} tested otherwise"
    assert counts(shipped) == told


def test_every_twin_is_refuted(broken: list[Finding]) -> None:
    assert [(finding.name, finding.twin) for finding in broken] == list(TWIN_QUESTIONS)
    assert [finding for finding in broken if finding.verdict != REFUTED] == []
    assert all(f"false when calling {finding.name}(" in finding.message for finding in broken)


def test_the_claim_is_refuted_for_a_twin_and_shows_how(shipped: list[Finding], broken: list[Finding]) -> None:
    status, note, counterexample = judged([*shipped[1:], broken[0]])
    assert status == "refuted"
    assert note == "refuted: cases.the_case_is_that_of_the_table"
    assert counterexample == f"cases.the_case_is_that_of_the_table: {broken[0].message}"


def test_the_claim_is_unknown_when_a_law_is_no_longer_confirmed(shipped: list[Finding]) -> None:
    lost = Finding(shipped[0].name, SHIPPED, NOT_CONFIRMED, "Not confirmed.", 0.0)
    found = [lost, *shipped[1:]]
    assert judged(found) == ("unknown", f"no longer confirmed: cases.{lost.name}", None)
    assert counts(found).endswith(" tested otherwise, 1 neither")


def test_the_claim_is_a_row_like_the_others(shipped: list[Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("ringbuffer.checker.contracts.findings", lambda _: iter(shipped))
    verdict = contracts(CLAIM, Scope(), told.append)
    assert (verdict.status, verdict.method, verdict.states) == ("holds", "proved", None)
    assert verdict.bound.startswith(counts(shipped))
    assert len(told) == len(LAWS)


def test_without_crosshair_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crosshair", None)
    with pytest.raises(MissingExtraError, match=r"the claim contracts needs the extra 'check'"):
        contracts(CLAIM, Scope(), lambda _: None)


def test_nothing_of_crosshair_is_left_in_the_process_that_asks(shipped: list[Finding], broken: list[Finding]) -> None:
    assert shipped
    assert broken
    assert "crosshair" not in sys.modules
    assert vars(cases)["classify"] is classify


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_law_is_on_the_list_and_in_the_reach_of_crosshair_check(module: ModuleType) -> None:
    assert laws_in(module) == {law.name for law in LAWS if law.function.__module__ == module.__name__} != set()
    assert module.__file__ is not None
    beside = Path(__file__).parent / Path(module.__file__).name
    assert beside.read_text(encoding="utf-8") == Path(module.__file__).read_text(encoding="utf-8")


def test_no_twin_has_conditions_of_its_own() -> None:
    assert laws_in(twins) == set()


def test_no_two_laws_have_one_name_and_every_law_has_a_twin() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS)
    assert all(law.twins and law.statement.endswith(".") for law in LAWS)
    assert all(hasattr(sys.modules[law.function.__module__], twin.name) for law in LAWS for twin in law.twins)


@pytest.mark.parametrize("law", [law for law in LAWS if law.is_open], ids=lambda law: law.name)
def test_an_open_law_names_a_test_that_there_is(law: Law) -> None:
    path, _, name = law.tested_by.partition("::")
    assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ([], NOT_CONFIRMED),
        (["CONFIRMED"], CONFIRMED),
        (["CONFIRMED", "CONFIRMED"], CONFIRMED),
        (["CONFIRMED", "CANNOT_CONFIRM"], NOT_CONFIRMED),
        (["PRE_UNSAT"], NOT_CONFIRMED),
        (["CONFIRMED", "POST_FAIL"], REFUTED),
        (["EXEC_ERR"], REFUTED),
        (["POST_ERR"], REFUTED),
        (["SYNTAX_ERR"], REFUTED),
    ],
)
def test_only_conditions_that_are_all_confirmed_confirm_a_law(states: list[str], verdict: str) -> None:
    """A law that has lost its condition, or that asks for arguments that there are not, is not mistaken for one that holds."""
    assert verdict_of(states) == verdict


# What CrossHair leaves open


def test_every_byte_in_every_place_is_a_flag_or_refused() -> None:
    """Every value of a byte, in every place, beside every combination of flags, in entries of up to three readers."""
    for readers in range(4):
        for place, byte, flags in itertools.product(
            range(1 + readers), range(cases.BYTE_VALUES), itertools.product((0, 1), repeat=readers)
        ):
            entry = (*flags[:place], byte, *flags[place:])
            if byte in (0, 1):
                classify(entry)
            else:
                with pytest.raises(ValueError, match=f"flag byte {place} is {byte}"):
                    classify(entry)


def around(least: int, most: int) -> st.SearchStrategy[int]:
    """Whole numbers on both sides of both bounds, near them and far away."""
    return st.integers() | st.integers(least - 2, least + 2) | st.integers(most - 2, most + 2) | st.integers(least, most)


@given(around(0, READERS_MAX), around(1, CHUNK_BYTES_MAX), around(1, BLOCKS_MAX))
@example(0, 1, 1)
@example(READERS_MAX + 1, 1, 1)
@example(-1, 1, 1)
@example(0, 0, 1)
@example(0, CHUNK_BYTES_MAX + 1, 1)
@example(0, 1, 0)
@example(0, 1, BLOCKS_MAX + 1)
@example(0, CHUNK_BYTES_MAX, BLOCKS_MAX)
@example(0, TOTAL_BYTES_MAX // BLOCKS_MAX, BLOCKS_MAX)
def test_a_geometry_passes_exactly_if_it_is_within_the_bounds(readers: int, chunk_bytes: int, blocks: int) -> None:
    within = 0 <= readers <= READERS_MAX and 1 <= chunk_bytes <= CHUNK_BYTES_MAX and 1 <= blocks <= BLOCKS_MAX
    within = within and layout.unchecked(readers, chunk_bytes, blocks).total_bytes <= TOTAL_BYTES_MAX
    try:
        Layout(readers, chunk_bytes, blocks)
    except GeometryError:
        assert not within
    else:
        assert within
