"""torchvision's own network, where it is installed: what one would use instead."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

INSTALL = "pip install --no-deps torchvision==0.28.0"
LIBRARIES: list[torch.library.Library] = []  # a declaration lasts as long as its value


class Missing(Exception):  # noqa: N818 - a peer that is not there is no error
    """A peer that cannot take part, and why."""


def torchvision_network(folder: Path | None) -> nn.Module:
    """torchvision's GoogLeNet with its auxiliary heads, its weights drawn by PyTorch's defaults.

    `folder`: where torchvision is installed, if not beside PyTorch.  Raises Missing.
    """
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    declare_operators()
    try:
        from torchvision.models.googlenet import GoogLeNet
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise Missing(f"torchvision cannot be imported ({reason}): {INSTALL}") from error
    network: nn.Module = GoogLeNet(num_classes=1000, aux_logits=True, init_weights=False)
    return network


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


def logits_of(outputs: Any) -> dict[str, torch.Tensor]:
    """torchvision's outputs in training by our names: its second head is the one on 4d."""
    return {"main": outputs.logits, "4a": outputs.aux_logits1, "4d": outputs.aux_logits2}
