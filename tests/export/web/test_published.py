"""The page of the 2014 weights answers as Python does, on real photos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("chromium") is None,
        reason="chromium is not installed (on Debian: apt-get install chromium)",
    ),
]


def exported_2014(shared_data: Path, folder: Path, *options: object) -> dict[str, Any]:
    """The report of a page with the weights of 2014."""
    weights = shared_data / "bvlc-googlenet" / "weights.safetensors"
    model = folder / "m.safetensors"
    assert command("convert", weights, "--out", model).code == 0
    out = folder / "page.html"
    found = command(
        "export", model, "--to", "web", "--single-file", "--out", out, "--json", *options
    )
    assert found.code == 0, found.err
    report: dict[str, Any] = json.loads(found.out)
    return report


def test_the_2014_weights_answer_as_in_python(
    shared_data: Path, tmp_path: Path, runtime_archive: Path
) -> None:
    """50 of 50 original photos: portraits, profiles and all."""
    photos = shared_data / "ilsvrc2012-val-50-original" / "labels.csv"
    options = ("--data", photos, "--precision", "fp32", "--runtime", runtime_archive)
    browser = exported_2014(shared_data, tmp_path, *options)["browser"]
    assert (browser["images"], browser["agreement"], browser["skipped"]) == (50, 100, [])


def test_the_2014_weights_in_int8(shared_data: Path, tmp_path: Path, runtime_archive: Path) -> None:
    """int8 by default; on 650 photos, for 50 say too little of quantization."""
    report = exported_2014(
        shared_data, tmp_path, "--data", shared_data / "ilsvrc2012-val-650" / "labels.csv",
        "--calibration-data", shared_data / "imagenette2-160", "--runtime", runtime_archive,
    )  # fmt: skip
    assert report["precision"] == "int8"
    assert report["browser"]["agreement"] >= 98
    assert report["bytes"] < 13e6
