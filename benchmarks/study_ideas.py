"""Ideas that the study tries and the package does not have: changed networks, mostly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.images.augment import Augmentation, HorizontalFlip, RandomResizedCrop
from googlenet.images.turbo_jpeg import DecodedImage, as_pillow
from googlenet.models.googlenet import GoogLeNet, Inception
from googlenet.models.lrn import LocalResponseNorm
from googlenet.models.registry import Network
from googlenet.training.loop import Trainer
from googlenet.training.muon import Muon
from googlenet.training.optimizer import build_optimizer
from googlenet.training.recipe import Recipe
from googlenet.training.schedule import SCHEDULES


class Voters(nn.Module):
    """A network that answers with its heads too: the sum of the logits by weight."""

    def __init__(self, network: GoogLeNet, weights: dict[str, float]) -> None:
        super().__init__()
        self.network, self.weights = network, weights

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network.forward_heads(x)
        total = torch.stack([logits[name] * weight for name, weight in self.weights.items()])
        return total.sum(0) / sum(self.weights.values())


def newton_schulz(steps: int) -> Callable[[Network, Recipe], torch.optim.Optimizer]:
    """Muon with so many steps of its iteration."""

    def build(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
        optimizer = build_optimizer(network, recipe)
        for group in optimizer.param_groups:
            group["steps"] = steps
        return optimizer

    return build


class EachFilter(Muon):
    """Muon that turns each filter, and not a layer's filters as a whole, by one angle.

    Where a layer has more filters than inputs, the rows of an orthogonal matrix are of unlike
    length, and so are then the steps of its filters; batch normalization is by the filter.
    """

    @staticmethod
    def rotate_(filters: Tensor, direction: Tensor, radians: float) -> None:
        step = direction.reshape(filters.shape)
        norm = lengths(filters)
        filters.sub_(step * (radians * norm / (lengths(step) + 1e-12)))
        filters.mul_(norm / (lengths(filters) + 1e-12))


def lengths(filters: Tensor) -> Tensor:
    """Of each of (F, C, h, w) filters: (F, 1, 1, 1)."""
    return filters.square().sum((1, 2, 3), keepdim=True).sqrt()


def each_filter(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    optimizer = build_optimizer(network, recipe)
    optimizer.__class__ = EachFilter
    return optimizer


def cosine_stem(network: Network) -> None:
    """Filters of conv1 that begin as cosines of low frequency in gray and two colors, ±.

    Those are nearly what the principal components of small pieces of images are; with batch
    normalization after them they are a whitening (Jordan 2024, arXiv 2404.00498, learns such
    filters from the images).
    """
    at = (torch.arange(7) + 0.5) * torch.pi / 7
    waves = torch.stack([torch.cos(frequency * at) for frequency in range(7)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    order = sorted(
        ((i, j) for i in range(7) for j in range(7)), key=lambda f: (f[0] ** 2 + f[1] ** 2, f)
    )
    colors = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]])
    colors = colors / colors.norm(dim=1, keepdim=True)
    filters = [
        colour[:, None, None] * waves[i][:, None] * waves[j]
        for colour, count in zip(colors, (16, 8, 8), strict=True)
        for i, j in order[:count]
    ]
    bank = torch.stack(filters)
    conv = network.conv1.conv
    norm = conv.weight.norm()
    with torch.no_grad():
        conv.weight.copy_(torch.cat([bank, -bank]))
        conv.weight.mul_(norm / conv.weight.norm())


def orthogonal_filters(network: Network) -> None:
    """Every bank of filters begins orthogonal, as Muon's steps are, at the norm that it had."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            norm = module.weight.detach().norm()
            nn.init.orthogonal_(module.weight)
            with torch.no_grad():
                module.weight.mul_(norm / module.weight.norm())


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


class Gate(nn.Module):
    """Weigh channels by what the whole map shows (squeeze and excitation, Hu et al. 2018,
    1709.01507); each weight is 1 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 16)
        self.excite = nn.Linear(channels // 16, channels)
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)

    def forward(self, x: Tensor) -> Tensor:
        gate = 2 * self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]


def gated(network: Network) -> None:
    """A gate after every Inception module."""
    for name, module in list(network.named_children()):
        if isinstance(module, Inception):
            channels = sum(
                module[branch].conv.out_channels for branch in ("1x1", "3x3", "5x5", "pool_proj")
            )
            setattr(network, name, nn.Sequential(module, Gate(channels)))


def without_lrn(network: Network) -> None:
    for name, layer in list(network.named_children()):
        if isinstance(layer, LocalResponseNorm):
            setattr(network, name, nn.Identity())


# The width at which modules without reductions cost what those with them do, at 64 px.
EQUAL_WIDTH = 0.352


def fully_connected(network: Network) -> None:
    """A hidden layer of 1,024 units on the whole last map in place of its mean.

    For 64 px, where that map is 2×2; the network's dropout comes before the last layer.
    """
    network.avgpool, dropout, network.dropout = nn.Identity(), network.dropout, nn.Identity()
    last = nn.Linear(1024, network.classes)
    network.classifier = nn.Sequential(nn.Linear(4 * 1024, 1024), nn.ReLU(), dropout, last)
    for layer in (network.classifier[0], last):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


class Alternating(Augmentation):
    """Each image mirrored in every other epoch, which one by chance (Jordan 2024, 2404.00498)."""

    def __call__(
        self, image: DecodedImage, epoch: int, index: int, side: int | None = None
    ) -> DecodedImage:
        rest = Augmentation(
            tuple(s for s in self.steps if not isinstance(s, HorizontalFlip)), self.seed
        )
        found = rest(image, epoch, index, side)
        flipped = HorizontalFlip().sample(np.random.default_rng((self.seed, index))) ^ (
            epoch % 2 == 1
        )
        return ImageOps.mirror(as_pillow(found)) if flipped else found


class Gentle(Augmentation):
    """Crops of half of the image at least in the last of five epochs."""

    def __call__(
        self, image: DecodedImage, epoch: int, index: int, side: int | None = None
    ) -> DecodedImage:
        crop, *rest = self.steps
        assert isinstance(crop, RandomResizedCrop)
        scale = (0.5, 1.0) if epoch >= 4 else crop.scale
        steps = (replace(crop, scale=scale), *rest)
        return Augmentation(steps, self.seed)(image, epoch, index, side)


def trapezium(epoch: float, epochs: float) -> float:
    """The full rate for half of the run, then linearly down to nothing."""
    return max(0.0, min(1.0, 2 * (1 - epoch / epochs)))


SCHEDULES["trapezium"] = trapezium


def falling_heads(trainer: Trainer) -> None:
    """The heads' weight, from twice the recipe's down to nothing in even steps."""
    left = 1 - trainer.step / trainer.steps
    trainer.recipe = replace(trainer.recipe, aux_loss_weight=max(1e-6, 0.6 * left))


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
