"""What endpoints write down of themselves is what they did, whoever makes the accesses, and however they end."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import needs_extension, needs_total_store_order

from ringbuffer import ShmRingBuffer, ShmRingBufferIO, interpreted
from ringbuffer.checker.recordings import record_and_validate
from ringbuffer.compiled import ENDED, WAIT
from ringbuffer.errors import TraceFileError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE, PYTHON, chosen
from ringbuffer.memory.backend import VARIABLE as BACKEND
from ringbuffer.protocol import PROTOCOL, executed
from ringbuffer.recording import VARIABLE
from ringbuffer.trace import recording as form
from ringbuffer.trace.recording import CLOSED, HEAD_BYTES, OPEN, RECORD_BYTES, STOOD_IN, STOPPED, Recording
from ringbuffer.validate import validate
from ringbuffer.validate.judge import IMPOSSIBLE, POSSIBLE, UNDECIDED
from ringbuffer.waiting import WaitOptions


def rows_of(one: Recording) -> list[str]:
    return [one.head.rows[record.row] for record in one]


def use(folder: Path) -> list[Recording]:
    """All kinds of calls, in one process, one after the other."""
    with ShmRingBuffer(2, 64, 2) as ring:
        ends = [ShmRingBufferIO(ring, rank, record=folder / f"{rank}", waiting=WaitOptions(0, 0.0)) for rank in range(-1, 2)]
        writer, first, second = ends
        writer.enqueue({"a": 1})
        assert first.dequeue() == {"a": 1}
        with pytest.raises(KeyError), writer.acquire_write() as block:
            block[:3] = b"abc"
            raise KeyError
        writer.send_bytes(b"bytes")
        with pytest.raises(WaitTimeoutError):
            writer.send_bytes(b"too many", timeout=0)
        assert writer._runner.rest(0.0) == ENDED
        assert second.dequeue() == {"a": 1}
        with pytest.raises(KeyError), first.acquire_read() as block:
            raise KeyError
        assert (first.recv_bytes(), second.recv_bytes()) == (b"bytes", b"bytes")
        writer.send_bytes(b"x" * 64)
        with first.read() as message:
            assert bytes(message) == b"x" * 64
        for end in ends:
            end.close()
    return [Recording.read(folder / f"{rank}") for rank in range(-1, 2)]


def test_every_access_is_there_and_the_run_is_possible(backend: str, tmp_path: Path) -> None:
    writer, first, second = run = use(tmp_path)
    verdict = validate(run)
    assert (verdict.status, verdict.messages, verdict.branchings) == (POSSIBLE, 3, 0), verdict
    assert rows_of(writer)[:12] == ["W1", "W3", "W4", "W5", "W5", "W6", "N1", "K1", "K2", "K2", "W1", "W3"]
    fills = [record for record in writer if writer.head.rows[record.row] == "W4"]
    assert [record.detail for record in fills] == [0, 1, 0, 0]
    assert "S1" in rows_of(writer)
    assert rows_of(first).count("R4") == 3
    assert rows_of(second).count("R4") == 2
    assert [one.status for one in run] == [CLOSED] * 3
    assert writer.head.tables == "shipped"
    assert writer.head.by.endswith(f"({backend})")
    assert writer.head.rows == tuple(one.row.id for one in executed(PROTOCOL.writer).instructions)


@needs_extension
@needs_total_store_order
def test_both_backends_record_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody waits, and blocks are used in place: the short cuts for small messages are the extension's alone."""
    runs = []
    for name in (NATIVE, PYTHON):
        monkeypatch.setenv(BACKEND, name)
        with ShmRingBuffer(2, 64, 2) as ring:
            ends = [ShmRingBufferIO(ring, rank, record=tmp_path / f"{name}{rank}") for rank in range(-1, 2)]
            for number in range(5):
                with ends[0].acquire_write() as block:
                    block[:] = bytes([number]) * 64
                for end in ends[1:]:
                    with end.acquire_read():
                        pass
            assert ends[1]._runner.begin() == ends[2]._runner.begin() == WAIT
            assert [end._runner.rest(0.0) for end in ends[1:]] == [ENDED] * 2
            with ends[0].acquire_write(), pytest.raises(WaitTimeoutError), ends[1].acquire_read(timeout=0):
                pass
            for end in ends:
                end.close()
        runs.append([Recording.read(tmp_path / f"{name}{rank}") for rank in range(-1, 2)])
    for native, python in zip(*runs, strict=True):
        assert list(native) == list(python)
        assert rows_of(native) == rows_of(python)


@needs_extension
@needs_total_store_order
def test_ends_of_both_backends_agree_on_digests_of_all_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ShmRingBuffer(1, 64, 2) as ring:
        writer = ShmRingBufferIO(ring, -1, record=tmp_path / "w")
        monkeypatch.setenv(BACKEND, PYTHON)
        reader = ShmRingBufferIO(ring, 0, record=tmp_path / "r")
        for length in range(64):
            writer.send_bytes(os.urandom(length))
            assert len(reader.recv_bytes()) == length
    assert validate(map(Recording.read, tmp_path.iterdir())).status == POSSIBLE


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with ShmRingBuffer(1, 64, 2) as ring, ShmRingBufferIO(ring, -1) as writer:
        writer.enqueue(1)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_asks_and_every_holder_has_a_file(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del backend
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with ShmRingBuffer(1, 64, 2) as ring:
        for number in range(3):
            with ShmRingBufferIO(ring, -1) as writer, ShmRingBufferIO(ring, 0) as reader:
                writer.enqueue(number)
                assert reader.dequeue() == number
    assert len(list(tmp_path.iterdir())) == 6
    recordings = [Recording.read(path) for path in tmp_path.iterdir()]
    assert sorted(one.head.start for one in recordings) == [0, 0, 1, 1, 2, 2]
    assert validate(recordings).status == POSSIBLE
    left_out = [one for one in recordings if one.head.who != "reader 0 (holder 2)"]
    assert validate(left_out).status == UNDECIDED


def test_nothing_is_overwritten_and_nothing_left_behind(backend: str, tmp_path: Path) -> None:
    del backend
    there = tmp_path / "there"
    there.write_bytes(b"mine")
    with ShmRingBuffer(1, 64, 2) as ring:
        with pytest.raises(TraceFileError, match="there cannot be made, to record into: File exists"):
            ShmRingBufferIO(ring, -1, record=there)
        with pytest.raises(TraceFileError, match="No such file"):
            ShmRingBufferIO(ring, -1, record=tmp_path / "no" / "folder")
        assert there.read_bytes() == b"mine"
        with ShmRingBufferIO(ring, -1) as writer:
            writer.enqueue(1)
    assert list(tmp_path.iterdir()) == [there]


@needs_total_store_order
def test_a_disk_without_room_leaves_no_file_and_no_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BACKEND, PYTHON)
    with ShmRingBuffer(1, 64, 2) as ring:
        monkeypatch.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(TraceFileError, match="cannot be recorded into: No space"):
            ShmRingBufferIO(ring, -1, record=tmp_path / "new")
        assert list(tmp_path.iterdir()) == []
        ShmRingBufferIO(ring, -1).close()


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@needs_total_store_order
def test_a_file_that_cannot_grow_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(BACKEND, PYTHON)
    monkeypatch.setattr(interpreted, "WINDOW_BYTES", HEAD_BYTES * 2)
    with ShmRingBuffer(1, 64, 2) as ring, ShmRingBufferIO(ring, 0) as reader:
        writer = ShmRingBufferIO(ring, -1, record=tmp_path / "w")
        for number in range(200):
            if number == 100:
                monkeypatch.setattr(os, "posix_fallocate", no_room)
            writer.enqueue(number)
            assert reader.dequeue() == number
        writer.close()
    one = Recording.read(tmp_path / "w")
    assert one.status == STOPPED
    assert HEAD_BYTES + len(one.records) == (tmp_path / "w").stat().st_size
    assert len(one) * RECORD_BYTES % HEAD_BYTES == 0
    assert "ends early: No space left" in caplog.text


LIMITED = """
import resource, signal, sys
from ringbuffer import ShmRingBuffer, ShmRingBufferIO
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with ShmRingBuffer(1, 64, 4) as ring, ShmRingBufferIO(ring, 0, record=sys.argv[1] + "/r") as reader:
    writer = ShmRingBufferIO(ring, -1, record=sys.argv[1] + "/w")
    for number in range(15000):
        if number == 8000:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
        writer.send_bytes(b"")
        assert reader.recv_bytes() == b""
    writer.close()
"""
"""A message takes nine records of the writer and seven of the reader, and a window has room for 65 536."""


@needs_extension
def test_native_windows_follow_each_other_and_end_with_the_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", LIMITED, str(tmp_path)]  # not the package of the folder that it is run in
    subprocess.run(command, check=True, timeout=60, env=os.environ | {BACKEND: NATIVE})
    reader, writer = Recording.read(tmp_path / "r"), Recording.read(tmp_path / "w")
    assert (reader.status, writer.status) == (CLOSED, STOPPED)
    assert len(reader) == 15000 * 7
    assert HEAD_BYTES + len(writer.records) == 2 << 20
    assert validate([reader, writer]).status == UNDECIDED
    assert validate([reader, replace(writer, status=OPEN)]).status == IMPOSSIBLE


def test_a_look_that_finds_the_same_again_is_written_once(backend: str, tmp_path: Path) -> None:
    del backend
    with ShmRingBuffer(1, 64, 2) as ring:
        reader = ShmRingBufferIO(ring, 0, record=tmp_path / "r", waiting=WaitOptions(spin_count=500, yield_seconds=0.0))
        with pytest.raises(WaitTimeoutError):
            reader.recv_bytes(timeout=0)
        reader.close()
    assert rows_of(Recording.read(tmp_path / "r")) == ["R1", "R2"]


def test_who_reads_for_the_evicted_says_so(tmp_path: Path) -> None:
    with ShmRingBuffer(1, 64, 1) as ring, ShmRingBufferIO(ring, -1, record=tmp_path / "w") as writer:
        writer.evict(0)
        for number in range(3):
            writer.enqueue(number)
    one = Recording.read(tmp_path / "w")
    assert one.marks == STOOD_IN
    assert validate([one]).status == UNDECIDED


def test_a_forked_child_leaves_its_parents_recording_alone(tmp_path: Path) -> None:
    with ShmRingBuffer(1, 64, 2) as ring:
        writer = ShmRingBufferIO(ring, -1, record=tmp_path / "w")
        writer.enqueue(1)
        child = os.fork()
        if child == 0:
            writer.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert Recording.read(tmp_path / "w").status == OPEN
        writer.enqueue(2)
        writer.close()
    one = Recording.read(tmp_path / "w")
    assert one.status == CLOSED
    assert rows_of(one).count("W6") == 2


# ---- Processes, and their deaths -----------------------------------------------------------------------------------------


def _read(ring: ShmRingBuffer, rank: int, path: str, messages: int, dies: bool, line: Any) -> None:
    with ring:
        reader = ShmRingBufferIO(ring, rank, record=path)
        line.send("ready")
        for number in range(messages):
            assert reader.dequeue(timeout=30) == number
        if dies:
            with reader.acquire_read(timeout=30):
                os.kill(os.getpid(), signal.SIGKILL)
        reader.close()


def test_processes_and_a_killed_one_with_a_successor(tmp_path: Path) -> None:
    """Reader 1 is killed with a block in its hands; what it has recorded is there, and its successor goes on behind it."""
    context = multiprocessing.get_context("spawn")
    messages, until = 60, 20
    with ShmRingBuffer(2, 64, 4) as ring, ShmRingBufferIO(ring, -1, record=tmp_path / "w") as writer:
        workers = []
        for rank, dies in ((0, False), (1, True)):
            line, far_end = context.Pipe()
            asked = (ring, rank, str(tmp_path / f"{rank}"), until if dies else messages, dies, far_end)
            workers.append(context.Process(target=_read, args=asked, daemon=True))
            workers[-1].start()
            assert line.poll(60)
        for number in range(until):
            writer.enqueue(number, timeout=30)
        with writer.acquire_write(timeout=30):
            pass
        workers[1].join(30)
        assert workers[1].exitcode == -signal.SIGKILL
        workers[0].kill()
        workers[0].join(30)
        first = Recording.read(tmp_path / "1")
        assert (first.status, rows_of(first).count("R4")) == (OPEN, until)
        with ShmRingBufferIO(ring, 1, record=tmp_path / "1b") as successor, successor.acquire_read(timeout=30):
            pass
    recordings = [Recording.read(path) for path in tmp_path.iterdir()]
    verdict = validate(recordings)
    assert verdict.status == POSSIBLE, verdict
    assert verdict.recordings == 4
    assert sorted(one.head.start for one in recordings) == [0, 0, 0, until]
    without_a_record = [
        replace(one, records=one.records[:-RECORD_BYTES]) if one.head.who == "reader 1" else one for one in recordings
    ]
    assert validate(without_a_record).status in (POSSIBLE, IMPOSSIBLE)


def cut(one: Recording, row: str) -> Recording:
    """The recording of a process that was killed just when it had made the last access of that row."""
    at = max(at for at, name in enumerate(rows_of(one)) if name == row)
    return replace(one, status=OPEN, records=one.records[: at * RECORD_BYTES])


def test_a_killed_process_may_have_made_one_access_more(tmp_path: Path) -> None:
    writer, *readers = use(tmp_path)
    for row, status in (("W6", POSSIBLE), ("W5", IMPOSSIBLE), ("W4", IMPOSSIBLE)):
        assert validate([cut(writer, row), *readers]).status == status, row
    other = validate([writer, readers[0], cut(readers[1], "R4")])
    assert other.status == POSSIBLE


def test_heads_say_what_they_must(tmp_path: Path) -> None:
    one = use(tmp_path)[1]
    data = (tmp_path / "0").read_bytes()
    assert data[:8] == b"SHMREC\0\0"
    assert int.from_bytes(data[8:12], "little") == 1
    assert int.from_bytes(data[24:32], "little") == len(one)
    first = data[HEAD_BYTES : HEAD_BYTES + RECORD_BYTES]
    assert first == bytes([1, 0, 0, 0, 0, 0, 0, 0, *[0] * 8]), "R1, at block 0, found 0"
    assert set(form.PREFIX_MEANINGS) == {
        *("magic", "version", "head_bytes", "status", "marks", "count", "records_crc", "text_bytes", "text_crc")
    }
    assert chosen() in (NATIVE, PYTHON)
    for field, value in (("readers", -1), ("rank", 7), ("blocks", 0), ("generation", "1"), ("rows", ())):
        spoilt = replace(one, head=replace(one.head, **{field: value}))  # type: ignore[arg-type]
        spoilt.save(tmp_path / "spoilt")
        with pytest.raises(TraceFileError, match="is damaged"):
            Recording.read(tmp_path / "spoilt")


def test_the_twin_of_the_claim_is_refused() -> None:
    """Real processes whose readers look at the flags the other way round, which does no harm, and is not the shipped table."""
    found = record_and_validate(PROTOCOL.swapped("R1", "R2"), 30)
    assert (found.status, found.recordings) == (IMPOSSIBLE, 3)
    assert "it is R2, and the table says that R1 comes here" in found.why
