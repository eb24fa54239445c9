"""Conformance vectors: what every implementation of this ring does, as files that need none of this code to be read.

``machine`` runs the rows on plain bytes; ``formats``, ``framing``, ``peers``, ``stepping`` and ``rejected`` make the cases;
``publish`` writes them, and holds what was published; ``run`` and ``stepped`` hold this implementation to the files. What each
kind of file means, for somebody who has nothing else, is ``spec/19-vectors.md``.

Rules: the files follow from the code to the last byte; what was published is never changed. Limits: one process makes and runs
all of it, so nothing here shows an ordering; that is what the exploration is for.
"""
