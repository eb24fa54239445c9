"""What the protocol is: cases, rows, variants, properties, and the oracle. Pure, standard library only."""

from ringbuffer.protocol.cases import Case, classify, missing_readers, reader_may_read
from ringbuffer.protocol.program import Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.table import READER, WRITER, Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then
from ringbuffer.protocol.variant import ORIGINAL, PROTOCOL, RING, SCAN, Edit, Variant

__all__ = [
    "ORIGINAL",
    "PROTOCOL",
    "READER",
    "RING",
    "SCAN",
    "WRITER",
    "Access",
    "Branch",
    "Case",
    "Edge",
    "Edit",
    "Flag",
    "Instruction",
    "Kind",
    "Ordering",
    "Outcome",
    "Program",
    "Role",
    "Row",
    "Table",
    "Then",
    "Variant",
    "classify",
    "missing_readers",
    "reader_may_read",
    "resolve",
]
