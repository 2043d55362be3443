"""What one would use instead, where it is installed, and plain PyTorch where it is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from googlenet.models.googlenet import GoogLeNet

INSTALL = "pip install --no-deps torchvision==0.28.0"
INSTALL_TIMM = "pip install timm"
LIBRARIES: list[torch.library.Library] = []  # a declaration lasts as long as its value

Forward = Callable[[Tensor], dict[str, Tensor]]


class Missing(Exception):  # noqa: N818 - a missing peer is not an error
    """A peer that cannot take part, and why."""


@dataclass(frozen=True)
class Reference:
    """The network to which ratios are: its name, and a fresh one each time."""

    name: str
    build: Callable[[], nn.Module]

    @property
    def base(self) -> str:
        return f"{self.name}, eager fp32"


def reference(folder: Path | None, skipped: dict[str, str]) -> Reference:
    """torchvision's network; where it is missing, and `skipped` says so, the same in plain PyTorch.

    `folder`: where torchvision is installed, if not beside PyTorch.
    """
    try:
        torchvision_network(folder)
    except Missing as missing:
        skipped["torchvision"] = str(missing)
        return Reference("plain PyTorch", PlainNetwork)
    return Reference("torchvision", lambda: torchvision_network(folder))


def torchvision_network(folder: Path | None) -> nn.Module:
    """torchvision's GoogLeNet with its auxiliary heads, its weights drawn by PyTorch's defaults.

    `folder`: where torchvision is installed, if not beside PyTorch.  Raises Missing.
    """
    find_in(folder)
    declare_operators()
    try:
        from torchvision.models.googlenet import GoogLeNet
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise Missing(f"torchvision cannot be imported ({reason}): {INSTALL}") from error
    network: nn.Module = GoogLeNet(num_classes=1000, aux_logits=True, init_weights=False)
    return network


def timm_network(folder: Path | None) -> nn.Module:
    """timm's nearest network, Inception v3, for inference.  Raises Missing."""
    find_in(folder)
    declare_operators()
    try:
        import timm

        network: nn.Module = timm.create_model("inception_v3", pretrained=False, num_classes=1000)
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise Missing(f"timm cannot be imported ({reason}): {INSTALL_TIMM}") from error
    return network.eval()


def counted_macs(network: nn.Module, size: int) -> int:
    """Multiply-adds per image, by PyTorch's own counter: for a network that is not ours."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2


class PlainNetwork(nn.Module):
    """The layers of torchvision's network in PyTorch's own operators, none of our kernels.

    (N, 3, H, W) -> logits, in training by head.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = GoogLeNet("torchvision", 1000)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        return self.network.forward_heads(x) if self.training else self.network(x)


def find_in(folder: Path | None) -> None:
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))


def declare_operators() -> None:
    """Declare the compiled operators for which torchvision registers Python code when imported.

    Its wheel from PyPI is compiled for CUDA and loads none beside a CPU build of PyTorch; the
    network needs none of them.
    """
    if "torchvision" in sys.modules or LIBRARIES:
        return
    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    LIBRARIES.append(library)


def peer_forward(network: nn.Module) -> Forward:
    """A reference's logits in training by our names of the heads."""
    return lambda x: logits_of(network(x))


def logits_of(outputs: Any) -> dict[str, torch.Tensor]:
    """torchvision's outputs in training by our names: its second head is the one on 4d."""
    if isinstance(outputs, dict):
        return outputs
    return {"main": outputs.logits, "4a": outputs.aux_logits1, "4d": outputs.aux_logits2}
