"""Which images are compared and which calibrate: never the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from googlenet import Classifier
from googlenet.data.labels import Class
from googlenet.data.load_data import load_data
from googlenet.export.parity_images import (
    calibration_crops,
    generated_images,
    parity_images,
    spread,
)
from googlenet.images.decode import decode
from googlenet.runtime.errors import GoogLeNetError
from tests.fixtures import photo_folder, set_header, tiny_classifier

COLOURS = ("blue", "green", "red")


@pytest.fixture
def classifier() -> Classifier:
    found = tiny_classifier()
    set_header(found, classes=tuple(Class(colour, colour) for colour in COLOURS))
    return found


def test_generated_images_are_the_same_every_time_and_differ() -> None:
    photos, again = generated_images(8), generated_images(8)
    sources = [np.asarray(s) for s in photos.samples.sources]
    assert all(
        np.array_equal(a, np.asarray(b))
        for a, b in zip(sources, again.samples.sources, strict=True)
    )
    assert len({source.shape for source in sources}) == 8
    assert all(source.dtype == np.uint8 and source.std() > 10 for source in sources)
    assert not photos.labelled


def test_calibration_is_of_the_training_part(classifier: Classifier, tmp_path: Path) -> None:
    data = photo_folder(
        tmp_path, {f"train/{c}": 3 for c in COLOURS} | {f"val/{c}": 2 for c in COLOURS}
    )
    found = parity_images(classifier, str(data), held_out=True, limit=100)
    assert found.name == f"{tmp_path.name} (val)"
    assert len(found.samples) == 6
    crops = calibration_crops(classifier, str(data), 100)
    assert crops.shape == (9, 32, 32, 3)
    train = load_data(str(data)).train
    expected = {classifier.crops(decode(source))[0].tobytes() for source in train.sources}
    assert {crop.tobytes() for crop in crops} == expected
    assert len(calibration_crops(classifier, str(data), 4)) == 4


def test_undivided_data_is_a_test_set_unless_it_calibrates(
    classifier: Classifier, tmp_path: Path
) -> None:
    data = photo_folder(tmp_path, dict.fromkeys(COLOURS, 5))
    assert len(parity_images(classifier, str(data), held_out=False, limit=100).samples) == 15
    assert len(parity_images(classifier, str(data), held_out=True, limit=100).samples) == 3
    set_header(
        classifier,
        provenance={"data_fingerprint": load_data(str(data)).fingerprint(), "seed": 0},
    )
    assert len(parity_images(classifier, str(data), held_out=False, limit=100).samples) == 3


def test_bad_images_do_not_calibrate(classifier: Classifier, tmp_path: Path) -> None:
    data = photo_folder(tmp_path, {f"train/{c}": 1 for c in COLOURS} | {"val/red": 1})
    (data / "train/red/0.png").write_text("no photo")
    assert len(calibration_crops(classifier, str(data), 100)) == 2
    for colour in COLOURS:
        (data / f"train/{colour}/0.png").write_text("no photo")
    with pytest.raises(GoogLeNetError, match="none of the calibration images"):
        calibration_crops(classifier, str(data), 100)


def test_a_part_of_many_is_spread_over_all() -> None:
    assert spread(3, 10) == [0, 1, 2]
    assert spread(10, 4) == [0, 2, 5, 7]
