"""Local response normalization against PyTorch's, Caffe's released numbers, TensorFlow's rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.models import lrn
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.table import LRN, VARIANTS

CAFFE = LRN(size=5, alpha=1e-4, beta=0.75, k=1.0)
INCEPTION5H = LRN(size=11, alpha=1.1e-3, beta=0.5, k=2.0)
NORMS = {
    "caffe": CAFFE,
    "inception5h": INCEPTION5H,
    "strong": LRN(size=5, alpha=1.1, beta=0.75, k=1.0),
    "even": LRN(size=4, alpha=0.3, beta=0.6, k=1.0),
    "wider than the map": LRN(size=9, alpha=0.3, beta=1.0, k=2.0),
    "one channel": LRN(size=1, alpha=0.3, beta=0.75, k=2.0),
}
LAYOUTS = {
    "NCHW": lambda x: x.contiguous(),
    "NHWC": lambda x: x.contiguous(memory_format=torch.channels_last),
    "neither": lambda x: x.transpose(2, 3),
}

norms = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def reference(x: Tensor, norm: LRN) -> Tensor:
    return F.local_response_norm(x, norm.size, norm.alpha, norm.beta, norm.k)


def activations(*shape: int, scale: float = 50.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Positive and of many magnitudes, as after a ReLU: large enough for LRN to matter."""
    return (scale * torch.randn(*shape, dtype=torch.float64).relu()).to(dtype)


def gradients(f: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(f(x), x, upstream)
    return found


def test_the_variants_have_the_published_constants() -> None:
    assert VARIANTS["paper"].norm == CAFFE
    assert VARIANTS["inception5h"].norm == INCEPTION5H


@norms
@layouts
@pytest.mark.parametrize("piece", [lrn.PIECE, 50, 1], ids=["whole", "pieces", "a pixel"])
def test_forward_and_backward_are_pytorchs_in_float64(
    norm: LRN, layout: Callable[[Tensor], Tensor], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lrn, "PIECE", piece)
    x = layout(activations(3, 7, 4, 5, scale=3.0))
    upstream = torch.randn_like(x)
    ours = LocalResponseNorm(norm)
    torch.testing.assert_close(ours(x), reference(x, norm), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        gradients(ours, x, upstream),
        gradients(lambda x: reference(x, norm), x, upstream),
        rtol=1e-10,
        atol=1e-12,
    )


@norms
def test_first_and_second_derivatives_are_those_of_finite_differences(norm: LRN) -> None:
    x = torch.randn(2, 5, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LocalResponseNorm(norm), x)
    assert torch.autograd.gradgradcheck(LocalResponseNorm(norm), x)


def test_caffes_own_layer(shared_data: Path) -> None:
    """OpenCV's test data: Caffe's output for size 5, alpha 1.1, beta 0.75."""
    with np.load(shared_data / "bvlc-googlenet" / "layers.npz") as layers:
        blob, expected = torch.from_numpy(layers["blob"]), torch.from_numpy(layers["lrn"])
    ours = LocalResponseNorm(LRN(size=5, alpha=1.1, beta=0.75, k=1.0))
    torch.testing.assert_close(ours(blob), expected, rtol=1e-6, atol=1e-6)


def tensorflow_lrn(
    x: NDArray[np.float64], depth_radius: int, bias: float, alpha: float, beta: float
) -> NDArray[np.float64]:
    """`tf.nn.local_response_normalization` as its documentation defines it: (N, H, W, C)."""
    found = np.empty_like(x)
    for d in range(x.shape[3]):
        window = x[..., max(0, d - depth_radius) : d + depth_radius + 1]
        found[..., d] = x[..., d] / (bias + alpha * (window**2).sum(3)) ** beta
    return found


def test_tensorflows_rule_with_the_released_graphs_constants() -> None:
    x = activations(2, 24, 3, 3, scale=100.0)
    nhwc = tensorflow_lrn(x.permute(0, 2, 3, 1).numpy(), 5, bias=2.0, alpha=1e-4, beta=0.5)
    expected = torch.from_numpy(nhwc).permute(0, 3, 1, 2)
    torch.testing.assert_close(LocalResponseNorm(INCEPTION5H)(x), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", [CAFFE, INCEPTION5H], ids=["caffe", "inception5h"])
@layouts
def test_float32_is_exact_to_its_last_digits(norm: LRN, layout: Callable[[Tensor], Tensor]) -> None:
    x = layout(activations(2, 64, 9, 8, scale=300.0, dtype=torch.float32))
    y = LocalResponseNorm(norm)(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), reference(x.double(), norm), rtol=5e-7, atol=0)


@pytest.mark.parametrize(("dtype", "unit"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
@layouts
def test_half_precisions_are_rounded_once(
    dtype: torch.dtype, unit: float, layout: Callable[[Tensor], Tensor]
) -> None:
    """`unit`: the most that rounding to nearest changes a number, relatively."""
    x = layout(activations(2, 64, 9, 8, scale=100.0, dtype=dtype))
    upstream = torch.randn(x.shape).to(dtype)
    ours = LocalResponseNorm(CAFFE)
    y = ours(x)
    assert y.dtype == dtype
    assert (x.float() ** 2).max() > 65504 * 0.5, "squares that float16 could hardly hold"
    torch.testing.assert_close(y.double(), reference(x.double(), CAFFE), rtol=unit * 1.01, atol=0)
    found = gradients(ours, x, upstream).double()
    expected = gradients(lambda x: reference(x, CAFFE), x.double(), upstream.double())
    torch.testing.assert_close(found, expected, rtol=unit * 1.01, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    x = activations(1, 16, 6, 6, dtype=dtype)
    ours = LocalResponseNorm(CAFFE)
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
    assert torch.equal(y, ours(x))
    assert y.dtype == dtype


@pytest.mark.parametrize("name", ["NCHW", "NHWC"])
def test_memory_layout_is_kept(name: str) -> None:
    layout = torch.channels_last if name == "NHWC" else torch.contiguous_format
    x = activations(2, 8, 5, 5).contiguous(memory_format=layout).requires_grad_()
    y = LocalResponseNorm(CAFFE)(x)
    assert y.is_contiguous(memory_format=layout)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.is_contiguous(memory_format=layout)


def test_an_empty_batch_passes() -> None:
    assert LocalResponseNorm(CAFFE)(torch.zeros(0, 8, 5, 5)).shape == (0, 8, 5, 5)


def test_only_the_input_is_kept_for_the_backward_pass() -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    x = activations(2, 8, 5, 5).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        LocalResponseNorm(CAFFE)(x)
    assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr()]


# PyTorch's own compiler makes an instance of the autograd function, and warns of that.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.slow
def test_the_compiler_sees_through_it() -> None:
    """One graph, forward and backward; `aot_eager` is torch.compile without the C++ compiler."""
    ours = LocalResponseNorm(CAFFE)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    x = activations(2, 8, 5, 5, dtype=torch.float32)
    upstream = torch.randn_like(x)
    torch.testing.assert_close(compiled(x), ours(x))
    torch.testing.assert_close(gradients(compiled, x, upstream), gradients(ours, x, upstream))


@norms
@pytest.mark.parametrize("trained", [False, True], ids=["eval", "with gradients"])
def test_an_exported_graph_holds_ordinary_operators(norm: LRN, trained: bool) -> None:
    x = activations(2, 8, 5, 5, dtype=torch.float32).requires_grad_(trained)
    ours = LocalResponseNorm(norm)
    exported = torch.export.export(ours, (x.detach(),))
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert {target.namespace for target in targets} == {"aten"}
    assert torch.ops.aten.conv2d.default in targets
    torch.testing.assert_close(exported.module()(x), ours(x), rtol=1e-6, atol=1e-6)
