"""Other programs' shards, written by the package whose convention it is."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import webdataset

from googlenet.data.labels import Class, DataError
from googlenet.data.load_data import load_data
from googlenet.data.shards.tar import label_in, split_name
from googlenet.images.decode import decode
from tests.fixtures import encoded, noise, photo_folder, pixels


def write(path: Path, *labels: int | str, kind: str = "cls") -> Path:
    """A shard of images 0, 1, … with these labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for i, label in enumerate(labels):
            value = {"label": label} if kind == "json" else str(label)
            writer.write(
                {"__key__": f"n01/photo_{i}", "png": encoded(noise(40, 30, i)), kind: value}
            )
    return path


@pytest.mark.parametrize("kind", ["cls", "json"])
@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("imagenet-train-0000.tar", "imagenet-validation-00.tar"),
        ("train/0.tar", "val/0.tar"),
        ("a_train.tar", "a_test.tar"),
    ],
)
def test_parts_and_labels(tmp_path: Path, train: str, val: str, kind: str) -> None:
    write(tmp_path / train, 0, 10, 2, kind=kind)
    write(tmp_path / val, 10, 2, kind=kind)
    data = load_data(str(tmp_path))
    assert [c.id for c in data.classes] == ["0", "2", "10"]
    assert data.train.labels == (0, 2, 1)
    assert data.val.labels == (2, 1)
    assert data.has_split
    assert pixels(decode(data.train.sources[2])).tolist() == pixels(noise(40, 30, 2)).tolist()
    assert data.val.name(1) == str(tmp_path / val / "n01/photo_1.png")


def test_labels_are_a_model_s_indices_or_its_classes(tmp_path: Path) -> None:
    classes = (Class("cat", "a cat"), Class("dog", "a dog"))
    numbers = load_data(str(write(tmp_path / "numbers.tar", 1, 0, 1)), None, classes)
    words = load_data(str(write(tmp_path / "words.tar", "dog", "cat", "a dog")), None, classes)
    assert numbers.train.labels == words.train.labels == (1, 0, 1)
    with pytest.raises(DataError, match=r"label must be one of the 2 classes .*, got 'cow'"):
        load_data(str(write(tmp_path / "others.tar", "cow", "cat")), None, classes)


def test_shards_without_parts_are_divided_by_the_seed(tmp_path: Path) -> None:
    for shard in range(3):
        write(tmp_path / f"{shard:03d}.tar", *("cat", "dog") * 4)
    data = load_data(str(tmp_path), 1)
    assert (len(data.all), data.has_split) == (24, False)
    assert 2 <= len(data.val) <= 6
    assert (
        data.order_hash()
        == load_data(str(tmp_path), 1).order_hash()
        != load_data(str(tmp_path), 2).order_hash()
    )


def test_folder_of_images_with_a_tar_file_in_it_is_a_folder_of_images(tmp_path: Path) -> None:
    photo_folder(tmp_path, {"red": 2, "blue": 2})
    write(tmp_path / "old.tar", 0, 1)
    assert {c.id for c in load_data(str(tmp_path)).classes} == {"red", "blue"}


def test_what_is_wrong_is_told_in_a_sentence(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.tar", 0, 1).read_bytes()
    (tmp_path / "short.tar").write_bytes(whole[:3000])
    (tmp_path / "text.tar").write_text("no tar file, and longer than a header of one" * 20)
    for name in ("short.tar", "text.tar"):
        with pytest.raises(DataError, match=rf"{name}: cannot be read as a tar file"):
            load_data(str(tmp_path / name))
    with tarfile.open(tmp_path / "bare.tar", "w") as tar:
        info = tarfile.TarInfo("0.png")
        info.size = len(whole)
        tar.addfile(info, BytesIO(whole))
    with pytest.raises(DataError, match=r"bare.tar: its image 0.png has no label"):
        load_data(str(tmp_path / "bare.tar"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("000001.jpg", ("000001", ".jpg")),
        ("a.b/c.seg.PNG", ("a.b/c", ".seg.png")),
        ("./x/7.cls", ("x/7", ".cls")),
        ("README", ("README", "")),
        (".hidden", (".hidden", ".hidden")),
    ],
)
def test_key_ends_at_the_first_dot_of_the_last_component(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    ("extension", "content", "label"),
    [
        (".cls", b"12\n", "12"),
        (".cls", b"", None),
        (".cls", b"\xff", None),
        (".json", b'{"label": 3}', "3"),
        (".json", b'{"cls": "cat", "width": 5}', "cat"),
        (".json", b'{"label": [1]}', None),
        (".json", b"{", None),
        (".json", b"3", None),
    ],
)
def test_label_of_a_member(extension: str, content: bytes, label: str | None) -> None:
    assert label_in(extension, content) == label
