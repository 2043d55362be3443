"""Everything that a classifier's calibration is, fitted on photos that it has not learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.calibration_error import BINS, TemperatureFit, cross_fit, halves
from googlenet.evaluation.metric_ci import Figure, error_of, share
from googlenet.evaluation.ood import FALSE_ALARMS, fit_unknown, rejected
from googlenet.inference.calibration import Calibration


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and how it does on photos that it was not fitted on.

    before, after: the calibration error.  rejected: the share of the photos, all of known
    classes, that is called unknown; None where the photos are too few for a threshold.
    Both judge each half of the photos by what was fitted on the other half.
    """

    calibration: Calibration
    temperature: TemperatureFit
    before: Figure
    after: Figure
    rejected: Figure | None

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
        """For a reader."""
        unknown, photos = self.calibration.unknown, len(self.temperature.correct)
        found = [
            f"temperature {self.calibration.temperature:.3f}: calibration error {self.before}, "
            f"with it {self.after}"
        ]
        if unknown and self.rejected:
            found.append(
                f"unknown below {unknown.threshold:.3f} ({unknown.score}), for "
                f"{unknown.false_alarms:g} % of known photos: {self.rejected} of these"
            )
        elif unknown:
            found.append(f"unknown below {unknown.threshold:.3f} ({unknown.score})")
        else:
            found.append(f"no threshold for unknown: {photos} photos are too few for one")
        return found


def calibrate(scores: Scores, false_alarms: float = FALSE_ALARMS, seed: int = 0) -> Calibrated:
    """Fit temperature and threshold on the outputs that the scores have kept (one view a photo).

    false_alarms: the share of known photos, in percent, that may be called unknown.
    """
    assert scores.outputs is not None
    labels = scores.labels.numpy()
    fit = cross_fit(scores.outputs.logits.double().numpy(), labels, seed)
    before, after = (error_of(each, fit.correct) for each in (fit.before, fit.after))
    unknown = fit_unknown(scores.outputs, false_alarms, seed)
    called = rejected(scores.outputs, false_alarms, halves(len(scores), seed))
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
        share(called) if called is not None else None,
    )
