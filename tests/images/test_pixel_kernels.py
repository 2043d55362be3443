"""Crops by the kernels against PyTorch's own operators on bytes, and against Pillow: bit for bit
the first, to within a level the second."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from googlenet.images import pixel_kernels
from googlenet.images.augment import hflip, resized_crop
from googlenet.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, INTERPOLATIONS
from tests.fixtures import noise
from tests.fixtures import pixels as as_array

SIDES = st.one_of(st.integers(1, 12), st.integers(1, 300))


def pattern(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Noise or, for the extremes, black and white of sharp edges, in a larger image."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 256, (height, width + 5, 3), dtype=np.uint8)
    return found if seed % 2 else np.where(found > 127, np.uint8(255), np.uint8(0))


def by_pytorch(crop: NDArray[np.uint8], size: tuple[int, int], kind: str) -> NDArray[np.uint8]:
    tensor = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None]
    resized = interpolate(tensor, size[::-1], mode=kind, antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=SIDES,
    width=SIDES,
    size=st.tuples(SIDES, SIDES),
    kind=st.sampled_from(pixel_kernels.INTERPOLATIONS),
    seed=st.integers(0, 99),
)
def test_resized_has_pytorch_s_bits(
    kernels: None, height: int, width: int, size: tuple[int, int], kind: str, seed: int
) -> None:
    whole = pattern(height, width, seed)
    crop = whole[:, 2 : 2 + width]
    found = pixel_kernels.resize(crop, size, kind)
    assert found is not None
    assert found.shape == (size[1], size[0], 3)
    assert np.array_equal(found, by_pytorch(crop, size, kind))
    if kind == "bilinear":  # where bicubic overshoots, the order of the two passes matters
        theirs = Image.fromarray(np.ascontiguousarray(crop)).resize(size, INTERPOLATIONS[kind])
        assert np.abs(found.astype(int) - np.asarray(theirs)).max() <= 1


@pytest.mark.parametrize("kind", pixel_kernels.INTERPOLATIONS)
def test_long_images_have_pytorch_s_bits(kernels: None, kind: str) -> None:
    """Hundreds of pixels to one: many coefficients, each small."""
    for shape in ((3, 9001), (9001, 3), (2000, 1500)):
        crop = pattern(*shape, seed=1)[:, : shape[1]]
        found = pixel_kernels.resize(crop, (20, 30), kind)
        assert np.array_equal(found, by_pytorch(crop, (20, 30), kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [1, 2, 3, 64, 225])
def test_hflip_is_numpy_s_reversed_view(width: int) -> None:
    pixels = pattern(7, width, seed=3)[:, :width]
    assert np.array_equal(hflip(pixels), pixels[:, ::-1])


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    side=st.integers(1, 60),
    interpolation=st.sampled_from(sorted(INTERPOLATIONS)),
    data=st.data(),
)
def test_crops_are_those_of_pillow_to_within_a_level(
    width: int, height: int, side: int, interpolation: str, data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(left + 1, width))
    bottom = data.draw(st.integers(top + 1, height))
    photo = noise(width, height, seed=side)
    ours = resized_crop(as_array(photo), (left, top, right, bottom), (side, side), interpolation)
    theirs = photo.crop((left, top, right, bottom)).resize(
        (side, side), INTERPOLATIONS[interpolation]
    )
    assert np.abs(ours.astype(int) - as_array(theirs)).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7), (3, 32, 33)])
def test_normalized_has_pytorch_s_bits(kernels: None, shape: tuple[int, int, int]) -> None:
    pixels = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8)
    mean, scale = torch.tensor(IMAGENET_MEAN), 1 / torch.tensor(IMAGENET_STD)
    found = pixel_kernels.normalized(pixels, mean, scale)
    assert found is not None
    assert torch.equal(found, (pixels.float() - mean) * scale)
    for other in (pixels.float(), pixels[..., :2], pixels.to("meta")):
        assert pixel_kernels.normalized(other, mean, scale) is None


def test_other_arrays_are_left_to_others(kernels: None) -> None:
    crop = pattern(6, 8, seed=1)
    assert pixel_kernels.resize(crop[:, ::2], (4, 4), "bilinear") is None
    assert pixel_kernels.resize(crop[::-1], (4, 4), "bilinear") is None
    assert pixel_kernels.resize(crop[..., :1], (4, 4), "bilinear") is None


def test_without_kernels_the_bits_are_the_same(
    kernels: None, request: pytest.FixtureRequest
) -> None:
    whole, box = pattern(120, 90, seed=5), (7, 11, 83, 110)

    def crops() -> list[NDArray[np.uint8]]:
        return [resized_crop(whole, box, (48, 48), k) for k in pixel_kernels.INTERPOLATIONS]

    ours = crops()
    request.getfixturevalue("no_kernels")
    assert pixel_kernels.resize(whole, (48, 48), "bilinear") is None
    for one, other in zip(ours, crops(), strict=True):
        assert np.array_equal(one, other)
