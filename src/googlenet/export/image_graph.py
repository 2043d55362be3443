"""The preprocessing as an ONNX graph: one decoded image of any size to the network's input.

photo (H, W, 3) uint8, RGB -> normalized (1, C, size, size) float32: what `Preprocessing` does with
Pillow, in ONNX's own operators.  Resize with antialiasing has Pillow's filters (a triangle; a cubic
with a = −0.5); docs/deploy.md says how far the engines' results are from Pillow's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper

from googlenet.export.onnx_graph import Graph
from googlenet.images.preprocess import Preprocessing
from googlenet.inference.backends.openvino import RESIZE
from googlenet.runtime.errors import UsageError

PHOTO, NORMALIZED = "photo", "normalised"
RESIZES: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear", "antialias": 1},
    "bicubic": {"mode": "cubic", "antialias": 1, "cubic_coeff_a": -0.5},
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
}
# Pillow's own integers: L = (19595 R + 38470 G + 7471 B + 32768) >> 16, exact in float32.
LUMA = np.array([19595, 38470, 7471], np.float32).reshape(1, 3, 1, 1)


def preprocessing_model(p: Preprocessing) -> onnx.ModelProto:
    """Raises UsageError for an interpolation that ONNX lacks."""
    if p.interpolation not in RESIZES:
        raise UsageError(
            f"interpolation must be one of {', '.join(RESIZES)} with --with-preprocessing, "
            f"this model's is {p.interpolation}"
        )
    graph = Graph()
    graph.add("Shape", PHOTO, to="photo.size", start=0, end=2)
    sides = resized_sides(graph, p)
    graph.add("Transpose", PHOTO, to="photo.planes", perm=[2, 0, 1])
    graph.add("Unsqueeze", "photo.planes", integers(graph, "photo.first", [0]), to="photo.batch")
    graph.add(
        "Resize", "photo.batch", "", "", sides, to=RESIZE,
        axes=[2, 3], coordinate_transformation_mode="half_pixel", **RESIZES[p.interpolation],
    )  # fmt: skip
    x = RESIZE
    if p.mode != "letterbox":
        x = center_crop(graph, x, sides, p.size)
    x = graph.add("Cast", x, to="photo.float", to_=TensorProto.FLOAT)
    if p.channel_order == "L":
        x = luma(graph, x)
    elif p.channel_order == "BGR":
        x = graph.add(
            "Gather", x, integers(graph, "photo.bgr", [2, 1, 0]), to="photo.turned", axis=1
        )
    if p.mode == "letterbox":
        x = padded(graph, x, sides, p)
    x = graph.add("Sub", x, per_channel(graph, "photo.mean", p.mean), to="photo.centered")
    graph.add("Mul", x, per_channel(graph, "photo.scale", p.scale), to=NORMALIZED)
    photo = helper.make_tensor_value_info(PHOTO, TensorProto.UINT8, ["height", "width", 3])
    shape = [1, p.channels, p.size, p.size]
    out = helper.make_tensor_value_info(NORMALIZED, TensorProto.FLOAT, shape)
    return graph.model([photo], [out])


def resized_sides(graph: Graph, p: Preprocessing) -> str:
    """Height and width after resizing, as Python computes them: in double, halves to even."""
    if p.mode == "squash":
        return integers(graph, "photo.sides", [p.resize_size, p.resize_size])
    side = graph.constant("photo.side", np.array(float(p.resize_size)))
    extreme = "ReduceMin" if p.mode == "crop" else "ReduceMax"
    graph.add("Cast", "photo.size", to="photo.size64", to_=TensorProto.DOUBLE)
    graph.add(extreme, "photo.size64", to="photo.extreme", keepdims=0)
    graph.add("Div", side, "photo.extreme", to="photo.factor")
    graph.add("Mul", "photo.size64", "photo.factor", to="photo.exact")
    graph.add("Round", "photo.exact", to="photo.rounded")
    graph.add("Cast", "photo.rounded", to="photo.integer", to_=TensorProto.INT64)
    least = integers(graph, "photo.least", [p.resize_size if p.mode == "crop" else 1])
    return graph.add("Max", "photo.integer", least, to="photo.sides")


def center_crop(graph: Graph, x: str, sides: str, size: int) -> str:
    side = integers(graph, "photo.crop", [size])
    graph.add("Sub", sides, side, to="photo.spare")
    graph.add("Div", "photo.spare", integers(graph, "photo.two", [2]), to="photo.start")
    graph.add("Add", "photo.start", side, to="photo.end")
    axes = integers(graph, "photo.axes", [2, 3])
    return graph.add("Slice", x, "photo.start", "photo.end", axes, to="photo.cropped")


def luma(graph: Graph, x: str) -> str:
    graph.add("Conv", x, graph.constant("photo.luma", LUMA), to="photo.sum")
    half = graph.constant("photo.half", np.array(32768, np.float32))
    graph.add("Add", "photo.sum", half, to="photo.over")
    unit = graph.constant("photo.unit", np.array(65536, np.float32))
    graph.add("Div", "photo.over", unit, to="photo.gray")
    return graph.add("Floor", "photo.gray", to="photo.L")


def padded(graph: Graph, x: str, sides: str, p: Preprocessing) -> str:
    """The letterbox: the resized image in the middle of a square of the mean's color, cropped."""
    red, green, blue = p.padding_color()
    colors = {"RGB": (red, green, blue), "BGR": (blue, green, red), "L": (red,)}
    color = per_channel(graph, "photo.color", colors[p.channel_order])
    graph.add("Sub", x, color, to="photo.above")  # so that the padding is zeros
    whole = integers(graph, "photo.whole", [p.resize_size])
    graph.add("Sub", whole, sides, to="photo.missing")
    graph.add("Div", "photo.missing", integers(graph, "photo.two", [2]), to="photo.before")
    graph.add("Sub", "photo.missing", "photo.before", to="photo.after")
    graph.add("Concat", "photo.before", "photo.after", to="photo.pads", axis=0)
    axes = integers(graph, "photo.axes", [2, 3])
    graph.add("Pad", "photo.above", "photo.pads", "", axes, to="photo.boxed")
    graph.add("Add", "photo.boxed", color, to="photo.square")
    start = (p.resize_size - p.size) // 2
    first, last = (
        integers(graph, "photo.start", [start] * 2),
        integers(graph, "photo.end", [start + p.size] * 2),
    )
    return graph.add("Slice", "photo.square", first, last, axes, to="photo.cropped")


def integers(graph: Graph, name: str, values: list[int]) -> str:
    return graph.constant(name, np.array(values, np.int64))


def per_channel(graph: Graph, name: str, values: Sequence[float]) -> str:
    return graph.constant(name, np.array(values, np.float32).reshape(1, -1, 1, 1))


def with_preprocessing(p: Preprocessing, network: onnx.ModelProto) -> onnx.ModelProto:
    """One graph: the preprocessing, then the network."""
    (photos,) = network.graph.input
    return onnx.compose.merge_models(
        preprocessing_model(p),
        network,
        io_map=[(NORMALIZED, photos.name)],
        producer_name="googlenet",
    )
