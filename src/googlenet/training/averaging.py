"""The average of the weights over the run, which becomes the model (section 6: Polyak)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage:
    """A running average of a network's parameters.

    "mean" weighs every step since `start` alike (Polyak and Juditsky 1992); "ema" forgets by
    `decay` a step, and faster while it is young; "none" follows the network.  Before `start`
    it follows the network too.
    """

    def __init__(self, network: nn.Module, kind: str, decay: float, start: int) -> None:
        self.kind, self.decay, self.start = kind, decay, start
        self.values = {n: p.detach().clone() for n, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, steps: int) -> None:
        """Take in the weights after `steps` steps of the run."""
        weight = self.weight(steps)
        torch._foreach_lerp_(
            list(self.values.values()), [p.detach() for p in network.parameters()], weight
        )

    def weight(self, steps: int) -> float:
        """The share that the newest weights get."""
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
def recompute_statistics(
    network: nn.Module, batches: Iterable[Tensor], frozen: Collection[str] = ()
) -> int:
    """Set batch normalisation's statistics to their mean over the batches; returns their number.

    Averaged weights have never seen a batch: the statistics of the weights that they are the
    average of do not fit them (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).
    Batches are (N, C, H, W), normalised.  The stages named in `frozen`, whose weights have not
    changed, keep their statistics.  Does nothing for a network without them.
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
        layer.momentum = None  # PyTorch's sign for a plain mean over batches
        layer.train()
    seen = 0
    for batch in batches:
        network(batch)
        seen += 1
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return seen
