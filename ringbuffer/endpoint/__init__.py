"""The writer's and the readers' ends of a ring: they run the rows, and hand messages and blocks to callers.

Rules:

* A wait that times out or is cancelled, a peer that is gone, a body that raises and an object that cannot be encoded change
  nothing: the next call goes on where this one stood. So does one that ``KeyboardInterrupt`` has ended: a message that was
  marked as read and not given to its caller is kept, and the next call gives it. (A message of several blocks whose sending
  ``KeyboardInterrupt`` has ended is withdrawn, or was sent whole.)
* One use at a time: nested or concurrent use of an endpoint raises, or, where one call has just ended, comes after it. No
  message is given to two. Telling so costs two attributes: CPython switches threads only where it also raises
  ``KeyboardInterrupt``, and there is no such point between the test and the assignments, nor, when a call ends, between them
  and its return. Behind a call of a function in C there is one, but not where a ``for`` takes what a function in C has made:
  so the fast way of receiving is an iterator, and a message that it has given is its caller's before anybody else can come.
* A small message takes one call of the runner (``compiled.py``), the fast way. Whatever that does not do (it waits, say, or the
  message is large) is done by ``waiter.py``, ``inbox.py``, ``outbox.py`` and ``hold.py``, the slow way, which is whole without
  it. A slow call shuts the fast way, and opens it again only when nothing is left that must come first: no message that is
  kept, and none of which a part was sent or received.

Limits: a message of several blocks that a writer gives up in the middle costs its readers the blocks that were sent; the parts
that a reader had taken when it was killed are gone with it, and its successor passes over the rest of that message.
"""

from __future__ import annotations

import os
import pickle
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from types import TracebackType
from typing import Any, Final

from ringbuffer import recording
from ringbuffer.codec.frames import BYTES, PICKLE
from ringbuffer.codec.message import Encoder, as_bytes_view
from ringbuffer.codec.tensors import tensor_on
from ringbuffer.compiled import FOUND, WAIT, Runner, bind, role_of
from ringbuffer.endpoint.hold import READ, Hold, MessageHold
from ringbuffer.endpoint.inbox import RECEIVE, Inbox
from ringbuffer.endpoint.outbox import Outbox
from ringbuffer.endpoint.peers import resumes_at
from ringbuffer.endpoint.refusals import NOTHING, ended_wait, shut, wrong_side_error
from ringbuffer.endpoint.usage import Usage, everywhere
from ringbuffer.endpoint.waiter import Waiter
from ringbuffer.errors import RankError, RingBufferError
from ringbuffer.memory import participants
from ringbuffer.protocol import Program, Role, executed
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.waiting import WaitOptions, check_timeout

DEQUEUE: Final = "dequeue"

_loads, _monotonic = pickle.loads, time.monotonic


class ShmRingBufferIO(Usage):
    """One end of a ring. ``reader_rank``: -1 for the writer, ``0 .. n_reader - 1`` for a reader. ``waiting``: how it waits.

    The role is claimed: :class:`RoleTaken` names the process that has it. Who takes the role of one that is gone, or has left,
    goes on where that one stopped: the writer behind the last published message, a reader at its first unread one. Raises
    :class:`RankError` for any other rank. An endpoint is for one process and one use at a time; as a context manager it closes
    itself. ``record``: a file, which must not exist, to write down in what it does (``recording.py``); the variable
    ``RINGBUFFER_RECORD`` names a folder for the files of all endpoints. Raises :class:`TraceFileError` where it cannot be made.
    """

    _bind = staticmethod(bind)
    """What makes the runner; one that steps, or is killed on the way, comes in here."""

    def __init__(
        self,
        buffer: ShmRingBuffer,
        reader_rank: int,
        *,
        waiting: WaitOptions | None = None,
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        buffer._check_rank(reader_rank)
        self.buffer = buffer
        self.reader_rank = reader_rank
        self.role = role_of(reader_rank)
        self._refuse = None
        self._refuse_write = None if self.role is Role.WRITER else wrong_side_error
        self._refuse_read = None if self.role is Role.READER else wrong_side_error
        self._in_use = self._forked = self._owns_ring = False
        self._holder: Hold | None = None
        self._pid = os.getpid()
        with buffer._roles_lock:
            buffer._check_free(reader_rank)
            self._claim = participants.Role(buffer.segment, reader_rank)
            try:
                self._claim.claim()
                self._set_up(waiting or WaitOptions(), record)
                # Who is forgotten without being closed gives up its role, but has not left in good order; nor has one at exit.
                weakref.finalize(self, self._claim.let_go).atexit = False
                buffer._adopt(reader_rank, self)
            except BaseException:
                self._claim.undo()
                self._release_memory()
                raise
        everywhere.add(self)

    def _set_up(self, options: WaitOptions, record: str | os.PathLike[str] | None) -> None:
        buffer, blocks = self.buffer, range(self.buffer.max_chunks)
        table = buffer.protocol.writer if self.role is Role.WRITER else buffer.protocol.reader
        self._runner = runner = self._runner_of(executed(table), record)
        writes = self.role is Role.WRITER
        self._send = self._fast_send = runner.send if writes else shut
        self._fast_objects = NOTHING if writes else map(runner.receive, repeat(_loads))
        self._fast_messages = NOTHING if writes else map(runner.receive, repeat(None))
        self._objects, self._messages = self._fast_objects, self._fast_messages
        view = buffer.segment.frame if writes else buffer.segment.readonly_frame
        self._frames = [view(block) for block in blocks]
        self._lenders = [buffer.segment.payload(block) for block in blocks]
        own = weakref.ref(self)

        def refusal() -> RingBufferError | None:
            end = own()
            return None if end is None else ended_wait(end)

        self._waiter = Waiter(buffer, self._claim, runner, options, refusal)
        if not writes:
            runner.decode_tensor = tensor_on
        self._inbox = Inbox(runner, self._frames, self._waiter.find, in_order=not buffer.protocol.edits)
        self._outbox = Outbox(runner, self._frames, self._waiter.find)
        self._encode = Encoder().encode

    def _runner_of(self, program: Program, record: str | os.PathLike[str] | None) -> Runner:
        """What runs the rows: it stands at the block where this endpoint goes on, and is recorded, if that is asked for."""
        buffer, rank, claim = self.buffer, self.reader_rank, self._claim
        path = recording.asked_for(record, buffer.name, claim)
        bind = self._bind if path is None else partial(recording.runner_for, self._bind)
        self._runner = runner = bind(program, buffer.segment, rank)
        runner.resume(resumes_at(buffer, claim))
        if path is not None:
            generation = claim.entry().generation
            self._recorder = recording.Recorder(path, runner, program, buffer.segment, rank, generation, buffer.protocol)
        return runner

    def __repr__(self) -> str:
        return f"<ShmRingBufferIO {self._name()} of ring {self.buffer.name}>"

    def __enter__(self) -> ShmRingBufferIO:
        if self._refuse is not None:
            raise self._refuse(self, "with")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an endpoint belongs to its process: pickle the ring, and make an endpoint of it on the other side")

    def enqueue(self, obj: object, timeout: float | None = None) -> None:
        """Send ``obj`` to every reader, waiting for free blocks for up to ``timeout`` seconds (``None``: for ever).

        An object that takes more than a block flows through as many as it needs. Raises :class:`EncodeError`,
        :class:`WaitTimeoutError`, :class:`WaitCancelledError` or :class:`PeerDied`; in each case no reader gets it. Where a
        part of it was sent already (the error's ``sent_bytes``), :meth:`resume` sends the rest, and whatever else is sent
        withdraws it.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "enqueue")
        if timeout is not None:
            check_timeout(timeout)
        body: Any = self._encode(obj)
        if body.__class__ is bytes:
            kind = BYTES if body is obj else PICKLE
            result = self._send(kind, body, timeout)
        else:
            kind = body.kind
            result = self._send(kind, body.pieces, timeout)
        if result != FOUND:
            self._send_slowly("enqueue", kind, body, timeout, result == WAIT)

    def send_bytes(self, data: Any, timeout: float | None = None) -> None:
        """Send bytes as they are, of any size: anything like ``bytes`` that has no gaps. No pickle is made of them.

        ``recv_bytes`` and ``dequeue`` give them as ``bytes``, ``read`` as a view. Raises ``TypeError`` for what is not like
        bytes, and otherwise what :meth:`enqueue` does.
        """
        if timeout is not None:
            check_timeout(timeout)
        if data.__class__ is not bytes:
            if self._refuse_write is not None:
                raise self._refuse_write(self, "send_bytes")
            data = as_bytes_view(data)
        result = self._send(BYTES, data, timeout)
        if result != FOUND:
            self._send_slowly("send_bytes", BYTES, data, timeout, result == WAIT)

    def resume(self, timeout: float | None = None) -> bool:
        """Send the rest of a message of several blocks that a time-out has left unfinished. Whether there was one.

        Raises what :meth:`enqueue` does; :class:`EncodeError` if a tensor in it was resized, or moved to shared memory, since:
        what was not sent is gone, and no reader gets the message.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "resume")
        check_timeout(timeout)
        self._enter("resume")
        try:
            was_unfinished = self._outbox.resume(self._deadline(timeout))
            self._send = self._fast_send
            return was_unfinished
        finally:
            self._in_use = self._runner.is_in_use = False

    def _send_slowly(self, call: str, kind: int, body: Any, timeout: float | None, has_waited: bool) -> None:
        if self._refuse_write is not None:
            raise self._refuse_write(self, call)
        self._enter(call, has_waited and self._runner.has_sought)
        try:
            self._outbox.send(kind, body, self._deadline(timeout))
            self._send = self._fast_send
        finally:
            self._in_use = self._runner.is_in_use = self._runner.has_sought = False

    def dequeue(self, timeout: float | None = None) -> Any:
        """Return the next object, waiting for it for up to ``timeout`` seconds (``None``: for ever). Its memory is its own.

        Raises :class:`WaitTimeoutError`, :class:`WaitCancelledError`, :class:`PeerDied`; :class:`DecodeError` for a message
        that no object can be made of, which is consumed, with its bytes in the error; :class:`FrameError` for one that was not
        written by ``enqueue`` or ``send_bytes``, or is not the next in the stream, which stays unread.
        """
        objects = self._objects if timeout is None else self._within(timeout, self._objects, _loads)
        try:
            for obj in objects:
                return obj  # it is given away before anybody else can come
        except Exception as error:
            if self._runner.pending is None:
                raise  # nothing was received that could not be decoded
            self._decode_again(error)
        return self._receive_slowly(DEQUEUE, timeout)

    def recv_bytes(self, timeout: float | None = None) -> bytes:
        """Return the next message, which :meth:`send_bytes` has sent. Raises as :meth:`dequeue` does.

        :class:`FrameError` for an object that ``enqueue`` has sent, which stays unread.
        """
        for data in self._messages if timeout is None else self._within(timeout, self._messages, None):
            return data  # type: ignore[no-any-return]  # it is given away before anybody else can come
        return self._receive_slowly(RECEIVE, timeout)  # type: ignore[no-any-return]

    def read(self, timeout: float | None = None) -> MessageHold:
        """``with reader.read() as obj:`` — the next message in place; it is consumed when the body ends.

        Arrays, tensors and bytes in ``obj`` share the block's memory. Arrays and bytes are read-only; a tensor that was written
        to raises :class:`ReadOnlyError` at the end. After the ``with`` they are empty, and nothing else may refer to them: what
        the body has bound to another name it deletes (``x = obj["x"]; s = x.sum(); del x``), or :class:`BlockEscapedError` is
        raised and the message stays unread. A message of more than one block has memory of its own. If the body raises, the
        message comes again: of more than one block, in the same memory. Entering raises as :meth:`dequeue` does.
        """
        if timeout is not None or self._refuse_read is not None:
            self._check_reads(READ, timeout)
        return MessageHold(self, timeout)

    def _within(self, timeout: float, fast: Iterator[Any], decode: Callable[[bytes], Any] | None) -> Iterator[Any]:
        """The fast way of receiving with a time-out, if it is open."""
        check_timeout(timeout)
        return fast if fast is NOTHING else map(self._runner.receive, (decode,), (timeout,))

    def _receive_slowly(self, call: str, timeout: float | None) -> Any:
        if self._refuse_read is not None:
            raise self._refuse_read(self, call)
        runner = self._runner
        self._enter(call, runner.result in (WAIT, FOUND) and runner.has_sought)
        try:
            inbox = self._inbox
            found = inbox.find_whole(0.0) if runner.result == FOUND else -1  # it is there: this waits for nothing
            message = inbox.next_message(call, self._deadline(timeout)) if found < 0 else inbox.found_message(call, found)
            self._objects, self._messages = self._fast_objects, self._fast_messages
            return message
        finally:
            self._in_use = self._runner.is_in_use = self._runner.has_sought = False

    def _decode_again(self, error: Exception) -> None:
        """Raise :class:`DecodeError` for the message that is pending, which could not be decoded because of ``error``.

        Whoever else uses the endpoint may take it first. Where it can be decoded after all, the error was not its own (but a
        signal handler's, say): that is raised, and the message comes again.
        """
        self._enter(DEQUEUE)
        try:
            if self._runner.pending is None:
                return
            self._inbox.lend(DEQUEUE, None)
            raise error
        finally:
            self._objects, self._messages = self._fast_objects, self._fast_messages
            self._in_use = self._runner.is_in_use = False

    def broadcast_object(self, obj: Any = None, timeout: float | None = None) -> Any:
        """The same call on all sides: the writer sends ``obj`` and gets it back, a reader gets what was sent."""
        if self.role is Role.WRITER:
            self.enqueue(obj, timeout)
            return obj
        return self.dequeue(timeout)

    def acquire_write(self, timeout: float | None = None) -> Hold:
        """``with writer.acquire_write() as block:`` — fill a block in place; it is published when the body ends.

        ``block`` is a writable ``memoryview`` of ``max_chunk_bytes`` bytes, dead after the ``with``. If the body raises,
        nothing is published, and the same block is used next. Entering raises :class:`WaitTimeoutError` and the like.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "acquire_write")
        check_timeout(timeout)
        return Hold(self, timeout)

    def acquire_read(self, timeout: float | None = None) -> Hold:
        """``with reader.acquire_read() as block:`` — read the next block in place; it is consumed when the body ends.

        ``block`` is a read-only ``memoryview`` of ``max_chunk_bytes`` bytes, dead after the ``with``. If the body raises, the
        message stays unread and comes again. Entering raises :class:`WaitTimeoutError` and the like.
        """
        self._check_reads("acquire_read", timeout)
        return Hold(self, timeout)

    def _check_reads(self, call: str, timeout: float | None) -> None:
        if self._refuse_read is not None:
            raise self._refuse_read(self, call)
        check_timeout(timeout)

    def cancel(self) -> bool:
        """End the call that another thread has going on this endpoint, if it waits or comes to wait: it raises
        :class:`WaitCancelledError`, and nothing is changed. Whether there was a call."""
        runner = self._runner
        if not (self._in_use or runner.has_sought) or self._holder is not None or self._refuse is not None:
            return False
        runner.is_cancelled = True  # at once, so that it is this call and not a later one that ends
        self._waiter.rouse()
        return True

    def evict(self, rank: int) -> None:
        """For a writer: go on without reader ``rank``, which is gone, or never came. What it has not read, it does not get.

        From here on this process marks as read in its place, whenever it would have to wait for it. A newcomer that takes the
        rank ends that, and gets what was not marked by then: of what was published before it came, at most the last
        ``max_chunks`` blocks. It ends with this writer, too: a successor evicts anew. Raises :class:`RoleTaken` for a reader
        that lives, and :class:`RankError`.
        """
        if self._refuse_write is not None:
            raise self._refuse_write(self, "evict")
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank < self.buffer.n_reader:
            raise RankError(f"rank {rank!r} is no reader of ring {self.buffer.name}, which has {self.buffer.n_reader}")
        self._enter("evict")
        try:
            if self._recorder is not None:
                self._recorder.stands_in()
            self._waiter.evict(rank)
        finally:
            self._in_use = self._runner.is_in_use = False

    def close(self) -> None:
        """End this endpoint, and give up its role; closing again does nothing. What it has published or not read stays.

        A call that waits in another thread ends with :class:`ClosedError`. An endpoint that :func:`create_from_process_group`
        has made closes its ring as well, and the writer's unlinks it.
        Raises :class:`EndpointBusyError` while a block is held inside a ``with``.
        """
        self._close_endpoint()
        if self._owns_ring:
            self.buffer.__exit__(None, None, None)

    def _deadline(self, timeout: float | None) -> float | None:
        self._waiter.begin()
        return None if timeout is None else self._waiter.began + timeout

    def describe_wait(self, waited_seconds: float) -> str:
        """One sentence: who waits (side, rank, pid), for which block, in which case, and for whom."""
        if self._refuse is not None:
            raise self._refuse(self, "describe_wait")
        return self._waiter.describe(waited_seconds)
