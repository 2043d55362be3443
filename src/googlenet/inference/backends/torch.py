"""PyTorch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.images.preprocess import Preprocessing
from googlenet.inference.backends.base import Backend, Pixels
from googlenet.inference.outputs import Outputs
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.first_call import first_call_alone


class TorchBackend(Backend):
    """A network in PyTorch.

    network: the plain network; it may be tapped, changed and trained.
    """

    name = "torch"

    network: Network

    def __init__(self, network: Network, device: ComputeDevice | None = None) -> None:
        self.network = network
        self.device = device or ComputeDevice()
        self.precision = "bf16" if self.device.bf16 else "fp32"
        network.to(device=self.device.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, x: NDArray[Any]) -> Outputs:
        return self.compute(torch.from_numpy(x).to(self.device.device))

    def outputs(self, pixels: Sequence[Pixels], preprocessing: Preprocessing) -> Outputs:
        images = torch.from_numpy(np.asarray(pixels)).to(self.device.device)
        return self.compute(preprocessing.normalize(images))

    @first_call_alone
    @torch.inference_mode()
    def compute(self, x: Tensor) -> Outputs:
        """(N, C, H, W) normalized, on the device."""
        with self.device.autocast():
            if not isinstance(self.network, GoogLeNet):
                return Outputs(self.network(x).float().cpu().numpy())
            maps, features = self.network.features_and_summary(x)
            logits = self.network.classify(maps).float()
        return Outputs(logits.cpu().numpy(), features.cpu().numpy(), self.network.ood_widths)
