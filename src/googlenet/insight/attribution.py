"""Attribution: what each input pixel, or each place of a map, has to do with a logit.

Plain functions of a network and its normalized input.  They leave nothing behind: gradients are
asked for by `torch.autograd.grad`, so that no `.grad` is touched, and hooks end with the call.
Shapes are written (N, C, H, W): images, channels, height, width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from googlenet.models.registry import Network
from googlenet.models.taps import tap
from googlenet.runtime.errors import UsageError
from googlenet.runtime.watchdog import beat

Score = Callable[[Tensor], Tensor]  # (N, C, H, W) -> (N,)

CHUNK = 16  # images computed at a time: bounds the memory
COMPLETENESS = 0.01  # of the difference of scores: how far the integral may be off
MAX_STEPS = 400


def class_score(
    network: Network, target: int, against: int | None = None, head: str = "main"
) -> Score:
    """The logit of a class in a head; with `against`, by how much it exceeds that class's."""

    def score(x: Tensor) -> Tensor:
        logits = network(x) if head == "main" else network.forward_heads(x)[head]
        found = logits[:, target]
        return found if against is None else found - logits[:, against]

    return score


def input_gradients(score: Score, x: Tensor) -> Tensor:
    """(N, C, H, W) -> the same: the score's gradient at the pixels (Simonyan et al. 2014)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x)
    return gradient


def grad_cam(network: Network, score: Score, x: Tensor, layer: str) -> Tensor:
    """Grad-CAM of a layer: (N, C, H, W) -> (N, h, w), none below 0.

    Its maps, each times the mean of the score's gradient over it, summed (Selvaraju et al. 2017,
    arXiv 1610.02391, equations 1 and 2).  Raises UsageError for a layer that has no maps or does
    not lead to the score.
    """
    with tap(network, layer) as activations:
        total = score(x.detach().requires_grad_()).sum()
    maps = activations.get(layer)
    if maps is None or maps.dim() != 4:
        raise UsageError(f"layer must be one of feature maps, got {layer!r}")
    (gradient,) = torch.autograd.grad(total, maps, allow_unused=True)
    if gradient is None:
        raise UsageError(f"layer must lead to the head that is explained, got {layer!r}")
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu().detach()


def guided_backprop(network: nn.Module, score: Score, x: Tensor) -> Tensor:
    """(N, C, H, W) -> the same: the gradient, of which each ReLU lets only positive parts pass.

    Source: Springenberg et al. 2015, arXiv 1412.6806, section 3.4.
    """
    with guided_relus(network):
        return input_gradients(score, x)


@contextmanager
def guided_relus(network: nn.Module) -> Iterator[None]:
    def clamp(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call]

    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                hooks.callback(module.register_forward_hook(clamp).remove)
        yield


def integrated_gradients(score: Score, x: Tensor, steps: int = 50) -> Tensor:
    """One image (1, C, H, W) -> the same, whose sum is score(x) − score(0).

    The mean of the gradient on the straight line from the mean color, which the network sees as
    0, times the pixels (Sundararajan et al. 2017, arXiv 1703.01365), by Gauss-Legendre
    quadrature.  The steps are doubled, up to MAX_STEPS, while the sum is off by more than
    COMPLETENESS.
    """
    with torch.no_grad():
        difference = float(score(x) - score(torch.zeros_like(x)))
    while True:
        found = line_integral(score, x, steps)
        error = abs(float(found.sum()) - difference)
        if error <= COMPLETENESS * abs(difference) or 2 * steps > MAX_STEPS:
            return found
        steps *= 2


def line_integral(score: Score, x: Tensor, steps: int) -> Tensor:
    nodes, weights = (
        torch.tensor(each, dtype=x.dtype, device=x.device)
        for each in np.polynomial.legendre.leggauss(steps)
    )
    total = torch.zeros_like(x)
    for at, weight in zip(torch.split(nodes, CHUNK), torch.split(weights, CHUNK), strict=True):
        scaled = x * (0.5 + 0.5 * at[:, None, None, None])
        total += (0.5 * weight[:, None, None, None] * input_gradients(score, scaled)).sum(0)
        beat()
    return total * x


def smooth_grad(
    score: Score, x: Tensor, generator: torch.Generator, samples: int = 32, noise: float = 0.15
) -> Tensor:
    """One image (1, C, H, W) -> the same: the mean of the squared gradient of noisy copies.

    noise: its standard deviation, as a fraction of the range of the pixels.  Source: Smilkov et
    al. 2017, arXiv 1706.03825, squared as in Hooker et al. 2019, arXiv 1806.10758.
    """
    total = torch.zeros_like(x)
    scale = noise * float(x.amax() - x.amin())
    for begin in range(0, samples, CHUNK):
        count = min(CHUNK, samples - begin)
        drawn = torch.randn((count, *x.shape[1:]), generator=generator).to(x.device)
        total += input_gradients(score, x + scale * drawn).square().sum(0)
        beat()
    return total / samples


@torch.no_grad()
def occlusion(score: Score, x: Tensor, window: int, stride: int) -> Tensor:
    """One image (1, C, H, W) -> (H, W): by how much the score falls where a square is covered.

    The square of side `window` is of the mean color; a pixel's value is the mean over the
    squares that cover it (Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2).
    """
    height, width = x.shape[2:]
    corners = [
        (stride * row, stride * column)
        for row in range(ceil((height - window) / stride) + 1)
        for column in range(ceil((width - window) / stride) + 1)
    ]
    whole = score(x)
    total, count = x.new_zeros(height, width), x.new_zeros(height, width)
    for begin in range(0, len(corners), CHUNK):
        some = corners[begin : begin + CHUNK]
        covered = x.repeat(len(some), 1, 1, 1)
        for image, (top, left) in zip(covered, some, strict=True):
            image[:, top : top + window, left : left + window] = 0
        for (top, left), drop in zip(some, whole - score(covered), strict=True):
            total[top : top + window, left : left + window] += drop
            count[top : top + window, left : left + window] += 1
        beat()
    return total / count
