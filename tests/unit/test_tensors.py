"""Tensors of torch: which go beside the pickle, what comes back, and that those in a block are watched and then emptied."""

from __future__ import annotations

import copyreg
import gc
import json
import math
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from support import MakeRing, ends_of  # noqa: E402
from test_message import Block, roundtrips  # noqa: E402

from ringbuffer.codec import tensors  # noqa: E402
from ringbuffer.codec.frames import GATHERED, TENSOR, Gathered  # noqa: E402
from ringbuffer.codec.message import Encoder, decode, decode_assembled  # noqa: E402
from ringbuffer.codec.tensors import HEAD_BYTES, tensor_on  # noqa: E402
from ringbuffer.codec.views import decode_views  # noqa: E402
from ringbuffer.errors import BlockEscapedError, DecodeError, EncodeError, ReadOnlyError, WaitTimeoutError  # noqa: E402
from ringbuffer.vectors.framing import tensor_body  # noqa: E402
from ringbuffer.vectors.versions import FOLDER, VERSION  # noqa: E402

NAMES = "float32 float64 float16 bfloat16 bool uint8 int8 int64 complex64 complex128 float8_e4m3fn float8_e5m2 uint16 uint32"
DTYPES = [getattr(torch, name) for name in NAMES.split() if hasattr(torch, name)]
SHAPES = [(), (0,), (0, 3), (1,), (3, 5), (2, 1, 4)]


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(False)


def of(dtype: Any, shape: tuple[int, ...]) -> Any:
    count = torch.Size(shape).numel()
    flat = torch.arange(count * dtype.itemsize, dtype=torch.uint8) % 2
    return flat.view(dtype).reshape(shape)


def bits(tensor: Any) -> list[int]:
    flat: list[int] = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).tolist()
    return flat


def same(one: Any, other: Any) -> bool:
    kind = (type(one), one.dtype, one.shape, one.requires_grad)
    return kind == (type(other), other.dtype, other.shape, other.requires_grad) and bits(one) == bits(other)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_comes_back_writable(dtype: Any) -> None:
    sent = [of(dtype, shape) for shape in SHAPES]
    with torch.inference_mode():
        sent_in_inference = [one.clone() for one in sent]
    for found in (*roundtrips(sent), *roundtrips(sent_in_inference)):
        for one, copy in zip(sent, found, strict=True):
            assert same(one, copy)
            assert copy.is_contiguous()
            assert not copy._is_view()
            before = bits(one)
            copy.zero_()
            assert bits(one) == before


def odd_ones() -> list[Any]:
    base = torch.arange(24.0).reshape(4, 6)
    complex_base = torch.complex(base, base + 1)
    return [
        base[:, 2],
        base.t(),
        base[1:3, ::2],
        torch.ones(1).expand(5),
        complex_base.conj(),
        complex_base.conj().imag,
        torch.ones(3, requires_grad=True),
        torch.nn.Parameter(torch.ones(2, 2)),
        torch.nn.Parameter(torch.ones(2), requires_grad=False),
        torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ]


def test_odd_ones_are_sent_beside_the_pickle_and_come_back_dense() -> None:
    for sent in odd_ones():
        data = Encoder().encode(sent)
        assert isinstance(data, Gathered)
        assert len(data.pieces) == 2
        for found in roundtrips(sent):
            assert same(sent, found)
            assert found.is_leaf


class Own(torch.Tensor):  # type: ignore[misc,name-defined]
    pass


def test_what_is_no_plain_tensor_is_pickled_as_torch_does() -> None:
    noted = torch.ones(2)
    noted.note = "attribute"
    computed = torch.ones(3, requires_grad=True) * 2
    for sent in (torch.empty(3, device="meta"), noted, computed, torch.ones(2).as_subclass(Own)):
        data = Encoder().encode(sent)
        assert isinstance(data, bytes)
        assert data == pickle.dumps(sent, 5)
        for found in roundtrips(sent):
            assert (type(found), found.device, found.shape) == (type(sent), sent.device, sent.shape)
            assert found.__dict__ == sent.__dict__


def test_what_a_sparse_tensor_consists_of_is_sent_beside_the_pickle() -> None:
    for found in roundtrips(torch.eye(3).to_sparse()):
        assert found.is_sparse
        assert found.to_dense().tolist() == torch.eye(3).tolist()


def test_tensor_that_torch_cannot_pickle_is_its_error() -> None:
    def transformed(one: Any) -> Any:
        with pytest.raises(EncodeError, match="object of type Tensor") as caught:
            Encoder().encode(one)
        assert caught.value.__cause__ is not None
        return one

    torch.vmap(transformed)(torch.ones(2))


class Refusing(torch.overrides.TorchFunctionMode):  # type: ignore[misc,name-defined]
    """As a mode that knows fake tensors only: it has no way to look at this one."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("not in this mode")


@pytest.mark.parametrize("wrap", [lambda tensor: tensor, lambda tensor: [tensor]], ids=["alone", "in a list"])
def test_tensor_that_cannot_even_be_looked_at_is_an_error_of_encoding(wrap: Any) -> None:
    encoder, sent = Encoder(), torch.ones(3)
    with Refusing(), pytest.raises(EncodeError, match="not in this mode"):
        encoder.encode(wrap(sent))
    assert isinstance(encoder.encode(wrap(sent)), Gathered)


def test_no_global_table_is_changed() -> None:
    before = dict(copyreg.dispatch_table)
    Encoder().encode(torch.ones(3))
    assert copyreg.dispatch_table == before
    assert torch.Tensor not in copyreg.dispatch_table


def test_encoder_made_before_torch_was_there_learns_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        assert tensors.tensor_type() is None
        assert not tensors.is_tensor(7)
        encoder = Encoder()
    assert isinstance(encoder.encode(torch.ones(3)), Gathered)


def test_one_tensor_in_two_places_is_one_tensor() -> None:
    sent = torch.ones(3)
    for found in roundtrips([sent, {"again": sent}]):
        assert found[0] is found[1]["again"]


# ---- A message that is a tensor ---------------------------------------------------------------------------------------

ODD_NAMES = "complex32 uint64 int4 bits8 float8_e4m3fnuz float4_e2m1fn_x2"
EVERY_DTYPE = [*DTYPES, *(getattr(torch, name) for name in ODD_NAMES.split() if hasattr(torch, name))]
HEAD = struct.Struct("<24sII8Q")
VECTORS = Path(__file__).parents[2] / "spec" / FOLDER / str(VERSION) / "tensors.json"


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=str)
def test_a_tensor_by_itself_is_a_head_and_its_elements(dtype: Any) -> None:
    for shape in (*SHAPES, (1, 2, 1, 3, 1, 1, 1, 1)):
        sent = made_of(dtype, shape, bytes(number % 2 for number in range(math.prod(shape) * dtype.itemsize)))
        block = Block(sent)
        assert block.kind == TENSOR
        sizes = [*shape, *[0] * (8 - len(shape))]
        head = HEAD.pack(name_of(dtype).encode(), 0, len(shape), *sizes)
        assert block.body().tobytes() == head + bytes(bits(sent))
        found = block.views()
        assert same(found.obj, sent)
        assert sent.numel() == 0 or found.obj.data_ptr() % 64 == 0
        found.release()
        assert block.is_free


def made_of(dtype: Any, shape: tuple[int, ...], elements: bytes) -> Any:
    return torch.frombuffer(bytearray(elements or dtype.itemsize), dtype=dtype).resize_(shape)


def name_of(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def test_of_nine_dimensions_it_goes_beside_a_pickle() -> None:
    sent = torch.arange(6).reshape(1, 2, 1, 1, 1, 1, 1, 1, 3)
    assert Block(sent).kind == GATHERED
    assert Block(sent[0]).kind == TENSOR
    assert all(same(sent, found) for found in roundtrips(sent))


def test_what_torch_pickles_is_no_tensor_by_itself() -> None:
    hooked = torch.ones(2, requires_grad=True)
    hooked.register_hook(lambda gradient: gradient)
    with pytest.warns(UserWarning, match="hook"):
        data, told = Encoder().encode(hooked), pickle.dumps(hooked, 5)
    assert data == told
    assert Block([torch.ones(2)]).kind == GATHERED
    assert Block(torch.nn.Parameter(torch.ones(2))).kind == GATHERED
    assert Block(torch.ones(2, requires_grad=True)).kind == TENSOR


def test_vectors_of_tensors_are_what_torch_makes_of_them() -> None:
    for case in json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]:
        body = bytearray.fromhex(case["body"])
        if "refused" in case:
            assert_no_object(body, "a tensor's head")
            continue
        dtype, shape, elements = getattr(torch, case["dtype"]), case["shape"], bytes.fromhex(case["elements"])
        sent = made_of(dtype, tuple(shape), elements).requires_grad_(case["requires_grad"])
        data = Encoder().encode(sent)
        assert isinstance(data, Gathered)
        assert data.kind == TENSOR
        assert b"".join(map(bytes, data.pieces)).hex() == case["body"]
        assert same(tensor_on(body), sent)


# What a damaged body is comes out by one of these, however it is received.
READS: dict[str, Callable[[bytes | bytearray], Any]] = {
    "decode": lambda body: decode(TENSOR, memoryview(body)),
    "read": lambda body: decode_views(TENSOR, memoryview(bytearray(body))).obj,
    "parts": lambda body: decode_assembled(TENSOR, bytearray(body)),
}


def assert_no_object(body: bytes | bytearray, says: str) -> None:
    for read in READS.values():
        with pytest.raises(DecodeError, match=says) as caught:
            read(body)
        assert caught.value.raw == body


odd_sizes = st.integers(0, 6) | st.sampled_from((8, 9, 15, 60, 1 << 31, 1 << 32, 1 << 62, 1 << 63, (1 << 64) - 1))
damage = st.one_of(
    st.tuples(st.just(0), st.sampled_from([f"{name:\0<8}"[:8].encode() for name in (*NAMES.split(), "qint8", "Tensor", "")])),
    st.tuples(st.just(24), st.builds(struct.Struct("<II").pack, st.sampled_from((0, 0, 1, 2, 1 << 31)), st.integers(0, 9))),
    st.tuples(st.integers(4, 11).map(lambda at: 8 * at), odd_sizes.map(struct.Struct("<Q").pack)),
    st.tuples(st.integers(0, HEAD_BYTES - 8), st.binary(min_size=8, max_size=8)),
)
"""Any eight bytes of a head: a name, flags and dimensions, a size; or whatever."""


@settings(max_examples=8 * settings().max_examples)
@given(
    st.sampled_from(DTYPES), st.sampled_from(SHAPES), st.lists(damage, max_size=2), st.none() | st.none() | st.integers(0, 400)
)
def test_a_damaged_tensor_is_what_its_head_says_or_no_object(
    dtype: Any, shape: tuple[int, ...], damages: list[tuple[int, bytes]], cut: int | None
) -> None:
    """Nothing is made that the bytes do not say, and what was not damaged arrives."""
    good = tensor_body(name_of(dtype), shape, False, bytes(number % 2 for number in range(math.prod(shape) * dtype.itemsize)))
    body = bytearray(good)
    for at, new in damages:
        body[at : at + 8] = new
    body = body[:cut]
    for read in READS.values():
        raw = None
        try:
            found = read(body)
        except DecodeError as error:
            raw = error.raw
        if raw is None:
            assert_is_what_the_head_says(found, body)
        else:
            assert raw == body != good


def assert_is_what_the_head_says(found: Any, body: bytearray) -> None:
    name, flags, dimensions, *sizes = HEAD.unpack_from(body)
    assert found.dtype is getattr(torch, name.rstrip(b"\0").decode())
    assert list(found.shape) + [0] * (8 - found.dim()) == sizes
    assert (found.dim(), int(found.requires_grad)) == (dimensions, flags)
    assert not found.is_quantized
    assert bytes(bits(found)) == body[HEAD_BYTES:]


def test_a_head_of_another_dtype_of_the_same_size_is_that_dtype() -> None:
    body = tensor_body("int32", (2,), False, struct.pack("<2f", 1, 2))
    assert [read(body).tolist() for read in READS.values()] == [[0x3F800000, 0x40000000]] * len(READS)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("float33", "has no dtype 'float33'"),
        ("Tensor", "has no dtype 'Tensor'"),
        ("__name__", "has no dtype '__name__'"),
        ("qint8", "'qint8' is quantised"),
        ("quint4x2", "'quint4x2' is quantised"),
    ],
)
def test_a_dtype_that_cannot_be_is_named(name: str, says: str) -> None:
    for shape in ((4,), (0,)):
        assert_no_object(tensor_body(name, shape, False, bytes(*shape)), says)


@pytest.mark.parametrize(
    ("shape", "requires_grad", "length", "says"),
    [
        ((2,), False, 7, r"of shape \(2,\) and dtype torch.int32 has 8 bytes, not 7"),
        ((2,), False, 9, "has 8 bytes, not 9"),
        ((), False, 0, "has 4 bytes, not 0"),
        ((2,), True, 8, "floating point"),
        ((1 << 63, 0), False, 0, "a tensor's head is damaged"),
        ((1 << 62, 4, 0), False, 0, "overflow"),
    ],
)
def test_what_no_tensor_has_is_no_object(shape: tuple[int, ...], requires_grad: bool, length: int, says: str) -> None:
    assert_no_object(tensor_body("int32", shape, requires_grad, bytes(length)), says)


# ---- In a block -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inference", [False, True], ids=["normal", "inference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_tensors_lie_in_the_block_and_are_empty_after_it(dtype: Any, inference: bool) -> None:
    sent = {"one": torch.arange(100).to(dtype), "two": [torch.nn.Parameter(torch.ones(3, dtype=dtype))], "none": torch.ones(0)}
    block = Block(sent)
    with torch.inference_mode(inference):
        views = block.views()
        obj = views.obj
        assert same(obj["one"], sent["one"])
        assert same(obj["two"][0], sent["two"][0])
        with block.body() as body:
            memory = torch.frombuffer(body, dtype=torch.uint8)
            first = memory.data_ptr()
            assert first <= obj["one"].data_ptr() < first + len(body)
            assert first <= obj["two"][0].data_ptr() < first + len(body)
            del memory
        assert float(obj["one"].sum()) == float(sent["one"].sum())
        views.check()
        views.release()
    assert block.is_free
    assert [tuple(one.shape) for one in (obj["one"], obj["two"][0], obj["none"])] == [(0,)] * 3
    assert obj["one"].dtype is dtype


@pytest.mark.parametrize("inference", [False, True], ids=["normal", "inference"])
@pytest.mark.parametrize(
    "write",
    [
        lambda one: one.add_(1),
        lambda one: one[1:].zero_(),
        lambda one: one.detach().view(-1).fill_(3),
        lambda one: torch.add(one, 1, out=one),
        lambda one: one.__setitem__(0, 3),
    ],
    ids=["itself", "slice", "view", "out", "element"],
)
def test_write_is_noticed_and_the_tensor_named(write: Any, inference: bool) -> None:
    views = Block([torch.zeros(2), torch.zeros(3, dtype=torch.float64)]).views()
    with torch.inference_mode(inference):
        write(views.obj[1])
    with pytest.raises(ReadOnlyError, match=r"shape \(3,\) and dtype torch.float64 was written to"):
        views.check()
    views.release()


def test_write_to_a_parameter_is_noticed() -> None:
    views = Block(torch.nn.Linear(2, 3)).views()
    views.check()
    with torch.no_grad():
        views.obj.bias.add_(1)
    with pytest.raises(ReadOnlyError, match=r"shape \(3,\)"):
        views.check()


@pytest.mark.parametrize(
    "hold",
    [
        lambda one: one[1:],
        lambda one: one.numpy(),
        lambda one: [one],
        lambda one: one.detach(),
        lambda one: memoryview(one.numpy()),
    ],
    ids=["slice", "array", "itself", "detached", "memoryview"],
)
@pytest.mark.parametrize("is_alone", [False, True], ids=["in a list", "alone"])
def test_what_still_refers_to_the_block_is_found(hold: Any, is_alone: bool) -> None:
    block = Block(torch.zeros(50) if is_alone else [torch.zeros(50)])
    views = block.views()
    obj = views.obj
    kept = hold(obj if is_alone else obj[0])
    views.release()
    assert not block.is_free
    del kept, obj
    assert block.is_free


def test_tensor_alone_may_stay_in_its_variable() -> None:
    block = Block(torch.zeros(50))
    views = block.views()
    obj = views.obj
    views.release()
    assert block.is_free
    assert obj.numel() == 0


def test_result_of_a_computation_is_the_readers_own() -> None:
    block = Block(torch.ones(50, requires_grad=True))
    views = block.views()
    obj = views.obj
    total = (obj * 2).sum()
    total.backward()
    grad = obj.grad
    del total
    views.check()
    views.release()
    assert block.is_free
    assert grad.tolist() == [2.0] * 50


def test_reader_of_a_ring_gets_tensors_in_their_block_and_says_who_writes_to_them(make_ring: MakeRing) -> None:
    writer, reader = ends_of(make_ring(max_chunk_bytes=500))
    sent = {"weights": torch.arange(50, dtype=torch.float32), "text": "beside it"}
    writer.enqueue(sent, timeout=0)
    with pytest.raises(ReadOnlyError, match="a tensor of shape"), reader.read(timeout=0) as message:
        message["weights"][0] = 7
    message = None
    with reader.read(timeout=0) as message:
        with reader.buffer.segment.frame(0) as block:
            start = torch.frombuffer(block, dtype=torch.uint8).data_ptr()
        assert start < message["weights"].data_ptr() < start + 532
        assert message["weights"].tolist() == [7.0, *range(1, 50)], "what was written was noticed, and not undone"
    assert message["weights"].numel() == 0
    writer.enqueue(sent, timeout=0)
    kept = []
    with pytest.raises(BlockEscapedError), reader.read(timeout=0) as message:
        kept.append(message["weights"][3:])
    kept.clear()
    assert reader.dequeue(timeout=0)["weights"].equal(sent["weights"])


def test_error_about_a_tensor_is_garbage_like_any_other(make_ring: MakeRing) -> None:
    """It refers to views of the tensor's memory; one that refers to another would make CPython crash here."""
    writer, _ = ends_of(make_ring(max_chunks=1))
    writer.enqueue(1)
    for sent in (torch.ones(100), memoryview(bytes(300))):
        with pytest.raises(WaitTimeoutError) as caught:
            writer.enqueue(sent, timeout=0) if isinstance(sent, torch.Tensor) else writer.send_bytes(sent, timeout=0)
        caught.value.__dict__["itself"] = caught.value
        del caught, sent
        gc.collect()
