"""CutMix against its definition: the pixels, their shares, and soft labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.training.cutmix import CutMixBatch, cutmix
from googlenet.training.objective import BinaryCrossEntropy, CrossEntropy


def numbered(count: int, height: int = 24, width: int = 32) -> Tensor:
    """Images whose every pixel is the image's number."""
    return torch.arange(float(count))[:, None, None, None].expand(-1, 3, height, width).clone()


def test_no_mixing_draws_no_random_numbers() -> None:
    crops = numbered(4)
    before = torch.get_rng_state()
    assert cutmix(crops, 0.0).inputs is crops
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(20))
def test_each_image_has_a_box_of_its_partner(seed: int) -> None:
    torch.manual_seed(seed)
    crops = numbered(6)
    found = cutmix(crops, 1.0)
    assert torch.equal(crops, numbered(6))  # left as they were
    assert found.perm is not None
    assert sorted(found.perm.tolist()) == list(range(6))
    for number, (photo, partner) in enumerate(zip(found.inputs, found.perm, strict=True)):
        other = photo != number
        if partner == number:
            assert not other.any()
            continue
        assert (photo[other] == partner).all()
        assert 1 - other.float().mean().item() == pytest.approx(found.lam)
        rows, columns = other[0].any(1).nonzero()[:, 0], other[0].any(0).nonzero()[:, 0]
        assert other.all(0).sum() == len(rows) * len(columns)  # one box, in every channel
        if len(rows):
            assert rows[-1] - rows[0] + 1 == len(rows)
            assert columns[-1] - columns[0] + 1 == len(columns)


def test_boxes_are_of_every_size_and_cut_off_at_the_edges() -> None:
    """Of uniform area, but for what lies outside: a third of the images' own on average."""
    shares = []
    for seed in range(400):
        torch.manual_seed(seed)
        shares.append(cutmix(numbered(2, 64, 64), 1.0).lam)
    assert min(shares) < 0.2
    assert max(shares) > 0.99
    # The part of a box of side s inside along one axis is s - s²/4 on average; s² is uniform.
    inside = sum((u**0.5 - u / 4) ** 2 for u in (k / 1000 + 0.0005 for k in range(1000))) / 1000
    assert sum(shares) / len(shares) == pytest.approx(1 - inside, abs=0.05)


def test_a_share_of_the_steps_is_mixed() -> None:
    count = 0
    for seed in range(400):
        torch.manual_seed(seed)
        count += cutmix(numbered(2), 0.25).perm is not None
    assert count == pytest.approx(100, abs=35)  # four standard deviations


def soft(labels: Tensor, partners: Tensor) -> Tensor:
    return 0.7 * labels + 0.3 * labels[partners]


def test_its_loss_is_that_of_soft_labels() -> None:
    """PyTorch's cross-entropy with the classes' probabilities as target."""
    torch.manual_seed(0)
    logits, labels, partners = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1]), torch.randperm(5)
    found = CutMixBatch(torch.empty(0), partners, 0.7)
    target = soft(F.one_hot(labels, 3).float(), partners)
    expected = F.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(found.loss(CrossEntropy(0.1, ()), logits, labels, None), expected)


def test_its_loss_for_several_labels_is_that_of_soft_ones() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.randint(2, (5, 3)).float()
    partners = torch.randperm(5)
    expected = F.binary_cross_entropy_with_logits(logits, soft(labels, partners), reduction="sum")
    found = CutMixBatch(torch.empty(0), partners, 0.7)
    loss = found.loss(BinaryCrossEntropy(0.0, ()), logits, labels, None)
    torch.testing.assert_close(loss, expected / 5)


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_of_a_batch_add_up_to_the_whole(weighted: bool) -> None:
    """Two processes mix each its own share; each label counts by its class's weight."""
    torch.manual_seed(0)
    weights = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    objective = CrossEntropy(0.0, (), weights)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1])
    whole = objective.loss_denominator(labels)
    shares = [(slice(0, 4), torch.tensor([2, 0, 1, 3])), (slice(4, 6), torch.tensor([1, 0]))]
    found = sum(
        CutMixBatch(torch.empty(0), partners, 0.7).loss(objective, logits[at], labels[at], whole)
        for at, partners in shares
    )
    each = F.cross_entropy(logits, labels, weight=weights, reduction="none")
    others = labels[torch.tensor([2, 0, 1, 3, 5, 4])]
    other = F.cross_entropy(logits, others, weight=weights, reduction="none")
    total = 6 if weights is None else weights[labels].sum()
    torch.testing.assert_close(found, (0.7 * each + 0.3 * other).sum() / total)
