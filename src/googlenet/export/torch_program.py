"""`.pt2` files: a program of `torch.export` that runs in PyTorch without this package.

Such a file is a program, and a stranger's can do anything: our own reading runs nothing of it
(`inference.torch_export`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from googlenet.inference.backends.base import Backend
from googlenet.inference.calibration import OODDetector, subspaces
from googlenet.inference.classifier import Classifier
from googlenet.inference.header import KEY
from googlenet.inference.outputs import Outputs
from googlenet.models.fuse import fuse_conv_bn
from googlenet.models.googlenet import GoogLeNet, MaxPool
from googlenet.models.sides import final_side
from googlenet.runtime.first_call import first_call_alone
from googlenet.runtime.watchdog import paused


class ProgramBackend(Backend):
    """A program of `torch.export` at work, as it was written."""

    name = "torch"

    def __init__(self, path: Path, precision: str) -> None:
        """path: a file written by us a moment ago."""
        with warnings.catch_warnings():  # PyTorch 2.10 and 2.11 warn of their own buffer
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            self.program: Callable[..., Any] = torch.export.load(str(path)).module()
        self.precision = precision

    @first_call_alone
    @torch.inference_mode()
    def run(self, x: NDArray[Any]) -> Outputs:
        logits, _, *more = self.program(
            torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
        )
        return Outputs(logits.numpy(), more[0].numpy() if more else None)


def write_pt2(classifier: Classifier, path: Path, header: Mapping[str, Any], bf16: bool) -> None:
    """The network as a program of `torch.export`, for any batch size.

    Height and width are free too where the network's last map has more than one pixel at the
    model's own size: a program is either for maps of one pixel or for larger ones.
    """
    network = fuse_conv_bn(classifier.network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for layer in network.modules():
        if isinstance(layer, MaxPool) and layer.ceil_mode:
            # The same, without a case distinction that a program with free sides cannot have.
            layer.add_module("pad", nn.ConstantPad2d((0, layer.stride - 1) * 2, -torch.inf))
            layer.ceil_mode = False
    size, free = classifier.preprocessing.size, torch.export.Dim.DYNAMIC
    sides = {2: free, 3: free}
    if not isinstance(network, GoogLeNet) or final_side(network.variant, size) == 1:
        sides = {}
    example = torch.zeros(2, network.in_channels, size, size)
    program = Program(classifier, network, torch.bfloat16 if bf16 else torch.float32)
    with paused():  # minutes on a slow machine, without a sign of life
        exported = torch.export.export(program, (example,), dynamic_shapes=({0: free, **sides},))
    with BytesIO() as archive:  # a path would have to end in .pt2
        torch.export.save(exported, archive, extra_files={KEY: json.dumps(header)})
        path.write_bytes(archive.getvalue())


class Program(nn.Module):
    """What is exported: images (N, C, H, W) float32 to what the ONNX graph puts out, float32.

    logits, probabilities, summary (of a GoogLeNet) and score (if there is a threshold for it).
    """

    def __init__(self, classifier: Classifier, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype
        self.multilabel = classifier.multilabel
        calibration = classifier.calibration
        self.temperature = calibration.temperature if calibration else 1.0
        self.ood = calibration and calibration.ood

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = images.to(self.dtype)
        if not isinstance(self.network, GoogLeNet):
            logits = self.network(x).float()
            return logits, self.probabilities(logits)
        maps, features = self.network.features_and_summary(x)
        logits = self.network.classify(maps).float()
        score = (id_scores(logits, features, self.ood),) if self.ood else ()
        return logits, self.probabilities(logits), features, *score

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.multilabel else (logits / self.temperature).softmax(1)


def id_scores(logits: Tensor, features: Tensor, ood: OODDetector) -> Tensor:
    """`OODDetector.id_scores` as operators that can be exported: (N,)."""
    energy = logits.logsumexp(1)
    if not ood.tensors:
        return energy
    bases = [torch.from_numpy(np.array(basis)) for basis in subspaces(ood.tensors)]
    layers = torch.split(features, [len(basis) for basis in bases], 1)
    angles = []
    for layer, basis in zip(layers, bases, strict=True):
        inside = (layer @ basis).square().sum(1)
        fraction = inside / layer.square().sum(1).clamp_min(1e-30)
        angles.append((1 - fraction).clamp_min(0).sqrt())
    return energy - torch.stack(angles, 1) @ torch.from_numpy(np.array(ood.tensors["slopes"]))
