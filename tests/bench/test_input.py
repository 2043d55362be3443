"""The pipelines that are compared do the same work."""

from __future__ import annotations

import numpy as np
import torch

from googlenet.bench.input import (
    InputImages,
    alternate,
    build,
    crop_plainly,
    ours,
    synthetic,
    tensor_plainly,
)
from googlenet.images.augment import RandomResizedCrop
from tests.fixtures import pixels

PHOTOS = InputImages(synthetic(5, 80, 60), RandomResizedCrop(32, (0.5, 1.0)))


def test_every_pipeline_draws_the_same_crops() -> None:
    """Ours to within the levels by which Pillow's resize of a box differs at its edges."""
    for epoch in range(2):
        plain = np.stack([pixels(crop_plainly(PHOTOS, i, epoch)) for i in range(5)])
        for decoder in ("pillow", "turbo"):
            (crops,) = ours(PHOTOS, decoder)[0](epoch)
            inner = np.abs(crops.astype(int) - plain)[:, 2:-2, 2:-2]
            assert inner.max() <= 1


def test_batches_are_the_tensors_of_torchvision_s_steps() -> None:
    plain = torch.stack([tensor_plainly(crop_plainly(PHOTOS, i, 0)) for i in range(5)])
    (batch,) = ours(PHOTOS, "turbo")[1](0)
    level = 1 / 255 / 0.22
    assert (batch - plain)[:, :, 2:-2, 2:-2].abs().max() <= 1.05 * level


def test_repetitions_alternate_and_the_first_does_not_count() -> None:
    ran: list[str] = []
    pipelines = {name: lambda epoch, name=name: ran.append(f"{name}{epoch}") for name in "ab"}
    speeds = alternate(pipelines, 3, 2, lambda: None)  # type: ignore[arg-type]
    assert ran == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert all(len(found) == 2 and min(found) > 0 for found in speeds.values())
    assert set(build(PHOTOS)) > {"Pillow, uint8 crops", "decoding alone, Pillow"}
