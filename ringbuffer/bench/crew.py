"""The parent's side of the worker processes: started once, told what to do, waited for within bounds, and ended by force.

Rules: every wait is bounded; a worker that reports a fault, fails, dies or does not answer in time makes the whole crew
useless, since the others wait for messages that will not come: it is ended, and a new one is started for what is left. The
processes are ended by their own handles, never by name. Limits: ending them is not gentle, so what a channel made on the
machine is removed by :meth:`Peer.open`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final

from ringbuffer.bench.payloads import Payload
from ringbuffer.bench.peer import Peer
from ringbuffer.bench.worker import DONE, FAULT, WRITER_RANK, serve
from ringbuffer.ranks import name_of

START_SECONDS: Final = 120.0
"""How long the workers may take to start; importing torch in eight processes on two cores takes most of it."""
END_SECONDS: Final = 5.0
_PLACES: Final = 64


class CrewError(Exception):
    """The workers cannot go on: one failed, died, or did not answer in time."""


class FaultError(CrewError):
    """A reader got a message that it should not have got."""


class Crew:
    """A writer and readers. As a context manager it ends them."""

    def __init__(
        self, peers: Sequence[type[Peer]], payloads: Sequence[Payload], readers: int, blocks: int, answer_seconds: float
    ) -> None:
        self._answer_seconds = answer_seconds
        context = multiprocessing.get_context("spawn")
        # What is inherited is kept: a worker that starts opens its semaphores by name, which go with the last queue here.
        self._prepared = prepared = {peer.name: peer.prepare(context, list(payloads), readers, blocks) for peer in peers}
        clock = context.RawArray("q", _PLACES)
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}
        try:
            for rank in range(WRITER_RANK, readers):
                self._workers[rank] = self._start(context, rank, prepared, clock)
        except BaseException:
            self.end()
            raise

    @staticmethod
    def _start(context: SpawnContext, rank: int, prepared: dict[str, Any], clock: Any) -> tuple[BaseProcess, Connection]:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(rank, theirs, prepared, clock), name=name_of(rank), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def tell(self, ranks: Sequence[int], order: str, *arguments: Any) -> None:
        """Give several workers one order, and do not wait for their answers."""
        for rank in ranks:
            process, orders = self._workers[rank]
            try:
                orders.send((order, *arguments))
            except OSError as error:
                raise CrewError(f"{process.name} is gone (exit status {process.exitcode})") from error

    def answers(self, ranks: Sequence[int], more_seconds: float = 0.0) -> list[Any]:
        """Wait for an answer of each, and return what they say, in the order of ``ranks``."""
        seconds = self._answer_seconds + more_seconds
        deadline = time.monotonic() + seconds
        open_ranks: dict[object, int] = {self._workers[rank][1]: rank for rank in ranks}
        said: dict[int, Any] = {}
        while open_ranks:
            ready = wait([self._workers[rank][1] for rank in open_ranks.values()], max(0.0, deadline - time.monotonic()))
            if not ready:
                names = ", ".join(self._workers[rank][0].name for rank in open_ranks.values())
                raise CrewError(f"no answer within {seconds:.0f} s from {names}")
            for connection in ready:
                rank = open_ranks.pop(connection)
                said[rank] = self._answer(rank)
        return [said[rank] for rank in ranks]

    def ask(self, ranks: Sequence[int], order: str, *arguments: Any, more_seconds: float = 0.0) -> list[Any]:
        """Give several workers one order, and wait for their answers."""
        self.tell(ranks, order, *arguments)
        return self.answers(ranks, more_seconds)

    def pids(self, ranks: Sequence[int]) -> list[int]:
        """The processes of some ranks."""
        return [pid for rank in ranks if (pid := self._workers[rank][0].pid) is not None]

    def end(self) -> None:
        """End all workers, by force; ending again does nothing."""
        for process, _ in self._workers.values():
            process.kill()
        for process, orders in self._workers.values():
            process.join(END_SECONDS)
            orders.close()
        self._workers.clear()

    def _answer(self, rank: int) -> Any:
        process, orders = self._workers[rank]
        try:
            kind, said = orders.recv()
        except (EOFError, OSError) as error:
            process.join(END_SECONDS)
            raise CrewError(f"{process.name} died (exit status {process.exitcode})") from error
        if kind == FAULT:
            raise FaultError(said)
        if kind != DONE:
            raise CrewError(f"{process.name}: {said}")
        return said
