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

from googlenet.inference.backends.openvino import pillow_resize


def from_onnx(model: onnx.ModelProto) -> Any:
    return openvino.Core().read_model(model.SerializeToString())


def with_preprocessing(photo: Any, network: Any) -> Any:
    """One model: the preprocessing, then the network, quantized or not."""
    pillow_resize(photo)
    (normalized,) = photo.get_results()
    (photos,) = network.get_parameters()
    photos.output(0).replace(normalized.input_value(0))
    return openvino.Model(network.get_results(), photo.get_parameters(), "googlenet")


def write(model: Any, path: Path, key: str, header: Mapping[str, Any], bf16: bool) -> None:
    """PATH.xml and PATH.bin, with the header among the model's runtime information.

    bf16: weights in 16 bits, for arithmetic in bf16.
    """
    model.set_rt_info(json.dumps(header), key)
    openvino.save_model(model, str(path), compress_to_fp16=bf16)
