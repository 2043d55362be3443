"""Imbalanced classes: class weights in the loss, or a balanced sampler.

Both make every class count equally in the mean over an epoch: class weights by scaling an image's
gradient, the sampler by how often an image is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BALANCES = ("none", "class_weights", "balanced_sampler")


def class_counts(labels: Sequence[int], classes: int) -> NDArray[np.int64]:
    """Images per class: (classes,)."""
    return np.bincount(np.asarray(labels, np.int64), minlength=classes)


def class_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of each class, (classes,): inverse frequency, with mean 1 over images.

    Every class that has images gets the same sum of weights.  A class without images has
    weight 0.
    """
    present = counts > 0
    each = counts.sum() / max(1, present.sum())
    weights = np.zeros(len(counts))
    weights[present] = each / counts[present]
    return weights


def balanced_order(labels: Sequence[int], seed: int, epoch: int) -> NDArray[np.int64]:
    """An epoch's draws in order, a function of (seed, epoch): as many as there are images.

    Every class that has images is drawn equally often, to within one.  Its images come in
    rounds: each once before any is repeated.  A draw is a sample's index plus its round times the
    number of samples, so that `draw % samples` is the sample and no draw is repeated.
    """
    class_of = np.asarray(labels, np.int64)
    rng = np.random.default_rng((seed, epoch))
    present = rng.permutation(np.unique(class_of))
    each, over = divmod(len(labels), len(present))
    draws = []
    for at, label in enumerate(present):
        members = np.flatnonzero(class_of == label)
        wanted = each + (at < over)
        rounds = range(-(-wanted // len(members)))
        drawn = [rng.permutation(members) + number * len(labels) for number in rounds]
        draws.append(np.concatenate(drawn)[:wanted] if drawn else members[:0])
    return rng.permutation(np.concatenate(draws))
