"""What the protocol is: cases, rows, variants, properties, and the oracle. Pure, standard library only."""

from ringbuffer.protocol.cases import Case, classify, missing_readers, reader_may_read
from ringbuffer.protocol.program import Branch, Edge, Instruction, Program, resolve
from ringbuffer.protocol.recovery import reader_resumes_at, with_notes, writer_resumes_at
from ringbuffer.protocol.table import READER, WRITER, Access, Flag, Kind, Ordering, Outcome, Role, Row, Table, Then
from ringbuffer.protocol.variant import ORIGINAL, PROTOCOL, RING, SCAN, Edit, Variant
from ringbuffer.protocol.waking import Waking, can_sleep, executed, with_waking

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
    "Waking",
    "can_sleep",
    "classify",
    "executed",
    "missing_readers",
    "reader_may_read",
    "reader_resumes_at",
    "resolve",
    "with_notes",
    "with_waking",
    "writer_resumes_at",
]
