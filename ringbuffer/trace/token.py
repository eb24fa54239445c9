"""A run as a short text: the setup, the edits of the tables, and every choice that was made, packed into one number.

Form: ``rb2.r2b2p2w1m0a1t0knsc.without=W3.TABLES.COUNT.CHOICES.CHECK``. ``CHOICES`` is the list of choices as one number in
mixed radix (the base of each digit is how many steps were possible there, so that replaying knows it), in base 64. ``TABLES``
is a digest of the tables: a token made with other tables is refused instead of replaying something else. Rules: only characters
that shells and URLs pass unchanged. Where actors sleep, ``s1`` stands behind ``kn``, and edits may be of those rows.
Limits: a token is not meant to be read, and does not survive a change of the tables.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringbuffer.errors import TokenError, VariantError
from ringbuffer.protocol import Variant, Waking, with_waking
from ringbuffer.protocol.waking import concerns_waking

PREFIX = "rb2"
NO_EDITS = "shipped"
EDITS_SEPARATOR = "_"
"""Between edits: a plus sign would be a space in a URL."""
STEPS_MAX = 100_000
"""How long a run may be to have a token."""

_FIELDS = re.compile(r"r(\d{1,4})b(\d{1,4})p(\d{1,4})w(\d{1,4})m(\d{1,4})a([01])t(\d)k([nrwA-Z])(?:s(1))?([a-z_]+)", re.ASCII)
_COUNT = re.compile(r"\d{1,6}", re.ASCII)
_FIELD_NAMES = ("r", "b", "p", "w", "m", "a", "t", "k", "s", "on")


class Schedule:
    """The choices of a token, given back one by one."""

    def __init__(self, packed: int) -> None:
        self._left = packed

    def next(self, base: int) -> int:
        """The next choice, among ``base``."""
        self._left, digit = divmod(self._left, base)
        return digit

    def finish(self) -> None:
        """Raises :class:`TokenError` when choices are left that no step has asked for."""
        if self._left:
            raise TokenError("the token holds more choices than its steps can use: it is damaged")


@dataclass(frozen=True, slots=True)
class Token:
    """A parsed token. ``fields``: the setup, by the letters of the text form."""

    fields: tuple[tuple[str, str], ...]
    edits: tuple[str, ...]
    tables: str
    step_count: int
    packed: int

    @classmethod
    def of_run(
        cls,
        variant: Variant,
        fields: Mapping[str, int | str],
        digits: Sequence[tuple[int, int]],
        waking: Waking | None = None,
    ) -> Token:
        """The token of a run: ``digits`` are its choices, each with the number of steps that were possible."""
        if len(digits) > STEPS_MAX:
            raise TokenError(f"a run of {len(digits)} steps is too long for a token; the most is {STEPS_MAX}")
        packed = 0
        for digit, base in reversed(digits):
            packed = packed * base + digit
        pairs = tuple((name, str(fields[name])) for name in _FIELD_NAMES if name != "s")
        if waking is not None:
            pairs = (*pairs[:-1], ("s", "1"), pairs[-1])
        edits = (*variant.edits, *(waking.edits if waking is not None else ()))
        return cls(pairs, tuple(map(str, edits)), tables_digest(variant, waking), len(digits), packed)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token. Raises :class:`TokenError` for anything that is not one, saying what is wrong."""
        parts = text.strip().split(".")
        if len(parts) != 7 or parts[0] != PREFIX:
            raise TokenError(
                f"{_shown(text)} is no replay token: a token has the form {PREFIX}.SETUP.EDITS.TABLES.COUNT.CHOICES.CHECK"
            )
        if not text.isascii() or _check(".".join(parts[:-1])) != parts[-1]:
            raise TokenError(f"{_shown(text)} is damaged: its check characters do not fit; copy it again, in full")
        _, setup, edits, tables, count, choices, _ = parts
        matched = _FIELDS.fullmatch(setup)
        if matched is None or _COUNT.fullmatch(count) is None or int(count) > STEPS_MAX:
            raise TokenError(f"{_shown(text)} names a setup that this version does not know")
        try:
            packed = int.from_bytes(base64.urlsafe_b64decode(choices + "=" * (-len(choices) % 4)), "little")
        except (ValueError, binascii.Error):
            raise TokenError(f"{_shown(text)} is damaged: its choices cannot be decoded") from None
        names = () if edits == NO_EDITS else tuple(edits.split(EDITS_SEPARATOR))
        fields = tuple((name, found) for name, found in zip(_FIELD_NAMES, matched.groups(), strict=True) if found is not None)
        token = cls(fields, names, tables, int(count), packed)
        if tables_digest(token.variant, token.waking) != tables:
            raise TokenError(f"{_shown(text)} was made with other tables than those of this version; find the run again")
        return token

    def __str__(self) -> str:
        size = (self.packed.bit_length() + 7) // 8
        choices = base64.urlsafe_b64encode(self.packed.to_bytes(size, "little")).decode().rstrip("=")
        setup = "".join((name if name != "on" else "") + value for name, value in self.fields)
        edits = EDITS_SEPARATOR.join(self.edits) or NO_EDITS
        text = ".".join((PREFIX, setup, edits, self.tables, str(self.step_count), choices))
        return f"{text}.{_check(text)}"

    @property
    def variant(self) -> Variant:
        """The tables that the token is about. Raises :class:`TokenError` when its edits cannot be made."""
        sleeps = "s" in dict(self.fields)
        try:
            variant = Variant.parse(*(edit for edit in self.edits if not (sleeps and concerns_waking(edit))))
            assert variant.programs, "both tables have rows, or this has raised"
            return variant
        except VariantError as error:
            raise TokenError(f"the token's edits do not apply: {error}") from error

    @property
    def waking(self) -> Waking | None:
        """The rows of sleeping and waking, where actors sleep. Raises :class:`TokenError` when their edits cannot be made."""
        if "s" not in dict(self.fields):
            return None
        try:
            waking = Waking.parse(*filter(concerns_waking, self.edits))
            assert all(with_waking(program, waking) for program in self.variant.programs), "both sleep, or this has raised"
            return waking
        except VariantError as error:
            raise TokenError(f"the token's edits do not apply: {error}") from error

    def field(self, name: str) -> str:
        """One field of the setup."""
        return dict(self.fields)[name]

    def number(self, name: str) -> int:
        """One field of the setup, as a number."""
        return int(self.field(name))

    def schedule(self) -> Schedule:
        """The choices."""
        return Schedule(self.packed)


def tables_digest(variant: Variant, waking: Waking | None = None) -> str:
    """Six characters that change when a row of the resolved tables changes what it does (not when its reason does)."""
    lines = [
        f"{instruction.row.id} {instruction.row.access!r} {instruction.branches!r}"
        for program in (one if waking is None else with_waking(one, waking) for one in variant.programs)
        for instruction in program.instructions
    ]
    return hashlib.sha256("\n".join([*lines, str(variant.initial_read_flag)]).encode()).hexdigest()[:6]


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
