"""A run's report: one HTML file that needs nothing outside itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from googlenet.data.dataset import Class, Samples
from googlenet.errors import printable
from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.grid import protocol
from googlenet.files import write_text
from googlenet.images.augment import Augmentation, as_image
from googlenet.images.decode import ImageError, decode
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo import Photo
from googlenet.images.views import center
from googlenet.report.plots import confusion, curves
from googlenet.training.run import Run, Trained

THUMBNAIL = 128
MISTAKES = 24
SHEET = (4, 6)  # photos and augmented crops of each


@dataclass(frozen=True)
class Mistake:
    image: str
    name: str
    true: str
    answer: str
    probability: float


def write_report(run: Run, trained: Trained) -> None:
    """Write report.html into the run's folder.  Raises GoogLeNetError where that fails."""
    write_text(run.folder.report, render(run, trained))


def render(run: Run, trained: Trained) -> str:
    """The report's HTML."""
    views, scores = min(trained.scores.items())
    p, classes = run.settings.preprocessing, run.data.classes
    matrix = confusion_matrix(scores, len(classes))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("googlenet.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=f"{run.settings.recipe.variant} on {run.data.name}",
        data=run.data,
        views=[
            {
                "views": n,
                "protocol": protocol(n, p),
                "top1": s.error(1),
                "top5": s.error(5),
                "images": len(s),
            }
            for n, s in trained.scores.items()
        ],
        headline=100 - scores.error(1),
        headline_views=views,
        seconds=trained.seconds,
        curves=Markup(curves(run.progress.history)),
        confusion=Markup(confusion(matrix, [c.name for c in classes])),
        per_class=per_class(matrix, classes),
        mistakes=mistakes(scores, run.data.val, classes, p),
        sheet=augmented_sheet(run.data.train, p, run.trainer.loader.augmentation),
        bad={
            "train on": sorted(run.trainer.bad.values()),
            "validate on": sorted(scores.bad.values()),
        },
        settings=run.settings.to_json(),
        machine=run.machine.describe(),
        made_by=trained.classifier.provenance["made_by"],
    )


def confusion_matrix(scores: Scores, classes: int) -> NDArray[np.int64]:
    """Counts (true class, answer)."""
    pairs = scores.labels * classes + scores.predicted()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).numpy()


def per_class(matrix: NDArray[np.int64], classes: Sequence[Class]) -> list[dict[str, Any]]:
    """Precision and recall of each class in percent (None where undefined), the worst first."""
    rows: list[dict[str, Any]] = []
    for i, c in enumerate(classes):
        hits, support, answered = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        rows.append(
            {
                "name": c.name,
                "support": support,
                "recall": 100 * hits / support if support else None,
                "precision": 100 * hits / answered if answered else None,
            }
        )
    return sorted(rows, key=lambda row: 101 if row["recall"] is None else row["recall"])


def mistakes(
    scores: Scores, samples: Samples, classes: Sequence[Class], p: Preprocessing
) -> list[Mistake]:
    """The wrong answers that were given with the most certainty, with their photos."""
    predicted = scores.predicted()
    certainty = scores.probabilities.max(1).values
    wrong = [
        i for i in certainty.argsort(descending=True).tolist() if predicted[i] != scores.labels[i]
    ]
    found = []
    for i in wrong[:MISTAKES]:
        index = scores.indices[i]
        photo = next(center(decode(samples.sources[index]), p))
        name = printable(samples.name(index).replace("\\", "/").rsplit("/", 1)[-1])
        true, answer = classes[int(scores.labels[i])].name, classes[int(predicted[i])].name
        found.append(Mistake(thumbnail(photo), name, true, answer, float(certainty[i])))
    return found


def augmented_sheet(
    samples: Samples, p: Preprocessing, augmentation: Augmentation
) -> list[list[str]]:
    """Training photos, each as it is and as training draws it in the first epochs."""
    photos, crops = SHEET
    rows: list[list[str]] = []
    for index in np.linspace(0, len(samples) - 1, min(photos, len(samples)), dtype=int).tolist():
        try:
            photo = decode(samples.sources[index])
        except ImageError:
            continue
        drawn = [augmentation(photo, epoch, index) for epoch in range(crops)]
        rows.append([thumbnail(next(center(photo, p))), *map(thumbnail, drawn)])
    return rows


def thumbnail(photo: Photo) -> str:
    """A small JPEG as a data address."""
    small = as_image(photo).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
