"""Which regions of an image are learned from, and as what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.detection import boxes as box
from googlenet.detection.annotations import Truth
from googlenet.detection.detector import STEP_SCALE
from googlenet.detection.recipe import DetectionRecipe
from googlenet.detection.region_network import BACKGROUND

MOVED = 0.2  # of a true box's sides, at most, where it is moved at random


class Regions(NamedTuple):
    """boxes: (N, 4).  labels: (N,), 0 the background.  steps: (N, 4) to the true box."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    steps: NDArray[np.float32]


def sample(
    truth: Truth,
    proposals: NDArray[np.float32],
    size: tuple[int, int],
    recipe: DetectionRecipe,
    rng: np.random.Generator,
) -> Regions:
    """Regions of an image: proposals and the true boxes, objects and background in balance.

    What is difficult or a crowd is neither an object nor background.  size: the image's width and
    height.
    """
    learned = truth.take(~(truth.difficult | truth.crowd))
    true = learned.boxes
    regions = np.concatenate([proposals, true, moved(true, recipe.jitter, size, rng)])
    sides = regions[:, 2:] - regions[:, :2]
    regions = regions[(sides >= 1).all(1)]
    overlap = box.iou(regions, true) if len(true) else np.zeros((len(regions), 1))
    nearest, best = overlap.argmax(1), overlap.max(1)
    hidden = truth.boxes[truth.difficult | truth.crowd]
    unclear = box.iou(regions, hidden).max(1) >= 0.3 if len(hidden) else np.zeros(len(best), bool)
    objects = np.flatnonzero(best >= recipe.object_iou)
    others = np.flatnonzero((best < recipe.object_iou) & ~unclear)
    near = others[best[others] >= recipe.background_iou]
    most = round(recipe.regions * recipe.positives)
    chosen = draw(objects, most, rng)
    background = draw(near, recipe.regions - len(chosen), rng)
    rest = draw(np.setdiff1d(others, near), recipe.regions - len(chosen) - len(background), rng)
    at = np.concatenate([chosen, background, rest])
    labels = np.full(len(at), BACKGROUND, np.int64)
    steps = np.zeros((len(at), 4), np.float32)
    if len(chosen):
        labels[: len(chosen)] = learned.labels[nearest[chosen]] + 1
        steps[: len(chosen)] = box.encode(true[nearest[chosen]], regions[chosen]) * STEP_SCALE
    return Regions(regions[at].astype(np.float32), labels, steps)


def draw(indices: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """At most `count` of the indices, at random."""
    return rng.permutation(indices)[:count]


def moved(
    true: NDArray[np.float32], count: int, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """`count` copies of each box, each side moved by at most a fifth of the box's."""
    copies = np.repeat(true, count, 0)
    sides = np.tile(copies[:, 2:] - copies[:, :2], 2)
    shifted = copies + rng.uniform(-MOVED, MOVED, copies.shape) * sides
    return box.clip(shifted, *size).astype(np.float32)


def mirror(regions: Regions, width: int) -> Regions:
    """The regions of the mirrored image."""
    boxes, steps = regions.boxes.copy(), regions.steps.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    steps[:, 0] = -steps[:, 0]
    return Regions(boxes, regions.labels, steps)
