"""Averages of weights and the statistics that belong to them, against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from googlenet.models.registry import build_network
from googlenet.training.averaging import WeightAverage, recompute_bn_stats


class Point(nn.Module):
    """A network of two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, 2))
        self.b = nn.Parameter(torch.randn(2))

    def move(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn_like(parameter))


def close(average: WeightAverage, expected: dict[str, Tensor]) -> bool:
    return all(torch.allclose(average.values[n], expected[n], atol=1e-6) for n in expected)


@pytest.mark.parametrize("start", [0, 4])
def test_mean_is_that_of_the_steps_since_the_start(start: int) -> None:
    """PyTorch's AveragedModel is the oracle: an equal average."""
    point = Point()
    average = WeightAverage(point, "mean", 0.0, start)
    oracle = AveragedModel(point)
    for step in range(1, 11):
        point.move()
        average.update(point, step)
        if step > start:
            oracle.update_parameters(point)
            assert close(average, dict(oracle.module.named_parameters()))
        else:
            assert close(average, dict(point.named_parameters()))


def test_ema_is_the_naive_one_with_a_young_decay() -> None:
    point = Point()
    naive = {n: p.detach().double() for n, p in point.named_parameters()}
    average = WeightAverage(point, "ema", 0.8, 0)
    for step in range(1, 60):
        point.move()
        average.update(point, step)
        keep = min(0.8, step / (step + 10))
        naive = {n: keep * naive[n] + (1 - keep) * p for n, p in point.named_parameters()}
    assert close(average, {n: value.float() for n, value in naive.items()})


def test_none_is_the_network_itself_to_the_bit() -> None:
    point = Point()
    average = WeightAverage(point, "none", 0.9, 0)
    for step in range(1, 5):
        point.move()
        average.update(point, step)
        assert all(torch.equal(average.values[n], p) for n, p in point.named_parameters())


def test_copying_leaves_the_average_apart() -> None:
    point, other = Point(), Point()
    average = WeightAverage(point, "mean", 0.0, 0)
    average.copy_to(other)
    assert torch.equal(other.w, point.w)
    other.move()
    assert torch.equal(average.values["w"], point.w)


def test_statistics_are_the_means_over_the_batches() -> None:
    norm = nn.BatchNorm2d(3)
    batches = [3 * torch.randn(n, 3, 5, 4) + 2 for n in (4, 4, 3)]
    recompute_bn_stats(nn.Sequential(norm), batches)
    means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variances = torch.stack([b.var((0, 2, 3), unbiased=True) for b in batches]).mean(0)
    assert torch.allclose(norm.get_buffer("running_mean"), means, atol=1e-6)
    assert torch.allclose(norm.get_buffer("running_var"), variances, atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


def test_statistics_of_a_network_agree_with_pytorch_s_update_bn() -> None:
    ours, theirs = (
        build_network("bn", 3, size=32, width=0.05, with_aux_heads=False,
                      generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )  # fmt: skip
    batches = [torch.randn(4, 3, 32, 32) for _ in range(3)]
    ours.eval()
    recompute_bn_stats(ours, batches)
    theirs.dropout.p = 0.0  # update_bn runs everything in training mode
    update_bn(batches, theirs)
    expected = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        assert torch.allclose(buffer, expected[name], atol=1e-5), name


def test_frozen_stages_keep_their_statistics() -> None:
    network = build_network("bn", 3, size=32, width=0.05, with_aux_heads=False).eval()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    recompute_bn_stats(network, [torch.randn(4, 3, 32, 32)], ("conv1", "inception_3a"))
    changed = {n.split(".")[0] for n, b in network.named_buffers() if not torch.equal(b, before[n])}
    assert {"conv2", "inception_3b", "inception_5b"} <= changed
    assert not {"conv1", "inception_3a"} & changed


def test_network_without_statistics_is_not_run() -> None:
    asked = iter([torch.zeros(1, 3, 32, 32)])
    recompute_bn_stats(Point(), asked)
    assert len(list(asked)) == 1
