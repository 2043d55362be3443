"""CSV files of images; every error names its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from googlenet.data.csv_file import read_csv
from googlenet.data.dataset import DataSet
from googlenet.data.labels import Class, DataError
from googlenet.data.load_data import choose_split

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
    assert not data.has_split


def test_split_column_decides(tmp_path: Path) -> None:
    rows = (
        "path,label,split\n1,a,train\n2,b,training\n3,a,val\n4,b,valid\n5,a,validation\n6,b,test\n"
    )
    data = read_csv(table(tmp_path, rows), 0)
    assert [p.name for p in paths(data)[0]] == ["1", "2"]
    assert [p.name for p in paths(data)[1]] == ["3", "4", "5"]
    assert [Path(str(s)).name for s in data.test.sources] == ["6"]
    assert data.has_split
    assert "; 1 test images are left out" in data.describe()
    before = read_csv(tmp_path / "labels.csv", 0, legacy=True)
    assert [p.name for p in paths(before)[1]] == ["3", "4", "5", "6"]


def test_test_rows_validate_where_nothing_else_does_and_it_is_said(tmp_path: Path) -> None:
    data = read_csv(table(tmp_path, "path,label,split\n1,a,train\n2,b,train\n3,a,test\n"), 0)
    assert (len(data.train), len(data.val), len(data.test)) == (2, 1, 0)
    assert data.describe().endswith("; the test split validates")
    assert choose_split(data, "test") == data.val


def test_an_image_with_two_labels_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\nx/1,a\n2,b\nx/../x/1,b\n")
    with pytest.raises(DataError, match=r"line 2 and line 4: x/1 has two labels, 'a' and 'b'; "):
        read_csv(path, 0)
    multi = table(tmp_path, "path,label\n1,a|b\n2,b\n1,b | a\n1,b\n")
    with pytest.raises(DataError, match=r"line 2 and line 5: 1 has two labels, 'a\|b' and 'b'; "):
        read_csv(multi, 0)


def test_an_image_counts_once(tmp_path: Path) -> None:
    rows = "path,label,split\n1,a,val\n2,b,train\n./1,a,train\n3,a,test\n3, a,val\n2,b,train\n"
    data = read_csv(table(tmp_path, rows), 0)
    assert [[p.name for p in part] for part in paths(data)] == [["1", "2"], ["3"]]
    assert not len(data.test)
    assert data.account.notes[-1].detail == (
        "3 rows name an image again: each image counts once; 2 of them in another split: "
        "it is in train, then val, then test"
    )


def paths(data: DataSet) -> tuple[list[Path], list[Path]]:
    train, val = ([Path(str(s)) for s in part.sources] for part in (data.train, data.val))
    return train, val


def test_without_a_validation_row_the_seed_splits(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},train\n" for i in range(20))
    for text in ("path,label,split\n" + rows, "path,label\n" + rows.replace(",train", "")):
        data = read_csv(table(tmp_path, text), 1)
        assert (len(data.all), data.has_split) == (20, False)
        assert 2 <= len(data.val) <= 6


def test_other_columns_their_order_a_mark_and_spaces(tmp_path: Path) -> None:
    """Excel writes a byte order mark and \\r\\n, pandas an unnamed index, people a space."""
    text = '\ufeff,label,wnid,path\r\n0, cat,n9,"a, b.jpg"\r\n1,dog,n8,c.jpg,\r\n'
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
        ("name,kind\na,b\n", "must have the columns path and label, has name, kind"),
        ("a/1.jpg 0\na/2.jpg 1\n", "Begin it with the line path,label"),
        ("path,label\na,b\n,c\n", "line 3: path and label must not be empty"),
        ("path,label\na,b\nc\n", "line 3: path and label must not be empty"),
        ('path,label\n"a\nb",x\n\n,c\n', "line 5: path and label must not be empty"),
        ("path,label,split\na,b,train\nc,b,wild\n", "line 3: split must be one of train, .*'wild'"),
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


SEVERAL = "path,label\n1.png,cat|dog\n2.png,\n3.png,dog\n4.png,cat | bird\n5.png,bird\n"


def marked(data: DataSet) -> dict[str, set[str]]:
    """The classes of each image by its name."""
    everything = data.all
    return {
        Path(everything.name(i)).name: {data.classes[c].id for c in everything.classes_of(i)}
        for i in range(len(everything))
    }


def test_bars_part_the_labels_of_an_image(tmp_path: Path) -> None:
    data = read_csv(table(tmp_path, SEVERAL), 0)
    assert data.multilabel
    assert [c.id for c in data.classes] == ["bird", "cat", "dog"]
    assert marked(data) == {
        "1.png": {"cat", "dog"}, "2.png": set(), "3.png": {"dog"}, "4.png": {"cat", "bird"},
        "5.png": {"bird"},
    }  # fmt: skip
    assert ", multilabel" in data.describe()


def test_one_label_an_image_stays_one(tmp_path: Path) -> None:
    text = "path,label\n1.png,cat\n2.png,dog\n"
    assert not read_csv(table(tmp_path, text), 0).multilabel
    several = read_csv(table(tmp_path, text), 0, multilabel=True)
    assert marked(several) == {"1.png": {"cat"}, "2.png": {"dog"}}


def test_backslash_before_a_bar_keeps_it_in_the_name(tmp_path: Path) -> None:
    data = read_csv(table(tmp_path, "path,label\n1.png,a\\|b\n2.png,c\\d\n"), 0)
    assert not data.multilabel
    assert [c.id for c in data.classes] == ["a|b", "c\\d"]
    data = read_csv(table(tmp_path, "path,label\n1.png,a\\|b|c\n2.png,c\n"), 0)
    assert marked(data) == {"1.png": {"a|b", "c"}, "2.png": {"c"}}
    assert {data.label(data.all, i) for i in range(2)} == {"a\\|b|c", "c"}


def test_indices_of_a_models_classes_between_bars(tmp_path: Path) -> None:
    called = (*CLASSES[:2], Class("0", "zero"), CLASSES[2], Class("2", "two"))
    data = read_csv(table(tmp_path, "path,label\n1.png,0|2\n2.png,goldfish\n"), 0, called)
    assert marked(data)["1.png"] == {"0", "2"}
    data = read_csv(table(tmp_path, "path,label\n1.png,0|2\n2.png,1\n"), 0, CLASSES)
    assert marked(data) == {"1.png": {"n01", "n03"}, "2.png": {"n02"}}


@pytest.mark.parametrize(
    ("text", "multi", "message"),
    [
        ("1.png,a|\n2.png,b\n", None, r"line 2: a label must not be empty between bars, got 'a\|'"),
        ("1.png,a|b\n2.png,b\n", False, r"line 2: an image must have one label, got 'a\|b'"),
        ("1.png,a|b\n,b\n", None, "line 3: path and label must not be empty"),
        ("1.png,\n2.png,b\n", False, "line 2: path and label must not be empty"),
        ("1.png,\n2.png,\n", True, "a data set must have a class or more, has none"),
    ],
)
def test_several_labels_that_cannot_be(
    tmp_path: Path, text: str, multi: bool | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(table(tmp_path, "path,label\n" + text), 0, multilabel=multi)


def test_split_holds_out_a_fifth_of_every_rarest_class(tmp_path: Path) -> None:
    """50 images have a alone, 10 b too, 5 all three, 10 nothing."""
    labels = ["a"] * 50 + ["a|b"] * 10 + ["a|b|c"] * 5 + [""] * 10
    rows = "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels))
    data = read_csv(table(tmp_path, "path,label\n" + rows), 3)
    held = Counter(labels[int(Path(data.val.name(i)).stem)] for i in range(len(data.val)))
    assert 5 <= held["a"] <= 15
    assert all(1 <= held[label] <= 3 for label in ("", "a|b"))
    assert held["a|b|c"] == 1
    again = read_csv(table(tmp_path, "path,label\n" + rows), 4)
    assert data.fingerprint() == again.fingerprint()
    assert again.val.sources != data.val.sources


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """A model file, say, that was given in the data's place."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x40\0\0\0\0\0\0\0{}")
    with pytest.raises(DataError, match=r"model\.safetensors: a data file must be a CSV file, "):
        read_csv(path, 0)
