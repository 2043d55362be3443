"""Figures of several labels an image against scikit-learn's on random answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from googlenet.evaluation.multilabel import (
    MULTILABEL_METRICS,
    MultilabelMetrics,
    average_precision,
    multilabel_metrics,
)
from googlenet.evaluation.scores import Scores


@pytest.fixture(params=range(4))
def figures(request: pytest.FixtureRequest) -> MultilabelMetrics:
    """60 images, five classes: one that none has, one that all have; many equal scores."""
    rng = np.random.default_rng(request.param)
    marks = rng.random((60, 5)) < (0.5, 0.1, 0.02 + 0.3 * (request.param > 1), 0.0, 1.0)
    marks[0, 2] = True
    return MultilabelMetrics(marks, rng.random((60, 5)).round(1 + request.param), 0.6)


def test_average_precision_is_scikit_learns(figures: MultilabelMetrics) -> None:
    expected = [
        average_precision_score(figures.multi_hot[:, c], figures.probabilities[:, c])
        for c in (0, 1, 2, 4)
    ]
    found = figures.average_precision
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected)
    assert np.isnan(found[3])  # there it is not defined; scikit-learn warns and says 0
    assert figures.means()["mean_average_precision"] == pytest.approx(np.mean(expected))
    assert figures.missing == [3]


def test_f1_is_scikit_learns(figures: MultilabelMetrics) -> None:
    answers, there = figures.probabilities > 0.6, [0, 1, 2, 4]
    means = figures.means()
    assert means["micro_f1"] == pytest.approx(f1_score(figures.multi_hot, answers, average="micro"))
    each = {"labels": there, "zero_division": 0}
    macro = f1_score(figures.multi_hot, answers, average="macro", **each)
    assert means["macro_f1"] == pytest.approx(macro)
    rows = figures.rows(list("abcde"))
    for name, score in (("f1", f1_score), ("recall", recall_score), ("precision", precision_score)):
        expected = score(figures.multi_hot, answers, average=None, **each)
        assert [rows[c][name] or 0 for c in there] == pytest.approx((100 * expected).tolist())
    nothing = {"label": "d", "support": 0, "average_precision": None, "recall": None, "f1": None}
    assert nothing.items() <= rows[3].items()


def test_draws_count_images_as_often_as_they_are_drawn(figures: MultilabelMetrics) -> None:
    """Weights against the same images written out."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 60, (7, 60))
    counts = np.stack([np.bincount(draw, minlength=60) for draw in draws]).astype(float)
    found = figures.means(counts)
    for at, draw in enumerate(draws):
        drawn = MultilabelMetrics(figures.multi_hot[draw], figures.probabilities[draw], 0.6).means()
        for name, value in drawn.items():
            assert found[name][at] == pytest.approx(float(value[0])), name


def test_intervals_hold_the_figures_and_narrow_with_images() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for photos in (50, 800):
        marks = rng.random((photos, 3)) < 0.4
        sure = torch.from_numpy(np.clip(marks * 0.4 + rng.random((photos, 3)) * 0.6, 0, 1))
        scores = Scores(sure, torch.from_numpy(marks), tuple(range(photos)))
        found = multilabel_metrics(scores, 0.5, resamples=200)
        assert tuple(found) == MULTILABEL_METRICS
        for figure in found.values():
            assert figure.interval is not None
            assert 0 <= figure.interval.low < figure.value < figure.interval.high <= 100
        interval = found["exact_match"].interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert 2 < widths[0] / widths[1] < 8  # the square root of 16 would be 4


def test_no_image_has_any_class() -> None:
    probabilities = torch.full((3, 2), 0.1, dtype=torch.float64)
    scores = Scores(probabilities, torch.zeros((3, 2), dtype=torch.bool), (0, 1, 2))
    found = multilabel_metrics(scores, 0.5, resamples=10)
    assert list(found) == ["exact_match"]
    assert found["exact_match"].value == 100


def test_perfect_and_worst_order() -> None:
    marks, scores = np.array([True, True, False, False]), np.array([0.9, 0.8, 0.3, 0.1])
    assert average_precision(marks, scores) == 1
    assert average_precision(~marks, scores) == pytest.approx((1 / 3 + 2 / 4) / 2)
