"""The network as inference needs it: no heads, batch normalization inside the convolutions."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

from googlenet.models.googlenet import ConvUnit
from googlenet.models.registry import Network


def fuse_conv_bn(network: Network) -> Network:
    """A copy on the CPU, in evaluation mode, that computes the same with fewer layers.

    Auxiliary heads are gone; each batch normalization is part of the convolution before it,
    which then has a bias.  The arithmetic of folding is in double precision, rounded once to
    float32, and the network that is given stays as it is.
    """
    copy = deepcopy(network).cpu().float().eval()
    copy.drop_heads()
    fold_units(copy)
    return copy.requires_grad_(False)


def fold_units(network: nn.Module) -> None:
    """Let each unit's convolution do what the batch normalization after it does, in place."""
    for module in network.modules():
        if isinstance(module, ConvUnit) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv, module.bn = with_norm(module.conv, module.bn), nn.Identity()


def with_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution for a convolution and the batch normalization after it.

    norm(conv(x)) = gain · conv(x) + (shift − gain · mean) with gain = scale / √(variance + eps),
    in double precision, rounded once to the convolution's own.
    """
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    gain = (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        gain = gain * norm.weight.double()
    bias = norm.bias.double() - gain * mean.double()
    if conv.bias is not None:
        bias = bias + gain * conv.bias.double()
    merged = deepcopy(conv)
    weight, dtype = conv.weight.double() * gain[:, None, None, None], conv.weight.dtype
    merged.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    merged.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return merged
