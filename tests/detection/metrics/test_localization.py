"""Localization error in cases with known answers."""

from __future__ import annotations

import numpy as np

from googlenet.detection.annotations import Truth
from googlenet.detection.detections import Detections
from googlenet.detection.metrics.localization import localization_errors

TRUTH = Truth.of([[0, 0, 10, 10], [20, 20, 30, 30]], [2, 2])


def guesses(*rows: tuple[int, list[float]]) -> Detections:
    """Classes and boxes, best first."""
    return Detections(
        np.array([box for _, box in rows], np.float32).reshape(-1, 4),
        np.array([label for label, _ in rows], np.int64),
        np.linspace(0.9, 0.1, len(rows)).astype(np.float32),
    )


def test_any_box_of_the_class_will_do() -> None:
    assert localization_errors([TRUTH], [guesses((2, [20, 20, 30, 29]))]) == {1: 0, 5: 0}


def test_the_class_and_the_box_must_be_right() -> None:
    wrong_class, wrong_box = guesses((1, [0, 0, 10, 10])), guesses((2, [0, 0, 10, 4]))
    assert localization_errors([TRUTH] * 2, [wrong_class, wrong_box]) == {1: 100, 5: 100}


def test_five_guesses_are_five_classes() -> None:
    others = [(label, [0.0, 0, 10, 10]) for label in (0, 0, 1, 3, 4)]
    fifth = guesses(*others, (2, [0, 0, 10, 10]))
    sixth = guesses(*others, (5, [0, 0, 10, 10]), (2, [0, 0, 10, 10]))
    assert localization_errors([TRUTH] * 2, [fifth, sixth]) == {1: 100, 5: 50}


def test_the_best_box_of_a_class_is_its_guess() -> None:
    found = guesses((2, [50, 50, 60, 60]), (2, [0, 0, 10, 10]))
    assert localization_errors([TRUTH], [found]) == {1: 100, 5: 100}


def test_nothing_found_and_other_data() -> None:
    assert localization_errors([TRUTH], [Detections.none()]) == {1: 100, 5: 100}
    assert localization_errors([TRUTH, Truth.of()], [Detections.none()] * 2) is None
    assert localization_errors([Truth.of([[0, 0, 1, 1]] * 2, [0, 1])], [Detections.none()]) is None
