"""Decoded images on the device, of which each training step draws and crops a batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.bench.harness import Conditions, NextBatch
from googlenet.data.dataset import Samples
from googlenet.data.load_data import load_data
from googlenet.images.augment import RandomResizedCrop
from googlenet.images.decode import ImageError, decode
from googlenet.images.device_crops import normalize, padded, resized_crop_batch
from googlenet.images.preprocess import Preprocessing, resize_shorter, resize_size
from googlenet.images.turbo_jpeg import as_pillow, size_of
from googlenet.runtime.errors import GoogLeNetError

MAX_IMAGES = 1024
CROP_SCALE = (0.08, 1.0)  # of the image's area


def cropped_on_device(given: Conditions) -> NextBatch:
    """Batches of random crops of images from all over the data, drawn at each step."""
    assert given.data
    samples = load_data(given.data).all
    if samples.multi_hot is not None:
        raise GoogLeNetError(f"{given.data}: must have one label per image for bench training")
    at = np.unique(np.linspace(0, len(samples) - 1, min(MAX_IMAGES, len(samples))).astype(int))
    arrays, classes = decode_samples(samples.take([int(i) for i in at]), resize_size(given.size))
    images = padded(arrays).to(given.device)
    labels = torch.tensor(classes).to(given.device)
    crop = RandomResizedCrop(given.size, CROP_SCALE)
    preprocessing = Preprocessing(size=given.size, resize_size=resize_size(given.size))
    steps = iter(range(1 << 62))

    def batch() -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((0, next(steps)))
        drawn = rng.integers(len(arrays), size=given.batch)
        boxes = [crop.box(*size_of(arrays[i]), rng) for i in drawn]
        mirrored = rng.random(given.batch) < 0.5
        chosen = torch.from_numpy(drawn).to(given.device)
        crops = resized_crop_batch(
            images[chosen],
            torch.tensor(boxes).to(given.device),
            torch.from_numpy(mirrored).to(given.device),
            given.size,
        )
        return normalize(crops, preprocessing), labels[chosen]

    return batch


def decode_samples(samples: Samples, side: int) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Images with a shorter side of at most `side`, and their labels, without unreadable ones."""
    arrays, labels = [], []
    for source, label in zip(samples.sources, samples.labels, strict=True):
        try:
            image = as_pillow(decode(source))
        except ImageError:
            continue
        small = image if min(image.size) <= side else resize_shorter(image, side, "bilinear")
        arrays.append(np.asarray(small.convert("RGB")))
        labels.append(int(label))
    if not arrays:
        raise GoogLeNetError("no image of the data could be read")
    return arrays, labels
