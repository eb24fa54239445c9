"""Tensors of torch in messages: their elements go beside the pickle, as those of arrays do, with one copy on each side.

A tensor that is all of a message goes without a pickle, which would take longer than all the rest: its body is

::

    dtype         24 bytes  its name in torch, of ASCII letters, digits and underscores, and zeros
    flags          4 bytes  1 for a tensor that requires gradients
    dimensions     4 bytes  how many there are, up to 8
    shape          8 bytes for each of 8 dimensions, those that there are, each below 2 to the 63rd, and zeros
    elements       one behind the other: they begin where FRAME_BYTES + their offset is a multiple of 64

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
import math
import struct
import sys
from collections.abc import Callable, Sequence
from pickle import PickleBuffer
from typing import Any, Final, TypeAlias

DIMENSIONS_MAX: Final = 8
"""A tensor of more dimensions goes as a part of a pickle."""
_NAME_BYTES: Final = 24
_HEAD: Final = struct.Struct(f"<{_NAME_BYTES}sII{DIMENSIONS_MAX}Q")
HEAD_BYTES: Final = _HEAD.size
_REQUIRES_GRAD: Final = 1
_SIZE_MAX: Final = (1 << 63) - 1
_HEADS_MAX: Final = 256
"""So many heads are remembered, on each side: to make one, or to read one, takes longer than to find it again."""

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
    memory = _memory_of(dense) if dense.nbytes else bytearray()
    return rebuild_tensor, (PickleBuffer(memory), _name_of(dense.dtype), tuple(dense.shape), tensor.requires_grad)


def _memory_of(dense: Any) -> memoryview:
    memory: memoryview = _memory_at(dense.data_ptr(), dense.nbytes, _BUFFER_IS_WRITABLE)
    return memory


def places_of(owners: Sequence[Any]) -> list[tuple[int, int]]:
    """Where the memory of tensors lies, and how much it is: to resize it, or to share it, frees what was there."""
    return [(owner.data_ptr(), owner.untyped_storage().nbytes()) for owner in owners]


def _name_of(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def pieces_of(tensor: Any) -> tuple[list[bytes | memoryview], object] | None:
    """The body of a message that is this tensor, in pieces, and who owns their memory; ``None`` if a pickle has to be made."""
    dense = _dense(tensor)
    head = None if dense is None else _head(dense.dtype, dense.shape, tensor.requires_grad)
    if head is None:
        return None
    return [head, _memory_of(dense)] if dense.nbytes else [head], dense


@functools.lru_cache(_HEADS_MAX)
def _head(dtype: Any, shape: tuple[int, ...], requires_grad: bool) -> bytes | None:
    """What stands before the elements, if such a tensor can be described so."""
    return head_of(_name_of(dtype), shape, requires_grad)


def head_of(name: str, shape: tuple[int, ...], requires_grad: bool) -> bytes | None:
    """The head of a tensor whose dtype has that name, or ``None`` if there is no room for its name or its dimensions."""
    zeros = [0] * (DIMENSIONS_MAX - len(shape))
    if len(shape) > DIMENSIONS_MAX or len(name) > _NAME_BYTES:
        return None
    return _HEAD.pack(name.encode("ascii"), _REQUIRES_GRAD * requires_grad, len(shape), *shape, *zeros)


def _dense(tensor: Any) -> Any:
    """The tensor's elements in order, in memory that can be read, or ``None`` for a tensor that is torch's own business."""
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_quantized or tensor.is_nested:
        return None
    if not tensor.is_leaf or tensor.__dict__ or tensor._backward_hooks or _has_names(tensor):
        return None
    dense = tensor.detach()  # which has the memory, also where somebody gives the tensor another one
    if dense.is_conj() or dense.is_neg() or not dense.is_contiguous():
        dense = dense.resolve_conj().resolve_neg().contiguous()
    try:
        return dense if dense.data_ptr() or not dense.nbytes else None
    except RuntimeError:  # a tensor inside a transformation of functions has no memory
        return None


def _has_names(tensor: Any) -> bool:
    """Whether its dimensions are named, which only older versions of torch know."""
    return hasattr(tensor, "has_names") and bool(tensor.has_names())


def rebuild_tensor(buffer: bytearray | memoryview, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Any:
    """The tensor on these bytes, whose memory it shares. Pickles name this function: its name and arguments stay."""
    return _lay(buffer, 0, getattr(_torch(), dtype), shape, requires_grad)


def _lay(buffer: bytearray | memoryview, offset: int, dtype: Any, shape: tuple[int, ...], requires_grad: bool) -> Any:
    """A tensor whose elements are what stands in the buffer from that offset on."""
    torch = _torch()
    if len(buffer) == offset:
        made = _without_elements(dtype, shape)
    else:
        made = torch.frombuffer(buffer, dtype=dtype, offset=offset)
        if len(shape) != 1 or made.shape != shape:
            # A view of the flat tensor would do as well, but look like one that somebody has taken of another tensor.
            made = made.resize_(shape)
    return made.requires_grad_() if requires_grad else made


def _without_elements(dtype: Any, shape: tuple[int, ...]) -> Any:
    """A tensor of that shape, which has a 0 in it. torch warns of some dtypes where it allocates memory for them itself."""
    return _torch().frombuffer(bytearray(dtype.itemsize), dtype=dtype).resize_(shape)


def tensor_on(body: bytearray | memoryview) -> Any:
    """The tensor that a body is which :func:`pieces_of` has made, on the body's own memory.

    Raises ``ValueError`` for a body that cannot be one, or of a dtype that this version of torch does not know.
    """
    dtype, shape, length, requires_grad = _read_head(bytes(body[:HEAD_BYTES]))
    if len(body) != HEAD_BYTES + length:
        raise ValueError(f"a tensor of shape {shape} and dtype {dtype} has {length} bytes, not {len(body) - HEAD_BYTES}")
    return _lay(body, HEAD_BYTES, dtype, shape, requires_grad)


@functools.lru_cache(_HEADS_MAX)
def _read_head(head: bytes) -> tuple[Any, tuple[int, ...], int, bool]:
    """Of a tensor: dtype, shape, how many bytes its elements take, and whether it requires gradients."""
    name, shape, requires_grad = parse_head(head)
    torch = _torch()
    dtype = vars(torch).get(name)  # to ask the module itself for a name may import another one
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"torch {torch.__version__} has no dtype {name!r}")
    if torch.frombuffer(bytearray(dtype.itemsize), dtype=dtype).is_quantized:  # by its elements alone it crashes the process
        raise ValueError(f"a tensor of dtype {name!r} is quantised, and goes as a part of a pickle")
    return dtype, shape, math.prod(shape) * dtype.itemsize, requires_grad


def parse_head(head: bytes) -> tuple[str, tuple[int, ...], bool]:
    """What the first ``HEAD_BYTES`` bytes of a body say: the name of the dtype, the shape, and whether gradients are required.

    Raises ``ValueError`` for what no head is, or less of one.
    """
    if len(head) < HEAD_BYTES:
        raise ValueError(f"a tensor's head has {HEAD_BYTES} bytes, not {len(head)}")
    padded, flags, dimensions, *sizes = _HEAD.unpack(head)
    name = padded.rstrip(b"\0").decode("ascii", "backslashreplace")
    is_known = name.isidentifier() and not flags & ~_REQUIRES_GRAD and dimensions <= DIMENSIONS_MAX
    if not is_known or any(sizes[dimensions:]) or max(sizes) > _SIZE_MAX:
        raise ValueError(f"a tensor's head is damaged: dtype {name!r}, flags {flags}, {dimensions} dimensions, sizes {sizes}")
    return name, tuple(sizes[:dimensions]), bool(flags)


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
    if tensor.requires_grad:
        outside_inference(_replace, tensor)
    else:
        tensor.set_()  # which takes half the time, and which torch allows of no other


def _replace(tensor: Any) -> None:
    tensor.data = _without_elements(tensor.dtype, (0,))
