"""Limits that contradict each other are refused when the service is started."""

from __future__ import annotations

import pytest

from googlenet.images.pixel_limit import MAX_PIXELS
from googlenet.runtime.errors import UsageError
from googlenet.serving.limits import Limits


def test_defaults_agree() -> None:
    assert Limits().max_images <= Limits().max_queue


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_queue": 0}, "--max-queue must be more than 0, got 0"),
        ({"timeout": -1.0}, "--timeout must be more than 0, got -1.0"),
        ({"batch_wait": -1.0}, "--batch-wait must be more than 0"),
        ({"max_images": 9, "max_queue": 8}, "at least --max-images, got 8 and 9"),
        ({"max_body": 10, "max_memory": 9}, "at least --max-body, got 9 and 10 bytes"),
        ({"max_pixels": MAX_PIXELS + 1}, f"at most {MAX_PIXELS}, .* got {MAX_PIXELS + 1}"),
    ],
)
def test_contradictions(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Limits(**values)  # type: ignore[arg-type]


def test_no_wait_for_a_batch_is_a_choice() -> None:
    assert Limits(batch_wait=0).batch_wait == 0
