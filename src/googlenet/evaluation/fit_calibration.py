"""Fit a classifier's calibration on held-out images: temperature and OOD threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.calibration_error import BINS, TemperatureFit, cross_fit, two_folds
from googlenet.evaluation.metric_ci import MetricCI, ece_metric, proportion_ci
from googlenet.evaluation.ood import DEFAULT_TARGET_FPR, fit_ood_detector, rejected
from googlenet.inference.calibration import Calibration


@dataclass(frozen=True)
class Calibrated:
    """A calibration and its cross-fitted metrics.

    before, after: the expected calibration error.  rejected: the false positive rate of the OOD
    threshold; None with too few images for one.  Each fold is evaluated with what was fitted on
    the other.
    """

    calibration: Calibration
    temperature: TemperatureFit
    before: MetricCI
    after: MetricCI
    rejected: MetricCI | None

    def to_json(self) -> dict[str, Any]:
        return {
            **self.calibration.to_json(),
            "rejected": self.rejected and self.rejected.value,
            "intervals": {
                "calibration_error_before": list(self.before.interval or ()),
                "calibration_error": list(self.after.interval or ()),
                "rejected": self.rejected and list(self.rejected.interval or ()),
            },
        }

    def lines(self) -> list[str]:
        """The calibration in words."""
        unknown, images = self.calibration.ood, len(self.temperature.correct)
        found = [
            f"temperature {self.calibration.temperature:.3f}: ECE {self.before} → {self.after}"
        ]
        if unknown and self.rejected:
            found.append(
                f"OOD threshold {unknown.threshold:.3f} ({unknown.score}): target FPR "
                f"{unknown.target_fpr:g} %, measured {self.rejected}"
            )
        elif unknown:
            found.append(f"OOD threshold {unknown.threshold:.3f} ({unknown.score})")
        else:
            found.append(f"no OOD threshold: {images} images are too few for one")
        return found


def fit_calibration(
    scores: Scores, target_fpr: float = DEFAULT_TARGET_FPR, seed: int = 0
) -> Calibrated:
    """Fit temperature and OOD threshold on the scores' outputs (one view per image).

    target_fpr: percent of in-distribution images that may be rejected.
    """
    assert scores.outputs is not None
    labels = scores.labels.numpy()
    fit = cross_fit(scores.outputs.logits.astype(np.float64), labels, seed)
    before, after = (ece_metric(each, fit.correct) for each in (fit.before, fit.after))
    unknown = fit_ood_detector(scores.outputs, target_fpr, seed)
    called = rejected(scores.outputs, target_fpr, two_folds(len(scores), seed))
    facts = {
        "images": len(scores),
        "bins": BINS,
        "calibration_error_before": before.value,
        "calibration_error": after.value,
    }
    return Calibrated(
        Calibration(fit.temperature, unknown, facts),
        fit,
        before,
        after,
        proportion_ci(called) if called is not None else None,
    )
