"""From an image to the network's numbers: Pillow and NumPy are the oracles."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing, resize_shorter, resize_size
from googlenet.runtime.errors import UsageError
from tests.fixtures import noise, pixels

GRAY_MODES = Preprocessing(channel_order="L", mean=(117.0,), scale=(1 / 57.5,))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("photo", "resized"),
    [((500, 375), (341, 256)), ((375, 500), (256, 341)), ((100, 100), (256, 256)),
     ((300, 257), (299, 256)), ((40, 30), (341, 256))],
)  # fmt: skip
def test_shorter_side_is_resized_by_pillow(
    photo: tuple[int, int], resized: tuple[int, int], interpolation: str
) -> None:
    image = noise(*photo)
    expected = image.resize(resized, INTERPOLATIONS[interpolation])
    assert np.array_equal(pixels(resize_shorter(image, 256, interpolation)), pixels(expected))


def test_interpolations_are_pillow_s_of_that_name() -> None:
    ours = {"area": "BOX"}
    for name, method in INTERPOLATIONS.items():
        assert method == Image.Resampling[ours.get(name, name.upper())]


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (112, 128), (299, 342), (1, 1)])
def test_margin_is_the_paper_s_share(size: int, resize: int) -> None:
    assert resize_size(size) == resize
    assert resize_size(100 * size, 1.07) == 107 * size


@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
def test_normalize_is_numpy_s_arithmetic(order: str) -> None:
    base = GRAY_MODES if order == "L" else Preprocessing()
    p = replace(base, channel_order=order)
    raw = np.stack([p.pixels(noise(11, 7, seed)) for seed in range(3)])  # (3, 7, 11, C)
    out = p.normalize(torch.from_numpy(raw))
    expected = (raw.astype(np.float64) - np.array(p.mean)) * np.array(p.scale)
    assert out.dtype == torch.float32
    assert out.shape == (3, p.channels, 7, 11)
    assert np.abs(out.numpy() - expected.transpose(0, 3, 1, 2)).max() < 1e-6


def test_imagenet_numbers_are_the_usual_ones() -> None:
    """ToTensor and Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), as everybody does."""
    rgb = pixels(noise(5, 5))
    usual = (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    ours = Preprocessing().normalize(torch.from_numpy(rgb[None].copy()))
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - usual).max() < 1e-5


def test_result_is_in_channels_last_memory() -> None:
    out = Preprocessing().normalize(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_orders_of_channels() -> None:
    crop = noise(6, 4)
    rgb = pixels(crop).astype(float)
    luma = rgb @ (0.299, 0.587, 0.114)  # ITU-R BT.601, which Pillow's "L" follows
    assert np.array_equal(Preprocessing().pixels(crop), rgb)
    assert np.array_equal(Preprocessing(channel_order="BGR").pixels(crop), rgb[:, :, [2, 1, 0]])
    gray = GRAY_MODES.pixels(crop)
    assert gray.shape == (4, 6, 1)
    assert np.abs(gray[:, :, 0] - luma).max() <= 1


@pytest.mark.parametrize(
    "p",
    [Preprocessing(), GRAY_MODES, Preprocessing(channel_order="BGR", mean=(104.0, 117.0, 123.0))],
)
def test_letterbox_padding_is_the_mean_in_the_network_s_order(p: Preprocessing) -> None:
    """What is padded has the mean's color, so the network sees zero there, to a rounding."""
    p = replace(p, mode="letterbox", size=32, resize_size=32)
    padded = p.pixels(p.resize(Image.new("RGB", (64, 16), "red"), 32))
    seen = p.normalize(torch.from_numpy(padded[None].copy()))
    assert seen[0, :, 0].abs().max() < 0.51 * max(p.scale)


@pytest.mark.parametrize(
    "p",
    [
        Preprocessing(),
        GRAY_MODES,
        Preprocessing(64, 80, mode="letterbox", interpolation="area", hflip=False),
    ],
)
def test_json_round_trip(p: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(p.to_json()))) == p


def test_json_of_a_later_version_may_have_more_keys() -> None:
    values = json.loads(json.dumps(Preprocessing().to_json()))
    assert Preprocessing.from_json(values | {"gamma": 2.2}) == Preprocessing()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "stretch"}, "mode must be one of crop, squash, letterbox, got 'stretch'"),
        ({"interpolation": "best"}, "interpolation must be one of nearest, .*, got 'best'"),
        ({"order": "GRB"}, "order must be one of RGB, BGR, L, got 'GRB'"),
        ({"size": 0}, "1 ≤ size ≤ resize ≤ 8192, got 0, 256"),
        ({"size": 300}, "1 ≤ size ≤ resize ≤ 8192, got 300, 256"),
        ({"resize": 9000}, "1 ≤ size ≤ resize ≤ 8192, got 224, 9000"),
        ({"mean": [1.0]}, "mean and scale must have 3 values for order RGB, got"),
        ({"order": "L"}, "mean and scale must have 1 values for order L, got"),
        ({"size": "224"}, "preprocessing size must be of type int, got '224'"),
        ({"size": True}, "preprocessing size must be of type int, got True"),
        ({"mirror": 1}, "preprocessing mirror must be of type bool, got 1"),
        ({"mean": [1, "2", 3]}, "preprocessing mean must be a list of numbers, got"),
        ({"mean": [1, 2, float("nan")]}, "preprocessing mean must be a list of numbers, got"),
        ({"scale": 1.0}, "preprocessing scale must be a list of numbers, got 1.0"),
        ([], r"preprocessing must be an object, got \[\]"),
        (None, "preprocessing must be an object, got None"),
    ],
)
def test_values_outside_their_rules(values: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing.from_json(values)
