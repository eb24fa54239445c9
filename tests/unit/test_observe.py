"""A look at a segment: it says what is there, changes nothing, and is not shaken by anything that a file may hold."""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import LONG_SECONDS, SHM, Background, MakeRing, ends_of, in_child
from written import CREATOR_PID, Clock, Written

from ringbuffer import observe as observing
from ringbuffer.errors import SegmentAccessError, SegmentFormatError, SegmentMissingError
from ringbuffer.memory import holding
from ringbuffer.memory.layout import CACHE_LINE_BYTES, HEADER_BYTES, LAYOUT_VERSION, PARTICIPANT, Header, Layout, field_sizes
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.observe import BLOCKS_LOOKED_AT_MAX, Frame, Look, Snapshot, State, look_at, observe, segments
from ringbuffer.protocol import Case
from ringbuffer.verdict import is_stuck, verdict, wait_sentence

Write = Callable[..., Written]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "time", Clock)


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    made: list[Written] = []

    def make(n_reader: int = 3, max_chunks: int = 3, *, name: str = "test") -> Written:
        made.append(Written(tmp_path, n_reader, max_chunks, name=name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def look(written: Written) -> Snapshot:
    return observe(written.name, written.path.parent)


def test_a_new_ring_is_seen_as_it_is(make_ring: MakeRing) -> None:
    ring = make_ring(2, max_chunk_bytes=100, max_chunks=3)
    assert ring.name in segments()
    found = observe(ring.name)
    assert (found.name, found.layout, found.damage, found.has_name) == (ring.name, Layout(2, 100, 3), (), True)
    assert (found.creator_pid, found.identity) == (os.getpid(), ring.segment.header.identity.hex())
    assert [(one.rank, one.position) for one in found.participants] == [(-1, 0), (0, 0), (1, 0)]
    assert [(block.index, block.flags, block.case, block.frame) for block in found.blocks] == [
        (index, bytes(3), Case.UNWRITTEN, None) for index in range(3)
    ]


def test_every_block_is_seen_with_its_case_its_frame_and_who_has_not_read_it(write: Write) -> None:
    ring = write(3, 4)
    ring.publish(4, 1, 1, 1)
    ring.publish(5, 0, 1, 0)
    ring.frame(2, 6, 64, kind=3, part=1, total=200)
    ring.flags(2, 1, 0, 0, 0)
    ring.frame(3, 3)  # what the block held before, or half of what it will hold: nobody may look at it
    ring.flags(3, 0, 1, 1, 1)
    found = look(ring)
    assert [(block.case, block.unread_by, block.frame) for block in found.blocks] == [
        (Case.READ_BY_ALL, (), Frame(4, 5, 1, 3, 5)),
        (Case.PARTLY_READ, (0, 2), Frame(5, 5, 1, 3, 5)),
        (Case.WRITTEN, (0, 1, 2), Frame(6, 64, 3, 1, 200)),
        (Case.UNWRITTEN, (), None),
    ]
    assert [block.frame.kind_name for block in found.blocks if block.frame] == ["pickle", "pickle", "gathered"]
    assert found.damage == ()


def test_every_participant_is_seen_with_what_has_become_of_it(write: Write) -> None:
    ring = write(6, 8)
    ring.claimed(-1, position=11, waiting=3.5)
    ring.awake(-1, 0)
    ring.claimed(0, position=11)
    ring.claimed(1, position=4, waiting=9, lives=False)
    ring.awake(1, 0)  # it was killed in its sleep
    ring.claimed(2, position=9, left=1.25)
    ring.claimed(3, position=3, evicted_by=41)
    ring.hold(ring.layout.participant_offset(4))  # it has its lock, and has not yet written who it is
    ring.claimed(5, position=12, waiting=0)  # it has read what the writer has not noted yet
    found = look(ring)
    assert [(one.state, one.pid, one.position, one.lag) for one in found.participants] == [
        (State.HELD, 41, 11, None),
        (State.HELD, 42, 11, 0),
        (State.DEAD, 43, 4, 7),
        (State.LEFT, 44, 9, 2),
        (State.DEAD, 45, 3, 8),
        (State.HELD, 0, 0, 11),
        (State.HELD, 47, 12, 0),
    ]
    assert [one.waiting_seconds for one in found.participants] == [3.5, None, None, None, None, None, 0]
    assert [one.left_seconds for one in found.participants] == [None, None, None, 1.25, None, None, None]
    assert [one.rank for one in found.participants if one.is_asleep] == [-1]
    assert [one.evicted_by for one in found.participants] == [0, 0, 0, 0, 41, 0, 0]
    assert [found.block_of(rank).index for rank in (-1, 1, 2)] == [3, 4, 1]
    assert found.damage == ("reader 4 is 11 blocks behind in a ring of 8",)


def test_creator_and_name_are_seen_to_go(write: Write) -> None:
    ring = write()
    ring.hold(holding.CREATOR_BYTE)
    with observing.opened(ring.name, ring.path.parent) as descriptor:
        before = observing.snapshot_of_file(descriptor, ring.name)
        ring.let_go(holding.CREATOR_BYTE)
        ring.path.unlink()
        after = observing.snapshot_of_file(descriptor, ring.name)
    assert (before.creator_pid, before.creator_lives, before.has_name) == (CREATOR_PID, True, True)
    assert (after.creator_pid, after.creator_lives, after.has_name) == (CREATOR_PID, False, False)
    with pytest.raises(SegmentMissingError, match=ring.name):
        look(ring)


HOLD = """
import os, sys
from ringbuffer.memory import holding
descriptor = os.open(sys.argv[1], os.O_RDWR)
print(all([holding.hold(descriptor, int(offset)) for offset in sys.argv[2:]]), flush=True)
sys.stdin.read()
"""


def test_a_process_that_is_killed_is_seen_to_be_dead(write: Write) -> None:
    ring = write(1)
    ring.claimed(0, lives=False)
    offset = ring.layout.participant_offset(0)
    command = [sys.executable, "-c", HOLD, str(ring.path), str(offset)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        states = [look(ring).participant(0).state]
        holder.kill()
        holder.wait(LONG_SECONDS)
        states.append(look(ring).participant(0).state)
    assert states == [State.HELD, State.DEAD]


def test_one_who_has_the_segment_mapped_sees_the_same_and_its_own_roles(make_ring: MakeRing) -> None:
    ring = make_ring(2, max_chunks=3)
    layout = ring.segment.layout
    offset = layout.participant_offset(1)
    assert holding.hold(ring.segment.descriptor, offset)
    with ring.segment.whole() as view:
        view[offset : offset + PARTICIPANT.size] = PARTICIPANT.pack(0, 0, 1, 0, os.getpid(), 1, 0)
    look = look_at(ring.segment)
    assert look.participant(1).state is State.HELD
    found = observe(ring.name)
    assert (tuple(map(look.participant, range(-1, 2))), tuple(map(look.block, range(3)))) == (found.participants, found.blocks)
    assert look.block_of(1) is look.block(0), "what was seen, stays as it was seen"
    assert look.has_name
    ring.unlink()
    assert (look.has_name, look_at(ring.segment).has_name) == (True, False)
    before = len([*Path("/proc/self/fd").iterdir()])
    look_at(ring.segment).participant(0)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize("changes", ["frame", "flag", "frame of another lap"])
def test_a_frame_that_changes_while_it_is_looked_at_is_not_shown(changes: str, write: Write) -> None:
    """The writer takes the block between two reads of it; the second read of the frame, or of the flag, is another."""
    ring = write(1, 1)
    ring.publish(0, 1)
    looks = []

    def read(offset: int, size_bytes: int) -> bytes:
        found = ring.path.read_bytes()[offset : offset + size_bytes]
        if offset == ring.layout.block_offset(0):
            looks.append(found)
            if changes == "flag":
                ring.flags(0, 0, 1)
            elif len(looks) == 1:
                ring.frame(0, 1, 5 if changes == "frame of another lap" else 6)
        return found

    block = Look(ring.name, ring.layout, read, lambda _: False, lambda: False).block(0)
    assert (block.is_changing, block.frame, block.damage) == (True, None, "")
    assert len(looks) == (1 if changes == "flag" else 2)


def test_looking_at_a_ring_at_work_disturbs_nobody(make_ring: MakeRing) -> None:
    ring = make_ring(2, max_chunks=3)
    writer, *readers = ends_of(ring)

    def work(number: int) -> None:
        writer.enqueue(number, timeout=LONG_SECONDS)
        for reader in readers:
            assert reader.dequeue(timeout=LONG_SECONDS) == number

    def work_on() -> None:
        for number in range(2_000):
            work(number)

    thread = Background(work_on)
    looks = 0
    while thread.is_alive() or not looks:
        found = observe(ring.name)
        assert all(block.case is not None for block in found.blocks)
        looks += 1
    thread.outcome()


def test_a_look_takes_no_lock_and_writes_nothing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = write()
    ring.publish(0)
    ring.claimed(-1, position=1)
    ring.path.chmod(0o400)
    before = ring.path.read_bytes()
    monkeypatch.setattr(holding, "_set", None)
    look(ring)
    assert ring.path.read_bytes() == before


def test_of_a_long_ring_only_so_many_blocks_are_looked_at(write: Write) -> None:
    ring = write(1, BLOCKS_LOOKED_AT_MAX + 10)
    ring.claimed(-1, position=BLOCKS_LOOKED_AT_MAX + 3)
    assert [block.index for block in look(ring).blocks] == [*range(BLOCKS_LOOKED_AT_MAX), BLOCKS_LOOKED_AT_MAX + 3]
    assert look(ring).block_of(-1).index == BLOCKS_LOOKED_AT_MAX + 3


# What is no ring, and what is a damaged one.


def _another_version(version: int) -> bytes:
    header = Header.of(Layout(1, 64, 1), initial_read_flag=0, creator_pid=1, identity=bytes(16))
    return dataclasses.replace(header, version=version).pack().ljust(4096, b"\0")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "size"),
        (bytes(HEADER_BYTES - 1), "size"),
        (bytes(4096), "magic"),
        (b"\x93NUMPY\1\0".ljust(4096, b"\0"), "magic"),
        (_another_version(LAYOUT_VERSION + 1), "version"),
        (_another_version(LAYOUT_VERSION - 1), "version"),
        (_another_version(LAYOUT_VERSION)[:400], "total_bytes"),
        (_another_version(LAYOUT_VERSION)[:50] + b"x" + _another_version(LAYOUT_VERSION)[51:], "checksum"),
    ],
)
def test_a_file_that_is_no_ring_is_refused_with_the_reason(content: bytes, field: str, tmp_path: Path) -> None:
    (tmp_path / "shm_ring_x").write_bytes(content)
    assert segments(tmp_path) == ["shm_ring_x"]
    with pytest.raises(SegmentFormatError, match="shm_ring_x") as caught:
        observe("shm_ring_x", tmp_path)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/x", "nul\0", "x" * 300, "lone \ud800 surrogate"])
def test_what_cannot_be_a_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises((SegmentFormatError, SegmentMissingError)):
        observe(name, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "symbolic link", "pipe", "link to nowhere"])
def test_what_is_no_plain_file_is_not_even_opened(kind: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = write()
    path = ring.path.with_name("shm_ring_other")
    make: dict[str, Callable[[], None]] = {
        "folder": path.mkdir,
        "symbolic link": lambda: path.symlink_to(ring.path),
        "pipe": lambda: os.mkfifo(path),
        "link to nowhere": lambda: path.symlink_to("/nowhere/at/all"),
    }
    make[kind]()
    monkeypatch.setattr(os, "open", None)
    with pytest.raises(SegmentFormatError, match="no plain file"):
        observe(path.name, path.parent)


def test_a_name_that_vanishes_in_between_is_missing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = write()
    status = os.lstat

    def then_gone(path: bytes) -> os.stat_result:
        found = status(path)
        ring.path.unlink()
        return found

    monkeypatch.setattr(os, "lstat", then_gone)
    with pytest.raises(SegmentMissingError, match=ring.name):
        look(ring)
    assert segments(ring.path / "nowhere") == []


def test_a_file_that_is_cut_short_in_between_is_said_to_be(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = write()
    check = Header.read

    def then_cut(name: str, segment: bytes, size_bytes: int) -> tuple[Header, Layout]:
        found = check(name, segment, size_bytes)
        os.truncate(ring.path, HEADER_BYTES)
        return found

    monkeypatch.setattr(Header, "read", then_cut)
    with pytest.raises(SegmentFormatError, match="cut short") as caught:
        look(ring)
    assert caught.value.field == "size"


def test_a_hole_in_a_file_stays_a_hole(write: Write) -> None:
    ring = write(1, 64)
    header = ring.path.read_bytes()[:HEADER_BYTES]
    os.truncate(ring.path, 0)
    ring.put(0, header)
    os.truncate(ring.path, max(ring.layout.total_bytes, 1 << 30))
    before = ring.path.stat().st_blocks
    assert look(ring).damage == ()
    assert ring.path.stat().st_blocks == before


def test_a_segment_of_another_user_is_said_to_be(make_ring: MakeRing) -> None:
    ring = make_ring()
    if os.geteuid() == 0:

        def call() -> Snapshot:
            os.setuid(65534)
            return observe(ring.name)

        said = in_child(call)
        assert said.startswith(f"SegmentAccessError: [Errno 13] no permission for segment '{ring.name}'")
        assert "the user with number 0, its mode is 600, and this process runs as 65534" in said
    else:
        (SHM / ring.name).chmod(0)
        with pytest.raises(SegmentAccessError, match="its mode is 000"):
            observe(ring.name)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda ring: ring.flags(1, 1, 0, 7, 0), "block 1: the flag of reader 1 is 7, and a flag is 0 or 1"),
        (lambda ring: ring.flags(2, 2, 0, 7, 1), "block 2: the written flag is 2 (2 such flags), and a flag is 0 or 1"),
        (lambda ring: ring.publish(4) or ring.frame(1, 5), "block 1: sequence 5, which belongs into block 2"),
        (lambda ring: ring.publish(4) or ring.frame(1, 4, kind=5), "block 1: frame of kind 5, part 3"),
        (lambda ring: ring.publish(4) or ring.frame(1, 4, part=4), "block 1: frame of kind 1, part 4"),
        (
            lambda ring: ring.publish(4) or ring.frame(1, 4, 65),
            "block 1: frame of 65 bytes in a message of 65 and a block of 64",
        ),
        (lambda ring: ring.publish(4) or ring.frame(1, 4, 9, total=8), "block 1: frame of 9 bytes in a message of 8"),
        (
            lambda ring: ring.publish(4) or ring.frame(1, 4, 5, kind=0),
            "block 1: frame of 5 bytes of a block that was filled in place",
        ),
        (lambda ring: ring.claimed(-1, position=4), "reader 0 is 4 blocks behind in a ring of 3"),
        (lambda ring: ring.claimed(2, waiting=-1), "reader 2 has an entry with a time that has not come yet"),
        (lambda ring: ring.awake(1, 258), "reader 1 has 258 in its word of who is awake"),
        (lambda ring: ring.awake(-1, 2), "the writer has 2 in its word of who is awake"),
    ],
)
def test_what_cannot_be_is_called_damaged(damage: Callable[[Written], None], says: str, write: Write) -> None:
    ring = write()
    assert look(ring).damage == ()
    damage(ring)
    found = look(ring)
    assert found.damage[0].startswith(says)
    assert verdict(found).startswith(f"damaged: {says}")
    assert is_stuck(found)


REGIONS = ("header", "frames", "entries", "participants", "words")


def _region(layout: Layout, name: str) -> tuple[int, int]:
    return {
        "header": (0, HEADER_BYTES),
        "frames": (layout.data_offset, layout.metadata_offset),
        "entries": (layout.metadata_offset, layout.participants_offset),
        "participants": (layout.participants_offset, layout.awake_offset),
        "words": (layout.awake_offset, layout.total_bytes),
    }[name]


damages = st.lists(
    st.tuples(st.sampled_from(REGIONS), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=CACHE_LINE_BYTES)),
    max_size=6,
)


def _damaged(content: bytes, layout: Layout, damage: list[tuple[str, float, bytes]]) -> bytes:
    found = bytearray(content)
    for name, where, data in damage:
        start, end = _region(layout, name)
        at = start + int(where * (end - start))
        found[at : min(end, at + len(data))] = data[: end - at]
    return bytes(found)


@given(damages, st.integers(0, 2))
def test_whatever_the_bytes_are_a_look_says_something(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[str, float, bytes]], cut: int
) -> None:
    """By whoever has the file only, and by whoever has it mapped; and the flags that are no flags are always named."""
    ring = Written(tmp_path_factory.getbasetemp(), name="fuzz")
    try:
        for sequence in range(3, 6):
            ring.publish(sequence, 1, 0, sequence % 2)
        ring.claimed(-1, position=6, waiting=1)
        ring.claimed(0, position=6)
        layout, good = ring.layout, ring.path.read_bytes()
        content = _damaged(good, layout, damage)
        content = content[: len(content) * (4 - cut) // 4]
        ring.put(0, content)
        os.truncate(ring.path, len(content))
        looks = []
        if content[: sum(field_sizes())] == good[: sum(field_sizes())] and not cut:
            looks.append(look(ring))
        else:
            with pytest.raises(SegmentFormatError):
                look(ring)
        mapped = content.ljust(layout.total_bytes, b"\0")
        at_hand = Look(ring.name, layout, lambda start, count: mapped[start : start + count], lambda _: False, lambda: False)
        for rank in range(-1, layout.n_reader):
            assert "has waited 1.5 s for block 2" in wait_sentence(at_hand, rank, 2, 1.5)
        header = Header.of(layout, initial_read_flag=0, creator_pid=1, identity=bytes(16))
        looks.append(at_hand.snapshot(header, creator_lives=False))
        for found in looks:
            assert is_stuck(found) in (True, False)
            assert verdict(found)
            for block in found.blocks:
                assert (block.case is None) == any(flag > 1 for flag in block.flags)
                assert (block.case is None) <= bool(block.damage)
                assert not block.damage or block.damage in found.damage
            for rank in range(-1, layout.n_reader):
                assert f"has waited 1.5 s for block {(rank + 1) % 3}" in wait_sentence(found, rank, (rank + 1) % 3, 1.5)
    finally:
        ring.close()
        ring.path.unlink()


# What attaching, which is to write there, makes of the same.


@pytest.fixture(scope="module")
def in_shm() -> Iterator[Path]:
    """A file where segments live, of any content."""
    path = SHM / f"{NAME_PREFIX}attach_{os.getpid()}"
    path.touch(mode=0o600)
    yield path
    path.unlink()


@given(damages, st.sampled_from([0, 1, HEADER_BYTES - 1, HEADER_BYTES, mmap.PAGESIZE, None]))
def test_attaching_to_any_bytes_is_a_ring_or_an_error_that_says_why(
    in_shm: Path, damage: list[tuple[str, float, bytes]], size_bytes: int | None
) -> None:
    layout = Layout(2, 64, 3)
    header = Header.of(layout, initial_read_flag=0, creator_pid=1, identity=bytes(16)).pack()
    content = _damaged(header.ljust(layout.total_bytes, b"\0"), layout, damage)[:size_bytes]
    with in_shm.open("wb") as file:
        file.write(content)
    whole = content[: len(header)] == header and len(content) == layout.total_bytes
    segment = None
    with contextlib.nullcontext() if whole else pytest.raises(SegmentFormatError, match=in_shm.name):
        segment = Segment.attach(in_shm.name)
    if segment is not None:
        assert segment.layout == layout
        segment.close()
    assert in_shm.read_bytes() == content


@given(st.integers(0, len(Header.__slots__) - 1), st.binary(min_size=16, max_size=16))
def test_attaching_to_a_header_that_lies_but_is_sealed_is_an_error_that_says_why(in_shm: Path, which: int, data: bytes) -> None:
    """The checksum is right, so that each field has to be judged by itself. Nothing absurd is mapped or reserved."""
    layout = Layout(2, 64, 3)
    true = Header.of(layout, initial_read_flag=0, creator_pid=1, identity=bytes(16)).pack()
    sizes = field_sizes()
    start = sum(sizes[:which])
    lying = true[:start] + data[: sizes[which]] + true[start + sizes[which] : -sizes[-1]]
    in_shm.write_bytes((lying + struct.pack("<I", zlib.crc32(lying))).ljust(layout.total_bytes, b"\0"))
    name = Header.__slots__[which]
    accepted = name in ("identity", "creator_pid") or (name == "initial_read_flag" and data[:4] == b"\1\0\0\0")
    if accepted or lying == true[: -sizes[-1]]:
        Segment.attach(in_shm.name).close()
    else:
        with pytest.raises(SegmentFormatError, match=in_shm.name):
            Segment.attach(in_shm.name)
