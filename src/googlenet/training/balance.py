"""Classes of unequal size: weights in the loss, or draws that favour the rare.

Both make every class count the same in the mean over an epoch.  Weights do it by the size of a
photo's gradient, sampling by how often a photo is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BALANCES = ("none", "class_weights", "balanced_sampler")


def class_counts(labels: Sequence[int], classes: int) -> NDArray[np.int64]:
    """How many photos each class has: (classes,)."""
    return np.bincount(np.asarray(labels, np.int64), minlength=classes)


def class_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of each class's photos, (classes,): inverse frequency, of mean 1 over photos.

    Each class that has photos then has the same sum of weights.  A class without any has
    weight 0.
    """
    present = counts > 0
    each = counts.sum() / max(1, present.sum())
    weights = np.zeros(len(counts))
    weights[present] = each / counts[present]
    return weights


def balanced_order(labels: Sequence[int], seed: int, epoch: int) -> NDArray[np.int64]:
    """An epoch's draws in their order, of (seed, epoch): as many as there are photos.

    Every class that has photos is drawn equally often, to within one.  Its photos come in
    rounds: each once before any comes again.  A draw is a sample's index plus the number of
    samples times its round, so that `draw % samples` is the sample and no draw comes twice.
    """
    of = np.asarray(labels, np.int64)
    rng = np.random.default_rng((seed, epoch))
    present = rng.permutation(np.unique(of))
    each, over = divmod(len(labels), len(present))
    draws = []
    for at, label in enumerate(present):
        members = np.flatnonzero(of == label)
        wanted = each + (at < over)
        rounds = range(-(-wanted // len(members)))
        drawn = [rng.permutation(members) + number * len(labels) for number in rounds]
        draws.append(np.concatenate(drawn)[:wanted] if drawn else members[:0])
    return rng.permutation(np.concatenate(draws))
