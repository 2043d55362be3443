"""The network as an ONNX graph of standard operators, written node by node.

Not by `torch.onnx.export`: its graph depends on the version of an exporter and of the packages
that this needs.  Here a graph is as short as the network, each value has the tap's name
("inception_4a.5x5") and each weight that of the model file.  `onnx_rewrite` makes of it what ONNX
Runtime runs fastest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from googlenet import __version__
from googlenet.inference.calibration import ENERGY, Calibration, OODDetector, subspaces
from googlenet.models.baselines import Baseline
from googlenet.models.fuse import fuse_conv_bn
from googlenet.models.googlenet import (
    OOD_LAYERS,
    ConvUnit,
    GoogLeNet,
    Inception,
    MaxPool,
    SamePad,
    SeparableUnit,
)
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.registry import Network

OPSET = 18  # the first whose Resize has antialiasing
IR_VERSION = 8  # that of opset 18: engines from 2022 on read it
INPUT = "photos"
LOGITS, PROBABILITIES, SUMMARY, SCORE = "logits", "probabilities", "summary", "score"


class Graph:
    """Nodes and constants under construction; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, to: str, **attributes: Any) -> str:
        """A node with one output, called `to`, which is also the node's name.

        An attribute that Python or this function has other plans for ends in "_".
        """
        named = {key.rstrip("_"): value for key, value in attributes.items()}
        self.nodes.append(helper.make_node(operator, list(inputs), [to], name=to, **named))
        return to

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def weight(self, name: str, values: Tensor) -> str:
        return self.constant(name, values.detach().numpy())

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "googlenet", inputs, outputs, list(self.constants.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="googlenet",
            producer_version=__version__,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def network_model(
    network: Network, size: int, multilabel: bool = False, calibration: Calibration | None = None
) -> onnx.ModelProto:
    """The network from normalized images to all that `Classifier.predict_batch` needs or says.

    photos (N, C, H, W) float32 -> logits (N, classes); probabilities (N, classes): the softmax
    of logits / temperature, or each class's sigmoid where images have several labels; summary
    (N, 512 + 832), the means of the maps of 4a and 5a, in a GoogLeNet; score (N,), where the
    model has a threshold for it: an image below it is of no class.  N is free, and so are H and
    W except with fully connected layers, where they are `size`.
    """
    graph, calibration = Graph(), calibration or Calibration()
    network_nodes(graph, fuse_conv_bn(network), INPUT)
    add_probabilities(graph, multilabel, calibration.temperature)
    if calibration.ood:
        add_score(graph, calibration.ood)
    side: list[int | str] = [size, size] if isinstance(network, Baseline) else ["height", "width"]
    photos = [helper.make_tensor_value_info(
        INPUT, TensorProto.FLOAT, ["batch", network.in_channels, *side]
    )]  # fmt: skip
    shapes = {LOGITS: [network.classes], PROBABILITIES: [network.classes]}
    if isinstance(network, GoogLeNet):
        shapes[SUMMARY] = [sum(network.ood_widths)]
    if calibration.ood:
        shapes[SCORE] = []
    answers = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in shapes.items()
    ]
    return graph.model(photos, answers)


def fix_shapes(model: onnx.ModelProto, size: int) -> None:
    """Give the input one shape, an image of `size` pixels, and the outputs theirs.

    For programs that infer shapes when they read a file and take free axes for 0.
    """
    sides = {"batch": 1, "height": size, "width": size}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in sides:
                axis.dim_value = sides[axis.dim_param]
    onnx.checker.check_model(model, full_check=True)


def add_probabilities(graph: Graph, multilabel: bool, temperature: float) -> None:
    """`Classifier.calibrated` as nodes."""
    if multilabel:
        graph.add("Sigmoid", LOGITS, to=PROBABILITIES)
        return
    logits = LOGITS
    if temperature != 1:
        divisor = graph.constant("temperature", np.array(temperature, np.float32))
        logits = graph.add("Div", LOGITS, divisor, to="calibrated")
    graph.add("Softmax", logits, to=PROBABILITIES, axis=1)


def add_score(graph: Graph, ood: OODDetector) -> None:
    """`OODDetector.id_scores` as nodes: energy, minus slopes · angles if the score has them."""
    name = SCORE if ood.score == ENERGY else "energy"
    last = graph.constant("last", np.array([1], np.int64))
    graph.add("ReduceLogSumExp", LOGITS, last, to=name, keepdims=0)
    if name == SCORE:
        return
    begin, angles = 0, []
    for i, basis in enumerate(subspaces(ood.tensors)):
        end = begin + len(basis)
        span = [graph.constant(f"column.{at}", np.array([at], np.int64)) for at in (begin, end)]
        part = graph.add("Slice", SUMMARY, *span, last, to=f"part.{i}")
        angles.append(angle_nodes(graph, part, basis, last))
        begin = end
    graph.add("Concat", *angles, to="angles", axis=1)
    slopes = graph.constant("unknown.slopes", ood.tensors["slopes"])
    graph.add("MatMul", "angles", slopes, to="away")
    graph.add("Sub", name, "away", to=SCORE)


def angle_nodes(graph: Graph, part: str, basis: NDArray[np.float32], last: str) -> str:
    """`calibration.residual_angle` as nodes: (N, 1)."""
    space = graph.constant(f"unknown.directions.{part}", basis)
    along = graph.add("MatMul", part, space, to=f"{part}.along")
    along = graph.add("ReduceSumSquare", along, last, to=f"{along}.square")
    length = graph.add("ReduceSumSquare", part, last, to=f"{part}.length.square")
    tiny = graph.constant("tiny", np.array(1e-30, np.float32))
    length = graph.add("Max", length, tiny, to=f"{part}.length")
    share = graph.add("Div", along, length, to=f"{part}.share")
    one = graph.constant("one", np.array(1, np.float32))
    rest = graph.add("Sub", one, share, to=f"{part}.rest")
    zero = graph.constant("zero", np.array(0, np.float32))
    square = graph.add("Max", rest, zero, to=f"{part}.sine.square")
    return graph.add("Sqrt", square, to=f"{part}.angle")


def network_nodes(graph: Graph, network: Network, x: str) -> None:
    """A folded network's layers from the value x to `LOGITS`."""
    means = []
    for name in network.trunk:
        x = layer_nodes(graph, network.get_submodule(name), x, name)
        if name in OOD_LAYERS and isinstance(network, GoogLeNet):
            means.append(graph.add("GlobalAveragePool", x, to=f"{name}.mean"))
    if isinstance(network, GoogLeNet):
        graph.add("Flatten", graph.add("Concat", *means, to="means", axis=1), to=SUMMARY)
        x = graph.add("Flatten", graph.add("GlobalAveragePool", x, to="avgpool"), to="pooled")
        linear_nodes(graph, network.classifier, x, "classifier", LOGITS)
    else:
        graph.add("Flatten", x, to=LOGITS)


def layer_nodes(graph: Graph, layer: nn.Module, x: str, name: str) -> str:
    """One layer of any network of ours, from the value x to one of the layer's name."""
    match layer:
        case ConvUnit():
            same = isinstance(layer.pad, SamePad)
            x = conv_nodes(graph, layer.conv, x, f"{name}.conv", same=same)
            return graph.add("Relu", x, to=name)
        case SeparableUnit():
            x = conv_nodes(graph, layer.depthwise, x, f"{name}.depthwise")
            return layer_nodes(graph, layer.pointwise, x, f"{name}.pointwise")
        case Inception():
            return module_nodes(graph, layer, x, name)
        case MaxPool():
            pads = caffe_pads(0, layer.stride) if layer.ceil_mode else None
            return pool_nodes(graph, x, name, layer.kernel, layer.stride, pads)
        case nn.MaxPool2d(kernel_size=int(kernel), stride=int(stride), padding=int(padding)):
            pads = caffe_pads(padding, stride if layer.ceil_mode else 1)
            return pool_nodes(graph, x, name, kernel, stride, pads)
        case LocalResponseNorm():
            # ONNX's window is ours for odd sizes, and every published network has one.
            assert layer.norm.size % 2
            lrn = layer.norm
            return graph.add(
                "LRN", x, to=name, size=lrn.size, alpha=lrn.alpha, beta=lrn.beta, bias=lrn.k
            )
        case nn.Conv2d():
            return conv_nodes(graph, layer, x, name)
        case nn.Linear():
            return linear_nodes(graph, layer, x, name, name)
        case nn.AdaptiveAvgPool2d():
            return graph.add("GlobalAveragePool", x, to=name)
        case nn.ReLU():
            return graph.add("Relu", x, to=name)
        case nn.Flatten():
            return graph.add("Flatten", x, to=name)
        case nn.Dropout() | nn.Identity():
            return x
        case nn.Sequential():
            for inner, module in layer.named_children():
                x = layer_nodes(graph, module, x, f"{name}.{inner}")
            return x
    raise AssertionError(f"no nodes for {type(layer).__name__}")


def module_nodes(graph: Graph, module: Inception, x: str, name: str) -> str:
    """An Inception module's branches and their concatenation."""

    def branch(*layers: str) -> str:
        value = x
        for each in layers:
            value = layer_nodes(graph, module[each], value, f"{name}.{each}")
        return value

    branches = (
        branch("1x1"),
        branch("3x3_reduce", "3x3"),
        branch("5x5_reduce", "5x5"),
        branch("pool", "pool_proj"),
    )
    return graph.add("Concat", *branches, to=name, axis=1)


def conv_nodes(graph: Graph, conv: nn.Conv2d, x: str, name: str, same: bool = False) -> str:
    inputs = [x, graph.weight(f"{name}.weight", conv.weight)]
    if conv.bias is not None:
        inputs.append(graph.weight(f"{name}.bias", conv.bias))
    assert not isinstance(conv.padding, str)
    pads = {"auto_pad": "SAME_UPPER"} if same else {"pads": list(conv.padding) * 2}
    return graph.add(
        "Conv", *inputs, to=name,
        kernel_shape=list(conv.kernel_size), strides=list(conv.stride), group=conv.groups, **pads,
    )  # fmt: skip


def caffe_pads(padding: int, stride: int) -> list[int]:
    """The padding that makes a pool that rounds down one that rounds up.

    Not ONNX's ceil_mode: of a map smaller than the window OpenVINO then makes one without pixels,
    or asks for all the memory there is.
    """
    return [padding] * 2 + [padding + stride - 1] * 2


def pool_nodes(
    graph: Graph, x: str, name: str, kernel: int, stride: int, pads: list[int] | None
) -> str:
    """A max pool with these pads, or TensorFlow's SAME for None."""
    rule = {"auto_pad": "SAME_UPPER"} if pads is None else {"pads": pads}
    return graph.add("MaxPool", x, to=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, **rule)


def linear_nodes(graph: Graph, linear: nn.Linear, x: str, name: str, to: str) -> str:
    weight = graph.weight(f"{name}.weight", linear.weight)
    return graph.add("Gemm", x, weight, graph.weight(f"{name}.bias", linear.bias), to=to, transB=1)


def with_metadata(model: onnx.ModelProto, key: str, value: Mapping[str, Any]) -> None:
    """Put a JSON value into the model's metadata."""
    del model.metadata_props[:]
    helper.set_model_props(model, {key: json.dumps(value)})
