"""Receptive fields: the pixels that a gradient reaches, and only those."""

from __future__ import annotations

import pytest
import torch

from googlenet import GoogLeNet
from googlenet.insight.receptive_field import receptive_field
from googlenet.models.registry import build_network
from googlenet.models.table import VARIANTS
from googlenet.runtime.errors import UsageError
from tests.insight.networks import each_of, linearized, lively


@pytest.mark.parametrize(("layer", "size"), [("3a", 59), ("3b", 91), ("4a", 171), ("4b", 235)])
def test_the_known_sizes(layer: str, size: int) -> None:
    assert receptive_field(lively("paper"), layer).size == size


@pytest.mark.parametrize("variant", each_of(VARIANTS))
def test_gradients_reach_exactly_the_field(variant: str) -> None:
    original = lively(variant, width=0.02, in_channels=1)
    network = linearized(original)
    assert isinstance(network, GoogLeNet)
    for parameter in network.parameters():
        parameter.data.abs_()  # nothing cancels
    layers = ["conv1", "pool1", "conv2", "3a.5x5", "3a.pool", "3b", "pool3", "4b", "4b.1x1"]
    image = torch.zeros(1, 1, 480, 480, requires_grad=True)
    paths = [layer if layer[0] in "cp" else f"inception_{layer}" for layer in layers]
    with network.tap(*paths) as activations:
        network(image)
    for path, layer in zip(paths, layers, strict=True):
        place = activations[path].shape[-1] // 2
        (gradient,) = torch.autograd.grad(
            activations[path][0, :, place, place].sum(), image, retain_graph=True
        )
        rows = gradient[0, 0].abs().sum(1).nonzero().flatten().tolist()
        field = receptive_field(original, layer)
        assert (field.size, field.offset + field.stride * place) == (len(rows), rows[0]), layer


def test_compared_networks_and_layers_that_see_everything() -> None:
    network = build_network("alexnet", 3, size=96, width=0.05)
    assert receptive_field(network, "conv1") == (11, 4, 0)
    with pytest.raises(UsageError, match="sees the whole image"):
        receptive_field(network, "fc6")
    with pytest.raises(UsageError, match="classifier has no receptive field"):
        receptive_field(lively("bn"), "classifier")
    with pytest.raises(UsageError, match="inception_4a"):
        receptive_field(lively("bn"), "inception4a")
