"""Folders of images as people lay them out."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from googlenet.data.dataset import Samples
from googlenet.data.folder import list_images, read_folder
from googlenet.data.labels import Class, DataError
from tests.fixtures import noise, photo_folder
from tests.unprivileged import unprivileged


def ids(classes: tuple[Class, ...]) -> list[str]:
    return [c.id for c in classes]


def names(samples: Samples) -> list[str]:
    """Each image as "parent/file", and that its label is its class folder's, by position."""
    return ["/".join(Path(str(source)).parts[-2:]) for source in samples.sources]


@pytest.mark.parametrize("train", ["train", "training"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
def test_names_of_the_parts(tmp_path: Path, train: str, val: str) -> None:
    photo_folder(tmp_path, {f"{train}/b": 2, f"{train}/a": 1, f"{val}/b": 1})
    data = read_folder(tmp_path, 0)
    assert (data.name, data.has_split, ids(data.classes)) == (tmp_path.name, True, ["a", "b"])
    assert (names(data.train), data.train.labels) == (["a/0.png", "b/0.png", "b/1.png"], (0, 1, 1))
    assert (names(data.val), data.val.labels) == (["b/0.png"], (1,))


def test_val_is_taken_before_test(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 3, "val/a": 2})
    data = read_folder(tmp_path, 0)
    assert (len(data.val), len(data.test), data.val_is_test) == (2, 3, False)
    assert data.describe().endswith("; 3 test images are left out")
    shutil.rmtree(tmp_path / "val")
    alone = read_folder(tmp_path, 0)
    assert (len(alone.val), len(alone.test), alone.val_is_test) == (3, 0, True)


def test_class_of_the_test_split_that_training_lacks_is_not_read(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "test/a": 2, "test/new": 3})
    data = read_folder(tmp_path, 0)
    assert len(data.test) == 2
    assert "test/new: the test split's folder is not a training class" in data.account.lines()[0]


@pytest.mark.parametrize("train", ["", "train/"])
def test_classes_alone_are_split_by_the_seed(tmp_path: Path, train: str) -> None:
    photo_folder(tmp_path, {f"{train}a": 10, f"{train}b": 5})
    data = read_folder(tmp_path, 3)
    assert not data.has_split
    held = Counter(data.val.labels)
    assert 1 <= held[0] <= 3
    assert held[1] == 1
    assert data == read_folder(tmp_path, 3)
    assert names(data.val) != names(read_folder(tmp_path, 4).val)


def test_validation_alone(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"val/a": 2, "val/b": 1})
    data = read_folder(tmp_path, 0)
    assert (len(data.train), len(data.val), data.has_split) == (0, 3, True)


def test_images_below_a_class_folder_are_its_own(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a/2023/may": 1, "a": 1, "b": 2})
    data = read_folder(tmp_path, 0)
    assert ids(data.classes) == ["a", "b"]
    assert sorted(data.all.labels) == [0, 0, 1, 1]


def test_hidden_and_other_files_are_no_images(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1, ".git": 1, "b/.ipynb_checkpoints": 2, "empty": 0})
    noise(4, 4).save(tmp_path / "a" / "._0.png")
    noise(4, 4).save(tmp_path / "a" / "UPPER.PNG")
    (tmp_path / "a" / "notes.txt").write_text("no photo")
    (tmp_path / "Thumbs.db").write_text("no class")
    data = read_folder(tmp_path, 0)
    assert ids(data.classes) == ["a", "b"]
    assert [p.name for p in list_images(tmp_path / "a")] == ["0.png", "UPPER.PNG"]
    assert len(data.all) == 3


def test_images_of_a_hidden_folder_s_descendant_can_be_asked_for(tmp_path: Path) -> None:
    photo_folder(tmp_path, {".cache/photos/a": 1, ".cache/photos/b": 1})
    assert len(read_folder(tmp_path / ".cache" / "photos", 0).all) == 2


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Vehicles: trains, cars and a test image each, in folders of those names."""
    photo_folder(tmp_path, {"train": 2, "car": 2, "test": 2})
    assert ids(read_folder(tmp_path, 0).classes) == ["car", "test", "train"]


def test_unlabeled_test_images_are_no_validation(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 5, "train/b": 5, "test": 4})
    data = read_folder(tmp_path, 0)
    assert (len(data.train), len(data.val), data.has_split) == (8, 2, False)
    assert not len(data.test)


def test_class_that_training_lacks(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/zebra": 1})
    with pytest.raises(DataError, match=r"val/zebra: label must be one of the 2 classes \(a, b\)"):
        read_folder(tmp_path, 0)


def test_model_s_class_list_is_enforced(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"cat": 2, "dog": 2})
    classes = (Class("dog", "Hund"), Class("x", "cat"), Class("bird", "bird"))
    data = read_folder(tmp_path, 0, classes)
    assert data.classes == classes
    assert sorted(data.all.labels) == [0, 0, 1, 1]
    with pytest.raises(DataError, match="dog: label must be one of the 2 classes"):
        read_folder(tmp_path, 0, classes[1:])


def test_folder_without_images(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 0, "b": 0})
    noise(4, 4).save(tmp_path / "loose.png")
    with pytest.raises(DataError, match="must have a folder of images per class, has none"):
        read_folder(tmp_path, 0)


def test_folder_of_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two classes or more, has a"):
        read_folder(photo_folder(tmp_path, {"a": 3}), 0)


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1})
    monkeypatch.chdir(tmp_path)
    assert read_folder(Path(), 0).name == tmp_path.name


def test_folder_that_cannot_be_listed_ends_it(public_folder: Path) -> None:
    """It may hold a class, and without that the labels of the others would be shifted."""
    photo_folder(public_folder, {"a": 2, "b": 2, "c": 2})
    for closed in ("b", "c/deep"):
        folder = public_folder / closed
        folder.mkdir(exist_ok=True)
        folder.chmod(0)
        said = unprivileged(
            "from pathlib import Path; from googlenet.data.folder import DataError, read_folder",
            f"try:\n    read_folder(Path({str(public_folder)!r}), 0)\n"
            "except DataError as error:\n    print(error)",
        )
        assert said == f"{folder}: the folder cannot be listed (Permission denied)\n"
        folder.chmod(0o755)


def test_folder_that_is_called_like_an_image(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1, "a/holiday.jpg": 2})
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "b")
    found = list_images(tmp_path / "a")
    assert [path.name for path in found] == ["0.png", "0.png", "1.png"]


def test_link_to_an_image_is_one_and_a_link_to_itself_no_class(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "b" / "0.png")
    (tmp_path / "a" / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    data = read_folder(tmp_path, 0)
    assert ids(data.classes) == ["a", "b"]
    assert len(data.all) == 4


def test_names_of_classes_are_printable_and_their_ids_the_folders_own(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    photo_folder(tmp_path, {odd: 1, "new\nline": 1, "猫": 1})
    classes = read_folder(tmp_path, 0).classes
    assert set(classes) == {
        Class(odd, "caf\\udce9"), Class("new\nline", "new\\nline"), Class("猫", "猫"),
    }  # fmt: skip
    assert read_folder(tmp_path, 0, classes).classes == classes
