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
from typing import Any, Final, TypeAlias, cast

from ringbuffer import state as explorer
from ringbuffer.model import Model
from ringbuffer.proof.invariant import Facts
from ringbuffer.proof.logic import Logic
from ringbuffer.proof.refinement import MAPPING, STEPS
from ringbuffer.proof.relation import Neighbours, Step
from ringbuffer.proof.validation import Comparison, Offer, OfStates, OfSteps, Pair, Walk, Watch
from ringbuffer.proof.view_states import Image, Timed, Unforgetting, image, start, tabulated, times_of
from ringbuffer.proof.views import Views
from ringbuffer.proof.vocabulary import WRITER, State, Who
from ringbuffer.proof.weak_invariant import RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL, Kind, Variant

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
    watch = Watch(tuple(states), tuple(steps), elsewhere=False)
    return cast("ViewComparison", _Walk(model, logic, relation, watch, fills, pairs_max, memory=memory).run())


def validate(readers: int, blocks: int, words: int, *, fills: int = FILLS_MAX, pairs_max: int = PAIRS_MAX) -> ViewComparison:
    """Compare the shipped protocol, and evaluate all that the proof says, on every state and every step."""
    return compare(PROTOCOL, readers, blocks, words, fills=fills, states=STATES, steps=OF_STEPS, pairs_max=pairs_max)


@dataclass
class _Pair(Pair):
    """A pair whose image is an :class:`Image`."""

    def locations(self, actor: int) -> tuple[int, ...]:
        """The flags that an actor's row is about."""
        me = self.explored.actors[actor]
        return self.model.locations_of(actor, me.pc, me.block)

    def location(self, choice: explorer.Choice) -> int | None:
        """The flag that a step is about."""
        actor, detail, _ = choice
        found, at = self.locations(actor), detail if self.row(actor).row.access.is_several else 0
        return found[at] if at < len(found) else None

    def told(self, choice: explorer.Choice) -> str:
        """Which of an actor's steps it is."""
        return f"detail {choice[1]}, alternative {choice[2]}"

    def __str__(self) -> str:
        """The explorer's state, and the encoder's ghosts."""
        named = [f"{name} = {value}" for name, value in _named(self.model, self.image)]
        return "\n".join([*named, *self.ghosts()])


@dataclass
class _Walk(Walk):
    """One walk under release/acquire."""

    logic: Timed
    memory: Unforgetting = field(kw_only=True)
    longest: int = 1
    stale: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)

    def begin(self, first: explorer.State) -> State:
        """The encoder's state for the explorer's initial one."""
        begin = start(self.logic, first, self.model.setup.variant.initial_read_flag)
        self.logic.span(1)
        return begin

    def image_of(self, explored: explorer.State) -> Image:
        """What of an explorer's state is compared."""
        return self.memory.image(explored, self.model.setup.variant.initial_read_flag)

    def image(self, encoded: State) -> Image:
        """The same of the encoder's."""
        return image(self.logic, encoded)

    def pair(self, explored: explorer.State, encoded: State) -> _Pair:
        """The two side by side."""
        return _Pair(self.model, explored, self.image_of(explored), encoded)

    def facts(self, encoded: State) -> Facts:
        """A state with the words of what is watched."""
        return RELEASE_ACQUIRE.facts(self.relation, encoded)

    def comparison(self, findings: dict[str, Any]) -> ViewComparison:
        """The report of what was found."""
        stale, early = frozenset(self.stale), frozenset(self.early)
        return ViewComparison(**findings, stale=stale, early=early, longest=self.longest)

    def prepare(self, pair: Pair) -> None:
        """The times that there are before a pair is visited."""
        stores = max(map(len, pair.image.histories))
        self.longest = max(self.longest, stores)
        self.logic.span(stores)

    def take(self, offer: Offer) -> Step:
        """The step of an offer, at its time."""
        self.logic.time = offer.time
        return offer.step

    def flattened(self, pair: Pair, step: Step) -> State:
        """The state after a step, in tables, its times counted through."""
        return tabulated(self.logic, step.after, pair.encoded, map(len, pair.image.histories))

    def named(self, found: Image) -> Iterator[tuple[str, object]]:
        """What is compared, with names that a person knows."""
        return _named(self.model, found)

    def offers(self, pair: Pair, actor: int) -> dict[explorer.Choice, Offer]:
        """The steps that the encoder lets an actor take, each with the time that it is about, by the explorer's names."""
        assert isinstance(pair, _Pair), "this walk makes its pairs itself"
        who = Who(actor - 1) if actor else WRITER
        lengths = [len(pair.image.histories[location]) for location in pair.locations(actor)]
        found: dict[explorer.Choice, Offer] = {}
        for time in times_of(max(lengths)) if lengths else (0,):
            self.logic.time = time
            for step in self.relation.steps_of_row(pair.encoded, who, pair.row(actor)):
                choice = self._choice(pair, actor, step) if step.guard else None
                if choice in found:
                    raise pair.fault_of(choice, f"the encoder can take it in two ways, at {found[choice].time} and {time}")
                if choice is not None:
                    found[choice] = Offer(step, time)
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

    def count(self, pair: Pair, transition: explorer.Transition, step: Step) -> None:
        """What a step shows."""
        assert isinstance(pair, _Pair), "this walk makes its pairs itself"
        super().count(pair, transition, step)
        location = pair.location(transition.choice)
        if location is not None and self.logic.time < 2 * len(pair.image.histories[location]) - 2:
            kind = pair.row(transition.choice[0]).row.access.kind
            (self.stale if kind is Kind.LOAD else self.early).add(step.row)


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
