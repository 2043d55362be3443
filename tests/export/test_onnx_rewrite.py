"""Rewrites for ONNX Runtime: the same answers, and the operators that make them quick."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet.export.onnx_graph import LOGITS, network_model
from googlenet.export.onnx_rewrite import quantize_concatenations, rewrite_for_onnxruntime
from googlenet.models.registry import build_network


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """The first output, without the engine's own rewrites of the graph."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, inputs)[0])


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize(
    ("variant", "norms", "roots"), [("paper", 2, 4), ("inception5h", 2, 2), ("bn", 0, 0)]
)
def test_lrn_as_a_band(variant: str, norms: int, roots: int) -> None:
    network = build_network(variant, 5, size=64, width=0.1, with_aux_heads=False).eval()
    model = network_model(network, 64)
    assert operators(model)["LRN"] == norms
    found = rewrite_for_onnxruntime(model)
    assert operators(found)["LRN"] == 0
    assert operators(found)["Sqrt"] == roots
    assert operators(model)["LRN"] == norms  # the graph itself is as it was
    images = np.random.default_rng(0).normal(0, 60, (2, 3, 64, 64)).astype(np.float32)
    before, after = (run(each, photos=images) for each in (model, found))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    assert next(each.name for each in found.graph.output) == LOGITS


def test_another_exponent_keeps_the_operator() -> None:
    node = helper.make_node("LRN", ["x"], ["y"], "norm", size=5, alpha=1e-4, beta=0.6, bias=1.0)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 4, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 4, 4])
    graph = helper.make_graph([node], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert operators(rewrite_for_onnxruntime(model)) == {"LRN": 1}


def quantized(scales: tuple[float, float]) -> onnx.ModelProto:
    """Two quantized values put together, which a pool and an addition read."""
    nodes, constants = [], [numpy_helper.from_array(np.array(3, np.uint8), "zero")]
    for i, scale in enumerate(scales):
        constants.append(numpy_helper.from_array(np.array(scale, np.float32), f"scale{i}"))
        own = (f"scale{i}", "zero")
        nodes.append(helper.make_node("QuantizeLinear", [f"x{i}", *own], [f"q{i}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{i}", *own], [f"d{i}"]))
    nodes += [
        helper.make_node("Concat", ["d0", "d1"], ["joined"], axis=1),
        helper.make_node("MaxPool", ["joined"], ["pooled"], kernel_shape=[2, 2]),
        helper.make_node("Slice", ["joined", "from", "to", "axes"], ["cut"]),
        helper.make_node("Add", ["pooled", "cut"], ["y"]),
    ]
    for name, numbers in (("from", [0, 0]), ("to", [3, 3]), ("axes", [2, 3])):
        constants.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, side, side])
        for name, channels, side in (("x0", 2, 4), ("x1", 2, 4), ("y", 4, 3))
    ]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(("scales", "more"), [((0.5, 0.5), 1), ((0.5, 0.25), 0)])
def test_a_concatenation_is_quantized_with_its_parts_scale(
    scales: tuple[float, float], more: int
) -> None:
    model, found = quantized(scales), quantized(scales)
    quantize_concatenations(found)
    onnx.checker.check_model(found, full_check=True)
    assert operators(found)["QuantizeLinear"] == 2 + more
    readers = [n for n in found.graph.node if n.op_type in ("MaxPool", "Slice")]
    assert {n.input[0] for n in readers} == {"joined.float" if more else "joined"}
    rng = np.random.default_rng(1)
    x0, x1 = rng.normal(0, 40, (2, 1, 2, 4, 4)).astype(np.float32)
    assert np.array_equal(run(model, x0=x0, x1=x1), run(found, x0=x0, x1=x1))
