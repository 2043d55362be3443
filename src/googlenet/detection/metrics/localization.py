"""Localization on ILSVRC's terms: an image's class together with one of its boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from googlenet.detection.annotations import Truth
from googlenet.detection.boxes import iou
from googlenet.detection.detections import Detections

RIGHT = 0.5  # IoU with any true box of the class
GUESSES = (1, 5)


def localization_errors(
    truths: Sequence[Truth], found: Sequence[Detections]
) -> dict[int, float] | None:
    """Percent of images without a right box among the first 1 and 5 guesses.

    A guess is a class with its best detection, the best classes first; it is right if its box has
    an IoU of 0.5 or more with a true box of that class (Russakovsky et al., 2015, section 4.2).
    None where an image has no boxes or boxes of several classes: the task asks for one class.
    """
    if not truths or any(len(set(truth.labels.tolist())) != 1 for truth in truths):
        return None
    ranks = [first_right(truth, own) for truth, own in zip(truths, found, strict=True)]
    return {n: 100 * float(np.mean([rank >= n for rank in ranks])) for n in GUESSES}


def first_right(truth: Truth, found: Detections) -> int:
    """The place of the first right guess, from 0; the number of guesses if none is."""
    order = np.argsort(-found.scores, kind="stable")
    seen: list[int] = []
    for d in order:
        label = int(found.labels[d])
        if label in seen:
            continue
        overlap = iou(found.boxes[d : d + 1], truth.boxes).max(initial=0)
        if label == truth.labels[0] and overlap >= RIGHT:
            return len(seen)
        seen.append(label)
    return max(len(seen), *GUESSES)
