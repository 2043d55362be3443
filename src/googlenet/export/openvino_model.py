"""OpenVINO's form of the network: read from our ONNX graph, by OpenVINO's own reader.

`openvino.convert_model` would read the same file through the same reader, and would start
OpenVINO's usage statistics (openvino-telemetry) on the way; `Core.read_model` sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import openvino

from googlenet.inference.engines import RESIZE

# By what OpenVINO's reader makes of the graph's mode.
PILLOW_MODES = {"linear_onnx": "bilinear_pillow", "cubic": "bicubic_pillow"}


def from_onnx(model: onnx.ModelProto) -> Any:
    return openvino.Core().read_model(model.SerializeToString())


def with_photo(photo: Any, network: Any) -> Any:
    """One model: the preprocessing, then the network, quantised or not."""
    pillow_resize(photo)
    (normalised,) = photo.get_results()
    (photos,) = network.get_parameters()
    photos.output(0).replace(normalised.input_value(0))
    return openvino.Model(network.get_results(), photo.get_parameters(), "googlenet")


def pillow_resize(model: Any) -> None:
    """Resize as Pillow does: OpenVINO's reader of ONNX takes an antialiased Resize for a plain one.

    Measured on a photo of 1537×1023 pixels, resized to 256: 9.5 levels of 255 away in the mean,
    and 0.0004 with the operator that OpenVINO has for Pillow's filters.
    """
    (resize,) = (op for op in model.get_ops() if op.get_friendly_name() == RESIZE)
    mode = PILLOW_MODES.get(str(resize.get_attributes()["mode"]))
    if mode is None:  # nearest, or done already
        return
    from openvino import opset11

    replacement = opset11.interpolate(
        resize.input_value(0),
        resize.input_value(1),
        mode,
        "sizes",
        axes=resize.input_value(2),
        cube_coeff=-0.5,
    )
    replacement.set_friendly_name(RESIZE)
    resize.output(0).replace(replacement.output(0))
    model.validate_nodes_and_infer_types()


def write(model: Any, path: Path, key: str, header: Mapping[str, Any], half: bool) -> None:
    """PATH.xml and PATH.bin, with the header among the model's runtime information.

    half: weights in half precision (where the arithmetic is bf16).
    """
    model.set_rt_info(json.dumps(header), key)
    openvino.save_model(model, str(path), compress_to_fp16=half)
