"""ONNX models written by Google's protobuf library with onnx.proto's field numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from googlenet.models.table import LRN
from googlenet.weights.onnx import read_onnx
from googlenet.weights.weight_file import WeightFile, WeightFileError
from tests.weights.protos import onnx, onnx_model

FLOAT, INT64, FLOAT16, DOUBLE, BFLOAT16 = 1, 7, 10, 11, 16


def read(model: Any) -> WeightFile:
    return read_onnx(memoryview(model.SerializeToString()))


def initialiser(**fields: Any) -> Any:
    model = onnx["ModelProto"](ir_version=3)
    model.graph.initializer.add(name="w", **fields)
    return model


def test_initializers() -> None:
    tensors = {"conv1/7x7_s2_w_0": torch.randn(4, 3, 7, 7), "conv1/7x7_s2_b_0": torch.randn(4)}
    found = read(onnx_model(tensors)).tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (FLOAT, {"float_data": [1.5, -2.0]}),
        (DOUBLE, {"double_data": [1.5, -2.0]}),
        (FLOAT16, {"int32_data": [0x3E00, 0xC000]}),
        (BFLOAT16, {"int32_data": [0x3FC0, 0xC000]}),
        (FLOAT, {"raw_data": np.array([1.5, -2.0], "<f4").tobytes()}),
        (DOUBLE, {"raw_data": np.array([1.5, -2.0], "<f8").tobytes()}),
        (FLOAT16, {"raw_data": np.array([1.5, -2.0], "<f2").tobytes()}),
        (BFLOAT16, {"raw_data": np.array([0x3FC0, 0xC000], "<u2").tobytes()}),
    ],
)
def test_types_of_number(kind: int, fields: dict[str, Any]) -> None:
    found = read(initialiser(dims=[2], data_type=kind, **fields)).tensors["w"]
    assert torch.equal(found.float(), torch.tensor([1.5, -2.0]))


def test_other_constants_are_accounted_for() -> None:
    file = read(initialiser(dims=[1], data_type=INT64, raw_data=bytes(8)))
    assert (list(file.tensors), list(file.unread)) == ([], ["w"])


def test_tensors_in_another_file() -> None:
    with pytest.raises(WeightFileError, match="keeps the tensor 'w' in another file"):
        read(initialiser(dims=[1], data_type=FLOAT, data_location=1))


@pytest.mark.parametrize("dims", [[3], [2**62, 2**62], [-2]])
def test_a_shape_that_does_not_fit(dims: list[int]) -> None:
    with pytest.raises(WeightFileError, match="'w' declares"):
        read(initialiser(dims=dims, data_type=FLOAT, float_data=[1.0, 2.0]))


def test_local_response_normalization() -> None:
    model = onnx["ModelProto"](ir_version=3)
    node = model.graph.node.add(op_type="LRN")
    node.attribute.add(name="size", i=5)
    node.attribute.add(name="alpha", f=0.5)
    assert read(model).lrn == (LRN(size=5, alpha=0.5, beta=0.75, k=1.0),)
