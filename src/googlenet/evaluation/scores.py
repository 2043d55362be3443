"""What a model says of many images, or several models together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from googlenet.inference.calibration import Calibration
from googlenet.inference.classifier import Classifier
from googlenet.inference.outputs import Outputs
from googlenet.runtime.errors import UsageError


@dataclass(frozen=True)
class Scores:
    """Predictions for images: probabilities (N, classes), labels (N,), sample indices (N,).

    Multi-label data have (N, classes) bool labels, the metrics of `evaluation.multilabel`, and no
    single prediction.  Probabilities are uncalibrated: `temperature_scaled` calibrates them.
    known: (N,), the in-distribution score, if the model has one.  outputs: logits and
    out-of-distribution features of one view per image, if requested, of the images
    `output_indices`.

    Of very many images and classes the rows are condensed (`evaluation.probability_rows`):
    probabilities (N, K + 1) are those of the classes `columns`, the last of which is the label,
    and `scaled` has them with the model's temperature.
    """

    probabilities: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    unreadable: dict[str, str] = field(default_factory=dict)  # images, and why
    known: Tensor | None = None
    outputs: Outputs | None = None
    output_indices: tuple[int, ...] = ()
    columns: Tensor | None = None
    scaled: Tensor | None = None
    class_count: int = 0  # of condensed rows

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.class_count if self.columns is not None else self.probabilities.shape[1]

    @property
    def multilabel(self) -> bool:
        return self.labels.ndim == 2

    def hits(self, k: int) -> Tensor:
        """Whether each image's class is among the k most probable: (N,) bool."""
        assert not self.multilabel
        k = min(k, self.classes)
        if self.columns is not None:
            assert k < self.columns.shape[1]
            best = self.columns[:, :k]
        else:
            best = self.probabilities.topk(k).indices
        return (best == self.labels[:, None]).any(1)

    def error(self, k: int) -> float:
        """Top-k error in percent."""
        return 100 * (len(self) - int(self.hits(k).sum())) / len(self)

    def temperature_scaled(self, calibration: Calibration | None) -> Scores:
        """The scores with calibrated probabilities; the ranking of classes does not change.

        Condensed scores have them only for the temperature with which they were computed;
        without it they stay uncalibrated.
        """
        if calibration is None:
            return self
        if self.columns is not None:
            return self if self.scaled is None else replace(self, probabilities=self.scaled)
        scaled = calibration.temperature_scaled(self.probabilities.numpy())
        return replace(self, probabilities=torch.from_numpy(scaled))

    def confidence(self) -> Tensor:
        """The probability of each image's prediction: (N,)."""
        return self.probabilities.amax(1)

    def label_probability(self) -> Tensor:
        """The probability of each image's label: (N,)."""
        assert not self.multilabel
        if self.columns is not None:
            return self.probabilities[:, -1]
        return self.probabilities.gather(1, self.labels[:, None])[:, 0]

    def predicted(self) -> Tensor:
        assert not self.multilabel
        return self.probabilities.argmax(1) if self.columns is None else self.columns[:, 0]


def ensemble(scores: Sequence[Scores]) -> Scores:
    """The mean of several models' probabilities, in whole rows, for the same images."""
    first = scores[0]
    assert all(each.columns is None for each in scores)
    assert all(other.indices == first.indices for other in scores)
    mean = torch.stack([s.probabilities for s in scores]).mean(0)
    return Scores(mean, first.labels, first.indices, first.unreadable)


def require_same_classes(classifiers: Sequence[Classifier], names: Sequence[str]) -> None:
    """Raises UsageError if the models of an ensemble differ in classes or kind of labels."""
    first = [c.id for c in classifiers[0].classes]
    for classifier, name in zip(classifiers[1:], names[1:], strict=True):
        if classifier.multilabel != classifiers[0].multilabel:
            raise UsageError(
                f"models of an ensemble must be all single-label or all multi-label: "
                f"{name} differs from {names[0]}"
            )
        if [c.id for c in classifier.classes] != first:
            raise UsageError(
                f"models of an ensemble must have the same classes in the same order: "
                f"{name} differs from {names[0]}"
            )
