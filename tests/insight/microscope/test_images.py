"""What made a prediction, against the logit that it explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.images.view import load_view
from googlenet.insight.microscope.images import grid, records_of
from tests.insight.microscope.small import samples, small_plan


def test_the_parts_of_the_last_map_make_the_logit(tmp_path: Path) -> None:
    """Weight × mean activation: with the bias, their sum is the logit."""
    plan = small_plan(tmp_path)
    p = plan.header.preprocessing
    views = np.stack([load_view(source, p) for source in samples().sources[:3]])
    records = records_of(plan, range(3), views, torch.ones(plan.units))
    with torch.inference_mode(), plan.network.tap("inception_5b") as maps:
        logits = plan.network(p.normalize(torch.from_numpy(views)))
    parts = maps["inception_5b"].mean((2, 3))[:, None] * plan.network.classifier.weight.detach()
    for n, record in enumerate(records):
        predicted, chance = record["top"][0]
        assert predicted == int(logits[n].argmax())
        assert chance == pytest.approx(float(logits[n].softmax(0).max()), rel=0.01)
        assert {int(predicted), plan.samples.labels[n]} <= set(record["cams"])
        own = parts[n, predicted]
        for unit, value in record["layers"]["inception_5b"]["for"]:
            assert value == pytest.approx(float(own[unit]), rel=0.01)
        assert record["layers"]["inception_5b"]["for"][0][1] == pytest.approx(
            float(own.max()), rel=0.01
        )
    assert not any(module._forward_hooks for module in plan.network.modules())


def test_the_grid_has_the_strongest_unit_at_each_place() -> None:
    activations = torch.zeros(1, 3, 14, 14)
    activations[0, 1, 0, 0] = 4.0
    activations[0, 2, 13, 13] = 3.0
    activations[0, 0, 13, 13] = 5.0  # of a unit that reaches 50 elsewhere
    units, strength = grid(activations, torch.tensor([50.0, 4.0, 6.0]))
    assert units.shape == strength.shape == (1, 7, 7)
    assert (units[0, 0, 0], strength[0, 0, 0]) == (1, 255)
    assert (units[0, 6, 6], strength[0, 6, 6]) == (2, 128)
    assert strength.sum() == 255 + 128
