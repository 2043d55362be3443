"""Intervals: what they cover in simulations, where they end, that they repeat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import f1_score

from googlenet.evaluation.calibration_error import bin_of
from googlenet.evaluation.intervals import (
    Interval,
    bias_corrected,
    ece_ci,
    percentile,
    proportion_interval,
    resampled,
)
from googlenet.evaluation.metric_ci import MetricCI, compute_metrics, ece_metric, to_json
from googlenet.evaluation.scores import Scores


def scores(photos: int, classes: int, seed: int, right: float = 2.0) -> Scores:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(photos, classes)), rng.integers(0, classes, photos)
    logits[np.arange(photos), labels] += right
    probabilities = torch.from_numpy(logits).softmax(1)
    return Scores(probabilities, torch.from_numpy(labels), tuple(range(photos)))


def test_percentiles_are_scipy_s_bootstrap() -> None:
    """Both draw 20,000 times, with other random numbers."""
    right = np.random.default_rng(0).random(150) < 0.8
    values = resampled(lambda draws: {"x": right[draws].mean(1)}, 150, 20_000)["x"]
    theirs = bootstrap(
        (right,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    )
    expected = theirs.confidence_interval
    assert percentile(values) == pytest.approx((expected.low, expected.high), abs=0.007)


def test_draws_repeat_and_do_not_depend_on_their_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scores(80, 4, 0)
    first = compute_metrics(found, 1000)
    assert compute_metrics(found, 1000) == first
    assert compute_metrics(found, 1000, seed=1) != first
    assert {len(figure.interval or ()) for figure in first.values()} == {2}
    monkeypatch.setattr("googlenet.evaluation.intervals.MAX_DRAWN_AT_ONCE", 1000)
    assert compute_metrics(found, 1000) == first


@pytest.mark.parametrize("hits", [0, 37])
def test_images_that_are_all_alike_have_the_exact_interval(hits: int) -> None:
    alike = np.full(100, hits / 37)
    expected = binomtest(hits, 37).proportion_ci(method="exact")
    assert proportion_interval(alike, hits, 37) == pytest.approx((expected.low, expected.high))


def test_figures_are_scikit_learn_s_and_lie_in_their_intervals() -> None:
    found = scores(300, 12, 3)
    shown = compute_metrics(found, 1000)
    assert shown["top1_accuracy"].value == pytest.approx(100 - found.error(1))
    assert shown["top5_accuracy"].value == pytest.approx(100 - found.error(5))
    f1 = f1_score(found.labels, found.predicted(), average="macro")
    assert shown["macro_f1"].value == pytest.approx(100 * f1)
    for figure in shown.values():
        assert figure.interval is not None
        assert figure.interval.low < figure.value < figure.interval.high
        assert figure.complement.value == 100 - figure.value
        assert figure.complement.interval == (100 - figure.interval[1], 100 - figure.interval[0])
    assert to_json(shown)["intervals"]["macro_f1"] == list(shown["macro_f1"].interval or ())


def test_nothing_is_claimed_where_nothing_can_be_told() -> None:
    """Every image right: of the share there is an exact bound, of the means there is none."""
    shown = compute_metrics(scores(40, 3, 0, right=50.0), 1000)
    assert shown["top1_accuracy"].value == 100
    assert shown["top1_accuracy"].interval == pytest.approx((91.19, 100), abs=0.01)
    assert shown["macro_f1"] == MetricCI(100.0, None)
    assert str(shown["macro_f1"]) == "100.0 %"
    assert shown["top5_accuracy"].interval == (100.0, 100.0)  # of three classes: always
    assert to_json(shown)["intervals"]["balanced_accuracy"] is None


def test_figure_is_shown_with_its_interval() -> None:
    assert str(MetricCI(81.38, Interval(80.11, 82.61))) == "81.4 % (95 %: 80.1–82.6)"


def test_calibration_error_of_a_calibrated_model_may_be_0() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 400)
    shown = ece_metric(confidence, rng.random(400) < confidence, 1000)
    assert shown.interval is not None
    assert shown.interval.low == 0
    sure = ece_metric(np.full(400, 0.99), rng.random(400) < 0.6, 1000)
    assert sure.interval is not None
    assert sure.interval.low > 30


def covered(
    draw: Callable[[np.random.Generator], tuple[float, Interval | None]], times: int
) -> float:
    """How often an interval holds the truth."""
    hits = 0
    for seed in range(times):
        truth, interval = draw(np.random.default_rng(seed))
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    return hits / times


def random_answers(rng: np.random.Generator, labels: np.ndarray, classes: int) -> np.ndarray:
    """Answers that are right with a chance of the class's own, else the class's neighbor."""
    chance = 0.7 + 0.25 * np.sin(np.arange(classes))
    right = rng.random(len(labels)) < chance[labels]
    return np.where(right, labels, (labels + 1) % classes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["top1_accuracy", "macro_f1", "balanced_accuracy"])
@pytest.mark.parametrize(("photos", "classes"), [(400, 10), (1500, 50)])
def test_intervals_cover_the_truth(name: str, photos: int, classes: int) -> None:
    """300 worlds of known figures: a 95 % interval may miss in 5 ± 3.8 % (three deviations)."""
    many = np.random.default_rng(9)
    labels = many.integers(0, classes, 1_000_000)
    truth = figures_of(labels, random_answers(many, labels, classes), classes, 1)[name].value

    def world(rng: np.random.Generator) -> tuple[float, Interval | None]:
        labels = rng.integers(0, classes, photos)
        found = figures_of(labels, random_answers(rng, labels, classes), classes, 1000)
        return truth, found[name].interval

    assert covered(world, 300) > 0.95 - 0.038


def figures_of(
    labels: np.ndarray, answers: np.ndarray, classes: int, resamples: int
) -> dict[str, MetricCI]:
    certain = torch.nn.functional.one_hot(torch.from_numpy(answers), classes).float()
    return compute_metrics(
        Scores(certain, torch.from_numpy(labels), tuple(range(len(labels)))), resamples
    )


@pytest.mark.slow
@pytest.mark.parametrize("excess", [0.0, 0.04, 0.15])
@pytest.mark.parametrize("photos", [300, 2000])
def test_interval_of_the_calibration_error_covers_the_truth(excess: float, photos: int) -> None:
    """Confidences that are too high by a known amount.  Plain percentiles cover 0 % at none."""
    many = np.random.default_rng(9).beta(3, 1, 1_000_000)
    gaps = excess * (many - 0.1)
    truth = 100 * np.abs(np.bincount(bin_of(many), gaps)).sum() / len(many)

    def world(rng: np.random.Generator) -> tuple[float, Interval | None]:
        confidence = rng.beta(3, 1, photos)
        right = rng.random(photos) < confidence - excess * (confidence - 0.1)
        return float(truth), ece_metric(confidence, right, 1000).interval

    assert covered(world, 200) > 0.88


def test_intervals_stay_in_the_range_and_hold_the_error_that_was_found() -> None:
    draws = np.array([0.08, 0.1, 0.12])
    held = ece_ci(draws, 0.05, np.zeros(3))
    assert held.low == 0
    assert held.high == pytest.approx(0.05)
    kept = bias_corrected(np.array([0.9, 1.0]), 1.0)
    assert kept is not None
    assert kept.high == 1
    assert bias_corrected(np.ones(3), 1.0) is None
