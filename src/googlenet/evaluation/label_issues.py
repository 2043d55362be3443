"""Photos whose label a model doubts: where it is surest of another answer.

Labels that are wrong are found among them, in the photos that a model has learnt from too, as
long as it has not learnt them by heart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from googlenet.data.dataset import Class, Samples, join_labels
from googlenet.evaluation.accuracy import Scores, score
from googlenet.inference.classifier import Classifier
from googlenet.runtime.files import write_text


@dataclass(frozen=True)
class Doubt:
    """A photo and the model's other opinion.  `index` is its place in its part of the data.

    label and answer are ids of classes, with bars between them where a photo can have several.
    """

    part: str  # "train" or "val"
    index: int
    path: str
    label: str
    answer: str
    probability: float  # of the answer
    label_probability: float

    @property
    def strength(self) -> float:
        """How much likelier the model finds its answer than the label, from 0 to 1."""
        return self.probability - self.label_probability


def doubts(scores: Scores, samples: Samples, classes: Sequence[Class], part: str) -> list[Doubt]:
    """The photos whose label is not the model's answer, the strongest doubt first.

    Of photos with several labels, those where the model is surer of the opposite than not; the
    doubt is about the class of which it is surest, and its answer has or lacks that one.
    """
    if scores.multi:
        return doubts_of_several(scores, samples, classes, part)
    answers = scores.predicted()
    found = []
    for at in (answers != scores.labels).nonzero().flatten().tolist():
        index, label, answer = scores.indices[at], int(scores.labels[at]), int(answers[at])
        row = scores.probabilities[at]
        found.append(
            Doubt(
                part,
                index,
                samples.name(index),
                classes[label].id,
                classes[answer].id,
                float(row[answer]),
                float(row[label]),
            )
        )
    return strongest_first(found)


def doubts_of_several(
    scores: Scores, samples: Samples, classes: Sequence[Class], part: str
) -> list[Doubt]:
    marks, yes = scores.labels, scores.probabilities.double()
    opposite = torch.where(marks, 1 - yes, yes)  # of each label, how likely it is wrong
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
        found.append(Doubt(part, index, samples.name(index), label, answer, sure, 1 - sure))
    return strongest_first(found)


def look_for_doubts(
    classifier: Classifier,
    samples: Samples,
    part: str,
    chosen: Sequence[int],
    workers: int,
    progress: Callable[[], object],
) -> list[Doubt]:
    """The doubts of a classifier about the chosen samples, by one view of each."""
    found = score(classifier, samples.take(chosen), 1, workers, progress)
    found = replace(found, indices=tuple(chosen[i] for i in found.indices))
    return doubts(found, samples, classifier.classes, part)


def strongest_first(found: Sequence[Doubt]) -> list[Doubt]:
    return sorted(found, key=lambda doubt: doubt.strength, reverse=True)


def sample_of(samples: Samples, most: int, seed: int) -> list[int]:
    """Indices of `most` photos, chosen by the seed; of all of them if there are no more."""
    if len(samples) <= most:
        return list(range(len(samples)))
    return sorted(np.random.default_rng((seed, 1)).permutation(len(samples))[:most].tolist())


def write_doubts(path: Path, found: Sequence[Doubt]) -> None:
    """A CSV row a doubt.  Raises GoogLeNetError where the file cannot be written."""
    table = io.StringIO()
    names = [field.name for field in fields(Doubt) if field.name != "index"]
    writer = csv.DictWriter(table, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        asdict(doubt)
        | {key: f"{getattr(doubt, key):.4f}" for key in ("probability", "label_probability")}
        for doubt in found
    )
    write_text(path, table.getvalue())
