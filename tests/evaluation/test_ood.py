"""The threshold for unknown: its false alarms, what it finds, and figures of scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from googlenet.evaluation.calibration_error import two_folds
from googlenet.evaluation.ood import (
    area_under_roc,
    detection_rate,
    direction_counts,
    fit_basis,
    fit_ood_detector,
    rejected,
    threshold_of,
)
from googlenet.inference.calibration import ENERGY, ENERGY_AND_ANGLES
from googlenet.inference.outputs import Outputs
from googlenet.runtime.errors import UsageError

WIDTHS, CLASSES = (48, 40), 5


def outputs(photos: int, seed: int, spread: float = 0.0) -> Outputs:
    """Each part in five directions and a little around them, `spread` elsewhere; their logits."""
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(99)
    places = 3 * torch.randn(photos, CLASSES, generator=generator)
    parts = []
    for width in WIDTHS:
        basis = torch.linalg.qr(torch.randn(width, CLASSES, generator=fixed))[0]
        around = (0.2 + spread) * torch.randn(photos, width, generator=generator)
        parts.append(places @ basis.T + around)
    weight = torch.randn(WIDTHS[-1], CLASSES, generator=fixed)
    return Outputs((parts[-1] @ weight).numpy(), torch.cat(parts, 1).numpy(), WIDTHS)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
def test_area_is_scikit_learn_s(known: list[int], unknown: list[int]) -> None:
    expected = roc_auc_score([1] * len(known) + [0] * len(unknown), known + unknown)
    found = area_under_roc(np.array(known, float), np.array(unknown, float))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("share", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("photos", [120, 999])
def test_threshold_keeps_its_false_alarms_for_images_to_come(share: float, photos: int) -> None:
    """Over many draws the mean share of new scores below it is the share that was asked for."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        threshold = threshold_of(rng.random(photos), share)
        assert threshold is not None
        found.append(threshold)  # of uniform scores it is the share below it
    assert np.mean(found) <= share / 100 + 0.002
    assert np.mean(found) > share / 100 - 1 / photos - 0.002


def test_threshold_of_too_few_images_is_none() -> None:
    assert threshold_of(np.arange(18.0), 5) is None
    assert threshold_of(np.arange(19.0), 5) == 0.0
    assert fit_ood_detector(outputs(10, 0)) is None
    assert rejected(outputs(30, 0), 5.0, two_folds(30)) is None


def test_directions_are_the_leading_singular_vectors() -> None:
    known = outputs(400, 0)
    assert known.ood_features is not None
    part = known.ood_features[:, : WIDTHS[0]]
    theirs = np.linalg.svd(part.astype(np.float64), full_matrices=False)[2][:CLASSES]
    ours = fit_basis(part, CLASSES).astype(np.float64)
    np.testing.assert_allclose(ours @ ours.T, theirs.T @ theirs, atol=1e-4)
    assert direction_counts(known._replace(logits=np.zeros((5, 1000), np.float32))) == [12, 10]
    assert direction_counts(known) == [CLASSES + 1] * 2


def test_false_alarms_of_new_images_are_as_asked_for() -> None:
    known = outputs(2000, 0)
    unknown = fit_ood_detector(known)
    assert unknown
    assert unknown.score == ENERGY_AND_ANGLES
    new = unknown.id_scores(outputs(4000, 1))
    assert detection_rate(unknown.threshold, new) == pytest.approx(0.05, abs=0.015)
    crossed = rejected(known, 5.0, two_folds(2000))
    assert crossed is not None
    assert crossed.mean() == pytest.approx(0.05, abs=0.02)


def test_images_that_point_elsewhere_are_told_better_than_by_their_logits() -> None:
    fitted, known, far = outputs(2000, 0), outputs(2000, 1), outputs(500, 2, spread=3.0)

    def area(summary: bool) -> float:
        unknown = fit_ood_detector(fitted if summary else Outputs(fitted.logits, None))
        assert unknown
        return area_under_roc(unknown.id_scores(known), unknown.id_scores(far))

    assert area(summary=True) > area(summary=False) + 0.2


def test_few_images_leave_the_energy() -> None:
    few = fit_ood_detector(outputs(8 * CLASSES + 7, 0))
    assert few
    assert (few.score, few.tensors) == (ENERGY, {})
    enough = fit_ood_detector(outputs(8 * CLASSES + 8, 0))
    assert enough
    assert enough.score == ENERGY_AND_ANGLES
    assert enough.fits(WIDTHS)


def test_means_that_never_vary_are_no_error() -> None:
    still = outputs(300, 0)._replace(ood_features=np.ones((300, sum(WIDTHS)), np.float32))
    unknown = fit_ood_detector(still)
    assert unknown
    assert np.isfinite(unknown.id_scores(still)).all()


@pytest.mark.parametrize("share", [0.0, 100.0, -1.0, float("nan")])
def test_false_alarms_that_are_no_share(share: float) -> None:
    with pytest.raises(UsageError, match="target FPR must be above 0 and below 100 percent"):
        fit_ood_detector(outputs(40, 0), share)


def test_images_that_leave_one_half_without_a_threshold_have_one_together() -> None:
    """Two classes need 12 images a half for the directions, but 19 for a threshold at 5 %."""
    both = outputs(30, 0)
    two = both._replace(logits=both.logits[:, :2])
    found = fit_ood_detector(two)
    assert found
    assert found.score == ENERGY
    wide = fit_ood_detector(two, 10.0)
    assert wide
    assert wide.score == ENERGY_AND_ANGLES
