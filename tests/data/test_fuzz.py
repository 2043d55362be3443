"""The readers of data sets meet tables and folders that nobody would make."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from googlenet.data.csv_file import read_csv
from googlenet.data.dataset import DataSet
from googlenet.data.folder import read_folder
from googlenet.data.labels import Class, DataError
from tests.fixtures import encoded, noise

IMAGE = encoded(noise(4, 4))


def consistent(data: DataSet) -> None:
    for part in (data.train, data.val):
        assert len(part.sources) == len(part.labels)
        assert all(0 <= label < len(data.classes) for label in part.labels)
    assert len({c.id for c in data.classes}) == len(data.classes) >= 2
    assert all(c.name.isprintable() for c in data.classes)
    assert data.describe().isprintable()
    assert len(data.fingerprint()) == 16


def read_bytes_as_csv(content: bytes, classes: tuple[Class, ...] | None = None) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(content)
        try:
            consistent(read_csv(path, 0, classes))
        except DataError as error:
            assert str(error).startswith(f"{path}")  # noqa: PT017 - or none is raised


@given(st.binary(max_size=200))
def test_table_of_any_bytes(content: bytes) -> None:
    read_bytes_as_csv(content)
    read_bytes_as_csv(b"path,label,split\n" + content)


CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["a.png", "cat", "dog", "train", "val", "0", "1", "9" * 5000, "²", "", "a|b"]),
)


@given(
    st.lists(st.lists(CELLS, max_size=5), max_size=6),
    st.sampled_from([None, (Class("0", "cat"), Class("dog", "dog"))]),
)
def test_table_of_any_cells(rows: list[list[str]], classes: tuple[Class, ...] | None) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in ("path", "label", "split")]
    lines = [",".join(quoted)]
    lines += [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    read_bytes_as_csv("\n".join(lines).encode(errors="surrogatepass"), classes)


NAMES = st.one_of(
    st.sampled_from(["train", "val", "test", "cat", "dog", "a.png", "b.JPG", ".hidden", "猫"]),
    st.binary(min_size=1, max_size=8).map(os.fsdecode),
).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", ".."))


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=10))
def test_folder_of_any_names(places: list[list[str]]) -> None:
    with TemporaryDirectory() as root:
        for parts in places:
            path = Path(root, *parts[:-1], parts[-1] + ".png")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(IMAGE)
            except OSError:  # a file of that name is there already
                continue
        try:
            data = read_folder(Path(root), 0)
        except DataError as error:
            assert str(error).isprintable()  # noqa: PT017 - or none is raised
        else:
            consistent(data)
