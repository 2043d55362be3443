"""Random resized crops of a whole batch as matrix products, for a device that is good at them.

A resize is linear in the rows and in the columns, so a crop of an image is two products: with a
A resize is linear in the rows and in the columns, so a crop of an image is two products: with a
the antialiasing needs.  Images of any sizes lie in one tensor, padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.images.crop_source import CropGeometry, pad_stack
from googlenet.images.preprocess import Preprocessing

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as Pillow weighs them


def cropped(cutouts: Tensor, cuts: CropGeometry, preprocessing: Preprocessing) -> Tensor:
    """(N, H, W, 3) uint8 on the device -> (N, C, side, side) float32, as the network sees crops.

    With cut-outs of the largest size it takes some 510 · side² bytes an image while it works.
    """
    sizes, mirrored = (torch.from_numpy(a).to(cutouts.device) for a in (cuts.sizes, cuts.mirrored))
    boxes = torch.cat([torch.zeros_like(sizes), sizes], 1)
    crops = resized_crop_batch(cutouts.permute(0, 3, 1, 2).contiguous(), boxes, mirrored, cuts.side)
    return normalize(crops, preprocessing)


def padded(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Images (H, W, 3) of any sizes as one tensor (N, 3, height, width) uint8 of the largest."""
    return torch.from_numpy(pad_stack(images)).permute(0, 3, 1, 2).contiguous()


def resized_crop_batch(images: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """(N, 3, H, W) uint8, (N, 4) left, top, right, bottom, (N,) bool -> (N, 3, size, size) float32.

    Antialiased bilinear, levels of 0 to 255 that are not rounded: of the crop alone, as
    torchvision resizes it, within a level; in float32 where all around is computed in bfloat16.
    Boxes may end within a pixel.
    """
    left, top, right, bottom = boxes.unbind(1)
    rows = resize_matrices(top, bottom, images.shape[2], size)
    columns = resize_matrices(left, right, images.shape[3], size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    with torch.autocast(images.device.type, enabled=False):
        return rows[:, None] @ images.float() @ columns[:, None].transpose(2, 3)


def resize_matrices(low: Tensor, high: Tensor, length: int, size: int) -> Tensor:
    """The matrices (N, size, length) that resize the pixels low ≤ i < high of a row to `size`."""
    low, high = low[:, None, None].float(), high[:, None, None].float()
    scale = (high - low) / size
    made = torch.arange(size, device=low.device)[:, None]
    pixel = torch.arange(length, device=low.device)
    distance = (pixel + 0.5 - (low + (made + 0.5) * scale)).abs()
    weights = (1 - distance / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel >= low) & (pixel < high))
    return weights / weights.sum(2, keepdim=True)


def normalize(crops: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, 3, H, W) of levels, RGB -> what the network sees of them, channels-last."""
    if preprocessing.channel_order == "BGR":
        crops = crops.flip(1)
    elif preprocessing.channel_order == "L":
        luma = torch.tensor(LUMA, device=crops.device)[:, None, None]
        crops = (crops * luma).sum(1, keepdim=True)
    mean = torch.tensor(preprocessing.mean, device=crops.device)[:, None, None]
    scale = torch.tensor(preprocessing.scale, device=crops.device)[:, None, None]
    return ((crops - mean) * scale).contiguous(memory_format=torch.channels_last)
