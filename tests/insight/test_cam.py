"""Class activation maps against autograd and against the logits that they explain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from googlenet.insight.cam import class_activation_maps, last_map
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import build_network
from tests.fixtures import tiny_classifier


def network_and_maps(variant: str, size: int) -> tuple[GoogLeNet, Tensor, Tensor, Tensor]:
    """A network, its logits of two images, and their maps of all three classes."""
    generator = torch.Generator().manual_seed(3)
    network = build_network(variant, 3, size=size, width=0.05, generator=generator).eval()
    assert isinstance(network, GoogLeNet)
    photos = torch.randn(2, 3, size, size, generator=generator)
    with last_map(network) as seen:
        logits = network(photos)
    (features,) = seen.values()
    classes = torch.arange(3).expand(2, 3)
    return network, logits, features, class_activation_maps(features, network.classifier, classes)


@pytest.mark.parametrize(("variant", "size"), [("bn", 64), ("paper", 224), ("google2014", 96)])
def test_mean_and_bias_make_the_logit(variant: str, size: int) -> None:
    network, logits, features, maps = network_and_maps(variant, size)
    assert maps.shape == (2, 3, *features.shape[2:])
    rebuilt = maps.mean((2, 3)) + network.classifier.bias
    torch.testing.assert_close(rebuilt, logits, rtol=1e-4, atol=1e-5)


def test_equals_grad_cam() -> None:
    """Selvaraju et al. 2017, section 3.1: for this head Grad-CAM generalizes CAM, by autograd."""
    _, logits, features, maps = network_and_maps("bn", 96)
    places = features.shape[2] * features.shape[3]
    for k in range(3):
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), features, retain_graph=True)
        weights = gradient.mean((2, 3), keepdim=True)  # the classifier's row, over the places
        grad_cam = places * (weights * features).sum(1)
        torch.testing.assert_close(maps[:, k], grad_cam, rtol=1e-4, atol=1e-6)


def test_classes_differ_from_image_to_image() -> None:
    network, _, features, maps = network_and_maps("bn", 64)
    chosen = class_activation_maps(features, network.classifier, torch.tensor([[2], [0]]))
    torch.testing.assert_close(chosen[:, 0], torch.stack([maps[0, 2], maps[1, 0]]))


def test_nothing_is_left_behind_or_changed() -> None:
    network = tiny_classifier().network
    photo = torch.randn(1, 3, 32, 32)
    before = network(photo)
    with last_map(network) as seen:
        assert torch.equal(network(photo), before)
    (kept,) = seen.values()
    network(torch.randn(1, 3, 32, 32))
    assert torch.equal(next(iter(seen.values())), kept)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("other", [None, torch.nn.Linear(3, 2), "an engine"])
def test_without_the_head_there_is_no_map(other: object) -> None:
    with last_map(other) as seen:
        if isinstance(other, torch.nn.Module):
            other(torch.zeros(1, 3))
    assert seen == {}
