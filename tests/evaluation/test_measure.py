"""Balanced accuracy against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from googlenet.evaluation.accuracy import Scores
from googlenet.evaluation.measure import balanced_accuracy


@pytest.mark.parametrize("seed", range(3))
def test_balanced_accuracy_is_scikit_learns(seed: int) -> None:
    """Random answers, classes of unequal size, one of which has no photo."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, 100, p=(0.7, 0.2, 0.06, 0.04))
    scores = Scores(
        torch.from_numpy(rng.dirichlet(np.full(5, 0.3), 100)),
        torch.from_numpy(labels),
        tuple(range(100)),
    )
    answers = scores.predicted().clamp_max(3)  # scikit-learn warns of answers without support
    scores.probabilities[torch.arange(100), answers] += 2
    expected = balanced_accuracy_score(labels, answers)
    assert balanced_accuracy(scores) == pytest.approx(100 * expected)
