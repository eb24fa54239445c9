"""Mutants: every single edit of the tables, and every pair of edits, in the text form that ``Variant.parse`` reads.

What a single edit is: a row dropped, exchanged with its neighbour, or moved to any other place of its side; an ordering taken
away; an outcome that leads elsewhere; a load's test or a store's value turned round; an access to another flag (a wrong
reader's, the wrong byte, a loop that ends one short or visits one only); a count that is one short; read flags that start with
the other value; an index that does not go on, or goes on too far; the other policy. Rules: a mutant whose programs are those of
the shipped tables, or of a mutant that comes before it, is left out; the order is fixed. Limits: written flags that start as 1,
payloads that are cut short, and accesses of another size are not in the notation, so they are not among the edits.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from itertools import pairwise

from ringbuffer.errors import VariantError
from ringbuffer.protocol import PROTOCOL, SCAN, Edge, Kind, Ordering, Variant
from ringbuffer.protocol.table import Row, Table, Then
from ringbuffer.protocol.variant import ADVANCE_MAX, FLAGS


def single_edits() -> tuple[str, ...]:
    """Every single edit of the shipped tables, without those that change nothing and those that do what another does.

    Each is one edit in text form; a move to the end of a table, for which there is no word, takes two (a move and a swap).
    """
    return _distinct(_candidates(PROTOCOL), [PROTOCOL])


def pairs(edits: Iterable[str]) -> tuple[str, ...]:
    """Every pair of these edits: both orders where the order matters, none that cannot be made, or that does what the
    shipped tables, one of ``edits`` alone, or a pair before it does."""
    alone = tuple(edits)
    known = [PROTOCOL, *map(variant_of, alone)]
    couples = ((first, second) for place, first in enumerate(alone) for second in alone[place + 1 :])
    return _distinct((f"{one} {other}" for couple in couples for one, other in (couple, couple[::-1])), known)


def variant_of(edits: str) -> Variant:
    """The variant that these edits, separated by spaces, lead to. Raises :class:`VariantError` if they do not apply."""
    variant = Variant.parse(*edits.split())
    assert variant.programs, "both tables have rows, or this has raised"
    return variant


def programs_key(variant: Variant) -> Hashable:
    """What a variant does, without what it says: equal for variants that have the same accesses and the same branches."""
    programs = tuple(tuple((at.row.access, at.branches) for at in program.instructions) for program in variant.programs)
    return programs, variant.initial_read_flag


def steps_key(variant: Variant, memory: str) -> Hashable:
    """Equal for variants whose states and steps on that memory are the same, so that exploring one is exploring both.

    To wait and to restart are the same step where a wait does not change the block: the actor is at its first row again. An
    access's ordering makes no difference under ``sc``, nor, below ``seq_cst``, under ``tso``.
    """
    strong = memory in ("sc", "tso")
    programs = []
    for program in variant.programs:
        rows = []
        for at in program.instructions:
            access = at.row.access
            ordering = None if strong and access.kind is not Kind.FENCE else access.ordering
            branches = tuple(
                (outcome, branch.pc, branch.advance, branch.edge in (Edge.WAITED, Edge.RESTARTED))
                for outcome, branch in at.branches
            )
            rows.append((access.kind, access.flag, access.value, access.missing_allowed, ordering, branches))
        programs.append(tuple(rows))
    return tuple(programs), variant.initial_read_flag


def _distinct(candidates: Iterable[str], known: Iterable[Variant]) -> tuple[str, ...]:
    """Those of the candidates that can be made and do what none before them does."""
    seen = set(map(programs_key, known))
    kept = []
    for edits in candidates:
        try:
            key = programs_key(variant_of(edits))
        except VariantError:
            continue
        if key not in seen:
            seen.add(key)
            kept.append(edits)
    return tuple(kept)


def _candidates(variant: Variant) -> Iterator[str]:
    """Every single edit, in the order of the kinds, then of the rows."""
    tables = (variant.writer, variant.reader)
    rows = [row for table in tables for row in table.rows]
    yield from (f"without={row.id}" for row in rows)
    for table in tables:
        yield from _places(table)
    yield from (f"weaken={row.id}" for row in rows if row.access.ordering in (Ordering.ACQUIRE, Ordering.RELEASE))
    yield from (
        f"redirect={row.id},{outcome.value},{then.value}"
        for row in rows
        for outcome, old in row.then
        for then in Then
        if then is not old
    )
    yield from (f"flip={row.id}" for row in rows if row.access.kind in (Kind.LOAD, Kind.STORE))
    yield from (f"retarget={row.id},{flag}" for row in rows for flag in _other_flags(row))
    yield "missing-readers=1"
    yield f"initial-read-flag={1 - variant.initial_read_flag}"
    yield from (f"advance={side},{blocks}" for side in ("writer", "reader") for blocks in range(ADVANCE_MAX + 1))
    yield f"policy={SCAN}"


def _places(table: Table) -> Iterator[str]:
    """Every way to put one row of a table at another place: with its neighbour, before any other row, at the end."""
    rows, last = table.rows, table.rows[-1]
    yield from (f"swap={first.id},{second.id}" for first, second in pairwise(rows))
    yield from (f"move={row.id},{before.id}" for row in rows for before in rows if before is not row)
    yield from (f"move={row.id},{last.id} swap={row.id},{last.id}" for row in rows[:-2])


def _other_flags(row: Row) -> Iterator[str]:
    """The names of the flags that an access might touch instead; those that its side cannot touch do not apply."""
    if row.access.flag is not None:
        yield from (name for name, flag in FLAGS.items() if flag is not row.access.flag)
