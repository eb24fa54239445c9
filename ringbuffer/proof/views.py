"""The rows under release/acquire, in the terms of proofs: histories, views, and clocks for the payload.

Each flag has a history: the *times* at which it was stored, which are its modification order (any two have another between
them, so that a store can be put anywhere), with the value stored at each. Each actor *sees* each flag up to a time; a load can
return any store that is not before it, a store takes any free time behind it. A release store *tells* all that its actor sees;
an acquire load of it takes that over, the later of the two for each flag. The payload is not atomic: every actor's accesses to
a block are counted, and what an actor sees says up to which access of each other it knows; an access is a race if it conflicts
with one that its actor does not know (vector clocks). This is the memory ``ra`` of the explorer
(:mod:`ringbuffer.memory.release_acquire`), without its forgetting, for any number of readers and blocks.

Rules: which accesses release and acquire is read off the rows. Limits: those of ``ra`` (no load buffering), and no fences,
exchanges or locks: a variant that has one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ringbuffer.errors import VariantError
from ringbuffer.proof.logic import Logic, Sort, Term
from ringbuffer.proof.relation import Loaded, Neighbours, Relation
from ringbuffer.proof.vocabulary import COMMON, Field, State, Who, of_everybody
from ringbuffer.protocol import Access, Flag, Kind, Variant

READER, BLOCK, TIME = Sort.READER, Sort.BLOCK, Sort.TIME

FLAGS: Final = {"written": (BLOCK,), "read": (BLOCK, READER)}
"""The flags, and what they are functions of."""
CLOCKS: Final = {"fills": (BLOCK,), "reads": (BLOCK, READER)}
"""The counts of payload accesses: of the writer to a block, and of a reader to a block."""
SEEN: Final = {
    **{name: Field(sorts, TIME) for name, sorts in FLAGS.items()},
    **{name: Field(sorts) for name, sorts in CLOCKS.items()},
}
"""What there is to see: of each flag a time, of each clock a count."""


def _history(name: str, sorts: tuple[Sort, ...]) -> dict[str, Field]:
    """The fields of one kind of flag's history: at each time, whether it was stored then, what, and what that tells."""
    at = (*sorts, TIME)
    return {
        f"{name}.stored": Field(at, bool),
        f"{name}.value": Field(at),
        f"{name}.tells": Field(at, bool),
        **{f"{name}.tells.{what}": Field((*at, *seen), value) for what, (seen, value) in SEEN.items()},
    }


FIELDS: Final = {
    **COMMON,
    **{name: Field(sorts) for name, sorts in CLOCKS.items()},
    **_history("written", FLAGS["written"]),
    **_history("read", FLAGS["read"]),
    **of_everybody({f"sees.{name}": field for name, field in SEEN.items()}),
}
"""All fields under release/acquire."""


class Views(Relation):
    """The steps of a variant under release/acquire. Raises :class:`VariantError` for a fence, an exchange or a lock."""

    def __init__(self, variant: Variant, logic: Logic, neighbours: Neighbours) -> None:
        super().__init__(variant, logic, neighbours)
        for program in variant.programs:
            for instruction in program.instructions:
                access = instruction.row.access
                if access.kind in (Kind.FENCE, Kind.EXCHANGE) or access.flag is Flag.LOCK:
                    raise VariantError(f"{instruction.row.id}: proofs under release/acquire know no fences, exchanges or locks")

    def memory_starts(self, state: State) -> Term:
        """One store to each flag, at time 0, which tells nothing; nobody has touched the payload."""
        logic, flag = self.logic, self.variant.initial_read_flag

        def starts(name: str, value: int) -> Term:
            def at(*key: Term) -> Term:
                stored = logic.same(state[f"{name}.stored"](*key), key[-1] == 0)
                first = logic.implies(key[-1] == 0, state[f"{name}.value"](*key) == value)
                return logic.both(stored, first, logic.no(state[f"{name}.tells"](*key)))

            return logic.for_all((*FLAGS[name], TIME), at)

        def nothing_seen(name: str) -> Term:
            sorts = SEEN[name].sorts
            writer = logic.for_all(sorts, lambda *key: state[f"writer.sees.{name}"](*key) == 0)
            reader = logic.for_all((READER, *sorts), lambda *key: state[f"reader.sees.{name}"](*key) == 0)
            return logic.both(writer, reader)

        untouched = [logic.for_all(sorts, lambda *key, name=name: state[name](*key) == 0) for name, sorts in CLOCKS.items()]
        return logic.both(starts("written", 0), starts("read", flag), *untouched, *map(nothing_seen, SEEN))

    def loads(self, state: State, who: Who, access: Access, name: str, key: tuple[Term, ...]) -> Iterator[Loaded]:
        """Any store that is not before what the actor sees."""
        logic, seen = self.logic, who.field(f"sees.{name}")
        for time in logic.any(TIME, "loaded"):
            at = (*key, time)
            guard = logic.both(state[f"{name}.stored"](*at), time >= state[seen](*who.key(*key)))
            after = state.put(seen, who.key(*key), time)
            if access.ordering.acquires:
                after = self._join(after, who, name, at)
            yield Loaded(guard, state[f"{name}.value"](*at), after)

    def _join(self, state: State, who: Who, name: str, at: tuple[Term, ...]) -> State:
        """The actor sees besides what the store at that place tells."""
        logic, tells = self.logic, state[f"{name}.tells"](*at)
        for what in SEEN:
            own, told = state[who.field(f"sees.{what}")], state[f"{name}.tells.{what}"]

            def later(*key: Term, own: Any = own, told: Any = told) -> Term:
                mine, theirs = own(*who.key(*key)), told(*at, *key)
                return logic.choose(logic.both(tells, theirs > mine), theirs, mine)

            state = state.put_all(who.field(f"sees.{what}"), who.key(), later)
        return state

    def stores(self, state: State, who: Who, access: Access, name: str, key: tuple[Term, ...]) -> Iterator[Loaded]:
        """Any free time behind what the actor sees."""
        logic, seen = self.logic, who.field(f"sees.{name}")
        for time in logic.any(TIME, "stored"):
            at = (*key, time)
            free = logic.no(state[f"{name}.stored"](*at))
            guard = logic.both(free, time > state[seen](*who.key(*key)))
            after = state.put(seen, who.key(*key), time).put(f"{name}.stored", at, logic.true)
            after = after.put(f"{name}.value", at, access.value)
            after = after.put(f"{name}.tells", at, logic.true if access.ordering.releases else logic.false)
            if access.ordering.releases:
                after = self._tell(after, who, name, at)
            yield Loaded(guard, access.value, after)

    def _tell(self, state: State, who: Who, name: str, at: tuple[Term, ...]) -> State:
        """The store at that place tells what the actor sees."""
        for what in SEEN:
            own = state[who.field(f"sees.{what}")]

            def told(*key: Term, own: Any = own) -> Term:
                return own(*who.key(*key))

            state = state.put_all(f"{name}.tells.{what}", at, told)
        return state

    def touches(self, state: State, who: Who) -> tuple[State, dict[str, Term]]:
        """One more access of the actor to its block, and whether it conflicts with one of which the actor does not know."""
        logic, block = self.logic, state.of(who, "block")
        fills, reads = state["fills"], state["reads"]
        if who.is_writer:
            raced = logic.some((READER,), lambda r: state.of(who, "sees.reads", block, r) < reads(block, r))
            count = fills(block) + 1
            after = state.put("fills", (block,), count).put(who.field("sees.fills"), who.key(block), count)
        else:
            raced = state.of(who, "sees.fills", block) < fills(block)
            count, key = reads(block, who.rank) + 1, (block, who.rank)
            after = state.put("reads", key, count).put(who.field("sees.reads"), who.key(*key), count)
        return after, {"race": raced}
