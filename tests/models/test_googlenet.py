"""The network against its own definition written out with PyTorch's operators.

Networks are narrow here, so that whole forward passes take milliseconds; widths are in
`test_cost.py`, which compares every shape and parameter at full width.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet import GoogLeNet
from googlenet.models import sides, table
from googlenet.models.googlenet import HeadPool, Inception, MaxPool, SamePad
from googlenet.runtime.errors import UsageError

# ../shared/paper.md, "Other input sizes"
FINAL_SIDES = {96: 3, 128: 4, 160: 5, 224: 7}
HEADED = [name for name, variant in table.VARIANTS.items() if variant.aux_pool]


def narrow(variant: str = "paper", classes: int = 5, in_channels: int = 3) -> GoogLeNet:
    generator = torch.Generator().manual_seed(1)
    return GoogLeNet(
        variant, classes, in_channels=in_channels, width=0.125, generator=generator
    ).eval()


@pytest.mark.parametrize("size", FINAL_SIDES)
@pytest.mark.parametrize("variant", table.VARIANTS)
def test_maps_of_every_size(variant: str, size: int) -> None:
    network, side = narrow(variant), FINAL_SIDES[size]
    x = torch.rand(1, 3, size, size)
    with network.tap("inception_4a", "inception_4d", "inception_5b") as activations:
        outputs = network.forward_heads(x)
    assert activations["inception_5b"].shape[2:] == (side, side)
    assert activations["inception_4a"].shape[2:] == (2 * side, 2 * side)
    assert activations["inception_4d"].shape[2:] == (2 * side, 2 * side)
    assert all(logits.shape == (1, 5) for logits in outputs.values())


def test_images_need_not_be_square() -> None:
    assert narrow()(torch.rand(2, 3, 96, 160)).shape == (2, 5)


@pytest.mark.parametrize("variant", table.VARIANTS)
def test_forward_gives_logits_in_train_and_eval_alike(variant: str) -> None:
    network, x = narrow(variant), torch.rand(2, 3, 64, 64)
    for training in (True, False):
        logits = network.train(training)(x)
        assert isinstance(logits, Tensor)
        assert logits.shape == (2, 5)


@pytest.mark.parametrize("variant", table.VARIANTS)
def test_forward_heads_names_its_outputs(variant: str) -> None:
    network, x = narrow(variant), torch.rand(2, 3, 64, 64)
    outputs = network.forward_heads(x)
    expected = ["main", "4a", "4d"] if variant in HEADED else ["main"]
    assert list(outputs) == expected
    assert network.aux_heads == tuple(expected[1:])
    torch.testing.assert_close(outputs["main"], network(x))


@pytest.mark.parametrize("variant", HEADED)
@pytest.mark.parametrize("key", ["4a", "4d"])
def test_a_head_reads_the_module_of_its_name(variant: str, key: str) -> None:
    network = narrow(variant)
    with network.tap(f"inception_{key}") as activations:
        outputs = network.forward_heads(torch.rand(2, 3, 64, 64))
    head = network.get_submodule(f"aux_{key}")
    torch.testing.assert_close(outputs[key], head(activations[f"inception_{key}"]))


def test_what_lies_between_the_heads_moves_only_the_second() -> None:
    network, x = narrow(), torch.rand(2, 3, 64, 64)
    before = network.forward_heads(x)
    with torch.no_grad():
        network.get_submodule("inception_4b.1x1.conv").bias.add_(1.0)  # type: ignore[operator]
    after = network.forward_heads(x)
    assert torch.equal(before["4a"], after["4a"])
    assert not torch.allclose(before["4d"], after["4d"])
    assert not torch.allclose(before["main"], after["main"])


def test_auxiliary_head_written_out() -> None:
    """Section 5: 5×5/3 average pool, 1×1 convolution, two linear layers, dropout of 70 %."""
    network = narrow().double()
    head = network.get_submodule("aux_4a")
    x = torch.rand(2, 64, 14, 14, dtype=torch.float64)
    w = dict(head.named_parameters())
    hidden = F.conv2d(F.avg_pool2d(x, 5, 3), w["conv.conv.weight"], w["conv.conv.bias"]).relu()
    hidden = F.linear(hidden.flatten(1), w["fc.weight"], w["fc.bias"]).relu()
    expected = F.linear(hidden, w["classifier.weight"], w["classifier.bias"])
    torch.testing.assert_close(head(x), expected)
    assert head.dropout.p == 0.7  # type: ignore[union-attr]


def test_heads_can_be_dropped_and_left_out() -> None:
    network, x = narrow(), torch.rand(1, 3, 64, 64)
    before = network(x)
    network.drop_heads()
    assert network.aux_heads == ()
    assert list(network.forward_heads(x)) == ["main"]
    assert torch.equal(network(x), before)
    assert not [name for name in network.state_dict() if name.startswith("aux")]
    network.drop_heads()  # twice does no harm
    assert GoogLeNet("bn", width=0.125, with_aux_heads=False).aux_heads == ()


def test_head_pool_is_the_papers_average_pool_on_its_own_map() -> None:
    x = torch.rand(2, 3, 14, 14, dtype=torch.float64)
    torch.testing.assert_close(HeadPool()(x), F.avg_pool2d(x, 5, 3))


@given(height=st.integers(1, 24), width=st.integers(1, 24))
def test_head_pool_on_any_map(height: int, width: int) -> None:
    """Window by window: side max(1, round(5n/14)), offsets floor(i·(n−k)/3)."""
    x = torch.rand(1, 2, height, width, dtype=torch.float64)
    expected = torch.empty(1, 2, 4, 4, dtype=torch.float64)
    k, m = max(1, round(5 * height / 14)), max(1, round(5 * width / 14))
    for i in range(4):
        for j in range(4):
            top, left = i * (height - k) // 3, j * (width - m) // 3
            window = x[:, :, top : top + k, left : left + m]
            expected[:, :, i, j] = window.sum((2, 3)) / (k * m)
    torch.testing.assert_close(HeadPool()(x), expected)


@pytest.mark.slow
def test_the_compiler_sees_through_the_head_pool() -> None:
    """One graph for windows that lie evenly and for others, whatever came before."""
    compiled = torch.compile(HeadPool(), backend="aot_eager", fullgraph=True)
    for side in (14, 8, 4, 6):
        x = torch.rand(2, 3, side, side)
        torch.testing.assert_close(compiled(x), HeadPool()(x))


def branch(x: Tensor, module: Inception, name: str, padding: int) -> Tensor:
    weights = dict(module.named_parameters())
    kernel, bias = weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"]
    return F.conv2d(x, kernel, bias, padding=padding).relu()


def test_inception_module_written_out() -> None:
    module = narrow().double().get_submodule("inception_3a")
    assert isinstance(module, Inception)
    x = torch.randn(2, 24, 9, 9, dtype=torch.float64)
    pooled = F.max_pool2d(x, 3, 1, 1)
    expected = [
        branch(x, module, "1x1", 0),
        branch(branch(x, module, "3x3_reduce", 0), module, "3x3", 1),
        branch(branch(x, module, "5x5_reduce", 0), module, "5x5", 2),
        branch(pooled, module, "pool_proj", 0),
    ]
    torch.testing.assert_close(module(x), torch.cat(expected, 1))


def test_naive_module_written_out() -> None:
    module = narrow("naive").double().get_submodule("inception_3a")
    assert isinstance(module, Inception)
    x = torch.randn(2, 24, 9, 9, dtype=torch.float64)
    expected = [
        branch(x, module, "1x1", 0),
        branch(x, module, "3x3", 1),
        branch(x, module, "5x5", 2),
        F.max_pool2d(x, 3, 1, 1),
    ]
    torch.testing.assert_close(module(x), torch.cat(expected, 1))


def test_stem_order() -> None:
    """LRN after pool1, and after conv2, before pool2."""
    assert narrow().trunk[:8] == (
        "conv1", "pool1", "norm1", "conv2_reduce", "conv2", "norm2", "pool2", "inception_3a",
    )  # fmt: skip
    assert "norm1" not in narrow("bn").trunk


def test_separable_stem_written_out() -> None:
    network = narrow("google2014").double()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    w = dict(network.get_submodule("conv1").named_parameters())
    hidden = F.conv2d(x, w["depthwise.weight"], None, 2, 3, groups=3)
    assert hidden.shape[1] == 3 * 8
    expected = F.conv2d(hidden, w["pointwise.conv.weight"], w["pointwise.conv.bias"]).relu()
    torch.testing.assert_close(network.get_submodule("conv1")(x), expected)
    with torch.device("meta"):
        stem = GoogLeNet("google2014").get_submodule("conv1")
    assert sum(p.numel() for p in stem.parameters() if p.ndim > 1) == 2_712


def same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """TensorFlow's SAME padding of a square map, after its documentation."""
    side = x.shape[2]
    remainder = side % stride
    total = max(kernel - (remainder or stride), 0)
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after), value=value)


@given(side=st.integers(1, 40), kernel=st.sampled_from([2, 3, 7]))
def test_same_padding(side: int, kernel: int) -> None:
    x = torch.randn(1, 1, side, side)
    assert torch.equal(SamePad(kernel, 2)(x), same(x, kernel, 2, 0.0))


def test_same_padding_of_the_first_layer() -> None:
    """2 pixels left and top, 3 right and bottom: one pixel from Caffe's 3 and 3."""
    network = narrow("inception5h").double()
    x = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    w = dict(network.get_submodule("conv1").named_parameters())
    padded = F.pad(x, (2, 3, 2, 3))
    expected = F.conv2d(padded, w["conv.weight"], w["conv.bias"], stride=2).relu()
    torch.testing.assert_close(network.get_submodule("conv1")(x), expected)


@given(side=st.integers(3, 30), kernel=st.sampled_from([2, 3]))
def test_max_pools_window_by_window(side: int, kernel: int) -> None:
    """Ceil mode without padding starts at pixel 0; SAME may begin before it."""
    x = torch.randn(1, 2, side, side)
    total = max(kernel - (side % 2 or 2), 0)
    for padding, first in (("symmetric", 0), ("same", -(total // 2))):
        y = MaxPool(kernel, 2, padding)(x)
        assert y.shape[3] == sides.pool_output(side, kernel, 2, padding)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                top, left = first + 2 * i, first + 2 * j
                window = x[:, :, max(0, top) : top + kernel, max(0, left) : left + kernel]
                assert torch.equal(y[:, :, i, j], window.amax((2, 3)))


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ("variant", "layers", "eps"), [("bn", 59, 1e-5), ("torchvision", 59, 1e-3), ("slim", 57, 1e-3)]
)
def test_batch_normalization_in_place_of_biases(variant: str, layers: int, eps: float) -> None:
    network = narrow(variant)
    norms = batch_norms(network)
    assert (len(norms), {norm.eps for norm in norms}) == (layers, {eps})
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert not any(conv.bias is not None for conv in convolutions)
    assert not batch_norms(narrow("paper"))


def test_slim_has_no_scale() -> None:
    network = narrow("slim").double()
    assert not any(name.endswith("bn.weight") for name in network.state_dict())
    (norm, *_) = batch_norms(network)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    shift = norm.bias.detach()
    for values in (mean, variance, shift):
        values.uniform_(0.5, 2)
    x = torch.randn(2, norm.num_features, 4, 4, dtype=torch.float64)
    m, v, b = (values[:, None, None] for values in (mean, variance, shift))
    torch.testing.assert_close(norm(x), (x - m) / (v + 1e-3).sqrt() + b)


@pytest.mark.parametrize(("variant", "rate"), [("paper", 0.4), ("torchvision", 0.2)])
def test_dropouts_are_the_variants(variant: str, rate: float) -> None:
    rates = {n: m.p for n, m in narrow(variant).named_modules() if isinstance(m, nn.Dropout)}
    assert rates == {"dropout": rate, "aux_4a.dropout": 0.7, "aux_4d.dropout": 0.7}


def test_torchvision_differs_from_the_paper() -> None:
    network = narrow("torchvision")
    assert network.get_submodule("inception_3a.5x5.conv").kernel_size == (3, 3)
    assert network.get_submodule("pool4").kernel == 2
    assert isinstance(network.get_submodule("aux_4a.pool"), nn.AdaptiveAvgPool2d)


@pytest.mark.parametrize("in_channels", [1, 5])
@pytest.mark.parametrize("variant", ["paper", "google2014", "inception5h"])
def test_any_number_of_input_channels(variant: str, in_channels: int) -> None:
    network = narrow(variant, in_channels=in_channels)
    assert network.in_channels == in_channels
    assert network(torch.rand(1, in_channels, 64, 64)).shape == (1, 5)


def test_classes_default_to_the_variants() -> None:
    with torch.device("meta"):
        classes = {name: GoogLeNet(name).classes for name in ("bn", "inception5h", "slim")}
    assert classes == {"bn": 1000, "inception5h": 1008, "slim": 1001}


def test_names_in_the_state_are_the_papers() -> None:
    assert {
        "conv1.conv.weight",
        "conv2_reduce.bn.running_mean",
        "inception_4a.5x5_reduce.conv.weight",
        "inception_4a.pool_proj.bn.bias",
        "aux_4a.conv.conv.weight",
        "aux_4d.fc.bias",
        "aux_4d.classifier.weight",
        "classifier.weight",
    } <= set(narrow("bn").state_dict())


def test_width_multiplies_every_filter() -> None:
    network = narrow()
    assert network.width == 0.125
    assert network.get_submodule("conv1.conv").out_channels == 8
    assert network.get_submodule("inception_5b.3x3.conv").out_channels == 48
    assert network.get_submodule("aux_4a.fc").out_features == 128
    assert network.classifier.in_features == 128


@pytest.mark.parametrize("option", [{"variant": "v3"}, {"width": 0.0}, {"width": -1.0}])
def test_what_cannot_be_built_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        GoogLeNet(**option)  # type: ignore[arg-type]
