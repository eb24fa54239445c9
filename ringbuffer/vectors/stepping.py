"""Step sequences: what every access of every row does to the bytes of a segment.

A trace is a list of steps. Each says who steps, the row, the block, the access, where it goes and the value, which bytes it has
changed, a digest of the whole segment after it, and before which rows the actor may stand then. Some traces are written out
here, each for something that an implementer may get wrong; others are drawn, by a generator of numbers that is written out as
well. Rules: a drawn schedule lets a sleeper sleep until somebody wakes it. Limits: ``read[*]`` of a ring without readers is no
access, and such rings are in the traces of calls only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ringbuffer.codec.frames import BYTES, Assembly, Frame, Outgoing, check_frame, mark_raw
from ringbuffer.memory.layout import FRAME_BYTES, Layout
from ringbuffer.protocol import PROTOCOL, Kind, Variant
from ringbuffer.ranks import WRITER
from ringbuffer.vectors.machine import Actor, Bytes, Did, changed
from ringbuffer.vectors.text import Json, crc, runs

CREATOR_PID: Final = 4242
IDENTITY: Final = bytes(range(16))
CHUNK_BYTES: Final = 32
"""A frame and its payload are one cache line."""


class Draw:
    """Numbers that look drawn: the multiplier and the increment are those of Knuth's MMIX."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        """The next number from 0 to ``limit`` less one."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % limit


def body_of(number: int, size: int) -> bytes:
    """The bytes of message ``number``: no two neighbours and no two messages are alike."""
    return bytes((number * 37 + at * 5 + 1) % 256 for at in range(size))


def segment_of(segment: Bytes) -> Json:
    """A segment as it stands in the files: where it is not zero, and its digest."""
    layout = segment.layout
    return {
        "n_reader": layout.n_reader,
        "max_chunk_bytes": layout.max_chunk_bytes,
        "max_chunks": layout.max_chunks,
        "bytes": runs(changed(bytes(len(segment.data)), segment.data)),
        "crc32": crc(segment.crc32()),
    }


class Recorder:
    """A ring whose actors are stepped, and the record of it."""

    def __init__(self, readers: int, blocks: int, *, chunk_bytes: int = CHUNK_BYTES, variant: Variant = PROTOCOL) -> None:
        self.segment = Bytes(Layout(readers, chunk_bytes, blocks), creator_pid=CREATOR_PID, identity=IDENTITY)
        self.actors = {rank: Actor(self.segment, rank, variant) for rank in range(WRITER, readers)}
        self.start = segment_of(self.segment)
        self.steps: list[Json] = []
        self.number = 0
        self.backwards = False
        self.outgoing: Outgoing | None = None
        """What the writer's caller is sending, if anything is left of it."""
        self.unread: set[int] = set()
        """The readers whose rows somebody else runs, reading nothing."""
        self._assemblies = {rank: Assembly() for rank in range(readers)}

    def damage(self, offset: int, value: int) -> None:
        """Put a byte there before the first step."""
        assert not self.steps, "the trace says what is there at its beginning"
        self.segment.store(offset, 1, value)
        self.segment.changes()
        self.start = segment_of(self.segment)

    def document(self, about: str) -> Json:
        """The trace as a file."""
        return {"kind": "steps", "about": about, "segment": self.start, "steps": self.steps}

    def send(self, size: int, kind: int = BYTES) -> None:
        """From now on the writer's caller sends one more message, of so many bytes; what it has not finished is withdrawn."""
        self.outgoing = Outgoing(kind, body_of(self.number, size))
        self.number += 1

    def step(self, rank: int, flag: int | None = None, *, aborted: bool = False) -> Did:
        """One step of that actor; of several flags, at that of ``flag``, or at the first (or last) that is left."""
        actor = self.actors[rank]
        if actor.is_in_payload:
            return self._payload(actor, aborted=aborted)
        ranks = actor.place.ranks
        chosen = flag if flag is not None else ranks[-1 if self.backwards else 0] if ranks else 0
        did = actor.step(chosen)
        access = did.place.instruction.row.access
        told: Json = {"rank": chosen} if access.is_several else {}
        told |= {"offset": did.offset} if did.offset is not None else {}
        told |= {"value": did.value} if did.value is not None else {}
        self._record(actor, did, told)
        return did

    def to(self, rank: int, clause: str, *, down: bool = False) -> Did | None:
        """Step that actor until it stands before the row of that id. ``down``: whether it lies down where it has waited."""
        did = None
        for _ in range(200):
            if self.actors[rank].place.instruction.row.id == clause:
                return did
            did = self.step(rank)
            if did.has_waited and down:
                self.actors[rank].lie_down()
        raise AssertionError(f"{rank} does not come to {clause}")

    def turn(self, rank: int) -> bool:
        """Let that actor run until it is back at its first row. Whether it is done with a block."""
        actor, before = self.actors[rank], self.actors[rank].done
        self.step(rank)
        while actor.pc:
            self.step(rank)
        return actor.done > before

    def _payload(self, actor: Actor, *, aborted: bool) -> Did:
        told: Json = {"ended": "aborted" if aborted else "done"}
        start, end = actor.frame_span()
        with memoryview(self.segment.data)[start:end] as block:
            frame = self._filled(actor, block, aborted) if actor.rank == WRITER else Frame.read(block)
            told |= {"frame": block[:FRAME_BYTES].hex(), "payload": block[FRAME_BYTES : FRAME_BYTES + frame.length_bytes].hex()}
            if actor.rank != WRITER:
                told |= self._received(actor, frame, block, aborted)
        self._record(actor, actor.end_payload(aborted=aborted), told)
        return self._last

    def _filled(self, actor: Actor, block: memoryview, aborted: bool) -> Frame:
        if aborted:  # a caller that fills the block in place, and raises when it has written some of it
            mark_raw(block, actor.done)
            block[FRAME_BYTES : FRAME_BYTES + 3] = b"\xaa\xbb\xcc"
            return Frame.read(block)
        message = self.outgoing
        assert message is not None, "there is something to fill in"
        message.fill(block, actor.done)
        if message.sent():
            self.outgoing = None
        return Frame.read(block)

    def _received(self, actor: Actor, frame: Frame, block: memoryview, aborted: bool) -> Json:
        check_frame(frame, actor.done, len(block) - FRAME_BYTES, actor.place.block)
        if aborted or actor.rank in self.unread:
            return {}
        assembly = self._assemblies[actor.rank]
        with block[FRAME_BYTES : FRAME_BYTES + frame.length_bytes] as part:
            if not assembly.add(frame, part):
                return {}
        kind, body = assembly.take()
        return {"message": {"kind": kind, "body": bytes(body).hex()}}

    def _record(self, actor: Actor, did: Did, told: Json) -> None:
        self._last = did
        row = did.place.instruction.row
        self.steps.append(
            {
                "actor": actor.rank,
                "clause": row.id,
                "block": did.place.block,
                "access": row.access.kind.value,
                **told,
                "changes": runs(self.segment.changes()),
                "crc32": crc(self.segment.crc32()),
                "next": list(did.onward),
            }
        )


def _one_lap() -> Recorder:
    run = Recorder(1, 2)
    for size in (5, 0, 32, 17, 9):
        run.send(size)
        assert run.turn(WRITER), "the block is free"
        assert run.turn(0), "the block is written"
    return run


def _full_ring() -> Recorder:
    run = Recorder(2, 2)
    run.turn(0)  # nothing is there yet
    for size in (4, 6):
        run.send(size)
        run.turn(WRITER)
    run.send(8)
    run.turn(WRITER)  # waits: nobody has read
    run.turn(0)
    run.turn(WRITER)  # waits: case 3
    run.turn(0)
    run.turn(0)  # waits: it is a lap ahead of the other
    run.turn(1)
    run.turn(WRITER)
    for rank in (1, 1, 0, 1):
        run.turn(rank)
    return run


def _one_block() -> Recorder:
    run = Recorder(1, 1)
    for size in (3, 1, 2):
        run.send(size)
        run.turn(WRITER)
        run.turn(0)
        run.turn(0)  # its own mark, and the block before it was written again
    return run


def _any_order() -> Recorder:
    run = Recorder(3, 1)
    run.backwards = True
    for size in (7, 3):
        run.send(size)
        run.turn(WRITER)
        for rank in (2, 0, 1):
            run.turn(rank)
    run.send(1)
    run.to(WRITER, "W2")
    for flag in (1, 2, 0):
        run.step(WRITER, flag)
    run.to(WRITER, "W5")
    for flag in (1, 0, 2):
        run.step(WRITER, flag)
    run.to(WRITER, "W1")
    return run


def _between_flags() -> Recorder:
    run = Recorder(2, 1)
    run.send(6)
    run.turn(WRITER)
    run.turn(0)
    run.send(7)
    run.to(WRITER, "W2")
    run.step(WRITER, 0)  # marked
    run.turn(1)  # meanwhile the other is marked, too, and the look that goes on finds it
    run.step(WRITER, 1)
    run.to(WRITER, "W5")
    run.step(WRITER, 0)
    run.turn(0)  # its flag is cleared; the written flag still says no
    run.turn(1)  # its flag is not cleared yet
    run.to(WRITER, "W1")
    run.turn(1)
    run.turn(0)
    return run


def _aborts() -> Recorder:
    run = Recorder(1, 2)
    run.to(WRITER, "W4")
    run.step(WRITER, aborted=True)
    run.send(20)
    run.turn(WRITER)
    run.to(0, "R3")
    run.step(0, aborted=True)
    run.turn(0)
    for size in (30, 31):
        run.send(size)
        run.turn(WRITER)
        run.turn(0)
    run.to(WRITER, "W4")  # a block that was written and read before
    run.step(WRITER, aborted=True)
    run.turn(0)
    run.send(2)
    run.turn(WRITER)
    run.turn(0)
    return run


def _parts() -> Recorder:
    run = Recorder(1, 2)
    run.send(3 * CHUNK_BYTES + 1)
    while run.outgoing is not None:
        run.turn(WRITER)
        run.turn(0)
    run.send(2 * CHUNK_BYTES)
    run.turn(WRITER)
    run.turn(0)
    run.send(CHUNK_BYTES)  # withdraws what is unfinished
    run.turn(WRITER)
    run.turn(0)
    return run


def _sleeping() -> Recorder:
    run = Recorder(2, 1)
    run.to(0, "S5", down=True)  # says that it sleeps, looks again, and sleeps
    run.to(1, "S4", down=True)  # says that it sleeps, and is not in the kernel yet
    run.send(4)
    run.turn(WRITER)  # finds both words 0, and wakes
    run.step(1)  # does not lie down: its word is 1
    for rank in (0, 1):
        run.to(rank, "R1")
        run.turn(rank)
    run.send(5)
    run.turn(WRITER)
    run.turn(1)
    run.send(6)
    run.to(WRITER, "S3.W1", down=True)  # the writer says that it sleeps
    run.turn(0)  # the last mark comes before it looks again, and wakes it
    run.to(WRITER, "W4")  # looks again, finds the block, gets up, and claims it
    run.turn(WRITER)
    return run


def _damaged() -> Recorder:
    run = Recorder(2, 2)
    layout = run.segment.layout
    run.damage(layout.entry_offset(0), 2)
    run.damage(layout.entry_offset(0) + 2, 0x80)
    run.turn(WRITER)  # the written flag is not 0, and reader 0's flag is not 1: it waits
    run.turn(1)  # its own flag is not 0: it waits
    run.to(0, "R3")  # its own flag is 0 and the written flag is not: only the frame can stop it
    return run


def _damaged_marks() -> Recorder:
    run = Recorder(3, 2)
    entry = run.segment.layout.entry_offset(0)
    for offset, value in enumerate((1, 2, 0xFF, 1)):
        run.damage(entry + offset, value)
    for flag in (0, 1):  # neither is 0, and neither is 1: not marked, and the writer waits
        run.to(WRITER, "W2")
        run.step(WRITER, flag)
    run.to(WRITER, "W2")
    run.step(WRITER, 2)  # this one is marked, and the look goes on
    run.step(WRITER, 1)
    run.actors[WRITER].lie_down()
    run.to(WRITER, "S5", down=True)  # its second look finds no more, and so it sleeps
    return run


def _damaged_word() -> Recorder:
    run = Recorder(2, 1)
    run.damage(run.segment.layout.awake_offset + 4, 7)  # reader 0's word
    run.damage(run.segment.layout.awake_offset + 9, 1)  # and reader 1's, which is 0x101 now
    run.send(3)
    run.turn(WRITER)  # neither is 1: both are woken
    for rank in (0, 1):
        run.turn(rank)
    return run


def _drawn(readers: int, blocks: int, seed: int, count: int) -> Recorder:
    """Steps of whoever is drawn, with bodies that raise, messages of several blocks, and sleepers."""
    run, draw = Recorder(readers, blocks), Draw(seed)
    asleep: set[int] = set()
    while len(run.steps) < count:
        rank = draw.below(1 + readers) - 1
        actor = run.actors[rank]
        if rank in asleep:
            continue
        aborted = actor.is_in_payload and draw.below(8) == 0
        if rank == WRITER and run.outgoing is None:
            run.send(draw.below(2 * CHUNK_BYTES + 9))
        ranks = actor.place.ranks
        did = run.step(rank, ranks[draw.below(len(ranks))] if ranks else None, aborted=aborted)
        if did.has_waited and draw.below(2):
            actor.lie_down()
        kind = did.place.instruction.row.access.kind
        if kind is Kind.SLEEP and did.value == 0:
            asleep.add(rank)
        elif kind is Kind.WAKE:
            asleep.discard(run.steps[-1]["rank"] if rank == WRITER else WRITER)
    return run


TRACES: Final[dict[str, tuple[str, Callable[[], Recorder]]]] = {
    "one-lap": ("one reader, two blocks, message by message, into the third lap", _one_lap),
    "full-ring": ("the writer waits for one of two readers, a reader for the writer, and a reader is a lap ahead", _full_ring),
    "one-block": ("one block: each waits for the other", _one_block),
    "any-order": ("the flags of three readers, looked at and cleared in other orders", _any_order),
    "between-flags": ("readers step while the writer is between two flags", _between_flags),
    "aborts": ("callers that raise: nothing is published, nothing is marked, the same block comes next", _aborts),
    "parts": ("a message of several blocks, and one that is withdrawn", _parts),
    "sleeping": ("lying down, being woken before and in the sleep, and finding the block after the word was stored", _sleeping),
    "damaged": ("flags that are neither 0 nor 1", _damaged),
    "damaged-marks": ("read flags that are neither 0 nor 1, of a block that was written: it is not marked", _damaged_marks),
    "damaged-word": ("words of who is awake that are neither 0 nor 1", _damaged_word),
    "drawn-1x2": ("drawn: one reader, two blocks", lambda: _drawn(1, 2, 1, 150)),
    "drawn-2x2": ("drawn: two readers, two blocks", lambda: _drawn(2, 2, 2, 260)),
    "drawn-3x1": ("drawn: three readers, one block", lambda: _drawn(3, 1, 3, 200)),
    "drawn-2x3": ("drawn: two readers, three blocks", lambda: _drawn(2, 3, 4, 260)),
}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """The names and the contents of all files of steps."""
    for name, (about, make) in TRACES.items():
        yield f"steps/{name}.json", make().document(about)
