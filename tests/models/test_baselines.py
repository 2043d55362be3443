"""The compared networks answer like GoogLeNet, at any size, width and number of channels."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from googlenet.cli import main
from googlenet.models.baseline_tables import ALEXNET, BASELINES, CAFFE_LRN, architecture
from googlenet.models.baselines import Baseline
from googlenet.models.cost import NAMES
from googlenet.models.registry import build_network, default_channels, default_size
from googlenet.runtime.errors import UsageError

# The smallest images whose every map has a pixel, by the networks' own strides and kernels.
SMALLEST = {"lenet5": 13, "alexnet": 39, "nin": 39, "vgg16": 1}
NARROW = 0.0625


def narrow(
    name: str,
    classes: int | None = None,
    *,
    size: int | None = None,
    in_channels: int | None = None,
) -> Baseline:
    generator = torch.Generator().manual_seed(3)
    network = Baseline(
        name, classes, size=size, in_channels=in_channels, width=NARROW, generator=generator
    )
    return network.eval()


@pytest.mark.parametrize("name", BASELINES)
def test_networks_that_take_one_size_alone_say_so(name: str) -> None:
    network = narrow(name)
    larger = torch.zeros(1, network.in_channels, network.size + 32, network.size + 32)
    if network.fixed:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            network(larger)
    else:
        assert network(larger).shape == (1, network.classes)


@pytest.mark.parametrize("name", BASELINES)
def test_built_as_published_by_default(name: str) -> None:
    with torch.device("meta"):
        network = Baseline(name)
    size, channels, classes = {
        "lenet5": (32, 1, 10),
        "alexnet": (227, 3, 1000),
        "nin": (224, 3, 1000),
        "vgg16": (224, 3, 1000),
    }[name]
    assert (network.size, network.in_channels, network.classes) == (size, channels, classes)
    assert (default_size(name), default_channels(name)) == (size, channels)
    assert network(torch.empty(2, channels, size, size, device="meta")).shape == (2, classes)


@pytest.mark.parametrize("name", BASELINES)
def test_smallest_size_works_and_the_one_below_is_refused(name: str) -> None:
    smallest = SMALLEST[name]
    network = narrow(name, size=smallest, classes=3)
    assert network(torch.rand(2, network.in_channels, smallest, smallest)).shape == (2, 3)
    message = f"size must be at least {smallest} for {name}, got {smallest - 1}"
    with pytest.raises(UsageError, match=message):
        narrow(name, size=smallest - 1)


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("name", BASELINES)
def test_any_channels_classes_and_size(name: str, channels: int) -> None:
    network = narrow(name, in_channels=channels, classes=4, size=67)
    assert network(torch.rand(1, channels, 67, 67)).shape == (1, 4)


@pytest.mark.parametrize("name", BASELINES)
def test_speaks_like_googlenet(name: str) -> None:
    network = narrow(name, size=67, classes=4)
    crops = torch.rand(2, network.in_channels, 67, 67)
    assert network.aux_heads == ()
    network.drop_heads()
    outputs = network.forward_heads(crops)
    assert list(outputs) == ["main"]
    torch.testing.assert_close(outputs["main"], network(crops))
    assert isinstance(network.dropout, nn.Dropout)
    assert isinstance(network.get_submodule("classifier"), nn.Conv2d | nn.Linear)
    assert [stage for stage, _ in network.named_children()] == list(network.trunk)


def test_taps_before_and_after_the_relu() -> None:
    network = narrow("alexnet", size=67)
    with network.tap("conv1", "conv1:pre", "fc6", "fc6:pre") as activations:
        network(torch.randn(2, 3, 67, 67))
    for name in ("conv1", "fc6"):
        assert (activations[f"{name}:pre"] < 0).any()
        torch.testing.assert_close(activations[name], activations[f"{name}:pre"].relu())
    assert {"conv1", "conv1:pre", "pool5", "classifier"} <= set(network.tap_names())
    assert "conv1.relu" not in network.tap_names()


def test_alexnet_against_the_operators_it_is_made_of() -> None:
    """Forward pass written out with PyTorch's functions, LRN by PyTorch's own."""
    network = narrow("alexnet", size=99).double()
    weights = dict(network.named_parameters())
    crops = torch.randn(2, 3, 99, 99, dtype=torch.float64)

    def conv(x: torch.Tensor, name: str, **options: int) -> torch.Tensor:
        weight, bias = weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"]
        return F.conv2d(x, weight, bias, **options).relu()

    def norm(x: torch.Tensor) -> torch.Tensor:
        return F.local_response_norm(x, 5, CAFFE_LRN.alpha, CAFFE_LRN.beta, CAFFE_LRN.k)

    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = pool(norm(conv(crops, "conv1", stride=4)))
    x = pool(norm(conv(x, "conv2", padding=2, groups=2)))
    x = conv(conv(x, "conv3", padding=1), "conv4", padding=1, groups=2)
    x = pool(conv(x, "conv5", padding=1, groups=2)).flatten(1)
    x = linear(linear(x, "fc6.linear").relu(), "fc7.linear").relu()
    torch.testing.assert_close(network(crops), linear(x, "classifier"))


def test_grouped_convolutions_stay_divisible_at_any_width() -> None:
    for width in (0.1, 0.3, 1.1):
        filters = [getattr(stage, "filters", 2) for stage in ALEXNET.scaled(width).stages]
        assert all(number % 2 == 0 for number in filters)


def test_width_of_one_is_the_network_as_published() -> None:
    assert all(network.scaled(1.0) == network for network in BASELINES.values())


@pytest.mark.parametrize("name", ["lenet5", "nin"])
def test_weights_come_from_the_generator_alone(name: str) -> None:
    state = torch.get_rng_state()
    first, second = narrow(name).state_dict(), narrow(name).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["alexnet", "nin"])
def test_layer_of_the_logits_starts_small(name: str) -> None:
    """Also where it is a convolution: the others have variance 2/fan_in."""
    weights = dict(Baseline(name, width=0.5, size=67).named_parameters())
    fan_in = weights["conv3.conv.weight"][0].numel()
    assert weights["classifier.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert weights["conv3.conv.weight"].std().item() == pytest.approx(sqrt(2 / fan_in), rel=0.05)


@pytest.mark.parametrize(("name", "width"), [("lenet5", 1.0), ("nin", NARROW)])
def test_learns_two_classes_apart(name: str, width: float) -> None:
    """Bright and dark images: gradients reach every layer and lower the loss."""
    generator = torch.Generator().manual_seed(3)
    network = Baseline(name, 2, size=67, width=width, generator=generator)
    crops = torch.randn(16, network.in_channels, 67, 67) * 0.1
    labels = torch.arange(16) % 2
    crops += labels[:, None, None, None] * 2 - 1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(crops), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert all(p.grad is not None for p in network.parameters())
    assert loss.item() < 0.1  # ln 2 at first


@pytest.mark.slow
def test_the_commands_train_and_evaluate_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    options = ["--variant", "lenet5", "--size", "32", "--epochs", "2", "--json"]
    assert main(["train", "digits", "--out", run, *options]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert main(["evaluate", run, "--data", "digits", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["top1_error"] == pytest.approx(100 - trained["top1_accuracy"], abs=1e-3)
    assert main(["info", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 61_706


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_built_by_name(name: str) -> None:
    network = build_network(name, 3, size=96, in_channels=1, width=NARROW).eval()
    assert network(torch.rand(1, 1, 96, 96)).shape == (1, 3)
    assert (network.classes, network.in_channels, network.width) == (3, 1, NARROW)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"name must be one of lenet5, .*, got 'resnet'"):
        architecture("resnet")
    with pytest.raises(UsageError, match=r"variant must be one of paper, .*, got 'resnet'"):
        build_network("resnet", 3, size=96)
