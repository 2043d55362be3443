"""Every network of this project by name: GoogLeNet's variants and those it is compared with."""

from __future__ import annotations

import torch

from googlenet.models import sides, table
from googlenet.models.baseline_tables import BASELINES
from googlenet.models.baselines import Baseline
from googlenet.models.cost import NAMES
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import UsageError

Network = GoogLeNet | Baseline


def build_network(
    variant: str,
    classes: int,
    *,
    size: int,
    in_channels: int = 3,
    width: float = 1.0,
    with_aux_heads: bool = True,
    initialization: str | None = "he",
    generator: torch.Generator | None = None,
) -> Network:
    """A network for images of `size` pixels, its weights drawn from `generator`.

    `with_aux_heads` is for the variants that have auxiliary heads; the compared networks have none.
    Raises UsageError for an unknown name and for a size that is too small for the network.
    """
    if variant not in NAMES and not table.is_variant(variant):
        raise UsageError(f"variant must be one of {', '.join(NAMES)}, got {variant!r}")
    if variant in BASELINES:
        return Baseline(
            variant,
            classes,
            in_channels=in_channels,
            size=size,
            width=width,
            initialization=initialization,
            generator=generator,
        )
    network = GoogLeNet(
        variant,
        classes,
        in_channels=in_channels,
        width=width,
        with_aux_heads=with_aux_heads,
        initialization=initialization,
        generator=generator,
    )
    sides.final_side(network.variant, size)
    return network


def default_size(variant: str) -> int:
    """Side of the images for which the network was published."""
    return BASELINES[variant].size if variant in BASELINES else 224


def default_channels(variant: str) -> int:
    """Channels of the images for which the network was published."""
    return BASELINES[variant].in_channels if variant in BASELINES else 3


def has_batch_norm(variant: str) -> bool:
    """Whether the network normalizes its batches.  Raises UsageError for an unknown name."""
    if variant in BASELINES:
        return False
    return isinstance(table.variant(variant).norm, table.BatchNorm)
