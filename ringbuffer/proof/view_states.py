"""States of the encoder of release/acquire in tables, and the explorer's in the same terms: what can be compared of both.

The times of a history are counted through, flag by flag: its stores are at 0, 2, 4 …, and an odd number stands for any time
between two of them, before the first or behind the last. Nothing tells two times of one gap apart, so those are all the times
that there are (:func:`times_of`). Rules: :func:`tabulated` makes tables of the state after a step, and counts its times anew;
an :class:`Image` is compared by value. Clocks are compared by what the explorer knows of them: whether somebody knows the
latest access. Where nothing is stored, a table says :data:`~ringbuffer.proof.vocabulary.UNKNOWN`: what a formula says of that
holds only by chance. Limits: one writer, no locks; a history in the memory :class:`Unforgetting` only grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias, cast

from ringbuffer import state as explorer
from ringbuffer.memory.base import Shape
from ringbuffer.memory.knowledge import Knowledge
from ringbuffer.memory.release_acquire import ReleaseAcquire
from ringbuffer.memory.release_acquire import Views as Memory
from ringbuffer.places import footprint, places_of
from ringbuffer.proof.logic import Concrete, Sort, Term
from ringbuffer.proof.views import CLOCKS, FIELDS, FLAGS
from ringbuffer.proof.vocabulary import UNKNOWN, WRITER, State, Table, Who, table_of
from ringbuffer.protocol import Variant

TIME: Final = Sort.TIME
_CLOCK_OF: Final = dict(zip(FLAGS, CLOCKS, strict=True))
"""The accesses to the payload of whose flags: as many kinds, of the same blocks and readers."""

Flag: TypeAlias = tuple[str, tuple[int, ...]]
"""A flag: its name, and of which block (and reader) it is."""
View: TypeAlias = tuple[int, ...]
"""The time up to which each flag is seen, in the order of the ring's locations; then, by block and actor, whether the latest
access of that actor to that block's payload is known."""


class Image(NamedTuple):
    """What a state of either side says that can be compared. A history is of stores, each a value and what it tells."""

    histories: tuple[tuple[tuple[int, View | None], ...], ...]
    views: tuple[View, ...]
    payload: tuple[int, ...]
    actors: tuple[explorer.Actor, ...]
    owed: tuple[tuple[int, ...], ...]
    begun: int


class Unforgetting(ReleaseAcquire):
    """The explorer's memory, but it keeps every store, everything that is told and seen, and has no bound."""

    def __init__(self, shape: Shape, variant: Variant) -> None:
        writer, reader = variant.programs
        programs = (writer, *[reader] * shape.readers)
        footprints = [footprint(places_of(shape, actor, program)) for actor, program in enumerate(programs)]
        super().__init__(shape, footprints, bounded=False)

    def _kept(self, *parts: Any) -> Knowledge:
        return self._one(*parts)

    def image(self, state: explorer.State, read_flag: int) -> Image:
        """An explorer's state. A store tells of itself here, which the memory leaves to the load of it."""
        scheme, memory = self._scheme, cast("Memory", state.memory)
        histories, current = memory.known.histories, memory.known.current
        places = [scheme.place.get(location) for location in range(self.shape.flag_count)]

        def view(known: View) -> View:
            flags = [0 if place is None else 2 * known[place] for place in places]
            return (*flags, *known[scheme.place_count :])

        def history(location: int, place: int | None) -> Iterator[tuple[int, View | None]]:
            if place is None:
                yield self.shape.initial_value(location, read_flag), None
                return
            for at, stored in enumerate(histories[place]):
                told = stored.view
                yield stored.value, None if told is None else view((*told[:place], at, *told[place + 1 :]))

        images = tuple([tuple(history(*one)) for one in enumerate(places)])
        return Image(images, tuple(map(view, current)), memory.payload, state.actors, state.owed, state.begun)


class Timed(Concrete):
    """Plain values with times. ``time``: the one that a step is to be about; variables range over all that a state has.

    ``flags``: the flags, in the order of the ring's locations.
    """

    def __init__(self, readers: int, blocks: int, words: int, indices: int) -> None:
        super().__init__(readers, blocks, words, indices)
        self.time = 0
        self.flags: tuple[Flag, ...] = tuple(
            flag for b in range(blocks) for flag in (("written", (b,)), *[("read", (b, r)) for r in range(readers)])
        )
        self.span(1)

    def any(self, sort: Sort, name: str) -> Sequence[Term]:
        """The values of a sort that a step may be about: one time, and any reader."""
        return (self.time,) if sort is TIME else super().any(sort, name)

    def span(self, stores: int) -> None:
        """Let variables range over the times of histories of up to that many stores."""
        self.ranges[TIME] = times_of(stores)


def times_of(stores: int) -> range:
    """The times of a history of so many stores, and one in every gap."""
    return range(-1, 2 * stores)


def rank(times: Sequence[int], time: int) -> int:
    """A time counted through: twice its place if something is stored then, else the odd number of its gap."""
    place = bisect_left(times, time)
    return 2 * place - (place == len(times) or times[place] != time)


def start(logic: Timed, first: explorer.State, read_flag: int) -> State:
    """The encoder's state before anybody has run: all is 0 and nothing told, and what rows visit is as the explorer has it."""
    actors = first.actors
    values: dict[str, Callable[..., Term]] = {
        **{f"{flag}.stored": lambda *at: at[-1] == 0 for flag in FLAGS},
        **{f"{flag}.tells": lambda *_: False for flag in FLAGS},
        "read.value": lambda *_: read_flag,
        "log": lambda _: UNKNOWN,
        "writer.todo": lambda other: bool(actors[0].todo >> other & 1),
        "reader.todo": lambda r, other: bool(actors[1 + r].todo >> other & 1),
    }
    state = State(logic, {name: values.get(name, lambda *_: 0) for name in FIELDS})
    return _Counting(logic, state, dict.fromkeys(logic.flags, (0,))).tables()


def tabulated(logic: Timed, state: State, known: State, lengths: Iterable[int]) -> State:
    """The state after a step from ``known``, whose histories have those lengths, in tables, its times counted through."""
    if all(state[f"{name}.stored"] is known[f"{name}.stored"] for name in FLAGS):
        new = {name: table_of(logic, name, one, FIELDS) for name, one in state.functions.items() if one is not known[name]}
        return State(logic, {**state.functions, **new})
    times: dict[Flag, Sequence[int]] = {}
    for (name, key), length in zip(logic.flags, lengths, strict=True):
        possible = sorted({*range(0, 2 * length, 2), logic.time})
        times[name, key] = [time for time in possible if state[f"{name}.stored"](*key, time)]
    return _Counting(logic, state, times).tables()


@dataclass(frozen=True)
class _Counting:
    """A state whose stores are at known times, which are to be counted through."""

    logic: Timed
    state: State
    times: Mapping[Flag, Sequence[int]]

    def tables(self) -> State:
        """The state, in tables."""
        return State(self.logic, {name: self._table(name) for name in FIELDS})

    def _table(self, name: str) -> Table:
        function, (sorts, value) = self.state[name], FIELDS[name]
        if isinstance(function, Table) and not {*sorts, value} & {TIME}:
            return function
        if TIME in sorts:
            return Table(dict(self._history(name)), False if value is bool else UNKNOWN)
        if value is TIME:
            return Table({key: self._rank(name, key, function(*key)) for key in self._keys(sorts)})
        return table_of(self.logic, name, function, FIELDS)

    def _history(self, name: str) -> Iterator[tuple[tuple[int, ...], Term]]:
        """A field of one kind of flag's history, at the times of its stores; of what they tell, at those that tell anything."""
        function, (sorts, value), kind = self.state[name], FIELDS[name], name.partition(".")[0]
        tells, others = ".tells." in name, self._keys(sorts[sorts.index(TIME) + 1 :])
        for (flag, at), times in self.times.items():
            for time in times if flag == kind else ():
                place, is_told = (*at, rank(times, time)), not tells or self.state[f"{kind}.tells"](*at, time)
                for key in others if is_told else ():
                    found = function(*at, time, *key)
                    yield (*place, *key), self._rank(name, key, found) if value is TIME else found

    def _rank(self, name: str, key: tuple[int, ...], time: int) -> int:
        """A time in the history of the flag that the last part of a field's name and the last arguments say."""
        flag = name.rpartition(".")[2]
        return rank(self.times[flag, key[-len(FLAGS[flag]) :]], time)

    def _keys(self, sorts: Iterable[Sort]) -> list[tuple[int, ...]]:
        return list(product(*[self.logic.ranges[sort] for sort in sorts]))


def image(logic: Timed, state: State) -> Image:
    """What a state of the encoder, in tables, says that can be compared."""
    whos = (WRITER, *map(Who, logic.ranges[Sort.READER]))
    views = [_view(logic, state, lambda what, *key, who=who: state.of(who, f"sees.{what}", *key)) for who in whos]
    log, accepted = state["log"], state["accepted"]()
    owed = [tuple(map(log, range(state["cursor"](who.rank), accepted))) for who in whos[1:]]
    histories = tuple([tuple(_history(logic, state, *flag)) for flag in logic.flags])
    actors = tuple([_actor(logic, state, who) for who in whos])
    return Image(histories, tuple(views), cast("Table", state["payload"]).key, actors, tuple(owed), state["begun"]())


def _history(logic: Timed, state: State, name: str, key: tuple[int, ...]) -> Iterator[tuple[int, View | None]]:
    """The stores of a flag's history, in order."""
    stored = cast("Table", state[f"{name}.stored"]).values
    for time in sorted(at[-1] for at, is_stored in stored.items() if is_stored and at[:-1] == key):
        at = (*key, time)
        view = _view(logic, state, lambda what, *other, at=at: state[f"{name}.tells.{what}"](*at, *other))
        yield state[f"{name}.value"](*at), view if state[f"{name}.tells"](*at) else None


def _view(logic: Timed, state: State, seen: Callable[..., int]) -> View:
    """What ``seen`` says of each flag, and whether it is up to date about the payload."""
    flags = [seen(name, *key) for name, key in logic.flags]
    clocks = [(_CLOCK_OF[name], key) for name, key in logic.flags]
    return (*flags, *[int(seen(name, *key) >= state[name](*key)) for name, key in clocks])


def _actor(logic: Timed, state: State, who: Who) -> explorer.Actor:
    todo = sum(1 << r for r in logic.ranges[Sort.READER] if state.of(who, "todo", r))
    values = {name: state.of(who, name) for name in explorer.Actor._fields if name != "todo"}
    return explorer.Actor(todo=todo, **values)
