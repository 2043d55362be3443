"""Of very many images and classes rows are condensed: the same metrics, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from googlenet.evaluation import accuracy, details
from googlenet.evaluation.accuracy import output_sample, score
from googlenet.evaluation.details import confusion
from googlenet.evaluation.fit_calibration import fit_calibration
from googlenet.evaluation.label_issues import label_issues
from googlenet.evaluation.metric_ci import calibration_error, compute_metrics
from googlenet.evaluation.metrics import ClassMetrics, confusion_entries, confusion_matrix
from googlenet.evaluation.probability_rows import condense, restrict
from googlenet.evaluation.results_table import results_table
from googlenet.evaluation.scores import Scores
from googlenet.inference.calibration import Calibration
from tests.evaluation.test_accuracy import photos
from tests.fixtures import set_header, tiny_classifier


@contextmanager
def silent(total: int, name: str) -> Iterator[Any]:
    class Bar:
        def update(self) -> None: ...

    yield Bar()


def test_condensed_scores_have_the_same_metrics() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = (2 * torch.randn(300, 40, generator=generator, dtype=torch.float64)).softmax(1)
    labels = torch.randint(40, (300,), generator=generator)
    whole = Scores(rows, labels, tuple(range(300)))
    calibration = Calibration(1.7)
    scaled = whole.temperature_scaled(calibration)
    found = condense(rows, labels, scaled.probabilities)
    small = Scores(
        found.probabilities, labels, whole.indices,
        columns=found.columns, scaled=found.scaled, class_count=40,
    )  # fmt: skip
    assert small.probabilities.shape == (300, 6)
    assert compute_metrics(small) == compute_metrics(whole)
    assert small.classes == whole.classes == 40
    for one, other in ((small, whole), (small.temperature_scaled(calibration), scaled)):
        assert calibration_error(one) == calibration_error(other)
        torch.testing.assert_close(one.label_probability(), other.label_probability())


@pytest.mark.parametrize("views", [1, 10])
def test_scoring_condenses_above_a_limit(monkeypatch: pytest.MonkeyPatch, views: int) -> None:
    classifier, samples = tiny_classifier(), photos(9)
    set_header(classifier, calibration=Calibration(2.0))
    (whole,) = results_table([classifier], ["a"], samples, (views,), 1, silent)
    issues = label_issues(score(classifier, samples, views), samples, classifier.classes, "val")
    monkeypatch.setattr(accuracy, "WHOLE_VALUES", 1)
    monkeypatch.setattr(accuracy, "BLOCK", 2)
    (small,) = results_table([classifier], ["a"], samples, (views,), 1, silent)
    assert small.scores.columns is not None
    assert small.to_json() == whole.to_json()
    found = score(classifier, samples, views)
    assert label_issues(found, samples, classifier.classes, "val") == issues


def test_restricted_and_ensembles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, samples = tiny_classifier(), photos(6)
    expected = [
        r.to_json() for r in results_table([classifier] * 2, "ab", samples, (1,), 1, silent, [0, 2])
    ]
    monkeypatch.setattr(accuracy, "WHOLE_VALUES", 1)
    rows = results_table([classifier] * 2, "ab", samples, (1,), 1, silent, [0, 2])
    assert [row.to_json() for row in rows] == expected
    found = score(classifier, samples, allowed=[0, 2])
    assert found.columns is not None
    whole = restrict(score(classifier, samples, whole=True).probabilities, [0, 2])
    assert found.predicted().tolist() == whole.argmax(1).tolist()


def test_calibration_is_fitted_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, samples = tiny_classifier(), photos(9)
    monkeypatch.setattr(accuracy, "OUTPUT_VALUES", 4 * len(classifier.classes))
    found = score(classifier, samples, keep_outputs=True)
    assert found.outputs is not None
    assert set(found.output_indices) == output_sample(9, len(classifier.classes))
    assert len(found.outputs.logits) == len(found.output_indices) == 4
    probabilities = found.probabilities[list(found.output_indices)]
    logits = torch.from_numpy(found.outputs.logits).double()
    torch.testing.assert_close(logits.softmax(1), probabilities, atol=1e-6, rtol=0)
    assert fit_calibration(found).to_json()["images"] == 4


def test_memory_is_that_of_images_plus_classes() -> None:
    """4,000 images of 4,000 classes: no array of their product."""
    import tracemalloc

    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, 4000, 4000), rng.integers(0, 4000, 4000)
    tracemalloc.start()
    metrics = ClassMetrics.of(labels, answers, 4000)
    metrics.rows([str(i) for i in range(4000)])
    entries = confusion_entries(labels, answers, 4000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(entries) <= 4000
    assert peak < 10e6


def test_the_matrix_of_many_classes_is_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.eye(3, dtype=torch.float64)[[0, 1, 1, 2]]
    scores = Scores(rows, torch.tensor([0, 1, 2, 2]), (0, 1, 2, 3))
    full = confusion(scores, ["a", "b", "c"])
    assert full["counts"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    monkeypatch.setattr(details, "MATRIX_CLASSES", 2)
    sparse = json.loads(json.dumps(confusion(scores, ["a", "b", "c"])))
    assert (sparse["counts"], sparse["by_row"]) == (None, None)
    matrix = confusion_matrix(scores.labels.numpy(), scores.predicted().numpy(), 3)
    assert sparse["entries"] == [[0, 0, 1], [1, 1, 1], [2, 1, 1], [2, 2, 1]]
    for true, predicted, count in sparse["entries"]:
        assert matrix[true, predicted] == count
