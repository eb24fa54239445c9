"""Peers of the benchmark that do something wrong, each in its own way, over the pipes that an honest peer uses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ringbuffer.bench.peer import Reader, Setup
from ringbuffer.bench.standard import Pipes

FAULTY_AT = 33
"""Which message goes wrong: one in the second run of a warm-up, which is measured as the others are."""


class Faulty(Pipes):
    """An honest reader until message ``FAULTY_AT``, which goes through :meth:`spoil` with what came before and comes next."""

    @classmethod
    def reader(cls, setup: Setup, ticket: Any, rank: int, prepared: Any) -> Reader:
        honest = super().reader(setup, ticket, rank, prepared)
        return Reader(cls._wrong(honest.receive))

    @classmethod
    def _wrong(cls, receive: Callable[[], Any]) -> Callable[[], Any]:
        before: list[Any] = []

        def spoilt() -> Any:
            message = receive()
            before.append(message)
            return cls.spoil(before, receive) if len(before) == FAULTY_AT else message

        return spoilt

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        raise NotImplementedError


class Loses(Faulty):
    name = "loses"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        return receive()


class Repeats(Faulty):
    name = "repeats"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        return before[-2]


class Tears(Faulty):
    """The first half is of this lap, the rest of an earlier one."""

    name = "tears"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        half = len(before[-1]) // 2
        return before[-1][:half] + before[-11][half:]


class Raises(Faulty):
    name = "raises"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        raise RuntimeError("the planted error")


class Dies(Faulty):
    name = "dies"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        os._exit(3)


class Hangs(Faulty):
    name = "hangs"

    @classmethod
    def spoil(cls, before: list[Any], receive: Callable[[], Any]) -> Any:
        return threading.Event().wait()  # for ever: the parent ends it


class Absent(Pipes):
    """A peer whose package is not installed."""

    name = "absent"
    package = "no-such-distribution"
    module = "no_such_module_of_this_name"


class Broken(Pipes):
    """A peer whose module is there, and cannot be imported."""

    name = "broken"
    package = "broken-distribution"
    module = "bench_broken_module"


FAULTS = (Loses, Tears)
FAILURES = (Raises, Dies, Hangs)
