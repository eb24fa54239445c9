"""A message read in place: arrays and tensors that lie in the block itself, and how they end.

Inside the ``with`` the message's arrays are read-only, and its tensors count what is written to them, as torch knows no
read-only ones. At its end the writes are looked at, and the message's own arrays and tensors are emptied: they have no
elements after that, and do not refer to the block, so that the variable of the ``with`` may go on to exist. What else refers
to the block then (a slice, an array in a second variable, a view by another library) still does, and who lent the block out
finds it by counting references.

Rules: nothing here refers to the block after ``release``. An array is emptied only if nobody has got a reference to it, but
for one to the message as a whole: that is the variable of the ``with``. Limits: buffers in the pickle itself, those of no
bytes, are the message's own. A write through ``tensor.data`` or ``tensor.numpy()`` is not noticed. A ``with`` whose variable
was an array, and was replaced by something that lies on it without being a slice of it (``x = memoryview(x)``), is not told
from one whose variable still is that array.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import sys
import traceback
from collections.abc import Callable
from sys import getrefcount
from typing import Any, Final

from ringbuffer import tensors
from ringbuffer.errors import FrameError, ReadOnlyError
from ringbuffer.frames import BYTES, PICKLE
from ringbuffer.message import check_kind, spans, undecodable

_REBUILD_ARRAY: Final = {("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer")}
_REBUILD_PARAMETER: Final = ("torch._utils", "_rebuild_parameter")


class Views:
    """A message and what of it lies in the block. Attribute: ``obj``, the message, until ``release``."""

    __slots__ = ("_homes", "_lent", "_obj_home", "_writes", "obj")

    def __init__(self, obj: Any, lent: list[Any]) -> None:
        self.obj = obj
        self._lent = lent
        self._writes = [tensors.writes_to(one) if tensors.is_tensor(one) else 0 for one in lent]
        self._homes: list[int] = []
        self._obj_home = 0

    def _settle(self) -> Views:
        """Count the references that the message has of itself. It is not yet given away, and nothing else refers to it."""
        self._homes, self._obj_home = self._references(), getrefcount(self.obj)
        return self

    def _references(self) -> list[int]:
        return [getrefcount(one) for one in self._lent]

    def check(self) -> None:
        """Raise :class:`ReadOnlyError` if a tensor of the message was written to, and say which."""
        for one, writes in zip(self._lent, self._writes, strict=True):
            if tensors.is_tensor(one) and tensors.writes_to(one) != writes:
                raise ReadOnlyError(
                    f"a tensor of shape {tuple(one.shape)} and dtype {one.dtype} was written to inside the with: it lies in"
                    " the block, which every reader reads, and those that come later get what was written. Write to a"
                    " clone() of it, or take the message with dequeue"
                )

    def release(self) -> None:
        """End the message: empty its arrays and tensors, and forget everything. To do it again does nothing."""
        outside = [now - home for now, home in zip(self._references(), self._homes, strict=True)]
        if getrefcount(self.obj) - self._obj_home <= 1:
            for one, references in zip(self._lent, outside, strict=True):
                if references <= (one is self.obj):
                    _end(one)
        self._lent.clear()
        self._homes.clear()
        self._writes.clear()
        self.obj = None


def decode_views(kind: int, body: memoryview) -> Views:
    """The message in ``body``, which is a writable view of a block, as views of it. Raises as :func:`message.decode` does."""
    assert not body.readonly, "torch can lay no tensor on memory that cannot be written to"
    lent: list[Any] = []
    try:
        if kind == PICKLE:
            return Views(pickle.loads(body), lent)._settle()
        if kind == BYTES:
            lent.append(body.toreadonly())
            return Views(lent[0], lent)._settle()
        check_kind(kind)
        return Views(_load(body, lent), lent)._settle()
    except FrameError:
        body.release()
        raise
    except Exception as error:
        _forget(error)
        lent.clear()
        raise undecodable(body, error) from error


def _load(body: memoryview, lent: list[Any]) -> Any:
    (begin, end), buffers = spans(body)
    with body[begin:end] as pickled:
        unpickler = _Unpickler(io.BytesIO(pickled), buffers=_lend(body, buffers, lent))
    unpickler.lent = lent
    unpickler.places = {id(view): body[begin:end] for view, (begin, end) in zip(lent, buffers, strict=True)}
    return unpickler.load()


def _lend(body: memoryview, buffers: list[tuple[int, int]], lent: list[Any]) -> list[memoryview]:
    for begin, end in buffers:
        with body[begin:end] as view:
            lent.append(view.toreadonly())
    return lent[:]


class _Unpickler(pickle.Unpickler):
    """Writes down the arrays and tensors that it makes on the block.

    What it hands to the pickle does not refer to the unpickler, whose memory of objects would then outlive it.
    """

    lent: list[Any]
    places: dict[int, memoryview]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found is tensors.rebuild_tensor:
            return functools.partial(_rebuild_tensor, self.lent, self.places)
        if (module, name) in _REBUILD_ARRAY:
            return functools.partial(_noted, self.lent, found)
        if (module, name) == _REBUILD_PARAMETER:
            return functools.partial(_noted, self.lent, functools.partial(tensors.rebuild_counting, found))
        return found


def _noted(lent: list[Any], rebuild: Callable[..., Any], *arguments: Any) -> Any:
    lent.append(made := rebuild(*arguments))
    return made


def _rebuild_tensor(lent: list[Any], places: dict[int, memoryview], buffer: Any, *arguments: Any) -> Any:
    """A tensor refers to its buffer in a way that does not keep the buffer from being released: it gets one of its own."""
    place = places.get(id(buffer), buffer)
    return _noted(lent, tensors.rebuild_counting, tensors.rebuild_tensor, memoryview(place), *arguments)


def _end(one: Any) -> None:
    """Part a view, an array or a tensor of the message from the block."""
    if isinstance(one, memoryview):
        with contextlib.suppress(BufferError):
            one.release()
    elif tensors.is_tensor(one):
        tensors.empty(one)
    elif type(one) is getattr(sys.modules.get("numpy"), "ndarray", None):
        # What the pickle of an array does to give it its elements, also gives it none.
        one.__setstate__((1, (0,), one.dtype, False, b""))


def _forget(error: BaseException | None) -> None:
    """Empty the variables of the functions that have ended in an error: they may be views of the block."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
