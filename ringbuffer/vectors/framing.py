"""Cases of messages: how a body is cut into frames, what a reader makes of a stream of blocks, and gathered bodies.

Rules: a block that must be refused is followed by one that must not, so that a reader is seen to have kept its place. Limits:
pickles are a few that every version of pickle 5 reads alike; what is in one is Python's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ringbuffer.codec.frames import BYTES, FIRST, GATHERED, LAST, MIDDLE, PICKLE, RAW, TOTAL_BYTES_MAX, WHOLE, Frame, Outgoing
from ringbuffer.codec.message import body_of_pieces, spans
from ringbuffer.errors import FrameError
from ringbuffer.memory.layout import FRAME, FRAME_BYTES
from ringbuffer.vectors.stepping import body_of
from ringbuffer.vectors.text import Json

CHUNK_BYTES: Final = 32
BLOCKS: Final = 2
NUMBER: Final = bytes.fromhex("80054b072e")
"""A pickle of the number 7."""


def frames() -> Json:
    """Messages, and the frames and parts that they are sent as."""
    cases = []
    for chunk_bytes, sizes in ((32, (0, 1, 31, 32, 33, 64, 65, 100)), (1, (0, 1, 2, 3)), (100, (99, 100, 101, 250))):
        for number, size in enumerate(sizes):
            cases.append(_sent(chunk_bytes, (0, 5, 2**32 + 1)[number % 3], BYTES, body_of(number, size)))
    cases.append(_sent(8, 3, PICKLE, NUMBER))
    cases.append(_sent(4, 3, PICKLE, NUMBER))
    cases.append(_sent(64, 0, GATHERED, gathered_body(_ASKS_FOR_ONE, [b"abc"])))
    cases.append(_sent(256, 0, GATHERED, gathered_body(_ASKS_FOR_ONE, [b"abc"])))
    cases.append({**_sent(16, 9, RAW, body_of(9, 16)), "about": "a block that its caller has filled in place, all of it"})
    about = "messages, and what stands in the blocks that they take: the frame, and the bytes behind it"
    return {"kind": "frames", "about": about, "cases": cases}


def _sent(chunk_bytes: int, sequence: int, kind: int, body: bytes) -> Json:
    blocks = [
        {"frame": frame.hex(), "payload": payload.hex()} for frame, payload in sent_blocks(chunk_bytes, sequence, kind, body)
    ]
    return {"max_chunk_bytes": chunk_bytes, "sequence": sequence, "kind": kind, "body": body.hex(), "blocks": blocks}


def sent_blocks(chunk_bytes: int, sequence: int, kind: int, body: bytes) -> list[tuple[bytes, bytes]]:
    """The frames of a message, and the bytes behind each."""
    message, is_done = Outgoing(kind, body), False
    found: list[tuple[bytes, bytes]] = []
    while not is_done:
        block = bytearray(FRAME_BYTES + chunk_bytes)
        with memoryview(block) as view:
            message.fill(view, sequence + len(found))
            length = Frame.read(view).length_bytes
        found.append((bytes(block[:FRAME_BYTES]), bytes(block[FRAME_BYTES : FRAME_BYTES + length])))
        is_done = message.sent()
    return found


_ASKS_FOR_ONE: Final = bytes.fromhex("8005972e")
"""A pickle that is a bytearray, of the next buffer."""
_ASKS_FOR_THREE: Final = bytes.fromhex("8005979797872e")
"""A pickle that is a tuple of three."""


def gathered_body(pickled: bytes, buffers: Sequence[bytes]) -> bytes:
    """A body of a pickle and its buffers."""
    return b"".join(body_of_pieces([pickled], [memoryview(buffer) for buffer in buffers]))


def bodies() -> Json:
    """Gathered bodies, and where their parts are; and what is none."""
    cases = []
    for pickled, buffers in (
        (_ASKS_FOR_ONE, [b"abc"]),
        (_ASKS_FOR_ONE, [body_of(1, 64)]),
        (_ASKS_FOR_THREE, [b"a", b"bc", body_of(2, 65)]),
        (_ASKS_FOR_THREE, [body_of(3, 63), body_of(4, 64), b"z"]),
        (_ASKS_FOR_THREE, [b"", b"a", b""]),
        (_ASKS_FOR_ONE + b"." * 4, [b"its table and pickle end at a cache line"]),
    ):
        body = gathered_body(pickled, buffers)
        told = {"pickle": pickled.hex(), "buffers": [buffer.hex() for buffer in buffers], "body": body.hex()}
        cases.append({**told, **read_body(body)})
    whole = gathered_body(_ASKS_FOR_ONE, [b"abc"])
    for about, damaged in (
        ("without a table", whole[:15]),
        ("no bytes", b""),
        ("a byte too few", whole[:-1]),
        ("a byte too many", whole + b"\0"),
        ("more buffers than there is room for lengths", (1000).to_bytes(8, "little") + whole[8:]),
        ("as many buffers as fit 64 bits", b"\xff" * 8 + whole[8:]),
        ("a pickle that ends behind the body", whole[:8] + (1000).to_bytes(8, "little") + whole[16:]),
        ("a pickle as long as fits 64 bits", whole[:8] + b"\xff" * 8 + whole[16:]),
        ("a buffer that ends behind the body", whole[:16] + (4).to_bytes(8, "little") + whole[24:]),
        ("a buffer that ends before the body does", whole[:16] + (2).to_bytes(8, "little") + whole[24:]),
        ("one buffer less, and the rest belongs to nobody", bytes(8) + whole[8:]),
    ):
        cases.append({"about": about, "body": damaged.hex(), **read_body(damaged)})
    about = "bodies of kind 3: a pickle and its buffers, and where in the body each begins and ends; or bodies that are refused"
    return {"kind": "bodies", "about": about, "cases": cases}


def read_body(body: bytes) -> Json:
    """What the ring says of a gathered body."""
    try:
        with memoryview(body) as view:
            (begin, end), buffers = spans(view)
    except FrameError:
        return {"refused": True}
    return {"pickle_span": [begin, end], "buffer_spans": [list(span) for span in buffers]}


class Stream:
    """Blocks that come to a reader one after the other, and what it must make of each."""

    def __init__(self, about: str, *, begins_at: int = 0) -> None:
        self.about, self.begins_at, self.sequence = about, begins_at, begins_at
        self.blocks: list[Json] = []

    def document(self) -> Json:
        """The case as it stands in the file."""
        ring: Json = {"max_chunk_bytes": CHUNK_BYTES, "max_chunks": BLOCKS}
        return {"about": self.about, "begins_at": self.begins_at, **ring, "blocks": self.blocks}

    def takes(self, part: int, payload: bytes, total: int, kind: int = BYTES) -> Stream:
        """A part of a message that is not whole yet: taken, and its block is marked."""
        return self._add(Frame(self.sequence, len(payload), kind, part, total), payload, {"taken": "part"})

    def passes(self, part: int, payload: bytes, total: int) -> Stream:
        """The rest of a message whose beginning a predecessor has taken: passed over, and its block is marked."""
        return self._add(Frame(self.sequence, len(payload), BYTES, part, total), payload, {"taken": "rest"})

    def gives(self, part: int, payload: bytes, body: bytes, kind: int = BYTES) -> Stream:
        """A last part, or a whole message: it is delivered, and its block is marked."""
        told = {"delivered": {"kind": kind, "body": body.hex()}}
        return self._add(Frame(self.sequence, len(payload), kind, part, len(body)), payload, told)

    def whole(self, body: bytes, kind: int = BYTES) -> Stream:
        """A message of one part."""
        return self.gives(WHOLE, body, body, kind)

    def refuses(self, why: str, frame: Frame, payload: bytes = b"") -> Stream:
        """A block that must not be delivered, and stays unread: what follows comes in its place."""
        self.blocks.append({"about": why, "frame": FRAME.pack(*frame).hex(), "payload": payload.hex(), "refused": True})
        return self

    def _add(self, frame: Frame, payload: bytes, told: Json) -> Stream:
        assert frame.length_bytes == len(payload), "what the frame says"
        self.blocks.append({"frame": FRAME.pack(*frame).hex(), "payload": payload.hex(), **told})
        self.sequence += 1
        return self


def streams() -> Json:
    """What a reader makes of blocks, and which it must refuse."""
    cases = [*_good_streams(), *_bad_frames(), *_bad_parts()]
    about = "blocks as they come to one reader, and for each: a part is taken, a message is delivered, or the block is refused"
    return {"kind": "streams", "about": about, "cases": [case.document() for case in cases]}


def _good_streams() -> list[Stream]:
    body = body_of(1, 80)
    plain = Stream("whole messages, of every kind").whole(b"").whole(body_of(2, CHUNK_BYTES)).whole(NUMBER, PICKLE)
    plain.whole(body_of(3, CHUNK_BYTES), RAW).whole(b"end")
    parts = Stream("parts of one message, and a message behind it")
    parts.takes(FIRST, body[:32], 80).takes(MIDDLE, body[32:64], 80).gives(LAST, body[64:], body).whole(b"behind")
    uneven = Stream("parts need not fill their blocks")
    uneven.takes(FIRST, body[:1], 80).takes(MIDDLE, body[1:20], 80).takes(MIDDLE, body[20:52], 80).gives(LAST, body[52:], body)
    whole = Stream("a whole message withdraws one that is unfinished").takes(FIRST, body[:32], 80).whole(b"instead")
    first = Stream("a first part withdraws one that is unfinished, also one of the same size")
    first.takes(FIRST, body[:32], 80).takes(MIDDLE, body[32:64], 80)
    other = body_of(4, 80)
    first.takes(FIRST, other[:32], 80).takes(MIDDLE, other[32:64], 80).gives(LAST, other[64:], other)
    follows = Stream("who takes over in the middle of a message passes over its rest", begins_at=6)
    follows.passes(MIDDLE, body[:32], 80).passes(LAST, body[64:], 80).whole(b"begins here")
    last = Stream("who takes over before a last part passes over that alone", begins_at=1)
    last.passes(LAST, body[64:], 80).whole(b"begins here")
    begins = Stream("who takes over where a message begins receives it", begins_at=3)
    begins.takes(FIRST, body[:32], 80).takes(MIDDLE, body[32:64], 80).gives(LAST, body[64:], body)
    return [plain, parts, uneven, whole, first, follows, last, begins]


def _bad_frames() -> list[Stream]:
    body, size = body_of(5, 20), CHUNK_BYTES
    good = Frame(1, 20, BYTES, WHOLE, 20)
    cases = {
        "the number of the block before": good._replace(sequence=0),
        "the number of the block behind": good._replace(sequence=2),
        "the number of a lap later": good._replace(sequence=3),
        "a number of which only the low 32 bits are right": good._replace(sequence=2**32 + 1),
        "the largest number": good._replace(sequence=2**64 - 1),
        "a byte more than the block has": good._replace(length_bytes=size + 1, total_bytes=size + 1),
        "the largest length": good._replace(length_bytes=2**64 - 1, total_bytes=2**64 - 1),
        "a length that is right in its low 32 bits": good._replace(length_bytes=2**32 + 20, total_bytes=2**32 + 20),
        "no such kind": good._replace(kind=4),
        "no such kind, far off": good._replace(kind=2**32 - 1),
        "no such part": good._replace(part=4),
        "no such part, with known bits in it": good._replace(part=7),
        "a whole message that is shorter than its total": good._replace(total_bytes=21),
        "a whole message that is longer than its total": good._replace(total_bytes=19),
        "a total beyond the largest": Frame(1, 20, BYTES, FIRST, TOTAL_BYTES_MAX + 1),
        "a part of a message that its caller has filled": Frame(1, 20, RAW, FIRST, 40),
        "a block that its caller has filled, and that is not full": Frame(1, 20, RAW, WHOLE, 20),
        "a block that its caller has filled, and a byte more": Frame(1, size + 1, RAW, WHOLE, size + 1),
        "a first part without a byte": Frame(1, 0, BYTES, FIRST, 40),
        "a first part that is all of the message": Frame(1, 20, BYTES, FIRST, 20),
        "a first part that is more than the message": Frame(1, 20, BYTES, FIRST, 10),
    }
    found = []
    for why, frame in cases.items():
        case = Stream(f"refused: {why}").whole(b"before").refuses(why, frame, body[: min(frame.length_bytes, 20)])
        found.append(case.whole(body))
    return found


def _bad_parts() -> list[Stream]:
    body = body_of(6, 80)
    start = [
        ("a middle part without its first", Frame(0, 20, BYTES, MIDDLE, 80)),
        ("a last part without its first", Frame(0, 20, BYTES, LAST, 80)),
    ]
    found = [Stream(f"refused: {why}").refuses(why, frame, body[:20]).whole(b"good") for why, frame in start]
    middle = Frame(1, 32, BYTES, MIDDLE, 80)
    for why, frame in (
        ("a part of another kind", middle._replace(kind=PICKLE)),
        ("a part of a message of another size", middle._replace(total_bytes=81)),
        ("a last part before the total is reached", middle._replace(part=LAST)),
        ("a part without a byte", middle._replace(length_bytes=0)),
        ("a last part without a byte", Frame(1, 0, BYTES, LAST, 80)),
        ("a part with the number of the one before", middle._replace(sequence=0)),
        ("a part that was left out", middle._replace(sequence=2)),
    ):
        case = Stream(f"refused: {why}").takes(FIRST, body[:32], 80).refuses(why, frame, body[32 : 32 + frame.length_bytes])
        found.append(case.takes(MIDDLE, body[32:64], 80).gives(LAST, body[64:], body))
    for why, frame in (
        ("a middle part with which the total is reached", Frame(2, 16, BYTES, MIDDLE, 80)),
        ("a last part with which the total is passed", Frame(2, 17, BYTES, LAST, 80)),
        ("a middle part with which the total is passed", Frame(2, 17, BYTES, MIDDLE, 80)),
    ):
        case = Stream(f"refused: {why}").takes(FIRST, body[:32], 80).takes(MIDDLE, body[32:64], 80)
        found.append(case.refuses(why, frame, (body + b"\0")[64 : 64 + frame.length_bytes]).gives(LAST, body[64:], body))
    taken = Stream("refused: the rest of a message that was withdrawn").takes(FIRST, body[:32], 80).whole(b"instead")
    why = "a part of what was withdrawn"
    found.append(taken.refuses(why, Frame(2, 32, BYTES, MIDDLE, 80), body[32:64]).whole(b"good"))
    over = Stream("refused: behind the rest that was passed over, another rest", begins_at=6).passes(LAST, body[64:], 80)
    found.append(over.refuses("nobody has begun it", Frame(7, 16, BYTES, LAST, 80), body[64:]).whole(b"good"))
    return found
