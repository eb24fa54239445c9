"""The sentence says who waits for whom, and what has become of those whom it names; stuck is only what cannot end by itself.

The pids are those of :class:`Written`: the writer's is 41, and reader r's 42 + r.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from written import Clock, Written

from ringbuffer import observe as observing
from ringbuffer.observe import Snapshot
from ringbuffer.verdict import is_stuck, ranks_text, verdict, wait_sentence

Scene: TypeAlias = Callable[[Written], None]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "time", Clock)


def played(at: Path, scene: Scene, n_reader: int = 3) -> Snapshot:
    """What is seen of a ring of three blocks in which that has happened."""
    ring = Written(at, n_reader)
    try:
        scene(ring)
        with observing.opened(ring.name, at) as descriptor:
            if not ring.has_name:
                ring.path.unlink()
            return observing.snapshot_of_file(descriptor, ring.name)
    finally:
        ring.close()


def full(ring: Written, **writer: object) -> None:
    """Three messages are published; reader 0 has read all, reader 1 the first two, reader 2 has read none. The writer waits."""
    for sequence, flags in enumerate([(1, 1, 0), (1, 1, 0), (1, 0, 0)]):
        ring.publish(sequence, *flags)
    ring.claimed(-1, position=3, **{"waiting": 3.2, **writer})  # type: ignore[arg-type]
    ring.claimed(0, position=3)
    ring.claimed(1, position=2)


def reader_2(*, gone: bool = False, **fields: object) -> Scene:
    def scene(ring: Written) -> None:
        full(ring)
        ring.claimed(2, **fields)  # type: ignore[arg-type]
        ring.has_name = not gone

    return scene


WAITS = "the writer (pid 41) has waited 3.2 s for block 0 (case 3): not yet read by reader rank 2"
ALL_READ = "reader 0 (pid 42) has waited 2 s for block 0 (case 4), which all have read: the writer has not written it again; it"


@pytest.mark.parametrize(
    ("scene", "says", "stuck"),
    [
        (full, f"{WAITS}, which has not come yet", False),
        (reader_2(), f"{WAITS} (pid 44), which lives and does not wait", False),
        (reader_2(waiting=3), f"{WAITS} (pid 44), which lives and is about to see it; reader 2 waits for the writer", False),
        (
            reader_2(waiting=3, position=1),
            f"{WAITS} (pid 44), which lives and waits for block 1; reader 2 waits for the writer",
            False,
        ),
        (reader_2(lives=False), f"{WAITS} (pid 44), which died; evict(2) lets the writer go on", True),
        (reader_2(lives=False, waiting=9), f"{WAITS} (pid 44), which died; evict(2) lets the writer go on", True),
        (reader_2(left=1.5), f"{WAITS} (pid 44), which left 1.5 s ago; evict(2) lets the writer go on", False),
        (reader_2(left=1.5, gone=True), f"{WAITS} (pid 44), which left 1.5 s ago; evict(2) lets the writer go on", False),
        (
            reader_2(lives=False, evicted_by=41),
            f"{WAITS} (pid 44), which was evicted: the writer (pid 41) reads in its place",
            False,
        ),
    ],
)
def test_sentence_of_a_writer_that_waits(scene: Scene, says: str, stuck: bool, tmp_path: Path) -> None:
    found = played(tmp_path, scene)
    assert (verdict(found), is_stuck(found)) == (says, stuck)
    alone = wait_sentence(found, -1, 0, 3.2)
    assert alone == says.replace(" has waited", f" of ring {found.name} has waited").removesuffix(
        "; reader 2 waits for the writer"
    )


def test_sentence_of_a_writer_that_waits_for_several(tmp_path: Path) -> None:
    """Those are told of first for whom somebody has to do something."""

    def scene(ring: Written) -> None:
        ring.publish(0, 0, 0, 0, 1, 0)
        ring.claimed(-1, position=3, waiting=3.2)
        ring.claimed(0)
        ring.claimed(1, lives=False)
        ring.claimed(2, left=2)
        ring.claimed(3, waiting=1, position=3)

    found = played(tmp_path, scene, 5)
    assert verdict(found) == (
        "the writer (pid 41) has waited 3.2 s for block 0 (case 3): not yet read by reader ranks 0, 1, 2, 4;"
        " reader 1 (pid 43) died; reader 2 (pid 44) left 2 s ago; reader 4 has not come yet; reader 0 (pid 42) lives and does"
        " not wait; evict(1), evict(2) let the writer go on; reader 3 waits for the writer"
    )
    assert is_stuck(found)


def test_of_many_peers_only_some_are_told_of(tmp_path: Path) -> None:
    def scene(ring: Written) -> None:
        ring.publish(0)
        ring.claimed(-1, position=3, waiting=3.2)
        for rank in range(9):
            ring.claimed(rank, lives=rank < 1)

    text = verdict(played(tmp_path, scene, 9))
    assert "reader ranks 0, 1, 2, 3, 4, 5, 6, 7, 8; reader 1 (pid 43) died" in text
    assert "reader 6 (pid 48) died; and 3 more; evict(1), evict(2)" in text
    assert "evict(6) … let the writer go on" in text
    assert "reader 0 (pid" not in text


def reader_waits(writer: Scene = lambda _: None, gone: bool = False) -> Scene:
    """All three messages are read by all; reader 0 waits for the next."""

    def scene(ring: Written) -> None:
        for sequence in range(3):
            ring.publish(sequence, 1, 1, 1)
        for rank in range(3):
            ring.claimed(rank, position=3, waiting=2 - rank if rank < 2 else None)
        writer(ring)
        ring.has_name = not gone

    return scene


TAKE_OVER = "died; another can take over, and goes on behind the last message"


@pytest.mark.parametrize(
    ("scene", "says", "stuck"),
    [
        (reader_waits(), f"{ALL_READ} has not come yet", False),
        (
            reader_waits(lambda ring: ring.claimed(-1, position=3)),
            f"{ALL_READ} (pid 41) lives and has published nothing since",
            False,
        ),
        (reader_waits(lambda ring: ring.claimed(-1, position=3, lives=False)), f"{ALL_READ} (pid 41) {TAKE_OVER}", True),
        (
            reader_waits(lambda ring: ring.claimed(-1, position=3, left=7)),
            f"{ALL_READ} (pid 41) left 7 s ago and may come back",
            False,
        ),
        (
            reader_waits(lambda ring: ring.claimed(-1, position=3, left=7), gone=True),
            f"{ALL_READ} (pid 41) left 7 s ago, and the ring's name is gone: nobody takes its place",
            True,
        ),
    ],
)
def test_sentence_of_readers_that_wait(scene: Scene, says: str, stuck: bool, tmp_path: Path) -> None:
    found = played(tmp_path, scene)
    assert (verdict(found), is_stuck(found)) == (f"{says}; reader 1 waits as well", stuck)


@pytest.mark.parametrize(
    ("waiting", "waits", "and_the_writer"),
    [
        (1.0, "waits", ""),
        (None, "has to wait", "; the writer (pid 41) lives and has published nothing since"),
    ],
)
def test_a_reader_that_waits_for_another_names_it(
    waiting: float | None, waits: str, and_the_writer: str, tmp_path: Path
) -> None:
    """It has read the block, and stands at it again. That the writer waits is said only where it does."""

    def scene(ring: Written) -> None:
        full(ring, waiting=waiting)
        ring.claimed(2, lives=False)

    found = played(tmp_path, scene)
    text = wait_sentence(found, 0, 0, 2.0)
    assert text.endswith(
        f"(case 3), which it has read: the writer {waits} for reader rank 2 (pid 44), which died; evict(2) lets the writer go"
        f" on{and_the_writer}"
    )


def test_a_reader_that_waits_while_both_died_hears_of_both(tmp_path: Path) -> None:
    def scene(ring: Written) -> None:
        ring.publish(0, 1, 0, 0)
        ring.claimed(-1, position=3, lives=False)
        ring.claimed(0, position=3, waiting=2)
        ring.claimed(1)
        ring.claimed(2)

    found = played(tmp_path, scene)
    assert verdict(found).endswith(f"reader 2 (pid 44) lives and does not wait; the writer (pid 41) {TAKE_OVER}")
    assert is_stuck(found)


def nobody(ring: Written) -> None:
    ring.claimed(-1, position=3)
    for rank in range(3):
        ring.claimed(rank, position=3)


def some_unread(ring: Written) -> None:
    full(ring, waiting=None)
    ring.claimed(2)


def some_died(ring: Written) -> None:
    full(ring, waiting=None)
    ring.claimed(2, lives=False)


def all_died(ring: Written) -> None:
    for rank in range(-1, 3):
        ring.claimed(rank, lives=False)


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        (lambda _: None, "nobody has claimed a role yet"),
        (nobody, "nobody waits: all have read everything"),
        (some_unread, "nobody waits: reader 2 (pid 44) has 3 messages to read; reader 1 as well, or fewer"),
        (
            some_died,
            "nobody waits: reader 1 (pid 43) has 1 message to read; reader 2 (pid 44) died; the writer will wait for reader 2:"
            " evict(2) lets the writer go on",
        ),
        (
            all_died,
            "nobody waits: all have read everything; the writer (pid 41) died; reader 0 (pid 42) died; reader 1 (pid 43) died;"
            " reader 2 (pid 44) died; another writer can take over",
        ),
    ],
)
def test_sentence_of_a_ring_in_which_nobody_waits(scene: Scene, says: str, tmp_path: Path) -> None:
    found = played(tmp_path, scene)
    assert (verdict(found), is_stuck(found)) == (says, False)


@pytest.mark.parametrize(
    ("rank", "flags"), [(-1, (0, 0, 1, 0)), (-1, (1, 1, 1, 1)), (0, (1, 0, 0, 0)), (0, (1, 0, 1, 1)), (2, (1, 1, 1, 0))]
)
def test_who_can_go_on_is_not_said_to_wait_for_anybody(rank: int, flags: tuple[int, ...], tmp_path: Path) -> None:
    """The flags may change between the last look and this one; nobody is blamed, however dead."""

    def scene(ring: Written) -> None:
        all_died(ring)
        ring.publish(0, *flags[1:])
        ring.flags(0, *flags)
        ring.claimed(rank, waiting=1)

    found = played(tmp_path, scene)
    assert verdict(found).endswith("), which has become free for it just now")
    assert not is_stuck(found)


def test_damaged_flags_are_shown_to_whoever_waits_for_them(tmp_path: Path) -> None:
    found = played(tmp_path, lambda ring: ring.flags(0, 1, 7, 0, 0))
    assert wait_sentence(found, -1, 0, 0.25, pid=5) == (
        f"the writer (pid 5) of ring {found.name} has waited 0.25 s for block 0, whose flags 01 07 00 00 are damaged: a flag is"
        " 0 or 1"
    )


@pytest.mark.parametrize(
    ("ranks", "text"),
    [((), ""), ((3,), "3"), ((0, 1), "0-1"), ((0, 2, 3, 4, 9), "0, 2-4, 9"), (range(4096), "0-4095")],
)
def test_ranks_as_ranges(ranks: tuple[int, ...], text: str) -> None:
    assert ranks_text(ranks) == text
