"""A state and its steps in words: what stands in each block, where each actor stands, what its memory holds back.

Rules: messages have no numbers here, because runs have no end; a message is called by what it is to the readers: the next for
reader 0, the second for reader 1, being filled, or old, which says that no reader is owed it. Parts that are the same in two
states are equal values. Limits: a description says what the model's state says, and judges nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ringbuffer.memory.base import NOBODY
from ringbuffer.memory.release_acquire import Views
from ringbuffer.memory.tso import Buffered
from ringbuffer.model import Model
from ringbuffer.protocol import Kind, Ordering, classify
from ringbuffer.protocol.oracle import NO_MESSAGE
from ringbuffer.protocol.properties import BY_NAME, RACE
from ringbuffer.state import ABORT, FLUSH, TORN, Actor, State, Transition
from ringbuffer.trace.words import plural, the

ORDINALS: Final = ("next", "2nd", "3rd")
EMPTY, OLD, FILLING, DUE, LATER, MIXED = "empty", "old", "filling", "due", "later", "mixed"
"""Kinds of messages, for colours."""
_OLDER: Final = " (not the newest)"
_CALLER: Final = "'s caller"


class Name(NamedTuple):
    """What a message is called, and of which kind it is."""

    text: str
    kind: str


class BlockPart(NamedTuple):
    """A block: its flags and their case as an onlooker finds them, and its payload's words."""

    flags: tuple[int, ...]
    case: int
    words: tuple[Name, ...]
    mixed: bool


class ActorPart(NamedTuple):
    """An actor: its row (program counter), its block, whether its caller is inside, and what there is to say besides."""

    pc: int
    block: int
    inside: bool
    says: tuple[str, ...]


class MemoryPart(NamedTuple):
    """What the memory keeps for an actor: a title and its lines; nothing under ``sc``."""

    title: str
    lines: tuple[str, ...]


_NOTHING_KEPT: Final = MemoryPart("", ())


class StepPart(NamedTuple):
    """A step: whose, at which row, what it does in few words and in a sentence, how it is drawn, and what it breaks."""

    actor: int
    row: str
    what: str
    sentence: str
    kind: str
    note: str
    broken: tuple[str, ...]


class Teller:
    """Describes the states and steps of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.actors = tuple(map(model.actor_name, range(len(model.programs))))
        self._looks_at = tuple(map(self._loaded, range(len(model.programs))))
        self._told: dict[Any, Any] = {}

    def _loaded(self, actor: int) -> list[int]:
        """The flags that an actor's rows load, in any block."""
        rows = [one.pc for one in self.model.programs[actor].instructions if one.row.access.kind is Kind.LOAD]
        blocks = range(self.model.setup.blocks)
        return sorted({place for pc in rows for block in blocks for place in self.model.locations_of(actor, pc, block)})

    def names(self, state: State) -> dict[int, Name]:
        """What each message in a state is called."""
        names = {NO_MESSAGE: Name("never written", EMPTY), TORN: Name("a mix of two messages", MIXED)}
        filled = state.actors[0].message
        if filled:
            names[filled] = Name("being filled", FILLING)
        places: dict[int, list[tuple[int, int]]] = {}
        for rank, queue in enumerate(state.owed):
            for place, message in enumerate(queue):
                places.setdefault(message, []).append((place, rank))
        for message, owed in places.items():
            text = ", ".join(f"{_ordinal(place)} for {self._readers(owed, place)}" for place in sorted({p for p, _ in owed}))
            names[message] = Name(text, DUE if min(owed)[0] == 0 else LATER)
        return names

    def _readers(self, owed: list[tuple[int, int]], place: int) -> str:
        ranks = [rank for own, rank in owed if own == place]
        return f"reader {ranks[0]}" if len(ranks) == 1 else f"readers {' and '.join(map(str, ranks))}"

    def block(self, state: State, block: int, names: dict[int, Name]) -> BlockPart:
        """What an onlooker finds in a block."""
        memory = self.model.memory
        flags, words = memory.entry(state.memory, block), memory.payload(state.memory, block)
        held = tuple([_named(names, word) for word in words])
        key = (flags, held, len(set(words)) > 1)
        if key not in self._told:
            self._told[key] = BlockPart(tuple(flags), int(classify(flags)), held, key[2])
        told: BlockPart = self._told[key]
        return told

    def actor(self, state: State, actor: int, names: dict[int, Name]) -> ActorPart:
        """Where an actor stands, and what it has in hand."""
        me, rank = state.actors[actor], self.model.rank_of(actor)
        owed = len(state.owed[rank]) if rank != NOBODY else 0
        key = (actor, me, owed, names.get(me.message))
        if key not in self._told:
            self._told[key] = self._standing(actor, me, owed, names)
        told: ActorPart = self._told[key]
        return told

    def _standing(self, actor: int, me: Actor, owed: int, names: dict[int, Name]) -> ActorPart:
        row = self.model.programs[actor][me.pc].row
        says = []
        if row.access.is_several:
            todo = [rank for rank in range(self.model.setup.readers) if me.todo >> rank & 1]
            says.append(f"still to visit: {' and '.join(f'read[{rank}]' for rank in todo)}")
        if row.is_payload:
            says.append(f"{me.word} of {plural(self.model.setup.words, 'word')} done")
            if me.word and self.model.rank_of(actor) != NOBODY:
                says.append(f"in hand: {_named(names, me.message).text}")
        if self.model.rank_of(actor) != NOBODY:
            says.append(f"is owed {plural(owed, 'message')}")
        return ActorPart(me.pc, me.block, row.is_payload, tuple(says))

    def memory(self, state: State, actor: int, names: dict[int, Name]) -> MemoryPart:
        """The store buffer of an actor, or what its view lets it find."""
        if isinstance(state.memory, Buffered):
            lines = [self._stored(location, value, names) for location, value in state.memory.buffers[actor]]
            return MemoryPart("store buffer, oldest first", tuple(lines) or ("empty",))
        if isinstance(state.memory, Views):
            key = (state.memory.known, actor)
            if key not in self._told:
                self._told[key] = MemoryPart("view", self._view(state.memory, actor))
            told: MemoryPart = self._told[key]
            return told
        return _NOTHING_KEPT

    def _stored(self, location: int, value: int, names: dict[int, Name]) -> str:
        shown = _named(names, value).text if self._is_word(location) else str(value)
        return f"{self.place(location)} ← {shown}"

    def _view(self, memory: Views, actor: int) -> tuple[str, ...]:
        """Where an actor may find an old value, and which payload accesses nothing would order."""
        model, shape = self.model, self.model.shape
        found: list[str] = []
        for location in self._looks_at[actor]:
            values = [value for value, _ in model.memory.load(memory, actor, location, Ordering.RELAXED)]
            if len(values) > 1:
                older = " and ".join(f"an older {value}" for value in values[:-1])
                found.append(f"{self.place(location)}: may find {older}, or the newest {values[-1]}")
        for block in range(shape.blocks):
            location = shape.word(block, 0)
            if any(raced for _, _, raced in model.memory.read(memory, actor, location)):
                found.append(f"payload of block {block}: to touch it now would be a race")
        return tuple(found) or ("finds the newest value of every flag",)

    def place(self, location: int) -> str:
        """The name of a location: ``read[0] of block 1``."""
        shape = self.model.shape
        if self._is_word(location):
            block = shape.block_of_word(location)
            return f"word {location - shape.word(block, 0)} of block {block}"
        block, flag = divmod(location, shape.entry_size)
        return f"{f'read[{flag - 1}]' if flag else 'written'} of block {block}"

    def _is_word(self, location: int) -> bool:
        return self.model.shape.flag_count <= location < self.model.shape.word_end

    def step(self, state: State, step: Transition, names: dict[int, Name], *, newest: bool = True) -> StepPart:
        """A possible step of a state. ``newest``: it is the last of the memory's alternatives for this access."""
        actor, detail, _ = step.choice
        if detail == FLUSH:
            return self._flush(state, step, names)
        me = state.actors[actor]
        place = self._touched(step, me)
        old = place is not None and self._is_load(actor, me) and self.model.memory.newest(state.memory, place) != step.value
        stale, block, got = old or not newest, step.state.actors[actor].block, names.get(step.value)
        note = self._note(state, step, me)
        key = (step.choice[:2], me, step.value, got, names.get(me.message), stale, block, note, step.broken)
        if key not in self._told:
            self._told[key] = self._row_step(step, me, names, note, stale=stale)
        told: StepPart = self._told[key]
        return told

    def _is_load(self, actor: int, me: Actor) -> bool:
        return self.model.programs[actor][me.pc].row.access.kind is Kind.LOAD

    def _flush(self, state: State, step: Transition, names: dict[int, Name]) -> StepPart:
        assert isinstance(state.memory, Buffered), "only a store buffer has something to flush"
        actor = step.choice[0]
        what = self._stored(*state.memory.buffers[actor][0], names)
        said = f"The oldest store in {the(self.actors[actor])}'s buffer reaches memory: {what}. From now on all find it."
        return StepPart(actor, "⇣", f"{what} reaches memory", said, "flush", "", step.broken)

    def _row_step(self, step: Transition, me: Actor, names: dict[int, Name], note: str, *, stale: bool) -> StepPart:
        actor = step.choice[0]
        row, who = self.model.programs[actor][me.pc].row, self.actors[actor]
        return StepPart(
            actor,
            row.id,
            self._what(step, me, names) + (_OLDER if stale else ""),
            f"{_capital(the(who))}{_CALLER if row.is_payload else ''} {self._sentence(step, me, names, stale=stale)}.",
            row.access.kind.value,
            note,
            step.broken,
        )

    def _touched(self, step: Transition, me: Actor) -> int | None:
        """The location that a row's step touches."""
        actor, detail, _ = step.choice
        row = self.model.programs[actor][me.pc].row
        if row.is_payload:
            return self.model.shape.word(me.block, me.word)
        touched = self.model.locations_of(actor, me.pc, me.block)
        return touched[detail if row.access.is_several else 0] if touched else None

    def _value(self, step: Transition, me: Actor, names: dict[int, Name]) -> str:
        access = self.model.programs[step.choice[0]][me.pc].row.access
        if access.kind is Kind.FILL:
            return "the next word of its message" if me.word else "the first word of a new message"
        return _named(names, step.value).text if access.kind is Kind.READ else str(step.value)

    def _what(self, step: Transition, me: Actor, names: dict[int, Name]) -> str:
        access, location = self.model.programs[step.choice[0]][me.pc].row.access, self._touched(step, me)
        if location is None:
            return str(access)
        place = self.place(location).replace(f" of block {me.block}", "")
        if access.kind is Kind.FILL:
            text = f"fill {place}"
        else:
            arrow = "→" if access.kind in (Kind.LOAD, Kind.READ) else "←"
            text = f"{access.kind.value} {place} {arrow} {self._value(step, me, names)}"
        return f"{text}, then raise" if step.choice[1] == ABORT and access.kind in (Kind.FILL, Kind.READ) else text

    def _sentence(self, step: Transition, me: Actor, names: dict[int, Name], *, stale: bool) -> str:
        row = self.model.programs[step.choice[0]][me.pc].row
        location = self._touched(step, me)
        if location is None:
            return f"runs {row.access}"
        place, value = self.place(location), self._value(step, me, names)
        if row.access.kind is Kind.READ:
            said = f"reads {place} and finds {_in_a_sentence(_named(names, step.value))}"
        else:
            said = (
                f"loads {place} and finds {value}"
                if row.access.kind is Kind.LOAD
                else f"{'writes' if row.is_payload else 'stores'} {value} in {place}"
            )
        if stale:
            load = row.access.kind is Kind.LOAD
            said += (
                ": that is not the newest store, which is there, or on its way" if load else ", in place before a newer store"
            )
        return f"{said}; then it raises" if row.is_payload and step.choice[1] == ABORT else said

    def _note(self, state: State, step: Transition, me: Actor) -> str:
        """What a step means, in a few words."""
        after = step.state.actors[step.choice[0]]
        if "fill-aborted" in step.seen:
            return "nothing is published, and the same block is used next"
        if "read-aborted" in step.seen:
            return "the message stays unread, and comes again"
        if "writer-waits" in step.seen or "reader-waits" in step.seen:
            return "in vain: looks again" if after.block == me.block else f"busy: goes on to block {after.block}"
        rank = self.model.rank_of(step.choice[0])
        done = self.model.programs[step.choice[0]][me.pc].row.access.kind is Kind.READ and me.word + 1 == self.model.setup.words
        if rank == NOBODY or not done:
            return ""
        got = step.value if me.word == 0 or step.value == me.message else TORN
        return f"reader {rank} receives {_received(state.owed[rank], got)}"


def _received(queue: tuple[int, ...], got: int) -> str:
    """What a message is to the reader that receives it and is owed those of ``queue``."""
    if got in queue:
        place = queue.index(got)
        return "its next message" if place == 0 else f"the {_ordinal(place)} of the messages that it is owed, before the next"
    if got == TORN:
        return "a mix of two messages"
    return "what nobody has written" if got == NO_MESSAGE else "a message that it is not owed (any more)"


def _in_a_sentence(name: Name) -> str:
    """What a word of a message is called in a sentence."""
    said = {EMPTY: "nothing, because it was never written", OLD: "a word of an old message, which nobody is owed"}
    said |= {FILLING: "a word of the message that is being filled"}
    return said.get(name.kind, f"a word of the message that is {name.text}")


def breach(name: str) -> str:
    """What it means that a property is broken."""
    prop = BY_NAME[name]
    behind = " Behind a race nothing means anything: the run ends here." if name == RACE else ""
    return f"{prop.id} {name} is broken. Demanded: {prop.statement}.{behind}"


def _ordinal(place: int) -> str:
    return ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"


def _named(names: dict[int, Name], message: int) -> Name:
    return names.get(message, Name("old: nobody is owed it", OLD))


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
