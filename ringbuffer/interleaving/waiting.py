"""When an actor is waiting: it has come back to the same place with the same local state, and nothing has changed meanwhile.

Rules. Looked at where a jump goes backwards, where a line comes back to an earlier one, where a function is called again from
the same place by code that is not traced, and where ``sleep`` is called. An actor that would only do the same again *waits*,
until another actor changes something; that loses no run, because its next rounds would end where this one did.

* Local state: the variables of the frame; simple values, and views of memory, by value; all else by identity.
* A loop that counts its rounds never comes back to the same state. One that has gone around :data:`ROUNDS_MAX` times without a
  change of what is shared counts as waiting, too: that may lose runs of a long loop that only reads, and is said here.

Limits: what an iterator holds is not seen: ``for _ in repeat(None, 5)`` waits in its second round, and has the others only
when they change something or when all wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROUNDS_MAX = 100
_SIMPLE = (int, float, str, bytes, bool, type(None), complex)
_VIEW_BYTES_MAX = 4096
_DEPTH_MAX = 3


def _value(value: object, depth: int) -> object:
    if type(value) in _SIMPLE:
        return value
    if type(value) is memoryview:
        try:
            return ("view", bytes(value)) if value.nbytes <= _VIEW_BYTES_MAX else ("large view", value.nbytes)
        except ValueError:
            return "released view"
    if type(value) is bytearray:
        return ("bytearray", bytes(value))
    if type(value) in (tuple, list) and depth:
        assert isinstance(value, tuple | list)
        return (type(value), *(_value(part, depth - 1) for part in value))
    return _Same(value)


class _Same:
    """An object that equals only itself; kept, so that its identity is not given to another meanwhile."""

    __slots__ = ("_object",)

    def __init__(self, kept: object) -> None:
        self._object = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._object is other._object

    def __hash__(self) -> int:
        return id(self._object)


def snapshot(variables: Mapping[str, object]) -> dict[str, object]:
    """The local state, to be compared with a later one."""
    return {name: _value(value, _DEPTH_MAX) for name, value in variables.items()}


@dataclass(slots=True)
class Loop:
    """One place that is come back to: the state there, what version of all that is shared, and the rounds without change."""

    state: dict[str, object] | None = None
    version: tuple[int, int] = (-1, -1)
    rounds: int = 0
    written: int = -1

    def is_idle(self, variables: Mapping[str, object], version: tuple[int, int], written: int) -> bool:
        """Whether the round that ends here did nothing but look.

        ``version`` counts what anybody may have changed, and what this actor may have; ``written``, what it surely has.
        """
        state = snapshot(variables)
        idle = version == self.version and state == self.state
        self.rounds = self.rounds + 1 if written == self.written else 0
        self.state, self.version, self.written = state, version, written
        return idle or self.rounds >= ROUNDS_MAX
