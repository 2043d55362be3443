"""Limits that contradict each other are refused when the service is started."""

from __future__ import annotations

import pytest

from googlenet.images.decode import MAX_PIXELS
from googlenet.runtime.errors import UsageError
from googlenet.serving.limits import Limits


def test_defaults_agree() -> None:
    assert Limits().photos <= Limits().queue


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"queue": 0}, "queue must be more than 0, got 0"),
        ({"seconds": -1.0}, "seconds must be more than 0, got -1.0"),
        ({"batch_seconds": -1.0}, "batch_seconds must be more than 0"),
        ({"photos": 9, "queue": 8}, "must fit the queue, got 9 photos and a queue of 8"),
        ({"body": 10, "held": 9}, "must fit those of all, got 10 and 9"),
        ({"pixels": MAX_PIXELS + 1}, f"up to {MAX_PIXELS} pixels, got {MAX_PIXELS + 1}"),
    ],
)
def test_contradictions(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Limits(**values)  # type: ignore[arg-type]


def test_no_wait_for_a_batch_is_a_choice() -> None:
    assert Limits(batch_seconds=0).batch_seconds == 0
