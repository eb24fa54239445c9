"""Running something again: from a token, or from a recorded run, of which every state is compared.

A recorded run is not believed: it is taken step by step on the tables, and it is what it says to be only if each of its states
is one that the tables lead to. Rules: a recording may leave out which of the possible steps was taken (another tool does not
know our numbers), so all runs that fit so far are kept; the first step that none of them can take is named. What is written
appears whole or not at all. Limits: of several runs that fit to the end, which differ only in what no onlooker sees, the first
is taken.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from ringbuffer.checker.progress import cycle_at_end
from ringbuffer.errors import RingBufferError, TokenError, TraceFileError
from ringbuffer.protocol import Variant, Waking
from ringbuffer.protocol.waking import concerns_waking
from ringbuffer.simulator import Setup, Simulation, State, Transition
from ringbuffer.trace.itf import DEAD, FACTS, Place, Recording, facts, from_itf, verdict
from ringbuffer.trace.record import Block, Run, Step
from ringbuffer.trace.token import PREFIX

FILE_BYTES_MAX: Final = 64 << 20
"""The longest file that is read."""
FITTING_MAX: Final = 64
"""How many runs may fit a recording so far."""


def load(name: str) -> Simulation:
    """Run again what ``name`` is: a token, a file with a token or with ITF JSON, or ``-`` for standard input.

    Raises :class:`TokenError` for what is none of these, or tells of a run that cannot be.
    """
    if name == "-":
        text = _decoded(
            sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode(), name
        )
    elif os.path.exists(name):  # noqa: PTH110 - a token may be too long for a path, about which Path.exists raises
        text = _decoded(_content(Path(name)), name)
    elif name.startswith(PREFIX):
        text = name
    else:
        raise TokenError(f"{name[:60]!r} is no replay token, and there is no file of that name")
    return rerun(from_itf(text)) if text.lstrip().startswith("{") else Simulation.replay(text)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise TraceFileError(f"{path} is a folder, and not a file with a token or a run")
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror}") from error


def _decoded(content: bytes, name: str) -> str:
    if len(content) > FILE_BYTES_MAX:
        raise TraceFileError(f"{name} has more than {FILE_BYTES_MAX} bytes: too long for a run")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TraceFileError(f"{name} is not text in UTF-8, so it holds neither a token nor a run") from None


def shown(simulation: Simulation) -> Run:
    """The run as a record, with what its end means: whether it can repeat itself for ever, and who starves then."""
    cycle = cycle_at_end(simulation)
    if cycle is None or not cycle.broken:
        return simulation.run_record()
    return simulation.run_record(broken=cycle.broken, cycle_start=cycle.start, starved=cycle.starved)


def _transitions(simulation: Simulation) -> list[Transition]:
    """The transitions that a run has taken."""
    state, taken = simulation.model.initial(), []
    for step in simulation.steps:
        taken.append(simulation.model.transitions(state)[step.choice])
        state = taken[-1].state
    return taken


def recording(simulation: Simulation) -> Recording:
    """The run with where every actor stands in each state, and its setup: all that an ITF file holds."""
    run = shown(simulation)
    states = [simulation.model.initial(), *(transition.state for transition in _transitions(simulation))]
    places = tuple(_places(simulation, state) for state in states)
    setup = {name: getattr(simulation.setup, name) for name in _plain_fields()}
    setup |= {"sleeping": True} if simulation.setup.waking is not None else {}
    claims = tuple({"index": step.number, "note": step.note, **facts(step)} for step in run.steps)
    said = verdict(run) if run.cycle_start is None else {**verdict(run), "loop": run.cycle_start - 1}
    return Recording(run, places, {"variant": run.variant, **setup}, claims, said)


def _plain_fields() -> Iterator[str]:
    return (field.name for field in fields(Setup) if field.name not in ("variant", "waking"))


def _places(simulation: Simulation, state: State) -> tuple[Place, ...]:
    programs = simulation.model.programs
    return tuple(
        Place(DEAD if actor.pc < 0 else program[actor.pc].row.id, actor.block)
        for program, actor in zip(programs, state.actors, strict=True)
    )


def rerun(recording: Recording) -> Simulation:
    """Take the steps of a recording on the tables. Raises :class:`TraceFileError` naming the first one that cannot be taken."""
    start = Simulation(_setup(recording))
    _compare_start(recording, start)
    fitting = [start]
    for step, places, claims in zip(recording.run.steps, recording.places[1:], _claims(recording), strict=True):
        fitting = _advance(fitting, step, places, claims)
    return _confirmed(recording, fitting)


def _claims(recording: Recording) -> tuple[Mapping[str, Any], ...]:
    return recording.claims or ({},) * len(recording.run.steps)


def _setup(recording: Recording) -> Setup:
    """The setup of a recording; what its file does not say is taken from its states, or is as in a setup without options."""
    run, given = recording.run, dict(recording.setup)
    found: dict[str, Any] = {"readers": run.readers, "blocks": run.blocks, "words": len(run.initial[0].payload)}
    found["writers"] = sum(actor.startswith("writer") for actor in run.actors)
    for name, value in found.items():
        if given.get(name, value) != value:
            raise TraceFileError(f"the file says {name} is {given[name]!r}, and its states have {value}")
    defaults = {name: getattr(Setup(), name) for name in _plain_fields()}
    given = {name: given.get(name, found.get(name, default)) for name, default in defaults.items()}
    for name, default in defaults.items():
        fits = (type(default), type(None), int) if name == "messages" else (type(default),)
        if type(given[name]) not in fits:
            raise TraceFileError(f"the file says {name} is {given[name]!r}, which is no setup")
    edits = [edit for edit in run.variant.split() if edit != "shipped"]
    sleeping = recording.setup.get("sleeping", False) is True
    try:
        waking = Waking.parse(*filter(concerns_waking, edits)) if sleeping else None
        variant = Variant.parse(*(edit for edit in edits if not (sleeping and concerns_waking(edit))))
        return Setup(variant, waking=waking, **given)
    except RingBufferError as error:
        raise TraceFileError(f"the file is about a ring that cannot be: {error}") from error


def _compare_start(recording: Recording, start: Simulation) -> None:
    names = tuple(start.model.actor_name(actor) for actor in range(len(start.model.programs)))
    if names != recording.run.actors:
        raise TraceFileError(f"the file's actors are {', '.join(recording.run.actors)}, and the ring's {', '.join(names)}")
    difference = _difference(start, start.state, recording.run.initial, recording.places[0])
    if difference:
        raise TraceFileError(f"state 0 is not where a run of these tables begins: {difference}")


def _advance(fitting: list[Simulation], step: Step, places: tuple[Place, ...], claims: Mapping[str, Any]) -> list[Simulation]:
    """All runs that fit so far, one step on."""
    after: dict[State, Simulation] = {}
    misfits: list[str] = []
    for run in fitting:
        numbers = [
            number
            for number, transition in enumerate(run.possible())
            if run.model.actor_name(transition.choice[0]) == step.actor
            and not _difference(run, transition.state, step.ring, places)
        ]
        for number in numbers:
            candidate = run if number == numbers[-1] else _forked(run)
            taken = candidate.step(number)
            misfit = _misfit(taken, step, claims)
            if misfit:
                misfits.append(misfit)
            elif len(after) < FITTING_MAX:
                after.setdefault(candidate.state, candidate)
    if not after:
        reason = misfits[0] if misfits else _nearest(fitting[0], step, places)
        told = f"{step.actor}, {step.row} {step.location} = {step.value}"
        raise TraceFileError(f"no run of these tables takes step {step.number} of the file ({told}): {reason}")
    return list(after.values())


def _forked(run: Simulation) -> Simulation:
    """The same run, to be gone on with in another way."""
    other = Simulation(run.setup)
    for step in run.steps:
        other.step(step.choice)
    return other


def _difference(run: Simulation, state: State, ring: tuple[Block, ...], places: tuple[Place, ...]) -> str:
    """What a recorded state has otherwise than ``state``; empty when they are the same."""
    for number, (block, said) in enumerate(zip(run.ring(state), ring, strict=False)):
        for name, expected, found in (("flags", block.flags, said.flags), ("payload", block.payload, said.payload)):
            if expected != found:
                return f"block {number} has {name} {_list(found)}, and the tables leave {_list(expected)}"
    for actor, (here, there) in enumerate(zip(_places(run, state), places, strict=True)):
        if here != there:
            ours, theirs = f"{here.row}, block {here.block}", f"{there.row}, block {there.block}"
            return f"{run.model.actor_name(actor)} stands at {theirs}, and the tables put it at {ours}"
    return "" if len(ring) == run.setup.blocks else f"it has {len(ring)} blocks instead of {run.setup.blocks}"


def _misfit(taken: Step, step: Step, claims: Mapping[str, Any]) -> str:
    """What a recording says of a step otherwise than the step that the tables have; empty when it says the same."""
    for name in ("row", "kind", "block", "location", "value"):
        if getattr(taken, name) != getattr(step, name):
            return f"its {name} is {getattr(step, name)!r}, and the tables have {getattr(taken, name)!r}"
    if claims.get("index", step.number) != step.number:
        return f"its state calls itself number {claims['index']!r}: a state before it is missing, or stands elsewhere"
    ours = facts(taken)
    for name in FACTS:
        if name in claims and (claims[name] != ours[name] or type(claims[name]) is not type(ours[name])):
            return f"its {name} is {claims[name]!r}, and the tables have {ours[name]!r}"
    return ""


def _nearest(run: Simulation, step: Step, places: tuple[Place, ...]) -> str:
    """What is different in the step that is most like the recorded one, or which steps are possible instead."""
    possible = [(_forked(run).step(number), transition.state) for number, transition in enumerate(run.possible())]
    for taken, state in possible:
        if (taken.actor, taken.row, taken.location, taken.value) == (step.actor, step.row, step.location, step.value):
            return _difference(run, state, step.ring, places)
    listed = "; ".join(dict.fromkeys(f"{taken.actor}, {taken.row} {taken.access}" for taken, _ in possible))
    return f"possible here: {listed or 'nothing'}"


def _confirmed(recording: Recording, fitting: list[Simulation]) -> Simulation:
    """The run whose verdict is that of the recording, where it has one."""
    for simulation in fitting:
        found = verdict(shown(simulation))
        cycle = cycle_at_end(simulation)
        found["loop"] = cycle.start - 1 if cycle else None
        said = {name: value for name, value in recording.verdict.items() if found[name] != value}
        if not said:
            return simulation
    name, value = next(iter(said.items()))
    raise TraceFileError(
        f"the file has {name} {value!r}, and its {len(recording.run.steps)} steps, run again, have"
        f" {found[name]!r}: steps are missing at its end, or it was changed"
    )


def _list(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def save(name: str, text: str) -> None:
    """Write ``text`` to the file of that name, or to standard output for ``-``: whole, or not at all.

    Raises :class:`TraceFileError` when that cannot be.
    """
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        return
    path = Path(name)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # a pipe, or a terminal: there is nothing to be put in its place
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise TraceFileError(f"{name} cannot be written: {error.strerror}") from error


def _replace(path: Path, text: str) -> None:
    """Write beside the file, and put the new one in its place when it is complete."""
    beside = path.with_name(f".{os.getpid()}.part")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
