"""Fit a classifier's calibration on held-out images: temperature and OOD threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from googlenet.evaluation.calibration_error import BINS, TemperatureFit, cross_fit, two_folds
from googlenet.evaluation.metric_ci import MetricCI, ece_metric, proportion_ci
from googlenet.evaluation.ood import DEFAULT_TARGET_FPR, fit_ood_detector, rejected
from googlenet.evaluation.scores import Scores
from googlenet.inference.calibration import Calibration


@dataclass(frozen=True)
class Calibrated:
    """A calibration and its cross-fitted metrics.

    before, after: the expected calibration error without the temperature and with it.  rejected:
    the false positive rate of the OOD threshold; None with too few images for one.  Each fold is
    evaluated with what was fitted on the other, and what does not help there is not kept.
    """

    calibration: Calibration
    temperature: TemperatureFit
    before: MetricCI
    after: MetricCI
    rejected: MetricCI | None

    @property
    def in_effect(self) -> MetricCI:
        """The expected calibration error with the temperature that is kept."""
        return self.after if self.temperature.kept else self.before

    def to_json(self) -> dict[str, Any]:
        return {
            **self.calibration.to_json(),
            "rejected": self.rejected and self.rejected.value,
            "intervals": {
                "calibration_error_before": list(self.before.interval or ()),
                "calibration_error": list(self.in_effect.interval or ()),
                "rejected": self.rejected and list(self.rejected.interval or ()),
            },
        }

    def lines(self) -> list[str]:
        """The calibration in words."""
        unknown, images = self.calibration.ood, len(self.temperature.correct)
        fit = self.temperature
        found = [f"temperature {fit.fitted:.3f}: ECE {self.before} → {self.after}"]
        if not fit.kept:
            found = [
                f"temperature 1: {fit.fitted:.3f}, fitted on {images} images, does not help images "
                f"that it was not fitted on: ECE {self.before} → {self.after}, negative "
                f"log-likelihood {fit.nll_before:.4f} → {fit.nll_after:.4f}"
            ]
        if unknown is None and self.rejected:
            found.append(
                f"no OOD threshold: fitted on one half of the images, it rejects {self.rejected} "
                "of the other half, more than the target FPR"
            )
        elif unknown and self.rejected:
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

    target_fpr: percent of in-distribution images that may be rejected.  Of very many images and
    classes the scores hold the outputs of a random sample, which is what both are fitted on.

    Both are kept only where cross-fitting says that they do their work: the temperature as
    `TemperatureFit.kept` decides, else it is 1; the threshold unless the 95 % interval of the
    cross-fitted false positive rate lies above the target.  A threshold that halves of the
    images are too few to measure is kept: as a conformal quantile its rate holds for any number.
    """
    assert scores.outputs is not None
    rows = np.searchsorted(scores.indices, scores.output_indices or scores.indices)
    labels, images = scores.labels.numpy()[rows], len(rows)
    fit = cross_fit(scores.outputs.logits.astype(np.float64), labels, seed)
    before, after = (ece_metric(each, fit.correct) for each in (fit.before, fit.after))
    ood = fit_ood_detector(scores.outputs, target_fpr, seed)
    flags = rejected(scores.outputs, target_fpr, two_folds(images, seed))
    rate = proportion_ci(flags) if flags is not None else None
    if rate and rate.interval and rate.interval.low > target_fpr:
        ood = None
    facts = {
        "images": images,
        "bins": BINS,
        "calibration_error_before": before.value,
        "calibration_error": (after if fit.kept else before).value,
        "temperature_kept": fit.kept,
        "temperature_fitted": fit.fitted,
        "calibration_error_fitted": after.value,
        "nll_before": fit.nll_before,
        "nll_fitted": fit.nll_after,
    }
    return Calibrated(Calibration(fit.temperature, ood, facts), fit, before, after, rate)
