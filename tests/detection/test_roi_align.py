"""RoIAlign against ONNX Runtime's operator, and where a map's places lie against gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from googlenet.detection.roi_align import MapGeometry, roi_align


def onnx_roi_align(features: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """ONNX's operator; its coordinates have the first place's center at 0.5."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "batch"], ["y"], output_height=size, output_width=size,
        sampling_ratio=2, spatial_scale=1.0, coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", kind, None),
            helper.make_tensor_value_info("rois", kind, None),
            helper.make_tensor_value_info("batch", onnx.TensorProto.INT64, None),
        ],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {"x": features, "rois": boxes + 0.5, "batch": np.zeros(len(boxes), np.int64)}
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.parametrize("size", [1, 4, 7])
def test_agrees_with_onnx(size: int) -> None:
    rng = np.random.default_rng(size)
    features = rng.normal(size=(1, 5, 9, 13)).astype(np.float32)
    corners = rng.uniform(0, [6, 4], (20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.5, 4, (20, 2))], 1)
    boxes = boxes.astype(np.float32)
    found = roi_align(torch.from_numpy(features), torch.from_numpy(boxes), size)
    np.testing.assert_allclose(found.numpy(), onnx_roi_align(features, boxes, size), atol=2e-5)


def test_a_linear_map_keeps_its_values() -> None:
    """The mean of a plane over a bin is its value at the bin's center."""
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    found = roi_align((3 * x + y)[None, None], torch.tensor([[1.0, 2.0, 5.0, 6.0]]), 2)
    assert found[0, 0].tolist() == [[9.0, 15.0], [11.0, 17.0]]


def test_outside_the_map_is_its_edge() -> None:
    found = roi_align(torch.full((1, 1, 4, 4), 3.0), torch.tensor([[-9.0, -9.0, 20.0, 20.0]]), 4)
    assert torch.equal(found, torch.full((1, 1, 4, 4), 3.0))


def test_no_boxes() -> None:
    assert roi_align(torch.zeros(1, 6, 4, 4), torch.zeros(0, 4), 4).shape == (0, 6, 4, 4)


def test_geometry_in_places() -> None:
    boxes = torch.tensor([[14.5, 30.5, 46.5, 62.5]])
    assert MapGeometry(16, 14.5).to_map(boxes).tolist() == [[0, 1, 2, 3]]
