"""Contracts of the pure functions, to be tried by CrossHair over all paths.

``cases``, ``steps``, ``layout`` and ``frames`` hold the laws: small functions about the shipped ones, with their
conditions in the docstring (PEP 316). ``laws`` lists every law with its known-bad twins, and what tests those that CrossHair
leaves open; ``run`` tries one law.

Rules: a law calls the shipped function, by a name of its own module, so that a twin can put a broken one there and try the
very same law; nothing outside of ``run`` imports CrossHair. Limits: each module's own.
"""
