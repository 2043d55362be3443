"""Caffe files written by Google's protobuf library with BVLC's field numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from googlenet.models.table import LRN
from googlenet.weights.caffe import read_caffe
from googlenet.weights.weight_file import WeightFile, WeightFileError
from tests.weights.protos import caffe, caffe_model


def read(net: Any) -> WeightFile:
    return read_caffe(memoryview(net.SerializeToString()))


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {
        "conv1/7x7_s2/weight": torch.randn(4, 3, 7, 7),
        "conv1/7x7_s2/bias": torch.randn(4),
        "loss3/classifier/weight": torch.randn(10, 8),
        "loss3/classifier/bias": torch.randn(10),
    }


def test_current_layers(tensors: dict[str, Tensor]) -> None:
    found = read(caffe_model(tensors)).tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_old_layers_with_four_dimensions(tensors: dict[str, Tensor]) -> None:
    found = read(caffe_model(tensors, old=True)).tensors
    assert found.keys() == tensors.keys()
    assert found["loss3/classifier/weight"].shape == (1, 1, 10, 8)
    assert all(torch.equal(found[n].reshape(t.shape), t) for n, t in tensors.items())


def test_double_data_and_a_blob_without_shape() -> None:
    net = caffe["NetParameter"]()
    net.layer.add(name="fc").blobs.add(double_data=[0.5, -2.0])
    assert torch.equal(read(net).tensors["fc/weight"], torch.tensor([0.5, -2.0]))


def test_gradients_beside_the_weights_are_not_read(tensors: dict[str, Tensor]) -> None:
    net = caffe_model(tensors)
    for layer in net.layer:
        for blob in layer.blobs:
            blob.diff.extend(blob.data)
    found = read(net).tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_further_blobs_of_a_layer_are_numbered() -> None:
    net = caffe["NetParameter"]()
    layer = net.layer.add(name="bn")
    for value in (1.0, 2.0, 3.0):
        layer.blobs.add(data=[value])
    assert list(read(net).tensors) == ["bn/weight", "bn/bias", "bn/blob2"]


@pytest.mark.parametrize("old", [False, True])
def test_local_response_normalization(old: bool) -> None:
    net = caffe["NetParameter"]()
    layer = (net.layers if old else net.layer).add(name="norm1")
    layer.lrn_param.local_size, layer.lrn_param.alpha = 5, 1e-4
    (norm,) = read(net).lrn
    assert norm == LRN(size=5, alpha=norm.alpha, beta=0.75, k=1.0)
    assert norm.alpha == pytest.approx(1e-4)


def test_normalization_within_channels_is_refused() -> None:
    net = caffe["NetParameter"]()
    net.layer.add(name="norm1").lrn_param.norm_region = 1
    with pytest.raises(WeightFileError, match="'norm1' normalizes within channels"):
        read(net)


@pytest.mark.parametrize(
    ("dims", "rule"),
    [
        ([3], r"declares 3 numbers in shape \(3,\), holds 2"),
        ([2**40, 2**40], "impossible shape"),
        ([-1, -2], "impossible shape"),
        ([1] * 9, "declares 9 dimensions"),
    ],
)
def test_a_shape_that_does_not_fit(dims: list[int], rule: str) -> None:
    net = caffe["NetParameter"]()
    blob = net.layer.add(name="fc").blobs.add(data=[1.0, 2.0])
    blob.shape.dim.extend(dims)
    with pytest.raises(WeightFileError, match=rule):
        read(net)


def test_two_layers_of_one_name() -> None:
    net = caffe["NetParameter"]()
    for _ in range(2):
        net.layer.add(name="fc").blobs.add(data=[1.0])
    with pytest.raises(WeightFileError, match="holds the tensor 'fc/weight' twice"):
        read(net)
