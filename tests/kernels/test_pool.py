"""Max pooling against PyTorch's own, bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from googlenet.kernels.pool import max_pool
from googlenet.kernels.tensor_views import usable

pytestmark = pytest.mark.usefixtures("kernels")
SHAPES = st.tuples(
    st.integers(1, 3),
    st.sampled_from([1, 3, 8, 16, 21, 40, 72]),
    st.integers(3, 12),
    st.integers(3, 12),
)
# Kernel, stride, padding, ceil mode: the modules' pool, the stages', and others.
OPTIONS = ((3, 1, 1, False), (3, 2, 0, True), (2, 2, 0, True), (3, 2, 1, False), (2, 1, 0, False))
same_kernels = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def values(kind: str, shape: tuple[int, ...]) -> Tensor:
    """Maps in which values repeat, so that ties are common, of the kind that is asked for."""
    x = torch.randint(-3, 4, shape).float()
    if kind == "relu":
        return x.relu()
    if kind == "zeros of both signs":
        return torch.where(x > 0, 0.0, -0.0)
    if kind == "infinite":
        return torch.where(x == 3, torch.inf, torch.where(x < 0, -torch.inf, x))
    if kind == "not a number":
        return torch.where(x == 3, torch.nan, x)
    if kind == "relu, infinite":
        return torch.where(x == 3, torch.inf, x.relu())
    if kind == "relu, not a number":
        return torch.where(x == 3, torch.nan, x.relu())
    return x


def channels_last(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def results(pool, x: Tensor, grad: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    x = x.clone().requires_grad_()
    y = pool(x)
    torch.manual_seed(1)
    (dx,) = torch.autograd.grad(y, x, torch.randn_like(y) if grad is None else grad.to(y.dtype))
    return y, dx


def bits(x: Tensor) -> Tensor:
    """The bits of each value, of which there are many that mean "not a number"."""
    x = x.masked_fill(x.isnan(), torch.nan)
    return x.contiguous().view(torch.int32 if x.dtype == torch.float32 else torch.int16)


KINDS = (
    "any", "relu", "zeros of both signs", "infinite", "not a number", "relu, infinite",
    "relu, not a number",
)  # fmt: skip


@same_kernels
@given(shape=SHAPES, options=st.sampled_from(OPTIONS), kind=st.sampled_from(KINDS))
def test_same_bits_as_pytorch(
    shape: tuple[int, ...], options: tuple[int, int, int, bool], kind: str
) -> None:
    x = channels_last(values(kind, shape))
    assert usable(x)
    kernel, stride, padding, ceil = options
    ours = results(lambda x: max_pool(x, *options), x)
    expected = results(lambda x: F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil), x)
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.shape == theirs.shape
        assert torch.equal(bits(mine), bits(theirs))


@same_kernels
@given(shape=SHAPES, options=st.sampled_from(OPTIONS), kind=st.sampled_from(KINDS))
def test_bfloat16_is_float32_rounded_once(
    shape: tuple[int, ...], options: tuple[int, int, int, bool], kind: str
) -> None:
    x = channels_last(values(kind, shape), torch.bfloat16)
    y, dx = results(lambda x: max_pool(x, *options), x)
    kernel, stride, padding, ceil = options
    theirs = F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
    torch.manual_seed(1)
    grad = torch.randn_like(theirs)
    _, wide = results(lambda x: max_pool(x, *options), channels_last(x), grad)
    assert torch.equal(bits(y), bits(theirs))
    assert torch.equal(bits(dx), bits(wide.bfloat16()))


@pytest.mark.parametrize("options", OPTIONS)
def test_same_bits_with_any_number_of_threads(
    options: tuple[int, int, int, bool], two_threads: None
) -> None:
    x = channels_last(torch.randn(3, 24, 41, 37))
    two = results(lambda x: max_pool(x, *options), x)
    torch.set_num_threads(1)
    one = results(lambda x: max_pool(x, *options), x)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_gradient_in_another_layout() -> None:
    x = channels_last(torch.randn(2, 8, 6, 6))
    grad = torch.randn(2, 8, 6, 6)
    ours = results(lambda x: max_pool(x, 3, 1, 1), x, grad)
    expected = results(lambda x: F.max_pool2d(x, 3, 1, 1), x, grad)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(2, 3, 8, 8),  # channels first
        channels_last(torch.randn(2, 3, 8, 8)).double(),
        channels_last(torch.randn(2, 6, 8, 8))[:, ::2],
        torch.randn(3, 8, 8),
    ],
    ids=["channels first", "double", "every other channel", "one photo without a batch"],
)
def test_what_the_kernels_cannot_read_goes_to_pytorch(x: Tensor) -> None:
    assert not usable(x)
    assert torch.equal(max_pool(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1))


def test_switched_off_it_is_pytorchs(no_kernels: None) -> None:
    x = channels_last(torch.randn(2, 16, 8, 8))
    assert not usable(x)
    ours = results(lambda x: max_pool(x, 3, 1, 1), x)
    expected = results(lambda x: F.max_pool2d(x, 3, 1, 1), x)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


def test_second_derivatives() -> None:
    """Of a cube after the pool: finite differences are blind to ties, random maps have none."""
    x = channels_last(torch.randn(1, 8, 5, 5)).requires_grad_()

    def gradients(pool) -> tuple[Tensor, ...]:  # type: ignore[no-untyped-def]
        (first,) = torch.autograd.grad(pool(x).pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), x)
        return first, second

    ours = gradients(lambda x: max_pool(x, 3, 2))
    expected = gradients(lambda x: F.max_pool2d(x, 3, 2))
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_without_a_gradient() -> None:
    x = channels_last(torch.randn(4, 8, 6, 6))
    with torch.no_grad():
        assert torch.equal(max_pool(x, 3, 2), F.max_pool2d(x, 3, 2))


def test_under_vmap_it_fails_rather_than_reads_what_is_not_there() -> None:
    x = channels_last(torch.randn(4, 8, 6, 6))
    with pytest.raises(RuntimeError, match="inside of vmap"):
        torch.vmap(lambda each: max_pool(each[None], 3, 2)[0])(x)


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RuntimeError):
        max_pool(channels_last(torch.randn(1, 8, 2, 2)), 3, 2)
