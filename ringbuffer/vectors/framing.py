"""Cases of messages: how a body is cut into frames, what a reader makes of a stream of blocks, gathered bodies, and tensors.

Rules: a block that must be refused is followed by one that must not, so that a reader is seen to have kept its place. Limits:
pickles are a few that every version of pickle 5 reads alike; what is in one is Python's business. Tensors are taken as heads
and bytes, without torch: that the elements are as long as their dtype asks is not a part of any case of theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from ringbuffer.codec.frames import (
    BYTES,
    FIRST,
    GATHERED,
    LAST,
    MIDDLE,
    PICKLE,
    RAW,
    TENSOR,
    TOTAL_BYTES_MAX,
    WHOLE,
    Frame,
    Outgoing,
)
from ringbuffer.codec.message import body_of_pieces, spans
from ringbuffer.codec.tensors import HEAD_BYTES, head_of, parse_head
from ringbuffer.errors import FrameError
from ringbuffer.memory.layout import FRAME, FRAME_BYTES
from ringbuffer.vectors.stepping import body_of
from ringbuffer.vectors.text import Json

CHUNK_BYTES: Final = 32
ROOM_BYTES: Final = 128
"""Of a block that a small tensor fits into."""
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
    cases.append(_sent(ROOM_BYTES, 2, TENSOR, A_TENSOR))
    cases.append(_sent(50, 2, TENSOR, A_TENSOR))
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


def tensor_body(dtype: str, shape: tuple[int, ...], requires_grad: bool, elements: bytes) -> bytes:
    """A body that is a tensor."""
    head = head_of(dtype, shape, requires_grad)
    assert head is not None, "it is no part of a pickle"
    return head + elements


A_TENSOR: Final = tensor_body("float32", (2, 3), False, struct.pack("<6f", 0, 1, -1, 0.5, 2, 1e9))


def tensors() -> Json:
    """Tensors, and what stands in their bodies; and what is none."""
    cases = []
    for dtype, shape, requires_grad, elements in (
        ("float32", (2, 3), False, A_TENSOR[HEAD_BYTES:]),
        ("int64", (), False, struct.pack("<q", -2)),
        ("uint8", (5,), False, b"\1\2\3\4\xff"),
        ("bool", (3,), False, b"\1\0\1"),
        ("bfloat16", (1, 2), True, bytes.fromhex("803f80bf")),
        ("complex64", (1,), False, struct.pack("<2f", 1, -1)),
        ("float8_e4m3fnuz", (2,), False, b"\x40\xc0"),
        ("float64", (0, 3), True, b""),
        ("int8", ((1 << 40) + 3, 0), False, b""),
        ("uint8", (1, 2, 1, 1, 1, 1, 1, 3), False, bytes(range(6))),
    ):
        body = tensor_body(dtype, shape, requires_grad, elements)
        cases.append({"body": body.hex(), **read_tensor(body)})
    for about, damaged in _bad_tensors().items():
        cases.append({"about": about, "body": damaged.hex(), **read_tensor(damaged)})
    about = "bodies of kind 4: what a tensor is, and where its elements are; or bodies that are refused"
    return {"kind": "tensors", "about": about, "cases": cases}


def _bad_tensors() -> dict[str, bytes]:
    whole = A_TENSOR

    def changed(at: int, new: bytes) -> bytes:
        return whole[:at] + new + whole[at + len(new) :]

    return {
        "no bytes": b"",
        "a head that is a byte too short": whole[: HEAD_BYTES - 1],
        "nine dimensions": changed(28, struct.pack("<I", 9)),
        "as many dimensions as fit 32 bits": changed(28, b"\xff" * 4),
        "a flag that there is not": changed(24, struct.pack("<I", 2)),
        "another beside the one that there is": changed(24, struct.pack("<I", 1 | 1 << 31)),
        "a size behind the last dimension": changed(48, struct.pack("<Q", 1)),
        "a size behind all that could be": changed(88, struct.pack("<Q", 1 << 40)),
        "a size of 64 bits": tensor_body("float32", (0, 1 << 63), False, b""),
        "fewer dimensions than sizes": changed(28, struct.pack("<I", 1)),
        "a dtype without a name": changed(0, bytes(24)),
        "a name that is not ASCII": changed(0, b"\xe9"),
        "a name with a zero in it": changed(2, b"\0"),
        "a name with a dot in it": changed(3, b"."),
        "a name that begins with a digit": changed(0, b"3"),
    }


def read_tensor(body: bytes) -> Json:
    """What the ring says of a tensor's body, as far as it needs no torch."""
    try:
        dtype, shape, requires_grad = parse_head(body[:HEAD_BYTES])
    except ValueError:
        return {"refused": True}
    told = {"dtype": dtype, "shape": list(shape), "requires_grad": requires_grad}
    return {**told, "elements_at": HEAD_BYTES, "elements": body[HEAD_BYTES:].hex()}


class Stream:
    """Blocks that come to a reader one after the other, and what it must make of each."""

    def __init__(self, about: str, *, begins_at: int = 0, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.about, self.begins_at, self.sequence = about, begins_at, begins_at
        self.chunk_bytes = chunk_bytes
        self.blocks: list[Json] = []

    def document(self) -> Json:
        """The case as it stands in the file."""
        ring: Json = {"max_chunk_bytes": self.chunk_bytes, "max_chunks": BLOCKS}
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

    def spoils(self, part: int, payload: bytes, body: bytes, kind: int) -> Stream:
        """A last part, or a whole message, of a body that is no object: that is reported, and its block is marked."""
        told = {"undecodable": {"kind": kind, "body": body.hex()}}
        return self._add(Frame(self.sequence, len(payload), kind, part, len(body)), payload, told)

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
    cases = [*_good_streams(), *_bad_bodies(), *_bad_frames(), *_bad_parts()]
    about = (
        "blocks as they come to one reader, and for each: a part is taken, a message is delivered or is no object, or the block"
        " is refused"
    )
    return {"kind": "streams", "about": about, "cases": [case.document() for case in cases]}


def _good_streams() -> list[Stream]:
    body = body_of(1, 80)
    plain = Stream("whole messages, of every kind", chunk_bytes=ROOM_BYTES)
    plain.whole(b"").whole(body_of(2, ROOM_BYTES)).whole(NUMBER, PICKLE).whole(body_of(3, ROOM_BYTES), RAW)
    plain.whole(gathered_body(_ASKS_FOR_ONE, [b"abc"]), GATHERED).whole(A_TENSOR, TENSOR).whole(b"end")
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


def _bad_bodies() -> list[Stream]:
    """Bodies that contradict themselves, in frames that are as they should be: they are consumed."""
    gathered = gathered_body(_ASKS_FOR_ONE, [b"abc"])
    bodies = {
        "a pickle that is none": (PICKLE, b"\xff" * 5),
        "a pickle without its end": (PICKLE, NUMBER[:-1]),
        "a gathered body that is a byte too long": (GATHERED, gathered + b"\0"),
        "a gathered body with more buffers than there is room for": (GATHERED, b"\xff" * 8 + gathered[8:]),
        "a tensor of nine dimensions": (TENSOR, _bad_tensors()["nine dimensions"]),
        "a tensor without its elements": (TENSOR, A_TENSOR[:HEAD_BYTES]),
        "a tensor that is a byte too long": (TENSOR, A_TENSOR + b"\0"),
        "a tensor without a byte": (TENSOR, b""),
        "a dtype that there is not, whose name takes all its room": (
            TENSOR,
            tensor_body("a_dtype_that_is_not_here", (), False, b""),
        ),
        "a tensor of a quantised dtype": (TENSOR, tensor_body("qint8", (2,), False, b"\1\2")),
    }
    found = []
    for why, (kind, body) in bodies.items():
        case = Stream(f"no object: {why}", chunk_bytes=ROOM_BYTES).whole(b"before")
        found.append(case.spoils(WHOLE, body, body, kind).whole(b"behind"))
    for why in ("a gathered body that is a byte too long", "a tensor that is a byte too long"):
        kind, body = bodies[why]
        case = Stream(f"no object, and in parts: {why}", chunk_bytes=ROOM_BYTES).takes(FIRST, body[:30], len(body), kind)
        found.append(case.spoils(LAST, body[30:], body, kind).whole(b"behind"))
    return found


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
        "no such kind": good._replace(kind=5),
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
