"""Sparse candidates compute the convolution of the pruned filters, and are counted as pruned."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from googlenet.bench.sparse import BLOCK, FORMS, SparseLayer, candidates, measure, pruned
from googlenet.cli import main

SMALL = (SparseLayer("1×1", 64, 32, 1, 3), SparseLayer("3×3", 32, 64, 3, 4))


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_all_forms_compute_the_same_convolution(layer: SparseLayer) -> None:
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(
        layer.filters, layer.inputs, layer.kernel, layer.kernel, generator=generator
    )
    images = torch.rand(2, layer.inputs, layer.side, layer.side, generator=generator)
    for name, candidate in candidates(layer, 2, (0.5,), {}).items():
        found = torch.as_tensor(np.asarray(candidate.run()))
        block = BLOCK if "BSR" in name else 1
        weights = filters if "dense" in name else pruned(filters, 0.5, block).view_as(filters)
        expected = F.conv2d(images, weights, padding=layer.kernel // 2)
        if "dense" not in name:
            found = found.view(layer.filters, 2, layer.side, layer.side).transpose(0, 1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.9])
def test_the_smallest_are_pruned(fraction: float, block: int) -> None:
    filters = torch.randn(32, 16, 1, 1, generator=torch.Generator().manual_seed(1))
    matrix = pruned(filters, fraction, block)
    assert float((matrix == 0).float().mean()) == pytest.approx(fraction, abs=0.02)
    kept = matrix[matrix != 0].abs()
    if block == 1 and fraction:
        assert kept.min() >= filters.flatten()[matrix.flatten() == 0].abs().max()


def test_measured_rows_have_the_agreed_keys() -> None:
    value = measure(1, threads=1, repetitions=1, zeros=(0.9,), layers=SMALL[:1])
    assert value["kind"] == "sparse"
    assert {"unit", "ceiling", "results"} <= set(value)
    assert len(value["results"]) == 2 + len(FORMS)
    for row in value["results"]:
        assert {"name", "median", "low", "high", "ratio", "limit"} <= set(row)
    limits = [row["limit"] for row in value["results"]]
    assert limits[2] == pytest.approx(10 * limits[0], rel=0.01)
    json.dumps(value)


def test_options_that_do_not_apply(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "sparse", "--images", "3"]) == 2
    assert "--images is not valid for bench sparse" in capsys.readouterr().err
