"""The files of a run, each at its place, none overwritten."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.run_folder import RunFolder, next_folder


def test_new_and_empty_folders_are_taken(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a" / "b"):
        folder = RunFolder(path)
        folder.create({"seed": 1})
        assert folder.read_settings() == {"seed": 1}


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"--out must be a new or empty folder, got .*--resume"):
        RunFolder(tmp_path).create({})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_folder_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GoogLeNetError, match=f"{name}: cannot be created"):
        RunFolder(tmp_path / name).create({})


def test_settings_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--resume needs a run folder, got .*no settings"):
        RunFolder(tmp_path / "nothing").read_settings()


@pytest.mark.parametrize("content", [b"", b"{", b"3", b"\xff", b"[1]"])
def test_settings_that_are_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(GoogLeNetError, match=r"settings\.json: cannot be read"):
        RunFolder(tmp_path).read_settings()


def test_log_is_the_same_in_csv_and_json_lines(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3, "loss_4a": 2.5}]
    RunFolder(tmp_path).write_log(history)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == history
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items() if v} for row in rows] == history


def test_next_folder_counts_on(tmp_path: Path) -> None:
    assert next_folder(tmp_path, "digits") == tmp_path / "digits-1"
    (tmp_path / "digits-1").mkdir()
    (tmp_path / "digits-2").write_text("")
    assert next_folder(tmp_path, "digits") == tmp_path / "digits-3"
