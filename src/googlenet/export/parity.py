"""Whether an exported network agrees with the one before, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Limits:
    """agreement: minimum top-1 agreement in percent; difference: largest allowed difference of a
    probability, None for any."""

    agreement: float
    difference: float | None = None


LIMITS = {"fp32": Limits(100.0, 1e-4), "bf16": Limits(99.0), "int8": Limits(97.0)}
# With the preprocessing built in, another resizing is compared too, a level of 255 away from
# Pillow's in some pixels, which can change the prediction of a borderline image.
RAW_IMAGE_LIMITS = LIMITS | {"fp32": Limits(99.0)}


@dataclass(frozen=True)
class Parity:
    """before, after: probabilities (N, classes); labels: (N,), None where they are not known."""

    before: NDArray[np.floating]
    after: NDArray[np.floating]
    names: Sequence[str]
    labels: NDArray[np.integer] | None = None

    @property
    def agreement(self) -> float:
        """Top-1 agreement: images with the same likeliest class, in percent."""
        return 100 * float((self.before.argmax(1) == self.after.argmax(1)).mean())

    @property
    def max_difference(self) -> float:
        """The largest difference of any probability."""
        return float(np.abs(self.before - self.after).max())

    @property
    def mean_difference(self) -> float:
        """The mean, over the images, of each one's largest difference."""
        return float(np.abs(self.before - self.after).max(1).mean())

    def accuracy(self, probabilities: NDArray[np.floating]) -> float | None:
        """Top-1 accuracy in percent."""
        if self.labels is None:
            return None
        return 100 * float((probabilities.argmax(1) == self.labels).mean())

    def changed_predictions(self, to_correct: bool) -> list[str]:
        """The images whose prediction became correct (fixes), or wrong (regressions)."""
        if self.labels is None:
            return []
        right, now = self.before.argmax(1) == self.labels, self.after.argmax(1) == self.labels
        found = (~right & now) if to_correct else (right & ~now)
        return [self.names[i] for i in np.flatnonzero(found).tolist()]

    def failure(self, limits: Limits) -> str | None:
        """Which limit it misses, None if it keeps them."""
        if not np.isfinite(self.after).all():
            return "some probabilities are not finite"
        if self.agreement < limits.agreement:
            return (
                f"top-1 agreement is {self.agreement:.2f} %, "
                f"must be at least {limits.agreement:g} %"
            )
        if limits.difference is not None and self.max_difference > limits.difference:
            return (
                f"a probability differs by {self.max_difference:.2g}, "
                f"must by at most {limits.difference:g}"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        wrong, right = self.changed_predictions(False), self.changed_predictions(True)
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
