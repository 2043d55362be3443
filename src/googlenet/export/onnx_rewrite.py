"""Rewrites of an ONNX graph for ONNX Runtime, which give the same answers sooner.

OpenVINO's own files keep the graph as it is: it has a fast operator for LRN, and quantizes
concatenations itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

EXPONENTS = (0.5, 0.75)  # of LRN, that are square roots; others keep the operator
CONVOLVED = ("Conv", "MaxPool")  # what reads a module's output
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def rewrite_for_onnxruntime(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with LRN as a band of ones and square roots, and in int8 quantized concatenations.

    ONNX Runtime's LRN operator takes a third of the time of a network in float32
    (onnxruntime issue 26293).
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    quantize_concatenations(found)
    replace_lrn(found)
    onnx.checker.check_model(found, full_check=True)
    return found


def replace_lrn(model: onnx.ModelProto) -> None:
    """Each LRN node as x / (√s · √√s), s = k + alpha/size · Σ x², or x / √s for an exponent of 1/2.

    The sums over neighboring channels are a 1×1 convolution with a constant banded matrix.
    """
    inferred = shape_inference.infer_shapes(model)
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in (*inferred.graph.value_info, *inferred.graph.input)
        if len(value.type.tensor_type.shape.dim) == 4
    }
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "LRN" and attributes["beta"] in EXPONENTS:
            nodes += band_nodes(model, node, channels[node.input[0]], **attributes)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def band_nodes(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    channels: int,
    *,
    size: int,
    alpha: float,
    beta: float,
    bias: float,
) -> Iterator[onnx.NodeProto]:
    """The nodes in place of one LRN node; their constants go into the model."""
    name, x = node.name, node.input[0]
    places = np.arange(channels)
    near = np.abs(places[:, None] - places) <= size // 2
    band = np.where(near, np.float32(alpha / size), np.float32(0))[:, :, None, None]
    constants = {f"{name}.band": band, f"{name}.k": np.full(channels, bias, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())

    def add(operator: str, *inputs: str, to: str) -> onnx.NodeProto:
        return helper.make_node(operator, list(inputs), [to], name=to)

    yield add("Mul", x, x, to=f"{name}.square")
    yield add("Conv", f"{name}.square", *constants, to=f"{name}.base")
    yield add("Sqrt", f"{name}.base", to=f"{name}.root")
    if beta == 0.5:
        yield add("Div", x, f"{name}.root", to=node.output[0])
        return
    yield add("Sqrt", f"{name}.root", to=f"{name}.fourth")
    yield add("Mul", f"{name}.root", f"{name}.fourth", to=f"{name}.power")
    yield add("Div", x, f"{name}.power", to=node.output[0])


def quantize_concatenations(model: onnx.ModelProto) -> None:
    """In an int8 graph, quantize what a convolution reads put together, with the parts' scale.

    ONNX Runtime computes a convolution in int8 only where its input has been quantized, not put
    together from parts that have.  Parts of one scale keep their values; others are left as they
    are.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    numbers = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        parts = [makers.get(name) for name in node.input] if node.op_type == "Concat" else []
        scales = [tuple(part.input[1:]) for part in parts if part and part.op_type == DEQUANTIZE]
        values = {tuple(numbers[name].tobytes() for name in scale) for scale in scales}
        joined = node.output[0]
        read = {reader.op_type for reader in readers.get(joined, [])}
        if len(scales) < len(parts) or len(values) != 1 or read.isdisjoint(CONVOLVED):
            continue
        scale = scales[0]
        whole, back = f"{joined}.int8", f"{joined}.float"
        nodes.append(helper.make_node(QUANTIZE, [joined, *scale], [whole], name=whole))
        nodes.append(helper.make_node(DEQUANTIZE, [whole, *scale], [back], name=back))
        for reader in readers[joined]:
            reader.input[:] = [back if name == joined else name for name in reader.input]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
