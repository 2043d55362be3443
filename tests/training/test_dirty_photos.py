"""Images of every bad kind among good ones: named, counted, trained through, labels as before."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet.data.loader import Batch
from googlenet.runtime.errors import printable
from googlenet.training.epochs import Interrupted
from googlenet.training.run import train
from tests.cli.conftest import SMALL, command
from tests.dirty_photos import broken, usable, write_specials
from tests.fixtures import COLOURS, photo_folder, tinted
from tests.training.small_runs import prepared, settings


def test_named_once_counted_and_trained_through(tmp_path: Path) -> None:
    photos = {"train/blue": 3, "train/red": 2, "val/red": 1, "val/blue": 1}
    good, dirty = (photo_folder(tmp_path / name, photos) for name in ("good", "dirty"))
    for name, (content, _) in broken().items():
        (dirty / "train" / "red" / name).write_bytes(content)
    for name, content in usable().items():
        (dirty / "train" / "red" / name).write_bytes(content)
        (dirty / "val" / "red" / name).write_bytes(content)
    (dirty / "val" / "blue" / "bad.png").write_bytes(b"")
    specials = write_specials(dirty / "train" / "blue")
    run, said = prepared(settings(dirty), tmp_path / "run")
    trained = train(run)
    left_out = [line for line in said.getvalue().splitlines() if line.startswith("skipped: ")]
    folder = dirty / "train" / "red"
    expected = {str(folder / name) for name in broken()}
    expected |= {str(dirty / "train" / "blue" / name) for name in specials}
    expected.add(str(dirty / "val" / "blue" / "bad.png"))
    for path in expected:
        assert sum(line.startswith(f"skipped: {printable(path)}: ") for line in left_out) == 1
    assert len(left_out) == len(expected)
    assert len(run.trainer.unreadable) == len(broken()) + len(specials)
    assert len(trained.scores[1]) == 2 + len(usable())
    clean, _ = prepared(settings(good), tmp_path / "clean")
    assert run.data.classes == clean.data.classes


@pytest.mark.slow
def test_resumed_in_mid_epoch_none_is_lost_from_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = {"train/blue": 8, "train/red": 8, "val/red": 2, "val/blue": 2}
    data = photo_folder(tmp_path / "data", photos)
    for number in range(6):
        (data / "train" / "red" / f"bad{number}.png").write_bytes(b"")
    undisturbed, _ = prepared(settings(data), tmp_path / "undisturbed")
    train(undisturbed)
    assert len(undisturbed.trainer.unreadable) == 6
    run, said = prepared(settings(data), tmp_path / "run")
    learn = run.trainer.train_step

    def train_step(batch: Batch) -> None:
        learn(batch)
        if run.trainer.step == 2:
            run.console.interrupted = True

    monkeypatch.setattr(run.trainer, "train_step", train_step)
    with pytest.raises(Interrupted):
        train(run)
    before = set(run.trainer.unreadable)
    assert 0 < len(before) < 6
    assert {name for name in before if f"skipped: {name}: " in said.getvalue()} == before
    resumed, said = prepared(replace(settings(data), workers=3), tmp_path / "run", resume=True)
    train(resumed)
    assert resumed.trainer.unreadable == undisturbed.trainer.unreadable
    for name in resumed.trainer.unreadable:
        assert said.getvalue().count(f"skipped: {name}: ") == 1


@pytest.mark.slow
def test_300_images_of_which_60_are_broken(tmp_path: Path) -> None:
    """The whole way on the command line: check, train, evaluate, predict."""
    data = tmp_path / "photos"
    bad: set[str] = set()
    kinds = sorted(broken().items())
    seeds = iter(range(1000))
    for part, good in (("train", 60), ("val", 20)):
        for colour in COLOURS:
            folder = data / part / colour
            folder.mkdir(parents=True)
            for number in range(good):
                tinted(colour, next(seeds)).save(folder / f"{number}.png")
    odd = sorted(usable().items())
    for number, (name, content) in enumerate(odd):  # in the place of good ones
        (data / "train" / "red" / f"{number}.png").unlink()
        (data / "train" / "red" / name).write_bytes(content)
    places = [data / part / colour for part in ("train", "val") for colour in COLOURS]
    specials = {str(places[1] / name) for name in write_specials(places[1])}
    for number in range(60 - len(specials)):
        name, (content, _) = kinds[number % len(kinds)]
        path = places[number % len(places)] / f"{number}-{name}"
        path.write_bytes(content)
        bad.add(str(path))
    bad |= specials
    assert sum(1 for path in data.rglob("*") if not path.is_dir()) == 300
    assert len(bad) == 60

    checked = command("check", data, "--json").json()
    assert (checked["images"], checked["classes"]) == (300, 3)
    assert {p["path"] for p in checked["problems"] if p["kind"] == "unreadable"} == bad

    run = tmp_path / "run"
    answer = command("train", data, "--out", run, *SMALL, "--json")
    assert answer.code == 0, answer.err
    summary = answer.json()
    in_val = sum("/val/" in path for path in bad)
    assert (summary["skipped"], summary["skipped_train"], summary["skipped_val"]) == (
        60, 60 - in_val, in_val,
    )  # fmt: skip
    assert answer.err.count("skipped: ") == 60
    report = (run / "report.html").read_text()
    assert f"{60 - in_val} training images could not be read" in report
    assert f"{in_val} validation images could not be read" in report
    classes = command("info", run, "--json").json()["classes"]
    assert [c["id"] for c in classes] == sorted(COLOURS)

    evaluated = command("evaluate", run, "--data", data, "--json")
    (result,) = evaluated.json()["results"]
    assert (result["images"], result["skipped"]) == (60, in_val)

    out = tmp_path / "answers.csv"
    predicted = command("predict", run, data, "--out", out)
    assert predicted.code == 0
    assert "60 of 300 images could not be read" in predicted.err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    for row in rows:
        is_bad = row["path"] in {p.encode(errors="backslashreplace").decode() for p in bad}
        assert bool(row["error"]) is is_bad
        assert bool(row["label"]) is not is_bad
