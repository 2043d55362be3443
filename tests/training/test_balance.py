"""Weights and draws that make classes of unequal size count the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from googlenet.data.dataset import Samples
from googlenet.training.balance import balanced_order, class_counts, class_weights
from tests.training.small_runs import QUICK, nothing, same_bits, samples, state, trainer

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=120)


@given(LABELS)
def test_weights_are_scikit_learns_balanced_ones(labels: list[int]) -> None:
    present = np.unique(labels)
    weights = class_weights(class_counts(labels, 7))
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights[present], expected)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[6] == 0  # has no image


@given(LABELS, st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_every_class_is_drawn_equally_often_and_its_images_in_rounds(
    labels: list[int], seed: int, epoch: int
) -> None:
    draws = balanced_order(labels, seed, epoch)
    assert len(draws) == len(labels)
    assert len(set(draws.tolist())) == len(labels)
    drawn = draws % len(labels)
    by_class = Counter(labels[i] for i in drawn)
    assert set(by_class) == set(labels) or len(labels) < len(set(labels))
    assert max(by_class.values()) - min(by_class.values()) <= 1
    for label in set(labels):
        members = [i for i, other in enumerate(labels) if other == label]
        times = [int((drawn == i).sum()) for i in members]
        assert max(times) - min(times) <= 1
        for i, count in zip(members, times, strict=True):  # its draws count from 0
            assert sorted(draws[drawn == i] // len(labels)) == list(range(count))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    labels = [0] * 20 + [1] * 3
    orders = {tuple(balanced_order(labels, s, e).tolist()) for s in range(3) for e in range(3)}
    assert len(orders) == 9
    assert tuple(balanced_order(labels, 1, 2).tolist()) in orders


def uneven() -> Samples:
    """Ten images: seven of one class, two of another, one of the third."""
    return Samples(samples(10).sources, (0, 0, 0, 0, 0, 0, 0, 1, 1, 2))


def test_a_balanced_epoch_sees_every_class_alike() -> None:
    t = trainer(QUICK.with_settings({"balance": "balanced_sampler"}), uneven())
    seen = Counter(int(label) for batch in t.batches(0) for label in batch.labels)
    assert sorted(seen.values()) == [3, 3, 4]


@pytest.mark.parametrize("balance", ["class_weights", "balanced_sampler"])
def test_balance_repeats_to_the_bit_and_makes_a_difference(balance: str) -> None:
    recipe = QUICK.with_settings({"balance": balance, "epochs": 1})
    one, other = (trainer(recipe, uneven(), workers=w) for w in (1, 3))
    plain = trainer(QUICK.with_settings({"epochs": 1}), uneven())
    for t in (one, other, plain):
        t.train_epoch(nothing)
    assert same_bits(state(one.averaged_model()), state(other.averaged_model()))
    assert not same_bits(state(one.network), state(plain.network))
