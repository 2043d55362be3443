"""Muon: SGD with momentum whose steps on filters are orthogonalized (Jordan et al. 2024).

The momentum of a layer's filters, as a matrix (filters, inputs · height · width), has a few
large singular values, so plain SGD moves in a few directions only.  Muon replaces it with the
nearest orthogonal matrix, which moves in all directions alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

# Newton–Schulz: x ← (a + b·g + c·g²)·x with g = x·xᵀ takes singular values from (0, 1] to about
# 0.7–1.2 in five steps; these coefficients rise fastest at 0 (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(matrices: Sequence[Tensor], steps: int = NEWTON_SCHULZ_STEPS) -> list[Tensor]:
    """For each matrix, approximately the nearest one with orthonormal rows (columns if tall).

    All factors of the iteration commute, so their product is computed first and x is multiplied
    twice in all rather than twice per step: half the time for 3×3 filters.  Matrices with the
    same number of rows are batched, which keeps all cores busy.
    Needs float32: in bfloat16, g loses the small values that the iteration must raise most.
    """
    wide = [m if m.shape[0] <= m.shape[1] else m.T for m in matrices]
    wide = [x / (x.norm() + 1e-7) for x in wide]  # no singular value above 1
    by_rows: dict[int, list[int]] = {}
    for at, x in enumerate(wide):
        by_rows.setdefault(len(x), []).append(at)
    found = list(wide)
    for indices in by_rows.values():
        grams = torch.stack([wide[at] @ wide[at].T for at in indices])
        for at, factor in zip(indices, newton_schulz(grams, steps), strict=True):
            found[at] = factor @ wide[at]
    return [x if x.shape == m.shape else x.T for x, m in zip(found, matrices, strict=True)]


def newton_schulz(grams: Tensor, steps: int) -> Tensor:
    """The product of the iteration's factors for each g: (matrices, rows, rows) -> the same."""
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
    """Orthogonal steps in parameter groups with `muon`, SGD with momentum in the others.

    Batch normalization removes the scale of the filters before it, so a Muon step is a rotation
    by `lr` radians: the norm stays the same, and there is no weight decay.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, momentum: float, *, nesterov: bool
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "muon": False}
        super().__init__(groups, defaults | {"weight_decay": 0.0, "steps": NEWTON_SCHULZ_STEPS})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            directions = [self.direction(p, group) for p in parameters]
            if group["muon"]:
                matrices = [direction.flatten(1) for direction in directions]
                directions = orthogonalize(matrices, group["steps"])
            update = self.rotate_ if group["muon"] else sgd_step_
            for parameter, direction in zip(parameters, directions, strict=True):
                update(parameter, direction, group["lr"])

    def direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The momentum after taking in the new gradient, as in SGD."""
        gradient: Tensor = parameter.grad  # type: ignore[assignment]
        if group["weight_decay"] and not group["muon"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum

    @staticmethod
    def rotate_(filters: Tensor, direction: Tensor, radians: float) -> None:
        """Rotate (F, C, h, w) filters, as one vector, toward `direction` by a small angle."""
        step = direction.reshape(filters.shape)
        norm = filters.norm()
        filters.sub_(step * (radians * norm / (step.norm() + 1e-12)))
        filters.mul_(norm / (filters.norm() + 1e-12))


def sgd_step_(parameter: Tensor, direction: Tensor, lr: float) -> None:
    parameter.sub_(direction, alpha=lr)
