"""Victims: killed before any step they leave others whole, and what would not, is noticed."""

from __future__ import annotations

import pytest

from ringbuffer import endpoint
from ringbuffer.checker.claims import CLAIMS
from ringbuffer.checker.kills import MARKS, kill
from ringbuffer.checker.processes import RunFailed
from ringbuffer.endpoint import peers
from ringbuffer.protocol import PROTOCOL, Role, executed
from ringbuffer.victim import PAUSES

BLOCKS, MESSAGES = 1, 2


@pytest.mark.parametrize(("role", "step"), [(Role.WRITER, 7), (Role.READER, 12)])
def test_a_victim_dies_at_the_same_row_every_time(role: Role, step: int) -> None:
    """Each time the others are told, and a successor or an eviction lets them go on, or this raises."""
    first, second = (kill(role, BLOCKS, MESSAGES, step) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.row, first.messages, first.was_evicted) == (second.row, second.messages, second.was_evicted)
    table = PROTOCOL.writer if role is Role.WRITER else PROTOCOL.reader
    assert first.row in {one.row.id for one in executed(table).instructions}


@pytest.mark.parametrize("role", Role)
def test_a_victim_that_is_not_killed_comes_to_its_end(role: Role) -> None:
    assert kill(role, BLOCKS, MESSAGES, 1000) is None


def test_the_rows_that_the_runs_name_are_rows() -> None:
    for role, table in ((Role.WRITER, PROTOCOL.writer), (Role.READER, PROTOCOL.reader)):
        ids = {one.row.id for one in executed(table).instructions}
        assert {MARKS[role], *PAUSES[role]} <= ids


@pytest.mark.parametrize("role", Role)
def test_a_successor_that_goes_on_elsewhere_is_noticed(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """The known-bad twin: the successor goes on one message late."""
    right = peers.resumes_at
    monkeypatch.setattr(endpoint, "resumes_at", lambda buffer, claim: right(buffer, claim) + 1)
    step = 20 if role is Role.WRITER else 14  # a reader at an even step has a successor
    with pytest.raises((RunFailed, ValueError, TimeoutError)):
        kill(role, 2, MESSAGES, step)


def test_the_claim_is_listed_as_measured() -> None:
    (claim,) = (claim for claim in CLAIMS if claim.id == "killed-processes")
    assert claim.method == "measured"
