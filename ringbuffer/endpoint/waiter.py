"""How an endpoint comes by its next block: it looks, and waits when it must.

Rules: a wait ends with the block, or with an error that says who waits for whom, in the words of ``verdict.py``, and changes
nothing: a time-out, a cancellation, a peer that is gone, an endpoint that was closed. Before an error for a peer that is gone,
the block is looked at once more: what was published by then is taken. Limits: what happens between two slices of sleep is
noticed at their end (:data:`~ringbuffer.waiting.SLICE_SECONDS`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from ringbuffer.compiled import FOUND, Runner
from ringbuffer.endpoint.peers import Lost, Peers
from ringbuffer.errors import PeerDied, RingBufferError, WaitCancelledError, WaitTimeoutError
from ringbuffer.memory.backend import NATIVE, chosen
from ringbuffer.memory.participants import Role
from ringbuffer.observe import Look, look_at
from ringbuffer.ranks import WRITER
from ringbuffer.ring import ShmRingBuffer
from ringbuffer.verdict import wait_sentence
from ringbuffer.waiting import (
    NAP_SECONDS,
    NATIVE_SPIN_COUNT,
    PYTHON_SPIN_COUNT,
    SLICE_SECONDS,
    WaitOptions,
    warning_interval_seconds,
)

_log = logging.getLogger("ringbuffer")
_monotonic = time.monotonic


def _spin_count() -> int:
    return NATIVE_SPIN_COUNT if chosen() == NATIVE else PYTHON_SPIN_COUNT


class Waiter:
    """Finds blocks for one endpoint. ``refusal``: the error for an endpoint that cannot be used any more, or ``None``."""

    def __init__(
        self,
        buffer: ShmRingBuffer,
        role: Role,
        runner: Runner,
        options: WaitOptions,
        refusal: Callable[[], RingBufferError | None],
    ) -> None:
        self.peers = Peers(buffer)
        self._buffer, self._role, self._runner, self.options = buffer, role, runner, options
        self._refusal = refusal
        self.began = _monotonic()
        """When the call that waits was made."""
        self._since: float | None = self.began
        """The same, for the first of the blocks that the call waits for: the wait for another begins when it is looked for."""
        self._rank = role.rank
        self._has_looked = False
        runner.spin_count = _spin_count() if options.spin_count is None else options.spin_count
        runner.yield_seconds = options.yield_seconds

    def release(self) -> None:
        """Let go of the memory; again does nothing."""
        self.peers.release()

    def rouse(self) -> None:
        """Let a wait in another thread look round: it was cancelled, say, or the endpoint closed."""
        self._runner.rouse()

    def evict(self, rank: int) -> None:
        """From here on, read for that reader what this endpoint would have to wait for: the runner by itself does not wait."""
        self.peers.evict(rank)
        self._runner.yield_seconds = 0.0

    def _read_for_the_evicted(self) -> bool:
        """Read for those whom this endpoint has evicted. Whether anything was read."""
        if not self.peers.evicted:
            return False
        has_read = self.peers.read_for_the_evicted()
        self._runner.yield_seconds = 0.0 if self.peers.evicted else self.options.yield_seconds
        return has_read

    def begin(self) -> None:
        """A call begins its slow way. Where the runner has looked again for it, it began then, and does not look again here."""
        runner = self._runner
        self._has_looked = runner.has_sought
        self.began = self._since = runner.began if runner.has_sought else _monotonic()
        runner.has_sought = False

    def find(self, deadline: float | None) -> None:
        """Return with the block found, or raise. ``deadline``: on the monotonic clock, or ``None``."""
        since, self._since = self._since, None
        has_looked, self._has_looked = self._has_looked, False
        if self._runner.begin() == FOUND:
            return
        if since is None:
            since = _monotonic()
        if not self._look_again(deadline, has_looked):
            self._sleep(since, deadline)

    def _look_again(self, deadline: float | None, has_looked: bool) -> bool:
        """Look again at once, and then between yields, unless the runner has. Whether the block was found. Does not last longer
        than the deadline."""
        begin = self._runner.begin
        if self._read_for_the_evicted() and begin() == FOUND:
            return True
        if has_looked:
            return False
        yield_seconds = self.options.yield_seconds
        if deadline is not None:
            yield_seconds = min(yield_seconds, deadline - _monotonic())
        return self._runner.seek(self._runner.spin_count, yield_seconds, True) == FOUND and begin() == FOUND

    def _sleep(self, started: float, deadline: float | None) -> None:
        """Sleep until the block is found, in slices; between them look for all that may end a wait, and warn as time goes
        by."""
        interval = warning_interval_seconds()
        warn_at = started + interval
        self._role.waits(int(started * 1e9))
        try:
            while not self._take_stock(started, deadline):
                until = _monotonic() + SLICE_SECONDS
                if self._rest(until if deadline is None else min(until, deadline)):
                    return
                if _monotonic() >= warn_at:
                    _log.warning("%s", self.describe(_monotonic() - started))
                    warn_at = _monotonic() + interval
        finally:
            self._role.waits(0)

    def _rest(self, until: float) -> bool:
        """One slice of sleep, which whoever makes the block free ends. Whether the block was found."""
        runner = self._runner
        while not self._is_to_end():
            left = until - _monotonic()
            if left <= 0:
                return False
            if not runner.can_rest:
                time.sleep(min(left, NAP_SECONDS))
            elif runner.rest(left) == FOUND:
                return True
            if runner.begin() == FOUND:
                return True
        return False

    def _is_to_end(self) -> bool:
        return self._runner.is_cancelled or self._refusal() is not None

    def _take_stock(self, started: float, deadline: float | None) -> bool:
        """Look for all that may end a wait, and raise if there is any. Whether the block was found meanwhile."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        if self._runner.is_cancelled:
            raise WaitCancelledError(f"cancelled: {self.describe(_monotonic() - started)}. Nothing was changed")
        if self._read_for_the_evicted() and self._runner.begin() == FOUND:
            return True
        lost = self.peers.lost(self._waited_for())
        if lost is not None:
            if self._runner.begin() == FOUND:
                return True
            died = self._died(lost, _monotonic() - started)
            if self.peers.is_still(lost):
                raise died
        if deadline is not None and _monotonic() >= deadline:
            raise self._timed_out(_monotonic() - started)
        return False

    def _waited_for(self) -> tuple[int, ...]:
        """The ranks for which this endpoint waits: of readers, those whose flag is not 1, be it 0 or damaged, as W2 has it."""
        if self._rank != WRITER:
            return (WRITER,)
        flags = self._buffer.flags(self._runner.where())
        return tuple(rank for rank, flag in enumerate(flags[1:]) if flag != 1)

    def _died(self, lost: Lost, waited_seconds: float) -> PeerDied:
        look = look_at(self._buffer.segment)
        block = look.block(self._runner.where())
        return self.peers.died(lost, block.index, block.case, self._sentence(look, waited_seconds))

    def _timed_out(self, waited_seconds: float) -> WaitTimeoutError:
        look = look_at(self._buffer.segment)
        block = look.block(self._runner.where())
        return WaitTimeoutError(
            f"timed out: {self._sentence(look, waited_seconds)}. Nothing was changed; the next call goes on from here",
            side="writer" if self._rank == WRITER else "reader",
            rank=self._rank,
            pid=os.getpid(),
            block_index=block.index,
            case=block.case,
            missing_ranks=block.unread_by,
            waited_seconds=waited_seconds,
        )

    def describe(self, waited_seconds: float) -> str:
        """One sentence: who waits, for which block, in which case, for whom, and what has become of these."""
        return self._sentence(look_at(self._buffer.segment), waited_seconds)

    def _sentence(self, look: Look, waited_seconds: float) -> str:
        """The sentence that ``ringbuffer inspect`` says of this wait, with the name of the ring."""
        return wait_sentence(look, self._rank, self._runner.where(), waited_seconds, pid=os.getpid())
