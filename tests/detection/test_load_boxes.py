"""Annotations of every format, real and odd ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data.labels import Class, DataError
from googlenet.detection.annotations import BoxDataSet
from googlenet.detection.formats.table import box_table
from googlenet.detection.formats.voc import voc_xml
from googlenet.detection.load_boxes import has_boxes, load_boxes
from googlenet.runtime.errors import UsageError

FORMATS = {
    "pascalvoc_format": "Pascal VOC",
    "imagenet_format": "Pascal VOC",
    "coco_format_v1": "COCO JSON",
    "coco_format_v2": "COCO JSON",
    "yolo_format": "YOLO",
}


def image(path: Path, width: int = 40, height: int = 30, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", (width, height)).save(path, exif=exif)


def table(folder: Path, *rows: tuple[object, ...]) -> Path:
    for name in {str(row[0]) for row in rows}:
        if name.startswith("in"):
            image(folder / name)
    path = folder / "boxes.csv"
    path.write_text(box_table(rows))
    return path


def kinds(data: BoxDataSet) -> list[str]:
    return [note.kind for note in data.account.notes]


def boxes_of(data: BoxDataSet) -> dict[str, list[list[float]]]:
    return {image.path.stem: image.truth.boxes.tolist() for image in data.images("all")}


@pytest.mark.parametrize("name", FORMATS)
def test_one_truth_in_every_format(name: str, tmp_path: Path, shared_data: Path) -> None:
    database = shared_data / "voc2012-100/data/database"
    copied = tmp_path / "data"
    for source in (database / "gts" / name).rglob("*"):
        if source.is_file():
            target = copied / source.relative_to(database / "gts" / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (copied / "images").symlink_to(database / "images")
    data = load_boxes(str(copied))
    assert has_boxes(str(copied))
    assert data.account.table == FORMATS[name]
    images = {found.path.stem: found for found in data.images("all")}
    assert len(images) == 100
    expected = json.loads((database / "gts/coco_format_v2/instances_v2.json").read_text())
    names = {c["id"]: c["name"] for c in expected["categories"]}
    stems = {i["id"]: Path(i["file_name"]).stem for i in expected["images"]}
    true: dict[str, list[tuple[str, list[float]]]] = {stem: [] for stem in stems.values()}
    for each in expected["annotations"]:
        x, y, w, h = each["bbox"]
        true[stems[each["image_id"]]].append((names[each["category_id"]], [x, y, x + w, y + h]))
    for stem, found in images.items():
        got = sorted(
            (data.classes[label].name, box)
            for label, box in zip(found.truth.labels, found.truth.boxes.tolist(), strict=True)
        )
        assert [label for label, _ in got] == [label for label, _ in sorted(true[stem])]
        # The sources count pixels from 0 or from 1, and round.
        for (_, box), (_, other) in zip(got, sorted(true[stem]), strict=True):
            np.testing.assert_allclose(box, other, atol=1.5)


def test_bccd(shared_data: Path) -> None:
    data = load_boxes(str(shared_data / "bccd"))
    assert [c.name for c in data.classes] == ["Platelets", "RBC", "WBC"]
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [205, 87, 72]
    assert sum(len(found.truth) for found in data.images("all")) == 4888


def test_voc_counts_from_one(tmp_path: Path) -> None:
    image(tmp_path / "JPEGImages/a.jpg")
    text = voc_xml("a.jpg", (40, 30), [("cat", (0, 0, 40, 30), True), ("dog", (3, 4, 5, 6), False)])
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(text)
    assert "<xmin>1</xmin>" in text
    found = load_boxes(str(tmp_path)).train[0].truth
    assert found.boxes.tolist() == [[0, 0, 40, 30], [3, 4, 5, 6]]
    assert found.difficult.tolist() == [True, False]


def test_voc_that_counts_from_zero_is_said(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    text = voc_xml("a.jpg", (40, 30), [("cat", (-1, 4, 20, 30), False)])
    (tmp_path / "a.xml").write_text(text)
    data = load_boxes(str(tmp_path))
    assert data.train[0].truth.boxes.tolist() == [[0, 5, 21, 30]]
    assert kinds(data) == ["zero-based"]


def test_splits_of_voc(tmp_path: Path) -> None:
    for name in "abc":
        image(tmp_path / f"JPEGImages/{name}.jpg")
        path = tmp_path / f"Annotations/{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(voc_xml(f"{name}.jpg", (40, 30), [("cat", (1, 2, 3, 4), False)]))
    sets = tmp_path / "ImageSets/Main"
    sets.mkdir(parents=True)
    for split, names in (("train", "a"), ("val", "b"), ("trainval", "a\nb"), ("test", "c")):
        (sets / f"{split}.txt").write_text(names + "\n")
    data = load_boxes(str(tmp_path))
    parts = [[i.path.stem for i in data.images(split)] for split in ("train", "val", "test")]
    assert parts == [["a"], ["b"], ["c"]]


def test_yolo_of_ultralytics(tmp_path: Path) -> None:
    for split in ("train", "val"):
        image(tmp_path / f"images/{split}/{split}.jpg")
        labels = tmp_path / f"labels/{split}/{split}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("1 0.5 0.5 1.0004 1\n0 0.1 0.1 0.3 0.1 0.3 0.3\n")
    (tmp_path / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
    )
    data = load_boxes(str(tmp_path))
    assert [c.name for c in data.classes] == ["cat", "dog"]
    assert data.train[0].truth.labels.tolist() == [1, 0]
    assert data.val[0].truth.boxes[0].tolist() == [0, 0, 40, 30]
    np.testing.assert_allclose(data.val[0].truth.boxes[1], [4, 3, 12, 9])
    assert kinds(data) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.1 0.1", "the class 2 is not below 2"),
        ("0 0.5 0.5", "must have 5 numbers, has 3"),
        ("cat 0.5 0.5 0.1 0.1", "cannot be read"),
    ],
)
def test_bad_lines_of_yolo(line: str, reason: str, tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    data = load_boxes(str(tmp_path))
    assert kinds(data) == ["bad-annotation"]
    assert "line 2" in data.account.notes[0].detail
    assert reason in data.account.notes[0].detail
    assert len(data.train[0].truth) == 1


def test_coco_crowds_and_gaps(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    value = {
        "images": [{"id": 90, "file_name": "a.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 90, "category_id": 7, "bbox": [1, 2, 3, 4], "iscrowd": 1},
            {"id": 2, "image_id": 91, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 3, "image_id": 90, "category_id": 5, "bbox": [1, 2, 3, 4]},
            {"id": 4, "image_id": 90, "category_id": 3, "bbox": [1, 2, 3]},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(value))
    data = load_boxes(str(tmp_path))
    assert [c.name for c in data.classes] == ["cat", "dog"]
    truth = data.train[0].truth
    assert (truth.boxes.tolist(), truth.labels.tolist()) == ([[1, 2, 4, 6]], [1])
    assert truth.crowd.tolist() == [True]
    assert kinds(data) == ["missing-image", "unknown-class", "bad-annotation"]


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        ("in.png", "cat", 1, 2, 11, 12, "train"),
        ("in.png", "cat", 5, 2, 5, 12, "train"),
        ("in.png", "cat", 9, 2, 5, 12, "train"),
        ("in.png", "cat", 50, 2, 60, 12, "train"),
        ("in.png", "cat", 30, 2, 60, 12, "train"),
        ("in.png", "cat", "nan", 2, 60, 12, "train"),
        ("in.png", "cat", "x", 2, 60, 12, "train"),
        ("in2.png", "", "", "", "", "", "val"),
        ("gone.png", "cat", 1, 2, 3, 4, "train"),
    )
    data = load_boxes(str(path))
    assert data.train[0].truth.boxes.tolist() == [[1, 2, 11, 12], [30, 2, 40, 12]]
    assert [len(image.truth) for image in data.val] == [0]
    expected = "bad-annotation empty-box inverted-box outside-box outside-box bad-annotation "
    assert kinds(data) == [*expected.split(), "no-boxes", "missing-image"]
    assert "has 9, 2, 5, 12" in data.account.notes[2].detail


def test_shares_of_the_sides(tmp_path: Path) -> None:
    path = table(tmp_path, ("in.png", "cat", 0.25, 0.5, 0.5, 1, "train"))
    data = load_boxes(str(path))
    assert data.train[0].truth.boxes.tolist() == [[10, 15, 20, 30]]
    assert data.account.table == "CSV, boxes as shares of the image's sides"


def test_classes_of_a_model(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        ("in.png", "n02", 1, 2, 3, 4, "train"),
        ("in.png", "cat", 1, 2, 3, 4, "train"),
        ("in.png", "cow", 1, 2, 3, 4, "train"),
    )
    data = load_boxes(str(path), classes=[Class("n01", "dog"), Class("n02", "cat")])
    assert data.train[0].truth.labels.tolist() == [1, 1]
    assert kinds(data) == ["unknown-class"]


def test_a_split_is_drawn_by_name(tmp_path: Path) -> None:
    rows = [(f"in{i}.png", "cat", 1, 2, 3, 4, "train") for i in range(20)]
    data = load_boxes(str(table(tmp_path, *rows)), seed=3)
    assert not data.has_split
    assert 2 <= len(data.val) <= 6
    fewer = load_boxes(str(table(tmp_path, *rows[:19])), seed=3)
    assert {i.path for i in fewer.val} <= {i.path for i in data.val}


def test_data_without_boxes(tmp_path: Path) -> None:
    path = table(tmp_path, ("in.png", "", "", "", "", "", "train"))
    with pytest.raises(DataError, match="must have at least one usable box, has none"):
        load_boxes(str(path))


def test_other_data(tmp_path: Path) -> None:
    image(tmp_path / "cat/a.png")
    assert not has_boxes(str(tmp_path))
    with pytest.raises(DataError, match="must be Pascal VOC, COCO JSON"):
        load_boxes(str(tmp_path))
    with pytest.raises(UsageError, match="does not exist"):
        load_boxes(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "bad",
    [{"bbox": ["a", 1, 2, 3]}, {"bbox": [None, 1, 2, 3]}, {"bbox": 5}, {"image_id": [1]},
     {"category_id": [1]}, {"image_id": {}}],
)  # fmt: skip
def test_one_bad_annotation_of_coco(bad: dict[str, object], tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    good = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    value = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [good, good | bad, {}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(value))
    data = load_boxes(str(tmp_path))
    assert kinds(data) == ["bad-annotation", "bad-annotation"]
    assert data.train[0].truth.boxes.tolist() == [[1, 2, 4, 6]]


def test_one_bad_object_of_voc(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    boxes = [("cat", (1, 2, 3, 4), False), ("dog", (5, 6, 7, 8), False)]
    text = voc_xml("a.jpg", (40, 30), boxes)
    (tmp_path / "a.xml").write_text(text.replace("<xmin>6<", "<xmin>six<"))
    data = load_boxes(str(tmp_path))
    assert kinds(data) == ["bad-annotation"]
    assert "object 2" in data.account.notes[0].detail
    assert data.train[0].truth.boxes.tolist() == [[1, 2, 3, 4]]
