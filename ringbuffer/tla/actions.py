"""One side's rows as TLA+ actions.

Rules: an action is made of its row's access and of its branches, and nothing is known here of particular rows; what an action
does to ``owed`` is what the oracle does at such a step. Limits: a side that accesses what is not its own, or that hands out the
payload in two rows, is refused.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.memory.base import Shape
from ringbuffer.places import places_of
from ringbuffer.protocol import Branch, Edge, Flag, Instruction, Kind, Outcome, Program, Role, Row

COMMENT_COLUMNS: Final = 80
_AND: Final = "/\\"
_PAYLOAD_OF: Final = {Role.WRITER: Kind.FILL, Role.READER: Kind.READ}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two programs, as it is printed."""

    program: Program

    def __post_init__(self) -> None:
        for row in self.rows:
            if row.is_payload and row.access.kind is not _PAYLOAD_OF[self.role]:
                raise VariantError(f"{row.id} ({row.access}) cannot be printed: a {self.role.value} does not do that")
            if self.role is Role.WRITER and row.access.flag in (Flag.OWN, Flag.NEIGHBOUR):
                raise VariantError(f"{row.id} ({row.access}) cannot be printed: a writer has no rank and so no flag of its own")
        if len([row for row in self.rows if row.is_payload]) > 1:
            raise VariantError(f"the {self.role.value}'s table cannot be printed: two of its rows hand out the payload")

    @property
    def role(self) -> Role:
        """Which side it is."""
        return self.program.role

    @property
    def rows(self) -> tuple[Row, ...]:
        """Its rows, in order."""
        return tuple(instruction.row for instruction in self.program.instructions)

    @property
    def payload(self) -> Row | None:
        """The row that hands the block to the caller."""
        return next((row for row in self.rows if row.is_payload), None)

    @property
    def behind_payload(self) -> tuple[str, ...]:
        """The rows at which the caller is done with the block, and the actor is not."""
        names = [row.id for row in self.rows]
        return tuple(names[names.index(self.payload.id) + 1 :]) if self.payload else ()

    @property
    def last(self) -> Row:
        """The row with which the actor is done with its block."""
        places = places_of(Shape(1, 1), int(self.role is Role.READER), self.program)
        return next((place.row for place in places if place.is_last), self.rows[0])

    @property
    def calls(self) -> list[str]:
        """The side's actions as they are used."""
        return [f"\\E raises \\in Raising : {call(self, row)}" if row.is_payload else call(self, row) for row in self.rows]

    def actions(self, locks: bool) -> str:
        """All the side's rows, each with its comment."""
        instructions = self.program.instructions
        return "\n".join(f"{comment(self, one)}\n{Action(self, one, locks).text()}\n" for one in instructions)


def call(side: Side, row: Row, raises: str = "raises") -> str:
    """A row's action with its parameters: ``W1``, ``W4(raises)``, ``R1(r)``, ``R3(r, raises)``."""
    parameters = (["r"] if side.role is Role.READER else []) + ([raises] if row.is_payload else [])
    return f"{row.id}({', '.join(parameters)})" if parameters else row.id


def comment(side: Side, instruction: Instruction) -> str:
    """What the row is, where it leads, and why it is there."""
    row = instruction.row
    goes = "; ".join(_goes(side.program, outcome, branch) for outcome, branch in instruction.branches)
    ordering = f", {row.access.ordering.value}" if row.access.kind is not Kind.FENCE else ""
    sentences = [f"{row.access}{ordering}: {goes}", row.why]
    sentences += [f"{row.access.ordering.value.capitalize()} {row.pairing}."] if row.pairing else []
    indent = r"\*   "
    wrapped = [
        textwrap.fill(text, COMMENT_COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        for text in sentences
    ]
    return "\n".join([f"\\* {row.id}  {row.title}", *wrapped])


def _goes(program: Program, outcome: Outcome, branch: Branch) -> str:
    """One branch in words: ``1 -> wait, then W1``."""
    wait = "wait, then " if branch.edge is Edge.WAITED else ""
    onward = ("same block", "next block", f"{branch.advance} blocks on")[min(branch.advance, 2)]
    place = "" if branch.edge in (Edge.FORWARD, Edge.WAITED) and not branch.advance else f", {onward}"
    return f"{outcome.value} -> {wait}{program[branch.pc].row.id}{place}"


@dataclass(frozen=True, slots=True)
class Action:
    """One row as an action."""

    side: Side
    instruction: Instruction
    locks: bool

    @property
    def row(self) -> Row:
        """The row itself."""
        return self.instruction.row

    @property
    def judged(self) -> bool:
        """Whether with this row a reader is done with its block, so that each branch says what that does to ``owed``."""
        return self.side.role is Role.READER and self.row == self.side.last

    def text(self) -> str:
        """The action's definition, without its comment."""
        actor = "Reader[r]" if self.side.role is Role.READER else "Writer"
        lines = [f"{call(self.side, self.row)} ==", f"  LET a == {actor}", "      b == block[a]"]
        match self.row.access.kind:
            case Kind.FILL:
                return "\n".join([*lines, *self._fill()])
            case Kind.READ:
                return "\n".join([*lines, *self._read()])
        return "\n".join([*lines, f'  IN  /\\ pc[a] = "{self.row.id}"', *self._flag_access()])

    def _to(self, outcome: Outcome) -> str:
        """Where an outcome leads, and, with the row that gives a block back, what is then owed."""
        branch = self.instruction.branch(outcome)
        block = f"(b + {branch.advance}) % K" if branch.advance else "b"
        go = f'Go(a, "{self.side.program[branch.pc].row.id}", {block})'
        if not self.judged or self.row.is_payload:
            return go
        owed = "owed' = GivenBack(r, b)" if self._gives_back(outcome) else "UNCHANGED owed"
        return f"{go} /\\ {owed}"

    def _gives_back(self, outcome: Outcome) -> bool:
        return self.judged and self.instruction.branch(outcome).edge in (Edge.FINISHED, Edge.FORWARD)

    def _unchanged(self, *changed: str) -> str:
        names = ("written", "read", "payload", *(("lock",) if self.locks else ()), *(() if self.judged else ("owed",)))
        return f"      /\\ UNCHANGED <<{', '.join(name for name in names if name not in changed)}>>"

    def _flag_access(self) -> list[str]:
        access, nothing = self.row.access, r"      /\ got' = Nothing"
        if access.kind is Kind.FENCE:
            return [f"      /\\ {self._to(Outcome.DONE)}", nothing, self._unchanged()]
        assert access.flag is not None, "an access that is neither a fence nor a payload's names its flag"
        changed = () if access.kind is Kind.LOAD else (_variable(access.flag),)
        end = [nothing, self._unchanged(*changed)]
        if access.is_several:
            return [*(self._visits_of_load() if access.kind is Kind.LOAD else self._visits_of_store()), *end]
        if access.kind is Kind.LOAD:
            return [f"      /\\ IF {_value(access.flag)} = 1", *self._then_else(Outcome.ONE, Outcome.ZERO), *end]
        return [f"      /\\ {_store(access.flag, access.value)}", f"      /\\ {self._to(Outcome.DONE)}", *end]

    def _then_else(self, yes: Outcome, no: Outcome) -> list[str]:
        return [f"         THEN {self._to(yes)}", f"         ELSE {self._to(no)}"]

    @property
    def _stay(self) -> str:
        return " /\\ UNCHANGED owed" if self.judged else ""

    def _visits_of_load(self) -> list[str]:
        """One flag more is looked at: too many zeros end the row, and so does the last flag."""
        lines = [
            r"\E q \in todo[a] :",
            "  LET unread == zeros[a] + 1 - read[b][q]",
            f"  IN  IF unread > {self.row.access.missing_allowed} THEN {self._to(Outcome.ZERO)}",
            f"      ELSE IF todo[a] = {{q}} THEN {self._to(Outcome.ONE)}",
            f"      ELSE Visited(a, q, unread){self._stay}",
        ]
        return self._or_none(lines, self._to(Outcome.ONE))

    def _visits_of_store(self) -> list[str]:
        lines = [
            r"\E q \in todo[a] :",
            f"  /\\ read' = [read EXCEPT ![b][q] = {self.row.access.value}]",
            f"  /\\ IF todo[a] = {{q}} THEN {self._to(Outcome.DONE)} ELSE Visited(a, q, 0){self._stay}",
        ]
        return self._or_none(lines, f"UNCHANGED read /\\ {self._to(Outcome.DONE)}")

    def _or_none(self, lines: list[str], to: str) -> list[str]:
        """The visits, and where there may be no flag at all to visit, what happens then."""
        if self.row.access.flag is Flag.EACH:
            return [f"      {'  ' if number else _AND} {line}" for number, line in enumerate(lines)]
        first, *rest = lines
        return [f"      /\\ \\/ todo[a] = {{}} /\\ {to}", f"         \\/ {first}", *(f"            {line}" for line in rest)]

    def _fill(self) -> list[str]:
        """One word of a new message; what was there before is owed to nobody any more."""
        return [
            "      w == word[a]",
            "      m == IF w = 0 THEN NewMessage ELSE message[a]",
            "      left == [r \\in Ranks |-> Without(owed[r], {payload[b][w]})]",
            f'  IN  /\\ pc[a] = "{self.row.id}"',
            "      /\\ payload' = [payload EXCEPT ![b][w] = m]",
            f"      /\\ IF raises THEN {self._to(Outcome.ABORTED)} /\\ owed' = left",
            "         ELSE IF w + 1 < Words THEN NextWord(a, m) /\\ owed' = left",
            f"         ELSE {self._to(Outcome.DONE)} /\\ owed' = [r \\in Ranks |-> Append(left[r], m)]",
            "      /\\ got' = Nothing",
            self._unchanged("payload", "owed"),
        ]

    def _read(self) -> list[str]:
        """One word of the block's message; with the last one the reader has received it."""
        nothing = "got' = Nothing /\\ UNCHANGED owed"
        raised = "got' = Nothing /\\ owed' = GivenBack(r, b)" if self._gives_back(Outcome.ABORTED) else nothing
        gone = "{m} \\cup Elements(payload[b])" if self._gives_back(Outcome.DONE) else "{m}"
        return [
            "      w == word[a]",
            "      value == payload[b][w]",
            "      m == IF w = 0 \\/ message[a] = value THEN value ELSE Torn",
            f'  IN  /\\ pc[a] = "{self.row.id}"',
            f"      /\\ IF raises THEN {self._to(Outcome.ABORTED)} /\\ {raised}",
            f"         ELSE IF w + 1 < Words THEN NextWord(a, m) /\\ {nothing}",
            f"         ELSE /\\ {self._to(Outcome.DONE)}",
            "              /\\ got' = [reader |-> r, message |-> m]",
            f"              /\\ owed' = [owed EXCEPT ![r] = Without(@, {gone})]",
            "      /\\ UNCHANGED memory",
        ]


def _variable(flag: Flag) -> str:
    return {Flag.WRITTEN: "written", Flag.LOCK: "lock"}.get(flag, "read")


def _index(flag: Flag) -> str:
    indices = {Flag.WRITTEN: "[b]", Flag.LOCK: "[a]", Flag.OWN: "[b][r]", Flag.NEIGHBOUR: "[b][(r + 1) % N]"}
    return indices[flag]


def _value(flag: Flag) -> str:
    return f"{_variable(flag)}{_index(flag)}"


def _store(flag: Flag, value: int | None) -> str:
    name = _variable(flag)
    return f"{name}' = [{name} EXCEPT !{_index(flag)} = {value}]"
