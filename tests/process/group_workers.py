"""What the processes of ``test_process_group.py`` run: scenarios, one after the other, in every rank of a gloo group.

Rules: a scenario ends in every rank, with a value or an error, and the ranks meet after it; each then lists what segments of
this world are in ``/dev/shm`` still. Every wait has an end: of the ring, of the group, and of the process itself.
Limits: a segment is this world's if its header says that one of its processes made it. So tests that run elsewhere on the
machine do not disturb.
"""

from __future__ import annotations

import faulthandler
import mmap
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist

from ringbuffer import ShmRingBufferIO, distributed
from ringbuffer.distributed import create_from_process_group
from ringbuffer.errors import ClosedError, UnsupportedPlatformError
from ringbuffer.memory.layout import Header
from ringbuffer.memory.shared import NAME_PREFIX, Segment

SHARED_MEMORY: Final = Path("/dev/shm")
MESSAGE_SECONDS: Final = 30.0
"""How long a message may take."""
GROUP_SECONDS: Final = 40.0
"""How long a collective may take, and the slowest rank to import torch; then torch raises."""
WORLD_SECONDS: Final = 80.0
"""How long a process may live; then it prints its stacks and ends."""
JOIN_SECONDS: Final = WORLD_SECONDS + 10.0
GONE_SECONDS: Final = 2.0
"""How long a segment may lie about that another test is making, or another rank removing."""

CHUNK_BYTES: Final = 4096
BLOCKS: Final = 3
"""Few, so that the writer runs into the readers again and again."""
MESSAGES: Final = 2000
DIED: Final = 7
"""The exit code of the rank that dies on purpose."""


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended in one rank."""

    value: Any
    error: BaseException | None
    left_behind: tuple[str, ...]


@dataclass(frozen=True)
class Delivery:
    """What one rank of a ring saw."""

    name: str
    reader_rank: int
    n_reader: int
    right: int
    first_wrong: int | None
    closed: bool


def message(index: int) -> Any:
    """The message number ``index``, of one of several types and many lengths. No two are equal."""
    shapes: tuple[Callable[[], Any], ...] = (
        lambda: index,
        lambda: {"index": index, "text": "ß" * (index % 500), "none": None},
        lambda: torch.arange(index, index + index % 97 + 1, dtype=torch.int32),
        lambda: np.arange(index, index + index % 301 + 1, dtype=np.float64).reshape(-1, 1),
        lambda: index.to_bytes(4, "big") * (index % 900 + 1),
        lambda: [torch.full((3, 5), float(index)), np.array([index], dtype=np.int16), (index,)],
    )
    return shapes[index % len(shapes)]()


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def deliver(group: dist.ProcessGroup | None, writer_rank: int, count: int = MESSAGES) -> Delivery:
    wrong = []
    with create_from_process_group(group, CHUNK_BYTES, BLOCKS, writer_rank) as end:
        ring = end.buffer
        for index in range(count):
            sent = message(index)
            got = end.broadcast_object(sent if end.reader_rank == -1 else None, timeout=MESSAGE_SECONDS)
            if not same(got, sent):
                wrong.append(index)
    try:
        ring.check_open()
        closed = False
    except ClosedError:
        closed = True
    return Delivery(ring.name, end.reader_rank, ring.n_reader, count - len(wrong), wrong[0] if wrong else None, closed)


def in_one_rank(rank: int, change: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """Make a change in that rank only."""
    return change if dist.get_rank() == rank else nullcontext()


def ask(max_chunk_bytes: int = CHUNK_BYTES, max_chunks: int = BLOCKS, writer_rank: Any = 0) -> None:
    """Ask for a ring that there should not be."""
    with create_from_process_group(None, max_chunk_bytes, max_chunks, writer_rank):
        pass


def ask_before_creation(**asked: Any) -> None:
    """The same, where nothing is to be created, not even for a moment."""
    with mock.patch.object(Segment, "create", side_effect=AssertionError("something was created")):
        ask(**asked)


def elsewhere(**changes: str) -> AbstractContextManager[Any]:
    return mock.patch.object(distributed, "_machine", return_value=replace(distributed._machine(), **changes))


def other_machine(writer_rank: int, **changes: str) -> None:
    """Rank 2 is somewhere else."""
    with in_one_rank(2, elsewhere(**changes)):
        ask_before_creation(writer_rank=writer_rank)


def other_container() -> Delivery:
    """A host name of its own, but the same kernel and the same ``/dev/shm``: that works."""
    with in_one_rank(2, elsewhere(host="container")):
        return deliver(None, 0, 50)


def sub_group() -> Delivery:
    """In ranks 0 and 2 this is an error."""
    return deliver(dist.new_group([1, 3]), 1)


def group_of_one() -> tuple[Delivery, bool] | None:
    """More messages than blocks, to nobody."""
    group = dist.new_group([3])
    if dist.get_rank() != 3:
        return None
    sent = object
    with create_from_process_group(group, CHUNK_BYTES, BLOCKS) as end:
        returned = all(end.broadcast_object(sent, timeout=MESSAGE_SECONDS) is sent for _ in range(3 * BLOCKS))
    return deliver(group, 0, 50), returned


def closing() -> tuple[bool, bool, bool]:
    """Is the name there after the readers have closed, after the writer has, and again after a second close?"""
    end = create_from_process_group(None, CHUNK_BYTES, BLOCKS, writer_rank=1)
    segment = SHARED_MEMORY / end.buffer.name
    there = []
    for closes in (end.reader_rank != -1, end.reader_rank == -1, True):
        dist.barrier()
        if closes:
            end.close()
        dist.barrier()
        there.append(segment.exists())
    return there[0], there[1], there[2]


def cannot_attach(rank: int, error: BaseException) -> None:
    with in_one_rank(rank, mock.patch.object(Segment, "attach", side_effect=error)):
        ask()


def no_endpoint(rank: int) -> None:
    """The ring is made or attached in that rank, but its endpoint cannot be."""
    error = UnsupportedPlatformError("planted")
    with in_one_rank(rank, mock.patch.object(ShmRingBufferIO, "_bind", side_effect=error)):
        ask()


def dies() -> None:
    with in_one_rank(2, mock.patch.object(Segment, "attach", side_effect=lambda _: os._exit(DIED))):
        ask()


SCENARIOS: Final[dict[str, Callable[[], Any]]] = {
    "writer 0": lambda: deliver(None, 0),
    "writer 2": lambda: deliver(dist.group.WORLD, 2),
    "sub-group": sub_group,
    "group of one": group_of_one,
    "closing": closing,
    "writer_rank 4": lambda: ask_before_creation(writer_rank=4),
    "writer_rank -1": lambda: ask_before_creation(writer_rank=-1),
    "writer_rank True": lambda: ask_before_creation(writer_rank=True),
    "different calls": lambda: ask_before_creation(writer_rank=dist.get_rank() // 2),
    "other kernel": lambda: other_machine(1, host="far", kernel="other"),
    "other shared memory": lambda: other_machine(2, shared_memory="device 0x1 inode 1"),
    "other container": other_container,
    "too large": lambda: ask(max_chunk_bytes=1 << 40, writer_rank=3),
    "no blocks": lambda: ask(max_chunks=0, writer_rank=1),
    "cannot attach": lambda: cannot_attach(1, PermissionError("planted")),
    "interrupted": lambda: cannot_attach(3, KeyboardInterrupt("planted")),
    "no writer": lambda: no_endpoint(0),
    "no reader": lambda: no_endpoint(3),
    "afterwards": lambda: deliver(None, 3, 200),
}
LAST_SCENARIOS: Final[dict[str, Callable[[], Any]]] = {"dies": dies}
"""Those after which the group is of no use any more."""


def creator_pid(path: Path) -> int | None:
    """The process that made a segment, as its header says; ``None`` where there is no header (yet), or no such file (now)."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return Header.read(path.name, view)[0].creator_pid
    except (OSError, ValueError):
        return None


def left_behind(pids: set[int], before: set[str], *, settled: bool = True) -> tuple[str, ...]:
    """The segments of this world that are there now; unless ``settled``, the others are given time to remove them.

    New segments without a header may be those of another test, which is just making them, and get that time in any case.
    """
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        new = {path: creator_pid(path) for path in SHARED_MEMORY.glob(NAME_PREFIX + "*") if path.name not in before}
        ours = sorted(path.name for path, pid in new.items() if pid in pids)
        unknown = sorted(path.name for path, pid in new.items() if pid is None and path.exists())
        if time.monotonic() > deadline or (not unknown and (settled or not ours)):
            return (*ours, *unknown)
        time.sleep(0.02)


def work(rank: int, world_size: int, directory: Path, names: tuple[str, ...], before: set[str]) -> None:
    """One process: run the scenarios, and leave an outcome of each in ``directory``."""
    faulthandler.dump_traceback_later(WORLD_SECONDS, exit=True)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    init = f"file://{directory / 'store'}"
    timeout = timedelta(seconds=GROUP_SECONDS)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=world_size, timeout=timeout)
    pids = [0] * world_size
    dist.all_gather_object(pids, os.getpid())
    for name in names:
        last = name in LAST_SCENARIOS
        value, error = None, None
        try:
            value = (LAST_SCENARIOS if last else SCENARIOS)[name]()
        except BaseException as caught:
            error = caught.with_traceback(None)
        if not last:
            dist.barrier()
        outcome = Outcome(value, error, left_behind(set(pids), before, settled=not last or rank == 0))
        (directory / f"{name}.{rank}").write_bytes(pickle.dumps(outcome))
        if not last:
            dist.barrier()
    if LAST_SCENARIOS.keys() & set(names):
        os._exit(0)  # the outcomes are written; gloo sometimes aborts when it takes down a group in which a rank has died
    dist.destroy_process_group()


@dataclass(frozen=True)
class World:
    """What a world of processes left: outcomes by scenario and rank, exit codes by rank."""

    directory: Path
    exit_codes: tuple[int | None, ...]
    left_behind: tuple[str, ...]

    def outcomes(self, scenario: str) -> list[Outcome]:
        """The outcomes of the ranks that got there, in their order."""
        paths = [self.directory / f"{scenario}.{rank}" for rank in range(len(self.exit_codes))]
        return [pickle.loads(path.read_bytes()) for path in paths if path.exists()]


def run_world(directory: Path, world_size: int, names: tuple[str, ...]) -> World:
    """Run the scenarios in new processes, and end them all."""
    context = multiprocessing.get_context("spawn")
    before = {path.name for path in SHARED_MEMORY.glob(NAME_PREFIX + "*")}
    processes = [context.Process(target=work, args=(rank, world_size, directory, names, before)) for rank in range(world_size)]
    deadline = time.monotonic() + JOIN_SECONDS
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        pids = {process.pid for process in processes if process.pid is not None}
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    left = left_behind(pids, before)
    for name in left:
        if creator_pid(SHARED_MEMORY / name) in pids:
            (SHARED_MEMORY / name).unlink(missing_ok=True)
    return World(directory, tuple(process.exitcode for process in processes), left)
