"""Folding: fewer layers, the same numbers, in double precision against PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from googlenet.models.cost import NAMES
from googlenet.models.fuse import fuse_conv_bn, with_norm
from googlenet.models.registry import Network, build_network, default_channels
from tests.fixtures import disturb_norms

SMALL = {"alexnet": 96, "vgg16": 64}


def lively(variant: str) -> tuple[Network, torch.Tensor]:
    """A network in which every number of batch normalization matters, and images for it."""
    size, channels = SMALL.get(variant, 64), default_channels(variant)
    generator = torch.Generator().manual_seed(1)
    network = build_network(
        variant, 5, size=size, in_channels=channels, width=0.05, generator=generator
    ).eval()
    disturb_norms(network, generator)
    return network, torch.randn(2, channels, size, size, generator=generator)


@pytest.mark.parametrize("variant", NAMES)
def test_folded_network_computes_the_same(variant: str) -> None:
    network, photos = lively(variant)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        expected, found = network(photos), fuse_conv_bn(network)(photos)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fuse_conv_bn(network).modules())
    assert not fuse_conv_bn(network).aux_heads
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_folding_is_pytorch_s_own() -> None:
    """`fuse_conv_bn_eval` folds in float32; in float64 it is an oracle for ours."""
    torch.manual_seed(2)
    conv, norm = nn.Conv2d(5, 7, 3), nn.BatchNorm2d(7).eval()
    norm.running_mean, norm.running_var = torch.randn(7), torch.rand(7) + 0.1
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    ours = with_norm(conv, norm)
    theirs = fuse_conv_bn_eval(conv.double().eval(), norm.double())
    assert ours.bias is not None
    assert theirs.bias is not None
    torch.testing.assert_close(ours.weight, theirs.weight.float(), rtol=1e-7, atol=0)
    torch.testing.assert_close(ours.bias, theirs.bias.float(), rtol=1e-6, atol=1e-7)
