"""How weights begin: the stated distributions, from one generator, without the global one."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from googlenet import GoogLeNet
from googlenet.models.init import INITIALIZATIONS, is_classifier, skip_init_layer
from googlenet.runtime.errors import UsageError


def network(seed: int, initialization: str = "he", variant: str = "paper") -> GoogLeNet:
    generator = torch.Generator().manual_seed(seed)
    return GoogLeNet(
        variant, width=0.5, classes=100, initialization=initialization, generator=generator
    )


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in net.named_parameters() if p.ndim > 1}


def biases_of(net: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in net.named_parameters() if n.endswith("bias")}


def fan_in(weight: Tensor) -> int:
    return weight[0].numel()


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
@pytest.mark.parametrize("variant", ["paper", "slim"])
def test_a_seed_gives_the_same_network(initialization: str, variant: str) -> None:
    first, again, other = (
        network(seed, initialization, variant).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.conv.weight"], other["conv1.conv.weight"])


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_the_global_generator_is_left_alone(initialization: str) -> None:
    before = torch.get_rng_state()
    network(1, initialization)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_one_decides() -> None:
    torch.manual_seed(5)
    first = GoogLeNet("bn", width=0.1).state_dict()
    torch.manual_seed(5)
    again = GoogLeNet("bn", width=0.1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_he() -> None:
    net = network(0)
    for name, weight in weights_of(net).items():
        std = 0.01 if "classifier" in name else sqrt(2 / fan_in(weight))
        tolerance = 5 * std / sqrt(2 * weight.numel())  # five standard errors of a deviation
        assert weight.std().item() == pytest.approx(std, abs=tolerance), name
        assert abs(weight.mean().item()) < 5 * std / sqrt(weight.numel()), name
    assert all((bias == 0).all() for bias in biases_of(net).values())


def test_bvlc() -> None:
    net = network(0, "bvlc")
    for name, weight in weights_of(net).items():
        bound = sqrt(3 / fan_in(weight))
        assert weight.abs().max().item() <= bound, name
        # the largest of n uniform numbers is within 12/n of the bound, but once in e^12 times
        assert weight.abs().max().item() > bound * (1 - 12 / weight.numel()), name
        assert abs(weight.mean().item()) < 5 * bound / sqrt(3 * weight.numel()), name
    for name, bias in biases_of(net).items():
        assert (bias == (0.0 if "classifier" in name else 0.2)).all(), name


def test_he_keeps_the_signal_through_the_trunk() -> None:
    net = network(0, variant="bn").eval()
    with net.tap("inception_5b") as activations:
        net(torch.randn(1, 3, 96, 96))
    assert 0.01 < activations["inception_5b"].std().item() < 100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("classifier", True),
        ("aux_4a.classifier", True),
        ("aux_4a.fc", False),
        ("classifier.extra", False),
        ("conv1.conv", False),
    ],
)
def test_is_classifier(name: str, expected: bool) -> None:
    assert is_classifier(name) is expected


def test_undrawn_layers_use_no_random_numbers_and_the_default_device() -> None:
    before = torch.get_rng_state()
    assert skip_init_layer(nn.Linear, 3, 4).weight.device.type == "cpu"
    assert torch.equal(torch.get_rng_state(), before)
    with torch.device("meta"):
        devices = {tensor.device.type for tensor in GoogLeNet("bn").state_dict().values()}
    assert devices == {"meta"}


def test_unknown_initialization_lists_those_that_exist() -> None:
    with pytest.raises(UsageError, match="initialization must be one of he, bvlc, got 'zeros'"):
        GoogLeNet("bn", width=0.1, initialization="zeros")
