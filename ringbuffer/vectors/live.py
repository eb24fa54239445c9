"""Vectors that are held against real rings and their endpoints, by the calls that anybody makes.

Rules: what a live ring has of its own (who made it and when, which processes have its roles) is taken out before bytes are
compared; that is all of the header and, of each participant's entry, what follows the position. Limits: every call is made
with a time-out of 0, in one process.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ringbuffer.codec.frames import BYTES, GATHERED, RAW, TENSOR, Frame
from ringbuffer.compiled import bind_native, bind_python
from ringbuffer.endpoint import ShmRingBufferIO
from ringbuffer.endpoint.peers import resumes_at
from ringbuffer.errors import DecodeError, FrameError, VectorError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE
from ringbuffer.memory.layout import AWAKE_BYTES, HEADER_BYTES, PARTICIPANT, PARTICIPANT_BYTES, Header, Layout
from ringbuffer.memory.participants import Entry, Role
from ringbuffer.memory.shared import NAME_PREFIX, Segment
from ringbuffer.protocol import PROTOCOL, Variant
from ringbuffer.ranks import WRITER
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.vectors.machine import POSITION_BYTES, changed
from ringbuffer.vectors.stepped import bytes_of
from ringbuffer.vectors.text import Json, crc, runs
from ringbuffer.vectors.words import turned


class _NativeEnd(ShmRingBufferIO):
    _bind = staticmethod(bind_native)  # type: ignore[assignment]


class _PythonEnd(ShmRingBufferIO):
    _bind = staticmethod(bind_python)  # type: ignore[assignment]


def _end(ring: ShmRingBuffer, rank: int, backend: str) -> ShmRingBufferIO:
    return (_NativeEnd if backend == NATIVE else _PythonEnd)(ring, rank)


class _Raised(Exception):
    """What a caller raises while it has the block."""


def same(what: str, found: Any, told: Any) -> None:
    """Raise :class:`VectorError` unless both are the same."""
    if found != told:
        raise VectorError(f"{what}: {told} in the vector, and {found} here")


@contextlib.contextmanager
def _ring(start: Json, variant: Variant = PROTOCOL) -> Iterator[tuple[ShmRingBuffer, memoryview]]:
    """A real ring of that geometry, and its bytes."""
    geometry = start["n_reader"], start["max_chunk_bytes"], start["max_chunks"]
    with ShmRingBuffer(*geometry, protocol=variant) as ring, ring.segment.whole() as whole:
        yield ring, whole


# ---- Calls ----------------------------------------------------------------------------------------------------------


class _Caller:
    """Makes the calls of a trace on the endpoints of one ring. Close it."""

    def __init__(self, ring: ShmRingBuffer, backend: str) -> None:
        self._ring, self._backend = ring, backend
        self._ends = {rank: _end(ring, rank, backend) for rank in range(WRITER, ring.n_reader)}

    def close(self) -> None:
        """Close all endpoints."""
        for end in self._ends.values():
            end.close()

    def make(self, call: Json) -> Json:
        """Make a call; what came of it, as it stands in the files."""
        return getattr(self, f"_{call['call']}")(self._ends[call["actor"]], call)  # type: ignore[no-any-return]

    def _leave(self, end: ShmRingBufferIO, _: Json) -> Json:
        end.close()
        return {"result": "done"}

    def _join(self, _: ShmRingBufferIO, call: Json) -> Json:
        self._ends[call["actor"]] = _end(self._ring, call["actor"], self._backend)
        return {"result": "done"}

    def _evict(self, end: ShmRingBufferIO, call: Json) -> Json:
        end.evict(call["rank"])
        return {"result": "done"}

    def _sent(self, send: Callable[[], bool | None]) -> Json:
        try:
            if send() is False:
                return {"result": "nothing"}
        except WaitTimeoutError as error:
            return {"result": "busy", "sent_bytes": error.sent_bytes}
        return {"result": "sent"}

    def _send(self, end: ShmRingBufferIO, call: Json) -> Json:
        same("kind", BYTES, call["kind"])
        return self._sent(functools.partial(end.send_bytes, bytes.fromhex(call["body"]), 0))

    def _resume(self, end: ShmRingBufferIO, _: Json) -> Json:
        return self._sent(functools.partial(end.resume, 0))

    def _receive(self, end: ShmRingBufferIO, _: Json) -> Json:
        try:
            return {"result": "message", "message": {"kind": BYTES, "body": end.recv_bytes(0).hex()}}
        except WaitTimeoutError:
            return {"result": "busy"}

    def _fill_and_raise(self, end: ShmRingBufferIO, call: Json) -> Json:
        payload = bytes.fromhex(call["payload"])
        with contextlib.suppress(_Raised), end.acquire_write(0) as block:
            block[: len(payload)] = payload
            raise _Raised
        return {"result": "raised"}

    def _receive_and_raise(self, end: ShmRingBufferIO, _: Json) -> Json:
        with contextlib.suppress(_Raised), end.acquire_read(0):
            raise _Raised
        return {"result": "raised"}


def calls(document: Json, backend: str, variant: Variant = PROTOCOL) -> None:
    """Make all calls of a trace. Raises :class:`VectorError` at the first of which something else comes."""
    start = document["segment"]
    before = bytes_of(start)
    with _ring(start, variant) as (ring, whole), contextlib.closing(_Caller(ring, backend)) as caller:
        same("bytes of the fresh ring", runs(changed(before, _shared_part(ring, whole, before))), [])
        for number, call in enumerate(document["calls"]):
            told = {key: call[key] for key in ("result", "sent_bytes", "message") if key in call}
            same(f"call {number}: result", caller.make(call), told)
            after = _shared_part(ring, whole, before)
            same(f"call {number}: changes", runs(changed(before, after)), call["changes"])
            same(f"call {number}: digest", crc(zlib.crc32(after)), call["crc32"])
            before = after


def _shared_part(ring: ShmRingBuffer, whole: memoryview, like: bytes) -> bytes:
    """The bytes of a live ring, with the header of ``like``, and entries that nobody has claimed."""
    layout = ring.segment.layout
    found = bytearray(turned(bytes(whole), layout))
    found[:HEADER_BYTES] = like[:HEADER_BYTES]
    for rank in range(WRITER, layout.n_reader):
        start = layout.participant_offset(rank)
        found[start + POSITION_BYTES : start + PARTICIPANT_BYTES] = bytes(PARTICIPANT_BYTES - POSITION_BYTES)
    return bytes(found)


# ---- Streams --------------------------------------------------------------------------------------------------------


_TOLD = ("refused", "taken", "delivered", "undecodable")
_IN_PLACE = (GATHERED, TENSOR)
"""The kinds whose bodies are compared as they lie in their block, as what they make is not the same everywhere."""


def stream(case: Json, backend: str) -> None:
    """Put blocks before a reader, one after the other. Raises :class:`VectorError` where it makes something else of one."""
    begins_at = case["begins_at"]
    with _ring({"n_reader": 1, **case}) as (ring, whole):
        position = ring.segment.layout.participant_offset(0)
        whole[position : position + POSITION_BYTES] = begins_at.to_bytes(POSITION_BYTES, "little")
        with _end(ring, 0, backend) as reader:
            done = begins_at
            for number, block in enumerate(case["blocks"]):
                _put(ring, done % ring.max_chunks, bytes.fromhex(block["frame"] + block["payload"]))
                found = _made_of(reader, block)
                same(f"block {number}", found, {key: block[key] for key in _TOLD if key in block})
                is_read = "refused" not in found
                same(f"block {number}: its flags", list(ring.flags(done % ring.max_chunks)), [1, int(is_read)])
                done += is_read
                noted = int.from_bytes(whole[position : position + POSITION_BYTES], "little")
                same(f"block {number}: position", noted, done)


def _put(ring: ShmRingBuffer, block: int, content: bytes) -> None:
    """What a writer leaves: the frame, the payload, what an earlier message has left behind it, and the flags."""
    with ring.segment.frame(block) as frame, ring.segment.flags(block) as flags:
        frame[:] = content.ljust(len(frame), b"\xee")
        flags[:] = b"\1\0"


def _made_of(reader: ShmRingBufferIO, block: Json) -> Json:
    told = block.get("delivered", {"kind": BYTES, "body": ""})
    with memoryview(bytes.fromhex(block["frame"])) as view:
        frame = Frame.read(view)
    try:
        if frame.kind == RAW:  # any other call refuses it for its kind, whatever else its frame says
            with reader.acquire_read(0) as view:
                return {"delivered": {"kind": RAW, "body": view.hex()}}
        if "delivered" in block and told["kind"] in _IN_PLACE:
            with reader.acquire_read(0) as view:
                return {"delivered": {"kind": frame.kind, "body": view[: frame.length_bytes].hex()}}
        obj = reader.dequeue(0)
    except FrameError:
        return {"refused": True}
    except DecodeError as error:
        return {"undecodable": {"kind": frame.kind, "body": error.raw.hex()}}
    except WaitTimeoutError:
        return {"taken": block.get("taken", "part")}
    if told["kind"] == BYTES:
        return {"delivered": {"kind": BYTES, "body": obj.hex()}}
    same("object", obj, pickle.loads(bytes.fromhex(told["body"])))
    return {"delivered": told}


# ---- Peers ----------------------------------------------------------------------------------------------------------


def successor(case: Json, backend: str) -> None:
    """Let somebody take over. Raises :class:`VectorError` where it goes on elsewhere."""
    start, rank = case["segment"], case["rank"]
    with _ring(start) as (ring, whole):
        left = bytes_of(start)
        whole[HEADER_BYTES:] = turned(left, ring.segment.layout)[HEADER_BYTES:]
        role = Role(ring.segment, rank)
        same("number", resumes_at(ring, role), case["goes_on_at"])
        role.release()
        with _end(ring, rank, backend) as end:
            same("number of the endpoint", end._runner.done(), case["goes_on_at"])
            offset, number = case["noted"]
            noted = left[:offset] + number.to_bytes(POSITION_BYTES, "little") + left[offset + POSITION_BYTES :]
            same("bytes", runs(changed(noted, _shared_part(ring, whole, noted))), [])


def segment(case: Json, _: str) -> None:
    """Make a segment. Raises :class:`VectorError` where its bytes are others."""
    start = case["segment"]
    layout, flag = Layout(start["n_reader"], start["max_chunk_bytes"], start["max_chunks"]), case["initial_read_flag"]
    told, identity = bytes_of(start), bytes.fromhex(case["identity"])
    same("name", f"{NAME_PREFIX}{identity.hex()[:16]}", case["name"])
    header = Header.of(layout, initial_read_flag=flag, creator_pid=case["creator_pid"], identity=identity).pack()
    same("header", header.ljust(HEADER_BYTES, b"\0").hex(), told[:HEADER_BYTES].hex())
    made = Segment.create(layout, initial_read_flag=flag)
    try:
        same("name of a live segment", made.name, f"{NAME_PREFIX}{made.header.identity.hex()[:16]}")
        with made.whole() as whole:
            same("header of a live segment", bytes(whole[:HEADER_BYTES]), made.header.pack().ljust(HEADER_BYTES, b"\0"))
            found = turned(bytes(whole), layout)
            same("bytes behind the header", runs(changed(told[HEADER_BYTES:], found[HEADER_BYTES:])), [])
    finally:
        made.unlink()
        made.close()


def participant(case: Json, _: str) -> None:
    """Change who has a role, or ask. Raises :class:`VectorError` where an entry is another then."""
    with _ring({"n_reader": 1, "max_chunk_bytes": 8, "max_chunks": 1}) as (ring, whole):
        role = Role(ring.segment, 0)
        start = ring.segment.layout.participant_offset(0)
        entry = slice(start, start + PARTICIPANT_BYTES)
        try:
            if "entry" in case:
                whole[entry] = bytes.fromhex(case["entry"])
                same("held by somebody", not case["is_locked"] or role.stand_in(), True)
                same("state", role.presence().value, case["state"])
            else:
                _change(case, ring, role, whole, entry)
        finally:
            role.let_go()
            role.release()


def _change(case: Json, ring: ShmRingBuffer, role: Role, whole: memoryview, entry: slice) -> None:
    change, offset = case["change"], ring.segment.layout.word_offset(0)
    word = slice(offset, offset + AWAKE_BYTES)
    if change == "leave":
        role.claim()
    whole[entry] = bytes.fromhex(case["before"])
    whole[word] = (case.get("awake", 1) ^ 1).to_bytes(AWAKE_BYTES, sys.byteorder)
    began = time.monotonic_ns()
    {"claim": role.claim, "leave": role.leave, "evict": role.note_eviction}[change]()
    after, ended = Entry(*PARTICIPANT.unpack(whole[entry][: PARTICIPANT.size])), time.monotonic_ns()
    told = Entry(*PARTICIPANT.unpack(bytes.fromhex(case["after"])[: PARTICIPANT.size]))
    own: dict[str, int] = {}  # what is of this process or of just now: the vector calls it pid and now
    own |= {name: case["pid"] for name in ("pid", "evicted_by") if getattr(after, name) == os.getpid()}
    own |= {name: case["now"] for name in ("claimed_at", "left_at") if began <= getattr(after, name) <= ended}
    same("entry", after._replace(**own), told)
    same("bytes behind its fields", whole[entry][PARTICIPANT.size :].hex(), case["after"][2 * PARTICIPANT.size :])
    if "awake" in case:
        same("awake", int.from_bytes(whole[word], sys.byteorder), case["awake"])
