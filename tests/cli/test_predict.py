"""`googlenet predict`: a row an image, bad ones among them."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import signal
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

from googlenet import Classifier
from googlenet.cli import main, parser, predict
from googlenet.cli.image_paths import image_paths
from googlenet.cli.partial_output import Kept
from googlenet.inference.prediction import Prediction
from tests.cli.conftest import Trained, command
from tests.dirty_photos import FUZZED, mutated, samples_of
from tests.fixtures import encoded, noise


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.png, bad.jpg and sub/c.png; files that are no images beside them."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    noise(50, 40, 1).save(folder / "a.png")
    noise(40, 50, 2).save(folder / "sub" / "c.png")
    (folder / "bad.jpg").write_text("no photo")
    (folder / "notes.txt").write_text("no photo and not called one")
    return folder


def test_csv_has_a_row_an_image(trained: Trained, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    answer = command("predict", trained.run, photos, "--top", "2", "--out", out)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "not read: 1 .txt\n1 of 3 images could not be read\n"
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "path", "label", "probability", "label2", "probability2", "unknown", "score", "error",
    ]  # fmt: skip
    assert [Path(row["path"]).name for row in rows] == ["a.png", "bad.jpg", "c.png"]
    (expected,) = Classifier.load(trained.run).predict([photos / "a.png"], top=2)
    for (name, probability), n in zip(expected.top, ("", "2"), strict=True):
        assert rows[0][f"label{n}"] == name
        assert float(rows[0][f"probability{n}"]) == pytest.approx(probability, abs=1e-5)
    assert (rows[0]["error"], rows[1]["label"], rows[1]["probability2"]) == ("", "", "")
    assert rows[1]["error"].startswith(f"{photos / 'bad.jpg'}: cannot be read as an image")


@pytest.mark.parametrize("to_file", [True, False])
def test_json_lines_have_an_object_an_image(
    trained: Trained, photos: Path, tmp_path: Path, to_file: bool
) -> None:
    out = tmp_path / "x.jsonl"
    answer = command("predict", trained.run, photos, *(["--out", out] if to_file else ["--json"]))
    assert answer.code == 0
    text = out.read_text() if to_file else answer.out
    rows = [json.loads(line) for line in text.splitlines()]
    keys = {"path", "label", "probability", "labels", "top", "unknown", "score", "error"}
    assert [set(row) for row in rows] == [keys] * 3
    # Six validation images are too few for a threshold.
    assert [(row["unknown"], row["score"]) for row in rows] == [(None, None)] * 3
    good, bad, _ = rows
    assert good["top"][0] == {"label": good["label"], "probability": good["probability"]}
    assert len(good["top"]) == 3  # of five, as there are three classes
    assert sum(answer["probability"] for answer in good["top"]) == pytest.approx(1)
    assert good["error"] is None
    assert (bad["label"], bad["probability"], bad["top"]) == (None, None, [])
    assert "cannot be read as an image" in bad["error"]


def test_terminal_has_a_line_an_image(trained: Trained, photos: Path) -> None:
    answer = command("predict", trained.run, photos / "a.png", photos / "bad.jpg", "--top", "1")
    good, bad = answer.out.splitlines()
    label = Classifier.load(trained.run).predict([photos / "a.png"])
    assert good.startswith(f"{photos / 'a.png'}: {next(label).label} ")
    assert good.endswith(" %")
    assert bad.startswith(f"error: {photos / 'bad.jpg'}: cannot be read as an image")
    assert answer.code == 0


@pytest.mark.parametrize("names", [["bad.jpg"], ["missing.png", "bad.jpg"]])
def test_nothing_but_bad_images_is_1(trained: Trained, photos: Path, names: list[str]) -> None:
    answer = command("predict", trained.run, *(photos / name for name in names), "--json")
    assert answer.code == 1
    assert len(answer.out.splitlines()) == len(names)
    assert f"{len(names)} of {len(names)} images could not be read" in answer.err


def test_path_that_is_no_text(trained: Trained, tmp_path: Path) -> None:
    """Old archives have names in old encodings; each format says so in its own way."""
    name = os.fsdecode(str(tmp_path).encode() + b"/caf\xe9.png")
    noise(40, 40).save(tmp_path / "cafe.png")
    (tmp_path / "cafe.png").rename(name)
    for kind in ("csv", "jsonl"):
        answer = command("predict", trained.run, name, "--out", tmp_path / f"x.{kind}")
        assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "x.jsonl").read_text())["path"] == name
    assert "caf\\udce9.png" in (tmp_path / "x.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.safetensors", "PHOTOS"], 2, "none.safetensors"),
        (["NOTES", "PHOTOS"], 1, "notes.txt"),
        (["RUN", "EMPTY"], 2, "PATH must contain images, got "),
        (["RUN", "PHOTOS", "--out", "x.txt"], 2, "--out must end in .csv or .jsonl, got x.txt"),
        (["RUN", "PHOTOS", "--out", "photos/a.png/x.csv"], 1, "a.png/x.csv: cannot be written"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, trained: Trained, photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {
        "RUN": trained.run, "PHOTOS": photos, "NOTES": photos / "notes.txt",
        "EMPTY": tmp_path / "empty",
    }  # fmt: skip
    answer = command("predict", *(places.get(a, a) for a in arguments))
    said = answer.err.removeprefix("not read: 1 .txt\n")  # of PHOTOS
    assert (answer.code, answer.out, said.count("\n")) == (code, "", 1), answer.err
    assert said.startswith("googlenet predict: ")
    assert message in said


def test_folder_s_odd_names_are_a_line_each(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("good\n\x1b[2J.png", "bad\n.png"):
        (tmp_path / "photos" / name).write_bytes(encoded(noise(40, 40)) if "good" in name else b"")
    answer = command("predict", trained.run, tmp_path / "photos")
    bad, good = answer.out.splitlines()
    assert r"bad\n.png: cannot be read as an image (it is empty)" in bad
    assert r"good\n\x1b[2J.png: " in good
    rows = command("predict", trained.run, tmp_path / "photos", "--json").out.splitlines()
    paths = [json.loads(row)["path"] for row in rows]
    assert paths == sorted(str(path) for path in (tmp_path / "photos").iterdir())


@pytest.mark.slow
def test_a_thousand_mutated_images_get_a_row_each(trained: Trained, tmp_path: Path) -> None:
    """An error or an answer, and never both."""
    folder = tmp_path / "mutated"
    folder.mkdir()
    kinds = [kind for kind in FUZZED if samples_of(kind)]
    valid = {kind: samples_of(kind) for kind in kinds}
    for number in range(1000):
        rng = np.random.default_rng((6, number))
        kind = kinds[number % len(kinds)]
        whole = valid[kind][int(rng.integers(len(valid[kind])))]
        name = f"{number:04d}.{kind.lower().replace('jpeg', 'jpg')}"
        (folder / name).write_bytes(mutated(whole, rng))
    out = tmp_path / "x.jsonl"
    answer = command("predict", trained.run, folder, "--out", out)
    assert answer.code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["path"]).name for row in rows] == sorted(
        path.name for path in folder.iterdir()
    )
    bad = [row for row in rows if row["error"]]
    for row in rows:
        if row["error"]:
            assert row["error"].startswith(f"{row['path']}: ")
            assert (row["label"], row["probability"], row["top"]) == (None, None, [])
        else:
            assert 0 < row["probability"] <= 1
            assert sum(best["probability"] for best in row["top"]) == pytest.approx(1, abs=1e-4)
    assert 300 < len(bad) < 1000
    assert answer.err.endswith(f"{len(bad)} of 1,000 images could not be read\n")


def test_the_folder_of_out_is_made_and_a_failure_leaves_nothing(
    trained: Trained, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder" / "x.csv"
    assert command("predict", trained.run, photos, "--out", out).code == 0
    assert len(out.read_text().splitlines()) == 4
    elsewhere = tmp_path / "other" / "x.csv"
    assert command("predict", photos / "notes.txt", photos, "--out", elsewhere).code == 1
    assert not elsewhere.parent.exists()


def test_unfinished_file_is_not_taken_for_a_complete_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, the earlier file is still there and the rows so far are beside it."""

    def interrupted(file: TextIO, *_: object, **__: object) -> None:
        file.write("a row\n")
        raise KeyboardInterrupt

    out = tmp_path / "out.csv"
    out.write_text("earlier")
    monkeypatch.setattr(predict, "write_csv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict.write(out, [], 1, False, {}, Kept())
    assert out.read_text() == "earlier"
    assert (tmp_path / "out.csv.part").read_text() == "a row\n"


def test_terminal_has_a_bar_that_counts_images(trained: Trained, photos: Path) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # tqdm draws nothing on a terminal without columns
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(terminal):
            assert main(["predict", str(trained.run), str(photos)]) == 0
        terminal.flush()
        shown = screen.read(4096).decode()
    assert "predict:" in shown
    assert "0/3 [" in shown
    assert "images" in shown
    assert len(out.getvalue().splitlines()) == 3


@pytest.fixture
def eighty(tmp_path: Path) -> Path:
    """Eighty images with odd names, some of them unreadable."""
    folder = tmp_path / "eighty"
    folder.mkdir()
    for i in range(80):
        path = folder / (f'a "{i:02},\n.png' if i % 7 == 0 else f"{i:02}.png")
        if i % 11 == 0:
            path.write_text("no image")
        else:
            noise(24, 20, i).save(path)
    return folder


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("left", [0, 300, 2_000, 1_000_000])
def test_resumed_bytes_are_those_of_one_run(
    trained: Trained, eighty: Path, tmp_path: Path, suffix: str, left: int
) -> None:
    """After a kill the file ends anywhere, also within a row."""
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"x.{suffix}"
    first = command("predict", trained.run, eighty, "--out", whole)
    part, plan = tmp_path / f"x.{suffix}.part", tmp_path / f"x.{suffix}.part.json"
    assert command("predict", trained.run, eighty, "--out", out, "--resume").code == 0
    part.write_bytes(whole.read_bytes()[:left])
    args = predict_arguments(trained, eighty, out)
    plan.write_text(json.dumps(predict.plan_for(args, image_paths([str(eighty)]))))
    second = command("predict", trained.run, eighty, "--out", out, "--resume")
    assert (second.code, second.err) == (first.code, first.err)
    assert out.read_bytes() == whole.read_bytes()
    assert not part.exists()
    assert not plan.exists()


def predict_arguments(trained: Trained, folder: Path, out: Path) -> argparse.Namespace:
    words = ["predict", str(trained.run), str(folder), "--out", str(out)]
    return parser(["predict"]).parse_args(words)


def test_resume_refuses_another_run_s_rows(trained: Trained, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    args = predict_arguments(trained, photos, out)
    (tmp_path / "x.csv.part").write_text("path\n")
    resumed = ["predict", trained.run, photos, "--out", out, "--resume"]
    assert "leave --resume out" in command(*resumed).err
    plan = predict.plan_for(args, image_paths([str(photos)]))
    (tmp_path / "x.csv.part.json").write_text(json.dumps(plan))
    assert "got another --top than" in command(*resumed, "--top", "2").err
    assert "got another PATH than" in command(*resumed[:2], photos / "a.png", *resumed[3:]).err
    assert "--resume needs --out" in command("predict", trained.run, photos, "--resume").err


def test_a_signal_keeps_the_rows_and_says_how_to_go_on(
    trained: Trained, eighty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "x.jsonl"
    assert command("predict", trained.run, eighty, "--out", whole).code == 0
    record, seen = predict.record, []

    def signaled(prediction: Prediction) -> dict[str, Any]:
        seen.append(prediction.path)
        if len(seen) == 40:
            signal.raise_signal(signal.SIGTERM)
        return record(prediction)

    monkeypatch.setattr(predict, "record", signaled)
    answer = command("predict", trained.run, eighty, "--out", out)
    assert answer.code == 130
    assert f"40 of 80 rows are in {out}.part: run the same command with --resume" in answer.err
    assert (tmp_path / "x.jsonl.part").read_bytes().count(b"\n") == 40
    assert command("predict", trained.run, eighty, "--out", out, "--resume").code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_pipe_is_written_to(trained: Trained, photos: Path, tmp_path: Path) -> None:
    pipe, whole = tmp_path / "pipe", tmp_path / "x.csv"
    os.mkfifo(pipe)
    assert command("predict", trained.run, photos, "--out", whole).code == 0
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        assert command("predict", trained.run, photos, "--out", pipe).code == 0
        assert read.result() == whole.read_bytes()
    assert pipe.is_fifo()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_files_of_a_folder_that_are_no_images_are_told(
    trained: Trained, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    noise(40, 40).save(folder / "a.png")
    for name in ("b.txt", "c.txt", "d", ".hidden", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    answer = command("predict", trained.run, folder, *options)
    assert (answer.code, answer.err) == (0, "not read: 2 .txt, 1 without extension\n")
    assert len(answer.out.splitlines()) == 1
