"""The functions that ``printer.py`` prints, bound to a segment: what runs where there is no extension.

Rules: what the functions are bound to is made once, before the first message. Nothing here is a cycle of references: an
endpoint that is forgotten is gone at once, and with it what it holds of the segment. Limits: those of compiled Python
(``compiled.py``); positions are in the order of bytes of the processor, which those with total store order share with C.
"""

from __future__ import annotations

import linecache
import os
import threading
import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ringbuffer.memory.codes import (
    BUSY,
    BYTES,
    COPY_MAX_BYTES,
    ENDED,
    FOUND,
    FRAME,
    KIND_BITS,
    PICKLE,
    TENSOR,
    TOO_LARGE,
    WAIT,
    WHOLE,
)
from ringbuffer.memory.futex import Words, time_of
from ringbuffer.memory.layout import AWAKE_BYTES, FRAME_BYTES
from ringbuffer.memory.printer import NAMES, compile_program
from ringbuffer.memory.runnable import rest_of
from ringbuffer.memory.shared import Segment
from ringbuffer.protocol import Program

if TYPE_CHECKING:
    from typing_extensions import Buffer


_PART_AT: Final = 32
"""Behind so many bits of a frame's kind lies its part."""


class PythonRunner:
    """A :class:`Runner` whose functions are compiled Python.

    The functions know the variables of this object, its ``__dict__``, and not the object itself, to which they belong: an
    endpoint that is forgotten is gone at once, and not only when the garbage is collected.
    """

    __slots__ = (
        *("__dict__", "__weakref__", "_is_held", "_is_inside", "_let_go", "_look", "_memory", "_own"),
        *("abort", "begin", "can_rest", "done", "finish", "receive", "resume", "rest", "send", "where"),
    )
    begin: Callable[[], int]
    finish: Callable[[], int]
    abort: Callable[[], int]
    where: Callable[[], int]
    done: Callable[[], int]
    resume: Callable[[int], None]
    rest: Callable[[float | None], int]
    send: Callable[..., int]
    receive: Callable[..., Any]
    can_rest: bool
    is_in_use: bool
    pending: bytes | bytearray | None
    pending_what: int
    """Kind and part of what was pending last."""
    decode_tensor: Callable[[bytearray], Any] | None
    result: int
    spin_count: int
    yield_seconds: float
    began: float
    has_sought: bool
    is_cancelled: bool
    is_roused: bool
    is_resting: bool

    def __init__(self, program: Program, segment: Segment, rank: int) -> None:
        self.is_in_use = self.is_roused = self.is_resting = False
        self.pending = self.decode_tensor = None
        self.pending_what = self.result = self.spin_count = 0
        self.yield_seconds = self.began = 0.0
        self.has_sought = self.is_cancelled = False
        self._own = 1 + rank
        self._memory = Memory(segment, rank)
        self.can_rest = rest_of(program) is not None
        calls = self._memory.bind(program, self.__dict__, stepping=False)
        self.begin, self.finish, self.abort = calls["begin"], calls["finish"], calls["abort"]
        self.where, self.done, self.resume = calls["where"], calls["done_with"], calls["resume"]
        self.rest = calls.get("rest", no_rest)
        self.send, self.receive = calls.get("send", no_send), calls.get("receive", no_receive)
        self._look, self._let_go = calls["look"], calls["let_go"]
        self._is_inside, self._is_held = calls["is_inside"], calls["is_held"]

    @property
    def in_use(self) -> bool:
        """Whether the endpoint says so, or somebody is inside. A message that goes through at once does not ask this.

        In this order: another thread can come where a function is entered, and then says so.
        """
        return self._is_inside() or self.is_in_use

    @property
    def pending_kind(self) -> int:
        """What kind of message was pending last."""
        return self.pending_what & (1 << _PART_AT) - 1

    @property
    def views(self) -> tuple[PythonRunner]:
        """What to release before the segment is closed."""
        return (self,)

    def rouse(self) -> None:
        """From any thread: the present rest, or the next one, ends at once.

        A rest looks at ``is_roused`` behind the store of 0 to its word and before the sleep: either it sees this, or the word
        is 1 when the kernel compares, or it is woken.
        """
        self.is_roused = True
        if self.is_resting:
            self._memory.awake[self._own] = 1
            self._memory.words.wake(self._own)

    def seek(self, spin_count: int, yield_seconds: float, is_callers: bool = False, /) -> int:
        """Look for the block: at once, again so many times, and then for so long with the processor given away in between."""
        if self._is_held() or (self._is_inside() if is_callers else self.in_use):
            return BUSY
        return _seek(self.__dict__, self._look, spin_count, _monotonic() + yield_seconds if yield_seconds > 0 else None)

    def whole(self, timeout: float | None = None, /) -> int:
        """Look for the next message, for a caller who has set ``is_in_use``: what ``compiled.py`` says."""
        if self._own == 0:
            no_receive()
        if self._is_inside() or self._memory.entry_at is _RELEASED:
            return -1
        result = self.begin()  # a block that is held is found again
        if result != FOUND and not (result == WAIT and self._look_on(timeout)):
            return -1  # an edited table can also come to its end without the caller
        sequence, length, what, total = self._memory.heads[self.where()]
        is_next = sequence == self.done() and total == length <= self._memory.layout.max_chunk_bytes
        kind = what - (WHOLE << _PART_AT)
        if is_next and 0 <= kind < 1 << KIND_BITS:
            self.has_sought = False
            return length << KIND_BITS | kind
        return -1

    def _look_on(self, timeout: float | None) -> bool:
        """The block is busy: look again on behalf of :meth:`whole`. Whether it was found, and is held."""
        yield_seconds = self.yield_seconds if timeout is None else min(timeout, self.yield_seconds)
        until = None
        if self.spin_count > 0 or yield_seconds > 0:
            self.began = _monotonic()
            until = self.began + yield_seconds if yield_seconds > 0 else None
        result = _seek_on(self.__dict__, self._look, self.spin_count, until)
        self.has_sought = self.has_sought or until is not None
        return result != WAIT and self.begin() == FOUND

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        self._let_go()
        self.is_resting = False
        self._memory.release()


class Memory:
    """The parts of a segment, as printed functions use them."""

    def __init__(self, segment: Segment, rank: int) -> None:
        self.layout, self.rank = segment.layout, rank
        blocks = range(self.layout.max_chunks)
        readers, whole = self.layout.n_reader, segment.whole()
        entries, stride = self.layout.metadata_offset, self.layout.entry_stride_bytes
        self.entry_at: list[int] | _Released = [entries + block * stride for block in blocks]
        self.read_of = [segment.read_flags(block) for block in blocks]
        self.frames = [(segment.frame if rank == -1 else segment.readonly_frame)(block) for block in blocks]
        # A frame as four numbers of 64 bits, of which one is kind and part: it takes less time to look at than a structure.
        self.heads = [frame[:FRAME_BYTES].cast("Q") for frame in self.frames]
        self.mapping = whole.obj  # a slice of it is bytes at once; it is no view, and nothing that must be released
        start = self.layout.participant_offset(rank)
        self.position = whole[start : start + 8].cast("Q")
        start = self.layout.awake_offset
        self.awake = whole[start : start + AWAKE_BYTES * (1 + readers)].cast("I")
        self.others = self.awake[1:] if rank == -1 else self.awake[:1]
        self.words = Words(whole, start, 1 + readers)
        self._views = (*self.read_of, *self.heads, *self.frames, self.position, self.others, self.awake, whole)

    def bind(self, program: Program, state: dict[str, Any], *, stepping: bool) -> dict[str, Callable[..., Any]]:
        """The functions of ``program``. ``state``: the variables that they share with others."""
        readers, blocks = self.layout.n_reader, self.layout.max_chunks
        lock = threading.Lock()
        own = 1 + self.rank
        bound = {
            "state": state,
            "look_again": _looking_again(state),
            "entry_at": self.entry_at,
            "read_of": self.read_of,
            "following": [*range(1, blocks), 0],
            "ones": b"\1" * readers,
            "zeros": b"\0" * readers,
            "own": own,
            "position": self.position,
            "awake": self.awake,
            "others": self.others,
            "up": array("I", [1]) * len(self.others),
            "down": array("I", [0]) * len(self.others),
            "others_at": range(1, 1 + readers) if own == 0 else range(1),
            # Nobody else has this lock, so that taking it never waits: it is taken by one fence, and given back by the next.
            "take_lock": lock.acquire,
            "give_lock": lock.release,
            "time_of": time_of,
            "lie_down": self.words.sleep,
            "wake": self.words.wake,
            "frames": self.frames,
            "heads": self.heads,
            "frame_at": [self.layout.block_offset(block) for block in range(blocks)],
            "data_at": [self.layout.block_offset(block) + FRAME_BYTES for block in range(blocks)],
            "mapping": self.mapping,
            "limit": self.layout.max_chunk_bytes,
        }
        return _load(program, readers, stepping)(*(bound[name] for name in NAMES))

    def release(self) -> None:
        """Let go of the segment; again does nothing."""
        self.entry_at = _RELEASED
        self.words.release()
        for view in self._views:
            view.release()


def _seek(state: dict[str, Any], look: Callable[[], int], spin_count: int, until: float | None) -> int:
    """Look: at once, again so many times, and then, if there is a time for that, between yields until that time."""
    result = look()
    return result if result != WAIT else _seek_on(state, look, spin_count, until)


def _seek_on(state: dict[str, Any], look: Callable[[], int], spin_count: int, until: float | None) -> int:
    """Look again, as :func:`_seek` does."""
    result = WAIT
    while result == WAIT and spin_count > 0:
        spin_count -= 1
        result = look()
    while result == WAIT and until is not None and not state["is_roused"]:
        _yield()
        result = look()
        if result == WAIT and _monotonic() >= until:
            break
    return result


def _looking_again(state: dict[str, Any]) -> Callable[[int, float | None], int]:
    """What ``send`` and ``receive`` call where the block is busy. It is written in Python, so that no interrupt comes between
    its return and the assignment of what it returns."""

    def look_again(looked: int, timeout: float | None) -> int:
        """The block is busy for a call which has looked again so often: what comes before the next look, and how many there
        are with it, or 0 where there is none. While it looks by a clock it can be cancelled, and says ``has_sought``."""
        yield_seconds = state["yield_seconds"] if timeout is None else min(state["yield_seconds"], timeout)
        if not looked:
            if yield_seconds > 0:
                state["began"] = _monotonic()
                state["is_cancelled"] = False
            state["has_sought"] = yield_seconds > 0
        beyond = looked - state["spin_count"]
        if beyond >= 0:
            if yield_seconds <= 0 or state["is_roused"] or (beyond and _monotonic() >= state["began"] + yield_seconds):
                return 0
            try:
                _yield()
            except BaseException:
                state["has_sought"] = False  # the call is over
                raise
        return looked + 1

    return look_again


def no_rest(*_: object) -> Any:
    """Refuse to lie down."""
    raise ValueError("in this table no row lies down: look again instead")


def no_send(*_: object) -> int:
    """Refuse to send."""
    raise ValueError("in this table the caller reads: there is nothing to send")


def no_receive(*_: object) -> object:
    """Refuse to receive."""
    raise ValueError("in this table the caller writes: there is nothing to receive")


def _flat(data: Buffer) -> memoryview | bytes:
    """A buffer as bytes one behind the other. Raises ``BufferError`` for one that is not contiguous."""
    view = memoryview(data)
    if not view.c_contiguous:
        raise BufferError("a message is a C-contiguous buffer")
    return view.cast("B") if view.nbytes else b""


class _Released:
    """Stands in the place of where the flags are, once the memory was let go of: the mapping itself may stay, for others."""

    def __getitem__(self, _: int) -> int:
        raise ValueError("this runner was released, and its memory is not its own any more")


_RELEASED: Final = _Released()
_monotonic, _yield = time.monotonic, os.sched_yield
_GLOBALS: Final[dict[str, Any]] = {
    "WAIT": WAIT,
    "FOUND": FOUND,
    "ENDED": ENDED,
    "BUSY": BUSY,
    "TOO_LARGE": TOO_LARGE,
    "WHOLE": WHOLE,
    "WHOLE_PICKLE": WHOLE << _PART_AT | PICKLE,
    "WHOLE_BYTES": WHOLE << _PART_AT | BYTES,
    "WHOLE_TENSOR": WHOLE << _PART_AT | TENSOR,
    "COPY_MAX_BYTES": COPY_MAX_BYTES,
    "FRAME_BYTES": FRAME_BYTES,
    "RELEASED": _RELEASED,
    "pack": FRAME.pack_into,
    "flat": _flat,
}


@lru_cache(maxsize=256)
def _load(program: Program, n_reader: int, stepping: bool) -> Callable[..., dict[str, Callable[..., Any]]]:
    """Compile once per table; keep the source where tracebacks and debuggers find it."""
    source = compile_program(program, n_reader, stepping=stepping)
    name = (
        f"<rows of the {program.role.value}, {n_reader} readers{', stepping' if stepping else ''} #{hash(program) & 0xFFFF:x}>"
    )
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = dict(_GLOBALS)
    exec(compile(source, name, "exec"), namespace)
    bound: Callable[..., dict[str, Callable[..., Any]]] = namespace["bind"]
    return bound
