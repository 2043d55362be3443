"""Exact nearest neighbors: scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from googlenet.insight.neighbors import nearest


def test_they_are_scikit_learn_s() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(200, 16)).astype(np.float32)
    oracle = neighbors.NearestNeighbors(n_neighbors=7, metric="cosine").fit(embeddings)
    for query in rng.normal(size=(20, 16)).astype(np.float32):
        distances, indices = oracle.kneighbors(query[None])
        found = nearest(query, embeddings, 7)
        assert [each.index for each in found] == indices[0].tolist()
        similarities = [each.similarity for each in found]
        np.testing.assert_allclose(similarities, 1 - distances[0], atol=1e-6)


def test_unreadable_rows_zeros_and_ties() -> None:
    nan = float("nan")
    rows = [[nan, nan], [0, 0], [2, 0], [1, 0], [-1, 0]]
    found = nearest(np.array([3, 0], np.float32), np.array(rows, np.float32), 9)
    assert [each.index for each in found] == [2, 3, 1, 4]
    assert [each.similarity for each in found] == [1, 1, 0, -1]
