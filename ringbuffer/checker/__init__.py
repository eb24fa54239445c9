"""Questions about the protocol, answered by visiting every state: ``explore(variant, readers, blocks)``."""

from ringbuffer.checker.explore import HOLDS, REFUTED, UNKNOWN, Advance, Result, explore

__all__ = ["HOLDS", "REFUTED", "UNKNOWN", "Advance", "Result", "explore"]
