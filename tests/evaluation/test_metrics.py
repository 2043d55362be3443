"""Figures by class against scikit-learn, on random answers; classes that are not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from googlenet.evaluation.metrics import ClassMetrics, by_row, confusion_matrix


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels, answers and the number of classes; some classes may be on neither side."""
    classes = draw(st.integers(2, 7))
    photos = draw(st.integers(1, 40))
    drawn = st.lists(st.integers(0, classes - 1), min_size=photos, max_size=photos)
    return np.array(draw(drawn)), np.array(draw(drawn)), classes


@given(answers())
def test_confusion_matrix_is_scikit_learn_s(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, found, classes = drawn
    matrix = confusion_matrix(labels, found, classes)
    expected = reference.confusion_matrix(labels, found, labels=range(classes))
    np.testing.assert_array_equal(matrix, expected)
    present = matrix.sum(1) > 0
    some = [int(c) for c in np.flatnonzero(present)]
    np.testing.assert_allclose(by_row(matrix)[present].sum(1), 1)
    assert not by_row(matrix)[~present].any()
    shares = reference.confusion_matrix(labels, found, labels=range(classes), normalize="true")
    np.testing.assert_allclose(by_row(matrix)[some], shares[some])


@given(answers())
def test_figures_by_class_are_scikit_learn_s(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, found, classes = drawn
    ours = ClassMetrics.of(labels, found, classes)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, found, labels=range(classes), zero_division=np.nan
    )
    np.testing.assert_array_equal(ours.support, support)
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_allclose(ours.precision, precision)
    there = support > 0
    np.testing.assert_allclose(ours.f1[there], f1[there])
    assert np.isnan(ours.f1[~there]).all()
    assert ours.missing == [int(i) for i in np.flatnonzero(~there)]


@given(answers())
def test_means_are_scikit_learn_s(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, found, classes = drawn
    ours = ClassMetrics.of(labels, found, classes)
    f1 = reference.f1_score(
        labels, found, labels=np.unique(labels), average="macro", zero_division=0
    )
    assert ours.macro_f1 == pytest.approx(f1)
    recall = reference.recall_score(
        labels, found, labels=np.unique(labels), average="macro", zero_division=0
    )
    assert ours.balanced_accuracy == pytest.approx(recall)


def test_balanced_accuracy_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    labels, found = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    ours = ClassMetrics.of(labels, found, 5).balanced_accuracy
    assert ours == pytest.approx(reference.balanced_accuracy_score(labels, found))


def test_class_without_images_is_named_and_undefined_not_bad() -> None:
    ours = ClassMetrics.of(np.array([0, 0, 1]), np.array([0, 2, 1]), 4)
    assert ours.missing == [2, 3]
    rows = ours.rows(["a", "b", "c", "d"])
    assert rows[0] == {
        "label": "a", "support": 2, "precision": 100.0, "recall": 50.0,
        "f1": pytest.approx(200 / 3),
    }  # fmt: skip
    assert rows[2] == {
        "label": "c", "support": 0, "precision": 0.0, "recall": None, "f1": None,
    }  # fmt: skip
    assert rows[3]["precision"] is None
    assert ours.balanced_accuracy == pytest.approx(0.75)
    assert ours.macro_f1 == pytest.approx((2 / 3 + 1) / 2)


def test_class_that_is_never_answered_has_an_f1_of_0() -> None:
    ours = ClassMetrics.of(np.array([0, 1]), np.array([0, 0]), 2)
    assert ours.f1.tolist() == [pytest.approx(2 / 3), 0.0]
