"""The paper's results table (section 7): models and their ensemble × views per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.evaluation import multilabel
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.metric_ci import (
    MetricCI,
    as_errors,
    calibration_error,
    compute_metrics,
    proportion_ci,
    to_json,
)
from googlenet.evaluation.scores import Scores, ensemble
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.images.views import SCALES, view_count
from googlenet.inference.calibration import Calibration
from googlenet.inference.classifier import Classifier


@dataclass(frozen=True)
class Result:
    """One row of the results table: `names` are its models.

    scores: calibrated if it is a single model with a `calibration`.  An ensemble has no
    temperature and no in-distribution score: none was fitted for it.
    """

    names: tuple[str, ...]
    views: int
    protocol: str
    crops: int  # per image: half of `views` if mirroring is off
    scores: Scores
    metrics: dict[str, MetricCI]
    calibration: Calibration | None = None
    threshold: float = 0.5  # above which a class is predicted (multi-label)

    @property
    def top1_error(self) -> float:
        return self.scores.error(1)

    @property
    def top5_error(self) -> float:
        return self.scores.error(5)

    @property
    def called_unknown(self) -> NDArray[np.bool_] | None:
        """Which images are rejected as unknown: (N,); None if the model has no threshold."""
        ood = self.calibration and self.calibration.ood
        if not ood or self.scores.known is None:
            return None
        return (self.scores.known < ood.threshold).numpy()

    def to_json(self) -> dict[str, Any]:
        """Metrics in percent; `intervals` has the 95 % interval of each."""
        found = to_json(self.metrics)
        return {
            "models": len(self.names),
            "names": list(self.names),
            "views": self.views,
            "protocol": self.protocol,
            "crops": self.crops,
            **({} if self.scores.multilabel else self.errors()),
            "images": len(self.scores),
            "skipped": len(self.scores.unreadable),
            **{name: found.get(name) for name in names_of(self.scores) if name not in ERRORS},
            "intervals": found["intervals"],
        }

    def errors(self) -> dict[str, float]:
        return {"top1_error": self.top1_error, "top5_error": self.top5_error}


ERRORS = ("top1_error", "top5_error")
METRICS = (*ERRORS, "macro_f1", "balanced_accuracy", "calibration_error",
           "calibration_error_before", "called_unknown")  # fmt: skip


def names_of(scores: Scores) -> tuple[str, ...]:
    """The metrics of such scores, in order."""
    return multilabel.MULTILABEL_METRICS if scores.multilabel else METRICS


def results_table(
    classifiers: Sequence[Classifier],
    names: Sequence[str],
    samples: Samples,
    views: Sequence[int],
    workers: int,
    bar: Callable[[int, str], Any],
    answers: Sequence[int] | None = None,
) -> list[Result]:
    """For each number of views: a row per model, then their ensemble's.

    `answers`: the classes that predictions are restricted to, if any.
    """
    rows = []
    for count in views:
        scores = []
        for classifier, name in zip(classifiers, names, strict=True):
            p = classifier.preprocessing
            with bar(len(samples), f"{name} {count}") as shown:
                scores.append(
                    score(
                        classifier, samples, count, workers, shown.update,
                        allowed=answers, whole=len(classifiers) > 1,
                    )
                )  # fmt: skip
            rows.append(
                result((name,), count, p, scores[-1], classifier.calibration, classifier.threshold)
            )
        if len(classifiers) > 1:
            together, first = ensemble(scores), classifiers[0]
            # An ensemble's threshold is that of its first model.
            rows.append(
                result(tuple(names), count, first.preprocessing, together, None, first.threshold)
            )
    return rows


def result(
    names: tuple[str, ...],
    views: int,
    p: Preprocessing,
    scores: Scores,
    calibration: Calibration | None = None,
    threshold: float = 0.5,
) -> Result:
    line = Result(
        names,
        views,
        protocol_name(views, p),
        view_count(views, p),
        scores.temperature_scaled(calibration),
        {},
        calibration,
        threshold,
    )
    return replace(line, metrics=all_metrics(line, scores))


def all_metrics(line: Result, raw: Scores) -> dict[str, MetricCI]:
    """The line's figures by the names of FIGURES; those that it cannot have are left out."""
    if line.scores.multilabel:
        return multilabel.multilabel_metrics(line.scores, line.threshold)
    shown = as_errors(compute_metrics(line.scores))
    shown["calibration_error"] = calibration_error(line.scores)
    if line.calibration:
        shown["calibration_error_before"] = calibration_error(raw)
    if line.called_unknown is not None:
        shown["called_unknown"] = proportion_ci(line.called_unknown)
    return shown


def protocol_name(views: int, p: Preprocessing) -> str:
    """The evaluation protocol's name: BVLC's "caffe" squashes the image."""
    name = {1: "center", 10: "ten", 144: "144"}[views]
    if views == 144 or p.mode == "crop":
        return name
    if p.mode == "squash":
        return "caffe" if views == 1 else f"caffe {name}"
    return f"{p.mode} {name}"


def protocol(views: int, p: Preprocessing) -> str:
    """How the views of an image are cut, in words."""
    side = resize_size(p.size) if views == 10 else p.resize_size
    resized = {
        "crop": f"shorter side to {side}",
        "squash": f"squashed to {side}×{side}",
        "letterbox": f"longer side to {side}, padded to a square",
    }[p.mode]
    halved = "" if p.hflip else ", no mirrored views"
    if views == 1:
        return f"{resized}, center {p.size}"
    if views == 10:
        return f"{resized}, corners and center {p.size} of the center square" + (
            ", all mirrored too" if p.hflip else halved
        )
    sides = ", ".join(str(round(scale * p.size / 224)) for scale in SCALES)
    return (
        f"shorter side to {sides}; left, center, right square; corners, center and whole "
        f"of each at {p.size}" + (", all mirrored too" if p.hflip else halved)
    )
