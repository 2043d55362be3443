"""The learning rate over a run, as a factor on the recipe's rate.

A schedule is a function of how many epochs have passed and how many there will be, in epochs
and their fractions, so that it does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, floor, pi, sqrt

Schedule = Callable[[float, float], float]


def constant(epoch: float, epochs: float) -> float:
    return 1.0


def step(epoch: float, epochs: float) -> float:
    """0.96 to the number of whole 8 epochs passed (section 6 of the paper)."""
    return float(0.96 ** floor(epoch / 8))


def polynomial(epoch: float, epochs: float) -> float:
    """The square root of the share of the run that is left (BVLC's quick solver, power 0.5)."""
    return sqrt(max(0.0, 1 - epoch / epochs))


def linear(epoch: float, epochs: float) -> float:
    """The share of the run that is left."""
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


def rate_factor(name: str, warmup: float, epoch: float, epochs: float) -> float:
    """The schedule after a linear rise from 0 over the first `warmup` share of the run.

    The schedule itself begins where the warm-up ends, so that it runs its whole course.
    """
    rising = warmup * epochs
    if epoch < rising:
        return epoch / rising
    return SCHEDULES[name](epoch - rising, epochs - rising)
