"""Ideas that the study tries and the package does not have: optimizers, changed networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.networks import Network
from googlenet.training.recipes import Recipe


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly, by a Newton–Schulz iteration.

    Source: Jordan et al. 2024, "Muon", whose quintic takes singular values to 0.7–1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T


class Muon(torch.optim.Optimizer):
    """Momentum whose steps on filters are orthogonalised; SGD with momentum on all else.

    Filters followed by batch normalisation have no scale of their own: each is kept at the norm
    √filters, so that `rate` is the angle that a step turns it by.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": momentum, "turn": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                momentum = state.setdefault("momentum_buffer", torch.zeros_like(p))
                gradient = p.grad
                if group["weight_decay"] and not group["turn"]:
                    gradient = gradient.add(p, alpha=group["weight_decay"])
                momentum.mul_(group["momentum"]).add_(gradient)
                ahead = gradient.add(momentum, alpha=group["momentum"])
                if not group["turn"]:
                    p.sub_(ahead, alpha=group["lr"])
                    continue
                p.mul_(len(p) ** 0.5 / p.norm())
                update = orthogonal(ahead.flatten(1)).reshape(p.shape)
                p.sub_(update, alpha=group["lr"] * group["turn"])


def muon(turn: float) -> Callable[[Network, Recipe], torch.optim.Optimizer]:
    """Muon on the filters of the trunk; `turn`: its rate, where the recipe's own is 1."""

    def build(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
        filters, matrices, vectors = [], [], []
        for p in network.parameters():
            (filters if p.ndim == 4 else matrices if p.ndim == 2 else vectors).append(p)
        factor, decay = 1.0, recipe.weight_decay
        return Muon(
            [
                {
                    "params": filters,
                    "turn": turn / recipe.learning_rate,
                    "weight_decay": 0.0,
                    "factor": factor,
                },
                {"params": matrices, "weight_decay": decay, "factor": factor},
                {"params": vectors, "weight_decay": 0.0, "factor": factor},
            ],
            recipe.momentum,
        )

    return build


def without_pool(*names: str) -> Callable[[Network], None]:
    """The network with pools left out: every map after them is twice as wide and high."""

    def change(network: Network) -> None:
        for name in names:
            setattr(network, name, nn.Identity())

    return change


def activation(kind: type[nn.Module]) -> Callable[[Network], None]:
    """Another activation in place of every ReLU."""

    def change(network: Network) -> None:
        for module in list(network.modules()):
            if hasattr(module, "relu"):
                module.relu = kind()

    return change


class BlurPool(nn.Module):
    """Max pooling at stride 1, then a binomial filter at stride 2 (Zhang 2019, 1904.11486)."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(x, 2, 1)
        taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
        kernel = (taps[:, None] * taps / 16).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def blurred(network: Network) -> None:
    for name in ("pool1", "pool2", "pool3", "pool4"):
        setattr(network, name, BlurPool())
