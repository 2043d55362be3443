"""CutMix: photos of a batch with a box of another (Yun et al. 2019, arXiv 1905.04899).

What a run prints as its training accuracy is then that over each photo's own label alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from googlenet.training.objective import Objective


@dataclass(frozen=True)
class Mixed:
    """crops: (N, C, H, W); partners: (N,), whose box each photo has; own: its own share of it."""

    crops: Tensor
    partners: Tensor | None = None
    own: float = 1.0

    def loss(
        self, objective: Objective, logits: Tensor, labels: Tensor, whole: Tensor | None
    ) -> Tensor:
        """The objective's loss, by both photos' labels, each by its share of the pixels."""
        loss = objective.loss(logits, labels, whole)
        if self.partners is None:
            return loss
        other = objective.loss(logits, labels[self.partners], whole)
        return self.own * loss + (1 - self.own) * other


def mixed(crops: Tensor, share: float) -> Mixed:
    """A batch, in a `share` of the cases mixed: each photo gets a box of a photo of the batch.

    The box is one for the batch: of the photos' aspect ratio, of an area from none to all of
    theirs, its centre anywhere, cut off at their edges.  Random numbers are PyTorch's own, four
    and a permutation.
    """
    if not share:
        return Mixed(crops)
    chance, size, *middle = torch.rand(4).tolist()
    partners = torch.randperm(len(crops)).to(crops.device)
    if chance >= share:
        return Mixed(crops)
    side = sqrt(size)
    rows, columns = (
        slice(max(0, round(length * (at - side / 2))), min(length, round(length * (at + side / 2))))
        for at, length in zip(middle, crops.shape[2:], strict=True)
    )
    found = crops.clone()
    found[:, :, rows, columns] = crops[:, :, rows, columns][partners]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixed(found, partners, 1 - area / crops[0, 0].numel())
