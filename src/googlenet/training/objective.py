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

from googlenet.training.balance import class_counts, class_weights
from googlenet.training.recipes import Recipe


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy, smoothed; each photo counts by its class's weight, if there are any.

    The mean is over photos, not over weights: a batch counts by what is in it, so that over an
    epoch every class counts the same.
    """

    smoothing: float
    plateaus: tuple[float, ...]  # losses of a classifier that has learnt nothing from the photos
    weights: Tensor | None = None  # (classes,)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N, classes) logits and (N,) class indices -> scalar."""
        if self.weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        each = F.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")
        return (self.weights[labels] * each).mean()

    def correct(self, logits: Tensor, labels: Tensor) -> int:
        """How many of the photos get the right answer."""
        return int((logits.argmax(1) == labels).sum())


def objective(
    recipe: Recipe, labels: Sequence[int], classes: int, device: torch.device | str = "cpu"
) -> CrossEntropy:
    """The objective for training photos with these labels."""
    counts = class_counts(labels, classes)
    weights = None
    if recipe.balance == "weights":
        weights = torch.from_numpy(class_weights(counts)).to(device, torch.float32)
    # How much each class counts, of 1: what the best constant answer goes by.
    counting = counts if recipe.balance == "none" else counts > 0
    shares = counting / counting.sum()
    plateaus = (log(classes), constant_loss(shares, recipe.label_smoothing))
    return CrossEntropy(recipe.label_smoothing, plateaus, weights)


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
