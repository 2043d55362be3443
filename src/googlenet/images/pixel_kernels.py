"""Crops resized and normalized in one pass each, where PyTorch makes several.

The same bits as PyTorch's antialiased `interpolate` of bytes, and its arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from googlenet.images.library import library

if TYPE_CHECKING:
    from torch import Tensor

INTERPOLATIONS = ("bilinear", "bicubic")


def resize(
    crop: NDArray[np.uint8], size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8] | None:
    """A crop (H, W, 3), any rows of it side by side in memory, at `size` (width, height).

    None where there are no kernels.
    """
    kernels = library()
    height, width, channels = crop.shape
    rows_apart = crop.strides[0] >= 3 * width
    if kernels is None or channels != 3 or crop.strides[1:] != (3, 1) or not rows_apart:
        return None
    columns, rows = size
    found = np.empty((rows, columns, 3), np.uint8)
    bicubic = INTERPOLATIONS.index(interpolation)
    kernels.googlenet_resize(
        crop.ctypes.data, crop.strides[0], width, height, bicubic, found.ctypes.data, columns, rows
    )
    return found


def normalized(pixels: Tensor, mean: Tensor, scale: Tensor) -> Tensor | None:
    """(…, 3) uint8 -> (pixel - mean) * scale in float32, of the same shape.

    None where there are no kernels, or for tensors elsewhere, laid out otherwise or traced.
    """
    import torch

    usable = (
        type(pixels) is torch.Tensor
        and pixels.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and pixels.dtype == torch.uint8
        and pixels.shape[-1] == 3
        and pixels.is_contiguous()
    )
    kernels = library() if usable else None
    if kernels is None:
        return None
    found = torch.empty(pixels.shape)
    kernels.googlenet_normalize(
        pixels.data_ptr(), found.data_ptr(), pixels.numel() // 3, mean.data_ptr(), scale.data_ptr()
    )
    return found
