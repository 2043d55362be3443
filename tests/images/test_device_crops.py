"""Crops of a whole batch as matrix products are those that PyTorch and Pillow make one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.images.device_crops import normalize, padded, resized_crop_batch
from googlenet.images.preprocess import Preprocessing
from tests.fixtures import noise, pixels

PHOTOS = [pixels(noise(*size, seed)) for seed, size in enumerate([(90, 60), (40, 75), (64, 64)])]
BOXES = [(3, 5, 83, 47), (0, 0, 40, 75), (10, 20, 31, 40)]  # shrunk, whole, enlarged


@pytest.mark.parametrize("size", [32, 17])
def test_crops_are_pillow_s_of_the_cut(size: int) -> None:
    """Within a level: Pillow rounds twice, after the columns and after the rows."""
    mirrored = torch.tensor([False, True, False])
    crops = resized_crop_batch(padded(PHOTOS), torch.tensor(BOXES), mirrored, size)
    assert crops.shape == (3, 3, size, size)
    for crop, photo, box, mirror in zip(crops, PHOTOS, BOXES, mirrored, strict=True):
        cut = Image.fromarray(photo).crop(box)
        expected = pixels(cut.resize((size, size), Image.Resampling.BILINEAR)).astype(np.float32)
        expected = expected[:, ::-1] if mirror else expected
        assert np.abs(crop.permute(1, 2, 0).numpy() - expected).max() <= 1.01


def test_images_are_padded_with_nothing_that_counts() -> None:
    together = padded(PHOTOS)
    assert together.shape == (3, 3, 75, 90)
    alone = padded(PHOTOS[1:2])
    boxes, straight = torch.tensor(BOXES[1:2]), torch.tensor([False])
    crops = resized_crop_batch(together[1:2], boxes, straight, 24)
    assert torch.allclose(crops, resized_crop_batch(alone, boxes, straight, 24), atol=1e-3)


def test_the_network_sees_what_preprocessing_gives_it() -> None:
    preprocessing = Preprocessing(size=64, resize_size=73)
    whole = padded(PHOTOS[2:])
    expected = preprocessing.normalize(whole.permute(0, 2, 3, 1))
    found = normalize(whole.float(), preprocessing)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
