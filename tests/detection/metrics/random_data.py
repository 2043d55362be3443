"""True boxes and detections for the tests, drawn at random."""

from __future__ import annotations

import numpy as np

from googlenet.detection.annotations import Truth
from googlenet.detection.detections import Detections


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.integers(0, 80, (count, 2))
    return np.concatenate([corners, corners + rng.integers(4, 60, (count, 2))], 1)


def random_images(
    seed: int, images: int = 12, classes: int = 3, crowds: bool = False, difficult: bool = False
) -> tuple[list[Truth], list[Detections]]:
    """Detections near true boxes and far from them, some with equal scores."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        boxes, labels = random_boxes(rng, count), rng.integers(0, classes, count)
        crowd = rng.random(count) < 0.2 if crowds else np.zeros(count, bool)
        hard = rng.random(count) < 0.2 if difficult else np.zeros(count, bool)
        truths.append(
            Truth.of(boxes.tolist(), labels.tolist(), (hard & ~crowd).tolist(), crowd.tolist())
        )
        near = np.repeat(boxes, 2, 0) + rng.integers(-6, 7, (2 * count, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        far = random_boxes(rng, 3)
        all_boxes = np.concatenate([near, far]).astype(np.float32)
        guesses = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, 3)])
        wrong = rng.random(len(guesses)) < 0.15
        guesses[wrong] = rng.integers(0, classes, int(wrong.sum()))
        scores = (rng.integers(1, 60, len(guesses)) / 60).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        found.append(Detections(all_boxes[order], guesses[order].astype(np.int64), scores[order]))
    return truths, found
