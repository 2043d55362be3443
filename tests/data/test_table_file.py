"""Tables as other programs write them: read, or refused with what to do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from googlenet.checks.scan import scan
from googlenet.data.dataset import DataSet
from googlenet.data.labels import DataError
from googlenet.data.load_data import load_data

NAMES = ("cat", "dog")


def images(folder: Path, count: int = 10) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(folder / f"{i}.png")


def text(separator: str = ",", header: tuple[str, str] = ("path", "label")) -> str:
    rows = [header, *((f"{i}.png", NAMES[i % 2]) for i in range(10))]
    return "".join(separator.join(row) + "\n" for row in rows)


def labels(data: DataSet) -> dict[str, str]:
    samples = data.all
    return {Path(samples.name(i)).name: data.label(samples, i) for i in range(len(samples))}


RIGHT = {f"{i}.png": NAMES[i % 2] for i in range(10)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(";").encode(), ["read: columns parted by semicolons"]),
        (text("\t").encode(), ["read: columns parted by tabs"]),
        (b"sep=;\r\n" + text(";").encode(), ["read: columns parted by semicolons"]),
        (text(",", ("Path", "LABEL")).encode("utf-8-sig"), []),
        (text().encode("utf-16"), ["read: text in UTF-16"]),
        (text().encode("utf-16-le"), ["read: text in UTF-16"]),
        (text("\t").encode("utf-16-be"), ["read: columns parted by tabs; text in UTF-16"]),
        (
            text(";", ('"File Name"', '"CLASS"')).encode(),
            [
                "read: columns parted by semicolons; File Name is the path; CLASS is the label",
            ],
        ),
    ],
)
def test_separator_header_and_encoding(content: bytes, said: list[str], tmp_path: Path) -> None:
    images(tmp_path)
    (tmp_path / "t.csv").write_bytes(content)
    data = load_data(str(tmp_path / "t.csv"))
    assert labels(data) == RIGHT
    assert data.account.lines() == said


def test_path_and_label_come_before_other_names(tmp_path: Path) -> None:
    images(tmp_path)
    rows = "".join(f"{i}.png,x{i % 3},{NAMES[i % 2]},no\n" for i in range(10))
    (tmp_path / "t.csv").write_text("path,class,label,image\n" + rows)
    assert labels(load_data(str(tmp_path / "t.csv"))) == RIGHT


@pytest.mark.parametrize("as_list", [True, False])
def test_json_lines(as_list: bool, tmp_path: Path) -> None:
    images(tmp_path)
    rows = [{"file_name": name, "label": label} for name, label in RIGHT.items()]
    lines = json.dumps(rows) if as_list else "\n".join(map(json.dumps, rows))
    (tmp_path / "t.jsonl").write_text(lines)
    assert labels(load_data(str(tmp_path / "t.jsonl"))) == RIGHT


def test_metadata_beside_the_images(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("val", 4)):
        images(tmp_path / split, count)
        rows = text(",", ("file_name", "label")).splitlines()[: count + 1]
        (tmp_path / split / "metadata.csv").write_text("\n".join(rows))
    data = load_data(str(tmp_path))
    assert (len(data.train), len(data.val), data.has_split) == (10, 4, True)
    assert "the table train/metadata.csv" in data.account.lines()[0]
    assert [e.split for e in scan(str(tmp_path), 0).entries] == ["train"] * 10 + ["val"] * 4


def test_metadata_without_labels_leaves_the_folders(tmp_path: Path) -> None:
    for name in NAMES:
        images(tmp_path / name, 3)
    (tmp_path / "metadata.csv").write_text("file_name,width\ncat/0.png,40\n")
    assert [c.id for c in load_data(str(tmp_path)).classes] == ["cat", "dog"]


def test_wrapper_folders_are_entered(tmp_path: Path) -> None:
    for name in NAMES:
        images(tmp_path / "w/dataset/dataset/train" / name, 3)
        images(tmp_path / "w/dataset/dataset/val" / name, 2)
    data = load_data(str(tmp_path / "w"))
    assert [len(data.train), len(data.val)] == [6, 4]
    assert data.account.lines() == ["read: the folder dataset/dataset inside"]
    assert {p.kind for p in scan(str(tmp_path / "w"), 0).problems} == set()


def test_the_only_class_of_a_model_is_not_a_wrapper(tmp_path: Path) -> None:
    classes = load_data("digits").classes
    images(tmp_path / "7/a", 2)
    images(tmp_path / "7/b", 2)
    data = load_data(str(tmp_path), None, classes)
    assert {data.label(data.all, i) for i in range(4)} == {"7"}


def parquet(path: Path, names: bool = True) -> Path:
    pa = pytest.importorskip("pyarrow")
    images(path.parent / "source")
    files = [path.parent / "source" / name for name in RIGHT]
    cells = {
        "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
        "label": [NAMES.index(v) if names else v for v in RIGHT.values()],
    }
    feature = {"label": {"_type": "ClassLabel", "names": NAMES}} if names else {}
    metadata = {"huggingface": json.dumps({"info": {"features": feature}})}
    from pyarrow import parquet as format_

    format_.write_table(pa.table(cells).replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize("names", [True, False])
def test_parquet_with_images_inside(names: bool, tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", names)
    data = load_data(str(path))
    assert labels(data) == RIGHT
    assert data.account.lines() == ["read: Parquet with images"]
    source = data.train.sources[0]
    assert not isinstance(source, Path)
    assert source.read() == (tmp_path / "source" / source.name).read_bytes()  # type: ignore[union-attr]
    assert not any(p.kind == "unreadable" for p in scan(str(path), 0).problems)


def test_parquet_files_of_splits(tmp_path: Path) -> None:
    (tmp_path / "d/data").mkdir(parents=True)
    content = parquet(tmp_path / "t.parquet").read_bytes()
    for split in ("train", "validation"):
        (tmp_path / f"d/data/{split}-00000-of-00001.parquet").write_bytes(content)
    data = load_data(str(tmp_path / "d"))
    assert (len(data.train), len(data.val)) == (10, 10)


def test_damaged_parquet_is_a_sentence(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load_data(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08rest", "is compressed by gzip: unpack it"),
        ("path;label\nb\xe4r.png;a\n".encode("latin-1"), "save it as UTF-8"),
        (b"a/1.jpg 0\na/2.jpg 1\n", "Begin it with the line path,label"),
        (b'{"path": "a.png"\n', "cannot be read as JSON lines"),
        (b'{"path": "a.png", "label": "b"}\n3\n', "line 2: must be an object"),
    ],
)
def test_what_to_do_is_said(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_data(str(tmp_path / "t"))


def test_zip_archive_says_how_to_unpack_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("cat/1.png", b"x")
    with pytest.raises(DataError, match=r"is a zip archive: unpack it \(unzip .*t.zip\)"):
        load_data(str(tmp_path / "t.zip"))


def test_rows_of_one_image_by_other_paths_count_once(tmp_path: Path) -> None:
    images(tmp_path)
    again = f"./0.png,cat\n{tmp_path / '2.png'},cat\nx/../4.png,cat\n"
    (tmp_path / "t.csv").write_text(text() + again)
    data = load_data(str(tmp_path / "t.csv"))
    assert len(data.all) == 10
    assert "3 rows name an image again" in data.account.lines()[0]
