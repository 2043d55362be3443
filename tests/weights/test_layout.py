"""Layouts against the arithmetic that they must not change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.weights.layout import to_ours
from googlenet.weights.weight_file import WeightFileError


def converted(theirs: Tensor, target: tuple[int, ...], ours: str, layout: str = "HWIO") -> Tensor:
    return to_ours("x", ours, theirs, torch.empty(target), layout)


def test_a_kernel() -> None:
    """HWIO against a sum over window and inputs, written out."""
    theirs = torch.randn(3, 3, 2, 5)
    x = torch.randn(1, 2, 3, 3)
    ours = F.conv2d(x, converted(theirs, (5, 2, 3, 3), "conv1.conv.weight"))
    assert torch.allclose(ours.flatten(), torch.einsum("nihw,hwio->o", x, theirs), atol=1e-5)


def test_a_fully_connected_layer_over_a_map() -> None:
    """TensorFlow flattens the map rows first, channels last."""
    theirs = torch.randn(4 * 4 * 6, 7)
    x = torch.randn(2, 6, 4, 4)
    weight = converted(theirs, (7, 6 * 16), "aux_4a.fc.weight")
    expected = x.permute(0, 2, 3, 1).reshape(2, -1) @ theirs
    assert torch.allclose(F.linear(x.flatten(1), weight), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 7), (1, 1, 6, 7)])
def test_a_classifier_as_a_matrix_and_as_a_convolution(shape: tuple[int, ...]) -> None:
    theirs, x = torch.randn(shape), torch.randn(2, 6)
    ours = F.linear(x, converted(theirs, (7, 6), "classifier.weight"))
    assert torch.allclose(ours, x @ theirs.reshape(6, 7), atol=1e-5)


def test_caffe_s_four_dimensions() -> None:
    theirs = torch.randn(1, 1, 7, 6)
    assert torch.equal(converted(theirs, (7, 6), "classifier.weight", "OIHW"), theirs[0, 0])
    bias = torch.randn(1, 1, 1, 7)
    assert torch.equal(converted(bias, (7,), "classifier.bias", "OIHW"), bias.flatten())


@pytest.mark.parametrize("layout", ["OIHW", "HWIO"])
def test_another_shape_is_refused(layout: str) -> None:
    with pytest.raises(WeightFileError, match=r"tensor 'x' must have shape .*, has \(5, 3, 3, 2\)"):
        converted(torch.zeros(5, 3, 3, 2), (5, 2, 3, 3), "conv1.conv.weight", layout)


def test_a_huge_shape_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(WeightFileError, match="must have shape"):
        converted(torch.zeros(1).expand(1 << 40), (7,), "classifier.bias")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(WeightFileError, match="tensor 'x' holds NaN or infinity"):
        converted(torch.tensor([1.0, value]), (2,), "classifier.bias")


def test_numbers_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(WeightFileError, match="holds NaN or infinity"):
        converted(torch.tensor([1e300], dtype=torch.float64), (1,), "classifier.bias")


def test_a_negative_variance_is_refused() -> None:
    with pytest.raises(WeightFileError, match="must be a variance"):
        converted(torch.tensor([-1.0]), (1,), "conv1.bn.running_var")


def test_integers_are_refused() -> None:
    with pytest.raises(WeightFileError, match="quantized networks are not read"):
        converted(torch.ones(2, dtype=torch.int8), (2,), "classifier.bias")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(dtype: torch.dtype) -> None:
    found = converted(torch.tensor([0.5, -2.0], dtype=dtype), (2,), "classifier.bias")
    assert found.dtype == torch.float32
    assert found.tolist() == [0.5, -2.0]
