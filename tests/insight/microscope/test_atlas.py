"""The atlas: places that are alike come to lie together, and each cell tells of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from googlenet.data.dataset import Samples
from googlenet.insight.microscope import atlas
from googlenet.insight.microscope.build import build
from tests.fixtures import tinted
from tests.insight.microscope.small import small_plan
from tests.insight.microscope.test_build import value_of


def test_like_vectors_lie_together() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), 20)
    vectors = (np.eye(3, 8)[kinds] + 0.05 * rng.random((60, 8))).astype(np.float32)
    plane = atlas.layout(vectors, 0)
    assert plane.min() >= 0
    assert plane.max() <= 1
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(1)] == kinds).all()
    np.testing.assert_array_equal(atlas.layout(vectors, 0), plane)


def test_cells_have_every_point_once() -> None:
    plane = np.random.default_rng(1).random((100, 2))
    plane[0] = 1.0  # the border belongs to the last cell
    cells = atlas.cells_of(plane, 3)
    assert sorted(np.concatenate(list(cells.values()))) == list(range(100))
    assert 0 in cells[2, 2]


@pytest.mark.parametrize("count", [2, 20])
def test_a_site_with_an_atlas(tmp_path: Path, count: int) -> None:
    colors = ["red", "green", "blue"]
    images = tuple(np.asarray(tinted(colors[n % 3], n)) for n in range(count))
    samples = Samples(images, tuple(n % 3 for n in range(count)))
    plan = small_plan(tmp_path / "site", samples, atlas=("3a", "5b"), units=4, steps=1)
    assert build(plan).complete
    for layer in plan.layers:
        found = value_of(plan.folder, f"atlas-{layer.name}")
        places = sum(cell["count"] for cell in found["cells"])
        assert 0 < places <= count * min(atlas.PLACES, layer.side**2)
        for cell in found["cells"]:
            assert max(cell["at"]) < found["side"]
            assert cell["places"]
            for image, place in cell["places"]:
                assert 0 <= image < count
                assert 0 <= place < layer.side**2
            assert all(0 <= unit < layer.channels and value > 0 for unit, value in cell["units"])
