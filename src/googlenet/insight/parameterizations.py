"""What is optimized in place of pixels: a spectrum, its phases, or pixels after all.

Each gives images (N, C, H, W) in [0, 1], RGB or gray, differentiable in `parameters`.  In a
Fourier basis with decorrelated colors all frequencies and colors move alike, where pixels would
give noise (Olah et al. 2017, "Feature Visualization").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

# Principal colors of natural images, by their standard deviations: lucid's constants, of ImageNet
# (lucid/optvis/param/color.py, `color_correlation_svd_sqrt`), divided by their largest norm.
COLORS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLORS = COLORS / COLORS.norm(dim=0).max()
DECAY = 1.25  # of the spectrum with frequency; natural images have about 1
DEVIATION = 0.01  # of a spectrum as drawn: images begin nearly gray


class Parameterization(ABC):
    """Images of `size` pixels a side; each is drawn from its own generator."""

    learning_rate: ClassVar[float]
    parameters: list[Tensor]

    @abstractmethod
    def __init__(self, generators: Sequence[torch.Generator], size: int, channels: int) -> None: ...

    @abstractmethod
    def images(self) -> Tensor:
        """(N, C, H, W) in [0, 1]."""


class Fourier(Parameterization):
    """The spectrum of an image in decorrelated colors, through a sigmoid."""

    learning_rate = 0.05

    def __init__(self, generators: Sequence[torch.Generator], size: int, channels: int) -> None:
        shape = (channels, size, size // 2 + 1, 2)
        drawn = [DEVIATION * torch.randn(shape, generator=generator) for generator in generators]
        self.size = size
        self.spectrum = torch.stack(drawn).requires_grad_()
        self.parameters = [self.spectrum]
        self.scale = spectrum_scale(size, DECAY)[..., None]

    def images(self) -> Tensor:
        return to_colors(from_spectrum(self.spectrum * self.scale, self.size))


class Pixels(Parameterization):
    """Pixels in decorrelated colors, through a sigmoid: for comparison."""

    learning_rate = 0.05

    def __init__(self, generators: Sequence[torch.Generator], size: int, channels: int) -> None:
        shape = (channels, size, size)
        drawn = [DEVIATION * torch.randn(shape, generator=generator) for generator in generators]
        self.values = torch.stack(drawn).requires_grad_()
        self.parameters = [self.values]

    def images(self) -> Tensor:
        return to_colors(self.values)


class Maco(Parameterization):
    """Phases alone, under the amplitudes of natural images, which never change.

    Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
    Constrained Optimization" (arXiv 2306.06805); here the amplitudes are 1/f, not measured.
    """

    learning_rate = 0.2

    def __init__(self, generators: Sequence[torch.Generator], size: int, channels: int) -> None:
        shape = (channels, size, size // 2 + 1)
        drawn = [2 * pi * torch.rand(shape, generator=generator) for generator in generators]
        self.size = size
        self.phases = torch.stack(drawn).requires_grad_()
        self.parameters = [self.phases]
        amplitudes = spectrum_scale(size, 1.0)
        amplitudes[0, 0] = 0  # the mean is gray
        self.amplitudes = amplitudes

    def images(self) -> Tensor:
        spectrum = self.amplitudes[..., None] * torch.stack(
            (self.phases.cos(), self.phases.sin()), -1
        )
        values = from_spectrum(spectrum, self.size)
        deviation = values.std((-3, -2, -1), keepdim=True)
        return to_colors(values / deviation)


PARAMETERIZATIONS: dict[str, type[Parameterization]] = {
    "fourier": Fourier, "pixels": Pixels, "maco": Maco,
}  # fmt: skip


def frequencies(size: int) -> Tensor:
    """Cycles per pixel of each value of a spectrum: (size, size // 2 + 1)."""
    rows, columns = torch.fft.fftfreq(size), torch.fft.rfftfreq(size)
    found: Tensor = (rows[:, None].square() + columns[None, :].square()).sqrt()
    return found


def spectrum_scale(size: int, decay: float) -> Tensor:
    """What makes the spectrum of a white image that of natural ones: f^-decay."""
    found: Tensor = frequencies(size).clamp(min=1 / size).pow(-decay) * (size / 4)
    return found


def from_spectrum(spectrum: Tensor, size: int) -> Tensor:
    """(N, C, size, size // 2 + 1, 2) real and imaginary -> (N, C, size, size)."""
    images: Tensor = torch.fft.irfft2(torch.view_as_complex(spectrum), (size, size))
    return images


def to_colors(values: Tensor) -> Tensor:
    """Decorrelated values -> RGB, or one gray channel, in [0, 1]."""
    if values.shape[1] == 3:
        values = torch.einsum("rc,nchw->nrhw", COLORS.to(values), values)
    return values.sigmoid()
