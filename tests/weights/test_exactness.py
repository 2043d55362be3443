"""The converted 2014 network against Caffe's own numbers and OpenCV's.

Oracles: Caffe's activations for one input (`activations.npz`, from mtmd/GoogleNet_MATLAB), the
probabilities of OpenCV's test images (`googlenet_prob.npy`) and Caffe's single layers
(`layers.npz`), both from opencv_contrib.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from googlenet import Classifier
from googlenet.models.googlenet import HeadPool, MaxPool
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.table import LRN

TOLERANCE = 1e-5

# Our taps by the names of Caffe's blobs; maps from conv1 to 3b keep every 7th row and column.
STAGES = {
    "conv1_7x7_s2": "conv1",
    "pool1_3x3_s2": "pool1",
    "pool1_norm1": "norm1",
    "conv2_3x3_reduce": "conv2_reduce",
    "conv2_3x3": "conv2",
    "conv2_norm2": "norm2",
    "pool2_3x3_s2": "pool2",
    **{f"inception_{m}_output": f"inception_{m}" for m in ("3a", "3b")},
    "pool3_3x3_s2": "pool3",
    **{f"inception_{m}_output": f"inception_{m}" for m in ("4a", "4b", "4c", "4d", "4e")},
    "pool4_3x3_s2": "pool4",
    **{f"inception_{m}_output": f"inception_{m}" for m in ("5a", "5b")},
    "pool5_7x7_s1": "avgpool",
    "loss3_classifier": "classifier",
}
THINNED = 7


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@cache
def arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def activations(bvlc: Classifier, bvlc_data: Path) -> dict[str, Tensor]:
    """Our activations of Caffe's input, (C, H, W) each, by Caffe's names."""
    data = arrays(bvlc_data / "activations.npz")["data"]
    with torch.inference_mode(), bvlc.network.tap(*STAGES.values()) as found:
        logits = bvlc.network(data[None])
    ours = {theirs: found[name][0] for theirs, name in STAGES.items()}
    return ours | {"prob": logits[0].softmax(0)}


@pytest.mark.parametrize("blob", [*STAGES, "prob"])
def test_activations_are_those_of_caffe(
    blob: str, activations: dict[str, Tensor], bvlc_data: Path
) -> None:
    theirs = arrays(bvlc_data / "activations.npz")[blob]
    ours = activations[blob]
    if ours.ndim == 3 and ours.shape != theirs.shape:
        ours = ours[:, ::THINNED, ::THINNED]
    assert relative_error(ours, theirs) <= TOLERANCE


def test_every_caffe_activation_is_compared(bvlc_data: Path) -> None:
    assert set(arrays(bvlc_data / "activations.npz")) == {"data", "prob", *STAGES}


def test_images_get_the_probabilities_of_opencv(bvlc: Classifier, bvlc_data: Path) -> None:
    expected = np.load(bvlc_data / "googlenet_prob.npy")
    # OpenCV's test subtracts no mean.
    unmeaned = replace(bvlc.preprocessing, mean=(0.0, 0.0, 0.0))
    plain = Classifier(replace(bvlc.header, preprocessing=unmeaned), bvlc.backend)
    photos = [Image.open(bvlc_data / f"googlenet_{n}.jpg") for n in range(2)]
    ours = plain.probabilities(np.stack([plain.preprocessing.pixels(photo) for photo in photos]))
    assert ours.shape == expected.shape
    assert float(np.abs(ours - expected).max()) <= TOLERANCE


def test_lrn_is_that_of_caffe(bvlc_data: Path) -> None:
    layers = arrays(bvlc_data / "layers.npz")
    norm = LocalResponseNorm(LRN(size=5, alpha=1.1, beta=0.75, k=1.0))
    assert relative_error(norm(layers["blob"]), layers["lrn"]) <= TOLERANCE


def test_max_pool_is_that_of_caffe(bvlc_data: Path) -> None:
    """Kernel 3×5, stride 2×1, padding 2×1.

    Our pools are square and unpadded.  A maximum over a rectangle is one over columns, then one
    over rows; each is our pool over a map whose other side repeats one value.  What is padded
    never wins a maximum, so it is −∞.
    """
    layers = arrays(bvlc_data / "layers.npz")
    padded = torch.nn.functional.pad(layers["blob"], (1, 1, 2, 2), value=-torch.inf)
    columns = one_sided_max(padded, kernel=3, stride=2)
    both = one_sided_max(columns.transpose(2, 3), kernel=5, stride=1).transpose(2, 3)
    assert torch.equal(both, layers["pool_max"])


def one_sided_max(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Our max pool along the height alone: (N, C, H, W) -> (N, C, H', W)."""
    n, c, h, w = x.shape
    columns = x.transpose(2, 3).reshape(n, c * w, h, 1).expand(-1, -1, -1, kernel)
    pooled: Tensor = MaxPool(kernel, stride, "symmetric")(columns)
    return pooled.reshape(n, c, w, -1).transpose(2, 3)


def test_average_pool_is_that_of_caffe(bvlc_data: Path) -> None:
    """Kernel 3×5, of which a head's pool over a 9×14 map has sixteen windows.

    A head pools with windows of side round(5n/14): 3 rows at 0, 2, 4, 6 of nine, 5 columns at
    0, 3, 6, 9 of fourteen.  Caffe's stride is 2×1, so every one of them is among Caffe's; the
    windows over padding are not, for the network never pads an average.
    """
    layers = arrays(bvlc_data / "layers.npz")
    blob, pool = layers["blob"], layers["pool_ave"]
    compared = 0
    for top in range(0, blob.shape[2] - 9 + 1, 2):
        for left in range(blob.shape[3] - 14 + 1):
            ours = HeadPool()(blob[:, :, top : top + 9, left : left + 14])
            row, column = top // 2 + 1, left + 1  # Caffe's first windows begin in the padding
            theirs = pool[:, :, row : row + 4, column : column + 10 : 3]
            assert relative_error(ours, theirs) <= TOLERANCE
            compared += ours.numel()
    assert compared > pool.numel()
