"""Nearest neighbors by cosine similarity, by looking at every one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Neighbor:
    index: int
    similarity: float


def nearest(
    query: NDArray[np.float32], embeddings: NDArray[np.float32], top: int
) -> list[Neighbor]:
    """The `top` embeddings that are most similar to one, the most similar first.

    query: (D,).  embeddings: (N, D); rows with NaN are left out, and rows of zeros are similar
    to nothing (0).  Equally similar ones come in their own order.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    scale = np.maximum(lengths * np.linalg.norm(query), np.finfo(np.float32).tiny)
    similarity = embeddings @ query / scale
    order = np.argsort(-similarity, kind="stable")  # NaN last
    known = order[: min(top, np.count_nonzero(~np.isnan(similarity)))]
    return [Neighbor(int(at), float(similarity[at])) for at in known]
