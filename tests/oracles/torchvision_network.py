"""Saves torchvision's own GoogLeNet, and runs it.

python torchvision_network.py FOLDER PACKAGES: reads FOLDER/photos.npy, writes FOLDER/model.pth (the
state dict, by torch.save) and FOLDER/expected.npz with the logits and probabilities of each
classifier.  PACKAGES is the folder in which torchvision is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from topology import Draw, Floats
from torch import Tensor, nn

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def declare_operators() -> torch.library.Library:
    """Declare the compiled operators for which torchvision registers Python code when imported.

    They do not load beside a CPU build of PyTorch; the network needs none of them.  They are
    declared for as long as the value returned lives.
    """
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def randomise(network: nn.Module) -> None:
    """Weights in which every tensor of batch normalization matters."""
    draw = Draw(4)

    def fill(target: Tensor, values: Floats) -> None:
        target.data.copy_(torch.from_numpy(values).view_as(target))

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            last = name in ("fc", "aux1.fc2", "aux2.fc2")
            shape = layer.weight.shape
            fill(layer.weight, draw.weight(shape, layer.weight[0].numel(), 1.0 if last else 1.4))
            if layer.bias is not None:
                fill(layer.bias, draw.around(0, 0.5, shape[0]))
        if isinstance(layer, nn.BatchNorm2d):
            count = layer.num_features
            assert layer.running_mean is not None
            assert layer.running_var is not None
            fill(layer.weight, draw.around(1, 0.5, count))
            fill(layer.bias, draw.around(0.1, 0.3, count))
            fill(layer.running_mean, draw.around(0, 0.3, count))
            fill(layer.running_var, draw.around(1.3, 0.8, count))


@torch.inference_mode()
def outputs(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Logits of every classifier; in evaluation the network itself leaves its heads out."""
    maps: dict[str, Tensor] = {}
    for at in ("4a", "4d"):
        layer = network.get_submodule(f"inception{at}")
        layer.register_forward_hook(lambda _m, _i, out, at=at: maps.__setitem__(at, out))
    main = network(x)
    heads = {"4a": network.aux1(maps["4a"]), "4d": network.aux2(maps["4d"])}  # type: ignore[operator]
    return {"main": main} | heads


def main(folder: Path, packages: str) -> None:
    library = declare_operators()
    sys.path.append(packages)
    from torchvision.models import googlenet

    network = googlenet(weights=None, transform_input=True, init_weights=False).eval()
    randomise(network)
    torch.save(network.state_dict(), folder / "model.pth")

    photos = torch.from_numpy(np.load(folder / "photos.npy")).permute(0, 3, 1, 2)
    found = outputs(network, (photos / 255 - MEAN) / STD)
    values: dict[str, Any] = {f"logits_{at}": each.numpy() for at, each in found.items()}
    values |= {f"probabilities_{at}": each.softmax(1).numpy() for at, each in found.items()}
    np.savez(folder / "expected.npz", **values)
    del library


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
