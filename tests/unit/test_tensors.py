"""Tensors of torch: which go beside the pickle, what comes back, and that those in a block are watched and then emptied."""

from __future__ import annotations

import copyreg
import gc
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support import MakeRing, ends_of  # noqa: E402
from test_message import Block, roundtrips  # noqa: E402

from ringbuffer.codec import tensors  # noqa: E402
from ringbuffer.codec.frames import Gathered  # noqa: E402
from ringbuffer.codec.message import Encoder  # noqa: E402
from ringbuffer.errors import BlockEscapedError, EncodeError, ReadOnlyError, WaitTimeoutError  # noqa: E402

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
