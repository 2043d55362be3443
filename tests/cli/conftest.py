"""A model that was trained on the command line, for the verbs that need one."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from googlenet.cli import main
from tests.fixtures import photo_folder

SMALL = ["--size", "32", "--width", "0.05", "--epochs", "1", "--batch", "8", "--precision", "fp32"]


class Answer(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: object) -> Answer:
    """Run `googlenet` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())


class Trained(NamedTuple):
    data: Path  # twelve images to train on, six to validate on: red, green, blue
    run: Path
    answer: Answer


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("command-line")
    colors = ("red", "green", "blue")
    parts = {f"train/{c}": 4 for c in colors} | {f"val/{c}": 2 for c in colors}
    data = photo_folder(folder / "data", parts)
    answer = command("train", data, "--out", folder / "run", *SMALL, "--json")
    assert answer.code == 0, answer.err
    return Trained(data, folder / "run", answer)
