"""The paper's table of results (section 7): models and their ensemble × views of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.evaluation import multilabel
from googlenet.evaluation.accuracy import Scores, ensemble, score
from googlenet.evaluation.metric_ci import (
    Figure,
    as_errors,
    calibration_error,
    figures,
    share,
    to_json,
)
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.images.views import SCALES, view_count
from googlenet.inference.calibration import Calibration
from googlenet.inference.classifier import Classifier


@dataclass(frozen=True)
class Result:
    """One line of the grid: `names` are the models that took part.

    scores: what they said, by the temperature of a single model that has one (`calibration`).
    An ensemble has no temperature and no score of being known: none was fitted for it.
    """

    names: tuple[str, ...]
    views: int
    protocol: str
    crops: int  # how many were made of a photo: half of `views` where it must not be mirrored
    scores: Scores
    figures: dict[str, Figure]
    calibration: Calibration | None = None
    threshold: float = 0.5  # above which a class is an answer, where photos can have several

    @property
    def top1_error(self) -> float:
        return self.scores.error(1)

    @property
    def top5_error(self) -> float:
        return self.scores.error(5)

    @property
    def called_unknown(self) -> NDArray[np.bool_] | None:
        """Which photos are called unknown: (N,), None where the model has no threshold."""
        unknown = self.calibration and self.calibration.unknown
        if not unknown or self.scores.known is None:
            return None
        return (self.scores.known < unknown.threshold).numpy()

    def to_json(self) -> dict[str, Any]:
        """Errors and figures in percent; `intervals` has the 95 % interval of each."""
        found = to_json(self.figures)
        return {
            "models": len(self.names),
            "names": list(self.names),
            "views": self.views,
            "protocol": self.protocol,
            "crops": self.crops,
            **({} if self.scores.multi else self.errors()),
            "images": len(self.scores),
            "skipped": len(self.scores.bad),
            **{name: found.get(name) for name in names_of(self.scores) if name not in ERRORS},
            "intervals": found["intervals"],
        }

    def errors(self) -> dict[str, float]:
        return {"top1_error": self.top1_error, "top5_error": self.top5_error}


ERRORS = ("top1_error", "top5_error")
FIGURES = (*ERRORS, "macro_f1", "balanced_accuracy", "calibration_error",
           "calibration_error_before", "called_unknown")  # fmt: skip


def names_of(scores: Scores) -> tuple[str, ...]:
    """The figures that there can be of such scores, in their order."""
    return multilabel.FIGURES if scores.multi else FIGURES


def grid(
    classifiers: Sequence[Classifier],
    names: Sequence[str],
    samples: Samples,
    views: Sequence[int],
    workers: int,
    bar: Callable[[int, str], Any],
    answers: Sequence[int] | None = None,
) -> list[Result]:
    """Each model alone, then all of them together, at each number of views; errors in percent.

    `answers` are the classes that count as answers, all if None.
    """
    rows = []
    for count in views:
        scores = []
        for classifier, name in zip(classifiers, names, strict=True):
            p = classifier.preprocessing
            with bar(len(samples), f"{name} {count}") as shown:
                found = score(classifier, samples, count, workers, shown.update)
            scores.append(found if answers is None else found.restricted(answers))
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
        scores.tempered(calibration),
        {},
        calibration,
        threshold,
    )
    return replace(line, figures=all_figures(line, scores))


def all_figures(line: Result, raw: Scores) -> dict[str, Figure]:
    """The line's figures by the names of FIGURES; those that it cannot have are left out."""
    if line.scores.multi:
        return multilabel.several_figures(line.scores, line.threshold)
    shown = as_errors(figures(line.scores))
    shown["calibration_error"] = calibration_error(line.scores)
    if line.calibration:
        shown["calibration_error_before"] = calibration_error(raw)
    if line.called_unknown is not None:
        shown["called_unknown"] = share(line.called_unknown)
    return shown


def protocol_name(views: int, p: Preprocessing) -> str:
    """What to call the way in which the views are made: BVLC's "caffe" squashes the photo."""
    name = {1: "center", 10: "ten", 144: "144"}[views]
    if views == 144 or p.mode == "crop":
        return name
    if p.mode == "squash":
        return "caffe" if views == 1 else f"caffe {name}"
    return f"{p.mode} {name}"


def protocol(views: int, p: Preprocessing) -> str:
    """How the views of a photo are made, in words."""
    side = resize_size(p.size) if views == 10 else p.resize
    resized = {
        "crop": f"shorter side to {side}",
        "squash": f"squashed to {side}×{side}",
        "letterbox": f"longer side to {side}, padded to a square",
    }[p.mode]
    halved = "" if p.hflip else ", without mirrors"
    if views == 1:
        return f"{resized}, centre {p.size}"
    if views == 10:
        return f"{resized}, of the centre square the corners and the centre {p.size}" + (
            ", and their mirrors" if p.hflip else halved
        )
    sides = ", ".join(str(round(scale * p.size / 224)) for scale in SCALES)
    return (
        f"shorter side to {sides}; left, centre, right square; the corners, the centre and the "
        f"whole of each at {p.size}" + (", and their mirrors" if p.hflip else halved)
    )
