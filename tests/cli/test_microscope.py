"""`googlenet microscope` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from googlenet.cli import main
from googlenet.cli.microscope import Report
from googlenet.runtime.console import Console
from tests.fixtures import noise, photo_folder, tiny_classifier


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    tiny_classifier().save(path)
    return path


def test_json(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = photo_folder(tmp_path / "data", {"id0": 2, "id1": 2})
    words = ["microscope", str(model), "--data", str(data), "--out", str(tmp_path / "site")]
    words += ["--layers", "4a,5b", "--units", "6", "--steps", "2", "--processes", "1", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == ["inception_4a", "inception_5b"]
    assert (found["units"], found["images"], found["complete"]) == (12, 4, True)
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert found["bytes"] == sum(path.stat().st_size for path in files)


def test_a_folder_without_labels_and_a_time_limit(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for n in range(3):
        noise(40, 40, n).save(tmp_path / "data" / f"{n}.png")
    (tmp_path / "data" / "3.png").write_bytes(b"no image")
    words = ["microscope", str(model), "--data", str(tmp_path / "data")]
    words += ["--out", str(tmp_path / "site"), "--layers", "5b", "--processes", "1", "--steps", "0"]
    assert main([*words, "--time-limit", "0.000001s"]) == 0
    assert "0 of 3 parts are made" in capsys.readouterr().out
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "shown without labels" in said
    assert "3.png" in said
    assert "index.html" in said
    assert main([*words, "--json"]) == 0  # nothing is left to do
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["unreadable"], found["complete"]) == (3, 1, True)


def test_progress_has_the_time_left() -> None:
    stream = StringIO()
    clock = iter([0.0, 10.0, 20.0])
    report = Report(Console(stream), Console(stream).bar(0, "microscope"), lambda: next(clock))
    report.begin(100, 50)
    report.advance(5)  # still in the sixth tenth
    report.advance(6)
    assert stream.getvalue() == "60 % done, about 35s left\n"


def test_bad_usage(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = photo_folder(tmp_path / "data", {"id0": 2, "id1": 2})
    words = ["microscope", str(model), "--data", str(data), "--out", str(tmp_path / "site")]
    assert main([*words, "--layers", "4f"]) == 2
    assert "4a" in capsys.readouterr().err
    assert main([*words[:3], str(tmp_path / "none"), *words[4:]]) == 2
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_two_layers_and_64_units_of_the_2014_weights_in_five_minutes(
    shared_data: Path, tmp_path: Path
) -> None:
    """Five minutes on two cores are 600 CPU-seconds, which a busy machine does not stretch."""
    before = getrusage(RUSAGE_CHILDREN)
    words = ["microscope", str(shared_data / "bvlc-googlenet" / "weights.safetensors")]
    words += ["--data", str(shared_data / "ilsvrc2012-val-650" / "labels.csv"), "--images", "100"]
    words += ["--layers", "4b,4c", "--units", "32", "--out", str(tmp_path / "site"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "googlenet", *words, "--processes", "2"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = getrusage(RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 600
    found = json.loads(done.stdout)
    assert (found["units"], found["images"], found["complete"]) == (64, 100, True)
    assert found["bytes"] < 10e6
