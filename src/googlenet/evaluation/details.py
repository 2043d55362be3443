"""Detailed results of an evaluation: per class, per confidence bin, per image."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from googlenet.data.dataset import Samples
from googlenet.data.labels import Class, join_labels
from googlenet.evaluation.calibration_error import reliability
from googlenet.evaluation.metrics import (
    ClassMetrics,
    by_row,
    confusion_entries,
    confusion_matrix,
)
from googlenet.evaluation.multilabel import MultiHot, MultilabelMetrics
from googlenet.evaluation.results_table import Result
from googlenet.evaluation.scores import Scores

COLUMNS = ("models", "views", "path", "label", "answer", "probability", "score", "unknown", "error")

MATRIX_CLASSES = 1000  # up to which the confusion matrix is written in full


def class_metrics(scores: Scores) -> ClassMetrics:
    return ClassMetrics.of(scores.labels.numpy(), scores.predicted().numpy(), scores.classes)


def confusion(scores: Scores, names: list[str]) -> dict[str, Any]:
    """The confusion matrix as counts and as fractions of the true class (rows are true classes).

    Above MATRIX_CLASSES classes both are None and `entries` has the nonzero counts, each as
    [true class, predicted class, count].
    """
    labels, answers = scores.labels.numpy(), scores.predicted().numpy()
    if scores.classes > MATRIX_CLASSES:
        entries = confusion_entries(labels, answers, scores.classes)
        return {"labels": names, "counts": None, "by_row": None, "entries": entries}
    matrix = confusion_matrix(labels, answers, scores.classes)
    fractions = np.round(by_row(matrix), 6)
    return {"labels": names, "counts": matrix.tolist(), "by_row": fractions.tolist()}


def details(result: Result, classes: Sequence[Class]) -> dict[str, Any]:
    """A row of the results table with its details.

    Per-class metrics in percent, null where undefined; the confusion matrix; the reliability
    diagram's bins.
    """
    names = [c.name for c in classes]
    if result.scores.multilabel:
        several = MultilabelMetrics.of(result.scores, result.threshold)
        return result.to_json() | {
            "threshold": result.threshold,
            "classes": several.rows(names),
            "classes_without_photos": [names[i] for i in several.missing],
        }
    metrics = class_metrics(result.scores)
    right = (result.scores.predicted() == result.scores.labels).numpy()
    return result.to_json() | {
        "classes": metrics.rows(names),
        "classes_without_photos": [names[i] for i in metrics.missing],
        "confusion": confusion(result.scores, names),
        "reliability": reliability(result.scores.confidence().double().numpy(), right),
    }


def image_csv(results: Sequence[Result], samples: Samples, classes: Sequence[Class]) -> str:
    """A CSV with a row per result and image, unreadable ones included."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(image_rows(result, samples, classes))
    return text.getvalue()


def image_rows(result: Result, samples: Samples, classes: Sequence[Class]) -> list[list[Any]]:
    scores, called = result.scores, result.called_unknown
    before = [" ".join(result.names), result.views]
    bad = [[*before, name, "", "", "", "", "", error] for name, error in scores.unreadable.items()]
    if scores.multilabel:
        return [*multilabel_rows(result, before, samples, classes), *bad]
    answers, confidence = scores.predicted().tolist(), scores.confidence().tolist()
    rows: list[list[Any]] = []
    for at, index in enumerate(scores.indices):
        known = scores.known is not None and called is not None
        score = [float(scores.known[at]), bool(called[at])] if known else ["", ""]  # type: ignore[index]
        label, answer = (classes[i].name for i in (int(scores.labels[at]), answers[at]))
        rows.append(
            [*before, samples.name(index), label, answer, f"{confidence[at]:.6f}", *score, ""]
        )
    return rows + bad


def multilabel_rows(
    result: Result, before: list[Any], samples: Samples, classes: Sequence[Class]
) -> list[list[Any]]:
    """Labels and predictions separated by bars; the probability is the highest of any class."""
    found = MultilabelMetrics.of(result.scores, result.threshold)

    def labels_text(marks: MultiHot) -> str:
        return join_labels(classes[i].name for i in np.flatnonzero(marks).tolist())

    return [
        [*before, samples.name(index), labels_text(found.multi_hot[at]),
         labels_text(found.answers[at]), f"{found.probabilities[at].max():.6f}", "", "", ""]
        for at, index in enumerate(result.scores.indices)
    ]  # fmt: skip
