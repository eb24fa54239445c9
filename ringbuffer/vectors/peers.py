"""Where a successor goes on, after a process was killed before any of its rows; and traces of whole calls.

A case of the first kind is a segment as the killed one has left it, and the number at which its successor goes on. It comes
from a run that is stopped before each row in turn; the rule (``protocol/recovery.py``) is held to what the run itself knows.
A trace of calls is for implementations that cannot be stopped between two accesses: each actor runs from its first row until
it is done, or finds its block busy. Rules and limits: those of ``stepping``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ringbuffer.codec.frames import BYTES
from ringbuffer.protocol import Variant, reader_resumes_at, writer_resumes_at
from ringbuffer.ranks import WRITER
from ringbuffer.vectors.machine import POSITION_BYTES, Bytes, changed
from ringbuffer.vectors.stepping import CHUNK_BYTES, Draw, Recorder, body_of, segment_of
from ringbuffer.vectors.text import Json, crc, runs

_LAPS: Final = 3
_BEGINS: Final = 0


def resumes_at(segment: Bytes, rank: int) -> int:
    """Where the successor of whoever had that role goes on, by the looks T1 to T6."""
    layout = segment.layout
    position = segment.load(layout.participant_offset(rank), POSITION_BYTES)
    block = (position if rank == WRITER else position - 1) % layout.max_chunks
    entry, holds = layout.entry_offset(block), segment.load(layout.block_offset(block), 8)
    if rank == WRITER:
        return writer_resumes_at(position, is_published=segment.data[entry] == 1, holds=holds)
    is_unread = segment.data[entry + 1 + rank] == 0 and segment.data[entry] == 1
    return reader_resumes_at(position, is_unread=is_unread, holds=holds)


def successors() -> Json:
    """Segments that a killed process has left, and where its successor goes on."""
    cases = [case for rank in (WRITER, 0) for blocks in (1, 2, 3) for case in _killed(rank, blocks)]
    about = "segments as a killed process has left them, and the number of the block at which its successor goes on"
    return {"kind": "successors", "about": about, "cases": cases}


def _killed(rank: int, blocks: int) -> Iterator[Json]:
    """One who is killed before each of its rows in turn, on the first lap and later; one more reader is a block behind."""
    run = Recorder(2, blocks)
    published = given_back = 0
    seen: set[tuple[str, int, bool]] = set()
    for number in range(_LAPS * blocks):
        run.send(number % CHUNK_BYTES)
        for who in (WRITER, 0, 1):
            while True:
                clause = run.actors[who].place.instruction.row.id
                key = (clause, min(number, blocks), published > given_back)
                if who == rank and key not in seen and _is_of_block(clause):
                    seen.add(key)
                    yield _case(run, rank, clause, published if rank == WRITER else given_back)
                did = run.step(who)
                published += did.place.instruction.row.id == "W6"
                given_back += did.place.instruction.row.id == "R4" and who == 0
                if run.actors[who].pc == _BEGINS:
                    break


def _is_of_block(clause: str) -> bool:
    return clause[0] in "WRN" or clause == "K1"


def _case(run: Recorder, rank: int, clause: str, expected: int) -> Json:
    number = resumes_at(run.segment, rank)
    assert number == expected, f"the rule says {number}, and the run {expected}"
    left = segment_of(run.segment)
    noted = bytearray(run.segment.data)
    offset = run.segment.layout.participant_offset(rank)
    noted[offset : offset + POSITION_BYTES] = number.to_bytes(POSITION_BYTES, "little")
    return {"rank": rank, "killed_before": clause, "segment": left, "goes_on_at": number, "noted": [offset, number]}


class Calls:
    """A ring whose actors make whole calls, and the record of it."""

    def __init__(self, readers: int, blocks: int, variant: Variant | None = None) -> None:
        self._run = Recorder(readers, blocks) if variant is None else Recorder(readers, blocks, variant=variant)
        self.calls: list[Json] = []
        self._before = bytes(self._run.segment.data)
        self._sent_bytes = self._total_bytes = 0

    def document(self, about: str) -> Json:
        """The trace as a file."""
        return {"kind": "calls", "about": about, "segment": self._run.start, "calls": self.calls}

    def send(self, size: int) -> bool:
        """The writer's caller sends a message of so many bytes. Whether all of it went out."""
        before = self._run.outgoing, self._sent_bytes, self._total_bytes
        number, self._sent_bytes, self._total_bytes = self._run.number, 0, size
        self._run.send(size)
        is_sent = self._sends({"call": "send", "kind": BYTES, "body": body_of(number, size).hex()})
        if self._run.outgoing is not None and not self._sent_bytes:  # nothing went out that could withdraw anything
            self._run.outgoing, self._sent_bytes, self._total_bytes = before
        return is_sent

    def resume(self) -> bool:
        """The writer's caller sends the rest of a message of which a part was sent. Whether none is left."""
        if self._run.outgoing is None:
            return self._record(WRITER, {"call": "resume"}, {"result": "nothing"})
        return self._sends({"call": "resume"})

    def leave(self, rank: int) -> None:
        """A reader gives its role up."""
        self._record(rank, {"call": "leave"}, {"result": "done"})

    def join(self, rank: int) -> None:
        """Somebody takes that reader's role, and goes on where the one before has stopped. That ends an eviction."""
        self._run.unread.discard(rank)
        self._take_over(rank)
        self._record(rank, {"call": "join"}, {"result": "done"})

    def evict(self, rank: int) -> None:
        """The writer evicts a reader that has left."""
        self._run.unread.add(rank)
        self._record(WRITER, {"call": "evict", "rank": rank}, {"result": "done"})

    def _take_over(self, rank: int) -> None:
        segment, number = self._run.segment, resumes_at(self._run.segment, rank)
        segment.store(segment.layout.participant_offset(rank), POSITION_BYTES, number)
        self._run.actors[rank].resume(number)

    def _reads_for_the_evicted(self) -> bool:
        """What a writer does that has to wait: it runs the rows of whoever it has evicted. Whether any block was marked."""
        marked = False
        for rank in sorted(self._run.unread):
            self._take_over(rank)
            while self._run.turn(rank):
                marked = True
        return marked

    def _sends(self, told: Json) -> bool:
        while self._run.outgoing is not None:
            if not self._run.turn(WRITER):
                if self._reads_for_the_evicted():
                    continue
                return self._record(WRITER, told, {"result": "busy", "sent_bytes": self._sent_bytes})
            self._sent_bytes = min(self._sent_bytes + CHUNK_BYTES, self._total_bytes)
        return self._record(WRITER, told, {"result": "sent"})

    def receive(self, rank: int) -> bool:
        """A reader's caller asks for the next message. Whether there was one, whole."""
        before = len(self._run.steps)
        while self._run.turn(rank):
            found = [step["message"] for step in self._run.steps[before:] if "message" in step]
            if found:
                return self._record(rank, {"call": "receive"}, {"result": "message", "message": found[0]})
        return self._record(rank, {"call": "receive"}, {"result": "busy"})

    def gives_up(self, rank: int) -> None:
        """The caller raises while it has the block: nothing is published, or the message comes again."""
        actor = self._run.actors[rank]
        while not actor.is_in_payload:
            assert not self._run.step(rank).has_waited, "there is a block"
        self._run.step(rank, aborted=True)
        step = self._run.steps[-1]
        told: Json = {"call": "receive_and_raise"}
        if rank == WRITER:
            told = {"call": "fill_and_raise", "payload": step["payload"][:6]}
        self._record(rank, told, {"result": "raised"})

    def _record(self, rank: int, told: Json, result: Json) -> bool:
        segment, before = self._run.segment, self._before
        self._before = bytes(segment.data)
        self._run.steps.clear()
        state = {"changes": runs(changed(before, self._before)), "crc32": crc(segment.crc32())}
        self.calls.append({"actor": rank, **told, **result, **state})
        return bool(result["result"] != "busy")


def _broadcast() -> Calls:
    run = Calls(2, 2)
    run.receive(0)
    for size in (3, 0, 32):
        run.send(size)
        for rank in (0, 1):
            run.receive(rank)
    for size in (1, 2, 5):
        run.send(size)  # the third finds no free block, and is not begun
    run.receive(1)
    run.resume()  # nothing was begun
    run.receive(0)
    run.send(5)
    for rank in (0, 0, 1, 1, 1):
        run.receive(rank)
    return run


def _large() -> Calls:
    run = Calls(1, 2)
    run.send(5 * CHUNK_BYTES + 3)
    for _ in range(3):
        run.receive(0)  # takes what is there, and waits for more
        run.resume()
    run.receive(0)
    run.send(4 * CHUNK_BYTES)
    run.receive(0)
    run.send(7)  # instead of the rest
    run.receive(0)
    run.receive(0)
    return run


def _withdrawn() -> Calls:
    run = Calls(1, 2)
    run.send(5 * CHUNK_BYTES)
    run.receive(0)  # takes two parts, and waits for the third
    run.send(7)  # instead of the rest
    run.resume()  # nothing is left of what was withdrawn
    run.receive(0)
    run.receive(0)
    run.send(5 * CHUNK_BYTES)
    run.send(8)  # is busy at its first block, and has withdrawn nothing
    run.receive(0)
    run.resume()  # sends of the first what there is room for
    run.receive(0)
    run.send(4 * CHUNK_BYTES)  # is begun instead of the rest
    run.receive(0)
    run.resume()  # sends the rest of that, and nothing of the first
    run.receive(0)
    run.resume()
    return run


def _raising() -> Calls:
    run = Calls(1, 2)
    run.gives_up(WRITER)
    run.receive(0)
    run.send(9)
    run.gives_up(0)
    run.receive(0)
    run.send(10)
    run.gives_up(WRITER)
    run.receive(0)
    run.send(11)
    run.receive(0)
    return run


def _evicting() -> Calls:
    run = Calls(2, 2)
    for size in (4, 5):
        run.send(size)
    run.receive(0)
    run.receive(1)
    run.leave(1)
    run.evict(1)
    run.send(6)  # the block is free: nobody need stand in
    run.receive(0)
    run.send(7)  # waits for reader 1, and so marks for it all that is published
    run.receive(0)
    run.receive(0)
    run.join(1)  # and is owed what is not marked
    run.send(8)
    run.receive(1)
    run.receive(1)
    run.receive(0)
    run.send(9)
    run.leave(0)
    run.join(0)  # nothing happened between: it goes on where it was
    for rank in (0, 1, 1, 0):
        run.receive(rank)
    return run


def _no_readers() -> Calls:
    run = Calls(0, 2)
    for size in (1, 2, 3, 70):
        run.send(size)
    return run


def _drawn(readers: int, blocks: int, seed: int, count: int) -> Calls:
    run, draw, unfinished = Calls(readers, blocks), Draw(seed), False
    while len(run.calls) < count:
        rank = draw.below(1 + readers) - 1
        if rank != WRITER:
            run.receive(rank)
        elif unfinished and draw.below(4):
            unfinished = not run.resume()
        else:
            unfinished = not run.send(draw.below(3 * CHUNK_BYTES))
    return run


CALLS: Final[dict[str, tuple[str, Callable[[], Calls]]]] = {
    "broadcast": ("two readers and a writer that finds no free block", _broadcast),
    "large": ("messages that are larger than the ring, and one that is withdrawn", _large),
    "withdrawn": ("what is sent instead of the rest of a message withdraws it, and then nothing is left to resume", _withdrawn),
    "raising": ("callers that raise", _raising),
    "evicting": ("a reader that leaves, is evicted, and comes back", _evicting),
    "no-readers": ("a ring without readers: every block is free", _no_readers),
    "drawn-1x1": ("drawn: one reader, one block", lambda: _drawn(1, 1, 11, 60)),
    "drawn-2x3": ("drawn: two readers, three blocks", lambda: _drawn(2, 3, 12, 120)),
    "drawn-5x4": ("drawn: five readers, four blocks", lambda: _drawn(5, 4, 13, 160)),
}


def documents() -> Iterator[tuple[str, Json]]:
    """The names and the contents of all files of calls."""
    for name, (about, make) in CALLS.items():
        yield f"calls/{name}.json", make().document(about)
