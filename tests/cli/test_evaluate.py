"""`googlenet evaluate`: the grid, its JSON, the part of the data that counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet import Classifier
from googlenet.cli import main
from googlenet.data.load_data import load_data
from googlenet.evaluation.accuracy import score
from tests.cli.conftest import Trained, command
from tests.fixtures import noise, photo_folder, set_header, tiny_classifier


def test_json_keys(trained: Trained) -> None:
    answer = command("evaluate", trained.run, "--data", trained.data, "--views", "1,10", "--json")
    assert answer.code == 0, answer.err
    found = answer.json()
    assert (found["data"], found["split"]) == ("data", "val")
    assert [set(row) for row in found["results"]] == [
        {"models", "names", "views", "protocol", "crops", "top1_error", "top5_error", "images",
         "skipped", "macro_f1", "balanced_accuracy", "calibration_error",
         "calibration_error_before", "called_unknown", "intervals"}
    ] * 2  # fmt: skip
    assert [(row["models"], row["views"], row["images"]) for row in found["results"]] == [
        (1, 1, 6), (1, 10, 6),
    ]  # fmt: skip
    model = Classifier.load(trained.run)
    assert found["results"][0]["top1_error"] == model.metrics["1"]["top1_error"]
    exact = score(model, load_data(str(trained.data)).val, 10)
    assert found["results"][1]["top1_error"] == exact.error(1)


def test_table_for_a_reader(trained: Trained) -> None:
    answer = command("evaluate", trained.run, "--data", trained.data)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "data: 6 images (validation split), 3 classes"
    assert lines[1] == "protocol center: shorter side to 34, center 32"
    assert lines[2].split()[:7] == [
        "models",
        "protocol",
        "images",
        "top-1",
        "error",
        "top-5",
        "error",
    ]
    error = Classifier.load(trained.run).metrics["1"]["top1_error"]
    low, high = Classifier.load(trained.run).metrics["1"]["intervals"]["top1_error"]
    assert f"6  {error:.2f} % ({low:.1f}–{high:.1f})  0.00 % (0.0–0.0)  " in lines[3]
    assert lines[4] == "in parentheses: 95 % confidence intervals (bootstrap over images)"


def test_ensemble_follows_its_models(trained: Trained, tmp_path: Path) -> None:
    models = []
    for seed in (1, 2):
        classifier = tiny_classifier(seed=seed)
        set_header(classifier, classes=Classifier.load(trained.run).classes)
        models.append(tmp_path / f"{seed}.safetensors")
        classifier.save(models[-1])
    answer = command("evaluate", *models, "--data", trained.data, "--json")
    rows = answer.json()["results"]
    assert [(row["models"], row["names"]) for row in rows] == [
        (1, [str(models[0])]), (1, [str(models[1])]), (2, [str(m) for m in models]),
    ]  # fmt: skip
    table = command("evaluate", *models, "--data", trained.data).out
    assert table.splitlines()[-2].startswith("ensemble of 2 ")


@pytest.mark.parametrize(("part", "photos"), [("train", 12), ("val", 6), ("all", 18)])
def test_part_of_the_data(trained: Trained, part: str, photos: int) -> None:
    found = command("evaluate", trained.run, "--data", trained.data, "--split", part, "--json")
    assert found.json()["results"][0]["images"] == photos


def test_undivided_data_of_the_model_s_own_and_of_others(tmp_path: Path) -> None:
    """What the model learned from does not count; a folder it has never seen counts whole."""
    own = photo_folder(tmp_path / "own", {"red": 10, "green": 10, "blue": 10})
    strange = photo_folder(tmp_path / "strange", {"red": 3, "blue": 4})
    classifier = tiny_classifier()
    data = load_data(str(own), seed=9)
    set_header(classifier, classes=data.classes)
    set_header(classifier, provenance={"seed": 9, "data_fingerprint": data.fingerprint()})
    model = tmp_path / "m.safetensors"
    classifier.save(model)
    held_out = command("evaluate", model, "--data", own, "--json").json()
    assert (held_out["split"], held_out["results"][0]["images"]) == ("val", 6)
    exact = score(classifier, data.val)
    assert held_out["results"][0]["top1_error"] == exact.error(1)
    whole = command("evaluate", model, "--data", strange, "--json")
    assert (whole.json()["split"], whole.json()["results"][0]["images"]) == ("all", 7)
    assert "2 of the model's 3 classes" in whole.err
    other = tmp_path / "other.safetensors"
    set_header(classifier, provenance={**classifier.provenance, "seed": 4})
    classifier.save(other)
    warned = command("evaluate", model, other, "--data", own, "--json")
    assert "their splits differ (seeds 4, 9)" in warned.err
    assert "warning" not in command("evaluate", model, other, "--data", strange, "--json").err


def test_seed_that_is_no_number_is_none(tmp_path: Path, trained: Trained) -> None:
    classifier = Classifier.load(trained.run)
    set_header(classifier, provenance={**classifier.provenance, "seed": "unknown"})
    classifier.save(tmp_path / "m.safetensors")
    assert command("evaluate", tmp_path / "m.safetensors", "--data", trained.data).code == 0


def test_bad_images_are_named(trained: Trained, tmp_path: Path) -> None:
    noise(40, 40).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no photo")
    (tmp_path / "t.csv").write_text("path,label\ngood.png,red\nbad.png,blue\n")
    answer = command("evaluate", trained.run, "--data", tmp_path / "t.csv", "--json")
    assert answer.code == 0
    row = answer.json()["results"][0]
    assert (row["images"], row["skipped"]) == (1, 1)
    assert f"skipped: {tmp_path / 'bad.png'}: cannot be read as an image" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.safetensors", "--data", "DATA"], 2, "none.safetensors"),
        (["RUN", "--data", "nowhere"], 2, "DATA must be a folder, a CSV file, shards or one of"),
        (["RUN", "--data", "digits"], 1, "digits: the model must have the classes 0 to 9"),
        (["RUN", "--data", "DATA", "--precision", "fp8"], 2, "precision must be one of"),
        (["RUN", "--data", "DATA", "--mode", "stretch"], 2, "mode must be one of crop, squash"),
        (["RUN", "TINY", "--data", "DATA"], 2, "must have the same classes in the same order"),
        (["TINY", "--data", "DATA"], 1, "label must be one of the 3 classes (id0, id1, id2)"),
        (["RUN", "--data", "EMPTY"], 1, "must have a folder of images per class, has none"),
        (["RUN", "--data", "MISSING"], 1, "1 of 1 images looked up do not exist"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, trained: Trained, tmp_path: Path
) -> None:
    places = {
        "DATA": trained.data, "RUN": trained.run, "EMPTY": tmp_path / "empty",
        "TINY": tmp_path / "tiny.safetensors", "MISSING": tmp_path / "missing.csv",
    }  # fmt: skip
    places["EMPTY"].mkdir()
    tiny_classifier().save(places["TINY"])
    places["MISSING"].write_text("path,label\nx.png,red\n")
    answer = command("evaluate", *(places.get(a, a) for a in arguments), "--json")
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert answer.err.splitlines()[-1].startswith("googlenet evaluate: ")
    assert message in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("option", ["--views=7", "--workers=none", "--split=dev"])
def test_values_that_argparse_refuses(option: str) -> None:
    answer = command("evaluate", "m", "--data", "d", option)
    assert answer.code == 2
    assert f"argument {option.split('=')[0]}: " in answer.err.splitlines()[-1]


@pytest.mark.parametrize("verb", ["evaluate", "calibrate"])
def test_a_table_whose_images_are_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    model, table = tmp_path / "m.safetensors", tmp_path / "labels.csv"
    tiny_classifier().save(model)
    rows = [f"elsewhere/{i}.png,id{i % 3}" for i in range(12)]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    out = ["--out", str(tmp_path / "o.safetensors")] if verb == "calibrate" else []
    assert main([verb, str(model), "--data", str(table), *out]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "images looked up do not exist, for example" in said
