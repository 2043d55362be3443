"""The ONNX graph, run by ONNX's own reference evaluator and by the engines."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from googlenet.export.onnx_graph import network_model, with_metadata
from googlenet.inference.calibration import Calibration
from googlenet.models import table
from googlenet.models.cost import NAMES
from googlenet.models.googlenet import GoogLeNet
from googlenet.weights.onnx import read_onnx
from tests.models.test_fuse import SMALL, lively


@pytest.mark.parametrize("variant", NAMES)
def test_every_network_in_onnx_runtime(variant: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, photos = lively(variant)
    model = network_model(network, SMALL.get(variant, 64))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    sizes = [photos] if variant in ("lenet5", "alexnet", "nin", "vgg16") else [
        photos, torch.randn(1, 3, 75, 98), torch.randn(3, 3, 64, 33)
    ]  # fmt: skip
    for x in sizes:
        logits, probabilities, *_ = map(np.asarray, session.run(None, {"photos": x.numpy()}))
        with torch.inference_mode():
            expected = network(x)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(probabilities, expected.softmax(1), rtol=1e-4, atol=1e-6)


class LRN(OpRun):
    """The specification's formula; onnx's own program goes over images where it means channels."""

    op_domain = ""

    def _run(self, x: Any, alpha: float, beta: float, bias: float, size: int) -> tuple[Any]:
        sums = np.zeros_like(x)
        for c in range(x.shape[1]):
            first, last = c - (size - 1) // 2, c + -(-(size - 1) // 2)
            sums[:, c] = (x[:, max(0, first) : last + 1] ** 2).sum(1)
        return ((x / (bias + alpha / size * sums) ** beta).astype(x.dtype),)


def test_paper_s_graph_in_the_reference_evaluator() -> None:
    """ONNX's own program for each operator, and its specification's formula for LRN."""
    network, _ = lively("paper")
    photos = torch.randn(1, 3, 47, 39)
    evaluator = ReferenceEvaluator(network_model(network, 64), new_ops=[LRN])
    logits, _, summary = map(np.asarray, evaluator.run(None, {"photos": photos.numpy()}))
    assert isinstance(network, GoogLeNet)
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(photos), rtol=1e-3, atol=1e-4)
        _, means = network.features_and_summary(photos)
        np.testing.assert_allclose(summary, means, rtol=1e-3, atol=1e-5)


def test_graph_is_small_and_readable() -> None:
    network, _ = lively("paper")
    model = network_model(network, 64)
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {
        "Conv", "Relu", "MaxPool", "LRN", "Concat", "GlobalAveragePool", "Flatten", "Gemm",
        "Softmax",
    }  # fmt: skip
    assert {node.domain for node in model.graph.node} == {""}
    names = [node.name for node in model.graph.node]
    assert "inception_4a.5x5" in names
    assert "inception_4a.5x5_reduce.conv" in names
    assert len(set(names)) == len(names)
    (photos,) = model.graph.input
    dims = [dim.dim_param or dim.dim_value for dim in photos.type.tensor_type.shape.dim]
    assert dims == ["batch", 3, "height", "width"]


def test_temperature_divides_the_logits() -> None:
    network, photos = lively("bn")
    evaluator = ReferenceEvaluator(network_model(network, 64, False, Calibration(2.5)))
    logits, probabilities, _ = map(np.asarray, evaluator.run(None, {"photos": photos[:1].numpy()}))
    expected = torch.from_numpy(logits / 2.5).softmax(1)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_our_own_reader_reads_it() -> None:
    """The weights have the paper's names, and the LRN nodes the variant's constants."""
    network, _ = lively("paper")
    model = network_model(network, 64)
    with_metadata(model, "googlenet", {"a": 1})
    found = read_onnx(memoryview(model.SerializeToString()))
    (lrn, _), norm = found.lrn, table.PAPER.norm
    assert isinstance(norm, table.LRN)
    assert (lrn.size, lrn.beta, lrn.k) == (norm.size, norm.beta, norm.k)
    assert lrn.alpha == pytest.approx(norm.alpha, rel=1e-7)
    weight = network.get_parameter("inception_4a.5x5.conv.weight")
    assert torch.equal(found.tensors["inception_4a.5x5.conv.weight"], weight)
    (entry,) = model.metadata_props
    assert (entry.key, json.loads(entry.value)) == ("googlenet", {"a": 1})
    assert onnx.defs.onnx_opset_version() >= model.opset_import[0].version
