"""The preprocessing as a graph, against Pillow's, image by image, in both engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from PIL import Image

from googlenet.export.image_graph import preprocessing_model
from googlenet.export.openvino_model import from_onnx
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import VIEWS
from googlenet.inference.backends.openvino import pillow_resize
from googlenet.runtime.errors import UsageError
from tests.fixtures import slow

Graph = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# Landscape, portrait, odd, tiny, one pixel, huge, of the very side, and nearly square.
SIZES = [(160, 120), (120, 161), (31, 47), (3, 90), (1, 1), (769, 512), (64, 64), (75, 64)]


def photo(width: int, height: int) -> NDArray[np.uint8]:
    """Smooth colors with some noise on them."""
    rng = np.random.default_rng((width, height))
    coarse = rng.integers(0, 256, (max(2, height // 7), max(2, width // 7), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height))).astype(int)
    noisy = smooth + rng.integers(-20, 20, (height, width, 3))
    return np.asarray(noisy.clip(0, 255), np.uint8)


def preprocessing(mode: str, interpolation: str, order: str) -> Preprocessing:
    channels = 1 if order == "L" else 3
    mean, scale = (117.3, 104.2, 99.0)[:channels], (0.5, 1.0, 0.25)[:channels]
    return Preprocessing(56, 64, mode, interpolation, order, mean, scale)


def in_onnxruntime(p: Preprocessing) -> Graph:
    session = InferenceSession(
        preprocessing_model(p).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return lambda x: np.asarray(session.run(None, {"photo": x})[0])


def in_openvino(p: Preprocessing) -> Graph:
    model = from_onnx(preprocessing_model(p))
    pillow_resize(model)
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled: Any = openvino.Core().compile_model(model, "CPU", settings)
    return lambda x: np.asarray(compiled([x])[0])


def levels(graph: Graph, p: Preprocessing, x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far the graph's pixels are from Pillow's, of 255."""
    crop = p.pixels(next(VIEWS[1](Image.fromarray(x), p)))
    expected = p.normalize(torch.from_numpy(crop.copy())[None]).numpy()
    found = graph(x)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    return np.asarray(np.abs(found - expected) / np.array(p.scale).reshape(1, -1, 1, 1), np.float32)


# How far the worst pixel and the mean may be, in levels of 255.
FAR = {"bilinear": (16.0, 0.3), "bicubic": (16.0, 0.8), "nearest": (255.0, 1.0)}
QUICK = [
    ("bilinear", "RGB", "crop"),
    ("bilinear", "BGR", "letterbox"),
    ("bilinear", "L", "squash"),
    ("bicubic", "RGB", "letterbox"),
    ("nearest", "RGB", "squash"),
]
SLOW = [
    (interpolation, order, mode)
    for interpolation in FAR
    for order in ("RGB", "BGR", "L")
    for mode in ("crop", "squash", "letterbox")
    if (interpolation, order, mode) not in QUICK
]


@pytest.mark.parametrize("engine", [in_onnxruntime, in_openvino])
@pytest.mark.parametrize(
    ("interpolation", "order", "mode"),
    [*QUICK, *(slow(*each) for each in SLOW)],
)
def test_it_is_pillow_s_to_a_few_levels(
    engine: Callable[[Preprocessing], Graph], interpolation: str, order: str, mode: str
) -> None:
    """A level where roundings differ; `nearest` may take a neighboring row."""
    p, (most, mean) = preprocessing(mode, interpolation, order), FAR[interpolation]
    graph = engine(p)
    for width, height in SIZES:
        differences = levels(graph, p, photo(width, height))
        assert differences.max() <= most, (width, height)
        assert differences.mean() <= mean, (width, height)


def test_openvino_s_own_reading_of_the_resize_is_not_pillow_s() -> None:
    """Why `pillow_resize` is needed; should this fail, it no longer is."""
    p = preprocessing("crop", "bilinear", "RGB")
    compiled: Any = openvino.Core().compile_model(from_onnx(preprocessing_model(p)), "CPU")
    assert levels(lambda x: np.asarray(compiled([x])[0]), p, photo(769, 512)).mean() > 3


@pytest.mark.parametrize("interpolation", ["area", "lanczos"])
def test_filters_that_onnx_has_not_are_refused(interpolation: str) -> None:
    with pytest.raises(UsageError, match=f"must be one of .* this model's is {interpolation}"):
        preprocessing_model(Preprocessing(interpolation=interpolation))
