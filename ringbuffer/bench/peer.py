"""What a peer of the benchmark is: how its channel is made, and the two ends of it.

A peer is a class without state, so that its name can be told to a process. Rules: whatever a channel leaves on the machine
(files, sockets, segments) is made by :meth:`Peer.open` or in the folder of the run, so that the parent removes it even when
an end was killed; an end's ``send`` and ``receive`` block, without a bound of their own (the parent has one); a peer is
lossless, and ``about`` says what makes it so, and what one message costs it. Limits: an end is used by one thread.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from typing import Any, ClassVar

from ringbuffer.bench.payloads import KINDS, Payload

THROUGHPUT = "throughput"
LATENCY = "latency"
IDLE = "idle"
MEASURES = (THROUGHPUT, LATENCY, IDLE)


def nothing() -> None:
    """What an end without anything to settle, flush or close does."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One channel: what both sides must know. ``name`` is unique in the run; ``folder`` is for files and sockets."""

    name: str
    folder: str
    readers: int
    blocks: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Writer:
    """The writing end. ``ticket``: what readers need to find it; ``settle``: wait until all readers are connected."""

    send: Callable[[Any], object]
    ticket: Any = None
    settle: Callable[[], object] = nothing
    close: Callable[[], object] = nothing


@dataclass(frozen=True, slots=True)
class Reader:
    """A reading end. ``lent``: what ``receive`` returns is a view, which lasts until ``release`` or the next ``receive``."""

    receive: Callable[[], Any]
    lent: bool = False
    settle: Callable[[], object] = nothing
    release: Callable[[], object] = nothing
    close: Callable[[], object] = nothing


class Peer:
    """One way to broadcast, with defaults for what most of them do not need."""

    name: ClassVar[str]
    about: ClassVar[str]
    package: ClassVar[str] = ""
    """The distribution, for its version; empty for what Python brings along."""
    module: ClassVar[str] = ""
    is_slow_to_import: ClassVar[bool] = False
    """Then :meth:`missing` looks only whether it is there, not whether it can be imported."""
    unasked: ClassVar[frozenset[str]] = frozenset(KINDS)
    """The kinds of payload with which it takes part although nobody has named it."""
    is_floor: ClassVar[bool] = False
    """What the hardware allows, without any protocol."""
    is_checked: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]] = MEASURES

    @classmethod
    def missing(cls) -> str:
        """Why this peer cannot take part here; empty if it can."""
        if not cls.module:
            return ""
        try:
            found = importlib.util.find_spec(cls.module) is not None
            if found and not cls.is_slow_to_import:
                importlib.import_module(cls.module)
        except Exception as error:
            return f"{cls.module} cannot be imported ({type(error).__name__}: {error!s:.100})"
        return "" if found else f"{cls.package or cls.module} is not installed"

    @classmethod
    def version(cls) -> str:
        """The version of what is installed; empty for what has none."""
        try:
            return importlib.metadata.version(cls.package) if cls.package else ""
        except importlib.metadata.PackageNotFoundError:
            return ""

    @classmethod
    def carries(cls, payload: Payload) -> bool:
        """Whether this peer takes part with a payload."""
        return True

    @classmethod
    def prepare(cls, context: SpawnContext, payloads: list[Payload], readers: int, blocks: int) -> Any:
        """Make what the processes must inherit. It is passed to :meth:`writer` and :meth:`reader`."""
        return None

    @classmethod
    @contextlib.contextmanager
    def open(cls, setup: Setup) -> Iterator[Any]:
        """Make, in the parent, what a channel needs, and remove it in the end. Yields a ticket for the ends."""
        yield None

    @classmethod
    def writer(cls, setup: Setup, ticket: Any, prepared: Any) -> Writer:
        """Make the writing end, in its process."""
        raise NotImplementedError

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        """Make the reading end of a rank, in its process."""
        raise NotImplementedError
