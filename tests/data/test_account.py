"""How real folders and tables are read, and what is said about it."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.checks.image_file import examine, problems_of
from googlenet.checks.scan import scan
from googlenet.data.account import canonical, lookalikes
from googlenet.data.dataset import DataSet
from googlenet.data.folder import SYSTEM_FOLDERS, read_folder
from googlenet.data.labels import Class, ClassIndex, DataError
from googlenet.data.load_data import load_data
from tests.fixtures import encoded, noise

IMAGE = encoded(noise(40, 40))


def folder(root: Path, counts: dict[str, int]) -> Path:
    """Folders with so many images each."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(IMAGE)
    return root


def table(root: Path, text: str, name: str = "labels.csv") -> str:
    (root / name).write_text(text, encoding="utf-8")
    return str(root / name)


def kinds(data: DataSet) -> list[str]:
    return [note.kind for note in data.account.notes]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("Train", "Test"),
        ("TRAIN", "Val"),
        ("training", "VALIDATION"),
        ("TRAIN_DATA", "valid"),
        ("train-set", "dev"),
        ("Train images", "holdout"),
        ("train", "testing"),
    ],
)
def test_splits_are_known_in_any_case(train: str, val: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "d", {f"{train}/cat": 3, f"{train}/dog": 3, f"{val}/cat": 2})
    data = read_folder(root, 0)
    assert ([c.id for c in data.classes], len(data.train), len(data.val)) == (["cat", "dog"], 6, 2)
    assert data.account.lines() == [f"splits: {train} trains, {val} validates"]
    assert scan(str(root), 0).entries[0].split == "train"


def test_folder_like_a_split_that_is_not_read_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", {"train/a": 2, "train/b": 2, "extra/a": 1, "extra/b": 1})
    data = read_folder(root, 0)
    assert data.account.lines() == [f"{root / 'extra'}: the folder is not read"]


def test_folds_are_not_silently_classes(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", {f"fold{i}/{c}": 2 for i in range(3) for c in ("cat", "dog")})
    data = read_folder(root, 0)
    assert kinds(data) == ["layout"]
    assert "the same folders (cat, dog)" in data.account.lines()[0]
    assert "layout" in {p.kind for p in scan(str(root), 0).problems}


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_class_with_the_name_of_a_split_is_refused_not_guessed(name: str, tmp_path: Path) -> None:
    root = folder(
        tmp_path / "vehicles", {f"{name}/steam": 4, f"{name}/electric": 4, "bus": 4, "car": 4}
    )
    with pytest.raises(DataError, match=rf"{name} has folders of images and lies beside bus, car"):
        read_folder(root, 0)


@pytest.mark.parametrize("system", [*sorted(SYSTEM_FOLDERS), "@eaDir", "#Recycle", ".thumbs"])
def test_what_systems_leave_is_hidden(system: str, tmp_path: Path) -> None:
    root = folder(
        tmp_path / "nas", {"cat": 5, "dog": 5, system: 3, f"cat/{system}": 5, f"cat/{system}/x": 1}
    )
    (root / "dog" / "Thumbs.db").write_bytes(b"")
    data = read_folder(root, 0)
    assert ([c.id for c in data.classes], len(data.all)) == (["cat", "dog"], 10)
    assert data.account.lines() == []
    assert {p.kind for p in scan(str(root), 0).problems} == set()


def test_files_that_are_not_read_are_counted_by_kind(tmp_path: Path) -> None:
    root = folder(tmp_path / "d", {"a": 2, "b": 2, "elsewhere/c": 0})
    for name in ("a/1.NEF", "a/2.nef", "b/noext", "b/x.cr2"):
        (root / name).write_bytes(b"x")
    (root / "b" / "link").symlink_to(root / "a")
    assert read_folder(root, 0).account.lines() == [
        "not read: 2 .nef, 1 .cr2, 1 links to folders, 1 without extension"
    ]


def test_row_with_more_cells_than_columns_is_refused_with_its_line(tmp_path: Path) -> None:
    text = "path,label\na.png,fox\nb.png,bear, brown\n"
    with pytest.raises(DataError, match=r"line 3: has 3 cells, the header 2: quote a cell"):
        load_data(table(tmp_path, text))


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u200b", "\ufeff", "\t", "  "])
def test_blanks_around_cells_and_columns_do_not_count(blank: str, tmp_path: Path) -> None:
    text = f"path{blank},Label , split\na.png{blank},cat{blank},Train{blank}\nb.png,dog, val\n"
    text += "c.png,dog,train\nd.png, cat,VAL\n"
    data = load_data(table(tmp_path, text))
    assert [c.id for c in data.classes] == ["cat", "dog"]
    assert (data.train.labels, data.val.labels) == ((0, 1), (1, 0))
    assert str(data.train.sources[0]).endswith("a.png")


def test_labels_that_differ_by_case_alone_are_named(tmp_path: Path) -> None:
    data = load_data(table(tmp_path, "path,label\na,cat\nb,Cat\nc,dog\n"))
    assert kinds(data) == ["lookalike-classes"]
    assert data.account.lines() == ["Cat: looks like the class 'cat'"]
    assert [n.subject for n in lookalikes(["a b", "ab", "c"])] == ["a b"]


@pytest.mark.parametrize("form", ["caf\u00e9", "cafe\u0301"])
def test_unicode_forms_are_one_class(form: str, tmp_path: Path) -> None:
    root = folder(
        tmp_path / "d", {f"train/{form}": 2, "train/ours": 2, "val/caf\u00e9": 1, "val/ours": 1}
    )
    data = read_folder(root, 0)
    assert [c.id for c in data.classes] == ["caf\u00e9", "ours"]
    assert len(data.val) == 2
    both = folder(tmp_path / "both", {"caf\u00e9": 2, "cafe\u0301": 2, "ours": 2})
    merged = read_folder(both, None)
    assert (len(merged.classes), len(merged.train)) == (2, 6)
    assert canonical(" cafe\u0301\u200b ") == "caf\u00e9"
    assert {p.kind for p in scan(str(root), 0).problems} <= {"duplicate"}


PADDED = ("001", "002", "003", "004")


@pytest.mark.parametrize("labels", [("1", "2", "3"), ("001", "2", "3")])
def test_integers_name_the_class_of_that_number(labels: Sequence[str], tmp_path: Path) -> None:
    text = "path,label\n" + "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels))
    data = load_data(table(tmp_path, text), None, [Class(c, c) for c in PADDED])
    assert data.all.labels == (0, 1, 2)
    assert data.account.notes == ()


def test_integer_that_no_class_is_called_by_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: label must be one of the 4 classes"):
        load_data(table(tmp_path, "path,label\na,0\n"), None, [Class(c, c) for c in PADDED])
    with pytest.raises(DataError):  # 1 is 1 and 01
        ClassIndex([Class("01", "01"), Class("001", "001")]).find("1", "here")


def test_labels_read_as_indices_are_told_of(tmp_path: Path) -> None:
    classes = [Class(f"n0{i}", name) for i, name in enumerate(("tench", "shark", "ray"))]
    data = load_data(table(tmp_path, "path,label\na,0\nb,2\n"), None, classes)
    assert data.all.labels == (0, 2)
    assert kinds(data) == ["integer-labels"]
    assert "0 is n00, 1 is n01, 2 is n02" in data.account.lines()[0]


def shard(path: Path, names: Sequence[str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            content = b"cat" if name.endswith(".cls") else IMAGE
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return path


def test_images_that_shards_drop_are_counted(tmp_path: Path) -> None:
    names = ["a.png", "a.cls", "b.1.png", "b.2.png", "c.jpg", "c.png", "c.cls", "._a.png"]
    data = load_data(
        str(shard(tmp_path / "d.tar", names)), None, [Class("cat", "cat"), Class("dog", "dog")]
    )
    assert len(data.all) == 2
    assert [note.detail for note in data.account.notes] == [
        "2 images with a dot in their name (the key ends at the first dot)",
        "1 images of a key that another image has",
    ]
    assert kinds(data) == ["dropped"] * 2


def test_index_of_another_program_does_not_make_a_packed_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"cat": 3, "dog": 3})
    (root / "index.json").write_text('{"pages": ["a", "b"]}')
    assert len(load_data(str(root)).all) == 6


def test_twelve_bits_in_sixteen_are_named(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "xray.png")
    Image.fromarray(levels * 16).save(tmp_path / "right.png")
    found = problems_of("xray.png", examine(tmp_path / "xray.png"))
    assert [(p.kind, p.detail) for p in found] == [("dark", "the brightest level is 15 of 255")]
    assert problems_of("right.png", examine(tmp_path / "right.png")) == []
