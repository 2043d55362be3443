"""Which regions are learned from."""

from __future__ import annotations

import numpy as np

from googlenet.detection import boxes as box
from googlenet.detection.annotations import Truth
from googlenet.detection.detector import STEP_SCALE
from googlenet.detection.recipe import DetectionRecipe
from googlenet.detection.sampling import Regions, mirror, sample

SIZE = (100, 80)
TRUTH = Truth.of([[10, 10, 40, 40], [60, 20, 90, 70]], [1, 0])


def regions(truth: Truth = TRUTH, recipe: DetectionRecipe | None = None, seed: int = 0) -> Regions:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (300, 2))
    proposals = np.concatenate([corners, corners + rng.uniform(5, 40, (300, 2))], 1)
    found = proposals.astype(np.float32)
    return sample(truth, found, SIZE, recipe or DetectionRecipe(), np.random.default_rng(seed))


def test_objects_and_background_in_balance() -> None:
    found = regions()
    overlap = box.iou(found.boxes, TRUTH.boxes)
    objects = found.labels > 0
    assert len(found.labels) == DetectionRecipe().regions
    assert 0 < objects.sum() <= DetectionRecipe().regions / 4
    assert (overlap[objects].max(1) >= 0.5).all()
    assert (overlap[~objects].max(1) < 0.5).all()
    expected = TRUTH.labels[overlap[objects].argmax(1)] + 1
    assert (found.labels[objects] == expected).all()


def test_steps_lead_to_the_true_box() -> None:
    found = regions()
    objects = found.labels > 0
    reached = box.decode(found.steps[objects] / STEP_SCALE, found.boxes[objects])
    true = TRUTH.boxes[box.iou(found.boxes[objects], TRUTH.boxes).argmax(1)]
    np.testing.assert_allclose(reached, true, atol=1e-3)
    assert not found.steps[~objects].any()


def test_difficult_boxes_are_neither_object_nor_background() -> None:
    hidden = Truth.of([[0, 0, 100, 80]], [0], difficult=[True])
    found = regions(hidden)
    assert not found.labels.any()
    assert (box.iou(found.boxes, hidden.boxes) < 0.3).all()


def test_an_image_without_boxes_is_background() -> None:
    found = regions(Truth.of())
    assert len(found.labels) == DetectionRecipe().regions
    assert not found.labels.any()


def test_the_same_generator_draws_the_same() -> None:
    first, second, other = regions(seed=3), regions(seed=3), regions(seed=4)
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.boxes, other.boxes)


def test_moved_boxes_stay_inside() -> None:
    found = regions(recipe=DetectionRecipe(jitter=20, positives=0.9))
    assert (found.labels > 0).sum() == 43
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [*SIZE, *SIZE]).all()


def test_mirror() -> None:
    found = regions()
    seen = mirror(found, SIZE[0])
    objects = found.labels > 0
    reached = box.decode(seen.steps[objects] / STEP_SCALE, seen.boxes[objects])
    expected = box.decode(found.steps[objects] / STEP_SCALE, found.boxes[objects])
    expected[:, [0, 2]] = SIZE[0] - expected[:, [2, 0]]
    np.testing.assert_allclose(reached, expected, atol=1e-3)
    again = mirror(seen, SIZE[0])
    np.testing.assert_allclose(again.boxes, found.boxes, atol=1e-4)
