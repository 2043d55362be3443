"""CSV files of photos; every error names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet.data.dataset import Class, DataError, DataSet
from googlenet.data.table_file import read_csv

CLASSES = (Class("n01", "tench"), Class("n02", "goldfish"), Class("n03", "shark"))


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode())
    return path


def test_columns_path_and_label(tmp_path: Path) -> None:
    data = read_csv(table(tmp_path, "path,label\nx/a.jpg,cat\nb.jpg,dog\n/abs/c.jpg,cat\n"), 0)
    assert data.classes == (Class("cat", "cat"), Class("dog", "dog"))
    assert set(zip(data.all.sources, data.all.labels, strict=True)) == {
        (tmp_path / "x/a.jpg", 0),
        (tmp_path / "b.jpg", 1),
        (Path("/abs/c.jpg"), 0),
    }
    assert not data.divided


def test_split_column_decides(tmp_path: Path) -> None:
    rows = (
        "path,label,split\n1,a,train\n2,b,training\n3,a,val\n4,b,valid\n5,a,validation\n6,b,test\n"
    )
    data = read_csv(table(tmp_path, rows), 0)
    assert [p.name for p in paths(data)[0]] == ["1", "2"]
    assert [p.name for p in paths(data)[1]] == ["3", "4", "5", "6"]
    assert data.divided


def paths(data: DataSet) -> tuple[list[Path], list[Path]]:
    train, val = ([Path(str(s)) for s in part.sources] for part in (data.train, data.val))
    return train, val


def test_without_a_validation_row_the_seed_splits(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},train\n" for i in range(20))
    for text in ("path,label,split\n" + rows, "path,label\n" + rows.replace(",train", "")):
        data = read_csv(table(tmp_path, text), 1)
        assert (len(data.train), len(data.val), data.divided) == (16, 4, False)


def test_other_columns_their_order_a_mark_and_spaces(tmp_path: Path) -> None:
    """Excel writes a byte order mark and \\r\\n, pandas an unnamed index, people a space."""
    text = '\ufeff,label,wnid,path\r\n0, cat,n9,"a, b.jpg"\r\n1,dog,n8,c.jpg,more\r\n'
    data = read_csv(table(tmp_path, text), 0)
    assert data.classes == (Class("cat", "cat"), Class("dog", "dog"))
    assert {Path(str(source)).name for source in data.all.sources} == {"a, b.jpg", "c.jpg"}


@pytest.mark.parametrize(
    ("labels", "indices"),
    [(("n03", "n01"), [2, 0]), (("shark", "tench"), [2, 0]), (("n02", "shark"), [1, 2]),
     (("2", "0"), [2, 0])],
)  # fmt: skip
def test_label_by_id_by_name_and_by_index(
    tmp_path: Path, labels: tuple[str, str], indices: list[int]
) -> None:
    text = f"path,label,split\na,{labels[0]},val\nb,{labels[1]},val\n"
    assert list(read_csv(table(tmp_path, text), 0, CLASSES).val.labels) == indices


def test_numbers_are_classes_of_their_own_without_a_list(tmp_path: Path) -> None:
    data = read_csv(table(tmp_path, "path,label,split\na,10,train\nb,9,train\nc,9,val\n"), 0)
    assert [c.id for c in data.classes] == ["9", "10"]
    assert data.val.labels == (0,)


def test_class_that_training_lacks(tmp_path: Path) -> None:
    text = "path,label,split\na,cat,train\nb,dog,train\n\nc,zebra,val\n"
    with pytest.raises(DataError, match=r"line 5: label must be one of the 2 classes \(cat, dog\)"):
        read_csv(table(tmp_path, text), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a header and a row or more, has none"),
        ("path,label\n", "must have a header and a row or more, has none"),
        ("file,class\na,b\n", "must have the columns path and label, has file, class"),
        ("path;label\na;b\n", "must have the columns path and label, has path;label"),
        ("path,label\na,b\n,c\n", "line 3: path and label must not be empty"),
        ("path,label\na,b\nc\n", "line 3: path and label must not be empty"),
        ('path,label\n"a\nb",x\n\n,c\n', "line 5: path and label must not be empty"),
        ("path,label,split\na,b,train\nc,b,dev\n", "line 3: split must be one of train, .*'dev'"),
        ('path,label\n"a,b\n', "cannot be read as CSV"),
        ("path,label\na,b\nc,b\n", "two classes or more, has b"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"labels.csv.*{message}"):
        read_csv(table(tmp_path, text), 0)


@pytest.mark.parametrize(
    ("label", "message"),
    [("3", "line 3: label must be below the number of classes, 3, got 3"),
     ("-1", r"line 3: label must be one of the 3 classes \(n01, n02, n03\), got '-1'|line 2"),
     ("whale", "label must be one of the 3 classes")],
)  # fmt: skip
def test_labels_that_the_model_lacks(tmp_path: Path, label: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(table(tmp_path, f"path,label\na,0\nb,{label}\n"), 0, CLASSES)


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"path,label\na,\xe9t\xe9\n")
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read as CSV"):
        read_csv(path, 0)
