"""Local response normalisation against PyTorch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.lrn import LocalResponseNorm, power
from googlenet.table import LRN, variant

CAFFE, TENSORFLOW = variant("paper").norm, variant("inception5h").norm
EVEN_SIZE = LRN(size=4, alpha=0.3, beta=0.6, k=1.5)  # also neither −1/2 nor −3/4


def reference(x: Tensor, norm: LRN) -> Tensor:
    return F.local_response_norm(x, norm.size, norm.alpha, norm.beta, norm.k)


@pytest.mark.parametrize("norm", [CAFFE, TENSORFLOW, EVEN_SIZE])
@pytest.mark.parametrize("channels", [3, 64])
def test_forward_and_backward(norm: LRN, channels: int) -> None:
    """Activations of some hundred, so that the denominator matters."""
    x = (100 * torch.randn(2, channels, 5, 7, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(2, channels, 5, 7, dtype=torch.float64)
    ours, theirs = LocalResponseNorm(norm)(x), reference(x, norm)
    assert not torch.allclose(theirs, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    (gradient,) = torch.autograd.grad((ours * weights).sum(), x)
    (expected,) = torch.autograd.grad((theirs * weights).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", [CAFFE, TENSORFLOW])
def test_single_precision(norm: LRN) -> None:
    x = 100 * torch.randn(2, 64, 9, 9)
    exact = reference(x.double(), norm)
    torch.testing.assert_close(LocalResponseNorm(norm)(x).double(), exact, rtol=1e-5, atol=1e-4)


def test_layout_and_type_are_kept() -> None:
    x = torch.randn(2, 8, 5, 5, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    y = LocalResponseNorm(LRN(5, 1e-4, 0.75, 1.0))(x)
    assert y.dtype == torch.bfloat16
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_has_nothing_to_learn_or_to_save() -> None:
    assert not LocalResponseNorm(LRN(5, 1e-4, 0.75, 1.0)).state_dict()


@pytest.mark.parametrize("exponent", [-0.5, -0.75, -0.6, -1.0])
def test_power(exponent: float) -> None:
    x = torch.rand(100, dtype=torch.float64) + 0.1
    torch.testing.assert_close(power(x, exponent), x.pow(exponent))
