"""The name tables against names written out from the published files."""

from __future__ import annotations

from functools import cache

import pytest

from googlenet import GoogLeNet
from googlenet.weights import names
from googlenet.weights.schemes import SCHEMES, Scheme, scheme_of
from googlenet.weights.weight_file import WeightFileError
from tests.weights.foreign import BY_NAME

# Copied from the files' own listings, one for each row of the tables at least once.
PUBLISHED = {
    "caffe": {
        "conv1.conv.weight": "conv1/7x7_s2/weight",
        "conv2_reduce.conv.bias": "conv2/3x3_reduce/bias",
        "conv2.conv.weight": "conv2/3x3/weight",
        "inception_3a.1x1.conv.weight": "inception_3a/1x1/weight",
        "inception_4c.3x3_reduce.conv.bias": "inception_4c/3x3_reduce/bias",
        "inception_5b.pool_proj.conv.weight": "inception_5b/pool_proj/weight",
        "aux_4a.conv.conv.weight": "loss1/conv/weight",
        "aux_4d.fc.bias": "loss2/fc/bias",
        "aux_4a.classifier.weight": "loss1/classifier/weight",
        "classifier.bias": "loss3/classifier/bias",
    },
    "onnx": {
        "conv1.conv.weight": "conv1/7x7_s2_w_0",
        "inception_4a.5x5.conv.bias": "inception_4a/5x5_b_0",
        "classifier.weight": "loss3/classifier_w_0",
    },
    "inception5h": {
        "conv1.conv.weight": "conv2d0_w",
        "conv2_reduce.conv.weight": "conv2d1_w",
        "conv2.conv.bias": "conv2d2_b",
        "inception_3a.1x1.conv.weight": "mixed3a_1x1_w",
        "inception_4b.3x3_reduce.conv.weight": "mixed4b_3x3_bottleneck_w",
        "inception_4b.3x3.conv.bias": "mixed4b_3x3_b",
        "inception_5a.5x5_reduce.conv.weight": "mixed5a_5x5_bottleneck_w",
        "inception_5b.5x5.conv.weight": "mixed5b_5x5_w",
        "inception_5b.pool_proj.conv.bias": "mixed5b_pool_reduce_b",
        "aux_4a.conv.conv.weight": "head0_bottleneck_w",
        "aux_4d.conv.conv.weight": "head1_bottleneck_w",
        "aux_4a.fc.weight": "nn0_w",
        "aux_4d.fc.bias": "nn1_b",
        "aux_4a.classifier.weight": "softmax0_w",
        "aux_4d.classifier.weight": "softmax1_w",
        "classifier.weight": "softmax2_w",
    },
    "slim": {
        "conv1.conv.weight": "Conv2d_1a_7x7/weights",
        "conv2_reduce.bn.bias": "Conv2d_2b_1x1/BatchNorm/beta",
        "conv2.bn.running_mean": "Conv2d_2c_3x3/BatchNorm/moving_mean",
        "inception_3a.1x1.conv.weight": "Mixed_3b/Branch_0/Conv2d_0a_1x1/weights",
        "inception_4a.3x3_reduce.conv.weight": "Mixed_4b/Branch_1/Conv2d_0a_1x1/weights",
        "conv2.bn.running_var": "Conv2d_2c_3x3/BatchNorm/moving_variance",
        "inception_4e.3x3.conv.weight": "Mixed_4f/Branch_1/Conv2d_0b_3x3/weights",
        "inception_5a.5x5_reduce.conv.weight": "Mixed_5b/Branch_2/Conv2d_0a_1x1/weights",
        "inception_5a.5x5.conv.weight": "Mixed_5b/Branch_2/Conv2d_0a_3x3/weights",
        "inception_5b.5x5.conv.weight": "Mixed_5c/Branch_2/Conv2d_0b_3x3/weights",
        "inception_5b.pool_proj.conv.weight": "Mixed_5c/Branch_3/Conv2d_0b_1x1/weights",
        "classifier.weight": "Logits/Conv2d_0c_1x1/weights",
        "classifier.bias": "Logits/Conv2d_0c_1x1/biases",
    },
    "torchvision": {
        "conv1.conv.weight": "conv1.conv.weight",
        "conv2_reduce.bn.running_mean": "conv2.bn.running_mean",
        "conv2.bn.num_batches_tracked": "conv3.bn.num_batches_tracked",
        "inception_3a.1x1.bn.weight": "inception3a.branch1.bn.weight",
        "inception_3b.3x3_reduce.conv.weight": "inception3b.branch2.0.conv.weight",
        "inception_3b.3x3.bn.bias": "inception3b.branch2.1.bn.bias",
        "inception_4d.5x5_reduce.conv.weight": "inception4d.branch3.0.conv.weight",
        "inception_4d.5x5.conv.weight": "inception4d.branch3.1.conv.weight",
        "inception_5b.pool_proj.bn.running_var": "inception5b.branch4.1.bn.running_var",
        "aux_4a.conv.conv.weight": "aux1.conv.conv.weight",
        "aux_4a.fc.weight": "aux1.fc1.weight",
        "aux_4d.classifier.bias": "aux2.fc2.bias",
        "classifier.weight": "fc.weight",
    },
}  # fmt: skip

# Tensors of the published files: 57 convolutions and a linear layer with weight and bias, and
# for each head a convolution and two linear layers; batch normalization has five per kernel.
COUNTS = {"caffe": 128, "onnx": 128, "inception5h": 128, "slim": 57 * 4 + 2, "torchvision": 364}


@pytest.fixture(scope="module", params=SCHEMES, ids=lambda scheme: scheme.name)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    found = request.param
    assert isinstance(found, Scheme)
    return found


@cache
def state_names(variant: str) -> tuple[str, ...]:
    return tuple(GoogLeNet(variant).state_dict())


@pytest.fixture(scope="module")
def mapped(scheme: Scheme) -> dict[str, str]:
    return scheme.names(state_names(scheme.variant))


def test_published_names(scheme: Scheme, mapped: dict[str, str]) -> None:
    expected = PUBLISHED[scheme.name]
    assert {ours: mapped[ours] for ours in expected} == expected


def test_every_tensor_has_one_name(scheme: Scheme, mapped: dict[str, str]) -> None:
    """All of ours are named, but for the counters that TF-Slim has not."""
    absent = set(state_names(scheme.variant)) - mapped.keys()
    unnamed = {name.rpartition(".")[2] for name in absent}
    assert unnamed == ({"num_batches_tracked"} if scheme.name == "slim" else set())
    assert len(mapped) == COUNTS[scheme.name]
    assert len(set(mapped.values())) == len(mapped)


def test_a_scheme_is_known_by_half_of_its_kernels(scheme: Scheme) -> None:
    kernels = sorted(scheme.signature())
    assert len(kernels) == 57
    assert scheme_of(kernels[:29]) == scheme
    with pytest.raises(WeightFileError, match=r"holds 28 tensors .* not those of a GoogLeNet"):
        scheme_of(kernels[:28])


@pytest.mark.parametrize("found", [[], ["fc6/weight", "conv1/weight"], ["conv1.weight", "fc.bias"]])
def test_another_network_is_none(found: list[str]) -> None:
    with pytest.raises(WeightFileError, match=f"holds {len(found)} tensors"):
        scheme_of(found)


def test_our_own_names_without_a_header() -> None:
    with pytest.raises(WeightFileError, match="tensor names but no header"):
        scheme_of(state_names("torchvision"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("module.conv1.conv.weight", "conv1.conv.weight"),
        ("InceptionV1/InceptionV1/Conv2d_1a_7x7/weights", "Conv2d_1a_7x7/weights"),
        ("InceptionV1/Logits/Conv2d_0c_1x1/biases:0", "Logits/Conv2d_0c_1x1/biases"),
        ("conv2d0_w", "conv2d0_w"),
    ],
)
def test_scopes_are_taken_off(name: str, expected: str) -> None:
    assert names.canonical_name(name) == expected


def test_a_scoped_file_is_recognized() -> None:
    slim = BY_NAME["slim"]
    assert scheme_of(f"InceptionV1/InceptionV1/{name}:0" for name in slim.signature()) == slim
