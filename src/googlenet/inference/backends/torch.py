"""PyTorch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from googlenet.images.preprocess import Preprocessing
from googlenet.inference.backends.base import Backend, Pixels
from googlenet.inference.outputs import Outputs
from googlenet.kernels.optimize import InferenceNetwork, optimize_for_inference
from googlenet.kernels.tensor_views import has_hooks
from googlenet.models.baselines import Baseline
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.first_call import first_call_alone


class TorchBackend(Backend):
    """A network in PyTorch, run in its form for inference: `kernels.optimize_for_inference`.

    network: the plain network; it may be tapped, changed and trained.
    """

    name = "torch"
    network: Network

    def __init__(self, network: Network, device: ComputeDevice | None = None) -> None:
        self.network = network
        self.device = device or ComputeDevice()
        self.precision = "bf16" if self.device.bf16 else "fp32"
        self.fast: InferenceNetwork | None = None
        self.fast_of: list[tuple[int, int]] = []  # the weights that it was made from
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
        network = self.optimized()
        with self.device.autocast() if network is self.network else nullcontext():
            if isinstance(network, Baseline):
                return Outputs(network(x).float().cpu().numpy())
            maps, features = network.features_and_summary(x)
            logits = network.classify(maps).float()
        assert isinstance(self.network, GoogLeNet)
        return Outputs(logits.cpu().numpy(), features.cpu().numpy(), self.network.ood_widths)

    def optimized(self) -> Network | InferenceNetwork:
        """The network's form for inference, made anew once the weights have changed.

        The network itself while it trains or is tapped, and for a baseline.
        """
        network = self.network
        if isinstance(network, Baseline) or network.training or has_hooks(network):
            return network
        weights = [(id(t), 0 if t.is_inference() else t._version) for t in tensors_of(network)]
        if self.fast is None or self.fast_of != weights:
            with torch.inference_mode(False):
                self.fast = optimize_for_inference(network, precision=self.precision)
            self.fast_of = weights
        return self.fast


def tensors_of(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
