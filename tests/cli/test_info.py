"""`googlenet info`: what a model file holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from googlenet import Classifier
from tests.cli.conftest import Trained, command
from tests.fixtures import set_header, tiny_classifier


def test_json_is_the_header_and_the_size(trained: Trained) -> None:
    answer = command("info", trained.run, "--json")
    found = answer.json()
    model = Classifier.load(trained.run)
    assert found["file"] == str(trained.run / "last.safetensors")
    assert found["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert set(found) == {
        "file", "parameters", "variant", "width", "heads", "labels", "threshold", "classes",
        "preprocessing", "calibration", "metrics", "provenance", "licence",
    }  # fmt: skip
    assert found["classes"] == [{"id": c, "name": c} for c in ("blue", "green", "red")]
    assert found["preprocessing"] == model.preprocessing.to_json() | {
        "mean": list(model.preprocessing.mean), "scale": list(model.preprocessing.scale),
    }  # fmt: skip


def test_lines_for_a_reader(tmp_path: Path) -> None:
    classifier = tiny_classifier(classes=20, heads=True)
    set_header(classifier, metrics={"1": {"top1_error": 30.5}})
    classifier.save(tmp_path / "m.safetensors")
    lines = command("info", tmp_path / "m.safetensors").out.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines if not line.endswith(":"))
    assert found["variant"] == "bn"
    assert found["heads"] == "4a, 4d"
    assert found["classes"].startswith("20: name0; name1; ")
    assert found["classes"].endswith("name11; … (20 in total)")
    assert found["1"] == "{'top1_error': 30.5}"
    assert "licence" not in found  # nothing is said of what is not known


@pytest.mark.parametrize(
    ("name", "code"), [("missing.safetensors", 2), ("notes.txt", 1), ("checkpoint", 1)]
)
def test_refusals_are_one_sentence(name: str, code: int, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    path = trained.run / "checkpoint.safetensors" if name == "checkpoint" else tmp_path / name
    answer = command("info", path)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
    assert answer.err.startswith("googlenet info: ")
    assert path.name in answer.err


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_exported_file(form: str, tmp_path: Path) -> None:
    """It has the network's parameters, and how it was exported."""
    model = tiny_classifier(size=32)
    model.save(tmp_path / "m.safetensors")
    out = tmp_path / ("m.onnx" if form == "onnx" else "m.xml")
    options = ("--to", form, "--out", out, "--images", 4)
    assert command("export", tmp_path / "m.safetensors", *options).code == 0
    found = command("info", out, "--json").json()
    ours = command("info", tmp_path / "m.safetensors", "--json").json()
    assert ours["parameters"] == sum(p.numel() for p in model.network.parameters()) > 0
    export = found.pop("export")
    assert (export["format"], export["precision"], export["input"]) == (form, "fp32", "normalised")
    assert found == ours | {"file": str(out), "heads": []}
    assert "export:" in command("info", out).out


def test_why_there_are_no_kernels(no_kernels: None, tmp_path: Path) -> None:
    tiny_classifier().save(tmp_path / "m.safetensors")
    lines = command("info", tmp_path / "m.safetensors").out.splitlines()
    reason = "off: switched off by GOOGLENET_NATIVE=0"
    assert lines[-2:] == [f"pixel kernels      {reason}", f"network kernels    {reason}"]


def test_a_build_that_fails_is_said_once_on_stderr(trained: Trained, tmp_path: Path) -> None:
    variables = os.environ | {"CXX": "false", "GOOGLENET_CACHE": str(tmp_path)}
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-m", "googlenet", "predict", trained.run, tmp_path / "a.png"],
        env=variables, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    told = "native kernels are unavailable (the C++ compiler 'false' failed: exit status 1)"
    assert [line for line in done.stderr.splitlines() if "kernels" in line] == [
        f"{told}: slower code runs"
    ]
