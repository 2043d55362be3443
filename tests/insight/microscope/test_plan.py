"""What is on show, and the key that says whether two sites are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet.insight.microscope.plan import Settings, make_plan
from googlenet.runtime.errors import UsageError
from tests.fixtures import tiny_classifier
from tests.insight.microscope.small import samples, small_plan


def test_all_inception_modules_by_default(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, layers=())
    found = " ".join(layer.name.removeprefix("inception_") for layer in plan.layers)
    assert found == "3a 3b 4a 4b 4c 4d 4e 5a 5b"
    first = plan.layers[0]
    assert (first.side, first.field) == (4, (59, 8, -23))
    assert first.units == first.channels == 13
    assert plan.columns()["inception_3b"] == slice(13, 13 + plan.layers[1].units)


def test_units_and_images_are_bounded(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, units=5, at_most=4)
    assert [layer.units for layer in plan.layers] == [5, 5]
    assert len(plan.samples) == len(plan.names) == 4
    numbers = [int(name.removeprefix("#")) for name in plan.names]
    assert numbers == sorted(set(numbers))
    for at, number in enumerate(numbers):
        np.testing.assert_array_equal(plan.samples.sources[at], samples().sources[number])


def test_the_key_is_of_the_model_the_data_and_the_settings(tmp_path: Path) -> None:
    key = small_plan(tmp_path).key
    assert small_plan(tmp_path / "elsewhere").key == key
    assert small_plan(tmp_path, layers=("inception_5b", "3a")).key == key
    others = [
        small_plan(tmp_path, units=5),
        small_plan(tmp_path, layers=("4a",)),
        small_plan(tmp_path, at_most=4),
        small_plan(tmp_path, labeled=False),
        small_plan(tmp_path, samples(13)),
        small_plan(tmp_path, variant="paper"),
    ]
    classifier = tiny_classifier()
    with torch.no_grad():
        classifier.network.get_parameter("classifier.bias")[0] += 1e-3
    others.append(make_plan(classifier, samples(), True, Settings(("3a", "5b")), tmp_path))
    assert len({key, *(plan.key for plan in others)}) == 1 + len(others)


@pytest.mark.parametrize("layers", [("4f",), ("inception_4a.5x5",), ("pool1",)])
def test_other_layers_are_refused(tmp_path: Path, layers: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"must be|of the network"):
        small_plan(tmp_path, layers=layers)


def test_a_network_without_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lenet5"):
        make_plan(tiny_classifier(variant="lenet5"), samples(), True, Settings(), tmp_path)
