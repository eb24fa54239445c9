"""What a ring must offer to be tested: two classes with one method each, and a factory. The rest is optional.

A factory is called with three numbers, ``factory(readers, blocks, block_bytes)``, and makes a new ring of that many readers, in
which exactly ``blocks`` messages of up to ``block_bytes`` bytes fit while a reader lags. Nothing needs to be derived from the
classes of this module: they say what is called, and how.

Rules: an optional method that is there is used, and one that is not there makes the clauses that need it skipped, by name.
Limits: the kit trusts an adapter; one that keeps messages in a list of its own passes.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

BLOCK_BYTES: Final = 64
"""The size of a block in all rings that are made here, unless a clause says otherwise."""


class Writer(Protocol):
    """The writer's end. Optional:

    * ``write(data, timeout) -> bool``: as ``try_write``, but waits up to ``timeout`` seconds for room; ``None``: for ever;
    * ``abort_write(data) -> bool``: begins to write ``data`` in place and gives it up (its body raises), so that nothing is
      published; ``False`` if there was no room;
    * ``close()``.
    """

    def try_write(self, data: bytes) -> bool:
        """Publish ``data`` now, or change nothing and return ``False`` if there is no room."""
        ...


class Reader(Protocol):
    """A reader's end. Optional:

    * ``read(timeout) -> bytes | None``: as ``try_read``, but waits up to ``timeout`` seconds; ``None``: for ever;
    * ``abort_read() -> bytes | None``: begins to read the next message in place and gives it up (its body raises), so that it
      comes again; what it saw of it;
    * ``close()``.
    """

    def try_read(self) -> bytes | None:
        """Take the next message now; ``None`` if there is none."""
        ...


class Ring(Protocol):
    """A ring with its ends. The kit asks for each end once. Optional:

    * ``close()``: let go of the memory, and remove it if this process made the ring;
    * pickling: a ring that can be pickled is attached to by unpickling it in another process;
    * ``peer_error``: the exception (or a tuple of them) with which ``write`` and ``read`` report that a peer has died;
    * ``is_code(file)``: whether a source file is the ring's (default: all but Python's, this kit's and a few large libraries');
    * ``sleep_in_python()``: from now on, ends wait by ``time.sleep`` and not in the kernel (for those that can do either);
    * ``lockstep(examples)``: step this ring against a model of its own, and raise where they differ.
    """

    def writer(self) -> Writer:
        """The writer's end."""
        ...

    def reader(self, rank: int) -> Reader:
        """The end of reader ``rank``, from 0."""
        ...


Factory = Callable[[int, int, int], Ring]


class AdapterError(Exception):
    """A factory cannot be imported, or what it makes is no adapter: one line that says which, and what is missing."""


@dataclass(frozen=True)
class Feature:
    """Something that an adapter may offer. ``how``: what it would have to have."""

    name: str
    how: str


CLOSE: Final = Feature("close", "the ring has no close()")
TIMEOUTS: Final = Feature("time-outs", "the ends have no write(data, timeout) and read(timeout)")
EXCEPTIONS: Final = Feature("exceptions", "the ends have no abort_write(data) and abort_read()")
PROCESSES: Final = Feature("processes", "the ring cannot be pickled")
REPORTS: Final = Feature("reports", "the ring has no peer_error, or no time-outs")
STEPS: Final = Feature("steps", "the ring has no lockstep(examples), a model of its own to step against")
FEATURES: Final = (CLOSE, TIMEOUTS, EXCEPTIONS, PROCESSES, REPORTS, STEPS)


@dataclass(frozen=True)
class Subject:
    """What is tested: the factory, by its name, where it lives, and which features its rings have."""

    name: str
    factory: Factory
    file: str
    version: str
    features: frozenset[Feature]
    why_not: dict[str, str] = field(default_factory=dict, compare=False)
    """For a feature that is not offered, the reason, if it is another than that the method is not there."""

    def lacks(self, feature: Feature) -> str | None:
        """Why a clause that needs ``feature`` is skipped; ``None`` if it is there."""
        return None if feature in self.features else self.why_not.get(feature.name, feature.how)


def load(name: str) -> Subject:
    """The subject of the name ``package.module:factory``. Raises :class:`AdapterError`."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise AdapterError(f"--ring={name}: write package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise AdapterError(f"--ring={name}: {module_name} cannot be imported: {_said(error)}") from error
    factory: Any = module
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if factory is None:
        raise AdapterError(f"--ring={name}: module {module_name} has no {attribute}")
    if not callable(factory):
        raise AdapterError(f"--ring={name}: {attribute} is no function or class, but a {type(factory).__name__}")
    features, why_not = _probe(name, factory)
    return Subject(name, factory, _file_of(module), _version_of(module), features, why_not)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _probe(name: str, factory: Any) -> tuple[frozenset[Feature], dict[str, str]]:
    """Make one ring, and look at what it has. Raises :class:`AdapterError`."""
    try:
        ring: Any = factory(1, 2, BLOCK_BYTES)
    except Exception as error:
        raise AdapterError(
            f"--ring={name}: called with 1 reader, 2 blocks and {BLOCK_BYTES} bytes a block, it raises {_said(error)}"
        ) from error
    ends: list[Any] = []
    try:
        _require(name, ring, f"what it makes, a {type(ring).__name__}", ("writer", "reader"))
        for call, make, method in (("writer()", ring.writer, "try_write"), ("reader(0)", partial(ring.reader, 0), "try_read")):
            try:
                end = make()
            except Exception as error:
                raise AdapterError(f"--ring={name}: {call} raises {_said(error)}") from error
            ends.append(end)
            _require(name, end, f"{call}, a {type(end).__name__}", (method,))
        return _features_of(ring, *ends)
    finally:
        let_go(ring, ends)


def _require(name: str, thing: Any, what: str, methods: tuple[str, ...]) -> None:
    for method in methods:
        if not callable(getattr(thing, method, None)):
            raise AdapterError(f"--ring={name}: {what}, has no method {method}")


def _has(thing: Any, *methods: str) -> bool:
    return all(callable(getattr(thing, method, None)) for method in methods)


def _features_of(ring: Any, writer: Any, reader: Any) -> tuple[frozenset[Feature], dict[str, str]]:
    why_not: dict[str, str] = {}
    timed = _has(writer, "write") and _has(reader, "read")
    try:
        pickle.dumps(ring)
        crosses = True
    except Exception as error:
        crosses = False
        why_not[PROCESSES.name] = why_not[REPORTS.name] = f"{PROCESSES.how}: {_said(error)}"
    offered = {
        CLOSE: _has(ring, "close"),
        TIMEOUTS: timed,
        EXCEPTIONS: _has(writer, "abort_write") and _has(reader, "abort_read"),
        PROCESSES: crosses,
        REPORTS: crosses and timed and getattr(ring, "peer_error", None) is not None,
        STEPS: _has(ring, "lockstep"),
    }
    return frozenset(feature for feature, is_there in offered.items() if is_there), why_not


def close_all(ring: Any, ends: list[Any]) -> None:
    """Close the ends and then the ring, as far as they can be closed; what was raised on the way is raised at the end."""
    problem: Exception | None = None
    for thing in (*ends, ring):
        if _has(thing, "close"):
            try:
                thing.close()
            except Exception as error:
                problem = problem or error
    ends.clear()
    if problem is not None:
        raise problem


def let_go(ring: Any, ends: list[Any]) -> None:
    """As :func:`close_all`, where it is not asked whether closing goes well: that is clause C10's."""
    with suppress(Exception):
        close_all(ring, ends)


def _file_of(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return "built in" if file is None else str(Path(file))


def _version_of(module: Any) -> str:
    """The version of the package that the module is in, as that says it; or that it says none."""
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    for one in (module, top):
        version = getattr(one, "__version__", None)
        if version is not None:
            return str(version)
    return "no version given"
