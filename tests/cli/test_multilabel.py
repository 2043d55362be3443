"""Images with several labels, from a CSV to a model and its answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score, f1_score

from googlenet import Classifier
from googlenet.data.load_data import load_data
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.scores import ensemble, require_same_classes
from googlenet.images.decode import decode
from googlenet.images.views import VIEWS
from googlenet.inference.model_file import DIGEST
from googlenet.runtime.errors import GoogLeNetError
from tests.cli.conftest import SMALL, Trained, command
from tests.fixtures import COLOURS, photo_folder, set_header

PHOTOS = 60


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray images with a square of each color that they have, or with none."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("several")
    rows = ["path,label,split"]
    for number in range(PHOTOS):
        has = [colour for colour in COLOURS if rng.random() < 0.5]
        pixels = rng.integers(90, 130, (40, 48, 3)).astype(np.uint8)
        for at, colour in enumerate(COLOURS):
            if colour in has:
                y = int(rng.integers(0, 25))
                pixels[y : y + 15, 16 * at : 16 * at + 15] = COLOURS[colour]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'|'.join(has)},{'train' if number < 48 else 'val'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "several"
    options = ("--size", "32", "--width", "0.05", "--epochs", "2", "--batch", "8",
               "--precision", "fp32")  # fmt: skip
    answer = command("train", table, "--out", out, *options, "--views", "1,10", "--json")
    assert answer.code == 0, answer.err
    found = answer.json()
    assert ", multilabel" in answer.err
    assert "validation mAP " in answer.err
    assert "top1_accuracy" not in found
    assert "temperature" not in found
    assert 0 < found["mean_average_precision"] <= 100
    assert set(found["intervals"]) <= {
        "mean_average_precision", "micro_f1", "macro_f1", "exact_match",
    }  # fmt: skip
    return out


def test_model_file_says_so(run: Path) -> None:
    model = Classifier.load(run)
    assert (model.multilabel, model.threshold, model.calibration) == (True, 0.5, None)
    answer = command("info", run)
    assert "labels             multi" in answer.out
    assert "threshold          0.5" in answer.out
    assert set(model.metrics) == {"1", "10"}
    assert model.metrics["1"]["images"] == 12


def test_log_and_report(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"val_loss", "mean_average_precision", "micro_f1", "macro_f1"} < set(rows[0])
    assert "top1_accuracy" not in rows[0]
    page = (run / "report.html").read_text()
    for text in ("mean average precision on", "average precision</th>", "exact match"):
        assert text in page
    assert "Confusion matrix" not in page
    assert "Do the probabilities mean" not in page


@pytest.mark.parametrize("views", [1, 10])
def test_probabilities_are_sigmoids_averaged_over_views(run: Path, table: Path, views: int) -> None:
    classifier, data = Classifier.load(run), load_data(str(table))
    scores = score(classifier, data.val.take([0, 1]), views)
    p = classifier.preprocessing
    for at in range(2):
        crops = [p.pixels(v) for v in VIEWS[views](decode(data.val.sources[at]), p)]
        with torch.inference_mode():
            logits = classifier.network(p.normalize(torch.from_numpy(np.stack(crops)))).double()
        expected = (1 / (1 + (-logits).exp())).mean(0)
        torch.testing.assert_close(scores.probabilities[at], expected, atol=1e-5, rtol=1e-4)
    assert scores.labels.dtype == torch.bool
    assert scores.labels.shape == (2, 3)


def test_evaluation_is_scikit_learns(run: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.json"
    answer = command("evaluate", run, "--data", table, "--split", "all", "--out", out, "--json")
    found = answer.json()["results"][0]
    scores = score(Classifier.load(run), load_data(str(table)).all)
    marks, probabilities = scores.labels.numpy(), scores.probabilities.numpy()
    precision = 100 * average_precision_score(marks, probabilities)
    assert found["mean_average_precision"] == pytest.approx(precision)
    part = ("--data", table, "--split", "all", "--json")
    strict = command("evaluate", run, *part, "--threshold", "0.6").json()["results"][0]
    expected = f1_score(marks, probabilities > 0.6, average="micro", zero_division=0)
    assert strict["micro_f1"] == pytest.approx(100 * expected)
    micro = 100 * f1_score(marks, probabilities > 0.5, average="micro")
    assert found["micro_f1"] == pytest.approx(micro)
    assert "top1_error" not in found
    low, high = found["intervals"]["mean_average_precision"]
    assert low < precision < high
    whole = json.loads(out.read_text())["results"][0]
    by_class = average_precision_score(marks, probabilities, average=None)
    assert [c["average_precision"] for c in whole["classes"]] == pytest.approx(100 * by_class)
    lines = command("evaluate", run, "--data", table).out
    assert "mAP" in lines
    assert "at the threshold 0.5" in lines


def test_ensemble_averages_the_probabilities(run: Path, table: Path, trained: Trained) -> None:
    scores = score(Classifier.load(run), load_data(str(table)).val)
    together = ensemble([scores, scores])
    assert torch.equal(together.probabilities, scores.probabilities)
    assert torch.equal(together.labels, scores.labels)
    answer = command("evaluate", run, run, "--data", table, "--json")
    one, _, both = answer.json()["results"]
    assert both["mean_average_precision"] == pytest.approx(one["mean_average_precision"])
    models = [Classifier.load(run), Classifier.load(trained.run)]
    with pytest.raises(GoogLeNetError, match="all single-label or all multi-label: b differs"):
        require_same_classes(models, ["a", "b"])


def test_prediction_names_every_label_above_the_threshold(
    run: Path, table: Path, tmp_path: Path
) -> None:
    classifier, photos = Classifier.load(run), [table.parent / f"{n}.png" for n in range(4)]
    found = score(classifier, load_data(str(table)).train).probabilities[:4].numpy()
    set_header(classifier, threshold=float(np.sort(found.ravel())[-3:-1].mean()))  # two are above
    classifier.save(tmp_path / "model.safetensors")
    names = [c.name for c in classifier.classes]
    above = [{n for n, p in zip(names, row, strict=True) if p > classifier.threshold}
             for row in found]  # fmt: skip
    assert sum(map(len, above)) == 2
    answer = command("predict", tmp_path / "model.safetensors", *photos, "--top", "1", "--json")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [{label["label"] for label in row["labels"]} for row in rows] == above
    assert all(len(row["top"]) == 1 and row["unknown"] is None for row in rows)
    low = command("predict", tmp_path / "model.safetensors", *photos, "--threshold", "0.0001")
    assert all(line.count(" %") == 3 for line in low.out.splitlines())
    lines = command("predict", tmp_path / "model.safetensors", *photos).out.splitlines()
    for line, labels in zip(lines, above, strict=True):
        assert all(f"{label} " in line for label in labels)
        assert ("none (likeliest: " in line) is (not labels)
    command("predict", tmp_path / "model.safetensors", *photos, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        cells = [set(filter(None, row["labels"].split("|"))) for row in csv.DictReader(file)]
    assert cells == above


def test_prediction_of_one_label_has_no_labels(trained: Trained) -> None:
    photo = next((trained.data / "val").rglob("*.png"))
    row = json.loads(command("predict", trained.run, photo, "--json").out)
    assert row["labels"] is None


def test_folder_of_classes_by_option(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"red": 8, "blue": 8})
    answer = command("train", data, "--out", tmp_path / "run", *SMALL, "--multilabel", "--json")
    assert answer.code == 0, answer.err
    assert Classifier.load(tmp_path / "run").multilabel
    evaluated = command("evaluate", tmp_path / "run", "--data", data, "--json").json()
    assert evaluated["split"] == "val"  # it is the same data, told by its fingerprint
    assert 2 <= evaluated["results"][0]["images"] <= 4
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["multilabel"] is True


def test_fine_tuning_keeps_no_last_layer_of_another_question(run: Path, tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"red": 6, "blue": 6, "green": 6})
    options = ("--weights", run, "--epochs", "1", "--precision", "fp32")
    answer = command("train", data, "--out", tmp_path / "run", *options)
    assert "dropped classifier.weight (other classes)" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "RUN", "--data", "TABLE", "--restrict"],
            "--restrict is for single-label models",
        ),
        (
            ["calibrate", "RUN", "--data", "TABLE", "--out", "x.safetensors"],
            "MODEL must be single-label",
        ),
        (
            ["predict", "SINGLE", "TABLE", "--threshold", "0.3"],
            "--threshold is for multilabel models",
        ),
        (["evaluate", "SINGLE", "--data", "TABLE", "--threshold", "0.3"], "--threshold is for mul"),
        (["evaluate", "SINGLE", "--data", "TABLE"], "an image must have one label, got 'green|"),
        (
            ["train", "TABLE", "--balance", "sampling", "--out", "new"],
            "balance must be none or class_w",
        ),
        (["train", "TABLE", "--resume", "--out", "RUN", "--multilabel"], "got --multilabel"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], message: str, run: Path, table: Path, trained: Trained,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {"RUN": run, "TABLE": table, "SINGLE": trained.run}
    answer = command(*(places.get(a, a) for a in arguments))
    assert answer.code in (1, 2)
    assert answer.err.count("\n") == 1, answer.err
    assert message in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes", [{"labels": "many"}, {"threshold": 1.5}, {"threshold": None}, {"threshold": "x"}]
)
def test_header_that_cannot_be(changes: dict[str, object], run: Path, tmp_path: Path) -> None:
    with safe_open(run / "last.safetensors", framework="pt") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["googlenet"] = json.dumps(json.loads(metadata["googlenet"]) | changes)
    del metadata[DIGEST]
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    answer = command("info", tmp_path / "m.safetensors")
    assert answer.code == 1
    assert "its header cannot be used (" in answer.err
    assert answer.err.count("\n") == 1


def test_check_counts_every_label(table: Path, tmp_path: Path) -> None:
    answer = command("check", table, "--json")
    kinds = [problem["kind"] for problem in answer.json()["problems"]]
    assert "missing-class" not in kinds
    assert "unlabelled" not in kinds
    text = table.read_text().replace("48.png,", "48.png,yellow|")
    broken = table.parent / "broken.csv"
    broken.write_text(text)
    problems = command("check", broken, "--json").json()["problems"]
    broken.unlink()
    kinds = [problem["kind"] for problem in problems]
    assert "unusable" in kinds  # training refuses a class that only validation has
    assert {p["path"] for p in problems if p["kind"] == "missing-class"} == {"yellow"}
