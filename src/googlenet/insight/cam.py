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

from googlenet.models.baselines import Baseline
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network
from googlenet.models.taps import relu_of
from googlenet.runtime.errors import UsageError


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


def cam(network: Network, x: Tensor, target: int, against: int | None = None) -> Tensor:
    """The class activation map of a class: (N, C, H, W) -> (N, h, w).

    With `against`, what speaks for the one class and not for the other: the difference of their
    maps.  Raises UsageError for a network whose classifier sees more than averages.
    """
    if not has_cam(network):
        raise UsageError(
            f"cam needs an average pool before the classifier, {network.name} has none"
        )
    classes = [target] if against is None else [target, against]
    if isinstance(network, GoogLeNet):
        indices = torch.tensor(classes, device=x.device).expand(len(x), -1)
        maps = class_activation_maps(network.features(x), network.classifier, indices)
    else:  # averages the maps of the classes themselves
        layer = last_map_name(network)
        with network.tap(layer) as seen:
            network(x)
        maps = seen[layer][:, classes].float()
    return maps[:, 0] if against is None else maps[:, 0] - maps[:, 1]


def has_cam(network: Network) -> bool:
    return isinstance(network, GoogLeNet) or network.trunk[-1] == "avgpool"


def last_map_name(network: Network, head: str = "main") -> str:
    """The layer of the last map that a head sees: the one under its average pool.

    Of a compared network the last convolution.  Raises UsageError for a head that it lacks.
    """
    if head != "main" and head not in network.aux_heads:
        raise UsageError(f"head must be one of {', '.join(heads(network))}, got {head!r}")
    if isinstance(network, Baseline):
        convolutions = (n for n in reversed(network.trunk) if is_convolution(getattr(network, n)))
        return next(convolutions)
    return network.trunk[-1] if head == "main" else f"inception_{head}"


def heads(network: Network) -> tuple[str, ...]:
    return ("main", *network.aux_heads)


def is_convolution(module: nn.Module) -> bool:
    unit = isinstance(module, nn.Sequential) and relu_of(module) is not None
    return isinstance(module[0] if unit else module, nn.Conv2d)  # type: ignore[index]
