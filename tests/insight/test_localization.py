"""Boxes from maps: connected parts by SciPy, overlaps by hand, an object that is found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from googlenet.insight.explain import Explainer
from googlenet.insight.localization import (
    CENTER,
    largest_part,
    localize,
    map_box,
    overlap,
    points_into,
)
from tests.fixtures import tiny_classifier


def test_the_largest_part_is_scipy_s() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    for density in (0.1, 0.3, 0.5):
        mask = rng.random((20, 30)) < density
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        found = largest_part(mask)
        assert found.sum() == sizes.max()
        assert len(np.unique(labels[found])) == 1


def test_the_box_is_around_the_largest_part() -> None:
    level = np.zeros((10, 20), np.float32)
    level[2:5, 4:10] = 1
    level[8, 18] = 2
    np.testing.assert_allclose(map_box(level), [0.2, 0.2, 0.5, 0.5])
    np.testing.assert_allclose(map_box(level, 0.9), [0.9, 0.8, 0.95, 0.9])
    np.testing.assert_allclose(map_box(np.zeros((3, 3), np.float32)), [0, 0, 1, 1])


def test_overlaps() -> None:
    box = np.array([0.0, 0.0, 0.5, 0.5])
    assert overlap(box, np.array([[0.5, 0.5, 1, 1]])) == 0
    assert overlap(box, np.array([[0.5, 0.5, 1, 1], [0.25, 0, 0.75, 0.5]])) == pytest.approx(1 / 3)
    assert overlap(box, box[None]) == 1


def test_pointing() -> None:
    level = np.zeros((4, 4), np.float32)
    level[1, 2] = 1
    assert points_into(level, np.array([[0.5, 0.25, 0.75, 0.5]]))
    assert not points_into(level, np.array([[0, 0, 0.5, 1]]))


def test_the_localizer_s_box_lies_between_the_map_s_and_the_center_s() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 90, 3), np.uint8)
    explainer = Explainer(tiny_classifier(size=64))
    box = localize(explainer, Image.fromarray(pixels), 1)
    assert (box[:2] < box[2:]).all()
    np.testing.assert_array_less(0.2 * CENTER - 1e-9, box)
    np.testing.assert_array_less(box, 0.8 + 0.2 * CENTER + 1e-9)
    mirrored = localize(explainer, Image.fromarray(pixels[:, ::-1]), 1)
    # The map is of both mirror images; CENTER is as far from either side.
    np.testing.assert_allclose(mirrored, [1 - box[2], box[1], 1 - box[0], box[3]], atol=0.05)
