"""Muon: orthogonal steps of a known angle, against SVD, PyTorch's Muon and PyTorch's SGD."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from googlenet.models.registry import build_network
from googlenet.training.muon import Muon, orthogonalize
from googlenet.training.optimizer import build_optimizer, scale_learning_rates
from googlenet.training.recipes import MODERN


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16), (1, 9)])
def test_orthogonal_has_the_singular_vectors_and_values_near_one(shape: tuple[int, int]) -> None:
    """Against SVD, an oracle that is exact: X = U·S·Vᵀ becomes about U·Vᵀ."""
    matrix = random(*shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonalize([matrix])[0] @ v.T
    values = inside.diagonal()
    assert values.min() > 0.6
    assert values.max() < 1.3
    assert (inside - values.diag()).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(40, 200), (200, 40), (64, 64)])
def test_orthogonal_is_the_published_iteration(shape: tuple[int, int]) -> None:
    """Step by step in float64, on a matrix whose singular values fall to a thousandth."""
    u, s, v = torch.linalg.svd(random(*shape), full_matrices=False)
    matrix = (u * torch.logspace(0, -3, len(s))) @ v
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert (orthogonalize([matrix])[0] - x).norm() < 1e-3 * x.norm()


def test_several_matrices_are_what_each_is_alone() -> None:
    """Those with as many rows go through the steps in one stack."""
    matrices = [random(*shape) for shape in ((8, 30), (30, 8), (8, 8), (16, 20), (1, 9))]
    for together, matrix in zip(orthogonalize(matrices), matrices, strict=True):
        assert together.shape == matrix.shape
        torch.testing.assert_close(together, orthogonalize([matrix])[0])


def test_the_direction_is_that_of_pytorch_s_muon() -> None:
    """PyTorch's takes matrices only, computes in bfloat16 and has another length of step."""
    start, gradient = random(12, 40), random(12, 40).flip(0)
    theirs = nn.Parameter(start.clone())
    theirs.grad = gradient.clone()
    torch.optim.Muon([theirs], lr=0.1, weight_decay=0, momentum=0.9, nesterov=True).step()  # type: ignore[no-untyped-call]
    ours = nn.Parameter(start.clone()[:, :, None, None])
    ours.grad = gradient.clone()[:, :, None, None]
    Muon([{"params": [ours], "muon": True}], 0.1, 0.9, nesterov=True).step()
    norm = start.norm()
    moved = (ours.detach()[:, :, 0, 0] - start).flatten()
    along = (theirs.detach() - start).flatten()
    # What ours adds to keep the norm is along the start, so it is taken out of both.
    moved, along = (x - x @ start.flatten() / norm**2 * start.flatten() for x in (moved, along))
    assert torch.cosine_similarity(moved, along, dim=0) > 0.999


def test_a_step_is_an_angle_and_keeps_the_norm() -> None:
    filters = nn.Parameter(random(16, 8, 3, 3))
    before = filters.detach().clone()
    gradient = random(16, 8, 3, 3).flip(0)
    # Of a gradient along the filters nothing turns; of one across them, all of it.
    filters.grad = gradient
    Muon([{"params": [filters], "muon": True}], 0.05, 0.0, nesterov=False).step()
    assert filters.norm().item() == pytest.approx(before.norm().item(), rel=1e-6)
    cosine = torch.cosine_similarity(filters.detach().flatten(), before.flatten(), dim=0)
    along = torch.cosine_similarity(
        orthogonalize([gradient.flatten(1)])[0].flatten(), before.flatten(), dim=0
    )
    length = 0.05
    expected = (1 - length * along) / (1 - 2 * length * along + length**2).sqrt()
    assert cosine.item() == pytest.approx(expected.item(), abs=1e-6)


def test_other_groups_are_sgd_s_bits() -> None:
    start = random(5, 4)
    groups = [(nn.Parameter(start.clone()), kind) for kind in ("ours", "theirs")]
    (ours, _), (theirs, _) = groups
    muon = Muon([{"params": [ours], "weight_decay": 0.01}], 0.1, 0.9, nesterov=True)
    sgd = torch.optim.SGD(
        [theirs], 0.1, momentum=0.9, weight_decay=0.01, nesterov=True, foreach=False
    )
    for step in range(4):
        for parameter, optimizer in ((ours, muon), (theirs, sgd)):
            parameter.grad = random(4, 5).T.contiguous() * (step + 1)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_only_filters_before_batch_normalization_turn() -> None:
    recipe = MODERN.with_settings({"optimizer": "muon", "muon_lr": 0.05, "learning_rate": 0.1})
    network = build_network("bn", 3, size=32, width=0.05)
    names = {id(p): name for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, recipe, ("conv1.conv.weight",))
    found = {
        names[id(p)]: (group["muon"], group["weight_decay"], group["initial_lr"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    other_lr = 0.1 * recipe.non_muon_lr_scale
    assert found["conv1.conv.weight"] == (
        True, 0.0, 0.05 * recipe.pretrained_lr_scale**0.5,
    )  # fmt: skip
    assert found["aux_4a.conv.conv.weight"] == (True, 0.0, 0.05)
    assert found["classifier.weight"] == (False, recipe.weight_decay, other_lr)
    assert found["conv1.bn.weight"] == (False, 0.0, other_lr)
    plain = build_network("paper", 3, size=32, width=0.05)
    assert not any(group["muon"] for group in build_optimizer(plain, recipe).param_groups)


def test_sgd_has_one_rate_for_filters_and_the_rest() -> None:
    recipe = MODERN.with_settings({"optimizer": "sgd", "non_muon_lr_scale": 0.2})
    network = build_network("bn", 3, size=32, width=0.05)
    assert {group["initial_lr"] for group in build_optimizer(network, recipe).param_groups} == {
        recipe.learning_rate
    }


def test_at_the_full_rate_a_step_turns_by_the_recipe_s_angle() -> None:
    recipe = MODERN.with_settings({"optimizer": "muon", "muon_lr": 0.02, "momentum": 0})
    network = build_network("bn", 3, size=32, width=0.05, with_aux_heads=False)
    filters = network.get_parameter("inception_4a.3x3.conv.weight")
    before = filters.detach().clone()
    filters.grad = random(*filters.shape)
    optimizer = build_optimizer(network, recipe)
    scale_learning_rates(optimizer, 1.0)
    optimizer.step()
    moved = (filters.detach() - before).norm() / before.norm()
    assert moved.item() == pytest.approx(0.02, rel=0.02)
    # A rate of zero, as at the beginning of the warm-up, changes nothing but the last digit.
    before = filters.detach().clone()
    scale_learning_rates(optimizer, 0.0)
    optimizer.step()
    torch.testing.assert_close(filters.detach(), before, rtol=1e-6, atol=0)
