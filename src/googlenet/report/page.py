"""A run's report: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from googlenet.data.dataset import Samples
from googlenet.data.labels import Class
from googlenet.evaluation.calibration_error import reliability as bins
from googlenet.evaluation.details import MATRIX_CLASSES, class_metrics
from googlenet.evaluation.label_issues import LabelIssue
from googlenet.evaluation.metric_ci import as_errors
from googlenet.evaluation.metrics import confusion_matrix
from googlenet.evaluation.multilabel import MultilabelMetrics
from googlenet.evaluation.results_table import protocol
from googlenet.evaluation.scores import Scores
from googlenet.images.augment import Augmentation
from googlenet.images.data_url import data_url
from googlenet.images.decode import ImageError, decode
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage, as_pillow
from googlenet.images.views import center
from googlenet.insight.explain import Explainer, Question
from googlenet.insight.heat import overlay
from googlenet.models.table import variant_name
from googlenet.report.plots import confusion, curves, reliability
from googlenet.runtime.errors import printable
from googlenet.runtime.files import write_text
from googlenet.runtime.template import render_template
from googlenet.training.run import Trained
from googlenet.training.setup import Run

THUMBNAIL = 128
MISTAKES = 24
LEAST_PLACES = 9  # of a map that shows where: of small images the last one has a single place
SHEET = (4, 6)  # images, and augmented crops of each


@dataclass(frozen=True)
class Mistake:
    """looked: where the network looked for the predicted class and for the true one; or ""."""

    image: str
    name: str
    true: str
    answer: str
    probability: float
    looked: tuple[str, str] = ("", "")


def write_report(run: Run, trained: Trained) -> None:
    """Write report.html into the run's folder.  Raises GoogLeNetError if that fails."""
    write_text(run.folder.report, render(run, trained))


def render(run: Run, trained: Trained) -> str:
    """The report's HTML."""
    views, scores = min(trained.scores.items())
    p, classes = run.settings.preprocessing, run.data.classes
    names = [c.name for c in classes]
    judged = multilabel_parts if run.data.multilabel else single_label_parts
    return render_template(
        "googlenet.report",
        "page.html.jinja",
        title=f"{variant_name(run.settings.recipe.variant)} on {run.data.name}",
        data=run.data,
        views=[
            {
                "views": n,
                "protocol": protocol(n, p),
                "figures": trained.metrics[n]
                if run.data.multilabel
                else as_errors(trained.metrics[n]),
                "images": len(s),
            }
            for n, s in trained.scores.items()
        ],
        headline_views=views,
        seconds=trained.seconds,
        curves=Markup(curves(run.progress.history)),
        **judged(run, trained, scores, names),
        headline=next(iter(trained.metrics[views].values())),
        doubts=with_thumbnails(
            [d for d in trained.label_issues if d.part == "train"], run.data.train, p
        ),
        sheet=augmented_sheet(run.data.train, p, run.trainer.loader.augmentation),
        bad={
            "training": sorted(run.trainer.unreadable.values()),
            "validation": sorted(scores.unreadable.values()),
        },
        settings=run.settings.to_json(),
        machine=run.machine.describe(),
        made_by=trained.classifier.provenance["made_by"],
    )


def single_label_parts(
    run: Run, trained: Trained, scores: Scores, names: list[str]
) -> dict[str, Any]:
    """The parts of the page for a single-label model."""
    metrics, calibrated = class_metrics(scores), trained.calibrated
    assert calibrated is not None
    fit = calibrated.temperature
    return {
        "columns": ("recall", "precision", "f1"),
        "confusion": confusion_maps(scores, names),
        "per_class": worst_first(metrics.rows(names)),
        "missing": [names[i] for i in metrics.missing],
        "calibrated": calibrated,
        "reliability": Markup(
            reliability(bins(fit.before, fit.correct), bins(fit.after, fit.correct))
        ),
        "mistakes": mistakes(
            scores.temperature_scaled(calibrated.calibration),
            run.data.val,
            run.data.classes,
            Explainer(trained.classifier),
        ),
    }


def confusion_maps(scores: Scores, names: list[str]) -> Markup | None:
    """The confusion matrix as images; None for too many classes to see."""
    if len(names) > MATRIX_CLASSES:
        return None
    labels, answers = scores.labels.numpy(), scores.predicted().numpy()
    return Markup(confusion(confusion_matrix(labels, answers, len(names)), names))


def multilabel_parts(
    run: Run, trained: Trained, scores: Scores, names: list[str]
) -> dict[str, Any]:
    """The parts of the page for a multi-label model."""
    metrics = MultilabelMetrics.of(scores, trained.classifier.threshold)
    wrong = [d for d in trained.label_issues if d.part == "val"]
    return {
        "columns": ("average_precision", "recall", "precision", "f1"),
        "confusion": None,
        "per_class": worst_first(metrics.rows(names), "average_precision"),
        "missing": [names[i] for i in metrics.missing],
        "calibrated": None,
        "reliability": None,
        "mistakes": with_thumbnails(wrong, run.data.val, run.settings.preprocessing),
    }


def worst_first(rows: list[dict[str, Any]], key: str = "recall") -> list[dict[str, Any]]:
    """Classes sorted by a metric, those without images last."""
    return sorted(rows, key=lambda row: 101 if row[key] is None else row[key])


def mistakes(
    scores: Scores, samples: Samples, classes: Sequence[Class], explainer: Explainer
) -> list[Mistake]:
    """The most confident errors, with thumbnails and where the network looked."""
    p = explainer.classifier.preprocessing
    predicted = scores.predicted()
    certainty = scores.confidence()
    wrong = [
        i for i in certainty.argsort(descending=True).tolist() if predicted[i] != scores.labels[i]
    ]
    found = []
    for i in wrong[:MISTAKES]:
        index = scores.indices[i]
        image = next(center(decode(samples.sources[index]), p))
        name = printable(samples.name(index).replace("\\", "/").rsplit("/", 1)[-1])
        label, answer = int(scores.labels[i]), int(predicted[i])
        found.append(
            Mistake(
                thumbnail(image),
                name,
                classes[label].name,
                classes[answer].name,
                float(certainty[i]),
                (looked(explainer, image, answer), looked(explainer, image, label)),
            )
        )
    return found


def looked(explainer: Explainer, view: Image.Image, target: int) -> str:
    """A view under the map of where the network looked for a class, as a thumbnail."""
    method = "gradcam" if explainer.why_not("cam") else "cam"
    pixels = explainer.classifier.preprocessing.pixels(view)
    found = explainer.map(pixels, method, Question(target))
    if found.size < LEAST_PLACES:
        found = explainer.map(pixels, "smoothgrad", Question(target))
    return thumbnail(overlay(view, found))


def with_thumbnails(
    found: Sequence[LabelIssue], samples: Samples, p: Preprocessing
) -> list[Mistake]:
    """The strongest label issues, with thumbnails."""
    return [
        Mistake(
            thumbnail(next(center(decode(samples.sources[issue.index]), p))),
            printable(issue.path.replace("\\", "/").rsplit("/", 1)[-1]),
            printable(issue.label) or "nothing",
            printable(issue.answer) or "nothing",
            issue.probability,
        )
        for issue in found[:MISTAKES]
    ]


def augmented_sheet(
    samples: Samples, p: Preprocessing, augmentation: Augmentation
) -> list[list[str]]:
    """Rows of thumbnails: a training image as evaluated, then its crops of the first epochs."""
    images, crops = SHEET
    rows: list[list[str]] = []
    for index in np.linspace(0, len(samples) - 1, min(images, len(samples)), dtype=int).tolist():
        try:
            image = decode(samples.sources[index])
        except ImageError:
            continue
        drawn = [augmentation(image, epoch, index) for epoch in range(crops)]
        rows.append([thumbnail(next(center(image, p))), *map(thumbnail, drawn)])
    return rows


def thumbnail(image: DecodedImage) -> str:
    """A small JPEG as a data URL."""
    side = (THUMBNAIL, THUMBNAIL)
    return data_url(as_pillow(image).resize(side, Image.Resampling.BICUBIC))
