"""The problems of boxes, and `googlenet check` on annotated images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.data.labels import DataError
from googlenet.detection.check_boxes import check_boxes
from googlenet.detection.formats.voc import voc_xml
from tests.cli.conftest import command
from tests.detection.test_load_boxes import image, table
from tests.fixtures import noise


def kinds(path: Path) -> list[str]:
    return [note.kind for note in check_boxes(str(path), 0)[1]]


def coco(folder: Path, boxes: list[list[float]]) -> Path:
    image(folder / "a.jpg")
    value = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": box} for box in boxes],
    }
    (folder / "boxes.json").write_text(json.dumps(value))
    return folder


def test_nothing_is_found_in_sound_boxes(tmp_path: Path) -> None:
    assert kinds(coco(tmp_path, [[0, 0, 9, 9], [1, 1, 20, 9], [10, 3, 30, 27]])) == []


def test_duplicate_and_tiny_boxes(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        ("in.png", "cat", 5, 5, 20, 20, "train"),
        ("in.png", "cat", 5, 5, 20, 20.1, "train"),
        ("in.png", "dog", 5, 5, 20, 20, "train"),
        ("in.png", "dog", 5, 5, 8, 20, "val"),
    )
    _, notes = check_boxes(str(path), 0)
    assert [note.kind for note in notes] == ["duplicate-box", "tiny-box"]
    assert notes[0].detail == "cat at 5, 5, 20, 20.1 is there twice"
    assert notes[1].detail == "3×15 pixels at 5, 5, 8, 20"


def test_shares_in_a_format_of_pixels(tmp_path: Path) -> None:
    assert "relative-boxes" in kinds(coco(tmp_path, [[0.1, 0.2, 0.5, 0.5], [0, 0, 1, 1]]))


def test_pixels_counted_from_one(tmp_path: Path) -> None:
    boxes = [[1.0, 1.0 + i, 20.0, 20.0 - 4 * i] for i in range(5)]
    assert "one-based" in kinds(coco(tmp_path / "one", boxes))
    assert "one-based" not in kinds(coco(tmp_path / "zero", [*boxes, [0, 5, 9, 9]]))
    assert "one-based" not in kinds(coco(tmp_path / "few", boxes[:4]))


def test_pixels_counted_from_zero(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(voc_xml("a.jpg", (40, 30), [("cat", (-1, 4, 20, 30), False)]))
    assert kinds(tmp_path) == ["zero-based"]


def test_data_of_which_no_box_can_be_used(tmp_path: Path) -> None:
    assert kinds(coco(tmp_path, [[5, 5, -2, 3]])) == ["inverted-box"]


def test_data_without_boxes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must have at least one box, has none"):
        check_boxes(str(coco(tmp_path, [])), 0)


def test_command(tmp_path: Path) -> None:
    for name, seed in (("a.png", 0), ("b.png", 1)):
        noise(64, 64, seed).save(tmp_path / name)
    noise(64, 64, 0).save(tmp_path / "copy.png")
    rows = (
        ("a.png", "cat", 5, 5, 40, 40, "train"),
        ("b.png", "cat", 9, 5, 5, 40, "train"),
        ("b.png", "", 1, 2, 30, 40, "train"),
        ("copy.png", "cat", 5, 5, 40, 40, "val"),
        ("gone.png", "cat", 5, 5, 40, 40, "val"),
    )
    path = table(tmp_path, *rows)
    answer = command("check", path, "--json", "--strict")
    assert answer.code == 1
    found = json.loads(answer.out)
    assert (found["images"], found["classes"]) == (3, 1)
    assert found["parts"] == {"train": 2, "val": 1}
    expected = ["duplicate", "leakage", "missing-image", "unknown-class", "inverted-box"]
    assert list(found["counts"]) == expected
    assert set(found["problems"][0]) == {"path", "kind", "detail"}


def test_command_needs_no_torch(tmp_path: Path) -> None:
    path = table(tmp_path, ("in.png", "cat", 5, 5, 20, 20, "train"))
    program = (
        "import sys; from googlenet.cli import main; "
        f"main(['check', {str(path)!r}]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
