"""The learning rate, against its formulas and PyTorch's own schedulers."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sqrt
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from googlenet.training.schedule import SCHEDULES, lr_factor

EPOCHS = 24
THEIRS: dict[str, Callable[[Optimizer], Any]] = {
    "constant": lambda o: lr_scheduler.ConstantLR(o, factor=1.0),
    "step": lambda o: lr_scheduler.StepLR(o, step_size=8, gamma=0.96),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, total_iters=EPOCHS, power=0.5),
    "linear": lambda o: lr_scheduler.PolynomialLR(o, total_iters=EPOCHS, power=1.0),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=EPOCHS),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_whole_epochs_agree_with_pytorch(name: str) -> None:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = THEIRS[name](optimizer)
    for epoch in range(EPOCHS):
        assert lr_factor(name, 0, epoch, EPOCHS) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=1e-12
        )
        optimizer.step()
        theirs.step()


def test_parts_of_an_epoch() -> None:
    assert lr_factor("cosine", 0, 0.25, 1) == pytest.approx((1 + cos(pi / 4)) / 2)
    assert lr_factor("polynomial", 0, 0.75, 1) == pytest.approx(sqrt(0.25))
    assert lr_factor("step", 0, 7.99, 100) == 1
    assert lr_factor("step", 0, 16, 100) == 0.96**2


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_in_a_line_and_the_schedule_runs_its_whole_course_after(name: str) -> None:
    """A quarter of 20 epochs rises; what follows is the schedule of 15."""
    for epoch in (0, 1.25, 2.5, 4.9):
        assert lr_factor(name, 0.25, epoch, 20) == pytest.approx(epoch / 5)
    for epoch in (5, 7.5, 19.5):
        assert lr_factor(name, 0.25, epoch, 20) == SCHEDULES[name](epoch - 5, 15)
    assert lr_factor(name, 0.25, 5, 20) == 1
