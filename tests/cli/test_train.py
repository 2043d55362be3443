"""`googlenet train`: what it prints, what it refuses, how it goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet import Classifier
from googlenet.cli import parser
from googlenet.cli.train import load_pretrained
from googlenet.cli.train_settings import plan, resolve
from googlenet.runtime.console import Console
from googlenet.training.recipes import MODERN, PAPER
from googlenet.training.run import train
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.setup import prepare
from tests.cli.conftest import SMALL, Trained, command
from tests.fixtures import photo_folder, tiny_classifier


def test_json_is_one_object(trained: Trained) -> None:
    found = trained.answer.json()
    assert set(found) >= {"run", "model", "epochs", "seconds", "images_per_second", "top1_accuracy"}
    assert found["run"] == str(trained.run)
    assert (found["epochs"], found["skipped"]) == (1, 0)
    assert found["images_per_second"] > 0
    assert 0 <= found["data_wait"] < 100
    error = Classifier.load(found["model"]).metrics["1"]["top1_error"]
    assert found["top1_accuracy"] == pytest.approx(100 - error, abs=1e-3)
    assert "epoch   1/1" in trained.answer.err  # what a person reads goes elsewhere
    assert Path(found["report"]).is_file()


def test_plain_output_ends_with_accuracy_and_model(trained: Trained, tmp_path: Path) -> None:
    answer = command("train", trained.data, "--out", tmp_path / "r", *SMALL, "--views", "1,10")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "data: 3 classes, 12 training / 6 validation images"
    assert lines[-5].startswith("  1 view   top-1 ")
    assert lines[-4].startswith(" 10 views  top-1 ")
    assert lines[-3] == f"model   {tmp_path / 'r' / 'last.safetensors'}"
    assert "\r" not in answer.out  # no progress bar in a file


def settings(*arguments: str) -> Settings:
    args = parser().parse_args(["train", *arguments])
    return resolve(args, load_pretrained(args))


def test_defaults_are_filled_in() -> None:
    found = settings("photos")
    assert found.recipe == MODERN
    assert (found.preprocessing.size, found.preprocessing.resize_size) == (224, 240)
    assert (found.preprocessing.mode, found.preprocessing.hflip) == ("crop", True)
    assert (found.width, found.seed, found.precision, found.weights) == (1.0, 0, "auto", None)


def test_options_decide() -> None:
    found = settings(
        "photos", "--size", "112", "--mode", "letterbox", "--no-mirror", "--seed", "7",
        "--epochs", "3", "--width", "0.5", "--batch", "128",
    )  # fmt: skip
    p = found.preprocessing
    assert (p.size, p.resize_size, p.mode, p.hflip) == (112, 120, "letterbox", False)
    assert (found.seed, found.width, found.recipe.epochs) == (7, 0.5, 3)
    assert found.recipe.learning_rate == pytest.approx(2 * MODERN.learning_rate)


def test_what_is_set_is_taken_as_it_is() -> None:
    found = settings(
        "photos", "--batch", "128", "--set", "learning_rate=0.3", "--set", "crop_scale=0.5,1"
    )
    assert (found.recipe.learning_rate, found.recipe.crop_scale) == (0.3, (0.5, 1.0))
    halved = settings("photos", "--variant", "paper", "--set", "no_bn_lr_scale=0.5")
    assert halved.recipe.learning_rate == pytest.approx(0.5 * MODERN.learning_rate)
    assert settings("photos", "--set", "variant=paper") == settings("photos", "--variant", "paper")


def test_old_names_of_recipe_fields_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    new = ("--set", "crop_scale=0.5,1", "--balance", "class_weights")
    assert settings("photos", *new).recipe.balance == "class_weights"
    assert capsys.readouterr().err == ""
    old = ("--set", "area=0.5,1", "--set", "balance=weights")
    assert settings("photos", *old) == settings("photos", *new)
    assert capsys.readouterr().err == (
        "notice: --set area is now --set crop_scale\n"
        "notice: --set balance=weights is now --set balance=class_weights\n"
    )
    assert settings("photos", "--balance", "weights").recipe.balance == "class_weights"


@pytest.mark.parametrize(
    ("options", "scale_epochs", "given"),
    [
        ([], True, set()),
        (["--batch", "8", "--set", "muon_lr=0.01"], True, {"muon_lr"}),
        (["--epochs", "5"], False, set()),
        (["--time-limit", "1h"], False, set()),
        (["--set", "epochs=5"], False, {"epochs"}),
    ],
)
def test_epochs_follow_the_images_where_nobody_says_how_many(
    options: list[str], scale_epochs: bool, given: set[str]
) -> None:
    args = parser().parse_args(["train", "photos", *options])
    found = plan(args, resolve(args, None), began=0.0)
    assert (found.scale_epochs, set(found.overrides)) == (scale_epochs, given)


def test_recipes_bring_their_network_and_mode() -> None:
    assert settings("photos", "--recipe", "paper").recipe == PAPER
    bvlc = settings("photos", "--recipe", "bvlc").preprocessing
    assert (bvlc.mode, bvlc.resize_size) == ("squash", 256)


def test_digits_are_small_and_never_mirrored() -> None:
    p = settings("digits").preprocessing
    assert (p.size, p.hflip) == (64, False)


def test_fine_tuning_goes_on_as_the_model_was_made(trained: Trained) -> None:
    source = Classifier.load(trained.run)
    found = settings("photos", "--weights", str(trained.run))
    assert found.preprocessing == source.preprocessing
    assert (found.recipe.variant, found.width) == ("bn", 0.05)
    asked = settings("photos", "--weights", str(trained.run), "--set", "resize_ratio=1.5")
    assert asked.preprocessing.resize_size == 48


def test_fine_tuning_at_another_size_cuts_the_view_at_the_same_scale(tmp_path: Path) -> None:
    tiny_classifier(size=56).save(tmp_path / "model.safetensors")  # of images resized to 64
    weights = ("photos", "--weights", str(tmp_path / "model.safetensors"))
    for size in (56, 112, 224):
        found = settings(*weights, "--size", str(size))
        p = found.preprocessing
        assert (p.size, p.resize_size, found.recipe.resize_ratio) == (size, size * 8 // 7, 8 / 7)


def test_fine_tuning(trained: Trained, tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "two", {"red": 6, "blue": 6})
    answer = command(
        "train", data, "--out", tmp_path / "run", "--weights", trained.run, "--epochs", "1",
        "--precision", "fp32", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert f"{trained.run}: transferred " in answer.err
    assert "reinitialized classifier.weight, classifier.bias" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "DATA must be a folder, a CSV file, shards or one of"),
        (["DATA", "--weights", "nowhere"], 2, "--weights must be a model file, a run folder or "),
        (["DATA", "--recipe", "best"], 2, "recipe must be one of modern, paper,"),
        (["DATA", "--variant", "vgg"], 2, "variant must be one of paper, google2014,"),
        (["DATA", "--set", "epochs"], 2, "--set must be NAME=VALUE, got 'epochs'"),
        (["DATA", "--set", "name=mine"], 2, "--set must change what a recipe does, got 'name="),
        (["DATA", "--set", "rate=1"], 2, "--set must name one of name, description,"),
        (["DATA", "--set", "epochs=x"], 2, "epochs must be a whole number, got 'x'"),
        (["DATA", "--set", "schedule=x"], 2, "schedule must be one of constant,"),
        (["DATA", "--size", "16"], 2, "size must leave at least one pixel after "),
        (["DATA", "--size", "9000"], 2, "size and resize must be 1 ≤ size ≤ resize ≤ 8192, got"),
        (["DATA", "--width", "0"], 2, "width must be above 0 and at most 16, got 0.0"),
        (["DATA", "--width", "nan"], 2, "width must be above 0 and at most 16, got nan"),
        (["DATA", "--mode", "stretch"], 2, "mode must be one of crop, squash, letterbox"),
        (["DATA", "--seed", "-1"], 2, "seed must be from 0"),
        (["DATA", "--precision", "fp8"], 2, "precision must be one of auto, fp32, bf16"),
        (["DATA", "--batch", "1", "--size", "32"], 2, "batch must leave at least 2 images"),
        (["DATA", "--balance", "classes"], 2, "balance must be one of none, class_weights, "),
        (["DATA", "--augment", "gpu"], 2, "augment must be one of host, device, got 'gpu'"),
        (["DATA", "--recipe", "bvlc", "--augment", "device"], 2, "augment must be host with crop "
         "bvlc, got device"),
        (["DATA", "--resume", "--out", "RUN", "--augment", "host"], 2, "own settings, got --aug"),
        (["DATA", "--time-limit", "5", "--set", "epochs=3"], 2, "--time-limit takes the maximum"),
        (["DATA", "--resume", "--out", "RUN", "--time-limit", "5"], 2, "own settings, got --time"),
        (["DATA", "--resume", "--out", "RUN", "--patience", "5"], 2, "own settings, got --patie"),
        (["DATA", "--weights", "none.safetensors"], 2, "none.safetensors"),
        (["DATA", "--weights", "RUN", "--variant", "paper"], 2, "--variant must be that of --wei"),
        (["DATA", "--out", "RUN"], 2, "--out must be a new or empty folder"),
        (["DATA", "--out", "README"], 1, "cannot be created"),
        (["DATA", "--resume"], 2, "--resume needs --out, the folder of the run to resume"),
        (["DATA", "--resume", "--out", "RUN", "--epochs", "5"], 2, "--resume takes the run's own "
         "settings, got --epochs: leave it out"),
        (["DATA", "--resume", "--out", "RUN", "--seed", "0"], 2, "own settings, got --seed"),
        (["DATA", "--resume", "--out", "RUN", "--no-mirror"], 2, "own settings, got --no-mirror"),
        (["DATA", "--resume", "--out", "nowhere"], 2, "--resume needs a run folder, got"),
        (["digits", "--resume", "--out", "RUN"], 2, "the run started with different images"),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, trained: Trained, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README").write_text("a file")
    places = {"DATA": trained.data, "RUN": trained.run}
    answer = command("train", *(places.get(a, a) for a in arguments))
    assert (answer.code, answer.err.count("\n")) == (code, 1), answer.err
    assert answer.err.startswith("googlenet train: ")
    assert message in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README"]


@pytest.mark.parametrize(
    "option",
    ["--epochs=0", "--views=5", "--workers=0", "--size=-3", "--batch=0", "--batch=all",
     "--time-limit=0", "--time-limit=soon", "--time-limit=nan", "--time-limit=h", "--patience=0"],
)  # fmt: skip
def test_values_that_argparse_refuses(option: str) -> None:
    answer = command("train", "digits", option)
    assert answer.code == 2
    assert f"argument {option.split('=')[0]}: must be " in answer.err.splitlines()[-1]


@pytest.mark.slow
def test_default_folder_counts_on(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [command("train", trained.data, *SMALL, "--json").json()["run"] for _ in range(2)]
    assert runs == [str(Path("runs/data-1")), str(Path("runs/data-2"))]


INTERRUPTED = """
import os, signal, sys
from googlenet.cli import main
from googlenet.training.loop import Trainer
learn = Trainer.train_step
def train_step(self, batch):
    learn(self, batch)
    if self.step == 1:
        os.kill(os.getpid(), signal.SIGINT)
Trainer.train_step = train_step
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own_and_resume(trained: Trained, tmp_path: Path) -> None:
    """Exit code 130, the command to go on with, and then the undisturbed run's model."""
    out = tmp_path / "a run"
    script = [sys.executable, "-c", INTERRUPTED, "train", str(trained.data), "--out", str(out)]
    stopped = subprocess.run([*script, *SMALL], capture_output=True, text=True, check=False)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr == ""
    last = stopped.stdout.splitlines()[-1]
    assert last.endswith(f"googlenet train {trained.data} --out '{out}' --resume")
    answer = command("train", trained.data, "--out", out, "--resume", "--workers", "1")
    assert answer.code == 0, answer.err
    ours, theirs = ((folder / "last.safetensors").read_bytes() for folder in (out, trained.run))
    assert ours == theirs


def test_learned_images_that_validate_a_fine_tuned_model_are_counted(
    trained: Trained, tmp_path: Path
) -> None:
    """Four of the images that the weights were trained on are in the new validation split."""
    data = photo_folder(tmp_path / "data", {"train/red": 2, "train/blue": 2, "val/red": 1}, 90_000)
    shutil.copytree(trained.data / "train" / "red", data / "val" / "blue")
    answer = command("train", data, "--weights", trained.run, "--out", tmp_path / "run", *SMALL)
    assert "warning: 4 of the 5 validation images are training images" in answer.out
    found = Classifier.load(tmp_path / "run").provenance
    assert (found["split_rule"], found["learned"]["images"]) == ("image", 4 + 12)
    assert "learned" not in found["weights"]


def test_run_of_before_the_split_went_by_image_resumes_with_its_own(tmp_path: Path) -> None:
    """The table's test images validated it."""
    photo_folder(tmp_path / "data", {"red": 4, "blue": 4})
    splits = ["train", "train", "val", "test"]
    rows = [f"data/{c}/{i}.png,{c},{splits[i]}\n" for c in ("red", "blue") for i in range(4)]
    table = tmp_path / "t.csv"
    table.write_text("path,label,split\n" + "".join(rows))
    folder = RunFolder(tmp_path / "run")
    before = replace(settings(str(table), *SMALL), split_rule="order")
    train(prepare(before, folder, Console(sys.stdout), resume=False))
    values = json.loads(folder.settings.read_text())
    assert values.pop("split_rule") == "order"
    folder.settings.write_text(json.dumps(values))
    resumed = command("train", table, "--out", folder.path, "--resume")
    assert (resumed.code, resumed.err) == (0, "")
    assert "t.csv: 2 classes, 4 training / 4 validation images" in resumed.out
    model = Classifier.load(folder.last)
    assert model.header.split_rule == "order"
    evaluated = command("evaluate", folder.path, "--data", table, "--json").json()
    assert evaluated["results"][0]["images"] == 4
