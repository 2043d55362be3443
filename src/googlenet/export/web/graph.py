"""The network of a web page: that of an .onnx file, with class activation maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from googlenet.export.export import ExportOptions, export_header
from googlenet.export.onnx_graph import LOGITS, network_model, with_metadata
from googlenet.export.onnx_rewrite import rewrite_for_onnxruntime
from googlenet.export.quantize import quantize_onnx
from googlenet.images.view import to_nchw
from googlenet.inference.classifier import Classifier
from googlenet.inference.header import KEY
from googlenet.models.googlenet import GoogLeNet

CAM, CAM_CLASSES = "cam", "cam_classes"
MAPS = 5  # one for each of the likeliest classes: those that the page shows


def web_network(classifier: Classifier, options: ExportOptions) -> bytes:
    """The ONNX file, its header in it."""
    p = classifier.preprocessing
    model = network_model(classifier.network, p.size, classifier.multilabel, classifier.calibration)
    if options.calibration is not None:
        model = quantize_onnx(model, to_nchw(options.calibration, p))
    model = rewrite_for_onnxruntime(model)
    if has_maps(classifier):
        add_maps(model, min(MAPS, len(classifier.classes)))
    with_metadata(model, KEY, export_header(classifier, options))
    return bytes(model.SerializeToString())


def has_maps(classifier: Classifier) -> bool:
    """Whether its classifier sees averages of maps only, so that a map has each place's part."""
    return isinstance(classifier.network, GoogLeNet)


def add_maps(model: onnx.ModelProto, count: int) -> None:
    """Two more outputs: the `count` likeliest classes (N, k) and their maps (N, k, h, w).

    A map is the classifier's row times the last map, place by place (Zhou et al. 2016,
    "Learning Deep Features for Discriminative Localization", arXiv 1512.04150, equation 2).
    After quantization both are what the network itself computes with.
    """
    graph = model.graph
    by_output = {node.output[0]: node for node in graph.node}
    last_map = by_output["avgpool"].input[0]
    classifier = next(node for node in graph.node if node.op_type == "Gemm")
    assert helper.get_node_attr_value(classifier, "transB") == 1  # a row is a class

    def constant(name: str, values: NDArray[np.int64]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def add(operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        graph.node.append(helper.make_node(operator, inputs, list(outputs), **attributes))

    whole = constant("cam.whole", np.array([0, 0, -1]))  # 0 copies a length
    both = constant("cam.both", np.array([0, 0]))
    add("TopK", [LOGITS, constant("cam.count", np.array([count]))], "cam.logits", CAM_CLASSES)
    add("Gather", [classifier.input[1], CAM_CLASSES], "cam.rows")  # (N, k, C)
    add("Reshape", [last_map, whole], "cam.places")  # (N, C, h · w)
    add("MatMul", ["cam.rows", "cam.places"], "cam.flat")
    add("Shape", [last_map], "cam.sides", start=2)
    add("Concat", [both, "cam.sides"], "cam.shape", axis=0)
    add("Reshape", ["cam.flat", "cam.shape"], CAM)
    graph.output.extend(
        helper.make_tensor_value_info(name, kind, ["batch", count, *sides])
        for name, kind, sides in (
            (CAM_CLASSES, TensorProto.INT64, []),
            (CAM, TensorProto.FLOAT, ["map_height", "map_width"]),
        )
    )
    onnx.checker.check_model(model)
