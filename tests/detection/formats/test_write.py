"""Annotations written and read again are the same, in every format and through all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data.labels import Class
from googlenet.detection.annotations import AnnotatedImage, BoxDataSet, Truth
from googlenet.detection.formats.write import WRITERS, boxes_left_out, write_boxes
from googlenet.detection.load_boxes import load_boxes
from googlenet.runtime.errors import UsageError


@pytest.fixture
def data(tmp_path: Path) -> BoxDataSet:
    """Images in three splits, two of them of the same name; one without boxes."""
    rng = np.random.default_rng(1)
    parts: dict[str, list[AnnotatedImage]] = {"train": [], "val": [], "test": []}
    for split in parts:
        for i, count in enumerate((3, 0, 2)):
            path = tmp_path / f"source/{split}/photo-{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (61, 47), (i * 60, 0, 0)).save(path)
            corners = rng.uniform(0, 20, (count, 2))
            boxes = np.concatenate([corners, corners + rng.uniform(1, 20, (count, 2))], 1)
            truth = Truth.of(boxes.tolist(), rng.integers(0, 2, count).tolist())
            parts[split].append(AnnotatedImage(path, 61, 47, truth))
    classes = (Class("big cat", "big cat"), Class("dog", "dog"))
    train, val, test = (tuple(images) for images in parts.values())
    return BoxDataSet("d", classes, train, val, test)


def content(data: BoxDataSet) -> list[object]:
    """What must survive: classes, splits, and each image's pixels and boxes."""
    return [
        [c.id for c in data.classes],
        *(
            sorted(
                (
                    Image.open(image.path).getpixel((0, 0)),
                    image.width,
                    image.height,
                    image.truth.boxes.tolist(),
                    image.truth.labels.tolist(),
                )
                for image in data.images(split)
            )
            for split in ("train", "val", "test")
        ),
    ]


@pytest.mark.parametrize("kind", [*WRITERS])
def test_round_trip(kind: str, data: BoxDataSet, tmp_path: Path) -> None:
    out = tmp_path / ("out.csv" if kind == "csv" else "out")
    write_boxes(data, kind, out)
    found = load_boxes(str(out))
    assert content(found) == content(data)
    assert found.has_split


def test_through_all_formats(data: BoxDataSet, tmp_path: Path) -> None:
    found = data
    for kind in ("voc", "yolo", "coco", "csv", "yolo", "voc"):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}{'.csv' * (kind == 'csv')}"
        write_boxes(found, kind, out)
        found = load_boxes(str(out))
    assert content(found) == content(data)


def test_difficult_and_crowd_boxes(data: BoxDataSet, tmp_path: Path) -> None:
    hard = Truth.of([[1, 2, 3, 4], [5, 6, 7, 8]], [0, 1], [True, False], [False, True])
    image = AnnotatedImage(data.train[0].path, 61, 47, hard)
    own = BoxDataSet("d", data.classes, (image,), (data.val[0],))
    write_boxes(own, "coco", tmp_path / "coco")
    found = load_boxes(str(tmp_path / "coco")).train[0].truth
    assert found.difficult.tolist() == [True, False]
    assert found.crowd.tolist() == [False, True]
    assert [boxes_left_out(own, kind) for kind in ("voc", "coco", "yolo", "csv")] == [0, 0, 2, 2]
    write_boxes(own, "voc", tmp_path / "voc")
    assert load_boxes(str(tmp_path / "voc")).train[0].truth.difficult.tolist() == [True, True]


def test_refused(data: BoxDataSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--to must be one of voc, coco, yolo, csv, got 'xml'"):
        write_boxes(data, "xml", tmp_path / "out")
    with pytest.raises(UsageError, match="--out must be a new or empty folder"):
        write_boxes(data, "voc", tmp_path)
