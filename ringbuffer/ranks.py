"""Ranks, and what they are called: the writer's is -1, the readers' are 0 and more."""

from __future__ import annotations

from typing import Final

WRITER: Final = -1


def name_of(rank: int) -> str:
    """``the writer`` or ``reader 3``."""
    return "the writer" if rank == WRITER else f"reader {rank}"
