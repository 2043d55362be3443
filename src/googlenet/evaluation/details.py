"""Detailed results of an evaluation: per class, per confidence bin, per image."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from googlenet.data.dataset import Class, Samples, join_labels
from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.calibration_error import reliability
from googlenet.evaluation.metrics import ClassMetrics, by_row, confusion_matrix
from googlenet.evaluation.multilabel import MultiHot, MultilabelMetrics
from googlenet.evaluation.results_table import Result

COLUMNS = ("models", "views", "path", "label", "answer", "probability", "score", "unknown", "error")


def class_metrics(scores: Scores) -> ClassMetrics:
    matrix = confusion_matrix(
        scores.labels.numpy(), scores.predicted().numpy(), scores.probabilities.shape[1]
    )
    return ClassMetrics(matrix)


def details(result: Result, classes: Sequence[Class]) -> dict[str, Any]:
    """A row of the results table with its details.

    Per-class metrics in percent, null where undefined; the confusion matrix as counts and as
    fractions of the true class (rows are true classes); the reliability diagram's bins.
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
        "confusion": {
            "labels": names,
            "counts": metrics.matrix.tolist(),
            "by_row": np.round(by_row(metrics.matrix), 6).tolist(),
        },
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
