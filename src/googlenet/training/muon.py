"""Muon: SGD with momentum whose steps on filters are orthogonalised (Jordan et al. 2024).

The momentum of a bank of filters, seen as a matrix (filters, inputs · height · width), has a few
large singular values, so that plain SGD moves a few directions only.  Muon takes the nearest
orthogonal matrix in its place, which moves all directions alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

# Newton–Schulz: x ← (a + b·g + c·g²)·x with g = x·xᵀ takes singular values from (0, 1] to about
# 0.7–1.2 in five steps; these coefficients rise fastest at 0 (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonal(matrices: Sequence[Tensor], steps: int = STEPS) -> list[Tensor]:
    """Of each nearly the nearest matrix with orthonormal rows, or columns if there are fewer.

    The steps' factors are collected, and g itself is taken from step to step: all of them commute.
    So x is multiplied twice in all and not twice a step, half of the time for filters of 3×3; and
    matrices with as many rows go through the steps in one stack, which keeps all cores busy.
    This needs float32: in bfloat16 g loses its small values, which the steps would raise most.
    """
    wide = [m if m.shape[0] <= m.shape[1] else m.T for m in matrices]
    wide = [x / (x.norm() + 1e-7) for x in wide]  # no singular value above 1
    places: dict[int, list[int]] = {}
    for at, x in enumerate(wide):
        places.setdefault(len(x), []).append(at)
    found = list(wide)
    for alike in places.values():
        grams = torch.stack([wide[at] @ wide[at].T for at in alike])
        for at, factor in zip(alike, raised(grams, steps), strict=True):
            found[at] = factor @ wide[at]
    return [x if x.shape == m.shape else x.T for x, m in zip(found, matrices, strict=True)]


def raised(grams: Tensor, steps: int) -> Tensor:
    """The product of all the steps' factors for each g: (matrices, rows, rows) -> the same."""
    a, b, c = COEFFICIENTS
    factors: Tensor | None = None
    for left in reversed(range(steps)):
        factor = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        factors = factor if factors is None else factor @ factors
        if left:
            grams = factor @ grams @ factor
    assert factors is not None
    return factors


class Muon(torch.optim.Optimizer):
    """Orthogonal steps in groups with a `turn`, SGD with momentum in the others.

    Batch normalisation takes the scale out of the filters before it, so a step is an angle:
    lr · turn radians; their norm stays what it was, and there is no weight decay for them.
    Both kinds of step look ahead along the momentum with `nesterov`.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, *, nesterov: bool
    ) -> None:
        values = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "turn": 0.0}
        super().__init__(groups, values | {"weight_decay": 0.0, "steps": STEPS})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            learnt = [p for p in group["params"] if p.grad is not None]
            directions = [self.direction(p, group) for p in learnt]
            if group["turn"]:
                matrices = [direction.flatten(1) for direction in directions]
                directions = orthogonal(matrices, group["steps"])
            move = self.turned if group["turn"] else descended
            for parameter, direction in zip(learnt, directions, strict=True):
                move(parameter, direction, group)

    def direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The momentum with the new gradient taken in, as SGD has it."""
        gradient: Tensor = parameter.grad  # type: ignore[assignment]
        if group["weight_decay"] and not group["turn"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum

    @staticmethod
    def turned(filters: Tensor, matrix: Tensor, group: dict[str, Any]) -> None:
        """Turn (F, C, h, w) filters as a whole along a matrix, by lr · turn radians (if few)."""
        step = matrix.reshape(filters.shape)
        norm = filters.norm()
        filters.sub_(step * (group["lr"] * group["turn"] * norm / (step.norm() + 1e-12)))
        filters.mul_(norm / (filters.norm() + 1e-12))


def descended(parameter: Tensor, direction: Tensor, group: dict[str, Any]) -> None:
    parameter.sub_(direction, alpha=group["lr"])
