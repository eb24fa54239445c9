"""What the mutator and the search for orderings find of the shipped tables: found once, for all tests that ask.

A report is a function of the tables, so whoever asks first pays for it. Rules: this module keeps the real functions, whatever
a test puts in their places; reports are frozen, and shared.
"""

from __future__ import annotations

from functools import cache

from ringbuffer.checker import mutate, orderings

_find_mutations, _find_orderings = mutate.quick, orderings.quick


@cache
def mutations() -> mutate.Report:
    """Every single edit and every pair of benign ones, under sequential consistency."""
    return _find_mutations()


@cache
def ordered() -> orderings.Report:
    """The shipped orderings, and each of them taken away."""
    return _find_orderings()
