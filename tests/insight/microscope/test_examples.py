"""The images that excite a unit, against all activations at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.data.dataset import Samples
from googlenet.images.view import load_view
from googlenet.insight.microscope import examples
from googlenet.insight.microscope.plan import Plan
from tests.insight.microscope.small import samples, small_plan


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Thirty images in chunks of seven."""
    monkeypatch.setattr("googlenet.insight.microscope.plan.IMAGES_PER_CHUNK", 7)
    plan = small_plan(tmp_path, samples(30))
    (plan.folder / "images").mkdir()
    plan.work.mkdir()
    return plan


def collected(plan: Plan) -> examples.Examples:
    for chunk in examples.example_chunks(plan):
        chunk.make(plan, *chunk.arguments)
    return examples.merge(plan)


@torch.inference_mode()
def all_maps(plan: Plan) -> list[np.ndarray]:
    """Every layer's maps of all images, (images, units, places)."""
    p = plan.header.preprocessing
    views = np.stack([load_view(source, p) for source in plan.samples.sources])
    with plan.network.tap(*(layer.name for layer in plan.layers)) as maps:
        plan.network(p.normalize(torch.from_numpy(views)))
    return [maps[layer.name].flatten(2).numpy() for layer in plan.layers]


def test_the_nine_that_excite_most_with_their_places(plan: Plan) -> None:
    found = collected(plan)
    for layer, maps in zip(plan.layers, all_maps(plan), strict=True):
        columns = plan.columns()[layer.name]
        highest = maps.max(2)
        for unit in range(layer.units):
            at = columns.start + unit
            expected = np.sort(highest[:, unit])[::-1][:9]
            np.testing.assert_allclose(found.top.values[at], expected, rtol=1e-4, atol=1e-6)
            for image, place, value in zip(
                found.top.images[at], found.top.places[at], found.top.values[at], strict=True
            ):
                if value > 0:
                    assert maps[image, unit, place] == pytest.approx(value, rel=1e-4)


def test_the_middle_range_lies_around_the_median(plan: Plan) -> None:
    found = collected(plan)
    highest = np.concatenate([maps.max(2) for maps in all_maps(plan)], 1)
    for unit in range(plan.units):
        excited = np.sort(highest[:, unit][highest[:, unit] > 0])
        shown = found.middle.values[unit][found.middle.values[unit] > 0]
        assert len(shown) == min(9, len(excited))
        if len(excited) > 9:
            below = (excited < shown.min() * (1 - 1e-4)).sum()
            above = (excited > shown.max() * (1 + 1e-4)).sum()
            assert max(below, above) <= (len(excited) - 9 + 1) // 2  # fewer where some are equal


def test_means_per_class(plan: Plan) -> None:
    found = collected(plan)
    means = np.concatenate([maps.mean(2) for maps in all_maps(plan)], 1)
    labels = np.array(plan.samples.labels)
    for c in range(3):
        np.testing.assert_allclose(
            found.class_means[c], means[labels == c].mean(0), rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(found.deviations, means.std(0), rtol=1e-3, atol=1e-6)


def test_without_labels_the_predictions_are_the_classes(plan: Plan) -> None:
    plan = small_plan(plan.folder, samples(30), labeled=False)
    found = collected(plan)
    predicted = np.bincount(found.logits.argmax(1), minlength=3)
    assert found.class_counts.tolist() == predicted.tolist()
    assert np.isnan(found.class_means[predicted == 0]).all()


def test_unreadable_images_are_told(plan: Plan, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    good = samples(2)
    plan = small_plan(plan.folder, Samples((good.sources[0], broken, good.sources[1]), (0, 1, 1)))
    found = collected(plan)
    assert found.images.tolist() == [0, 2]
    assert list(found.errors) == [1]
    assert "broken.png" in found.errors[1]
    assert set(found.top.images[found.top.values > 0]) <= {0, 2}
