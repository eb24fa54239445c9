"""Real processes: every message once, in order, whole; and what is said when a process dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ringbuffer.checker.processes import RunFailed, run_processes
from ringbuffer.errors import RingBufferError
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.protocol import ORIGINAL, PROTOCOL
from ringbuffer.ring import ShmRingBuffer

MESSAGES = 60_000
"""Planted faults that real processes show at all have shown within the first thousand."""


def segments_of(pid: int) -> list[str]:
    """The segments that the process ``pid`` has made, and nobody has removed; others may be at work on this machine."""
    found = []
    for entry in Path("/dev/shm").glob(f"{NAME_PREFIX}*"):
        with contextlib.suppress(RingBufferError):
            segment = Segment.attach(entry.name)
            found += [entry.name] if segment.header.creator_pid == pid else []
            segment.close()
    return found


@pytest.mark.parametrize("blocks", [2, 16])
def test_three_readers_get_every_message_once_in_order_whole(blocks: int) -> None:
    report = run_processes(readers=3, blocks=blocks, messages=MESSAGES, seed=blocks)
    assert [reader.received for reader in report.readers] == [MESSAGES] * 3
    assert [reader.first_fault for reader in report.readers] == [""] * 3
    assert report.clean


def test_a_table_that_repeats_is_caught_by_real_readers() -> None:
    """Without R4 nobody marks: the writer stays on its second lap for ever, and readers go round on the first."""
    with pytest.raises(RunFailed, match="reader 0"):
        run_processes(readers=1, blocks=2, messages=100, protocol=PROTOCOL.without("R4"))


def test_the_scanning_policy_runs_and_loses_nothing() -> None:
    """Whether it reorders in this run is up to the scheduler; that it tears, repeats and loses nothing is not."""
    report = run_processes(readers=2, blocks=2, messages=5_000, protocol=ORIGINAL)
    assert [(reader.torn, reader.repeated, reader.lost) for reader in report.readers] == [(0, 0, 0)] * 2


def test_a_killed_reader_is_named() -> None:
    def kill_reader(ring: ShmRingBuffer, sent: int, seconds: float) -> None:
        del ring, sent, seconds
        import multiprocessing

        victim = multiprocessing.active_children()[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)

    with pytest.raises(RunFailed, match=r"reader 0 died \(exit code -9\)"):
        run_processes(readers=1, blocks=2, messages=3_000, show=kill_reader)


def test_readers_of_a_killed_parent_end_by_themselves() -> None:
    command = [sys.executable, "-u", "-m", "ringbuffer", "demo", "--messages", "90000", "--readers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert any("sent" in line for line in demo.stdout), "the readers are at work"
        demo.kill()
        assert "Traceback" not in demo.stderr.read(), "it is read to its end: until the last reader has ended"
    assert segments_of(demo.pid) == []


def test_an_interrupted_run_ends_its_processes_and_removes_its_segment() -> None:
    """The demonstration, interrupted as Ctrl-C does it (a signal to the whole group) once it has said its first numbers."""
    command = [sys.executable, "-u", "-m", "ringbuffer", "demo", "--messages", "3000000"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # in the background a shell ignores it for all
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        while not segments_of(demo.pid):
            assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(timeout=60) == 130
        assert demo.stderr.read().strip().splitlines()[-1] == "ringbuffer demo: interrupted"
    assert segments_of(demo.pid) == []
