"""The detector: regions of a map and crops, its file, NMS, ensembles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from googlenet.data.labels import Class
from googlenet.detection.detector import (
    Detector,
    build_region_network,
    crop_regions,
    detect,
    network_input,
    suppress,
)
from googlenet.detection.detector_header import DetectorHeader, RegionSettings
from googlenet.detection.region_network import from_classifier
from googlenet.images.preprocess import Preprocessing
from googlenet.inference.header import ModelHeader
from googlenet.load import load_classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import ModelFileError, UsageError
from tests.detection.scenes import classifier, save_classifier, scene

CLASSES = (Class("id2", "square"), Class("disc", "disc"))


def detector(mode: str = "fast", seed: int = 0, **settings: object) -> Detector:
    source = classifier()
    assert isinstance(source.network, GoogLeNet)
    generator = torch.Generator().manual_seed(seed)
    network = from_classifier(source.network, source.classes, CLASSES, 4, generator)
    with torch.no_grad():  # as drawn it says background everywhere
        network.body.classifier.bias.zero_()
        network.box_regression.weight.normal_(0, 0.05, generator=generator)
    model = ModelHeader(network.body.name, CLASSES, source.preprocessing, network.body.width)
    regions = RegionSettings(mode=mode, side=96, count=60, **settings)  # type: ignore[arg-type]
    return Detector(DetectorHeader(model, regions), network)


@pytest.mark.parametrize("mode", ["fast", "rcnn"])
def test_scores_of_regions(mode: str) -> None:
    found = detector(mode)
    image = np.asarray(scene(0)[0])
    regions = np.array([[5, 5, 40, 40], [50, 10, 90, 70], [0, 0, 96, 72]], np.float32)
    probabilities, boxes = found.score(image, regions)
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (boxes >= 0).all()
    assert (boxes <= [96, 72, 96, 72]).all()
    one, moved = found.score(image, regions[1:2])
    np.testing.assert_allclose(one, probabilities[1:2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved, boxes[1:2], atol=1e-3)


def test_without_box_regression_regions_stay() -> None:
    found = detector()
    found.without_box_regression()
    regions = np.array([[5, 5, 40, 40]], np.float32)
    assert np.array_equal(found.score(np.asarray(scene(0)[0]), regions)[1], regions)


def test_the_weights_of_a_known_class_are_kept() -> None:
    source = classifier()
    assert isinstance(source.network, GoogLeNet)
    before = source.network.classifier.weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    network = from_classifier(source.network, source.classes, CLASSES, 4, generator)
    weight = network.body.classifier.weight
    assert weight.shape[0] == 3
    assert torch.equal(weight[1], before[2])
    assert not torch.equal(weight[2], before[0])


def test_a_file_gives_the_same_detector(tmp_path: Path) -> None:
    found, image = detector(), scene(1)[0]
    found.header = found.header.with_facts(metrics={"map50": 12.5})
    found.save(tmp_path / "last.safetensors")
    again = Detector.load(tmp_path)
    assert again.header == found.header
    first, second = found.detect(image), again.detect(image)
    assert len(first) > 3
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.scores, second.scores)


def test_files_that_are_no_detectors(tmp_path: Path) -> None:
    model = save_classifier(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="is not a detector of this program"):
        Detector.load(model)
    with pytest.raises(UsageError, match="DETECTOR must be a file"):
        Detector.load(tmp_path / "none")
    detector().save(tmp_path / "detector.safetensors")
    with pytest.raises(UsageError, match=r"MODEL must be a classifier, got .*, a detector"):
        load_classifier(tmp_path / "detector.safetensors")


def test_header_with_impossible_settings(tmp_path: Path) -> None:
    header = detector().header
    for settings, rule in (
        ({"mode": "slow"}, "--mode must be one of fast, rcnn, got 'slow'"),
        ({"side": 5}, "--side must be 32 to 4096"),
        ({"count": 0}, "must be at least 1"),
        ({"proposals": "x"}, "--proposals must be one of"),
    ):
        with pytest.raises(UsageError, match=rule):
            replace(header.regions, **settings)


def test_batch_normalization_is_not_trained() -> None:
    network = build_region_network(detector().header).train()
    assert network.body.dropout.training
    assert not network.body.get_submodule("conv1.bn").training


def test_ensembles_average() -> None:
    first, second = detector(seed=0), detector(seed=1)
    image = np.asarray(scene(2)[0])
    regions = np.array([[5, 5, 40, 40], [50, 10, 90, 70]], np.float32)
    parts = [each.score(image, regions) for each in (first, second)]
    both = detect([first, second], image, regions)
    mean = suppress(
        np.float32(0.5) * (parts[0][0] + parts[1][0]), np.float32(0.5) * (parts[0][1] + parts[1][1])
    )
    np.testing.assert_allclose(both.scores, mean.scores, rtol=1e-6)
    np.testing.assert_allclose(both.boxes, mean.boxes, rtol=1e-6)


def test_nms_is_per_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10]], np.float32)
    probabilities = np.array([[0.1, 0.9, 0], [0.2, 0.8, 0], [0.3, 0, 0.7]], np.float32)
    found = suppress(probabilities, boxes)
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    soft = suppress(probabilities, boxes, soft=True)
    assert soft.labels.tolist() == [0, 1, 0]


def test_no_regions() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert len(detect([detector()], np.asarray(scene(0)[0]), nothing)) == 0
    assert len(detector().detect(Image.new("RGB", (96, 72)))) >= 0


def test_input_of_the_network() -> None:
    p = Preprocessing()
    image = np.asarray(scene(0)[0])
    x, scale = network_input(image, 192, p)
    assert x.shape == (1, 3, 144, 192)
    assert scale.tolist() == [2, 2, 2, 2]
    mirrored, _ = network_input(image, 192, p, mirrored=True)
    assert torch.equal(mirrored.flip(3), x)


def test_crops_show_the_region_and_its_surroundings() -> None:
    p = Preprocessing(size=32, resize_size=32)
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 255
    tight = crop_regions(image, np.array([[30, 20, 50, 40]], np.float32), 1, p)
    white = p.normalize(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8))
    assert torch.allclose(tight, white)
    wide = crop_regions(image, np.array([[30, 20, 50, 40]], np.float32), 2, p)
    assert torch.allclose(wide[..., 12:20, 12:20], white[..., :8, :8])
    assert wide[0, 0, 2, 2] < 0
    edge = crop_regions(image, np.array([[0, 0, 4, 4]], np.float32), 4, p)
    assert edge.abs().max() < 2.3  # the mean color lies outside the image
