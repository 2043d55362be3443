"""Kinds of errors, in cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from googlenet.detection.annotations import Truth
from googlenet.detection.detections import Detections
from googlenet.detection.metrics.errors import KINDS, error_kinds
from tests.detection.metrics.random_data import random_images

TRUTH = Truth.of([[0, 0, 10, 10], [30, 30, 40, 40]], [0, 1])
ONE = Detections(np.array([[0, 0, 10, 10]], np.float32), np.array([0]), np.array([0.9], np.float32))


def with_one(box: list[float], label: int) -> Detections:
    """The first object found, and one detection more."""
    return Detections(
        np.concatenate([ONE.boxes, np.array([box], np.float32)]),
        np.array([0, label]),
        np.array([0.9, 0.8], np.float32),
    )


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ([30, 30, 40, 34], 1, "localization"),
        ([30, 30, 40, 40], 0, "class"),
        ([30, 30, 40, 34], 0, "both"),
        ([0, 0, 10, 9], 0, "duplicate"),
        ([60, 60, 70, 70], 1, "background"),
    ],
)
def test_each_kind(box: list[float], label: int, kind: str) -> None:
    found = error_kinds([TRUTH], [with_one(box, label)], 2)
    missed = int(kind in ("both", "duplicate", "background"))
    counts = {name: each.count for name, each in found.items()}
    assert counts == dict.fromkeys(KINDS, 0) | {kind: 1, "missed": missed}


def test_the_cost_of_each() -> None:
    """One of two classes is found: mAP is 50; the other's error, mended, wins the rest."""
    found = error_kinds([TRUTH], [with_one([30, 30, 40, 34], 1)], 2)
    assert found["localization"].cost == pytest.approx(50)
    found = error_kinds([TRUTH], [with_one([30, 30, 40, 40], 0)], 2)
    assert found["class"].cost == pytest.approx(50)
    found = error_kinds([TRUTH], [ONE], 2)
    assert found["missed"].count == 1
    assert found["missed"].cost == pytest.approx(50)
    first = Detections(
        np.array([[60, 60, 70, 70], [0, 0, 10, 10]], np.float32),
        np.array([0, 0]),
        np.array([0.9, 0.8], np.float32),
    )
    only = Truth.of([[0, 0, 10, 10]], [0])
    assert error_kinds([only], [first], 1)["background"].cost == pytest.approx(50)


def test_perfect_detections_have_no_errors() -> None:
    truths, _ = random_images(1)
    found = [Detections(t.boxes, t.labels, np.full(len(t), 0.5, np.float32)) for t in truths]
    for each in error_kinds(truths, found, 3).values():
        assert (each.count, each.cost) == (0, 0)


def test_every_detection_is_right_or_of_one_kind() -> None:
    truths, found = random_images(2, images=30, difficult=True)
    kinds = error_kinds(truths, found, 3)
    wrong = sum(each.count for name, each in kinds.items() if name != "missed")
    assert 0 < wrong < sum(map(len, found))
    assert all(each.cost >= 0 for each in kinds.values())


def test_difficult_boxes_are_not_missed() -> None:
    hard = Truth.of([[0, 0, 10, 10]], [0], difficult=[True])
    assert error_kinds([hard], [Detections.none()], 1)["missed"].count == 0
