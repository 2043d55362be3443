"""Whether an exported network gives the answers that it gave before, photo by photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Limits:
    """agreement: least share of photos with the same answer, in percent; difference: largest
    allowed difference of a probability, None for any."""

    agreement: float
    difference: float | None = None


LIMITS = {"fp32": Limits(100.0, 1e-4), "bf16": Limits(99.0), "int8": Limits(97.0)}
# With the preprocessing built in, another resizing is compared too, a level of 255 away from
# Pillow's here and there, which can turn a photo on the edge between two answers.
PHOTO_LIMITS = LIMITS | {"fp32": Limits(99.0)}


@dataclass(frozen=True)
class Parity:
    """before, after: probabilities (N, classes); labels: (N,), None where they are not known."""

    before: Tensor
    after: Tensor
    names: Sequence[str]
    labels: Tensor | None = None

    @property
    def agreement(self) -> float:
        """Photos with the same likeliest class, in percent."""
        return 100 * float((self.before.argmax(1) == self.after.argmax(1)).double().mean())

    @property
    def max_difference(self) -> float:
        """The largest difference of any probability."""
        return float((self.before - self.after).abs().max())

    @property
    def mean_difference(self) -> float:
        """The mean, over the photos, of each one's largest difference."""
        return float((self.before - self.after).abs().amax(1).mean())

    def accuracy(self, probabilities: Tensor) -> float | None:
        """Top-1 accuracy in percent."""
        if self.labels is None:
            return None
        return 100 * float((probabilities.argmax(1) == self.labels).double().mean())

    def turned(self, towards: bool) -> list[str]:
        """The photos that became right, or wrong."""
        if self.labels is None:
            return []
        right, now = self.before.argmax(1) == self.labels, self.after.argmax(1) == self.labels
        found = (~right & now) if towards else (right & ~now)
        return [self.names[i] for i in torch.nonzero(found).flatten().tolist()]

    def failure(self, limits: Limits) -> str | None:
        """In what it misses the limits, None if it keeps them."""
        if not bool(torch.isfinite(self.after).all()):
            return "some probabilities are no numbers"
        if self.agreement < limits.agreement:
            return (
                f"{self.agreement:.2f} % of the answers are the same, "
                f"must be at least {limits.agreement:g} %"
            )
        if limits.difference is not None and self.max_difference > limits.difference:
            return (
                f"a probability differs by {self.max_difference:.2g}, "
                f"must by no more than {limits.difference:g}"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        wrong, right = self.turned(towards=False), self.turned(towards=True)
        return {
            "images": len(self.before),
            "agreement": self.agreement,
            "max_difference": self.max_difference,
            "mean_difference": self.mean_difference,
            "accuracy_before": self.accuracy(self.before),
            "accuracy_after": self.accuracy(self.after),
            "became_wrong": wrong,
            "became_right": right,
        }
