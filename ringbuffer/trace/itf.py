"""A run as ITF JSON, the Informal Trace Format of Apalache and Quint, and back: for whoever has tools for TLA+ traces.

The variables are those that a reader of the specification expects, each a function (``#map``) over blocks, ranks, words or
actors: ``written[b]``, ``read[b][r]``, ``payload[b][w]`` (0: nobody wrote it), ``pc[a]`` (a clause id), ``block[a]`` (where the
actor stands in the ring), and ``step``, the record of the access that led to the state. What is no state stands in the states'
``#meta``; the setup and the verdict in the file's. ``loop`` is the state to which the last one comes back.

Rules: integers are written as ``#bigint``, and plain ones are read too; of ``#meta`` nothing is needed, so that a file that
another tool wrote with these variables can be read; variables of other names are passed over. Encoding is ``itf-py``'s, in the
extra ``check``. Limits: reading makes sure of the form only, and not that there is such a run: running it again does that
(``checker/replay.py``). Under a weak memory a state is what an onlooker finds, without the buffers and views.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ringbuffer.errors import MissingExtraError, TraceFileError
from ringbuffer.trace.record import Block, Run, Step

VARIABLES: Final = {
    "written": "Int -> Int",
    "read": "Int -> Int -> Int",
    "payload": "Int -> Int -> Int",
    "pc": "Str -> Str",
    "block": "Str -> Int",
    "step": "{ actor: Str, row: Str, kind: Str, block: Int, location: Str, value: Int }",
}
"""The variables and their types, in Apalache's notation."""
OURS: Final = "ringbuffer"
"""What of the file's ``#meta`` is this project's."""
DEAD: Final = "dead"
"""The ``pc`` of an actor that was killed."""
FACTS: Final = ("access", "ordering", "choice", "broken", "reads_from", "stale")
"""What a state's ``#meta`` says of the step that led to it, besides a ``note`` for people."""
_ORIGIN: Final = "https://apalache-mc.org/docs/adr/015adr-trace.html"
_ROLES: Final = ("writer", "reader", "twin")
_UNKNOWN_CHOICE: Final = -1


class Place(NamedTuple):
    """Where an actor stands: the clause id of its next row, or :data:`DEAD`, and its block."""

    row: str
    block: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A run with what an ITF file tells besides it.

    ``places``: for each state, the initial one first, where each of ``run.actors`` stands. ``setup``: the question as plain
    values, ``{}`` where a file does not say. ``claims``: for each step the facts that its file states, ``{}`` for none;
    ``verdict``: what the file says that came out.
    """

    run: Run
    places: tuple[tuple[Place, ...], ...]
    setup: Mapping[str, Any]
    claims: tuple[Mapping[str, Any], ...] = field(default=())
    verdict: Mapping[str, Any] = field(default_factory=dict)


class _LastStep(NamedTuple):
    actor: str
    row: str
    kind: str
    block: int
    location: str
    value: int


_NO_STEP: Final = _LastStep("", "", "", 0, "", 0)


def facts(step: Step) -> dict[str, Any]:
    """What a file says of a step besides the variables."""
    return {name: list(step.broken) if name == "broken" else getattr(step, name) for name in FACTS}


def verdict(run: Run) -> dict[str, Any]:
    """What a file says that came out."""
    return {"broken": list(run.broken), "cycle_start": run.cycle_start, "starved": run.starved, "token": run.token}


def to_itf(recording: Recording) -> dict[str, Any]:
    """The run as ITF: plain JSON values. Raises :class:`MissingExtraError` without ``itf-py``."""
    itf, run = _itf_py(), recording.run
    meta = {
        "format": "ITF",
        "format-description": _ORIGIN,
        "description": "A run of the shared-memory broadcast ring, one access a step",
        "varTypes": VARIABLES,
        OURS: {**recording.setup, **verdict(run)},
    }
    states = [itf.State({"index": 0}, _values(run.initial, run.actors, recording.places[0], _NO_STEP))]
    for step, places in zip(run.steps, recording.places[1:], strict=True):
        last = _LastStep(step.actor, step.row, step.kind, step.block, step.location, step.value)
        about = {"index": step.number, "note": step.note, **facts(step)}
        states.append(itf.State(about, _values(step.ring, run.actors, places, last)))
    loop = None if run.cycle_start is None else run.cycle_start - 1
    data: dict[str, Any] = itf.trace_to_json(itf.Trace(meta, [], list(VARIABLES), states, loop))
    return {key: value for key, value in data.items() if value is not None}


def dumps(data: Mapping[str, Any]) -> str:
    """ITF as text, a line for each state."""
    states = ",\n".join(json.dumps(state, ensure_ascii=False) for state in data["states"])
    rest = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items() if key != "states"]
    return "{\n" + "".join(f"{line},\n" for line in rest) + f'"states": [\n{states}\n]\n}}\n'


def from_itf(text: str) -> Recording:
    """Read ITF JSON. Raises :class:`TraceFileError` for text that is none, or not with these variables."""
    itf = _itf_py()
    try:
        trace = itf.trace_from_json(json.loads(text))
    except json.JSONDecodeError as error:
        raise TraceFileError(f"the file is not JSON: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise TraceFileError(f"the file is not in the ITF format: {type(error).__name__}: {error}") from None
    about = trace.meta.get(OURS, {}) if isinstance(trace.meta, Mapping) else {}
    if not isinstance(about, Mapping) or not isinstance(trace.states, Sequence) or not trace.states:
        raise TraceFileError("the file is not a run: it has no states, or its #meta is not an object")
    said = {key: about[key] for key in ("broken", "cycle_start", "starved", "token") if key in about}
    setup = {key: value for key, value in about.items() if key not in said}
    if trace.loop is not None:
        said["loop"] = trace.loop
    return _recording(trace.states, setup, said)


def _recording(states: Sequence[Any], setup: Mapping[str, Any], said: Mapping[str, Any]) -> Recording:
    rings, places, steps, claims = [], [], [], []
    first = _Reader(0, states[0])
    actors = first.actors()
    for index, state in enumerate(states):
        reader = _Reader(index, state)
        rings.append(reader.ring())
        places.append(reader.places(actors))
        if index:
            claims.append(reader.claims())
            at = dict(zip(actors, places[-1], strict=True))
            steps.append(_step(index, reader.last_step(actors), rings[-1], at, claims[-1]))
    run = Run(
        variant=_word(setup.get("variant", "shipped")),
        readers=len(rings[0][0].flags) - 1,
        blocks=len(rings[0]),
        memory=_word(setup.get("memory", "sc")),
        actors=actors,
        initial=rings[0],
        steps=tuple(steps),
        token=_word(said.get("token", "")),
        broken=tuple(_words(said.get("broken", ()))),
        cycle_start=said.get("cycle_start"),
        starved=said.get("starved"),
    )
    return Recording(run, tuple(places), setup, tuple(claims), said)


def _step(number: int, last: _LastStep, ring: tuple[Block, ...], at: Mapping[str, Place], claims: Mapping[str, Any]) -> Step:
    goes_to = at[last.actor].row
    return Step(
        number=number,
        **last._asdict(),
        ring=ring,
        goes_to="" if goes_to == DEAD else goes_to,
        ordering=_word(claims.get("ordering", "")),
        access=_word(claims.get("access", "")),
        note=_word(claims.get("note", "")),
        broken=tuple(_words(claims.get("broken", ()))),
        choice=claims.get("choice", _UNKNOWN_CHOICE),
        reads_from=claims.get("reads_from"),
        stale=bool(claims.get("stale", False)),
    )


class _Reader:
    """One state of a file, whose variables must have the form that the module's text gives."""

    def __init__(self, index: int, state: Any) -> None:
        self._index = index
        self._state = state

    def ring(self) -> tuple[Block, ...]:
        written = self._row(self._variable("written"), "written")
        read = [self._row(row, "read") for row in self._list(self._variable("read"), "read")]
        payload = [self._row(row, "payload") for row in self._list(self._variable("payload"), "payload")]
        sizes = {len(read), len(payload), len(written)}
        if len(sizes) > 1 or len(set(map(len, read))) > 1 or len(set(map(len, payload))) > 1 or not written:
            raise self._fault("written, read and payload are about blocks that differ")
        if any(flag not in (0, 1) for flags in (written, *read) for flag in flags):
            raise self._fault("a flag is 0 or 1")
        return tuple(Block((flag, *flags), tuple(words)) for flag, flags, words in zip(written, read, payload, strict=True))

    def actors(self) -> tuple[str, ...]:
        names = self._variable("pc")
        if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names):
            raise self._fault("pc is not a function of actors")
        for name in names:
            if name.split(" ")[0] not in _ROLES:
                raise self._fault(f"{name!r} is no actor; actors are called writer, reader 0, reader 1 …")
        return tuple(sorted(names, key=lambda name: (_ROLES.index(name.split(" ")[0]), len(name), name)))

    def places(self, actors: Sequence[str]) -> tuple[Place, ...]:
        rows, blocks = self._variable("pc"), self._variable("block")
        for name, table in (("pc", rows), ("block", blocks)):
            if not isinstance(table, Mapping) or set(table) != set(actors):
                raise self._fault(f"{name} is not a function of {', '.join(actors)}")
        return tuple(Place(self._text(rows[actor], "pc"), self._number(blocks[actor], "block")) for actor in actors)

    def last_step(self, actors: Sequence[str]) -> _LastStep:
        record = self._variable("step")
        fields = record._asdict() if hasattr(record, "_asdict") else record
        if not isinstance(fields, Mapping) or any(name not in fields for name in _LastStep._fields):
            raise self._fault(f"step is not a record of {', '.join(_LastStep._fields)}")
        if fields["actor"] not in actors:
            raise self._fault(f"step is of {fields['actor']!r}, and the actors are {', '.join(actors)}")
        texts = {name: self._text(fields[name], "step") for name in ("actor", "row", "kind", "location")}
        numbers = {name: self._number(fields[name], "step") for name in ("block", "value")}
        return _LastStep(block=numbers["block"], value=numbers["value"], **texts)

    def claims(self) -> Mapping[str, Any]:
        meta = self._state.meta if isinstance(self._state.meta, Mapping) else {}
        claims = {name: meta[name] for name in (*FACTS, "note", "index") if name in meta}
        if type(claims.get("choice", 0)) is not int:
            raise self._fault("choice is not a number")
        return claims

    def _variable(self, name: str) -> Any:
        if name not in self._state.values:
            raise self._fault(f"it has no variable {name}; the variables are {', '.join(VARIABLES)}")
        return self._state.values[name]

    def _list(self, value: Any, name: str) -> list[Any]:
        """A function of 0 … n-1 (or a sequence) as a list."""
        if isinstance(value, Mapping) and set(value) == set(range(len(value))):
            return [value[index] for index in range(len(value))]
        if isinstance(value, Sequence) and not isinstance(value, str):
            return list(value)
        raise self._fault(f"{name} is not a function of 0, 1, 2 …")

    def _row(self, value: Any, name: str) -> list[int]:
        return [self._number(item, name) for item in self._list(value, name)]

    def _number(self, value: Any, name: str) -> int:
        if type(value) is not int:
            raise self._fault(f"{name} has {value!r} where a number belongs")
        return value

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise self._fault(f"{name} has {value!r} where a text belongs")
        return value

    def _fault(self, what: str) -> TraceFileError:
        return TraceFileError(f"state {self._index} of the file is none of this ring: {what}")


def _values(ring: tuple[Block, ...], actors: Sequence[str], places: Sequence[Place], last: _LastStep) -> dict[str, Any]:
    return {
        "written": _function(block.flags[0] for block in ring),
        "read": _function(_function(block.flags[1:]) for block in ring),
        "payload": _function(_function(block.payload) for block in ring),
        "pc": {actor: place.row for actor, place in zip(actors, places, strict=True)},
        "block": {actor: place.block for actor, place in zip(actors, places, strict=True)},
        "step": last,
    }


def _function(values: Iterable[Any]) -> dict[int, Any]:
    return dict(enumerate(values))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TraceFileError(f"the file's #meta has {value!r} where a text belongs")
    return value


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TraceFileError(f"the file's #meta has {value!r} where names belong")
    return map(_word, value)


def _itf_py() -> Any:
    try:
        import itf_py
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("itf_py", "frozendict"):
            raise
        raise MissingExtraError("reading and writing ITF", "check") from error
    return itf_py
