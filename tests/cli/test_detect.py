"""`googlenet detect`: from annotated images to a detector, its score, and boxes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from googlenet.detection.metrics.errors import KINDS
from tests.cli.conftest import Answer, command
from tests.detection.scenes import save_classifier, scenes

SMALL = ("--side", "96", "--count", "40", "--epochs", "12", "--set", "lr=3e-3")


class Detected(NamedTuple):
    data: Path  # six images to train on, three to validate on
    weights: Path
    run: Path
    answer: Answer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Detected:
    folder = tmp_path_factory.mktemp("detect")
    data = scenes(folder / "data")
    weights = save_classifier(folder / "model.safetensors")
    answer = command("detect", "train", data, "--weights", weights, "--out", folder / "run",
                     *SMALL, "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    return Detected(data, weights, folder / "run", answer)


def test_train(made: Detected) -> None:
    value = made.answer.json()
    assert value["run"] == str(made.run)
    assert Path(value["model"]).is_file()
    assert value["epochs"] == 12
    assert 0 <= value["map50"] <= 100
    assert json.loads((made.run / "results.json").read_text()) == value
    assert [row for row in (made.run / "log.jsonl").read_text().splitlines() if row]


def test_evaluate(made: Detected) -> None:
    answer = command("detect", "evaluate", made.run, "--data", made.data, "--json")
    assert answer.code == 0, answer.err
    value = answer.json()
    assert {"map50", "map", "metric", "classes", "images", "seconds_per_image"} <= set(value)
    assert {"name", "ap50", "boxes"} <= set(value["classes"][0])
    assert (value["metric"], value["images"]) == ("voc10", 3)
    assert value["map50"] == made.answer.json()["map50"]
    assert set(value["errors"]) == {*KINDS}
    assert set(value["errors"]["missed"]) == {"count", "cost"}
    both = command("detect", "evaluate", made.run, made.run, "--data", made.data, "--json")
    assert both.json()["map50"] == value["map50"]  # the mean of two alike


@pytest.mark.parametrize("metric", ["voc07", "ilsvrc", "coco"])
def test_evaluate_in_words(metric: str, made: Detected) -> None:
    answer = command(
        "detect", "evaluate", made.run, "--data", made.data, "--metric", metric, "--soft-nms"
    )
    assert (answer.code, answer.err) == (0, "")
    assert "mAP@0.5 " in answer.out
    assert "3 images" in answer.out
    assert ("mAP@0.5:0.95" in answer.out) == (metric == "coco")


def test_predict(made: Detected, tmp_path: Path) -> None:
    image = made.data.parent / "0.png"
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    answer = command("detect", "predict", made.run, image, tmp_path / "bad.jpg", "--threshold",
                     "0", "--json", "--draw", tmp_path / "drawn")  # fmt: skip
    assert answer.code == 0
    good, bad = (json.loads(line) for line in answer.out.splitlines())
    assert (good["path"], good["width"], good["height"]) == (str(image), 96, 72)
    assert good["error"] is None
    first = good["detections"][0]
    assert first["label"] in ("square", "disc")
    x1, y1, x2, y2 = first["box"]
    assert 0 <= x1 < x2 <= 96
    assert 0 <= y1 < y2 <= 72
    assert bad["detections"] == []
    assert "bad.jpg" in bad["error"]
    with Image.open(tmp_path / "drawn/0.jpg") as drawn:
        assert drawn.size == (96, 72)


def test_predict_into_files(made: Detected, tmp_path: Path) -> None:
    image = made.data.parent / "1.png"
    for name in ("x.csv", "x.jsonl", "x.json"):
        answer = command(
            "detect", "predict", made.run, image, "--threshold", "0", "--out", tmp_path / name
        )
        assert (answer.code, answer.out) == (0, "")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    line = json.loads((tmp_path / "x.jsonl").read_text())
    results = json.loads((tmp_path / "x.json").read_text())
    assert len(rows) == len(line["detections"]) == len(results)
    x1, y1, x2, y2 = line["detections"][0]["box"]
    assert [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")] == [x1, y1, x2, y2]
    assert results[0]["image_id"] == 1
    assert results[0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.01)


def test_all_images_unreadable(made: Detected, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    answer = command("detect", "predict", made.run, tmp_path / "bad.jpg")
    assert answer.code == 1
    assert answer.err.startswith("googlenet detect predict: ")


def test_proposals(made: Detected, tmp_path: Path) -> None:
    answer = command("detect", "proposals", made.data, "--source", "edge-boxes", "--count",
                     "10,100", "--cache", tmp_path / "kept", "--plot", tmp_path / "p.png",
                     "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    (source,) = answer.json()["sources"]
    few, many = source["recall"]
    assert (few["limit"], many["limit"]) == (10, 100)
    assert 0.5 < many["recall50"] <= 1
    assert few["recall50"] <= many["recall50"]
    assert len(list((tmp_path / "kept").iterdir())) == 9
    with Image.open(tmp_path / "p.png") as plot:
        assert plot.format == "PNG"


def test_convert(made: Detected, tmp_path: Path) -> None:
    answer = command("detect", "convert", made.data, "--to", "yolo", "--out", tmp_path / "yolo")
    assert answer.code == 0, answer.err
    assert (tmp_path / "yolo/data.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "DATA", "--mode", "slow"], "--mode must be one of fast, rcnn, got 'slow'"),
        (["train", "DATA", "--proposals", "x"], "--proposals must be one of edge-boxes"),
        (["train", "DATA", "--side", "9"], "--side must be 32 to 4096 pixels, got 9"),
        (["train", "DATA", "--set", "speed=9"], "--set must be K=V with K one of background_iou"),
        (["train", "DATA", "--set", "lr=fast"], "--set lr must be of type float, got 'fast'"),
        (["train", "DATA", "--resume"], "--resume must have --out"),
        (["train", "DATA", "--resume", "--out", "none"], "--resume needs a run folder, got none"),
        (["train", "nothing"], "DATA must be Pascal VOC"),
        (["evaluate", "nothing", "--data", "DATA"], "DETECTOR must be a file"),
        (["evaluate", "RUN", "--data", "DATA", "--split", "test"], "the split 'test' must have"),
        (["evaluate", "RUN", "--data", "DATA", "--metric", "voc"], "--metric must be one of"),
        (["predict", "RUN", "x.png", "--out", "x.txt"], "--out must end in .csv, .jsonl or .json"),
        (["proposals", "DATA", "--source", "x"], "--proposals must be one of"),
        (["convert", "DATA", "--to", "xml", "--out", "out"], "--to must be one of voc, coco"),
    ],
)
def test_bad_usage(arguments: list[str], said: str, made: Detected) -> None:
    places = {"DATA": made.data, "RUN": made.run}
    answer = command("detect", *(places.get(word, word) for word in arguments))
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
