"""`googlenet visualize` and `googlenet dream`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from googlenet.cli import main
from tests.fixtures import noise, tiny_classifier

QUICK = ["--size", "32", "--steps", "2", "--processes", "1"]


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "m.safetensors"
    tiny_classifier().save(path)
    return str(path)


def test_units_become_images(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["visualize", model, "4b", "1-3,7", "--out", str(out), "--json", *QUICK]
    assert main(arguments) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["layer"] == "inception_4b"
    assert [row["unit"] for row in value["units"]] == [1, 2, 3, 7]
    assert all({"unit", "image", "activation"} == set(row) for row in value["units"])
    with Image.open(value["units"][0]["image"]) as image:
        assert image.size == (32, 32)
    with Image.open(out / "inception_4b.png") as image:
        assert image.size == (128, 32)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == value
    sheet = (out / "inception_4b.png").read_bytes()
    assert main([*arguments, "--opposite"]) == 0
    assert (out / "inception_4b.png").read_bytes() == sheet
    assert (out / "inception_4b-opposite.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["4x", "0"], "layer must be one of the network's (inception_4"),
        (["4b", "0-9999"], "UNITS must be numbers and ranges from 0 to"),
        (["4b", "3-1"], "got '3-1'"),
        (["pool1", "0"], "layer must have units of its own (a convolution, an"),
        (["4b", "0", "--size", "8"], "size must be 16 or more, got 8"),
        (["4b", "0", "--seed", "9" * 30], "seed must be from 0 to"),
        (["4b", "0", "--of", "x"], "of must be one of channel, neuron"),
    ],
)
def test_bad_usage(
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["visualize", model, *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_out_is_a_folder(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("kept")
    assert main(["visualize", model, "4b", "0", "--out", str(tmp_path / "out")]) == 2
    assert f"--out must be a folder, got {tmp_path / 'out'}, a file" in capsys.readouterr().err


def test_a_dream_is_a_file(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise(90, 60).save(tmp_path / "a.png")
    out = tmp_path / "dream.jpg"
    quick = ["--octaves", "2", "--steps", "2", "--size", "60", "--layer", "4a"]
    assert main(["dream", model, str(tmp_path / "a.png"), "--out", str(out), *quick]) == 0
    with Image.open(out) as image:
        assert image.size == (60, 40)
    assert main(["dream", model, str(tmp_path / "a.png"), "--out", "dream.tiff"]) == 2
    assert "--out must end in .png or .jpg, got dream.tiff" in capsys.readouterr().err
