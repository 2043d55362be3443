"""What a user may call a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet.data.labels import Class, DataError
from googlenet.data.load_data import choose_split, load_data
from googlenet.runtime.errors import UsageError
from tests.fixtures import photo_folder


def test_folder_csv_and_built_in(tmp_path: Path) -> None:
    photo_folder(tmp_path / "photos", {"a": 2, "b": 2})
    (tmp_path / "t.csv").write_text("path,label\nphotos/a/0.png,a\nphotos/b/0.png,b\n")
    assert len(load_data(str(tmp_path / "photos")).all) == 4
    assert len(load_data(str(tmp_path / "t.csv")).all) == 2
    assert len(load_data("digits").all) == 1797


def test_folder_called_digits_comes_before_the_built_in_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo_folder(tmp_path / "digits", {"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    assert len(load_data("digits").all) == 4


def test_name_that_is_nothing() -> None:
    with pytest.raises(
        UsageError, match=r"DATA must be a folder, .* got 'nowhere', which does not"
    ):
        load_data("nowhere")


def test_digits_with_a_model_of_other_classes() -> None:
    with pytest.raises(DataError, match="digits: the model must have the classes 0 to 9"):
        load_data("digits", 0, (Class("a", "a"), Class("b", "b")))
    classes = tuple(Class(str(i), f"digit {i}") for i in range(10))
    assert len(load_data("digits", 0, classes).all) == 1797


def test_parts(tmp_path: Path) -> None:
    data = load_data(str(photo_folder(tmp_path, {"train/a": 2, "train/b": 1, "val/a": 1})))
    assert [len(choose_split(data, part)) for part in ("train", "val", "all")] == [3, 1, 4]
    alone = load_data(str(photo_folder(tmp_path / "v", {"val/a": 2, "val/b": 1})))
    sentence = "v: the split 'train' must have at least one image, has none"
    with pytest.raises(DataError, match=sentence):
        choose_split(alone, "train")


def test_rule_of_before_holds_the_same_images_out_as_before(tmp_path: Path) -> None:
    """Models and runs of before 2026-12 keep their split."""
    photo_folder(tmp_path / "f", {"a": 10, "b": 5})
    data = load_data(str(tmp_path / "f"), 3, split_rule="order")
    names = [Path(data.val.name(i)).relative_to(tmp_path / "f") for i in range(len(data.val))]
    assert [str(name) for name in names] == ["a/6.png", "a/9.png", "b/0.png"]


def test_splits_of_a_table_by_either_rule(tmp_path: Path) -> None:
    rows = ["1,a,train", "2,b,train", "3,a,test", "4,b,val", "5,a,test", "1,a,val"]
    path = tmp_path / "t.csv"
    path.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    before, now = (load_data(str(path), 0, split_rule=rule) for rule in ("order", "image"))
    assert [Path(before.val.name(i)).name for i in range(len(before.val))] == ["3", "4", "5", "1"]
    assert [len(choose_split(now, s)) for s in ("train", "val", "test", "all")] == [2, 1, 2, 5]
