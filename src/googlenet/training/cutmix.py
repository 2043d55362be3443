"""CutMix: paste a box of another image of the batch (Yun et al. 2019, arXiv 1905.04899).

The training accuracy of a run with CutMix counts each image's own label only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from googlenet.training.objective import Objective


@dataclass(frozen=True)
class CutMixBatch:
    """inputs: (N, C, H, W); perm: (N,), where each box comes from; lam: the rest of the area."""

    inputs: Tensor
    perm: Tensor | None = None
    lam: float = 1.0

    def loss(
        self, objective: Objective, logits: Tensor, labels: Tensor, denominator: Tensor | None
    ) -> Tensor:
        """The loss for both images' labels, weighted by their areas."""
        loss = objective.loss(logits, labels, denominator)
        if self.perm is None:
            return loss
        other = objective.loss(logits, labels[self.perm], denominator)
        return self.lam * loss + (1 - self.lam) * other


def cutmix(inputs: Tensor, prob: float) -> CutMixBatch:
    """With probability `prob`, each image of the batch gets a box of another one.

    One box for the whole batch: the images' aspect ratio, an area uniform from none to all, a
    uniform center, clipped at the border.  Draws four of PyTorch's random numbers and a
    permutation.
    """
    if not prob:
        return CutMixBatch(inputs)
    chance, area, *center = torch.rand(4).tolist()
    perm = torch.randperm(len(inputs)).to(inputs.device)
    if chance >= prob:
        return CutMixBatch(inputs)
    side = sqrt(area)
    rows, columns = (
        slice(max(0, round(length * (at - side / 2))), min(length, round(length * (at + side / 2))))
        for at, length in zip(center, inputs.shape[2:], strict=True)
    )
    pasted = inputs.clone()
    pasted[:, :, rows, columns] = inputs[:, :, rows, columns][perm]
    pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
    return CutMixBatch(pasted, perm, 1 - pixels / inputs[0, 0].numel())
