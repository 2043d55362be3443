"""An evaluation in full: by class, by bin of confidence, by photo."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from googlenet.data.dataset import Class, Samples, join_labels
from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.calibration_error import reliability
from googlenet.evaluation.grid import Result
from googlenet.evaluation.metrics import ClassMetrics, by_row, confusion_matrix
from googlenet.evaluation.multilabel import Marks, SeveralLabels

COLUMNS = ("models", "views", "path", "label", "answer", "probability", "score", "unknown", "error")


def class_metrics(scores: Scores) -> ClassMetrics:
    matrix = confusion_matrix(
        scores.labels.numpy(), scores.predicted().numpy(), scores.probabilities.shape[1]
    )
    return ClassMetrics(matrix)


def details(result: Result, classes: Sequence[Class]) -> dict[str, Any]:
    """The line of the grid, with what is too long for a line.

    Figures by class in percent, null where there is nothing to tell; the confusion matrix as
    counts and as shares of the true class, rows are true classes; the reliability in bins.
    """
    names = [c.name for c in classes]
    if result.scores.multi:
        several = SeveralLabels.of(result.scores, result.threshold)
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


def photo_table(results: Sequence[Result], samples: Samples, classes: Sequence[Class]) -> str:
    """A CSV with a row for each line of the grid and photo, those that cannot be read included."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(photo_rows(result, samples, classes))
    return text.getvalue()


def photo_rows(result: Result, samples: Samples, classes: Sequence[Class]) -> list[list[Any]]:
    scores, called = result.scores, result.called_unknown
    before = [" ".join(result.names), result.views]
    bad = [[*before, name, "", "", "", "", "", error] for name, error in scores.bad.items()]
    if scores.multi:
        return [*rows_of_several(result, before, samples, classes), *bad]
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


def rows_of_several(
    result: Result, before: list[Any], samples: Samples, classes: Sequence[Class]
) -> list[list[Any]]:
    """Labels and answers with bars between them; the probability is the likeliest class's."""
    found = SeveralLabels.of(result.scores, result.threshold)

    def called(marks: Marks) -> str:
        return join_labels(classes[i].name for i in np.flatnonzero(marks).tolist())

    return [
        [*before, samples.name(index), called(found.marks[at]), called(found.answers[at]),
         f"{found.probabilities[at].max():.6f}", "", "", ""]
        for at, index in enumerate(result.scores.indices)
    ]  # fmt: skip
