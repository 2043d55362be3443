"""The check of whole data sets: each kind of problem, made and found, and nothing else."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.checks.check import Check, check_data
from googlenet.checks.problems import KINDS, Problem
from googlenet.checks.scan import scan
from googlenet.data.labels import DataError
from googlenet.data.load_data import load_data
from googlenet.images.decode import ImageError, decode
from googlenet.runtime.errors import UsageError
from tests.checks.test_near_duplicates import scene
from tests.dirty_photos import broken, usable, write_specials
from tests.fixtures import encoded, photo_folder
from tests.unprivileged import unprivileged


class Silent:
    """A progress bar that counts."""

    def __init__(self, total: int = 0, _: str = "") -> None:
        self.total, self.done = total, 0

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.done == self.total

    def update(self) -> None:
        self.done += 1


@cache
def scene_file(seed: int) -> bytes:
    return encoded(scene(seed))


def check(data: Path | str, seed: int = 0) -> Check:
    return check_data(str(data), seed, 2, Silent)


def kinds(found: Check) -> dict[str, set[str]]:
    """The names of the files, or classes, with a problem, by kind."""
    return {
        kind: {Path(p.path).name for p in found.problems if p.kind == kind}
        for kind in found.counts()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five images a class to train on and two to validate on: nothing is wrong."""
    seed = 0
    for part, count in (("train", 5), ("val", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "data" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{label}{part}{number}.png").write_bytes(scene_file(seed))
                seed += 1
    return tmp_path / "data"


def test_nothing_is_wrong(data: Path) -> None:
    found = check(data)
    assert found.problems == []
    assert found.to_json() == {
        "data": "data", "images": 14, "classes": 2, "parts": {"train": 10, "val": 4},
        "counts": {}, "problems": [],
    }  # fmt: skip


def test_broken_images_are_unreadable_and_odd_ones_are_not(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"red": 2, "blue": 2}) / "red"
    for name, (content, _) in broken().items():
        (folder / name).write_bytes(content)
    for name, content in usable().items():
        (folder / name).write_bytes(content)
    specials = write_specials(folder)
    found = check(tmp_path)
    assert found.images == 4 + len(broken()) + len(usable()) + len(specials)
    names = kinds(found)
    assert names["unreadable"] == {*broken(), *specials}
    assert names["mislabelled"] == {"a-png-in-truth.jpg", "a-jpeg-in-truth.png"}
    assert names["extreme-aspect"] == {"line.png", "wide.png"}
    assert names["tiny"] == {"single-pixel.png"}
    details = {Path(p.path).name: p.detail for p in found.problems if p.kind == "unreadable"}
    assert details["empty.jpg"] == "cannot be read as an image (it is empty)"
    assert all(detail.isprintable() for detail in details.values())


def test_what_is_unreadable_is_what_training_leaves_out(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"red": 1, "blue": 1}) / "red"
    for name, (content, _) in broken().items():
        (folder / name).write_bytes(content)
    refused = set()
    for source in load_data(str(tmp_path)).all.sources:
        try:
            decode(source)
        except ImageError:
            refused.add(str(source))
    assert {p.path for p in check(tmp_path).problems if p.kind == "unreadable"} == refused


def test_duplicate_and_near_duplicate(data: Path) -> None:
    original = data / "train" / "cat" / "cattrain0.png"
    shutil.copy(original, data / "train" / "cat" / "z-same.png")
    Image.open(original).convert("RGB").save(data / "train" / "cat" / "z-near.jpg", quality=40)
    found = check(data)
    assert kinds(found) == {"duplicate": {"z-same.png"}, "near-duplicate": {"z-near.jpg"}}
    duplicate, near = found.problems
    assert duplicate.detail == f"the same file as {original}"
    assert near.detail.startswith("looks (0.9")
    assert near.detail.endswith(f"of 1) like {original}")


@pytest.mark.parametrize("same", [True, False])
def test_leakage_is_named_as_such(data: Path, same: bool) -> None:
    original = data / "train" / "dog" / "dogtrain3.png"
    leak = data / "val" / "dog" / "again.png"
    if same:
        shutil.copy(original, leak)
    else:
        Image.open(original).resize((80, 60)).save(leak)
    found = check(data)
    kind = "duplicate" if same else "near-duplicate"
    assert kinds(found) == {kind: {"again.png"}, "leakage": {"again.png"}}
    (leakage,) = (p for p in found.problems if p.kind == "leakage")
    assert leakage.path == str(leak)
    assert str(original) in leakage.detail
    assert leakage.detail.endswith("a training image")


@pytest.mark.parametrize("same", [True, False])
def test_one_image_with_two_labels(data: Path, same: bool) -> None:
    original = data / "train" / "cat" / "cattrain1.png"
    other = data / "train" / "dog" / "other.png"
    if same:
        shutil.copy(original, other)
    else:
        Image.open(original).resize((80, 60)).save(other)
    (conflict,) = (p for p in check(data).problems if p.kind == "conflicting-labels")
    assert conflict.path == str(other)
    assert conflict.detail.endswith(f"{original}: labelled dog here, cat there")


def test_copies_of_copies_are_each_named_once(data: Path) -> None:
    for place in ("train/cat/y.png", "train/dog/y.png", "val/cat/y.png", "val/dog/y.png"):
        shutil.copy(data / "train" / "cat" / "cattrain0.png", data / place)
    found = check(data)
    assert found.counts() == {"duplicate": 4, "leakage": 2, "conflicting-labels": 3}


def test_leakage_by_the_split_of_the_seed(tmp_path: Path) -> None:
    """One folder of classes: which copies are held out depends on the seed, as in training."""
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(5):
            content = scene_file(number + 5 * (label == "dog"))
            (tmp_path / label / f"{number}.png").write_bytes(content)
    for seed in range(20):
        held = {str(source) for source in load_data(str(tmp_path), seed).val.sources}
        if str(tmp_path / "cat" / "0.png") in held:
            break
    for number in range(8, 10):
        shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / f"{number}.png")
    for seed in range(8):
        held = {str(source) for source in load_data(str(tmp_path), seed).val.sources}
        copies = {str(tmp_path / "cat" / f"{number}.png") for number in (0, 8, 9)}
        leaking = held & copies if copies - held else set()
        found = check(tmp_path, seed)
        assert {p.path for p in found.problems if p.kind == "leakage"} == leaking
        assert all("random split" in p.detail for p in found.problems if p.kind == "leakage")


def test_classes_that_a_part_lacks_and_small_ones(data: Path) -> None:
    bird = data / "train" / "bird"
    bird.mkdir()
    scene(50).save(bird / "only.png")
    (data / "train" / "empty").mkdir()
    (data / "val" / "dog" / "dogval0.png").write_text("no photo")
    (data / "val" / "dog" / "dogval1.png").write_text("no photo")
    found = check(data)
    empty = "the folder holds no image: it makes no class"
    assert [p for p in found.problems if p.kind != "unreadable"] == [
        Problem(str(data / "train" / "empty"), "missing-class", empty),
        Problem("bird", "missing-class", "no validation image"),
        Problem("dog", "missing-class", "none of its 2 validation images can be read"),
        Problem("bird", "imbalance", "1 training images, cat has 5"),
    ]


def test_files_without_a_label_and_files_that_are_not_read(data: Path) -> None:
    scene(60).save(data / "loose.png")
    scene(61).save(data / "train" / "loose2.png")
    (data / "train" / "cat" / "IMG_1.NEF").write_bytes(b"\0\0\0\x18ftypheic")
    (data / "train" / "cat" / "Thumbs.db").write_bytes(b"")
    (data / "train" / "cat" / ".DS_Store").write_bytes(b"")
    (data / "train" / "cat" / "linked").symlink_to(data / "val")
    (data / "README.txt").write_text("about")
    (data / "test").mkdir()
    scene(62).save(data / "test" / "a.png")
    (data / "extra" / "cat").mkdir(parents=True)
    scene(63).save(data / "extra" / "cat" / "b.png")
    found = check(data)
    assert kinds(found) == {
        "unlabelled": {"loose.png", "loose2.png", "test"},
        "unused": {"IMG_1.NEF", "linked", "extra"},
    }
    details = {Path(p.path).name: p.detail for p in found.problems}
    assert details["extra"] == "1 images of no split that is read"


def test_data_that_training_refuses_is_checked_nevertheless(data: Path) -> None:
    folder = data / "val" / "zebra"
    folder.mkdir()
    (folder / "bad.png").write_text("no photo")
    with pytest.raises(DataError) as refused:
        load_data(str(data))
    found = check(data)
    assert (found.images, found.classes) == (15, 3)
    assert found.problems[0] == Problem(str(data), "unusable", str(refused.value))
    assert kinds(found)["unreadable"] == {"bad.png"}
    assert Problem("zebra", "missing-class", "no training image") in found.problems


def test_folder_that_cannot_be_listed(public_folder: Path) -> None:
    photo_folder(public_folder, {"a": 2, "b": 2, "c": 2})
    (public_folder / "b").chmod(0)
    said = unprivileged(
        "import sys; from googlenet.checks.check import check_data\n"
        "from googlenet.runtime.console import Console",
        f"found = check_data({str(public_folder)!r}, 0, 1, Console(sys.stdout).bar)\n"
        "for problem in found.problems: print(*problem, sep='|')",
    )
    assert f"{public_folder}|unusable|{public_folder / 'b'}: the folder cannot be listed" in said
    assert (
        f"{public_folder / 'b'}|unreadable|the folder cannot be listed (Permission denied)" in said
    )


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_table(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(scene_file(number))
    rows = "path,label,split\n0.png,a,train\n1.png,b,train\ngone.png,b,train\n0.png,b,train\n"
    found = check(table(tmp_path, rows + "2.png,a,val\n3.png,b,val\n"))
    assert kinds(found) == {
        "unusable": {"labels.csv"},
        "unreadable": {"gone.png"},
        "unlabelled": {tmp_path.name},
        "duplicate": {"0.png"},
        "conflicting-labels": {"0.png"},
    }
    details = {p.kind: p.detail for p in found.problems}
    assert details["unreadable"].endswith("(No such file or directory)")
    assert details["unlabelled"] == "2 images here are in no row of the table"
    assert details["duplicate"] == f"listed before, as {tmp_path / '0.png'}"


def test_table_with_a_test_split_and_repetitions(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(scene_file(number))
    shutil.copy(tmp_path / "0.png", tmp_path / "5.png")
    rows = ["0.png,a,train", "1.png,b,train", "2.png,a,val", "3.png,b,val", "4.png,a,test",
            "5.png,a,test", "0.png,a,train"]  # fmt: skip
    found = check(table(tmp_path, "path,label,split\n" + "\n".join(rows)))
    assert (found.images, found.parts) == (6, {"train": 2, "val": 2, "test": 2})
    assert kinds(found) == {"duplicate": {"labels.csv", "5.png"}, "leakage": {"5.png"}}


def test_table_of_images_with_several_labels(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(scene_file(number))
    shutil.copy(tmp_path / "0.png", tmp_path / "9.png")
    labels = {0: "cat|dog", 3: "", 6: "cat|dog", 7: "bird"}
    rows = [
        f"{number}.png,{labels.get(number, 'cat')},{'val' if number in (5, 6) else 'train'}"
        for number in range(12)
    ]
    found = check(table(tmp_path, "path,label,split\n" + "\n".join(rows)))
    assert (found.images, found.classes) == (12, 3)
    assert [(p.path, p.kind) for p in found.problems] == [
        (str(tmp_path / "9.png"), "duplicate"),
        (str(tmp_path / "9.png"), "conflicting-labels"),
        ("bird", "missing-class"),
        ("bird", "imbalance"),
        ("dog", "imbalance"),
    ]
    assert found.problems[1].detail.endswith("labelled cat here, cat|dog there")


def test_table_that_training_refuses(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(scene_file(number))
    path = table(
        tmp_path, "path,label,split\n0.png,a,train\n1.png,,train\n2.png,b,wild\n,a,train\n"
    )
    found = check(path)
    assert [p.kind for p in found.problems] == ["unusable", "unusable", "unusable", "unlabelled",
                                                "unlabelled"]  # fmt: skip
    assert "line 3: path and label must not be empty" in found.problems[0].detail
    assert found.problems[1].detail.startswith(f"{path} line 4: split must be one of train")
    assert found.problems[3] == Problem(
        str(tmp_path / "1.png"), "unlabelled", f"{path} line 3 has no label"
    )


def test_built_in_set_is_small_and_has_no_other_problem() -> None:
    found = check("digits")
    assert (found.images, found.classes) == (1797, 10)
    assert set(found.counts()) <= {"tiny", "duplicate", "leakage"}
    assert found.counts()["tiny"] == 1797


def test_inventory_is_what_training_reads(data: Path) -> None:
    for name in (str(data), str(data / "train")):
        loaded = load_data(name, 3)
        entries = scan(name, 3).entries
        assert [e.source for e in entries] == [*loaded.train.sources, *loaded.val.sources]
        assert [e.label for e in entries] == [loaded.classes[i].id for i in loaded.all.labels]
        assert [e.split for e in entries] == ["train"] * len(loaded.train) + ["val"] * len(
            loaded.val
        )


def test_nothing_and_no_image(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DATA must be a folder"):
        check("nowhere")
    with pytest.raises(DataError, match="must have a folder of images per class"):
        check(tmp_path)


def test_every_kind_has_a_meaning_and_an_order(data: Path) -> None:
    (data / "train" / "cat" / "bad.png").write_text("no photo")
    scene(70, 640, 64).save(data / "train" / "cat" / "wide.png")
    shutil.copy(data / "train" / "cat" / "cattrain0.png", data / "val" / "cat" / "leak.png")
    found = check(data)
    order = [list(KINDS).index(problem.kind) for problem in found.problems]
    assert order == sorted(order)
    assert np.unique(order).size == 4
