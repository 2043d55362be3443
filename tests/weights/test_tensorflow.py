"""TensorFlow graphs written with TensorFlow's own message classes, as TensorBoard ships them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from googlenet.models.table import LRN, VARIANTS
from googlenet.weights.tensorflow import read_tensorflow
from googlenet.weights.weight_file import WeightFile, WeightFileError
from tests.weights.protos import GraphDef, tensorflow_graph

FLOAT, DOUBLE, INT32, BFLOAT16, HALF = 1, 2, 3, 14, 19


def read(graph: Any) -> WeightFile:
    return read_tensorflow(memoryview(graph.SerializeToString()))


def constant(dtype: int, dims: list[int], **fields: Any) -> Any:
    graph = GraphDef()
    tensor = graph.node.add(name="w", op="Const").attr["value"].tensor
    tensor.dtype = dtype
    for side in dims:
        tensor.tensor_shape.dim.add(size=side)
    for field, value in fields.items():
        if isinstance(value, bytes):
            setattr(tensor, field, value)
        else:
            getattr(tensor, field).extend(value)
    return graph


def test_constants() -> None:
    tensors = {"conv2d0_w": torch.randn(7, 7, 3, 4), "conv2d0_b": torch.randn(4)}
    found = read(tensorflow_graph(tensors)).tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("dtype", "fields"),
    [
        (FLOAT, {"float_val": [1.5, -2.0]}),
        (DOUBLE, {"double_val": [1.5, -2.0]}),
        (HALF, {"half_val": [0x3E00, 0xC000]}),
        (BFLOAT16, {"half_val": [0x3FC0, 0xC000]}),
        (FLOAT, {"tensor_content": np.array([1.5, -2.0], "<f4").tobytes()}),
        (DOUBLE, {"tensor_content": np.array([1.5, -2.0], "<f8").tobytes()}),
        (HALF, {"tensor_content": np.array([1.5, -2.0], "<f2").tobytes()}),
        (BFLOAT16, {"tensor_content": np.array([0x3FC0, 0xC000], "<u2").tobytes()}),
    ],
)
def test_types_of_number(dtype: int, fields: dict[str, Any]) -> None:
    found = read(constant(dtype, [2], **fields)).tensors["w"]
    assert torch.equal(found.float(), torch.tensor([1.5, -2.0]))


@pytest.mark.parametrize(("values", "expected"), [([0.25], 0.25), ([], 0.0)])
def test_one_value_fills_the_shape(values: list[float], expected: float) -> None:
    found = read(constant(FLOAT, [2, 3], float_val=values)).tensors["w"]
    assert torch.equal(found, torch.full((2, 3), expected))


def test_one_value_for_a_huge_shape_takes_no_memory() -> None:
    found = read(constant(FLOAT, [1 << 14, 1 << 14], float_val=[1.0])).tensors["w"]
    assert found.untyped_storage().nbytes() == 4


def test_a_scalar() -> None:
    assert read(constant(FLOAT, [], float_val=[3.0])).tensors["w"] == torch.tensor(3.0)


@pytest.mark.parametrize("dims", [[1 << 40], [-1], [3]])
def test_a_shape_that_does_not_fit(dims: list[int]) -> None:
    with pytest.raises(WeightFileError, match="'w' declares"):
        read(constant(FLOAT, dims, float_val=[1.0, 2.0]))


def test_other_constants_are_accounted_for() -> None:
    file = read(constant(INT32, [1], int_val=[5]))
    assert not file.tensors
    assert file.unread == {"w": "a constant of the graph, not a weight"}


def test_a_graph_that_is_not_frozen() -> None:
    graph = GraphDef()
    graph.node.add(name="w", op="VariableV2")
    with pytest.raises(WeightFileError, match="without its weights: freeze it first"):
        read(graph)


def test_inception5h_s_normalization_is_the_variant_s() -> None:
    """Radius 5, bias 2, alpha 1e-4, beta 0.5 (shared/paper.md); our alpha is per window."""
    graph = GraphDef()
    node = graph.node.add(name="localresponsenorm0", op="LRN")
    node.attr["depth_radius"].i = 5
    for name, value in {"alpha": 1e-4, "beta": 0.5, "bias": 2.0}.items():
        node.attr[name].f = value
    (norm,) = read(graph).lrn
    expected = VARIANTS["inception5h"].norm
    assert isinstance(expected, LRN)
    assert norm.alpha == pytest.approx(expected.alpha, rel=1e-6)
    assert (norm.size, norm.beta, norm.k) == (expected.size, expected.beta, expected.k)


def test_our_convention_of_lrn_computes_tensorflow_s() -> None:
    """TensorFlow: x / (bias + alpha · Σ x²)^beta over 2·radius + 1 channels, written out."""
    norm = VARIANTS["inception5h"].norm
    assert isinstance(norm, LRN)
    from googlenet.models.lrn import LocalResponseNorm

    x = torch.randn(1, 20, 2, 2, dtype=torch.float64)
    written_out = torch.empty_like(x)
    for c in range(20):
        window = x[:, max(0, c - 5) : c + 6]
        written_out[:, c] = x[:, c] / (2.0 + 1e-4 * window.square().sum(1)) ** 0.5
    assert torch.allclose(LocalResponseNorm(norm)(x), written_out, rtol=1e-9)


def test_tensor_type() -> None:
    assert isinstance(read(constant(FLOAT, [1], float_val=[1.0])).tensors["w"], Tensor)
