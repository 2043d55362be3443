"""`googlenet construct`: a table that every verb takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet import Classifier
from googlenet.cli import main
from tests.fixtures import photo_folder, tiny_classifier


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "m.safetensors"
    tiny_classifier(size=64).save(path)
    return str(path)


def test_a_table_from_a_network(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(photo_folder(tmp_path / "data", {"red": 14, "blue": 14}))
    out = tmp_path / "table.json"
    arguments = ["construct", data, "--from", model, "--budget", "700000000"]
    assert main([*arguments, "--out", str(out), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert {"variant", "rows", "params", "macs", "out"} <= set(value)
    assert {"name", "widths", "shares"} <= set(value["rows"][0])
    assert value["macs"] == pytest.approx(700_000_000, rel=0.01)
    assert (tmp_path / "table.html").read_text().startswith("<!doctype html>")
    assert not (tmp_path / "table.json.parts").exists()
    assert main(["table", "--variant", str(out), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["variant"], table["params"], table["macs"]) == (
        *("constructed", value["params"], value["macs"]),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "table.txt"], "--out must end in .json, got table.txt"),
        (["--budget", "1000000"], "--budget must be above the stem's"),
        (["--from", "nothing.safetensors"], "nothing.safetensors"),
    ],
)
def test_bad_usage(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    photo_folder(tmp_path / "data", {"red": 14, "blue": 14})
    given = arguments if "--from" in arguments else ["--from", model, *arguments]
    assert main(["construct", "data", *given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_grows_module_by_module_and_its_table_goes_through_the_verbs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(photo_folder(tmp_path / "data", {"red": 20, "green": 20, "blue": 20}))
    out = tmp_path / "table.json"
    arguments = ["construct", data, "--size", "64", "--images", "12", "--budget", "700000000"]
    arguments += ["--out", str(out), "--json"]
    assert main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["macs"] == pytest.approx(700_000_000, rel=0.01)
    run = tmp_path / "run"
    train = ["train", data, "--variant", str(out), "--size", "32", "--out", str(run), "--json"]
    assert main([*train, "--epochs", "1", "--set", "batch=16", "--set", "learning_rate=0.01"]) == 0
    capsys.readouterr()
    trained = Classifier.load(run)
    assert trained.variant == "constructed"
    assert main(["evaluate", str(run), "--data", data, "--json"]) == 0
