"""Batch normalization with its ReLU against PyTorch's two layers, in float64."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from googlenet.kernels.norm import norm_relu

pytestmark = pytest.mark.usefixtures("kernels")
same_kernels = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = st.tuples(
    st.integers(1, 4), st.sampled_from([1, 3, 16, 21, 72]), st.integers(1, 9), st.integers(1, 9)
).filter(lambda shape: shape[0] * shape[2] * shape[3] > 1)


def layer(channels: int, scale: bool = True) -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(channels, eps=1e-3)
    if scale:
        nn.init.normal_(bn.weight)
    else:
        bn.register_parameter("weight", None)
    nn.init.normal_(bn.bias)
    return bn


def run(bn: nn.BatchNorm2d, x: Tensor, native: bool) -> list[Tensor]:
    """Output, gradients of input, scale and shift, running statistics, batches seen."""
    bn, x = deepcopy(bn), x.detach().clone().requires_grad_()
    relu = nn.ReLU()
    y = norm_relu(x, bn, relu) if native else relu(bn(x))
    assert (type(y.grad_fn).__name__ == "NormReluBackward") == native
    torch.manual_seed(1)
    grad = torch.randn(x.shape).to(x.dtype).contiguous(memory_format=torch.channels_last)
    y.backward(grad)
    gradients = [each.grad for each in (x, *bn.parameters())]
    assert all(gradient is not None for gradient in gradients)
    return [y, *gradients, *bn.buffers()]  # type: ignore[list-item]


def away_from_zero(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """The map, moved where rounding could decide on which side of the ReLU a value falls."""
    wide = deepcopy(bn).double()
    for _ in range(3):
        with torch.no_grad():
            x = torch.where(wide(x.double()).abs() < 1e-2, x + 0.5, x)
    return x


@settings(same_kernels, max_examples=15)
@given(shape=SHAPES, offset=st.sampled_from([0.0, 30.0]), scale=st.booleans())
def test_against_float64(shape: tuple[int, ...], offset: float, scale: bool) -> None:
    bn = layer(shape[1], scale)
    x = (torch.randn(shape) + offset).contiguous(memory_format=torch.channels_last)
    x = away_from_zero(bn, x)
    expected = run(deepcopy(bn).double(), x.double(), native=False)
    if (deepcopy(bn).double()(x.double()).abs() < 1e-4).any():
        return  # too few values to move one without moving the rest
    for mine, theirs in zip(run(bn, x, native=True), expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), atol=2e-4, rtol=2e-4)


def test_statistics_of_values_far_from_zero() -> None:
    """A variance of 1 beside a mean of 3,000: sums of squares in float32 would lose it."""
    bn, x = layer(16), torch.randn(4, 16, 9, 9) + 3000
    x = x.contiguous(memory_format=torch.channels_last)
    norm_relu(x, bn, nn.ReLU())
    assert bn.running_var is not None
    expected = 0.9 + 0.1 * x.double().var((0, 2, 3))
    torch.testing.assert_close(bn.running_var.double(), expected, atol=0, rtol=1e-5)


def test_bfloat16_is_computed_in_float32() -> None:
    """Error of one rounding, at most 2⁻⁸; PyTorch's two layers round twice."""
    bn = layer(72)
    x = torch.randn(3, 72, 7, 7).bfloat16().contiguous(memory_format=torch.channels_last)
    ours, expected = run(bn, x, native=True), run(bn, x.float(), native=True)
    y, dx, *_ = ours
    assert y.dtype == dx.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected[0], atol=1e-30, rtol=2**-8)
    torch.manual_seed(1)
    for mine, theirs in zip(ours[2:], expected[2:], strict=True):  # sums of a rounded gradient
        torch.testing.assert_close(mine, theirs, atol=0.15, rtol=2**-7)


def test_same_bits_with_any_number_of_threads(two_threads: None) -> None:
    bn, x = layer(24), torch.randn(5, 24, 31, 29).contiguous(memory_format=torch.channels_last)
    two = run(bn, x, native=True)
    torch.set_num_threads(1)
    one = run(bn, x, native=True)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_plain_mean_over_batches() -> None:
    """Momentum None, with which `recompute_bn_stats` works."""
    ours, theirs = layer(8), layer(8)
    for bn in (ours, theirs):
        bn.reset_running_stats()
        bn.momentum = None
    with torch.no_grad():
        for _ in range(4):
            x = torch.randn(2, 8, 5, 5).contiguous(memory_format=torch.channels_last)
            norm_relu(x, ours, nn.ReLU())
            theirs(x)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other)


def test_running_statistics_in_evaluation() -> None:
    bn = layer(21).eval()
    for values in (bn.running_mean, bn.running_var):
        assert values is not None
        values.uniform_(0.5, 2)
    x = torch.randn(2, 21, 5, 5).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(norm_relu(x, bn, nn.ReLU()), bn(x).relu())
    y = norm_relu(x.requires_grad_(), bn, nn.ReLU())  # with a gradient: PyTorch's layers
    assert type(y.grad_fn).__name__ == "ReluBackward0"


def test_not_a_number_is_not_hidden() -> None:
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 3, 1, 1] = torch.nan
    y = norm_relu(x, layer(16), nn.ReLU())
    assert y[:, 3].isnan().all()
    assert not y[:, [*range(3), *range(4, 16)]].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_relu_alone(dtype: torch.dtype) -> None:
    """Where nothing is normalized: PyTorch's values, infinity and not a number among them."""
    x = torch.randn(2, 21, 5, 7).to(dtype).contiguous(memory_format=torch.channels_last)
    x[0, 0, 0, 0], x[0, 1, 0, 0] = float("nan"), float("inf")
    grad = torch.randn(2, 21, 5, 7).to(dtype)
    found = []
    for relu in (lambda x: norm_relu(x, nn.Identity(), nn.ReLU()), nn.ReLU()):
        given = x.clone().requires_grad_()
        y = relu(given)
        found.append((y, *torch.autograd.grad(y, given, grad)))
    assert type(found[0][0].grad_fn).__name__ == "ReluBackward"
    for mine, theirs in zip(*found, strict=True):
        assert torch.equal(mine.nan_to_num(7), theirs.nan_to_num(7))
    wide = x.double().nan_to_num().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert type(norm_relu(wide, nn.Identity(), nn.ReLU()).grad_fn).__name__ == "ReluBackward0"


def test_relu_alone_stays_in_place_where_no_gradient_is_wanted() -> None:
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert norm_relu(x, nn.Identity(), nn.ReLU(inplace=True)).data_ptr() == x.data_ptr()


def test_second_derivatives_of_relu_alone() -> None:
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = norm_relu(x, nn.Identity(), nn.ReLU())
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(second, 2.0 * (x > 0))


def test_second_derivatives() -> None:
    bn = layer(3)
    x = torch.randn(2, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    x = away_from_zero(bn, x).requires_grad_()

    def gradients(native: bool) -> tuple[Tensor, ...]:
        y = norm_relu(x, bn, nn.ReLU()) if native else bn(x).relu()
        (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), x)
        return first, second

    for mine, theirs in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


def test_hooks_see_what_they_would_see() -> None:
    bn, relu = layer(8), nn.ReLU()
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    relu.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    y = norm_relu(x, bn, relu)
    assert torch.equal(seen[0].relu(), y)


def test_a_single_value_is_refused_as_by_pytorch() -> None:
    with pytest.raises(ValueError, match="more than 1 value"):
        norm_relu(torch.randn(1, 8, 1, 1), layer(8), nn.ReLU())


def test_nothing_is_kept_without_a_gradient() -> None:
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert norm_relu(x, layer(8), nn.ReLU()).grad_fn is None
