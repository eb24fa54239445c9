"""What a look at a ring comes to, in one sentence: who waits for whom, since when, whether that one lives, and what to do.

``ringbuffer inspect`` prints the sentence of the ring, ``ringbuffer soak`` those of all that wait, and the errors and warnings
of an endpoint hold that of its own wait.

Rules: what the flags say comes first, and then what is known of those whom it names; who can go on is never blamed. Only what
cannot end by itself counts as stuck: a role that died and that nobody stands in for, or memory that is damaged. Limits: a
process that lives and does nothing cannot be told from one that works; the sentence says that it lives and does not wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ringbuffer.observe import Block, Look, Participant, Snapshot, State
from ringbuffer.protocol import Case, missing_readers, reader_may_read
from ringbuffer.ranks import name_of

PEERS_TOLD_MAX: Final = 6
"""Of how many peers a sentence tells what has become of them; those first that need somebody to do something."""
FLAGS_SHOWN_MAX: Final = 32
"""Of damaged flags, a sentence shows so many."""

_WRITER: Final = -1


def wait_sentence(look: Look | Snapshot, rank: int, block_index: int, waited_seconds: float, *, pid: int | None = None) -> str:
    """One participant's wait: who waits, for which block, in which case, for whom, and what has become of them.

    ``pid``: that of who waits, where its entry does not say it yet.
    """
    who = _name(rank, look.participant(rank).pid if pid is None else pid)
    return _wait(look, rank, block_index, waited_seconds, f"{who} of ring {look.name}")


def verdict(snapshot: Snapshot) -> str:
    """The sentence of the ring."""
    if snapshot.damage:
        more = len(snapshot.damage) - 1
        return f"damaged: {snapshot.damage[0]}" + (f"; and {more} more such findings" if more else "")
    waiting = [one for one in snapshot.participants if one.waiting_seconds is not None]
    if not waiting:
        return _nobody_waits(snapshot)
    writer = snapshot.participant(_WRITER)
    chief = writer if writer in waiting else max(waiting, key=lambda one: (one.waiting_seconds or 0, -one.rank))
    block, seconds = snapshot.block_of(chief.rank), chief.waiting_seconds or 0.0
    text = _wait(snapshot, chief.rank, block.index, seconds, _name(chief.rank, chief.pid))
    others = [one.rank for one in waiting if one is not chief]
    if not others:
        return text
    return (
        f"{text}; {_readers(others)} wait{'s' if len(others) == 1 else ''} {'for the writer' if chief is writer else 'as well'}"
    )


def is_stuck(snapshot: Snapshot) -> bool:
    """Whether somebody waits, directly or through another, for who died or cannot come back; or the memory is damaged."""
    return bool(snapshot.damage) or any(
        _is_lost(snapshot, peer)
        for one in snapshot.participants
        if one.waiting_seconds is not None
        for peer in _waits_for(snapshot, one.rank, snapshot.block_of(one.rank))
    )


def ranks_text(ranks: Sequence[int]) -> str:
    """Ranks as ranges: ``0-3, 7``."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def _name(rank: int, pid: int) -> str:
    return f"{name_of(rank)} (pid {pid})" if pid else name_of(rank)


def _readers(ranks: Sequence[int]) -> str:
    return f"reader{'s' if len(ranks) > 1 else ''} {ranks_text(ranks)}"


def _wait(look: Look | Snapshot, rank: int, block_index: int, waited_seconds: float, who: str) -> str:
    block = look.block(block_index)
    text = f"{who} has waited {waited_seconds:.3g} s for block {block_index}"
    if block.case is None:
        more = " …" if len(block.flags) > FLAGS_SHOWN_MAX else ""
        return f"{text}, whose flags {block.flags[:FLAGS_SHOWN_MAX].hex(' ')}{more} are damaged: a flag is 0 or 1"
    text = f"{text} (case {block.case:d})"
    missing = missing_readers(block.flags)
    if not missing if rank == _WRITER else reader_may_read(block.flags, rank):
        return f"{text}, which has become free for it just now"
    if rank == _WRITER:
        return f"{text}: not yet read by {_ranks_and_peers(look, missing, block)}"
    writer = look.participant(_WRITER)
    if missing:
        is_waiting = writer.state is State.HELD and writer.waiting_seconds is not None
        waits = "waits" if is_waiting else "has to wait"
        text = f"{text}, which it has read: the writer {waits} for {_ranks_and_peers(look, missing, block)}"
        return text if is_waiting else f"{text}; {_name(_WRITER, writer.pid)} {_of_the_writer(look, block)}"
    said = f"it{f' (pid {writer.pid})' if writer.pid else ''} {_of_the_writer(look, block)}"
    if block.case is Case.UNWRITTEN:
        return f"{text}: the writer has not published it; {said}"
    return f"{text}, which all have read: the writer has not written it again; {said}"


def _waits_for(snapshot: Snapshot, rank: int, block: Block) -> tuple[Participant, ...]:
    """The participants without whom a wait for a block does not end; nobody where it can end at once."""
    if block.case is None:
        return ()
    missing = missing_readers(block.flags)
    if not missing if rank == _WRITER else reader_may_read(block.flags, rank):
        return ()
    readers = tuple(snapshot.participant(one) for one in missing)
    return readers if rank == _WRITER else (snapshot.participant(_WRITER), *readers)


def _is_lost(snapshot: Snapshot, peer: Participant) -> bool:
    """Whether nobody plays that role, and somebody has to do something before anybody does."""
    if peer.evicted_by:
        return False
    return peer.state is State.DEAD or (peer.state is State.LEFT and peer.rank == _WRITER and not snapshot.has_name)


def _ranks_and_peers(look: Look | Snapshot, missing: tuple[int, ...], block: Block) -> str:
    """``reader rank 2 (pid 57), which died; evict(2) lets the writer go on``."""
    if len(missing) == 1:
        peer = look.participant(missing[0])
        pid = f" (pid {peer.pid})" if peer.pid else ""
        text = f"reader rank {peer.rank}{pid}, which {_of_a_reader(look, peer, block)}"
    else:
        # Those first that nobody plays: of the others there is less to say.
        peers = sorted((look.participant(rank) for rank in missing), key=lambda one: one.state is State.HELD)
        told = [f"{_name(one.rank, one.pid)} {_of_a_reader(look, one, block)}" for one in peers[:PEERS_TOLD_MAX]]
        rest = [f"and {len(peers) - PEERS_TOLD_MAX} more"] if len(peers) > PEERS_TOLD_MAX else []
        text = "; ".join([f"reader ranks {', '.join(map(str, missing))}", *told, *rest])
    gone = [rank for rank in missing if _can_be_evicted(look.participant(rank))]
    return f"{text}; {_advice(gone)}" if gone else text


def _can_be_evicted(peer: Participant) -> bool:
    return peer.state in (State.DEAD, State.LEFT) and not peer.evicted_by


def _advice(ranks: Sequence[int]) -> str:
    calls = ", ".join(f"evict({rank})" for rank in ranks[:PEERS_TOLD_MAX]) + (" …" if len(ranks) > PEERS_TOLD_MAX else "")
    return f"{calls} let{'s' if len(ranks) == 1 else ''} the writer go on"


def _of_a_reader(look: Look | Snapshot, peer: Participant, block: Block) -> str:
    if peer.evicted_by:
        return f"was evicted: the writer (pid {peer.evicted_by}) reads in its place"
    if peer.state is not State.HELD:
        return _gone(peer)
    if peer.waiting_seconds is None:
        return "lives and does not wait"
    other = look.block_of(peer.rank)
    return "lives and is about to see it" if other.index == block.index else f"lives and waits for block {other.index}"


def _of_the_writer(look: Look | Snapshot, block: Block) -> str:
    writer = look.participant(_WRITER)
    if writer.state is State.HELD:
        other = look.block_of(_WRITER)
        if writer.waiting_seconds is None or other.index == block.index:
            return "lives and has published nothing since"
        return f"lives and waits for block {other.index}"
    advice = {
        State.FREE: "",
        State.DEAD: "; another can take over, and goes on behind the last message",
        State.LEFT: " and may come back" if look.has_name else ", and the ring's name is gone: nobody takes its place",
    }
    return f"{_gone(writer)}{advice[writer.state]}"


def _gone(peer: Participant) -> str:
    if peer.state is State.LEFT:
        return f"left {peer.left_seconds or 0:.3g} s ago"
    return "died" if peer.state is State.DEAD else "has not come yet"


def _nobody_waits(snapshot: Snapshot) -> str:
    """Where nobody waits: what there is to read, and who is not there."""
    readers = snapshot.participants[1:]
    unread = Counter(rank for block in snapshot.blocks for rank in block.unread_by)
    behind = [one.rank for one in readers if unread[one.rank] and one.state is State.HELD]
    if all(one.state is State.FREE for one in snapshot.participants):
        said = "nobody has claimed a role yet"
    elif behind:
        worst = max(behind, key=lambda rank: (unread[rank], -rank))
        count = f"{unread[worst]} message{'s' if unread[worst] > 1 else ''}"
        others = f"; {_readers([rank for rank in behind if rank != worst])} as well, or fewer" if len(behind) > 1 else ""
        said = f"nobody waits: {_name(worst, readers[worst].pid)} has {count} to read{others}"
    elif unread:
        said = "nobody waits: all that are here have read everything"
    else:
        said = "nobody waits: all have read everything"
    return "; ".join([said, *_absent(snapshot, unread)])


def _absent(snapshot: Snapshot, unread: Counter[int]) -> list[str]:
    """Those who died, and what that means for the others."""
    dead = [one for one in snapshot.participants if one.state is State.DEAD and not one.evicted_by]
    said = [f"{_name(one.rank, one.pid)} died" for one in dead[:PEERS_TOLD_MAX]]
    if len(dead) > PEERS_TOLD_MAX:
        said.append(f"and {len(dead) - PEERS_TOLD_MAX} more")
    if dead and dead[0].rank == _WRITER:
        said.append("another writer can take over")
    gone = [one.rank for one in dead if unread[one.rank]]
    return [*said, f"the writer will wait for {_readers(gone)}: {_advice(gone)}"] if gone else said
