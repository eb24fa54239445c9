"""Rows, interpreted one by one in Python, and written down: what records where there is no extension.

Rules: the accesses, their order and what follows from them are those that compiled Python makes (``memory/printer.py``); tests
hold the two together. What a record holds is said in ``trace/recording.py``. Limits: those of compiled Python; some
microseconds for each row; an interrupt that comes between two rows is a record of its own.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.errors import TraceFileError
from ringbuffer.memory.codes import BUSY, ENDED, FOUND, WAIT
from ringbuffer.memory.futex import time_of
from ringbuffer.memory.layout import FRAME, FRAME_BYTES
from ringbuffer.memory.python_runner import Memory
from ringbuffer.memory.runnable import payload_of, rest_of
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Access, Edge, Flag, Kind, Outcome, Program
from ringbuffer.trace.recording import INTERRUPTED, RECORD, RECORD_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

WINDOW_BYTES: Final = 1 << 20


class Tape:
    """Records, written into a mapped file: what ``_recording.h`` does, in Python."""

    def __init__(self, descriptor: int, at: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._start, self._at, self.error = 0, at, 0
        self._look: tuple[int, bytes] | None = None
        try:
            self._window = self._mapped(0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _mapped(self, start: int) -> mmap.mmap:
        os.posix_fallocate(self._descriptor, start, WINDOW_BYTES)
        return mmap.mmap(self._descriptor, WINDOW_BYTES, offset=start)

    @property
    def end(self) -> int:
        """The offset behind the last record."""
        return self._start + self._at

    def write(self, code: int, detail: int, block: int, value: int) -> None:
        """One record."""
        if self._at == WINDOW_BYTES and not self.error:
            try:
                window = self._mapped(self._start + WINDOW_BYTES)
            except OSError as error:
                self.error = error.errno or 1
            else:
                self._window.close()
                self._window, self._start, self._at, self._look = window, self._start + WINDOW_BYTES, 0, None
        if not self.error:
            record = RECORD.pack(code, detail, block, value)
            self._window[self._at + 2 : self._at + RECORD_BYTES] = record[2:]
            self._window[self._at : self._at + 2] = record[:2]  # last, so that a record is there whole or not at all
            self._at += RECORD_BYTES

    def looked(self, began: int) -> None:
        """A look that began there has found the block busy: it is taken back if it is the last one over again."""
        if began < self._start:
            return
        place = began - self._start
        records = self._window[place : self._at]
        if records and self._look == (place, records):
            self._window[place : self._at] = bytes(len(records))
            self._at = place
        else:
            self._look = (self._at, records)

    def close(self) -> None:
        """Let go of the file."""
        self._window.close()
        os.close(self._descriptor)


class RecordedRunner:
    """A :class:`~ringbuffer.compiled.Runner` in Python that interprets rows, and records them. It has no fast calls."""

    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self._program, self._rank = program, rank
        self._payload = payload_of(program).pc
        for one in program.instructions:
            _check_access(one.row.id, one.row.access)
        rest = rest_of(program)
        self._rests_at = 0 if rest is None else rest.pc
        self._memory = Memory(segment, rank)
        self._lock = threading.Lock()
        self._tape: Tape | None = None
        self._index = self._done = 0
        self._is_held = self._is_released = False
        self.is_in_use = self.is_roused = self.is_resting = False
        self.pending: bytes | bytearray | None = None
        self.decode_tensor: Callable[[bytearray], Any] | None = None
        self.pending_kind, self.result = 0, BUSY
        self.spin_count, self.yield_seconds, self.began = 0, 0.0, 0.0
        self.has_sought = self.is_cancelled = False

    def record(self, descriptor: int, at: int) -> None:
        """From here on write down what each row does."""
        self._tape = Tape(descriptor, at)

    def recorded(self) -> tuple[int, int] | None:
        """Stop recording: the offset behind the last record, and the error that has ended it before (0: none)."""
        tape, self._tape = self._tape, None
        if tape is None:
            return None
        tape.close()
        return tape.end, tape.error

    @property
    def in_use(self) -> bool:
        """Whether the endpoint says so."""
        return self.is_in_use

    @property
    def can_rest(self) -> bool:
        """Whether the table has rows for lying down."""
        return self._rests_at > 0

    @property
    def views(self) -> tuple[RecordedRunner]:
        """What to release before the segment is closed."""
        return (self,)

    def where(self) -> int:
        """The index of the current block."""
        return self._index

    def done(self) -> int:
        """How many blocks the actor is done with."""
        return self._done

    def resume(self, done: int, /) -> None:
        """Stand at the block after so many, and note that number."""
        self._memory.position[0] = done
        self._index, self._done, self._is_held = done % self._memory.layout.max_chunks, done, False

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        if not self._is_released:
            self._is_released = True
            self.recorded()
            self._memory.release()

    def begin(self) -> int:
        """From the first row to the caller's part, or to waiting."""
        began = 0 if self._tape is None else self._tape.end
        self._is_held = False
        result = self._run(0)
        if result == WAIT and self._tape is not None:
            self._tape.looked(began)
        return result

    def finish(self) -> int:
        """From the end of the caller's part on."""
        self._write(self._payload, 0, _held(self._memory.frames[self._index]))
        return self._leave(Outcome.DONE)

    def abort(self) -> int:
        """The caller has given its part up."""
        if self._is_held:
            self._write(self._payload, 1, 0)
        return self._leave(Outcome.ABORTED)

    def _leave(self, outcome: Outcome) -> int:
        self._is_held = False
        pc, result = self._take(self._payload, outcome)
        return result if pc < 0 else self._run(pc)

    def seek(self, spin_count: int, yield_seconds: float, is_callers: bool = False, /) -> int:
        """Look for the block: at once, again so many times, and then for so long."""
        if (self.is_in_use and not is_callers) or self._is_held or self._is_released:
            return BUSY
        result = self._look()
        while result == WAIT and spin_count > 0:
            spin_count -= 1
            result = self._look()
        until = time.monotonic() + yield_seconds
        while result == WAIT and not self.is_roused and time.monotonic() < until:
            os.sched_yield()
            result = self._look()
        return result

    def _look(self) -> int:
        result = self.begin()
        self._is_held = False
        return result

    def rest(self, timeout_seconds: float | None, /) -> int:
        """Lie down, and sleep for so long at most."""
        if self.is_roused:
            self.is_roused = False
            return ENDED
        self.is_resting = True
        try:
            return self._run(self._rests_at, time_of(timeout_seconds))
        finally:
            self.is_roused = self.is_resting = False

    def rouse(self) -> None:
        """From any thread: the present rest, or the next one, ends at once."""
        self.is_roused = True
        if self.is_resting:
            self._memory.awake[1 + self._rank] = 1
            self._memory.words.wake(1 + self._rank)

    def send(self, _kind: int, _data: Buffer | list[bytes | memoryview], _timeout: float | None = None, /) -> int:
        """There is no fast way here."""
        return BUSY

    def receive(self, _decode: Callable[[bytes], Any] | None, _timeout: float | None = None, /) -> Any:
        """There is no fast way here."""
        raise StopIteration

    def whole(self, _timeout: float | None = None, /) -> int:
        """There is no fast way here."""
        return -1

    def _run(self, pc: int, timeout: Any = None) -> int:
        """Rows from there on, to the end of the call."""
        try:
            while pc != self._payload:
                outcome = self._row(pc, timeout)
                pc, result = self._take(pc, outcome)
                if pc < 0:
                    return result
        except BaseException:
            if self._tape is not None:
                self._tape.write(INTERRUPTED, 0, self._index, 0)
            raise
        self._is_held = True
        return FOUND

    def _take(self, pc: int, outcome: Outcome) -> tuple[int, int]:
        """Where an outcome leads: a row, or -1 and how the call ends."""
        branch = self._program[pc].branch(outcome)
        self._index = (self._index + branch.advance) % self._memory.layout.max_chunks
        self._done += branch.edge is Edge.FINISHED
        if branch.edge is Edge.FORWARD or (branch.edge in (Edge.RESTARTED, Edge.FINISHED) and branch.pc):
            return branch.pc, ENDED
        return -1, WAIT if branch.edge is Edge.WAITED else ENDED

    def _row(self, pc: int, timeout: Any) -> Outcome:
        access = self._program[pc].row.access
        ranks = range(self._count(access.flag)) if access.is_several else range(1)
        zeros = 0
        if not ranks:
            self._write(pc, 0, 0)
        for rank in ranks:
            value = self._access(access, rank, timeout)
            self._write(pc, rank, value)
            is_zero = value != 1 if access.is_several else value == 0
            zeros += access.kind is Kind.LOAD and is_zero
            if zeros > access.missing_allowed:
                return Outcome.ZERO
        return Outcome.ONE if access.kind is Kind.LOAD else Outcome.DONE

    def _count(self, flag: Flag | None) -> int:
        readers = self._memory.layout.n_reader
        if flag is Flag.OTHERS_AWAKE:
            return readers if self._rank == -1 else 1
        return readers - (flag is Flag.BUT_LAST and readers > 0)

    def _access(self, access: Access, rank: int, timeout: Any) -> int:
        """Make one access: the value that was loaded or stored."""
        memory = self._memory
        if access.kind is Kind.FENCE:
            with self._lock:
                return 0
        if access.kind in (Kind.SLEEP, Kind.WAKE):
            if access.kind is Kind.WAKE:
                return memory.words.wake(
                    1 + rank if self._rank == -1 and access.flag is Flag.OTHERS_AWAKE else self._word(access)
                )
            if not self.is_roused:
                memory.words.sleep(1 + self._rank, timeout)
            return 0
        if access.flag is Flag.POSITION:
            memory.position[0] = self._done + 1
            return self._done + 1
        view: Any
        if access.flag in (Flag.AWAKE, Flag.OTHERS_AWAKE):
            view, place = (memory.awake, 1 + self._rank) if access.flag is Flag.AWAKE else (memory.others, rank)
        else:
            view, place = memory.mapping, memory.entry_at[self._index] + self._place(access.flag, rank)
        if access.kind is Kind.LOAD:
            return int(view[place])
        assert access.value is not None, "a store has a value"
        view[place] = access.value
        return access.value

    def _word(self, access: Access) -> int:
        return 1 + self._rank if access.flag is Flag.AWAKE else 0

    def _place(self, flag: Flag | None, rank: int) -> int:
        """Which flag of the block."""
        match flag:
            case Flag.WRITTEN:
                return 0
            case Flag.OWN:
                return 1 + self._rank
            case Flag.NEIGHBOUR:
                return (1 + self._rank) % self._memory.layout.n_reader + 1
        return 1 + rank

    def _write(self, pc: int, detail: int, value: int) -> None:
        if self._tape is not None:
            self._tape.write(pc + 1, detail, self._index, value)


def _check_access(row: str, access: Access) -> None:
    if access.kind is Kind.EXCHANGE or access.flag is Flag.LOCK:
        raise TraceFileError(f"{row} ({access}) is recorded by the native backend only")


def _held(frame: memoryview) -> int:
    """What a block holds: the low half of its number in the stream, and a digest of frame and payload."""
    sequence, length, *_ = FRAME.unpack_from(frame)
    whole = min(int(length), len(frame) - FRAME_BYTES)
    return (int(sequence) & 0xFFFF_FFFF) << 32 | zlib.crc32(frame[: FRAME_BYTES + whole])
