"""The encoder held to the explorer: both run in lockstep from the start, through every state that they can reach.

The explorer's :class:`~ringbuffer.model.Model` and the encoder's :class:`~ringbuffer.proof.relation.Relation` interpret the
same rows, and were written apart. :func:`compare` walks, breadth first, through all pairs of a state of the one and a state of
the other; wherever they come, both must offer the same steps, one to one, that lead to the same states and break the same
properties. On the way it evaluates what it is given to watch: the invariant conjunct by conjunct, statements, a refinement.

Rules: a state of the encoder is compared by its image (``images.py``), the explorer's state that it stands for; ghosts that the
explorer does not have are kept by the encoder alone, and tell pairs apart: what is watched judges them. No pair behind a step
that breaks a property is visited, and after such a step what is owed is not compared, because the oracle strikes out what was
broken and the encoder does not. Limits: sequential consistency, one size of ring at a time; messages have lasting numbers, so
states grow without end, and a walk ends at a bound on how many fills have begun: it says nothing of later ones. A bound on
pairs, for samples, makes a walk incomplete, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ringbuffer import state as explorer
from ringbuffer.model import Model
from ringbuffer.proof.images import fields_of, image, key_of, lifted
from ringbuffer.proof.invariant import INVARIANT, Facts
from ringbuffer.proof.logic import Concrete, Logic, Term
from ringbuffer.proof.relation import Neighbours, Relation, Step
from ringbuffer.proof.vocabulary import GHOSTS, WRITER, State, Who, tabulated
from ringbuffer.protocol import PROTOCOL, Edge, Instruction, Variant

FILLS_MAX: Final = 3
"""How many fills begin, unless the caller says otherwise: enough for the third lap of a ring of one block."""
PAIRS_MAX: Final = 200_000
"""More pairs of states than a walk of the tests has: one that goes wrong ends there."""

Way: TypeAlias = tuple[str, Edge | None]
"""A way in which a row goes on: its clause id, and which kind of branch it takes, ``None`` for one access more of the row."""
Encoder: TypeAlias = Callable[[Variant, Logic, Neighbours], Relation]
"""What makes a relation."""


class OfStates(Protocol):
    """Something that is to hold of every state, with a name: a conjunct, or a statement about states."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    @property
    def formula(self) -> Callable[[Facts, Logic], Term]:
        """Whether it holds."""


class OfSteps(Protocol):
    """Something that no step may break, with a name: a statement about steps."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    @property
    def broken(self) -> Callable[[Facts, Step], Term | None]:
        """Whether a step breaks it; ``None`` where it cannot."""


@dataclass(frozen=True)
class Comparison:
    """What a walk has found. ``pairs``: how many pairs of states it visited; ``transitions``: how many steps it compared.

    ``fills``: the bound on fills that have begun; ``beyond``: how many steps led beyond it, to states that were compared and
    not visited. ``offered``: the ways in which rows go on, as the encoder has them; ``taken``: those that were taken.
    ``broken``: the properties that steps broke. ``fault``: the first difference, or the first thing watched that does not
    hold, in words; ``None`` if there is none. ``complete``: whether every pair within the bound on fills was visited.
    """

    setup: explorer.Setup
    fills: int
    pairs: int
    transitions: int
    beyond: int
    offered: frozenset[Way]
    taken: frozenset[Way]
    broken: frozenset[str]
    fault: str | None
    complete: bool

    @property
    def untaken(self) -> frozenset[Way]:
        """The ways in which no row went on: of these the comparison says nothing."""
        return self.offered - self.taken

    def __str__(self) -> str:
        setup = self.setup
        ring = f"{setup.variant}: {setup.readers} readers × {setup.blocks} blocks × {setup.words} words"
        counts = f"{self.pairs} pairs of states, {self.transitions} transitions, at most {self.fills} fills begun"
        end = "the encoder agrees with the explorer" if self.complete else "agreed as far as it went, which is not all"
        return f"{ring}: {counts}: {self.fault or end}"


def compare(
    variant: Variant = PROTOCOL,
    readers: int = 1,
    blocks: int = 1,
    words: int = 1,
    *,
    fills: int = FILLS_MAX,
    states: Iterable[OfStates] = (),
    steps: Iterable[OfSteps] = (),
    elsewhere: bool = True,
    encoder: Encoder = Relation,
    pairs_max: int = PAIRS_MAX,
) -> Comparison:
    """Walk through all pairs of states of a ring of this size, up to the first fault.

    ``fills``: the bound on fills that have begun. ``states``, ``steps``: what else is to hold of every state that is visited,
    and what no step that is compared may break. ``elsewhere``: whether to ask the encoder also about the rows where an actor
    does not stand, of which none may go on (half of the time). ``encoder``: what makes the relation, for tests that plant
    faults in it. ``pairs_max``: give up beyond it. Raises :class:`GeometryError` for a ring that cannot be.
    """
    model = Model(explorer.Setup(variant, readers, blocks, words), lasting=True)
    logic = Concrete(readers, blocks, words, fills + 1)
    watch = Watch(tuple(states), tuple(steps), elsewhere)
    return Walk(model, logic, encoder(variant, logic, Neighbours.of(readers)), watch, fills, pairs_max).run()


def validate(readers: int, blocks: int, words: int, *, fills: int = FILLS_MAX, elsewhere: bool = True) -> Comparison:
    """Compare the shipped protocol, and evaluate each conjunct of the invariant on every state."""
    return compare(PROTOCOL, readers, blocks, words, fills=fills, states=INVARIANT, elsewhere=elsewhere)


class Fault(Exception):
    """The two disagree, or what is watched does not hold."""


@dataclass(frozen=True)
class Watch:
    """What is looked at besides the comparison; ``elsewhere``: also the rows where an actor does not stand."""

    states: tuple[OfStates, ...]
    steps: tuple[OfSteps, ...]
    elsewhere: bool


class Offer(NamedTuple):
    """A step that the encoder lets an actor take, and the time that it is about, where it is about one."""

    step: Step
    time: int = 0


@dataclass
class Pair:
    """A state of the explorer, with what of it is compared, and the encoder's."""

    model: Model
    explored: explorer.State
    image: Any
    encoded: State

    def row(self, actor: int) -> Instruction:
        """Where an actor stands."""
        return self.model.programs[actor][self.explored.actors[actor].pc]

    def fault_of(self, choice: explorer.Choice, text: str) -> Fault:
        """That there is something wrong with a step from here."""
        actor = choice[0]
        where = f"{self.model.actor_name(actor)} at {self.row(actor).row.id}, {self.told(choice)}"
        return Fault(f"{where}: {text}; in the state\n{self}")

    def told(self, choice: explorer.Choice) -> str:
        """Which of an actor's steps it is."""
        return f"detail {choice[1]}"

    def __str__(self) -> str:
        """What is not 0 of the explorer's state, and the encoder's ghosts."""
        named = [f"{name} = {value}" for name, value in fields_of(self.model, self.explored) if value]
        return ", ".join([*named, *self.ghosts()])

    def ghosts(self) -> list[str]:
        """The encoder's ghosts, but for those that the explorer's state says, too."""
        return [f"{name} = {key_of(self.encoded, name)}" for name in GHOSTS if name != "begun"]


@dataclass
class Walk:
    """One walk, under sequential consistency. What is another thing under another memory is a method of its own."""

    model: Model
    logic: Concrete
    relation: Relation
    watch: Watch
    fills: int
    pairs_max: int
    pairs: list[Pair] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)
    transitions: int = 0
    beyond: int = 0
    taken: set[Way] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def begin(self, first: explorer.State) -> State:
        """The encoder's state for the explorer's initial one."""
        return lifted(first, self.model.shape, self.logic)

    def image_of(self, explored: explorer.State) -> Any:
        """What of an explorer's state is compared: here all of it."""
        return explored

    def image(self, encoded: State) -> Any:
        """The same of the encoder's."""
        return image(encoded, self.model.shape)

    def pair(self, explored: explorer.State, encoded: State) -> Pair:
        """The two side by side."""
        return Pair(self.model, explored, self.image_of(explored), encoded)

    def facts(self, encoded: State) -> Facts:
        """A state with the words of what is watched."""
        return Facts(self.relation, encoded)

    def prepare(self, pair: Pair) -> None:
        """Before a pair is visited."""

    def take(self, offer: Offer) -> Step:
        """The step of an offer, about to be compared."""
        return offer.step

    def count(self, pair: Pair, transition: explorer.Transition, step: Step) -> None:
        """What a step shows."""
        self.transitions += 1
        self.taken.add((step.row, step.edge))

    def flattened(self, pair: Pair, step: Step) -> State:
        """The state after a step, in tables."""
        return tabulated(step.after, self.logic, pair.encoded)

    def named(self, found: Any) -> Iterator[tuple[str, object]]:
        """What is compared, with names that a person knows."""
        return fields_of(self.model, found)

    def run(self) -> Comparison:
        """Visit pair after pair, until there is no new one, a fault, or too many."""
        first = self.model.initial()
        start = self.begin(first)
        visited, fault = 0, None
        try:
            pair = self.pair(first, start)
            if self.image(start) != pair.image or not self.relation.initial(start):
                raise Fault(f"the explorer's initial state is none of the encoder's:\n{pair}")
            self._meet(pair)
            while visited < min(len(self.pairs), self.pairs_max):
                visited += 1
                self._visit(self.pairs[visited - 1])
        except Fault as found:
            fault = str(found)
        return self.comparison(self._findings(visited, fault, start))

    def comparison(self, findings: dict[str, Any]) -> Comparison:
        """The report of what was found."""
        return Comparison(**findings)

    def _findings(self, visited: int, fault: str | None, start: State) -> dict[str, Any]:
        offered = [(step.row, step.edge) for who in (WRITER, Who(0)) for step in self.relation.steps(start, who)]
        return {
            "setup": self.model.setup,
            "fills": self.fills,
            "pairs": visited,
            "transitions": self.transitions,
            "beyond": self.beyond,
            "offered": frozenset(offered),
            "taken": frozenset(self.taken),
            "broken": frozenset(self.broken),
            "fault": fault,
            "complete": fault is None and visited == len(self.pairs),
        }

    def _meet(self, pair: Pair) -> None:
        key = (pair.explored, tuple([key_of(pair.encoded, name) for name in GHOSTS]))
        if key not in self.seen:
            self.seen.add(key)
            self.pairs.append(pair)

    def _visit(self, pair: Pair) -> None:
        """Evaluate what is watched, and compare every step."""
        self.prepare(pair)
        facts = self.facts(pair.encoded)
        for one in self.watch.states:
            if not one.formula(facts, self.logic):
                raise Fault(f"{one.name} does not hold in the state\n{pair}")
        for actor in range(len(self.model.programs)):
            offers = self.offers(pair, actor)
            for transition in self.model.transitions_of(pair.explored, actor):
                offer = offers.pop(transition.choice, None)
                if offer is None:
                    raise pair.fault_of(transition.choice, "only the explorer can take this step")
                step = self.take(offer)
                for watched in self.watch.steps:
                    if watched.broken(facts, step):
                        raise pair.fault_of(transition.choice, f"it breaks {watched.name}")
                self._compare(pair, transition, step)
            for choice in offers:
                raise pair.fault_of(choice, "only the encoder can take this step")

    def offers(self, pair: Pair, actor: int) -> dict[explorer.Choice, Offer]:
        """The steps that the encoder lets an actor take, by the explorer's names for them."""
        who = Who(actor - 1) if actor else WRITER
        rows = self.model.programs[actor].instructions if self.watch.elsewhere else (pair.row(actor),)
        found: dict[explorer.Choice, Offer] = {}
        for row in rows:
            for step in self.relation.steps_of_row(pair.encoded, who, row):
                if step.guard:
                    choice = (actor, step.detail, 0)
                    if choice in found:
                        other = found[choice].step.row
                        raise pair.fault_of(choice, f"the encoder can take it in two ways, at {other} and {step.row}")
                    found[choice] = Offer(step)
        return found

    def _compare(self, pair: Pair, transition: explorer.Transition, step: Step) -> None:
        """One step in both readings: what it breaks, and where it leads."""
        self.count(pair, transition, step)
        broken = {name for name, is_broken in step.broken.items() if is_broken}
        self.broken |= broken
        if broken != set(transition.broken):
            text = f"it breaks {_listed(broken)} to the encoder, and {_listed(transition.broken)} to the explorer"
            raise pair.fault_of(transition.choice, text)
        after = self.pair(transition.state, self.flattened(pair, step))
        found, expected = self.image(after.encoded), after.image
        if broken:
            found = found._replace(owed=expected.owed)
        if found != expected:
            raise pair.fault_of(transition.choice, "; ".join(self._differences(expected, found)))
        self.beyond += expected.begun > self.fills
        if not broken and expected.begun <= self.fills:
            self._meet(after)

    def _differences(self, expected: Any, found: Any) -> Iterator[str]:
        """Where a state of the encoder is not the explorer's, in words."""
        for (name, one), (_, other) in zip(self.named(expected), self.named(found), strict=True):
            if one != other:
                yield f"{name} becomes {other} to the encoder, and {one} to the explorer"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
