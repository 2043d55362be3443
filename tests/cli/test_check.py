"""`googlenet check`: what it prints, writes and exits with."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.checks import check as module
from googlenet.checks.image_file import ImageReport
from tests.cli.conftest import command
from tests.fixtures import noise, photo_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images, of which five are bad, one with a name that is no line of text."""
    folder = photo_folder(tmp_path / "data", {"train/a": 2, "train/b": 2, "val/a": 2, "val/b": 2})
    for number in range(5):
        (folder / "train" / "a" / f"bad{number}.jpg").write_text("no photo")
    (folder / "val" / "b" / "odd\n\x1b[2J.png").write_bytes(b"")
    (folder / "val" / "b" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    return folder


def test_summary_by_kind_with_the_first_names(data: Path) -> None:
    answer = command("check", data)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "data: 15 images of 2 classes, 9 training / 6 validation"
    (unreadable,) = (line for line in lines if line.startswith("unreadable"))
    assert unreadable.split()[:2] == ["unreadable", "7"]
    assert "    train/a/bad0.jpg: cannot be read as an image (its content is of no" in answer.out
    assert "    … and 4 more" in lines
    assert lines[-1] == "7 problems"


def test_all_names_every_problem_on_a_line(data: Path) -> None:
    lines = command("check", data, "--all").out.splitlines()
    assert len(lines) == 1 + 1 + 7 + 1
    assert r"    val/b/odd\n\x1b[2J.png: cannot be read as an image (it is empty)" in lines
    assert r"    val/b/caf\udce9.png: cannot be read as an image (it is empty)" in lines


def test_nothing_is_wrong(tmp_path: Path) -> None:
    answer = command("check", photo_folder(tmp_path / "fine", {"a": 3, "b": 3}), "--strict")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "fine: 6 images of 2 classes, 4 training / 2 validation (random split, seed 0)",
        "no problems",
    ]


def test_json(data: Path) -> None:
    answer = command("check", data, "--json")
    found = answer.json()
    assert (answer.code, answer.err) == (0, "")
    assert (found["images"], found["classes"]) == (15, 2)
    assert found["counts"] == {"unreadable": 7}
    assert [set(problem) for problem in found["problems"]] == [{"path", "kind", "detail"}] * 7
    assert str(data / "val" / "b" / "odd\n\x1b[2J.png") in {p["path"] for p in found["problems"]}


def test_csv(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "problems.csv"
    assert command("check", data, "--out", out).code == 0
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    problems = json.loads(command("check", data, "--json").out)["problems"]
    escaped = [{**p, "path": p["path"].replace("\udce9", "\\udce9")} for p in problems]
    assert rows == escaped


def test_strict(data: Path) -> None:
    assert command("check", data, "--strict").code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "DATA must be a folder, a CSV file, shards or one of digits, got"),
        (["EMPTY"], 1, "must have a folder of images per class, has none"),
        (["DATA", "--out", "x.txt"], 2, "--out must end in .csv, got x.txt"),
        (["DATA", "--seed", "-1"], 2, "--seed must be 0 or more, got -1"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, message: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"DATA": data, "EMPTY": tmp_path / "empty"}
    answer = command("check", *(places.get(a, a) for a in arguments))
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert message in answer.err


def test_interrupted(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while images are read: one line, no file half written, no thread left."""

    def examine(source: Path) -> ImageReport:
        os.kill(os.getpid(), signal.SIGINT)
        return ImageReport("bad")

    monkeypatch.setattr(module, "examine", examine)
    out = tmp_path / "problems.csv"
    answer = command("check", data, "--out", out)
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "googlenet check: interrupted\n"
    assert not out.exists()


def test_check_needs_no_torch(data: Path) -> None:
    noise(8, 8).save(data / "train" / "a" / "more.png")
    program = (
        "import sys; from googlenet.cli import main; "
        f"main(['check', {str(data)!r}]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
