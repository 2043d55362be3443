"""What training minimises, and what it costs to know nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.data.dataset import Samples
from googlenet.runtime.errors import UsageError
from googlenet.training.balance import class_counts, class_weights
from googlenet.training.recipe import Recipe


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy, smoothed; each photo counts by its class's weight, if there are any.

    A batch's mean is divided by its weights, not its photos: a single photo of a rare class
    would make the step many times as long otherwise (docs/labels.md has what that costs).
    """

    smoothing: float
    plateaus: tuple[float, ...]  # losses of a classifier that has learnt nothing from the photos
    weights: Tensor | None = None  # (classes,)

    def loss(self, logits: Tensor, labels: Tensor, whole: Tensor | None = None) -> Tensor:
        """(N, classes) logits and (N,) class indices -> scalar.

        Of a share of a batch, with the `divisor` of the whole, its part of the whole's loss.
        """
        if self.weights is None and whole is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        each = F.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        if self.weights is not None:
            each = self.weights[labels] * each
        return each.sum() / (self.divisor(labels) if whole is None else whole)

    def divisor(self, labels: Tensor) -> Tensor:
        """What a batch's sum of losses is divided by: (), its photos or their weights."""
        return (
            labels.new_tensor(len(labels)) if self.weights is None else self.weights[labels].sum()
        )

    def correct(self, logits: Tensor, labels: Tensor) -> int:
        """How many of the photos get the right answer."""
        return int((logits.argmax(1) == labels).sum())


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """For photos with several labels: the sum over classes of each one's yes or no, smoothed.

    With weights, (2, classes), a photo's yes and no to a class count by them: row 0 for no.
    Each class's mean over the batch is divided by its weights.
    """

    smoothing: float
    plateaus: tuple[float, ...]
    weights: Tensor | None = None

    def loss(self, logits: Tensor, labels: Tensor, whole: Tensor | None = None) -> Tensor:
        """(N, classes) logits and (N, classes) of 0 and 1 -> scalar.

        Of a share of a batch, with the `divisor` of the whole, its part of the whole's loss.
        """
        smoothed = labels * (1 - self.smoothing) + self.smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        if self.weights is None:
            return each.sum(1).mean() if whole is None else each.sum() / whole
        weights = self.of(labels)
        return ((weights * each).sum(0) / (weights.sum(0) if whole is None else whole)).sum()

    def of(self, labels: Tensor) -> Tensor:
        """(N, classes) of 0 and 1 -> the weight of each."""
        assert self.weights is not None
        return torch.where(labels > 0, self.weights[1], self.weights[0])

    def divisor(self, labels: Tensor) -> Tensor:
        """What a batch's sums of losses are divided by: (), its photos, or (classes,), weights."""
        return labels.new_tensor(len(labels)) if self.weights is None else self.of(labels).sum(0)

    def correct(self, logits: Tensor, labels: Tensor) -> int:
        """How many of the photos get the right answer for every class."""
        return int(((logits > 0) == (labels > 0)).all(1).sum())


Objective = CrossEntropy | BinaryCrossEntropy


def objective(
    recipe: Recipe, samples: Samples, classes: int, device: torch.device | str = "cpu"
) -> Objective:
    """The objective for these training photos.  Raises UsageError for one that there is not."""
    if samples.multi_hot is not None:
        return objective_of_several(recipe, samples.multi_hot, device)
    counts = class_counts(samples.labels, classes)
    weights = None
    if recipe.balance == "class_weights":
        weights = torch.from_numpy(class_weights(counts)).to(device, torch.float32)
    # How much each class counts, of 1: what the best constant answer goes by.
    counting = counts if recipe.balance == "none" else counts > 0
    shares = counting / counting.sum()
    plateaus = (log(classes), constant_loss(shares, recipe.label_smoothing))
    return CrossEntropy(recipe.label_smoothing, plateaus, weights)


def objective_of_several(
    recipe: Recipe, marks: NDArray[np.bool_], device: torch.device | str
) -> BinaryCrossEntropy:
    """The objective for photos with several labels: classes by themselves, each a yes or no."""
    if recipe.balance == "balanced_sampler":
        raise UsageError(
            "balance must be none or weights where photos have several labels, got sampling: "
            "a photo cannot be drawn for one of its labels alone"
        )
    answers = np.stack([(~marks).sum(0), marks.sum(0)])  # (2, classes): no, yes
    weights = None
    if recipe.balance == "class_weights":
        by_class = np.stack([class_weights(answers[:, c]) for c in range(answers.shape[1])], 1)
        weights = torch.from_numpy(by_class).to(device, torch.float32)
    counting = answers if recipe.balance == "none" else answers > 0
    shares = counting / counting.sum(0)
    constant = sum(constant_loss(s, recipe.label_smoothing) for s in shares.T)
    return BinaryCrossEntropy(recipe.label_smoothing, (marks.shape[1] * log(2), constant), weights)


def constant_loss(shares: NDArray[np.float64], smoothing: float) -> float:
    """The least mean loss of a classifier that gives every photo the same probabilities.

    It gives the smoothed shares of the classes, and its loss is their entropy: ln(classes) if
    the classes are of one size, less otherwise.
    """
    smoothed = (1 - smoothing) * shares + smoothing / len(shares)
    kept = smoothed[smoothed > 0]
    return float(-(kept * np.log(kept)).sum())


def stuck_heads(row: dict[str, float], plateaus: Sequence[float]) -> list[str]:
    """Heads whose loss is that of knowing nothing, to within 1 %."""
    losses = {k.removeprefix("loss_"): v for k, v in row.items() if k.startswith("loss_")}
    return [
        head
        for head, loss in losses.items()
        if any(abs(loss - plateau) < 0.01 * plateau for plateau in plateaus)
    ]
