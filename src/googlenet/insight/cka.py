"""Centered kernel alignment: how alike two layers see the same images.

Linear CKA of Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited",
arXiv 1905.00414: 1 for layers that differ by a rotation and a factor, near 0 for unrelated ones.

On many images it is estimated from batches, without a bias from their size, as in Nguyen et al.
2021, "Do Wide and Deep Networks Learn the Same Things?", arXiv 2010.15327, section 3.  The unbiased
HSIC of Song et al. 2012 is there the inner product of matrices centered as Székely and Rizzo 2014
do (arXiv 1310.2926, equations 2.3 and 2.4), which a batch needs once a layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIECE = 1 << 16  # numbers of each image centered at a time
SMALLEST_BATCH = 4  # the unbiased estimate has n − 3 in its denominator


def linear_cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """CKA of all images at once, equation 4 of Kornblith et al.: (N, P), (N, Q) -> 0 to 1.

    With few images and many dimensions it is too high; `MinibatchCKA` has no such bias.
    """
    x, y = (each - each.mean(0, dtype=np.float64) for each in (x, y))
    cross = np.square(y.T @ x).sum()
    return float(cross / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


class MinibatchCKA:
    """CKA between the layers of two models, from batches; memory does not grow with images.

    Each of the three sums of unbiased estimates of HSIC is over batches, weighted by their sizes.
    """

    def __init__(self, layers_a: int, layers_b: int) -> None:
        self.cross = np.zeros((layers_a, layers_b))
        self.own_a, self.own_b = np.zeros(layers_a), np.zeros(layers_b)

    def add(self, a: Iterable[NDArray[np.float64]], b: Iterable[NDArray[np.float64]]) -> None:
        """a, b: for each layer of each model, `centered_gram` of the same n images, (n, n).

        A batch of fewer than 4 images says nothing and is left out.
        """
        grams_a, grams_b = (np.stack([gram.ravel() for gram in grams]) for grams in (a, b))
        n = round(grams_a.shape[1] ** 0.5)
        if n < SMALLEST_BATCH:
            return
        weight = n / (n * (n - 3))
        self.cross += weight * grams_a @ grams_b.T
        self.own_a += weight * np.square(grams_a).sum(1)
        self.own_b += weight * np.square(grams_b).sum(1)

    def result(self) -> NDArray[np.float64]:
        """(layers of a, layers of b): at most 1, NaN for a layer that is constant."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.cross / np.sqrt(np.outer(self.own_a, self.own_b)))


def centered_gram(activations: Tensor) -> NDArray[np.float64]:
    """The images' inner products, centered for the unbiased estimate: (n, …) -> (n, n).

    The diagonal is 0, and so is every row's sum.
    """
    if activations.dim() == 4:  # as it lies in memory: the order of the numbers does not matter
        activations = activations.permute(0, 2, 3, 1)
    n = len(activations)
    gram = np.zeros((n, n))
    for part in torch.split(activations.flatten(1), PIECE, 1):
        centered = part.float() - part.float().mean(0)  # changes nothing but the rounding
        gram += (centered @ centered.T).double().cpu().numpy()
    if n < SMALLEST_BATCH:
        return np.zeros((n, n))
    np.fill_diagonal(gram, 0)
    rows = gram.sum(1) / (n - 2)
    gram += gram.sum() / ((n - 1) * (n - 2)) - rows[:, None] - rows
    np.fill_diagonal(gram, 0)
    return np.asarray(gram)
