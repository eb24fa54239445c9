"""What is sent, and how a reader knows that it got the right thing.

A payload has a cycle of ready-made messages, all different, so that neither making nor checking one costs much beside sending
it. Rules: the cycle is longer than the ring, and its length a prime number, so that a message of another lap is another
message. Up to ``COMPARED_BYTES`` a reader compares every byte of every message. Longer ones carry their number at the head,
in the middle and at the tail (a tensor: at four places), and these are compared, with the length: a copy that is overtaken by
the next lap has two different numbers. In the first run, which is not timed, every byte of every message is compared, whatever
its size. The last message of a run carries how many there were. Limits: between the numbers of a long message, only that first
run looks; of a loss of exactly one whole cycle, only the last message tells.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringbuffer.errors import BenchError

BYTES: Final = "bytes"
DICT: Final = "dict"
TENSOR: Final = "tensor"
KINDS: Final = (BYTES, DICT, TENSOR)

_STAMP: Final = struct.Struct("<QQ")
COMPARED_BYTES: Final = 4096
SMALLEST_BYTES: Final = 3 * _STAMP.size
LARGEST_BYTES: Final = 64 << 20
TENSOR_BYTES: Final = 1 << 20
_CYCLE_OF_SMALL: Final = 1021
_CYCLE_OF_MIDDLE: Final = 31
_CYCLE_OF_LARGE: Final = 13
_SMALL_BYTES: Final = 256

_MASK: Final = (1 << 64) - 1
_FINAL: Final = 1 << 62
"""Added to the number in the last message of a run, so that it is like none of the cycle."""

_UNITS: Final = {"": 1, "b": 1, "kib": 1 << 10, "k": 1 << 10, "mib": 1 << 20, "m": 1 << 20}
_SIZE: Final = re.compile(r"(\d+)\s*([a-z]*)")


@dataclass(frozen=True, slots=True)
class Payload:
    """One kind of message. ``size_bytes`` is what it holds, without what a peer adds to it."""

    name: str
    kind: str
    size_bytes: int

    @property
    def is_bytes(self) -> bool:
        """Whether a message is a ``bytes``, and not an object that has to be encoded."""
        return self.kind == BYTES

    @property
    def cycle(self) -> int:
        """How many different messages there are."""
        if self.kind == DICT or self.size_bytes <= _SMALL_BYTES:
            return _CYCLE_OF_SMALL
        return _CYCLE_OF_MIDDLE if self.size_bytes <= COMPARED_BYTES else _CYCLE_OF_LARGE


def parse_payload(text: str) -> Payload:
    """``64``, ``4KiB``, ``1MiB``, ``dict`` or ``tensor``. Raises :class:`BenchError` for anything else."""
    word = text.strip().lower()
    if word == DICT:
        return Payload(DICT, DICT, len(str(_dict_message(0))))
    if word == TENSOR:
        return Payload(TENSOR, TENSOR, TENSOR_BYTES)
    match = _SIZE.fullmatch(word)
    if match is None or match[2] not in _UNITS:
        raise BenchError(f"payload {text!r:.40} is none of: a size such as 64, 4KiB or 1MiB, {DICT}, {TENSOR}")
    size = int(match[1]) * _UNITS[match[2]]
    if not SMALLEST_BYTES <= size <= LARGEST_BYTES:
        raise BenchError(f"payload {text!r:.40} has {size} bytes, and it lies between {SMALLEST_BYTES} and {LARGEST_BYTES}")
    return Payload(size_name(size), BYTES, size)


def size_name(size_bytes: int) -> str:
    """A size as it is written: ``64 B``, ``4 KiB``, ``1 MiB``."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"


def messages(payload: Payload) -> list[Any]:
    """The messages of the cycle, for the writer."""
    return [_make(payload, number) for number in range(payload.cycle)]


def final_message(payload: Payload, total: int) -> Any:
    """The last message of a run, which says how many there were with it."""
    return _make(payload, _FINAL + total)


def expected(payload: Payload, *, every_byte: bool, lent: bool) -> list[Any]:
    """What to compare with the messages of the cycle, for a reader: ``expected[i] != message`` says that it is wrong.

    ``every_byte``: look at all of it, whatever its size. ``lent``: the messages are views of memory, not ``bytes``.
    """
    return [_expect(payload, number, every_byte, lent) for number in range(payload.cycle)]


def expected_final(payload: Payload, total: int, *, every_byte: bool, lent: bool) -> Any:
    """The same for the last message of a run."""
    return _expect(payload, _FINAL + total, every_byte, lent)


def tensor_library() -> str:
    """What a tensor is made with: ``torch``, ``numpy``, or nothing where neither is there."""
    for name in ("torch", "numpy"):
        if importlib.util.find_spec(name) is not None:
            return name
    return ""


def compute_alone(payload: Payload) -> None:
    """Have this process compare tensors in one thread: torch's others wait by spinning, and keep its neighbours waiting."""
    if payload.kind == TENSOR and tensor_library() == "torch":
        importlib.import_module("torch").set_num_threads(1)


class Numbers:
    """Stands for a long message: unequal to what does not carry its number at the head, in the middle and at the tail."""

    __slots__ = ("_middle", "_size_bytes", "_stamp", "_tail")

    def __init__(self, number: int, size_bytes: int) -> None:
        self._stamp = _stamp(number)
        self._size_bytes = size_bytes
        self._middle = slice(_middle(size_bytes), _middle(size_bytes) + _STAMP.size)
        self._tail = slice(size_bytes - _STAMP.size, size_bytes)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, got: object) -> bool:
        return not self != got

    def __ne__(self, got: Any) -> bool:
        stamp = self._stamp
        return (
            len(got) != self._size_bytes
            or got[: _STAMP.size] != stamp
            or got[self._middle] != stamp
            or got[self._tail] != stamp
        )


class Whole:
    """Stands for a message of which every byte is compared, be it ``bytes`` or a view."""

    __slots__ = ("_number", "_payload")

    def __init__(self, payload: Payload, number: int) -> None:
        self._payload = payload
        self._number = number

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, got: object) -> bool:
        return not self != got

    def __ne__(self, got: Any) -> bool:
        return bytes(got) != _bytes_message(self._number, self._payload.size_bytes)


class Values:
    """Stands for a tensor: unequal to one of which four values, the first and the last among them, are not its number.

    ``every``: or any other's. The four are taken at once, as torch takes as long for one of them.
    """

    __slots__ = ("_every", "_length", "_step", "_value", "_values")

    def __init__(self, number: int, length: int, every: bool) -> None:
        assert length % 3 == 1, "the last value lies a whole number of steps behind the first"
        self._value = _tensor_value(number)
        self._values = [self._value] * 4
        self._length = length
        self._step = (length - 1) // 3
        self._every = every

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, got: object) -> bool:
        return not self != got

    def __ne__(self, got: Any) -> bool:
        if len(got) != self._length or got[:: self._step].tolist() != self._values:
            return True
        return self._every and not bool((got == self._value).all())


def describe(payload: Payload, number: int | None, got: Any, due: str) -> str:
    """What is wrong with what came where ``due`` was due, which is message ``number`` of the cycle."""
    if payload.kind != BYTES:
        return f"{due} was due, and what came is {got!r:.200}"
    if len(got) != payload.size_bytes:
        return f"{due} was due, and {len(got)} bytes came instead of {payload.size_bytes}"
    head, tail = (_number_at(got, place) for place in (0, payload.size_bytes - _STAMP.size))
    if head is None or tail is None or head != tail:
        return f"{due} was due, and a torn one came: its head says {head}, its tail {tail}"
    if head == number:
        return f"{due} was due, and a torn one came: head and tail are right, and what is between is not"
    return f"{due} was due, and message {head} of the cycle came: lost, repeated or out of order"


def _expect(payload: Payload, number: int, every_byte: bool, lent: bool) -> Any:
    if payload.kind == TENSOR:
        return Values(number, payload.size_bytes // 4, every_byte)
    if payload.kind == DICT:
        return _dict_message(number)
    if every_byte and (lent or payload.size_bytes > COMPARED_BYTES):
        return Whole(payload, number)
    if lent or payload.size_bytes > COMPARED_BYTES:
        return Numbers(number, payload.size_bytes)
    return _bytes_message(number, payload.size_bytes)


def _make(payload: Payload, number: int) -> Any:
    if payload.kind == TENSOR:
        return _tensor_message(number)
    if payload.kind == DICT:
        return _dict_message(number)
    return _bytes_message(number, payload.size_bytes)


def _stamp(number: int) -> bytes:
    return _STAMP.pack(number, number ^ _MASK)


def _middle(size_bytes: int) -> int:
    """Where the number in the middle begins."""
    return (size_bytes - _STAMP.size) // 2


def _number_at(got: Any, place: int) -> int | None:
    """The number that a message carries at a place, or ``None`` where there is none."""
    number, check = _STAMP.unpack(bytes(got[place : place + _STAMP.size]))
    return int(number) if number ^ _MASK == check else None


def _bytes_message(number: int, size_bytes: int) -> bytes:
    """Its number at the head, in the middle and at the tail; between, a pattern that depends on it."""
    filler = bytes((number * 7 + step * 13) & 255 for step in range(min(251, size_bytes)))
    body = bytearray(filler * (size_bytes // len(filler) + 1))[:size_bytes]
    stamp = _stamp(number)
    for place in (0, _middle(size_bytes), size_bytes - _STAMP.size):
        body[place : place + _STAMP.size] = stamp
    return bytes(body)


def _dict_message(number: int) -> dict[str, Any]:
    return {
        "step": number,
        "request_ids": ["cmpl-3f2a91", "cmpl-77b0c4", "cmpl-e01d55"],
        "tokens": [15496, 11, 995, number],
        "temperature": 0.7,
        "finished": False,
        "last": number,
    }


def _tensor_value(number: int) -> float:
    return float(number % _FINAL % 65_521 + (0.5 if number >= _FINAL else 0.0))


def _tensor_message(number: int) -> Any:
    length, value = TENSOR_BYTES // 4, _tensor_value(number)
    library = importlib.import_module(tensor_library())
    return library.full((length,), value, dtype=library.float32)


def rotated(items: Sequence[Any], start: int) -> list[Any]:
    """The items, from ``start`` on and then from the beginning."""
    return [*items[start:], *items[:start]]
