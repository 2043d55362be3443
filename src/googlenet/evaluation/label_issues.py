"""Likely label errors: images for which the model confidently predicts another class.

Works on training images too, as long as the model has not memorized them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from googlenet.data.dataset import Samples
from googlenet.data.labels import Class, join_labels
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.scores import Scores
from googlenet.inference.classifier import Classifier
from googlenet.runtime.files import write_text


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label the model disagrees with.  `index` is its place in its split.

    The fields but `index` are the columns of doubts.csv: `part` is the split, `answer` the
    prediction.  Several class ids are separated by bars (multi-label data).
    """

    part: str  # "train" or "val"
    index: int
    path: str
    label: str
    answer: str
    probability: float  # of the prediction
    label_probability: float

    @property
    def strength(self) -> float:
        """By how much the prediction is more probable than the label, from 0 to 1."""
        return self.probability - self.label_probability


def label_issues(
    scores: Scores, samples: Samples, classes: Sequence[Class], part: str
) -> list[LabelIssue]:
    """The images whose label is not the model's prediction, strongest first.

    For multi-label data, those with a class for which the opposite of the label is more probable:
    the issue is about the most confident such class, and its prediction has that one flipped.
    """
    if scores.multilabel:
        return multilabel_label_issues(scores, samples, classes, part)
    answers, confidence, label_probability = (
        scores.predicted(), scores.confidence(), scores.label_probability()
    )  # fmt: skip
    found = []
    for at in (answers != scores.labels).nonzero().flatten().tolist():
        index, label, answer = scores.indices[at], int(scores.labels[at]), int(answers[at])
        found.append(
            LabelIssue(
                part,
                index,
                samples.name(index),
                classes[label].id,
                classes[answer].id,
                float(confidence[at]),
                float(label_probability[at]),
            )
        )
    return strongest_first(found)


def multilabel_label_issues(
    scores: Scores, samples: Samples, classes: Sequence[Class], part: str
) -> list[LabelIssue]:
    marks, yes = scores.labels, scores.probabilities.double()
    opposite = torch.where(marks, 1 - yes, yes)  # the probability that each label is wrong
    surest = opposite.max(1)
    found = []
    for at in (surest.values > 0.5).nonzero().flatten().tolist():
        changed = marks[at].clone()
        changed[surest.indices[at]] ^= True
        label, answer = (
            join_labels(classes[i].id for i in m.nonzero().flatten().tolist())
            for m in (marks[at], changed)
        )
        index, sure = scores.indices[at], float(surest.values[at])
        found.append(LabelIssue(part, index, samples.name(index), label, answer, sure, 1 - sure))
    return strongest_first(found)


def find_label_issues(
    classifier: Classifier,
    samples: Samples,
    part: str,
    chosen: Sequence[int],
    workers: int,
    progress: Callable[[], object],
) -> list[LabelIssue]:
    """The label issues of the chosen samples, by one view per image."""
    found = score(classifier, samples.take(chosen), 1, workers, progress)
    found = replace(found, indices=tuple(chosen[i] for i in found.indices))
    return label_issues(found, samples, classifier.classes, part)


def strongest_first(found: Sequence[LabelIssue]) -> list[LabelIssue]:
    return sorted(found, key=lambda issue: issue.strength, reverse=True)


def sample_of(samples: Samples, most: int, seed: int) -> list[int]:
    """Indices of `most` random samples; of all of them if there are no more."""
    if len(samples) <= most:
        return list(range(len(samples)))
    return sorted(np.random.default_rng((seed, 1)).permutation(len(samples))[:most].tolist())


def write_label_issues(path: Path, found: Sequence[LabelIssue]) -> None:
    """Write a CSV row per issue.  Raises GoogLeNetError if the file cannot be written."""
    table = io.StringIO()
    names = [field.name for field in fields(LabelIssue) if field.name != "index"]
    writer = csv.DictWriter(table, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        asdict(issue)
        | {key: f"{getattr(issue, key):.4f}" for key in ("probability", "label_probability")}
        for issue in found
    )
    write_text(path, table.getvalue())
