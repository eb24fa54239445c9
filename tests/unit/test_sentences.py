"""What an endpoint says of its own wait is, letter for letter, what ``ringbuffer inspect`` says of it at that moment."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from support import MakeRing, ends_of

from ringbuffer import ShmRingBuffer, ShmRingBufferIO
from ringbuffer import observe as observing
from ringbuffer.errors import PeerDied, RingBufferError, WaitCancelledError, WaitTimeoutError
from ringbuffer.memory import participants
from ringbuffer.verdict import verdict
from ringbuffer.waiting import SLICE_SECONDS, WARNING_INTERVAL_VARIABLE

Scene: TypeAlias = Callable[[list[ShmRingBufferIO]], None]
WAITING: dict[str, tuple[int, Scene, str]] = {
    "the readers live": (-1, lambda _: None, "reader ranks 0, 1; reader 0 (pid PID) lives and does not wait; reader 1"),
    "a reader has read": (-1, lambda ends: ends[1].dequeue(), "reader rank 1 (pid PID), which lives and does not wait"),
    "a reader has left": (-1, lambda ends: ends[2].close(), "reader 1 (pid PID) left 5 s ago; reader 0"),
    "a reader is gone": (-1, lambda ends: ends[2]._claim.let_go(), "reader 1 (pid PID) died; reader 0 (pid PID) lives"),
    "the writer lives": (0, lambda ends: ends[1].dequeue(), "; the writer (pid PID) lives and has published nothing since"),
    "the writer has left": (0, lambda ends: _read(*ends), "has not written it again; it (pid PID) left 5 s ago and may come"),
    "the writer is gone": (0, lambda ends: _read(*ends, is_dead=True), "it (pid PID) died; another can take over, and goes"),
}


def _read(writer: ShmRingBufferIO, *readers: ShmRingBufferIO, is_dead: bool = False) -> None:
    for reader in readers:
        reader.dequeue()
    if is_dead:
        writer._claim.let_go()
    else:
        writer.close()


class FiveSecondsLater:
    """In place of the module ``time``, where a look asks for it: what was just now is five seconds ago, and remains so."""

    def __init__(self) -> None:
        self._now_ns = time.monotonic_ns() + 5_000_000_000

    def monotonic_ns(self) -> int:
        return self._now_ns


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What an inspection says whenever a warning is logged, and when a wait ends, before it is noted that it has ended."""
    said: list[str] = []
    note = participants.Role.waits

    def inspect(role: participants.Role) -> None:
        said.append(verdict(observing.observe(role._segment.name)))

    def waits(role: participants.Role, since_ns: int) -> None:
        waiting.append(role)
        if not since_ns:
            inspect(role)
        note(role, since_ns)

    class Log(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            inspect(waiting[-1])

    waiting: list[participants.Role] = []
    monkeypatch.setattr(participants.Role, "waits", waits)
    log, logger = Log(), logging.getLogger("ringbuffer")
    logger.addHandler(log)
    yield said
    logger.removeHandler(log)


def the_same(text: str, inspected: str, ring: ShmRingBuffer) -> bool:
    """Whether a text holds the sentence of an inspection, but for the name of the ring and how long the wait has lasted."""
    who, _, rest = inspected.partition(" has waited ")
    _, _, what = rest.partition(" s for block ")
    assert what, f"of this wait an inspection says: {inspected}"
    return f"{who} of ring {ring.name} has waited " in text and f" s for block {what}" in text


@pytest.mark.parametrize("scene", WAITING)
def test_error_holds_the_sentence_of_an_inspection(
    scene: str, inspected: list[str], make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank, happens, says = WAITING[scene]
    ring = make_ring(2, max_chunks=1)
    ends = ends_of(ring)
    ends[0].enqueue("one")
    happens(ends)
    monkeypatch.setattr(observing, "time", FiveSecondsLater())
    with pytest.raises((WaitTimeoutError, PeerDied)) as caught:
        ends[1 + rank].broadcast_object("two", timeout=0)
    assert isinstance(caught.value, PeerDied) is scene.endswith("gone")
    (sentence,) = inspected
    assert says.replace("PID", str(os.getpid())) in sentence
    assert the_same(str(caught.value), sentence, ring), f"{caught.value}\nis not\n{sentence}"


def test_warning_and_cancellation_hold_the_sentence_of_an_inspection(
    inspected: list[str], make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring = make_ring(2)
    _, reader, other = ends_of(ring)
    monkeypatch.setenv(WARNING_INTERVAL_VARIABLE, str(SLICE_SECONDS / 2))
    other.close()
    monkeypatch.setattr(observing, "time", FiveSecondsLater())

    class Cancelling(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            reader.cancel()

    handler = Cancelling()
    logging.getLogger("ringbuffer").addHandler(handler)
    try:
        with caplog.at_level(logging.WARNING, "ringbuffer"), pytest.raises(RingBufferError) as caught:
            reader.dequeue(timeout=60)
    finally:
        logging.getLogger("ringbuffer").removeHandler(handler)
    assert isinstance(caught.value, WaitCancelledError)
    texts = [caplog.records[0].getMessage(), str(caught.value)]
    assert len(inspected) == 2
    for text, sentence in zip(texts, inspected, strict=True):
        assert the_same(text, sentence, ring), f"{text}\nis not\n{sentence}"
    assert the_same(reader.describe_wait(1.5), inspected[-1], ring)
