"""The loss of a batch, and the losses that say that nothing has been learnt."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch.nn import functional as F

from googlenet.training.objective import constant_loss, objective, stuck_heads
from tests.training.small_runs import QUICK

LABELS = [0] * 12 + [1] * 6 + [2] * 2
SMOOTH = QUICK.with_settings({"label_smoothing": 0.1})


def logits() -> torch.Tensor:
    return torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(0))


def test_without_weights_it_is_pytorchs_cross_entropy_to_the_bit() -> None:
    labels = torch.tensor(LABELS)
    expected = F.cross_entropy(logits(), labels, label_smoothing=0.1)
    assert torch.equal(objective(SMOOTH, LABELS, 4).loss(logits(), labels), expected)


def test_with_weights_every_class_counts_the_same() -> None:
    """The mean over all photos is the mean over classes of each class's mean loss."""
    recipe = SMOOTH.with_settings({"balance": "weights"})
    labels = torch.tensor(LABELS)
    by_class = [
        F.cross_entropy(logits()[labels == c], labels[labels == c], label_smoothing=0.1)
        for c in range(3)
    ]
    found = objective(recipe, LABELS, 4).loss(logits(), labels)
    assert float(found) == pytest.approx(float(torch.stack(by_class).mean()), rel=1e-5)


@pytest.mark.parametrize("balance", ["none", "weights", "sampling"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plateau_is_the_least_loss_of_a_constant_answer(balance: str, smoothing: float) -> None:
    """Found by minimising over the logits of an answer that is the same for every photo."""
    recipe = QUICK.with_settings({"balance": balance, "label_smoothing": smoothing})
    counts = np.bincount(LABELS, minlength=4)
    shares = counts / counts.sum() if balance == "none" else (counts > 0) / 3

    def loss(free: np.ndarray) -> float:
        logp = log_softmax(free)
        return float(-(1 - smoothing) * shares @ logp - smoothing * logp.mean())

    least = minimize(loss, np.zeros(4)).fun
    uniform, constant = objective(recipe, LABELS, 4).plateaus
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
    assert stuck_heads(losses, (log(1000), 5.0)) == stuck
