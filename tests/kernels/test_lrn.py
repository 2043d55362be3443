"""LRN's kernels against PyTorch's function in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from googlenet.kernels import lrn
from googlenet.kernels.optimize import optimize
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.table import LRN

pytestmark = pytest.mark.usefixtures("kernels")


def run(x: Tensor, norm: LRN) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = optimize(LocalResponseNorm(norm))(x)
    generator = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=generator).to(y.dtype))
    assert x.grad is not None
    return y.double(), x.grad.double()


def expected(x: Tensor, norm: LRN) -> tuple[Tensor, Tensor]:
    x = x.double().requires_grad_()
    y = F.local_response_norm(x, norm.size, norm.alpha, norm.beta, norm.k)
    generator = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=generator).double())  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return y, x.grad


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.sampled_from([1, 3, 16, 21, 64]),
    side=st.integers(1, 6),
    size=st.integers(1, 12),
    beta=st.sampled_from(lrn.BETAS),
)
def test_against_float64(channels: int, side: int, size: int, beta: float) -> None:
    norm = LRN(size, 0.1, beta, 1.5)
    x = (3 * torch.randn(2, channels, side, side)).contiguous(memory_format=torch.channels_last)
    assert lrn.supports(x, norm)
    for mine, theirs in zip(run(x, norm), expected(x, norm), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_rounded_once() -> None:
    norm = LRN(5, 1e-2, 0.75, 1.0)
    x = torch.randn(2, 64, 9, 9).mul(20).bfloat16().contiguous(memory_format=torch.channels_last)
    (y, _), (theirs, _) = run(x, norm), expected(x, norm)
    torch.testing.assert_close(y, theirs, atol=1e-30, rtol=2**-8 + 1e-5)


def test_same_bits_with_any_number_of_threads(two_threads: None) -> None:
    norm = LRN(5, 1e-2, 0.75, 1.0)
    x = torch.randn(2, 64, 31, 31).contiguous(memory_format=torch.channels_last)
    two = run(x, norm)
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(two, run(x, norm), strict=True))


def test_other_exponents_go_the_general_way() -> None:
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    norm = LRN(5, 0.1, 0.6, 1.0)
    assert not lrn.supports(x, norm)
    for mine, theirs in zip(run(x, norm), expected(x, norm), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
