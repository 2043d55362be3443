"""`googlenet calibrate`: what it fits, what it says, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from googlenet import Classifier
from googlenet.evaluation.details import COLUMNS
from tests.cli.conftest import Answer, Trained, command
from tests.fixtures import noise, photo_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of the model's classes: enough for a threshold of either half."""
    root = tmp_path_factory.mktemp("known")
    return photo_folder(root, dict.fromkeys(("red", "green", "blue"), 20), seed=50_000)


@pytest.fixture(scope="module")
def calibrated(
    trained: Trained, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Answer]:
    out = tmp_path_factory.mktemp("calibrated") / "m.safetensors"
    answer = command("calibrate", trained.run, "--data", photos, "--out", out, "--json",
                     "--target-fpr", "10")  # fmt: skip
    assert answer.code == 0, answer.err
    return out, answer


def test_json_and_file_say_the_same(calibrated: tuple[Path, Answer], trained: Trained) -> None:
    out, answer = calibrated
    found = answer.json()
    model = Classifier.load(out)
    assert model.calibration
    assert found["temperature"] == model.calibration.temperature
    assert found["temperature_kept"] == (found["temperature"] != 1)
    assert (found["out"], found["split"], found["images"]) == (str(out), "all", 60)
    assert found["unknown"]["false_alarms"] == 10
    assert 0 <= found["rejected"] <= 40
    for name in ("calibration_error_before", "calibration_error", "rejected"):
        low, high = found["intervals"][name]
        assert 0 <= low <= found[name] <= high <= 100
    shown = command("info", out, "--json").json()["calibration"]
    assert shown["unknown"] == found["unknown"]
    assert "temperature" in command("info", out).out
    # Nothing else of the model has changed.
    before, after = Classifier.load(trained.run).header.to_json(), model.header.to_json()
    assert {k: v for k, v in before.items() if k != "calibration"} == {
        k: v for k, v in after.items() if k != "calibration"
    }


def test_lines_for_a_reader(trained: Trained, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    answer = command("calibrate", trained.run, "--data", photos, "--out", out)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].endswith(": 60 images (all of the data)")
    assert lines[1].startswith("temperature ")
    assert lines[1].count("(95 %: ") == 2
    assert lines[2].startswith("OOD threshold ")
    assert lines[3] == f"written to {out}"


def test_few_images_have_a_temperature_and_no_threshold(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    answer = command("calibrate", trained.run, "--data", trained.data, "--out", out)
    assert answer.code == 0
    assert "no OOD threshold: 6 images are too few for one" in answer.out
    model = Classifier.load(out)
    assert model.calibration
    assert model.calibration.ood is None
    # Training has done the same with the same images.
    assert model.header.to_json() == Classifier.load(trained.run).header.to_json()


def test_predict_says_unknown(calibrated: tuple[Path, Answer], tmp_path: Path) -> None:
    """A threshold above every score: each image is unknown, and has its answers all the same."""
    model = Classifier.load(calibrated[0])
    assert model.calibration
    assert model.calibration.ood
    noise(40, 40).save(tmp_path / "a.png")
    object.__setattr__(model.calibration.ood, "threshold", 1e6)
    model.save(tmp_path / "m.safetensors")
    answer = command("predict", tmp_path / "m.safetensors", tmp_path / "a.png", "--json")
    row = answer.json()
    assert row["unknown"] is True
    assert row["score"] < 1e6
    assert len(row["top"]) == 3
    line = command("predict", tmp_path / "m.safetensors", tmp_path / "a.png").out
    assert line.startswith(f"{tmp_path / 'a.png'}: unknown ({row['label']} ")
    command("predict", tmp_path / "m.safetensors", tmp_path / "a.png", "--out", tmp_path / "x.csv")
    (cells,) = csv.DictReader((tmp_path / "x.csv").read_text().splitlines())
    assert cells["unknown"] == "True"
    assert float(cells["score"]) == pytest.approx(row["score"])


def test_evaluation_in_full(calibrated: tuple[Path, Answer], photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    answer = command("evaluate", calibrated[0], "--data", photos, "--out", out, "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(out.read_text())["results"]
    (short,) = answer.json()["results"]
    assert {name: row[name] for name in short} == short
    assert [c["label"] for c in row["classes"]] == ["blue", "green", "red"]
    assert [c["support"] for c in row["classes"]] == [20, 20, 20]
    counts = row["confusion"]["counts"]
    assert sum(map(sum, counts)) == 60
    for line, shares in zip(counts, row["confusion"]["by_row"], strict=True):
        assert shares == pytest.approx([n / 20 for n in line])
    assert sum(b["photos"] for b in row["reliability"]) == 60
    assert 0 <= row["called_unknown"] <= 40
    assert row["calibration_error_before"] is not None
    text = command("evaluate", calibrated[0], "--data", photos).out
    for words in (
        "calibration error",
        "… before",
        "unknown",
        "macro-F1",
        "target false positive rate: 10 %",
    ):
        assert words in text


def test_row_an_image(calibrated: tuple[Path, Answer], trained: Trained, tmp_path: Path) -> None:
    noise(40, 40).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no photo")
    (tmp_path / "t.csv").write_text("path,label\ngood.png,red\nbad.png,blue\n")
    out = tmp_path / "x.csv"
    models = [calibrated[0], trained.run]
    answer = command("evaluate", *models, "--data", tmp_path / "t.csv", "--out", out)
    assert answer.code == 0, answer.err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == 3 * 2  # two models and their ensemble, of two images
    assert rows[0]["models"] == str(calibrated[0])
    (expected,) = Classifier.load(calibrated[0]).predict([tmp_path / "good.png"])
    assert (rows[0]["label"], rows[0]["answer"]) == ("red", expected.label)
    assert float(rows[0]["probability"]) == pytest.approx(expected.probability, abs=1e-5)
    assert rows[0]["unknown"] == str(expected.unknown)
    assert "cannot be read" in rows[1]["error"]
    assert (rows[2]["unknown"], rows[2]["score"]) == ("", "")  # a model without a threshold


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.safetensors", "--data", "DATA", "--out", "x.safetensors"], 2, "none.safetensors"),
        (
            ["RUN", "--data", "nowhere", "--out", "x.safetensors"],
            2,
            "DATA must be a folder, a CSV file, shards or",
        ),
        (
            ["RUN", "--data", "digits", "--out", "x.safetensors"],
            1,
            "digits: the model must have the classes",
        ),
        (["RUN", "--data", "DATA", "--out", "HERE"], 2, "--out must be a file, got "),
        (["RUN", "--data", "DATA", "--out", "ITSELF"], 2, "--out must not be MODEL itself"),
        (["RUN", "--data", "DATA", "--out", "FILE/x"], 1, "cannot be written"),
        (["RUN", "--data", "DATA", "--out", "x.onnx"], 2, "--out must be a .safetensors file, got"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    places = {
        "RUN": trained.run, "DATA": trained.data, "HERE": tmp_path,
        "ITSELF": trained.run / "last.safetensors", "FILE/x": tmp_path / "file" / "x.safetensors",
    }  # fmt: skip
    answer = command("calibrate", *(places.get(a, a) for a in arguments), "--json")
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert answer.err.splitlines()[-1].startswith("googlenet calibrate: ")
    assert message in answer.err.splitlines()[-1]


@pytest.mark.parametrize("value", ["0", "100", "-5", "nan", "few"])
def test_false_alarms_that_are_no_share(value: str) -> None:
    answer = command("calibrate", "m", "--data", "d", "--out", "o", f"--target-fpr={value}")
    assert answer.code == 2
    assert "argument --target-fpr: must be a percentage" in answer.err.splitlines()[-1]


def test_evaluation_goes_into_json_or_csv(trained: Trained) -> None:
    answer = command("evaluate", trained.run, "--data", trained.data, "--out", "x.txt")
    assert (answer.code, answer.err) == (
        2, "googlenet evaluate: --out must end in .csv or .json, got x.txt\n",
    )  # fmt: skip
