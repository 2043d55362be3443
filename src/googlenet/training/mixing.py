"""CutMix: photos of a batch with a box of another's (Yun et al. 2019, arXiv 1905.04899)."""

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
    """A batch, in a `share` of the cases mixed: each photo gets a box of one of the others'.

    The box is one for the batch, has the photos' aspect ratio, any place, and at most half of their
    area.  Random numbers are PyTorch's own, three and a permutation.
    """
    if not share:
        return Mixed(crops)
    chance, size, *middle = torch.rand(4).tolist()
    partners = torch.randperm(len(crops))
    if chance >= share:
        return Mixed(crops)
    side = sqrt(size / 2)
    (top, bottom), (left, right) = (
        (round(length * (at - side / 2)), round(length * (at + side / 2)))
        for at, length in zip(middle, crops.shape[2:], strict=True)
    )
    height, width = crops.shape[2:]
    box = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    partners = partners.to(crops.device)
    found = crops.clone()
    found[:, :, *box] = crops[partners][:, :, *box]
    area = (box[0].stop - box[0].start) * (box[1].stop - box[1].start)
    return Mixed(found, partners, 1 - area / (height * width))
