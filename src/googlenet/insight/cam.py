"""Class activation maps: where the network looked for a class.

The network averages its last map over places and multiplies by the classifier's row.  The other
way round, each place has its own part of the logit, which costs one small product and no
backward pass (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization",
arXiv 1512.04150, equation 2).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from googlenet.models.googlenet import GoogLeNet


def class_activation_maps(features: Tensor, head: nn.Linear, classes: Tensor) -> Tensor:
    """Each place's part of the logit: the mean of a map and the class's bias make the logit.

    features: (N, C, h, w), the map under the average pool.  classes: (N, k) indices.
    Returns (N, k, h, w) float32.
    """
    rows = head.weight[classes].float()  # (N, k, C)
    return torch.einsum("nkc,nchw->nkhw", rows, features.float())


def last_map(network: object) -> AbstractContextManager[dict[str, Tensor]]:
    """Collects the map under the average pool of the forward passes in its context, one value.

    Nothing is collected of a network without that head, nor where something else than the
    network itself computes: an exported file, an engine.
    """
    if not isinstance(network, GoogLeNet):
        return nullcontext({})
    return network.tap(network.trunk[-1])
