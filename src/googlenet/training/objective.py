"""The training loss, and its value for a classifier at chance level."""

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
    """Softmax cross-entropy with label smoothing and optional class weights.

    A batch's sum is divided by its weights, not its size: otherwise a single image of a rare
    class would make a step many times as long (docs/labels.md has what that costs).
    """

    smoothing: float
    chance_losses: tuple[float, ...]  # of classifiers that ignore the image
    weights: Tensor | None = None  # (classes,)

    def loss(self, logits: Tensor, labels: Tensor, denominator: Tensor | None = None) -> Tensor:
        """(N, classes) logits and (N,) class indices -> scalar.

        For a shard, `denominator` is the global batch's `loss_denominator`.
        """
        if self.weights is None and denominator is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        each = F.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        if self.weights is not None:
            each = self.weights[labels] * each
        return each.sum() / (self.loss_denominator(labels) if denominator is None else denominator)

    def loss_denominator(self, labels: Tensor) -> Tensor:
        """What a batch's sum of losses is divided by: (), its size or its sum of weights."""
        return (
            labels.new_tensor(len(labels)) if self.weights is None else self.weights[labels].sum()
        )

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The number of correct predictions."""
        return (logits.argmax(1) == labels).sum()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """For multi-label data: the sum over classes of the binary losses, with label smoothing.

    weights: (2, classes), of negative (row 0) and positive labels.  Each class's sum over the
    batch is divided by its weights.
    """

    smoothing: float
    chance_losses: tuple[float, ...]
    weights: Tensor | None = None

    def loss(self, logits: Tensor, labels: Tensor, denominator: Tensor | None = None) -> Tensor:
        """(N, classes) logits and (N, classes) of 0 and 1 -> scalar.

        For a shard, `denominator` is the global batch's `loss_denominator`.
        """
        smoothed = labels * (1 - self.smoothing) + self.smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        if self.weights is None:
            return each.sum(1).mean() if denominator is None else each.sum() / denominator
        weights = self.label_weights(labels)
        if denominator is None:
            denominator = weights.sum(0)
        return ((weights * each).sum(0) / denominator).sum()

    def label_weights(self, labels: Tensor) -> Tensor:
        """(N, classes) of 0 and 1 -> the weight of each."""
        assert self.weights is not None
        return torch.where(labels > 0, self.weights[1], self.weights[0])

    def loss_denominator(self, labels: Tensor) -> Tensor:
        """What a batch's sums are divided by: (), its size, or (classes,), the sums of weights."""
        if self.weights is None:
            return labels.new_tensor(len(labels))
        return self.label_weights(labels).sum(0)

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The number of images whose labels are all predicted correctly."""
        return ((logits > 0) == (labels > 0)).all(1).sum()


Objective = CrossEntropy | BinaryCrossEntropy


def build_objective(
    recipe: Recipe, samples: Samples, classes: int, device: torch.device | str = "cpu"
) -> Objective:
    """The objective for these training images.  Raises UsageError where the recipe has none."""
    if samples.multi_hot is not None:
        return multilabel_objective(recipe, samples.multi_hot, device)
    counts = class_counts(samples.labels, classes)
    weights = None
    if recipe.balance == "class_weights":
        weights = torch.from_numpy(class_weights(counts)).to(device, torch.float32)
    # The class frequencies that the loss sees: the best constant prediction.
    counting = counts if recipe.balance == "none" else counts > 0
    frequencies = counting / counting.sum()
    chance_losses = (log(classes), constant_loss(frequencies, recipe.label_smoothing))
    return CrossEntropy(recipe.label_smoothing, chance_losses, weights)


def multilabel_objective(
    recipe: Recipe, multi_hot: NDArray[np.bool_], device: torch.device | str
) -> BinaryCrossEntropy:
    """The objective for (N, classes) multi-hot labels.  Raises UsageError for a sampler."""
    if recipe.balance == "balanced_sampler":
        raise UsageError(
            "balance must be none or class_weights for multi-label data, got balanced_sampler: "
            "an image cannot be drawn for only one of its labels"
        )
    counts = np.stack([(~multi_hot).sum(0), multi_hot.sum(0)])  # (2, classes): no, yes
    weights = None
    if recipe.balance == "class_weights":
        by_class = np.stack([class_weights(counts[:, c]) for c in range(counts.shape[1])], 1)
        weights = torch.from_numpy(by_class).to(device, torch.float32)
    counting = counts if recipe.balance == "none" else counts > 0
    frequencies = counting / counting.sum(0)
    constant = sum(constant_loss(f, recipe.label_smoothing) for f in frequencies.T)
    chance_losses = (multi_hot.shape[1] * log(2), constant)
    return BinaryCrossEntropy(recipe.label_smoothing, chance_losses, weights)


def constant_loss(frequencies: NDArray[np.float64], smoothing: float) -> float:
    """The lowest mean loss of a classifier that predicts the same for every image.

    It predicts the smoothed class frequencies, and its loss is their entropy: ln(classes) for
    balanced classes, less otherwise.
    """
    smoothed = (1 - smoothing) * frequencies + smoothing / len(frequencies)
    positive = smoothed[smoothed > 0]
    return float(-(positive * np.log(positive)).sum())


def heads_at_chance(row: dict[str, float], chance_losses: Sequence[float]) -> list[str]:
    """Heads whose loss is within 1 % of a chance-level loss."""
    losses = {k.removeprefix("loss_"): v for k, v in row.items() if k.startswith("loss_")}
    return [
        head
        for head, loss in losses.items()
        if any(abs(loss - chance) < 0.01 * chance for chance in chance_losses)
    ]
