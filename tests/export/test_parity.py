"""The comparison's figures, on answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from googlenet.export.parity import LIMITS, Limits, Parity

BEFORE = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
AFTER = np.array([[0.6, 0.4], [0.55, 0.45], [0.9, 0.1], [0.6, 0.4]])
LABELS = np.array([0, 0, 1, 1])


def test_figures() -> None:
    found = Parity(BEFORE, AFTER, list("abcd"), LABELS).to_json()
    assert found["images"] == 4
    assert found["agreement"] == 50
    assert found["max_difference"] == pytest.approx(0.4)
    assert found["mean_difference"] == pytest.approx((0.1 + 0.15 + 0 + 0.4) / 4)
    assert (found["accuracy_before"], found["accuracy_after"]) == (50, 50)
    assert (found["became_wrong"], found["became_right"]) == (["d"], ["b"])


def test_without_labels_there_is_no_accuracy() -> None:
    found = Parity(BEFORE, AFTER, list("abcd")).to_json()
    assert found["accuracy_before"] is None
    assert found["accuracy_after"] is None
    assert found["became_wrong"] == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(50.0), None),
        (Limits(50.1), "top-1 agreement is 50.00 %, must be at least 50.1 %"),
        (Limits(50.0, 0.5), None),
        (Limits(50.0, 0.39), "a probability differs by 0.4, must by at most 0.39"),
    ],
)
def test_limits(limits: Limits, message: str | None) -> None:
    assert Parity(BEFORE, AFTER, list("abcd")).failure(limits) == message


def test_no_number_is_no_answer() -> None:
    after = AFTER.copy()
    after[0, 0] = np.nan
    assert Parity(BEFORE, after, list("abcd")).failure(Limits(0)) == (
        "some probabilities are not finite"
    )


def test_the_limits_are_the_promised_ones() -> None:
    assert {"fp32": Limits(100, 1e-4), "bf16": Limits(99), "int8": Limits(97)} == LIMITS
