"""Attributions against captum and torchcam, and against what they must add up to."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from googlenet.insight import attribution, cam
from googlenet.insight.attribution import class_score
from googlenet.models.registry import Network, build_network
from googlenet.runtime.errors import UsageError
from tests.fixtures import slow
from tests.insight.networks import lively

captum = pytest.importorskip("captum.attr")

SIDE = 64


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


def inputs(images: int = 1, channels: int = 3, side: int = SIDE) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(images, channels, side, side, generator=generator)


def network_of(variant: str, side: int = SIDE) -> Network:
    if variant in ("bn", "paper", "google2014", "naive"):
        return lively(variant)
    generator = torch.Generator().manual_seed(2)
    return build_network(variant, 4, size=side, width=0.1, generator=generator).eval()


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-6 of the largest value."""
    expected = expected.detach()
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize(
    "variant", ["bn", "paper", slow("google2014"), slow("naive"), slow("vgg16")]
)
def test_gradients_are_captum_s(variant: str) -> None:
    network, x = network_of(variant), inputs(2)
    score = class_score(network, 2)
    saliency = captum.Saliency(network).attribute(x.clone(), target=2, abs=False)
    close(attribution.input_gradients(score, x), saliency)


@pytest.mark.parametrize("variant", [slow("bn"), "paper", slow("vgg16")])
def test_guided_backprop_is_captum_s(variant: str) -> None:
    network, x = network_of(variant), inputs()
    expected = captum.GuidedBackprop(network).attribute(x.clone(), target=1)
    close(attribution.guided_backprop(network, class_score(network, 1), x), expected)


@pytest.mark.parametrize("variant", ["bn", "paper"])
def test_the_integral_is_captum_s_and_complete(variant: str) -> None:
    network, x = network_of(variant), inputs()
    score = class_score(network, 3)
    expected = captum.IntegratedGradients(network).attribute(
        x, target=3, n_steps=20, method="gausslegendre"
    )
    close(attribution.line_integral(score, x, 20), expected)
    with torch.no_grad():
        difference = float(score(x) - score(torch.zeros_like(x)))
    total = float(attribution.integrated_gradients(score, x).sum())
    assert total == pytest.approx(difference, rel=0.01)


def test_occlusion_is_captum_s() -> None:
    network, x = deepcopy(network_of("bn")).double(), inputs(side=40).double()
    expected = captum.Occlusion(network).attribute(
        x, target=0, sliding_window_shapes=(3, 12, 12), strides=(3, 7, 7), baselines=0
    )
    found = attribution.occlusion(class_score(network, 0), x, 12, 7)
    close(found.float(), expected[0, 0])


@pytest.mark.parametrize(
    ("variant", "layer"),
    [("bn", "inception_5b"), slow("paper", "inception_4e"), slow("vgg16", "conv5_3")],
)
def test_grad_cam_is_captum_s(variant: str, layer: str) -> None:
    network, x = network_of(variant), inputs()
    expected = captum.LayerGradCam(network, network.get_submodule(layer)).attribute(x, target=1)
    found = attribution.grad_cam(network, class_score(network, 1), x, layer)
    close(found, expected[:, 0].relu())


def test_grad_cam_and_cam_are_torchcam_s() -> None:
    methods = pytest.importorskip("torchcam.methods")
    network, x = network_of("bn"), inputs(side=96)
    with methods.GradCAM(network, "inception_5b") as extractor:
        (expected,) = extractor(2, network(x), normalized=False)
    found = attribution.grad_cam(network, class_score(network, 2), x, "inception_5b")
    assert torch.equal(found, expected.detach())
    with methods.CAM(network, "inception_5b", "classifier") as extractor:
        network(x)
        (expected,) = extractor(2, normalized=False)
    torch.testing.assert_close(cam.cam(network, x, 2), expected.detach())


@pytest.mark.parametrize("variant", ["bn", "nin"])
def test_a_class_activation_map_makes_the_logit_and_differences_of_it(variant: str) -> None:
    network, x = network_of(variant, 224), inputs(side=224 if variant == "nin" else SIDE)
    with torch.no_grad():
        one, other = cam.cam(network, x, 1), cam.cam(network, x, 2)
        torch.testing.assert_close(cam.cam(network, x, 1, 2), one - other)
        logits = network(x)[0]
        bias = network.get_parameter("classifier.bias") if variant == "bn" else torch.zeros(4)
    torch.testing.assert_close(one.mean() + bias[1], logits[1], rtol=1e-4, atol=1e-5)


def test_against_is_a_difference_of_logits_and_heads_have_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    network = build_network("paper", 4, size=96, width=0.05, generator=generator).eval()
    x = inputs(side=96)
    gradients = [
        attribution.input_gradients(class_score(network, target, against, "4d"), x)
        for target, against in ((1, None), (3, None), (1, 3))
    ]
    close(gradients[2], gradients[0] - gradients[1])
    head = network.forward_heads(x)["4d"][:, 1]
    assert torch.equal(class_score(network, 1, None, "4d")(x), head)


def test_noise_is_drawn_by_the_seed_and_its_average_does_not_depend_on_chunks() -> None:
    network, x = network_of("bn"), inputs(side=32)
    score = class_score(network, 1)
    same = [
        attribution.smooth_grad(score, x, torch.Generator().manual_seed(seed), samples=20)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])
    without = attribution.smooth_grad(score, x, torch.Generator(), samples=20, noise=0.0)
    close(without, attribution.input_gradients(score, x).square())


@pytest.mark.parametrize("layer", ["classifier", "aux_4a.conv"])
def test_layers_without_maps_of_this_head_are_refused(layer: str) -> None:
    generator = torch.Generator().manual_seed(0)
    network = build_network("paper", 4, size=64, width=0.05, generator=generator).eval()
    with pytest.raises(UsageError, match="layer must"):
        attribution.grad_cam(network, class_score(network, 0), inputs(), layer)
    assert not any(module._forward_hooks for module in network.modules())
