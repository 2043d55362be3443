"""Arithmetic of boxes, against closed forms and painted pixels."""

from __future__ import annotations

import numpy as np
import pytest

from googlenet.detection import boxes


def random_boxes(count: int, seed: int) -> boxes.Boxes:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 60, (count, 2))], 1)


def test_iou_of_known_boxes() -> None:
    first = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    assert boxes.iou(first, second) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))


def test_iou_counts_pixels() -> None:
    """Boxes with whole sides cover whole pixels: painted, they share as many."""
    found = random_boxes(20, 1).round()
    painted = np.zeros((20, 200, 200), bool)
    for mask, (x1, y1, x2, y2) in zip(painted, found.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    shared = (painted[:, None] & painted[None]).sum((2, 3))
    union = (painted[:, None] | painted[None]).sum((2, 3))
    np.testing.assert_allclose(boxes.iou(found, found), shared / union)


def test_decode_inverts_encode() -> None:
    targets, anchors = random_boxes(50, 2), random_boxes(50, 3)
    found = boxes.decode(boxes.encode(targets, anchors), anchors)
    np.testing.assert_allclose(found, targets, atol=1e-3)
    assert boxes.encode(anchors, anchors) == pytest.approx(np.zeros((50, 4)))


def test_decode_bounds_the_scale() -> None:
    found = boxes.decode(np.array([[0, 0, 99, 99]]), np.array([[0, 0, 16, 16]]))
    assert found == pytest.approx(np.array([[-492, -492, 508, 508]]))


def test_nms_keeps_the_best_of_each_cluster() -> None:
    found = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50], [0, 0, 10, 10]], float)
    scores = np.array([0.5, 0.9, 0.3, 0.5])
    assert boxes.nms(found, scores, 0.5).tolist() == [1, 2]
    assert boxes.nms(found, scores, 0.9).tolist() == [1, 0, 2]  # the last one is the first again


def test_nms_leaves_no_pair_above_the_threshold() -> None:
    found, scores = random_boxes(200, 4), np.random.default_rng(5).uniform(size=200)
    kept = boxes.nms(found, scores, 0.4)
    overlap = boxes.iou(found[kept], found[kept]) - np.eye(len(kept))
    assert overlap.max() <= 0.4
    gone = np.setdiff1d(np.arange(200), kept)
    assert (boxes.iou(found[gone], found[kept]).max(1) > 0.4).all()


def test_soft_nms_lowers_what_overlaps() -> None:
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [40, 40, 50, 50]], float)
    kept, scores = boxes.soft_nms(found, np.array([0.9, 0.8, 0.5]), sigma=0.5)
    assert kept.tolist() == [0, 2, 1]
    assert scores == pytest.approx([0.9, 0.5, 0.8 * np.exp(-2)])


def test_clip() -> None:
    assert boxes.clip(np.array([[-5.0, 3, 90, 40]]), 80, 30).tolist() == [[0, 3, 80, 30]]
