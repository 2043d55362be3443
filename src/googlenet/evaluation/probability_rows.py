"""Probabilities of many images in bounded memory: whole rows, or of each only what metrics need.

A matrix of 100,000 images × 10,000 classes takes 8 GB in float64.  No metric of a single-label
model needs more of an image than its most probable classes and the probability of its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

WHOLE_VALUES = 1 << 23  # images × classes up to which whole rows are kept: 64 MiB in float64
TOP = 5  # the most probable classes that condensed rows keep


class ProbabilityRows(NamedTuple):
    """Probabilities of N images.

    whole: all classes (N, classes), `columns` is None.  Condensed: `columns` (N, K + 1) are the
    K = min(5, classes) most probable classes, most probable first, and the label; probabilities
    (N, K + 1) are theirs.  scaled: the same with the model's temperature, if it has one.
    """

    probabilities: Tensor
    columns: Tensor | None = None
    scaled: Tensor | None = None


def condense(rows: Tensor, labels: Tensor, scaled: Tensor | None) -> ProbabilityRows:
    """Condensed rows of (N, classes) probabilities and (N,) labels.

    scaled: (N, classes), the probabilities with a temperature, which keeps their order.
    """
    top = rows.topk(min(TOP, rows.shape[1])).indices
    columns = torch.cat([top, labels[:, None]], 1)
    return ProbabilityRows(
        rows.gather(1, columns), columns, None if scaled is None else scaled.gather(1, columns)
    )


def concatenate_rows(parts: Sequence[ProbabilityRows]) -> ProbabilityRows:
    """The rows of several blocks of images as those of one; all whole or all condensed."""

    def joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
        found = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(found) if found else None

    probabilities = torch.cat([part.probabilities for part in parts])
    columns, scaled = ([part[field] for part in parts] for field in (1, 2))
    return ProbabilityRows(probabilities, joined(columns), joined(scaled))


def restrict(rows: Tensor, classes: Sequence[int]) -> Tensor:
    """(N, classes) probabilities restricted to some classes: 0 for others, each row's sum 1."""
    allowed = torch.zeros(rows.shape[1], dtype=torch.float64)
    allowed[list(classes)] = 1
    kept = rows * allowed
    return kept / kept.sum(1, keepdim=True).clamp_min(1e-300)
