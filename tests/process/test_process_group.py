"""``create_from_process_group`` between real processes: who gets which end, what arrives, and that a failure is everybody's.

All scenarios of ``group_workers.py`` run in one world of four processes, and the one in which a process dies in another.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch.distributed as dist
from group_workers import DIED, LAST_SCENARIOS, MESSAGES, SCENARIOS, Outcome, World, run_world

from ringbuffer import create_from_process_group, distributed
from ringbuffer.errors import (
    GeometryError,
    GroupError,
    RankError,
    RingBufferError,
    SegmentSpaceError,
    UnsupportedPlatformError,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return run_world(tmp_path_factory.mktemp("world"), 4, tuple(SCENARIOS))


@pytest.fixture(scope="module")
def last_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return run_world(tmp_path_factory.mktemp("last_world"), 3, tuple(LAST_SCENARIOS))


def ended(world: World, scenario: str) -> list[Outcome]:
    """The outcomes of all four ranks."""
    outcomes = world.outcomes(scenario)
    assert len(outcomes) == 4, f"{scenario}: {len(outcomes)} of 4 ranks got there; exit codes {world.exit_codes}"
    assert [outcome.left_behind for outcome in outcomes] == [()] * 4
    return outcomes


def errors(world: World, scenario: str) -> list[RingBufferError]:
    """The errors of all four ranks: all of them raised."""
    found = [outcome.error for outcome in ended(world, scenario)]
    assert None not in found
    return found  # type: ignore[return-value]


def check_delivery(outcomes: list[Outcome], reader_ranks: list[int], count: int) -> None:
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    seen = [outcome.value for outcome in outcomes]
    assert [one.reader_rank for one in seen] == reader_ranks
    assert [(one.right, one.first_wrong) for one in seen] == [(count, None)] * len(seen)
    assert {one.name for one in seen} == {seen[0].name}
    assert {one.n_reader for one in seen} == {len(seen) - 1}
    assert all(one.closed for one in seen), "closing the endpoint closes its ring"


def check_one_failed(found: list[RingBufferError], rank: int, kind: type[BaseException], quoted: str) -> None:
    """``rank`` raised its own error, and the others one that names the rank and quotes the error."""
    assert [type(error) for error in found] == [kind if other == rank else GroupError for other in range(4)]
    for other, error in enumerate(found):
        assert quoted in str(error)
        assert other == rank or f"rank {rank} (global rank {rank}): {kind.__name__}: " in str(error)


def test_all_processes_end_by_themselves(world: World) -> None:
    assert world.exit_codes == (0, 0, 0, 0)


def test_nothing_is_left_behind(world: World, last_world: World) -> None:
    assert world.left_behind == ()
    assert last_world.left_behind == ()


@pytest.mark.parametrize(
    ("scenario", "reader_ranks", "count"),
    [
        ("writer 0", [-1, 0, 1, 2], MESSAGES),
        ("writer 2", [0, 1, -1, 2], MESSAGES),
        ("other container", [-1, 0, 1, 2], 50),
        ("afterwards", [0, 1, 2, -1], 200),
    ],
)
def test_every_rank_gets_every_message(world: World, scenario: str, reader_ranks: list[int], count: int) -> None:
    check_delivery(ended(world, scenario), reader_ranks, count)


def test_writer_rank_counts_inside_a_sub_group(world: World) -> None:
    outcomes = ended(world, "sub-group")
    check_delivery([outcomes[1], outcomes[3]], [0, -1], MESSAGES)
    for rank in (0, 2):
        assert isinstance(outcomes[rank].error, GroupError)
        assert f"global rank {rank}, " in str(outcomes[rank].error)
        assert "is not in the group" in str(outcomes[rank].error)


def test_a_group_of_one_gets_its_object_back(world: World) -> None:
    outcomes = ended(world, "group of one")
    assert [outcome.error for outcome in outcomes] == [None] * 4
    delivery, returned = outcomes[3].value
    check_delivery([Outcome(delivery, None, ())], [-1], 50)
    assert returned


def test_only_closing_the_writer_removes_the_name(world: World) -> None:
    assert [outcome.value for outcome in ended(world, "closing")] == [(True, False, False)] * 4


@pytest.mark.parametrize("writer_rank", ["4", "-1", "True"])
def test_a_bad_writer_rank_is_refused_on_every_rank(world: World, writer_rank: str) -> None:
    for error in errors(world, f"writer_rank {writer_rank}"):
        assert type(error) is RankError
        assert f"writer_rank is {writer_rank}, and a group of 4 has the ranks 0 to 3" in str(error)


def test_different_arguments_are_refused_on_every_rank(world: World) -> None:
    found = errors(world, "different calls")
    assert {type(error) for error in found} == {GroupError}
    assert len({str(error) for error in found}) == 1
    for rank in range(4):
        asked = f"rank {rank} (global rank {rank}): max_chunk_bytes=4096, max_chunks=3, writer_rank={rank // 2}"
        assert asked in str(found[0])


@pytest.mark.parametrize(
    ("scenario", "writer_rank", "others", "named"),
    [("other kernel", 1, {2}, "host far (boot other, "), ("other shared memory", 2, {0, 1, 3}, "device 0x1 inode 1")],
)
def test_a_group_on_two_machines_is_refused_on_every_rank(
    world: World, scenario: str, writer_rank: int, others: set[int], named: str
) -> None:
    found = errors(world, scenario)
    assert {type(error) for error in found} == {GroupError}
    assert len({str(error) for error in found}) == 1
    writer, elsewhere = str(found[0]).split(", and elsewhere are ")
    assert f"the writer, rank {writer_rank} (global rank {writer_rank}), is on host " in writer
    assert {rank for rank in range(4) if f"rank {rank} (global rank {rank}) on host " in elsewhere} == others
    assert named in (writer if writer_rank == 2 else elsewhere)


def test_what_the_writer_cannot_create_fails_on_every_rank(world: World) -> None:
    check_one_failed(errors(world, "too large"), 3, SegmentSpaceError, "no room in shared memory for a ring of ")
    check_one_failed(errors(world, "no blocks"), 1, GeometryError, "max_chunks is 0")


def test_a_reader_that_cannot_attach_fails_on_every_rank(world: World) -> None:
    check_one_failed(errors(world, "cannot attach"), 1, PermissionError, "planted")


def test_an_interrupted_reader_fails_on_every_rank(world: World) -> None:
    check_one_failed(errors(world, "interrupted"), 3, KeyboardInterrupt, "planted")


def test_a_rank_without_endpoint_fails_on_every_rank(world: World) -> None:
    check_one_failed(errors(world, "no writer"), 0, UnsupportedPlatformError, "planted")
    check_one_failed(errors(world, "no reader"), 3, UnsupportedPlatformError, "planted")


def test_a_rank_that_dies_leaves_nobody_waiting_and_nothing_behind(last_world: World) -> None:
    assert last_world.exit_codes == (0, 0, DIED)
    outcomes = last_world.outcomes("dies")
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert isinstance(outcome.error, RuntimeError), "what torch says of it"
        assert outcome.left_behind == ()


def test_without_a_process_group() -> None:
    with pytest.raises(GroupError, match="init_process_group"):
        create_from_process_group(None, 64, 1)


def test_with_a_torch_that_has_no_process_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_available", lambda: False)
    with pytest.raises(GroupError, match=r"built without torch\.distributed"):
        create_from_process_group(None, 64, 1)


def test_a_machine_that_tells_nothing_is_known_by_its_host_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(distributed, "BOOT_ID", tmp_path / "no boot id")
    monkeypatch.setattr(distributed, "SHARED_MEMORY", tmp_path / "no shared memory")
    here = distributed._machine()
    assert (here.host, here.kernel, here.shared_memory) == (platform.node(), f"of {platform.node()}", "not found")
