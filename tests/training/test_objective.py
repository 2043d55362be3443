"""The loss of a batch, and the losses that say that nothing has been learned."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch.nn import functional as F

from googlenet.data.dataset import Samples
from googlenet.runtime.errors import UsageError
from googlenet.training.objective import build_objective, constant_loss, heads_at_chance
from tests.training.small_runs import QUICK

LABELS = [0] * 12 + [1] * 6 + [2] * 2
SMOOTH = QUICK.with_settings({"label_smoothing": 0.1})


def photos(labels: Sequence[int]) -> Samples:
    return Samples((Path("x.png"),) * len(labels), tuple(labels))


def logits() -> torch.Tensor:
    return torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(0))


def test_without_weights_it_is_pytorchs_cross_entropy_to_the_bit() -> None:
    labels = torch.tensor(LABELS)
    expected = F.cross_entropy(logits(), labels, label_smoothing=0.1)
    assert torch.equal(build_objective(SMOOTH, photos(LABELS), 4).loss(logits(), labels), expected)


def test_with_weights_every_class_counts_the_same() -> None:
    """The mean over all images is the mean over classes of each class's mean loss."""
    recipe = SMOOTH.with_settings({"balance": "class_weights"})
    labels = torch.tensor(LABELS)
    by_class = [
        F.cross_entropy(logits()[labels == c], labels[labels == c], label_smoothing=0.1)
        for c in range(3)
    ]
    found = build_objective(recipe, photos(LABELS), 4).loss(logits(), labels)
    assert float(found) == pytest.approx(float(torch.stack(by_class).mean()), rel=1e-5)


@pytest.mark.parametrize("balance", ["none", "class_weights", "balanced_sampler"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plateau_is_the_least_loss_of_a_constant_answer(balance: str, smoothing: float) -> None:
    """Found by minimizing over the logits of an answer that is the same for every image."""
    recipe = QUICK.with_settings({"balance": balance, "label_smoothing": smoothing})
    counts = np.bincount(LABELS, minlength=4)
    shares = counts / counts.sum() if balance == "none" else (counts > 0) / 3

    def loss(free: np.ndarray) -> float:
        logp = log_softmax(free)
        return float(-(1 - smoothing) * shares @ logp - smoothing * logp.mean())

    least = minimize(loss, np.zeros(4)).fun
    uniform, constant = build_objective(recipe, photos(LABELS), 4).chance_losses
    assert constant == pytest.approx(least, abs=1e-4)
    assert uniform == pytest.approx(log(4))


def test_classes_of_one_size_have_one_plateau() -> None:
    assert constant_loss(np.full(1000, 1e-3), 0.1) == pytest.approx(log(1000))


@pytest.mark.parametrize(
    ("losses", "stuck"),
    [
        ({"loss_main": 1.2, "loss_4a": 6.908, "loss_4d": 6.85}, ["4a", "4d"]),
        ({"loss_main": 6.9, "loss_4a": 6.7, "loss_4d": 7.1}, ["main"]),
        ({"loss_main": 0.1, "train_accuracy": 6.908}, []),
        ({"loss_main": 5.02, "loss_4a": 4.9}, ["main"]),
    ],
)
def test_stuck_heads_are_those_at_a_plateau(losses: dict[str, float], stuck: list[str]) -> None:
    """ln(1000) = 6.908, the known trap of the paper's network at rate 0.01; 5 by uneven classes."""
    assert log(1000) == pytest.approx(6.908, abs=1e-3)
    assert heads_at_chance(losses, (log(1000), 5.0)) == stuck


MARKS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], bool)
SEVERAL = Samples((Path("x.png"),) * 5, (), MARKS)


def test_several_labels_are_pytorchs_binary_cross_entropy() -> None:
    targets = torch.from_numpy(MARKS.astype(np.float32))
    found = build_objective(SMOOTH, SEVERAL, 3).loss(logits()[:5, :3], targets)
    p = logits()[:5, :3].double().sigmoid()
    smoothed = targets.double() * 0.9 + 0.05
    expected = -(smoothed * p.log() + (1 - smoothed) * (1 - p).log()).sum(1).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_weights_of_several_labels_balance_each_class_by_itself() -> None:
    """Over all images, a class's yes and its no have the same sum of weights; absent ones none."""
    recipe = QUICK.with_settings({"balance": "class_weights"})
    weights = build_objective(recipe, SEVERAL, 3).weights
    assert weights is not None
    yes, no = (MARKS * weights[1].numpy()).sum(0), (~MARKS * weights[0].numpy()).sum(0)
    np.testing.assert_allclose(yes, [2.5, 2.5, 0])
    np.testing.assert_allclose(no, [2.5, 2.5, 5])


@pytest.mark.parametrize("balance", ["none", "class_weights"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plateau_of_several_labels_is_the_least_loss_of_a_constant_answer(
    balance: str, smoothing: float
) -> None:
    recipe = QUICK.with_settings({"balance": balance, "label_smoothing": smoothing})
    several = build_objective(recipe, SEVERAL, 3)
    targets = torch.from_numpy(MARKS.astype(np.float32))

    def loss(free: np.ndarray) -> float:
        same = torch.from_numpy(free).float().expand(5, 3)
        return float(several.loss(same, targets))

    least = minimize(loss, np.zeros(3), method="Nelder-Mead").fun
    uniform, constant = several.chance_losses
    assert constant == pytest.approx(least, abs=2e-3)
    assert uniform == pytest.approx(3 * log(2))
    assert loss(np.zeros(3)) == pytest.approx(3 * log(2), rel=1e-5)


def test_right_answers_of_several_labels_are_right_in_every_class() -> None:
    targets = torch.from_numpy(MARKS.astype(np.float32))
    answers = torch.where(targets > 0, 1.0, -1.0)
    answers[0, 2] = 3.0
    assert build_objective(QUICK, SEVERAL, 3).correct(answers, targets) == 4


def test_images_with_several_labels_cannot_be_drawn_by_class() -> None:
    with pytest.raises(UsageError, match="balance must be none or class_weights for multi-label"):
        build_objective(QUICK.with_settings({"balance": "balanced_sampler"}), SEVERAL, 3)
