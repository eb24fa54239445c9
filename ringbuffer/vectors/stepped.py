"""Traces of steps, held against the rows of one backend on a real segment, one access at a time.

The trace says which actor steps. Where that actor stands, where its access goes, what it loads or stores, which bytes change,
and before which rows it may stand then, is compared with the trace, and the first thing that differs refuses it. Rules: the
bytes are those of the segment, read anew after every step. Limits: Python's stepping form does not say where it has looked;
there a look is known by where it leads, and the place and the value in the trace are held to the bytes.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, NoReturn, Protocol

from ringbuffer.codec.frames import Assembly, Frame, check_frame
from ringbuffer.compiled import FOUND, WAIT, Compiled, Stepping, bind_native, step_python
from ringbuffer.errors import FrameError, VectorError
from ringbuffer.memory.backend import NATIVE, extension
from ringbuffer.memory.layout import FRAME_BYTES, Layout
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import PROTOCOL, Edge, Kind, Program, Variant, executed
from ringbuffer.ranks import WRITER
from ringbuffer.vectors.machine import Changes, applied, changed, location
from ringbuffer.vectors.text import Json, crc, read_runs, runs
from ringbuffer.vectors.words import order_of, turned

Stop = tuple[int, int, tuple[int, ...]]


class _Rows(Protocol):
    """The rows of one backend, stopped before each access."""

    def enter(self, call: str) -> int | Stop:
        """Begin a call: where it stops, or how it has ended."""
        ...

    def step(self, rank: int) -> tuple[int | Stop, int | None, int | None]:
        """One access: where it stops then, or how the call has ended; and the offset and the value, as far as it says so."""
        ...

    def done(self) -> int:
        """How many blocks the actor is done with."""
        ...

    def release(self) -> None:
        """Let go of the segment."""
        ...


class _Native:
    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self._runner: Any = bind_native(program, segment, rank)
        self._going = extension().GOING

    def _stop(self, result: int) -> int | Stop:
        stop: Stop = self._runner.stop() if result == self._going else (0, 0, ())
        return stop if result == self._going else result

    def enter(self, call: str) -> int | Stop:
        return self._stop(self._runner.enter(call))

    def step(self, rank: int) -> tuple[int | Stop, int | None, int | None]:
        result, offset, value = self._runner.step(rank)
        return self._stop(result), offset if offset >= 0 else None, value

    def done(self) -> int:
        return int(self._runner.done())

    def release(self) -> None:
        self._runner.release()


class _Python:
    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self._rows: Compiled = step_python(program, segment, rank)
        self._running: Stepping | None = None

    def enter(self, call: str) -> int | Stop:
        self._running = getattr(self._rows, call)()
        try:
            return next(self._running)
        except StopIteration as end:
            return int(end.value)

    def step(self, rank: int) -> tuple[int | Stop, int | None, int | None]:
        assert self._running is not None, "a call was entered"
        try:
            return self._running.send(rank), None, None
        except StopIteration as end:
            return int(end.value), None, None

    def done(self) -> int:
        return self._rows.done()

    def release(self) -> None:
        for view in self._rows.views:
            view.release()


class Refused(VectorError):
    """A step of a trace is not what this implementation does. Attribute: ``number``, of the step, from 0."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"step {number}: {why}")
        self.number, self.why = number, why

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.number, self.why)


class _Actor:
    """One actor: before which rows it may stand, and how it gets there."""

    def __init__(self, table: Program, rows: _Rows) -> None:
        self._table, self.rows = table, rows
        self._rests = next((b.pc for one in table.instructions for _, b in one.branches if b.edge is Edge.WAITED and b.pc), 0)
        self._stop: Stop | None = None
        self._is_held = self._has_waited = False

    def onward(self) -> list[str]:
        """The rows before which it may stand."""
        if self._stop is not None:
            return [self._id(self._stop[0])]
        if self._is_held:
            return [one.row.id for one in self._table.instructions if one.row.is_payload]
        return [self._id(0), self._id(self._rests)] if self._has_waited and self._rests else [self._id(0)]

    def _id(self, pc: int) -> str:
        return self._table[pc].row.id

    def stand(self, clause: str) -> Stop | None:
        """Stand before that row, which is one of :meth:`onward`: where that is; ``None`` in the caller's part."""
        if self._stop is None and not self._is_held:
            self._came(self.rows.enter("begin" if clause == self._id(0) else "rest"))
        return self._stop

    def row_of(self, stop: Stop) -> Any:
        """The row before which it stands."""
        return self._table[stop[0]].row

    def step(self, rank: int) -> tuple[int | None, int | None]:
        """Make the access; the offset and the value, as far as the backend says so."""
        result, offset, value = self.rows.step(rank)
        self._came(result)
        return offset, value

    def end_payload(self, ended: str) -> None:
        """The caller's part is over."""
        self._is_held = False
        self._came(self.rows.enter("finish" if ended == "done" else "abort"))

    def _came(self, result: int | Stop) -> None:
        self._stop = result if isinstance(result, tuple) else None
        self._is_held, self._has_waited = result == FOUND, result == WAIT


class Stepped:
    """A real segment with the bytes of a trace, and the actors on it. Close it."""

    def __init__(self, start: Json, backend: str, variant: Variant = PROTOCOL) -> None:
        self.layout: Final = Layout(start["n_reader"], start["max_chunk_bytes"], start["max_chunks"])
        self._segment = Segment.create(self.layout)
        self._assemblies = [Assembly() for _ in range(self.layout.n_reader)]
        self._view = self._segment.whole()
        self._before = bytes_of(start)
        self._view[:] = turned(self._before, self.layout)
        rows = _Native if backend == NATIVE else _Python
        self._actors: dict[int, _Actor] = {}
        for rank in range(WRITER, self.layout.n_reader):
            program = executed(variant.writer if rank == WRITER else variant.reader)
            self._actors[rank] = _Actor(program, rows(program, self._segment, rank))
        self._number = 0

    def close(self) -> None:
        """Let go of the segment, and remove it."""
        self._segment.unlink()
        self._view.release()
        for actor in self._actors.values():
            actor.rows.release()
        self._segment.close()

    def take(self, step: Json) -> None:
        """Take one step of the trace. Raises :class:`Refused`."""
        actor = self._actors.get(step["actor"])
        if actor is None:
            self._refuse(f"there is no actor {step['actor']} in a ring of {self.layout.n_reader} readers")
        if step["clause"] not in actor.onward():
            self._refuse(f"the actor stands before {' or '.join(actor.onward())}, and not before {step['clause']}")
        stop = actor.stand(step["clause"])
        if stop is None:
            self._payload(actor, step)
        else:
            self._access(actor, stop, step)
        self._same("changes", runs(self._changes()), step["changes"])
        self._same("digest", crc(zlib.crc32(self._before)), step["crc32"])
        self._same("rows to go on at", actor.onward(), step["next"])
        self._number += 1

    def _access(self, actor: _Actor, stop: Stop, step: Json) -> None:
        _, block, ranks = stop
        access = actor.row_of(stop).access
        self._same("block", block, step["block"])
        self._same("access", access.kind.value, step["access"])
        rank = step.get("rank", 0)
        self._same("kind of flag", access.is_several, "rank" in step)
        if rank not in ranks:
            self._refuse(f"the flag of rank {rank} is not one of those that are left, {list(ranks)}")
        place = location(self.layout, access, step["actor"], block, rank)
        self._same("offset", place and place[0], step.get("offset"))
        found = None if place is None else self._load(*place)
        offset, value = actor.step(rank)
        if offset is not None:
            self._same("offset", offset, step.get("offset"))
        if access.kind is Kind.STORE:
            assert place is not None, "a store goes somewhere"
            found = self._load(*place)
        if access.kind in (Kind.LOAD, Kind.STORE) and offset is not None:
            self._same("value", value, step.get("value"))
        self._same("value", None if access.kind is Kind.WAKE else found, step.get("value"))

    def _payload(self, actor: _Actor, step: Json) -> None:
        block = actor.rows.done() % self.layout.max_chunks
        is_writer = step["actor"] == WRITER
        self._same("block", block, step["block"])
        self._same("access", (Kind.FILL if is_writer else Kind.READ).value, step["access"])
        content = bytes.fromhex(step["frame"] + step["payload"])
        start = self.layout.block_offset(block)
        if is_writer:
            self._view[start : start + len(content)] = content
        self._same("content of the block", self._view[start : start + len(content)].hex(), content.hex())
        self._message(actor, step, content, block)
        actor.end_payload(step["ended"])

    def _message(self, actor: _Actor, step: Json, content: bytes, block: int) -> None:
        """What the frame says, and the message that it may be the end of."""
        found = None
        with memoryview(content) as view:
            frame = Frame.read(view)
            try:
                check_frame(frame, actor.rows.done(), self.layout.max_chunk_bytes, block)
                self._same("length of the payload", frame.length_bytes, len(content) - FRAME_BYTES)
                if step["actor"] != WRITER and step["ended"] == "done":
                    assembly = self._assemblies[step["actor"]]
                    if assembly.add(frame, view[FRAME_BYTES:]):
                        kind, body = assembly.take()
                        found = {"kind": kind, "body": bytes(body).hex()}
            except FrameError as error:
                self._refuse(str(error))
        self._same("message", found, step.get("message"))

    def _load(self, offset: int, size: int) -> int:
        return int.from_bytes(self._view[offset : offset + size], order_of(size))

    def _changes(self) -> Changes:
        before, self._before = self._before, turned(bytes(self._view), self.layout)
        return changed(before, self._before)

    def _same(self, what: str, found: Any, told: Any) -> None:
        if found != told:
            self._refuse(f"{what}: {told} in the trace, and {found} here")

    def _refuse(self, why: str) -> NoReturn:
        raise Refused(self._number, why)


def bytes_of(start: Json) -> bytes:
    """The bytes of a segment as it stands in a file. Raises :class:`VectorError` where they are not those of its digest."""
    data = bytearray(Layout(start["n_reader"], start["max_chunk_bytes"], start["max_chunks"]).total_bytes)
    applied(data, read_runs(start["bytes"]))
    if crc(zlib.crc32(data)) != start["crc32"]:
        raise VectorError(f"the bytes of the segment have the digest {crc(zlib.crc32(data))}, and not {start['crc32']}")
    return bytes(data)


def follow(start: Json, steps: list[Json], backend: str, variant: Variant = PROTOCOL) -> None:
    """Take all steps of a trace. Raises :class:`Refused` at the first that is not what the backend does."""
    stepped = Stepped(start, backend, variant)
    try:
        for step in steps:
            stepped.take(step)
    finally:
        stepped.close()
