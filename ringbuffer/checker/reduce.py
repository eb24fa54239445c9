"""Reductions: what the explorer need not visit, and why it may leave it out.

Each can be switched off, and is tested against the exploration without it: the same verdict, and a counterexample that replays
on the tables as they are.

* ``rotation``: a ring has no first block. All blocks start alike and are taken in ring order, so counting the blocks from the
  writer's maps runs to runs; states that differ only in where the writer stands are one. (Where messages have numbers, they are
  counted from the writer's as well.)
* ``symmetry``: readers have no names. All of them run the same table on flags of their own, and the writer treats the read
  flags alike, in any order, so exchanging two readers maps runs to runs (Ip and Dill 1996). Not for a table that tells readers
  apart (a neighbour's flag, all flags but the last, one word for all who sleep), and not for liveness, where it matters who
  it is that waits.
* ``payload``: a payload has one word. Splitting it shows what a reader gets that reads while another writes. Where
  ``exclusion`` is judged (``sc``, ``tso``), or races (``ra``), a run in which that could happen is refuted at its first such
  step; up to there nobody else touches the payload while an actor is at it, so its words are read or written as if at once.
  Not where only other properties are judged, and not where the words are weak (``ra-relaxed``). For liveness ``overwritten``
  has to be judged along, too: between two words a reader can be owed nothing. And ``torn`` only together with ``stale``: a
  fill that was given up halfway and published all the same is torn in two words, and stale in one. (Where callers do not
  raise, that cannot be.)
* ``settled``: a message that nobody is owed any more, and that nobody is filling, is as if nobody had ever written it: whoever
  still reads it gets something stale, whichever it is. So all of them share the name of an unwritten word. Words of two such
  messages make a torn payload, and are then taken for a stale one; so only where both are judged, or a payload is one word.
  Not where the dead have successors, who look at the number of a message that nobody is owed any more.
* ``local``: a step that no other actor can notice is taken at once, alone: a store into the actor's own buffer (``tso``), a
  fence below ``seq_cst``, an access to the actor's own lock. Such a step commutes with all steps of the others, stays possible
  whatever they do, breaks no property and shows nothing, and the chain of such steps ends (Peled 1993, conditions C0 to C3).
  Not for liveness, and not where an actor may be killed between two of its steps. Counterexamples found with it are real,
  and may be longer than the shortest.

Messages are named by where they are in every exploration (``Model``), without which no unbounded run would be finite.
Rules: a reduction maps states to states, or leaves out steps; it knows no verdicts. Limits: two states that are the same under
other names may be visited both, where two readers look alike but for what the memory has noted about them; that costs
time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.memory.base import NOBODY, Arrangement, arrangement
from ringbuffer.memory.simulated import RELAXED_PAYLOAD
from ringbuffer.model import Model
from ringbuffer.protocol import Flag, Ordering
from ringbuffer.protocol.properties import LIVENESS
from ringbuffer.protocol.succession import FIRST_BLOCK
from ringbuffer.state import ANYONE, DEAD, Choice, Setup, State, Transition

ROTATION, SYMMETRY, PAYLOAD, SETTLED, LOCAL = "rotation", "symmetry", "payload", "settled", "local"
REDUCTIONS: Final = (ROTATION, SYMMETRY, PAYLOAD, SETTLED, LOCAL)
WORDS: Final = 2
"""Words of a payload that is not merged: enough to see that it is torn."""

_UNLIKE: Final = frozenset((Flag.NEIGHBOUR, Flag.BUT_LAST))


def select_reductions(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of reductions, and put them in the order of this module. Raises :class:`VariantError` for an unknown one."""
    for name in names:
        if name not in REDUCTIONS:
            raise VariantError(f"unknown reduction {name!r}; the reductions are {', '.join(REDUCTIONS)}, or none")
    return tuple(name for name in REDUCTIONS if name in names)


def applicable(
    names: tuple[str, ...], setup: Setup, properties: tuple[str, ...], words: int | None = None, rank: int | None = None
) -> tuple[str, ...]:
    """Those of ``names`` that keep the answer to this question.

    ``words``: of a payload, where the caller has named them. ``rank``: the one reader whose properties are judged, if any.
    """
    alive = any(name in LIVENESS for name in properties)
    guards = {"race"} if setup.memory == "ra" else {"exclusion", "overwritten"} if alive else {"exclusion"}
    both = "stale" in properties or "torn" not in properties or not setup.aborts
    guarded = both and guards <= set(properties) and setup.memory != RELAXED_PAYLOAD and rank is None
    sound = {
        ROTATION: FIRST_BLOCK not in (setup.follows.writer_goes_on, setup.follows.reader_goes_on),
        SYMMETRY: not alive and rank is None and not _tells_readers_apart(setup),
        PAYLOAD: guarded and words is None,
        SETTLED: setup.killed != ANYONE
        and (setup.words == 1 or (guarded and words is None and PAYLOAD in names) or {"torn", "stale"} <= set(properties)),
        LOCAL: not alive and not setup.killed,
    }
    return tuple(name for name in names if sound[name])


def _tells_readers_apart(setup: Setup) -> bool:
    if setup.waking is not None and setup.waking.has_one_word:
        return True  # the word stays at one place when readers change theirs
    return any(one.row.access.flag in _UNLIKE for program in setup.programs for one in program.instructions)


class Reducer:
    """The reductions of one exploration: :meth:`canonical` of each state, and :meth:`steps` that are worth taking."""

    def __init__(self, model: Model, names: tuple[str, ...]) -> None:
        self.model, self.names = model, names
        self._rotates, self._local = ROTATION in names and model.setup.blocks > 1, LOCAL in names
        self._everybody = tuple(range(len(model.programs)))
        movable = [(actor, model.rank_of(actor)) for actor in self._everybody if self._may_change_places(actor)]
        self._movable = tuple(movable) if SYMMETRY in names and len(movable) > 1 else ()
        self.local_steps_taken = False
        self._is_local = tuple(
            tuple(self._nobody_notices(actor, pc) for pc in range(len(model.programs[actor]))) for actor in self._everybody
        )
        self._rotated = [arrangement(model.shape, self._everybody, shift) for shift in range(model.setup.blocks)]

    def canonical(self, state: State) -> tuple[State, tuple[int, ...] | None]:
        """The state that stands for all that are like ``state``, and which old actor each new one was (``None``: the same)."""
        if self._rotates and state.actors[0].block:
            state = self._arranged(state, self._rotated[state.actors[0].block])
        if not self._movable:
            return state, None
        order = self._order(state)
        if order is None:
            return state, None
        return self._arranged(state, arrangement(self.model.shape, order, 0)), order

    def steps(self, state: State) -> list[Transition]:
        """The steps of a state; one actor's alone, where these are local."""
        if self._local:
            for actor in self._everybody:
                alone = self._local_steps(state, actor)
                if alone:
                    self.local_steps_taken = True
                    return alone
        return self.model.transitions(state)

    def concrete(self, choice: Choice, state: State, actors: Sequence[int]) -> Choice:
        """The same choice in the run that is followed, where actor ``i`` of ``state`` is ``actors[i]``."""
        actor, detail, alternative = choice
        me = state.actors[actor]
        stands = me.pc != DEAD and detail >= 0
        if stands and self._visits_readers(actor, me.pc) and self.model.locations_of(actor, me.pc, me.block):
            detail = self.model.rank_of(actors[self.model.setup.writers + detail])
        return actors[actor], detail, alternative

    def _visits_readers(self, actor: int, pc: int) -> bool:
        """Whether a row is about several readers' flags or words, whose numbers are their ranks. (A reader's others are
        writers.)"""
        access = self.model.programs[actor][pc].row.access
        return access.is_several and (access.flag is not Flag.OTHERS_AWAKE or self.model.rank_of(actor) == NOBODY)

    def _may_change_places(self, actor: int) -> bool:
        rank = self.model.rank_of(actor)
        return rank != NOBODY and (rank > 0 or not self.model.setup.twins)

    def _arranged(self, state: State, other: Arrangement) -> State:
        """The same state under other names."""
        model, setup = self.model, self.model.setup
        shift = other.locations[0] // model.shape.entry_size
        ranks = [model.rank_of(other.actors[setup.writers + rank]) for rank in range(setup.readers)]
        same_ranks = other.actors == self._everybody
        actors = []
        for old in other.actors:
            me = state.actors[old]
            todo = me.todo
            if todo and not same_ranks and me.pc != DEAD and self._visits_readers(old, me.pc):
                todo = sum(1 << new for new, rank in enumerate(ranks) if todo >> rank & 1)
            actors.append(me._replace(block=(me.block - shift) % setup.blocks, todo=todo))
        owed = state.owed if same_ranks else tuple([state.owed[rank] for rank in ranks])
        memory = model.memory.arranged(state.memory, other)
        notes = model.arranged_notes(state, other, shift)
        return model.renamed(State(memory, tuple(actors), owed, state.accepted, state.begun, state.taken, notes))

    def _order(self, state: State) -> tuple[int, ...] | None:
        """The actors in the order of what they look like; ``None`` if they stand so already."""
        actors, owed, portrait = state.actors, state.owed, self.model.memory.portrait
        todo = actors[0].todo
        look_of = self.model.look_of
        looks = [
            (actors[actor], todo >> rank & 1, owed[rank], portrait(state.memory, actor), look_of(state, actor), actor)
            for actor, rank in self._movable
        ]
        ordered = sorted(looks)
        if looks == ordered:
            return None
        order = list(self._everybody)
        for (place, _), look in zip(self._movable, ordered, strict=True):
            order[place] = look[-1]
        return tuple(order)

    def _local_steps(self, state: State, actor: int) -> list[Transition]:
        """All steps of the actor's row, if nobody else can notice any of them."""
        me = state.actors[actor]
        if me.pc == DEAD or not self._is_local[actor][me.pc]:
            return []
        steps = list(self.model.row_steps(state, actor))
        quiet = all(
            not step.broken and not step.seen and step.state.owed is state.owed and self._goes_on(actor, me.pc, step)
            for step in steps
        )
        return steps if quiet else []

    def _nobody_notices(self, actor: int, pc: int) -> bool:
        """Whether no other actor can notice when a row is run: ``local``, as far as the row and the memory tell."""
        access = self.model.programs[actor][pc].row.access
        if self.model.rank_of(actor) != NOBODY and self.model.is_last(actor, pc):
            return False  # a reader that is done with its block is judged by what the block holds
        if access.flag is Flag.LOCK:
            return access.kind in self.model.memory.local or not self.model.memory.has_buffers
        return access.kind in self.model.memory.local and access.ordering is not Ordering.SEQ_CST

    def _goes_on(self, actor: int, pc: int, step: Transition) -> bool:
        """Whether the step leads to a row that is no payload row, and not around in a circle of local steps."""
        after = step.state.actors[actor]
        is_payload = self.model.programs[actor][after.pc].row.is_payload
        onward = after.pc > pc or (after.pc == pc and after.todo) or (after.pc < pc and not self._is_local[actor][after.pc])
        return bool(onward) and not is_payload
