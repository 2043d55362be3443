"""What determines the training of a detector."""

from __future__ import annotations

from dataclasses import dataclass

from googlenet.runtime.errors import UsageError


@dataclass(frozen=True)
class DetectionRecipe:
    """epochs: passes over the training images.  images: per step.  regions: per image in a step,
    at most `positives` of them objects: regions whose IoU with a true box is `object_iou` or
    more.  Regions below `background_iou` are learned from only where others are too few.
    lr, weight_decay: of AdamW, whose rate falls to 0 along a cosine after `warmup` steps; the
    rate of the classifier and of the box regression is `head_lr` times as high.
    jitter: true boxes moved at random that are added to the proposals, per true box.
    """

    epochs: int = 8
    images: int = 2
    regions: int = 48
    positives: float = 0.25
    object_iou: float = 0.5
    background_iou: float = 0.0
    lr: float = 1e-4
    head_lr: float = 3.0
    weight_decay: float = 0.05
    warmup: int = 50
    jitter: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError for values that mean nothing."""
        if self.epochs < 1 or self.images < 1 or self.regions < 2:
            raise UsageError(
                "epochs and images must be 1 or more, regions 2 or more, "
                f"got {self.epochs}, {self.images}, {self.regions}"
            )
        if not (0 < self.lr < 1 and 0 <= self.weight_decay < 1 and 0 < self.positives < 1):
            raise UsageError(
                "lr, weight_decay and positives must be below 1 and not negative, "
                f"got {self.lr}, {self.weight_decay}, {self.positives}"
            )
