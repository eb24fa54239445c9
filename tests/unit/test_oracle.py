"""The oracle, against a second one that is made of a log, and of a cursor and a set for each reader."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.protocol.oracle import NO_MESSAGE, Owed, accepted, delivered, nothing_owed, overwritten, passed_over, withdrawn

Happening: TypeAlias = tuple[str, int, tuple[int, ...]]
"""What is heard: ``accepted``, ``delivered``, ``passed over`` or ``overwritten``; a reader; message numbers."""

MESSAGES = st.integers(NO_MESSAGE, 6)
HAPPENINGS = st.one_of(
    st.tuples(st.just("accepted"), st.just(0), st.just(())),
    st.tuples(st.just("delivered"), st.integers(0, 2), st.lists(MESSAGES, min_size=2, max_size=3).map(tuple)),
    st.tuples(st.just("delivered"), st.integers(0, 2), MESSAGES.map(lambda message: (message,) * 2)),
    st.tuples(st.just("passed over"), st.integers(0, 2), st.lists(MESSAGES, max_size=2).map(tuple)),
    st.tuples(st.just("overwritten"), st.just(0), MESSAGES.map(lambda message: (message,))),
)


class Log:
    """The second oracle: every message ever accepted, how far each reader is, and what it has had beyond that."""

    def __init__(self, readers: int) -> None:
        self.log: list[int] = []
        self.cursors = [0] * readers
        self.beyond: list[set[int]] = [set() for _ in range(readers)]

    def hear(self, what: str, rank: int, messages: tuple[int, ...]) -> str | None:
        if what == "accepted":
            self.log.append(len(self.log) + 1)
            return None
        if what == "delivered":
            if len(set(messages)) > 1:
                return "torn"
            return self._take(rank, messages[0])
        ranks = [rank] if what == "passed over" else list(range(len(self.cursors)))
        hits = [self._take(r, message) for r in ranks for message in set(messages)]
        if all(hit == "stale" for hit in hits):
            return None
        return "lost" if what == "passed over" else "overwritten"

    def _take(self, rank: int, message: int) -> str | None:
        if message not in self.log:
            return "stale"
        place = self.log.index(message)
        if place < self.cursors[rank] or place in self.beyond[rank]:
            return "stale"
        early = place > self.cursors[rank]
        self.beyond[rank].add(place)
        while self.cursors[rank] in self.beyond[rank]:
            self.beyond[rank].remove(self.cursors[rank])
            self.cursors[rank] += 1
        return "reordered" if early else None

    def owed(self) -> Owed:
        places = range(len(self.log))
        return tuple(
            tuple(self.log[place] for place in places if place >= cursor and place not in beyond)
            for cursor, beyond in zip(self.cursors, self.beyond, strict=True)
        )


def tell(owed: Owed, what: str, rank: int, messages: tuple[int, ...], number: int) -> tuple[Owed, str | None]:
    """Tell the package's oracle; ``number`` is the next message's."""
    if what == "accepted":
        return accepted(owed, number), None
    if what == "delivered":
        return delivered(owed, rank, messages)
    if what == "passed over":
        return passed_over(owed, rank, messages)
    return overwritten(owed, messages[0])


@settings(deadline=None, max_examples=500)
@given(st.lists(HAPPENINGS, max_size=25))
def test_two_oracles_say_the_same_of_everything_that_happens(happenings: list[Happening]) -> None:
    log, owed = Log(3), nothing_owed(3)
    for what, rank, messages in happenings:
        fault = log.hear(what, rank, messages)
        owed, verdict = tell(owed, what, rank, messages, len(log.log))
        assert (verdict, owed) == (fault, log.owed())


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 8))
def test_delivery_in_order_is_never_faulted_and_ends_with_nothing_owed(readers: int, messages: int) -> None:
    owed = nothing_owed(readers)
    for message in range(1, messages + 1):
        owed = accepted(owed, message)
    for rank in range(readers):
        for message in range(1, messages + 1):
            owed, fault = delivered(owed, rank, (message, message))
            assert fault is None
            owed, fault = passed_over(owed, rank, (message, message))
            assert fault is None
            assert overwritten(owed, message)[1] == ("overwritten" if rank + 1 < readers else None)
    assert owed == nothing_owed(readers)


OWED: Owed = ((1, 2, 3), (2, 3))


@pytest.mark.parametrize(
    ("rank", "words", "left", "fault"),
    [
        (0, (1, 1), ((2, 3), (2, 3)), None),
        (1, (2,), ((1, 2, 3), (3,)), None),
        (0, (2, 2), ((1, 3), (2, 3)), "reordered"),
        (0, (1, 2), OWED, "torn"),
        (0, (1, 1, 2), OWED, "torn"),
        (0, (NO_MESSAGE, 1), OWED, "torn"),
        (1, (1, 1), OWED, "stale"),
        (0, (9, 9), OWED, "stale"),
        (0, (NO_MESSAGE, NO_MESSAGE), OWED, "stale"),
    ],
)
def test_a_delivery_is_judged(rank: int, words: tuple[int, ...], left: Owed, fault: str | None) -> None:
    assert delivered(OWED, rank, words) == (left, fault)


@pytest.mark.parametrize(
    ("rank", "words", "left", "fault"),
    [
        (0, (1, 1), ((2, 3), (2, 3)), "lost"),
        (0, (1, 3), ((2,), (2, 3)), "lost"),
        (1, (1, 1), OWED, None),
        (1, (), OWED, None),
    ],
)
def test_giving_back_a_block_is_judged(rank: int, words: tuple[int, ...], left: Owed, fault: str | None) -> None:
    assert passed_over(OWED, rank, words) == (left, fault)


@pytest.mark.parametrize(
    ("word", "left", "fault"),
    [(1, ((2, 3), (2, 3)), "overwritten"), (2, ((1, 3), (3,)), "overwritten"), (NO_MESSAGE, OWED, None), (9, OWED, None)],
)
def test_writing_over_a_word_is_judged(word: int, left: Owed, fault: str | None) -> None:
    assert overwritten(OWED, word) == (left, fault)


@pytest.mark.parametrize(("message", "left"), [(3, ((1, 2), (2,))), (1, ((2, 3), (2, 3))), (9, OWED)])
def test_a_message_that_goes_with_its_writer_is_owed_to_nobody(message: int, left: Owed) -> None:
    assert withdrawn(OWED, message) == left
