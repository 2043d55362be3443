"""How the weights begin, drawn from one generator so that a seed gives the same network."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.utils import skip_init

from googlenet.runtime.errors import UsageError

Initialization = Callable[[nn.Module, torch.Generator | None], None]
Layer = TypeVar("Layer", bound=nn.Module)


def skip_init_layer(kind: type[Layer], *args: Any, **kwargs: Any) -> Layer:
    """A layer with uninitialized weights: no time lost, no global random state used.

    It lies on PyTorch's default device, like every other layer made beside it.
    """
    device = torch.get_default_device()
    return cast(Layer, skip_init(kind, *args, device=device, **kwargs))  # type: ignore[no-untyped-call]


def he(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Normal with variance 2/fan_in before a ReLU, which keeps the signal through 22 layers.

    Source: He et al. 2015, arXiv 1502.01852, equation 10.  The last layer of each classifier
    starts small, so that its first loss is ln(classes).
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            std = 0.01 if is_classifier(name) else sqrt(2 / fan_in)
            nn.init.normal_(layer.weight, std=std, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def bvlc(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Uniform on ±√(3/fan_in), biases 0.2, classifiers' biases 0.

    Source: BVLC's released train_val.prototxt ("xavier" filler, which in Caffe takes fan_in).
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.0 if is_classifier(name) else 0.2)


def is_classifier(name: str) -> bool:
    """Whether a layer of that name gives logits: "classifier", "aux_4a.classifier"."""
    return name.split(".")[-1] == "classifier"


INITIALIZATIONS: dict[str, Initialization] = {"he": he, "bvlc": bvlc}


def initialize(network: nn.Module, name: str | None, generator: torch.Generator | None) -> None:
    """Draw every weight in the manner of that name, or none for None.

    Raises UsageError for an unknown name.
    """
    if name is None:
        return
    if name not in INITIALIZATIONS:
        known = ", ".join(INITIALIZATIONS)
        raise UsageError(f"initialization must be one of {known}, got {name!r}")
    INITIALIZATIONS[name](network, generator)
