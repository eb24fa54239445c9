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

from ringbuffer.codec import tensors
from ringbuffer.codec.frames import BYTES, GATHERED, PICKLE, TENSOR
from ringbuffer.codec.message import no_object, spans, undecodable
from ringbuffer.errors import ReadOnlyError

_REBUILD_ARRAY: Final = {("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer")}
_REBUILD_PARAMETER: Final = ("torch._utils", "_rebuild_parameter")


class Lent:
    """What of one message lies in the block: the buffers as such, the arrays and the tensors on them."""

    __slots__ = ("arrays", "tensors", "views")

    def __init__(self) -> None:
        self.views: list[memoryview] = []
        self.arrays: list[Any] = []
        self.tensors: list[Any] = []

    def all(self) -> list[Any]:
        """All of it, in a fixed order."""
        return [*self.views, *self.arrays, *self.tensors]

    def clear(self) -> None:
        """Forget all of it."""
        for some in (self.views, self.arrays, self.tensors):
            some.clear()


class Views:
    """A message and what of it lies in the block. Attribute: ``obj``, the message, until ``release``."""

    __slots__ = ("_homes", "_is_parted", "_lent", "_obj_home", "_writes", "obj")

    def __init__(self, obj: Any, lent: Lent) -> None:
        self.obj = obj
        self._lent = lent
        self._writes = list(map(tensors.writes_to, lent.tensors))
        self._homes: list[int] = []
        self._obj_home = 0
        self._is_parted = False

    def settle(self) -> Views:
        """Count the references that the message has of itself: it was given to nobody yet, and its maker has let go of it."""
        self._homes, self._obj_home = self._references(), getrefcount(self.obj)
        return self

    def _references(self) -> list[int]:
        return list(map(getrefcount, self._lent.all()))

    def check(self) -> None:
        """Raise :class:`ReadOnlyError` if a tensor of the message was written to, and say which."""
        for one, writes in zip(self._lent.tensors, self._writes, strict=True):
            if tensors.writes_to(one) != writes:
                raise ReadOnlyError(
                    f"a tensor of shape {tuple(one.shape)} and dtype {one.dtype} was written to inside the with: it lies in"
                    " the block, which every reader reads, and those that come later get what was written. Write to a"
                    " clone() of it, or take the message with dequeue"
                )

    def release(self) -> None:
        """End the message: empty its arrays and tensors, and forget everything.

        To do it again does nothing, or, where an interrupt has ended the first time, the rest.
        """
        if not self._is_parted:
            self._part()
            self._is_parted = True
        self._lent.clear()
        self._homes.clear()
        self._writes.clear()
        self.obj = None

    def _part(self) -> None:
        """Part from the block what nobody else refers to."""
        outside = [now - home for now, home in zip(self._references(), self._homes, strict=True)]
        if getrefcount(self.obj) - self._obj_home <= 1:
            for one, references in zip(self._lent.all(), outside, strict=True):
                if references <= (one is self.obj):
                    _end(one)


def decode_views(kind: int, body: memoryview) -> Views:
    """The message in ``body``, which is a writable view of a block, as views of it. Raises as ``message.decode`` does."""
    assert not body.readonly, "torch can lay no tensor on memory that cannot be written to"
    if kind not in _LOADS:
        body.release()
        raise no_object(kind)
    lent = Lent()
    try:
        return Views(_LOADS[kind](body, lent), lent).settle()
    except Exception as error:
        _forget(error)
        lent.clear()
        raise undecodable(body, error) from error


def _load_pickle(body: memoryview, _: Lent) -> Any:
    return pickle.loads(body)


def _load_bytes(body: memoryview, lent: Lent) -> Any:
    lent.views.append(body.toreadonly())
    return lent.views[0]


def _load_tensor(body: memoryview, lent: Lent) -> Any:
    """A tensor refers to its buffer in a way that does not keep the buffer from being released: it gets one of its own."""
    lent.tensors.append(tensors.outside_inference(tensors.tensor_on, memoryview(body)))
    return lent.tensors[0]


def _load_gathered(body: memoryview, lent: Lent) -> Any:
    (begin, end), buffers = spans(body)
    places = {}
    for start, stop in buffers:
        place = body[start:stop]
        lent.views.append(place.toreadonly())
        places[id(lent.views[-1])] = place
    with body[begin:end] as pickled:
        unpickler = _Unpickler(io.BytesIO(pickled), buffers=lent.views[:])
    unpickler.lent, unpickler.places = lent, places
    return unpickler.load()


_LOADS: Final[dict[int, Callable[[memoryview, Lent], Any]]] = {
    PICKLE: _load_pickle,
    BYTES: _load_bytes,
    GATHERED: _load_gathered,
    TENSOR: _load_tensor,
}


class _Unpickler(pickle.Unpickler):
    """Writes down the arrays and tensors that it makes on the block.

    What it hands to the pickle does not refer to the unpickler, whose memory of objects would then outlive it.
    """

    lent: Lent
    places: dict[int, memoryview]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found is tensors.rebuild_tensor:
            return functools.partial(_rebuild_tensor, self.lent, self.places)
        if (module, name) in _REBUILD_ARRAY:
            return functools.partial(_noted, self.lent.arrays, found)
        if (module, name) == _REBUILD_PARAMETER:
            return functools.partial(_noted, self.lent.tensors, functools.partial(tensors.outside_inference, found))
        return found


def _noted(made: list[Any], rebuild: Callable[..., Any], *arguments: Any) -> Any:
    made.append(rebuild(*arguments))
    return made[-1]


def _rebuild_tensor(lent: Lent, places: dict[int, memoryview], buffer: Any, *arguments: Any) -> Any:
    """As for a tensor by itself: it gets a buffer of its own."""
    place = memoryview(places.get(id(buffer), buffer))
    return _noted(lent.tensors, tensors.outside_inference, tensors.rebuild_tensor, place, *arguments)


def _end(one: Any) -> None:
    """Part a view, an array or a tensor of the message from the block."""
    if tensors.is_tensor(one):
        tensors.empty(one)
    elif isinstance(one, memoryview):
        with contextlib.suppress(BufferError):
            one.release()
    elif type(one) is getattr(sys.modules.get("numpy"), "ndarray", None):
        # What the pickle of an array does to give it its elements, also gives it none.
        one.__setstate__((1, (0,), one.dtype, False, b""))


def _forget(error: BaseException | None) -> None:
    """Empty the variables of the functions that have ended in an error: they may be views of the block."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
