"""Recordings: what one process did to a ring, one record for each access, in a file of its own.

::

    offset 0
    +------------------+  head                HEAD_BYTES: what recorded whom (see ``Head``), and whether it came to its end
    | prefix  text     |
    +------------------+  HEAD_BYTES
    | record           |  RECORD_BYTES each, in the order in which the process made the accesses
    | ...              |
    +------------------+  the end of the file, or a record of zeros, where the process did not come to its end

The prefix is little-endian: ``PREFIX_MEANINGS`` says what its fields hold; behind it stands a JSON object in UTF-8, the fields
of :class:`Head`. A record is little-endian, too: code, detail, block, value (``RECORD_MEANINGS``).

Rules: one file for each endpoint that ever lived, with all that it did, from its first row on. Who was killed leaves all its
records but, at the most, that of its last access. A look that finds just what the look directly before it has found may be
left out: no run is possible with it that is impossible without it, and the other way round. No time is in a file. Limits: a
checksum tells what was damaged by accident, in a recording that came to its end; it is no signature.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ringbuffer.errors import TraceFileError
from ringbuffer.ranks import name_of

MAGIC: Final = b"SHMREC\0\0"
VERSION: Final = 1
HEAD_BYTES: Final = 4096

OPEN, CLOSED, STOPPED = 0, 1, 2
"""How a recording ended: not at all (the process was killed, or lives), in good order, or because the file could not grow."""
STOOD_IN: Final = 1
"""A bit of ``marks``: this writer has read in the place of a reader that was gone, which is in no file."""

PREFIX: Final = struct.Struct("<8sIIIIQIII")
PREFIX_MEANINGS: Final = {
    "magic": "`SHMREC` and two zero bytes",
    "version": "1",
    "head_bytes": "4096: where the first record begins",
    "status": "0: not ended (killed, or still running); 1: ended in good order; 2: the file could not grow",
    "marks": "1: this writer has stood in for a reader that was evicted; otherwise 0",
    "count": "number of records; 0 unless the status is 1",
    "records_crc": "CRC-32 of all records; 0 unless the status is 1",
    "text_bytes": "length of the JSON object behind this prefix",
    "text_crc": "CRC-32 of that object's bytes",
}
_STATUS_OFFSET: Final = 16
_MARKS_OFFSET: Final = 20

RECORD: Final = struct.Struct("<HHIQ")
RECORD_BYTES: Final = RECORD.size
RECORD_MEANINGS: Final = {
    "code": "1 + the row's place in `rows` of the head; 0: no record, the end; 65535: an interrupt has ended the call",
    "detail": "of a row about several flags: the rank that was visited; of the payload row: 1 if the caller gave up; else 0",
    "block": "the block that the actor was at",
    "value": "what was loaded or stored; of the payload row: what the block held when the caller's part ended; 0 if it gave up",
}
INTERRUPTED: Final = 0xFFFF
_PROBLEM_BYTES_MAX: Final = 1 << 34
"""A longer file is not read into memory."""


class Record(NamedTuple):
    """One access. ``row``: the place of its row in the program, -1 where an interrupt has ended a call."""

    row: int
    detail: int
    block: int
    value: int


@dataclass(frozen=True, slots=True)
class Head:
    """Who was recorded, on which ring, by which tables.

    ``ring``: the segment's name, and ``identity`` its 16 random bytes in hexadecimal. ``rank``: -1 for the writer.
    ``generation``: the how manieth holder of that role. ``start``: how many blocks it was done with when it began. ``tables``:
    the edits, or ``"shipped"``. ``rows``: the clause ids of the program, in its order. ``by``: what has recorded.
    """

    ring: str
    identity: str
    readers: int
    blocks: int
    initial_read_flag: int
    rank: int
    generation: int
    start: int
    tables: str
    rows: tuple[str, ...]
    pid: int = 0
    by: str = ""

    @property
    def who(self) -> str:
        """``the writer``, ``reader 0``; a successor with its number."""
        name = name_of(self.rank)
        return name if self.generation <= 1 else f"{name} (holder {self.generation})"

    def pack(self) -> bytes:
        """The head of a file whose recording has just begun."""
        text = json.dumps(dataclasses.asdict(self)).encode()
        if PREFIX.size + len(text) > HEAD_BYTES:
            raise TraceFileError(f"{len(self.rows)} rows and their ids do not fit the head of a recording")
        prefix = PREFIX.pack(MAGIC, VERSION, HEAD_BYTES, OPEN, 0, 0, 0, len(text), zlib.crc32(text))
        return (prefix + text).ljust(HEAD_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class Recording:
    """One file. ``source``: its name, for messages. ``records``: the bytes of all whole records."""

    source: str
    head: Head
    records: bytes
    status: int = CLOSED
    marks: int = 0

    def __len__(self) -> int:
        return len(self.records) // RECORD_BYTES

    def __iter__(self) -> Iterator[Record]:
        for code, detail, block, value in RECORD.iter_unpack(self.records):
            yield Record(-1 if code == INTERRUPTED else code - 1, detail, block, value)

    @classmethod
    def of(cls, head: Head, records: Iterable[Record], *, source: str = "", status: int = CLOSED, marks: int = 0) -> Recording:
        """A recording with those records."""
        packed = [RECORD.pack(INTERRUPTED if one.row < 0 else one.row + 1, *one[1:]) for one in records]
        return cls(source or head.who, head, b"".join(packed), status, marks)

    def save(self, path: str | Path) -> None:
        """Write the file, with its checksum."""
        head = bytearray(self.head.pack())
        struct.pack_into("<II", head, _STATUS_OFFSET, self.status, self.marks)
        Path(path).write_bytes(bytes(head) + self.records)
        if self.status == CLOSED:
            seal(path, HEAD_BYTES + len(self.records))

    @classmethod
    def read(cls, path: str | Path) -> Recording:
        """Read a file. Raises :class:`TraceFileError`, saying what is wrong with it."""
        source = str(path)
        try:
            with Path(path).open("rb") as file:
                data = file.read(_PROBLEM_BYTES_MAX)
        except (OSError, ValueError) as error:
            raise TraceFileError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        prefix, head = _head(source, data)
        _, _, _, status, marks, count, crc, _, _ = prefix
        records = data[HEAD_BYTES:]
        if status == CLOSED:
            _check_sealed(source, records, count, crc)
        else:
            records = _whole_records(records)
        return cls(source, head, records, status, marks)


def _head(source: str, data: bytes) -> tuple[tuple[Any, ...], Head]:
    if len(data) < PREFIX.size or not data.startswith(MAGIC):
        raise TraceFileError(f"{source} is no recording: it does not begin with SHMREC and two zero bytes")
    prefix = PREFIX.unpack_from(data)
    _, version, head_bytes, status, _, _, _, text_bytes, text_crc = prefix
    if version != VERSION:
        raise TraceFileError(f"{source} is a recording of version {version}, and this reads version {VERSION}")
    if len(data) < HEAD_BYTES or head_bytes != HEAD_BYTES or status not in (OPEN, CLOSED, STOPPED):
        raise TraceFileError(f"{source} is damaged: its head is not whole")
    text = data[PREFIX.size : min(PREFIX.size + text_bytes, HEAD_BYTES)]
    if len(text) != text_bytes or zlib.crc32(text) != text_crc:
        raise TraceFileError(f"{source} is damaged: the checksum of its head is not right")
    try:
        fields = json.loads(text)
        head = Head(**{**fields, "rows": tuple(fields["rows"])})
    except (ValueError, TypeError, KeyError) as error:
        raise TraceFileError(f"{source} is damaged: its head does not say what a head says ({error})") from error
    _check_head(source, head)
    return prefix, head


def _check_head(source: str, head: Head) -> None:
    numbers = (head.readers, head.blocks, head.initial_read_flag, head.rank, head.generation, head.start)
    if any(not isinstance(number, int) or isinstance(number, bool) for number in numbers) or not all(
        isinstance(text, str) for text in (head.ring, head.identity, head.tables, head.by, *head.rows)
    ):
        raise TraceFileError(f"{source} is damaged: a field of its head is not of its kind")
    right = (
        0 <= head.readers <= 1 << 16 and 1 <= head.blocks <= 1 << 32 and head.initial_read_flag in (0, 1) and head.start >= 0
    )
    if not right or not -1 <= head.rank < head.readers or not 1 <= len(head.rows) < INTERRUPTED:
        raise TraceFileError(f"{source} is damaged: its head tells of a ring that there cannot be")


def _check_sealed(source: str, records: bytes, count: int, crc: int) -> None:
    if len(records) != count * RECORD_BYTES:
        raise TraceFileError(
            f"{source} is truncated: it came to its end with {count} records, and {len(records) // RECORD_BYTES} are there"
            if len(records) < count * RECORD_BYTES
            else f"{source} is damaged: there is something behind its {count} records"
        )
    if zlib.crc32(records) != crc:
        raise TraceFileError(f"{source} is damaged: the checksum of its records is not right")


def _whole_records(records: bytes) -> bytes:
    """Up to the last whole record of a recording that did not come to its end."""
    codes = memoryview(records)[: len(records) // RECORD_BYTES * RECORD_BYTES].cast("B")
    low, high = 0, len(codes) // RECORD_BYTES
    while low < high:  # the codes of records are not 0, and all behind the last are
        middle = (low + high) // 2
        at = middle * RECORD_BYTES
        low, high = (middle + 1, high) if codes[at] or codes[at + 1] else (low, middle)
    return records[: low * RECORD_BYTES]


def seal(path: str | Path, end: int) -> None:
    """Bring the recording in that file, whose records end there, to its end: cut it off, and say so in its head."""
    with Path(path).open("r+b") as file:
        file.truncate(end)
        file.seek(HEAD_BYTES)
        crc = 0
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
        file.seek(_MARKS_OFFSET)
        marks = file.read(4)
        file.seek(_STATUS_OFFSET)
        file.write(struct.pack("<I4sQI", CLOSED, marks, (end - HEAD_BYTES) // RECORD_BYTES, crc))


def stop(path: str | Path, end: int) -> None:
    """Say in the head that the file could not grow, and cut it off behind its last record."""
    with Path(path).open("r+b") as file:
        file.truncate(end)
        file.seek(_STATUS_OFFSET)
        file.write(struct.pack("<I", STOPPED))


def mark(path: str | Path, marks: int) -> None:
    """Set ``marks`` in the head of a recording that goes on."""
    with Path(path).open("r+b") as file:
        file.seek(_MARKS_OFFSET)
        file.write(struct.pack("<I", marks))
