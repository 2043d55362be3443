"""The paper's table of results (section 7): models and their ensemble × views of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from googlenet.classifier import Classifier
from googlenet.data.dataset import Samples
from googlenet.evaluation.accuracy import Scores, ensemble, score
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import SCALES, view_count


@dataclass(frozen=True)
class Result:
    """One line of the grid: `names` are the models that took part."""

    names: tuple[str, ...]
    views: int
    protocol: str
    crops: int  # how many were made of a photo: half of `views` where it must not be mirrored
    top1_error: float
    top5_error: float
    images: int
    bad: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "models": len(self.names),
            "names": list(self.names),
            "views": self.views,
            "protocol": self.protocol,
            "crops": self.crops,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "images": self.images,
            "skipped": len(self.bad),
        }


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
            with bar(len(samples), f"{name} {count}") as shown:
                found = score(classifier, samples, count, workers, shown.update)
            scores.append(found if answers is None else found.restricted(answers))
            rows.append(result((name,), count, classifier.preprocessing, scores[-1]))
        if len(classifiers) > 1:
            together = ensemble(scores)
            rows.append(result(tuple(names), count, classifiers[0].preprocessing, together))
    return rows


def result(names: tuple[str, ...], views: int, p: Preprocessing, scores: Scores) -> Result:
    return Result(
        names,
        views,
        protocol_name(views, p),
        view_count(views, p),
        scores.error(1),
        scores.error(5),
        len(scores),
        scores.bad,
    )


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
    resized = {
        "crop": f"shorter side to {p.resize}",
        "squash": f"squashed to {p.resize}×{p.resize}",
        "letterbox": f"longer side to {p.resize}, padded to a square",
    }[p.mode]
    halved = "" if p.mirror else ", without mirrors"
    if views == 1:
        return f"{resized}, centre {p.size}"
    if views == 10:
        return f"{resized}, of the centre square the corners and the centre {p.size}" + (
            ", and their mirrors" if p.mirror else halved
        )
    sides = ", ".join(str(round(scale * p.size / 224)) for scale in SCALES)
    return (
        f"shorter side to {sides}; left, centre, right square; the corners, the centre and the "
        f"whole of each at {p.size}" + (", and their mirrors" if p.mirror else halved)
    )
