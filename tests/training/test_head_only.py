"""The linear classifier against scikit-learn's, and the choice of its penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from googlenet.training.head_only import PENALTIES, choose_penalty, fit, fold_numbers


def drawn(images: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features around one point per class, not centered and not scaled; three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    points = 5 * rng.normal(size=(3, 20))
    features = 40 + points[labels] + noise * rng.normal(size=(images, 20))
    return torch.from_numpy(features).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("penalty", [1.0, 0.01, 0.0001])
def test_fit_is_scikit_learn_s(penalty: float) -> None:
    x, y = drawn(90, 8.0)
    found = fit(x, y, 3, penalty)
    centered = (x - x.mean(0)).double().numpy()
    scale = np.sqrt(np.square(centered).sum(1).mean())
    model = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-9, max_iter=5000)
    expected = model.fit(centered / scale, y.numpy()).predict_proba(centered / scale)
    np.testing.assert_allclose(found(x).softmax(1).numpy(), expected, atol=2e-3)


def test_a_start_changes_nothing() -> None:
    x, y = drawn(60, 8.0)
    warm = fit(x, y, 3, 0.01, fit(x, y, 3, 1.0))
    torch.testing.assert_close(
        warm(x).softmax(1), fit(x, y, 3, 0.01)(x).softmax(1), atol=2e-3, rtol=0
    )


def test_multilabel_is_a_regression_per_class() -> None:
    x, y = drawn(90, 8.0)
    flags = torch.stack([y == 0, y != 1, y == 2], 1)
    found = fit(x, flags, 3, 0.01)
    centered = (x - x.mean(0)).double().numpy()
    scaled = centered / np.sqrt(np.square(centered).sum(1).mean())
    for k in range(3):
        model = LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-9, max_iter=5000)
        expected = model.fit(scaled, flags[:, k].numpy()).predict_proba(scaled)[:, 1]
        np.testing.assert_allclose(found(x)[:, k].sigmoid().numpy(), expected, atol=2e-3)


def test_noise_asks_for_a_stronger_penalty() -> None:
    clear, noisy = (choose_penalty(*drawn(90, noise), 3, 0) for noise in (1.0, 60.0))
    assert clear < noisy
    assert noisy >= 0.1
    assert {clear, noisy} <= set(PENALTIES)
    assert choose_penalty(*drawn(90, 60.0), 3, 0) == noisy


def test_folds_share_every_class() -> None:
    labels = torch.tensor([0] * 10 + [1] * 5)
    folds = fold_numbers(labels, 5)
    for fold in range(5):
        assert labels[folds == fold].tolist().count(0) == 2
        assert labels[folds == fold].tolist().count(1) == 1
    assert set(fold_numbers(torch.zeros(4, 3, dtype=torch.bool), 2).tolist()) == {0, 1}


def test_two_images_are_enough() -> None:
    x, y = torch.eye(2), torch.tensor([0, 1])
    found = fit(x, y, 2, choose_penalty(x, y, 2, 0))
    assert found(x).argmax(1).tolist() == [0, 1]
