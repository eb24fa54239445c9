"""A graph of states, described and made small: tables of parts that many states share, and columns of numbers into them.

Rules: the same graph gives the same bytes; what is packed is plain JSON, deflated, in base64, one piece for each combination,
so that the page unpacks only what is looked at. Limits: none of it says anything that the model has not said.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final, NamedTuple

from ringbuffer.checker.explore import HOLDS
from ringbuffer.explorer.graph import NOT_KEPT, StateGraph, TooLargeError
from ringbuffer.explorer.menu import STATES_MAX, Combination
from ringbuffer.explorer.paths import Findings, findings
from ringbuffer.explorer.waits import Watch
from ringbuffer.explorer.words import Teller
from ringbuffer.trace.words import plural

_LEVEL: Final = 9


class Packed(NamedTuple):
    """One combination: what the page says of it before it is chosen, and its graph, empty where it is left out."""

    id: str
    about: dict[str, Any]
    graph: str


class Table:
    """Parts by number, in the order in which they were first met."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, part: Any) -> int:
        """The number of a part."""
        return self.numbers.setdefault(part, len(self.numbers))

    @property
    def parts(self) -> list[Any]:
        """All parts, by number."""
        return list(self.numbers)


def pack(combination: Combination) -> Packed:
    """Explore a combination and pack it, or say why it is left out."""
    if combination.pointless:
        return Packed(combination.id, {"left_out": combination.pointless}, "")
    try:
        graph = StateGraph(combination.setup, STATES_MAX)
    except TooLargeError:
        return Packed(combination.id, {"left_out": f"left out: it has more than {STATES_MAX:,} states"}, "")
    found = findings(graph)
    for example in found.counterexamples:
        graph.keep_path(example.steps)
    text = json.dumps(exported(graph, found), ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(text.encode(), _LEVEL)).decode("ascii")
    return Packed(combination.id, _about(combination, graph, found), packed)


def unpack(graph: str) -> dict[str, Any]:
    """What was packed."""
    unpacked: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(graph)))
    return unpacked


def exported(graph: StateGraph, found: Findings) -> dict[str, Any]:
    """The graph as plain JSON values.

    ``columns``: for each state the numbers of its blocks, then of its actors, then of why they wait, then of what the memory
    keeps for them. ``counts``: how many steps each state has; ``what`` and ``to``: their descriptions and where they lead, as a
    distance from the number of their own state, ``null`` where that state is not kept.
    """
    teller, watch = Teller(graph.model), Watch(graph.model)
    blocks, actors, waits, memories, steps = Table(), Table(), Table(), Table(), Table()
    rows, what, to = [], [], []
    everybody = range(len(graph.model.programs))
    for number, state in enumerate(graph.states):
        names = teller.names(state)
        rows.append(
            [
                *(blocks.number(teller.block(state, block, names)) for block in range(graph.model.setup.blocks)),
                *(actors.number(teller.actor(state, actor, names)) for actor in everybody),
                *(waits.number(watch.why(state, actor, graph.steps[number], teller.place)) for actor in everybody),
                *(memories.number(teller.memory(state, actor, names)) for actor in everybody),
            ]
        )
        last = {step.choice[:2]: step.choice for step in graph.steps[number]}
        for step in graph.steps[number]:
            newest = last[step.choice[:2]] == step.choice
            what.append(steps.number(teller.step(state, step, names, newest=newest)))
            target = graph.target(step)
            to.append(None if target == NOT_KEPT else target - number)
    return {
        "names": teller.actors,
        "blocks": blocks.parts,
        "actors": actors.parts,
        "waits": waits.parts,
        "memories": memories.parts,
        "steps": steps.parts,
        "columns": [list(column) for column in zip(*rows, strict=True)],
        "counts": [len(own) for own in graph.steps],
        "what": what,
        "to": to,
        "examples": [_example(graph, example) for example in found.counterexamples],
    }


def _example(graph: StateGraph, example: Any) -> dict[str, Any]:
    """A counterexample as the places of its steps among those of each state."""
    number, places = 0, []
    for step in example.steps:
        places.append(graph.steps[number].index(step))
        number = graph.target(step)
    return {"property": example.property, "path": places, "cycle": example.cycle_start, "starved": example.starved}


def _about(combination: Combination, graph: StateGraph, found: Findings) -> dict[str, Any]:
    """What the page says of a combination: how large it is, and what is broken."""
    count = sum(map(len, graph.steps[: graph.sound]))
    size = f"Every one of the {graph.sound:,} states that are reached without a fault is here, with {plural(count, 'step')}"
    said = [size.replace(str(count), f"{count:,}") + "."]
    undecided = found.liveness not in ("", HOLDS) and not any(one.cycle_start for one in found.counterexamples)
    if found.counterexamples:
        said.append("Something can be broken: press a property to see the shortest run that breaks it.")
    else:
        alive = ", and nobody waits for ever" if found.liveness == HOLDS else ""
        said.append(f"Explored to the end: no {'safety ' if undecided else ''}property is broken{alive}.")
    if undecided:
        said.append("Whether somebody can wait for ever was not decided here.")
    if not found.liveness:
        said.append("Whether somebody can wait for ever is judged under sc and tso only.")
    edits = " ".join(f"--{str(edit).replace('=', ' ', 1)}" for edit in combination.offer.variant.edits)
    words = ("ringbuffer check", edits, f"--readers {combination.readers} --blocks {combination.blocks}")
    command = " ".join(filter(None, (*words, f"--memory {combination.memory}")))
    return {"states": len(graph.states), "sound": graph.sound, "steps": count, "says": " ".join(said), "command": command}
