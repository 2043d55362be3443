"""`googlenet bench input`: what it prints; speeds themselves are no test's business."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import command
from tests.fixtures import encoded, noise


def test_rows_and_ceilings(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}.jpg").write_bytes(encoded(noise(60, 40, i), "JPEG"))
    options = ["--images", "3", "--size", "32", "--repeats", "2"]
    answer = command("bench", "input", "--data", tmp_path, *options, "--json")
    assert answer.code == 0, answer.err
    found = answer.json()
    assert (found["kind"], found["unit"], found["photos"]) == ("input", "images/s per core", 3)
    rows = {row["name"]: row for row in found["results"]}
    assert set(rows) == {
        *("Pillow, uint8 crops", "Pillow, float batches"),
        *("googlenet pillow, uint8 crops", "googlenet pillow, float batches"),
        *("googlenet turbo, uint8 crops", "googlenet turbo, float batches"),
        "googlenet turbo cached, uint8 crops",
    }
    for row in rows.values():
        assert 0 < row["low"] <= row["median"] <= row["high"]
    assert rows["Pillow, uint8 crops"]["ratio"] == rows["Pillow, float batches"]["ratio"] == 1
    assert set(found["ceiling"]) == {
        *("decoding alone, libjpeg-turbo", "decoding alone, Pillow"),
        "memory copy, GB/s",
    }


def test_synthetic_images_without_data() -> None:
    answer = command("bench", "input", "--images", "2", "--size", "32", "--repeats", "1")
    assert answer.code == 0, answer.err
    assert "2 images (synthetic), crop size 32" in answer.out
    assert "googlenet turbo, float batches" in answer.out


def test_data_without_files() -> None:
    answer = command("bench", "input", "--data", "digits")
    assert answer.code == 1
    assert "the data must hold images as files to measure reading them, has none" in answer.err
