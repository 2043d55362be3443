"""Images that excite units, by gradient ascent: many at once, quickly, for the site's tiles.

After Olah, Mordvintsev, and Schubert 2017, "Feature Visualization", doi 10.23915/distill.00007: an
image is a Fourier spectrum in decorrelated colors, and moves, turns and grows a little at each
step.  What is maximized is taken before the ReLU, behind which many units start with no gradient.
Only the layers up to the one in question are computed.
"""

from __future__ import annotations

from math import cos, radians, sin

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.images.preprocess import Preprocessing
from googlenet.insight.receptive_field import BRANCHES
from googlenet.models.googlenet import GoogLeNet, Inception

DECAY = 1.25  # of the spectrum: frequency f starts and moves with 1 / f^DECAY
RATE = 0.05
SHIFT, SCALE, TURN = 6, 0.08, 6.0  # at most: pixels per 128, a factor, degrees
# The square root of the covariance of the colors of natural images: lucid's param/color.py.
COLORS = (
    (0.26, 0.09, 0.02),
    (0.27, 0.00, -0.05),
    (0.27, -0.09, 0.03),
)


def render(
    network: GoogLeNet, p: Preprocessing, layer: str, directions: Tensor, *,
    side: int, steps: int, seed: int,
) -> Tensor:  # fmt: skip
    """Images for which a layer points in these directions: (N, side, side, channels) uint8, RGB.

    directions: (N, units), such as rows of the identity for single units, or of its opposite.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (len(directions), p.channels, side, side // 2 + 1, 2)
    spectrum = (0.01 * torch.randn(shape, generator=generator)).requires_grad_()
    scale = spectrum_scale(side)
    optimizer = Adam(spectrum, RATE)
    for _ in range(steps):
        images = as_images(spectrum, scale, side)
        moved = F.grid_sample(images, moves(generator, images), "bilinear", "reflection", False)
        maps = before_relu(network, layer, as_input(moved, p))[:, : directions.shape[1]]
        value = torch.einsum("nchw,nc->", maps, directions.to(maps)) / maps[0, 0].numel()
        (gradient,) = torch.autograd.grad(-value, spectrum)
        optimizer.step(gradient)
    with torch.no_grad():
        pixels = as_images(spectrum, scale, side)
    return (255 * pixels).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class Adam:
    """Kingma and Ba 2015, for one tensor."""

    def __init__(self, tensor: Tensor, rate: float) -> None:
        self.tensor, self.rate, self.count = tensor, rate, 0
        self.mean, self.square = torch.zeros_like(tensor), torch.zeros_like(tensor)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        self.count += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.lerp_(gradient.square(), 0.001)
        mean = self.mean / (1 - 0.9**self.count)
        square = self.square / (1 - 0.999**self.count)
        self.tensor -= self.rate * mean / (square.sqrt() + 1e-8)


def spectrum_scale(side: int) -> Tensor:
    """(side, side // 2 + 1, 1): by what each frequency is multiplied."""
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / side)
    scale: Tensor = side / 4 * frequency**-DECAY
    return scale[:, :, None]


def as_images(spectrum: Tensor, scale: Tensor, side: int) -> Tensor:
    """(N, channels, side, side // 2 + 1, 2) -> (N, channels, side, side), RGB from 0 to 1."""
    planes = torch.fft.irfft2(torch.view_as_complex(spectrum * scale), s=(side, side))
    if planes.shape[1] == 3:
        colors = torch.tensor(COLORS)
        planes = torch.einsum("nchw,dc->ndhw", planes, colors / colors.norm(dim=1).max())
    return torch.sigmoid(planes)


def moves(generator: torch.Generator, images: Tensor) -> Tensor:
    """A place of each pixel, (N, H, W, 2): each image a little shifted, turned and scaled."""
    count, side = len(images), images.shape[-1]
    draws = 2 * torch.rand(count, 4, generator=generator) - 1
    shifts = draws[:, :2] * 2 * SHIFT / 128
    matrices = torch.zeros(count, 2, 3)
    for matrix, shift, (scale, turn) in zip(matrices, shifts, draws[:, 2:].tolist(), strict=True):
        factor, angle = 1 + SCALE * scale, radians(TURN * turn)
        matrix[0, 0] = matrix[1, 1] = factor * cos(angle)
        matrix[0, 1], matrix[1, 0] = -factor * sin(angle), factor * sin(angle)
        matrix[:, 2] = shift
    return F.affine_grid(matrices, [count, 1, side, side], False)


def as_input(images: Tensor, p: Preprocessing) -> Tensor:
    """RGB from 0 to 1 -> what the network sees."""
    if p.channel_order == "BGR":
        images = images.flip(1)
    mean, scale = (torch.tensor(values)[:, None, None] for values in (p.mean, p.scale))
    return ((255 * images - mean) * scale).contiguous(memory_format=torch.channels_last)


def before_relu(network: GoogLeNet, layer: str, x: Tensor) -> Tensor:
    """A layer's maps before its ReLUs, no later layer computed: (N, units, h, w)."""
    for name in network.trunk[: network.trunk.index(layer)]:
        x = getattr(network, name)(x)
    module = getattr(network, layer)
    names = last_layers(module) if isinstance(module, Inception) else [""]
    known = network.tap_names()
    paths = [f"{layer}.{name}" if name else layer for name in names]
    taps = [f"{path}:pre" if f"{path}:pre" in known else path for path in paths]
    with network.tap(*taps) as maps:
        module(x)
    return torch.cat([maps[tap] for tap in taps], 1)


def last_layers(module: Inception) -> list[str]:
    """The layers whose outputs are side by side in the module's."""
    return [
        [name for name in chain if not isinstance(module[name], nn.Identity)][-1]
        for chain in BRANCHES.values()
    ]
