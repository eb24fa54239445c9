"""How vectors are written: JSON with one case, or one step, on a line, and bytes as hexadecimal digits.

Rules: the same value gives the same text, on every machine and release of Python. Numbers stay below 2 to the 53rd, which is as
far as every reader of JSON is exact; what may be larger is given as bytes. Limits: keys are written in the order in which they
were put in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from ringbuffer.vectors.machine import Changes

NUMBER_MAX: Final = 1 << 53

Json = dict[str, Any]


def pack(value: Any) -> str:
    """One line of JSON."""
    _check(value)
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def dump(document: Json) -> str:
    """A document: each of its keys on a line, and each member of a list of objects on one of its own."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            members = ",\n".join(f"  {pack(member)}" for member in value)
            lines.append(f" {pack(key)}: [\n{members}\n ]")
        else:
            lines.append(f" {pack(key)}: {pack(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _check(value: Any) -> None:
    if isinstance(value, dict):
        for member in value.values():
            _check(member)
    elif isinstance(value, list):
        for member in value:
            _check(member)
    elif isinstance(value, int):
        assert abs(value) < NUMBER_MAX, "every reader of JSON is exact up to here"
    else:
        assert value is None or isinstance(value, str), "numbers, texts, lists and objects"


def runs(changes: Changes) -> list[list[Any]]:
    """Changes as they stand in the files: ``[[offset, hex], …]``."""
    return [[offset, new.hex()] for offset, new in changes]


def read_runs(found: Iterable[Iterable[Any]]) -> Changes:
    """What :func:`runs` has written."""
    return tuple((offset, bytes.fromhex(text)) for offset, text in found)


def crc(number: int) -> str:
    """A CRC-32 as it stands in the files: eight digits."""
    return f"{number:08x}"
