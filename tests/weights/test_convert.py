"""Whole conversions: every tensor of every scheme accounted for, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from googlenet import GoogLeNet
from googlenet.models.table import LRN, VARIANTS
from googlenet.runtime.errors import GoogLeNetError
from googlenet.weights import convert as converting
from googlenet.weights.convert import convert
from googlenet.weights.schemes import SCHEMES
from googlenet.weights.weight_file import WeightFile, WeightFileError
from tests.weights.foreign import BY_NAME, foreign_tensors, random_network

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def networks() -> dict[str, GoogLeNet]:
    return {variant: random_network(variant) for variant in {s.variant for s in SCHEMES}}


@pytest.fixture
def caffe(networks: dict[str, GoogLeNet]) -> Tensors:
    """A Caffe file's tensors with both heads, for a test to spoil."""
    return foreign_tensors(networks["paper"], BY_NAME["caffe"])


@pytest.mark.parametrize("name", BY_NAME)
def test_every_scheme_gives_the_network_back(name: str, networks: dict[str, GoogLeNet]) -> None:
    scheme = BY_NAME[name]
    network = networks[scheme.variant]
    theirs = foreign_tensors(network, scheme)
    header, tensors, report = convert(WeightFile("test", theirs))
    state = network.state_dict()
    for ours, tensor in tensors.items():
        assert torch.equal(tensor, state[ours]), ours
    assert report.kept == scheme.names(state)
    assert (report.dropped, report.missing) == ({}, [])
    assert len(report.kept) + len(report.reinitialised) == len(state)
    assert header.variant == scheme.variant
    assert header.preprocessing == scheme.preprocessing
    assert len(header.classes) == VARIANTS[scheme.variant].classes
    assert header.heads == network.aux_heads


def test_meaning_of_each_scheme() -> None:
    """Order, mean and scale as published (shared/paper.md, "Weight files people have")."""
    found = {s.name: (s.preprocessing.channel_order, s.preprocessing.mean) for s in SCHEMES}
    assert found == {
        "caffe": ("BGR", (104.0, 117.0, 123.0)),
        "onnx": ("BGR", (104.0, 117.0, 123.0)),
        "inception5h": ("RGB", (117.0, 117.0, 117.0)),
        "slim": ("RGB", (127.5, 127.5, 127.5)),
        "torchvision": ("RGB", (127.5, 127.5, 127.5)),
    }
    for scheme in SCHEMES:
        divisor = 127.5 if scheme.preprocessing.mean[0] == 127.5 else 1.0
        assert scheme.preprocessing.scale == (1 / divisor,) * 3
        assert scheme.preprocessing.size == 224


def test_torchvision_s_transform_input_is_in_the_preprocessing() -> None:
    """ImageNet's mean and deviation, then `transform_input`, as torchvision computes them."""
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    x = pixels.permute(0, 3, 1, 2).double() / 255
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    normalized = (x - mean) / std
    transformed = normalized * (std / 0.5) + (mean - 0.5) / 0.5
    ours = BY_NAME["torchvision"].preprocessing.normalize(pixels)
    assert torch.allclose(ours.double(), transformed, atol=1e-6)


def test_torchvision_s_heads_are_marked_untrained(networks: dict[str, GoogLeNet]) -> None:
    tensors = foreign_tensors(networks["torchvision"], BY_NAME["torchvision"])
    assert convert(WeightFile("test", tensors)).report.untrained_heads == ["4a", "4d"]


def test_counters_that_are_missing_begin_at_zero(networks: dict[str, GoogLeNet]) -> None:
    tensors = foreign_tensors(networks["torchvision"], BY_NAME["torchvision"])
    for name in [name for name in tensors if name.endswith("num_batches_tracked")]:
        del tensors[name]
    header, _, report = convert(WeightFile("test", tensors))
    assert len(report.reinitialised) == 59
    assert set(report.reinitialised.values()) == {"0, a counter that only training uses"}
    assert header.heads == ("4a", "4d")


def test_a_file_without_heads(caffe: Tensors) -> None:
    trunk = {n: t for n, t in caffe.items() if not n.startswith(("loss1", "loss2"))}
    header, _, report = convert(WeightFile("test", trunk))
    assert header.heads == ()
    assert len(report.missing) == 12
    assert "aux_4a.conv.conv.weight" in report.missing
    assert report.dropped == {}


def test_half_a_head_is_dropped_and_said_to_be(caffe: Tensors) -> None:
    del caffe["loss2/fc/bias"]
    header, _, report = convert(WeightFile("test", caffe))
    assert header.heads == ()
    assert report.missing == ["aux_4d.fc.bias"]
    assert len(report.dropped) == 11
    assert report.dropped["loss1/fc/weight"] == "the auxiliary heads are not complete"


def test_what_has_no_place_is_dropped(caffe: Tensors) -> None:
    file = WeightFile("test", caffe | {"extra/weight": torch.ones(3)}, {"shape": "a constant"})
    report = convert(file).report
    assert report.dropped == {"extra/weight": "has no place in the network", "shape": "a constant"}
    assert len(report.kept) == 128


def test_scopes_around_the_names(caffe: Tensors) -> None:
    report = convert(WeightFile("test", {f"module.{n}": t for n, t in caffe.items()})).report
    assert (len(report.kept), report.dropped) == (128, {})


def without(name: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.pop(name)


def with_shape(name: str, *shape: int) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (without("inception_4b/3x3/weight"), r"has 1 missing tensor \('inception_4b/3x3/weight'\)"),
        (without("conv1/7x7_s2/bias"), r"has 1 missing tensor \('conv1/7x7_s2/bias'\)"),
        (without("loss3/classifier/bias"), r"has 1 missing tensor \('loss3/classifier/bias'\)"),
        (
            with_shape("conv1/7x7_s2/weight", 64, 7, 7, 3),
            r"'conv1/7x7_s2/weight' must have shape \(64, 3, 7, 7\), has \(64, 7, 7, 3\)",
        ),
        (with_shape("loss3/classifier/bias", 999), r"must have shape \(999, 1024\)"),
        (with_shape("loss3/classifier/bias", 1), "must have 2 to 25,000 classes, has 1"),
        (
            lambda t: t.update({"loss3/classifier/bias": torch.zeros(1).expand(1 << 40)}),
            "must have 2 to 25,000 classes, has 1,099,511,627,776",
        ),
        (
            lambda t: t["inception_5b/1x1/bias"].fill_(torch.nan),
            "'inception_5b/1x1/bias' holds NaN or infinity",
        ),
        (lambda t: t.update({"module.conv1/7x7_s2/bias": torch.zeros(64)}), "holds two tensors"),
        (lambda t: t.clear(), "holds 0 tensors"),
    ],
)
def test_what_goes_wrong(spoil: Callable[[Tensors], object], rule: str, caffe: Tensors) -> None:
    spoil(caffe)
    with pytest.raises(WeightFileError, match=rule):
        convert(WeightFile("test", caffe))


def test_somebody_s_own_number_of_classes(caffe: Tensors) -> None:
    trunk = {n: t for n, t in caffe.items() if not n.startswith("loss")}
    head = {"loss3/classifier/weight": torch.ones(3, 1024), "loss3/classifier/bias": torch.ones(3)}
    header, tensors, _ = convert(WeightFile("test", trunk | head))
    assert [c.name for c in header.classes] == ["class 0", "class 1", "class 2"]
    assert tensors["classifier.weight"].shape == (3, 1024)


def test_a_graph_s_own_normalization_must_be_the_variant_s(caffe: Tensors) -> None:
    norm = VARIANTS["paper"].norm
    assert isinstance(norm, LRN)
    inexact = replace(norm, alpha=9.99999974738e-05)  # 1e-4 as a float32
    assert convert(WeightFile("test", caffe, lrn=(inexact, inexact))).report.kept
    with pytest.raises(WeightFileError, match=r"its graph normalizes by LRN\(size=3"):
        convert(WeightFile("test", caffe, lrn=(norm, replace(norm, size=3))))


def test_errors_are_ours() -> None:
    assert issubclass(WeightFileError, GoogLeNetError)
    assert converting.MAX_CLASSES > 21_841
