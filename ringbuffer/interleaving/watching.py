"""What the actors share: every ``SharedMemory`` that is made while a scenario is made or run, seen through a mapping of our
own.

Rules: the mapping is read-only and of the same file, so that the code under test may close, unlink or leak its own as it
likes; a look compares all bytes with those of the last look. Segments are numbered in the order in which they first appear,
because their names are random.
Limits: memory that is shared otherwise (``mmap``, ``bytearray``) is not watched; there, each opcode that stores counts as a
change. A look costs time in proportion to the bytes.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

CHANGES_SHOWN = 4


@dataclass(slots=True)
class _Segment:
    name: str
    mapping: mmap.mmap
    seen: bytes
    before: bytes


class Watch:
    """The segments of one run."""

    def __init__(self) -> None:
        self.segments: list[_Segment] = []

    def add(self, memory: SharedMemory) -> None:
        """Watch a segment; one that is watched already under its name is the same."""
        if any(segment.name == memory.name for segment in self.segments):
            return
        descriptor: int = memory._fd  # type: ignore[attr-defined]
        mapping = mmap.mmap(descriptor, memory.size, mmap.MAP_SHARED, mmap.PROT_READ)
        self.segments.append(_Segment(memory.name, mapping, mapping[:], mapping[:]))

    def changed(self) -> bool:
        """Whether any byte differs from what it was at the last look."""
        found = False
        for segment in self.segments:
            now = segment.mapping[:]
            segment.before = segment.seen
            if now != segment.seen:
                segment.seen = now
                found = True
        return found

    def changes(self) -> str:
        """In words, which bytes the last look found changed."""
        return "; ".join(filter(None, (self._changes_of(number) for number in range(len(self.segments)))))

    def _changes_of(self, number: int) -> str:
        before, now = self.segments[number].before, self.segments[number].seen
        if before == now:
            return ""
        spans = _spans([at for at in range(len(now)) if now[at] != before[at]])
        shown = [f"[{_place(start, end)}] {_bytes(before[start:end])} → {_bytes(now[start:end])}" for start, end in spans]
        more = f" and {len(spans) - CHANGES_SHOWN} more" if len(spans) > CHANGES_SHOWN else ""
        which = f"segment {number + 1} " if len(self.segments) > 1 else ""
        return which + ", ".join(shown[:CHANGES_SHOWN]) + more

    def anonymous(self, text: str) -> str:
        """A text without the random names of the segments."""
        for number, segment in enumerate(self.segments):
            text = text.replace(segment.name.lstrip("/"), f"segment-{number + 1}")
        return text

    def close(self) -> None:
        """Unmap all."""
        for segment in self.segments:
            segment.mapping.close()
        self.segments.clear()


def _spans(places: list[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for at in places:
        if spans and spans[-1][1] == at:
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
    return spans


def _place(start: int, end: int) -> str:
    return str(start) if end == start + 1 else f"{start}:{end}"


def _bytes(value: bytes) -> str:
    if len(value) == 1:
        return str(value[0])
    return repr(value if len(value) <= 16 else value[:16]) + ("" if len(value) <= 16 else "…")
