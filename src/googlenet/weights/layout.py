"""Tensors from other layouts to ours: kernels OIHW, maps flattened channel by channel."""

from __future__ import annotations

import torch
from torch import Tensor

from googlenet.weights.weight_file import WeightFileError

HEAD_SIDE = 4  # an auxiliary head pools to 4×4 before its fully connected layer


def to_ours(name: str, ours: str, tensor: Tensor, target: Tensor, layout: str) -> Tensor:
    """The tensor `name` of a file as our tensor `ours`, which has the shape of `target`.

    Raises WeightFileError, which names it, for another shape, for integers where there are
    weights, and for NaN or infinity.
    """
    expected = shape_there(target.shape, layout)
    if without_leading_ones(tensor.shape) != without_leading_ones(expected):
        raise WeightFileError(
            f"tensor {name!r} must have shape {expected}, has {tuple(tensor.shape)}"
        )
    if tensor.is_floating_point() != target.is_floating_point():
        raise WeightFileError(
            f"tensor {name!r} must be of {target.dtype}, is of {tensor.dtype}: "
            "quantized networks are not read"
        )
    values = tensor.to(target.dtype).reshape(expected)
    if not bool(torch.isfinite(values).all()):
        raise WeightFileError(f"tensor {name!r} holds NaN or infinity")
    if ours.endswith("running_var") and bool((values < 0).any()):
        raise WeightFileError(f"tensor {name!r} must be a variance, holds numbers below zero")
    return from_hwio(values, ours, target) if layout == "HWIO" else values


def from_hwio(values: Tensor, ours: str, target: Tensor) -> Tensor:
    """TensorFlow's layout to ours.

    A fully connected layer is a convolution over the whole map: its inputs are HWC there and
    CHW here, its matrix inputs × outputs there and outputs × inputs here.
    """
    if target.ndim < 2:
        return values
    if target.ndim == 2:
        side = HEAD_SIDE if ours.endswith(".fc.weight") else 1
        outputs, inputs = target.shape
        values = values.reshape(side, side, inputs // side**2, outputs)
    return values.permute(3, 2, 0, 1).reshape(target.shape)


def shape_there(shape: torch.Size, layout: str) -> tuple[int, ...]:
    """The shape that our tensor has in the file."""
    if layout == "OIHW" or len(shape) < 2:
        return tuple(shape)
    outputs, inputs, *sides = shape
    return (*sides, inputs, outputs)


def without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Caffe's old blobs have four dimensions whatever they hold, and a 1×1 kernel is a matrix."""
    ones = next((at for at, side in enumerate(shape) if side != 1), len(shape))
    return tuple(shape[ones:])
