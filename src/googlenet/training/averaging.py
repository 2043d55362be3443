"""The average of the weights over the run, which becomes the model (section 6: Polyak)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage:
    """A running average of a network's parameters.

    "mean" weights every step since `start` equally (Polyak and Juditsky 1992); "ema" decays by
    `decay` per step, faster in the first steps; "none" follows the network, as "mean" does
    before `start`.
    """

    def __init__(self, network: nn.Module, kind: str, decay: float, start: int) -> None:
        self.kind, self.decay, self.start = kind, decay, start
        self.values = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, steps: int) -> None:
        """Add the weights after `steps` steps of the run to the average."""
        weight = self.weight(steps)
        torch._foreach_lerp_(
            list(self.values.values()), [p.detach() for p in network.parameters()], weight
        )

    def weight(self, steps: int) -> float:
        """The fraction that the newest weights get."""
        if self.kind == "mean" and steps > self.start:
            return 1 / (steps - self.start)
        if self.kind == "ema":
            return 1 - min(self.decay, steps / (steps + 10))
        return 1.0

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        for name, parameter in network.named_parameters():
            parameter.copy_(self.values[name])


@torch.no_grad()
def recompute_bn_stats(
    network: nn.Module, batches: Iterable[Tensor], frozen: Collection[str] = ()
) -> int:
    """Set batch normalization's running statistics to their mean over the batches.

    Averaged weights have seen no batch, and the statistics of the weights that went into them do
    not fit (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).
    Batches are (N, C, H, W), normalized; returns their number.  The stages in `frozen` keep their
    statistics.  Does nothing for a network without batch normalization.
    """
    layers = [
        layer
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and name.split(".")[0] not in frozen
    ]
    if not layers:
        return 0
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch: a plain mean over batches
        layer.train()
    seen = 0
    for batch in batches:
        network(batch)
        seen += 1
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return seen
