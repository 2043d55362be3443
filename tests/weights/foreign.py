"""Our networks' weights as somebody else would hold them: their names, their layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from googlenet import GoogLeNet
from googlenet.weights.schemes import SCHEMES, Scheme

BY_NAME = {scheme.name: scheme for scheme in SCHEMES}


def random_network(variant: str) -> GoogLeNet:
    """A network whose every tensor, running statistics included, is drawn anew."""
    network = GoogLeNet(variant)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def foreign_tensors(network: GoogLeNet, scheme: Scheme) -> dict[str, Tensor]:
    state = network.state_dict()
    hwio = scheme.layout == "HWIO"
    return {
        theirs: to_hwio(ours, state[ours]) if hwio else state[ours].clone()
        for ours, theirs in scheme.names(state).items()
    }


def to_hwio(ours: str, tensor: Tensor) -> Tensor:
    """What TensorFlow would hold: kernels HWIO, matrices inputs × outputs, maps flattened HWC."""
    if tensor.ndim == 4:
        return tensor.permute(2, 3, 1, 0).contiguous()
    if ours.endswith(".fc.weight"):
        outputs, inputs = tensor.shape
        chw = tensor.T.reshape(inputs // 16, 4, 4, outputs)
        return torch.stack([chw[:, i // 4, i % 4] for i in range(16)]).reshape(inputs, outputs)
    return tensor.T.contiguous() if tensor.ndim == 2 else tensor.clone()
