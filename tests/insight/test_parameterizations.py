"""What is optimized: spectra as numpy has them, phases under fixed amplitudes, moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from googlenet.insight.parameterizations import (
    PARAMETERIZATIONS,
    Fourier,
    Maco,
    from_spectrum,
    spectrum_scale,
)
from googlenet.insight.transforms import JITTER, PADDING, crop, sample, transform


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("kind", PARAMETERIZATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_in_range_and_differentiable(kind: str, channels: int) -> None:
    made = PARAMETERIZATIONS[kind](generators(0, 1), 32, channels)
    images = made.images()
    assert images.shape == (2, channels, 32, 32)
    assert images.min() >= 0
    assert images.max() <= 1
    images.square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in made.parameters)
    alone = PARAMETERIZATIONS[kind](generators(1), 32, channels).images()
    torch.testing.assert_close(alone[0], images[1], rtol=0, atol=0)


def test_the_spectrum_is_numpy_s() -> None:
    values = np.random.default_rng(0).normal(size=(1, 2, 16, 16)).astype(np.float32)
    spectrum = np.fft.rfft2(values)
    parts = torch.tensor(np.stack((spectrum.real, spectrum.imag), -1), dtype=torch.float32)
    np.testing.assert_allclose(from_spectrum(parts, 16).numpy(), values, atol=1e-5)


def test_low_frequencies_have_more_energy() -> None:
    made = Fourier(generators(0), 64, 3)
    power = torch.fft.rfft2((made.images() - 0.5)[0, 0]).abs().square()
    assert power[1:4, 1:4].mean() > 30 * power[20:30, 20:30].mean()
    assert spectrum_scale(64, 1.0)[0, 1] == pytest.approx(64 / 4 * 64)


def test_maco_changes_phases_alone() -> None:
    made = Maco(generators(0), 32, 1)
    before = amplitudes(made.images())
    with torch.no_grad():
        made.phases += torch.randn(made.phases.shape, generator=torch.Generator().manual_seed(3))
    after = amplitudes(made.images())
    inner = (slice(1, 15), slice(1, 15))  # a real image ties the phases of the edges
    torch.testing.assert_close(
        before[inner] / before[inner].mean(), after[inner] / after[inner].mean(), rtol=1e-3,
        atol=1e-3,
    )  # fmt: skip


def amplitudes(images: Tensor) -> Tensor:
    values = torch.logit(images.double(), eps=1e-12)
    found: Tensor = torch.fft.rfft2(values[0, 0]).abs()
    return found


def test_transformed_images_keep_their_size_and_depend_on_the_generator_alone() -> None:
    images = torch.rand(3, 3, 40, 40, generator=generators(0)[0])
    moved = transform(images, generators(5)[0])
    assert moved.shape == images.shape
    torch.testing.assert_close(moved[1:2], transform(images[1:2], generators(5)[0]))
    assert not torch.equal(moved, transform(images, generators(6)[0]))


def test_moves_are_what_they_say() -> None:
    image = torch.zeros(1, 1, 40, 40)
    image[0, 0, 20, 20] = 1
    assert torch.equal(sample(image, 1.0, 0.0, [0.0, 0.0]).round(), image)
    shifted = sample(image, 1.0, 0.0, [-3.0, 2.0])[0, 0]
    assert shifted.flatten().argmax() == 18 * 40 + 23
    large = torch.zeros(1, 1, 40, 40)
    large[0, 0, 10:30, 10:30] = 1
    assert sample(large, 1.5, 0.0, [0.0, 0.0]).sum() == pytest.approx(900, rel=0.02)
    assert sample(large, 1.0, 0.5, [0.0, 0.0]).sum() == pytest.approx(400, rel=0.02)
    assert PADDING >= JITTER
    assert crop(large, 20).mean() == 1
