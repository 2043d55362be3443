"""Images that excite units: they do, and what is computed of a layer is what the network has."""

from __future__ import annotations

import pytest
import torch

from googlenet.images.preprocess import Preprocessing
from googlenet.insight.microscope.rendering import as_input, before_relu, render
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import build_network
from tests.fixtures import tiny_classifier

LAYERS = ("conv2", "inception_3a", "inception_5b")


def network_of(variant: str, channels: int = 3) -> GoogLeNet:
    generator = torch.Generator().manual_seed(1)
    network = build_network(
        variant, 3, size=64, in_channels=channels, width=0.05, generator=generator
    )
    assert isinstance(network, GoogLeNet)
    return network.eval()


@pytest.mark.parametrize("variant", ["bn", "paper", "google2014", "naive"])
def test_before_the_relu(variant: str) -> None:
    """A ReLU later it is the layer's output; a naive module's pool has none, and no negatives."""
    network = network_of(variant)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for layer in LAYERS:
            with network.tap(layer) as maps:
                network(x)
            found = before_relu(network, layer, x)
            assert found.min() < 0
            torch.testing.assert_close(found.relu(), maps[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_unit_is_excited_and_its_opposite_inhibited(channels: int) -> None:
    network = network_of("bn", channels)
    gray = Preprocessing(size=64, resize_size=64, channel_order="L", mean=(117.0,), scale=(0.02,))
    p = gray if channels == 1 else tiny_classifier(size=64).preprocessing
    eye = torch.eye(before_relu(network, "inception_3a", torch.zeros(1, channels, 64, 64)).shape[1])
    means = {}
    for steps, sign in ((0, 1), (24, 1), (24, -1)):
        images = render(network, p, "inception_3a", sign * eye[:4], side=64, steps=steps, seed=0)
        assert images.shape == (4, 64, 64, channels)
        assert images.dtype == torch.uint8
        with torch.inference_mode():
            inputs = as_input(images.permute(0, 3, 1, 2) / 255, p)
            maps = before_relu(network, "inception_3a", inputs)
        means[steps, sign] = maps.mean((2, 3)).diagonal()
    assert means[24, 1].sum() > means[0, 1].sum() + 1
    assert means[24, -1].sum() < means[0, 1].sum() - 1


def test_same_seed_same_bits() -> None:
    network, p = network_of("bn"), tiny_classifier(size=64).preprocessing
    directions = torch.eye(5)[:2]
    first, again, other = (
        render(network, p, "inception_3a", directions, side=48, steps=3, seed=seed)
        for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
