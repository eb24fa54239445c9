"""A run in words: who ran which lines, what that changed in the shared memory, what was returned, and where the next took over.

Rules: what one actor runs without being interrupted is one paragraph; the story of the same schedule is the same to the
letter, so it holds no addresses, no random names, and no times of day.
"""

from __future__ import annotations

import inspect
import re
from types import CodeType, FrameType

from ringbuffer.interleaving.actors import Actor
from ringbuffer.interleaving.code import line_in_words
from ringbuffer.interleaving.watching import Watch

VALUE_CHARACTERS_MAX = 80
NOTES_MAX = 12
FUNCTIONS_MAX = 4
PARAGRAPHS_MAX = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def shown(value: object, watch: Watch) -> str:
    """A value in one short line, without addresses and random names."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    text = watch.anonymous(_ADDRESS.sub("", text))
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + "…"


Line = tuple[CodeType, int]


class _Paragraph:
    """What one actor did in one go."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.lines: list[Line] = []
        self.notes: list[str] = []
        self.end = ""
        self.is_idle = False
        """Whether it is one look of a round in which all wait and time passes; until it goes on or changes something."""

    def note(self, text: str) -> None:
        if text not in self.notes[-1:]:
            self.notes.append(text)

    def text(self, number: int) -> str:
        """The paragraph in the order of time: where it begins, what came of it, where it ends, and how."""
        half = NOTES_MAX // 2
        notes = self.notes
        if len(notes) > NOTES_MAX:
            notes = [*notes[:half], f"… {len(notes) - 2 * half} more …", *notes[-half:]]
        texts = [f"{number}. {self.actor.name} {self._functions()}"]
        if self.lines:
            texts.append(f"from {line_in_words(*self.lines[0])}")
        texts += [f"  - {note}" for note in notes]
        if len(self.lines) > 1:
            texts.append(f"to {line_in_words(*self.lines[-1])}")
        return "\n   ".join(texts + ([self.end] if self.end else []))

    def _functions(self) -> str:
        names = list(dict.fromkeys(f"`{code.co_name}`" for code, _ in self.lines if not code.co_name.startswith("<")))
        if not names:
            return "goes on"
        return "runs " + ", ".join(names[:FUNCTIONS_MAX]) + (", …" if len(names) > FUNCTIONS_MAX else "")


class Story:
    """Listens to a run (as ``Recorder`` and as ``Listener``), and tells it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._paragraphs: list[_Paragraph] = []
        self._next: dict[int, Line] = {}
        self._acted: dict[int, Line] = {}
        self._idle_seconds: list[float] = []
        self._is_idle = False

    def switched(self, actor: Actor, *, was_preempted: Actor | None) -> None:
        """Another actor has the baton, or the same one again."""
        if was_preempted is not None and was_preempted.index in self._next:
            before = line_in_words(*self._next[was_preempted.index])
            self._paragraphs[-1].end = f"it is interrupted in {before}"
        self._paragraphs.append(_Paragraph(actor))
        self._paragraphs[-1].is_idle = self._is_idle

    def waits(self, actor: Actor, *, is_asleep: bool) -> None:
        """The actor waits, having looked."""
        del actor
        self._paragraphs[-1].end = "it sleeps" if is_asleep else "it waits"

    def idled(self, seconds: float) -> None:
        """All wait, and time passes."""
        self._is_idle = True
        self._idle_seconds.append(seconds)

    def changed(self, actor: Actor) -> None:
        """What the actor did last has changed the memory."""
        self._is_idle = self._paragraphs[-1].is_idle = False
        line = self._acted.get(actor.index)
        where = f"{line_in_words(*line)} " if line else ""
        self._paragraphs[-1].note(f"{where}changes shared bytes {self._watch.changes()}")

    def at(self, actor: Actor, frame: FrameType) -> None:
        """The actor is before an opcode or a line."""
        self._next[actor.index] = (frame.f_code, frame.f_lineno)

    def ran(self, actor: Actor, frame: FrameType, *, is_step: bool) -> None:
        """The actor goes on with that opcode or line, in this turn."""
        line = (frame.f_code, frame.f_lineno)
        lines = self._paragraphs[-1].lines
        if lines[-1:] != [line]:
            lines.append(line)
        if is_step:
            self._acted[actor.index] = line

    def returned(self, actor: Actor, frame: FrameType, value: object) -> None:
        """A function returns; what generators yield and what expressions make in passing is not told."""
        is_told = not frame.f_code.co_name.startswith("<") and not frame.f_code.co_flags & inspect.CO_GENERATOR
        if value is not None and is_told:
            self._paragraphs[-1].note(f"`{frame.f_code.co_name}` returns {shown(value, self._watch)}")

    def ended(self, actor: Actor) -> None:
        """The actor's body has ended."""
        self._paragraphs[-1].is_idle = False
        if actor.error is None:
            self._paragraphs[-1].end = f"it ends and returns {shown(actor.result, self._watch)}"

    def told(self, error: BaseException | None, failed: str | None) -> str:
        """The whole story."""
        texts = self._texts()
        if len(texts) > PARAGRAPHS_MAX:
            half = PARAGRAPHS_MAX // 2
            texts = [*texts[:half], f"… {len(texts) - 2 * half} more turns …", *texts[-half:]]
        if error is None:
            return "\n".join([*texts, "No failure."])
        who = f"{failed}: " if failed else ""
        message = self._watch.anonymous(_ADDRESS.sub("", str(error)))
        return "\n".join([*texts, f"Failure: {who}{type(error).__name__}" + (f": {message}" if message else "")])

    def _texts(self) -> list[str]:
        """The paragraphs; rounds in which all wait are one sentence."""
        texts: list[str] = []
        was_idle = False
        for paragraph in self._paragraphs:
            if not paragraph.is_idle:
                texts.append(paragraph.text(len(texts) + 1))
            elif not was_idle:
                texts.append(f"{len(texts) + 1}. all wait; time passes, and they look again")
            was_idle = paragraph.is_idle
        if self._idle_seconds:
            texts.append(f"Time passed, to {self._idle_seconds[-1]:g} s, only while all waited.")
        return texts
