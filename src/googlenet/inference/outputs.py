"""What a network computes, and the functions of its logits, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Outputs(NamedTuple):
    """What a network computes of N images, float32.

    logits: (N, classes).  ood_features: the mean of each feature map of the OOD_LAYERS, the
    layers side by side (N, F); None for a network without them.  widths: each layer's number of
    columns, where known.
    """

    logits: NDArray[np.float32]
    ood_features: NDArray[np.float32] | None = None
    widths: tuple[int, ...] = ()

    def take(self, rows: NDArray[np.intp]) -> Outputs:
        """The outputs for some of the images."""
        features = None if self.ood_features is None else self.ood_features[rows]
        return Outputs(self.logits[rows], features, self.widths)


def concatenate(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several batches as those of one."""
    features = [part.ood_features for part in parts if part.ood_features is not None]
    logits = np.concatenate([part.logits for part in parts])
    return Outputs(logits, np.concatenate(features) if features else None, parts[0].widths)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """(N, classes) -> (N, classes), each row's sum 1."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """Each logit's own probability; never overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def logsumexp(logits: NDArray[Any]) -> NDArray[Any]:
    """(N, classes) -> (N,)."""
    highest = logits.max(1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(1)))
