"""A calibration is kept only where cross-fitting says that it helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from googlenet.evaluation.calibration_error import cross_fit, softmax
from googlenet.evaluation.fit_calibration import fit_calibration
from googlenet.evaluation.scores import Scores
from googlenet.inference.outputs import Outputs


def scores(images: int, seed: int, scale: float) -> Scores:
    """Labels drawn from exactly the probabilities that logits/scale mean."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(images, 4))
    labels = (z + rng.gumbel(size=z.shape)).argmax(1)
    logits = (z * scale).astype(np.float32)
    return Scores(
        torch.from_numpy(softmax(logits.astype(np.float64))),
        torch.from_numpy(labels),
        tuple(range(images)),
        outputs=Outputs(logits),
    )


def test_a_temperature_that_helps_is_kept() -> None:
    found = fit_calibration(scores(2000, 0, 3.0))
    assert found.temperature.kept
    assert found.calibration.temperature == pytest.approx(3, rel=0.1)
    facts = found.to_json()
    assert facts["temperature_kept"] is True
    assert facts["calibration_error"] < facts["calibration_error_before"]
    assert found.lines()[0].startswith("temperature 2.9")


def test_a_temperature_that_does_not_help_is_not_kept() -> None:
    """153 images of a calibrated model: the temperature fits their noise."""
    for seed in range(10):
        found = fit_calibration(scores(153, seed, 1.0))
        facts, fit = found.to_json(), found.temperature
        if not fit.kept:
            break
    assert facts["temperature"] == found.calibration.temperature == 1
    assert facts["temperature_kept"] is False
    assert facts["temperature_fitted"] == fit.fitted != 1
    assert facts["calibration_error"] == facts["calibration_error_before"]
    assert facts["intervals"]["calibration_error"] == facts["intervals"]["calibration_error_before"]
    assert fit.nll_after >= fit.nll_before or (
        facts["calibration_error_fitted"] > facts["calibration_error_before"]
    )
    assert found.lines()[0].startswith("temperature 1: ")
    assert "does not help" in found.lines()[0]


def test_what_is_kept_is_never_reported_as_worse() -> None:
    kept = 0
    for seed in range(40):
        found = fit_calibration(scores(60, seed, 1.2))
        kept += found.temperature.kept
        facts = found.to_json()
        assert facts["calibration_error"] <= facts["calibration_error_before"]
    assert 0 < kept < 40


def test_a_single_image_says_nothing_about_others() -> None:
    fit = cross_fit(np.array([[1.0, 0.0]]), np.array([0]))
    assert not fit.kept
    assert fit.temperature == 1


def test_a_threshold_that_rejects_too_many_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other half is rejected more often than promised: no threshold, and a sentence."""
    from googlenet.evaluation import fit_calibration as module

    data = scores(400, 0, 1.0)
    assert fit_calibration(data).calibration.ood is not None
    many = np.arange(400) < 60
    monkeypatch.setattr(module, "rejected", lambda *a: many)
    found = fit_calibration(data)
    assert found.calibration.ood is None
    assert found.to_json()["rejected"] == pytest.approx(15)
    assert "no OOD threshold: " in found.lines()[1]
    assert "15.0 %" in found.lines()[1]
