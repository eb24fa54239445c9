"""Which programs an endpoint can run, and where in them it has its part, and lies down.

Rules: this module knows rows, not the protocol. Limits: what Python and C each cannot run on top of that, they say themselves.
"""

from __future__ import annotations

from ringbuffer.errors import VariantError
from ringbuffer.protocol import Branch, Edge, Instruction, Program


def payload_of(program: Program) -> Instruction:
    """The row in which the caller has its part. Raises :class:`VariantError` for a table that no endpoint can run."""
    payloads = [instruction for instruction in program.instructions if instruction.row.is_payload]
    if len(payloads) != 1:
        raise VariantError(f"a real ring runs tables with one payload row, and this {program.role.value}'s has {len(payloads)}")
    for instruction in program.instructions:
        if any(branch.edge is Edge.RESTARTED and branch.pc for _, branch in instruction.branches):
            raise VariantError(f"{instruction.row.id} leads back into its table: explore that on a simulated memory")
    return payloads[0]


def rest_of(program: Program) -> Branch | None:
    """Where waiting leads in a program in which that is lying down."""
    branches = (branch for one in program.instructions for _, branch in one.branches)
    return next((branch for branch in branches if branch.edge is Edge.WAITED and branch.pc), None)
