"""The encoder of release/acquire held to the explorer: both run in lockstep from the start, as far as a bound on fills.

The comparison of :mod:`ringbuffer.proof.validation`, for :class:`~ringbuffer.proof.views.Views` and the memory ``ra``. That
memory forgets what nobody could find out any more; here it keeps everything, so that every store, all that it tells, and all
that everybody sees can be compared. Wherever the two come, both must offer the same steps, one to one: each store that a load
may return, and each place that a store may take; and these must lead to the same states and break the same properties, races
among them. On the way everything that the proof says of a state or a step can be evaluated.

Rules: the encoder is offered every time of a history (:mod:`ringbuffer.proof.view_states` says which there are), also those at
which it must not load or store; formulas about times range over them as well. Of pairs of states that differ in nothing else
than how often a block was accessed the first is visited: nobody asks for more of a count than whether it is the latest. No pair
behind a broken property is visited, and after such a step what is owed is not compared. Limits: one size of ring at a time, and
no more fills than the bound, or pairs than theirs; the encoder is asked for the steps of the row where an actor stands, and
:mod:`~ringbuffer.proof.validation` asks for those of the others; a formula that compared two times at which nothing is stored
could be wrong of two in one gap; that the memory's forgetting changes nothing is not shown here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final, TypeAlias, cast

from ringbuffer import state as explorer
from ringbuffer.model import Model
from ringbuffer.proof.logic import Logic
from ringbuffer.proof.refinement import MAPPING, STEPS
from ringbuffer.proof.relation import Neighbours, Step
from ringbuffer.proof.validation import Comparison, OfStates, OfSteps, Way
from ringbuffer.proof.view_states import Image, Timed, Unforgetting, image, start, tabulated, times_of
from ringbuffer.proof.views import Views
from ringbuffer.proof.vocabulary import GHOSTS, WRITER, State, Table, Who
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL, Instruction, Kind, Variant

FILLS_MAX: Final = 2
"""How many fills begin, unless the caller says otherwise: enough for the second lap of a ring of one block."""
PAIRS_MAX: Final = 100_000
"""More pairs of states than a walk of the tests has: one that goes wrong ends there."""
STATES: Final[tuple[OfStates, ...]] = (*RELEASE_ACQUIRE.invariant, *RELEASE_ACQUIRE.of_states, *MAPPING)
"""All that the proof says of reachable states: the invariant, what follows from it, and the mapping to the queue."""
OF_STEPS: Final[tuple[OfSteps, ...]] = (*RELEASE_ACQUIRE.of_steps, *STEPS)
"""All that it says of steps."""

Encoder: TypeAlias = Callable[[Variant, Logic, Neighbours], Views]
"""What makes a relation."""


@dataclass(frozen=True)
class ViewComparison(Comparison):
    """What a walk has found. ``stale``: the rows that loaded a store which was not the newest; ``early``: the rows that put a
    store before another one. ``longest``: how many stores the longest history had."""

    stale: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    longest: int = 0


def compare(
    variant: Variant = PROTOCOL,
    readers: int = 1,
    blocks: int = 1,
    words: int = 1,
    *,
    fills: int = FILLS_MAX,
    states: Iterable[OfStates] = (),
    steps: Iterable[OfSteps] = (),
    encoder: Encoder = Views,
    pairs_max: int = PAIRS_MAX,
) -> ViewComparison:
    """Walk through all pairs of states of a ring of this size, up to the first fault.

    ``fills``: the bound on fills that have begun. ``states``, ``steps``: what else is to hold of every state that is visited,
    and what no step that is compared may break. ``encoder``: what makes the relation, for tests that plant faults in it.
    ``pairs_max``: give up beyond it. Raises :class:`GeometryError` for a ring that cannot be, and :class:`VariantError` for a
    variant that :class:`~ringbuffer.proof.views.Views` refuses.
    """
    setup = explorer.Setup(variant, readers, blocks, words, memory="ra")
    memory, logic = Unforgetting(setup.shape, variant), Timed(readers, blocks, words, fills + 1)
    relation = encoder(variant, logic, Neighbours.of(readers))
    model = Model(setup, lasting=True, memory=memory)
    return _Walk(model, memory, logic, relation, _Watch(tuple(states), tuple(steps)), fills, pairs_max).run()


def validate(readers: int, blocks: int, words: int, *, fills: int = FILLS_MAX, pairs_max: int = PAIRS_MAX) -> ViewComparison:
    """Compare the shipped protocol, and evaluate all that the proof says, on every state and every step."""
    return compare(PROTOCOL, readers, blocks, words, fills=fills, states=STATES, steps=OF_STEPS, pairs_max=pairs_max)


class _Fault(Exception):
    """The two disagree, or what is watched does not hold."""


@dataclass(frozen=True)
class _Watch:
    """What is looked at besides the comparison."""

    states: tuple[OfStates, ...]
    steps: tuple[OfSteps, ...]


@dataclass
class _Pair:
    """A state of the explorer with its image, and the encoder's."""

    model: Model
    explored: explorer.State
    image: Image
    encoded: State

    def row(self, actor: int) -> Instruction:
        """Where an actor stands."""
        return self.model.programs[actor][self.explored.actors[actor].pc]

    def locations(self, actor: int) -> tuple[int, ...]:
        """The flags that its row is about."""
        me = self.explored.actors[actor]
        return self.model.locations_of(actor, me.pc, me.block)

    def location(self, choice: explorer.Choice) -> int | None:
        """The flag that a step is about."""
        actor, detail, _ = choice
        found, at = self.locations(actor), detail if self.row(actor).row.access.is_several else 0
        return found[at] if at < len(found) else None

    def fault_of(self, choice: explorer.Choice, text: str) -> _Fault:
        """That there is something wrong with a step from here."""
        actor, detail, alternative = choice
        where = f"{self.model.actor_name(actor)} at {self.row(actor).row.id}, detail {detail}, alternative {alternative}"
        return _Fault(f"{where}: {text}; in the state\n{self}")

    def __str__(self) -> str:
        """The explorer's state, and the encoder's ghosts."""
        named = [f"{name} = {value}" for name, value in _named(self.model, self.image)]
        ghosts = [f"{name} = {cast('Table', self.encoded[name]).key}" for name in GHOSTS if name != "begun"]
        return "\n".join([*named, *ghosts])


@dataclass
class _Walk:
    """One walk."""

    model: Model
    memory: Unforgetting
    logic: Timed
    relation: Views
    watch: _Watch
    fills: int
    pairs_max: int
    pairs: list[_Pair] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)
    transitions: int = 0
    beyond: int = 0
    longest: int = 1
    taken: set[Way] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)

    def run(self) -> ViewComparison:
        """Visit pair after pair, until there is no new one, a fault, or too many."""
        first, read_flag = self.model.initial(), self.model.setup.variant.initial_read_flag
        begin = start(self.logic, first, read_flag)
        self.logic.span(1)
        visited, fault = 0, None
        try:
            if image(self.logic, begin) != self._image(first) or not self.relation.initial(begin):
                raise _Fault("the explorer's initial state is none of the encoder's")
            self._meet(first, self._image(first), begin)
            while visited < min(len(self.pairs), self.pairs_max):
                visited += 1
                self._visit(self.pairs[visited - 1])
        except _Fault as found:
            fault = str(found)
        return self._comparison(visited, fault, begin)

    def _image(self, explored: explorer.State) -> Image:
        return self.memory.image(explored, self.model.setup.variant.initial_read_flag)

    def _comparison(self, visited: int, fault: str | None, begin: State) -> ViewComparison:
        offered = [(step.row, step.edge) for who in (WRITER, Who(0)) for step in self.relation.steps(begin, who)]
        return ViewComparison(
            setup=self.model.setup,
            fills=self.fills,
            pairs=visited,
            transitions=self.transitions,
            beyond=self.beyond,
            offered=frozenset(offered),
            taken=frozenset(self.taken),
            broken=frozenset(self.broken),
            fault=fault,
            complete=fault is None and visited == len(self.pairs),
            stale=frozenset(self.stale),
            early=frozenset(self.early),
            longest=self.longest,
        )

    def _meet(self, explored: explorer.State, found: Image, encoded: State) -> None:
        key = (explored, *[cast("Table", encoded[name]).key for name in GHOSTS])
        if key not in self.seen:
            self.seen.add(key)
            self.pairs.append(_Pair(self.model, explored, found, encoded))

    def _visit(self, pair: _Pair) -> None:
        """Evaluate what is watched, and compare every step."""
        stores = max(map(len, pair.image.histories))
        self.longest = max(self.longest, stores)
        self.logic.span(stores)
        facts = RELEASE_ACQUIRE.facts(self.relation, pair.encoded)
        for one in self.watch.states:
            if not one.formula(facts, self.logic):
                raise _Fault(f"{one.name} does not hold in the state\n{pair}")
        for actor in range(len(self.model.programs)):
            steps = self._steps(pair, actor)
            for transition in self.model.transitions_of(pair.explored, actor):
                time, step = steps.pop(transition.choice, (0, None))
                if step is None:
                    raise pair.fault_of(transition.choice, "only the explorer can take this step")
                self.logic.time = time
                for watched in self.watch.steps:
                    if watched.broken(facts, step):
                        raise pair.fault_of(transition.choice, f"it breaks {watched.name}")
                self._compare(pair, transition, step)
            for choice in steps:
                raise pair.fault_of(choice, "only the encoder can take this step")

    def _steps(self, pair: _Pair, actor: int) -> dict[explorer.Choice, tuple[int, Step]]:
        """The steps that the encoder lets an actor take, each with the time that it is about, by the explorer's names."""
        who = Who(actor - 1) if actor else WRITER
        lengths = [len(pair.image.histories[location]) for location in pair.locations(actor)]
        found: dict[explorer.Choice, tuple[int, Step]] = {}
        for time in times_of(max(lengths)) if lengths else (0,):
            self.logic.time = time
            for step in self.relation.steps_of_row(pair.encoded, who, pair.row(actor)):
                choice = self._choice(pair, actor, step) if step.guard else None
                if choice in found:
                    raise pair.fault_of(choice, f"the encoder can take it in two ways, at {found[choice][0]} and {time}")
                if choice is not None:
                    found[choice] = time, step
        return found

    def _choice(self, pair: _Pair, actor: int, step: Step) -> explorer.Choice | None:
        """The explorer's name for a step; none for one behind the last gap of a history: it is another one's twin.

        The explorer numbers the stores that can be loaded, and the places that a store can take, from what the actor sees.
        """
        location, time = pair.location((actor, step.detail, 0)), self.logic.time
        if location is None:
            return actor, step.detail, 0
        stores = pair.row(actor).row.access.kind is Kind.STORE
        alternative = (time - pair.image.views[actor][location] - stores) // 2
        return (actor, step.detail, alternative) if time in times_of(len(pair.image.histories[location])) else None

    def _compare(self, pair: _Pair, transition: explorer.Transition, step: Step) -> None:
        """One step in both readings: what it breaks, and where it leads."""
        self._count(pair, transition, step)
        broken = {name for name, is_broken in step.broken.items() if is_broken}
        self.broken |= broken
        if broken != set(transition.broken):
            text = f"it breaks {_listed(broken)} to the encoder, and {_listed(transition.broken)} to the explorer"
            raise pair.fault_of(transition.choice, text)
        after = tabulated(self.logic, step.after, pair.encoded, map(len, pair.image.histories))
        found, expected = image(self.logic, after), self._image(transition.state)
        if broken:
            found = found._replace(owed=expected.owed)
        if found != expected:
            raise pair.fault_of(transition.choice, "; ".join(_differences(self.model, expected, found)))
        self.beyond += expected.begun > self.fills
        if not broken and expected.begun <= self.fills:
            self._meet(transition.state, expected, after)

    def _count(self, pair: _Pair, transition: explorer.Transition, step: Step) -> None:
        """What a step shows."""
        self.transitions += 1
        self.taken.add((step.row, step.edge))
        location = pair.location(transition.choice)
        if location is not None and self.logic.time < 2 * len(pair.image.histories[location]) - 2:
            kind = pair.row(transition.choice[0]).row.access.kind
            (self.stale if kind is Kind.LOAD else self.early).add(step.row)


def _differences(model: Model, expected: Image, found: Image) -> Iterator[str]:
    """What a state of the encoder says otherwise than the explorer's, in words."""
    for (name, one), (_, other) in zip(_named(model, expected), _named(model, found), strict=True):
        if one != other:
            yield f"{name} becomes {other} to the encoder, and {one} to the explorer"


def _named(model: Model, found: Image) -> Iterator[tuple[str, object]]:
    """What an image says, with names that a person knows."""
    shape = model.shape
    for b, flag in product(range(shape.blocks), range(shape.entry_size)):
        name = f"read[{b}][{flag - 1}]" if flag else f"written[{b}]"
        yield f"the history of {name}", found.histories[shape.flag(b, flag)]
    yield "the payload", found.payload
    for actor, (view, me) in enumerate(zip(found.views, found.actors, strict=True)):
        yield f"the view of {model.actor_name(actor)}", view
        yield from ((f"{model.actor_name(actor)}'s {one}", value) for one, value in me._asdict().items())
    yield from ((f"what is owed to reader {r}", queue) for r, queue in enumerate(found.owed))
    yield "begun", found.begun


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
