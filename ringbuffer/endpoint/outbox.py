"""The slow way of sending: whatever the runner's one call does not do.

It waits, and lets a message that is larger than a block flow through as many as it takes. Rules: a message that a wait has
left unfinished can go on from there as long as nothing else was published; what is published instead withdraws it, because
its first part says to the readers that it begins anew. An interrupted message is withdrawn by the next, too, as nobody knows
whether the part that was being sent was. Limits: until it is sent or withdrawn, a message refers to the memory of what is
sent. That of a tensor can be freed all the same, by resizing or sharing it: what is left unfinished is not read from there.
"""

from __future__ import annotations

from typing import Any

from ringbuffer.codec.frames import Outgoing
from ringbuffer.codec.tensors import places_of
from ringbuffer.compiled import Runner
from ringbuffer.endpoint.inbox import Find
from ringbuffer.errors import EncodeError, RingBufferError


class Outbox:
    """What a writer is sending. ``frames``: its blocks; ``find``: how it comes by the next."""

    def __init__(self, runner: Runner, frames: list[memoryview], find: Find) -> None:
        self._runner, self._frames, self._find = runner, frames, find
        self._unfinished: tuple[Outgoing, int, list[tuple[int, int]]] | None = None
        """A message that a wait has left unfinished, the number of the block that its next part goes into, and where its
        tensors lay."""

    def send(self, kind: int, body: Any, deadline: float | None) -> None:
        """Send a message. Raises what ``find`` raises, with ``sent_bytes`` and ``total_bytes`` of the message."""
        self._send(Outgoing(kind, body), deadline)

    def resume(self, deadline: float | None) -> bool:
        """Send the rest of the message that a wait has left unfinished. Whether there was one.

        Raises :class:`EncodeError`, and forgets it, if the memory of a tensor in it was freed since.
        """
        unfinished = self._unfinished
        if unfinished is None or unfinished[1] != self._runner.done():
            self.withdraw()
            return False
        if places_of(unfinished[0].owners) != unfinished[2]:
            self.withdraw()
            raise EncodeError(
                "the rest of the message cannot be sent: a tensor in it was resized, or its memory moved, since the wait ended;"
                " no reader gets the message: send it anew"
            )
        self._send(unfinished[0], deadline)
        return True

    def withdraw(self) -> None:
        """Forget what is unfinished, as something else is published."""
        self._unfinished = None

    def _send(self, message: Outgoing, deadline: float | None) -> None:
        runner, is_done = self._runner, False
        try:
            while not is_done:
                self._find(deadline)
                message.fill(self._frames[runner.where()], runner.done())
                runner.finish()
                is_done = message.sent()
        except RingBufferError as error:
            if message.is_begun:
                self._unfinished = message, runner.done(), places_of(message.owners)
                error.args = (_in_the_middle(str(error), message),)
            error.sent_bytes, error.total_bytes = message.sent_bytes, message.total_bytes
            raise
        self.withdraw()


def _in_the_middle(text: str, message: Outgoing) -> str:
    """What an error says that has ended a wait in the middle of a message."""
    said, _, _ = text.partition(". Nothing was changed")
    return (
        f"{said}. {message.sent_bytes} of the message's {message.total_bytes} bytes are sent: resume() sends the rest; whatever"
        " else is sent withdraws it, and no reader gets it"
    )
