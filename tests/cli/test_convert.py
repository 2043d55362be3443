"""`googlenet convert` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from googlenet import Classifier
from googlenet.cli import main
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.models.registry import build_network


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.safetensors"
    Classifier.from_network(
        build_network("paper", 2, size=64, width=0.1),
        (Class("a", "a"), Class("b", "b")),
        Preprocessing(size=64, resize_size=73),
    ).save(path)
    return path


def test_the_released_weights(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = shared_data / "bvlc-googlenet" / "weights.safetensors", tmp_path / "out" / "x"
    assert main(["convert", str(source), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    for line in (
        "safetensors file, caffe names, variant paper, 1000 classes",
        "kept           116 tensors",
        "dropped        0",
        "missing        12",
        "… and 8 more, see --json",
        "re-initialized 0",
        "heads          none",
        "licence        released for unrestricted use",
    ):
        assert line in told
    assert main(["info", str(out), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["licence"] == "released for unrestricted use"
    assert info["provenance"]["url"].startswith("http")
    assert info["parameters"] == 6_998_552


def test_json_has_every_tensor(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(shared_data / "bvlc-googlenet" / "weights.safetensors")
    source = tmp_path / "more.safetensors"
    save_file(tensors | {"loss1/conv/bias": torch.zeros(128), "label": torch.zeros(1)}, source)
    assert main(["convert", str(source), "--out", str(tmp_path / "x"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["kept"]) == 116
    assert told["dropped"] == {
        "loss1/conv/bias": "the auxiliary heads are not complete",
        "label": "has no place in the network",
    }
    assert len(told["missing"]) == 11
    assert (told["scheme"], told["variant"], told["classes"]) == ("caffe", "paper", 1000)
    assert told["reinitialised"] == {}


def test_to_caffe_and_back(ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    between, back = tmp_path / "caffe.safetensors", tmp_path / "back.safetensors"
    assert main(["convert", str(ours), "--out", str(between), "--to", "caffe"]) == 0
    assert main(["convert", str(between), "--out", str(back)]) == 0
    assert back.read_bytes() == ours.read_bytes()
    assert "heads          4a, 4d" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "code", "rule"),
    [
        (".", 2, "--out must be a file"),
        ("ours.safetensors", 2, "--out must not be SOURCE itself"),
        ("kept", 1, "exists and is read-only"),
        ("ours.safetensors/x", 1, "cannot be written"),
    ],
)
def test_where_nothing_is_written(
    out: str, code: int, rule: str, ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ours.read_bytes()
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "kept").chmod(0o444)
    assert main(["convert", str(ours), "--out", str(tmp_path / out)]) == code
    assert rule in capsys.readouterr().err
    assert ours.read_bytes() == before
    assert (tmp_path / "kept").read_text() == "mine"


def test_a_bad_source_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "text.pb"
    source.write_text("no weights")
    assert main(["convert", str(source), "--out", str(tmp_path / "x")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"googlenet convert: {source}: is not a weight file")
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_source_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "nowhere", "--out", str(tmp_path / "x")]) == 2
    assert "bvlc, inception5h, torchvision, got nowhere" in capsys.readouterr().err
