"""Figures of several labels a photo against scikit-learn's on random answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from googlenet.evaluation.multilabel import SeveralLabels, average_precision


@pytest.fixture(params=range(4))
def figures(request: pytest.FixtureRequest) -> SeveralLabels:
    """60 photos, five classes: one that none has, one that all have; many equal scores."""
    rng = np.random.default_rng(request.param)
    marks = rng.random((60, 5)) < (0.5, 0.1, 0.02 + 0.3 * (request.param > 1), 0.0, 1.0)
    marks[0, 2] = True
    return SeveralLabels(marks, rng.random((60, 5)).round(1 + request.param), 0.6)


def test_average_precision_is_scikit_learns(figures: SeveralLabels) -> None:
    expected = [
        average_precision_score(figures.marks[:, c], figures.probabilities[:, c])
        for c in (0, 1, 2, 4)
    ]
    found = figures.average_precision
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected)
    assert np.isnan(found[3])  # there it is not defined; scikit-learn warns and says 0
    assert figures.mean_average_precision == pytest.approx(np.mean(expected))


def test_f1_is_scikit_learns(figures: SeveralLabels) -> None:
    answers = figures.probabilities > 0.6
    there = [0, 1, 2, 4]
    for average, found in (("micro", figures.micro_f1), ("macro", figures.macro_f1)):
        labels = None if average == "micro" else there
        expected = f1_score(figures.marks, answers, labels=labels, average=average, zero_division=0)
        assert found == pytest.approx(expected)
    each = f1_score(figures.marks, answers, labels=there, average=None, zero_division=0)
    np.testing.assert_allclose(figures.f1[there], each)


def test_exact_answers() -> None:
    marks = np.array([[1, 0], [1, 1], [0, 0]], bool)
    found = SeveralLabels(marks, np.array([[0.9, 0.5], [0.9, 0.2], [0.1, 0.1]]))
    assert found.exact == pytest.approx(2 / 3)


def test_no_photo_has_any_class() -> None:
    found = SeveralLabels(np.zeros((3, 2), bool), np.full((3, 2), 0.1))
    assert np.isnan([found.mean_average_precision, found.macro_f1, found.micro_f1]).all()
    assert found.exact == 1


def test_perfect_and_worst_order() -> None:
    marks, scores = np.array([True, True, False, False]), np.array([0.9, 0.8, 0.3, 0.1])
    assert average_precision(marks, scores) == 1
    assert average_precision(~marks, scores) == pytest.approx((1 / 3 + 2 / 4) / 2)
