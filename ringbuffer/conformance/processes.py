"""In real processes: the writer and the readers each in one of their own, every message checked.

Rules: who is not watched stalls for a bounded time; what a peer has to say of a message, it says in words. Limits: what
happened on this machine, in these interleavings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.conformance import messages, segments
from ringbuffer.conformance.adapter import close_all, let_go
from ringbuffer.conformance.peer import (
    READ_STREAM,
    TRY_READ,
    WRITE_STREAM,
    Peer,
    PeerProblem,
    Stalled,
    put,
    read_stream,
    size_of,
)
from ringbuffer.conformance.story import Violation, geometry

if TYPE_CHECKING:
    from ringbuffer.conformance.clauses import Context

READERS: Final = 3
BLOCKS: Final = 4
BLOCK_BYTES: Final = 4096
"""Large enough for a message to take longer than a switch between processes."""


class Stage:
    """A ring, the ends of it in this process, the peers, and the story."""

    def __init__(self, context: Context, readers: int, blocks: int, block_bytes: int) -> None:
        self.readers, self.blocks, self.block_bytes = readers, blocks, block_bytes
        self.ring: Any = context.subject.factory(readers, blocks, block_bytes)
        self.ends: dict[int, Any] = {}
        self.peers: dict[int, Peer] = {}
        self.story: list[str] = []

    def end(self, rank: int) -> Any:
        """The end of that rank, here."""
        if rank not in self.ends:
            self.ends[rank] = self.ring.writer() if rank < 0 else self.ring.reader(rank)
        return self.ends[rank]

    def start(self, *ranks: int) -> None:
        """Start a peer for each rank, and wait until all have attached."""
        for rank in ranks:
            self.peers[rank] = Peer(self.ring, rank)
        for rank in ranks:
            self.peers[rank].answer()

    def broken(self, what: str) -> Violation:
        """The error for what is wrong."""
        return Violation(what, geometry(self.readers, self.blocks, self.block_bytes), self.story)

    def check(self, rank: int, number: int, returned: object) -> None:
        """Reader ``rank``'s read has ``returned`` something, and is due message ``number``."""
        expected = self.body(number)
        data = messages.bytes_of(returned, f"reader {rank}'s try_read")
        if data is None:
            self.story.append(f"reader {rank} reads nothing")
            raise self.broken(f"reader {rank} reads nothing, though {messages.name(number)} is due")
        what = messages.describe(data, [(other, self.body(other)) for other in range(1, number + self.blocks + 1)])
        self.story.append(f"reader {rank} reads {what}")
        if data != expected:
            raise self.broken(
                f"reader {rank} reads {what}, though {messages.name(number)} ({messages.size(len(expected))}) is due"
            )

    def body(self, number: int) -> bytes:
        """Message ``number``."""
        return messages.body_of(number, size_of(number, self.block_bytes))

    def write(self, number: int) -> bool:
        """Write message ``number`` from here, if there is room."""
        done: bool = self.end(-1).try_write(self.body(number))
        self.story.append(f"writer writes {messages.name(number)}{'' if done else ': there is no room'}")
        return done

    def close(self) -> None:
        """End the peers, and let go of the ring."""
        for peer in self.peers.values():
            peer.close()
        let_go(self.ring, list(self.ends.values()))
        self.ends.clear()


@contextmanager
def staged(context: Context, readers: int, blocks: int, block_bytes: int = BLOCK_BYTES) -> Iterator[Stage]:
    """A stage; what a peer, or the ring in this process, raises is a violation."""
    stage = Stage(context, readers, blocks, block_bytes)
    try:
        try:
            yield stage
        except (PeerProblem, messages.NotBytes) as problem:
            raise stage.broken(str(problem)) from None
    finally:
        stage.close()


def stream(context: Context) -> None:
    """P1."""
    count = context.effort.messages
    with staged(context, READERS, BLOCKS) as stage:
        ranks = range(READERS)
        stage.start(*ranks)
        for rank in ranks:
            stage.peers[rank].tell(READ_STREAM, 1, count, BLOCK_BYTES)
        stage.story.append(f"the writer writes m1 to m{count}, and {READERS} processes read them")
        _write_watching(stage, count)
        for rank in ranks:
            wrong = stage.peers[rank].answer()
            if wrong is not None:
                raise stage.broken(wrong)
    context.tried.append(f"{count} messages to {READERS} processes")


def _write_watching(stage: Stage, count: int) -> None:
    """Write a stream; when there is no room, a reader that has found something wrong has said so."""
    for number in range(1, count + 1):
        try:
            put(stage.end(-1), stage.body(number))
        except Stalled:
            for peer in stage.peers.values():
                if peer.line.poll(0) and (wrong := peer.answer()) is not None:
                    raise stage.broken(wrong) from None
            raise stage.broken(f"the writer finds no room for {messages.name(number)}, though all readers read") from None


def lagging(context: Context) -> None:
    """P2."""
    with staged(context, 2, 3) as stage:
        stage.start(0, 1)
        written = 0
        for lap in range(4):
            while stage.write(written + 1):
                written += 1
                if written > 3 * (lap + 1):
                    unread = messages.name(written - 3)
                    raise stage.broken(f"the writer found room for {messages.name(written)}, though nobody has read {unread}")
            if written != 3 * (lap + 1):
                raise stage.broken("the writer found no room, though the readers have read all")
            for rank in (0, 1):
                for number in range(written - 2, written + 1):
                    stage.check(rank, number, stage.peers[rank].call(TRY_READ))
                if rank == 0 and stage.write(written + 1):
                    raise stage.broken("the writer found room, though reader 1 has not read")
    context.tried.append("4 laps of a ring of 3 blocks")


def writer(context: Context) -> None:
    """P3."""
    count = max(1, context.effort.messages // 4)
    with staged(context, 1, 2) as stage:
        stage.start(-1)
        stage.end(0)
        stage.story.append(f"a process writes m1 to m{count}")
        stage.peers[-1].tell(WRITE_STREAM, count, BLOCK_BYTES)
        peer = stage.peers[-1]
        wrong = read_stream(stage.end(0), 0, 1, count, BLOCK_BYTES, peer.has_ended)
        has_stopped = wrong is not None and "gets nothing" in wrong and peer.has_ended()  # then that is the reason
        said = peer.answer() if wrong is None or has_stopped else None
        if wrong is not None or said is not None:
            raise stage.broken(str(wrong or said))
    context.tried.append(f"{count} messages from a process")


def closing(context: Context) -> None:
    """C10."""
    for readers, blocks in ((1, 1), (2, 3)):
        before = segments.present()
        with staged(context, readers, blocks, 64) as stage:
            made = segments.mapped() - before
            for rank in range(readers):
                stage.end(rank)
            for number in range(1, blocks + 1):
                if not stage.write(number):
                    raise stage.broken("the writer found no room in a new ring")
            if hasattr(stage.end(-1), "close"):
                stage.story.append("the writer closes its end")
                _without_error(stage, "closing the writer's end", stage.ends.pop(-1).close)
            for rank in range(readers):
                for number in range(1, blocks + 1):
                    stage.check(rank, number, _without_error(stage, f"reader {rank}", stage.end(rank).try_read))
            stage.story.append("all is closed")
            _without_error(stage, "closing", lambda: close_all(stage.ring, list(stage.ends.values())))
            stage.ends.clear()
            stage.ring = None
            if left := made & segments.present():
                raise stage.broken(f"closing the ring left {', '.join(sorted(left))} behind in {segments.FOLDER}")
    context.tried.append("2 rings")


def _without_error(stage: Stage, what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise stage.broken(f"{what} raises {type(error).__name__}: {error}".splitlines()[0]) from None
