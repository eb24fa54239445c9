"""The module ``Ring``, printed from the resolved tables of a variant: the rows' actions, and what must hold of them.

Rules: nothing is known here of particular rows. Fences are steps that change nothing, and a private lock is a byte of its
actor's, as under the explorer's sequential consistency. Limits: one writer; nobody is killed; a table in which a clause id is
no name of TLA+'s, or stands twice, is refused.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Final

from ringbuffer.errors import VariantError
from ringbuffer.protocol import Flag, Row, Variant
from ringbuffer.protocol.properties import BY_NAME
from ringbuffer.tla.actions import COMMENT_COLUMNS, Side, call
from ringbuffer.tla.text import RING

_CLAUSE_ID: Final = re.compile(r"[A-Z][0-9]+", re.ASCII)
_RANKS_VISITED: Final = {Flag.EACH: "Ranks", Flag.BUT_LAST: "Ranks \\ {N - 1}"}
_ASCII: Final = str.maketrans({"←": "<-", "→": "->", "–": "-", "×": "x", "’": "'", "…": "..."})


def module(variant: Variant) -> str:
    """The text of ``Ring.tla`` for a variant's tables. Raises :class:`VariantError` for tables that cannot be printed."""
    writer, reader = (Side(program) for program in variant.programs)
    _check_names(writer, reader)
    rows = [row for side in (writer, reader) for row in side.rows]
    locks = any(row.access.flag is Flag.LOCK for row in rows)
    text = RING.substitute(
        edits=str(variant),
        lock_variable="  lock,     \\* lock[a]: the lock of actor a's own process\n" if locks else "",
        lock_in_memory=", lock" if locks else "",
        lock_init="  /\\ lock = [a \\in Actors |-> 0]\n" if locks else "",
        lock_type="  /\\ lock \\in [Actors -> Flags]\n" if locks else "",
        visits=_visits(rows),
        writer_rows=writer.actions(locks),
        reader_rows=reader.actions(locks),
        initial_read_flag=variant.initial_read_flag,
        first_writer_row=writer.rows[0].id,
        first_reader_row=reader.rows[0].id,
        row_names=", ".join(f'"{row.id}"' for row in rows),
        steps=f"{_definition('WriterStep', writer.calls)}\n\n{_definition('ReaderStep(r)', reader.calls)}",
        caller_raises=_caller_raises(writer, reader),
        safety=_safety(writer, reader),
        fills=_fills(writer),
        liveness=_liveness(),
        turns=_turns(writer, reader),
    )
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _check_names(writer: Side, reader: Side) -> None:
    names = [row.id for side in (writer, reader) for row in side.rows]
    for name in names:
        if not _CLAUSE_ID.fullmatch(name):
            raise VariantError(f"the row {name!r} cannot be an action: a clause id is a letter and a number, like W1")
        if names.count(name) > 1:
            raise VariantError(f"two rows are called {name}, and each is an action of its own")


def _definition(name: str, alternatives: Iterable[str]) -> str:
    return "\n".join([f"{name} ==", *(f"  \\/ {alternative}" for alternative in alternatives)])


def _visits(rows: Iterable[Row]) -> str:
    """``Visits``, by what the rows about several flags visit."""
    lines = ["  CASE"]
    for flag, ranks in _RANKS_VISITED.items():
        names = ", ".join(f'"{row.id}"' for row in rows if row.access.flag is flag)
        if names:
            lines += [f"{lines.pop()} row \\in {{{names}}} -> {ranks}", "    []"]
    return "\n".join([*lines[:-1], f"{lines[-1]} OTHER -> {{}}"]) if len(lines) > 1 else "  {}"


def _caller_raises(writer: Side, reader: Side) -> str:
    raising = [call(writer, writer.payload, "TRUE")] if writer.payload else []
    raising += [f"\\E r \\in Ranks : {call(reader, reader.payload, 'TRUE')}"] if reader.payload else []
    return _definition("CallerRaises", raising or ["FALSE"])


def _stated(name: str) -> str:
    """A property's id, name and statement as a comment."""
    prop = BY_NAME[name]
    text = f"{prop.id} {prop.name}: {prop.statement}"
    return textwrap.fill(text, COMMENT_COLUMNS, initial_indent="\\* ", subsequent_indent="\\* ")


def _name(name: str) -> str:
    return f"{BY_NAME[name].id}_{name}"


def _safety(writer: Side, reader: Side) -> str:
    """P1 to P4 are about steps; P5 and P6 about states."""
    last = reader.last
    gives_back = f"(\\E raises \\in Raising : {call(reader, last)})" if last.is_payload else call(reader, last)
    kept = "owed'[r] = Without(owed[r], {got'.message})" if last.is_payload else "UNCHANGED owed"
    bodies = {
        "torn": " [][got'.message # Torn]_vars",
        "stale": " [][\\A r \\in Ranks : got'.reader = r => got'.message \\in Elements(owed[r]) \\cup {Torn}]_vars",
        "reordered": " [][\\A r \\in Ranks : Receives(r) => ReceivesOldest(r)]_vars",
        "lost": f" [][\\A r \\in Ranks : {gives_back} => {kept}]_vars",
        "overwritten": _overwritten(writer),
        "exclusion": _exclusion(writer, reader),
    }
    return "\n".join(f"{_stated(name)}\n{_name(name)} =={body}\n" for name, body in bodies.items())


def _overwritten(writer: Side) -> str:
    if writer.payload is None:
        return " TRUE  \\* No row fills a block here."
    return "\n".join(
        (
            "",
            f'  pc[Writer] = "{writer.payload.id}" =>',
            "    \\A r \\in Ranks : payload[block[Writer]][word[Writer]] \\notin Elements(owed[r])",
        )
    )


def _exclusion(writer: Side, reader: Side) -> str:
    if writer.payload is None or reader.payload is None:
        return " TRUE  \\* No two rows here are about the payload."
    return "\n".join(
        (
            "",
            "  \\A r \\in Ranks :",
            f'    ~(pc[Writer] = "{writer.payload.id}" /\\ pc[Reader[r]] = "{reader.payload.id}"'
            " /\\ block[Writer] = block[Reader[r]])",
        )
    )


def _fills(writer: Side) -> str:
    if writer.payload is None:
        return "Fills == FALSE  \\* No row fills a block here."
    return f"Fills == word[Writer] + 1 = Words /\\ {call(writer, writer.payload, 'FALSE')}"


def _liveness() -> str:
    progress = [
        f"{_name('progress')} ==",
        "  /\\ []<><<Fills>>_vars",
        "  /\\ \\A r \\in Ranks : []<>(owed[r] = <<>>) \\/ []<><<Receives(r)>>_vars",
    ]
    starved = [
        f"{_name('starved')} ==",
        "  \\A r \\in Ranks : []<>(owed[r] = <<>>) \\/ []<><<ReceivesOldest(r)>>_vars",
    ]
    return "\n".join([_stated("progress"), *progress, "", _stated("starved"), *starved])


def _turns(writer: Side, reader: Side) -> str:
    filled, read = (", ".join(f'"{name}"' for name in side.behind_payload) for side in (writer, reader))
    return f"HasFilled == pc[Writer] \\in {{{filled}}}\nHasRead(r) == pc[Reader[r]] \\in {{{read}}}"
