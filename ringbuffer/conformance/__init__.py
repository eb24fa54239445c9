"""The conformance kit: the tests of this project, for any ring that broadcasts from one writer to N readers.

``pytest --pyargs ringbuffer.conformance --ring=package.module:factory`` runs them on what ``factory(readers, blocks,
block_bytes)`` makes: an adapter, of a few lines, whose shape :mod:`ringbuffer.conformance.adapter` says. Four tiers of clauses:
call by call against an oracle, step by step under a scheduler, in real processes, and with processes that are killed.

Rules: a clause judges by what the readers are given, and knows nothing of how the ring does it; what an adapter does not offer
is skipped by the name of the clause; pytest and Hypothesis are imported in here only (extra ``conformance``). Limits: what
passed was tried in so many runs, or up to a bound that is said; it is not verified.
"""
