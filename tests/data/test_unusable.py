"""Data that training rejects: one sentence that names the cause, before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from googlenet.data.account import has_measurements
from googlenet.data.labels import DataError
from googlenet.data.load_data import load_usable_data
from tests.cli.conftest import command
from tests.fixtures import photo_folder


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("path,label\n" + "".join(f"{p},{label}\n" for p, label in rows))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> list[tuple[str, str]]:
    photo_folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    return [
        (f"photos/{name}/{path.name}", name)
        for name in ("cat", "dog")
        for path in sorted((tmp_path / "photos" / name).iterdir())
    ]


@pytest.mark.parametrize(
    ("prefix", "hint"),
    [
        ("https://example.org/", "a URL is not a path: download the images first"),
        ("~/", "~ is not expanded: write the whole path"),
        ("other/", "a path is relative to the CSV file's folder"),
    ],
)
def test_paths_that_are_not_there(
    tmp_path: Path, rows: list[tuple[str, str]], prefix: str, hint: str
) -> None:
    data = table(tmp_path / "labels.csv", [(prefix + path, label) for path, label in rows])
    out = tmp_path / "run"
    answer = command("train", data, "--out", out, "--size", "32", "--width", "0.05")
    assert answer.code != 0
    assert answer.err.count("\n") == 1
    assert "12 of 12 images looked up do not exist, for example " in answer.err
    assert hint in answer.err
    assert not out.exists()
    checked = command("check", data, "--json").json()
    assert checked["counts"]["unusable"] == 1


def test_separators_of_windows(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    data = table(tmp_path / "labels.csv", [(p.replace("/", "\\"), label) for p, label in rows])
    if os.sep == "/":
        with pytest.raises(DataError, match=r"write / for \\ in the paths"):
            load_usable_data(str(data))


def test_paths_from_elsewhere(
    tmp_path: Path, rows: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table(tmp_path / "deep" / "labels.csv", rows)
    with pytest.raises(DataError, match=f"the paths exist seen from {tmp_path}: move the CSV"):
        load_usable_data(str(data))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="the paths exist seen from the current folder"):
        load_usable_data(str(data))


def test_single_images_may_be_missing(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    missing = [(f"photos/cat/none{i}.png", "cat") for i in range(6)]
    assert len(load_usable_data(str(table(tmp_path / "labels.csv", rows + missing))).all) == 18


def test_measurements(tmp_path: Path) -> None:
    photo_folder(tmp_path / "photos", {"a": 20})
    paths = sorted((tmp_path / "photos" / "a").iterdir())
    data = table(
        tmp_path / "regress.csv",
        [(str(path), f"{0.1 + 0.037 * i:.3f}") for i, path in enumerate(paths)],
    )
    answer = command("train", data, "--out", tmp_path / "run")
    assert "got 20 and 0: each class has a single image" in answer.err
    assert "the labels look like measurements (0.100, 0.137, 0.174, …)" in answer.err
    assert not (tmp_path / "run").exists()
    (problem,) = [
        p for p in command("check", data, "--json").json()["problems"] if p["kind"] == "unusable"
    ]
    assert "measurements" in problem["detail"]
    assert has_measurements(["0.1", "1e3", ".5", "2.5e-3"])
    assert not has_measurements(["0.0", "1.0"])
    assert not has_measurements(["v1.0", "cat", "2.0"])


def test_one_image_per_class(tmp_path: Path) -> None:
    photo_folder(tmp_path / "single", {"cat": 1, "dog": 1})
    answer = command("train", tmp_path / "single", "--out", tmp_path / "run")
    assert "each class has a single image" in answer.err
    assert "measurements" not in answer.err
    assert command("check", tmp_path / "single", "--json").json()["counts"]["unusable"] == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("0.0", "1.0"), "integers that a program wrote as decimals?"),
        (("0.1", "0.25"), "measurements?"),
    ],
)
def test_decimal_labels_are_told_of(
    tmp_path: Path, rows: list[tuple[str, str]], values: tuple[str, str], why: str
) -> None:
    data = table(tmp_path / "labels.csv", [(path, values[label == "dog"]) for path, label in rows])
    (note,) = load_usable_data(str(data)).account.notes
    assert note.kind == "decimal-labels"
    assert f"({values[0]}, {values[1]}), each a class of that name: {why}" in note.detail
    assert command("check", data, "--json").json()["counts"]["decimal-labels"] == 1
