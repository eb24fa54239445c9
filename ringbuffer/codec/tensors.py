"""Tensors of torch in messages: their elements go beside the pickle, as those of arrays do, with one copy on each side.

What goes so: dense tensors on the CPU, of exactly the type ``torch.Tensor`` (and so what a ``torch.nn.Parameter`` holds), of
any dtype and shape; one that is not contiguous is made contiguous first. Everything else is left to torch's own pickling:
subclasses, other layouts and devices, quantised and nested tensors, those with hooks, names or attributes, and results of a
computation that is tracked for gradients. Rules: torch is never imported here before somebody has sent a tensor; no global
table is changed; no warning is caught or caused. Limits: two tensors that share memory are sent one by one, and share none
when they arrive; gradients (``grad``) are not sent, as torch does not either.
"""

from __future__ import annotations

import copyreg
import ctypes
import functools
import importlib
import sys
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any, Final, TypeAlias

_PICKLE_PROTOCOL: Final = 5
_BUFFER_IS_WRITABLE: Final = 0x200

Reduced: TypeAlias = tuple[Any, ...] | str
"""What the pickle of an object is made of, see ``object.__reduce__``."""

# An ordinary foreign function holds nothing of a tensor, needs no NumPy, and makes no new type for each size.
_memory_at: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)


def tensor_type() -> type | None:
    """The type of tensors, or ``None`` as long as nobody has imported torch."""
    return getattr(sys.modules.get("torch"), "Tensor", None)


def reducers(tensor: type, owners: list[object]) -> dict[type, Callable[[Any], Reduced]]:
    """How an encoder pickles objects of types that have their own way: those of ``copyreg``, and tensors.

    ``owners`` receives the tensor whose memory each buffer is, which the buffer itself does not hold. A dictionary and no
    subclass of one: the pickler asks it for every object, and asks a dictionary without a call.
    """
    return {**copyreg.dispatch_table, tensor: functools.partial(_reduce, owners)}


def _reduce(owners: list[object], tensor: Any) -> Reduced:
    dense = _dense(tensor)
    if dense is None:
        reduced: Reduced = tensor.__reduce_ex__(_PICKLE_PROTOCOL)
        return reduced
    owners.append(dense)
    size = dense.nbytes
    memory = _memory_at(dense.data_ptr(), size, _BUFFER_IS_WRITABLE) if size else bytearray()
    dtype = str(dense.dtype).removeprefix("torch.")
    return rebuild_tensor, (PickleBuffer(memory), dtype, tuple(dense.shape), tensor.requires_grad)


def _dense(tensor: Any) -> Any:
    """The tensor's elements in order, in memory that can be read, or ``None`` for a tensor that is torch's own business."""
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_quantized or tensor.is_nested:
        return None
    if not tensor.is_leaf or tensor.__dict__ or tensor._backward_hooks or _has_names(tensor):
        return None
    dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
    try:
        return dense if dense.data_ptr() or not dense.nbytes else None
    except RuntimeError:  # a tensor inside a transformation of functions has no memory
        return None


def _has_names(tensor: Any) -> bool:
    """Whether its dimensions are named, which only older versions of torch know."""
    return hasattr(tensor, "has_names") and bool(tensor.has_names())


def rebuild_tensor(buffer: bytearray | memoryview, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Any:
    """The tensor on these bytes, whose memory it shares. Pickles name this function: its name and arguments stay."""
    torch = _torch()
    kind = getattr(torch, dtype)
    if not buffer:
        made = torch.empty(shape, dtype=kind, device="cpu")
    else:
        made = torch.frombuffer(buffer, dtype=kind)
        if len(shape) != 1 or made.shape != shape:
            # A view of the flat tensor would do as well, but look like one that somebody has taken of another tensor.
            made = made.resize_(shape)
    return made.requires_grad_() if requires_grad else made


@functools.cache
def _torch() -> Any:
    """The module, which a message names: it is imported once it is needed."""
    return importlib.import_module("torch")


def outside_inference(make: Callable[..., Any], *arguments: Any) -> Any:
    """Call what makes or changes a tensor so that it counts the writes to it, as those made in inference mode do not."""
    torch = _torch()
    if not torch.is_inference_mode_enabled():
        return make(*arguments)
    with torch.inference_mode(False):
        return make(*arguments)


def is_tensor(thing: object) -> bool:
    """Whether it is a tensor; without torch nothing is."""
    tensor = tensor_type()
    return tensor is not None and isinstance(thing, tensor)


def writes_to(tensor: Any) -> int:
    """How often a tensor was written to, it or another view of its memory. Limit: not through ``data`` and ``numpy()``."""
    count: int = tensor._version
    return count


def empty(tensor: Any) -> None:
    """Take a tensor's memory away from it: it has no elements after that."""
    outside_inference(_empty, _torch(), tensor)


def _empty(torch: Any, tensor: Any) -> None:
    tensor.data = torch.empty(0, dtype=tensor.dtype, device="cpu")
