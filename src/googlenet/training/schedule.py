"""Learning rate schedules, as a factor on the recipe's learning rate.

A schedule is a function of the epochs so far and in all, as real numbers, so it does not depend
on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, floor, pi, sqrt

Schedule = Callable[[float, float], float]


def constant(epoch: float, epochs: float) -> float:
    return 1.0


def step(epoch: float, epochs: float) -> float:
    """Falls by 4 % every 8 epochs (section 6 of the paper)."""
    return float(0.96 ** floor(epoch / 8))


def polynomial(epoch: float, epochs: float) -> float:
    """The square root of the fraction of the run that is left (BVLC's quick solver, power 0.5)."""
    return sqrt(max(0.0, 1 - epoch / epochs))


def linear(epoch: float, epochs: float) -> float:
    """The fraction of the run that is left."""
    return max(0.0, 1 - epoch / epochs)


def cosine(epoch: float, epochs: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2016, arXiv 1608.03983)."""
    return 0.5 * (1 + cos(pi * min(1.0, epoch / epochs)))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "step": step,
    "polynomial": polynomial,
    "linear": linear,
    "cosine": cosine,
}


def lr_factor(name: str, warmup_fraction: float, epoch: float, epochs: float) -> float:
    """A linear warm-up from 0 over the first `warmup_fraction` of the run, then the schedule.

    The schedule starts where the warm-up ends, so it always runs in full.
    """
    warmup = warmup_fraction * epochs
    if epoch < warmup:
        return epoch / warmup
    return SCHEDULES[name](epoch - warmup, epochs - warmup)
